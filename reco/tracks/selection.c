/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/tracks/selection.h"

#include "reco/check.h"
#include "reco/tracks/pack.h"
#include "reco/tracks/track_kernels.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

#include <math.h>
#include <string.h>

/* A count below 0 comes from a broken event. The compaction then sees all rows, so all are masked. */
STOA_KERNEL(reco_tracks_mask, reco_preselection)
{
    const int32_t count = *args->tracks.nTracks;
    const uint32_t broken = count < 0, capacity = args->tracks.head.rows;
    const uint32_t rows = (uint32_t)count < capacity ? (uint32_t)count : capacity;
    const uint8_t *quality = args->tracks.quality;
    const uint32_t *offsets = args->tracks.hitOffsets;
    STOA_FOR (i, grid, rows) {
        const uint32_t hits = track_hits(offsets, i);
        const uint32_t good = (uint32_t)(quality[i] >= args->min_quality) & (uint32_t)((int64_t)hits >= args->min_hits);
        args->mask[i] = (uint8_t)(good & !broken);
    }
}

STOA_KERNEL(reco_tracks_features, reco_features)
{
    const tracks_soa_const *t = &args->tracks;
    const track_features_soa *f = &args->features;
    const uint32_t *index = args->index;
    const uint32_t rows = rows_below(args->count, f->head.rows);
    const float *cov = t->covariance.data, *state = t->state.data;
    const int64_t cs = t->covariance.stride, ss = t->state.stride;
    const pack_column columns[] = {{t->chi2, f->chi2, PACK_FLOAT},
                                   {cov + COV_ZIP_ZIP * cs, f->dz_error, PACK_ROOT},
                                   {cov + COV_TIP_TIP * cs, f->dxy_error, PACK_ROOT},
                                   {t->eta, f->eta, PACK_FLOAT},
                                   {t->hitOffsets, f->hits, PACK_COUNT_FLOAT},
                                   {state + RECO_STATE_PHI * ss, f->phi, PACK_FLOAT},
                                   {cov + COV_PHI_PHI * cs, f->phi_error, PACK_ROOT},
                                   {t->pt, f->pt, PACK_FLOAT},
                                   {cov + COV_QPT_QPT * cs, f->q_over_pt_error, PACK_ROOT},
                                   {state + RECO_STATE_ZIP * ss, f->dz_bs, PACK_FLOAT},
                                   {state + RECO_STATE_TIP * ss, f->dxy_bs, PACK_FLOAT},
                                   {t->nLayers, f->layers, PACK_BYTE_FLOAT},
                                   {cov + COV_COT_COT * cs, f->cot_theta_error, PACK_ROOT},
                                   {cov + COV_COT_ZIP * cs, f->cov_cot_theta_dz, PACK_FLOAT},
                                   {cov + COV_TIP_QPT * cs, f->cov_dxy_q_over_pt, PACK_FLOAT},
                                   {cov + COV_PHI_TIP * cs, f->cov_phi_dxy, PACK_FLOAT},
                                   {cov + COV_PHI_QPT * cs, f->cov_phi_q_over_pt, PACK_FLOAT}};
    pack_columns(grid, columns, sizeof columns / sizeof *columns, index, rows, t->head.rows);
}

