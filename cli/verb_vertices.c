/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa vertices`: the density vertex finder over a file's tracks, event by event. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hlt_files.h"
#include "reco/io/table.h"
#include "reco/vertexing/density.h"

enum { FINDER_VERTICES_MAX = 32767, USABLE_MIN = 3 };
#define FOUND_WITHIN_CM 0.1f

typedef struct vertices_options {
    const char *out;
    reco_vertex_options finder;
    float pt_min;
    bool json;
} vertices_options;

/* Rows of the file in ascending order of event, stable. */
typedef struct track_row {
    int64_t event;
    uint32_t row;
} track_row;

/* One event: tracks [first, first + count) of the sorted columns. */
typedef struct event_span {
    int64_t event;
    uint32_t first, count;
    float primary_z; /* as the file has it; NaN: it does not */
} event_span;

typedef struct vertex_row {
    int64_t event;
    float z, z_err, chi2, pt2_sum;
    int32_t ndof;
    uint32_t tracks;
} vertex_row;

typedef struct vertices_state {
    hlt_input input; /* of a file of events */
    reco_table *in, *out;
    track_row *order;
    event_span *events;
    uint32_t event_count, track_count, capacity;
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *columns, *workspace; /* z, z_error2, pt2 of all tracks that enter */
    float *z, *z_error2, *pt2;
    stoa_collection *memory;
    vertices_soa vertices;
    vertex_tracks_soa vertex_tracks;
    vertex_row *found;
    size_t found_count, found_capacity;
    uint32_t primaries, primaries_found; /* of events with USABLE_MIN tracks or more */
    double us;
} vertices_state;

static int compare_rows(const void *a, const void *b)
{
    const track_row *x = a, *y = b;
    if (x->event != y->event) return x->event < y->event ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void begin_event(vertices_state *state, int64_t number, float primary_z)
{
    const event_span *last = state->event_count ? &state->events[state->event_count - 1u] : NULL;
    state->events[state->event_count++] = (event_span){number, last ? last->first + last->count : 0, 0, primary_z};
}

/* Behind the event's last track, unless it is soft. */
static void add_track(vertices_state *state, float z, float z_error2, float pt, float pt_min)
{
    if (!(pt >= pt_min)) return;
    event_span *span = &state->events[state->event_count - 1u];
    const uint32_t at = span->first + span->count;
    state->z[at] = z;
    state->z_error2[at] = z_error2;
    state->pt2[at] = fminf(pt, 75.0f) * fminf(pt, 75.0f); /* upstream's pt_max */
    if (++span->count > state->capacity) state->capacity = span->count;
}

static stoa_status make_columns(vertices_state *state, uint64_t rows, stoa_error *err)
{
    if (rows > STOA_LAYOUT_ROWS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%llu tracks, at most %u possible", (unsigned long long)rows, STOA_LAYOUT_ROWS_MAX);
    state->track_count = (uint32_t)rows;
    STOA_TRY(stoa_buffer_create(state->queue, STOA_MEMORY_DEVICE, 3 * sizeof(float) * (rows + 1), &state->columns, err));
    state->z = stoa_buffer_data(state->columns);
    state->z_error2 = state->z + rows;
    state->pt2 = state->z_error2 + rows;
    return STOA_OK;
}

/* Events as `stoa hlt` reads them: position and error are the state's zip and its variance. */
static stoa_status load_events(vertices_state *state, float pt_min, stoa_error *err)
{
    uint64_t rows = 0;
    STOA_TRY(hlt_input_take(&state->input, 0, state->input.total, err));
    for (uint32_t e = 0; e < state->input.count; e++) rows += (uint32_t)*state->input.events[e].tracks.nTracks;
    STOA_TRY(make_columns(state, rows, err));
    state->events = calloc(state->input.count + 1u, sizeof *state->events);
    if (!state->events) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u events", state->input.count);
    for (uint32_t e = 0; e < state->input.count; e++) {
        const hlt_event *event = &state->input.events[e];
        const tracks_soa_const *t = &event->tracks;
        const float *zip = t->state.data + RECO_STATE_ZIP * t->state.stride, *variance = t->covariance.data + 14 * t->covariance.stride;
        begin_event(state, event->number, event->vertex_z);
        for (uint32_t i = 0; i < (uint32_t)*t->nTracks; i++) add_track(state, zip[i], variance[i], t->pt[i], pt_min);
    }
    return STOA_OK;
}

/* Sort by event, drop soft tracks, fill the finder's columns end to end. */
static stoa_status group(vertices_state *state, float pt_min, stoa_error *err)
{
    const reco_column *event = reco_table_find(state->in, "event"), *z, *z_err, *pt;
    STOA_TRY(reco_table_get(state->in, "z", &z, err));
    STOA_TRY(reco_table_get(state->in, "z_err", &z_err, err));
    STOA_TRY(reco_table_get(state->in, "pt", &pt, err));
    const uint32_t rows = reco_table_rows(state->in);
    STOA_TRY(make_columns(state, rows, err));
    state->order = calloc(rows + 1u, sizeof *state->order);
    state->events = calloc(rows + 1u, sizeof *state->events);
    if (!state->order || !state->events) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u tracks", rows);
    for (uint32_t i = 0; i < rows; i++) {
        const double number = event ? reco_column_value(event, i) : 0.0;
        if (!(fabs(number) < 9e15) || number != floor(number))
            return STOA_FAIL(err, STOA_EFORMAT, "column 'event', row %u: %g, a whole number needed", i, number);
        state->order[i] = (track_row){(int64_t)number, i};
    }
    qsort(state->order, rows, sizeof *state->order, compare_rows);
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t row = state->order[i].row;
        const float error = (float)reco_column_value(z_err, row);
        if (i == 0 || state->order[i].event != state->order[i - 1].event) begin_event(state, state->order[i].event, NAN);
        add_track(state, (float)reco_column_value(z, row), error * error, (float)reco_column_value(pt, row), pt_min);
    }
    return STOA_OK;
}

/* A table of z, z_err and pt; or a file of events, known by its columns. What is neither lacks columns of the first. */
static stoa_status load(vertices_state *state, const char *path, float pt_min, stoa_error *err)
{
    STOA_TRY(reco_table_read(path, &state->in, err));
    const bool is_plain = reco_table_find(state->in, "z") || reco_table_find(state->in, "z_err");
    if (!is_plain && hlt_input_open(&state->input, path, "host", NULL) == STOA_OK) return load_events(state, pt_min, err);
    return group(state, pt_min, err);
}

static stoa_status make_memory(vertices_state *state, stoa_error *err)
{
    const uint32_t vertex_rows = state->capacity < 1 ? 1 : state->capacity < FINDER_VERTICES_MAX ? state->capacity : FINDER_VERTICES_MAX;
    const stoa_block blocks[] = {
        {"vertices", &vertices_soa_layout, vertex_rows, 0, NULL},
        {"vertex_tracks", &vertex_tracks_soa_layout, state->capacity > vertex_rows ? state->capacity : vertex_rows, 0, NULL}};
    STOA_TRY(stoa_collection_create(state->queue, STOA_MEMORY_DEVICE, blocks, 2, &state->memory, err));
    STOA_TRY(stoa_collection_zero(state->memory, state->queue, 0, err));
    STOA_TRY(stoa_collection_view(state->memory, "vertices", &state->vertices.head, err));
    STOA_TRY(stoa_collection_view(state->memory, "vertex_tracks", &state->vertex_tracks.head, err));
    return stoa_buffer_create(state->queue, STOA_MEMORY_DEVICE, reco_vertices_workspace_bytes(state->capacity), &state->workspace, err);
}

static stoa_status set_up(const vertices_options *options, const char *path, vertices_state *state, stoa_error *err)
{
    STOA_TRY(stoa_device_open("host", &state->device, err));
    STOA_TRY(stoa_queue_create(state->device, STOA_QUEUE_BLOCKING, &state->queue, err));
    STOA_TRY(load(state, path, options->pt_min, err));
    return make_memory(state, err);
}

static stoa_status find(const vertices_options *options, vertices_state *state, const event_span *span, stoa_error *err)
{
    uint32_t count = span->count;
    const reco_vertex_find args = {
        {state->z + span->first, state->z_error2 + span->first, state->pt2 + span->first, NULL, &count, state->capacity},
        options->finder,
        state->vertices,
        state->vertex_tracks,
        NULL,
        NULL,
        stoa_buffer_data(state->workspace),
        stoa_buffer_bytes(state->workspace)};
    STOA_TRY(reco_vertices_find(state->queue, &args, err));
    return stoa_queue_wait(state->queue, err); /* `count` is on this function's stack */
}

static void compare_primary(vertices_state *state, const event_span *span)
{
    if (isnan(span->primary_z) || span->count < USABLE_MIN) return;
    bool found = false;
    for (uint32_t v = 0; v < *state->vertices.nvFinal; v++) found |= fabsf(state->vertices.zv[v] - span->primary_z) <= FOUND_WITHIN_CM;
    state->primaries++;
    state->primaries_found += found;
}

/* The vertices of the event just found, hardest first. */
static stoa_status keep(vertices_state *state, const event_span *span, stoa_error *err)
{
    const uint32_t count = *state->vertices.nvFinal;
    if (state->found_count + count > state->found_capacity) {
        const size_t capacity = 2 * state->found_capacity + count;
        vertex_row *more = realloc(state->found, capacity * sizeof *more);
        if (!more) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %zu vertices", capacity);
        state->found = more;
        state->found_capacity = capacity;
    }
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t v = state->vertices.sortInd[count - 1u - k];
        vertex_row *row = &state->found[state->found_count++];
        const float weight = state->vertices.wv[v];
        *row = (vertex_row){span->event,
                            state->vertices.zv[v],
                            weight > 0 ? 1.0f / sqrtf(weight) : INFINITY,
                            state->vertices.chi2[v],
                            state->vertices.ptv2[v],
                            state->vertex_tracks.ndof[v],
                            0};
        for (uint32_t i = 0; i < span->count; i++) row->tracks += state->vertex_tracks.idv[i] == (int16_t)v;
    }
    return STOA_OK;
}

static stoa_status find_all(const vertices_options *options, vertices_state *state, stoa_error *err)
{
    if (state->event_count) STOA_TRY(find(options, state, &state->events[0], err)); /* warm-up */
    for (uint32_t e = 0; e < state->event_count; e++) {
        const double begin_us = cli_now_us();
        STOA_TRY(find(options, state, &state->events[e], err));
        state->us += cli_now_us() - begin_us;
        STOA_TRY(keep(state, &state->events[e], err));
        compare_primary(state, &state->events[e]);
        cli_progress("vertices", e + 1u, state->event_count);
    }
    return STOA_OK;
}

static stoa_status write_out(const char *path, vertices_state *state, stoa_error *err)
{
    static const struct {
        const char *name;
        stoa_dtype dtype;
    } columns[] = {{"event", STOA_INT64}, {"z", STOA_FLOAT32},       {"z_err", STOA_FLOAT32}, {"chi2", STOA_FLOAT32},
                   {"ndof", STOA_INT64},  {"pt2_sum", STOA_FLOAT32}, {"tracks", STOA_INT64}};
    enum { COUNT = sizeof columns / sizeof *columns };
    void *data[COUNT];
    STOA_TRY(reco_table_create(state->found_count, &state->out, err));
    for (size_t c = 0; c < COUNT; c++) STOA_TRY(reco_table_add(state->out, columns[c].name, columns[c].dtype, &data[c], err));
    int64_t *event = data[0], *ndof = data[4], *tracks = data[6];
    float *z = data[1], *z_err = data[2], *chi2 = data[3], *pt2_sum = data[5];
    for (size_t i = 0; i < state->found_count; i++) {
        const vertex_row *v = &state->found[i];
        event[i] = v->event;
        z[i] = v->z;
        z_err[i] = v->z_err;
        chi2[i] = v->chi2;
        ndof[i] = v->ndof;
        pt2_sum[i] = v->pt2_sum;
        tracks[i] = v->tracks;
    }
    return reco_table_write(path, state->out, err);
}

static void state_deinit(vertices_state *state)
{
    stoa_collection_destroy(state->memory);
    stoa_buffer_release(state->columns);
    stoa_buffer_release(state->workspace);
    stoa_queue_destroy(state->queue);
    stoa_device_close(state->device);
    hlt_input_deinit(&state->input);
    reco_table_destroy(state->in);
    reco_table_destroy(state->out);
    free(state->order);
    free(state->events);
    free(state->found);
}

static int report(const vertices_options *options, const vertices_state *state)
{
    const double us = state->event_count ? state->us / state->event_count : 0.0;
    if (options->json)
        return cli_json(json_pack("{s:I, s:I, s:I, s:f, s:I, s:I}", "events", (json_int_t)state->event_count, "tracks",
                                  (json_int_t)state->track_count, "vertices", (json_int_t)state->found_count, "us_per_event", us,
                                  "vertex_events", (json_int_t)state->primaries, "vertex_within_1mm", (json_int_t)state->primaries_found));
    printf("%u events, %u tracks, %zu vertices, %.2f us per event\n", state->event_count, state->track_count, state->found_count, us);
    if (state->primaries)
        printf("vertex found %.2f %%: %u of %u, %s within 1 mm (events with %d usable tracks or more)\n",
               100.0 * state->primaries_found / state->primaries, state->primaries_found, state->primaries,
               state->input.source == RECO_EVENTS_PHYSLITE ? "ATLAS's primary vertex" : "generated hard scatter", USABLE_MIN);
    if (options->out) printf("written: %s\n", options->out);
    return CLI_DONE;
}

int verb_vertices(int argc, char **argv)
{
    vertices_options o = {.finder = RECO_VERTEX_OPTIONS_INIT, .pt_min = 0.5f};
    const cli_option options[] = {
        {"errmax", CLI_LENGTH, &o.finder.error_max, "E", "largest z error of a track that can found a vertex, cm (0.01)"},
        {"eps", CLI_LENGTH, &o.finder.eps, "E", "largest distance of neighbours, cm (0.07)"},
        {"min-t", CLI_COUNT, &o.finder.neighbours_min, "N", "least neighbours of a vertex (2)"},
        {"chi2max", CLI_LENGTH, &o.finder.chi2_max, "X", "largest dz^2 over the sum of squared errors (9)"},
        {"pt-min", CLI_REAL, &o.pt_min, "P", "least pt of a track, GeV (0.5)"},
        {"out", CLI_TEXT, &o.out, "FILE.csv", "table of vertices (needed)"},
        {"json", CLI_FLAG, &o.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("vertices", "FILE.csv --out FILE.csv ", 1, 1,
                   "Density vertex finder. Reads columns event, z, z_err, pt (cm, GeV), or events of 'stoa generate hlt' "
                   "or PHYSLITE; writes event,\n"
                   "z, z_err, chi2, ndof, pt2_sum, tracks: one row a vertex, events ascending, in each the hardest "
                   "(pt2_sum) first.",
                   "stoa vertices tracks.csv --errmax 0.05 --eps 0.1 --out vertices.csv", options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    if (!o.out) return cli_usage("vertices", "no --out FILE given");
    vertices_state state = {0};
    stoa_error err;
    stoa_status status = set_up(&o, argv[first], &state, &err);
    if (status == STOA_OK) status = find_all(&o, &state, &err);
    if (status == STOA_OK) status = write_out(o.out, &state, &err);
    const int exit_code = status == STOA_OK ? report(&o, &state) : cli_fail(&err);
    state_deinit(&state);
    return exit_code;
}
