/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors over columns: CMSSW's shapes and strides, slices, generic views, everything that is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "stoa/tensor.h"
#include "tensor/span.h"

#define STOA_LAYOUT datatypes
#define STOA_LAYOUT_DEF "data/datatypes.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT simple
#define STOA_LAYOUT_DEF "data/simple.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static const stoa_place HOST = {STOA_PLACE_HOST, 0};
static const stoa_place CUDA = {STOA_PLACE_CUDA, 0};

static void assert_ok(stoa_status status, const stoa_error *err)
{
    if (status != STOA_OK) fail_msg("%s: %s (%s)", stoa_status_name(status), err->message, err->where);
}

static void assert_error(stoa_status status, stoa_status expected, const stoa_error *err, const char *part)
{
    if (status != expected) fail_msg("%s instead of %s", stoa_status_name(status), stoa_status_name(expected));
    if (!strstr(err->message, part)) fail_msg("'%s' is not in '%s'", part, err->message);
}

/* A zeroed blob behind a view; free(view.head.blob) ends it. */
static void *new_blob(const stoa_layout *layout, uint32_t rows, stoa_view_head *view)
{
    stoa_error err;
    size_t bytes;
    assert_ok(stoa_layout_bytes(layout, rows, &bytes, &err), &err);
    void *blob = aligned_alloc(128, bytes ? bytes : 128);
    memset(blob, 0, bytes);
    assert_ok(stoa_layout_bind(layout, rows, blob, bytes, HOST, view, &err), &err);
    return blob;
}

static void check_strided(stoa_tensor tensor, int32_t rank, const int64_t *shape, const int64_t *strides, const void *data)
{
    stoa_error err;
    stoa_strided s;
    assert_ok(stoa_tensor_strided(tensor, &s, &err), &err);
    assert_int_equal(s.rank, rank);
    for (int32_t i = 0; i < rank; i++) {
        assert_int_equal(s.shape[i], shape[i]);
        assert_int_equal(s.strides[i], strides[i]);
    }
    assert_ptr_equal(s.data, data);
}
#define SHAPE(...) \
    (const int64_t[]) { __VA_ARGS__ }

/* Inventory 4.2, the whole table. `f` and `d` are the padded rows of float and double. */
static void check_datatypes(uint32_t rows, int64_t d, int64_t f)
{
    datatypes t;
    void *blob = new_blob(&datatypes_layout, rows, &t.head);
    const int64_t n = rows;
    check_strided(STOA_COLUMNS(t, x, y, z), 2, SHAPE(n, 3), SHAPE(1, d), t.x);
    check_strided(STOA_COLUMNS(t, x), 2, SHAPE(n, 1), SHAPE(1, d), t.x);
    check_strided(STOA_COLUMNS(t, a, b), 3, SHAPE(n, 2, 3), SHAPE(1, 3 * d, d), t.a.data);
    check_strided(STOA_COLUMNS(t, a), 2, SHAPE(n, 3), SHAPE(1, d), t.a.data);
    check_strided(STOA_COLUMNS(t, c), 3, SHAPE(n, 2, 2), SHAPE(1, f, 2 * f), t.c.data);
    stoa_tensor scalar = STOA_COLUMNS(t, type);
    assert_int_equal(scalar.rows, UINT32_MAX);
    check_strided(stoa_tensor_slice(scalar, 0, rows), 2, SHAPE(n, 1), SHAPE(0, 32), t.type);
    free(blob);
}

static void test_cmssw_shapes(void **state)
{
    (void)state;
    check_datatypes(64, 64, 64);
    check_datatypes(17, 32, 32);
    check_datatypes(1, 16, 32);
    check_datatypes(0, 0, 0);
}

