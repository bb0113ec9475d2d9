/* SPDX-License-Identifier: Apache-2.0 */
/* c = alpha a b + beta d. The columns of c ride in the lanes, or its rows, or (a single column of c) the sums along k: whichever
 * costs least as the matrices lie. Where the lanes run along adjacent elements of b, as along the rows of an SoA block, nothing
 * is packed. */
#include "runtime/native/products.h"

#include "runtime/native/products_tile.h"

#define DEPTH 256          /* of k in one go: a panel of b stays in the first-level cache */
#define PANEL (2 * WIDTH)  /* columns of a packed panel */
#define PACK_ABOVE 64      /* rows of c from which a panel of b is copied, to lie in few pages and all sets of the cache */
#define BLOCK_ROWS 96      /* of c, for results that do not go straight to their place */

typedef struct matrix {
    real *data;
    int64_t row, column;
} matrix;

typedef struct product {
    int64_t m, n, k;
    real alpha, beta;
    matrix a, b, d, c;
} product;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE matrix transposed(matrix m) { return (matrix){m.data, m.column, m.row}; }
INLINE matrix at(matrix m, int64_t row, int64_t column)
{ return m.data ? (matrix){m.data + row * m.row + column * m.column, m.row, m.column} : m; }

/* ---- bringing b into panels --------------------------------------------------------------------------------------------- */

typedef float quad __attribute__((vector_size(16)));
typedef float quad_memory __attribute__((vector_size(16), aligned(4), may_alias));

/* Four columns of floats that are adjacent along k become rows, four of each at a time. */
INLINE void turn_quads(float *to, const float *from, int64_t column)
{
    const quad a = *(const quad_memory *)from, b = *(const quad_memory *)(from + column);
    const quad c = *(const quad_memory *)(from + 2 * column), d = *(const quad_memory *)(from + 3 * column);
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad_memory *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(quad_memory *)(to + PANEL) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(quad_memory *)(to + 2 * PANEL) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(quad_memory *)(to + 3 * PANEL) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

static void pack_part(real *packed, matrix b, int64_t k, int64_t depth, int64_t j, int64_t columns)
{
    for (; j < columns; j++)
        for (int64_t i = k; i < depth; i++) packed[i * PANEL + j] = b.data[i * b.row + j * b.column];
}

static void pack(real *packed, matrix b, int64_t depth, int64_t columns)
{
    if (b.column == 1 && columns == PANEL) {
        for (int64_t k = 0; k < depth; k++)
            for (int64_t v = 0; v < 2; v++) store(packed + k * PANEL + v * WIDTH, load(b.data + k * b.row + v * WIDTH));
        return;
    }
    const bool turned = b.row == 1 && sizeof(real) == sizeof(float);
    const int64_t whole_depth = turned ? depth / 4 * 4 : 0, whole_columns = turned ? columns / 4 * 4 : 0;
    for (int64_t j = 0; j < whole_columns; j += 4)
        for (int64_t k = 0; k < whole_depth; k += 4)
            turn_quads((float *)(packed + k * PANEL + j), (const float *)(b.data + j * b.column + k), b.column);
    pack_part(packed, b, whole_depth, depth, 0, whole_columns);
    pack_part(packed, b, 0, depth, whole_columns, columns);
}

/* c = start + a b for one piece of k. */
static void add_piece(const product *p, matrix start)
{
    real packed[DEPTH * PANEL];
    int64_t b_rows[DEPTH];
    const bool in_place = p->b.column == 1 && p->m <= PACK_ABOVE;
    for (int64_t k = 0; k < p->k; k++) b_rows[k] = k * (in_place ? p->b.row : PANEL);
    for (int64_t j = 0, columns; j < p->n; j += columns) {
        const int vectors = panel_vectors(in_place ? p->m : TILE_ROWS, p->n - j);
        columns = least(vectors * WIDTH, p->n - j);
        const matrix b = at(p->b, 0, j), from = at(start, 0, j);
        if (!in_place) pack(packed, b, p->k, columns);
        run_strip((strip){p->k, p->a.data, p->a.row, p->a.column, in_place ? b.data : packed, b_rows, from.data, from.row, from.column,
                          at(p->c, 0, j).data, p->c.row, columns},
                  p->m, vectors);
    }
}

/* c = start + a b, where c's columns are adjacent, and start's are so or one and the same. */
static void add(product p, matrix start)
{
    const int64_t k = p.k;
    for (int64_t done = 0; done == 0 || done < k; done += DEPTH, start = p.c) {
        p.k = least(k - done, DEPTH);
        add_piece(&p, start);
        p.a = at(p.a, 0, p.k);
        p.b = at(p.b, p.k, 0);
    }
}

/* What does not fit `add`: the sums of a block of c first, then its elements one by one. */
static void multiply_blocks(const product *p)
{
    real zero = 0, sums[BLOCK_ROWS * PANEL];
    for (int64_t j = 0; j < p->n; j += PANEL)
        for (int64_t i = 0; i < p->m; i += BLOCK_ROWS) {
            const product block = {least(p->m - i, BLOCK_ROWS),
                                   least(p->n - j, PANEL),
                                   p->k,
                                   1,
                                   0,
                                   at(p->a, i, 0),
                                   at(p->b, 0, j),
                                   at(p->d, i, j),
                                   {sums, PANEL, 1}};
            const matrix c = at(p->c, i, j), d = block.d;
            add(block, (matrix){&zero, 0, 0});
            for (int64_t x = 0; x < block.n; x++)
                for (int64_t y = 0; y < block.m; y++) {
                    const real before = p->beta == 0 ? 0 : p->beta * d.data[y * d.row + x * d.column];
                    c.data[y * c.row + x * c.column] = p->alpha * sums[y * PANEL + x] + before;
                }
        }
}

/* ---- a single column of c: the lanes run along k ------------------------------------------------------------------------ */

#define DOTS 4 /* rows at once, two sums each */

/* Halves onto halves down to 16 bytes, whose lanes are then taken one by one. */
INLINE real sum_of(vr v)
{
    typedef real part __attribute__((vector_size(16)));
    const union {
        vr all;
        part parts[VECTOR_BYTES / 16];
    } u = {v};
    part sum = u.parts[0];
    UNROLLED for (int i = 1; i < VECTOR_BYTES / 16; i++) sum += u.parts[i];
    real total = sum[0];
    UNROLLED for (size_t i = 1; i < 16 / sizeof(real); i++) total += sum[i];
    return total;
}

/* `rows` is a constant where this is expanded. */
INLINE void dots(const real *a, int64_t a_row, const real *x, int64_t k, const int rows, real *out)
{
    vr sum[DOTS][2];
    const lanes last = first_lanes(k % WIDTH);
    int64_t at_k = 0;
    UNROLLED for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (vr){0};
    for (; at_k + 2 * WIDTH <= k; at_k += 2 * WIDTH)
        UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < 2; v++) sum[i][v] +=
            load(a + i * a_row + at_k + v * WIDTH) * load(x + at_k + v * WIDTH);
    if (at_k + WIDTH <= k) {
        UNROLLED for (int i = 0; i < rows; i++) sum[i][0] += load(a + i * a_row + at_k) * load(x + at_k);
        at_k += WIDTH;
    }
    if (at_k < k) UNROLLED for (int i = 0; i < rows; i++) sum[i][1] += load_first(a + i * a_row + at_k, last) * load_first(x + at_k, last);
    UNROLLED for (int i = 0; i < rows; i++) out[i] = sum_of(sum[i][0] + sum[i][1]);
}

