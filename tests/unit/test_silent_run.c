/* SPDX-License-Identifier: Apache-2.0 */
/* "run allocates nothing, locks nothing, starts nothing", by what the process does: this program's own malloc, pthread_mutex_lock and
 * others stand before the C library's, count the calls of any thread while a run goes on, and pass them on. What the library's hooks
 * do not see they see: libm, the loader, the worker. An asynchronous queue hands each entry over by semaphores, which are the one thing
 * that is allowed: sem_wait where the ring is full or empty, sem_post for each entry, neither of which allocates or locks. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stoa/stoa.h"

enum { ROWS = 1000, INPUTS = 30, ROUNDS = 200 };

static atomic_bool watching;

#define COUNTED(X) \
    X(allocations) \
    X(frees) \
    X(locks) \
    X(waits) \
    X(threads) \
    X(maps) \
    X(posts)
typedef struct counts {
#define COUNTER(name) atomic_ullong name;
    COUNTED(COUNTER)
#undef COUNTER
} counts;
static counts seen;

#define COUNT(name) ((void)(atomic_load(&watching) && atomic_fetch_add(&seen.name, 1)))

#if defined(__GLIBC__)

/* ---- in front of the C library: visible, that libraries find them too ---- */

#pragma GCC visibility push(default)

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align_bytes, size_t bytes);
void __libc_free(void *memory);

void *malloc(size_t bytes) { return COUNT(allocations), __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return COUNT(allocations), __libc_calloc(count, bytes); }
void *realloc(void *memory, size_t bytes) { return COUNT(allocations), __libc_realloc(memory, bytes); }
void *aligned_alloc(size_t align_bytes, size_t bytes) { return COUNT(allocations), __libc_memalign(align_bytes, bytes); }
void *memalign(size_t align_bytes, size_t bytes) { return COUNT(allocations), __libc_memalign(align_bytes, bytes); }
int posix_memalign(void **memory, size_t align_bytes, size_t bytes)
{
    COUNT(allocations);
    return (*memory = __libc_memalign(align_bytes, bytes)) ? 0 : ENOMEM;
}
void free(void *memory)
{
    COUNT(frees);
    __libc_free(memory);
}

