/* SPDX-License-Identifier: Apache-2.0 */
/* Vector functions under the names of the Sleef library, which compiled models import: Sleef_<function><f or d><lanes>_u<accuracy>.
 * Compiled once per instruction-set level with its own width of vector. The functions that networks live on are the native
 * engine's; the others go lane by lane through the C library. */
#include <math.h>
#include <string.h>

#include "runtime/aoti/shim.h"
#include "runtime/native/vmath.h"

typedef double vd __attribute__((vector_size(VECTOR_BYTES)));
#define DLANES (VECTOR_BYTES / 8)

/* Which functions, with the C library's names, and Sleef's accuracy suffix. */
#define UNARY(X) \
    X(expm1, 10) \
    X(exp2, 10) \
    X(log1p, 10) \
    X(log2, 10) \
    X(log10, 10) \
    X(sin, 10) \
    X(cos, 10) \
    X(tan, 10) \
    X(asin, 10) \
    X(acos, 10) \
    X(atan, 10) \
    X(sinh, 10) \
    X(cosh, 10) \
    X(asinh, 10) \
    X(acosh, 10) \
    X(atanh, 10) \
    X(erfc, 15) \
    X(lgamma, 10)
#define UNARY_DOUBLE(X) \
    X(exp, 10) \
    X(log, 10) \
    X(tanh, 10) \
    X(erf, 10)
#define BINARY(X) \
    X(pow, 10) \
    X(atan2, 10) \
    X(hypot, 05)

#define LANEWISE_1(name) \
    static vf name##_f(vf x) \
    { \
        for (size_t i = 0; i < LANES; i++) x[i] = name##f(x[i]); \
        return x; \
    }
#define LANEWISE_1D(name) \
    static vd name##_d(vd x) \
    { \
        for (size_t i = 0; i < DLANES; i++) x[i] = name(x[i]); \
        return x; \
    }
#define LANEWISE_2(name) \
    static vf name##_f(vf x, vf y) \
    { \
        for (size_t i = 0; i < LANES; i++) x[i] = name##f(x[i], y[i]); \
        return x; \
    } \
    static vd name##_d(vd x, vd y) \
    { \
        for (size_t i = 0; i < DLANES; i++) x[i] = name(x[i], y[i]); \
        return x; \
    }
#define BOTH(name, accuracy) LANEWISE_1(name) LANEWISE_1D(name)
#define DOUBLE(name, accuracy) LANEWISE_1D(name)
#define TWO(name, accuracy) LANEWISE_2(name)
UNARY(BOTH)
UNARY_DOUBLE(DOUBLE)
BINARY(TWO)

static vf exp_f(vf x) { return v_exp(x); }
static vf log_f(vf x) { return v_log(x); }
static vf tanh_f(vf x) { return v_tanh(x); }
static vf erf_f(vf x) { return v_erf(x); }

#if VECTOR_BYTES == 64
#define F "f16"
#define D "d8"
#elif VECTOR_BYTES == 32
#define F "f8"
#define D "d4"
#else
#define F "f4"
#define D "d2"
#endif
#define ENTRY_F(name, accuracy) {"Sleef_" #name F "_u" #accuracy, (void (*)(void))name##_f},
#define ENTRY_D(name, accuracy) {"Sleef_" #name D "_u" #accuracy, (void (*)(void))name##_d},

#define TABLE_(isa) stoai_shim_math_##isa
#define TABLE(isa) TABLE_(isa)
extern const shim_symbol TABLE(STOA_ISA)[];
const shim_symbol TABLE(STOA_ISA)[] = {UNARY(ENTRY_F) UNARY_DOUBLE(ENTRY_F) BINARY(ENTRY_F) UNARY(ENTRY_D) UNARY_DOUBLE(ENTRY_D)
                                           BINARY(ENTRY_D){NULL, NULL}};
