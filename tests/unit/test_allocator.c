/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and the caching allocator: CMSSW's cases (cmssw-inventory 4.7), queue order, limits, memory that runs out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include "device_kernels.h"
#include "device_under_test.h"
#include "failing_memory.h"

#define OK(call) assert_int_equal((call), STOA_OK)
#define GIB ((size_t)1 << 30)
#define MIB ((size_t)1 << 20)

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue, *other, *blocking;
    sem_t gate;
} fixture;

static void open_with(fixture *self, const stoa_device_options *options)
{
    OK(stoa_device_open_with(device_under_test(), options, &self->device, NULL));
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &self->queue, NULL));
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &self->other, NULL));
    OK(stoa_queue_create(self->device, STOA_QUEUE_BLOCKING, &self->blocking, NULL));
    sem_init(&self->gate, 0, 0);
}

static void close_all(fixture *self)
{
    stoa_queue_destroy(self->queue);
    stoa_queue_destroy(self->other);
    stoa_queue_destroy(self->blocking);
    stoa_device_close(self->device);
    sem_destroy(&self->gate);
    assert_nothing_left();
}

static void pass_gate(void *gate)
{
    while (sem_wait(gate) != 0) continue;
}

static stoa_memory_stats stats_of(const fixture *self)
{
    stoa_memory_stats stats = {.struct_size = sizeof stats};
    OK(stoa_device_memory_stats(self->device, STOA_MEMORY_DEVICE, &stats, NULL));
    return stats;
}

static void assert_stats(const fixture *self, uint64_t live, uint64_t requested, uint64_t cached)
{
    stoa_memory_stats stats = stats_of(self);
    assert_int_equal(stats.live_bytes, live);
    assert_int_equal(stats.requested_bytes, requested);
    assert_int_equal(stats.cached_bytes, cached);
}

static stoa_buffer *make(stoa_queue *queue, size_t bytes)
{
    stoa_buffer *buffer;
    OK(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &buffer, NULL));
    assert_int_equal((uintptr_t)stoa_buffer_data(buffer) % STOA_BUFFER_ALIGN_BYTES, 0);
    assert_int_equal(stoa_buffer_bytes(buffer), bytes);
    return buffer;
}

/* AlpakaInterface/test/testCachingAllocator.cc. */
static void cmssw_counters_and_reuse(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer *buffer = make(self.queue, 300);
    void *data = stoa_buffer_data(buffer);
    assert_stats(&self, 512, 300, 0);
    stoa_buffer_release(buffer);
    assert_stats(&self, 0, 0, 512);
    buffer = make(self.queue, 500);
    assert_ptr_equal(stoa_buffer_data(buffer), data);
    assert_stats(&self, 512, 500, 0);
    stoa_buffer_release(buffer);
    static const size_t sequence[] = {300, 500, 260, 511, 300};
    for (int i = 0; i < 5; i++) stoa_buffer_release(make(self.queue, sequence[i]));
    assert_stats(&self, 0, 0, 512);
    stoa_memory_stats stats = stats_of(&self);
    assert_int_equal(stats.alloc_calls, 7);
    assert_int_equal(stats.raw_alloc_calls, 1);
    assert_int_equal(stats.peak_live_bytes, 512);
    OK(stoa_queue_wait(self.queue, NULL));
    OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 0, NULL));
    assert_stats(&self, 0, 0, 0);
    close_all(&self);
}

static void bins_are_powers_of_two_then_two_mib(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, block;
    } cases[] = {
        {1, 256},           {256, 256},           {257, 512}, {4097, 8192}, {3 * MIB, 4 * MIB}, {4 * MIB, 4 * MIB}, {4 * MIB + 1, 6 * MIB},
        {7 * MIB, 8 * MIB}, {11 * MIB, 12 * MIB},
    };
    fixture self;
    stoa_device_options options = {.struct_size = sizeof options, .bin_max_bytes = 4 * MIB};
    open_with(&self, &options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stoa_buffer *buffer = make(self.queue, cases[i].bytes);
        assert_stats(&self, cases[i].block, cases[i].bytes, 0);
        stoa_buffer_release(buffer);
        OK(stoa_queue_wait(self.queue, NULL));
        OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 0, NULL));
    }
    close_all(&self);
}

