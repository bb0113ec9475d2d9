/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering: small graphs, what they become, what they compute (by the scalar reference and by every level of this machine), and
 * what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onnx_builder.h"
#include "runtime/native/lower.h"
#include "scalar_program.h"
#include "stoa/memory.h"

#define VALUES_MAX 4096
#define ROWS 37 /* more than one vector, and a rest */

static onnx_builder model;

typedef struct lowered {
    graph_arena kept;
    native_plan plan;
    stoa_schema schema;
    stoa_error err;
    stoa_status status;
} lowered;

static void start(void) { model.graph.size = 0; }

static lowered lower(int64_t opset)
{
    lowered out = {.status = STOA_OK};
    const builder *file = finish_model(&model, opset);
    const native_kernels *kernels = NULL;
    graph_arena scratch = {NULL, 0};
    onnx_model onnx;
    assert_int_equal(stoai_native_choose(NULL, &kernels, &out.err), STOA_OK);
    out.status = stoai_onnx_read(file->bytes, file->size, &scratch, &onnx, &out.err);
    if (out.status == STOA_OK) out.status = stoai_lower(&onnx, file->size, kernels, &scratch, &out.kept, &out.plan, &out.schema, &out.err);
    stoai_arena_release(&scratch);
    return out;
}

static void expect_plan(const lowered *m, const char *expected)
{
    char plan[2048] = "";
    if (m->status != STOA_OK) fail_msg("%s", m->err.message);
    for (uint32_t i = 0; i < m->plan.programs[0].step_count; i++) {
        strncat(plan, i ? "; " : "", sizeof plan - strlen(plan) - 1);
        strncat(plan, m->plan.programs[0].steps[i].text, sizeof plan - strlen(plan) - 1);
    }
    assert_string_equal(plan, expected);
}

static uint32_t width_of(const stoa_tensor_schema *tensors, uint32_t count)
{
    uint32_t width = 0;
    for (uint32_t i = 0; i < count; i++) width += tensors[i].width;
    return width;
}

/* All values of inputs and outputs as floats, [value][row]. */
static float in_values[VALUES_MAX * ROWS], out_values[VALUES_MAX * ROWS];
static stoa_bound in_bound[VALUES_MAX], out_bound[VALUES_MAX];

static float input_value(uint32_t value, uint32_t row)
{
    const uint32_t mixed = (value * 2654435761u) ^ (row * 2246822519u + 12345u);
    return (float)((mixed >> 8) % 4001) / 1000.0f - 2.0f;
}

/* Kernels of all levels against the scalar reference; then the first row's outputs against `expected` where given. */
static void expect_values(lowered *m, const double *expected)
{
    if (m->status != STOA_OK) fail_msg("%s", m->err.message);
    const uint32_t in = width_of(m->schema.inputs, m->schema.input_count), out = width_of(m->schema.outputs, m->schema.output_count);
    static scalar row_in[VALUES_MAX], row_out[VALUES_MAX];
    assert_true(in <= VALUES_MAX && out <= VALUES_MAX);
    for (uint32_t i = 0; i < in; i++) {
        in_bound[i] = (stoa_bound){in_values + (size_t)i * ROWS, 1, STOA_FLOAT32, 0};
        for (uint32_t row = 0; row < ROWS; row++) in_values[i * ROWS + row] = input_value(i, row);
    }
    for (uint32_t i = 0; i < out; i++) out_bound[i] = (stoa_bound){out_values + (size_t)i * ROWS, 1, STOA_FLOAT32, 0};
    const size_t bytes = stoai_native_workspace_bytes(&m->plan);
    void *workspace = stoa_alloc(bytes, 256);
    for (const native_kernels *const *level = stoai_native_levels(); *level; level++) {
        if (!(*level)->supported()) continue;
        memset(workspace, 0xff, bytes); /* NaN: what is used but was not written shows */
        native_call call = {.bounds = {in_bound, out_bound}, .workspace = workspace, .rows = &(uint32_t){ROWS}};
        (*level)->run(&m->plan.programs[0], &call);
        for (uint32_t row = 0; row < ROWS; row++) {
            for (uint32_t i = 0; i < in; i++) row_in[i] = (scalar){(double)in_values[i * ROWS + row], (int64_t)in_values[i * ROWS + row]};
            scalar_program_run(&m->plan.programs[0], row_in, row_out);
            for (uint32_t i = 0, o = 0, end = m->schema.outputs[0].width; i < out; i++) {
                while (i >= end) end += m->schema.outputs[++o].width;
                const double reference = stoai_is_float(m->schema.outputs[o].dtype) ? row_out[i].real : (double)row_out[i].integer;
                const double got = (double)out_values[i * ROWS + row];
                if (!(fabs(got - reference) <= 1e-5 + 1e-5 * fabs(reference)))
                    fail_msg("%s, row %u, value %u: %g, reference %g", (*level)->name, row, i, got, reference);
                if (expected && row == 0 && fabs(reference - expected[i]) > 1e-5)
                    fail_msg("value %u: %g, expected %g", i, reference, expected[i]);
            }
        }
    }
    stoa_free(workspace, bytes);
    stoai_arena_release(&m->kept);
}

