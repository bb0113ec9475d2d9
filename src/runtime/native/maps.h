/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise steps: one loop per operation and type over flat memory. A batch, a single column and a row alone all pass
 * through the same loop, which is what makes their results equal bit for bit. */
#ifndef STOA_NATIVE_MAPS_H
#define STOA_NATIVE_MAPS_H

#include <math.h>
#include <string.h>

#include "runtime/native/convert.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

/* n elements: out[i] = op(a[i * inc[0]], b[i * inc[1]], c[i * inc[2]]), increments 1, or 0 for a constant (then a whole
 * vector of it). F32 works in whole vectors and may read and write up to one vector past n. */
typedef void (*map_kernel)(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s);

/* ---------------------------------------------------------------------------------------------------- F32 */

INLINE vf v_bool(vi mask) { return (vf)(mask & 1); }
INLINE vf v_integer_mask(vf x) { return (vf)((vi)x != 0); }

/* libm, lane by lane, for functions that are rare in models. */
#define V_LANES1(name, function)                                                                          \
    INLINE vf v_##name(vf x)                                                                              \
    {                                                                                                     \
        vf r;                                                                                             \
        for (size_t lane = 0; lane < LANES; lane++)                                                       \
            r[lane] = function(x[lane]);                                                                  \
        return r;                                                                                         \
    }
#define V_LANES2(name, function)                                                                          \
    INLINE vf v_##name(vf x, vf y)                                                                        \
    {                                                                                                     \
        vf r;                                                                                             \
        for (size_t lane = 0; lane < LANES; lane++)                                                       \
            r[lane] = function(x[lane], y[lane]);                                                         \
        return r;                                                                                         \
    }
V_LANES1(sin, sinf) V_LANES1(cos, cosf) V_LANES1(tan, tanf) V_LANES1(asin, asinf) V_LANES1(acos, acosf)
V_LANES1(atan, atanf) V_LANES1(sinh, sinhf) V_LANES1(cosh, coshf) V_LANES1(asinh, asinhf) V_LANES1(acosh, acoshf)
V_LANES1(atanh, atanhf) V_LANES2(pow, powf) V_LANES2(fmod, fmodf)

/* The sign of the divisor, as Python's %. */
INLINE vf v_mod(vf x, vf y)
{
    const vf r = v_fmod(x, y);
    return v_select((r != 0.0f) & ((r < 0.0f) ^ (y < 0.0f)), r + y, r);
}

INLINE vf v_elu(vf x, float alpha) { return v_select(x < 0.0f, alpha * v_expm1_negative(x), x); }
INLINE vf v_celu(vf x, float alpha) { return v_select(x < 0.0f, alpha * v_expm1_negative(x / alpha), x); }
INLINE vf v_hard_sigmoid(vf x, float alpha, float beta)
{
    return v_clamp(alpha * x + beta, v_splat(0.0f), v_splat(1.0f));
}
INLINE vf v_shrink(vf x, float lambda, float bias)
{
    return v_select(x < -lambda, x + bias, v_select(x > lambda, x - bias, v_splat(0.0f)));
}
INLINE vf v_is_inf(vf x, float negative, float positive)
{
    const vi minus = v_isplat(negative != 0.0f ? -1 : 0), plus = v_isplat(positive != 0.0f ? -1 : 0);
    return v_bool(((x == -v_splat(INFINITY)) & minus) | ((x == v_splat(INFINITY)) & plus));
}
INLINE vf v_sign(vf x)
{
    return v_select(x > 0.0f, v_splat(1.0f), v_select(x < 0.0f, v_splat(-1.0f), v_select(x == x, v_splat(0.0f), x)));
}
/* ONNX Runtime's: NaN on either side wins. */
INLINE vf v_max(vf a, vf b) { return v_select((a > b) | (a != a), a, b); }
INLINE vf v_min(vf a, vf b) { return v_select((a < b) | (a != a), a, b); }

