/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/span.h"

/* Columns can only share an array when they agree in everything but their address. */
static stoa_status check_uniform(const stoa_tensor *tensor, stoa_error *err)
{
    const stoa_column *a = &tensor->columns[0];
    for (uint32_t i = 1; i < tensor->column_count; i++) {
        const stoa_column *b = &tensor->columns[i];
        if (a->dtype != b->dtype)
            return STOA_FAIL(err, STOA_EDTYPE, "tensor: column %u is %s, column 0 is %s", (unsigned)i,
                             stoa_dtype_name((stoa_dtype)b->dtype), stoa_dtype_name((stoa_dtype)a->dtype));
        if (a->row_stride != b->row_stride)
            return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u has row stride %lld, column 0 has %lld", (unsigned)i,
                             (long long)b->row_stride, (long long)a->row_stride);
        for (int axis = 0; axis < 2; axis++)
            if (a->extent[axis] > 1 && a->stride[axis] != b->stride[axis])
                return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u has component stride %lld, column 0 has %lld", (unsigned)i,
                                 (long long)b->stride[axis], (long long)a->stride[axis]);
    }
    return STOA_OK;
}

/* Elements from one column to the next, negative when they lie in reverse order. */
static stoa_status column_spacing(const stoa_tensor *tensor, int64_t *spacing, stoa_error *err)
{
    const int64_t size = (int64_t)stoa_dtype_bytes((stoa_dtype)tensor->columns[0].dtype);
    *spacing = 0;
    for (uint32_t i = 1; i < tensor->column_count; i++) {
        /* Differences of addresses wrap like the addresses do: as signed numbers they are right. */
        const int64_t step = (int64_t)((uint64_t)(uintptr_t)tensor->columns[i].data - (uint64_t)(uintptr_t)tensor->columns[i - 1].data);
        if (i == 1) *spacing = step;
        if (step != *spacing || step % size)
            return STOA_FAIL(err, STOA_ESHAPE, "tensor: column %u lies %lld bytes behind column %u, %s%lld bytes needed", (unsigned)i,
                             (long long)step, (unsigned)(i - 1), step == *spacing ? "a multiple of " : "",
                             step == *spacing ? (long long)size : (long long)*spacing);
    }
    *spacing /= size;
    return STOA_OK;
}

static void add_axis(stoa_strided *strided, int64_t shape, int64_t stride)
{
    strided->shape[strided->rank] = shape;
    strided->strides[strided->rank++] = stride;
}

stoa_status stoa_tensor_strided(stoa_tensor tensor, stoa_strided *strided, stoa_error *err)
{
    if (!strided) return STOA_FAIL(err, STOA_EINVAL, "tensor strided: NULL result");
    *strided = (stoa_strided){0};
    int64_t spacing;
    STOA_TRY(stoa_tensor_check(tensor, err));
    STOA_TRY(check_uniform(&tensor, err));
    STOA_TRY(column_spacing(&tensor, &spacing, err));
    const stoa_column *column = &tensor.columns[0];
    const bool plain = column->extent[0] == 1 && column->extent[1] == 1;
    /* stoa_tensor_check has verified that the address of the first row exists. */
    const uint64_t skipped = (uint64_t)tensor.first_row * (uint64_t)column->row_stride * stoa_dtype_bytes((stoa_dtype)column->dtype);
    strided->data = (void *)(uintptr_t)((uint64_t)(uintptr_t)column->data + skipped);
    strided->dtype = (stoa_dtype)column->dtype;
    strided->place = column->place;
    add_axis(strided, tensor.rows, column->row_stride);
    if (tensor.column_count > 1) add_axis(strided, tensor.column_count, spacing);
    else if (plain) add_axis(strided, 1, column->stride[0]);
    if (!plain) add_axis(strided, column->extent[0], column->stride[0]);
    if (column->extent[1] > 1) add_axis(strided, column->extent[1], column->stride[1]);
    for (uint32_t i = 0; i < tensor.column_count; i++) strided->flags |= tensor.columns[i].flags & STOA_COLUMN_CONST;
    return STOA_OK;
}
