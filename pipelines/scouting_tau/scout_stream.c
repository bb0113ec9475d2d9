/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/scouting_tau/scout_stream.h"

#include "reco/scouting/cluster_features.h"
#include "reco/scouting/unpack.h"
#include "stoa/algo.h"

/* ---- Set-up. ---- */

typedef struct view_of {
    const char *block;
    stoa_view_head *head;
} view_of;

/* An odd number of lines for each column of floats: columns a power of two apart would share a few places of the cache. */
static uint32_t spread(uint32_t rows)
{
    const uint32_t line = STOA_LAYOUT_ALIGN_BYTES / sizeof(float);
    return ((rows + line - 1) / line | 1u) * line;
}

/* Everything that a batch can need: a candidate can be a cluster of its own, so there is no cap on clusters. */
static stoa_status make_memory(scout_stream *s, const reco_scout_options *input, bool is_host, stoa_error *err)
{
    const uint32_t candidates = input->candidates_max, crossings = input->crossings_max;
    const stoa_block blocks[] = {{"puppi", &puppi_soa_layout, candidates, 0, NULL},
                                 {"crossings", &crossings_soa_layout, crossings + 1, 0, NULL},
                                 {"crossing_taus", &crossing_taus_soa_layout, crossings + 1, 0, NULL},
                                 {"taus", &taus_soa_layout, spread(RECO_TAUS_OF_CROSSING * crossings), 0, NULL},
                                 {"clusters", &clusters_soa_layout, spread(candidates), 0, NULL},
                                 {"w3pi", &w3pi_soa_layout, crossings, 0, NULL},
                                 {"work", &scout_work_soa_layout, (candidates > crossings ? candidates : crossings) + 1, 0, NULL},
                                 {"selection", &scout_selection_soa_layout, crossings, 0, NULL}};
    const uint32_t count = sizeof blocks / sizeof *blocks;
    scout_views *v = &s->views;
    const view_of views[] = {{"puppi", &v->puppi.head}, {"crossings", &v->crossings.head}, {"crossing_taus", &v->crossing_taus.head},
                             {"taus", &v->taus.head},   {"clusters", &v->clusters.head},   {"w3pi", &v->w3pi.head},
                             {"work", &v->work.head},   {"selection", &v->selection.head}};
    const size_t workspace = reco_clue_workspace_bytes(candidates, crossings, s->options->clue.dimensions);
    STOA_TRY(stoa_collection_create(s->queue, STOA_MEMORY_DEVICE, blocks, count, &s->memory, err));
    STOA_TRY(stoa_collection_zero(s->memory, s->queue, 0, err));
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) STOA_TRY(stoa_collection_view(s->memory, views[i].block, views[i].head, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, workspace, &s->workspace, err));
    if (is_host) return STOA_OK;
    STOA_TRY(stoa_collection_create(s->queue, STOA_MEMORY_PINNED, blocks, count, &s->host, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, s->batch->memory_words * sizeof(uint64_t), &s->words, err));
    return stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, crossings * sizeof(uint32_t), &s->headers, err);
}

/* A host reads words where they lie; copies to a device come from pinned memory, so that its driver never waits for one. */
static stoa_status make_batch(scout_stream *s, const reco_scout_reader *reader, bool is_host, stoa_error *err)
{
    if (is_host) return reco_scout_batch_create(reader, &s->batch, err);
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_PINNED, reco_scout_batch_bytes(reader), &s->pinned, err));
    return reco_scout_batch_create_in(reader, stoa_buffer_data(s->pinned), stoa_buffer_bytes(s->pinned), &s->batch, err);
}

static stoa_status view_results(scout_stream *s, stoa_error *err)
{
    const stoa_collection *from = s->host ? s->host : s->memory;
    scout_result *r = &s->result;
    scout_work_soa_const work;
    STOA_TRY(stoa_collection_view_const(from, "puppi", &r->puppi.head, err));
    STOA_TRY(stoa_collection_view_const(from, "crossings", &r->crossings.head, err));
    STOA_TRY(stoa_collection_view_const(from, "taus", &r->taus.head, err));
    STOA_TRY(stoa_collection_view_const(from, "clusters", &r->clusters.head, err));
    STOA_TRY(stoa_collection_view_const(from, "w3pi", &r->w3pi.head, err));
    STOA_TRY(stoa_collection_view_const(from, "selection", &r->selection.head, err));
    STOA_TRY(stoa_collection_view_const(from, "work", &work.head, err));
    r->cluster_of = work.cluster_of;
    r->batch = s->batch;
    return STOA_OK;
}

