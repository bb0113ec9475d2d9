/* SPDX-License-Identifier: Apache-2.0 */
/** Queues and events: the order in which work happens.
 *
 *  A queue runs what is enqueued in order. A *blocking* host queue runs it in the caller's thread, at once; an
 *  *async* host queue has one worker thread; a CUDA queue is a stream. Queues of a framework are wrapped, not replaced.
 *  Events order queues among each other without stopping the host.
 *
 *      stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, &err);
 *      stoa_queue_launch(queue, &my_kernel, &args, &err);
 *      stoa_event_record(event, queue, &err);
 *      stoa_queue_wait_event(other_queue, event, &err);   // the host goes on
 */
#ifndef STOA_QUEUE_H
#define STOA_QUEUE_H

#include "stoa/device.h"

STOA_BEGIN_DECLS

typedef struct stoa_queue stoa_queue;
typedef struct stoa_event stoa_event;

typedef enum stoa_queue_kind {
    STOA_QUEUE_BLOCKING = 0, /**< host: the caller's thread; CUDA: a stream whose enqueues wait */
    STOA_QUEUE_ASYNC = 1     /**< host: one worker thread, the only thread this library ever starts; CUDA: a stream */
} stoa_queue_kind;

/** Work for the host, run when the queue reaches it. Must not call functions on the same queue. */
typedef void (*stoa_host_task)(void *user);

/** A framework's own queue of host tasks, for stoa_queue_wrap on the host. `enqueue` takes `task` and runs `task(task_user)` once,
 *  after all that it took before, on any thread, at once or later; what it refuses with a status it never runs. */
typedef struct stoa_host_executor {
    uint32_t struct_size;
    stoa_status (*enqueue)(void *user, stoa_host_task task, void *task_user, stoa_error *err);
    void *user;
} stoa_host_executor;

/** A kernel written once in C: the host runs `host`, another back end looks `name` up among its compiled kernels.
 *  Kernels must not allocate, lock or fail; what can be wrong is checked before the launch. */
typedef struct stoa_kernel {
    uint32_t struct_size;
    uint32_t args_bytes;            /**< size of the argument struct, at most STOA_KERNEL_ARGS_MAX_BYTES */
    const char *name;               /**< unique: "hlt_features" */
    void (*host)(const void *args); /**< the whole grid, serially */
    uint32_t shared_bytes;          /**< memory that each block of STOA_KERNEL_TILES gets: stoa_kernel_shared_max_bytes */
    uint32_t blocks_max;            /**< no more blocks than this; 0: as many as fill the device */
} stoa_kernel;
#define STOA_KERNEL_ARGS_MAX_BYTES 3968 /**< of the 4 KiB that every CUDA takes; a host queue copies what there is */
#define STOA_KERNEL_SHARED_MAX_BYTES (96 << 10) /**< a GPU of CUDA since 2020 has it, less what a kernel itself declares beyond 3 KiB */

/** What a block of STOA_KERNEL_TILES can have on a device: STOA_KERNEL_SHARED_MAX_BYTES, but 64 KiB on GPUs of AMD.
 *  owns nothing   threads any   errors none   since 0.1 */
static inline uint32_t stoa_kernel_shared_max_bytes(stoa_place place)
{ return place.type == STOA_PLACE_ROCM ? 64u << 10 : STOA_KERNEL_SHARED_MAX_BYTES; }

/** Make a queue on a device.
 *
 *  owns     caller destroys it; the device must outlive it
 *  alloc    yes; STOA_QUEUE_ASYNC on the host starts one thread
 *  threads  any      errors EINVAL; ENOMEM; ELIMIT 4096 on the host; EDEVICE        since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_create(stoa_device *device, stoa_queue_kind kind, stoa_queue **queue, stoa_error *err);

/** Put a queue around a native handle of the caller's: cudaStream_t; on the host a stoa_host_executor *, which is then handed one
 *  task for each entry and starts no thread.
 *  owns borrows `native` until destroy, which leaves it alone   threads any
 *  errors EINVAL no executor, or one without `enqueue` or of a struct_size that is not taken (stoa/status.h); EPLACE stream of another device; ENOMEM; ELIMIT   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_wrap(stoa_device *device, void *native, stoa_queue **queue, stoa_error *err);

/** Finish what is enqueued, then destroy; NULL is a no-op.
 *  owns takes `queue`   sync waits for the queue (a wrapped one too)   alloc none   threads none may use it   errors none   since 0.1 */
STOA_API void stoa_queue_destroy(stoa_queue *queue);

