/* SPDX-License-Identifier: Apache-2.0 */
/* Where CUDA's driver differs from HIP's runtime by more than names (driver.h, gpu_device.h). */
#include "gpu_device.h"

#include <stdio.h>

#include "stoa/image.h"

/* Made by the build from src/algo/algo.cu and src/runtime/native/native.cu. */
extern const stoa_kernel_image stoa_cuda_algo_image, stoa_cuda_native_image;
const stoa_kernel_image *const stoai_gpu_own_images[] = {&stoa_cuda_algo_image, &stoa_cuda_native_image};
const uint32_t stoai_gpu_own_image_count = sizeof stoai_gpu_own_images / sizeof *stoai_gpu_own_images;

static const char *text_of(CUresult (*get)(CUresult, const char **), CUresult result)
{
    const char *text = NULL;
    return get(result, &text) == CUDA_SUCCESS ? text : NULL;
}

const char *stoai_gpu_error_name(gpu_result result) { return text_of(stoai_gpu.error_name, result); }
const char *stoai_gpu_error_text(gpu_result result) { return text_of(stoai_gpu.error_text, result); }

gpu_result stoai_gpu_settle(gpu_result result) { return result; }

stoa_status stoai_gpu_claim(gpu_claim *claim, uint32_t ordinal, stoa_error *err)
{
    STOA_TRY(GPU_CHECKED(err, device_get, stoai_gpu.device_get(&claim->device, (int)ordinal)));
    const CUresult result = stoai_gpu.context_retain(&claim->context, claim->device);
    if (result != CUDA_SUCCESS) claim->context = NULL;
    return GPU_CHECKED(err, context_retain, result);
}

void stoai_gpu_unclaim(gpu_claim *claim)
{
    if (claim->context) (void)stoai_gpu.context_release(claim->device);
}

gpu_result stoai_gpu_make_current(const gpu_claim *claim) { return stoai_gpu.context_push(claim->context); }

gpu_result stoai_gpu_give_back(gpu_result result)
{
    CUcontext popped;
    (void)stoai_gpu.context_pop(&popped);
    return result;
}

void stoai_gpu_architecture(int major, int minor, char *text, size_t bytes) { snprintf(text, bytes, "sm_%d%d", major, minor); }

stoa_status stoai_gpu_stream_is_of(const stoai_gpu_device *device, gpu_stream stream, bool *same, stoa_error *err)
{
    CUcontext context = NULL;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, stream_owner, stream, &context));
    *same = context == device->claim.context;
    return STOA_OK;
}

stoa_status stoai_gpu_allow_shared(const stoai_gpu_device *device, gpu_function function, int bytes, stoa_error *err)
{ return GPU_CALL(err, device, GPU_RELAXED, function_attribute, function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes); }

/* Addresses are unified: the driver sees from them which way a copy goes, between devices too. */
gpu_result stoai_gpu_copy(void *dst, const void *src, size_t bytes, gpu_stream stream)
{ return stoai_gpu.copy((CUdeviceptr)(uintptr_t)dst, (CUdeviceptr)(uintptr_t)src, bytes, stream); }

gpu_result stoai_gpu_copy_2d(void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes, size_t width_bytes, size_t height,
                             gpu_stream stream)
{
    const CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_UNIFIED,
        .srcDevice = (CUdeviceptr)(uintptr_t)src,
        .srcPitch = src_pitch_bytes,
        .dstMemoryType = CU_MEMORYTYPE_UNIFIED,
        .dstDevice = (CUdeviceptr)(uintptr_t)dst,
        .dstPitch = dst_pitch_bytes,
        .WidthInBytes = width_bytes,
        .Height = height,
    };
    return stoai_gpu.copy_2d(&copy, stream);
}
