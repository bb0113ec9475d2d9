/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the search of density.c up to the lists of tracks, by one worker: pairs in vector lanes, no branch that a track decides. */
#ifndef RECO_VERTEXING_DENSITY_ALONE_H
#define RECO_VERTEXING_DENSITY_ALONE_H

#include "reco/lanes.h"
#include "reco/vector_levels.h"
#include "reco/vertexing/density_steps.h"

enum { FIND_TURNS = 2, FIND_STEP = 4 };

/* The places that can be compatible with one of those from `first_z` to `last_z`, and some beside them. Both ends only move upwards. */
typedef struct find_window {
    uint32_t low, high;
} find_window;

STOA_DEVICE void find_move(const find_space *s, find_window *window, float first_z, float last_z, uint32_t rows, float eps)
{
    while (first_z - s->z[window->low + FIND_STEP - 1] > eps) window->low += FIND_STEP;
    while (window->high < rows && s->z[window->high] - last_z <= eps) window->high += FIND_STEP;
}

/* Tracks of small error: their places, and from there once more position and error, where the sort is done with its memory. */
typedef struct find_seeds {
    uint32_t *place;
    float *z, *e;
} find_seeds;

/* Step 1, for RECO_LANES seeds from the k-th on, over the places that one of them can reach. */
RECO_VECTOR_LEVELS void find_neighbours_of(const find_space *s, const find_seeds *seeds, uint32_t k, find_window window, float eps,
                                           float chi2_max)
{
    lane_floats z, e;
    lane_ints count = {0};
    int32_t count_of[RECO_LANES];
    memcpy(&z, seeds->z + k, sizeof z);
    memcpy(&e, seeds->e + k, sizeof e);
    for (uint32_t j = window.low; j < window.high; j++) {
        const lane_floats d = s->z[j] - z, size = LANES_SIZE(d);
        const lane_ints near = (size <= eps) & (d * d <= chi2_max * (e + s->e[j]));
        LANES_COUNT(count, near);
    }
    memcpy(count_of, &count, sizeof count);
    for (int l = 0; l < RECO_LANES; l++) s->nn[seeds->place[k + (uint32_t)l]] = count_of[l] - 1; /* without itself */
}

/* Step 1. Only seeds count. Behind the last track stand some that nothing is compatible with. */
STOA_DEVICE void find_neighbours(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    const float error2_max = o->error_max * o->error_max;
    const find_seeds seeds = {s->member, s->member_z, s->member_w};
    uint32_t count = 0;
    find_window window = {0, 0};
    for (uint32_t i = 0; i < rows; i++) {
        seeds.place[count] = i;
        seeds.z[count] = s->z[i];
        seeds.e[count] = s->e[i];
        count += s->e[i] <= error2_max;
        s->nn[i] = 0;
    }
    for (uint32_t i = rows; i < rows + FIND_TURNS * RECO_LANES; i++) {
        s->z[i] = HUGE_VALF;
        s->e[i] = 1.0f;
        s->nn[i] = 0;
    }
    for (uint32_t k = count; k < count + RECO_LANES && count > 0; k++) { /* fill the last block: counted again, to the same result */
        seeds.place[k] = seeds.place[count - 1];
        seeds.z[k] = seeds.z[count - 1];
        seeds.e[k] = seeds.e[count - 1];
    }
    for (uint32_t k = 0; k < count; k += RECO_LANES) {
        find_move(s, &window, seeds.z[k], seeds.z[k + RECO_LANES - 1], rows, o->eps);
        find_neighbours_of(s, &seeds, k, window, o->eps, o->chi2_max);
    }
}

enum { FIND_PLACES = FIND_TURNS * RECO_LANES };

/* Places in a row, and the closest above that each has met. That waits for the comparison before; the turns do not wait for each
 * other. */
typedef struct find_lanes {
    lane_floats z[FIND_TURNS], e[FIND_TURNS], closest[FIND_TURNS];
    lane_ints nn[FIND_TURNS], own[FIND_TURNS], parent[FIND_TURNS];
} find_lanes;

/* Steps 2 and 3 over places [from, to). Upwards the last of the closest is the latest. `side`: -1 where all these places are below
 * the lanes, 1 above, 0 among them; at equal nn the lower place is above. */
