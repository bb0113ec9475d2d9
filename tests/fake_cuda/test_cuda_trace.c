/* SPDX-License-Identifier: Apache-2.0 */
/* What a GPU back end asks of the driver: counts, order, lifetime, contexts, captures, faults. Linked with the fake driver. The HIP
 * back end asks the same of the fake runtime, whose functions call those of the driver, and so are counted by the driver's names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <string.h>

#include "nothing_left.h"
#include "stoa/algo.h"
#include "stoa/memory.h"
#include "unit/device_kernels.h"
#include "unit/device_under_test.h"

#define OK(call) assert_int_equal((call), STOA_OK)

static bool is_hip(void) { return strcmp(backend_under_test(), "hip") == 0; }

/* The failure that HIP's runtime remembers of this thread. */
static int left_to_the_application(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "hipGetLastError");
    int (*last)(void);
    memcpy(&last, &symbol, sizeof symbol);
    assert_true(!symbol == !is_hip());
    return symbol ? last() : 0;
}

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue, *other;
    stoa_event *event;
    stoa_buffer *memory, *shared; /* 4096 bytes each */
} fixture;

static int set_up(void **state)
{
    static fixture self;
    *state = &self;
    OK(stoa_device_open(device_under_test(), &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.other, NULL));
    OK(stoa_event_create(self.device, &self.event, NULL));
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, 4096, &self.memory, NULL));
    self.shared = make_shared(self.queue, 4096);
    fake_cuda_reset();
    return 0;
}

static int tear_down(void **state)
{
    fixture *self = *state;
    stoa_buffer_release(self->memory);
    stoa_buffer_release(self->shared);
    stoa_event_destroy(self->event);
    stoa_queue_destroy(self->queue);
    stoa_queue_destroy(self->other);
    stoa_device_close(self->device);
    assert_nothing_left();
    return 0;
}

static void count_up(void *user) { ++*(int *)user; }

/* One of each. */
static void enqueue_all(fixture *self, stoa_queue *queue, int *tasks)
{
    uint8_t *data = stoa_buffer_data(self->memory), *shared = stoa_buffer_data(self->shared);
    const iota_args args = {(int32_t *)(void *)data, 5, 100};
    OK(stoa_queue_fill(queue, data, 7, 4096, NULL));
    OK(stoa_queue_launch(queue, &test_iota_kernel, &args, NULL));
    OK(stoa_queue_copy(queue, shared, data, 1024, NULL));
    OK(stoa_queue_copy_2d(queue, shared + 1024, 64, data, 128, 32, 8, NULL));
    OK(stoa_queue_enqueue(queue, count_up, tasks, NULL));
}

static void one_driver_call_for_each_and_no_wait(void **state)
{
    fixture *self = *state;
    int tasks = 0;
    const uint64_t allocations = stoa_alloc_count();
    enqueue_all(self, self->queue, &tasks);
    OK(stoa_event_record(self->event, self->queue, NULL));
    OK(stoa_queue_wait_event(self->other, self->event, NULL));
    assert_string_equal(fake_cuda_trace(), "cuMemsetD8Async cuLaunchKernel cuMemcpyAsync cuMemcpy2DAsync_v2 cuLaunchHostFunc "
                                           "cuEventRecord cuStreamWaitEvent");
    assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + fake_cuda_calls("cuMemHostAlloc"), 0);
    assert_int_equal(fake_cuda_calls("cuModuleLoadData") + fake_cuda_calls("cuModuleGetFunction"), 0);
    assert_int_equal(stoa_alloc_count(), allocations);
    OK(stoa_queue_wait(self->queue, NULL));
    assert_int_equal(fake_cuda_calls("cuStreamSynchronize"), 1);
    const int32_t *out = stoa_buffer_data(self->shared);
    assert_int_equal(out[99], 104);
    assert_int_equal(out[100], 0x07070707);
    assert_int_equal(out[256 + 16], 5 + 32); /* second row of the pitched copy */
    assert_int_equal(tasks, 1);
}

static void a_blocking_queue_waits_after_each(void **state)
{
    fixture *self = *state;
    stoa_queue *queue;
    int tasks = 0;
    OK(stoa_queue_create(self->device, STOA_QUEUE_BLOCKING, &queue, NULL));
    enqueue_all(self, queue, &tasks);
    assert_int_equal(tasks, 1);
    assert_int_equal(fake_cuda_calls("cuStreamSynchronize"), 5);
    stoa_queue_destroy(queue);
}