/* Inventory 4.5: three images of 9 x 9. */
static void test_images(void **state)
{
    (void)state;
    const stoa_column_desc image[] = {
        {"r", "", "", STOA_FLOAT32, STOA_KIND_MATRIX, {9, 9}, 0, 0},
        {"g", "", "", STOA_FLOAT32, STOA_KIND_MATRIX, {9, 9}, 0, 0},
        {"b", "", "", STOA_FLOAT32, STOA_KIND_MATRIX, {9, 9}, 0, 0},
    };
    const stoa_layout layout = {sizeof layout, 3, 0, 0, "image", image};
    for (int pass = 0; pass < 2; pass++) {
        const uint32_t rows = pass ? 10 : 64;
        const int64_t padded = pass ? 32 : 64;
        stoa_error err;
        size_t bytes;
        assert_ok(stoa_layout_bytes(&layout, rows, &bytes, &err), &err);
        void *blob = aligned_alloc(128, bytes);
        const stoa_view_head head = {&layout, blob, rows, 0, HOST};
        stoa_column columns[3];
        assert_ok(stoa_view_find(&head, "r", &columns[0], &err), &err);
        assert_ok(stoa_view_find(&head, "g", &columns[1], &err), &err);
        assert_ok(stoa_view_find(&head, "b", &columns[2], &err), &err);
        check_strided(stoa_tensor_of(columns, 3), 4, SHAPE(rows, 3, 9, 9), SHAPE(1, 81 * padded, padded, 9 * padded), blob);
        assert_error(stoa_view_find(&head, "alpha", &columns[2], &err), STOA_ENAME, &err, "it has 'r', 'g', 'b'");
        assert_int_equal(stoa_view_column(&head, 0).dtype, STOA_DTYPE_NONE);
        free(blob);
    }
}

/* The macro finds what the table says, for every type and kind, in the view and its const twin. */
static void test_columns(void **state)
{
    (void)state;
    stoa_error err;
    alltypes t;
    void *blob = new_blob(&alltypes_layout, 40, &t.head);
    stoa_tensor all = STOA_COLUMNS(t, i8, i16, i32, i64, u8, u16, u32, u64, f16, f32, f64, bf16, flag, c64, c128);
    assert_int_equal(all.column_count, 15);
    assert_int_equal(all.rows, 40);
    for (uint32_t i = 0; i < 15; i++) {
        stoa_column found;
        assert_ok(stoa_view_find(&t.head, alltypes_columns[i].name, &found, &err), &err);
        assert_int_equal(all.columns[i].dtype, alltypes_columns[i].dtype);
        assert_memory_equal(&found, &all.columns[i], sizeof found);
    }
    const stoa_column m = STOA_COLUMN(t, m128), s = STOA_COLUMN(t, s16);
    assert_int_equal(m.extent[0], 2);
    assert_int_equal(m.extent[1], 3);
    assert_int_equal(m.stride[0], 40);
    assert_int_equal(m.stride[1], 80);
    assert_int_equal(s.flags, STOA_COLUMN_SCALAR);
    assert_int_equal(s.row_stride, 0);
    assert_int_equal(s.rows, UINT32_MAX);
    assert_ok(stoa_tensor_check(all, &err), &err);
    assert_int_equal(stoa_view_column(&t.head, 1).dtype, STOA_DTYPE_NONE);
    assert_int_equal(stoa_view_column(NULL, 1).dtype, STOA_DTYPE_NONE);

    alltypes_const c;
    assert_ok(stoa_layout_bind_const(&alltypes_layout, 40, blob, 1 << 20, HOST, &c.head, &err), &err);
    stoa_tensor typed = STOA_COLUMNS_OF(float, c, f32);
    assert_int_equal(typed.columns[0].flags, STOA_COLUMN_CONST);
    assert_ptr_equal(typed.columns[0].data, t.f32);
    stoa_tensor writable = STOA_COLUMNS_OF(double, t, f64, f64);
    assert_int_equal(writable.columns[0].flags, 0);
    assert_int_equal(writable.column_count, 2);
    stoa_strided strided;
    assert_ok(stoa_tensor_strided(typed, &strided, &err), &err);
    assert_int_equal(strided.flags, STOA_COLUMN_CONST);
    assert_int_equal(strided.dtype, STOA_FLOAT32);
    free(blob);
}

