/* SPDX-License-Identifier: Apache-2.0 */
/* Queues: the cases of alpaka's queue and memory tests (cmssw-inventory 4.8), argument errors, the device itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "device_kernels.h"
#include "device_under_test.h"
#include "stoa/memory.h"

#define OK(call) assert_int_equal((call), STOA_OK)

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue[2]; /* by stoa_queue_kind */
} fixture;

static int set_up(void **state)
{
    static fixture self;
    *state = &self;
    OK(stoa_device_open(device_under_test(), &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_BLOCKING, &self.queue[0], NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue[1], NULL));
    return 0;
}

static int tear_down(void **state)
{
    fixture *self = *state;
    for (int i = 0; i < 2; i++) stoa_queue_destroy(self->queue[i]);
    stoa_device_close(self->device);
    return 0;
}

/* A task that holds its queue until the gate is opened. */
static void pass_gate(void *gate)
{
    while (sem_wait(gate) != 0) continue;
}

static atomic_int plain_runs;
static void plain(const void *args)
{
    if (!args) atomic_fetch_add(&plain_runs, 1);
}
static const stoa_kernel plain_kernel = {sizeof plain_kernel, 0, "test_plain", plain, 0, 0};

static void kernels_with_and_without_arguments(void **state)
{
    fixture *self = *state;
    for (int k = 0; k < 2; k++) {
        atomic_store(&plain_runs, 0);
        stoa_buffer *buffer = make_shared(self->queue[k], 1000 * sizeof(int32_t));
        int32_t *out = stoa_buffer_data(buffer);
        iota_args args = {out, 7, 1000};
        OK(stoa_queue_launch(self->queue[k], &test_iota_kernel, &args, NULL));
        memset(&args, 0, sizeof args); /* they were copied */
        if (device_is_host()) OK(stoa_queue_launch(self->queue[k], &plain_kernel, NULL, NULL));
        OK(stoa_queue_wait(self->queue[k], NULL));
        for (int i = 0; i < 1000; i++) assert_int_equal(out[i], 7 + i);
        assert_int_equal(atomic_load(&plain_runs), device_is_host());
        stoa_buffer_release(buffer);
    }
}

/* 42 -> 0 -> iota, through device buffers, as alpaka's test has it. */
static void copy_and_fill_round_trip(void **state)
{
    enum { N = 4096 };
    fixture *self = *state;
    for (int k = 0; k < 2; k++) {
        stoa_queue *queue = self->queue[k];
        stoa_buffer *a, *b;
        OK(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, N, &a, NULL));
        OK(stoa_buffer_create(queue, STOA_MEMORY_PINNED, N, &b, NULL));
        uint8_t host[N];
        OK(stoa_queue_fill(queue, stoa_buffer_data(a), 42, N, NULL));
        OK(stoa_queue_copy(queue, stoa_buffer_data(b), stoa_buffer_data(a), N, NULL));
        OK(stoa_queue_copy(queue, host, stoa_buffer_data(b), N, NULL));
        OK(stoa_queue_wait(queue, NULL));
        for (int i = 0; i < N; i++) assert_int_equal(host[i], 42);
        OK(stoa_queue_fill(queue, stoa_buffer_data(a), 0, N, NULL));
        OK(stoa_queue_copy(queue, host, stoa_buffer_data(a), N, NULL));
        OK(stoa_queue_wait(queue, NULL));
        for (int i = 0; i < N; i++) assert_int_equal(host[i], 0);
        iota_args args = {stoa_buffer_data(a), 0, N / 4};
        int32_t values[N / 4];
        OK(stoa_queue_launch(queue, &test_iota_kernel, &args, NULL));
        OK(stoa_queue_copy(queue, values, stoa_buffer_data(a), N, NULL));
        OK(stoa_queue_wait(queue, NULL));
        for (int i = 0; i < N / 4; i++) assert_int_equal(values[i], i);
        stoa_buffer_release(a);
        stoa_buffer_release(b);
    }
}

