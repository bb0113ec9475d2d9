/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcuda.so.1"

stoai_cuda_driver stoai_cuda;

/* What happened at the one attempt: the driver is process-wide, and so is its absence. */
static struct {
    pthread_once_t once;
    bool found;
    int32_t native;
    char reason[256];
} loaded = {.once = PTHREAD_ONCE_INIT};

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
#define DRIVER(symbol) {#symbol, offsetof(stoai_cuda_driver, symbol)},
#include "driver.def"
#undef DRIVER
};

static const char *text_of(CUresult (*get)(CUresult, const char **), CUresult result)
{
    const char *text = NULL;
    return get && get(result, &text) == CUDA_SUCCESS && text ? text : "unknown error";
}

static bool find_symbols(void *library)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            snprintf(loaded.reason, sizeof loaded.reason, "%s has no %s: the driver is too old", LIBRARY, symbols[i].name);
            return false;
        }
        memcpy((char *)&stoai_cuda + symbols[i].offset, &symbol, sizeof symbol);
    }
    return true;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* never closed: the driver has threads */
    if (!library) {
        snprintf(loaded.reason, sizeof loaded.reason, "no driver: %s", dlerror());
        return;
    }
    if (!find_symbols(library)) return;
    const CUresult result = stoai_cuda.cuInit(0);
    loaded.found = result == CUDA_SUCCESS;
    loaded.native = (int32_t)result;
    if (!loaded.found)
        snprintf(loaded.reason, sizeof loaded.reason, "cuInit: %s (%d): %s", text_of(stoai_cuda.cuGetErrorName, result), (int)result,
                 text_of(stoai_cuda.cuGetErrorString, result));
}

stoa_status stoai_cuda_load(stoa_error *err)
{
    pthread_once(&loaded.once, load);
    if (loaded.found) return STOA_OK;
    return stoa_error_set(err, STOA_ENOTSUP, loaded.native, STOA_HERE, "back end 'cuda': %s", loaded.reason);
}

static stoa_status status_of(CUresult result)
{
    if (result == CUDA_ERROR_OUT_OF_MEMORY) return STOA_ENOMEM;
    if (result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED && result <= CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD) return STOA_ESTATE;
    return STOA_EDEVICE;
}

stoa_status stoai_cuda_check(stoa_error *err, const char *where, const char *call, CUresult result)
{
    if (result == CUDA_SUCCESS) return STOA_OK;
    return stoa_error_set(err, status_of(result), (int32_t)result, where, "%s: %s (%d): %s", call,
                          text_of(stoai_cuda.cuGetErrorName, result), (int)result, text_of(stoai_cuda.cuGetErrorString, result));
}
