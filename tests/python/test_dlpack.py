# SPDX-License-Identifier: Apache-2.0
"""DLPack both ways against NumPy and PyTorch: pointers shared, strides right, read-only honoured, memory kept alive."""
import gc
import sys

import numpy
import torch

import stoa
from expect import check, finish, refused
from runtimes import memory_stats

layout = stoa.Layout("datatypes", [
    stoa.Column("a", "float64", "vector", (3,)), stoa.Column("b", "float64", "vector", (3,)),
    stoa.Column("c", "float32", "matrix", (2, 2)), stoa.Column("x", "float64"), stoa.Column("y", "float64"),
    stoa.Column("z", "float64"), stoa.Column("type", "float32", "scalar"), stoa.Column("number", "int32", "scalar"),
    stoa.Column("v", "float64"), stoa.Column("w", "float64"),
])
check([layout.bytes(n) for n in (64, 17, 1, 0)] == [6912, 3584, 2176, 256], "CMSSW's blob sizes")
check("      2816        128  scalar  float32     [17,1]          [0,32]            type" in layout.describe(17), "dump")
refused(ValueError, lambda: layout.bytes(2**32), "4294967296 rows", "rows beyond uint32")
refused(stoa.StoaError, lambda: layout.bytes(2**31), "STOA_ELIMIT", "too many rows")
refused(stoa.StoaError, lambda: stoa.Layout("twice", [stoa.Column("x", "int8")] * 2), "both named 'x'", "duplicate name")
refused(ValueError, lambda: stoa.Layout("odd", [stoa.Column("x", "int8", "vector")]), "1 extents", "vector without extent")

event = stoa.Collection(layout, 17)
refused(stoa.StoaError, lambda: event.tensor("pt"), "it has 'a', 'b'", "unknown column")
for library, from_dlpack in (("numpy", numpy.from_dlpack), ("torch", torch.from_dlpack)):
    def facts(array):
        if library == "torch":
            return array.data_ptr(), tuple(array.shape), tuple(array.stride())
        return array.ctypes.data, array.shape, tuple(s // array.itemsize for s in array.strides)

    for names, shape, strides in (
            (("x", "y", "z"), (17, 3), (1, 32)), (("x",), (17, 1), (1, 32)), (("a", "b"), (17, 2, 3), (1, 96, 32)),
            (("a",), (17, 3), (1, 32)), (("c",), (17, 2, 2), (1, 32, 64)), (("x", "z"), (17, 2), (1, 64))):
        tensor = event.tensor(*names)
        check(facts(from_dlpack(tensor)) == (tensor.addresses[0], shape, strides), f"{library}: {names} in place")
    xyz = event.tensor("x", "y", "z")
    xyz.slice(4, 1)  # ends at once
    part = from_dlpack(xyz.slice(5, 100))
    check(facts(part) == (xyz.addresses[0] + 40, (12, 3), (1, 32)), f"{library}: slice with a short tail")
    part[3, 1] = 7.5 if library == "numpy" else 8.5
    check(numpy.from_dlpack(xyz)[8, 1] == part[3, 1], f"{library}: a write is seen by the other side")
    scalar = from_dlpack(event.tensor("type").slice(0, 9))
    check(facts(scalar)[1:] == ((9, 1), (0, 32)), f"{library}: scalar broadcast")
    check(tuple(from_dlpack(xyz.slice(17, 4)).shape) == (0, 3), f"{library}: no rows")
    refused(BufferError, lambda: from_dlpack(event.tensor("x", "number")), "STOA_EDTYPE", f"{library}: mixed dtypes")
    refused(BufferError, lambda: from_dlpack(event.tensor("x", "y", "v")), "STOA_ESHAPE", f"{library}: scattered columns")

backwards = numpy.from_dlpack(event.tensor("z", "y", "x"))
check(backwards.strides == (8, -256), "numpy: reverse order, negative stride")
check(not numpy.from_dlpack(event.tensor("x", read_only=True)).flags.writeable, "numpy: read-only is not writeable")
check(numpy.from_dlpack(event.tensor("x")).flags.writeable, "numpy: otherwise it is")
refused(BufferError, lambda: event.tensor("x").__dlpack__(), "DLPack 1.x", "consumer without versions")
refused(BufferError, lambda: event.tensor("x").__dlpack__(max_version=(1, 0), copy=True), "no copy", "copy asked for")

every = [d for d in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
                     "bool", "complex64", "complex128")]
