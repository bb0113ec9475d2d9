/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/dlpack.h"

#include "soa/geometry.h"
#include "stoa/memory.h"

#define DLPACK_MAJOR 1u
#define DLPACK_MINOR 1u
#define DLPACK_READ_ONLY ((uint64_t)1)

typedef struct dlpack_row {
    uint8_t code, bits;
} dlpack_row;

static const dlpack_row dlpack_table[] = {
#define ROW(name, number, type, code, text) [number] = {code, (uint8_t)(8 * sizeof(type))},
    STOA_DTYPE_MAP(ROW)
#undef ROW
};
#define DLPACK_ROWS (sizeof dlpack_table / sizeof *dlpack_table)

/* The managed tensor, and behind it what its pointers need. */
typedef struct exported {
    DLManagedTensorVersioned managed;
    int64_t shape[STOA_TENSOR_RANK_MAX], strides[STOA_TENSOR_RANK_MAX];
    stoa_buffer *keep_alive;
} exported;

static void exported_delete(DLManagedTensorVersioned *managed)
{
    if (!managed) return;
    exported *self = managed->manager_ctx;
    stoa_buffer_release(self->keep_alive);
    stoa_free(self, sizeof *self);
}

stoa_status stoa_dlpack_export(stoa_tensor tensor, stoa_buffer *keep_alive, DLManagedTensorVersioned **managed, stoa_error *err)
{
    if (!managed) return STOA_FAIL(err, STOA_EINVAL, "dlpack export: NULL result");
    *managed = NULL;
    stoa_strided strided;
    STOA_TRY(stoa_tensor_strided(tensor, &strided, err));
    exported *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "dlpack export: %zu bytes", sizeof *self);
    bool empty = false;
    for (int32_t i = 0; i < strided.rank; i++) {
        self->shape[i] = strided.shape[i];
        self->strides[i] = strided.strides[i];
        empty = empty || strided.shape[i] == 0;
    }
    self->keep_alive = keep_alive ? stoa_buffer_retain(keep_alive) : NULL;
    self->managed = (DLManagedTensorVersioned){
        .version = {DLPACK_MAJOR, DLPACK_MINOR},
        .manager_ctx = self,
        .deleter = exported_delete,
        .flags = strided.flags & STOA_COLUMN_CONST ? DLPACK_READ_ONLY : 0,
        .dl_tensor =
            {
                .data = empty ? NULL : strided.data, /* as DLPack asks for tensors without elements */
                .device = {strided.place.type, strided.place.index},
                .ndim = strided.rank,
                .dtype = {dlpack_table[strided.dtype].code, dlpack_table[strided.dtype].bits, 1},
                .shape = self->shape,
                .strides = self->strides,
            },
    };
    *managed = &self->managed;
    return STOA_OK;
}

static stoa_dtype dtype_from_dlpack(DLDataType type)
{
    for (size_t i = 1; type.lanes == 1 && i < DLPACK_ROWS; i++)
        if (dlpack_table[i].bits && dlpack_table[i].code == type.code && dlpack_table[i].bits == type.bits) return (stoa_dtype)i;
    return STOA_DTYPE_NONE;
}

/* Rows, columns and strides of a tensor of rank 1 or 2; only the version was looked at before. */
typedef struct matrix_shape {
    int64_t rows, columns, row_stride, column_stride;
} matrix_shape;

static stoa_status read_shape(const DLTensor *tensor, uint32_t capacity, matrix_shape *out, stoa_error *err)
{
    if (tensor->ndim != 1 && tensor->ndim != 2)
        return STOA_FAIL(err, STOA_ESHAPE, "dlpack: rank %d given, 1 or 2 needed", (int)tensor->ndim);
    if (!tensor->shape) return STOA_FAIL(err, STOA_EINVAL, "dlpack: shape is NULL");
    const bool wide = tensor->ndim == 2;
    out->rows = tensor->shape[0];
    out->columns = wide ? tensor->shape[1] : 1;
    if (out->rows < 0 || out->rows > (int64_t)STOA_LAYOUT_ROWS_MAX)
        return STOA_FAIL(err, STOA_ESHAPE, "dlpack: %lld rows given, 0 to %u allowed", (long long)out->rows,
                         (unsigned)STOA_LAYOUT_ROWS_MAX);
    if (out->columns < 0 || out->columns > (int64_t)capacity)
        return STOA_FAIL(err, STOA_ESHAPE, "dlpack: %lld columns given, room for %u", (long long)out->columns, (unsigned)capacity);
    out->row_stride = tensor->strides ? tensor->strides[0] : out->columns;
    out->column_stride = tensor->strides && wide ? tensor->strides[1] : 1;
    return STOA_OK;
}

