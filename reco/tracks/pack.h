/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: several columns by the same ascending rows, out[i] = in[index[i]]: what a selection leaves of a collection.
 *
 * On a GPU a worker takes a row. In a core a column by itself is bound by a load a value; but the rows that are kept lie close
 * together, so 16 of them are mostly found within two vectors, and one instruction picks them, for all columns with the same
 * pattern. An event has just come, so its columns are far from the core: a few vectors of each are taken in turn, and those after the
 * next asked for meanwhile, which has more of them under way than a column after the other. Bits are moved, not changed, and roots are
 * rounded correctly: both forms give the same. */
#ifndef RECO_TRACKS_PACK_H
#define RECO_TRACKS_PACK_H

#include "reco/tracks/track_kernels.h"
#include "reco/vector_levels.h"

#include <math.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
#include <immintrin.h>
#define PACK_X86 1
#endif

/* What becomes of a value on its way. */
typedef enum pack_kind {
    PACK_FLOAT,
    PACK_ROOT,        /* of a float */
    PACK_BYTE,
    PACK_BYTE_FLOAT,  /* int8_t to float */
    PACK_COUNT,       /* offsets to how many there are of each row, uint32_t */
    PACK_COUNT_FLOAT
} pack_kind;

typedef struct pack_column {
    const void *in;
    void *out;
    pack_kind kind;
} pack_column;

RECO_VECTOR_LEVELS void take_roots(float *STOA_RESTRICT column, uint32_t first, uint32_t rows, uint32_t step)
{
    if (STOA_ALONE) step = 1; /* known to the compiler */
    for (uint32_t i = first; i < rows; i += step) column[i] = sqrtf(column[i]);
}

#define PACK_EACH(type, value) \
    do { \
        type *out_ = (type *)column->out; \
        for (uint32_t i = first; i < rows; i += step) out_[i] = (type)(value); \
    } while (0)

/* Rows first, first + step, ... below `rows`. */
STOA_DEVICE void pack_rows(const pack_column *column, const uint32_t *index, uint32_t first, uint32_t rows, uint32_t step)
{
    const float *floats = (const float *)column->in;
    const int8_t *bytes = (const int8_t *)column->in;
    const uint32_t *offsets = (const uint32_t *)column->in;
    switch (column->kind) {
    case PACK_FLOAT: PACK_EACH(float, floats[index[i]]); break;
    case PACK_ROOT:
        PACK_EACH(float, floats[index[i]]);
        take_roots((float *)column->out, first, rows, step);
        break;
    case PACK_BYTE: PACK_EACH(int8_t, bytes[index[i]]); break;
    case PACK_BYTE_FLOAT: PACK_EACH(float, bytes[index[i]]); break;
    case PACK_COUNT: PACK_EACH(uint32_t, track_hits(offsets, index[i])); break;
    case PACK_COUNT_FLOAT: PACK_EACH(float, track_hits(offsets, index[i])); break;
    }
}
#undef PACK_EACH

#ifdef PACK_X86
#define PACK_AVX512 __attribute__((target("avx512f"), always_inline)) static inline
enum { PACK_LANES = 16, PACK_VECTORS = 4, PACK_ROWS = PACK_LANES * PACK_VECTORS };

/* Rows of the selection that fill a vector: which of the 32 from `first` on they are, if they are `near`. */
typedef struct pack_vector {
    __m512i pick;
    uint32_t first, near;
} pack_vector;

/* A column's rows from `row` on, as 32 bits. */
PACK_AVX512 __m512i pack_load(pack_kind kind, const void *in, uint32_t row)
{
    const int8_t *bytes = (const int8_t *)in + row;
    const uint32_t *words = (const uint32_t *)in + row; /* or floats */
    const __mmask16 behind_first = row > 0 ? 0xFFFF : 0xFFFE;
    switch (kind) {
    case PACK_FLOAT:
    case PACK_ROOT: break;
    case PACK_BYTE:
    case PACK_BYTE_FLOAT: return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)bytes));
    case PACK_COUNT:
    case PACK_COUNT_FLOAT: return _mm512_sub_epi32(_mm512_loadu_si512(words), _mm512_maskz_loadu_epi32(behind_first, words - 1));
    }
    return _mm512_loadu_si512(words);
}

PACK_AVX512 void pack_store(pack_kind kind, void *out, uint32_t row, __m512i values)
{
    int8_t *bytes = (int8_t *)out + row;
    float *words = (float *)out + row;
    switch (kind) {
    case PACK_FLOAT:
    case PACK_COUNT: _mm512_storeu_si512(words, values); break;
    case PACK_ROOT: _mm512_storeu_ps(words, _mm512_sqrt_ps(_mm512_castsi512_ps(values))); break;
    case PACK_BYTE: _mm_storeu_si128((__m128i *)(void *)bytes, _mm512_cvtepi32_epi8(values)); break;
    case PACK_BYTE_FLOAT: _mm512_storeu_ps(words, _mm512_cvtepi32_ps(values)); break;
    case PACK_COUNT_FLOAT: _mm512_storeu_ps(words, _mm512_cvtepu32_ps(values)); break;
    }
}

