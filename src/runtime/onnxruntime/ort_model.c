/* SPDX-License-Identifier: Apache-2.0 */
/* A session of ONNX Runtime and its schema. Axis 0 of a tensor is its row axis, named by the file; the others have fixed sizes. */
#include <stdio.h>

#include "runtime/onnxruntime/ort.h"
#include "stoa/memory.h"

#define TILE_ROWS 512u /* intermediates stay in the second-level cache */

/* Their types and ours. */
static const struct {
    int type;
    stoa_dtype dtype;
} types[] = {{ORT_FLOAT, STOA_FLOAT32}, {ORT_DOUBLE, STOA_FLOAT64}, {ORT_FLOAT16, STOA_FLOAT16}, {ORT_BFLOAT16, STOA_BFLOAT16},
             {ORT_INT8, STOA_INT8},     {ORT_INT16, STOA_INT16},    {ORT_INT32, STOA_INT32},     {ORT_INT64, STOA_INT64},
             {ORT_UINT8, STOA_UINT8},   {ORT_UINT16, STOA_UINT16},  {ORT_UINT32, STOA_UINT32},   {ORT_UINT64, STOA_UINT64},
             {ORT_BOOL, STOA_BOOL}};

static stoa_dtype dtype_of(int type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type) return types[i].dtype;
    return STOA_DTYPE_NONE;
}

/* ---- session ----------------------------------------------------------------------------------------------------------- */

ort_status *stoai_ort_session_options(const ort_api *api, ort_options *options)
{
    ort_status *status = api->SetIntraOpNumThreads(options, 1); /* with these two no pool is made */
    if (!status) status = api->SetInterOpNumThreads(options, 1);
    if (!status) status = api->SetSessionExecutionMode(options, ORT_SEQUENTIAL);
    if (!status) status = api->SetSessionGraphOptimizationLevel(options, ORT_ALL_OPTIMIZATIONS);
    if (!status) status = api->DisableMemPattern(options); /* each run asks for the same blocks: what was planned is what is needed */
    if (!status) status = api->DisableCpuMemArena(options);
    if (!status) status = api->AddSessionConfigEntry(options, "session.use_env_allocators", "1");
    return status;
}

static stoa_status make_session(ort_model *model, const void *data, size_t bytes, stoa_error *err)
{
    const ort_library *library = model->library;
    ort_options *options = NULL;
    ort_status *status = library->api.CreateSessionOptions(&options);
    if (!status) status = stoai_ort_session_options(&library->api, options);
    if (!status) status = library->api.CreateSessionFromArray(library->env, data, bytes, options, &model->session);
    library->api.ReleaseSessionOptions(options);
    return stoai_ort_check(library, status, STOA_EFORMAT, "model", err);
}

/* The manifest of stoa.export, under "stoa" among the file's properties. */
static stoa_status read_manifest(ort_model *model, stoa_error *err)
{
    const ort_library *library = model->library;
    ort_allocator *allocator = (ort_allocator *)(uintptr_t)&library->host.allocator;
    ort_metadata *metadata = NULL;
    char *text = NULL;
    ort_status *failed = library->api.SessionGetModelMetadata(model->session, &metadata);
    if (!failed) failed = library->api.ModelMetadataLookupCustomMetadataMap(metadata, allocator, "stoa", &text);
    stoa_status status = stoai_ort_check(library, failed, STOA_EFORMAT, "model properties", err);
    if (status == STOA_OK && text) status = stoai_package_read(text, strlen(text), &model->package, err);
    stoai_ort_unblock(text);
    if (metadata) library->api.ReleaseModelMetadata(metadata);
    return status;
}

/* ---- schema ------------------------------------------------------------------------------------------------------------ */

