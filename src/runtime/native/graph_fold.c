/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on constants while a model is loaded: floats in double, integers in int64. */
#include <math.h>

#include "runtime/native/graph.h"

static double sign_mod(double x, double y)
{
    const double r = fmod(x, y);
    return r != 0.0 && (r < 0.0) != (y < 0.0) ? r + y : r;
}
static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
static double softplus(double x) { return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double elu(double x, double alpha) { return x < 0.0 ? alpha * expm1(x) : x; }
static double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* a, b: operands; p, q: alpha and beta; low, high: bounds of CLIP. */
/* clang-format takes the products of these lists for pointers. */
// clang-format off
#define FOLD_REAL_MAP(X) \
    X(ADD, a + b) \
    X(SUB, a - b) \
    X(MUL, a * b) \
    X(DIV, a / b) \
    X(POW, pow(a, b)) \
    X(MOD, sign_mod(a, b)) \
    X(FMOD, fmod(a, b)) \
    X(MIN, a < b || a != a ? a : b) \
    X(MAX, a > b || a != a ? a : b) \
    X(PRELU, a < 0.0 ? a * b : a) \
    X(COPY, a) \
    X(NEG, -a) \
    X(ABS, fabs(a)) \
    X(RECIPROCAL, 1.0 / a) \
    X(SIGN, a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a) \
    X(SQRT, sqrt(a)) \
    X(FLOOR, floor(a)) \
    X(CEIL, ceil(a)) \
    X(ROUND, nearbyint(a)) \
    X(EXP, exp(a)) \
    X(LOG, log(a)) \
    X(ERF, erf(a)) \
    X(SIGMOID, sigmoid(a)) \
    X(TANH, tanh(a)) \
    X(SIN, sin(a)) \
    X(COS, cos(a)) \
    X(TAN, tan(a)) \
    X(ASIN, asin(a)) \
    X(ACOS, acos(a)) \
    X(ATAN, atan(a)) \
    X(SINH, sinh(a)) \
    X(COSH, cosh(a)) \
    X(ASINH, asinh(a)) \
    X(ACOSH, acosh(a)) \
    X(ATANH, atanh(a)) \
    X(RELU, a < 0.0 ? 0.0 : a) \
    X(LEAKY_RELU, a < 0.0 ? a * p : a) \
    X(ELU, elu(a, p)) \
    X(SELU, q * elu(a, p)) \
    X(CELU, a < 0.0 ? p * expm1(a / p) : a) \
    X(THRESHOLDED_RELU, a > p ? a : 0.0) \
    X(HARD_SIGMOID, clip(p * a + q, 0.0, 1.0)) \
    X(HARD_SWISH, a * clip(a / 6.0 + 0.5, 0.0, 1.0)) \
    X(SOFTPLUS, softplus(a)) \
    X(SOFTSIGN, a / (1.0 + fabs(a))) \
    X(MISH, a * tanh(softplus(a))) \
    X(GELU, 0.5 * a * erfc(-a * 0.70710678118654752440)) \
    X(GELU_TANH, a * sigmoid(1.5957691216057308 * (a + 0.044715 * a * a * a))) \
    X(SWISH, a * sigmoid(p * a)) \
    X(SHRINK, a < -p ? a + q : a > p ? a - q : 0.0) \
    X(CLIP, clip(a, low, high))
#define FOLD_TEST_MAP(X) \
    X(EQUAL, a == b) \
    X(LESS, a < b) \
    X(LESS_EQUAL, a <= b) \
    X(GREATER, a > b) \
    X(GREATER_EQUAL, a >= b)
#define FOLD_REAL_TEST_MAP(X) \
    X(ISNAN, a != a) \
    X(ISINF, (a == HUGE_VAL && q != 0.0) || (a == -HUGE_VAL && p != 0.0))
/* Wrapping arithmetic goes through unsigned; nothing here traps. */
#define FOLD_INTEGER_MAP(X) \
    X(ADD, (int64_t)((uint64_t)a + (uint64_t)b)) \
    X(SUB, (int64_t)((uint64_t)a - (uint64_t)b)) \
    X(MUL, (int64_t)((uint64_t)a * (uint64_t)b)) \
    X(DIV, b == 0 ? 0 : b == -1 ? wrap_neg(a) : a / b) \
    X(FMOD, b == 0 || b == -1 ? 0 : a % b) \
    X(MOD, integer_mod(a, b)) \
    X(POW, integer_pow(a, b)) \
    X(MIN, a < b ? a : b) \
    X(MAX, a > b ? a : b) \
    X(AND, a && b) \
    X(OR, a || b) \
    X(XOR, !a != !b) \
    X(BIT_AND, a & b) \
    X(BIT_OR, a | b) \
    X(BIT_XOR, a ^ b) \
    X(SHIFT_LEFT, (uint64_t)b < 64 ? (int64_t)((uint64_t)a << b) : 0) \
    X(SHIFT_RIGHT, (uint64_t)b < 64 ? (int64_t)((uint64_t)a >> b) : 0) \
    X(COPY, a) \
    X(NOT, !a) \
    X(BIT_NOT, ~a) \
    X(NEG, wrap_neg(a)) \
    X(ABS, a < 0 ? wrap_neg(a) : a) \
    X(SIGN, (a > 0) - (a < 0)) \
    X(RELU, a < 0 ? 0 : a) \
    X(PRELU, a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a) \
    X(CLIP, (double)a < low ? to_integer(low) : (double)a > high ? to_integer(high) : a)
// clang-format on

static int64_t to_integer(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : x >= 0x1p63 ? INT64_MAX : INT64_MIN; }
static int64_t wrap_neg(int64_t a) { return (int64_t)(0 - (uint64_t)a); }
static int64_t integer_mod(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) return 0;
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static int64_t integer_pow(int64_t a, int64_t b) { return to_integer(pow((double)a, (double)b)); }

static double fold_real(native_op op, double a, double b, const native_step *s)
{
    const double p = s ? (double)s->alpha : 0.0, q = s ? (double)s->beta : 0.0;
    const double low = s ? s->low : 0.0, high = s ? s->high : 0.0;
    switch (op) {
#define CASE(name, value) \
    case NATIVE_##name: return (value);
        FOLD_REAL_MAP(CASE)
#undef CASE
    default: return NAN;
    }
}

static int64_t fold_integer(native_op op, int64_t a, int64_t b, const native_step *s)
{
    const double low = s ? s->low : 0.0, high = s ? s->high : 0.0;
    switch (op) {
#define CASE(name, value) \
    case NATIVE_##name: return (value);
        FOLD_INTEGER_MAP(CASE)
        FOLD_TEST_MAP(CASE)
#undef CASE
    default: return 0;
    }
}

static bool fold_test(native_op op, double a, double b, const native_step *s, int64_t *result)
{
    const double p = s ? (double)s->alpha : 0.0, q = s ? (double)s->beta : 0.0;
    switch (op) {
#define CASE(name, value) \
    case NATIVE_##name: *result = (value); return true;
        FOLD_TEST_MAP(CASE)
        FOLD_REAL_TEST_MAP(CASE)
#undef CASE
    default: return false;
    }
}

void stoai_fold(native_op op, native_type type, const native_step *parameters, const graph_element in[3], graph_element *out)
{
    out->column = GRAPH_CONSTANT;
    if (op == NATIVE_WHERE) *out = in[0].integer ? in[1] : in[2];
    else if (type == NATIVE_I32 || type == NATIVE_I64) out->integer = fold_integer(op, in[0].integer, in[1].integer, parameters);
    else if (!fold_test(op, in[0].real, in[1].real, parameters, &out->integer))
        out->real = fold_real(op, in[0].real, in[1].real, parameters);
}

void stoai_fold_narrow(stoa_dtype dtype, graph_element *value)
{
    switch ((int)dtype) {
    case STOA_FLOAT32:
    case STOA_FLOAT16:
    case STOA_BFLOAT16: value->real = (double)(float)value->real; break;
    case STOA_INT8: value->integer = (int8_t)value->integer; break;
    case STOA_INT16: value->integer = (int16_t)value->integer; break;
    case STOA_INT32: value->integer = (int32_t)value->integer; break;
    case STOA_UINT8: value->integer = (uint8_t)value->integer; break;
    case STOA_UINT16: value->integer = (uint16_t)value->integer; break;
    case STOA_UINT32: value->integer = (uint32_t)value->integer; break;
    case STOA_BOOL: value->integer = value->integer != 0; break;
    default: break;
    }
}

void stoai_fold_cast(stoa_dtype from, stoa_dtype to, graph_element *value)
{
    const bool real = stoai_is_float(from);
    if (stoai_is_float(to)) {
        const double x = real ? value->real : (double)value->integer;
        value->real = to == STOA_FLOAT64    ? x
                      : to == STOA_FLOAT16  ? (double)stoa_half_to_float(stoa_half_from_float((float)x))
                      : to == STOA_BFLOAT16 ? (double)stoa_bfloat16_to_float(stoa_bfloat16_from_float((float)x))
                                            : (double)(float)x;
        return;
    }
    if (real)
        value->integer = to == STOA_BOOL                                  ? value->real != 0.0
                         : value->real >= -0x1p63 && value->real < 0x1p63 ? (int64_t)value->real
                                                                          : INT64_MIN;
    stoai_fold_narrow(to, value);
}
