/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry of layouts: CMSSW's numbers, views bound to blobs, tables that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stoa/layout.h"

#define STOA_LAYOUT datatypes
#define STOA_LAYOUT_DEF "data/datatypes.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT position
#define STOA_LAYOUT_DEF "data/position.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT pca
#define STOA_LAYOUT_DEF "data/pca.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT event_scalars
#define STOA_LAYOUT_DEF "data/event_scalars.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT simple
#define STOA_LAYOUT_DEF "data/simple.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT simple_256
#define STOA_LAYOUT_DEF "data/simple.def"
#define STOA_LAYOUT_ALIGN 256
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static const stoa_place HOST = {STOA_PLACE_HOST, 0};

static void assert_ok(stoa_status status, const stoa_error *err)
{
    if (status != STOA_OK) fail_msg("%s: %s (%s)", stoa_status_name(status), err->message, err->where);
}

static void assert_error(stoa_status status, stoa_status expected, const stoa_error *err, const char *part)
{
    if (status != expected) fail_msg("%s instead of %s", stoa_status_name(status), stoa_status_name(expected));
    assert_int_equal(err->status, expected);
    if (!strstr(err->message, part)) fail_msg("'%s' is not in '%s'", part, err->message);
}

static size_t bytes_of(const stoa_layout *layout, uint32_t rows)
{
    stoa_error err;
    size_t bytes = 1;
    assert_ok(stoa_layout_bytes(layout, rows, &bytes, &err), &err);
    return bytes;
}

static void check_place(const stoa_layout *layout, uint32_t rows, const char *name, size_t offset, int64_t stride)
{
    stoa_error err;
    uint32_t index;
    stoa_column_geometry geometry;
    assert_ok(stoa_layout_find(layout, name, &index, &err), &err);
    assert_ok(stoa_layout_place(layout, rows, index, &geometry, &err), &err);
    assert_int_equal(geometry.offset_bytes, offset);
    assert_int_equal(geometry.component_stride, stride);
    const stoa_column_desc *column = &layout->columns[index];
    assert_int_equal(geometry.component_count, column->extent[0] * column->extent[1]);
    assert_int_equal(geometry.bytes, geometry.component_count * (size_t)stride * stoa_dtype_bytes(column->dtype));
}

/* Inventory 4.2. */
static void test_cmssw_datatypes(void **state)
{
    (void)state;
    assert_int_equal(bytes_of(&datatypes_layout, 64), 6912);
    assert_int_equal(bytes_of(&datatypes_layout, 17), 3584);
    assert_int_equal(bytes_of(&datatypes_layout, 1), 2176);
    assert_int_equal(bytes_of(&datatypes_layout, 0), 256);

    check_place(&datatypes_layout, 17, "a", 0, 32);
    check_place(&datatypes_layout, 17, "b", 768, 32);
    check_place(&datatypes_layout, 17, "c", 1536, 32);
    check_place(&datatypes_layout, 17, "x", 2048, 32);
    check_place(&datatypes_layout, 17, "type", 2816, 32);
    check_place(&datatypes_layout, 17, "number", 2944, 32);
    check_place(&datatypes_layout, 17, "w", 3328, 32);
    check_place(&datatypes_layout, 0, "a", 0, 0);
    check_place(&datatypes_layout, 0, "type", 0, 32);
    check_place(&datatypes_layout, 0, "w", 256, 0);
}

/* Inventory 4.6: the three blocks of 10, 20 and 1 rows. */
static void test_cmssw_blocks(void **state)
{
    (void)state;
    assert_int_equal(bytes_of(&position_layout, 10), 512);
    assert_int_equal(bytes_of(&pca_layout, 20), 1152);
    assert_int_equal(bytes_of(&event_scalars_layout, 1), 384);
    assert_int_equal(bytes_of(&event_scalars_layout, 13), 384);
}

