# SPDX-License-Identifier: Apache-2.0
"""The networks of CMSSW's PyTorchAlpaka tests, written anew from their descriptions, and the selector's shape.

CASES says of each what it takes and gives; packages and tests are made from that table.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import torch
from torch import nn

from stoa import Columns, columns


class Linear(nn.Module):
    """y = W x with the weights of testExportLinearDnn.py."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[-0.1, 0.2, 2.0], [0.1, -2.3, 4.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight)


def hidden(widths: Sequence[int]) -> list[nn.Module]:
    """Linear layers with a ReLU behind each."""
    return [layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]


BACKBONE = (3, 32, 64, 256, 64, 32)


def simple_net() -> nn.Module:
    """3-32-64-256-64-32-1, ReLU."""
    return nn.Sequential(*hidden(BACKBONE), nn.Linear(BACKBONE[-1], 1))


def selector() -> nn.Module:
    """The shape of the high-purity selector: 17-32-32-32-1."""
    return nn.Sequential(*hidden((17, 32, 32, 32)), nn.Linear(32, 1), nn.Sigmoid())


class MaskedNet(nn.Module):
    """The sum of what is not masked, times a scalar of the event."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return (x * (1 - mask.to(x.dtype))).sum(1, keepdim=True) * scale


class Echo(nn.Module):
    """Gives what it takes: what a runtime reads of each data type and stride, and several outputs of one kind."""

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tensors


class MultiHeadNet(nn.Module):
    """A regression and a class head on SimpleNet's backbone; constant weights, so that its results have a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*hidden(BACKBONE))
        self.regression, self.classes = nn.Linear(BACKBONE[-1], 1), nn.Linear(BACKBONE[-1], 3)
        with torch.no_grad():
            for layer in self.backbone:
                if isinstance(layer, nn.Linear):
                    layer.weight.fill_(0.025)
                    layer.bias.fill_(0.1)
            self.regression.weight.fill_(0.03)
            self.regression.bias.fill_(0.1)
            self.classes.weight.copy_(torch.tensor([[0.06], [0.07], [0.08]]))
            self.classes.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.backbone(x)
        return self.regression(features), torch.softmax(self.classes(features), 1)


def normalized(taken: int, given: int, stride: int = 1) -> list[nn.Module]:
    """A 3 x 3 convolution without bias and its batch normalisation, whose statistics are not the trivial ones."""
    norm = nn.BatchNorm2d(given)
    nn.init.uniform_(norm.running_mean, -0.2, 0.2)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return [nn.Conv2d(taken, given, 3, stride, padding=1, bias=False), norm]


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*normalized(width, width), nn.ReLU(), *normalized(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.inner(x))


class TinyResNet(nn.Module):
    """Three images of 9 x 9 to ten classes. The number of parameters stated says which layers are normalised: all but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), ResidualBlock(16), ResidualBlock(16),
                                      *normalized(16, 32, stride=2), nn.ReLU(), ResidualBlock(32), ResidualBlock(32))
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.head(self.features(image).mean((2, 3))), 1)


class TrackHitDeepSet(nn.Module):
    """Each track scored with the sum of what its hits are embedded to.

    Tracks may be one batch of the event's, which starts at `track_begin`, beside all hits of the event: hits of other tracks fall
    into a row behind the last track, which is cut off.
    """

    EMBED = 16

    def __init__(self) -> None:
        super().__init__()
        widths = (3, self.EMBED, self.EMBED)
        self.track, self.hit = nn.Sequential(*hidden(widths)), nn.Sequential(*hidden(widths))
        self.head = nn.Sequential(*hidden((2 * self.EMBED, self.EMBED)), nn.Linear(self.EMBED, 1), nn.Sigmoid())

    def forward(self, tracks: torch.Tensor, hits: torch.Tensor, hit_to_track: torch.Tensor, track_begin: torch.Tensor,
                hit_scale: torch.Tensor) -> torch.Tensor:
        n = tracks.shape[0]
        track = (hit_to_track - track_begin).squeeze(1)
        track = torch.where((track >= 0) & (track < n), track, n)
        pooled = torch.zeros(n + 1, self.EMBED, dtype=tracks.dtype).index_add(0, track, self.hit(hits) * hit_scale)
        return self.head(torch.cat([self.track(tracks), pooled[:n]], 1))


class HalfInside(nn.Module):
    """A network in half precision over float columns: conversions are part of the program."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net.to(dtype), dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.to(self.dtype)).to(torch.float32)


