/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: tiles. Up to three coordinates are cut into cells of about half the radius, and cell numbers wrap
 * around, as on a circle: a far point never makes the tiles coarse, it only shares one with points elsewhere, which the
 * distance tells apart. Points are sorted by tile; those of a row of cells along the last axis are contiguous. */
#ifndef RECO_CLUE_TILES_H
#define RECO_CLUE_TILES_H

#include "reco/clustering/clue_space.h"
#include "reco/vector_levels.h"

#include <float.h>
#include <string.h>

enum {
    CLUE_AXES = 3,
    CLUE_REACH_MAX = 4, /* cells that any distance spans at most */
    CLUE_RANGES_MAX = 2 * (2 * CLUE_REACH_MAX + 1) * (2 * CLUE_REACH_MAX + 1) + 1, /* one to write without a branch */
    CLUE_FEW_POINTS = 64, /* and below: one tile. Sorting would cost more than it saves. */
    CLUE_PROBES = 512
};

typedef struct clue_axis {
    uint32_t dimension, cells;
    double origin, scale; /* cell = floor((x - origin) * scale) modulo cells */
} clue_axis;

typedef struct clue_tiles {
    clue_axis axis[CLUE_AXES]; /* those not needed have one cell */
    double edge;
    uint32_t tiles;
} clue_tiles;

/* The seeding distance and the outlier distance count as far: the density radius is what most work goes into. */
STOA_DEVICE double clue_tile_edge(const reco_clue_options *o)
{
    const float seeding = clue_seeding_distance(o), far = o->outlier_distance > seeding ? o->outlier_distance : seeding;
    const double near_edge = 0.5 * (double)o->density_radius, far_edge = (double)far / CLUE_REACH_MAX;
    const double edge = 1.00001 * (near_edge > far_edge ? near_edge : far_edge);
    return edge > 1e-30 ? edge : 1e-30;
}

/* Cells that two points within `reach` can be apart. The margin is for their distance's rounding. */
STOA_DEVICE uint32_t clue_reach(const clue_tiles *t, float reach) { return (uint32_t)ceil(1.000001 * (double)reach / t->edge); }

/* How far a coordinate spreads, by a part of the points: it decides on speed only. */
STOA_DEVICE double clue_spread(const float *x, uint32_t n)
{
    const uint32_t step = n / CLUE_PROBES + 1;
    double low = (double)FLT_MAX, high = -low;
    for (uint32_t i = 0; i < n; i += step) {
        const double at = (double)x[i];
        if (!(at >= -(double)FLT_MAX && at <= (double)FLT_MAX)) continue;
        low = at < low ? at : low;
        high = at > high ? at : high;
    }
    return high > low ? high - low : 0.0;
}

/* Cells are doubled along the coordinate that is cut most coarsely, until there is a tile for every point or all are fine. */
STOA_DEVICE clue_tiles clue_plan(const reco_clue *args, uint32_t first, uint32_t n)
{
    const reco_clue_options *o = &args->options;
    clue_tiles t = {{{0, 1, 0.0, 0.0}, {0, 1, 0.0, 0.0}, {0, 1, 0.0, 0.0}}, clue_tile_edge(o), 1};
    if (n <= CLUE_FEW_POINTS) return t;
    double width[RECO_CLUE_DIMENSIONS_MAX]; /* in edges */
    for (uint32_t k = 0; k < o->dimensions; k++) width[k] = clue_spread(args->coordinate[k] + first, n) * (double)clue_scale(o, k) / t.edge;
    uint32_t cells[RECO_CLUE_DIMENSIONS_MAX], axes = 0;
    for (uint32_t k = 0; k < o->dimensions; k++) cells[k] = 1;
    for (uint32_t tiles = 1; 2 * (uint64_t)tiles <= n; tiles *= 2) {
        uint32_t best = 0;
        double coarsest = 0.0;
        for (uint32_t k = 0; k < o->dimensions; k++)
            if ((cells[k] > 1 || axes < CLUE_AXES) && width[k] > coarsest * cells[k]) best = k, coarsest = width[k] / cells[k];
        if (!(coarsest > 1.0)) break;
        axes += cells[best] == 1;
        cells[best] *= 2;
    }
    uint32_t slot = CLUE_AXES;
    for (uint32_t k = o->dimensions; k-- > 0;) {
        if (cells[k] == 1) continue;
        const double turn = (double)o->period[k] * (double)clue_scale(o, k);
        clue_axis axis = {k, cells[k], 0.0, 1.0 / t.edge};
        if (turn > 0.0) {
            const double most = floor(turn / t.edge);
            axis.cells = most < axis.cells ? most < 1.0 ? 1 : (uint32_t)most : axis.cells;
            axis.origin = -0.5 * turn;
            axis.scale = axis.cells / turn;
        }
        t.axis[--slot] = axis;
        t.tiles *= axis.cells;
    }
    return t;
}

/* A coordinate as the distances see it. Folding changes only what lies outside of the middle turn. */
STOA_DEVICE float clue_folded(const clue_space *s, const reco_clue_options *o, uint32_t k, float coordinate)
{
    const float x = coordinate * clue_scale(o, k);
    return o->period[k] > 0.0f ? x - s->turn[k] * rintf(x / s->turn[k]) : x;
}

