/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise steps: one loop per operation and type over flat memory. A batch, a single column and a row alone all pass
 * through the same loop, which is what makes their results equal bit for bit. */
#ifndef STOA_NATIVE_MAPS_H
#define STOA_NATIVE_MAPS_H

#include <string.h>

#include "runtime/native/convert.h"
#include "runtime/native/map_ops.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

/* n elements: out[i] = op(a[i * inc[0]], b[i * inc[1]], c[i * inc[2]]), increments 1, or 0 for a constant (then a whole
 * vector of it). F32 works in whole vectors and may read and write up to one vector past n. */
typedef void (*map_kernel)(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s);

#define F32_DEFINE(name, value) \
    static void map_f32_##name(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const float alpha = s->alpha, beta = s->beta; \
        const float *pa = in[0], *pb = in[1], *pc = in[2]; \
        float *to = out; \
        for (size_t i = 0; i < n; i += LANES) { \
            const vf a = v_load(pa + i * inc[0]), b = v_load(pb + i * inc[1]), c = v_load(pc + i * inc[2]); \
            (void)alpha, (void)beta, (void)b, (void)c; \
            v_store(to + i, value); \
        } \
    }
F32_MAP(F32_DEFINE)
#undef F32_DEFINE

/* The loops; R is the result's type, T and U as above. */
#define SCALAR_DEFINE(prefix, name, R, value) \
    static void map_##prefix##_##name(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const T *pa = in[0], *pb = in[1]; \
        R *to = out; \
        (void)s; \
        for (size_t i = 0; i < n; i++) { \
            const T a = pa[i * inc[0]], b = pb[i * inc[1]]; \
            (void)b; \
            to[i] = (R)(value); \
        } \
    }
/* The condition is I32 whatever the type. */
#define WHERE_DEFINE(prefix) \
    static void map_##prefix##_WHERE(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const int32_t *condition = in[0]; \
        const T *pb = in[1], *pc = in[2]; \
        T *to = out; \
        (void)s; \
        for (size_t i = 0; i < n; i++) to[i] = condition[i * inc[0]] != 0 ? pb[i * inc[1]] : pc[i * inc[2]]; \
    }
#define CLIP_DEFINE(prefix) \
    static void map_##prefix##_CLIP(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const T *pa = in[0], low = INT_OF_DOUBLE(s->low), high = INT_BOUND_OF_DOUBLE(s->high); \
        T *to = out; \
        for (size_t i = 0; i < n; i++) { \
            const T a = pa[i * inc[0]], raised = a < low ? low : a; \
            to[i] = raised > high ? high : raised; \
        } \
    }

#define T double
#define F64_DEFINE(name, value) SCALAR_DEFINE(f64, name, double, value)
#define F64_TO_I32_DEFINE(name, value) SCALAR_DEFINE(f64, name, int32_t, value)
F64_MAP(F64_DEFINE)
F64_TO_I32_MAP(F64_TO_I32_DEFINE)
WHERE_DEFINE(f64)
#undef F64_DEFINE
#undef F64_TO_I32_DEFINE
#undef T

#define T int32_t
#define U uint32_t
#define INT_OF_DOUBLE(x) f64_to_i32(x)
#define INT_BOUND_OF_DOUBLE(x) ((x) >= 0x1p31 ? INT32_MAX : f64_to_i32(x))
#define I32_DEFINE(name, value) SCALAR_DEFINE(i32, name, int32_t, value)
INT_MAP(I32_DEFINE)
INT_TO_I32_MAP(I32_DEFINE)
WHERE_DEFINE(i32)
CLIP_DEFINE(i32)
#undef I32_DEFINE
#undef INT_OF_DOUBLE
#undef INT_BOUND_OF_DOUBLE
#undef U
#undef T

#define T int64_t
#define U uint64_t
#define INT_OF_DOUBLE(x) f64_to_i64(x)
#define INT_BOUND_OF_DOUBLE(x) ((x) >= 0x1p63 ? INT64_MAX : f64_to_i64(x))
#define I64_DEFINE(name, value) SCALAR_DEFINE(i64, name, int64_t, value)
#define I64_TO_I32_DEFINE(name, value) SCALAR_DEFINE(i64, name, int32_t, value)
INT_MAP(I64_DEFINE)
INT_TO_I32_MAP(I64_TO_I32_DEFINE)
WHERE_DEFINE(i64)
CLIP_DEFINE(i64)
#undef I64_DEFINE
#undef I64_TO_I32_DEFINE
#undef INT_OF_DOUBLE
#undef INT_BOUND_OF_DOUBLE
#undef U
#undef T
#undef SCALAR_DEFINE
#undef WHERE_DEFINE
#undef CLIP_DEFINE

