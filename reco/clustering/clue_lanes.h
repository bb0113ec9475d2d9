/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: values of several points at once. On the host they are vectors of the compiler's, which spreads them over
 * as many registers as the vector unit needs; on a GPU, where a thread is a lane, they are single numbers. */
#ifndef RECO_CLUE_LANES_H
#define RECO_CLUE_LANES_H

#include "stoa/kernel.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__CUDACC__)
enum { CLUE_LANES = 8 };
typedef float clue_floats __attribute__((vector_size(32)));
typedef int32_t clue_ints __attribute__((vector_size(32))); /* also the result of a comparison: -1 or 0 */

/* Where mask, to = from. Macros, since the ABI of vector parameters depends on the vector unit. */
#define CLUE_SET(to, mask, from) ((to) = (__typeof__(to))(((mask) & (clue_ints)(from)) | (~(mask) & (clue_ints)(to))))
#define CLUE_CONVERT(x, type) __builtin_convertvector((x), type)
#define CLUE_SIZE(x) ((clue_floats)((clue_ints)(x) & INT32_MAX)) /* without the sign */
#define CLUE_ROOT(x) \
    for (int l_ = 0; l_ < CLUE_LANES; l_++) (x)[l_] = sqrtf((x)[l_])
#else
enum { CLUE_LANES = 1 };
typedef float clue_floats;
typedef int32_t clue_ints;

#define CLUE_SET(to, mask, from) ((to) = (mask) ? (from) : (to))
#define CLUE_CONVERT(x, type) ((type)(x))
#define CLUE_SIZE(x) fabsf(x)
#define CLUE_ROOT(x) (x) = sqrtf(x)
#endif

#endif
