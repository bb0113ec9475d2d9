/* SPDX-License-Identifier: Apache-2.0 */
/* Tables through every format and back, files that are damaged, and events from generated and ATLAS tracks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data_file.h"
#include "reco/generate/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"
#include "stoa/memory.h"

static char folder[] = "/tmp/stoa_test_io_XXXXXX";
static stoa_error err;

static const char *file_path(const char *name)
{
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_file(const char *name, const void *data, size_t bytes)
{
    FILE *out = fopen(file_path(name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
}

static char *get_file(const char *name, size_t *bytes)
{
    FILE *in = fopen(file_path(name), "rb");
    assert_non_null(in);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(in);
    rewind(in);
    char *data = malloc(*bytes ? *bytes : 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, in), *bytes);
    fclose(in);
    return data;
}

#define OK(expression) \
    do { \
        stoa_status status_ = (expression); \
        if (status_ != STOA_OK) fail_msg("%s: %s", #expression, err.message); \
    } while (0)

/* ---- round trips ---- */

enum { ROWS = 37 };

static void set_value(const reco_column *column, uint32_t row, double value)
{
    void *data = column->data;
    switch (column->dtype) {
    case STOA_INT8: ((int8_t *)data)[row] = (int8_t)value; break;
    case STOA_INT16: ((int16_t *)data)[row] = (int16_t)value; break;
    case STOA_INT32: ((int32_t *)data)[row] = (int32_t)value; break;
    case STOA_INT64: ((int64_t *)data)[row] = (int64_t)value; break;
    case STOA_UINT8: ((uint8_t *)data)[row] = (uint8_t)value; break;
    case STOA_UINT16: ((uint16_t *)data)[row] = (uint16_t)value; break;
    case STOA_UINT32: ((uint32_t *)data)[row] = (uint32_t)value; break;
    case STOA_UINT64: ((uint64_t *)data)[row] = (uint64_t)value; break;
    case STOA_FLOAT32: ((float *)data)[row] = (float)(value / 3); break;
    case STOA_FLOAT64: ((double *)data)[row] = value / 3; break;
    case STOA_FLOAT16: ((stoa_half *)data)[row] = stoa_half_from_float((float)value); break;
    case STOA_BOOL: ((uint8_t *)data)[row] = row % 2; break;
    default: fail_msg("no such column in this test");
    }
}

/* A column of each type that all formats have, and a group of three. */
static reco_table *sample(uint32_t rows)
{
    static const stoa_dtype types[] = {STOA_INT8,   STOA_INT16,  STOA_INT32,   STOA_INT64,   STOA_UINT8,   STOA_UINT16,
                                       STOA_UINT32, STOA_UINT64, STOA_FLOAT32, STOA_FLOAT64, STOA_FLOAT16, STOA_BOOL};
    reco_table *table;
    void *data;
    size_t stride;
    OK(reco_table_create(rows, &table, &err));
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i) OK(reco_table_add(table, stoa_dtype_name(types[i]), types[i], NULL, &err));
    OK(reco_table_add_group(table, "state", STOA_FLOAT32, 3, &data, &stride, &err));
    for (uint32_t c = 0; c < reco_table_column_count(table); ++c)
        for (uint32_t row = 0; row < rows; ++row) set_value(reco_table_column(table, c), row, (row * 7 + c) % 100);
    return table;
}

static void assert_same_values(const reco_table *a, const reco_table *b)
{
    assert_int_equal(reco_table_rows(a), reco_table_rows(b));
    assert_int_equal(reco_table_column_count(a), reco_table_column_count(b));
    for (uint32_t c = 0; c < reco_table_column_count(a); ++c) {
        const reco_column *x = reco_table_column(a, c), *y = reco_table_find(b, x->name);
        if (!y) fail_msg("column '%s' is gone", x->name);
        assert_int_equal((uintptr_t)y->data % 128, 0);
        for (uint32_t row = 0; row < reco_table_rows(a); ++row) {
            double left = reco_column_value(x, row), right = reco_column_value(y, row);
            if (x->dtype == STOA_FLOAT32) right = (double)(float)right;
            if (left != right) fail_msg("'%s' row %u: %.17g written, %.17g read", x->name, row, left, right);
        }
    }
}