/* Nothing runs while it is held: the arguments were copied, the memory is not given to others, and nobody waits or frees. */
static void memory_is_released_in_the_order_of_its_queue(void **state)
{
    fixture *self = *state;
    stoa_buffer *first, *second, *same;
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 1000, &first, NULL));
    void *data = stoa_buffer_data(first);
    fake_cuda_hold(true);
    iota_args args = {data, 1, 250};
    OK(stoa_queue_launch(self->queue, &test_iota_kernel, &args, NULL));
    OK(stoa_queue_copy(self->queue, stoa_buffer_data(self->shared), data, 1000, NULL));
    memset(&args, 0, sizeof args);
    stoa_buffer_release(first);
    OK(stoa_buffer_create(self->other, STOA_MEMORY_DEVICE, 1000, &second, NULL));
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 1000, &same, NULL));
    assert_ptr_not_equal(stoa_buffer_data(second), data);
    assert_ptr_equal(stoa_buffer_data(same), data);
    OK(stoa_queue_fill(self->other, stoa_buffer_data(second), 9, 1000, NULL));
    OK(stoa_queue_fill(self->queue, data, 9, 1000, NULL));
    assert_int_equal(((const int32_t *)stoa_buffer_data(self->shared))[0], 0); /* nothing has run */
    assert_int_equal(fake_cuda_calls("cuStreamSynchronize") + fake_cuda_calls("cuEventSynchronize"), 0);
    assert_int_equal(fake_cuda_calls("cuMemFree_v2"), 0);
    fake_cuda_hold(false);
    OK(stoa_queue_wait(self->queue, NULL));
    for (int i = 0; i < 250; i++) assert_int_equal(((const int32_t *)stoa_buffer_data(self->shared))[i], 1 + i);
    stoa_buffer_release(second);
    stoa_buffer_release(same);
}

