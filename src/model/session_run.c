/* SPDX-License-Identifier: Apache-2.0 */
/* Enqueueing runs, and what happens when the queue gets there. */
#include <stdio.h>
#include <string.h>

#include "model/session_internal.h"
#include "stoa/kernel.h"

typedef struct run_args {
    stoa_session *session;
    generation *bindings;
    const uint32_t *count[SESSION_AXES_MAX]; /* read when the queue gets there, NULL: rows are known */
    uint32_t first, rows[SESSION_AXES_MAX];
} run_args;

static void keep_failure(stoa_session *session, const stoa_error *error)
{
    int none = FAILURE_NONE;
    if (!atomic_compare_exchange_strong(&session->failed.state, &none, FAILURE_CLAIMED)) return; /* the first one counts */
    session->failed.error = *error;
    atomic_store_explicit(&session->failed.state, FAILURE_FULL, memory_order_release);
}

static stoa_status call_runtime(stoa_session *session, generation *g, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    if (g->copies) {
        stoai_staging_point(session, g, first);
        STOA_TRY(stoai_staging_copy(session, g, false, first, rows, err));
    }
    STOA_TRY(session->model->api->run(session->instance, g->staged, g->staged + session->input_values, first, rows, err));
    return g->copies ? stoai_staging_copy(session, g, true, first, rows, err) : STOA_OK;
}

static inline stoa_status run_rows(stoa_session *session, generation *g, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    if (session->axis_count != 1 || (rows[0] == 0 && session->event_output)) return call_runtime(session, g, first, rows, err);
    for (uint32_t done = 0; done < rows[0];) {
        const uint32_t now = rows[0] - done < session->call_rows[0] ? rows[0] - done : session->call_rows[0];
        STOA_TRY(call_runtime(session, g, first + done, &now, err));
        done += now;
    }
    return STOA_OK;
}

static inline stoa_status run_now(const run_args *args, stoa_error *err)
{
    uint32_t rows[SESSION_AXES_MAX];
    for (uint32_t i = 0; i < args->session->axis_count; i++)
        rows[i] = args->count[i] && *args->count[i] < args->rows[i] ? *args->count[i] : args->rows[i];
    return run_rows(args->session, args->bindings, args->first, rows, err);
}

static void run_later(const void *pointer)
{
    const run_args *args = pointer;
    stoa_error error;
    if (run_now(args, &error) != STOA_OK) keep_failure(args->session, &error);
    generation_count(&args->bindings->passed, 1, memory_order_release);
}

static const stoa_kernel run_kernel = {sizeof(stoa_kernel), sizeof(run_args), "stoa_session_run", run_later, 0, 0};

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
    if (g->complete) return STOA_OK;
    for (uint32_t t = 0; t < session->tensor_count; t++)
        if (!g->tensors[t].bound)
            return STOA_FAIL(err, STOA_ESTATE, "%s '%s' is not bound", session_is_output(session, t) ? "output" : "input",
                             session_schema(session, t)->name);
    return STOA_OK;
}

/* Names what a run has too many rows for, if it has. */
static stoa_status refuse_rows(const stoa_session *session, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    for (uint32_t i = 0; i < session->axis_count; i++)
        if (rows[i] > session->axis_rows[i])
            return STOA_FAIL(err, STOA_ESHAPE, "session run: %u rows of axis '%s' given, the session was made for %u", rows[i],
                             session->model->schema->axes[i], session->axis_rows[i]);
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const uint64_t begin = session_skips(session, t, first), end = begin + session_rows_of(session, t, rows);
        if (end > g->tensors[t].rows)
            return STOA_FAIL(err, STOA_ESHAPE, "session run: rows %llu to %llu given, tensor '%s' has %u rows", (unsigned long long)begin,
                             (unsigned long long)end, session_schema(session, t)->name, g->tensors[t].rows);
    }
    return STOA_OK;
}

/* Bindings and rows; a session without a missing tensor knows the rows that all of them have. */
static inline stoa_status check_rows(const stoa_session *session, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    const generation *g = &session->generations[session->current];
    bool fits = g->complete;
    for (uint32_t i = 0; i < session->axis_count; i++) fits &= rows[i] <= session->axis_rows[i] && (uint64_t)first + rows[i] <= g->rows[i];
    if (fits) return STOA_OK;
    STOA_TRY(check_bound(session, err));
    return refuse_rows(session, first, rows, err);
}

static inline stoa_status take_failure(stoa_session *session, stoa_error *err)
{
    if (atomic_load_explicit(&session->failed.state, memory_order_acquire) != FAILURE_FULL) return STOA_OK;
    const stoa_error error = session->failed.error;
    atomic_store_explicit(&session->failed.state, FAILURE_NONE, memory_order_release);
    if (err) *err = error;
    return error.status;
}

static inline stoa_status check(stoa_session *session, stoa_error *err)
{
    STOA_TRY(take_failure(session, err));
    if (session->place.type == STOA_PLACE_HOST) return STOA_OK;
    const stoa_runtime_api *api = session->model->api;
    return STOA_RUNTIME_HAS(api, check) ? api->check(session->instance, err) : STOA_OK;
}

stoa_status stoa_session_check(stoa_session *session, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session check: session is NULL");
    return check(session, err);
}

/* The queue gets there later: the bindings stay as they are until then. */
static stoa_status enqueue_on_host(stoa_session *session, const run_args *args, stoa_error *err)
{
    generation_count(&args->bindings->given, 1, memory_order_relaxed);
    const stoa_status status = stoa_queue_launch(session->queue, &run_kernel, args, err);
    if (status != STOA_OK) generation_count(&args->bindings->given, UINT32_MAX, memory_order_relaxed); /* back */
    return status;
}