static void copies_in_two_dimensions(void **state)
{
    fixture *self = *state;
    for (int k = 0; k < 2; k++) {
        uint8_t src[5 * 16], packed[5 * 10];
        stoa_buffer *buffer = make_shared(self->queue[k], 5 * 24);
        uint8_t *dst = stoa_buffer_data(buffer);
        for (size_t i = 0; i < sizeof src; i++) src[i] = (uint8_t)i;
        memset(dst, 0xEE, 5 * 24);
        OK(stoa_queue_copy_2d(self->queue[k], dst, 24, src, 16, 10, 5, NULL));
        OK(stoa_queue_copy_2d(self->queue[k], packed, 10, dst, 24, 10, 5, NULL));
        OK(stoa_queue_wait(self->queue[k], NULL));
        for (size_t row = 0; row < 5; row++)
            for (size_t i = 0; i < 24; i++) assert_int_equal(dst[row * 24 + i], i < 10 ? row * 16 + i : 0xEE);
        for (size_t i = 0; i < 50; i++) assert_int_equal(packed[i], i / 10 * 16 + i % 10);
        OK(stoa_queue_copy_2d(self->queue[k], NULL, 0, NULL, 0, 0, 5, NULL));
        OK(stoa_queue_copy_2d(self->queue[k], NULL, 24, NULL, 16, 10, 0, NULL));
        OK(stoa_queue_copy(self->queue[k], NULL, NULL, 0, NULL));
        OK(stoa_queue_fill(self->queue[k], NULL, 1, 0, NULL));
        stoa_buffer_release(buffer);
    }
}

static void host_tasks_wait_and_idle(void **state)
{
    fixture *self = *state;
    sem_t gate;
    sem_init(&gate, 0, 0);
    bool idle = false;
    OK(stoa_queue_is_idle(self->queue[1], &idle, NULL));
    assert_true(idle);
    OK(stoa_queue_enqueue(self->queue[1], pass_gate, &gate, NULL));
    OK(stoa_queue_is_idle(self->queue[1], &idle, NULL));
    assert_false(idle);
    sem_post(&gate);
    OK(stoa_queue_wait(self->queue[1], NULL));
    OK(stoa_queue_is_idle(self->queue[1], &idle, NULL));
    assert_true(idle);
    OK(stoa_queue_enqueue(self->queue[1], pass_gate, &gate, NULL));
    sem_post(&gate);
    OK(stoa_device_wait(self->device, NULL));
    OK(stoa_queue_is_idle(self->queue[1], &idle, NULL));
    assert_true(idle);
    sem_post(&gate); /* a blocking queue runs the task at once, in this thread */
    OK(stoa_queue_enqueue(self->queue[0], pass_gate, &gate, NULL));
    assert_int_equal(sem_trywait(&gate), -1);
    OK(stoa_queue_is_idle(self->queue[0], &idle, NULL));
    assert_true(idle);
    sem_destroy(&gate);
}

typedef struct log_task {
    uint32_t *next, value;
    bool in_order;
} log_task;

static void log_order(void *user)
{
    log_task *task = user;
    task->in_order = (*task->next)++ == task->value;
}

/* Ten times what the ring holds: the order is kept, the caller waits for free entries, nothing is allocated. */
static void full_ring_keeps_the_order_and_allocates_nothing(void **state)
{
    enum { N = 1280 };
    fixture *self = *state;
    static log_task tasks[N];
    stoa_buffer *buffer = make_shared(self->queue[1], N + 4 * 8 * sizeof(int32_t));
    int32_t (*out)[8] = stoa_buffer_data(buffer);
    uint8_t *bytes = (uint8_t *)out[4];
    uint32_t next = 0;
    iota_args args[4];
    stoa_event *event;
    OK(stoa_event_create(self->device, &event, NULL));
    uint64_t before = stoa_alloc_count();
    for (uint32_t i = 0; i < N; i++) {
        tasks[i] = (log_task){&next, i, false};
        OK(stoa_queue_enqueue(self->queue[1], log_order, &tasks[i], NULL));
        if (i % 4 == 0) OK(stoa_queue_fill(self->queue[1], &bytes[i], 9, 1, NULL));
        args[i % 4] = (iota_args){out[i % 4], (int32_t)i, 8};
        OK(stoa_queue_launch(self->queue[1], &test_iota_kernel, &args[i % 4], NULL));
        OK(stoa_event_record(event, self->queue[1], NULL));
        OK(stoa_queue_wait_event(self->queue[1], event, NULL));
    }
    OK(stoa_event_wait(event, NULL));
    assert_int_equal(stoa_alloc_count(), before);
    OK(stoa_queue_wait(self->queue[1], NULL));
    for (uint32_t i = 0; i < N; i++) {
        assert_true(tasks[i].in_order);
        assert_int_equal(bytes[i], i % 4 == 0 ? 9 : 0);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(out[i][0], N - 4 + i);
    stoa_event_destroy(event);
    stoa_buffer_release(buffer);
}

static void arguments_of_the_largest_size(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer = make_shared(self->queue[1], sizeof(uint64_t));
    const uint64_t *sum = stoa_buffer_data(buffer);
    big_args args = {.sum = stoa_buffer_data(buffer)};
    for (size_t i = 0; i < sizeof args.bytes; i++) args.bytes[i] = (unsigned char)i;
    for (int i = 0; i < 300; i++) OK(stoa_queue_launch(self->queue[1], &test_add_bytes_kernel, &args, NULL));
    OK(stoa_queue_wait(self->queue[1], NULL));
    uint64_t once = 0;
    for (size_t i = 0; i < sizeof args.bytes; i++) once += args.bytes[i];
    assert_int_equal(*sum, 300 * once);
    stoa_buffer_release(buffer);
}

static void destroy_finishes_what_is_enqueued(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer = make_shared(self->queue[0], 64);
    uint8_t *bytes = stoa_buffer_data(buffer);
    for (int round = 0; round < 50; round++) {
        stoa_queue *queue;
        OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &queue, NULL));
        memset(bytes, 0, 64);
        for (int i = 0; i < 64; i++) OK(stoa_queue_fill(queue, bytes + i, 3, 1, NULL));
        stoa_queue_destroy(queue);
        for (int i = 0; i < 64; i++) assert_int_equal(bytes[i], 3);
    }
    stoa_queue_destroy(NULL);
    stoa_buffer_release(buffer);
}

