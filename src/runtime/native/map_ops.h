/* SPDX-License-Identifier: Apache-2.0 */
/* What the elementwise operations compute, for every type of column: expressions in a, b, c and the step `s`. The loops that run
 * them are in maps.h for the host's levels and in native.cu for CUDA. */
#ifndef STOA_NATIVE_MAP_OPS_H
#define STOA_NATIVE_MAP_OPS_H

#include <math.h>

#include "runtime/native/conversions.h"
#include "runtime/native/program.h"
#include "runtime/native/vmath.h"

/* ---------------------------------------------------------------------------------------------------- F32 */

INLINE vf v_bool(vi mask) { return v_of_bits(mask & 1); }
INLINE vi v_integer_mask(vf x) { return v_bits(x) != 0; }

/* libm, lane by lane, for functions that are rare in models. */
#if defined(__CUDACC__)
#define V_LANES1(name, function) \
    INLINE vf v_##name(vf x) { return function(x); }
#define V_LANES2(name, function) \
    INLINE vf v_##name(vf x, vf y) { return function(x, y); }
#else
#define V_LANES1(name, function) \
    INLINE vf v_##name(vf x) \
    { \
        vf r; \
        for (size_t lane = 0; lane < LANES; lane++) r[lane] = function(x[lane]); \
        return r; \
    }
#define V_LANES2(name, function) \
    INLINE vf v_##name(vf x, vf y) \
    { \
        vf r; \
        for (size_t lane = 0; lane < LANES; lane++) r[lane] = function(x[lane], y[lane]); \
        return r; \
    }
#endif
V_LANES1(sin, sinf)
V_LANES1(cos, cosf)
V_LANES1(tan, tanf)
V_LANES1(asin, asinf)
V_LANES1(acos, acosf)
V_LANES1(atan, atanf)
V_LANES1(sinh, sinhf)
V_LANES1(cosh, coshf)
V_LANES1(asinh, asinhf)
V_LANES1(acosh, acoshf)
V_LANES1(atanh, atanhf)
V_LANES2(pow, powf)
V_LANES2(fmod, fmodf)

/* The sign of the divisor, as Python's %. */
INLINE vf v_mod(vf x, vf y)
{
    const vf r = v_fmod(x, y);
    return v_select((r != 0.0f) & ((r < 0.0f) ^ (y < 0.0f)), r + y, r);
}

INLINE vf v_elu(vf x, float alpha) { return v_select(x < 0.0f, alpha * v_expm1_negative(x), x); }
INLINE vf v_celu(vf x, float alpha) { return v_select(x < 0.0f, alpha * v_expm1_negative(x / alpha), x); }
INLINE vf v_hard_sigmoid(vf x, float alpha, float beta) { return v_clamp(alpha * x + beta, v_splat(0.0f), v_splat(1.0f)); }
INLINE vf v_shrink(vf x, float lambda, float bias)
{ return v_select(x < -lambda, x + bias, v_select(x > lambda, x - bias, v_splat(0.0f))); }
INLINE vf v_is_inf(vf x, float negative, float positive)
{
    const vi minus = v_isplat(negative != 0.0f ? -1 : 0), plus = v_isplat(positive != 0.0f ? -1 : 0);
    return v_bool(((x == -v_splat(INFINITY)) & minus) | ((x == v_splat(INFINITY)) & plus));
}
INLINE vf v_sign(vf x) { return v_select(x > 0.0f, v_splat(1.0f), v_select(x < 0.0f, v_splat(-1.0f), v_select(x == x, v_splat(0.0f), x))); }
/* ONNX Runtime's: NaN on either side wins. */
INLINE vf v_max(vf a, vf b) { return v_select((a > b) | (a != a), a, b); }
INLINE vf v_min(vf a, vf b) { return v_select((a < b) | (a != a), a, b); }

