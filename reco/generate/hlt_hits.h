/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the generator: hits of a track on the layers of the Phase-2 tracker. */
#ifndef RECO_GENERATE_HLT_HITS_H
#define RECO_GENERATE_HLT_HITS_H

#include "reco/generate/random.h"

typedef struct sim_hit {
    float x, y, z;           /* cm */
    float bend, bend_error;  /* of rec_hits.def */
    uint8_t flags;
} sim_hit;

/* What a track's hits follow from. */
typedef struct sim_helix {
    double state[5];         /* as in tracks.def */
    double chi2;             /* over degrees of freedom: residuals are its root times the resolution */
    int32_t layers, hits;
    int is_fake;             /* stubs bend as other particles do */
} sim_helix;

/* Fills hits[helix->hits], from the beam outwards. */
void sim_hits(reco_random *r, const sim_helix *helix, sim_hit *hits);

#endif
