/* SPDX-License-Identifier: Apache-2.0 */
/* The two matrix kernels: a tile of rows (rows in the lanes, weights broadcast) and a few rows (neurons in the lanes, inputs
 * broadcast). Both add w[k] * x[k] in order of k with the same operations to the same number of sums (`sums`), then the bias to the first,
 * so both have the same bits. */
#ifndef STOA_NATIVE_GEMM_H
#define STOA_NATIVE_GEMM_H

#include <math.h>

#include "runtime/native/maps.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

#define BLOCK_MOST 8u                  /* neurons of a block */
#define CHAINS ((uint32_t)NATIVE_CHAINS) /* sums of a neuron of a small step */

/* Vectors of sums that the level has registers for, beside inputs and weights; whether three vectors of rows by eight neurons fit. */
#if VECTOR_BYTES == 64
#define SUMS_MOST 24u
#else
#define SUMS_MOST 8u
#endif
#define BIG_BLOCKS (SUMS_MOST == 24)

/* Whether each block of neurons of each block of rows fetches, or only the latter. A large block has more lines to fetch than a processor
 * takes at once; for a small one the call in its loop costs 2 %. */
#define FETCH_BY_NEURONS BIG_BLOCKS

/* Where the inputs are: neighbouring columns of the workspace; columns of a list; the caller's columns. Of the last a batch
 * leaves a copy in the workspace on its way through the first neurons, and the others read that: its lines do not compete for
 * a few places of the cache, however far apart the caller's columns are. */
typedef enum gemm_source { FROM_COLUMNS, FROM_REFS, FROM_CALLER, SOURCE_COUNT } gemm_source;

INLINE gemm_source source_of(const native_step *s, bool streams)
{ return streams && s->streamed ? FROM_CALLER : s->in[0].refs != NULL ? FROM_REFS : FROM_COLUMNS; }

/* What sums below it become. */
INLINE float floor_of(const native_step *s) { return s->op == NATIVE_RELU ? 0.0f : -INFINITY; }

INLINE const float *weights_at(const native_step *s, uint32_t o) { return s->weights + stoai_native_weight_at(s->count, s->length, o, 0); }

/* ------------------------------------------------------------------------------------------------- activations */

/* RELU is done while the sums are registers, any other here, on columns that L1 still holds. */
INLINE bool activates(const native_step *s) { return s->op != NATIVE_COPY && s->op != NATIVE_RELU; }

/* In place, n values from `out` on. */
static __attribute__((noinline)) void activate(const native_step *s, float *out, size_t n)
{ map_kernels[NATIVE_F32][s->op](out, (const void *const[3]){out, out, out}, (const size_t[3]){1, 0, 0}, n, s); }

/* Rows alone, one vector of values together, from `out` on. */
static void activate_together(const tile *t, const native_step *s, float *out, uint32_t rows)
{
    float together[VECTOR_BYTES / 4] = {0};
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < s->count; i++) together[r * s->count + i] = out[r * t->apart + i];
    activate(s, together, LANES);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < s->count; i++) out[r * t->apart + i] = together[r * s->count + i];
}

static void activate_few(const tile *t, const native_step *s)
{
    const uint32_t most = s->count <= LANES ? (uint32_t)LANES / s->count : 1;
    float *out = tile_column(t, s->out);
    for (uint32_t r = 0, rows; r < t->alone; r += rows, out += rows * t->apart) {
        rows = t->alone - r < most ? t->alone - r : most;
        if (rows == 1) activate(s, out, s->count);
        else activate_together(t, s, out, rows);
    }
}

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

typedef vf micro_sums[CHAINS][3][BLOCK_MOST]; /* [sum][vector of rows][neuron]: registers, where all bounds are constants */

INLINE void micro_add_half(micro_sums sum, const uint32_t R, const uint32_t N, const uint32_t half)
{
#pragma GCC unroll 4
    for (uint32_t c = 0; c < half; c++)
#pragma GCC unroll 8
        for (uint32_t n = 0; n < N; n++)
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++) sum[c][r][n] = sum[c][r][n] + sum[c + half][r][n];
}

/* By halves: 0 and 4, 1 and 5 ..., then 0 and 2, 1 and 3 of those, then these two. Not a loop: compilers see too late how often it runs,
 * and leave the sums in memory. */
