/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise operators: one MAP step each, or a few. */
#include <float.h>
#include <string.h>

#include "runtime/native/graph.h"

/* Before opset 7 operands broadcast by an attribute, by other rules. */
static bool modern_broadcast(lowering *l)
{
    if (l->model->opset >= 7 || !stoai_attribute_int(l, "broadcast", 0)) return true;
    return stoai_graph_refuse(l, "broadcasting of opset %lld", (long long)l->model->opset) != NULL;
}

static bool same_types(lowering *l, const graph_tensor *a, const graph_tensor *b)
{
    if (a->dtype == b->dtype) return true;
    return stoai_graph_refuse(l, "operands of types %s and %s", stoa_dtype_name(a->dtype), stoa_dtype_name(b->dtype)) != NULL;
}

static graph_tensor *lower_unary(lowering *l) { return stoai_emit(l, (native_op)stoai_lower_code(l), l->in[0], NULL); }

static graph_tensor *lower_binary(lowering *l)
{
    if (!modern_broadcast(l) || !same_types(l, l->in[0], l->in[1])) return NULL;
    return stoai_emit(l, (native_op)stoai_lower_code(l), l->in[0], l->in[1]);
}

static graph_tensor *lower_comparison(lowering *l)
{
    if (!modern_broadcast(l) || !same_types(l, l->in[0], l->in[1])) return NULL;
    return stoai_emit_map(l, (native_op)stoai_lower_code(l), STOA_BOOL, NULL, l->in[0], l->in[1], NULL);
}

static graph_tensor *lower_logical(lowering *l)
{
    const native_op op = (native_op)stoai_lower_code(l);
    for (size_t i = 0; i < l->in_count; i++)
        if (l->in[i]->dtype != STOA_BOOL) return stoai_graph_refuse(l, "an operand that is not bool");
    return modern_broadcast(l) ? stoai_emit_map(l, op, STOA_BOOL, NULL, l->in[0], stoai_input(l, 1), NULL) : NULL;
}

static graph_tensor *lower_bitwise(lowering *l)
{
    if (stoai_is_float(l->in[0]->dtype) || l->in[0]->dtype == STOA_BOOL)
        return stoai_graph_refuse(l, "it has no meaning for %s", stoa_dtype_name(l->in[0]->dtype));
    return l->in_count < 2 ? lower_unary(l) : lower_binary(l);
}

static graph_tensor *lower_shift(lowering *l)
{
    const onnx_attribute *a = stoai_attribute(l, "direction", ONNX_ATTRIBUTE_STRING);
    const bool left = a && strcmp(a->string, "LEFT") == 0;
    if (!left && (!a || strcmp(a->string, "RIGHT") != 0)) return stoai_graph_refuse(l, "direction '%s'", a ? a->string : "");
    return same_types(l, l->in[0], l->in[1]) ? stoai_emit(l, left ? NATIVE_SHIFT_LEFT : NATIVE_SHIFT_RIGHT, l->in[0], l->in[1]) : NULL;
}

/* Max, Min, Sum, Mean of any number. */
static graph_tensor *lower_variadic(lowering *l)
{
    const native_op op = (native_op)stoai_lower_code(l);
    graph_tensor *t = l->in[0];
    for (size_t i = 1; t && i < l->in_count; i++) {
        if (!l->in[i]) return stoai_graph_refuse(l, "input %zu is left out", i);
        if (!same_types(l, t, l->in[i])) return NULL;
        t = stoai_emit(l, op, t, l->in[i]);
    }
    if (t && strcmp(l->node->op, "Mean") == 0) t = stoai_emit(l, NATIVE_DIV, t, stoai_graph_scalar(l, t->dtype, (double)l->in_count));
    return t;
}

static graph_tensor *lower_mod(lowering *l)
{
    const bool dividend_sign = stoai_attribute_int(l, "fmod", 0) != 0;
    return same_types(l, l->in[0], l->in[1]) ? stoai_emit(l, dividend_sign ? NATIVE_FMOD : NATIVE_MOD, l->in[0], l->in[1]) : NULL;
}

