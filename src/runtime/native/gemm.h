/* SPDX-License-Identifier: Apache-2.0 */
/* The two matrix kernels: a tile of rows (rows in the lanes, weights broadcast) and a few rows (neurons in the lanes, inputs
 * broadcast). Both start a sum from the bias and add w[k] * x[k] in order of k with the same operations, so both have the
 * same bits. Steps of fewer than NATIVE_CHAIN_BELOW neurons keep four sums (k modulo 4) added pairwise at the end: in a row
 * alone, one sum would be one long chain of dependent additions. */
#ifndef STOA_NATIVE_GEMM_H
#define STOA_NATIVE_GEMM_H

#include <string.h>

#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

#define BLOCK_MOST 8u /* neurons of a block of rows */

/* Registers: R * N sums, R inputs, one weight. */
#if VECTOR_BYTES == 64
#define WIDEST 8u
#else
#define WIDEST 4u
#endif

typedef struct gemm_block {
    const float *in;        /* first row of the blocks in column 0, or of ref 0 where refs != NULL */
    const uint32_t *refs;
    const float *weights;   /* of the first neuron of the block */
    const float *bias;
    float *out;
    size_t pitch;
    uint32_t length;
    bool relu;
} gemm_block;

/* `blocks` times R vectors of rows, N neurons each. R, N, with_refs are constants where this is expanded: all arrays are
 * registers, and the inner loops are straight code. */
INLINE void micro(const gemm_block *b, size_t blocks, const uint32_t R, const uint32_t N, const bool with_refs)
{
    const float *in = b->in;
    float *out = b->out;
    const size_t pitch = b->pitch;
    const uint32_t quads = b->length / 4, rest = b->length % 4;
    for (; blocks > 0; blocks--, in += R * LANES, out += R * LANES) {
        vf sum[3][BLOCK_MOST];
        const float *x = in, *w = b->weights;
        const uint32_t *ref = b->refs;
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t r = 0; r < R; r++)
                sum[r][n] = v_splat(b->bias[n]);
#define MICRO_STEP                                                                                        \
    do {                                                                                                  \
        const float *const x_ = with_refs ? in + *ref++ * pitch : x;                                      \
        vf value[3];                                                                                      \
        _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) value[r] = v_load(x_ + r * LANES);       \
        _Pragma("GCC unroll 8") for (uint32_t n = 0; n < N; n++)                                          \
            _Pragma("GCC unroll 8") for (uint32_t r = 0; r < R; r++) sum[r][n] += value[r] * w[n];        \
        x += pitch;                                                                                       \
        w += NATIVE_GROUP;                                                                                \
    } while (0)
#pragma GCC unroll 1
        for (uint32_t k = quads; k > 0; k--) {
            MICRO_STEP;
            MICRO_STEP;
            MICRO_STEP;
            MICRO_STEP;
        }
#pragma GCC unroll 1
        for (uint32_t k = rest; k > 0; k--)
            MICRO_STEP;
#undef MICRO_STEP
#pragma GCC unroll 8
        for (uint32_t n = 0; n < N; n++)
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; r++)
                v_store(out + n * pitch + r * LANES, b->relu ? v_relu(sum[r][n]) : sum[r][n]);
    }
}

/* One neuron of a small step: R vectors of rows, four sums each. */
INLINE void chain(const gemm_block *b, const float *in, float *out, const uint32_t R, const bool with_refs)
{
    vf sum[3][4];
    for (uint32_t r = 0; r < R; r++) {
        sum[r][0] = v_splat(b->bias[0]);
        sum[r][1] = sum[r][2] = sum[r][3] = (vf){0};
    }
    const float *x = in, *w = b->weights;
    const uint32_t *ref = b->refs;
    const size_t pitch = b->pitch;
#define CHAIN_ADD(c)                                                                                      \
    do {                                                                                                  \
        const float *const x_ = with_refs ? in + *ref++ * pitch : x;                                      \
        _Pragma("GCC unroll 4") for (uint32_t r = 0; r < R; r++) sum[r][c] += v_load(x_ + r * LANES) * *w; \
        x += pitch;                                                                                       \
        w++;                                                                                              \
    } while (0)
    for (uint32_t k = b->length / 4; k > 0; k--) {
        CHAIN_ADD(0);
        CHAIN_ADD(1);
        CHAIN_ADD(2);
        CHAIN_ADD(3);
    }
    const uint32_t rest = b->length % 4;
    if (rest > 0)
        CHAIN_ADD(0);
    if (rest > 1)
        CHAIN_ADD(1);
    if (rest > 2)
        CHAIN_ADD(2);
#undef CHAIN_ADD
    for (uint32_t r = 0; r < R; r++) {
        const vf total = (sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]);
        v_store(out + r * LANES, b->relu ? v_relu(total) : total);
    }
}