/* SoAGenericView: columns of several SoAs in one tensor; addresses are shared, writes go through. */
static void test_join(void **state)
{
    (void)state;
    stoa_error err;
    simple a, b;
    void *blob = aligned_alloc(128, 2048); /* two SoAs of 17 rows in a row: a.x, b.x are 512 bytes apart */
    memset(blob, 0, 2048);
    assert_ok(stoa_layout_bind(&simple_layout, 17, blob, 512, HOST, &a.head, &err), &err);
    assert_ok(stoa_layout_bind(&simple_layout, 17, (char *)blob + 512, 512, HOST, &b.head, &err), &err);
    stoa_tensor tensor = STOA_COLUMNS_JOIN(STOA_COLUMN(a, x), STOA_COLUMN(b, x));
    check_strided(tensor, 2, SHAPE(17, 2), SHAPE(1, 128), a.x);
    ((float *)tensor.columns[1].data)[16] = 3.0f;
    assert_true(b.x[16] == 3.0f);

    stoa_strided strided;
    stoa_tensor scattered = STOA_COLUMNS_JOIN(STOA_COLUMN(a, x), STOA_COLUMN(b, x), STOA_COLUMN(a, t));
    assert_ok(stoa_tensor_check(scattered, &err), &err);
    assert_error(stoa_tensor_strided(scattered, &strided, &err), STOA_ESHAPE, &err,
                 "column 2 lies -128 bytes behind column 1, 512 bytes needed");
    assert_null(strided.data);
    simple small;
    void *other = new_blob(&simple_layout, 5, &small.head);
    stoa_tensor uneven = STOA_COLUMNS_JOIN(STOA_COLUMN(a, x), STOA_COLUMN(small, y));
    assert_int_equal(uneven.rows, 5);
    free(other);
    free(blob);
}

static void test_reverse(void **state)
{
    (void)state;
    simple t;
    void *blob = new_blob(&simple_layout, 40, &t.head);
    check_strided(STOA_COLUMNS(t, t, z, y, x), 2, SHAPE(40, 4), SHAPE(1, -64), t.t);
    check_strided(STOA_COLUMNS(t, t, y), 2, SHAPE(40, 2), SHAPE(1, -128), t.t);
    check_strided(STOA_COLUMNS(t, x, x, x), 2, SHAPE(40, 3), SHAPE(1, 0), t.x);
    check_strided(stoa_tensor_slice(STOA_COLUMNS(t, t, x), 39, 9), 2, SHAPE(1, 2), SHAPE(1, -192), &t.t[39]);
    free(blob);
}

