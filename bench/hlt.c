/* SPDX-License-Identifier: Apache-2.0 */
/* The HLT pixel-track job by stage on one core, one stream: four pile-ups, tracks alone and with their hits, three chains, all
 * selectors. In each round every chain with every selector sees all events once, so that a disturbance hits all alike. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "reco/generate/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"
#include "stoa/collection.h"

#define NETWORK STOA_BENCH_SOURCE_DIR "/models/hlt_high_purity.onnx"
#define FOREST STOA_BENCH_SOURCE_DIR "/models/hlt_high_purity.forest"
#define GATE "STOA_CATRACK" /* its weights are no part of the project (tools/ca_track_dnn.py) */
#define GATE_SCORE_MIN 0.03414618f

enum { EVENTS_MAX = 20, CHAINS = 3, SELECTORS = 5, INPUTS = 2, LINES = HLT_STAGE_COUNT + 1 };
static const double pileups[] = {0, 50, 140, 200};
static const char *const inputs[INPUTS] = {"tracks", "hits"};
static const char *const selectors[SELECTORS] = {"dnn", "cuts", "forest", "none", "catrack"};
static const struct chain {
    const char *name, *vertexing;
    hlt_vertexing finder;
    bool vertices_first;
} chains[CHAINS] = {{"today", "divisive", HLT_VERTEXING_DIVISIVE, true},
                    {"studied", "divisive", HLT_VERTEXING_DIVISIVE, false},
                    {"device", "density", HLT_VERTEXING_DENSITY, false}};

/* Events of one pile-up: the same tracks with and without hits. */
typedef struct sample {
    stoa_device *device;
    stoa_queue *queue;
    reco_table *tracks;
    reco_events *file;
    reco_event_hits *hits;
    stoa_collection *memory[EVENTS_MAX];
    hlt_event events[INPUTS][EVENTS_MAX];
    uint32_t count;
} sample;

typedef struct models {
    stoa_model *network, *gate; /* gate NULL: not here */
    reco_forest *forest;
} models;

typedef struct contender {
    const struct chain *chain;
    hlt_selector selector;
    int input;
    hlt_job *job;
    double us[LINES][BENCH_ROUNDS_MAX]; /* per event; the sum of the stages behind them */
} contender;

/* ---- Events. ---- */

static stoa_status make_event(sample *s, uint32_t e, stoa_error *err)
{
    const int64_t number = reco_events_number(s->file, e);
    const uint32_t rows = reco_events_rows(s->file, e), hit_rows = reco_event_hits_rows(s->hits, number);
    const stoa_block blocks[] = {{"tracks", &tracks_soa_layout, rows, 0, NULL},
                                 {"hits", &track_hits_soa_layout, hit_rows, 0, NULL},
                                 {"rec_hits", &rec_hits_soa_layout, hit_rows, 0, NULL}};
    tracks_soa tracks;
    track_hits_soa hits;
    rec_hits_soa rec_hits;
    hlt_event *event = &s->events[1][e];
    event->number = number;
    event->vertex_z = NAN;
    STOA_TRY(stoa_collection_create(s->queue, STOA_MEMORY_DEVICE, blocks, sizeof blocks / sizeof *blocks, &s->memory[e], err));
    STOA_TRY(stoa_collection_view(s->memory[e], "tracks", &tracks.head, err));
    STOA_TRY(stoa_collection_view(s->memory[e], "hits", &hits.head, err));
    STOA_TRY(stoa_collection_view(s->memory[e], "rec_hits", &rec_hits.head, err));
    STOA_TRY(reco_events_fill(s->file, e, &tracks, NULL, err));
    STOA_TRY(reco_event_hits_fill(s->hits, number, &hits, &rec_hits, err));
    STOA_TRY(stoa_collection_view_const(s->memory[e], "tracks", &event->tracks.head, err));
    s->events[0][e] = *event;
    STOA_TRY(stoa_collection_view_const(s->memory[e], "hits", &event->hits.head, err));
    return stoa_collection_view_const(s->memory[e], "rec_hits", &event->rec_hits.head, err);
}

static stoa_status make_sample(sample *s, double pileup, uint32_t events, stoa_error *err)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *hits = NULL;
    options.events = events;
    options.pileup = pileup;
    options.seed = 2026;
    STOA_TRY(stoa_device_open("host", &s->device, err));
    STOA_TRY(stoa_queue_create(s->device, STOA_QUEUE_BLOCKING, &s->queue, err));
    STOA_TRY(reco_generate_hlt(&options, &s->tracks, NULL, &hits, err));
    STOA_TRY(reco_event_hits_from_table(hits, "simulation", &s->hits, err));
    STOA_TRY(reco_events_from_tables(s->tracks, NULL, "simulation", &s->file, err));
    s->count = reco_events_count(s->file);
    for (uint32_t e = 0; e < s->count; e++) STOA_TRY(make_event(s, e, err));
    return STOA_OK;
}

static void destroy_sample(sample *s)
{
    for (uint32_t e = 0; e < s->count; e++) stoa_collection_destroy(s->memory[e]);
    reco_events_destroy(s->file);
    reco_event_hits_destroy(s->hits);
    reco_table_destroy(s->tracks);
    stoa_queue_destroy(s->queue);
    stoa_device_close(s->device);
}

/* ---- Chains. ---- */

static stoa_status load_models(models *m, stoa_error *err)
{
    const char *gate = getenv(GATE);
    STOA_TRY(stoa_model_load(NETWORK, NULL, &m->network, err));
    STOA_TRY(reco_forest_load(FOREST, &m->forest, err));
    if (!gate) bench_note("hlt: catrack left out: " GATE " names no model of tools/ca_track_dnn.py");
    return gate ? stoa_model_load(gate, NULL, &m->gate, err) : STOA_OK;
}

