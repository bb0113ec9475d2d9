/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's own pools of memory, one for each device that was opened with STOA_POOL_DRIVER. Older drivers have none of the
 * functions, and not every device has pools. */
#include "gpu_device.h"

static stoa_status need_pools(const stoai_gpu_device *device, stoa_error *err)
{
    static const enum stoai_gpu_slot slots[] = {GPU_SLOT_pool_create, GPU_SLOT_pool_destroy, GPU_SLOT_pool_set, GPU_SLOT_pool_get,
                                                GPU_SLOT_pool_trim,   GPU_SLOT_pool_alloc,   GPU_SLOT_pool_free};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (!stoai_gpu_has(slots[i]))
            return STOA_FAIL(err, STOA_ENOTSUP, "device '" GPU_NAME ":%u': the driver has no %s, of " GPU_POOLS_SINCE,
                             (unsigned)device->ordinal, stoai_gpu_symbols[slots[i]]);
    int supported = 0;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, device_attribute, &supported, GPU_POOLS, device->claim.device));
    if (supported) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "device '" GPU_NAME ":%u': " GPU_POOLS_NAME " is 0: it has no pools of the driver's",
                     (unsigned)device->ordinal);
}

stoa_status stoai_gpu_pool_create(void *ctx, uint64_t keep_bytes, void **pool, stoa_error *err)
{
    const stoai_gpu_device *device = ctx;
    STOA_TRY(need_pools(device, err));
    const gpu_pool_props props = {.allocType = GPU_POOL_PINNED, .location = {.type = GPU_POOL_ON_DEVICE, .id = device->claim.device}};
    gpu_pool made;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, pool_create, &made, &props));
    const stoa_status status = GPU_CALL(err, device, GPU_RELAXED, pool_set, made, GPU_POOL_KEEPS, &keep_bytes);
    if (status == STOA_OK) *pool = made;
    else stoai_gpu_pool_destroy(ctx, made);
    return status;
}

void stoai_gpu_pool_destroy(void *ctx, void *pool) { (void)GPU_RESULT((const stoai_gpu_device *)ctx, GPU_RELAXED, pool_destroy, pool); }

stoa_status stoai_gpu_pool_trim(void *ctx, void *pool, uint64_t keep_bytes, stoa_error *err)
{
    const size_t bytes = keep_bytes < SIZE_MAX ? (size_t)keep_bytes : SIZE_MAX;
    return GPU_CALL(err, (const stoai_gpu_device *)ctx, GPU_RELAXED, pool_trim, pool, bytes);
}

stoa_status stoai_gpu_pool_bytes(void *ctx, void *pool, uint64_t *bytes, stoa_error *err)
{ return GPU_CALL(err, (const stoai_gpu_device *)ctx, GPU_RELAXED, pool_get, pool, GPU_POOL_HAS, bytes); }
