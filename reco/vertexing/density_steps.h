/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: what one worker (density_alone.h) and a block of them (density_block.h) share: the workspace, and the steps of
 * density.h from the tops on. A vertex is one worker's, who adds up its tracks by rising z: both agree to the bit. */
#ifndef RECO_VERTEXING_DENSITY_STEPS_H
#define RECO_VERTEXING_DENSITY_STEPS_H

#include "reco/vertexing/collect.h"

enum { FIND_ARRAYS = 14, FIND_VERTICES_MAX = 32767 };
enum { FIND_NOISE = -1 };
#define FIND_REFIT_CHI2_MAX 5000.0f

/* The workspace: arrays of `in.capacity` 4-byte elements. Below, "place" is a track's place in z order. */
typedef struct find_space {
    uint32_t *count;                    /* [1] tracks that pass the test for finite values */
    float *key;                         /* their z, in input order */
    uint32_t *source;                   /* and where they stand in the input */
    uint32_t *order, *scratch;          /* of the sort; scratch is [2 * capacity] */
    float *z, *e, *w;                   /* by place: position, squared error, 1/e */
    int32_t *nn;                        /* by place: neighbours */
    uint32_t *parent;                   /* by place: place of the closest above, then of the top */
    int32_t *vertex;                    /* by place: vertex or FIND_NOISE */
    int32_t *number;                    /* by row of `key`: vertex of a top, or FIND_NOISE */
    uint32_t *begin, *end;              /* of each vertex's tracks in `member` */
    uint32_t *member;                   /* places, vertex by vertex, by rising z in each */
    /* Of these places once more, where the sort is done with its memory: */
    float *member_z, *member_w;
    int32_t *part;                      /* in a split */
} find_space;

/* What arrays have to spare is for the bin of the noise and the ends of the lanes. */
STOA_DEVICE find_space find_layout(void *workspace, uint32_t capacity)
{
    const size_t n = vertex_stride(capacity);
    uint32_t *base = (uint32_t *)workspace;
    find_space s;
    s.count = base;
    base += VERTEX_PAD;
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
    s.begin = base + 11 * n;
    s.end = base + 12 * n;
    s.member = base + 13 * n;
    s.number = (int32_t *)s.scratch;
    s.member_z = (float *)s.scratch;
    s.member_w = (float *)(s.scratch + n);
    s.part = (int32_t *)s.key;
    return s;
}

STOA_DEVICE uint32_t find_limit(const reco_vertex_find *args)
{
    uint32_t limit = args->vertices.head.rows;
    if (limit > args->tracks.head.rows) limit = args->tracks.head.rows; /* ndof lies there */
    return limit < FIND_VERTICES_MAX ? limit : FIND_VERTICES_MAX;
}

/* For all workers. Step 4: tops are numbered in input order, so the numbers go by input row. Returns the vertices kept. */
STOA_DEVICE uint32_t find_tops(const find_space *s, const reco_vertex_find *args, uint32_t rows, stoa_grid grid)
{
    int32_t *number = s->number;
    const uint32_t limit = find_limit(args);
    const uint32_t least = args->options.neighbours_min;
    uint32_t tops = 0;
    STOA_FOR (i, grid, rows) number[s->order[i]] = (s->parent[i] == i) & ((uint32_t)s->nn[i] >= least);
    STOA_BARRIER();
    for (uint32_t at = 0; at < rows; at += grid.size) {
        const uint32_t r = at + grid.index, top = r < rows ? (uint32_t)number[r] : 0;
        uint32_t found;
        const uint32_t mine = tops + stoa_block_scan(grid, top, &found);
        if (r < rows) number[r] = (int32_t)(mine | ((top & (mine < limit)) - 1)); /* FIND_NOISE has all bits */
        tops += found;
    }
    STOA_BARRIER();
    if (grid.index == 0 && args->top_count) *args->top_count = tops;
    return tops < limit ? tops : limit;
}

/* The track at `place` becomes the k-th member. */
STOA_DEVICE void find_put(const find_space *s, uint32_t k, uint32_t place)
{
    s->member[k] = place;
    s->member_z[k] = s->z[place];
    s->member_w[k] = s->w[place];
}

/* Moves what `part` marks behind the others of [begin, end), both in order. Returns where it begins. */
STOA_DEVICE uint32_t find_partition(const find_space *s, uint32_t begin, uint32_t end)
{
    uint32_t *spare = s->parent + begin; /* done with */
    uint32_t lower = begin, upper = 0;
    for (uint32_t k = begin; k < end; k++) {
        const uint32_t place = s->member[k];
        if (s->part[k]) spare[upper++] = place;
        else find_put(s, lower++, place);
    }
    for (uint32_t k = 0; k < upper; k++) find_put(s, lower + k, spare[k]);
    return lower;
}

/* Of the k-th of the members, to a vertex at z. */
STOA_DEVICE float find_chi2(const find_space *s, uint32_t k, float z)
{
    const float d = z - s->member_z[k];
    return d * (d * s->member_w[k]);
}

