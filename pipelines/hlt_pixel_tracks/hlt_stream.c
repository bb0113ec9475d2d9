/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/hlt_pixel_tracks/hlt_stream.h"

#include "reco/tracks/hit_features.h"
#include "reco/tracks/legacy.h"
#include "reco/tracks/selection.h"
#include "stoa/algo.h"

/* ---- Set-up. ---- */

/* Room for the tracks, the hits and their positions of an event, one behind the other. */
static stoa_status make_upload(hlt_stream *stream, hlt_capacity capacity, stoa_error *err)
{
    const stoa_place place = stoa_device_place(stoa_queue_device(stream->queue));
    size_t tracks, hits, rec_hits;
    if (place.type == STOA_PLACE_HOST) return STOA_OK;
    STOA_TRY(stoa_layout_bytes(&tracks_soa_layout, capacity.tracks, &tracks, err));
    STOA_TRY(stoa_layout_bytes(&track_hits_soa_layout, capacity.hits, &hits, err));
    STOA_TRY(stoa_layout_bytes(&rec_hits_soa_layout, capacity.rec_hits, &rec_hits, err));
    return stoa_buffer_create(stream->queue, STOA_MEMORY_DEVICE, tracks + hits + rec_hits, &stream->upload, err);
}

static stoa_status make_memory(hlt_stream *stream, hlt_capacity most, stoa_error *err)
{
    const uint32_t capacity = most.tracks;
    const uint32_t vertex_rows = capacity + 1; /* the beam spot in place of none */
    const uint32_t hit_rows = stream->options->selector == HLT_SELECTOR_CATRACK ? capacity : 0;
    const stoa_block blocks[] = {{"work", &hlt_work_soa_layout, capacity, 0, NULL},
                                 {"features", &track_features_soa_layout, capacity, 0, NULL},
                                 {"derived", &track_derived_soa_layout, capacity, 0, NULL},
                                 {"selected", &tracks_soa_layout, capacity, 0, NULL},
                                 {"hits", &track_hits_soa_layout, most.hits, 0, NULL},
                                 {"legacy", &legacy_tracks_soa_layout, capacity, 0, NULL},
                                 {"vertices", &vertices_soa_layout, vertex_rows, 0, NULL},
                                 {"vertex_tracks", &vertex_tracks_soa_layout, vertex_rows, 0, NULL},
                                 {"hit_features", &hit_features_soa_layout, hit_rows, 0, NULL}};
    const size_t finder_bytes = stream->options->vertexing == HLT_VERTEXING_DIVISIVE ? reco_divisive_workspace_bytes(capacity)
                                                                                     : reco_vertices_workspace_bytes(capacity);
    STOA_TRY(stoa_collection_create(stream->queue, STOA_MEMORY_DEVICE, blocks, sizeof blocks / sizeof *blocks, &stream->memory, err));
    STOA_TRY(stoa_collection_zero(stream->memory, stream->queue, 0, err));
    STOA_TRY(stoa_collection_view(stream->memory, "work", &stream->work.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "features", &stream->features.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "derived", &stream->derived.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "hit_features", &stream->hit_features.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "selected", &stream->selected.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "hits", &stream->selected_hits.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "legacy", &stream->legacy.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "vertices", &stream->vertices.head, err));
    STOA_TRY(stoa_collection_view(stream->memory, "vertex_tracks", &stream->vertex_tracks.head, err));
    STOA_TRY(stoa_buffer_create(stream->queue, STOA_MEMORY_DEVICE, finder_bytes, &stream->finder, err));
    return make_upload(stream, most, err);
}

static stoa_status bind_features(hlt_stream *stream, const char *input, stoa_error *err)
{
    const track_features_soa f = stream->features;
    const hit_features_soa h = stream->hit_features;
    if (stream->options->selector == HLT_SELECTOR_CATRACK)
        return stoa_session_bind(stream->session, input,
                                 STOA_COLUMNS(h, log_chi2, ps_fraction, first_r, ps_stubs, hits, span_z, stubs, layers, log_stub_chi2,
                                              curvature_error, dca, barrel_stubs),
                                 err);
    return stoa_session_bind(stream->session, input,
                             STOA_COLUMNS(f, chi2, dz_error, dxy_error, eta, hits, phi, phi_error, pt, q_over_pt_error, dz_bs, dxy_bs,
                                          layers, cot_theta_error, cov_cot_theta_dz, cov_dxy_q_over_pt, cov_phi_dxy, cov_phi_q_over_pt),
                             err);
}