static void round_trip(const char *name, int keeps_types, int keeps_groups)
{
    reco_table *in = sample(ROWS), *out;
    OK(reco_table_write(file_path(name), in, &err));
    OK(reco_table_read(file_path(name), &out, &err));
    assert_same_values(in, out);
    for (uint32_t c = 0; keeps_types && c < reco_table_column_count(in); ++c) {
        const reco_column *x = reco_table_column(in, c);
        stoa_dtype want = x->dtype == STOA_FLOAT16 && keeps_types > 1 ? STOA_FLOAT32 : x->dtype; /* HDF5 widens */
        assert_int_equal(reco_table_find(out, x->name)->dtype, want);
    }
    const reco_column *first;
    size_t stride;
    stoa_status status = reco_table_group(out, "state", &first, &stride, &err);
    assert_int_equal(status, keeps_groups ? STOA_OK : STOA_ENAME);
    if (keeps_groups) {
        assert_int_equal(first->component_count, 3);
        assert_ptr_equal((const float *)first->data + 2 * stride, reco_table_find(out, "state_2")->data);
    }
    reco_table_destroy(in);
    reco_table_destroy(out);
}

/* 1 when this build reads the format; the reason is printed otherwise. */
static int supported(const char *name)
{
    reco_table *table;
    if (reco_table_read(file_path(name), &table, &err) != STOA_ENOTSUP) return 1;
    print_message("[  SKIPPED ] %s\n", err.message);
    return 0;
}

static void test_round_trips(void **state)
{
    (void)state;
    round_trip("t.csv", 0, 0);
    round_trip("t.npy", 1, 0);
    if (supported("absent.npz")) round_trip("t.npz", 1, 1);
    if (supported("absent.h5")) round_trip("t.h5", 2, 1);
}

static void test_empty_tables(void **state)
{
    static const char *const names[] = {"e.csv", "e.npy", "e.npz", "e.h5"};
    (void)state;
    for (size_t i = 0; i < 4; ++i) {
        if (!supported(names[i])) continue;
        reco_table *in = sample(0), *out;
        OK(reco_table_write(file_path(names[i]), in, &err));
        OK(reco_table_read(file_path(names[i]), &out, &err));
        assert_same_values(in, out);
        reco_table_destroy(in);
        reco_table_destroy(out);
    }
}

static void test_plain_npy(void **state)
{
    reco_table *in, *out;
    void *data;
    size_t stride;
    (void)state;
    OK(reco_table_create(5, &in, &err));
    OK(reco_table_add_group(in, "x", STOA_FLOAT64, 2, &data, &stride, &err));
    for (uint32_t i = 0; i < 10; ++i) ((double *)data)[i % 2 * stride + i / 2] = i;
    OK(reco_table_write(file_path("g.npy"), in, &err));
    OK(reco_table_read(file_path("g.npy"), &out, &err));
    assert_int_equal(reco_table_column_count(out), 2);
    assert_true(reco_column_value(reco_table_find(out, "c1"), 4) == 9);
    reco_table_destroy(in);
    reco_table_destroy(out);
}

/* An npy image of version 1 around a header and values. */
static size_t npy_image(char *out, const char *header, const void *values, size_t bytes)
{
    size_t length = strlen(header);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)(length & 0xff);
    out[9] = (char)(length >> 8);
    memcpy(out + 10, header, length);
    if (bytes) memcpy(out + 10 + length, values, bytes);
    return 10 + length + bytes;
}

static void test_npy_orders(void **state)
{
    static const unsigned char big[] = {0, 1, 0, 2, 0, 3, 1, 0, 1, 1, 1, 2};
    char image[256];
    reco_table *t;
    (void)state;
    size_t bytes = npy_image(image, "{'descr': '>i2', 'fortran_order': True, 'shape': (3, 2), }", big, sizeof big);
    put_file("f.npy", image, bytes);
    OK(reco_table_read(file_path("f.npy"), &t, &err));
    assert_true(reco_column_value(reco_table_find(t, "c0"), 2) == 3);
    assert_true(reco_column_value(reco_table_find(t, "c1"), 1) == 257);
    reco_table_destroy(t);
    bytes = npy_image(image, "{'descr': '>i2', 'fortran_order': False, 'shape': (3, 2), }", big, sizeof big);
    put_file("f.npy", image, bytes);
    OK(reco_table_read(file_path("f.npy"), &t, &err));
    assert_true(reco_column_value(reco_table_find(t, "c1"), 1) == 256);
    reco_table_destroy(t);
}

