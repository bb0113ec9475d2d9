/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/package/cuda_context.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* The driver's functions: name in the library, name here, parameters. All return 0 when all is well. */
#define DRIVER_MAP(X) \
    X(cuInit, init, (unsigned flags)) \
    X(cuDeviceGet, device, (int *device, int ordinal)) \
    X(cuDevicePrimaryCtxRetain, retain, (void **context, int device)) \
    X(cuDevicePrimaryCtxRelease_v2, release, (int device)) \
    X(cuCtxPushCurrent_v2, push, (void *context)) \
    X(cuCtxPopCurrent_v2, pop, (void **context))

static struct {
#define SLOT(symbol, name, parameters) int(*name) parameters;
    DRIVER_MAP(SLOT)
#undef SLOT
} driver;
static char why_not[256];

static void load_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        strncpy(why_not, dlerror(), sizeof why_not - 1);
        return;
    }
#define FIND(symbol, name, parameters) \
    { \
        void *address = dlsym(library, #symbol); \
        memcpy(&driver.name, &address, sizeof address); \
        if (!address) strncpy(why_not, "libcuda.so.1 has no " #symbol, sizeof why_not - 1); \
    }
    DRIVER_MAP(FIND)
#undef FIND
}

stoa_status stoai_cuda_context_open(int32_t ordinal, stoai_cuda_context *cuda, stoa_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int device = 0;
    *cuda = (stoai_cuda_context){ordinal, NULL};
    pthread_once(&once, load_driver);
    if (why_not[0]) return STOA_FAIL(err, STOA_ENOTSUP, "runtime on CUDA: %s", why_not);
    int result = driver.init(0);
    if (!result) result = driver.device(&device, ordinal);
    if (!result) result = driver.retain(&cuda->context, device);
    return result ? STOA_FAIL(err, STOA_EDEVICE, "runtime on CUDA: device %d: the driver says %d", (int)ordinal, result) : STOA_OK;
}

void stoai_cuda_context_close(stoai_cuda_context *cuda)
{
    int device;
    if (cuda->context && driver.device(&device, cuda->ordinal) == 0) driver.release(device);
    cuda->context = NULL;
}

void stoai_cuda_context_enter(const stoai_cuda_context *cuda)
{
    if (cuda->context) driver.push(cuda->context);
}

void stoai_cuda_context_leave(const stoai_cuda_context *cuda)
{
    void *popped;
    if (cuda->context) driver.pop(&popped);
}
