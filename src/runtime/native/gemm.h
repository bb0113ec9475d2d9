/* SPDX-License-Identifier: Apache-2.0 */
/* The two matrix kernels: a tile of rows (rows in the lanes, weights broadcast) and a few rows (neurons in the lanes, inputs
 * broadcast). Both start a sum from the bias and add w[k] * x[k] in order of k with the same operations, so both have the
 * same bits. Steps of fewer than NATIVE_CHAIN_BELOW neurons keep NATIVE_CHAINS sums (k modulo that), added by halves at the end: in a
 * row alone, one sum would be one long chain of dependent additions. */
#ifndef STOA_NATIVE_GEMM_H
#define STOA_NATIVE_GEMM_H

#include <math.h>

#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

#define BLOCK_MOST 8u                  /* neurons of a block */
#define CHAINS ((uint32_t)NATIVE_CHAINS) /* sums of a neuron of a small step */

/* Registers of a block of rows: R * N sums, R inputs, one weight. */
#define BIG_BLOCKS (VECTOR_BYTES == 64)
#define WIDEST (BIG_BLOCKS ? 8u : 4u)

/* Where the inputs are: neighbouring columns of the workspace; columns of a list; the caller's columns. Of the last a batch
 * leaves a copy in the workspace on its way through the first neurons, and the others read that: its lines do not compete for
 * a few places of the cache, however far apart the caller's columns are. */
typedef enum gemm_source { FROM_COLUMNS, FROM_REFS, FROM_CALLER, SOURCE_COUNT } gemm_source;

INLINE gemm_source source_of(const tile *t, const native_step *s)
{ return t->streams && s->streamed ? FROM_CALLER : s->in[0].refs != NULL ? FROM_REFS : FROM_COLUMNS; }

/* Address of row 0 of the tile in input k. */
INLINE const float *input_at(const tile *t, const native_step *s, uint32_t k, const gemm_source source)
{
    switch (source) {
    case FROM_REFS: return tile_column(t, s->in[0].refs[k]);
    case FROM_CALLER: return (const float *)tile_values(t, s)[k].data + t->first;
    case FROM_COLUMNS:
    case SOURCE_COUNT: break;
    }
    return tile_column(t, s->in[0].first + k);
}

/* What sums below it become. */
INLINE float floor_of(const native_step *s) { return s->op == NATIVE_RELU ? 0.0f : -INFINITY; }

INLINE const float *weights_at(const native_step *s, uint32_t o) { return s->weights + stoai_native_weight_at(s->count, s->length, o, 0); }

/* --------------------------------------------------------------------------------------------- a tile of rows */

/* A block of rows and the neurons to do for it. */
typedef struct gemm_block {
    float *in;                 /* first row in column 0, or in ref 0 of FROM_REFS */
    const uint32_t *refs;      /* FROM_REFS */
    const stoa_bound *values;  /* FROM_CALLER: first row is `first` */
    size_t first;
    const float *weights;      /* of neuron 0 */
    const float *bias;
    float *out;
    size_t pitch;
    uint32_t length;
    uint32_t neuron, end;      /* the next one to do; all but those that are fewer than a block */
    float floor;               /* what sums below it become */
    fetcher *fetch;
} gemm_block;

/* First row of the block in input k, which a copy is left of in column k. */
INLINE const float *block_input(const gemm_block *b, uint32_t k, const gemm_source source, float *column)
{
    switch (source) {
    case FROM_REFS: return b->in + b->refs[k] * b->pitch;
    case FROM_CALLER: return (const float *)b->values[k].data + b->first;
    case FROM_COLUMNS:
    case SOURCE_COUNT: break;
    }
    return column;
}

/* x, whose multiples the compiler cannot work out outside the loop, where it would keep each of them in a register. */
INLINE size_t here(size_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

/* R vectors of rows, N neurons. R, N and source are constants where this is expanded: all arrays are registers, and the inner
 * loops are straight code. */
INLINE void micro(gemm_block *b, const uint32_t R, const uint32_t N, const gemm_source source)
{
    const uint32_t length = b->length, end = source == FROM_CALLER ? b->neuron + N : b->end;
    const size_t pitch = b->pitch;
    uint32_t o = b->neuron;
    for (; o + N <= end; o += N) {
        const float *w = b->weights + stoai_native_weight_at(NATIVE_GROUP, length, o, 0), *bias = b->bias + o;
        float *column = b->in, *out = b->out + o * pitch;
        const size_t step = here(pitch);
        vf sum[3][BLOCK_MOST];
        fetch_some(b->fetch);
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t r = 0; r < R; r++) sum[r][n] = v_splat(bias[n]);
#pragma GCC unroll 2
        for (uint32_t k = 0; k < length; k++, w += NATIVE_GROUP, column += pitch) {
            const float *x = block_input(b, k, source, column);
            vf value[3];
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++) {
                value[r] = v_load(x + r * LANES);
                if (source == FROM_CALLER) v_store(column + r * LANES, value[r]);
            }
#pragma GCC unroll 8
            for (uint32_t n = 0; n < N; n++)
#pragma GCC unroll 8
                for (uint32_t r = 0; r < R; r++) sum[r][n] += value[r] * w[n];
        }
        const vf floor = v_splat(b->floor); /* not before: no register is free there */
#pragma GCC unroll 8
        for (uint32_t n = 0; n < N; n++, out += step)
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++) v_store(out + r * LANES, v_at_least(floor, sum[r][n]));
    }
    b->neuron = o;
}

