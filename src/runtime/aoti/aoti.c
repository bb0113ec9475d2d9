/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of .pt2 packages, as a plugin. */
#include <stdio.h>
#include <string.h>

#include "plugin/plugin_host.h"
#include "runtime/aoti/model.h"
#include "runtime/aoti/shim_internal.h"
#include "runtime/package/cuda_context.h"
#include "runtime/package/zeros.h"
#include "stoa/memory.h"

extern const stoa_runtime_api stoai_aoti_api;

#define TILE_ROWS 512u /* intermediates stay in the second-level cache; measured best from 192 to 1024 */
#define WARM_ROWS 2u

typedef struct aoti_instance {
    aoti_model *model;
    stoai_cuda_context cuda;
    aoti_container container;
    aoti_weights *weights;
    aoti_tensor *arguments;
    shim_context context;
} aoti_instance;

static stoa_status probe(char *where, size_t capacity, stoa_error *err)
{
    char path[1024];
    if (!stoai_shim_cxx())
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'aoti': compiled models need libstdc++.so.6, which cannot be loaded");
    const bool torch = stoai_package_find_library("STOA_TORCH", "torch/lib/libtorch_cpu.so", path, sizeof path, NULL) == STOA_OK;
    snprintf(where, capacity, "plugin; libtorch for packages that link it: %s", torch ? path : "not found");
    return STOA_OK;
}

/* ---- instances ------------------------------------------------------------------------------------------------------- */

static void enter(const aoti_instance *instance, shim_context **before, int *threads)
{
    const aoti_host *host = &instance->model->host;
    stoai_cuda_context_enter(&instance->cuda);
    *before = stoai_shim_enter((shim_context *)(uintptr_t)&instance->context);
    *threads = host->threads_get ? host->threads_get() : 0;
    if (host->threads_set && *threads != 1) host->threads_set(1); /* of the calling thread alone */
}

static void leave(const aoti_instance *instance, shim_context *before, int threads)
{
    if (instance->model->host.threads_set && threads != 1) instance->model->host.threads_set(threads);
    stoai_shim_enter(before);
    stoai_cuda_context_leave(&instance->cuda);
}

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    aoti_instance *instance = handle;
    shim_context *before;
    int threads;
    enter(instance, &before, &threads);
    const stoa_status status =
        stoai_aoti_call(instance->model, instance->container, &instance->context, instance->arguments, inputs, outputs, first, rows, err);
    leave(instance, before, threads);
    return status;
}

/* All columns, one behind the other from `memory` on. */
static void lay_out(const aoti_model *model, char *memory, size_t column, stoa_bound *values)
{
    const stoa_schema *schema = &model->package.schema;
    for (uint32_t t = 0, value = 0; t < schema->input_count + schema->output_count; t++) {
        const stoa_tensor_schema *tensor = &model->package.tensors[t];
        for (uint32_t k = 0; k < tensor->width; k++) {
            values[value + k].dtype = (uint32_t)tensor->dtype;
            values[value + k].row_stride = 1;
            values[value + k].data = memory + (value + stoai_block_position(tensor, k)) * column;
        }
        value += tensor->width;
    }
}

/* Run on columns of zeros: warms the container, and tells a planning context what a run needs. On a GPU it is waited for: what the
 * first call loads there is ready then. */
static stoa_status run_zeros(aoti_instance *instance, const uint32_t *rows, stoa_error *err)
{
    const aoti_model *model = instance->model;
    const uint32_t count = model->input_values + model->output_values;
    uint32_t most = 1;
    for (uint32_t i = 0; i < model->package.schema.axis_count; i++) most = rows[i] > most ? rows[i] : most;
    const size_t column = ((size_t)most * 8 + 63) / 64 * 64, bytes = count * column;
    stoa_queue *queue = instance->context.queue;
    stoai_zeros zeros = {NULL, 0, NULL};
    stoa_bound *values = stoa_calloc(count, sizeof *values);
    stoa_status status = values ? stoai_zeros_make(&zeros, queue, bytes, err) : STOA_FAIL(err, STOA_ENOMEM, "session: %u columns", count);
    if (status == STOA_OK) {
        lay_out(model, zeros.data, column, values);
        status = run(instance, values, values + model->input_values, 0, rows, err);
        if (status == STOA_OK && queue) status = stoa_queue_wait(queue, err);
    }
    stoai_zeros_end(&zeros);
    stoa_free(values, count * sizeof *values);
    return status;
}

