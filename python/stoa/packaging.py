# SPDX-License-Identifier: Apache-2.0
"""Packages a PyTorch module for columns: one call, several formats, compared with eager PyTorch at once.

    stoa.export(net, inputs={"x": stoa.columns(17)}, outputs={"score": stoa.columns(1)}, path="net", formats=["onnx", "pt2", "pt"])

writes net.onnx, net.pt2 and net.pt. A .pt2 is compiled by AOTInductor for the machine level that is asked for and needs no libtorch
where it runs (unless libtorch=True); a .pt is TorchScript. Both read the columns where they lie and store each output column in
place (stoa/_program.py has the calling convention). Names, types, shapes, the machine they are for and test vectors travel in each
file under the key "stoa".
"""
from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Union

import torch

from ._columns import Columns, axes_of
from . import _program

MANIFEST_FORMAT = 1
FORMATS = ("onnx", "pt2", "pt")
ROWS_MAX = 2**31 - 1
CHECK_ROWS = 5
CHECK_VALUES_MAX = 2048  # of one tensor: larger ones travel without test vectors

# Machine levels of x86-64 and the flags of /proc/cpuinfo that code for them may use (x86-64 psABI).
_V3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_LEVELS: dict[str, tuple[tuple[str, ...], int]] = {
    "x86-64-v3": (_V3, 256),
    "x86-64-v4": ((*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"), 512),
}


class StoaExportError(RuntimeError):
    """The model cannot be packaged to run in place; the text says why, in terms of the model."""


@dataclass
class ExportReport:
    """What was written, and how far each format is from eager PyTorch."""

    files: dict[str, Path] = field(default_factory=dict)
    compared: dict[str, float] = field(default_factory=dict)      # format -> largest absolute difference
    not_compared: dict[str, str] = field(default_factory=dict)    # format -> reason
    row_independent: bool = False
    linear_layers_transposed: int = 0

    def __str__(self) -> str:
        lines = []
        for name, path in self.files.items():
            verdict = f"max difference {self.compared[name]:.3g}" if name in self.compared else f"not compared: {self.not_compared[name]}"
            lines.append(f"{path}: {verdict}")
        return "\n".join(lines)


def _torch_dtype(tensor: Columns) -> torch.dtype:
    return getattr(torch, tensor.dtype)


def _random(inputs: Mapping[str, Columns], rows: Mapping[str, int], seed: int) -> list[torch.Tensor]:
    """Test inputs [n, *shape]: small numbers that mean something in every dtype."""
    generator = torch.Generator().manual_seed(seed)
    values = []
    for tensor in inputs.values():
        shape = (rows.get(tensor.rows, 1), *tensor.shape)
        dtype = _torch_dtype(tensor)
        if dtype.is_floating_point:
            values.append(torch.randn(shape, generator=generator).to(dtype))
        else:
            values.append(torch.randint(0, 2, shape, generator=generator).to(dtype))
    return values


def _eager(net: torch.nn.Module, values: Sequence[torch.Tensor], outputs: Mapping[str, Columns], rows: Mapping[str, int]) -> list[torch.Tensor]:
    """The module's own results, checked against what the caller says of them."""
    with torch.no_grad():
        try:
            results = net(*values)
        except Exception as error:
            shapes = ", ".join(str(tuple(value.shape)) for value in values)
            raise StoaExportError(f"the model fails on inputs of shapes {shapes}: {error}") from error
    found = list(results) if isinstance(results, (tuple, list)) else [results]
    if len(found) != len(outputs) or not all(isinstance(value, torch.Tensor) for value in found):
        raise StoaExportError(f"the model returns {len(found)} results, {len(outputs)} outputs are declared: {', '.join(outputs)}")
    for value, (name, tensor) in zip(found, outputs.items()):
        n = rows.get(tensor.rows, 1)
        if value.dim() == 0 or value.shape[0] != n or value.numel() != n * tensor.width:
            raise StoaExportError(f"output '{name}': shape {tuple(value.shape)} for {n} rows, declared is ({n}, "
                                  f"{', '.join(map(str, tensor.shape))}); each row must give one row")
    return [value.to(_torch_dtype(tensor)).reshape(value.shape[0], *tensor.shape) for value, tensor in zip(found, outputs.values())]


def _is_row_independent(net: torch.nn.Module, inputs: Mapping[str, Columns], outputs: Mapping[str, Columns], axes: Sequence[str],
                        tolerance: Mapping[str, float]) -> bool:
    """Whether rows reversed and rows in pieces give the same rows: then a session may run them in tiles."""
    if len(axes) != 1 or any(tensor.rows != axes[0] for tensor in outputs.values()):
        return False
    n = 24
    values = _random(inputs, {axes[0]: n}, seed=1)

    def run(select: torch.Tensor) -> list[torch.Tensor]:
        chosen = [value[select] if tensor.rows == axes[0] else value for value, tensor in zip(values, inputs.values())]
        return _eager(net, chosen, outputs, {axes[0]: len(select)})

    whole, order = run(torch.arange(n)), torch.arange(n - 1, -1, -1)
    pieces = [run(torch.arange(0, 7)), run(torch.arange(7, n))]
    try:
        for i, expected in enumerate(whole):
            torch.testing.assert_close(run(order)[i][order], expected, **tolerance, equal_nan=True)
            torch.testing.assert_close(torch.cat([piece[i] for piece in pieces]), expected, **tolerance, equal_nan=True)
    except AssertionError:
        return False
    return True


def _numbers(value: torch.Tensor) -> list[float]:
    """Value-major, [width][rows]; a double holds every number that a test vector has."""
    return value.reshape(value.shape[0], -1).t().double().flatten().tolist()


def _check_vectors(net: torch.nn.Module, inputs: Mapping[str, Columns], outputs: Mapping[str, Columns],
                   axes: Sequence[str]) -> Optional[dict[str, Any]]:
    rows = {axis: CHECK_ROWS + i for i, axis in enumerate(axes)}
    if any(tensor.width * (CHECK_ROWS + len(axes)) > CHECK_VALUES_MAX for tensor in (*inputs.values(), *outputs.values())):
        return None
    values = _random(inputs, rows, seed=2)
    results = _eager(net, values, outputs, rows)
    return {"rows": [rows[axis] for axis in axes],
            "inputs": {name: _numbers(value) for name, value in zip(inputs, values)},
            "outputs": {name: _numbers(value) for name, value in zip(outputs, results)}}


def _manifest(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], name: str,
              tolerance: dict[str, float], row_independent: bool) -> dict[str, Any]:
    axes = axes_of(inputs, outputs)
    carriers = _program.carriers_of(inputs, outputs)
    return {
        "format": MANIFEST_FORMAT, "name": name, "torch": torch.__version__.split("+")[0], "machine": platform.machine(), "device": "cpu",
        "inputs": [tensor.to_json(key) for key, tensor in inputs.items()],
        "outputs": [tensor.to_json(key) for key, tensor in outputs.items()],
        "axes": axes, "row_carriers": [{"extra": True} if carriers[axis] is None else {"output": carriers[axis]} for axis in axes],
        "row_independent": row_independent, "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "flop_per_row": _flop_per_row(net, inputs, axes), "tolerance": tolerance, "check": _check_vectors(net, inputs, outputs, axes),
    }


def _flop_per_row(net: torch.nn.Module, inputs: Mapping[str, Columns], axes: Sequence[str]) -> int:
    """Of the products, for one row of each axis; 0 when PyTorch cannot tell."""
    from torch.utils.flop_counter import FlopCounterMode
    counter = FlopCounterMode(display=False)
    with contextlib.suppress(Exception), counter, torch.no_grad():
        net(*_random(inputs, dict.fromkeys(axes, 8), seed=3))
    return counter.get_total_flops() // 8


# ---- formats -------------------------------------------------------------------------------------------------------------------


def _cpu_flags() -> set[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


@dataclass(frozen=True)
class _Target:
    """What code is compiled for: -march, the processor flags that it needs and the vector width."""

    name: str
    march: Optional[str] = None
    flags: tuple[str, ...] = ()
    bits: Optional[int] = None


def _gpu_target(isa: Union[str, Sequence[str], None]) -> _Target:
    """The architecture of the GPU here: kernels are tried out on it while they are compiled."""
    if isa:
        raise StoaExportError(f"isa {isa}: machine levels are for device 'cpu'; a package for 'cuda' is for the GPU that it is compiled on")
    if not torch.cuda.is_available():
        raise StoaExportError(f"device 'cuda': PyTorch {torch.__version__} sees no GPU here; a package for GPUs is compiled on one")
    major, minor = torch.cuda.get_device_capability()
    return _Target(f"sm_{major}{minor}")


def _targets(isa: Union[str, Sequence[str], None], device: str) -> list[_Target]:
    """The best level of this machine, or those asked for, the most demanding first: a loader takes the first that its machine has."""
    if device == "cuda":
        return [_gpu_target(isa)]
    if platform.machine() != "x86_64":
        if isa:
            raise StoaExportError(f"isa {isa}: levels are known for x86_64 only, this is {platform.machine()}")
        return [_Target(platform.machine())]
    asked = {isa} if isinstance(isa, str) else set(isa or ())
    if asked - set(_LEVELS):
        raise StoaExportError(f"isa {', '.join(sorted(asked - set(_LEVELS)))}: not one of {', '.join(_LEVELS)}")
    levels = [_Target(name, name, needed, bits) for name, (needed, bits) in reversed(_LEVELS.items())]
    if asked:
        return [level for level in levels if level.name in asked]
    best = [level for level in levels if _cpu_flags().issuperset(level.flags)]
    if not best:
        raise StoaExportError(f"this machine is below {next(iter(_LEVELS))}; name the level to compile for with isa=")
    return best[:1]


def _transposed(program: torch.export.ExportedProgram, arguments: Sequence[torch.Tensor], shapes: Sequence[Any]) -> tuple[Any, int]:
    """The program with its linear layers on columns, exported anew so that every node knows its shape."""
    count = _program.transpose(program)
    return (torch.export.export(program.module(), tuple(arguments), dynamic_shapes=tuple(shapes)), count) if count else (program, 0)


def _export_program(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], device: str) -> tuple[Any, int]:
    wrapper = _program.wrap(net if device == "cpu" else copy.deepcopy(net).to(device), inputs, outputs)
    rows = {axis: 6 + 2 * i for i, axis in enumerate(axes_of(inputs, outputs))}
    arguments = _program.example(inputs, outputs, rows, 32, device)
    shapes = _program.dynamic_shapes(inputs, outputs, ROWS_MAX)
    try:
        with torch.no_grad():
            program = torch.export.export(wrapper, tuple(arguments), dynamic_shapes=tuple(shapes))
            _check_inputs_are_kept(program, inputs)
            return _transposed(program, arguments, shapes)
    except StoaExportError:
        raise
    except Exception as error:  # torch.export fails in many ways; all mean the same to the caller
        raise StoaExportError("torch.export cannot make one program of the model for every number of rows; control flow or sizes "
                              f"that depend on values, or a fixed number of rows, are the usual reasons.\n{error}") from error


def _base(node: Any) -> Any:
    """What a view, or a view of a view, looks at."""
    while isinstance(node, torch.fx.Node) and isinstance(node.target, torch._ops.OpOverload) and node.args:
        alias = node.target._schema.returns[0].alias_info if node.target._schema.returns else None
        if alias is None:
            break
        node = node.args[0]
    return node


def _check_inputs_are_kept(program: Any, inputs: Mapping[str, Columns]) -> None:
    """A model that changes an input would change the caller's event data."""
    for node in program.graph.nodes:
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        for argument, value in zip(node.target._schema.arguments, node.args):
            source = _base(value) if argument.alias_info is not None and argument.alias_info.is_write else None
            if isinstance(source, torch.fx.Node) and source.op == "placeholder" and source.name.startswith("in_"):
                name = list(inputs)[int(source.name.removeprefix("in_"))]
                raise StoaExportError(f"the model changes its input '{name}' in place ({node.target}); inputs are the caller's event data")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporters warn of their own internals, not of the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _without_mkldnn(off: bool) -> Iterator[None]:
    """oneDNN's prepacked layers exist in libtorch only."""
    if not off:
        yield
        return
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@contextlib.contextmanager
def _vector_level(bits: Optional[int]) -> Iterator[None]:
    """Inductor compiles for the widest vectors that it finds, tile and dot-product units included, and its search links a program like
    the package, which fails without libtorch. The level is the caller's to choose: the list that it picks from gets that one entry."""
    from torch._inductor import cpu_vec_isa
    if not bits:
        yield
        return
    found = cpu_vec_isa.valid_vec_isa_list
    level = cpu_vec_isa.VecAVX512() if bits == 512 else cpu_vec_isa.VecAVX2()
    cpu_vec_isa.valid_vec_isa_list = lambda: [level]
    try:
        with torch._inductor.config.patch({"cpp.vec_isa_ok": True}):
            yield
    finally:
        cpu_vec_isa.valid_vec_isa_list = found


@contextlib.contextmanager
def _compiler_constants(found: dict[str, torch.Tensor]) -> Iterator[None]:
    """Collects the tensors that the compiler makes by itself (from a Python list in the model, say): the program does not have them."""
    from torch._inductor.codecache import AotCodeCompiler
    compile_ = AotCodeCompiler.compile

    def noting(graph: Any, *args: Any, **kwargs: Any) -> Any:
        found.update((graph.allocated_constant_name.get(name, name), value) for name, value in graph.constants.items())
        return compile_(graph, *args, **kwargs)

    AotCodeCompiler.compile = noting
    try:
        yield
    finally:
        AotCodeCompiler.compile = compile_


def _constants(tensors: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
    """A table of the tensors, and their values behind one another at multiples of 64 bytes."""
    table, blob = [], bytearray()
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            continue
        data = value.detach().contiguous().cpu()
        blob += bytes(-len(blob) % 64)
        table.append({"name": name, "dtype": str(data.dtype).removeprefix("torch."), "shape": list(data.shape), "offset": len(blob)})
        blob += data.reshape(-1).view(torch.uint8).numpy().tobytes() if data.numel() else b""
    return table, bytes(blob)


def _fingerprint(program: Any, target: _Target, libtorch: bool) -> str:
    """Of all that decides the code. The compiler's folder for what it generates is named after the graph alone, and it keeps what it
    finds there: a model of the same graph with other weights, or for another machine, must have files of another name."""
    _, weights = _constants({**program.state_dict, **program.constants})
    text = f"{torch.__version__} {target} {libtorch} {program.graph_module.code}"
    return hashlib.sha256(text.encode() + weights).hexdigest()[:16]


def _options(target: _Target, libtorch: bool, device: str) -> dict[str, Any]:
    """Of the compiler; the keys are those of torch._inductor.config."""
    options: dict[str, Any] = {
        "aot_inductor.link_libtorch": libtorch, "aot_inductor.package_constants_in_so": False, "aot_inductor.enable_line_tables": False,
        "always_keep_tensor_constants": True,  # short ones would become literals
    }
    if device == "cpu":
        return {**options, "cpp.threads": 1, "cpp.march": target.march, "cpp.simdlen": target.bits}
    options["aot_inductor.embed_kernel_binary"] = True  # no folder of kernels beside the library
    if not libtorch:  # nor products of ATen
        options |= {"max_autotune": True, "max_autotune_gemm_backends": "TRITON", "max_autotune_conv_backends": "TRITON"}
    return options


def _compile(program: Any, target: _Target, libtorch: bool, device: str, path: Path) -> dict[str, torch.Tensor]:
    """Compile the program for one target to PyTorch's package `path`; the constants that the compiler made up."""
    import torch._inductor

    made: dict[str, torch.Tensor] = {}
    name = f"stoa_{_fingerprint(program, target, libtorch)}"
    options = {**_options(target, libtorch, device), "aot_inductor.model_name_for_generated_files": name}
    with _quiet(), _without_mkldnn(not libtorch), _vector_level(target.bits), _compiler_constants(made):
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)
        except Exception as error:
            raise StoaExportError(f"AOTInductor cannot compile the model: {error}") from error
    return made


def _write_pt2(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], manifest: dict[str, Any], path: Path,
               libtorch: bool, isa: Union[str, Sequence[str], None], device: str) -> int:
    targets = _targets(isa, device)
    program, transposed = _export_program(net, inputs, outputs, device)
    constants: dict[str, Any] = {**program.state_dict, **program.constants}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for target in targets:
            made = Path(folder) / f"{target.name}.pt2"
            constants = {**_compile(program, target, libtorch, device, made), **constants}
            _add_target(package, made, path.stem, target)
        table, blob = _constants(constants)
        manifest = {**manifest, "device": device, "link_libtorch": libtorch, "constants": table,
                    "targets": [{"name": target.name, "cpu_features": list(target.flags)} for target in targets]}
        _add(package, f"{path.stem}/extra/stoa.json", json.dumps(manifest).encode())
        _add(package, f"{path.stem}/extra/stoa.weights", blob)
    return transposed