/* Bound once: the columns are the stream's own, so no batch binds again. */
static stoa_status make_sessions(scout_stream *s, stoa_error *err)
{
    const taus_soa t = s->views.taus;
    if (s->options->tau_model) {
        STOA_TRY(stoa_session_create(s->options->tau_model, s->queue, t.head.rows, NULL, &s->tau_session, err));
        STOA_TRY(stoa_session_bind(s->tau_session, "features", STOA_COLUMNS(t, features), err));
        STOA_TRY(stoa_session_bind(s->tau_session, "id", STOA_COLUMNS(t, id), err));
        STOA_TRY(stoa_session_bind(s->tau_session, "pt_factor", STOA_COLUMNS(t, pt_factor), err));
    }
    s->takes_features = s->options->keep_features;
    return s->options->cluster_model ? scout_bind_clusters(s, err) : STOA_OK;
}

stoa_status scout_stream_init(scout_stream *s, const scout_options *options, stoa_device *device, const reco_scout_reader *reader,
                              stoa_error *err)
{
    *s = (scout_stream){.options = options};
    /* A host stream runs in the thread that drives it; on another device the thread only enqueues. */
    const bool is_host = stoa_device_place(device).type == STOA_PLACE_HOST;
    if (options->tau_fixed && !is_host)
        return STOA_FAIL(err, STOA_ENOTSUP, "scout: the network in fixed point runs on the host only, device %s", options->device);
    STOA_TRY(stoa_queue_create(device, is_host ? STOA_QUEUE_BLOCKING : STOA_QUEUE_ASYNC, &s->queue, err));
    STOA_TRY(make_batch(s, reader, is_host, err));
    STOA_TRY(make_memory(s, reco_scout_options_of(reader), is_host, err));
    STOA_TRY(view_results(s, err));
    return make_sessions(s, err);
}

void scout_stream_deinit(scout_stream *s)
{
    stoa_session_destroy(s->tau_session);
    stoa_session_destroy(s->cluster_session);
    stoa_collection_destroy(s->memory);
    stoa_collection_destroy(s->host);
    stoa_buffer_release(s->workspace);
    stoa_buffer_release(s->words);
    stoa_buffer_release(s->headers);
    reco_scout_batch_destroy(s->batch);
    stoa_buffer_release(s->pinned);
    stoa_queue_destroy(s->queue);
    *s = (scout_stream){0};
}

/* ---- One batch, stage by stage. ---- */

static stoa_status stage_upload(scout_stream *s, stoa_error *err)
{
    if (!s->words) return STOA_OK;
    const reco_scout_batch *b = s->batch;
    STOA_TRY(stoa_queue_copy(s->queue, stoa_buffer_data(s->words), b->words, b->word_count * sizeof *b->words, err));
    return stoa_queue_copy(s->queue, stoa_buffer_data(s->headers), b->header, b->crossings * sizeof *b->header, err);
}

static stoa_status stage_unpack(scout_stream *s, stoa_error *err)
{
    const reco_scout_batch *b = s->batch;
    const reco_scout_unpack args = {s->words ? stoa_buffer_data(s->words) : b->words,
                                    s->headers ? stoa_buffer_data(s->headers) : b->header,
                                    b->crossings,
                                    b->candidates,
                                    0,
                                    s->views.puppi,
                                    s->views.crossings};
    return reco_scout_unpack_enqueue(s->queue, &args, err);
}

static stoa_status stage_taus(scout_stream *s, stoa_error *err)
{
    const scout_views *v = &s->views;
    const reco_puppi_taus args = {v->puppi, v->crossings, s->options->tau, v->work.order, v->work.place, v->crossing_taus, v->taus};
    return reco_puppi_taus_enqueue(s->queue, &args, err);
}

static stoa_status stage_tau_net(scout_stream *s, stoa_error *err)
{
    if (s->options->tau_fixed) return reco_tau_fixed_enqueue(s->queue, &(reco_tau_fixed){s->options->tau_fixed, s->views.taus}, err);
    return s->tau_session ? stoa_session_run_counted(s->tau_session, s->views.taus.taus, err) : STOA_OK;
}