/* [type of the operands][op]; NULL: no such operation (lowering asks stoai_native_has). */
static const map_kernel map_kernels[4][NATIVE_OP_COUNT] = {
#define F32_ENTRY(name, value) [NATIVE_F32][NATIVE_##name] = map_f32_##name,
#define F64_ENTRY(name, value) [NATIVE_F64][NATIVE_##name] = map_f64_##name,
#define I32_ENTRY(name, value) [NATIVE_I32][NATIVE_##name] = map_i32_##name,
#define I64_ENTRY(name, value) [NATIVE_I64][NATIVE_##name] = map_i64_##name,
    F32_MAP(F32_ENTRY) F64_MAP(F64_ENTRY) F64_TO_I32_MAP(F64_ENTRY) F64_ENTRY(WHERE, 0) INT_MAP(I32_ENTRY) INT_TO_I32_MAP(I32_ENTRY)
        I32_ENTRY(WHERE, 0) I32_ENTRY(CLIP, 0) INT_MAP(I64_ENTRY) INT_TO_I32_MAP(I64_ENTRY) I64_ENTRY(WHERE, 0) I64_ENTRY(CLIP, 0)
#undef F32_ENTRY
#undef F64_ENTRY
#undef I32_ENTRY
#undef I64_ENTRY
};

static const uint8_t map_operands[NATIVE_OP_COUNT] = {
#define MAP_OPERANDS(name, operands) [NATIVE_##name] = (operands),
    NATIVE_OP_MAP(MAP_OPERANDS)
#undef MAP_OPERANDS
};

/* ------------------------------------------------------------------------------------------------ the executor */

#define CHUNK 64u

/* Batch: a column at a time, constants as one vector. */
static void map_columns(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    const uint32_t out_refs = type_bytes(s->out_type) / 4;
    const size_t n = t->vectors * LANES;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t constant[3][VECTOR_BYTES / 4] = {{0}};
        const void *in[3];
        size_t inc[3] = {0, 0, 0};
        for (uint32_t p = 0; p < 3; p++) {
            const native_operand *o = &s->in[p];
            in[p] = constant[p];
            if (p >= operands) continue;
            if (o->constants == NULL) {
                in[p] = tile_column(t, operand_ref(o, i));
                inc[p] = 1;
            } else if (type_bytes(o->type) == 8) {
                memcpy(constant[p], (const uint64_t *)o->constants + i, 8);
            } else {
                for (size_t lane = 0; lane < LANES; lane++) constant[p][lane] = ((const uint32_t *)o->constants)[i];
            }
        }
        kernel(tile_column(t, s->out + i * out_refs), in, inc, n, s);
    }
}

/* A row alone: elements are gathered so that the same loops run over them. */
static void map_elements(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    const uint32_t out_refs = type_bytes(s->out_type) / 4;
    for (uint32_t start = 0; start < s->count; start += CHUNK) {
        const uint32_t n = s->count - start < CHUNK ? s->count - start : CHUNK;
        uint64_t gathered[3][CHUNK + VECTOR_BYTES / 8];
        const void *in[3] = {gathered[0], gathered[0], gathered[0]};
        size_t inc[3] = {0, 0, 0};
        for (uint32_t p = 0; p < operands; p++) {
            const native_operand *o = &s->in[p];
            const size_t bytes = type_bytes(o->type);
            memset((char *)gathered[p] + n * bytes, 0, VECTOR_BYTES);
            inc[p] = 1;
            in[p] = gathered[p];
            if (o->constants != NULL) memcpy(gathered[p], (const char *)o->constants + start * bytes, n * bytes);
            else if (o->refs == NULL) in[p] = tile_column(t, operand_ref(o, start));
            else
                for (uint32_t i = 0; i < n; i++) memcpy((char *)gathered[p] + i * bytes, tile_column(t, o->refs[start + i]), bytes);
        }
        kernel(tile_column(t, s->out + start * out_refs), in, inc, n, s);
    }
}

static void map_run(const tile *t, const native_step *s, map_kernel kernel, uint32_t operands)
{
    bool flat = true;
    for (uint32_t p = 0; p < operands; p++) flat = flat && s->in[p].refs == NULL && s->in[p].constants == NULL;
    if (flat) {
        const void *in[3];
        size_t inc[3];
        for (uint32_t p = 0; p < 3; p++) {
            in[p] = tile_column(t, s->in[p < operands ? p : 0].first);
            inc[p] = p < operands;
        }
        kernel(tile_column(t, s->out), in, inc, s->count * t->pitch, s);
    } else if (tile_is_row(t)) {
        map_elements(t, s, kernel, operands);
    } else {
        map_columns(t, s, kernel, operands);
    }
}

static void step_map(const tile *t, const native_step *s) { map_run(t, s, map_kernels[s->type][s->op], map_operands[s->op]); }

#endif
