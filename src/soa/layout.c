/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/geometry.h"

#include <stdio.h>
#include <string.h>

#include "core/struct_size.h"

size_t stoai_dtype_align(stoa_dtype dtype)
{
    const size_t bytes = stoa_dtype_bytes(dtype);
    if (dtype == STOA_COMPLEX64 || dtype == STOA_COMPLEX128) return bytes / 2;
    return bytes ? bytes : 1;
}

void stoai_list_append(char *text, size_t capacity, size_t *used, const char *name)
{
    if (*used + 1 >= capacity) return;
    const int length = snprintf(text + *used, capacity - *used, "%s'%s'", *used ? ", " : "", stoai_name(name));
    *used = length < 0 || (size_t)length >= capacity - *used ? capacity - 1 : *used + (size_t)length;
}

static stoa_status check_table(const stoa_layout *layout, uint32_t rows, stoa_error *err)
{
    if (!layout) return STOA_FAIL(err, STOA_EINVAL, "layout: NULL");
    STOA_TRY(STOAI_CHECK_STRUCT(layout, "layout", err));
    const char *name = stoai_name(layout->name);
    if (!layout->columns || !layout->column_count) return STOA_FAIL(err, STOA_EINVAL, "layout '%s': no columns", name);
    const uint32_t align = stoai_layout_align(layout);
    if (align & (align - 1)) return STOA_FAIL(err, STOA_EALIGN, "layout '%s': alignment %u is not a power of two", name, (unsigned)align);
    if (layout->view_bytes && layout->view_bytes < sizeof(stoa_view_head))
        return STOA_FAIL(err, STOA_EINVAL, "layout '%s': view struct of %u bytes, its head alone has %zu", name,
                         (unsigned)layout->view_bytes, sizeof(stoa_view_head));
    if (rows > STOA_LAYOUT_ROWS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "layout '%s': %u rows given, at most %u", name, (unsigned)rows, (unsigned)STOA_LAYOUT_ROWS_MAX);
    return STOA_OK;
}

/* The extents that a kind leaves open are free, the others must be 1: a table that says otherwise was filled
 * wrongly.
 */
static stoa_status check_extents(const char *layout, const stoa_column_desc *column, stoa_error *err)
{
    const uint32_t rows = column->extent[0], columns = column->extent[1];
    const bool plain = column->kind == STOA_KIND_COLUMN || column->kind == STOA_KIND_SCALAR;
    if ((unsigned)column->kind > STOA_KIND_MATRIX)
        return STOA_FAIL(err, STOA_EINVAL, "layout '%s', column '%s': unknown kind %u", layout, column->name, (unsigned)column->kind);
    if (!rows || !columns || (plain && rows != 1) || (column->kind != STOA_KIND_MATRIX && columns != 1))
        return STOA_FAIL(err, STOA_EINVAL, "layout '%s', column '%s': extents %u x %u do not fit its kind", layout, column->name,
                         (unsigned)rows, (unsigned)columns);
    if ((uint64_t)rows * columns > UINT32_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "layout '%s', column '%s': %u x %u components, at most %u", layout, column->name, (unsigned)rows,
                         (unsigned)columns, (unsigned)UINT32_MAX);
    return STOA_OK;
}

/* The pointer (and stride) must lie inside the view struct, behind its head: binding writes there. */
static stoa_status check_member(const stoa_layout *layout, const stoa_column_desc *column, stoa_error *err)
{
    if (!layout->view_bytes) return STOA_OK;
    const bool components = column->kind == STOA_KIND_VECTOR || column->kind == STOA_KIND_MATRIX;
    const size_t member = components ? sizeof(void *) + sizeof(int64_t) : sizeof(void *);
    if (column->member_offset < sizeof(stoa_view_head) || column->member_offset % sizeof(void *) ||
        (uint64_t)column->member_offset + member > layout->view_bytes)
        return STOA_FAIL(err, STOA_EINVAL, "layout '%s', column '%s': member offset %u in a view struct of %u bytes",
                         stoai_name(layout->name), column->name, (unsigned)column->member_offset, (unsigned)layout->view_bytes);
    return STOA_OK;
}

