/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* Rows [first, end) of a block, one row a worker at a time, behind the first n selected ones; returns how many there are then. */
STOA_DEVICE uint32_t compact_tile(stoa_grid grid, const stoa_compact *args, uint32_t first, uint32_t end, uint32_t n)
{
    for (uint32_t at = first; at < end; at += grid.size) {
        const uint32_t i = at + grid.index;
        const uint32_t selected = i < end && args->mask[i] != 0;
        uint32_t found;
        const uint32_t slot = n + stoa_block_scan(grid, selected, &found);
        if (selected) args->index[slot] = i;
        n += found;
    }
    return n;
}

#ifdef __CUDACC__
#define compact_rows(grid, args, rows) compact_tile((grid), (args), 0, (rows), 0)
#else
#include "compact_host.h"

static uint32_t compact_rows(stoa_grid grid, const stoa_compact *args, uint32_t rows)
{
    (void)grid;
    const compact_form *form = compact_forms;
    while (!form->runs()) form++; /* the last one always does */
    return form->compact(args->mask, rows, args->index);
}
#endif

STOA_KERNEL_BLOCK(stoa_algo_compact, stoa_compact)
{
    const uint32_t n = compact_rows(grid, args, algo_rows(args->count, args->capacity));
    if (grid.index == 0 && args->selected_count) *args->selected_count = n;
}

/* The scratch gets the number of selected rows of each tile. */
STOA_KERNEL_TILES(stoa_algo_compact_sums, stoa_compact)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE, end = algo_tile_end(first, rows);
        uint32_t mine = 0, all;
        for (uint32_t i = first + grid.index; i < end; i += grid.size) mine += args->mask[i] != 0;
        (void)stoa_block_scan(grid, mine, &all);
        if (grid.index == 0) args->scratch[tile] = all;
    }
}

/* The block of the last tile knows how many there are; without rows it is the first one. */
STOA_KERNEL_TILES(stoa_algo_compact_tiles, stoa_compact)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    uint32_t before = 0, known = 0; /* selected in the tiles before `known` */
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; known = tile, tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE, end = algo_tile_end(first, rows);
        before += algo_sum(grid, args->scratch, known, tile);
        const uint32_t n = compact_tile(grid, args, first, end, before);
        if (end == rows && grid.index == 0) *args->selected_count = n;
    }
    if (rows == 0 && grid.block == 0 && grid.index == 0) *args->selected_count = 0;
}

#ifndef __CUDACC__
stoa_status stoa_algo_compact(stoa_queue *queue, const stoa_compact *args, stoa_error *err)
{
    ALGO_NEED(err, "compact", queue);
    ALGO_NEED(err, "compact", args);
    ALGO_FITS(err, "compact", args->capacity);
    if (args->capacity > 0) {
        ALGO_NEED(err, "compact", args->mask);
        ALGO_NEED(err, "compact", args->count);
        ALGO_NEED(err, "compact", args->index);
        ALGO_NEED(err, "compact", args->selected_count);
    }
    if (!algo_is_wide(queue, args->capacity, args->scratch)) return stoa_queue_launch(queue, &stoa_algo_compact_kernel, args, err);
    STOA_TRY(stoa_queue_launch(queue, &stoa_algo_compact_sums_kernel, args, err));
    return stoa_queue_launch(queue, &stoa_algo_compact_tiles_kernel, args, err);
}
#endif
