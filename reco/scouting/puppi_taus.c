/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/puppi_taus.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"
#include "reco/scouting/words.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

#include <math.h>
#include <string.h>

STOA_DEVICE bool can_seed(const puppi_soa *p, const reco_tau_options *o, uint32_t row)
{
    const int32_t id = p->pdgid[row], size = id < 0 ? -id : id;
    const bool kind = size == 211 || size == 11 || (size == 22 && o->with_photons);
    return kind && p->eta[row] < o->eta_max && p->eta[row] > -o->eta_max;
}

STOA_DEVICE int32_t float_order(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
}

enum { PLACES = 64 };

/* Which of a crossing's candidates are within the radius: bit k is the one whose place in the order of pt is first + k. */
RECO_VECTOR_LEVELS uint64_t cone_places(const float *eta, const float *phi, const uint32_t *place, uint32_t n, uint32_t from, float radius2,
                                        uint32_t first)
{
    const float eta_from = eta[from], phi_from = phi[from];
    uint64_t places = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = place[i] - first, inside = (scout_delta_r2(eta_from, phi_from, eta[i], phi[i]) < radius2) & (at < PLACES);
        places |= (uint64_t)inside << (at % PLACES);
    }
    return places;
}

STOA_DEVICE uint32_t lowest_place(uint64_t places)
{
#ifdef __CUDACC__
    return (uint32_t)__ffsll((long long)places) - 1u;
#elif defined(__GNUC__)
    return (uint32_t)__builtin_ctzll(places);
#else
    uint32_t place = 0;
    while ((places >> place & 1u) == 0) place++;
    return place;
#endif
}

/* Rows in descending order of pt, of equal ones the earlier first: each counts those before it, several at a time and without a
 * branch on what cannot be guessed. As integers of the same order every two differ or are equal, also NaN. */
RECO_VECTOR_LEVELS void order_by_pt(const float *pt, uint32_t first, uint32_t n, uint32_t *order, uint32_t *place)
{
    enum { TOGETHER = 16 };
    for (uint32_t from = 0; from < n; from += TOGETHER) {
        const uint32_t count = n - from < TOGETHER ? n - from : TOGETHER;
        int32_t own[TOGETHER] = {0}, before[TOGETHER] = {0};
        for (uint32_t l = 0; l < count; l++) own[l] = float_order(pt[first + from + l]);
        for (uint32_t j = 0; j < n; j++) {
            const int32_t other = float_order(pt[first + j]), lane = (int32_t)j - (int32_t)from;
            for (int32_t l = 0; l < TOGETHER; l++) before[l] += (other > own[l]) | ((other == own[l]) & (lane < l));
        }
        for (uint32_t l = 0; l < count; l++) {
            order[before[l]] = first + from + l;
            place[from + l] = (uint32_t)before[l];
        }
    }
}

/* The candidates of a crossing: rows, and their order by pt. */
typedef struct tau_crossing {
    uint32_t first, count;
    uint32_t *order; /* [count] rows, hardest first */
    uint32_t *place; /* [count] where a row is there */
} tau_crossing;

STOA_DEVICE tau_crossing crossing_of(const reco_puppi_taus *args, uint32_t crossing)
{
    const uint32_t first = args->crossings.offset[crossing];
    const tau_crossing c = {first, args->crossings.count[crossing], args->order + first, args->place + first};
    return c;
}

/* A row's angle in the word's units, of which the firmware has the integer. */
STOA_DEVICE int32_t angle_units(float angle) { return (int32_t)floorf(angle / RECO_SCOUT_ANGLE + 0.5f); }

/* What decides between candidates of equal pt: low bits of seed minus candidate, eta's above phi's. */
STOA_DEVICE uint32_t tie_key(const puppi_soa *p, uint32_t seed, uint32_t row)
{
    const int32_t eta = angle_units(p->eta[seed]) - angle_units(p->eta[row]), phi = angle_units(p->phi[seed]) - angle_units(p->phi[row]);
    return ((uint32_t)eta & 7u) << 3 | ((uint32_t)phi & 7u);
}

/* Behind `count` rows, which are not of lower pt; among those of the same pt before the ones whose key is lower. Of more rows than a tau has
 * the last is dropped. Returns how many there are then. */
