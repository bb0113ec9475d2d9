/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices on CUDA by its tensor cores (fragments.h): inputs and weights rounded to TFLOAT32 (ties away from zero), BFLOAT16 or FLOAT16
 * (ties to even), products and sums in float32, from the bias on. A warp multiplies M groups of 16 neurons by 32 rows: lane l reads
 * rows 4 * (l / 4) ... + 3 of every fourth column, which is one row for each of four matrices of 8 rows. A row is a column of its
 * matrix, so its result depends on no other. */
#ifndef STOA_NATIVE_DEVICE_MMA_H
#define STOA_NATIVE_DEVICE_MMA_H

#include "runtime/native/conversions.h"
#include "runtime/native/device_place.h"
#include "runtime/native/fragments.h"

#if defined(__HIP__)
/* GPUs of AMD multiply matrices in other shapes: sessions of a model that wants this are refused there (native.c). */
STOA_DEVICE void gemm_tensor(const place &, const native_step *, stoa_grid) {}
#else

enum { WARP_THREADS = 32, STRIP_ROWS = 32, STRIP_MATRICES = STRIP_ROWS / 8 };

#ifndef STOA_WARP_MMA
#define STOA_WARP_ROUND_TFLOAT32(word, x) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x))
#define STOA_WARP_PACK_BFLOAT16(word, low, high) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low))
#define STOA_WARP_PACK_FLOAT16(word, low, high) asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low))
#define STOA_WARP_MMA_AS_(shape, types, sum, a, b) \
    asm("mma.sync.aligned." shape ".row.col.f32." types ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
        : "+f"((sum)[0]), "+f"((sum)[1]), "+f"((sum)[2]), "+f"((sum)[3]) \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))
/* sum += a * b for the matrices that the lanes of a warp hold together. */
#define STOA_WARP_MMA(precision, sum, a, b) \
    do { \
        if ((precision) == STOA_PRECISION_TFLOAT32) STOA_WARP_MMA_AS_("m16n8k8", "tf32.tf32", sum, a, b); \
        else if ((precision) == STOA_PRECISION_BFLOAT16) STOA_WARP_MMA_AS_("m16n8k16", "bf16.bf16", sum, a, b); \
        else STOA_WARP_MMA_AS_("m16n8k16", "f16.f16", sum, a, b); \
    } while (0)
#endif

/* What a step of k adds, as it is read. */
template <stoa_precision P, int M> struct mma_terms {
    static constexpr int columns = FRAGMENT_STEP(P) / 4; /* of a lane */
    four x[columns];
    four w[M];
};

template <stoa_precision P, int M>
STOA_DEVICE mma_terms<P, M> mma_read(const place &p, const native_operand *in, uint32_t length, const float *w, size_t group_words,
                                     uint32_t k, uint32_t row)
{
    mma_terms<P, M> terms;
#pragma unroll
    for (int i = 0; i < terms.columns; i++) {
        const uint32_t at = k + 4 * i;
        terms.x[i] = {};
        if (at < length) terms.x[i] = *p.cell<four>(in->refs ? __ldg(in->refs + at) : in->first + at, row / ROWS_AT_ONCE);
    }
#pragma unroll
    for (int m = 0; m < M; m++) terms.w[m] = read_four(w + m * group_words);
    return terms;
}

/* The lane's inputs to matrix j of the strip. */
template <stoa_precision P, int M> STOA_DEVICE void mma_round(uint32_t (&b)[2], const mma_terms<P, M> &terms, int j)
{
#pragma unroll
    for (int i = 0; i < 2; i++)
        if constexpr (P == STOA_PRECISION_TFLOAT32) STOA_WARP_ROUND_TFLOAT32(b[i], terms.x[i].v[j]);
        else if constexpr (P == STOA_PRECISION_BFLOAT16) STOA_WARP_PACK_BFLOAT16(b[i], terms.x[2 * i].v[j], terms.x[2 * i + 1].v[j]);
        else STOA_WARP_PACK_FLOAT16(b[i], terms.x[2 * i].v[j], terms.x[2 * i + 1].v[j]);
}

