/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the search of density.c by one worker, in vector code where that pays. */
#ifndef RECO_VERTEXING_DENSITY_ALONE_H
#define RECO_VERTEXING_DENSITY_ALONE_H

#include "reco/vector_levels.h"
#include "reco/vertexing/density_steps.h"

#include <string.h>

enum { FIND_LANES = 16 };

/* Step 1, for FIND_LANES tracks over the places that one of them can reach. The lanes are independent, so the
 * compiler puts them into vector registers; there is no branch but the loop's. */
RECO_VECTOR_LEVELS void find_neighbours_of(const find_space *s, const uint32_t *seed, uint32_t low, uint32_t high, float eps,
                                           float chi2_max)
{
    const float *zs = s->z + low, *es = s->e + low;
    const uint32_t quads = (high - low + 3) / 4; /* whole vectors: the surplus is out of reach, or padding */
    float z[FIND_LANES], e[FIND_LANES];
    int32_t count[FIND_LANES];
    for (int l = 0; l < FIND_LANES; l++) {
        z[l] = s->z[seed[l]];
        e[l] = s->e[seed[l]];
        count[l] = -1; /* itself */
    }
    for (uint32_t j = 0; j < 4 * quads; j++) {
        const float zj = zs[j], ej = es[j];
        for (int l = 0; l < FIND_LANES; l++) {
            const float d = zj - z[l];
            count[l] += (fabsf(d) <= eps) & (d * d <= chi2_max * (e[l] + ej));
        }
    }
    for (int l = 0; l < FIND_LANES; l++) s->nn[seed[l]] = count[l];
}

/* Step 1. Only seeds, the tracks of small error, count. Two fingers move with their blocks and find what is
 * in reach. */
STOA_DEVICE void find_neighbours(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    const float error2_max = o->error_max * o->error_max;
    uint32_t *seed = s->member, seeds = 0, low = 0, high = 0;
    for (uint32_t i = 0; i < rows; i++) {
        seed[seeds] = i;
        seeds += s->e[i] <= error2_max;
        s->nn[i] = 0;
    }
    if (seeds == 0) return;
    const uint32_t last = seed[seeds - 1];
    for (uint32_t l = 0; l < FIND_LANES; l++) {
        seed[seeds + l] = last; /* fills the last block: counted again, to the same result */
        s->z[rows + l] = HUGE_VALF;
        s->e[rows + l] = 1.0f;
    }
    for (uint32_t k = 0; k < seeds; k += FIND_LANES) {
        const float first_z = s->z[seed[k]], last_z = s->z[seed[k + FIND_LANES - 1]];
        while (first_z - s->z[low] > o->eps) low++;
        while (high < rows && s->z[high] - last_z <= o->eps) high++;
        find_neighbours_of(s, seed + k, low, high, o->eps, o->chi2_max);
    }
}

/* Step 4. Tops are numbered in input order, so `number` goes by input row. Returns the vertices kept. */
STOA_DEVICE uint32_t find_tops(const find_space *s, const reco_vertex_find *args, uint32_t rows)
{
    int32_t *number = (int32_t *)s->scratch;
    const uint32_t limit = find_limit(args);
    uint32_t tops = 0;
    for (uint32_t r = 0; r < rows; r++) number[r] = FIND_NOISE;
    for (uint32_t i = 0; i < rows; i++)
        if (find_is_top(s, i, &args->options)) number[s->order[i]] = 0;
    for (uint32_t r = 0; r < rows; r++) {
        if (number[r] == FIND_NOISE) continue;
        number[r] = tops < limit ? (int32_t)tops : FIND_NOISE;
        tops++;
    }
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t top = i;
        while (s->parent[top] != top) { /* halving the path: long chains are not walked again and again */
            s->parent[top] = s->parent[s->parent[top]];
            top = s->parent[top];
        }
        s->vertex[i] = number[s->order[top]];
    }
    if (args->top_count) *args->top_count = tops;
    return tops < limit ? tops : limit;
}

/* Sums by vertex. Noise and dropped tracks have the entries -1 and -2, so that no loop needs a branch for
 * them. */
typedef struct find_sums {
    float *z, *w, *chi2;
    int32_t *ndof;
} find_sums;

