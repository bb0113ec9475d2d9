/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/clustering/clue.h"

#include "reco/check.h"
#ifndef __CUDACC__
#include "reco/clustering/clue_few.h"
#endif
#include "reco/clustering/clue_pairs.h"
#include "reco/clustering/clue_tiles.h"
#include "stoa/algo.h"

STOA_DEVICE uint32_t clue_samples(const reco_clue *args)
{ return *args->samples < args->sample_capacity ? *args->samples : args->sample_capacity; }

/* Up to CLUE_LANES places of one row of cells, and the ranges that they can reach. */
typedef struct clue_block {
    uint32_t from, count;
    clue_range ranges[CLUE_RANGES_MAX];
    uint32_t range_count;
} clue_block;

STOA_DEVICE void clue_density(const reco_clue *args, const clue_space *s, const clue_block *b)
{
    const float amplitude = args->options.kernel_amplitude;
    float sum[CLUE_LANES];
    clue_sum_block(s, b->from, b->ranges, b->range_count, sum);
    for (uint32_t l = 0; l < b->count; l++) {
        const uint32_t place = b->from + l;
        s->rho[place] = amplitude * sum[l] + (1.0f - amplitude) * s->w[place]; /* the point's own weight counts in full */
        if (args->density) args->density[s->source[place]] = s->rho[place];
    }
}

STOA_DEVICE void clue_above(const reco_clue *args, const clue_space *s, const clue_block *b)
{
    const float density_min = args->options.density_min;
    float reach[CLUE_LANES];
    int32_t above[CLUE_LANES];
    for (uint32_t l = 0; l < CLUE_LANES; l++) reach[l] = s->rho[b->from + l] >= density_min ? s->seeding_reach : s->outlier_reach;
    clue_climb_block(s, b->from, b->ranges, b->range_count, reach, above);
    for (uint32_t l = 0; l < b->count; l++) {
        const uint32_t place = b->from + l;
        const int is_seed = above[l] == CLUE_OUTLIER && s->rho[place] >= density_min;
        s->above[s->source[place]] = is_seed ? CLUE_SEED : above[l];
    }
}

/* Cells that a block's points may look away for the one above. */
STOA_DEVICE uint32_t clue_reach_above(const reco_clue *args, const clue_space *s, const clue_tiles *t, const clue_block *b)
{
    const reco_clue_options *o = &args->options;
    float reach = 0.0f;
    for (uint32_t l = 0; l < b->count; l++) {
        const float own = s->rho[b->from + l] >= o->density_min ? clue_seeding_distance(o) : o->outlier_distance;
        reach = own > reach ? own : reach;
    }
    return clue_reach(t, reach);
}

/* One of the two passes over a sample, block by block. */
STOA_DEVICE void clue_pass(const reco_clue *args, const clue_space *s, const clue_tiles *t, const uint32_t *start, int climbing)
{
    const uint32_t cells = t->axis[CLUE_AXES - 1].cells, rows = t->tiles / cells;
    clue_block b;
    for (uint32_t row = 0; row < rows; row++) {
        const uint32_t tile = row * cells, end = start[tile + cells];
        for (b.from = start[tile]; b.from < end; b.from += CLUE_LANES) {
            b.count = end - b.from < CLUE_LANES ? end - b.from : CLUE_LANES;
            const uint32_t reach = climbing ? clue_reach_above(args, s, t, &b) : clue_reach(t, args->options.density_radius);
            b.range_count = clue_ranges_around(t, start, row, s->tile[s->source[b.from]] - tile,
                                               s->tile[s->source[b.from + b.count - 1]] - tile, reach, b.ranges);
            if (climbing) clue_above(args, s, &b);
            else clue_density(args, s, &b);
        }
    }
}

/* The top that a point leads to. Paths are shortened as they are walked. */
STOA_DEVICE int32_t clue_top(const clue_space *s, int32_t point)
{
    int32_t top = point;
    while (s->above[top] >= 0) top = s->above[top];
    while (point != top) {
        const int32_t next = s->above[point];
        s->above[point] = top;
        point = next;
    }
    return top;
}

/* The seed of each point of a sample, or -1, into cluster_of; the numbers of seeds and members. */
STOA_DEVICE void clue_many_points(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t *start, uint32_t *seeds,
                                  uint32_t *members)
{
    const clue_tiles tiles = clue_plan(args, first, n);
    for (uint32_t i = first; i < first + n; i++) s->above[i] = CLUE_OUTLIER;
    clue_place(args, s, &tiles, start, first, n);
    clue_pass(args, s, &tiles, start, 0);
    clue_pass(args, s, &tiles, start, 1);
    for (uint32_t i = first; i < first + n; i++) {
        const int32_t top = clue_top(s, (int32_t)i);
        const uint32_t is_member = s->above[top] == CLUE_SEED;
        args->cluster_of[i] = is_member ? top : -1;
        *seeds += is_member & (top == (int32_t)i);
        *members += is_member;
    }
}

