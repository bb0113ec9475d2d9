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
#define STAGING_TILE_ROWS 512u /* gathers stay in the second-level cache */

/* One tensor of a generation. */
typedef struct binding {
    bool bound, staged;      /* staged: copied tile by tile, because the runtime cannot take it as it lies */
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

struct stoa_session {
    stoa_model *model;
    stoa_queue *queue;
    stoa_session_options options;
    uint32_t max_rows, tensor_count, input_values, value_count, current;
    void *instance;
    stoa_buffer *workspace;
    size_t workspace_bytes, staging_offset, heap_bytes;
    uint32_t *first_value;   /* [tensor_count + 1] */
    stoa_bound *scratch;     /* [value_count], of bind */
    generation generations[GENERATIONS];
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

static bool fits_as_it_lies(const stoa_capabilities *can)
{
    return can->any_columns && can->row_stride_any && can->outputs_in_place && can->const_inputs;
}

/* Rows that one call of the runtime gets: its own wish, or the staging tile where copies may be made, or all. */
static uint32_t tile_rows(const stoa_session *session)
{
    const stoa_capabilities *can = session->model->capabilities;
    if (!can->row_independent) return session->max_rows;
    if (can->tile_rows) return can->tile_rows;
    return session->options.allow_copies && !fits_as_it_lies(can) ? STAGING_TILE_ROWS : UINT32_MAX;
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

static stoa_status make_workspace(stoa_session *session, stoa_error *err)
{
    const stoa_model *model = session->model;
    const stoa_place place = stoa_device_place(stoa_queue_device(session->queue));
    size_t bytes = 0;
    STOA_TRY(model->api->workspace(model->handle, place, session->max_rows, &bytes, err));
    session->staging_offset = (bytes + STOA_BUFFER_ALIGN_BYTES - 1) & ~(size_t)(STOA_BUFFER_ALIGN_BYTES - 1);
    session->workspace_bytes = bytes;
    if (session->options.allow_copies && !fits_as_it_lies(model->capabilities)) {
        const uint32_t rows = tile_rows(session) < session->max_rows ? tile_rows(session) : session->max_rows;
        session->workspace_bytes = session->staging_offset + (size_t)session->value_count * rows * 16u;
    }
    STOA_TRY(stoa_buffer_create(session->queue, STOA_MEMORY_DEVICE, session->workspace_bytes, &session->workspace, err));
    return model->api->open(model->handle, session->queue, stoa_buffer_data(session->workspace), bytes, session->max_rows,
                            &session->instance, err);
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
    session->max_rows = max_rows;
    if (options) session->options = *options;
    stoa_status status = make_arrays(session, err);
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
    for (uint32_t i = 0; i < session->tensor_count; i++) {
        if (i == tensor || !g->tensors[i].bound || (!is_output(session, i) && !is_output(session, tensor))) continue;
        if (stoa_tensor_overlaps(columns, g->tensors[i].tensor, session->max_rows))
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

/* Where value `index` of a staged tensor has its rows of the staging tile: 16 bytes an element serve every dtype. */
static char *staging_address(const stoa_session *session, uint32_t index)
{
    const uint32_t rows = tile_rows(session) < session->max_rows ? tile_rows(session) : session->max_rows;
    return (char *)stoa_buffer_data(session->workspace) + session->staging_offset + (size_t)index * rows * 16u;
}

stoa_status stoa_session_bind(stoa_session *session, const char *name, stoa_tensor tensor, stoa_error *err)
{
    if (!session || !name) return STOA_FAIL(err, STOA_EINVAL, "session bind: %s is NULL", session ? "name" : "session");
    uint32_t index;
    STOA_TRY(find_tensor(session, name, &index, err));
    const bind_target target = {schema_of(session, index), session->model->capabilities,
                                stoa_device_place(stoa_queue_device(session->queue)), session->max_rows, is_output(session, index)};
    STOA_TRY(stoai_bind_check(&target, tensor, err));
    STOA_TRY(check_overlap(session, index, tensor, err));
    STOA_TRY(writable_generation(session, err));

    generation *g = &session->generations[session->current];
    const uint32_t first = session->first_value[index];
    /* Values first go to the scratch array, so that a refusal leaves the earlier binding as it was. */
    stoai_bind_values(&target, tensor, session->scratch);
    const char *reason = stoai_bind_copy_reason(&target, tensor, session->scratch);
    const bool same_dtype = reason == NULL || tensor.columns[0].dtype == tensor.columns[tensor.column_count - 1].dtype;
    if (reason && !(session->options.allow_copies && same_dtype))
        return STOA_FAIL(err, STOA_ECOPY, "tensor '%s': %s (%s); bind other columns or set allow_copies", name, reason,
                         session->model->api->name);
    memcpy(g->values + first, session->scratch, target.schema->width * sizeof *g->values);
    memcpy(g->staged + first, session->scratch, target.schema->width * sizeof *g->staged);
    memcpy(g->columns + first, tensor.columns, tensor.column_count * sizeof *tensor.columns);
    g->tensors[index] = (binding){true, reason != NULL, tensor.rows, tensor};
    g->tensors[index].tensor.columns = g->columns + first;
    return STOA_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------- */

typedef struct run_args {
    stoa_session *session;
    generation *bindings;
    const uint32_t *count;   /* read when the queue gets there, NULL: rows is known */
    uint32_t first, rows;
} run_args;

/* Between the caller's columns and the staging tile, one value after another. */
static void copy_staged(stoa_session *session, const generation *g, bool outputs, uint32_t first, uint32_t rows)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        if (is_output(session, t) != outputs || !g->tensors[t].staged) continue;
        const uint32_t begin = session->first_value[t], width = schema_of(session, t)->width;
        const size_t bytes = stoa_dtype_bytes((stoa_dtype)g->values[begin].dtype);
        for (uint32_t i = begin; i < begin + width; i++) {
            char *lies = (char *)g->values[i].data + (int64_t)first * g->values[i].row_stride * (int64_t)bytes;
            char *tile = staging_address(session, i);
            const int64_t step = g->values[i].row_stride * (int64_t)bytes;
            for (uint32_t r = 0; r < rows; r++)
                memcpy(outputs ? lies + r * step : tile + r * bytes, outputs ? tile + r * bytes : lies + r * step, bytes);
        }
        atomic_fetch_add_explicit(&session->copy_calls, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&session->copy_bytes, (uint64_t)width * rows * bytes, memory_order_relaxed);
    }
}

static bool any_staged(const stoa_session *session, const generation *g)
{
    for (uint32_t t = 0; t < session->tensor_count; t++)
        if (g->tensors[t].staged) return true;
    return false;
}

/* The runtime sees rows [first, first + rows) of everything: the tile's address is moved back by `first` rows. */
static void run_staged(stoa_session *session, generation *g, uint32_t first, uint32_t rows)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        if (!g->tensors[t].staged) continue;
        for (uint32_t i = session->first_value[t]; i < session->first_value[t + 1]; i++) {
            const uintptr_t back = (uintptr_t)first * stoa_dtype_bytes((stoa_dtype)g->values[i].dtype);
            g->staged[i].data = (void *)((uintptr_t)staging_address(session, i) - back);
            g->staged[i].row_stride = 1;
        }
    }
    copy_staged(session, g, false, first, rows);
    session->model->api->run(session->instance, g->staged, g->staged + session->input_values, first, rows);
    copy_staged(session, g, true, first, rows);
}

static void run_rows(stoa_session *session, generation *g, uint32_t first, uint32_t rows)
{
    const uint32_t tile = tile_rows(session);
    const bool staged = any_staged(session, g);
    for (uint32_t done = 0; done < rows;) {
        const uint32_t now = rows - done < tile ? rows - done : tile;
        if (staged)
            run_staged(session, g, first + done, now);
        else
            session->model->api->run(session->instance, g->staged, g->staged + session->input_values, first + done, now);
        done += now;
    }
}

static void run_host(const void *pointer)
{
    const run_args *args = pointer;
    uint32_t rows = args->rows;
    if (args->count && *args->count < rows) rows = *args->count;
    run_rows(args->session, args->bindings, args->first, rows);
    atomic_fetch_sub_explicit(&args->bindings->in_flight, 1, memory_order_release);
}

static const stoa_kernel run_kernel = {sizeof(stoa_kernel), sizeof(run_args), "stoa_session_run", run_host};

/* Rows that the bindings allow behind `first`; fails when something is not bound. */
static stoa_status rows_allowed(const stoa_session *session, uint32_t first, uint32_t *allowed, uint32_t *limiting, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    *allowed = session->max_rows;
    *limiting = UINT32_MAX;
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        if (!g->tensors[t].bound)
            return STOA_FAIL(err, STOA_ESTATE, "%s '%s' is not bound", is_output(session, t) ? "output" : "input",
                             schema_of(session, t)->name);
        const uint32_t rows = g->tensors[t].rows > first ? g->tensors[t].rows - first : 0;
        if (rows < *allowed) {
            *allowed = rows;
            *limiting = t;
        }
    }
    return STOA_OK;
}

static stoa_status enqueue(stoa_session *session, const run_args *args, stoa_error *err)
{
    atomic_fetch_add_explicit(&args->bindings->in_flight, 1, memory_order_relaxed);
    const stoa_status status = stoa_queue_launch(session->queue, &run_kernel, args, err);
    if (status != STOA_OK) {
        atomic_fetch_sub_explicit(&args->bindings->in_flight, 1, memory_order_relaxed);
        return status;
    }
    session->runs++;
    session->rows += args->count ? 0 : args->rows;
    return STOA_OK;
}

stoa_status stoa_session_run_rows(stoa_session *session, uint32_t first, uint32_t rows, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session run: session is NULL");
    uint32_t allowed, limiting;
    STOA_TRY(rows_allowed(session, first, &allowed, &limiting, err));
    if (rows > allowed && limiting == UINT32_MAX)
        return STOA_FAIL(err, STOA_ESHAPE, "session run: %u rows given, the session was made for %u", rows, session->max_rows);
    if (rows > allowed)
        return STOA_FAIL(err, STOA_ESHAPE, "session run: rows %u to %llu given, tensor '%s' has %u rows", first,
                         (unsigned long long)first + rows, schema_of(session, limiting)->name,
                         session->generations[session->current].tensors[limiting].rows);
    if (rows == 0) {
        session->runs++;
        return STOA_OK;
    }
    const run_args args = {session, &session->generations[session->current], NULL, first, rows};
    return enqueue(session, &args, err);
}

stoa_status stoa_session_run(stoa_session *session, uint32_t rows, stoa_error *err)
{
    return stoa_session_run_rows(session, 0, rows, err);
}

stoa_status stoa_session_run_counted(stoa_session *session, const uint32_t *rows, stoa_error *err)
{
    if (!session || !rows) return STOA_FAIL(err, STOA_EINVAL, "session run: %s is NULL", session ? "row count" : "session");
    if (!session->model->capabilities->device_row_count)
        return STOA_FAIL(err, STOA_ENOTSUP, "session run: runtime '%s' takes no row count by pointer", session->model->api->name);
    uint32_t allowed, limiting;
    STOA_TRY(rows_allowed(session, 0, &allowed, &limiting, err));
    const run_args args = {session, &session->generations[session->current], rows, 0, allowed};
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
    return STOA_OK;
}
