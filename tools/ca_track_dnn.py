# SPDX-License-Identifier: Apache-2.0
"""Writes CMSSW's CATrackDNN as .onnx, from a text file of its numbers: the gate that lifts tracks from strict to tight.

    .venv/bin/python tools/ca_track_dnn.py ../shared/data/models/ca_track_dnn_prompt.weights.txt out/ca_track_dnn.onnx
    build/release/cli/stoa run out/ca_track_dnn.onnx --in features.csv

The file holds lines `tensor NAME SHAPE..`, each followed by that many numbers: kMean, kScale, kW1 [in][out], kB1, kW2, kB2,
kW3, kB3. The model: standardisation, 12-32-16-1, ReLU, sigmoid, on `features` [N,12] -> `score` [N,1]:

    log1p(chi2 clipped to 0..1e4, NaN: 1e4), psFrac, r0, nPS, nHits, spanZ, nStubs, nLayers, log1p(max(chi2Stub, 0)),
    kErr (-1: none), dcaEst, nBarrel

The features need the positions of the hits, which TracksSoA does not carry: they are the caller's to fill.
"""
import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def read_weights(path):
    """Tensors by name."""
    tensors, name, shape, numbers = {}, None, (), []
    for line in [*pathlib.Path(path).read_text().splitlines(), "tensor end"]:
        words = line.split("#")[0].split()
        if words and words[0] == "tensor":
            if name:
                if len(numbers) != np.prod(shape):
                    raise ValueError(f"{path}: tensor {name}: {len(numbers)} numbers, {shape} needed")
                tensors[name] = np.array(numbers, np.float32).reshape(shape)
            name, shape, numbers = words[1], tuple(map(int, words[2:])), []
        else:
            numbers += map(float, words)
    return tensors


def build(tensors):
    constants = {"mean": tensors["kMean"], "scale": tensors["kScale"]}
    nodes = [helper.make_node("Sub", ["features", "mean"], ["centred"]), helper.make_node("Div", ["centred", "scale"], ["h0"])]
    for layer in (1, 2, 3):
        constants |= {f"w{layer}": tensors[f"kW{layer}"], f"b{layer}": tensors[f"kB{layer}"]}
        nodes.append(helper.make_node("Gemm", [f"h{layer - 1}", f"w{layer}", f"b{layer}"], [f"sum{layer}"]))
        function, output = ("Sigmoid", "score") if layer == 3 else ("Relu", f"h{layer}")
        nodes.append(helper.make_node(function, [f"sum{layer}"], [output]))
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tracks", width])
    graph = helper.make_graph(nodes, "ca_track_dnn", [value("features", 12)], [value("score", 1)],
                              [numpy_helper.from_array(array, name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("out")
    options = parser.parse_args()
    model = build(read_weights(options.weights))
    onnx.checker.check_model(model)
    onnx.save(model, options.out)


if __name__ == "__main__":
    main()
