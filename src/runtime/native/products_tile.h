/* SPDX-License-Identifier: Apache-2.0 */
/* The register tile that products and convolution share: a few rows of c by a few vectors, all sums in registers. Each step
 * takes one row of b as it lies and broadcasts one element of a to each row. Rows of b are found through a table of offsets:
 * a matrix in place, a packed panel and the windows of a convolution differ in the table alone. Private to products.c. */
#ifndef STOA_NATIVE_PRODUCTS_TILE_H
#define STOA_NATIVE_PRODUCTS_TILE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/native/vmath.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef STOA_REAL real;
typedef real vr __attribute__((vector_size(VECTOR_BYTES)));
typedef real vr_memory __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define WIDTH ((int64_t)(VECTOR_BYTES / sizeof(real)))

INLINE vr load(const real *from) { return *(const vr_memory *)from; }
INLINE void store(real *to, vr value) { *(vr_memory *)to = value; }
INLINE vr splat(real value) { return value - (vr){0}; }

/* The first lanes of a vector: nothing beyond them is touched. */
#if defined(__AVX512F__)
typedef __mmask16 lanes;
INLINE lanes first_lanes(int64_t count) { return (lanes)((1u << ((size_t)count * sizeof(real) / 4)) - 1); }
INLINE vr load_first(const real *from, lanes which) { return (vr)_mm512_maskz_loadu_epi32(which, from); }
INLINE void store_first(real *to, lanes which, vr value) { _mm512_mask_storeu_epi32(to, which, (__m512i)value); }
#elif defined(__AVX2__)
typedef __m256i lanes;
INLINE lanes first_lanes(int64_t count)
{ return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)((size_t)count * sizeof(real) / 4)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
INLINE vr load_first(const real *from, lanes which) { return (vr)_mm256_maskload_epi32((const int *)(const void *)from, which); }
INLINE void store_first(real *to, lanes which, vr value) { _mm256_maskstore_epi32((int *)(void *)to, which, (__m256i)value); }
#else
typedef int64_t lanes;
INLINE lanes first_lanes(int64_t count) { return count; }
INLINE vr load_first(const real *from, lanes which)
{
    vr value = {0};
    for (int64_t i = 0; i < which; i++) value[i] = from[i];
    return value;
}
INLINE void store_first(real *to, lanes which, vr value)
{
    for (int64_t i = 0; i < which; i++) to[i] = value[i];
}
#endif

/* c = start + a b for the columns of one panel. */
typedef struct strip {
    int64_t depth;
    const real *a;
    int64_t a_row, a_column;
    const real *b;
    const int64_t *b_rows;           /* row k of the panel begins at b + b_rows[k] */
    const real *start;
    int64_t start_row, start_column; /* start_column: 0 or 1 */
    real *c;                         /* its columns are adjacent */
    int64_t c_row;
    int64_t last;                    /* lanes that count in a panel of one vector; wider panels are whole */
} strip;

/* Sums: 24 of 32 registers, or 12 of 16. */
#if VECTOR_BYTES == 64
#define TILE_ROWS 12
#define TILE_MAP(X) \
    X(1) \
    X(2) \
    X(3) \
    X(4) \
    X(5) \
    X(6) \
    X(7) \
    X(8) \
    X(9) \
    X(10) \
    X(11) \
    X(12)
#else
#define TILE_ROWS 6
#define TILE_MAP(X) \
    X(1) \
    X(2) \
    X(3) \
    X(4) \
    X(5) \
    X(6)
#endif
#define UNROLLED _Pragma("GCC unroll 12")

/* Rows and vectors are constants where this is expanded. One pointer serves three rows: a, a + row, a + 2 row are addresses. */
INLINE void tile(const strip *s, const int rows, const int vectors)
{
    vr sum[TILE_ROWS][8];
    const real *a[TILE_ROWS / 3];
    const int64_t a_row = s->a_row, a_column = s->a_column;
    const lanes last = first_lanes(vectors == 1 ? s->last : 0);
    UNROLLED for (int g = 0; g < (rows + 2) / 3; g++) a[g] = s->a + 3 * g * a_row;
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++)
    {
        const real *from = s->start + i * s->start_row + v * WIDTH * s->start_column;
        sum[i][v] = s->start_column == 0 ? splat(*from) : vectors == 1 ? load_first(from, last) : load(from);
    }
    for (int64_t k = 0; k < s->depth; k++) {
        const real *row = s->b + s->b_rows[k];
        vr b[8];
        UNROLLED for (int v = 0; v < vectors; v++) b[v] = vectors == 1 ? load_first(row, last) : load(row + v * WIDTH);
        UNROLLED for (int i = 0; i < rows; i++)
        {
            const vr value = splat(a[i / 3][i % 3 * a_row]);
            UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] += value * b[v];
        }
        UNROLLED for (int g = 0; g < (rows + 2) / 3; g++) a[g] += a_column;
    }
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++)
    {
        real *to = s->c + i * s->c_row + v * WIDTH;
        if (vectors == 1) store_first(to, last, sum[i][v]);
        else store(to, sum[i][v]);
    }
}

#define TILE_DEFINE(rows, vectors) \
    static void tile_##rows##x##vectors(const strip *s) { tile(s, rows, vectors); }
#define NARROW_DEFINE(rows) TILE_DEFINE(rows, 1) TILE_DEFINE(rows, 2)
TILE_MAP(NARROW_DEFINE)
TILE_DEFINE(1, 8)
TILE_DEFINE(2, 4)
TILE_DEFINE(3, 4)

/* By vectors and rows. Few rows need wide panels: there must be enough sums to hide the latency of each. */
static void (*const tiles[9][TILE_ROWS + 1])(const strip *s) = {
#define ONE_ENTRY(rows) [1][rows] = tile_##rows##x1,
#define TWO_ENTRY(rows) [2][rows] = tile_##rows##x2,
    TILE_MAP(ONE_ENTRY) TILE_MAP(TWO_ENTRY)[4][2] = tile_2x4,
    [4][3] = tile_3x4,
    [8][1] = tile_1x8,
};

/* Vectors of the next panel when `columns` of c are left and `rows` share it. */
static int panel_vectors(int64_t rows, int64_t columns)
{
    const int widest = rows == 1 ? 8 : rows <= 3 ? 4 : 2;
    return columns >= widest * WIDTH ? widest : columns >= 2 * WIDTH ? 2 : 1;
}

/* All rows of c for one panel, in tiles of nearly equal height. */
static void run_strip(strip s, int64_t rows, int vectors)
{
    for (int64_t left = (rows + TILE_ROWS - 1) / TILE_ROWS; left > 0; left--) {
        const int64_t count = (rows + left - 1) / left;
        tiles[vectors][count](&s);
        rows -= count;
        s.a += count * s.a_row;
        s.start += count * s.start_row;
        s.c += count * s.c_row;
    }
}

#endif
