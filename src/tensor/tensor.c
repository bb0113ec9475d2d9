/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/geometry.h"
#include "tensor/span.h"

stoa_tensor stoa_tensor_of(const stoa_column *columns, uint32_t column_count)
{
    stoa_tensor tensor = {columns, column_count, column_count ? UINT32_MAX : 0, 0, 0};
    for (uint32_t i = 0; columns && i < column_count; i++)
        if (columns[i].rows < tensor.rows) tensor.rows = columns[i].rows;
    return tensor;
}

stoa_tensor stoa_tensor_slice(stoa_tensor tensor, uint32_t first, uint32_t count)
{
    if (tensor.rows == UINT32_MAX) { /* scalars alone: any row is the same row */
        tensor.rows = count;
        return tensor;
    }
    if (first > tensor.rows) first = tensor.rows;
    tensor.first_row += first;
    tensor.rows = count < tensor.rows - first ? count : tensor.rows - first;
    return tensor;
}

uint32_t stoa_tensor_batch_count(stoa_tensor tensor, uint32_t batch_rows)
{
    if (!batch_rows || !tensor.rows) return 0;
    if (tensor.rows == UINT32_MAX) return 1;
    return (tensor.rows - 1) / batch_rows + 1;
}

/* low and high take one axis of `count` steps of `stride` elements; false on overflow. */
static bool span_axis(int64_t stride, uint64_t count, int64_t *low, int64_t *high)
{
    if (count <= 1 || !stride) return true;
    const int64_t steps = (int64_t)(count - 1), limit = INT64_MAX / steps;
    if (stride > limit || stride < -limit) return false;
    const int64_t reach = stride * steps;
    if (reach > 0 ? *high > INT64_MAX - reach : *low < -INT64_MAX - reach) return false;
    *(reach > 0 ? high : low) += reach;
    return true;
}

/* Move both ends of a span by the first row of a slice. */
static bool span_shift(int64_t stride, uint32_t first, int64_t *low, int64_t *high)
{
    int64_t down = 0, up = 0;
    if (!span_axis(stride, (uint64_t)first + 1, &down, &up)) return false;
    const int64_t shift = down + up;
    if (shift > 0 ? *high > INT64_MAX - shift : *low < -INT64_MAX - shift) return false;
    *low += shift;
    *high += shift;
    return true;
}

bool stoai_column_span(const stoa_column *column, uint32_t first, uint32_t rows, stoai_span *span)
{
    const int64_t size = (int64_t)stoa_dtype_bytes((stoa_dtype)column->dtype);
    int64_t low = 0, high = 0;
    *span = (stoai_span){0, 0};
    if (!rows || !size) return true;
    if (!span_axis(column->row_stride, rows, &low, &high) || !span_axis(column->stride[0], column->extent[0], &low, &high) ||
        !span_axis(column->stride[1], column->extent[1], &low, &high) || !span_shift(column->row_stride, first, &low, &high))
        return false;
    const int64_t below = low < 0 ? low : 0;
    if (high > INT64_MAX / size - 1 || low < -(INT64_MAX / size) || low > high || high > INT64_MAX / size - 1 + below) return false;
    *span = (stoai_span){low * size, (high + 1) * size};
    return true;
}

static bool has_addresses(const stoa_column *column, stoai_span span)
{
    const uint64_t data = (uint64_t)(uintptr_t)column->data;
    if (!data) return true; /* nor rows */
    return (span.low >= 0 || (uint64_t)-span.low <= data) && (span.high <= 0 || (uint64_t)span.high <= UINTPTR_MAX - data);
}

/* What a column must be by itself, for rows [first, first + rows). */
static stoa_status check_column(const stoa_column *column, unsigned index, uint32_t first, uint32_t rows, stoa_error *err)
{
    const stoa_dtype dtype = (stoa_dtype)column->dtype;
    stoai_span span;
    if (!stoa_dtype_bytes(dtype))
        return STOA_FAIL(err, STOA_EDTYPE, "tensor: column %u has no known dtype (%u)", index, (unsigned)column->dtype);
    if (!column->extent[0] || !column->extent[1])
        return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u has extents %u x %u", index, (unsigned)column->extent[0],
                         (unsigned)column->extent[1]);
    if (column->rows != UINT32_MAX && (uint64_t)first + rows > column->rows)
        return STOA_FAIL(err, STOA_ESHAPE, "tensor: rows %u to %llu asked for, column %u has %u", (unsigned)first,
                         (unsigned long long)first + rows, index, (unsigned)column->rows);
    if (!column->data && rows) return STOA_FAIL(err, STOA_EINVAL, "tensor: column %u is NULL", index);
    if ((uintptr_t)column->data % stoai_dtype_align(dtype))
        return STOA_FAIL(err, STOA_EALIGN, "tensor: column %u at %p, %s needs alignment %zu", index, column->data, stoa_dtype_name(dtype),
                         stoai_dtype_align(dtype));
    if (!stoai_column_span(column, first, rows ? rows : 1, &span) || !has_addresses(column, span)) /* row 0 has one without rows too */
        return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u of %u rows with row stride %lld exceeds the address space", index,
                         (unsigned)rows, (long long)column->row_stride);
    return STOA_OK;
}

stoa_status stoa_tensor_check(stoa_tensor tensor, stoa_error *err)
{
    if (!tensor.columns || !tensor.column_count)
        return STOA_FAIL(err, STOA_EINVAL, "tensor: no columns (%u at %p)", (unsigned)tensor.column_count, (const void *)tensor.columns);
    const stoa_column *first = &tensor.columns[0];
    for (uint32_t i = 0; i < tensor.column_count; i++) {
        const stoa_column *column = &tensor.columns[i];
        STOA_TRY(check_column(column, (unsigned)i, tensor.first_row, tensor.rows, err));
        if (column->extent[0] != first->extent[0] || column->extent[1] != first->extent[1])
            return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u has extents %u x %u, column 0 has %u x %u", (unsigned)i,
                             (unsigned)column->extent[0], (unsigned)column->extent[1], (unsigned)first->extent[0],
                             (unsigned)first->extent[1]);
        if (!stoa_place_accessible(column->place, first->place))
            return STOA_FAIL(err, STOA_EPLACE, "tensor: column %u at place %d:%d, column 0 at %d:%d", (unsigned)i, (int)column->place.type,
                             (int)column->place.index, (int)first->place.type, (int)first->place.index);
    }
    return STOA_OK;
}
