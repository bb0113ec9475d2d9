/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: a sample by the workers of a block, on a GPU; with the results of one worker (clue_alone.h). Points, tiles and
 * clusters are shared out by number. */
#ifndef RECO_CLUE_BLOCK_H
#define RECO_CLUE_BLOCK_H

#include "reco/clustering/clue_steps.h"

/* Item i of [first, first + n) goes behind the earlier ones of its key: out[cursor[key[i]]++] = i, in the order of i. Left out:
 * CLUE_NOWHERE. Items go in runs of the block's size, within which each counts those of its key. */
STOA_DEVICE void clue_put_in_order(const uint32_t *key, uint32_t first, uint32_t n, uint32_t *cursor, uint32_t *out, stoa_grid grid)
{
    STOA_SHARED uint32_t keys[STOA_SHAPE_THREADS_tile];
    for (uint32_t at = 0; at < n; at += grid.size) {
        const uint32_t i = at + grid.index, end = n - at < grid.size ? n - at : grid.size;
        const uint32_t own = i < n ? key[first + i] : CLUE_NOWHERE;
        keys[grid.index] = own;
        STOA_BARRIER();
        uint32_t earlier = 0, later = 0;
        for (uint32_t j = 0; j < end; j++) {
            earlier += (j < grid.index) & (keys[j] == own);
            later += (j > grid.index) & (keys[j] == own);
        }
        const uint32_t place = own != CLUE_NOWHERE ? cursor[own] + earlier : 0;
        STOA_BARRIER(); /* all have read cursors and keys */
        if (own == CLUE_NOWHERE) continue;
        out[place] = first + i;
        if (later == 0) cursor[own] = place + 1;
    }
    STOA_BARRIER();
}

/* Counts become starts from `start` on. */
STOA_DEVICE void clue_starts(uint32_t *counts, uint32_t n, uint32_t start, stoa_grid grid)
{
    for (uint32_t at = 0; at < n; at += grid.size) {
        const uint32_t k = at + grid.index;
        uint32_t all;
        const uint32_t before = stoa_block_scan(grid, k < n ? counts[k] : 0, &all);
        if (k < n) counts[k] = start + before;
        start += all;
    }
    STOA_BARRIER();
}

/* Of the keys [low, low + n): how often each is among those of the points. */
STOA_DEVICE void clue_count(uint32_t *counts, uint32_t low, uint32_t n, const uint32_t *key, uint32_t first, uint32_t points,
                            stoa_grid grid)
{
    STOA_FOR (k, grid, n) counts[low + k] = 0;
    STOA_BARRIER();
    STOA_FOR (i, grid, points)
        if (key[first + i] != CLUE_NOWHERE) STOA_ATOMIC_ADD(&counts[key[first + i]], 1u);
    STOA_BARRIER();
}

STOA_DEVICE uint32_t clue_tile_of(const reco_clue *args, const clue_space *s, const clue_tiles *t, uint32_t i)
{
    const reco_clue_options *o = &args->options;
    uint32_t tile = 0;
    int finite = fabsf(args->weight[i]) <= FLT_MAX;
    for (uint32_t k = 0; k < o->dimensions; k++) finite &= fabsf(args->coordinate[k][i] * clue_scale(o, k)) <= FLT_MAX;
    if (!finite) return CLUE_NOWHERE;
    for (uint32_t a = 0; a < CLUE_AXES; a++) {
        const clue_axis axis = t->axis[a];
        if (axis.cells > 1) tile = tile * axis.cells + clue_cell(s, o, &axis, args->coordinate[axis.dimension][i]);
    }
    return tile;
}

