/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/cluster_features.h"

#include "reco/check.h"
#include "reco/scouting/kinematics.h"

#include <math.h>

#define PION_MASS 0.1396f

STOA_DEVICE uint32_t cluster_count(const reco_cluster_features *args)
{
    const uint32_t count = args->crossing_clusters[*args->crossings.crossings], rows = args->clusters.head.rows;
    return count < rows ? count : rows;
}

STOA_KERNEL(reco_cluster_crossings, reco_cluster_features)
{
    const clusters_soa *out = &args->clusters;
    const uint32_t rows = out->head.rows;
    if (grid.index == 0) {
        *out->clusters = cluster_count(args);
        *out->clustered = args->cluster_members[*out->clusters];
    }
    STOA_FOR (c, grid, *args->crossings.crossings)
        for (uint32_t k = args->crossing_clusters[c]; k < args->crossing_clusters[c + 1] && k < rows; k++) out->crossing[k] = c;
}

STOA_KERNEL(reco_cluster_sums, reco_cluster_features)
{
    const puppi_soa *p = &args->puppi;
    const clusters_soa *out = &args->clusters;
    STOA_FOR (cluster, grid, cluster_count(args)) {
        const uint32_t first = args->cluster_members[cluster], end = args->cluster_members[cluster + 1];
        float x = 0, y = 0, z = 0, e = 0;
        for (uint32_t m = first; m < end; m++) {
            const uint32_t row = args->members[m];
            const float pt = p->pt[row], pz = pt * sinhf(p->eta[row]);
            x += pt * cosf(p->phi[row]);
            y += pt * sinf(p->phi[row]);
            z += pz;
            e += sqrtf(pt * pt + pz * pz + PION_MASS * PION_MASS);
        }
        const float pt = sqrtf(x * x + y * y), mass2 = e * e - pt * pt - z * z;
        out->members[cluster] = end - first;
        out->pt[cluster] = pt;
        out->eta[cluster] = pt > 0.0f ? asinhf(z / pt) : 0.0f;
        out->phi[cluster] = atan2f(y, x);
        out->mass[cluster] = mass2 > 0.0f ? sqrtf(mass2) : 0.0f;
    }
}

STOA_DEVICE uint32_t find_leading(const reco_cluster_features *args, uint32_t cluster, uint32_t *leading)
{
    uint32_t count = 0;
    for (uint32_t m = args->cluster_members[cluster]; m < args->cluster_members[cluster + 1]; m++)
        count = scout_insert(args->puppi.pt, leading, count, RECO_CLUSTER_MEMBERS, args->members[m]);
    return count;
}

/* One member's row; SoA matrices lie component by component, column-major. */
STOA_DEVICE void write_member(const reco_cluster_features *args, uint32_t cluster, uint32_t member, uint32_t row)
{
    const puppi_soa *p = &args->puppi;
    const clusters_soa *out = &args->clusters;
    const int32_t id = p->pdgid[row], size = id < 0 ? -id : id;
    const float numbers[RECO_CLUSTER_NUMBERS] = {p->pt[row],
                                                 p->eta[row] - out->eta[cluster],
                                                 scout_delta_phi(p->phi[row], out->phi[cluster]),
                                                 (float)scout_charge(id),
                                                 p->z0[row],
                                                 size == 211 ? 1.0f : 0.0f,
                                                 size == 130 ? 1.0f : 0.0f,
                                                 size == 11 ? 1.0f : 0.0f,
                                                 size == 13 ? 1.0f : 0.0f,
                                                 size == 22 ? 1.0f : 0.0f};
    for (uint32_t k = 0; k < RECO_CLUSTER_NUMBERS; k++)
        out->features.data[(k * RECO_CLUSTER_MEMBERS + member) * out->features.stride + cluster] = numbers[k];
    out->mask.data[member * out->mask.stride + cluster] = 1.0f;
}

STOA_KERNEL(reco_cluster_features, reco_cluster_features)
{
    const clusters_soa *out = &args->clusters;
    STOA_FOR (cluster, grid, cluster_count(args)) {
        uint32_t leading[RECO_CLUSTER_MEMBERS];
        const uint32_t used = find_leading(args, cluster, leading);
        for (uint32_t m = 0; m < used; m++) write_member(args, cluster, m, leading[m]);
        for (uint32_t m = used; m < RECO_CLUSTER_MEMBERS; m++) {
            for (uint32_t k = 0; k < RECO_CLUSTER_NUMBERS; k++)
                out->features.data[(k * RECO_CLUSTER_MEMBERS + m) * out->features.stride + cluster] = 0.0f;
            out->mask.data[m * out->mask.stride + cluster] = 0.0f;
        }
    }
}

#ifndef __CUDACC__
static stoa_status check(const stoa_queue *queue, const reco_cluster_features *args, stoa_error *err)
{
    RECO_NEED(err, "cluster features", queue);
    RECO_NEED(err, "cluster features", args);
    RECO_NEED(err, "cluster features", args->puppi.pt);
    RECO_NEED(err, "cluster features", args->crossings.crossings);
    RECO_NEED(err, "cluster features", args->crossing_clusters);
    RECO_NEED(err, "cluster features", args->cluster_members);
    RECO_NEED(err, "cluster features", args->members);
    RECO_NEED(err, "cluster features", args->clusters.clusters);
    return STOA_OK;
}

stoa_status reco_cluster_sums_enqueue(stoa_queue *queue, const reco_cluster_features *args, stoa_error *err)
{
    STOA_TRY(check(queue, args, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_cluster_crossings_kernel, args, err));
    return stoa_queue_launch(queue, &reco_cluster_sums_kernel, args, err);
}

stoa_status reco_cluster_features_enqueue(stoa_queue *queue, const reco_cluster_features *args, stoa_error *err)
{
    STOA_TRY(check(queue, args, err));
    return stoa_queue_launch(queue, &reco_cluster_features_kernel, args, err);
}
#endif
