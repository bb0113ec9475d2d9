/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/w3pi.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"

#include <math.h>

#define PION_MASS 0.1396f

/* What a crossing's loops share: its pions in order of pt, a range of candidates, the cuts. */
typedef struct hunt {
    const puppi_soa *puppi;
    const reco_w3pi_cuts *cuts;
    uint32_t *pions;
    uint32_t count, first, end;
} hunt;

STOA_DEVICE float pair_delta_r2(const puppi_soa *p, uint32_t a, uint32_t b)
{ return scout_delta_r2(p->eta[a], p->phi[a], p->eta[b], p->phi[b]); }

STOA_DEVICE void collect_pions(hunt *h)
{
    const puppi_soa *p = h->puppi;
    h->count = 0;
    for (uint32_t i = h->first; i < h->end; i++) {
        const int32_t id = p->pdgid[i], size = id < 0 ? -id : id;
        if (!(p->pt[i] >= h->cuts->pt_min[2]) || (size != 211 && size != 11)) continue;
        h->count = scout_insert(p->pt, h->pions, h->count, UINT32_MAX, i);
    }
}

STOA_DEVICE bool is_isolated(const hunt *h, uint32_t pion)
{
    const puppi_soa *p = h->puppi;
    const float inner2 = h->cuts->isolation_inner * h->cuts->isolation_inner;
    const float outer2 = h->cuts->isolation_outer * h->cuts->isolation_outer;
    float sum = 0.0f;
    for (uint32_t i = h->first; i < h->end; i++) {
        const float r2 = pair_delta_r2(p, pion, i);
        if (r2 >= inner2 && r2 <= outer2) sum += p->pt[i];
    }
    return sum <= h->cuts->isolation_max * p->pt[pion];
}

STOA_DEVICE float triplet_mass(const puppi_soa *p, const uint32_t pion[3])
{
    float x = 0, y = 0, z = 0, e = 0;
    for (int k = 0; k < 3; k++) {
        const float pt = p->pt[pion[k]], pz = pt * sinhf(p->eta[pion[k]]);
        x += pt * cosf(p->phi[pion[k]]);
        y += pt * sinf(p->phi[pion[k]]);
        z += pz;
        e += sqrtf(pt * pt + pz * pz + PION_MASS * PION_MASS);
    }
    const float mass2 = e * e - x * x - y * y - z * z;
    return mass2 > 0.0f ? sqrtf(mass2) : 0.0f;
}

/* Cheap cuts first; the isolation goes over all candidates. */
STOA_DEVICE bool is_wanted(const hunt *h, const uint32_t pion[3], float *mass)
{
    const puppi_soa *p = h->puppi;
    const float apart2 = h->cuts->separation * h->cuts->separation;
    const int32_t charge = scout_charge(p->pdgid[pion[0]]) + scout_charge(p->pdgid[pion[1]]) + scout_charge(p->pdgid[pion[2]]);
    if (charge != 1 && charge != -1) return false;
    if (pair_delta_r2(p, pion[0], pion[1]) < apart2 || pair_delta_r2(p, pion[0], pion[2]) < apart2 ||
        pair_delta_r2(p, pion[1], pion[2]) < apart2)
        return false;
    *mass = triplet_mass(p, pion);
    if (!(*mass >= h->cuts->mass_min && *mass <= h->cuts->mass_max)) return false;
    return is_isolated(h, pion[0]) && is_isolated(h, pion[1]) && is_isolated(h, pion[2]);
}

STOA_DEVICE void keep_if_better(const hunt *h, const uint32_t pion[3], const w3pi_soa *out, uint32_t crossing)
{
    const puppi_soa *p = h->puppi;
    const float sum = p->pt[pion[0]] + p->pt[pion[1]] + p->pt[pion[2]];
    float mass;
    if (sum <= out->pt_sum[crossing] || !is_wanted(h, pion, &mass)) return;
    out->found[crossing] = 1;
    out->mass[crossing] = mass;
    out->pt_sum[crossing] = sum;
    for (int k = 0; k < 3; k++) out->pion.data[k * out->pion.stride + crossing] = pion[k];
}

STOA_KERNEL(reco_w3pi, reco_w3pi)
{
    const puppi_soa *p = &args->puppi;
    const w3pi_soa *out = &args->out;
    const float *pt_min = args->cuts.pt_min;
    STOA_FOR (c, grid, *args->crossings.crossings) {
        const uint32_t first = args->crossings.offset[c];
        hunt h = {p, &args->cuts, args->pions + first, 0, first, first + args->crossings.count[c]};
        out->found[c] = 0;
        out->mass[c] = out->pt_sum[c] = 0.0f;
        for (int k = 0; k < 3; k++) out->pion.data[k * out->pion.stride + c] = 0;
        collect_pions(&h);
        for (uint32_t i = 0; i < h.count && p->pt[h.pions[i]] >= pt_min[0]; i++)
            for (uint32_t j = i + 1; j < h.count && p->pt[h.pions[j]] >= pt_min[1]; j++)
                for (uint32_t k = j + 1; k < h.count; k++) {
                    const uint32_t pions[3] = {h.pions[i], h.pions[j], h.pions[k]};
                    keep_if_better(&h, pions, out, c);
                }
    }
}

#ifndef __CUDACC__
stoa_status reco_w3pi_enqueue(stoa_queue *queue, const reco_w3pi *args, stoa_error *err)
{
    RECO_NEED(err, "w3pi", queue);
    RECO_NEED(err, "w3pi", args);
    RECO_NEED(err, "w3pi", args->crossings.crossings);
    RECO_NEED(err, "w3pi", args->puppi.pt);
    RECO_NEED(err, "w3pi", args->out.found);
    RECO_NEED(err, "w3pi", args->pions);
    if (args->out.head.rows + 1 < args->crossings.head.rows)
        return STOA_FAIL(err, STOA_ESHAPE, "w3pi: 'out' has %u rows, the %u crossings need as many", args->out.head.rows,
                         args->crossings.head.rows - 1);
    return stoa_queue_launch(queue, &reco_w3pi_kernel, args, err);
}
#endif
