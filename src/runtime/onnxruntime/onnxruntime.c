/* SPDX-License-Identifier: Apache-2.0 */
/* The runtimes of ONNX Runtime, as a plugin: the library of the onnxruntime package, loaded on demand. `tensorrt` is for those of its
 * builds that have TensorRT. */
#include <stdio.h>

#include "plugin/plugin_host.h"
#include "runtime/onnxruntime/ort.h"
#include "runtime/package/zeros.h"
#include "stoa/memory.h"

/* Where a tensor lies: the address and rows that its value was made for. */
typedef struct ort_argument {
    ort_value *value;
    void *data;
    uint32_t rows;
} ort_argument;

typedef struct ort_instance {
    const ort_model *model;
    ort_argument *arguments; /* inputs, then outputs */
    ort_value **values;      /* the same as the list that a run takes */
    ort_scratch scratch;     /* of the host's memory */
    ort_device *device;      /* NULL: the host */
    void *memory;            /* of the scratch, where there is a device: what ONNX Runtime keeps on the host meanwhile */
    size_t memory_bytes;
} ort_instance;

static stoa_status probe(char *where, size_t capacity, stoa_error *err)
{
    const ort_library *library;
    STOA_TRY(stoai_ort_library(&library, err));
    snprintf(where, capacity, "plugin; version %s with %s, %s", library->version, library->providers, library->path);
    return STOA_OK;
}

static stoa_status probe_tensorrt(char *where, size_t capacity, stoa_error *err)
{
    const ort_library *library;
    STOA_TRY(stoai_ort_library(&library, err));
    STOA_TRY(stoai_ort_need_provider(library, &stoai_ort_tensorrt, err));
    return probe(where, capacity, err);
}

/* ---- runs -------------------------------------------------------------------------------------------------------------- */

static uint32_t rows_of(const stoa_tensor_schema *tensor, const uint32_t *rows)
{ return tensor->axis == STOA_AXIS_ONE ? 1 : rows[tensor->axis]; }

/* Kernels of a device may read many bytes at once, and fault, or round an address down, where they cannot. */
static stoa_status check_alignment(const ort_model *model, const stoa_tensor_schema *tensor, const char *data, stoa_error *err)
{
    const uint32_t align = model->provider->align_bytes, beyond = (uint32_t)((uintptr_t)data % align);
    if (!beyond) return STOA_OK;
    return STOA_FAIL(err, STOA_EALIGN, "tensor '%s': its first row begins %u bytes beyond a multiple of %u, which runtime '%s' needs",
                     tensor->name, beyond, align, model->provider->runtime);
}

/* Values are made anew only when a tensor lies elsewhere than in the last run: staged tiles never do. */
static stoa_status point(ort_instance *instance, uint32_t index, const stoa_bound *bound, uint32_t first, const uint32_t *rows,
                         stoa_error *err)
{
    static char nothing[64]; /* of tensors without rows */
    const ort_library *library = instance->model->library;
    const ort_memory_info *memory = instance->device ? instance->device->memory : library->host.memory;
    const stoa_tensor_schema *tensor = &instance->model->tensors[index];
    ort_argument *argument = &instance->arguments[index];
    const size_t row_bytes = tensor->width * stoa_dtype_bytes(tensor->dtype);
    const size_t skip = tensor->axis == STOA_AXIS_ONE ? 0 : first * row_bytes;
    char *data = bound->data ? (char *)bound->data + skip : nothing;
    const uint32_t count = rows_of(tensor, rows);
    if (argument->value && argument->data == data && argument->rows == count) return STOA_OK;
    if (instance->device && data != nothing) STOA_TRY(check_alignment(instance->model, tensor, data, err));
    int64_t shape[STOA_SHAPE_RANK_MAX + 1] = {count};
    for (uint32_t i = 0; i < tensor->rank; i++) shape[i + 1] = tensor->shape[i];
    if (argument->value) library->api.ReleaseValue(argument->value);
    *argument = (ort_argument){NULL, data, count};
    ort_status *status =
        library->api.CreateTensorWithDataAsOrtValue(memory, data, count * row_bytes, shape, (size_t)instance->model->infos[index].rank,
                                                    instance->model->infos[index].type, &argument->value);
    instance->values[index] = argument->value;
    return stoai_ort_check(library, status, STOA_ERUNTIME, "run", err);
}