/* One neuron of a small step, vectors [at, at + R) of the rows. */
INLINE void chain(const gemm_block *b, uint32_t o, size_t at, const uint32_t R, const gemm_source source)
{
    const uint32_t whole = b->length / CHAINS * CHAINS;
    const size_t pitch = b->pitch, row = at * LANES;
    const float *w = b->weights + (size_t)o * b->length;
    float *column = b->in;
    vf sum[CHAINS][3];
    for (uint32_t c = 0; c < CHAINS; c++)
        for (uint32_t r = 0; r < R; r++) sum[c][r] = c == 0 ? v_splat(b->bias[o]) : (vf){0};
#define CHAIN_ADD(k, c) \
    do { \
        const float *const x_ = block_input(b, (k), source, column) + row; \
        _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) \
        { \
            const vf value_ = v_load(x_ + r * LANES); \
            if (source == FROM_CALLER) v_store(column + row + r * LANES, value_); \
            sum[c][r] += value_ * w[k]; \
        } \
        column += pitch; \
    } while (0)
    for (uint32_t k = 0; k < whole; k += CHAINS)
#pragma GCC unroll 8
        for (uint32_t c = 0; c < CHAINS; c++) CHAIN_ADD(k + c, c);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < CHAINS; c++)
        if (whole + c < b->length) CHAIN_ADD(whole + c, c);
#undef CHAIN_ADD
#pragma GCC unroll 4
    for (uint32_t half = CHAINS / 2; half > 0; half /= 2)
#pragma GCC unroll 4
        for (uint32_t c = 0; c < half; c++)
            for (uint32_t r = 0; r < R; r++) sum[c][r] = sum[c][r] + sum[c + half][r];
    for (uint32_t r = 0; r < R; r++) v_store(b->out + o * pitch + row + r * LANES, v_at_least(v_splat(b->floor), sum[0][r]));
}

/* Where the registers do not hold the sums of several vectors, they are done one by one. */
INLINE void chains(gemm_block *b, const uint32_t R, const gemm_source source)
{
    do {
        fetch_some(b->fetch);
        if (BIG_BLOCKS) chain(b, b->neuron, 0, R, source);
        for (size_t r = 0; !BIG_BLOCKS && r < R; r++) chain(b, b->neuron, r, 1, source);
        b->neuron++;
    } while (source != FROM_CALLER && b->neuron < b->end);
}

/* As many of a block's neurons as come in N; from the caller's columns only the first N. */
typedef void (*micro_kernel)(gemm_block *block);

/* Vectors of rows, neurons: all that are used; zero neurons: chains. One vector of rows needs many neurons to hide the latency of
 * the sums. */
#define MICRO_MAP_ALL(X, source) \
    X(3, 4, source) \
    X(2, 4, source) \
    X(1, 4, source) \
    X(3, 2, source) \
    X(2, 2, source) \
    X(1, 2, source) \
    X(3, 1, source) \
    X(2, 1, source) \
    X(1, 1, source) \
    X(3, 0, source) \
    X(2, 0, source) \
    X(1, 0, source) \
    X(1, 8, source)
#if VECTOR_BYTES == 64
#define MICRO_MAP(X, source) \
    MICRO_MAP_ALL(X, source) X(3, 8, source) \
    X(2, 8, source)
#else
#define MICRO_MAP(X, source) MICRO_MAP_ALL(X, source)
#endif
#define MICRO_DEFINE(R, N, source) \
    static void micro_##R##x##N##_##source(gemm_block *b) \
    { \
        if (N > 0) micro(b, R, N, source); \
        else chains(b, R, source); \
    }
MICRO_MAP(MICRO_DEFINE, FROM_COLUMNS)
MICRO_MAP(MICRO_DEFINE, FROM_REFS)
MICRO_MAP(MICRO_DEFINE, FROM_CALLER)
#undef MICRO_DEFINE

