/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/struct_size.h"
#include "model/bind.h"
#include "model/session_internal.h"
#include "stoa/memory.h"

#define STAGING_TILE_ROWS 512u /* gathers stay in the second-level cache */

static bool fits_as_it_lies(const stoa_capabilities *can)
{ return can->inputs == STOA_RULE_ANY && can->outputs == STOA_RULE_ANY && can->outputs_in_place && can->const_inputs; }

/* Rows that one call of the runtime gets: its own wish, or the staging tile where copies may be made, or all. Tiles are for the
 * caches of the host; on other devices each would cost a launch. */
static uint32_t tile_rows(const stoa_session *session)
{
    const stoa_capabilities *can = session->model->capabilities;
    if (!can->row_independent || session->axis_count != 1 || session->place.type != STOA_PLACE_HOST) return UINT32_MAX;
    if (can->tile_rows) return can->tile_rows;
    return session->allow_copies && !fits_as_it_lies(can) ? STAGING_TILE_ROWS : UINT32_MAX;
}

/* ---- create and destroy ---------------------------------------------------------------------------------------------- */

/* Lays the arrays of all generations out in one block; with `block` NULL it only measures. */
static size_t place_arrays(stoa_session *session, char *block)
{
    size_t used = 0;
#define TAKE(pointer, count) \
    do { \
        used = (used + 15u) & ~(size_t)15u; \
        if (block) (pointer) = (void *)(block + used); \
        used += (size_t)(count) * sizeof *(pointer); \
    } while (0)
    TAKE(session->first_value, session->tensor_count + 1);
    TAKE(session->staging_offset, session->tensor_count);
    TAKE(session->scratch, session->value_count);
    for (uint32_t i = 0; i < SESSION_GENERATIONS; i++) {
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
        session->value_count += session_schema(session, i)->width;
        session->event_output |= session_is_output(session, i) && session_schema(session, i)->axis == STOA_AXIS_ONE;
    }
    session->heap_bytes = place_arrays(session, NULL);
    char *block = stoa_calloc(1, session->heap_bytes);
    if (!block) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes for bindings", session->heap_bytes);
    place_arrays(session, block);
    for (uint32_t i = 0; i < session->tensor_count; i++)
        session->first_value[i + 1] = session->first_value[i] + session_schema(session, i)->width;
    return STOA_OK;
}

static size_t whole_blocks(size_t bytes) { return (bytes + STOA_BUFFER_ALIGN_BYTES - 1) & ~(size_t)(STOA_BUFFER_ALIGN_BYTES - 1); }

static stoa_status make_workspace(stoa_session *session, stoa_error *err)
{
    const stoa_model *model = session->model;
    size_t bytes = 0;
    STOA_TRY(model->api->workspace(model->handle, session->place, session->call_rows, &bytes, err));
    session->workspace_bytes = whole_blocks(bytes);
    for (uint32_t t = 0; session->allow_copies && !fits_as_it_lies(model->capabilities) && t < session->tensor_count; t++) {
        session->staging_offset[t] = session->workspace_bytes;
        session->workspace_bytes += whole_blocks(session_schema(session, t)->width * stoai_staging_pitch(session, t));
    }
    STOA_TRY(stoa_buffer_create(session->queue, STOA_MEMORY_DEVICE, session->workspace_bytes, &session->workspace, err));
    return model->api->open(model->handle, session->queue, stoa_buffer_data(session->workspace), bytes, session->call_rows,
                            &session->instance, err);
}