/* An application's executor: a list of tasks that runs when the test says so, or takes none. */
typedef struct task_list {
    struct {
        stoa_host_task run;
        void *user;
    } task[256];
    uint32_t taken, done;
    bool at_once, refuses;
} task_list;

static void run_tasks(task_list *self)
{
    for (; self->done < self->taken; self->done++) self->task[self->done].run(self->task[self->done].user);
}

static stoa_status take_task(void *user, stoa_host_task task, void *task_user, stoa_error *err)
{
    task_list *self = user;
    if (self->refuses) return STOA_FAIL(err, STOA_ENOMEM, "the list of tasks is full");
    self->task[self->taken].run = task;
    self->task[self->taken++].user = task_user;
    if (self->at_once) run_tasks(self);
    return STOA_OK;
}

static void an_executor_runs_the_entries_of_its_queue(void **state)
{
    if (!device_is_host()) return; /* other devices wrap streams: streams_of_the_application */
    fixture *self = *state;
    for (int at_once = 0; at_once < 2; at_once++) {
        task_list list = {.at_once = at_once};
        stoa_host_executor executor = {sizeof executor, take_task, &list};
        stoa_queue *queue;
        stoa_event *event;
        stoa_error err;
        bool idle, done;
        unsigned char from[4] = {1, 2, 3, 4}, to[4] = {0};
        OK(stoa_queue_wrap(self->device, &executor, &queue, NULL));
        assert_ptr_equal(stoa_queue_native(queue), &executor);
        assert_int_equal(stoa_queue_get_kind(queue), STOA_QUEUE_ASYNC);
        OK(stoa_event_create(self->device, &event, NULL));

        const uint64_t allocations = stoa_alloc_count();
        OK(stoa_queue_fill(queue, to, 9, 4, NULL));
        OK(stoa_queue_copy(queue, to, from, 2, NULL));
        OK(stoa_event_record(event, queue, NULL));
        list.refuses = true;
        assert_int_equal(stoa_queue_fill(queue, to, 7, 4, &err), STOA_ENOMEM);
        assert_string_equal(err.message, "the list of tasks is full");
        list.refuses = false;
        assert_int_equal(stoa_alloc_count(), allocations);

        assert_int_equal(list.taken, 2);
        OK(stoa_queue_is_idle(queue, &idle, NULL));
        OK(stoa_event_is_done(event, &done, NULL));
        assert_true(idle == at_once && done == at_once && to[0] == at_once);
        run_tasks(&list);
        OK(stoa_queue_wait(queue, NULL)); /* the entry that was refused is not waited for */
        OK(stoa_event_wait(event, NULL));
        assert_true(to[0] == 1 && to[1] == 2 && to[2] == 9 && to[3] == 9);
        stoa_event_destroy(event);
        stoa_queue_destroy(queue);
    }
}

static void executors_that_are_none(void **state)
{
    if (!device_is_host()) return;
    fixture *self = *state;
    stoa_host_executor executor = {sizeof executor, NULL, NULL};
    stoa_queue *made = self->queue[0];
    stoa_error err;
    assert_int_equal(stoa_queue_wrap(self->device, NULL, &made, &err), STOA_EINVAL);
    assert_null(made);
    assert_int_equal(stoa_queue_wrap(self->device, &executor, &made, &err), STOA_EINVAL);
    executor = (stoa_host_executor){4, take_task, NULL};
    assert_int_equal(stoa_queue_wrap(self->device, &executor, &made, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "4 given"));
}

