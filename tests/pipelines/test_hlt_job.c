/* SPDX-License-Identifier: Apache-2.0 */
/* The HLT job: the same bits on any number of threads and streams, for each chain, and on STOA_TEST_DEVICE where that names another
 * device; a broken event fails alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "reco/generate/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"
#include "driver_trace.h"
#include "unit/device_under_test.h"
#include "unit/onnx_builder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 8, BROKEN = 3, LAUNCHES = 17, DELIVERY = 1 };

typedef struct fixture {
    reco_events *file;
    reco_event_hits *hits;
    reco_forest *forest;
    tracks_soa tracks[EVENTS];
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *blob[EVENTS], *hit_blob[EVENTS], *rec_hit_blob[EVENTS];
    hlt_event events[EVENTS];
    uint32_t count; /* of them */
} fixture;

/* Memory for a block of `rows`, bound for writing and reading, from which a device copies without waiting. */
static stoa_buffer *make_block(const fixture *f, const stoa_layout *layout, uint32_t rows, stoa_view_head *view, stoa_view_head *read)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    size_t bytes;
    assert_int_equal(stoa_layout_bytes(layout, rows, &bytes, NULL), STOA_OK);
    stoa_buffer *blob = make_shared(f->queue, bytes);
    assert_int_equal(stoa_layout_bind(layout, rows, stoa_buffer_data(blob), bytes, host, view, NULL), STOA_OK);
    assert_int_equal(stoa_layout_bind_const(layout, rows, stoa_buffer_data(blob), bytes, host, read, NULL), STOA_OK);
    return blob;
}

static int fill_event(fixture *f, uint32_t e)
{
    f->blob[e] = make_block(f, &tracks_soa_layout, reco_events_rows(f->file, e), &f->tracks[e].head, &f->events[e].tracks.head);
    f->events[e].number = 100 + e;
    f->events[e].vertex_z = NAN;
    return reco_events_fill(f->file, e, &f->tracks[e], NULL, NULL) == STOA_OK ? 0 : -1;
}

/* The events' hits, for the selector that looks at them. */
static void add_hits(fixture *f)
{
    for (uint32_t e = 0; e < EVENTS; e++) {
        const int64_t number = reco_events_number(f->file, e);
        const uint32_t rows = reco_event_hits_rows(f->hits, number);
        track_hits_soa hits;
        rec_hits_soa rec_hits;
        f->hit_blob[e] = make_block(f, &track_hits_soa_layout, rows, &hits.head, &f->events[e].hits.head);
        f->rec_hit_blob[e] = make_block(f, &rec_hits_soa_layout, rows, &rec_hits.head, &f->events[e].rec_hits.head);
        assert_int_equal(reco_event_hits_fill(f->hits, number, &hits, &rec_hits, NULL), STOA_OK);
    }
}

static int generate(void **state, uint32_t events, double pileup)
{
    fixture *f = calloc(1, sizeof *f);
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *tracks = NULL, *hits = NULL;
    options.events = events;
    options.pileup = pileup;
    if (!f || reco_generate_hlt(&options, &tracks, NULL, &hits, NULL) != STOA_OK) return -1;
    const stoa_status status = reco_events_from_tables(tracks, NULL, "generated", &f->file, NULL);
    reco_table_destroy(tracks);
    if (reco_event_hits_from_table(hits, "generated", &f->hits, NULL) != STOA_OK || status != STOA_OK) return -1;
    if (reco_forest_load(STOA_SOURCE_DIR "/models/hlt_high_purity.forest", &f->forest, NULL) != STOA_OK) return -1;
    if (stoa_device_open(device_under_test(), &f->device, NULL) != STOA_OK ||
        stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, NULL) != STOA_OK)
        return -1;
    for (f->count = 0; f->count < events; f->count++)
        if (fill_event(f, f->count) != 0) return -1;
    *state = f;
    return 0;
}

static int set_up(void **state) { return generate(state, EVENTS, 30); }
static int set_up_large(void **state) { return generate(state, 1, 600); }