/* The next function of that name, found before it is first counted. */
#define FORWARD(result, name, counter, parameters, arguments) \
    static result(*next_##name) parameters; \
    result name parameters \
    { \
        if (!next_##name) { \
            void *found = dlsym(RTLD_NEXT, #name); \
            memcpy(&next_##name, &found, sizeof found); \
        } \
        COUNT(counter); \
        return next_##name arguments; \
    }
FORWARD(int, pthread_mutex_lock, locks, (pthread_mutex_t * mutex), (mutex))
FORWARD(int, pthread_mutex_trylock, locks, (pthread_mutex_t * mutex), (mutex))
FORWARD(int, pthread_rwlock_rdlock, locks, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_rwlock_wrlock, locks, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_spin_lock, locks, (pthread_spinlock_t * lock), (lock))
FORWARD(int, pthread_cond_wait, waits, (pthread_cond_t * condition, pthread_mutex_t *mutex), (condition, mutex))
FORWARD(int, pthread_create, threads, (pthread_t * thread, const pthread_attr_t *how, void *(*main)(void *), void *user),
        (thread, how, main, user))
FORWARD(void *, mmap, maps, (void *at, size_t bytes, int protection, int flags, int file, off_t offset),
        (at, bytes, protection, flags, file, offset))
FORWARD(int, sem_post, posts, (sem_t * semaphore), (semaphore))

#pragma GCC visibility pop
#define INTERPOSES 1
#else
#define INTERPOSES 0 /* another C library has other names behind these */
#endif

static void watch(void)
{
#define RESET(name) atomic_store(&seen.name, 0);
    COUNTED(RESET)
#undef RESET
    atomic_store(&watching, true);
}

static void watch_no_more(void) { atomic_store(&watching, false); }

static uint64_t sum_of_seen(void) { return seen.allocations + seen.frees + seen.locks + seen.waits + seen.threads + seen.maps; }

/* ---- a model, its columns, a queue of either kind ---- */

typedef struct bench {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
} bench;

static float inputs[INPUTS * ROWS], scores[ROWS];

static void ok(stoa_status status, const stoa_error *err)
{
    if (status != STOA_OK) fail_msg("%s", err->message);
}

static void bind(stoa_session *session, const char *name, float *data, uint32_t count)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    stoa_column columns[INPUTS];
    stoa_error err;
    for (uint32_t k = 0; k < count; k++) columns[k] = stoa_column_over(data + (size_t)k * ROWS, STOA_FLOAT32, ROWS, 1, host);
    ok(stoa_session_bind(session, name, stoa_tensor_of(columns, count), &err), &err);
}

static bench open_bench(stoa_queue_kind kind)
{
    bench b;
    stoa_error err;
    for (int i = 0; i < INPUTS * ROWS; i++) inputs[i] = (float)(i % 17) / 17.0f - 0.5f;
    ok(stoa_device_open("host", &b.device, &err), &err);
    ok(stoa_queue_create(b.device, kind, &b.queue, &err), &err);
    ok(stoa_model_load(STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx", NULL, &b.model, &err), &err);
    ok(stoa_session_create(b.model, b.queue, ROWS, NULL, &b.session, &err), &err);
    const stoa_schema *schema = stoa_model_schema(b.model);
    bind(b.session, schema->inputs[0].name, inputs, INPUTS);
    bind(b.session, schema->outputs[0].name, scores, 1);
    return b;
}

static void close_bench(bench *b)
{
    stoa_session_destroy(b->session);
    stoa_model_destroy(b->model);
    stoa_queue_destroy(b->queue);
    stoa_device_close(b->device);
}

/* All rows, some of them, a row alone. */
static void run_all(stoa_session *session)
{
    stoa_error err;
    for (int round = 0; round < ROUNDS; round++) {
        ok(stoa_session_run(session, ROWS, &err), &err);
        ok(stoa_session_run_rows(session, 7, 100, &err), &err);
        ok(stoa_session_run(session, 1, &err), &err);
    }
}

/* By polling: the wait of a queue is the one call that may lock, and no part of a run. */
static void until_idle(stoa_queue *queue)
{
    stoa_error err;
    for (bool idle = false; !idle;) ok(stoa_queue_is_idle(queue, &idle, &err), &err);
}

static void nothing_behind_a_run(void **state)
{
    if (!INTERPOSES) skip();
    const stoa_queue_kind kind = *(const stoa_queue_kind *)*state;
    bench b = open_bench(kind);
    stoa_error err;
    run_all(b.session);
    ok(stoa_queue_wait(b.queue, &err), &err);
    watch();
    run_all(b.session);
    until_idle(b.queue);
    watch_no_more();
    print_message(
        "%d runs on %s queue: %llu allocations, %llu frees, %llu locks, %llu waits, %llu threads, %llu maps, %llu posts of a semaphore\n",
        3 * ROUNDS, kind == STOA_QUEUE_ASYNC ? "an asynchronous" : "a blocking", seen.allocations, seen.frees, seen.locks, seen.waits,
        seen.threads, seen.maps, seen.posts);
    assert_int_equal(sum_of_seen(), 0);
    if (kind == STOA_QUEUE_ASYNC) assert_true(seen.posts >= 3 * ROUNDS); /* the counting works, and this is how entries are handed over */
    else assert_int_equal(seen.posts, 0);
    assert_true(scores[0] > 0.0f && scores[0] < 1.0f);
    close_bench(&b);
}

/* What makes a run possible is seen, or the test above would prove nothing. */
static void set_up_is_seen(void **state)
{
    (void)state;
    if (!INTERPOSES) skip();
    watch();
    bench b = open_bench(STOA_QUEUE_ASYNC);
    watch_no_more();
    assert_true(seen.allocations > 0 && seen.locks > 0);
    assert_int_equal(seen.threads, 1);
    close_bench(&b);
}

int main(void)
{
    stoa_queue_kind blocking = STOA_QUEUE_BLOCKING, async = STOA_QUEUE_ASYNC;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_up_is_seen),
        cmocka_unit_test_prestate(nothing_behind_a_run, &blocking),
        cmocka_unit_test_prestate(nothing_behind_a_run, &async),
    };
    return cmocka_run_group_tests_name("silent run", tests, NULL, NULL);
}
