# SPDX-License-Identifier: Apache-2.0
"""Writes the committed corpus of fuzz_onnx: small random graphs of tests/python/test_random_graphs.py and a net of nodes and edges, whole,
cut off and with bytes changed, each from a fixed seed. Run with PYTHONPATH=python:tests/python."""
import pathlib

import numpy
import test_random_graphs
from onnx import TensorProto, helper

folder = pathlib.Path(__file__).parent / "corpus/onnx"
folder.mkdir(parents=True, exist_ok=True)
rng = numpy.random.default_rng(1)


def write(name, data):
    (folder / f"graph_{name}.onnx").write_bytes(data)
    (folder / f"cut_{name}.onnx").write_bytes(data[: int(rng.integers(1, len(data)))])
    changed = bytearray(data)
    for at in rng.integers(0, len(data), 6):
        changed[at] = int(rng.integers(0, 256))
    (folder / f"changed_{name}.onnx").write_bytes(bytes(changed))


def nodes_and_edges():
    """What nodes hear from those that edges come from, and what each edge makes of it."""
    node, value = helper.make_node, helper.make_tensor_value_info
    steps = [node("Exp", ["x"], ["loud"]), node("Gather", ["loud", "from"], ["heard"]),
             node("Shape", ["x"], ["shape"]), node("ConstantOfShape", ["shape"], ["silence"]),
             node("ScatterND", ["silence", "to", "heard"], ["all"], reduction="add"),
             node("ScatterND", ["x", "to", "heard"], ["loudest"], reduction="max"),
             node("Mul", ["all", "loudest"], ["y"]), node("Gather", ["y", "from"], ["y_there"]), node("Sub", ["y_there", "heard"], ["z"])]
    inputs = [value("x", TensorProto.FLOAT, ["nodes", 2]), value("from", TensorProto.INT64, ["edges"]),
              value("to", TensorProto.INT64, ["edges", 1])]
    outputs = [value("y", TensorProto.FLOAT, ["nodes", 2]), value("z", TensorProto.FLOAT, ["edges", 2])]
    return helper.make_model(helper.make_graph(steps, "axes", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


kept = 0
for seed in range(1000, 1400):
    data = test_random_graphs.build(seed).SerializeToString()
    if len(data) > 3000:
        continue
    write(seed, data)
    kept += 1
    if kept == 12:
        break
write("rows", nodes_and_edges().SerializeToString())
print(f"{3 * (kept + 1)} files")