/* No largest block: cached and used again like any other. The pages are never touched. */
static void blocks_above_a_gibibyte(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer *buffer = make(self.queue, GIB + 5);
    void *data = stoa_buffer_data(buffer);
    assert_stats(&self, GIB + 2 * MIB, GIB + 5, 0);
    stoa_buffer_release(buffer);
    assert_stats(&self, 0, 0, GIB + 2 * MIB);
    buffer = make(self.queue, GIB + 1);
    assert_ptr_equal(stoa_buffer_data(buffer), data);
    stoa_buffer *bigger = make(self.queue, 2 * GIB + 1);
    assert_stats(&self, 3 * GIB + 4 * MIB, 3 * GIB + 2, 0);
    stoa_buffer_release(bigger);
    stoa_buffer_release(buffer);
    stoa_error err;
    assert_int_equal(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, SIZE_MAX - 7, &buffer, &err), STOA_ENOMEM);
    assert_null(buffer);
    close_all(&self);
}

static void an_empty_buffer_is_a_buffer(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer *buffer = make(self.queue, 0);
    assert_null(stoa_buffer_data(buffer));
    assert_int_equal(stoa_buffer_place(buffer).type, stoa_device_place(self.device).type);
    assert_ptr_equal(stoa_buffer_retain(buffer), buffer);
    stoa_buffer_release(buffer);
    stoa_buffer_release(buffer);
    stoa_buffer_release(NULL);
    close_all(&self);
}

/* Released while queued: the work still owns the memory, another queue gets different memory until it is done. */
static void queues_do_not_share_a_block_too_early(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    uint8_t seen[1000];
    stoa_buffer *first = make(self.queue, 1000);
    void *data = stoa_buffer_data(first);
    OK(stoa_queue_enqueue(self.queue, pass_gate, &self.gate, NULL));
    OK(stoa_queue_fill(self.queue, data, 42, 1000, NULL));
    OK(stoa_queue_copy(self.queue, seen, data, 1000, NULL));
    stoa_buffer_release(first);
    stoa_buffer *second = make(self.other, 1000);
    assert_ptr_not_equal(stoa_buffer_data(second), data);
    OK(stoa_queue_fill(self.other, stoa_buffer_data(second), 7, 1000, NULL));
    stoa_buffer *same = make(self.queue, 900); /* its own queue: at once */
    assert_ptr_equal(stoa_buffer_data(same), data);
    stoa_buffer_release(same);
    sem_post(&self.gate);
    OK(stoa_queue_wait(self.queue, NULL));
    for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], 42);
    stoa_buffer *third = make(self.other, 1000); /* the event has passed */
    assert_ptr_equal(stoa_buffer_data(third), data);
    stoa_buffer_release(second);
    stoa_buffer_release(third);
    assert_int_equal(stats_of(&self).raw_alloc_calls, 2);
    close_all(&self);
}

/* The host writes pinned memory as soon as it has it: not even its own queue gets a block again before the work has passed. */
static void pinned_memory_is_the_hosts_at_once(void **state)
{
    (void)state;
    fixture self;
    stoa_buffer *first, *second, *third;
    uint8_t seen[1000];
    open_with(&self, NULL);
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_PINNED, 1000, &first, NULL));
    uint8_t *data = stoa_buffer_data(first);
    memset(data, 42, 1000);
    OK(stoa_queue_enqueue(self.queue, pass_gate, &self.gate, NULL));
    OK(stoa_queue_copy(self.queue, seen, data, 1000, NULL));
    stoa_buffer_release(first);
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_PINNED, 1000, &second, NULL));
    assert_ptr_not_equal(stoa_buffer_data(second), data);
    memset(stoa_buffer_data(second), 7, 1000);
    sem_post(&self.gate);
    OK(stoa_queue_wait(self.queue, NULL));
    for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], 42);
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_PINNED, 1000, &third, NULL));
    assert_ptr_equal(stoa_buffer_data(third), data);
    stoa_buffer_release(second);
    stoa_buffer_release(third);
    close_all(&self);
}

