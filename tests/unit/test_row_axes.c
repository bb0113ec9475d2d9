/* SPDX-License-Identifier: Apache-2.0 */
/* The native engine on several row axes: rows of one gathered by an index of another, and scattered back, against plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "device_under_test.h"
#include "onnx_builder.h"
#include "stoa/session.h"

enum { NODES_MAX = 1700, EDGES_MAX = 2500, WIDTH = 2 };

static onnx_builder model;
static stoa_error err;
static stoa_queue *queue;
static stoa_device *device;
static stoa_buffer *shared; /* memory of a test, which the device's work and the test both can use */

#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

static int open_queue(void **state)
{
    (void)state;
    OK(open_device(device_under_test(), &device, &err));
    OK(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err));
    return 0;
}

static int close_queue(void **state)
{
    (void)state;
    stoa_buffer_release(shared);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return 0;
}

/* Until the next test. */
static void *take_memory(size_t bytes)
{
    stoa_buffer_release(shared);
    shared = make_shared(queue, bytes);
    return stoa_buffer_data(shared);
}

static stoa_status load(stoa_model **loaded)
{
    const stoa_model_options options = {sizeof options, "native", NULL, NULL, 0};
    const builder *file = finish_model(&model, 18);
    return stoa_model_load_memory(file->bytes, file->size, &options, loaded, &err);
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % limit);
}

static void bind_columns(stoa_session *session, const char *name, void *data, stoa_dtype dtype, uint32_t rows, uint32_t width)
{
    stoa_column columns[WIDTH];
    for (uint32_t c = 0; c < width; c++)
        columns[c] = stoa_column_over((char *)data + c * rows * stoa_dtype_bytes(dtype), dtype, rows, 1, stoa_buffer_place(shared));
    OK(stoa_session_bind(session, name, stoa_tensor_of(columns, width), &err));
}

/* ---- a net of nodes and edges ---------------------------------------------------------------------------------------- */

/* Rounds of messages: m = relu(W (x[from] - x[to])), x = tanh(x + sum of m over the edges that end there); the output on the
 * edges takes values of the first and the last round, so that what is kept of a row lives for different times. */
static const float weights[WIDTH * WIDTH] = {0.5f, -1.25f, 0.75f, 2.0f};

static void make_graph_net(int rounds)
{
    char in[64] = "x", last[64];
    model.graph.size = 0;
    add_input_of(&model, "nodes", "x", ONNX_FLOAT, DIMS(WIDTH));
    add_input_of(&model, "edges", "from", ONNX_INT64, DIMS(-1));
    add_input_of(&model, "edges", "to", ONNX_INT64, DIMS(1));
    add_floats(&model, "w", DIMS(WIDTH, WIDTH), weights, WIDTH * WIDTH);
    add_ints(&model, "last", (const int64_t[]){1}, 1);
    add_ints(&model, "zero", (const int64_t[]){0}, 1);
    add_node(&model, "Squeeze", "to last", "to_row", (char *)NULL);
    add_node(&model, "Shape", "x", "shape", (char *)NULL);
    add_node(&model, "ConstantOfShape", "shape", "none", (char *)NULL);
    for (int round = 1; round <= rounds; round++) {
        char text[96], name[64];
#define NAMED(buffer, format) (snprintf(buffer, sizeof(buffer), format, round), buffer)
        (void)snprintf(text, sizeof text, "%s from", in);
        add_node(&model, "Gather", text, NAMED(name, "a%d"), (char *)NULL);
        (void)snprintf(text, sizeof text, "%s to_row", in);
        add_node(&model, "Gather", text, NAMED(name, "b%d"), (char *)NULL);
        (void)snprintf(text, sizeof text, "a%d b%d", round, round);
        add_node(&model, "Sub", text, NAMED(name, "d%d"), (char *)NULL);
        add_node(&model, "MatMul", NAMED(text, "d%d w"), NAMED(name, "p%d"), (char *)NULL);
        add_node(&model, "Relu", NAMED(text, "p%d"), NAMED(name, "m%d"), (char *)NULL);
        add_node(&model, "ScatterND", NAMED(text, "none to m%d"), NAMED(name, "s%d"), "reduction", 's', "add", (char *)NULL);
        (void)snprintf(text, sizeof text, "%s s%d", in, round);
        add_node(&model, "Add", text, NAMED(name, "t%d"), (char *)NULL);
        add_node(&model, "Tanh", NAMED(text, "t%d"), NAMED(name, "x%d"), (char *)NULL);
        (void)snprintf(in, sizeof in, "x%d", round);
    }
    (void)snprintf(last, sizeof last, "m1 m%d", rounds);
    add_node(&model, "Mul", last, "edge_out", (char *)NULL);
    add_node(&model, "Identity", in, "node_out", (char *)NULL);
    add_output(&model, "node_out");
    add_output(&model, "edge_out");
}

