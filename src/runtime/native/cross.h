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
        for (uint32_t i = 0; i < rows; i++)
            ((float *)column)[i] = from[row[i] * stride];
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
        if (found)
            gather_column(s, tile_values(t, s) + i, row, rows, column);
        memset(column + rows * bytes, 0, (t->pitch - rows) * bytes);
    }
}

/* U: type of wrapping arithmetic. Rows one after the other: several may name the same. */
#define SCATTER_DEFINE(suffix, T, U)                                                                      \
    static void scatter_##suffix(native_op op, void *memory, const void *column, const uint32_t *row, uint32_t rows) \
    {                                                                                                     \
        T *to = memory;                                                                                   \
        const T *from = column;                                                                           \
        switch ((int)op) {                                                                                \
        case NATIVE_ADD:                                                                                  \
            for (uint32_t i = 0; i < rows; i++)                                                           \
                to[row[i]] = (T)((U)to[row[i]] + (U)from[i]);                                             \
            break;                                                                                        \
        case NATIVE_MUL:                                                                                  \
            for (uint32_t i = 0; i < rows; i++)                                                           \
                to[row[i]] = (T)((U)to[row[i]] * (U)from[i]);                                             \
            break;                                                                                        \
        case NATIVE_MIN:                                                                                  \
            for (uint32_t i = 0; i < rows; i++)                                                           \
                to[row[i]] = from[i] < to[row[i]] ? from[i] : to[row[i]];                                 \
            break;                                                                                        \
        case NATIVE_MAX:                                                                                  \
            for (uint32_t i = 0; i < rows; i++)                                                           \
                to[row[i]] = from[i] > to[row[i]] ? from[i] : to[row[i]];                                 \
            break;                                                                                        \
        }                                                                                                 \
    }
SCATTER_DEFINE(f32, float, float)
SCATTER_DEFINE(f64, double, double)
SCATTER_DEFINE(i32, int32_t, uint32_t)
SCATTER_DEFINE(i64, int64_t, uint64_t)
#undef SCATTER_DEFINE

static void step_scatter(const tile *t, const native_step *s)
{
    static void (*const kernels[])(native_op, void *, const void *, const uint32_t *, uint32_t) = {
        [NATIVE_F32] = scatter_f32, [NATIVE_F64] = scatter_f64, [NATIVE_I32] = scatter_i32, [NATIVE_I64] = scatter_i64};
    uint32_t row[NATIVE_TILE_MAX];
    if (!find_rows(t, s, row))
        return;
    for (uint32_t i = 0; i < s->count; i++)
        kernels[s->type](s->op, tile_values(t, s)[i].data, tile_column(t, operand_ref(&s->in[1], i)), row, t->rows);
}

#endif
