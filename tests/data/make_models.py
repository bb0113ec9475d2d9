# SPDX-License-Identifier: Apache-2.0
"""Writes the models that the C tests load (committed beside this file):

mlp_30_64_64_1.onnx   x [N,30] -> ReLU 64 -> ReLU 64 -> sigmoid y [N,1], random weights, seed 7
two_heads.onnx        a [N,3], b [N,2,2] -> p [N,2] softmax head, r [N] regression head, seed 8
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs, weights):
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, here / f"{name}.onnx")


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def mlp(widths, seed):
    rng = np.random.default_rng(seed)
    nodes, weights, last = [], {}, "x"
    for i, (k, n) in enumerate(zip(widths, widths[1:])):
        weights[f"w{i}"] = rng.normal(size=(n, k)) / np.sqrt(k)
        weights[f"b{i}"] = 0.1 * rng.normal(size=n)
        final = i == len(widths) - 2
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"g{i}"], transB=1))
        nodes.append(helper.make_node("Sigmoid" if final else "Relu", [f"g{i}"], ["y" if final else f"h{i}"]))
        last = f"h{i}"
    save("mlp_" + "_".join(map(str, widths)), nodes, [value("x", widths[0])], [value("y", widths[-1])], weights)


def two_heads(seed):
    rng = np.random.default_rng(seed)
    weights = {"w": rng.normal(size=(7, 16)) / 2, "wb": 0.1 * rng.normal(size=16), "wp": rng.normal(size=(16, 2)), "wr": rng.normal(size=(16, 1))}
    nodes = [
        helper.make_node("Flatten", ["b"], ["flat"], axis=1),
        helper.make_node("Concat", ["a", "flat"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "w", "wb"], ["g"]),
        helper.make_node("Tanh", ["g"], ["h"]),
        helper.make_node("MatMul", ["h", "wp"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"], axis=1),
        helper.make_node("MatMul", ["h", "wr"], ["column"]),
        helper.make_node("Constant", [], ["axis"], value=numpy_helper.from_array(np.array([1], np.int64))),
        helper.make_node("Squeeze", ["column", "axis"], ["r"]),
    ]
    save("two_heads", nodes, [value("a", 3), value("b", 2, 2)], [value("p", 2), value("r")], weights)


mlp([30, 64, 64, 1], 7)
two_heads(8)
