/* SPDX-License-Identifier: Apache-2.0 */
/** Element types of columns and tensors: every DLPack type that C has, plus half and bfloat16.
 *
 *      float *pt;  STOA_DTYPE_OF(float) == STOA_FLOAT32;  stoa_dtype_bytes(STOA_FLOAT32) == 4;
 */
#ifndef STOA_DTYPE_H
#define STOA_DTYPE_H

#include "stoa/export.h"

STOA_BEGIN_DECLS

/** IEEE binary16 and bfloat16 as storage: C has no such types everywhere, so the bits are kept. */
typedef struct stoa_half {
    uint16_t bits;
} stoa_half;
typedef struct stoa_bfloat16 {
    uint16_t bits;
} stoa_bfloat16;
/** Complex numbers as storage, binary compatible with C99's `float _Complex` and C++'s std::complex. */
typedef struct stoa_complex64 {
    float re, im;
} stoa_complex64;
typedef struct stoa_complex128 {
    double re, im;
} stoa_complex128;

/** The one table of types: name, number, C type, DLPack code (0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool), text. */
#define STOA_DTYPE_MAP(X) \
    X(INT8, 1, int8_t, 0, "int8") \
    X(INT16, 2, int16_t, 0, "int16") \
    X(INT32, 3, int32_t, 0, "int32") \
    X(INT64, 4, int64_t, 0, "int64") \
    X(UINT8, 5, uint8_t, 1, "uint8") \
    X(UINT16, 6, uint16_t, 1, "uint16") \
    X(UINT32, 7, uint32_t, 1, "uint32") \
    X(UINT64, 8, uint64_t, 1, "uint64") \
    X(FLOAT16, 9, stoa_half, 2, "float16") \
    X(FLOAT32, 10, float, 2, "float32") \
    X(FLOAT64, 11, double, 2, "float64") \
    X(BFLOAT16, 12, stoa_bfloat16, 4, "bfloat16") \
    X(BOOL, 13, bool, 6, "bool") \
    X(COMPLEX64, 14, stoa_complex64, 5, "complex64") \
    X(COMPLEX128, 15, stoa_complex128, 5, "complex128")

typedef enum stoa_dtype {
    STOA_DTYPE_NONE = 0,
#define STOA_DTYPE_ENUM_(name, number, type, code, text) STOA_##name = (number),
    STOA_DTYPE_MAP(STOA_DTYPE_ENUM_)
#undef STOA_DTYPE_ENUM_
} stoa_dtype;

/* The spelling of a type in a .def file decides; an unknown one is one error: "STOA_DTYPE_OF_xyz undeclared". */
enum {
    STOA_DTYPE_OF_int8_t = STOA_INT8,
    STOA_DTYPE_OF_int16_t = STOA_INT16,
    STOA_DTYPE_OF_int32_t = STOA_INT32,
    STOA_DTYPE_OF_int64_t = STOA_INT64,
    STOA_DTYPE_OF_uint8_t = STOA_UINT8,
    STOA_DTYPE_OF_uint16_t = STOA_UINT16,
    STOA_DTYPE_OF_uint32_t = STOA_UINT32,
    STOA_DTYPE_OF_uint64_t = STOA_UINT64,
    STOA_DTYPE_OF_int = STOA_INT32,
    STOA_DTYPE_OF_float = STOA_FLOAT32,
    STOA_DTYPE_OF_double = STOA_FLOAT64,
    STOA_DTYPE_OF_bool = STOA_BOOL,
    STOA_DTYPE_OF__Bool = STOA_BOOL,
    STOA_DTYPE_OF_stoa_half = STOA_FLOAT16,
    STOA_DTYPE_OF_stoa_bfloat16 = STOA_BFLOAT16,
    STOA_DTYPE_OF_stoa_complex64 = STOA_COMPLEX64,
    STOA_DTYPE_OF_stoa_complex128 = STOA_COMPLEX128
};
#define STOA_DTYPE_OF(type) ((stoa_dtype)STOA_DTYPE_OF_##type)

/** Bytes of one element; 0 for a number outside the table.
 *  owns nothing   threads any   errors 0   since 0.1 */
STOA_API size_t stoa_dtype_bytes(stoa_dtype dtype);

/** "float32" for STOA_FLOAT32; "none" outside the table.
 *  owns static storage   threads any   errors none   since 0.1 */
STOA_API const char *stoa_dtype_name(stoa_dtype dtype);

/** The type of that name, STOA_DTYPE_NONE when there is none.
 *  owns borrows `name`   threads any   errors STOA_DTYPE_NONE   since 0.1 */
STOA_API stoa_dtype stoa_dtype_from_name(const char *name);

/** Conversions between storage types and float; round to nearest even, NaN stays NaN.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API float stoa_half_to_float(stoa_half value);
/** float to half, see stoa_half_to_float.   owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_half stoa_half_from_float(float value);
/** bfloat16 to float, exact.   owns nothing   threads any   errors none   since 0.1 */
STOA_API float stoa_bfloat16_to_float(stoa_bfloat16 value);
/** float to bfloat16, see stoa_half_to_float.   owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_bfloat16 stoa_bfloat16_from_float(float value);

STOA_END_DECLS
#endif
