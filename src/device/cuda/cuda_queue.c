/* SPDX-License-Identifier: Apache-2.0 */
/* Queues are streams, events are events. What enqueues is one driver call that a capture takes too; only what is asked to wait waits. */
#include "cuda_device.h"

#include "stoa/memory.h"

typedef struct cuda_queue {
    stoai_cuda_device *device;
    CUstream stream;
    bool owned;    /* not wrapped: destroyed with the queue */
    bool blocking; /* every enqueue waits until it is done */
} cuda_queue;

typedef struct cuda_event {
    stoai_cuda_device *device;
    CUevent event;
} cuda_event;

static stoa_status make_queue(stoai_cuda_device *device, cuda_queue **queue, stoa_error *err)
{
    *queue = stoa_calloc(1, sizeof **queue);
    if (!*queue) return STOA_FAIL(err, STOA_ENOMEM, "CUDA queue: %zu bytes wanted, none left", sizeof **queue);
    (*queue)->device = device;
    return STOA_OK;
}

stoa_status stoai_cuda_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err)
{
    cuda_queue *self;
    STOA_TRY(make_queue(ctx, &self, err));
    self->owned = true;
    self->blocking = kind == STOA_QUEUE_BLOCKING;
    const stoa_status status = CUDA_CALL(err, self->device, CUDA_RELAXED, cuStreamCreate, &self->stream, CU_STREAM_NON_BLOCKING);
    if (status == STOA_OK) *queue = self;
    else stoa_free(self, sizeof *self);
    return status;
}

/* NULL is the default stream. */
stoa_status stoai_cuda_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err)
{
    stoai_cuda_device *device = ctx;
    CUcontext context = NULL;
    STOA_TRY(CUDA_CALL(err, device, CUDA_RELAXED, cuStreamGetCtx, native, &context));
    if (context != device->context)
        return STOA_FAIL(err, STOA_EPLACE, "stream %p is of context %p, the primary one of 'cuda:%u' is %p", native, (void *)context,
                         (unsigned)device->ordinal, (void *)device->context);
    cuda_queue *self;
    STOA_TRY(make_queue(device, &self, err));
    self->stream = native;
    *queue = self;
    return STOA_OK;
}

void stoai_cuda_queue_destroy(void *queue)
{
    cuda_queue *self = queue;
    if (self->owned) (void)CUDA_RESULT(self->device, CUDA_RELAXED, cuStreamDestroy_v2, self->stream);
    stoa_free(self, sizeof *self);
}

void *stoai_cuda_queue_native(void *queue) { return ((cuda_queue *)queue)->stream; }

stoa_status stoai_cuda_queue_wait(void *queue, stoa_error *err)
{
    const cuda_queue *self = queue;
    return CUDA_CALL(err, self->device, CUDA_RELAXED, cuStreamSynchronize, self->stream);
}

/* "Not ready" is an answer, not an error. */
static stoa_status answer(CUresult result, const char *call, bool *done, stoa_error *err)
{
    *done = result == CUDA_SUCCESS;
    return result == CUDA_ERROR_NOT_READY ? STOA_OK : stoai_cuda_check(err, STOA_HERE, call, result);
}

stoa_status stoai_cuda_queue_is_idle(void *queue, bool *idle, stoa_error *err)
{
    const cuda_queue *self = queue;
    return answer(CUDA_RESULT(self->device, CUDA_RELAXED, cuStreamQuery, self->stream), "cuStreamQuery", idle, err);
}

static stoa_status finish(cuda_queue *self, stoa_status status, stoa_error *err)
{ return status == STOA_OK && self->blocking ? stoai_cuda_queue_wait(self, err) : status; }

stoa_status stoai_cuda_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err)
{
    cuda_queue *self = queue;
    return finish(self, CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuLaunchHostFunc, self->stream, task, user), err);
}

