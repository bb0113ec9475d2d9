# SPDX-License-Identifier: Apache-2.0
"""Each activation, elementwise function, normalisation and reduction of the ONNX standard alone on the native engine and on ONNX Runtime,
both against the same operator in double precision; then NaN, infinities, denormals and signed zeros, where both runtimes must agree.
Everything at each instruction-set level that the machine has.

The table is complete: an operator of the installed `onnx` that maps a float tensor to one of its shape, or reduces axes, and that
is neither in the table nor among the named exceptions, is a failure.
"""
import itertools
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference

import stoa
from expect import check, finish
from test_random_graphs import classes, every_level, in_double

ROWS, SHAPE, OPSET = 61, (3, 5), 22
ULPS = 4  # of float32 at the largest value of the output: what one rounding more than the peer's may cost
SPECIAL = [numpy.nan, numpy.inf, -numpy.inf, 1e-40, -1e-40, 1e-45, -1e-45, 0.0, -0.0, 89.0, -104.0, 1e9, 0.5, -2.0]
HUGE = [3e38, -3e38]  # not in sums: whether these overflow on the way depends on their order

# Operator: the attributes to try, other than the defaults; the opset where it is not OPSET; the range of inputs where it is not -6..6.
ACTIVATIONS = {
    "Relu": {}, "Sigmoid": {}, "Tanh": {}, "Softplus": {}, "Softsign": {}, "HardSwish": {}, "Mish": {}, "Erf": {},
    "LeakyRelu": {"attributes": [{"alpha": 0.3}]}, "Elu": {"attributes": [{"alpha": 0.7}]}, "Celu": {"attributes": [{"alpha": 1.9}]},
    "Selu": {"attributes": [{"alpha": 1.5, "gamma": 1.1}]}, "ThresholdedRelu": {"attributes": [{"alpha": 2.0}]},
    "HardSigmoid": {"attributes": [{"alpha": 0.4, "beta": 0.3}]}, "Shrink": {"attributes": [{"lambd": 1.5, "bias": 1.5}]},
    "Gelu": {"attributes": [{"approximate": "tanh"}]}, "Swish": {"attributes": [{"alpha": 1.7}], "opset": 24},
    "Softmax": {"attributes": [{"axis": 1}, {"axis": 2}]}, "LogSoftmax": {"attributes": [{"axis": 1}, {"axis": 2}]},
    "Hardmax": {"attributes": [{"axis": 1}, {"axis": 2}]},
}
FUNCTIONS = {
    "Abs": {}, "Neg": {}, "Sign": {}, "Floor": {}, "Ceil": {}, "Round": {}, "Identity": {}, "Exp": {}, "Reciprocal": {"range": (0.1, 9)},
    "Sqrt": {"range": (0, 9)}, "Log": {"range": (0.01, 9)}, "Sin": {}, "Cos": {}, "Tan": {"range": (-1.4, 1.4)}, "Asin": {"range": (-1, 1)},
    "Acos": {"range": (-1, 1)}, "Atan": {}, "Sinh": {}, "Cosh": {}, "Asinh": {}, "Acosh": {"range": (1, 9)}, "Atanh": {"range": (-0.9, 0.9)},
    "Dropout": {}, "Clip": {}, "Min": {}, "Max": {}, "Sum": {}, "Mean": {},
}
BINARY = {"Add": {}, "Sub": {}, "Mul": {}, "Div": {}, "Pow": {"range": (0.1, 6)}, "Mod": {"attributes": [{"fmod": 1}]}, "Min": {}, "Max": {},
          "Sum": {}, "Mean": {}, "PRelu": {}}
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMin", "ReduceMax", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
              "ReduceLogSumExp")
OF_LOGARITHMS = ("ReduceLogSum",)  # of a negative sum there is none

