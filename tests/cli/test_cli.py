# SPDX-License-Identifier: Apache-2.0
"""The command line as other tools call it: verbs, exit codes, JSON keys, messages, files.

STOA_BUILD_DIR names the build folder that holds cli/stoa; STOA_DATA the folder of real inputs
(default: ../shared/data beside the source tree). One line a check; exit 1 when one
failed. What cannot run here is skipped with its reason. With --short every verb runs once on little,
which needs Python alone: what builds with sanitizers have time for.
"""

import csv
import json
import math
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("STOA_SOURCE_DIR") or pathlib.Path(__file__).resolve().parents[2])
BUILD = pathlib.Path(os.environ.get("STOA_BUILD_DIR") or SOURCE / "build" / "release")
DATA = pathlib.Path(os.environ.get("STOA_DATA") or SOURCE.parent / "shared" / "data")
STOA = BUILD / "cli" / "stoa"
VERBS = "run inspect layout devices hlt scout cluster vertices generate bench".split()
MESSAGE = re.compile(r"^stoa: STOA_[A-Z]+: \S.*$")

failures = 0


def check(name, condition, detail=""):
    global failures
    failures += not condition
    print(
        f"{'ok  ' if condition else 'FAIL'}  {name}" + (f": {detail}" if detail and not condition else ""),
        flush=True,
    )
    return condition


def skip(name, reason):
    print(f"skip  {name}: {reason}", flush=True)


def stoa(*args, env=None):
    return subprocess.run(
        [str(STOA), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **(env or {})},
    )


