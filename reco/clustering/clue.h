/* SPDX-License-Identifier: Apache-2.0 */
/** CLUE: points climb to the nearest point in a denser place; dense tops are seeds of clusters.
 *
 *  One sample or many (the bunch crossings of an orbit) in one call: sample s has the points [offset[s], offset[s + 1]).
 *  Their number may lie on the device. The caller gives the workspace, nothing is allocated, and there is no cap but the
 *  capacities. Deterministic, and a sample gives the same alone and among others: clusters are numbered by their seeds'
 *  order in the input, members stand in the order of the input.
 *
 *      reco_clue args = {.coordinate = {puppi.eta, puppi.phi}, .weight = puppi.pt, .offset = crossings.offset,
 *                        .samples = crossings.crossings, .options = RECO_CLUE_OPTIONS_INIT, ...};
 *      args.options.period[1] = 6.2831853f;
 *      reco_clue_enqueue(queue, &args, &err);
 *
 *  Definition (CLUEstering's), over the points of one sample whose coordinates are finite; the others are outliers and count
 *  for nobody. d is the distance of two points by `metric`, each coordinate first multiplied by its scale; a coordinate
 *  with a period lies on a circle and the way along it is the shorter one.
 *   1. rho = own weight + the sum of k(d) times the weight of every other point with d <= density_radius.
 *   2. Each point points to the nearest one above it with d <= reach; above is larger rho, at equal rho above 0 the later
 *      point. reach is seeding_distance for points with rho >= density_min and outlier_distance for the others. At equal d
 *      the larger rho wins, then the later point.
 *   3. Points without one are seeds if rho >= density_min; otherwise they and all that lead to them are outliers.
 *  Upstream's "wrapped" coordinates wrap its search of tiles and not the distance: with its default metric that is
 *  period 0 here. Tiles serve the search only and have no effect on the result. */
#ifndef RECO_CLUSTERING_CLUE_H
#define RECO_CLUSTERING_CLUE_H

#include "reco/export.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

enum { RECO_CLUE_DIMENSIONS_MAX = 10 };
#define RECO_CLUE_DISTANCE_MAX 1e18f /**< of radii, periods and scales: its square is finite */

typedef enum reco_clue_metric {
    RECO_CLUE_EUCLID = 0,
    RECO_CLUE_MANHATTAN = 1,
    RECO_CLUE_CHEBYSHEV = 2,
    RECO_CLUE_BOX = 3, /**< within reach by Chebyshev's distance, the nearest by Euclid's: CLUEstering until autumn 2025 */
    RECO_CLUE_METRIC_COUNT
} reco_clue_metric;

/** k(d), with a the amplitude and s the width of the options. */
typedef enum reco_clue_kernel {
    RECO_CLUE_FLAT = 0,        /**< a */
    RECO_CLUE_GAUSSIAN = 1,    /**< a exp(-d^2 / (2 s^2)) */
    RECO_CLUE_EXPONENTIAL = 2, /**< a exp(-d / s) */
    RECO_CLUE_KERNEL_COUNT
} reco_clue_kernel;

typedef struct reco_clue_options {
    uint32_t dimensions;
    float density_radius, density_min, outlier_distance; /**< dc, rhoc, dm */
    float period[RECO_CLUE_DIMENSIONS_MAX]; /**< of each coordinate; 0: none */
    float seeding_distance;                 /**< ds; 0: density_radius */
    float scale[RECO_CLUE_DIMENSIONS_MAX];  /**< of each coordinate, the root of its weight in a weighted Euclid metric; 0: 1 */
    uint32_t metric, kernel;                /**< reco_clue_metric, reco_clue_kernel */
    float kernel_amplitude, kernel_width;
} reco_clue_options;
/** The scouting job's: eta, phi. */
#define RECO_CLUE_OPTIONS_INIT {2u, 0.2f, 5.0f, 0.4f, {0.0f}, 0.0f, {0.0f}, RECO_CLUE_EUCLID, RECO_CLUE_FLAT, 0.5f, 1.0f}

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
    uint32_t *seeds;           /**< out [point_capacity] cluster -> its seed; or NULL */
    float *density;            /**< out [point_capacity] rho, 0 where a coordinate is not finite; or NULL */
    void *workspace;           /**< aligned to 64 */
    size_t workspace_bytes;    /**< at least reco_clue_workspace_bytes */
} reco_clue;

/** Bytes of workspace: 4 for each point and each of `dimensions` + 6, and a little.
 *  units bytes   owns nothing   threads any   errors none   since 0.1 */
RECO_API size_t reco_clue_workspace_bytes(uint32_t point_capacity, uint32_t sample_capacity, uint32_t dimensions);

/** Enqueue the clustering of all samples. Cost grows with the points times their neighbours within reach.
 *
 *  shape    see the struct      units  coordinates, radius and distances alike; density_min as the weight
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous      alloc none      threads  one at a time per queue and workspace
 *  errors   EINVAL null pointer, dimensions, metric, kernel, or an option outside its domain; ESHAPE workspace, both values;
 *           EALIGN workspace; as stoa_queue_launch
 *  source   the definition above, after the description of CLUEstering; the loops are our own      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_clue_enqueue(stoa_queue *queue, const reco_clue *args, stoa_error *err);

STOA_END_DECLS
#endif
