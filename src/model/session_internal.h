/* SPDX-License-Identifier: Apache-2.0 */
/* What a session is made of. session.c makes and binds it, session_run.c runs it, staging.c copies what a runtime cannot take
 * as it lies. A session keeps its bindings in a few generations: a run that is still queued holds on to the one it was enqueued
 * with, so binding again never changes work in flight, and neither binding nor running allocates, locks or waits. */
#ifndef STOA_MODEL_SESSION_INTERNAL_H
#define STOA_MODEL_SESSION_INTERNAL_H

#include <stdatomic.h>

#include "model/model.h"
#include "stoa/buffer.h"
#include "stoa/session.h"

#define SESSION_GENERATIONS 8u
#define SESSION_AXES_MAX 8u

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
    /* Runs with it: handed to the queue, and passed by the queue. Each count has one writer, so neither takes a locked instruction. */
    atomic_uint given, passed;
    bool complete;           /* every tensor is bound, those of one row to one */
    bool copies;             /* a tensor is copied */
    uint32_t direct_rows;    /* so many at most are run with no more checks than of their number; 0: none */
    uint32_t rows[SESSION_AXES_MAX]; /* of each axis, that all its tensors have */
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
    uint32_t axis_count, axis_rows[SESSION_AXES_MAX]; /* rows a run at most */
    uint32_t call_rows[SESSION_AXES_MAX];             /* rows one call of the runtime at most: a tile, or axis_rows */
    uint32_t tensor_count, input_values, value_count, current;
    bool blocking;                                    /* the queue */
    bool event_output;                                /* an output of the event: it has its row even when no other row is there */
    void *instance;
    uint64_t runs, rows;
    stoa_buffer *workspace;
    size_t workspace_bytes, heap_bytes;
    uint32_t *first_value;   /* [tensor_count + 1] */
    size_t *staging_offset;  /* [tensor_count], bytes into the workspace */
    stoa_bound *scratch;     /* [value_count], of bind */
    generation generations[SESSION_GENERATIONS];
    failure failed;
    atomic_uint_fast64_t copy_calls, copy_bytes;
};

static inline void generation_count(atomic_uint *runs, uint32_t change, memory_order order)
{ atomic_store_explicit(runs, atomic_load_explicit(runs, memory_order_relaxed) + change, order); }

/* No run is queued with it; by the thread that enqueues. */
static inline bool generation_is_free(const generation *g)
{ return atomic_load_explicit(&g->passed, memory_order_acquire) == atomic_load_explicit(&g->given, memory_order_relaxed); }

static inline const stoa_tensor_schema *session_schema(const stoa_session *session, uint32_t tensor)
{
    const stoa_schema *schema = session->model->schema;
    return tensor < schema->input_count ? &schema->inputs[tensor] : &schema->outputs[tensor - schema->input_count];
}

static inline bool session_is_output(const stoa_session *session, uint32_t tensor) { return tensor >= session->model->schema->input_count; }

/* Rows that the session was made for, of the axis of a tensor. */
static inline uint32_t session_rows_of(const stoa_session *session, uint32_t tensor, const uint32_t *rows)
{
    const uint32_t axis = session_schema(session, tensor)->axis;
    return axis == STOA_AXIS_ONE ? 1u : rows[axis];
}

/* Rows that a run which begins at `first` leaves out of a tensor: none of those of one row. */
static inline uint32_t session_skips(const stoa_session *session, uint32_t tensor, uint32_t first)
{ return session_schema(session, tensor)->axis == STOA_AXIS_ONE ? 0 : first; }

/* Distance in bytes of the values of a staged tensor in the staging tile. */
size_t stoai_staging_pitch(const stoa_session *session, uint32_t tensor);

/* Point the staged tensors of a generation at their tiles, moved back by `first` rows, which the runtime adds. */
void stoai_staging_point(const stoa_session *session, generation *g, uint32_t first);

/* Whether the queue can copy the values that bind has put into `scratch`.   errors ECOPY naming column and stride */
stoa_status stoai_staging_check(const stoa_session *session, uint32_t tensor, stoa_error *err);

/* Gather the inputs into the tiles, or scatter the outputs out of them: on the host now, on other devices in the order of the queue.
 * Counts what the runtime copies by itself too.   errors EDEVICE */
stoa_status stoai_staging_copy(stoa_session *session, const generation *g, bool outputs, uint32_t first, const uint32_t *rows,
                               stoa_error *err);

#endif
