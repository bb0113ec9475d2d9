/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the search of density.c by the workers of a block, with the bits of one worker's. Tracks are shared out by place,
 * vertices by number: who has a vertex adds up its tracks alone, in the order in which one worker meets them. */
#ifndef RECO_VERTEXING_DENSITY_BLOCK_H
#define RECO_VERTEXING_DENSITY_BLOCK_H

#include "reco/vertexing/density_steps.h"

/* Of each vertex, the first and the last place where its tracks can be. In scratch, when nothing else is. */
typedef struct find_spans {
    uint32_t *first, *last, quarter;
} find_spans;

/* Visit the tracks of vertex v, in the order of find_spread: of places in several quarters one of each in turn. */
#define FIND_TRACKS_OF(i, v, s, spans) \
    for (uint32_t first_ = (spans)->first[v], last_ = (spans)->last[v], quarter_ = (spans)->quarter, \
                  lines_ = first_ / quarter_ != last_ / quarter_, base_ = first_ - first_ % quarter_, \
                  rest_ = lines_ ? 0 : first_ % quarter_, end_ = lines_ ? quarter_ : last_ % quarter_ + 1; \
         rest_ < end_; rest_++) \
        for (uint32_t i = base_ + rest_; i <= last_; i += quarter_) \
            if ((s)->vertex[i] == (int32_t)(v))

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

/* Step 4. Returns the vertices kept. */
STOA_DEVICE uint32_t find_tops_together(const find_space *s, const reco_vertex_find *args, uint32_t rows, stoa_grid grid)
{
    int32_t *number = (int32_t *)s->scratch;
    const uint32_t limit = find_limit(args);
    uint32_t tops = 0;
    STOA_FOR (i, grid, rows) number[s->order[i]] = find_is_top(s, i, &args->options);
    STOA_BARRIER();
    for (uint32_t at = 0; at < rows; at += grid.size) {
        const uint32_t r = at + grid.index, top = r < rows && number[r];
        uint32_t found;
        const uint32_t mine = tops + stoa_block_scan(grid, top, &found);
        if (r < rows) number[r] = top && mine < limit ? (int32_t)mine : FIND_NOISE;
        tops += found;
    }
    STOA_BARRIER();
    STOA_FOR (i, grid, rows) {
        uint32_t top = i;
        while (s->parent[top] != top) top = s->parent[top];
        s->vertex[i] = number[s->order[top]];
    }
    STOA_BARRIER();
    if (grid.index == 0 && args->top_count) *args->top_count = tops;
    return tops < limit ? tops : limit;
}

STOA_DEVICE find_spans find_span(const find_space *s, uint32_t stride, uint32_t rows, uint32_t vertices, stoa_grid grid)
{
    const find_spans spans = {s->scratch, s->scratch + stride, (rows + 3) / 4};
    STOA_FOR (v, grid, vertices) {
        spans.first[v] = rows;
        spans.last[v] = 0;
    }
    STOA_BARRIER();
    STOA_FOR (i, grid, rows) {
        const int32_t v = s->vertex[i];
        if (v < 0) continue;
        STOA_ATOMIC_MIN(&spans.first[v], i);
        STOA_ATOMIC_MAX(&spans.last[v], i);
    }
    STOA_BARRIER();
    return spans;
}

/* Step 5 for one vertex. */
STOA_DEVICE void find_fit_of(const find_space *s, const reco_vertex_find *args, const find_spans *spans, uint32_t v, float chi2_max)
{
    float z = 0.0f, w = 0.0f, chi2 = 0.0f;
    int32_t ndof = -1;
    FIND_TRACKS_OF (i, v, s, spans) {
        z += s->z[i] * s->w[i];
        w += s->w[i];
    }
    z = w > 0.0f ? z / w : 0.0f;
    FIND_TRACKS_OF (i, v, s, spans) {
        const float d = z - s->z[i], c = d * (d * s->w[i]);
        if (c > chi2_max) {
            s->vertex[i] = FIND_DROPPED;
            continue;
        }
        chi2 += c;
        ndof++;
    }
    find_write(args, v, z, w, chi2, ndof);
}

STOA_DEVICE void find_fit_together(const find_space *s, const reco_vertex_find *args, const find_spans *spans, uint32_t vertices,
                                   float chi2_max, stoa_grid grid)
{
    STOA_FOR (v, grid, vertices) find_fit_of(s, args, spans, v, chi2_max);
    STOA_BARRIER();
}

/* Step 6: each vertex lists its tracks in z order behind those of the vertices before, and parts them there. Returns the vertices
 * there are now. */
STOA_DEVICE uint32_t find_split_together(const find_space *s, const reco_vertex_find *args, const find_spans *spans, uint32_t vertices,
                                         stoa_grid grid)
{
    const uint32_t limit = find_limit(args), found = vertices;
    uint32_t listed = 0;
    for (uint32_t at = 0; at < found; at += grid.size) {
        const uint32_t v = at + grid.index;
        const uint32_t n = v < found ? (uint32_t)(args->tracks.ndof[v] + 1) : 0;
        uint32_t all, parted;
        const uint32_t first = listed + stoa_block_scan(grid, n, &all);
        uint32_t *member = s->member + first, apart = 0;
        int32_t *part = s->part + first;
        if (n > 0 && find_is_wide(args, v)) {
            uint32_t k = 0;
            for (uint32_t i = spans->first[v]; i <= spans->last[v]; i++)
                if (s->vertex[i] == (int32_t)v) member[k++] = i;
            apart = (uint32_t)find_two_means(s, member, part, n, args->vertices.zv[v], &args->options);
        }
        const uint32_t number = vertices + stoa_block_scan(grid, apart, &parted);
        if (apart && number < limit)
            for (uint32_t k = 0; k < n; k++)
                if (part[k]) s->vertex[member[k]] = (int32_t)number;
        listed += all;
        vertices += parted;
    }
    STOA_BARRIER();
    return vertices < limit ? vertices : limit;
}

/* Steps 1 to 7 over the tracks in z order. */
STOA_DEVICE void find_together(const find_space *s, const reco_vertex_find *args, uint32_t rows, stoa_grid grid)
{
    const uint32_t stride = (uint32_t)find_stride(args->in.capacity);
    const reco_vertex_options *o = &args->options;
    STOA_BARRIER();
    STOA_FOR (i, grid, rows) {
        s->w[i] = 1.0f / s->e[i];
        s->nn[i] = find_count_near(s, i, rows, o);
    }
    STOA_BARRIER();
    STOA_FOR (i, grid, rows) s->parent[i] = find_above(s, i, rows, o);
    STOA_BARRIER();
    uint32_t vertices = find_tops_together(s, args, rows, grid);
    find_spans spans = find_span(s, stride, rows, vertices, grid);
    find_fit_together(s, args, &spans, vertices, o->fit_chi2_max, grid);
    if (o->split) {
        vertices = find_split_together(s, args, &spans, vertices, grid);
        spans = find_span(s, stride, rows, vertices, grid);
        find_fit_together(s, args, &spans, vertices, FIND_REFIT_CHI2_MAX, grid);
    }
    STOA_FOR (v, grid, vertices) {
        float sum = 0.0f;
        FIND_TRACKS_OF (i, v, s, &spans) sum += args->in.pt2[s->source[s->order[i]]];
        args->vertices.ptv2[v] = sum;
    }
    STOA_FOR (i, grid, rows) (void)find_assign(s, args, i);
    if (grid.index == 0) *args->vertices.nvFinal = vertices;
}

#endif
