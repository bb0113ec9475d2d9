/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions on a CUDA queue: the execution providers, told to use the queue's stream and device and nothing else, and the memory that
 * they take there. */
#include <stdio.h>

#include "runtime/onnxruntime/ort.h"
#include "stoa/buffer.h"
#include "stoa/memory.h"
#include "stoa/queue.h"

const ort_provider stoai_ort_cuda = {"onnxruntime", "CUDAExecutionProvider", 1u << STOA_PRECISION_TFLOAT32, 16};
/* TensorRT documents the alignment; CUDA's kernels read up to 16 bytes at once and do not look. */
const ort_provider stoai_ort_tensorrt = {"tensorrt", "TensorrtExecutionProvider",
                                         1u << STOA_PRECISION_TFLOAT32 | 1u << STOA_PRECISION_FLOAT16, 256};

/* ---- options of providers ---------------------------------------------------------------------------------------------- */

/* The same five functions for either provider. */
typedef struct provider_calls {
    ort_status *(*create)(ort_provider_options **out);
    ort_status *(*update)(ort_provider_options *provider, const char *const *keys, const char *const *values, size_t count);
    ort_status *(*update_value)(ort_provider_options *provider, const char *key, void *value);
    ort_status *(*append)(ort_options *options, const ort_provider_options *provider);
    void (*release)(ort_provider_options *provider);
} provider_calls;

typedef struct option_list {
    const char *keys[8], *values[8];
    size_t count;
} option_list;

static void set(option_list *list, const char *key, const char *value)
{
    list->keys[list->count] = key;
    list->values[list->count++] = value;
}

/* The stream is set behind the texts, which reset what they do not name. */
static ort_status *append(const provider_calls *calls, ort_options *options, const option_list *list, void *stream)
{
    ort_provider_options *provider = NULL;
    ort_status *status = calls->create(&provider);
    if (!status) status = calls->update(provider, list->keys, list->values, list->count);
    if (!status) status = calls->update_value(provider, "user_compute_stream", stream);
    if (!status) status = calls->append(options, provider);
    if (provider) calls->release(provider);
    return status;
}

/* Convolutions are chosen by rule: the default tries all that there are, in the first run of every row count. */
static ort_status *append_cuda(const ort_model *model, ort_options *options, const char *ordinal, void *stream)
{
    const ort_api *api = &model->library->api;
    const provider_calls calls = {api->CreateCUDAProviderOptions, api->UpdateCUDAProviderOptions, api->UpdateCUDAProviderOptionsWithValue,
                                  api->SessionOptionsAppendExecutionProvider_CUDA_V2, api->ReleaseCUDAProviderOptions};
    option_list list = {.count = 0};
    set(&list, "device_id", ordinal);
    set(&list, "do_copy_in_default_stream", "1"); /* the one for all: not a second one for copies */
    set(&list, "cudnn_conv_algo_search", "HEURISTIC");
    set(&list, "use_tf32", model->precision == STOA_PRECISION_FLOAT32 ? "0" : "1");
    return append(&calls, options, &list, stream);
}

/* "x:1x17,h:1x3x9" for `rows` of each axis; NULL: one row. Bytes that the text has, also where it does not fit. */
static size_t write_shapes(char *text, size_t capacity, const ort_model *model, const uint32_t *rows)
{
    size_t used = 0;
#define ADD(...) used += (size_t)snprintf(used < capacity ? text + used : NULL, used < capacity ? capacity - used : 0, __VA_ARGS__)
    for (uint32_t i = 0; i < model->schema.input_count; i++) {
        const stoa_tensor_schema *tensor = &model->tensors[i];
        if (tensor->axis == STOA_AXIS_ONE) continue;
        ADD("%s%s:%u", used ? "," : "", tensor->name, rows && rows[tensor->axis] ? rows[tensor->axis] : 1);
        for (uint32_t k = 0; k < tensor->rank; k++) ADD("x%u", tensor->shape[k]);
    }
#undef ADD
    return used;
}

/* One engine for all row counts, built now; without the shapes there would be one more whenever a run has more rows than those before. */
static ort_status *append_tensorrt(const ort_model *model, ort_options *options, const char *ordinal, void *stream, const char *least,
                                   const char *most)
{
    const ort_api *api = &model->library->api;
    const provider_calls calls = {api->CreateTensorRTProviderOptions, api->UpdateTensorRTProviderOptions,
                                  api->UpdateTensorRTProviderOptionsWithValue, api->SessionOptionsAppendExecutionProvider_TensorRT_V2,
                                  api->ReleaseTensorRTProviderOptions};
    option_list list = {.count = 0};
    set(&list, "device_id", ordinal);
    set(&list, "trt_auxiliary_streams", "0");
    set(&list, "trt_fp16_enable", model->precision == STOA_PRECISION_FLOAT16 ? "1" : "0");
    if (*most) {
        set(&list, "trt_profile_min_shapes", least);
        set(&list, "trt_profile_opt_shapes", most);
        set(&list, "trt_profile_max_shapes", most);
    }
    return append(&calls, options, &list, stream);
}

