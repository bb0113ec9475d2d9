# SPDX-License-Identifier: Apache-2.0
"""Writes the committed corpus of fuzz_onnx: small random graphs of tests/python/test_random_graphs.py, whole, cut off and with bytes
changed, each from a fixed seed. Run with PYTHONPATH=python:tests/python."""
import pathlib

import numpy
import test_random_graphs

folder = pathlib.Path(__file__).parent / "corpus/onnx"
folder.mkdir(parents=True, exist_ok=True)
rng = numpy.random.default_rng(1)
kept = 0
for seed in range(1000, 1400):
    data = test_random_graphs.build(seed).SerializeToString()
    if len(data) > 3000:
        continue
    (folder / f"graph_{seed}.onnx").write_bytes(data)
    (folder / f"cut_{seed}.onnx").write_bytes(data[: int(rng.integers(1, len(data)))])
    changed = bytearray(data)
    for at in rng.integers(0, len(data), 6):
        changed[at] = int(rng.integers(0, 256))
    (folder / f"changed_{seed}.onnx").write_bytes(bytes(changed))
    kept += 1
    if kept == 12:
        break
print(f"{3 * kept} files")
