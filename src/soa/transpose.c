/* SPDX-License-Identifier: Apache-2.0 */
/* Records to columns and back: a host kernel, ordered on a queue, that walks the layout's table. */
#include "soa/geometry.h"
#include "stoa/collection.h"

#include <string.h>

/* A tile of records stays in the first-level cache while each column takes its values from it. */
#define TILE_BYTES 16384u
#define TILE_ROWS_MIN 16u

typedef struct transpose_args {
    stoa_view_head soa;
    char *aos;
    uint64_t record_bytes;
    uint64_t to_records;
} transpose_args;

/* `count` elements of constant size between a column and the records; memcpy becomes one load and one store.
 */
#define TRANSPOSE_RUN(bytes) \
    for (size_t i = 0; i < count; i++) memcpy(dst + i * dst_step, src + i * src_step, (bytes))

static void copy_run(char *dst, size_t dst_step, const char *src, size_t src_step, size_t element, size_t count)
{
    switch (element) {
    case 1: TRANSPOSE_RUN(1); break;
    case 2: TRANSPOSE_RUN(2); break;
    case 4: TRANSPOSE_RUN(4); break;
    case 8: TRANSPOSE_RUN(8); break;
    default: TRANSPOSE_RUN(16); break;
    }
}
#undef TRANSPOSE_RUN

/* Where the next column's values lie in a record; moves the cursor behind them. */
static uint64_t record_place(const stoa_column_desc *column, uint64_t *cursor)
{
    if (column->kind == STOA_KIND_SCALAR) return *cursor;
    const uint64_t at = stoai_align_up(*cursor, stoai_dtype_align(column->dtype));
    *cursor = at + (uint64_t)column->extent[0] * column->extent[1] * stoa_dtype_bytes(column->dtype);
    return at;
}

static void transpose_tile(const transpose_args *args, size_t first, size_t count)
{
    const stoa_layout *layout = args->soa.layout;
    size_t cursor = 0;
    uint64_t record = 0;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const stoa_column_desc *column = &layout->columns[i];
        stoa_column_geometry geometry;
        if (stoai_column_place(layout, args->soa.rows, i, &cursor, &geometry, NULL) != STOA_OK) return; /* checked before */
        const size_t at = (size_t)record_place(column, &record), element = stoa_dtype_bytes(column->dtype);
        if (column->kind == STOA_KIND_SCALAR) continue;
        for (uint32_t k = 0; k < geometry.component_count; k++) {
            const size_t offset = geometry.offset_bytes + ((size_t)geometry.component_stride * k + first) * element;
            char *value = (char *)args->soa.blob + offset;
            char *field = args->aos + first * args->record_bytes + at + k * element;
            if (args->to_records) copy_run(field, args->record_bytes, value, element, element, count);
            else copy_run(value, element, field, args->record_bytes, element, count);
        }
    }
}

static void transpose_host(const void *pointer)
{
    const transpose_args *args = pointer;
    size_t tile = TILE_BYTES / args->record_bytes / TILE_ROWS_MIN * TILE_ROWS_MIN;
    if (tile < TILE_ROWS_MIN) tile = TILE_ROWS_MIN;
    for (size_t first = 0; first < args->soa.rows; first += tile)
        transpose_tile(args, first, args->soa.rows - first < tile ? args->soa.rows - first : tile);
}

static const stoa_kernel transpose_kernel = {sizeof(stoa_kernel), sizeof(transpose_args), "stoa_transpose", transpose_host, 0, 0};

/* Size and alignment of a record; 0 bytes when the layout is invalid or has scalars only. */
static uint64_t record_geometry(const stoa_layout *layout, size_t *align_bytes)
{
    uint64_t bytes = 0;
    *align_bytes = 1;
    if (stoai_layout_check_quick(layout, 0, NULL) != STOA_OK) return 0;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const stoa_column_desc *column = &layout->columns[i];
        if (column->kind == STOA_KIND_SCALAR) continue;
        record_place(column, &bytes);
        if (stoai_dtype_align(column->dtype) > *align_bytes) *align_bytes = stoai_dtype_align(column->dtype);
        if (bytes > STOAI_BYTES_MAX / 2) return 0;
    }
    return stoai_align_up(bytes, *align_bytes);
}