/* Step 5 for one vertex: z 0, weight 0, ndof -1 where no track stays. Whether some are dropped. */
STOA_DEVICE int find_fit(const find_space *s, const reco_vertex_find *args, uint32_t v, float chi2_max)
{
    const uint32_t begin = s->begin[v], end = s->end[v];
    float sum = 0.0f, weight = 0.0f, chi2 = 0.0f;
    int32_t ndof = -1;
    for (uint32_t k = begin; k < end; k++) {
        sum += s->member_z[k] * s->member_w[k];
        weight += s->member_w[k];
    }
    const float z = weight > 0.0f ? sum / weight : 0.0f;
    for (uint32_t k = begin; k < end; k++) {
        const float c = find_chi2(s, k, z);
        const int drop = c > chi2_max;
        chi2 += drop ? 0.0f : c;
        ndof += !drop;
    }
    args->vertices.zv[v] = z;
    args->vertices.wv[v] = ndof > 0 && chi2 > 0.0f ? weight * ((float)ndof / chi2) : weight;
    args->vertices.chi2[v] = chi2;
    args->tracks.ndof[v] = ndof;
    if ((uint32_t)(ndof + 1) == end - begin) return 0;
    for (uint32_t k = begin; k < end; k++) s->part[k] = find_chi2(s, k, z) > chi2_max;
    s->end[v] = find_partition(s, begin, end);
    return 1;
}

/* Two means of one vertex. Leaves the parts in `part`; true when they are apart enough. */
STOA_DEVICE int find_two_means(const find_space *s, uint32_t begin, uint32_t end, float center, const reco_vertex_options *o)
{
    float mean[2] = {0.0f, 0.0f}, weight[2] = {0.0f, 0.0f};
    uint32_t upper = 0, changed = 1;
    for (uint32_t k = begin; k < end; k++) s->part[k] = !(s->member_z[k] - center < 0.0f);
    for (uint32_t round = 0; changed && round < o->split_rounds; round++) {
        mean[0] = mean[1] = weight[0] = weight[1] = 0.0f;
        for (uint32_t k = begin; k < end; k++) {
            mean[s->part[k]] += (s->member_z[k] - center) * s->member_w[k];
            weight[s->part[k]] += s->member_w[k];
        }
        if (!(weight[0] > 0.0f) || !(weight[1] > 0.0f)) return 0;
        mean[0] /= weight[0];
        mean[1] /= weight[1];
        changed = upper = 0;
        for (uint32_t k = begin; k < end; k++) {
            const float z = s->member_z[k] - center;
            const int32_t part = !(fabsf(z - mean[0]) < fabsf(z - mean[1]));
            changed |= part != s->part[k];
            s->part[k] = part;
            upper += (uint32_t)part;
        }
    }
    const float distance = mean[0] - mean[1];
    if (upper == 0 || upper == end - begin) return 0;
    return distance * distance >= o->split_distance2 * (1.0f / weight[0] + 1.0f / weight[1]);
}

/* Step 6 for one vertex: whether it is wide and in two parts, which `part` then tells. */
STOA_DEVICE int find_is_double(const find_space *s, const reco_vertex_find *args, uint32_t v)
{
    const reco_vertex_options *o = &args->options;
    const int32_t ndof = args->tracks.ndof[v];
    if (ndof < 4 || (uint32_t)ndof >= o->split_ndof_end) return 0;
    if (!(args->vertices.chi2[v] >= o->split_chi2 * (float)ndof)) return 0;
    return find_two_means(s, s->begin[v], s->end[v], args->vertices.zv[v], o);
}

/* The upper part of vertex v becomes vertex `upper`. */
STOA_DEVICE void find_divide(const find_space *s, uint32_t v, uint32_t upper)
{
    s->end[upper] = s->end[v];
    s->begin[upper] = s->end[v] = find_partition(s, s->begin[v], s->end[v]);
}

/* For all workers. Steps 5 to 7: fit, split, and fit again what has other tracks than before or a narrower limit; the others would
 * fit alike. Returns the vertices there are now. */
STOA_DEVICE uint32_t find_fit_all(const find_space *s, const reco_vertex_find *args, uint32_t found, stoa_grid grid)
{
    const reco_vertex_options *o = &args->options;
    const uint32_t limit = find_limit(args);
    uint32_t vertices = found;
    for (uint32_t at = 0; at < found; at += grid.size) {
        const uint32_t v = at + grid.index;
        const int dropped = v < found && find_fit(s, args, v, o->fit_chi2_max);
        int again = v < found && (dropped || o->fit_chi2_max > FIND_REFIT_CHI2_MAX);
        const uint32_t is_double = v < found && o->split && vertices < limit && find_is_double(s, args, v);
        uint32_t parted;
        const uint32_t upper = vertices + stoa_block_scan(grid, is_double, &parted);
        if (is_double && upper < limit) {
            find_divide(s, v, upper);
            (void)find_fit(s, args, upper, FIND_REFIT_CHI2_MAX);
            again = 1;
        }
        if (again && o->split) (void)find_fit(s, args, v, FIND_REFIT_CHI2_MAX);
        vertices += parted;
    }
    STOA_BARRIER();
    return vertices < limit ? vertices : limit;
}

/* For all workers. Step 7 behind the fit, and the vertex of each track. */
STOA_DEVICE void find_output(const find_space *s, const reco_vertex_find *args, uint32_t vertices, stoa_grid grid)
{
    const reco_vertex_input *in = &args->in;
    STOA_FOR (v, grid, vertices) {
        float sum = 0.0f;
        for (uint32_t k = s->begin[v]; k < s->end[v]; k++) {
            const uint32_t source = s->source[s->order[s->member[k]]];
            sum += in->pt2[source];
            args->tracks.idv[in->row ? in->row[source] : source] = (int16_t)v;
        }
        args->vertices.ptv2[v] = sum;
    }
    if (grid.index == 0) *args->vertices.nvFinal = vertices;
}

#endif