/* ---- numbers ---- */

static void test_csv_numbers(void **state)
{
    static const char *const texts[] = {"1.5",
                                        "-0.1",
                                        "+2",
                                        "1e22",
                                        "1e23",
                                        "123456789012345678901234567890",
                                        "1e-300",
                                        "4.9e-324",
                                        ".5",
                                        "5.",
                                        "nan",
                                        "-inf",
                                        "-0",
                                        "0.30000000000000004",
                                        "1.7976931348623157e308",
                                        "9007199254740993"};
    enum { COUNT = sizeof texts / sizeof *texts };
    char text[1024] = "a, \"b\" ,c\r\n";
    reco_table *t;
    (void)state;
    for (size_t i = 0; i < COUNT; ++i)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s, 9223372036854775 ,%d\r\n", texts[i], -(int)i);
    put_file("n.csv", text, strlen(text));
    OK(reco_table_read(file_path("n.csv"), &t, &err));
    assert_int_equal(reco_table_rows(t), COUNT);
    assert_int_equal(reco_table_find(t, "a")->dtype, STOA_FLOAT64);
    assert_int_equal(reco_table_find(t, "b")->dtype, STOA_INT64);
    for (uint32_t i = 0; i < COUNT; ++i) {
        double want = strtod(texts[i], NULL), got = ((const double *)reco_table_find(t, "a")->data)[i];
        if (memcmp(&want, &got, sizeof got) != 0 && !(isnan(want) && isnan(got)))
            fail_msg("'%s': %.17g read, strtod says %.17g", texts[i], got, want);
        assert_true(((const int64_t *)reco_table_find(t, "b")->data)[i] == 9223372036854775);
        assert_true(reco_column_value(reco_table_find(t, "c"), i) == -(double)i);
    }
    reco_table_destroy(t);
}

/* ---- damaged files ---- */

typedef struct damaged {
    const char *name, *text;
    stoa_status status;
    const char *says;
} damaged;