STOA_DEVICE void find_meet(const find_space *s, find_lanes *lanes, uint32_t from, uint32_t to, int side, float chi2_max)
{
    for (uint32_t j = from; j < to; j++)
        for (int t = 0; t < FIND_TURNS; t++) {
            const lane_floats d = s->z[j] - lanes->z[t], size = LANES_SIZE(d);
            const lane_ints least = side < 0   ? lanes->nn[t] - 1
                                    : side > 0 ? lanes->nn[t]
                                               : lanes->nn[t] + (((int32_t)j - lanes->own[t]) >> 31);
            const lane_ints take = (s->nn[j] > least) & (size <= lanes->closest[t]) & (d * d <= chi2_max * (lanes->e[t] + s->e[j]));
            LANES_SET(lanes->closest[t], take, size);
            LANES_SET(lanes->parent[t], take, (lane_ints){0} + (int32_t)j);
        }
}

RECO_VECTOR_LEVELS void find_above_of(const find_space *s, uint32_t first, find_window window, float eps, float chi2_max)
{
    find_lanes lanes;
    for (int t = 0; t < FIND_TURNS; t++) {
        const uint32_t at = first + (uint32_t)t * RECO_LANES;
        memcpy(&lanes.z[t], s->z + at, sizeof *lanes.z);
        memcpy(&lanes.e[t], s->e + at, sizeof *lanes.e);
        memcpy(&lanes.nn[t], s->nn + at, sizeof *lanes.nn);
        lanes.own[t] = lanes.parent[t] = LANES_NUMBERS + (int32_t)at;
        lanes.closest[t] = (lane_floats){0} + eps;
    }
    const uint32_t behind = first + FIND_PLACES < window.high ? first + FIND_PLACES : window.high;
    find_meet(s, &lanes, window.low, first, -1, chi2_max);
    find_meet(s, &lanes, first, behind, 0, chi2_max);
    find_meet(s, &lanes, behind, window.high, 1, chi2_max);
    memcpy(s->parent + first, lanes.parent, sizeof lanes.parent);
}

STOA_DEVICE void find_above(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    find_window window = {0, 0};
    for (uint32_t i = 0; i < rows; i += FIND_PLACES) {
        const uint32_t last = i + FIND_PLACES < rows ? i + FIND_PLACES - 1 : rows - 1;
        find_move(s, &window, s->z[i], s->z[last], rows, o->eps);
        find_above_of(s, i, window, o->eps, o->chi2_max);
    }
}

/* Every parent becomes the top of its chain. A round halves the way that is left at least; in the order of a chain, it ends it. */
STOA_DEVICE void find_climb(const find_space *s, uint32_t rows)
{
    uint32_t moved = 1;
    for (uint32_t round = 0; moved; round++) {
        moved = 0;
        for (uint32_t k = 0; k < rows; k++) {
            const uint32_t i = round % 2 ? rows - 1 - k : k;
            const uint32_t parent = s->parent[i], above = s->parent[parent];
            s->parent[i] = above;
            moved |= parent ^ above;
        }
    }
}

/* Lists the tracks of each vertex: a counting sort, with the noise in front of vertex 0. Neighbours mostly share a vertex, and each
 * count would wait for the one before; so the lower and the upper half of the places, each with its own counts, take turns. */
STOA_DEVICE void find_members(const find_space *s, uint32_t rows, uint32_t vertices)
{
    uint32_t *lower = s->begin - FIND_NOISE, *upper = s->end - FIND_NOISE; /* [FIND_NOISE to vertices - 1] */
    const int32_t end = (int32_t)vertices;
    const uint32_t half = (rows + 1) / 2;
    uint32_t sum = 0;
    for (int32_t v = FIND_NOISE; v < end; v++) lower[v] = upper[v] = 0;
    for (uint32_t i = 0; i < half; i++) {
        lower[s->vertex[i]]++;
        if (half + i < rows) upper[s->vertex[half + i]]++;
    }
    for (int32_t v = FIND_NOISE; v < end; v++) {
        const uint32_t count = lower[v];
        lower[v] = sum;
        sum += count + upper[v];
        upper[v] = lower[v] + count;
    }
    for (uint32_t i = 0; i < half; i++) {
        s->member[lower[s->vertex[i]]++] = i;
        if (half + i < rows) s->member[upper[s->vertex[half + i]]++] = half + i;
    }
    const uint32_t noise = upper[FIND_NOISE];
    for (int32_t v = 0; v < end; v++) { /* each upper slot now stands at its end, which is where the next vertex begins */
        s->begin[v] = upper[v - 1];
        s->end[v] = upper[v];
    }
    find_copy_members(s, noise, rows);
}

#endif
