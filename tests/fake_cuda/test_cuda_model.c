/* SPDX-License-Identifier: Apache-2.0 */
/* What a model of the native engine asks of the driver: launches, copies, waits, allocations, captures, faults, lifetime of weights.
 * Linked with the fake driver. That the numbers are right is shown by test_native_device and conformance_onnx_nodes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "nothing_left.h"
#include "stoa/memory.h"
#include "stoa/session.h"
#include "unit/device_under_test.h"
#include "unit/onnx_builder.h"

#define OK(call) assert_int_equal((call), STOA_OK)
#define MLP STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx"
#define TWO_HEADS STOA_SOURCE_DIR "/tests/data/two_heads.onnx"

enum { ROWS = 500, INPUTS = 30 };

/* Columns of the MLP in memory that the test sees too, and a count. */
typedef struct event {
    float x[INPUTS][ROWS], y[ROWS];
    uint32_t count;
} event;

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
    stoa_buffer *memory;
    event *event;
} fixture;

static void bind(stoa_session *session, stoa_buffer *memory)
{
    event *e = stoa_buffer_data(memory);
    stoa_column x[INPUTS];
    for (int k = 0; k < INPUTS; k++) x[k] = stoa_column_over_const(e->x[k], STOA_FLOAT32, ROWS, 1, stoa_buffer_place(memory));
    const stoa_column y = stoa_column_over(e->y, STOA_FLOAT32, ROWS, 1, stoa_buffer_place(memory));
    OK(stoa_session_bind(session, "x", stoa_tensor_of(x, INPUTS), NULL));
    OK(stoa_session_bind(session, "y", stoa_tensor_of(&y, 1), NULL));
}

static void fill(event *e)
{
    for (int k = 0; k < INPUTS; k++)
        for (int i = 0; i < ROWS; i++) e->x[k][i] = (float)((i * 37 + k * 101) % 64 - 32) * 0.125f;
    memset(e->y, 0, sizeof e->y);
}

static int set_up(void **state)
{
    static fixture self;
    *state = &self;
    OK(stoa_device_open("cuda:0", &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.queue, NULL));
    OK(stoa_model_load(MLP, NULL, &self.model, NULL));
    OK(stoa_session_create(self.model, self.queue, ROWS, NULL, &self.session, NULL));
    self.memory = make_shared(self.queue, sizeof(event));
    self.event = stoa_buffer_data(self.memory);
    fill(self.event);
    bind(self.session, self.memory);
    OK(stoa_queue_wait(self.queue, NULL));
    fake_cuda_reset();
    return 0;
}

static int tear_down(void **state)
{
    fixture *self = *state;
    stoa_session_destroy(self->session);
    stoa_model_destroy(self->model);
    stoa_buffer_release(self->memory);
    stoa_queue_destroy(self->queue);
    stoa_device_close(self->device);
    assert_nothing_left();
    return 0;
}

static uint32_t rows_written(const event *e)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < ROWS; i++) rows += e->y[i] != 0.0f;
    return rows;
}

static void a_run_is_one_launch(void **state)
{
    fixture *self = *state;
    const uint64_t allocations = stoa_alloc_count();
    OK(stoa_session_run(self->session, ROWS, NULL));
    OK(stoa_session_run_rows(self->session, 17, 100, NULL));
    self->event->count = 3;
    OK(stoa_session_run_counted(self->session, &self->event->count, NULL));
    assert_string_equal(fake_cuda_trace(), "cuLaunchKernel cuLaunchKernel cuLaunchKernel");
    assert_int_equal(fake_cuda_calls("cuMemAlloc_v2") + fake_cuda_calls("cuMemHostAlloc"), 0);
    assert_int_equal(stoa_alloc_count(), allocations);
    OK(stoa_queue_wait(self->queue, NULL));
    assert_int_equal(rows_written(self->event), ROWS);
    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(stoa_session_get_stats(self->session, &stats, NULL));
    assert_int_equal(stats.copy_calls + stats.copy_bytes + stats.run_allocations, 0);
    assert_int_equal(stats.runs, 3);
}