INLINE void micro_fold(micro_sums sum, const uint32_t R, const uint32_t N, const uint32_t S)
{
    if (S > 4) micro_add_half(sum, R, N, 4);
    if (S > 2) micro_add_half(sum, R, N, 2);
    if (S > 1) micro_add_half(sum, R, N, 1);
}

INLINE void micro_bias(micro_sums sum, const float *bias, const uint32_t R, const uint32_t N)
{
#pragma GCC unroll 8
    for (uint32_t n = 0; n < N; n++)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) sum[0][r][n] = sum[0][r][n] + bias[n];
}

INLINE void micro_park(micro_sums sum, float *out, size_t step, const uint32_t R, const uint32_t N)
{
#pragma GCC unroll 8
    for (uint32_t n = 0; n < N; n++, out += step)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) v_store(out + r * LANES, sum[0][r][n]);
}

INLINE void micro_finish(micro_sums sum, float *out, size_t step, float least, const bool parked, const uint32_t R, const uint32_t N)
{
    const vf floor = v_splat(least); /* not before: no register is free there */
#pragma GCC unroll 8
    for (uint32_t n = 0; n < N; n++, out += step)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) {
            const vf total = parked ? v_load(out + r * LANES) + sum[0][r][n] : sum[0][r][n];
            v_store(out + r * LANES, v_at_least(floor, total));
        }
}

/* R vectors of rows, N neurons, S sums of each in registers, P times one after the other, the first of them sums 0, P, 2 P ...: what an
 * earlier time has summed waits in the neuron's column, which leaves the registers to more neurons. All but `b` are constants where this
 * is expanded: all arrays are registers, and the inner loops are straight code. */
INLINE void micro(gemm_block *b, const uint32_t R, const uint32_t N, const uint32_t S, const uint32_t P, const gemm_source source)
{
    const uint32_t length = b->length, end = source == FROM_CALLER ? b->neuron + N : b->end, next = S * P == CHAINS ? 1 : NATIVE_GROUP;
    const size_t pitch = b->pitch;
    uint32_t o = b->neuron;
    for (; o + N <= end; o += N) {
        if (FETCH_BY_NEURONS) fetch_some(b->fetch);
#pragma GCC unroll 1
        for (uint32_t p = 0; p < P; p++) {
            const float *w = b->weights + stoai_native_weight_at(next, length, o, p);
            float *column = b->in + p * pitch, *out = b->out + o * pitch;
            const size_t step = here(pitch);
            micro_sums sum;
#pragma GCC unroll 8
            for (uint32_t c = 0; c < S; c++)
#pragma GCC unroll 8
                for (uint32_t n = 0; n < N; n++)
#pragma GCC unroll 8
                    for (uint32_t r = 0; r < R; r++) sum[c][r][n] = (vf){0};
#define MICRO_ADD(k, c) \
    do { \
        const float *x_ = block_input(b, (k), source, column); \
        vf value_[3]; \
        _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) \
        { \
            value_[r] = v_load(x_ + r * LANES); \
            if (source == FROM_CALLER) v_store(column + r * LANES, value_[r]); \
        } \
        _Pragma("GCC unroll 8") for (uint32_t n = 0; n < N; n++) _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) sum[c][r][n] += \
            value_[r] * w[(c) * P * next + n]; \
        column += P * pitch; \
    } while (0)
            uint32_t k = p;
#pragma GCC unroll 2
            for (; k + (S - 1) * P < length; k += S * P, w += S * P * next)
#pragma GCC unroll 8
                for (uint32_t c = 0; c < S; c++) MICRO_ADD(k + c * P, c);
#pragma GCC unroll 8
            for (uint32_t c = 0; c + 1 < S; c++)
                if (k + c * P < length) MICRO_ADD(k + c * P, c);
#undef MICRO_ADD
            if (p == 0) micro_bias(sum, b->bias + o, R, N);
            micro_fold(sum, R, N, S);
            if (p + 1 < P) micro_park(sum, out, step, R, N);
            else micro_finish(sum, out, step, b->floor, P > 1, R, N);
        }
    }
    b->neuron = o;
}

/* As many of a block's neurons as come in N; from the caller's columns only the first N. */
typedef void (*micro_kernel)(gemm_block *block);

