/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: a sample of few points, on the host. No tiles: all pairs, in vectors. Points are put in the order of their rho, so
 * that those above a point stand behind it: the search for the nearest begins there, of equal distances the last found wins, and tops are known
 * before those that lead to them. No step branches on what a point is, which in small samples costs more than the distances. */
#ifndef RECO_CLUE_FEW_H
#define RECO_CLUE_FEW_H

#include "reco/clustering/clue_pairs.h"
#include "reco/clustering/clue_tiles.h"

enum { CLUE_FEW_PLACES = CLUE_FEW_POINTS + RECO_LANES };

/* The points that count, in the order of the input and then in that of rho. */
typedef struct clue_few {
    float x[RECO_CLUE_DIMENSIONS_MAX][CLUE_FEW_PLACES], w[CLUE_FEW_PLACES], rho[CLUE_FEW_PLACES];
    float sorted_x[RECO_CLUE_DIMENSIONS_MAX][CLUE_FEW_PLACES], sorted_rho[CLUE_FEW_PLACES];
    int32_t source[CLUE_FEW_PLACES], sorted_source[CLUE_FEW_PLACES]; /* of the sample's points */
    int32_t rank[CLUE_FEW_PLACES];      /* place in the order of rho */
    int32_t after[CLUE_FEW_PLACES];     /* first place there that is above */
    int32_t above[CLUE_FEW_PLACES];     /* place there, or CLUE_OUTLIER */
    uint32_t count;
} clue_few;

/* Points with a coordinate that is not finite are left out, and in no cluster. */
STOA_DEVICE void clue_few_drop(const reco_clue *args, clue_few *f, uint32_t first, uint32_t n)
{
    const reco_clue_options *o = &args->options;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        int finite = fabsf(f->w[i]) <= FLT_MAX;
        for (uint32_t k = 0; k < o->dimensions; k++) finite &= fabsf(args->coordinate[k][first + i] * clue_scale(o, k)) <= FLT_MAX;
        for (uint32_t k = 0; k < o->dimensions; k++) f->x[k][count] = f->x[k][i];
        f->w[count] = f->w[i];
        f->source[count] = (int32_t)i;
        args->cluster_of[first + i] = -1;
        count += (uint32_t)finite;
    }
    f->count = count;
}

STOA_DEVICE void clue_few_load(const reco_clue *args, const clue_space *s, clue_few *f, uint32_t first, uint32_t n)
{
    const reco_clue_options *o = &args->options;
    int32_t odd = 0;
    for (uint32_t k = 0; k < o->dimensions; k++) {
        const float *x = args->coordinate[k] + first, scale = clue_scale(o, k), turn = s->turn[k];
        for (uint32_t i = 0; i < n; i++) {
            f->x[k][i] = x[i] * scale;
            odd |= !(fabsf(f->x[k][i]) <= FLT_MAX);
        }
        if (o->period[k] > 0.0f)
            for (uint32_t i = 0; i < n; i++) f->x[k][i] -= turn * rintf(f->x[k][i] / turn);
    }
    for (uint32_t i = 0; i < n; i++) {
        f->w[i] = args->weight[first + i];
        f->source[i] = (int32_t)i;
        odd |= !(fabsf(f->w[i]) <= FLT_MAX);
    }
    f->count = n;
    if (odd) clue_few_drop(args, f, first, n);
    /* Lanes behind the last point take part in the loops, and nothing uses what they find. */
    for (uint32_t l = f->count; l < f->count + RECO_LANES; l++) {
        for (uint32_t k = 0; k < o->dimensions; k++) f->x[k][l] = f->sorted_x[k][l] = 0.0f;
        f->w[l] = f->rho[l] = f->sorted_rho[l] = 0.0f;
    }
}

STOA_DEVICE void clue_few_densities(const clue_space *s, clue_form form, clue_few *f, float amplitude)
{
    const clue_range all = {0, f->count};
    for (uint32_t from = 0; from < f->count; from += RECO_LANES) {
        lane_floats at[RECO_CLUE_DIMENSIONS_MAX], sum, own;
        for (uint32_t k = 0; k < form.dimensions; k++) memcpy(&at[k], &f->x[k][from], sizeof *at);
        clue_sum(s, form, at, &all, 1, &sum);
        memcpy(&own, f->w + from, sizeof own);
        sum = amplitude * sum + (1.0f - amplitude) * own; /* the point's own weight counts in full */
        memcpy(f->rho + from, &sum, sizeof sum);
    }
}

/* Floats as integers of the same order, so that not even NaN shares a place. */
STOA_DEVICE int32_t clue_order(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
}

