/* SPDX-License-Identifier: Apache-2.0 */
/* The L1-scouting job by stage, on simulated crossings: one core, one stream, tables left out. NNPuppiTau, whose
 * weights are no part of the project, is left out: its line is 0. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipelines/scouting_tau/scout.h"
#include "reco/generate/scout.h"

#define MODEL STOA_BENCH_SOURCE_DIR "/models/scout_taus.onnx"
#define CROSSINGS_PER_S 40e6

/* Stages of the job, with reading before and the whole behind. */
enum { LINES = SCOUT_STAGE_COUNT + 2 };

typedef struct chain {
    char path[512];
    stoa_model *model;
    double us[LINES][BENCH_ROUNDS_MAX]; /* per event */
} chain;

static stoa_status prepare(chain *c, const char *dir, uint32_t events, stoa_error *err)
{
    reco_scout_sim_options sim = RECO_SCOUT_SIM_OPTIONS_INIT;
    reco_table *truth;
    uint64_t candidates;
    sim.events = events;
    snprintf(c->path, sizeof c->path, "%s/scout_bench.raw", dir);
    STOA_TRY(stoa_model_load(MODEL, NULL, &c->model, err));
    STOA_TRY(reco_generate_scout(&sim, c->path, &truth, &candidates, err));
    reco_table_destroy(truth);
    return STOA_OK;
}

static stoa_status run_job(const chain *c, scout_summary *summary, stoa_error *err)
{
    scout_options options = SCOUT_OPTIONS_INIT;
    reco_scout_reader *reader = NULL;
    scout_job *job = NULL;
    options.cluster_model = c->model;
    stoa_status status = reco_scout_open(c->path, NULL, &reader, err);
    if (status == STOA_OK) status = scout_job_create(&options, reader, &job, err);
    if (status == STOA_OK) status = scout_job_run(job, summary, err);
    scout_job_destroy(job);
    reco_scout_destroy(reader);
    return status;
}

static stoa_status measure(chain *c, uint32_t rounds, uint32_t events, stoa_error *err)
{
    scout_summary summary;
    for (uint32_t r = 0; r < rounds; r++) {
        STOA_TRY(run_job(c, &summary, err));
        if (summary.events != events || summary.allocations || summary.copy_calls)
            return STOA_FAIL(err, STOA_ERUNTIME, "%llu events, %llu allocations, %llu copies; %u, 0 and 0 expected",
                             (unsigned long long)summary.events, (unsigned long long)summary.allocations,
                             (unsigned long long)summary.copy_calls, events);
        c->us[0][r] = summary.read_us_per_event;
        for (uint32_t k = 0; k < SCOUT_STAGE_COUNT; k++) c->us[k + 1][r] = summary.us_per_event[k];
        c->us[LINES - 1][r] = summary.wall_us_per_event;
    }
    return STOA_OK;
}

static double smallest(const double *values, uint32_t count)
{
    double least = values[0];
    for (uint32_t i = 1; i < count; i++) least = values[i] < least ? values[i] : least;
    return least;
}

/* Per event: the median of the rounds, and the cores that 40 million crossings a second would take of it. */
static void write_lines(bench *run, FILE *out, chain *c, uint32_t rounds, uint32_t events)
{
    for (uint32_t k = 0; k < LINES; k++) {
        const char *stage = k == 0 ? "read" : k == LINES - 1 ? "whole" : scout_stage_name(k - 1);
        const double min_ns = 1e3 * smallest(c->us[k], rounds), median_ns = 1e3 * bench_median(c->us[k], rounds);
        if (median_ns == 0) continue; /* a stage of other devices */
        bench_result result = {.contender = "native", .n = events, .median_ns = median_ns, .min_ns = min_ns, .ratio = 1};
        result.gflops = result.peak_fraction = NAN;
        snprintf(result.name, sizeof result.name, "scout_%s", stage);
        bench_add(run, &result);
        fprintf(out, "%s,%u,", result.name, events);
        bench_number(out, median_ns, ",");
        bench_number(out, min_ns, ",");
        bench_number(out, median_ns * 1e-9 * CROSSINGS_PER_S, "\n");
    }
}

void bench_scout(bench *run, const char *name)
{
    chain c = {.model = NULL};
    stoa_error err;
    const uint32_t events = run->quick ? 2000 : 100000, rounds = run->quick ? 2 : 9;
    bench_progress(run, name, events);
    stoa_status status = prepare(&c, run->dir, events, &err);
    if (status == STOA_OK) status = measure(&c, rounds, events, &err);
    FILE *out = status == STOA_OK ? bench_create(run, "scout.csv") : NULL;
    if (status != STOA_OK) bench_fail(run, "scout: %s", err.message);
    if (out) {
        fputs("name,events,median_ns_per_event,min_ns_per_event,cores_at_40MHz\n", out);
        write_lines(run, out, &c, rounds, events);
        if (fclose(out) != 0) bench_fail(run, "scout.csv: %s", strerror(errno));
    }
    (void)unlink(c.path);
    stoa_model_destroy(c.model);
}
