/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU back end of one vendor: a plugin. Devices, memory, and the table. */
#include "gpu_device.h"

#include "plugin/plugin_host.h"

/* Calls do not nest, so a thread has one mode to give back. */
static _Thread_local gpu_capture_mode callers_mode;

bool stoai_gpu_enter(const stoai_gpu_device *device, stoai_gpu_mode mode)
{
    if (stoai_gpu_make_current(&device->claim) != GPU_SUCCESS) return false;
    callers_mode = GPU_CAPTURE_RELAXED;
    if (mode == GPU_RELAXED) (void)stoai_gpu.capture_mode(&callers_mode);
    return true;
}

gpu_result stoai_gpu_leave(stoai_gpu_mode mode, gpu_result result)
{
    if (mode == GPU_RELAXED) (void)stoai_gpu.capture_mode(&callers_mode);
    return stoai_gpu_give_back(result);
}

static stoa_status device_count(uint32_t *count, stoa_error *err)
{
    STOA_TRY(stoai_gpu_load(err));
    int found = 0;
    STOA_TRY(GPU_CHECKED(err, device_count, stoai_gpu.device_count(&found)));
    if (found <= 0) return STOA_FAIL(err, STOA_ENOTSUP, "back end '" GPU_NAME "': the driver finds no device");
    *count = (uint32_t)found;
    return STOA_OK;
}

static void device_close(void *ctx)
{
    stoai_gpu_device *self = ctx;
    stoai_gpu_kernels_unload(self);
    stoai_gpu_unclaim(&self->claim);
    stoa_free(self, sizeof *self);
}

static stoa_status claim(stoai_gpu_device *self, stoa_error *err)
{
    STOA_TRY(stoai_gpu_claim(&self->claim, self->ordinal, err));
    return stoai_gpu_kernels_load(self, err);
}

static stoa_status device_open(uint32_t ordinal, void **ctx, stoa_error *err)
{
    STOA_TRY(stoai_gpu_load(err));
    stoai_gpu_device *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device '" GPU_NAME ":%u': %zu bytes wanted, none left", (unsigned)ordinal, sizeof *self);
    self->ordinal = ordinal;
    const stoa_status status = claim(self, err);
    if (status == STOA_OK) *ctx = self;
    else device_close(self);
    return status;
}

static stoa_status read_attribute(const stoai_gpu_device *self, gpu_attribute attribute, int *value, stoa_error *err)
{ return GPU_CALL(err, self, GPU_RELAXED, device_attribute, value, attribute, self->claim.device); }

static stoa_status device_describe(void *ctx, stoa_device_info *info, stoa_error *err)
{
    const stoai_gpu_device *self = ctx;
    int units = 0, lanes = 0, major = 0, minor = 0;
    size_t free_bytes = 0, total_bytes = 0;
    STOA_TRY(GPU_CALL(err, self, GPU_RELAXED, device_name, info->name, (int)sizeof info->name, self->claim.device));
    STOA_TRY(read_attribute(self, GPU_UNITS, &units, err));
    STOA_TRY(read_attribute(self, GPU_WARP_THREADS, &lanes, err));
    STOA_TRY(read_attribute(self, GPU_MAJOR, &major, err));
    STOA_TRY(read_attribute(self, GPU_MINOR, &minor, err));
    STOA_TRY(GPU_CALL(err, self, GPU_RELAXED, memory_info, &free_bytes, &total_bytes));
    stoai_gpu_architecture(major, minor, info->features, sizeof info->features);
    info->memory_bytes = total_bytes;
    info->memory_free_bytes = free_bytes;
    info->compute_units = (uint32_t)units;
    info->lane_width = (uint32_t)lanes;
    return STOA_OK;
}

/* Waits for the whole device: streams of the application that share it too. */
static stoa_status device_wait(void *ctx, stoa_error *err)
{ return GPU_CALL(err, (const stoai_gpu_device *)ctx, GPU_RELAXED, device_wait); }

static stoa_status memory_alloc(void *ctx, stoa_memory_kind kind, size_t bytes, void **out, stoa_error *err)
{
    const stoai_gpu_device *self = ctx;
    if (kind == STOA_MEMORY_PINNED) return GPU_CALL(err, self, GPU_RELAXED, pinned_alloc, out, bytes, GPU_PINNED_PORTABLE);
    gpu_address address = 0;
    STOA_TRY(GPU_CALL(err, self, GPU_RELAXED, memory_alloc, &address, bytes));
    *out = (void *)(uintptr_t)address;
    return STOA_OK;
}

static void memory_free(void *ctx, stoa_memory_kind kind, void *pointer, size_t bytes)
{
    const stoai_gpu_device *self = ctx;
    (void)bytes;
    if (kind == STOA_MEMORY_PINNED) (void)GPU_RESULT(self, GPU_RELAXED, pinned_free, pointer);
    else (void)GPU_RESULT(self, GPU_RELAXED, memory_free, (gpu_address)(uintptr_t)pointer);
}

static const stoa_backend_api api = {
    .struct_size = sizeof api,
    .abi = STOA_BACKEND_ABI,
    .name = GPU_NAME,
    .place_type = GPU_PLACE,
    .device_count = device_count,
    .device_open = device_open,
    .device_close = device_close,
    .device_describe = device_describe,
    .device_wait = device_wait,
    .memory_alloc = memory_alloc,
    .memory_free = memory_free,
    .queue_create = stoai_gpu_queue_create,
    .queue_wrap = stoai_gpu_queue_wrap,
    .queue_destroy = stoai_gpu_queue_destroy,
    .queue_native = stoai_gpu_queue_native,
    .queue_wait = stoai_gpu_queue_wait,
    .queue_is_idle = stoai_gpu_queue_is_idle,
    .queue_enqueue = stoai_gpu_queue_enqueue,
    .queue_launch = stoai_gpu_queue_launch,
    .queue_copy_2d = stoai_gpu_queue_copy_2d,
    .queue_fill = stoai_gpu_queue_fill,
    .event_create = stoai_gpu_event_create,
    .event_destroy = stoai_gpu_event_destroy,
    .event_record = stoai_gpu_event_record,
    .event_is_done = stoai_gpu_event_is_done,
    .event_wait = stoai_gpu_event_wait,
    .queue_wait_event = stoai_gpu_queue_wait_event,
    .queue_is_captured = stoai_gpu_queue_is_captured,
    .pool_create = stoai_gpu_pool_create,
    .pool_destroy = stoai_gpu_pool_destroy,
    .pool_alloc = stoai_gpu_pool_alloc,
    .pool_free = stoai_gpu_pool_free,
    .pool_trim = stoai_gpu_pool_trim,
    .pool_bytes = stoai_gpu_pool_bytes,
};

STOAI_BACKEND_ENTRY(api)
