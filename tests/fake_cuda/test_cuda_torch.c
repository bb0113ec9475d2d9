/* SPDX-License-Identifier: Apache-2.0 */
/* TorchScript on a CUDA queue: its stream, its memory, weights, and a libtorch without CUDA. Linked with the fake driver; libtorch's side of
 * CUDA is fake_torch.cpp, which refuses what is done outside of a stream guard. Results are conformance_runtimes' to check. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nothing_left.h"
#include "stoa/stoa.h"

#define OK(call) assert_int_equal((call), STOA_OK)
#define LINEAR "x:float32:3 -> y:float32:2"
enum { ROWS = 20, PITCH = 32, INPUTS = 3, OUTPUTS = 2, BYTES = (INPUTS + OUTPUTS) * PITCH * sizeof(float) };

static struct {
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *columns, *shared; /* x's, then y's columns on the device; the same where the host reads */
} self;

static int set_up(void **state)
{
    (void)state;
    OK(stoa_device_open("cuda:0", &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, BYTES, &self.columns, NULL));
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_PINNED, BYTES, &self.shared, NULL));
    float *shared = stoa_buffer_data(self.shared);
    for (int i = 0; i < (INPUTS + OUTPUTS) * PITCH; i++) shared[i] = (float)(i % 7);
    OK(stoa_queue_copy(self.queue, stoa_buffer_data(self.columns), shared, BYTES, NULL));
    OK(stoa_queue_wait(self.queue, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stoa_buffer_release(self.columns);
    stoa_buffer_release(self.shared);
    stoa_queue_destroy(self.queue);
    stoa_device_close(self.device);
    assert_nothing_left();
    return 0;
}

static stoa_model *load(const char *file, const char *signature)
{
    char path[1024];
    stoa_model *model;
    stoa_error err;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "torchscript", .signature = signature};
    snprintf(path, sizeof path, "%s/%s", getenv("STOA_TEST_PACKAGES"), file);
    if (stoa_model_load(path, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    return model;
}

/* x's columns from the last to the first when they are `scattered`: a stride below zero, which PyTorch does not have. */
static stoa_session *make_session(const stoa_model *model, bool scattered)
{
    stoa_session *session;
    stoa_error err;
    stoa_column columns[INPUTS + OUTPUTS];
    const stoa_session_options options = {.struct_size = sizeof options, .allow_copies = scattered};
    if (stoa_session_create(model, self.queue, ROWS, &options, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    for (uint32_t k = 0; k < INPUTS + OUTPUTS; k++) {
        const uint32_t at = scattered && k < INPUTS ? INPUTS - 1 - k : k;
        columns[k] =
            stoa_column_over((float *)stoa_buffer_data(self.columns) + at * PITCH, STOA_FLOAT32, PITCH, 1, stoa_device_place(self.device));
    }
    OK(stoa_session_bind(session, "x", stoa_tensor_of(columns, INPUTS), NULL));
    OK(stoa_session_bind(session, "y", stoa_tensor_of(columns + INPUTS, OUTPUTS), NULL));
    return session;
}

static void check_results(bool scattered)
{
    static const float weights[OUTPUTS][INPUTS] = {{-0.1f, 0.2f, 2.0f}, {0.1f, -2.3f, 4.0f}};
    float *shared = stoa_buffer_data(self.shared);
    OK(stoa_queue_copy(self.queue, shared, stoa_buffer_data(self.columns), BYTES, NULL));
    OK(stoa_queue_wait(self.queue, NULL));
    for (int k = 0; k < OUTPUTS; k++)
        for (int row = 0; row < PITCH; row++) {
            float expected = row < ROWS ? 0 : (float)(((INPUTS + k) * PITCH + row) % 7); /* what was there behind the rows */
            for (int i = 0; i < INPUTS && row < ROWS; i++)
                expected += weights[k][i] * (float)(((scattered ? INPUTS - 1 - i : i) * PITCH + row) % 7);
            if (fabsf(shared[(INPUTS + k) * PITCH + row] - expected) > 1e-5f) fail_msg("value %d of row %d", k, row);
        }
}

static uint64_t copies(const stoa_session *session)
{
    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(stoa_session_get_stats(session, &stats, NULL));
    return stats.copy_calls;
}

static void runs_on_the_stream_in_place(void **state)
{
    (void)state;
    stoa_model *model = load("linear.pt", NULL);
    stoa_session *session = make_session(model, false);
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    assert_int_equal(fake_cuda_calls("cuMemcpyAsync") + fake_cuda_calls("cuMemcpy2DAsync_v2"), 0);
    assert_int_equal(copies(session), 0);
    check_results(false);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void copies_are_the_queues(void **state)
{
    (void)state;
    stoa_model *model = load("foreign_linear.pt", LINEAR);
    stoa_session *session = make_session(model, true);
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    assert_int_equal(fake_cuda_calls("cuMemcpyAsync") + fake_cuda_calls("cuMemcpy2DAsync_v2"), INPUTS);
    assert_int_equal(copies(session), 2); /* x into the form that PyTorch takes, y out of its memory */
    check_results(true);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* Rows of one copy must not overlap: columns of stride 0 are not staged on a device. A count on the device says nothing to the host. */
static void what_cannot_be_copied(void **state)
{
    (void)state;
    stoa_error err;
    stoa_column column[INPUTS];
    stoa_model *model = load("foreign_linear.pt", LINEAR);
    stoa_session *session = make_session(model, true);
    assert_int_equal(stoa_session_run_counted(session, stoa_buffer_data(self.columns), &err), STOA_ENOTSUP);
    for (uint32_t k = 0; k < INPUTS; k++)
        column[k] = stoa_column_over((float *)stoa_buffer_data(self.columns) + (INPUTS - 1 - k) * PITCH, STOA_FLOAT32, PITCH, 0,
                                     stoa_device_place(self.device));
    assert_int_equal(stoa_session_bind(session, "x", stoa_tensor_of(column, INPUTS), &err), STOA_ECOPY);
    assert_non_null(strstr(err.message, "stride 0"));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void weights_go_there_once(void **state)
{
    (void)state;
    unsigned taken[2];
    stoa_session *sessions[2];
    stoa_model *model = load("linear.pt", NULL);
    for (int i = 0; i < 2; i++) {
        fake_cuda_reset();
        sessions[i] = make_session(model, false);
        taken[i] = fake_cuda_calls("cuMemAlloc_v2");
    }
    assert_true(taken[1] < taken[0]);
    stoa_session_destroy(sessions[0]);
    OK(stoa_session_run(sessions[1], ROWS, NULL));
    check_results(false);
    stoa_session_destroy(sessions[1]);
    stoa_model_destroy(model);
}

/* The caller may wrap the stream that its framework has. */
static void streams_of_the_application(void **state)
{
    (void)state;
    stoa_queue *own = self.queue;
    stoa_model *model = load("linear.pt", NULL);
    OK(stoa_queue_wrap(self.device, stoa_queue_native(own), &self.queue, NULL));
    stoa_session *session = make_session(model, false);
    OK(stoa_session_run(session, ROWS, NULL));
    check_results(false);
    stoa_session_destroy(session);
    stoa_queue_destroy(self.queue);
    self.queue = own;
    stoa_model_destroy(model);
}

static void a_libtorch_without_cuda_is_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_session *session;
    stoa_model *model = load("linear.pt", NULL);
    assert_int_equal(stoa_session_create(model, self.queue, ROWS, NULL, &session, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "has no CUDA: libtorch_cuda.so"));
    stoa_model_destroy(model);
}

int main(void)
{
    const char *folder = getenv("STOA_TEST_PACKAGES");
    if (!folder || access(folder, R_OK) != 0) {
        printf("no packages (%s): tests/python/make_packages.py makes them\n", folder ? folder : "STOA_TEST_PACKAGES is not set");
        return 77;
    }
    const struct CMUnitTest with[] = {
        cmocka_unit_test_setup_teardown(runs_on_the_stream_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_are_the_queues, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_go_there_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(streams_of_the_application, set_up, tear_down),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test_setup_teardown(a_libtorch_without_cuda_is_refused, set_up, tear_down)};
    if (getenv("STOA_TEST_NO_TORCH_CUDA")) return cmocka_run_group_tests_name("cuda_torch_without", without, NULL, NULL);
    return cmocka_run_group_tests_name("cuda_torch", with, NULL, NULL);
}