static void the_callers_context_is_given_back(void **state)
{
    fixture *self = *state;
    CUcontext context, popped;
    int tasks = 0;
    assert_int_equal(cuDevicePrimaryCtxRetain(&context, 1), CUDA_SUCCESS);
    assert_int_equal(cuCtxPushCurrent_v2(context), CUDA_SUCCESS);
    enqueue_all(self, self->queue, &tasks);
    OK(stoa_queue_wait(self->queue, NULL));
    assert_int_equal(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
    assert_ptr_equal(popped, context);
    assert_int_equal(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
}

static void streams_of_the_application(void **state)
{
    fixture *self = *state;
    CUcontext context[2], popped;
    CUstream stream[2];
    stoa_queue *queue, *none;
    stoa_error err;
    int tasks = 0;
    for (int device = 0; device < 2; device++) {
        assert_int_equal(cuDevicePrimaryCtxRetain(&context[device], device), CUDA_SUCCESS);
        assert_int_equal(cuCtxPushCurrent_v2(context[device]), CUDA_SUCCESS);
        assert_int_equal(cuStreamCreate(&stream[device], CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
        assert_int_equal(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
    }
    assert_int_equal(stoa_queue_wrap(self->device, stream[1], &none, &err), STOA_EPLACE);
    assert_null(none);
    OK(stoa_queue_wrap(self->device, stream[0], &queue, NULL));
    assert_ptr_equal(stoa_queue_native(queue), stream[0]);
    enqueue_all(self, queue, &tasks);
    OK(stoa_queue_wait(queue, NULL));
    stoa_queue_destroy(queue);
    OK(stoa_queue_wrap(self->device, NULL, &queue, NULL)); /* the default stream */
    enqueue_all(self, queue, &tasks);
    stoa_queue_destroy(queue); /* waits, and leaves the stream alone */
    assert_int_equal(tasks, 2);
    assert_int_equal(fake_cuda_calls("cuStreamDestroy_v2"), 0);
    for (int device = 0; device < 2; device++) {
        assert_int_equal(cuCtxPushCurrent_v2(context[device]), CUDA_SUCCESS);
        assert_int_equal(cuStreamDestroy_v2(stream[device]), CUDA_SUCCESS);
        assert_int_equal(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
        assert_int_equal(cuDevicePrimaryCtxRelease_v2(device), CUDA_SUCCESS);
    }
}

/* A capture takes everything that enqueues; memory can be had meanwhile, and the graph is run again with its own arguments. */
static void a_capture_breaks_nothing(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer;
    int tasks = 0;
    CUstream stream = stoa_queue_native(self->queue);
    OK(stoa_queue_wait(self->queue, NULL));
    fake_cuda_capture_begin(stream);
    enqueue_all(self, self->queue, &tasks);
    OK(stoa_event_record(self->event, self->queue, NULL));
    OK(stoa_buffer_create(self->other, STOA_MEMORY_DEVICE, 100000, &buffer, NULL));
    stoa_buffer_release(buffer);
    assert_int_equal(fake_cuda_capture_end(), 5);
    assert_int_equal(tasks, 0);
    for (int run = 1; run <= 3; run++) {
        memset(stoa_buffer_data(self->shared), 0, 4096);
        fake_cuda_replay(stream);
        OK(stoa_queue_wait(self->queue, NULL));
        assert_int_equal(tasks, run);
        assert_int_equal(((const int32_t *)stoa_buffer_data(self->shared))[99], 104);
    }
}

/* A graph depends on nothing outside of it: the wait is refused, and the capture is lost, as CUDA has it. */
static void a_capture_waits_for_nothing_outside(void **state)
{
    fixture *self = *state;
    CUstream stream = stoa_queue_native(self->queue);
    stoa_error err;
    OK(stoa_event_record(self->event, self->other, NULL));
    fake_cuda_capture_begin(stream);
    assert_int_equal(stoa_queue_wait_event(self->queue, self->event, &err), STOA_ESTATE);
    assert_int_equal(err.native, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    assert_int_equal(fake_cuda_capture_end(), 0);
    bool done, captured = true;
    fake_cuda_capture_begin(stream);
    OK(stoa_event_record(self->event, self->queue, NULL));
    OK(stoa_queue_wait_event(self->queue, self->event, NULL)); /* its own it may */
    assert_int_equal(fake_cuda_capture_end(), 0); /* nodes */
    OK(stoa_queue_is_captured(self->queue, &captured, NULL));
    assert_false(captured);
    assert_int_equal(stoa_event_is_done(self->event, &done, &err), STOA_ESTATE);
    assert_int_equal(stoa_queue_wait_event(self->other, self->event, &err), STOA_ESTATE);
}

/* No event is asked that a capture has: memory that was released there stays with its queue, whatever is asked for elsewhere. */
static void memory_released_in_a_capture(void **state)
{
    fixture *self = *state;
    stoa_buffer *mine, *same, *elsewhere;
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 5000, &mine, NULL));
    void *data = stoa_buffer_data(mine);
    fake_cuda_capture_begin(stoa_queue_native(self->queue));
    OK(stoa_queue_fill(self->queue, data, 1, 5000, NULL));
    stoa_buffer_release(mine);
    OK(stoa_buffer_create(self->other, STOA_MEMORY_DEVICE, 5000, &elsewhere, NULL));
    assert_ptr_not_equal(stoa_buffer_data(elsewhere), data);
    OK(stoa_device_memory_trim(self->device, STOA_MEMORY_DEVICE, 0, NULL));
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 5000, &same, NULL));
    assert_ptr_equal(stoa_buffer_data(same), data);
    assert_int_equal(fake_cuda_capture_end(), 1);
    stoa_buffer_release(same);
    stoa_buffer_release(elsewhere);
}

/* Several launches, no count on the host: compaction and gather from one kernel's output to the next. */
static void algorithms_chain_on_the_device(void **state)
{
    fixture *self = *state;
    uint32_t *words = stoa_buffer_data(self->memory), *shared = stoa_buffer_data(self->shared);
    const iota_args numbers = {(int32_t *)words, 1000, 300};
    const stoa_compact compact = {(uint8_t *)(shared + 400), shared + 300, 300, words + 300, words + 600, words + 700};
    const stoa_gather gather = {words, shared, 4, words + 300, words + 600, 300};
    shared[300] = 300;
    for (uint32_t i = 0; i < 300; i++) ((uint8_t *)(shared + 400))[i] = i % 3 == 0;
    OK(stoa_queue_launch(self->queue, &test_iota_kernel, &numbers, NULL));
    OK(stoa_algo_compact(self->queue, &compact, NULL));
    OK(stoa_algo_gather(self->queue, &gather, NULL));
    assert_string_equal(fake_cuda_trace(), "cuLaunchKernel cuLaunchKernel cuLaunchKernel");
    OK(stoa_queue_wait(self->queue, NULL));
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(shared[i], 1000 + 3 * i);
}

static void a_kernel_that_no_image_has(void **state)
{
    static const stoa_kernel kernel = {sizeof kernel, 4, "test_iot", NULL, 0, 0}; /* the start of a name is none */
    fixture *self = *state;
    stoa_error err;
    assert_int_equal(stoa_queue_launch(self->queue, &kernel, "abc", &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'test_iot'"));
}

/* A block's memory is what the device has, less what the kernel itself declares: 32,832 bytes of this one, that sorts no rows here. */
static void memory_of_a_block(void **state)
{
    fixture *self = *state;
    static const uint8_t no_rows[256];
    const char *text = getenv("FAKE_CUDA_BLOCK_BYTES");
    const uint32_t offered = stoa_kernel_shared_max_bytes(stoa_device_place(self->device));
    const uint32_t left = (is_hip() ? 64u << 10 : text ? (uint32_t)atoi(text) : 227u << 10) - 32832;
    const uint32_t most = left < offered ? left : offered;
    stoa_kernel kernel = {sizeof kernel, sizeof no_rows, "stoa_algo_sort_tiles", NULL, most, 0};
    stoa_error err;
    OK(stoa_queue_launch(self->queue, &kernel, no_rows, &err));
    OK(stoa_queue_wait(self->queue, &err));
    kernel.shared_bytes++;
    assert_int_equal(stoa_queue_launch(self->queue, &kernel, no_rows, &err), most < offered ? STOA_ENOTSUP : STOA_EINVAL);
    assert_non_null(strstr(err.message, "bytes of memory for a block"));
    kernel = (stoa_kernel){sizeof kernel, sizeof(iota_args), "test_iota", NULL, 1, 0}; /* no shape of tiles has any */
    assert_int_equal(stoa_queue_launch(self->queue, &kernel, no_rows, &err), STOA_ENOTSUP);
    assert_int_equal(fake_cuda_violations(), 0);
}

static void memory_that_runs_out(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer;
    stoa_error err;
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 5000, &buffer, NULL));
    stoa_buffer_release(buffer);
    OK(stoa_queue_wait(self->queue, NULL));
    fake_cuda_fail("cuMemAlloc_v2", 1, CUDA_ERROR_OUT_OF_MEMORY, false);
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 50000, &buffer, &err)); /* what was cached went back first */
    assert_int_equal(fake_cuda_calls("cuMemFree_v2"), 1);
    stoa_buffer_release(buffer);
    fake_cuda_fail("cuMemAlloc_v2", 1, CUDA_ERROR_OUT_OF_MEMORY, true);
    assert_int_equal(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, 500000, &buffer, &err), STOA_ENOMEM);
    fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
    assert_int_equal(err.native, CUDA_ERROR_OUT_OF_MEMORY);
    assert_non_null(strstr(err.message, "524288 bytes wanted"));
}