/* Name, result from vectors a, b, c and the step's alpha and beta. Comparisons give I32 lanes. */
#define F32_MAP(X)                                                                                        \
    X(ADD, a + b) X(SUB, a - b) X(MUL, a * b) X(DIV, a / b) X(POW, v_pow(a, b)) X(MOD, v_mod(a, b))           \
    X(FMOD, v_fmod(a, b)) X(MIN, v_min(a, b)) X(MAX, v_max(a, b)) X(PRELU, v_select(a < 0.0f, a * b, a))      \
    X(EQUAL, v_bool(a == b)) X(LESS, v_bool(a < b)) X(LESS_EQUAL, v_bool(a <= b)) X(GREATER, v_bool(a > b))   \
    X(GREATER_EQUAL, v_bool(a >= b)) X(WHERE, v_select((vi)v_integer_mask(a), b, c)) X(COPY, a) X(NEG, -a)    \
    X(ABS, v_abs(a)) X(SIGN, v_sign(a)) X(RECIPROCAL, 1.0f / a) X(SQRT, v_sqrt(a)) X(FLOOR, v_floor(a))       \
    X(CEIL, v_ceil(a)) X(ROUND, v_round(a)) X(EXP, v_exp(a)) X(LOG, v_log(a)) X(ERF, v_erf(a))                \
    X(SIGMOID, v_sigmoid(a)) X(TANH, v_tanh(a)) X(SIN, v_sin(a)) X(COS, v_cos(a)) X(TAN, v_tan(a))            \
    X(ASIN, v_asin(a)) X(ACOS, v_acos(a)) X(ATAN, v_atan(a)) X(SINH, v_sinh(a)) X(COSH, v_cosh(a))            \
    X(ASINH, v_asinh(a)) X(ACOSH, v_acosh(a)) X(ATANH, v_atanh(a)) X(ISNAN, v_bool(a != a))                   \
    X(ISINF, v_is_inf(a, alpha, beta)) X(RELU, v_relu(a))                          \
    X(LEAKY_RELU, v_select(a < 0.0f, a * alpha, a)) X(ELU, v_elu(a, alpha))                                   \
    X(SELU, beta * v_elu(a, alpha)) X(CELU, v_celu(a, alpha))                                                 \
    X(THRESHOLDED_RELU, v_select(a > alpha, a, v_splat(0.0f)))                                                \
    X(HARD_SIGMOID, v_hard_sigmoid(a, alpha, beta)) X(HARD_SWISH, a * v_hard_sigmoid(a, 1.0f / 6.0f, 0.5f))   \
    X(SOFTPLUS, v_softplus(a)) X(SOFTSIGN, a / (1.0f + v_abs(a))) X(MISH, v_mish(a)) X(GELU, v_gelu(a))       \
    X(GELU_TANH, v_gelu_tanh(a)) X(SWISH, a * v_sigmoid(a * alpha)) X(SHRINK, v_shrink(a, alpha, beta))       \
    X(CLIP, v_clamp(a, v_splat(alpha), v_splat(beta)))

#define F32_DEFINE(name, value)                                                                           \
    static void map_f32_##name(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    {                                                                                                     \
        const float alpha = s->alpha, beta = s->beta;                                                     \
        const float *pa = in[0], *pb = in[1], *pc = in[2];                                                \
        float *to = out;                                                                                  \
        for (size_t i = 0; i < n; i += LANES) {                                                           \
            const vf a = v_load(pa + i * inc[0]), b = v_load(pb + i * inc[1]), c = v_load(pc + i * inc[2]);  \
            (void)alpha, (void)beta, (void)b, (void)c;                                                    \
            v_store(to + i, value);                                                                       \
        }                                                                                                 \
    }
F32_MAP(F32_DEFINE)
#undef F32_DEFINE

/* ------------------------------------------------------------------------------------- F64, I32, I64: scalar */

INLINE double f64_mod(double x, double y)
{
    const double r = fmod(x, y);
    return r != 0.0 && (r < 0.0) != (y < 0.0) ? r + y : r;
}
INLINE double f64_elu(double x, double alpha) { return x < 0.0 ? alpha * expm1(x) : x; }
INLINE double f64_sigmoid(double x)
{
    const double z = exp(-fabs(x));
    return (x < 0.0 ? z : 1.0) / (1.0 + z);
}
INLINE double f64_softplus(double x) { return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x))) + (x != x ? x : 0.0); }
INLINE double f64_clip(double x, double low, double high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}
INLINE double f64_hard_sigmoid(double x, double alpha, double beta) { return f64_clip(alpha * x + beta, 0.0, 1.0); }