/* Sort by tile, stable. Returns where the places end. */
STOA_DEVICE uint32_t clue_place_together(const reco_clue *args, const clue_space *s, const clue_tiles *t, uint32_t *start, uint32_t first,
                                         uint32_t n, stoa_grid grid)
{
    const reco_clue_options *o = &args->options;
    STOA_FOR (i, grid, n) s->tile[first + i] = clue_tile_of(args, s, t, first + i);
    STOA_BARRIER();
    clue_count(start + 1, 0, t->tiles, s->tile, first, n, grid);
    clue_starts(start + 1, t->tiles, first, grid);
    clue_put_in_order(s->tile, first, n, start + 1, s->source, grid); /* the first place becomes the next tile's */
    const uint32_t end = start[t->tiles];
    if (grid.index == 0) start[0] = first;
    STOA_FOR (p, grid, end - first) {
        const uint32_t place = first + p, i = s->source[place];
        for (uint32_t k = 0; k < o->dimensions; k++) s->x[k * s->stride + place] = clue_folded(s, o, k, args->coordinate[k][i]);
        s->w[place] = args->weight[i];
    }
    STOA_BARRIER();
    return end;
}

/* The seed of each point of a sample, or -1, into cluster_of; the numbers of seeds and members. */
STOA_DEVICE void clue_seeds_of(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t *start, uint32_t *seeds,
                               uint32_t *members, stoa_grid grid)
{
    const clue_tiles tiles = clue_plan(args, first, n);
    uint32_t mine[2] = {0, 0};
    STOA_FOR (i, grid, n) {
        s->above[first + i] = CLUE_OUTLIER;
        if (args->density) args->density[first + i] = 0.0f;
    }
    const uint32_t end = clue_place_together(args, s, &tiles, start, first, n, grid);
    STOA_FOR (p, grid, end - first) (void)clue_pass(args, s, &tiles, start, first + p, end, 0);
    STOA_BARRIER();
    STOA_FOR (p, grid, end - first) (void)clue_pass(args, s, &tiles, start, first + p, end, 1);
    STOA_BARRIER();
    STOA_FOR (i, grid, n) {
        const int32_t point = (int32_t)(first + i);
        int32_t top = point;
        while (s->above[top] >= 0) top = s->above[top];
        const uint32_t is_member = s->above[top] == CLUE_SEED;
        args->cluster_of[point] = is_member ? top : -1;
        mine[0] += is_member & (top == point);
        mine[1] += is_member;
    }
    (void)stoa_block_scan(grid, mine[0], seeds);
    (void)stoa_block_scan(grid, mine[1], members);
}

/* Numbers of a sample's clusters from `base` on, and the places of their points. */
STOA_DEVICE void clue_number(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t base, uint32_t clusters,
                             uint32_t place, stoa_grid grid)
{
    int32_t *of = args->cluster_of;
    uint32_t *number = s->tile, *ends = args->cluster_points + base;
    uint32_t next = base;
    for (uint32_t at = 0; at < n; at += grid.size) {
        const uint32_t i = first + at + grid.index, is_seed = at + grid.index < n && of[i] == (int32_t)i;
        uint32_t all;
        const uint32_t own = next + stoa_block_scan(grid, is_seed, &all);
        if (is_seed) number[i] = own;
        if (is_seed && args->seeds) args->seeds[own] = i;
        next += all;
    }
    STOA_BARRIER();
    STOA_FOR (i, grid, n)
        if (of[first + i] >= 0) of[first + i] = (int32_t)number[of[first + i]];
    STOA_BARRIER();
    const uint32_t *key = (const uint32_t *)of; /* -1 is CLUE_NOWHERE */
    clue_count(args->cluster_points, base, clusters, key, first, n, grid);
    clue_starts(ends, clusters, place, grid);
    clue_put_in_order(key, first, n, args->cluster_points, args->points, grid);
    for (uint32_t at = (clusters + grid.size - 1) / grid.size * grid.size; at > 0; at -= grid.size) { /* ends become starts, from behind */
        const uint32_t k = at - grid.size + grid.index;
        const uint32_t start = k < clusters && k > 0 ? ends[k - 1] : place;
        STOA_BARRIER();
        if (k < clusters) ends[k] = start;
    }
    STOA_BARRIER();
}

#endif