/* Vectors of rows, neurons, sums in registers, times: all that are used, as many as a level has registers for. One vector of rows needs
 * many sums to hide their latency, several vectors many neurons to share what is read. */
#define MICRO_MAP_BLOCKS(X, N, S, P, source) \
    X(3, N, S, P, source) \
    X(2, N, S, P, source)
#define MICRO_MAP_ALL(X, source) \
    MICRO_MAP_BLOCKS(X, 4, 1, 1, source) \
    MICRO_MAP_BLOCKS(X, 2, 1, 1, source) \
    MICRO_MAP_BLOCKS(X, 1, 1, 1, source) \
    X(1, 8, 1, 1, source) \
    X(1, 4, 1, 1, source) \
    X(1, 2, 1, 1, source) \
    X(1, 1, 1, 1, source) \
    X(1, 4, 2, 1, source) \
    X(1, 2, 2, 1, source) \
    X(1, 1, 2, 1, source) \
    X(1, 1, 8, 1, source)
#if BIG_BLOCKS
#define MICRO_MAP(X, source) \
    MICRO_MAP_ALL(X, source) \
    MICRO_MAP_BLOCKS(X, 8, 1, 1, source) \
    MICRO_MAP_BLOCKS(X, 4, 2, 1, source) \
    MICRO_MAP_BLOCKS(X, 2, 2, 1, source) \
    MICRO_MAP_BLOCKS(X, 1, 2, 1, source) \
    X(1, 8, 2, 1, source) \
    X(3, 1, 8, 1, source) \
    X(2, 1, 8, 1, source)
#else
#define MICRO_MAP(X, source) \
    MICRO_MAP_ALL(X, source) \
    MICRO_MAP_BLOCKS(X, 4, 1, 2, source) \
    MICRO_MAP_BLOCKS(X, 2, 1, 2, source) \
    MICRO_MAP_BLOCKS(X, 1, 1, 2, source) \
    X(3, 1, 4, 2, source) \
    X(2, 1, 4, 2, source)
#endif
#define MICRO_DEFINE(R, N, S, P, source) \
    static void micro_##R##x##N##x##S##x##P##_##source(gemm_block *b) { micro(b, R, N, S, P, source); }
MICRO_MAP(MICRO_DEFINE, FROM_COLUMNS)
MICRO_MAP(MICRO_DEFINE, FROM_REFS)
MICRO_MAP(MICRO_DEFINE, FROM_CALLER)
#undef MICRO_DEFINE

static const micro_kernel micro_kernels[SOURCE_COUNT][4][BLOCK_MOST + 1][NATIVE_CHAINS + 1] = {
#define MICRO_ENTRY(R, N, S, P, source) [source][R][N][S * P] = micro_##R##x##N##x##S##x##P##_##source,
    MICRO_MAP(MICRO_ENTRY, FROM_COLUMNS) MICRO_MAP(MICRO_ENTRY, FROM_REFS) MICRO_MAP(MICRO_ENTRY, FROM_CALLER)
#undef MICRO_ENTRY
};
#undef MICRO_MAP
#undef MICRO_MAP_ALL
#undef MICRO_MAP_BLOCKS

/* Vectors of rows of a block, and neurons of the largest block of R. With few registers two vectors by four neurons: their eight sums hide
 * their latency already, and the twelve of three vectors would take longer to begin and to end. Those of a single neuron, which has four
 * sums at a time, are worth it. */
INLINE uint32_t block_vectors(uint32_t sums) { return BIG_BLOCKS || sums == CHAINS ? 3 : 2; }

INLINE uint32_t block_neurons(uint32_t R, uint32_t sums)
{
    const uint32_t at_once = BIG_BLOCKS || R == 1 ? sums : 1;
    return sums == CHAINS ? 1 : R * at_once * BLOCK_MOST <= SUMS_MOST ? BLOCK_MOST : BLOCK_MOST / 2;
}

/* All neurons of a block of R vectors of rows, in the largest blocks and then in ever smaller ones. */
static inline void gemm_vectors(gemm_block *b, uint32_t R, uint32_t count, uint32_t sums, gemm_source source)
{
    b->neuron = 0;
    for (uint32_t n = block_neurons(R, sums); b->neuron < count;) {
        while (n > count - b->neuron) n /= 2;
        micro_kernels[source][R][n][sums](b);
        source = source == FROM_CALLER ? FROM_COLUMNS : source;
    }
}

