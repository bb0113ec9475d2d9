# SPDX-License-Identifier: Apache-2.0
"""How the inputs and outputs of a model lie in columns: what the user says, the manifest keeps and the C library binds."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Union

ONE_ROW = "1"  # the rows name of an event's scalars: one row a run

DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(frozen=True)
class Columns:
    """One input or output: `shape` is that of a row; the values of a row are columns over the same rows.

    A shape of two or more extents lies as matrix columns do, column-major in the last two, unless `column_major` is False.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    rows: str = "N"
    column_major: bool = True

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype '{self.dtype}': not one of {', '.join(DTYPES)}")
        if any(extent < 1 for extent in self.shape) or len(self.shape) > 6:
            raise ValueError(f"shape {self.shape}: 1 to 6 extents, all at least 1")
        if not self.rows:
            raise ValueError("rows: the axis needs a name")

    @property
    def width(self) -> int:
        """Values of a row."""
        return math.prod(self.shape)

    @property
    def swapped(self) -> bool:
        """Whether the last two extents are exchanged in memory."""
        return self.column_major and len(self.shape) > 1

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """The extents of a block in memory, outermost first, without its rows."""
        return (*self.shape[:-2], self.shape[-1], self.shape[-2]) if self.swapped else self.shape

    def to_json(self, name: str) -> dict[str, Any]:
        return {"name": name, "dtype": self.dtype, "shape": list(self.shape), "rows": self.rows, "column_major": self.swapped}


def columns(shape: Union[int, tuple[int, ...]] = 1, dtype: str = "float32", rows: str = "N", column_major: bool = True) -> Columns:
    """Columns of a tensor [rows, *shape]: `columns(17)`, `columns((3, 9, 9), "float16")`, `columns((), rows="1")`."""
    return Columns((shape,) if isinstance(shape, int) else tuple(shape), dtype, rows, column_major)


def parse(text: str) -> tuple[str, Columns]:
    """`name:dtype:shape-of-a-row[:rows-name]`, as on the command line: "x:float32:17", "image:float32:3x9x9:hits"."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 4 or not parts[0]:
        raise ValueError(f"'{text}': name:dtype:shape-of-a-row[:rows-name] needed")
    shape = parts[2] if len(parts) > 2 else ""
    try:
        extents = tuple(int(extent) for extent in shape.split("x")) if shape else ()
    except ValueError:
        raise ValueError(f"'{text}': shape '{shape}' is not like 17 or 3x9x9") from None
    return parts[0], columns(extents, parts[1], parts[3] if len(parts) > 3 else "N")


def axes_of(*tensors: dict[str, Columns]) -> list[str]:
    """The names of the row axes in order of appearance."""
    names: list[str] = []
    for group in tensors:
        for tensor in group.values():
            if tensor.rows != ONE_ROW and tensor.rows not in names:
                names.append(tensor.rows)
    return names