/* x ** 2 is what networks use; x * x is exact and cheap. */
static bool is_two(const graph_tensor *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->elements[i].column != GRAPH_CONSTANT ||
            (stoai_is_float(t->dtype) ? t->elements[i].real != 2.0 : t->elements[i].integer != 2))
            return false;
    return t->count == 1;
}

/* The type is the base's; an integer base with a float exponent is computed in that float. */
static graph_tensor *lower_pow(lowering *l)
{
    graph_tensor *base = l->in[0], *exponent = l->in[1];
    if (!modern_broadcast(l)) return NULL;
    if (is_two(exponent) && exponent->rank <= base->rank) return stoai_emit(l, NATIVE_MUL, base, base);
    const bool wider = stoai_is_float(exponent->dtype) && !stoai_is_float(base->dtype);
    const stoa_dtype type = wider ? exponent->dtype : base->dtype;
    graph_tensor *power = stoai_emit(l, NATIVE_POW, stoai_emit_cast(l, base, type), stoai_emit_cast(l, exponent, type));
    return stoai_emit_cast(l, power, base->dtype);
}

static graph_tensor *lower_where(lowering *l)
{
    if (l->in[0]->dtype != STOA_BOOL) return stoai_graph_refuse(l, "a condition that is not bool");
    return same_types(l, l->in[1], l->in[2]) ? stoai_emit_map(l, NATIVE_WHERE, l->in[1]->dtype, NULL, l->in[0], l->in[1], l->in[2]) : NULL;
}

static graph_tensor *lower_cast(lowering *l)
{
    const graph_tensor *like = stoai_input(l, 1);
    return stoai_emit_cast(l, l->in[0], like ? like->dtype : stoai_onnx_dtype((int32_t)stoai_attribute_int(l, "to", 0)));
}

/* ---- operators with parameters -------------------------------------------------------------------------------------------- */

/* Activation: names and defaults of alpha and beta. */
typedef struct activation {
    native_op op;
    const char *alpha, *beta;
    float alpha_default, beta_default;
} activation;

static const activation activations[] = {
    {NATIVE_LEAKY_RELU, "alpha", NULL, 0.01f, 0.0f},
    {NATIVE_ELU, "alpha", NULL, 1.0f, 0.0f},
    {NATIVE_SELU, "alpha", "gamma", 1.67326319217681884765625f, 1.05070102214813232421875f},
    {NATIVE_CELU, "alpha", NULL, 1.0f, 0.0f},
    {NATIVE_THRESHOLDED_RELU, "alpha", NULL, 1.0f, 0.0f},
    {NATIVE_HARD_SIGMOID, "alpha", "beta", 0.2f, 0.5f},
    {NATIVE_SWISH, "alpha", NULL, 1.0f, 0.0f},
    {NATIVE_SHRINK, "lambd", "bias", 0.5f, 0.0f},
};

static graph_tensor *lower_activation(lowering *l)
{
    const activation *a = activations;
    while (a->op != (native_op)stoai_lower_code(l)) a++;
    native_step parameters = {.op = a->op};
    parameters.alpha = (float)stoai_attribute_float(l, a->alpha, (double)a->alpha_default);
    if (a->beta) parameters.beta = (float)stoai_attribute_float(l, a->beta, (double)a->beta_default);
    return stoai_emit_map(l, a->op, l->in[0]->dtype, &parameters, l->in[0], NULL, NULL);
}

static graph_tensor *lower_gelu(lowering *l)
{
    const onnx_attribute *a = stoai_attribute(l, "approximate", ONNX_ATTRIBUTE_STRING);
    return stoai_emit(l, a && strcmp(a->string, "tanh") == 0 ? NATIVE_GELU_TANH : NATIVE_GELU, l->in[0], NULL);
}

static graph_tensor *lower_test(lowering *l)
{
    native_step parameters = {.alpha = (float)stoai_attribute_int(l, "detect_negative", 1),
                              .beta = (float)stoai_attribute_int(l, "detect_positive", 1)};
    return stoai_emit_map(l, (native_op)stoai_lower_code(l), STOA_BOOL, &parameters, l->in[0], NULL, NULL);
}

