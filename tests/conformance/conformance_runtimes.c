/* SPDX-License-Identifier: Apache-2.0 */
/* The same models through every runtime, with columns that lie in every way: what a runtime's rules allow runs in place, anything else
 * is refused and runs when copies are allowed, every byte of them counted. Files are those of tests/python/make_packages.py. The numbers
 * expected are closed forms where a network has one; where not, the file's own vectors (eager PyTorch's) are checked at load, and all
 * ways to lie must agree with the first. Another runtime joins by a line of `runtimes`, another network by a line of `models`.
 * STOA_TEST_DEVICE names another device than the host, STOA_TEST_RUNTIMES the only runtimes to try there. */
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

#include "stoa/runtime.h"
#include "stoa/stoa.h"
#include "unit/device_under_test.h"

enum { ROWS = 1100, PITCH = 1280, TENSORS_MAX = 8, WIDTH_MAX = 243 };
#define CANARY 0x5a
static stoa_queue *queue;
static stoa_device *device;

/* Memory of one tensor and the columns over it. */
typedef struct bound {
    const stoa_tensor_schema *schema;
    uint32_t rows;
    stoa_buffer *buffer;
    char *memory;
    size_t bytes;
    stoa_column columns[WIDTH_MAX];
} bound;

typedef struct trial {
    stoa_model *model;
    bound tensors[TENSORS_MAX];
    uint32_t input_count, count, axis_rows[2], axis_count;
    double *expected; /* [output values][ROWS] */
} trial;

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

static double value_of(const bound *b, uint32_t k, uint32_t row)
{
    const stoa_column *c = &b->columns[k];
    const char *at = (const char *)c->data + (int64_t)row * c->row_stride * (int64_t)stoa_dtype_bytes(b->schema->dtype);
    return b->schema->dtype == STOA_FLOAT32 ? (double)*(const float *)(const void *)at
           : b->schema->dtype == STOA_UINT8 ? *(const uint8_t *)at
                                            : (double)*(const int64_t *)(const void *)at;
}

/* y = W x of CMSSW's testSoAToTorch. */
static void linear(const trial *t, uint32_t row, double *y)
{
    const double x[3] = {value_of(&t->tensors[0], 0, row), value_of(&t->tensors[0], 1, row), value_of(&t->tensors[0], 2, row)};
    y[0] = -0.1 * x[0] + 0.2 * x[1] + 2.0 * x[2];
    y[1] = 0.1 * x[0] - 2.3 * x[1] + 4.0 * x[2];
}

static double relu(double x) { return x > 0 ? x : 0; }

/* Constant weights: all neurons of a layer are equal, s is the sum of the inputs. */
static void multihead(const trial *t, uint32_t row, double *y)
{
    const double s = value_of(&t->tensors[0], 0, row) + value_of(&t->tensors[0], 1, row) + value_of(&t->tensors[0], 2, row);
    const double h5 = relu(1.6 * relu(6.4 * relu(1.6 * relu(.8 * relu(.025 * s + .1) + .1) + .1) + .1) + .1);
    const double logit[3] = {1.92 * h5 + .1, 2.24 * h5 + .2, 2.56 * h5 + .3};
    const double sum = exp(logit[0] - logit[2]) + exp(logit[1] - logit[2]) + 1;
    y[0] = .96 * h5 + .1;
    for (int k = 0; k < 3; k++) y[1 + k] = exp(logit[k] - logit[2]) / sum;
}

static void masked(const trial *t, uint32_t row, double *y)
{
    y[0] = 0;
    for (uint32_t k = 0; k < 3; k++) y[0] += value_of(&t->tensors[0], k, row) * (1 - value_of(&t->tensors[1], k, row));
    y[0] *= value_of(&t->tensors[2], 0, 0);
}

static const struct {
    const char *name;
    bool as_onnx;
    void (*expected)(const trial *t, uint32_t row, double *y); /* NULL: the first way to lie */
} models[] = {{"linear", true, linear},  {"multihead", true, multihead}, {"simple", true, NULL},  {"selector", true, NULL},
              {"masked", false, masked}, {"resnet", false, NULL},        {"deepset", false, NULL}};

static const struct runtime {
    const char *name, *extension;
    bool on_gpu; /* by the same files */
    bool aligns; /* there it refuses tensors that begin anywhere */
    bool checks; /* reads the files' test vectors */
} runtimes[] = {{"native", "onnx", true, false, false},
                {"aoti", "pt2", false, false, true},
                {"torchscript", "pt", true, false, true},
                {"onnxruntime", "onnx", true, true, true},
                {"tensorrt", "onnx", true, true, true}};