typedef struct graph_event {
    float x[WIDTH][NODES_MAX], nodes_out[WIDTH][NODES_MAX], edges_out[WIDTH][EDGES_MAX];
    uint32_t nodes, edges; /* read when the queue gets there */
    int64_t from[EDGES_MAX];
    uint32_t to[EDGES_MAX]; /* narrower than the model's: converted when it is read */
} graph_event;

static void reference_round(const graph_event *e, uint32_t nodes, uint32_t edges, double x[WIDTH][NODES_MAX], double m[WIDTH][EDGES_MAX])
{
    static double sum[WIDTH][NODES_MAX];
    memset(sum, 0, sizeof sum);
    for (uint32_t i = 0; i < edges; i++)
        for (uint32_t o = 0; o < WIDTH; o++) {
            const int64_t from = e->from[i] < 0 ? e->from[i] + nodes : e->from[i];
            double p = 0;
            for (uint32_t k = 0; k < WIDTH; k++) p += (x[k][from] - x[k][e->to[i]]) * (double)weights[k * WIDTH + o];
            m[o][i] = p > 0 ? p : 0;
            sum[o][e->to[i]] += m[o][i];
        }
    for (uint32_t o = 0; o < WIDTH; o++)
        for (uint32_t n = 0; n < nodes; n++) x[o][n] = tanh(x[o][n] + sum[o][n]);
}

static void compare(const float *got, const double *expected, uint32_t rows, const char *what)
{
    for (uint32_t i = 0; i < rows; i++)
        if (!(fabs((double)got[i] - expected[i]) <= 2e-5 * (1 + fabs(expected[i]))))
            fail_msg("%s, row %u of %u: %.9g, %.9g expected", what, i, rows, (double)got[i], expected[i]);
}

static void check_event(stoa_session *session, graph_event *e, int rounds, uint32_t nodes, uint32_t edges)
{
    static double x[WIDTH][NODES_MAX], m1[WIDTH][EDGES_MAX], m2[WIDTH][EDGES_MAX];
    for (uint32_t k = 0; k < WIDTH; k++)
        for (uint32_t n = 0; n < nodes; n++) x[k][n] = (double)(e->x[k][n] = (float)random_below(2000) * 1e-3f - 1.0f);
    for (uint32_t i = 0; i < edges; i++) {
        e->from[i] = random_below(nodes);
        if (i % 3 == 0) e->from[i] -= nodes; /* counted from the end */
        e->to[i] = random_below(nodes);
    }
    e->nodes = nodes;
    e->edges = edges;
    if (edges % 2) OK(stoa_session_run_sizes(session, (const uint32_t[]){nodes, edges}, 2, &err));
    else OK(stoa_session_run_sizes_counted(session, (const uint32_t *const[]){&e->nodes, &e->edges}, 2, &err));
    for (int round = 1; round <= rounds; round++) reference_round(e, nodes, edges, x, round == 1 ? m1 : m2);
    for (uint32_t k = 0; k < WIDTH; k++) {
        for (uint32_t i = 0; i < edges; i++) m1[k][i] *= m2[k][i];
        compare(e->nodes_out[k], x[k], nodes, "nodes");
        compare(e->edges_out[k], m1[k], edges, "edges");
    }
}

static const uint32_t axis_rows[] = {NODES_MAX, EDGES_MAX};

static void open_graph_net(graph_event *e, int rounds, stoa_model **net, stoa_session **session)
{
    const stoa_session_options options = {sizeof options, 0, axis_rows, 2};
    make_graph_net(rounds);
    OK(load(net));
    OK(stoa_session_create(*net, queue, 0, &options, session, &err));
    bind_columns(*session, "x", e->x, STOA_FLOAT32, NODES_MAX, WIDTH);
    bind_columns(*session, "from", e->from, STOA_INT64, EDGES_MAX, 1);
    bind_columns(*session, "to", e->to, STOA_UINT32, EDGES_MAX, 1);
    bind_columns(*session, "node_out", e->nodes_out, STOA_FLOAT32, NODES_MAX, WIDTH);
    bind_columns(*session, "edge_out", e->edges_out, STOA_FLOAT32, EDGES_MAX, WIDTH);
}

