/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of a native_program mean, one row at a time in double: an independent reference for lowering and kernels.
 * Places are those of the program, so columns that wrongly share one give wrong results here too. */
#ifndef TESTS_SCALAR_PROGRAM_H
#define TESTS_SCALAR_PROGRAM_H

#include <math.h>
#include <stdlib.h>

#include "runtime/native/program.h"

typedef struct scalar {
    double real;
    int64_t integer;
} scalar;

static inline bool scalar_is_real(native_type type) { return type == NATIVE_F32 || type == NATIVE_F64; }
static inline uint32_t scalar_refs(native_type type) { return type == NATIVE_F64 || type == NATIVE_I64 ? 2 : 1; }

static inline scalar scalar_constant(const void *data, native_type type, uint32_t i)
{
    switch (type) {
    case NATIVE_F32: return (scalar){.real = (double)((const float *)data)[i]};
    case NATIVE_F64: return (scalar){.real = ((const double *)data)[i]};
    case NATIVE_I32: return (scalar){.integer = ((const int32_t *)data)[i]};
    case NATIVE_I64: break;
    }
    return (scalar){.integer = ((const int64_t *)data)[i]};
}

static inline scalar scalar_operand(const scalar *places, const native_operand *o, uint32_t i)
{
    if (o->constants) return scalar_constant(o->constants, o->type, i);
    return places[o->refs ? o->refs[i] : o->first + i * scalar_refs(o->type)];
}

static inline double scalar_unary(native_op op, double a, const native_step *s)
{
    const double p = (double)s->alpha, q = (double)s->beta, low = s->type == NATIVE_F32 ? p : s->low,
                 high = s->type == NATIVE_F32 ? q : s->high;
    const double logistic = 1.0 / (1.0 + exp(-a)), plus = a > 30.0 ? a : log1p(exp(a));
    switch ((int)op) {
    case NATIVE_COPY: return a;
    case NATIVE_NEG: return -a;
    case NATIVE_ABS: return fabs(a);
    case NATIVE_SIGN: return (a > 0.0) - (a < 0.0);
    case NATIVE_RECIPROCAL: return 1.0 / a;
    case NATIVE_SQRT: return sqrt(a);
    case NATIVE_FLOOR: return floor(a);
    case NATIVE_CEIL: return ceil(a);
    case NATIVE_ROUND: return rint(a);
    case NATIVE_EXP: return exp(a);
    case NATIVE_LOG: return log(a);
    case NATIVE_ERF: return erf(a);
    case NATIVE_SIGMOID: return logistic;
    case NATIVE_TANH: return tanh(a);
    case NATIVE_SIN: return sin(a);
    case NATIVE_COS: return cos(a);
    case NATIVE_TAN: return tan(a);
    case NATIVE_ASIN: return asin(a);
    case NATIVE_ACOS: return acos(a);
    case NATIVE_ATAN: return atan(a);
    case NATIVE_SINH: return sinh(a);
    case NATIVE_COSH: return cosh(a);
    case NATIVE_ASINH: return asinh(a);
    case NATIVE_ACOSH: return acosh(a);
    case NATIVE_ATANH: return atanh(a);
    case NATIVE_RELU: return a > 0.0 ? a : 0.0;
    case NATIVE_LEAKY_RELU: return a >= 0.0 ? a : p * a;
    case NATIVE_ELU: return a >= 0.0 ? a : p * (exp(a) - 1.0);
    case NATIVE_SELU: return q * (a >= 0.0 ? a : p * (exp(a) - 1.0));
    case NATIVE_CELU: return a >= 0.0 ? a : p * (exp(a / p) - 1.0);
    case NATIVE_THRESHOLDED_RELU: return a > p ? a : 0.0;
    case NATIVE_HARD_SIGMOID: return fmin(fmax(p * a + q, 0.0), 1.0);
    case NATIVE_HARD_SWISH: return a * fmin(fmax(a / 6.0 + 0.5, 0.0), 1.0);
    case NATIVE_SOFTPLUS: return plus;
    case NATIVE_SOFTSIGN: return a / (1.0 + fabs(a));
    case NATIVE_MISH: return a * tanh(plus);
    case NATIVE_GELU: return 0.5 * a * (1.0 + erf(a / sqrt(2.0)));
    case NATIVE_GELU_TANH: return 0.5 * a * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (a + 0.044715 * a * a * a)));
    case NATIVE_SWISH: return a / (1.0 + exp(-p * a));
    case NATIVE_SHRINK: return a < -p ? a + q : a > p ? a - q : 0.0;
    case NATIVE_CLIP: return fmin(fmax(a, low), high);
    default: abort();
    }
}

