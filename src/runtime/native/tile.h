/* SPDX-License-Identifier: Apache-2.0 */
/* What every step sees while a tile runs. Private to kernels.c and native.cu, where a column has a lane for each thread's row. */
#ifndef STOA_NATIVE_TILE_H
#define STOA_NATIVE_TILE_H

#include "runtime/native/program.h"
#include "runtime/native/vmath.h"

/* Before a function that is a part of a step: a thread's own copy of the rarer ones would only fill the GPU's registers. */
#if defined(__CUDACC__)
#define STEP_PART static __device__ __noinline__
#else
#define STEP_PART static
#endif

/* Walks the columns of the next tile, a few at a time. Asking for all of them at once would fill the processor's list of
 * outstanding misses and stall it; spread over the blocks of a tile they cost next to nothing. */
typedef struct fetcher {
    const native_step *step, *end;   /* LOAD steps still to do are in [step, end) */
    const native_call *call;
    uint32_t column;                 /* of step, the next one */
    uint32_t first, rows;            /* the next tile */
    uint32_t columns;                /* for each block; 0: there is nothing more to fetch */
} fetcher;

typedef struct tile {
    float *base;                  /* workspace */
    size_t pitch;                 /* lanes of a column: rows rounded up to vectors, or 1 for a row alone */
    size_t vectors;               /* of a column; 1 for a row alone, of which one lane counts */
    uint32_t first, rows;         /* of the caller's columns */
    uint32_t alone;               /* rows that are each alone, `apart` floats after one another; then rows is 1. 0: a batch */
    size_t apart;
    bool streams;                 /* streamed LOADs are left out */
    native_call *call;
    fetcher *fetch;
} tile;

INLINE const stoa_bound *tile_values(const tile *t, const native_step *s) { return &t->call->bounds[s->space][s->first_value]; }
INLINE float *tile_column(const tile *t, uint32_t ref) { return t->base + ref * t->pitch; }
INLINE bool tile_is_row(const tile *t) { return t->pitch == 1; }

INLINE uint32_t type_bytes(native_type type) { return type == NATIVE_F64 || type == NATIVE_I64 ? 8 : 4; }
INLINE uint32_t operand_ref(const native_operand *o, uint32_t i)
{ return o->refs != NULL ? o->refs[i] : o->first + i * (type_bytes(o->type) / 4); }

#ifndef __CUDACC__
/* The rows of a column without gaps. */
static inline void fetch_rows(const fetcher *f, const stoa_bound *b)
{
    const size_t bytes = b->dtype == STOA_FLOAT64 || b->dtype == STOA_INT64 || b->dtype == STOA_UINT64 ? 8 : 4;
    const char *from = (const char *)b->data + f->first * bytes; /* narrower types: too far, which does no harm */
    for (const char *line = from - (uintptr_t)from % 64; line < from + f->rows * bytes; line += 64) __builtin_prefetch(line, 0, 3);
}

/* The next column; NULL at the end. */
static inline const stoa_bound *fetch_next(fetcher *f)
{
    while (f->step < f->end && (f->step->kind != NATIVE_STEP_LOAD || f->column == f->step->count)) f->step++, f->column = 0;
    return f->step < f->end ? &f->call->bounds[f->step->space][f->step->first_value + f->column++] : NULL;
}

/* A call of its own: the registers of the loops around it are not for this. */
static __attribute__((noinline)) void fetch_columns(fetcher *f)
{
    for (uint32_t i = f->columns; i > 0; i--) {
        const stoa_bound *b = fetch_next(f);
        if (b == NULL) {
            f->columns = 0;
            return;
        }
        if (b->row_stride == 1) fetch_rows(f, b);
    }
}

INLINE void fetch_some(fetcher *f)
{
    if (f->columns > 0) fetch_columns(f);
}

#endif

#endif
