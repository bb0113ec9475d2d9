/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa run`: inference over a file's columns. The columns are bound where the reader put them; nothing is
 * repacked. A GPU gets them beforehand and gives the outputs back afterwards; the times are those of the passes alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* In the order of stoa_precision. */
static const char *const precisions[] = {"float32", "tfloat32", "bfloat16", "float16"};

typedef struct run_options {
    const char *in, *columns, *out, *runtime, *signature, *device, *isa, *precision_name;
    uint32_t batch, repeat;
    int precision;
    bool allow_copies, json;
} run_options;

typedef struct run_state {
    stoa_model *model;
    reco_table *in, *out;
    cli_binding binding;
    cli_mirror mirror;
    stoa_device *device;
    stoa_queue *queue;
    stoa_session *session;
    double *times_us;
    stoa_session_stats stats;
    uint64_t allocations;
} run_state;

static stoa_status load(const run_options *options, const char *path, run_state *state, stoa_error *err)
{
    stoa_model_options model_options = STOA_MODEL_OPTIONS_INIT;
    model_options.runtime = options->runtime;
    model_options.signature = options->signature;
    model_options.isa = options->isa;
    model_options.precision = (uint32_t)options->precision;
    STOA_TRY(stoa_model_load(path, &model_options, &state->model, err));
    STOA_TRY(reco_table_read(options->in, &state->in, err));
    const stoa_schema *schema = stoa_model_schema(state->model);
    return cli_binding_init(&state->binding, schema, state->in, options->columns, err);
}

static stoa_status open_session(const run_options *options, run_state *state, stoa_error *err)
{
    const stoa_schema *schema = stoa_model_schema(state->model);
    const uint32_t rows = state->binding.rows;
    stoa_session_options session_options = STOA_SESSION_OPTIONS_INIT;
    session_options.allow_copies = options->allow_copies;
    STOA_TRY(stoa_device_open(options->device, &state->device, err));
    STOA_TRY(stoa_queue_create(state->device, STOA_QUEUE_BLOCKING, &state->queue, err));
    state->mirror.queue = state->queue;
    STOA_TRY(stoa_session_create(state->model, state->queue, options->batch && options->batch < rows ? options->batch : rows,
                                 &session_options, &state->session, err));
    STOA_TRY(cli_bind_inputs(&state->binding, schema, state->session, &state->mirror, err));
    STOA_TRY(reco_table_create(rows, &state->out, err));
    return cli_bind_outputs(state->out, schema, state->session, &state->mirror, err);
}

/* One pass over all rows, in batches when asked to; the last one may be short. */
static stoa_status run_pass(run_state *state, uint32_t batch, stoa_error *err)
{
    const uint32_t rows = state->binding.rows;
    if (batch == 0 || batch >= rows) {
        STOA_TRY(stoa_session_run(state->session, rows, err));
    } else {
        for (uint32_t first = 0; first < rows; first += batch) {
            const uint32_t left = rows - first;
            STOA_TRY(stoa_session_run_rows(state->session, first, left < batch ? left : batch, err));
            if (left <= batch) break; /* first + batch may not fit in 32 bits */
        }
    }
    return stoa_queue_wait(state->queue, err);
}

static stoa_status run_all(const run_options *options, run_state *state, stoa_error *err)
{
    state->times_us = calloc(options->repeat, sizeof *state->times_us);
    if (!state->times_us) return STOA_FAIL(err, STOA_ENOMEM, "--repeat %u: no memory", options->repeat);
    STOA_TRY(cli_mirror_copy(&state->mirror, false, err));
    const uint64_t before = stoa_alloc_count();
    for (uint32_t r = 0; r < options->repeat; r++) {
        const double begin_us = cli_now_us();
        STOA_TRY(run_pass(state, options->batch, err));
        state->times_us[r] = cli_now_us() - begin_us;
    }
    state->allocations = stoa_alloc_count() - before;
    STOA_TRY(cli_mirror_copy(&state->mirror, true, err));
    state->stats.struct_size = sizeof state->stats;
    return stoa_session_get_stats(state->session, &state->stats, err);
}

static int compare_real(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *describe_inputs(const run_state *state)
{
    const stoa_schema *schema = stoa_model_schema(state->model);
    json_t *list = cli_json_tensors(schema->inputs, schema->input_count);
    for (uint32_t i = 0; i < state->binding.input_count; i++) {
        json_t *names = json_array();
        for (uint32_t k = 0; k < state->binding.inputs[i].count; k++)
            json_array_append_new(names, json_string(state->binding.inputs[i].names[k]));
        json_object_set_new(json_array_get(list, i), "columns", names);
    }
    return list;
}

static int report(const run_options *options, run_state *state)
{
    const stoa_schema *schema = stoa_model_schema(state->model);
    qsort(state->times_us, options->repeat, sizeof *state->times_us, compare_real);
    const double *t = state->times_us, min_us = t[0];
    const double median_us = (t[options->repeat / 2] + t[(options->repeat - 1) / 2]) / 2;
    const uint32_t rows = state->binding.rows;
    if (options->json)
        return cli_json(
            json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:I, s:f, s:f, s:I}", "runtime", stoa_model_runtime(state->model),
                      "precision", options->precision_name, "device", options->device, "rows", (json_int_t)rows, "inputs",
                      describe_inputs(state), "outputs", cli_json_tensors(schema->outputs, schema->output_count), "copies",
                      cli_json_copies(state->stats.copy_calls, state->stats.copy_bytes), "transfers",
                      cli_json_copies(state->mirror.copy_calls, state->mirror.copy_bytes), "allocations_in_run",
                      (json_int_t)state->allocations, "median_us", median_us, "min_us", min_us, "repeat", (json_int_t)options->repeat));
    printf("%u rows on %s by %s: median %.3f us, min %.3f us", rows, options->device, stoa_model_runtime(state->model), median_us, min_us);
    if (rows) printf(" (%.2f ns a row)", 1e3 * median_us / rows);
    printf("\ncopies %llu (%llu bytes), allocations in run %llu\n", (unsigned long long)state->stats.copy_calls,
           (unsigned long long)state->stats.copy_bytes, (unsigned long long)state->allocations);
    if (state->mirror.copy_calls)
        printf("transfers %llu (%llu bytes), of the file's columns to the device and back\n", (unsigned long long)state->mirror.copy_calls,
               (unsigned long long)state->mirror.copy_bytes);
    if (options->out) printf("written: %s (%u columns)\n", options->out, reco_table_column_count(state->out));
    return CLI_DONE;
}

static void state_deinit(run_state *state)
{
    stoa_session_destroy(state->session);
    cli_mirror_deinit(&state->mirror);
    stoa_queue_destroy(state->queue);
    stoa_device_close(state->device);
    cli_binding_deinit(&state->binding);
    reco_table_destroy(state->in);
    reco_table_destroy(state->out);
    stoa_model_destroy(state->model);
    free(state->times_us);
}

int verb_run(int argc, char **argv)
{
    run_options o = {.runtime = "auto", .device = "host", .precision_name = precisions[0], .repeat = 1};
    const cli_option options[] = {
        {"in", CLI_TEXT, &o.in, "FILE", "table: .csv, .npy, .npz, .h5 (needed)"},
        {"columns", CLI_TEXT_OF(cli_list_needed), &o.columns, "a,b,..", "columns in the model's order (the file's, without 'event')"},
        {"out", CLI_TEXT, &o.out, "FILE", "table of the outputs: .csv, .npy, .npz, .h5"},
        {"runtime", CLI_TEXT_OF(cli_runtime_needed), &o.runtime, "NAME", "auto, native, aoti, torchscript, onnxruntime, tensorrt"},
        {"signature", CLI_TEXT, &o.signature, "TEXT", CLI_SIGNATURE_HELP},
        {"device", CLI_TEXT_OF(cli_device_needed), &o.device, "D", "host, cuda:N or hip:N (host)"},
        {"isa", CLI_TEXT_OF(cli_isa_needed), &o.isa, "NAME", "native on host: baseline, avx2, avx512 (the best there is)"},
        {"precision", CLI_TEXT, &o.precision_name, "NAME",
         "of products on cuda: float32, or tfloat32, bfloat16, float16 by who has it (float32)"},
        {"batch", CLI_COUNT, &o.batch, "B", "rows in one call (all)"},
        {"allow-copies", CLI_FLAG, &o.allow_copies, NULL, "let the session gather what the runtime cannot take in place"},
        {"repeat", CLI_COUNT_OF(1, UINT32_MAX), &o.repeat, "R", "passes over the file, for the times (1)"},
        {"json", CLI_FLAG, &o.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("run", "MODEL --in FILE ", 1, 1,
                   "Inference over a file's columns, in place. An input [N,F] takes F columns in the order given; with "
                   "several\n"
                   "inputs each takes the array of its name (.npz, .h5), or columns NAME_0, NAME_1 ...",
                   "stoa run model.onnx --in tracks.csv --columns pt,eta,phi --out scores.csv --repeat 100", options);
    int first;
    int code = cli_parse(&syntax, argc, argv, &first);
    if (code == CLI_CONTINUE) code = cli_choose("run", "precision", o.precision_name, precisions, 4, &o.precision);
    if (code != CLI_CONTINUE) return code;
    if (!o.in) return cli_usage("run", "no --in FILE given");
    run_state state = {0};
    stoa_error err;
    stoa_status status = load(&o, argv[first], &state, &err);
    if (status == STOA_OK) status = open_session(&o, &state, &err);
    if (status == STOA_OK) status = run_all(&o, &state, &err);
    if (status == STOA_OK && o.out) status = reco_table_write(o.out, state.out, &err);
    const int exit_code = status == STOA_OK ? report(&o, &state) : cli_fail(&err);
    state_deinit(&state);
    return exit_code;
}
