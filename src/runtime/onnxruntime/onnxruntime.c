/* SPDX-License-Identifier: Apache-2.0 */
/* The runtimes of ONNX Runtime, as a plugin: the library of the onnxruntime package, loaded on demand. `tensorrt` is for those of its
 * builds that have TensorRT. */
#include <stdio.h>

#include "plugin/plugin_host.h"
#include "runtime/onnxruntime/ort.h"
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
    ort_scratch scratch;
} ort_instance;

static const ort_provider tensorrt = {"tensorrt", "TensorrtExecutionProvider"};

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
    STOA_TRY(stoai_ort_need_provider(library, &tensorrt, err));
    return probe(where, capacity, err);
}

/* ---- runs -------------------------------------------------------------------------------------------------------------- */

static uint32_t rows_of(const stoa_tensor_schema *tensor, const uint32_t *rows)
{ return tensor->axis == STOA_AXIS_ONE ? 1 : rows[tensor->axis]; }

/* Values are made anew only when a tensor lies elsewhere than in the last run: staged tiles never do. */
static ort_status *point(ort_instance *instance, uint32_t index, const stoa_bound *bound, uint32_t first, const uint32_t *rows)
{
    static char nothing[64]; /* of tensors without rows */
    const ort_library *library = instance->model->library;
    const stoa_tensor_schema *tensor = &instance->model->tensors[index];
    ort_argument *argument = &instance->arguments[index];
    const size_t row_bytes = tensor->width * stoa_dtype_bytes(tensor->dtype);
    const size_t skip = tensor->axis == STOA_AXIS_ONE ? 0 : first * row_bytes;
    char *data = bound->data ? (char *)bound->data + skip : nothing;
    const uint32_t count = rows_of(tensor, rows);
    if (argument->value && argument->data == data && argument->rows == count) return NULL;
    int64_t shape[STOA_SHAPE_RANK_MAX + 1] = {count};
    for (uint32_t i = 0; i < tensor->rank; i++) shape[i + 1] = tensor->shape[i];
    if (argument->value) library->api.ReleaseValue(argument->value);
    *argument = (ort_argument){NULL, data, count};
    ort_status *status = library->api.CreateTensorWithDataAsOrtValue(library->memory, data, count * row_bytes, shape,
                                                                     (size_t)instance->model->infos[index].rank,
                                                                     instance->model->infos[index].type, &argument->value);
    instance->values[index] = argument->value;
    return status;
}

static ort_status *call(ort_instance *instance, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows)
{
    const ort_model *model = instance->model;
    const uint32_t input_count = model->schema.input_count;
    ort_status *status = NULL;
    for (uint32_t i = 0; !status && i < model->count; i++) {
        const stoa_bound **side = i < input_count ? &inputs : &outputs;
        status = point(instance, i, *side, first, rows);
        *side += model->tensors[i].width;
    }
    if (status) return status;
    return model->library->api.Run(model->session, NULL, model->names, (const ort_value *const *)instance->values, input_count,
                                   model->names + input_count, model->schema.output_count, instance->values + input_count);
}

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    ort_instance *instance = handle;
    ort_scratch *before = stoai_ort_scratch_enter(&instance->scratch);
    ort_status *status = call(instance, inputs, outputs, first, rows);
    stoai_ort_scratch_enter(before);
    return stoai_ort_check(instance->model->library, status, STOA_ERUNTIME, "run", err);
}

/* ---- instances --------------------------------------------------------------------------------------------------------- */

static void close_instance(void *handle)
{
    ort_instance *instance = handle;
    const uint32_t count = instance->model->count;
    for (uint32_t i = 0; instance->arguments && i < count; i++)
        if (instance->arguments[i].value) instance->model->library->api.ReleaseValue(instance->arguments[i].value);
    stoa_free(instance->arguments, count * sizeof *instance->arguments);
    stoa_free(instance->values, count * sizeof *instance->values);
    stoa_free(instance, sizeof *instance);
}