static int tear_down(void **state)
{
    fixture *f = *state;
    for (int e = 0; e < EVENTS; e++) {
        stoa_buffer_release(f->blob[e]);
        stoa_buffer_release(f->hit_blob[e]);
        stoa_buffer_release(f->rec_hit_blob[e]);
    }
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
    reco_event_hits_destroy(f->hits);
    reco_events_destroy(f->file);
    reco_forest_destroy(f->forest);
    free(f);
    return 0;
}

static void same(const void *a, const void *b, size_t count, size_t bytes)
{
    if (count > 0) assert_memory_equal(a, b, count * bytes);
}

static void same_results(const hlt_result *a, const hlt_result *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->preselected, b->preselected);
    assert_int_equal(a->selected, b->selected);
    assert_int_equal(a->converted, b->converted);
    assert_int_equal(a->vertices, b->vertices);
    same(a->index, b->index, a->preselected, sizeof *a->index);
    same(a->score, b->score, a->preselected, sizeof *a->score);
    same(a->kept, b->kept, a->selected, sizeof *a->kept);
    same(a->vertex_of, b->vertex_of, a->selected, sizeof *a->vertex_of);
    same(a->z, b->z, a->vertices, sizeof *a->z);
    same(a->weight, b->weight, a->vertices, sizeof *a->weight);
    same(a->chi2, b->chi2, a->vertices, sizeof *a->chi2);
    same(a->pt2_sum, b->pt2_sum, a->vertices, sizeof *a->pt2_sum);
    same(a->by_pt2, b->by_pt2, a->vertices, sizeof *a->by_pt2);
    if (!a->legacy) return;
    assert_non_null(b->legacy);
    same(a->legacy->source + a->legacy_first, b->legacy->source + b->legacy_first, a->converted, sizeof(uint32_t));
    same(a->legacy->pt + a->legacy_first, b->legacy->pt + b->legacy_first, a->converted, sizeof(float));
    for (uint32_t k = 0; k < 15; k++)
        same(a->legacy->covariance.data + k * a->legacy->covariance.stride + a->legacy_first,
             b->legacy->covariance.data + k * b->legacy->covariance.stride + b->legacy_first, a->converted, sizeof(float));
}

static hlt_job *run_job(const fixture *f, const hlt_options *options, hlt_summary *summary)
{
    hlt_job *job;
    stoa_error err;
    if (hlt_job_create(options, f->events, f->count, &job, &err) != STOA_OK) fail_msg("%s", err.message);
    if (hlt_job_run(job, 0, f->count, &err) != STOA_OK) fail_msg("%s", err.message);
    hlt_job_sum(job, summary);
    assert_int_equal(summary->allocations, 0);
    return job;
}

/* Reference: one thread, one stream, on the host. */
static void check_chain(const fixture *f, hlt_selector selector, hlt_vertexing vertexing, bool vertices_first)
{
    static const uint32_t shapes[][2] = {{1, 3}, {2, 2}, {4, 5}};
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary;
    options.selector = selector;
    options.vertexing = vertexing;
    options.vertices_first = vertices_first;
    options.forest = f->forest;
    options.keep_legacy = vertexing == HLT_VERTEXING_DIVISIVE;
    hlt_job *reference = run_job(f, &options, &summary);
    assert_true(summary.selected > 0 && summary.selected <= summary.preselected && summary.vertices > f->count);
    for (size_t k = 0; k < (f->count > 1 ? sizeof shapes / sizeof *shapes : 1); k++) {
        options.device = device_under_test();
        options.threads = shapes[k][0];
        options.streams = shapes[k][1];
        hlt_job *job = run_job(f, &options, &summary);
        for (uint32_t e = 0; e < f->count; e++) same_results(hlt_job_result(reference, e), hlt_job_result(job, e));
        hlt_job_destroy(job);
    }
    hlt_job_destroy(reference);
}

static void test_chains(void **state)
{
    check_chain(*state, HLT_SELECTOR_CUTS, HLT_VERTEXING_DIVISIVE, true);
    check_chain(*state, HLT_SELECTOR_FOREST, HLT_VERTEXING_DIVISIVE, false);
    check_chain(*state, HLT_SELECTOR_FOREST, HLT_VERTEXING_DENSITY, false);
    check_chain(*state, HLT_SELECTOR_CUTS, HLT_VERTEXING_DENSITY, false);
    check_chain(*state, HLT_SELECTOR_NONE, HLT_VERTEXING_DENSITY, true);
}

