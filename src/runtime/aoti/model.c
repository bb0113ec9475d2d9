/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/aoti/model.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "runtime/aoti/image.h"
#include "stoa/memory.h"

/* ---- is it for this machine? ----------------------------------------------------------------------------------------- */

/* Whether the processor's flags, as Linux lists them, hold a word. */
static bool has_flag(const char *flags, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(flags, word); at; at = strstr(at + 1, word))
        if (at > flags && at[-1] == ' ' && (at[length] == ' ' || at[length] == '\n' || !at[length])) return true;
    return false;
}

/* The flags of this machine's processor, from Linux's list; NULL when it has none. The caller frees it. */
static char *processor_flags(void)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *info = fopen("/proc/cpuinfo", "re");
    bool found = false;
    while (info && !found && getline(&line, &capacity, info) >= 0) found = strncmp(line, "flags", 5) == 0;
    if (info) fclose(info);
    if (found) return line;
    free(line);
    return NULL;
}

/* The first of a target's flags that the processor lacks, NULL: it runs here, or Linux does not tell. */
static const char *missing_flag(const json_t *target, const char *flags)
{
    const json_t *needed = json_object_get(target, "cpu_features");
    for (size_t i = 0; flags && i < json_array_size(needed); i++) {
        const char *flag = json_string_value(json_array_get(needed, i));
        if (flag && !has_flag(flags, flag)) return flag;
    }
    return NULL;
}

static stoa_status check_machine(const stoai_package *package, stoa_error *err)
{
    struct utsname system;
    const char *machine = stoai_package_text(package, "machine", ""), *device = stoai_package_text(package, "device", "");
    if (uname(&system) == 0 && strcmp(machine, system.machine) != 0)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled for machine '%s', this is '%s'", machine, system.machine);
    if (strcmp(device, "cpu") != 0 && strcmp(device, "cuda") != 0)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled for device '%s', 'cpu' and 'cuda' can be run", device);
    return STOA_OK;
}

/* The first target of the package that runs here; they are in order of preference. */
static stoa_status choose_target(aoti_model *model, stoa_error *err)
{
    const json_t *targets = json_object_get(model->package.manifest, "targets");
    const size_t count = json_array_size(targets);
    const char *missing = NULL;
    STOA_TRY(check_machine(&model->package, err));
    model->device_type = strcmp(stoai_package_text(&model->package, "device", "cpu"), "cuda") == 0 ? SHIM_CUDA : SHIM_CPU;
    if (!count) return STOA_FAIL(err, STOA_EFORMAT, "package: its manifest names 0 targets, at least 1 needed");
    char *flags = processor_flags();
    for (size_t i = 0; i < count && !model->target; i++) {
        missing = missing_flag(json_array_get(targets, i), flags);
        if (missing) continue;
        model->target = json_string_value(json_object_get(json_array_get(targets, i), "name"));
        if (!model->target) break;
    }
    free(flags);
    if (model->target) return STOA_OK;
    if (!missing) return STOA_FAIL(err, STOA_EFORMAT, "package: one of its %zu targets has no name", count);
    return STOA_FAIL(err, STOA_ENOTSUP,
                     "package: %zu targets, the last for processors with '%s', this one has none; export with another isa", count, missing);
}

/* ---- code -------------------------------------------------------------------------------------------------------------- */

static void *resolve_alone(void *user, const char *name)
{
    (void)user;
    void *found = stoai_shim_find_guard(name);
    return found ? found : stoai_shim_find(name);
}

static void *resolve_beside_libtorch(void *user, const char *name)
{
    (void)user;
    return strcmp(name, "aoti_torch_empty_strided") == 0 ? stoai_aoti_libtorch_empty() : stoai_shim_find_guard(name);
}

