# SPDX-License-Identifier: Apache-2.0
"""Columns of Stoa as arrays of NumPy and PyTorch, and the other way round, without a copy.

    layout = stoa.Layout("tracks", [stoa.Column("pt", "float32"), stoa.Column("state", "float32", "vector", (5,))])
    tracks = stoa.Collection(layout, rows=1000)
    x = torch.from_dlpack(tracks.tensor("pt"))            # x.data_ptr() is the column's address
    y = stoa.from_dlpack(numpy.zeros((1000, 3), "f4"))    # three columns over the array's memory

Models: `stoa.export` packages a PyTorch module for columns, `stoa.load` runs any package over arrays.

    stoa.export(net, inputs={"x": stoa.columns(17)}, outputs={"score": stoa.columns(1)}, path="net", formats=["onnx", "pt2"])
    scores = stoa.load("net.pt2")(features)["score"]
"""
from __future__ import annotations

import ctypes
import functools
import weakref
from ctypes import byref, c_char_p, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from typing import Any, Iterable, Optional, Sequence

from . import _abi
from ._abi import StoaError
from ._columns import Columns, columns

__all__ = ["Collection", "Column", "Columns", "Layout", "Model", "StoaError", "StoaExportError", "Tensor", "columns", "export", "from_dlpack", "load"]


def __getattr__(name: str) -> Any:
    """What needs PyTorch, or is seldom needed, is imported when it is asked for."""
    if name in ("export", "StoaExportError", "ExportReport"):
        from . import packaging
        return getattr(packaging, name)
    if name in ("load", "Model"):
        from . import model
        return getattr(model, name)
    raise AttributeError(f"module 'stoa' has no attribute '{name}'")


_CAPSULE = b"dltensor_versioned"  # a capsule borrows its name: this object lives as long as the module
_DESTRUCTOR = ctypes.CFUNCTYPE(None, c_void_p)
_capsule_new = ctypes.pythonapi.PyCapsule_New
_capsule_new.restype, _capsule_new.argtypes = ctypes.py_object, [c_void_p, c_char_p, _DESTRUCTOR]
_capsule_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_capsule_is_valid.restype, _capsule_is_valid.argtypes = ctypes.c_int, [c_void_p, c_char_p]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = c_void_p, [c_void_p, c_char_p]


@_DESTRUCTOR
def _capsule_delete(capsule: int) -> None:
    """A consumer renames the capsule and takes the tensor; one that nobody took is ended here."""
    if _capsule_is_valid(capsule, _CAPSULE):
        address = _capsule_pointer(capsule, _CAPSULE)
        _abi.Managed.from_address(address).deleter(address)


@functools.lru_cache(maxsize=None)
def _host_queue() -> c_void_p:
    """One blocking queue on the host for all collections; it lives until the process ends, as exports may."""
    device, queue = c_void_p(), c_void_p()
    _abi.call("stoa_device_open", b"host", byref(device))
    _abi.call("stoa_queue_create", device, 0, byref(queue))
    return queue


def _count(rows: int) -> int:
    """ctypes would wrap a number that does not fit uint32_t."""
    if not 0 <= rows <= _abi.ROWS_ANY:
        raise ValueError(f"{rows} rows given, 0 to {_abi.ROWS_ANY} allowed")
    return rows


@dataclass(frozen=True)
class Column:
    """One line of a layout; `shape` is () for columns and scalars, (R,) for vectors, (R, C) for matrices."""

    name: str
    dtype: str
    kind: str = "column"
    shape: tuple[int, ...] = ()
    unit: str = ""
    doc: str = ""

    def _desc(self) -> _abi.ColumnDesc:
        if self.dtype not in _abi.DTYPES or self.kind not in _abi.KINDS:
            raise ValueError(f"column '{self.name}': dtype '{self.dtype}' or kind '{self.kind}' unknown")
        rank = max(0, _abi.KINDS.index(self.kind) - 1)
        if len(self.shape) != rank:
            raise ValueError(f"column '{self.name}': shape {self.shape} given, a {self.kind} has {rank} extents")
        extent = (*self.shape, 1, 1)[:2]
        return _abi.ColumnDesc(self.name.encode(), self.unit.encode(), self.doc.encode(), _abi.DTYPES.index(self.dtype),
                               _abi.KINDS.index(self.kind), extent, 0, 0)


class Layout:
    """Which columns a structure of arrays has (stoa/layout.h)."""

    def __init__(self, name: str, columns: Iterable[Column], align_bytes: int = 0) -> None:
        self.name, self.columns = name, tuple(columns)
        self._table = (_abi.ColumnDesc * len(self.columns))(*(column._desc() for column in self.columns))
        self._c = _abi.Layout(ctypes.sizeof(_abi.Layout), len(self.columns), align_bytes, 0, name.encode(), self._table)
        _abi.call("stoa_layout_check", byref(self._c))

    def bytes(self, rows: int) -> int:
        """Size of a blob of `rows` rows."""
        size = c_size_t()
        _abi.call("stoa_layout_bytes", byref(self._c), _count(rows), byref(size))
        return size.value

    def describe(self, rows: int) -> str:
        """The geometry as a table of text."""
        length = _abi.library().stoa_layout_print(byref(self._c), _count(rows), None, 0)
        if length < 0:
            raise ValueError(f"layout '{self.name}' has no geometry for {rows} rows")
        text = ctypes.create_string_buffer(length + 1)
        _abi.library().stoa_layout_print(byref(self._c), rows, text, length + 1)
        return text.value.decode()