static stoa_status make_contender(contender *c, const models *m, const sample *s, stoa_error *err)
{
    hlt_options options = HLT_OPTIONS_INIT;
    options.selector = c->selector;
    options.vertexing = c->chain->finder;
    options.vertices_first = c->chain->vertices_first;
    options.forest = m->forest;
    options.model = c->selector == HLT_SELECTOR_CATRACK ? m->gate : m->network;
    if (c->selector == HLT_SELECTOR_CATRACK) options.score_min = GATE_SCORE_MIN;
    return hlt_job_create(&options, s->events[c->input], s->count, &c->job, err);
}

/* Every chain, selector and input that there is; catrack is nothing without hits. */
static uint32_t list_contenders(contender *list, const models *m)
{
    uint32_t count = 0;
    for (int chain = 0; chain < CHAINS; chain++)
        for (int selector = 0; selector < SELECTORS; selector++)
            for (int input = 0; input < INPUTS; input++) {
                if (selector == HLT_SELECTOR_CATRACK && (input == 0 || !m->gate)) continue;
                list[count++] = (contender){.chain = &chains[chain], .selector = (hlt_selector)selector, .input = input};
            }
    return count;
}

/* ---- Measure. ---- */

static stoa_status measure_round(contender *c, const sample *s, uint32_t round, stoa_error *err)
{
    hlt_summary summary;
    double sum = 0;
    STOA_TRY(hlt_job_run(c->job, 0, s->count, err));
    hlt_job_sum(c->job, &summary);
    if (summary.failed || summary.allocations || summary.copy_calls || !summary.selected)
        return STOA_FAIL(err, STOA_ERUNTIME, "%s %s: %u events failed, %llu allocations, %llu copies, %llu tracks selected", c->chain->name,
                         selectors[c->selector], summary.failed, (unsigned long long)summary.allocations,
                         (unsigned long long)summary.copy_calls, (unsigned long long)summary.selected);
    for (uint32_t k = 0; k < HLT_STAGE_COUNT; k++) {
        c->us[k][round] = summary.us_per_event[k];
        sum += summary.us_per_event[k];
    }
    c->us[HLT_STAGE_COUNT][round] = sum;
    return STOA_OK;
}

static double smallest(const double *values, uint32_t count)
{
    double least = values[0];
    for (uint32_t i = 1; i < count; i++) least = fmin(least, values[i]);
    return least;
}

/* One line a stage that takes time, then the whole. */
static void write_contender(bench *run, FILE *out, contender *c, double pileup, uint32_t rounds)
{
    for (uint32_t k = 0; k < LINES; k++) {
        const double min_us = smallest(c->us[k], rounds), median_us = bench_median(c->us[k], rounds);
        if (median_us < 0.3) continue; /* of other devices or chains: what the stamps take */
        fprintf(out, "%g,%s,%s,%s,%s,%s,%.1f,%.1f\n", pileup, inputs[c->input], c->chain->name, selectors[c->selector], c->chain->vertexing,
                k < HLT_STAGE_COUNT ? hlt_stage_name(k) : "total", median_us, min_us);
        if (k < HLT_STAGE_COUNT) continue;
        bench_result result = {.n = (uint64_t)pileup, .median_ns = 1e3 * median_us, .min_ns = 1e3 * min_us};
        result.ratio = result.gflops = result.peak_fraction = NAN;
        snprintf(result.name, sizeof result.name, "hlt_%s_%s", c->chain->name, inputs[c->input]);
        snprintf(result.contender, sizeof result.contender, "%s", selectors[c->selector]);
        bench_add(run, &result);
    }
}

static stoa_status measure(bench *run, const models *m, const sample *s, double pileup, FILE *out, stoa_error *err)
{
    static contender list[CHAINS * SELECTORS * INPUTS];
    const uint32_t count = list_contenders(list, m), rounds = run->quick ? 1 : 9;
    stoa_status status = STOA_OK;
    for (uint32_t c = 0; c < count && status == STOA_OK; c++) status = make_contender(&list[c], m, s, err);
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t c = 0; c < count && status == STOA_OK; c++) status = measure_round(&list[c], s, r, err);
    for (uint32_t c = 0; c < count && status == STOA_OK; c++) write_contender(run, out, &list[c], pileup, rounds);
    for (uint32_t c = 0; c < count; c++) hlt_job_destroy(list[c].job);
    return status;
}

static stoa_status measure_all(bench *run, const char *name, const models *m, FILE *out, stoa_error *err)
{
    stoa_status status = STOA_OK;
    for (size_t p = 0; p < sizeof pileups / sizeof *pileups && status == STOA_OK; p++) {
        sample s = {.device = NULL};
        bench_progress(run, name, (uint64_t)pileups[p]);
        status = make_sample(&s, pileups[p], run->quick ? 2 : EVENTS_MAX, err);
        if (status == STOA_OK) status = measure(run, m, &s, pileups[p], out, err);
        destroy_sample(&s);
    }
    return status;
}

void bench_hlt(bench *run, const char *name)
{
    models m = {.network = NULL};
    stoa_error err;
    stoa_status status = load_models(&m, &err);
    FILE *out = status == STOA_OK ? bench_create(run, "hlt.csv") : NULL;
    if (out) {
        fputs("pileup,input,chain,selector,vertexing,stage,median_us_per_event,min_us_per_event\n", out);
        status = measure_all(run, name, &m, out, &err);
        if (fclose(out) != 0) bench_fail(run, "hlt.csv: %s", strerror(errno));
    }
    if (status != STOA_OK) bench_fail(run, "hlt: %s", err.message);
    stoa_model_destroy(m.network);
    stoa_model_destroy(m.gate);
    reco_forest_destroy(m.forest);
}