static stoa_status find_functions(aoti_model *model, stoa_error *err)
{
    static const struct {
        const char *name;
        size_t offset;
        int needed;
    } slots[] = {
#define SLOT(name, parameters, needed) {"AOTInductorModel" #name, offsetof(aoti_functions, name), needed},
        AOTI_MODEL_MAP(SLOT)
#undef SLOT
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        void *address = dlsym(model->library, slots[i].name);
        memcpy((char *)&model->functions + slots[i].offset, &address, sizeof address);
        if (!address && slots[i].needed)
            return STOA_FAIL(err, STOA_ENOTSUP, "package: its library has no %s: compiled by another PyTorch (%s)", slots[i].name,
                             stoai_package_text(&model->package, "torch", "unknown"));
    }
    if (!model->functions.ContainerRunSingleThreaded) model->functions.ContainerRunSingleThreaded = model->functions.ContainerRun;
    return STOA_OK;
}

static stoa_status load_code(aoti_model *model, aoti_member *image, stoa_error *err)
{
    static const char *const ours[] = {"aoti_", "Sleef_", "torch_", "_ZN2at", "_ZN3c10", NULL};
    const bool linked = stoai_package_flag(&model->package, "link_libtorch");
    model->host = (aoti_host){stoai_shim_from_blob, stoai_shim_delete, NULL, NULL};
    if (linked) STOA_TRY(stoai_aoti_libtorch(stoai_package_text(&model->package, "torch", "0"), model->device_type, &model->host, err));
    STOA_TRY(stoai_image_bind(image->data, image->bytes, linked ? resolve_beside_libtorch : resolve_alone, NULL, err));
    const char *open_import = linked ? NULL : stoai_image_open_import(image->data, image->bytes, ours);
    if (open_import)
        return STOA_FAIL(err, STOA_ENOTSUP,
                         "package: its library needs '%s', which is not served without libtorch; export with libtorch=True", open_import);
    STOA_TRY(stoai_image_load(image->data, image->bytes, &model->library, err));
    return find_functions(model, err);
}

/* ---- containers -------------------------------------------------------------------------------------------------------- */

/* A wrong count inside a run would end the process: it is compared here, once. */
static stoa_status check_counts(const aoti_model *model, aoti_container container, stoa_error *err)
{
    size_t inputs = 0, outputs = 0;
    if (model->functions.ContainerGetNumInputs(container, &inputs) || model->functions.ContainerGetNumOutputs(container, &outputs))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: the model's arguments cannot be counted");
    if (inputs != model->argument_count || outputs != 1)
        return STOA_FAIL(err, STOA_EFORMAT, "package: its library takes %zu arguments and gives %zu results, its manifest says %u and 1",
                         inputs, outputs, model->argument_count);
    return STOA_OK;
}

stoa_status stoai_aoti_container(const aoti_model *model, const shim_context *context, aoti_container *container, stoa_error *err)
{
    char device[16] = "cpu";
    if (context && context->device_type == SHIM_CUDA) snprintf(device, sizeof device, "cuda:%d", (int)context->device_index);
    *container = NULL;
    if (model->functions.ContainerCreateWithDevice(container, 1, device, NULL))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: the model cannot be made on '%s'", device);
    const stoa_status status = check_counts(model, *container, err);
    if (status == STOA_OK) return STOA_OK;
    model->functions.ContainerDelete(*container);
    *container = NULL;
    return status;
}

static void count_arguments(aoti_model *model)
{
    const stoa_schema *schema = &model->package.schema;
    model->input_values = stoai_package_values(schema->inputs, schema->input_count);
    model->output_values = stoai_package_values(schema->outputs, schema->output_count);
    model->argument_count = schema->input_count + model->output_values;
    for (uint32_t i = 0; i < schema->axis_count; i++) model->argument_count += model->package.carriers[i] == PACKAGE_CARRIER_EXTRA;
}

static stoa_status read_manifest(aoti_model *model, const aoti_archive *archive, stoa_error *err)
{
    aoti_member text;
    STOA_TRY(stoai_archive_read(archive, "/extra/", "/stoa.json", "manifest", &text, err));
    if (!text.data)
        return STOA_FAIL(err, STOA_ENOTSUP,
                         "package: no stoa.json in its %zu bytes: it was not written by stoa.export, the strides of its "
                         "example are baked in, and others would give wrong numbers without a word",
                         archive->bytes);
    const stoa_status status = stoai_package_read(text.data, text.bytes, &model->package, err);
    stoa_free(text.data, text.bytes);
    return status;
}