STOA_KERNEL(reco_tracks_derive, reco_derivation)
{
    const track_features_soa *f = &args->features;
    const track_derived_soa *d = &args->derived;
    const uint32_t *index = args->index;
    const uint32_t rows = rows_below(args->count, d->head.rows);
    const float *state = args->tracks.state.data;
    const int64_t stride = args->tracks.state.stride;
    STOA_FOR (i, grid, rows) d->cot_theta[i] = state[RECO_STATE_COT_THETA * stride + index[i]];
    STOA_FOR (i, grid, rows) d->q_over_pt[i] = state[RECO_STATE_QPT * stride + index[i]];
    STOA_FOR (i, grid, rows) d->abs_eta[i] = fabsf(f->eta[i]);
    STOA_FOR (i, grid, rows) d->ndof[i] = 2.0f * f->hits[i] - 5.0f;
    STOA_FOR (i, grid, rows) d->chi2_sum[i] = f->chi2[i] * d->ndof[i];
    STOA_FOR (i, grid, rows) d->hits_per_layer[i] = f->hits[i] / f->layers[i];
    STOA_FOR (i, grid, rows) d->dxy_significance[i] = fabsf(f->dxy_bs[i]) / f->dxy_error[i];
    STOA_FOR (i, grid, rows) d->dz_significance[i] = fabsf(f->dz_bs[i]) / f->dz_error[i];
    STOA_FOR (i, grid, rows) d->pt_relative_error[i] = f->q_over_pt_error[i] * f->pt[i];
    STOA_FOR (i, grid, rows) d->phi_error_pt[i] = f->phi_error[i] * f->pt[i];
    STOA_FOR (i, grid, rows) d->corr_cot_theta_dz[i] = f->cov_cot_theta_dz[i] / (f->cot_theta_error[i] * f->dz_error[i]);
    STOA_FOR (i, grid, rows) d->corr_dxy_q_over_pt[i] = f->cov_dxy_q_over_pt[i] / (f->dxy_error[i] * f->q_over_pt_error[i]);
    STOA_FOR (i, grid, rows) d->corr_phi_dxy[i] = f->cov_phi_dxy[i] / (f->phi_error[i] * f->dxy_error[i]);
    STOA_FOR (i, grid, rows) d->corr_phi_q_over_pt[i] = f->cov_phi_q_over_pt[i] / (f->phi_error[i] * f->q_over_pt_error[i]);
}

STOA_KERNEL(reco_tracks_features_zero, reco_features)
{
    const track_features_soa *f = &args->features;
    const uint32_t first = rows_below(args->count, f->head.rows), rows = f->head.rows - first;
    float *const columns[17] = {f->chi2,
                                f->dz_error,
                                f->dxy_error,
                                f->eta,
                                f->hits,
                                f->phi,
                                f->phi_error,
                                f->pt,
                                f->q_over_pt_error,
                                f->dz_bs,
                                f->dxy_bs,
                                f->layers,
                                f->cot_theta_error,
                                f->cov_cot_theta_dz,
                                f->cov_dxy_q_over_pt,
                                f->cov_phi_dxy,
                                f->cov_phi_q_over_pt};
    for (uint32_t c = 0; c < 17; c++) {
        float *column = columns[c] + first;
        STOA_FOR (i, grid, rows) column[i] = 0.0f;
    }
}

STOA_KERNEL(reco_tracks_score_mask, reco_selection)
{
    const uint32_t rows = rows_below(args->count, args->features.head.rows);
    const float *score = args->features.score, *dxy = args->features.dxy_bs;
    const float threshold = args->threshold, knee = args->dxy_knee;
    uint8_t *mask = args->mask;
    if (!(knee > 0.0f)) {
        STOA_FOR (i, grid, rows) mask[i] = score[i] >= threshold;
        return;
    }
    STOA_FOR (i, grid, rows) {
        const float along = fabsf(dxy[i]) / knee, part = along < 1.0f ? along : 1.0f;
        mask[i] = score[i] >= args->threshold_prompt + part * (threshold - args->threshold_prompt);
    }
}

/* hitOffsets gets the number of hits of each track; the scan that follows makes offsets of them. */
STOA_KERNEL(reco_tracks_gather, reco_track_gather)
{
    const tracks_soa_const *t = &args->tracks;
    const tracks_soa *o = &args->out;
    const uint32_t *index = args->index;
    const uint32_t rows = rows_below(args->count, o->head.rows);
    enum { STATES = 5, COVARIANCES = 15, OTHERS = 6 };
    pack_column columns[OTHERS + STATES + COVARIANCES] = {{t->chi2, o->chi2, PACK_FLOAT},      {t->eta, o->eta, PACK_FLOAT},
                                                          {t->pt, o->pt, PACK_FLOAT},          {t->quality, o->quality, PACK_BYTE},
                                                          {t->nLayers, o->nLayers, PACK_BYTE}, {t->hitOffsets, o->hitOffsets, PACK_COUNT}};
    for (int c = 0; c < STATES; c++) {
        const pack_column column = {t->state.data + c * t->state.stride, o->state.data + c * o->state.stride, PACK_FLOAT};
        columns[OTHERS + c] = column;
    }
    for (int c = 0; c < COVARIANCES; c++) {
        const pack_column column = {t->covariance.data + c * t->covariance.stride, o->covariance.data + c * o->covariance.stride,
                                    PACK_FLOAT};
        columns[OTHERS + STATES + c] = column;
    }
    if (grid.index == 0) *o->nTracks = (int32_t)rows;
    pack_columns(grid, columns, OTHERS + STATES + COVARIANCES, index, rows, t->head.rows);
}

