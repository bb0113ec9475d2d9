/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of the level this file is compiled for, and the vector functions of float: exp, log, tanh, sigmoid, erf ... On CUDA a
 * vector is one float, as each thread has a row of its own, and a mask is 0 or 1.
 *
 * The largest errors over all floats are in VMATH_BOUND_MAP below.
 *
 * NaN gives NaN, infinities give the limits, denormal results are rounded once. Nothing here reads the rounding mode's
 * or the flush flags' defaults away. Polynomials are minimax fits of our own (Lawson's iteration, coefficients rounded one
 * at a time, lowest first).
 *
 * Every function is written so that it does not matter whether a * b + c is one rounding or two: levels may differ from one
 * another in the last bits, but within a level each function is expanded in one place for all paths. */
#ifndef STOA_NATIVE_VMATH_H
#define STOA_NATIVE_VMATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Name, largest error on any level over all floats in units of the last place; tests/unit/test_vmath.c measures every 509th float.
 * GELU, GELU_TANH, SWISH and MISH are products with x: their error is at most VMATH_PRODUCT_BOUND times |x|. The other functions are the
 * C library's. */
#define VMATH_BOUND_MAP(X) \
    X(EXP, 1.25) \
    X(LOG, 1.0) \
    X(TANH, 1.5) \
    X(SIGMOID, 2.5) \
    X(ERF, 1.5) \
    X(SOFTPLUS, 2.0) \
    X(ELU, 1.0) /* alpha 1, x <= 0: e^x - 1 */ \
    X(SQRT, 0.5) \
    X(FLOOR, 0.0) \
    X(CEIL, 0.0) \
    X(ROUND, 0.0)
#define VMATH_PRODUCT_BOUND 2.5e-7

#if defined(__CUDACC__)

#include "stoa/kernel.h"

#define INLINE STOA_DEVICE
#define LANES ((size_t)1)
typedef float vf;
typedef int32_t vi;
typedef uint32_t vu;

INLINE vf v_load(const float *from) { return *from; }
INLINE void v_store(float *to, vf value) { *to = value; }
INLINE vf v_splat(float value) { return value; }
INLINE float v_first(vf x) { return x; }
INLINE vi v_isplat(int32_t value) { return value; }
INLINE vi v_bits(vf x)
{
    vi bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
INLINE vf v_of_bits(vi bits)
{
    vf x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
INLINE vf v_to_float(vi x) { return (float)x; }
INLINE vi v_masked(vi mask, int32_t value) { return mask ? value : 0; }
INLINE vf v_select(vi mask, vf a, vf b) { return mask ? a : b; }
INLINE vf v_at_least(vf low, vf x) { return x < low ? low : x; }
INLINE vf v_at_most(vf high, vf x) { return x > high ? high : x; }
INLINE vf v_rounded(vf product) { return product; } /* nothing is fused there */
INLINE vf v_sqrt(vf x) { return sqrtf(x); }

#else

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) || defined(STOA_TEST_WIDTH_64)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define LANES ((size_t)VECTOR_BYTES / 4)

typedef float vf __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(VECTOR_BYTES)));
/* For memory: aligned like the elements, any type may lie there. */
typedef float vf_memory __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vf v_load(const float *from) { return *(const vf_memory *)from; }
INLINE void v_store(float *to, vf value) { *(vf_memory *)to = value; }
INLINE vf v_splat(float value) { return value - (vf){0}; /* x - (+0) is x for every x, -0 and NaN included */ }
INLINE float v_first(vf x) { return x[0]; }
INLINE vi v_isplat(int32_t value) { return value - (vi){0}; }
INLINE vi v_bits(vf x) { return (vi)x; }
INLINE vf v_of_bits(vi bits) { return (vf)bits; }
INLINE vf v_to_float(vi x) { return __builtin_convertvector(x, vf); }
INLINE vi v_masked(vi mask, int32_t value) { return mask & value; }