/* Outputs that are given are stored into: the session has nothing to copy. */
static stoa_status call(ort_instance *instance, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                        stoa_error *err)
{
    const ort_model *model = instance->model;
    const ort_device *device = instance->device;
    const uint32_t input_count = model->schema.input_count;
    for (uint32_t i = 0; i < model->count; i++) {
        const stoa_bound **side = i < input_count ? &inputs : &outputs;
        STOA_TRY(point(instance, i, *side, first, rows, err));
        *side += model->tensors[i].width;
    }
    ort_status *status = model->library->api.Run(device ? device->session : model->session, device ? device->run_options : NULL,
                                                 model->names, (const ort_value *const *)instance->values, input_count,
                                                 model->names + input_count, model->schema.output_count, instance->values + input_count);
    return stoai_ort_check(model->library, status, STOA_ERUNTIME, "run", err);
}

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    ort_instance *instance = handle;
    if (instance->device) stoai_cuda_context_enter(&instance->device->cuda);
    ort_scratch *before = stoai_ort_scratch_enter(&instance->scratch);
    const stoa_status status = call(instance, inputs, outputs, first, rows, err);
    stoai_ort_scratch_enter(before);
    if (instance->device) stoai_cuda_context_leave(&instance->device->cuda);
    return status;
}

/* ---- instances --------------------------------------------------------------------------------------------------------- */

static void close_instance(void *handle)
{
    ort_instance *instance = handle;
    const uint32_t count = instance->model->count;
    for (uint32_t i = 0; instance->arguments && i < count; i++)
        if (instance->arguments[i].value) instance->model->library->api.ReleaseValue(instance->arguments[i].value);
    stoai_ort_device_close(instance->device);
    stoa_free(instance->memory, instance->memory_bytes);
    stoa_free(instance->arguments, count * sizeof *instance->arguments);
    stoa_free(instance->values, count * sizeof *instance->values);
    stoa_free(instance, sizeof *instance);
}

/* For a planning run. */
static stoa_status make_instance(const ort_model *model, ort_instance **result, stoa_error *err)
{
    *result = NULL;
    ort_instance *instance = stoa_calloc(1, sizeof *instance);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *instance);
    instance->model = model;
    instance->arguments = stoa_calloc(model->count, sizeof *instance->arguments);
    instance->values = stoa_calloc(model->count, sizeof *instance->values);
    if (!instance->arguments || !instance->values) {
        close_instance(instance);
        return STOA_FAIL(err, STOA_ENOMEM, "session: no memory for %u tensors", model->count);
    }
    *result = instance;
    return STOA_OK;
}

static size_t tensor_bytes(const stoa_tensor_schema *tensor, const uint32_t *rows)
{
    const size_t bytes = (size_t)rows_of(tensor, rows) * tensor->width * stoa_dtype_bytes(tensor->dtype);
    return (bytes + STOA_BUFFER_ALIGN_BYTES - 1) & ~(size_t)(STOA_BUFFER_ALIGN_BYTES - 1);
}

/* A run on zeros tells what the intermediates need. Only the first value of a tensor is looked at: its rows are row-major. */
static stoa_status run_zeros(ort_instance *instance, stoa_queue *queue, const uint32_t *rows, stoa_error *err)
{
    const ort_model *model = instance->model;
    uint32_t values = 0;
    size_t bytes = 64;
    for (uint32_t i = 0; i < model->count; i++) {
        bytes += tensor_bytes(&model->tensors[i], rows);
        values += model->tensors[i].width;
    }
    stoai_zeros zeros = {NULL, 0, NULL};
    stoa_bound *bound = stoa_calloc(values + 1u, sizeof *bound);
    stoa_status status = bound ? stoai_zeros_make(&zeros, queue, bytes, err) : STOA_FAIL(err, STOA_ENOMEM, "session: %u values", values);
    if (status == STOA_OK) {
        char *next = zeros.data;
        uint32_t value = 0, outputs = 0;
        for (uint32_t i = 0; i < model->count; i++) {
            if (i == model->schema.input_count) outputs = value;
            bound[value].data = next;
            next += tensor_bytes(&model->tensors[i], rows);
            value += model->tensors[i].width;
        }
        status = run(instance, bound, bound + outputs, 0, rows, err);
    }
    stoai_zeros_end(&zeros);
    stoa_free(bound, (values + 1u) * sizeof *bound);
    return status;
}

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    const ort_model *model = handle;
    ort_instance *instance;
    *bytes = 0;
    if (place.type == STOA_PLACE_CUDA) return STOA_OK; /* the session's stream is needed to find out */
    if (place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime '%s': for cpu and cuda, the queue's device has type %d", model->provider->runtime,
                         (int)place.type);
    if (model->precision != STOA_PRECISION_FLOAT32)
        return STOA_FAIL(err, STOA_ENOTSUP,
                         "runtime '%s': the model was loaded with precision %u for CUDA, the host computes in %u (float32)",
                         model->provider->runtime, (unsigned)model->precision, (unsigned)STOA_PRECISION_FLOAT32);
    STOA_TRY(make_instance(model, &instance, err));
    const stoa_status status = run_zeros(instance, NULL, max_rows, err);
    *bytes = instance->scratch.peak;
    close_instance(instance);
    return status;
}