/* Name, result from vectors a, b, c and the step's alpha and beta. Comparisons give I32 lanes. */
/* clang-format takes the products of these lists for pointers. */
// clang-format off
#define F32_MAP(X) \
    X(ADD, a + b) \
    X(SUB, a - b) \
    X(MUL, a * b) \
    X(DIV, a / b) \
    X(POW, v_pow(a, b)) \
    X(MOD, v_mod(a, b)) \
    X(FMOD, v_fmod(a, b)) \
    X(MIN, v_min(a, b)) \
    X(MAX, v_max(a, b)) \
    X(PRELU, v_select(a < 0.0f, a * b, a)) \
    X(EQUAL, v_bool(a == b)) \
    X(LESS, v_bool(a < b)) \
    X(LESS_EQUAL, v_bool(a <= b)) \
    X(GREATER, v_bool(a > b)) \
    X(GREATER_EQUAL, v_bool(a >= b)) \
    X(WHERE, v_select(v_integer_mask(a), b, c)) \
    X(COPY, a) \
    X(NEG, -a) \
    X(ABS, v_abs(a)) \
    X(SIGN, v_sign(a)) \
    X(RECIPROCAL, 1.0f / a) \
    X(SQRT, v_sqrt(a)) \
    X(FLOOR, v_floor(a)) \
    X(CEIL, v_ceil(a)) \
    X(ROUND, v_round(a)) \
    X(EXP, v_exp(a)) \
    X(LOG, v_log(a)) \
    X(ERF, v_erf(a)) \
    X(SIGMOID, v_sigmoid(a)) \
    X(TANH, v_tanh(a)) \
    X(SIN, v_sin(a)) \
    X(COS, v_cos(a)) \
    X(TAN, v_tan(a)) \
    X(ASIN, v_asin(a)) \
    X(ACOS, v_acos(a)) \
    X(ATAN, v_atan(a)) \
    X(SINH, v_sinh(a)) \
    X(COSH, v_cosh(a)) \
    X(ASINH, v_asinh(a)) \
    X(ACOSH, v_acosh(a)) \
    X(ATANH, v_atanh(a)) \
    X(ISNAN, v_bool(a != a)) \
    X(ISINF, v_is_inf(a, alpha, beta)) \
    X(RELU, v_relu(a)) \
    X(LEAKY_RELU, v_select(a < 0.0f, a * alpha, a)) \
    X(ELU, v_elu(a, alpha)) \
    X(SELU, beta * v_elu(a, alpha)) \
    X(CELU, v_celu(a, alpha)) \
    X(THRESHOLDED_RELU, v_select(a > alpha, a, v_splat(0.0f))) \
    X(HARD_SIGMOID, v_hard_sigmoid(a, alpha, beta)) \
    X(HARD_SWISH, a * v_hard_sigmoid(a, 1.0f / 6.0f, 0.5f)) \
    X(SOFTPLUS, v_softplus(a)) \
    X(SOFTSIGN, a / (1.0f + v_abs(a))) \
    X(MISH, v_mish(a)) \
    X(GELU, v_gelu(a)) \
    X(GELU_TANH, v_gelu_tanh(a)) \
    X(SWISH, a * v_sigmoid(a * alpha)) \
    X(SHRINK, v_shrink(a, alpha, beta)) \
    X(CLIP, v_clamp(a, v_splat(alpha), v_splat(beta)))

/* ------------------------------------------------------------------------------------- F64, I32, I64: scalar */

/* In a list, as F64_MAP is: emit_c.c writes both into files as text. */
#define F64_FUNCTIONS(X) \
    X(double f64_mod(double x, double y) { \
        const double r = fmod(x, y); \
        return r != 0.0 && (r < 0.0) != (y < 0.0) ? r + y : r; \
    }) \
    X(double f64_elu(double x, double alpha) { return x < 0.0 ? alpha * expm1(x) : x; }) \
    X(double f64_sigmoid(double x) { \
        const double z = exp(-fabs(x)); \
        return (x < 0.0 ? z : 1.0) / (1.0 + z); \
    }) \
    X(double f64_softplus(double x) { return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x))) + (x != x ? x : 0.0); }) \
    X(double f64_clip(double x, double low, double high) { \
        x = x < low ? low : x; \
        return x > high ? high : x; \
    }) \
    X(double f64_hard_sigmoid(double x, double alpha, double beta) { return f64_clip(alpha * x + beta, 0.0, 1.0); })
#define F64_DEFINE(...) INLINE __VA_ARGS__
F64_FUNCTIONS(F64_DEFINE)
#undef F64_DEFINE

