# SPDX-License-Identifier: Apache-2.0
"""What today's way of running PyTorch models on structures of arrays falls short of: one acceptance test for each weakness, named
after it. The one that is about GPUs alone, number 7, is not here."""
import ctypes
import hashlib
import json
import mmap
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import zipfile

import numpy
import torch

import events
import nets
import runtimes
import stoa
from expect import check, close, finish, refused
from stoa import _abi

IN_PLACE = [name for name in runtimes.RUNTIMES if name not in runtimes.GATHERS]
NO_ALLOCATION = ("native", "aoti")  # libtorch has an allocator of its own, and intermediates of its own


def in_place(case):
    return ((runtime, model) for runtime, model in runtimes.of(case) if runtime in IN_PLACE)


class Session:
    """A session as C sees it: what Python would refuse reaches the library."""

    def __init__(self, model, rows, queue=None, allow_copies=0):
        self._model, self._c, self._held = model, ctypes.c_void_p(), []
        options = _abi.SessionOptions(ctypes.sizeof(_abi.SessionOptions), allow_copies)
        _abi.call("stoa_session_create", model._c, queue or stoa._host_queue(), rows, ctypes.byref(options), ctypes.byref(self._c))

    def bind(self, name, columns):
        table = (_abi.Column * len(columns))(*columns)
        self._held += [table, columns]
        _abi.call("stoa_session_bind", self._c, name.encode(), _abi.library().stoa_tensor_of(table, len(columns)))

    def run(self, rows, first=0):
        _abi.call("stoa_session_run_rows", self._c, first, rows)

    def run_counted(self, count):
        _abi.call("stoa_session_run_counted", self._c, ctypes.byref(count))

    @property
    def stats(self):
        stats = _abi.SessionStats(ctypes.sizeof(_abi.SessionStats))
        _abi.call("stoa_session_get_stats", self._c, ctypes.byref(stats))
        return stats

    def __del__(self):
        _abi.library().stoa_session_destroy(self._c)


def columns(array, **changes):
    """The columns of an array [n, k]; some members changed."""
    tensor = stoa.from_dlpack(array)
    made = [_abi.Column.from_buffer_copy(column) for column in tensor._columns]
    for column in made:
        column.owner = tensor
        for member, value in changes.items():
            setattr(column, member, value)
    return made


def block(rows, width, pitch=None, values=None, dtype="f4"):
    """An array [rows, width] as columns, `pitch` elements apart."""
    array = numpy.zeros((width, pitch or rows), dtype)[:, :rows].T
    if values is not None:
        array[...] = values
    return array


def bound(model, rows, **options):
    """A session over uniform inputs, its input and its outputs by name."""
    session, outputs = Session(model, rows, **options), {}
    for name, tensor in model.inputs.items():
        x = block(rows, tensor.width, rows + 5, events.uniform(rows, tensor.width))
        session.bind(name, columns(x))
    for name, tensor in model.outputs.items():
        outputs[name] = block(rows, tensor.width, rows + 5)
        session.bind(name, columns(outputs[name]))
    return session, x, outputs


def weakness_1_output_copy():
    """Outputs are bound, single and several: nothing is copied to them, and nothing is there to copy from."""
    rows = 200_000
    for case in ("linear", "multihead"):
        for runtime, model in in_place(case):
            session, x, outputs = bound(model, rows)
            session.run(rows)
            stats = session.stats
            check((stats.copy_calls, stats.copy_bytes) == (0, 0), f"1, {case}, {runtime}: no copy")
            for name, value in runtimes.eager(case, x=x).items():
                close(outputs[name], value, 1e-4, 1e-5, f"1, {case}, {runtime}: '{name}' lies in the columns")
            if runtime in NO_ALLOCATION:
                size = sum(array.nbytes for array in outputs.values())
                check(stats.run_allocations == 0, f"1, {case}, {runtime}: no memory is taken while it runs")
                took = stats.workspace_bytes
                check(took < size / 2, f"1, {case}, {runtime}: workspace of {took} bytes, outputs have {size}")