/* As many vectors of rows at once as a block has, but for one that would be left over at the end: 4 is 2 + 2 instead of 3 + 1, or 3 is
 * 3. The inputs of one block of rows stay in L1 while all weights pass by. */
static void gemm_tile(const tile *t, const native_step *s)
{
    const uint32_t most = block_vectors(s->sums);
    const gemm_source source = source_of(s, t->streams);
    gemm_block b = {.in = tile_column(t, source == FROM_REFS ? 0 : s->in[0].first),
                    .refs = s->in[0].refs,
                    .first = t->first,
                    .pitch = t->pitch,
                    .length = s->length,
                    .floor = floor_of(s),
                    .weights = s->weights,
                    .bias = s->bias,
                    .out = tile_column(t, s->out),
                    .end = s->count,
                    .fetch = t->fetch};
    if (source == FROM_CALLER) b.values = tile_values(t, s);
    for (size_t left = t->vectors, R; left > 0; left -= R) {
        R = left < most ? left : left == most + 1 ? 5 - most : most;
        if (!FETCH_BY_NEURONS) fetch_some(t->fetch);
        gemm_vectors(&b, (uint32_t)R, s->count, s->sums, source);
        b.in += R * LANES;
        b.out += R * LANES;
        b.first += R * LANES;
    }
    if (activates(s)) activate(s, tile_column(t, s->out), s->count * t->pitch);
}

/* ------------------------------------------------------------------------------------------------- a few rows */

/* A group of neurons is GROUP_PARTS vectors. Sums in registers: R rows, G groups each, as many as the level has room for. */
#define GROUP_PARTS (NATIVE_GROUP / (uint32_t)LANES)
#define ROWS_MOST 8u
#define GROUPS_MOST 8u

/* Where the inputs of rows [row, row + R) are. */
typedef struct few_inputs {
    const float *row[ROWS_MOST]; /* input 0, or ref 0 of FROM_REFS */
    const uint32_t *refs;        /* FROM_REFS */
    const stoa_bound *values;    /* FROM_CALLER: of them, row `at` and those behind it */
    size_t at;
} few_inputs;

INLINE few_inputs few_inputs_of(const tile *t, const native_step *s, uint32_t row, const uint32_t R, const gemm_source source)
{
    few_inputs in = {.refs = s->in[0].refs, .at = (size_t)t->first + row};
    if (source == FROM_CALLER) in.values = tile_values(t, s);
    else
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) {
            in.row[r] = tile_column(t, source == FROM_REFS ? 0 : s->in[0].first) + (row + r) * t->apart;
            __asm__("" : "+r"(in.row[r])); /* a register of its own, not an expression of the first */
        }
    return in;
}

INLINE float few_input(const few_inputs *in, size_t k, uint32_t r, const gemm_source source)
{
    switch (source) {
    case FROM_REFS: return in->row[r][in->refs[k]];
    case FROM_CALLER: return ((const float *)in->values[k].data + in->at)[r];
    case FROM_COLUMNS:
    case SOURCE_COUNT: break;
    }
    return in->row[r][k];
}

/* The next four values of a row, and one of them in all lanes: a quarter of the loads that broadcasts from memory take, which compete
 * with those of the weights. */
#define SPREAD ((uint32_t)4)
#if VECTOR_BYTES == 16
#define SPREAD_LANE(four, k) __builtin_shufflevector(four, four, k, k, k, k)
INLINE vf spread_load(const float *from) { return v_load(from); }
#elif VECTOR_BYTES == 32
#define SPREAD_LANE(four, k) __builtin_shufflevector(four, four, k, k, k, k, k + 4, k + 4, k + 4, k + 4)
INLINE vf spread_load(const float *from) { return _mm256_broadcast_ps((const __m128 *)(const void *)from); }
#else
#define SPREAD_LANE(four, k) \
    __builtin_shufflevector(four, four, k, k, k, k, k + 4, k + 4, k + 4, k + 4, k + 8, k + 8, k + 8, k + 8, k + 12, k + 12, k + 12, k + 12)