static void argument_errors_name_both_values(void **state)
{
    fixture *self = *state;
    stoa_queue *queue = self->queue[1], *made = queue;
    stoa_error err;
    char byte = 0;
    bool idle;
    assert_int_equal(stoa_queue_create(self->device, (stoa_queue_kind)7, &made, &err), STOA_EINVAL);
    assert_null(made);
    assert_non_null(strstr(err.message, "7"));
    assert_int_equal(stoa_queue_create(NULL, STOA_QUEUE_ASYNC, &made, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, NULL, &err), STOA_EINVAL);
    assert_null(made);
    assert_int_equal(stoa_queue_enqueue(queue, NULL, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_copy(queue, &byte, NULL, 1, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_copy(queue, NULL, &byte, 1, NULL), STOA_EINVAL);
    assert_int_equal(stoa_queue_copy_2d(queue, &byte, 4, &byte, 8, 5, 1, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "5 bytes: pitch of 4"));
    assert_int_equal(stoa_queue_fill(queue, NULL, 0, 1, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_wait(NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_is_idle(queue, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_is_idle(NULL, &idle, &err), STOA_EINVAL);

    stoa_kernel kernel = {sizeof kernel, STOA_KERNEL_ARGS_MAX_BYTES + 1, "test_too_big", plain, 0, 0};
    assert_int_equal(stoa_queue_launch(queue, &kernel, &byte, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "test_too_big"));
    assert_non_null(strstr(err.message, "3969 bytes of arguments, at most 3968"));
    kernel.args_bytes = 8;
    assert_int_equal(stoa_queue_launch(queue, &kernel, NULL, &err), STOA_EINVAL);
    kernel.struct_size = 0;
    assert_int_equal(stoa_queue_launch(queue, &kernel, &byte, &err), STOA_EINVAL);
    kernel = (stoa_kernel){sizeof kernel, 0, "test_device_only", NULL};
    assert_int_equal(stoa_queue_launch(queue, &kernel, NULL, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "test_device_only"));
    assert_int_equal(stoa_queue_launch(queue, NULL, NULL, &err), STOA_EINVAL);
    assert_true((stoa_queue_native(queue) == NULL) == device_is_host());
    assert_ptr_equal(stoa_queue_device(queue), self->device);
    assert_int_equal(stoa_queue_get_kind(queue), STOA_QUEUE_ASYNC);
}

static void the_device_describes_itself(void **state)
{
    fixture *self = *state;
    stoa_device_info info = {.struct_size = sizeof info};
    OK(stoa_device_describe(self->device, &info, NULL));
    assert_int_equal(info.place.type, strcmp(backend_under_test(), "hip") == 0 ? STOA_PLACE_ROCM
                                      : device_is_host()                       ? STOA_PLACE_HOST
                                                                               : STOA_PLACE_CUDA);
    assert_true(strlen(info.name) > 0 && strlen(info.features) > 0);
    assert_true(info.memory_bytes > info.memory_free_bytes && info.memory_free_bytes > 0);
    assert_true(info.compute_units > 0 && info.lane_width > 0);
#ifdef __x86_64__
    if (device_is_host()) assert_non_null(strstr(info.features, "sse2"));
#endif
    stoa_error err;
    info.struct_size = 4;
    assert_int_equal(stoa_device_describe(self->device, &info, &err), STOA_EINVAL);
}

static void places_that_see_each_other(void **state)
{
    (void)state;
    stoa_place host = {STOA_PLACE_HOST, 0}, pinned = {STOA_PLACE_CUDA_HOST, 0};
    stoa_place cuda0 = {STOA_PLACE_CUDA, 0}, cuda1 = {STOA_PLACE_CUDA, 1};
    assert_true(stoa_place_accessible(host, pinned) && stoa_place_accessible(pinned, host));
    assert_true(stoa_place_accessible(cuda1, cuda1) && stoa_place_accessible(pinned, cuda1));
    assert_false(stoa_place_accessible(cuda0, cuda1) || stoa_place_accessible(cuda0, host));
    stoa_place rocm = {STOA_PLACE_ROCM, 0}, rocm_pinned = {11, 0}; /* DLPack's kDLROCMHost */
    assert_true(stoa_place_accessible(host, rocm_pinned) && stoa_place_accessible(rocm_pinned, rocm));
    assert_false(stoa_place_accessible(cuda0, rocm) || stoa_place_accessible(pinned, rocm) || stoa_place_accessible(rocm_pinned, cuda0));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(kernels_with_and_without_arguments),
        CASE(copy_and_fill_round_trip),
        CASE(copies_in_two_dimensions),
        CASE(host_tasks_wait_and_idle),
        CASE(full_ring_keeps_the_order_and_allocates_nothing),
        CASE(arguments_of_the_largest_size),
        CASE(destroy_finishes_what_is_enqueued),
        CASE(an_executor_runs_the_entries_of_its_queue),
        CASE(executors_that_are_none),
        CASE(argument_errors_name_both_values),
        CASE(the_device_describes_itself),
        CASE(places_that_see_each_other),
    };
    require_device();
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