/* Bound once: features and score are the stream's own columns, so no event binds again. */
static stoa_status make_session(hlt_stream *stream, uint32_t capacity, stoa_error *err)
{
    const stoa_model *model = stream->options->model;
    if (!model) return STOA_FAIL(err, STOA_EINVAL, "selector: no model given");
    const stoa_schema *schema = stoa_model_schema(model);
    if (schema->input_count != 1 || schema->output_count != 1)
        return STOA_FAIL(err, STOA_ESHAPE, "selector model: %u inputs and %u outputs, 1 and 1 needed", schema->input_count,
                         schema->output_count);
    stoa_session_options session_options = STOA_SESSION_OPTIONS_INIT;
    session_options.allow_copies = stream->options->allow_copies;
    STOA_TRY(stoa_session_create(model, stream->queue, capacity, &session_options, &stream->session, err));
    STOA_TRY(bind_features(stream, schema->inputs[0].name, err));
    return stoa_session_bind(stream->session, schema->outputs[0].name, STOA_COLUMNS(stream->features, score), err);
}

/* The columns in the order that the forest was trained with: those of the network, then the derived ones. */
static stoa_status make_forest(hlt_stream *stream, uint32_t capacity, stoa_error *err)
{
    const reco_forest *forest = stream->options->forest;
    const track_features_soa f = stream->features;
    const track_derived_soa d = stream->derived;
    if (!forest) return STOA_FAIL(err, STOA_EINVAL, "selector forest: no forest given");
    const float *const columns[] = {f.chi2,
                                    f.dz_error,
                                    f.dxy_error,
                                    f.eta,
                                    f.hits,
                                    f.phi,
                                    f.phi_error,
                                    f.pt,
                                    f.q_over_pt_error,
                                    f.dz_bs,
                                    f.dxy_bs,
                                    f.layers,
                                    f.cot_theta_error,
                                    f.cov_cot_theta_dz,
                                    f.cov_dxy_q_over_pt,
                                    f.cov_phi_dxy,
                                    f.cov_phi_q_over_pt,
                                    d.cot_theta,
                                    d.q_over_pt,
                                    d.abs_eta,
                                    d.ndof,
                                    d.chi2_sum,
                                    d.hits_per_layer,
                                    d.dxy_significance,
                                    d.dz_significance,
                                    d.pt_relative_error,
                                    d.phi_error_pt,
                                    d.corr_cot_theta_dz,
                                    d.corr_dxy_q_over_pt,
                                    d.corr_phi_dxy,
                                    d.corr_phi_q_over_pt};
    const uint32_t count = sizeof columns / sizeof *columns;
    if (reco_forest_features(forest) != count)
        return STOA_FAIL(err, STOA_ESHAPE, "selector forest: %u features, %u needed", reco_forest_features(forest), count);
    const stoa_place place = stoa_device_place(stoa_queue_device(stream->queue));
    if (place.type != STOA_PLACE_HOST) STOA_TRY(reco_forest_upload(forest, stream->queue, &stream->forest, err));
    reco_forest_run *run = &stream->forest_run;
    *run = (reco_forest_run){
        .forest = reco_forest_view_of(forest, stream->forest), .out = f.score, .count = stream->work.preselected, .capacity = capacity};
    for (uint32_t c = 0; c < count; c++) run->columns[c] = columns[c];
    return STOA_OK;
}

