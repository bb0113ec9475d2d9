# SPDX-License-Identifier: Apache-2.0
"""The runtimes that tests run packages with, and columns for them to run on."""
import ctypes
import functools
import itertools
import math
import os
import pathlib

import numpy

import nets
import stoa
from expect import skip
from stoa import _abi

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(os.environ.get("STOA_TEST_PACKAGES") or SOURCE / "build" / "packages")

# What a test calls it, the runtime, and how its files end.
RUNTIMES = {"native": ("native", ".onnx"), "onnxruntime": ("onnxruntime", ".onnx"), "aoti": ("aoti", ".pt2"),
            "aoti with libtorch": ("aoti", "_libtorch.pt2"), "torchscript": ("torchscript", ".pt")}
GATHERS = ("onnxruntime",)  # take row-major rows only: columns are gathered, if that is allowed
NATIVE_REFUSES = ("resnet",)  # the ONNX file is there for ONNX Runtime


def memory_stats():
    """The counters of the host's allocator."""
    stats = _abi.MemoryStats(ctypes.sizeof(_abi.MemoryStats))
    _abi.call("stoa_device_memory_stats", _abi.library().stoa_queue_device(stoa._host_queue()), 0, ctypes.byref(stats))
    return stats


def path_of(case, runtime):
    return PACKAGES / (case + RUNTIMES[runtime][1])


@functools.cache
def is_here(runtime):
    """Whether the runtime is built and finds its library; says so once when not."""
    try:
        load("linear", runtime)
        return True
    except stoa.StoaError as error:
        if error.status != "STOA_ENOTSUP":
            raise
        skip(runtime, str(error))
        return False


def load(case, runtime, **options):
    return stoa.load(path_of(case, runtime), RUNTIMES[runtime][0], **options)


def of(case):
    """The runtimes that are here and run the case, each with the case loaded in it."""
    for runtime in RUNTIMES:
        refused = runtime == "native" and case in NATIVE_REFUSES
        if not refused and path_of(case, runtime).exists() and is_here(runtime):
            yield runtime, load(case, runtime)


def collection(tensors, rows):
    """Zeroed collections for inputs or outputs, one for each row axis, laid out as CMSSW does; by name the tensors over them.

    `rows` is the number of rows, or one for each axis."""
    views = {}
    for axis in sorted({tensor.rows for tensor in tensors.values()}):
        columns = {name: _columns_of(name, tensor) for name, tensor in tensors.items() if tensor.rows == axis}
        layout = stoa.Layout(f"rows_{axis}", itertools.chain(*columns.values()))
        held = stoa.Collection(layout, 1 if axis == "1" else rows[axis] if isinstance(rows, dict) else rows)
        views.update((name, held.tensor(*(column.name for column in group))) for name, group in columns.items())
    return {name: views[name] for name in tensors}


def _columns_of(name, tensor):
    """Matrices where the last two extents lie so, else one column for each value."""
    kind, shape = ("matrix", tensor.shape[-2:]) if tensor.swapped else ("column", ())
    return [stoa.Column(f"{name}_{i}", tensor.dtype, kind, shape) for i in range(tensor.width // math.prod(shape))]


def fill(view, values):
    array = numpy.from_dlpack(view)
    array[...] = numpy.reshape(values, array.shape)


def read(view, tensor):
    """[rows, *shape], a copy."""
    array = numpy.from_dlpack(view)
    return numpy.array(array).reshape(array.shape[0], *tensor.shape)


def eager(case, **inputs):
    """What PyTorch itself gives, by the names of the outputs."""
    import torch

    with torch.no_grad():
        results = nets.CASES[case].module()(*(torch.as_tensor(numpy.array(inputs[name])) for name in nets.CASES[case].inputs))
    results = results if isinstance(results, tuple) else (results,)
    return {name: value.numpy() for name, value in zip(nets.CASES[case].outputs, results)}