/** The native handle: cudaStream_t; on the host the stoa_host_executor that was wrapped, else NULL.
 *  owns borrowed   threads any   errors none   since 0.1 */
STOA_API void *stoa_queue_native(const stoa_queue *queue);
/** The device of a queue.   owns borrowed   threads any   errors none   since 0.1 */
STOA_API stoa_device *stoa_queue_device(const stoa_queue *queue);
/** Whether a graph is being captured from the queue, by its native stream: what is enqueued is then recorded and does not run. Waits for
 *  events from outside of the capture, new sessions and waiting itself are ESTATE there; without captures: false.
 *  owns nothing   sync none   threads as the queue   errors EINVAL; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_is_captured(const stoa_queue *queue, bool *captured, stoa_error *err);
/** The kind of a queue.   owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_queue_kind stoa_queue_get_kind(const stoa_queue *queue);

/** Block the caller until everything enqueued so far is done. The only function here that waits.
 *  owns nothing   sync blocks   alloc none   threads one at a time per queue   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_wait(stoa_queue *queue, stoa_error *err);

/** Whether everything enqueued so far is done.
 *  owns nothing   sync none   alloc none   threads any   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_is_idle(stoa_queue *queue, bool *idle, stoa_error *err);

/** Enqueue a host task.
 *
 *  owns     borrows `user` until the task ends
 *  sync     asynchronous; a full async host queue (128 entries) makes the caller wait for a free entry
 *  alloc    none     threads one at a time per queue
 *  errors   EINVAL null; EDEVICE        since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_enqueue(stoa_queue *queue, stoa_host_task task, void *user, stoa_error *err);

/** Enqueue a kernel. The arguments are copied, so `args` may be on the stack.
 *
 *  owns     borrows what the arguments point to until the queue passes
 *  sync     as stoa_queue_enqueue      alloc none      threads one at a time per queue
 *  errors   EINVAL null, args_bytes or shared_bytes over the maximum; ENOTSUP the back end has no kernel of that name, or the device less memory beside the kernel's own for a block       since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_launch(stoa_queue *queue, const stoa_kernel *kernel, const void *args, stoa_error *err);

/** Copy `bytes` bytes, ordered on `queue`, between any places that the queue's device reaches.
 *
 *  shape    flat, non-overlapping ranges     units bytes      owns borrows both until the queue passes
 *  sync     asynchronous     alloc none     threads one at a time per queue
 *  errors   EINVAL null with bytes > 0; EDEVICE      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_copy(stoa_queue *queue, void *dst, const void *src, size_t bytes, stoa_error *err);

/** Copy `height` rows of `width_bytes`, the rows `dst_pitch_bytes` and `src_pitch_bytes` apart.
 *  shape 2-d, non-overlapping   owns, sync, alloc, threads as stoa_queue_copy   errors EINVAL null, or a pitch below the width; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_copy_2d(stoa_queue *queue, void *dst, size_t dst_pitch_bytes, const void *src,
                                                        size_t src_pitch_bytes, size_t width_bytes, size_t height, stoa_error *err);

/** Set `bytes` bytes to `value`.
 *  owns, sync, alloc, threads as stoa_queue_copy   errors EINVAL; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_fill(stoa_queue *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err);

/** Make an event; it starts as done.
 *  owns caller destroys; may be destroyed while recorded or waited for   threads any   errors ENOMEM; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_event_create(stoa_device *device, stoa_event **event, stoa_error *err);
/** Destroy an event; NULL is a no-op. Waiters enqueued before still see it.
 *  owns takes `event`   threads none may use it   errors none   since 0.1 */
STOA_API void stoa_event_destroy(stoa_event *event);

/** Mark this point of the queue. Recording again moves the event: who waits already waits for the earlier point.
 *  owns nothing   sync none   alloc none   threads one at a time per queue and event   errors EPLACE other device; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_event_record(stoa_event *event, stoa_queue *queue, stoa_error *err);
/** Whether the point last recorded has passed.
 *  owns nothing   sync none   threads any   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_event_is_done(const stoa_event *event, bool *done, stoa_error *err);
/** Block the caller until the point last recorded has passed.
 *  owns nothing   sync blocks   threads any   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_event_wait(const stoa_event *event, stoa_error *err);
/** Let the queue wait for the point last recorded; the host goes on (a blocking host queue waits in the caller's thread: it is the queue).
 *  owns nothing   sync none   alloc none   threads one at a time per queue   errors EPLACE event of another back end; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_queue_wait_event(stoa_queue *queue, const stoa_event *event, stoa_error *err);

STOA_END_DECLS
#endif
