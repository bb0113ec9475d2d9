/* SPDX-License-Identifier: Apache-2.0 */
/* Host queues and events. A blocking queue runs each operation in the caller's thread. An async one hands it
 * on through a ring of preallocated entries: one producer (the header allows one thread at a time), one
 * consumer, and a semaphore that counts free entries. Enqueueing takes no lock and no memory. The consumer is
 * the queue's worker, who waits for a semaphore that counts full entries, or the application's executor, who
 * is handed a task for each entry.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "core/struct_size.h"
#include "host.h"
#include "stoa/memory.h"

#define RING_ENTRIES 128u

typedef enum op_kind { OP_TASK, OP_KERNEL, OP_COPY, OP_FILL, OP_WAIT, OP_STOP } op_kind;

typedef struct host_op {
    op_kind kind;
    union {
        struct {
            stoa_host_task run;
            void *user;
        } task;
        struct {
            void (*run)(const void *args);
            const void *args;
        } kernel;
        struct {
            char *dst;
            const char *src;
            size_t dst_pitch, src_pitch, width, height;
        } copy;
        struct {
            void *dst;
            size_t bytes;
            uint8_t value;
        } fill;
        struct {
            stoai_timeline *timeline;
            uint64_t point;
        } wait;
    } as;
} host_op;

typedef struct ring_entry {
    _Alignas(64) unsigned char args[STOA_KERNEL_ARGS_MAX_BYTES]; /* aligned for vectors in argument structs */
    host_op op;
} ring_entry;

typedef struct host_queue {
    stoai_host *host;
    stoai_timeline *timeline;
    ring_entry *ring; /* NULL: a blocking queue, and nothing below is used */
    uint32_t write_index, read_index;
    sem_t full, empty;
    stoa_host_executor *executor; /* NULL: `worker` consumes */
    pthread_t worker;
} host_queue;

static void wait_semaphore(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0 && errno == EINTR) continue;
}

static void run_copy(const host_op *op)
{
    size_t width = op->as.copy.width, height = op->as.copy.height;
    if (op->as.copy.dst_pitch == width && op->as.copy.src_pitch == width) {
        memcpy(op->as.copy.dst, op->as.copy.src, width * height);
        return;
    }
    for (size_t i = 0; i < height; i++)
        memcpy(op->as.copy.dst + i * op->as.copy.dst_pitch, op->as.copy.src + i * op->as.copy.src_pitch, width);
}

static void run_op(const host_op *op)
{
    switch (op->kind) {
    case OP_TASK: op->as.task.run(op->as.task.user); break;
    case OP_KERNEL: op->as.kernel.run(op->as.kernel.args); break;
    case OP_COPY: run_copy(op); break;
    case OP_FILL: memset(op->as.fill.dst, op->as.fill.value, op->as.fill.bytes); break;
    case OP_WAIT: stoai_timeline_wait(op->as.wait.timeline, op->as.wait.point); break;
    case OP_STOP: break;
    }
}

/* Run the entry that is next and free it; nothing of the queue is touched after that. */
static op_kind run_entry(host_queue *self)
{
    const host_op *op = &self->ring[self->read_index].op;
    const op_kind kind = op->kind;
    run_op(op);
    self->read_index = (self->read_index + 1) % RING_ENTRIES;
    stoai_timeline_advance(self->timeline);
    sem_post(&self->empty);
    return kind;
}

static void *work(void *user)
{
    host_queue *self = user;
    do wait_semaphore(&self->full);
    while (run_entry(self) != OP_STOP);
    return NULL;
}

static void run_executor_task(void *user) { (void)run_entry(user); }

/* Tell the consumer of one entry more. */
static stoa_status announce(host_queue *self, stoa_error *err)
{
    if (self->executor) return self->executor->enqueue(self->executor->user, run_executor_task, self, err);
    sem_post(&self->full);
    return STOA_OK;
}

/* Run the operation, or put it into the ring with a copy of a kernel's arguments. What an executor refuses was never given: the
 * count of points is for the queue's user, who only reads it after this. */
