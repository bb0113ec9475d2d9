/* SPDX-License-Identifier: Apache-2.0 */
/* HIP's runtime in the words of the plugin, as cuda_api.h is CUDA's driver. Its functions, types and numbers are declared here, so that
 * the plugin is built where there is no ROCm; with STOA_HIP_HEADER they are ROCm's own, and the compiler compares them with these
 * (tests/checks/check_hip_header.sh). */
#ifndef STOAI_HIP_API_H
#define STOAI_HIP_API_H

#include <stddef.h>

#define GPU_NAME "hip"
#define GPU_PLACE STOA_PLACE_ROCM
#define GPU_DRIVER_DEF "hip.def"
#define GPU_LIBRARIES "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"

#define HIP_CONSTANT_MAP(X) \
    X(hipSuccess, 0) \
    X(hipErrorOutOfMemory, 2) \
    X(hipErrorInvalidContext, 201) \
    X(hipErrorNotReady, 600) \
    X(hipErrorStreamCaptureUnsupported, 900) \
    X(hipErrorStreamCaptureWrongThread, 908) \
    X(hipStreamCaptureModeRelaxed, 2) \
    X(hipHostMallocPortable, 1) \
    X(hipStreamNonBlocking, 1) \
    X(hipEventDisableTiming, 2) \
    X(hipMemcpyDefault, 4) \
    X(hipDeviceAttributeComputeCapabilityMajor, 23) \
    X(hipDeviceAttributeComputeCapabilityMinor, 61) \
    X(hipDeviceAttributeMultiprocessorCount, 63) \
    X(hipDeviceAttributeMaxSharedMemoryPerBlock, 74) \
    X(hipDeviceAttributeWarpSize, 87) \
    X(hipDeviceAttributeMemoryPoolsSupported, 88) \
    X(HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1) \
    X(hipStreamCaptureStatusNone, 0) \
    X(hipMemAllocationTypePinned, 1) \
    X(hipMemLocationTypeDevice, 1) \
    X(hipMemPoolAttrReleaseThreshold, 4) \
    X(hipMemPoolAttrReservedMemCurrent, 5)

#if defined(STOA_HIP_HEADER)
#include <hip/hip_runtime_api.h>
#define HIP_CONSTANT(name, value) _Static_assert((int)(name) == (value), #name);
HIP_CONSTANT_MAP(HIP_CONSTANT)
_Static_assert(sizeof(hipError_t) == sizeof(int) && sizeof(hipMemcpyKind) == sizeof(int), "enums are passed as int");
_Static_assert(sizeof(hipDeviceAttribute_t) == sizeof(int) && sizeof(hipStreamCaptureMode) == sizeof(int), "enums are passed as int");
_Static_assert(sizeof(hipFunction_attribute) == sizeof(int) && sizeof(hipMemPoolAttr) == sizeof(int), "enums are passed as int");
_Static_assert(sizeof(hipStreamCaptureStatus) == sizeof(int), "enums are passed as int");
_Static_assert(sizeof(hipMemPoolProps) == 88 && offsetof(hipMemPoolProps, location) == 8, "as declared where there is no header");
#else
typedef int hipError_t, hipMemcpyKind, hipDeviceAttribute_t, hipStreamCaptureMode, hipFunction_attribute;
typedef int hipStreamCaptureStatus, hipMemPoolAttr;
typedef struct hipMemPoolProps {
    int allocType, handleTypes;
    struct {
        int type, id;
    } location;
    void *win32SecurityAttributes;
    unsigned char reserved[64];
} hipMemPoolProps;
enum {
#define HIP_CONSTANT(name, value) name = (value),
    HIP_CONSTANT_MAP(HIP_CONSTANT)
};
#endif
#undef HIP_CONSTANT

/* Where the header is there too, these must be the same once more. */
typedef int hipDevice_t;
typedef void *hipDeviceptr_t;
typedef struct ihipStream_t *hipStream_t;
typedef struct ihipEvent_t *hipEvent_t;
typedef struct ihipModule_t *hipModule_t;
typedef struct ihipModuleSymbol_t *hipFunction_t;
typedef struct ihipMemPoolHandle_t *hipMemPool_t;
typedef void (*hipHostFn_t)(void *user);

