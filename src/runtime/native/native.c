/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/native.h"

#include <stdio.h>

#include "runtime/native/emit_c.h"
#include "runtime/native/fragments.h"
#include "runtime/native/lower.h"
#include "runtime/native/native_device.h"
#include "stoa/memory.h"

#define LINE_BYTES 64u

typedef struct native_model {
    graph_arena arena;              /* holds everything below, names and weights included */
    const native_kernels *kernels;
    native_plan plan;
    stoa_schema schema;
    stoa_capabilities capabilities;
    stoa_precision precision;       /* of matrix products on CUDA */
    native_copies copies;           /* on other devices than the host */
} native_model;

typedef struct native_instance {
    const native_model *model;
    bool on_device;                 /* another than the host */
    const native_program *sole;     /* on the host: the only program, which asks for no row by its number; NULL: any other plan */
    native_call call;               /* of the last run; its `first` is the row of the columns that the first one of `kept` is for */
    native_device device;
    stoa_bound kept[]; /* [kept_count] columns between programs, in the workspace behind the tile */
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
    .precisions = 1u << STOA_PRECISION_TFLOAT32 | 1u << STOA_PRECISION_BFLOAT16 | 1u << STOA_PRECISION_FLOAT16,
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
    pthread_mutex_destroy(&model->copies.lock);
    stoai_arena_release(&model->arena);
    stoa_free(model, sizeof *model);
}

/* What an option asks of other files is not passed over in silence. */
static stoa_status check_options(const stoa_model_options *options, stoa_error *err)
{
    if (options && options->signature)
        return STOA_FAIL(err, STOA_EINVAL, "model: an ONNX file says what it takes and gives, and the signature '%.200s' is given",
                         options->signature);
    if (options && options->self_check)
        return STOA_FAIL(err, STOA_ENOTSUP, "self-check: the native engine reads no test vectors; runtime 'onnxruntime' does");
    return STOA_OK;
}

static stoa_status load(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    const native_kernels *kernels = NULL;
    onnx_model onnx;
    *handle = NULL;
    STOA_TRY(check_options(options, err));
    STOA_TRY(stoai_native_choose(options ? options->isa : NULL, &kernels, err));
    native_model *model = stoa_calloc(1, sizeof *model);
    if (!model) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    graph_arena scratch = {NULL, 0};
    model->kernels = kernels;
    pthread_mutex_init(&model->copies.lock, NULL);
    stoa_status status = stoai_onnx_read(data, bytes, &scratch, &onnx, err);
    if (status == STOA_OK) status = stoai_lower(&onnx, bytes, kernels, &scratch, &model->arena, &model->plan, &model->schema, err);
    stoai_arena_release(&scratch);
    model->precision = options ? (stoa_precision)options->precision : STOA_PRECISION_FLOAT32;
    if (status == STOA_OK) status = stoai_native_fragments(&model->plan, model->precision, &model->arena, err);
    model->capabilities = native_capabilities;
    model->capabilities.row_independent = !model->plan.crosses_rows;
    if (status == STOA_OK) *handle = model;
    else unload(model);
    return status;
}

static const stoa_schema *schema(const void *handle) { return &((const native_model *)handle)->schema; }

static const stoa_capabilities *capabilities(const void *handle) { return &((const native_model *)handle)->capabilities; }

/* Several programs are told apart by a line with the axis of each. */
static const char *plan_step(const void *handle, uint32_t index)
{
    const native_model *model = handle;
    const native_plan *plan = &model->plan;
    for (uint32_t i = 0; i < plan->program_count; i++) {
        const native_program *program = &plan->programs[i];
        if (plan->program_count > 1 && index-- == 0) return model->schema.axes[program->axis];
        if (index < program->step_count) return program->steps[index].text;
        index -= program->step_count;
    }
    return NULL;
}

