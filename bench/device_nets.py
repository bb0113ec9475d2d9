# SPDX-License-Identifier: Apache-2.0
"""The networks of `stoa bench device_models`, packaged: .onnx, .pt, and .pt2 without and on libtorch.

    PYTHONPATH=python:tests/python:tools .venv/bin/python bench/device_nets.py FOLDER [--device cuda] [NAME..]

What is there stays. Weights are the same on every machine, so that files made on several go together: a .pt2 for CUDA is compiled on the GPU
that runs it. What cannot be made here is said. The high-purity selector is the one in models/, which takes the module onnx to read.
"""
import argparse
import pathlib
import sys

import torch
from torch import nn

import nets
import stoa


class PuppiTau(nn.Module):
    """The shape of CMS's NNPuppiTau, two heads, with weights of ours; hidden values are clipped to the range of the firmware's type."""

    WIDTHS = (80, 25, 25, 15, 15, 10)

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.WIDTHS, self.WIDTHS[1:]))
        self.id, self.pt_factor = nn.Linear(self.WIDTHS[-1], 1), nn.Linear(self.WIDTHS[-1], 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in self.hidden:
            features = torch.clamp(layer(features), 0, 511 / 512)
        return torch.sigmoid(self.id(features)), self.pt_factor(features)


def lively(net: nn.Module) -> nn.Module:
    """With weights that keep the size of the values from layer to layer, so that results differ from row to row."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    return net


def mlp() -> nn.Module:
    return lively(nn.Sequential(*nets.hidden((30, 64, 64)), nn.Linear(64, 1), nn.Sigmoid()))


def high_purity() -> nn.Module:
    import export_hlt

    return export_hlt.selector(export_hlt.MODEL)


X, SCORE = {"x": stoa.columns(30)}, {"score": stoa.columns(1)}
CASES = {
    "simple": nets.CASES["simple"],
    "selector": nets.CASES["selector"],
    "mlp_30_64_64_1": nets.Case(mlp, 6_209, X, SCORE, nets.ALL),
    "puppi_tau": nets.Case(lambda: lively(PuppiTau()), 3_507, {"features": stoa.columns(80)}, {"id": stoa.columns(1), "pt_factor": stoa.columns(1)}, nets.ALL),
    "hlt_high_purity": nets.Case(high_purity, 5_586, {"features": stoa.columns(17)}, SCORE, nets.TORCH),
}


def make(folder: pathlib.Path, name: str, device: str) -> None:
    """Each file by itself: one that cannot be made here does not keep the others from it."""
    case = CASES[name]
    files = [(name, format, False) for format in case.formats] + [(f"{name}_libtorch", "pt2", True)]
    for stem, format, libtorch in files:
        if (folder / f"{stem}.{format}").exists():
            continue
        try:
            print(stoa.export(case.module(), case.inputs, case.outputs, folder / stem, [format], libtorch=libtorch, device=device), flush=True)
        except (ImportError, stoa.StoaExportError) as error:
            print(f"{stem}.{format} left out: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="that a .pt2 is for")
    options = parser.parse_args()
    unknown = set(options.names) - set(CASES)
    if unknown:
        parser.error(f"no networks {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or CASES:
        make(options.folder, name, options.device)


if __name__ == "__main__":
    sys.exit(main())
