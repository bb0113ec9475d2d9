/* SPDX-License-Identifier: Apache-2.0 */
/* What a package compiled for CUDA needs around its calls: the device's primary context on the thread, and the guards that libtorch would
 * serve. Kernels get their stream as an argument, so guards of streams have nothing to do. The driver is looked up by name: without one
 * there is a status. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "runtime/aoti/model.h"
#include "runtime/aoti/shim_internal.h"

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

stoa_status stoai_aoti_cuda_open(int32_t ordinal, aoti_cuda *cuda, stoa_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int device = 0;
    *cuda = (aoti_cuda){ordinal, NULL};
    pthread_once(&once, load_driver);
    if (why_not[0]) return STOA_FAIL(err, STOA_ENOTSUP, "package for CUDA: %s", why_not);
    int result = driver.init(0);
    if (!result) result = driver.device(&device, ordinal);
    if (!result) result = driver.retain(&cuda->context, device);
    return result ? STOA_FAIL(err, STOA_EDEVICE, "package for CUDA: device %d: the driver says %d", (int)ordinal, result) : STOA_OK;
}

void stoai_aoti_cuda_close(aoti_cuda *cuda)
{
    int device;
    if (cuda->context && driver.device(&device, cuda->ordinal) == 0) driver.release(device);
    cuda->context = NULL;
}

void stoai_aoti_cuda_enter(const aoti_cuda *cuda)
{
    if (cuda->context) driver.push(cuda->context);
}

void stoai_aoti_cuda_leave(const aoti_cuda *cuda)
{
    void *popped;
    if (cuda->context) driver.pop(&popped);
}

/* ---- guards ------------------------------------------------------------------------------------------------------------ */

static int32_t create_guard(int32_t device_index, void **guard)
{
    shim_context *context = stoai_shim_current();
    *guard = NULL;
    if (!context || device_index != context->device_index)
        return stoai_shim_fail("a guard of CUDA device %d, the session's is %d", device_index, context ? context->device_index : -1);
    *guard = context;
    return 0;
}

static int32_t create_stream_guard(void *stream, int32_t device_index, void **guard)
{
    (void)stream;
    return create_guard(device_index, guard);
}

static int32_t delete_guard(void *guard) { return (void)guard, 0; }

static int32_t current_stream(int32_t device_index, void **stream)
{
    void *guard;
    *stream = NULL;
    if (create_guard(device_index, &guard)) return 1;
    *stream = stoa_queue_native(stoai_shim_current()->queue);
    return 0;
}

#define SERVE(name, function) {"aoti_torch_" name, (void (*)(void))(function)}
const shim_symbol stoai_shim_guards_of_cuda[] = {
    SERVE("create_cuda_guard", create_guard),
    SERVE("delete_cuda_guard", delete_guard),
    SERVE("create_cuda_stream_guard", create_stream_guard),
    SERVE("delete_cuda_stream_guard", delete_guard),
    SERVE("get_current_cuda_stream", current_stream),
    {NULL, NULL},
};
