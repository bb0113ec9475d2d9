/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/span.h"

/* More pairs of components than this are not looked at one by one. */
#define PAIRS_MAX 65536u

/* One component of a column, in bytes: `rows` elements of `size` bytes, `step` apart. */
typedef struct lattice {
    uint64_t start;
    int64_t step, size;
    uint32_t rows;
} lattice;

/* Elements a + i*step and b + j*step meet when i - j brings the distance of the starts below an element's
 * size. Only the two multiples of `step` next to that distance can. */
static bool lattices_meet(lattice a, lattice b)
{
    const int64_t distance = (int64_t)(b.start - a.start);
    if (a.step == 0) return distance < a.size && distance > -b.size;
    const int64_t quotient = distance / a.step;
    for (int64_t m = quotient - 1; m <= quotient + 1; m++) {
        if (m > (int64_t)a.rows - 1 || -m > (int64_t)b.rows - 1) continue;
        const int64_t rest = (int64_t)((uint64_t)distance - (uint64_t)(m * a.step));
        if (rest < a.size && rest > -b.size) return true;
    }
    return false;
}

static lattice component(const stoa_column *column, uint32_t index, uint32_t first, uint32_t rows)
{
    const int64_t size = (int64_t)stoa_dtype_bytes((stoa_dtype)column->dtype);
    const int64_t r = index % column->extent[0], c = index / column->extent[0];
    const int64_t at = (int64_t)first * column->row_stride + r * column->stride[0] + c * column->stride[1];
    const int64_t step = rows > 1 ? column->row_stride * size : 0; /* a stride that is not stepped is not checked */
    return (lattice){(uint64_t)(uintptr_t)column->data + (uint64_t)(at * size), step, size, rows};
}

static bool columns_overlap(const stoa_column *a, uint32_t a_first, uint32_t a_rows, const stoa_column *b, uint32_t b_first,
                            uint32_t b_rows)
{
    stoai_span in_a, in_b;
    if (a->row_stride == 0 && a_rows > 1) a_rows = 1; /* all rows are the same elements */
    if (b->row_stride == 0 && b_rows > 1) b_rows = 1;
    if (!stoa_place_accessible(a->place, b->place)) return false;
    if (!stoai_column_span(a, a_first, a_rows, &in_a) || !stoai_column_span(b, b_first, b_rows, &in_b)) return true;
    if (in_a.low == in_a.high || in_b.low == in_b.high) return false;
    const uint64_t a_data = (uint64_t)(uintptr_t)a->data, b_data = (uint64_t)(uintptr_t)b->data;
    if (a_data + (uint64_t)in_a.high <= b_data + (uint64_t)in_b.low || b_data + (uint64_t)in_b.high <= a_data + (uint64_t)in_a.low)
        return false;
    const uint64_t a_count = (uint64_t)a->extent[0] * a->extent[1], b_count = (uint64_t)b->extent[0] * b->extent[1];
    const int64_t a_size = (int64_t)stoa_dtype_bytes((stoa_dtype)a->dtype), b_size = (int64_t)stoa_dtype_bytes((stoa_dtype)b->dtype);
    if (a_count > PAIRS_MAX || b_count > PAIRS_MAX || a_count * b_count > PAIRS_MAX) return true;
    /* Rows that are not stepped over, a single one or none, have no stride to compare. */
    if (a_rows > 1 && b_rows > 1 && a->row_stride * a_size != b->row_stride * b_size) return true;
    for (uint32_t i = 0; i < a_count; i++)
        for (uint32_t j = 0; j < b_count; j++) {
            lattice x = component(a, i, a_first, a_rows), y = component(b, j, b_first, b_rows);
            if (x.rows == 1) x.step = y.step;
            if (lattices_meet(x, y)) return true;
        }
    return false;
}

/* Values r, c components and i rows apart are one element when these steps cancel; of two opposite differences one is looked at. */
bool stoai_column_meets_itself(const stoa_column *column, uint32_t rows)
{
    const int64_t lines = column->extent[0], width = column->extent[1], step = column->row_stride;
    const int64_t last = rows > 1 && step ? (int64_t)rows - 1 : 0;
    for (int64_t c = 0; rows && c < width; c++)
        for (int64_t r = c ? 1 - lines : 1; r < lines; r++) {
            const int64_t distance = r * column->stride[0] + c * column->stride[1];
            if (distance == 0) return true;
            if (last && distance % step == 0 && distance / step <= last && distance / step >= -last) return true;
        }
    return false;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

bool stoa_tensor_overlaps(stoa_tensor a, stoa_tensor b, uint32_t rows)
{
    for (uint32_t i = 0; a.columns && i < a.column_count; i++)
        for (uint32_t j = 0; b.columns && j < b.column_count; j++)
            if (columns_overlap(&a.columns[i], a.first_row, least(rows, a.rows), &b.columns[j], b.first_row, least(rows, b.rows)))
                return true;
    return false;
}
