/* SPDX-License-Identifier: Apache-2.0 */
/* Steps over groups of columns: reductions, Softmax, LayerNormalization. F32 works on vectors of rows; a row alone passes
 * through the same code with one lane in use (`one`), so its bits are the same. */
#ifndef STOA_NATIVE_ROWS_H
#define STOA_NATIVE_ROWS_H

#include <math.h>

#include "runtime/native/map_ops.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

INLINE vf lane_load(const float *from, bool one) { return one ? v_splat(*from) : v_load(from); }
INLINE void lane_store(float *to, vf value, bool one)
{
    if (one) *to = v_first(value);
    else v_store(to, value);
}
/* Column i of an operand, and element k of group g, at vector v of the rows. */
INLINE const float *column_at(const tile *t, const native_operand *in, uint32_t i, size_t v)
{ return tile_column(t, operand_ref(in, i)) + v * LANES; }
INLINE const float *group_at(const tile *t, const native_step *s, uint32_t g, uint32_t k, size_t v)
{ return column_at(t, &s->in[0], g * s->length + k, v); }

STEP_PART vf reduce_extreme(const tile *t, const native_step *s, uint32_t g, size_t v, bool least)
{
    const bool one = tile_is_row(t);
    vf best = lane_load(group_at(t, s, g, 0, v), one);
    for (uint32_t k = 1; k < s->length; k++) {
        const vf x = lane_load(group_at(t, s, g, k, v), one);
        best = v_select(least ? x < best : x > best, x, best);
    }
    return best;
}

STEP_PART vf reduce_log_sum_exp(const tile *t, const native_step *s, uint32_t g, size_t v)
{
    const bool one = tile_is_row(t);
    vf most = reduce_extreme(t, s, g, v, false), sum = v_splat(0.0f);
    most = v_select(v_abs(most) < v_splat(INFINITY), most, v_splat(0.0f));
    for (uint32_t k = 0; k < s->length; k++) sum += v_exp(lane_load(group_at(t, s, g, k, v), one) - most);
    return v_log(sum) + most;
}

/* What is summed: an operand's columns [first, first + length); their values, sizes or squares. */
typedef enum sum_kind { SUM_VALUES, SUM_SIZES, SUM_SQUARES } sum_kind;
typedef struct sum_terms {
    const native_operand *in;
    uint32_t first, length;
} sum_terms;

INLINE vf sum_term(const tile *t, const sum_terms *terms, uint32_t k, size_t v, const sum_kind kind, const bool one)
{
    const vf x = lane_load(column_at(t, terms->in, terms->first + k, v), one);
    return kind == SUM_SQUARES ? v_rounded(x * x) : kind == SUM_SIZES ? v_abs(x) : x;
}

/* Four sums of pairs, which round off less than one sum and do not wait for each other. `kind` and `one` are constants where this is
 * expanded. */
INLINE vf sum_expand(const tile *t, const sum_terms *terms, size_t v, const sum_kind kind, const bool one)
{
#define TERM(k) sum_term(t, terms, k, v, kind, one)
    vf a = v_splat(0.0f), b = a, c = a, d = a;
    uint32_t k = 0;
    for (; k + 8 <= terms->length; k += 8) {
        a += TERM(k) + TERM(k + 1);
        b += TERM(k + 2) + TERM(k + 3);
        c += TERM(k + 4) + TERM(k + 5);
        d += TERM(k + 6) + TERM(k + 7);
    }
    for (; k < terms->length; k++) a += TERM(k);
#undef TERM
    return (a + b) + (c + d);
}

#define SUM_DEFINE(name, kind) \
    STEP_PART vf name(const tile *t, const sum_terms *terms, size_t v) \
    { return tile_is_row(t) ? sum_expand(t, terms, v, kind, true) : sum_expand(t, terms, v, kind, false); }
SUM_DEFINE(sum_values, SUM_VALUES)
SUM_DEFINE(sum_sizes, SUM_SIZES)
SUM_DEFINE(sum_squares, SUM_SQUARES)
#undef SUM_DEFINE

STEP_PART vf reduce_product(const tile *t, const native_step *s, uint32_t g, size_t v)
{
    const bool one = tile_is_row(t);
    vf product = v_splat(1.0f);
    for (uint32_t k = 0; k < s->length; k++) product *= lane_load(group_at(t, s, g, k, v), one);
    return product;
}

