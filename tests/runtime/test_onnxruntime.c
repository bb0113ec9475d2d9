/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime as a runtime: rows in place, schemas read from the graph, its memory in the session's workspace, typed failures. */
#include "runtime_fixture.h"

#include <math.h>

#include "unit/onnx_builder.h"

static const char *foreign(const char *file)
{
    static char path[1024];
    snprintf(path, sizeof path, STOA_SOURCE_DIR "/tests/data/%s", file);
    return path;
}

/* Must be the first: the library is loaded once in a process. */
static void library_not_found(void **state)
{
    (void)state;
    stoa_error err = {0};
    stoa_model *model;
    const char *found = getenv("STOA_ONNXRUNTIME");
    char named[1024] = "";
    if (found) snprintf(named, sizeof named, "%s", found);
    setenv("STOA_ONNXRUNTIME", "/nowhere", 1);
    assert_int_equal(fixture_try_load(foreign("two_heads.onnx"), "onnxruntime", NULL, &model, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "/nowhere"));
    assert_null(model);
    setenv("STOA_ONNXRUNTIME", named, 1); /* none where it is empty */
}

/* The second runtime of the plugin: a library without the provider says what it has. */
static void tensorrt_needs_its_provider(void **state)
{
    (void)state;
    stoa_error err = {0};
    stoa_model *model;
    const stoa_status status = fixture_try_load(foreign("two_heads.onnx"), "tensorrt", NULL, &model, &err);
    stoa_model_destroy(model);
    if (status == STOA_OK) return; /* a library that has it */
    assert_int_equal(status, STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "has no TensorrtExecutionProvider; it has "));
    assert_non_null(strstr(err.message, "CPUExecutionProvider"));
}

/* A file without a manifest: rows are taken to depend on each other, nothing is tiled. */
static void foreign_graph(void **state)
{
    enum { ROWS = 100 };
    static float a[3 * ROWS], b[4 * ROWS], p[2][2 * ROWS], r[2][ROWS];
    (void)state;
    for (uint32_t i = 0; i < ROWS * 3; i++) a[i] = fixture_number(i);
    for (uint32_t i = 0; i < ROWS * 4; i++) b[i] = fixture_number(1000 + i);
    static const char *const names[] = {"native", "onnxruntime"};
    for (int way = 0; way < 2; way++) {
        stoa_model *model = fixture_load(foreign("two_heads.onnx"), names[way], NULL);
        stoa_session *session = fixture_session(model, fixture_queue, ROWS, 0);
        fixture_bind(session, "a", a, 3, ROWS, 1, 3);
        fixture_bind(session, "b", b, 4, ROWS, 1, 4);
        fixture_bind(session, "p", p[way], 2, ROWS, 1, 2);
        fixture_bind(session, "r", r[way], 1, ROWS, 1, 1);
        fixture_run(session, 0, ROWS);
        assert_int_equal(fixture_stats(session).copy_calls, 0);
        if (way) {
            const stoa_schema *schema = stoa_model_schema(model);
            assert_int_equal(stoa_model_capabilities(model)->row_independent, 0);
            assert_int_equal(schema->inputs[1].rank, 2);
            assert_int_equal(schema->inputs[1].shape[0] * 10 + schema->inputs[1].shape[1], 22);
            assert_int_equal(schema->outputs[1].rank, 0);
            assert_int_equal(schema->axis_count, 1);
        }
        stoa_session_destroy(session);
        stoa_model_destroy(model);
    }
    for (int i = 0; i < ROWS; i++) {
        assert_true(fabsf(r[0][i] - r[1][i]) < 1e-5f);
        for (int k = 0; k < 2; k++) assert_true(fabsf(p[0][2 * i + k] - p[1][2 * i + k]) < 1e-5f);
    }
}

/* Columns of a block are gathered tile by tile, and every byte is counted; the manifest says that rows are independent. */
static void gathers_are_counted(void **state)
{
    enum { ROWS = 1500 };
    static float x[FIXTURE_INPUTS * ROWS], y[2][ROWS];
    stoa_error err = {0};
    (void)state;
    for (uint32_t i = 0; i < FIXTURE_INPUTS * ROWS; i++) x[i] = fixture_number(i);
    stoa_model *model = fixture_load("selector.onnx", "onnxruntime", NULL), *native = fixture_load("selector.onnx", "native", NULL);
    stoa_session *strict = fixture_session(model, fixture_queue, ROWS, 0), *session = fixture_session(model, fixture_queue, ROWS, 1);
    stoa_session *reference = fixture_session(native, fixture_queue, ROWS, 0);
    assert_int_equal(fixture_try_bind(strict, "x", x, FIXTURE_INPUTS, ROWS, ROWS, 1, &err), STOA_ECOPY);
    assert_non_null(strstr(err.message, "row-major"));
    fixture_bind(session, "x", x, FIXTURE_INPUTS, ROWS, ROWS, 1);
    fixture_bind(session, "score", y[0], 1, ROWS, ROWS, 1);
    fixture_bind(reference, "x", x, FIXTURE_INPUTS, ROWS, ROWS, 1);
    fixture_bind(reference, "score", y[1], 1, ROWS, ROWS, 1);
    fixture_run(session, 0, ROWS);
    fixture_run(reference, 0, ROWS);
    for (int i = 0; i < ROWS; i++) assert_true(fabsf(y[0][i] - y[1][i]) < 1e-5f);
    assert_int_equal(fixture_stats(session).copy_calls, 3); /* tiles of 512 rows */
    assert_int_equal(fixture_stats(session).copy_bytes, sizeof x);
    stoa_session_destroy(reference);
    stoa_session_destroy(session);
    stoa_session_destroy(strict);
    stoa_model_destroy(native);
    stoa_model_destroy(model);
}