static stoa_status read_library(aoti_model *model, const aoti_archive *archive, stoa_error *err)
{
    char folder[256];
    aoti_member image;
    snprintf(folder, sizeof folder, "/data/aotinductor/%s/", model->target);
    STOA_TRY(stoai_archive_read(archive, folder, ".so", "library", &image, err));
    if (!image.data) return STOA_FAIL(err, STOA_EFORMAT, "package: no library for its target '%s'", model->target);
    const stoa_status status = load_code(model, &image, err);
    stoa_free(image.data, image.bytes);
    return status;
}

static stoa_status fill(aoti_model *model, const aoti_archive *archive, stoa_error *err)
{
    STOA_TRY(read_manifest(model, archive, err));
    STOA_TRY(choose_target(model, err));
    count_arguments(model);
    STOA_TRY(stoai_archive_read(archive, "/extra/", "/stoa.weights", "weights", &model->blob, err));
    return read_library(model, archive, err);
}

stoa_status stoai_aoti_model_load(const void *data, size_t bytes, aoti_model **result, stoa_error *err)
{
    aoti_archive archive;
    *result = NULL;
    STOA_TRY(stoai_archive_open(data, bytes, &archive, err));
    aoti_model *model = stoa_calloc(1, sizeof *model);
    if (model) pthread_mutex_init(&model->lock, NULL);
    const stoa_status status = model ? fill(model, &archive, err) : STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    stoai_archive_close(&archive);
    if (status == STOA_OK) *result = model;
    else stoai_aoti_model_unload(model);
    return status;
}

void stoai_aoti_model_unload(aoti_model *model)
{
    if (!model) return;
    stoai_aoti_weights_unload(model);
    if (model->library) dlclose(model->library); /* a model's code, no plugin: nothing of it outlives the model and its sessions */
    stoa_free(model->blob.data, model->blob.bytes);
    pthread_mutex_destroy(&model->lock);
    stoai_package_deinit(&model->package);
    stoa_free(model, sizeof *model);
}

/* ---- a call ------------------------------------------------------------------------------------------------------------ */

static uint32_t rows_of(const stoa_tensor_schema *tensor, const uint32_t *rows)
{ return tensor->axis == STOA_AXIS_ONE ? 1 : rows[tensor->axis]; }

/* An address for tensors without rows: libtorch takes NULL for "allocate", and looks where an address of a GPU lies. */
static void *somewhere(const shim_context *context, const stoa_bound *inputs)
{
    static char nothing[64];
    return context->device_type == SHIM_CPU ? nothing : inputs->data;
}

static void *row_address(const stoa_tensor_schema *tensor, const stoa_bound *value, uint32_t first, void *nothing)
{
    const size_t skip = tensor->axis == STOA_AXIS_ONE ? 0 : first * stoa_dtype_bytes((stoa_dtype)value->dtype);
    return value->data ? (char *)value->data + skip : nothing;
}

static int32_t input_tensor(const aoti_model *model, const shim_context *on, const stoa_tensor_schema *tensor, const stoa_bound *values,
                            void *address, const uint32_t *rows, aoti_tensor *result)
{
    int64_t sizes[SHIM_RANK_MAX], strides[SHIM_RANK_MAX], next = 1;
    const int64_t dim = tensor->rank + 1;
    stoai_package_memory_shape(tensor, sizes);
    sizes[tensor->rank] = stoai_package_pitch(tensor, values, rows_of(tensor, rows));
    for (int64_t i = dim; i-- > 0; next *= sizes[i]) strides[i] = next;
    return model->host.from_blob(address, dim, sizes, strides, 0, stoai_shim_type(tensor->dtype), on->device_type, on->device_index,
                                 result);
}

