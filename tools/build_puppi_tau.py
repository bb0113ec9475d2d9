# SPDX-License-Identifier: Apache-2.0
"""Builds CMS's NNPuppiTau network as .onnx from its published weights.

    .venv/bin/python tools/build_puppi_tau.py ../shared/data/models/nn_puppi_tau_v1.weights.txt out/nn_puppi_tau.onnx

features [taus, 80] -> 25 -> 25 -> 15 -> 15 -> 10 -> id [taus, 1] (sigmoid) and pt_factor [taus, 1]. Every hidden output is
clipped to [0, 511/512], the range of the firmware's type: without it the network is another one. The file has lines `tensor NAME
SIZES`, then numbers, dense weights [in][out]; the weights are not part of this project.
"""
import sys

import numpy as np
from onnx_graph import Graph


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


def build(tensors, path):
    graph = Graph("nn_puppi_tau", "taus")
    limits = [graph.constant("low", 0.0), graph.constant("high", 511 / 512)]

    def dense(number, source, target):
        parts = [graph.constant(name, tensors[name]) for name in (f"w{number}", f"b{number}")]
        return graph.node("Gemm", [source, *parts], target)

    source = "features"
    for number in (2, 5, 8, 11, 14):
        source = graph.node("Clip", [dense(number, source, f"sum_{number}")] + limits, f"hidden_{number}")
    graph.node("Sigmoid", [dense(17, source, "logit")], "id")
    dense(20, source, "pt_factor")
    graph.save(path, {"features": [80]}, {"id": [1], "pt_factor": [1]}, "tools/build_puppi_tau.py")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build(read(sys.argv[1]), sys.argv[2])
