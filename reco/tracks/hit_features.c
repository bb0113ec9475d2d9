/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/tracks/hit_features.h"

#include "reco/check.h"
#include "reco/tracks/track_kernels.h"
#include "reco/vector_levels.h"

#include <math.h>
#include <string.h>

#define HIT_CHI2_MAX 1e4f
enum { HIT_FEATURES = 12, HITS_MIN = 3, STUBS_OF_CHI2 = 3, TRACK_LANES = STOA_ALONE ? 64 : 1 }; /* on a GPU a thread is a lane */

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

/* Tracks by lanes: what the inputs are made of, and these, in the order of hit_features.def. */
typedef struct track_block {
    float x[3][TRACK_LANES], y[3][TRACK_LANES]; /* of the first, the middle and the last hit */
    float bent[TRACK_LANES], weight[TRACK_LANES], curvature[TRACK_LANES], square[TRACK_LANES];
    int32_t good[TRACK_LANES];
    float value[HIT_FEATURES][TRACK_LANES];
} track_block;

/* From the origin to the circle through a track's three hits a, m and b. `twice` is twice the cross product of the sides at m, (x, y)
 * the way from m to the centre, times that. | |centre| - radius | is (|centre|^2 - radius^2) / (|centre| + radius), and the large terms
 * of the numerator cancel before they are computed. A straight line has no centre. */
STOA_DEVICE float circle_distance(const track_block *b, uint32_t l)
{
    const float xm = b->x[1][l], ym = b->y[1][l];
    const float xa = b->x[0][l] - xm, ya = b->y[0][l] - ym, xb = b->x[2][l] - xm, yb = b->y[2][l] - ym;
    const float twice = 2.0f * (xa * yb - ya * xb), a2 = xa * xa + ya * ya, b2 = xb * xb + yb * yb;
    const float x = a2 * yb - b2 * ya, y = b2 * xa - a2 * xb;
    const float square = (xm * xm + ym * ym) * twice + 2.0f * (xm * x + ym * y);
    const float xc = xm * twice + x, yc = ym * twice + y;
    const float distance = fabsf(square) / (sqrtf(xc * xc + yc * yc) + sqrtf(x * x + y * y));
    return twice == 0.0f ? 0.0f : distance;
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

STOA_DEVICE float stub_chi2(const track_block *b, uint32_t l)
{
    const float chi2 = (b->square[l] - b->curvature[l] * b->curvature[l] / b->weight[l]) / (b->bent[l] - 1.0f);
    return (b->bent[l] >= STUBS_OF_CHI2) & (b->weight[l] > 0.0f) & (chi2 > 0.0f) ? chi2 : 0.0f;
}

/* log(1 + x) of x >= 0 within one unit in the last place; infinity and NaN stay. One plus x is m 2^k with m around 1; Cephes' polynomial
 * gives log m, and what the sum lost is put back. Without a call or a branch, so that it is a vector function. */
STOA_DEVICE float log1p_of(float x)
{
    const float one_plus = 1.0f + x, lost = (x - (one_plus - 1.0f)) / one_plus;
    const int32_t half_root = 0x3F3504F3; /* the bits of sqrt(1/2) */
    int32_t bits;
    float r;
    memcpy(&bits, &one_plus, sizeof bits);
    const int32_t k = (bits - half_root) >> 23;
    bits -= k * (1 << 23);
    memcpy(&r, &bits, sizeof r);
    r -= 1.0f;
    const float z = r * r;
    float p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    const float n = (float)k, tail = p * r * z - 2.12194440e-4f * n - 0.5f * z + lost; /* ln 2 in two parts */
    return (x >= 0.0f) & (x < HUGE_VALF) ? r + tail + 0.693359375f * n : x;
}

/* The i-th track into lane l, with the inputs that are found on the way. */
STOA_DEVICE void read_track(const reco_hit_features *args, uint32_t i, track_block *b, uint32_t l)
{
    const rec_hits_soa_const *at = &args->rec_hits;
    const uint32_t row = args->index[i];
    const float chi2 = args->tracks.chi2[row];
    stub_sums sums = {0, 0, 0, 0, 0.0f, 0.0f, 0.0f};
    hit_range hits = {0, 0};
    b->good[l] = hits_of(args, row, &hits);
    const uint32_t count = b->good[l] ? hits.count : 0, chosen[3] = {0, count / 2, count - 1};
    for (uint32_t k = 0; k < 3; k++) {
        b->x[k][l] = count > 0 ? at->xGlobal[hits.id[chosen[k]]] : 0.0f;
        b->y[k][l] = count > 0 ? at->yGlobal[hits.id[chosen[k]]] : 0.0f;
    }
    for (uint32_t k = 0; k < count; k++) add_stub(at, hits.id[k], &sums);
    b->bent[l] = (float)sums.bent;
    b->weight[l] = sums.weight;
    b->curvature[l] = sums.curvature;
    b->square[l] = sums.square;
    b->value[0][l] = chi2 >= 0.0f && chi2 <= HIT_CHI2_MAX ? chi2 : HIT_CHI2_MAX;
    b->value[3][l] = (float)sums.ps;
    b->value[4][l] = (float)count;
    b->value[5][l] = count > 0 ? fabsf(at->zGlobal[hits.id[count - 1]] - at->zGlobal[hits.id[0]]) : 0.0f;
    b->value[6][l] = (float)sums.stubs;
    b->value[7][l] = (float)args->tracks.nLayers[row];
    b->value[11][l] = (float)sums.barrel;
}

/* The other inputs: roots, quotients and logarithms, of all lanes. A loop for each, for compilers make vectors of no longer ones. */
RECO_VECTOR_LEVELS void finish_tracks(track_block *b)
{
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[10][l] = circle_distance(b, l);
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[8][l] = stub_chi2(b, l);
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[9][l] = b->weight[l] > 0.0f ? 1.0f / sqrtf(b->weight[l]) : -1.0f;
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[2][l] = sqrtf(b->x[0][l] * b->x[0][l] + b->y[0][l] * b->y[0][l]);
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[1][l] = b->value[3][l] / (b->value[6][l] > 0.0f ? b->value[6][l] : 1.0f);
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[0][l] = log1p_of(b->value[0][l]);
    for (uint32_t l = 0; l < TRACK_LANES; l++) b->value[8][l] = log1p_of(b->value[8][l]);
    for (int k = 0; k < HIT_FEATURES; k++)
        for (uint32_t l = 0; l < TRACK_LANES; l++) b->good[l] &= fabsf(b->value[k][l]) < HUGE_VALF;
}

STOA_KERNEL(reco_tracks_hit_features, reco_hit_features)
{
    const hit_features_soa f = args->features;
    float *const columns[HIT_FEATURES] = {f.log_chi2, f.ps_fraction, f.first_r,       f.ps_stubs,        f.hits, f.span_z,
                                          f.stubs,    f.layers,      f.log_stub_chi2, f.curvature_error, f.dca,  f.barrel_stubs};
    const uint32_t rows = rows_below(args->count, f.head.rows);
    track_block block = {0};
    for (uint32_t first = grid.index * TRACK_LANES; first < rows; first += grid.size * TRACK_LANES) {
        const uint32_t lanes = rows - first < TRACK_LANES ? rows - first : TRACK_LANES;
        for (uint32_t l = 0; l < lanes; l++) read_track(args, first + l, &block, l);
        finish_tracks(&block);
        for (uint32_t k = 0; k < HIT_FEATURES; k++)
            for (uint32_t l = 0; l < lanes; l++) columns[k][first + l] = block.good[l] ? block.value[k][l] : NAN;
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
