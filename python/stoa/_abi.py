# SPDX-License-Identifier: Apache-2.0
"""The C structs and functions of libstoa that the bridge uses, restated for ctypes. No behaviour of its own.

The library is looked for, in this order: the file in STOA_LIBRARY, STOA_BUILD_DIR/src/libstoa.so, the system's libraries.
"""
from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

DTYPES = ("none", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
          "bfloat16", "bool", "complex64", "complex128")
KINDS = ("column", "scalar", "vector", "matrix")
PLACE_HOST = 1
COLUMN_CONST = 1
ROWS_ANY = 0xFFFFFFFF


class Error(Structure):
    _fields_ = [("status", c_int), ("native", c_int32), ("where", c_char_p), ("message", c_char * 1008)]


class Place(Structure):
    _fields_ = [("type", c_int32), ("index", c_int32)]


class ColumnDesc(Structure):
    _fields_ = [("name", c_char_p), ("unit", c_char_p), ("doc", c_char_p), ("dtype", c_int), ("kind", c_int),
                ("extent", c_uint32 * 2), ("member_offset", c_uint32), ("reserved", c_uint32)]


class Layout(Structure):
    _fields_ = [("struct_size", c_uint32), ("column_count", c_uint32), ("align_bytes", c_uint32), ("view_bytes", c_uint32),
                ("name", c_char_p), ("columns", POINTER(ColumnDesc))]


class Block(Structure):
    pass


Block._fields_ = [("name", c_char_p), ("layout", POINTER(Layout)), ("rows", c_uint32), ("block_count", c_uint32),
                  ("blocks", POINTER(Block))]


class ViewHead(Structure):
    _fields_ = [("layout", POINTER(Layout)), ("blob", c_void_p), ("rows", c_uint32), ("flags", c_uint32), ("place", Place)]


class Column(Structure):
    _fields_ = [("data", c_void_p), ("row_stride", c_int64), ("stride", c_int64 * 2), ("extent", c_uint32 * 2),
                ("rows", c_uint32), ("dtype", c_uint16), ("flags", c_uint16), ("place", Place)]


class Tensor(Structure):
    _fields_ = [("columns", POINTER(Column)), ("column_count", c_uint32), ("rows", c_uint32), ("first_row", c_uint32),
                ("reserved", c_uint32)]


class Strided(Structure):
    _fields_ = [("data", c_void_p), ("shape", c_int64 * 4), ("strides", c_int64 * 4), ("rank", c_int32), ("dtype", c_int),
                ("place", Place), ("flags", c_uint32)]


class TensorSchema(Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_int), ("rank", c_uint32), ("shape", c_uint32 * 6), ("width", c_uint32),
                ("rows_name", c_char_p), ("dtype_mask", c_uint64), ("axis", c_uint32), ("column_major", c_uint32)]


class Schema(Structure):
    _fields_ = [("inputs", POINTER(TensorSchema)), ("outputs", POINTER(TensorSchema)), ("input_count", c_uint32),
                ("output_count", c_uint32), ("axes", POINTER(c_char_p)), ("axis_count", c_uint32), ("reserved", c_uint32),
                ("parameters", c_uint64), ("flop_per_row", c_uint64)]


class Capabilities(Structure):
    _fields_ = [("struct_size", c_uint32), ("inputs", c_int), ("outputs", c_int), ("outputs_in_place", c_uint32),
                ("const_inputs", c_uint32), ("row_independent", c_uint32), ("device_row_count", c_uint32), ("tile_rows", c_uint32),
                ("thread_safe", c_uint32)]


class ModelOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("runtime", c_char_p), ("isa", c_char_p), ("signature", c_char_p), ("self_check", c_uint32),
                ("precision", c_uint32)]


class SessionOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("allow_copies", c_uint32), ("axis_rows", POINTER(c_uint32)), ("axis_count", c_uint32)]


class SessionStats(Structure):
    _fields_ = [("struct_size", c_uint32), ("runs", c_uint64), ("rows", c_uint64), ("copy_calls", c_uint64), ("copy_bytes", c_uint64),
                ("workspace_bytes", c_uint64), ("run_allocations", c_uint64)]


class MemoryStats(Structure):
    _fields_ = [("struct_size", c_uint32), ("live_bytes", c_uint64), ("requested_bytes", c_uint64), ("cached_bytes", c_uint64),
                ("peak_live_bytes", c_uint64), ("alloc_calls", c_uint64), ("raw_alloc_calls", c_uint64)]