/* The count is read when the queue gets there, and clipped. */
static void rows_follow_the_count_on_the_device(void **state)
{
    static const uint32_t counts[] = {0, 1, 130, ROWS, ROWS + 7};
    fixture *self = *state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fill(self->event);
        fake_cuda_hold(true);
        self->event->count = UINT32_MAX;
        OK(stoa_session_run_counted(self->session, &self->event->count, NULL));
        self->event->count = counts[i];
        fake_cuda_hold(false);
        OK(stoa_queue_wait(self->queue, NULL));
        assert_int_equal(rows_written(self->event), counts[i] < ROWS ? counts[i] : ROWS);
    }
}

/* A graph is run again on what lies in the columns then, and on the count of then. */
static void a_run_can_be_captured(void **state)
{
    fixture *self = *state;
    CUstream stream = stoa_queue_native(self->queue);
    fake_cuda_capture_begin(stream);
    OK(stoa_session_run_counted(self->session, &self->event->count, NULL));
    assert_int_equal(fake_cuda_capture_end(), 1);
    for (uint32_t count = 100; count <= 300; count += 100) {
        fill(self->event);
        self->event->count = count;
        fake_cuda_replay(stream);
        OK(stoa_queue_wait(self->queue, NULL));
        assert_int_equal(rows_written(self->event), count);
    }
}

/* Sessions are made and destroyed outside of captures: one cannot be made, and what is destroyed all the same breaks nothing, and frees
 * nothing that is used. */
static void sessions_are_no_part_of_a_capture(void **state)
{
    fixture *self = *state;
    CUstream stream = stoa_queue_native(self->queue);
    stoa_session *second, *third;
    stoa_error err;
    OK(stoa_session_create(self->model, self->queue, ROWS, NULL, &second, NULL));
    bind(second, self->memory);
    fake_cuda_capture_begin(stream);
    assert_int_equal(stoa_session_create(self->model, self->queue, ROWS, NULL, &third, &err), STOA_ESTATE);
    assert_null(third);
    OK(stoa_session_run(self->session, ROWS, NULL));
    stoa_session_destroy(second);
    assert_int_equal(fake_cuda_capture_end(), 1);
    fake_cuda_replay(stream);
    OK(stoa_queue_wait(self->queue, NULL));
    assert_int_equal(rows_written(self->event), ROWS);
    fake_cuda_reset();
    stoa_session_destroy(self->session); /* the last one, of whose weights not all users are ordered before it */
    assert_int_equal(fake_cuda_calls("cuCtxSynchronize"), 1);
    OK(stoa_session_create(self->model, self->queue, ROWS, NULL, &self->session, NULL));
}

/* One copy of the weights for all sessions on a device, another one for another device; creating waits for nothing. They go with
 * the last session, behind the work of all, whichever queue that was on. */
static void weights_are_copied_once_a_device(void **state)
{
    fixture *self = *state;
    stoa_device *elsewhere;
    stoa_queue *second, *third;
    stoa_session *b, *c;
    stoa_memory_stats before = {.struct_size = sizeof before}, after = before;
    OK(stoa_device_memory_stats(self->device, STOA_MEMORY_DEVICE, &before, NULL));
    OK(stoa_device_open("cuda:1", &elsewhere, NULL));
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &second, NULL));
    OK(stoa_queue_create(elsewhere, STOA_QUEUE_ASYNC, &third, NULL));
    stoa_buffer *memory = make_shared(second, sizeof(event));
    fill(stoa_buffer_data(memory));
    fake_cuda_reset();
    OK(stoa_session_create(self->model, second, ROWS, NULL, &b, NULL));
    assert_string_equal(fake_cuda_trace(), "cuStreamWaitEvent");
    OK(stoa_session_create(self->model, third, ROWS, NULL, &c, NULL));
    assert_int_equal(fake_cuda_calls("cuMemcpyAsync"), 1);
    assert_int_equal(fake_cuda_calls("cuStreamSynchronize") + fake_cuda_calls("cuEventSynchronize"), 0);
    OK(stoa_device_memory_stats(self->device, STOA_MEMORY_DEVICE, &after, NULL));
    assert_int_equal(after.live_bytes, before.live_bytes); /* no workspace either: tiles are in the blocks' memory */
    stoa_session_destroy(c);

    bind(b, memory);
    fake_cuda_hold(true);
    OK(stoa_session_run(self->session, ROWS, NULL));
    OK(stoa_session_run(b, ROWS, NULL));
    stoa_session_destroy(b);
    stoa_session_destroy(self->session);
    stoa_buffer *reused;
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, before.requested_bytes, &reused, NULL)); /* the weights' block again */
    OK(stoa_queue_fill(self->queue, stoa_buffer_data(reused), 0, before.requested_bytes, NULL));
    fake_cuda_hold(false);
    OK(stoa_queue_wait(self->queue, NULL));
    OK(stoa_queue_wait(second, NULL));
    assert_memory_equal(((const event *)stoa_buffer_data(memory))->y, self->event->y, sizeof self->event->y);
    assert_int_equal(rows_written(self->event), ROWS);
    stoa_buffer_release(reused);
    self->session = NULL;
    stoa_buffer_release(memory);
    stoa_queue_destroy(second);
    stoa_queue_destroy(third);
    stoa_device_close(elsewhere);
}