static void expect_refused(const char *part)
{
    lowered m = lower(17);
    stoai_arena_release(&m.kept);
    assert_int_equal(m.status, STOA_ENOTSUP);
    if (!strstr(m.err.message, part)) fail_msg("'%s' lacks '%s'", m.err.message, part);
}

static void add_random_up_to(float most, const char *name, const int64_t *dims, size_t count)
{
    static float data[4096];
    assert_true(count <= 4096);
    for (size_t i = 0; i < count; i++) data[i] = input_value((uint32_t)i + 77, (uint32_t)name[0]) * 0.5f * most;
    add_floats(&model, name, dims, data, count);
}

static void add_random(const char *name, const int64_t *dims, size_t count) { add_random_up_to(1.0f, name, dims, count); }

/* ---- fusion -------------------------------------------------------------------------------------------------------------- */

static void test_mlp(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(30));
    add_random("w1", DIMS(30, 64), 30 * 64);
    add_random("b1", DIMS(64), 64);
    add_random("v2", DIMS(64, 1), 64);
    add_node(&model, "Gemm", "x w1 b1", "h", NULL);
    add_node(&model, "Relu", "h", "r", NULL);
    add_node(&model, "MatMul", "r v2", "m", NULL);
    add_node(&model, "Sigmoid", "m", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 30; gemm 30 -> 64, relu; gemm 64 -> 1, sigmoid; store 1");
    assert_int_equal(m.schema.parameters, 30 * 64 + 64 + 64);
    assert_int_equal(m.schema.flop_per_row, 2 * (30 * 64 + 64));
    assert_string_equal(m.schema.inputs[0].rows_name, "N");
    assert_true(m.schema.inputs[0].dtype_mask >> STOA_INT8 & 1);
    assert_int_equal(m.plan.programs[0].tile_rows % 48, 0);
    expect_values(&m, NULL);
}

/* MatMul + bias, scale, shift and BatchNormalization melt into the weights; the activation into the store. */
static void test_affine_folds(void **state)
{
    (void)state;
    static const float one[1] = {2.0f}, variance[4] = {1.0f, 2.0f, 0.5f, 4.0f};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(5));
    add_random("w", DIMS(5, 4), 20);
    add_random("b", DIMS(4), 4);
    add_random("s", DIMS(4), 4);
    add_random("t", DIMS(4), 4);
    add_random("m", DIMS(4), 4);
    add_floats(&model, "v", DIMS(4), variance, 4);
    add_floats(&model, "one", DIMS(1), one, 1);
    add_node(&model, "MatMul", "x w", "a", NULL);
    add_node(&model, "Add", "b a", "c", NULL);
    add_node(&model, "BatchNormalization", "c s t m v", "d", NULL);
    add_node(&model, "Div", "d one", "e", NULL);
    add_node(&model, "Sub", "one e", "f", NULL);
    add_node(&model, "Tanh", "f", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 5; gemm 5 -> 4, tanh; store 4");
    expect_values(&m, NULL);
}

/* A value that is used twice stays as it is. */
static void test_no_fusion_of_shared(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_random("w", DIMS(3, 4), 12);
    add_node(&model, "MatMul", "x w", "a", NULL);
    add_node(&model, "Relu", "a", "r", NULL);
    add_node(&model, "Add", "a r", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 3; gemm 3 -> 4; relu 4; add 4; store 4");
    expect_values(&m, NULL);
}

/* A layer on each of k vectors: k products with one packed matrix. */
static void test_deep_set(void **state)
{
    (void)state;
    static const int64_t axis[1] = {1};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(2, 3));
    add_random("w", DIMS(3, 4), 12);
    add_random("b", DIMS(4), 4);
    add_ints(&model, "axis", axis, 1);
    add_node(&model, "MatMul", "x w", "a", NULL);
    add_node(&model, "Add", "a b", "c", NULL);
    add_node(&model, "Relu", "c", "d", NULL);
    add_node(&model, "ReduceSum", "d axis", "y", "keepdims", 'i', (int64_t)0, NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 6; gemm 3 -> 4, relu; gemm 3 -> 4, relu; sum 4 x 2; store 4");
    assert_ptr_equal(m.plan.programs[0].steps[1].weights, m.plan.programs[0].steps[2].weights);
    expect_values(&m, NULL);
}

/* Constants on the left: W x for each row, columns of x that are not neighbours. */
static void test_constant_left(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3, 2));
    add_random("w", DIMS(4, 3), 12);
    add_node(&model, "MatMul", "w x", "a", NULL);
    add_node(&model, "Softplus", "a", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 6; gemm 3 -> 4, softplus; gemm 3 -> 4, softplus; store 8");
    expect_values(&m, NULL);
}

