/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hlt_files.h"

/* The events at hand as the file gives them. */
typedef struct event_source {
    const reco_events *events;
    uint32_t at; /* index of the first of them */
} event_source;

/* The blocks of an event, one behind the other; those of the hits are empty where there is no file of them. */
enum { BLOCK_TRACKS, BLOCK_TRUTH, BLOCK_HITS, BLOCK_REC_HITS, BLOCKS };
typedef struct event_blocks {
    uint32_t rows[BLOCKS];
    size_t bytes[BLOCKS], all;
} event_blocks;
static const stoa_layout *const block_layouts[BLOCKS] = {&tracks_soa_layout, &track_truth_soa_layout, &track_hits_soa_layout,
                                                         &rec_hits_soa_layout};

static stoa_status measure_event(const hlt_input *input, uint32_t index, event_blocks *blocks, stoa_error *err)
{
    const uint32_t rows = reco_events_rows(input->index, index);
    const uint32_t hits = reco_event_hits_rows(input->hits, reco_events_number(input->index, index));
    *blocks = (event_blocks){.rows = {rows, rows, hits, hits}};
    for (int b = 0; b < BLOCKS; b++) {
        STOA_TRY(stoa_layout_bytes(block_layouts[b], blocks->rows[b], &blocks->bytes[b], err));
        blocks->all += blocks->bytes[b];
    }
    return STOA_OK;
}

static float hard_scatter_z(const reco_events *index, uint32_t event)
{
    uint32_t count = 0;
    const reco_true_vertex *vertices = reco_events_vertices(index, event, &count);
    for (uint32_t v = 0; vertices && v < count; v++)
        if (vertices[v].type == 1) return vertices[v].z;
    return NAN;
}

static stoa_status bind_block(const event_blocks *blocks, int block, char *at, stoa_view_head *view, stoa_view_head *read, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const stoa_layout *layout = block_layouts[block];
    for (int b = 0; b < block; b++) at += blocks->bytes[b];
    STOA_TRY(stoa_layout_bind(layout, blocks->rows[block], at, blocks->bytes[block], host, view, err));
    return read ? stoa_layout_bind_const(layout, blocks->rows[block], at, blocks->bytes[block], host, read, err) : STOA_OK;
}

/* Hits of other numbers than the tracks have belong to other tracks: the event has none then. */
static stoa_status fill_hits(const hlt_input *input, uint32_t needed, const event_blocks *blocks, char *at, hlt_event *event,
                             stoa_error *err)
{
    track_hits_soa hits;
    rec_hits_soa rec_hits;
    const uint32_t found = blocks->rows[BLOCK_HITS];
    if (found == 0) return STOA_OK;
    if (found != needed) {
        cli_note("event %lld: its tracks have %u hits, the file of hits %u: left out", (long long)event->number, needed, found);
        return STOA_OK;
    }
    STOA_TRY(bind_block(blocks, BLOCK_HITS, at, &hits.head, &event->hits.head, err));
    STOA_TRY(bind_block(blocks, BLOCK_REC_HITS, at, &rec_hits.head, &event->rec_hits.head, err));
    return reco_event_hits_fill(input->hits, event->number, &hits, &rec_hits, err);
}

/* Event k of those at hand. */
static stoa_status fill_event(hlt_input *input, event_source from, uint32_t k, const event_blocks *blocks, char *at, stoa_error *err)
{
    hlt_event *event = &input->events[k];
    tracks_soa tracks;
    track_truth_soa truth;
    event->number = reco_events_number(input->index, input->first + k);
    event->vertex_z = hard_scatter_z(input->index, input->first + k);
    STOA_TRY(bind_block(blocks, BLOCK_TRACKS, at, &tracks.head, &event->tracks.head, err));
    STOA_TRY(bind_block(blocks, BLOCK_TRUTH, at, &truth.head, input->has_truth ? &event->truth.head : NULL, err));
    STOA_TRY(reco_events_fill(from.events, from.at + k, &tracks, &truth, err));
    return fill_hits(input, reco_events_hits(from.events, from.at + k), blocks, at, event, err);
}

/* Blocks as large as they are asked for, not the next power of two: pinned memory is dear. */
static stoa_status take_memory(hlt_input *input, size_t bytes, stoa_error *err)
{
    if (input->memory && stoa_buffer_bytes(input->memory) >= bytes) return STOA_OK;
    stoa_buffer_release(input->memory);
    input->memory = NULL;
    if (!input->queue) STOA_TRY(stoa_queue_create(input->device, STOA_QUEUE_BLOCKING, &input->queue, err));
    return stoa_buffer_create(input->queue, STOA_MEMORY_PINNED, bytes, &input->memory, err);
}