#if defined(__AVX512F__)
INLINE vf spread_load(const float *from) { return _mm512_broadcast_f32x4(_mm_loadu_ps(from)); }
#else
INLINE vf spread_load(const float *from)
{
    const vf four = {from[0], from[1], from[2], from[3]};
    return __builtin_shufflevector(four, four, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
}
#endif
#endif

/* R rows and the neurons to do for them. */
typedef struct row_block {
    few_inputs in;
    const float *weights, *bias; /* of the next neuron */
    float *out;                  /* that neuron of the first row */
    size_t length, apart;
    vf floor;
} row_block;

typedef vf row_sums[ROWS_MOST][GROUPS_MOST * GROUP_PARTS];

/* The product of one input of each row; `at` floats on are its weights. */
INLINE void row_add(row_sums sum, const float *const *w, size_t at, const vf *value, const uint32_t R, const uint32_t G)
{
#pragma GCC unroll 16
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++) {
        const vf weights = v_load(w[i / GROUP_PARTS] + at + i % GROUP_PARTS * LANES);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) sum[r][i] += weights * value[r];
    }
}

/* All but `b` are constants where this is expanded. Each neuron has S sums. */
INLINE void row_groups(row_block *b, const uint32_t R, const uint32_t G, const uint32_t S, const gemm_source source)
{
    const size_t group = (size_t)NATIVE_GROUP * b->length, length = b->length, apart = b->apart;
    const float *w[GROUPS_MOST];
    row_sums sum[2];
#pragma GCC unroll 8
    for (uint32_t g = 0; g < G; g++) {
        w[g] = g > 0 ? w[g - 1] + group : b->weights;
        __asm__("" : "+r"(w[g])); /* a register of its own, not an expression of the first */
    }
    for (uint32_t c = 0; c < S; c++)
        for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
            for (uint32_t r = 0; r < R; r++) sum[c][r][i] = (vf){0};
#define ROW_ADD(k, c) \
    do { \
        vf value_[ROWS_MOST]; \
        _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) value_[r] = v_splat(few_input(&b->in, (k), r, source)); \
        row_add(sum[c], w, at, value_, R, G); \
        at += NATIVE_GROUP; \
    } while (0)
    size_t k = 0, at = 0;
    if (R == 1 && source == FROM_COLUMNS)
        for (const size_t whole = length / SPREAD * SPREAD; k < whole; k += SPREAD, at += SPREAD * NATIVE_GROUP) {
            const vf four = spread_load(b->in.row[0] + k);
            at = here(at);
            row_add(sum[0], w, at, (const vf[]){SPREAD_LANE(four, 0)}, R, G);
            row_add(sum[1 % S], w, at + NATIVE_GROUP, (const vf[]){SPREAD_LANE(four, 1)}, R, G);
            row_add(sum[0], w, at + 2 * NATIVE_GROUP, (const vf[]){SPREAD_LANE(four, 2)}, R, G);
            row_add(sum[1 % S], w, at + 3 * NATIVE_GROUP, (const vf[]){SPREAD_LANE(four, 3)}, R, G);
        }
#pragma GCC unroll 2
    for (; k + S <= length; k += S)
#pragma GCC unroll 2
        for (uint32_t c = 0; c < S; c++) ROW_ADD(k + c, c);
    if (S > 1 && k < length) ROW_ADD(k, 0);
#undef ROW_ADD
#pragma GCC unroll 16
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++) {
            const vf first = sum[0][r][i] + v_load(b->bias + i * LANES), total = S > 1 ? first + sum[S - 1][r][i] : first;
            v_store(b->out + r * apart + i * LANES, v_at_least(b->floor, total));
        }
    b->weights += G * group;
    b->bias += G * NATIVE_GROUP;
    b->out += G * NATIVE_GROUP;
}

/* The sums of a small step are the lanes of one vector, or of two. */
#define CHAIN_IN_ONE (VECTOR_BYTES >= 4 * NATIVE_CHAINS)
#if CHAIN_IN_ONE
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