class DLTensor(Structure):
    _fields_ = [("data", c_void_p), ("device", Place), ("ndim", c_int32), ("code", c_uint8), ("bits", c_uint8),
                ("lanes", c_uint16), ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class Managed(Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("manager_ctx", c_void_p),
                ("deleter", ctypes.CFUNCTYPE(None, c_void_p)), ("flags", c_uint64), ("dl_tensor", DLTensor)]


# Functions whose last parameter is a stoa_error *, which `call` supplies; the parameters before it.
_FALLIBLE: dict[str, list[Any]] = {
    "stoa_device_open": [c_char_p, POINTER(c_void_p)],
    "stoa_queue_create": [c_void_p, c_int, POINTER(c_void_p)],
    "stoa_queue_wait": [c_void_p],
    "stoa_device_memory_stats": [c_void_p, c_int, POINTER(MemoryStats)],
    "stoa_buffer_create": [c_void_p, c_int, c_size_t, POINTER(c_void_p)],
    "stoa_layout_check": [POINTER(Layout)],
    "stoa_layout_bytes": [POINTER(Layout), c_uint32, POINTER(c_size_t)],
    "stoa_collection_create": [c_void_p, c_int, POINTER(Block), c_uint32, POINTER(c_void_p)],
    "stoa_collection_zero": [c_void_p, c_void_p, c_uint32],
    "stoa_collection_block": [c_void_p, c_char_p, POINTER(ViewHead)],
    "stoa_view_find": [POINTER(ViewHead), c_char_p, POINTER(Column)],
    "stoa_tensor_strided": [Tensor, POINTER(Strided)],
    "stoa_model_load": [c_char_p, POINTER(ModelOptions), POINTER(c_void_p)],
    "stoa_model_load_memory": [c_char_p, c_size_t, POINTER(ModelOptions), POINTER(c_void_p)],
    "stoa_session_create": [c_void_p, c_void_p, c_uint32, POINTER(SessionOptions), POINTER(c_void_p)],
    "stoa_session_bind": [c_void_p, c_char_p, Tensor],
    "stoa_session_unbind": [c_void_p, c_char_p],
    "stoa_session_run": [c_void_p, c_uint32],
    "stoa_session_run_rows": [c_void_p, c_uint32, c_uint32],
    "stoa_session_run_counted": [c_void_p, POINTER(c_uint32)],
    "stoa_session_run_sizes": [c_void_p, POINTER(c_uint32), c_uint32],
    "stoa_session_get_stats": [c_void_p, POINTER(SessionStats)],
    "stoa_dlpack_export": [Tensor, c_void_p, POINTER(POINTER(Managed))],
    "stoa_dlpack_columns": [POINTER(Managed), POINTER(Column), c_uint32, POINTER(c_uint32)],
}
_PLAIN: dict[str, tuple[Any, list[Any]]] = {
    "stoa_status_name": (c_char_p, [c_int]),
    "stoa_queue_device": (c_void_p, [c_void_p]),
    "stoa_queue_destroy": (None, [c_void_p]),
    "stoa_buffer_release": (None, [c_void_p]),
    "stoa_layout_print": (c_int, [POINTER(Layout), c_uint32, c_char_p, c_size_t]),
    "stoa_collection_destroy": (None, [c_void_p]),
    "stoa_collection_buffer": (c_void_p, [c_void_p]),
    "stoa_collection_bytes": (c_size_t, [c_void_p]),
    "stoa_model_destroy": (None, [c_void_p]),
    "stoa_model_schema": (POINTER(Schema), [c_void_p]),
    "stoa_model_capabilities": (POINTER(Capabilities), [c_void_p]),
    "stoa_model_runtime": (c_char_p, [c_void_p]),
    "stoa_model_plan_step": (c_char_p, [c_void_p, c_uint32]),
    "stoa_session_destroy": (None, [c_void_p]),
    "stoa_tensor_of": (Tensor, [POINTER(Column), c_uint32]),
    "stoa_tensor_slice": (Tensor, [Tensor, c_uint32, c_uint32]),
}


class StoaError(RuntimeError):
    """A call of libstoa failed; `status` is its name ("STOA_ESHAPE")."""

    def __init__(self, status: str, message: str, where: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.where = status, where


def _candidates() -> list[str]:
    if os.environ.get("STOA_LIBRARY"):
        return [os.environ["STOA_LIBRARY"]]
    build = os.environ.get("STOA_BUILD_DIR")
    return ([str(Path(build) / "src" / "libstoa.so")] if build else []) + ["libstoa.so.0", "libstoa.so"]


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """libstoa, loaded at the first use, so that `import stoa` works without it."""
    reasons = []
    for name in _candidates():
        try:
            lib = ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
            continue
        for function, arguments in _FALLIBLE.items():
            getattr(lib, function).restype = c_int
            getattr(lib, function).argtypes = [*arguments, POINTER(Error)]
        for function, (result, arguments) in _PLAIN.items():
            getattr(lib, function).restype = result
            getattr(lib, function).argtypes = arguments
        return lib
    raise OSError("libstoa not found (set STOA_LIBRARY or STOA_BUILD_DIR): " + "; ".join(reasons))


def call(function: str, *arguments: Any) -> None:
    """Call a function that returns a stoa_status; raise StoaError unless it is STOA_OK."""
    error = Error()
    status = getattr(library(), function)(*arguments, byref(error))
    if status:
        name = library().stoa_status_name(status).decode()
        raise StoaError(name, error.message.decode(errors="replace"), (error.where or b"").decode())