static stoa_status check_column(const stoa_layout *layout, uint32_t index, stoa_error *err)
{
    const stoa_column_desc *column = &layout->columns[index];
    const char *name = stoai_name(layout->name);
    if (!column->name || !*column->name) return STOA_FAIL(err, STOA_EINVAL, "layout '%s': column %u has no name", name, (unsigned)index);
    if (!stoa_dtype_bytes(column->dtype))
        return STOA_FAIL(err, STOA_EDTYPE, "layout '%s', column '%s': unknown dtype %u", name, column->name, (unsigned)column->dtype);
    STOA_TRY(check_extents(name, column, err));
    if (stoai_layout_align(layout) < stoai_dtype_align(column->dtype))
        return STOA_FAIL(err, STOA_EALIGN, "layout '%s', column '%s': alignment %u given, %s needs %zu", name, column->name,
                         (unsigned)stoai_layout_align(layout), stoa_dtype_name(column->dtype), stoai_dtype_align(column->dtype));
    return check_member(layout, column, err);
}

stoa_status stoai_layout_check_quick(const stoa_layout *layout, uint32_t rows, stoa_error *err)
{
    STOA_TRY(check_table(layout, rows, err));
    for (uint32_t i = 0; i < layout->column_count; i++) STOA_TRY(check_column(layout, i, err));
    return STOA_OK;
}

stoa_status stoa_layout_check(const stoa_layout *layout, stoa_error *err)
{
    STOA_TRY(stoai_layout_check_quick(layout, 0, err));
    for (uint32_t i = 1; i < layout->column_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(layout->columns[i].name, layout->columns[j].name) == 0)
                return STOA_FAIL(err, STOA_ENAME, "layout '%s': columns %u and %u are both named '%s'", stoai_name(layout->name),
                                 (unsigned)j, (unsigned)i, layout->columns[i].name);
    return STOA_OK;
}

stoa_status stoai_column_place(const stoa_layout *layout, uint32_t rows, uint32_t index, size_t *cursor, stoa_column_geometry *geometry,
                               stoa_error *err)
{
    const stoa_column_desc *column = &layout->columns[index];
    const uint64_t padded = stoai_padded_bytes(layout, column->dtype, stoai_column_rows(column, rows));
    const uint64_t count = (uint64_t)column->extent[0] * column->extent[1];
    if (padded && count > (STOAI_BYTES_MAX - *cursor) / padded)
        return STOA_FAIL(err, STOA_ELIMIT, "layout '%s', column '%s': offset %zu plus %u x %llu bytes exceed %llu bytes",
                         stoai_name(layout->name), column->name, *cursor, (unsigned)count, (unsigned long long)padded,
                         (unsigned long long)STOAI_BYTES_MAX);
    *geometry = (stoa_column_geometry){
        .offset_bytes = *cursor,
        .bytes = (size_t)(count * padded),
        .component_stride = (int64_t)(padded / stoa_dtype_bytes(column->dtype)),
        .component_count = (uint32_t)count,
    };
    *cursor += geometry->bytes;
    return STOA_OK;
}

stoa_status stoa_layout_bytes(const stoa_layout *layout, uint32_t rows, size_t *bytes, stoa_error *err)
{
    if (!bytes) return STOA_FAIL(err, STOA_EINVAL, "layout bytes: NULL result");
    *bytes = 0;
    STOA_TRY(stoai_layout_check_quick(layout, rows, err));
    size_t cursor = 0;
    stoa_column_geometry geometry;
    for (uint32_t i = 0; i < layout->column_count; i++) STOA_TRY(stoai_column_place(layout, rows, i, &cursor, &geometry, err));
    *bytes = cursor;
    return STOA_OK;
}

stoa_status stoa_layout_place(const stoa_layout *layout, uint32_t rows, uint32_t index, stoa_column_geometry *geometry, stoa_error *err)
{
    if (!geometry) return STOA_FAIL(err, STOA_EINVAL, "layout place: NULL result");
    *geometry = (stoa_column_geometry){0};
    STOA_TRY(stoai_layout_check_quick(layout, rows, err));
    if (index >= layout->column_count)
        return STOA_FAIL(err, STOA_EINVAL, "layout '%s': column %u asked for, it has %u", stoai_name(layout->name), (unsigned)index,
                         (unsigned)layout->column_count);
    size_t cursor = 0;
    stoa_column_geometry place = {0};
    for (uint32_t i = 0; i <= index; i++) STOA_TRY(stoai_column_place(layout, rows, i, &cursor, &place, err));
    *geometry = place;
    return STOA_OK;
}

