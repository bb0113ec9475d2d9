/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices and convolution against plain loops in double: random shapes and strides, every level of this machine, both
 * types. An element may be off by eps (k + 4) of the sum of its terms' magnitudes; elements between the strides stay as they were. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/products.h"

#define GAP (-7777.0) /* between the strides */

static const stoa_dtype dtypes[] = {STOA_FLOAT32, STOA_FLOAT64};
static uint64_t seed = 20;

static int64_t below(int64_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(seed >> 33) % bound;
}
static double uniform(void) { return (double)below(1 << 24) / (1 << 23) - 1; }

/* Elements of either type; exactly as many as are in use, so that a step too far is seen by a sanitizer. */
typedef struct elements {
    stoa_dtype dtype;
    int64_t count;
    void *data;
} elements;

static double get(const elements *e, int64_t i)
{ return e->dtype == STOA_FLOAT64 ? ((double *)e->data)[i] : (double)((float *)e->data)[i]; }
static void set(const elements *e, int64_t i, double value)
{
    if (e->dtype == STOA_FLOAT64) ((double *)e->data)[i] = value;
    else ((float *)e->data)[i] = (float)value;
}
static double epsilon(stoa_dtype dtype) { return dtype == STOA_FLOAT64 ? DBL_EPSILON : (double)FLT_EPSILON; }

static elements elements_of(stoa_dtype dtype, int64_t count)
{
    elements e = {dtype, count, malloc((size_t)(count > 0 ? count : 1) * (dtype == STOA_FLOAT64 ? 8 : 4))};
    assert_non_null(e.data);
    for (int64_t i = 0; i < count; i++) set(&e, i, GAP);
    return e;
}

/* ---- products ------------------------------------------------------------------------------------------------------------- */

typedef struct operand {
    elements memory;
    int64_t rows, columns, row, column;
} operand;

typedef enum layout { ROW_MAJOR, COLUMN_MAJOR, SPACED, EACH_ROW, EACH_COLUMN, LAYOUTS } layout;

static operand operand_of(stoa_dtype dtype, int64_t rows, int64_t columns, layout how, int64_t gap)
{
    static const int64_t one = 1;
    operand o = {.rows = rows, .columns = columns};
    const int64_t wide = columns + gap > one ? columns + gap : one, high = rows + gap > one ? rows + gap : one;
    switch (how) {
    case ROW_MAJOR: o.row = wide, o.column = 1; break;
    case COLUMN_MAJOR: o.row = 1, o.column = high; break;
    case SPACED: o.row = 3 * wide, o.column = 2; break;
    case EACH_ROW: o.row = 1, o.column = 0; break;    /* one value for each row */
    case EACH_COLUMN: o.row = 0, o.column = 1; break;
    case LAYOUTS: break;
    }
    const bool empty = rows == 0 || columns == 0;
    o.memory = elements_of(dtype, empty ? 0 : (rows - 1) * o.row + (columns - 1) * o.column + 1);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) set(&o.memory, i * o.row + j * o.column, uniform());
    return o;
}
static native_matrix matrix_of(const operand *o) { return (native_matrix){o->memory.data, o->row, o->column}; }
static double element(const operand *o, int64_t i, int64_t j) { return get(&o->memory, i * o->row + j * o->column); }

typedef struct shape {
    int64_t m, n, k;
    layout a, b, c, d;
    double alpha, beta;
    int64_t gap;
    bool in_place; /* d is c */
} shape;

/* What the product should be, and how far off it may be. */
static double expected(const shape *s, const operand *a, const operand *b, double before, int64_t i, int64_t j, double *bound)
{
    double sum = 0, size = 0;
    for (int64_t k = 0; k < s->k; k++) {
        const double term = element(a, i, k) * element(b, k, j);
        sum += term;
        size += fabs(term);
    }
    *bound = epsilon(a->memory.dtype) * ((double)s->k + 4) * (fabs(s->alpha) * size + fabs(s->beta * before)) + 1e-300;
    return s->alpha * sum + (s->beta != 0 ? s->beta * before : 0);
}

static void check_gaps(const operand *c)
{
    int64_t gaps = 0;
    for (int64_t i = 0; i < c->memory.count; i++) gaps += get(&c->memory, i) == GAP;
    assert_int_equal(gaps, c->memory.count - c->rows * c->columns);
}

