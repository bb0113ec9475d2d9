/* SPDX-License-Identifier: Apache-2.0 */
/* HIP's runtime for tests: libamdhip64.so.7 with the symbols of src/device/gpu/hip.def, each on top of the fake CUDA driver's function.
 * A device has wavefronts of 64 lanes (FAKE_WARP_THREADS) and 64 KiB for each block; codes are those of CUDA where both have one. */
#include <stdlib.h>
#include <string.h>

#include "device/gpu/hip_api.h"
#include "fake_internal.h"

#define SHARED_BYTES (64 << 10)

_Static_assert((int)hipErrorOutOfMemory == (int)CUDA_ERROR_OUT_OF_MEMORY && (int)hipErrorNotReady == (int)CUDA_ERROR_NOT_READY &&
                   (int)hipErrorStreamCaptureUnsupported == (int)CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               "results are passed on as they are");
_Static_assert((int)hipStreamNonBlocking == (int)CU_STREAM_NON_BLOCKING && (int)hipEventDisableTiming == (int)CU_EVENT_DISABLE_TIMING,
               "flags are passed on as they are");
_Static_assert((int)hipMemPoolAttrReleaseThreshold == (int)CU_MEMPOOL_ATTR_RELEASE_THRESHOLD &&
                   (int)hipMemPoolAttrReservedMemCurrent == (int)CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT &&
                   (int)hipStreamCaptureStatusNone == (int)CU_STREAM_CAPTURE_STATUS_NONE,
               "attributes and answers are passed on as they are");

/* What hipGetLastError tells, as of every failure of the thread so far. */
static _Thread_local hipError_t last;

static hipError_t result_of(CUresult result)
{
    if (result != CUDA_SUCCESS) last = (hipError_t)result;
    return (hipError_t)result;
}

/* Functions with the same arguments by other names. */
#define SAME(name, cuda, parameters, ...) \
    hipError_t name parameters { return result_of(cuda(__VA_ARGS__)); }
#define STREAM (CUstream)(void *) stream
#define EVENT (CUevent)(void *) event
#define POOL (CUmemoryPool)(void *) pool
#define MODULE (CUmodule)(void *) module
#define ADDRESS(pointer) (CUdeviceptr)(uintptr_t)(pointer)

SAME(hipGetDeviceCount, cuDeviceGetCount, (int *count), count)
SAME(hipDeviceGet, cuDeviceGet, (hipDevice_t * device, int ordinal), device, ordinal)
SAME(hipDeviceGetName, cuDeviceGetName, (char *name, int bytes, hipDevice_t device), name, bytes, device)
SAME(hipDeviceSynchronize, cuCtxSynchronize, (void), )
SAME(hipModuleUnload, cuModuleUnload, (hipModule_t module), MODULE)
SAME(hipMemGetInfo, cuMemGetInfo_v2, (size_t *free_bytes, size_t *total_bytes), free_bytes, total_bytes)
SAME(hipMalloc, cuMemAlloc_v2, (void **pointer, size_t bytes), (CUdeviceptr *)(void *)pointer, bytes)
SAME(hipFree, cuMemFree_v2, (void *pointer), ADDRESS(pointer))
SAME(hipHostMalloc, cuMemHostAlloc, (void **pointer, size_t bytes, unsigned flags), pointer, bytes, flags)
SAME(hipHostFree, cuMemFreeHost, (void *pointer), pointer)
SAME(hipStreamCreateWithFlags, cuStreamCreate, (hipStream_t * stream, unsigned flags), (CUstream *)(void *)stream, flags)
SAME(hipStreamDestroy, cuStreamDestroy_v2, (hipStream_t stream), STREAM)
SAME(hipStreamSynchronize, cuStreamSynchronize, (hipStream_t stream), STREAM)
SAME(hipStreamQuery, cuStreamQuery, (hipStream_t stream), STREAM)
SAME(hipStreamWaitEvent, cuStreamWaitEvent, (hipStream_t stream, hipEvent_t event, unsigned flags), STREAM, EVENT, flags)
SAME(hipMemPoolDestroy, cuMemPoolDestroy, (hipMemPool_t pool), POOL)
SAME(hipMemPoolSetAttribute, cuMemPoolSetAttribute, (hipMemPool_t pool, hipMemPoolAttr attribute, void *value), POOL,
     (CUmemPool_attribute)attribute, value)
