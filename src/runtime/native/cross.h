/* SPDX-License-Identifier: Apache-2.0 */
/* Steps between row axes: GATHER and SCATTER, by a column of row numbers. Private to kernels.c. */
#ifndef STOA_NATIVE_CROSS_H
#define STOA_NATIVE_CROSS_H

#include <string.h>

#include "runtime/native/convert.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"

/* The row numbers that the step's first operand holds, those below 0 counted from the end as ONNX does. False when one is beyond
 * its axis, which the call remembers. */
static bool find_rows(const tile *t, const native_step *s, uint32_t *row)
{
    const void *column = tile_column(t, operand_ref(&s->in[0], 0));
    const bool wide = s->in[0].type == NATIVE_I64;
    const int64_t rows = t->call->rows[s->other];
    for (uint32_t i = 0; i < t->rows; i++) {
        const int64_t given = wide ? ((const int64_t *)column)[i] : ((const int32_t *)column)[i];
        const int64_t at = given < 0 ? given + rows : given;
        if (at < 0 || at >= rows) {
            if (!t->call->failed) {
                t->call->failed = true;
                t->call->bad_row = given;
                t->call->bad_axis = s->other;
            }
            return false;
        }
        row[i] = t->call->first + (uint32_t)at;
    }
    return true;
}

static void gather_column(const native_step *s, const stoa_bound *b, const uint32_t *row, uint32_t rows, void *column)
{
    const int64_t bytes = memory_bytes[b->dtype], stride = b->row_stride;
    if (b->dtype == STOA_FLOAT32 && s->type == NATIVE_F32) {
        const float *from = b->data;
        for (uint32_t i = 0; i < rows; i++) ((float *)column)[i] = from[row[i] * stride];
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        load_kernels[b->dtype][s->type]((char *)column + i * type_bytes(s->type), (const char *)b->data + row[i] * stride * bytes, 1, 1);
}

static void step_gather(const tile *t, const native_step *s)
{
    uint32_t row[NATIVE_TILE_MAX];
    const uint32_t bytes = type_bytes(s->type);
    const bool found = find_rows(t, s, row);
    for (uint32_t i = 0; i < s->count; i++) {
        char *column = (char *)tile_column(t, s->out + i * (bytes / 4));
        const uint32_t rows = found ? t->rows : 0;
        if (found) gather_column(s, tile_values(t, s) + i, row, rows, column);
        memset(column + rows * bytes, 0, (t->pitch - rows) * bytes);
    }
}

/* So many columns at a time: their sums do not wait for each other, and all pointers fit into registers. */
#define SCATTER_COLUMNS 4

/* Rows one after the other, since several may name the same; what stays the same from row to row stays in registers. U: type of
 * wrapping arithmetic. */
#define SCATTER_LOOP(T, value) \
    for (uint32_t i = 0; i < rows;) { \
        const uint32_t to = row[i]; \
        T a[SCATTER_COLUMNS]; \
        for (uint32_t c = 0; c < count; c++) a[c] = memory[c][to]; \
        for (; i < rows && row[i] == to; i++) \
            for (uint32_t c = 0; c < count; c++) { \
                const T b = column[c][i]; \
                a[c] = (value); \
            } \
        for (uint32_t c = 0; c < count; c++) memory[c][to] = a[c]; \
    } \
    break;
#define SCATTER_DEFINE(suffix, T, U) \
    INLINE void scatter_columns_##suffix(native_op op, T *const *memory, const T *const *column, uint32_t count, const uint32_t *row, \
                                         uint32_t rows) \
    { \
        switch ((int)op) { \
        case NATIVE_ADD: SCATTER_LOOP(T, (T)((U)a[c] + (U)b)) \
        case NATIVE_MUL: SCATTER_LOOP(T, (T)((U)a[c] * (U)b)) \
        case NATIVE_MIN: SCATTER_LOOP(T, b < a[c] ? b : a[c]) \
        case NATIVE_MAX: SCATTER_LOOP(T, b > a[c] ? b : a[c]) \
        } \
    } \
    static void scatter_##suffix(const tile *t, const native_step *s, uint32_t first, uint32_t count, const uint32_t *row) \
    { \
        T *memory[SCATTER_COLUMNS]; \
        const T *column[SCATTER_COLUMNS]; \
        for (uint32_t c = 0; c < count; c++) { \
            memory[c] = tile_values(t, s)[first + c].data; \
            column[c] = (const T *)(const void *)tile_column(t, operand_ref(&s->in[1], first + c)); \
        } \
        if (count == SCATTER_COLUMNS) scatter_columns_##suffix(s->op, memory, column, SCATTER_COLUMNS, row, t->rows); \
        else \
            for (uint32_t c = 0; c < count; c++) scatter_columns_##suffix(s->op, memory + c, column + c, 1, row, t->rows); \
    }
SCATTER_DEFINE(f32, float, float)
SCATTER_DEFINE(f64, double, double)
SCATTER_DEFINE(i32, int32_t, uint32_t)
SCATTER_DEFINE(i64, int64_t, uint64_t)
#undef SCATTER_DEFINE
#undef SCATTER_LOOP

static void step_scatter(const tile *t, const native_step *s)
{
    static void (*const kernels[])(const tile *, const native_step *, uint32_t, uint32_t, const uint32_t *) = {
        [NATIVE_F32] = scatter_f32, [NATIVE_F64] = scatter_f64, [NATIVE_I32] = scatter_i32, [NATIVE_I64] = scatter_i64};
    uint32_t row[NATIVE_TILE_MAX];
    if (!find_rows(t, s, row)) return;
    for (uint32_t first = 0, count; first < s->count; first += count) {
        count = s->count - first < SCATTER_COLUMNS ? s->count - first : SCATTER_COLUMNS;
        kernels[s->type](t, s, first, count, row);
    }
}

#endif