class Collection:
    """Zeroed host memory of one layout (stoa/collection.h)."""

    def __init__(self, layout: Layout, rows: int) -> None:
        self.layout, self.rows = layout, rows
        block = _abi.Block(layout.name.encode(), ctypes.pointer(layout._c), _count(rows), 0, None)
        self._c = c_void_p()
        _abi.call("stoa_collection_create", _host_queue(), 0, byref(block), 1, byref(self._c))
        self._end = weakref.finalize(self, _abi.library().stoa_collection_destroy, self._c)
        _abi.call("stoa_collection_zero", self._c, _host_queue(), 0)
        _abi.call("stoa_queue_wait", _host_queue())
        self._head = _abi.ViewHead()
        _abi.call("stoa_collection_block", self._c, None, byref(self._head))

    @property
    def address(self) -> int:
        """Where the blob starts."""
        return self._head.blob or 0

    def tensor(self, *names: str, read_only: bool = False) -> Tensor:
        """The named columns, in that order, as one tensor."""
        columns = (_abi.Column * len(names))()
        for column, name in zip(columns, names):
            _abi.call("stoa_view_find", byref(self._head), name.encode(), byref(column))
            if read_only:
                column.flags |= _abi.COLUMN_CONST
        return Tensor(columns, self, _abi.library().stoa_collection_buffer(self._c))


class Tensor:
    """A list of columns (stoa/tensor.h). NumPy and PyTorch take it through DLPack when it is one strided array."""

    def __init__(self, columns: Sequence[_abi.Column], owner: Any, buffer: Optional[int],
                 view: Optional[_abi.Tensor] = None) -> None:
        self._columns, self._owner, self._buffer = columns, owner, buffer
        self._c = view if view is not None else _abi.library().stoa_tensor_of(columns, len(columns))

    def __len__(self) -> int:
        return self._c.rows

    @property
    def addresses(self) -> list[int]:
        """Where row 0 of each column lies, slice or not."""
        return [column.data or 0 for column in self._columns]

    @property
    def read_only(self) -> bool:
        return any(column.flags & _abi.COLUMN_CONST for column in self._columns)

    def slice(self, first: int, count: int) -> Tensor:
        """Rows [first, first + count), clipped at the end."""
        view = _abi.library().stoa_tensor_slice(self._c, _count(first), _count(count))
        return Tensor(self._columns, self._owner, self._buffer, view)

    def strided(self) -> tuple[int, tuple[int, ...], tuple[int, ...], str]:
        """Address, shape, strides in elements and dtype; StoaError when the columns are no strided array."""
        out = _abi.Strided()
        _abi.call("stoa_tensor_strided", self._c, byref(out))
        return out.data or 0, tuple(out.shape[:out.rank]), tuple(out.strides[:out.rank]), _abi.DTYPES[out.dtype]

    def __dlpack_device__(self) -> tuple[int, int]:
        place = self._columns[0].place
        return place.type, place.index

    def __dlpack__(self, *, stream: Any = None, max_version: Optional[tuple[int, int]] = None,
                   dl_device: Optional[tuple[int, int]] = None, copy: Optional[bool] = None) -> Any:
        if max_version is None or max_version[0] < 1:
            raise BufferError("stoa exports DLPack 1.x only; the consumer takes " + str(max_version))
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("stoa exports in place: no copy, no other device")
        if self._buffer is None:
            raise BufferError("imported columns are not exported again: hand on the array they came from")
        managed = ctypes.POINTER(_abi.Managed)()
        try:
            _abi.call("stoa_dlpack_export", self._c, self._buffer, byref(managed))
        except StoaError as error:
            raise BufferError(str(error)) from error
        return _capsule_new(ctypes.cast(managed, c_void_p), _CAPSULE, _capsule_delete)


def from_dlpack(array: Any) -> Tensor:
    """The columns of an array [n] or [n, k] of any library with DLPack 1.x; the array's memory is held, not copied."""
    capsule = array.__dlpack__(max_version=(1, 0))
    if not _capsule_is_valid(id(capsule), _CAPSULE):
        raise BufferError("the array is not exported as DLPack 1.x")
    managed = _abi.Managed.from_address(_capsule_pointer(id(capsule), _CAPSULE))
    shape = managed.dl_tensor.shape
    capacity = shape[1] if managed.major == 1 and managed.dl_tensor.ndim == 2 else 1
    columns, count = (_abi.Column * max(capacity, 1))(), c_uint32()
    _abi.call("stoa_dlpack_columns", byref(managed), columns, max(capacity, 1), byref(count))
    return Tensor((_abi.Column * count.value)(*columns[:count.value]), capsule, None)
