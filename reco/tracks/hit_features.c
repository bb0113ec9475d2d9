/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/tracks/hit_features.h"

#include "reco/check.h"
#include "reco/tracks/track_kernels.h"

#include <math.h>

#define HIT_CHI2_MAX 1e4f
enum { HIT_FEATURES = 12, HITS_MIN = 3, STUBS_OF_CHI2 = 3 };

/* A track's hits in the event's list. */
typedef struct hit_range {
    const uint32_t *id;
    uint32_t count;
} hit_range;

STOA_DEVICE int hits_of(const reco_hit_features *args, uint32_t row, hit_range *hits)
{
    const uint32_t first = track_first_hit(args->tracks.hitOffsets, row), end = args->tracks.hitOffsets[row];
    if (end < first || end > args->hits.head.rows) return 0;
    hits->id = args->hits.id + first;
    hits->count = end - first;
    for (uint32_t k = 0; k < hits->count; k++)
        if (hits->id[k] >= args->rec_hits.head.rows) return 0;
    return hits->count >= HITS_MIN;
}

/* From the origin to the circle through a, m and b. `twice` is twice the cross product of the sides at m, (x, y) the way from m to
 * the centre, times that. | |centre| - radius | is (|centre|^2 - radius^2) / (|centre| + radius), and the large terms of the
 * numerator cancel before they are computed. */
STOA_DEVICE float circle_distance(const rec_hits_soa_const *at, uint32_t a, uint32_t m, uint32_t b)
{
    const float xm = at->xGlobal[m], ym = at->yGlobal[m];
    const float xa = at->xGlobal[a] - xm, ya = at->yGlobal[a] - ym, xb = at->xGlobal[b] - xm, yb = at->yGlobal[b] - ym;
    const float twice = 2.0f * (xa * yb - ya * xb), a2 = xa * xa + ya * ya, b2 = xb * xb + yb * yb;
    const float x = a2 * yb - b2 * ya, y = b2 * xa - a2 * xb;
    if (twice == 0.0f) return 0.0f; /* a straight line has none upstream */
    const float square = (xm * xm + ym * ym) * twice + 2.0f * (xm * x + ym * y);
    const float xc = xm * twice + x, yc = ym * twice + y;
    return fabsf(square) / (sqrtf(xc * xc + yc * yc) + sqrtf(x * x + y * y));
}

/* Sums over a track's stubs; weights are 1/error^2 of the curvature. */
typedef struct stub_sums {
    uint32_t stubs, ps, barrel, bent;
    float weight, curvature, square;
} stub_sums;

STOA_DEVICE void add_stub(const rec_hits_soa_const *at, uint32_t hit, stub_sums *sums)
{
    const float x = at->xGlobal[hit], y = at->yGlobal[hit], bend = at->dPhiDr[hit], error = at->dPhiDrError[hit];
    const uint32_t flags = at->flags[hit];
    if (!(error >= 0.0f)) return;
    sums->stubs++;
    sums->ps += (flags & RECO_STUB_PS) != 0;
    sums->barrel += (flags & RECO_STUB_BARREL) != 0;
    if (!(error > 0.0f)) return;
    const float stretch = 1.0f + (x * x + y * y) * bend * bend, curvature = bend / sqrtf(stretch);
    const float weight = stretch * stretch * stretch / (error * error);
    sums->bent++;
    sums->weight += weight;
    sums->curvature += weight * curvature;
    sums->square += weight * curvature * curvature;
}

STOA_DEVICE float stub_chi2(const stub_sums *sums)
{
    if (sums->bent < STUBS_OF_CHI2 || !(sums->weight > 0.0f)) return 0.0f;
    const float chi2 = (sums->square - sums->curvature * sums->curvature / sums->weight) / (float)(sums->bent - 1);
    return chi2 > 0.0f ? chi2 : 0.0f;
}