class FloatInside(nn.Module):
    """The other way round: columns stored in half precision, the network in float."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.to(torch.float32)).to(x.dtype)


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    parameters: int
    inputs: dict[str, Columns]
    outputs: dict[str, Columns]
    formats: tuple[str, ...]
    libtorch: bool = False    # also as a package that links libtorch

    def module(self) -> nn.Module:
        """The network with weights that are the same every time; the caller's random numbers are not touched."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(17)
            return self.make().eval()


def halves() -> nn.Module:
    """Ones in, 0.5 out."""
    layer = nn.Linear(3, 2, bias=False)
    nn.init.constant_(layer.weight, 1 / 6)
    return layer


def masked(rows: str) -> dict[str, Columns]:
    return {"x": columns(3), "mask": columns(3, "uint8"), "scale": columns(1, rows=rows)}


def datatypes(rows: str) -> dict[str, Columns]:
    """The tensors of testSoADataTypes, in the order that the test changes them to."""
    return {
        "column": columns(3, "float64"), "scalar": columns(1, rows=rows), "matrix": columns((2, 2)),
        "vector": columns((2, 3), "float64", column_major=False), "single_column": columns(1, "float64"),
        "single_vector": columns(3, "float64"),
    }


def given_back(tensors: dict[str, Columns]) -> dict[str, Columns]:
    return {f"{name}_out": tensor for name, tensor in tensors.items()}


XYZ = {"x": columns(3)}
XY = {"x": columns(1), "y": columns(1)}
TORCH, ONNX, ALL = ("pt2", "pt"), ("onnx",), ("onnx", "pt2", "pt")
# A scalar of the event is one row to torch; to an ONNX file it is a column whose rows share one element.
CASES: dict[str, Case] = {
    "linear": Case(Linear, 6, XYZ, {"y": columns(2)}, ALL, libtorch=True),
    "halves": Case(halves, 6, XYZ, {"y": columns(2)}, ALL),
    "copies": Case(Echo, 0, XY, given_back(XY), ("onnx", "pt")),
    "datatypes": Case(Echo, 0, datatypes("1"), given_back(datatypes("1")), TORCH),
    "datatypes_rows": Case(Echo, 0, datatypes("N"), given_back(datatypes("N")), ONNX),
    "simple": Case(simple_net, 37_441, XYZ, {"y": columns(1)}, ALL),
    "simple_half": Case(lambda: HalfInside(simple_net(), torch.bfloat16), 37_441, XYZ, {"y": columns(1)}, TORCH, libtorch=True),
    "half_columns": Case(lambda: FloatInside(simple_net()), 37_441,
                         {"x": columns(3, "float16")}, {"y": columns(1, "float16")}, ALL),
    "masked": Case(MaskedNet, 0, masked("1"), {"y": columns(1)}, TORCH),
    "masked_rows": Case(MaskedNet, 0, masked("N"), {"y": columns(1)}, ONNX),
    "multihead": Case(MultiHeadNet, 37_540, XYZ, {"regression": columns(1), "classes": columns(3)}, ALL),
    "resnet": Case(TinyResNet, 51_914, {"image": columns((3, 9, 9))}, {"classes": columns(10)}, ALL),
    "deepset": Case(TrackHitDeepSet, 1_217,
                    {"tracks": columns(3, rows="tracks"), "hits": columns(3, rows="hits"),
                     "hit_to_track": columns(1, "int64", rows="hits"), "track_begin": columns(1, "int64", rows="1"),
                     "hit_scale": columns(1, rows="1")},
                    {"score": columns(1, rows="tracks")}, TORCH),  # ONNX's exporter loses hits of one track
    "lookup": Case(lambda: nn.Embedding(10, 3), 30, {"pid": columns((), "int64")}, {"vector": columns(3)}, TORCH),
    "selector": Case(selector, 2_721, {"x": columns(17)}, {"score": columns(1)}, ALL, libtorch=True),
}
