/* SPDX-License-Identifier: Apache-2.0 */
/* What the soa and tensor layers share about layouts: alignment, and the walk that places the columns. */
#ifndef STOA_SRC_SOA_GEOMETRY_H
#define STOA_SRC_SOA_GEOMETRY_H

#include "stoa/layout.h"

/* Sizes stay below this, so that offsets fit int64_t and pointer differences everywhere. */
#define STOAI_BYTES_MAX ((uint64_t)PTRDIFF_MAX)

/* `align_bytes` is a power of two; callers know that `value` is far below 2^64. */
static inline uint64_t stoai_align_up(uint64_t value, uint64_t align_bytes) { return (value + align_bytes - 1) & ~(align_bytes - 1); }

/* The alignment in force: 0 in the table means the default. */
static inline uint32_t stoai_layout_align(const stoa_layout *layout)
{ return layout->align_bytes ? layout->align_bytes : STOA_LAYOUT_ALIGN_BYTES; }

/* Bytes of one column of `rows` elements, padded. Rows are below 2^32, elements 16 bytes: no overflow. */
static inline uint64_t stoai_padded_bytes(const stoa_layout *layout, stoa_dtype dtype, uint32_t rows)
{ return stoai_align_up((uint64_t)rows * stoa_dtype_bytes(dtype), stoai_layout_align(layout)); }

/* Rows that a column really has: a scalar is one element in all. */
static inline uint32_t stoai_column_rows(const stoa_column_desc *column, uint32_t rows)
{ return column->kind == STOA_KIND_SCALAR ? 1u : rows; }

static inline const char *stoai_name(const char *name) { return name ? name : "(none)"; }

/* Natural alignment of an element: its size, for complex numbers that of a part. 1 for an unknown type. */
size_t stoai_dtype_align(stoa_dtype dtype);

/* Everything that stoa_layout_check looks at but unique names: linear, so that each bind can afford it. */
stoa_status stoai_layout_check_quick(const stoa_layout *layout, uint32_t rows, stoa_error *err);

/* Place one column of a checked layout at `*cursor`, and move the cursor behind it. ELIMIT on overflow. */
stoa_status stoai_column_place(const stoa_layout *layout, uint32_t rows, uint32_t index, size_t *cursor, stoa_column_geometry *geometry,
                               stoa_error *err);

/* Append "'name'" to a list in an error message; silently stops when `text` is full. */
void stoai_list_append(char *text, size_t capacity, size_t *used, const char *name);

#endif
