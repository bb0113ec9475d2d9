# SPDX-License-Identifier: Apache-2.0
"""stoa run --precision on the fake driver, whose tensor cores are emulated: a layer gives what NumPy gives with rounded inputs and weights,
and the committed selector's scores stay near float32's on simulated tracks. What the latter differ by is printed."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["STOA_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["STOA_BUILD_DIR"])
FAKE_DRIVER = BUILD / "tests/fake_cuda/lib"
MODEL = SOURCE / "models/hlt_high_purity.onnx"
THRESHOLD = 0.4  # of the HLT job
# Rounding unit; largest difference of a score and share of tracks on the other side of the threshold that are accepted here.
PRECISIONS = {"float32": (0, 1e-6, 0), "tfloat32": (2**-11, 0.05, 0.002), "bfloat16": (2**-8, 0.3, 0.01), "float16": (2**-11, 0.05, 0.002)}
failures = 0


def check(name, good, text=""):
    global failures
    failures += not good
    print(f"{'ok' if good else 'FAILED'}  {name}{'' if good else f': {text}'}", flush=True)


def run(*options, fake=True):
    environment = {**os.environ, "LD_LIBRARY_PATH": str(FAKE_DRIVER) if fake else ""}
    return subprocess.run([str(BUILD / "cli/stoa"), *map(str, options)], capture_output=True, text=True, env=environment)


def results(model, table, out, precision, device="cuda:0"):
    """Its outputs; NumPy's array of the first."""
    import numpy

    ran = run("run", model, "--in", table, "--out", out, "--device", device, "--precision", precision, "--json")
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    check(f"{precision} is reported", json.loads(ran.stdout)["precision"] == precision, ran.stdout)
    with numpy.load(out) as arrays:
        return numpy.column_stack([arrays[name] for name in sorted(arrays.files)])


def rounded(values, precision):
    """float32 with fewer bits behind the point, to the nearest even number."""
    import numpy

    if precision == "float16":
        return values.astype(numpy.float16).astype(numpy.float32)
    dropped = {"float32": 0, "tfloat32": 13, "bfloat16": 16}[precision]
    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    if dropped:
        bits = (bits + (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)) >> dropped << dropped
    return bits.astype(numpy.uint32).view(numpy.float32)


def a_layer_is_numpys(folder):
    import numpy
    import onnx
    from onnx import helper, numpy_helper

    random = numpy.random.default_rng(5)
    weight = random.normal(size=(12, 8)).astype(numpy.float32)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "layer",
                              [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 12])],
                              [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 8])], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "layer.onnx")
    x = random.normal(size=(100, 12)).astype(numpy.float32)
    numpy.save(folder / "x.npy", x)
    exact = x.astype(numpy.float64) @ weight
    for precision, (unit, _, _) in PRECISIONS.items():
        found = results(folder / "layer.onnx", folder / "x.npy", folder / "y.npz", precision)
        expected = rounded(x, precision).astype(numpy.float64) @ rounded(weight, precision)
        check(f"{precision}: NumPy's product of rounded numbers", abs(found - expected).max() < 1e-5, abs(found - expected).max())
        error = abs(found - exact).max()
        check(f"{precision}: rounds as much as it should", unit / 4 <= error <= 40 * unit + 1e-5, error)


def the_selector_stays_near(folder):
    """On the features of a simulated event at pile-up 200, as they are in training."""
    import numpy

    sys.path.append(str(SOURCE / "tools"))
    import train_hlt

    made = run("generate", "hlt", "--events", 1, "--seed", 99, "--pileup", 200, "--out", folder / "tracks.npz")
    check("an event", made.returncode == 0, made.stderr)
    numpy.save(folder / "features.npy", train_hlt.features(folder / "tracks.npz")[0])
    scores = results(MODEL, folder / "features.npy", folder / "scores.npz", "float32", "host")
    for precision, (_, difference_max, moved_max) in PRECISIONS.items():
        found = results(MODEL, folder / "features.npy", folder / "scores.npz", precision)
        difference, moved = abs(found - scores), ((found >= THRESHOLD) != (scores >= THRESHOLD)).mean()
        print(f"{precision}: {len(scores)} tracks; scores differ by {difference.max():.2g} at most, {difference.mean():.2g} in the mean; "
              f"{100 * moved:.2g} % are on the other side of {THRESHOLD}")
        check(f"{precision}: near float32", difference.max() <= difference_max and moved <= moved_max, f"{difference.max()}, {moved}")


def misuse_is_refused(folder):
    ran = run("run", MODEL, "--in", folder / "features.npy", "--precision", "float8")
    check("an unknown precision is wrong usage", ran.returncode == 2 and "float8" in ran.stderr, ran.stderr)
    ran = run("run", MODEL, "--in", folder / "features.npy", "--precision", "float16")
    check("the host computes in float32 only", ran.returncode == 1 and "STOA_ENOTSUP" in ran.stderr, ran.stderr)


def main():
    if not FAKE_DRIVER.exists():
        print("skip: this build has no CUDA back end")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for part in (a_layer_is_numpys, the_selector_stays_near, misuse_is_refused):
            part(pathlib.Path(folder))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
