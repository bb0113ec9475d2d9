/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA's driver in the words of the plugin: types, constants, and where its functions are found. */
#ifndef STOAI_CUDA_API_H
#define STOAI_CUDA_API_H

#include <cuda.h>

#define GPU_NAME "cuda"
#define GPU_PLACE STOA_PLACE_CUDA
#define GPU_DRIVER_DEF "cuda.def"
#define GPU_LIBRARIES "libcuda.so.1"

typedef CUresult gpu_result;
typedef CUdeviceptr gpu_address;
typedef CUmodule gpu_module;
typedef CUfunction gpu_function;
typedef CUstream gpu_stream;
typedef CUevent gpu_event;
typedef CUstreamCaptureMode gpu_capture_mode;
typedef CUdevice_attribute gpu_attribute;
typedef CUstreamCaptureStatus gpu_capture_status;
typedef CUmemoryPool gpu_pool;
typedef CUmemPoolProps gpu_pool_props;

/** What an opened device holds: its primary context, which CUDA's runtime and PyTorch use too. */
typedef struct gpu_claim {
    CUdevice device;
    CUcontext context;
} gpu_claim;

#define GPU_SUCCESS CUDA_SUCCESS
#define GPU_NOT_READY CUDA_ERROR_NOT_READY
#define GPU_OUT_OF_MEMORY CUDA_ERROR_OUT_OF_MEMORY
#define GPU_INVALID_CONTEXT CUDA_ERROR_INVALID_CONTEXT
#define GPU_CAPTURE_FIRST CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
#define GPU_CAPTURE_LAST CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD

#define GPU_CAPTURE_RELAXED CU_STREAM_CAPTURE_MODE_RELAXED
#define GPU_NOT_CAPTURED CU_STREAM_CAPTURE_STATUS_NONE
#define GPU_PINNED_PORTABLE CU_MEMHOSTALLOC_PORTABLE
#define GPU_STREAM_NON_BLOCKING CU_STREAM_NON_BLOCKING
#define GPU_EVENT_UNTIMED CU_EVENT_DISABLE_TIMING
#define GPU_WAIT_DEFAULT CU_EVENT_WAIT_DEFAULT

#define GPU_UNITS CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
#define GPU_WARP_THREADS CU_DEVICE_ATTRIBUTE_WARP_SIZE
#define GPU_MAJOR CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
#define GPU_MINOR CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
#define GPU_BLOCK_BYTES CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
#define GPU_FUNCTION_BYTES CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES

#define GPU_POOLS CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
#define GPU_POOLS_NAME "CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED"
#define GPU_POOLS_SINCE "CUDA 11.2 or later"
#define GPU_POOL_PINNED CU_MEM_ALLOCATION_TYPE_PINNED
#define GPU_POOL_ON_DEVICE CU_MEM_LOCATION_TYPE_DEVICE
#define GPU_POOL_KEEPS CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
#define GPU_POOL_HAS CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT

#endif