size_t stoa_layout_record_bytes(const stoa_layout *layout)
{
    size_t align_bytes;
    return (size_t)record_geometry(layout, &align_bytes);
}

static stoa_status check_records(const stoa_view_head *soa, uintptr_t aos, size_t record_bytes, stoa_error *err)
{
    size_t soa_bytes, align_bytes;
    STOA_TRY(stoa_layout_bytes(soa->layout, soa->rows, &soa_bytes, err));
    const char *name = stoai_name(soa->layout->name);
    const uint64_t needed = record_geometry(soa->layout, &align_bytes);
    if (!needed || needed != record_bytes)
        return STOA_FAIL(err, STOA_ESHAPE, "layout '%s': records of %zu bytes given, %llu needed", name, record_bytes,
                         (unsigned long long)needed);
    if (!soa->rows) return STOA_OK;
    if (!soa->blob || !aos) return STOA_FAIL(err, STOA_EINVAL, "layout '%s': NULL %s", name, aos ? "blob" : "records");
    if (aos % align_bytes || (uintptr_t)soa->blob % stoai_layout_align(soa->layout))
        return STOA_FAIL(err, STOA_EALIGN, "layout '%s': records at %p need alignment %zu, blob at %p needs %u", name, (void *)aos,
                         align_bytes, soa->blob, (unsigned)stoai_layout_align(soa->layout));
    if (needed > STOAI_BYTES_MAX / soa->rows)
        return STOA_FAIL(err, STOA_ELIMIT, "layout '%s': %u records of %llu bytes", name, (unsigned)soa->rows, (unsigned long long)needed);
    const uintptr_t blob = (uintptr_t)soa->blob;
    if (blob < aos + needed * soa->rows && aos < blob + soa_bytes)
        return STOA_FAIL(err, STOA_EOVERLAP, "layout '%s': %zu bytes of columns at %p overlap the records at %p", name, soa_bytes,
                         soa->blob, (void *)aos);
    return STOA_OK;
}

static stoa_status transpose(stoa_queue *queue, const stoa_view_head *soa, uintptr_t aos, size_t record_bytes, bool to_records,
                             stoa_error *err)
{
    if (!queue || !soa) return STOA_FAIL(err, STOA_EINVAL, "transpose: NULL %s", queue ? "view" : "queue");
    const stoa_place place = stoa_device_place(stoa_queue_device(queue));
    if (place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_ENOTSUP, "transpose: host queues only, this one is of place %d:%d", (int)place.type, (int)place.index);
    if (!stoa_place_accessible(soa->place, place))
        return STOA_FAIL(err, STOA_EPLACE, "transpose: columns at place %d:%d, queue of place %d:%d", (int)soa->place.type,
                         (int)soa->place.index, (int)place.type, (int)place.index);
    STOA_TRY(check_records(soa, aos, record_bytes, err));
    if (!to_records && (soa->flags & STOA_VIEW_CONST))
        return STOA_FAIL(err, STOA_ECONST, "layout '%s': the view is read-only", stoai_name(soa->layout->name));
    if (!soa->rows) return STOA_OK;
    const transpose_args args = {*soa, (char *)aos, record_bytes, to_records};
    return stoa_queue_launch(queue, &transpose_kernel, &args, err);
}

stoa_status stoa_soa_from_aos(stoa_queue *queue, const stoa_view_head *soa, const void *aos, size_t record_bytes, stoa_error *err)
{ return transpose(queue, soa, (uintptr_t)aos, record_bytes, false, err); }

stoa_status stoa_soa_to_aos(stoa_queue *queue, const stoa_view_head *soa, void *aos, size_t record_bytes, stoa_error *err)
{ return transpose(queue, soa, (uintptr_t)aos, record_bytes, true, err); }