static void test_slices(void **state)
{
    (void)state;
    datatypes t;
    void *blob = new_blob(&datatypes_layout, 100, &t.head);
    const stoa_tensor all = STOA_COLUMNS(t, x, y, z);
    stoa_tensor s = stoa_tensor_slice(all, 10, 32);
    assert_ptr_equal(s.columns, all.columns);
    check_strided(s, 2, SHAPE(32, 3), SHAPE(1, 112), t.x + 10);
    s = stoa_tensor_slice(s, 30, 100); /* of a slice */
    check_strided(s, 2, SHAPE(2, 3), SHAPE(1, 112), t.x + 40);
    check_strided(stoa_tensor_slice(all, 96, 32), 2, SHAPE(4, 3), SHAPE(1, 112), t.x + 96);
    check_strided(stoa_tensor_slice(all, 100, 32), 2, SHAPE(0, 3), SHAPE(1, 112), t.x + 100);
    check_strided(stoa_tensor_slice(all, UINT32_MAX, UINT32_MAX), 2, SHAPE(0, 3), SHAPE(1, 112), t.x + 100);
    check_strided(stoa_tensor_slice(all, 0, UINT32_MAX), 2, SHAPE(100, 3), SHAPE(1, 112), t.x);
    check_strided(stoa_tensor_slice(STOA_COLUMNS(t, a, b), 7, 10), 3, SHAPE(10, 2, 3), SHAPE(1, 336, 112), t.a.data + 7);
    stoa_tensor scalar = stoa_tensor_slice(STOA_COLUMNS(t, type), 96, 4);
    check_strided(scalar, 2, SHAPE(4, 1), SHAPE(0, 32), t.type);
    stoa_tensor mixed = stoa_tensor_slice(STOA_COLUMNS(t, type, number), 1, 2);
    assert_int_equal(mixed.rows, 2);

    assert_int_equal(stoa_tensor_batch_count(all, 32), 4);
    assert_int_equal(stoa_tensor_batch_count(all, 10), 10);
    assert_int_equal(stoa_tensor_batch_count(all, 1), 100);
    assert_int_equal(stoa_tensor_batch_count(all, UINT32_MAX), 1);
    assert_int_equal(stoa_tensor_batch_count(all, 0), 0);
    assert_int_equal(stoa_tensor_batch_count(stoa_tensor_slice(all, 100, 1), 10), 0);
    assert_int_equal(stoa_tensor_batch_count(STOA_COLUMNS(t, type), 10), 1);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < stoa_tensor_batch_count(all, 7); i++) rows += stoa_tensor_slice(all, i * 7, 7).rows;
    assert_int_equal(rows, 100);
    free(blob);
}

static void test_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_strided strided;
    datatypes t;
    void *blob = new_blob(&datatypes_layout, 64, &t.head);
    assert_error(stoa_tensor_strided(STOA_COLUMNS(t, x, number), &strided, &err), STOA_EDTYPE, &err,
                 "column 1 is int32, column 0 is float64");
    assert_error(stoa_tensor_strided(STOA_COLUMNS(t, x, a), &strided, &err), STOA_ESHAPE, &err,
                 "column 1 has extents 3 x 1, column 0 has 1 x 1");
    assert_error(stoa_tensor_strided(STOA_COLUMNS(t, x, y, v), &strided, &err), STOA_ESHAPE, &err, "column 2 lies");
    assert_error(stoa_tensor_check(stoa_tensor_of(NULL, 0), &err), STOA_EINVAL, &err, "no columns");

    stoa_column two[2] = {STOA_COLUMN(t, x), STOA_COLUMN(t, y)};
    const stoa_column good = two[1];
    two[1].row_stride = 2;
    assert_error(stoa_tensor_strided(stoa_tensor_slice(stoa_tensor_of(two, 2), 0, 3), &strided, &err), STOA_ESHAPE, &err,
                 "row stride 2, column 0 has 1");
    two[1] = good;
    two[1].place = CUDA;
    assert_error(stoa_tensor_check(stoa_tensor_of(two, 2), &err), STOA_EPLACE, &err, "column 1 at place 2:0, column 0 at 1:0");
    two[1] = good;
    two[1].data = (char *)two[1].data + 4;
    assert_error(stoa_tensor_check(stoa_tensor_of(two, 2), &err), STOA_EALIGN, &err, "column 1");
    two[1] = good;
    two[1].data = NULL;
    assert_error(stoa_tensor_check(stoa_tensor_of(two, 2), &err), STOA_EINVAL, &err, "column 1 is NULL");
    assert_ok(stoa_tensor_check(stoa_tensor_slice(stoa_tensor_of(two, 2), 0, 0), &err), &err);
    two[1] = good;
    two[1].dtype = 77;
    assert_error(stoa_tensor_check(stoa_tensor_of(two, 2), &err), STOA_EDTYPE, &err, "(77)");
    two[1] = good;
    two[1].extent[1] = 0;
    assert_error(stoa_tensor_check(stoa_tensor_of(two, 2), &err), STOA_ESHAPE, &err, "extents 1 x 0");
    two[1] = good;
    stoa_tensor wrong = stoa_tensor_of(two, 2);
    wrong.rows = 60;
    wrong.first_row = 5;
    assert_error(stoa_tensor_check(wrong, &err), STOA_ESHAPE, &err, "rows 5 to 65 asked for, column 0 has 64");

    float plain[8] = {0};
    stoa_column uneven[2] = {stoa_column_over(plain, STOA_COMPLEX64, 1, 1, HOST), stoa_column_over(plain + 1, STOA_COMPLEX64, 1, 1, HOST)};
    assert_error(stoa_tensor_strided(stoa_tensor_of(uneven, 2), &strided, &err), STOA_ESHAPE, &err, "a multiple of 8 bytes");
    assert_int_equal(stoa_tensor_strided(stoa_tensor_of(uneven, 2), NULL, &err), STOA_EINVAL);
    free(blob);
}

