/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: the loops over pairs. RECO_LANES neighbouring places meet each place of the ranges in turn, so a sum has
 * the order of the places and needs no rearrangement. */
#ifndef RECO_CLUE_PAIRS_H
#define RECO_CLUE_PAIRS_H

#include "reco/lanes.h"
#include "reco/clustering/clue_space.h"
#include "reco/vector_levels.h"

/* Distances from one place to the lanes: `size` is compared with the reach, `rank` tells which is nearer. Euclid's are
 * squared. */
typedef struct clue_distance {
    lane_floats size, rank;
} clue_distance;

STOA_DEVICE void clue_measure(const clue_space *s, clue_form form, const lane_floats *at, uint32_t place, clue_distance *out)
{
    lane_floats sum = {0}, largest = {0};
    for (uint32_t k = 0; k < form.dimensions; k++) {
        lane_floats d = s->x[k * s->stride + place] - at[k];
        if (form.circle || form.metric != RECO_CLUE_EUCLID) d = LANES_SIZE(d);
        if (form.circle) {
            const lane_floats back = s->turn[k] - d;
            const lane_ints shorter = back < d;
            LANES_SET(d, shorter, back);
        }
        const lane_ints larger = d > largest;
        if (form.metric >= RECO_CLUE_CHEBYSHEV) LANES_SET(largest, larger, d);
        sum += form.metric == RECO_CLUE_MANHATTAN ? d : d * d;
    }
    out->size = form.metric >= RECO_CLUE_CHEBYSHEV ? largest : sum;
    out->rank = form.metric == RECO_CLUE_CHEBYSHEV ? largest : sum;
}

/* exp(x) for x <= 0 within a few units in the last place; 0 below -87. Inlined, so that it is a vector function. */
STOA_DEVICE void clue_exp(lane_floats *x)
{
    const lane_ints tiny = *x < -87.0f;
    LANES_SET(*x, tiny, (lane_floats){0});
    const lane_ints n = LANES_CONVERT(*x * 1.44269504f - 0.5f, lane_ints), bits = (n + 127) * (1 << 23);
    const lane_floats whole = LANES_CONVERT(n, lane_floats);
    const lane_floats r = (*x - whole * 0.693359375f) + whole * 2.12194440e-4f; /* ln 2 in two parts */
    const lane_floats tail = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)));
    lane_floats power;
    memcpy(&power, &bits, sizeof power);
    *x = power * (1.0f + (r + r * r * (0.5f + r * (1.0f / 6 + r * tail))));
    LANES_SET(*x, tiny, (lane_floats){0});
}

/* k(d) without the amplitude. */
STOA_DEVICE void clue_shape(const clue_space *s, clue_form form, lane_floats *size)
{
    const int is_square = form.metric == RECO_CLUE_EUCLID;
    if (form.kernel == RECO_CLUE_GAUSSIAN && !is_square) *size *= *size;
    if (form.kernel == RECO_CLUE_EXPONENTIAL && is_square) LANES_ROOT(*size);
    *size *= s->rate;
    clue_exp(size);
}

/* Step 1, up to the amplitude and with the point itself among the others. */
STOA_DEVICE void clue_sum(const clue_space *s, clue_form form, const lane_floats *at, const clue_range *ranges, uint32_t count,
                          lane_floats *sum)
{
    lane_floats total = {0};
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t j = ranges[r].begin; j < ranges[r].end; j++) {
            clue_distance d;
            clue_measure(s, form, at, j, &d);
            const lane_ints near = d.size <= s->density_reach;
            lane_floats more = {0}, whole = s->w[j] + (lane_floats){0};
            if (form.kernel != RECO_CLUE_FLAT) {
                clue_shape(s, form, &d.size);
                whole *= d.size;
            }
            LANES_SET(more, near, whole);
            total += more;
        }
    *sum = total;
}

/* What a climb starts from, and where it leads. `later` is the point that one of equal rho must be later than. */
typedef struct clue_climber {
    lane_floats rho, reach;
    lane_ints later, above; /* above: out, -1 for none */
} clue_climber;

