/* SPDX-License-Identifier: Apache-2.0 */
/* What every step sees while a tile runs. Private to kernels.c. */
#ifndef STOA_NATIVE_TILE_H
#define STOA_NATIVE_TILE_H

#include "runtime/native/program.h"
#include "runtime/native/vmath.h"

typedef struct tile {
    float *base;                  /* workspace */
    size_t pitch;                 /* lanes of a column: rows rounded up to vectors, or 1 for a row alone */
    size_t vectors;               /* of a column; 1 for a row alone, of which one lane counts */
    uint32_t first, rows;         /* of the caller's columns */
    uint32_t ahead;               /* rows of the next tile, worth fetching now; 0: none */
    const stoa_bound *inputs, *outputs;
} tile;

INLINE float *tile_column(const tile *t, uint32_t ref) { return t->base + ref * t->pitch; }
INLINE bool tile_is_row(const tile *t) { return t->pitch == 1; }

INLINE uint32_t type_bytes(native_type type) { return type == NATIVE_F64 || type == NATIVE_I64 ? 8 : 4; }
INLINE uint32_t operand_ref(const native_operand *o, uint32_t i)
{
    return o->refs != NULL ? o->refs[i] : o->first + i * (type_bytes(o->type) / 4);
}

#endif