STOA_DEVICE uint32_t insert_candidate(const puppi_soa *p, uint32_t seed, uint32_t row, uint32_t *rows, uint32_t count)
{
    uint32_t at = count;
    for (; at > 0 && p->pt[rows[at - 1]] <= p->pt[row] && tie_key(p, seed, rows[at - 1]) < tie_key(p, seed, row); at--)
        rows[at] = rows[at - 1];
    rows[at] = row;
    return count < RECO_TAU_CANDIDATES ? count + 1 : count;
}

/* The leading candidates of a seed's cone into `rows`, which has room for one more than RECO_TAU_CANDIDATES; the cone's pt. */
STOA_DEVICE float look_into_cone(const reco_puppi_taus *args, tau_crossing c, uint32_t seed, uint32_t *rows, uint32_t *count)
{
    const puppi_soa *p = &args->puppi;
    const float radius2 = args->options.cone * args->options.cone;
    float pt = 0.0f;
    *count = 0;
    for (uint32_t first = 0; first < c.count; first += PLACES) {
        uint64_t places = cone_places(p->eta + c.first, p->phi + c.first, c.place, c.count, seed - c.first, radius2, first);
        for (; places != 0; places &= places - 1) {
            const uint32_t row = c.order[first + lowest_place(places)];
            pt += p->pt[row];
            *count = insert_candidate(p, seed, row, rows, *count);
        }
    }
    return pt;
}

STOA_DEVICE bool is_apart(const puppi_soa *p, float separation, const uint32_t *seeds, uint32_t count, uint32_t row)
{
    for (uint32_t s = 0; s < count; s++)
        if (scout_delta_r2(p->eta[seeds[s]], p->phi[seeds[s]], p->eta[row], p->phi[row]) < separation * separation) return false;
    return true;
}

/* order_by_pt by a block: a row each. */
STOA_DEVICE void order_together(const float *pt, tau_crossing c, stoa_grid grid)
{
    STOA_FOR (i, grid, c.count) {
        const int32_t own = float_order(pt[c.first + i]);
        uint32_t before = 0;
        for (uint32_t j = 0; j < c.count; j++) {
            const int32_t other = float_order(pt[c.first + j]);
            before += (other > own) | ((other == own) & (j < i));
        }
        c.order[before] = c.first + i;
        c.place[i] = before;
    }
    STOA_BARRIER();
}

/* Seeds that are found but whose cone is too soft still keep others away, as upstream. */
STOA_DEVICE void pick_seeds(const reco_puppi_taus *args, tau_crossing c, uint32_t crossing)
{
    const puppi_soa *p = &args->puppi;
    const crossing_taus_soa *out = &args->crossing_taus;
    uint32_t seeds[RECO_TAUS_OF_CROSSING], leading[RECO_TAU_CANDIDATES + 1], found = 0, kept = 0, used;
    for (uint32_t i = 0; i < c.count && found < RECO_TAUS_OF_CROSSING; i++) {
        const uint32_t row = c.order[i];
        if (!can_seed(p, &args->options, row) || !is_apart(p, args->options.separation, seeds, found, row)) continue;
        seeds[found++] = row;
        if (args->options.cone_pt_min > 0.0f && look_into_cone(args, c, row, leading, &used) < args->options.cone_pt_min) continue;
        out->seed.data[kept++ * out->seed.stride + crossing] = row;
    }
    out->count[crossing] = out->offset[crossing] = kept;
}

/* A block orders a crossing's candidates; each seed depends on those before it. */
STOA_KERNEL_TILES(reco_tau_seeds, reco_puppi_taus)
{
    for (uint32_t k = grid.block; k < *args->crossings.rows; k += grid.blocks) {
        const tau_crossing c = crossing_of(args, k);
        if (STOA_ALONE) order_by_pt(args->puppi.pt, c.first, c.count, c.order, c.place);
        else order_together(args->puppi.pt, c, grid);
        if (grid.index == 0) pick_seeds(args, c, k);
    }
}

/* Most taus have few candidates: their numbers are written one by one, the zeros in one go. */
STOA_KERNEL(reco_tau_clear, reco_puppi_taus)
{
    const taus_soa *t = &args->taus;
    const uint32_t count = args->crossing_taus.offset[*args->crossings.crossings];
    if (grid.index == 0) *t->taus = count;
    STOA_FOR (k, grid, RECO_TAU_FEATURES) memset(t->features.data + k * t->features.stride, 0, count * sizeof(float));
}