/* Step 2. */
STOA_DEVICE void clue_climb(const clue_space *s, clue_form form, const lane_floats *at, const clue_range *ranges, uint32_t count,
                            clue_climber *climber)
{
    const lane_floats own = climber->rho, reach = climber->reach;
    const lane_ints later = climber->later;
    lane_floats best = HUGE_VALF + (lane_floats){0}, best_rho = {0};
    lane_ints above = -1 + (lane_ints){0};
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t j = ranges[r].begin; j < ranges[r].end; j++) {
            const lane_floats rho = s->rho[j] + (lane_floats){0};
            const lane_ints point = (int32_t)s->source[j] + (lane_ints){0};
            clue_distance d;
            clue_measure(s, form, at, j, &d);
            const lane_ints higher = (rho > own) | ((rho >= own) & (point > later));
            const lane_ints first = (rho > best_rho) | ((rho >= best_rho) & (point > above));
            const lane_ints take = higher & ((d.rank < best) | ((d.rank <= best) & first)) & (d.size <= reach);
            LANES_SET(best, take, d.rank);
            LANES_SET(best_rho, take, rho);
            LANES_SET(above, take, point);
        }
    climber->above = above;
}

/* The forms that are compiled with constants, and the general one; it alone on a GPU, where they would fill the registers. */
#ifdef __CUDACC__
#define CLUE_WITH_FORM(s, function, ...) function((s), (s)->form, __VA_ARGS__)
#else
#define CLUE_WITH_FORM(s, function, ...) \
    do { \
        const clue_form form_ = (s)->form, line_2d_ = {RECO_CLUE_EUCLID, 2, 0, RECO_CLUE_FLAT}, \
                        circle_2d_ = {RECO_CLUE_EUCLID, 2, 1, RECO_CLUE_FLAT}, line_3d_ = {RECO_CLUE_EUCLID, 3, 0, RECO_CLUE_FLAT}; \
        if (memcmp(&form_, &line_2d_, sizeof form_) == 0) function(s, line_2d_, __VA_ARGS__); \
        else if (memcmp(&form_, &circle_2d_, sizeof form_) == 0) function(s, circle_2d_, __VA_ARGS__); \
        else if (memcmp(&form_, &line_3d_, sizeof form_) == 0) function(s, line_3d_, __VA_ARGS__); \
        else function(s, form_, __VA_ARGS__); \
    } while (0)
#endif

/* The coordinates of the lanes at `from` on. */
STOA_DEVICE void clue_load(const clue_space *s, uint32_t from, lane_floats *at)
{
    for (uint32_t k = 0; k < s->form.dimensions; k++) memcpy(&at[k], s->x + k * s->stride + from, sizeof *at);
}

RECO_VECTOR_LEVELS void clue_sum_block(const clue_space *s, uint32_t from, const clue_range *ranges, uint32_t count, float *sum)
{
    lane_floats at[RECO_CLUE_DIMENSIONS_MAX], total;
    clue_load(s, from, at);
    CLUE_WITH_FORM(s, clue_sum, at, ranges, count, &total);
    memcpy(sum, &total, sizeof total);
}

RECO_VECTOR_LEVELS void clue_climb_block(const clue_space *s, uint32_t from, const clue_range *ranges, uint32_t count, const float *reach,
                                         int32_t *above)
{
    lane_floats at[RECO_CLUE_DIMENSIONS_MAX];
    clue_climber climber;
    clue_load(s, from, at);
    memcpy(&climber.rho, s->rho + from, sizeof climber.rho);
    memcpy(&climber.reach, reach, sizeof climber.reach);
    memcpy(&climber.later, s->source + from, sizeof climber.later);
    const lane_ints no_rho = climber.rho <= 0.0f;
    LANES_SET(climber.later, no_rho, INT32_MAX + (lane_ints){0});
    CLUE_WITH_FORM(s, clue_climb, at, ranges, count, &climber);
    memcpy(above, &climber.above, sizeof climber.above);
}

#endif