def _add(package: zipfile.ZipFile, name: str, data: bytes) -> None:
    package.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)  # the same bytes whenever it is made


def _add_target(package: zipfile.ZipFile, made: Path, stem: str, target: _Target) -> None:
    """What a machine needs of a compiled package: the library and its metadata, not the sources."""
    strip = shutil.which("strip")
    with zipfile.ZipFile(made) as source:
        for name in source.namelist():
            if name.endswith(".wrapper.json"):
                raise StoaExportError("the model uses an operator without a C function (a custom operator or one that AOTInductor "
                                      "hands back to Python); it cannot run without libtorch's executor")
            if "/data/aotinductor/" not in name or name.endswith((".cpp", ".h")):
                continue
            member = Path(source.extract(name, made.parent))
            if member.suffix == ".so" and strip:  # its local symbols only make loading slower
                subprocess.run([strip, "--strip-unneeded", str(member)], check=True)
            _add(package, f"{stem}/data/aotinductor/{target.name}/{member.name.split('.', 1)[1]}", member.read_bytes())


def _write_pt(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], manifest: dict[str, Any], path: Path) -> None:
    rows = {axis: 6 + 2 * i for i, axis in enumerate(axes_of(inputs, outputs))}
    with torch.no_grad(), _quiet():  # TorchScript is deprecated, and tracing says that sizes are recorded
        try:
            inner = torch.jit.script(net)
        except Exception:  # what cannot be scripted is recorded
            try:
                inner = torch.jit.trace(net, tuple(_random(inputs, rows, seed=4)), check_trace=False)
            except Exception as error:
                raise StoaExportError(f"TorchScript cannot record the model: {error}") from error
        wrapper = torch.jit.script(_program.wrap(inner, inputs, outputs))
        torch.jit.save(wrapper, str(path), _extra_files={"stoa.json": json.dumps(manifest)})