static void moved_to_another_queue(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer *buffer = make(self.queue, 100);
    void *data = stoa_buffer_data(buffer);
    OK(stoa_buffer_set_queue(buffer, self.other, NULL));
    OK(stoa_queue_enqueue(self.other, pass_gate, &self.gate, NULL));
    stoa_buffer_release(buffer);
    buffer = make(self.queue, 100);
    assert_ptr_not_equal(stoa_buffer_data(buffer), data);
    sem_post(&self.gate);

    stoa_device *device;
    stoa_queue *queue;
    stoa_error err;
    OK(stoa_device_open(device_under_test(), &device, NULL));
    OK(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL));
    assert_int_equal(stoa_buffer_set_queue(buffer, queue, &err), STOA_EPLACE);
    assert_int_equal(stoa_buffer_set_queue(buffer, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_buffer_set_queue(NULL, queue, &err), STOA_EINVAL);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    stoa_buffer_release(buffer);
    close_all(&self);
}

static void released_after_its_queue(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_queue *queue;
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &queue, NULL));
    stoa_buffer *buffer = make(queue, 64), *empty = make(queue, 0);
    void *data = stoa_buffer_data(buffer);
    OK(stoa_queue_fill(queue, data, 1, 64, NULL));
    stoa_queue_destroy(queue);
    stoa_buffer_release(buffer);
    stoa_buffer_release(empty);
    buffer = make(self.other, 64);
    assert_ptr_equal(stoa_buffer_data(buffer), data);
    stoa_buffer_release(buffer);
    close_all(&self);
}

static void cached_buffers_take_no_heap_memory(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer_release(make(self.queue, 5000));
    uint64_t before = stoa_alloc_count();
    for (int i = 0; i < 100; i++) stoa_buffer_release(make(self.queue, 5000));
    assert_int_equal(stoa_alloc_count(), before);
    close_all(&self);
}

static void limit_on_all_memory(void **state)
{
    (void)state;
    fixture self;
    stoa_device_options options = {.struct_size = sizeof options, .limit_bytes = 4096};
    open_with(&self, &options);
    stoa_buffer *a = make(self.queue, 2048), *b = make(self.queue, 1024), *c = NULL;
    stoa_error err;
    assert_int_equal(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, 1025, &c, &err), STOA_ELIMIT);
    assert_null(c);
    assert_non_null(strstr(err.message, "2048 bytes wanted"));
    assert_non_null(strstr(err.message, "limit_bytes 4096"));
    assert_stats(&self, 3072, 3072, 0);
    stoa_buffer_release(a);
    OK(stoa_queue_wait(self.queue, NULL));
    c = make(self.queue, 3000 - 1024); /* 2048: the cached one */
    stoa_buffer_release(c);
    OK(stoa_queue_wait(self.queue, NULL));
    stoa_buffer_release(b);
    OK(stoa_queue_wait(self.queue, NULL));
    c = make(self.queue, 4096); /* all of it: what is cached goes */
    assert_stats(&self, 4096, 4096, 0);
    stoa_buffer_release(c);
    OK(stoa_queue_enqueue(self.queue, pass_gate, &self.gate, NULL));
    c = make(self.queue, 4096);
    stoa_buffer_release(c); /* cached, but the queue has it still: not to be evicted */
    assert_int_equal(stoa_buffer_create(self.other, STOA_MEMORY_DEVICE, 256, &c, &err), STOA_ELIMIT);
    sem_post(&self.gate);
    OK(stoa_queue_wait(self.queue, NULL));
    stoa_buffer_release(make(self.other, 256));
    assert_int_equal(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, GIB * 4, &c, &err), STOA_ELIMIT);
    close_all(&self);
}