/* Every head goes into a column of its own, wherever that lies. */
static void heads_are_stored_in_place(void **state)
{
    enum { N = 200 };
    fixture *self = *state;
    stoa_model *model;
    stoa_session *session;
    OK(stoa_model_load(TWO_HEADS, NULL, &model, NULL));
    const stoa_schema *schema = stoa_model_schema(model);
    OK(stoa_session_create(model, self->queue, N, NULL, &session, NULL));
    const uint32_t tensors = schema->input_count + schema->output_count;
    stoa_buffer *memory[8];
    for (uint32_t t = 0; t < tensors; t++) {
        const bool input = t < schema->input_count;
        const stoa_tensor_schema *s = input ? &schema->inputs[t] : &schema->outputs[t - schema->input_count];
        stoa_column columns[64];
        memory[t] = make_shared(self->queue, (size_t)s->width * 3 * N * sizeof(float));
        for (uint32_t k = 0; k < s->width; k++) /* rows 3 apart, the last value first */
            columns[k] = stoa_column_over((float *)stoa_buffer_data(memory[t]) + (s->width - 1 - k) * 3 * N, STOA_FLOAT32, N, 3,
                                          stoa_buffer_place(memory[t]));
        OK(stoa_session_bind(session, s->name, stoa_tensor_of(columns, s->width), NULL));
    }
    fake_cuda_reset();
    OK(stoa_session_run(session, N, NULL));
    assert_string_equal(fake_cuda_trace(), "cuLaunchKernel");
    OK(stoa_queue_wait(self->queue, NULL));
    for (uint32_t t = schema->input_count; t < tensors; t++) {
        const float *y = stoa_buffer_data(memory[t]);
        for (uint32_t i = 0; i < 3 * N; i++) assert_true((y[i] != 0.0f) == (i % 3 == 0));
    }
    stoa_session_destroy(session);
    for (uint32_t t = 0; t < tensors; t++) stoa_buffer_release(memory[t]);
    stoa_model_destroy(model);
}

/* Softmax over so many columns at x + 64 at[k] for ROWS_OF_COLUMN rows, into columns next to each other at y. */
enum { COLUMNS_MAX = 1024, ROWS_OF_COLUMN = 40 };

static stoa_status run_softmax(fixture *self, uint32_t width, const float *x, const uint32_t *at, float *y, const stoa_place place,
                               stoa_error *err)
{
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "native"};
    static stoa_column columns[COLUMNS_MAX];
    onnx_builder *builder = calloc(1, sizeof *builder);
    stoa_model *model;
    stoa_session *session;
    assert_non_null(builder);
    add_input(builder, "x", ONNX_FLOAT, DIMS(width));
    add_node(builder, "Softmax", "x", "y", "axis", 'i', (int64_t)1, (char *)NULL);
    add_output(builder, "y");
    finish_model(builder, 13);
    OK(stoa_model_load_memory(builder->file.bytes, builder->file.size, &options, &model, NULL));
    free(builder);
    OK(stoa_session_create(model, self->queue, ROWS_OF_COLUMN, NULL, &session, NULL));
    for (uint32_t k = 0; k < width; k++) columns[k] = stoa_column_over_const(x + 64 * at[k], STOA_FLOAT32, ROWS_OF_COLUMN, 1, place);
    OK(stoa_session_bind(session, "x", stoa_tensor_of(columns, width), NULL));
    for (uint32_t k = 0; k < width; k++) columns[k] = stoa_column_over(y + 64 * k, STOA_FLOAT32, ROWS_OF_COLUMN, 1, place);
    OK(stoa_session_bind(session, "y", stoa_tensor_of(columns, width), NULL));
    fake_cuda_reset();
    const stoa_status status = stoa_session_run(session, ROWS_OF_COLUMN, err);
    assert_string_equal(fake_cuda_trace(), status == STOA_OK ? "cuLaunchKernel" : "");
    OK(stoa_queue_wait(self->queue, NULL));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
    return status;
}

