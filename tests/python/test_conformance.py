# SPDX-License-Identifier: Apache-2.0
"""CMSSW's own tests of PyTorch on structures of arrays, with their numbers, on every runtime that can run them.

What runs in place copies nothing and allocates nothing; ONNX Runtime gathers, and its copies are counted.
"""
import sys
import threading

import numpy

import events
import nets
import runtimes
import stoa
from expect import check, close, finish, refused

SIZES = (0, 1, 17, 64, 1000)
BATCHES = (10, 32, 7)  # CMSSW wants multiples of 32 of a float; here any
FEW = {"resnet": (0, 1, 10, 64)}
TOLERANCE = {"simple_half": (2e-2, 2e-2), "half_columns": (2e-3, 2e-3)}


def run(runtime, model, given, out):
    """Over views; whether the session counts copies where there must be some, of columns that are not row-major, and only there."""
    before, gathers = model.stats["copy_bytes"], runtime in runtimes.GATHERS
    model(**given, out=out, allow_copies=gathers)
    wide = any(tensor.width > 1 for tensor in (*model.inputs.values(), *model.outputs.values()))
    return (model.stats["copy_bytes"] > before) == (gathers and wide and any(map(len, out.values())))


def arrays_of(case, rows):
    """Inputs uniform in [0, 1), by name."""
    return {name: events.uniform(rows, tensor.width).reshape(rows, *tensor.shape).astype(tensor.dtype)
            for name, tensor in nets.CASES[case].inputs.items()}


def sliced(views, first, count):
    return {name: view.slice(first, count) for name, view in views.items()}


def read_all(views, tensors):
    return {name: runtimes.read(view, tensors[name]) for name, view in views.items()}


def on_collections(case, runtime, model, rows):
    """Inputs and results of one run over the rows of collections."""
    arrays = arrays_of(case, rows)
    given, out = runtimes.collection(nets.CASES[case].inputs, rows), runtimes.collection(nets.CASES[case].outputs, rows)
    for name, view in given.items():
        runtimes.fill(view, arrays[name])
    as_said = run(runtime, model, given, out)
    check(as_said, f"{case}, {runtime}, {rows} rows: copies as the runtime says")
    return arrays, given, read_all(out, nets.CASES[case].outputs)


def sizes(case):
    """Any number of rows equals eager PyTorch, and batches of any size equal the whole."""
    rtol, atol = TOLERANCE.get(case, (1e-5, 1e-6))
    tensors = nets.CASES[case].outputs
    for runtime, model in runtimes.of(case):
        for rows in FEW.get(case, SIZES):
            arrays, given, found = on_collections(case, runtime, model, rows)
            for name, expected in runtimes.eager(case, **arrays).items():
                close(found[name], expected, rtol, atol, f"{case}, {runtime}, {rows} rows: '{name}' as eager PyTorch")
        for batch in BATCHES:
            out = runtimes.collection(tensors, rows)
            for first in range(0, rows, batch):
                run(runtime, model, sliced(given, first, batch), sliced(out, first, batch))
            for name, values in read_all(out, tensors).items():
                close(values, found[name], rtol, atol, f"{case}, {runtime}, {rows} rows by {batch}: '{name}' as the whole")


def linear():
    """testSoAToTorch: columns x, y, z through a read-only view."""
    particles = stoa.Collection(stoa.Layout("particles", [stoa.Column(name, "float32") for name in "xyz"]), 4)
    runtimes.fill(particles.tensor(*"xyz"), events.LINEAR_X)
    for runtime, model in runtimes.of("linear"):
        out = runtimes.collection(nets.CASES["linear"].outputs, 4)
        as_said = run(runtime, model, {"x": particles.tensor(*"xyz", read_only=True)}, out)
        close(numpy.from_dlpack(out["y"]), events.LINEAR_Y, 0, 1e-5, f"linear, {runtime}: CMSSW's four rows from a const view")
        check(as_said, f"linear, {runtime}: const view is not copied")
        check((numpy.from_dlpack(particles.tensor(*"xyz")) == events.LINEAR_X).all(), f"linear, {runtime}: nor written")


