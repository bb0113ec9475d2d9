/* SPDX-License-Identifier: Apache-2.0 */
/* What the five algorithms share: how many rows there are. */
#ifndef STOA_ALGO_ROWS_H
#define STOA_ALGO_ROWS_H

#include "stoa/algo.h"

/* A count comes from other kernels, so it is clipped, not trusted; it is not read at all when there is no
 * room. */
STOA_DEVICE uint32_t algo_rows(const uint32_t *count, uint32_t capacity)
{
    if (capacity == 0) return 0;
    return *count < capacity ? *count : capacity;
}

#ifndef __CUDACC__
#define ALGO_NEED(err, what, pointer)                                                                 \
    do {                                                                                              \
        if (!(pointer)) return STOA_FAIL((err), STOA_EINVAL, "%s: '%s' is NULL", (what), #pointer);   \
    } while (0)
#endif

#endif