/* Lane by lane: mask ? a : b; x < low ? low : x; x > high ? high : x. With NaN in either operand the last two give x.
 * Compilers do not find the single instructions for these, and every function below is made of them. */
#if defined(__AVX2__) && VECTOR_BYTES == 32
INLINE vf v_select(vi mask, vf a, vf b) { return _mm256_blendv_ps(b, a, (vf)mask); }
#else
INLINE vf v_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
#endif
#if defined(__AVX512F__) && VECTOR_BYTES == 64
INLINE vf v_at_least(vf low, vf x) { return _mm512_max_ps(low, x); }
INLINE vf v_at_most(vf high, vf x) { return _mm512_min_ps(high, x); }
#elif defined(__AVX2__) && VECTOR_BYTES == 32
INLINE vf v_at_least(vf low, vf x) { return _mm256_max_ps(low, x); }
INLINE vf v_at_most(vf high, vf x) { return _mm256_min_ps(high, x); }
#elif defined(__SSE2__) && VECTOR_BYTES == 16
INLINE vf v_at_least(vf low, vf x) { return _mm_max_ps(low, x); }
INLINE vf v_at_most(vf high, vf x) { return _mm_min_ps(high, x); }
#else
INLINE vf v_at_least(vf low, vf x) { return v_select(x < low, low, x); }
INLINE vf v_at_most(vf high, vf x) { return v_select(x > high, high, x); }
#endif
/* A product that no compiler fuses with the sum it goes into. Where one function is compiled for a row alone and for a batch, the
 * optimiser may fuse in one copy and not in the other; the bits must not depend on that. */
INLINE vf v_rounded(vf product)
{
#if (defined(__x86_64__) || defined(__i386__)) && (VECTOR_BYTES < 64 || defined(__AVX512F__)) /* one register holds it */
    __asm__("" : "+x"(product));
#elif defined(__aarch64__)
    __asm__("" : "+w"(product));
#else
    __asm__("" : "+m"(product));
#endif
    return product;
}

INLINE vf v_sqrt(vf x)
{
    vf r;
    for (size_t lane = 0; lane < LANES; lane++) r[lane] = __builtin_sqrtf(x[lane]);
    return r;
}

#endif

INLINE vf v_relu(vf x) { return v_at_least(v_splat(0.0f), x); }
INLINE vf v_abs(vf x) { return v_of_bits(v_bits(x) & 0x7fffffff); }
INLINE vi v_sign_bit(vf x) { return (vi)((vu)v_bits(x) & 0x80000000u); }
INLINE vf v_copysign(vf magnitude, vf sign) { return v_of_bits((v_bits(magnitude) & 0x7fffffff) | v_sign_bit(sign)); }
/* x into [low, high]; NaN stays NaN, a NaN bound does not bind: as ONNX Runtime's Clip. */
INLINE vf v_clamp(vf x, vf low, vf high) { return v_at_most(high, v_at_least(low, x)); }

/* Nearest integer, ties to even: adding 2^23 leaves no bits behind the point. Larger values are integers already. */
INLINE vf v_round(vf x)
{
    const vf a = v_abs(x), r = (a + 0x1p23f) - 0x1p23f;
    return v_copysign(v_select(a < 0x1p23f, r, a), x);
}

INLINE vf v_floor(vf x)
{
    const vf r = v_round(x);
    return v_copysign(r - v_select(r > x, v_splat(1.0f), v_splat(0.0f)), x);
}

INLINE vf v_ceil(vf x)
{
    const vf r = v_round(x);
    return v_copysign(r + v_select(r < x, v_splat(1.0f), v_splat(0.0f)), x);
}

/* 2^e for e in [-126, 127]. */
INLINE vf v_power_of_two(vi e) { return v_of_bits((vi)(((vu)e + 127u) << 23)); }