/* The driver copies the arguments, whose size it knows from the compiled kernel. */
stoa_status stoai_cuda_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err)
{
    cuda_queue *self = queue;
    const stoai_cuda_kernel *compiled = stoai_cuda_kernel_find(self->device, kernel->name);
    if (!compiled)
        return STOA_FAIL(err, STOA_ENOTSUP,
                         "kernel '%s' is in none of the %u images that device 'cuda:%u' loaded when it was opened; those of a "
                         "library are registered before (stoa_kernel_image_register)",
                         kernel->name, (unsigned)self->device->module_count, (unsigned)self->device->ordinal);
    void *parameters[] = {(void *)(uintptr_t)args};
    const unsigned blocks = kernel->blocks_max && kernel->blocks_max < compiled->blocks ? kernel->blocks_max : compiled->blocks;
    return finish(self,
                  CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuLaunchKernel, compiled->function, blocks, 1, 1, compiled->threads, 1, 1,
                            kernel->shared_bytes, self->stream, parameters, NULL),
                  err);
}

/* Addresses are unified: the driver sees from them which way a copy goes, between devices too. */
stoa_status stoai_cuda_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                     size_t width_bytes, size_t height, stoa_error *err)
{
    cuda_queue *self = queue;
    const CUdeviceptr to = (CUdeviceptr)(uintptr_t)dst, from = (CUdeviceptr)(uintptr_t)src;
    if (height == 1 || (dst_pitch_bytes == width_bytes && src_pitch_bytes == width_bytes))
        return finish(self, CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuMemcpyAsync, to, from, width_bytes * height, self->stream), err);
    const CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_UNIFIED,
        .srcDevice = from,
        .srcPitch = src_pitch_bytes,
        .dstMemoryType = CU_MEMORYTYPE_UNIFIED,
        .dstDevice = to,
        .dstPitch = dst_pitch_bytes,
        .WidthInBytes = width_bytes,
        .Height = height,
    };
    return finish(self, CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuMemcpy2DAsync_v2, &copy, self->stream), err);
}

stoa_status stoai_cuda_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err)
{
    cuda_queue *self = queue;
    const CUdeviceptr to = (CUdeviceptr)(uintptr_t)dst;
    return finish(self, CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuMemsetD8Async, to, value, bytes, self->stream), err);
}

stoa_status stoai_cuda_event_create(void *ctx, void **event, stoa_error *err)
{
    cuda_event *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "CUDA event: %zu bytes wanted, none left", sizeof *self);
    self->device = ctx;
    const stoa_status status = CUDA_CALL(err, self->device, CUDA_RELAXED, cuEventCreate, &self->event, CU_EVENT_DISABLE_TIMING);
    if (status == STOA_OK) *event = self;
    else stoa_free(self, sizeof *self);
    return status;
}

void stoai_cuda_event_destroy(void *event)
{
    cuda_event *self = event;
    (void)CUDA_RESULT(self->device, CUDA_RELAXED, cuEventDestroy_v2, self->event);
    stoa_free(self, sizeof *self);
}

stoa_status stoai_cuda_event_record(void *event, void *queue, stoa_error *err)
{
    cuda_queue *on = queue;
    return finish(on, CUDA_CALL(err, on->device, CUDA_ENQUEUE, cuEventRecord, ((cuda_event *)event)->event, on->stream), err);
}

stoa_status stoai_cuda_event_is_done(void *event, bool *done, stoa_error *err)
{
    const cuda_event *self = event;
    return answer(CUDA_RESULT(self->device, CUDA_RELAXED, cuEventQuery, self->event), "cuEventQuery", done, err);
}

stoa_status stoai_cuda_event_wait(void *event, stoa_error *err)
{
    const cuda_event *self = event;
    return CUDA_CALL(err, self->device, CUDA_RELAXED, cuEventSynchronize, self->event);
}

stoa_status stoai_cuda_queue_wait_event(void *queue, void *event, stoa_error *err)
{
    cuda_queue *self = queue;
    const CUevent other = ((cuda_event *)event)->event;
    return finish(self, CUDA_CALL(err, self->device, CUDA_ENQUEUE, cuStreamWaitEvent, self->stream, other, CU_EVENT_WAIT_DEFAULT), err);
}
