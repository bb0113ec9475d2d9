/* SPDX-License-Identifier: Apache-2.0 */
/* Which events are run: a fit that went wrong leaves NaN or infinity behind, and such an event is not to be trusted. */
#include "pipelines/hlt_pixel_tracks/hlt_job.h"

#include <math.h>

#define POSITION_MAX 1e5f /* cm; no detector is larger, and squares of it stay finite */

uint32_t hlt_track_count(const hlt_event *event)
{
    const int32_t count = event->tracks.nTracks ? *event->tracks.nTracks : 0;
    if (count < 0) return 0;
    return (uint32_t)count < event->tracks.head.rows ? (uint32_t)count : event->tracks.head.rows;
}

static stoa_status check_counts(const hlt_event *event, stoa_error *err)
{
    const int32_t count = event->tracks.nTracks ? *event->tracks.nTracks : 0;
    const uint32_t *offsets = event->tracks.hitOffsets, hits = event->hits.head.rows;
    if (count < 0 || (uint32_t)count > event->tracks.head.rows)
        return STOA_FAIL(err, STOA_ESHAPE, "event %lld: %d tracks, the event has %u rows", (long long)event->number, count,
                         event->tracks.head.rows);
    if (count == 0) return STOA_FAIL(err, STOA_ESHAPE, "event %lld: 0 tracks, at least 1 needed", (long long)event->number);
    for (uint32_t i = 0, before = 0; i < (uint32_t)count; before = offsets[i++])
        if (offsets[i] < before || (hits > 0 && offsets[i] > hits))
            return STOA_FAIL(err, STOA_ESHAPE, "event %lld: track %u: hits from %u to %u, the event has %u", (long long)event->number, i,
                             before, offsets[i], hits);
    return STOA_OK;
}

/* Columns beside each other that are to be finite, and below a bound. */
typedef struct number_block {
    const char *row, *name;
    const float *data;
    int64_t stride;
    uint32_t components, rows;
    float bound;
} number_block;

static stoa_status check_numbers(const hlt_event *event, const number_block *block, stoa_error *err)
{
    for (uint32_t k = 0; k < block->components; k++)
        for (uint32_t i = 0; i < block->rows; i++) {
            const float value = block->data[(int64_t)k * block->stride + i];
            if (fabsf(value) < block->bound) continue;
            if (block->bound < HUGE_VALF)
                return STOA_FAIL(err, STOA_EFORMAT, "event %lld: %s %u: %s is %g, a number below %g needed", (long long)event->number,
                                 block->row, i, block->name, (double)value, (double)block->bound);
            return STOA_FAIL(err, STOA_EFORMAT, "event %lld: %s %u: %s component %u is %g, a finite number needed",
                             (long long)event->number, block->row, i, block->name, k, (double)value);
        }
    return STOA_OK;
}

static stoa_status check_rec_hits(const hlt_event *event, stoa_error *err)
{
    const rec_hits_soa_const h = event->rec_hits;
    const uint32_t rows = h.head.rows;
    if (rows == 0 || event->hits.head.rows == 0)
        return STOA_FAIL(err, STOA_ESHAPE, "event %lld: %u hits, positions of %u; selector catrack needs both", (long long)event->number,
                         event->hits.head.rows, rows);
    const number_block blocks[] = {{"hit", "xGlobal", h.xGlobal, 0, 1, rows, POSITION_MAX},
                                   {"hit", "yGlobal", h.yGlobal, 0, 1, rows, POSITION_MAX},
                                   {"hit", "zGlobal", h.zGlobal, 0, 1, rows, POSITION_MAX},
                                   {"hit", "dPhiDr", h.dPhiDr, 0, 1, rows, HUGE_VALF},
                                   {"hit", "dPhiDrError", h.dPhiDrError, 0, 1, rows, HUGE_VALF}};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) STOA_TRY(check_numbers(event, &blocks[b], err));
    return STOA_OK;
}

stoa_status hlt_check_event(const hlt_options *options, const hlt_event *event, stoa_error *err)
{
    enum { STATES = 5, COVARIANCES = 15 };
    const tracks_soa_const t = event->tracks;
    const uint32_t rows = hlt_track_count(event);
    const number_block state = {"track", "state", t.state.data, t.state.stride, STATES, rows, HUGE_VALF};
    const number_block covariance = {"track", "covariance", t.covariance.data, t.covariance.stride, COVARIANCES, rows, HUGE_VALF};
    STOA_TRY(check_counts(event, err));
    STOA_TRY(check_numbers(event, &state, err));
    STOA_TRY(check_numbers(event, &covariance, err));
    return options->selector == HLT_SELECTOR_CATRACK ? check_rec_hits(event, err) : STOA_OK;
}
