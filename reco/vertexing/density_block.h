/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the search of density.c up to the lists of tracks, by the workers of a block: a worker has a place, then a vertex. */
#ifndef RECO_VERTEXING_DENSITY_BLOCK_H
#define RECO_VERTEXING_DENSITY_BLOCK_H

#include "reco/vertexing/density_steps.h"

/* Step 1. */
STOA_DEVICE int32_t find_count_near(const find_space *s, uint32_t i, uint32_t rows, const reco_vertex_options *o)
{
    const float z = s->z[i], e = s->e[i];
    int32_t count = 0;
    if (!(e <= o->error_max * o->error_max)) return 0;
    for (uint32_t j = i; j-- > 0 && z - s->z[j] <= o->eps;) {
        const float d = s->z[j] - z;
        count += d * d <= o->chi2_max * (e + s->e[j]);
    }
    for (uint32_t j = i + 1; j < rows && s->z[j] - z <= o->eps; j++) {
        const float d = s->z[j] - z;
        count += d * d <= o->chi2_max * (e + s->e[j]);
    }
    return count;
}

/* Steps 2 and 3 for the track at place i, outwards: the first compatible one above on the lower side is the closest there, and the
 * latest at its distance. On the upper side the walk ends behind the closest, so the last one taken is the latest too. */
STOA_DEVICE uint32_t find_closest_above(const find_space *s, uint32_t i, uint32_t rows, const reco_vertex_options *o)
{
    const float z = s->z[i], e = s->e[i];
    const int32_t nn = s->nn[i];
    float closest = o->eps;
    uint32_t parent = i;
    for (uint32_t j = i; j-- > 0;) {
        const float d = z - s->z[j];
        if (d > closest) break;
        if ((s->nn[j] >= nn) & (d * d <= o->chi2_max * (e + s->e[j]))) {
            closest = d;
            parent = j;
            break;
        }
    }
    for (uint32_t j = i + 1; j < rows; j++) {
        const float d = s->z[j] - z;
        if (d > closest) break;
        if ((s->nn[j] > nn) & (d * d <= o->chi2_max * (e + s->e[j]))) {
            closest = d;
            parent = j;
        }
    }
    return parent;
}

/* Step 4 for the track at place i. */
STOA_DEVICE int32_t find_vertex(const find_space *s, uint32_t i)
{
    uint32_t top = s->parent[i];
    while (s->parent[top] != top) top = s->parent[top];
    return s->number[s->order[top]];
}

/* The vertex of each track, and the tracks of each vertex: how many there are tells where its list begins, the first and the last place where to look. */
STOA_DEVICE void find_members_together(const find_space *s, uint32_t rows, uint32_t vertices, stoa_grid grid)
{
    uint32_t *first = s->parent, *last = s->end, *count = s->begin, listed = 0;
    STOA_FOR (i, grid, rows) s->vertex[i] = find_vertex(s, i);
    STOA_BARRIER();
    STOA_FOR (v, grid, vertices) {
        first[v] = rows;
        last[v] = count[v] = 0;
    }
    STOA_BARRIER();
    STOA_FOR (i, grid, rows) {
        const int32_t v = s->vertex[i];
        if (v < 0) continue;
        STOA_ATOMIC_MIN(&first[v], i);
        STOA_ATOMIC_MAX(&last[v], i);
        STOA_ATOMIC_ADD(&count[v], 1);
    }
    STOA_BARRIER();
    for (uint32_t at = 0; at < vertices; at += grid.size) {
        const uint32_t v = at + grid.index;
        uint32_t all;
        const uint32_t begin = listed + stoa_block_scan(grid, v < vertices ? count[v] : 0, &all);
        uint32_t k = begin;
        for (uint32_t i = v < vertices ? first[v] : 1, stop = v < vertices ? last[v] : 0; i <= stop; i++)
            if (s->vertex[i] == (int32_t)v) find_put(s, k++, i);
        if (v < vertices) {
            s->begin[v] = begin;
            s->end[v] = k;
        }
        listed += all;
    }
    STOA_BARRIER();
}

#endif
