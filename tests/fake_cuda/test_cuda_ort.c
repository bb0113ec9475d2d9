/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime on a CUDA queue, by its CUDA and its TensorRT execution provider: their streams, devices and options, memory in place,
 * copies, failures, and a library without them. Linked with the fake driver; the library is fake_ort.c, which refuses what is done on
 * another stream or in another context. Results are conformance_runtimes' to check. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "fake_ort.h"
#include "linear_fixture.h"

static stoa_model *load(const char *runtime) { return load_linear("linear.onnx", runtime, NULL); }

/* What a run may do beside the graph is the provider's own: here one fill of its intermediate tensor. */
static void runs_in_place(const char *runtime)
{
    stoa_model *model = load(runtime);
    stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
    for (int i = 0; i < 3; i++) {
        fake_cuda_reset();
        OK(stoa_session_run(session, ROWS, NULL));
        assert_string_equal(fake_cuda_trace(), "cuMemsetD8Async");
        assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + driver_copies() + driver_waits(), 0);
    }
    const stoa_session_stats stats = stats_of(session);
    assert_int_equal(stats.copy_calls + stats.run_allocations, 0);
    check_linear(&self, IN_ROWS);
    fake_cuda_reset();
    OK(stoa_session_run(session, 0, NULL));
    assert_string_equal(fake_cuda_trace(), "");
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void runs_on_the_stream_in_place(void **state)
{
    (void)state;
    runs_in_place("onnxruntime");
    assert_ptr_equal(fake_ort_stream(), stoa_queue_native(self.queue));
    assert_string_equal(fake_ort_told(),
                        "CUDAExecutionProvider: device_id=0 do_copy_in_default_stream=1 cudnn_conv_algo_search=HEURISTIC use_tf32=0\n");
}

/* TensorRT first, with one engine for all row counts and no streams of its own; the rest is CUDA's. */
static void tensorrt_runs_there_too(void **state)
{
    (void)state;
    runs_in_place("tensorrt");
    assert_ptr_equal(fake_ort_stream(), stoa_queue_native(self.queue));
    assert_string_equal(fake_ort_told(),
                        "TensorrtExecutionProvider: device_id=0 trt_auxiliary_streams=0 trt_fp16_enable=0 trt_profile_min_shapes=x:1x3 "
                        "trt_profile_opt_shapes=x:20x3 trt_profile_max_shapes=x:20x3\n"
                        "CUDAExecutionProvider: device_id=0 do_copy_in_default_stream=1 cudnn_conv_algo_search=HEURISTIC use_tf32=0\n");
}

static void precisions(void **state)
{
    (void)state;
    static const struct {
        const char *runtime;
        uint32_t precision;
        const char *told; /* NULL: refused */
    } asked[] = {{"onnxruntime", STOA_PRECISION_TFLOAT32, "use_tf32=1"},
                 {"onnxruntime", STOA_PRECISION_FLOAT16, NULL},
                 {"tensorrt", STOA_PRECISION_TFLOAT32, "trt_fp16_enable=0"},
                 {"tensorrt", STOA_PRECISION_FLOAT16, "trt_fp16_enable=1"},
                 {"tensorrt", STOA_PRECISION_BFLOAT16, NULL}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        stoa_model *model;
        stoa_error err;
        const stoa_model_options options = {
            .struct_size = sizeof options, .runtime = asked[i].runtime, .self_check = 1, .precision = asked[i].precision};
        assert_int_equal(try_load_linear("linear.onnx", &options, &model, &err), asked[i].told ? STOA_OK : STOA_ENOTSUP);
        if (!asked[i].told) continue;
        stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
        assert_non_null(strstr(fake_ort_told(), asked[i].told));
        stoa_session_destroy(session);
        stoa_model_destroy(model);
    }
}

static void copies_are_the_queues(void **state)
{
    (void)state;
    static const char *const names[] = {"onnxruntime", "tensorrt"};
    for (int i = 0; i < 2; i++) {
        stoa_error err;
        stoa_model *model = load(names[i]);
        stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
        const stoa_column column =
            stoa_column_over((float *)stoa_buffer_data(self.columns), STOA_FLOAT32, PITCH, 1, stoa_device_place(self.device));
        const stoa_column backwards[INPUTS] = {column, column, column};
        assert_int_equal(stoa_session_bind(session, "x", stoa_tensor_of(backwards, INPUTS), &err), STOA_ECOPY);
        stoa_session_destroy(session);

        session = make_linear(&self, model, BACKWARDS, 1);
        fake_cuda_reset();
        OK(stoa_session_run(session, ROWS, NULL));
        assert_int_equal(driver_copies(), INPUTS + OUTPUTS);
        assert_int_equal(driver_waits(), 0);
        assert_int_equal(stats_of(session).copy_calls, 2);
        assert_int_equal(stats_of(session).copy_bytes, ROWS * (INPUTS + OUTPUTS) * sizeof(float));
        check_linear(&self, BACKWARDS);
        stoa_session_destroy(session);
        stoa_model_destroy(model);
    }
}