/* A container's end takes its kernels from the device: what is enqueued of them is waited for. */
static void close_instance(void *handle)
{
    aoti_instance *instance = handle;
    const bool waited = !instance->context.queue || stoa_queue_wait(instance->context.queue, NULL) == STOA_OK;
    stoai_cuda_context_enter(&instance->cuda);
    if (instance->container && waited) instance->model->functions.ContainerDelete(instance->container); /* else the device is lost */
    stoai_cuda_context_leave(&instance->cuda);
    stoai_aoti_weights_give(instance->model, instance->weights, instance->context.queue);
    stoai_shim_deinit(&instance->context);
    stoai_cuda_context_close(&instance->cuda);
    stoa_free(instance->arguments, instance->model->argument_count * sizeof *instance->arguments);
    stoa_free(instance, sizeof *instance);
}

/* The container, which keeps handles of its weights: they are made outside of runs. */
static stoa_status make_container(aoti_instance *instance, stoa_queue *queue, stoa_error *err)
{
    if (queue) STOA_TRY(stoai_cuda_context_open(instance->context.device_index, &instance->cuda, err));
    stoai_cuda_context_enter(&instance->cuda);
    stoa_status status = stoai_aoti_container(instance->model, &instance->context, &instance->container, err);
    if (status == STOA_OK) status = stoai_aoti_weights_take(instance->model, instance->container, queue, &instance->weights, err);
    stoai_cuda_context_leave(&instance->cuda);
    return status;
}

/* With a queue: of a GPU. */
static stoa_status make_instance(aoti_model *model, stoa_queue *queue, void *memory, size_t bytes, uint32_t tensors, aoti_instance **result,
                                 stoa_error *err)
{
    *result = NULL;
    aoti_instance *instance = stoa_calloc(1, sizeof *instance);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *instance);
    instance->model = model;
    instance->arguments = stoa_calloc(model->argument_count, sizeof *instance->arguments);
    stoa_status status = instance->arguments ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "session: %u arguments", model->argument_count);
    if (status == STOA_OK) status = stoai_shim_init(&instance->context, queue, memory, bytes, tensors, err);
    if (status == STOA_OK) status = make_container(instance, queue, err);
    if (status == STOA_OK) *result = instance;
    else close_instance(instance);
    return status;
}

/* What a run of `rows` needs on the host: bytes of intermediates and tensor objects at one time. */
static stoa_status plan(aoti_model *model, const uint32_t *rows, size_t *bytes, uint32_t *tensors, stoa_error *err)
{
    aoti_instance *instance;
    STOA_TRY(make_instance(model, NULL, NULL, 0, SHIM_TENSORS_MAX, &instance, err));
    const stoa_status status = run_zeros(instance, rows, err);
    *bytes = instance->context.arena.peak;
    *tensors = instance->context.tensors_peak;
    close_instance(instance);
    return status;
}

static aoti_model *model_of(const void *handle) { return (aoti_model *)(uintptr_t)handle; } /* const but for its list of weights */

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    aoti_model *model = model_of(handle);
    uint32_t tensors;
    *bytes = 0;
    const int32_t wanted = model->device_type == SHIM_CUDA ? STOA_PLACE_CUDA : STOA_PLACE_HOST;
    if (place.type != wanted)
        return STOA_FAIL(err, STOA_EPLACE, "package: compiled for device '%s' (type %d), the queue's device has type %d",
                         stoai_package_text(&model->package, "device", ""), (int)wanted, (int)place.type);
    return model->device_type == SHIM_CUDA ? STOA_OK : plan(model, max_rows, bytes, &tensors, err);
}

