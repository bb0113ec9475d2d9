/* SPDX-License-Identifier: Apache-2.0 */
/* Queues are streams, events are events. What enqueues is one driver call that a capture takes too; only what is asked to wait waits. */
#include "gpu_device.h"

#include "stoa/memory.h"

typedef struct queue_object {
    stoai_gpu_device *device;
    gpu_stream stream;
    bool owned;    /* not wrapped: destroyed with the queue */
    bool blocking; /* every enqueue waits until it is done */
} queue_object;

typedef struct event_object {
    stoai_gpu_device *device;
    gpu_event event;
} event_object;

static stoa_status make_queue(stoai_gpu_device *device, queue_object **queue, stoa_error *err)
{
    *queue = stoa_calloc(1, sizeof **queue);
    if (!*queue) return STOA_FAIL(err, STOA_ENOMEM, "queue of '" GPU_NAME "': %zu bytes wanted, none left", sizeof **queue);
    (*queue)->device = device;
    return STOA_OK;
}

stoa_status stoai_gpu_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err)
{
    queue_object *self;
    STOA_TRY(make_queue(ctx, &self, err));
    self->owned = true;
    self->blocking = kind == STOA_QUEUE_BLOCKING;
    const stoa_status status = GPU_CALL(err, self->device, GPU_RELAXED, stream_create, &self->stream, GPU_STREAM_NON_BLOCKING);
    if (status == STOA_OK) *queue = self;
    else stoa_free(self, sizeof *self);
    return status;
}

/* NULL is the default stream. */
stoa_status stoai_gpu_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err)
{
    stoai_gpu_device *device = ctx;
    bool same = true;
    STOA_TRY(stoai_gpu_stream_is_of(device, native, &same, err));
    if (!same) return STOA_FAIL(err, STOA_EPLACE, "stream %p is not of device '" GPU_NAME ":%u'", native, (unsigned)device->ordinal);
    queue_object *self;
    STOA_TRY(make_queue(device, &self, err));
    self->stream = native;
    *queue = self;
    return STOA_OK;
}

void stoai_gpu_queue_destroy(void *queue)
{
    queue_object *self = queue;
    if (self->owned) (void)GPU_RESULT(self->device, GPU_RELAXED, stream_destroy, self->stream);
    stoa_free(self, sizeof *self);
}

void *stoai_gpu_queue_native(void *queue) { return ((queue_object *)queue)->stream; }

stoa_status stoai_gpu_queue_wait(void *queue, stoa_error *err)
{
    const queue_object *self = queue;
    return GPU_CALL(err, self->device, GPU_RELAXED, stream_wait, self->stream);
}

/* "Not ready" is an answer, not an error. */
static stoa_status answer(gpu_result result, enum stoai_gpu_slot slot, bool *done, stoa_error *err)
{
    *done = result == GPU_SUCCESS;
    return result == GPU_NOT_READY ? STOA_OK : stoai_gpu_check(err, STOA_HERE, slot, result);
}

stoa_status stoai_gpu_queue_is_idle(void *queue, bool *idle, stoa_error *err)
{
    const queue_object *self = queue;
    return answer(GPU_RESULT(self->device, GPU_RELAXED, stream_query, self->stream), GPU_SLOT_stream_query, idle, err);
}

stoa_status stoai_gpu_queue_is_captured(void *queue, bool *captured, stoa_error *err)
{
    const queue_object *self = queue;
    gpu_capture_status status = GPU_NOT_CAPTURED;
    STOA_TRY(GPU_CALL(err, self->device, GPU_RELAXED, stream_captured, self->stream, &status));
    *captured = status != GPU_NOT_CAPTURED; /* also one that failed and was not ended */
    return STOA_OK;
}

/* The next work on the stream has the memory; what uses it elsewhere is ordered behind that by the caller, as everything is. */
stoa_status stoai_gpu_pool_alloc(void *pool, void *queue, size_t bytes, void **out, stoa_error *err)
{
    const queue_object *self = queue;
    gpu_address address = 0;
    STOA_TRY(GPU_CALL(err, self->device, GPU_RELAXED, pool_alloc, &address, bytes, pool, self->stream));
    *out = (void *)(uintptr_t)address;
    return STOA_OK;
}

stoa_status stoai_gpu_pool_free(void *queue, void *pointer, stoa_error *err)
{
    const queue_object *self = queue;
    return GPU_CALL(err, self->device, GPU_RELAXED, pool_free, (gpu_address)(uintptr_t)pointer, self->stream);
}

static stoa_status finish(queue_object *self, stoa_status status, stoa_error *err)
{ return status == STOA_OK && self->blocking ? stoai_gpu_queue_wait(self, err) : status; }

