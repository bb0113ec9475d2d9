/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/w3pi.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"

#include <math.h>
#include <string.h>

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

STOA_DEVICE bool is_pion(const hunt *h, uint32_t row)
{
    const int32_t id = h->puppi->pdgid[row], size = id < 0 ? -id : id;
    return h->puppi->pt[row] >= h->cuts->pt_min[2] && (size == 211 || size == 11);
}

STOA_DEVICE void collect_pions(hunt *h)
{
    h->count = 0;
    for (uint32_t i = h->first; i < h->end; i++)
        if (is_pion(h, i)) h->count = scout_insert(h->puppi->pt, h->pions, h->count, UINT32_MAX, i);
}

/* The same by a block: each pion counts those before it. */
STOA_DEVICE void collect_pions_together(hunt *h, stoa_grid grid)
{
    const float *pt = h->puppi->pt;
    uint32_t mine = 0;
    for (uint32_t i = h->first + grid.index; i < h->end; i += grid.size) {
        uint32_t before = 0;
        if (!is_pion(h, i)) continue;
        for (uint32_t j = h->first; j < h->end; j++) before += is_pion(h, j) & ((pt[j] > pt[i]) | ((pt[j] == pt[i]) & (j < i)));
        h->pions[before] = i;
        mine++;
    }
    (void)stoa_block_scan(grid, mine, &h->count);
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

/* The best triplet so far: of the highest sum of pt, 0: none; and which pair of pions it begins with. */
typedef struct triplet {
    float sum, mass;
    uint32_t pion[3], pair;
} triplet;

STOA_DEVICE void hunt_pair(const hunt *h, uint32_t i, uint32_t j, triplet *best)
{
    const puppi_soa *p = h->puppi;
    for (uint32_t k = j + 1; k < h->count; k++) {
        const triplet next = {0.0f, 0.0f, {h->pions[i], h->pions[j], h->pions[k]}, i * h->count + j};
        const float sum = p->pt[next.pion[0]] + p->pt[next.pion[1]] + p->pt[next.pion[2]];
        float mass;
        if (sum <= best->sum || !is_wanted(h, next.pion, &mass)) continue;
        *best = next;
        best->sum = sum;
        best->mass = mass;
    }
}

STOA_DEVICE void write_triplet(const w3pi_soa *out, uint32_t crossing, const triplet *t)
{
    out->found[crossing] = t->sum > 0.0f;
    out->mass[crossing] = t->mass;
    out->pt_sum[crossing] = t->sum;
    for (int k = 0; k < 3; k++) out->pion.data[k * out->pion.stride + crossing] = t->pion[k];
}

STOA_DEVICE void hunt_alone(hunt *h, const w3pi_soa *out, uint32_t crossing)
{
    const float *pt = h->puppi->pt, *pt_min = h->cuts->pt_min;
    triplet best = {0};
    collect_pions(h);
    for (uint32_t i = 0; i < h->count && pt[h->pions[i]] >= pt_min[0]; i++)
        for (uint32_t j = i + 1; j < h->count && pt[h->pions[j]] >= pt_min[1]; j++) hunt_pair(h, i, j, &best);
    write_triplet(out, crossing, &best);
}

/* A block shares out the pairs. The highest sum wins, of equal ones the first pair's, as for one worker who goes through all. */
STOA_DEVICE void hunt_together(hunt *h, const w3pi_soa *out, uint32_t crossing, stoa_grid grid)
{
    STOA_SHARED uint32_t highest, first;
    const float *pt = h->puppi->pt, *pt_min = h->cuts->pt_min;
    triplet best = {0};
    collect_pions_together(h, grid);
    if (grid.index == 0) highest = 0, first = UINT32_MAX;
    STOA_FOR (pair, grid, h->count * h->count) {
        const uint32_t i = pair / h->count, j = pair % h->count;
        if (j > i && pt[h->pions[i]] >= pt_min[0] && pt[h->pions[j]] >= pt_min[1]) hunt_pair(h, i, j, &best);
    }
    uint32_t sum; /* its bits have the order of floats, as it is not below 0 */
    memcpy(&sum, &best.sum, sizeof sum);
    STOA_BARRIER();
    STOA_ATOMIC_MAX(&highest, sum);
    STOA_BARRIER();
    if (sum > 0 && sum == highest) STOA_ATOMIC_MIN(&first, best.pair);
    STOA_BARRIER();
    if (sum > 0 ? sum == highest && best.pair == first : grid.index == 0 && highest == 0) write_triplet(out, crossing, &best);
    STOA_BARRIER();
}

STOA_KERNEL_TILES(reco_w3pi, reco_w3pi)
{
    for (uint32_t c = grid.block; c < *args->crossings.crossings; c += grid.blocks) {
        const uint32_t first = args->crossings.offset[c];
        hunt h = {&args->puppi, &args->cuts, args->pions + first, 0, first, first + args->crossings.count[c]};
        if (STOA_ALONE) hunt_alone(&h, &args->out, c);
        else hunt_together(&h, &args->out, c, grid);
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
