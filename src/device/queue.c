/* SPDX-License-Identifier: Apache-2.0 */
/* Queues and events: what can be wrong is checked here, once; the back end does the work. */
#include "core/struct_size.h"
#include "object.h"
#include "stoa/memory.h"

static stoa_status make_queue(stoa_device *device, stoa_queue_kind kind, stoa_queue **queue, stoa_error *err)
{
    stoa_queue *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "queue: %zu bytes wanted, none left", sizeof *self);
    self->device = device;
    self->kind = kind;
    self->id = atomic_fetch_add_explicit(&device->queue_count, 1, memory_order_relaxed) + 1;
    atomic_init(&self->refs, 1);
    atomic_init(&self->destroyed, false);
    *queue = self;
    return STOA_OK;
}

stoa_status stoa_queue_create(stoa_device *device, stoa_queue_kind kind, stoa_queue **queue, stoa_error *err)
{
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "queue: NULL result pointer");
    *queue = NULL;
    if (!device) return STOA_FAIL(err, STOA_EINVAL, "queue: NULL device");
    if (kind != STOA_QUEUE_BLOCKING && kind != STOA_QUEUE_ASYNC)
        return STOA_FAIL(err, STOA_EINVAL, "queue: kind %d given, 0 or 1 needed", (int)kind);
    stoa_queue *self = NULL;
    STOA_TRY(make_queue(device, kind, &self, err));
    stoa_status status = device->api->queue_create(device->ctx, kind, &self->native, err);
    if (status == STOA_OK) *queue = self;
    else stoai_queue_release(self);
    return status;
}

stoa_status stoa_queue_wrap(stoa_device *device, void *native, stoa_queue **queue, stoa_error *err)
{
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "wrapped queue: NULL result pointer");
    *queue = NULL;
    if (!device) return STOA_FAIL(err, STOA_EINVAL, "wrapped queue: NULL device");
    stoa_queue *self = NULL;
    STOA_TRY(make_queue(device, STOA_QUEUE_ASYNC, &self, err));
    /* A NULL handle is for the back end to judge: it is CUDA's default stream. */
    stoa_status status = device->api->queue_wrap(device->ctx, native, &self->native, err);
    if (status == STOA_OK) *queue = self;
    else stoai_queue_release(self);
    return status;
}

void stoa_queue_destroy(stoa_queue *queue)
{
    if (!queue) return;
    (void)queue->device->api->queue_wait(queue->native, NULL);
    queue->device->api->queue_destroy(queue->native);
    queue->native = NULL;
    atomic_store_explicit(&queue->destroyed, true, memory_order_release);
    stoai_queue_release(queue);
}

stoa_queue *stoai_queue_retain(stoa_queue *queue)
{
    atomic_fetch_add_explicit(&queue->refs, 1, memory_order_relaxed);
    return queue;
}

void stoai_queue_release(stoa_queue *queue)
{
    if (atomic_fetch_sub_explicit(&queue->refs, 1, memory_order_acq_rel) == 1) stoa_free(queue, sizeof *queue);
}

void *stoa_queue_native(const stoa_queue *queue) { return queue->device->api->queue_native(queue->native); }

stoa_device *stoa_queue_device(const stoa_queue *queue) { return queue->device; }

stoa_queue_kind stoa_queue_get_kind(const stoa_queue *queue) { return queue->kind; }

stoa_status stoa_queue_is_captured(const stoa_queue *queue, bool *captured, stoa_error *err)
{
    if (captured) *captured = false;
    if (!queue || !captured) return STOA_FAIL(err, STOA_EINVAL, "queue is captured: NULL %s", queue ? "result pointer" : "queue");
    if (!STOA_HAS(queue->device->api, queue_is_captured)) return STOA_OK;
    return queue->device->api->queue_is_captured(queue->native, captured, err);
}

bool stoai_queue_is_captured(const stoa_queue *queue)
{
    bool captured;
    return stoa_queue_is_captured(queue, &captured, NULL) == STOA_OK && captured;
}

stoa_status stoa_queue_wait(stoa_queue *queue, stoa_error *err)
{
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "queue wait: NULL queue");
    return queue->device->api->queue_wait(queue->native, err);
}

stoa_status stoa_queue_is_idle(stoa_queue *queue, bool *idle, stoa_error *err)
{
    if (idle) *idle = false;
    if (!queue || !idle) return STOA_FAIL(err, STOA_EINVAL, "queue is idle: NULL %s", queue ? "result pointer" : "queue");
    return queue->device->api->queue_is_idle(queue->native, idle, err);
}

stoa_status stoa_queue_enqueue(stoa_queue *queue, stoa_host_task task, void *user, stoa_error *err)
{
    if (!queue || !task) return STOA_FAIL(err, STOA_EINVAL, "enqueue: NULL %s", queue ? "task" : "queue");
    return queue->device->api->queue_enqueue(queue->native, task, user, err);
}

