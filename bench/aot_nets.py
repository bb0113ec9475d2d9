# SPDX-License-Identifier: Apache-2.0
"""The networks of `stoa bench aot`: packages of them, and the times of eager PyTorch.

    PYTHONPATH=python:tests/python .venv/bin/python bench/aot_nets.py FOLDER       makes what is not there yet; minutes
    PYTHONPATH=python:tests/python .venv/bin/python bench/aot_nets.py --eager ROWS NAME    calls it once for each line that it reads; ns
"""
import pathlib
import sys
import time

import torch
from torch import nn

import nets
import stoa

WIDTHS = {"mlp_1e3": 24, "mlp_1e4": 92, "mlp_1e5": 308, "mlp_1e6": 992, "mlp_1e7": 3155}  # of two hidden layers; 16 inputs, one output

def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def case(name: str) -> nets.Case:
    if name in WIDTHS:
        width = WIDTHS[name]
        parameters = 17 * width + (width + 1) * width + width + 1
        return nets.Case(lambda: mlp(width), parameters, {"x": stoa.columns(16)}, {"y": stoa.columns(1)}, ("onnx", "pt2", "pt"), libtorch=True)
    return nets.CASES[name]


def eager(name: str, rows: int) -> None:
    """A call on a row-major tensor, as one calls PyTorch, for each line of standard input; its time in ns."""
    made = case(name)
    net, (tensor,) = made.module(), made.inputs.values()
    x = torch.randn(rows, *tensor.shape)
    torch.set_num_threads(1)
    with torch.inference_mode():
        for _ in sys.stdin:
            begin = time.perf_counter_ns()
            net(x)
            print(time.perf_counter_ns() - begin, flush=True)


def main() -> None:
    if sys.argv[1] == "--eager":
        eager(sys.argv[3], int(sys.argv[2]))
        return
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("halves", "simple", "multihead", "resnet", *WIDTHS):
        made = case(name)
        for stem, formats, libtorch in ((name, made.formats, False), (f"{name}_libtorch", ("pt2",), True)):
            if not all((folder / f"{stem}.{format}").exists() for format in formats):
                print(stoa.export(made.module(), made.inputs, made.outputs, folder / stem, formats, libtorch=libtorch), flush=True)


if __name__ == "__main__":
    main()
