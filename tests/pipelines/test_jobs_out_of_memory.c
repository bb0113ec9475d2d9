/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at each allocation of readers, generators, forests and both jobs in turn: a typed error, and nothing stays behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_memory.h"
#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "pipelines/scouting_tau/scout.h"
#include "reco/generate/hlt.h"
#include "reco/generate/scout.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define MODELS STOA_SOURCE_DIR "/models/"

static char folder[] = "/tmp/stoa_jobs_out_of_memory_XXXXXX";

static const char *file_path(const char *name)
{
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- tables ------------------------------------------------------------------------------------------------------------------ */

static const char *table_name;

static stoa_status write_and_read(reco_table *table, reco_table **again, stoa_error *err)
{
    void *data;
    size_t stride;
    STOA_TRY(reco_table_add(table, "event", STOA_INT64, &data, err));
    STOA_TRY(reco_table_add_group(table, "state", STOA_FLOAT32, 3, &data, &stride, err));
    STOA_TRY(reco_table_write(file_path(table_name), table, err));
    return reco_table_read(file_path(table_name), again, err);
}

static stoa_status tables(stoa_error *err)
{
    reco_table *table = NULL, *again = NULL;
    stoa_status status = reco_table_create(20, &table, err);
    if (status == STOA_OK) status = write_and_read(table, &again, err);
    reco_table_destroy(again);
    reco_table_destroy(table);
    return status;
}

/* ---- files of events ---------------------------------------------------------------------------------------------------------- */

static stoa_status write_events(stoa_error *err)
{
    static const char *const kinds[] = {"e.h5", "e.vertices.h5", "e.hits.h5"};
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *made[3] = {NULL};
    options.events = 2;
    options.pileup = 2;
    stoa_status status = reco_generate_hlt(&options, &made[0], &made[1], &made[2], err);
    for (int k = 0; k < 3 && status == STOA_OK; k++) status = reco_table_write(file_path(kinds[k]), made[k], err);
    for (int k = 0; k < 3; k++) reco_table_destroy(made[k]);
    return status;
}

static stoa_status read_some(reco_events_file **file, reco_event_hits **hits, stoa_error *err)
{
    const int64_t number = 1;
    const reco_events *events;
    uint32_t at;
    STOA_TRY(reco_events_file_open(file_path("e.h5"), file, err));
    STOA_TRY(reco_event_hits_open(file_path("e.h5"), hits, err));
    STOA_TRY(reco_events_file_read(*file, 0, 1, &events, &at, err));
    STOA_TRY(reco_events_file_read(*file, 1, 1, &events, &at, err));
    return reco_event_hits_load(*hits, &number, 1, err);
}

static stoa_status windows(stoa_error *err)
{
    reco_events_file *file = NULL;
    reco_event_hits *hits = NULL;
    const stoa_status status = read_some(&file, &hits, err);
    reco_events_file_close(file);
    reco_event_hits_destroy(hits);
    return status;
}

/* ---- the track job ----------------------------------------------------------------------------------------------------------- */

typedef struct track_objects {
    reco_table *tracks, *vertices;
    reco_events *events;
    stoa_model *model;
    reco_forest *forest;
    hlt_job *job;
} track_objects;

static stoa_status make_event(track_objects *o, hlt_event *event, stoa_error *err)
{
    static _Alignas(STOA_LAYOUT_ALIGN_BYTES) unsigned char blob[1 << 20];
    const stoa_place host = {STOA_PLACE_HOST, 0};
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    tracks_soa tracks;
    options.events = 1;
    options.pileup = 2;
    STOA_TRY(reco_generate_hlt(&options, &o->tracks, &o->vertices, NULL, err));
    STOA_TRY(reco_events_from_tables(o->tracks, o->vertices, "generated", &o->events, err));
    const uint32_t rows = reco_events_rows(o->events, 0);
    STOA_TRY(stoa_layout_bind(&tracks_soa_layout, rows, blob, sizeof blob, host, &tracks.head, err));
    STOA_TRY(reco_events_fill(o->events, 0, &tracks, NULL, err));
    event->vertex_z = NAN;
    return stoa_layout_bind_const(&tracks_soa_layout, rows, blob, sizeof blob, host, &event->tracks.head, err);
}

static stoa_status run_track_job(track_objects *o, hlt_options *options, stoa_error *err)
{
    hlt_event event = {0};
    STOA_TRY(make_event(o, &event, err));
    if (options->selector == HLT_SELECTOR_DNN) STOA_TRY(stoa_model_load(MODELS "hlt_high_purity.onnx", NULL, &o->model, err));
    if (options->selector == HLT_SELECTOR_FOREST) STOA_TRY(reco_forest_load(MODELS "hlt_high_purity.forest", &o->forest, err));
    options->model = o->model;
    options->forest = o->forest;
    STOA_TRY(hlt_job_create(options, &event, 1, &o->job, err));
    STOA_TRY(hlt_job_run(o->job, 0, 1, err));
    STOA_TRY(hlt_job_take(o->job, &event, 1, err));
    STOA_TRY(hlt_job_run(o->job, 0, 1, err));
    return hlt_job_save(o->job, 0, 1, file_path("event"), err);
}

static stoa_status track_job(hlt_selector selector, hlt_vertexing vertexing, stoa_error *err)
{
    track_objects o = {0};
    hlt_options options = HLT_OPTIONS_INIT;
    options.selector = selector;
    options.vertexing = vertexing;
    const stoa_status status = run_track_job(&o, &options, err);
    hlt_job_destroy(o.job);
    reco_forest_destroy(o.forest);
    stoa_model_destroy(o.model);
    reco_events_destroy(o.events);
    reco_table_destroy(o.vertices);
    reco_table_destroy(o.tracks);
    return status;
}

static stoa_status network_and_density(stoa_error *err) { return track_job(HLT_SELECTOR_DNN, HLT_VERTEXING_DENSITY, err); }
static stoa_status forest_and_divisive(stoa_error *err) { return track_job(HLT_SELECTOR_FOREST, HLT_VERTEXING_DIVISIVE, err); }

/* ---- the scouting job -------------------------------------------------------------------------------------------------------- */

typedef struct scout_objects {
    reco_table *truth;
    reco_scout_reader *reader;
    stoa_model *model;
    scout_job *job;
} scout_objects;

static stoa_status run_scout_job(scout_objects *o, stoa_error *err)
{
    reco_scout_sim_options simulated = RECO_SCOUT_SIM_OPTIONS_INIT;
    reco_scout_options input = RECO_SCOUT_OPTIONS_INIT;
    scout_options options = SCOUT_OPTIONS_INIT;
    scout_summary summary;
    uint64_t candidates;
    simulated.events = 5;
    simulated.format = RECO_SCOUT_DTH256; /* its words are put together in memory of the batch */
    input.crossings_max = 10;
    input.candidates_max = 4500;
    STOA_TRY(reco_generate_scout(&simulated, file_path("words"), &o->truth, &candidates, err));
    STOA_TRY(reco_scout_open(file_path("words"), &input, &o->reader, err));
    STOA_TRY(stoa_model_load(MODELS "scout_taus.onnx", NULL, &o->model, err));
    options.cluster_model = o->model;
    STOA_TRY(scout_job_create(&options, o->reader, &o->job, err));
    return scout_job_run(o->job, &summary, err);
}

static stoa_status scouting(stoa_error *err)
{
    scout_objects o = {0};
    const stoa_status status = run_scout_job(&o, err);
    scout_job_destroy(o.job);
    stoa_model_destroy(o.model);
    reco_scout_destroy(o.reader);
    reco_table_destroy(o.truth);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------------------------ */

static void sweep(const char *what, stoa_status (*scenario)(stoa_error *err), unsigned long long at_least)
{
    const unsigned long long allocations = assert_memory_may_run_out(scenario);
    print_message("%s: each of %llu allocations failed in turn\n", what, allocations);
    assert_true(allocations >= at_least);
}

static void tables_leak_nothing(void **state)
{
    static const char *const names[] = {"t.csv", "t.npy", "t.npz", "t.h5"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        stoa_error err;
        table_name = names[i];
        if (tables(&err) == STOA_ENOTSUP) print_message("%s: skipped, %s\n", table_name, err.message);
        else sweep(table_name, tables, 5);
    }
}

static void windows_leak_nothing(void **state)
{
    stoa_error err;
    (void)state;
    if (write_events(&err) == STOA_OK) sweep("windows of a file of events", windows, 20);
    else print_message("windows of a file of events: skipped, %s\n", err.message);
}

static void track_jobs_leak_nothing(void **state)
{
    (void)state;
    sweep("network, density finder", network_and_density, 50);
    sweep("forest, divisive finder", forest_and_divisive, 50);
}

static void scouting_leaks_nothing(void **state) { (void)state, sweep("scouting", scouting, 30); }

static int set_up(void **state) { return mkdtemp(folder) ? install_failing_memory(state) : -1; }

static int tear_down(void **state)
{
    static const char *const names[] = {"t.csv", "t.npy", "t.npz", "t.h5", "e.h5", "e.vertices.h5", "e.hits.h5", "event", "words"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(file_path(names[i]));
    return rmdir(folder) == 0 ? remove_failing_memory(state) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_leak_nothing),
        cmocka_unit_test(windows_leak_nothing),
        cmocka_unit_test(track_jobs_leak_nothing),
        cmocka_unit_test(scouting_leaks_nothing),
    };
    return cmocka_run_group_tests_name("jobs out of memory", tests, set_up, tear_down);
}
