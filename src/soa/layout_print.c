/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/geometry.h"

#include "stoa/memory.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Text that grows past its capacity is counted and dropped, as snprintf does. */
typedef struct text_sink {
    char *text;
    size_t capacity, length;
} text_sink;

static void put(text_sink *sink, const char *format, ...) STOA_PRINTF(2, 3);
static void put(text_sink *sink, const char *format, ...)
{
    const size_t room = sink->length < sink->capacity ? sink->capacity - sink->length : 0;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(room ? sink->text + sink->length : NULL, room, format, args);
    va_end(args);
    if (length > 0) sink->length += (size_t)length;
}

static const char *kind_name(stoa_column_kind kind)
{
    switch (kind) {
    case STOA_KIND_COLUMN: return "column";
    case STOA_KIND_SCALAR: return "scalar";
    case STOA_KIND_VECTOR: return "vector";
    case STOA_KIND_MATRIX: return "matrix";
    }
    return "?";
}

/* Shape and strides as a tensor of this column alone has them (stoa/tensor.h). */
static void print_column(text_sink *sink, const stoa_column_desc *column, uint32_t rows, const stoa_column_geometry *geometry)
{
    char shape[64], strides[80];
    const unsigned n = (unsigned)rows, r = (unsigned)column->extent[0], c = (unsigned)column->extent[1];
    const long long stride = (long long)geometry->component_stride;
    const int step = column->kind == STOA_KIND_SCALAR ? 0 : 1;
    if (column->kind == STOA_KIND_MATRIX) {
        snprintf(shape, sizeof shape, "[%u,%u,%u]", n, r, c);
        snprintf(strides, sizeof strides, "[%d,%lld,%lld]", step, stride, (long long)r * stride);
    } else {
        snprintf(shape, sizeof shape, "[%u,%u]", n, r);
        snprintf(strides, sizeof strides, "[%d,%lld]", step, stride);
    }
    put(sink, "%10zu %10zu  %-6s  %-10s  %-14s  %-16s  %s", geometry->offset_bytes, geometry->bytes, kind_name(column->kind),
        stoa_dtype_name(column->dtype), shape, strides, column->name);
    if (column->unit && *column->unit) put(sink, " [%s]", column->unit);
    if (column->doc && *column->doc) put(sink, ": %s", column->doc);
    put(sink, "\n");
}

int stoa_layout_print(const stoa_layout *layout, uint32_t rows, char *text, size_t capacity)
{
    size_t bytes, cursor = 0;
    if (capacity && !text) return -1;
    if (capacity) text[0] = '\0';
    if (stoa_layout_bytes(layout, rows, &bytes, NULL) != STOA_OK) return -1;
    text_sink sink = {text, capacity, 0};
    put(&sink, "layout %s: %u rows, %zu bytes, alignment %u, %u columns\n", stoai_name(layout->name), (unsigned)rows, bytes,
        (unsigned)stoai_layout_align(layout), (unsigned)layout->column_count);
    put(&sink, "%10s %10s  %-6s  %-10s  %-14s  %-16s  %s\n", "offset", "bytes", "kind", "dtype", "shape", "strides", "name");
    for (uint32_t i = 0; i < layout->column_count; i++) {
        stoa_column_geometry geometry;
        if (stoai_column_place(layout, rows, i, &cursor, &geometry, NULL) != STOA_OK) return -1;
        print_column(&sink, &layout->columns[i], rows, &geometry);
    }
    return sink.length > INT_MAX ? -1 : (int)sink.length;
}

/* Not assert(): the library may be a release build while the caller's is a debug one. */
uint32_t stoa_row_check(uint32_t row, uint32_t rows, const char *where)
{
    if (row < rows) return row;
    stoa_log(STOA_LOG_ERROR, "%s: row %u of a view of %u rows", stoai_name(where), (unsigned)row, (unsigned)rows);
    fprintf(stderr, "%s: row %u of a view of %u rows\n", stoai_name(where), (unsigned)row, (unsigned)rows);
    abort();
}
