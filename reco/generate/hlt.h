/* SPDX-License-Identifier: Apache-2.0 */
/** Simulated Phase-2 pixel tracks with truth, for tests, training and timing. Every distribution: docs/hlt.md.
 *
 *  A parametric simulation: vertices, particles and fakes are drawn, and a track's state is its true state smeared with
 *  its own covariance. Hits, where they are asked for, lie around the helix of that state; no material. Each event depends on seed and event number only, so a file of
 *  100 events begins with the file of 10, whoever makes it on however many threads.
 *
 *      reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
 *      options.events = 100;
 *      reco_generate_hlt(&options, &tracks, &vertices, NULL, &err);
 *      reco_table_write("sim.npz", tracks, &err);
 *      reco_table_write("sim.vertices.npz", vertices, &err);       // reco_vertices_path names it
 */
#ifndef RECO_GENERATE_HLT_H
#define RECO_GENERATE_HLT_H

#include "reco/io/table.h"

STOA_BEGIN_DECLS

#define RECO_HLT_EVENTS_MAX 1000000u
#define RECO_HLT_PILEUP_MAX 10000.0

/** What to simulate. Unknown members of a longer struct must be zero. */
typedef struct reco_hlt_options {
    uint32_t struct_size;
    uint32_t events;
    uint64_t seed;
    double pileup;        /**< mean number of pile-up vertices, 0 to RECO_HLT_PILEUP_MAX */
    uint64_t first_event; /**< number of the first event: parts of one sample can be made apart */
} reco_hlt_options;
#define RECO_HLT_OPTIONS_INIT {sizeof(reco_hlt_options), 10, 1, 200.0, 0}

/** Generate events.
 *
 *  `*tracks` has the columns event, quality, chi2, nLayers, eta, pt, state_0..4, covariance_0..14 (two groups), nHits,
 *  is_true, is_duplicate, vertex; `*vertices` (may be NULL) has event, vertex, x, y, z, type, tracks. Vertex 0 of each
 *  event is the hard scatter. `*hits` (may be NULL) has event, track and the columns of rec_hits.def: the hits of each track, from
 *  the beam outwards, one track behind the other.
 *
 *  units    GeV, cm, rad
 *  owns     caller destroys the tables; NULL on failure       threads any
 *  errors   EINVAL options, with value and range; ELIMIT more rows than a table has; ENOMEM      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_generate_hlt(const reco_hlt_options *options, reco_table **tracks, reco_table **vertices,
                                                       reco_table **hits, stoa_error *err);

STOA_END_DECLS
#endif
