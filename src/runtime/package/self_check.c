/* SPDX-License-Identifier: Apache-2.0 */
/* The test vectors of a package: inputs and what eager PyTorch made of them, as numbers, value-major. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/package/package.h"
#include "stoa/buffer.h"
#include "stoa/memory.h"

#define ELEMENT_BYTES 8u /* of the largest dtype that a package has */

/* One run's memory: every value of every tensor a column of its own, `pitch` rows apart, or the rows behind one another. */
typedef struct trial {
    const stoai_package *package;
    uint32_t rows[PACKAGE_AXES_MAX], pitch, value_count;
    stoa_bound *values;      /* inputs', then outputs' */
    char *memory;
    void *workspace, *instance;
    size_t workspace_bytes;
    bool row_major;
} trial;

static void write_number(stoa_dtype dtype, void *to, double number)
{
    switch ((int)dtype) {
    case STOA_FLOAT32: *(float *)to = (float)number; break;
    case STOA_FLOAT64: *(double *)to = number; break;
    case STOA_FLOAT16: *(stoa_half *)to = stoa_half_from_float((float)number); break;
    case STOA_BFLOAT16: *(stoa_bfloat16 *)to = stoa_bfloat16_from_float((float)number); break;
    case STOA_INT8: *(int8_t *)to = (int8_t)number; break;
    case STOA_INT16: *(int16_t *)to = (int16_t)number; break;
    case STOA_INT32: *(int32_t *)to = (int32_t)number; break;
    case STOA_INT64: *(int64_t *)to = (int64_t)number; break;
    case STOA_UINT8: *(uint8_t *)to = (uint8_t)number; break;
    case STOA_BOOL: *(bool *)to = number != 0; break;
    }
}

static double read_number(stoa_dtype dtype, const void *from)
{
    switch ((int)dtype) {
    case STOA_FLOAT32: return *(const float *)from;
    case STOA_FLOAT64: return *(const double *)from;
    case STOA_FLOAT16: return stoa_half_to_float(*(const stoa_half *)from);
    case STOA_BFLOAT16: return stoa_bfloat16_to_float(*(const stoa_bfloat16 *)from);
    case STOA_INT8: return *(const int8_t *)from;
    case STOA_INT16: return *(const int16_t *)from;
    case STOA_INT32: return *(const int32_t *)from;
    case STOA_INT64: return (double)*(const int64_t *)from;
    case STOA_UINT8: return *(const uint8_t *)from;
    case STOA_BOOL: return *(const bool *)from;
    }
    return NAN;
}

static uint32_t rows_of(const trial *t, const stoa_tensor_schema *tensor)
{ return tensor->axis == STOA_AXIS_ONE ? 1 : t->rows[tensor->axis]; }

static stoa_status read_rows(trial *t, const json_t *check, stoa_error *err)
{
    const json_t *rows = json_object_get(check, "rows");
    for (uint32_t i = 0; i < t->package->schema.axis_count; i++) {
        const json_int_t count = json_integer_value(json_array_get(rows, i));
        if (count < 1 || count > 4096) return STOA_FAIL(err, STOA_EFORMAT, "manifest: test vectors of %lld rows", (long long)count);
        t->rows[i] = (uint32_t)count;
        if (t->rows[i] > t->pitch) t->pitch = t->rows[i];
    }
    t->pitch = (t->pitch + 16u) & ~15u; /* not the row count: a file that takes one for the other is found out */
    return STOA_OK;
}

static stoa_status make_memory(trial *t, stoa_error *err)
{
    const stoa_schema *schema = &t->package->schema;
    t->value_count = stoai_package_values(t->package->tensors, schema->input_count + schema->output_count);
    t->values = stoa_calloc(t->value_count, sizeof *t->values);
    t->memory = stoa_calloc((size_t)t->value_count * t->pitch, ELEMENT_BYTES);
    if (!t->values || !t->memory) return STOA_FAIL(err, STOA_ENOMEM, "self-check: %u columns of %u rows", t->value_count, t->pitch);
    uint32_t first = 0;
    for (uint32_t i = 0; i < schema->input_count + schema->output_count; i++) {
        const stoa_tensor_schema *tensor = &t->package->tensors[i];
        const size_t element = stoa_dtype_bytes(tensor->dtype);
        for (uint32_t k = 0; k < tensor->width; k++) {
            const size_t offset = t->row_major ? k * element : stoai_block_position(tensor, k) * t->pitch * element;
            t->values[first + k] = (stoa_bound){t->memory + (size_t)first * t->pitch * ELEMENT_BYTES + offset,
                                                t->row_major ? tensor->width : 1, (uint32_t)tensor->dtype, 0};
        }
        first += tensor->width;
    }
    return STOA_OK;
}