STOA_DEVICE void write_features(const puppi_soa *p, uint32_t seed, const uint32_t *rows, uint32_t count, float *out, int64_t stride)
{
    for (uint32_t r = 0; r < count; r++, out += RECO_TAU_NUMBERS * stride) {
        const uint32_t row = rows[r];
        const int32_t id = p->pdgid[row], size = id < 0 ? -id : id;
        out[0] = p->pt[row];
        out[1 * stride] = p->eta[seed] - p->eta[row];
        out[2 * stride] = scout_delta_phi(p->phi[seed], p->phi[row]);
        out[3 * stride] = size == 22 ? 1.0f : 0.0f;
        out[4 * stride] = size == 11 ? 1.0f : 0.0f;
        out[5 * stride] = size == 13 ? 1.0f : 0.0f;
        out[6 * stride] = size == 130 ? 1.0f : 0.0f;
        out[7 * stride] = size == 211 ? 1.0f : 0.0f;
    }
}

STOA_KERNEL(reco_tau_features, reco_puppi_taus)
{
    const puppi_soa *p = &args->puppi;
    const crossing_taus_soa *of = &args->crossing_taus;
    const taus_soa *t = &args->taus;
    STOA_FOR (tau, grid, *args->crossings.crossings * RECO_TAUS_OF_CROSSING) {
        uint32_t rows[RECO_TAU_CANDIDATES + 1], count;
        const uint32_t c = tau / RECO_TAUS_OF_CROSSING, k = tau % RECO_TAUS_OF_CROSSING;
        if (k >= of->count[c]) continue;
        const uint32_t row = of->offset[c] + k, seed = of->seed.data[k * of->seed.stride + c];
        t->crossing[row] = c;
        t->seed[row] = seed;
        t->pt[row] = p->pt[seed];
        t->eta[row] = p->eta[seed];
        t->phi[row] = p->phi[seed];
        t->cone_pt[row] = look_into_cone(args, crossing_of(args, c), seed, rows, &count);
        write_features(p, seed, rows, count, t->features.data + row, t->features.stride);
    }
}

#ifndef __CUDACC__
static stoa_status check(const reco_puppi_taus *args, stoa_error *err)
{
    const reco_tau_options *o = &args->options;
    RECO_NEED(err, "puppi taus", args->crossings.crossings);
    RECO_NEED(err, "puppi taus", args->crossing_taus.count);
    RECO_NEED(err, "puppi taus", args->taus.taus);
    RECO_NEED(err, "puppi taus", args->puppi.pt);
    RECO_NEED(err, "puppi taus", args->order);
    RECO_NEED(err, "puppi taus", args->place);
    if (!(o->eta_max >= 0 && o->separation >= 0 && o->cone >= 0 && o->cone_pt_min >= 0))
        return STOA_FAIL(err, STOA_EINVAL, "puppi taus: eta_max %g, separation %g, cone %g, cone_pt_min %g: none may be below 0",
                         (double)o->eta_max, (double)o->separation, (double)o->cone, (double)o->cone_pt_min);
    const uint32_t rows = args->crossings.head.rows;
    if (args->crossing_taus.head.rows < rows || args->taus.head.rows / RECO_TAUS_OF_CROSSING + 1 < rows)
        return STOA_FAIL(err, STOA_ESHAPE,
                         "puppi taus: 'crossing_taus' has %u rows and 'taus' %u, %u rows of crossings need as many, "
                         "and %d each but one",
                         args->crossing_taus.head.rows, args->taus.head.rows, rows, RECO_TAUS_OF_CROSSING);
    return STOA_OK;
}

stoa_status reco_puppi_taus_enqueue(stoa_queue *queue, const reco_puppi_taus *args, stoa_error *err)
{
    RECO_NEED(err, "puppi taus", queue);
    RECO_NEED(err, "puppi taus", args);
    STOA_TRY(check(args, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_tau_seeds_kernel, args, err));
    const crossing_taus_soa *of = &args->crossing_taus;
    uint32_t *scratch = args->taus.crossing; /* has rows for every crossing, which are written later */
    const stoa_scan scan = {of->offset, args->crossings.rows, of->head.rows, 1, of->offset, scratch};
    STOA_TRY(stoa_algo_scan(queue, &scan, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_tau_clear_kernel, args, err));
    return stoa_queue_launch(queue, &reco_tau_features_kernel, args, err);
}
#endif