/* ---- layout --------------------------------------------------------------------------------------------------------------- */

/* x.view(x.size(0), -1) of PyTorch: Shape, Gather, Unsqueeze, Concat, Reshape fold away, with N as a symbol. */
static void test_view_of_size(void **state)
{
    (void)state;
    static const int64_t zero[1] = {0}, minus[1] = {-1};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(2, 3));
    put_tensor(&model.graph, 5, "first", ONNX_INT64, (const int64_t[]){-1}, zero, sizeof zero);
    add_ints(&model, "zero", zero, 1);
    add_ints(&model, "minus", minus, 1);
    add_node(&model, "Shape", "x", "s", NULL);
    add_node(&model, "Gather", "s first", "n", "axis", 'i', (int64_t)0, NULL);
    add_node(&model, "Unsqueeze", "n zero", "u", NULL);
    add_node(&model, "Concat", "u minus", "c", "axis", 'i', (int64_t)0, NULL);
    add_node(&model, "Reshape", "x c", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 6; store 6");
    assert_int_equal(m.schema.outputs[0].rank, 1);
    assert_int_equal(m.schema.outputs[0].shape[0], 6);
    expect_values(&m, NULL);
}

static void test_layout_is_free(void **state)
{
    (void)state;
    static const int64_t starts[1] = {2}, ends[1] = {-100}, axes[1] = {1}, steps[1] = {-1};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_input(&model, "z", ONNX_FLOAT, DIMS(2));
    add_ints(&model, "starts", starts, 1);
    add_ints(&model, "ends", ends, 1);
    add_ints(&model, "axes", axes, 1);
    add_ints(&model, "steps", steps, 1);
    add_node(&model, "Slice", "x starts ends axes steps", "r", NULL);
    add_node(&model, "Concat", "r z", "c", "axis", 'i', (int64_t)1, NULL);
    add_node(&model, "Dropout", "c", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 3; load 2; store 5");
    const double expected[5] = {(double)input_value(2, 0), (double)input_value(1, 0), (double)input_value(0, 0), (double)input_value(3, 0),
                                (double)input_value(4, 0)};
    expect_values(&m, expected);
}

/* Only values that are used are loaded. */
static void test_unused_values(void **state)
{
    (void)state;
    static const int64_t chosen[3] = {1, 2, 5};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(7));
    add_ints(&model, "chosen", chosen, 3);
    add_node(&model, "Exp", "x", "unused", NULL);
    add_node(&model, "Gather", "x chosen", "g", "axis", 'i', (int64_t)1, NULL);
    add_node(&model, "Neg", "g", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 2; load 1; neg 3; store 3");
    const double expected[3] = {-(double)input_value(1, 0), -(double)input_value(2, 0), -(double)input_value(5, 0)};
    expect_values(&m, expected);
}

/* ---- other families ----------------------------------------------------------------------------------------------------------- */

static void test_attention(void **state)
{
    (void)state;
    start();
    add_input(&model, "q", ONNX_FLOAT, DIMS(3, 4));
    add_input(&model, "k", ONNX_FLOAT, DIMS(4, 3));
    add_node(&model, "MatMul", "q k", "a", NULL);
    add_node(&model, "Softmax", "a", "p", NULL);
    add_node(&model, "MatMul", "p q", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 12; load 12; mul 36; sum 9 x 4; softmax 3 x 3; mul 36; sum 12 x 3; store 12");
    expect_values(&m, NULL);
}

/* Opset 12 and before: Softmax over all axes from `axis` on. */
static void test_old_softmax(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(2, 3));
    add_node(&model, "Softmax", "x", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(12);
    expect_plan(&m, "load 6; softmax 1 x 6; store 6");
    expect_values(&m, NULL);
}

static void test_norm_and_args(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(5));
    add_random("s", DIMS(5), 5);
    add_random("b", DIMS(5), 5);
    add_node(&model, "LayerNormalization", "x s b", "n", NULL);
    add_node(&model, "ArgMax", "n", "i", "axis", 'i', (int64_t)1, "keepdims", 'i', (int64_t)0, NULL);
    add_node(&model, "ReduceLogSumExp", "n", "r", "keepdims", 'i', (int64_t)0, "axis", 'i', (int64_t)1, NULL);
    add_output(&model, "n");
    add_output(&model, "i");
    model.graph.size = model.graph.size; /* ReduceLogSumExp without axes reduces rows too: see the refusals */
    lowered m = lower(17);
    assert_int_equal(m.status, STOA_ENOTSUP);
    assert_non_null(strstr(m.err.message, "node 2 'r' (ReduceLogSumExp): it reduces over the row axis"));
    stoai_arena_release(&m.kept);
}

static void test_arg_max(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(5));
    add_node(&model, "ArgMax", "x", "i", "axis", 'i', (int64_t)1, "keepdims", 'i', (int64_t)0, NULL);
    add_node(&model, "Cast", "i", "f", "to", 'i', (int64_t)ONNX_FLOAT, NULL);
    add_node(&model, "Identity", "i", "j", NULL);
    add_output(&model, "f");
    add_output(&model, "j");
    lowered m = lower(17);
    expect_plan(&m, "load 5; argmax 1 x 5; cast 1 to float32; store 1; store 1");
    assert_int_equal(m.schema.outputs[1].dtype, STOA_INT64);
    assert_int_equal(m.schema.outputs[1].rank, 0);
    assert_int_equal(m.schema.outputs[1].dtype_mask, (uint64_t)1 << STOA_INT64);
    m.schema.output_count = 1; /* the second one is bound to floats by the helper: leave it out */
    for (uint32_t i = 0; i < m.plan.programs[0].step_count; i++)
        if (m.plan.programs[0].steps[i].kind == NATIVE_STEP_STORE && m.plan.programs[0].steps[i].first_value == 1)
            m.plan.programs[0].step_count = i;
    expect_values(&m, NULL);
}

