/* SPDX-License-Identifier: Apache-2.0 */
/* The ONNX reader on whole, cut and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "onnx_builder.h"
#include "runtime/native/native.h"
#include "runtime/native/onnx_reader.h"

static onnx_builder model;

/* x [N, 3] -> Gemm -> Relu -> y [N, 2]. */
static const builder *small_model(void)
{
    static const float w[6] = {1, 2, 3, 4, 5, 6}, c[2] = {0.5f, -0.5f};
    model.graph.size = 0;
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_floats(&model, "w", DIMS(2, 3), w, 6);
    add_floats(&model, "c", DIMS(2), c, 2);
    add_node(&model, "Gemm", "x w c", "h", "transB", 'i', (int64_t)1, "alpha", 'f', 2.0, NULL);
    add_node(&model, "Relu", "h", "y", NULL);
    add_output(&model, "y");
    return finish_model(&model, 17);
}

static stoa_status read(const void *data, size_t bytes, onnx_model *onnx, graph_arena *arena, stoa_error *err)
{
    *arena = (graph_arena){NULL, 0};
    return stoai_onnx_read(data, bytes, arena, onnx, err);
}

static void test_small_model(void **state)
{
    (void)state;
    onnx_model onnx;
    graph_arena arena;
    stoa_error err;
    const builder *file = small_model();
    assert_int_equal(read(file->bytes, file->size, &onnx, &arena, &err), STOA_OK);
    assert_int_equal(onnx.opset, 17);
    const onnx_graph *g = &onnx.graph;
    assert_int_equal(g->node_count, 2);
    assert_int_equal(g->initializer_count, 2);
    assert_string_equal(g->nodes[0].op, "Gemm");
    assert_string_equal(g->nodes[0].inputs[1], "w");
    assert_int_equal(g->nodes[0].attribute_count, 2);
    assert_int_equal(g->nodes[0].attributes[0].integer, 1);
    assert_true(g->nodes[0].attributes[1].real == 2.0f);
    assert_int_equal(g->initializers[0].rank, 2);
    assert_true(((const float *)g->initializers[0].data)[5] == 6.0f);
    assert_int_equal(g->inputs[0].rank, 2);
    assert_string_equal(g->inputs[0].params[0], "N");
    assert_int_equal(g->inputs[0].dims[1], 3);
    stoai_arena_release(&arena);
}

/* Every typed field, packed and one by one, gives the same as raw data. */
static void test_typed_fields(void **state)
{
    (void)state;
    static const struct {
        int type;
        stoa_dtype dtype;
        uint32_t field, wire;
    } cases[] = {
        {1, STOA_FLOAT32, 4, 5},   {11, STOA_FLOAT64, 10, 1}, {6, STOA_INT32, 5, 0},    {7, STOA_INT64, 7, 0}, {2, STOA_UINT8, 5, 0},
        {3, STOA_INT8, 5, 0},      {4, STOA_UINT16, 5, 0},    {5, STOA_INT16, 5, 0},    {9, STOA_BOOL, 5, 0},  {10, STOA_FLOAT16, 5, 0},
        {16, STOA_BFLOAT16, 5, 0}, {12, STOA_UINT32, 11, 0},  {13, STOA_UINT64, 11, 0},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        static builder t, list;
        const bool packed = i & 1;
        const size_t c = i / 2;
        t.size = list.size = 0;
        put_int(&t, 1, 2);
        put_int(&t, 2, cases[c].type);
        put_text(&t, 8, "t");
        for (uint64_t value = 0; value < 2; value++) {
            builder *to = packed ? &list : &t;
            if (!packed) put_varint(&t, cases[c].field << 3 | cases[c].wire);
            if (cases[c].wire == 0) put_varint(to, value);
            else put_bytes(to, &value, cases[c].wire == 1 ? 8 : 4);
        }
        if (packed) put_message(&t, cases[c].field, &list);
        onnx_tensor tensor;
        stoa_error err;
        graph_arena arena = {NULL, 0};
        assert_int_equal(stoai_onnx_read_tensor(t.bytes, t.size, &arena, &tensor, &err), STOA_OK);
        assert_int_equal(tensor.dtype, cases[c].dtype);
        assert_int_equal(tensor.count, 2);
        const uint64_t expected = 1;
        const size_t bytes = stoa_dtype_bytes(tensor.dtype);
        assert_memory_equal((const char *)tensor.data + bytes, &expected, bytes);
        stoai_arena_release(&arena);
    }
}

static void expect_format(const builder *file, const char *part)
{
    onnx_model onnx;
    graph_arena arena;
    stoa_error err = {.message = ""};
    const stoa_status status = read(file->bytes, file->size, &onnx, &arena, &err);
    stoai_arena_release(&arena);
    assert_int_equal(status, STOA_EFORMAT);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
}