/* So many tracks that a GPU sorts, compacts and scans with more than one block. */
static void test_large_event(void **state)
{
    const fixture *f = *state;
    assert_true(f->events[0].tracks.head.rows > 8192);
    check_chain(f, HLT_SELECTOR_NONE, HLT_VERTEXING_DIVISIVE, false);
    check_chain(f, HLT_SELECTOR_FOREST, HLT_VERTEXING_DENSITY, false);
}

/* A gate over the hits: sigmoid of a sum of the twelve features. */
static stoa_model *make_gate(void)
{
    static onnx_builder o;
    static const float weights[12] = {-0.5f, 0.2f, 0.1f, 0.1f, 0.3f, 0.01f, 0.1f, 0.2f, -0.1f, 0.2f, -30.0f, 0.1f};
    stoa_model *model;
    o.graph.size = 0;
    add_input(&o, "features", ONNX_FLOAT, DIMS(12));
    add_output(&o, "score");
    add_floats(&o, "w", DIMS(12, 1), weights, 12);
    add_node(&o, "MatMul", "features w", "sum", NULL);
    add_node(&o, "Sigmoid", "sum", "score", NULL);
    const builder *file = finish_model(&o, 20);
    stoa_model_options options = STOA_MODEL_OPTIONS_INIT;
    stoa_error err;
    options.runtime = "native";
    if (stoa_model_load_memory(file->bytes, file->size, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    return model;
}

/* Strict tracks are scored too, and those that pass are in vertices; on a device scores may differ by its logarithm. An event without
 * positions fails alone. */
static void test_gate(void **state)
{
    fixture *f = *state;
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary, other;
    uint32_t lifted = 0;
    stoa_model *model = make_gate();
    add_hits(f);
    options.selector = HLT_SELECTOR_CATRACK;
    options.model = model;
    options.score_min = 0.5f;
    hlt_job *host = run_job(f, &options, &summary);
    assert_true(summary.failed == 0 && summary.hits > summary.selected && summary.selected < summary.preselected);
    options.device = device_under_test();
    options.threads = 2;
    options.streams = 3;
    hlt_job *job = run_job(f, &options, &other);
    assert_int_equal(other.preselected, summary.preselected);
    assert_true(fabs((double)other.selected - (double)summary.selected) < 0.01 * (double)summary.selected);
    for (uint32_t e = 0; e < EVENTS; e++) {
        const hlt_result *a = hlt_job_result(host, e), *b = hlt_job_result(job, e);
        for (uint32_t i = 0; i < a->preselected; i++) assert_float_equal(a->score[i], b->score[i], 1e-4f);
        for (uint32_t i = 0; i < a->selected; i++)
            lifted += f->tracks[e].quality[a->kept[i]] == RECO_QUALITY_STRICT && a->vertex_of[i] >= 0;
    }
    assert_true(lifted > 0);
    hlt_job_destroy(job);
    hlt_job_destroy(host);
    f->events[BROKEN].rec_hits.head.rows = 0;
    job = run_job(f, &options, &summary);
    assert_int_equal(summary.failed, 1);
    assert_non_null(strstr(hlt_job_result(job, BROKEN)->reason, "positions of 0"));
    hlt_job_destroy(job);
    stoa_model_destroy(model);
}

/* Vertices first or not: without a selector both see the same tracks. */
static void test_order_of_stages(void **state)
{
    const fixture *f = *state;
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary;
    options.selector = HLT_SELECTOR_NONE;
    options.vertexing = HLT_VERTEXING_DIVISIVE;
    hlt_job *after = run_job(f, &options, &summary);
    options.vertices_first = true;
    hlt_job *before = run_job(f, &options, &summary);
    for (uint32_t e = 0; e < EVENTS; e++) same_results(hlt_job_result(after, e), hlt_job_result(before, e));
    hlt_job_destroy(after);
    hlt_job_destroy(before);
}

static void test_broken_event(void **state)
{
    fixture *f = *state;
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary;
    options.selector = HLT_SELECTOR_FOREST;
    options.vertexing = HLT_VERTEXING_DIVISIVE;
    options.forest = f->forest;
    options.threads = options.streams = 2;
    hlt_job *good = run_job(f, &options, &summary);
    const float before = f->tracks[BROKEN].covariance.data[5];
    f->tracks[BROKEN].covariance.data[5] = NAN;
    hlt_job *job = run_job(f, &options, &summary);
    assert_int_equal(summary.failed, 1);
    for (uint32_t e = 0; e < EVENTS; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        if (e != BROKEN) same_results(hlt_job_result(good, e), result);
        else assert_non_null(strstr(result->reason, "event 103: track 5: covariance"));
    }
    hlt_job_destroy(job);
    f->tracks[BROKEN].covariance.data[5] = before;
    const int32_t count = *f->tracks[BROKEN].nTracks;
    *f->tracks[BROKEN].nTracks = -7;
    job = run_job(f, &options, &summary);
    assert_int_equal(hlt_job_result(job, BROKEN)->status, STOA_ESHAPE);
    assert_non_null(strstr(hlt_job_result(job, BROKEN)->reason, "-7 tracks"));
    *f->tracks[BROKEN].nTracks = count;
    hlt_job_destroy(job);
    hlt_job_destroy(good);
}

/* Ranges in any order, each event once, and results that came from a file: the same as in one go. */
static void test_ranges(void **state)
{
    const fixture *f = *state;
    enum { HALF = EVENTS / 2 };
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary, merged;
    stoa_error err;
    char path[] = "/tmp/stoa_hlt_saved_XXXXXX";
    const int file = mkstemp(path);
    hlt_job *parts[2];
    assert_true(file >= 0);
    close(file);
    options.selector = HLT_SELECTOR_FOREST;
    options.forest = f->forest;
    hlt_job *reference = run_job(f, &options, &summary);
    for (int k = 0; k < 2; k++) assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &parts[k], &err), STOA_OK);
    assert_int_equal(hlt_job_run(parts[0], HALF, EVENTS - HALF, &err), STOA_OK);
    assert_int_equal(hlt_job_save(parts[0], HALF, EVENTS - HALF, path, &err), STOA_OK);
    assert_int_equal(hlt_job_run(parts[1], 0, HALF, &err), STOA_OK);
    assert_int_equal(hlt_job_load(parts[1], 0, HALF, "/nowhere", &err), STOA_OK); /* ran here: no file is looked at */
    assert_int_equal(hlt_job_load(parts[1], HALF, 1, path, &err), STOA_EFORMAT);
    assert_non_null(strstr(err.message, "needed"));
    assert_int_equal(hlt_job_load(parts[1], HALF, EVENTS - HALF, path, &err), STOA_OK);
    for (uint32_t e = 0; e < EVENTS; e++) same_results(hlt_job_result(reference, e), hlt_job_result(parts[1], e));
    hlt_job_sum(parts[1], &merged);
    assert_int_equal(merged.selected, summary.selected);
    assert_int_equal(merged.vertices, summary.vertices);
    assert_int_equal(hlt_job_run(parts[0], 1, EVENTS, &err), STOA_EINVAL);
    assert_int_equal(truncate(path, 200), 0);
    hlt_job *fresh;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &fresh, &err), STOA_OK);
    assert_int_equal(hlt_job_load(fresh, HALF, EVENTS - HALF, path, &err), STOA_EIO);
    unlink(path);
    hlt_job_destroy(fresh);
    for (int k = 0; k < 2; k++) hlt_job_destroy(parts[k]);
    hlt_job_destroy(reference);
}