#define CLUE_NOWHERE UINT32_MAX

/* The cell along an axis, the numbers wrapping around. */
STOA_DEVICE uint32_t clue_cell(const clue_space *s, const reco_clue_options *o, const clue_axis *axis, float coordinate)
{
    const double u = floor(((double)clue_folded(s, o, axis->dimension, coordinate) - axis->origin) * axis->scale);
    return (uint32_t)(int32_t)(u - axis->cells * floor(u / axis->cells));
}

/* The tile of each point of a sample; CLUE_NOWHERE for those that are not finite. */
RECO_VECTOR_LEVELS void clue_find_tiles(const reco_clue *args, const clue_space *s, const clue_tiles *t, uint32_t first, uint32_t n)
{
    const reco_clue_options *o = &args->options;
    uint32_t *tile = s->tile + first;
    memset(tile, 0, n * sizeof *tile);
    for (uint32_t a = 0; a < CLUE_AXES; a++) {
        const clue_axis axis = t->axis[a];
        if (axis.cells == 1) continue;
        const float *x = args->coordinate[axis.dimension] + first;
        for (uint32_t i = 0; i < n; i++) tile[i] = tile[i] * axis.cells + clue_cell(s, o, &axis, x[i]);
    }
    for (uint32_t k = 0; k <= o->dimensions; k++) {
        const float *x = (k < o->dimensions ? args->coordinate[k] : args->weight) + first;
        const float scale = k < o->dimensions ? clue_scale(o, k) : 1.0f;
        for (uint32_t i = 0; i < n; i++) tile[i] = fabsf(x[i] * scale) <= FLT_MAX ? tile[i] : CLUE_NOWHERE;
    }
}

/* Sort by tile, stable. Returns the number of points placed. */
STOA_DEVICE uint32_t clue_place(const reco_clue *args, const clue_space *s, const clue_tiles *t, uint32_t *start, uint32_t first,
                                uint32_t n)
{
    const reco_clue_options *o = &args->options;
    clue_find_tiles(args, s, t, first, n);
    memset(start, 0, (t->tiles + 1) * sizeof *start);
    for (uint32_t i = first; i < first + n; i++)
        if (s->tile[i] != CLUE_NOWHERE) start[s->tile[i] + 1]++;
    uint32_t end = first;
    for (uint32_t tile = 1; tile <= t->tiles; tile++) {
        const uint32_t count = start[tile];
        start[tile] = end;
        end += count;
    }
    for (uint32_t i = first; i < first + n; i++)
        if (s->tile[i] != CLUE_NOWHERE) s->source[start[s->tile[i] + 1]++] = i; /* the first place becomes the next tile's */
    start[0] = first;
    for (uint32_t k = 0; k < o->dimensions; k++)
        for (uint32_t p = first; p < end; p++) s->x[k * s->stride + p] = clue_folded(s, o, k, args->coordinate[k][s->source[p]]);
    for (uint32_t p = first; p < end; p++) s->w[p] = args->weight[s->source[p]];
    return end - first;
}

/* Cells [first, first + count), the numbers wrapping around. */
typedef struct clue_span {
    uint32_t first, count;
} clue_span;

STOA_DEVICE clue_span clue_span_of(uint32_t low, uint32_t high, uint32_t reach, uint32_t cells)
{
    const uint32_t count = high - low + 1 + 2 * reach;
    if (count >= cells) return (clue_span){0, cells};
    return (clue_span){low >= reach ? low - reach : low + cells - reach, count};
}

STOA_DEVICE uint32_t clue_wrapped(uint32_t cell, uint32_t cells) { return cell < cells ? cell : cell - cells; }

/* The places in reach of the cells [low, high] of a row, as ranges. Returns their number. `start` is that of the sample. */
STOA_DEVICE uint32_t clue_ranges_around(const clue_tiles *t, const uint32_t *start, uint32_t row, uint32_t low, uint32_t high,
                                        uint32_t reach, clue_range *ranges)
{
    const uint32_t c0 = t->axis[0].cells, c1 = t->axis[1].cells, c2 = t->axis[2].cells;
    const clue_span s0 = clue_span_of(row / c1, row / c1, reach, c0), s1 = clue_span_of(row % c1, row % c1, reach, c1),
                    s2 = clue_span_of(low, high, reach, c2);
    const uint32_t end = s2.first + s2.count, over = end > c2 ? end - c2 : 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s0.count; i++)
        for (uint32_t j = 0; j < s1.count; j++) {
            const uint32_t *cell = start + (clue_wrapped(s0.first + i, c0) * c1 + clue_wrapped(s1.first + j, c1)) * (size_t)c2;
            const clue_range head = {cell[s2.first], cell[end - over]}, tail = {cell[0], cell[over]};
            ranges[count] = head;
            count += head.begin < head.end;
            ranges[count] = tail;
            count += tail.begin < tail.end;
        }
    return count;
}

#endif
