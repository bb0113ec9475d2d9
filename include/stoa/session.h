/* SPDX-License-Identifier: Apache-2.0 */
/** Sessions: a model on a queue, with its columns bound. The only place where inference happens.
 *
 *  A session belongs to one queue and owns the workspace, planned when it is made. `bind` checks everything; `run` only
 *  enqueues: it allocates nothing, takes no lock, starts no thread, waits for nothing and copies nothing. A runtime that would
 *  need a copy refuses at bind, unless the options allow copies; then they are made tile by tile and counted.
 *
 *      stoa_session_create(model, queue, max_tracks, NULL, &session, &err);      // allocates here and never again
 *      stoa_session_bind(session, "features", STOA_COLUMNS(tracks, chi2, eta, pt), &err);
 *      stoa_session_bind(session, "score", STOA_COLUMNS(tracks, score), &err);
 *      stoa_session_run(session, rows, &err);           // the next kernel on `queue` reads tracks.score
 */
#ifndef STOA_SESSION_H
#define STOA_SESSION_H

#include "stoa/model.h"
#include "stoa/queue.h"
#include "stoa/tensor.h"

STOA_BEGIN_DECLS

typedef struct stoa_session stoa_session;

typedef struct stoa_session_options {
    uint32_t struct_size;
    uint32_t allow_copies;   /**< 1: gather and scatter what the runtime cannot take in place, counted */
    const uint32_t *axis_rows;   /**< rows a run at most, of each axis of the schema; NULL: max_rows of every axis */
    uint32_t axis_count;         /**< of axis_rows */
} stoa_session_options;
#define STOA_SESSION_OPTIONS_INIT {(uint32_t)sizeof(stoa_session_options), 0u, NULL, 0u}

typedef struct stoa_session_stats {
    uint32_t struct_size;
    uint64_t runs, rows;         /**< so far; rows of device-side counts are not known here and not counted */
    uint64_t copy_calls;         /**< gathers and scatters on the caller's behalf, 0 unless allowed */
    uint64_t copy_bytes;
    uint64_t workspace_bytes;    /**< planned at create */
    uint64_t run_allocations;    /**< made by the runtime during runs, beside the workspace */
} stoa_session_stats;

/** Make a session for up to `max_rows` rows a run.
 *
 *  owns     caller destroys; model and queue must outlive it
 *  sync     may wait on a GPU, where weights are copied to it or a runtime is set up
 *  alloc    the workspace, here only       threads any; the session then belongs to its queue
 *  errors   EINVAL; ENOTSUP the runtime has no code for the queue's device; ENOMEM; ELIMIT more than STOA_LAYOUT_ROWS_MAX rows; ESTATE the queue is captured       since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_create(const stoa_model *model, stoa_queue *queue, uint32_t max_rows,
                                                         const stoa_session_options *options, stoa_session **session, stoa_error *err);

/** Destroy; the workspace is released in queue order. NULL is a no-op.
 *  owns takes `session`, while its queue is not captured   sync none; where a wrapped executor refuses the last task, waits for its queue when runs are left there
 *  threads one at a time   errors none   since 0.1 */
STOA_API void stoa_session_destroy(stoa_session *session);

/** Bind a tensor to the input or output of that name; binding again replaces.
 *
 *  shape    columns x extents = the schema's width, row-major over [k, R, C]: k vectors of R fill [k, R] in order
 *  owns     copies the list of columns; borrows their memory until the last run's work has passed the queue
 *  sync     none      alloc none      threads as the queue
 *  errors   ENAME unknown name; ESHAPE width, rank, rows or stride; EDTYPE; EALIGN; EPLACE; ECONST; EOVERLAP output with another
 *           binding; ECOPY a copy would be needed; EINVAL null. Each names the tensor and both values. The earlier binding stays.
 *  since    0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_bind(stoa_session *session, const char *name, stoa_tensor tensor, stoa_error *err);

/** Forget a binding, or all of them when `name` is NULL: before memory changes its part, as when buffers are swapped.
 *  owns nothing   sync, alloc none   threads as the queue   errors ENAME; ESTATE as bind; EINVAL   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_unbind(stoa_session *session, const char *name, stoa_error *err);

/** Enqueue inference over rows [0, rows) of what is bound.
 *
 *  A run that fails when the queue gets there leaves its outputs unspecified; on a blocking queue this call returns the failure,
 *  on others the next run, which is not enqueued then, or stoa_session_check does. A row number beyond its axis is such a
 *  failure, ERUNTIME with both values; of many that a run meets a GPU tells one.
 *
 *  shape    rows <= max_rows and <= the rows of every bound tensor; 0 is valid; models with one row axis
 *  owns     borrows as bind      sync asynchronous      alloc none      threads as the queue
 *  errors   ESTATE a tensor is not bound, naming it; ESHAPE rows, both values; EINVAL several row axes; ERUNTIME; EDEVICE
 *  since    0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_run(stoa_session *session, uint32_t rows, stoa_error *err);

/** As stoa_session_run for rows [first, first + rows): slices and batches without binding again.
 *  shape first + rows <= what run allows   owns, sync, alloc, threads, errors as stoa_session_run   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_run_rows(stoa_session *session, uint32_t first, uint32_t rows, stoa_error *err);

/** As stoa_session_run with a row count that is read when the queue gets there: cost follows the count, not the capacity.
 *  A count above max_rows or the bound rows is clipped to them.
 *  owns borrows `rows` until the queue passes   sync asynchronous   alloc none   threads as the queue   errors ENOTSUP the runtime cannot; as stoa_session_run   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_run_counted(stoa_session *session, const uint32_t *rows, stoa_error *err);

/** As stoa_session_run for models with several row axes: rows[i] rows of the schema's axis i.
 *  shape rows[axis_count]   owns copies `rows`   sync, alloc, threads as stoa_session_run   errors EINVAL count is not the schema's; as stoa_session_run   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_run_sizes(stoa_session *session, const uint32_t *rows, uint32_t axis_count,
                                                            stoa_error *err);

/** As stoa_session_run_sizes with row counts that are read when the queue gets there, each clipped as by stoa_session_run_counted.
 *  shape rows[axis_count] pointers, none NULL   owns copies the list; borrows the counts until the queue passes   sync, alloc, threads
 *  as stoa_session_run   errors as stoa_session_run_sizes and stoa_session_run_counted   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_run_sizes_counted(stoa_session *session, const uint32_t *const *rows, uint32_t axis_count,
                                                                    stoa_error *err);

/** The first failure of a run since the last call, once; STOA_OK when all that have passed the queue went well.
 *  owns nothing   sync none: wait for the queue to know of all   threads as the queue   errors what the runtime gave   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_check(stoa_session *session, stoa_error *err);

/** Counters. `stats->struct_size` must be set.
 *  owns fills caller's struct   threads as the queue   errors EINVAL   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_session_get_stats(const stoa_session *session, stoa_session_stats *stats, stoa_error *err);

STOA_END_DECLS
#endif
