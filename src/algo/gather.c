/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

#define GATHER_AS(type) \
    do { \
        const type *in_ = (const type *)args->in; \
        type *out_ = (type *)args->out; \
        STOA_FOR (i, grid, rows) out_[i] = in_[index[i]]; \
    } while (0)

STOA_KERNEL(stoa_algo_gather, stoa_gather)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint32_t *index = args->index;
    switch (args->element_bytes) {
    case 1: GATHER_AS(uint8_t); break;
    case 2: GATHER_AS(uint16_t); break;
    case 4: GATHER_AS(uint32_t); break;
    case 8: GATHER_AS(uint64_t); break;
    default: break;
    }
}
#undef GATHER_AS

#ifndef __CUDACC__
stoa_status stoa_algo_gather(stoa_queue *queue, const stoa_gather *args, stoa_error *err)
{
    ALGO_NEED(err, "gather", queue);
    ALGO_NEED(err, "gather", args);
    ALGO_FITS(err, "gather", args->capacity);
    const uint32_t bytes = args->element_bytes;
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
        return STOA_FAIL(err, STOA_EINVAL, "gather: elements of %u bytes, not 1, 2, 4 or 8", bytes);
    if (args->capacity > 0) {
        ALGO_NEED(err, "gather", args->in);
        ALGO_NEED(err, "gather", args->out);
        ALGO_NEED(err, "gather", args->index);
        ALGO_NEED(err, "gather", args->count);
    }
    return stoa_queue_launch(queue, &stoa_algo_gather_kernel, args, err);
}
#endif