/* ---- ways to lie --------------------------------------------------------------------------------------------------------- */

typedef enum layout { BLOCK, ROW_MAJOR, SCATTERED, APART, LAYOUT_COUNT } layout;
static const char *const layout_names[] = {"block", "row major", "scattered", "rows apart"};

/* Position of value k among the columns of a block: a matrix lies column-major where the schema says so. */
static uint32_t position(const stoa_tensor_schema *schema, uint32_t k)
{
    if (!schema->column_major || schema->rank < 2) return k;
    const uint32_t lines = schema->shape[schema->rank - 2], columns = schema->shape[schema->rank - 1], inner = k % (lines * columns);
    return k - inner + inner % columns * lines + inner / columns;
}

/* Value k of row 0 and the row stride, in elements. */
static size_t place(const stoa_tensor_schema *schema, layout way, uint32_t k, int64_t *row_stride)
{
    *row_stride = way == ROW_MAJOR ? schema->width : way == APART ? 3 : 1;
    switch (way) {
    case BLOCK: return (size_t)position(schema, k) * PITCH;
    case ROW_MAJOR: return k;
    case SCATTERED: return (size_t)(schema->width - 1 - k) * PITCH + 16 * (k * k % 5);
    case APART: return (size_t)position(schema, k) * 3 * PITCH;
    case LAYOUT_COUNT: break;
    }
    return 0;
}

static bool fits(stoa_column_rule rule, layout way)
{
    switch (rule) {
    case STOA_RULE_ANY: return true;
    case STOA_RULE_UNIT: return way == BLOCK || way == SCATTERED;
    case STOA_RULE_STRIDED: return way != SCATTERED;
    case STOA_RULE_BLOCK: return way == BLOCK;
    case STOA_RULE_ROW_MAJOR: return way == ROW_MAJOR;
    }
    return false;
}

static float number(uint32_t i) { return (float)((i * 2654435761u) >> 16) / 65536.0f; }