static void test_where_and_logic(void **state)
{
    (void)state;
    static const float half[1] = {0.5f};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(4));
    add_floats(&model, "half", DIMS(1), half, 1);
    add_node(&model, "Greater", "x half", "g", NULL);
    add_node(&model, "IsNaN", "x", "n", NULL);
    add_node(&model, "Or", "g n", "o", NULL);
    add_node(&model, "Not", "o", "t", NULL);
    add_node(&model, "Where", "t x half", "w", NULL);
    add_node(&model, "Clip", "w half -", "c", NULL);
    add_node(&model, "Pow", "c half", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 4; greater 4; isnan 4; or 4; not 4; where 4; clip 4; pow 4; store 4");
    expect_values(&m, NULL);
}

/* int8 wraps, and uint8 holds no negative number. */
static void test_narrow_integers(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(2));
    add_node(&model, "Cast", "x", "i", "to", 'i', (int64_t)3, NULL);
    add_node(&model, "Add", "i i", "d", NULL);
    add_node(&model, "Cast", "d", "y", "to", 'i', (int64_t)ONNX_FLOAT, NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 2; cast 2 to int8; add 2; cast 2 to int8; cast 2 to float32; store 2");
    expect_values(&m, NULL);
}

/* Constants meet constants: no steps; a Concat with a constant feature becomes part of the bias. */
static void test_constant_folding(void **state)
{
    (void)state;
    static const float c[2] = {3.0f, 4.0f};
    static const double square[2] = {9.5, 16.5};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(2));
    add_floats(&model, "c", DIMS(1, 2), c, 2);
    add_random("w", DIMS(4, 3), 12);
    add_node(&model, "Mul", "c c", "s", NULL);
    add_node(&model, "Concat", "x s", "k", "axis", 'i', (int64_t)1, NULL);
    add_node(&model, "MatMul", "k w", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    expect_plan(&m, "load 2; gemm 2 -> 3; store 3");
    const double w0 = (double)(input_value(77 + 6, 'w') * 0.5f), w1 = (double)(input_value(77 + 9, 'w') * 0.5f);
    assert_true(fabs((double)m.plan.programs[0].steps[1].bias[0] - ((square[0] - 0.5) * w0 + (square[1] - 0.5) * w1)) < 1e-4);
    expect_values(&m, NULL);
}