DATATYPES = stoa.Layout("datatypes", [
    stoa.Column("a", "float64", "vector", (3,)), stoa.Column("b", "float64", "vector", (3,)),
    stoa.Column("c", "float32", "matrix", (2, 2)), *(stoa.Column(name, "float64") for name in "xyz"),
    stoa.Column("type", "float32", "scalar"), stoa.Column("someNumber", "int32", "scalar"),
    stoa.Column("v", "float64"), stoa.Column("w", "float64")])
DATATYPES_TENSORS = {"column": "xyz", "scalar": ("type",), "matrix": "c", "vector": "ab", "single_column": "x",
                     "single_vector": "a"}


def filled_datatypes(rows):
    """The collection and its tensors, filled as testSoADataTypes does."""
    held, i = stoa.Collection(DATATYPES, rows), numpy.arange(rows, dtype=numpy.float64)
    values = {"a": i[:, None] + (1, 2, 3), "b": i[:, None] + (4, 5, 6), "c": i[:, None, None] + ((4, 6), (8, 10)),
              "x": 12 + i, "y": 1 + 2.5 * i, "z": 36 * i}
    for name, value in values.items():
        runtimes.fill(held.tensor(name), value)
    for name, value in (("type", 4), ("someNumber", 5)):
        runtimes.fill(held.tensor(name).slice(0, 1), value)
    a_and_b = numpy.stack((values["a"], values["b"]), 1)
    columns = numpy.stack([values[name] for name in "xyz"], 1)
    expected = {"column": columns, "scalar": numpy.full((rows, 1), 4.0), "matrix": values["c"], "vector": a_and_b,
                "single_column": columns[:, :1], "single_vector": values["a"]}
    given = {name: held.tensor(*names).slice(0, rows) for name, names in DATATYPES_TENSORS.items()}
    return held, given, expected


GEOMETRY = {  # rows: strides of column, scalar, matrix, vector, single_column, single_vector
    64: ((1, 64), (0, 32), (1, 64, 128), (1, 192, 64), (1, 64), (1, 64)),
    17: ((1, 32), (0, 32), (1, 32, 64), (1, 96, 32), (1, 32), (1, 32)),
    1: ((1, 16), (0, 32), (1, 32, 64), (1, 48, 16), (1, 16), (1, 16)),
    0: ((1, 0), (0, 32), (1, 0, 0), (1, 0, 0), (1, 0), (1, 0)),
}


def data_types():
    """testSoADataTypes: every kind of column of one collection through a model that gives back what it reads."""
    shapes = ((3,), (1,), (2, 2), (2, 3), (1,), (3,))
    for rows, strides in GEOMETRY.items():
        held, given, expected = filled_datatypes(rows)
        found = [view.strided()[1:3] for view in given.values()]
        wanted = [((rows, *shape), stride) for shape, stride in zip(shapes, strides)]
        check(found == wanted, f"datatypes, {rows} rows: shapes and strides")
        for case in ("datatypes_rows", "datatypes"):
            tensors = nets.CASES[case].outputs
            for runtime, model in runtimes.of(case):
                out = runtimes.collection(tensors, rows)
                if case == "datatypes":
                    given["scalar"], expected["scalar"] = held.tensor("type").slice(0, 1), [[4]]
                run(runtime, model, given, out)
                for name, value in read_all(out, tensors).items():
                    same = numpy.array_equal(value, expected[name.removesuffix("_out")])
                    check(same, f"{case}, {runtime}, {rows} rows: '{name}' element by element")