static void test_alignments(void **state)
{
    (void)state;
    assert_int_equal(bytes_of(&simple_layout, 33), 4 * 256);
    assert_int_equal(bytes_of(&simple_256_layout, 33), 4 * 256);
    assert_int_equal(bytes_of(&simple_256_layout, 65), 4 * 512);
    stoa_layout layout = simple_layout;
    for (uint32_t align = 4; align; align <<= 1) {
        layout.align_bytes = align;
        assert_int_equal(bytes_of(&layout, 1), 4 * (size_t)align);
    }
    layout.align_bytes = 0;
    assert_int_equal(bytes_of(&layout, 1), 4 * 128);
}

static void test_every_dtype(void **state)
{
    (void)state;
    stoa_error err;
    assert_ok(stoa_layout_check(&alltypes_layout, &err), &err);
    for (uint32_t i = 0; i < 15; i++) {
        const stoa_column_desc *column = &alltypes_columns[i];
        bool seen = false;
        for (uint32_t j = 0; j < i; j++) seen = seen || alltypes_columns[j].dtype == column->dtype;
        assert_false(seen);
        stoa_column_geometry geometry;
        assert_ok(stoa_layout_place(&alltypes_layout, 100, i, &geometry, &err), &err);
        assert_int_equal(geometry.bytes, (100 * stoa_dtype_bytes(column->dtype) + 127) / 128 * 128);
    }
    check_place(&alltypes_layout, 129, "v8", bytes_of(&alltypes_layout, 129) - 128 - 6 * 2176 - 3 * 256, 256);
    check_place(&alltypes_layout, 129, "m128", bytes_of(&alltypes_layout, 129) - 128 - 6 * 2176, 136);
    check_place(&alltypes_layout, 129, "s16", bytes_of(&alltypes_layout, 129) - 128, 64);
}

/* CMSSW's testSoADataTypes fills the view; every value lands where the formula says. */
static void test_bind(void **state)
{
    (void)state;
    enum { ROWS = 17, BYTES = 3584 };
    stoa_error err;
    char *blob = aligned_alloc(128, BYTES);
    memset(blob, 0, BYTES);
    datatypes t;
    assert_ok(stoa_layout_bind(&datatypes_layout, ROWS, blob, BYTES, HOST, &t.head, &err), &err);
    assert_ptr_equal(t.head.layout, &datatypes_layout);
    assert_ptr_equal(t.head.blob, blob);
    assert_int_equal(t.head.rows, ROWS);
    assert_int_equal(t.head.flags, 0);
    assert_int_equal(t.head.place.type, STOA_PLACE_HOST);
    assert_ptr_equal(t.b.data, blob + 768);
    assert_int_equal(t.b.stride, 32);
    assert_ptr_equal(t.number, blob + 2944);
    *t.type = 4.0f;
    *t.number = 5;
    for (uint32_t i = 0; i < ROWS; i++) {
        for (uint32_t r = 0; r < 3; r++) t.a.data[r * t.a.stride + i] = 1 + r + i;
        for (uint32_t k = 0; k < 4; k++) t.c.data[k * t.c.stride + i] = (float)(4 + k + i);
        t.x[STOA_ROW(t, i)] = 12.0 + i;
    }
    double value;
    memcpy(&value, blob + 2 * 256 + 16 * 8, sizeof value);
    assert_true(value == 3 + 16);
    float component;
    memcpy(&component, blob + 1536 + 3 * 128 + 5 * 4, sizeof component);
    assert_true(component == 4 + 3 + 5);

    datatypes_const c;
    assert_ok(stoa_layout_bind_const(&datatypes_layout, ROWS, blob, BYTES + 1000, HOST, &c.head, &err), &err);
    assert_int_equal(c.head.flags, STOA_VIEW_CONST);
    assert_ptr_equal(c.w, t.w);
    assert_true(c.x[16] == 28.0);
    free(blob);
}

