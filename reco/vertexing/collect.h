/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: how every vertex finder begins. */
#ifndef RECO_VERTEXING_COLLECT_H
#define RECO_VERTEXING_COLLECT_H

#include "reco/tracks/track_kernels.h"
#include "reco/vertexing/density.h"

#include <math.h>

/* Tracks of a larger 1/e would overflow the sums: left out with the infinite ones. */
#define VERTEX_WEIGHT_MAX 1e30f

/* For all workers of a block: the z of the tracks that can be compared and where they stand, in input order. Returns how many. */
STOA_DEVICE uint32_t vertex_collect(stoa_grid grid, const reco_vertex_input *in, float *key, uint32_t *source)
{
    const uint32_t rows = rows_below(in->count, in->capacity);
    uint32_t n = 0;
    for (uint32_t at = 0; at < rows; at += grid.size) {
        const uint32_t i = at + grid.index;
        const float z = i < rows ? in->z[i] : HUGE_VALF, w = i < rows ? 1.0f / in->z_error2[i] : 0.0f;
        const uint32_t good = (fabsf(z) < HUGE_VALF) & (w > 0.0f) & (w < VERTEX_WEIGHT_MAX);
        uint32_t found;
        const uint32_t slot = n + stoa_block_scan(grid, good, &found);
        if (STOA_ALONE || good) { /* one worker overwrites what is not good: no branch */
            key[slot] = z;
            source[slot] = i;
        }
        n += found;
    }
    return n;
}

/* For all workers: no track of the event has a vertex yet. */
STOA_DEVICE void vertex_clear(stoa_grid grid, const vertex_tracks_soa *tracks, int32_t count)
{
    const uint32_t rows = count < 0 ? 0 : (uint32_t)count;
    STOA_FOR (i, grid, rows < tracks->head.rows ? rows : tracks->head.rows) tracks->idv[i] = -1;
}

#endif