static stoa_status stage_w3pi(scout_stream *s, stoa_error *err)
{
    const reco_w3pi args = {s->views.puppi, s->views.crossings, s->options->w3pi, s->views.work.order, s->views.w3pi};
    return reco_w3pi_enqueue(s->queue, &args, err);
}

static stoa_status stage_clusters(scout_stream *s, stoa_error *err)
{
    const scout_views *v = &s->views;
    const reco_clue args = {.coordinate = {v->puppi.eta, v->puppi.phi},
                            .weight = v->puppi.pt,
                            .offset = v->crossings.offset,
                            .samples = v->crossings.crossings,
                            .point_capacity = v->puppi.head.rows,
                            .sample_capacity = v->crossings.head.rows - 1,
                            .options = s->options->clue,
                            .cluster_of = v->work.cluster_of,
                            .sample_clusters = v->work.crossing_clusters,
                            .cluster_points = v->work.cluster_members,
                            .points = v->work.members,
                            .workspace = stoa_buffer_data(s->workspace),
                            .workspace_bytes = stoa_buffer_bytes(s->workspace)};
    return reco_clue_enqueue(s->queue, &args, err);
}

static stoa_status stage_features(scout_stream *s, stoa_error *err)
{
    const scout_views *v = &s->views;
    const reco_cluster_features args = {v->puppi,        v->crossings, v->work.crossing_clusters, v->work.cluster_members,
                                        v->work.members, v->clusters};
    STOA_TRY(reco_cluster_sums_enqueue(s->queue, &args, err));
    return s->takes_features ? reco_cluster_features_enqueue(s->queue, &args, err) : STOA_OK;
}

static stoa_status stage_cluster_net(scout_stream *s, stoa_error *err)
{
    if (!s->cluster_session) return STOA_OK;
    const uint32_t axes = stoa_model_schema(s->options->cluster_model)->axis_count;
    return stoa_session_run_sizes_counted(s->cluster_session, s->cluster_rows, axes, err);
}

static stoa_status stage_select(scout_stream *s, stoa_error *err)
{
    const scout_views *v = &s->views;
    const scout_options *o = s->options;
    STOA_TRY(scout_select_enqueue(s->queue,
                                  &(scout_select){.views = *v,
                                                  .tau_id_min = o->tau_model || o->tau_fixed ? o->tau_id_min : 2.0f,
                                                  .tau_pt_min = o->tau_pt_min,
                                                  .cluster_score_min = o->cluster_model ? o->cluster_score_min : 2.0f},
                                  err));
    const stoa_compact compact = {v->selection.mask,  v->crossings.crossings, v->selection.head.rows,
                                  v->selection.index, v->selection.selected,  v->work.order};
    return stoa_algo_compact(s->queue, &compact, err);
}

static stoa_status stage_deliver(scout_stream *s, stoa_error *err)
{ return s->host ? stoa_collection_copy(s->queue, s->host, s->memory, err) : STOA_OK; }

static stoa_status (*const stages[SCOUT_STAGE_COUNT])(scout_stream *, stoa_error *) = {
    [SCOUT_STAGE_UPLOAD] = stage_upload,     [SCOUT_STAGE_UNPACK] = stage_unpack,
    [SCOUT_STAGE_TAUS] = stage_taus,         [SCOUT_STAGE_TAU_NET] = stage_tau_net,
    [SCOUT_STAGE_W3PI] = stage_w3pi,         [SCOUT_STAGE_CLUSTERS] = stage_clusters,
    [SCOUT_STAGE_FEATURES] = stage_features, [SCOUT_STAGE_CLUSTER_NET] = stage_cluster_net,
    [SCOUT_STAGE_SELECT] = stage_select,     [SCOUT_STAGE_DELIVER] = stage_deliver};

stoa_status scout_stream_enqueue(scout_stream *s, stoa_error *err)
{
    s->times.steps = 0;
    for (scout_stage k = 0; k < SCOUT_STAGE_COUNT; k++) {
        const bool on_device = s->host && k != SCOUT_STAGE_UPLOAD && k != SCOUT_STAGE_DELIVER;
        if (!stages[k]) continue;
        STOA_TRY(stage_times_enter(&s->times, s->queue, on_device ? SCOUT_STAGE_DEVICE : k, err));
        STOA_TRY(stages[k](s, err));
    }
    return stage_times_end(&s->times, s->queue, err);
}
