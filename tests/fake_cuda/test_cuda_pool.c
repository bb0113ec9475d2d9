/* SPDX-License-Identifier: Apache-2.0 */
/* A device whose memory is a pool of its driver's: order, reuse, counts, limits, failures, captures. Linked with the fake driver; HIP's
 * pools are asked the same (test_cuda_trace.c). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "nothing_left.h"
#include "stoa/memory.h"
#include "unit/device_under_test.h"

#define OK(call) assert_int_equal((call), STOA_OK)
enum { BYTES = 4096 };

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue, *other;
    stoa_buffer *shared; /* 2 * BYTES of the host */
} fixture;

static stoa_status open_with(uint64_t limit_bytes, uint64_t cache_limit_bytes, stoa_device **device, stoa_error *err)
{
    const stoa_device_options options = {
        .struct_size = sizeof options, .limit_bytes = limit_bytes, .cache_limit_bytes = cache_limit_bytes, .pool = STOA_POOL_DRIVER};
    return stoa_device_open_with(device_under_test(), &options, device, err);
}

static int set_up(void **state)
{
    static fixture self;
    *state = &self;
    OK(open_with(0, 0, &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.other, NULL));
    self.shared = make_shared(self.queue, (size_t)2 * BYTES);
    fake_cuda_reset();
    return 0;
}

static int tear_down(void **state)
{
    fixture *self = *state;
    stoa_buffer_release(self->shared);
    stoa_queue_destroy(self->queue);
    stoa_queue_destroy(self->other);
    stoa_device_close(self->device);
    assert_nothing_left();
    return 0;
}

static stoa_buffer *make(stoa_queue *queue, size_t bytes)
{
    stoa_buffer *buffer;
    OK(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &buffer, NULL));
    return buffer;
}

static stoa_memory_stats stats_of(const stoa_device *device)
{
    stoa_memory_stats stats = {.struct_size = sizeof stats};
    OK(stoa_device_memory_stats(device, STOA_MEMORY_DEVICE, &stats, NULL));
    return stats;
}

/* Fill a buffer and read it back, in the order of the queue. */
static void use(stoa_queue *queue, const stoa_buffer *buffer, uint8_t value, const fixture *self, size_t at)
{
    OK(stoa_queue_fill(queue, stoa_buffer_data(buffer), value, BYTES, NULL));
    OK(stoa_queue_copy(queue, (uint8_t *)stoa_buffer_data(self->shared) + at, stoa_buffer_data(buffer), BYTES, NULL));
}

/* Nothing runs while it is held. The block is the stream's next buffer at once; for another stream the driver orders it. */
static void memory_goes_on_in_the_order_of_streams(void **state)
{
    fixture *self = *state;
    fake_cuda_hold(true);
    stoa_buffer *first = make(self->queue, BYTES);
    void *data = stoa_buffer_data(first);
    use(self->queue, first, 1, self, 0);
    stoa_buffer_release(first);
    stoa_buffer *second = make(self->queue, BYTES);
    assert_ptr_equal(stoa_buffer_data(second), data);
    use(self->queue, second, 2, self, BYTES);
    stoa_buffer_release(second);
    stoa_buffer *third = make(self->other, BYTES);
    assert_ptr_equal(stoa_buffer_data(third), data);
    OK(stoa_queue_fill(self->other, data, 3, BYTES, NULL));
    assert_string_equal(fake_cuda_trace(), "cuMemAllocFromPoolAsync cuMemsetD8Async cuMemcpyAsync cuMemFreeAsync "
                                           "cuMemAllocFromPoolAsync cuMemsetD8Async cuMemcpyAsync cuMemFreeAsync "
                                           "cuMemAllocFromPoolAsync cuMemsetD8Async");
    assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + fake_cuda_calls("cuEventCreate") + fake_cuda_calls("cuEventRecord"), 0);
    fake_cuda_hold(false);
    OK(stoa_queue_wait(self->other, NULL));
    const uint8_t *seen = stoa_buffer_data(self->shared);
    assert_int_equal(seen[BYTES - 1], 1);
    assert_int_equal(seen[2 * BYTES - 1], 2);
    stoa_buffer_release(third);
}

