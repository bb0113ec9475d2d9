/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events. One lock over everything: what is tested is order, not speed. A point is a place in a stream that events
 * stand at; who waits for a point keeps it, whatever becomes of the event. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_internal.h"

struct fake_point {
    unsigned refs;
    bool passed;
};
typedef struct fake_point point;

typedef enum work_kind {
    WORK_KERNEL,
    WORK_CODE,
    WORK_TASK,
    WORK_COPY,
    WORK_FILL,
    WORK_RECORD,
    WORK_WAIT,
    WORK_TAKE,
    WORK_GIVE,
    WORK_STOP
} work_kind;

typedef struct work {
    struct work *next;
    work_kind kind;
    union {
        struct {
            fake_launch shape;
            _Alignas(64) unsigned char args[FAKE_ARGS_MAX];
        } launch;
        struct {
            CUhostFn run;
            void *user;
        } task;
        struct {
            char *dst;
            const char *src;
            size_t dst_pitch, src_pitch, width, height;
        } copy;
        struct {
            void *dst;
            unsigned char value;
            size_t bytes;
        } fill;
        point *point;
        struct fake_block *block;
    } as;
} work;

struct fake_stream {
    struct fake_stream *next;
    CUcontext context;
    work *first, **last;
    unsigned pending;
    unsigned delays; /* source of delays: late, but the same in every run */
    pthread_t worker;
};

