/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/clustering/clue.h"

#include "reco/check.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

#include <float.h>

/* The workspace: arrays of points and of samples, each with its own padding. */
enum { POINT_ARRAYS = 5, SAMPLE_ARRAYS = 1, PAD = 16 };
#define NONE UINT32_MAX

typedef struct clue_space {
    float *rho;
    float *d2;      /* from one point to all of the sample */
    float *best_d2; /* to the nearest above, so far */
    float *best_rho;
    uint32_t *above; /* the nearest above, NONE for a top */
    uint32_t *sample_members;
    uint32_t *rows; /* samples + 1, for the scans */
} clue_space;

STOA_DEVICE size_t padded(uint32_t count)
{
    return ((size_t)count + 1 + PAD) / PAD * PAD;
}

STOA_DEVICE clue_space space_of(const reco_clue *args)
{
    float *at = (float *)args->workspace;
    const size_t step = padded(args->point_capacity);
    return (clue_space){at,
                        at + step,
                        at + 2 * step,
                        at + 3 * step,
                        (uint32_t *)(void *)(at + 4 * step),
                        (uint32_t *)(void *)(at + POINT_ARRAYS * step),
                        (uint32_t *)(void *)(at + POINT_ARRAYS * step + padded(args->sample_capacity))};
}

/* ---- The points of one sample, from `first` on. One point meets all others in a loop without dependence: the compiler
 * makes it a vector loop. ---- */

RECO_VECTOR_LEVELS void add_distance(float *restrict d2, const float *restrict x, uint32_t n, float from, float period)
{
    for (uint32_t j = 0; j < n; j++) {
        const float way = x[j] - from, size = way < 0.0f ? -way : way, back = period - size;
        const float d = period > 0.0f && back < size ? back : size;
        d2[j] += d * d;
    }
}

RECO_VECTOR_LEVELS void add_density(float *restrict rho, const float *restrict d2, uint32_t n, float weight, float radius2)
{
    for (uint32_t j = 0; j < n; j++) rho[j] += d2[j] <= radius2 ? weight : 0.0f;
}

/* Offer point i, which is later than all offered before, as the one above to every point of the sample. */
RECO_VECTOR_LEVELS void offer(const clue_space *s, uint32_t first, uint32_t n, uint32_t i, const reco_clue_options *o)
{
    const float *restrict rho = s->rho + first, *restrict d2 = s->d2 + first;
    float *restrict best_d2 = s->best_d2 + first, *restrict best_rho = s->best_rho + first;
    uint32_t *restrict above = s->above + first;
    const float rho_i = rho[i], near2 = o->density_radius * o->density_radius, far2 = o->outlier_distance * o->outlier_distance;
    for (uint32_t j = 0; j < n; j++) {
        const float reach2 = rho[j] >= o->density_min ? near2 : far2;
        const int higher = (rho_i > rho[j]) | ((rho_i >= rho[j]) & (rho[j] > 0.0f) & (j < i));
        const int nearer = (d2[j] < best_d2[j]) | ((d2[j] <= best_d2[j]) & (rho_i >= best_rho[j]));
        const int take = higher & nearer & (d2[j] <= reach2);
        best_d2[j] = take ? d2[j] : best_d2[j];
        best_rho[j] = take ? rho_i : best_rho[j];
        above[j] = take ? first + i : above[j];
    }
}

STOA_DEVICE void distances(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t i)
{
    float *d2 = s->d2 + first;
    for (uint32_t j = 0; j < n; j++) d2[j] = 0.0f;
    for (uint32_t k = 0; k < args->options.dimensions; k++)
        add_distance(d2, args->coordinate[k] + first, n, args->coordinate[k][first + i], args->options.period[k]);
}

/* The top that a point leads to. Paths are shortened as they are walked. */
STOA_DEVICE uint32_t find_top(const clue_space *s, uint32_t point)
{
    uint32_t top = point;
    while (s->above[top] != NONE) top = s->above[top];
    while (point != top) {
        const uint32_t next = s->above[point];
        s->above[point] = top;
        point = next;
    }
    return top;
}

STOA_KERNEL(reco_clue_climb, reco_clue)
{
    const clue_space s = space_of(args);
    const reco_clue_options *o = &args->options;
    const uint32_t samples = *args->samples < args->sample_capacity ? *args->samples : args->sample_capacity;
    STOA_FOR(sample, grid, samples)
    {
        const uint32_t first = args->offset[sample], n = args->offset[sample + 1] - first;
        uint32_t seeds = 0, members = 0;
        for (uint32_t j = 0; j < n; j++) {
            s.rho[first + j] = 0.5f * args->weight[first + j]; /* the other half comes with the point itself */
            s.best_d2[first + j] = FLT_MAX;
            s.best_rho[first + j] = -FLT_MAX;
            s.above[first + j] = NONE;
        }
        for (uint32_t i = 0; i < n; i++) {
            distances(args, &s, first, n, i);
            add_density(s.rho + first, s.d2 + first, n, 0.5f * args->weight[first + i], o->density_radius * o->density_radius);
        }
        for (uint32_t i = 0; i < n; i++) {
            distances(args, &s, first, n, i);
            offer(&s, first, n, i, o);
        }
        for (uint32_t i = first; i < first + n; i++) {
            const uint32_t top = find_top(&s, i);
            const bool is_member = s.rho[top] >= o->density_min;
            seeds += is_member && top == i;
            members += is_member;
        }
        args->sample_clusters[sample] = seeds;
        s.sample_members[sample] = members;
    }
    if (grid.index > 0) return;
    args->sample_clusters[samples] = 0;
    s.sample_members[samples] = 0;
    *s.rows = samples + 1;
}

