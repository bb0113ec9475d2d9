/* SPDX-License-Identifier: Apache-2.0 */
/** Clusters of candidates: sums of their members, and the inputs of a network that takes a matrix of the leading ones with a mask.
 *
 *  Which candidates belong together comes as two association maps, crossing -> clusters and cluster -> candidates, as the
 *  batched clustering makes them. In the matrix members are taken in order of pt, of equal ones the earlier in the map first; d_eta and
 *  d_phi are member minus cluster. Rows of features beyond the last member are 0, with mask 0; members beyond 16 count in the sums only.
 *  A network that takes the members themselves, through the maps, needs the sums alone.
 *
 *      reco_cluster_features args = {puppi, crossings, crossing_clusters, cluster_members, members, clusters};
 *      reco_cluster_sums_enqueue(queue, &args, &err);
 *      reco_cluster_features_enqueue(queue, &args, &err);
 *      stoa_session_bind(session, "features", STOA_COLUMNS(clusters, features), &err);
 *      stoa_session_bind(session, "mask", STOA_COLUMNS(clusters, mask), &err);
 *      stoa_session_run_counted(session, clusters.clusters, &err); */
#ifndef RECO_SCOUTING_CLUSTER_FEATURES_H
#define RECO_SCOUTING_CLUSTER_FEATURES_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

enum { RECO_CLUSTER_MEMBERS = 16, RECO_CLUSTER_NUMBERS = 10 };

typedef struct reco_cluster_features {
    puppi_soa puppi;         /**< read only */
    crossings_soa crossings; /**< read only */
    const uint32_t *crossing_clusters; /**< [crossings + 1] first cluster of each crossing */
    const uint32_t *cluster_members;   /**< [clusters + 1] first place in `members` of each cluster */
    const uint32_t *members;           /**< rows of puppi */
    clusters_soa clusters;   /**< out, see below; clusters beyond its rows are left out */
} reco_cluster_features;

/** Enqueue the sums: crossing, members, pt, eta, phi, mass, and the numbers of clusters and of candidates in them.
 *  owns, sync, alloc, threads, errors as reco_cluster_features_enqueue   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_cluster_sums_enqueue(stoa_queue *queue, const reco_cluster_features *args, stoa_error *err);

/** Enqueue the transform behind the sums, which it reads: features and mask.
 *
 *  shape    see the struct     units  GeV, cm, rad
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous      alloc none      threads  one at a time per queue
 *  errors   EINVAL null pointer; as stoa_queue_launch
 *  source   features of L1TriggerScouting/TauTagging's transform, described in its columns; the code is our own      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_cluster_features_enqueue(stoa_queue *queue, const reco_cluster_features *args, stoa_error *err);

STOA_END_DECLS
#endif