static const micro_kernel micro_kernels[SOURCE_COUNT][4][BLOCK_MOST + 1] = {
#define MICRO_ENTRY(R, N, source) [source][R][N] = micro_##R##x##N##_##source,
    MICRO_MAP(MICRO_ENTRY, FROM_COLUMNS) MICRO_MAP(MICRO_ENTRY, FROM_REFS) MICRO_MAP(MICRO_ENTRY, FROM_CALLER)
#undef MICRO_ENTRY
};
#undef MICRO_MAP
#undef MICRO_MAP_ALL

/* All neurons of the R vectors of rows that begin at lane `row`, in blocks of `widest` and then of ever fewer. */
static void gemm_vectors(const tile *t, const native_step *s, size_t row, uint32_t R, uint32_t widest)
{
    const bool chained = s->count < NATIVE_CHAIN_BELOW;
    gemm_source source = source_of(t, s);
    gemm_block b = {.in = tile_column(t, source == FROM_REFS ? 0 : s->in[0].first) + row,
                    .refs = s->in[0].refs,
                    .first = t->first + row,
                    .pitch = t->pitch,
                    .length = s->length,
                    .floor = floor_of(s),
                    .weights = s->weights,
                    .bias = s->bias,
                    .out = tile_column(t, s->out) + row,
                    .end = s->count,
                    .fetch = t->fetch};
    if (source == FROM_CALLER) b.values = tile_values(t, s);
    for (uint32_t n = widest; b.neuron < s->count;) {
        while (n > s->count - b.neuron) n /= 2;
        micro_kernels[source][R][chained ? 0 : n](&b);
        source = source == FROM_CALLER ? FROM_COLUMNS : source;
    }
}

/* Threes as long as no single vector is left over at the end: 4 is 2 + 2. The inputs of one block of rows stay in L1 while all
 * weights pass by. */
static void gemm_tile(const tile *t, const native_step *s)
{
    const uint32_t widest = t->vectors == 1 ? 8 : WIDEST;
    for (size_t v = 0; v < t->vectors;) {
        const size_t left = t->vectors - v, R = left == 4 ? 2 : left < 3 ? left : 3;
        gemm_vectors(t, s, v * LANES, (uint32_t)R, widest);
        v += R;
    }
}

/* ------------------------------------------------------------------------------------------------- a few rows */

/* A group of neurons is GROUP_PARTS vectors. Sums in registers: R rows, G groups each, as many as the level has room for. */
#define GROUP_PARTS (NATIVE_GROUP / (uint32_t)LANES)
#if VECTOR_BYTES == 64
#define ROW_SUMS 16u
#else
#define ROW_SUMS 8u
#endif
#define ROWS_MOST 8u

/* R and G are constants where this is expanded; `row` is the first. */
INLINE void row_groups(const tile *t, const native_step *s, uint32_t row, uint32_t o, const uint32_t R, const uint32_t G,
                       const gemm_source source)
{
    const size_t group = (size_t)NATIVE_GROUP * s->length, apart = t->apart, next = source == FROM_CALLER ? 1 : apart;
    const uint32_t length = s->length;
    const float *w = weights_at(s, o);
    const vf floor = v_splat(floor_of(s));
    float *out = tile_column(t, s->out + o) + row * apart;
    vf sum[ROWS_MOST][ROW_SUMS];
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
        for (uint32_t r = 0; r < R; r++) sum[r][i] = v_load(s->bias + o + i * LANES);
#pragma GCC unroll 2
    for (uint32_t k = 0; k < length; k++, w += NATIVE_GROUP) {
        const float *x = input_at(t, s, k, source) + row * next;
        float value[ROWS_MOST];
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) value[r] = x[r * next];
#pragma GCC unroll 16
        for (uint32_t i = 0; i < G * GROUP_PARTS; i++) {
            const vf weights = v_load(w + i / GROUP_PARTS * group + i % GROUP_PARTS * LANES);
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++) sum[r][i] += weights * value[r];
        }
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) v_store(out + r * apart + i * LANES, v_at_least(floor, sum[r][i]));
}

/* The sums of a small step are the lanes of one vector, or of two. */
#if VECTOR_BYTES >= 4 * NATIVE_CHAINS
#define CHAIN_LANES ((uint32_t)NATIVE_CHAINS)
typedef float chain_sums __attribute__((vector_size(4 * NATIVE_CHAINS)));
typedef float chain_values __attribute__((vector_size(4 * NATIVE_CHAINS), aligned(4), may_alias));
#else
#define CHAIN_LANES ((uint32_t)NATIVE_CHAINS / 2)
typedef float chain_sums __attribute__((vector_size(2 * NATIVE_CHAINS)));
typedef float chain_values __attribute__((vector_size(2 * NATIVE_CHAINS), aligned(4), may_alias));
#endif
#define CHAIN_PARTS (CHAINS / CHAIN_LANES)
#define CHAIN_OF(sums, c) (sums)[(c) / CHAIN_LANES][(c) % CHAIN_LANES]