static void check_product(const native_products *level, stoa_dtype dtype, const shape *s)
{
    operand a = operand_of(dtype, s->m, s->k, s->a, s->gap), b = operand_of(dtype, s->k, s->n, s->b, s->gap);
    operand c = operand_of(dtype, s->m, s->n, s->c, s->gap), d = operand_of(dtype, s->m, s->n, s->in_place ? s->c : s->d, s->gap);
    if (s->in_place) memcpy(c.memory.data, d.memory.data, (size_t)c.memory.count * (dtype == STOA_FLOAT64 ? 8 : 4));
    for (int64_t i = 0; !s->in_place && i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) set(&c.memory, i * c.row + j * c.column, NAN); /* must not be read */
    const native_matrix nothing = {NULL, 0, 0}, before = s->in_place ? matrix_of(&c) : s->beta != 0 ? matrix_of(&d) : nothing;
    level->multiply(s->m, s->n, s->k, s->alpha, matrix_of(&a), matrix_of(&b), s->beta, before, matrix_of(&c));
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double bound;
            const double want = expected(s, &a, &b, element(&d, i, j), i, j, &bound), got = element(&c, i, j);
            if (!(fabs(got - want) <= bound))
                fail_msg(
                    "%s, %s, %lld x %lld x %lld, layouts %d %d %d %d, alpha %g, beta %g, gap %lld, in place %d: (%lld, %lld) is %.17g, "
                    "not %.17g within %g",
                    level->name, stoa_dtype_name(dtype), (long long)s->m, (long long)s->n, (long long)s->k, s->a, s->b, s->c, s->d,
                    s->alpha, s->beta, (long long)s->gap, s->in_place, (long long)i, (long long)j, got, want, bound);
        }
    check_gaps(&c);
    free(a.memory.data), free(b.memory.data), free(c.memory.data), free(d.memory.data);
}

static void every_level(void (*check)(const native_products *level, stoa_dtype dtype))
{
    for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++)
        for (const native_products *const *level = stoai_native_products_levels(dtypes[t]); *level; level++)
            if ((*level)->supported()) check(*level, dtypes[t]);
            else print_message("%s: skipped, this processor lacks it\n", (*level)->name);
}

/* Weights times columns and columns times weights, as networks have them, around every boundary of tiles, panels and pieces. */
static void check_layers(const native_products *level, stoa_dtype dtype)
{
    static const int64_t rows[] = {1, 2, 3, 5, 7, 12, 13, 32, 97}, depths[] = {0, 1, 17, 33, 64, 256, 257, 600};
    static const int64_t columns[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 130};
    for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
        for (size_t k = 0; k < sizeof depths / sizeof *depths; k++)
            for (size_t n = 0; n < sizeof columns / sizeof *columns; n++) {
                const int64_t o = rows[m], f = depths[k], x = columns[n];
                if (o * f * x > 200000) continue;
                check_product(level, dtype, &(shape){o, x, f, ROW_MAJOR, ROW_MAJOR, ROW_MAJOR, EACH_ROW, 1, 1, 3, false});
                check_product(level, dtype, &(shape){x, o, f, COLUMN_MAJOR, COLUMN_MAJOR, ROW_MAJOR, EACH_COLUMN, 1, 1, 0, false});
                check_product(level, dtype, &(shape){x, o, f, ROW_MAJOR, COLUMN_MAJOR, ROW_MAJOR, EACH_COLUMN, 1, 0, 0, false});
            }
}
static void test_layers(void **state)
{
    (void)state;
    every_level(check_layers);
}

static void check_random(const native_products *level, stoa_dtype dtype)
{
    static const double factors[] = {0, 1, 1, -0.75};
    for (int i = 0; i < 1500; i++) {
        const bool in_place = below(4) == 0;
        const shape s = {below(70),
                         below(90),
                         below(i % 50 == 0 ? 700 : 90),
                         (layout)below(3),
                         (layout)below(3),
                         (layout)below(3),
                         (layout)below(LAYOUTS),
                         factors[below(4)],
                         factors[below(4)],
                         below(5),
                         in_place};
        check_product(level, dtype, &s);
    }
}
static void test_random(void **state)
{
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    every_level(check_random);
}

/* A value that is no number stays in its own row and column. */
static void check_not_a_number(const native_products *level, stoa_dtype dtype)
{
    for (int64_t n = 1; n <= 40; n++) {
        operand a = operand_of(dtype, 14, 9, ROW_MAJOR, 0), b = operand_of(dtype, 9, n, ROW_MAJOR, 0),
                c = operand_of(dtype, 14, n, ROW_MAJOR, 0);
        const native_matrix nothing = {NULL, 0, 0};
        set(&a.memory, 5 * a.row + 4, NAN);
        set(&b.memory, 3 * b.row + n - 1, INFINITY);
        level->multiply(14, n, 9, 1, matrix_of(&a), matrix_of(&b), 0, nothing, matrix_of(&c));
        for (int64_t i = 0; i < 14; i++)
            for (int64_t j = 0; j < n; j++) assert_int_equal(isfinite(element(&c, i, j)), i != 5 && j != n - 1);
        free(a.memory.data), free(b.memory.data), free(c.memory.data);
    }
}
static void test_not_a_number(void **state)
{
    (void)state;
    every_level(check_not_a_number);
}

