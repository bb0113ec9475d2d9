/* SPDX-License-Identifier: Apache-2.0 */
/** What a track's hits say of it, for CATrackDNN: CMSSW's gate inside the track builder, which lifts tracks from strict to tight.
 *
 *  The gate decides in place of the cut on chi2, so tracks from strict on are scored; who passes is tight at least:
 *
 *      reco_preselection first = {tracks, RECO_QUALITY_STRICT, 3, mask, index, count};
 *      reco_hit_features inputs = {tracks, hits, rec_hits, index, count, features};
 *      reco_tracks_preselect(queue, &first, &err);
 *      reco_tracks_hit_features(queue, &inputs, &err);
 *      stoa_session_run_counted(session, count, &err);       // .. reco_tracks_select, reco_tracks_gather into `selected`
 *      reco_tracks_promote(queue, &(reco_promotion){selected, RECO_QUALITY_TIGHT}, &err);
 *
 *  A stub measures a curvature, dPhiDr / sqrt(1 + r^2 dPhiDr^2) at radius r: half the track's, where that comes from the beam.
 *
 *  Source: RecoTracker/PixelSeeding, CATrackFeatures.h, described in its steps; the code is our own. The circle's distance is taken
 *  without the difference of two large numbers. */
#ifndef RECO_TRACKS_HIT_FEATURES_H
#define RECO_TRACKS_HIT_FEATURES_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** The twelve inputs of hit_features.def. A track with fewer than 3 hits, with hits that are not there, or of whose inputs one is
 * not finite has NaN in all of them: which scores no network gives, a score cut then must not pass. */
typedef struct reco_hit_features {
    tracks_soa_const tracks;
    track_hits_soa_const hits;     /**< hits of the tracks, end to end */
    rec_hits_soa_const rec_hits;   /**< where they are */
    const uint32_t *index;         /**< [count] rows of `tracks` */
    const uint32_t *count;         /**< clipped to features.head.rows */
    hit_features_soa features;     /**< out rows [0, count) */
} reco_hit_features;

/** Scores of tracks without inputs become NaN, whatever the network made of them. */
typedef struct reco_hit_verdict {
    hit_features_soa features;     /**< read: log_chi2, rows [0, count) */
    const uint32_t *count;         /**< clipped to features.head.rows */
    float *score;                  /**< in, out [count] */
} reco_hit_verdict;

/** Raise the quality of all of an event's tracks to at least `quality`. */
typedef struct reco_promotion {
    tracks_soa tracks;
    uint32_t quality;
} reco_promotion;

/** Enqueue the features.
 *
 *  shape    see the struct     units  cm, rad
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; as stoa_queue_launch        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_hit_features(stoa_queue *queue, const reco_hit_features *args, stoa_error *err);

/** Enqueue the check of the scores.
 *
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; as stoa_queue_launch        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_hit_verdict(stoa_queue *queue, const reco_hit_verdict *args, stoa_error *err);

/** Enqueue the promotion.
 *
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; as stoa_queue_launch        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_promote(stoa_queue *queue, const reco_promotion *args, stoa_error *err);

STOA_END_DECLS
#endif