def weakness_2_const_input_copy():
    """Inputs in pages that cannot be written: the same numbers and counters as from writable ones, also batch by batch."""
    rows, pitch = 1000, 1024
    x = block(rows, 17, pitch, events.uniform(rows, 17))
    with tempfile.TemporaryFile() as file:
        file.write(numpy.ascontiguousarray(x.base).tobytes())
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    const = numpy.frombuffer(pages, "f4").reshape(17, pitch)[:, :rows].T
    before = hashlib.sha256(pages).digest()
    for runtime, model in in_place("selector"):
        scores, counters = [], []
        for source in (x, const):
            session, _, outputs = bound(model, rows)
            session.bind("x", columns(source))
            session.run(rows)
            for first in range(0, rows, 10):
                session.run(10, first)
            scores.append(outputs["score"])
            counters.append((session.stats.copy_calls, session.stats.copy_bytes, session.stats.run_allocations))
        check((scores[0] == scores[1]).all() and scores[0].any(), f"2, {runtime}: read-only pages give the same to the bit")
        check(counters[0] == counters[1] and counters[1][:2] == (0, 0), f"2, {runtime}: no copy of them")
        check(hashlib.sha256(pages).digest() == before, f"2, {runtime}: checksum unchanged")


def weakness_3_adjacent_columns():
    """Features in reverse order, of two collections, int16, float and half: in place natively; else refused, or copied if allowed."""
    one, two = (stoa.Collection(stoa.Layout("part", [stoa.Column(name, dtype) for name, dtype in part.items()]), 4)
                for part in ({"z": "float16", "w": "float64", "y": "int16"}, {"w": "int32", "x": "float32"}))
    where = [two.tensor("x"), one.tensor("y"), one.tensor("z")]
    for view, values in zip(where, events.LINEAR_X.T):
        runtimes.fill(view, values)
    reverse = numpy.zeros((4, 4), "f4")  # rows of the array are columns, the last feature first
    reverse[2::-1] = events.LINEAR_X.T
    backwards = [reverse[k] for k in (2, 1, 0)]
    for runtime, model in runtimes.of("linear"):
        if runtime == "native":
            found = model(where)["y"]
            close(found, events.LINEAR_Y, 0, 1e-5, "3, native: three types, two collections, reverse order")
            close(model(backwards)["y"], events.LINEAR_Y, 0, 1e-5, "3, native: one collection, reverse order")
            check(model.stats["copy_bytes"] == 0, "3, native: in place")
            continue
        refused(stoa.StoaError, lambda: model(where), "STOA_EDTYPE", f"3, {runtime}: other types are said")
        refused(stoa.StoaError, lambda: model(backwards), "STOA_ECOPY", f"3, {runtime}: a copy is not made unasked")
        close(model(backwards, allow_copies=True)["y"], events.LINEAR_Y, 0, 1e-5, f"3, {runtime}: allowed, it is made")
        check(model.stats["copy_bytes"] > 0, f"3, {runtime}: and counted")


def wrong_bindings(x, y):
    """What is wrong, its status, what the message says, and a call on a session of eight rows whose tensors are bound."""
    odd = numpy.zeros(200, "u1")
    return (
        ("unknown name", "ENAME", "'z'", lambda s: s.bind("z", columns(x))),
        ("too few columns", "ESHAPE", "2 columns", lambda s: s.bind("x", columns(x[:, :2]))),
        ("too many columns", "ESHAPE", "4 columns", lambda s: s.bind("x", columns(block(8, 4)))),
        ("vectors of another shape", "ESHAPE", "5 x 1", lambda s: s.bind("x", columns(x, extent=(5, 1)))),
        ("no columns", "EINVAL", "no columns", lambda s: s.bind("x", [])),
        ("complex numbers", "EDTYPE", "complex64", lambda s: s.bind("x", columns(block(8, 3, dtype="c8")))),
        ("a type that is none", "EDTYPE", "99", lambda s: s.bind("x", columns(x, dtype=99))),
        ("an output of flags", "EDTYPE", "bool", lambda s: s.bind("y", columns(block(8, 2, dtype="?")))),
        ("a GPU's memory", "EPLACE", "2:0", lambda s: s.bind("x", columns(x, place=_abi.Place(2, 0)))),
        ("an odd address", "EALIGN", "alignment 4", lambda s: s.bind("x", columns(x, data=odd.ctypes.data | 1))),
        ("no memory", "EINVAL", "NULL", lambda s: s.bind("x", columns(x, data=None))),
        ("beyond the address space", "ESHAPE", "address space", lambda s: s.bind("x", columns(x, row_stride=2**61))),
        ("read-only output", "ECONST", "read-only", lambda s: s.bind("y", columns(y, flags=_abi.COLUMN_CONST))),
        ("output over its input", "EOVERLAP", "'x'", lambda s: s.bind("y", columns(x[:, :2]))),
        ("output over itself", "EOVERLAP", "share", lambda s: s.bind("y", columns(y[:, :1]) * 2)),
        ("output rows in one place", "ESHAPE", "row stride 0", lambda s: s.bind("y", columns(y, row_stride=0))),
        ("more rows than planned", "ESHAPE", "9", lambda s: s.run(9)),
        ("rows beyond the end", "ESHAPE", "8", lambda s: s.run(5, 4)),
        ("fewer rows bound than run", "ESHAPE", "7", lambda s: (s.bind("x", columns(x[:7])), s.run(8))),
        ("not a session", "EINVAL", "", lambda s: _abi.call("stoa_session_run", None, 8)),
    )


