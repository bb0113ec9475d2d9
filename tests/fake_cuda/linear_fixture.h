/* SPDX-License-Identifier: Apache-2.0 */
/* y = W x by a runtime whose library works on the fake driver: columns in a device's memory, the session on them, and what must be in
 * them behind a run. cmocka.h is included before. */
#ifndef TESTS_FAKE_CUDA_LINEAR_FIXTURE_H
#define TESTS_FAKE_CUDA_LINEAR_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nothing_left.h"
#include "stoa/stoa.h"

#define OK(call) assert_int_equal((call), STOA_OK)
enum { ROWS = 20, PITCH = 64, INPUTS = 3, OUTPUTS = 2, VALUES = (INPUTS + OUTPUTS) * PITCH, BYTES = VALUES * sizeof(float) };

/* How the tensors lie: columns, columns of x from the last to the first (a negative stride), rows behind one another. */
typedef enum linear_way { IN_COLUMNS, BACKWARDS, IN_ROWS } linear_way;

typedef struct linear_fixture {
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *columns, *shared; /* x, then y on the device; the same where the host reads */
} linear_fixture;

static inline void open_linear(linear_fixture *self, const char *device)
{
    OK(stoa_device_open(device, &self->device, NULL));
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &self->queue, NULL));
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_DEVICE, BYTES, &self->columns, NULL));
    OK(stoa_buffer_create(self->queue, STOA_MEMORY_PINNED, BYTES, &self->shared, NULL));
    float *shared = stoa_buffer_data(self->shared);
    for (int i = 0; i < VALUES; i++) shared[i] = (float)(i % 7);
    OK(stoa_queue_copy(self->queue, stoa_buffer_data(self->columns), shared, BYTES, NULL));
    OK(stoa_queue_wait(self->queue, NULL));
}

static inline void close_linear(linear_fixture *self)
{
    stoa_buffer_release(self->columns);
    stoa_buffer_release(self->shared);
    stoa_queue_destroy(self->queue);
    stoa_device_close(self->device);
}

/* A file of the packages. */
static inline stoa_status try_load_linear(const char *file, const stoa_model_options *options, stoa_model **model, stoa_error *err)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("STOA_TEST_PACKAGES"), file);
    return stoa_model_load(path, options, model, err);
}

static inline stoa_model *load_linear(const char *file, const char *runtime, const char *signature)
{
    stoa_model *model;
    stoa_error err;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtime, .signature = signature};
    if (try_load_linear(file, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    return model;
}

/* Where value k of a row of x (or of y, behind it) is among the values of the buffer. */
static inline int linear_place(linear_way way, bool of_y, int k, int row)
{
    const int width = of_y ? OUTPUTS : INPUTS, from = of_y ? INPUTS * PITCH : 0;
    if (way == IN_ROWS) return from + row * width + k;
    return from + (way == BACKWARDS && !of_y ? width - 1 - k : k) * PITCH + row;
}

static inline void bind_linear(const linear_fixture *self, stoa_session *session, linear_way way)
{
    for (int of_y = 0; of_y < 2; of_y++) {
        stoa_column columns[INPUTS];
        const uint32_t width = of_y ? OUTPUTS : INPUTS;
        for (uint32_t k = 0; k < width; k++)
            columns[k] = stoa_column_over((float *)stoa_buffer_data(self->columns) + linear_place(way, of_y, (int)k, 0), STOA_FLOAT32,
                                          way == IN_ROWS ? ROWS : PITCH, way == IN_ROWS ? width : 1, stoa_device_place(self->device));
        OK(stoa_session_bind(session, of_y ? "y" : "x", stoa_tensor_of(columns, width), NULL));
    }
}

static inline stoa_session *make_linear(const linear_fixture *self, const stoa_model *model, linear_way way, uint32_t allow_copies)
{
    stoa_session *session;
    stoa_error err;
    const stoa_session_options options = {.struct_size = sizeof options, .allow_copies = allow_copies};
    if (stoa_session_create(model, self->queue, ROWS, &options, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    bind_linear(self, session, way);
    return session;
}

/* The results of all rows are there, and everything else is as it was. */
static inline void check_linear(const linear_fixture *self, linear_way way)
{
    static const float weights[OUTPUTS][INPUTS] = {{-0.1f, 0.2f, 2.0f}, {0.1f, -2.3f, 4.0f}};
    float expected[VALUES], *shared = stoa_buffer_data(self->shared);
    for (int i = 0; i < VALUES; i++) expected[i] = (float)(i % 7);
    for (int row = 0; row < ROWS; row++)
        for (int k = 0; k < OUTPUTS; k++) {
            float sum = 0;
            for (int i = 0; i < INPUTS; i++) sum += weights[k][i] * (float)(linear_place(way, false, i, row) % 7);
            expected[linear_place(way, true, k, row)] = sum;
        }
    OK(stoa_queue_copy(self->queue, shared, stoa_buffer_data(self->columns), BYTES, NULL));
    OK(stoa_queue_wait(self->queue, NULL));
    for (int i = 0; i < VALUES; i++)
        if (!(fabsf(shared[i] - expected[i]) <= 1e-5f)) fail_msg("value %d: %g found, %g expected", i, shared[i], expected[i]);
}

static inline stoa_session_stats stats_of(const stoa_session *session)
{
    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(stoa_session_get_stats(session, &stats, NULL));
    return stats;
}

/* Copies that the queue was told to make. */
static inline unsigned driver_copies(void) { return fake_cuda_calls("cuMemcpyAsync") + fake_cuda_calls("cuMemcpy2DAsync_v2"); }
static inline unsigned driver_waits(void)
{ return fake_cuda_calls("cuStreamSynchronize") + fake_cuda_calls("cuCtxSynchronize") + fake_cuda_calls("cuEventSynchronize"); }

/* Where there are no packages a test of them is skipped, with CTest's code. */
static inline bool has_packages(void)
{
    const char *folder = getenv("STOA_TEST_PACKAGES");
    if (folder && access(folder, R_OK) == 0) return true;
    printf("no packages (%s): tests/python/make_packages.py makes them\n", folder ? folder : "STOA_TEST_PACKAGES is not set");
    return false;
}

/* That of the running test, each of which begins with memory of its own and leaves nothing. */
static linear_fixture self;

static inline int set_up(void **state)
{
    (void)state;
    open_linear(&self, "cuda:0");
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    close_linear(&self);
    assert_nothing_left();
    return 0;
}

/* The caller may wrap the stream that its framework has. */
static inline void check_wrapped_stream(const stoa_model *model, linear_way way)
{
    stoa_queue *own = self.queue;
    OK(stoa_queue_wrap(self.device, stoa_queue_native(own), &self.queue, NULL));
    stoa_session *session = make_linear(&self, model, way, 0);
    OK(stoa_session_run(session, ROWS, NULL));
    check_linear(&self, way);
    stoa_session_destroy(session);
    stoa_queue_destroy(self.queue);
    self.queue = own;
}

#endif