hipError_t hipInit(unsigned flags);
const char *hipGetErrorName(hipError_t error);
const char *hipGetErrorString(hipError_t error);
hipError_t hipGetLastError(void);
hipError_t hipGetDeviceCount(int *count);
hipError_t hipDeviceGet(hipDevice_t *device, int ordinal);
hipError_t hipDeviceGetName(char *name, int bytes, hipDevice_t device);
hipError_t hipDeviceGetAttribute(int *value, hipDeviceAttribute_t attribute, int device);
hipError_t hipGetDevice(int *device);
hipError_t hipSetDevice(int device);
hipError_t hipDeviceSynchronize(void);
hipError_t hipThreadExchangeStreamCaptureMode(hipStreamCaptureMode *mode);
hipError_t hipModuleLoadData(hipModule_t *module, const void *image);
hipError_t hipModuleUnload(hipModule_t module);
hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *symbol);
hipError_t hipFuncGetAttribute(int *value, hipFunction_attribute attribute, hipFunction_t function);
hipError_t hipMemGetInfo(size_t *free_bytes, size_t *total_bytes);
hipError_t hipMalloc(void **pointer, size_t bytes);
hipError_t hipFree(void *pointer);
hipError_t hipHostMalloc(void **pointer, size_t bytes, unsigned flags);
hipError_t hipHostFree(void *pointer);
hipError_t hipStreamCreateWithFlags(hipStream_t *stream, unsigned flags);
hipError_t hipStreamDestroy(hipStream_t stream);
hipError_t hipStreamGetDevice(hipStream_t stream, hipDevice_t *device);
hipError_t hipStreamSynchronize(hipStream_t stream);
hipError_t hipStreamQuery(hipStream_t stream);
hipError_t hipStreamIsCapturing(hipStream_t stream, hipStreamCaptureStatus *status);
hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned flags);
hipError_t hipMemcpyAsync(void *dst, const void *src, size_t bytes, hipMemcpyKind kind, hipStream_t stream);
hipError_t hipMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width, size_t height, hipMemcpyKind kind,
                            hipStream_t stream);
hipError_t hipMemsetD8Async(hipDeviceptr_t dst, unsigned char value, size_t count, hipStream_t stream);
hipError_t hipModuleLaunchKernel(hipFunction_t function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x,
                                 unsigned threads_y, unsigned threads_z, unsigned shared_bytes, hipStream_t stream, void **parameters,
                                 void **extra);
hipError_t hipLaunchHostFunc(hipStream_t stream, hipHostFn_t task, void *user);
hipError_t hipEventCreateWithFlags(hipEvent_t *event, unsigned flags);
hipError_t hipEventDestroy(hipEvent_t event);
hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream);
hipError_t hipEventQuery(hipEvent_t event);
hipError_t hipEventSynchronize(hipEvent_t event);
hipError_t hipMemPoolCreate(hipMemPool_t *pool, const hipMemPoolProps *props);
hipError_t hipMemPoolDestroy(hipMemPool_t pool);
hipError_t hipMemPoolSetAttribute(hipMemPool_t pool, hipMemPoolAttr attribute, void *value);
hipError_t hipMemPoolGetAttribute(hipMemPool_t pool, hipMemPoolAttr attribute, void *value);
hipError_t hipMemPoolTrimTo(hipMemPool_t pool, size_t keep_bytes);
hipError_t hipMallocFromPoolAsync(void **pointer, size_t bytes, hipMemPool_t pool, hipStream_t stream);
hipError_t hipFreeAsync(void *pointer, hipStream_t stream);

typedef hipError_t gpu_result;
typedef hipDeviceptr_t gpu_address;
typedef hipModule_t gpu_module;
typedef hipFunction_t gpu_function;
typedef hipStream_t gpu_stream;
typedef hipEvent_t gpu_event;
typedef hipStreamCaptureMode gpu_capture_mode;
typedef hipDeviceAttribute_t gpu_attribute;
typedef hipStreamCaptureStatus gpu_capture_status;
typedef hipMemPool_t gpu_pool;
typedef hipMemPoolProps gpu_pool_props;

/** What an opened device holds: its number. Its context is the process's and ends with it. */
typedef struct gpu_claim {
    hipDevice_t device;
} gpu_claim;

#define GPU_SUCCESS hipSuccess
#define GPU_NOT_READY hipErrorNotReady
#define GPU_OUT_OF_MEMORY hipErrorOutOfMemory
#define GPU_INVALID_CONTEXT hipErrorInvalidContext
#define GPU_CAPTURE_FIRST hipErrorStreamCaptureUnsupported
#define GPU_CAPTURE_LAST hipErrorStreamCaptureWrongThread

#define GPU_CAPTURE_RELAXED hipStreamCaptureModeRelaxed
#define GPU_NOT_CAPTURED hipStreamCaptureStatusNone
#define GPU_PINNED_PORTABLE hipHostMallocPortable
#define GPU_STREAM_NON_BLOCKING hipStreamNonBlocking
#define GPU_EVENT_UNTIMED hipEventDisableTiming
#define GPU_WAIT_DEFAULT 0

#define GPU_UNITS hipDeviceAttributeMultiprocessorCount
#define GPU_WARP_THREADS hipDeviceAttributeWarpSize
#define GPU_MAJOR hipDeviceAttributeComputeCapabilityMajor
#define GPU_MINOR hipDeviceAttributeComputeCapabilityMinor
#define GPU_BLOCK_BYTES hipDeviceAttributeMaxSharedMemoryPerBlock
#define GPU_FUNCTION_BYTES HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES

#define GPU_POOLS hipDeviceAttributeMemoryPoolsSupported
#define GPU_POOLS_NAME "hipDeviceAttributeMemoryPoolsSupported"
#define GPU_POOLS_SINCE "ROCm 5.2 or later"
#define GPU_POOL_PINNED hipMemAllocationTypePinned
#define GPU_POOL_ON_DEVICE hipMemLocationTypeDevice
#define GPU_POOL_KEEPS hipMemPoolAttrReleaseThreshold
#define GPU_POOL_HAS hipMemPoolAttrReservedMemCurrent

#endif
