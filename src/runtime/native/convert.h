/* SPDX-License-Identifier: Apache-2.0 */
/* The loops of LOAD and STORE, one for each type in memory and type of column. */
#ifndef STOA_NATIVE_CONVERT_H
#define STOA_NATIVE_CONVERT_H

#include "runtime/native/conversions.h"
#include "runtime/native/program.h"
#include "runtime/native/tile.h"

typedef void (*load_kernel)(void *column, const void *memory, int64_t stride, uint32_t rows);
typedef void (*store_kernel)(void *memory, const void *column, int64_t stride, uint32_t rows);

/* Stride 1 has its own loop because that one becomes vector code. */
#define LOAD_DEFINE(suffix, column_type, name, type) \
    static void load_##suffix##_##name(void *column, const void *memory, int64_t stride, uint32_t rows) \
    { \
        column_type *to = column; \
        const type *from = memory; \
        if (stride == 1) \
            for (uint32_t i = 0; i < rows; i++) to[i] = to_##suffix##_##name(from[i]); \
        else \
            for (uint32_t i = 0; i < rows; i++) to[i] = to_##suffix##_##name(from[i * stride]); \
    }
#define STORE_DEFINE(suffix, column_type, name, type, value) \
    static void store_##suffix##_##name(void *memory, const void *column, int64_t stride, uint32_t rows) \
    { \
        const column_type *from = column; \
        type *to = memory; \
        if (stride == 1) \
            for (uint32_t i = 0; i < rows; i++) { \
                const column_type x = from[i]; \
                to[i] = (type)(value); \
            } \
        else \
            for (uint32_t i = 0; i < rows; i++) { \
                const column_type x = from[i]; \
                to[i * stride] = (type)(value); \
            } \
    }
#define IO_DEFINE(name, type, from_f32, from_f64, from_i32, from_i64) \
    LOAD_DEFINE(f32, float, name, type) \
    LOAD_DEFINE(f64, double, name, type) \
    LOAD_DEFINE(i32, int32_t, name, type) \
    LOAD_DEFINE(i64, int64_t, name, type) \
    STORE_DEFINE(f32, float, name, type, from_f32) \
    STORE_DEFINE(f64, double, name, type, from_f64) \
    STORE_DEFINE(i32, int32_t, name, type, from_i32) \
    STORE_DEFINE(i64, int64_t, name, type, from_i64)
MEMORY_MAP(IO_DEFINE)
#undef IO_DEFINE
#undef STORE_DEFINE
#undef LOAD_DEFINE

#define DTYPE_COUNT (STOA_COMPLEX128 + 1)
static const load_kernel load_kernels[DTYPE_COUNT][4] = {
#define LOAD_ENTRY(name, ...) [STOA_##name] = {load_f32_##name, load_f64_##name, load_i32_##name, load_i64_##name},
    MEMORY_MAP(LOAD_ENTRY)
#undef LOAD_ENTRY
};
static const store_kernel store_kernels[DTYPE_COUNT][4] = {
#define STORE_ENTRY(name, ...) [STOA_##name] = {store_f32_##name, store_f64_##name, store_i32_##name, store_i64_##name},
    MEMORY_MAP(STORE_ENTRY)
#undef STORE_ENTRY
};
static const uint8_t memory_bytes[DTYPE_COUNT] = {
#define BYTES_ENTRY(name, type, ...) [STOA_##name] = sizeof(type),
    MEMORY_MAP(BYTES_ENTRY)
#undef BYTES_ENTRY
};

#endif
