# SPDX-License-Identifier: Apache-2.0
"""Files of tracks and models: `stoa hlt` gives the same on blobs as on tables; ROOT against the derived CSV of the real
inputs; CATrackDNN against its formula."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

SOURCE = pathlib.Path(os.environ["STOA_SOURCE_DIR"])
STOA = pathlib.Path(os.environ["STOA_BUILD_DIR"]) / "cli" / "stoa"
DATA = pathlib.Path(os.environ.get("STOA_DATA") or SOURCE.parent / "shared" / "data") / "tracks"
try:
    import h5py  # noqa: F401
    import uproot  # noqa: F401
except ImportError as missing:
    print(f"skip: {missing.name} is not in this Python")
    sys.exit(77)
from stoa import convert  # noqa: E402

failures = 0


def check(name, ok, detail=""):
    global failures
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'}  {name}" + (f": {detail}" if not ok else ""), flush=True)


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def command(source, target):
    run(sys.executable, "-m", "stoa", "convert", source, target)


def hlt(events, out, *more):
    return json.loads(run(STOA, "hlt", events, "--out", out, "--no-pictures", "--json", "--vertexing", "divisive", *more))


def test_blobs(folder):
    for suffix in ("h5", "npz", "csv"):
        events = folder / f"events.{suffix}"
        run(STOA, "generate", "hlt", "--events", 3, "--pileup", 20, "--out", events)
        command(events, folder / "events.soa")
        table, blobs = hlt(events, folder / "table"), hlt(folder / "events.soa", folder / "blobs", "--threads", 2, "--streams", 2)
        same = all(table[key] == blobs[key] for key in ("tracks", "preselected", "selected", "vertices"))
        check(f"{suffix} to blobs: counts", same, (table, blobs))
        check(f"{suffix} to blobs: vertices.csv",
              (folder / "table/vertices.csv").read_text() == (folder / "blobs/vertices.csv").read_text())
        kept = np.genfromtxt(folder / "blobs/tracks.csv", delimiter=",", names=True)
        source = convert.read_table(events)
        hits, numbers = 0, np.asarray(source["event"])
        for event in np.unique(kept["event"]):
            hits += int(source["nHits"][numbers == event][kept["track"][kept["event"] == event].astype(int)].sum())
        check(f"{suffix} to blobs: hits of the selected tracks", blobs["selected_hits"] == hits and table["selected_hits"] == 0,
              (blobs["selected_hits"], hits))
        back = folder / f"back.{suffix}"
        command(folder / "events.soa", back)
        returned = convert.read_table(back)
        check(f"blobs back to {suffix}", all(np.array_equal(returned[name], source[name]) for name in returned))


def test_absurd_count(folder):
    """An event whose count is beyond its rows, and one that is negative, are skipped and named; the others run."""
    events = folder / "events.h5"
    run(STOA, "generate", "hlt", "--events", 4, "--pileup", 20, "--out", events)
    command(events, folder / "good.soa")
    data, at, first = bytearray((folder / "good.soa").read_bytes()), 0, {}
    for event, count in enumerate((None, -3, 2_000_000, None)):
        tracks, hits = np.frombuffer(data, "<u4", 2, at + 16)
        size = int(np.frombuffer(data, "<u8", 1, at + 24)[0])
        padded = lambda item: -(-int(tracks) * item // 128) * 128
        place = at + 128 + 2 * padded(1) + 24 * padded(4)  # quality, nLayers; 23 columns of floats and the offsets
        check(f"event {event}: nTracks found", int(np.frombuffer(data, "<i4", 1, place)[0]) == tracks)
        if count is not None:
            data[place : place + 4] = np.array(count, "<i4").tobytes()
        at += 128 + size
    (folder / "bad.soa").write_bytes(data)
    done = subprocess.run([STOA, "hlt", folder / "bad.soa", "--out", folder / "bad", "--no-pictures", "--json", "--threads", "2",
                           "--streams", "3"], capture_output=True, text=True)
    result = json.loads(done.stdout)
    check("absurd counts: two of four failed", result["failed_events"] == 2 and done.returncode == 0, result)
    check("absurd counts: named", "event 1: -3 tracks" in done.stderr and "event 2: 2000000 tracks" in done.stderr, done.stderr)
    good = hlt(folder / "good.soa", folder / "all")
    check("absurd counts: the others run", 0 < result["selected"] < good["selected"], (result["selected"], good["selected"]))


def test_root(folder):
    if not (DATA / "physlite.root").exists():
        return print(f"skip  ROOT: no {DATA}/physlite.root (STOA_DATA names another folder)")
    for suffix in ("csv", "h5"):
        target = folder / f"physlite.{suffix}"
        command(DATA / "physlite.root", target)
    found = np.genfromtxt(folder / "physlite.csv", delimiter=",", names=True)
    expected = np.genfromtxt(DATA / "physlite_tracks.csv", delimiter=",", names=True)
    check("ROOT: rows", len(found) == len(expected), (len(found), len(expected)))
    for name in found.dtype.names:
        check(f"ROOT: {name}", np.allclose(found[name], expected[name], rtol=1e-6, atol=0))
    found = np.genfromtxt(folder / "physlite.vertices.csv", delimiter=",", names=True)
    expected = np.genfromtxt(DATA / "physlite_vertices.csv", delimiter=",", names=True)
    for name in found.dtype.names:
        check(f"ROOT vertices: {name}", np.allclose(found[name], expected[name], rtol=1e-6, atol=0))
    keys = ("tracks", "selected", "vertices", "vertex_events", "vertex_within_1mm", "efficiency")
    results = [hlt(path, folder / "out") for path in (folder / "physlite.h5", DATA / "physlite_tracks.csv")]
    check("stoa hlt: the same from ROOT by HDF5", all(results[0][k] == results[1][k] for k in keys), results)
    return None


def test_ca_track_dnn(folder):
    weights = DATA.parent / "models" / "ca_track_dnn_prompt.weights.txt"
    if not weights.exists():
        return print(f"skip  CATrackDNN: no {weights} (STOA_DATA names another folder)")
    sys.path.insert(0, str(SOURCE / "tools"))
    from ca_track_dnn import read_weights

    run(sys.executable, SOURCE / "tools" / "ca_track_dnn.py", weights, folder / "ca.onnx")
    t = {name: values.astype(np.float64) for name, values in read_weights(weights).items()}
    x = (t["kMean"] + t["kScale"] * np.random.default_rng(3).normal(size=(500, 12))).astype(np.float32)
    np.save(folder / "x.npy", x)
    run(STOA, "run", folder / "ca.onnx", "--in", folder / "x.npy", "--out", folder / "y.npz")
    h = np.maximum(((x - t["kMean"]) / t["kScale"]) @ t["kW1"] + t["kB1"], 0)
    score = 1 / (1 + np.exp(-(np.maximum(h @ t["kW2"] + t["kB2"], 0) @ t["kW3"] + t["kB3"])))
    found = np.load(folder / "y.npz")["score"].reshape(-1, 1)
    check("CATrackDNN: stoa run equals the formula, atol 5e-6", np.abs(found - score).max() < 5e-6, np.abs(found - score).max())
    check("CATrackDNN: scores are spread", score.std() > 0.1, score.std())
    return None


with tempfile.TemporaryDirectory() as name:
    test_ca_track_dnn(pathlib.Path(name))
    test_blobs(pathlib.Path(name))
    test_absurd_count(pathlib.Path(name))
    test_root(pathlib.Path(name))
sys.exit(failures > 0)