static void test_bind_errors(void **state)
{
    (void)state;
    stoa_error err;
    char *blob = aligned_alloc(128, 4096);
    simple t;
    assert_error(stoa_layout_bind(&simple_layout, 10, blob, 511, HOST, &t.head, &err), STOA_ESHAPE, &err, "511 bytes given, 512 needed");
    assert_null(t.head.layout);
    assert_error(stoa_layout_bind(&simple_layout, 10, blob + 64, 4000, HOST, &t.head, &err), STOA_EALIGN, &err, "alignment 128");
    assert_error(stoa_layout_bind(&simple_layout, 10, NULL, 4000, HOST, &t.head, &err), STOA_EINVAL, &err, "NULL");
    assert_error(stoa_layout_bind(&simple_layout, 10, blob, 4000, HOST, NULL, &err), STOA_EINVAL, &err, "NULL");
    assert_error(stoa_layout_bind(NULL, 10, blob, 4000, HOST, &t.head, &err), STOA_EINVAL, &err, "NULL");
    stoa_layout plain = simple_layout;
    plain.view_bytes = 0;
    assert_error(stoa_layout_bind(&plain, 10, blob, 4000, HOST, &t.head, &err), STOA_EINVAL, &err, "no view struct");
    assert_ok(stoa_layout_bind(&simple_layout, 0, NULL, 0, HOST, &t.head, &err), &err);
    assert_null(t.x);
    assert_int_equal(stoa_layout_bind(&simple_layout, 10, blob, 0, HOST, &t.head, NULL), STOA_ESHAPE);
    free(blob);
}

/* SoAUnitTests: ten rows of four floats under a recurrence. */
static void test_recurrence(void **state)
{
    (void)state;
    stoa_error err;
    char *blob = aligned_alloc(128, 512);
    simple t;
    assert_ok(stoa_layout_bind(&simple_layout, 10, blob, 512, HOST, &t.head, &err), &err);
    for (uint32_t i = 0; i < 10; i++) {
        t.x[i] = 7;
        t.y[i] = 11;
        t.z[i] = 13;
        t.t[i] = 17;
        for (uint32_t step = 0; step < i; step++) {
            const float old = t.x[i];
            t.x[i] += t.y[i];
            t.y[i] += t.z[i];
            t.z[i] += t.t[i];
            t.t[i] += old;
        }
    }
    assert_true(t.x[0] == 7 && t.y[0] == 11 && t.z[0] == 13 && t.t[0] == 17);
    assert_true(t.x[1] == 18 && t.y[1] == 24 && t.z[1] == 30 && t.t[1] == 24);
    assert_true(t.x[2] == 42 && t.y[2] == 54 && t.z[2] == 54 && t.t[2] == 42);
    free(blob);
}

static void test_find(void **state)
{
    (void)state;
    stoa_error err;
    uint32_t index;
    assert_ok(stoa_layout_find(&position_layout, "z", &index, &err), &err);
    assert_int_equal(index, 2);
    assert_error(stoa_layout_find(&position_layout, "pt", &index, &err), STOA_ENAME, &err,
                 "layout 'position': no column 'pt'; it has 'x', 'y', 'z', 'detector_type'");
    assert_error(stoa_layout_find(&position_layout, NULL, &index, &err), STOA_EINVAL, &err, "name");
    stoa_column_geometry geometry;
    assert_error(stoa_layout_place(&position_layout, 1, 4, &geometry, &err), STOA_EINVAL, &err, "column 4");
}

