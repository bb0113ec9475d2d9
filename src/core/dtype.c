/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/dtype.h"

#include <string.h>

typedef struct dtype_row {
    const char *name;
    size_t bytes;
} dtype_row;

static const dtype_row dtype_table[] = {
#define ROW(name, number, type, code, text) [number] = {text, sizeof(type)},
    STOA_DTYPE_MAP(ROW)
#undef ROW
};
#define DTYPE_COUNT (sizeof dtype_table / sizeof *dtype_table)

size_t stoa_dtype_bytes(stoa_dtype dtype) { return (size_t)dtype < DTYPE_COUNT ? dtype_table[dtype].bytes : 0; }

const char *stoa_dtype_name(stoa_dtype dtype)
{ return (size_t)dtype < DTYPE_COUNT && dtype_table[dtype].name ? dtype_table[dtype].name : "none"; }

stoa_dtype stoa_dtype_from_name(const char *name)
{
    for (size_t i = 0; name && i < DTYPE_COUNT; i++)
        if (dtype_table[i].name && strcmp(dtype_table[i].name, name) == 0) return (stoa_dtype)i;
    return STOA_DTYPE_NONE;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float stoa_half_to_float(stoa_half value)
{
    const uint32_t sign = (uint32_t)(value.bits & 0x8000u) << 16;
    const uint32_t exponent = (value.bits >> 10) & 31u, mantissa = value.bits & 0x3ffu;
    if (exponent == 31u) return bits_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return bits_float(sign | (exponent + 112u) << 23 | mantissa << 13);
    const float subnormal = (float)mantissa * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

stoa_half stoa_half_from_float(float value)
{
    const uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    } else if (magnitude >= 0x47800000u) {
        half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) { /* normal: round the 13 dropped bits to nearest even; a carry moves the exponent */
        half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    } else { /* subnormal: adding 0.5 aligns the mantissa so that the FPU does the rounding */
        half = float_bits(bits_float(magnitude) + 0.5f) - float_bits(0.5f);
    }
    return (stoa_half){(uint16_t)(half | (bits >> 16 & 0x8000u))};
}

float stoa_bfloat16_to_float(stoa_bfloat16 value) { return bits_float((uint32_t)value.bits << 16); }

stoa_bfloat16 stoa_bfloat16_from_float(float value)
{
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (stoa_bfloat16){(uint16_t)(bits >> 16 | 0x40u)};
    return (stoa_bfloat16){(uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
