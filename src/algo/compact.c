/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* The block goes through the rows a tile of one row a worker at a time. A worker alone writes every row and only moves the
 * cursor by the mask: no branch to mispredict, and index[slot] stays inside because slot <= i. */
STOA_KERNEL_BLOCK(stoa_algo_compact, stoa_compact)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint8_t *mask = args->mask;
    uint32_t *index = args->index;
    uint32_t n = 0;
    for (uint32_t tile = 0; tile < rows; tile += grid.size) {
        const uint32_t i = tile + grid.index;
        const uint32_t selected = i < rows && mask[i] != 0;
        uint32_t found;
        const uint32_t slot = n + stoa_block_scan(grid, selected, &found);
        if (selected || STOA_ALONE) index[slot] = i;
        n += found;
    }
    if (grid.index == 0 && args->selected_count) *args->selected_count = n;
}

#ifndef __CUDACC__
stoa_status stoa_algo_compact(stoa_queue *queue, const stoa_compact *args, stoa_error *err)
{
    ALGO_NEED(err, "compact", queue);
    ALGO_NEED(err, "compact", args);
    if (args->capacity > 0) {
        ALGO_NEED(err, "compact", args->mask);
        ALGO_NEED(err, "compact", args->count);
        ALGO_NEED(err, "compact", args->index);
        ALGO_NEED(err, "compact", args->selected_count);
    }
    return stoa_queue_launch(queue, &stoa_algo_compact_kernel, args, err);
}
#endif