/* Calls `each` for every number of a tensor's vector. */
static stoa_status walk(const trial *t, const json_t *side, const stoa_tensor_schema *tensor, const stoa_bound *values,
                        stoa_status (*each)(const trial *t, const stoa_tensor_schema *tensor, uint32_t row, void *at, double number,
                                            stoa_error *err),
                        stoa_error *err)
{
    const json_t *numbers = json_object_get(side, tensor->name);
    const uint32_t rows = rows_of(t, tensor);
    if (json_array_size(numbers) != (size_t)rows * tensor->width)
        return STOA_FAIL(err, STOA_EFORMAT, "manifest: test vector '%s' has %zu numbers, %zu needed", tensor->name,
                         json_array_size(numbers), (size_t)rows * tensor->width);
    for (uint32_t k = 0; k < tensor->width; k++)
        for (uint32_t row = 0; row < rows; row++) {
            char *at = (char *)values[k].data + row * values[k].row_stride * (int64_t)stoa_dtype_bytes(tensor->dtype);
            STOA_TRY(each(t, tensor, row, at, json_number_value(json_array_get(numbers, (size_t)k * rows + row)), err));
        }
    return STOA_OK;
}

static stoa_status put(const trial *t, const stoa_tensor_schema *tensor, uint32_t row, void *at, double number, stoa_error *err)
{
    (void)t, (void)row, (void)err;
    write_number(tensor->dtype, at, number);
    return STOA_OK;
}

static stoa_status compare(const trial *t, const stoa_tensor_schema *tensor, uint32_t row, void *at, double expected, stoa_error *err)
{
    const json_t *tolerance = json_object_get(t->package->manifest, "tolerance");
    const double limit =
        json_number_value(json_object_get(tolerance, "atol")) + json_number_value(json_object_get(tolerance, "rtol")) * fabs(expected);
    const double found = read_number(tensor->dtype, at);
    if (fabs(found - expected) <= limit || (isnan(found) && isnan(expected))) return STOA_OK;
    return STOA_FAIL(err, STOA_ERUNTIME, "self-check: output '%s', row %u: %.9g found, %.9g expected within %.3g", tensor->name, row, found,
                     expected, limit);
}

static stoa_status walk_side(const trial *t, const json_t *check, bool outputs, stoa_error *err)
{
    const stoa_schema *schema = &t->package->schema;
    const stoa_bound *values = t->values;
    if (outputs) values += stoai_package_values(schema->inputs, schema->input_count);
    const stoa_tensor_schema *tensors = outputs ? schema->outputs : schema->inputs;
    const json_t *side = json_object_get(check, outputs ? "outputs" : "inputs");
    for (uint32_t i = 0; i < (outputs ? schema->output_count : schema->input_count); i++) {
        STOA_TRY(walk(t, side, &tensors[i], values, outputs ? compare : put, err));
        values += tensors[i].width;
    }
    return STOA_OK;
}

static stoa_status run(trial *t, const json_t *check, const stoa_runtime_api *api, const void *model, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const uint32_t inputs = stoai_package_values(t->package->schema.inputs, t->package->schema.input_count);
    STOA_TRY(read_rows(t, check, err));
    STOA_TRY(make_memory(t, err));
    STOA_TRY(walk_side(t, check, false, err));
    STOA_TRY(api->workspace(model, host, t->rows, &t->workspace_bytes, err));
    t->workspace = stoa_alloc(t->workspace_bytes, STOA_BUFFER_ALIGN_BYTES);
    if (!t->workspace) return STOA_FAIL(err, STOA_ENOMEM, "self-check: %zu bytes of workspace", t->workspace_bytes);
    STOA_TRY(api->open(model, NULL, t->workspace, t->workspace_bytes, t->rows, &t->instance, err));
    STOA_TRY(api->run(t->instance, t->values, t->values + inputs, 0, t->rows, err));
    return walk_side(t, check, true, err);
}

stoa_status stoai_package_self_check(const stoai_package *package, const stoa_runtime_api *api, const void *model, stoa_error *err)
{
    const json_t *check = json_object_get(package->manifest, "check");
    if (!json_is_object(check)) return STOA_FAIL(err, STOA_ENOTSUP, "self-check: the file carries no test vectors");
    trial t = {.package = package, .row_major = api->capabilities(model)->inputs == STOA_RULE_ROW_MAJOR};
    const stoa_status status = run(&t, check, api, model, err);
    if (t.instance) api->close(t.instance);
    stoa_free(t.workspace, t.workspace_bytes);
    stoa_free(t.memory, (size_t)t.value_count * t.pitch * ELEMENT_BYTES);
    stoa_free(t.values, t.value_count * sizeof *t.values);
    return status;
}
