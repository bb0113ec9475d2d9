/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/puppi_taus.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"
#include "stoa/algo.h"

#define NO_SEED UINT32_MAX

STOA_DEVICE float candidate_delta_r2(const puppi_soa *p, uint32_t a, uint32_t b)
{
    return scout_delta_r2(p->eta[a], p->phi[a], p->eta[b], p->phi[b]);
}

STOA_DEVICE bool can_seed(const puppi_soa *p, const reco_tau_options *o, uint32_t row)
{
    const int32_t id = p->pdgid[row], size = id < 0 ? -id : id;
    const bool kind = size == 211 || size == 11 || (size == 22 && o->with_photons);
    return kind && p->eta[row] < o->eta_max && p->eta[row] > -o->eta_max;
}

STOA_DEVICE float cone_pt(const puppi_soa *p, const reco_tau_options *o, uint32_t seed, uint32_t first, uint32_t end)
{
    float sum = 0.0f;
    for (uint32_t i = first; i < end; i++)
        if (candidate_delta_r2(p, seed, i) < o->cone * o->cone) sum += p->pt[i];
    return sum;
}

/* The hardest candidate that can be a seed beside those there are. Five searches cost less than a sort. */
STOA_DEVICE uint32_t next_seed(const puppi_soa *p, const reco_tau_options *o, uint32_t first, uint32_t end,
                               const uint32_t *seeds, uint32_t seed_count)
{
    uint32_t best = NO_SEED;
    for (uint32_t i = first; i < end; i++) {
        bool is_free = can_seed(p, o, i) && (best == NO_SEED || p->pt[i] > p->pt[best]);
        for (uint32_t s = 0; is_free && s < seed_count; s++)
            is_free = candidate_delta_r2(p, seeds[s], i) >= o->separation * o->separation;
        if (is_free) best = i;
    }
    return best;
}

/* Seeds that are found but whose cone is too soft still keep others away, as upstream. */
STOA_KERNEL(reco_tau_seeds, reco_puppi_taus)
{
    const puppi_soa *p = &args->puppi;
    const crossing_taus_soa *out = &args->crossing_taus;
    STOA_FOR(c, grid, *args->crossings.rows)
    {
        const uint32_t first = args->crossings.offset[c], end = first + args->crossings.count[c];
        uint32_t seeds[RECO_TAUS_OF_CROSSING], kept = 0;
        for (uint32_t s = 0; s < RECO_TAUS_OF_CROSSING; s++) {
            seeds[s] = next_seed(p, &args->options, first, end, seeds, s);
            if (seeds[s] == NO_SEED) break;
            if (args->options.cone_pt_min > 0.0f &&
                cone_pt(p, &args->options, seeds[s], first, end) < args->options.cone_pt_min)
                continue;
            out->seed.data[kept++ * out->seed.stride + c] = seeds[s];
        }
        out->count[c] = out->offset[c] = kept;
    }
}

/* The leading candidates of a cone, hardest first, of equal ones the earlier; returns how many. */
STOA_DEVICE uint32_t leading(const puppi_soa *p, float cone, uint32_t seed, uint32_t first, uint32_t end, uint32_t *rows)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++)
        if (candidate_delta_r2(p, seed, i) < cone * cone) count = scout_insert(p->pt, rows, count, RECO_TAU_CANDIDATES, i);
    return count;
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
        const uint32_t first = args->crossings.offset[c], end = first + args->crossings.count[c];
        for (uint32_t k = 0; k < of->count[c]; k++) {
            uint32_t rows[RECO_TAU_CANDIDATES];
            const uint32_t row = of->offset[c] + k, seed = of->seed.data[k * of->seed.stride + c];
            const uint32_t count = leading(p, args->options.cone, seed, first, end, rows);
            t->crossing[row] = c;
            t->seed[row] = seed;
            t->pt[row] = p->pt[seed];
            t->eta[row] = p->eta[seed];
            t->phi[row] = p->phi[seed];
            t->cone_pt[row] = cone_pt(p, &args->options, seed, first, end);
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
    if (!(o->eta_max >= 0 && o->separation >= 0 && o->cone >= 0 && o->cone_pt_min >= 0))
        return STOA_FAIL(err, STOA_EINVAL, "puppi taus: eta_max %g, separation %g, cone %g, cone_pt_min %g: none may be below 0",
                         (double)o->eta_max, (double)o->separation, (double)o->cone, (double)o->cone_pt_min);
    const uint32_t rows = args->crossings.head.rows;
    if (args->crossing_taus.head.rows < rows || args->taus.head.rows / RECO_TAUS_OF_CROSSING + 1 < rows)
        return STOA_FAIL(err, STOA_ESHAPE,
                         "puppi taus: 'crossing_taus' has %u rows and 'taus' %u, %u rows of crossings need as many, and %d each but one",
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