#define F64_MAP(X)                                                                                        \
    X(ADD, a + b) X(SUB, a - b) X(MUL, a * b) X(DIV, a / b) X(POW, pow(a, b)) X(MOD, f64_mod(a, b))            \
    X(FMOD, fmod(a, b)) X(MIN, a < b || a != a ? a : b) X(MAX, a > b || a != a ? a : b)                       \
    X(PRELU, a < 0.0 ? a * b : a) X(COPY, a) X(NEG, -a) X(ABS, fabs(a))                                       \
    X(SIGN, a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a == a ? 0.0 : a) X(RECIPROCAL, 1.0 / a) X(SQRT, sqrt(a))         \
    X(FLOOR, floor(a)) X(CEIL, ceil(a)) X(ROUND, nearbyint(a)) X(EXP, exp(a)) X(LOG, log(a)) X(ERF, erf(a))    \
    X(SIGMOID, f64_sigmoid(a)) X(TANH, tanh(a)) X(SIN, sin(a)) X(COS, cos(a)) X(TAN, tan(a)) X(ASIN, asin(a))  \
    X(ACOS, acos(a)) X(ATAN, atan(a)) X(SINH, sinh(a)) X(COSH, cosh(a)) X(ASINH, asinh(a)) X(ACOSH, acosh(a))  \
    X(ATANH, atanh(a)) X(RELU, a < 0.0 ? 0.0 : a) X(LEAKY_RELU, a < 0.0 ? a * s->alpha : a)                    \
    X(ELU, f64_elu(a, s->alpha)) X(SELU, s->beta * f64_elu(a, s->alpha))                                      \
    X(CELU, a < 0.0 ? s->alpha * expm1(a / s->alpha) : a) X(THRESHOLDED_RELU, a > s->alpha ? a : 0.0)          \
    X(HARD_SIGMOID, f64_hard_sigmoid(a, s->alpha, s->beta))                                                   \
    X(HARD_SWISH, a * f64_hard_sigmoid(a, 1.0 / 6.0, 0.5)) X(SOFTPLUS, f64_softplus(a))                       \
    X(SOFTSIGN, a / (1.0 + fabs(a))) X(MISH, a * tanh(f64_softplus(a)))                                       \
    X(GELU, 0.5 * a * erfc(-a * 0.70710678118654752))                                                         \
    X(GELU_TANH, a * f64_sigmoid(1.5957691216057308 * a * (1.0 + 0.044715 * (a * a))))                        \
    X(SWISH, a * f64_sigmoid(a * s->alpha))                                                                   \
    X(SHRINK, a < -s->alpha ? a + s->beta : a > s->alpha ? a - s->beta : 0.0)                                 \
    X(CLIP, f64_clip(a, s->low, s->high))
#define F64_TO_I32_MAP(X)                                                                                 \
    X(EQUAL, a == b) X(LESS, a < b) X(LESS_EQUAL, a <= b) X(GREATER, a > b) X(GREATER_EQUAL, a >= b)          \
    X(ISNAN, a != a) X(ISINF, (a == INFINITY && s->beta != 0.0f) || (a == -INFINITY && s->alpha != 0.0f))

/* Integers wrap; division by zero gives 0 and the smallest by -1 itself, where the instruction would trap. T, U: the
 * signed and unsigned type. MOD has the divisor's sign, FMOD the dividend's. */
#define INT_MAP(X)                                                                                        \
    X(ADD, (T)((U)a + (U)b)) X(SUB, (T)((U)a - (U)b)) X(MUL, (T)((U)a * (U)b))                                \
    X(DIV, b == 0 ? 0 : b == -1 ? (T)(0 - (U)a) : a / b) X(FMOD, b == 0 || b == -1 ? 0 : a % b)               \
    X(MOD, b == 0 || b == -1 ? 0 : a % b != 0 && (a % b < 0) != (b < 0) ? a % b + b : a % b)                  \
    X(POW, INT_OF_DOUBLE(pow((double)a, (double)b))) X(MIN, a < b ? a : b) X(MAX, a > b ? a : b)              \
    X(PRELU, a < 0 ? (T)((U)a * (U)b) : a) X(BIT_AND, a & b) X(BIT_OR, a | b) X(BIT_XOR, a ^ b)               \
    X(AND, (a != 0) & (b != 0)) X(OR, (a != 0) | (b != 0)) X(XOR, (a != 0) ^ (b != 0)) X(NOT, a == 0)          \
    X(COPY, a) X(BIT_NOT, ~a) X(NEG, (T)(0 - (U)a)) X(ABS, a < 0 ? (T)(0 - (U)a) : a) X(SIGN, (a > 0) - (a < 0)) \
    X(RELU, a < 0 ? 0 : a)
