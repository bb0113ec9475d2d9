/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/geometry.h"
#include "stoa/tensor.h"

#include <string.h>

/* A column as its table describes it, where `data` says; its component stride as the view or the geometry
 * says. */
static stoa_column describe(const stoa_view_head *view, const stoa_column_desc *desc, void *data, int64_t stride)
{
    const bool scalar = desc->kind == STOA_KIND_SCALAR;
    const int flags = (view->flags & STOA_VIEW_CONST ? STOA_COLUMN_CONST : 0) | (scalar ? STOA_COLUMN_SCALAR : 0);
    return (stoa_column){
        .data = data,
        .row_stride = scalar ? 0 : 1,
        .stride = {stride, stride * (int64_t)desc->extent[0]},
        .extent = {desc->extent[0], desc->extent[1]},
        .rows = scalar ? UINT32_MAX : view->rows,
        .dtype = (uint16_t)desc->dtype,
        .flags = (uint16_t)flags,
        .place = view->place,
    };
}

/* The view struct is read, not the geometry: what `t.pt` points to is what the tensor gets, and no walk is
 * needed. */
stoa_column stoa_view_column(const stoa_view_head *view, size_t member_offset)
{
    const stoa_column none = {0};
    if (!view || !view->layout || !view->layout->view_bytes) return none;
    const stoa_layout *layout = view->layout;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const stoa_column_desc *desc = &layout->columns[i];
        if (desc->member_offset != member_offset || !stoa_dtype_bytes(desc->dtype)) continue;
        const char *member = (const char *)view + member_offset;
        void *data;
        memcpy(&data, member, sizeof data);
        int64_t stride;
        if (desc->kind == STOA_KIND_VECTOR || desc->kind == STOA_KIND_MATRIX) memcpy(&stride, member + sizeof data, sizeof stride);
        else
            stride =
                (int64_t)(stoai_padded_bytes(layout, desc->dtype, stoai_column_rows(desc, view->rows)) / stoa_dtype_bytes(desc->dtype));
        return describe(view, desc, data, stride);
    }
    return none;
}

stoa_status stoa_view_find(const stoa_view_head *view, const char *name, stoa_column *column, stoa_error *err)
{
    if (!column) return STOA_FAIL(err, STOA_EINVAL, "view find: NULL result");
    *column = (stoa_column){0};
    if (!view) return STOA_FAIL(err, STOA_EINVAL, "view find: NULL view");
    uint32_t index;
    stoa_column_geometry geometry;
    STOA_TRY(stoa_layout_find(view->layout, name, &index, err));
    STOA_TRY(stoa_layout_place(view->layout, view->rows, index, &geometry, err));
    void *data = (void *)((uintptr_t)view->blob + geometry.offset_bytes);
    *column = describe(view, &view->layout->columns[index], data, geometry.component_stride);
    return STOA_OK;
}

stoa_column stoa_column_over(void *data, stoa_dtype dtype, uint32_t rows, int64_t row_stride, stoa_place place)
{
    return (stoa_column){
        .data = data,
        .row_stride = row_stride,
        .stride = {1, 1},
        .extent = {1, 1},
        .rows = rows,
        .dtype = (uint16_t)dtype,
        .place = place,
    };
}

stoa_column stoa_column_over_const(const void *data, stoa_dtype dtype, uint32_t rows, int64_t row_stride, stoa_place place)
{
    stoa_column column = stoa_column_over((void *)(uintptr_t)data, dtype, rows, row_stride, place);
    column.flags = STOA_COLUMN_CONST;
    return column;
}

/* Plugins, kernels and the Python bridge know these by their bytes. */
_Static_assert(sizeof(void *) != 8 || sizeof(stoa_view_head) == 32, "stoa_view_head is frozen");
_Static_assert(sizeof(void *) != 8 || sizeof(stoa_column) == 56, "stoa_column is frozen");
_Static_assert(sizeof(void *) != 8 || sizeof(stoa_tensor) == 24, "stoa_tensor is frozen");
