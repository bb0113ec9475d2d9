/* SPDX-License-Identifier: Apache-2.0 */
/* The host back end: the processor that the program runs on. Always there, always one device. */
#include "host.h"

#include "../backend.h"
#include "stoa/buffer.h"
#include "stoa/memory.h"

#include <sys/mman.h>

static stoa_status device_count(uint32_t *count, stoa_error *err)
{
    (void)err;
    *count = 1;
    return STOA_OK;
}

static stoa_status device_open(uint32_t ordinal, void **ctx, stoa_error *err)
{
    (void)ordinal;
    stoai_host *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device 'host': %zu bytes wanted, none left", sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    *ctx = self;
    return STOA_OK;
}

static void device_close(void *ctx)
{
    stoai_host *self = ctx;
    for (uint32_t i = 0; i < self->timeline_count; i++) stoai_timeline_destroy(self->timelines[i]);
    pthread_mutex_destroy(&self->lock);
    stoa_free(self, sizeof *self);
}

/* Timelines outlive their queues, so nothing is held while waiting: tasks may make and destroy queues. */
static stoa_status device_wait(void *ctx, stoa_error *err)
{
    (void)err;
    stoai_host *self = ctx;
    pthread_mutex_lock(&self->lock);
    uint32_t count = self->timeline_count;
    pthread_mutex_unlock(&self->lock);
    for (uint32_t i = 0; i < count; i++) stoai_timeline_wait(self->timelines[i], stoai_timeline_end(self->timelines[i]));
    return STOA_OK;
}

/* Columns of an event that has just come are read once, a piece of each at a time: with small pages a page's address is looked up for a
 * few lines of memory. The kernel is asked for large ones where a block holds some; without them all goes on as before. */
static void *alloc_block(size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t large_page_bytes = (size_t)2 << 20;
    if (bytes >= large_page_bytes) {
        void *block = stoa_alloc(bytes, large_page_bytes);
        if (block) (void)madvise(block, bytes - bytes % large_page_bytes, MADV_HUGEPAGE);
        return block;
    }
#endif
    return stoa_alloc(bytes, STOA_BUFFER_ALIGN_BYTES);
}

static stoa_status memory_alloc(void *ctx, stoa_memory_kind kind, size_t bytes, void **out, stoa_error *err)
{
    (void)ctx;
    (void)kind; /* all memory of the host is plain */
    *out = alloc_block(bytes);
    if (!*out) return STOA_FAIL(err, STOA_ENOMEM, "%zu bytes of host memory wanted, not available", bytes);
    return STOA_OK;
}

static void memory_free(void *ctx, stoa_memory_kind kind, void *pointer, size_t bytes)
{
    (void)ctx;
    (void)kind;
    stoa_free(pointer, bytes);
}

/* Under the lock. */
static stoa_status add_timeline(stoai_host *host, stoai_timeline **timeline, stoa_error *err)
{
    if (host->timeline_count == STOAI_HOST_QUEUES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "device 'host': %u queues are alive, at most %u", (unsigned)host->timeline_count,
                         STOAI_HOST_QUEUES_MAX);
    stoai_timeline *self = stoai_timeline_create(host->timeline_count);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "host queue: %zu bytes wanted, none left", sizeof *self);
    host->timelines[host->timeline_count++] = self;
    *timeline = self;
    return STOA_OK;
}

stoa_status stoai_host_timeline_take(stoai_host *host, stoai_timeline **timeline, stoa_error *err)
{
    stoa_status status = STOA_OK;
    *timeline = NULL;
    pthread_mutex_lock(&host->lock);
    if (host->free_count) *timeline = host->timelines[host->free[--host->free_count]];
    else status = add_timeline(host, timeline, err);
    pthread_mutex_unlock(&host->lock);
    return status;
}

void stoai_host_timeline_return(stoai_host *host, stoai_timeline *timeline)
{
    pthread_mutex_lock(&host->lock);
    host->free[host->free_count++] = timeline->index;
    pthread_mutex_unlock(&host->lock);
}

const stoa_backend_api stoai_host_backend = {
    .struct_size = sizeof stoai_host_backend,
    .abi = STOA_BACKEND_ABI,
    .name = "host",
    .place_type = STOA_PLACE_HOST,
    .device_count = device_count,
    .device_open = device_open,
    .device_close = device_close,
    .device_describe = stoai_host_device_describe,
    .device_wait = device_wait,
    .memory_alloc = memory_alloc,
    .memory_free = memory_free,
    .queue_create = stoai_host_queue_create,
    .queue_wrap = stoai_host_queue_wrap,
    .queue_destroy = stoai_host_queue_destroy,
    .queue_native = stoai_host_queue_native,
    .queue_wait = stoai_host_queue_wait,
    .queue_is_idle = stoai_host_queue_is_idle,
    .queue_enqueue = stoai_host_queue_enqueue,
    .queue_launch = stoai_host_queue_launch,
    .queue_copy_2d = stoai_host_queue_copy_2d,
    .queue_fill = stoai_host_queue_fill,
    .event_create = stoai_host_event_create,
    .event_destroy = stoai_host_event_destroy,
    .event_record = stoai_host_event_record,
    .event_is_done = stoai_host_event_is_done,
    .event_wait = stoai_host_event_wait,
    .queue_wait_event = stoai_host_queue_wait_event,
};