template <stoa_precision P, int M> STOA_DEVICE void mma_add(float (&sum)[M][STRIP_MATRICES][4], const mma_terms<P, M> &terms)
{
    uint32_t a[M][FRAGMENT_WORDS];
    memcpy(a, terms.w, sizeof a);
#pragma unroll
    for (int j = 0; j < STRIP_MATRICES; j++) {
        uint32_t b[2];
        mma_round<P, M>(b, terms, j);
#pragma unroll
        for (int m = 0; m < M; m++) STOA_WARP_MMA(P, sum[m][j], a[m], b);
    }
}

/* Groups [group, group + M) of neurons, rows [first, first + STRIP_ROWS). */
template <stoa_precision P, int M>
STOA_DEVICE void mma_strip(const place &p, const native_step *s, uint32_t group, uint32_t first, uint32_t lane)
{
    const uint32_t length = s->length, step = FRAGMENT_STEP(P), steps = (length + step - 1) / step;
    const uint32_t row_of_lane = lane / 4, column_of_lane = lane % 4, row = first + row_of_lane * ROWS_AT_ONCE;
    const size_t step_words = FRAGMENT_LANES * FRAGMENT_WORDS, group_words = steps * step_words;
    const float *w = (const float *)s->fragments + group * group_words + lane * FRAGMENT_WORDS;
    const native_operand in = s->in[0];
    float sum[M][STRIP_MATRICES][4];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int c = 0; c < 4; c++) {
            const float bias = __ldg(s->bias + (group + m) * NATIVE_GROUP + row_of_lane + 8 * (c / 2));
#pragma unroll
            for (int j = 0; j < STRIP_MATRICES; j++) sum[m][j][c] = bias;
        }
    mma_terms<P, M> terms = mma_read<P, M>(p, &in, length, w, group_words, column_of_lane, row);
    for (uint32_t i = 1; i < steps; i++) {
        const mma_terms<P, M> next = mma_read<P, M>(p, &in, length, w + i * step_words, group_words, i * step + column_of_lane, row);
        mma_add<P, M>(sum, terms);
        terms = next;
    }
    mma_add<P, M>(sum, terms);
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int c = 0; c < 4; c++) { /* neuron, and which of the lane's two neighbouring groups of four rows */
            four y;
#pragma unroll
            for (int j = 0; j < STRIP_MATRICES; j++) y.v[j] = s->op == NATIVE_RELU ? v_relu(sum[m][j][c]) : sum[m][j][c];
            *p.cell<four>(s->out + (group + m) * NATIVE_GROUP + row_of_lane + 8 * (c / 2),
                          first / ROWS_AT_ONCE + 2 * column_of_lane + c % 2) = y;
        }
}

/* All neurons: four groups a warp, as often as that leaves work for every warp, else one. */
template <stoa_precision P> STOA_DEVICE void mma_all(const place &p, const native_step *s, stoa_grid grid)
{
    const uint32_t groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP, strips = (1u << p.shift) / STRIP_ROWS;
    const uint32_t warps = grid.size / WARP_THREADS, lane = grid.index % WARP_THREADS;
    const uint32_t fours = groups / 4 * strips >= warps ? groups / 4 : 0, items = (fours + groups - 4 * fours) * strips;
    for (uint32_t item = grid.index / WARP_THREADS; item < items; item += warps) {
        const uint32_t part = item / strips, first = item % strips * STRIP_ROWS;
        if (part < fours) mma_strip<P, 4>(p, s, 4 * part, first, lane);
        else mma_strip<P, 1>(p, s, 3 * fours + part, first, lane);
    }
}

STOA_DEVICE void gemm_tensor(const place &p, const native_step *s, stoa_grid grid)
{
    switch (s->precision) {
    case STOA_PRECISION_FLOAT32: break;
    case STOA_PRECISION_TFLOAT32: mma_all<STOA_PRECISION_TFLOAT32>(p, s, grid); break;
    case STOA_PRECISION_BFLOAT16: mma_all<STOA_PRECISION_BFLOAT16>(p, s, grid); break;
    case STOA_PRECISION_FLOAT16: mma_all<STOA_PRECISION_FLOAT16>(p, s, grid); break;
    }
}

#endif
#endif