static void test_hostile_strides(void **state)
{
    (void)state;
    stoa_error err;
    double value = 0;
    const int64_t strides[] = {INT64_MAX, INT64_MIN, INT64_MAX / 8, INT64_MIN / 8, INT64_MAX / 3};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        stoa_column column = stoa_column_over(&value, STOA_FLOAT64, 1000, strides[i], HOST);
        assert_error(stoa_tensor_check(stoa_tensor_of(&column, 1), &err), STOA_ESHAPE, &err, "address space");
        assert_true(stoa_tensor_overlaps(stoa_tensor_of(&column, 1), stoa_tensor_of(&column, 1), 1000));
        assert_ok(stoa_tensor_check(stoa_tensor_slice(stoa_tensor_of(&column, 1), 0, 1), &err), &err);
        assert_true(stoa_tensor_overlaps(stoa_tensor_of(&column, 1), stoa_tensor_of(&column, 1), 1));
    }
    stoa_column column = stoa_column_over(&value, STOA_FLOAT64, 1000, INT64_MAX / 4096 / 8, HOST);
    column.extent[0] = UINT32_MAX;
    column.stride[0] = INT64_MAX / 16;
    assert_error(stoa_tensor_check(stoa_tensor_of(&column, 1), &err), STOA_ESHAPE, &err, "address space");
    assert_error(stoa_tensor_check(stoa_tensor_slice(stoa_tensor_of(&column, 1), 0, 0), &err), STOA_ESHAPE, &err, "address space");
    stoa_column both = stoa_column_over(&value, STOA_UINT8, 2, INT64_MAX / 2 + 1, HOST); /* ends farther apart than an int64_t says */
    both.data = (void *)(uintptr_t)INT64_MAX;
    both.extent[0] = 2;
    both.stride[0] = -(INT64_MAX / 2 + 2);
    assert_error(stoa_tensor_check(stoa_tensor_of(&both, 1), &err), STOA_ESHAPE, &err, "address space");
    stoa_tensor late = stoa_tensor_slice(stoa_tensor_of(&column, 1), 999, 1);
    assert_int_equal(stoa_tensor_check(late, &err), STOA_ESHAPE);
}

/* Rows of a row-major array, forwards and backwards. */
static void test_plain_memory(void **state)
{
    (void)state;
    float array[12][5];
    stoa_column columns[5];
    for (int i = 0; i < 5; i++) columns[i] = stoa_column_over_const(&array[0][i], STOA_FLOAT32, 12, 5, HOST);
    check_strided(stoa_tensor_of(columns, 5), 2, SHAPE(12, 5), SHAPE(5, 1), array);
    check_strided(stoa_tensor_of(columns + 2, 1), 2, SHAPE(12, 1), SHAPE(5, 1), &array[0][2]);
    check_strided(stoa_tensor_slice(stoa_tensor_of(columns, 5), 3, 2), 2, SHAPE(2, 5), SHAPE(5, 1), array[3]);
    stoa_column backwards = stoa_column_over(&array[11][0], STOA_FLOAT32, 12, -5, HOST);
    check_strided(stoa_tensor_slice(stoa_tensor_of(&backwards, 1), 2, 3), 2, SHAPE(3, 1), SHAPE(-5, 1), array[9]);
}

