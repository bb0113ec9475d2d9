/* SPDX-License-Identifier: Apache-2.0 */
/* The density vertex finder, and beside it the divisive one and Patatrack's, on generated events: Poisson(mean) vertices, z
 * normal with 3.5 cm, Poisson(10) tracks each with an error flat in 0.005-0.025 cm, and 2 * Poisson(10) noise tracks (error
 * 0.03 cm, z flat in +-13 cm). A call is one event of many distinct ones, in turn: repeated events would be learnt by the
 * branch predictor. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "reco/vertexing/density.h"
#include "reco/vertexing/divisive.h"

#define EVENTS 200u
#define TRACKS_MAX 4096u
#define VERTICES_MAX 1024u

typedef struct event {
    uint32_t tracks, vertices;
    float z[TRACKS_MAX], z_error2[TRACKS_MAX], pt2[TRACKS_MAX];
    float true_z[VERTICES_MAX];
} event;

/* Patatrack's kernels on an event's columns; writes the vertices' z [VERTICES_MAX] and returns how many (bench/README.md). */
typedef uint32_t peer_vertices(const float *z, const float *z_error2, const float *pt2, uint32_t count, int32_t neighbours_min, float eps,
                               float error_max, float chi2_max, float *vertex_z);

typedef struct finder {
    stoa_device *device;
    stoa_queue *queue;
    event *events; /* [EVENTS] */
    void *blob[2], *workspace;
    size_t workspace_bytes;
    vertices_soa vertices;
    vertex_tracks_soa tracks;
    peer_vertices *patatrack; /* NULL: not here */
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

static reco_vertex_input input_of(event *e) { return (reco_vertex_input){e->z, e->z_error2, e->pt2, NULL, &e->tracks, TRACKS_MAX}; }

static stoa_status find_by_density(finder *f, event *e)
{
    const reco_vertex_find find = {.in = input_of(e),
                                   .options = RECO_VERTEX_OPTIONS_INIT,
                                   .vertices = f->vertices,
                                   .tracks = f->tracks,
                                   .workspace = f->workspace,
                                   .workspace_bytes = f->workspace_bytes};
    return reco_vertices_find(f->queue, &find, &f->err);
}

static stoa_status find_by_division(finder *f, event *e)
{
    const int32_t tracks = (int32_t)e->tracks;
    const reco_divisive_find find = {.in = input_of(e),
                                     .options = RECO_DIVISIVE_OPTIONS_INIT,
                                     .beam_spot = RECO_BEAM_SPOT_INIT,
                                     .vertices = f->vertices,
                                     .tracks = f->tracks,
                                     .track_count = &tracks,
                                     .workspace = f->workspace,
                                     .workspace_bytes = f->workspace_bytes};
    return reco_divisive_vertices(f->queue, &find, &f->err);
}

static stoa_status find_by_patatrack(finder *f, event *e)
{
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    *f->vertices.nvFinal =
        f->patatrack(e->z, e->z_error2, e->pt2, e->tracks, (int32_t)o.neighbours_min, o.eps, o.error_max, o.chi2_max, f->vertices.zv);
    return STOA_OK;
}

/* The divisive finder cuts at gaps of 50 um, below the errors here, so it finds some vertices in pieces. */
static const struct contender {
    const char *name;
    stoa_status (*find)(finder *f, event *e);
} contenders[] = {{"native", find_by_density}, {"divisive", find_by_division}, {"patatrack", find_by_patatrack}};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

/* Those that are here: the peer is the last one. */
static uint32_t present(const finder *f) { return f->patatrack ? CONTENDERS : CONTENDERS - 1; }

static void find_event(finder *f, uint32_t contender, event *e)
{
    if (contenders[contender].find(f, e) != STOA_OK) f->failed = true;
}

static bool open_finder(finder *f)
{
    size_t bytes[2] = {0, 0};
    const size_t needed[] = {reco_vertices_workspace_bytes(TRACKS_MAX), reco_divisive_workspace_bytes(TRACKS_MAX)};
    f->workspace_bytes = needed[0] > needed[1] ? needed[0] : needed[1];
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
    return stoa_layout_bind(&vertices_soa_layout, VERTICES_MAX, f->blob[0], bytes[0], place, &f->vertices.head, &f->err) == STOA_OK &&
           stoa_layout_bind(&vertex_tracks_soa_layout, TRACKS_MAX, f->blob[1], bytes[1], place, &f->tracks.head, &f->err) == STOA_OK;
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

/* All contenders on the same events, one pass of each in turn. */
static void time_mean(bench *run, finder *f, FILE *out, uint32_t mean)
{
    double times[CONTENDERS][BENCH_ROUNDS_MAX], tracks = 0, generated = 0, found[CONTENDERS] = {0}, near[CONTENDERS] = {0};
    const uint32_t passes = run->quick ? 3 : 15, count = present(f);
    bench_rng rng = {mean};
    char name[32];
    snprintf(name, sizeof name, "vertices_%u", mean);
    bench_progress(run, "vertices", mean);
    for (uint32_t i = 0; i < EVENTS; i++) {
        event *e = &f->events[i];
        generate(e, mean, &rng);
        tracks += e->tracks, generated += e->vertices;
        for (uint32_t c = 0; c < count; c++) {
            find_event(f, c, e);
            found[c] += *f->vertices.nvFinal, near[c] += matched(f, e);
        }
    }
    for (uint32_t pass = 0; pass < passes; pass++)
        for (uint32_t c = 0; c < count; c++) {
            const double start = bench_now_ns();
            for (uint32_t i = 0; i < EVENTS; i++) find_event(f, c, &f->events[i]);
            times[c][pass] = (bench_now_ns() - start) / EVENTS;
        }
    if (f->failed) {
        bench_fail(run, "%s: %s: %s", name, stoa_status_name(f->err.status), f->err.message);
        return;
    }
    double native_ns = 0;
    for (uint32_t c = 0; c < count; c++) {
        bench_result result = {.n = mean, .gflops = NAN, .peak_fraction = NAN};
        snprintf(result.name, sizeof result.name, "%s", name);
        snprintf(result.contender, sizeof result.contender, "%s", contenders[c].name);
        if (near[c] < 0.8 * generated)
            bench_fail(run, "%s, %s: %g of %g generated vertices found", name, contenders[c].name, near[c], generated);
        result.median_ns = bench_median(times[c], passes); /* sorts */
        result.min_ns = times[c][0];
        if (c == 0) native_ns = result.median_ns;
        result.ratio = result.median_ns / native_ns;
        bench_add(run, &result);
        fprintf(out, "%s,%s,%u,%.1f,%.2f,%.2f,%.1f,%.1f,%.3f\n", name, result.contender, mean, tracks / EVENTS, 1e-3 * result.median_ns,
                1e-3 * result.min_ns, result.median_ns * EVENTS / tracks, found[c] / EVENTS, near[c] / generated);
    }
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
    char why[500];
    if (!bench_peer_find("STOA_PATATRACK", "stoa_peer_vertices", &f.patatrack, why, sizeof why))
        bench_note("vertices: no patatrack: %s", why);
    if (!open_finder(&f)) bench_fail(run, "vertices: %s: %s", stoa_status_name(f.err.status), f.err.message);
    else
        for (size_t i = 0; i < sizeof means / sizeof *means; i++) time_mean(run, &f, out, means[i]);
    close_finder(&f);
    if (fclose(out) != 0) bench_fail(run, "vertices.csv: %s", strerror(errno));
}
