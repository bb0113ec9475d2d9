/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of .pt2 packages, as a plugin. */
#include <stdio.h>
#include <string.h>

#include "plugin/plugin_host.h"
#include "runtime/aoti/model.h"
#include "runtime/aoti/shim_internal.h"
#include "stoa/memory.h"

#define TILE_ROWS 512u /* intermediates stay in the second-level cache; measured best from 192 to 1024 */
#define WARM_ROWS 2u

typedef struct aoti_instance {
    const aoti_model *model;
    aoti_container container;
    aoti_tensor *arguments;
    shim_context context;
} aoti_instance;

static stoa_status probe(char *where, size_t capacity, stoa_error *err)
{
    char path[1024];
    if (!stoai_shim_cxx()) return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'aoti': compiled models need libstdc++.so.6, which cannot be loaded");
    const bool torch = stoai_package_find_library("STOA_TORCH", "torch/lib/libtorch_cpu.so", path, sizeof path, NULL) == STOA_OK;
    snprintf(where, capacity, "plugin; libtorch for packages that link it: %s", torch ? path : "not found");
    return STOA_OK;
}

/* ---- instances ------------------------------------------------------------------------------------------------------- */

static void enter(const aoti_instance *instance, shim_context **before, int *threads)
{
    const aoti_host *host = &instance->model->host;
    *before = stoai_shim_enter((shim_context *)(uintptr_t)&instance->context);
    *threads = host->threads_get ? host->threads_get() : 0;
    if (host->threads_set && *threads != 1) host->threads_set(1); /* of the calling thread alone */
}

static void leave(const aoti_instance *instance, shim_context *before, int threads)
{
    if (instance->model->host.threads_set && threads != 1) instance->model->host.threads_set(threads);
    stoai_shim_enter(before);
}

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    aoti_instance *instance = handle;
    shim_context *before;
    int threads;
    enter(instance, &before, &threads);
    const stoa_status status = stoai_aoti_call(instance->model, instance->container, &instance->context, instance->arguments, inputs, outputs,
                                               first, rows, err);
    leave(instance, before, threads);
    return status;
}

/* Run on columns of zeros: warms the container, and tells a planning context what a run needs. */
static stoa_status run_zeros(aoti_instance *instance, const uint32_t *rows, stoa_error *err)
{
    const aoti_model *model = instance->model;
    const stoa_schema *schema = &model->package.schema;
    const uint32_t count = model->input_values + model->output_values;
    uint32_t most = 1;
    for (uint32_t i = 0; i < schema->axis_count; i++) most = rows[i] > most ? rows[i] : most;
    const size_t column = ((size_t)most * 8 + 63) / 64 * 64, bytes = count * (sizeof(stoa_bound) + column);
    char *memory = stoa_alloc(bytes, 64);
    if (!memory) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes to plan with", bytes);
    memset(memory, 0, bytes);
    stoa_bound *values = (stoa_bound *)(void *)(memory + count * column);
    for (uint32_t i = 0; i < count; i++) values[i] = (stoa_bound){NULL, 1, 0, 0};
    for (uint32_t t = 0, value = 0; t < schema->input_count + schema->output_count; t++) {
        const stoa_tensor_schema *tensor = &model->package.tensors[t];
        for (uint32_t k = 0; k < tensor->width; k++) {
            values[value + k].dtype = (uint32_t)tensor->dtype;
            values[value + k].data = memory + (value + stoai_block_position(tensor, k)) * column;
        }
        value += tensor->width;
    }
    const stoa_status status = run(instance, values, values + model->input_values, 0, rows, err);
    stoa_free(memory, bytes);
    return status;
}

static void close_instance(void *handle)
{
    aoti_instance *instance = handle;
    if (instance->container) instance->model->functions.ContainerDelete(instance->container);
    stoai_shim_deinit(&instance->context);
    stoa_free(instance->arguments, instance->model->argument_count * sizeof *instance->arguments);
    stoa_free(instance, sizeof *instance);
}

static stoa_status make_instance(const aoti_model *model, void *memory, size_t bytes, uint32_t tensors, aoti_instance **result, stoa_error *err)
{
    *result = NULL;
    aoti_instance *instance = stoa_calloc(1, sizeof *instance);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *instance);
    instance->model = model;
    instance->arguments = stoa_calloc(model->argument_count, sizeof *instance->arguments);
    stoa_status status = instance->arguments ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "session: %u arguments", model->argument_count);
    if (status == STOA_OK) status = stoai_shim_init(&instance->context, memory, bytes, tensors, err);
    if (status == STOA_OK) status = stoai_aoti_container(model, &instance->container, err);
    if (status == STOA_OK) *result = instance;
    else close_instance(instance);
    return status;
}