/* `count` hits from `source` on to `first`; those that are not there are no hit's. */
STOA_DEVICE void copy_hits(const reco_hit_gather *args, uint32_t first, uint32_t source, uint32_t count)
{
    const uint32_t all = args->hits.head.rows;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t old = source + k;
        args->out.id[first + k] = old < all ? args->hits.id[old] : 0xFFFFFFFFu;
        args->out.detId[first + k] = old < all ? args->hits.detId[old] : 0xFFFFFFFFu;
    }
}

/* In a core a track's few hits are one vector, moved without a branch on how many they are: what it has behind them is for the next
 * track to overwrite, so none goes beyond `end` of the last one's. */
RECO_VECTOR_LEVELS void gather_hits(const reco_hit_gather *args, stoa_grid grid, uint32_t rows)
{
    enum { LANES = 16, AHEAD = 192 };
    const uint32_t *from = args->tracks.hitOffsets, *to = args->out_tracks.hitOffsets;
    const uint32_t *id = args->hits.id, *det = args->hits.detId;
    const uint32_t room = args->out.head.rows, last = rows > 0 ? to[rows - 1] : 0;
    const uint64_t all = args->hits.head.rows, end = last < room ? last : room;
    STOA_FOR (i, grid, rows) {
        const uint32_t first = track_first_hit(to, i), source = track_first_hit(from, args->index[i]);
        const uint32_t behind = to[i] < room ? to[i] : room, count = behind - first;
        if (STOA_ALONE && count <= LANES && (uint64_t)first + LANES <= end && (uint64_t)source + LANES <= all) {
            RECO_ASK_AHEAD(id + source + AHEAD);
            RECO_ASK_AHEAD(det + source + AHEAD);
            memcpy(args->out.id + first, id + source, LANES * sizeof *id);
            memcpy(args->out.detId + first, det + source, LANES * sizeof *det);
        } else if (first < behind) {
            copy_hits(args, first, source, count);
        }
    }
}

STOA_KERNEL(reco_hits_gather, reco_hit_gather)
{
    const uint32_t *from = args->tracks.hitOffsets, *to = args->out_tracks.hitOffsets;
    const uint32_t rows = track_rows(&args->out_tracks), room = args->out.head.rows;
    if (grid.index == 0) *args->hit_count = rows > 0 ? to[rows - 1] : 0;
    gather_hits(args, grid, rows);
    if (!args->source) return;
    STOA_FOR (i, grid, rows) {
        const uint32_t first = track_first_hit(to, i), source = track_first_hit(from, args->index[i]);
        for (uint32_t k = first; k < to[i] && k < room; k++) args->source[k] = source + (k - first);
    }
}

#ifndef __CUDACC__
/* Columns of a bound view are all there or none is: one of them stands for all. */
stoa_status reco_tracks_preselect(stoa_queue *queue, const reco_preselection *args, stoa_error *err)
{
    RECO_NEED(err, "preselect", queue);
    RECO_NEED(err, "preselect", args);
    RECO_NEED(err, "preselect", args->tracks.nTracks);
    RECO_NEED(err, "preselect", args->count);
    if (args->tracks.head.rows > 0) {
        RECO_NEED(err, "preselect", args->mask);
        RECO_NEED(err, "preselect", args->index);
    }
    STOA_TRY(stoa_queue_launch(queue, &reco_tracks_mask_kernel, args, err));
    /* Read as unsigned a negative count is a large one, which the compaction clips; see the mask. */
    const stoa_compact compact = {args->mask,   (const uint32_t *)args->tracks.nTracks, args->tracks.head.rows, args->index, args->count,
                                  args->scratch};
    return stoa_algo_compact(queue, &compact, err);
}