static stoa_status make_instance(const ort_model *model, void *memory, size_t bytes, ort_instance **result, stoa_error *err)
{
    *result = NULL;
    ort_instance *instance = stoa_calloc(1, sizeof *instance);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *instance);
    instance->model = model;
    instance->scratch.base = memory;
    instance->scratch.bytes = bytes;
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
{ return ((size_t)rows_of(tensor, rows) * tensor->width * stoa_dtype_bytes(tensor->dtype) + 63u) & ~(size_t)63; }

/* A run on zeros tells what the intermediates need. Only the first value of a tensor is looked at: its rows are row-major. */
static stoa_status run_zeros(ort_instance *instance, const uint32_t *rows, stoa_error *err)
{
    const ort_model *model = instance->model;
    uint32_t values = 0;
    size_t bytes = 64;
    for (uint32_t i = 0; i < model->count; i++) {
        bytes += tensor_bytes(&model->tensors[i], rows);
        values += model->tensors[i].width;
    }
    char *memory = stoa_alloc(bytes, 64);
    stoa_bound *bound = stoa_calloc(values + 1u, sizeof *bound);
    stoa_status status = memory && bound ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes to plan with", bytes);
    if (status == STOA_OK) {
        memset(memory, 0, bytes);
        char *next = memory;
        uint32_t value = 0, outputs = 0;
        for (uint32_t i = 0; i < model->count; i++) {
            if (i == model->schema.input_count) outputs = value;
            bound[value].data = next;
            next += tensor_bytes(&model->tensors[i], rows);
            value += model->tensors[i].width;
        }
        status = run(instance, bound, bound + outputs, 0, rows, err);
    }
    stoa_free(bound, (values + 1u) * sizeof *bound);
    stoa_free(memory, bytes);
    return status;
}

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    ort_instance *instance;
    *bytes = 0;
    if (place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'onnxruntime': for cpu only, the queue's device has type %d", (int)place.type);
    STOA_TRY(make_instance(handle, NULL, 0, &instance, err));
    const stoa_status status = run_zeros(instance, max_rows, err);
    *bytes = instance->scratch.peak;
    close_instance(instance);
    return status;
}

static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes, const uint32_t *max_rows, void **result,
                                 stoa_error *err)
{
    static char none[64]; /* a graph without intermediates: NULL would mean to plan */
    ort_instance *instance;
    (void)queue, (void)max_rows;
    *result = NULL;
    STOA_TRY(make_instance(handle, memory ? memory : none, memory ? bytes : 0, &instance, err));
    *result = instance;
    return STOA_OK;
}

static uint64_t run_allocations(const void *handle) { return ((const ort_instance *)handle)->scratch.allocations; }

/* ---- models ------------------------------------------------------------------------------------------------------------ */

static void unload(void *handle) { stoai_ort_model_unload(handle); }

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    extern const stoa_runtime_api stoai_onnxruntime_api;
    ort_model *model;
    *handle = NULL;
    STOA_TRY(stoai_ort_model_load(data, bytes, &model, err));
    if (options && options->self_check && model->package.manifest) {
        const stoa_status status = stoai_package_self_check(&model->package, &stoai_onnxruntime_api, model, err);
        if (status != STOA_OK) {
            unload(model);
            return status;
        }
    }
    *handle = model;
    return STOA_OK;
}

static const stoa_schema *schema(const void *handle) { return &((const ort_model *)handle)->schema; }
static const stoa_capabilities *capabilities(const void *handle) { return &((const ort_model *)handle)->capabilities; }
static const char *plan_step(const void *handle, uint32_t index) { return index ? NULL : ((const ort_model *)handle)->summary; }

extern const stoa_runtime_api stoai_onnxruntime_api;
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

STOAI_RUNTIME_ENTRY(stoai_onnxruntime_api)
STOAI_PLUGIN_ENTRY(stoa_runtime_api, stoa_runtime_entry_tensorrt, STOA_RUNTIME_ABI, tensorrt_api)
