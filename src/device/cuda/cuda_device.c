/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA back end: a plugin. Devices, memory, and the table. */
#include "cuda_device.h"

#include <stdio.h>

#include "plugin/plugin_host.h"

/* Calls do not nest, so a thread has one mode to give back. */
static _Thread_local CUstreamCaptureMode callers_mode;

bool stoai_cuda_enter(const stoai_cuda_device *device, stoai_cuda_mode mode)
{
    if (stoai_cuda.cuCtxPushCurrent_v2(device->context) != CUDA_SUCCESS) return false;
    callers_mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    if (mode == CUDA_RELAXED) (void)stoai_cuda.cuThreadExchangeStreamCaptureMode(&callers_mode);
    return true;
}

CUresult stoai_cuda_leave(stoai_cuda_mode mode, CUresult result)
{
    CUcontext popped;
    if (mode == CUDA_RELAXED) (void)stoai_cuda.cuThreadExchangeStreamCaptureMode(&callers_mode);
    (void)stoai_cuda.cuCtxPopCurrent_v2(&popped);
    return result;
}

static stoa_status device_count(uint32_t *count, stoa_error *err)
{
    STOA_TRY(stoai_cuda_load(err));
    int found = 0;
    STOA_TRY(stoai_cuda_check(err, STOA_HERE, "cuDeviceGetCount", stoai_cuda.cuDeviceGetCount(&found)));
    if (found <= 0) return STOA_FAIL(err, STOA_ENOTSUP, "back end 'cuda': the driver finds no device");
    *count = (uint32_t)found;
    return STOA_OK;
}

static void device_close(void *ctx)
{
    stoai_cuda_device *self = ctx;
    stoai_cuda_kernels_unload(self);
    if (self->context) (void)stoai_cuda.cuDevicePrimaryCtxRelease_v2(self->device);
    stoa_free(self, sizeof *self);
}

static stoa_status open_context(stoai_cuda_device *self, stoa_error *err)
{
    STOA_TRY(stoai_cuda_check(err, STOA_HERE, "cuDeviceGet", stoai_cuda.cuDeviceGet(&self->device, (int)self->ordinal)));
    const CUresult result = stoai_cuda.cuDevicePrimaryCtxRetain(&self->context, self->device);
    if (result != CUDA_SUCCESS) self->context = NULL;
    STOA_TRY(stoai_cuda_check(err, STOA_HERE, "cuDevicePrimaryCtxRetain", result));
    return stoai_cuda_kernels_load(self, err);
}

static stoa_status device_open(uint32_t ordinal, void **ctx, stoa_error *err)
{
    STOA_TRY(stoai_cuda_load(err));
    stoai_cuda_device *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device 'cuda:%u': %zu bytes wanted, none left", (unsigned)ordinal, sizeof *self);
    self->ordinal = ordinal;
    const stoa_status status = open_context(self, err);
    if (status == STOA_OK) *ctx = self;
    else device_close(self);
    return status;
}

static stoa_status read_attribute(const stoai_cuda_device *self, CUdevice_attribute attribute, int *value, stoa_error *err)
{ return CUDA_CALL(err, self, CUDA_RELAXED, cuDeviceGetAttribute, value, attribute, self->device); }

static stoa_status device_describe(void *ctx, stoa_device_info *info, stoa_error *err)
{
    const stoai_cuda_device *self = ctx;
    int units = 0, lanes = 0, major = 0, minor = 0;
    size_t free_bytes = 0, total_bytes = 0;
    STOA_TRY(CUDA_CALL(err, self, CUDA_RELAXED, cuDeviceGetName, info->name, (int)sizeof info->name, self->device));
    STOA_TRY(read_attribute(self, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &units, err));
    STOA_TRY(read_attribute(self, CU_DEVICE_ATTRIBUTE_WARP_SIZE, &lanes, err));
    STOA_TRY(read_attribute(self, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major, err));
    STOA_TRY(read_attribute(self, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &minor, err));
    STOA_TRY(CUDA_CALL(err, self, CUDA_RELAXED, cuMemGetInfo_v2, &free_bytes, &total_bytes));
    snprintf(info->features, sizeof info->features, "sm_%d%d", major, minor);
    info->memory_bytes = total_bytes;
    info->memory_free_bytes = free_bytes;
    info->compute_units = (uint32_t)units;
    info->lane_width = (uint32_t)lanes;
    return STOA_OK;
}

/* Waits for the whole context: streams of the application that share it too. */
static stoa_status device_wait(void *ctx, stoa_error *err)
{ return CUDA_CALL(err, (const stoai_cuda_device *)ctx, CUDA_RELAXED, cuCtxSynchronize); }

static stoa_status memory_alloc(void *ctx, stoa_memory_kind kind, size_t bytes, void **out, stoa_error *err)
{
    const stoai_cuda_device *self = ctx;
    if (kind == STOA_MEMORY_PINNED) return CUDA_CALL(err, self, CUDA_RELAXED, cuMemHostAlloc, out, bytes, CU_MEMHOSTALLOC_PORTABLE);
    CUdeviceptr address = 0;
    STOA_TRY(CUDA_CALL(err, self, CUDA_RELAXED, cuMemAlloc_v2, &address, bytes));
    *out = (void *)(uintptr_t)address;
    return STOA_OK;
}

static void memory_free(void *ctx, stoa_memory_kind kind, void *pointer, size_t bytes)
{
    const stoai_cuda_device *self = ctx;
    (void)bytes;
    if (kind == STOA_MEMORY_PINNED) (void)CUDA_RESULT(self, CUDA_RELAXED, cuMemFreeHost, pointer);
    else (void)CUDA_RESULT(self, CUDA_RELAXED, cuMemFree_v2, (CUdeviceptr)(uintptr_t)pointer);
}

static const stoa_backend_api api = {
    .struct_size = sizeof api,
    .abi = STOA_BACKEND_ABI,
    .name = "cuda",
    .place_type = STOA_PLACE_CUDA,
    .device_count = device_count,
    .device_open = device_open,
    .device_close = device_close,
    .device_describe = device_describe,
    .device_wait = device_wait,
    .memory_alloc = memory_alloc,
    .memory_free = memory_free,
    .queue_create = stoai_cuda_queue_create,
    .queue_wrap = stoai_cuda_queue_wrap,
    .queue_destroy = stoai_cuda_queue_destroy,
    .queue_native = stoai_cuda_queue_native,
    .queue_wait = stoai_cuda_queue_wait,
    .queue_is_idle = stoai_cuda_queue_is_idle,
    .queue_enqueue = stoai_cuda_queue_enqueue,
    .queue_launch = stoai_cuda_queue_launch,
    .queue_copy_2d = stoai_cuda_queue_copy_2d,
    .queue_fill = stoai_cuda_queue_fill,
    .event_create = stoai_cuda_event_create,
    .event_destroy = stoai_cuda_event_destroy,
    .event_record = stoai_cuda_event_record,
    .event_is_done = stoai_cuda_event_is_done,
    .event_wait = stoai_cuda_event_wait,
    .queue_wait_event = stoai_cuda_queue_wait_event,
};

STOAI_BACKEND_ENTRY(api)
