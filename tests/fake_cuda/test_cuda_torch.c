/* SPDX-License-Identifier: Apache-2.0 */
/* TorchScript on a CUDA queue: its stream, its memory, weights, and a libtorch without CUDA. Linked with the fake driver; libtorch's side of
 * CUDA is fake_torch.cpp, which refuses what is done outside of a stream guard. Results are conformance_runtimes' to check. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "linear_fixture.h"

#define LINEAR "x:float32:3 -> y:float32:2"

static linear_fixture self;

static int set_up(void **state)
{
    (void)state;
    open_linear(&self, "cuda:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_linear(&self);
    assert_nothing_left();
    return 0;
}

static stoa_model *load(const char *file, const char *signature) { return load_linear(file, "torchscript", signature); }

static void runs_on_the_stream_in_place(void **state)
{
    (void)state;
    stoa_model *model = load("linear.pt", NULL);
    stoa_session *session = make_linear(&self, model, IN_COLUMNS, 0);
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    assert_int_equal(driver_copies(), 0);
    assert_int_equal(stats_of(session).copy_calls, 0);
    check_linear(&self, IN_COLUMNS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void copies_are_the_queues(void **state)
{
    (void)state;
    stoa_model *model = load("foreign_linear.pt", LINEAR);
    stoa_session *session = make_linear(&self, model, BACKWARDS, 1);
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    assert_int_equal(driver_copies(), INPUTS);
    assert_int_equal(stats_of(session).copy_calls, 2); /* x into the form that PyTorch takes, y out of its memory */
    check_linear(&self, BACKWARDS);
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
    stoa_session *session = make_linear(&self, model, BACKWARDS, 1);
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
        sessions[i] = make_linear(&self, model, IN_COLUMNS, 0);
        taken[i] = fake_cuda_calls("cuMemAlloc_v2");
    }
    assert_true(taken[1] < taken[0]);
    stoa_session_destroy(sessions[0]);
    OK(stoa_session_run(sessions[1], ROWS, NULL));
    check_linear(&self, IN_COLUMNS);
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
    stoa_session *session = make_linear(&self, model, IN_COLUMNS, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_COLUMNS);
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
    if (!has_packages()) return 77;
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