def _write_onnx(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], manifest: dict[str, Any], path: Path) -> None:
    import onnx

    rows = {axis: 6 + 2 * i for i, axis in enumerate(axes_of(inputs, outputs))}
    axes = {name: {0: tensor.rows} for name, tensor in {**inputs, **outputs}.items() if tensor.rows in rows}
    with torch.no_grad(), _quiet():
        try:
            torch.onnx.export(net, tuple(_random(inputs, rows, seed=4)), str(path), input_names=list(inputs), output_names=list(outputs),
                              dynamic_axes=axes, dynamo=False)
        except Exception as error:
            raise StoaExportError(f"ONNX has no operators for the model: {error}") from error
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"stoa": json.dumps(manifest)})
    onnx.save(model, str(path))


# ---- comparison ----------------------------------------------------------------------------------------------------------------


def _compare(net: torch.nn.Module, inputs: dict[str, Columns], outputs: dict[str, Columns], path: Path,
             tolerance: Mapping[str, float], runtime: Optional[str]) -> float:
    """Run the file through the C library on blocks with larger pitches and compare with eager PyTorch; the largest difference."""
    from .model import load

    axes, worst = axes_of(inputs, outputs), 0.0
    model = load(path, runtime=runtime)
    for n in (1, 2, 31, 1000):
        rows = {axis: n + 3 * i for i, axis in enumerate(axes)}
        values = _random(inputs, rows, seed=n)
        expected = _eager(net, values, outputs, rows)
        found = model(*[_as_block(value, tensor, pitch=n + 37) for value, tensor in zip(values, inputs.values())], allow_copies=True)
        for name, want in zip(outputs, expected):
            got = torch.from_dlpack(found[name])
            if want.numel():
                worst = max(worst, float((got.double() - want.double()).abs().max()))
            try:
                torch.testing.assert_close(got, want, **tolerance, equal_nan=True)
            except AssertionError as error:
                raise StoaExportError(f"{path}: output '{name}' differs from eager PyTorch for {n} rows: {error}") from error
    return worst