struct CUevent_st {
    CUcontext context;
    point *point; /* NULL: never recorded */
    unsigned captured; /* number of the capture that it was recorded in; 0: none */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static fake_stream *streams;
static bool held;
static unsigned waiters;

struct CUgraph_st {
    work *first, **last;
    unsigned nodes;
};

static struct {
    fake_stream *stream; /* NULL: nothing is captured */
    CUgraph graph;
    CUstreamCaptureMode mode;
    bool broken;
    unsigned number;
} capture;

/* All under the lock. */

static void drop_point(point *self)
{
    if (self && --self->refs == 0) free(self);
}

static void append(work ***last, work *item)
{
    item->next = NULL;
    **last = item;
    *last = &item->next;
}

static void push(fake_stream *stream, work *item)
{
    if (stream == capture.stream) {
        append(&capture.graph->last, item);
        capture.graph->nodes++;
        return;
    }
    append(&stream->last, item);
    stream->pending++;
    pthread_cond_broadcast(&changed);
}

static void wait_until_empty(fake_stream *stream)
{
    waiters++;
    pthread_cond_broadcast(&changed);
    while (stream->pending) pthread_cond_wait(&changed, &lock);
    waiters--;
}

/* Without the lock. */

static bool run_copy(const work *item)
{
    fake_place place;
    int ordinal;
    const size_t rows = item->as.copy.height - 1;
    const size_t dst_bytes = rows * item->as.copy.dst_pitch + item->as.copy.width;
    const size_t src_bytes = rows * item->as.copy.src_pitch + item->as.copy.width;
    if (!fake_memory_check(item->as.copy.dst, dst_bytes, &place, &ordinal, "copy to a block")) return false;
    if (!fake_memory_check(item->as.copy.src, src_bytes, &place, &ordinal, "copy from a block")) return false;
    if (!fake_memory_is_taken(item->as.copy.dst, "copy to") || !fake_memory_is_taken(item->as.copy.src, "copy from")) return false;
    for (size_t row = 0; row <= rows; row++)
        memcpy(item->as.copy.dst + row * item->as.copy.dst_pitch, item->as.copy.src + row * item->as.copy.src_pitch, item->as.copy.width);
    return true;
}

static bool run_fill(const work *item)
{
    fake_place place;
    int ordinal;
    if (!fake_memory_check(item->as.fill.dst, item->as.fill.bytes, &place, &ordinal, "fill of a block")) return false;
    if (!fake_memory_is_taken(item->as.fill.dst, "fill of")) return false;
    memset(item->as.fill.dst, item->as.fill.value, item->as.fill.bytes);
    return true;
}

static bool run_kernel(const work *item, int ordinal)
{
    const fake_kernel *kernel = item->as.launch.shape.kernel;
    if (!fake_memory_check_args(item->as.launch.args, kernel->args_bytes, ordinal, kernel->symbol)) return false;
    fake_run_launch(&item->as.launch.shape, item->as.launch.args);
    return true;
}

static void wait_for_point(point *awaited)
{
    pthread_mutex_lock(&lock);
    while (!awaited->passed) pthread_cond_wait(&changed, &lock);
    drop_point(awaited);
    pthread_mutex_unlock(&lock);
}

static void pass_point(point *reached)
{
    pthread_mutex_lock(&lock);
    reached->passed = true;
    drop_point(reached);
    pthread_mutex_unlock(&lock);
}

/* After a failure nothing more touches memory, as on a GPU; order is kept, so that nobody waits for ever. */
static void run(const fake_stream *stream, work *item)
{
    const bool touches = item->kind == WORK_KERNEL || item->kind == WORK_CODE || item->kind == WORK_COPY || item->kind == WORK_FILL;
    bool fine = true;
    if (touches && fake_failure(stream->context)) return;
    if (touches) fake_memory_open();
    switch (item->kind) {
    case WORK_KERNEL: fine = run_kernel(item, stream->context->ordinal); break;
    case WORK_CODE:
    case WORK_TASK: item->as.task.run(item->as.task.user); break;
    case WORK_COPY: fine = run_copy(item); break;
    case WORK_FILL: fine = run_fill(item); break;
    case WORK_RECORD: pass_point(item->as.point); break;
    case WORK_WAIT: wait_for_point(item->as.point); break;
    case WORK_TAKE: fake_block_take(item->as.block); break;
    case WORK_GIVE: fake_block_give(item->as.block); break;
    case WORK_STOP: break;
    }
    if (touches) fake_memory_close();
    if (!fine) __atomic_store_n(&stream->context->failed, CUDA_ERROR_ILLEGAL_ADDRESS, __ATOMIC_RELEASE);
}

static work *take(fake_stream *self)
{
    pthread_mutex_lock(&lock);
    while (!self->first || (held && !waiters)) pthread_cond_wait(&changed, &lock);
    work *item = self->first;
    pthread_mutex_unlock(&lock);
    return item;
}

static void *work_through(void *user)
{
    fake_stream *self = user;
    for (bool stop = false; !stop;) {
        work *item = take(self);
        self->delays = self->delays * 1664525u + 1013904223u;
        if (self->delays >> 29 == 0) usleep(50);
        stop = item->kind == WORK_STOP;
        run(self, item);
        pthread_mutex_lock(&lock);
        self->first = item->next;
        if (!self->first) self->last = &self->first;
        self->pending--;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        free(item);
    }
    return NULL;
}

static fake_stream *make_stream(CUcontext context)
{
    fake_stream *self = calloc(1, sizeof *self);
    if (!self) abort();
    self->context = context;
    self->last = &self->first;
    pthread_mutex_lock(&lock);
    self->next = streams;
    streams = self;
    pthread_mutex_unlock(&lock);
    if (pthread_create(&self->worker, NULL, work_through, self) != 0) abort();
    return self;
}

/* A handle is a stream; NULL is the default one of the current context. */
static fake_stream *stream_of(CUstream handle)
{
    if (handle) return (fake_stream *)(void *)handle;
    CUcontext context = fake_current();
    if (!context->default_stream) context->default_stream = make_stream(context);
    return context->default_stream;
}

static CUresult enqueue(CUstream handle, work_kind kind, const work *what, size_t bytes)
{
    fake_stream *stream = stream_of(handle);
    if (stream->context != fake_current()) {
        fake_violation("work for a stream of device %d while device %d is current", stream->context->ordinal, fake_current()->ordinal);
        return CUDA_ERROR_INVALID_HANDLE;
    }
    work *item = calloc(1, sizeof *item);
    if (!item) abort();
    if (bytes) memcpy(item, what, bytes);
    item->kind = kind;
    pthread_mutex_lock(&lock);
    push(stream, item);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

bool fake_capture_is_active(void)
{
    pthread_mutex_lock(&lock);
    const bool active = capture.stream && capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    pthread_mutex_unlock(&lock);
    return active;
}

/* Streams may come and go meanwhile. */
static bool any_pending(const struct CUctx_st *context)
{
    for (const fake_stream *s = streams; s; s = s->next)
        if (s->context == context && s->pending) return true;
    return false;
}

void fake_streams_wait(CUcontext context)
{
    pthread_mutex_lock(&lock);
    waiters++;
    pthread_cond_broadcast(&changed);
    while (any_pending(context)) pthread_cond_wait(&changed, &lock);
    waiters--;
    pthread_mutex_unlock(&lock);
}

void fake_cuda_hold(bool hold)
{
    pthread_mutex_lock(&lock);
    held = hold;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- Graphs. They are the application's: what it calls is not counted and not traced. ---- */

static CUgraph make_graph(void)
{
    CUgraph self = calloc(1, sizeof *self);
    if (!self) abort();
    self->last = &self->first;
    return self;
}

/* Put copies of all its work where `push_copy` wants them. */
static void copy_work(const struct CUgraph_st *graph, void (*push_copy)(void *target, work *item), void *target)
{
    for (const work *item = graph->first; item; item = item->next) {
        work *copy = malloc(sizeof *copy);
        if (!copy) abort();
        *copy = *item;
        push_copy(target, copy);
    }
}

static void push_to_stream(void *target, work *item) { push(target, item); }
static void push_to_graph(void *target, work *item) { append(&((CUgraph)target)->last, item); }

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    CUgraph graph = make_graph();
    pthread_mutex_lock(&lock);
    const bool busy = capture.stream != NULL;
    if (!busy)
        capture.stream = (fake_stream *)(void *)stream, capture.graph = graph, capture.mode = mode, capture.broken = false,
        capture.number++;
    pthread_mutex_unlock(&lock);
    if (!busy) return CUDA_SUCCESS;
    fake_violation("a capture begins within another");
    cuGraphDestroy(graph);
    return CUDA_ERROR_ILLEGAL_STATE;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    pthread_mutex_lock(&lock);
    const bool mine = capture.stream == (fake_stream *)(void *)stream, broken = capture.broken;
    *graph = mine ? capture.graph : NULL;
    if (mine) capture.stream = NULL, capture.graph = NULL;
    pthread_mutex_unlock(&lock);
    if (!mine) return CUDA_ERROR_ILLEGAL_STATE;
    if (!broken) return CUDA_SUCCESS;
    cuGraphDestroy(*graph);
    *graph = NULL;
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    CUgraph copy = make_graph();
    (void)flags;
    copy_work(graph, push_to_graph, copy);
    *exec = (CUgraphExec)(void *)copy;
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    pthread_mutex_lock(&lock);
    copy_work((CUgraph)(void *)exec, push_to_stream, stream);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    while (graph->first) {
        work *item = graph->first;
        graph->first = item->next;
        free(item);
    }
    free(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec) { return cuGraphDestroy((CUgraph)(void *)exec); }

/* What a test captured last. */
static CUgraph captured;

void fake_cuda_capture_begin(CUstream stream)
{
    if (captured) cuGraphDestroy(captured);
    captured = NULL;
    if (cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL) != CUDA_SUCCESS) abort();
}

unsigned fake_cuda_capture_end(void)
{
    CUstream stream = (CUstream)(void *)capture.stream;
    return cuStreamEndCapture(stream, &captured) == CUDA_SUCCESS ? captured->nodes : 0;
}

void fake_cuda_replay(CUstream stream) { cuGraphLaunch((CUgraphExec)(void *)captured, stream); }

CUresult cuCtxSynchronize(void)
{
    FAKE_ENTER(cuCtxSynchronize, FAKE_CURRENT | FAKE_TRACED | FAKE_UNSAFE | FAKE_LOSSLESS);
    fake_streams_wait(fake_current());
    return fake_failure(fake_current());
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    FAKE_ENTER(cuStreamCreate, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    (void)flags;
    *stream = (CUstream)(void *)make_stream(fake_current());
    fake_count_live(1);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream handle)
{
    FAKE_ENTER(cuStreamDestroy_v2, FAKE_CURRENT | FAKE_UNSAFE);
    fake_stream *self = (fake_stream *)(void *)handle;
    work *stop = calloc(1, sizeof *stop);
    if (!stop) abort();
    stop->kind = WORK_STOP;
    pthread_mutex_lock(&lock);
    push(self, stop);
    wait_until_empty(self);
    fake_stream **link = &streams;
    while (*link != self) link = &(*link)->next;
    *link = self->next;
    pthread_mutex_unlock(&lock);
    pthread_join(self->worker, NULL);
    free(self);
    fake_count_live(-1);
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *context)
{
    FAKE_ENTER(cuStreamGetCtx, FAKE_CURRENT | FAKE_LOSSLESS);
    *context = handle ? ((fake_stream *)(void *)handle)->context : fake_current();
    return CUDA_SUCCESS;
}

/* Also in relaxed mode a stream that is captured itself can be neither waited for nor asked. */
static bool is_captured(const fake_stream *stream, const char *call)
{
    pthread_mutex_lock(&lock);
    const bool mine = stream == capture.stream;
    if (mine) capture.broken = true;
    pthread_mutex_unlock(&lock);
    if (mine) fake_violation("%s on a stream that is captured", call);
    return mine;
}

CUresult cuStreamSynchronize(CUstream handle)
{
    FAKE_ENTER(cuStreamSynchronize, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    fake_stream *stream = stream_of(handle);
    if (is_captured(stream, "cuStreamSynchronize")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&lock);
    wait_until_empty(stream);
    pthread_mutex_unlock(&lock);
    fake_pools_shrink(stream->context->ordinal);
    return fake_failure(stream->context);
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    FAKE_ENTER(cuStreamIsCapturing, FAKE_CURRENT | FAKE_LOSSLESS);
    const fake_stream *stream = stream_of(handle);
    pthread_mutex_lock(&lock);
    *status = stream != capture.stream ? CU_STREAM_CAPTURE_STATUS_NONE
              : capture.broken         ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                       : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream handle)
{
    FAKE_ENTER(cuStreamQuery, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    fake_stream *stream = stream_of(handle);
    if (is_captured(stream, "cuStreamQuery")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&lock);
    const unsigned pending = stream->pending;
    pthread_mutex_unlock(&lock);
    return pending ? CUDA_ERROR_NOT_READY : fake_failure(stream->context);
}

static CUresult enqueue_copy(CUstream stream, const work *item)
{
    if (getenv("FAKE_CUDA_PINNED_ONLY")) {
        const void *const ends[] = {item->as.copy.dst, item->as.copy.src};
        for (int i = 0; i < 2; i++) {
            fake_place place;
            int ordinal;
            if (!fake_memory_check(ends[i], 1, &place, &ordinal, "copy") || place == FAKE_PAGEABLE) return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return enqueue(stream, WORK_COPY, item, offsetof(work, as) + sizeof item->as.copy);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    FAKE_ENTER(cuMemcpyAsync, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    work item;
    item.as.copy.dst = (char *)(uintptr_t)dst;
    item.as.copy.src = (const char *)(uintptr_t)src;
    item.as.copy.dst_pitch = item.as.copy.src_pitch = item.as.copy.width = bytes;
    item.as.copy.height = 1;
    return enqueue_copy(stream, &item);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream)
{
    FAKE_ENTER(cuMemcpy2DAsync_v2, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    if (copy->srcMemoryType != CU_MEMORYTYPE_UNIFIED || copy->dstMemoryType != CU_MEMORYTYPE_UNIFIED ||
        copy->srcPitch < copy->WidthInBytes || copy->dstPitch < copy->WidthInBytes)
        return CUDA_ERROR_INVALID_VALUE;
    work item;
    item.as.copy.dst = (char *)(uintptr_t)copy->dstDevice;
    item.as.copy.src = (const char *)(uintptr_t)copy->srcDevice;
    item.as.copy.dst_pitch = copy->dstPitch;
    item.as.copy.src_pitch = copy->srcPitch;
    item.as.copy.width = copy->WidthInBytes;
    item.as.copy.height = copy->Height;
    return enqueue_copy(stream, &item);
}

/* The address must be one that the device knows: not plain host memory. */
CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t bytes, CUstream stream)
{
    FAKE_ENTER(cuMemsetD8Async, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    fake_place place;
    int ordinal;
    work item;
    item.as.fill.dst = (void *)(uintptr_t)dst;
    item.as.fill.value = value;
    item.as.fill.bytes = bytes;
    if (!fake_memory_check(item.as.fill.dst, bytes, &place, &ordinal, "fill of a block") || place == FAKE_PAGEABLE)
        return CUDA_ERROR_INVALID_VALUE;
    return enqueue(stream, WORK_FILL, &item, offsetof(work, as) + sizeof item.as.fill);
}

CUresult cuLaunchKernel(CUfunction function, unsigned blocks, unsigned blocks_y, unsigned blocks_z, unsigned threads, unsigned threads_y,
                        unsigned threads_z, unsigned shared_bytes, CUstream stream, void **parameters, void **extra)
{
    FAKE_ENTER(cuLaunchKernel, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    const fake_kernel *kernel = (const fake_kernel *)(void *)function;
    if (blocks == 0 || threads == 0 || threads > 1024 || blocks_y * blocks_z * threads_y * threads_z != 1 || extra ||
        kernel->args_bytes > FAKE_ARGS_MAX || shared_bytes > fake_shared_limit(kernel))
        return CUDA_ERROR_INVALID_VALUE;
    work *item = calloc(1, sizeof *item);
    if (!item) abort();
    item->as.launch.shape = (fake_launch){kernel, blocks, threads, shared_bytes};
    memcpy(item->as.launch.args, parameters[0], kernel->args_bytes);
    const CUresult result = enqueue(stream, WORK_KERNEL, item, sizeof *item);
    free(item);
    return result;
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn run_it, void *user)
{
    FAKE_ENTER(cuLaunchHostFunc, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    work item;
    item.as.task.run = run_it;
    item.as.task.user = user;
    return enqueue(stream, WORK_TASK, &item, offsetof(work, as) + sizeof item.as.task);
}

CUresult fake_cuda_play(CUstream stream, CUhostFn code, void *user)
{
    work item;
    item.as.task.run = code;
    item.as.task.user = user;
    return enqueue(stream, WORK_CODE, &item, offsetof(work, as) + sizeof item.as.task);
}

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    FAKE_ENTER(cuEventCreate, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    if (flags != CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_VALUE;
    *event = calloc(1, sizeof **event);
    if (!*event) return CUDA_ERROR_OUT_OF_MEMORY;
    (*event)->context = fake_current();
    fake_count_live(1);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    FAKE_ENTER(cuEventDestroy_v2, FAKE_CURRENT | FAKE_UNSAFE);
    pthread_mutex_lock(&lock);
    drop_point(event->point);
    pthread_mutex_unlock(&lock);
    free(event);
    fake_count_live(-1);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream handle)
{
    FAKE_ENTER(cuEventRecord, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    fake_stream *stream = stream_of(handle);
    if (event->context != stream->context) return CUDA_ERROR_INVALID_HANDLE;
    point *made = calloc(1, sizeof *made);
    if (!made) abort();
    made->refs = 2; /* the event's and the stream's */
    pthread_mutex_lock(&lock);
    drop_point(event->point);
    event->captured = stream == capture.stream ? capture.number : 0;
    event->point = made;
    if (event->captured) made->refs = 1, made->passed = true;
    pthread_mutex_unlock(&lock);
    if (event->captured) return CUDA_SUCCESS;
    work item;
    item.as.point = made;
    return enqueue(handle, WORK_RECORD, &item, offsetof(work, as) + sizeof item.as.point);
}

/* An event of a graph is of no stream's work: to ask for it or to wait is an error, which breaks a capture that goes on. */
static bool is_of_a_capture(CUevent event, const char *call)
{
    pthread_mutex_lock(&lock);
    const bool captured = event->captured != 0, now = captured && capture.stream && event->captured == capture.number;
    if (now) capture.broken = true;
    pthread_mutex_unlock(&lock);
    if (now) fake_violation("%s on an event of a capture", call);
    return captured;
}

CUresult cuEventQuery(CUevent event)
{
    FAKE_ENTER(cuEventQuery, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    if (is_of_a_capture(event, "cuEventQuery")) return CUDA_ERROR_CAPTURED_EVENT;
    pthread_mutex_lock(&lock);
    const bool passed = !event->point || event->point->passed;
    pthread_mutex_unlock(&lock);
    return passed ? fake_failure(event->context) : CUDA_ERROR_NOT_READY;
}

CUresult cuEventSynchronize(CUevent event)
{
    FAKE_ENTER(cuEventSynchronize, FAKE_CURRENT | FAKE_TRACED | FAKE_UNSAFE | FAKE_LOSSLESS);
    if (is_of_a_capture(event, "cuEventSynchronize")) return CUDA_ERROR_CAPTURED_EVENT;
    pthread_mutex_lock(&lock);
    point *awaited = event->point;
    if (awaited) {
        awaited->refs++;
        waiters++;
        pthread_cond_broadcast(&changed);
        while (!awaited->passed) pthread_cond_wait(&changed, &lock);
        waiters--;
        drop_point(awaited);
    }
    pthread_mutex_unlock(&lock);
    return fake_failure(event->context);
}

/* Under the lock: a graph depends on nothing outside of it, and what a graph has is nothing to wait for. (The real driver would take the
 * other stream into the capture, which goes on; nobody asks for that here.) */
static CUresult cross_capture(const fake_stream *stream, const struct CUevent_st *event)
{
    if (stream != capture.stream) return event->captured ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
    if (event->captured == capture.number) return CUDA_SUCCESS;
    capture.broken = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
}

/* The stream waits for the point at which the event stands now; within a capture that is a dependency that is met already. */
CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned flags)
{
    FAKE_ENTER(cuStreamWaitEvent, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    (void)flags;
    const fake_stream *stream = stream_of(handle);
    pthread_mutex_lock(&lock);
    const CUresult result = cross_capture(stream, event);
    work item;
    item.as.point = event->point;
    const bool waits = result == CUDA_SUCCESS && event->point && !event->point->passed;
    if (waits) event->point->refs++;
    pthread_mutex_unlock(&lock);
    return waits ? enqueue(handle, WORK_WAIT, &item, offsetof(work, as) + sizeof item.as.point) : result;
}

/* ---- What pools ask of streams. ---- */

point *fake_stream_mark(CUstream stream)
{
    point *made = calloc(1, sizeof *made);
    if (!made) abort();
    made->refs = 2; /* the caller's and the stream's */
    work item;
    item.as.point = made;
    if (enqueue(stream, WORK_RECORD, &item, offsetof(work, as) + sizeof item.as.point) != CUDA_SUCCESS) abort();
    return made;
}

void fake_stream_wait_for(CUstream stream, point *awaited)
{
    if (fake_point_passed(awaited)) return;
    pthread_mutex_lock(&lock);
    awaited->refs++;
    pthread_mutex_unlock(&lock);
    work item;
    item.as.point = awaited;
    if (enqueue(stream, WORK_WAIT, &item, offsetof(work, as) + sizeof item.as.point) != CUDA_SUCCESS) abort();
}

bool fake_point_passed(const point *self)
{
    pthread_mutex_lock(&lock);
    const bool passed = !self || self->passed;
    pthread_mutex_unlock(&lock);
    return passed;
}

void fake_point_drop(point *self)
{
    pthread_mutex_lock(&lock);
    drop_point(self);
    pthread_mutex_unlock(&lock);
}

static CUresult enqueue_block(CUstream stream, work_kind kind, struct fake_block *block)
{
    work item;
    item.as.block = block;
    return enqueue(stream, kind, &item, offsetof(work, as) + sizeof item.as.block);
}

CUresult fake_stream_take(CUstream stream, struct fake_block *block) { return enqueue_block(stream, WORK_TAKE, block); }
CUresult fake_stream_give(CUstream stream, struct fake_block *block) { return enqueue_block(stream, WORK_GIVE, block); }

bool fake_stream_is_captured(CUstream handle)
{
    const fake_stream *stream = stream_of(handle);
    pthread_mutex_lock(&lock);
    const bool captured = stream == capture.stream;
    pthread_mutex_unlock(&lock);
    return captured;
}
