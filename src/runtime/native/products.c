/* SPDX-License-Identifier: Apache-2.0 */
/* c = alpha a b + beta d. The columns of c ride in the lanes: a register tile of rows x vectors of c, one element of a broadcast to
 * each row, one row of b as it lies, or packed when its columns are not adjacent. With the columns of an SoA block as b nothing is
 * packed but the tail. */
#include "runtime/native/products.h"

#include <string.h>

#include "runtime/native/vmath.h"

#define VECTORS 2               /* of a register tile's row */
#define WIDTH ((int64_t)(VECTORS * LANES)) /* columns of a register tile */
#define TILE_ROWS (VECTOR_BYTES == 64 ? 12 : 6) /* accumulators: 24 of 32 registers, or 12 of 16 */
#define DEPTH 256               /* of k in one go: a packed panel of b stays in the first-level cache */

typedef struct panel {
    const float *rows; /* [depth] rows of WIDTH adjacent columns */
    int64_t pitch;
} panel;

/* One register tile: `count` rows of c, WIDTH columns into `out`, adjacent. */
#define TILE(count)                                                                                                                \
    static void tile_##count(int64_t depth, const float *a, int64_t a_row, int64_t a_column, panel b, float *out)                  \
    {                                                                                                                              \
        vf sum[count][VECTORS] = {{{0}}};                                                                                          \
        for (int64_t k = 0; k < depth; k++) {                                                                                      \
            const float *row = b.rows + k * b.pitch;                                                                               \
            const vf b0 = v_load(row), b1 = v_load(row + LANES);                                                                   \
            _Pragma("GCC unroll 12") for (int i = 0; i < count; i++)                                                               \
            {                                                                                                                      \
                const vf value = v_splat(a[i * a_row + k * a_column]);                                                             \
                sum[i][0] += value * b0;                                                                                           \
                sum[i][1] += value * b1;                                                                                           \
            }                                                                                                                      \
        }                                                                                                                          \
        for (int i = 0; i < count; i++) {                                                                                          \
            v_store(out + i * WIDTH, sum[i][0]);                                                                                   \
            v_store(out + i * WIDTH + LANES, sum[i][1]);                                                                           \
        }                                                                                                                          \
    }
TILE(1)
TILE(2)
TILE(4)
TILE(6)
#if VECTOR_BYTES == 64
TILE(12)
#endif

typedef void (*tile_function)(int64_t depth, const float *a, int64_t a_row, int64_t a_column, panel b, float *out);
static const struct {
    int64_t rows;
    tile_function run;
} tiles[] = {
#if VECTOR_BYTES == 64
    {12, tile_12},
#endif
    {6, tile_6}, {4, tile_4}, {2, tile_2}, {1, tile_1}};

/* What c holds before a tile is added: beta d for the first pass over k, what is there for the later ones. */
static float before(int64_t i, int64_t j, float beta, native_matrix d, native_matrix c, bool first)
{
    if (!first) return c.data[i * c.row + j * c.column];
    return beta == 0 ? 0 : beta * d.data[i * d.row + j * d.column];
}

static vf before_row(const float *c, const float *d, int64_t d_column, float beta, bool first)
{
    if (!first) return v_load(c);
    if (beta == 0) return (vf){0};
    return beta * (d_column ? v_load(d) : v_splat(*d));
}

static void store(const float *tile, int64_t rows, int64_t columns, float alpha, float beta, native_matrix d, native_matrix c, bool first)
{
    const bool adjacent = c.column == 1 && columns == WIDTH && (d.column == 0 || d.column == 1 || beta == 0 || !first);
    for (int64_t i = 0; i < rows; i++, tile += WIDTH)
        for (int64_t j = 0; j < columns; j += adjacent ? (int64_t)LANES : 1) {
            float *to = &c.data[i * c.row + j * c.column];
            const float *from = d.data ? &d.data[i * d.row + j * d.column] : NULL;
            if (adjacent) v_store(to, alpha * v_load(tile + j) + before_row(to, from, d.column, beta, first));
            else *to = alpha * tile[j] + before(i, j, beta, d, c, first);
        }
}