stoa_status stoai_gpu_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err)
{
    queue_object *self = queue;
    return finish(self, GPU_CALL(err, self->device, GPU_ENQUEUE, host_task, self->stream, task, user), err);
}

/* The driver copies the arguments, whose size it knows from the compiled kernel. */
stoa_status stoai_gpu_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err)
{
    queue_object *self = queue;
    const stoai_gpu_kernel *compiled = stoai_gpu_kernel_find(self->device, kernel->name);
    if (!compiled)
        return STOA_FAIL(err, STOA_ENOTSUP,
                         "kernel '%s' is in none of the %u images that device '" GPU_NAME
                         ":%u' loaded when it was opened%s; those of a library are registered before (stoa_kernel_image_register)",
                         kernel->name, (unsigned)self->device->module_count, (unsigned)self->device->ordinal,
                         stoai_gpu_own_image_count ? "" : ", as back end '" GPU_NAME "' was built without any");
    if (kernel->shared_bytes > compiled->shared_bytes_max)
        return STOA_FAIL(err, STOA_ENOTSUP, "kernel '%s': %u bytes of memory for a block, device '" GPU_NAME ":%u' has %u for this kernel",
                         kernel->name, (unsigned)kernel->shared_bytes, (unsigned)self->device->ordinal,
                         (unsigned)compiled->shared_bytes_max);
    void *parameters[] = {(void *)(uintptr_t)args};
    const unsigned blocks = kernel->blocks_max && kernel->blocks_max < compiled->blocks ? kernel->blocks_max : compiled->blocks;
    return finish(self,
                  GPU_CALL(err, self->device, GPU_ENQUEUE, launch, compiled->function, blocks, 1, 1, compiled->threads, 1, 1,
                           kernel->shared_bytes, self->stream, parameters, NULL),
                  err);
}

stoa_status stoai_gpu_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                    size_t width_bytes, size_t height, stoa_error *err)
{
    queue_object *self = queue;
    if (height == 1 || (dst_pitch_bytes == width_bytes && src_pitch_bytes == width_bytes))
        return finish(self, GPU_DO(err, self->device, GPU_ENQUEUE, copy, stoai_gpu_copy(dst, src, width_bytes * height, self->stream)),
                      err);
    return finish(self,
                  GPU_DO(err, self->device, GPU_ENQUEUE, copy_2d,
                         stoai_gpu_copy_2d(dst, dst_pitch_bytes, src, src_pitch_bytes, width_bytes, height, self->stream)),
                  err);
}

stoa_status stoai_gpu_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err)
{
    queue_object *self = queue;
    const gpu_address to = (gpu_address)(uintptr_t)dst;
    return finish(self, GPU_CALL(err, self->device, GPU_ENQUEUE, fill, to, value, bytes, self->stream), err);
}

stoa_status stoai_gpu_event_create(void *ctx, void **event, stoa_error *err)
{
    event_object *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "event of '" GPU_NAME "': %zu bytes wanted, none left", sizeof *self);
    self->device = ctx;
    const stoa_status status = GPU_CALL(err, self->device, GPU_RELAXED, event_create, &self->event, GPU_EVENT_UNTIMED);
    if (status == STOA_OK) *event = self;
    else stoa_free(self, sizeof *self);
    return status;
}

void stoai_gpu_event_destroy(void *event)
{
    event_object *self = event;
    (void)GPU_RESULT(self->device, GPU_RELAXED, event_destroy, self->event);
    stoa_free(self, sizeof *self);
}

stoa_status stoai_gpu_event_record(void *event, void *queue, stoa_error *err)
{
    queue_object *on = queue;
    return finish(on, GPU_CALL(err, on->device, GPU_ENQUEUE, event_record, ((event_object *)event)->event, on->stream), err);
}

stoa_status stoai_gpu_event_is_done(void *event, bool *done, stoa_error *err)
{
    const event_object *self = event;
    return answer(GPU_RESULT(self->device, GPU_RELAXED, event_query, self->event), GPU_SLOT_event_query, done, err);
}

stoa_status stoai_gpu_event_wait(void *event, stoa_error *err)
{
    const event_object *self = event;
    return GPU_CALL(err, self->device, GPU_RELAXED, event_wait, self->event);
}

stoa_status stoai_gpu_queue_wait_event(void *queue, void *event, stoa_error *err)
{
    queue_object *self = queue;
    const gpu_event other = ((event_object *)event)->event;
    return finish(self, GPU_CALL(err, self->device, GPU_ENQUEUE, stream_wait_event, self->stream, other, GPU_WAIT_DEFAULT), err);
}