# Special values that are left out. Which of several values is the largest where one is NaN the standard does not say, and ONNX Runtime's answer
# depends on where it stands. Its ReduceLogSumExp takes 0 for the largest where -inf stands first, and loses what exp makes 0.
WITHOUT = {"Hardmax": numpy.nan, "ReduceMin": numpy.nan, "ReduceMax": numpy.nan, "ReduceLogSumExp": -104.0}
# ONNX Runtime makes 0 of denormals here, or rounds them on the way: what the engine gives is held against the exact value instead.
OTHER_DENORMALS = ("Tanh", "Elu", "Celu", "Selu")
DENORMAL_ULPS = 2
# Random numbers, other normalisations, and what moves values without computing; the others among them are in other tests.
EXCEPTIONS = {"Bernoulli", "EyeLike", "LpNormalization", "MeanVarianceNormalization", "OptionalGetElement", "RandomNormalLike",
              "RandomUniformLike", "Squeeze", "Trilu"}


def model_of(op, opset, attributes, output, constants=(), shape=SHAPE):
    """One node over x [N, *shape]."""
    names = [f"c{i}" for i in range(len(constants))]
    graph = helper.make_graph([helper.make_node(op, ["x", *names], ["y"], **attributes)], op,
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *output])],
                              [numpy_helper.from_array(value, name) for name, value in zip(names, constants)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def peer_of(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def special_rows(op, rng):
    """For each special value a row where it stands between ordinary ones, one where it stands with another, one of nothing else, and
    one of all sorts."""
    values = [value for value in SPECIAL if str(value) != str(WITHOUT.get(op))] + (HUGE if op in ACTIVATIONS | FUNCTIONS else [])
    count, width = len(values), SHAPE[0] * SHAPE[1]
    x = rng.uniform(-2, 2, (4 * count, width)).astype(numpy.float32)
    for i, value in enumerate(values):
        x[i, rng.integers(width)] = value
        x[i + count, rng.choice(width, 2, False)] = value, rng.choice(values)
        x[i + 2 * count] = value
    x[3 * count:] = rng.choice(values, (count, width))
    return x.reshape(-1, *SHAPE)


def natively(model, x):
    """By level."""
    return {isa: stoa.load(model.SerializeToString(), "native", isa=isa)(x=x)["y"] for isa in every_level()}


def exact_of(model, x):
    with numpy.errstate(all="ignore"):
        return in_double(model).run(None, {"x": x.astype(numpy.float64)})[0]


def errors(model, x, exact=None):
    """The largest error here, of all levels, in ONNX Runtime, and what is forgiven."""
    exact = exact_of(model, x) if exact is None else exact
    floor = ULPS * float(numpy.spacing(numpy.float32(max(numpy.abs(exact).max(), 1e-6))))
    ours, theirs = numpy.stack(list(natively(model, x).values())), peer_of(model).run(None, {"x": x})[0]
    return numpy.abs(ours - exact).max(), numpy.abs(theirs - exact).max(), floor


def differences(model, x, expected, is_near):
    """Values of another class than expected, or of which is_near(ours, expected) is false, on any level."""
    for isa, ours in natively(model, x).items():
        for at in map(tuple, numpy.argwhere((classes(ours) != classes(expected)) | ~is_near(ours, expected))):
            yield f"{isa}: row {x[at[0]].tolist()}, value {at[1:]}: {ours[at]}, not {expected[at]}"


def as_rounded(ours, theirs):
    return numpy.isclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)


def within_ulps(ours, expected):
    """NaN and infinities are of the same class already."""
    with numpy.errstate(invalid="ignore"):
        spacing = numpy.spacing(numpy.abs(expected).astype(numpy.float32)).astype(numpy.float64)
        return ~(numpy.abs(ours - expected.astype(numpy.float64)) > DENORMAL_ULPS * spacing)


def denormal_rows(rng):
    """Of all sizes, of one sign and of both, and with zeros."""
    bits = rng.integers(0, 1 << 23, (3 * ROWS, *SHAPE)) >> rng.integers(0, 23, (3 * ROWS, *SHAPE))
    x = bits.astype(numpy.int32).view(numpy.float32)
    return numpy.concatenate([x[:ROWS], -x[ROWS:2 * ROWS], x[2 * ROWS:] * rng.choice(numpy.array([1, -1], numpy.float32), (ROWS, *SHAPE))])


def check_operator(what, model, low, high, rng):
    op = model.graph.node[0].op_type
    x = rng.uniform(low, high, (ROWS, *SHAPE)).astype(numpy.float32)
    ours, theirs, floor = errors(model, x)
    check(ours <= 2 * theirs + floor, f"{what}: error {ours:.3g}, ONNX Runtime's {theirs:.3g}, {ULPS} ulp are {floor:.3g}")
    peer, special, tiny = peer_of(model), special_rows(op, rng), denormal_rows(rng)
    wrong = list(differences(model, special, peer.run(None, {"x": special})[0], as_rounded))
    check(not wrong, f"{what}: special values as in ONNX Runtime" + "".join(f"\n        {line}" for line in wrong[:5]))
    exactly = op in OTHER_DENORMALS
    expected = exact_of(model, tiny) if exactly else peer.run(None, {"x": tiny})[0]
    wrong = list(differences(model, tiny, expected, within_ulps))
    check(not wrong, f"{what}: denormals {'exactly' if exactly else 'as in ONNX Runtime'}" + "".join(f"\n        {line}" for line in wrong[:3]))


def maps(rng):
    for op, row in (ACTIVATIONS | FUNCTIONS).items():
        for attributes in ({}, *row.get("attributes", [])):
            model = model_of(op, row.get("opset", OPSET), attributes, SHAPE)
            check_operator(f"{op} {attributes or ''}", model, *row.get("range", (-6, 6)), rng)
    low, high = numpy.float32(-1.5), numpy.float32(2.5)
    for bounds in ([low], [low, high]):
        model = model_of("Clip", OPSET, {}, SHAPE, [numpy.asarray(bound) for bound in bounds])
        check_operator(f"Clip {bounds}", model, -6, 6, rng)
    for op, row in BINARY.items():
        other = rng.choice(numpy.array([-2, -1, -0.5, 0.25, 1, 3], numpy.float32), (3, 1 if op == "PRelu" else 5))
        for attributes in row.get("attributes", [{}]):
            check_operator(f"{op} of two {attributes or ''}", model_of(op, OPSET, attributes, SHAPE, [other]), *row.get("range", (-6, 6)), rng)


def normalised(x, epsilon, scale, bias):
    """In double precision; the reference of GroupNormalization computes in float32."""
    x = x.astype(numpy.float64)
    away = x - x.mean(axis=1, keepdims=True)
    return away / numpy.sqrt((away ** 2).mean(axis=1, keepdims=True) + numpy.float32(epsilon)) * scale + bias


def normalisations(rng):
    """Of rows of equal values, where the root of epsilon divides what the mean has been rounded by, of rows that hardly differ, and of
    ordinary ones."""
    for width, epsilon in itertools.product((3, 5, 7, 10, 13, 17, 32, 64), (1e-5, 1e-3)):
        equal = numpy.repeat(numpy.linspace(0.1, 50, 500, dtype=numpy.float32)[:, None], width, axis=1)
        rows = {"equal values": equal, "values that hardly differ": equal * (1 + rng.integers(-9, 10, equal.shape) * 2.0 ** -23),
                "values": rng.normal(1, 3, equal.shape)}
        for op, attributes in {"LayerNormalization": {}, "InstanceNormalization": {}, "GroupNormalization": {"num_groups": 1}}.items():
            shape, count = ((width,), width) if op == "LayerNormalization" else ((1, width), 1)
            scale, bias = (rng.uniform(0.5, 2, count).astype(numpy.float32) for _ in range(2))
            model = model_of(op, OPSET, {"epsilon": epsilon, **attributes}, shape, [scale, bias], shape)
            for kind, x in rows.items():
                x = x.astype(numpy.float32)
                ours, theirs, floor = errors(model, x.reshape(-1, *shape), normalised(x, epsilon, scale, bias).reshape(-1, *shape))
                ulp = floor / ULPS
                check(ours <= ulp or ours <= 2 * theirs + ulp,  # theirs may be NaN
                      f"{op} of {width} {kind}, epsilon {epsilon}: error {ours:.3g}, ONNX Runtime's {theirs:.3g}, 1 ulp is {ulp:.3g}")


def reduced(axes, keepdims):
    """The shape of a row of [N, 3, 5] after it."""
    gone = {axis % 3 for axis in axes}
    return [1 if i in gone else n for i, n in enumerate((None, *SHAPE)) if i > 0 and (keepdims or i not in gone)]


def reductions(rng):
    for op, axes, keepdims, as_input in itertools.product(REDUCTIONS, ([1], [2], [-1], [1, 2], [-2, -1]), (0, 1), (False, True)):
        opset, constants, attributes = OPSET, [numpy.array(axes, numpy.int64)], {"keepdims": keepdims}
        if not as_input:  # until opset 18, of ReduceSum until 13, the axes were an attribute
            opset, constants, attributes = 12 if op == "ReduceSum" else 17, [], {"keepdims": keepdims, "axes": axes}
        model = model_of(op, opset, attributes, reduced(axes, keepdims), constants)
        low = 0.1 if op in OF_LOGARITHMS else -6
        check_operator(f"{op} {'input' if as_input else 'attribute'} axes={axes} keepdims={keepdims}", model, low, 6, rng)
    nothing = model_of("ReduceSum", OPSET, {"noop_with_empty_axes": 1}, SHAPE, [numpy.array([], numpy.int64)])
    check_operator("ReduceSum of no axes", nothing, -6, 6, rng)


def keeps_shape(schema):
    """Whether the operator makes one float tensor of the shape of its only needed input."""
    takes = [t for t in schema.type_constraints if t.type_param_str == schema.inputs[0].type_str] if schema.inputs else []
    if schema.min_input != 1 or schema.min_output != 1 or not any("tensor(float)" in t.allowed_type_strs for t in takes):
        return False
    if any(a.required for a in schema.attributes.values()):
        return False
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 5])
    graph = helper.make_graph([helper.make_node(schema.name, ["x"], ["y"])], "g", [x], [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())])
    try:
        y = shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type
    except shape_inference.InferenceError:
        return False
    return y.elem_type == TensorProto.FLOAT and [d.dim_value for d in y.shape.dim] == [2, 3, 4, 5]