static stoa_status scenario(stoa_error *err)
{
    stoa_device *device = NULL;
    stoa_device_info info = {.struct_size = sizeof info};
    stoa_queue *queue = NULL, *blocking = NULL;
    stoa_event *event = NULL;
    stoa_buffer *a = NULL, *b = NULL;
    stoa_status status = stoa_device_open(device_beside(1), &device, err);
    if (status == STOA_OK) status = stoa_device_describe(device, &info, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_BLOCKING, &blocking, err);
    if (status == STOA_OK) status = stoa_event_create(device, &event, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 1000, &a, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_PINNED, 1000, &b, err);
    if (status == STOA_OK) status = stoa_queue_fill(queue, stoa_buffer_data(a), 1, 1000, err);
    if (status == STOA_OK) status = stoa_event_record(event, queue, err);
    if (status == STOA_OK) status = stoa_queue_wait_event(blocking, event, err);
    if (status == STOA_OK) status = stoa_queue_copy(blocking, stoa_buffer_data(b), stoa_buffer_data(a), 1000, err);
    stoa_buffer_release(a);
    if (status == STOA_OK) status = stoa_event_wait(event, err);
    if (status == STOA_OK) status = stoa_queue_wait(queue, err);
    stoa_buffer_release(b);
    stoa_event_destroy(event);
    stoa_queue_destroy(queue);
    stoa_queue_destroy(blocking);
    stoa_device_close(device);
    return status;
}

enum { CALLS_MAX = 400 }; /* more than the scenario makes, those for each kernel included */