/* Once there were as many buffers, another one takes no heap memory of the host's. */
static void buffers_are_counted(void **state)
{
    fixture *self = *state;
    stoa_buffer *a = make(self->queue, 1000), *b = make(self->queue, 5000);
    stoa_memory_stats stats = stats_of(self->device);
    assert_int_equal(stats.live_bytes, 6000);
    assert_int_equal(stats.requested_bytes, 6000);
    assert_int_equal(stats.alloc_calls, 2);
    assert_int_equal(stats.raw_alloc_calls, 2);
    stoa_buffer_release(a);
    stoa_buffer_release(b);
    const uint64_t allocations = stoa_alloc_count();
    a = make(self->queue, 2000);
    assert_int_equal(stoa_alloc_count(), allocations);
    stoa_buffer_release(a);
    stats = stats_of(self->device);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.peak_live_bytes, 6000);
    assert_int_equal(stats.alloc_calls, 3);
    assert_true(stats.cached_bytes >= 8000); /* the driver's blocks, rounded up */
}

static void trim_and_threshold(void **state)
{
    fixture *self = *state;
    stoa_buffer *kept = make(self->queue, BYTES), *a = make(self->queue, 10 * BYTES), *b = make(self->queue, 20 * BYTES);
    stoa_buffer_release(a);
    stoa_buffer_release(b);
    OK(stoa_queue_wait(self->queue, NULL));
    assert_int_equal(stats_of(self->device).cached_bytes, 30 * BYTES); /* without a limit it stays when somebody waits */
    OK(stoa_device_memory_trim(self->device, STOA_MEMORY_DEVICE, 20 * BYTES, NULL));
    assert_true(stats_of(self->device).cached_bytes <= 20 * BYTES);
    OK(stoa_device_memory_trim(self->device, STOA_MEMORY_DEVICE, 0, NULL));
    assert_int_equal(stats_of(self->device).cached_bytes, 0);
    stoa_buffer_release(kept);

    stoa_device *device;
    stoa_queue *queue;
    stoa_error err;
    OK(open_with((uint64_t)4 * BYTES, BYTES, &device, NULL));
    OK(stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, NULL));
    a = make(queue, BYTES);
    b = make(queue, (size_t)3 * BYTES);
    stoa_buffer *more;
    assert_int_equal(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 1, &more, &err), STOA_ELIMIT);
    assert_non_null(strstr(err.message, "16384 live, limit_bytes 16384"));
    stoa_buffer_release(a);
    stoa_buffer_release(b);
    OK(stoa_queue_wait(queue, NULL));
    OK(stoa_queue_wait(queue, NULL));
    assert_int_equal(stats_of(device).cached_bytes, BYTES); /* the threshold's */
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}

/* The last release may come after its queue is gone, and after that of the device's other queues. */
static void released_after_its_queue(void **state)
{
    fixture *self = *state;
    stoa_queue *queue;
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &queue, NULL));
    stoa_buffer *buffer = make(queue, BYTES);
    use(queue, buffer, 4, self, 0);
    stoa_queue_destroy(queue);
    stoa_buffer_release(buffer);
    assert_int_equal(stats_of(self->device).live_bytes, 0);
    assert_int_equal(fake_cuda_calls("cuMemFreeAsync"), 0);
    buffer = make(self->other, BYTES);
    use(self->other, buffer, 5, self, 0);
    OK(stoa_queue_wait(self->other, NULL));
    assert_int_equal(*(const uint8_t *)stoa_buffer_data(self->shared), 5);
    stoa_buffer_release(buffer);
}

/* No buffer can be made there; one that is released stays, and the capture goes on. */
static void a_capture_has_none_of_it(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer = make(self->queue, BYTES), *none;
    bool captured = true;
    stoa_error err;
    OK(stoa_queue_is_captured(self->queue, &captured, NULL));
    assert_false(captured);
    fake_cuda_capture_begin(stoa_queue_native(self->queue));
    OK(stoa_queue_is_captured(self->queue, &captured, NULL));
    assert_true(captured);
    assert_int_equal(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, BYTES, &none, &err), STOA_ESTATE);
    assert_null(none);
    OK(stoa_queue_fill(self->queue, stoa_buffer_data(buffer), 1, BYTES, NULL));
    stoa_buffer_release(buffer);
    stoa_buffer_release(make(self->other, BYTES));
    assert_int_equal(fake_cuda_capture_end(), 1);
    assert_int_equal(stats_of(self->device).live_bytes, BYTES); /* until the device is closed */
    fake_cuda_replay(stoa_queue_native(self->queue));
    OK(stoa_queue_wait(self->queue, NULL));
}