/* x = n ln 2 + r with |r| <= ln 2 / 2; |x| must be below 2^20 or so, or NaN. n * LN2_HIGH is exact for |n| < 2^8. */
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
INLINE vf v_exp_reduce(vf x, vi *n)
{
    const vf magic = v_splat(0x1.8p23f);
    const vf shifted = x * 0x1.715476p0f + magic;
    const vf whole = shifted - magic;
    *n = (vi)((vu)v_bits(shifted) - (vu)v_bits(magic));
    return (x - whole * LN2_HIGH) - whole * LN2_LOW;
}

/* exp of x <= 89 is p * a * b with p = 1 + r + r^2 q(r) and 2^n in two factors, so that overflow and denormal results are rounded once.
 * The polynomial by pairs of terms: as many operations as one after the other, and fewer that wait for one another. */
INLINE vf v_exp_factors(vf x, vf *a, vf *b)
{
    vi n;
    const vf r = v_exp_reduce(v_at_least(v_splat(-104.0f), x), &n), s = r * r;
    const vf high = 1.3942922e-3f * s + (8.369394e-3f * r + 4.1666377e-2f);
    const vf q = high * s + (1.6666515e-1f * r + 0.5f);
    const vi half = n >> 1;
    *a = v_power_of_two(half);
    *b = v_power_of_two((vi)((vu)n - (vu)half));
    return (q * s + r) + 1.0f;
}

INLINE vf v_exp_below(vf x)
{
    vf a, b;
    const vf p = v_exp_factors(x, &a, &b);
    return p * a * b;
}

INLINE vf v_exp(vf x) { return v_exp_below(v_at_most(v_splat(89.0f), x)); }

/* exp(x) - 1 for x <= 0, without cancellation: 2^n (r + r^2 q) + (2^n - 1). */
INLINE vf v_expm1_negative(vf x)
{
    vi n;
    const vf r = v_exp_reduce(v_clamp(x, v_splat(-26.0f), v_splat(0.0f)), &n);
    vf q = 1.9945031e-4f * r + 1.3935938e-3f;
    q = q * r + 8.333207e-3f;
    q = q * r + 4.1666456e-2f;
    q = q * r + 1.6666667e-1f;
    q = q * r + 0.5f;
    const vf scale = v_power_of_two(n);
    const vf result = (q * (r * r) + r) * scale + (scale - 1.0f);
    return v_select(v_abs(x) < 0x1p-25f, x, result); /* keeps -0 and denormals */
}

/* log of x > 0 finite and normal or not: x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). */
INLINE vf v_log_finite(vf x)
{
    const vi tiny = x < 0x1p-126f;
    const vi bits = v_bits(v_select(tiny, x * 0x1p23f, x));
    const vi e = (vi)((vu)bits - 0x3f3504f3u) >> 23; /* wraps for x <= 0, whose result is not used */
    const vf f = v_of_bits((vi)((vu)bits - ((vu)e << 23))) - 1.0f;
    const vf k = v_to_float(e - v_masked(tiny, 23));
    const vf s = f * f;
    vf p = -7.860616e-2f * f + 1.2886545e-1f;
    p = p * f - 1.3130464e-1f;
    p = p * f + 1.4180574e-1f;
    p = p * f - 1.6624336e-1f;
    p = p * f + 2.000231e-1f;
    p = p * f - 2.5000817e-1f;
    p = p * f + 3.3333316e-1f;
    vf tail = p * (s * f) + k * -2.12194440e-4f;
    tail = tail - 0.5f * s;
    return k * 0.693359375f + (f + tail);
}

INLINE vf v_log(vf x)
{
    const vf inf = v_splat(INFINITY);
    const vf special = v_select(x == 0.0f, -inf, v_select(x < 0.0f, v_splat(NAN), x)); /* inf and NaN: themselves */
    return v_select((x > 0.0f) & (x < inf), v_log_finite(x), special);
}