static void test_damaged_text(void **state)
{
    static const damaged cases[] = {
        {"d.csv", "", STOA_EFORMAT, "0 bytes"},
        {"d.csv", "\n1,2\n", STOA_EFORMAT, ":1: no header"},
        {"d.csv", "1,2\n3,4\n", STOA_EFORMAT, "header row is needed"},
        {"d.csv", "a,a\n1,2\n", STOA_EFORMAT, "two columns are called 'a'"},
        {"d.csv", "a,\n1,2\n", STOA_EFORMAT, "column 2 has no name"},
        {"d.csv", "a,b\n1,2\n3\n", STOA_EFORMAT, ":3: 1 fields given, 2 needed"},
        {"d.csv", "a,b\n1,2\n3,4,5\n", STOA_EFORMAT, ":3: 3 fields given, 2 needed"},
        {"d.csv", "a,b\n1,2\n\n3,4\n", STOA_EFORMAT, ":3: "},
        {"d.csv", "a,b\n1,\n", STOA_EFORMAT, ":2: column 2 'b': ''"},
        {"d.csv", "a,b\n1,x\n", STOA_EFORMAT, ":2: column 2 'b': 'x'"},
        {"d.csv", "a\n0x10\n", STOA_EFORMAT, "'0x10'"},
        {"d.csv", "a\n1e\n", STOA_EFORMAT, "'1e'"},
        {"d.csv", "a\n--1\n", STOA_EFORMAT, "'--1'"},
        {"d.npz", "not a zip", STOA_EFORMAT, "d.npz"},
        {"d.h5", "not HDF5", STOA_EFORMAT, "8 bytes"},
        {"d.npy", "", STOA_EFORMAT, "0 bytes"},
        {"d.npy", "\x93NUMPX..............", STOA_EFORMAT, "do not start"},
        {"d.txt", "a\n1\n", STOA_ENOTSUP, "'.txt'"},
        {"d", "a\n1\n", STOA_ENOTSUP, "none of"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        reco_table *table = NULL;
        put_file(cases[i].name, cases[i].text, strlen(cases[i].text));
        stoa_status status = reco_table_read(file_path(cases[i].name), &table, &err);
        if (status == STOA_ENOTSUP && strstr(err.message, "this build has no")) continue;
        if (status != cases[i].status || err.status != status || table || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %s '%s', expected %s '%s'", i, stoa_status_name(status), err.message, stoa_status_name(cases[i].status),
                     cases[i].says);
    }
}

static void test_damaged_npy(void **state)
{
    static const damaged cases[] = {
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", STOA_EFORMAT, "needs 12 bytes of values, 8 are"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648,), }", STOA_ELIMIT, "2147483648 rows"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000,), }", STOA_ELIMIT, "bytes of values"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", STOA_EFORMAT, "below 10^18"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 999999999999999999), }", STOA_EFORMAT, "dimension 1"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4000, 4000, 4000, 4000, 4000, 4000), }", STOA_ELIMIT, "columns"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", STOA_EFORMAT, "dimension 1 is 0"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", STOA_EFORMAT, "rank 0"},
        {"", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,", STOA_EFORMAT, "header"},
        {"", "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }", STOA_EFORMAT, "True or False"},
        {"", "{'descr': '<f4', 'shape': (2,), }", STOA_EFORMAT, "lacks"},
        {"", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", STOA_EFORMAT, "there twice"},
        {"", "{'descr': '<M8', 'fortran_order': False, 'shape': (1,), }", STOA_EDTYPE, "'<M8'"},
        {"", "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", STOA_EDTYPE, "'|O'"},
        {"", "{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", STOA_EFORMAT, "'a'"},
        {"", "{'descr': [('a', '<f4', (2,))], 'fortran_order': False, 'shape': (1,), }", STOA_ENOTSUP, "an array itself"},
        {"", "{'descr': [], 'fortran_order': False, 'shape': (1,), }", STOA_EFORMAT, "a field"},
    };
    static const float values[2] = {1, 2};
    char image[512];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        reco_table *table = NULL;
        put_file("h.npy", image, npy_image(image, cases[i].text, values, sizeof values));
        stoa_status status = reco_table_read(file_path("h.npy"), &table, &err);
        if (status != cases[i].status || err.status != status || table || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %s '%s', expected %s '%s'", i, stoa_status_name(status), err.message, stoa_status_name(cases[i].status),
                     cases[i].says);
    }
}

/* Every cut is an error; a changed byte may pass, but must not crash, and what passes must be whole. */
static void damage(const char *name, const char *damaged_name, int flip)
{
    reco_table *table = sample(6);
    size_t bytes;
    OK(reco_table_write(file_path(name), table, &err));
    reco_table_destroy(table);
    char *data = get_file(name, &bytes);
    size_t step = bytes > 3000 ? bytes / 1000 : 1;
    for (size_t cut = 0; cut < bytes; cut += step) {
        put_file(damaged_name, data, cut);
        if (reco_table_read(file_path(damaged_name), &table, &err) == STOA_OK) fail_msg("%s: cut at %zu of %zu passes", name, cut, bytes);
        assert_null(table);
    }
    for (size_t at = 0; flip && at < bytes; at += step) {
        data[at] = (char)(data[at] ^ (1 << at % 8));
        put_file(damaged_name, data, bytes);
        if (reco_table_read(file_path(damaged_name), &table, &err) == STOA_OK) {
            double sum = 0;
            for (uint32_t c = 0; c < reco_table_column_count(table); ++c)
                for (uint32_t row = 0; row < reco_table_rows(table); ++row)
                    sum += fabs(reco_column_value(reco_table_column(table, c), row));
            if (sum < 0) fail(); /* all of it was read: what a sanitizer looks at */
            reco_table_destroy(table);
        }
        data[at] = (char)(data[at] ^ (1 << at % 8));
    }
    free(data);
}

static void test_damage(void **state)
{
    (void)state;
    damage("c.npy", "cut.npy", 1);
    if (supported("absent.npz")) damage("c.npz", "cut.npz", 1);
    if (supported("absent.h5")) damage("c.h5", "cut.h5", 0); /* changed bytes are the HDF5 library's own matter */
}