SAME(hipMemPoolGetAttribute, cuMemPoolGetAttribute, (hipMemPool_t pool, hipMemPoolAttr attribute, void *value), POOL,
     (CUmemPool_attribute)attribute, value)
SAME(hipMemPoolTrimTo, cuMemPoolTrimTo, (hipMemPool_t pool, size_t keep_bytes), POOL, keep_bytes)
SAME(hipMallocFromPoolAsync, cuMemAllocFromPoolAsync, (void **pointer, size_t bytes, hipMemPool_t pool, hipStream_t stream),
     (CUdeviceptr *)(void *)pointer, bytes, POOL, STREAM)
SAME(hipFreeAsync, cuMemFreeAsync, (void *pointer, hipStream_t stream), ADDRESS(pointer), STREAM)
SAME(hipMemsetD8Async, cuMemsetD8Async, (hipDeviceptr_t dst, unsigned char value, size_t count, hipStream_t stream), ADDRESS(dst), value,
     count, STREAM)
SAME(hipModuleLaunchKernel, cuLaunchKernel,
     (hipFunction_t function, unsigned x, unsigned y, unsigned z, unsigned threads_x, unsigned threads_y, unsigned threads_z,
      unsigned shared_bytes, hipStream_t stream, void **parameters, void **extra),
     (CUfunction)(void *)function, x, y, z, threads_x, threads_y, threads_z, shared_bytes, STREAM, parameters, extra)
SAME(hipLaunchHostFunc, cuLaunchHostFunc, (hipStream_t stream, hipHostFn_t task, void *user), STREAM, task, user)
SAME(hipEventCreateWithFlags, cuEventCreate, (hipEvent_t * event, unsigned flags), (CUevent *)(void *)event, flags)
SAME(hipEventDestroy, cuEventDestroy_v2, (hipEvent_t event), EVENT)
SAME(hipEventRecord, cuEventRecord, (hipEvent_t event, hipStream_t stream), EVENT, STREAM)
SAME(hipEventQuery, cuEventQuery, (hipEvent_t event), EVENT)
SAME(hipEventSynchronize, cuEventSynchronize, (hipEvent_t event), EVENT)

/* No device is retained by anybody: each is there from the start. */
hipError_t hipInit(unsigned flags)
{
    const CUresult result = cuInit(flags);
    if (result == CUDA_SUCCESS) fake_contexts_begin();
    return result_of(result);
}

const char *hipGetErrorName(hipError_t error)
{ return error == (int)CUDA_ERROR_NO_DEVICE ? "hipErrorNoDevice" : error == hipErrorOutOfMemory ? "hipErrorOutOfMemory" : "hipErrorFake"; }

const char *hipGetErrorString(hipError_t error)
{
    (void)error;
    return "said by the fake runtime";
}

hipError_t hipGetLastError(void)
{
    const hipError_t told = last;
    last = hipSuccess;
    return told;
}

hipError_t hipGetDevice(int *device)
{
    *device = fake_current() ? fake_current()->ordinal : 0;
    return hipSuccess;
}

hipError_t hipSetDevice(int device) { return result_of(fake_replace_current(device)); }