/* Every driver call fails once, then it and all later ones: a typed error that names the call, and nothing is left behind. */
static void faults_are_statuses_and_leak_nothing(void **state)
{
    (void)state;
    const unsigned before = fake_cuda_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        unsigned failures = 0;
        for (unsigned nth = 1; nth < CALLS_MAX; nth++) {
            stoa_error err = {0};
            fake_cuda_fail(NULL, nth, CUDA_ERROR_LAUNCH_FAILED, persistent);
            const stoa_status status = scenario(&err);
            fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
            assert_int_equal(fake_cuda_live(), before);
            assert_int_equal(left_to_the_application(), 0);
            if (status == STOA_OK) continue;
            failures++;
            assert_int_equal(status, STOA_EDEVICE);
            assert_int_equal(err.native, CUDA_ERROR_LAUNCH_FAILED);
            assert_non_null(strstr(err.message, is_hip() ? ": hipErrorFake (" : ": CUDA_ERROR_FAKE ("));
        }
        assert_true(failures > 15 && failures < CALLS_MAX - 1);
    }
}

/* Last: it leaves violations behind. Memory of another device is an error of the work, found when somebody waits, and stays. */
static void memory_of_another_device(void **state)
{
    (void)state;
    stoa_device *device[2];
    stoa_queue *queue[2];
    stoa_buffer *buffer;
    stoa_error err;
    for (int d = 0; d < 2; d++) {
        OK(stoa_device_open(device_beside((unsigned)d), &device[d], NULL));
        OK(stoa_queue_create(device[d], STOA_QUEUE_ASYNC, &queue[d], NULL));
    }
    OK(stoa_buffer_create(queue[1], STOA_MEMORY_DEVICE, 1000, &buffer, NULL));
    uint8_t *data = stoa_buffer_data(buffer);
    stoa_buffer *mine = make_shared(queue[0], 1000);
    OK(stoa_queue_fill(queue[1], data, 3, 1000, NULL));
    OK(stoa_queue_wait(queue[1], NULL));
    OK(stoa_queue_copy(queue[0], stoa_buffer_data(mine), data, 1000, NULL)); /* a copy goes between devices */
    OK(stoa_queue_wait(queue[0], NULL));
    assert_int_equal(((const uint8_t *)stoa_buffer_data(mine))[999], 3);
    const iota_args args = {(int32_t *)(void *)data, 0, 10};
    const unsigned before = fake_cuda_violations();
    OK(stoa_queue_launch(queue[0], &test_iota_kernel, &args, NULL));
    assert_int_equal(stoa_queue_wait(queue[0], &err), STOA_EDEVICE);
    assert_int_equal(err.native, CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(fake_cuda_violations(), before + 1);
    assert_int_equal(stoa_queue_fill(queue[0], stoa_buffer_data(mine), 0, 8, &err), STOA_EDEVICE);
    OK(stoa_queue_wait(queue[1], NULL)); /* the other device goes on */
    stoa_buffer_release(buffer);
    stoa_buffer_release(mine);
    for (int d = 0; d < 2; d++) {
        stoa_queue_destroy(queue[d]);
        stoa_device_close(device[d]);
    }
    assert_int_equal(fake_cuda_live(), 0);
}

static void no_device(void **state)
{
    (void)state;
    stoa_error err;
    stoa_device *device;
    uint32_t count = 5;
    assert_int_equal(stoa_device_count(backend_under_test(), &count, &err), STOA_ENOTSUP);
    assert_int_equal(count, 0);
    assert_non_null(strstr(err.message, is_hip() ? "hipInit: hipErrorNoDevice" : "cuInit: CUDA_ERROR_NO_DEVICE"));
    assert_int_equal(stoa_device_open(device_under_test(), &device, &err), STOA_ENOTSUP);
    assert_int_equal(err.native, CUDA_ERROR_NO_DEVICE);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(one_driver_call_for_each_and_no_wait),
        CASE(a_blocking_queue_waits_after_each),
        CASE(memory_is_released_in_the_order_of_its_queue),
        CASE(the_callers_context_is_given_back),
        CASE(streams_of_the_application),
        CASE(a_capture_breaks_nothing),
        CASE(a_capture_waits_for_nothing_outside),
        CASE(memory_released_in_a_capture),
        CASE(algorithms_chain_on_the_device),
        CASE(a_kernel_that_no_image_has),
        CASE(memory_of_a_block),
        CASE(memory_that_runs_out),
        CASE(faults_are_statuses_and_leak_nothing),
        cmocka_unit_test(memory_of_another_device),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test(no_device)};
    const char *devices = getenv("FAKE_CUDA_DEVICES");
    if (devices && strcmp(devices, "0") == 0) return cmocka_run_group_tests_name("no device", without, NULL, NULL);
    require_device();
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
