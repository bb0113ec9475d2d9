/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the CUDA back end share. */
#ifndef STOAI_CUDA_DEVICE_H
#define STOAI_CUDA_DEVICE_H

#include "driver.h"
#include "stoa/backend.h"

/** A compiled kernel, found by the part of its symbol that is before the shape. */
typedef struct stoai_cuda_kernel {
    const char *symbol;
    size_t name_length;
    CUfunction function;
    unsigned blocks, threads;
} stoai_cuda_kernel;

/** An opened device. Its context is the primary one, which CUDA's runtime and PyTorch use too. */
typedef struct stoai_cuda_device {
    CUdevice device;
    CUcontext context;
    uint32_t ordinal;
    uint32_t module_count, module_room, kernel_count, kernel_room;
    CUmodule *modules;           /* one for each image */
    stoai_cuda_kernel *kernels;  /* by name */
} stoai_cuda_device;

/** CUDA_ENQUEUE is for calls that a stream under capture takes as well. CUDA_RELAXED is for all others: a capture that some other
 *  thread has begun neither forbids them nor is broken by them. */
typedef enum stoai_cuda_mode { CUDA_ENQUEUE, CUDA_RELAXED } stoai_cuda_mode;

/** Make the device's context current, and give the caller's back. */
bool stoai_cuda_enter(const stoai_cuda_device *device, stoai_cuda_mode mode);
CUresult stoai_cuda_leave(stoai_cuda_mode mode, CUresult result);

/** One driver call in the device's context: its result, or its status with the error filled. */
#define CUDA_RESULT(device, mode, symbol, ...) \
    (stoai_cuda_enter((device), (mode)) ? stoai_cuda_leave((mode), stoai_cuda.symbol(__VA_ARGS__)) : CUDA_ERROR_INVALID_CONTEXT)
#define CUDA_CALL(err, device, mode, symbol, ...) \
    stoai_cuda_check((err), STOA_HERE, #symbol, CUDA_RESULT(device, mode, symbol, __VA_ARGS__))

/** Load all images of this back end: the plugin's own and those that libraries registered. */
stoa_status stoai_cuda_kernels_load(stoai_cuda_device *device, stoa_error *err);
void stoai_cuda_kernels_unload(stoai_cuda_device *device);
/** NULL when no image has it. */
const stoai_cuda_kernel *stoai_cuda_kernel_find(const stoai_cuda_device *device, const char *name);

/* The slots of the table that live in cuda_queue.c. */
stoa_status stoai_cuda_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err);
stoa_status stoai_cuda_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err);
void stoai_cuda_queue_destroy(void *queue);
void *stoai_cuda_queue_native(void *queue);
stoa_status stoai_cuda_queue_wait(void *queue, stoa_error *err);
stoa_status stoai_cuda_queue_is_idle(void *queue, bool *idle, stoa_error *err);
stoa_status stoai_cuda_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err);
stoa_status stoai_cuda_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err);
stoa_status stoai_cuda_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                     size_t width_bytes, size_t height, stoa_error *err);
stoa_status stoai_cuda_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err);
stoa_status stoai_cuda_event_create(void *ctx, void **event, stoa_error *err);
void stoai_cuda_event_destroy(void *event);
stoa_status stoai_cuda_event_record(void *event, void *queue, stoa_error *err);
stoa_status stoai_cuda_event_is_done(void *event, bool *done, stoa_error *err);
stoa_status stoai_cuda_event_wait(void *event, stoa_error *err);
stoa_status stoai_cuda_queue_wait_event(void *queue, void *event, stoa_error *err);

#endif