static stoa_status set_axes(stoa_session *session, uint32_t max_rows, const stoa_session_options *options, stoa_error *err)
{
    const stoa_schema *schema = session->model->schema;
    if (schema->axis_count > SESSION_AXES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "session: the model has %u row axes, at most %u can be run", schema->axis_count,
                         SESSION_AXES_MAX);
    if (options && options->axis_rows && options->axis_count != schema->axis_count)
        return STOA_FAIL(err, STOA_EINVAL, "session options: rows of %u axes given, the model has %u", options->axis_count,
                         schema->axis_count);
    session->axis_count = schema->axis_count;
    session->allow_copies = options ? options->allow_copies : 0;
    const uint32_t tile = tile_rows(session);
    for (uint32_t i = 0; i < session->axis_count; i++) {
        session->axis_rows[i] = options && options->axis_rows ? options->axis_rows[i] : max_rows;
        if (session->axis_rows[i] > STOA_LAYOUT_ROWS_MAX)
            return STOA_FAIL(err, STOA_ELIMIT, "session: %u rows a run at most given, at most %u", (unsigned)session->axis_rows[i],
                             (unsigned)STOA_LAYOUT_ROWS_MAX);
        session->call_rows[i] = session->axis_rows[i] < tile ? session->axis_rows[i] : tile;
    }
    return STOA_OK;
}

stoa_status stoa_session_create(const stoa_model *model, stoa_queue *queue, uint32_t max_rows, const stoa_session_options *options,
                                stoa_session **out, stoa_error *err)
{
    if (!out) return STOA_FAIL(err, STOA_EINVAL, "session: result pointer is NULL");
    *out = NULL;
    if (!model || !queue) return STOA_FAIL(err, STOA_EINVAL, "session: %s is NULL", model ? "queue" : "model");
    if (options) STOA_TRY(STOAI_CHECK_STRUCT(options, "session options", err));
    bool captured = false; /* what a session copies when it is made would be done with the graph, at each of its launches */
    STOA_TRY(stoa_queue_is_captured(queue, &captured, err));
    if (captured) return STOA_FAIL(err, STOA_ESTATE, "session: the queue is captured into a graph, to which making one does not belong");
    stoa_session *session = stoa_calloc(1, sizeof *session);
    if (!session) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *session);
    session->model = (stoa_model *)(uintptr_t)model; /* only its count of references changes */
    stoai_model_retain(session->model);
    session->queue = queue;
    session->blocking = stoa_queue_get_kind(queue) == STOA_QUEUE_BLOCKING;
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

static bool runs_are_queued(const stoa_session *session)
{
    for (uint32_t i = 0; i < SESSION_GENERATIONS; i++)
        if (!generation_is_free(&session->generations[i])) return true;
    return false;
}

void stoa_session_destroy(stoa_session *session)
{
    if (!session) return;
    stoa_buffer_release(session->workspace);
    /* On the host runs may still be queued: the end of the session is one more task behind them, or waits for them where an executor
     * takes no more. Other devices have been handed all that a run needs, runtimes release memory there in the order of the queue, and
     * tasks of their queues may call no driver. */
    if (runs_are_queued(session)) {
        if (stoa_queue_enqueue(session->queue, free_session, session, NULL) == STOA_OK) return;
        if (stoa_queue_wait(session->queue, NULL) != STOA_OK) return; /* runs may still come: rather lost than freed under them */
    }
    free_session(session);
}

/* ---- bind ------------------------------------------------------------------------------------------------------------ */