STEP_PART vf reduce_f32(const tile *t, const native_step *s, uint32_t g, size_t v)
{
    const sum_terms terms = {&s->in[0], g * s->length, s->length};
    switch (s->reduce) {
    case NATIVE_REDUCE_PROD: return reduce_product(t, s, g, v);
    case NATIVE_REDUCE_MIN: return reduce_extreme(t, s, g, v, true);
    case NATIVE_REDUCE_MAX: return reduce_extreme(t, s, g, v, false);
    case NATIVE_REDUCE_LOG_SUM_EXP: return reduce_log_sum_exp(t, s, g, v);
    case NATIVE_REDUCE_MEAN: return sum_values(t, &terms, v) / (float)s->length;
    case NATIVE_REDUCE_L1: return sum_sizes(t, &terms, v);
    case NATIVE_REDUCE_L2: return v_sqrt(sum_squares(t, &terms, v));
    case NATIVE_REDUCE_SUM_SQUARE: return sum_squares(t, &terms, v);
    case NATIVE_REDUCE_LOG_SUM: return v_log(sum_values(t, &terms, v));
    default: return sum_values(t, &terms, v);
    }
}

/* The other types: a lane after the other. T: type, U: type of wrapping arithmetic, FINISH: T from a double. */
#define REDUCE_SCALAR_DEFINE(suffix, T, U, FINISH) \
    STEP_PART T reduce_##suffix(const tile *t, const native_step *s, uint32_t g, size_t lane) \
    { \
        U sum = 0, product = 1; \
        T most = 0, least = 0; \
        for (uint32_t k = 0; k < s->length; k++) { \
            const T x = ((const T *)(const void *)tile_column(t, operand_ref(&s->in[0], g * s->length + k)))[lane]; \
            const bool squares = s->reduce == NATIVE_REDUCE_L2 || s->reduce == NATIVE_REDUCE_SUM_SQUARE; \
            sum += squares ? (U)x * (U)x : s->reduce == NATIVE_REDUCE_L1 && x < 0 ? 0 - (U)x : (U)x; \
            product *= (U)x; \
            most = k == 0 || x > most ? x : most; \
            least = k == 0 || x < least ? x : least; \
        } \
        switch (s->reduce) { \
        case NATIVE_REDUCE_PROD: return (T)product; \
        case NATIVE_REDUCE_MIN: return least; \
        case NATIVE_REDUCE_MAX: return most; \
        case NATIVE_REDUCE_MEAN: return s->length == 0 ? 0 : (T)((T)sum / (T)s->length); \
        case NATIVE_REDUCE_L2: return FINISH(sqrt((double)(T)sum)); \
        case NATIVE_REDUCE_LOG_SUM: return FINISH(log((double)(T)sum)); \
        case NATIVE_REDUCE_LOG_SUM_EXP: return FINISH(log_sum_exp_##suffix(t, s, g, lane, (double)most)); \
        default: return (T)sum; \
        } \
    }
#define LOG_SUM_EXP_DEFINE(suffix, T) \
    STEP_PART double log_sum_exp_##suffix(const tile *t, const native_step *s, uint32_t g, size_t lane, double most) \
    { \
        double sum = 0.0; \
        most = fabs(most) < INFINITY ? most : 0.0; \
        for (uint32_t k = 0; k < s->length; k++) { \
            const T *x = (const T *)(const void *)tile_column(t, operand_ref(&s->in[0], g * s->length + k)); \
            sum += exp((double)x[lane] - most); \
        } \
        return log(sum) + most; \
    }
LOG_SUM_EXP_DEFINE(f64, double)
LOG_SUM_EXP_DEFINE(i32, int32_t)
LOG_SUM_EXP_DEFINE(i64, int64_t)
REDUCE_SCALAR_DEFINE(f64, double, double, )
REDUCE_SCALAR_DEFINE(i32, int32_t, uint32_t, f64_to_i32)
REDUCE_SCALAR_DEFINE(i64, int64_t, uint64_t, f64_to_i64)
#undef REDUCE_SCALAR_DEFINE
#undef LOG_SUM_EXP_DEFINE

/* Position of the extreme: NaN never beats another value, and is never beaten when it stands first. */
#define ARG_DEFINE(suffix, T) \
    STEP_PART int64_t arg_##suffix(const tile *t, const native_step *s, uint32_t g, size_t lane) \
    { \
        const bool least = s->reduce == NATIVE_REDUCE_ARG_MIN; \
        T best = 0; \
        int64_t at = 0; \
        for (uint32_t k = 0; k < s->length; k++) { \
            const T x = ((const T *)(const void *)tile_column(t, operand_ref(&s->in[0], g * s->length + k)))[lane]; \
            if (k == 0 || (least ? x < best : x > best) || (s->last != 0 && x == best)) { \
                best = x; \
                at = k; \
            } \
        } \
        return at; \
    }
ARG_DEFINE(f32, float)
ARG_DEFINE(f64, double)
ARG_DEFINE(i32, int32_t)
ARG_DEFINE(i64, int64_t)
#undef ARG_DEFINE

STEP_PART void reduce_scalar(const tile *t, const native_step *s, uint32_t g, size_t lane, bool arg)
{
    const uint32_t refs = arg ? 2 : type_bytes(s->type) / 4;
    void *out = tile_column(t, s->out + g * refs);
    if (arg)
        ((int64_t *)out)[lane] = s->type == NATIVE_F32   ? arg_f32(t, s, g, lane)
                                 : s->type == NATIVE_F64 ? arg_f64(t, s, g, lane)
                                 : s->type == NATIVE_I32 ? arg_i32(t, s, g, lane)
                                                         : arg_i64(t, s, g, lane);
    else if (s->type == NATIVE_F64) ((double *)out)[lane] = reduce_f64(t, s, g, lane);
    else if (s->type == NATIVE_I32) ((int32_t *)out)[lane] = reduce_i32(t, s, g, lane);
    else ((int64_t *)out)[lane] = reduce_i64(t, s, g, lane);
}

/* x - max, its exponentials and their sum; then the quotient, or the difference to the sum's logarithm. The sum begins with 1, which no
 * term exceeds, so that what an addition rounds off takes two subtractions to know. */
STEP_PART void softmax_group(const tile *t, const native_step *s, uint32_t g, size_t v)
{
    const bool one = tile_is_row(t);
    const size_t pitch = t->pitch;
    float *out = tile_column(t, s->out + g * s->length) + v * LANES;
    const vf most = reduce_extreme(t, s, g, v, false);
    vf terms = v_splat(1.0f), lost = v_splat(0.0f);
    for (uint32_t k = 0; k < s->length; k++) {
        const vf x = lane_load(group_at(t, s, g, k, v), one) - most, e = v_rounded(v_exp(x)), before = terms;
        terms += e;
        lost += e - (terms - before);
        lane_store(out + k * pitch, s->log ? x : e, one);
    }
    const vf sum = (terms - 1.0f) + lost, log_sum = s->log ? v_log(sum) : sum;
    for (uint32_t k = 0; k < s->length; k++) {
        const vf x = lane_load(out + k * pitch, one);
        lane_store(out + k * pitch, s->log ? x - log_sum : x / sum, one);
    }
}

/* The mean; the distances to it and their squares; the quotients. What the mean rounds off is the mean of the distances: without it values
 * that differ by less than that would lie as far from their mean as epsilon lets them. */
INLINE void norm_expand(const tile *t, const native_step *s, uint32_t g, size_t v, const bool one)
{
    const float *scale = (const float *)s->in[1].constants, *bias = (const float *)s->in[2].constants;
    const float n = (float)s->length;
    const native_operand kept = {.first = s->out, .type = NATIVE_F32};
    const sum_terms values = {&s->in[0], g * s->length, s->length}, distances = {&kept, g * s->length, s->length};
    float *out = tile_column(t, s->out + g * s->length) + v * LANES;
    const vf mean = sum_expand(t, &values, v, SUM_VALUES, one) / n;
    for (uint32_t k = 0; k < s->length; k++) lane_store(out + k * t->pitch, lane_load(group_at(t, s, g, k, v), one) - mean, one);
    const vf rest = sum_expand(t, &distances, v, SUM_VALUES, one) / n;
    const vf spread = sum_expand(t, &distances, v, SUM_SQUARES, one) / n;
    const vf variance = v_select(spread < v_splat(INFINITY), spread - v_rounded(rest * rest), spread);
    const vf deviation = v_sqrt(v_at_least(v_splat(0.0f), variance) + s->alpha);
    for (uint32_t k = 0; k < s->length; k++) {
        vf x = (lane_load(out + k * t->pitch, one) - rest) / deviation;
        if (scale != NULL) x = v_rounded(x * scale[k]);
        if (bias != NULL) x = x + bias[k];
        lane_store(out + k * t->pitch, x, one);
    }
}

STEP_PART void norm_group(const tile *t, const native_step *s, uint32_t g, size_t v)
{
    if (tile_is_row(t)) norm_expand(t, s, g, v, true);
    else norm_expand(t, s, g, v, false);
}

#endif
