# SPDX-License-Identifier: Apache-2.0
"""`python -m stoa VERB`: packages a PyTorch module for columns, converts files of tracks and boosted forests, from the shell."""
from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

from . import _columns


def _make(where: str) -> Any:
    """The module that `net.py:make` returns when it is called."""
    file, _, function = where.partition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if not function or spec is None or spec.loader is None:
        raise ValueError(f"'{where}': FILE.py:FUNCTION needed")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(file).resolve().parent))
    spec.loader.exec_module(module)
    return getattr(module, function)()


def _export(arguments: argparse.Namespace) -> int:
    from .packaging import export  # needs torch

    report = export(_make(arguments.model), dict(map(_columns.parse, arguments.input)), dict(map(_columns.parse, arguments.output)),
                    arguments.out, arguments.format.split(","), libtorch=arguments.libtorch,
                    isa=arguments.isa.split(",") if arguments.isa else None, device=arguments.device)
    print(report)
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from .convert import convert  # needs numpy, uproot for ROOT, h5py for HDF5

    convert(arguments.source, arguments.target)
    return 0


def _forest(arguments: argparse.Namespace) -> int:
    from . import forest

    forest.read(arguments.source).write(arguments.target)
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stoa", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("export", help="package a PyTorch module for columns")
    verb.add_argument("model", metavar="FILE.py:FUNCTION", help="a function that returns the module")
    verb.add_argument("--input", action="append", required=True, metavar="NAME:DTYPE:SHAPE[:ROWS]", help="in the module's order, repeatable")
    verb.add_argument("--output", action="append", required=True, metavar="NAME:DTYPE:SHAPE[:ROWS]")
    verb.add_argument("--format", default="onnx,pt2", help="some of onnx,pt2,pt (default %(default)s)")
    verb.add_argument("--libtorch", action="store_true", help="a .pt2 that calls libtorch's operators")
    verb.add_argument("--isa", help="machine levels of a .pt2, some of x86-64-v3,x86-64-v4 (default: the best of this machine)")
    verb.add_argument("--device", default="cpu")
    verb.add_argument("--out", required=True, metavar="PATH", help="the files' name without its extension")
    verb.set_defaults(run=_export)
    for name, run, text in (("convert", _convert, "files of tracks: .root (PHYSLITE), .soa, .h5, .npz, .csv"),
                            ("forest", _forest, "XGBoost's, LightGBM's or ONNX's JSON, or .onnx, to .forest")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("source", type=Path)
        verb.add_argument("target", type=Path)
        verb.set_defaults(run=run)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, RuntimeError, OSError) as error:
        print(f"stoa: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