static stoa_status read_shape(ort_model *model, uint32_t index, const ort_tensor_info *info, stoa_error *err)
{
    const ort_library *library = model->library;
    ort_tensor *tensor = &model->infos[index];
    stoa_tensor_schema *schema = &model->tensors[index];
    int64_t sizes[STOA_SHAPE_RANK_MAX + 1] = {1};
    const char *symbols[STOA_SHAPE_RANK_MAX + 1] = {""};
    size_t rank = 0;
    uint64_t width = 1;
    STOA_TRY(stoai_ort_check(library, library->api.GetDimensionsCount(info, &rank), STOA_EFORMAT, tensor->name, err));
    if (rank > STOA_SHAPE_RANK_MAX + 1)
        return STOA_FAIL(err, STOA_ENOTSUP, "tensor '%s': %zu dimensions, at most %d can be bound", tensor->name, rank,
                         STOA_SHAPE_RANK_MAX + 1);
    ort_status *failed = library->api.GetDimensions(info, sizes, rank);
    if (!failed) failed = library->api.GetSymbolicDimensions(info, symbols, rank);
    STOA_TRY(stoai_ort_check(library, failed, STOA_EFORMAT, tensor->name, err));
    for (size_t i = 1; i < rank; i++) {
        if (sizes[i] < 1 || (width *= (uint64_t)sizes[i]) > 1u << 20)
            return STOA_FAIL(err, STOA_ENOTSUP,
                             "tensor '%s': dimension %zu is %lld ('%s'); only dimension 0 may vary, a row has at most %u values",
                             tensor->name, i, (long long)sizes[i], symbols[i] ? symbols[i] : "", 1u << 20);
        schema->shape[i - 1] = (uint32_t)sizes[i];
    }
    if (rank && sizes[0] >= 0 && sizes[0] != 1)
        return STOA_FAIL(err, STOA_ENOTSUP, "tensor '%s': dimension 0 is %lld rows; a symbol, or 1 row, is needed", tensor->name,
                         (long long)sizes[0]);
    tensor->rank = (int)rank;
    schema->rank = rank ? (uint32_t)rank - 1 : 0;
    schema->width = (uint32_t)width;
    schema->rows_name = sizes[0] == 1 ? "1" : symbols[0] && *symbols[0] ? symbols[0] : "N";
    return STOA_OK;
}

static stoa_status read_tensor(ort_model *model, uint32_t index, uint32_t inputs, stoa_error *err)
{
    const ort_library *library = model->library;
    const ort_api *api = &library->api;
    ort_allocator *allocator = (ort_allocator *)(uintptr_t)&library->host.allocator;
    const bool is_input = index < inputs;
    const size_t number = is_input ? index : index - inputs;
    ort_tensor *tensor = &model->infos[index];
    stoa_tensor_schema *schema = &model->tensors[index];
    const ort_tensor_info *info = NULL;
    int kind = 0;
    ort_status *failed = is_input ? api->SessionGetInputName(model->session, number, allocator, &tensor->name)
                                  : api->SessionGetOutputName(model->session, number, allocator, &tensor->name);
    if (!failed)
        failed = is_input ? api->SessionGetInputTypeInfo(model->session, number, &tensor->info)
                          : api->SessionGetOutputTypeInfo(model->session, number, &tensor->info);
    if (!failed) failed = api->GetOnnxTypeFromTypeInfo(tensor->info, &kind);
    if (!failed) failed = api->CastTypeInfoToTensorInfo(tensor->info, &info);
    if (!failed && info) failed = api->GetTensorElementType(info, &tensor->type);
    STOA_TRY(stoai_ort_check(library, failed, STOA_EFORMAT, "model", err));
    schema->name = model->names[index] = tensor->name;
    schema->dtype = dtype_of(tensor->type);
    schema->dtype_mask = 1ull << schema->dtype;
    if (kind != ORT_TYPE_TENSOR || !info || schema->dtype == STOA_DTYPE_NONE)
        return STOA_FAIL(err, STOA_ENOTSUP, "tensor '%s': kind %d of element type %d cannot be bound to columns", tensor->name, kind,
                         tensor->type);
    return read_shape(model, index, info, err);
}

/* Inputs make the axes. An output whose rows have another name than all inputs has those of the only axis, if there is only one. */
static stoa_status find_axis(ort_model *model, uint32_t index, stoa_error *err)
{
    stoa_tensor_schema *tensor = &model->tensors[index];
    stoa_schema *schema = &model->schema;
    tensor->axis = STOA_AXIS_ONE;
    if (strcmp(tensor->rows_name, "1") == 0) return STOA_OK;
    for (tensor->axis = 0; tensor->axis < schema->axis_count; tensor->axis++)
        if (strcmp(model->axes[tensor->axis], tensor->rows_name) == 0) return STOA_OK;
    if (index >= schema->input_count) {
        if (schema->axis_count != 1)
            return STOA_FAIL(err, STOA_ENOTSUP, "output '%s': its rows '%s' are those of no input", tensor->name, tensor->rows_name);
        tensor->axis = 0;
        tensor->rows_name = model->axes[0];
        return STOA_OK;
    }
    if (schema->axis_count == PACKAGE_AXES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "model: row axis '%s' is one too many, %u can be had", tensor->rows_name, PACKAGE_AXES_MAX);
    model->axes[schema->axis_count++] = tensor->rows_name;
    return STOA_OK;
}