def completeness():
    schemas = [s for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated]
    found = {s.name for s in schemas if keeps_shape(s)} | {s.name for s in schemas if s.name.startswith("Reduce")}
    missing = found - set(ACTIVATIONS) - set(FUNCTIONS) - set(REDUCTIONS) - EXCEPTIONS
    check(len(found) > 40 and not missing, f"{len(found)} operators of onnx {onnx.__version__} keep a shape or reduce; not tested: {sorted(missing)}")


def limits():
    """The two tables of docs/limits.md, of which the engine's test compares each word, name every operator of the standard once."""
    told, table = [], False
    for line in pathlib.Path(__file__).parents[2].joinpath("docs/limits.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        table = bool(cells) and (table or cells == ["run", "operators"] or cells == ["refused", "operators"])
        if table and cells[1] not in ("operators", "---"):
            told += cells[1].split()
    standard = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    twice = {name for name in told if told.count(name) > 1}
    check(standard <= set(told) and not twice, f"docs/limits.md does not name {sorted(standard - set(told))}, names twice {sorted(twice)}")


if __name__ == "__main__":
    generator = numpy.random.default_rng(7)
    print("seed 7")
    completeness()
    limits()
    maps(generator)
    reductions(generator)
    normalisations(generator)
    sys.exit(finish())
