/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/scouting_tau/scout_stream.h"
#include "stoa/kernel.h"

/* Thresholds of 2 are never passed: the scores end at 1. */
STOA_KERNEL(scout_select, scout_select)
{
    const scout_views *v = &args->views;
    STOA_FOR (c, grid, *v->crossings.crossings) {
        uint8_t mask = v->w3pi.found[c] ? SCOUT_BY_W3PI : 0;
        for (uint32_t t = v->crossing_taus.offset[c]; t < v->crossing_taus.offset[c] + v->crossing_taus.count[c]; t++)
            if (v->taus.id[t] >= args->tau_id_min && v->taus.pt[t] >= args->tau_pt_min) mask |= SCOUT_BY_TAU;
        for (uint32_t k = v->work.crossing_clusters[c]; k < v->work.crossing_clusters[c + 1]; k++)
            if (v->clusters.score[k] >= args->cluster_score_min) mask |= SCOUT_BY_CLUSTER;
        v->selection.mask[c] = mask;
    }
}

#ifndef __CUDACC__
stoa_status scout_select_enqueue(stoa_queue *queue, const scout_select *args, stoa_error *err)
{ return stoa_queue_launch(queue, &scout_select_kernel, args, err); }
#endif
