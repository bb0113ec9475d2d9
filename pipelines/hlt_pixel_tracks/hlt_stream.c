/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/hlt_pixel_tracks/hlt_stream.h"

#include <time.h>

#include "reco/tracks/selection.h"

/* ---- Set-up. ---- */

static stoa_status make_memory(hlt_stream *stream, uint32_t capacity, size_t event_bytes, stoa_error *err)
{
    /* The finder writes ndof of vertex i in row i of the vertex_tracks. */
    const uint32_t vertex_track_rows = capacity > HLT_VERTICES_MAX ? capacity : HLT_VERTICES_MAX;
    const stoa_block blocks[] = {{"work", &hlt_work_soa_layout, capacity, 0, NULL},
                                 {"features", &track_features_soa_layout, capacity, 0, NULL},
                                 {"selected", &tracks_soa_layout, capacity, 0, NULL},
                                 {"vertices", &vertices_soa_layout, HLT_VERTICES_MAX, 0, NULL},
                                 {"vertex_tracks", &vertex_tracks_soa_layout, vertex_track_rows, 0, NULL}};
    STOA_TRY(stoa_collection_create(stream->queue, STOA_MEMORY_DEVICE, blocks, sizeof blocks / sizeof *blocks,
                                    &stream->memory, err));
    STOA_TRY(stoa_collection_zero(stream->memory, stream->queue, 0, err));
    STOA_TRY(stoa_collection_view(stream->memory, "work", &stream->work.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "features", &stream->features.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "selected", &stream->selected.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "vertices", &stream->vertices.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "vertex_tracks", &stream->vertex_tracks.head, err));
    STOA_TRY(stoa_buffer_create(stream->queue, STOA_MEMORY_DEVICE, reco_vertices_workspace_bytes(capacity),
                                &stream->finder, err));
    const stoa_place place = stoa_device_place(stoa_queue_device(stream->queue));
    if (place.type == STOA_PLACE_HOST) return STOA_OK;
    return stoa_buffer_create(stream->queue, STOA_MEMORY_DEVICE, event_bytes, &stream->upload, err);
}

/* Bound once: features and score are the stream's own columns, so no event binds again. */
static stoa_status make_session(hlt_stream *stream, uint32_t capacity, stoa_error *err)
{
    const stoa_model *model = stream->options->model;
    if (!model) return STOA_FAIL(err, STOA_EINVAL, "selector dnn: no model given");
    const stoa_schema *schema = stoa_model_schema(model);
    if (schema->input_count != 1 || schema->output_count != 1)
        return STOA_FAIL(err, STOA_ESHAPE, "selector model: %u inputs and %u outputs, 1 and 1 needed",
                         schema->input_count, schema->output_count);
    const track_features_soa f = stream->features;
    STOA_TRY(stoa_session_create(model, stream->queue, capacity, NULL, &stream->session, err));
    STOA_TRY(
        stoa_session_bind(stream->session, schema->inputs[0].name,
                          STOA_COLUMNS(f, chi2, dz_error, dxy_error, eta, hits, phi, phi_error, pt,
                                       q_over_pt_error, dz_bs, dxy_bs, layers, cot_theta_error,
                                       cov_cot_theta_dz, cov_dxy_q_over_pt, cov_phi_dxy, cov_phi_q_over_pt),
                          err));
    return stoa_session_bind(stream->session, schema->outputs[0].name, STOA_COLUMNS(f, score), err);
}

stoa_status hlt_stream_init(hlt_stream *stream, const hlt_options *options, stoa_device *device,
                            uint32_t capacity, size_t event_bytes, stoa_error *err)
{
    *stream = (hlt_stream){.options = options};
    /* A host stream runs in the thread that drives it; on another device the thread only enqueues. */
    const bool host = stoa_device_place(device).type == STOA_PLACE_HOST;
    STOA_TRY(stoa_queue_create(device, host ? STOA_QUEUE_BLOCKING : STOA_QUEUE_ASYNC, &stream->queue, err));
    STOA_TRY(make_memory(stream, capacity, event_bytes, err));
    return options->selector == HLT_SELECTOR_DNN ? make_session(stream, capacity, err) : STOA_OK;
}

void hlt_stream_deinit(hlt_stream *stream)
{
    stoa_session_destroy(stream->session);
    stoa_collection_destroy(stream->memory);
    stoa_buffer_release(stream->finder);
    stoa_buffer_release(stream->upload);
    stoa_queue_destroy(stream->queue);
    *stream = (hlt_stream){0};
}

/* ---- One event, stage by stage. ---- */

