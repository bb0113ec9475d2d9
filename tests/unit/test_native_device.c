/* SPDX-License-Identifier: Apache-2.0 */
/* The native engine on the device under test against its own levels on the host: every float function over a walk through all floats,
 * networks that fit into a block's memory and others that do not, rows that begin and end anywhere. What is made of sums, products,
 * quotients and roots has the host's bits; the C library's functions are not the same on a GPU. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device_under_test.h"
#include "onnx_builder.h"
#include "stoa/session.h"

enum { FLOATS = 8192, STRIDE = 524287, LIBRARY_ULP = 4 }; /* a prime: all exponents and both signs */

static onnx_builder builder_of_model;
static stoa_error err;

#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s: %s", #call, err.message); \
    } while (0)

/* A queue of one device, and memory that it and this program both can use. */
typedef struct site {
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *memory;
} site;

static site host, other;

static void open_site(site *s, const char *name, size_t bytes)
{
    OK(stoa_device_open(name, &s->device, &err));
    OK(stoa_queue_create(s->device, STOA_QUEUE_BLOCKING, &s->queue, &err));
    s->memory = make_shared(s->queue, bytes);
}

static void close_site(site *s)
{
    stoa_buffer_release(s->memory);
    stoa_queue_destroy(s->queue);
    stoa_device_close(s->device);
}

#define MEMORY_BYTES ((size_t)8 << 20)

static int set_up(void **state)
{
    (void)state;
    open_site(&host, "host", MEMORY_BYTES);
    open_site(&other, device_under_test(), MEMORY_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_site(&host);
    close_site(&other);
    return 0;
}

static stoa_model *load(const char *isa)
{
    stoa_model *model;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "native", .isa = isa};
    const builder *file = finish_model(&builder_of_model, 20);
    OK(stoa_model_load_memory(file->bytes, file->size, &options, &model, &err));
    return model;
}

static void bind(const site *s, stoa_session *session, const stoa_tensor_schema *schema, float *data, uint32_t rows)
{
    static stoa_column columns[1024];
    for (uint32_t k = 0; k < schema->width; k++)
        columns[k] = stoa_column_over(data + (size_t)k * rows, STOA_FLOAT32, rows, 1, stoa_buffer_place(s->memory));
    OK(stoa_session_bind(session, schema->name, stoa_tensor_of(columns, schema->width), &err));
}

/* Rows [first, first + count) of a model of one input and one output; returns the output's columns, `rows` apart. */
static const float *run(const site *s, const stoa_model *model, const float *x, uint32_t rows, uint32_t first, uint32_t count)
{
    const stoa_schema *schema = stoa_model_schema(model);
    const size_t in = (size_t)schema->inputs[0].width * rows, out = (size_t)schema->outputs[0].width * rows;
    float *memory = stoa_buffer_data(s->memory);
    assert_true((in + out) * sizeof *memory <= MEMORY_BYTES);
    memcpy(memory, x, in * sizeof *x);
    memset(memory + in, 0xA5, out * sizeof *memory);
    stoa_session *session;
    OK(stoa_session_create(model, s->queue, rows, NULL, &session, &err));
    bind(s, session, &schema->inputs[0], memory, rows);
    bind(s, session, &schema->outputs[0], memory + in, rows);
    OK(stoa_session_run_rows(session, first, count, &err));
    stoa_session_destroy(session);
    return memory + in;
}

static int64_t ordered(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

static int64_t ulp_between(float a, float b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INT32_MAX;
    return llabs(ordered(a) - ordered(b));
}

/* ---- functions ----------------------------------------------------------------------------------------------------------- */

/* Operators of one operand; `library`: what it computes is left to the C library. */
static const struct {
    const char *op;
    bool library;
} functions[] = {{"Exp", false},       {"Log", false},      {"Sigmoid", false},    {"Tanh", false},        {"Erf", false},
                 {"Softplus", false},  {"Softsign", false}, {"Elu", false},        {"Selu", false},        {"Celu", false},
                 {"Gelu", false},      {"Mish", false},     {"HardSwish", false},  {"HardSigmoid", false}, {"Relu", false},
                 {"LeakyRelu", false}, {"Sqrt", false},     {"Reciprocal", false}, {"Floor", false},       {"Ceil", false},
                 {"Round", false},     {"Abs", false},      {"Neg", false},        {"Sign", false},        {"Sin", true},
                 {"Cos", true},        {"Tan", true},       {"Asin", true},        {"Acos", true},         {"Atan", true},
                 {"Sinh", true},       {"Cosh", true},      {"Asinh", true},       {"Acosh", true},        {"Atanh", true}};

static void functions_have_the_hosts_bits(void **state)
{
    (void)state;
    static float x[FLOATS], expected[FLOATS];
    for (uint32_t i = 0; i < FLOATS; i++) {
        const uint32_t bits = i * STRIDE;
        memcpy(&x[i], &bits, sizeof bits);
    }
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        builder_of_model.graph.size = 0;
        add_input(&builder_of_model, "x", ONNX_FLOAT, DIMS(1));
        add_node(&builder_of_model, functions[f].op, "x", "y", (char *)NULL);
        add_output(&builder_of_model, "y");
        stoa_model *model = load("baseline"); /* without fused products, as on the GPU */
        memcpy(expected, run(&host, model, x, FLOATS, 0, FLOATS), sizeof expected);
        const float *y = run(&other, model, x, FLOATS, 0, FLOATS);
        int64_t most = 0;
        uint32_t worst = 0;
        for (uint32_t i = 0; i < FLOATS; i++)
            if (ulp_between(y[i], expected[i]) > most) most = ulp_between(y[i], expected[i]), worst = i;
        const int64_t bound = functions[f].library ? LIBRARY_ULP : 0;
        if (most > bound)
            fail_msg("%s(%a): %a on %s, %a on the host: %lld ulp, at most %lld", functions[f].op, (double)x[worst], (double)y[worst],
                     device_under_test(), (double)expected[worst], (long long)most, (long long)bound);
        stoa_model_destroy(model);
    }
}

