/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/aoti/model.h"

#include <dlfcn.h>
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
    if (strcmp(device, "cpu") != 0)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled for device '%s', only 'cpu' can be run by this build", device);
    return STOA_OK;
}

/* The first target of the package that runs here; they are in order of preference. */
static stoa_status choose_target(aoti_model *model, stoa_error *err)
{
    const json_t *targets = json_object_get(model->package.manifest, "targets");
    const size_t count = json_array_size(targets);
    const char *missing = NULL;
    STOA_TRY(check_machine(&model->package, err));
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
    return STOA_FAIL(err, STOA_ENOTSUP, "package: %zu targets, the last for processors with '%s', this one has none; export with another isa", count,
                     missing);
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
    if (linked) STOA_TRY(stoai_aoti_libtorch(stoai_package_text(&model->package, "torch", "0"), &model->host, err));
    STOA_TRY(stoai_image_bind(image->data, image->bytes, linked ? resolve_beside_libtorch : resolve_alone, NULL, err));
    const char *open_import = linked ? NULL : stoai_image_open_import(image->data, image->bytes, ours);
    if (open_import)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: its library needs '%s', which is not served without libtorch; export with libtorch=True",
                         open_import);
    STOA_TRY(stoai_image_load(image->data, image->bytes, &model->library, err));
    return find_functions(model, err);
}

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

static const json_t *find_weight(const json_t *table, const char *name)
{
    for (size_t i = 0; i < json_array_size(table); i++) {
        const json_t *entry = json_array_get(table, i);
        const char *has = json_string_value(json_object_get(entry, "name"));
        if (has && strcmp(has, name) == 0) return entry;
    }
    return NULL;
}

static stoa_status make_weight(const aoti_model *model, const json_t *entry, const char *name, aoti_tensor *tensor, stoa_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const int32_t type = stoai_shim_type(dtype ? stoa_dtype_from_name(dtype) : STOA_DTYPE_NONE);
    const uint64_t offset = (uint64_t)json_integer_value(json_object_get(entry, "offset"));
    const int64_t dim = (int64_t)json_array_size(shape);
    int64_t sizes[SHIM_RANK_MAX], strides[SHIM_RANK_MAX];
    uint64_t count = 1;
    if (type < 0 || dim > SHIM_RANK_MAX)
        return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' has dtype '%s' and %lld extents", name, dtype ? dtype : "none", (long long)dim);
    for (int64_t i = dim; i-- > 0;) {
        sizes[i] = json_integer_value(json_array_get(shape, (size_t)i));
        strides[i] = (int64_t)count;
        if (sizes[i] < 0 || (sizes[i] > 0 && count > model->weights.bytes / (uint64_t)sizes[i])) count = UINT64_MAX / 16;
        else count *= (uint64_t)sizes[i];
    }
    const uint64_t bytes = count * stoai_shim_type_bytes(type);
    if (offset > model->weights.bytes || bytes > model->weights.bytes - offset)
        return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' lies at %llu to %llu of %zu bytes", name, (unsigned long long)offset,
                         (unsigned long long)(offset + bytes), model->weights.bytes);
    if (model->host.from_blob((char *)model->weights.data + offset, dim, sizes, strides, 0, type, 0, -1, tensor))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: no tensor can be made of weight '%s'", name);
    return STOA_OK;
}