/* A deflated entry that would become more than deflate can make of its bytes, as its directory claims. */
static void test_zip_claims(void **state)
{
    reco_table *table = sample(6);
    size_t bytes, changed = 0;
    (void)state;
    if (!supported("absent.npz")) {
        reco_table_destroy(table);
        skip();
    }
    OK(reco_table_write(file_path("z.npz"), table, &err));
    reco_table_destroy(table);
    char *data = get_file("z.npz", &bytes);
    for (size_t at = 0; at + 46 < bytes; ++at) {
        if (memcmp(data + at, "PK\1\2", 4) != 0 && memcmp(data + at, "PK\3\4", 4) != 0) continue;
        size_t size = data[at + 2] == 1 ? at + 24 : at + 22;
        memcpy(data + size, "\xf0\xff\xff\x7f", 4); /* uncompressed size: 2 GiB */
        ++changed;
    }
    assert_true(changed > 2);
    put_file("z.npz", data, bytes);
    free(data);
    assert_int_equal(reco_table_read(file_path("z.npz"), &table, &err), STOA_EFORMAT);
    assert_null(table);
}

static void test_arguments(void **state)
{
    reco_table *t;
    char longest[80];
    (void)state;
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(reco_table_create((size_t)RECO_TABLE_ROWS_MAX + 1, &t, &err), STOA_ELIMIT);
    OK(reco_table_create(2, &t, &err));
    assert_int_equal(reco_table_write(file_path("a.csv"), t, &err), STOA_EINVAL);
    OK(reco_table_add(t, "x", STOA_INT32, NULL, &err));
    assert_int_equal(reco_table_add(t, "x", STOA_INT32, NULL, &err), STOA_ENAME);
    assert_int_equal(reco_table_add(t, "", STOA_INT32, NULL, &err), STOA_EINVAL);
    assert_int_equal(reco_table_add(t, longest, STOA_INT32, NULL, &err), STOA_EINVAL);
    assert_int_equal(reco_table_add(t, "y", STOA_DTYPE_NONE, NULL, &err), STOA_EDTYPE);
    assert_int_equal(reco_table_add_group(t, "g", STOA_INT32, RECO_TABLE_COLUMNS_MAX, NULL, NULL, &err), STOA_ELIMIT);
    const reco_column *column;
    assert_int_equal(reco_table_get(t, "pt", &column, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "there are: x"));
    reco_table_destroy(t);
    assert_int_equal(reco_table_read(file_path("absent.csv"), &t, &err), STOA_EIO);
    assert_int_equal(err.native, 2);
}

static void test_failed_write(void **state)
{
    reco_table *t = sample(1);
    (void)state;
    static const char *const names[] = {"/no/such/folder/a.csv", "/no/such/folder/a.npy", "/no/such/folder/a.npz", "/no/such/folder/a.h5"};
    for (size_t i = 0; i < 4; ++i) {
        stoa_status status = reco_table_write(names[i], t, &err);
        if (status != STOA_ENOTSUP) assert_int_equal(status, STOA_EIO);
    }
    reco_table_destroy(t);
}

/* ---- events ---- */

static void cms_state(const double atlas[5], double state[5])
{
    reco_atlas_track t = {atlas[0], atlas[1], -3.0, atlas[2], atlas[3], atlas[4], {0}, {0}};
    double unused[15];
    reco_atlas_to_cms(&t, state, unused);
}

/* cov' = J cov J^T with J by central differences. */
static void test_covariance(void **state)
{
    static const double at[5] = {0.031, -27.4, 1.9, 0.61, -3.1e-4}, sigma[5] = {0.02, 0.1, 4e-4, 3e-4, 2e-6};
    reco_atlas_track t = {at[0], at[1], -3.0, at[2], at[3], at[4], {0}, {0.1, -0.9, 0.05, -0.2, 0.85, 0.02, -0.1, 0.03, 0.3, -0.15}};
    double j[5][5], v[5][5], cms[5], got[15];
    (void)state;
    for (int a = 0, k = 0; a < 5; ++a) {
        double up[5], down[5], high[5], low[5], h = 1e-5 * fabs(at[a]);
        memcpy(up, at, sizeof up);
        memcpy(down, at, sizeof down);
        up[a] += h;
        down[a] -= h;
        cms_state(up, high);
        cms_state(down, low);
        for (int i = 0; i < 5; ++i) j[i][a] = (high[i] - low[i]) / (2 * h);
        t.variance[a] = sigma[a] * sigma[a];
        for (int b = 0; b < a; ++b, ++k) v[a][b] = v[b][a] = t.correlation[k] * sigma[a] * sigma[b];
        v[a][a] = t.variance[a];
    }
    reco_atlas_to_cms(&t, cms, got);
    for (int a = 0, k = 0; a < 5; ++a)
        for (int b = a; b < 5; ++b, ++k) {
            double want = 0, size = 0;
            for (int m = 0; m < 5; ++m)
                for (int n = 0; n < 5; ++n) want += j[a][m] * v[m][n] * j[b][n], size += fabs(j[a][m] * v[m][n] * j[b][n]);
            if (fabs(got[k] - want) > 1e-6 * size) fail_msg("covariance %d: %.9g, by differences %.9g", k, got[k], want);
        }
}