/* In steady state: no allocation, thread, open file or line of output; its intermediates fit what was planned. */
static void nothing_behind_the_back(void **state)
{
    enum { ROWS = 2000 };
    static float x[ROWS][3], y[ROWS];
    fixture_watch watch;
    (void)state;
    fixture_watch_begin(&watch);
    stoa_model *model = fixture_load("simple.onnx", "onnxruntime", NULL);
    stoa_session *session = fixture_session(model, fixture_queue, ROWS, 0);
    fixture_bind(session, "x", x[0], 3, ROWS, 1, 3);
    fixture_bind(session, "y", y, 1, ROWS, 1, 1);
    fixture_run(session, 0, ROWS);
    const uint64_t allocations = stoa_alloc_count();
    for (uint32_t i = 0; i < 50; i++) fixture_run(session, i, ROWS - 2 * i);
    const uint64_t more = stoa_alloc_count() - allocations;
    fixture_watch_end(&watch);
    assert_int_equal(more, 0);
    assert_int_equal(fixture_stats(session).run_allocations, 0);
    assert_true(fixture_stats(session).workspace_bytes > 512 * 256 * sizeof(float)); /* the widest layer of a tile */
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void threads_agree(void **state)
{
    (void)state;
    stoa_model *model = fixture_load("selector.onnx", "onnxruntime", NULL);
    fixture_threads_agree(model);
    stoa_model_destroy(model);
}

static void damaged_files(void **state)
{
    fixture_watch watch;
    stoa_error err = {0};
    size_t bytes;
    (void)state;
    char *data = fixture_read(foreign("mlp_30_64_64_1.onnx"), &bytes);
    fixture_watch_begin(&watch);
    for (size_t part = 0; part < 16; part++) {
        assert_int_equal(fixture_load_bytes(data, bytes * part / 16, "onnxruntime", NULL, &err), STOA_EFORMAT);
        assert_true(part == 0 || err.native != 0);
        assert_null(strchr(err.message, '\n'));
    }
    assert_int_equal(fixture_load_bytes(data, bytes, "onnxruntime", NULL, &err), STOA_OK);
    fixture_watch_end(&watch);
    free(data);
}

/* x [rows, 2] of a type -> op -> y [rows, 2] */
static const builder *graph(const char *op, int type, const char *input_rows, const char *output_rows, const int64_t *dims)
{
    static onnx_builder o;
    o.graph.size = 0;
    put_text(&o.graph, 2, "test");
    add_node(&o, op, "x", "y", NULL);
    add_value(&o, 11, "x", type, input_rows, dims);
    add_value(&o, 12, "y", type, output_rows, dims);
    return finish_model(&o, 17);
}

static void refused_graphs(void **state)
{
    const struct {
        const char *op;
        int type;
        const int64_t *dims;
        stoa_status status;
        const char *says;
    } cases[] = {{"Relu", ONNX_FLOAT, DIMS(2), STOA_OK, ""},
                 {"NoSuchOp", ONNX_FLOAT, DIMS(2), STOA_EFORMAT, "NoSuchOp"},
                 {"Identity", 8, DIMS(2), STOA_ENOTSUP, "element type 8"},                    /* strings */
                 {"Relu", ONNX_FLOAT, DIMS(1, 1, 1, 1, 1, 1, 1), STOA_ENOTSUP, "8 dimensions"},
                 {"Relu", ONNX_FLOAT, DIMS(0), STOA_ENOTSUP, "dimension 1 is 0"},
                 {"Relu", ONNX_FLOAT, DIMS(4096, 4096), STOA_ENOTSUP, "1048576"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stoa_error err = {0};
        const builder *file = graph(cases[i].op, cases[i].type, "N", "N", cases[i].dims);
        const stoa_status status = fixture_load_bytes(file->bytes, file->size, "onnxruntime", NULL, &err);
        if (status != cases[i].status || (status != STOA_OK && !strstr(err.message, cases[i].says)))
            fail_msg("%s: %s (%s)", cases[i].op, stoa_status_name(status), err.message);
    }
}

/* Rows of an output that the graph does not keep: found when the session is made, not by a write beyond the columns. */
static void other_rows_than_said(void **state)
{
    static onnx_builder o;
    static const float zeros[6];
    stoa_error err = {0};
    stoa_model *model;
    stoa_session *session;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "onnxruntime"};
    (void)state;
    o.graph.size = 0;
    put_text(&o.graph, 2, "test");
    add_floats(&o, "more", DIMS(3, 2), zeros, 6);
    add_node(&o, "Concat", "x more", "y", "axis", 'i', (int64_t)0, NULL);
    add_value(&o, 11, "x", ONNX_FLOAT, "N", DIMS(2));
    add_value(&o, 12, "y", ONNX_FLOAT, "M", DIMS(2));
    const builder *file = finish_model(&o, 17);
    if (stoa_model_load_memory(file->bytes, file->size, &options, &model, &err) != STOA_OK) fail_msg("%s", err.message);
    assert_int_equal(stoa_session_create(model, fixture_queue, 8, NULL, &session, &err), STOA_ERUNTIME);
    assert_true(err.native != 0);
    assert_null(session);
    stoa_model_destroy(model);
}

int main(void)
{
    const int skip = fixture_skip();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(library_not_found),       cmocka_unit_test(tensorrt_needs_its_provider),
        cmocka_unit_test(foreign_graph),           cmocka_unit_test(gathers_are_counted),
        cmocka_unit_test(nothing_behind_the_back), cmocka_unit_test(threads_agree),
        cmocka_unit_test(damaged_files),           cmocka_unit_test(refused_graphs),
        cmocka_unit_test(other_rows_than_said),
    };
    return skip ? skip : cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
