/* SPDX-License-Identifier: Apache-2.0 */
/* A session keeps its bindings in a few generations. A run that is still queued holds on to the generation it was enqueued with, so
 * binding again never changes work in flight, and neither binding nor running allocates, locks or waits. */
#include "stoa/session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "model/bind.h"
#include "model/model.h"
#include "stoa/buffer.h"
#include "stoa/kernel.h"
#include "stoa/memory.h"

#define GENERATIONS 8u
#define AXES_MAX 8u
#define STAGING_TILE_ROWS 512u /* gathers stay in the second-level cache */
#define STAGING_ELEMENT_BYTES 16u /* of the largest dtype */

/* One tensor of a generation. */
typedef struct binding {
    bool bound;
    bool staged;             /* copied tile by tile, because the runtime cannot take it as it lies */
    bool own_memory;         /* copied by the runtime, from memory of its own */
    uint32_t rows;           /* that may be run */
    stoa_tensor tensor;      /* columns point into the generation's copy */
} binding;

/* All bindings at one time: [inputs then outputs]. */
typedef struct generation {
    atomic_uint in_flight;   /* runs that are queued with it */
    binding *tensors;
    stoa_column *columns;    /* [value_count], a tensor's at its first value */
    stoa_bound *values;      /* [value_count], as the caller's columns lie */
    stoa_bound *staged;      /* [value_count], as the runtime sees them: the same, or the staging tile */
} generation;

/* The first failure of a run: written by the thread that claimed it, read by the caller once it is full. */
typedef struct failure {
    atomic_int state;
    stoa_error error;
} failure;
enum { FAILURE_NONE, FAILURE_CLAIMED, FAILURE_FULL };

struct stoa_session {
    stoa_model *model;
    stoa_queue *queue;
    stoa_place place;
    uint32_t allow_copies;
    uint32_t axis_count, axis_rows[AXES_MAX]; /* rows a run at most */
    uint32_t call_rows[AXES_MAX];             /* rows one call of the runtime at most: a tile, or axis_rows */
    uint32_t tensor_count, input_values, value_count, current;
    void *instance;
    stoa_buffer *workspace;
    size_t workspace_bytes, heap_bytes;
    uint32_t *first_value;   /* [tensor_count + 1] */
    size_t *staging_offset;  /* [tensor_count], bytes into the workspace */
    stoa_bound *scratch;     /* [value_count], of bind */
    generation generations[GENERATIONS];
    failure failed;
    uint64_t runs, rows;
    atomic_uint_fast64_t copy_calls, copy_bytes;
};

static const stoa_tensor_schema *schema_of(const stoa_session *session, uint32_t tensor)
{
    const stoa_schema *schema = session->model->schema;
    return tensor < schema->input_count ? &schema->inputs[tensor] : &schema->outputs[tensor - schema->input_count];
}

static bool is_output(const stoa_session *session, uint32_t tensor)
{
    return tensor >= session->model->schema->input_count;
}

/* Rows that the session was made for, of the axis of a tensor. */
static uint32_t rows_of(const stoa_session *session, uint32_t tensor, const uint32_t *rows)
{
    const uint32_t axis = schema_of(session, tensor)->axis;
    return axis == STOA_AXIS_ONE ? 1u : rows[axis];
}

static bool fits_as_it_lies(const stoa_capabilities *can)
{
    return can->inputs == STOA_RULE_ANY && can->outputs == STOA_RULE_ANY && can->outputs_in_place && can->const_inputs;
}

/* Rows that one call of the runtime gets: its own wish, or the staging tile where copies may be made, or all. */
static uint32_t tile_rows(const stoa_session *session)
{
    const stoa_capabilities *can = session->model->capabilities;
    if (!can->row_independent || session->axis_count != 1) return UINT32_MAX;
    if (can->tile_rows) return can->tile_rows;
    return session->allow_copies && !fits_as_it_lies(can) ? STAGING_TILE_ROWS : UINT32_MAX;
}