typedef struct view {
    tracks_soa tracks;
    track_truth_soa truth;
    void *blobs[2];
    size_t bytes[2];
} view;

static view new_view(uint32_t rows)
{
    static const stoa_place host = {STOA_PLACE_HOST, 0};
    view v = {0};
    OK(stoa_layout_bytes(&tracks_soa_layout, rows, &v.bytes[0], &err));
    OK(stoa_layout_bytes(&track_truth_soa_layout, rows, &v.bytes[1], &err));
    for (int i = 0; i < 2; ++i) {
        v.blobs[i] = stoa_alloc(v.bytes[i], STOA_LAYOUT_ALIGN_BYTES);
        assert_non_null(v.blobs[i]);
        memset(v.blobs[i], 0xa5, v.bytes[i]);
    }
    OK(stoa_layout_bind(&tracks_soa_layout, rows, v.blobs[0], v.bytes[0], host, &v.tracks.head, &err));
    OK(stoa_layout_bind(&track_truth_soa_layout, rows, v.blobs[1], v.bytes[1], host, &v.truth.head, &err));
    return v;
}

static void free_view(view *v)
{
    for (int i = 0; i < 2; ++i) stoa_free(v->blobs[i], v->bytes[i]);
}

static void generate(uint32_t events, reco_table **tracks, reco_table **vertices)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    options.events = events;
    options.pileup = 20;
    OK(reco_generate_hlt(&options, tracks, vertices, NULL, &err));
}

static void check_event(const reco_events *events, uint32_t i, const reco_table *table, uint32_t first)
{
    uint32_t rows = reco_events_rows(events, i), offset = 0;
    view v = new_view(rows + 3);
    OK(reco_events_fill(events, i, &v.tracks, &v.truth, &err));
    assert_int_equal(*v.tracks.nTracks, rows);
    for (uint32_t row = 0; row < rows; ++row) {
        offset += (uint32_t)reco_column_value(reco_table_find(table, "nHits"), first + row);
        assert_int_equal(v.tracks.hitOffsets[row], offset);
        assert_int_equal(v.tracks.quality[row], (int)reco_column_value(reco_table_find(table, "quality"), first + row));
        assert_int_equal(v.truth.vertex[row], (int)reco_column_value(reco_table_find(table, "vertex"), first + row));
        assert_true((double)v.tracks.pt[row] == reco_column_value(reco_table_find(table, "pt"), first + row));
        assert_true((double)v.tracks.state.data[4 * v.tracks.state.stride + row] ==
                    reco_column_value(reco_table_find(table, "state_4"), first + row));
        assert_true((double)v.tracks.covariance.data[13 * v.tracks.covariance.stride + row] ==
                    reco_column_value(reco_table_find(table, "covariance_13"), first + row));
    }
    assert_int_equal(reco_events_hits(events, i), offset);
    assert_int_equal(v.truth.is_true[rows], 0xa5); /* nothing behind the event */
    free_view(&v);
}

