/* SPDX-License-Identifier: Apache-2.0 */
/** CLUE: points climb to the nearest point in a denser place; dense tops are seeds of clusters.
 *
 *  Many samples (the bunch crossings of an orbit) in one call: sample s has the points [offset[s], offset[s + 1]). The
 *  caller gives the workspace, nothing is allocated. Deterministic: clusters are numbered by their seeds' order in the input,
 *  members stand in the order of the input.
 *
 *      reco_clue args = {.coordinate = {puppi.eta, puppi.phi}, .weight = puppi.pt, .offset = crossings.offset,
 *                        .samples = crossings.crossings, .options = RECO_CLUE_OPTIONS_INIT, ...};
 *      args.options.period[1] = 6.2831853f;
 *      reco_clue_enqueue(queue, &args, &err);
 *
 *  Definition (CLUEstering's, Euclid with the flat kernel), over the points of one sample:
 *   1. rho = own weight + half the weight of every other point with d <= density_radius.
 *   2. Each point points to the nearest one above it with d <= reach; above is larger rho, at equal rho above 0 the later point. reach
 *      is density_radius for points with rho >= density_min and outlier_distance for the others. At equal d the larger rho
 *      wins, then the later point.
 *   3. Points without one are seeds if rho >= density_min; otherwise they and all that lead to them are outliers.
 *  A dimension with a period is a circle: d is the shorter way. Period 0: a line (what upstream does with "wrapped" coordinates and its
 *  default metric, where only the search of tiles wraps). */
#ifndef RECO_CLUSTERING_CLUE_H
#define RECO_CLUSTERING_CLUE_H

#include "reco/export.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

enum { RECO_CLUE_DIMENSIONS_MAX = 10 };

typedef struct reco_clue_options {
    uint32_t dimensions;
    float density_radius, density_min, outlier_distance; /**< dc, rhoc, dm */
    float period[RECO_CLUE_DIMENSIONS_MAX]; /**< of each dimension; 0: none */
} reco_clue_options;
/** The scouting job's: eta, phi. */
#define RECO_CLUE_OPTIONS_INIT {2u, 0.2f, 5.0f, 0.4f, {0.0f}}

typedef struct reco_clue {
    const float *coordinate[RECO_CLUE_DIMENSIONS_MAX]; /**< [point_capacity] each */
    const float *weight;       /**< [point_capacity] */
    const uint32_t *offset;    /**< [samples + 1] first point of each sample */
    const uint32_t *samples;   /**< [1] clipped to sample_capacity */
    uint32_t point_capacity, sample_capacity;
    reco_clue_options options;
    int32_t *cluster_of;       /**< out [point_capacity] point -> cluster, -1 outlier */
    uint32_t *sample_clusters; /**< out [sample_capacity + 1] sample -> first cluster; the last one is their number */
    uint32_t *cluster_points;  /**< out [point_capacity + 1] cluster -> first place in `points` */
    uint32_t *points;          /**< out [point_capacity] points of the clusters, one cluster after the other */
    void *workspace;           /**< aligned to 64 */
    size_t workspace_bytes;    /**< at least reco_clue_workspace_bytes */
} reco_clue;

/** Bytes of workspace.   units bytes   owns nothing   threads any   errors none   since 0.1 */
RECO_API size_t reco_clue_workspace_bytes(uint32_t point_capacity, uint32_t sample_capacity);

/** Enqueue the clustering of all samples. Cost grows with the square of a sample's points.
 *
 *  shape    see the struct
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous      alloc none      threads  one at a time per queue and workspace
 *  errors   EINVAL null pointer, dimensions, or an option below 0 or NaN; ESHAPE workspace, both values; EALIGN; as stoa_queue_launch
 *  source   the definition above, after the description of CLUEstering; the loops are our own      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_clue_enqueue(stoa_queue *queue, const reco_clue *args, stoa_error *err);

STOA_END_DECLS
#endif
