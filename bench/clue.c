/* SPDX-License-Identifier: Apache-2.0 */
/* CLUE. Points in clumps, as in CLUEstering's data_* files: a tenth is spread evenly, the others lie in Gaussian clumps of
 * sigma 1.2, so that 1,024 / 4,096 / 16,384 points have about 19 / 73 / 290 neighbours within 1.5; a million points have the
 * density of the last. Bunch crossings of 28.6 candidates on average: one by one, where each call is another of many
 * crossings, and batched. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clue_peer.h"
#include "peer.h"
#include "reco/clustering/clue.h"

#define CROSSINGS_IN_TURN 10000u

#define PEER_VARIABLE "STOA_CLUESTERING"
#define PEER_CROSSINGS_MAX 10000u /* in one call; memory of CLUEstering grows as their square */

typedef struct clue_run {
    stoa_device *device;
    stoa_queue *queue;
    float *x, *y, *weight;
    uint32_t *offset, samples, one, next;
    reco_clue clue;
    void *memory[8];
    uint32_t memory_count;
    bool failed;
    stoa_error err;
    char name[40];   /* of the benchmark */
    bool in_turn;    /* a sample a call */
    const clue_peer *peer;
    void *peer_self; /* these points in the other library */
    uint32_t peer_next;
} clue_run;

/* NULL and one line where there is none. */
static const clue_peer *find_peer(void)
{
    const clue_peer *(*get)(uint32_t) = NULL;
    char why[512];
    if (!bench_peer_find(PEER_VARIABLE, "stoa_peer_clue", &get, why, sizeof why)) bench_note("clue without a peer: %s", why);
    else if (!get(CLUE_PEER_ABI))
        bench_note("clue without a peer: %s is of another interface than %u", getenv(PEER_VARIABLE), CLUE_PEER_ABI);
    else return get(CLUE_PEER_ABI);
    return NULL;
}

static void *take(clue_run *r, size_t count)
{
    void *memory = bench_alloc(4 * count);
    if (!memory) r->failed = true;
    return r->memory[r->memory_count++] = memory;
}

static bool clue_open(clue_run *r, uint32_t points, uint32_t samples)
{
    *r = (clue_run){.samples = samples, .one = 1};
    const size_t bytes = reco_clue_workspace_bytes(points, samples, 2);
    if (stoa_device_open("host", &r->device, &r->err) != STOA_OK ||
        stoa_queue_create(r->device, STOA_QUEUE_BLOCKING, &r->queue, &r->err) != STOA_OK)
        return false;
    r->x = take(r, points);
    r->y = take(r, points);
    r->weight = take(r, points);
    r->offset = take(r, (size_t)samples + 1);
    uint32_t *maps = take(r, 3 * (size_t)points + samples + 2);
    r->clue = (reco_clue){.coordinate = {r->x, r->y},
                          .weight = r->weight,
                          .offset = r->offset,
                          .samples = &r->samples,
                          .point_capacity = points,
                          .sample_capacity = samples,
                          .options = RECO_CLUE_OPTIONS_INIT,
                          .cluster_of = take(r, points),
                          .sample_clusters = maps,
                          .cluster_points = maps + samples + 1,
                          .points = maps + samples + points + 2,
                          .workspace = take(r, bytes / 4),
                          .workspace_bytes = bytes};
    if (r->failed) (void)STOA_FAIL(&r->err, STOA_ENOMEM, "no memory for %u points", points);
    return !r->failed;
}

static void clue_close(clue_run *r)
{
    for (uint32_t i = 0; i < r->memory_count; i++) free(r->memory[i]);
    if (r->peer_self) r->peer->close(r->peer_self);
    stoa_queue_destroy(r->queue);
    stoa_device_close(r->device);
}

static void run_all_samples(void *self)
{
    clue_run *r = self;
    if (reco_clue_enqueue(r->queue, &r->clue, &r->err) != STOA_OK) r->failed = true;
}

static void run_next_crossing(void *self)
{
    clue_run *r = self;
    reco_clue one = r->clue;
    const uint32_t first = r->offset[r->next], offset[] = {0, r->offset[r->next + 1] - first};
    one.coordinate[0] += first;
    one.coordinate[1] += first;
    one.weight += first;
    one.offset = offset;
    one.samples = &r->one;
    if (reco_clue_enqueue(r->queue, &one, &r->err) != STOA_OK) r->failed = true;
    r->next = (r->next + 1) % r->samples;
}

static void run_peer(void *self)
{
    clue_run *r = self;
    if (r->peer->run(r->peer_self, r->peer_next) != 0) r->failed = true;
    r->peer_next = (r->peer_next + 1) % r->samples;
}

/* Clumps of `clump` points in squares of 45 by 45, as many as the points ask for. */
static void make_clumps(clue_run *r, uint32_t points, uint32_t clump)
{
    bench_rng rng = {points};
    const double side = 45 * sqrt(points / (1.1 * clump));
    double x = 0, y = 0;
    for (uint32_t i = 0; i < points; i++) {
        const bool alone = bench_uniform(&rng) < 0.1;
        if (i % clump == 0) x = side * bench_uniform(&rng), y = side * bench_uniform(&rng);
        r->x[i] = (float)(alone ? side * bench_uniform(&rng) : x + 1.2 * bench_gauss(&rng));
        r->y[i] = (float)(alone ? side * bench_uniform(&rng) : y + 1.2 * bench_gauss(&rng));
        r->weight[i] = 1;
    }
    r->offset[1] = points;
    r->clue.options.density_radius = r->clue.options.outlier_distance = 1.5f;
    r->clue.options.density_min = 10;
}