/* Columns that follow no pattern need a place for every two in the launch: up to so many. Where they lie makes no difference to the
 * results, nor does a row that is too wide for a block's own memory. */
static void scattered_columns(void **state)
{
    static const struct {
        uint32_t width, run; /* columns, and how many of them follow one another */
        stoa_status status;
    } cases[] = {{60, 1, STOA_OK}, {100, 1, STOA_OK}, {300, 1, STOA_OK}, {COLUMNS_MAX, 8, STOA_OK}, {400, 1, STOA_ELIMIT}};
    fixture *self = *state;
    static uint32_t at[COLUMNS_MAX], in_order[COLUMNS_MAX];
    stoa_buffer *memory = make_shared(self->queue, 4 * 64 * COLUMNS_MAX * sizeof(float));
    float *x = stoa_buffer_data(memory), *gathered = x + 64 * COLUMNS_MAX, *y = gathered + 64 * COLUMNS_MAX,
          *expected = y + 64 * COLUMNS_MAX;
    const stoa_place place = stoa_buffer_place(memory);
    for (uint32_t i = 0; i < 64 * COLUMNS_MAX; i++) x[i] = (float)(i * 2654435761u % 1000) * 0.004f - 2.0f;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const uint32_t width = cases[c].width;
        stoa_error err;
        for (uint32_t k = 0; k < width; k++) {
            const uint32_t group = k / cases[c].run;
            at[k] = (group * group * 13 + group * 331) % (COLUMNS_MAX - cases[c].run) + k % cases[c].run;
            in_order[k] = k;
            memcpy(gathered + 64 * k, x + 64 * at[k], ROWS_OF_COLUMN * sizeof *x);
        }
        memset(y, 0, 2 * 64 * COLUMNS_MAX * sizeof *y);
        assert_int_equal(run_softmax(self, width, x, at, y, place, &err), cases[c].status);
        if (cases[c].status != STOA_OK) {
            assert_non_null(strstr(err.message, "group 159 of equally spaced columns, at most 158"));
            continue;
        }
        OK(run_softmax(self, width, gathered, in_order, expected, place, &err));
        assert_memory_equal(y, expected, 64 * width * sizeof *y);
        assert_true(y[0] > 0.0f && y[64 * (width - 1) + ROWS_OF_COLUMN - 1] > 0.0f);
    }
    stoa_buffer_release(memory);
}