static void memory_that_runs_out(void **state)
{
    fixture *self = *state;
    stoa_buffer *buffer;
    stoa_error err;
    fake_cuda_fail("cuMemAllocFromPoolAsync", 1, CUDA_ERROR_OUT_OF_MEMORY, false);
    assert_int_equal(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, BYTES, &buffer, &err), STOA_ENOMEM);
    assert_null(buffer);
    assert_int_equal(err.native, CUDA_ERROR_OUT_OF_MEMORY);
    assert_non_null(strstr(err.message, "4096 bytes wanted, 0 live"));
    buffer = make(self->queue, BYTES);
    fake_cuda_fail("cuMemFreeAsync", 1, CUDA_ERROR_LAUNCH_FAILED, false);
    stoa_buffer_release(buffer);
    assert_int_equal(stats_of(self->device).live_bytes, BYTES); /* nobody else gets it; the device's close frees it */
    buffer = make(self->queue, BYTES);
    use(self->queue, buffer, 6, self, 0);
    stoa_buffer_release(buffer);
}

static stoa_status scenario(stoa_error *err)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    stoa_buffer *a = NULL, *b = NULL;
    stoa_status status = open_with(0, BYTES, &device, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, BYTES, &a, err);
    if (status == STOA_OK) status = stoa_queue_fill(queue, stoa_buffer_data(a), 1, BYTES, err);
    stoa_buffer_release(a);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, BYTES, &b, err);
    if (status == STOA_OK) status = stoa_device_memory_trim(device, STOA_MEMORY_DEVICE, 0, err);
    stoa_buffer_release(b);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return status;
}

static void faults_are_statuses_and_leak_nothing(void **state)
{
    (void)state;
    const unsigned before = fake_cuda_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        unsigned failures = 0;
        for (unsigned nth = 1; nth < 400; nth++) {
            stoa_error err = {0};
            fake_cuda_fail(NULL, nth, CUDA_ERROR_LAUNCH_FAILED, persistent);
            const stoa_status status = scenario(&err);
            fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
            assert_int_equal(fake_cuda_live(), before);
            if (status == STOA_OK) continue;
            failures++;
            assert_int_equal(status, STOA_EDEVICE);
            assert_int_equal(err.native, CUDA_ERROR_LAUNCH_FAILED);
        }
        assert_true(failures > 15 && failures < 399);
    }
}

static void closing_with_live_buffers_frees_them(void **state)
{
    (void)state;
    const unsigned before = fake_cuda_live();
    stoa_device *device;
    stoa_queue *queue;
    OK(open_with(0, 0, &device, NULL));
    OK(stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, NULL));
    (void)make(queue, BYTES);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    assert_int_equal(fake_cuda_live(), before);
}

static void who_has_no_pools(void **state)
{
    (void)state;
    const unsigned before = fake_cuda_live();
    stoa_device *device;
    stoa_error err;
    setenv("FAKE_CUDA_NO_POOLS", "1", 1);
    assert_int_equal(open_with(0, 0, &device, &err), STOA_ENOTSUP);
    unsetenv("FAKE_CUDA_NO_POOLS");
    assert_null(device);
    assert_non_null(strstr(err.message, strncmp(device_under_test(), "hip", 3) == 0 ? "hipDeviceAttributeMemoryPoolsSupported is 0"
                                                                                    : "CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED is 0"));
    assert_int_equal(fake_cuda_live(), before);
    stoa_device_options options = {.struct_size = sizeof options, .pool = STOA_POOL_DRIVER};
    assert_int_equal(stoa_device_open_with("host", &options, &device, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "back end 'host'"));
    options.pool = 2;
    assert_int_equal(stoa_device_open_with(device_under_test(), &options, &device, &err), STOA_EINVAL);
    assert_int_equal(fake_cuda_live(), before);
}

/* A library like the driver's of CUDA 11.1: devices are as ever, but for the pools. */
static void an_old_driver(void **state)
{
    (void)state;
    stoa_device *device;
    stoa_error err;
    assert_int_equal(open_with(0, 0, &device, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "the driver has no cuMemPoolCreate, of CUDA 11.2 or later"));
    OK(stoa_device_open(device_under_test(), &device, NULL));
    stoa_device_close(device);
    assert_int_equal(fake_cuda_live(), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(memory_goes_on_in_the_order_of_streams),
        CASE(buffers_are_counted),
        CASE(trim_and_threshold),
        CASE(released_after_its_queue),
        CASE(a_capture_has_none_of_it),
        CASE(memory_that_runs_out),
        CASE(faults_are_statuses_and_leak_nothing),
        CASE(closing_with_live_buffers_frees_them),
        CASE(who_has_no_pools),
    };
    const struct CMUnitTest old[] = {cmocka_unit_test(an_old_driver)};
    require_device();
    if (getenv("STOA_TEST_OLD_DRIVER")) return cmocka_run_group_tests_name("old driver", old, NULL, NULL);
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
