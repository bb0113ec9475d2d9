/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/puppi_taus.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

STOA_DEVICE bool can_seed(const puppi_soa *p, const reco_tau_options *o, uint32_t row)
{
    const int32_t id = p->pdgid[row], size = id < 0 ? -id : id;
    const bool kind = size == 211 || size == 11 || (size == 22 && o->with_photons);
    return kind && p->eta[row] < o->eta_max && p->eta[row] > -o->eta_max;
}

/* From one candidate to all of its crossing. */
RECO_VECTOR_LEVELS void measure(const float *eta, const float *phi, uint32_t n, uint32_t from, float *distance2)
{
    const float eta_from = eta[from], phi_from = phi[from];
    for (uint32_t i = 0; i < n; i++) distance2[i] = scout_delta_r2(eta_from, phi_from, eta[i], phi[i]);
}

/* The candidates of a crossing: rows, and their order by pt. */
typedef struct tau_crossing {
    uint32_t first, count;
    const uint32_t *order; /* [count] rows, hardest first */
    float *distance2;      /* [count] */
} tau_crossing;

STOA_DEVICE tau_crossing crossing_of(const reco_puppi_taus *args, uint32_t crossing)
{
    const uint32_t first = args->crossings.offset[crossing];
    const tau_crossing c = {first, args->crossings.count[crossing], args->order + first, args->distance2 + first};
    return c;
}

/* The leading candidates of a seed's cone into `rows`, which has room for RECO_TAU_CANDIDATES; the cone's pt. */
STOA_DEVICE float look_into_cone(const reco_puppi_taus *args, tau_crossing c, uint32_t seed, uint32_t *rows,
                                 uint32_t *count)
{
    const float radius2 = args->options.cone * args->options.cone;
    float pt = 0.0f;
    *count = 0;
    measure(args->puppi.eta + c.first, args->puppi.phi + c.first, c.count, seed - c.first, c.distance2);
    for (uint32_t i = 0; i < c.count; i++) {
        if (!(c.distance2[c.order[i] - c.first] < radius2)) continue;
        pt += args->puppi.pt[c.order[i]];
        if (*count < RECO_TAU_CANDIDATES) rows[(*count)++] = c.order[i];
    }
    return pt;
}

STOA_DEVICE bool is_apart(const puppi_soa *p, float separation, const uint32_t *seeds, uint32_t count, uint32_t row)
{
    for (uint32_t s = 0; s < count; s++)
        if (scout_delta_r2(p->eta[seeds[s]], p->phi[seeds[s]], p->eta[row], p->phi[row]) < separation * separation)
            return false;
    return true;
}

/* Seeds that are found but whose cone is too soft still keep others away, as upstream. */
STOA_KERNEL(reco_tau_seeds, reco_puppi_taus)
{
    const puppi_soa *p = &args->puppi;
    const crossing_taus_soa *out = &args->crossing_taus;
    STOA_FOR(k, grid, *args->crossings.rows)
    {
        const tau_crossing c = crossing_of(args, k);
        uint32_t seeds[RECO_TAUS_OF_CROSSING], leading[RECO_TAU_CANDIDATES], found = 0, kept = 0, sorted = 0, used;
        for (uint32_t i = 0; i < c.count; i++)
            sorted = scout_insert(p->pt, args->order + c.first, sorted, UINT32_MAX, c.first + i);
        for (uint32_t i = 0; i < c.count && found < RECO_TAUS_OF_CROSSING; i++) {
            const uint32_t row = c.order[i];
            if (!can_seed(p, &args->options, row) || !is_apart(p, args->options.separation, seeds, found, row))
                continue;
            seeds[found++] = row;
            if (args->options.cone_pt_min > 0.0f &&
                look_into_cone(args, c, row, leading, &used) < args->options.cone_pt_min)
                continue;
            out->seed.data[kept++ * out->seed.stride + k] = row;
        }
        out->count[k] = out->offset[k] = kept;
    }
}

STOA_DEVICE void write_features(const puppi_soa *p, uint32_t seed, const uint32_t *rows, uint32_t count, float *out,
                                int64_t stride)
{
    for (uint32_t r = 0; r < RECO_TAU_CANDIDATES; r++, out += RECO_TAU_NUMBERS * stride) {
        const bool used = r < count;
        const uint32_t row = used ? rows[r] : seed;
        const int32_t id = used ? p->pdgid[row] : 0, size = id < 0 ? -id : id;
        out[0] = used ? p->pt[row] : 0.0f;
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
    const uint32_t crossings = *args->crossings.crossings;
    if (grid.index == 0) *t->taus = of->offset[crossings];
    STOA_FOR(c, grid, crossings)
    {
        for (uint32_t k = 0; k < of->count[c]; k++) {
            uint32_t rows[RECO_TAU_CANDIDATES], count;
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
    RECO_NEED(err, "puppi taus", args->distance2);
    if (!(o->eta_max >= 0 && o->separation >= 0 && o->cone >= 0 && o->cone_pt_min >= 0))
        return STOA_FAIL(err, STOA_EINVAL,
                         "puppi taus: eta_max %g, separation %g, cone %g, cone_pt_min %g: none may be below 0",
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
    const stoa_scan scan = {of->offset, args->crossings.rows, of->head.rows, 1, of->offset};
    STOA_TRY(stoa_algo_scan(queue, &scan, err));
    return stoa_queue_launch(queue, &reco_tau_features_kernel, args, err);
}
#endif