/* Where a bound is left out the standard clips to the largest finite value of the type: infinities become it. */
static double largest_of(stoa_dtype dtype)
{ return dtype == STOA_FLOAT64 ? DBL_MAX : dtype == STOA_FLOAT16 ? 65504.0 : dtype == STOA_BFLOAT16 ? 0x1.fep127 : (double)FLT_MAX; }

/* One number that is known at load; where the bound is left out, the value that stands there already. */
static bool clip_bound(const graph_tensor *bound, double *value)
{
    if (!bound) return true;
    if (bound->count != 1 || bound->elements[0].column != GRAPH_CONSTANT) return false;
    *value = bound->elements[0].real;
    return true;
}

static graph_tensor *lower_clip(lowering *l)
{
    graph_tensor *t = l->in[0], *low = stoai_input(l, 1), *high = stoai_input(l, 2);
    native_step p = {.op = NATIVE_CLIP, .low = -largest_of(t->dtype), .high = largest_of(t->dtype)};
    if (l->model->opset < 11) {
        p.low = stoai_attribute_float(l, "min", p.low);
        p.high = stoai_attribute_float(l, "max", p.high);
    } else if (!stoai_is_float(t->dtype) || !clip_bound(low, &p.low) || !clip_bound(high, &p.high)) {
        if (low) t = stoai_emit(l, NATIVE_MAX, t, low);
        if (high) t = stoai_emit(l, NATIVE_MIN, t, high);
        return t;
    }
    p.alpha = (float)p.low;
    p.beta = (float)p.high;
    return stoai_emit_map(l, NATIVE_CLIP, t->dtype, &p, t, NULL, NULL);
}

/* Compare the index with each position of a new last axis, then move that axis to its place. */
static graph_tensor *lower_one_hot(lowering *l)
{
    graph_tensor *indices = stoai_emit_cast(l, l->in[0], STOA_INT64), *values = l->in[2];
    if (!indices) return NULL;
    if (l->in[1]->count != 1 || !stoai_graph_is_constant(l->in[1]) || values->count != 2)
        return stoai_graph_refuse(l, "depth and values must be constants");
    const bool real = stoai_is_float(l->in[1]->dtype);
    const int64_t depth = real ? (int64_t)l->in[1]->elements[0].real : l->in[1]->elements[0].integer;
    uint32_t axis, dims[GRAPH_RANK_MAX + 1], order[GRAPH_RANK_MAX + 1];
    const uint32_t rank = indices->rank + 1;
    if (depth < 1 || depth > 65536 || rank > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "depth %lld", (long long)depth);
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", -1), rank, 0, &axis)) return NULL;
    memcpy(dims, indices->dims, sizeof indices->dims);
    dims[rank - 1] = 1;
    int64_t *positions = stoai_graph_take(l, (size_t)depth, sizeof *positions);
    for (int64_t i = 0; positions && i < depth; i++) positions[i] = i;
    if (!positions) return NULL;
    graph_tensor *at = stoai_graph_view(l, indices, indices->rows, rank, dims), *zero = stoai_graph_scalar(l, STOA_INT64, 0.0);
    graph_tensor *from_end = stoai_emit(l, NATIVE_ADD, at, stoai_graph_scalar(l, STOA_INT64, (double)depth));
    graph_tensor *negative = stoai_emit_map(l, NATIVE_LESS, STOA_BOOL, NULL, at, zero, NULL);
    at = from_end ? stoai_emit_map(l, NATIVE_WHERE, STOA_INT64, NULL, negative, from_end, at) : NULL;
    graph_tensor *hit =
        at ? stoai_emit_map(l, NATIVE_EQUAL, STOA_BOOL, NULL, at, stoai_graph_integers(l, positions, (uint32_t)depth), NULL) : NULL;
    graph_tensor off = *values, on = *values;
    off.rank = on.rank = 0, off.count = on.count = 1;
    on.elements = values->elements + 1;
    graph_tensor *out = hit ? stoai_emit_map(l, NATIVE_WHERE, values->dtype, NULL, hit, &on, &off) : NULL;
    for (uint32_t i = 0; i < rank; i++) order[i] = i < axis ? i : i == axis ? rank - 1 : i - 1;
    return stoai_graph_permute(l, out, order);
}

