/* SPDX-License-Identifier: Apache-2.0 */
/* Forests against a walk over the file's own nodes; files that are wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reco/forest/forest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 31, TREES = 23, NODES_MAX = 8192, ROWS = 1000 };

/* A forest as its file has it. */
typedef struct source {
    uint32_t nodes, root[TREES], left[NODES_MAX], right[NODES_MAX];
    float value[NODES_MAX], base;
    uint16_t feature[NODES_MAX];
    uint8_t kind[NODES_MAX];
} source;

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue;
    source forest;
    unsigned char *bytes;
    size_t size;
    float x[FEATURES][ROWS], out[ROWS];
} fixture;

static uint64_t random_state = 4711; /* the seed of every test here */

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static uint32_t add_node(source *s, uint32_t depth)
{
    const uint32_t node = s->nodes++;
    s->value[node] = (float)(2 * uniform() - 1);
    if (depth == 0 || uniform() < 0.15) return node;
    s->kind[node] = uniform() < 0.5 ? 1 : 2;
    s->feature[node] = (uint16_t)(FEATURES * uniform());
    s->left[node] = add_node(s, depth - 1);
    s->right[node] = add_node(s, depth - 1);
    return node;
}

static void put(unsigned char **at, const void *data, size_t bytes)
{
    memcpy(*at, data, bytes);
    *at += bytes;
}

static void write_bytes(fixture *f)
{
    const source *s = &f->forest;
    const uint32_t header[] = {FEATURES, TREES, s->nodes, 1}, zero = 0;
    f->size = 32 + 4 * TREES + 15 * (size_t)s->nodes;
    f->bytes = malloc(f->size);
    assert_non_null(f->bytes);
    unsigned char *at = f->bytes;
    put(&at, "STOAFRS1", 8);
    put(&at, header, sizeof header);
    put(&at, &s->base, 4);
    put(&at, &zero, 4);
    put(&at, s->root, 4 * TREES);
    put(&at, s->value, 4 * (size_t)s->nodes);
    put(&at, s->left, 4 * (size_t)s->nodes);
    put(&at, s->right, 4 * (size_t)s->nodes);
    put(&at, s->feature, 2 * (size_t)s->nodes);
    put(&at, s->kind, s->nodes);
    assert_ptr_equal(at, f->bytes + f->size);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f || stoa_device_open("host", &f->device, NULL) != STOA_OK) return -1;
    if (stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, NULL) != STOA_OK) return -1;
    f->forest.base = -0.25f;
    for (uint32_t t = 0; t < TREES; t++) f->forest.root[t] = add_node(&f->forest, t % 9); /* a lone leaf too */
    for (int c = 0; c < FEATURES; c++)
        for (int i = 0; i < ROWS; i++) f->x[c][i] = (float)(2 * uniform() - 1);
    write_bytes(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
    free(f->bytes);
    free(f);
    return 0;
}

static float walk(const fixture *f, int row)
{
    const source *s = &f->forest;
    float sum = s->base;
    for (uint32_t t = 0; t < TREES; t++) {
        uint32_t node = s->root[t];
        while (s->kind[node]) {
            const float x = f->x[s->feature[node]][row];
            const int left = isnan(x) ? s->kind[node] == 2 : x < s->value[node];
            node = left ? s->left[node] : s->right[node];
        }
        sum += s->value[node];
    }
    return 1.0f / (1.0f + expf(-sum));
}

static void run(fixture *f, uint32_t count)
{
    reco_forest *forest;
    stoa_error err;
    if (reco_forest_parse(f->bytes, f->size, "test", &forest, &err) != STOA_OK) fail_msg("%s", err.message);
    assert_int_equal(reco_forest_features(forest), FEATURES);
    assert_int_equal(reco_forest_trees(forest), TREES);
    reco_forest_run args = {.forest = reco_forest_view_of(forest, NULL), .out = f->out, .count = &count, .capacity = ROWS};
    for (int c = 0; c < FEATURES; c++) args.columns[c] = f->x[c];
    for (int i = 0; i < ROWS; i++) f->out[i] = -7.0f;
    assert_int_equal(reco_forest_enqueue(f->queue, &args, &err), STOA_OK);
    reco_forest_destroy(forest);
}

static void check_rows(fixture *f, uint32_t count)
{
    run(f, count);
    for (uint32_t i = 0; i < ROWS; i++) assert_float_equal(f->out[i], i < count ? walk(f, (int)i) : -7.0f, 1e-6f);
}

static void test_rows(void **state)
{
    static const uint32_t counts[] = {0, 1, 7, 8, 9, 127, 128, 129, 999, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) check_rows(*state, counts[i]);
}

/* Missing and infinite values, and values equal to a threshold, which go right. */
static void test_special_values(void **state)
{
    fixture *f = *state;
    for (int c = 0; c < FEATURES; c++)
        for (int i = 0; i < ROWS; i += 3) {
            const double u = uniform();
            if (u < 0.1) f->x[c][i] = NAN;
            else if (u < 0.2) f->x[c][i] = u < 0.15 ? INFINITY : -INFINITY;
        }
    for (uint32_t node = 0; node < f->forest.nodes; node += 2) {
        if (!f->forest.kind[node]) continue;
        f->x[f->forest.feature[node]][node % ROWS] = f->forest.value[node];
    }
    check_rows(f, ROWS);
}