static void limit_on_the_cache(void **state)
{
    (void)state;
    fixture self;
    stoa_device_options options = {.struct_size = sizeof options, .cache_limit_bytes = 1024};
    open_with(&self, &options);
    stoa_buffer *a = make(self.blocking, 512), *b = make(self.blocking, 512), *c = make(self.blocking, 256);
    stoa_buffer *big = make(self.blocking, 2000);
    stoa_buffer_release(a);
    stoa_buffer_release(b);
    assert_stats(&self, 2304, 2256, 1024);
    stoa_buffer_release(c); /* the oldest makes room */
    assert_stats(&self, 2048, 2000, 768);
    stoa_buffer_release(big); /* larger than the cache: straight back */
    assert_stats(&self, 0, 0, 768);

    big = make(self.queue, 2000); /* still used by its queue: counts as live until the queue has passed */
    OK(stoa_queue_enqueue(self.queue, pass_gate, &self.gate, NULL));
    OK(stoa_queue_fill(self.queue, stoa_buffer_data(big), 1, 2000, NULL));
    stoa_buffer_release(big);
    assert_stats(&self, 2048, 2000, 768);
    sem_post(&self.gate);
    OK(stoa_queue_wait(self.queue, NULL));
    assert_stats(&self, 0, 0, 768);
    close_all(&self);
}

static void trim_keeps_what_it_was_told_to(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    stoa_buffer *buffers[8];
    for (int i = 0; i < 8; i++) buffers[i] = make(self.blocking, 1024);
    for (int i = 0; i < 8; i++) stoa_buffer_release(buffers[i]);
    OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 3000, NULL));
    assert_stats(&self, 0, 0, 2048);
    OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 0, NULL));
    stoa_buffer *held = make(self.queue, 100);
    OK(stoa_queue_enqueue(self.queue, pass_gate, &self.gate, NULL));
    stoa_buffer_release(held);
    OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 0, NULL));
    assert_stats(&self, 0, 0, 256); /* its queue has not passed */
    sem_post(&self.gate);
    OK(stoa_queue_wait(self.queue, NULL));
    OK(stoa_device_memory_trim(self.device, STOA_MEMORY_DEVICE, 0, NULL));
    assert_stats(&self, 0, 0, 0);
    close_all(&self);
}

static void debug_fill_marks_both_ways(void **state)
{
    (void)state;
    if (!device_is_host()) skip(); /* only the host's memory is filled */
    fixture self;
    stoa_device_options options = {.struct_size = sizeof options, .debug_fill = 1};
    open_with(&self, &options);
    stoa_buffer *buffer = make(self.blocking, 300);
    const uint8_t *data = stoa_buffer_data(buffer);
    for (int i = 0; i < 300; i++) assert_int_equal(data[i], 0xA5);
    stoa_buffer_release(buffer);
    for (int i = 0; i < 300; i++) assert_int_equal(data[i], 0x5A); /* cached, so still there to look at */
    close_all(&self);
}

static stoa_log_level logged_level;
static char logged[1024];
static void take_log(void *user, stoa_log_level level, const char *line)
{
    (void)user;
    logged_level = level;
    strncpy(logged, line, sizeof logged - 1);
}