/* Neuron o of R rows, which do not wait for each other. R and source are constants where this is expanded. */
INLINE void row_chain(const tile *t, const native_step *s, uint32_t row, uint32_t o, const uint32_t R, const gemm_source source,
                      float *result)
{
    const uint32_t length = s->length, whole = length / CHAINS * CHAINS;
    const size_t apart = t->apart, next = source == FROM_CALLER ? 1 : apart, at = row * next;
    const float *w = weights_at(s, o), *column = input_at(t, s, 0, FROM_COLUMNS) + at;
    chain_sums sum[ROWS_MOST][CHAIN_PARTS];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++)
#pragma GCC unroll 2
        for (uint32_t p = 0; p < CHAIN_PARTS; p++) sum[r][p] = p == 0 ? (chain_sums){s->bias[o]} : (chain_sums){0};
    for (uint32_t k = 0; k < whole; k += CHAINS)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++)
#pragma GCC unroll 2
            for (uint32_t p = 0; p < CHAIN_PARTS; p++) {
                const uint32_t from = k + p * CHAIN_LANES;
                chain_sums x;
                if (source == FROM_COLUMNS) x = *(const chain_values *)(column + r * apart + from);
                else
#pragma GCC unroll 8
                    for (uint32_t c = 0; c < CHAIN_LANES; c++) x[c] = input_at(t, s, from + c, source)[at + r * next];
                sum[r][p] += *(const chain_values *)(w + from) * x;
            }
#pragma GCC unroll 8
    for (uint32_t c = 0; c < CHAINS; c++)
        if (whole + c < length)
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++) CHAIN_OF(sum[r], c) += w[whole + c] * input_at(t, s, whole + c, source)[at + r * next];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++) {
        float half[CHAINS / 2];
#pragma GCC unroll 4
        for (uint32_t c = 0; c < CHAINS / 2; c++) half[c] = CHAIN_OF(sum[r], c) + CHAIN_OF(sum[r], c + CHAINS / 2);
        result[r] = (half[0] + half[2]) + (half[1] + half[3]);
    }
}

/* Stored as whole vectors, which the activation's load then finds in the store buffer. */
INLINE void row_chains(const tile *t, const native_step *s, uint32_t row, const uint32_t R, const gemm_source source)
{
    const vf floor = v_splat(floor_of(s));
    float sum[NATIVE_CHAIN_BELOW][ROWS_MOST] = {{0}};
#pragma GCC unroll 4
    for (uint32_t o = 0; o < NATIVE_CHAIN_BELOW; o++)
        if (o < s->count) row_chain(t, s, row, o, R, source, sum[o]);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++)
        v_store(tile_column(t, s->out) + (row + r) * t->apart, v_at_least(floor, (vf){sum[0][r], sum[1][r], sum[2][r], sum[3][r]}));
}

/* R and source are constants where this is expanded. */
INLINE void gemm_rows(const tile *t, const native_step *s, uint32_t row, const uint32_t R, const gemm_source source)
{
    if (s->count < NATIVE_CHAIN_BELOW) {
        row_chains(t, s, row, R, source);
        return;
    }
    uint32_t o = 0, groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP;
#define ROW_GROUPS(G) \
    if (R * (G) * GROUP_PARTS <= ROW_SUMS) \
        for (; groups >= (G); groups -= (G), o += (G) * NATIVE_GROUP) row_groups(t, s, row, o, R, (G), source);
    ROW_GROUPS(8u)
    ROW_GROUPS(4u)
    ROW_GROUPS(2u)
    ROW_GROUPS(1u)
#undef ROW_GROUPS
}

INLINE void gemm_few_from(const tile *t, const native_step *s, const gemm_source source)
{
    uint32_t row = 0;
#define ROWS_AT_ONCE(R) \
    if ((R) * GROUP_PARTS <= ROW_SUMS) \
        for (; row + (R) <= t->alone; row += (R)) gemm_rows(t, s, row, (R), source);
    ROWS_AT_ONCE(ROWS_MOST)
    ROWS_AT_ONCE(4u)
    ROWS_AT_ONCE(2u)
    ROWS_AT_ONCE(1u)
#undef ROWS_AT_ONCE
}

static void gemm_few(const tile *t, const native_step *s)
{
    switch (source_of(t, s)) {
    case FROM_REFS: gemm_few_from(t, s, FROM_REFS); break;
    case FROM_CALLER: gemm_few_from(t, s, FROM_CALLER); break;
    case FROM_COLUMNS:
    case SOURCE_COUNT: gemm_few_from(t, s, FROM_COLUMNS); break;
    }
}

#endif