/* A row number beyond its axis is known when the queue has passed, and asking takes no call of the driver. */
static void bad_rows_are_told_without_a_call(void **state)
{
    fixture *self = *state;
    static onnx_builder builder;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "native"};
    const stoa_place place = stoa_buffer_place(self->memory);
    stoa_model *model;
    stoa_session *session;
    stoa_error err;
    add_input(&builder, "x", ONNX_FLOAT, DIMS(1));
    add_input(&builder, "next", ONNX_INT32, DIMS(-1));
    add_node(&builder, "Gather", "x next", "y", (char *)NULL);
    add_output(&builder, "y");
    finish_model(&builder, 13);
    OK(stoa_model_load_memory(builder.file.bytes, builder.file.size, &options, &model, NULL));
    OK(stoa_session_create(model, self->queue, ROWS, NULL, &session, NULL));
    const stoa_column x = stoa_column_over_const(self->event->x[0], STOA_FLOAT32, ROWS, 1, place);
    const stoa_column y = stoa_column_over(self->event->y, STOA_FLOAT32, ROWS, 1, place);
    int32_t *next = (int32_t *)(void *)self->event->x[1];
    const stoa_column to = stoa_column_over_const(next, STOA_INT32, ROWS, 1, place);
    OK(stoa_session_bind(session, "x", stoa_tensor_of(&x, 1), NULL));
    OK(stoa_session_bind(session, "next", stoa_tensor_of(&to, 1), NULL));
    OK(stoa_session_bind(session, "y", stoa_tensor_of(&y, 1), NULL));
    for (int i = 0; i < ROWS; i++) next[i] = i % 10 == 7 ? ROWS + 100 : i;
    OK(stoa_queue_wait(self->queue, NULL));
    fake_cuda_hold(true);
    OK(stoa_session_run(session, ROWS, &err));
    OK(stoa_session_check(session, &err));
    fake_cuda_hold(false);
    OK(stoa_queue_wait(self->queue, NULL));
    const unsigned calls = fake_cuda_calls(NULL);
    assert_int_equal(stoa_session_check(session, &err), STOA_ERUNTIME);
    assert_non_null(strstr(err.message, "row 600 of axis"));
    assert_non_null(strstr(err.message, "which has 500 rows"));
    OK(stoa_session_check(session, &err));
    assert_int_equal(fake_cuda_calls(NULL), calls);
    stoa_session_destroy(session);
    for (unsigned nth = 0, live = 0; nth < 20; nth++) {
        fake_cuda_fail(NULL, nth, CUDA_ERROR_LAUNCH_FAILED, false);
        if (stoa_session_create(model, self->queue, ROWS, NULL, &session, NULL) == STOA_OK) stoa_session_destroy(session);
        fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
        OK(stoa_queue_wait(self->queue, NULL));
        OK(stoa_device_memory_trim(self->device, STOA_MEMORY_DEVICE, 0, NULL));
        OK(stoa_device_memory_trim(self->device, STOA_MEMORY_PINNED, 0, NULL));
        if (nth == 0) live = fake_cuda_live();
        assert_int_equal(fake_cuda_live(), live);
    }
    stoa_model_destroy(model);
}

static stoa_status scenario(stoa_model *model, stoa_error *err)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    stoa_buffer *memory = NULL;
    stoa_session *session = NULL;
    stoa_status status = stoa_device_open("cuda:1", &device, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_PINNED, sizeof(event), &memory, err);
    if (status == STOA_OK) status = stoa_session_create(model, queue, ROWS, NULL, &session, err);
    if (status == STOA_OK) {
        fill(stoa_buffer_data(memory));
        bind(session, memory);
        status = stoa_session_run(session, ROWS, err);
    }
    if (status == STOA_OK) status = stoa_queue_wait(queue, err);
    if (status == STOA_OK) assert_int_equal(rows_written(stoa_buffer_data(memory)), ROWS);
    stoa_session_destroy(session);
    stoa_buffer_release(memory);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return status;
}

/* Every driver call fails once, then it and all later ones: a typed error, and nothing is left behind. */
static void faults_are_statuses_and_leak_nothing(void **state)
{
    fixture *self = *state;
    const unsigned before = fake_cuda_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        unsigned failures = 0;
        for (unsigned nth = 1; nth < 200; nth++) {
            stoa_error err = {0};
            fake_cuda_fail(NULL, nth, CUDA_ERROR_LAUNCH_FAILED, persistent);
            const stoa_status status = scenario(self->model, &err);
            fake_cuda_fail(NULL, 0, CUDA_SUCCESS, false);
            assert_int_equal(fake_cuda_live(), before);
            if (status == STOA_OK) continue;
            failures++;
            assert_int_equal(status, STOA_EDEVICE);
            assert_int_equal(err.native, CUDA_ERROR_LAUNCH_FAILED);
        }
        assert_true(failures > 15 && failures < 199);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_run_is_one_launch),
        CASE(rows_follow_the_count_on_the_device),
        CASE(a_run_can_be_captured),
        CASE(sessions_are_no_part_of_a_capture),
        CASE(weights_are_copied_once_a_device),
        CASE(heads_are_stored_in_place),
        CASE(scattered_columns),
        CASE(bad_rows_are_told_without_a_call),
        CASE(faults_are_statuses_and_leak_nothing),
    };
    require_device();
    return cmocka_run_group_tests_name("cuda model", tests, NULL, NULL);
}
