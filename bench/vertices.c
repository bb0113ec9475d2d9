/* SPDX-License-Identifier: Apache-2.0 */
/* The density vertex finder on generated events: Poisson(mean) vertices, z normal with 3.5 cm, Poisson(10)
 * tracks each with an error flat in 0.005-0.025 cm, and 2 * Poisson(10) noise tracks (error 0.03 cm, z flat
 * in +-13 cm). A call is one event of many distinct ones, in turn: repeated events would be learnt by the
 * branch predictor. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reco/vertexing/density.h"

#define EVENTS 200u
#define TRACKS_MAX 4096u
#define VERTICES_MAX 1024u

typedef struct event {
    uint32_t tracks, vertices;
    float z[TRACKS_MAX], z_error2[TRACKS_MAX], pt2[TRACKS_MAX];
    float true_z[VERTICES_MAX];
} event;

typedef struct finder {
    stoa_device *device;
    stoa_queue *queue;
    event *events; /* [EVENTS] */
    void *blob[2], *workspace;
    size_t workspace_bytes;
    vertices_soa vertices;
    vertex_tracks_soa tracks;
    uint32_t next, found;
    bool failed;
    stoa_error err;
} finder;

static void add_track(event *e, double z, double error, double pt)
{
    if (e->tracks == TRACKS_MAX) return;
    e->z[e->tracks] = (float)z;
    e->z_error2[e->tracks] = (float)(error * error);
    e->pt2[e->tracks++] = (float)(pt * pt);
}

static void generate(event *e, double mean, bench_rng *rng)
{
    const uint32_t wanted = bench_poisson(rng, mean);
    e->tracks = 0;
    e->vertices = wanted < VERTICES_MAX ? wanted : VERTICES_MAX;
    for (uint32_t v = 0; v < e->vertices; v++) {
        const double z = 3.5 * bench_gauss(rng);
        e->true_z[v] = (float)z;
        for (uint32_t t = bench_poisson(rng, 10); t > 0; t--) {
            const double error = 0.005 + 0.02 * bench_uniform(rng);
            add_track(e, z + error * bench_gauss(rng), error, 0.5 - log(1 - bench_uniform(rng)));
        }
    }
    for (uint32_t t = 2 * bench_poisson(rng, 10); t > 0; t--)
        add_track(e, 26 * bench_uniform(rng) - 13, 0.03, 0.5 - log(1 - bench_uniform(rng)));
}

static void find_event(finder *f, event *e)
{
    const reco_vertex_find find = {.in = {e->z, e->z_error2, e->pt2, NULL, &e->tracks, TRACKS_MAX},
                                   .options = RECO_VERTEX_OPTIONS_INIT,
                                   .vertices = f->vertices,
                                   .tracks = f->tracks,
                                   .workspace = f->workspace,
                                   .workspace_bytes = f->workspace_bytes};
    if (reco_vertices_find(f->queue, &find, &f->err) != STOA_OK) f->failed = true;
}

static void run_next(void *self)
{
    finder *f = self;
    find_event(f, &f->events[f->next]);
    f->next = (f->next + 1) % EVENTS;
}

static bool open_finder(finder *f)
{
    size_t bytes[2] = {0, 0};
    f->workspace_bytes = reco_vertices_workspace_bytes(TRACKS_MAX);
    if (stoa_device_open("host", &f->device, &f->err) != STOA_OK ||
        stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, &f->err) != STOA_OK ||
        stoa_layout_bytes(&vertices_soa_layout, VERTICES_MAX, &bytes[0], &f->err) != STOA_OK ||
        stoa_layout_bytes(&vertex_tracks_soa_layout, TRACKS_MAX, &bytes[1], &f->err) != STOA_OK)
        return false;
    f->events = bench_alloc(EVENTS * sizeof *f->events);
    f->workspace = bench_alloc(f->workspace_bytes);
    for (uint32_t k = 0; k < 2; k++) f->blob[k] = bench_alloc(bytes[k]);
    if (!f->events || !f->workspace || !f->blob[0] || !f->blob[1]) {
        (void)STOA_FAIL(&f->err, STOA_ENOMEM, "no memory for %u events", EVENTS);
        return false;
    }
    const stoa_place place = stoa_device_place(f->device);
    return stoa_layout_bind(&vertices_soa_layout, VERTICES_MAX, f->blob[0], bytes[0], place,
                            &f->vertices.head, &f->err) == STOA_OK &&
           stoa_layout_bind(&vertex_tracks_soa_layout, TRACKS_MAX, f->blob[1], bytes[1], place,
                            &f->tracks.head, &f->err) == STOA_OK;
}