static stoa_status check_place(const native_model *model, stoa_place place, stoa_error *err)
{
    if (place.type == STOA_PLACE_CUDA) return STOA_OK;
    const bool known = place.type == STOA_PLACE_HOST || place.type == STOA_PLACE_ROCM;
    if (known && model->precision != STOA_PRECISION_FLOAT32)
        return STOA_FAIL(
            err, STOA_ENOTSUP, "runtime 'native': the model was loaded with precision %u for CUDA, %s computes in %u (float32)",
            (unsigned)model->precision, place.type == STOA_PLACE_HOST ? "the host" : "a GPU of AMD", (unsigned)STOA_PRECISION_FLOAT32);
    if (known) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'native': no code for devices of type %d", (int)place.type);
}

/* Lays the kept columns out behind the tiles; with `kept` NULL it only measures.
 * An odd number of cache lines each: columns a power of two apart would share a few places of the cache. */
static size_t place_kept(const native_plan *plan, stoa_place place, const uint32_t *max_rows, char *memory, stoa_bound *kept)
{
    static const stoa_dtype dtypes[] = {
        [NATIVE_F32] = STOA_FLOAT32, [NATIVE_F64] = STOA_FLOAT64, [NATIVE_I32] = STOA_INT32, [NATIVE_I64] = STOA_INT64};
    const size_t tiles = place.type == STOA_PLACE_HOST ? stoai_native_workspace_bytes(plan) /* one serves any number of rows */
                                                       : stoai_native_device_tile_bytes(plan, place, max_rows);
    size_t used = (tiles + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    for (uint32_t i = 0; i < plan->kept_count; i++) {
        const native_kept *column = &plan->kept[i];
        const size_t lines = max_rows[column->axis] * stoa_dtype_bytes(dtypes[column->type]) / LINE_BYTES + 1;
        if (kept) kept[i] = (stoa_bound){memory + used, 1, dtypes[column->type], 0};
        if (column->memory == i) used += (lines | 1u) * LINE_BYTES;
    }
    for (uint32_t i = 0; kept && i < plan->kept_count; i++) kept[i].data = kept[plan->kept[i].memory].data;
    return used;
}

static stoa_status workspace(const void *handle, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err)
{
    STOA_TRY(check_place(handle, place, err));
    *bytes = place_kept(&((const native_model *)handle)->plan, place, max_rows, NULL, NULL);
    return STOA_OK;
}

static size_t instance_bytes(const native_model *model) { return sizeof(native_instance) + model->plan.kept_count * sizeof(stoa_bound); }

static stoa_status open_on_device(native_instance *instance, native_model *model, stoa_queue *queue, stoa_error *err)
{
    const stoa_schema *s = &model->schema;
    native_device *device = &instance->device;
    for (uint32_t i = 0; i < s->input_count; i++) device->values[NATIVE_INPUTS] += s->inputs[i].width;
    for (uint32_t i = 0; i < s->output_count; i++) device->values[NATIVE_OUTPUTS] += s->outputs[i].width;
    device->values[NATIVE_KEPT] = model->plan.kept_count;
    device->axis_count = s->axis_count;
    STOA_TRY(stoai_native_device_open(device, &model->copies, &model->arena, &model->plan, queue, err));
    instance->on_device = true;
    return STOA_OK;
}

static stoa_status open_instance(const void *handle, stoa_queue *queue, void *memory, size_t bytes, const uint32_t *max_rows, void **result,
                                 stoa_error *err)
{
    *result = NULL;
    native_model *model = (native_model *)(uintptr_t)handle; /* only its copies on devices change */
    const stoa_place place = stoa_device_place(stoa_queue_device(queue));
    const size_t needed = place_kept(&model->plan, place, max_rows, NULL, NULL), own = instance_bytes(model);
    if (bytes < needed) return STOA_FAIL(err, STOA_EINVAL, "workspace: %zu bytes given, %zu needed", bytes, needed);
    native_instance *instance = stoa_calloc(1, own);
    if (!instance) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes", own);
    instance->model = model;
    instance->call = (native_call){.bounds = {[NATIVE_KEPT] = instance->kept}, .workspace = memory};
    place_kept(&model->plan, place, max_rows, memory, instance->kept);
    const stoa_status status = place.type == STOA_PLACE_HOST ? STOA_OK : open_on_device(instance, model, queue, err);
    if (!instance->on_device && model->plan.program_count == 1 && !model->plan.crosses_rows) instance->sole = model->plan.programs;
    if (status == STOA_OK) *result = instance;
    else stoa_free(instance, own);
    return status;
}

static void close_instance(void *handle)
{
    native_instance *instance = handle;
    if (instance->on_device) stoai_native_device_close(&instance->device);
    stoa_free(instance, instance_bytes(instance->model));
}

/* A run of some rows keeps those alone, beginning at the start of its memory. */
static __attribute__((noinline)) void begin_kept_at(native_instance *instance, uint32_t first)
{
    const int64_t back = (int64_t)first - instance->call.first;
    for (uint32_t i = 0; i < instance->model->plan.kept_count; i++) {
        stoa_bound *column = &instance->kept[i];
        column->data = (void *)((uintptr_t)column->data - (uintptr_t)(back * (int64_t)stoa_dtype_bytes((stoa_dtype)column->dtype)));
    }
    instance->call.first = first;
}

static stoa_status fail_row(const native_model *model, int64_t row, uint32_t axis, uint32_t rows, stoa_error *err)
{
    return STOA_FAIL(err, STOA_ERUNTIME, "row %lld of axis '%s' is asked for, which has %u rows", (long long)row, model->schema.axes[axis],
                     rows);
}

static void prepare_call(native_instance *instance, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first,
                         const uint32_t *rows)
{
    native_call *call = &instance->call;
    if (first != call->first) begin_kept_at(instance, first);
    call->bounds[NATIVE_INPUTS] = inputs;
    call->bounds[NATIVE_OUTPUTS] = outputs;
    call->rows = rows;
}

/* Apart from `run`, whose usual way then saves no registers for it. */
static __attribute__((noinline)) stoa_status run_plan(native_instance *instance, stoa_error *err)
{
    native_call *call = &instance->call;
    const native_plan *plan = &instance->model->plan;
    if (instance->on_device) return stoai_native_device_run(&instance->device, call, NULL, err);
    call->failed = false;
    for (uint32_t i = 0; i < plan->program_count && !call->failed; i++) instance->model->kernels->run(&plan->programs[i], call);
    return call->failed ? fail_row(instance->model, call->bad_row, call->bad_axis, call->rows[call->bad_axis], err) : STOA_OK;
}

static stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err)
{
    native_instance *instance = handle;
    prepare_call(instance, inputs, outputs, first, rows);
    if (!instance->sole) return run_plan(instance, err);
    instance->model->kernels->run(instance->sole, &instance->call); /* nothing of it can fail */
    return STOA_OK;
}

static stoa_status run_counted(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, const uint32_t *const *counts,
                               const uint32_t *rows_max, stoa_error *err)
{
    native_instance *instance = handle;
    prepare_call(instance, inputs, outputs, 0, rows_max);
    return stoai_native_device_run(&instance->device, &instance->call, counts, err);
}

static stoa_status check(void *handle, stoa_error *err)
{
    const native_instance *instance = handle;
    native_bad_row found;
    if (!instance->on_device || !stoai_native_device_bad_row(&instance->device, &found)) return STOA_OK;
    return fail_row(instance->model, found.row, found.axis, found.rows, err);
}

static stoa_status emit_c(const void *handle, const char *name, stoa_text_sink sink, void *user, stoa_error *err)
{
    const native_model *model = handle;
    return stoai_native_emit_c(&model->plan, &model->schema, name, sink, user, err);
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
    .run_counted = run_counted,
    .emit_c = emit_c,
    .check = check,
};
