/* SPDX-License-Identifier: Apache-2.0 */
/* Packages that link libtorch: the library of the torch package is loaded once and stays. Only intermediates are ours. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/aoti/model.h"
#include "runtime/aoti/shim_internal.h"

typedef int32_t (*from_blob_function)(void *data, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type,
                                      int32_t device_type, int32_t device_index, aoti_tensor *result, int32_t layout,
                                      const uint8_t *metadata, int64_t metadata_bytes, void (*deleter)(void *data, void *user), void *user);

/* Set once under the lock, read afterwards. */
static struct {
    pthread_mutex_t lock;
    void *library, *cuda_library;
    uint32_t version; /* major << 8 | minor */
    aoti_host host;
    from_blob_function from_blob;
    int32_t (*empty)(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type, int32_t device_type, int32_t device_index,
                     aoti_tensor *result);
} torch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool find(const char *name, void *slot)
{
    void *address = dlsym(torch.library, name);
    memcpy(slot, &address, sizeof address);
    return address != NULL;
}

static stoa_status open_library(stoa_error *err)
{
    char path[1024];
    uint64_t (*version)(void) = NULL;
    STOA_TRY(stoai_package_find_library("STOA_TORCH", "torch/lib/libtorch_cpu.so", path, sizeof path, err));
    torch.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!torch.library) return STOA_FAIL(err, STOA_ENOTSUP, "libtorch: %s", dlerror());
    if (!find("aoti_torch_abi_version", &version) || !find("aoti_torch_create_tensor_from_blob", &torch.host.from_blob) ||
        !find("aoti_torch_delete_tensor_object", &torch.host.delete_tensor) || !find("aoti_torch_empty_strided", &torch.empty))
        return STOA_FAIL(err, STOA_ENOTSUP, "libtorch: %s has no aoti_torch functions", path);
    find("torch_from_blob", &torch.from_blob); /* since 2.11; without it libtorch allocates */
    find("omp_get_max_threads", &torch.host.threads_get);
    find("omp_set_num_threads", &torch.host.threads_set);
    torch.version = (uint32_t)(version() >> 48);
    return STOA_OK;
}

/* What a package for GPUs needs beside it, and finds by its name once it is loaded. */
static stoa_status open_cuda_library(stoa_error *err)
{
    char path[1024];
    STOA_TRY(stoai_package_find_library("STOA_TORCH", "torch/lib/libtorch_cuda.so", path, sizeof path, err));
    torch.cuda_library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return torch.cuda_library ? STOA_OK : STOA_FAIL(err, STOA_ENOTSUP, "libtorch: %s", dlerror());
}

stoa_status stoai_aoti_libtorch(const char *compiled_by, int32_t device_type, aoti_host *host, stoa_error *err)
{
    unsigned major = 0, minor = 0;
    pthread_mutex_lock(&torch.lock);
    stoa_status status = torch.version ? STOA_OK : open_library(err);
    if (status == STOA_OK && device_type == SHIM_CUDA && !torch.cuda_library) status = open_cuda_library(err);
    *host = torch.host;
    pthread_mutex_unlock(&torch.lock);
    if (status != STOA_OK) return status;
    if (sscanf(compiled_by, "%u.%u", &major, &minor) != 2 || torch.version < (major << 8 | minor) || torch.version >> 8 != major)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled by torch %s, the libtorch here is %u.%u", compiled_by, torch.version >> 8,
                         torch.version & 255);
    return STOA_OK;
}

static void give_back(void *data, void *user) { stoai_shim_unblock(user, data); }

static int32_t empty(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type, int32_t device_type, int32_t device_index,
                     aoti_tensor *result)
{
    shim_context *context = stoai_shim_current();
    const size_t bytes = stoai_shim_extent_bytes(dim, sizes, strides, type);
    if (context && torch.from_blob && device_type == context->device_type && bytes > 0) {
        void *data = stoai_shim_block(context, bytes);
        if (data)
            return torch.from_blob(data, dim, sizes, strides, 0, type, device_type, device_index, result, 0, NULL, 0, give_back, context);
    }
    if (context) context->allocations++;
    return torch.empty(dim, sizes, strides, type, device_type, device_index, result);
}

void *stoai_aoti_libtorch_empty(void)
{
    union {
        void *object;
        int32_t (*function)(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t, aoti_tensor *);
    } address = {.function = empty};
    return address.object;
}