/* A row's bits do not depend on where it stands, nor on missing values in other rows. */
static void test_same_bits(void **state)
{
    fixture *f = *state;
    run(f, ROWS);
    const float alone = f->out[500];
    for (int c = 0; c < FEATURES; c++) f->x[c][3] = f->x[c][500];
    for (int c = 0; c < FEATURES; c++) f->x[c][501] = NAN;
    run(f, 777);
    assert_memory_equal(&f->out[3], &alone, sizeof alone);
    assert_memory_equal(&f->out[500], &alone, sizeof alone);
}

static void test_device_image(void **state)
{
    fixture *f = *state;
    reco_forest *forest;
    stoa_buffer *nodes;
    const uint32_t count = ROWS;
    float out[ROWS];
    assert_int_equal(reco_forest_parse(f->bytes, f->size, "test", &forest, NULL), STOA_OK);
    assert_int_equal(reco_forest_upload(forest, f->queue, &nodes, NULL), STOA_OK);
    reco_forest_run args = {.forest = reco_forest_view_of(forest, nodes), .out = out, .count = &count, .capacity = ROWS};
    for (int c = 0; c < FEATURES; c++) args.columns[c] = f->x[c];
    assert_int_equal(reco_forest_enqueue(f->queue, &args, NULL), STOA_OK);
    run(f, ROWS);
    assert_memory_equal(out, f->out, sizeof out);
    stoa_buffer_release(nodes);
    args.columns[4] = NULL;
    stoa_error err;
    assert_int_equal(reco_forest_enqueue(f->queue, &args, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "column 4 of 31"));
    reco_forest_destroy(forest);
}

static void refused(const fixture *f, size_t at, const void *data, size_t bytes, stoa_status status, const char *text)
{
    reco_forest *forest;
    stoa_error err;
    unsigned char *copy = malloc(f->size);
    assert_non_null(copy);
    memcpy(copy, f->bytes, f->size);
    memcpy(copy + at, data, bytes);
    assert_int_equal(reco_forest_parse(copy, f->size, "broken", &forest, &err), status);
    assert_null(forest);
    if (!strstr(err.message, text)) fail_msg("'%s' not in '%s'", text, err.message);
    free(copy);
}

static void test_broken(void **state)
{
    const fixture *f = *state;
    const source *s = &f->forest;
    const size_t values = 32 + 4 * TREES, lefts = values + 4 * (size_t)s->nodes, features = lefts + 8 * (size_t)s->nodes;
    uint32_t node = 0, big = s->nodes, zero = 0, many = 65;
    const float bad = NAN;
    const uint16_t feature = FEATURES;
    while (!s->kind[node]) node++;
    refused(f, 0, "STOAFRS2", 8, STOA_EFORMAT, "STOAFRS1");
    refused(f, 8, &many, 4, STOA_ELIMIT, "65");
    refused(f, 12, &big, 4, STOA_EFORMAT, "bytes");
    refused(f, 20, &many, 4, STOA_EFORMAT, "transform");
    refused(f, 32, &big, 4, STOA_EFORMAT, "root");
    refused(f, values + 4 * (size_t)node, &bad, 4, STOA_EFORMAT, "value");
    refused(f, lefts + 4 * (size_t)node, &big, 4, STOA_EFORMAT, "child");
    refused(f, lefts + 4 * (size_t)node, &node, 4, STOA_EFORMAT, "child"); /* itself */
    refused(f, lefts + 4 * (size_t)node, &s->right[node], 4, STOA_EFORMAT, "two parents");
    refused(f, features + 2 * (size_t)node, &feature, 2, STOA_EFORMAT, "feature 31 of 31");
    refused(f, 36, &zero, 4, STOA_EFORMAT, "a root twice");
    for (size_t size = 0; size < f->size; size += 1 + size / 7) {
        reco_forest *forest;
        assert_int_equal(reco_forest_parse(f->bytes, size, "cut", &forest, NULL), STOA_EFORMAT);
    }
}

/* Any single byte may be wrong: the file is refused, or a walk ends. */
static void test_every_byte(void **state)
{
    fixture *f = *state;
    const uint32_t count = 16;
    for (size_t at = 0; at < f->size; at++) {
        const unsigned char before = f->bytes[at];
        reco_forest *forest;
        f->bytes[at] = (unsigned char)(before ^ (1u << (at % 8)));
        if (reco_forest_parse(f->bytes, f->size, "changed", &forest, NULL) == STOA_OK) {
            reco_forest_run args = {.forest = reco_forest_view_of(forest, NULL), .out = f->out, .count = &count, .capacity = ROWS};
            for (uint32_t c = 0; c < reco_forest_features(forest); c++) args.columns[c] = f->x[c % FEATURES];
            assert_int_equal(reco_forest_enqueue(f->queue, &args, NULL), STOA_OK);
            reco_forest_destroy(forest);
        }
        f->bytes[at] = before;
    }
}

static void test_no_file(void **state)
{
    (void)state;
    reco_forest *forest;
    stoa_error err;
    assert_int_equal(reco_forest_load("/nonexistent.forest", &forest, &err), STOA_EIO);
    assert_non_null(strstr(err.message, "/nonexistent.forest"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_special_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_byte, set_up, tear_down),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
