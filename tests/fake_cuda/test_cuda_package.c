/* SPDX-License-Identifier: Apache-2.0 */
/* Packages compiled for CUDA, on the caller's stream and in the framework's memory. Their code is compiled_model.c, made for the test:
 * compiling real ones takes a GPU. Linked with the fake driver. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "nothing_left.h"
#include "stoa/stoa.h"

#define OK(call) assert_int_equal((call), STOA_OK)
enum { ROWS = 100 };
#define WEIGHT 42.0f

static struct {
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *columns, *shared; /* x, then y, PITCH rows each; the same where the host reads */
    stoa_place place;
} self;
enum { PITCH = 128 };

static void add_member(zip_t *zip, const char *name, const void *data, size_t bytes)
{
    const zip_int64_t at = zip_file_add(zip, name, zip_source_buffer(zip, data, bytes, 0), 0);
    assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0), 0);
}

static char *read_library(size_t *bytes)
{
    FILE *file = fopen(getenv("STOA_TEST_COMPILED_MODEL"), "rbe");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*bytes);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

/* A package as stoa.export writes it for a GPU of that architecture. */
static stoa_model *load(const char *architecture)
{
    static const float weights[] = {WEIGHT};
    char manifest[1024];
    zip_error_t reason;
    zip_stat_t info;
    size_t library_bytes;
    stoa_model *model;
    stoa_error err;
    char *library = read_library(&library_bytes);
    snprintf(manifest, sizeof manifest,
             "{\"format\":1,\"name\":\"m\",\"machine\":\"" MACHINE
             "\",\"device\":\"cuda\",\"targets\":[{\"name\":\"%s\"}],\"row_independent\":true,"
             "\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"rows\":\"N\",\"shape\":[1]}],"
             "\"outputs\":[{\"name\":\"y\",\"dtype\":\"float32\",\"rows\":\"N\",\"shape\":[1]}],\"row_carriers\":[{\"output\":0}],"
             "\"constants\":[{\"name\":\"net.w\",\"dtype\":\"float32\",\"shape\":[1],\"offset\":0}]}",
             architecture);
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, &reason);
    zip_source_keep(target);
    zip_t *zip = zip_open_from_source(target, ZIP_TRUNCATE, &reason);
    char path[64];
    snprintf(path, sizeof path, "m/data/aotinductor/%s/wrapper.so", architecture);
    add_member(zip, path, library, library_bytes);
    add_member(zip, "m/extra/stoa.json", manifest, strlen(manifest));
    add_member(zip, "m/extra/stoa.weights", weights, sizeof weights);
    assert_int_equal(zip_close(zip), 0);
    zip_source_stat(target, &info);
    char *data = malloc(info.size);
    zip_source_open(target);
    assert_int_equal(zip_source_read(target, data, info.size), info.size);
    zip_source_close(target);
    zip_source_free(target);
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "aoti"};
    if (stoa_model_load_memory(data, info.size, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    free(data);
    free(library);
    return model;
}

static stoa_column column(uint32_t number, uint32_t shift)
{
    float *data = stoa_buffer_data(self.columns);
    return stoa_column_over(data + number * PITCH + shift, STOA_FLOAT32, PITCH - shift, 1, self.place);
}

static stoa_session *make_session(const stoa_model *model, uint32_t shift)
{
    stoa_session *session;
    stoa_error err;
    if (stoa_session_create(model, self.queue, ROWS, NULL, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    const stoa_column x = column(0, 0), y = column(1, shift);
    OK(stoa_session_bind(session, "x", stoa_tensor_of(&x, 1), NULL));
    OK(stoa_session_bind(session, "y", stoa_tensor_of(&y, 1), NULL));
    return session;
}

static int set_up(void **state)
{
    (void)state;
    OK(stoa_device_open("cuda:0", &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    self.place = stoa_device_place(self.device);
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_DEVICE, 2 * PITCH * sizeof(float), &self.columns, NULL));
    OK(stoa_buffer_create(self.queue, STOA_MEMORY_PINNED, 2 * PITCH * sizeof(float), &self.shared, NULL));
    float *shared = stoa_buffer_data(self.shared);
    for (int i = 0; i < 2 * PITCH; i++) shared[i] = (float)i;
    OK(stoa_queue_copy(self.queue, stoa_buffer_data(self.columns), shared, 2 * PITCH * sizeof(float), NULL));
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

static void runs_in_place_on_the_stream(void **state)
{
    (void)state;
    stoa_model *model = load("sm_90");
    stoa_session *session = make_session(model, 0);
    OK(stoa_session_run(session, ROWS, NULL)); /* takes its intermediate tensor from the device */
    fake_cuda_reset();
    OK(stoa_session_run(session, ROWS, NULL));
    /* The model's own calls, and the mark behind which the intermediate tensor's memory is free. */
    assert_string_equal(fake_cuda_trace(), "cuMemcpyAsync cuMemcpyAsync cuMemcpyAsync cuEventRecord");
    assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + fake_cuda_calls("cuStreamSynchronize") + fake_cuda_calls("cuCtxSynchronize"), 0);
    float *shared = stoa_buffer_data(self.shared);
    OK(stoa_queue_copy(self.queue, shared, stoa_buffer_data(self.columns), 2 * PITCH * sizeof(float), NULL));
    OK(stoa_queue_wait(self.queue, NULL));
    assert_true(shared[PITCH] == WEIGHT);
    for (int i = 1; i < PITCH; i++) assert_true(shared[PITCH + i] == (float)(i < ROWS ? i : PITCH + i));
    fake_cuda_reset();
    OK(stoa_session_run(session, 0, NULL));
    assert_string_equal(fake_cuda_trace(), "");
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* The warm-up of a session is its three copies; only the first one on a device brings the weights, too. */
static void weights_go_there_once(void **state)
{
    (void)state;
    stoa_model *model = load("sm_90");
    fake_cuda_reset();
    stoa_session *first = make_session(model, 0);
    assert_int_equal(fake_cuda_calls("cuMemcpyAsync"), 1 + 3);
    stoa_session *second = make_session(model, 0);
    assert_int_equal(fake_cuda_calls("cuMemcpyAsync"), 1 + 3 + 3);
    stoa_session_destroy(first);
    OK(stoa_session_run(second, ROWS, NULL));
    OK(stoa_queue_wait(self.queue, NULL));
    stoa_session_destroy(second);
    stoa_model_destroy(model);
}

static void misfits_are_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_session *session;
    stoa_model *model = load("sm_80");
    assert_int_equal(stoa_session_create(model, self.queue, ROWS, NULL, &session, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'sm_80'"));
    assert_non_null(strstr(err.message, "'sm_90'"));
    stoa_model_destroy(model);

    model = load("sm_90");
    stoa_device *host;
    stoa_queue *queue;
    OK(stoa_device_open("host", &host, NULL));
    OK(stoa_queue_create(host, STOA_QUEUE_BLOCKING, &queue, NULL));
    assert_int_equal(stoa_session_create(model, queue, ROWS, NULL, &session, &err), STOA_EPLACE);
    assert_non_null(strstr(err.message, "'cuda'"));
    stoa_queue_destroy(queue);
    stoa_device_close(host);

    session = make_session(model, 1);
    assert_int_equal(stoa_session_run(session, ROWS, &err), STOA_EALIGN);
    assert_non_null(strstr(err.message, "'y'"));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* No driver call of a session's making may fail without a status, and nothing is left of it. */
static void faults_are_statuses(void **state)
{
    (void)state;
    stoa_model *model = load("sm_90");
    for (unsigned nth = 1; nth < 40; nth++) {
        stoa_session *session = NULL;
        stoa_error err;
        fake_cuda_fail("cuMemcpyAsync", nth, CUDA_ERROR_LAUNCH_FAILED, false);
        const stoa_status status = stoa_session_create(model, self.queue, ROWS, NULL, &session, &err);
        fake_cuda_fail("cuMemcpyAsync", 0, CUDA_SUCCESS, false);
        assert_true((status == STOA_OK) == (session != NULL));
        if (nth <= 4) assert_int_equal(status, nth == 1 ? STOA_EDEVICE : STOA_ERUNTIME);
        stoa_session_destroy(session);
        if (status == STOA_OK) break;
    }
    stoa_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_in_place_on_the_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_go_there_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(misfits_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(faults_are_statuses, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cuda_package", tests, NULL, NULL);
}
