/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime for tests of the session: inputs a [N,3] and b [N,2,2], outputs sum [N,1] = all of a and b, and pair [N,2] =
 * (a0 - a1, b00). Its capabilities are set by the test. Values are float32; the runtime adds in float. `a` may be bound to float64 too,
 * but not run.
 * A second model, of nodes and edges: inputs track [tracks,2], hit [hits,1], scale [1,1], output pooled [tracks,1] =
 * track0 + track1 + scale * sum of all hits. A third, to be loaded only: two inputs and two outputs of fake_names. */
#ifndef TESTS_FAKE_RUNTIME_H
#define TESTS_FAKE_RUNTIME_H

#include <stdio.h>
#include <string.h>

#include "stoa/runtime.h"

#define FAKE_MASK (1ull << STOA_FLOAT32)
static const stoa_tensor_schema fake_inputs[] = {{"a", STOA_FLOAT32, 1, {3}, 3, "N", FAKE_MASK | 1ull << STOA_FLOAT64, 0, 0},
                                                 {"b", STOA_FLOAT32, 2, {2, 2}, 4, "N", FAKE_MASK, 0, 1}};
static const stoa_tensor_schema fake_outputs[] = {{"sum", STOA_FLOAT32, 1, {1}, 1, "N", FAKE_MASK, 0, 0},
                                                  {"pair", STOA_FLOAT32, 1, {2}, 2, "N", FAKE_MASK, 0, 0}};
static const char *const fake_axes[] = {"N"};
static const stoa_schema fake_schema = {fake_inputs, fake_outputs, 2, 2, fake_axes, 1, 0, 0, 8};
static stoa_capabilities fake_can = {sizeof(stoa_capabilities), STOA_RULE_ANY, STOA_RULE_ANY, 1, 1, 1, 1, 0, 1};
static uint32_t fake_calls, fake_largest_call, fake_failing_call; /* 0: none fails */
static void (*fake_in_call)(void);                                /* NULL, or what each call does first */
static const stoa_tensor_schema fake_graph_inputs[] = {{"track", STOA_FLOAT32, 1, {2}, 2, "tracks", FAKE_MASK, 0, 0},
                                                       {"hit", STOA_FLOAT32, 1, {1}, 1, "hits", FAKE_MASK, 1, 0},
                                                       {"scale", STOA_FLOAT32, 1, {1}, 1, "1", FAKE_MASK, STOA_AXIS_ONE, 0}};
static const stoa_tensor_schema fake_graph_outputs[] = {{"pooled", STOA_FLOAT32, 1, {1}, 1, "tracks", FAKE_MASK, 0, 0}};
static const char *const fake_graph_axes[] = {"tracks", "hits"};
static const stoa_schema fake_graph_schema = {fake_graph_inputs, fake_graph_outputs, 3, 1, fake_graph_axes, 2, 0, 0, 4};
static const char *fake_names[4];
static stoa_tensor_schema fake_named[4];
static const stoa_schema fake_named_schema = {fake_named, fake_named + 2, 2, 2, fake_axes, 1, 0, 0, 0};
static int fake_token, fake_graph_token, fake_named_token;

static stoa_status fake_probe(char *where, size_t capacity, stoa_error *err)
{
    (void)err;
    snprintf(where, capacity, "in the test");
    return STOA_OK;
}
static stoa_status fake_load(const void *data, size_t bytes, const stoa_model_options *options, void **model, stoa_error *err)
{
    (void)options;
    static const struct {
        const char *magic;
        int *token;
    } models[] = {{"FAKE", &fake_token}, {"FAKG", &fake_graph_token}, {"FAKN", &fake_named_token}};
    for (int i = 0; i < 4; i++) {
        fake_named[i] = fake_outputs[0];
        fake_named[i].name = fake_names[i];
    }
    for (int i = 0; i < 3; i++)
        if (bytes >= 4 && memcmp(data, models[i].magic, 4) == 0) {
            *model = models[i].token;
            return STOA_OK;
        }
    return STOA_FAIL(err, STOA_EFORMAT, "fake: no magic in %zu bytes", bytes);
}
static int fake_unloaded;
static void fake_unload(void *model)
{
    (void)model;
    fake_unloaded++;
}
static const stoa_schema *fake_get_schema(const void *model)
{ return model == &fake_graph_token ? &fake_graph_schema : model == &fake_named_token ? &fake_named_schema : &fake_schema; }
static const stoa_capabilities *fake_capabilities(const void *model)
{
    (void)model;
    return &fake_can;
}
static const char *fake_plan_step(const void *model, uint32_t index)
{
    (void)model;
    return index == 0 ? "add up" : NULL;
}
static stoa_status fake_workspace(const void *model, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    (void)model, (void)place, (void)max_rows, (void)err;
    *bytes = 64;
    return STOA_OK;
}
static stoa_status fake_open(const void *model, stoa_queue *queue, void *workspace, size_t bytes, const uint32_t *max_rows, void **instance,
                             stoa_error *err)
{
    (void)queue, (void)workspace, (void)bytes, (void)max_rows, (void)err;
    *instance = model == &fake_graph_token ? &fake_graph_token : &fake_token;
    return STOA_OK;
}
static void fake_close(void *instance) { (void)instance; }
static float *fake_at(const stoa_bound *value, uint32_t row) { return (float *)value->data + (int64_t)row * value->row_stride; }
static void fake_run_graph(const stoa_bound *in, const stoa_bound *out, const uint32_t *rows)
{
    float hits = 0;
    for (uint32_t row = 0; row < rows[1]; row++) hits += *fake_at(&in[2], row);
    for (uint32_t row = 0; row < rows[0]; row++)
        *fake_at(&out[0], row) = *fake_at(&in[0], row) + *fake_at(&in[1], row) + *fake_at(&in[3], 0) * hits;
}
static stoa_status fake_run(void *instance, const stoa_bound *in, const stoa_bound *out, uint32_t first, const uint32_t *rows,
                            stoa_error *err)
{
    if (fake_in_call) fake_in_call();
    if (++fake_calls == fake_failing_call) return STOA_FAIL(err, STOA_ERUNTIME, "fake: call %u fails", fake_calls);
    if (instance == &fake_graph_token) {
        fake_run_graph(in, out, rows);
        return STOA_OK;
    }
    if (rows[0] > fake_largest_call) fake_largest_call = rows[0];
    for (uint32_t row = first; row < first + rows[0]; row++) {
        float sum = 0;
        for (int i = 0; i < 7; i++) sum += *fake_at(&in[i], row);
        const float difference = *fake_at(&in[0], row) - *fake_at(&in[1], row), first_b = *fake_at(&in[3], row);
        *fake_at(&out[0], row) = sum;
        *fake_at(&out[1], row) = difference;
        *fake_at(&out[2], row) = first_b;
    }
    return STOA_OK;
}
static uint64_t fake_run_allocations(const void *instance)
{
    (void)instance;
    return fake_calls;
}

static const stoa_runtime_api fake_api = {
    sizeof(stoa_runtime_api), STOA_RUNTIME_ABI, "fake",         ".fake",   fake_probe, fake_load, fake_unload,         fake_get_schema,
    fake_capabilities,        fake_plan_step,   fake_workspace, fake_open, fake_close, fake_run,  fake_run_allocations};

#endif
