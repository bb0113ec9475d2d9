/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"
#include "stoa/memory.h"

stoa_status stoa_buffer_create(stoa_queue *queue, stoa_memory_kind kind, size_t bytes, stoa_buffer **buffer, stoa_error *err)
{
    if (!buffer) return STOA_FAIL(err, STOA_EINVAL, "buffer of %zu bytes: NULL result pointer", bytes);
    *buffer = NULL;
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "buffer of %zu bytes: NULL queue", bytes);
    if (kind != STOA_MEMORY_DEVICE && kind != STOA_MEMORY_PINNED)
        return STOA_FAIL(err, STOA_EINVAL, "buffer of %zu bytes: memory kind %d given, 0 or 1 needed", bytes, (int)kind);
    stoa_buffer *self = NULL;
    stoai_block *block = NULL;
    if (bytes) {
        STOA_TRY(stoai_pool_alloc(queue->device->pool[kind], queue, bytes, &block, err));
        self = &block->buffer;
    } else {
        self = stoa_calloc(1, sizeof *self);
        if (!self) return STOA_FAIL(err, STOA_ENOMEM, "empty buffer: %zu bytes wanted, none left", sizeof *self);
    }
    atomic_init(&self->refs, 1);
    self->device = queue->device;
    self->queue = stoai_queue_retain(queue);
    self->kind = kind;
    self->bytes = bytes;
    self->block = block;
    *buffer = self;
    return STOA_OK;
}

stoa_buffer *stoa_buffer_retain(stoa_buffer *buffer)
{
    atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
    return buffer;
}

void stoa_buffer_release(stoa_buffer *buffer)
{
    /* acq_rel: the last owner sees what the others did with the memory before they let go. */
    if (!buffer || atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_acq_rel) != 1) return;
    stoa_queue *queue = buffer->queue;
    if (buffer->block) stoai_pool_free(buffer->device->pool[buffer->kind], queue, buffer->block);
    else stoa_free(buffer, sizeof *buffer);
    stoai_queue_release(queue);
}

stoa_status stoa_buffer_set_queue(stoa_buffer *buffer, stoa_queue *queue, stoa_error *err)
{
    if (!buffer || !queue) return STOA_FAIL(err, STOA_EINVAL, "buffer's queue: NULL %s", buffer ? "queue" : "buffer");
    if (queue->device != buffer->device)
        return STOA_FAIL(err, STOA_EPLACE, "buffer of device '%s:%u', opened as %p: queue of device '%s:%u', opened as %p",
                         buffer->device->api->name, (unsigned)buffer->device->ordinal, (void *)buffer->device, queue->device->api->name,
                         (unsigned)queue->device->ordinal, (void *)queue->device);
    stoa_queue *old = buffer->queue;
    buffer->queue = stoai_queue_retain(queue);
    stoai_queue_release(old);
    return STOA_OK;
}

void *stoa_buffer_data(const stoa_buffer *buffer) { return buffer->block ? buffer->block->data : NULL; }

size_t stoa_buffer_bytes(const stoa_buffer *buffer) { return buffer->bytes; }

stoa_place stoa_buffer_place(const stoa_buffer *buffer) { return buffer->device->place[buffer->kind]; }