typedef void (*micro_kernel)(const gemm_block *block, size_t blocks);

/* Rows, neurons: all that are used. */
#if VECTOR_BYTES == 64
#define MICRO_MAP(X) X(3, 8) X(2, 8) X(1, 8) X(3, 4) X(2, 4) X(1, 4) X(3, 3) X(2, 3) X(1, 3) X(3, 2) X(2, 2) X(1, 2) X(3, 1) X(2, 1) X(1, 1)
#else
#define MICRO_MAP(X) X(1, 8) X(3, 4) X(2, 4) X(1, 4) X(3, 3) X(2, 3) X(1, 3) X(3, 2) X(2, 2) X(1, 2) X(3, 1) X(2, 1) X(1, 1)
#endif

#define MICRO_DEFINE(R, N)                                                                                \
    static void micro_##R##x##N(const gemm_block *b, size_t blocks) { micro(b, blocks, R, N, false); }    \
    static void micro_refs_##R##x##N(const gemm_block *b, size_t blocks) { micro(b, blocks, R, N, true); }
MICRO_MAP(MICRO_DEFINE)
#undef MICRO_DEFINE
#define CHAIN_BLOCKS(R, with_refs)                                                                        \
    for (size_t i = 0; i < blocks; i++)                                                                   \
        chain(b, b->in + i * (R) * LANES, b->out + i * (R) * LANES, (R), (with_refs))
#define CHAIN_DEFINE(R)                                                                                   \
    static void chain_##R(const gemm_block *b, size_t blocks) { CHAIN_BLOCKS(R, false); }                 \
    static void chain_refs_##R(const gemm_block *b, size_t blocks) { CHAIN_BLOCKS(R, true); }
CHAIN_DEFINE(1)
CHAIN_DEFINE(2)
CHAIN_DEFINE(3)
#undef CHAIN_DEFINE
#undef CHAIN_BLOCKS

/* [refs][rows][neurons]; zero neurons: chain. */
static const micro_kernel micro_kernels[2][4][BLOCK_MOST + 1] = {
#define MICRO_PLAIN(R, N) [0][R][N] = micro_##R##x##N,
#define MICRO_REFS(R, N) [1][R][N] = micro_refs_##R##x##N,
    MICRO_MAP(MICRO_PLAIN) MICRO_MAP(MICRO_REFS)
#undef MICRO_PLAIN
#undef MICRO_REFS
    [0][1][0] = chain_1, [0][2][0] = chain_2, [0][3][0] = chain_3,
    [1][1][0] = chain_refs_1, [1][2][0] = chain_refs_2, [1][3][0] = chain_refs_3
};

/* Neurons [o, o + n) for all rows of the tile, n <= BLOCK_MOST within one group. The weights stay in L1 meanwhile. */
static void gemm_neurons(const tile *t, const native_step *s, uint32_t o, uint32_t n)
{
    const native_operand *in = &s->in[0];
    const bool chained = s->count < NATIVE_CHAIN_BELOW;
    fetch_some(t);
    gemm_block b = {
        .refs = in->refs, .bias = s->bias + o, .pitch = t->pitch, .length = s->length, .relu = s->op == NATIVE_RELU,
        .weights = s->weights + stoai_native_weight_at(s->count, s->length, o, 0),
    };
    const float *x = tile_column(t, in->refs != NULL ? 0 : in->first);
    float *y = tile_column(t, s->out + o);
    const micro_kernel(*kernels)[BLOCK_MOST + 1] = micro_kernels[in->refs != NULL];
    const uint32_t column = chained ? 0 : n;
    /* Threes as long as no single vector is left over at the end: 4 is 2 + 2. */
    const size_t two = t->vectors % 3 == 1 && t->vectors > 1 ? 2 : t->vectors % 3 == 2, three = (t->vectors - 2 * two) / 3;
    b.in = x;
    b.out = y;
    if (three > 0) /* with one vector there is no block of three for eight neurons */
        kernels[3][column](&b, three);
    b.in += three * 3 * LANES;
    b.out += three * 3 * LANES;
    if (two > 0)
        kernels[2][column](&b, two);
    else if (t->vectors == 1)
        kernels[1][column](&b, 1);
}

