/* SPDX-License-Identifier: Apache-2.0 */
/** The luminous region: a line along the beam. Track states and vertices are relative to its centre. */
#ifndef RECO_BEAM_SPOT_H
#define RECO_BEAM_SPOT_H

typedef struct reco_beam_spot {
    float x, y, z;       /**< centre, cm */
    float dxdz, dydz;    /**< slopes of the line */
    float sigma_z;       /**< width along the beam, cm */
} reco_beam_spot;
#define RECO_BEAM_SPOT_INIT {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 4.5f}

#endif
