/* SPDX-License-Identifier: Apache-2.0 */
/* CMSSW's blobs adopted in place, and files of them, written here byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_memory.h"
#include "reco/io/track_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 40 tracks: bytes of their columns, padded to 128, and where each starts. */
enum {
    TRACKS = 40,
    HITS = 200,
    QUALITY = 0,
    CHI2 = 128,
    LAYERS = 384,
    ETA = 512,
    PT = 768,
    STATE = 1024,
    COVARIANCE = STATE + 5 * 256,
    OFFSETS = COVARIANCE + 15 * 256,
    COUNT = OFFSETS + 256,
    ID = COUNT + 128,
    DET = ID + 896,
    BLOB = DET + 896,
    EVENT = 128 + BLOB
};

static void put(unsigned char *at, const void *data, size_t bytes) { memcpy(at, data, bytes); }

static void put_blob(unsigned char *at, float mark)
{
    const int32_t count = TRACKS - 1;
    memset(at, 0, BLOB);
    put(at + COUNT, &count, 4);
    for (uint32_t i = 0; i < TRACKS; i++) {
        const float pt = mark + (float)i, phi = mark - (float)i;
        const uint32_t offset = 5 * (i + 1);
        put(at + PT + 4 * i, &pt, 4);
        put(at + STATE + 256 * 4 + 4 * i, &phi, 4);
        put(at + OFFSETS + 4 * i, &offset, 4);
    }
    for (uint32_t i = 0; i < HITS; i++) put(at + DET + 4 * i, &i, 4);
}

static void put_event(unsigned char *at, int64_t event, float mark)
{
    const uint32_t rows[2] = {TRACKS, HITS};
    const uint64_t bytes = BLOB;
    memset(at, 0, 128);
    put(at, "STOASOA1", 8);
    put(at + 8, &event, 8);
    put(at + 16, rows, 8);
    put(at + 24, &bytes, 8);
    put_blob(at + 128, mark);
}

static void check_event(const reco_track_blob *blob, int64_t event, float mark)
{
    assert_int_equal(blob->event, event);
    assert_int_equal(blob->tracks.head.rows, TRACKS);
    assert_int_equal(*blob->tracks.nTracks, TRACKS - 1);
    assert_float_equal(blob->tracks.pt[7], mark + 7, 0.0f);
    assert_float_equal(blob->tracks.state.data[4 * blob->tracks.state.stride + 39], mark - 39, 0.0f);
    assert_int_equal(blob->tracks.hitOffsets[39], HITS);
    assert_int_equal(blob->hits.detId[199], 199);
}

static void test_adopt(void **state)
{
    (void)state;
    const stoa_place host = {STOA_PLACE_HOST, 0};
    unsigned char *blob = aligned_alloc(128, BLOB);
    reco_track_blob view = {.event = 3};
    stoa_error err;
    assert_non_null(blob);
    put_blob(blob, 5.0f);
    assert_int_equal(reco_tracks_adopt(blob, BLOB, host, TRACKS, HITS, &view, &err), STOA_OK);
    check_event(&view, 3, 5.0f);
    assert_ptr_equal(view.tracks.pt, blob + PT); /* in place */
    assert_int_equal(reco_tracks_adopt(blob, BLOB - 1, host, TRACKS, HITS, &view, &err), STOA_ESHAPE);
    assert_int_equal(reco_tracks_adopt(blob + 4, BLOB - 4, host, TRACKS, 0, &view, &err), STOA_EALIGN);
    /* 40 vertices, 100 tracks: zv wv chi2 ptv2 of 256 bytes, sortInd and nvFinal of 128; idv 256, ndof 512. */
    reco_vertex_blob vertices;
    const uint32_t found = 17;
    put(blob + 4 * 256 + 128, &found, 4);
    assert_int_equal(reco_vertices_adopt(blob, 1280 + 768, host, 40, 100, &vertices, &err), STOA_OK);
    assert_int_equal(*vertices.vertices.nvFinal, 17);
    assert_ptr_equal(vertices.tracks.ndof, blob + 1280 + 256);
    assert_int_equal(reco_vertices_adopt(blob, 1280 + 767, host, 40, 100, &vertices, &err), STOA_ESHAPE);
    free(blob);
}

static stoa_status open_bytes(const unsigned char *bytes, size_t size, reco_track_file **file, stoa_error *err)
{
    char path[] = "/tmp/stoa_track_file_XXXXXX";
    const int handle = mkstemp(path);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, bytes, size), size);
    close(handle);
    const stoa_status status = reco_track_file_open(path, file, err);
    unlink(path);
    return status;
}

static void test_file(void **state)
{
    (void)state;
    static unsigned char bytes[2 * EVENT];
    reco_track_file *file;
    stoa_error err;
    put_event(bytes, 11, 100.0f);
    put_event(bytes + EVENT, -4, 200.0f);
    if (open_bytes(bytes, sizeof bytes, &file, &err) != STOA_OK) fail_msg("%s", err.message);
    assert_int_equal(reco_track_file_count(file), 2);
    check_event(reco_track_file_event(file, 0), 11, 100.0f);
    check_event(reco_track_file_event(file, 1), -4, 200.0f);
    assert_null(reco_track_file_event(file, 2));
    reco_track_file_close(file);
    assert_int_equal(open_bytes(bytes, 0, &file, &err), STOA_OK); /* no event */
    assert_int_equal(reco_track_file_count(file), 0);
    reco_track_file_close(file);
}

static void test_broken(void **state)
{
    (void)state;
    static unsigned char bytes[2 * EVENT];
    reco_track_file *file;
    stoa_error err;
    for (size_t size = 1; size < sizeof bytes; size += 61) {
        put_event(bytes, 1, 1.0f);
        put_event(bytes + EVENT, 2, 2.0f);
        if (size == EVENT) continue;
        assert_int_equal(open_bytes(bytes, size, &file, &err), STOA_EFORMAT);
        assert_null(file);
    }
    const uint32_t many = 1000000000;
    put(bytes + 16, &many, 4); /* more rows than the blob holds */
    assert_int_equal(open_bytes(bytes, sizeof bytes, &file, &err), STOA_ESHAPE);
    assert_int_equal(reco_track_file_open("/nonexistent.soa", &file, &err), STOA_EIO);
}

static stoa_status open_two(stoa_error *err)
{
    static unsigned char bytes[2 * EVENT];
    reco_track_file *file = NULL;
    put_event(bytes, 1, 1.0f);
    put_event(bytes + EVENT, 2, 2.0f);
    const stoa_status status = open_bytes(bytes, sizeof bytes, &file, err);
    reco_track_file_close(file);
    return status;
}

static void test_no_memory(void **state)
{
    assert_int_equal(install_failing_memory(state), 0);
    assert_true(assert_memory_may_run_out(open_two) > 1);
    assert_int_equal(remove_failing_memory(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