/* A row that is not there fails the run, not the process, and the next run is fine. */
static void check_bad_rows(stoa_session *session, graph_event *e)
{
    check_event(session, e, 2, 8, 5);
    e->to[3] = 9;
    assert_int_equal(stoa_session_run_sizes(session, (const uint32_t[]){8, 5}, 2, &err), STOA_ERUNTIME);
    assert_string_equal(err.message, "row 9 of axis 'nodes' is asked for, which has 8 rows");
    OK(stoa_session_check(session, &err)); /* told once */
    e->nodes = 0;
    e->edges = 1;
    e->from[0] = -1;
    e->to[0] = 0;
    assert_int_equal(stoa_session_run_sizes_counted(session, (const uint32_t *const[]){&e->nodes, &e->edges}, 2, &err), STOA_ERUNTIME);
    assert_non_null(strstr(err.message, " of axis 'nodes' is asked for, which has 0 rows")); /* 0 or -1, both are */
    check_event(session, e, 2, 8, 5);
}

/* On a queue that nobody waits for the next run tells it, and is not enqueued; or whoever asks, once. */
static void test_bad_rows_later(void **state)
{
    (void)state;
    static const uint32_t rows[] = {8, 5};
    stoa_queue *const blocking = queue;
    stoa_model *net;
    stoa_session *session;
    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, &err));
    graph_event *e = take_memory(sizeof *e);
    open_graph_net(e, 2, &net, &session);
    for (int again = 0; again < 3; again++) {
        e->from[4] = -9;
        OK(stoa_session_run_sizes(session, rows, 2, &err));
        OK(stoa_queue_wait(queue, &err));
        e->from[4] = -8;
        if (again == 1) assert_int_equal(stoa_session_check(session, &err), STOA_ERUNTIME);
        else assert_int_equal(stoa_session_run_sizes(session, rows, 2, &err), STOA_ERUNTIME);
        assert_string_equal(err.message, "row -9 of axis 'nodes' is asked for, which has 8 rows");
        OK(stoa_session_run_sizes(session, rows, 2, &err));
        OK(stoa_queue_wait(queue, &err));
        OK(stoa_session_check(session, &err));
    }
    OK(stoa_session_get_stats(session, &stats, &err));
    assert_int_equal(stats.runs, 6);
    stoa_session_destroy(session);
    stoa_model_destroy(net);
    stoa_buffer_release(shared);
    shared = NULL;
    stoa_queue_destroy(queue);
    queue = blocking;
}

static void test_graph_net(void **state)
{
    (void)state;
    graph_event *e = take_memory(sizeof *e);
    static const uint32_t sizes[][2] = {{1, 1}, {1, 0}, {3, 7}, {40, 11}, {7, 600}, {NODES_MAX, EDGES_MAX}, {NODES_MAX, 5}};
    stoa_model *net;
    stoa_session *session;
    open_graph_net(e, 2, &net, &session);
    const stoa_schema *schema = stoa_model_schema(net);
    assert_int_equal(schema->axis_count, 2);
    assert_string_equal(schema->axes[1], "edges");
    assert_string_equal(schema->outputs[0].rows_name, "nodes");
    assert_string_equal(schema->outputs[1].rows_name, "edges");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_event(session, e, 2, sizes[i][0], sizes[i][1]);

    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(stoa_session_get_stats(session, &stats, &err));
    assert_int_equal(stats.copy_calls, 0);
    assert_int_equal(stats.run_allocations, 0);

    assert_int_equal(stoa_session_run_sizes_counted(session, (const uint32_t *const[]){&axis_rows[0], NULL}, 2, &err), STOA_EINVAL);
    assert_int_equal(stoa_session_run_sizes_counted(session, (const uint32_t *const[]){&axis_rows[0]}, 1, &err), STOA_EINVAL);
    check_bad_rows(session, e);
    stoa_session_destroy(session);
    stoa_model_destroy(net);
}

