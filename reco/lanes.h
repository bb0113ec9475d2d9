/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: values of several rows at once. On the host they are vectors of the compiler's, which spreads them over
 * as many registers as the vector unit needs; on a GPU, where a thread is a lane, they are single numbers. */
#ifndef RECO_LANES_H
#define RECO_LANES_H

#include "stoa/kernel.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__CUDACC__)
enum { RECO_LANES = 8 };
typedef float lane_floats __attribute__((vector_size(32)));
typedef int32_t lane_ints __attribute__((vector_size(32))); /* also the result of a comparison: -1 or 0 */

/* Where mask, to = from. Macros, since the ABI of vector parameters depends on the vector unit. */
#define LANES_SET(to, mask, from) ((to) = (__typeof__(to))(((mask) & (lane_ints)(from)) | (~(mask) & (lane_ints)(to))))
#define LANES_NUMBERS ((lane_ints){0, 1, 2, 3, 4, 5, 6, 7})
#define LANES_CONVERT(x, type) __builtin_convertvector((x), type)
#define LANES_SIZE(x) ((lane_floats)((lane_ints)(x) & INT32_MAX)) /* without the sign */
#define LANES_ROOT(x) \
    for (int l_ = 0; l_ < RECO_LANES; l_++) (x)[l_] = sqrtf((x)[l_])
#else
enum { RECO_LANES = 1 };
typedef float lane_floats;
typedef int32_t lane_ints;

#define LANES_SET(to, mask, from) ((to) = (mask) ? (from) : (to))
#define LANES_NUMBERS ((lane_ints)0)
#define LANES_CONVERT(x, type) ((type)(x))
#define LANES_SIZE(x) fabsf(x)
#define LANES_ROOT(x) (x) = sqrtf(x)
#endif

#endif