static stoa_status fail_file(const char *path, stoa_error *err)
{ return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: %s", path, errno ? strerror(errno) : "cannot be read to its end"); }

/* The whole file in pinned memory. */
static stoa_status load_file(hlt_input *input, const char *path, stoa_error *err)
{
    errno = 0;
    FILE *file = fopen(path, "rbe");
    if (!file) return fail_file(path, err);
    const long bytes = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    stoa_status status = bytes < 0 ? fail_file(path, err) : take_memory(input, (size_t)bytes, err);
    if (status == STOA_OK) {
        rewind(file);
        if (fread(stoa_buffer_data(input->memory), 1, (size_t)bytes, file) != (size_t)bytes) status = fail_file(path, err);
    }
    fclose(file);
    return status == STOA_OK ? reco_track_file_open_memory(stoa_buffer_data(input->memory), (size_t)bytes, path, &input->mapped, err)
                             : status;
}

static stoa_status make_events(hlt_input *input, uint32_t count, stoa_error *err)
{
    stoa_free(input->made, input->made_count * sizeof *input->made);
    input->made_count = count + 1u;
    input->made = stoa_calloc(input->made_count, sizeof *input->made);
    return input->made ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "no memory for %u events", count);
}

/* In place: the views of the file are the job's. */
static stoa_status map_events(hlt_input *input, const char *path, stoa_error *err)
{
    if (stoa_device_place(input->device).type == STOA_PLACE_HOST) STOA_TRY(reco_track_file_open(path, &input->mapped, err));
    else STOA_TRY(load_file(input, path, err));
    input->total = reco_track_file_count(input->mapped);
    STOA_TRY(make_events(input, input->total, err));
    for (uint32_t e = 0; e < input->total; e++) {
        const reco_track_blob *blob = reco_track_file_event(input->mapped, e);
        input->made[e] =
            (hlt_event){.number = blob->event, .tracks = blob->tracks, .hits = blob->hits, .rec_hits = blob->rec_hits, .vertex_z = NAN};
    }
    return STOA_OK;
}

static stoa_status open_events(hlt_input *input, const char *path, stoa_error *err)
{
    STOA_TRY(reco_events_file_open(path, &input->file, err));
    STOA_TRY(reco_event_hits_open(path, &input->hits, err));
    input->index = reco_events_file_index(input->file);
    input->total = reco_events_count(input->index);
    input->source = reco_events_origin(input->index);
    input->has_truth = reco_events_has_truth(input->index) != 0;
    return STOA_OK;
}

stoa_status hlt_input_open(hlt_input *input, const char *path, const char *device, stoa_error *err)
{
    const stoa_device_options options = {.struct_size = sizeof options, .bin_max_bytes = 1 << 20};
    const char *dot = strrchr(path, '.');
    *input = (hlt_input){0};
    STOA_TRY(stoa_device_open_with(device, &options, &input->device, err));
    return dot && !strcmp(dot, ".soa") ? map_events(input, path, err) : open_events(input, path, err);
}

bool hlt_input_has_hits(const hlt_input *input)
{
    for (uint32_t e = 0; e < input->total; e++)
        if (input->mapped ? input->made[e].rec_hits.head.rows > 0
                          : reco_event_hits_rows(input->hits, reco_events_number(input->index, e)) > 0)
            return true;
    return false;
}

/* Their hits, where they stand in a file of which rows can be read. */
static stoa_status load_hits(hlt_input *input, stoa_error *err)
{
    int64_t *numbers = input->hits ? stoa_calloc(input->count, sizeof *numbers) : NULL;
    if (!input->hits) return STOA_OK;
    if (!numbers) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u events", input->count);
    for (uint32_t k = 0; k < input->count; k++) numbers[k] = reco_events_number(input->index, input->first + k);
    const stoa_status status = reco_event_hits_load(input->hits, numbers, input->count, err);
    stoa_free(numbers, input->count * sizeof *numbers);
    return status;
}

static stoa_status read_events(hlt_input *input, stoa_error *err)
{
    event_source from;
    event_blocks blocks;
    size_t bytes = 0, at = 0;
    STOA_TRY(make_events(input, input->count, err));
    input->events = input->made;
    STOA_TRY(reco_events_file_read(input->file, input->first, input->count, &from.events, &from.at, err));
    STOA_TRY(load_hits(input, err));
    for (uint32_t k = 0; k < input->count; k++) {
        STOA_TRY(measure_event(input, input->first + k, &blocks, err));
        bytes += blocks.all;
    }
    STOA_TRY(take_memory(input, bytes, err));
    for (uint32_t k = 0; k < input->count; k++) {
        STOA_TRY(measure_event(input, input->first + k, &blocks, err));
        STOA_TRY(fill_event(input, from, k, &blocks, (char *)stoa_buffer_data(input->memory) + at, err));
        at += blocks.all;
    }
    return STOA_OK;
}

stoa_status hlt_input_take(hlt_input *input, uint32_t first, uint32_t count, stoa_error *err)
{
    input->first = first;
    input->count = count;
    if (input->file) return read_events(input, err);
    input->events = input->made + first;
    return STOA_OK;
}

void hlt_input_deinit(hlt_input *input)
{
    stoa_free(input->made, input->made_count * sizeof *input->made);
    reco_events_file_close(input->file);
    reco_event_hits_destroy(input->hits);
    reco_track_file_close(input->mapped);
    stoa_buffer_release(input->memory);
    stoa_queue_destroy(input->queue);
    stoa_device_close(input->device);
    *input = (hlt_input){0};
}