/* ---- create and destroy ---------------------------------------------------------------------------------------------- */

/* Lays the arrays of all generations out in one block; with `block` NULL it only measures. */
static size_t place_arrays(stoa_session *session, char *block)
{
    size_t used = 0;
#define TAKE(pointer, count)                                            \
    do {                                                                \
        used = (used + 15u) & ~(size_t)15u;                             \
        if (block) (pointer) = (void *)(block + used);                  \
        used += (size_t)(count) * sizeof *(pointer);                    \
    } while (0)
    TAKE(session->first_value, session->tensor_count + 1);
    TAKE(session->staging_offset, session->tensor_count);
    TAKE(session->scratch, session->value_count);
    for (uint32_t i = 0; i < GENERATIONS; i++) {
        generation *g = &session->generations[i];
        TAKE(g->tensors, session->tensor_count);
        TAKE(g->columns, session->value_count);
        TAKE(g->values, session->value_count);
        TAKE(g->staged, session->value_count);
    }
#undef TAKE
    return used;
}

static stoa_status make_arrays(stoa_session *session, stoa_error *err)
{
    const stoa_schema *schema = session->model->schema;
    session->tensor_count = schema->input_count + schema->output_count;
    for (uint32_t i = 0; i < session->tensor_count; i++) {
        if (i == schema->input_count) session->input_values = session->value_count;
        session->value_count += schema_of(session, i)->width;
    }
    session->heap_bytes = place_arrays(session, NULL);
    char *block = stoa_calloc(1, session->heap_bytes);
    if (!block) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes for bindings", session->heap_bytes);
    place_arrays(session, block);
    for (uint32_t i = 0; i < session->tensor_count; i++)
        session->first_value[i + 1] = session->first_value[i] + schema_of(session, i)->width;
    return STOA_OK;
}

/* Distance of a staged tensor's values: 16 bytes an element serve every dtype, whole cache lines every alignment. */
static size_t staging_pitch(const stoa_session *session, uint32_t tensor)
{
    return ((size_t)rows_of(session, tensor, session->call_rows) * STAGING_ELEMENT_BYTES + 63u) & ~(size_t)63;
}

static stoa_status make_workspace(stoa_session *session, stoa_error *err)
{
    const stoa_model *model = session->model;
    size_t bytes = 0;
    STOA_TRY(model->api->workspace(model->handle, session->place, session->call_rows, &bytes, err));
    session->workspace_bytes = (bytes + STOA_BUFFER_ALIGN_BYTES - 1) & ~(size_t)(STOA_BUFFER_ALIGN_BYTES - 1);
    for (uint32_t t = 0; session->allow_copies && !fits_as_it_lies(model->capabilities) && t < session->tensor_count; t++) {
        session->staging_offset[t] = session->workspace_bytes;
        session->workspace_bytes += schema_of(session, t)->width * staging_pitch(session, t);
    }
    STOA_TRY(stoa_buffer_create(session->queue, STOA_MEMORY_DEVICE, session->workspace_bytes, &session->workspace, err));
    return model->api->open(model->handle, session->queue, stoa_buffer_data(session->workspace), bytes, session->call_rows,
                            &session->instance, err);
}

static stoa_status set_axes(stoa_session *session, uint32_t max_rows, const stoa_session_options *options, stoa_error *err)
{
    const stoa_schema *schema = session->model->schema;
    if (schema->axis_count > AXES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "session: the model has %u row axes, at most %u can be run", schema->axis_count, AXES_MAX);
    if (options && options->axis_rows && options->axis_count != schema->axis_count)
        return STOA_FAIL(err, STOA_EINVAL, "session options: rows of %u axes given, the model has %u", options->axis_count,
                         schema->axis_count);
    session->axis_count = schema->axis_count;
    session->allow_copies = options ? options->allow_copies : 0;
    const uint32_t tile = tile_rows(session);
    for (uint32_t i = 0; i < session->axis_count; i++) {
        session->axis_rows[i] = options && options->axis_rows ? options->axis_rows[i] : max_rows;
        session->call_rows[i] = session->axis_rows[i] < tile ? session->axis_rows[i] : tile;
    }
    return STOA_OK;
}

