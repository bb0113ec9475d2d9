/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the host back end share. */
#ifndef STOAI_HOST_HOST_H
#define STOAI_HOST_HOST_H

#include "stoa/backend.h"
#include "timeline.h"

/** Queues alive at once on one opened host device; an async one is a thread. */
#define STOAI_HOST_QUEUES_MAX 4096u

/** An opened host device. */
typedef struct stoai_host {
    pthread_mutex_t lock; /* over the table and the stack, not over the queues themselves */
    uint32_t timeline_count, free_count;
    stoai_timeline *timelines[STOAI_HOST_QUEUES_MAX];
    uint32_t free[STOAI_HOST_QUEUES_MAX]; /* indices of timelines without a queue */
} stoai_host;

stoa_status stoai_host_timeline_take(stoai_host *host, stoai_timeline **timeline, stoa_error *err);
void stoai_host_timeline_return(stoai_host *host, stoai_timeline *timeline);

/* The slots of the vtable that live in host_queue.c. */
stoa_status stoai_host_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err);
stoa_status stoai_host_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err);
void stoai_host_queue_destroy(void *queue);
void *stoai_host_queue_native(void *queue);
stoa_status stoai_host_queue_wait(void *queue, stoa_error *err);
stoa_status stoai_host_queue_is_idle(void *queue, bool *idle, stoa_error *err);
stoa_status stoai_host_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err);
stoa_status stoai_host_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err);
stoa_status stoai_host_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                     size_t width_bytes, size_t height, stoa_error *err);
stoa_status stoai_host_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err);
stoa_status stoai_host_event_create(void *ctx, void **event, stoa_error *err);
void stoai_host_event_destroy(void *event);
stoa_status stoai_host_event_record(void *event, void *queue, stoa_error *err);
stoa_status stoai_host_event_is_done(void *event, bool *done, stoa_error *err);
stoa_status stoai_host_event_wait(void *event, stoa_error *err);
stoa_status stoai_host_queue_wait_event(void *queue, void *event, stoa_error *err);

/* And in host_describe.c. */
stoa_status stoai_host_device_describe(void *ctx, stoa_device_info *info, stoa_error *err);

#endif