/* Returns the points; those beyond the capacity are left out. */
static uint32_t make_crossings(clue_run *r, uint32_t capacity)
{
    bench_rng rng = {r->samples};
    uint32_t n = 0;
    for (uint32_t s = 0; s < r->samples; s++) {
        uint32_t count = bench_poisson(&rng, 28.6);
        for (; count > 0 && n < capacity; count--, n++) {
            r->x[n] = (float)(6 * bench_uniform(&rng) - 3);
            r->y[n] = (float)(3.14159 * (2 * bench_uniform(&rng) - 1));
            r->weight[n] = (float)(2 - 3 * log(1 - bench_uniform(&rng)));
        }
        r->offset[s + 1] = n;
    }
    return n;
}

/* The points go to the peer, and one call of both has to find as many clusters, but for distances that fall on a limit. */
static bool open_peer(clue_run *r)
{
    if (!r->peer || (!r->in_turn && r->samples > PEER_CROSSINGS_MAX)) return false;
    const clue_peer_points points = {r->x,
                                     r->y,
                                     r->weight,
                                     r->offset,
                                     r->samples,
                                     r->clue.options.density_radius,
                                     r->clue.options.density_min,
                                     r->clue.options.outlier_distance};
    r->peer_self = r->peer->open(&points, r->in_turn);
    if (!r->peer_self || r->peer->run(r->peer_self, 0) != 0) {
        bench_note("%s without its peer: it fails", r->name);
        return false;
    }
    (r->in_turn ? run_next_crossing : run_all_samples)(r);
    const uint32_t own = r->clue.sample_clusters[r->in_turn ? 1 : r->samples];
    const uint64_t others = r->peer->clusters(r->peer_self);
    r->next = 0;
    if (others != own) bench_note("%s: %u clusters, the peer finds %llu", r->name, own, (unsigned long long)others);
    return true;
}

static void time_clue(bench *run, FILE *out, clue_run *r, uint64_t n, uint32_t points)
{
    bench_task tasks[] = {{"native", r->in_turn ? run_next_crossing : run_all_samples, r, 0, 0}, {"cluestering", run_peer, r, 0, 0}};
    bench_progress(run, r->name, n);
    const uint32_t count = open_peer(r) ? 2 : 1;
    bench_measure(run, tasks, count, bench_rounds(run, points));
    if (r->failed) {
        bench_fail(run, "%s: %s: %s", r->name, stoa_status_name(r->err.status), r->err.message);
        return;
    }
    bench_add_tasks(run, r->name, n, tasks, count, 0);
    for (uint32_t t = 0; t < count; t++)
        fprintf(out, "%s,%s,%llu,%u,%.3f,%.3f,%.4f,%.2f\n", r->name, tasks[t].contender, (unsigned long long)n, points,
                1e-3 * tasks[t].median_ns, 1e-3 * tasks[t].min_ns, 1e-3 * tasks[t].median_ns / points,
                tasks[t].median_ns / tasks[0].median_ns);
}

static void fail_open(bench *run, const clue_run *r, const char *name)
{ bench_fail(run, "%s: %s: %s", name, stoa_status_name(r->err.status), r->err.message); }

static void points_of(bench *run, FILE *out, const clue_peer *peer, uint32_t points, uint32_t clump)
{
    static clue_run r; /* its error record is large */
    if (clue_open(&r, points, 1)) {
        snprintf(r.name, sizeof r.name, "clue_%u", points);
        r.peer = peer;
        make_clumps(&r, points, clump);
        time_clue(run, out, &r, points, points);
    } else fail_open(run, &r, "clue");
    clue_close(&r);
}

static void crossings_of(bench *run, FILE *out, const clue_peer *peer, uint32_t crossings, bool in_turn)
{
    static clue_run r;
    const uint32_t capacity = 30 * crossings + 100;
    if (clue_open(&r, capacity, crossings)) {
        snprintf(r.name, sizeof r.name, in_turn ? "clue_crossing" : "clue_crossings");
        r.peer = peer;
        r.in_turn = in_turn;
        const uint32_t points = make_crossings(&r, capacity);
        time_clue(run, out, &r, in_turn ? 1 : crossings, in_turn ? points / crossings : points);
    } else fail_open(run, &r, "clue_crossings");
    clue_close(&r);
}

void bench_clue(bench *run, const char *name)
{
    (void)name;
    FILE *out = bench_create(run, "clue.csv");
    if (!out) return;
    const clue_peer *peer = find_peer();
    fputs("name,contender,n,points,median_us_per_call,min_us_per_call,us_per_point,ratio\n", out);
    points_of(run, out, peer, 1024, 46);
    points_of(run, out, peer, 4096, 185);
    points_of(run, out, peer, 16384, 740);
    if (!run->quick) points_of(run, out, peer, 1000000, 740);
    crossings_of(run, out, peer, CROSSINGS_IN_TURN, true);
    crossings_of(run, out, peer, 100, false);
    crossings_of(run, out, peer, 10000, false);
    if (!run->quick) crossings_of(run, out, peer, 1000000, false);
    if (fclose(out) != 0) bench_fail(run, "clue.csv: %s", strerror(errno));
}
