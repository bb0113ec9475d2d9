/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bind.h"

#include <inttypes.h>
#include <stdio.h>

#include "tensor/span.h"

static uint32_t column_width(const stoa_column *column) { return column->extent[0] * column->extent[1]; }

static const char *direction(const bind_target *target) { return target->is_output ? "output" : "input"; }

/* "[N, 3, 9]" for messages. */
static const char *shape_text(const stoa_tensor_schema *schema, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "[%s", schema->rows_name);
    for (uint32_t i = 0; i < schema->rank && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, ", %u", schema->shape[i]);
    if (used < capacity) snprintf(text + used, capacity - used, "]");
    return text;
}

static stoa_status check_width(const bind_target *target, stoa_tensor tensor, stoa_error *err)
{
    const stoa_tensor_schema *schema = target->schema;
    const stoa_column *first = &tensor.columns[0];
    const uint64_t given = (uint64_t)tensor.column_count * column_width(first);
    char text[128];
    if (given != schema->width)
        return STOA_FAIL(err, STOA_ESHAPE, "%s '%s': %u columns of %u x %u give %" PRIu64 " values a row, the model's %s has %u",
                         direction(target), schema->name, tensor.column_count, first->extent[0], first->extent[1], given,
                         shape_text(schema, text, sizeof text), schema->width);
    /* Vectors and matrices carry a shape of their own: it must be the end of the model's, ones aside. */
    uint32_t expected[2] = {first->extent[0], first->extent[1]}, next = expected[1] > 1 ? 2u : expected[0] > 1 ? 1u : 0u;
    for (uint32_t axis = schema->rank; axis-- > 0 && next > 0;) {
        if (schema->shape[axis] == 1 && expected[next - 1] != 1) continue;
        if (schema->shape[axis] != expected[next - 1])
            return STOA_FAIL(err, STOA_ESHAPE, "%s '%s': columns of %u x %u given, the model's shape is %s", direction(target),
                             schema->name, first->extent[0], first->extent[1], shape_text(schema, text, sizeof text));
        next--;
    }
    if (next > 0)
        return STOA_FAIL(err, STOA_ESHAPE, "%s '%s': columns of %u x %u (rank %u) given, the model's shape %s has rank %u",
                         direction(target), schema->name, first->extent[0], first->extent[1], first->extent[1] > 1 ? 3u : 2u,
                         shape_text(schema, text, sizeof text), schema->rank + 1);
    return STOA_OK;
}

static stoa_status check_column(const bind_target *target, stoa_tensor tensor, uint32_t index, stoa_error *err)
{
    const stoa_column *column = &tensor.columns[index];
    const uint32_t rows = tensor.rows == UINT32_MAX ? target->max_rows : target->reach_rows; /* scalars have as many as a run */
    const stoa_tensor_schema *schema = target->schema;
    if (!(schema->dtype_mask >> column->dtype & 1u))
        return STOA_FAIL(err, STOA_EDTYPE, "%s '%s': column %u is %s, the model has %s", direction(target), schema->name, index,
                         stoa_dtype_name((stoa_dtype)column->dtype), stoa_dtype_name(schema->dtype));
    if (!stoa_place_accessible(column->place, target->place))
        return STOA_FAIL(err, STOA_EPLACE, "%s '%s': column %u lies on device %d:%d, the queue on %d:%d", direction(target), schema->name,
                         index, column->place.type, column->place.index, target->place.type, target->place.index);
    if (!target->is_output) return STOA_OK;
    if (column->flags & STOA_COLUMN_CONST) return STOA_FAIL(err, STOA_ECONST, "output '%s': column %u is read-only", schema->name, index);
    if (column->row_stride == 0 && rows > 1)
        return STOA_FAIL(err, STOA_ESHAPE, "output '%s': column %u has row stride 0, %u rows would share one element", schema->name, index,
                         rows);
    if (stoai_column_meets_itself(column, target->reach_rows))
        return STOA_FAIL(err, STOA_EOVERLAP,
                         "output '%s': column %u of %u x %u has strides %lld and %lld and row stride %lld: values of %u rows share memory",
                         schema->name, index, column->extent[0], column->extent[1], (long long)column->stride[0],
                         (long long)column->stride[1], (long long)column->row_stride, target->reach_rows);
    return STOA_OK;
}

