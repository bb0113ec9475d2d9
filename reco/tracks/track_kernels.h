/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: what the kernels over tracks.def share. */
#ifndef RECO_TRACK_KERNELS_H
#define RECO_TRACK_KERNELS_H

#include "reco/formats/formats.h"
#include "stoa/kernel.h"

/* Rows of the upper triangle, by rows: the index of (i, j) in tracks.def's covariance. */
enum {
    COV_PHI_PHI,
    COV_PHI_TIP,
    COV_PHI_QPT,
    COV_PHI_COT,
    COV_PHI_ZIP,
    COV_TIP_TIP,
    COV_TIP_QPT,
    COV_TIP_COT,
    COV_TIP_ZIP,
    COV_QPT_QPT,
    COV_QPT_COT,
    COV_QPT_ZIP,
    COV_COT_COT,
    COV_COT_ZIP,
    COV_ZIP_ZIP
};

/* A track's hits end at its offset and start where the hits of the track before end. */
STOA_DEVICE uint32_t track_first_hit(const uint32_t *offsets, uint32_t row) { return row > 0 ? offsets[row - 1] : 0; }

STOA_DEVICE uint32_t track_hits(const uint32_t *offsets, uint32_t row) { return offsets[row] - track_first_hit(offsets, row); }

STOA_DEVICE uint32_t rows_below(const uint32_t *count, uint32_t capacity) { return *count < capacity ? *count : capacity; }

/* The rows of an event: a count below 0 comes from a broken one and selects nothing. */
STOA_DEVICE uint32_t track_rows(const tracks_soa_const *tracks)
{
    const int32_t count = *tracks->nTracks;
    if (count < 0) return 0;
    return (uint32_t)count < tracks->head.rows ? (uint32_t)count : tracks->head.rows;
}

#endif
