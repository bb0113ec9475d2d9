/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include <dlfcn.h>
#include <stdlib.h>

/* The driver's functions that capture and replay, by the names of cuda.h, whose types are handles and numbers here: the benchmarks
 * are built without it, too. The first three make the device's primary context current for the call, as the queue's own calls do. */
#define GRAPH_DRIVER_MAP(X) \
    X(cuDevicePrimaryCtxRetain, void **context, int device) \
    X(cuDevicePrimaryCtxRelease_v2, int device) \
    X(cuCtxPushCurrent_v2, void *context) \
    X(cuCtxPopCurrent_v2, void **context) \
    X(cuStreamBeginCapture_v2, void *stream, int mode) \
    X(cuStreamEndCapture, void *stream, void **graph) \
    X(cuGraphInstantiateWithFlags, void **exec, void *graph, unsigned long long flags) \
    X(cuGraphLaunch, void *exec, void *stream) \
    X(cuGraphExecDestroy, void *exec) \
    X(cuGraphDestroy, void *graph)

enum { CAPTURE_RELAXED = 2 }; /* CU_STREAM_CAPTURE_MODE_RELAXED */

static struct {
#define POINTER(name, ...) int (*name)(__VA_ARGS__);
    GRAPH_DRIVER_MAP(POINTER)
#undef POINTER
} driver;

struct bench_graph {
    void *stream, *context, *graph, *exec;
    int device;
};

/* Looked up each time: cheap beside a capture, and the library is loaded once. */
static stoa_status find_driver(stoa_error *err)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return STOA_FAIL(err, STOA_ENOTSUP, "graph: %s", dlerror());
#define LOOK_UP(name, ...) \
    *(void **)&driver.name = dlsym(library, #name); \
    if (!driver.name) return STOA_FAIL(err, STOA_ENOTSUP, "graph: the driver has no %s", #name);
    GRAPH_DRIVER_MAP(LOOK_UP)
#undef LOOK_UP
    return STOA_OK;
}

static stoa_status check(int code, const char *call, stoa_error *err)
{ return code == 0 ? STOA_OK : STOA_FAIL(err, STOA_EDEVICE, "%s: CUDA's code %d", call, code); }

/* Between push and pop. The capture is ended whatever happens, or the stream could not be used again. */
static stoa_status capture(bench_graph *self, stoa_status (*enqueue)(void *user, stoa_error *err), void *user, stoa_error *err)
{
    STOA_TRY(check(driver.cuStreamBeginCapture_v2(self->stream, CAPTURE_RELAXED), "cuStreamBeginCapture", err));
    const stoa_status enqueued = enqueue(user, err);
    const int ended = driver.cuStreamEndCapture(self->stream, &self->graph);
    if (enqueued != STOA_OK) return enqueued;
    STOA_TRY(check(ended, "cuStreamEndCapture", err));
    return check(driver.cuGraphInstantiateWithFlags(&self->exec, self->graph, 0), "cuGraphInstantiate", err);
}

stoa_status bench_graph_capture(stoa_queue *queue, stoa_status (*enqueue)(void *user, stoa_error *err), void *user, bench_graph **graph,
                                stoa_error *err)
{
    void *popped;
    const stoa_place place = stoa_device_place(stoa_queue_device(queue));
    *graph = NULL;
    if (place.type != STOA_PLACE_CUDA) return STOA_FAIL(err, STOA_ENOTSUP, "graph: devices of type %d have none", (int)place.type);
    STOA_TRY(find_driver(err));
    bench_graph *self = calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "graph: no memory");
    self->stream = stoa_queue_native(queue);
    self->device = place.index;
    stoa_status status = check(driver.cuDevicePrimaryCtxRetain(&self->context, self->device), "cuDevicePrimaryCtxRetain", err);
    if (status == STOA_OK) status = check(driver.cuCtxPushCurrent_v2(self->context), "cuCtxPushCurrent", err);
    if (status == STOA_OK) {
        status = capture(self, enqueue, user, err);
        driver.cuCtxPopCurrent_v2(&popped);
    }
    if (status == STOA_OK) *graph = self;
    else bench_graph_destroy(self);
    return status;
}

stoa_status bench_graph_launch(const bench_graph *self, stoa_error *err)
{
    void *popped;
    STOA_TRY(check(driver.cuCtxPushCurrent_v2(self->context), "cuCtxPushCurrent", err));
    const int launched = driver.cuGraphLaunch(self->exec, self->stream);
    driver.cuCtxPopCurrent_v2(&popped);
    return check(launched, "cuGraphLaunch", err);
}

void bench_graph_destroy(bench_graph *self)
{
    if (!self) return;
    if (self->exec) driver.cuGraphExecDestroy(self->exec);
    if (self->graph) driver.cuGraphDestroy(self->graph);
    if (self->context) driver.cuDevicePrimaryCtxRelease_v2(self->device);
    free(self);
}