stoa_status hlt_stream_init(hlt_stream *stream, const hlt_options *options, stoa_device *device, hlt_capacity most, stoa_error *err)
{
    const uint32_t capacity = most.tracks;
    *stream = (hlt_stream){.options = options};
    /* A host stream runs in the thread that drives it; on another device the thread only enqueues. */
    const bool host = stoa_device_place(device).type == STOA_PLACE_HOST;
    STOA_TRY(stoa_queue_create(device, host ? STOA_QUEUE_BLOCKING : STOA_QUEUE_ASYNC, &stream->queue, err));
    STOA_TRY(make_memory(stream, most, err));
    switch (options->selector) {
    case HLT_SELECTOR_DNN:
    case HLT_SELECTOR_CATRACK: return make_session(stream, capacity, err);
    case HLT_SELECTOR_FOREST: return make_forest(stream, capacity, err);
    case HLT_SELECTOR_CUTS:
    case HLT_SELECTOR_NONE: break;
    }
    return STOA_OK;
}

void hlt_stream_deinit(hlt_stream *stream)
{
    stoa_session_destroy(stream->session);
    stoa_collection_destroy(stream->memory);
    stoa_buffer_release(stream->finder);
    stoa_buffer_release(stream->forest);
    stoa_buffer_release(stream->upload);
    stoa_queue_destroy(stream->queue);
    *stream = (hlt_stream){0};
}

/* ---- One event, stage by stage. ---- */

/* An event on its way through a stream. */
typedef struct hlt_pass {
    const hlt_event *event;
    hlt_slot *slot;
    tracks_soa_const tracks; /* the event's, where the queue works, */
    track_hits_soa_const hits; /* and their hits, */
    rec_hits_soa_const rec_hits; /* and where these are */
    tracks_soa_const source; /* of conversion and vertices: the same, or the selected ones */
} hlt_pass;

/* Copy one block of an event to `*at` of the upload buffer and bind it there. */
static stoa_status upload_block(hlt_stream *s, const stoa_layout *layout, const stoa_view_head *from, size_t *at, stoa_view_head *to,
                                stoa_error *err)
{
    char *data = (char *)stoa_buffer_data(s->upload) + *at;
    size_t bytes;
    STOA_TRY(stoa_layout_bytes(layout, from->rows, &bytes, err));
    STOA_TRY(stoa_queue_copy(s->queue, data, from->blob, bytes, err));
    *at += bytes;
    return stoa_layout_bind_const(layout, from->rows, data, bytes, stoa_buffer_place(s->upload), to, err);
}

static stoa_status stage_upload(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_event *event = pass->event;
    size_t at = 0;
    pass->tracks = event->tracks;
    pass->hits = event->hits;
    pass->rec_hits = event->rec_hits;
    if (s->upload) STOA_TRY(upload_block(s, &tracks_soa_layout, &event->tracks.head, &at, &pass->tracks.head, err));
    if (s->upload && event->hits.head.rows > 0)
        STOA_TRY(upload_block(s, &track_hits_soa_layout, &event->hits.head, &at, &pass->hits.head, err));
    if (s->upload && event->rec_hits.head.rows > 0)
        STOA_TRY(upload_block(s, &rec_hits_soa_layout, &event->rec_hits.head, &at, &pass->rec_hits.head, err));
    pass->source = pass->tracks;
    return STOA_OK;
}

/* CATrackDNN decides in place of the cut that makes a track tight; it needs three hits for a circle. */
static stoa_status stage_preselect(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const bool gate = s->options->selector == HLT_SELECTOR_CATRACK;
    const hlt_work_soa w = s->work;
    const uint32_t quality = gate ? RECO_QUALITY_STRICT : RECO_QUALITY_TIGHT;
    const reco_preselection args = {pass->tracks, quality, gate ? 3 : 0, w.mask, w.index, w.preselected, w.scratch.data};
    return reco_tracks_preselect(s->queue, &args, err);
}

