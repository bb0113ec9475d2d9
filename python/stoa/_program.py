# SPDX-License-Identifier: Apache-2.0
"""The program that a package holds: the user's module between the blocks of its inputs and the columns of its outputs.

Convention, the same for .pt2 and .pt: forward(*inputs, *carriers, *output columns) -> nothing.

- An input is one tensor: the extents of a row in memory order, then the pitch P >= n. It is sliced to n rows and viewed as the
  module wants it, [n, *shape].
- An output of width W is W tensors [n], in the order of the values of a row; each is stored in place.
- n of an axis is the size of the first output column of that axis. An axis without an output has a carrier: a uint8 tensor [n]
  that is never read.
"""
from __future__ import annotations

import hashlib
import linecache
from typing import Any, Sequence, Union

import torch

from ._columns import ONE_ROW, Columns, axes_of

Carrier = Union[int, None]  # index of the output column, or None: a tensor of its own


class InPlace(torch.nn.Module):
    """Base of the generated wrappers; `net` is the user's module."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net


def carriers_of(inputs: dict[str, Columns], outputs: dict[str, Columns]) -> dict[str, Carrier]:
    """What tells each axis its rows."""
    carriers: dict[str, Carrier] = {axis: None for axis in axes_of(inputs, outputs)}
    first = 0
    for tensor in outputs.values():
        if carriers.get(tensor.rows, 0) is None:
            carriers[tensor.rows] = first
        first += tensor.width
    return carriers


def _view(value: str, tensor: Columns) -> str:
    """The block sliced to its rows, as [n, *shape]; a view."""
    rank = len(tensor.shape)
    order = list(range(rank))
    if tensor.swapped:
        order[-2:] = order[:-3:-1] if rank > 2 else [1, 0]
    rows = f"n_{tensor.rows}" if tensor.rows != ONE_ROW else "1"
    sliced = f"{value}[{', '.join([':'] * rank + [f':{rows}'])}]"
    return f"{sliced}.permute({', '.join(map(str, [rank, *order]))})" if rank else sliced


def wrapper_source(inputs: dict[str, Columns], outputs: dict[str, Columns]) -> str:
    """The forward method as text: TorchScript and torch.export both want named arguments."""
    carriers = carriers_of(inputs, outputs)
    columns = [f"out_{i}" for i in range(sum(tensor.width for tensor in outputs.values()))]
    extra = [f"rows_{axis}" for axis, index in carriers.items() if index is None]
    arguments = [f"in_{i}" for i in range(len(inputs))] + extra + columns
    lines = [f"def forward(self, {', '.join(arguments)}):"]
    for axis, index in carriers.items():
        lines.append(f"    n_{axis} = {f'rows_{axis}' if index is None else f'out_{index}'}.shape[0]")
    views = [_view(f"in_{i}", tensor) for i, tensor in enumerate(inputs.values())]
    lines.append(f"    results = self.net({', '.join(views)})")
    first = 0
    for i, tensor in enumerate(outputs.values()):
        result = f"results[{i}]" if len(outputs) > 1 else "results"
        rows = f"n_{tensor.rows}" if tensor.rows != ONE_ROW else "1"
        lines.append(f"    y_{i} = {result}.reshape({rows}, {tensor.width})")
        lines += [f"    out_{first + k}.copy_(y_{i}[:, {k}])" for k in range(tensor.width)]
        first += tensor.width
    return "\n".join(lines) + "\n"


def wrap(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns]) -> InPlace:
    """The module in place, of a class of its own. TorchScript reads the text of its method: it is put where inspect looks."""
    scope: dict[str, Any] = {}
    text = wrapper_source(inputs, outputs)
    name = f"<stoa in place {hashlib.sha256(text.encode()).hexdigest()[:12]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), scope)  # noqa: S102: our own text
    return type("InPlaceModule", (InPlace,), {"forward": scope["forward"]})(net).eval()


def example(inputs: dict[str, Columns], outputs: dict[str, Columns], rows: dict[str, int], pitch: int, device: str) -> list[torch.Tensor]:
    """Zeros to export the wrapper with."""
    def zeros(*shape: int, dtype: str) -> torch.Tensor:
        return torch.zeros(*shape, dtype=getattr(torch, dtype), device=device)

    def count(tensor: Columns) -> int:
        return 1 if tensor.rows == ONE_ROW else rows[tensor.rows]

    blocks = [zeros(*t.memory_shape, pitch + i, dtype=t.dtype) for i, t in enumerate(inputs.values())]
    extra = [zeros(rows[axis], dtype="uint8") for axis, index in carriers_of(inputs, outputs).items() if index is None]
    results = [zeros(count(t), dtype=t.dtype) for t in outputs.values() for _ in range(t.width)]
    return blocks + extra + results


def dynamic_shapes(inputs: dict[str, Columns], outputs: dict[str, Columns], rows_max: int) -> list[dict[int, Any]]:
    """Which sizes vary: the pitch of each block and the rows of each axis."""
    axes = {axis: torch.export.Dim(f"n_{axis}", min=0, max=rows_max) for axis in axes_of(inputs, outputs)}
    shapes: list[dict[int, Any]] = []
    for i, tensor in enumerate(inputs.values()):
        shapes.append({len(tensor.shape): torch.export.Dim(f"p_{i}", min=0, max=rows_max)})
    shapes += [{0: axes[axis]} for axis, index in carriers_of(inputs, outputs).items() if index is None]
    for tensor in outputs.values():
        shapes += [{0: axes[tensor.rows]} if tensor.rows != ONE_ROW else {}] * tensor.width
    return shapes


# ---- the W @ X form ------------------------------------------------------------------------------------------------------------

_POINTWISE = {"relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "softplus",
              "exp", "log", "neg", "abs", "sqrt", "clamp", "add", "sub", "mul", "div", "_to_copy", "to", "dropout", "mish", "selu"}


class _Transposer:
    """Linear layers and what is element-wise between them, on [features, n] instead of [n, features]: the form in which columns lie.

    A node that has a transposed twin is replaced by it; where something else wants the node itself, the twin is viewed back.
    """

    def __init__(self, graph: torch.fx.Graph) -> None:
        self.graph = graph
        self.twins: dict[torch.fx.Node, torch.fx.Node] = {}

    def _twin_of(self, node: torch.fx.Node) -> Union[torch.fx.Node, None]:
        aten = torch.ops.aten
        if node in self.twins:
            return self.twins[node]
        if node.target in (aten.t.default,) or (node.target == aten.permute.default and list(node.args[1]) == [1, 0]):
            return node.args[0]
        return None

    def _new(self, before: torch.fx.Node, target: Any, args: Sequence[Any], kwargs: Any = None) -> torch.fx.Node:
        with self.graph.inserting_before(before):
            return self.graph.call_function(target, tuple(args), kwargs or {})

    def _linear(self, node: torch.fx.Node) -> Union[torch.fx.Node, None]:
        x, weight, *bias = node.args
        twin = self._twin_of(x)
        if twin is None:
            return None
        if bias and bias[0] is not None:
            column = self._new(node, torch.ops.aten.unsqueeze.default, (bias[0], 1))
            return self._new(node, torch.ops.aten.addmm.default, (column, weight, twin))
        return self._new(node, torch.ops.aten.mm.default, (weight, twin))

    def _pointwise(self, node: torch.fx.Node) -> Union[torch.fx.Node, None]:
        args = []
        for arg in node.args:
            if isinstance(arg, torch.fx.Node):
                twin = self._twin_of(arg)
                if twin is None or node.meta["val"].shape != arg.meta["val"].shape:
                    return None
                arg = twin
            args.append(arg)
        return self._new(node, node.target, args, dict(node.kwargs))

    def _along_features(self, node: torch.fx.Node) -> Union[torch.fx.Node, None]:
        twin = self._twin_of(node.args[0])
        if twin is None or node.args[1] not in (1, -1):
            return None
        return self._new(node, node.target, (twin, 0, *node.args[2:]), dict(node.kwargs))

    def _select(self, node: torch.fx.Node) -> bool:
        """The value k of all rows: a row of the twin, no view back."""
        x, dim, index = node.args
        twin = self._twin_of(x)
        if dim != 1 or twin is None or x not in self.twins:
            return False
        node.replace_all_uses_with(self._new(node, torch.ops.aten.select.int, (twin, 0, index)))
        return True

    def run(self) -> int:
        """Rewrite; the number of linear layers that were."""
        aten, linear = torch.ops.aten, 0
        for node in list(self.graph.nodes):
            if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
                continue
            value, twin = node.meta.get("val"), None
            if node.target == aten.select.int and self._select(node):
                continue
            if not isinstance(value, torch.Tensor) or value.dim() != 2:
                continue
            if node.target == aten.linear.default:
                twin = self._linear(node)
                linear += twin is not None
            elif node.target in (aten.softmax.int, aten.log_softmax.int):
                twin = self._along_features(node)
            elif node.target == aten.reshape.default and isinstance(node.args[0], torch.fx.Node) \
                    and node.args[0].meta["val"].shape == value.shape:
                twin = self._twin_of(node.args[0])
            elif node.target.overloadpacket.__name__ in _POINTWISE:
                twin = self._pointwise(node)
            if twin is not None:
                self.twins[node] = twin
        for node, twin in self.twins.items():
            if node.users:
                last = node
                node.replace_all_uses_with(self._new(last.next, aten.t.default, (twin,)))
        self.graph.eliminate_dead_code()
        return linear


def transpose(program: torch.export.ExportedProgram) -> int:
    """Rewrite the program's linear layers for columns; the number of layers rewritten."""
    graph = program.graph_module.graph
    count = _Transposer(graph).run()
    graph.lint()
    program.graph_module.recompile()
    return count