stoa_status stoa_queue_launch(stoa_queue *queue, const stoa_kernel *kernel, const void *args, stoa_error *err)
{
    if (!queue || !kernel) return STOA_FAIL(err, STOA_EINVAL, "launch: NULL %s", queue ? "kernel" : "queue");
    STOA_TRY(STOAI_CHECK_STRUCT(kernel, "kernel", err));
    if (!kernel->name) return STOA_FAIL(err, STOA_EINVAL, "kernel: NULL name");
    if (kernel->args_bytes > STOA_KERNEL_ARGS_MAX_BYTES)
        return STOA_FAIL(err, STOA_EINVAL, "kernel '%s': %u bytes of arguments, at most %d", kernel->name, (unsigned)kernel->args_bytes,
                         STOA_KERNEL_ARGS_MAX_BYTES);
    const uint32_t shared_max = stoa_kernel_shared_max_bytes(stoa_device_place(queue->device));
    if (kernel->shared_bytes > shared_max)
        return STOA_FAIL(err, STOA_EINVAL, "kernel '%s': %u bytes of memory for a block, at most %u", kernel->name,
                         (unsigned)kernel->shared_bytes, (unsigned)shared_max);
    if (kernel->args_bytes && !args)
        return STOA_FAIL(err, STOA_EINVAL, "kernel '%s': NULL arguments, %u bytes needed", kernel->name, (unsigned)kernel->args_bytes);
    return queue->device->api->queue_launch(queue->native, kernel, args, err);
}

stoa_status stoa_queue_copy(stoa_queue *queue, void *dst, const void *src, size_t bytes, stoa_error *err)
{ return stoa_queue_copy_2d(queue, dst, bytes, src, bytes, bytes, 1, err); }

stoa_status stoa_queue_copy_2d(stoa_queue *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                               size_t width_bytes, size_t height, stoa_error *err)
{
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "copy of %zu x %zu bytes: NULL queue", height, width_bytes);
    if (width_bytes == 0 || height == 0) return STOA_OK;
    if (!dst || !src)
        return STOA_FAIL(err, STOA_EINVAL, "copy of %zu x %zu bytes: NULL %s", height, width_bytes, dst ? "source" : "destination");
    if (dst_pitch_bytes < width_bytes || src_pitch_bytes < width_bytes)
        return STOA_FAIL(err, STOA_EINVAL, "copy of rows of %zu bytes: pitch of %zu (destination) and %zu (source)", width_bytes,
                         dst_pitch_bytes, src_pitch_bytes);
    return queue->device->api->queue_copy_2d(queue->native, dst, dst_pitch_bytes, src, src_pitch_bytes, width_bytes, height, err);
}

stoa_status stoa_queue_fill(stoa_queue *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err)
{
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "fill of %zu bytes: NULL queue", bytes);
    if (bytes == 0) return STOA_OK;
    if (!dst) return STOA_FAIL(err, STOA_EINVAL, "fill of %zu bytes: NULL destination", bytes);
    return queue->device->api->queue_fill(queue->native, dst, value, bytes, err);
}

stoa_status stoa_event_create(stoa_device *device, stoa_event **event, stoa_error *err)
{
    if (!event) return STOA_FAIL(err, STOA_EINVAL, "event: NULL result pointer");
    *event = NULL;
    if (!device) return STOA_FAIL(err, STOA_EINVAL, "event: NULL device");
    stoa_event *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "event: %zu bytes wanted, none left", sizeof *self);
    self->device = device;
    stoa_status status = device->api->event_create(device->ctx, &self->native, err);
    if (status == STOA_OK) *event = self;
    else stoa_free(self, sizeof *self);
    return status;
}

void stoa_event_destroy(stoa_event *event)
{
    if (!event) return;
    event->device->api->event_destroy(event->native);
    stoa_free(event, sizeof *event);
}

stoa_status stoa_event_record(stoa_event *event, stoa_queue *queue, stoa_error *err)
{
    if (!event || !queue) return STOA_FAIL(err, STOA_EINVAL, "event record: NULL %s", event ? "queue" : "event");
    if (event->device != queue->device)
        return STOA_FAIL(err, STOA_EPLACE, "event of device '%s:%u', opened as %p: queue of device '%s:%u', opened as %p",
                         event->device->api->name, (unsigned)event->device->ordinal, (void *)event->device, queue->device->api->name,
                         (unsigned)queue->device->ordinal, (void *)queue->device);
    return queue->device->api->event_record(event->native, queue->native, err);
}

stoa_status stoa_event_is_done(const stoa_event *event, bool *done, stoa_error *err)
{
    if (done) *done = false;
    if (!event || !done) return STOA_FAIL(err, STOA_EINVAL, "event is done: NULL %s", event ? "result pointer" : "event");
    return event->device->api->event_is_done(event->native, done, err);
}

stoa_status stoa_event_wait(const stoa_event *event, stoa_error *err)
{
    if (!event) return STOA_FAIL(err, STOA_EINVAL, "event wait: NULL event");
    return event->device->api->event_wait(event->native, err);
}

stoa_status stoa_queue_wait_event(stoa_queue *queue, const stoa_event *event, stoa_error *err)
{
    if (!queue || !event) return STOA_FAIL(err, STOA_EINVAL, "queue waits for event: NULL %s", queue ? "event" : "queue");
    /* Devices of one back end know each other's events; a stream cannot wait for a worker thread's. */
    if (event->device->api != queue->device->api)
        return STOA_FAIL(err, STOA_EPLACE, "queue of back end '%s' cannot wait for an event of back end '%s'", queue->device->api->name,
                         event->device->api->name);
    return queue->device->api->queue_wait_event(queue->native, event->native, err);
}
