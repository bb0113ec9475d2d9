/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* Serial. A GPU needs the cooperative form: scan in a block, scan of the block sums, then their addition. */
STOA_KERNEL(stoa_algo_scan, stoa_scan)
{
    if (grid.index != 0) return;
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint32_t *in = args->in;
    uint32_t *out = args->out;
    uint32_t sum = 0;
    if (args->exclusive) {
        for (uint32_t i = 0; i < rows; i++) {
            const uint32_t value = in[i]; /* before the write: `in` may be `out` */
            out[i] = sum;
            sum += value;
        }
    } else {
        for (uint32_t i = 0; i < rows; i++) {
            sum += in[i];
            out[i] = sum;
        }
    }
}

#ifndef __CUDACC__
stoa_status stoa_algo_scan(stoa_queue *queue, const stoa_scan *args, stoa_error *err)
{
    ALGO_NEED(err, "scan", queue);
    ALGO_NEED(err, "scan", args);
    if (args->exclusive > 1)
        return STOA_FAIL(err, STOA_EINVAL, "scan: exclusive is %u, not 0 or 1", args->exclusive);
    if (args->capacity > 0) {
        ALGO_NEED(err, "scan", args->in);
        ALGO_NEED(err, "scan", args->count);
        ALGO_NEED(err, "scan", args->out);
    }
    return stoa_queue_launch(queue, &stoa_algo_scan_kernel, args, err);
}
#endif