static stoa_status workspace_tensorrt(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    *bytes = 0;
    if (place.type != STOA_PLACE_HOST) return workspace(handle, place, max_rows, bytes, err);
    return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'tensorrt': for cuda, the queue is the host's, for which there is 'onnxruntime'");
}

/* The session's memory is planned by a run on its queue, so it comes from there and not with the caller's workspace. */
static stoa_status open_on_device(ort_instance *instance, stoa_queue *queue, const uint32_t *max_rows, stoa_error *err)
{
    STOA_TRY(stoai_ort_device_open(instance->model, queue, max_rows, &instance->device, err));
    instance->scratch.device = &instance->device->scratch;
    STOA_TRY(run_zeros(instance, queue, max_rows, err));
    STOA_TRY(stoai_ort_device_settle(instance->device, err));
    instance->memory_bytes = instance->scratch.peak;
    if (!instance->memory_bytes) return STOA_OK;
    instance->memory = stoa_alloc(instance->memory_bytes, 64);
    return instance->memory ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", instance->memory_bytes);
}

/* Without a queue it is a check of the file, on the host. */
static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes, const uint32_t *max_rows, void **result,
                                 stoa_error *err)
{
    ort_instance *instance;
    const bool on_host = !queue || stoa_device_place(stoa_queue_device(queue)).type == STOA_PLACE_HOST;
    *result = NULL;
    STOA_TRY(make_instance(handle, &instance, err));
    const stoa_status status = on_host ? STOA_OK : open_on_device(instance, queue, max_rows, err);
    if (status != STOA_OK) {
        close_instance(instance);
        return status;
    }
    stoai_ort_scratch_use(&instance->scratch, on_host ? memory : instance->memory, on_host ? bytes : instance->memory_bytes);
    *result = instance;
    return STOA_OK;
}

static uint64_t run_allocations(const void *handle)
{
    const ort_instance *instance = handle;
    return instance->scratch.allocations + (instance->device ? instance->device->scratch.allocations : 0);
}

/* ---- models ------------------------------------------------------------------------------------------------------------ */

static void unload(void *handle) { stoai_ort_model_unload(handle); }

extern const stoa_runtime_api stoai_onnxruntime_api;

/* Test vectors are run on the host, in float32. */
static stoa_status load_for(const ort_provider *provider, const void *data, size_t bytes, const stoa_model_options *options, void **handle,
                            stoa_error *err)
{
    ort_model *model;
    *handle = NULL;
    STOA_TRY(stoai_package_need_no_signature(options, err));
    STOA_TRY(stoai_ort_model_load(data, bytes, provider, &model, err));
    if (options && options->self_check) {
        const stoa_status status = stoai_package_self_check(&model->package, &stoai_onnxruntime_api, model, err);
        if (status != STOA_OK) {
            unload(model);
            return status;
        }
    }
    model->precision = options ? (stoa_precision)options->precision : STOA_PRECISION_FLOAT32;
    *handle = model;
    return STOA_OK;
}

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{ return load_for(&stoai_ort_cuda, data, bytes, options, handle, err); }

static stoa_status load_tensorrt(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{ return load_for(&stoai_ort_tensorrt, data, bytes, options, handle, err); }

static const stoa_schema *schema(const void *handle) { return &((const ort_model *)handle)->schema; }
static const stoa_capabilities *capabilities(const void *handle) { return &((const ort_model *)handle)->capabilities; }
static const char *plan_step(const void *handle, uint32_t index) { return index ? NULL : ((const ort_model *)handle)->summary; }

const stoa_runtime_api stoai_onnxruntime_api = {
    .struct_size = sizeof(stoa_runtime_api),
    .abi = STOA_RUNTIME_ABI,
    .name = "onnxruntime",
    .extensions = "", /* .onnx is the native engine's: by name only */
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

static const stoa_runtime_api tensorrt_api = {
    .struct_size = sizeof(stoa_runtime_api),
    .abi = STOA_RUNTIME_ABI,
    .name = "tensorrt",
    .extensions = "",
    .probe = probe_tensorrt,
    .load = load_tensorrt,
    .unload = unload,
    .schema = schema,
    .capabilities = capabilities,
    .plan_step = plan_step,
    .workspace = workspace_tensorrt,
    .open = open_instance,
    .close = close_instance,
    .run = run,
    .run_allocations = run_allocations,
};

STOAI_RUNTIME_ENTRY(stoai_onnxruntime_api)
STOAI_PLUGIN_ENTRY(stoa_runtime_api, stoa_runtime_entry_tensorrt, STOA_RUNTIME_ABI, tensorrt_api)
