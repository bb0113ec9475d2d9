/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices on CUDA in float32: the sums of the host's levels, in order of k by fma, so a neuron has the bits of those.
 * A thread keeps 4 * Q neurons x 4 rows of sums in registers and asks for the terms of k + 1 before it adds those of k: a
 * multiprocessor has room for two or three blocks, too few to wait for memory while others work. */
#ifndef STOA_NATIVE_DEVICE_GEMM_H
#define STOA_NATIVE_DEVICE_GEMM_H

#include "runtime/native/device_place.h"

/* What one k adds to the sums of a thread. */
template <int Q> struct gemm_terms {
    four x, w[Q];
};

/* `w` is the thread's first weight of k. */
template <int Q> STOA_DEVICE gemm_terms<Q> gemm_read(const place &p, const native_operand *in, const float *w, uint32_t k, uint32_t row)
{
    gemm_terms<Q> terms;
    terms.x = *p.cell<four>(in->refs ? __ldg(in->refs + k) : in->first + k, row / ROWS_AT_ONCE);
#pragma unroll
    for (int q = 0; q < Q; q++) terms.w[q] = read_four(w + 4 * q);
    return terms;
}

template <int Q> STOA_DEVICE void gemm_add(float (&sum)[4 * Q][ROWS_AT_ONCE], const gemm_terms<Q> &terms)
{
#pragma unroll
    for (int n = 0; n < 4 * Q; n++)
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; r++) sum[n][r] = fmaf(terms.w[n / 4].v[n % 4], terms.x.v[r], sum[n][r]);
}

/* Sum `first` of `sums` of each of the neurons [neuron, neuron + 4 * Q) of one group, in rows [row, row + 4). */
template <int Q>
STOA_DEVICE void gemm_sums(float (&sum)[4 * Q][ROWS_AT_ONCE], const place &p, const native_step *s, uint32_t neuron, uint32_t row,
                           uint32_t first, uint32_t sums)
{
    const native_operand in = s->in[0];
    const uint32_t length = s->length;
    const float *w = s->weights + (size_t)(neuron / NATIVE_GROUP) * NATIVE_GROUP * length + neuron % NATIVE_GROUP;
#pragma unroll
    for (int n = 0; n < 4 * Q; n++)
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; r++) sum[n][r] = 0.0f;
    gemm_terms<Q> terms = gemm_read<Q>(p, &in, w + (size_t)first * NATIVE_GROUP, first, row);
#pragma unroll 2
    for (uint32_t k = first + sums; k < length; k += sums) {
        const gemm_terms<Q> next = gemm_read<Q>(p, &in, w + (size_t)k * NATIVE_GROUP, k, row);
        gemm_add<Q>(sum, terms);
        terms = next;
    }
    gemm_add<Q>(sum, terms);
}

/* One sum after the other: the registers hold one of each neuron. The first waits, with the bias, in the neuron's own column. */
template <int Q> STOA_DEVICE void gemm_neurons(const place &p, const native_step *s, uint32_t neuron, uint32_t row)
{
    const uint32_t sums = s->sums;
    const bool relu = s->op == NATIVE_RELU;
    float sum[4 * Q][ROWS_AT_ONCE];
    for (uint32_t c = 0; c < sums; c++) {
        gemm_sums<Q>(sum, p, s, neuron, row, c, sums);
#pragma unroll
        for (int n = 0; n < 4 * Q; n++) {
            four *out = p.cell<four>(s->out + neuron + n, row / ROWS_AT_ONCE), y;
            if (c > 0) y = *out;
            else {
                const float bias = __ldg(s->bias + neuron + n);
                y = {{bias, bias, bias, bias}};
            }
#pragma unroll
            for (int r = 0; r < ROWS_AT_ONCE; r++) {
                y.v[r] += sum[n][r];
                if (relu && c + 1 == sums) y.v[r] = v_relu(y.v[r]);
            }
            *out = y;
        }
    }
}

/* All neurons, 4 * Q a thread. */
template <int Q> STOA_DEVICE void gemm_all(const place &p, const native_step *s, stoa_grid grid)
{
    const uint32_t groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP, shift = p.shift - 2; /* of ROWS_AT_ONCE */
    for (uint32_t item = grid.index; item < groups * (4 / Q) << shift; item += grid.size)
        gemm_neurons<Q>(p, s, (item >> shift) * 4 * Q, (item & ((1u << shift) - 1)) * ROWS_AT_ONCE);
}

/* As many neurons a thread as leave work for every thread: the more, the fewer reads for each product. */
STOA_DEVICE void gemm_float32(const place &p, const native_step *s, stoa_grid grid)
{
    const uint32_t items = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP << (p.shift - 2);
    if (items >= grid.size) gemm_all<4>(p, s, grid);
    else if (2 * items >= grid.size) gemm_all<2>(p, s, grid);
    else gemm_all<1>(p, s, grid);
}

/* Products [k, k + count), each to a sum of its own. */
STOA_DEVICE void chain_add(float (&sum)[NATIVE_CHAINS], const place &p, const native_operand *in, const float *w, uint32_t k,
                           uint32_t count, uint32_t row)
{
#pragma unroll
    for (uint32_t c = 0; c < NATIVE_CHAINS; c++)
        if (c < count) sum[c] = fmaf(*p.cell<float>(in->refs ? __ldg(in->refs + k + c) : in->first + k + c, row), __ldg(w + k + c), sum[c]);
}

/* One neuron of a few: several sums, as on the host. */
STOA_DEVICE float gemm_chain(const place &p, const native_step *s, uint32_t neuron, uint32_t row)
{
    const native_operand in = s->in[0];
    const uint32_t length = s->length;
    const float *w = s->weights + (size_t)neuron * length;
    float sum[NATIVE_CHAINS] = {0.0f};
    uint32_t k = 0;
    for (; k + NATIVE_CHAINS <= length; k += NATIVE_CHAINS) chain_add(sum, p, &in, w, k, NATIVE_CHAINS, row);
    chain_add(sum, p, &in, w, k, length - k, row);
    sum[0] += __ldg(s->bias + neuron);
#pragma unroll
    for (uint32_t half = NATIVE_CHAINS / 2; half > 0; half /= 2)
#pragma unroll
        for (uint32_t c = 0; c < half; c++) sum[c] += sum[c + half];
    return sum[0];
}

#endif
