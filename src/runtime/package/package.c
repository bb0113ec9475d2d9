/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/package/package.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/memory.h"

#define MANIFEST_FORMAT 1
#define WIDTH_MAX (1u << 20)

/* ---- tensors, from either source --------------------------------------------------------------------------------------- */

static stoa_status reserve(stoai_package *package, size_t tensors, stoa_error *err)
{
    package->tensor_capacity = (uint32_t)tensors;
    package->tensors = stoa_calloc(tensors, sizeof *package->tensors);
    package->axes = stoa_calloc(PACKAGE_AXES_MAX, sizeof *package->axes);
    return package->tensors && package->axes ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "package: no memory for %zu tensors", tensors);
}

static stoa_status find_axis(stoai_package *package, const char *rows, uint32_t *axis, stoa_error *err)
{
    *axis = STOA_AXIS_ONE;
    if (strcmp(rows, "1") == 0) return STOA_OK;
    for (*axis = 0; *axis < package->schema.axis_count; (*axis)++)
        if (strcmp(package->axes[*axis], rows) == 0) return STOA_OK;
    if (*axis == PACKAGE_AXES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "package: axis '%s' is one too many, %u can be had", rows, PACKAGE_AXES_MAX);
    package->axes[package->schema.axis_count++] = rows;
    return STOA_OK;
}

/* Completes a tensor whose name, dtype, rank, shape and rows are set. */
static stoa_status finish_tensor(stoai_package *package, stoa_tensor_schema *tensor, stoa_error *err)
{
    uint64_t width = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        width *= tensor->shape[i];
        if (width == 0 || width > WIDTH_MAX)
            return STOA_FAIL(err, STOA_EFORMAT, "package: tensor '%s' has %llu values a row, 1 to %u can be had", tensor->name,
                             (unsigned long long)width, WIDTH_MAX);
    }
    for (const stoa_tensor_schema *other = package->tensors; other < tensor; other++)
        if (strcmp(other->name, tensor->name) == 0)
            return STOA_FAIL(err, STOA_EFORMAT, "package: two tensors are named '%s'", tensor->name);
    tensor->width = (uint32_t)width;
    tensor->dtype_mask = 1ull << tensor->dtype;
    return find_axis(package, tensor->rows_name, &tensor->axis, err);
}

static stoa_status finish(stoai_package *package, uint32_t inputs, uint32_t outputs, stoa_error *err)
{
    stoa_schema *schema = &package->schema;
    if (inputs == 0 || outputs == 0) return STOA_FAIL(err, STOA_EFORMAT, "package: %u inputs and %u outputs", inputs, outputs);
    schema->inputs = package->tensors;
    schema->outputs = package->tensors + inputs;
    schema->input_count = inputs;
    schema->output_count = outputs;
    schema->axes = package->axes;
    return STOA_OK;
}

/* ---- manifest ---------------------------------------------------------------------------------------------------------- */

static stoa_status read_tensor(stoai_package *package, const json_t *item, stoa_tensor_schema *tensor, stoa_error *err)
{
    const char *name = json_string_value(json_object_get(item, "name")), *dtype = json_string_value(json_object_get(item, "dtype"));
    const char *rows = json_string_value(json_object_get(item, "rows"));
    const json_t *shape = json_object_get(item, "shape");
    if (!name || !dtype || !rows || !json_is_array(shape))
        return STOA_FAIL(err, STOA_EFORMAT, "manifest: a tensor needs name, dtype, rows and shape ('%s')", name ? name : "no name");
    *tensor = (stoa_tensor_schema){.name = name, .rows_name = rows, .dtype = stoa_dtype_from_name(dtype)};
    if (tensor->dtype == STOA_DTYPE_NONE) return STOA_FAIL(err, STOA_EFORMAT, "manifest: tensor '%s' has dtype '%s'", name, dtype);
    if (json_array_size(shape) > STOA_SHAPE_RANK_MAX)
        return STOA_FAIL(err, STOA_EFORMAT, "manifest: tensor '%s' has %zu extents, at most %d can be had", name, json_array_size(shape),
                         STOA_SHAPE_RANK_MAX);
    tensor->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_int_t extent = json_integer_value(json_array_get(shape, i));
        if (extent < 1 || extent > WIDTH_MAX)
            return STOA_FAIL(err, STOA_EFORMAT, "manifest: tensor '%s' has extent %lld", name, (long long)extent);
        tensor->shape[i] = (uint32_t)extent;
    }
    tensor->column_major = json_is_true(json_object_get(item, "column_major"));
    return finish_tensor(package, tensor, err);
}

