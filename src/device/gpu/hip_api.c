/* SPDX-License-Identifier: Apache-2.0 */
/* Where HIP's runtime differs from CUDA's driver by more than names (driver.h, gpu_device.h). It has no contexts but a current device
 * of each thread, and it remembers a thread's last error, which is then not the application's. */
#include <stdio.h>

#include "gpu_device.h"

/* Calls do not nest, so a thread has one device to give back. */
static _Thread_local int callers_device;

#ifdef STOA_HIP_KERNELS
/* Made by the build from src/algo/algo.cu and src/runtime/native/native.cu. */
extern const stoa_kernel_image stoa_hip_algo_image, stoa_hip_native_image;
const stoa_kernel_image *const stoai_gpu_own_images[] = {&stoa_hip_algo_image, &stoa_hip_native_image};
const uint32_t stoai_gpu_own_image_count = 2;
#else
const stoa_kernel_image *const stoai_gpu_own_images[] = {NULL};
const uint32_t stoai_gpu_own_image_count = 0;
#endif

const char *stoai_gpu_error_name(gpu_result result) { return stoai_gpu.error_name(result); }
const char *stoai_gpu_error_text(gpu_result result) { return stoai_gpu.error_text(result); }

gpu_result stoai_gpu_settle(gpu_result result)
{
    if (result != hipSuccess) (void)stoai_gpu.error_forget();
    return result;
}

stoa_status stoai_gpu_claim(gpu_claim *claim, uint32_t ordinal, stoa_error *err)
{ return GPU_CHECKED(err, device_get, stoai_gpu.device_get(&claim->device, (int)ordinal)); }

void stoai_gpu_unclaim(gpu_claim *claim) { (void)claim; }

gpu_result stoai_gpu_make_current(const gpu_claim *claim)
{
    const hipError_t result = stoai_gpu.device_current(&callers_device);
    return result == hipSuccess ? stoai_gpu.device_make_current(claim->device) : result;
}

gpu_result stoai_gpu_give_back(gpu_result result)
{
    (void)stoai_gpu.device_make_current(callers_device);
    return stoai_gpu_settle(result);
}

void stoai_gpu_architecture(int major, int minor, char *text, size_t bytes) { snprintf(text, bytes, "capability %d.%d", major, minor); }

stoa_status stoai_gpu_stream_is_of(const stoai_gpu_device *device, gpu_stream stream, bool *same, stoa_error *err)
{
    hipDevice_t owner = device->claim.device;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, stream_owner, stream, &owner));
    *same = owner == device->claim.device;
    return STOA_OK;
}

/* A block may have all that there is without asking. */
stoa_status stoai_gpu_allow_shared(const stoai_gpu_device *device, gpu_function function, int bytes, stoa_error *err)
{
    (void)device, (void)function, (void)bytes, (void)err;
    return STOA_OK;
}

gpu_result stoai_gpu_copy(void *dst, const void *src, size_t bytes, gpu_stream stream)
{ return stoai_gpu.copy(dst, src, bytes, hipMemcpyDefault, stream); }

gpu_result stoai_gpu_copy_2d(void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes, size_t width_bytes, size_t height,
                             gpu_stream stream)
{ return stoai_gpu.copy_2d(dst, dst_pitch_bytes, src, src_pitch_bytes, width_bytes, height, hipMemcpyDefault, stream); }
