/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/clustering/clue.h"

#include "reco/check.h"
#ifdef __CUDACC__
#include "reco/clustering/clue_block.h"
#else
#include "reco/clustering/clue_alone.h"
#endif
#include "stoa/algo.h"

STOA_DEVICE uint32_t clue_samples(const reco_clue *args)
{ return *args->samples < args->sample_capacity ? *args->samples : args->sample_capacity; }

/* Leaves the seed of each point, or -1, in cluster_of. A block does one sample after the other. */
STOA_KERNEL_TILES(reco_clue_climb, reco_clue)
{
    const clue_space s = clue_space_of(args);
    const uint32_t samples = clue_samples(args);
    for (uint32_t sample = grid.block; sample < samples; sample += grid.blocks) {
        const uint32_t first = args->offset[sample], n = args->offset[sample + 1] - first;
        uint32_t seeds, members;
        clue_seeds_of(args, &s, first, n, s.start + first + 2 * (size_t)sample, &seeds, &members, grid);
        if (grid.index > 0) continue;
        args->sample_clusters[sample] = seeds;
        s.sample_members[sample] = members;
    }
    if (grid.block > 0 || grid.index > 0) return;
    args->sample_clusters[samples] = 0;
    s.sample_members[samples] = 0;
    *s.rows = samples + 1;
}

/* Numbers and places, with the offsets of the samples known. */
STOA_KERNEL_TILES(reco_clue_number, reco_clue)
{
    const clue_space s = clue_space_of(args);
    const uint32_t samples = clue_samples(args);
    for (uint32_t sample = grid.block; sample < samples; sample += grid.blocks) {
        const uint32_t first = args->offset[sample], base = args->sample_clusters[sample];
        clue_number(args, &s, first, args->offset[sample + 1] - first, base, args->sample_clusters[sample + 1] - base,
                    s.sample_members[sample], grid);
    }
    if (grid.block == 0 && grid.index == 0) args->cluster_points[args->sample_clusters[samples]] = s.sample_members[samples];
}

#ifndef __CUDACC__
size_t reco_clue_workspace_bytes(uint32_t point_capacity, uint32_t sample_capacity, uint32_t dimensions)
{ return clue_space_bytes(point_capacity, sample_capacity, dimensions); }

/* Squares of distances must not overflow. */
#define RECO_CLUE_DISTANCE_MAX 1e18f

static stoa_status check_options(const reco_clue_options *o, stoa_error *err)
{
    const struct {
        const char *name;
        float value, max;
    } values[] = {{"density_radius", o->density_radius, RECO_CLUE_DISTANCE_MAX},
                  {"density_min", o->density_min, HUGE_VALF},
                  {"outlier_distance", o->outlier_distance, RECO_CLUE_DISTANCE_MAX},
                  {"seeding_distance", o->seeding_distance, RECO_CLUE_DISTANCE_MAX},
                  {"kernel_amplitude", o->kernel_amplitude, FLT_MAX}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!(values[i].value >= 0.0f && values[i].value <= values[i].max))
            return STOA_FAIL(err, STOA_EINVAL, "clue: %s is %g, 0 to %g possible", values[i].name, (double)values[i].value,
                             (double)values[i].max);
    for (uint32_t k = 0; k < o->dimensions; k++)
        if (!(o->period[k] >= 0.0f && o->period[k] <= RECO_CLUE_DISTANCE_MAX && o->scale[k] >= 0.0f &&
              o->scale[k] <= RECO_CLUE_DISTANCE_MAX))
            return STOA_FAIL(err, STOA_EINVAL, "clue: coordinate %u has period %g and scale %g, 0 to %g possible", k, (double)o->period[k],
                             (double)o->scale[k], (double)RECO_CLUE_DISTANCE_MAX);
    if (o->metric >= RECO_CLUE_METRIC_COUNT || o->kernel >= RECO_CLUE_KERNEL_COUNT)
        return STOA_FAIL(err, STOA_EINVAL, "clue: metric %u, kernel %u: below %d and %d possible", o->metric, o->kernel,
                         RECO_CLUE_METRIC_COUNT, RECO_CLUE_KERNEL_COUNT);
    if (o->kernel != RECO_CLUE_FLAT && !(o->kernel_width > 0.0f))
        return STOA_FAIL(err, STOA_EINVAL, "clue: kernel_width is %g, above 0 needed", (double)o->kernel_width);
    return STOA_OK;
}

static stoa_status check(const reco_clue *args, stoa_error *err)
{
    const reco_clue_options *o = &args->options;
    if (o->dimensions < 1 || o->dimensions > RECO_CLUE_DIMENSIONS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "clue: %u dimensions, 1 to %d possible", o->dimensions, RECO_CLUE_DIMENSIONS_MAX);
    for (uint32_t k = 0; k < o->dimensions && args->point_capacity > 0; k++) RECO_NEED(err, "clue", args->coordinate[k]);
    STOA_TRY(check_options(o, err));
    const size_t needed = reco_clue_workspace_bytes(args->point_capacity, args->sample_capacity, o->dimensions);
    if (args->workspace_bytes < needed)
        return STOA_FAIL(err, STOA_ESHAPE, "clue: workspace of %zu bytes, %zu needed", args->workspace_bytes, needed);
    if ((uintptr_t)args->workspace % 64 != 0)
        return STOA_FAIL(err, STOA_EALIGN, "clue: workspace at %p, alignment 64 needed", args->workspace);
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
    const clue_space s = clue_space_of(args);
    STOA_TRY(stoa_queue_launch(queue, &reco_clue_climb_kernel, args, err));
    uint32_t *const sums[] = {args->sample_clusters, s.sample_members}; /* the starts of the tiles are no longer needed */
    for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) {
        const stoa_scan scan = {sums[k], s.rows, args->sample_capacity + 1, 1, sums[k], s.start};
        STOA_TRY(stoa_algo_scan(queue, &scan, err));
    }
    return stoa_queue_launch(queue, &reco_clue_number_kernel, args, err);
}
#endif
