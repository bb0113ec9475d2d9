/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime's C interface as far as it is used here: the runtime and its benchmark need no header of it to build.
 *
 * OrtApi is a table of functions that only ever grows at its end, frozen version by version, so functions are addressed by their number.
 * Numbers are from the order in onnxruntime_c_api.h. */
#ifndef ORT_API_H
#define ORT_API_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ORT_API_VERSION_NEEDED 11u /* holds every function of ORT_API_MAP */
#define ORT_GPU_API_VERSION_NEEDED 18u /* holds those of ORT_GPU_API_MAP, and has the providers' options that are set here */

typedef struct ort_status ort_status; /* NULL: success */
typedef struct ort_env ort_env;
typedef struct ort_options ort_options;
typedef struct ort_run_options ort_run_options;
typedef struct ort_provider_options ort_provider_options; /* OrtCUDAProviderOptionsV2 or OrtTensorRTProviderOptionsV2 */
typedef struct ort_session ort_session;
typedef struct ort_value ort_value;
typedef struct ort_type_info ort_type_info;
typedef struct ort_tensor_info ort_tensor_info; /* a view into a type info */
typedef struct ort_memory_info ort_memory_info;
typedef struct ort_metadata ort_metadata;

typedef struct ort_allocator {
    uint32_t version;
    void *(*alloc)(struct ort_allocator *self, size_t bytes);
    void (*free)(struct ort_allocator *self, void *block);
    const ort_memory_info *(*info)(const struct ort_allocator *self);
} ort_allocator;

typedef void (*ort_log_function)(void *user, int severity, const char *category, const char *id, const char *location, const char *text);

enum { ORT_LOG_WARNING = 2, ORT_SEQUENTIAL = 0, ORT_ALL_OPTIMIZATIONS = 99, ORT_MEMORY_DEFAULT = 0, ORT_TYPE_TENSOR = 1 };
enum { ORT_DEVICE_ALLOCATOR = 0, ORT_ARENA_ALLOCATOR = 1 };
/* OrtErrorCode, those that are told apart. */
enum { ORT_FAIL = 1, ORT_NOT_IMPLEMENTED = 9 };
/* ONNXTensorElementDataType. */
enum {
    ORT_FLOAT = 1,
    ORT_UINT8,
    ORT_INT8,
    ORT_UINT16,
    ORT_INT16,
    ORT_INT32,
    ORT_INT64,
    ORT_STRING,
    ORT_BOOL,
    ORT_FLOAT16,
    ORT_DOUBLE,
    ORT_UINT32,
    ORT_UINT64,
    ORT_COMPLEX64,
    ORT_COMPLEX128,
    ORT_BFLOAT16
};

/* The one list of functions: number, result, name, parameters. */
#define ORT_API_MAP(X) \
    X(1, int, GetErrorCode, (const ort_status *status)) \
    X(2, const char *, GetErrorMessage, (const ort_status *status)) \
    X(4, ort_status *, CreateEnvWithCustomLogger, (ort_log_function log, void *user, int level, const char *id, ort_env **env)) \
    X(7, ort_status *, CreateSession, (const ort_env *env, const char *path, const ort_options *options, ort_session **out)) \
    X(8, ort_status *, CreateSessionFromArray, \
      (const ort_env *env, const void *data, size_t bytes, const ort_options *options, ort_session **out)) \
    X(9, ort_status *, Run, \
      (ort_session * session, const ort_run_options *options, const char *const *input_names, const ort_value *const *inputs, \
       size_t input_count, const char *const *output_names, size_t output_count, ort_value **outputs)) \
    X(10, ort_status *, CreateSessionOptions, (ort_options * *out)) \
    X(13, ort_status *, SetSessionExecutionMode, (ort_options * options, int mode)) \
    X(17, ort_status *, DisableMemPattern, (ort_options * options)) \
    X(19, ort_status *, DisableCpuMemArena, (ort_options * options)) \
    X(23, ort_status *, SetSessionGraphOptimizationLevel, (ort_options * options, int level)) \
    X(24, ort_status *, SetIntraOpNumThreads, (ort_options * options, int threads)) \
    X(25, ort_status *, SetInterOpNumThreads, (ort_options * options, int threads)) \
    X(30, ort_status *, SessionGetInputCount, (const ort_session *session, size_t *count)) \
    X(31, ort_status *, SessionGetOutputCount, (const ort_session *session, size_t *count)) \
    X(33, ort_status *, SessionGetInputTypeInfo, (const ort_session *session, size_t index, ort_type_info **out)) \
    X(34, ort_status *, SessionGetOutputTypeInfo, (const ort_session *session, size_t index, ort_type_info **out)) \
    X(36, ort_status *, SessionGetInputName, (const ort_session *session, size_t index, ort_allocator *from, char **out)) \
    X(37, ort_status *, SessionGetOutputName, (const ort_session *session, size_t index, ort_allocator *from, char **out)) \
    X(39, ort_status *, CreateRunOptions, (ort_run_options * *out)) \
    X(49, ort_status *, CreateTensorWithDataAsOrtValue, \
      (const ort_memory_info *info, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, ort_value **out)) \
    X(55, ort_status *, CastTypeInfoToTensorInfo, (const ort_type_info *info, const ort_tensor_info **out)) \
    X(56, ort_status *, GetOnnxTypeFromTypeInfo, (const ort_type_info *info, int *type)) \
    X(60, ort_status *, GetTensorElementType, (const ort_tensor_info *info, int *type)) \
    X(61, ort_status *, GetDimensionsCount, (const ort_tensor_info *info, size_t *count)) \
    X(62, ort_status *, GetDimensions, (const ort_tensor_info *info, int64_t *sizes, size_t count)) \
    X(63, ort_status *, GetSymbolicDimensions, (const ort_tensor_info *info, const char **names, size_t count)) \
    X(68, ort_status *, CreateMemoryInfo, (const char *name, int allocator, int device, int kind, ort_memory_info **out)) \
    X(69, ort_status *, CreateCpuMemoryInfo, (int allocator, int kind, ort_memory_info **out)) \
    X(92, void, ReleaseEnv, (ort_env * env)) \
    X(93, void, ReleaseStatus, (ort_status * status)) \
    X(94, void, ReleaseMemoryInfo, (ort_memory_info * info)) \
    X(95, void, ReleaseSession, (ort_session * session)) \
    X(96, void, ReleaseValue, (ort_value * value)) \
    X(97, void, ReleaseRunOptions, (ort_run_options * options)) \
    X(98, void, ReleaseTypeInfo, (ort_type_info * info)) \
    X(100, void, ReleaseSessionOptions, (ort_options * options)) \
    X(111, ort_status *, SessionGetModelMetadata, (const ort_session *session, ort_metadata **out)) \
    X(116, ort_status *, ModelMetadataLookupCustomMetadataMap, \
      (const ort_metadata *metadata, ort_allocator *from, const char *key, char **value)) \
    X(118, void, ReleaseModelMetadata, (ort_metadata * metadata)) \
    X(125, ort_status *, GetAvailableProviders, (char ***names, int *count)) \
    X(126, ort_status *, ReleaseAvailableProviders, (char **names, int count)) \
    X(130, ort_status *, AddSessionConfigEntry, (ort_options * options, const char *key, const char *value)) \
    X(165, ort_status *, AddRunConfigEntry, (ort_run_options * options, const char *key, const char *value)) \
    X(176, ort_status *, RegisterAllocator, (ort_env * env, ort_allocator * allocator))

