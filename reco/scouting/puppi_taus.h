/* SPDX-License-Identifier: Apache-2.0 */
/** Tau candidates as CMS's L1 NNPuppiTau takes them: seeds, cones, the ten leading candidates and their 80 features.
 *
 *  The network itself is a model (tools/build_puppi_tau.py makes the .onnx from the published weights) and runs in a
 *  session on the features where they lie; reco_tau_fixed_enqueue is the same network in the firmware's fixed point.
 *
 *      reco_puppi_taus args = {puppi, crossings, RECO_TAU_OPTIONS_INIT, order, place, crossing_taus, taus};
 *      reco_puppi_taus_enqueue(queue, &args, &err);
 *      stoa_session_bind(session, "features", STOA_COLUMNS(taus, features), &err);
 *      stoa_session_run_counted(session, taus.taus, &err);
 *
 *  Seeds: charged hadrons and electrons (photons if asked for) in order of pt, of equal ones the earlier first, within
 *  eta_max, none closer than `separation` to an earlier seed. The candidates of a cone in order of pt, which is a multiple of
 *  0.25 GeV and often equal: then as the firmware has them since 2026, the largest key first, low three bits each of seed minus
 *  candidate in eta and in phi, in units of pi/720; the earlier of equal keys. Features of the r-th candidate: pt, seed minus
 *  candidate in eta and phi, then 1 for its kind and 0 for the others; zero beyond the last. */
#ifndef RECO_SCOUTING_PUPPI_TAUS_H
#define RECO_SCOUTING_PUPPI_TAUS_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

enum { RECO_TAUS_OF_CROSSING = 5, RECO_TAU_CANDIDATES = 10, RECO_TAU_NUMBERS = 8, RECO_TAU_FEATURES = 80 };

typedef struct reco_tau_options {
    float eta_max, separation, cone;
    float cone_pt_min;    /**< GeV; upstream 20. Seeds whose cone has less are left out */
    uint32_t with_photons; /**< 1: photons are seeds too (upstream's emseed) */
} reco_tau_options;
#define RECO_TAU_OPTIONS_INIT {2.5f, 0.4f, 0.4f, 0.0f, 0u}

typedef struct reco_puppi_taus {
    puppi_soa puppi;                 /**< read only */
    crossings_soa crossings;         /**< read only */
    reco_tau_options options;
    uint32_t *order;                 /**< scratch [puppi.head.rows] */
    uint32_t *place;                 /**< scratch [puppi.head.rows] */
    crossing_taus_soa crossing_taus; /**< out: rows >= those of crossings in use */
    taus_soa taus;                   /**< out: rows >= 5 a crossing; all but id and pt_factor */
} reco_puppi_taus;

/** Enqueue the search for tau candidates and their features.
 *
 *  shape    see the struct; capacities are those of `crossings`     units  GeV, rad
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous      alloc none      threads  one at a time per queue
 *  errors   EINVAL null pointer or an option below 0 or NaN; ESHAPE rows, both values; as stoa_queue_launch
 *  source   cmssw TauNNIdHW and L1NNTauProducer, described in their steps; the code is our own      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_puppi_taus_enqueue(stoa_queue *queue, const reco_puppi_taus *args, stoa_error *err);

/* ---- The network in fixed point. ---- */

/** Numbers of the network as the firmware has them: weights with 6 bits behind the point, those of the heads with 9. */
typedef struct reco_tau_network {
    int16_t weight[2000 + 625 + 375 + 225 + 150 + 10 + 10];
    int16_t bias[25 + 25 + 15 + 15 + 10 + 1 + 1];
    uint16_t sigmoid[1024]; /**< 1/1024, over [-8, 8) */
} reco_tau_network;

/** Read the published weights: lines `tensor NAME SIZES` and numbers (dense ones [in][out]).
 *  owns fills caller's struct   threads any   errors EIO; EFORMAT tensor or number that is wrong or missing, by name   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tau_network_read(const char *path, reco_tau_network *network, stoa_error *err);

typedef struct reco_tau_fixed {
    const reco_tau_network *network; /**< where the taus are */
    taus_soa taus;                   /**< reads features and the count, writes id and pt_factor */
} reco_tau_fixed;

/** Enqueue the network over the features in the firmware's types: inputs 6 bits behind the point with angles cut to that
 *  precision, products cut to 10 bits, sums of 16 bits that wrap, hidden outputs of 9 bits rounded to even and clipped to
 *  [0, 511/512], a table of 1,024 entries for the sigmoid.
 *  owns borrows all until the queue passes   sync asynchronous   alloc none   threads one at a time per queue
 *  errors EINVAL; as stoa_queue_launch   source types of cms-hls4ml/NNPuppiTauModel   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tau_fixed_enqueue(stoa_queue *queue, const reco_tau_fixed *args, stoa_error *err);

STOA_END_DECLS
#endif
