# SPDX-License-Identifier: Apache-2.0
"""Packages the committed high-purity selector for the other runtimes, and compares what they select.

    .venv/bin/python tools/export_hlt.py --out out/hlt_high_purity        writes .pt2, .pt and .onnx with a manifest
    .venv/bin/python tools/export_hlt.py --compare out/native out/aoti    folders that `stoa hlt --out` wrote, the first is the reference
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import torch
from onnx import numpy_helper

import stoa
from train_hlt import FEATURES, Selector

SCORE_TOLERANCE = 2e-5  # absolute, of a probability: float32 sums in another order, another logarithm and exp, quotients under a steep slope
MODEL = pathlib.Path(__file__).resolve().parents[1] / "models/hlt_high_purity.onnx"


def selector(path):
    """The network of the .onnx file as a module."""
    weights = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in onnx.load(path).graph.initializer}
    widths = [weights[name].numel() for name in sorted(weights) if name.startswith("bias_")][:-1]
    net = Selector(np.ones((2, len(FEATURES)), np.float32), widths)  # for its shape; its numbers are replaced
    for name in ("low", "high", "mean", "scale"):
        getattr(net, name).copy_(weights[name][0])
    with torch.no_grad():
        for i, layer in enumerate(net.layers):
            layer.weight.copy_(weights[f"weight_{i}"])
            layer.bias.copy_(weights[f"bias_{i}"])
    return torch.nn.Sequential(net, torch.nn.Sigmoid())


def read_run(folder):
    """Scores of the selected tracks by event and track, and the summary."""
    table = np.genfromtxt(folder / "tracks.csv", delimiter=",", names=True)
    scores = {(int(event), int(track)): score for event, track, score in zip(table["event"], table["track"], table["score"])}
    return scores, json.loads((folder / "summary.json").read_text())


def compare(folders):
    """The table of all runs; whether they select the first run's tracks with its scores within the tolerance."""
    reference, _ = read_run(folders[0])
    good = True
    print(f"{'run':14} {'selected':>9} {'other tracks':>13} {'largest score difference':>25} {'selector us/event':>18}")
    for folder in folders:
        scores, summary = read_run(folder)
        others = len(scores.keys() ^ reference.keys())
        difference = max(abs(scores[key] - reference[key]) for key in scores.keys() & reference.keys())
        good &= others == 0 and difference <= SCORE_TOLERANCE
        print(f"{folder.name:14} {len(scores):9d} {others:13d} {difference:25.3g} {summary['us_per_event']['selector']:18.1f}")
    print(f"the same tracks, scores equal within {SCORE_TOLERANCE:g}: {'yes' if good else 'NO'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="path without extension")
    parser.add_argument("--compare", type=pathlib.Path, nargs="+", help="folders of runs")
    options = parser.parse_args()
    if options.out:
        print(stoa.export(selector(MODEL), {"features": stoa.columns(len(FEATURES))}, {"score": stoa.columns(1)}, options.out,
                          ["onnx", "pt2", "pt"]))
    sys.exit(0 if not options.compare or compare(options.compare) else 1)


if __name__ == "__main__":
    main()