#define F64_MAP(X) \
    X(ADD, a + b) \
    X(SUB, a - b) \
    X(MUL, a * b) \
    X(DIV, a / b) \
    X(POW, pow(a, b)) \
    X(MOD, f64_mod(a, b)) \
    X(FMOD, fmod(a, b)) \
    X(MIN, a < b || a != a ? a : b) \
    X(MAX, a > b || a != a ? a : b) \
    X(PRELU, a < 0.0 ? a * b : a) \
    X(COPY, a) \
    X(NEG, -a) \
    X(ABS, fabs(a)) \
    X(SIGN, a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a == a ? 0.0 : a) \
    X(RECIPROCAL, 1.0 / a) \
    X(SQRT, sqrt(a)) \
    X(FLOOR, floor(a)) \
    X(CEIL, ceil(a)) \
    X(ROUND, nearbyint(a)) \
    X(EXP, exp(a)) \
    X(LOG, log(a)) \
    X(ERF, erf(a)) \
    X(SIGMOID, f64_sigmoid(a)) \
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
    X(LEAKY_RELU, a < 0.0 ? a * s->alpha : a) \
    X(ELU, f64_elu(a, s->alpha)) \
    X(SELU, s->beta * f64_elu(a, s->alpha)) \
    X(CELU, a < 0.0 ? s->alpha * expm1(a / s->alpha) : a) \
    X(THRESHOLDED_RELU, a > s->alpha ? a : 0.0) \
    X(HARD_SIGMOID, f64_hard_sigmoid(a, s->alpha, s->beta)) \
    X(HARD_SWISH, a * f64_hard_sigmoid(a, 1.0 / 6.0, 0.5)) \
    X(SOFTPLUS, f64_softplus(a)) \
    X(SOFTSIGN, a / (1.0 + fabs(a))) \
    X(MISH, a * tanh(f64_softplus(a))) \
    X(GELU, 0.5 * a * erfc(-a * 0.70710678118654752)) \
    X(GELU_TANH, a * f64_sigmoid(1.5957691216057308 * a * (1.0 + 0.044715 * (a * a)))) \
    X(SWISH, a * f64_sigmoid(a * s->alpha)) \
    X(SHRINK, a < -s->alpha ? a + s->beta : a > s->alpha ? a - s->beta : 0.0) \
    X(CLIP, f64_clip(a, s->low, s->high))
#define F64_TO_I32_MAP(X) \
    X(EQUAL, a == b) \
    X(LESS, a < b) \
    X(LESS_EQUAL, a <= b) \
    X(GREATER, a > b) \
    X(GREATER_EQUAL, a >= b) \
    X(ISNAN, a != a) \
    X(ISINF, (a == INFINITY && s->beta != 0.0f) || (a == -INFINITY && s->alpha != 0.0f))

/* Integers wrap; division by zero gives 0 and the smallest by -1 itself, where the instruction would trap. T, U: the
 * signed and unsigned type. MOD has the divisor's sign, FMOD the dividend's.
 * Shifts are of unsigned types and leave nothing when they are too far. */
#define INT_MAP(X) \
    X(ADD, (T)((U)a + (U)b)) \
    X(SUB, (T)((U)a - (U)b)) \
    X(MUL, (T)((U)a * (U)b)) \
    X(DIV, b == 0 ? 0 : b == -1 ? (T)(0 - (U)a) : a / b) \
    X(FMOD, b == 0 || b == -1 ? 0 : a % b) \
    X(MOD, b == 0 || b == -1 ? 0 : a % b != 0 && (a % b < 0) != (b < 0) ? a % b + b : a % b) \
    X(POW, INT_OF_DOUBLE(pow((double)a, (double)b))) \
    X(MIN, a < b ? a : b) \
    X(MAX, a > b ? a : b) \
    X(PRELU, a < 0 ? (T)((U)a * (U)b) : a) \
    X(BIT_AND, a & b) \
    X(BIT_OR, a | b) \
    X(BIT_XOR, a ^ b) \
    X(SHIFT_LEFT, (U)b < 8 * sizeof(T) ? (T)((U)a << b) : 0) \
    X(SHIFT_RIGHT, (U)b < 8 * sizeof(T) ? (T)((U)a >> b) : 0) \
    X(AND, (a != 0) & (b != 0)) \
    X(OR, (a != 0) | (b != 0)) \
    X(XOR, (a != 0) ^ (b != 0)) \
    X(NOT, a == 0) \
    X(COPY, a) \
    X(BIT_NOT, ~a) \
    X(NEG, (T)(0 - (U)a)) \
    X(ABS, a < 0 ? (T)(0 - (U)a) : a) \
    X(SIGN, (a > 0) - (a < 0)) \
    X(RELU, a < 0 ? 0 : a)
#define INT_TO_I32_MAP(X) \
    X(EQUAL, a == b) \
    X(LESS, a < b) \
    X(LESS_EQUAL, a <= b) \
    X(GREATER, a > b) \
    X(GREATER_EQUAL, a >= b)
// clang-format on

#endif