/* What TensorRT does not take is CUDA's; what neither takes would be the host's, in the middle of which a run would wait: refused. */
static ort_status *append_providers(const ort_device *device, ort_options *options, const char *least, const char *most)
{
    char ordinal[16];
    const ort_model *model = device->model;
    void *stream = stoa_queue_native(device->queue);
    snprintf(ordinal, sizeof ordinal, "%d", (int)device->cuda.ordinal);
    ort_status *status = stoai_ort_session_options(&model->library->api, options);
    if (!status) status = model->library->api.AddSessionConfigEntry(options, "session.disable_cpu_ep_fallback", "1");
    if (!status && model->provider == &stoai_ort_tensorrt) status = append_tensorrt(model, options, ordinal, stream, least, most);
    if (!status) status = append_cuda(model, options, ordinal, stream);
    return status;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------------- */

static stoa_status make_session(ort_device *device, const char *least, const char *most, stoa_error *err)
{
    const ort_model *model = device->model;
    const ort_library *library = model->library;
    ort_options *options = NULL;
    char what[64];
    snprintf(what, sizeof what, "session on cuda:%d by %s", (int)device->cuda.ordinal, model->provider->runtime);
    ort_status *failed = library->api.CreateSessionOptions(&options);
    if (!failed) failed = append_providers(device, options, least, most);
    stoa_status status = stoai_ort_check(library, failed, STOA_ENOTSUP, what, err);
    if (status == STOA_OK) {
        failed = library->api.CreateSessionFromArray(library->env, model->file, model->file_bytes, options, &device->session);
        const bool refused = failed && library->api.GetErrorCode(failed) == ORT_FAIL; /* nodes that are no provider's */
        status = stoai_ort_check(library, failed, refused ? STOA_ENOTSUP : STOA_ERUNTIME, what, err);
    }
    if (options) library->api.ReleaseSessionOptions(options);
    return status;
}

static stoa_status make_with_shapes(ort_device *device, const uint32_t *max_rows, stoa_error *err)
{
    const size_t bytes = write_shapes(NULL, 0, device->model, max_rows) + 1;
    char *least = stoa_alloc(bytes, 1), *most = stoa_alloc(bytes, 1);
    stoa_status status = least && most ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes for shapes", bytes);
    if (status == STOA_OK) {
        *least = *most = 0; /* no input has rows */
        write_shapes(least, bytes, device->model, NULL);
        write_shapes(most, bytes, device->model, max_rows);
        status = make_session(device, least, most, err);
    }
    stoa_free(least, bytes);
    stoa_free(most, bytes);
    return status;
}

/* Runs only enqueue: who wants results waits for the queue. */
static stoa_status make_run_options(ort_device *device, stoa_error *err)
{
    const ort_api *api = &device->model->library->api;
    ort_status *failed = api->CreateRunOptions(&device->run_options);
    if (!failed) failed = api->AddRunConfigEntry(device->run_options, "disable_synchronize_execution_providers", "1");
    return stoai_ort_check(device->model->library, failed, STOA_ENOTSUP, "session", err);
}

static stoa_status fill(ort_device *device, const uint32_t *max_rows, stoa_error *err)
{
    ort_scratch host = {.device = &device->scratch}; /* while a session is made nothing is a workspace's */
    stoai_ort_scratch_use(&host, NULL, 0);
    stoai_ort_scratch_use(&device->scratch, NULL, 0);
    device->scratch.queue = device->queue;
    STOA_TRY(stoai_ort_need_provider(device->model->library, device->model->provider, err));
    STOA_TRY(stoai_cuda_context_open(device->cuda.ordinal, &device->cuda, err));
    STOA_TRY(stoai_ort_device_memory(device->cuda.ordinal, &device->memory, err));
    STOA_TRY(make_run_options(device, err));
    stoai_cuda_context_enter(&device->cuda);
    ort_scratch *before = stoai_ort_scratch_enter(&host);
    const stoa_status status = make_with_shapes(device, max_rows, err);
    stoai_ort_scratch_enter(before);
    stoai_cuda_context_leave(&device->cuda);
    device->scratch.base = NULL; /* planning is next */
    return status;
}

stoa_status stoai_ort_device_open(const ort_model *model, stoa_queue *queue, const uint32_t *max_rows, ort_device **result, stoa_error *err)
{
    ort_device *device = stoa_calloc(1, sizeof *device);
    *result = NULL;
    if (!device) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", sizeof *device);
    device->model = model;
    device->queue = queue;
    device->cuda.ordinal = stoa_device_place(stoa_queue_device(queue)).index;
    const stoa_status status = fill(device, max_rows, err);
    if (status == STOA_OK) *result = device;
    else stoai_ort_device_close(device);
    return status;
}

stoa_status stoai_ort_device_settle(ort_device *device, stoa_error *err)
{
    const size_t bytes = device->scratch.peak;
    STOA_TRY(stoa_queue_wait(device->queue, err));
    if (bytes) STOA_TRY(stoa_buffer_create(device->queue, STOA_MEMORY_DEVICE, bytes, &device->workspace, err));
    stoai_ort_scratch_use(&device->scratch, device->workspace ? stoa_buffer_data(device->workspace) : NULL, bytes);
    return STOA_OK;
}

void stoai_ort_device_close(ort_device *device)
{
    if (!device) return;
    const ort_api *api = &device->model->library->api;
    const bool waited = stoa_queue_wait(device->queue, NULL) == STOA_OK;
    (void)waited; /* if not, the device is lost, and its memory with it */
    stoai_cuda_context_enter(&device->cuda);
    if (device->session) api->ReleaseSession(device->session);
    stoai_cuda_context_leave(&device->cuda);
    if (device->run_options) api->ReleaseRunOptions(device->run_options);
    stoa_buffer_release(device->workspace);
    stoai_cuda_context_close(&device->cuda);
    stoa_free(device, sizeof *device);
}
