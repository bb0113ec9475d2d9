/* SPDX-License-Identifier: Apache-2.0 */
/** The cut classifier of pixel tracks: three working points over fit quality, layers, hits and distance to a vertex.
 *
 *  The selector that the network replaced. It needs vertices, which need tracks: this circle is why it was replaced.
 *
 *      reco_cut_classifier args = {features, count, vertices, vertex_tracks.ndof, RECO_CUT_TABLE_INIT};
 *      reco_tracks_classify(queue, &args, &err);     // features.score: 1, 0.5, -0.5 or -1
 *
 *  Of the vertices with at least vertex_tracks_min tracks the one closest in z counts; without one the beam spot does. A
 *  track has a grade where it passes every line of the table in that column. With n layers, distances to the vertex
 *  must be below both the window of the table and
 *
 *      min((par1 n)^exponent * own error, (par2 n)^exponent * nominal error)
 *      nominal error of dxy = hypot(d0_error, d0_error_pt / pt), of dz that times cosh(eta)
 *
 *  Source: RecoTracker/FinalTrackSelectors, TrackCutClassifier, with the settings of the Phase-2 HLT's pixel tracks; the
 *  code is our own. Lost layers are not in our data format: that line is left out. Upstream skips the windows of dz and dxy
 *  altogether when the last column has none; here each column has its own. */
#ifndef RECO_TRACKS_CUT_CLASSIFIER_H
#define RECO_TRACKS_CUT_CLASSIFIER_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

#include <math.h>

STOA_BEGIN_DECLS

/** Working points, and the least score of each. */
enum { RECO_WORKING_LOOSE, RECO_WORKING_TIGHT, RECO_WORKING_HIGH_PURITY, RECO_WORKING_POINTS };

/** One column a working point. */
typedef struct reco_cut_table {
    float chi2_max[RECO_WORKING_POINTS];             /**< chi2 / ndof */
    float chi2_per_layer_max[RECO_WORKING_POINTS];   /**< the same over layers */
    float layers_min[RECO_WORKING_POINTS], hits_min[RECO_WORKING_POINTS];
    float dxy_max[RECO_WORKING_POINTS], dz_max[RECO_WORKING_POINTS];   /**< cm, to the vertex */
    float dz_spot_max[RECO_WORKING_POINTS];          /**< cm, to the beam spot, where there is no vertex */
    float dxy_par1[RECO_WORKING_POINTS], dxy_par2[RECO_WORKING_POINTS];
    float dz_par1[RECO_WORKING_POINTS], dz_par2[RECO_WORKING_POINTS];
    float d0_error, d0_error_pt;                     /**< cm, cm GeV */
    int32_t vertex_tracks_min;
} reco_cut_table;
#define RECO_CUT_TABLE_INIT \
    {{9999.0f, 25.0f, 16.0f}, \
     {2.0f, 1.4f, 1.2f}, \
     {3.0f, 3.0f, 3.0f}, \
     {0.0f, 0.0f, 3.0f}, \
     {0.5f, 0.03f, HUGE_VALF}, \
     {0.5f, 0.2f, HUGE_VALF}, \
     {HUGE_VALF, 24.0f, 15.0f}, \
     {0.8f, 0.7f, 0.6f}, \
     {0.6f, 0.5f, 0.45f}, \
     {0.9f, 0.8f, 0.7f}, \
     {0.8f, 0.7f, 0.55f}, \
     0.003f, \
     0.001f, \
     3}

typedef struct reco_cut_classifier {
    track_features_soa features;     /**< in: the inputs, rows [0, count); out: score */
    const uint32_t *count;           /**< clipped to features.head.rows */
    vertices_soa_const vertices;
    const int32_t *ndof;             /**< [nvFinal] tracks of each vertex, less one */
    reco_cut_table table;
} reco_cut_classifier;

/** Least score that a track of this working point has: -0.7, 0.1, 0.7.
 *  owns nothing   threads any   errors NaN outside the range   since 0.1 */
RECO_API float reco_working_point_score(uint32_t working_point);

/** Enqueue the classification; a NaN fails every cut.
 *
 *  shape    see the struct     units  cm, GeV
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL a null pointer, the name in the message; as stoa_queue_launch
 *  source   see the head of this file        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_classify(stoa_queue *queue, const reco_cut_classifier *args, stoa_error *err);

STOA_END_DECLS
#endif
