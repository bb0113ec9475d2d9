/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU form of the kernels of libstoa_reco: the same files, compiled by nvcc. */
#include "reco/clustering/clue.c"
#include "reco/forest/forest.c"
#include "reco/scouting/cluster_features.c"
#include "reco/scouting/puppi_taus.c"
#include "reco/scouting/tau_fixed.c"
#include "reco/scouting/unpack.c"
#include "reco/scouting/w3pi.c"
#include "reco/tracks/cut_classifier.c"
#include "reco/tracks/legacy.c"
#include "reco/tracks/selection.c"
#include "reco/vertexing/density.c"
#include "reco/vertexing/divisive.c"