/* What a run of `rows` needs: bytes of intermediates and tensor objects at one time. */
static stoa_status plan(const aoti_model *model, const uint32_t *rows, size_t *bytes, uint32_t *tensors, stoa_error *err)
{
    aoti_instance *instance;
    STOA_TRY(make_instance(model, NULL, 0, SHIM_TENSORS_MAX, &instance, err));
    const stoa_status status = run_zeros(instance, rows, err);
    *bytes = instance->context.arena.peak;
    *tensors = instance->context.tensors_peak;
    close_instance(instance);
    return status;
}

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    uint32_t tensors;
    *bytes = 0;
    if (place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'aoti': the package is for cpu, the queue's device has type %d", (int)place.type);
    return plan(handle, max_rows, bytes, &tensors, err);
}

static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes, const uint32_t *max_rows, void **result,
                                 stoa_error *err)
{
    const aoti_model *model = handle;
    aoti_instance *instance;
    uint32_t rows[PACKAGE_AXES_MAX];
    (void)queue;
    *result = NULL;
    for (uint32_t i = 0; i < model->package.schema.axis_count; i++) rows[i] = max_rows[i] < WARM_ROWS ? max_rows[i] : WARM_ROWS;
    char *none = (char *)1; /* a package without intermediates: any address but NULL, which would plan */
    STOA_TRY(make_instance(model, memory ? memory : none, bytes, model->tensor_count, &instance, err));
    const stoa_status status = run_zeros(instance, rows, err);
    if (status != STOA_OK) {
        close_instance(instance);
        return status;
    }
    instance->context.allocations = 0;
    *result = instance;
    return STOA_OK;
}

static uint64_t run_allocations(const void *handle) { return ((const aoti_instance *)handle)->context.allocations; }

/* ---- models ---------------------------------------------------------------------------------------------------------- */

static void unload(void *handle) { stoai_aoti_model_unload(handle); }

static void describe(aoti_model *model)
{
    model->capabilities = (stoa_capabilities){
        .struct_size = sizeof(stoa_capabilities),
        .inputs = STOA_RULE_BLOCK,
        .outputs = STOA_RULE_UNIT,
        .outputs_in_place = 1,
        .const_inputs = 1,
        .row_independent = model->package.row_independent,
        .device_row_count = 1,
        .tile_rows = model->package.row_independent ? TILE_ROWS : 0,
        .thread_safe = 1,
    };
    const bool linked = stoai_package_flag(&model->package, "link_libtorch");
    snprintf(model->summary, sizeof model->summary, "compiled by AOTInductor of torch %s for %s, %s, %zu weights of %zu bytes",
             stoai_package_text(&model->package, "torch", "?"), model->target, linked ? "on libtorch" : "without libtorch", model->constant_count,
             model->weights.bytes);
}

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    extern const stoa_runtime_api stoai_aoti_api;
    uint32_t rows[PACKAGE_AXES_MAX];
    size_t unused;
    aoti_model *model;
    *handle = NULL;
    STOA_TRY(stoai_aoti_model_load(data, bytes, &model, err));
    describe(model);
    for (uint32_t i = 0; i < PACKAGE_AXES_MAX; i++) rows[i] = WARM_ROWS;
    stoa_status status = plan(model, rows, &unused, &model->tensor_count, err); /* the number of objects does not depend on rows */
    if (status == STOA_OK && options && options->self_check) status = stoai_package_self_check(&model->package, &stoai_aoti_api, model, err);
    if (status == STOA_OK) *handle = model;
    else unload(model);
    return status;
}

static const stoa_schema *schema(const void *handle) { return &((const aoti_model *)handle)->package.schema; }
static const stoa_capabilities *capabilities(const void *handle) { return &((const aoti_model *)handle)->capabilities; }
static const char *plan_step(const void *handle, uint32_t index) { return index ? NULL : ((const aoti_model *)handle)->summary; }

extern const stoa_runtime_api stoai_aoti_api;
const stoa_runtime_api stoai_aoti_api = {
    .struct_size = sizeof(stoa_runtime_api),
    .abi = STOA_RUNTIME_ABI,
    .name = "aoti",
    .extensions = ".pt2",
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
    .run_allocations = run_allocations,
};

STOAI_RUNTIME_ENTRY(stoai_aoti_api)