stoa_status stoa_session_create(const stoa_model *model, stoa_queue *queue, uint32_t max_rows,
                                const stoa_session_options *options, stoa_session **out, stoa_error *err)
{
    if (!out) return STOA_FAIL(err, STOA_EINVAL, "session: result pointer is NULL");
    *out = NULL;
    if (!model || !queue) return STOA_FAIL(err, STOA_EINVAL, "session: %s is NULL", model ? "queue" : "model");
    if (options && options->struct_size != sizeof *options)
        return STOA_FAIL(err, STOA_EINVAL, "session options: struct_size %u given, %zu needed", (unsigned)options->struct_size,
                         sizeof *options);
    stoa_session *session = stoa_calloc(1, sizeof *session);
    if (!session) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *session);
    session->model = (stoa_model *)(uintptr_t)model; /* only its count of references changes */
    stoai_model_retain(session->model);
    session->queue = queue;
    session->place = stoa_device_place(stoa_queue_device(queue));
    stoa_status status = set_axes(session, max_rows, options, err);
    if (status == STOA_OK) status = make_arrays(session, err);
    if (status == STOA_OK) status = make_workspace(session, err);
    if (status != STOA_OK) {
        stoa_session_destroy(session);
        return status;
    }
    *out = session;
    return STOA_OK;
}

/* What destroy frees once the queue has passed the last run. */
static void free_session(void *user)
{
    stoa_session *session = user;
    if (session->instance) session->model->api->close(session->instance);
    stoai_model_release(session->model);
    stoa_free(session->first_value, session->heap_bytes);
    stoa_free(session, sizeof *session);
}

void stoa_session_destroy(stoa_session *session)
{
    if (!session) return;
    stoa_buffer_release(session->workspace);
    /* Runs may still be queued: the end of the session is one more task behind them. */
    if (stoa_queue_enqueue(session->queue, free_session, session, NULL) != STOA_OK) free_session(session);
}

/* ---- bind ------------------------------------------------------------------------------------------------------------ */