def column_copies():
    """testSoADataTypes, several outputs: x to v and y to w of the same collection; the rest of it stays."""
    for runtime, model in runtimes.of("copies"):
        layout = stoa.Layout("five", [stoa.Column(name, "float32") for name in "xyzvw"])
        held = stoa.Collection(layout, 65)
        everything = numpy.from_dlpack(held.tensor(*"xyzvw"))
        everything[...] = events.uniform(65, 5)
        expected = everything.copy()
        expected[:, 3:] = expected[:, :2]
        given, out = {name: held.tensor(name) for name in "xy"}, {"x_out": held.tensor("v"), "y_out": held.tensor("w")}
        as_said = run(runtime, model, given, out)
        check((everything == expected).all() and as_said, f"copies, {runtime}: two outputs beside their inputs in one collection")


def wrapper():
    """testModelJit, testAlpakaModel, testModelAot: loading, and runs that do not depend on the runs before."""
    for runtime in filter(runtimes.is_here, runtimes.RUNTIMES):
        refused(stoa.StoaError, lambda: runtimes.load("missing", runtime), "STOA_EIO", f"{runtime}: a file that is not there")
    for runtime, model in runtimes.of("multihead"):
        first, second = (on_collections("multihead", runtime, model, 2048)[2] for _ in range(2))
        same = all((first[name] == second[name]).all() for name in first)
        check(same, f"multihead, {runtime}: two runs of 2048 rows equal to the bit")
    for runtime, model in runtimes.of("halves"):
        for _ in range(10):
            found = model(numpy.ones((3, 8), numpy.float32).T, allow_copies=runtime in runtimes.GATHERS)["y"]
        close(found, numpy.full((8, 2), 0.5), 1e-5, 1e-8, f"halves, {runtime}: ones [8, 3] give 0.5 ten times")


def masked():
    """The sum of what the mask, a vector of bytes, leaves: pt + phi to the bit, and half of it with a scalar of one half."""
    layout = stoa.Layout("masked", [*(stoa.Column(name, "float32") for name in ("pt", "eta", "phi")),
                                    stoa.Column("mask", "uint8", "vector", (3,)), stoa.Column("scale", "float32", "scalar")])
    for case in ("masked", "masked_rows"):
        for runtime, model in runtimes.of(case):
            for rows in (1, 10, 1000):
                held, out = stoa.Collection(layout, rows), runtimes.collection(nets.CASES[case].outputs, rows)
                x = numpy.from_dlpack(held.tensor("pt", "eta", "phi"))
                x[...] = events.uniform(rows)
                runtimes.fill(held.tensor("mask"), numpy.tile(events.MASK, (rows, 1)))
                for scale in (1.0, 0.5):
                    runtimes.fill(held.tensor("scale").slice(0, 1), scale)
                    given = {"x": held.tensor("pt", "eta", "phi", read_only=True), "mask": held.tensor("mask"),
                             "scale": held.tensor("scale").slice(0, rows if case == "masked_rows" else 1)}
                    as_said = run(runtime, model, given, out)
                    exact = (numpy.from_dlpack(out["y"])[:, 0] == scale * (x[:, 0] + x[:, 2])).all()
                    check(exact and as_said, f"{case}, {runtime}, {rows} rows: {scale} * (pt + phi) to the bit")


def multihead():
    for runtime, model in runtimes.of("multihead"):
        arrays, _, found = on_collections("multihead", runtime, model, 1000)
        regression, classes = events.multihead(arrays["x"])
        close(found["regression"], regression, 1e-5, 0, f"multihead, {runtime}: regression in closed form")
        close(found["classes"], classes, 1e-4, 1e-6, f"multihead, {runtime}: classes in closed form")
        close(found["classes"].sum(1), numpy.ones(1000), 0, 1e-4, f"multihead, {runtime}: classes add up to one")
        bounded = found["regression"][arrays["x"].sum(1) < 2.65]
        check(4 <= bounded.min() and bounded.max() <= 5, f"multihead, {runtime}: regression between 4 and 5")


