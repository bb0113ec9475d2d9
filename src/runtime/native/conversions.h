/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between the caller's types and the four types of columns. No conversion is undefined: a float that an integer cannot
 * hold gives the smallest integer, as the x86 instruction does (and so ONNX Runtime). */
#ifndef STOA_NATIVE_CONVERSIONS_H
#define STOA_NATIVE_CONVERSIONS_H

#include <string.h>

#include "runtime/native/vmath.h"

INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
INLINE float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Half to float: move exponent and mantissa up, then scale by 2^112; that makes denormals right as well. */
INLINE float half_to_f32(uint16_t h)
{
    const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f), special = magnitude | 0x7f800000u;
    return float_of(sign | (magnitude >= 0x0f800000u ? special : finite));
}
/* Float to half, nearest even. Below 2^-14 the addition of 0.5 rounds at the right bit. */
INLINE uint16_t f32_to_half(float x)
{
    const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    const uint32_t small = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    const uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
    const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
    return (uint16_t)(sign | (magnitude < 0x38800000u ? small : magnitude < 0x477ff000u ? normal : large));
}
INLINE float bfloat_to_f32(uint16_t b) { return float_of((uint32_t)b << 16); }
INLINE uint16_t f32_to_bfloat(float x)
{
    const uint32_t bits = bits_of(x);
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
/* The bits of a float with 10 of them behind the point, nearest, ties away from zero, as the GPU's own conversion gives. */
INLINE uint32_t f32_to_tfloat(float x)
{
    const uint32_t bits = bits_of(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

INLINE int32_t f64_to_i32(double x) { return x > -0x1.00000002p31 && x < 0x1p31 ? (int32_t)x : INT32_MIN; }
INLINE int64_t f64_to_i64(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
INLINE int32_t f32_to_i32(float x) { return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN; }
INLINE int64_t f32_to_i64(float x) { return x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN; }

/* to_<column type>_<source>: every pair, so that tables can be spelled by macros. */
#define PLAIN_CONVERSIONS(name, type) \
    INLINE float to_f32_##name(type x) { return (float)x; } \
    INLINE double to_f64_##name(type x) { return (double)x; } \
    INLINE int32_t to_i32_##name(type x) { return (int32_t)x; } \
    INLINE int64_t to_i64_##name(type x) { return (int64_t)x; }
PLAIN_CONVERSIONS(INT8, int8_t)
PLAIN_CONVERSIONS(INT16, int16_t)
PLAIN_CONVERSIONS(INT32, int32_t)
PLAIN_CONVERSIONS(INT64, int64_t)
PLAIN_CONVERSIONS(UINT8, uint8_t)
PLAIN_CONVERSIONS(UINT16, uint16_t)
PLAIN_CONVERSIONS(UINT32, uint32_t)
PLAIN_CONVERSIONS(UINT64, uint64_t)
#undef PLAIN_CONVERSIONS
INLINE float to_f32_FLOAT32(float x) { return x; }
INLINE double to_f64_FLOAT32(float x) { return (double)x; }
INLINE int32_t to_i32_FLOAT32(float x) { return f32_to_i32(x); }
INLINE int64_t to_i64_FLOAT32(float x) { return f32_to_i64(x); }
INLINE float to_f32_FLOAT64(double x) { return (float)x; }
INLINE double to_f64_FLOAT64(double x) { return x; }
INLINE int32_t to_i32_FLOAT64(double x) { return f64_to_i32(x); }
INLINE int64_t to_i64_FLOAT64(double x) { return f64_to_i64(x); }
#define NARROW_CONVERSIONS(name, type, value) \
    INLINE float to_f32_##name(type x) { return (float)(value); } \
    INLINE double to_f64_##name(type x) { return (double)(value); } \
    INLINE int32_t to_i32_##name(type x) { return f32_to_i32((float)(value)); } \
    INLINE int64_t to_i64_##name(type x) { return f32_to_i64((float)(value)); }
NARROW_CONVERSIONS(FLOAT16, uint16_t, half_to_f32(x))
NARROW_CONVERSIONS(BFLOAT16, uint16_t, bfloat_to_f32(x))
NARROW_CONVERSIONS(BOOL, uint8_t, x != 0)
#undef NARROW_CONVERSIONS

/* Name of the stoa_dtype, C type in memory, then how a column of F32, F64, I32, I64 becomes it. */
#define MEMORY_MAP(X) \
    X(INT8, int8_t, f32_to_i32(x), f64_to_i32(x), x, x) \
    X(INT16, int16_t, f32_to_i32(x), f64_to_i32(x), x, x) \
    X(INT32, int32_t, f32_to_i32(x), f64_to_i32(x), x, x) \
    X(INT64, int64_t, f32_to_i64(x), f64_to_i64(x), x, x) \
    X(UINT8, uint8_t, f32_to_i32(x), f64_to_i32(x), x, x) \
    X(UINT16, uint16_t, f32_to_i32(x), f64_to_i32(x), x, x) \
    X(UINT32, uint32_t, f32_to_i64(x), f64_to_i64(x), x, x) \
    X(UINT64, uint64_t, f32_to_i64(x), f64_to_i64(x), x, x) \
    X(FLOAT16, uint16_t, f32_to_half(x), f32_to_half((float)x), f32_to_half((float)x), f32_to_half((float)x)) \
    X(FLOAT32, float, x, x, x, x) \
    X(FLOAT64, double, x, x, x, x) \
    X(BFLOAT16, uint16_t, f32_to_bfloat(x), f32_to_bfloat((float)x), f32_to_bfloat((float)x), f32_to_bfloat((float)x)) \
    X(BOOL, uint8_t, x != 0, x != 0, x != 0, x != 0)

/* Types that are narrower than the columns that hold them: name, C type of the column, what a value x becomes. */
#define NARROW_MAP_i32(X) \
    X(INT8, int32_t, (int8_t)x) \
    X(INT16, int32_t, (int16_t)x) \
    X(UINT8, int32_t, (uint8_t)x) \
    X(UINT16, int32_t, (uint16_t)x)
#define NARROW_MAP_i64(X) X(UINT32, int64_t, (uint32_t)x)
#define NARROW_MAP_f32(X) \
    X(FLOAT16, float, half_to_f32(f32_to_half(x))) \
    X(BFLOAT16, float, bfloat_to_f32(f32_to_bfloat(x)))

#endif