def _as_block(value: torch.Tensor, tensor: Columns, pitch: int) -> torch.Tensor:
    """The same values [n, *shape] as columns, `pitch` apart."""
    rank = len(tensor.shape)
    order = list(range(1, rank + 1))
    if tensor.swapped:
        order[-2:] = [order[-1], order[-2]]
    block = torch.empty(*tensor.memory_shape, pitch, dtype=value.dtype)[..., : value.shape[0]]
    block.copy_(value.permute(*order, 0))
    back = [rank, *(index - 1 for index in order)]
    return block.permute(*back)


def export(model: torch.nn.Module, inputs: Mapping[str, Columns], outputs: Mapping[str, Columns], path: Union[str, os.PathLike[str]],
           formats: Sequence[str] = ("onnx", "pt2"), *, libtorch: bool = False, isa: Union[str, Sequence[str], None] = None, device: str = "cpu",
           tolerance: Optional[Mapping[str, float]] = None, row_independent: Optional[bool] = None, compare: bool = True) -> ExportReport:
    """Package `model` for columns as `path`.onnx, .pt2, .pt.

    inputs, outputs   by name, in the order of the module's arguments and results: stoa.columns(shape, dtype, rows)
    libtorch          a .pt2 that calls libtorch's operators instead of carrying on alone
    isa               machine levels of a .pt2: "x86-64-v3" (AVX2), "x86-64-v4" (AVX-512), or a list of them, each compiled into the file;
                      the best of this machine when not given
    device            of a .pt2: "cpu", or "cuda" for the GPU that is here
    tolerance         {"rtol", "atol"} of the comparison with eager PyTorch, and of the self-check of who loads the file
    row_independent   that a row's result depends on that row alone; tried out when not given
    compare           run each file through the C library, where it is found, and compare

    Raises StoaExportError with the reason when the model cannot run in place. The module is put into eval mode.
    """
    if device not in ("cpu", "cuda"):
        raise StoaExportError(f"device '{device}': not one of cpu, cuda")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise StoaExportError(f"formats {list(formats)}: some of {', '.join(FORMATS)} needed")
    ins, outs, stem = dict(inputs), dict(outputs), Path(path)
    for name in (*ins, *outs, *axes_of(ins, outs)):
        if not name.isidentifier():
            raise StoaExportError(f"name '{name}': letters, digits and _ only")
    net = model.eval()
    lowest = any(tensor.dtype in ("float16", "bfloat16") for tensor in (*ins.values(), *outs.values())) or \
        any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in net.parameters())
    limits = dict(tolerance or ({"rtol": 2e-2, "atol": 2e-2} if lowest else {"rtol": 1e-4, "atol": 1e-5}))
    axes = axes_of(ins, outs)
    _eager(net, _random(ins, {axis: 4 + i for i, axis in enumerate(axes)}, seed=0), outs, {axis: 4 + i for i, axis in enumerate(axes)})
    report = ExportReport()
    report.row_independent = _is_row_independent(net, ins, outs, axes, limits) if row_independent is None else row_independent
    manifest = _manifest(net, ins, outs, stem.name, limits, report.row_independent)
    for name in formats:
        target = stem.parent / f"{stem.name}.{name}"
        if name == "pt2":
            report.linear_layers_transposed = _write_pt2(net, ins, outs, manifest, target, libtorch, isa, device)
        elif name == "pt":
            _write_pt(net, ins, outs, manifest, target)
        else:
            _write_onnx(net, ins, outs, manifest, target)
        report.files[name] = target
        if name == "pt2" and device == "cuda":
            report.not_compared[name] = "compiled for a GPU; 'stoa run --device cuda:0' runs it"
        else:
            _compare_or_say(net, ins, outs, target, limits, name, report, compare)
    return report


def _compare_or_say(net: torch.nn.Module, ins: dict[str, Columns], outs: dict[str, Columns], path: Path, limits: Mapping[str, float],
                    name: str, report: ExportReport, wanted: bool) -> None:
    from ._abi import StoaError

    if not wanted:
        report.not_compared[name] = "not asked for"
        return
    reasons = []
    for runtime in (None, "onnxruntime") if name == "onnx" else (None,):
        try:
            report.compared[name] = _compare(net, ins, outs, path, limits, runtime)
            return
        except OSError as error:  # libstoa is not here
            reasons.append(str(error))
        except StoaError as error:  # this runtime is not, or cannot run it
            if error.status not in ("STOA_ENOTSUP", "STOA_ENAME"):
                raise StoaExportError(f"{path}: {error}") from error
            reasons.append(str(error))
    report.not_compared[name] = "; ".join(reasons)
