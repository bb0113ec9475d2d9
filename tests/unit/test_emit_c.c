/* SPDX-License-Identifier: Apache-2.0 */
/* Models as plain C: written, compiled without a warning, loaded, and run beside the engine on the same rows. The
 * engine's vector functions and the order of its sums are its own, so results agree within a tolerance. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "onnx_builder.h"
#include "stoa/stoa.h"

enum { ROWS = 203, WIDTH_MAX = 32 };
#define RTOL 2e-5
#define ATOL 2e-6
#define COMPILE "cc -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -shared -fPIC -o %s %s -lm"

typedef struct emitted {
    char folder[64], source[96], library[96], command[400];
    void *handle, *function;
} emitted;

static bool write_text(void *file, const char *text, size_t bytes) { return fwrite(text, 1, bytes, file) == bytes; }

static bool has_compiler(void) { return system("cc --version > /dev/null 2>&1") == 0; }

static void emit(const stoa_model *model, emitted *e)
{
    stoa_error err;
    strcpy(e->folder, "/tmp/test_emit_c.XXXXXX");
    assert_non_null(mkdtemp(e->folder));
    snprintf(e->source, sizeof e->source, "%s/model.c", e->folder);
    snprintf(e->library, sizeof e->library, "%s/model.so", e->folder);
    snprintf(e->command, sizeof e->command, COMPILE, e->library, e->source);
    FILE *file = fopen(e->source, "w");
    assert_non_null(file);
    if (stoa_model_emit_c(model, "evaluate", write_text, file, &err) != STOA_OK) fail_msg("%s", err.message);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(system(e->command), 0);
    e->handle = dlopen(e->library, RTLD_NOW | RTLD_LOCAL);
    if (!e->handle) fail_msg("%s", dlerror());
    e->function = dlsym(e->handle, "evaluate");
    assert_non_null(e->function);
}

static void discard(emitted *e)
{
    dlclose(e->handle);
    unlink(e->source);
    unlink(e->library);
    rmdir(e->folder);
}

/* What a session gives for random rows: one input, one output, or two of each. */
typedef struct tables {
    float in[2][WIDTH_MAX][ROWS], expected[2][WIDTH_MAX][ROWS], out[2][WIDTH_MAX][ROWS];
    const float *in_columns[2][WIDTH_MAX];
    float *out_columns[2][WIDTH_MAX];
} tables;

static void bind(stoa_session *session, const stoa_tensor_schema *tensor, float (*values)[ROWS])
{
    stoa_error err;
    stoa_column columns[WIDTH_MAX];
    assert_true(tensor->width <= WIDTH_MAX);
    for (uint32_t k = 0; k < tensor->width; k++)
        columns[k] = stoa_column_over(values[k], STOA_FLOAT32, ROWS, 1, (stoa_place){STOA_PLACE_HOST, 0});
    if (tensor->rank == 2) { /* a matrix is one column of two extents */
        columns[0].extent[0] = tensor->shape[0];
        columns[0].extent[1] = tensor->shape[1];
        columns[0].stride[0] = ROWS * tensor->shape[1];
        columns[0].stride[1] = ROWS;
    }
    if (stoa_session_bind(session, tensor->name, stoa_tensor_of(columns, tensor->rank == 2 ? 1 : tensor->width), &err) != STOA_OK)
        fail_msg("%s", err.message);
}