static void multiply_column(const product *p)
{
    real column[DEPTH], sums[DOTS];
    for (int64_t done = 0; done == 0 || done < p->k; done += DEPTH) {
        const int64_t depth = least(p->k - done, DEPTH);
        const matrix a = at(p->a, 0, done), b = at(p->b, done, 0), d = done ? p->c : p->d;
        const real beta = done ? 1 : p->beta;
        for (int64_t k = 0; k < depth; k++) column[k] = b.data[k * b.row];
        for (int64_t i = 0, rows; i < p->m; i += rows) {
            rows = p->m - i < DOTS ? 1 : DOTS;
            if (rows == DOTS) dots(a.data + i * a.row, a.row, column, depth, DOTS, sums);
            else dots(a.data + i * a.row, a.row, column, depth, 1, sums);
            for (int64_t r = 0; r < rows; r++)
                p->c.data[(i + r) * p->c.row] = p->alpha * sums[r] + (beta == 0 ? 0 : beta * d.data[(i + r) * d.row]);
        }
    }
}

/* ---- which way ------------------------------------------------------------------------------------------------------------ */

static bool is_column(const product *p) { return p->n == 1 && p->a.column == 1; }

static bool is_direct(const product *p)
{
    const bool adjacent = p->d.column == 1 || p->d.column == 0;
    return p->c.column == 1 && p->alpha == 1 && (p->beta == 0 || (p->beta == 1 && adjacent));
}

/* Cycles, roughly: two multiply-adds of vectors in one, and what it takes to bring an element to or from its lane. */
static double cycles(const product *p)
{
    const double vectors = (double)((p->n + WIDTH - 1) / WIDTH), m = (double)p->m, n = (double)p->n, k = (double)p->k;
    if (is_column(p)) return m * k / (double)WIDTH;
    return m * k * vectors / 2 + (p->b.column == 1 ? 0 : k * n / 2) + (p->c.column == 1 ? 0 : 1.5 * m * n);
}

static void multiply(int64_t m, int64_t n, int64_t k, double alpha, native_matrix a, native_matrix b, double beta, native_matrix d,
                     native_matrix c)
{
    const product plain = {m,
                           n,
                           k,
                           (real)alpha,
                           (real)beta,
                           {a.data, a.row, a.column},
                           {b.data, b.row, b.column},
                           {d.data, d.row, d.column},
                           {c.data, c.row, c.column}};
    const product turned = {
        n, m, k, plain.alpha, plain.beta, transposed(plain.b), transposed(plain.a), transposed(plain.d), transposed(plain.c)};
    real zero = 0;
    const product *p = cycles(&turned) < cycles(&plain) ? &turned : &plain;
    if (is_column(p)) multiply_column(p);
    else if (is_direct(p)) add(*p, p->beta == 0 ? (matrix){&zero, 0, 0} : p->d);
    else multiply_blocks(p);
}

#include "runtime/native/products_convolve.h"

static bool supported(void)
{
#if defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

#define TABLE__(isa, type) stoai_native_products_##isa##_##type
#define TABLE_(isa, type) TABLE__(isa, type)
#define TABLE TABLE_(STOA_ISA, STOA_REAL)
#define TEXT_(isa) #isa
#define TEXT(isa) TEXT_(isa)
extern const native_products TABLE;
const native_products TABLE = {TEXT(STOA_ISA), supported, multiply, convolve_bytes, convolve};