/* A count on the device says nothing to the host. */
static void counts_are_the_hosts(void **state)
{
    (void)state;
    stoa_error err;
    stoa_model *model = load("onnxruntime");
    stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
    assert_int_equal(stoa_session_run_counted(session, stoa_buffer_data(self.columns), &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'onnxruntime' takes no row count by pointer"));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* Each session has its own of ONNX Runtime, on its own stream. */
static void several_queues(void **state)
{
    (void)state;
    enum { QUEUES = 3 };
    linear_fixture other[QUEUES];
    stoa_session *sessions[QUEUES];
    stoa_model *model = load("onnxruntime");
    for (int i = 0; i < QUEUES; i++) {
        open_linear(&other[i], i == 1 ? "cuda:1" : "cuda:0");
        sessions[i] = make_linear(&other[i], model, IN_ROWS, 0);
        assert_ptr_equal(fake_ort_stream(), stoa_queue_native(other[i].queue));
        assert_non_null(strstr(fake_ort_told(), i == 1 ? "device_id=1" : "device_id=0"));
    }
    for (int i = 0; i < 10 * QUEUES; i++) OK(stoa_session_run(sessions[i % QUEUES], ROWS, NULL));
    for (int i = 0; i < QUEUES; i++) {
        check_linear(&other[i], IN_ROWS);
        stoa_session_destroy(sessions[i]);
        close_linear(&other[i]);
    }
    stoa_model_destroy(model);
}

typedef struct worker {
    pthread_t thread;
    linear_fixture fixture;
    stoa_model *model;
} worker;

static void *make_and_run(void *user)
{
    worker *w = user;
    open_linear(&w->fixture, "cuda:0");
    stoa_session *session = make_linear(&w->fixture, w->model, IN_ROWS, 0);
    for (int i = 0; i < 50; i++) OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&w->fixture, IN_ROWS);
    stoa_session_destroy(session);
    close_linear(&w->fixture);
    return NULL;
}

/* What a thread has entered is no other's. */
static void several_threads(void **state)
{
    (void)state;
    worker workers[4];
    stoa_model *model = load("onnxruntime");
    for (int i = 0; i < 4; i++) {
        workers[i].model = model;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, make_and_run, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(workers[i].thread, NULL);
    stoa_model_destroy(model);
}

/* What the library enqueues knows nothing of the queue's kind. */
static void a_blocking_queue_waits(void **state)
{
    (void)state;
    stoa_queue *own = self.queue;
    stoa_model *model = load("onnxruntime");
    OK(stoa_queue_create(self.device, STOA_QUEUE_BLOCKING, &self.queue, NULL));
    stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
    bool idle = false;
    OK(stoa_session_run(session, ROWS, NULL));
    OK(stoa_queue_is_idle(self.queue, &idle, NULL));
    assert_true(idle);
    check_linear(&self, IN_ROWS);
    stoa_session_destroy(session);
    stoa_queue_destroy(self.queue);
    self.queue = own;
    stoa_model_destroy(model);
}

static void streams_of_the_application(void **state)
{
    (void)state;
    stoa_model *model = load("onnxruntime");
    check_wrapped_stream(model, IN_ROWS);
    assert_ptr_equal(fake_ort_stream(), stoa_queue_native(self.queue));
    stoa_model_destroy(model);
}

/* Whatever the caller has current, on whichever device. */
static void the_callers_context_is_given_back(void **state)
{
    (void)state;
    CUcontext own, popped;
    stoa_model *model = load("onnxruntime");
    assert_int_equal(cuDevicePrimaryCtxRetain(&own, 1), CUDA_SUCCESS);
    assert_int_equal(cuCtxPushCurrent_v2(own), CUDA_SUCCESS);
    stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_ROWS);
    stoa_session_destroy(session);
    assert_int_equal(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
    assert_ptr_equal(popped, own);
    assert_int_equal(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
    stoa_model_destroy(model);
}

static void misfits_are_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_session *session;
    stoa_device *host;
    stoa_queue *queue;
    stoa_model *model = load("tensorrt");
    OK(stoa_device_open("host", &host, NULL));
    OK(stoa_queue_create(host, STOA_QUEUE_BLOCKING, &queue, NULL));
    assert_int_equal(stoa_session_create(model, queue, ROWS, NULL, &session, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'onnxruntime'"));
    stoa_queue_destroy(queue);
    stoa_device_close(host);

    /* Memory of another device, and rows that begin where kernels cannot read many bytes at once. */
    linear_fixture other;
    open_linear(&other, "cuda:1");
    session = make_linear(&self, model, IN_ROWS, 0);
    stoa_column columns[INPUTS];
    for (uint32_t k = 0; k < INPUTS; k++)
        columns[k] =
            stoa_column_over((float *)stoa_buffer_data(other.columns) + k, STOA_FLOAT32, ROWS, INPUTS, stoa_device_place(other.device));
    assert_int_equal(stoa_session_bind(session, "x", stoa_tensor_of(columns, INPUTS), &err), STOA_EPLACE);
    close_linear(&other);
    assert_int_equal(stoa_session_run_rows(session, 1, 3, &err), STOA_EALIGN);
    assert_non_null(strstr(err.message, "'x': its first row begins 12 bytes beyond a multiple of 256"));
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_ROWS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* No driver call of a session's making may fail without a status, and nothing is left of it. */
static void faults_are_statuses(void **state)
{
    (void)state;
    stoa_model *model = load("onnxruntime");
    bool done = false;
    for (unsigned nth = 1; !done && nth < 200; nth++) {
        stoa_session *session = NULL;
        stoa_error err;
        fake_cuda_fail(NULL, nth, CUDA_ERROR_LAUNCH_FAILED, false);
        const stoa_status status = stoa_session_create(model, self.queue, ROWS, NULL, &session, &err);
        fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
        assert_true((status == STOA_OK) == (session != NULL));
        assert_true(status == STOA_OK || status == STOA_EDEVICE || status == STOA_ENOMEM);
        stoa_session_destroy(session);
        done = status == STOA_OK;
    }
    assert_true(done);
    stoa_session *session = make_linear(&self, model, IN_ROWS, 0);
    stoa_error err;
    fake_cuda_fail("cuMemsetD8Async", 1, CUDA_ERROR_LAUNCH_FAILED, false);
    assert_int_equal(stoa_session_run(session, ROWS, &err), STOA_EDEVICE);
    assert_non_null(strstr(err.message, "CUDA failure 719"));
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_ROWS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void memory_that_runs_out(void **state)
{
    (void)state;
    stoa_error err;
    stoa_session *session;
    stoa_model *model = load("onnxruntime");
    fake_cuda_fail("cuMemAlloc_v2", 1, CUDA_ERROR_OUT_OF_MEMORY, true);
    assert_int_equal(stoa_session_create(model, self.queue, ROWS, NULL, &session, &err), STOA_ENOMEM);
    fake_cuda_fail("cuMemAlloc_v2", 0, CUDA_SUCCESS, false);
    assert_null(session);
    session = make_linear(&self, model, IN_ROWS, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, IN_ROWS);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* With the CPU build itself. */
static void a_library_without_cuda_is_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_session *session;
    stoa_model *model = load("onnxruntime");
    assert_int_equal(stoa_session_create(model, self.queue, ROWS, NULL, &session, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "has no CUDAExecutionProvider; it has "));
    assert_non_null(strstr(err.message, "CPUExecutionProvider"));
    stoa_model_destroy(model);
}

int main(void)
{
    if (!has_packages()) return 77;
#define ON_FIXTURE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest with[] = {
        ON_FIXTURE(runs_on_the_stream_in_place),
        ON_FIXTURE(tensorrt_runs_there_too),
        ON_FIXTURE(precisions),
        ON_FIXTURE(copies_are_the_queues),
        ON_FIXTURE(counts_are_the_hosts),
        ON_FIXTURE(several_queues),
        ON_FIXTURE(several_threads),
        ON_FIXTURE(a_blocking_queue_waits),
        ON_FIXTURE(streams_of_the_application),
        ON_FIXTURE(the_callers_context_is_given_back),
        ON_FIXTURE(misfits_are_refused),
        ON_FIXTURE(faults_are_statuses),
        ON_FIXTURE(memory_that_runs_out),
    };
    const struct CMUnitTest without[] = {ON_FIXTURE(a_library_without_cuda_is_refused)};
    if (getenv("STOA_TEST_NO_ORT_CUDA")) return cmocka_run_group_tests_name("cuda_ort_without", without, NULL, NULL);
    return cmocka_run_group_tests_name("cuda_ort", with, NULL, NULL);
}