/* The widest block that this step's tile can use: one vector of rows needs many neurons to hide the latency of the sums. */
static void gemm_tile(const tile *t, const native_step *s)
{
    const uint32_t widest = s->count < NATIVE_CHAIN_BELOW ? 1 : t->vectors == 1 ? 8 : WIDEST;
    for (uint32_t o = 0; o < s->count;) {
        const uint32_t left = s->count - o;
        const uint32_t n = left >= widest ? widest : left >= 4 && widest >= 4 ? 4 : left;
        gemm_neurons(t, s, o, n);
        o += n;
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

/* R and G are constants where this is expanded. `x` and `out` are those of the first row. */
INLINE void row_groups(const tile *t, const native_step *s, const float *x, float *out, uint32_t o, const uint32_t R,
                       const uint32_t G, const bool with_refs)
{
    const uint32_t length = s->length, *refs = s->in[0].refs;
    const size_t group = (size_t)NATIVE_GROUP * length, apart = t->apart;
    const float *w = s->weights + (size_t)o * length;
    vf sum[4][ROW_SUMS];
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
        for (uint32_t r = 0; r < R; r++)
            sum[r][i] = v_load(s->bias + o + i * LANES);
#pragma GCC unroll 2
    for (uint32_t k = 0; k < length; k++, w += NATIVE_GROUP) {
        const float *value = x + (with_refs ? refs[k] : k);
#pragma GCC unroll 16
        for (uint32_t i = 0; i < G * GROUP_PARTS; i++) {
            const vf weights = v_load(w + i / GROUP_PARTS * group + i % GROUP_PARTS * LANES);
#pragma GCC unroll 4
            for (uint32_t r = 0; r < R; r++)
                sum[r][i] += weights * value[r * apart];
        }
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < G * GROUP_PARTS; i++)
#pragma GCC unroll 4
        for (uint32_t r = 0; r < R; r++)
            v_store(out + r * apart + o + i * LANES, s->op == NATIVE_RELU ? v_relu(sum[r][i]) : sum[r][i]);
}

/* The four sums of small steps are the lanes of a vector. */
typedef float v4 __attribute__((vector_size(16)));
typedef float v4_memory __attribute__((vector_size(16), aligned(4), may_alias));

INLINE void row_chain(const native_step *s, const float *x, const bool with_refs, float *out)
{
    const uint32_t *refs = s->in[0].refs, whole = s->length & ~3u;
    const float *w = s->weights;
    vf total = {0}; /* whole: the store is forwarded to the activation's load */
    for (uint32_t n = 0; n < s->count; n++, w += s->length) {
        v4 sum = {s->bias[n]};
        for (uint32_t k = 0; k < whole; k += 4) {
            const v4 value = with_refs ? (v4){x[refs[k]], x[refs[k + 1]], x[refs[k + 2]], x[refs[k + 3]]}
                                       : (v4)*(const v4_memory *)(x + k);
            sum += *(const v4_memory *)(w + k) * value;
        }
        for (uint32_t k = whole; k < s->length; k++)
            sum[k - whole] += w[k] * x[with_refs ? refs[k] : k];
        total[n] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    v_store(out, s->op == NATIVE_RELU ? v_relu(total) : total);
}

/* R rows; R is a constant where this is expanded. */
INLINE void gemm_rows(const tile *t, const native_step *s, const float *x, float *out, const uint32_t R, const bool with_refs)
{
    if (s->count < NATIVE_CHAIN_BELOW) {
        for (uint32_t r = 0; r < R; r++)
            row_chain(s, x + r * t->apart, with_refs, out + r * t->apart);
        return;
    }
    uint32_t o = 0, groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP;
#define ROW_GROUPS(G)                                                                                     \
    if (R * (G) * GROUP_PARTS <= ROW_SUMS)                                                                \
        for (; groups >= (G); groups -= (G), o += (G) * NATIVE_GROUP)                                     \
            row_groups(t, s, x, out, o, R, (G), with_refs);
    ROW_GROUPS(8u)
    ROW_GROUPS(4u)
    ROW_GROUPS(2u)
    ROW_GROUPS(1u)
#undef ROW_GROUPS
}

#define ROWS_AT_ONCE (GROUP_PARTS <= 2 ? 4u : 2u)

INLINE void gemm_few_refs(const tile *t, const native_step *s, const float *x, const bool with_refs)
{
    float *out = tile_column(t, s->out);
    uint32_t r = 0;
    for (; r + ROWS_AT_ONCE <= t->alone; r += ROWS_AT_ONCE)
        gemm_rows(t, s, x + r * t->apart, out + r * t->apart, ROWS_AT_ONCE, with_refs);
    for (; r < t->alone; r++)
        gemm_rows(t, s, x + r * t->apart, out + r * t->apart, 1, with_refs);
}

static void gemm_few(const tile *t, const native_step *s)
{
    if (s->in[0].refs != NULL)
        gemm_few_refs(t, s, tile_column(t, 0), true);
    else
        gemm_few_refs(t, s, tile_column(t, s->in[0].first), false);
}

#endif