static stoa_status submit(host_queue *self, const host_op *op, size_t args_bytes, stoa_error *err)
{
    if (!self->ring) {
        run_op(op);
        stoai_timeline_pass(self->timeline);
        return STOA_OK;
    }
    wait_semaphore(&self->empty);
    ring_entry *entry = &self->ring[self->write_index];
    entry->op = *op;
    if (args_bytes) {
        memcpy(entry->args, op->as.kernel.args, args_bytes);
        entry->op.as.kernel.args = entry->args;
    }
    const stoa_status status = announce(self, err);
    if (status != STOA_OK) {
        sem_post(&self->empty);
        return status;
    }
    self->write_index = (self->write_index + 1) % RING_ENTRIES;
    stoai_timeline_give(self->timeline);
    return STOA_OK;
}

/* The worker takes no signals: they are the application's, and its handlers expect its own threads. */
static stoa_status start_worker(host_queue *self, stoa_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&self->worker, NULL, work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) return STOA_OK;
    return stoa_error_set(err, STOA_EDEVICE, code, STOA_HERE, "host queue: cannot start its thread, error %d", code);
}

static stoa_status make_ring(host_queue *self, stoa_error *err)
{
    size_t bytes = RING_ENTRIES * sizeof(ring_entry);
    self->ring = stoa_alloc(bytes, _Alignof(ring_entry));
    if (!self->ring) return STOA_FAIL(err, STOA_ENOMEM, "host queue's ring: %zu bytes wanted, none left", bytes);
    memset(self->ring, 0, bytes); /* pages are touched here, not in the first events */
    sem_init(&self->full, 0, 0);
    sem_init(&self->empty, 0, RING_ENTRIES);
    return STOA_OK;
}

static void free_ring(host_queue *self)
{
    if (!self->ring) return;
    sem_destroy(&self->full);
    sem_destroy(&self->empty);
    stoa_free(self->ring, RING_ENTRIES * sizeof(ring_entry));
}

static stoa_status make_queue(stoai_host *host, stoa_queue_kind kind, stoa_host_executor *executor, void **queue, stoa_error *err)
{
    host_queue *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "host queue: %zu bytes wanted, none left", sizeof *self);
    self->host = host;
    self->executor = executor;
    stoa_status status = stoai_host_timeline_take(host, &self->timeline, err);
    if (status == STOA_OK && kind == STOA_QUEUE_ASYNC) status = make_ring(self, err);
    if (status == STOA_OK && kind == STOA_QUEUE_ASYNC && !executor) status = start_worker(self, err);
    if (status != STOA_OK) {
        free_ring(self);
        if (self->timeline) stoai_host_timeline_return(host, self->timeline);
        stoa_free(self, sizeof *self);
        return status;
    }
    *queue = self;
    return STOA_OK;
}

stoa_status stoai_host_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err)
{ return make_queue(ctx, kind, NULL, queue, err); }

stoa_status stoai_host_queue_wrap(void *ctx, void *native, void **queue, stoa_error *err)
{
    stoa_host_executor *executor = native;
    if (!executor) return STOA_FAIL(err, STOA_EINVAL, "wrapped host queue: NULL executor");
    STOA_TRY(STOAI_CHECK_STRUCT(executor, "wrapped host queue's executor", err));
    if (!executor->enqueue) return STOA_FAIL(err, STOA_EINVAL, "wrapped host queue: executor without enqueue");
    return make_queue(ctx, STOA_QUEUE_ASYNC, executor, queue, err);
}

/* The consumer leaves the ring alone once it has stopped, or when all entries are free again. */
static void stop_consumer(host_queue *self)
{
    if (self->executor) {
        for (uint32_t i = 0; i < RING_ENTRIES; i++) wait_semaphore(&self->empty);
        return;
    }
    (void)submit(self, &(host_op){.kind = OP_STOP}, 0, NULL);
    pthread_join(self->worker, NULL);
}

void stoai_host_queue_destroy(void *queue)
{
    host_queue *self = queue;
    if (self->ring) stop_consumer(self);
    free_ring(self);
    stoai_host_timeline_return(self->host, self->timeline);
    stoa_free(self, sizeof *self);
}

void *stoai_host_queue_native(void *queue) { return ((const host_queue *)queue)->executor; }

stoa_status stoai_host_queue_wait(void *queue, stoa_error *err)
{
    (void)err;
    const host_queue *self = queue;
    stoai_timeline_wait(self->timeline, stoai_timeline_end(self->timeline));
    return STOA_OK;
}

