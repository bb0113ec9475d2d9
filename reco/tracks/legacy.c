/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/tracks/legacy.h"

#include "reco/check.h"
#include "reco/tracks/track_kernels.h"
#include "stoa/algo.h"

#include <math.h>

/* Curvature of a track of 1 GeV in 1 T, per cm: the speed of light in GeV / (c T cm). */
#define CURVATURE_PER_TESLA 2.99792458e-3f

/* x - x is 0 for finite x only. */
STOA_DEVICE void mask_finite(uint8_t *mask, const float *column, stoa_grid grid, uint32_t rows)
{
    STOA_FOR (i, grid, rows) mask[i] = (uint8_t)(mask[i] & (column[i] - column[i] == 0.0f));
}

/* All rows are masked, for the compaction reads the same count as unsigned: see reco_tracks_preselect. */
STOA_KERNEL(reco_legacy_mask, reco_legacy)
{
    const tracks_soa_const *t = &args->tracks;
    const uint32_t rows = track_rows(t);
    STOA_FOR (i, grid, t->head.rows) {
        const uint32_t good = (uint32_t)(i < rows) & (uint32_t)(t->quality[i] >= args->min_quality) &
                              (uint32_t)((int64_t)track_hits(t->hitOffsets, i) >= args->min_hits);
        args->mask[i] = (uint8_t)good;
        args->legacy_of[i] = -1;
    }
    for (int c = 0; c < 5; c++) mask_finite(args->mask, t->state.data + c * t->state.stride, grid, rows);
    for (int c = 0; c < 15; c++) mask_finite(args->mask, t->covariance.data + c * t->covariance.stride, grid, rows);
}

STOA_KERNEL(reco_legacy_key, reco_legacy)
{
    const uint32_t rows = *args->out.count;
    STOA_FOR (i, grid, rows) args->key[i] = -args->tracks.pt[args->index[i]];
}

/* Rows of the Jacobian d(q/p, lambda, phi, dxy, dsz) / d(phi, tip, q/pt, cot, zip) that are not one or nothing. */
typedef struct legacy_jacobian {
    float qop_qpt, qop_cot, lambda_cot, phi_zip, dsz_zip;
} legacy_jacobian;

STOA_DEVICE legacy_jacobian legacy_jacobian_of(float qpt, float cot, float field_tesla)
{
    const float sin2 = 1.0f / (1.0f + cot * cot), sin1 = sqrtf(sin2), cos1 = cot * sin1;
    const float turn_per_cm = -CURVATURE_PER_TESLA * field_tesla * qpt;
    legacy_jacobian j;
    j.qop_qpt = sin1;
    j.qop_cot = -sin2 * cos1 * qpt;
    j.lambda_cot = sin2;
    j.phi_zip = -turn_per_cm * sin1 * cos1;
    j.dsz_zip = sin1;
    return j;
}

/* J V J^T, written out: the Jacobian has eight entries of 25. */
STOA_DEVICE void legacy_covariance(const legacy_jacobian *j, const float *v, float *out)
{
    const float a = j->qop_qpt, b = j->qop_cot, c = j->lambda_cot, d = j->phi_zip, e = j->dsz_zip;
    out[0] = a * a * v[COV_QPT_QPT] + 2.0f * a * b * v[COV_QPT_COT] + b * b * v[COV_COT_COT];
    out[1] = c * (a * v[COV_QPT_COT] + b * v[COV_COT_COT]);
    out[2] = a * v[COV_PHI_QPT] + b * v[COV_PHI_COT] + d * (a * v[COV_QPT_ZIP] + b * v[COV_COT_ZIP]);
    out[3] = a * v[COV_TIP_QPT] + b * v[COV_TIP_COT];
    out[4] = e * (a * v[COV_QPT_ZIP] + b * v[COV_COT_ZIP]);
    out[5] = c * c * v[COV_COT_COT];
    out[6] = c * (v[COV_PHI_COT] + d * v[COV_COT_ZIP]);
    out[7] = c * v[COV_TIP_COT];
    out[8] = c * e * v[COV_COT_ZIP];
    out[9] = v[COV_PHI_PHI] + 2.0f * d * v[COV_PHI_ZIP] + d * d * v[COV_ZIP_ZIP];
    out[10] = v[COV_PHI_TIP] + d * v[COV_TIP_ZIP];
    out[11] = e * (v[COV_PHI_ZIP] + d * v[COV_ZIP_ZIP]);
    out[12] = v[COV_TIP_TIP];
    out[13] = e * v[COV_TIP_ZIP];
    out[14] = e * e * v[COV_ZIP_ZIP];
}

