# SPDX-License-Identifier: Apache-2.0
"""Models of any format run over arrays, through the C library, without a copy unless it is allowed.

    model = stoa.load("net.pt2")
    model.inputs                                  # {"x": Columns(shape=(17,), ...)}
    scores = model(x)["score"]                    # x [n, 17] of NumPy or torch, as columns; results as NumPy arrays
    model([pt, eta, *others])                     # any arrays of as many rows, their columns behind one another
    model(x_row_major, allow_copies=True)         # gathered tile by tile; model.stats says how many bytes
"""
from __future__ import annotations

import ctypes
import itertools
import math
import os
import weakref
from ctypes import byref, c_uint32, c_void_p
from typing import Any, Mapping, Optional, Sequence, Union

from . import _abi, _capsule_is_valid, _capsule_pointer, _host_queue
from ._columns import ONE_ROW, Columns

_CODES = {(0, 8): "int8", (0, 16): "int16", (0, 32): "int32", (0, 64): "int64", (1, 8): "uint8", (1, 16): "uint16", (1, 32): "uint32",
          (1, 64): "uint64", (2, 16): "float16", (2, 32): "float32", (2, 64): "float64", (4, 16): "bfloat16", (6, 8): "bool"}


class _Array:
    """An array [n, *shape] as one column for each value of a row; holds the array's memory."""

    def __init__(self, array: Any, name: str, writable: bool) -> None:
        if hasattr(array, "detach"):
            array = array.detach()
        self._capsule = array.__dlpack__(max_version=(1, 0))
        if not _capsule_is_valid(id(self._capsule), b"dltensor_versioned"):
            raise BufferError(f"'{name}': the array is not exported as DLPack 1.x")
        managed = _abi.Managed.from_address(_capsule_pointer(id(self._capsule), b"dltensor_versioned"))
        tensor = managed.dl_tensor
        shape = tuple(tensor.shape[: tensor.ndim])
        if not shape or (tensor.code, tensor.bits) not in _CODES:
            raise ValueError(f"'{name}': an array [n, ...] of a known type needed, {shape} of code {tensor.code} given")
        strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else _compact(shape)
        dtype = _CODES[tensor.code, tensor.bits]
        start, size = (tensor.data or 0) + tensor.byte_offset, tensor.bits // 8
        self.rows = shape[0]
        self.columns = (_abi.Column * math.prod(shape[1:]))()
        for column, index in zip(self.columns, itertools.product(*map(range, shape[1:]))):
            column.data = start + size * sum(i * stride for i, stride in zip(index, strides[1:]))
            column.row_stride = strides[0] if self.rows else 1
            column.extent[0] = column.extent[1] = 1
            column.rows, column.dtype = self.rows, _abi.DTYPES.index(dtype)
            column.flags = 0 if writable and not managed.flags & 1 else _abi.COLUMN_CONST
            column.place = tensor.device


class _Bound:
    """The columns of an array, or of several behind one another."""

    def __init__(self, given: Any, name: str, writable: bool) -> None:
        arrays = given if isinstance(given, (list, tuple)) else [given]
        self._arrays = [_Array(array, name, writable) for array in arrays]
        rows = {array.rows for array in self._arrays}
        if len(rows) != 1:
            raise ValueError(f"'{name}': arrays of as many rows needed, {[array.rows for array in self._arrays]} given")
        self.rows = rows.pop()
        columns = [column for array in self._arrays for column in array.columns]
        self._columns = (_abi.Column * len(columns))(*columns)
        self.tensor = _abi.library().stoa_tensor_of(self._columns, len(columns))


def _compact(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))


def _describe(tensors: Any, count: int) -> dict[str, Columns]:
    return {tensors[i].name.decode(): Columns(tuple(tensors[i].shape[: tensors[i].rank]), _abi.DTYPES[tensors[i].dtype],
                                              tensors[i].rows_name.decode(), bool(tensors[i].column_major)) for i in range(count)}