static stoa_status read_tensors(stoai_package *package, stoa_error *err)
{
    const json_t *inputs = json_object_get(package->manifest, "inputs"), *outputs = json_object_get(package->manifest, "outputs");
    const size_t in = json_array_size(inputs), out = json_array_size(outputs);
    if (in > 256 || out > 256) return STOA_FAIL(err, STOA_EFORMAT, "manifest: %zu inputs and %zu outputs, at most 256 can be had", in, out);
    STOA_TRY(reserve(package, in + out + 1, err));
    for (size_t i = 0; i < in + out; i++)
        STOA_TRY(read_tensor(package, i < in ? json_array_get(inputs, i) : json_array_get(outputs, i - in), &package->tensors[i], err));
    return finish(package, (uint32_t)in, (uint32_t)out, err);
}

static stoa_status read_carriers(stoai_package *package, stoa_error *err)
{
    const json_t *list = json_object_get(package->manifest, "row_carriers");
    const uint32_t values = stoai_package_values(package->schema.outputs, package->schema.output_count);
    if (json_array_size(list) != package->schema.axis_count)
        return STOA_FAIL(err, STOA_EFORMAT, "manifest: %zu row carriers, %u row axes", json_array_size(list), package->schema.axis_count);
    for (uint32_t i = 0; i < package->schema.axis_count; i++) {
        const json_t *item = json_array_get(list, i), *output = json_object_get(item, "output");
        const json_int_t index = json_integer_value(output);
        package->carriers[i] = PACKAGE_CARRIER_EXTRA;
        if (json_is_true(json_object_get(item, "extra"))) continue;
        if (!json_is_integer(output) || index < 0 || index >= values)
            return STOA_FAIL(err, STOA_EFORMAT, "manifest: row carrier %u is output column %lld, there are %u", i, (long long)index,
                             values);
        package->carriers[i] = (uint32_t)index;
    }
    return STOA_OK;
}

static stoa_status read_manifest(stoai_package *package, stoa_error *err)
{
    const json_int_t format = json_integer_value(json_object_get(package->manifest, "format"));
    if (format != MANIFEST_FORMAT)
        return STOA_FAIL(err, format > MANIFEST_FORMAT ? STOA_ENOTSUP : STOA_EFORMAT, "manifest: format %lld given, %d can be read",
                         (long long)format, MANIFEST_FORMAT);
    STOA_TRY(read_tensors(package, err));
    STOA_TRY(read_carriers(package, err));
    package->row_independent = stoai_package_flag(package, "row_independent") && package->schema.axis_count == 1;
    const json_int_t parameters = json_integer_value(json_object_get(package->manifest, "parameters"));
    const json_int_t flop = json_integer_value(json_object_get(package->manifest, "flop_per_row"));
    package->schema.parameters = parameters > 0 ? (uint64_t)parameters : 0;
    package->schema.flop_per_row = flop > 0 ? (uint64_t)flop : 0;
    return STOA_OK;
}

stoa_status stoai_package_read(const char *text, size_t bytes, stoai_package *package, stoa_error *err)
{
    json_error_t where;
    *package = (stoai_package){.manifest = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where)};
    if (!json_is_object(package->manifest)) {
        stoai_package_deinit(package);
        return STOA_FAIL(err, STOA_EFORMAT, "manifest: no JSON object: %s (line %d)", where.text, where.line);
    }
    const stoa_status status = read_manifest(package, err);
    if (status != STOA_OK) stoai_package_deinit(package);
    return status;
}

/* ---- signature --------------------------------------------------------------------------------------------------------- */

static size_t count_char(const char *text, char wanted)
{
    size_t count = 0;
    for (; *text; text++) count += *text == wanted;
    return count;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    for (size_t end = strlen(text); end && isspace((unsigned char)text[end - 1]); text[--end] = 0) {}
    return text;
}

/* "3x9x9" into extents; "" is a single value without an axis of its own. */
static bool parse_shape(const char *text, stoa_tensor_schema *tensor)
{
    while (*text) {
        char *end;
        const unsigned long extent = strtoul(text, &end, 10);
        if (end == text || extent < 1 || extent > WIDTH_MAX || tensor->rank == STOA_SHAPE_RANK_MAX || (*end && *end != 'x')) return false;
        tensor->shape[tensor->rank++] = (uint32_t)extent;
        text = *end ? end + 1 : end;
    }
    return true;
}