/* log(1 + z) for z in [0, 1]; what 1 + z rounds off comes back as a correction. */
INLINE vf v_log1p_unit(vf z)
{
    const vf u = 1.0f + z;
    return v_log_finite(u) + (z - (u - 1.0f)) / u;
}

INLINE vf v_tanh(vf x)
{
    const vf a = v_abs(x), s = x * x;
    vf p = -5.6806835e-3f * s + 2.0619597e-2f;
    p = p * s - 5.373456e-2f;
    p = p * s + 1.3331392e-1f;
    p = p * s - 3.333328e-1f;
    const vf small = p * s * a + a;
    const vf large = 1.0f - 2.0f / (v_exp(a + a) + 1.0f);
    return v_copysign(v_select(a < 0.625f, small, large), x);
}

/* 1 / (1 + exp(-x)) from exp(-|x|), which never overflows. */
INLINE vf v_sigmoid(vf x)
{
    vf a, b;
    const vf p = v_exp_factors(v_of_bits(v_bits(x) | v_isplat(INT32_MIN)), &a, &b);
    const vf z = v_rounded(p * (a * b)); /* exp(-|x|): nothing overflows */
    return v_select(x < 0.0f, z, v_splat(1.0f)) / (1.0f + z);
}

/* erfc of a >= 0.9: exp of a polynomial. */
INLINE vf v_erfc_large(vf a)
{
    a = v_clamp(a, v_splat(0.0f), v_splat(10.2f));
    vf p = -9.568634e-10f * a + 7.7214295e-08f;
    p = p * a - 2.563116e-06f;
    p = p * a + 4.751913e-05f;
    p = p * a - 5.5771385e-04f;
    p = p * a + 4.4454597e-03f;
    p = p * a - 2.5311403e-02f;
    p = p * a + 1.07930005e-01f;
    p = p * a + 6.341757e-01f;
    p = p * a + 1.2887837e-01f;
    return v_exp(-(p * a + a));
}

INLINE vf v_erf_small(vf x)
{
    const vf s = x * x;
    vf p = 7.9696634e-5f * s - 8.0438395e-4f;
    p = p * s + 5.191948e-3f;
    p = p * s - 2.6855588e-2f;
    p = p * s + 1.1283624e-1f;
    p = p * s - 3.761263e-1f;
    p = p * s + 1.2837917e-1f;
    return p * x + x;
}

INLINE vf v_erf(vf x)
{
    const vf a = v_abs(x);
    return v_select(a < 0.92f, v_erf_small(x), v_copysign(1.0f - v_erfc_large(a), x));
}

/* x * Phi(x); the negative side multiplies by erfc, so small results keep their leading digits. */
INLINE vf v_gelu(vf x)
{
    const vf t = x * 0.70710678f, a = v_abs(t);
    const vf outer = 0.5f * v_erfc_large(a);               /* Phi(-|x|) */
    const vf inner = 0.5f + 0.5f * v_erf_small(t);         /* Phi(x) */
    const vf phi = v_select(a < 0.92f, inner, v_select(x < 0.0f, outer, 1.0f - outer));
    return x * phi;
}

INLINE vf v_gelu_tanh(vf x)
{
    const vf u = 0.79788456f * x * (1.0f + 0.044715f * (x * x));
    return x * v_sigmoid(u + u); /* (1 + tanh u) / 2 */
}

INLINE vf v_softplus(vf x)
{
    const vf t = v_log1p_unit(v_exp(-v_abs(x)));
    return v_select(x > 0.0f, x + t, v_select(x == x, t, x));
}

/* x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2); beyond 20 the quotient is 1. */
INLINE vf v_mish(vf x)
{
    const vf e = v_exp(v_select(x > 20.0f, v_splat(20.0f), x)), n = e * (e + 2.0f);
    return x * v_select(x > 20.0f, v_splat(1.0f), n / (n + 2.0f));
}

#endif