static native_matrix at(native_matrix m, int64_t row, int64_t column)
{
    if (m.data) m.data += row * m.row + column * m.column;
    return m;
}

static void pack(float *packed, native_matrix b, int64_t depth, int64_t columns)
{
    memset(packed, 0, (size_t)(depth * WIDTH) * sizeof *packed);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < columns; j++) packed[k * WIDTH + j] = b.data[k * b.row + j * b.column];
}

/* All rows of c for the columns of one panel and one piece of k. */
static void multiply_panel(int64_t m, int64_t columns, int64_t depth, float alpha, native_matrix a, panel b, float beta, native_matrix d,
                           native_matrix c, bool first)
{
    float out[TILE_ROWS * WIDTH];
    for (int64_t i = 0, t = 0; i < m; i += tiles[t].rows) {
        while (tiles[t].rows > m - i) t++;
        tiles[t].run(depth, at(a, i, 0).data, a.row, a.column, b, out);
        store(out, tiles[t].rows, columns, alpha, beta, at(d, i, 0), at(c, i, 0), first);
    }
}

/* A column or two: every element a sum along k, whose lanes are added at the end. */
static float dot(const float *x, const float *y, int64_t k)
{
    vf sum = {0};
    float rest = 0;
    int64_t i = 0;
    for (; i + (int64_t)LANES <= k; i += (int64_t)LANES) sum += v_load(x + i) * v_load(y + i);
    for (; i < k; i++) rest += x[i] * y[i];
    for (size_t lane = 0; lane < LANES; lane++) rest += sum[lane];
    return rest;
}

static bool multiply_narrow(int64_t m, int64_t n, int64_t k, float alpha, native_matrix a, native_matrix b, float beta, native_matrix d,
                            native_matrix c)
{
    float column[DEPTH];
    if (n > 2 || k > DEPTH || a.column != 1) return false;
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < k; i++) column[i] = b.data[i * b.row + j * b.column];
        for (int64_t i = 0; i < m; i++) {
            c.data[i * c.row + j * c.column] = alpha * dot(a.data + i * a.row, column, k) + before(i, j, beta, d, c, true);
        }
    }
    return true;
}

static native_matrix transposed(native_matrix m) { return (native_matrix){m.data, m.column, m.row}; }

static void multiply(int64_t m, int64_t n, int64_t k, float alpha, native_matrix a, native_matrix b, float beta, native_matrix d,
                     native_matrix c)
{
    float packed[DEPTH * WIDTH];
    if (c.column != 1 && c.row == 1) { /* the adjacent elements go into the lanes */
        multiply(n, m, k, alpha, transposed(b), transposed(a), beta, transposed(d), transposed(c));
        return;
    }
    if (multiply_narrow(m, n, k, alpha, a, b, beta, d, c)) return;
    for (int64_t j = 0; j < n; j += WIDTH) {
        const int64_t columns = n - j < WIDTH ? n - j : WIDTH;
        for (int64_t p = 0; p == 0 || p < k; p += DEPTH) {
            const int64_t depth = k - p < DEPTH ? k - p : DEPTH;
            panel b_panel = {at(b, p, j).data, b.row};
            if (b.column != 1 || columns < WIDTH) {
                pack(packed, at(b, p, j), depth, columns);
                b_panel = (panel){packed, WIDTH};
            }
            multiply_panel(m, columns, depth, alpha, at(a, 0, p), b_panel, beta, at(d, 0, j), at(c, 0, j), p == 0);
        }
    }
}

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

#define TABLE_(isa) stoai_native_products_##isa
#define TABLE(isa) TABLE_(isa)
#define TEXT_(isa) #isa
#define TEXT(isa) TEXT_(isa)
extern const native_products TABLE(STOA_ISA);
const native_products TABLE(STOA_ISA) = {TEXT(STOA_ISA), supported, multiply};
