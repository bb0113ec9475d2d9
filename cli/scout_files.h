/* SPDX-License-Identifier: Apache-2.0 */
/* What `stoa scout` writes: tables as the batches come, then pictures. */
#ifndef STOA_CLI_SCOUT_FILES_H
#define STOA_CLI_SCOUT_FILES_H

#include "output.h"
#include "pipelines/scouting_tau/scout.h"
#include "reco/io/table.h"
#include "reco/scouting/cluster_features.h"

enum { SCOUT_SCORE_BINS = 50 };

/* Mean id of the NNPuppiTau candidates by the pt of their seeds. */
enum { SCOUT_PT_BINS = 4 };
extern const float scout_pt_edges[SCOUT_PT_BINS]; /* lower ones */
typedef struct scout_id_bin {
    uint64_t count;
    double id_sum;
} scout_id_bin;

/* A score and what it was given to. */
typedef struct scout_scored {
    float score;
    bool is_tau;
} scout_scored;
typedef struct scout_scores {
    scout_scored *items;
    size_t count, capacity, taus;
} scout_scores;

/* A true tau that has a cluster. */
typedef struct scout_match {
    float true_pt, cluster_pt, tau_pt, dz;
    bool right_charge;
} scout_match;

/* A crossing that is kept for its picture. */
typedef struct scout_display {
    uint32_t orbit, bx, candidates, clusters;
    bool is_selected;
    float *eta, *phi, *pt; /* [candidates], one piece of memory */
    int32_t *cluster;
    float (*cluster_place)[4]; /* [clusters] eta, phi, pt, score */
} scout_display;

/* The columns of the truth that are looked at. */
typedef struct scout_truth {
    reco_table *table; /* NULL: none */
    const reco_column *orbit, *bx, *is_tau, *charge, *pt, *eta, *phi, *z;
    uint32_t row; /* first one of the crossing in progress */
} scout_truth;

typedef struct scout_sink {
    const char *dir;
    bool with_tables, has_ids, has_scores, has_truth;
    FILE *orbits, *taus, *clusters, *w3pi, *selected;
    FILE *features; /* rows of SCOUT_FEATURE_NUMBERS floats; NULL: none */
    scout_summary orbit; /* of the orbit in progress; its counts only */
    scout_truth truth;
    scout_id_bin id[SCOUT_PT_BINS];
    uint64_t id_bins[SCOUT_SCORE_BINS], score_bins[SCOUT_SCORE_BINS]; /* of all ids and scores, 0 to 1 */
    scout_scores id_scores, cluster_scores; /* with truth only */
    scout_match *matches;
    size_t match_count, match_capacity;
    scout_display display;
} scout_sink;

/* orbit, bx, pt, eta, phi, mass of the cluster, candidates of its crossing; 16 x 10 features; 16 of the mask. */
enum {
    SCOUT_CLUSTER_NUMBERS = 7,
    SCOUT_FEATURE_NUMBERS = SCOUT_CLUSTER_NUMBERS + RECO_CLUSTER_MEMBERS * RECO_CLUSTER_NUMBERS + RECO_CLUSTER_MEMBERS
};

/* The tables in `dir`, by name. */
enum { SCOUT_TABLES = 5 };
extern const char *const scout_table_names[SCOUT_TABLES];

/* Open the tables in `dir`; the truth of `input` is read where it lies beside it. `features` NULL: none. */
stoa_status scout_sink_open(scout_sink *sink, const char *dir, const char *input, const char *features, stoa_error *err);
/* scout_options.deliver, with the sink for `user`. */
stoa_status scout_sink_take(void *sink, const scout_result *result, stoa_error *err);
/* Close the tables; a write that failed is an error here. */
stoa_status scout_sink_close(scout_sink *sink, stoa_error *err);
/* Each table that was written once more, as HDF5. */
stoa_status scout_tables_to_hdf5(const char *dir, stoa_error *err);
void scout_sink_deinit(scout_sink *sink);

/* All but the tables to a file of this build; and those of such a file on top of the sink's own. */
stoa_status scout_sink_save(const scout_sink *sink, const char *path, stoa_error *err);
stoa_status scout_sink_add(scout_sink *sink, const char *path, stoa_error *err);

/* Area under the ROC curve, NaN without both kinds; sorts. */
double scout_auc(scout_scores *scores);
/* event.png; score.png; with truth roc.png and response.png. Without gnuplot the .gp files are written all the same. */
stoa_status scout_write_pictures(scout_sink *sink, bool *drawn, stoa_error *err);

#endif