/* Numbers and places, with the offsets of the samples known. */
STOA_KERNEL(reco_clue_number, reco_clue)
{
    const clue_space s = space_of(args);
    const uint32_t samples = *args->samples < args->sample_capacity ? *args->samples : args->sample_capacity;
    STOA_FOR(sample, grid, samples)
    {
        const uint32_t first = args->offset[sample], end = args->offset[sample + 1];
        const uint32_t base = args->sample_clusters[sample], clusters = args->sample_clusters[sample + 1] - base;
        uint32_t number = base, place = s.sample_members[sample];
        for (uint32_t i = first; i < end; i++)
            args->cluster_of[i] = find_top(&s, i) == i && s.rho[i] >= args->options.density_min ? (int32_t)number++ : -1;
        for (uint32_t k = 0; k < clusters; k++) args->cluster_points[base + k] = 0;
        for (uint32_t i = first; i < end; i++) {
            const uint32_t top = find_top(&s, i);
            args->cluster_of[i] = args->cluster_of[top];
            if (args->cluster_of[i] >= 0) args->cluster_points[args->cluster_of[i]]++;
        }
        for (uint32_t k = 0; k < clusters; k++) {
            const uint32_t count = args->cluster_points[base + k];
            args->cluster_points[base + k] = place;
            place += count;
        }
        for (uint32_t i = first; i < end; i++)
            if (args->cluster_of[i] >= 0) args->points[args->cluster_points[args->cluster_of[i]]++] = i;
        for (uint32_t k = clusters; k-- > 0;) /* the ends become starts again */
            args->cluster_points[base + k] = k > 0 ? args->cluster_points[base + k - 1] : s.sample_members[sample];
    }
    if (grid.index == 0) args->cluster_points[args->sample_clusters[samples]] = s.sample_members[samples];
}

#ifndef __CUDACC__
size_t reco_clue_workspace_bytes(uint32_t point_capacity, uint32_t sample_capacity)
{
    return (POINT_ARRAYS * padded(point_capacity) + SAMPLE_ARRAYS * padded(sample_capacity) + PAD) * sizeof(float);
}

static stoa_status check(const reco_clue *args, stoa_error *err)
{
    const reco_clue_options *o = &args->options;
    const size_t needed = reco_clue_workspace_bytes(args->point_capacity, args->sample_capacity);
    if (o->dimensions < 1 || o->dimensions > RECO_CLUE_DIMENSIONS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "clue: %u dimensions, 1 to %d possible", o->dimensions, RECO_CLUE_DIMENSIONS_MAX);
    for (uint32_t k = 0; k < o->dimensions; k++) {
        if (args->point_capacity > 0) RECO_NEED(err, "clue", args->coordinate[k]);
        if (!(o->period[k] >= 0)) return STOA_FAIL(err, STOA_EINVAL, "clue: period of dimension %u is %g", k, (double)o->period[k]);
    }
    if (!(o->density_radius >= 0 && o->density_min >= 0 && o->outlier_distance >= 0))
        return STOA_FAIL(err, STOA_EINVAL, "clue: density_radius %g, density_min %g, outlier_distance %g: none may be below 0",
                         (double)o->density_radius, (double)o->density_min, (double)o->outlier_distance);
    if (args->workspace_bytes < needed)
        return STOA_FAIL(err, STOA_ESHAPE, "clue: workspace of %zu bytes, %zu needed", args->workspace_bytes, needed);
    if ((uintptr_t)args->workspace % 64 != 0) return STOA_FAIL(err, STOA_EALIGN, "clue: workspace not aligned to 64");
    return STOA_OK;
}

stoa_status reco_clue_enqueue(stoa_queue *queue, const reco_clue *args, stoa_error *err)
{
    RECO_NEED(err, "clue", queue);
    RECO_NEED(err, "clue", args);
    RECO_NEED(err, "clue", args->offset);
    RECO_NEED(err, "clue", args->samples);
    RECO_NEED(err, "clue", args->weight);
    RECO_NEED(err, "clue", args->cluster_of);
    RECO_NEED(err, "clue", args->sample_clusters);
    RECO_NEED(err, "clue", args->cluster_points);
    RECO_NEED(err, "clue", args->points);
    RECO_NEED(err, "clue", args->workspace);
    STOA_TRY(check(args, err));
    const clue_space s = space_of(args);
    STOA_TRY(stoa_queue_launch(queue, &reco_clue_climb_kernel, args, err));
    uint32_t *const sums[] = {args->sample_clusters, s.sample_members};
    for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) {
        const stoa_scan scan = {sums[k], s.rows, args->sample_capacity + 1, 1, sums[k]};
        STOA_TRY(stoa_algo_scan(queue, &scan, err));
    }
    return stoa_queue_launch(queue, &reco_clue_number_kernel, args, err);
}
#endif