/* Code for a GPU runs on the architecture that it was compiled for. */
static stoa_status check_architecture(const aoti_model *model, const stoa_queue *queue, stoa_error *err)
{
    stoa_device_info info = {.struct_size = sizeof info};
    STOA_TRY(stoa_device_describe(stoa_queue_device(queue), &info, err));
    if (strcmp(info.features, model->target) != 0)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled for '%s', the device is '%s'", model->target, info.features);
    return STOA_OK;
}

static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes, const uint32_t *max_rows, void **result,
                                 stoa_error *err)
{
    aoti_model *model = model_of(handle);
    const bool on_gpu = model->device_type == SHIM_CUDA;
    aoti_instance *instance;
    uint32_t rows[PACKAGE_AXES_MAX];
    *result = NULL;
    for (uint32_t i = 0; i < model->package.schema.axis_count; i++) rows[i] = max_rows[i] < WARM_ROWS ? max_rows[i] : WARM_ROWS;
    char *none = (char *)1; /* a package without intermediates: any address but NULL, which would plan */
    if (on_gpu) STOA_TRY(check_architecture(model, queue, err));
    STOA_TRY(make_instance(model, on_gpu ? queue : NULL, memory ? memory : none, bytes, model->tensor_count, &instance, err));
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
    const bool on_host = model->device_type == SHIM_CPU;
    model->capabilities = (stoa_capabilities){
        .struct_size = sizeof(stoa_capabilities),
        .inputs = STOA_RULE_BLOCK,
        .outputs = STOA_RULE_UNIT,
        .outputs_in_place = 1,
        .const_inputs = 1,
        .row_independent = model->package.row_independent,
        .device_row_count = on_host,
        .tile_rows = model->package.row_independent && on_host ? TILE_ROWS : 0,
        .thread_safe = 1,
    };
    const bool linked = stoai_package_flag(&model->package, "link_libtorch");
    snprintf(model->summary, sizeof model->summary, "compiled by AOTInductor of torch %s for %s, %s, %zu bytes of weights",
             stoai_package_text(&model->package, "torch", "?"), model->target, linked ? "on libtorch" : "without libtorch",
             model->blob.bytes);
}

/* What only a run tells, once: weights that fit, the number of tensor objects (which does not depend on rows), right results. */
static stoa_status load_on_host(aoti_model *model, const uint32_t *rows, const stoa_model_options *options, stoa_error *err)
{
    size_t unused;
    STOA_TRY(plan(model, rows, &unused, &model->tensor_count, err));
    return options && options->self_check ? stoai_package_self_check(&model->package, &stoai_aoti_api, model, err) : STOA_OK;
}

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    uint32_t rows[PACKAGE_AXES_MAX];
    aoti_model *model;
    *handle = NULL;
    STOA_TRY(stoai_package_need_no_signature(options, err));
    STOA_TRY(stoai_aoti_model_load(data, bytes, &model, err));
    stoa_status status = STOA_OK;
    model->tensor_count = SHIM_TENSORS_MAX;
    for (uint32_t i = 0; i < PACKAGE_AXES_MAX; i++) rows[i] = WARM_ROWS;
    describe(model);
    if (model->device_type == SHIM_CPU) status = load_on_host(model, rows, options, err);
    else if (options && options->self_check)
        status = STOA_FAIL(err, STOA_ENOTSUP, "self-check: test vectors are run on the host, the package is for %s", model->target);
    if (status == STOA_OK) *handle = model;
    else unload(model);
    return status;
}

static const stoa_schema *schema(const void *handle) { return &((const aoti_model *)handle)->package.schema; }
static const stoa_capabilities *capabilities(const void *handle) { return &((const aoti_model *)handle)->capabilities; }
static const char *plan_step(const void *handle, uint32_t index) { return index ? NULL : ((const aoti_model *)handle)->summary; }

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