static stoa_status read_schema(ort_model *model, stoa_error *err)
{
    const ort_library *library = model->library;
    size_t inputs = 0, outputs = 0;
    ort_status *failed = library->api.SessionGetInputCount(model->session, &inputs);
    if (!failed) failed = library->api.SessionGetOutputCount(model->session, &outputs);
    STOA_TRY(stoai_ort_check(library, failed, STOA_EFORMAT, "model", err));
    model->count = (uint32_t)(inputs + outputs);
    model->tensors = stoa_calloc(model->count + 1u, sizeof *model->tensors);
    model->infos = stoa_calloc(model->count + 1u, sizeof *model->infos);
    model->names = stoa_calloc(model->count + 1u, sizeof *model->names);
    model->axes = stoa_calloc(PACKAGE_AXES_MAX, sizeof *model->axes);
    if (!model->tensors || !model->infos || !model->names || !model->axes)
        return STOA_FAIL(err, STOA_ENOMEM, "model: no memory for %u tensors", model->count);
    model->schema = (stoa_schema){.inputs = model->tensors,
                                  .outputs = model->tensors + inputs,
                                  .input_count = (uint32_t)inputs,
                                  .output_count = (uint32_t)outputs,
                                  .axes = model->axes};
    for (uint32_t i = 0; i < model->count; i++) {
        STOA_TRY(read_tensor(model, i, (uint32_t)inputs, err));
        STOA_TRY(find_axis(model, i, err));
    }
    model->schema.parameters = model->package.schema.parameters;
    model->schema.flop_per_row = model->package.schema.flop_per_row;
    return STOA_OK;
}

/* Whether rows depend on each other only who made the file knows: without a manifest they are taken to. */
static void describe(ort_model *model)
{
    const bool independent = model->package.row_independent && model->schema.axis_count == 1;
    model->capabilities = (stoa_capabilities){
        .struct_size = sizeof(stoa_capabilities),
        .inputs = STOA_RULE_ROW_MAJOR,
        .outputs = STOA_RULE_ROW_MAJOR,
        .outputs_in_place = 1,
        .const_inputs = 1,
        .row_independent = independent,
        .device_row_count = 1,
        .tile_rows = independent ? TILE_ROWS : 0,
        .thread_safe = 1,
        .precisions = model->file ? model->provider->precisions : 0,
    };
    snprintf(model->summary, sizeof model->summary, "one graph of ONNX Runtime %s, on the caller's thread%s%s", model->library->version,
             model->file ? ", on CUDA by " : "", model->file ? model->provider->name : "");
}

/* ---- load -------------------------------------------------------------------------------------------------------------- */

static stoa_status keep_file(ort_model *model, const void *data, size_t bytes, stoa_error *err)
{
    if (stoai_ort_need_provider(model->library, model->provider, NULL) != STOA_OK) return STOA_OK;
    model->file = stoa_alloc(bytes, 64);
    if (!model->file) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", bytes);
    model->file_bytes = bytes;
    memcpy(model->file, data, bytes);
    return STOA_OK;
}

static stoa_status fill(ort_model *model, const void *data, size_t bytes, stoa_error *err)
{
    STOA_TRY(stoai_ort_library(&model->library, err));
    STOA_TRY(make_session(model, data, bytes, err));
    STOA_TRY(keep_file(model, data, bytes, err));
    STOA_TRY(read_manifest(model, err));
    STOA_TRY(read_schema(model, err));
    describe(model);
    return STOA_OK;
}

stoa_status stoai_ort_model_load(const void *data, size_t bytes, const ort_provider *provider, ort_model **result, stoa_error *err)
{
    *result = NULL;
    ort_model *model = stoa_calloc(1, sizeof *model);
    if (!model) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    model->provider = provider;
    const stoa_status status = fill(model, data, bytes, err);
    if (status == STOA_OK) *result = model;
    else stoai_ort_model_unload(model);
    return status;
}

void stoai_ort_model_unload(ort_model *model)
{
    if (!model) return;
    for (uint32_t i = 0; model->infos && i < model->count; i++) {
        stoai_ort_unblock(model->infos[i].name);
        if (model->infos[i].info) model->library->api.ReleaseTypeInfo(model->infos[i].info);
    }
    if (model->session) model->library->api.ReleaseSession(model->session);
    stoa_free(model->file, model->file_bytes);
    stoai_package_deinit(&model->package);
    stoa_free(model->tensors, (model->count + 1u) * sizeof *model->tensors);
    stoa_free(model->infos, (model->count + 1u) * sizeof *model->infos);
    stoa_free(model->names, (model->count + 1u) * sizeof *model->names);
    stoa_free(model->axes, PACKAGE_AXES_MAX * sizeof *model->axes);
    stoa_free(model, sizeof *model);
}