static stoa_status stage_features(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    const reco_hit_features of_hits = {pass->tracks, pass->hits, pass->rec_hits, w.index, w.preselected, s->hit_features};
    if (s->options->selector == HLT_SELECTOR_CATRACK) return reco_tracks_hit_features(s->queue, &of_hits, err);
    STOA_TRY(reco_tracks_features(s->queue, &(reco_features){pass->tracks, w.index, w.preselected, s->features, 0}, err));
    if (s->options->selector != HLT_SELECTOR_FOREST) return STOA_OK;
    return reco_tracks_derive(s->queue, &(reco_derivation){pass->tracks, w.index, w.preselected, s->features, s->derived}, err);
}

static stoa_status stage_selector(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    (void)pass;
    const hlt_work_soa w = s->work;
    vertices_soa_const vertices;
    switch (s->options->selector) {
    case HLT_SELECTOR_DNN: return stoa_session_run_counted(s->session, w.preselected, err);
    case HLT_SELECTOR_CATRACK:
        STOA_TRY(stoa_session_run_counted(s->session, w.preselected, err));
        return reco_tracks_hit_verdict(s->queue, &(reco_hit_verdict){s->hit_features, w.preselected, s->features.score}, err);
    case HLT_SELECTOR_FOREST: return reco_forest_enqueue(s->queue, &s->forest_run, err);
    case HLT_SELECTOR_NONE: return hlt_select_all(s->queue, s->features, w.preselected, err);
    case HLT_SELECTOR_CUTS: break;
    }
    STOA_TRY(stoa_collection_view_const(s->memory, "vertices", &vertices.head, err));
    const reco_cut_classifier cuts = {s->features, w.preselected, vertices, s->vertex_tracks.ndof, s->options->cuts};
    return reco_tracks_classify(s->queue, &cuts, err);
}

static float score_min(const hlt_options *options)
{
    switch (options->selector) {
    case HLT_SELECTOR_CUTS: return reco_working_point_score(options->working_point);
    case HLT_SELECTOR_NONE: return 0.5f;
    case HLT_SELECTOR_DNN:
    case HLT_SELECTOR_CATRACK:
    case HLT_SELECTOR_FOREST: break;
    }
    return options->score_min;
}

/* Vertices that were found before are numbered by the event's rows; those to come by the selected ones. */
static stoa_status stage_compact(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    const hlt_options *o = s->options;
    const bool ramp = o->selector == HLT_SELECTOR_DNN || o->selector == HLT_SELECTOR_FOREST;
    const reco_selection cut = {.features = s->features,
                                .index = w.index,
                                .count = w.preselected,
                                .threshold = score_min(o),
                                .mask = w.mask,
                                .slot = w.slot,
                                .kept = w.kept,
                                .kept_count = w.selected,
                                .threshold_prompt = o->score_min_prompt,
                                .dxy_knee = ramp ? o->dxy_knee_cm : 0,
                                .scratch = w.scratch.data};
    tracks_soa_const selected;
    STOA_TRY(stoa_collection_view_const(s->memory, "selected", &selected.head, err));
    STOA_TRY(reco_tracks_select(s->queue, &cut, err));
    STOA_TRY(reco_tracks_gather(s->queue, &(reco_track_gather){pass->tracks, w.kept, w.selected, s->selected, w.scratch.data}, err));
    const reco_hit_gather hits = {pass->tracks, pass->hits, w.kept, selected, s->selected_hits, NULL, w.hits};
    if (pass->hits.head.rows > 0) STOA_TRY(reco_hits_gather(s->queue, &hits, err));
    if (o->selector == HLT_SELECTOR_CATRACK)
        STOA_TRY(reco_tracks_promote(s->queue, &(reco_promotion){s->selected, RECO_QUALITY_TIGHT}, err));
    const stoa_gather gather = {s->vertex_tracks.idv, w.vertex_of, sizeof *w.vertex_of, w.kept, w.selected, w.head.rows};
    if (o->vertices_first) return stoa_algo_gather(s->queue, &gather, err);
    pass->source = selected;
    return STOA_OK;
}

static stoa_status stage_convert(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    const hlt_options *o = s->options;
    if (o->vertexing != HLT_VERTEXING_DIVISIVE) return STOA_OK;
    const reco_legacy args = {pass->source, RECO_QUALITY_TIGHT, 0,         o->beam_spot, o->field_tesla, w.mask, w.row, w.key,
                              w.order,      w.scratch.data,     s->legacy, w.legacy_of};
    return reco_tracks_to_legacy(s->queue, &args, err);
}