hipError_t hipDeviceGetAttribute(int *value, hipDeviceAttribute_t attribute, int device)
{
    const CUresult result = cuDeviceGetAttribute(value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    if (attribute == hipDeviceAttributeWarpSize) *value = FAKE_WARP_THREADS;
    if (attribute == hipDeviceAttributeMemoryPoolsSupported) *value = !getenv("FAKE_CUDA_NO_POOLS");
    if (attribute == hipDeviceAttributeMaxSharedMemoryPerBlock) *value = SHARED_BYTES;
    if (attribute == hipDeviceAttributeComputeCapabilityMajor) *value = 9;
    if (attribute == hipDeviceAttributeComputeCapabilityMinor) *value = 0;
    return result_of(result);
}

hipError_t hipThreadExchangeStreamCaptureMode(hipStreamCaptureMode *mode)
{
    CUstreamCaptureMode theirs = (CUstreamCaptureMode)*mode;
    const CUresult result = cuThreadExchangeStreamCaptureMode(&theirs);
    *mode = (hipStreamCaptureMode)theirs;
    return result_of(result);
}

/* A bundle of code objects, as clang makes it, is taken for its beginning. */
hipError_t hipModuleLoadData(hipModule_t *module, const void *image)
{
    static const char bundle[] = "__CLANG_OFFLOAD_BUNDLE__";
    static const uint32_t known = FAKE_IMAGE_MAGIC;
    const void *data = strncmp(image, bundle, sizeof bundle - 1) == 0 ? &known : image;
    return result_of(cuModuleLoadData((CUmodule *)module, data));
}

hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *symbol)
{
    CUfunction found;
    CUresult result = cuModuleGetFunction(&found, MODULE, symbol);
    const int left = result == CUDA_SUCCESS ? SHARED_BYTES - fake_own_bytes((const fake_kernel *)(void *)found) : 0;
    if (result == CUDA_SUCCESS) result = cuFuncSetAttribute(found, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, left);
    if (result == CUDA_SUCCESS) *function = (hipFunction_t)(void *)found;
    return result_of(result);
}

hipError_t hipStreamIsCapturing(hipStream_t stream, hipStreamCaptureStatus *status)
{
    CUstreamCaptureStatus theirs = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUresult result = cuStreamIsCapturing(STREAM, &theirs);
    *status = (hipStreamCaptureStatus)theirs;
    return result_of(result);
}

hipError_t hipMemPoolCreate(hipMemPool_t *pool, const hipMemPoolProps *props)
{
    const CUmemPoolProps theirs = {.allocType = (CUmemAllocationType)props->allocType,
                                   .location = {.type = (CUmemLocationType)props->location.type, .id = props->location.id}};
    return result_of(cuMemPoolCreate((CUmemoryPool *)(void *)pool, &theirs));
}

hipError_t hipFuncGetAttribute(int *value, hipFunction_attribute attribute, hipFunction_t function)
{ return result_of(cuFuncGetAttribute(value, (CUfunction_attribute)attribute, (CUfunction)(void *)function)); }

hipError_t hipStreamGetDevice(hipStream_t stream, hipDevice_t *device)
{
    CUcontext context = NULL;
    const CUresult result = cuStreamGetCtx(STREAM, &context);
    if (result == CUDA_SUCCESS) *device = context->ordinal;
    return result_of(result);
}

/* A direction that is named must be right; the one that is found out always is. */
hipError_t hipMemcpyAsync(void *dst, const void *src, size_t bytes, hipMemcpyKind kind, hipStream_t stream)
{
    if (kind != hipMemcpyDefault) fake_violation("hipMemcpyAsync with direction %d", (int)kind);
    return result_of(cuMemcpyAsync(ADDRESS(dst), ADDRESS(src), bytes, STREAM));
}

hipError_t hipMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width, size_t height, hipMemcpyKind kind,
                            hipStream_t stream)
{
    const CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_UNIFIED,
        .srcDevice = ADDRESS(src),
        .srcPitch = src_pitch,
        .dstMemoryType = CU_MEMORYTYPE_UNIFIED,
        .dstDevice = ADDRESS(dst),
        .dstPitch = dst_pitch,
        .WidthInBytes = width,
        .Height = height,
    };
    if (kind != hipMemcpyDefault) fake_violation("hipMemcpy2DAsync with direction %d", (int)kind);
    return result_of(cuMemcpy2DAsync_v2(&copy, STREAM));
}