static stoa_status load_weights(aoti_model *model, aoti_container container, stoa_error *err)
{
    const json_t *table = json_object_get(model->package.manifest, "constants");
    size_t count = 0;
    if (model->functions.ContainerGetNumConstants(container, &count)) return STOA_FAIL(err, STOA_ERUNTIME, "package: its weights cannot be counted");
    model->constants = stoa_calloc(count + 1, sizeof *model->constants);
    if (!model->constants) return STOA_FAIL(err, STOA_ENOMEM, "package: %zu weights", count);
    model->constant_count = count;
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL, *full = NULL;
        if (model->functions.ContainerGetConstantName(container, i, &name) || model->functions.ContainerGetConstantOriginalFQN(container, i, &full))
            return STOA_FAIL(err, STOA_ERUNTIME, "package: weight %zu has no name", i);
        const json_t *entry = find_weight(table, full);
        if (!entry) return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' is not among the %zu of its manifest", full, json_array_size(table));
        STOA_TRY(make_weight(model, entry, full, &model->constants[i].tensor, err));
        const size_t bytes = strlen(name) + 1;
        char *copy = stoa_alloc(bytes, 1); /* the name is the container's */
        if (!copy) return STOA_FAIL(err, STOA_ENOMEM, "package: %zu bytes", bytes);
        model->constants[i].name = memcpy(copy, name, bytes);
    }
    return STOA_OK;
}

/* ---- containers -------------------------------------------------------------------------------------------------------- */

stoa_status stoai_aoti_container(const aoti_model *model, aoti_container *container, stoa_error *err)
{
    *container = NULL;
    if (model->functions.ContainerCreateWithDevice(container, 1, "cpu", NULL))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: the model cannot be made");
    if (!model->constants || !model->functions.ContainerUpdateUserManagedConstantBufferPairs(*container, model->constants, model->constant_count,
                                                                                              false, true))
        return STOA_OK;
    model->functions.ContainerDelete(*container);
    *container = NULL;
    return STOA_FAIL(err, STOA_ERUNTIME, "package: the model does not take its %zu weights", model->constant_count);
}

/* A wrong count inside a run would end the process: it is compared here, once. */
static stoa_status check_counts(const aoti_model *model, aoti_container container, stoa_error *err)
{
    size_t inputs = 0, outputs = 0;
    if (model->functions.ContainerGetNumInputs(container, &inputs) || model->functions.ContainerGetNumOutputs(container, &outputs))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: the model's arguments cannot be counted");
    if (inputs != model->argument_count || outputs != 1)
        return STOA_FAIL(err, STOA_EFORMAT, "package: its library takes %zu arguments and gives %zu results, its manifest says %u and 1", inputs,
                         outputs, model->argument_count);
    return STOA_OK;
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
        return STOA_FAIL(err, STOA_ENOTSUP, "package: no stoa.json in its %zu bytes: it was not written by stoa.export, the strides of its "
                                            "example are baked in, and others would give wrong numbers without a word", archive->bytes);
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
    aoti_container container = NULL;
    STOA_TRY(read_manifest(model, archive, err));
    STOA_TRY(choose_target(model, err));
    count_arguments(model);
    STOA_TRY(stoai_archive_read(archive, "/extra/", "/stoa.weights", "weights", &model->weights, err));
    STOA_TRY(read_library(model, archive, err));
    STOA_TRY(stoai_aoti_container(model, &container, err));
    stoa_status status = check_counts(model, container, err);
    if (status == STOA_OK) status = load_weights(model, container, err);
    model->functions.ContainerDelete(container);
    return status;
}

stoa_status stoai_aoti_model_load(const void *data, size_t bytes, aoti_model **result, stoa_error *err)
{
    aoti_archive archive;
    *result = NULL;
    STOA_TRY(stoai_archive_open(data, bytes, &archive, err));
    aoti_model *model = stoa_calloc(1, sizeof *model);
    const stoa_status status = model ? fill(model, &archive, err) : STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    stoai_archive_close(&archive);
    if (status == STOA_OK) *result = model;
    else stoai_aoti_model_unload(model);
    return status;
}

void stoai_aoti_model_unload(aoti_model *model)
{
    if (!model) return;
    for (size_t i = 0; i < model->constant_count; i++) {
        if (model->constants[i].tensor) model->host.delete_tensor(model->constants[i].tensor);
        if (model->constants[i].name) stoa_free((void *)(uintptr_t)model->constants[i].name, strlen(model->constants[i].name) + 1);
    }
    if (model->constants) stoa_free(model->constants, (model->constant_count + 1) * sizeof *model->constants);
    if (model->library) dlclose(model->library);
    stoa_free(model->weights.data, model->weights.bytes);
    stoai_package_deinit(&model->package);
    stoa_free(model, sizeof *model);
}

