/* SPDX-License-Identifier: Apache-2.0 */
/* The library of the onnxruntime package: found, loaded once, given one environment without threads, output or memory of its own. */
#include <pthread.h>
#include <stdio.h>

#include "runtime/onnxruntime/ort.h"

static void *allocate(ort_allocator *self, size_t bytes)
{
    (void)self;
    return stoai_ort_block(bytes);
}

static void deallocate(ort_allocator *self, void *block)
{
    (void)self;
    stoai_ort_unblock(block);
}

static void *allocate_on_device(ort_allocator *self, size_t bytes)
{
    (void)self;
    return stoai_ort_device_block(bytes);
}

static void deallocate_on_device(ort_allocator *self, void *block)
{
    (void)self;
    stoai_ort_device_unblock(block);
}

static const ort_memory_info *allocator_info(const ort_allocator *self)
{ return ((const ort_place *)(const void *)self)->memory; } /* the allocator is the place's first member */

/* Every failure comes back as a status; what is only logged is of no use to the caller. */
static void be_silent(void *user, int severity, const char *category, const char *id, const char *location, const char *text)
{ (void)user, (void)severity, (void)category, (void)id, (void)location, (void)text; }

stoa_status stoai_ort_check(const ort_library *library, ort_status *status, stoa_status otherwise, const char *what, stoa_error *err)
{
    const bool no_memory = stoai_ort_memory_refused();
    if (!status) return STOA_OK;
    const char *text = library->api.GetErrorMessage(status);
    const int code = library->api.GetErrorCode(status);
    const stoa_status result = no_memory                 ? STOA_ENOMEM
                               : strstr(text, " ; GPU=") ? STOA_EDEVICE /* in all its messages of a failed call of CUDA, cuBLAS or cuDNN */
                               : code == ORT_NOT_IMPLEMENTED ? STOA_ENOTSUP
                                                             : otherwise;
    (void)stoa_error_set(err, result, code, STOA_HERE, "%s: ONNX Runtime: %.*s", what, (int)strcspn(text, "\n"), text);
    library->api.ReleaseStatus(status);
    return result;
}

/* The execution providers that the library was built with, as text. */
static ort_status *list_providers(ort_library *library)
{
    char **names;
    int count;
    size_t used = 0;
    ort_status *status = library->api.GetAvailableProviders(&names, &count);
    if (status) return status;
    for (int i = 0; i < count && used < sizeof library->providers; i++)
        used += (size_t)snprintf(library->providers + used, sizeof library->providers - used, "%s%s", i ? ", " : "", names[i]);
    return library->api.ReleaseAvailableProviders(names, count);
}

stoa_status stoai_ort_need_provider(const ort_library *library, const ort_provider *provider, stoa_error *err)
{
    const bool has_it = strstr(library->providers, provider->name) != NULL;
    if (has_it && library->api.version < ORT_GPU_API_VERSION_NEEDED)
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime '%s': ONNX Runtime %s at %s given, 1.%u is needed on devices", provider->runtime,
                         library->version, library->path, ORT_GPU_API_VERSION_NEEDED);
    if (has_it) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "runtime '%s': ONNX Runtime %s at %s has no %s; it has %s", provider->runtime, library->version,
                     library->path, provider->name, library->providers);
}

static stoa_status make_environment(ort_library *library, stoa_error *err)
{
    const ort_api *api = &library->api;
    library->host.allocator = (ort_allocator){ORT_API_VERSION_NEEDED, allocate, deallocate, allocator_info};
    ort_status *status = api->CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &library->host.memory);
    if (!status && !library->env) status = api->CreateEnvWithCustomLogger(be_silent, NULL, ORT_LOG_WARNING, "stoa", &library->env);
    if (!status) status = api->RegisterAllocator(library->env, &library->host.allocator);
    if (!status) status = list_providers(library);
    return stoai_ort_check(library, status, STOA_ENOTSUP, library->path, err);
}

static stoa_status open_library(ort_library *library, stoa_error *err)
{
    const char *version;
    STOA_TRY(
        stoai_package_find_library("STOA_ONNXRUNTIME", "onnxruntime/capi/libonnxruntime.so*", library->path, sizeof library->path, err));
    void *handle = dlopen(library->path, RTLD_NOW | RTLD_LOCAL); /* never closed: its code would be gone from under other threads */
    if (!handle) return STOA_FAIL(err, STOA_ENOTSUP, "ONNX Runtime: %s", dlerror());
    if (!ort_api_of(handle, &library->api, &version))
        return STOA_FAIL(err, STOA_ENOTSUP, "ONNX Runtime: %s has version %s, interface %u of version 1.%u is needed", library->path,
                         version, ORT_API_VERSION_NEEDED, ORT_API_VERSION_NEEDED);
    snprintf(library->version, sizeof library->version, "%s", version);
    return make_environment(library, err);
}

static ort_library the_library;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

stoa_status stoai_ort_library(const ort_library **library, stoa_error *err)
{
    static bool is_open;
    pthread_mutex_lock(&lock);
    const stoa_status status = is_open ? STOA_OK : open_library(&the_library, err);
    is_open = status == STOA_OK;
    pthread_mutex_unlock(&lock);
    *library = &the_library;
    return status;
}

/* Sessions take allocators from the environment. The providers' own option for that excludes streams of the caller's. */
static ort_status *register_device(ort_place *place, int32_t ordinal)
{
    const ort_api *api = &the_library.api;
    place->allocator = (ort_allocator){ORT_API_VERSION_NEEDED, allocate_on_device, deallocate_on_device, allocator_info};
    ort_status *status = api->CreateMemoryInfo("Cuda", ORT_DEVICE_ALLOCATOR, ordinal, ORT_MEMORY_DEFAULT, &place->memory);
    if (!status) status = api->RegisterAllocator(the_library.env, &place->allocator);
    if (!status) return NULL;
    if (place->memory) api->ReleaseMemoryInfo(place->memory);
    place->memory = NULL;
    return status;
}

stoa_status stoai_ort_device_memory(int32_t ordinal, const ort_memory_info **memory, stoa_error *err)
{
    if (ordinal >= ORT_DEVICES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "ONNX Runtime: device %d, at most %d can be had", (int)ordinal, ORT_DEVICES_MAX);
    ort_place *place = &the_library.devices[ordinal];
    pthread_mutex_lock(&lock);
    ort_status *failed = place->memory ? NULL : register_device(place, ordinal);
    pthread_mutex_unlock(&lock);
    *memory = place->memory;
    return stoai_ort_check(&the_library, failed, STOA_ENOTSUP, "memory of a device", err);
}
