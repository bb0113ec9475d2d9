/* SPDX-License-Identifier: Apache-2.0 */
/* Records to columns and back, ordered on a queue: a kernel over a list of fields that the layout's table becomes. */
#include "stoa/collection.h"
#include "stoa/kernel.h"

#include <string.h>

/* One component of a column: where its values begin in the blob and lie in a record. */
typedef struct transpose_field {
    uint64_t offset;
    uint32_t place;
    uint16_t bytes, word; /* 1, 2, 4, 8 or 16 bytes, aligned to a word: a complex number's parts are words */
} transpose_field;

/* As many fields as an argument struct has room for; a layout of more takes several launches. */
enum { TRANSPOSE_FIELDS = 60 };

typedef struct transpose_args {
    char *blob, *records;
    uint64_t record_bytes;
    uint32_t rows, count, to_records;
    uint32_t tile_rows, slot_bytes; /* of a block's own memory */
    transpose_field field[TRANSPOSE_FIELDS];
} transpose_args;

#ifdef __CUDACC__
STOA_DEVICE void move_value(char *to, const char *from, transpose_field field)
{
    for (uint32_t at = 0; at < field.bytes; at += field.word, to += field.word, from += field.word) switch (field.word) {
        case 1: *to = *from; break;
        case 2: *(uint16_t *)to = *(const uint16_t *)from; break;
        case 4: *(uint32_t *)to = *(const uint32_t *)from; break;
        default: *(uint64_t *)to = *(const uint64_t *)from; break;
        }
}

/* A tile's values between the records and the block's memory: neighbouring workers have neighbouring fields. */
STOA_DEVICE void move_records(const transpose_args *args, char *tile, uint32_t first, uint32_t rows, stoa_grid grid)
{
    const uint32_t pitch = (args->count | 1) * args->slot_bytes;
    STOA_FOR (i, grid, rows * args->count) {
        const uint32_t row = i / args->count, k = i % args->count;
        char *value = args->records + (first + row) * args->record_bytes + args->field[k].place;
        char *here = tile + row * pitch + k * args->slot_bytes;
        move_value(args->to_records ? value : here, args->to_records ? here : value, args->field[k]);
    }
}

/* And between the block's memory and the columns: neighbouring workers have neighbouring rows. */
STOA_DEVICE void move_columns(const transpose_args *args, char *tile, uint32_t first, uint32_t rows, stoa_grid grid)
{
    const uint32_t pitch = (args->count | 1) * args->slot_bytes;
    for (uint32_t k = 0; k < args->count; k++) {
        const uint32_t bytes = args->field[k].bytes;
        char *column = args->blob + args->field[k].offset + (uint64_t)first * bytes;
        STOA_FOR (row, grid, rows) {
            char *value = column + (uint64_t)row * bytes, *here = tile + row * pitch + k * args->slot_bytes;
            move_value(args->to_records ? here : value, args->to_records ? value : here, args->field[k]);
        }
    }
}

STOA_KERNEL_TILES(stoa_transpose, transpose_args)
{
    char *tile = (char *)STOA_BLOCK_MEMORY();
    for (uint64_t first = (uint64_t)grid.block * args->tile_rows; first < args->rows; first += (uint64_t)grid.blocks * args->tile_rows) {
        const uint32_t left = args->rows - (uint32_t)first, rows = left < args->tile_rows ? left : args->tile_rows;
        if (args->to_records) move_columns(args, tile, (uint32_t)first, rows, grid);
        else move_records(args, tile, (uint32_t)first, rows, grid);
        STOA_BARRIER();
        if (args->to_records) move_records(args, tile, (uint32_t)first, rows, grid);
        else move_columns(args, tile, (uint32_t)first, rows, grid);
        STOA_BARRIER();
    }
}
#else
#include "soa/geometry.h"

/* A tile of records stays in the first-level cache while each column takes its values from it. */
#define TILE_BYTES 16384u
#define TILE_ROWS_MIN 16u
#define BLOCK_BYTES 16384u /* of a GPU's block: several of them share a multiprocessor */

/* `count` elements of constant size between a column and the records; memcpy becomes one load and one store. */
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

static void transpose_tile(const transpose_args *args, size_t first, size_t count)
{
    for (uint32_t k = 0; k < args->count; k++) {
        const size_t bytes = args->field[k].bytes, step = args->record_bytes;
        char *value = args->blob + args->field[k].offset + first * bytes, *place = args->records + first * step + args->field[k].place;
        if (args->to_records) copy_run(place, step, value, bytes, bytes, count);
        else copy_run(value, bytes, place, step, bytes, count);
    }
}

