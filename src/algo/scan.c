/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* A tile of one row a worker at a time; the value is read before the write, as `in` may be `out`. */
STOA_KERNEL_BLOCK(stoa_algo_scan, stoa_scan)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint32_t *in = args->in;
    uint32_t *out = args->out;
    const uint32_t inclusive = !args->exclusive;
    uint32_t sum = 0;
    for (uint32_t tile = 0; tile < rows; tile += grid.size) {
        const uint32_t i = tile + grid.index;
        const uint32_t value = i < rows ? in[i] : 0;
        uint32_t all;
        const uint32_t before = sum + stoa_block_scan(grid, value, &all);
        if (i < rows) out[i] = inclusive ? before + value : before;
        sum += all;
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