static bool overlaps(stoa_column a, stoa_column b, uint32_t rows)
{
    const bool there = stoa_tensor_overlaps(stoa_tensor_of(&a, 1), stoa_tensor_of(&b, 1), rows);
    assert_int_equal(there, stoa_tensor_overlaps(stoa_tensor_of(&b, 1), stoa_tensor_of(&a, 1), rows));
    return there;
}

static void test_overlaps(void **state)
{
    (void)state;
    float m[64] = {0};
    simple t;
    void *blob = new_blob(&simple_layout, 40, &t.head);
    const stoa_tensor x = STOA_COLUMNS(t, x), yz = STOA_COLUMNS(t, y, z), zx = STOA_COLUMNS(t, z, x);
    assert_false(stoa_tensor_overlaps(x, yz, 40));
    assert_true(stoa_tensor_overlaps(x, zx, 40));
    assert_true(stoa_tensor_overlaps(x, x, 1));
    assert_false(stoa_tensor_overlaps(x, x, 0));
    assert_false(stoa_tensor_overlaps(stoa_tensor_slice(x, 0, 10), stoa_tensor_slice(x, 10, 10), 40));
    assert_true(stoa_tensor_overlaps(stoa_tensor_slice(x, 0, 11), stoa_tensor_slice(x, 10, 10), 40));
    free(blob);

    const stoa_column even = stoa_column_over(m, STOA_FLOAT32, 20, 3, HOST);
    assert_false(overlaps(even, stoa_column_over(m + 1, STOA_FLOAT32, 20, 3, HOST), 20)); /* interleaved */
    assert_true(overlaps(even, stoa_column_over(m + 3, STOA_FLOAT32, 20, 3, HOST), 20));
    assert_false(overlaps(even, stoa_column_over(m + 30, STOA_FLOAT32, 5, 3, HOST), 10)); /* past the rows in use */
    assert_true(overlaps(even, stoa_column_over(m + 30, STOA_FLOAT32, 5, 3, HOST), 11));
    assert_true(overlaps(even, stoa_column_over(m + 59, STOA_FLOAT32, 20, -3, HOST), 20)); /* by range */
    assert_false(overlaps(even, stoa_column_over(m, STOA_FLOAT32, 20, 3, CUDA), 20));    /* another device */
    assert_false(overlaps(even, stoa_column_over(m + 1, STOA_FLOAT32, UINT32_MAX, 0, HOST), 20)); /* a scalar between the rows */
    assert_true(overlaps(even, stoa_column_over(m + 57, STOA_FLOAT32, UINT32_MAX, 0, HOST), 20));
    assert_false(overlaps(even, stoa_column_over(m + 57, STOA_FLOAT32, UINT32_MAX, 0, HOST), 19));
    assert_true(overlaps(even, stoa_column_over(m + 1, STOA_FLOAT32, 20, 2, HOST), 20)); /* too */
    const stoa_column wide = stoa_column_over(m + 1, STOA_COMPLEX64, 10, 3, HOST);       /* 24 bytes a step */
    assert_true(overlaps(wide, stoa_column_over(m + 2, STOA_FLOAT32, 10, 6, HOST), 10));
    assert_false(overlaps(wide, stoa_column_over(m + 3, STOA_FLOAT32, 10, 6, HOST), 10));
    assert_false(overlaps(wide, stoa_column_over(m + 6, STOA_FLOAT32, 9, 6, HOST), 9));
    assert_true(overlaps(wide, stoa_column_over(m + 7, STOA_FLOAT32, 9, 6, HOST), 9));

    stoa_column vectors[2] = {stoa_column_over(m, STOA_FLOAT32, 8, 8, HOST), stoa_column_over(m + 1, STOA_FLOAT32, 8, 8, HOST)};
    for (int i = 0; i < 2; i++) {
        vectors[i].extent[0] = 4;
        vectors[i].stride[0] = 2;
    }
    assert_false(overlaps(vectors[0], vectors[1], 8)); /* components interleaved too */
    vectors[1].extent[0] = 1;
    vectors[1].data = m + 6;
    assert_true(overlaps(vectors[0], vectors[1], 8));
    vectors[1].data = m + 7;
    assert_false(overlaps(vectors[0], vectors[1], 8));
    assert_false(stoa_tensor_overlaps(stoa_tensor_of(NULL, 0), stoa_tensor_of(vectors, 1), 8));
}