/* Through CSV, whose digits must be enough, with the vertices found beside it. */
static void test_generated_events(void **state)
{
    reco_table *tracks, *vertices;
    reco_events *events;
    char beside[256];
    (void)state;
    generate(4, &tracks, &vertices);
    OK(reco_table_write(file_path("sim.csv"), tracks, &err));
    assert_true(reco_vertices_path(file_path("sim.csv"), beside, sizeof beside) < sizeof beside);
    OK(reco_table_write(beside, vertices, &err));
    OK(reco_events_read(file_path("sim.csv"), &events, &err));
    assert_int_equal(reco_events_count(events), 4);
    assert_int_equal(reco_events_rows_total(events), reco_table_rows(tracks));
    assert_int_equal(reco_events_has_truth(events), 1);
    uint32_t first = 0, seen = 0;
    for (uint32_t i = 0; i < 4; ++i) {
        uint32_t count;
        const reco_true_vertex *v = reco_events_vertices(events, i, &count);
        assert_true(count > 1 && v[0].type == 1 && v[1].type == 3 && v[1].number == 1);
        check_event(events, i, tracks, first);
        first += reco_events_rows(events, i);
        seen += count;
    }
    assert_int_equal(seen, reco_table_rows(vertices));
    reco_events_destroy(events);
    reco_table_destroy(tracks);
    reco_table_destroy(vertices);
}

/* Hits through CSV, found beside the tracks; a column too few, and an event in two places. */
static void test_event_hits(void **state)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *tracks, *made, *table;
    reco_event_hits *hits;
    char beside[256];
    (void)state;
    options.events = 3;
    options.pileup = 5;
    OK(reco_generate_hlt(&options, &tracks, NULL, &made, &err));
    OK(reco_event_hits_read(file_path("none.csv"), &hits, &err));
    assert_null(hits);
    assert_int_equal(reco_event_hits_rows(hits, 0), 0);
    assert_true(reco_hits_path(file_path("hits.csv"), beside, sizeof beside) < sizeof beside);
    OK(reco_table_write(beside, made, &err));
    OK(reco_event_hits_read(file_path("hits.csv"), &hits, &err));
    (void)unlink(beside);
    const uint32_t first = reco_event_hits_rows(hits, 0), rows = reco_event_hits_rows(hits, 1);
    assert_true(first > 0 && rows > 0 && reco_event_hits_rows(hits, 9) == 0);
    size_t bytes[2];
    const stoa_place host = {STOA_PLACE_HOST, 0};
    track_hits_soa numbers;
    rec_hits_soa at;
    OK(stoa_layout_bytes(&track_hits_soa_layout, rows, &bytes[0], &err));
    OK(stoa_layout_bytes(&rec_hits_soa_layout, rows, &bytes[1], &err));
    void *blobs[2] = {stoa_alloc(bytes[0], 128), stoa_alloc(bytes[1], 128)};
    OK(stoa_layout_bind(&track_hits_soa_layout, rows, blobs[0], bytes[0], host, &numbers.head, &err));
    OK(stoa_layout_bind(&rec_hits_soa_layout, rows, blobs[1], bytes[1], host, &at.head, &err));
    OK(reco_event_hits_fill(hits, 1, &numbers, &at, &err));
    for (uint32_t i = 0; i < rows; ++i) {
        assert_int_equal(numbers.id[i], i);
        assert_true((double)at.zGlobal[i] == reco_column_value(reco_table_find(made, "zGlobal"), first + i));
        assert_true((double)at.dPhiDrError[i] == reco_column_value(reco_table_find(made, "dPhiDrError"), first + i));
        assert_int_equal(at.flags[i], (int)reco_column_value(reco_table_find(made, "flags"), first + i));
    }
    at.head.rows = rows - 1;
    assert_int_equal(reco_event_hits_fill(hits, 1, &numbers, &at, &err), STOA_ESHAPE);
    for (int k = 0; k < 2; ++k) stoa_free(blobs[k], bytes[k]);
    reco_event_hits_destroy(hits);
    OK(reco_table_create(1, &table, &err));
    OK(reco_table_add(table, "xGlobal", STOA_FLOAT32, NULL, &err));
    assert_int_equal(reco_event_hits_from_table(table, "few", &hits, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "event, yGlobal, zGlobal, dPhiDr, dPhiDrError, flags"));
    ((int32_t *)reco_table_find(made, "event")->data)[0] = 1;
    assert_int_equal(reco_event_hits_from_table(made, "twice", &hits, &err), STOA_EFORMAT);
    assert_null(hits);
    reco_table_destroy(tracks);
}