/* ---- networks ------------------------------------------------------------------------------------------------------------ */

static float weight(uint32_t i) { return (float)((i * 2654435761u) >> 16) / 65536.0f - 0.5f; }

/* inputs -> hidden -> hidden -> outputs, with an activation behind each of the first two. */
static void make_network(uint32_t inputs, uint32_t hidden, uint32_t outputs, const char *activation)
{
    static float w[6000];
    const uint32_t sizes[] = {inputs, hidden, hidden, outputs};
    builder_of_model.graph.size = 0;
    add_input(&builder_of_model, "x", ONNX_FLOAT, DIMS((int64_t)inputs));
    for (uint32_t layer = 0; layer < 3; layer++) {
        char weights[8], bias[8], product[8], text[32], out[8];
        const uint32_t n = sizes[layer], m = sizes[layer + 1];
        assert_true(n * m <= 6000);
        for (uint32_t i = 0; i < n * m; i++) w[i] = weight(i + layer * 7919) / sqrtf((float)n) * 2.0f;
        snprintf(weights, sizeof weights, "w%u", layer);
        snprintf(bias, sizeof bias, "b%u", layer);
        snprintf(product, sizeof product, "p%u", layer);
        add_floats(&builder_of_model, weights, DIMS((int64_t)n, (int64_t)m), w, n * m);
        add_floats(&builder_of_model, bias, DIMS((int64_t)m), w, m);
        snprintf(text, sizeof text, "%s %s %s", layer ? out : "x", weights, bias);
        add_node(&builder_of_model, "Gemm", text, product, (char *)NULL);
        snprintf(out, sizeof out, "y%u", layer);
        add_node(&builder_of_model, layer < 2 ? activation : "Sigmoid", product, layer < 2 ? out : "y", (char *)NULL);
    }
    add_output(&builder_of_model, "y");
}

static bool has_fma(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

enum { ROWS = 700 };

/* Matrices add by fma as the host's levels with one do; what else the network has differs by what those levels fuse. */
static void check_network(uint32_t inputs, uint32_t hidden, uint32_t outputs, const char *activation, int64_t ulp_most)
{
    static float x[64 * ROWS], expected[64 * ROWS];
    static const uint32_t parts[][2] = {{0, ROWS}, {0, 1}, {699, 1}, {3, 129}, {128, 300}};
    for (uint32_t i = 0; i < inputs * ROWS; i++) x[i] = weight(i * 13 + 5) * 4.0f;
    make_network(inputs, hidden, outputs, activation);
    stoa_model *model = load(has_fma() ? "avx2" : "baseline");
    memcpy(expected, run(&host, model, x, ROWS, 0, ROWS), sizeof *x * outputs * ROWS);
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        const uint32_t first = parts[p][0], end = first + parts[p][1];
        const float *y = run(&other, model, x, ROWS, first, parts[p][1]);
        for (uint32_t k = 0; k < outputs; k++)
            for (uint32_t row = 0; row < ROWS; row++) {
                const float got = y[k * ROWS + row], want = expected[k * ROWS + row];
                uint32_t bits;
                memcpy(&bits, &got, sizeof bits);
                if (row < first || row >= end) assert_int_equal(bits, 0xA5A5A5A5u);
                else if (ulp_between(got, want) > (has_fma() ? ulp_most : 1 << 12))
                    fail_msg("%u -> %u -> %u %s: output %u of row %u: %a, %a on the host", inputs, hidden, outputs, activation, k, row,
                             (double)got, (double)want);
            }
    }
    stoa_model_destroy(model);
}

static void networks_of_every_width(void **state)
{
    (void)state;
    check_network(17, 32, 1, "Relu", 3);   /* the sigmoid's last bits */
    check_network(30, 64, 1, "Relu", 3);
    check_network(3, 5, 2, "Relu", 3);     /* below a group of neurons, and four sums */
    check_network(1, 70, 7, "Relu", 3);
    check_network(12, 40, 20, "Tanh", 1 << 9);
}

/* Live columns that no block's memory holds go through the workspace, in one launch as well. */
static void a_model_wider_than_a_blocks_memory(void **state)
{
    (void)state;
    enum { WIDTH = 900 };
    static float x[WIDTH * ROWS], expected[WIDTH * ROWS];
    for (uint32_t i = 0; i < WIDTH * ROWS; i++) x[i] = weight(i);
    builder_of_model.graph.size = 0;
    add_input(&builder_of_model, "x", ONNX_FLOAT, DIMS(WIDTH));
    add_node(&builder_of_model, "Softmax", "x", "y", "axis", 'i', (int64_t)1, (char *)NULL);
    add_output(&builder_of_model, "y");
    stoa_model *model = load("baseline");
    memcpy(expected, run(&host, model, x, ROWS, 0, ROWS), sizeof expected);
    const float *y = run(&other, model, x, ROWS, 0, ROWS);
    assert_memory_equal(y, expected, sizeof expected);
    stoa_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(functions_have_the_hosts_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(networks_of_every_width, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_wider_than_a_blocks_memory, set_up, tear_down),
    };
    require_device();
    return cmocka_run_group_tests_name("native device", tests, NULL, NULL);
}