stoa_status stoai_host_queue_is_idle(void *queue, bool *idle, stoa_error *err)
{
    (void)err;
    const host_queue *self = queue;
    *idle = stoai_timeline_passed(self->timeline, stoai_timeline_end(self->timeline));
    return STOA_OK;
}

stoa_status stoai_host_queue_enqueue(void *queue, stoa_host_task task, void *user, stoa_error *err)
{ return submit(queue, &(host_op){.kind = OP_TASK, .as.task = {task, user}}, 0, err); }

stoa_status stoai_host_queue_launch(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err)
{
    if (!kernel->host) return STOA_FAIL(err, STOA_ENOTSUP, "kernel '%s' has no host form", kernel->name);
    host_op op = {.kind = OP_KERNEL, .as.kernel = {kernel->host, kernel->args_bytes ? args : NULL}};
    return submit(queue, &op, kernel->args_bytes, err);
}

stoa_status stoai_host_queue_copy_2d(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                     size_t width_bytes, size_t height, stoa_error *err)
{
    host_op op = {.kind = OP_COPY, .as.copy = {dst, src, dst_pitch_bytes, src_pitch_bytes, width_bytes, height}};
    return submit(queue, &op, 0, err);
}

stoa_status stoai_host_queue_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err)
{ return submit(queue, &(host_op){.kind = OP_FILL, .as.fill = {dst, bytes, value}}, 0, err); }

/* An event is one word, so that it may be asked from any thread while it is recorded again: the number of a
 * timeline in 12 bits and a point on it in 52, enough for ten million operations a second over fourteen
 * years. */
typedef struct host_event {
    stoai_host *host;
    atomic_uint_fast64_t word; /* 0 is the start of the first timeline: passed, even if there is none */
} host_event;

#define POINT_BITS 52
#define POINT_MASK ((UINT64_C(1) << POINT_BITS) - 1)
_Static_assert(STOAI_HOST_QUEUES_MAX <= 1u << (64 - POINT_BITS), "a timeline's number must fit into an event");

/* False when the point is in the past of every timeline. */
static bool load_point(const host_event *event, stoai_timeline **timeline, uint64_t *point)
{
    uint64_t word = atomic_load_explicit(&event->word, memory_order_acquire);
    *point = word & POINT_MASK;
    if (*point == 0) return false;
    *timeline = event->host->timelines[word >> POINT_BITS];
    return !stoai_timeline_passed(*timeline, *point);
}

stoa_status stoai_host_event_create(void *ctx, void **event, stoa_error *err)
{
    host_event *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "host event: %zu bytes wanted, none left", sizeof *self);
    self->host = ctx;
    atomic_init(&self->word, 0);
    *event = self;
    return STOA_OK;
}

void stoai_host_event_destroy(void *event) { stoa_free(event, sizeof(host_event)); }

stoa_status stoai_host_event_record(void *event, void *queue, stoa_error *err)
{
    (void)err;
    host_event *self = event;
    stoai_timeline *timeline = ((const host_queue *)queue)->timeline;
    uint64_t word = (uint64_t)timeline->index << POINT_BITS | (stoai_timeline_end(timeline) & POINT_MASK);
    atomic_store_explicit(&self->word, word, memory_order_release);
    return STOA_OK;
}

stoa_status stoai_host_event_is_done(void *event, bool *done, stoa_error *err)
{
    (void)err;
    stoai_timeline *timeline;
    uint64_t point;
    *done = !load_point(event, &timeline, &point);
    return STOA_OK;
}

stoa_status stoai_host_event_wait(void *event, stoa_error *err)
{
    (void)err;
    stoai_timeline *timeline;
    uint64_t point;
    if (load_point(event, &timeline, &point)) stoai_timeline_wait(timeline, point);
    return STOA_OK;
}

/* The point is read now and goes into the ring: what happens to the event later does not matter here. */
stoa_status stoai_host_queue_wait_event(void *queue, void *event, stoa_error *err)
{
    host_queue *self = queue;
    stoai_timeline *timeline;
    uint64_t point;
    if (!load_point(event, &timeline, &point) || timeline == self->timeline) return STOA_OK;
    return submit(self, &(host_op){.kind = OP_WAIT, .as.wait = {timeline, point}}, 0, err);
}