static void closing_with_live_buffers_warns_and_frees(void **state)
{
    (void)state;
    fixture self;
    open_with(&self, NULL);
    make(self.queue, 1000);
    make(self.blocking, 1000);
    stoa_log_set(take_log, NULL, STOA_LOG_WARNING);
    stoa_queue_destroy(self.queue);
    stoa_queue_destroy(self.other);
    stoa_queue_destroy(self.blocking);
    stoa_device_close(self.device);
    stoa_log_set(NULL, NULL, STOA_LOG_ERROR);
    sem_destroy(&self.gate);
    assert_int_equal(logged_level, STOA_LOG_WARNING);
    assert_non_null(strstr(logged, "2 buffers of 2048 bytes"));
    stoa_device_close(NULL);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    static const stoa_device_options bad[] = {
        {.struct_size = 8},
        {.struct_size = sizeof *bad, .bin_min_bytes = 300},
        {.struct_size = sizeof *bad, .bin_max_bytes = 3 * MIB},
        {.struct_size = sizeof *bad, .bin_min_bytes = 1024, .bin_max_bytes = 512},
        {.struct_size = sizeof *bad, .debug_fill = 2},
    };
    stoa_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        stoa_device *device = (stoa_device *)&err;
        assert_int_equal(stoa_device_open_with(device_under_test(), &bad[i], &device, &err), STOA_EINVAL);
        assert_null(device);
        assert_int_equal(err.status, STOA_EINVAL);
    }
    struct {
        stoa_device_options known;
        uint64_t later;
    } newer = {{.struct_size = sizeof newer}, 0};
    stoa_device *device;
    OK(stoa_device_open_with(device_under_test(), &newer.known, &device, NULL));
    stoa_memory_stats stats = {.struct_size = 1};
    assert_int_equal(stoa_device_memory_stats(device, STOA_MEMORY_DEVICE, &stats, &err), STOA_EINVAL);
    assert_int_equal(stoa_device_memory_trim(device, (stoa_memory_kind)9, 0, &err), STOA_EINVAL);
    stoa_device_close(device);
    newer.later = 1;
    assert_int_equal(stoa_device_open_with(device_under_test(), &newer.known, &device, &err), STOA_EINVAL);
    assert_nothing_left();
}

/* Everything that allocates, in one go; stops at the first failure and cleans up. */
static stoa_status scenario(stoa_error *err)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL, *async = NULL;
    stoa_event *event = NULL;
    stoa_buffer *a = NULL, *b = NULL, *c = NULL, *empty = NULL;
    stoa_status status = stoa_device_open(device_under_test(), &device, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_ASYNC, &async, err);
    if (status == STOA_OK) status = stoa_event_create(device, &event, err);
    if (status == STOA_OK) status = stoa_buffer_create(async, STOA_MEMORY_DEVICE, 1000, &a, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_PINNED, 5000, &b, err);
    if (status == STOA_OK) status = stoa_queue_fill(async, stoa_buffer_data(a), 1, 1000, err);
    if (status == STOA_OK) status = stoa_event_record(event, async, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 0, &empty, err);
    if (status == STOA_OK) status = stoa_buffer_create(async, STOA_MEMORY_DEVICE, 70000, &c, err);
    stoa_buffer_release(a);
    stoa_buffer_release(b);
    stoa_buffer_release(c);
    stoa_buffer_release(empty);
    stoa_event_destroy(event);
    stoa_queue_destroy(async);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return status;
}

static void memory_that_runs_out_leaks_nothing(void **state)
{
    (void)state;
    assert_true(assert_memory_may_run_out(scenario) > 15);
}

/* When the back end has no more, what is idle in the cache goes back and the request is tried again. */
static void a_raw_failure_drops_the_cache_first(void **state)
{
    (void)state;
    if (!device_is_host()) skip(); /* other devices' memory does not come through the hook: see test_cuda_trace */
    fixture self;
    open_with(&self, NULL);
    stoa_buffer_release(make(self.blocking, 4096));
    assert_stats(&self, 0, 0, 4096);
    atomic_store(&failing_memory.calls, 0);
    failing_memory.fail_at = 3; /* block, event, memory */
    failing_memory.persistent = false;
    stoa_buffer *buffer = make(self.blocking, 100000);
    assert_stats(&self, 131072, 100000, 0);
    atomic_store(&failing_memory.calls, 0);
    failing_memory.fail_at = 3;
    stoa_buffer *none;
    stoa_error err;
    assert_int_equal(stoa_buffer_create(self.blocking, STOA_MEMORY_DEVICE, 300000, &none, &err), STOA_ENOMEM);
    failing_memory.fail_at = 0;
    assert_non_null(strstr(err.message, "524288 bytes wanted, 131072 live, 0 cached"));
    assert_stats(&self, 131072, 100000, 0);
    stoa_buffer_release(buffer);
    close_all(&self);
}