def weakness_4_no_schema_validation():
    """Each wrong binding has its status and its reason, none ends the process, and the bindings before it stay."""
    for runtime, model in in_place("linear"):
        session, x, outputs = bound(model, 8)
        for what, status, part, call in wrong_bindings(x, outputs["y"]):
            refused(stoa.StoaError, lambda: call(session), (f"STOA_{status}", part), f"4, {runtime}, {what}")
        session.bind("x", columns(x))
        session.run(8)
        close(outputs["y"], runtimes.eager("linear", x=x)["y"], 1e-5, 1e-6, f"4, {runtime}: and still runs")
        fresh = Session(model, 8)
        fresh.bind("y", columns(outputs["y"]))
        refused(stoa.StoaError, lambda: fresh.run(8), "STOA_ESTATE", f"4, {runtime}: an input was forgotten")


def resident_bytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def weakness_5_weights_of_each_stream():
    """Threads times sessions share one model: equal to the bit, and further sessions cost their workspace only."""
    rows, threads, sessions = 500, 4, 3
    for runtime, model in runtimes.of("simple"):
        if runtime not in NO_ALLOCATION:
            continue
        reference, _, outputs = bound(model, rows)
        reference.run(rows)
        expected, agrees = outputs["y"], []

        def stream():
            queue = ctypes.c_void_p()
            _abi.call("stoa_queue_create", _abi.library().stoa_queue_device(stoa._host_queue()), 0, ctypes.byref(queue))
            mine = [bound(model, rows, queue=queue) for _ in range(sessions)]
            for _ in range(20):
                for session, _, out in mine:
                    out["y"][...] = 0
                    session.run(rows)
                    agrees.append((out["y"] == expected).all())
            del session, mine
            _abi.library().stoa_queue_destroy(queue)

        started = [threading.Thread(target=stream) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        whole = all(agrees) and len(agrees) == threads * sessions * 20
        check(whole, f"5, {runtime}: {threads} threads x {sessions} sessions, to the bit")
        before = resident_bytes()
        many = [bound(model, 8)[0] for _ in range(200)]
        for session in many:
            session.run(8)
        grown, weights = resident_bytes() - before, len(many) * 4 * model.parameters
        check(grown < weights / 2, f"5, {runtime}: {len(many)} sessions took {grown} bytes, as many weights have {weights}")


def weakness_6_allocator():
    """Nothing is taken from the framework's allocator, or from another, while models run; and no block is too large for it."""
    for case in ("selector", "multihead"):
        for runtime, model in runtimes.of(case):
            if runtime not in NO_ALLOCATION:
                continue
            session, _, _ = bound(model, 5000)
            session.run(5000)
            before = runtimes.memory_stats().alloc_calls
            for rows in range(0, 5000, 100):
                session.run(rows)
            check(runtimes.memory_stats().alloc_calls == before, f"6, {case}, {runtime}: 50 runs, no request to the pool")
            check(session.stats.run_allocations == 0, f"6, {case}, {runtime}: nor elsewhere")
    buffer = ctypes.c_void_p()
    _abi.call("stoa_buffer_create", stoa._host_queue(), 0, 5 << 28, ctypes.byref(buffer))
    check(runtimes.memory_stats().live_bytes >= 5 << 28, "6: a block of 1.25 GiB")
    _abi.library().stoa_buffer_release(buffer)


def weakness_8_inference_over_capacity():
    """The count is read when the queue gets there: rows beyond it are not touched. Batches of ten begin anywhere."""
    capacity = 10_000
    for runtime, model in in_place("selector"):
        session, x, outputs = bound(model, capacity)
        session.run(capacity)
        whole, score = outputs["score"].copy(), outputs["score"]
        for count in (0, 1, 31, 33, 4567):
            score[...] = -1
            held = ctypes.c_uint32(count)
            if _abi.library().stoa_model_capabilities(model._c).contents.device_row_count:
                session.run_counted(held)
            else:
                refused(stoa.StoaError, lambda: session.run_counted(held), "STOA_ENOTSUP", f"8, {runtime}: count {count}")
                session.run(count)
            close(score[:count], whole[:count], 1e-5, 1e-7, f"8, {runtime}: {count} of {capacity} rows")
            check((score[count:] == -1).all(), f"8, {runtime}: {count} rows and no other")
        score[...] = -1
        for first in range(3, 1000, 10):
            session.run(10, first)
        close(score[3:1003], whole[3:1003], 1e-5, 1e-7, f"8, {runtime}: batches of ten from row 3")
        check((score[:3] == -1).all() and (score[1003:] == -1).all(), f"8, {runtime}: and no other row")


def changed(source, folder, **manifest):
    """A copy of the package with other entries in its manifest."""
    target = pathlib.Path(folder) / source.name
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps({**json.loads(data), **manifest}) if name.endswith("/extra/stoa.json") else data)
    return target


