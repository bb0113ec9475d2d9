/* SPDX-License-Identifier: Apache-2.0 */
/** The W -> 3 pi selection of L1 scouting: the best triplet of isolated pions in each crossing. No network.
 *
 *      reco_w3pi args = {puppi, crossings, RECO_W3PI_CUTS_INIT, scratch, w3pi};
 *      reco_w3pi_enqueue(queue, &args, &err);
 *      // w3pi.found[i]: crossing i has one, of mass w3pi.mass[i]
 *
 *  Pions are charged hadrons and electrons above pt_min[2], ordered by pt, of equal ones the earlier first. A triplet is
 *  taken when its pt pass pt_min in order, each pair is at least `separation` apart, |charge| is 1, the mass with three pion masses is
 *  in [mass_min, mass_max], and the pt between isolation_inner and isolation_outer around each is at most isolation_max times its own.
 *  The best has the largest sum of pt; of equal ones the first in order stays. */
#ifndef RECO_SCOUTING_W3PI_H
#define RECO_SCOUTING_W3PI_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

typedef struct reco_w3pi_cuts {
    float pt_min[3];          /**< GeV, descending */
    float separation;
    float isolation_inner, isolation_outer, isolation_max;
    float mass_min, mass_max; /**< GeV */
} reco_w3pi_cuts;
#define RECO_W3PI_CUTS_INIT {{15.0f, 12.0f, 7.0f}, 0.5f, 0.01f, 0.25f, 2.0f, 60.0f, 100.0f}

typedef struct reco_w3pi {
    puppi_soa puppi;         /**< read only */
    crossings_soa crossings; /**< read only */
    reco_w3pi_cuts cuts;
    uint32_t *pions;         /**< scratch [puppi.head.rows] */
    w3pi_soa out;            /**< out: rows >= crossings; without a triplet found is 0 and the rest 0 */
} reco_w3pi;

/** Enqueue the selection.
 *
 *  shape    see the struct     units  GeV, rad
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous      alloc none      threads  one at a time per queue
 *  errors   EINVAL null pointer; ESHAPE rows, both values; as stoa_queue_launch
 *  source   cuts of w3piExample2022Raw in p2-scouting-clients; the loops are our own      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_w3pi_enqueue(stoa_queue *queue, const reco_w3pi *args, stoa_error *err);

STOA_END_DECLS
#endif