/* ---- convolution ---------------------------------------------------------------------------------------------------------- */

/* Strides of [image][channel][y][x] with the axes in one of three orders, slowest first: as networks keep images, channels last,
 * and images adjacent, as columns of an SoA collection do. */
static native_images images_of(elements *memory, stoa_dtype dtype, const int64_t sizes[4], int64_t order)
{
    static const int orders[3][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}, {1, 3, 2, 0}};
    int64_t strides[4], next = 1;
    for (int i = 3; i >= 0; i--) {
        strides[orders[order][i]] = next;
        next *= sizes[orders[order][i]];
    }
    *memory = elements_of(dtype, next);
    return (native_images){memory->data, strides[0], strides[1], strides[2], strides[3]};
}

static double pixel(const elements *e, const native_images *s, int64_t image, int64_t channel, int64_t y, int64_t x)
{ return get(e, image * s->image + channel * s->channel + y * s->row + x * s->column); }

/* One element of the output, term by term. */
static double convolved(const native_convolution *c, const elements *in, const elements *weight, const elements *bias, const int64_t at[4],
                        double *size)
{
    double sum = c->bias ? get(bias, at[1]) : 0;
    *size = fabs(sum);
    for (int64_t k = 0; k < c->channels * c->kernel[0] * c->kernel[1]; k++) {
        const int64_t channel = k / (c->kernel[0] * c->kernel[1]), ky = k / c->kernel[1] % c->kernel[0], kx = k % c->kernel[1];
        const int64_t y = at[2] * c->stride[0] - c->padding[0] + ky * c->dilation[0];
        const int64_t x = at[3] * c->stride[1] - c->padding[1] + kx * c->dilation[1];
        if (y < 0 || y >= c->size[0] || x < 0 || x >= c->size[1]) continue;
        const double term = get(weight, at[1] * c->channels * c->kernel[0] * c->kernel[1] + k) *
                            pixel(in, &c->in, at[0], at[1] / c->outs * c->channels + channel, y, x);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void compare_images(const native_products *level, const native_convolution *c, const elements *in, const elements *weight,
                           const elements *bias, const elements *out, const int64_t sizes[4])
{
    const double terms = (double)(c->channels * c->kernel[0] * c->kernel[1]) + 4;
    for (int64_t i = 0; i < out->count; i++) {
        const int64_t at[4] = {i / (sizes[1] * sizes[2] * sizes[3]), i / (sizes[2] * sizes[3]) % sizes[1], i / sizes[3] % sizes[2],
                               i % sizes[3]};
        double size;
        const double want = convolved(c, in, weight, bias, at, &size), got = pixel(out, &c->out, at[0], at[1], at[2], at[3]);
        if (!(fabs(got - want) <= epsilon(in->dtype) * terms * size))
            fail_msg("%s, %s, image %lldx%lld, kernel %lldx%lld, stride %lld %lld, padding %lld %lld, dilation %lld %lld, groups %lld: "
                     "[%lld][%lld]"
                     "[%lld][%lld] is %.17g, not %.17g",
                     level->name, stoa_dtype_name(in->dtype), (long long)c->size[0], (long long)c->size[1], (long long)c->kernel[0],
                     (long long)c->kernel[1], (long long)c->stride[0], (long long)c->stride[1], (long long)c->padding[0],
                     (long long)c->padding[1], (long long)c->dilation[0], (long long)c->dilation[1], (long long)c->groups, (long long)at[0],
                     (long long)at[1], (long long)at[2], (long long)at[3], got, want);
    }
}

static void fill(const elements *e)
{
    for (int64_t i = 0; i < e->count; i++) set(e, i, uniform());
}

/* An image has the same bits whatever lies beside it. */
static void check_alone(const native_products *level, const native_convolution *c, const elements *out, const int64_t sizes[4])
{
    const int64_t image = below(c->images), one_size[4] = {1, sizes[1], sizes[2], sizes[3]};
    native_convolution one = *c;
    elements alone;
    one.images = 1;
    one.in.data = (char *)c->in.data + image * c->in.image * (int64_t)stoa_dtype_bytes(out->dtype);
    one.out = images_of(&alone, out->dtype, one_size, 0);
    void *workspace = malloc(level->convolve_bytes(&one));
    assert_non_null(workspace);
    level->convolve(&one, workspace);
    for (int64_t i = 0; i < alone.count; i++) {
        const int64_t channel = i / (sizes[2] * sizes[3]), y = i / sizes[3] % sizes[2], x = i % sizes[3];
        if (get(&alone, i) != pixel(out, &c->out, image, channel, y, x))
            fail_msg("%s: image %lld of %lld, [%lld][%lld][%lld]: %.17g, alone %.17g", level->name, (long long)image, (long long)c->images,
                     (long long)channel, (long long)y, (long long)x, pixel(out, &c->out, image, channel, y, x), get(&alone, i));
    }
    free(workspace), free(alone.data);
}

static void check_convolution(const native_products *level, stoa_dtype dtype, native_convolution c, int64_t in_order, int64_t out_order)
{
    const int64_t in_sizes[4] = {c.images, c.groups * c.channels, c.size[0], c.size[1]};
    const int64_t out_sizes[4] = {c.images, c.groups * c.outs, stoai_native_convolved(&c, 0), stoai_native_convolved(&c, 1)};
    elements in, out, weight = elements_of(dtype, out_sizes[1] * c.channels * c.kernel[0] * c.kernel[1]),
                      bias = elements_of(dtype, out_sizes[1]);
    c.in = images_of(&in, dtype, in_sizes, in_order);
    c.out = images_of(&out, dtype, out_sizes, out_order);
    fill(&in), fill(&weight), fill(&bias);
    c.weight = weight.data;
    c.bias = below(2) ? bias.data : NULL;
    void *workspace = malloc(level->convolve_bytes(&c));
    assert_non_null(workspace);
    level->convolve(&c, workspace);
    compare_images(level, &c, &in, &weight, &bias, &out, out_sizes);
    if (c.images > 0) check_alone(level, &c, &out, out_sizes);
    free(workspace), free(in.data), free(out.data), free(weight.data), free(bias.data);
}

/* The layers of a small residual network on 9 x 9 images. */
static void check_residual(const native_products *level, stoa_dtype dtype)
{
    static const native_convolution layers[] = {
        {.channels = 3,
         .outs = 16,
         .size = {9, 9},
         .kernel = {3, 3},
         .stride = {1, 1},
         .padding = {1, 1},
         .dilation = {1, 1},
         .images = 3,
         .groups = 1},
        {.channels = 16,
         .outs = 16,
         .size = {9, 9},
         .kernel = {3, 3},
         .stride = {1, 1},
         .padding = {1, 1},
         .dilation = {1, 1},
         .images = 3,
         .groups = 1},
        {.channels = 16,
         .outs = 32,
         .size = {9, 9},
         .kernel = {3, 3},
         .stride = {2, 2},
         .padding = {1, 1},
         .dilation = {1, 1},
         .images = 3,
         .groups = 1},
        {.channels = 16, .outs = 32, .size = {9, 9}, .kernel = {1, 1}, .stride = {2, 2}, .dilation = {1, 1}, .images = 3, .groups = 1},
        {.channels = 32,
         .outs = 32,
         .size = {5, 5},
         .kernel = {3, 3},
         .stride = {1, 1},
         .padding = {1, 1},
         .dilation = {1, 1},
         .images = 3,
         .groups = 1},
        {.channels = 2, .outs = 100, .size = {8, 4}, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .images = 1, .groups = 1},
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int64_t order = 0; order < 9; order++) check_convolution(level, dtype, layers[i], order / 3, order % 3);
}
static void test_residual(void **state)
{
    (void)state;
    every_level(check_residual);
}

static void check_any_convolution(const native_products *level, stoa_dtype dtype)
{
    for (int made = 0; made < 300;) {
        native_convolution c = {
            .images = below(2) ? below(4) : 16 + below(8), .groups = 1 + below(3), .outs = 1 + below(20), .channels = 1 + below(4)};
        for (int axis = 0; axis < 2; axis++) {
            c.size[axis] = 1 + below(14);
            c.kernel[axis] = 1 + below(5);
            c.stride[axis] = 1 + below(4);
            c.padding[axis] = below(5);
            c.dilation[axis] = 1 + below(3);
        }
        if (stoai_native_convolved(&c, 0) < 1 || stoai_native_convolved(&c, 1) < 1) continue;
        check_convolution(level, dtype, c, below(3), below(3));
        made++;
    }
}
static void test_any_convolution(void **state)
{
    (void)state;
    every_level(check_any_convolution);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),   cmocka_unit_test(test_random),          cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_residual), cmocka_unit_test(test_any_convolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
