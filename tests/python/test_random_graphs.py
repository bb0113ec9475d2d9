# SPDX-License-Identifier: Apache-2.0
"""Random graphs on the native engine and on ONNX Runtime, both against the same graph in double precision.

Each graph has one to three inputs of widths 1 to 64, and a random mix of the operators of deep networks. On every instruction-set level
of the machine the native error may be twice ONNX Runtime's plus one ulp of the largest value; how many outputs need any of it is printed.
Then rows with NaN, infinities and denormals: both runtimes must agree on what is NaN and what is infinite. Seeds are printed; run some
with `test_random_graphs.py SEED [END]`.
"""
import functools
import platform
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import stoa
from expect import skip

GRAPHS, ROWS, OPSET = 320, 57, 24
ULPS = 1  # of float32 at the largest expected value of an output: what differently ordered sums may cost (docs/limits.md)
SMOOTH = ("Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Sin", "Cos", "Atan", "Mish", "Gelu", "Swish")
PIECEWISE = ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Abs", "Neg", "ThresholdedRelu", "Shrink")


class Graph:
    """Builds a graph of float tensors [N, width]; `values` are what later nodes may take."""

    def __init__(self, seed):
        self.rng = numpy.random.default_rng(seed)
        self.nodes, self.initializers, self.inputs, self.values = [], [], [], []
        for i in range(self.rng.integers(1, 4)):
            self.add_input(f"x{i}", int(self.rng.integers(1, 65)))

    def add_input(self, name, width):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]))
        self.values.append((name, width))

    def constant(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def weights(self, *shape, scale=1.0):
        return self.constant((self.rng.normal(size=shape) * scale).astype(numpy.float32))

    def emit(self, op, inputs, width, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        if width:
            self.values += [(name, width) for name in names]
        return names[0]

    def pick(self):
        """Mostly what was made last, so that graphs grow deep."""
        late = max(0, len(self.values) - 4)
        return self.values[int(self.rng.integers(late if self.rng.random() < 0.7 else 0, len(self.values)))]

    def matching(self, width):
        same = [name for name, other in self.values if other in (width, 1)]
        return same[int(self.rng.integers(len(same)))]


def gemm(g):
    name, width = g.pick()
    out = int(g.rng.integers(1, 65))
    transposed = int(g.rng.integers(2))
    shape = (out, width) if transposed else (width, out)
    y = g.emit("Gemm", [name, g.weights(*shape, scale=width ** -0.5), g.weights(out)], out, transB=transposed)
    if g.rng.random() < 0.6:
        g.emit(str(g.rng.choice(SMOOTH + PIECEWISE)), [y], out)


def matmul_bias(g):
    name, width = g.pick()
    out = int(g.rng.integers(1, 65))
    y = g.emit("MatMul", [name, g.weights(width, out, scale=width ** -0.5)], out)
    g.emit("Add", [y, g.weights(out)], out)


def batch_norm(g):
    name, width = g.pick()
    variance = g.constant(g.rng.uniform(0.2, 3.0, width).astype(numpy.float32))
    g.emit("BatchNormalization", [name, g.weights(width), g.weights(width), g.weights(width), variance], width)


def unary(g):
    name, width = g.pick()
    g.emit(str(g.rng.choice(SMOOTH + PIECEWISE)), [name], width)


def binary(g):
    name, width = g.pick()
    other = g.matching(width) if g.rng.random() < 0.6 else g.weights(width)
    operands = [name, other] if g.rng.random() < 0.5 else [other, name]
    if width > 1 or other.startswith("c"):
        g.emit(str(g.rng.choice(["Add", "Sub", "Mul", "Min", "Max"])), operands, width)


def divide(g):
    name, width = g.pick()
    square = g.emit("Mul", [name, name], width)
    positive = g.emit("Add", [square, g.constant(numpy.float32(1.0))], width)
    g.emit("Div", [g.matching(width), positive], width)


def root_log_exp(g):
    name, width = g.pick()
    positive = g.emit("Add", [g.emit("Abs", [name], width), g.constant(numpy.float32(0.5))], width)
    g.emit(str(g.rng.choice(["Sqrt", "Log", "Reciprocal"])), [positive], width)
    g.emit("Exp", [g.emit("Clip", [name, g.constant(numpy.float32(-8)), g.constant(numpy.float32(3))], width)], width)


def softmax(g):
    name, width = g.pick()
    g.emit(str(g.rng.choice(["Softmax", "LogSoftmax"])), [name], width, axis=-1)


def layer_norm(g):
    name, width = g.pick()
    if width > 3:  # fewer values have no variance to speak of
        g.emit("LayerNormalization", [name, g.weights(width), g.weights(width)], width, axis=-1, epsilon=1e-3)


def concat_split(g):
    pieces = [g.pick() for _ in range(2)]
    width = sum(p[1] for p in pieces)
    if width > 128:
        return
    joined = g.emit("Concat", [p[0] for p in pieces], width, axis=1)
    if width > 2:
        first = int(g.rng.integers(1, width))
        sizes = g.constant(numpy.array([first, width - first], numpy.int64))
        g.emit("Split", [joined, sizes], 0, outputs=2, axis=1)
        names = g.nodes[-1].output
        g.values += [(names[0], first), (names[1], width - first)]


def gather_slice(g):
    name, width = g.pick()
    chosen = g.rng.integers(0, width, int(g.rng.integers(1, 33)))
    g.emit("Gather", [name, g.constant(chosen.astype(numpy.int64))], len(chosen), axis=1)
    if width > 2:
        ends = [g.constant(numpy.array([v], numpy.int64)) for v in (1, width, 1, 2)]
        g.emit("Slice", [name, *ends], len(range(1, width, 2)))


def reduce(g):
    name, width = g.pick()
    op = str(g.rng.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                           "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"]))
    if op == "ReduceProd":  # of values around one
        name = g.emit("Add", [g.emit("Sigmoid", [name], width), g.constant(numpy.float32(0.5))], width)
    elif op == "ReduceLogSum":
        name = g.emit("Add", [g.emit("Abs", [name], width), g.constant(numpy.float32(0.5))], width)
    g.emit(op, [name, g.constant(numpy.array([1], numpy.int64))], 1, keepdims=1)


