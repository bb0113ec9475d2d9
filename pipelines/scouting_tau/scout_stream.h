/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the job: one stream and what it enqueues for a batch. */
#ifndef SCOUT_STREAM_H
#define SCOUT_STREAM_H

#include "pipelines/scouting_tau/scout.h"
#include "pipelines/stage_times.h"
#include "stoa/collection.h"

#define STOA_LAYOUT scout_work_soa
#define STOA_LAYOUT_DEF "pipelines/scouting_tau/scout_work.def"
#include "stoa/layout_gen.h"

enum { SCOUT_AXES_MAX = 4 }; /* candidates, members of clusters, clusters, crossings */

/* The views of a batch's collection. */
typedef struct scout_views {
    puppi_soa puppi;
    crossings_soa crossings;
    crossing_taus_soa crossing_taus;
    taus_soa taus;
    clusters_soa clusters;
    w3pi_soa w3pi;
    scout_work_soa work;
    scout_selection_soa selection;
} scout_views;

/* The last kernel: which crossings stay, from the columns that the networks wrote. */
typedef struct scout_select {
    scout_views views;
    float tau_id_min, tau_pt_min, cluster_score_min;
} scout_select;
STOA_MUST_CHECK stoa_status scout_select_enqueue(stoa_queue *queue, const scout_select *args, stoa_error *err);

/* A queue, its sessions and its memory. One thread at a time uses it. */
typedef struct scout_stream {
    const scout_options *options;
    stoa_queue *queue;
    stoa_session *tau_session, *cluster_session; /* NULL without a model */
    const uint32_t *cluster_rows[SCOUT_AXES_MAX]; /* row counts of the cluster model's axes, where they lie */
    bool takes_features;                          /* somebody reads the clusters' matrices */
    reco_scout_batch *batch;
    stoa_collection *memory; /* all that a batch has, in one blob, where it is computed */
    stoa_collection *host;   /* the same on the host; NULL where it is the same memory */
    stoa_buffer *workspace;  /* of the clustering */
    stoa_buffer *words, *headers; /* a batch's on the device; NULL on the host */
    stoa_buffer *pinned;          /* and where the reader puts them for that */
    scout_views views;
    scout_result result;
    stage_times times;
    uint64_t sequence; /* of the batch in flight */
    bool in_flight;
} scout_stream;

/* Make the session of the clusters' network and bind what it takes and gives, each tensor by its name. */
STOA_MUST_CHECK stoa_status scout_bind_clusters(scout_stream *stream, stoa_error *err);

STOA_MUST_CHECK stoa_status scout_stream_init(scout_stream *stream, const scout_options *options, stoa_device *device,
                                              const reco_scout_reader *reader, stoa_error *err);
void scout_stream_deinit(scout_stream *stream);
/* Enqueue the stream's batch; returns before it is done where the queue is asynchronous. */
STOA_MUST_CHECK stoa_status scout_stream_enqueue(scout_stream *stream, stoa_error *err);

#endif