/* Many steps: places are used again, and live values never share one (the reference would show it). */
static void test_places_are_reused(void **state)
{
    (void)state;
    char from[8] = "x", to[8];
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(20));
    add_random_up_to(0.25f, "w", DIMS(20, 20), 400); /* ten layers do not let a rounding grow */
    for (int i = 0; i < 30; i++) {
        snprintf(to, sizeof to, "h%d", i);
        char both[24];
        snprintf(both, sizeof both, "%s %s", from, i % 3 == 1 ? "x" : "w");
        add_node(&model, i % 3 == 1 ? "Add" : i % 3 == 0 ? "MatMul" : "Tanh", i % 3 == 2 ? from : both, to, NULL);
        memcpy(from, to, sizeof from);
    }
    add_output(&model, "h29");
    lowered m = lower(17);
    assert_int_equal(m.status, STOA_OK);
    assert_true(m.plan.programs[0].ref_count <= 4 * 32);
    expect_values(&m, NULL);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------------------ */

static void test_refusals(void **state)
{
    (void)state;
    static const int64_t zero[1] = {0}, shape[2] = {2, -1};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_node(&model, "Relu", "x", "a", NULL);
    add_node(&model, "Transpose", "a", "y", NULL);
    add_output(&model, "y");
    expect_refused("node 1 'y' (Transpose): it moves the row axis");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_ints(&model, "axes", zero, 1);
    add_node(&model, "ReduceSum", "x axes", "y", NULL);
    add_output(&model, "y");
    expect_refused("(ReduceSum): it reduces over the row axis");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(4));
    add_ints(&model, "shape", shape, 2);
    add_node(&model, "Reshape", "x shape", "y", NULL);
    add_output(&model, "y");
    expect_refused("(Reshape): the target shape does not keep the row axis");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_node(&model, "LSTM", "x", "y", NULL);
    add_output(&model, "y");
    expect_refused("node 0 'y' (LSTM): the native engine has no such operator");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_random("w", DIMS(2, 3), 6);
    add_node(&model, "Add", "x w", "y", NULL);
    add_output(&model, "y");
    expect_refused("(Add): a constant of 2 rows meets the row axis");
    start();
    add_input(&model, "x", ONNX_INT32, DIMS(3));
    add_node(&model, "Exp", "x", "y", NULL);
    add_output(&model, "y");
    expect_refused("(Exp): it has no meaning for int32");
}

/* Names that nothing makes, or that two nodes make, are errors of the file. */
static void test_inconsistent(void **state)
{
    (void)state;
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_node(&model, "Add", "x q", "y", NULL);
    add_output(&model, "y");
    lowered m = lower(17);
    assert_int_equal(m.status, STOA_EFORMAT);
    assert_non_null(strstr(m.err.message, "'q' is used but nothing before it makes it"));
    stoai_arena_release(&m.kept);
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_node(&model, "Relu", "x", "x", NULL);
    add_output(&model, "x");
    m = lower(17);
    assert_int_equal(m.status, STOA_EFORMAT);
    assert_non_null(strstr(m.err.message, "'x' is defined twice"));
    stoai_arena_release(&m.kept);
}

/* A file of a few hundred bytes must not make gigabytes. */
static void test_growth_is_bounded(void **state)
{
    (void)state;
    static const int64_t repeats[2] = {1, 1 << 28};
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(64));
    add_ints(&model, "repeats", repeats, 2);
    add_node(&model, "Tile", "x repeats", "y", NULL);
    add_output(&model, "y");
    expect_refused("(Tile): 268435456 repeats");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(65536, 65536));
    add_output(&model, "x");
    expect_refused("input 'x': a tensor of 1 x 65536 x 65536 values");
    start();
    add_input(&model, "a", ONNX_FLOAT, DIMS(30000, 1));
    add_input(&model, "b", ONNX_FLOAT, DIMS(1, 30000));
    add_node(&model, "Add", "a b", "y", NULL);
    add_output(&model, "y");
    expect_refused("(Add): output 'y': a tensor of 1 x 30000 x 30000 values");
    start();
    add_input(&model, "x", ONNX_FLOAT, DIMS(3, 0));
    add_output(&model, "x");
    expect_refused("input 'x': extent of axis 2 is 0, at least 1 needed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_affine_folds),
        cmocka_unit_test(test_no_fusion_of_shared),
        cmocka_unit_test(test_deep_set),
        cmocka_unit_test(test_constant_left),
        cmocka_unit_test(test_view_of_size),
        cmocka_unit_test(test_layout_is_free),
        cmocka_unit_test(test_unused_values),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_old_softmax),
        cmocka_unit_test(test_norm_and_args),
        cmocka_unit_test(test_arg_max),
        cmocka_unit_test(test_where_and_logic),
        cmocka_unit_test(test_narrow_integers),
        cmocka_unit_test(test_constant_folding),
        cmocka_unit_test(test_places_are_reused),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_inconsistent),
        cmocka_unit_test(test_growth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