static int32_t row_tensor(const aoti_model *model, const shim_context *on, void *address, int64_t n, int32_t type, aoti_tensor *result)
{
    const int64_t one = 1;
    return model->host.from_blob(address, 1, &n, &one, 0, type, on->device_type, on->device_index, result);
}

static int32_t make_arguments(const aoti_model *model, const shim_context *on, aoti_tensor *arguments, const stoa_bound *inputs,
                              const stoa_bound *outputs, uint32_t first, const uint32_t *rows)
{
    const stoa_schema *schema = &model->package.schema;
    void *nothing = somewhere(on, inputs);
    int32_t failed = 0;
    for (uint32_t i = 0; i < schema->input_count; inputs += schema->inputs[i++].width)
        failed |=
            input_tensor(model, on, &schema->inputs[i], inputs, row_address(&schema->inputs[i], inputs, first, nothing), rows, arguments++);
    for (uint32_t axis = 0; axis < schema->axis_count; axis++)
        if (model->package.carriers[axis] == PACKAGE_CARRIER_EXTRA) failed |= row_tensor(model, on, nothing, rows[axis], 0, arguments++);
    for (uint32_t i = 0; i < schema->output_count; i++) {
        const stoa_tensor_schema *tensor = &schema->outputs[i];
        for (uint32_t k = 0; k < tensor->width; k++, outputs++)
            failed |= row_tensor(model, on, row_address(tensor, outputs, first, nothing), rows_of(tensor, rows),
                                 stoai_shim_type(tensor->dtype), arguments++);
    }
    return failed;
}

/* Compiled code for a GPU copies what does not lie at 16 bytes, without a word: an output would be lost. */
static stoa_status check_alignment(const stoa_bound *values, const stoa_tensor_schema *tensors, uint32_t count, uint32_t first,
                                   stoa_error *err)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < tensors[i].width; k++, values++) {
            const uintptr_t address = (uintptr_t)row_address(&tensors[i], values, first, NULL);
            if (address % SHIM_CUDA_ALIGN)
                return STOA_FAIL(
                    err, STOA_EALIGN,
                    "tensor '%s': value %u begins at an address %u bytes beyond a multiple of %d, which the compiled code needs",
                    tensors[i].name, k, (unsigned)(address % SHIM_CUDA_ALIGN), SHIM_CUDA_ALIGN);
        }
    return STOA_OK;
}

static bool has_rows(const aoti_model *model, const uint32_t *rows)
{
    for (uint32_t axis = 0; axis < model->package.schema.axis_count; axis++)
        if (rows[axis]) return true;
    return model->package.schema.axis_count == 0;
}

stoa_status stoai_aoti_call(const aoti_model *model, aoti_container container, shim_context *context, aoti_tensor *arguments,
                            const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    const stoa_schema *schema = &model->package.schema;
    void *stream = NULL;
    aoti_tensor result = NULL;
    if (context->queue) {
        if (!has_rows(model, rows)) return STOA_OK;
        STOA_TRY(check_alignment(inputs, schema->inputs, schema->input_count, first, err));
        STOA_TRY(check_alignment(outputs, schema->outputs, schema->output_count, first, err));
        stream = stoa_queue_native(context->queue);
    }
    context->message[0] = 0;
    context->out_of_memory = false;
    memset(arguments, 0, model->argument_count * sizeof *arguments);
    int32_t failed = make_arguments(model, context, arguments, inputs, outputs, first, rows);
    if (!failed)
        failed = model->functions.ContainerRunSingleThreaded(container, arguments, model->argument_count, &result, 1, stream, NULL);
    /* What the model took is NULL now. */
    for (uint32_t i = 0; i < model->argument_count; i++)
        if (arguments[i]) model->host.delete_tensor(arguments[i]);
    if (result) model->host.delete_tensor(result);
    if (!failed) return STOA_OK;
    return STOA_FAIL(err, context->out_of_memory ? STOA_ENOMEM : STOA_ERUNTIME, "package '%s': %s",
                     stoai_package_text(&model->package, "name", ""),
                     context->message[0] ? context->message : "the model failed without a message");
}