STOA_DEVICE void clue_few_sort(clue_few *f, uint32_t dimensions)
{
    static const int32_t lanes[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int32_t order[CLUE_FEW_PLACES];
    const uint32_t n = f->count;
    lane_ints lane;
    memcpy(&lane, lanes, sizeof lane);
    for (uint32_t i = 0; i < n + RECO_LANES; i++) order[i] = clue_order(f->rho[i]);
    for (uint32_t from = 0; from < n; from += RECO_LANES) {
        lane_ints own, rank = {0};
        memcpy(&own, order + from, sizeof own);
        for (uint32_t j = 0; j < from; j++) rank -= order[j] <= own;
        for (uint32_t j = from; j < n && j < from + RECO_LANES; j++)
            rank -= (order[j] < own) | ((order[j] == own) & ((int32_t)(j - from) < lane));
        for (uint32_t j = from + RECO_LANES; j < n; j++) rank -= order[j] < own;
        memcpy(f->rank + from, &rank, sizeof rank);
    }
    for (uint32_t i = 0; i < n; i++) {
        const int32_t to = f->rank[i];
        for (uint32_t k = 0; k < dimensions; k++) f->sorted_x[k][to] = f->x[k][i];
        f->sorted_rho[to] = f->rho[i];
        f->sorted_source[to] = f->source[i];
    }
    for (uint32_t i = 0; i < n + RECO_LANES; i++) f->after[i] = (int32_t)i + 1;
    for (uint32_t i = n; i-- > 0;) /* at no density above 0 equal ones are not above each other */
        if (i + 1 < n && !(f->sorted_rho[i] > 0.0f) && !(f->sorted_rho[i + 1] > f->sorted_rho[i])) f->after[i] = f->after[i + 1];
}

STOA_DEVICE void clue_few_climb(const clue_space *s, clue_form form, clue_few *f, float density_min)
{
    for (uint32_t from = 0; from < f->count; from += RECO_LANES) {
        lane_floats at[RECO_CLUE_DIMENSIONS_MAX], rho, reach = s->outlier_reach + (lane_floats){0};
        lane_ints after, above = CLUE_OUTLIER + (lane_ints){0};
        for (uint32_t k = 0; k < form.dimensions; k++) memcpy(&at[k], &f->sorted_x[k][from], sizeof *at);
        memcpy(&rho, f->sorted_rho + from, sizeof rho);
        memcpy(&after, f->after + from, sizeof after);
        const lane_ints dense = rho >= density_min;
        LANES_SET(reach, dense, s->seeding_reach + (lane_floats){0});
        lane_floats best = reach;
        if (form.metric == RECO_CLUE_BOX) best = HUGE_VALF + (lane_floats){0};
        for (uint32_t j = from + 1; j < f->count; j++) {
            clue_distance d;
            clue_measure(s, form, at, j, &d);
            lane_ints take = (after <= (int32_t)j) & (d.rank <= best);
            if (form.metric == RECO_CLUE_BOX) take &= d.size <= reach;
            LANES_SET(best, take, d.rank);
            LANES_SET(above, take, (int32_t)j + (lane_ints){0});
        }
        memcpy(f->above + from, &above, sizeof above);
    }
}

/* Seed, or -1, of each point into cluster_of; numbers of seeds and members. */
STOA_DEVICE void clue_few_tops(const reco_clue *args, clue_few *f, uint32_t first, uint32_t *seeds, uint32_t *members)
{
    int32_t top[CLUE_FEW_PLACES + 1], *const of = top + 1; /* of[CLUE_OUTLIER] is for those that nobody is above */
    for (uint32_t i = f->count; i-- > 0;) {
        const int32_t is_top = -(f->above[i] == CLUE_OUTLIER), is_seed = is_top & -(f->sorted_rho[i] >= args->options.density_min);
        const int32_t point = (int32_t)first + f->sorted_source[i];
        of[CLUE_OUTLIER] = (point & is_seed) | ~is_seed;
        of[i] = of[f->above[i]];
        args->cluster_of[point] = of[i];
        *seeds += (uint32_t)-is_seed;
        *members += of[i] >= 0;
    }
}

RECO_VECTOR_LEVELS void clue_few_points(const reco_clue *args, const clue_space *space, uint32_t first, uint32_t n, uint32_t *seeds,
                                        uint32_t *members)
{
    const reco_clue_options *o = &args->options;
    clue_few f;
    clue_space s = *space;
    clue_few_load(args, space, &f, first, n);
    s.stride = CLUE_FEW_PLACES;
    s.x = f.x[0];
    s.w = f.w;
    CLUE_WITH_FORM(&s, clue_few_densities, &f, o->kernel_amplitude);
    if (args->density)
        for (uint32_t i = 0; i < f.count; i++) args->density[first + (uint32_t)f.source[i]] = f.rho[i];
    clue_few_sort(&f, o->dimensions);
    s.x = f.sorted_x[0];
    CLUE_WITH_FORM(&s, clue_few_climb, &f, o->density_min);
    clue_few_tops(args, &f, first, seeds, members);
}

#endif