/* In the order of hit_features.def. */
STOA_DEVICE void measure_track(const reco_hit_features *args, uint32_t row, hit_range hits, float out[HIT_FEATURES])
{
    const rec_hits_soa_const *at = &args->rec_hits;
    const uint32_t first = hits.id[0], last = hits.id[hits.count - 1];
    const float chi2 = args->tracks.chi2[row], x = at->xGlobal[first], y = at->yGlobal[first];
    stub_sums sums = {0, 0, 0, 0, 0.0f, 0.0f, 0.0f};
    for (uint32_t k = 0; k < hits.count; k++) add_stub(at, hits.id[k], &sums);
    out[0] = log1pf(chi2 >= 0.0f && chi2 <= HIT_CHI2_MAX ? chi2 : HIT_CHI2_MAX);
    out[1] = (float)sums.ps / (float)(sums.stubs ? sums.stubs : 1);
    out[2] = sqrtf(x * x + y * y);
    out[3] = (float)sums.ps;
    out[4] = (float)hits.count;
    out[5] = fabsf(at->zGlobal[last] - at->zGlobal[first]);
    out[6] = (float)sums.stubs;
    out[7] = (float)args->tracks.nLayers[row];
    out[8] = log1pf(stub_chi2(&sums));
    out[9] = sums.weight > 0.0f ? 1.0f / sqrtf(sums.weight) : -1.0f;
    out[10] = circle_distance(at, first, hits.id[hits.count / 2], last);
    out[11] = (float)sums.barrel;
}

STOA_KERNEL(reco_tracks_hit_features, reco_hit_features)
{
    const hit_features_soa f = args->features;
    float *const columns[HIT_FEATURES] = {f.log_chi2, f.ps_fraction, f.first_r,       f.ps_stubs,        f.hits, f.span_z,
                                          f.stubs,    f.layers,      f.log_stub_chi2, f.curvature_error, f.dca,  f.barrel_stubs};
    STOA_FOR (i, grid, rows_below(args->count, f.head.rows)) {
        const uint32_t row = args->index[i];
        float value[HIT_FEATURES];
        hit_range hits;
        int good = hits_of(args, row, &hits);
        if (good) measure_track(args, row, hits, value);
        for (int k = 0; good && k < HIT_FEATURES; k++) good = fabsf(value[k]) < HUGE_VALF;
        for (int k = 0; k < HIT_FEATURES; k++) columns[k][i] = good ? value[k] : NAN;
    }
}

STOA_KERNEL(reco_tracks_hit_verdict, reco_hit_verdict)
{
    STOA_FOR (i, grid, rows_below(args->count, args->features.head.rows))
        if (!(args->features.log_chi2[i] >= 0.0f)) args->score[i] = NAN;
}

STOA_KERNEL(reco_tracks_promote, reco_promotion)
{
    const int32_t count = *args->tracks.nTracks;
    const uint32_t rows = count < 0 ? 0 : (uint32_t)count;
    STOA_FOR (i, grid, rows < args->tracks.head.rows ? rows : args->tracks.head.rows)
        if (args->tracks.quality[i] < args->quality) args->tracks.quality[i] = (uint8_t)args->quality;
}

#ifndef __CUDACC__
stoa_status reco_tracks_hit_features(stoa_queue *queue, const reco_hit_features *args, stoa_error *err)
{
    RECO_NEED(err, "hit features", queue);
    RECO_NEED(err, "hit features", args);
    RECO_NEED(err, "hit features", args->count);
    if (args->features.head.rows == 0) return STOA_OK;
    RECO_NEED(err, "hit features", args->index);
    RECO_NEED(err, "hit features", args->tracks.hitOffsets);
    RECO_NEED(err, "hit features", args->features.log_chi2);
    if (args->hits.head.rows > 0) RECO_NEED(err, "hit features", args->hits.id);
    if (args->rec_hits.head.rows > 0) RECO_NEED(err, "hit features", args->rec_hits.xGlobal);
    return stoa_queue_launch(queue, &reco_tracks_hit_features_kernel, args, err);
}

stoa_status reco_tracks_hit_verdict(stoa_queue *queue, const reco_hit_verdict *args, stoa_error *err)
{
    RECO_NEED(err, "hit verdict", queue);
    RECO_NEED(err, "hit verdict", args);
    RECO_NEED(err, "hit verdict", args->count);
    if (args->features.head.rows == 0) return STOA_OK;
    RECO_NEED(err, "hit verdict", args->features.log_chi2);
    RECO_NEED(err, "hit verdict", args->score);
    return stoa_queue_launch(queue, &reco_tracks_hit_verdict_kernel, args, err);
}

stoa_status reco_tracks_promote(stoa_queue *queue, const reco_promotion *args, stoa_error *err)
{
    RECO_NEED(err, "promotion", queue);
    RECO_NEED(err, "promotion", args);
    RECO_NEED(err, "promotion", args->tracks.nTracks);
    if (args->tracks.head.rows > 0) RECO_NEED(err, "promotion", args->tracks.quality);
    return stoa_queue_launch(queue, &reco_tracks_promote_kernel, args, err);
}
#endif