static stoa_status find_tensor(const stoa_session *session, const char *name, uint32_t *tensor, stoa_error *err)
{
    char names[512];
    size_t used = 0;
    for (*tensor = 0; *tensor < session->tensor_count; (*tensor)++) {
        const char *has = session_schema(session, *tensor)->name;
        if (strcmp(has, name) == 0) return STOA_OK;
        if (used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", *tensor ? ", " : "", has);
    }
    return STOA_FAIL(err, STOA_ENAME, "tensor '%s': the model has none of that name; it has: %s", name, names);
}

/* Rows of a tensor that runs may touch: with one row axis a run may begin at any of them, with several it begins at row 0. */
static uint32_t reach_rows(const stoa_session *session, uint32_t tensor, uint32_t rows)
{
    const uint32_t of_run = session_rows_of(session, tensor, session->axis_rows);
    const bool anywhere = session->axis_count == 1 && session_schema(session, tensor)->axis != STOA_AXIS_ONE;
    return anywhere || rows < of_run ? rows : of_run;
}

/* Outputs share no byte with anything else that is bound, wherever runs begin. */
static stoa_status check_overlap(const stoa_session *session, uint32_t tensor, stoa_tensor columns, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    columns.rows = reach_rows(session, tensor, columns.rows);
    for (uint32_t i = 0; i < session->tensor_count; i++) {
        const bool harmless = !session_is_output(session, i) && !session_is_output(session, tensor);
        if (i == tensor || !g->tensors[i].bound || harmless) continue;
        stoa_tensor other = g->tensors[i].tensor;
        other.rows = reach_rows(session, i, other.rows);
        if (stoa_tensor_overlaps(columns, other, UINT32_MAX))
            return STOA_FAIL(err, STOA_EOVERLAP, "tensor '%s' of %u rows at %p shares memory with '%s' of %u rows at %p",
                             session_schema(session, tensor)->name, columns.rows, columns.columns[0].data, session_schema(session, i)->name,
                             other.rows, other.columns[0].data);
    }
    return STOA_OK;
}

/* What a run would otherwise have to ask every tensor. */
static void sum_up(const stoa_session *session, generation *g)
{
    g->complete = true;
    g->copies = false;
    for (uint32_t i = 0; i < session->axis_count; i++) g->rows[i] = UINT32_MAX;
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const binding *b = &g->tensors[t];
        const uint32_t axis = session_schema(session, t)->axis;
        g->complete &= b->bound && (axis != STOA_AXIS_ONE || b->rows > 0);
        g->copies |= b->staged || b->own_memory;
        if (axis != STOA_AXIS_ONE && b->rows < g->rows[axis]) g->rows[axis] = b->rows;
    }
    const bool direct =
        g->complete && !g->copies && session->axis_count == 1 && session->blocking && session->place.type == STOA_PLACE_HOST;
    g->direct_rows = direct ? session->call_rows[0] : 0;
}

/* A generation that may be changed: the current one, or a free one with the same contents when runs still hold it. */
static stoa_status writable_generation(stoa_session *session, stoa_error *err)
{
    generation *from = &session->generations[session->current];
    if (generation_is_free(from)) return STOA_OK;
    for (uint32_t i = 0; i < SESSION_GENERATIONS; i++) {
        generation *to = &session->generations[i];
        if (!generation_is_free(to)) continue;
        memcpy(to->tensors, from->tensors, session->tensor_count * sizeof *to->tensors);
        memcpy(to->columns, from->columns, session->value_count * sizeof *to->columns);
        memcpy(to->values, from->values, session->value_count * sizeof *to->values);
        memcpy(to->staged, from->values, session->value_count * sizeof *to->staged); /* a run writes `staged`, and again before use */
        for (uint32_t t = 0; t < session->tensor_count; t++)
            if (to->tensors[t].bound) to->tensors[t].tensor.columns = to->columns + session->first_value[t];
        sum_up(session, to);
        session->current = i;
        return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ESTATE, "session: bindings of %u queued runs differ, at most %u may; wait for the queue",
                     SESSION_GENERATIONS, SESSION_GENERATIONS);
}

