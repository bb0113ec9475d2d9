/* SPDX-License-Identifier: Apache-2.0 */
/** Selection of pixel tracks: preselection, inputs of the selector model, cut on its score, new collection.
 *
 *  All counts stay in memory, a device's where the tracks are: nothing here comes back to the host, and cost
 *  follows the count and not the capacity. The model itself runs in between, in place on the feature columns
 *  (stoa/session.h).
 *
 *      reco_preselection first = {tracks, RECO_QUALITY_TIGHT, 0, mask, index, count, scratch};
 *      reco_features inputs = {tracks, index, count, features, 0};
 *      reco_selection cut = {features, index, count, 0.4f, mask, slot, kept, kept_count, 0, 0, scratch};
 *      reco_track_gather last = {tracks, kept, kept_count, selected, scratch};
 *      reco_tracks_preselect(queue, &first, &err);
 *      reco_tracks_features(queue, &inputs, &err);
 *      stoa_session_run_counted(session, count, &err);
 *      reco_tracks_select(queue, &cut, &err);
 *      reco_tracks_gather(queue, &last, &err);
 *
 *  Source: CMSSW's PixelTrackTorchHighPuritySelector, described in its steps; the code is our own. */
#ifndef RECO_TRACKS_SELECTION_H
#define RECO_TRACKS_SELECTION_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** Tracks with quality >= min_quality and at least min_hits hits. Rows are those below *tracks.nTracks; a
 *  count above tracks.head.rows is clipped to it, one below 0 selects nothing. */
typedef struct reco_preselection {
    tracks_soa_const tracks;
    uint32_t min_quality;      /**< RECO_QUALITY_TIGHT upstream */
    int32_t min_hits;          /**< 0 upstream: no cut */
    uint8_t *mask;             /**< out [tracks.head.rows] */
    uint32_t *index;           /**< out [tracks.head.rows]: rows of the preselected tracks, ascending */
    uint32_t *count;           /**< out [1]: preselected tracks */
    uint32_t *scratch;         /**< of the compaction, as in stoa_compact */
} reco_preselection;

/** The model's 17 inputs for the preselected tracks, one float column each, as in track_features.def. */
typedef struct reco_features {
    tracks_soa_const tracks;
    const uint32_t *index;         /**< [count] rows of `tracks` */
    const uint32_t *count;         /**< clipped to features.head.rows: later tracks are left out, as they are
                                        of upstream's 9,984 slots */
    track_features_soa features;   /**< out rows [0, count); `score` is left alone */
    uint32_t zero_unused;          /**< 1: rows from count on become 0, for models that run over all slots */
} reco_features;

/** Fourteen combinations of them and of the state, for a forest, as in track_derived.def. */
typedef struct reco_derivation {
    tracks_soa_const tracks;
    const uint32_t *index;         /**< [count] rows of `tracks` */
    const uint32_t *count;         /**< clipped to derived.head.rows */
    track_features_soa features;   /**< read, rows [0, count) */
    track_derived_soa derived;     /**< out rows [0, count) */
} reco_derivation;

/** Tracks whose score reaches the threshold; a score that is NaN does not. */
typedef struct reco_selection {
    track_features_soa features;   /**< `score` is read, rows [0, count) */
    const uint32_t *index;         /**< [count] rows of the original tracks, from the preselection */
    const uint32_t *count;         /**< clipped to features.head.rows */
    float threshold;               /**< 0.4 upstream */
    uint8_t *mask;                 /**< scratch [features.head.rows] */
    uint32_t *slot;                /**< out [features.head.rows]: selected rows of `features`, ascending */
    uint32_t *kept;                /**< out [features.head.rows]: the same as rows of the original tracks */
    uint32_t *kept_count;          /**< out [1] */
    float threshold_prompt;        /**< with a knee: the threshold at |dxy| 0, from where it goes in a line .. */
    float dxy_knee;                /**< .. to `threshold` at this |dxy| and beyond, cm; 0: flat */
    uint32_t *scratch;             /**< of the compaction, as in stoa_compact */
} reco_selection;

/** Tracks by index, as a collection of their own. */
typedef struct reco_track_gather {
    tracks_soa_const tracks;
    const uint32_t *index;   /**< [count] rows of `tracks` */
    const uint32_t *count;   /**< clipped to out.head.rows */
    tracks_soa out;          /**< out: all columns and nTracks; hitOffsets is that of the kept hits laid end
                                  to end. Must not overlap `tracks` */
    uint32_t *scratch;       /**< of the scan, as in stoa_scan */
} reco_track_gather;

/** The hits of tracks that were gathered, laid end to end like them. */
typedef struct reco_hit_gather {
    tracks_soa_const tracks;     /**< the tracks that were gathered from, */
    track_hits_soa_const hits;   /**< with their hits */
    const uint32_t *index;       /**< [nTracks of out_tracks] rows of `tracks` */
    tracks_soa_const out_tracks; /**< out of reco_tracks_gather: hitOffsets tells where each track's hits go */
    track_hits_soa out;          /**< out; hits behind its rows are left out */
    uint32_t *source;            /**< out [out.head.rows] or NULL: where each hit stood in `hits` */
    uint32_t *hit_count;         /**< out [1]: hits that the tracks have, those without room too */
} reco_hit_gather;

/** Enqueue the preselection.
 *
 *  shape    see the struct       units  as tracks.def
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous         alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; as stoa_queue_launch
 *  source   step 1 of PixelTrackTorchHighPuritySelector: mask, scan, compaction        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_preselect(stoa_queue *queue, const reco_preselection *args, stoa_error *err);

/** Enqueue the filling of the features: copies, square roots of the covariance's diagonal (NaN where it is
 *  negative, which the model's preprocessing turns to 0), hits as the difference of hitOffsets.
 *
 *  units    as track_features.def
 *  owns, sync, alloc, threads, errors as reco_tracks_preselect
 *  source   step 2 of PixelTrackTorchHighPuritySelector        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_features(stoa_queue *queue, const reco_features *args, stoa_error *err);

/** Enqueue the derivation of further features from those of reco_tracks_features.
 *
 *  units    as track_derived.def
 *  owns, sync, alloc, threads, errors as reco_tracks_preselect        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_derive(stoa_queue *queue, const reco_derivation *args, stoa_error *err);

/** Enqueue the cut on the score.
 *
 *  owns, sync, alloc, threads, errors as reco_tracks_preselect
 *  source   step 4 of PixelTrackTorchHighPuritySelector        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_select(stoa_queue *queue, const reco_selection *args, stoa_error *err);

/** Enqueue the gathering of tracks into a new collection. Their hits follow by reco_hits_gather.
 *
 *  owns, sync, alloc, threads as reco_tracks_preselect
 *  errors   EINVAL a null pointer; EOVERLAP out is tracks; as stoa_queue_launch
 *  source   step 5 of PixelTrackTorchHighPuritySelector        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_gather(stoa_queue *queue, const reco_track_gather *args, stoa_error *err);

/** Enqueue the gathering of the hits of gathered tracks. Offsets beyond the rows of `hits`, of a broken event, give
 *  hits of id and detId 0xFFFFFFFF.
 *
 *  owns, sync, alloc, threads as reco_tracks_preselect
 *  errors   EINVAL a null pointer; EOVERLAP out is hits; as stoa_queue_launch
 *  source   step 5 of PixelTrackTorchHighPuritySelector        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_hits_gather(stoa_queue *queue, const reco_hit_gather *args, stoa_error *err);

STOA_END_DECLS
#endif