static stoa_status vertices_divisive(hlt_stream *s, hlt_pass *pass, reco_vertex_input in, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    const hlt_options *o = s->options;
    reco_divisive_load load = {.cuts = o->divisive_cuts, .out = in, .mask = w.mask, .scratch = w.scratch.data};
    STOA_TRY(stoa_collection_view_const(s->memory, "legacy", &load.tracks.head, err));
    STOA_TRY(reco_divisive_load_tracks(s->queue, &load, err));
    const reco_divisive_find find = {in,
                                     o->divisive,
                                     o->beam_spot,
                                     s->vertices,
                                     s->vertex_tracks,
                                     pass->source.nTracks,
                                     w.tops,
                                     stoa_buffer_data(s->finder),
                                     stoa_buffer_bytes(s->finder)};
    return reco_divisive_vertices(s->queue, &find, err);
}

/* Passing the selector is what high purity means here, so no more than the preselection's quality is asked. */
static stoa_status vertices_density(hlt_stream *s, hlt_pass *pass, reco_vertex_input in, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    reco_vertex_load load = {pass->source, RECO_VERTEX_CUTS_INIT, in, w.mask, w.scratch.data};
    load.cuts.min_quality = RECO_QUALITY_TIGHT;
    load.cuts.pt_min = s->options->vertex_pt_min;
    STOA_TRY(reco_vertices_load(s->queue, &load, err));
    const reco_vertex_find find = {in,
                                   s->options->vertex,
                                   s->vertices,
                                   s->vertex_tracks,
                                   pass->source.nTracks,
                                   w.tops,
                                   stoa_buffer_data(s->finder),
                                   stoa_buffer_bytes(s->finder)};
    return reco_vertices_find(s->queue, &find, err);
}

static stoa_status stage_vertices(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_work_soa w = s->work;
    const reco_vertex_input in = {w.z, w.z_error2, w.pt2, w.row, w.usable, w.head.rows};
    return s->options->vertexing == HLT_VERTEXING_DIVISIVE ? vertices_divisive(s, pass, in, err) : vertices_density(s, pass, in, err);
}

/* Legacy tracks, a piece a component: only where they are wanted. They are of the selected tracks, or of all. */
static stoa_status deliver_legacy(hlt_stream *s, const hlt_pass *pass, uint32_t rows, stoa_error *err)
{
    enum { PIECES_MAX = 40 };
    const hlt_slot *to = pass->slot;
    const uint32_t *count = s->options->vertices_first ? (const uint32_t *)pass->tracks.nTracks : s->work.selected;
    hlt_part parts[PIECES_MAX + 1] = {{to->legacy_of, s->work.legacy_of, count, rows, sizeof *to->legacy_of}};
    hlt_piece from, into;
    uint32_t n = 1;
    for (uint32_t k = 0; hlt_piece_of(&s->legacy.head, k, 0, &from) && hlt_piece_of(&to->legacy->head, k, to->legacy_first, &into); k++) {
        if (n > PIECES_MAX) return STOA_FAIL(err, STOA_ELIMIT, "legacy tracks: more than %d columns", PIECES_MAX);
        parts[n++] = (hlt_part){into.data, from.data, s->legacy.count, rows, (uint32_t)from.row_bytes};
    }
    return hlt_deliver(s->queue, parts, n, err);
}