static void close_finder(finder *f)
{
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
    free(f->events);
    free(f->workspace);
    free(f->blob[0]);
    free(f->blob[1]);
}

/* Generated vertices with a found one within 0.3 mm: guards the timing, is no measure of physics. */
static uint32_t matched(const finder *f, const event *e)
{
    uint32_t count = 0;
    for (uint32_t v = 0; v < e->vertices; v++)
        for (uint32_t k = 0; k < *f->vertices.nvFinal; k++)
            if (fabsf(e->true_z[v] - f->vertices.zv[k]) < 0.03f) {
                count++;
                break;
            }
    return count;
}

static void time_mean(bench *run, finder *f, FILE *out, uint32_t mean)
{
    double times[BENCH_ROUNDS_MAX], tracks = 0, generated = 0, found = 0, near = 0;
    const uint32_t passes = run->quick ? 3 : 15;
    bench_rng rng = {mean};
    bench_result result = {.contender = "native", .n = mean, .ratio = 1, .gflops = NAN, .peak_fraction = NAN};
    snprintf(result.name, sizeof result.name, "vertices_%u", mean);
    bench_progress(run, "vertices", mean);
    for (uint32_t i = 0; i < EVENTS; i++) {
        event *e = &f->events[i];
        generate(e, mean, &rng);
        find_event(f, e);
        tracks += e->tracks, generated += e->vertices, found += *f->vertices.nvFinal, near += matched(f, e);
    }
    for (uint32_t pass = 0; pass < passes; pass++) {
        const double start = bench_now_ns();
        for (uint32_t i = 0; i < EVENTS; i++) run_next(f);
        times[pass] = (bench_now_ns() - start) / EVENTS;
    }
    if (f->failed) {
        bench_fail(run, "vertices_%u: %s: %s", mean, stoa_status_name(f->err.status), f->err.message);
        return;
    }
    if (near < 0.8 * generated)
        bench_fail(run, "vertices_%u: %g of %g generated vertices found", mean, near, generated);
    result.median_ns = bench_median(times, passes);
    result.min_ns = times[0];
    bench_add(run, &result);
    fprintf(out, "%s,native,%u,%.1f,%.2f,%.2f,%.1f,%.1f,%.3f\n", result.name, mean, tracks / EVENTS,
            1e-3 * result.median_ns, 1e-3 * result.min_ns, result.median_ns * EVENTS / tracks, found / EVENTS,
            near / generated);
}

void bench_vertices(bench *run, const char *name)
{
    static const uint32_t means[] = {30, 50, 70, 200};
    static finder f; /* its error record is large */
    (void)name;
    f = (finder){0};
    FILE *out = bench_create(run, "vertices.csv");
    if (!out) return;
    fputs("name,contender,mean_vertices,tracks,median_us_per_event,min_us_per_event,ns_per_track,found,"
          "generated_found_fraction\n",
          out);
    if (!open_finder(&f)) bench_fail(run, "vertices: %s: %s", stoa_status_name(f.err.status), f.err.message);
    else
        for (size_t i = 0; i < sizeof means / sizeof *means; i++) time_mean(run, &f, out, means[i]);
    close_finder(&f);
    if (fclose(out) != 0) bench_fail(run, "vertices.csv: %s", strerror(errno));
}
