/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: several columns by the same ascending rows, out[i] = in[index[i]]: what a selection leaves of a collection.
 *
 * On a GPU a worker takes a row. In a core a column by itself is bound by a load a value; but the rows that are kept lie close
 * together, so 16 of them are mostly found within two vectors, and one instruction picks them, for all columns with the same
 * pattern. Bits are moved, not changed: both forms give the same. */
#ifndef RECO_TRACKS_PACK_H
#define RECO_TRACKS_PACK_H

#include "stoa/kernel.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
#include <immintrin.h>
#define PACK_X86 1
#endif

typedef struct pack_column {
    const float *in;
    float *out;
} pack_column;

#ifdef PACK_X86
/* `room`: rows that all columns have; nothing behind them is read. Returns the rows that are done, a multiple of 16. */
__attribute__((target("avx512f"))) static uint32_t pack_avx512(const pack_column *columns, uint32_t count, const uint32_t *index,
                                                               uint32_t rows, uint32_t room)
{
    enum { LANES = 16 };
    uint32_t i = 0;
    for (; i + LANES <= rows; i += LANES) {
        const uint32_t first = index[i], span = index[i + LANES - 1] - first;
        const __m512i row = _mm512_loadu_si512(index + i);
        if (span < 2 * LANES && room >= 2 * LANES && first <= room - 2 * LANES) {
            const __m512i pick = _mm512_sub_epi32(row, _mm512_set1_epi32((int)first));
            for (uint32_t c = 0; c < count; c++) {
                const float *in = columns[c].in + first;
                _mm512_storeu_ps(columns[c].out + i, _mm512_permutex2var_ps(_mm512_loadu_ps(in), pick, _mm512_loadu_ps(in + LANES)));
            }
        } else {
            for (uint32_t c = 0; c < count; c++)
                _mm512_storeu_ps(columns[c].out + i, _mm512_i32gather_ps(row, columns[c].in, sizeof(float)));
        }
    }
    return i;
}
#endif

/* All workers of the grid; columns must not overlap, index is ascending and below `room`. */
STOA_DEVICE void pack_columns(stoa_grid grid, const pack_column *columns, uint32_t count, const uint32_t *index, uint32_t rows,
                              uint32_t room)
{
    uint32_t done = 0;
#ifdef PACK_X86
    enum { STREAMS = 8 }; /* columns at a time: a core follows few streams of memory */
    for (uint32_t c = 0; __builtin_cpu_supports("avx512f") && c < count; c += STREAMS)
        done = pack_avx512(columns + c, count - c < STREAMS ? count - c : STREAMS, index, rows, room);
#endif
    (void)room;
    for (uint32_t c = 0; c < count; c++)
        for (uint32_t i = done + grid.index; i < rows; i += grid.size) columns[c].out[i] = columns[c].in[index[i]];
}

#endif
