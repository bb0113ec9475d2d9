/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

#ifdef __CUDACC__
/* The block goes through the rows a tile of one row a worker at a time. */
STOA_DEVICE uint32_t compact_rows(stoa_grid grid, const uint8_t *mask, uint32_t rows, uint32_t *index)
{
    uint32_t n = 0;
    for (uint32_t tile = 0; tile < rows; tile += grid.size) {
        const uint32_t i = tile + grid.index;
        const uint32_t selected = i < rows && mask[i] != 0;
        uint32_t found;
        const uint32_t slot = n + stoa_block_scan(grid, selected, &found);
        if (selected) index[slot] = i;
        n += found;
    }
    return n;
}
#else
#include "compact_host.h"

static uint32_t compact_rows(stoa_grid grid, const uint8_t *mask, uint32_t rows, uint32_t *index)
{
    (void)grid;
    const compact_form *form = compact_forms;
    while (!form->runs()) form++; /* the last one always does */
    return form->compact(mask, rows, index);
}
#endif

STOA_KERNEL_BLOCK(stoa_algo_compact, stoa_compact)
{
    const uint32_t n = compact_rows(grid, args->mask, algo_rows(args->count, args->capacity), args->index);
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