def prelu(g):
    name, width = g.pick()
    g.emit("PRelu", [name, g.weights(width)], width)


def where(g):
    name, width = g.pick()
    test = g.emit(str(g.rng.choice(["Greater", "LessOrEqual"])), [name, g.constant(numpy.float32(0.25))], 0)
    g.emit("Where", [test, g.matching(width), name], width)


def deep_set(g):
    """[N, k*R] as k vectors of R: a layer on each, then their sum."""
    name, width = g.pick()
    parts = [k for k in (2, 3, 4, 5) if width % k == 0 and width // k >= 2]
    if not parts:
        return
    k, out = int(g.rng.choice(parts)), int(g.rng.integers(1, 17))
    size = width // k
    view = g.emit("Reshape", [name, g.constant(numpy.array([0, k, size], numpy.int64))], 0)
    y = g.emit("MatMul", [view, g.weights(size, out, scale=size ** -0.5)], 0)
    y = g.emit("Relu", [g.emit("Add", [y, g.weights(out)], 0)], 0)
    g.emit("ReduceSum", [y, g.constant(numpy.array([1], numpy.int64))], out, keepdims=0)
    turned = g.emit("Transpose", [y], 0, perm=[0, 2, 1])
    g.emit("Reshape", [turned, g.constant(numpy.array([-1, out * k], numpy.int64))], out * k)


def attention(g):
    """softmax(x xT) x over four tokens."""
    name, width = g.pick()
    if width % 4 or width < 8:
        return
    size = width // 4
    x = g.emit("Reshape", [name, g.constant(numpy.array([0, 4, size], numpy.int64))], 0)
    x = g.emit("Tanh", [x], 0)
    scores = g.emit("MatMul", [x, g.emit("Transpose", [x], 0, perm=[0, 2, 1])], 0)
    weights = g.emit("Softmax", [scores], 0, axis=-1)
    y = g.emit("MatMul", [weights, x], 0)
    g.emit("Reshape", [y, g.constant(numpy.array([0, width], numpy.int64))], width)


BLOCKS = (gemm, gemm, gemm, matmul_bias, batch_norm, unary, prelu, binary, binary, divide, root_log_exp, softmax, layer_norm,
          concat_split, gather_slice, reduce, where, deep_set, attention)


def build(seed):
    g = Graph(seed)
    for _ in range(int(g.rng.integers(4, 14))):
        BLOCKS[int(g.rng.integers(len(BLOCKS)))](g)
    if not g.nodes:
        unary(g)
    heads = {g.values[-1], g.pick(), g.pick()} - {(i.name, i.type.tensor_type.shape.dim[1].dim_value) for i in g.inputs}
    heads = sorted(heads) or [(g.emit("Identity", [g.inputs[0].name], 0), g.values[0][1])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in heads]
    graph = helper.make_graph(g.nodes, f"seed{seed}", g.inputs, outputs, g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def in_double(model):
    """The same graph with every float a double."""
    double = onnx.ModelProto()
    double.CopyFrom(model)
    for value in [*double.graph.input, *double.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    constants = [a.t for node in double.graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
    for tensor in [*double.graph.initializer, *constants]:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(numpy.float64), tensor.name))
    return ReferenceEvaluator(double)


def feeds_of(model, rng):
    return {i.name: rng.normal(size=(ROWS, i.type.tensor_type.shape.dim[1].dim_value)).astype(numpy.float32)
            for i in model.graph.input}


def special_rows(feeds, rng):
    """A few values of a few rows become NaN, infinite, denormal, large or a negative zero. Not 3e38: whether sums overflow on the way
    depends on their order."""
    special = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 1e-40, -1e-45, 1e9, -0.0], numpy.float32)
    feeds = {name: value.copy() for name, value in feeds.items()}
    for value in feeds.values():
        for row in range(0, ROWS, 2):
            value[row, rng.integers(value.shape[1])] = rng.choice(special)
    return feeds