/* By halves, after the first has got the bias: 0 and 4, 1 and 5 ..., then 0 and 2, 1 and 3 of those, then these two. */
INLINE float chain_total(chain_sums sum[CHAIN_PARTS], float bias)
{
    const chain_sums first = sum[0] + (chain_sums){bias}; /* only its first lane is taken: a sum of -0 stays that */
#if CHAIN_IN_ONE
    sum[0] = __builtin_shufflevector(first, sum[0], 0, 9, 10, 11, 12, 13, 14, 15);
#else
    sum[0] = __builtin_shufflevector(first, sum[0], 0, 5, 6, 7);
#endif
    typedef float quarters __attribute__((vector_size(2 * NATIVE_CHAINS)));
#if CHAIN_IN_ONE
    const quarters four = __builtin_shufflevector(sum[0], sum[0], 0, 1, 2, 3) + __builtin_shufflevector(sum[0], sum[0], 4, 5, 6, 7);
#else
    const quarters four = sum[0] + sum[1];
#endif
    const quarters two = four + __builtin_shufflevector(four, four, 2, 3, 0, 1);
    return two[0] + two[1];
}

/* Neuron o of R rows, which do not wait for each other. R and source are constants where this is expanded. */
INLINE void row_chain(const tile *t, const native_step *s, uint32_t row, uint32_t o, const uint32_t R, const gemm_source source,
                      float *result)
{
    const size_t length = s->length, whole = length / CHAINS * CHAINS;
    const few_inputs in = few_inputs_of(t, s, row, R, source);
    const float *w = weights_at(s, o);
    chain_sums sum[ROWS_MOST][CHAIN_PARTS];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++)
#pragma GCC unroll 2
        for (uint32_t p = 0; p < CHAIN_PARTS; p++) sum[r][p] = (chain_sums){0};
    for (size_t k = 0; k < whole; k += CHAINS)
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; r++)
#pragma GCC unroll 2
            for (uint32_t p = 0; p < CHAIN_PARTS; p++) {
                const size_t from = k + p * CHAIN_LANES;
                chain_sums x = {0};
                if (source == FROM_COLUMNS) x = *(const chain_values *)(in.row[r] + from);
                else
#pragma GCC unroll 8
                    for (uint32_t c = 0; c < CHAIN_LANES; c++) x[c] = few_input(&in, from + c, r, source);
                sum[r][p] += *(const chain_values *)(w + from) * x;
            }
    if (whole < length)
#pragma GCC unroll 8
        for (uint32_t c = 0; c + 1 < CHAINS; c++)
            if (whole + c < length)
#pragma GCC unroll 8
                for (uint32_t r = 0; r < R; r++) CHAIN_OF(sum[r], c) += w[whole + c] * few_input(&in, whole + c, r, source);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++) result[r] = chain_total(sum[r], s->bias[o]);
}

/* Whether few neurons of a row alone are activated while they are registers: it waits for its last layer, which ends so in many networks. */
INLINE bool ends_in_registers(const native_step *s, const uint32_t sums) { return sums == CHAINS && s->op == NATIVE_SIGMOID; }

/* Stored as whole vectors, which the activation's load then finds in the store buffer. The step has at most `most` neurons. */
INLINE void row_chains(const tile *t, const native_step *s, uint32_t row, const uint32_t R, const uint32_t most, const bool alone,
                       const gemm_source source)
{
    float sum[NATIVE_CHAIN_BELOW][ROWS_MOST] = {{0}};
#pragma GCC unroll 4
    for (uint32_t o = 0; o < most; o++)
        if (most == 1 || o < s->count) row_chain(t, s, row, o, R, source, sum[o]);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; r++) {
        const vf total = {sum[0][r], sum[1][r], sum[2][r], sum[3][r]};
        float *out = tile_column(t, s->out) + (row + r) * t->apart;
        v_store(out, alone && ends_in_registers(s, CHAINS) ? v_sigmoid(total) : v_at_least(v_splat(floor_of(s)), total));
    }
}

/* R, S and source are constants where this is expanded. */
INLINE void gemm_rows(const tile *t, const native_step *s, uint32_t row, const uint32_t R, const uint32_t S, const gemm_source source)
{
    size_t groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP;
    row_block b = {.in = few_inputs_of(t, s, row, R, source),
                   .weights = s->weights,
                   .bias = s->bias,
                   .out = tile_column(t, s->out) + row * t->apart,
                   .length = s->length,
                   .apart = t->apart,
                   .floor = v_splat(floor_of(s))};
#define ROW_GROUPS(G) \
    if (R * (G) * S * GROUP_PARTS <= SUMS_MOST && (S == 1 || (G) * NATIVE_GROUP <= stoai_native_pairs_most(LANES))) \
        for (; groups >= (G); groups = here(groups - (G))) row_groups(&b, R, (G), S, source);
    ROW_GROUPS(GROUPS_MOST)
    ROW_GROUPS(4u)
    ROW_GROUPS(2u)
    ROW_GROUPS(1u)
#undef ROW_GROUPS
}

