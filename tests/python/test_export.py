# SPDX-License-Identifier: Apache-2.0
"""What stoa.export writes into a .pt2: the model's own weights and constants, one library for each machine level; and what it refuses."""
import json
import pathlib
import sys
import tempfile
import zipfile

import numpy
import torch
from torch import nn

import runtimes
import stoa
from expect import check, close, finish, refused, skip

X, Y = {"x": stoa.columns(4)}, {"y": stoa.columns(2)}


class Bias(nn.Module):
    """A bias of few numbers, as the compiler would write into its code."""

    def __init__(self, first):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        nn.init.constant_(self.layer.weight, 0.5)
        self.layer.bias = nn.Parameter(torch.arange(4.0) + first)

    def forward(self, x):
        return self.layer(x).index_select(1, torch.tensor([1, 2]))


class Literals(nn.Module):
    """A Python list as an index, and numbers in the middle of the code."""

    def forward(self, x):
        return torch.tanh(x)[:, [1, 0, 3]] @ torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


class Lines(nn.Module):
    """Convolutions of one dimension."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 4, 3, stride=2, padding=1), nn.Conv1d(4, 2, 2, dilation=2, groups=2)

    def forward(self, x):
        return self.second(torch.relu(self.first(x))).flatten(1)


class Changes(nn.Module):
    def forward(self, x):
        x += 1
        return x[:, :2]


class Loses(nn.Module):
    def forward(self, x):
        return x[x[:, 0] > 0][:, :2]


def eager(net, x):
    with torch.no_grad():
        return net(torch.from_numpy(numpy.ascontiguousarray(x))).numpy()


def uniform(*shape):
    return numpy.random.default_rng(5).uniform(-1, 1, shape).astype("f4")


def weights_of_its_own(folder):
    """Two models of one graph and one name: each file has its own weights."""
    for first in (0.0, 10.0):
        net, x = Bias(first), uniform(7, 4)
        stoa.export(net, X, Y, folder / "bias", ["pt2"], compare=False)
        close(stoa.load(folder / "bias.pt2")(x.T.copy().T)["y"], eager(net, x), 1e-6, 1e-6, f"bias from {first}")


def constants_of_the_compiler(folder):
    report = stoa.export(Literals(), X, Y, folder / "literals", ["pt2"])
    check(report.compared["pt2"] < 1e-5, f"lists and literals: max difference {report.compared['pt2']}")


def lines(folder):
    report = stoa.export(Lines(), {"x": stoa.columns((3, 9))}, {"y": stoa.columns(6)}, folder / "lines", ["pt2"])
    check(report.compared["pt2"] < 1e-5, f"convolution in one dimension: max difference {report.compared['pt2']}")


def with_targets(source, target, names):
    """A copy of a package whose targets of the given names need a processor that nobody has."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/extra/stoa.json"):
                manifest = json.loads(data)
                for entry in manifest["targets"]:
                    entry["cpu_features"] = ["tomorrow"] if entry["name"] in names else entry["cpu_features"]
                data = json.dumps(manifest)
            new.writestr(name, data)
    return target


def several_levels(folder):
    """One file for two levels: the first that the machine has is taken, none is refused, and the results are the same."""
    try:
        stoa.export(Literals(), X, Y, folder / "levels", ["pt2"], isa=["x86-64-v3", "x86-64-v4"])
    except stoa.StoaExportError as error:
        if "known for x86_64 only" not in str(error):
            raise
        skip("levels", str(error))
        return
    source, x = folder / "levels.pt2", uniform(33, 4)
    for gone, left in ((("x86-64-v4",), True), (("x86-64-v3", "x86-64-v4"), False)):
        package = with_targets(source, folder / "changed.pt2", gone)
        if left:
            close(stoa.load(package)(x.T.copy().T)["y"], eager(Literals(), x), 1e-5, 1e-5, f"without {gone[0]} the other level runs")
        else:
            refused(stoa.StoaError, lambda: stoa.load(package), ("STOA_ENOTSUP", "2 targets", "'tomorrow'"), "no level that runs here")
    with zipfile.ZipFile(source) as package:
        libraries = [name for name in package.namelist() if name.endswith(".so")]
    check(len(libraries) == 2, f"one library a level: {libraries}")
    refused(stoa.StoaExportError, lambda: stoa.export(Literals(), X, Y, folder / "level", ["pt2"], isa="z15"), "z15", "unknown level")


def said_at_once(folder):
    """What cannot run in place is said by the export, in terms of the model."""
    for net, part in ((Changes(), "changes its input 'x'"), (Loses(), "each row must give one row")):
        refused(stoa.StoaExportError, lambda: stoa.export(net, X, Y, folder / "bad", ["pt2"]), part, f"{type(net).__name__} is refused")
    refused(stoa.StoaExportError, lambda: stoa.export(Literals(), X, Y, folder / "bad", ["pt2"], device="tpu"), "'tpu'", "unknown device")
    if not torch.cuda.is_available():
        refused(stoa.StoaExportError, lambda: stoa.export(Literals(), X, Y, folder / "bad", ["pt2"], device="cuda"), "sees no GPU", "no GPU")


if __name__ == "__main__":
    if runtimes.is_here("aoti"):
        with tempfile.TemporaryDirectory() as made:
            for test in (weights_of_its_own, constants_of_the_compiler, lines, several_levels, said_at_once):
                test(pathlib.Path(made))
    sys.exit(finish())