/* ---- a call ------------------------------------------------------------------------------------------------------------ */

static uint32_t rows_of(const stoa_tensor_schema *tensor, const uint32_t *rows)
{
    return tensor->axis == STOA_AXIS_ONE ? 1 : rows[tensor->axis];
}

static void *row_address(const stoa_tensor_schema *tensor, const stoa_bound *value, uint32_t first)
{
    static char nothing[64]; /* of tensors without rows: libtorch takes NULL for "allocate" */
    const size_t skip = tensor->axis == STOA_AXIS_ONE ? 0 : first * stoa_dtype_bytes((stoa_dtype)value->dtype);
    return value->data ? (char *)value->data + skip : nothing;
}

static int32_t input_tensor(const aoti_model *model, const stoa_tensor_schema *tensor, const stoa_bound *values, uint32_t first,
                            const uint32_t *rows, aoti_tensor *result)
{
    int64_t sizes[SHIM_RANK_MAX], strides[SHIM_RANK_MAX], next = 1;
    const int64_t dim = tensor->rank + 1;
    stoai_package_memory_shape(tensor, sizes);
    sizes[tensor->rank] = stoai_package_pitch(tensor, values, rows_of(tensor, rows));
    for (int64_t i = dim; i-- > 0; next *= sizes[i]) strides[i] = next;
    return model->host.from_blob(row_address(tensor, values, first), dim, sizes, strides, 0, stoai_shim_type(tensor->dtype), 0, -1, result);
}

static int32_t make_arguments(const aoti_model *model, aoti_tensor *arguments, const stoa_bound *inputs, const stoa_bound *outputs,
                              uint32_t first, const uint32_t *rows)
{
    const stoa_schema *schema = &model->package.schema;
    const int64_t one = 1;
    int32_t failed = 0;
    for (uint32_t i = 0; i < schema->input_count; inputs += schema->inputs[i++].width)
        failed |= input_tensor(model, &schema->inputs[i], inputs, first, rows, arguments++);
    for (uint32_t axis = 0; axis < schema->axis_count; axis++) {
        static char nothing[64];
        const int64_t n = rows[axis];
        if (model->package.carriers[axis] == PACKAGE_CARRIER_EXTRA)
            failed |= model->host.from_blob(nothing, 1, &n, &one, 0, 0, 0, -1, arguments++);
    }
    for (uint32_t i = 0; i < schema->output_count; i++) {
        const stoa_tensor_schema *tensor = &schema->outputs[i];
        const int64_t n = rows_of(tensor, rows);
        for (uint32_t k = 0; k < tensor->width; k++, outputs++)
            failed |= model->host.from_blob(row_address(tensor, outputs, first), 1, &n, &one, 0, stoai_shim_type(tensor->dtype), 0, -1, arguments++);
    }
    return failed;
}

stoa_status stoai_aoti_call(const aoti_model *model, aoti_container container, shim_context *context, aoti_tensor *arguments,
                            const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    aoti_tensor result = NULL;
    context->message[0] = 0;
    memset(arguments, 0, model->argument_count * sizeof *arguments);
    int32_t failed = make_arguments(model, arguments, inputs, outputs, first, rows);
    if (!failed)
        failed = model->functions.ContainerRunSingleThreaded(container, arguments, model->argument_count, &result, 1, NULL, NULL);
    /* What the model took is NULL now. */
    for (uint32_t i = 0; i < model->argument_count; i++)
        if (arguments[i]) model->host.delete_tensor(arguments[i]);
    if (result) model->host.delete_tensor(result);
    if (!failed) return STOA_OK;
    return STOA_FAIL(err, STOA_ERUNTIME, "package '%s': %s", stoai_package_text(&model->package, "name", ""),
                     context->message[0] ? context->message : "the model failed without a message");
}
