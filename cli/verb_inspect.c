/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa inspect`: what a model takes, gives and does, and whether a file's columns can be bound in place. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

typedef struct inspect_options {
    const char *bind, *columns, *runtime, *signature, *emit_c;
    bool json;
} inspect_options;

/* What a runtime can do, as text for both outputs. */
static const struct capability {
    const char *name, *yes, *no;
    size_t offset;
} capabilities[] = {
    {"outputs_in_place", "outputs go straight into the caller's columns", "outputs are copied",
     offsetof(stoa_capabilities, outputs_in_place)},
    {"const_inputs", "read-only inputs are taken", "inputs must be writable", offsetof(stoa_capabilities, const_inputs)},
    {"row_independent", "rows are independent: run in tiles and batches", "rows depend on each other: one call for all",
     offsetof(stoa_capabilities, row_independent)},
    {"device_row_count", "the row count may stay on the device", "the row count must be on the host",
     offsetof(stoa_capabilities, device_row_count)},
    {"thread_safe", "sessions run concurrently without a lock", "one session at a time", offsetof(stoa_capabilities, thread_safe)}};
enum { CAPABILITY_COUNT = sizeof capabilities / sizeof *capabilities };

/* By stoa_column_rule. */
static const char *const rules[][2] = {{"any", "each value anywhere, any row stride, mixed types"},
                                       {"unit", "each value anywhere, rows adjacent"},
                                       {"strided", "one strided array, any strides"},
                                       {"block", "an SoA block: rows adjacent, columns equally spaced"},
                                       {"row_major", "rows behind one another"}};

static bool capability_value(const stoa_capabilities *of, int index)
{ return *(const uint32_t *)((const char *)of + capabilities[index].offset) != 0; }

static stoa_status try_bind(const stoa_model *model, stoa_queue *queue, const cli_binding *binding, uint32_t input, uint32_t allow_copies,
                            stoa_error *err)
{
    stoa_session *session = NULL;
    stoa_session_options options = STOA_SESSION_OPTIONS_INIT;
    options.allow_copies = allow_copies;
    stoa_status status = stoa_session_create(model, queue, binding->rows, &options, &session, err);
    if (status == STOA_OK)
        status = stoa_session_bind(session, stoa_model_schema(model)->inputs[input].name,
                                   stoa_tensor_of(binding->inputs[input].columns, binding->inputs[input].count), err);
    stoa_session_destroy(session);
    return status;
}

/* In place, or by a copy that must be allowed, or not at all; with the reason that the session gives. */
static json_t *report_input(const stoa_model *model, stoa_queue *queue, const cli_binding *binding, uint32_t input)
{
    stoa_error err = {.message = ""}, copy_err;
    const stoa_status in_place = try_bind(model, queue, binding, input, 0, &err);
    const bool copied = in_place != STOA_OK && try_bind(model, queue, binding, input, 1, &copy_err) == STOA_OK;
    json_t *names = json_array();
    for (uint32_t k = 0; k < binding->inputs[input].count; k++) json_array_append_new(names, json_string(binding->inputs[input].names[k]));
    return json_pack("{s:s, s:o, s:b, s:b, s:s, s:s}", "input", stoa_model_schema(model)->inputs[input].name, "columns", names, "in_place",
                     in_place == STOA_OK, "with_copies", in_place == STOA_OK || copied, "status", stoa_status_name(in_place), "reason",
                     in_place == STOA_OK ? "" : err.message);
}

static stoa_status report_binding(const inspect_options *options, const stoa_model *model, json_t **list, stoa_error *err)
{
    reco_table *table = NULL;
    cli_binding binding = {0};
    stoa_device *host = NULL;
    stoa_queue *queue = NULL;
    stoa_status status = reco_table_read(options->bind, &table, err);
    if (status == STOA_OK) status = cli_binding_init(&binding, stoa_model_schema(model), table, options->columns, err);
    if (status == STOA_OK) status = stoa_device_open("host", &host, err);
    if (status == STOA_OK) status = stoa_queue_create(host, STOA_QUEUE_BLOCKING, &queue, err);
    *list = json_array();
    for (uint32_t i = 0; status == STOA_OK && i < binding.input_count; i++)
        json_array_append_new(*list, report_input(model, queue, &binding, i));
    stoa_queue_destroy(queue);
    stoa_device_close(host);
    cli_binding_deinit(&binding);
    reco_table_destroy(table);
    return status;
}

static bool write_text(void *file, const char *text, size_t bytes) { return fwrite(text, 1, bytes, file) == bytes; }

/* The function is called after the model's file: what is no letter of a name becomes '_'. */
static stoa_status emit_c(const stoa_model *model, const char *model_path, const char *path, stoa_error *err)
{
    const char *slash = strrchr(model_path, '/'), *base = slash ? slash + 1 : model_path;
    char name[256] = "model_";
    size_t length = isdigit((unsigned char)*base) ? strlen(name) : 0;
    for (; *base && *base != '.' && length + 1 < sizeof name; base++) name[length++] = isalnum((unsigned char)*base) ? *base : '_';
    name[length] = '\0';
    FILE *file = fopen(path, "we");
    if (!file) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: %s", path, strerror(errno));
    stoa_status status = stoa_model_emit_c(model, name, write_text, file, err);
    if (fclose(file) != 0 && status == STOA_OK) status = stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: %s", path, strerror(errno));
    if (status != STOA_OK) remove(path);
    return status;
}

static json_t *describe(const stoa_model *model)
{
    const stoa_schema *schema = stoa_model_schema(model);
    const stoa_capabilities *caps = stoa_model_capabilities(model);
    json_t *groups = json_array(), *can = json_object();
    for (uint32_t i = 0; i < stoa_model_plan_count(model); i++) json_array_append_new(groups, json_string(stoa_model_plan_step(model, i)));
    for (int i = 0; i < CAPABILITY_COUNT; i++) json_object_set_new(can, capabilities[i].name, json_boolean(capability_value(caps, i)));
    json_object_set_new(can, "inputs", json_string(rules[caps->inputs][0]));
    json_object_set_new(can, "outputs", json_string(rules[caps->outputs][0]));
    json_object_set_new(can, "tile_rows", json_integer(caps->tile_rows));
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:o, s:o}", "runtime", stoa_model_runtime(model), "inputs",
                     cli_json_tensors(schema->inputs, schema->input_count), "outputs",
                     cli_json_tensors(schema->outputs, schema->output_count), "parameters", (json_int_t)schema->parameters, "flop_per_row",
                     (json_int_t)schema->flop_per_row, "groups", groups, "capabilities", can);
}

static void print_tensors(const char *what, const stoa_tensor_schema *tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[128];
        cli_tensor_text(&tensors[i], text, sizeof text);
        printf("%-12s %-20s %s\n", i ? "" : what, tensors[i].name, text);
    }
}

static void print_binding(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const bool in_place = json_is_true(json_object_get(item, "in_place"));
        printf("%-12s %-20s %zu columns: %s\n", i ? "" : "binding", json_string_value(json_object_get(item, "input")),
               json_array_size(json_object_get(item, "columns")),
               in_place                                             ? "in place, no copy"
               : json_is_true(json_object_get(item, "with_copies")) ? "only with --allow-copies"
                                                                    : "no");
        if (!in_place)
            printf("%-12s %-20s %s: %s\n", "", "", json_string_value(json_object_get(item, "status")),
                   json_string_value(json_object_get(item, "reason")));
    }
}

static void print_model(const stoa_model *model, const char *path)
{
    const stoa_schema *schema = stoa_model_schema(model);
    printf("%-12s %s by %s\n", "model", path, stoa_model_runtime(model));
    print_tensors("inputs", schema->inputs, schema->input_count);
    print_tensors("outputs", schema->outputs, schema->output_count);
    printf("%-12s %llu\n%-12s %llu per row\n", "parameters", (unsigned long long)schema->parameters, "flop",
           (unsigned long long)schema->flop_per_row);
    for (uint32_t i = 0; i < stoa_model_plan_count(model); i++)
        printf("%-12s %2u  %s\n", i ? "" : "plan", i, stoa_model_plan_step(model, i));
    const stoa_capabilities *can = stoa_model_capabilities(model);
    printf("%-12s %-20s %s\n%-12s %-20s %s\n", "can", "inputs", rules[can->inputs][1], "", "outputs", rules[can->outputs][1]);
    for (int i = 0; i < CAPABILITY_COUNT; i++)
        printf("%-12s %-20s %s\n", "", capabilities[i].name, capability_value(can, i) ? capabilities[i].yes : capabilities[i].no);
}

int verb_inspect(int argc, char **argv)
{
    inspect_options o = {.runtime = "auto"};
    const cli_option options[] = {
        {"bind", CLI_TEXT, &o.bind, "FILE", "tell which of the file's columns can be bound in place, and why not"},
        {"columns", CLI_TEXT_OF(cli_list_needed), &o.columns, "a,b,..", "columns of that file, in the model's order"},
        {"runtime", CLI_TEXT_OF(cli_runtime_needed), &o.runtime, "NAME", "auto, native, aoti, torchscript, onnxruntime, tensorrt"},
        {"signature", CLI_TEXT, &o.signature, "TEXT", CLI_SIGNATURE_HELP},
        {"emit-c", CLI_TEXT, &o.emit_c, "FILE", "write the model as plain C that needs libm only"},
        {"json", CLI_FLAG, &o.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax = CLI_SYNTAX("inspect", "MODEL ", 1, 1,
                                         "Schema, parameters, flop per row and plan of a model; with --bind what a file's columns allow.",
                                         "stoa inspect model.onnx --bind tracks.csv --columns pt,eta,phi", options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    stoa_model_options model_options = STOA_MODEL_OPTIONS_INIT;
    model_options.runtime = o.runtime;
    model_options.signature = o.signature;
    stoa_model *model = NULL;
    json_t *binding = NULL;
    stoa_error err;
    stoa_status status = stoa_model_load(argv[first], &model_options, &model, &err);
    if (status == STOA_OK && o.bind) status = report_binding(&o, model, &binding, &err);
    if (status == STOA_OK && o.emit_c) status = emit_c(model, argv[first], o.emit_c, &err);
    int exit_code = CLI_DONE;
    if (status != STOA_OK) {
        exit_code = cli_fail(&err);
    } else if (o.json) {
        json_t *object = describe(model);
        if (binding) json_object_set(object, "binding", binding);
        exit_code = cli_json(object);
    } else {
        print_model(model, argv[first]);
        print_binding(binding);
    }
    json_decref(binding);
    stoa_model_destroy(model);
    return exit_code;
}