STOA_DEVICE find_sums find_sums_clear(const find_space *s, uint32_t stride, uint32_t vertices)
{
    const find_sums sums = {(float *)s->scratch + 2, (float *)s->scratch + stride + 2, (float *)s->member + 2, s->part + 2};
    for (int32_t v = -2; v < (int32_t)vertices; v++) {
        sums.z[v] = sums.w[v] = sums.chi2[v] = 0.0f;
        sums.ndof[v] = -1;
    }
    return sums;
}

/* Step 5. */
STOA_DEVICE void find_fit(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices, float chi2_max)
{
    const find_sums sums = find_sums_clear(s, (uint32_t)find_stride(args->in.capacity), vertices);
    const uint32_t quarter = (rows + 3) / 4;
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        sums.z[v] += s->z[i] * s->w[i];
        sums.w[v] += s->w[i];
    }
    for (int32_t v = -2; v < (int32_t)vertices; v++)
        sums.z[v] = sums.w[v] > 0.0f ? sums.z[v] / sums.w[v] : 0.0f; /* none left: z 0, weight 0, ndof -1 */
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        const float d = sums.z[v] - s->z[i], c = d * (d * s->w[i]);
        const int drop = c > chi2_max;
        s->vertex[i] = drop ? FIND_DROPPED : v;
        sums.chi2[v] += drop ? 0.0f : c;
        sums.ndof[v] += !drop;
    }
    for (uint32_t v = 0; v < vertices; v++) find_write(args, v, sums.z[v], sums.w[v], sums.chi2[v], sums.ndof[v]);
}

/* Step 7 behind the fit, and the vertex of each track. */
STOA_DEVICE void find_output(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices)
{
    const find_sums sums = find_sums_clear(s, (uint32_t)find_stride(args->in.capacity), vertices);
    const uint32_t quarter = (rows + 3) / 4;
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        sums.z[v] += args->in.pt2[find_assign(s, args, i)];
    }
    for (uint32_t v = 0; v < vertices; v++) args->vertices.ptv2[v] = sums.z[v];
    *args->vertices.nvFinal = vertices;
}

/* Lists the tracks of each vertex, in z order: members [first[v], first[v + 1]). */
STOA_DEVICE void find_members(const find_space *s, const int32_t *ndof, uint32_t rows, uint32_t vertices)
{
    uint32_t sum = 0;
    for (uint32_t v = 0; v < vertices; v++) {
        s->first[v] = sum;
        sum += (uint32_t)(ndof[v] + 1);
    }
    for (uint32_t i = 0; i < rows; i++)
        if (s->vertex[i] >= 0) s->member[s->first[s->vertex[i]]++] = i;
    for (uint32_t v = vertices; v > 0; v--) s->first[v] = s->first[v - 1]; /* each now stands at its end: shift back */
    s->first[0] = 0;
}

/* Step 6. Returns the vertices there are now. */
STOA_DEVICE uint32_t find_split(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices)
{
    const uint32_t limit = find_limit(args), found = vertices;
    int listed = 0;
    for (uint32_t v = 0; v < found && vertices < limit; v++) {
        if (!find_is_wide(args, v)) continue;
        if (!listed) find_members(s, args->tracks.ndof, rows, found);
        listed = 1;
        const uint32_t *member = s->member + s->first[v], n = s->first[v + 1] - s->first[v];
        if (!find_two_means(s, member, s->part, n, args->vertices.zv[v], &args->options)) continue;
        for (uint32_t k = 0; k < n; k++)
            if (s->part[k]) s->vertex[member[k]] = (int32_t)vertices;
        vertices++;
    }
    return vertices;
}

/* Steps 1 to 7 over the tracks in z order. */
STOA_DEVICE void find_alone(const find_space *s, const reco_vertex_find *args, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) s->w[i] = 1.0f / s->e[i];
    find_neighbours(s, rows, &args->options);
    for (uint32_t i = 0; i < rows; i++) s->parent[i] = find_above(s, i, rows, &args->options);
    uint32_t vertices = find_tops(s, args, rows);
    find_fit(s, args, rows, vertices, args->options.fit_chi2_max);
    if (args->options.split) {
        vertices = find_split(s, args, rows, vertices);
        find_fit(s, args, rows, vertices, FIND_REFIT_CHI2_MAX);
    }
    find_output(s, args, rows, vertices);
}

#endif