static void transpose_host(const void *pointer)
{
    const transpose_args *args = pointer;
    size_t tile = TILE_BYTES / args->record_bytes / TILE_ROWS_MIN * TILE_ROWS_MIN;
    if (tile < TILE_ROWS_MIN) tile = TILE_ROWS_MIN;
    for (size_t first = 0; first < args->rows; first += tile)
        transpose_tile(args, first, args->rows - first < tile ? args->rows - first : tile);
}

static const stoa_kernel transpose_kernel = {sizeof(stoa_kernel), sizeof(transpose_args), "stoa_transpose", transpose_host, BLOCK_BYTES, 0};

/* Where the next column's values lie in a record; moves the cursor behind them. */
static uint64_t record_place(const stoa_column_desc *column, uint64_t *cursor)
{
    if (column->kind == STOA_KIND_SCALAR) return *cursor;
    const uint64_t at = stoai_align_up(*cursor, stoai_dtype_align(column->dtype));
    *cursor = at + (uint64_t)column->extent[0] * column->extent[1] * stoa_dtype_bytes(column->dtype);
    return at;
}

static stoa_status launch(stoa_queue *queue, transpose_args *args, stoa_error *err)
{
    args->slot_bytes = 1;
    for (uint32_t k = 0; k < args->count; k++)
        if (args->field[k].bytes > args->slot_bytes) args->slot_bytes = args->field[k].bytes;
    args->tile_rows = BLOCK_BYTES / ((args->count | 1) * args->slot_bytes);
    const stoa_status status = args->count ? stoa_queue_launch(queue, &transpose_kernel, args, err) : STOA_OK;
    args->count = 0;
    return status;
}

/* The layout is valid, and so is the size of its records. */
static stoa_status launch_fields(stoa_queue *queue, const stoa_layout *layout, transpose_args *args, stoa_error *err)
{
    size_t cursor = 0;
    uint64_t record = 0;
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const stoa_column_desc *column = &layout->columns[i];
        stoa_column_geometry geometry;
        STOA_TRY(stoai_column_place(layout, args->rows, i, &cursor, &geometry, err));
        const uint64_t at = record_place(column, &record);
        const uint16_t bytes = (uint16_t)stoa_dtype_bytes(column->dtype), word = (uint16_t)stoai_dtype_align(column->dtype);
        for (uint32_t k = 0; column->kind != STOA_KIND_SCALAR && k < geometry.component_count; k++) {
            const uint64_t offset = geometry.offset_bytes + (uint64_t)geometry.component_stride * k * bytes;
            args->field[args->count++] = (transpose_field){offset, (uint32_t)at + k * bytes, bytes, word};
            if (args->count == TRANSPOSE_FIELDS) STOA_TRY(launch(queue, args, err));
        }
    }
    return launch(queue, args, err);
}

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
    if (needed > STOAI_BYTES_MAX / soa->rows || needed > UINT32_MAX)
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
    if (!stoa_place_accessible(soa->place, place))
        return STOA_FAIL(err, STOA_EPLACE, "transpose: columns at place %d:%d, queue of place %d:%d", (int)soa->place.type,
                         (int)soa->place.index, (int)place.type, (int)place.index);
    STOA_TRY(check_records(soa, aos, record_bytes, err));
    if (!to_records && (soa->flags & STOA_VIEW_CONST))
        return STOA_FAIL(err, STOA_ECONST, "layout '%s': the view is read-only", stoai_name(soa->layout->name));
    if (!soa->rows) return STOA_OK;
    transpose_args args = {
        .blob = soa->blob, .records = (char *)aos, .record_bytes = record_bytes, .rows = soa->rows, .to_records = to_records};
    return launch_fields(queue, soa->layout, &args, err);
}

stoa_status stoa_soa_from_aos(stoa_queue *queue, const stoa_view_head *soa, const void *aos, size_t record_bytes, stoa_error *err)
{ return transpose(queue, soa, (uintptr_t)aos, record_bytes, false, err); }

stoa_status stoa_soa_to_aos(stoa_queue *queue, const stoa_view_head *soa, void *aos, size_t record_bytes, stoa_error *err)
{ return transpose(queue, soa, (uintptr_t)aos, record_bytes, true, err); }
#endif