static stoa_status check_managed(const DLManagedTensorVersioned *managed, stoa_error *err)
{
    if (!managed) return STOA_FAIL(err, STOA_EINVAL, "dlpack: NULL tensor");
    if (managed->version.major != DLPACK_MAJOR)
        return STOA_FAIL(err, STOA_EABI, "dlpack: major version %u given, %u needed", (unsigned)managed->version.major, DLPACK_MAJOR);
    const DLDataType type = managed->dl_tensor.dtype;
    if (dtype_from_dlpack(type) == STOA_DTYPE_NONE)
        return STOA_FAIL(err, STOA_EDTYPE, "dlpack: type code %u of %u bits and %u lanes has no counterpart", (unsigned)type.code,
                         (unsigned)type.bits, (unsigned)type.lanes);
    return STOA_OK;
}

/* Where the first and the last column begin must be addresses; what lies between and behind them is for stoa_tensor_check. */
static stoa_status check_addresses(const DLTensor *tensor, const matrix_shape *shape, stoa_error *err)
{
    const int64_t size = (int64_t)stoa_dtype_bytes(dtype_from_dlpack(tensor->dtype)), last = shape->columns > 1 ? shape->columns - 1 : 0;
    const int64_t limit = last ? INT64_MAX / size / last : INT64_MAX;
    const uint64_t data = (uint64_t)(uintptr_t)tensor->data, first = data + tensor->byte_offset;
    if (data && tensor->byte_offset > UINTPTR_MAX - data)
        return STOA_FAIL(err, STOA_ESHAPE, "dlpack: byte offset %llu from data at %p exceeds the address space",
                         (unsigned long long)tensor->byte_offset, tensor->data);
    const bool fits = !last || (shape->column_stride <= limit && shape->column_stride >= -limit);
    const int64_t reach = fits && last ? shape->column_stride * last * size : 0;
    if (!fits || (data && (reach < 0 ? (uint64_t)-reach > first : (uint64_t)reach > UINTPTR_MAX - first)))
        return STOA_FAIL(err, STOA_ESHAPE, "dlpack: %lld columns %lld elements apart from %p on exceed the address space",
                         (long long)shape->columns, (long long)shape->column_stride, (void *)(uintptr_t)first);
    return STOA_OK;
}

/* One column of the imported tensor. */
static stoa_column column_at(const DLManagedTensorVersioned *managed, const matrix_shape *shape, uint64_t index)
{
    const DLTensor *tensor = &managed->dl_tensor;
    const stoa_dtype dtype = dtype_from_dlpack(tensor->dtype);
    const uint64_t offset = tensor->byte_offset + index * (uint64_t)shape->column_stride * stoa_dtype_bytes(dtype);
    void *data = tensor->data ? (void *)(uintptr_t)((uint64_t)(uintptr_t)tensor->data + offset) : NULL;
    const stoa_place place = {tensor->device.device_type, tensor->device.device_id};
    stoa_column column = stoa_column_over(data, dtype, (uint32_t)shape->rows, shape->row_stride, place);
    column.stride[0] = column.stride[1] = shape->column_stride;
    if (managed->flags & DLPACK_READ_ONLY) column.flags = STOA_COLUMN_CONST;
    return column;
}

stoa_status stoa_dlpack_columns(const DLManagedTensorVersioned *managed, stoa_column *columns, uint32_t capacity, uint32_t *column_count,
                                stoa_error *err)
{
    if (!column_count || (!columns && capacity)) return STOA_FAIL(err, STOA_EINVAL, "dlpack columns: NULL result");
    *column_count = 0;
    matrix_shape shape = {0};
    STOA_TRY(check_managed(managed, err));
    STOA_TRY(read_shape(&managed->dl_tensor, capacity, &shape, err));
    STOA_TRY(check_addresses(&managed->dl_tensor, &shape, err));
    for (int64_t i = 0; i < shape.columns; i++) columns[i] = column_at(managed, &shape, (uint64_t)i);
    if (shape.columns > 0 && shape.rows > 0) STOA_TRY(stoa_tensor_check(stoa_tensor_of(columns, (uint32_t)shape.columns), err));
    *column_count = (uint32_t)shape.columns;
    return STOA_OK;
}

/* The published ABI of DLPack 1.x. */
_Static_assert(sizeof(void *) != 8 || sizeof(DLTensor) == 48, "DLTensor");
_Static_assert(sizeof(void *) != 8 || offsetof(DLManagedTensorVersioned, dl_tensor) == 32, "DLManagedTensorVersioned");
