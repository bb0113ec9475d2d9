# SPDX-License-Identifier: Apache-2.0
"""Builds CMS's NNPuppiTau network as .onnx from its published weights.

    .venv/bin/python tools/build_puppi_tau.py ../shared/data/models/nn_puppi_tau_v1.weights.txt out/nn_puppi_tau.onnx

features [taus, 80] -> 25 -> 25 -> 15 -> 15 -> 10 -> id [taus, 1] (sigmoid) and pt_factor [taus, 1]. Every hidden output is clipped to
[0, 511/512], the range of the firmware's type: without it the network is another one. The file has lines `tensor NAME SIZES`, then numbers,
dense weights [in][out]; the weights are not part of this project.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def read(path):
    tensors, name = {}, None
    for line in open(path):
        words = line.split()
        if words[:1] == ["tensor"]:
            name = words[1]
            tensors[name] = ([int(size) for size in words[2:]], [])
        elif words and not line.startswith("#"):
            tensors[name][1].extend(map(float, words))
    return {name: np.array(values, np.float32).reshape(shape) for name, (shape, values) in tensors.items()}


def build(tensors):
    nodes, weights = [], [numpy_helper.from_array(np.float32(0), "low"), numpy_helper.from_array(np.float32(511 / 512), "high")]

    def dense(number, source, target):
        for kind in "wb":
            weights.append(numpy_helper.from_array(tensors[f"{kind}{number}"], f"{kind}{number}"))
        nodes.append(helper.make_node("Gemm", [source, f"w{number}", f"b{number}"], [target]))

    source = "features"
    for number in (2, 5, 8, 11, 14):
        dense(number, source, f"sum_{number}")
        source = f"hidden_{number}"
        nodes.append(helper.make_node("Clip", [f"sum_{number}", "low", "high"], [source]))
    dense(17, source, "logit")
    nodes.append(helper.make_node("Sigmoid", ["logit"], ["id"]))
    dense(20, source, "pt_factor")
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["taus", width])
    graph = helper.make_graph(nodes, "nn_puppi_tau", [value("features", 80)], [value("id", 1), value("pt_factor", 1)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tools/build_puppi_tau.py")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = build(read(sys.argv[1]))
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])
