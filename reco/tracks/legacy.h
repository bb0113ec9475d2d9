/* SPDX-License-Identifier: Apache-2.0 */
/** Conversion of pixel tracks to the form that CPU reconstruction reads: perigee parameters with their covariance,
 *  good tracks only, hardest first, and the way back from each row.
 *
 *  A state (phi, tip, q/pt, cot theta, zip) becomes (q/p, lambda, phi, dxy, dsz) through the plane at the beam spot that is
 *  normal to the track's transverse direction:
 *
 *      plane: q/p = sin(theta) q/pt, slopes 0 and -cot(theta), positions tip and -zip
 *      q/p, lambda = atan(cot theta), phi, dxy = tip, dsz = sin(theta) zip
 *
 *  On that plane tip and zip are the position and phi is the direction alone: that a turn moves the point of closest
 *  approach too, by tip times the error of phi, is left out as it is upstream. The Jacobian of both steps together takes
 *  the covariance along. A track moved along the beam meets the plane normal to the nominal one after a path of its own,
 *  on which the field bends it: phi depends on zip through the curvature.
 *
 *      reco_legacy args = {tracks, RECO_QUALITY_TIGHT, 0, RECO_BEAM_SPOT_INIT, 3.8f, mask, index, key, order, scratch,
 *                          legacy, legacy_of};
 *      reco_tracks_to_legacy(queue, &args, &err);
 *
 *  Source: CMSSW's PixelTrackProducerFromSoAAlpaka, described in its steps; the code is our own. Not written: hits and
 *  track extras, whose home is the framework's event. */
#ifndef RECO_TRACKS_LEGACY_H
#define RECO_TRACKS_LEGACY_H

#include "reco/export.h"
#include "reco/formats/beam_spot.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** Tracks with quality >= min_quality, at least min_hits hits and a finite state and covariance, by falling pt; equal
 *  pt keeps the order of the rows. Counts are clipped as in reco_preselection. */
typedef struct reco_legacy {
    tracks_soa_const tracks;
    uint32_t min_quality;
    int32_t min_hits;
    reco_beam_spot beam_spot;
    float field_tesla;        /**< along the beam; 3.8 in CMS, 0: straight lines */
    uint8_t *mask;            /**< scratch [tracks.head.rows] */
    uint32_t *index;          /**< scratch [tracks.head.rows] */
    float *key;               /**< scratch [tracks.head.rows] */
    uint32_t *order;          /**< scratch [tracks.head.rows] */
    uint32_t *scratch;        /**< scratch [2 * tracks.head.rows] */
    legacy_tracks_soa out;    /**< out: all columns and count; rows >= tracks.head.rows */
    int32_t *legacy_of;       /**< out [tracks.head.rows]: row in `out` of each track, -1: dropped */
} reco_legacy;

/** Enqueue the conversion.
 *
 *  shape    see the struct     units  GeV, cm, rad, T
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; ESHAPE rows of `out`, both values; as stoa_queue_launch
 *  source   RecoTracker/PixelTrackFitting, PixelTrackProducerFromSoAAlpaka        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_to_legacy(stoa_queue *queue, const reco_legacy *args, stoa_error *err);

STOA_END_DECLS
#endif