/* Copies that this binding needs must be allowed, and of one dtype where they are the session's: a tile has one size of element. */
static stoa_status check_copies(const stoa_session *session, uint32_t index, stoa_tensor tensor, const char *staged, bool own_memory,
                                stoa_error *err)
{
    const char *name = session_schema(session, index)->name, *runtime = session->model->api->name;
    if (staged) STOA_TRY(stoai_staging_check(session, index, err));
    if ((staged || own_memory) && !session->allow_copies)
        return STOA_FAIL(err, STOA_ECOPY, "tensor '%s': %s (%s); bind other columns or set allow_copies", name,
                         staged ? staged : "the runtime stores outputs in memory of its own", runtime);
    const stoa_column *columns = tensor.columns;
    for (uint32_t i = 1; staged && i < tensor.column_count; i++)
        if (columns[i].dtype != columns[0].dtype)
            return STOA_FAIL(err, STOA_ECOPY, "tensor '%s': %s (%s); copies take one dtype, column %u is %s, column 0 is %s", name, staged,
                             runtime, i, stoa_dtype_name((stoa_dtype)columns[i].dtype), stoa_dtype_name((stoa_dtype)columns[0].dtype));
    return STOA_OK;
}

stoa_status stoa_session_bind(stoa_session *session, const char *name, stoa_tensor tensor, stoa_error *err)
{
    if (!session || !name) return STOA_FAIL(err, STOA_EINVAL, "session bind: %s is NULL", session ? "name" : "session");
    uint32_t index;
    STOA_TRY(find_tensor(session, name, &index, err));
    const bind_target target = {session_schema(session, index),
                                session->model->capabilities,
                                session->place,
                                session_rows_of(session, index, session->axis_rows),
                                reach_rows(session, index, tensor.rows),
                                session_rows_of(session, index, session->call_rows),
                                session_is_output(session, index)};
    STOA_TRY(stoai_bind_check(&target, tensor, err));
    STOA_TRY(check_overlap(session, index, tensor, err));
    STOA_TRY(writable_generation(session, err));

    generation *g = &session->generations[session->current];
    const uint32_t first = session->first_value[index];
    /* Values first go to the scratch array, so that a refusal leaves the earlier binding as it was. */
    stoai_bind_values(&target, tensor, session->scratch);
    const char *staged = stoai_bind_staging_reason(&target, tensor, session->scratch);
    const bool own_memory = target.is_output && !target.capabilities->outputs_in_place;
    STOA_TRY(check_copies(session, index, tensor, staged, own_memory, err));
    memcpy(g->values + first, session->scratch, target.schema->width * sizeof *g->values);
    memcpy(g->staged + first, session->scratch, target.schema->width * sizeof *g->staged);
    memcpy(g->columns + first, tensor.columns, tensor.column_count * sizeof *tensor.columns);
    g->tensors[index] = (binding){true, staged != NULL, own_memory, tensor.rows, tensor};
    g->tensors[index].tensor.columns = g->columns + first;
    sum_up(session, g);
    return STOA_OK;
}

stoa_status stoa_session_unbind(stoa_session *session, const char *name, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session unbind: session is NULL");
    uint32_t first = 0, end = session->tensor_count;
    if (name) STOA_TRY(find_tensor(session, name, &first, err));
    if (name) end = first + 1;
    STOA_TRY(writable_generation(session, err));
    generation *g = &session->generations[session->current];
    for (uint32_t t = first; t < end; t++) g->tensors[t] = (binding){.bound = false};
    sum_up(session, g);
    return STOA_OK;
}

stoa_status stoa_session_get_stats(const stoa_session *session, stoa_session_stats *stats, stoa_error *err)
{
    if (!session || !stats) return STOA_FAIL(err, STOA_EINVAL, "session stats: %s is NULL", session ? "stats" : "session");
    if (stats->struct_size < sizeof *stats)
        return STOA_FAIL(err, STOA_EINVAL, "session stats: struct_size %u given, %zu needed", (unsigned)stats->struct_size, sizeof *stats);
    stats->runs = session->runs;
    stats->rows = session->rows;
    stats->copy_calls = atomic_load_explicit(&session->copy_calls, memory_order_relaxed);
    stats->copy_bytes = atomic_load_explicit(&session->copy_bytes, memory_order_relaxed);
    stats->workspace_bytes = session->workspace_bytes;
    stats->run_allocations = session->model->api->run_allocations ? session->model->api->run_allocations(session->instance) : 0;
    return STOA_OK;
}
