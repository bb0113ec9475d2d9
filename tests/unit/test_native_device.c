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
    OK(open_device(name, &s->device, &err));
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

static stoa_status load_with(const char *isa, stoa_precision precision, stoa_model **model)
{
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "native", .isa = isa, .precision = precision};
    const builder *file = finish_model(&builder_of_model, 20);
    return stoa_model_load_memory(file->bytes, file->size, &options, model, &err);
}

static stoa_model *load(const char *isa)
{
    stoa_model *model;
    OK(load_with(isa, STOA_PRECISION_FLOAT32, &model));
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

/* ---- tensor cores -------------------------------------------------------------------------------------------------------- */

static const struct {
    stoa_precision precision;
    const char *name;
    double unit; /* half a last place: the most that rounding changes, relative */
    double network_most; /* of a network's sigmoid, absolute */
} precisions[] = {{STOA_PRECISION_TFLOAT32, "tfloat32", 0x1p-11, 5e-4},
                  {STOA_PRECISION_BFLOAT16, "bfloat16", 0x1p-8, 4e-3},
                  {STOA_PRECISION_FLOAT16, "float16", 0x1p-11, 5e-4}};
enum { PRECISIONS = sizeof precisions / sizeof *precisions };

static void make_layer(const float *w, const float *bias, uint32_t length, uint32_t count)
{
    builder_of_model.graph.size = 0;
    add_input(&builder_of_model, "x", ONNX_FLOAT, DIMS((int64_t)length));
    add_floats(&builder_of_model, "w", DIMS((int64_t)length, (int64_t)count), w, length * count);
    add_floats(&builder_of_model, "b", DIMS((int64_t)count), bias, count);
    add_node(&builder_of_model, "Gemm", "x w b", "y", (char *)NULL);
    add_output(&builder_of_model, "y");
}

/* Each value of a layer against its sum in double: both factors of a product are rounded once, and a tensor core may lose two units
 * of float32 in an addition. Returns how many values differ from those of float32. */
static uint32_t check_layer(uint32_t length, uint32_t count, size_t which)
{
    enum { LAYER_ROWS = 150 };
    static float w[128 * 80], bias[80], x[128 * LAYER_ROWS], plain[80 * LAYER_ROWS];
    const double unit = precisions[which].unit, rounding = 2 * unit + unit * unit;
    uint32_t changed = 0;
    for (uint32_t i = 0; i < length * count; i++) w[i] = weight(i + 3);
    for (uint32_t i = 0; i < count; i++) bias[i] = weight(i + 77);
    for (uint32_t i = 0; i < length * LAYER_ROWS; i++) x[i] = weight(i * 7 + 1) * 8.0f;
    make_layer(w, bias, length, count);
    stoa_model *model;
    OK(load_with(NULL, STOA_PRECISION_FLOAT32, &model));
    memcpy(plain, run(&other, model, x, LAYER_ROWS, 0, LAYER_ROWS), sizeof *x * count * LAYER_ROWS);
    stoa_model_destroy(model);
    OK(load_with(NULL, precisions[which].precision, &model));
    const float *y = run(&other, model, x, LAYER_ROWS, 0, LAYER_ROWS);
    for (uint32_t o = 0; o < count; o++)
        for (uint32_t row = 0; row < LAYER_ROWS; row++) {
            double sum = bias[o], size = fabs(sum);
            for (uint32_t k = 0; k < length; k++) {
                const double product = (double)x[k * LAYER_ROWS + row] * w[k * count + o];
                sum += product;
                size += fabs(product);
            }
            const double most = (rounding + (length + 1) * 0x1p-22) * size, got = y[o * LAYER_ROWS + row];
            if (!(fabs(got - sum) <= most))
                fail_msg("%u -> %u %s: value %u of row %u is %.9g, not %.9g within %.3g", length, count, precisions[which].name, o, row,
                         got, sum, most);
            changed += y[o * LAYER_ROWS + row] != plain[o * LAYER_ROWS + row];
        }
    stoa_model_destroy(model);
    return changed;
}

static void layers_are_within_the_bound_of_their_precision(void **state)
{
    static const uint32_t shapes[][2] = {{1, 4}, {8, 16}, {17, 5}, {30, 64}, {33, 70}, {128, 20}};
    (void)state;
    for (size_t i = 0; i < PRECISIONS; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) assert_true(check_layer(shapes[s][0], shapes[s][1], i) > 0);
        assert_int_equal(check_layer(30, 3, i), 0); /* few neurons stay in float32 */
    }
}

