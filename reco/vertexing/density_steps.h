/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: what one worker (density_alone.h) and a block of them (density_block.h) share: the workspace, and the steps of
 * density.h for one track or one vertex. Sums have one order in both, so that they agree to the bit. */
#ifndef RECO_VERTEXING_DENSITY_STEPS_H
#define RECO_VERTEXING_DENSITY_STEPS_H

#include "reco/vertexing/collect.h"

enum { FIND_ARRAYS = 14, FIND_VERTICES_MAX = 32767, FIND_PAD = 32 };
enum { FIND_NOISE = -1, FIND_DROPPED = -2 };
#define FIND_REFIT_CHI2_MAX 5000.0f

/* The workspace: arrays of `in.capacity` 4-byte elements. Below, "place" is a track's place in z order. */
typedef struct find_space {
    uint32_t *count;                    /* [1] tracks that pass the test for finite values */
    float *key;                         /* their z, in input order */
    uint32_t *source;                   /* and where they stand in the input */
    uint32_t *order, *scratch;          /* of the sort; scratch is [2 * capacity] */
    float *z, *e, *w;                   /* by place: position, squared error, 1/e */
    int32_t *nn;                        /* by place: neighbours */
    uint32_t *parent;                   /* by place: place of the closest above */
    int32_t *vertex;                    /* by place: vertex, FIND_NOISE or FIND_DROPPED */
    uint32_t *first, *member;           /* places of the tracks of each vertex */
    int32_t *part;                      /* of each member in a split */
} find_space;

/* Stride of the arrays: whole cache lines, with FIND_PAD elements to spare for the ends of `first` and of the
 * lanes. */
STOA_DEVICE size_t find_stride(uint32_t capacity) { return ((size_t)capacity + 2 * FIND_PAD - 1) / FIND_PAD * FIND_PAD; }

STOA_DEVICE find_space find_layout(void *workspace, uint32_t capacity)
{
    const size_t n = find_stride(capacity);
    uint32_t *base = (uint32_t *)workspace;
    find_space s;
    s.count = base;
    base += FIND_PAD;
    s.key = (float *)base;
    s.source = base + n;
    s.order = base + 2 * n;
    s.scratch = base + 3 * n; /* and 4 n */
    s.z = (float *)(base + 5 * n);
    s.e = (float *)(base + 6 * n);
    s.w = (float *)(base + 7 * n);
    s.nn = (int32_t *)(base + 8 * n);
    s.parent = base + 9 * n;
    s.vertex = (int32_t *)(base + 10 * n);
    s.first = base + 11 * n;
    s.member = base + 12 * n;
    s.part = (int32_t *)(base + 13 * n);
    return s;
}

STOA_DEVICE uint32_t find_limit(const reco_vertex_find *args)
{
    uint32_t limit = args->vertices.head.rows;
    if (limit > args->tracks.head.rows) limit = args->tracks.head.rows; /* ndof lies there */
    return limit < FIND_VERTICES_MAX ? limit : FIND_VERTICES_MAX;
}

/* Steps 2 and 3 for the track at place i, outwards: the first compatible one above on the lower side is the closest there, and the
 * latest at its distance. On the upper side the walk ends behind the closest, so the last one taken is the latest too. */
STOA_DEVICE uint32_t find_above(const find_space *s, uint32_t i, uint32_t rows, const reco_vertex_options *o)
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

/* Whether nothing is above the track at place i, and it has neighbours enough to be a vertex. */
STOA_DEVICE int find_is_top(const find_space *s, uint32_t i, const reco_vertex_options *o)
{ return s->parent[i] == i && s->nn[i] >= 0 && (uint32_t)s->nn[i] >= o->neighbours_min; }

/* Neighbours in z mostly share a vertex, and each addition would wait for the one before. So sums take the
 * tracks of four far places in turn: 0, q, 2 q, 3 q, 1, q + 1, ... for k = 0 to 4 q - 1. Places from `rows`
 * on are to be skipped. */
STOA_DEVICE uint32_t find_spread(uint32_t k, uint32_t quarter) { return (k & 3u) * quarter + (k >> 2); }

/* What the fit of vertex v left: z 0, weight 0, ndof -1 where no track stayed. */
STOA_DEVICE void find_write(const reco_vertex_find *args, uint32_t v, float z, float w, float chi2, int32_t ndof)
{
    args->vertices.zv[v] = z;
    args->vertices.wv[v] = ndof > 0 && chi2 > 0.0f ? w * ((float)ndof / chi2) : w;
    args->vertices.chi2[v] = chi2;
    args->tracks.ndof[v] = ndof;
}

/* Step 7 for the track at place i: its vertex. Returns where it stands in the input. */
STOA_DEVICE uint32_t find_assign(const find_space *s, const reco_vertex_find *args, uint32_t i)
{
    const uint32_t source = s->source[s->order[i]];
    const int32_t v = s->vertex[i];
    args->tracks.idv[args->in.row ? args->in.row[source] : source] = (int16_t)(v < 0 ? -1 : v);
    return source;
}

/* Whether step 6 looks at vertex v. */
STOA_DEVICE int find_is_wide(const reco_vertex_find *args, uint32_t v)
{
    const reco_vertex_options *o = &args->options;
    const int32_t ndof = args->tracks.ndof[v];
    return ndof >= 4 && (uint32_t)ndof < o->split_ndof_end && args->vertices.chi2[v] >= o->split_chi2 * (float)ndof;
}

/* Two means of one vertex. Leaves the parts in `part`; true when they are apart enough. */
STOA_DEVICE int find_two_means(const find_space *s, const uint32_t *member, int32_t *part, uint32_t n, float center,
                               const reco_vertex_options *o)
{
    float mean[2] = {0.0f, 0.0f}, weight[2] = {0.0f, 0.0f};
    uint32_t upper = 0, changed = 1;
    for (uint32_t k = 0; k < n; k++) part[k] = !(s->z[member[k]] - center < 0.0f);
    for (uint32_t round = 0; changed && round < o->split_rounds; round++) {
        mean[0] = mean[1] = weight[0] = weight[1] = 0.0f;
        for (uint32_t k = 0; k < n; k++) {
            const uint32_t i = member[k];
            mean[part[k]] += (s->z[i] - center) * s->w[i];
            weight[part[k]] += s->w[i];
        }
        if (!(weight[0] > 0.0f) || !(weight[1] > 0.0f)) return 0;
        mean[0] /= weight[0];
        mean[1] /= weight[1];
        changed = upper = 0;
        for (uint32_t k = 0; k < n; k++) {
            const float z = s->z[member[k]] - center;
            const int32_t side = !(fabsf(z - mean[0]) < fabsf(z - mean[1]));
            changed |= side != part[k];
            part[k] = side;
            upper += (uint32_t)side;
        }
    }
    const float distance = mean[0] - mean[1];
    if (upper == 0 || upper == n) return 0;
    return distance * distance >= o->split_distance2 * (1.0f / weight[0] + 1.0f / weight[1]);
}

#endif