class Model:
    """A model file with a session of its own on a blocking host queue; one thread at a time. Made by stoa.load."""

    def __init__(self, path: Union[str, os.PathLike[str], bytes], runtime: Optional[str] = None, isa: Optional[str] = None,
                 signature: Optional[str] = None, self_check: bool = False) -> None:
        options = _abi.ModelOptions(ctypes.sizeof(_abi.ModelOptions), *(text.encode() if text else None for text in (runtime, isa, signature)),
                                    int(self_check))
        self._c, self._session, self._limits = c_void_p(), c_void_p(), (-1,)
        if isinstance(path, bytes):
            _abi.call("stoa_model_load_memory", path, len(path), byref(options), byref(self._c))
        else:
            _abi.call("stoa_model_load", os.fspath(path).encode(), byref(options), byref(self._c))
        self._end = weakref.finalize(self, _end, self._c, self._session)
        schema = _abi.library().stoa_model_schema(self._c).contents
        self.inputs, self.outputs = _describe(schema.inputs, schema.input_count), _describe(schema.outputs, schema.output_count)
        self.axes = [schema.axes[i].decode() for i in range(schema.axis_count)]
        self.parameters, self.flop_per_row = schema.parameters, schema.flop_per_row

    @property
    def runtime(self) -> str:
        """Which runtime runs it: "native", "aoti", ..."""
        return str(_abi.library().stoa_model_runtime(self._c).decode())

    @property
    def plan(self) -> list[str]:
        """What the runtime does, step by step."""
        steps = (_abi.library().stoa_model_plan_step(self._c, i) for i in itertools.count())
        return [step.decode() for step in itertools.takewhile(bool, steps)]

    @property
    def stats(self) -> dict[str, int]:
        """Counters of the session so far: runs, rows, copy_calls, copy_bytes, workspace_bytes, run_allocations."""
        stats = _abi.SessionStats(ctypes.sizeof(_abi.SessionStats))
        if self._session:
            _abi.call("stoa_session_get_stats", self._session, byref(stats))
        return {name: getattr(stats, name) for name, _ in stats._fields_[1:]}

    def _open(self, rows: Mapping[str, int], allow_copies: bool) -> None:
        """A session for as many rows, unless the one at hand will do."""
        wanted = tuple(rows[axis] for axis in self.axes) + (int(allow_copies),)
        if self._session and wanted[-1] == self._limits[-1] and all(a <= b for a, b in zip(wanted, self._limits)):
            return
        limits = (c_uint32 * len(self.axes))(*wanted[:-1])
        options = _abi.SessionOptions(ctypes.sizeof(_abi.SessionOptions), int(allow_copies), limits, len(self.axes))
        fresh = c_void_p()
        _abi.call("stoa_session_create", self._c, _host_queue(), 0, byref(options), byref(fresh))
        _abi.library().stoa_session_destroy(self._session)
        self._session.value, self._limits = fresh.value, wanted

    def _rows(self, bound: Mapping[str, _Bound], tensors: Mapping[str, Columns]) -> dict[str, int]:
        rows: dict[str, int] = {}
        for name, array in bound.items():
            axis = tensors[name].rows
            if axis != ONE_ROW and rows.setdefault(axis, array.rows) != array.rows:
                raise ValueError(f"'{name}': {array.rows} rows given, '{axis}' has {rows[axis]}")
        return rows

    def __call__(self, *arrays: Any, out: Optional[Mapping[str, Any]] = None, allow_copies: bool = False, **named: Any) -> dict[str, Any]:
        """Run over arrays [n, *shape], in the model's order or by name; results by name, as NumPy arrays unless `out` gives some.

        In place of an array, a list of arrays: their columns stand behind one another."""
        import numpy

        given = dict(zip(self.inputs, arrays)) | named
        if len(arrays) > len(self.inputs) or set(given) != set(self.inputs):
            raise TypeError(f"inputs {', '.join(self.inputs)} needed, {', '.join(given)} given")
        bound = {name: _Bound(array, name, writable=False) for name, array in given.items()}
        rows = self._rows(bound, self.inputs) | {axis: 0 for axis in self.axes if axis not in {t.rows for t in self.inputs.values()}}
        self._open(rows, allow_copies)
        results = dict(out or {})
        for name, tensor in self.outputs.items():
            if name not in results:
                count = 1 if tensor.rows == ONE_ROW else rows[tensor.rows]
                results[name] = numpy.empty((*tensor.shape, count), tensor.dtype).transpose(-1, *range(len(tensor.shape)))
            bound[name] = _Bound(results[name], name, writable=True)
        try:
            for name, array in bound.items():
                _abi.call("stoa_session_bind", self._session, name.encode(), array.tensor)
            sizes = (c_uint32 * len(self.axes))(*(rows[axis] for axis in self.axes))
            _abi.call("stoa_session_run_sizes", self._session, sizes, len(self.axes))
        finally:
            _abi.call("stoa_session_unbind", self._session, None)  # the arrays are let go
        return results


def _end(model: c_void_p, session: c_void_p) -> None:
    _abi.library().stoa_session_destroy(session)
    _abi.library().stoa_model_destroy(model)


def load(path: Union[str, os.PathLike[str], bytes], runtime: Optional[str] = None, *, isa: Optional[str] = None,
         signature: Optional[str] = None, self_check: bool = False) -> Model:
    """Load a model file, or its bytes (then `runtime` must name one).

    runtime      "native", "aoti", "torchscript", "onnxruntime", "tensorrt"; by the file when not given
    signature    what a TorchScript file takes and gives that does not say so: "x:float32:17 -> y:float32:1"
    self_check   run the test vectors that the file carries

    Raises StoaError with the status and reason of the C library.
    """
    return Model(path, runtime, isa, signature, self_check)
