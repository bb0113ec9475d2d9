# SPDX-License-Identifier: Apache-2.0
"""`stoa hlt` beside test_cli.py: CATrackDNN over the hits, against its formula in double; legacy tracks in files; events that fail,
in every format; each selector with each vertex finder, the network by each runtime for .onnx, in float32 and float16. The published weights are those of STOA_DATA where they are there, else random ones of the same shape.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from test_cli import BUILD, DATA, SOURCE, STOA, check, fails, read_csv, skip, stoa, stoa_json, write_csv

sys.path[:0] = [str(SOURCE / "tools"), str(SOURCE / "python")]
try:
    import h5py  # noqa: F401
    import numpy as np
    import onnx

    import ca_track_dnn
    import half_hlt
    from stoa import convert
except ImportError as missing:
    print(f"skip: {missing.name} is not in this Python")
    sys.exit(77)

FORMATS = ("csv", "npz", "h5", "soa")
SHAPES = {"kMean": 12, "kScale": 12, "kW1": (12, 32), "kB1": 32, "kW2": (32, 16), "kB2": 16, "kW3": (16, 1), "kB3": 1}


def weights():
    path = DATA / "models" / "ca_track_dnn_prompt.weights.txt"
    if path.exists():
        return ca_track_dnn.read_weights(path), True
    print("CATrackDNN: random weights, for the published ones are not in STOA_DATA")
    numbers = np.random.default_rng(7)
    random = {name: numbers.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    random["kScale"] = 5 + np.abs(random["kScale"])
    return random, False


def generate(folder, events=4, pileup=30):
    """The same events with their hits in each format."""
    paths = {}
    for suffix in FORMATS[:-1]:
        paths[suffix] = folder / f"events.{suffix}"
        stoa("generate", "hlt", "--events", events, "--pileup", pileup, "--seed", 5, "--hits", "--out", paths[suffix])
    paths["soa"] = folder / "events.soa"
    convert.convert(paths["npz"], paths["soa"])
    return paths


# ---- CATrackDNN. ----


def circle_distance(x, y):
    a, b, c = (complex(x[k], y[k]) for k in (0, len(x) // 2, -1))
    b, c = b - a, c - a
    centre = 1j * (b * abs(c) ** 2 - c * abs(b) ** 2) / (2 * (b.real * c.imag - b.imag * c.real))
    return abs(abs(a + centre) - abs(centre))


def features(chi2, layers, x, y, z, bend, error, flags):
    stub, bent = error >= 0, error > 0
    stretch = 1 + (x[bent] ** 2 + y[bent] ** 2) * bend[bent] ** 2
    weight, curvature = stretch**3 / error[bent] ** 2, bend[bent] / np.sqrt(stretch)
    spread = (weight * (curvature - np.average(curvature, weights=weight)) ** 2).sum() / (bent.sum() - 1) if bent.sum() >= 3 else 0
    ps, barrel = (stub & (flags & 64 > 0)).sum(), (stub & (flags & 1 > 0)).sum()
    return [np.log1p(chi2), ps / max(stub.sum(), 1), np.hypot(x[0], y[0]), ps, len(x), abs(z[-1] - z[0]), stub.sum(), layers,
            np.log1p(spread), 1 / np.sqrt(weight.sum()) if bent.any() else -1, circle_distance(x, y), barrel]


def expected_scores(tracks, hits, tensors):
    """Of all tracks of a file, by the definition."""
    end = np.cumsum(tracks["nHits"])
    names = ("xGlobal", "yGlobal", "zGlobal", "dPhiDr", "dPhiDrError")
    columns = [np.asarray(hits[name], float) for name in names] + [np.asarray(hits["flags"], int)]
    rows = [features(float(tracks["chi2"][i]), tracks["nLayers"][i], *(c[end[i] - tracks["nHits"][i]:end[i]] for c in columns))
            for i in range(len(end))]
    x = (np.array(rows) - tensors["kMean"]) / tensors["kScale"]
    for layer in (1, 2):
        x = np.maximum(x @ tensors[f"kW{layer}"] + tensors[f"kB{layer}"], 0)
    return 1 / (1 + np.exp(-(x @ tensors["kW3"] + tensors["kB3"])))[:, 0]


def test_catrack(work, paths, model, tensors, published):
    tracks, hits = (convert.read_table(work / name) for name in ("events.npz", "events.hits.npz"))
    scores = expected_scores(tracks, hits, tensors)
    out = work / "catrack"
    result = stoa_json("hlt", paths["npz"], "--selector", "catrack", "--model", model, "--score-min", 0, "--no-pictures", "--out", out)
    found = np.genfromtxt(out / "tracks.csv", delimiter=",", names=True)
    first = np.searchsorted(tracks["event"], np.arange(tracks["event"].max() + 1))
    rows = first[found["event"].astype(int)] + found["track"].astype(int)
    strict = int((tracks["quality"] >= 4).sum())
    check("catrack: strict tracks and better are scored", len(rows) == strict == result["preselected"], (len(rows), strict))
    check("catrack: scores follow the definition", np.abs(scores[rows] - found["score"]).max() < 2e-3, np.abs(scores[rows] - found["score"]).max())
    check("catrack: of strict tracks some are selected", (tracks["quality"][rows] == 4).any() and result["selected_hits"] > 0)
    check("catrack: strict ones that pass are in vertices", (found["vertex"][tracks["quality"][rows] == 4] >= 0).any())
    files = None
    for name, path in paths.items():
        for vertexing in ("density", "divisive"):
            for threads, streams in ((1, 1), (2, 3)):
                out = work / f"catrack_{name}"
                result = stoa_json("hlt", path, "--selector", "catrack", "--model", model, "--vertexing", vertexing, "--threads", threads,
                                   "--streams", streams, "--no-pictures", "--out", out)
                kept = [(row["event"], row["track"], row["score"]) for row in read_csv(out / "tracks.csv")]
                files = files or kept
                check(f"catrack: {name}, {vertexing}, {threads} threads: the same tracks, no copy, no allocation",
                      kept == files and not result["copies"]["calls"] and not result["allocations_in_run"], result)
    if not published:
        return skip("catrack: what the published network keeps", "no weights in STOA_DATA")
    true = (tracks["is_true"] > 0) & (tracks["quality"] >= 4)
    kept = (scores >= 0.03414618)[true].mean()
    return check("catrack: CMS's threshold keeps 97 % of true tracks and more, as it is meant to", kept > 0.97, kept)


def test_missing_hits(work, paths, model):
    def run(name, status, path, needle):
        fails(name, 1, status, "hlt", path, "--selector", "catrack", "--model", model, "--out", work / "x")
        done = stoa("hlt", path, "--selector", "catrack", "--model", model, "--out", work / "x")
        check(f"{name}: says which", needle in done.stderr, done.stderr)

    for suffix in FORMATS[:-1]:
        bare = work / f"bare.{suffix}"
        bare.write_bytes(paths[suffix].read_bytes())
        run(f"catrack without hits, {suffix}", "STOA_ENAME", bare, "xGlobal, yGlobal, zGlobal, dPhiDr, dPhiDrError, flags")
    convert.convert(work / "bare.npz", work / "bare.soa")
    run("catrack without hits, soa", "STOA_ENAME", work / "bare.soa", "its blobs have none")
    hits = convert.read_table(work / "events.hits.npz")
    del hits["dPhiDr"]
    np.savez(work / "bare.hits.npz", **hits)
    run("catrack with a column too few", "STOA_ENAME", work / "bare.npz", "dPhiDr")


# ---- Every selector, vertex finder and runtime. ----


def test_selectors(work, paths, gate):
    network, narrow = SOURCE / "models" / "hlt_high_purity.onnx", work / "half.onnx"
    onnx.save(half_hlt.half(onnx.load(network)), narrow)
    found = {item["name"] for item in stoa_json("devices")["runtimes"] if item["found"]}
    runs = {"cuts": ("cuts",), "forest": ("forest",), "none": ("none",)}
    for runtime in ("native", "onnxruntime"):
        if runtime not in found:
            skip(f"selectors by {runtime}", "not in this build, or its library is not here")
            continue
        words = ("--runtime", runtime, *(() if runtime == "native" else ("--allow-copies",)))  # row-major rows only
        runs |= {f"dnn {runtime}": ("dnn", "--model", network, *words), f"dnn half {runtime}": ("dnn", "--model", narrow, *words),
                 f"catrack {runtime}": ("catrack", "--model", gate, *words)}
    for vertexing in ("density", "divisive"):
        scores = {}
        for name, (selector, *words) in runs.items():
            out = work / "selectors"
            result = stoa_json("hlt", paths["npz"], "--selector", selector, *words, "--vertexing", vertexing, "--no-pictures", "--out", out)
            check(f"{name}, {vertexing}: tracks and vertices, no allocation",
                  result["selected"] > 0 and result["vertices"] > 0 and not result["failed_events"] and not result["allocations_in_run"], result)
            scores[name] = {(row["event"], row["track"]): float(row["score"]) for row in read_csv(out / "tracks.csv")}
        for name, reference, least, tolerance in (("dnn onnxruntime", "dnn native", 1, 2e-5), ("catrack onnxruntime", "catrack native", 1, 2e-5),
                                                  ("dnn half native", "dnn native", 0.995, 0.02), ("dnn half onnxruntime", "dnn native", 0.995, 0.02)):
            if name not in scores or reference not in scores:
                continue
            one, other = scores[name], scores[reference]
            both = one.keys() & other.keys()
            difference = max(abs(one[key] - other[key]) for key in both)
            check(f"{name}, {vertexing}: selects as {reference}", len(both) >= least * max(len(one), len(other)) and difference <= tolerance,
                  (len(one), len(other), len(both), difference))


# The same network as each runtime takes it, and whether that is row-major rows only.
PACKAGES = pathlib.Path(os.environ.get("STOA_TEST_PACKAGES") or SOURCE / "build" / "packages")
PACKAGED = {"native": ("selector.onnx", False), "aoti": ("selector.pt2", False), "aoti on libtorch": ("selector_libtorch.pt2", False),
            "torchscript": ("selector.pt", False), "onnxruntime": ("selector.onnx", True)}


def test_packages(work, paths):
    """A network of the selector's shape by every runtime: the same tracks, with scores equal within rounding."""
    found = {item["name"] for item in stoa_json("devices")["runtimes"] if item["found"]}

    def run(name, least):
        file, rows_only = PACKAGED[name]
        out = work / "packages"
        result = stoa_json("hlt", paths["npz"], "--model", PACKAGES / file, "--runtime", name.split()[0], "--score-min", least, "--vertexing", "divisive",
                           "--threads", 2, "--streams", 3, *(["--allow-copies"] if rows_only else []), "--no-pictures", "--out", out)
        if result is None:
            return {}
        check(f"package by {name}: {'copies are counted' if rows_only else 'in place'}",
              bool(result["copies"]["calls"]) == rows_only and not result["failed_events"], result)
        return {(row["event"], row["track"]): float(row["score"]) for row in read_csv(out / "tracks.csv")}

    if not (PACKAGES / "selector.onnx").exists():
        return skip("packages", f"no selector in {PACKAGES}: tests/python/make_packages.py makes it")
    reference = run("native", 0)
    ordered = sorted(reference.values())
    middle = ordered[len(ordered) // 2]
    for name, (file, _) in PACKAGED.items():
        if name.split()[0] not in found or not (PACKAGES / file).exists():
            skip(f"package by {name}", "the runtime is not in this build, or the file was not made")
            continue
        scores, selected = run(name, 0), run(name, middle)
        both = reference.keys() & scores.keys()
        difference = max((abs(reference[key] - scores[key]) for key in both), default=1)
        check(f"package by {name}: native's tracks and scores", reference.keys() == scores.keys() and difference <= 2e-5, difference)
        doubtful = {key for key, score in reference.items() if abs(score - middle) <= 2e-5}
        wanted = {key for key, score in reference.items() if score >= middle}
        check(f"package by {name}: half of them are selected", wanted - doubtful <= selected.keys() <= wanted | doubtful,
              (len(wanted), len(selected), len(doubtful)))
    return None


# ---- Files of any length. ----


def peak_kib(*words):
    """Most memory that a run of stoa had; sanitizers keep what is freed unless they are told not to."""
    quiet = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
    job = subprocess.Popen([str(STOA), *map(str, words)], stdout=subprocess.DEVNULL, env={**os.environ, **quiet})
    _, state, used = os.wait4(job.pid, 0)
    job.returncode = os.waitstatus_to_exitcode(state)
    return used.ru_maxrss if job.returncode == 0 else None


def test_windows(work):
    """More events than are in memory at a time: tables of the files that are read whole, and memory that stays."""
    sizes = {}
    for events in (150, 900):
        sizes[events] = work / f"long{events}.h5"
        stoa("generate", "hlt", "--events", events, "--pileup", 20, "--hits", "--out", sizes[events])
    for part in ("", ".hits", ".vertices"):
        convert.write_table(work / f"long150{part}.npz", convert.read_table(work / f"long150{part}.h5"))
    words = ("--selector", "forest", "--vertexing", "divisive")
    found = {}
    for suffix in ("npz", "h5"):
        out = work / f"long_{suffix}"
        result = stoa_json("hlt", work / f"long150.{suffix}", *words, "--out", out)
        found[suffix] = {key: value for key, value in (result or {}).items() if key != "us_per_event"}
    check("windows: the same counts", found["npz"] == found["h5"] and found["h5"]["events"] == 150, found)
    files = ("tracks.csv", "vertices.csv", "roc.dat", "score.dat", "event_tracks.dat")
    check("windows: the same files", all((work / "long_npz" / name).read_bytes() == (work / "long_h5" / name).read_bytes() for name in files))
    numbers = [int(row["event"]) for row in read_csv(work / "long_h5" / "tracks.csv")]
    check("windows: events in order, all", numbers == sorted(numbers) and set(numbers) == set(range(150)))
    peaks = [peak_kib("hlt", path, *words, "--no-pictures", "--out", work / "x") for path in sizes.values()]
    bytes_of = [sum(path.with_suffix(end).stat().st_size for end in (".h5", ".hits.h5")) for path in sizes.values()]
    grown, read = peaks[1] - peaks[0], (bytes_of[1] - bytes_of[0]) / 1024
    return check("windows: memory does not grow with the file", grown < 0.2 * read, (peaks, bytes_of))


# ---- Events that fail. ----


def broken(work, suffix, column, row, value):
    """The events with one number replaced, in a format."""
    name = f"broken_{column}".replace("/", "_")
    tables = {part: convert.read_table(work / f"events{part}.npz") for part in ("", ".hits")}
    part, column = ("", column) if "/" not in column else (".hits", column.split("/")[1])
    table = tables[part]
    table[column] = table[column].copy()
    table[column][row] = value
    source = "npz" if suffix == "soa" else suffix
    for part, table in tables.items():
        convert.write_table(work / f"{name}{part}.{source}", table)
    if suffix == "soa":
        convert.convert(work / f"{name}.npz", work / f"{name}.soa")
    return work / f"{name}.{suffix}"


def test_broken_events(work, paths, model):
    tracks, hits = (convert.read_table(work / name) for name in ("events.npz", "events.hits.npz"))
    track, hit = (int(np.searchsorted(table["event"], 2)) + 3 for table in (tracks, hits)) # of event 2
    cases = (("covariance", (track, 14), np.nan, "covariance component 14"), ("state", (track, 0), np.inf, "state component 0"),
             ("nHits", track, -5, "hits from"), ("hits/zGlobal", hit, np.nan, "zGlobal"), ("hits/dPhiDr", hit, np.inf, "dPhiDr"),
             ("hits/xGlobal", hit, 1e30, "xGlobal"))
    for suffix in FORMATS:
        good = stoa_json("hlt", paths[suffix], "--selector", "catrack", "--model", model, "--no-pictures", "--out", work / "good")
        for column, row, value, needle in cases:
            if suffix == "soa" and column == "nHits":
                continue  # its offsets end before the blob's hits begin: no such file can be written
            path = broken(work, suffix, column, row, value)
            done = stoa("hlt", path, "--selector", "catrack", "--model", model, "--no-pictures", "--out", work / "bad", "--json")
            result = json.loads(done.stdout or "{}")
            others = [[row for row in read_csv(work / name / "tracks.csv") if row["event"] != "2"] for name in ("good", "bad")]
            check(f"{suffix}: an event with {value} in {column} is named, skipped and counted; the others run",
                  done.returncode == 0 and result.get("failed_events") == 1 and result["events"] == good["events"] and
                  "event 2" in done.stderr and needle in done.stderr and others[0] == others[1], done.stderr)


# ---- Legacy tracks. ----


def test_legacy(work, paths):
    tracks = convert.read_table(work / "events.npz")
    first = np.searchsorted(tracks["event"], np.arange(tracks["event"].max() + 1))
    for order in ((), ("--vertices-first",)):
        name = f"legacy{len(order)}"
        for suffix in FORMATS[:-1]:
            result = stoa_json("hlt", paths[suffix], "--vertexing", "divisive", *order, "--selector", "forest", "--legacy", f"legacy.{suffix}",
                               "--no-pictures", "--out", work / name)
        table = convert.read_table(work / name / "legacy.npz")
        rows = first[table["event"]] + table["track"]
        wanted = result["preselected"] if order else result["selected"]
        check(f"{name}: all tracks are there, once", len(rows) == len(set(rows.tolist())) == wanted, (len(rows), wanted))
        falling = np.diff(table["pt"]) <= 0
        check(f"{name}: hardest first", (falling | (np.diff(table["event"]) > 0)).all())
        check(f"{name}: pt is that of the track", (table["pt"] == tracks["pt"][rows]).all())
        state = tracks["state"][rows].T
        sin = 1 / np.sqrt(1 + state[3].astype(float) ** 2)
        perigee = np.stack([sin * state[2], np.arctan(state[3]), state[0], state[1], sin * state[4]], axis=1)
        check(f"{name}: q/p, lambda, phi, dxy, dsz", np.allclose(table["curvilinear"], perigee, rtol=1e-5, atol=1e-6))
        check(f"{name}: ndof and chi2", np.array_equal(table["ndof"], 2 * tracks["nHits"][rows] - 5) and
              np.allclose(table["chi2"], tracks["chi2"][rows] * table["ndof"], rtol=1e-6))
        check(f"{name}: errors of dxy are those of tip", np.allclose(table["covariance"][:, 12], tracks["covariance"][rows, 5], rtol=1e-3))
        others = [convert.read_table(work / name / f"legacy.{suffix}") for suffix in ("csv", "h5")]
        check(f"{name}: the same in CSV and HDF5",
              all(np.array_equal(np.asarray(other[key], table[key].dtype), table[key]) for other in others for key in ("event", "track", "pt", "quality")))
        out = work / "legacy_streams"
        stoa("hlt", paths["npz"], "--vertexing", "divisive", *order, "--selector", "forest", "--legacy", "legacy.csv", "--threads", 2,
             "--streams", 3, "--no-pictures", "--out", out)
        check(f"{name}: the same by threads and streams", (out / "legacy.csv").read_bytes() == (work / name / "legacy.csv").read_bytes())
    fails("legacy tracks of the density finder", 2, "STOA_EINVAL", "hlt", paths["npz"], "--legacy", "x.csv", "--out", work / "x")
    fails("legacy tracks in no format", 1, "STOA_ENOTSUP", "hlt", paths["npz"], "--vertexing", "divisive", "--selector", "none", "--legacy", "x.txt",
          "--no-pictures", "--out", work / "x")


def test_device(work, paths):
    """On the fake driver (tests/fake_cuda), which refuses copies from and to memory that is not pinned: the host's files."""
    driver = BUILD / "tests" / "fake_cuda" / "lib"
    if not driver.exists():
        return skip("hlt --device cuda:0", "the fake driver is not in this build: no nvcc")
    fake = {"LD_LIBRARY_PATH": str(driver), "STOA_PLUGIN_PATH": str(BUILD / "src"), "FAKE_CUDA_PINNED_ONLY": "1"}
    options = ("--selector", "forest", "--vertexing", "divisive", "--no-pictures")
    for name in ("h5", "soa"):
        there = stoa_json("hlt", paths[name], *options, "--device", "cuda:0", "--streams", 2, "--out", work / "there", env=fake)
        here = stoa_json("hlt", paths[name], *options, "--out", work / "here")
        check(f"hlt --device cuda:0: {name}: the host's counts", bool(there) and there["selected"] == here["selected"] > 0, there)
        check(f"hlt --device cuda:0: {name}: the host's tables", all((work / "there" / table).read_bytes() == (work / "here" / table).read_bytes()
                                                                     for table in ("tracks.csv", "vertices.csv")))


# ---- The benchmark. ----


def test_bench(work, model):
    """`stoa bench hlt` has a line for every stage of every chain and selector."""
    done = stoa("bench", "hlt", "--quick", "--out", work / "bench", env={"STOA_CATRACK": str(model)})
    if "not in this build" in done.stderr:
        return skip("bench hlt", "no benchmarks in this build")
    if done.returncode:
        return check("bench hlt", False, done.stderr)
    us, stages = {}, {}
    for row in read_csv(work / "bench" / "hlt.csv"):
        key = tuple(row[name] for name in ("pileup", "input", "chain", "selector"))
        us.setdefault(key, {})[row["stage"]] = float(row["min_us_per_event"])
        stages.setdefault(row["chain"], set()).add(row["stage"])
    wanted = {(pileup, given, chain, selector) for pileup in ("0", "50", "140", "200") for given in ("tracks", "hits")
              for chain in ("today", "studied", "device") for selector in ("dnn", "cuts", "forest", "none", "catrack")
              if given == "hits" or selector != "catrack"}
    check("bench hlt: all pile-ups, inputs, chains and selectors", us.keys() == wanted, us.keys() ^ wanted)
    every = {"preselect", "features", "selector", "compact", "vertices", "deliver", "total"}
    check("bench hlt: all stages", every <= stages["device"] and every | {"convert"} <= stages["today"] & stages["studied"], stages)
    return check("bench hlt: the whole is the sum", all(abs(2 * one["total"] - sum(one.values())) < 2 for one in us.values()), us)


def main():
    import test_cli

    tensors, published = weights()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = work / "ca_track_dnn.onnx"
        onnx.save(ca_track_dnn.build(tensors), model)
        paths = generate(work)
        test_catrack(work, paths, model, tensors, published)
        test_missing_hits(work, paths, model)
        test_selectors(work, paths, model)
        test_packages(work, paths)
        test_windows(work)
        test_broken_events(work, paths, model)
        test_legacy(work, paths)
        test_device(work, paths)
        test_bench(work, model)
    sys.exit(1 if test_cli.failures else 0)


if __name__ == "__main__":
    main()
