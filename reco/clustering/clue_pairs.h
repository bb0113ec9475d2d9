/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: the loops over pairs. CLUE_LANES neighbouring places meet each place of the ranges in turn. The lanes do
 * not depend on each other, so the compiler puts them into vector registers, and every sum has the order of the places. */
#ifndef RECO_CLUE_PAIRS_H
#define RECO_CLUE_PAIRS_H

#include "reco/clustering/clue_space.h"
#include "reco/vector_levels.h"

#include <math.h>
#include <string.h>

/* Distances from place j to the lanes at `from` on: `size` is compared with the reach, `rank` tells which is nearer. Euclid's are squared. */
STOA_DEVICE void clue_measure(const clue_space *s, clue_form form, uint32_t from, uint32_t j, float *size, float *rank)
{
    for (int l = 0; l < CLUE_LANES; l++) size[l] = rank[l] = 0.0f;
    for (uint32_t k = 0; k < form.dimensions; k++) {
        const float *x = s->x + k * s->stride;
        const float to = x[j], turn = s->turn[k];
        for (int l = 0; l < CLUE_LANES; l++) {
            const float way = fabsf(to - x[from + (uint32_t)l]), back = turn - way;
            const float d = form.circle && back < way ? back : way;
            const float largest = d > size[l] ? d : size[l];
            size[l] = form.metric == RECO_CLUE_EUCLID ? size[l] + d * d : form.metric == RECO_CLUE_MANHATTAN ? size[l] + d : largest;
            rank[l] = form.metric == RECO_CLUE_BOX ? rank[l] + d * d : size[l];
        }
    }
}

/* exp(x) for x <= 0, within 2 units in the last place; 0 below -87. Inlined, so that it is a vector function too. */
STOA_DEVICE float clue_exp(float x)
{
    const float bounded = x > -87.0f ? x : -87.0f;
    const int32_t n = (int32_t)(bounded * 1.44269504f - 0.5f);
    const float r = (bounded - (float)n * 0.693359375f) + (float)n * 2.12194440e-4f; /* ln 2 in two parts */
    const float tail = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)));
    const float value = 1.0f + (r + r * r * (0.5f + r * (1.0f / 6 + r * tail)));
    const int32_t bits = (n + 127) * (1 << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return x > -87.0f ? value * power : 0.0f;
}

STOA_DEVICE float clue_shape(const clue_space *s, clue_form form, float size)
{
    if (form.kernel == RECO_CLUE_FLAT) return 1.0f;
    const int square = form.metric == RECO_CLUE_EUCLID;
    if (form.kernel == RECO_CLUE_GAUSSIAN) return clue_exp(s->rate * (square ? size : size * size));
    return clue_exp(s->rate * (square ? sqrtf(size) : size));
}

/* Step 1, up to the amplitude and with the point itself among the others. */
STOA_DEVICE void clue_sum(const clue_space *s, clue_form form, uint32_t from, const clue_range *ranges, uint32_t count, float *sum)
{
    float total[CLUE_LANES] = {0};
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t j = ranges[r].begin; j < ranges[r].end; j++) {
            float size[CLUE_LANES], rank[CLUE_LANES];
            clue_measure(s, form, from, j, size, rank);
            for (int l = 0; l < CLUE_LANES; l++)
                total[l] += size[l] <= s->density_reach ? s->w[j] * clue_shape(s, form, size[l]) : 0.0f;
        }
    memcpy(sum, total, sizeof total);
}

typedef struct clue_lanes {
    float reach[CLUE_LANES];
    uint32_t above[CLUE_LANES]; /* out: CLUE_OUTLIER for none */
} clue_lanes;

/* Step 2. At equal rho the later point is above where rho > 0; `later` is the point to be later than. */
STOA_DEVICE void clue_climb(const clue_space *s, clue_form form, uint32_t from, const clue_range *ranges, uint32_t count,
                            clue_lanes *lanes)
{
    float best[CLUE_LANES], best_rho[CLUE_LANES];
    uint32_t above[CLUE_LANES], later[CLUE_LANES];
    for (int l = 0; l < CLUE_LANES; l++) {
        best[l] = HUGE_VALF;
        best_rho[l] = 0.0f;
        above[l] = CLUE_OUTLIER;
        later[l] = s->rho[from + (uint32_t)l] > 0.0f ? s->source[from + (uint32_t)l] : UINT32_MAX;
    }
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t j = ranges[r].begin; j < ranges[r].end; j++) {
            float size[CLUE_LANES], rank[CLUE_LANES];
            const float rho = s->rho[j];
            const uint32_t point = s->source[j];
            clue_measure(s, form, from, j, size, rank);
            for (int l = 0; l < CLUE_LANES; l++) {
                const float own = s->rho[from + (uint32_t)l];
                const int higher = (rho > own) | ((rho >= own) & (point > later[l]));
                const int first = (rho > best_rho[l]) | ((rho >= best_rho[l]) & (point > above[l]));
                const int nearer = (rank[l] < best[l]) | ((rank[l] <= best[l]) & first);
                const int take = higher & nearer & (size[l] <= lanes->reach[l]);
                best[l] = take ? rank[l] : best[l];
                best_rho[l] = take ? rho : best_rho[l];
                above[l] = take ? point : above[l];
            }
        }
    memcpy(lanes->above, above, sizeof above);
}

/* The forms that are compiled with constants, and the general one. */
#define CLUE_WITH_FORM(form, function, ...)                                                                   \
    do {                                                                                                      \
        const clue_form flat_2d = {RECO_CLUE_EUCLID, 2, 0, RECO_CLUE_FLAT},                                   \
                        circle_2d = {RECO_CLUE_EUCLID, 2, 1, RECO_CLUE_FLAT},                                 \
                        flat_3d = {RECO_CLUE_EUCLID, 3, 0, RECO_CLUE_FLAT};                                   \
        if (memcmp(&(form), &flat_2d, sizeof(form)) == 0) function(s, flat_2d, __VA_ARGS__);                  \
        else if (memcmp(&(form), &circle_2d, sizeof(form)) == 0) function(s, circle_2d, __VA_ARGS__);         \
        else if (memcmp(&(form), &flat_3d, sizeof(form)) == 0) function(s, flat_3d, __VA_ARGS__);             \
        else function(s, form, __VA_ARGS__);                                                                  \
    } while (0)

RECO_VECTOR_LEVELS void clue_sum_any(const clue_space *s, uint32_t from, const clue_range *ranges, uint32_t count, float *sum)
{
    CLUE_WITH_FORM(s->form, clue_sum, from, ranges, count, sum);
}

RECO_VECTOR_LEVELS void clue_climb_any(const clue_space *s, uint32_t from, const clue_range *ranges, uint32_t count,
                                       clue_lanes *lanes)
{
    CLUE_WITH_FORM(s->form, clue_climb, from, ranges, count, lanes);
}

#endif
