/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/native.h"

#include <stdio.h>

#include "runtime/native/lower.h"
#include "stoa/memory.h"

typedef struct native_model {
    graph_arena arena;              /* holds everything below, names and weights included */
    const native_kernels *kernels;
    native_program program;
    stoa_schema schema;
} native_model;

typedef struct native_instance {
    const native_model *model;
    void *workspace;
} native_instance;

static const stoa_capabilities native_capabilities = {
    .struct_size = sizeof(stoa_capabilities),
    .inputs = STOA_RULE_ANY,
    .outputs = STOA_RULE_ANY,
    .outputs_in_place = 1,
    .const_inputs = 1,
    .row_independent = 1,
    .device_row_count = 1,
    .tile_rows = 0, /* it tiles by itself */
    .thread_safe = 1,
};

static stoa_status probe(char *where, size_t capacity, stoa_error *err)
{
    const native_kernels *kernels = NULL;
    STOA_TRY(stoai_native_choose(NULL, &kernels, err));
    snprintf(where, capacity, "built in (%s)", kernels->name);
    return STOA_OK;
}

static void unload(void *handle)
{
    native_model *model = handle;
    if (!model) return;
    stoai_arena_release(&model->arena);
    stoa_free(model, sizeof *model);
}

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    const native_kernels *kernels = NULL;
    onnx_model onnx;
    *handle = NULL;
    STOA_TRY(stoai_native_choose(options ? options->isa : NULL, &kernels, err));
    native_model *model = stoa_calloc(1, sizeof *model);
    if (!model) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    graph_arena scratch = {NULL, 0};
    model->kernels = kernels;
    stoa_status status = stoai_onnx_read(data, bytes, &scratch, &onnx, err);
    if (status == STOA_OK)
        status = stoai_lower(&onnx, bytes, kernels, &scratch, &model->arena, &model->program, &model->schema, err);
    stoai_arena_release(&scratch);
    if (status == STOA_OK)
        *handle = model;
    else
        unload(model);
    return status;
}

static const stoa_schema *schema(const void *handle) { return &((const native_model *)handle)->schema; }

static const stoa_capabilities *capabilities(const void *handle)
{
    (void)handle;
    return &native_capabilities;
}

static const char *plan_step(const void *handle, uint32_t index)
{
    const native_program *program = &((const native_model *)handle)->program;
    return index < program->step_count ? program->steps[index].text : NULL;
}

static stoa_status check_place(stoa_place place, stoa_error *err)
{
    if (place.type == STOA_PLACE_HOST) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'native': no code for devices of type %d", (int)place.type);
}

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    (void)max_rows; /* one tile serves any number of rows */
    STOA_TRY(check_place(place, err));
    *bytes = stoai_native_workspace_bytes(&((const native_model *)handle)->program);
    return STOA_OK;
}

static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes,
                                 const uint32_t *max_rows, void **result, stoa_error *err)
{
    (void)queue;
    (void)max_rows;
    *result = NULL;
    const size_t needed = stoai_native_workspace_bytes(&((const native_model *)handle)->program);
    if (bytes < needed) return STOA_FAIL(err, STOA_EINVAL, "workspace: %zu bytes given, %zu needed", bytes, needed);
    native_instance *instance = stoa_calloc(1, sizeof *instance);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *instance);
    *instance = (native_instance){handle, memory};
    *result = instance;
    return STOA_OK;
}

static void close_instance(void *instance) { stoa_free(instance, sizeof(native_instance)); }

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    const native_instance *instance = handle;
    (void)err;
    instance->model->kernels->run(&instance->model->program, inputs, outputs, instance->workspace, first, rows[0]);
    return STOA_OK;
}

const stoa_runtime_api stoai_native_api = {
    .struct_size = sizeof(stoa_runtime_api),
    .abi = STOA_RUNTIME_ABI,
    .name = "native",
    .extensions = ".onnx",
    .probe = probe,
    .load = load,
    .unload = unload,
    .schema = schema,
    .capabilities = capabilities,
    .plan_step = plan_step,
    .workspace = workspace,
    .open = open_instance,
    .close = close_instance,
    .run = run,
};
