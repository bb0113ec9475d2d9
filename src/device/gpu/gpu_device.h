/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a GPU back end share. */
#ifndef STOAI_GPU_DEVICE_H
#define STOAI_GPU_DEVICE_H

#include "driver.h"
#include "stoa/backend.h"

/** A compiled kernel, found by the part of its symbol that is before the shape. */
typedef struct stoai_gpu_kernel {
    const char *symbol;
    size_t name_length;
    gpu_function function;
    unsigned blocks, threads;
    uint32_t shared_bytes_max; /* that a launch may give to a block */
} stoai_gpu_kernel;

/** An opened device. */
typedef struct stoai_gpu_device {
    gpu_claim claim;
    uint32_t ordinal;
    uint32_t module_count, module_room, kernel_count, kernel_room;
    gpu_module *modules;           /* one for each image */
    stoai_gpu_kernel *kernels;  /* by name */
} stoai_gpu_device;

/** GPU_ENQUEUE is for calls that a stream under capture takes as well. GPU_RELAXED is for all others: a capture that some other
 *  thread has begun neither forbids them nor is broken by them. */
typedef enum stoai_gpu_mode { GPU_ENQUEUE, GPU_RELAXED } stoai_gpu_mode;

/** Make the device current, and give the caller's back. */
bool stoai_gpu_enter(const stoai_gpu_device *device, stoai_gpu_mode mode);
gpu_result stoai_gpu_leave(stoai_gpu_mode mode, gpu_result result);

/** One driver call on the device: its result, or its status with the error filled. GPU_DO takes the call as an expression. */
#define GPU_RESULT_OF(device, mode, expression) \
    (stoai_gpu_enter((device), (mode)) ? stoai_gpu_leave((mode), (expression)) : GPU_INVALID_CONTEXT)
#define GPU_RESULT(device, mode, slot, ...) GPU_RESULT_OF(device, mode, stoai_gpu.slot(__VA_ARGS__))
#define GPU_DO(err, device, mode, slot, expression) GPU_CHECKED(err, slot, GPU_RESULT_OF(device, mode, expression))
#define GPU_CALL(err, device, mode, slot, ...) GPU_DO(err, device, mode, slot, stoai_gpu.slot(__VA_ARGS__))

/** Whether a stream that the application made is of this device. Defined for each vendor, as is the next. */
stoa_status stoai_gpu_stream_is_of(const stoai_gpu_device *device, gpu_stream stream, bool *same, stoa_error *err);
/** Let launches of a kernel give this much memory to a block, which with the kernel's own is not more than a block can have. */
stoa_status stoai_gpu_allow_shared(const stoai_gpu_device *device, gpu_function function, int bytes, stoa_error *err);

/** Load all images of this back end: the plugin's own and those that libraries registered. */
stoa_status stoai_gpu_kernels_load(stoai_gpu_device *device, stoa_error *err);
void stoai_gpu_kernels_unload(stoai_gpu_device *device);
/** NULL when no image has it. */
const stoai_gpu_kernel *stoai_gpu_kernel_find(const stoai_gpu_device *device, const char *name);

/* The slots of the table that live in gpu_pool.c and gpu_queue.c. */
stoa_status stoai_gpu_pool_create(void *ctx, uint64_t keep_bytes, void **pool, stoa_error *err);
void stoai_gpu_pool_destroy(void *ctx, void *pool);
stoa_status stoai_gpu_pool_trim(void *ctx, void *pool, uint64_t keep_bytes, stoa_error *err);
stoa_status stoai_gpu_pool_bytes(void *ctx, void *pool, uint64_t *bytes, stoa_error *err);
stoa_status stoai_gpu_pool_alloc(void *pool, void *queue, size_t bytes, void **out, stoa_error *err);
stoa_status stoai_gpu_pool_free(void *queue, void *pointer, stoa_error *err);
stoa_status stoai_gpu_queue_is_captured(void *queue, bool *captured, stoa_error *err);
stoa_status stoai_gpu_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err);
stoa_status stoai_gpu_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err);
void stoai_gpu_queue_destroy(void *queue);
void *stoai_gpu_queue_native(void *queue);
stoa_status stoai_gpu_queue_wait(void *queue, stoa_error *err);
stoa_status stoai_gpu_queue_is_idle(void *queue, bool *idle, stoa_error *err);
stoa_status stoai_gpu_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err);
stoa_status stoai_gpu_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err);
stoa_status stoai_gpu_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                    size_t width_bytes, size_t height, stoa_error *err);
stoa_status stoai_gpu_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err);
stoa_status stoai_gpu_event_create(void *ctx, void **event, stoa_error *err);
void stoai_gpu_event_destroy(void *event);
stoa_status stoai_gpu_event_record(void *event, void *queue, stoa_error *err);
stoa_status stoai_gpu_event_is_done(void *event, bool *done, stoa_error *err);
stoa_status stoai_gpu_event_wait(void *event, stoa_error *err);
stoa_status stoai_gpu_queue_wait_event(void *queue, void *event, stoa_error *err);

#endif
