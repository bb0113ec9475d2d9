/* SPDX-License-Identifier: Apache-2.0 */
/* TorchScript on a CUDA queue: its stream, its memory, weights, and a libtorch without CUDA. Linked with the fake driver; libtorch's side of
 * CUDA is fake_torch.cpp, which refuses what is done outside of a stream guard. Results are conformance_runtimes' to check. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>

#include "linear_fixture.h"

#define LINEAR "x:float32:3 -> y:float32:2"

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

static void streams_of_the_application(void **state)
{
    (void)state;
    stoa_model *model = load("linear.pt", NULL);
    check_wrapped_stream(model, IN_COLUMNS);
    stoa_model_destroy(model);
}

/* ---- In a process that shared PyTorch's memory first. ---- */

static int share(void **state)
{
    (void)state;
    stoa_error err;
    for (int i = 0; i < 2; i++)
        if (stoa_runtime_share_memory("torchscript", &err) != STOA_OK) fail_msg("%s", err.message);
    return 0;
}

static stoa_memory_stats device_memory(void)
{
    stoa_memory_stats stats = {.struct_size = sizeof stats};
    OK(stoa_device_memory_stats(self.device, STOA_MEMORY_DEVICE, &stats, NULL));
    return stats;
}

/* Weights and intermediates are blocks of the queue's allocator: counted there, and from its cache once the first run is over. */
static void memory_is_the_devices(void **state)
{
    (void)state;
    const stoa_memory_stats before = device_memory();
    stoa_model *model = load("foreign_linear.pt", LINEAR);
    stoa_session *session = make_linear(&self, model, BACKWARDS, 1);
    assert_true(device_memory().live_bytes > before.live_bytes);
    OK(stoa_session_run(session, ROWS, NULL));
    const stoa_memory_stats first = device_memory();
    const uint64_t counted = stats_of(session).run_allocations;
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + fake_cuda_calls("cuMemFree_v2"), 0);
    const uint64_t taken = device_memory().alloc_calls - first.alloc_calls;
    assert_true(taken > 0);
    assert_true(stats_of(session).run_allocations - counted >= taken); /* and what this libtorch takes of the host's memory */
    assert_int_equal(device_memory().live_bytes, first.live_bytes);
    check_linear(&self, BACKWARDS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
    assert_int_equal(device_memory().live_bytes, before.live_bytes);
}

/* Weights outlive the queue of the session that brought them; another session has its own queue's memory. */
static void memory_outlives_its_queue(void **state)
{
    (void)state;
    stoa_queue *first = self.queue;
    stoa_model *model = load("linear.pt", NULL);
    stoa_session *session = make_linear(&self, model, IN_COLUMNS, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    stoa_session_destroy(session);
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    stoa_queue_destroy(first);
    session = make_linear(&self, model, IN_COLUMNS, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_COLUMNS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* The device's limit holds for PyTorch, with its own status; less is taken again afterwards. */
static void the_limit_is_the_devices(void **state)
{
    (void)state;
    enum { LIMIT = 4096 };
    stoa_device *narrow;
    stoa_queue *queue;
    stoa_session *session;
    stoa_error err;
    const stoa_device_options options = {.struct_size = sizeof options, .limit_bytes = LIMIT};
    stoa_model *model = load("simple.pt", NULL);
    OK(stoa_device_open_with("cuda:0", &options, &narrow, NULL));
    OK(stoa_queue_create(narrow, STOA_QUEUE_ASYNC, &queue, NULL));
    assert_int_equal(stoa_session_create(model, queue, ROWS, NULL, &session, &err), STOA_ELIMIT);
    assert_non_null(strstr(err.message, "4096"));
    stoa_queue_destroy(queue);
    stoa_device_close(narrow);
    OK(stoa_session_create(model, self.queue, ROWS, NULL, &session, NULL));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* No session's call, no memory: what else uses PyTorch on a GPU must not take blocks in the order of a queue that it does not know. */
static void others_are_refused(void **state)
{
    (void)state;
    int (*take)(size_t bytes);
    void *library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    *(void **)&take = dlsym(library, "fake_torch_take");
    assert_non_null(take);
    assert_int_equal(take(100), 1);
    dlclose(library);
}

static void too_late_or_nothing_to_share(void **state)
{
    (void)state;
    stoa_error err;
    stoa_model *model = load("linear.pt", NULL);
    stoa_session *session = make_linear(&self, model, IN_COLUMNS, 0);
    assert_int_equal(stoa_runtime_share_memory("torchscript", &err), STOA_ESTATE);
    assert_non_null(strstr(err.message, "already"));
    assert_int_equal(stoa_runtime_share_memory("native", &err), STOA_ENOTSUP);
    assert_int_equal(stoa_runtime_share_memory("none", &err), STOA_ENAME);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_COLUMNS);
    stoa_session_destroy(session);
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
    assert_int_equal(stoa_runtime_share_memory("torchscript", &err), STOA_ENOTSUP);
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
        cmocka_unit_test_setup_teardown(too_late_or_nothing_to_share, set_up, tear_down),
    };
    const struct CMUnitTest shared[] = {
        cmocka_unit_test_setup_teardown(memory_is_the_devices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_outlives_its_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_is_the_devices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_on_the_stream_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(streams_of_the_application, set_up, tear_down),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test_setup_teardown(a_libtorch_without_cuda_is_refused, set_up, tear_down)};
    if (getenv("STOA_TEST_NO_TORCH_CUDA")) return cmocka_run_group_tests_name("cuda_torch_without", without, NULL, NULL);
    if (getenv("STOA_TEST_SHARED_MEMORY")) return cmocka_run_group_tests_name("cuda_torch_shared", shared, share, NULL);
    return cmocka_run_group_tests_name("cuda_torch", with, NULL, NULL);
}