static stoa_status stage_deliver(hlt_stream *s, hlt_pass *pass, stoa_error *err)
{
    const hlt_slot *to = pass->slot;
    hlt_counts *n = to->counts;
    const uint32_t rows = pass->event->tracks.head.rows;
    const int16_t *vertex_of = s->options->vertices_first ? s->work.vertex_of : s->vertex_tracks.idv;
    const uint32_t *preselected = s->work.preselected, *selected = s->work.selected, *vertices = s->vertices.nvFinal;
#define COUNT(name, from) {&n->name, (from), NULL, 1, sizeof n->name}
#define ARRAY(name, from, count, most) \
    { \
        to->name, (from), (count), (most), sizeof *to->name \
    }
    const hlt_part parts[] = {COUNT(preselected, preselected),
                              COUNT(selected, selected),
                              COUNT(hits, s->work.hits),
                              COUNT(converted, s->legacy.count),
                              COUNT(usable, s->work.usable),
                              COUNT(vertices, vertices),
                              COUNT(tops, s->work.tops),
                              ARRAY(index, s->work.index, preselected, rows),
                              ARRAY(score, s->features.score, preselected, rows),
                              ARRAY(kept, s->work.kept, selected, rows),
                              ARRAY(vertex_of, vertex_of, selected, rows),
                              ARRAY(ndof, s->vertex_tracks.ndof, vertices, rows + 1),
                              ARRAY(z, s->vertices.zv, vertices, rows + 1),
                              ARRAY(weight, s->vertices.wv, vertices, rows + 1),
                              ARRAY(chi2, s->vertices.chi2, vertices, rows + 1),
                              ARRAY(pt2_sum, s->vertices.ptv2, vertices, rows + 1),
                              ARRAY(by_pt2, s->vertices.sortInd, vertices, rows + 1)};
#undef ARRAY
#undef COUNT
    STOA_TRY(hlt_deliver(s->queue, parts, sizeof parts / sizeof *parts, err));
    return to->legacy ? deliver_legacy(s, pass, rows, err) : STOA_OK;
}

static stoa_status (*const stages[HLT_STAGE_COUNT])(hlt_stream *, hlt_pass *, stoa_error *) = {
    [HLT_STAGE_UPLOAD] = stage_upload,     [HLT_STAGE_PRESELECT] = stage_preselect, [HLT_STAGE_FEATURES] = stage_features,
    [HLT_STAGE_SELECTOR] = stage_selector, [HLT_STAGE_COMPACT] = stage_compact,     [HLT_STAGE_CONVERT] = stage_convert,
    [HLT_STAGE_VERTICES] = stage_vertices, [HLT_STAGE_DELIVER] = stage_deliver};

/* The order of the stages. Cuts need vertices before them in any case. */
static uint32_t plan(const hlt_options *options, hlt_stage *stage)
{
    uint32_t n = 0;
    const bool before = options->vertices_first || options->selector == HLT_SELECTOR_CUTS;
    stage[n++] = HLT_STAGE_UPLOAD;
    stage[n++] = HLT_STAGE_PRESELECT;
    stage[n++] = HLT_STAGE_FEATURES;
    if (before) stage[n++] = HLT_STAGE_CONVERT, stage[n++] = HLT_STAGE_VERTICES;
    stage[n++] = HLT_STAGE_SELECTOR;
    stage[n++] = HLT_STAGE_COMPACT;
    if (!options->vertices_first) stage[n++] = HLT_STAGE_CONVERT, stage[n++] = HLT_STAGE_VERTICES;
    stage[n++] = HLT_STAGE_DELIVER;
    return n;
}

/* What a stage's time counts for: a GPU would wait for each stamp, so it has none between the upload and the results. */
static hlt_stage timed_as(const hlt_stream *s, hlt_stage stage)
{ return s->upload && stage != HLT_STAGE_UPLOAD && stage != HLT_STAGE_DELIVER ? HLT_STAGE_DEVICE : stage; }

stoa_status hlt_stream_enqueue(hlt_stream *s, const hlt_event *event, hlt_slot *slot, stoa_error *err)
{
    hlt_pass pass = {.event = event, .slot = slot};
    hlt_stage order[STAGE_STEPS_MAX];
    const uint32_t steps = plan(s->options, order);
    slot->times.steps = 0;
    for (uint32_t k = 0; k < steps; k++) {
        STOA_TRY(stage_times_enter(&slot->times, s->queue, timed_as(s, order[k]), err));
        STOA_TRY(stages[order[k]](s, &pass, err));
    }
    return stage_times_end(&slot->times, s->queue, err);
}