def classes(array):
    return numpy.where(numpy.isnan(array), 2, numpy.where(numpy.isposinf(array), 1, numpy.where(numpy.isneginf(array), -1, 0)))


def is_nan_defined(model):
    """Whether the operators say what becomes of NaN. ReduceMin and ReduceMax do not: ONNX Runtime's answer depends on where in
    the row the NaN stands."""
    return not any(node.op_type in ("ReduceMin", "ReduceMax") for node in model.graph.node)


@functools.cache
def every_level():
    """The instruction-set levels that the build and this machine have. One alone shows nothing of the others: a failure where there are
    several to have."""
    here, probe = [], build(0).SerializeToString()
    for isa in ("baseline", "avx2", "avx512"):
        try:
            stoa.load(probe, "native", isa=isa)
            here.append(isa)
        except stoa.StoaError as error:
            if error.status not in ("STOA_ENAME", "STOA_ENOTSUP"):
                raise
            skip(isa, str(error))
    if len(here) < 2 and platform.machine() in ("x86_64", "AMD64"):
        raise SystemExit(f"only the level {' '.join(here)} of an x86-64 machine can be tested")
    return here


def run(native, feeds):
    """Row-major arrays, each value of a row a column of its own."""
    return list(native(**{name: numpy.ascontiguousarray(value) for name, value in feeds.items()}).values())


class Outcome:
    """Of one graph on one level: what is wrong, of each output the error, ONNX Runtime's and the floor."""

    def __init__(self, seed, isa):
        self.seed, self.isa, self.wrong, self.errors = seed, isa, [], []

    def measure(self, output, got, theirs, expected):
        ulp = float(numpy.spacing(numpy.float32(max(numpy.abs(expected).max(), 1e-6))))
        ours, peers = numpy.abs(got - expected).max(), numpy.abs(theirs - expected).max()
        self.errors.append((ours, peers, ulp))
        if not ours <= 2.0 * peers + ULPS * ulp:
            self.wrong.append(f"{output}: error {ours:.3g}, ONNX Runtime's {peers:.3g}, {ULPS} ulp are {ULPS * ulp:.3g}")

    def classify(self, output, got, theirs):
        differ = numpy.argwhere(classes(got) != classes(theirs))
        if len(differ):
            at = tuple(differ[0])
            self.wrong.append(f"{output}: {len(differ)} values of another class, first {at}: {got[at]} here, {theirs[at]} in ONNX Runtime")

    def needed(self):
        """Of each output, ulp that it lies beyond twice ONNX Runtime's error; below 0 where it does not."""
        return [(ours - 2.0 * peers) / ulp for ours, peers, ulp in self.errors]


def check(seed):
    """An outcome of each level."""
    model, rng = build(seed), numpy.random.default_rng(seed + 1_000_000)
    data, outputs = model.SerializeToString(), [output.name for output in model.graph.output]
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    peer = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feeds = feeds_of(model, rng)
    with numpy.errstate(all="ignore"):
        exact = in_double(model).run(None, {name: value.astype(numpy.float64) for name, value in feeds.items()})
    odd = special_rows(feeds, rng) if is_nan_defined(model) else feeds
    theirs, their_odd = peer.run(None, feeds), peer.run(None, odd)
    for isa in every_level():
        native, outcome = stoa.load(data, "native", isa=isa), Outcome(seed, isa)
        ours = run(native, feeds)
        for row in zip(outputs, ours, theirs, exact):
            outcome.measure(*row)
        for row in zip(outputs, run(native, odd), their_odd):
            outcome.classify(*row)
        for rows in (1, 3):  # a row alone must be the same bits as in a batch
            alone = run(native, {name: value[:rows] for name, value in feeds.items()})
            if any(not numpy.array_equal(a, b[:rows]) for a, b in zip(alone, ours)):
                outcome.wrong.append(f"{rows} rows alone differ from the same rows in a batch")
        yield outcome


def main():
    first, end = (int(sys.argv[1]), int(sys.argv[-1]) + (len(sys.argv) == 2)) if len(sys.argv) > 1 else (0, GRAPHS)
    outcomes = [outcome for seed in range(first, end) for outcome in check(seed)]
    for outcome in outcomes:
        for line in outcome.wrong:
            print(f"FAILED  seed {outcome.seed}, {outcome.isa}: {line}")
    for isa in every_level():
        needed = [ulp for outcome in outcomes if outcome.isa == isa for ulp in outcome.needed()]
        print(f"{isa}: {end - first} graphs, {len(needed)} outputs, {ROWS} rows; {sum(ulp > 0 for ulp in needed)} outputs beyond twice ONNX "
              f"Runtime's error, by {max(0, *needed):.2f} ulp at most (allowed {ULPS})")
    failures = sum(bool(outcome.wrong) for outcome in outcomes)
    print(f"seeds {first} to {end - 1}: {failures} failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
