/* SPDX-License-Identifier: Apache-2.0 */
/** Vertices along the beam by division: tracks are cut into groups at gaps, each group into clusters around weighted means.
 *
 *  The producer that runs behind the conversion to legacy tracks; for the finder by density see density.h, whose columns
 *  and outputs are the same. One event a call, the caller gives the workspace, nothing is allocated.
 *
 *      reco_divisive_load load = {legacy, RECO_DIVISIVE_CUTS_INIT, in, mask};
 *      reco_divisive_find find = {in, RECO_DIVISIVE_OPTIONS_INIT, RECO_BEAM_SPOT_INIT, vertices, vertex_tracks,
 *                                 tracks.nTracks, found, workspace, reco_divisive_workspace_bytes(in.capacity)};
 *      reco_divisive_load_tracks(queue, &load, &err);
 *      reco_divisive_vertices(queue, &find, &err);
 *
 *  Definition, over the tracks with finite z and a squared error e that is above 1e-30 and finite:
 *   1. Sorted by z; a group ends where the next track is `separation` or more away. Fewer than tracks_min: dropped.
 *   2. In a group, over and over: m = sum(z/e) / sum(1/e); tracks with |z - m| >= offset_max sqrt(e) leave, until none does.
 *   3. At least tracks_min are left: a vertex, z = m, weight = sum(1/e), chi2 = sum((z - m)^2 / e), ndof = n - 1. Those that
 *      left start again at step 2 if they are tracks_min or more. Otherwise the group is done.
 *   4. ptv2 is the sum of pt2, and sortInd ascends in it. No vertex at all: one at the beam spot (z 0, error sigma_z, ndof 0,
 *      ptv2 0), without tracks.
 *  Vertices are numbered as they are found: group after group upwards in z. Sums are float, in a fixed order: same input,
 *  same bits. */
#ifndef RECO_VERTEXING_DIVISIVE_H
#define RECO_VERTEXING_DIVISIVE_H

#include "reco/formats/beam_spot.h"
#include "reco/vertexing/density.h"

STOA_BEGIN_DECLS

/** Which legacy tracks enter, and what pt counts for. */
typedef struct reco_divisive_cuts {
    float pt_min;              /**< GeV; pt > pt_min enters */
    float pt2_low, pt2_high;   /**< GeV; pt is clipped to these before it is squared for ptv2 */
} reco_divisive_cuts;
#define RECO_DIVISIVE_CUTS_INIT {1.0f, 1.0f, 10.0f}

typedef struct reco_divisive_load {
    legacy_tracks_soa_const tracks;
    reco_divisive_cuts cuts;
    reco_vertex_input out;   /**< out: all columns and count; `row` is the source of each track; capacity >= rows */
    uint8_t *mask;           /**< scratch [tracks.head.rows] */
    uint32_t *scratch;       /**< of the compaction, as in stoa_compact */
} reco_divisive_load;

typedef struct reco_divisive_options {
    uint32_t tracks_min;
    float offset_max;     /**< in errors of the track */
    float separation;     /**< cm */
} reco_divisive_options;
#define RECO_DIVISIVE_OPTIONS_INIT {2u, 5.0f, 0.005f}

typedef struct reco_divisive_find {
    reco_vertex_input in;         /**< read only */
    reco_divisive_options options;
    reco_beam_spot beam_spot;     /**< sigma_z is used */
    vertices_soa vertices;        /**< out rows [0, nvFinal), at least 1 and at most 32,767; no room: the rest is noise */
    vertex_tracks_soa tracks;     /**< out as in reco_vertex_find */
    const int32_t *track_count;   /**< rows of idv to set to -1 first, clipped to tracks.head.rows */
    uint32_t *found;              /**< out [1] or NULL: vertices found, those without room too, not the beam spot */
    void *workspace;              /**< aligned to 64 */
    size_t workspace_bytes;       /**< at least reco_divisive_workspace_bytes(in.capacity) */
} reco_divisive_find;

/** Bytes of workspace for up to `capacity` tracks: 28 each and a little.
 *  units bytes   owns nothing   threads any   errors none   since 0.1 */
RECO_API size_t reco_divisive_workspace_bytes(uint32_t capacity);

/** Enqueue the loading of the columns from legacy tracks; pt2 = clip(pt, pt2_low, pt2_high)^2.
 *
 *  shape    see the struct     units  cm, cm^2, GeV^2
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL null pointer; ESHAPE capacity below the rows, both values; as stoa_queue_launch
 *  source   RecoVertex/PixelVertexFinding, PixelVertexProducer        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_divisive_load_tracks(stoa_queue *queue, const reco_divisive_load *args, stoa_error *err);

/** Enqueue the search: steps 1 to 4.
 *
 *  shape    see the struct     units  cm, 1/cm^2, GeV^2
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue and workspace
 *  errors   EINVAL null pointer, tracks_min 0, or an option below 0 or NaN; ESHAPE workspace or rows too small, both
 *           values; EALIGN workspace; as stoa_queue_launch
 *  source   the definition above, after CommonTools/Clustering1D, DivisiveClusterizer1D; there the mean is a running
 *           one whose error grows, here it is the weighted mean        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_divisive_vertices(stoa_queue *queue, const reco_divisive_find *args, stoa_error *err);

STOA_END_DECLS
#endif
