/* SPDX-License-Identifier: Apache-2.0 */
/** The data formats of the reconstruction library, generated from the .def lists beside this file.
 *  Units: GeV, cm, rad. */
#ifndef RECO_FORMATS_H
#define RECO_FORMATS_H

#include "stoa/layout.h"

#define STOA_LAYOUT tracks_soa
#define STOA_LAYOUT_DEF "reco/formats/tracks.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT track_hits_soa
#define STOA_LAYOUT_DEF "reco/formats/track_hits.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT rec_hits_soa
#define STOA_LAYOUT_DEF "reco/formats/rec_hits.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT hit_features_soa
#define STOA_LAYOUT_DEF "reco/formats/hit_features.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT legacy_tracks_soa
#define STOA_LAYOUT_DEF "reco/formats/legacy_tracks.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT track_truth_soa
#define STOA_LAYOUT_DEF "reco/formats/track_truth.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT track_features_soa
#define STOA_LAYOUT_DEF "reco/formats/track_features.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT track_derived_soa
#define STOA_LAYOUT_DEF "reco/formats/track_derived.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT vertices_soa
#define STOA_LAYOUT_DEF "reco/formats/vertices.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT vertex_tracks_soa
#define STOA_LAYOUT_DEF "reco/formats/vertex_tracks.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT puppi_soa
#define STOA_LAYOUT_DEF "reco/formats/puppi.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT crossings_soa
#define STOA_LAYOUT_DEF "reco/formats/crossings.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT tracker_muons_soa
#define STOA_LAYOUT_DEF "reco/formats/tracker_muons.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT taus_soa
#define STOA_LAYOUT_DEF "reco/formats/taus.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT crossing_taus_soa
#define STOA_LAYOUT_DEF "reco/formats/crossing_taus.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT clusters_soa
#define STOA_LAYOUT_DEF "reco/formats/clusters.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT w3pi_soa
#define STOA_LAYOUT_DEF "reco/formats/w3pi.def"
#include "stoa/layout_gen.h"

enum {
    RECO_QUALITY_BAD,
    RECO_QUALITY_EDUP,
    RECO_QUALITY_DUP,
    RECO_QUALITY_LOOSE,
    RECO_QUALITY_STRICT,
    RECO_QUALITY_TIGHT,
    RECO_QUALITY_HIGH_PURITY
};
/** Bits of rec_hits.def's flags; the layer stands from bit 3 on. */
enum { RECO_STUB_BARREL = 1, RECO_STUB_FLAT = 2, RECO_STUB_VALID = 4, RECO_STUB_LAYER_SHIFT = 3, RECO_STUB_PS = 64 };
/** Bits of legacy_tracks.def's quality; each better grade includes those below. */
enum { RECO_LEGACY_LOOSE = 1, RECO_LEGACY_TIGHT = 2, RECO_LEGACY_HIGH_PURITY = 4, RECO_LEGACY_DISCARDED = 8 };
enum { RECO_STATE_PHI, RECO_STATE_TIP, RECO_STATE_QPT, RECO_STATE_COT_THETA, RECO_STATE_ZIP };

#endif