/* The same values whichever way they lie; outputs get the canary. */
static void lay(bound *b, layout way, bool is_output)
{
    const stoa_tensor_schema *schema = b->schema;
    const size_t element = stoa_dtype_bytes(schema->dtype);
    memset(b->memory, CANARY, b->bytes);
    for (uint32_t k = 0; k < schema->width; k++) {
        int64_t stride;
        char *data = b->memory + place(schema, way, k, &stride) * element;
        b->columns[k] = stoa_column_over_const(data, schema->dtype, b->rows, stride, stoa_buffer_place(b->buffer));
        if (is_output) b->columns[k].flags = 0;
        for (uint32_t row = 0; row < b->rows && !is_output; row++) {
            void *at = data + row * stride * (int64_t)element;
            if (schema->dtype == STOA_FLOAT32) *(float *)at = number(row * schema->width + k) - 0.25f;
            else if (schema->dtype == STOA_UINT8) *(uint8_t *)at = (row + k) % 3 == 0;
            else *(int64_t *)at = schema->axis == STOA_AXIS_ONE ? 0 : row % 7; /* indices of tracks */
        }
    }
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------- */

static void init(trial *t, stoa_model *model)
{
    const stoa_schema *schema = stoa_model_schema(model);
    static const uint32_t sizes[] = {1013, ROWS};
    *t = (trial){.model = model,
                 .input_count = schema->input_count,
                 .count = schema->input_count + schema->output_count,
                 .axis_rows = {ROWS, ROWS},
                 .axis_count = schema->axis_count};
    if (schema->axis_count == 2) memcpy(t->axis_rows, sizes, sizeof sizes);
    assert_true(t->count <= TENSORS_MAX && t->axis_count <= 2);
    for (uint32_t i = 0; i < t->count; i++) {
        bound *b = &t->tensors[i];
        b->schema = i < t->input_count ? &schema->inputs[i] : &schema->outputs[i - t->input_count];
        b->rows = b->schema->axis == STOA_AXIS_ONE ? 1 : t->axis_rows[b->schema->axis];
        b->bytes = (size_t)b->schema->width * 3 * PITCH * stoa_dtype_bytes(b->schema->dtype) + 1024;
        b->buffer = make_shared(queue, b->bytes);
        b->memory = stoa_buffer_data(b->buffer);
    }
    t->expected = calloc((size_t)WIDTH_MAX * ROWS, sizeof *t->expected);
}

static void deinit(trial *t)
{
    for (uint32_t i = 0; i < t->count; i++) stoa_buffer_release(t->tensors[i].buffer);
    free(t->expected);
    stoa_model_destroy(t->model);
}

static stoa_session *open_session(const trial *t, uint32_t allow_copies)
{
    stoa_error err = {0};
    stoa_session *session;
    const stoa_session_options options = {
        .struct_size = sizeof options, .allow_copies = allow_copies, .axis_rows = t->axis_rows, .axis_count = t->axis_count};
    if (stoa_session_create(t->model, queue, ROWS, &options, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    return session;
}

/* Without copies: bound exactly where the rule says so. A single column is a block of any spacing. */
static bool check_refusals(trial *t, layout way, const char *what)
{
    const stoa_capabilities *can = stoa_model_capabilities(t->model);
    stoa_session *session = open_session(t, 0);
    bool in_place = true;
    for (uint32_t i = 0; i < t->count; i++) {
        const bool is_output = i >= t->input_count;
        const bound *b = &t->tensors[i];
        stoa_error err = {0};
        const stoa_status status = stoa_session_bind(session, b->schema->name, stoa_tensor_of(b->columns, b->schema->width), &err);
        in_place &= status == STOA_OK;
        if (b->schema->width == 1 || b->rows == 1) continue;
        const bool fit = fits(is_output ? can->outputs : can->inputs, way) && (!is_output || can->outputs_in_place);
        if (status != (fit ? STOA_OK : STOA_ECOPY))
            fail_msg("%s: '%s' gives %s (%s)", what, b->schema->name, stoa_status_name(status), err.message);
    }
    stoa_session_destroy(session);
    return in_place;
}

static void compare(const trial *t, uint32_t first, uint32_t end, const char *what)
{
    uint32_t value = 0;
    for (uint32_t i = t->input_count; i < t->count; i++)
        for (uint32_t k = 0; k < t->tensors[i].schema->width; k++, value++)
            for (uint32_t row = 0; row < t->tensors[i].rows; row++) {
                const bool whole = t->axis_count != 1;
                const double found = value_of(&t->tensors[i], k, row), expected = t->expected[value * ROWS + row];
                const uint32_t canary = 0x01010101u * CANARY;
                float untouched;
                memcpy(&untouched, &canary, sizeof untouched);
                const bool inside = whole || (row >= first && row < end);
                if (inside ? !(fabs(found - expected) <= 1e-5 + 1e-4 * fabs(expected)) : found != (double)untouched)
                    fail_msg("%s: output '%s' value %u row %u of %u..%u: %.9g found, %.9g expected", what, t->tensors[i].schema->name, k,
                             row, first, end, found, inside ? expected : (double)untouched);
            }
}

static void expect(trial *t, void (*closed)(const trial *t, uint32_t row, double *y))
{
    uint32_t value = 0;
    double y[WIDTH_MAX];
    for (uint32_t i = t->input_count; i < t->count; value += t->tensors[i++].schema->width)
        for (uint32_t row = 0; row < t->tensors[i].rows; row++) {
            if (closed) closed(t, row, y);
            for (uint32_t k = 0; k < t->tensors[i].schema->width; k++)
                t->expected[(value + k) * ROWS + row] = closed ? y[value + k] : value_of(&t->tensors[i], k, row);
        }
}

static void bind_all(trial *t, stoa_session *session)
{
    for (uint32_t i = 0; i < t->count; i++) {
        stoa_error err = {0};
        const bound *b = &t->tensors[i];
        if (stoa_session_bind(session, b->schema->name, stoa_tensor_of(b->columns, b->schema->width), &err) != STOA_OK)
            fail_msg("%s", err.message);
    }
}

static uint64_t copied_bytes(const stoa_session *session)
{
    stoa_session_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(stoa_session_get_stats(session, &stats, NULL), STOA_OK);
    assert_true((stats.copy_calls > 0) == (stats.copy_bytes > 0));
    return stats.copy_bytes;
}

/* All rows at once, then slices of every kind, nothing at all among them. */
static void run_way(trial *t, layout way, void (*closed)(const trial *t, uint32_t row, double *y), const char *model,
                    const struct runtime *runtime)
{
    static const uint32_t slices[][2] = {{0, 0}, {0, 1}, {1, 1}, {7, 500}, {511, 3}, {ROWS, 0}, {ROWS - 1, 1}, {3, ROWS - 3}};
    char what[128];
    stoa_error err = {0};
    snprintf(what, sizeof what, "%s by %s, %s", model, runtime->name, layout_names[way]);
    for (uint32_t i = 0; i < t->count; i++) lay(&t->tensors[i], way, i >= t->input_count);
    const bool in_place = check_refusals(t, way, what);
    stoa_session *session = open_session(t, 1);
    bind_all(t, session);
    if (stoa_session_run_sizes(session, t->axis_rows, t->axis_count, &err) != STOA_OK) fail_msg("%s: %s", what, err.message);
    if (closed || way == BLOCK) expect(t, closed);
    compare(t, 0, ROWS, what);
    assert_true(in_place == (copied_bytes(session) == 0));
    for (size_t s = 0; t->axis_count == 1 && s < sizeof slices / sizeof *slices; s++) {
        for (uint32_t i = t->input_count; i < t->count; i++) lay(&t->tensors[i], way, true);
        const stoa_status status = stoa_session_run_rows(session, slices[s][0], slices[s][1], &err);
        if (status == STOA_EALIGN && slices[s][0] && runtime->aligns && !device_is_host()) continue;
        if (status != STOA_OK) fail_msg("%s: %s", what, err.message);
        compare(t, slices[s][0], slices[s][0] + slices[s][1], what);
    }
    stoa_session_destroy(session);
}

static stoa_status load(const struct runtime *runtime, size_t number, stoa_model **model, stoa_error *err)
{
    char path[1024];
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtime->name, .self_check = runtime->checks};
    snprintf(path, sizeof path, "%s/%s.%s", getenv("STOA_TEST_PACKAGES"), models[number].name, runtime->extension);
    return stoa_model_load(path, &options, model, err);
}

static void run_models(void **state)
{
    const struct runtime *runtime = *state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        if (strcmp(runtime->extension, "onnx") == 0 && !models[m].as_onnx) continue;
        stoa_error err = {0};
        stoa_model *model;
        trial t;
        if (load(runtime, m, &model, &err) != STOA_OK) fail_msg("%s by %s: %s", models[m].name, runtime->name, err.message);
        init(&t, model);
        for (layout way = BLOCK; way < LAYOUT_COUNT; way++) run_way(&t, way, models[m].expected, models[m].name, runtime);
        deinit(&t);
    }
}

static bool is_named(const char *name)
{
    const char *only = getenv("STOA_TEST_RUNTIMES");
    return device_is_host() || !only || strstr(only, name);
}

/* Whether it is there, and has what the device takes: a libtorch with CUDA, a host for TensorRT, say. */
static bool can_run(const struct runtime *runtime, stoa_error *err)
{
    const stoa_runtime_api *api;
    stoa_model *model;
    stoa_session *session = NULL;
    char where[1024];
    stoa_status status = stoa_runtime_find(runtime->name, &api, err);
    if (status == STOA_OK) status = api->probe(where, sizeof where, err);
    if (status != STOA_OK) return false;
    if (load(runtime, 0, &model, err) != STOA_OK) return true; /* its test says so */
    status = stoa_session_create(model, queue, 1, NULL, &session, err);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
    return status != STOA_ENOTSUP;
}

int main(void)
{
    const char *folder = getenv("STOA_TEST_PACKAGES");
    if (!folder || access(folder, R_OK) != 0) {
        printf("no packages (%s): tests/python/make_packages.py makes them\n", folder ? folder : "STOA_TEST_PACKAGES is not set");
        return 77;
    }
    require_device();
    enum { COUNT = sizeof runtimes / sizeof *runtimes };
    struct CMUnitTest tests[COUNT];
    int count = 0;
    if (stoa_device_open(device_under_test(), &device, NULL) != STOA_OK ||
        stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) != STOA_OK)
        return 1;
    for (int i = 0; i < COUNT; i++) {
        stoa_error err = {0};
        if ((!runtimes[i].on_gpu && !device_is_host()) || !is_named(runtimes[i].name)) continue;
        if (can_run(&runtimes[i], &err))
            tests[count++] = (struct CMUnitTest){runtimes[i].name, run_models, NULL, NULL, (void *)(uintptr_t)&runtimes[i]};
        else printf("%s left out: %s\n", runtimes[i].name, err.message);
    }
    const int failed = _cmocka_run_group_tests("runtimes", tests, (size_t)count, NULL, NULL);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return failed;
}
