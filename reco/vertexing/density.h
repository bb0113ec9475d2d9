/* SPDX-License-Identifier: Apache-2.0 */
/** Vertices along the beam by density: tracks climb to a neighbour in a denser place, the tops are vertices.
 *
 *  One event a call. The caller gives the workspace, nothing is allocated, and there is no cap on tracks but
 *  the workspace. Single precision. Units: cm, GeV. The columns may be a file's own (`row` NULL) or loaded
 *  from a collection of tracks:
 *
 *      reco_vertex_load load = {tracks, RECO_VERTEX_CUTS_INIT, in, mask};
 *      reco_vertex_find find = {in, RECO_VERTEX_OPTIONS_INIT, vertices, vertex_tracks, tracks.nTracks, NULL,
 *                               workspace, reco_vertices_workspace_bytes(in.capacity)};
 *      reco_vertices_load(queue, &load, &err);
 *      reco_vertices_find(queue, &find, &err);
 *
 *  Definition, over the tracks with finite z and a squared error e that is above 1e-30 and finite; the others
 *  are noise. Each difference, product and sum is rounded to float. Two tracks are *compatible* when
 *  dz <= eps and dz * dz <= chi2_max * (e1 + e2).
 *   1. nn: for a track with e <= error_max^2 the number of compatible others, else 0.
 *   2. Height: larger nn is higher; at equal nn smaller z; at equal z (-0 before +0) the earlier track.
 *   3. Each track points to the closest compatible one above it. At equal distance the one later in (z,
 *      input) order wins. A track with none above it is a top.
 *   4. Tops with nn >= neighbours_min are vertices, numbered in the order of the input; tracks that end at
 *      another top are noise.
 *   5. Fit: z = sum(z/e) / sum(1/e). Tracks with (z - zv)^2/e > fit_chi2_max are dropped; chi2 and
 *      ndof = n - 1 are those of the others, z and weight keep all. weight *= ndof / chi2 where both are > 0.
 *   6. Split vertices with 4 <= ndof < split_ndof_end and chi2 >= split_chi2 * ndof: two means weighted by
 *      1/e, from the sign of z - zv, at most split_rounds rounds. Accepted when neither part is empty and
 *      (z0 - z1)^2 >= split_distance2 * (1/w0 + 1/w1). The upper part gets the next free number, in the order
 *      of the vertices split.
 *   7. After the splitting all are fitted again, with 5000 for fit_chi2_max. ptv2 is the sum of pt2 over the
 *      tracks.
 *
 *  Patatrack looks only into bins of 1 mm on either side; with eps <= 0.1 cm that is the same. It leaves
 *  equal z and nn unordered, and its "later" goes by its bins: steps 2 and 3 are the same up to such ties.
 *  Steps 1 to 4 are exact; fits are float sums in a fixed order: same input, same bits. */
#ifndef RECO_VERTEXING_DENSITY_H
#define RECO_VERTEXING_DENSITY_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** Which tracks of a collection enter. */
typedef struct reco_vertex_cuts {
    uint32_t min_quality;
    uint32_t skip_triplets;   /**< 1: tracks with 3 layers stay out */
    float pt_min, pt_max;     /**< pt >= pt_min; pt is clipped to pt_max in pt2 */
} reco_vertex_cuts;
#define RECO_VERTEX_CUTS_INIT {RECO_QUALITY_HIGH_PURITY, 1u, 0.5f, 75.0f}

/** Columns that the finder reads. */
typedef struct reco_vertex_input {
    float *z;           /**< [capacity] */
    float *z_error2;    /**< [capacity] squared error of z */
    float *pt2;         /**< [capacity] squared pt, for ptv2 */
    uint32_t *row;      /**< [capacity] row of each in vertex_tracks; NULL: its own number */
    uint32_t *count;    /**< [1] clipped to capacity */
    uint32_t capacity;
} reco_vertex_input;

typedef struct reco_vertex_load {
    tracks_soa_const tracks;
    reco_vertex_cuts cuts;
    reco_vertex_input out;   /**< out: all columns and count; capacity >= tracks.head.rows */
    uint8_t *mask;           /**< scratch [tracks.head.rows] */
    uint32_t *scratch;       /**< of the compaction, as in stoa_compact */
} reco_vertex_load;

/** Parameters; the first four are those that the Patatrack plugin calls minT, eps, errmax, chi2max. */
typedef struct reco_vertex_options {
    uint32_t neighbours_min;
    float eps, error_max;      /**< cm */
    float chi2_max;
    float fit_chi2_max;
    uint32_t split;            /**< 1: split, 0: step 6 and the second fit are left out */
    float split_chi2, split_distance2;
    uint32_t split_rounds, split_ndof_end;
} reco_vertex_options;
#define RECO_VERTEX_OPTIONS_INIT {2u, 0.07f, 0.01f, 9.0f, 50.0f, 1u, 9.0f, 4.0f, 20u, 512u}

typedef struct reco_vertex_find {
    reco_vertex_input in;         /**< read only */
    reco_vertex_options options;
    vertices_soa vertices;        /**< out rows [0, nvFinal), at most 32,767. No room for all tops: the first
                                       in number stay, the others are noise; no room for a part: not split */
    vertex_tracks_soa tracks;     /**< out idv: vertex, or -1 for noise and tracks left out; ndof of vertex i
                                       in row i. rows >= in.capacity where `row` is NULL, else above all of
                                       `row` */
    const int32_t *track_count;   /**< rows of idv to set to -1 first, clipped to tracks.head.rows; NULL (the
                                       rows of `in`) only where `row` is NULL */
    uint32_t *top_count;          /**< out [1] or NULL: tops with enough neighbours, those without room too */
    void *workspace;              /**< aligned to 64 */
    size_t workspace_bytes;       /**< at least reco_vertices_workspace_bytes(in.capacity) */
} reco_vertex_find;

/** Bytes of workspace for up to `capacity` tracks: 56 each and a little.
 *  units bytes   owns nothing   threads any   errors none   since 0.1 */
RECO_API size_t reco_vertices_workspace_bytes(uint32_t capacity);

/** Enqueue the loading of the finder's columns from a collection; pt2 = min(pt, pt_max)^2.
 *
 *  shape    see the struct     units  cm, cm^2, GeV^2
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL null pointer; ESHAPE capacity below the rows, both values; as stoa_queue_launch
 *  source   RecoVertex/PixelVertexFinding, load step        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_vertices_load(stoa_queue *queue, const reco_vertex_load *args, stoa_error *err);

/** Enqueue the search: steps 1 to 7 and the order by ptv2, on columns that were loaded or are the caller's.
 *
 *  shape    see the struct     units  cm, 1/cm^2, GeV^2
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue and workspace
 *  errors   EINVAL null pointer, or a length, error or chi2 of the options below 0 or NaN; ESHAPE workspace
 *           or rows too small, both values; EALIGN workspace; as stoa_queue_launch
 *  source   the definition above, after the description of RecoVertex/PixelVertexFinding (Alpaka); the loops
 *           are our own        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_vertices_find(stoa_queue *queue, const reco_vertex_find *args, stoa_error *err);

STOA_END_DECLS
#endif
