/* SPDX-License-Identifier: Apache-2.0 */
/** Simulated L1-scouting crossings with truth: hadronic taus, jets, what PUPPI leaves of the pile-up, packed into 64-bit words.
 *
 *  Parametric, no detector simulation: docs/scouting.md has the distributions. An event depends on seed and event number only.
 *  Event n is crossing n % 3564 of orbit n / 3564. A third of the events each has one or two taus, jets, or nothing
 *  above the soft candidates.
 *
 *      reco_scout_sim_options options = RECO_SCOUT_SIM_OPTIONS_INIT;
 *      options.events = 10000;
 *      reco_generate_scout(&options, "sim.raw", &truth, &candidates, &err);
 *      reco_table_write("sim.truth.npz", truth, &err); */
#ifndef RECO_GENERATE_SCOUT_H
#define RECO_GENERATE_SCOUT_H

#include "reco/io/table.h"
#include "reco/scouting/reader.h"

STOA_BEGIN_DECLS

#define RECO_SCOUT_SIM_EVENTS_MAX 100000000u
#define RECO_SCOUT_SIM_PILEUP_MAX 400.0

typedef struct reco_scout_sim_options {
    uint32_t struct_size;
    uint32_t events;
    uint64_t seed;
    double pileup;            /**< mean number of pile-up vertices; the soft candidates grow with it */
    reco_scout_format format; /**< of the file; RECO_SCOUT_ANY: native64 */
    uint32_t reserved;
} reco_scout_sim_options;
#define RECO_SCOUT_SIM_OPTIONS_INIT {(uint32_t)sizeof(reco_scout_sim_options), 10000u, 1u, 200.0, RECO_SCOUT_ANY, 0u}

/** Generate events into a file; one that exists is replaced.
 *
 *  `*truth` has a row for each tau and jet: orbit, bx, is_tau, prongs (taus), pt (visible, GeV), eta, phi, z (vertex, cm), charge.
 *
 *  units    GeV, cm, rad
 *  owns     caller destroys the table; NULL on failure       threads any
 *  errors   EINVAL options, with value and range; EIO; ENOMEM      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_generate_scout(const reco_scout_sim_options *options, const char *path, reco_table **truth,
                                                         uint64_t *candidates, stoa_error *err);

STOA_END_DECLS
#endif