/* Windows of one job: each event's results, their sums and what they are worth are those of one go, also when the second window's
 * events are larger than all before. */
static void test_windows(void **state)
{
    fixture *f = *state;
    enum { SIZE = 3 };
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary, all;
    hlt_quality quality, all_quality;
    hlt_job *job;
    stoa_error err;
    options.selector = HLT_SELECTOR_FOREST;
    options.forest = f->forest;
    options.device = device_under_test();
    options.threads = options.streams = 2;
    for (uint32_t e = 0; e < EVENTS; e++) f->events[e].vertex_z = (float)e;
    hlt_job *reference = run_job(f, &options, &all);
    hlt_job_quality(reference, &all_quality);
    assert_true(all_quality.vertex_events == EVENTS);
    uint32_t first = EVENTS, count = 0;
    for (uint32_t e = 0, most = 0; e < EVENTS; e++) /* begin where a larger event is to come */
        if (f->events[e].tracks.head.rows > most) most = f->events[e].tracks.head.rows, first = e;
    assert_int_equal(hlt_job_create(&options, f->events, first < SIZE ? 1 : SIZE, &job, &err), STOA_OK);
    for (uint32_t at = 0; at < EVENTS; at += count) {
        count = at == 0 && first < SIZE ? 1 : EVENTS - at < SIZE ? EVENTS - at : SIZE;
        if (at > 0) assert_int_equal(hlt_job_take(job, f->events + at, count, &err), STOA_OK);
        assert_int_equal(hlt_job_run(job, 0, count, &err), STOA_OK);
        for (uint32_t e = 0; e < count; e++) same_results(hlt_job_result(reference, at + e), hlt_job_result(job, e));
        assert_null(hlt_job_result(job, count));
    }
    for (int dropped = 0; dropped < 2; dropped++) {
        hlt_job_sum(job, &summary);
        hlt_job_quality(job, &quality);
        assert_int_equal(summary.events, all.events);
        assert_int_equal(summary.selected, all.selected);
        assert_int_equal(summary.vertices, all.vertices);
        assert_int_equal(summary.allocations, 0);
        assert_memory_equal(&quality.vertex_events, &all_quality.vertex_events, 2 * sizeof quality.vertex_events);
        hlt_job_drop(job);
        assert_null(hlt_job_result(job, 0));
    }
    hlt_job_destroy(job);
    hlt_job_destroy(reference);
}