#define INT_TO_I32_MAP(X)                                                                                 \
    X(EQUAL, a == b) X(LESS, a < b) X(LESS_EQUAL, a <= b) X(GREATER, a > b) X(GREATER_EQUAL, a >= b)

/* The loops; R is the result's type, T and U as above. */
#define SCALAR_DEFINE(prefix, name, R, value)                                                             \
    static void map_##prefix##_##name(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    {                                                                                                     \
        const T *pa = in[0], *pb = in[1];                                                                 \
        R *to = out;                                                                                      \
        (void)s;                                                                                          \
        for (size_t i = 0; i < n; i++) {                                                                  \
            const T a = pa[i * inc[0]], b = pb[i * inc[1]];                                               \
            (void)b;                                                                                      \
            to[i] = (R)(value);                                                                           \
        }                                                                                                 \
    }
/* The condition is I32 whatever the type. */
#define WHERE_DEFINE(prefix)                                                                              \
    static void map_##prefix##_WHERE(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    {                                                                                                     \
        const int32_t *condition = in[0];                                                                 \
        const T *pb = in[1], *pc = in[2];                                                                 \
        T *to = out;                                                                                      \
        (void)s;                                                                                          \
        for (size_t i = 0; i < n; i++)                                                                    \
            to[i] = condition[i * inc[0]] != 0 ? pb[i * inc[1]] : pc[i * inc[2]];                         \
    }
#define CLIP_DEFINE(prefix)                                                                               \
    static void map_##prefix##_CLIP(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    {                                                                                                     \
        const T *pa = in[0], low = INT_OF_DOUBLE(s->low), high = INT_BOUND_OF_DOUBLE(s->high);            \
        T *to = out;                                                                                      \
        for (size_t i = 0; i < n; i++) {                                                                  \
            const T a = pa[i * inc[0]], raised = a < low ? low : a;                                       \
            to[i] = raised > high ? high : raised;                                                        \
        }                                                                                                 \
    }

#define T double
#define F64_DEFINE(name, value) SCALAR_DEFINE(f64, name, double, value)
#define F64_TO_I32_DEFINE(name, value) SCALAR_DEFINE(f64, name, int32_t, value)
F64_MAP(F64_DEFINE)
F64_TO_I32_MAP(F64_TO_I32_DEFINE)
WHERE_DEFINE(f64)
#undef F64_DEFINE
#undef F64_TO_I32_DEFINE
#undef T

#define T int32_t
#define U uint32_t
#define INT_OF_DOUBLE(x) f64_to_i32(x)
#define INT_BOUND_OF_DOUBLE(x) ((x) >= 0x1p31 ? INT32_MAX : f64_to_i32(x))
#define I32_DEFINE(name, value) SCALAR_DEFINE(i32, name, int32_t, value)
INT_MAP(I32_DEFINE)
INT_TO_I32_MAP(I32_DEFINE)
WHERE_DEFINE(i32)
CLIP_DEFINE(i32)
#undef I32_DEFINE
#undef INT_OF_DOUBLE
#undef INT_BOUND_OF_DOUBLE
#undef U
#undef T

#define T int64_t
#define U uint64_t
#define INT_OF_DOUBLE(x) f64_to_i64(x)
#define INT_BOUND_OF_DOUBLE(x) ((x) >= 0x1p63 ? INT64_MAX : f64_to_i64(x))
#define I64_DEFINE(name, value) SCALAR_DEFINE(i64, name, int64_t, value)
#define I64_TO_I32_DEFINE(name, value) SCALAR_DEFINE(i64, name, int32_t, value)
INT_MAP(I64_DEFINE)
INT_TO_I32_MAP(I64_TO_I32_DEFINE)
WHERE_DEFINE(i64)
CLIP_DEFINE(i64)
#undef I64_DEFINE
#undef I64_TO_I32_DEFINE
#undef INT_OF_DOUBLE
#undef INT_BOUND_OF_DOUBLE
#undef U
#undef T
#undef SCALAR_DEFINE
#undef WHERE_DEFINE
#undef CLIP_DEFINE