static const char EXPECTED_DUMP[] = "layout datatypes: 17 rows, 3584 bytes, alignment 128, 10 columns\n"
                                    "    offset      bytes  kind    dtype       shape           strides           name\n"
                                    "         0        768  vector  float64     [17,3]          [1,32]            a [cm]: first vector\n"
                                    "       768        768  vector  float64     [17,3]          [1,32]            b [cm]: second vector\n"
                                    "      1536        512  matrix  float32     [17,2,2]        [1,32,64]         c: column-major matrix\n"
                                    "      2048        256  column  float64     [17,1]          [1,32]            x\n"
                                    "      2304        256  column  float64     [17,1]          [1,32]            y\n"
                                    "      2560        256  column  float64     [17,1]          [1,32]            z\n"
                                    "      2816        128  scalar  float32     [17,1]          [0,32]            type: one for all rows\n"
                                    "      2944        128  scalar  int32       [17,1]          [0,32]            number\n"
                                    "      3072        256  column  float64     [17,1]          [1,32]            v\n"
                                    "      3328        256  column  float64     [17,1]          [1,32]            w\n";

static void test_print(void **state)
{
    (void)state;
    char text[2048], small[20];
    const int length = (int)strlen(EXPECTED_DUMP);
    assert_int_equal(stoa_layout_print(&datatypes_layout, 17, text, sizeof text), length);
    assert_string_equal(text, EXPECTED_DUMP);
    assert_int_equal(stoa_layout_print(&datatypes_layout, 17, NULL, 0), length);
    assert_int_equal(stoa_layout_print(&datatypes_layout, 17, small, sizeof small), length);
    assert_memory_equal(small, EXPECTED_DUMP, sizeof small - 1);
    assert_int_equal(small[sizeof small - 1], 0);
    assert_true(stoa_layout_print(NULL, 17, text, sizeof text) < 0);
    assert_string_equal(text, "");
    assert_true(stoa_layout_print(&datatypes_layout, UINT32_MAX, text, sizeof text) < 0);
}

/* One field of a good table is spoilt at a time. */
typedef struct bad_layout {
    const char *part;
    stoa_status status;
    stoa_layout layout;
    stoa_column_desc columns[2];
} bad_layout;

#define GOOD {"x", "", "", STOA_FLOAT32, STOA_KIND_COLUMN, {1, 1}, 0, 0}
#define TABLE(columns, align, view) {sizeof(stoa_layout), columns, align, view, "bad", NULL}
#define ROW(...) {__VA_ARGS__, 0, 0}

static void test_bad_layouts(void **state)
{
    (void)state;
    bad_layout table[] = {
        {"no columns", STOA_EINVAL, TABLE(0, 128, 0), {GOOD}},
        {"of 40 is set, this version knows 32", STOA_EINVAL, {sizeof(stoa_layout) + 8, 1, 128, 0, "bad", NULL}, {GOOD}},
        {"struct_size 4000000000", STOA_EINVAL, {4000000000u, 1, 128, 0, "bad", NULL}, {GOOD}},
        {"struct_size 3", STOA_EINVAL, {3, 2, 128, 0, "bad", NULL}, {GOOD, GOOD}},
        {"alignment 96", STOA_EALIGN, TABLE(1, 96, 0), {GOOD}},
        {"alignment 2 given, float32 needs 4", STOA_EALIGN, TABLE(1, 2, 0), {GOOD}},
        {"columns 0 and 1 are both named 'x'", STOA_ENAME, TABLE(2, 128, 0), {GOOD, GOOD}},
        {"column 1 has no name", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("", "", "", STOA_INT8, STOA_KIND_COLUMN, {1, 1})}},
        {"column 1 has no name", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW(NULL, "", "", STOA_INT8, STOA_KIND_COLUMN, {1, 1})}},
        {"column 'y': unknown dtype 0", STOA_EDTYPE, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_DTYPE_NONE, STOA_KIND_COLUMN, {1, 1})}},
        {"column 'y': unknown dtype 99", STOA_EDTYPE, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", (stoa_dtype)99, STOA_KIND_COLUMN, {1, 1})}},
        {"column 'y': unknown kind 4", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, (stoa_column_kind)4, {1, 1})}},
        {"column 'y': extents 0 x 1", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, STOA_KIND_VECTOR, {0, 1})}},
        {"column 'y': extents 3 x 0", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, STOA_KIND_MATRIX, {3, 0})}},
        {"column 'y': extents 2 x 1", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, STOA_KIND_COLUMN, {2, 1})}},
        {"column 'y': extents 2 x 2", STOA_EINVAL, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, STOA_KIND_VECTOR, {2, 2})}},
        {"65536 x 65536 components", STOA_ELIMIT, TABLE(2, 128, 0), {GOOD, ROW("y", "", "", STOA_INT8, STOA_KIND_MATRIX, {65536, 65536})}},
        {"view struct of 8 bytes", STOA_EINVAL, TABLE(1, 128, 8), {GOOD}},
        {"column 'x': member offset 0 in a view", STOA_EINVAL, TABLE(1, 128, 64), {GOOD}},
        {"column 'y': member offset 48 in a view struct of 56",
         STOA_EINVAL,
         TABLE(1, 128, 56),
         {{"y", "", "", STOA_INT8, STOA_KIND_VECTOR, {3, 1}, 48, 0}}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        stoa_error err;
        table[i].layout.columns = table[i].columns;
        assert_error(stoa_layout_check(&table[i].layout, &err), table[i].status, &err, table[i].part);
    }
    stoa_error err;
    struct {
        stoa_layout known;
        uint64_t later;
    } newer = {.known = {sizeof newer, 1, 128, 0, "newer", table[0].columns}};
    assert_ok(stoa_layout_check(&newer.known, &err), &err);
    assert_error(stoa_layout_check(NULL, &err), STOA_EINVAL, &err, "NULL");
    assert_int_equal(stoa_layout_check(NULL, NULL), STOA_EINVAL);
}

