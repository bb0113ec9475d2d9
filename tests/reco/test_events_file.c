/* SPDX-License-Identifier: Apache-2.0 */
/* Events, their vertices and hits, read some at a time: what they are when the file is read whole, in HDF5 and in CSV. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reco/generate/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"
#include "stoa/memory.h"

enum { EVENTS = 7 };

static char folder[] = "/tmp/stoa_events_file_XXXXXX";
static stoa_error err;

#define OK(expression) \
    do { \
        stoa_status status_ = (expression); \
        if (status_ != STOA_OK) fail_msg("%s: %s", #expression, err.message); \
    } while (0)

static const char *file_path(const char *name)
{
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* "e.h5" with what stands beside it; false: this build has not the format. */
static bool write_files(const char *extension, uint32_t events)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *tables[3];
    static const char *const kinds[] = {"", ".vertices", ".hits"};
    stoa_status status = STOA_OK;
    char name[32];
    options.events = events;
    options.pileup = 3;
    OK(reco_generate_hlt(&options, &tables[0], &tables[1], &tables[2], &err));
    for (int k = 0; k < 3 && status == STOA_OK; k++) {
        snprintf(name, sizeof name, "e%s.%s", kinds[k], extension);
        status = reco_table_write(file_path(name), tables[k], &err);
    }
    for (int k = 0; k < 3; k++) reco_table_destroy(tables[k]);
    return status == STOA_OK;
}

/* A block and its view, of `rows` rows. */
typedef struct block {
    void *data;
    size_t bytes;
} block;

static block make_block(const stoa_layout *layout, uint32_t rows, stoa_view_head *view)
{
    block b;
    OK(stoa_layout_bytes(layout, rows, &b.bytes, &err));
    b.data = stoa_calloc(1, b.bytes + 128);
    OK(stoa_layout_bind(layout, rows, (char *)b.data + (128 - (uintptr_t)b.data % 128), b.bytes, (stoa_place){STOA_PLACE_HOST, 0}, view,
                        &err));
    return b;
}

static void same_blob(const stoa_view_head *a, const stoa_view_head *b, size_t bytes) { assert_memory_equal(a->blob, b->blob, bytes); }

static void same_event(const reco_events *whole, uint32_t i, const reco_events *some, uint32_t at)
{
    tracks_soa tracks[2];
    track_truth_soa truth[2];
    block blocks[4];
    assert_int_equal(reco_events_number(whole, i), reco_events_number(some, at));
    const uint32_t rows = reco_events_rows(whole, i);
    for (int k = 0; k < 2; k++) {
        blocks[k] = make_block(&tracks_soa_layout, rows, &tracks[k].head);
        blocks[2 + k] = make_block(&track_truth_soa_layout, rows, &truth[k].head);
    }
    OK(reco_events_fill(whole, i, &tracks[0], &truth[0], &err));
    OK(reco_events_fill(some, at, &tracks[1], &truth[1], &err));
    same_blob(&tracks[0].head, &tracks[1].head, blocks[0].bytes);
    same_blob(&truth[0].head, &truth[1].head, blocks[2].bytes);
    assert_int_equal(reco_events_hits(whole, i), reco_events_hits(some, at));
    for (int k = 0; k < 4; k++) stoa_free(blocks[k].data, blocks[k].bytes + 128);
}

static void same_vertices(const reco_events *whole, const reco_events *index)
{
    for (uint32_t i = 0; i < EVENTS; i++) {
        uint32_t count, other;
        const reco_true_vertex *a = reco_events_vertices(whole, i, &count), *b = reco_events_vertices(index, i, &other);
        assert_true(count > 0 && count == other);
        assert_memory_equal(a, b, count * sizeof *a);
    }
}

static stoa_status fill_hits(const reco_event_hits *hits, int64_t event, float *z)
{
    track_hits_soa numbers;
    rec_hits_soa at;
    const uint32_t rows = reco_event_hits_rows(hits, event);
    block blocks[] = {make_block(&track_hits_soa_layout, rows, &numbers.head), make_block(&rec_hits_soa_layout, rows, &at.head)};
    const stoa_status status = reco_event_hits_fill(hits, event, &numbers, &at, &err);
    if (status == STOA_OK) memcpy(z, at.zGlobal, rows * sizeof *z);
    for (int k = 0; k < 2; k++) stoa_free(blocks[k].data, blocks[k].bytes + 128);
    return status;
}

static void same_hits(const reco_event_hits *whole, const reco_event_hits *some, int64_t event)
{
    const uint32_t rows = reco_event_hits_rows(whole, event);
    assert_true(rows > 0 && rows == reco_event_hits_rows(some, event));
    float *z[2] = {calloc(rows, sizeof **z), calloc(rows, sizeof **z)};
    OK(fill_hits(whole, event, z[0]));
    OK(fill_hits(some, event, z[1]));
    assert_memory_equal(z[0], z[1], rows * sizeof **z);
    free(z[0]);
    free(z[1]);
}