/* [type of the operands][op]; NULL: no such operation (lowering asks stoai_native_has). */
static const map_kernel map_kernels[4][NATIVE_OP_COUNT] = {
#define F32_ENTRY(name, value) [NATIVE_F32][NATIVE_##name] = map_f32_##name,
#define F64_ENTRY(name, value) [NATIVE_F64][NATIVE_##name] = map_f64_##name,
#define I32_ENTRY(name, value) [NATIVE_I32][NATIVE_##name] = map_i32_##name,
#define I64_ENTRY(name, value) [NATIVE_I64][NATIVE_##name] = map_i64_##name,
    F32_MAP(F32_ENTRY)
    F64_MAP(F64_ENTRY) F64_TO_I32_MAP(F64_ENTRY) F64_ENTRY(WHERE, 0)
    INT_MAP(I32_ENTRY) INT_TO_I32_MAP(I32_ENTRY) I32_ENTRY(WHERE, 0) I32_ENTRY(CLIP, 0)
    INT_MAP(I64_ENTRY) INT_TO_I32_MAP(I64_ENTRY) I64_ENTRY(WHERE, 0) I64_ENTRY(CLIP, 0)
#undef F32_ENTRY
#undef F64_ENTRY
#undef I32_ENTRY
#undef I64_ENTRY
};

static const uint8_t map_operands[NATIVE_OP_COUNT] = {
#define MAP_OPERANDS(name, operands) [NATIVE_##name] = (operands),
    NATIVE_OP_MAP(MAP_OPERANDS)
#undef MAP_OPERANDS
};

/* ------------------------------------------------------------------------------------------------ the executor */

#define CHUNK 64u

/* Batch: a column at a time, constants as one vector. */
static void map_columns(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    const uint32_t out_refs = type_bytes(s->out_type) / 4;
    const size_t n = t->vectors * LANES;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t constant[3][VECTOR_BYTES / 4] = {{0}};
        const void *in[3];
        size_t inc[3] = {0, 0, 0};
        for (uint32_t p = 0; p < 3; p++) {
            const native_operand *o = &s->in[p];
            in[p] = constant[p];
            if (p >= operands)
                continue;
            if (o->constants == NULL) {
                in[p] = tile_column(t, operand_ref(o, i));
                inc[p] = 1;
            } else if (type_bytes(o->type) == 8) {
                memcpy(constant[p], (const uint64_t *)o->constants + i, 8);
            } else {
                for (size_t lane = 0; lane < LANES; lane++)
                    constant[p][lane] = ((const uint32_t *)o->constants)[i];
            }
        }
        kernel(tile_column(t, s->out + i * out_refs), in, inc, n, s);
    }
}

/* A row alone: elements are gathered so that the same loops run over them. */
static void map_elements(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    const uint32_t out_refs = type_bytes(s->out_type) / 4;
    for (uint32_t start = 0; start < s->count; start += CHUNK) {
        const uint32_t n = s->count - start < CHUNK ? s->count - start : CHUNK;
        uint64_t gathered[3][CHUNK + VECTOR_BYTES / 8];
        const void *in[3] = {gathered[0], gathered[0], gathered[0]};
        size_t inc[3] = {0, 0, 0};
        for (uint32_t p = 0; p < operands; p++) {
            const native_operand *o = &s->in[p];
            const size_t bytes = type_bytes(o->type);
            memset((char *)gathered[p] + n * bytes, 0, VECTOR_BYTES);
            inc[p] = 1;
            in[p] = gathered[p];
            if (o->constants != NULL)
                memcpy(gathered[p], (const char *)o->constants + start * bytes, n * bytes);
            else if (o->refs == NULL)
                in[p] = tile_column(t, operand_ref(o, start));
            else
                for (uint32_t i = 0; i < n; i++)
                    memcpy((char *)gathered[p] + i * bytes, tile_column(t, o->refs[start + i]), bytes);
        }
        kernel(tile_column(t, s->out + start * out_refs), in, inc, n, s);
    }
}

static void map_run(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    bool flat = true;
    for (uint32_t p = 0; p < operands; p++)
        flat = flat && s->in[p].refs == NULL && s->in[p].constants == NULL;
    if (flat) {
        const void *in[3];
        size_t inc[3];
        for (uint32_t p = 0; p < 3; p++) {
            in[p] = tile_column(t, s->in[p < operands ? p : 0].first);
            inc[p] = p < operands;
        }
        kernel(tile_column(t, s->out), in, inc, s->count * t->pitch, s);
    } else if (tile_is_row(t)) {
        map_elements(t, s, kernel, operands);
    } else {
        map_columns(t, s, kernel, operands);
    }
}

static void step_map(const tile *t, const native_step *s)
{
    map_run(t, s, map_kernels[s->type][s->op], map_operands[s->op]);
}

#endif