def stoa_json(*args, env=None):
    """The one object that --json prints; None, with a failed check, when it is anything else."""
    done = stoa(*args, "--json", env=env)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        result = None
    ok = done.returncode == 0 and isinstance(result, dict)
    check(f"{args[0]} --json prints one object", ok, f"exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return result if ok else None


def has_keys(name, found, *keys):
    missing = [key for key in keys if key not in found]
    check(f"{name}: keys {', '.join(keys)}", not missing, f"missing {missing}")


def fails(name, exit_code, status, *args):
    done = stoa(*args)
    lines = done.stderr.strip().splitlines()
    ok = (
        done.returncode == exit_code
        and lines
        and all(MESSAGE.match(line) for line in lines)
        and status in lines[-1]
    )
    check(
        f"{name}: exit {exit_code}, {status}",
        bool(ok),
        f"exit {done.returncode}: {done.stderr.strip()[-300:]}",
    )
    check(f"{name}: nothing on stdout", done.stdout == "", done.stdout[:200])


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


# ---- Usage. ----


CLUE_OPTIONS = ("--dc", "1", "--rhoc", "2", "--dm", "1")


# What no file could make right, and what is told before one is read: none of those named here is there.
WRONG_USAGE = [
    "layout tracks --rows 1,x",
    "layout tracks --rows 2147483648",
    "layout tracks,vertices --rows 10,20,30",
    "layout ,",
    "layout tracks,,vertices",
    "layout tracks,tracks",
    "run m.onnx --in f.csv --runtime nope",
    "run m.onnx --in f.csv --device toaster",
    "run m.onnx --in f.csv --device cuda:x",
    "run m.onnx --in f.csv --isa sse9",
    "run m.onnx --in f.csv --precision float8",
    "run m.onnx --in f.csv --columns a,,b",
    "run m.onnx --in f.csv --columns ",
    "run m.onnx --in f.csv --repeat 0",
    "run m.onnx --in f.csv --batch 4294967296",
    "inspect m.onnx --runtime nope",
    "inspect m.onnx --bind f.csv --columns a,",
    "hlt f.csv --out d --streams 99999",
    "hlt f.csv --out d --streams 0",
    "hlt f.csv --out d --threads 0",
    "hlt f.csv --out d --device toaster",
    "hlt f.csv --out d --runtime nope",
    "hlt f.csv --out d --eps -1",
    "hlt f.csv --out d --working-point best",
    "hlt f.csv --out d --legacy l.csv",
    "scout f.raw --out d --streams 257",
    "scout f.raw --out d --crossings 0",
    "scout f.raw --out d --crossings 16777217",
    "scout f.raw --out d --dc -1",
    "scout f.raw --out d --format utf8",
    "scout f.raw --out d --tau-model m.onnx --tau-weights w.txt",
    "scout tcp:65536 --out d",
    "scout tcp:1 g.raw --out d",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1 --out o.csv --metric x",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1 --out o.csv --kernel x",
    "cluster f.csv --dc -1 --rhoc 2 --dm 1 --out o.csv",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1e19 --out o.csv",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1 --out o.csv --width 0",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1 --out o.csv --period 1",
    "cluster f.csv --dc 1 --rhoc 2 --dm 1 --out o.csv --period 10=1",
    "vertices f.csv --out o.csv --eps -1",
    "vertices f.csv --out o.csv --errmax -0.1",
    "vertices f.csv --out o.csv --chi2max -1",
    "generate hlt --out o.csv --events 0",
    "generate hlt --out o.csv --events 1000001",
    "generate hlt --out o.csv --pileup -1",
    "generate scout --out o.raw --pileup 401",
    "generate scout --out o.raw --format utf8",
    "generate muons --out o.csv",
    "bench nope --out d",
    "bench --out",
]


def test_usage():
    for verb in VERBS:
        done = stoa(verb, "--help")
        check(
            f"{verb} --help",
            done.returncode == 0 and verb in done.stdout and done.stderr == "",
            f"exit {done.returncode}: {done.stderr[:200]}",
        )
    check("--help", stoa("--help").returncode == 0)
    check("--version", re.match(r"stoa \d+\.\d+\.\d+ \(.+\)\n$", stoa("--version").stdout) is not None)
    check("no verb: exit 2", stoa().returncode == 2)
    fails("unknown verb", 2, "STOA_EINVAL", "fly")
    fails("unknown option", 2, "STOA_EINVAL", "run", "m.onnx", "--fly")
    fails("missing value", 2, "STOA_EINVAL", "hlt", "f.csv", "--threads")
    fails("missing argument", 2, "STOA_EINVAL", "inspect")
    fails("argument too many", 2, "STOA_EINVAL", "layout", "tracks", "vertices")
    fails("negative count", 2, "STOA_EINVAL", "hlt", "f.csv", "--out", "d", "--threads", "-1")
    fails("number that is none", 2, "STOA_EINVAL", "vertices", "f.csv", "--out", "d", "--eps", "nan")
    fails("unknown selector", 2, "STOA_EINVAL", "hlt", "f.csv", "--out", "d", "--selector", "magic")
    fails("no --in", 2, "STOA_EINVAL", "run", "m.onnx")
    fails("no --out", 2, "STOA_EINVAL", "vertices", "f.csv")
    fails("no --dc", 2, "STOA_EINVAL", "cluster", "f.csv", "--rhoc", "1", "--dm", "1", "--out", "o.csv")
    for line in WRONG_USAGE:
        fails(f"'{line}'", 2, "STOA_EINVAL", *line.split(" "))
    fails("cluster: no file", 1, "STOA_EIO", "cluster", "/nonexistent.csv", *CLUE_OPTIONS, "--out", "o.csv")
    fails("file that is not there", 1, "STOA_EIO", "vertices", "/nonexistent.csv", "--out", "o.csv")


# ---- Layouts: numbers of CMSSW's own test of SoA data types. ----

TYPES = [
    {"name": "a", "dtype": "float64", "kind": "vector", "shape": [3]},
    {"name": "b", "dtype": "float64", "kind": "vector", "shape": [3]},
    {"name": "c", "dtype": "float32", "kind": "matrix", "shape": [2, 2]},
    {"name": "x", "dtype": "float64", "kind": "column"},
    {"name": "y", "dtype": "float64", "kind": "column"},
    {"name": "z", "dtype": "float64", "kind": "column"},
    {"name": "type", "dtype": "float32", "kind": "scalar"},
    {"name": "someNumber", "dtype": "int32", "kind": "scalar"},
    {"name": "v", "dtype": "float64", "kind": "column"},
    {"name": "w", "dtype": "float64", "kind": "column"},
]


def padded(rows, size):
    return -(-rows * size // 128) * 128


def test_layout(work):
    path = work / "types.json"
    path.write_text(json.dumps(TYPES))
    result = stoa_json("layout", path, "--rows", 64)
    if not result:
        return
    has_keys("layout", result, "bytes", "alignment", "columns")
    has_keys("layout column", result["columns"][0], "name", "dtype", "offset", "shape", "strides")
    column = {c["name"]: c for c in result["columns"]}
    check("layout: 64 rows are 6912 bytes", result["bytes"] == 6912, result["bytes"])
    expected = {
        "x": ([64, 1], [1, 64]),
        "a": ([64, 3], [1, 64]),
        "c": ([64, 2, 2], [1, 64, 128]),
        "type": ([64, 1], [0, 32]),
    }
    for name, (shape, strides) in expected.items():
        found = column[name]["shape"], column[name]["strides"]
        check(f"layout: {name} is {shape} / {strides}", found == (shape, strides), found)
    for rows in (0, 1, 10, 33, 1000):
        result = stoa_json("layout", path, "--rows", rows)
        sizes = [padded(rows, 8)] * 11 + [padded(rows, 4)] * 4 + [128, 128]
        check(
            f"layout: {rows} rows are {sum(sizes)} bytes",
            result and result["bytes"] == sum(sizes),
            result and result["bytes"],
        )
    twice = stoa_json("layout", "tracks", "--rows", "100,10")
    names = [block["name"] for block in twice["blocks"]] if twice else None
    check("layout: several blocks of one layout differ in name", names == ["tracks", "tracks_1"], names)
    both = stoa_json("layout", "tracks,vertices", "--rows", "100,10")
    parts = [
        stoa_json("layout", name, "--rows", rows)["bytes"]
        for name, rows in (("tracks", 100), ("vertices", 10))
    ]
    check("layout: blocks add up", both and both["bytes"] == sum(parts))
    fails("layout of no such name", 1, "STOA_ENAME", "layout", "trucks")
    for name, text, status in (
        ("cut", "[{", "STOA_EFORMAT"),
        ("kind", '[{"name":"a","dtype":"int8","kind":"row"}]', "STOA_EFORMAT"),
        ("dtype", '[{"name":"a","dtype":"int9"}]', "STOA_EDTYPE"),
        ("twice", '[{"name":"a","dtype":"int8"},{"name":"a","dtype":"int8"}]', "STOA_ENAME"),
        ("shape", '[{"name":"a","dtype":"int8","kind":"matrix","shape":[2]}]', "STOA_ESHAPE"),
        ("rank", '[{"name":"a","dtype":"int8","kind":"vector","shape":[2,2]}]', "STOA_ESHAPE"),
        ("extent 3.7", '[{"name":"a","dtype":"int8","kind":"vector","shape":[3.7]}]', "STOA_ESHAPE"),
        ("no extent", '[{"name":"a","dtype":"int8","kind":"vector","shape":[0]}]', "STOA_ESHAPE"),
        ("negative", '[{"name":"a","dtype":"int8","kind":"vector","shape":[-3]}]', "STOA_ESHAPE"),
        ("huge", '[{"name":"a","dtype":"int8","kind":"vector","shape":[9223372036854775807]}]', "STOA_ESHAPE"),
        ("beyond", '[{"name":"a","dtype":"int8","kind":"vector","shape":[9223372036854775808]}]', "STOA_EFORMAT"),
        ("text extent", '[{"name":"a","dtype":"int8","kind":"vector","shape":["3"]}]', "STOA_ESHAPE"),
        ("no name", '[{"dtype":"int8"}]', "STOA_EFORMAT"),
        ("number name", '[{"name":7,"dtype":"int8"}]', "STOA_EFORMAT"),
        ("empty name", '[{"name":"","dtype":"int8"}]', "STOA_EINVAL"),
        ("key twice", '[{"name":"a","name":"b","dtype":"int8"}]', "STOA_EFORMAT"),
        ("no column", "[]", "STOA_EFORMAT"),
        ("no layout", "{}", "STOA_EFORMAT"),
        ("no array", '{"tracks":7}', "STOA_EFORMAT"),
        ("number", "7", "STOA_EFORMAT"),
        ("empty file", "", "STOA_EFORMAT"),
        ("deep", "[" * 100000, "STOA_EFORMAT"),
    ):
        bad = work / f"bad_{name}.json"
        bad.write_text(text)
        fails(f"layout: {name} wrong", 1, status, "layout", bad)


def test_devices():
    result = stoa_json("devices")
    if not result:
        return {}
    has_keys("devices", result, "devices", "runtimes")
    check("devices: host found", any(d["name"] == "host" and d["found"] for d in result["devices"]))
    for item in result["devices"] + result["runtimes"]:
        check(f"devices: {item['name']} found, or missing with a reason", item["found"] or item.get("reason"))
    return {r["name"]: r["found"] for r in result["runtimes"]}


# ---- Inference. ----


def tiny_model(path):
    """y = x W + b, sigmoid: 3 -> 2, with rows named N."""
    import numpy
    import onnx
    from onnx import helper, numpy_helper

    w = numpy.array([[0.5, -1.0], [0.25, 2.0], [-0.75, 0.125]], numpy.float32)
    b = numpy.array([0.1, -0.2], numpy.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Sigmoid", ["h"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return lambda x: 1 / (1 + numpy.exp(-(x @ w + b)))


def worst(found, expected):
    return max((abs(f - e) / (abs(e) + 1e-6) for f, e in zip(found, expected)), default=0.0)


def run_on_gpu(model, table, out):
    """The same by the fake driver (tests/fake_cuda): the file's columns are copied there and back, and counted."""
    driver = BUILD / "tests" / "fake_cuda" / "lib"
    if not driver.exists():
        return skip("run --device cuda:0", "the fake driver is not in this build: no nvcc")
    expected = read_csv(out)
    fake = {"LD_LIBRARY_PATH": str(driver), "STOA_PLUGIN_PATH": str(BUILD / "src")}
    options = ["--in", table, "--columns", "a,b,c", "--out", out]
    result = stoa_json("run", model, *options, "--device", "cuda:0", "--batch", 300, env=fake)
    if not result:
        return None
    error = worst(
        [float(r[f"y_{k}"]) for r in read_csv(out) for k in range(2)],
        [float(r[f"y_{k}"]) for r in expected for k in range(2)],
    )
    check("run --device cuda:0: the host's scores, rtol 1e-6", error < 1e-6, error)
    check("run --device cuda:0: 5 columns copied, none by the session", result["transfers"]["calls"] == 5
          and result["copies"]["calls"] == 0 and result["allocations_in_run"] == 0, result["transfers"])


def test_run(work, runtimes):
    if not runtimes.get("native"):
        return skip("run", "the native runtime is not in this build")
    try:
        import numpy
        import onnx  # noqa: F401
    except ImportError as missing:
        return skip("run", f"{missing.name} is not in this Python")
    model, table, out = work / "tiny.onnx", work / "tiny.csv", work / "tiny_out.csv"
    reference = tiny_model(model)
    x = numpy.random.default_rng(7).normal(size=(1001, 3)).astype(numpy.float32)
    write_csv(table, [{"event": i, "c": r[2], "a": r[0], "b": r[1]} for i, r in enumerate(x.tolist())])
    for extra in ([], ["--batch", 100], ["--batch", 1], ["--repeat", 3]):
        result = stoa_json("run", model, "--in", table, "--columns", "a,b,c", "--out", out, *extra)
        if not result:
            continue
        rows = read_csv(out)
        found = [float(r[f"y_{k}"]) for r in rows for k in range(2)]
        error = worst(found, reference(x.astype(numpy.float64)).ravel())
        check(
            f"run {' '.join(map(str, extra))}: 1001 rows equal NumPy, rtol 1e-5",
            len(rows) == 1001 and error < 1e-5,
            error,
        )
        check(
            "run: no copy, no allocation",
            result["copies"] == {"calls": 0, "bytes": 0} and result["allocations_in_run"] == 0,
        )
    run_on_gpu(model, table, out)
    has_keys(
        "run",
        result,
        "runtime",
        "device",
        "rows",
        "inputs",
        "outputs",
        "copies",
        "allocations_in_run",
        "median_us",
        "min_us",
    )
    numpy.savez(work / "tiny.npz", x=x)
    stoa_json("run", model, "--in", work / "tiny.npz", "--out", work / "tiny_out.npz")
    y = numpy.load(work / "tiny_out.npz")["y"]
    check("run: .npz in and out", y.shape == (1001, 2) and worst(y.ravel(), reference(x).ravel()) < 1e-5)
    numpy.savez(work / "none.npz", x=x[:0])
    none = stoa_json("run", model, "--in", work / "none.npz")
    check("run: 0 rows", none and none["rows"] == 0)
    fails("run: too few columns", 1, "STOA_ESHAPE", "run", model, "--in", table, "--columns", "a,b")
    fails("run: too many columns", 1, "STOA_ESHAPE", "run", model, "--in", table, "--columns", "a,b,c,a")
    fails("run: unknown column", 1, "STOA_ENAME", "run", model, "--in", table, "--columns", "a,b,q")
    fails("run: no such file", 1, "STOA_EIO", "run", model, "--in", work / "nothing.csv")
    (work / "broken.onnx").write_bytes(model.read_bytes()[:60])
    fails("run: cut model", 1, "STOA_EFORMAT", "run", work / "broken.onnx", "--in", table)
    test_inspect(model, table)
    test_onnxruntime(work, model, table, reference(x).ravel(), runtimes)
    test_torchscript(work, table, x, runtimes)


def test_onnxruntime(work, model, table, expected, runtimes):
    """A text table's columns become float32; row-major rows are gathered when that is allowed, and counted."""
    if not runtimes.get("onnxruntime"):
        return skip("run by onnxruntime", "not found")
    out, line = work / "ort_out.csv", ["run", model, "--in", table, "--columns", "a,b,c", "--runtime", "onnxruntime"]
    fails("run by onnxruntime in place", 1, "STOA_ECOPY", *line)
    result = stoa_json(*line, "--allow-copies", "--out", out)
    found = [float(r[f"y_{k}"]) for r in read_csv(out) for k in range(2)]
    error = max(abs(found - expected)) if len(found) == len(expected) else math.inf  # its sigmoid has an absolute bound
    check("run by onnxruntime: equal NumPy, atol 1e-5", error < 1e-5, error)
    check("run by onnxruntime: 1001 rows of 5 floats copied", result and result["copies"]["bytes"] == 1001 * 5 * 4, result and result["copies"])


def test_torchscript(work, table, x, runtimes):
    """A file that does not say what it takes, described by --signature."""
    if not runtimes.get("torchscript"):
        return skip("run by torchscript", "not found")
    import torch

    net, path, out = torch.nn.Linear(3, 2), work / "linear.pt", work / "pt_out.csv"
    torch.jit.save(torch.jit.trace(net, torch.zeros(4, 3)), str(path))
    line = ["run", path, "--in", table, "--columns", "a,b,c"]
    fails("run of a .pt without a signature", 1, "STOA_EINVAL", *line)
    line += ["--signature", "x:float32:3 -> y:float32:2"]
    fails("run of a foreign .pt without copies", 1, "STOA_ECOPY", *line)
    result = stoa_json(*line, "--allow-copies", "--out", out)
    found = [float(r[f"y_{k}"]) for r in read_csv(out) for k in range(2)]
    expected = net(torch.from_numpy(x)).detach().numpy().ravel()
    check("run by torchscript: equal PyTorch", len(found) == len(expected) and max(abs(found - expected)) < 1e-5)
    check("run by torchscript: results copied once", result and result["copies"]["bytes"] == 1001 * 2 * 4, result and result["copies"])
    told = stoa_json("inspect", path, "--signature", "x:float32:3 -> y:float32:2")
    check("inspect of a .pt: results are copied", told and told["capabilities"]["outputs_in_place"] is False)


def test_inspect(model, table):
    result = stoa_json("inspect", model, "--bind", table, "--columns", "a,b,c")
    if not result:
        return
    has_keys("inspect", result, "inputs", "outputs", "parameters", "flop_per_row", "groups")
    check("inspect: 8 parameters", result["parameters"] == 8, result["parameters"])
    check("inspect: columns bind in place", result["binding"][0]["in_place"], result["binding"])
    source = model.with_suffix(".c")
    stoa_json("inspect", model, "--emit-c", source)
    check("inspect: emitted C names its function", f"void {model.stem}(" in source.read_text())
    fails("inspect: no such folder", 1, "STOA_EIO", "inspect", model, "--emit-c", model.parent / "none" / "model.c")


def test_acts(work, runtimes):
    name, path = (
        "run: ACTS duplicate classifier against double precision",
        DATA / "models" / "acts_duplicate_classifier.onnx",
    )
    if not path.exists():
        return skip(name, f"no {path} (STOA_DATA names another folder)")
    if not runtimes.get("native"):
        return skip(name, "the native runtime is not in this build")
    sys.path.insert(0, str(SOURCE / "tests" / "python"))
    try:
        import numpy
        import onnx
        import onnxruntime
        from test_random_graphs import every_level, in_double
    except ImportError as missing:
        return skip(name, f"{missing.name} is not in this Python")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(11).normal(size=(20000, 8)).astype(numpy.float32)
    feed = session.get_inputs()[0].name
    exact = in_double(onnx.load(path)).run(None, {feed: x.astype(numpy.float64)})[0].ravel()
    theirs = numpy.abs(session.run(None, {feed: x})[0].ravel() - exact).max()
    numpy.save(work / "acts.npy", x)
    for isa in every_level():
        result = stoa_json("run", path, "--in", work / "acts.npy", "--out", work / "acts_out.npz", env={"STOA_ISA": isa})
        if result:
            found = numpy.load(work / "acts_out.npz")
            ours = numpy.abs(found[found.files[0]].ravel() - exact).max()
            check(f"{name}, {isa}: at most twice ONNX Runtime's error", ours <= 2 * theirs, f"{ours:.3g}, ONNX Runtime's {theirs:.3g}")


# ---- The jobs. ----


def test_generate(work):
    path = work / "events.csv"
    result = stoa_json("generate", "hlt", "--events", 6, "--seed", 3, "--pileup", 30, "--out", path)
    if not result:
        return None
    has_keys("generate", result, "events", "rows")
    check("generate: rows are those of the file", result["rows"] == len(read_csv(path)))
    words = work / "words.raw"
    result = stoa_json("generate", "scout", "--events", 50, "--seed", 3, "--out", words)
    has_keys("generate scout", result, "events", "rows")
    check("generate scout: header and candidates of each event", words.stat().st_size == 8 * (50 + result["rows"]))
    fails("generate: no such format", 2, "STOA_EINVAL", "generate", "scout", "--format", "x", "--out", words)
    return path


# Selectors and ways to vertices.
HLT_CHAINS = (
    ("--selector", "forest", "--vertexing", "divisive"),
    ("--selector", "cuts", "--vertexing", "divisive", "--vertices-first"),
    ("--selector", "cuts", "--working-point", "loose"),
    ("--selector", "none", "--vertexing", "divisive"),
    ("--selector", "none"),
)


SCOUT_TABLES = ("orbits.csv", "taus.csv", "clusters.csv", "w3pi.csv", "selected.csv")
SCOUT_KEYS = "events candidates clusters taus us_per_event copies allocations_in_run".split()


def test_scout(work):
    """The same tables whatever the format, the number of streams and threads and the size of the batches."""
    reference = None
    for format in ("native64", "dth256", "cmsraw"):
        words = work / f"scout.{format}"
        made = stoa_json("generate", "scout", "--events", 5000, "--seed", 5, "--format", format, "--out", words)
        for threads, streams, crossings in ((1, 1, 1024), (2, 3, 100), (3, 3, 400)):
            out = work / f"scout_{format}_{threads}"
            result = stoa_json(
                "scout", words, "--no-pictures", "--out", out,
                "--threads", threads, "--streams", streams, "--crossings", crossings
            )
            if not made or not result:
                return
            name = f"scout {format} {threads} threads"
            has_keys(name, result, *SCOUT_KEYS)
            check(f"{name}: events and candidates are those generated",
                  result["events"] == 5000 and result["candidates"] == made["rows"] and result["format"] == format, result)
            check(f"{name}: no copy, no allocation in the run",
                  result["copies"] == {"calls": 0, "bytes": 0} and result["allocations_in_run"] == 0, result)
            tables = [(out / table).read_text() for table in SCOUT_TABLES[1:]]
            reference = reference or tables
            check(f"{name}: same tables", tables == reference)
            counts = [len(table.splitlines()) - 1 for table in tables]
            check(f"{name}: counts are those of the tables",
                  counts == [result[key] for key in ("taus", "clusters", "w3pi", "selected")], counts)
            orbits = read_csv(out / "orbits.csv")
            check(f"{name}: two orbits", [orbit["events"] for orbit in orbits] == ["3564", "1436"] and result["orbits"] == 2)
            check(f"{name}: taus score higher than others", result["truth"]["score_auc"] > 0.8, result["truth"])
    cut = work / "cut.dth256"
    cut.write_bytes((work / "scout.dth256").read_bytes()[:-5000])
    result = stoa_json("scout", cut, "--no-pictures", "--hdf5", "--out", work / "scout_cut")
    rows = stoa("run", SOURCE / "examples/infer.onnx", "--in", work / "scout_cut/taus.h5", "--columns", "pt,eta,phi", "--json")
    check("scout: the tables as HDF5", rows.returncode == 0 and json.loads(rows.stdout)["rows"] == result["taus"], rows.stderr)
    check("scout: a cut orbit is said and its events kept",
          (result["cut_orbits"], result["orbits"], result["faults"]["cut"]) == (1, 1, 1) and 4900 < result["events"] < 5000,
          result)
    test_scout_live(work, (work / "scout.dth256").read_bytes(), reference)
    fails("scout: no such file", 1, "STOA_EIO", "scout", work / "none.raw", "--out", work / "x")
    fails("scout: not scouting words", 1, "STOA_EFORMAT", "scout", SOURCE / "README.md", "--out", work / "x")
    fails("scout: no such format", 2, "STOA_EINVAL", "scout", cut, "--format", "x", "--out", work / "x")


def test_scout_live(work, frames, reference):
    """The same words from a sender over TCP; the port is the one that the command names."""
    live = subprocess.Popen([str(STOA), "scout", "tcp:0", "--no-pictures", "--out", str(work / "live"), "--streams", "2"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    port = int(re.search(r"port (\d+)", live.stderr.readline()).group(1))
    with socket.create_connection(("127.0.0.1", port)) as sender:
        sender.sendall(frames)
    live.communicate(timeout=120)
    tables = [(work / "live" / table).read_text() for table in SCOUT_TABLES[1:]]
    check("scout: over TCP the same tables", live.returncode == 0 and tables == reference)


def test_scout_real(work):
    """Counts that other programs found in the same files."""
    puppi, frames = DATA / "puppi/puppi_w3pi_pu200.dump", DATA / "scouting_frames/dth256_pattern.data"
    weights = DATA / "models/nn_puppi_tau_v1.weights.txt"
    if not (puppi.exists() and frames.exists() and weights.exists()):
        return skip("scout: real words", f"not all of puppi, scouting_frames and models are in {DATA}")
    result = stoa_json("scout", puppi, "--tau-weights", weights, "--plain-euclid", "--out", work / "puppi")
    check("scout: 100 events, 2,862 candidates, 500 taus",
          [result[key] for key in ("events", "candidates", "taus", "w3pi")] == [100, 2862, 500, 14], result)
    check("scout: 365 clusters, 2,026 candidates in none", (result["clusters"], result["outliers"]) == (365, 2026), result)
    ids = [(tau["taus"], tau["mean_id"]) for tau in result["tau_id_by_pt"]]
    known = [(286, 0.37), (104, 0.33), (42, 0.57), (68, 0.92)]
    check("scout: mean id by pt", all(a == b and abs(x - y) < 0.008 for (a, x), (b, y) in zip(ids, known)), ids)
    result = stoa_json("scout", frames, "--no-pictures", "--out", work / "frames")
    first = read_csv(work / "frames/orbits.csv")[0]
    check("scout: 14 orbits and a cut one, 575 events and 8,499 candidates in the first",
          (result["orbits"], result["cut_orbits"], first["events"], first["candidates"]) == (14, 1, "575", "8499"), result)


def test_hlt_chain(work, path, chain):
    keys = "events tracks selected vertices us_per_event copies allocations_in_run".split()
    name = "hlt " + " ".join(chain)
    reference = None
    for threads, streams in ((1, 1), (1, 3), (2, 2), (4, 3)):
        out = work / f"hlt_{threads}_{streams}"
        result = stoa_json(
            "hlt", path, *chain, "--no-pictures", "--out", out, "--threads", threads, "--streams", streams
        )
        if not result:
            return
        has_keys(name, result, *keys)
        check(
            f"{name}: no copy, no allocation in the run",
            result["copies"] == {"calls": 0, "bytes": 0} and result["allocations_in_run"] == 0,
            result,
        )
        files = [(out / file).read_bytes() for file in ("tracks.csv", "vertices.csv")]
        reference = reference or files
        check(f"{name}: {threads} threads, {streams} streams give the same files", files == reference)
        vertices = read_csv(out / "vertices.csv")
        tracks = read_csv(out / "tracks.csv")
        check(
            f"{name}: counts are those of the files",
            result["selected"] == len(tracks) and result["vertices"] == len(vertices),
        )
        known = {(v["event"], v["vertex"]) for v in vertices}
        used = [(t["event"], t["vertex"]) for t in tracks if t["vertex"] != "-1"]
        check(f"{name}: tracks are in vertices of their event", used and set(used) <= known)


def test_damaged_hdf5(work):
    """The message is ours alone, also where HDF5's library cannot take down what it made of the file; and where one of many links is
    damaged, of which it would free what it never filled: memory that is not zero tells."""
    path = work / "whole.h5"
    if stoa("generate", "hlt", "--events", 1, "--pileup", 2, "--out", path).returncode:
        return skip("damaged HDF5", "this build has no HDF5")
    data = path.read_bytes()
    links = data.find(b"FRHP")  # the heap of a group of many
    said = set()
    for seed in range(300):
        random.seed(seed)
        changed = bytearray(data)
        first, bytes_changed, changes = (0, 1500, 4) if seed < 200 else (links, 448, 1)
        for _ in range(changes):
            changed[first + random.randrange(bytes_changed)] = random.randrange(256)
        (work / "damaged.h5").write_bytes(changed)
        done = stoa("vertices", work / "damaged.h5", "--out", work / "damaged.csv", env={"MALLOC_PERTURB_": "165"})
        said |= {line for line in done.stderr.splitlines() if not MESSAGE.match(line)}
        if done.returncode not in (0, 1):
            said.add(f"exit {done.returncode}")
    return check("damaged HDF5: exit 0 or 1, no line but the command's", not said, said)


def test_hlt(work, path):
    for chain in HLT_CHAINS:
        test_hlt_chain(work, path, chain)
    big = work / "big.npz"
    stoa("generate", "hlt", "--events", 1, "--pileup", 4000, "--out", big)
    result = stoa_json("hlt", big, "--no-pictures", "--out", work / "big")
    check(
        "hlt: an event beyond 122,880 tracks and 9,984 preselected",
        result and result["tracks"] > 122880 and result["preselected"] > 9984 and result["failed_events"] == 0,
        result,
    )
    rows = read_csv(path)
    next(r for r in rows if r["event"] == rows[0]["event"])["covariance_14"] = "nan"
    write_csv(work / "bad.csv", rows)
    done = stoa(
        "hlt", work / "bad.csv", "--selector", "none", "--no-pictures", "--out", work / "bad", "--json"
    )
    result = json.loads(done.stdout)
    check(
        "hlt: an event with NaN is skipped, counted and named",
        done.returncode == 0
        and result["failed_events"] == 1
        and MESSAGE.match(done.stderr.strip())
        and "covariance" in done.stderr,
        done.stderr,
    )
    (work / "bad.forest").write_bytes(b"STOAFRS1")
    fails("hlt: cut forest", 1, "STOA_EFORMAT", "hlt", path, "--selector", "forest", "--model", work / "bad.forest",
          "--out", work / "f")
    fails(
        "hlt: folder that cannot be", 1, "STOA_EIO", "hlt", path, "--selector", "none", "--out", "/dev/null/x"
    )
    done = stoa("hlt", path, "--selector", "cuts", "--out", work / "pictures", env={"PATH": str(work)})
    check(
        "hlt: without gnuplot one line says so",
        done.returncode == 0 and done.stderr.count("\n") == 1 and "gnuplot" in done.stderr,
        done.stderr,
    )
    check(
        "hlt: scripts are there all the same",
        (work / "pictures" / "roc.gp").exists() and (work / "pictures" / "event.gp").exists(),
    )


def test_hlt_dnn(work, path, runtimes):
    if not runtimes.get("native"):
        return skip("hlt by the DNN", "the native runtime is not in this build")
    if not (SOURCE / "models" / "hlt_high_purity.onnx").exists():
        return skip("hlt by the DNN", "no models/hlt_high_purity.onnx in the source tree")
    one = stoa_json("hlt", path, "--no-pictures", "--out", work / "dnn")
    two = stoa_json("hlt", path, "--no-pictures", "--out", work / "dnn2", "--threads", 2, "--streams", 3)
    if not one or not two:
        return
    check(
        "hlt dnn: no copy, no allocation in the run",
        one["copies"] == {"calls": 0, "bytes": 0} and one["allocations_in_run"] == 0,
    )
    check(
        "hlt dnn: threads and streams give the same files",
        all(
            (work / "dnn" / n).read_bytes() == (work / "dnn2" / n).read_bytes()
            for n in ("tracks.csv", "vertices.csv")
        ),
    )


def test_vertices(work):
    table = work / "z.csv"
    write_csv(
        table,
        [
            {"event": e, "z": v + 0.001 * k, "z_err": 0.005, "pt": 1 + k}
            for e in (4, 2)
            for v in (-3.0, 1.0)
            for k in range(6)
        ],
    )
    result = stoa_json("vertices", table, "--out", work / "v.csv")
    if result:
        has_keys("vertices", result, "events", "tracks", "vertices", "us_per_event")
        rows = read_csv(work / "v.csv")
        check(
            "vertices: columns",
            list(rows[0]) == "event z z_err chi2 ndof pt2_sum tracks".split(),
            list(rows[0]),
        )
        found = sorted((int(r["event"]), round(float(r["z"]), 2), int(r["tracks"])) for r in rows)
        check("vertices: two in each event", found == [(e, v, 6) for e in (2, 4) for v in (-3.0, 1.0)], found)
    fails(
        "vertices: missing column", 1, "STOA_ENAME", "vertices", write_pt_less(work), "--out", work / "v.csv"
    )
    test_physlite(work)


def write_pt_less(work):
    write_csv(work / "no_pt.csv", [{"event": 0, "z": 0.0, "z_err": 0.01}])
    return work / "no_pt.csv"


def test_physlite(work):
    tracks, vertices = DATA / "tracks" / "physlite_tracks.csv", DATA / "tracks" / "physlite_vertices.csv"
    if not tracks.exists():
        return skip("vertices on PHYSLITE", f"no {tracks} (STOA_DATA names another folder)")
    primary = {r["event"]: float(r["z"]) / 10 for r in read_csv(vertices) if r["vertexType"] == "1"}
    rows = [
        {
            "event": r["event"],
            "z": (float(r["z0"]) + float(r["vz"])) / 10,
            "z_err": math.sqrt(float(r["varZ0"])) / 10,
            "pt": abs(math.sin(float(r["theta"])) / float(r["qOverP"])) / 1000,
        }
        for r in read_csv(tracks)
    ]
    write_csv(work / "physlite.csv", rows)
    stoa_json(
        "vertices", work / "physlite.csv", "--errmax", 0.05, "--eps", 0.1, "--out", work / "physlite_v.csv"
    )
    found = {}
    for r in read_csv(work / "physlite_v.csv"):
        found.setdefault(r["event"], []).append(float(r["z"]))
    usable = {}
    for r in rows:
        usable[r["event"]] = usable.get(r["event"], 0) + (r["pt"] >= 0.5)
    events = [e for e, z in primary.items() if usable.get(e, 0) >= 3]
    hits = sum(any(abs(z - primary[e]) <= 0.1 for z in found.get(e, [])) for e in events)
    check(
        f"vertices on PHYSLITE: AMVF's primary within 1 mm in {hits} of {len(events)} events, 78 of 86 needed",
        len(events) == 86 and hits >= 78,
    )
    result = stoa_json("vertices", tracks, "--errmax", 0.05, "--eps", 0.1, "--out", work / "physlite_v.csv")
    counts = result and (result["vertex_within_1mm"], result["vertex_events"])
    check(f"vertices of the events as they are: the same {hits} of {len(events)}", counts == (hits, len(events)), counts)
    result = stoa_json("hlt", tracks, "--no-pictures", "--out", work / "physlite_cuts")
    check("hlt on PHYSLITE: by cuts unless another selector is named",
          result and result["selector"] == "cuts" and result["efficiency"] > 0.85 and result["fake_rate"] < 0.1, result)
    result = stoa_json("hlt", tracks, "--selector", "none", "--no-pictures", "--out", work / "physlite")
    if result:
        check(
            f"hlt on PHYSLITE: {result['vertex_within_1mm']} of {result['vertex_events']}, 85 % needed",
            result["vertex_within_1mm"] >= 0.85 * result["vertex_events"] > 0,
        )


# Two clumps on either side of the seam of a circle and one point alone.
def test_cluster(work):
    rows = [{"eta": 0.01 * i, "phi": 0.05 * i + side, "pt": 1} for side in (-3.1, 2.9) for i in range(4)]
    write_csv(work / "points.csv", [*rows, {"eta": 3, "phi": 0, "pt": 1}])
    out = work / "clusters.csv"
    for name, clusters, args in (("line", 2, ()), ("circle", 1, ("--period", "1=6.2831853")), ("box", 2, ("--metric", "box"))):
        result = stoa_json("cluster", work / "points.csv", *CLUE_OPTIONS, *args, "--out", out)
        has_keys(f"cluster: {name}", result, "points", "clusters", "outliers", "median_us")
        counts = (result["points"], result["clusters"], result["outliers"])
        check(f"cluster: {name}, counts", counts == (9, clusters, 1), result)
        found = read_csv(out)
        ids = [row["cluster_id"] for row in found]
        check(f"cluster: {name}, table", ids[8] == "-1" and len(set(ids)) == clusters + 1, ids)
        seeds = [row["cluster_id"] for row in found if row["is_seed"] == "1"]
        check(f"cluster: {name}, one seed each", sorted(seeds) == [str(c) for c in range(clusters)], seeds)
    fails("cluster: period", 1, "STOA_EINVAL", "cluster", work / "points.csv", *CLUE_OPTIONS, "--period", "2=6", "--out", out)
    path = DATA / "clue" / "data_1024.csv"
    if not path.exists():
        return skip("cluster: data_1024", f"no {path} (STOA_DATA names another folder)")
    result = stoa_json("cluster", path, "--dc", "1.5", "--rhoc", "10", "--dm", "1.5", "--out", out)
    check("cluster: data_1024", (result["clusters"], result["outliers"]) == (20, 103), result)


def test_short(work):
    """Each verb once, several streams and threads: not whether results are right, but that memory and threads are in order."""
    test_usage()
    test_devices()
    rows = [{"event": i // 40, "pt": 1 + i % 7, "eta": 0.1 * (i % 9), "phi": 0.01 * i, "z": i % 3, "z_err": 0.005} for i in range(100)]
    table, model = work / "table.csv", SOURCE / "examples" / "infer.onnx"
    write_csv(table, rows)
    line = ["run", model, "--in", table, "--columns", "pt,eta,phi"]
    ran = stoa_json(*line, "--batch", 7, "--out", work / "scores.csv")
    check("run: 100 rows", ran and ran["rows"] == len(read_csv(work / "scores.csv")) == 100, ran)
    told = stoa_json("inspect", model, "--bind", table, "--columns", "pt,eta,phi", "--emit-c", work / "infer.c")
    check("inspect: in place", told and told["binding"][0]["in_place"], told)
    fails("run: unknown column", 1, "STOA_ENAME", *line[:-1], "pt,eta,psi")
    both = stoa_json("layout", "tracks,vertices", "--rows", "100,10")
    check("layout: two blocks", both and len(both["blocks"]) == 2, both)
    found = stoa_json("vertices", table, "--out", work / "vertices.csv")
    check("vertices: 3 events", found and found["events"] == 3 and found["vertices"] > 0, found)
    found = stoa_json("cluster", table, *CLUE_OPTIONS, "--out", work / "clusters.csv")
    check("cluster: 100 points", found and found["points"] == 100, found)
    events, words = work / "events.csv", work / "words.raw"
    made = stoa_json("generate", "hlt", "--events", 3, "--seed", 3, "--pileup", 10, "--hits", "--out", events)
    for extra in (["--selector", "forest"], ["--vertexing", "divisive", "--legacy", "legacy.csv"], ["--selector", "cuts"]):
        done = stoa_json("hlt", events, "--no-pictures", "--threads", 2, "--streams", 2, *extra, "--out", work / "hlt")
        check(f"hlt {extra[1]}: all events", done and done["events"] == 3 and done["tracks"] == made["rows"], done)
    found = stoa_json("vertices", events, "--out", work / "vertices.csv")
    check("vertices: hard scatter of 3 events", found and found["vertex_events"] == 3, found)
    made = stoa_json("generate", "scout", "--events", 100, "--seed", 3, "--format", "dth256", "--out", words)
    done = stoa_json("scout", words, "--no-pictures", "--threads", 2, "--streams", 2, "--crossings", 30, "--out", work / "scout")
    check("scout: all events", done and done["events"] == 100 and done["candidates"] == made["rows"], done)


def main():
    cache = BUILD / "CMakeCache.txt"
    if not STOA.exists() and cache.exists() and "STOA_BUILD_CLI:BOOL=OFF" in cache.read_text():
        skip("the command line", "this build was configured with STOA_BUILD_CLI=OFF")
        return 0
    if not STOA.exists():
        print(f"FAIL  no {STOA}: build first, or let STOA_BUILD_DIR name the build folder")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if sys.argv[1:] == ["--short"]:
            test_short(work)
            print(f"{failures} checks failed")
            return 1 if failures else 0
        test_usage()
        test_damaged_hdf5(work)
        test_layout(work)
        runtimes = test_devices()
        test_run(work, runtimes)
        test_acts(work, runtimes)
        events = test_generate(work)
        if events:
            test_hlt(work, events)
            test_hlt_dnn(work, events, runtimes)
        test_scout(work)
        test_scout_real(work)
        test_vertices(work)
        test_cluster(work)
    print(f"{failures} checks failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