/* Those of the providers for NVIDIA's devices: NULL where the library is older. */
#define ORT_GPU_API_MAP(X) \
    X(170, ort_status *, SessionOptionsAppendExecutionProvider_TensorRT_V2, (ort_options * options, const ort_provider_options *provider)) \
    X(171, ort_status *, CreateTensorRTProviderOptions, (ort_provider_options * *out)) \
    X(172, ort_status *, UpdateTensorRTProviderOptions, \
      (ort_provider_options * provider, const char *const *keys, const char *const *values, size_t count)) \
    X(174, void, ReleaseTensorRTProviderOptions, (ort_provider_options * provider)) \
    X(204, ort_status *, SessionOptionsAppendExecutionProvider_CUDA_V2, (ort_options * options, const ort_provider_options *provider)) \
    X(205, ort_status *, CreateCUDAProviderOptions, (ort_provider_options * *out)) \
    X(206, ort_status *, UpdateCUDAProviderOptions, \
      (ort_provider_options * provider, const char *const *keys, const char *const *values, size_t count)) \
    X(208, void, ReleaseCUDAProviderOptions, (ort_provider_options * provider)) \
    X(261, ort_status *, UpdateTensorRTProviderOptionsWithValue, (ort_provider_options * provider, const char *key, void *value)) \
    X(263, ort_status *, UpdateCUDAProviderOptionsWithValue, (ort_provider_options * provider, const char *key, void *value))

typedef struct ort_api {
    unsigned long version; /* of the library: the 32 of 1.32.0 */
#define ORT_MEMBER_(number, result, name, parameters) result(*name) parameters;
    ORT_API_MAP(ORT_MEMBER_)
    ORT_GPU_API_MAP(ORT_MEMBER_)
#undef ORT_MEMBER_
} ort_api;

/** Fill the table, which is zero, from a loaded library; false when it has no interface of the needed version. `version` is the library's
 *  own text. */
static inline bool ort_api_of(void *library, ort_api *api, const char **version)
{
    typedef void (*function)(void);
    typedef struct base {
        const function *(*get_api)(uint32_t version);
        const char *(*get_version)(void);
    } base;
    const base *(*get_base)(void) = NULL;
    void *symbol = dlsym(library, "OrtGetApiBase");
    *version = "none";
    memcpy(&get_base, &symbol, sizeof get_base); /* ISO C has no cast from object to function pointer */
    if (!get_base) return false;
    *version = get_base()->get_version();
    const function *table = get_base()->get_api(ORT_API_VERSION_NEEDED);
    if (!table) return false;
#define ORT_FILL_(number, result, name, parameters) memcpy(&api->name, &table[number], sizeof api->name);
    ORT_API_MAP(ORT_FILL_)
    const char *point = strchr(*version, '.');
    api->version = point ? strtoul(point + 1, NULL, 10) : 0;
    if (api->version < ORT_GPU_API_VERSION_NEEDED) return true;
    ORT_GPU_API_MAP(ORT_FILL_)
#undef ORT_FILL_
    return true;
}

#endif
