/* SPDX-License-Identifier: Apache-2.0 */
/* One model, many threads and sessions: bit-equal results, no allocation, memory that grows by the workspaces only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/stoa.h"

enum { THREADS = 4, SESSIONS = 3, ROWS = 777, INPUTS = 30, REPEATS = 5 };
static const stoa_place host = {STOA_PLACE_HOST, 0};

static float input(int row, int column) { return (float)((row * 37 + column * 101) % 200) * 0.02f - 2.0f; }

typedef struct job {
    const stoa_model *model;
    stoa_device *device;
    uint32_t seed;
    float *scores; /* [SESSIONS][ROWS] */
    stoa_status status;
    stoa_error err;
} job;

static stoa_status run_sessions(job *j)
{
    stoa_error *err = &j->err;
    float *columns = malloc(sizeof(float) * INPUTS * ROWS);
    stoa_column x[INPUTS];
    for (int c = 0; c < INPUTS; c++) {
        for (int i = 0; i < ROWS; i++) columns[c * ROWS + i] = input(i, c);
        x[c] = stoa_column_over_const(columns + c * ROWS, STOA_FLOAT32, ROWS, 1, host);
    }
    for (int s = 0; s < SESSIONS; s++) {
        stoa_queue *queue;
        stoa_session *session;
        STOA_TRY(stoa_queue_create(j->device, s % 2 ? STOA_QUEUE_ASYNC : STOA_QUEUE_BLOCKING, &queue, err));
        STOA_TRY(stoa_session_create(j->model, queue, ROWS, NULL, &session, err));
        const stoa_column y = stoa_column_over(j->scores + s * ROWS, STOA_FLOAT32, ROWS, 1, host);
        STOA_TRY(stoa_session_bind(session, "x", stoa_tensor_of(x, INPUTS), err));
        STOA_TRY(stoa_session_bind(session, "y", stoa_tensor_of(&y, 1), err));
        for (int r = 0; r < REPEATS; r++) { /* whole, then in pieces that differ from thread to thread */
            const uint32_t piece = r == 0 ? ROWS : 1 + (j->seed * 131u + (uint32_t)r * 17u) % 90u;
            for (uint32_t first = 0; first < ROWS; first += piece)
                STOA_TRY(stoa_session_run_rows(session, first, first + piece < ROWS ? piece : ROWS - first, err));
        }
        STOA_TRY(stoa_queue_wait(queue, err));
        stoa_session_destroy(session);
        stoa_queue_destroy(queue);
    }
    free(columns);
    return STOA_OK;
}

static void *thread_main(void *user)
{
    job *j = user;
    j->status = run_sessions(j);
    return NULL;
}

static stoa_model *load(void)
{
    stoa_error err;
    stoa_model *model;
    if (stoa_model_load(STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx", NULL, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    return model;
}

static void threads_agree_to_the_bit(void **state)
{
    (void)state;
    stoa_error err;
    stoa_device *device;
    assert_int_equal(stoa_device_open("host", &device, &err), STOA_OK);
    stoa_model *model = load();
    static float scores[THREADS][SESSIONS * ROWS];
    static job jobs[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t t = 0; t < THREADS; t++) {
        jobs[t] = (job){.model = model, .device = device, .seed = t, .scores = scores[t]};
        assert_int_equal(pthread_create(&threads[t], NULL, thread_main, &jobs[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    for (int t = 0; t < THREADS; t++) {
        if (jobs[t].status != STOA_OK) fail_msg("%s", jobs[t].err.message);
        for (int s = 0; s < SESSIONS; s++) assert_memory_equal(scores[t] + s * ROWS, scores[0], sizeof(float) * ROWS);
    }
    assert_true(scores[0][0] > 0.0f && scores[0][0] < 1.0f && scores[0][0] != scores[0][ROWS - 1]);
    stoa_model_destroy(model);
    stoa_device_close(device);
}

/* What the library holds at this moment, by the allocation hook. */
static atomic_llong held_bytes;

static void *held_alloc(void *user, size_t bytes, size_t align_bytes)
{
    (void)user;
    void *memory = NULL;
    if (posix_memalign(&memory, align_bytes < sizeof(void *) ? sizeof(void *) : align_bytes, bytes ? bytes : 1)) return NULL;
    atomic_fetch_add(&held_bytes, (long long)bytes);
    return memory;
}

static void held_free(void *user, void *pointer, size_t bytes)
{
    (void)user;
    if (pointer) atomic_fetch_sub(&held_bytes, (long long)bytes);
    free(pointer);
}

/* Weights, schema, plan and workspace: all that a process with one model and one session has of the library beside its device and queue. */
static void model_and_session_fit_a_mebibyte(void **state)
{
    (void)state;
    stoa_error err;
    stoa_device *device;
    stoa_queue *queue;
    stoa_session *session;
    assert_int_equal(stoa_device_open("host", &device, &err), STOA_OK);
    assert_int_equal(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err), STOA_OK);
    const long long before = atomic_load(&held_bytes);
    stoa_model *model = load();
    const long long of_model = atomic_load(&held_bytes) - before;
    assert_int_equal(stoa_session_create(model, queue, 100000, NULL, &session, &err), STOA_OK);
    const long long of_both = atomic_load(&held_bytes) - before;
    print_message("30-64-64-1 and a session for 100,000 rows: %lld bytes, %lld of them the model's\n", of_both, of_model);
    assert_in_range(of_model, 4 * stoa_model_schema(model)->parameters, of_both);
    assert_true(of_both < 1 << 20);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    assert_int_equal(atomic_load(&held_bytes), 0);
}

static void sessions_cost_their_workspace(void **state)
{
    (void)state;
    enum { MANY = 64 };
    stoa_error err;
    stoa_device *device;
    stoa_queue *queue;
    stoa_session *sessions[MANY];
    assert_int_equal(stoa_device_open("host", &device, &err), STOA_OK);
    assert_int_equal(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err), STOA_OK);
    stoa_model *model = load();
    for (int i = 0; i < MANY; i++) assert_int_equal(stoa_session_create(model, queue, 100000, NULL, &sessions[i], &err), STOA_OK);
    stoa_session_stats stats = {.struct_size = sizeof stats};
    stoa_memory_stats memory = {.struct_size = sizeof memory};
    assert_int_equal(stoa_session_get_stats(sessions[0], &stats, &err), STOA_OK);
    assert_int_equal(stoa_device_memory_stats(device, STOA_MEMORY_DEVICE, &memory, &err), STOA_OK);
    print_message("%d sessions for 100,000 rows: %llu bytes of workspace each\n", MANY, (unsigned long long)stats.workspace_bytes);
    assert_int_equal(memory.requested_bytes, MANY * stats.workspace_bytes);
    assert_true(stats.workspace_bytes < 1u << 20);
    for (int i = 0; i < MANY; i++) stoa_session_destroy(sessions[i]);
    stoa_model_destroy(model);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}

int main(void)
{
    const stoa_allocator held = {sizeof held, held_alloc, held_free, NULL};
    if (stoa_allocator_set(&held, NULL) != STOA_OK) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_agree_to_the_bit), cmocka_unit_test(model_and_session_fit_a_mebibyte),
                                       cmocka_unit_test(sessions_cost_their_workspace)};
    return cmocka_run_group_tests_name("native threads", tests, NULL, NULL);
}