STOA_DEVICE void legacy_parameters(const reco_legacy *args, const float *state, uint32_t to)
{
    const legacy_tracks_soa *o = &args->out;
    const float phi = state[RECO_STATE_PHI], tip = state[RECO_STATE_TIP], cot = state[RECO_STATE_COT_THETA];
    const float sin1 = 1.0f / sqrtf(1.0f + cot * cot);
    const float parameters[5] = {sin1 * state[RECO_STATE_QPT], atanf(cot), phi, tip, sin1 * state[RECO_STATE_ZIP]};
    const reco_beam_spot *spot = &args->beam_spot;
    const float reference[3] = {spot->x - tip * sinf(phi), spot->y + tip * cosf(phi), spot->z + state[RECO_STATE_ZIP]};
    for (int c = 0; c < 5; c++) o->curvilinear.data[c * o->curvilinear.stride + to] = parameters[c];
    for (int c = 0; c < 3; c++) o->reference.data[c * o->reference.stride + to] = reference[c];
}

STOA_KERNEL(reco_legacy_convert, reco_legacy)
{
    static const uint8_t grade[] = {0, 0, RECO_LEGACY_DISCARDED, 1, 3, 3, 7}; /* by RECO_QUALITY */
    const tracks_soa_const *t = &args->tracks;
    const legacy_tracks_soa *o = &args->out;
    const uint32_t rows = *o->count;
    STOA_FOR (i, grid, rows) {
        const uint32_t row = args->index[args->order[i]], hits = track_hits(t->hitOffsets, row);
        float state[5], v[15], covariance[15];
        for (int c = 0; c < 5; c++) state[c] = t->state.data[c * t->state.stride + row];
        for (int c = 0; c < 15; c++) v[c] = t->covariance.data[c * t->covariance.stride + row];
        const legacy_jacobian j = legacy_jacobian_of(state[RECO_STATE_QPT], state[RECO_STATE_COT_THETA], args->field_tesla);
        legacy_covariance(&j, v, covariance);
        for (int c = 0; c < 15; c++) o->covariance.data[c * o->covariance.stride + i] = covariance[c];
        legacy_parameters(args, state, i);
        o->source[i] = row;
        o->quality[i] = grade[t->quality[row] < 6 ? t->quality[row] : 6];
        o->charge[i] = state[RECO_STATE_QPT] < 0.0f ? -1 : 1;
        o->ndof[i] = 2.0f * (float)hits - 5.0f;
        o->chi2[i] = t->chi2[row] * o->ndof[i];
        o->pt[i] = t->pt[row];
        o->eta[i] = t->eta[row];
        o->dz[i] = state[RECO_STATE_ZIP];
        o->dz_error2[i] = v[COV_ZIP_ZIP];
        args->legacy_of[row] = (int32_t)i;
    }
}

#ifndef __CUDACC__
stoa_status reco_tracks_to_legacy(stoa_queue *queue, const reco_legacy *args, stoa_error *err)
{
    RECO_NEED(err, "legacy", queue);
    RECO_NEED(err, "legacy", args);
    RECO_NEED(err, "legacy", args->tracks.nTracks);
    RECO_NEED(err, "legacy", args->out.count);
    const uint32_t capacity = args->tracks.head.rows;
    if (args->out.head.rows < capacity)
        return STOA_FAIL(err, STOA_ESHAPE, "legacy: 'out' has %u rows, the tracks have %u", args->out.head.rows, capacity);
    if (capacity > 0) {
        RECO_NEED(err, "legacy", args->mask);
        RECO_NEED(err, "legacy", args->index);
        RECO_NEED(err, "legacy", args->key);
        RECO_NEED(err, "legacy", args->order);
        RECO_NEED(err, "legacy", args->scratch);
        RECO_NEED(err, "legacy", args->legacy_of);
    }
    STOA_TRY(stoa_queue_launch(queue, &reco_legacy_mask_kernel, args, err));
    const stoa_compact compact = {args->mask,   (const uint32_t *)args->tracks.nTracks, capacity, args->index, args->out.count,
                                  args->scratch};
    STOA_TRY(stoa_algo_compact(queue, &compact, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_legacy_key_kernel, args, err));
    const stoa_sort by_pt = {args->key, args->out.count, capacity, args->order, args->scratch};
    STOA_TRY(stoa_algo_sort(queue, &by_pt, err));
    return stoa_queue_launch(queue, &reco_legacy_convert_kernel, args, err);
}
#endif