static void test_hostile_sizes(void **state)
{
    (void)state;
    stoa_error err;
    size_t bytes = 1;
    assert_error(stoa_layout_bytes(&simple_layout, STOA_LAYOUT_ROWS_MAX + 1, &bytes, &err), STOA_ELIMIT, &err,
                 "2147483648 rows given, at most 2147483647");
    assert_int_equal(bytes, 0);
    assert_int_equal(bytes_of(&simple_layout, STOA_LAYOUT_ROWS_MAX), 4 * ((size_t)1 << 33));

    stoa_column_desc columns[] = {
        {"wide", "", "", STOA_COMPLEX128, STOA_KIND_VECTOR, {UINT32_MAX, 1}, 0, 0},
        {"more", "", "", STOA_COMPLEX128, STOA_KIND_MATRIX, {65535, 65537}, 0, 0},
    };
    stoa_layout layout = {sizeof layout, 1, 128, 0, "hostile", columns};
    assert_error(stoa_layout_bytes(&layout, STOA_LAYOUT_ROWS_MAX, &bytes, &err), STOA_ELIMIT, &err, "column 'wide'");
    layout.align_bytes = 1u << 31;
    assert_int_equal(bytes_of(&layout, 1), (size_t)UINT32_MAX << 31);
    layout.column_count = 2;
    assert_error(stoa_layout_bytes(&layout, 1, &bytes, &err), STOA_ELIMIT, &err, "column 'more'");
    stoa_column_geometry geometry = {.bytes = 7};
    assert_error(stoa_layout_place(&layout, 1, 1, &geometry, &err), STOA_ELIMIT, &err, "column 'more'");
    assert_int_equal(geometry.bytes, 0);
}

static void test_row_check(void **state)
{
    (void)state;
    assert_int_equal(stoa_row_check(4, 5, "here"), 4);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        (void)!freopen("/dev/null", "w", stderr);
        stoa_row_check(5, 5, "here");
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cmssw_datatypes), cmocka_unit_test(test_cmssw_blocks),  cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_every_dtype),     cmocka_unit_test(test_bind),          cmocka_unit_test(test_bind_errors),
        cmocka_unit_test(test_recurrence),      cmocka_unit_test(test_find),          cmocka_unit_test(test_print),
        cmocka_unit_test(test_bad_layouts),     cmocka_unit_test(test_hostile_sizes), cmocka_unit_test(test_row_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