/* Several threads, a queue each, one allocator: every block is written before and checked after. */
typedef struct worker {
    stoa_device *device;
    uint32_t seed;
    uint32_t wrong;
} worker;

static void *allocate_and_check(void *user)
{
    worker *self = user;
    stoa_queue *queue;
    if (stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &queue, NULL) != STOA_OK) abort();
    stoa_buffer *wrong = make_shared(queue, sizeof(uint32_t));
    for (int i = 0; i < 2000; i++) {
        self->seed = self->seed * 1664525u + 1013904223u;
        uint32_t bytes = 1 + (self->seed >> 16) % 3000;
        stoa_buffer *buffer;
        if (stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &buffer, NULL) != STOA_OK) abort();
        check_args args = {stoa_buffer_data(buffer), stoa_buffer_data(wrong), bytes, (uint8_t)(self->seed >> 8)};
        if (stoa_queue_fill(queue, stoa_buffer_data(buffer), (uint8_t)args.value, bytes, NULL) != STOA_OK) abort();
        if (stoa_queue_launch(queue, &test_check_bytes_kernel, &args, NULL) != STOA_OK) abort();
        stoa_buffer_release(buffer);
        if (i % 500 == 499 && stoa_device_memory_trim(self->device, STOA_MEMORY_DEVICE, 0, NULL) != STOA_OK) abort();
    }
    if (stoa_queue_wait(queue, NULL) != STOA_OK) abort();
    self->wrong = *(const uint32_t *)stoa_buffer_data(wrong);
    stoa_buffer_release(wrong);
    stoa_queue_destroy(queue);
    return NULL;
}

static void threads_share_one_allocator(void **state)
{
    (void)state;
    enum { N = 4 };
    worker workers[N];
    pthread_t threads[N];
    stoa_device *device;
    stoa_device_options options = {.struct_size = sizeof options, .cache_limit_bytes = 16384};
    OK(stoa_device_open_with(device_under_test(), &options, &device, NULL));
    for (uint32_t i = 0; i < N; i++) {
        workers[i].device = device;
        workers[i].seed = 17 + i; /* fixed: the interleaving is what varies */
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_check, &workers[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    stoa_memory_stats stats = {.struct_size = sizeof stats};
    OK(stoa_device_memory_stats(device, STOA_MEMORY_DEVICE, &stats, NULL));
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.requested_bytes, 0);
    assert_int_equal(stats.alloc_calls, N * 2000);
    assert_true(stats.cached_bytes <= 16384);
    stoa_device_close(device);
    assert_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmssw_counters_and_reuse),
        cmocka_unit_test(bins_are_powers_of_two_then_two_mib),
        cmocka_unit_test(blocks_above_a_gibibyte),
        cmocka_unit_test(an_empty_buffer_is_a_buffer),
        cmocka_unit_test(queues_do_not_share_a_block_too_early),
        cmocka_unit_test(pinned_memory_is_the_hosts_at_once),
        cmocka_unit_test(moved_to_another_queue),
        cmocka_unit_test(released_after_its_queue),
        cmocka_unit_test(cached_buffers_take_no_heap_memory),
        cmocka_unit_test(limit_on_all_memory),
        cmocka_unit_test(limit_on_the_cache),
        cmocka_unit_test(trim_keeps_what_it_was_told_to),
        cmocka_unit_test(debug_fill_marks_both_ways),
        cmocka_unit_test(closing_with_live_buffers_warns_and_frees),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(memory_that_runs_out_leaks_nothing),
        cmocka_unit_test(a_raw_failure_drops_the_cache_first),
        cmocka_unit_test(threads_share_one_allocator),
    };
    require_device();
    return cmocka_run_group_tests_name("allocator", tests, install_failing_memory, remove_failing_memory);
}