/* Leaves the seed of each point, or -1, in cluster_of. A thread of a GPU has no vectors: few points gain nothing there. */
STOA_KERNEL(reco_clue_climb, reco_clue)
{
    const clue_space s = clue_space_of(args);
    const uint32_t samples = clue_samples(args);
    STOA_FOR (sample, grid, samples) {
        const uint32_t first = args->offset[sample], n = args->offset[sample + 1] - first;
        uint32_t seeds = 0, members = 0;
        if (args->density)
            for (uint32_t i = first; i < first + n; i++) args->density[i] = 0.0f;
#ifndef __CUDACC__
        if (n <= CLUE_FEW_POINTS) {
            clue_few_points(args, &s, first, n, &seeds, &members);
        } else
#endif
            clue_many_points(args, &s, first, n, s.start + first + 2 * (size_t)sample, &seeds, &members);
        args->sample_clusters[sample] = seeds;
        s.sample_members[sample] = members;
    }
    if (grid.index > 0) return;
    args->sample_clusters[samples] = 0;
    s.sample_members[samples] = 0;
    *s.rows = samples + 1;
}

/* The points [first, end) that are in clusters; without a branch on each, as there is no guessing which. */
STOA_DEVICE uint32_t clue_list_members(const int32_t *cluster_of, uint32_t first, uint32_t end, uint32_t *list)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++) {
        list[count] = i;
        count += cluster_of[i] >= 0;
    }
    return count;
}

/* Numbers and places, with the offsets of the samples known. */
STOA_KERNEL(reco_clue_number, reco_clue)
{
    const clue_space s = clue_space_of(args);
    const uint32_t samples = clue_samples(args);
    int32_t *of = args->cluster_of;
    STOA_FOR (sample, grid, samples) {
        const uint32_t first = args->offset[sample], base = args->sample_clusters[sample];
        const uint32_t clusters = args->sample_clusters[sample + 1] - base;
        uint32_t *count = args->cluster_points + base, *number = s.tile, *list = s.source + first;
        const uint32_t members = clue_list_members(of, first, args->offset[sample + 1], list);
        for (uint32_t m = 0, next = 0; m < members; m++) {
            number[list[m]] = next; /* of a seed */
            next += of[list[m]] == (int32_t)list[m];
        }
        for (uint32_t k = 0; k < clusters; k++) count[k] = 0;
        for (uint32_t m = 0; m < members; m++) {
            if (args->seeds && of[list[m]] == (int32_t)list[m]) args->seeds[base + number[list[m]]] = list[m];
            const uint32_t cluster = number[of[list[m]]];
            count[cluster]++;
            of[list[m]] = (int32_t)(base + cluster);
        }
        for (uint32_t k = 0, place = s.sample_members[sample]; k < clusters; k++) {
            const uint32_t points = count[k];
            count[k] = place;
            place += points;
        }
        for (uint32_t m = 0; m < members; m++) args->points[args->cluster_points[of[list[m]]]++] = list[m];
        for (uint32_t k = clusters; k-- > 0;) count[k] = k > 0 ? count[k - 1] : s.sample_members[sample]; /* ends become starts */
    }
    if (grid.index == 0) args->cluster_points[args->sample_clusters[samples]] = s.sample_members[samples];
}

#ifndef __CUDACC__
size_t reco_clue_workspace_bytes(uint32_t point_capacity, uint32_t sample_capacity, uint32_t dimensions)
{ return clue_space_bytes(point_capacity, sample_capacity, dimensions); }

/* Squares of distances must not overflow. */
#define CLUE_DISTANCE_MAX 1e18f

static stoa_status check_options(const reco_clue_options *o, stoa_error *err)
{
    const struct {
        const char *name;
        float value, max;
    } values[] = {{"density_radius", o->density_radius, CLUE_DISTANCE_MAX},
                  {"density_min", o->density_min, HUGE_VALF},
                  {"outlier_distance", o->outlier_distance, CLUE_DISTANCE_MAX},
                  {"seeding_distance", o->seeding_distance, CLUE_DISTANCE_MAX},
                  {"kernel_amplitude", o->kernel_amplitude, FLT_MAX}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!(values[i].value >= 0.0f && values[i].value <= values[i].max))
            return STOA_FAIL(err, STOA_EINVAL, "clue: %s is %g, 0 to %g possible", values[i].name, (double)values[i].value,
                             (double)values[i].max);
    for (uint32_t k = 0; k < o->dimensions; k++)
        if (!(o->period[k] >= 0.0f && o->period[k] <= CLUE_DISTANCE_MAX && o->scale[k] >= 0.0f && o->scale[k] <= CLUE_DISTANCE_MAX))
            return STOA_FAIL(err, STOA_EINVAL, "clue: coordinate %u has period %g and scale %g, 0 to %g possible", k, (double)o->period[k],
                             (double)o->scale[k], (double)CLUE_DISTANCE_MAX);
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
    const clue_space s = clue_space_of(args);
    STOA_TRY(stoa_queue_launch(queue, &reco_clue_climb_kernel, args, err));
    uint32_t *const sums[] = {args->sample_clusters, s.sample_members};
    for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) {
        const stoa_scan scan = {sums[k], s.rows, args->sample_capacity + 1, 1, sums[k]};
        STOA_TRY(stoa_algo_scan(queue, &scan, err));
    }
    return stoa_queue_launch(queue, &reco_clue_number_kernel, args, err);
}
#endif
