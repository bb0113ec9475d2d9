# SPDX-License-Identifier: Apache-2.0
"""A model of libstoa run on NumPy arrays, for tests: each value of a row is one column over the array's memory."""
import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p

import numpy

from stoa import _abi

ASYNC, BLOCKING = 1, 0
DTYPE_NUMBERS = {name: number for number, name in enumerate(_abi.DTYPES)}


class TensorSchema(Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_int), ("rank", c_uint32), ("shape", c_uint32 * 6), ("width", c_uint32),
                ("rows_name", c_char_p), ("dtype_mask", c_uint64), ("axis", c_uint32), ("column_major", c_uint32)]


class Schema(Structure):
    _fields_ = [("inputs", POINTER(TensorSchema)), ("outputs", POINTER(TensorSchema)), ("input_count", c_uint32),
                ("output_count", c_uint32), ("axes", POINTER(c_char_p)), ("axis_count", c_uint32),
                ("reserved", c_uint32), ("parameters", c_uint64), ("flop_per_row", c_uint64)]


class ModelOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("runtime", c_char_p), ("isa", c_char_p), ("signature", c_char_p),
                ("self_check", c_uint32)]


def _columns(array, writable):
    """One column for each value of a row of a C-contiguous array [N, ...]."""
    assert array.flags.c_contiguous and array.dtype.name in DTYPE_NUMBERS, (array.dtype, array.flags)
    rows, width = array.shape[0], int(numpy.prod(array.shape[1:], dtype=int))
    columns = (_abi.Column * width)()
    for i, column in enumerate(columns):
        column.data = array.ctypes.data + i * array.itemsize
        column.row_stride = width
        column.extent[0] = column.extent[1] = 1
        column.rows = rows
        column.dtype = DTYPE_NUMBERS[array.dtype.name]
        column.flags = 0 if writable else _abi.COLUMN_CONST
        column.place = _abi.Place(_abi.PLACE_HOST, 0)
    return columns


class Model:
    """A model from the bytes of an ONNX file, with a session on a blocking host queue for each run."""

    def __init__(self, data, isa=None):
        lib = _abi.library()
        for name in ("stoa_model_load_memory", "stoa_session_create", "stoa_session_bind", "stoa_session_run"):
            getattr(lib, name).restype = c_int
        lib.stoa_model_load_memory.argtypes = [c_char_p, ctypes.c_size_t, c_void_p, c_void_p, c_void_p]
        lib.stoa_session_create.argtypes = [c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p]
        lib.stoa_session_bind.argtypes = [c_void_p, c_char_p, _abi.Tensor, c_void_p]
        lib.stoa_session_run.argtypes = [c_void_p, c_uint32, c_void_p]
        lib.stoa_model_schema.restype, lib.stoa_model_schema.argtypes = POINTER(Schema), [c_void_p]
        lib.stoa_model_plan_step.restype, lib.stoa_model_plan_step.argtypes = c_char_p, [c_void_p, c_uint32]
        lib.stoa_model_plan_count.restype, lib.stoa_model_plan_count.argtypes = c_uint32, [c_void_p]
        for name in ("stoa_model_destroy", "stoa_session_destroy", "stoa_queue_destroy", "stoa_device_close"):
            getattr(lib, name).restype, getattr(lib, name).argtypes = None, [c_void_p]
        self._lib, self._handle = lib, c_void_p()
        options = ModelOptions(ctypes.sizeof(ModelOptions), b"native", isa.encode() if isa else None)
        _abi.call("stoa_model_load_memory", data, len(data), byref(options), byref(self._handle))
        self.schema = lib.stoa_model_schema(self._handle).contents
        self.plan = [lib.stoa_model_plan_step(self._handle, i).decode()
                     for i in range(lib.stoa_model_plan_count(self._handle))]
        self.inputs = [self.schema.inputs[i] for i in range(self.schema.input_count)]
        self.outputs = [self.schema.outputs[i] for i in range(self.schema.output_count)]

    def run(self, feeds):
        """{name: array [N, ...]} in, the list of outputs out."""
        lib, device, queue, session = self._lib, c_void_p(), c_void_p(), c_void_p()
        rows = next(iter(feeds.values())).shape[0]
        results = [numpy.zeros((rows, *o.shape[:o.rank]), _abi.DTYPES[o.dtype]) for o in self.outputs]
        feeds = {name: numpy.ascontiguousarray(value) for name, value in feeds.items()}
        _abi.call("stoa_device_open", b"host", byref(device))
        _abi.call("stoa_queue_create", device, BLOCKING, byref(queue))
        try:
            _abi.call("stoa_session_create", self._handle, queue, rows, None, byref(session))
            bound = [(name, value, False) for name, value in feeds.items()]
            bound += [(o.name.decode(), value, True) for o, value in zip(self.outputs, results)]
            for name, value, writable in bound:
                columns = _columns(value, writable)
                _abi.call("stoa_session_bind", session, name.encode(), lib.stoa_tensor_of(columns, len(columns)))
            _abi.call("stoa_session_run", session, rows)
        finally:
            lib.stoa_session_destroy(session)
            lib.stoa_queue_destroy(queue)
            lib.stoa_device_close(device)
        return results

    def __del__(self):
        if getattr(self, "_handle", None):
            self._lib.stoa_model_destroy(self._handle)