static void test_malformed(void **state)
{
    (void)state;
    static builder b, g, t;
    const int64_t huge[] = {1 << 30, 1 << 30, 1 << 30, -1};
    b.size = 0;
    expect_format(&b, "no graph in 0 bytes");
    put_text(&b, 7, "");
    b.bytes[0] = 7 << 3; /* graph as a number */
    expect_format(&b, "graph at byte 0: wire type 0 given, 2 needed");
    b.size = 0;
    put_bytes(&b, "not an ONNX file at all", 23);
    expect_format(&b, "at byte");
    b.size = g.size = 0;
    put_tensor(&g, 5, "w", 1, huge, "", 0);
    put_message(&b, 7, &g);
    expect_format(&b, "tensor 'w' at byte");
    b.size = g.size = 0;
    put_tensor(&g, 5, "w", 1, DIMS(3), "12345678", 8);
    put_message(&b, 7, &g);
    expect_format(&b, "8 bytes given, 12 needed");
    b.size = g.size = t.size = 0;
    put_text(&t, 1, "x");
    put_message(&g, 1, &t);
    put_message(&b, 7, &g);
    expect_format(&b, "has no operator");
    b.size = g.size = t.size = 0;
    put_data(&t, 4, "Re\0lu", 5);
    put_message(&g, 1, &t);
    put_message(&b, 7, &g);
    expect_format(&b, "zero byte in a name");
}

static stoa_status load(const void *data, size_t bytes, stoa_error *err)
{
    void *handle = NULL;
    const stoa_status status = stoai_native_api.load(data, bytes, NULL, &handle, err);
    if (status != STOA_OK) assert_null(handle);
    stoai_native_api.unload(handle);
    return status;
}

/* A copy of exactly that length, so that the sanitizer sees any read beyond it. */
static stoa_status load_copy(const void *data, size_t bytes, stoa_error *err)
{
    void *copy = stoa_alloc(bytes ? bytes : 1, 16);
    memcpy(copy, data, bytes);
    const stoa_status status = load(copy, bytes, err);
    stoa_free(copy, bytes ? bytes : 1);
    return status;
}

static void test_every_truncation(void **state)
{
    (void)state;
    const builder *file = small_model();
    stoa_error err;
    assert_int_equal(load_copy(file->bytes, file->size, &err), STOA_OK);
    for (size_t bytes = 0; bytes < file->size; bytes++) {
        err.message[0] = 0;
        const stoa_status status = load_copy(file->bytes, bytes, &err);
        if (status == STOA_OK) continue; /* cut between two fields: a smaller file, but a file */
        assert_true(status == STOA_EFORMAT || status == STOA_ENOTSUP);
        assert_int_equal(err.status, status);
        assert_true(err.message[0]);
    }
}

static void test_every_bit_flip(void **state)
{
    (void)state;
    static uint8_t copy[sizeof model.file.bytes];
    const builder *file = small_model();
    unsigned refused = 0;
    for (size_t bit = 0; bit < file->size * 8; bit++) {
        stoa_error err = {.message = ""};
        memcpy(copy, file->bytes, file->size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const stoa_status status = load_copy(copy, file->size, &err);
        assert_true(status == STOA_OK || status == STOA_EFORMAT || status == STOA_ENOTSUP || status == STOA_ELIMIT);
        refused += status != STOA_OK;
    }
    assert_true(refused > file->size);
}

static void test_external_data(void **state)
{
    (void)state;
    static builder t;
    stoa_error err;
    model.graph.size = t.size = 0;
    put_int(&t, 1, 3);
    put_int(&t, 2, 1);
    put_text(&t, 8, "w");
    put_text(&t, 13, "");
    put_int(&t, 14, 1);
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    put_message(&model.graph, 5, &t);
    add_node(&model, "Add", "x w", "y", NULL);
    add_output(&model, "y");
    const builder *file = finish_model(&model, 17);
    assert_int_equal(load(file->bytes, file->size, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "'w'"));
    assert_non_null(strstr(err.message, "another file"));
}

static stoa_status load_small_model(stoa_error *err)
{
    const builder *file = small_model();
    return load(file->bytes, file->size, err);
}

static void test_no_memory(void **state)
{
    assert_int_equal(install_failing_memory(state), 0);
    assert_true(assert_memory_may_run_out(load_small_model) > 2);
    assert_int_equal(remove_failing_memory(state), 0);
}

/* A graph in two pieces is one graph, as protobuf has it. */
static void test_merged_graph(void **state)
{
    (void)state;
    static builder file;
    static builder more;
    static const int64_t axes[1] = {1};
    file.size = more.size = 0;
    model.graph.size = 0;
    add_input(&model, "x", ONNX_FLOAT, DIMS(3));
    add_node(&model, "ReduceSum", "x axes", "y", NULL);
    add_output(&model, "y");
    const builder *first = finish_model(&model, 17);
    put_bytes(&file, first->bytes, first->size);
    put_tensor(&more, 5, "axes", ONNX_INT64, DIMS(1), axes, sizeof axes);
    put_message(&file, 7, &more);
    stoa_error err;
    assert_int_equal(load(file.bytes, file.size, &err), STOA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_model),      cmocka_unit_test(test_typed_fields),   cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_every_bit_flip), cmocka_unit_test(test_external_data),
        cmocka_unit_test(test_no_memory),        cmocka_unit_test(test_merged_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