/* Other devices are handed their work now, with the bindings' addresses in it. What it meets there is for a later check. */
static stoa_status enqueue_on_device(stoa_session *session, const run_args *args, stoa_error *err)
{
    generation *g = args->bindings;
    if (args->count[0])
        STOA_TRY(session->model->api->run_counted(session->instance, g->staged, g->staged + session->input_values, args->count, args->rows,
                                                  err));
    else STOA_TRY(run_rows(session, g, args->first, args->rows, err));
    if (!session->blocking) return STOA_OK;
    /* What a runtime's library enqueues has not passed the queue's own functions, which wait. */
    STOA_TRY(stoa_queue_wait(session->queue, err));
    return check(session, err);
}

static stoa_status enqueue(stoa_session *session, const run_args *args, stoa_error *err)
{
    STOA_TRY(check(session, err));
    if (session->place.type != STOA_PLACE_HOST) STOA_TRY(enqueue_on_device(session, args, err));
    else if (!session->blocking) STOA_TRY(enqueue_on_host(session, args, err));
    else STOA_TRY(run_now(args, err)); /* the queue is there already: its operations are the caller's */
    session->runs++;
    session->rows += args->count[0] || session->axis_count == 0 ? 0 : args->rows[0];
    return STOA_OK;
}

static inline stoa_status run_sizes(stoa_session *session, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    run_args args = {.session = session, .bindings = &session->generations[session->current], .first = first};
    bool any = session->axis_count == 0 || session->event_output;
    STOA_TRY(check_rows(session, first, rows, err));
    for (uint32_t i = 0; i < session->axis_count; i++) {
        args.rows[i] = rows[i];
        any |= rows[i] > 0;
    }
    if (any) return enqueue(session, &args, err);
    session->runs++;
    return stoa_session_check(session, err);
}

static __attribute__((noinline)) stoa_status run_one_axis(stoa_session *session, uint32_t first, uint32_t rows, stoa_error *err)
{
    STOA_TRY(check_one_axis(session, err));
    return run_sizes(session, first, &rows, err);
}

/* A row alone takes little longer than its checks, so what bind has found out comes first: the queue is a blocking one of the host, where
 * nothing is left of an earlier run, and one call of the runtime takes the rows as they lie. */
stoa_status stoa_session_run_rows(stoa_session *session, uint32_t first, uint32_t rows, stoa_error *err)
{
    if (!session) return STOA_FAIL(err, STOA_EINVAL, "session run: session is NULL");
    const generation *g = &session->generations[session->current];
    if (rows == 0 || rows > g->direct_rows || (uint64_t)first + rows > g->rows[0]) return run_one_axis(session, first, rows, err);
    STOA_TRY(session->model->api->run(session->instance, g->staged, g->staged + session->input_values, first, &rows, err));
    session->runs++;
    session->rows += rows;
    return STOA_OK;
}

stoa_status stoa_session_run(stoa_session *session, uint32_t rows, stoa_error *err) { return stoa_session_run_rows(session, 0, rows, err); }

static stoa_status check_axis_count(const stoa_session *session, const void *rows, uint32_t axis_count, stoa_error *err)
{
    char text[256];
    if (!session || (!rows && axis_count))
        return STOA_FAIL(err, STOA_EINVAL, "session run: %s is NULL", session ? "row counts" : "session");
    if (axis_count == session->axis_count) return STOA_OK;
    return STOA_FAIL(err, STOA_EINVAL, "session run: %u row counts given, the model has %u row axes (%s)", axis_count, session->axis_count,
                     axes_text(session->model->schema, text, sizeof text));
}

stoa_status stoa_session_run_sizes(stoa_session *session, const uint32_t *rows, uint32_t axis_count, stoa_error *err)
{
    STOA_TRY(check_axis_count(session, rows, axis_count, err));
    return run_sizes(session, 0, rows, err);
}

stoa_status stoa_session_run_sizes_counted(stoa_session *session, const uint32_t *const *rows, uint32_t axis_count, stoa_error *err)
{
    STOA_TRY(check_axis_count(session, rows, axis_count, err));
    const stoa_model *model = session->model;
    const bool on_host = session->place.type == STOA_PLACE_HOST;
    if (!model->capabilities->device_row_count || (!on_host && !STOA_RUNTIME_HAS(model->api, run_counted)))
        return STOA_FAIL(err, STOA_ENOTSUP, "session run: runtime '%s' takes no row count by pointer on %s", model->api->name,
                         on_host ? "the host" : "this device");
    STOA_TRY(check_bound(session, err));
    generation *g = &session->generations[session->current];
    if (g->copies && !on_host)
        return STOA_FAIL(err, STOA_ECOPY,
                         "session run: a tensor is copied, for which the host must know how many rows; the count is on the "
                         "device");
    run_args args = {.session = session, .bindings = g};
    for (uint32_t i = 0; i < axis_count; i++) {
        if (!rows[i]) return STOA_FAIL(err, STOA_EINVAL, "session run: row count of axis '%s' is NULL", session->model->schema->axes[i]);
        args.count[i] = rows[i];
        args.rows[i] = session->axis_rows[i];
    }
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const uint32_t axis = session_schema(session, t)->axis;
        if (axis != STOA_AXIS_ONE && g->tensors[t].rows < args.rows[axis]) args.rows[axis] = g->tensors[t].rows;
    }
    STOA_TRY(check_rows(session, 0, args.rows, err));
    return enqueue(session, &args, err);
}

stoa_status stoa_session_run_counted(stoa_session *session, const uint32_t *rows, stoa_error *err)
{
    if (!session || !rows) return STOA_FAIL(err, STOA_EINVAL, "session run: %s is NULL", session ? "row count" : "session");
    STOA_TRY(check_one_axis(session, err));
    return stoa_session_run_sizes_counted(session, &rows, 1, err);
}