static inline scalar scalar_map_real(const native_step *s, double a, double b)
{
    switch ((int)s->op) {
    case NATIVE_ADD: return (scalar){.real = a + b};
    case NATIVE_SUB: return (scalar){.real = a - b};
    case NATIVE_MUL: return (scalar){.real = a * b};
    case NATIVE_DIV: return (scalar){.real = a / b};
    case NATIVE_POW: return (scalar){.real = pow(a, b)};
    case NATIVE_MOD: return (scalar){.real = a - b * floor(a / b)};
    case NATIVE_FMOD: return (scalar){.real = fmod(a, b)};
    case NATIVE_MIN: return (scalar){.real = fmin(a, b)};
    case NATIVE_MAX: return (scalar){.real = fmax(a, b)};
    case NATIVE_PRELU: return (scalar){.real = a >= 0.0 ? a : a * b};
    case NATIVE_EQUAL: return (scalar){.integer = a == b};
    case NATIVE_LESS: return (scalar){.integer = a < b};
    case NATIVE_LESS_EQUAL: return (scalar){.integer = a <= b};
    case NATIVE_GREATER: return (scalar){.integer = a > b};
    case NATIVE_GREATER_EQUAL: return (scalar){.integer = a >= b};
    case NATIVE_ISNAN: return (scalar){.integer = isnan(a)};
    case NATIVE_ISINF: return (scalar){.integer = isinf(a) && (a > 0.0 ? s->beta != 0.0f : s->alpha != 0.0f)};
    default: return (scalar){.real = scalar_unary(s->op, a, s)};
    }
}

static inline scalar scalar_map_integer(native_op op, int64_t a, int64_t b)
{
    switch ((int)op) {
    case NATIVE_ADD: return (scalar){.integer = a + b};
    case NATIVE_SUB: return (scalar){.integer = a - b};
    case NATIVE_MUL: return (scalar){.integer = a * b};
    case NATIVE_DIV: return (scalar){.integer = b ? a / b : 0};
    case NATIVE_MOD: return (scalar){.integer = b ? (a % b + b) % b : 0};
    case NATIVE_MIN: return (scalar){.integer = a < b ? a : b};
    case NATIVE_MAX: return (scalar){.integer = a > b ? a : b};
    case NATIVE_EQUAL: return (scalar){.integer = a == b};
    case NATIVE_LESS: return (scalar){.integer = a < b};
    case NATIVE_GREATER: return (scalar){.integer = a > b};
    case NATIVE_AND: return (scalar){.integer = a && b};
    case NATIVE_OR: return (scalar){.integer = a || b};
    case NATIVE_XOR: return (scalar){.integer = !a != !b};
    case NATIVE_NOT: return (scalar){.integer = !a};
    case NATIVE_COPY: return (scalar){.integer = a};
    case NATIVE_NEG: return (scalar){.integer = -a};
    default: abort();
    }
}

static inline void scalar_step_map(scalar *places, const native_step *s)
{
#define SCALAR_OPERANDS(name, operands) operands,
    static const uint8_t operands[] = {NATIVE_OP_MAP(SCALAR_OPERANDS)};
#undef SCALAR_OPERANDS
    for (uint32_t i = 0; i < s->count; i++) {
        scalar in[3] = {{0}}, *out = &places[s->out + i * scalar_refs(s->out_type)];
        for (uint32_t p = 0; p < operands[s->op]; p++) in[p] = scalar_operand(places, &s->in[p], i);
        if (s->op == NATIVE_WHERE) *out = in[0].integer ? in[1] : in[2];
        else
            *out = scalar_is_real(s->type) ? scalar_map_real(s, in[0].real, in[1].real)
                                           : scalar_map_integer(s->op, in[0].integer, in[1].integer);
    }
}

static inline void scalar_step_gemm(scalar *places, const native_step *s)
{
    double sums[4096];
    for (uint32_t o = 0; o < s->count; o++) {
        sums[o] = (double)s->bias[o];
        for (uint32_t k = 0; k < s->length; k++)
            sums[o] += (double)s->weights[stoai_native_weight_at(s->count, s->length, o, k)] * scalar_operand(places, &s->in[0], k).real;
    }
    for (uint32_t o = 0; o < s->count; o++) places[s->out + o].real = scalar_unary(s->op, sums[o], s);
}