def weakness_9_ahead_of_time():
    """Compiled once, right for every number of rows and every pitch; another target is refused, cleanly."""
    for runtime, model in runtimes.of("selector"):
        if not runtime.startswith("aoti"):
            continue
        for rows in (1, 2, 7, 100, 1000, 5000):
            for pitch in (rows, rows + 1, rows + 37, 2 * rows + 128):
                x = block(rows, 17, pitch, events.uniform(rows, 17, seed=rows))
                found = model(x)["score"]
                close(found, runtimes.eager("selector", x=x)["score"], 1e-5, 1e-6, f"9, {runtime}: {rows} rows, {pitch} apart")
        check(model.stats["copy_bytes"] == 0, f"9, {runtime}: in place")
        source = runtimes.path_of("selector", runtime)
        with tempfile.TemporaryDirectory() as folder:
            for what, part, entries in (("machine", "'s390x', this is", {"machine": "s390x"}),
                                        ("processor", "'amx_of_2040'", {"targets": [{"name": "later", "cpu_features": ["amx_of_2040"]}]}),
                                        ("device", "'xpu'", {"device": "xpu"}), ("format", "99 given", {"format": 99})):
                other = changed(source, folder, **entries)
                refused(stoa.StoaError, lambda: stoa.load(other, "aoti"), ("STOA_ENOTSUP", part), f"9, {runtime}, another {what}")
        half = source.read_bytes()[: source.stat().st_size // 2]
        refused(stoa.StoaError, lambda: stoa.load(half, "aoti"), "STOA_EFORMAT", f"9, {runtime}: half a file")


ALONE = """
import os, sys, numpy, stoa
def threads(): return len(os.listdir("/proc/self/task"))
before = threads()
for file in sys.argv[1:]:
    assert abs(stoa.load(file)(numpy.ones((3, 8), "f4").T)["y"] - 0.5).max() < 1e-6
assert threads() == before, "threads started"
assert "torch" not in sys.modules
mapped = open("/proc/self/maps").read()
heavy = [name for name in ("libtorch", "libc10", "libgomp", "libmkl", "libonnxruntime") if name in mapped]
assert not heavy, heavy
try:
    device = stoa._abi.c_void_p()
    stoa._abi.call("stoa_device_open", b"cuda:7", stoa._abi.byref(device))
except stoa.StoaError as error:
    assert error.status in ("STOA_ENOTSUP", "STOA_EDEVICE"), error
"""


def weakness_10_heavy_stack():
    """A process without PyTorch runs its models: small libraries of C alone, no thread, no line of output, no GPU needed."""
    if runtimes.is_here("aoti"):
        files = [str(runtimes.path_of("halves", runtime)) for runtime in ("native", "aoti")]
        done = subprocess.run([sys.executable, "-c", ALONE, *files], capture_output=True, text=True)
        said = done.stdout + done.stderr
        check(done.returncode == 0 and not said, f"10: alone, silent, without a thread {said}")
    built = pathlib.Path(_abi.library()._name).parent
    of_c = {"libc", "libm", "ld-linux-x86-64"}
    for name, needs in (("libstoa.so", of_c), ("libstoa_aoti.so", of_c | {"libzip", "libjansson", "libgcc_s"})):
        library = built / name
        if not library.exists():
            continue
        table = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        found = {entry.split(".so")[0] for entry in re.findall(r"NEEDED.*\[(.*)\]", table)}
        check(found <= needs, f"10: {name} needs {', '.join(sorted(found))}")
        check(library.stat().st_size < 4 << 20, f"10: {name} has {library.stat().st_size} bytes")
    for runtime, model in runtimes.of("simple"):
        def settings():
            return (torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(), torch.get_default_dtype(),
                    torch.is_inference_mode_enabled(), torch.are_deterministic_algorithms_enabled())

        before = settings()
        model(events.uniform(100, 3), allow_copies=True)
        check(settings() == before, f"10, {runtime}: PyTorch's settings of the process stay")


for test in [value for name, value in list(globals().items()) if name.startswith("weakness_")]:
    test()
sys.exit(finish())
