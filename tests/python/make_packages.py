# SPDX-License-Identifier: Apache-2.0
"""Packages of the networks in nets.py for the tests: make_packages.py FOLDER [NAME..]. What is there already stays, unless the network,
the exporter or PyTorch changed."""
import hashlib
import pathlib
import sys
import time

import torch

import nets
import stoa

WRITERS = ("packaging.py", "_program.py", "_columns.py")  # what the contents of a package come from
FILES = [pathlib.Path(nets.__file__), *(pathlib.Path(stoa.__file__).parent / name for name in WRITERS)]


def key() -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for file in FILES:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def make(folder: pathlib.Path, name: str, case: nets.Case) -> None:
    stamp = folder / f"{name}.key"
    if stamp.exists() and stamp.read_text() == key():
        print(f"{name}: unchanged")
        return
    start = time.time()
    print(stoa.export(case.module(), case.inputs, case.outputs, folder / name, case.formats))
    if case.libtorch:
        print(stoa.export(case.module(), case.inputs, case.outputs, folder / f"{name}_libtorch", ["pt2"], libtorch=True))
    stamp.write_text(key())
    print(f"{name}: {time.time() - start:.1f} s")


class Picky(torch.nn.Module):
    """Fails on negative rows, with a message of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x < 0).any()):
            raise ValueError("x is negative")
        return x.sum(1)


def make_foreign(folder: pathlib.Path) -> None:
    """TorchScript files that stoa.export did not write: no manifest, results are returned."""
    for name, net in {"linear": nets.Linear(), "multihead": nets.MultiHeadNet(), "picky": Picky()}.items():
        torch.jit.save(torch.jit.script(net.eval()), str(folder / f"foreign_{name}.pt"))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[2:] or nets.CASES:
        make(out, chosen, nets.CASES[chosen])
    if not sys.argv[2:]:
        make_foreign(out)