/* No two values of an output may share a byte: those of one column do not (check_column), nor do those of two. */
static stoa_status check_self_overlap(const bind_target *target, stoa_tensor tensor, stoa_error *err)
{
    for (uint32_t i = 0; i < tensor.column_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            stoa_tensor a = tensor, b = tensor;
            a.columns += i;
            b.columns += j;
            a.column_count = b.column_count = 1;
            if (stoa_tensor_overlaps(a, b, target->reach_rows))
                return STOA_FAIL(err, STOA_EOVERLAP, "output '%s': columns %u and %u share memory (%p and %p)", target->schema->name, j, i,
                                 tensor.columns[j].data, tensor.columns[i].data);
        }
    return STOA_OK;
}

stoa_status stoai_bind_check(const bind_target *target, stoa_tensor tensor, stoa_error *err)
{
    const char *name = target->schema->name;
    if (!tensor.columns || tensor.column_count == 0)
        return STOA_FAIL(err, STOA_EINVAL, "%s '%s': no columns given, %u values a row needed", direction(target), name,
                         target->schema->width);
    stoa_error inner = {STOA_OK, 0, "", ""};
    const stoa_status status = stoa_tensor_check(tensor, &inner);
    if (status != STOA_OK) return stoa_error_set(err, status, 0, inner.where, "%s '%s': %s", direction(target), name, inner.message);
    STOA_TRY(check_width(target, tensor, err));
    for (uint32_t i = 0; i < tensor.column_count; i++) STOA_TRY(check_column(target, tensor, i, err));
    return target->is_output ? check_self_overlap(target, tensor, err) : STOA_OK;
}

void stoai_bind_values(const bind_target *target, stoa_tensor tensor, stoa_bound *values)
{
    (void)target;
    stoa_bound *end = values;
    for (uint32_t i = 0; i < tensor.column_count; i++) {
        const stoa_column *column = &tensor.columns[i];
        const int64_t element = (int64_t)stoa_dtype_bytes((stoa_dtype)column->dtype);
        for (uint32_t r = 0; r < column->extent[0]; r++)
            for (uint32_t c = 0; c < column->extent[1]; c++) {
                const int64_t offset = tensor.first_row * column->row_stride + r * column->stride[0] + c * column->stride[1];
                *end++ = (stoa_bound){column->data ? (char *)column->data + offset * element : NULL, column->row_stride, column->dtype, 0};
            }
    }
    for (stoa_bound *value = end; value > values;) {
        value--;
        const bool same = value + 1 < end && value[1].dtype == value->dtype && value[1].row_stride == value->row_stride;
        value->alike = same ? value[1].alike + 1 : 1;
    }
}

stoa_column_rule stoai_bind_rule(const bind_target *target)
{ return target->is_output ? target->capabilities->outputs : target->capabilities->inputs; }

/* The stride of each axis of the shape in elements, when the values have one; those of extent 1 are 0. */
static bool strides_of(const stoa_tensor_schema *schema, const stoa_bound *values, int64_t *strides)
{
    const uint64_t element = stoa_dtype_bytes((stoa_dtype)values[0].dtype), base = (uint64_t)(uintptr_t)values[0].data;
    uint32_t step = schema->width;
    for (uint32_t axis = 0; axis < schema->rank; axis++) {
        step /= schema->shape[axis];
        const int64_t bytes = schema->shape[axis] > 1 ? (int64_t)((uint64_t)(uintptr_t)values[step].data - base) : 0;
        strides[axis] = bytes / (int64_t)element;
        if (bytes % (int64_t)element) return false;
    }
    for (uint32_t i = 0; i < schema->width; i++) {
        uint64_t offset = 0; /* wraps, as distances of addresses do */
        uint32_t rest = i;
        for (uint32_t axis = schema->rank; axis-- > 0; rest /= schema->shape[axis])
            offset += (uint64_t)strides[axis] * (rest % schema->shape[axis]);
        if ((uint64_t)(uintptr_t)values[i].data - base != offset * element) return false;
    }
    return true;
}

