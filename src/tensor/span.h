/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that a column reaches, computed without overflow from strides that nobody vouches for. */
#ifndef STOA_SRC_TENSOR_SPAN_H
#define STOA_SRC_TENSOR_SPAN_H

#include "stoa/tensor.h"

/* Bytes [low, high) relative to the column's data; empty when low == high. */
typedef struct stoai_span {
    int64_t low, high;
} stoai_span;

/* False when rows * stride * size, or the distance of both ends, leaves int64_t. Rows are [first, first + rows). */
bool stoai_column_span(const stoa_column *column, uint32_t first, uint32_t rows, stoai_span *span);

/* Whether two of a column's values are one element of memory; exact. The column has a span; rows of stride 0 count as one row. */
bool stoai_column_meets_itself(const stoa_column *column, uint32_t rows);

#endif
