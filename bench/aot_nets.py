# SPDX-License-Identifier: Apache-2.0
"""The networks of `stoa bench aot`: packages of them, and the times of eager PyTorch.

    PYTHONPATH=python:tests/python .venv/bin/python bench/aot_nets.py FOLDER       makes what is not there yet; minutes
    PYTHONPATH=python:tests/python .venv/bin/python bench/aot_nets.py --eager ROWS NAME..    name, call 1 to 20 and steady state in ns, a line each
"""
import pathlib
import statistics
import sys
import time

import torch
from torch import nn

import nets
import stoa

WIDTHS = {"mlp_1e3": 24, "mlp_1e4": 92, "mlp_1e5": 308, "mlp_1e6": 992, "mlp_1e7": 3155}  # of two hidden layers; 16 inputs, one output
STEADY_CALLS = 100


def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def case(name: str) -> nets.Case:
    if name in WIDTHS:
        width = WIDTHS[name]
        parameters = 17 * width + (width + 1) * width + width + 1
        return nets.Case(lambda: mlp(width), parameters, {"x": stoa.columns(16)}, {"y": stoa.columns(1)}, ("onnx", "pt2", "pt"))
    return nets.CASES[name]


def eager(name: str, rows: int) -> list[float]:
    """Times of calls on a row-major tensor, as one calls PyTorch."""
    made = case(name)
    net, (tensor,) = made.module(), made.inputs.values()
    x, times = torch.randn(rows, *tensor.shape), []
    with torch.inference_mode():
        for _ in range(20 + STEADY_CALLS):
            begin = time.perf_counter_ns()
            net(x)
            times.append(time.perf_counter_ns() - begin)
    return times[:20] + [statistics.median(times[20:])]


def main() -> None:
    if sys.argv[1] == "--eager":
        torch.set_num_threads(1)
        for name in sys.argv[3:]:
            print(name, *eager(name, int(sys.argv[2])))
        return
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("simple", "multihead", "resnet", *WIDTHS):
        made = case(name)
        if not all((folder / f"{name}.{format}").exists() for format in made.formats):
            print(stoa.export(made.module(), made.inputs, made.outputs, folder / name, made.formats), flush=True)


if __name__ == "__main__":
    main()