static void stamp(void *at)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(double *)at = (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static stoa_status stage_upload(hlt_stream *s, const hlt_event *event, tracks_soa_const *tracks,
                                stoa_error *err)
{
    *tracks = event->tracks;
    if (!s->upload) return STOA_OK;
    size_t bytes;
    STOA_TRY(stoa_layout_bytes(&tracks_soa_layout, event->tracks.head.rows, &bytes, err));
    STOA_TRY(stoa_queue_copy(s->queue, stoa_buffer_data(s->upload), event->tracks.head.blob, bytes, err));
    return stoa_layout_bind_const(&tracks_soa_layout, event->tracks.head.rows, stoa_buffer_data(s->upload),
                                  bytes, stoa_buffer_place(s->upload), &tracks->head, err);
}

static stoa_status stage_preselect(hlt_stream *s, tracks_soa_const tracks, stoa_error *err)
{
    const reco_preselection args = {tracks,       RECO_QUALITY_TIGHT, 0,
                                    s->work.mask, s->work.index,      s->work.preselected};
    return reco_tracks_preselect(s->queue, &args, err);
}

static stoa_status stage_features(hlt_stream *s, tracks_soa_const tracks, stoa_error *err)
{
    return reco_tracks_features(
        s->queue, &(reco_features){tracks, s->work.index, s->work.preselected, s->features, 0}, err);
}

static stoa_status stage_selector(hlt_stream *s, stoa_error *err)
{
    if (s->session) return stoa_session_run_counted(s->session, s->work.preselected, err);
    const hlt_cuts *cuts = s->options->selector == HLT_SELECTOR_CUTS ? &s->options->cuts : NULL;
    return hlt_cuts_enqueue(s->queue, cuts, s->features, s->work.preselected, err);
}

static stoa_status stage_compact(hlt_stream *s, tracks_soa_const tracks, stoa_error *err)
{
    const float threshold = s->session ? s->options->score_min : 0.5f;
    const hlt_work_soa w = s->work;
    const reco_selection cut = {s->features, w.index, w.preselected, threshold,
                                w.mask,      w.slot,  w.kept,        w.selected};
    STOA_TRY(reco_tracks_select(s->queue, &cut, err));
    return reco_tracks_gather(s->queue, &(reco_track_gather){tracks, w.kept, w.selected, s->selected}, err);
}

static stoa_status stage_vertices(hlt_stream *s, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    tracks_soa_const selected;
    STOA_TRY(stoa_collection_view_const(s->memory, "selected", &selected.head, err));
    const reco_vertex_input in = {w.z, w.z_error2, w.pt2, w.row, w.usable, w.head.rows};
    /* Passing the selector is what high purity means here: the quality that the tracks came with is not asked
     * again. */
    reco_vertex_load load = {selected, RECO_VERTEX_CUTS_INIT, in, w.mask};
    load.cuts.min_quality = RECO_QUALITY_BAD;
    load.cuts.pt_min = s->options->vertex_pt_min;
    STOA_TRY(reco_vertices_load(s->queue, &load, err));
    const reco_vertex_find find = {in,
                                   s->options->vertex,
                                   s->vertices,
                                   s->vertex_tracks,
                                   selected.nTracks,
                                   w.tops,
                                   stoa_buffer_data(s->finder),
                                   stoa_buffer_bytes(s->finder)};
    return reco_vertices_find(s->queue, &find, err);
}

/* The counts are on the device, so the host copies what an event can have at most: its rows. */
static stoa_status stage_deliver(hlt_stream *s, uint32_t rows, hlt_slot *to, stoa_error *err)
{
    const struct {
        void *dst;
        const void *src;
        size_t bytes;
    } parts[] = {{&to->preselected, s->work.preselected, sizeof to->preselected},
                 {&to->selected, s->work.selected, sizeof to->selected},
                 {&to->usable, s->work.usable, sizeof to->usable},
                 {&to->vertices, s->vertices.nvFinal, sizeof to->vertices},
                 {&to->tops, s->work.tops, sizeof to->tops},
                 {to->index, s->work.index, rows * sizeof *to->index},
                 {to->score, s->features.score, rows * sizeof *to->score},
                 {to->kept, s->work.kept, rows * sizeof *to->kept},
                 {to->vertex_of, s->vertex_tracks.idv, rows * sizeof *to->vertex_of},
                 {to->ndof, s->vertex_tracks.ndof, HLT_VERTICES_MAX * sizeof *to->ndof},
                 {to->z, s->vertices.zv, HLT_VERTICES_MAX * sizeof *to->z},
                 {to->weight, s->vertices.wv, HLT_VERTICES_MAX * sizeof *to->weight},
                 {to->chi2, s->vertices.chi2, HLT_VERTICES_MAX * sizeof *to->chi2},
                 {to->pt2_sum, s->vertices.ptv2, HLT_VERTICES_MAX * sizeof *to->pt2_sum},
                 {to->by_pt2, s->vertices.sortInd, HLT_VERTICES_MAX * sizeof *to->by_pt2}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        STOA_TRY(stoa_queue_copy(s->queue, parts[i].dst, parts[i].src, parts[i].bytes, err));
    return STOA_OK;
}

stoa_status hlt_stream_enqueue(hlt_stream *s, const hlt_event *event, hlt_slot *slot, stoa_error *err)
{
    tracks_soa_const tracks;
    double *at = slot->stamp_us;
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_upload(s, event, &tracks, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_preselect(s, tracks, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_features(s, tracks, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_selector(s, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_compact(s, tracks, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_vertices(s, err));
    STOA_TRY(stoa_queue_enqueue(s->queue, stamp, at++, err));
    STOA_TRY(stage_deliver(s, event->tracks.head.rows, slot, err));
    return stoa_queue_enqueue(s->queue, stamp, at, err);
}