/* What a round keeps is forgotten two rounds later: more rounds take no more memory. */
static void test_memory_of_rounds(void **state)
{
    (void)state;
    graph_event *e = take_memory(sizeof *e);
    uint64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        const int rounds = i == 0 ? 4 : 11;
        stoa_model *net;
        stoa_session *session;
        open_graph_net(e, rounds, &net, &session);
        check_event(session, e, rounds, NODES_MAX, EDGES_MAX);
        check_event(session, e, rounds, 7, 600);
        stoa_session_stats stats = {.struct_size = sizeof stats};
        OK(stoa_session_get_stats(session, &stats, &err));
        bytes[i] = stats.workspace_bytes;
        stoa_session_destroy(session);
        stoa_model_destroy(net);
    }
    if (bytes[0] != bytes[1])
        fail_msg("workspace: %llu bytes for 4 rounds, %llu for 11", (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
}

/* Rows that name others of their own axis: a run of some rows counts from its first. */
static void test_own_axis(void **state)
{
    (void)state;
    enum { ROWS = 900, MOST = 600 };
    struct {
        float x[ROWS], y[ROWS];
        int64_t next[ROWS];
    } *memory = take_memory(sizeof *memory);
    float *x = memory->x, *y = memory->y;
    int64_t *next = memory->next;
    static const uint32_t runs[][2] = {{0, MOST}, {300, MOST}, {899, 1}, {17, 40}};
    stoa_model *net;
    stoa_session *session;
    model.graph.size = 0;
    add_input(&model, "x", ONNX_FLOAT, DIMS(1));
    add_input(&model, "next", ONNX_INT64, DIMS(-1));
    add_node(&model, "Exp", "x", "computed", (char *)NULL);
    add_node(&model, "Gather", "computed next", "there", (char *)NULL);
    add_node(&model, "Gather", "x next", "input_there", (char *)NULL);
    add_node(&model, "Sub", "there input_there", "y", (char *)NULL);
    add_output(&model, "y");
    OK(load(&net));
    assert_int_equal(stoa_model_capabilities(net)->row_independent, 0);
    OK(stoa_session_create(net, queue, MOST, NULL, &session, &err));
    bind_columns(session, "x", x, STOA_FLOAT32, ROWS, 1);
    bind_columns(session, "next", next, STOA_INT64, ROWS, 1);
    bind_columns(session, "y", y, STOA_FLOAT32, ROWS, 1);
    for (size_t k = 0; k < sizeof runs / sizeof *runs; k++) {
        const uint32_t first = runs[k][0], rows = runs[k][1];
        for (uint32_t i = 0; i < ROWS; i++) {
            x[i] = (float)random_below(1000) * 1e-3f;
            next[i] = random_below(rows);
        }
        OK(stoa_session_run_rows(session, first, rows, &err));
        for (uint32_t i = first; i < first + rows; i++) {
            const double there = (double)x[first + next[i]], expected = exp(there) - there;
            if (!(fabs((double)y[i] - expected) < 1e-6)) fail_msg("row %u from %u: %g, %g expected", i, first, (double)y[i], expected);
        }
    }
    stoa_session_destroy(session);
    stoa_model_destroy(net);
}

/* ---- reductions ---------------------------------------------------------------------------------------------------- */

/* What a column of int64 columns becomes: data op the updates of its rows. */
/* By the last letter of its name. */
static int64_t reduce(char kind, int64_t a, int64_t b)
{
    switch (kind) {
    case 'd': return (int64_t)((uint64_t)a + (uint64_t)b);
    case 'l': return (int64_t)((uint64_t)a * (uint64_t)b);
    case 'n': return a < b ? a : b;
    default: return a > b ? a : b;
    }
}

static void make_scatter(const char *op, const char *reduction, int type, int64_t index_width)
{
    model.graph.size = 0;
    add_input_of(&model, "groups", "data", type, DIMS(WIDTH));
    add_input_of(&model, "items", "updates", type, DIMS(WIDTH));
    add_input_of(&model, "items", "group", ONNX_INT64, DIMS(index_width));
    add_ints(&model, "wide", (const int64_t[]){1, WIDTH}, 2);
    add_node(&model, "Expand", "group wide", "group_wide", (char *)NULL);
    char inputs[64];
    (void)snprintf(inputs, sizeof inputs, "data %s updates", strcmp(op, "ScatterND") == 0 ? "group" : "group_wide");
    add_node(&model, op, inputs, "out", "reduction", 's', reduction, (char *)NULL);
    add_output(&model, "out");
}

static void check_scatter(const char *op, const char *reduction, int onnx_type, stoa_dtype dtype)
{
    enum { GROUPS = 21, ITEMS = 1000 };
    typedef union values {
        float f[WIDTH * ITEMS];
        double d[WIDTH * ITEMS];
        int32_t i[WIDTH * ITEMS];
        int64_t l[WIDTH * ITEMS];
    } values;
    struct {
        values data, updates, out;
        int64_t group[ITEMS];
    } *memory = take_memory(sizeof *memory);
    values *data = &memory->data, *updates = &memory->updates, *out = &memory->out;
    int64_t *group = memory->group, expected[WIDTH * GROUPS];
    const uint32_t axis_rows[] = {GROUPS, ITEMS};
    const stoa_session_options options = {sizeof options, 0, axis_rows, 2};
#define PUT(where, k, value) \
    (dtype == STOA_FLOAT32   ? (void)((where)->f[k] = (float)(value)) \
     : dtype == STOA_FLOAT64 ? (void)((where)->d[k] = (double)(value)) \
     : dtype == STOA_INT32   ? (void)((where)->i[k] = (int32_t)(value)) \
                             : (void)((where)->l[k] = (value)))
    for (uint32_t k = 0; k < WIDTH * GROUPS; k++) {
        expected[k] = (int64_t)random_below(100) - 50;
        PUT(data, k, expected[k]);
    }
    /* Small numbers, exact in every type: few of them are not 1 where they are multiplied. */
    const char kind = reduction[2];
    for (uint32_t i = 0; i < ITEMS; i++) {
        group[i] = random_below(GROUPS);
        for (uint32_t c = 0; c < WIDTH; c++) {
            const int64_t value = kind == 'l' ? (i % 97 ? 1 : -2) : (int64_t)random_below(100) - 50;
            PUT(updates, c * ITEMS + i, value);
            expected[c * GROUPS + group[i]] = reduce(kind, expected[c * GROUPS + group[i]], value);
        }
    }
    stoa_model *net;
    stoa_session *session;
    make_scatter(op, reduction, onnx_type, 1);
    OK(load(&net));
    OK(stoa_session_create(net, queue, 0, &options, &session, &err));
    bind_columns(session, "data", data, dtype, GROUPS, WIDTH);
    bind_columns(session, "updates", updates, dtype, ITEMS, WIDTH);
    bind_columns(session, "group", group, STOA_INT64, ITEMS, 1);
    bind_columns(session, "out", out, dtype, GROUPS, WIDTH);
    OK(stoa_session_run_sizes(session, axis_rows, 2, &err));
    for (uint32_t k = 0; k < WIDTH * GROUPS; k++) {
        const double got = dtype == STOA_FLOAT32   ? (double)out->f[k]
                           : dtype == STOA_FLOAT64 ? out->d[k]
                           : dtype == STOA_INT32   ? (double)out->i[k]
                                                   : (double)out->l[k];
        if (got != (double)expected[k])
            fail_msg("%s %s of %s: %g, %g expected", op, reduction, stoa_dtype_name(dtype), got, (double)expected[k]);
    }
    stoa_session_destroy(session);
    stoa_model_destroy(net);
}

static void test_reductions(void **state)
{
    (void)state;
    static const char *const reductions[] = {"add", "mul", "min", "max"};
    static const struct {
        int onnx;
        stoa_dtype dtype;
    } types[] = {{ONNX_FLOAT, STOA_FLOAT32}, {ONNX_DOUBLE, STOA_FLOAT64}, {ONNX_INT32, STOA_INT32}, {ONNX_INT64, STOA_INT64}};
    for (size_t r = 0; r < sizeof reductions / sizeof *reductions; r++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            check_scatter("ScatterND", reductions[r], types[t].onnx, types[t].dtype);
            check_scatter("ScatterElements", reductions[r], types[t].onnx, types[t].dtype);
        }
}

/* ---- what is refused ----------------------------------------------------------------------------------------------- */

static void expect_refused(const char *part)
{
    stoa_model *net = NULL;
    assert_int_equal(load(&net), STOA_ENOTSUP);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
}

static void test_refused(void **state)
{
    (void)state;
    make_scatter("ScatterND", "none", ONNX_FLOAT, 1);
    expect_refused("reduction 'none'");
    make_scatter("ScatterElements", "add", ONNX_FLOAT, WIDTH);
    expect_refused("go to different rows");
    model.graph.size = 0;
    add_input_of(&model, "groups", "a", ONNX_FLOAT, DIMS(WIDTH));
    add_input_of(&model, "items", "b", ONNX_FLOAT, DIMS(WIDTH));
    add_node(&model, "Add", "a b", "sum", (char *)NULL);
    add_output(&model, "sum");
    expect_refused("rows of 'items' meet rows of 'groups'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_net), cmocka_unit_test(test_bad_rows_later), cmocka_unit_test(test_memory_of_rounds),
        cmocka_unit_test(test_own_axis),  cmocka_unit_test(test_reductions),     cmocka_unit_test(test_refused),
    };
    require_device();
    return cmocka_run_group_tests(tests, open_queue, close_queue);
}