#define UNARY(name, op) {name, 1, 1, lower_unary, NATIVE_##op}
#define BINARY(name, op) {name, 2, 2, lower_binary, NATIVE_##op}
#define COMPARISON(name, op) {name, 2, 2, lower_comparison, NATIVE_##op}
#define ACTIVATION(name, op) {name, 1, 1, lower_activation, NATIVE_##op}

const lower_operator stoai_lower_math[] = {
    BINARY("Add", ADD),
    BINARY("Sub", SUB),
    BINARY("Mul", MUL),
    BINARY("Div", DIV),
    BINARY("PRelu", PRELU),
    {"Pow", 2, 2, lower_pow, 0},
    {"Mod", 2, 2, lower_mod, 0},
    {"Min", 1, 255, lower_variadic, NATIVE_MIN},
    {"Max", 1, 255, lower_variadic, NATIVE_MAX},
    {"Sum", 1, 255, lower_variadic, NATIVE_ADD},
    {"Mean", 1, 255, lower_variadic, NATIVE_ADD},
    COMPARISON("Equal", EQUAL),
    COMPARISON("Less", LESS),
    COMPARISON("LessOrEqual", LESS_EQUAL),
    COMPARISON("Greater", GREATER),
    COMPARISON("GreaterOrEqual", GREATER_EQUAL),
    {"And", 2, 2, lower_logical, NATIVE_AND},
    {"Or", 2, 2, lower_logical, NATIVE_OR},
    {"Xor", 2, 2, lower_logical, NATIVE_XOR},
    {"Not", 1, 1, lower_logical, NATIVE_NOT},
    {"BitwiseAnd", 2, 2, lower_bitwise, NATIVE_BIT_AND},
    {"BitwiseOr", 2, 2, lower_bitwise, NATIVE_BIT_OR},
    {"BitwiseXor", 2, 2, lower_bitwise, NATIVE_BIT_XOR},
    {"BitwiseNot", 1, 1, lower_bitwise, NATIVE_BIT_NOT},
    {"BitShift", 2, 2, lower_shift, 0},
    {"Where", 3, 3, lower_where, 0},
    {"Cast", 1, 1, lower_cast, 0},
    {"CastLike", 2, 2, lower_cast, 0},
    {"Clip", 1, 3, lower_clip, 0},
    {"OneHot", 3, 3, lower_one_hot, 0},
    {"Gelu", 1, 1, lower_gelu, 0},
    {"IsNaN", 1, 1, lower_test, NATIVE_ISNAN},
    {"IsInf", 1, 1, lower_test, NATIVE_ISINF},
    ACTIVATION("LeakyRelu", LEAKY_RELU),
    ACTIVATION("Elu", ELU),
    ACTIVATION("Selu", SELU),
    ACTIVATION("Celu", CELU),
    ACTIVATION("ThresholdedRelu", THRESHOLDED_RELU),
    ACTIVATION("HardSigmoid", HARD_SIGMOID),
    ACTIVATION("Swish", SWISH),
    ACTIVATION("Shrink", SHRINK),
    UNARY("Neg", NEG),
    UNARY("Abs", ABS),
    UNARY("Sign", SIGN),
    UNARY("Reciprocal", RECIPROCAL),
    UNARY("Sqrt", SQRT),
    UNARY("Floor", FLOOR),
    UNARY("Ceil", CEIL),
    UNARY("Round", ROUND),
    UNARY("Exp", EXP),
    UNARY("Log", LOG),
    UNARY("Erf", ERF),
    UNARY("Sigmoid", SIGMOID),
    UNARY("Tanh", TANH),
    UNARY("Sin", SIN),
    UNARY("Cos", COS),
    UNARY("Tan", TAN),
    UNARY("Asin", ASIN),
    UNARY("Acos", ACOS),
    UNARY("Atan", ATAN),
    UNARY("Sinh", SINH),
    UNARY("Cosh", COSH),
    UNARY("Asinh", ASINH),
    UNARY("Acosh", ACOSH),
    UNARY("Atanh", ATANH),
    UNARY("Relu", RELU),
    UNARY("HardSwish", HARD_SWISH),
    UNARY("Softplus", SOFTPLUS),
    UNARY("Softsign", SOFTSIGN),
    UNARY("Mish", MISH),
    {NULL, 0, 0, NULL, 0},
};