stoa_status reco_tracks_features(stoa_queue *queue, const reco_features *args, stoa_error *err)
{
    RECO_NEED(err, "features", queue);
    RECO_NEED(err, "features", args);
    RECO_NEED(err, "features", args->count);
    RECO_NEED(err, "features", args->tracks.nTracks);
    RECO_NEED(err, "features", args->features.chi2);
    if (args->tracks.head.rows > 0) RECO_NEED(err, "features", args->index);
    if (args->zero_unused) STOA_TRY(stoa_queue_launch(queue, &reco_tracks_features_zero_kernel, args, err));
    return stoa_queue_launch(queue, &reco_tracks_features_kernel, args, err);
}

stoa_status reco_tracks_derive(stoa_queue *queue, const reco_derivation *args, stoa_error *err)
{
    RECO_NEED(err, "derive", queue);
    RECO_NEED(err, "derive", args);
    RECO_NEED(err, "derive", args->count);
    RECO_NEED(err, "derive", args->tracks.nTracks);
    RECO_NEED(err, "derive", args->features.chi2);
    RECO_NEED(err, "derive", args->derived.cot_theta);
    if (args->tracks.head.rows > 0) RECO_NEED(err, "derive", args->index);
    return stoa_queue_launch(queue, &reco_tracks_derive_kernel, args, err);
}

stoa_status reco_tracks_select(stoa_queue *queue, const reco_selection *args, stoa_error *err)
{
    RECO_NEED(err, "select", queue);
    RECO_NEED(err, "select", args);
    RECO_NEED(err, "select", args->count);
    RECO_NEED(err, "select", args->kept_count);
    RECO_NEED(err, "select", args->features.score);
    const uint32_t capacity = args->features.head.rows;
    if (capacity > 0) {
        RECO_NEED(err, "select", args->index);
        RECO_NEED(err, "select", args->mask);
        RECO_NEED(err, "select", args->slot);
        RECO_NEED(err, "select", args->kept);
    }
    STOA_TRY(stoa_queue_launch(queue, &reco_tracks_score_mask_kernel, args, err));
    const stoa_compact compact = {args->mask, args->count, capacity, args->slot, args->kept_count, args->scratch};
    STOA_TRY(stoa_algo_compact(queue, &compact, err));
    const stoa_gather gather = {args->index, args->kept, sizeof(uint32_t), args->slot, args->kept_count, capacity};
    return stoa_algo_gather(queue, &gather, err);
}

stoa_status reco_tracks_gather(stoa_queue *queue, const reco_track_gather *args, stoa_error *err)
{
    RECO_NEED(err, "gather", queue);
    RECO_NEED(err, "gather", args);
    RECO_NEED(err, "gather", args->count);
    RECO_NEED(err, "gather", args->tracks.nTracks);
    RECO_NEED(err, "gather", args->out.nTracks);
    if (args->out.head.rows > 0) RECO_NEED(err, "gather", args->index);
    if (args->out.nTracks == args->tracks.nTracks)
        return STOA_FAIL(err, STOA_EOVERLAP, "gather: 'out' and 'tracks' are the same collection");
    STOA_TRY(stoa_queue_launch(queue, &reco_tracks_gather_kernel, args, err));
    const stoa_scan scan = {args->out.hitOffsets, (const uint32_t *)args->out.nTracks, args->out.head.rows, 0, args->out.hitOffsets,
                            args->scratch};
    return stoa_algo_scan(queue, &scan, err);
}

stoa_status reco_hits_gather(stoa_queue *queue, const reco_hit_gather *args, stoa_error *err)
{
    RECO_NEED(err, "hits", queue);
    RECO_NEED(err, "hits", args);
    RECO_NEED(err, "hits", args->tracks.nTracks);
    RECO_NEED(err, "hits", args->out_tracks.nTracks);
    RECO_NEED(err, "hits", args->hit_count);
    if (args->out_tracks.head.rows > 0) RECO_NEED(err, "hits", args->index);
    if (args->hits.head.rows > 0) RECO_NEED(err, "hits", args->hits.id);
    if (args->out.head.rows > 0) {
        RECO_NEED(err, "hits", args->out.id);
        if (args->out.id == args->hits.id) return STOA_FAIL(err, STOA_EOVERLAP, "hits: 'out' and 'hits' are the same block");
    }
    return stoa_queue_launch(queue, &reco_hits_gather_kernel, args, err);
}
#endif