static void test_errors(void **state)
{
    const fixture *f = *state;
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_job *job;
    stoa_error err;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "no model"));
    options.selector = HLT_SELECTOR_FOREST;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "no forest"));
    options.threads = 0;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    assert_null(job);
    options.threads = 1;
    options.dxy_knee_cm = -1;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "-1 cm"));
    options.dxy_knee_cm = NAN;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    options.dxy_knee_cm = 0;
    options.keep_legacy = true;
    assert_int_equal(hlt_job_create(&options, f->events, EVENTS, &job, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "divisive"));
}

/* ---- what a GPU is asked ------------------------------------------------------------------------------------------------- */

/* The model's selector and vertices by density: behind the tracks' way there are launches, and nothing that copies, waits, or is the
 * host's; one more takes the results back. */
static void test_calls_of_an_event(void **state)
{
    const fixture *f = *state;
    hlt_options options = HLT_OPTIONS_INIT;
    hlt_summary summary;
    stoa_model *model;
    assert_int_equal(stoa_model_load(STOA_SOURCE_DIR "/models/hlt_high_purity.onnx", NULL, &model, NULL), STOA_OK);
    options.model = model;
    options.device = device_under_test();
    hlt_job *job = run_job(f, &options, &summary);
    assert_true(summary.failed == 0 && summary.selected > 0 && summary.selected < summary.preselected && summary.vertices > EVENTS);
    assert_int_equal(summary.copy_calls, 0);
    const char *at = driver_trace_behind_wait();
    assert_true(!at || skip_calls(&at, "cuLaunchHostFunc ") == 1);
    for (uint32_t e = 0; at && e < EVENTS; e++) {
        assert_int_equal(skip_calls(&at, "cuMemcpyAsync "), 1);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_int_equal(skip_calls(&at, "cuLaunchKernel "), LAUNCHES);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_int_equal(skip_calls(&at, "cuLaunchKernel "), DELIVERY);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), e + 1 < EVENTS ? 2 : 1); /* this one's end, the next one's begin */
    }
    hlt_job_destroy(job);
    stoa_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_of_an_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_event, set_up_large, tear_down),
        cmocka_unit_test_setup_teardown(test_gate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order_of_stages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_windows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
    };
    require_device();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