static stoa_status find_tensor(const stoa_session *session, const char *name, uint32_t *tensor, stoa_error *err)
{
    char names[512];
    size_t used = 0;
    for (*tensor = 0; *tensor < session->tensor_count; (*tensor)++) {
        const char *has = schema_of(session, *tensor)->name;
        if (strcmp(has, name) == 0) return STOA_OK;
        if (used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", *tensor ? ", " : "", has);
    }
    return STOA_FAIL(err, STOA_ENAME, "tensor '%s': the model has none of that name; it has: %s", name, names);
}

/* Outputs share no byte with anything else that is bound. */
static stoa_status check_overlap(const stoa_session *session, uint32_t tensor, stoa_tensor columns, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    uint32_t most_rows = 1; /* of one axis, of a run */
    for (uint32_t i = 0; i < session->axis_count; i++)
        if (session->axis_rows[i] > most_rows) most_rows = session->axis_rows[i];
    for (uint32_t i = 0; i < session->tensor_count; i++) {
        if (i == tensor || !g->tensors[i].bound || (!is_output(session, i) && !is_output(session, tensor))) continue;
        if (stoa_tensor_overlaps(columns, g->tensors[i].tensor, most_rows))
            return STOA_FAIL(err, STOA_EOVERLAP, "tensor '%s' at %p shares memory with '%s' at %p", schema_of(session, tensor)->name,
                             columns.columns[0].data, schema_of(session, i)->name, g->tensors[i].tensor.columns[0].data);
    }
    return STOA_OK;
}

/* A generation that may be changed: the current one, or a free one with the same contents when runs still hold it. */
static stoa_status writable_generation(stoa_session *session, stoa_error *err)
{
    generation *from = &session->generations[session->current];
    if (atomic_load_explicit(&from->in_flight, memory_order_acquire) == 0) return STOA_OK;
    for (uint32_t i = 0; i < GENERATIONS; i++) {
        generation *to = &session->generations[i];
        if (atomic_load_explicit(&to->in_flight, memory_order_acquire) != 0) continue;
        memcpy(to->tensors, from->tensors, session->tensor_count * sizeof *to->tensors);
        memcpy(to->columns, from->columns, session->value_count * sizeof *to->columns);
        memcpy(to->values, from->values, session->value_count * sizeof *to->values);
        memcpy(to->staged, from->staged, session->value_count * sizeof *to->staged);
        for (uint32_t t = 0; t < session->tensor_count; t++)
            if (to->tensors[t].bound) to->tensors[t].tensor.columns = to->columns + session->first_value[t];
        session->current = i;
        return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ESTATE, "session: bindings of %u queued runs differ, at most %u may; wait for the queue", GENERATIONS,
                     GENERATIONS);
}

/* Position of value k in a block of the schema's order: column-major exchanges the last two axes. */
static uint32_t block_position(const stoa_tensor_schema *schema, uint32_t k)
{
    if (!schema->column_major || schema->rank < 2) return k;
    const uint32_t rows = schema->shape[schema->rank - 2], columns = schema->shape[schema->rank - 1], inner = k % (rows * columns);
    return k - inner + inner % columns * rows + inner / columns;
}

/* Row 0 of value k of a staged tensor in the staging tile, laid out as the runtime's rule wants it. */
static stoa_bound staged_value(const stoa_session *session, uint32_t tensor, uint32_t k, uint32_t dtype)
{
    const stoa_tensor_schema *schema = schema_of(session, tensor);
    const stoa_capabilities *can = session->model->capabilities;
    const stoa_column_rule rule = is_output(session, tensor) ? can->outputs : can->inputs;
    char *tile = (char *)stoa_buffer_data(session->workspace) + session->staging_offset[tensor];
    if (rule == STOA_RULE_ROW_MAJOR)
        return (stoa_bound){tile + k * stoa_dtype_bytes((stoa_dtype)dtype), schema->width, dtype, 0};
    return (stoa_bound){tile + block_position(schema, k) * staging_pitch(session, tensor), 1, dtype, 0};
}

stoa_status stoa_session_bind(stoa_session *session, const char *name, stoa_tensor tensor, stoa_error *err)
{
    if (!session || !name) return STOA_FAIL(err, STOA_EINVAL, "session bind: %s is NULL", session ? "name" : "session");
    uint32_t index;
    STOA_TRY(find_tensor(session, name, &index, err));
    const bind_target target = {schema_of(session, index), session->model->capabilities, session->place,
                                rows_of(session, index, session->axis_rows), rows_of(session, index, session->call_rows),
                                is_output(session, index)};
    STOA_TRY(stoai_bind_check(&target, tensor, err));
    STOA_TRY(check_overlap(session, index, tensor, err));
    STOA_TRY(writable_generation(session, err));

    generation *g = &session->generations[session->current];
    const uint32_t first = session->first_value[index];
    /* Values first go to the scratch array, so that a refusal leaves the earlier binding as it was. */
    stoai_bind_values(&target, tensor, session->scratch);
    const char *staged = stoai_bind_staging_reason(&target, tensor, session->scratch);
    const bool own_memory = target.is_output && !target.capabilities->outputs_in_place;
    const bool one_dtype = !staged || tensor.columns[0].dtype == tensor.columns[tensor.column_count - 1].dtype;
    if ((staged || own_memory) && !(session->allow_copies && one_dtype))
        return STOA_FAIL(err, STOA_ECOPY, "tensor '%s': %s (%s); bind other columns or set allow_copies", name,
                         staged ? staged : "the runtime stores outputs in memory of its own", session->model->api->name);
    memcpy(g->values + first, session->scratch, target.schema->width * sizeof *g->values);
    memcpy(g->staged + first, session->scratch, target.schema->width * sizeof *g->staged);
    memcpy(g->columns + first, tensor.columns, tensor.column_count * sizeof *tensor.columns);
    g->tensors[index] = (binding){true, staged != NULL, own_memory, tensor.rows, tensor};
    g->tensors[index].tensor.columns = g->columns + first;
    return STOA_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------- */

typedef struct run_args {
    stoa_session *session;
    generation *bindings;
    const uint32_t *count;   /* of axis 0, read when the queue gets there, NULL: rows are known */
    uint32_t first, rows[AXES_MAX];
} run_args;

static void count_copy(stoa_session *session, uint64_t bytes)
{
    atomic_fetch_add_explicit(&session->copy_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&session->copy_bytes, bytes, memory_order_relaxed);
}

/* Rows of one value, strides in elements; the compiler makes one loop an element size. */
static void copy_value(char *to, int64_t to_stride, const char *from, int64_t from_stride, uint32_t rows, size_t bytes)
{
#define COPY_LOOP(size)                                                                                        \
    case size:                                                                                                 \
        for (uint32_t r = 0; r < rows; r++) memcpy(to + r * to_stride * size, from + r * from_stride * size, size); \
        break;
    switch (bytes) {
        COPY_LOOP(1)
        COPY_LOOP(2)
        COPY_LOOP(4)
        COPY_LOOP(8)
        COPY_LOOP(16)
    }
#undef COPY_LOOP
}

/* Between the caller's columns and the staging tile, one value after another; counts what the runtime copies by itself too. */
static void copy_tensors(stoa_session *session, const generation *g, bool outputs, uint32_t first, const uint32_t *rows)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const binding *bound = &g->tensors[t];
        if (is_output(session, t) != outputs || !(bound->staged || bound->own_memory)) continue;
        const uint32_t begin = session->first_value[t], width = schema_of(session, t)->width;
        const uint32_t count = rows_of(session, t, rows), skip = schema_of(session, t)->axis == STOA_AXIS_ONE ? 0 : first;
        const size_t bytes = stoa_dtype_bytes((stoa_dtype)g->values[begin].dtype);
        for (uint32_t k = 0; bound->staged && k < width; k++) {
            const stoa_bound *lies = &g->values[begin + k], tile = staged_value(session, t, k, lies->dtype);
            char *data = (char *)lies->data + skip * lies->row_stride * (int64_t)bytes;
            if (outputs)
                copy_value(data, lies->row_stride, tile.data, tile.row_stride, count, bytes);
            else
                copy_value(tile.data, tile.row_stride, data, lies->row_stride, count, bytes);
        }
        if (bound->staged) count_copy(session, (uint64_t)width * count * bytes);
        if (bound->own_memory) count_copy(session, (uint64_t)width * count * bytes);
    }
}