stoa_status stoa_layout_find(const stoa_layout *layout, const char *name, uint32_t *index, stoa_error *err)
{
    if (!name || !index) return STOA_FAIL(err, STOA_EINVAL, "layout find: NULL %s", name ? "result" : "name");
    *index = 0;
    STOA_TRY(stoai_layout_check_quick(layout, 0, err));
    char names[640] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        if (strcmp(layout->columns[i].name, name) == 0) {
            *index = i;
            return STOA_OK;
        }
    }
    for (uint32_t i = 0; i < layout->column_count; i++) stoai_list_append(names, sizeof names, &used, layout->columns[i].name);
    return STOA_FAIL(err, STOA_ENAME, "layout '%s': no column '%s'; it has %s", stoai_name(layout->name), name, names);
}

/* Member pointers are T *, written as the bytes of a void *: all object pointers have one representation
 * here. */
static void bind_members(const stoa_layout *layout, uint32_t rows, uintptr_t blob, stoa_view_head *view)
{
    size_t cursor = 0;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const stoa_column_desc *column = &layout->columns[i];
        stoa_column_geometry geometry;
        if (stoai_column_place(layout, rows, i, &cursor, &geometry, NULL) != STOA_OK) return; /* stoa_layout_bytes passed */
        char *member = (char *)view + column->member_offset;
        void *data = (void *)(blob + geometry.offset_bytes);
        memcpy(member, &data, sizeof data);
        if (column->kind == STOA_KIND_VECTOR || column->kind == STOA_KIND_MATRIX)
            memcpy(member + sizeof data, &geometry.component_stride, sizeof geometry.component_stride);
    }
}

static stoa_status bind(const stoa_view_head *head, size_t blob_bytes, stoa_view_head *view, stoa_error *err)
{
    if (!view) return STOA_FAIL(err, STOA_EINVAL, "layout bind: NULL view");
    *view = (stoa_view_head){0};
    size_t needed;
    STOA_TRY(stoa_layout_bytes(head->layout, head->rows, &needed, err));
    const char *name = stoai_name(head->layout->name);
    const uint32_t align = stoai_layout_align(head->layout);
    if (!head->layout->view_bytes) return STOA_FAIL(err, STOA_EINVAL, "layout '%s': has no view struct", name);
    if (needed > blob_bytes)
        return STOA_FAIL(err, STOA_ESHAPE, "layout '%s' of %u rows: blob of %zu bytes given, %zu needed", name, (unsigned)head->rows,
                         blob_bytes, needed);
    if (needed && !head->blob) return STOA_FAIL(err, STOA_EINVAL, "layout '%s': blob is NULL, %zu bytes needed", name, needed);
    if ((uintptr_t)head->blob & (align - 1))
        return STOA_FAIL(err, STOA_EALIGN, "layout '%s': blob at %p, alignment %u needed", name, head->blob, (unsigned)align);
    *view = *head;
    bind_members(head->layout, head->rows, (uintptr_t)head->blob, view);
    return STOA_OK;
}

stoa_status stoa_layout_bind(const stoa_layout *layout, uint32_t rows, void *blob, size_t blob_bytes, stoa_place place,
                             stoa_view_head *view, stoa_error *err)
{
    const stoa_view_head head = {layout, blob, rows, 0, place};
    return bind(&head, blob_bytes, view, err);
}

stoa_status stoa_layout_bind_const(const stoa_layout *layout, uint32_t rows, const void *blob, size_t blob_bytes, stoa_place place,
                                   stoa_view_head *view, stoa_error *err)
{
    const stoa_view_head head = {layout, (void *)(uintptr_t)blob, rows, STOA_VIEW_CONST, place};
    return bind(&head, blob_bytes, view, err);
}