static void fill(tables *t, const stoa_model *model)
{
    const stoa_schema *schema = stoa_model_schema(model);
    stoa_error err;
    stoa_device *device;
    stoa_queue *queue;
    stoa_session *session;
    uint64_t random = 20261126; /* the seed */
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < WIDTH_MAX; k++) {
            t->in_columns[i][k] = t->in[i][k];
            t->out_columns[i][k] = t->out[i][k];
            for (uint32_t r = 0; r < ROWS; r++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                t->in[i][k][r] = (float)((double)(random >> 40) / 0x1p24 * 4.0 - 2.0);
            }
        }
    assert_int_equal(stoa_device_open("host", &device, &err), STOA_OK);
    assert_int_equal(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err), STOA_OK);
    assert_int_equal(stoa_session_create(model, queue, ROWS, NULL, &session, &err), STOA_OK);
    for (uint32_t i = 0; i < schema->input_count; i++) bind(session, &schema->inputs[i], t->in[i]);
    for (uint32_t i = 0; i < schema->output_count; i++) bind(session, &schema->outputs[i], t->expected[i]);
    if (stoa_session_run(session, ROWS, &err) != STOA_OK) fail_msg("%s", err.message);
    stoa_session_destroy(session);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}

static void compare(const tables *t, const stoa_model *model, const char *what)
{
    const stoa_schema *schema = stoa_model_schema(model);
    double worst = 0.0;
    for (uint32_t i = 0; i < schema->output_count; i++)
        for (uint32_t k = 0; k < schema->outputs[i].width; k++)
            for (uint32_t r = 0; r < ROWS; r++) {
                const double got = (double)t->out[i][k][r], expected = (double)t->expected[i][k][r];
                const double allowed = ATOL + RTOL * fabs(expected);
                if (!(fabs(got - expected) <= allowed) && !(isnan(got) && isnan(expected)))
                    fail_msg("%s: output %u, value %u, row %u: %.9g, the engine has %.9g, tolerance %.3g", what, i, k, r, got, expected,
                             allowed);
                worst = fmax(worst, fabs(got - expected));
            }
    print_message("%s: largest difference %.3g\n", what, worst);
}

typedef void (*one_in_one_out)(const float *const *, float *const *, size_t);
typedef void (*two_in_two_out)(const float *const *, const float *const *, float *const *, float *const *, size_t);

static void check_model(const stoa_model *model, const char *what)
{
    emitted e;
    tables *t = calloc(1, sizeof *t);
    assert_non_null(t);
    fill(t, model);
    emit(model, &e);
    if (stoa_model_schema(model)->input_count == 1) {
        one_in_one_out run;
        memcpy(&run, &e.function, sizeof run);
        run(t->in_columns[0], t->out_columns[0], ROWS);
    } else {
        two_in_two_out run;
        memcpy(&run, &e.function, sizeof run);
        run(t->in_columns[0], t->in_columns[1], t->out_columns[0], t->out_columns[1], ROWS);
    }
    compare(t, model, what);
    discard(&e);
    free(t);
}

static void files_of_networks(void **state)
{
    (void)state;
    static const char *const files[] = {"mlp_30_64_64_1.onnx", "two_heads.onnx"};
    for (size_t i = 0; i < 2; i++) {
        char path[1024];
        stoa_error err;
        stoa_model *model;
        snprintf(path, sizeof path, "%s/tests/data/%s", STOA_SOURCE_DIR, files[i]);
        if (stoa_model_load(path, NULL, &model, &err) != STOA_OK) fail_msg("%s", err.message);
        check_model(model, files[i]);
        stoa_model_destroy(model);
    }
}