types = stoa.Collection(stoa.Layout("every", [stoa.Column(d, d) for d in every + ["bfloat16"]]), 5)
check(all(numpy.from_dlpack(types.tensor(d)).dtype == d for d in every), "numpy: every dtype it has")
check(all(torch.from_dlpack(types.tensor(d)).dtype == getattr(torch, d) for d in every + ["bfloat16"]), "torch: every dtype")

for name in every + ["bfloat16"]:
    tensor = torch.zeros((4, 2), dtype=getattr(torch, name))
    taken = stoa.from_dlpack(tensor)
    check(taken.strided() == (tensor.data_ptr(), (4, 2), (2, 1), name), f"import torch: {name}")
    if name in every:
        array = numpy.zeros((4, 2), name)
        check(stoa.from_dlpack(array).strided() == (array.ctypes.data, (4, 2), (2, 1), name), f"import numpy: {name}")


def live_bytes():
    gc.collect()
    return memory_stats().live_bytes


before = live_bytes()
held = stoa.Collection(layout, 1000).tensor("x").__dlpack__(max_version=(1, 0))
check(live_bytes() > before, "a capsule keeps the buffer alive")
del held
check(live_bytes() == before, "a capsule that nobody took is ended")
taken = torch.from_dlpack(stoa.Collection(layout, 1000).tensor("x"))
check(live_bytes() > before, "a tensor of torch keeps the buffer alive")
del taken
check(live_bytes() == before, "and gives it back")
kept = numpy.from_dlpack(stoa.Collection(layout, 1000).tensor("x"))
gc.collect()
others = [stoa.Collection(layout, 1000) for _ in range(20)]
kept[:] = 3.0
check(all(kept.ctypes.data != other.tensor("x").addresses[0] for other in others), "export keeps the buffer alive")
del kept, others
check(live_bytes() == before, "nothing of it stays")

source = numpy.arange(12, dtype="f4").reshape(4, 3)
columns = stoa.from_dlpack(source)
check(columns.addresses == [source.ctypes.data + 4 * i for i in range(3)], "import numpy [4, 3]: pointer-equal columns")
check(columns.strided() == (source.ctypes.data, (4, 3), (3, 1), "float32"), "import numpy: strides")
check(len(columns) == 4 and not columns.read_only, "import numpy: rows, writable")
turned = numpy.asfortranarray(source)[::-1]
check(stoa.from_dlpack(turned).strided()[2] == (-1, 4), "import numpy: column-major, backwards")
source.flags.writeable = False
check(stoa.from_dlpack(source).read_only, "import numpy: read-only")
check(stoa.from_dlpack(numpy.zeros(7)).strided()[1:3] == ((7, 1), (1, 1)), "import numpy [7]")
refused(stoa.StoaError, lambda: stoa.from_dlpack(numpy.zeros((2, 2, 2))), "rank 3", "import numpy of rank 3")
refused(BufferError, lambda: numpy.from_dlpack(columns), "not exported again", "re-export")
weights = torch.arange(20, dtype=torch.float64).reshape(5, 4)[:, 1:3]
columns = stoa.from_dlpack(weights)
check(columns.strided() == (weights.data_ptr(), (5, 2), (4, 1), "float64"), "import torch [5, 2] of a wider tensor")
check(len(stoa.from_dlpack(torch.zeros((0, 4)))) == 0, "import torch without rows")
address = weights.data_ptr()
del weights
gc.collect()
check(columns.addresses[0] == address and columns.strided()[1] == (5, 2), "import holds the torch tensor")

sys.exit(finish())
