/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "hlt_files.h"

static stoa_status event_bytes(const hlt_input *input, uint32_t index, size_t *tracks, size_t *truth, stoa_error *err)
{
    const uint32_t rows = reco_events_rows(input->file, index);
    STOA_TRY(stoa_layout_bytes(&tracks_soa_layout, rows, tracks, err));
    return stoa_layout_bytes(&track_truth_soa_layout, rows, truth, err);
}

static float hard_scatter_z(const reco_events *file, uint32_t index)
{
    uint32_t count = 0;
    const reco_true_vertex *vertices = reco_events_vertices(file, index, &count);
    for (uint32_t v = 0; vertices && v < count; v++)
        if (vertices[v].type == 1) return vertices[v].z;
    return NAN;
}

static stoa_status fill_event(hlt_input *input, uint32_t index, char *at, size_t tracks_bytes, size_t truth_bytes, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const uint32_t rows = reco_events_rows(input->file, index);
    hlt_event *event = &input->events[index];
    tracks_soa tracks;
    track_truth_soa truth;
    STOA_TRY(stoa_layout_bind(&tracks_soa_layout, rows, at, tracks_bytes, host, &tracks.head, err));
    STOA_TRY(stoa_layout_bind(&track_truth_soa_layout, rows, at + tracks_bytes, truth_bytes, host, &truth.head, err));
    STOA_TRY(reco_events_fill(input->file, index, &tracks, &truth, err));
    event->number = reco_events_number(input->file, index);
    event->vertex_z = hard_scatter_z(input->file, index);
    if (input->has_truth)
        STOA_TRY(stoa_layout_bind_const(&track_truth_soa_layout, rows, at + tracks_bytes, truth_bytes, host, &event->truth.head, err));
    return stoa_layout_bind_const(&tracks_soa_layout, rows, at, tracks_bytes, host, &event->tracks.head, err);
}

/* In place: the views of the file are the job's. */
static stoa_status map_events(hlt_input *input, const char *path, stoa_error *err)
{
    STOA_TRY(reco_track_file_open(path, &input->mapped, err));
    input->count = reco_track_file_count(input->mapped);
    input->events = stoa_calloc(input->count + 1u, sizeof *input->events);
    if (!input->events) return STOA_FAIL(err, STOA_ENOMEM, "events of '%s': no memory for %u", path, input->count);
    for (uint32_t e = 0; e < input->count; e++) {
        const reco_track_blob *blob = reco_track_file_event(input->mapped, e);
        input->events[e] = (hlt_event){.number = blob->event, .tracks = blob->tracks, .hits = blob->hits, .vertex_z = NAN};
    }
    return STOA_OK;
}

static stoa_status read_events(hlt_input *input, const char *path, stoa_error *err)
{
    STOA_TRY(reco_events_read(path, &input->file, err));
    input->count = reco_events_count(input->file);
    input->source = reco_events_origin(input->file);
    input->has_truth = reco_events_has_truth(input->file) != 0;
    size_t tracks_bytes, truth_bytes, at = 0;
    for (uint32_t e = 0; e < input->count; e++) {
        STOA_TRY(event_bytes(input, e, &tracks_bytes, &truth_bytes, err));
        input->memory_bytes += tracks_bytes + truth_bytes;
    }
    input->events = stoa_calloc(input->count + 1u, sizeof *input->events);
    input->memory_bytes += STOA_LAYOUT_ALIGN_BYTES;
    input->memory = stoa_alloc(input->memory_bytes, STOA_LAYOUT_ALIGN_BYTES);
    if (!input->events || !input->memory)
        return STOA_FAIL(err, STOA_ENOMEM, "events of '%s': no memory for %zu bytes", path, input->memory_bytes);
    for (uint32_t e = 0; e < input->count; e++) {
        STOA_TRY(event_bytes(input, e, &tracks_bytes, &truth_bytes, err));
        STOA_TRY(fill_event(input, e, (char *)input->memory + at, tracks_bytes, truth_bytes, err));
        at += tracks_bytes + truth_bytes;
    }
    return STOA_OK;
}

stoa_status hlt_input_read(hlt_input *input, const char *path, stoa_error *err)
{
    const char *dot = strrchr(path, '.');
    *input = (hlt_input){0};
    return dot && !strcmp(dot, ".soa") ? map_events(input, path, err) : read_events(input, path, err);
}

void hlt_input_deinit(hlt_input *input)
{
    stoa_free(input->memory, input->memory_bytes);
    stoa_free(input->events, (input->count + 1u) * sizeof *input->events);
    reco_events_destroy(input->file);
    reco_track_file_close(input->mapped);
    *input = (hlt_input){0};
}
