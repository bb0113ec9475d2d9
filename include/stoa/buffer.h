/* SPDX-License-Identifier: Apache-2.0 */
/** Buffers: reference-counted blocks of device or pinned memory from the device's caching allocator.
 *
 *  A buffer made on a queue is released *in the order of that queue*: work enqueued before the last release still owns
 *  the memory, and a later buffer of the same queue may reuse it without any wait.
 *
 *      stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &buffer, &err);
 *      stoa_queue_launch(queue, &kernel, &args, &err);        // args point into the buffer
 *      stoa_buffer_release(buffer);                           // at once: the queue keeps the memory until it passes
 */
#ifndef STOA_BUFFER_H
#define STOA_BUFFER_H

#include "stoa/queue.h"

STOA_BEGIN_DECLS

typedef struct stoa_buffer stoa_buffer;

/** Every buffer is aligned to this, whatever its size. */
#define STOA_BUFFER_ALIGN_BYTES 256

/** Take a block for use on `queue`; `bytes` 0 gives a valid buffer without memory. Device memory is the queue's from here on, pinned
 *  memory the host's at once.
 *
 *  owns     caller releases; the device must outlive it       alloc from the caching allocator
 *  sync     none     threads any: the allocator has a lock of its own
 *  errors   ENOMEM; ELIMIT the device's limit_bytes, naming both values; EDEVICE       since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_buffer_create(stoa_queue *queue, stoa_memory_kind kind, size_t bytes, stoa_buffer **buffer,
                                                        stoa_error *err);

/** One more owner.   owns returns `buffer`   threads any   errors none   since 0.1 */
STOA_API stoa_buffer *stoa_buffer_retain(stoa_buffer *buffer);
/** One owner less; the last one gives the memory back in the order of the queue it was made on. NULL is a no-op.
 *  owns takes one reference   sync none   threads as that queue   errors none   since 0.1 */
STOA_API void stoa_buffer_release(stoa_buffer *buffer);

/** Give the memory back in the order of another queue, which used it last.
 *  owns nothing   sync none   alloc none   threads one at a time   errors EPLACE queue of another device   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_buffer_set_queue(stoa_buffer *buffer, stoa_queue *queue, stoa_error *err);

/** Address; NULL when `bytes` is 0.   owns borrowed until the last release   threads any   errors none   since 0.1 */
STOA_API void *stoa_buffer_data(const stoa_buffer *buffer);
/** Size asked for.   owns nothing   threads any   errors none   since 0.1 */
STOA_API size_t stoa_buffer_bytes(const stoa_buffer *buffer);
/** Where it lies.   owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_place stoa_buffer_place(const stoa_buffer *buffer);

STOA_END_DECLS
#endif