static void check_windows(const char *name)
{
    static const uint32_t windows[][2] = {{0, 3}, {3, 3}, {6, 1}, {2, 4}, {4, 0}, {0, EVENTS}};
    reco_events *whole;
    reco_events_file *file;
    reco_event_hits *hits, *some_hits;
    OK(reco_events_read(file_path(name), &whole, &err));
    OK(reco_events_file_open(file_path(name), &file, &err));
    OK(reco_event_hits_read(file_path(name), &hits, &err));
    OK(reco_event_hits_open(file_path(name), &some_hits, &err));
    const reco_events *index = reco_events_file_index(file), *some;
    assert_int_equal(reco_events_count(index), EVENTS);
    assert_int_equal(reco_events_has_truth(index), 1);
    same_vertices(whole, index);
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        int64_t numbers[EVENTS];
        const uint32_t first = windows[w][0], count = windows[w][1];
        uint32_t at;
        OK(reco_events_file_read(file, first, count, &some, &at, &err));
        for (uint32_t k = 0; k < count; k++) same_event(whole, first + k, some, at + k);
        for (uint32_t k = 0; k < count; k++) numbers[k] = reco_events_number(index, first + k);
        OK(reco_event_hits_load(some_hits, numbers, count, &err));
        for (uint32_t k = 0; k < count; k++) same_hits(hits, some_hits, numbers[k]);
    }
    uint32_t at;
    assert_int_equal(reco_events_file_read(file, 5, 3, &some, &at, &err), STOA_EINVAL);
    reco_event_hits_destroy(hits);
    reco_event_hits_destroy(some_hits);
    reco_events_file_close(file);
    reco_events_destroy(whole);
}

static void test_windows(void **state)
{
    (void)state;
    assert_true(write_files("csv", EVENTS));
    check_windows("e.csv");
    if (!write_files("h5", EVENTS)) skip();
    check_windows("e.h5");
}

/* What is not at hand is not given, and another file in place of the first is seen. */
static void test_not_at_hand(void **state)
{
    reco_events_file *file;
    reco_event_hits *hits;
    const reco_events *some;
    tracks_soa tracks;
    const int64_t events[] = {1, 2, 6};
    float z[4096];
    uint32_t at;
    (void)state;
    if (!write_files("h5", EVENTS)) skip();
    OK(reco_events_file_open(file_path("e.h5"), &file, &err));
    OK(reco_event_hits_open(file_path("e.h5"), &hits, &err));
    const reco_events *index = reco_events_file_index(file);
    block b = make_block(&tracks_soa_layout, reco_events_rows(index, 0), &tracks.head);
    assert_int_equal(reco_events_fill(index, 0, &tracks, NULL, &err), STOA_ESTATE);
    assert_int_equal(reco_events_hits(index, 0), 0);
    stoa_free(b.data, b.bytes + 128);
    assert_int_equal(fill_hits(hits, 1, z), STOA_ESTATE);
    OK(reco_event_hits_load(hits, events, 2, &err));
    assert_true(reco_event_hits_rows(hits, 2) < 4096);
    assert_int_equal(fill_hits(hits, 2, z), STOA_OK);
    assert_int_equal(fill_hits(hits, 0, z), STOA_ESTATE);
    assert_int_equal(fill_hits(hits, 3, z), STOA_ESTATE);
    assert_true(write_files("h5", 4));
    assert_int_equal(reco_events_file_read(file, 4, 2, &some, &at, &err), STOA_EFORMAT);
    assert_non_null(strstr(err.message, "has changed"));
    assert_int_equal(reco_event_hits_load(hits, events, 3, &err), STOA_EFORMAT);
    reco_event_hits_destroy(hits);
    reco_events_file_close(file);
}

/* Columns and events are looked at when the file is opened. */
static void test_refused(void **state)
{
    reco_events_file *file;
    reco_table *table;
    void *event, *other;
    (void)state;
    OK(reco_table_create(3, &table, &err));
    OK(reco_table_add(table, "event", STOA_INT32, &event, &err));
    if (reco_table_write(file_path("few.h5"), table, &err) != STOA_OK) skip();
    assert_int_equal(reco_events_file_open(file_path("few.h5"), &file, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "quality, chi2"));
    reco_table_destroy(table);
    assert_true(write_files("h5", 2));
    OK(reco_table_read(file_path("e.h5"), &table, &err));
    other = reco_table_find(table, "event")->data;
    ((int32_t *)other)[0] = 1; /* event 1 is there again further down */
    OK(reco_table_write(file_path("e.h5"), table, &err));
    assert_int_equal(reco_events_file_open(file_path("e.h5"), &file, &err), STOA_EFORMAT);
    assert_non_null(strstr(err.message, "again"));
    assert_null(file);
    assert_int_equal(reco_events_file_open(file_path("none.h5"), &file, &err), STOA_EIO);
    reco_table_destroy(table);
}

/* Rows behind others: the table that both make. */
static void test_append(void **state)
{
    reco_table *table, *back;
    void *x;
    (void)state;
    OK(reco_table_create(3, &table, &err));
    OK(reco_table_add(table, "x", STOA_FLOAT32, &x, &err));
    for (int i = 0; i < 3; i++) ((float *)x)[i] = 0.1f * (float)i;
    OK(reco_table_write(file_path("a.csv"), table, &err));
    OK(reco_table_append(file_path("a.csv"), table, &err));
    OK(reco_table_read(file_path("a.csv"), &back, &err));
    assert_int_equal(reco_table_rows(back), 6);
    for (uint32_t i = 0; i < 6; i++) assert_true((float)reco_column_value(reco_table_find(back, "x"), i) == ((float *)x)[i % 3]);
    assert_int_equal(reco_table_append(file_path("a.npy"), table, &err), STOA_ENOTSUP);
    assert_int_equal(reco_table_append("/nowhere/a.csv", table, &err), STOA_EIO);
    reco_table_destroy(back);
    reco_table_destroy(table);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"e.csv", "e.vertices.csv", "e.hits.csv", "e.h5", "e.vertices.h5", "e.hits.h5", "few.h5", "a.csv"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) (void)unlink(file_path(names[i])); /* some were skipped */
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_not_at_hand),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_append),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