__attribute__((noinline)) static void pack_far(const pack_column *column, const uint32_t *index, uint32_t row)
{ pack_rows(column, index, row, row + PACK_LANES, 1); }

/* Rows [row, end) of a column, whose kind the compiler knows. */
PACK_AVX512 void pack_as(pack_kind kind, const pack_column *column, const uint32_t *index, const pack_vector *v, uint32_t row, uint32_t end)
{
    for (; row < end; row += PACK_LANES, v++) {
        if (!v->near) {
            pack_far(column, index, row);
            continue;
        }
        const __m512i low = pack_load(kind, column->in, v->first), high = pack_load(kind, column->in, v->first + PACK_LANES);
        pack_store(kind, column->out, row, _mm512_permutex2var_epi32(low, v->pick, high));
    }
}

PACK_AVX512 void pack_chunk(const pack_column *column, const uint32_t *index, const pack_vector *v, uint32_t row, uint32_t end)
{
    switch (column->kind) {
    case PACK_FLOAT: pack_as(PACK_FLOAT, column, index, v, row, end); break;
    case PACK_ROOT: pack_as(PACK_ROOT, column, index, v, row, end); break;
    case PACK_BYTE: pack_as(PACK_BYTE, column, index, v, row, end); break;
    case PACK_BYTE_FLOAT: pack_as(PACK_BYTE_FLOAT, column, index, v, row, end); break;
    case PACK_COUNT: pack_as(PACK_COUNT, column, index, v, row, end); break;
    case PACK_COUNT_FLOAT: pack_as(PACK_COUNT_FLOAT, column, index, v, row, end); break;
    }
}

/* Ask for a column's rows [row, end). */
STOA_DEVICE void pack_ask(const pack_column *column, uint32_t row, uint32_t end)
{
    enum { LINE_BYTES = 64 };
    const uint32_t row_bytes = column->kind == PACK_BYTE || column->kind == PACK_BYTE_FLOAT ? 1 : sizeof(uint32_t);
    const char *at = (const char *)column->in + (size_t)row * row_bytes, *last = (const char *)column->in + (size_t)end * row_bytes;
    for (; at < last; at += LINE_BYTES) RECO_ASK_AHEAD(at);
}

/* `room`: rows that all columns have; nothing behind them is read. Returns the rows that are done, a multiple of 16. */
__attribute__((target("avx512f"))) static uint32_t pack_avx512(const pack_column *columns, uint32_t count, const uint32_t *index,
                                                               uint32_t rows, uint32_t room)
{
    enum { AHEAD = 2 * PACK_ROWS };
    pack_vector v[PACK_VECTORS];
    const uint32_t whole = rows - rows % PACK_LANES;
    if (whole > 0)
        for (uint32_t c = 0; c < count; c++) pack_ask(columns + c, index[0], index[0] + AHEAD);
    for (uint32_t row = 0, end; row < whole; row = end) {
        const uint32_t ahead = index[row] + AHEAD;
        end = whole - row < PACK_ROWS ? whole : row + PACK_ROWS;
        for (uint32_t i = row; i < end; i += PACK_LANES) {
            const uint32_t first = index[i], span = index[i + PACK_LANES - 1] - first;
            pack_vector *to = v + (i - row) / PACK_LANES;
            to->pick = _mm512_sub_epi32(_mm512_loadu_si512(index + i), _mm512_set1_epi32((int)first));
            to->first = first;
            to->near = span < 2 * PACK_LANES && room >= 2 * PACK_LANES && first <= room - 2 * PACK_LANES;
        }
        for (uint32_t c = 0; c < count; c++) {
            pack_ask(columns + c, ahead, ahead + PACK_ROWS + PACK_LANES);
            pack_chunk(columns + c, index, v, row, end);
        }
    }
    return whole;
}
#endif

/* All workers of the grid; columns must not overlap, index is ascending and below `room`. */
STOA_DEVICE void pack_columns(stoa_grid grid, const pack_column *columns, uint32_t count, const uint32_t *index, uint32_t rows,
                              uint32_t room)
{
    uint32_t done = 0;
#ifdef PACK_X86
    if (__builtin_cpu_supports("avx512f")) done = pack_avx512(columns, count, index, rows, room);
#endif
    (void)room;
#ifdef __CUDACC__
#pragma unroll /* or the columns would lie in memory */
#endif
    for (uint32_t c = 0; c < count; c++) pack_rows(columns + c, index, done + grid.index, rows, grid.size);
}

#endif
