# SPDX-License-Identifier: Apache-2.0
"""Writes the small model that examples/infer.c runs: y = sigmoid(w2 relu(w1 x + b1) + b2), x [N,3], y [N,1]."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)
weights = {"w1": rng.normal(size=(3, 8)), "b1": rng.normal(size=8), "w2": rng.normal(size=(8, 1)), "b2": rng.normal(size=1)}
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"]),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("Gemm", ["h2", "w2", "b2"], ["h3"]),
        helper.make_node("Sigmoid", ["h3"], ["y"]),
    ],
    "example",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), sys.argv[1])
