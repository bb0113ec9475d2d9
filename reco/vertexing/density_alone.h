/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the search of density.c up to the lists of tracks, by one worker. As many places in a row as the widest vectors hold meet
 * each other place in turn, in plain loops that the compiler turns into vectors, without a branch that a track decides. */
#ifndef RECO_VERTEXING_DENSITY_ALONE_H
#define RECO_VERTEXING_DENSITY_ALONE_H

#include "reco/vector_levels.h"
#include "reco/vertexing/density_steps.h"

#include <string.h>

enum { FIND_LANES = 16, FIND_STEP = 4 };

/* Step 1 for the places [first, first + FIND_LANES), over those from `low` to `high` that one of them can reach. */
RECO_VECTOR_LEVELS void find_neighbours(const find_space *s, uint32_t first, uint32_t low, uint32_t high, const reco_vertex_options *o)
{
    const float eps = o->eps, chi2_max = o->chi2_max, error2_max = o->error_max * o->error_max;
    float z[FIND_LANES], e[FIND_LANES];
    int32_t count[FIND_LANES];
    memcpy(z, s->z + first, sizeof z);
    memcpy(e, s->e + first, sizeof e);
    for (int l = 0; l < FIND_LANES; l++) count[l] = -1; /* without itself */
    for (uint32_t j = low; j < high; j++) RECO_VECTORS
    for (int l = 0; l < FIND_LANES; l++) {
        const float d = s->z[j] - z[l];
        count[l] += (fabsf(d) <= eps) & (d * d <= chi2_max * (e[l] + s->e[j]));
    }
    int32_t *nn = s->nn + first;
    RECO_VECTORS
    for (int l = 0; l < FIND_LANES; l++) nn[l] = e[l] <= error2_max ? count[l] : 0;
}

/* Places in a row, and the closest above that each has met: its distance, as bits, which order as distances do, and its place. */
typedef struct find_climbers {
    float z[FIND_LANES], e[FIND_LANES];
    int32_t nn[FIND_LANES], closest[FIND_LANES], own[FIND_LANES], parent[FIND_LANES];
} find_climbers;

STOA_DEVICE int32_t find_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Steps 2 and 3 over places [from, to). Upwards the last of the closest is the latest. `side`: -1 where all these places are below
 * the climbers, 1 above, 0 among them; at equal nn the lower place is above. */
STOA_DEVICE void find_meet(const find_space *s, find_climbers *c, uint32_t from, uint32_t to, int side, float chi2_max)
{
    for (uint32_t j = from; j < to; j++) RECO_VECTORS
    for (int l = 0; l < FIND_LANES; l++) {
        const float d = s->z[j] - c->z[l];
        const int32_t lower = side < 0 || (side == 0 && (int32_t)j < c->own[l]);
        const int take = (s->nn[j] + lower > c->nn[l]) & (d * d <= chi2_max * (c->e[l] + s->e[j]));
        const int32_t size = take ? find_bits(fabsf(d)) : INT32_MAX;
        c->parent[l] = size <= c->closest[l] ? (int32_t)j : c->parent[l];
        c->closest[l] = size < c->closest[l] ? size : c->closest[l];
    }
}

RECO_VECTOR_LEVELS void find_above(const find_space *s, uint32_t first, uint32_t low, uint32_t high, const reco_vertex_options *o)
{
    find_climbers c;
    memcpy(c.z, s->z + first, sizeof c.z);
    memcpy(c.e, s->e + first, sizeof c.e);
    memcpy(c.nn, s->nn + first, sizeof c.nn);
    for (int32_t l = 0; l < FIND_LANES; l++) {
        c.own[l] = c.parent[l] = (int32_t)first + l;
        c.closest[l] = find_bits(fabsf(o->eps));
    }
    const uint32_t behind = first + FIND_LANES < high ? first + FIND_LANES : high;
    find_meet(s, &c, low, first, -1, o->chi2_max);
    find_meet(s, &c, first, behind, 0, o->chi2_max);
    find_meet(s, &c, behind, high, 1, o->chi2_max);
    memcpy(s->parent + first, c.parent, sizeof c.parent);
}

/* Steps 1 to 3. Both ends of what places in a row can reach only move upwards, some places at a time; they wait in `begin` and `end`
 * for the second round. Behind the last track stand some that fill its vectors. */
STOA_DEVICE void find_parents(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    uint32_t low = 0, high = 0;
    for (uint32_t i = rows; i < rows + FIND_LANES; i++) {
        s->z[i] = HUGE_VALF;
        s->e[i] = 1.0f;
    }
    for (uint32_t i = 0, k = 0; i < rows; i += FIND_LANES, k++) {
        const float last = s->z[i + FIND_LANES < rows ? i + FIND_LANES - 1 : rows - 1];
        while (s->z[i] - s->z[low + FIND_STEP - 1] > o->eps) low += FIND_STEP;
        while (high < rows && s->z[high] - last <= o->eps) high += FIND_STEP;
        s->begin[k] = low;
        s->end[k] = high < rows ? high : rows;
        find_neighbours(s, i, low, s->end[k], o);
    }
    for (uint32_t i = 0, k = 0; i < rows; i += FIND_LANES, k++) find_above(s, i, s->begin[k], s->end[k], o);
}

/* Step 4. A label is the place of a track above, or, once there is one, the complement of the vertex's number plus one. A round
 * halves the way that is left at least; in the order of a chain, it ends it. */
STOA_DEVICE int32_t *find_labels(const find_space *s, uint32_t rows, const int32_t *number)
{
    int32_t *label = (int32_t *)s->parent;
    int32_t all = 0;
    for (uint32_t i = 0; i < rows; i++) {
        const int32_t is_top = -(int32_t)(s->parent[i] == i), above = label[s->parent[i]];
        label[i] = (is_top & (FIND_NOISE - 1 - number[s->order[i]])) | (~is_top & above);
    }
    for (uint32_t round = 1; all >= 0; round++) {
        all = -1;
        for (uint32_t k = 0; k < rows; k++) {
            const uint32_t i = round % 2 ? rows - 1 - k : k;
            const int32_t known = label[i] >> 31, next = label[((int32_t)i & known) | (label[i] & ~known)];
            label[i] = next;
            all &= next;
        }
    }
    return label;
}

/* Lists the tracks of each vertex: a counting sort, with the noise in front of vertex 0. Neighbours mostly share a vertex, and each
 * count would wait for the one before; so the lower and the upper half of the places, each with its own counts, take turns. */
STOA_DEVICE void find_members(const find_space *s, const int32_t *label, uint32_t rows, uint32_t vertices)
{
    uint32_t *lower = s->begin, *upper = s->end; /* of the noise, then of each vertex */
    const uint32_t half = (rows + 1) / 2;
    uint32_t sum = 0;
    for (uint32_t b = 0; b <= vertices; b++) lower[b] = upper[b] = 0;
    for (uint32_t i = 0; i < half; i++) {
        lower[~label[i]]++;
        if (half + i < rows) upper[~label[half + i]]++;
    }
    for (uint32_t b = 0; b <= vertices; b++) {
        const uint32_t count = lower[b];
        lower[b] = sum;
        sum += count + upper[b];
        upper[b] = lower[b] + count;
    }
    for (uint32_t i = 0; i < half; i++) {
        find_put(s, lower[~label[i]]++, i);
        if (half + i < rows) find_put(s, upper[~label[half + i]]++, half + i);
    }
    for (uint32_t v = 0; v < vertices; v++) { /* each upper slot now stands at its end, which is where the next vertex begins */
        s->begin[v] = upper[v];
        s->end[v] = upper[v + 1];
    }
}

#endif