def resnet():
    for runtime, model in runtimes.of("resnet"):
        given = runtimes.collection(nets.CASES["resnet"].inputs, 10)
        check(given["image"].strided()[1:3] == ((10, 3, 9, 9), (1, 2592, 32, 288)), "resnet: three matrix columns of ten rows")
        _, _, found = on_collections("resnet", runtime, model, 64)
        close(found["classes"].sum(1), numpy.ones(64), 0, 1e-4, f"resnet, {runtime}: probabilities add up to one")
    refused(stoa.StoaError, lambda: runtimes.load("resnet", "native"), "STOA_ENOTSUP", "resnet, native")


HITS = ("hits", "hit_to_track")


def deepset():
    """Eight tracks, 16 hits: collections of two sizes, event scalars, a track without hits; batches of tracks beside all hits."""
    event, case = events.deepset(), nets.CASES["deepset"]
    expected = runtimes.eager("deepset", **event)["score"]
    rows = {"tracks": len(event["tracks"]), "hits": len(event["hits"])}
    for runtime, model in runtimes.of("deepset"):
        given, out = runtimes.collection(case.inputs, rows), runtimes.collection(case.outputs, rows)
        for name, view in given.items():
            runtimes.fill(view, event[name])
        as_said = run(runtime, model, given, out)
        close(numpy.from_dlpack(out["score"]), expected, 1e-5, 0, f"deepset, {runtime}: the event, as eager PyTorch")
        check(as_said, f"deepset, {runtime}: copies as the runtime says")
        for batch in (3, 8, 1):
            firsts, out = range(0, 8, batch), runtimes.collection(case.outputs, rows)
            begins = stoa.Collection(stoa.Layout("batches", [stoa.Column("begin", "int64")]), len(firsts))
            runtimes.fill(begins.tensor("begin"), list(firsts))
            for i, first in enumerate(firsts):
                part = {**given, "tracks": given["tracks"].slice(first, batch), "track_begin": begins.tensor("begin").slice(i, 1)}
                run(runtime, model, part, sliced(out, first, batch))
            before = runtimes.read(out["score"], case.outputs["score"])
            close(before, expected, 1e-5, 0, f"deepset, {runtime}: batches of {batch} tracks beside all hits")
        run(runtime, model, {**given, "tracks": given["tracks"].slice(0, 0)}, sliced(out, 0, 0))
        check((numpy.from_dlpack(out["score"]) == before).all(), f"deepset, {runtime}: no track, nothing written")
        run(runtime, model, {**given, **sliced({name: given[name] for name in HITS}, 0, 0)}, out)
        bare = runtimes.eager("deepset", **{**event, **{name: event[name][:0] for name in HITS}})["score"]
        close(numpy.from_dlpack(out["score"]), bare, 1e-5, 0, f"deepset, {runtime}: tracks of an event without hits")


def streams():
    """The pipelines' default: two streams on two threads, ten events each; a model of each stream's own."""
    case = nets.CASES["simple"]
    for runtime, model in runtimes.of("simple"):
        expected, agrees = on_collections("simple", runtime, model, 100)[2]["y"], []

        def stream(net):
            for _ in range(10):
                x, y = (runtimes.collection(tensors, 100) for tensors in (case.inputs, case.outputs))
                runtimes.fill(x["x"], arrays_of("simple", 100)["x"])
                run(runtime, net, x, y)
                agrees.append((numpy.from_dlpack(y["y"]) == expected).all())

        threads = [threading.Thread(target=stream, args=(runtimes.load("simple", runtime),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(len(agrees) == 20 and all(agrees), f"simple, {runtime}: two threads, ten events each, equal to the bit")


for name in ("linear", "simple", "simple_half", "half_columns", "multihead", "resnet", "selector"):
    sizes(name)
for part in (linear, data_types, column_copies, wrapper, masked, multihead, resnet, deepset, streams):
    part()
sys.exit(finish())