/* The runtime sees rows [first, first + rows) of everything: the tile's address is moved back by `first` rows. */
static void point_to_tiles(const stoa_session *session, generation *g, uint32_t first)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        if (!g->tensors[t].staged) continue;
        const uint32_t begin = session->first_value[t], skip = schema_of(session, t)->axis == STOA_AXIS_ONE ? 0 : first;
        for (uint32_t i = begin; i < session->first_value[t + 1]; i++) {
            stoa_bound tile = staged_value(session, t, i - begin, g->values[i].dtype);
            const uintptr_t back = (uintptr_t)skip * (uintptr_t)tile.row_stride * stoa_dtype_bytes((stoa_dtype)tile.dtype);
            tile.data = (void *)((uintptr_t)tile.data - back);
            g->staged[i] = tile;
        }
    }
}

static void keep_failure(stoa_session *session, const stoa_error *error)
{
    int none = FAILURE_NONE;
    if (!atomic_compare_exchange_strong(&session->failed.state, &none, FAILURE_CLAIMED)) return; /* the first one counts */
    session->failed.error = *error;
    atomic_store_explicit(&session->failed.state, FAILURE_FULL, memory_order_release);
}

static void run_call(stoa_session *session, generation *g, uint32_t first, const uint32_t *rows)
{
    stoa_error error;
    point_to_tiles(session, g, first);
    copy_tensors(session, g, false, first, rows);
    if (session->model->api->run(session->instance, g->staged, g->staged + session->input_values, first, rows, &error) != STOA_OK)
        keep_failure(session, &error);
    copy_tensors(session, g, true, first, rows);
}