/* How far a network's score is from float32, and that a row does not depend on how many there are or where they begin. */
static void networks_in_lower_precision(void **state)
{
    (void)state;
    static float x[30 * ROWS], expected[ROWS], whole[ROWS];
    for (uint32_t i = 0; i < 30 * ROWS; i++) x[i] = weight(i * 13 + 5) * 4.0f;
    make_network(30, 64, 1, "Relu");
    stoa_model *model = load(NULL);
    memcpy(expected, run(&host, model, x, ROWS, 0, ROWS), sizeof expected);
    stoa_model_destroy(model);
    for (size_t i = 0; i < PRECISIONS; i++) {
        double most = 0.0;
        OK(load_with(NULL, precisions[i].precision, &model));
        memcpy(whole, run(&other, model, x, ROWS, 0, ROWS), sizeof whole);
        for (uint32_t row = 0; row < ROWS; row++) most = fmax(most, fabs((double)whole[row] - expected[row]));
        print_message("30 -> 64 -> 64 -> 1 %s: %.2g from float32 at most\n", precisions[i].name, most);
        assert_true(most > 0.0 && most <= precisions[i].network_most);
        const float *part = run(&other, model, x, ROWS, 37, 100);
        assert_memory_equal(part + 37, whole + 37, 100 * sizeof *whole);
        stoa_model_destroy(model);
    }
}

/* The range of float16: a weight beyond is refused, an input beyond is seen in the result. Of tfloat32 and bfloat16 it is float32's. */
static void beyond_the_range_of_float16(void **state)
{
    (void)state;
    const float w[4] = {1.0f, 1.0f, 1.0f, 1.0f}, large[4] = {1.0f, 70000.0f, 1.0f, 1.0f}, bias[4] = {0}, x = 70000.0f;
    stoa_model *model;
    make_layer(w, bias, 1, 4);
    for (size_t i = 0; i < PRECISIONS; i++) {
        OK(load_with(NULL, precisions[i].precision, &model));
        const float y = run(&other, model, &x, 1, 0, 1)[0];
        assert_true(precisions[i].precision == STOA_PRECISION_FLOAT16 ? isinf(y) : fabsf(y - x) <= x * precisions[i].unit);
        stoa_model_destroy(model);
    }
    make_layer(large, bias, 1, 4);
    assert_int_equal(load_with(NULL, STOA_PRECISION_FLOAT16, &model), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "weight 70000 of neuron 1, float16 holds at most 65504"));
    OK(load_with(NULL, STOA_PRECISION_BFLOAT16, &model));
    stoa_model_destroy(model);
}

static void the_host_has_float32_alone(void **state)
{
    (void)state;
    stoa_model *model;
    stoa_session *session;
    make_network(3, 5, 2, "Relu");
    OK(load_with(NULL, STOA_PRECISION_TFLOAT32, &model));
    assert_int_equal(stoa_session_create(model, host.queue, 1, NULL, &session, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "precision 1 for CUDA, the host computes in 0"));
    if (strcmp(backend_under_test(), "hip") == 0) {
        assert_int_equal(stoa_session_create(model, other.queue, 1, NULL, &session, &err), STOA_ENOTSUP);
        assert_non_null(strstr(err.message, "precision 1 for CUDA, a GPU of AMD computes in 0"));
    }
    stoa_model_destroy(model);
    assert_int_equal(load_with(NULL, (stoa_precision)4, &model), STOA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(functions_have_the_hosts_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(networks_of_every_width, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_wider_than_a_blocks_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_host_has_float32_alone, set_up, tear_down),
        /* of CUDA alone */
        cmocka_unit_test_setup_teardown(layers_are_within_the_bound_of_their_precision, set_up, tear_down),
        cmocka_unit_test_setup_teardown(networks_in_lower_precision, set_up, tear_down),
        cmocka_unit_test_setup_teardown(beyond_the_range_of_float16, set_up, tear_down),
    };
    enum { CUDA_ALONE = 3 };
    require_device();
    const size_t count = sizeof tests / sizeof *tests - (strcmp(backend_under_test(), "cuda") == 0 ? 0 : CUDA_ALONE);
    return _cmocka_run_group_tests("native device", tests, count, NULL, NULL);
}