static stoa_status parse_tensor(stoai_package *package, char *text, stoa_tensor_schema *tensor, stoa_error *err)
{
    char *parts[4] = {text, "", "", "N"}, *rest = text;
    strsep(&rest, ":");
    for (int i = 1; i < 4 && rest; i++) parts[i] = strsep(&rest, ":");
    *tensor = (stoa_tensor_schema){.name = trim(parts[0]), .rows_name = trim(parts[3]), .dtype = stoa_dtype_from_name(trim(parts[1]))};
    if (!*tensor->name || rest || tensor->dtype == STOA_DTYPE_NONE || !*tensor->rows_name || !parse_shape(trim(parts[2]), tensor))
        return STOA_FAIL(err, STOA_EINVAL, "signature: '%s', type '%s', shape '%s': name:dtype:shape-of-a-row[:rows-name] needed", parts[0],
                         parts[1], parts[2]);
    return finish_tensor(package, tensor, err);
}

static stoa_status parse_side(stoai_package *package, char *side, uint32_t *count, stoa_error *err)
{
    for (char *rest = side, *item; (item = strsep(&rest, ",")) != NULL; (*count)++)
        STOA_TRY(parse_tensor(package, item, &package->tensors[*count], err));
    return STOA_OK;
}

static stoa_status parse_signature(stoai_package *package, stoa_error *err)
{
    char *arrow = strstr(package->names, "->");
    uint32_t inputs = 0, all = 0;
    if (!arrow) return STOA_FAIL(err, STOA_EINVAL, "signature '%s': inputs -> outputs needed", package->names);
    STOA_TRY(reserve(package, count_char(package->names, ',') + 2, err));
    *arrow = 0;
    STOA_TRY(parse_side(package, package->names, &inputs, err));
    all = inputs;
    STOA_TRY(parse_side(package, arrow + 2, &all, err));
    return finish(package, inputs, all - inputs, err);
}

stoa_status stoai_package_of_signature(const char *signature, stoai_package *package, stoa_error *err)
{
    *package = (stoai_package){.names_bytes = strlen(signature) + 1};
    package->names = stoa_alloc(package->names_bytes, 1);
    if (!package->names) return STOA_FAIL(err, STOA_ENOMEM, "signature: %zu bytes", package->names_bytes);
    memcpy(package->names, signature, package->names_bytes);
    const stoa_status status = parse_signature(package, err);
    if (status != STOA_OK) stoai_package_deinit(package);
    return status;
}

stoa_status stoai_package_need_no_signature(const stoa_model_options *options, stoa_error *err)
{
    if (!options || !options->signature) return STOA_OK;
    return STOA_FAIL(err, STOA_EINVAL, "model: the file says what it takes and gives, and the signature '%.200s' is given",
                     options->signature);
}

/* ---- both -------------------------------------------------------------------------------------------------------------- */

void stoai_package_deinit(stoai_package *package)
{
    json_decref(package->manifest);
    stoa_free(package->names, package->names_bytes);
    stoa_free(package->tensors, package->tensor_capacity * sizeof *package->tensors);
    stoa_free(package->axes, PACKAGE_AXES_MAX * sizeof *package->axes);
    *package = (stoai_package){.manifest = NULL};
}

const char *stoai_package_text(const stoai_package *package, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(package->manifest, key));
    return text ? text : otherwise;
}

bool stoai_package_flag(const stoai_package *package, const char *key) { return json_is_true(json_object_get(package->manifest, key)); }

uint32_t stoai_package_values(const stoa_tensor_schema *tensors, uint32_t count)
{
    uint32_t values = 0;
    for (uint32_t i = 0; i < count; i++) values += tensors[i].width;
    return values;
}

void stoai_package_memory_shape(const stoa_tensor_schema *schema, int64_t *shape)
{
    for (uint32_t i = 0; i < schema->rank; i++) shape[i] = schema->shape[i];
    if (!schema->column_major || schema->rank < 2) return;
    shape[schema->rank - 2] = schema->shape[schema->rank - 1];
    shape[schema->rank - 1] = schema->shape[schema->rank - 2];
}

int64_t stoai_package_pitch(const stoa_tensor_schema *schema, const stoa_bound *values, uint32_t rows)
{
    /* The neighbour of value 0 in memory is the next one, or the one below it in its matrix column. */
    const uint32_t columns = schema->rank > 1 ? schema->shape[schema->rank - 1] : 1;
    const uint32_t lines = schema->rank > 1 ? schema->shape[schema->rank - 2] : 1;
    const uint32_t next = schema->column_major && lines > 1 ? columns : 1;
    if (schema->width == 1) return rows;
    return ((char *)values[next].data - (char *)values[0].data) / (int64_t)stoa_dtype_bytes((stoa_dtype)values[0].dtype);
}