static void test_event_errors(void **state)
{
    reco_table *tracks, *vertices;
    reco_events *events;
    (void)state;
    generate(2, &tracks, &vertices);
    assert_int_equal(reco_events_from_tables(vertices, NULL, "vertices", &events, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "quality, chi2"));
    OK(reco_events_from_tables(tracks, vertices, "memory", &events, &err));
    view v = new_view(3);
    assert_int_equal(reco_events_fill(events, 0, &v.tracks, NULL, &err), STOA_ESHAPE);
    assert_int_equal(reco_events_fill(events, 2, &v.tracks, NULL, &err), STOA_EINVAL);
    v.tracks.head.place.type = STOA_PLACE_CUDA;
    v.tracks.head.rows = 1u << 20;
    assert_int_equal(reco_events_fill(events, 0, &v.tracks, NULL, &err), STOA_EPLACE);
    free_view(&v);
    reco_events_destroy(events);
    ((int32_t *)reco_table_find(tracks, "event")->data)[0] = 1; /* event 1 is there again further down */
    assert_int_equal(reco_events_from_tables(tracks, NULL, "memory", &events, &err), STOA_EFORMAT);
    reco_table_destroy(tracks);
    reco_table_destroy(vertices);
}

static void test_physlite(void **state)
{
    const char *path = data_file("tracks/physlite_tracks.csv");
    reco_events *events;
    uint32_t count, linked = 0;
    (void)state;
    if (!path) skip();
    OK(reco_events_read(path, &events, &err));
    assert_int_equal(reco_events_origin(events), RECO_EVENTS_PHYSLITE);
    assert_int_equal(reco_events_rows_total(events), 1292);
    view v = new_view(reco_events_rows_max(events));
    for (uint32_t i = 0; i < reco_events_count(events); ++i) {
        OK(reco_events_fill(events, i, &v.tracks, &v.truth, &err));
        for (uint32_t row = 0; row < reco_events_rows(events, i); ++row) linked += v.truth.is_true[row];
    }
    assert_int_equal(linked, 1119);
    OK(reco_events_fill(events, 0, &v.tracks, &v.truth, &err));
    const tracks_soa *t = &v.tracks;
    /* First row of the file: d0 0.01557 mm, z0 -8.5596 mm, vz 0, theta 2.81873, q/p -0.000152992 / MeV,
     * chi2 44.9929 / 50 */
    assert_float_equal(t->state.data[t->state.stride], 0.00155747, 1e-7);
    assert_float_equal(t->state.data[4 * t->state.stride], -0.855956554, 1e-6);
    assert_float_equal(t->pt[0], (float)(sin(2.81873083) / 0.152992288), 1e-4);
    assert_float_equal(t->chi2[0], 44.992897 / 50, 1e-6);
    assert_int_equal(t->hitOffsets[0], 14);
    assert_int_equal(t->nLayers[0], 6);
    assert_float_equal(t->covariance.data[14 * t->covariance.stride], 0.000417442769, 1e-9);
    const reco_true_vertex *vertex = reco_events_vertices(events, 0, &count);
    assert_true(count > 1 && vertex[0].type == 1);
    assert_float_equal(vertex[0].z, -1.28734264, 1e-6);
    free_view(&v);
    reco_events_destroy(events);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"t.csv", "t.npy", "t.npz", "t.h5",    "e.csv",   "e.npy",  "e.npz", "e.h5",    "g.npy",
                                        "f.npy", "n.csv", "d.csv", "d.npz",   "d.h5",    "d.npy",  "d.txt", "d",       "h.npy",
                                        "c.npy", "c.npz", "c.h5",  "cut.npy", "cut.npz", "cut.h5", "z.npz", "sim.csv", "sim.vertices.csv"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) (void)unlink(file_path(names[i])); /* some were skipped */
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),      cmocka_unit_test(test_empty_tables), cmocka_unit_test(test_plain_npy),
        cmocka_unit_test(test_npy_orders),       cmocka_unit_test(test_csv_numbers),  cmocka_unit_test(test_damaged_text),
        cmocka_unit_test(test_damaged_npy),      cmocka_unit_test(test_damage),       cmocka_unit_test(test_zip_claims),
        cmocka_unit_test(test_arguments),        cmocka_unit_test(test_failed_write), cmocka_unit_test(test_covariance),
        cmocka_unit_test(test_generated_events), cmocka_unit_test(test_event_hits),   cmocka_unit_test(test_event_errors),
        cmocka_unit_test(test_physlite),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