/* Against counting: strides of both signs around the extents, so that a third of them meet. */
static void test_column_meets_itself(void **state)
{
    (void)state;
    static uint8_t hit[4001];
    float origin = 0;
    uint32_t seed = 12345, meet = 0;
    enum { TRIES = 20000 };
    for (int i = 0; i < TRIES; i++) {
        stoa_column c = stoa_column_over(&origin, STOA_FLOAT32, 0, 0, HOST);
#define DRAW(n) ((int32_t)((seed = seed * 1664525u + 1013904223u) >> 8) % (n))
        const uint32_t rows = c.rows = (uint32_t)DRAW(7);
        for (int axis = 0; axis < 2; axis++) {
            c.extent[axis] = 1 + (uint32_t)DRAW(4);
            c.stride[axis] = DRAW(25) - 12;
        }
        c.row_stride = DRAW(61) - 30;
        bool meets = false;
        memset(hit, 0, sizeof hit);
        const uint32_t lie = c.row_stride ? rows : rows > 0;
        for (uint32_t row = 0; row < lie; row++)
            for (uint32_t r = 0; r < c.extent[0]; r++)
                for (uint32_t k = 0; k < c.extent[1]; k++)
                    meets |= hit[2000 + row * c.row_stride + r * c.stride[0] + k * c.stride[1]]++ > 0;
        if (stoai_column_meets_itself(&c, rows) != meets)
            fail_msg("%u rows %lld apart of %u x %u, strides %lld and %lld: %s expected", rows, (long long)c.row_stride, c.extent[0],
                     c.extent[1], (long long)c.stride[0], (long long)c.stride[1], meets ? "meets" : "does not meet");
        meet += meets;
    }
    print_message("%u of %u columns meet themselves\n", meet, TRIES);
    assert_true(meet > TRIES / 5 && meet < TRIES - TRIES / 5);
}

/* The counting macros at their ends. */
static void test_counts(void **state)
{
    (void)state;
    simple t;
    void *blob = new_blob(&simple_layout, 3, &t.head);
    stoa_tensor many = STOA_COLUMNS(t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y,
                                    z, t, x, y, z, t, x, y, z, t, x, y, z, t);
    assert_int_equal(many.column_count, 48);
    for (uint32_t i = 0; i < 48; i++) assert_ptr_equal(many.columns[i].data, t.x + i % 4 * 32);
    stoa_tensor typed = STOA_COLUMNS_OF(float, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y,
                                        z, t, x, y, z, t, x, y, z, t, x, y, z, t, x, y, z, t);
    assert_int_equal(typed.column_count, 48);
    assert_ptr_equal(typed.columns[47].data, t.t);
    free(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cmssw_shapes), cmocka_unit_test(test_images),          cmocka_unit_test(test_columns),
        cmocka_unit_test(test_join),         cmocka_unit_test(test_reverse),         cmocka_unit_test(test_slices),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_hostile_strides), cmocka_unit_test(test_plain_memory),
        cmocka_unit_test(test_overlaps),     cmocka_unit_test(test_counts),          cmocka_unit_test(test_column_meets_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