static bool none_negative(const stoa_tensor_schema *schema, const int64_t *strides, int64_t row_stride)
{
    for (uint32_t axis = 0; axis < schema->rank; axis++)
        if (strides[axis] < 0) return false;
    return row_stride >= 0;
}

/* Whether the strides are those of values `pitch` apart in the order in which the schema says that they lie. */
static bool has_pitch(const stoa_tensor_schema *schema, const int64_t *strides, int64_t *pitch)
{
    uint64_t next = 0; /* unknown until the innermost axis that has an extent */
    for (uint32_t place = 0; place < schema->rank; place++) {
        /* place 0 is the innermost axis in memory; column-major exchanges the last two */
        const uint32_t axis = schema->rank - 1 - (schema->column_major && schema->rank > 1 && place < 2 ? 1 - place : place);
        if (schema->shape[axis] == 1) continue;
        if (next == 0) next = (uint64_t)(*pitch = strides[axis]);
        if ((uint64_t)strides[axis] != next) return false;
        next *= schema->shape[axis];
    }
    return true;
}

static const char *block_reason(const bind_target *target, stoa_tensor tensor, const int64_t *strides)
{
    const uint32_t rows = tensor.rows < target->call_rows ? tensor.rows : target->call_rows;
    int64_t pitch = INT64_MAX;
    if (!has_pitch(target->schema, strides, &pitch)) return "the runtime takes one block of equally spaced columns";
    return pitch < (int64_t)rows ? "the runtime takes columns in ascending order, a row count or more apart" : NULL;
}

static const char *rule_reason(const bind_target *target, stoa_tensor tensor, const stoa_bound *values)
{
    const stoa_tensor_schema *schema = target->schema;
    const stoa_column_rule rule = stoai_bind_rule(target);
    const bool many_rows = target->call_rows > 1 && tensor.rows > 1 && schema->axis != STOA_AXIS_ONE;
    int64_t strides[STOA_SHAPE_RANK_MAX], pitch = 1;
    for (uint32_t i = 0; i < schema->width; i++) {
        if (values[i].dtype != values[0].dtype || values[i].row_stride != values[0].row_stride)
            return "the runtime takes one dtype and one row stride in a tensor";
        if ((rule == STOA_RULE_UNIT || rule == STOA_RULE_BLOCK) && many_rows && values[i].row_stride != 1)
            return "the runtime takes only row stride 1";
    }
    if (rule == STOA_RULE_UNIT) return NULL;
    if (!strides_of(schema, values, strides)) return "the runtime takes only equally spaced columns";
    if (rule == STOA_RULE_BLOCK) return block_reason(target, tensor, strides);
    if (rule == STOA_RULE_STRIDED)
        return none_negative(schema, strides, values[0].row_stride) ? NULL : "the runtime takes no negative strides";
    const bool adjacent = has_pitch(schema, strides, &pitch) && pitch == 1;
    const bool behind = !many_rows || values[0].row_stride == (int64_t)schema->width;
    return adjacent && behind ? NULL : "the runtime takes only row-major rows";
}

const char *stoai_bind_staging_reason(const bind_target *target, stoa_tensor tensor, const stoa_bound *values)
{
    const stoa_capabilities *can = target->capabilities;
    for (uint32_t i = 0; i < tensor.column_count; i++)
        if (!target->is_output && !can->const_inputs && (tensor.columns[i].flags & STOA_COLUMN_CONST))
            return "the runtime may write its inputs and a column is read-only";
    return stoai_bind_rule(target) == STOA_RULE_ANY ? NULL : rule_reason(target, tensor, values);
}