/* As many rows at once as a level has registers for: those of one sum by eights, of two by as many as fill them with up to four groups. */
INLINE void gemm_few_from(const tile *t, const native_step *s, const uint32_t sums, const gemm_source source)
{
    uint32_t row = 0;
#define ROWS_AT_ONCE(R, S) \
    if ((R) * (S) * GROUP_PARTS <= SUMS_MOST) \
        for (; row + (R) <= t->alone; row += (R)) gemm_rows(t, s, row, (R), (S), source);
#define CHAINS_AT_ONCE(R) \
    for (; row + (R) <= t->alone; row += (R)) row_chains(t, s, row, (R), NATIVE_CHAIN_BELOW, false, source);
    if (sums == CHAINS) {
        CHAINS_AT_ONCE(8u) CHAINS_AT_ONCE(4u) CHAINS_AT_ONCE(2u) CHAINS_AT_ONCE(1u)
    } else if (sums == 1) {
        ROWS_AT_ONCE(8u, 1u) ROWS_AT_ONCE(4u, 1u) ROWS_AT_ONCE(2u, 1u) ROWS_AT_ONCE(1u, 1u)
    } else {
        if (s->count > 3 * NATIVE_GROUP) {
            ROWS_AT_ONCE(3u, 2u)
        } else {
            ROWS_AT_ONCE(6u, 2u)
        }
        ROWS_AT_ONCE(4u, 2u) ROWS_AT_ONCE(2u, 2u) ROWS_AT_ONCE(1u, 2u)
    }
#undef CHAINS_AT_ONCE
#undef ROWS_AT_ONCE
}

/* A row alone; with CHAINS, one neuron of it. */
INLINE void gemm_one_from(const tile *t, const native_step *s, const uint32_t sums, const gemm_source source)
{
    if (sums == CHAINS) row_chains(t, s, 0, 1, 1, true, source);
    else gemm_rows(t, s, 0, 1, sums, source);
}

/* One function for each, whose frame is then not that of all: a row alone spends much of its time on such things. */
#define FEW_MAP(X, source) \
    X(source, 1) \
    X(source, 2) \
    X(source, NATIVE_CHAINS)
#define FEW_DEFINE(source, S) \
    static void gemm_one_##source##_##S(const tile *t, const native_step *s) \
    { \
        gemm_one_from(t, s, S, source); \
        if (activates(s) && !ends_in_registers(s, S)) activate(s, tile_column(t, s->out), s->count); \
    } \
    static void gemm_few_##source##_##S(const tile *t, const native_step *s) \
    { \
        gemm_few_from(t, s, S, source); \
        if (activates(s)) activate_few(t, s); \
    }
FEW_MAP(FEW_DEFINE, FROM_COLUMNS)
FEW_MAP(FEW_DEFINE, FROM_REFS)
FEW_MAP(FEW_DEFINE, FROM_CALLER)
#undef FEW_DEFINE

/* For a row alone, for a few. */
static const native_step_kernel few_kernels[SOURCE_COUNT][NATIVE_CHAINS + 1][2] = {
#define FEW_ENTRY(source, S) [source][S] = {gemm_one_##source##_##S, gemm_few_##source##_##S},
    FEW_MAP(FEW_ENTRY, FROM_COLUMNS) FEW_MAP(FEW_ENTRY, FROM_REFS) FEW_MAP(FEW_ENTRY, FROM_CALLER)
#undef FEW_ENTRY
};
#undef FEW_MAP

/* One neuron has a function without the registers that two or three need. */
INLINE native_step_kernel gemm_one_kernel(const native_step *s, bool streams)
{
    const bool few = s->sums == CHAINS && s->count > 1;
    return few_kernels[source_of(s, streams)][s->sums][few];
}

static void gemm_few(const tile *t, const native_step *s) { few_kernels[source_of(s, t->streams)][s->sums][1](t, s); }

#endif