static void run_rows(stoa_session *session, generation *g, uint32_t first, const uint32_t *rows)
{
    if (session->axis_count != 1) {
        run_call(session, g, first, rows);
        return;
    }
    for (uint32_t done = 0; done < rows[0];) {
        const uint32_t now = rows[0] - done < session->call_rows[0] ? rows[0] - done : session->call_rows[0];
        run_call(session, g, first + done, &now);
        done += now;
    }
}

static void run_host(const void *pointer)
{
    const run_args *args = pointer;
    uint32_t rows[AXES_MAX];
    memcpy(rows, args->rows, sizeof rows);
    if (args->count && *args->count < rows[0]) rows[0] = *args->count;
    run_rows(args->session, args->bindings, args->first, rows);
    atomic_fetch_sub_explicit(&args->bindings->in_flight, 1, memory_order_release);
}

static const stoa_kernel run_kernel = {sizeof(stoa_kernel), sizeof(run_args), "stoa_session_run", run_host};

/* "tracks, hits" for messages. */
static const char *axes_text(const stoa_schema *schema, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < schema->axis_count && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", schema->axes[i]);
    return text;
}

static stoa_status check_one_axis(const stoa_session *session, stoa_error *err)
{
    char text[256];
    if (session->axis_count == 1) return STOA_OK;
    return STOA_FAIL(err, STOA_EINVAL, "session run: one row count given, the model has %u row axes (%s): use stoa_session_run_sizes",
                     session->axis_count, axes_text(session->model->schema, text, sizeof text));
}

static stoa_status check_bound(const stoa_session *session, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    for (uint32_t t = 0; t < session->tensor_count; t++)
        if (!g->tensors[t].bound)
            return STOA_FAIL(err, STOA_ESTATE, "%s '%s' is not bound", is_output(session, t) ? "output" : "input",
                             schema_of(session, t)->name);
    return STOA_OK;
}

static stoa_status check_rows(const stoa_session *session, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    for (uint32_t i = 0; i < session->axis_count; i++)
        if (rows[i] > session->axis_rows[i])
            return STOA_FAIL(err, STOA_ESHAPE, "session run: %u rows of axis '%s' given, the session was made for %u", rows[i],
                             session->model->schema->axes[i], session->axis_rows[i]);
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const uint64_t begin = schema_of(session, t)->axis == STOA_AXIS_ONE ? 0 : first, end = begin + rows_of(session, t, rows);
        if (end > g->tensors[t].rows)
            return STOA_FAIL(err, STOA_ESHAPE, "session run: rows %llu to %llu given, tensor '%s' has %u rows",
                             (unsigned long long)begin, (unsigned long long)end, schema_of(session, t)->name, g->tensors[t].rows);
    }
    return STOA_OK;
}

stoa_status stoa_session_check(stoa_session *session, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session check: session is NULL");
    if (atomic_load_explicit(&session->failed.state, memory_order_acquire) != FAILURE_FULL) return STOA_OK;
    const stoa_error error = session->failed.error;
    atomic_store_explicit(&session->failed.state, FAILURE_NONE, memory_order_release);
    if (err) *err = error;
    return error.status;
}

