/* SPDX-License-Identifier: Apache-2.0 */
/** The L1-scouting tau job: raw words -> PUPPI candidates -> taus and their network, W -> 3 pi, clusters and theirs
 *  -> selected crossings.
 *
 *  A batch of crossings runs on the one queue of one stream; the host waits nowhere in the middle, for counts of taus and
 *  clusters stay where they are. All memory is made by scout_job_create: while batches run nothing is allocated and nothing
 *  copied, on the host not even the words (they are read where the file is mapped; only DTH blocks are put together; for a device all
 *  are, in pinned memory). Several
 *  batches are in flight, and results are handed over in the order of the input, so they do not depend on the number of
 *  threads or streams. A reference for jobs, not an installed library.
 *
 *      scout_options options = SCOUT_OPTIONS_INIT;
 *      options.cluster_model = model;
 *      options.deliver = write_rows;
 *      scout_job_create(&options, reader, &job, &err);
 *      scout_job_run(job, &summary, &err);
 *      scout_job_destroy(job); */
#ifndef SCOUTING_TAU_H
#define SCOUTING_TAU_H

#include "reco/clustering/clue.h"
#include "reco/formats/formats.h"
#include "reco/scouting/puppi_taus.h"
#include "reco/scouting/reader.h"
#include "reco/scouting/w3pi.h"
#include "stoa/session.h"

#define STOA_LAYOUT scout_selection_soa
#define STOA_LAYOUT_DEF "pipelines/scouting_tau/scout_selection.def"
#include "stoa/layout_gen.h"

#define SCOUT_STAGE_MAP(X) \
    X(UPLOAD, "upload") /* words to the device; nothing on the host */ \
    X(UNPACK, "unpack") \
    X(TAUS, "taus")         /* seeds, cones, features */ \
    X(TAU_NET, "tau_net") \
    X(W3PI, "w3pi") \
    X(CLUSTERS, "clusters") \
    X(FEATURES, "features") /* of the clusters */ \
    X(CLUSTER_NET, "cluster_net") \
    X(SELECT, "select") \
    X(DEVICE, "device") /* on a GPU all from unpack to select together: nothing of the host's stands between them */ \
    X(DELIVER, "deliver") /* results to the host; nothing on the host */
typedef enum scout_stage {
#define SCOUT_STAGE_ENUM(name, text) SCOUT_STAGE_##name,
    SCOUT_STAGE_MAP(SCOUT_STAGE_ENUM)
#undef SCOUT_STAGE_ENUM
        SCOUT_STAGE_COUNT
} scout_stage;

enum { SCOUT_STREAMS_MAX = 256 };

/** Bits of scout_selection.def's mask. */
enum { SCOUT_BY_TAU = 1, SCOUT_BY_CLUSTER = 2, SCOUT_BY_W3PI = 4 };

/** A batch's results, on the host. */
typedef struct scout_result {
    const reco_scout_batch *batch; /**< orbit, part, faults, sizes */
    stoa_status status;            /**< not STOA_OK: the batch was skipped, the views below are not to be read */
    char reason[160];              /**< why */
    puppi_soa_const puppi;
    crossings_soa_const crossings;
    taus_soa_const taus;           /**< *taus.taus rows */
    clusters_soa_const clusters;   /**< *clusters.clusters rows */
    const int32_t *cluster_of;     /**< [candidates] cluster, -1 none */
    w3pi_soa_const w3pi;
    scout_selection_soa_const selection;
    double us[SCOUT_STAGE_COUNT];
} scout_result;

typedef struct scout_options {
    const char *device;               /**< "host" */
    const stoa_model *tau_model;      /**< NNPuppiTau; NULL: ids are left out */
    const reco_tau_network *tau_fixed; /**< instead of it, in fixed point */
    const stoa_model *cluster_model;  /**< takes and gives tensors of scout_bind.c's table; NULL: scores are left out */
    reco_tau_options tau;
    reco_w3pi_cuts w3pi;
    reco_clue_options clue;
    float tau_id_min, tau_pt_min, cluster_score_min; /**< of a selected crossing */
    uint32_t keep_features;           /**< 1: clusters' features and mask are made though no model takes them */
    uint32_t threads, streams;        /**< at least 1; more threads than streams are not used */
    /** Called for each batch, in the order of the input, by one thread at a time; a failure ends the job. May be NULL. */
    stoa_status (*deliver)(void *user, const scout_result *result, stoa_error *err);
    void *user;
} scout_options;
/* Clusters in eta and phi, which is a circle: half of it is the float below pi, so that -pi and pi are the same place. */
#define SCOUT_CLUE_INIT {2u, 0.2f, 5.0f, 0.4f, {0.0f, 6.2831853f}, 0.0f, {0.0f}, RECO_CLUE_EUCLID, RECO_CLUE_FLAT, 0.5f, 1.0f}
#define SCOUT_OPTIONS_INIT \
    {"host", NULL, NULL, NULL, RECO_TAU_OPTIONS_INIT, RECO_W3PI_CUTS_INIT, SCOUT_CLUE_INIT, 0.5f, 5.0f, 0.5f, 0, 1, 1, NULL, NULL}

typedef struct scout_summary {
    uint64_t batches, failed, orbits, cut_orbits; /**< cut ones are no part of orbits; failed: batches */
    uint64_t events, candidates, taus, clusters, outliers, w3pi, selected;
    uint64_t faults[RECO_SCOUT_FAULT_COUNT_];
    uint64_t assembled_bytes;           /**< put together by the reader */
    uint64_t copy_calls, copy_bytes;    /**< of the sessions */
    uint64_t allocations;               /**< stoa_alloc calls while batches ran */
    double us_per_event[SCOUT_STAGE_COUNT], read_us_per_event; /**< means over the events that ran */
    double wall_us_per_event;           /**< of the whole job, all threads at work */
} scout_summary;

typedef struct scout_job scout_job;

/** Name of a stage.   owns static   threads any   errors NULL outside the range   since 0.1 */
const char *scout_stage_name(uint32_t stage);

/** Make the streams: queue, sessions, memory for the largest batch; run an empty batch on each as a warm-up.
 *
 *  owns     caller destroys; borrows reader, models and options' strings     alloc all of it
 *  threads  any      errors EINVAL; ESHAPE a model with other tensors; as stoa_session_bind; ENOMEM      since 0.1 */
STOA_MUST_CHECK stoa_status scout_job_create(const scout_options *options, reco_scout_reader *reader, scout_job **job, stoa_error *err);
/** Run all that the reader gives. A batch that fails is marked in its result and skipped.
 *  owns fills caller's summary   sync blocks until the input ends   alloc none but threads   threads one at a time
 *  errors EIO; what `deliver` returns; EDEVICE   since 0.1 */
STOA_MUST_CHECK stoa_status scout_job_run(scout_job *job, scout_summary *summary, stoa_error *err);
/** Destroy; NULL is a no-op.   owns takes `job`   threads one at a time   errors none   since 0.1 */
void scout_job_destroy(scout_job *job);

#endif