static stoa_model *load(onnx_builder *o)
{
    const builder *file = finish_model(o, 20);
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "native"};
    stoa_error err;
    stoa_model *model = NULL;
    if (stoa_model_load_memory(file->bytes, file->size, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    return model;
}

/* y = op(x), the same x for all. */
static void each_function(void **state)
{
    (void)state;
    static const char *const ops[] = {"Relu",
                                      "LeakyRelu",
                                      "Elu",
                                      "Selu",
                                      "Celu",
                                      "Sigmoid",
                                      "Tanh",
                                      "Softplus",
                                      "Softsign",
                                      "Mish",
                                      "Gelu",
                                      "HardSigmoid",
                                      "HardSwish",
                                      "ThresholdedRelu",
                                      "Shrink",
                                      "Exp",
                                      "Erf",
                                      "Abs",
                                      "Neg",
                                      "Floor",
                                      "Ceil",
                                      "Round",
                                      "Sin",
                                      "Cos",
                                      "Atan",
                                      "Sinh",
                                      "Asinh",
                                      "Softmax",
                                      "LogSoftmax",
                                      "ReduceSum",
                                      "ReduceMean",
                                      "ReduceMax",
                                      "ReduceMin",
                                      "ReduceProd",
                                      "ReduceL1",
                                      "ReduceL2",
                                      "ReduceSumSquare",
                                      "ReduceLogSumExp"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        static onnx_builder o;
        static const int64_t axis[] = {1};
        memset(&o, 0, sizeof o);
        add_input(&o, "x", ONNX_FLOAT, DIMS(5));
        add_output(&o, "y");
        if (strncmp(ops[i], "Reduce", 6) == 0) {
            add_ints(&o, "axis", axis, 1);
            add_node(&o, ops[i], "x axis", "y", NULL);
        } else {
            add_node(&o, ops[i], "x", "y", NULL);
        }
        stoa_model *model = load(&o);
        check_model(model, ops[i]);
        stoa_model_destroy(model);
    }
}

/* Columns out of order, constants, a matrix between two elementwise steps, a normalisation. */
static void mixed_steps(void **state)
{
    (void)state;
    static onnx_builder o;
    static const int64_t chosen[] = {4, 0, 2};
    static const float shift[] = {0.5f, -0.25f, 1.5f}, w[] = {0.5f, -1.0f, 0.25f, 2.0f, 0.125f, -0.75f}, scale[] = {1.5f, 0.5f, 2.0f};
    memset(&o, 0, sizeof o);
    add_input(&o, "x", ONNX_FLOAT, DIMS(5));
    add_output(&o, "y");
    add_ints(&o, "chosen", chosen, 3);
    add_floats(&o, "shift", (const int64_t[]){3, -1}, shift, 3);
    add_floats(&o, "scale", (const int64_t[]){3, -1}, scale, 3);
    add_floats(&o, "w", (const int64_t[]){3, 2, -1}, w, 6);
    add_node(&o, "Gather", "x chosen", "g", "axis", 'i', (int64_t)1, NULL);
    add_node(&o, "LayerNormalization", "g scale shift", "n", NULL);
    add_node(&o, "Mul", "n g", "m", NULL);
    add_node(&o, "MatMul", "m w", "p", NULL);
    add_node(&o, "Clip", "p", "y", NULL);
    stoa_model *model = load(&o);
    check_model(model, "mixed");
    stoa_model_destroy(model);
}

static bool refuse(void *user, const char *text, size_t bytes)
{
    (void)user, (void)text, (void)bytes;
    return false;
}

static void refusals(void **state)
{
    (void)state;
    static onnx_builder o;
    stoa_error err;
    memset(&o, 0, sizeof o);
    add_input(&o, "x", ONNX_FLOAT, DIMS(3));
    add_value(&o, 12, "y", ONNX_BOOL, "N", (const int64_t[]){3, -1});
    add_node(&o, "IsNaN", "x", "y", NULL);
    stoa_model *model = load(&o);
    assert_int_equal(stoa_model_emit_c(model, "f", refuse, NULL, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'y' is bool"));
    assert_int_equal(stoa_model_emit_c(model, "1f", refuse, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_model_emit_c(model, "", refuse, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_model_emit_c(NULL, "f", refuse, NULL, &err), STOA_EINVAL);
    stoa_model_destroy(model);
    assert_int_equal(stoa_model_load(STOA_SOURCE_DIR "/tests/data/two_heads.onnx", NULL, &model, &err), STOA_OK);
    assert_int_equal(stoa_model_emit_c(model, "f", refuse, NULL, &err), STOA_EIO);
    stoa_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_of_networks), cmocka_unit_test(each_function), cmocka_unit_test(mixed_steps),
                                       cmocka_unit_test(refusals)};
    if (!has_compiler()) {
        puts("skipped: no compiler called 'cc' to compile what is written");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