static inline void scalar_step_cast(scalar *places, const native_step *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const scalar x = scalar_operand(places, &s->in[0], i);
        const bool real = scalar_is_real(s->type);
        scalar *out = &places[s->out + i * scalar_refs(s->out_type)];
        const double value = real ? x.real : (double)x.integer;
        int64_t n = real ? (int64_t)x.real : x.integer;
        n = s->narrow == STOA_INT8 ? (int8_t)n : s->narrow == STOA_UINT8 ? (uint8_t)n : s->narrow == STOA_INT32 ? (int32_t)n : n;
        *out = (scalar){.real = value, .integer = s->narrow == STOA_BOOL ? value != 0.0 : n};
    }
}

static inline void scalar_step_reduce(scalar *places, const native_step *s)
{
    const bool arg = s->reduce == NATIVE_REDUCE_ARG_MIN || s->reduce == NATIVE_REDUCE_ARG_MAX;
    for (uint32_t g = 0; g < s->count; g++) {
        double sum = 0, squares = 0, absolute = 0, product = 1, least = INFINITY, most = -INFINITY, powers = 0;
        int64_t at_least = 0, at_most = 0;
        for (uint32_t k = 0; k < s->length; k++) {
            const scalar v = scalar_operand(places, &s->in[0], g * s->length + k);
            const double x = scalar_is_real(s->type) ? v.real : (double)v.integer;
            sum += x, squares += x * x, absolute += fabs(x), product *= x, powers += exp(x);
            if (x < least || (x == least && s->last)) least = x, at_least = k;
            if (x > most || (x == most && s->last)) most = x, at_most = k;
        }
        const double results[] = {sum, sum / s->length, product, least, most, absolute, sqrt(squares), squares, log(sum), log(powers)};
        const double real = arg ? 0.0 : results[s->reduce];
        const int64_t integer = s->reduce == NATIVE_REDUCE_ARG_MIN ? at_least : arg ? at_most : (int64_t)real;
        places[s->out + g * (arg ? 2 : scalar_refs(s->type))] = (scalar){real, integer};
    }
}

static inline void scalar_step_group(scalar *places, const native_step *s)
{
    double x[4096];
    for (uint32_t g = 0; g < s->count; g++) {
        double most = -INFINITY, sum = 0, squares = 0, powers = 0;
        for (uint32_t k = 0; k < s->length; k++) {
            x[k] = scalar_operand(places, &s->in[0], g * s->length + k).real;
            most = x[k] > most ? x[k] : most, sum += x[k];
        }
        for (uint32_t k = 0; k < s->length; k++) powers += exp(x[k] - most), squares += (x[k] - sum / s->length) * (x[k] - sum / s->length);
        for (uint32_t k = 0; k < s->length; k++) {
            double y = s->log ? x[k] - most - log(powers) : exp(x[k] - most) / powers;
            if (s->kind == NATIVE_STEP_NORM) {
                y = (x[k] - sum / s->length) / sqrt(squares / s->length + (double)s->alpha);
                if (s->in[1].constants) y *= (double)((const float *)s->in[1].constants)[k];
                if (s->in[2].constants) y += (double)((const float *)s->in[2].constants)[k];
            }
            places[s->out + g * s->length + k].real = y;
        }
    }
}

/* One row: inputs and outputs hold the values one after another. */
static inline void scalar_program_run(const native_program *program, const scalar *inputs, scalar *outputs)
{
    scalar *places = calloc(program->ref_count + 1, sizeof *places);
    if (!places) abort();
    for (uint32_t n = 0; n < program->step_count; n++) {
        const native_step *s = &program->steps[n];
        switch (s->kind) {
        case NATIVE_STEP_LOAD:
            for (uint32_t i = 0; i < s->count; i++) places[s->out + i * scalar_refs(s->type)] = inputs[s->first_value + i];
            break;
        case NATIVE_STEP_STORE:
            for (uint32_t i = 0; i < s->count; i++) outputs[s->first_value + i] = scalar_operand(places, &s->in[0], i);
            break;
        case NATIVE_STEP_GEMM: scalar_step_gemm(places, s); break;
        case NATIVE_STEP_MAP: scalar_step_map(places, s); break;
        case NATIVE_STEP_CAST: scalar_step_cast(places, s); break;
        case NATIVE_STEP_REDUCE: scalar_step_reduce(places, s); break;
        case NATIVE_STEP_SOFTMAX:
        case NATIVE_STEP_NORM: scalar_step_group(places, s); break;
        case NATIVE_STEP_GATHER:
        case NATIVE_STEP_SCATTER: abort(); /* they need more than one row: test_row_axes.c */
        }
    }
    free(places);
}

#endif
