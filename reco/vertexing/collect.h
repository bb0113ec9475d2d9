/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: how every vertex finder begins. */
#ifndef RECO_VERTEXING_COLLECT_H
#define RECO_VERTEXING_COLLECT_H

#include "reco/tracks/track_kernels.h"
#include "reco/vertexing/density.h"

#include <math.h>

/* 1/e of a smaller e would overflow the sums: left out with the infinite ones. */
#define VERTEX_ERROR2_MIN 1e-30f

enum { VERTEX_PAD = 32 };

/* Stride of a workspace's arrays of tracks, in elements: whole cache lines, with VERTEX_PAD to spare. */
STOA_DEVICE size_t vertex_stride(uint32_t capacity) { return ((size_t)capacity + 2 * VERTEX_PAD - 1) / VERTEX_PAD * VERTEX_PAD; }

STOA_DEVICE uint32_t vertex_is_good(float z, float e) { return (fabsf(z) < HUGE_VALF) & (e > VERTEX_ERROR2_MIN) & (e < HUGE_VALF); }

/* The usual event by one worker: every track can be compared, so nothing moves and vectors do. False: some cannot. */
STOA_DEVICE int vertex_take_all(const reco_vertex_input *in, uint32_t rows, float *key, uint32_t *source)
{
    uint32_t good = 1;
    for (uint32_t i = 0; i < rows; i++) good &= vertex_is_good(in->z[i], in->z_error2[i]);
    if (!good) return 0;
    for (uint32_t i = 0; i < rows; i++) {
        key[i] = in->z[i];
        source[i] = i;
    }
    return 1;
}

/* For all workers of a block: the z of the tracks that can be compared and where they stand, in input order. Returns how many. */
STOA_DEVICE uint32_t vertex_collect(stoa_grid grid, const reco_vertex_input *in, float *key, uint32_t *source)
{
    const uint32_t rows = rows_below(in->count, in->capacity);
    uint32_t n = 0;
    if (STOA_ALONE && vertex_take_all(in, rows, key, source)) return rows;
    for (uint32_t at = 0; at < rows; at += grid.size) {
        const uint32_t i = at + grid.index;
        const float z = i < rows ? in->z[i] : HUGE_VALF;
        const uint32_t good = i < rows && vertex_is_good(z, in->z_error2[i]);
        uint32_t found;
        const uint32_t slot = n + stoa_block_scan(grid, good, &found);
        if (good) {
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
