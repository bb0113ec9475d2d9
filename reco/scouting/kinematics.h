/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: angles and charges of candidates, for kernels. */
#ifndef RECO_SCOUTING_KINEMATICS_H
#define RECO_SCOUTING_KINEMATICS_H

#include "stoa/kernel.h"

#define SCOUT_PI 3.14159265f

/* The difference of two angles that are themselves within (-pi, pi], back in that range. */
STOA_DEVICE float scout_delta_phi(float a, float b)
{
    const float d = a - b;
    return d > SCOUT_PI ? d - 2 * SCOUT_PI : d < -SCOUT_PI ? d + 2 * SCOUT_PI : d;
}

STOA_DEVICE float scout_delta_r2(float eta_a, float phi_a, float eta_b, float phi_b)
{
    const float eta = eta_a - eta_b, phi = scout_delta_phi(phi_a, phi_b);
    return eta * eta + phi * phi;
}

STOA_DEVICE int32_t scout_charge(int32_t pdgid)
{
    const int32_t size = pdgid < 0 ? -pdgid : pdgid, sign = pdgid < 0 ? -1 : 1;
    return size == 211 ? sign : size == 11 || size == 13 ? -sign : 0;
}

/* Insert a row into a list in descending order of pt, of equal ones the earlier first, that keeps the `most` hardest;
 * returns how long the list is then. */
STOA_DEVICE uint32_t scout_insert(const float *pt, uint32_t *rows, uint32_t count, uint32_t most, uint32_t row)
{
    if (count == most && pt[row] <= pt[rows[count - 1]]) return count;
    uint32_t at = count < most ? count++ : count - 1;
    for (; at > 0 && pt[row] > pt[rows[at - 1]]; at--) rows[at] = rows[at - 1];
    rows[at] = row;
    return count;
}

#endif
