# SPDX-License-Identifier: Apache-2.0
"""Writes the high-purity selector with its layers in float16, for `stoa hlt --model`.

    .venv/bin/python tools/half_hlt.py models/hlt_high_purity.onnx out/hlt_high_purity_half.onnx

What goes into the first layer is normalised; before that logarithms and covariances of 1e-8 need float32, and the columns stay
float32 too. Runtimes differ in what they make of it: ONNX Runtime rounds each layer to float16, the native engine its weights and
what goes in, and computes in float32.
"""
import sys

import onnx
from onnx import TensorProto, helper, numpy_helper


def half(model):
    graph = model.graph
    layers = {name for node in graph.node if node.op_type == "Gemm" for name in node.input[1:]}
    for constant in graph.initializer:
        if constant.name in layers:
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant).astype("float16"), constant.name))
    nodes = list(graph.node)
    first = next(k for k, node in enumerate(nodes) if node.op_type == "Gemm")
    last = nodes[-1]
    narrow = helper.make_node("Cast", [nodes[first].input[0]], ["narrow"], to=TensorProto.FLOAT16)
    nodes[first].input[0] = "narrow"
    wide = helper.make_node("Cast", ["narrow_" + last.output[0]], [last.output[0]], to=TensorProto.FLOAT)
    last.output[0] = "narrow_" + last.output[0]
    del graph.node[:]
    graph.node.extend([*nodes[:first], narrow, *nodes[first:], wide])
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(half(onnx.load(sys.argv[1])), sys.argv[2])