/* On the host the queue gets there later; other devices are handed their work now, with the bindings' addresses in it. */
static stoa_status enqueue(stoa_session *session, const run_args *args, stoa_error *err)
{
    STOA_TRY(stoa_session_check(session, err));
    atomic_fetch_add_explicit(&args->bindings->in_flight, 1, memory_order_relaxed);
    if (session->place.type != STOA_PLACE_HOST) {
        run_host(args);
    } else {
        const stoa_status status = stoa_queue_launch(session->queue, &run_kernel, args, err);
        if (status != STOA_OK) {
            atomic_fetch_sub_explicit(&args->bindings->in_flight, 1, memory_order_relaxed);
            return status;
        }
    }
    session->runs++;
    session->rows += args->count || session->axis_count == 0 ? 0 : args->rows[0];
    return stoa_queue_get_kind(session->queue) == STOA_QUEUE_BLOCKING ? stoa_session_check(session, err) : STOA_OK;
}

static stoa_status run_sizes(stoa_session *session, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    run_args args = {.session = session, .bindings = &session->generations[session->current], .first = first};
    bool any = session->axis_count == 0;
    STOA_TRY(check_bound(session, err));
    STOA_TRY(check_rows(session, first, rows, err));
    for (uint32_t i = 0; i < session->axis_count; i++) {
        args.rows[i] = rows[i];
        any |= rows[i] > 0;
    }
    if (any) return enqueue(session, &args, err);
    session->runs++;
    return stoa_session_check(session, err);
}

stoa_status stoa_session_run_rows(stoa_session *session, uint32_t first, uint32_t rows, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session run: session is NULL");
    STOA_TRY(check_one_axis(session, err));
    return run_sizes(session, first, &rows, err);
}

stoa_status stoa_session_run(stoa_session *session, uint32_t rows, stoa_error *err)
{
    return stoa_session_run_rows(session, 0, rows, err);
}

stoa_status stoa_session_run_sizes(stoa_session *session, const uint32_t *rows, uint32_t axis_count, stoa_error *err)
{
    if (!session || (!rows && axis_count))
        return STOA_FAIL(err, STOA_EINVAL, "session run: %s is NULL", session ? "row counts" : "session");
    char text[256];
    if (axis_count != session->axis_count)
        return STOA_FAIL(err, STOA_EINVAL, "session run: %u row counts given, the model has %u row axes (%s)", axis_count,
                         session->axis_count, axes_text(session->model->schema, text, sizeof text));
    return run_sizes(session, 0, rows, err);
}

stoa_status stoa_session_run_counted(stoa_session *session, const uint32_t *rows, stoa_error *err)
{
    if (!session || !rows) return STOA_FAIL(err, STOA_EINVAL, "session run: %s is NULL", session ? "row count" : "session");
    STOA_TRY(check_one_axis(session, err));
    if (!session->model->capabilities->device_row_count)
        return STOA_FAIL(err, STOA_ENOTSUP, "session run: runtime '%s' takes no row count by pointer", session->model->api->name);
    STOA_TRY(check_bound(session, err));
    generation *g = &session->generations[session->current];
    run_args args = {session, g, rows, 0, {session->axis_rows[0]}};
    for (uint32_t t = 0; t < session->tensor_count; t++)
        if (schema_of(session, t)->axis != STOA_AXIS_ONE && g->tensors[t].rows < args.rows[0]) args.rows[0] = g->tensors[t].rows;
    STOA_TRY(check_rows(session, 0, args.rows, err));
    return enqueue(session, &args, err);
}

stoa_status stoa_session_get_stats(const stoa_session *session, stoa_session_stats *stats, stoa_error *err)
{
    if (!session || !stats || stats->struct_size != sizeof *stats)
        return STOA_FAIL(err, STOA_EINVAL, "session stats: NULL, or struct_size is not %zu", sizeof *stats);
    stats->runs = session->runs;
    stats->rows = session->rows;
    stats->copy_calls = atomic_load_explicit(&session->copy_calls, memory_order_relaxed);
    stats->copy_bytes = atomic_load_explicit(&session->copy_bytes, memory_order_relaxed);
    stats->workspace_bytes = session->workspace_bytes;
    stats->run_allocations = session->model->api->run_allocations ? session->model->api->run_allocations(session->instance) : 0;
    return STOA_OK;
}
