/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: what a sample's one worker (clue_alone.h) and a block of them (clue_block.h) share: density and the nearest above
 * of the places that are looked at together. Sums have the order of the places in both. */
#ifndef RECO_CLUE_STEPS_H
#define RECO_CLUE_STEPS_H

#include "reco/clustering/clue_pairs.h"
#include "reco/clustering/clue_tiles.h"

/* Up to RECO_LANES places of one row of cells, and the ranges that they can reach. */
typedef struct clue_block {
    uint32_t from, count;
    clue_range ranges[CLUE_RANGES_MAX];
    uint32_t range_count;
} clue_block;

STOA_DEVICE void clue_density(const reco_clue *args, const clue_space *s, const clue_block *b)
{
    const float amplitude = args->options.kernel_amplitude;
    float sum[RECO_LANES];
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
    float reach[RECO_LANES];
    int32_t above[RECO_LANES];
    for (uint32_t l = 0; l < RECO_LANES; l++) reach[l] = s->rho[b->from + l] >= density_min ? s->seeding_reach : s->outlier_reach;
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

/* One of the two passes, for the places from `from` on that lie before `end` in a row of tiles. Returns how many that were. */
STOA_DEVICE uint32_t clue_pass(const reco_clue *args, const clue_space *s, const clue_tiles *t, const uint32_t *start, uint32_t from,
                               uint32_t end, int climbing)
{
    const uint32_t cells = t->axis[CLUE_AXES - 1].cells;
    clue_block b;
    b.from = from;
    b.count = end - from < RECO_LANES ? end - from : RECO_LANES;
    const uint32_t low = s->tile[s->source[from]], high = s->tile[s->source[from + b.count - 1]], row = low / cells;
    const uint32_t reach = climbing ? clue_reach_above(args, s, t, &b) : clue_reach(t, args->options.density_radius);
    b.range_count = clue_ranges_around(t, start, row, low - row * cells, high - row * cells, reach, b.ranges);
    if (climbing) clue_above(args, s, &b);
    else clue_density(args, s, &b);
    return b.count;
}

#endif
