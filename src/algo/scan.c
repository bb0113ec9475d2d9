/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* Rows [first, end), one row a worker at a time, from the sum before them; returns the sum behind them. The value is read before
 * the write, as `in` may be `out`. */
STOA_DEVICE uint32_t scan_rows(stoa_grid grid, const stoa_scan *args, uint32_t first, uint32_t end, uint32_t sum)
{
    const uint32_t *in = args->in;
    uint32_t *out = args->out;
    const uint32_t inclusive = !args->exclusive;
    for (uint32_t at = first; at < end; at += grid.size) {
        const uint32_t i = at + grid.index;
        const uint32_t value = i < end ? in[i] : 0;
        uint32_t all;
        const uint32_t before = sum + stoa_block_scan(grid, value, &all);
        if (i < end) out[i] = inclusive ? before + value : before;
        sum += all;
    }
    return sum;
}

STOA_KERNEL_BLOCK(stoa_algo_scan, stoa_scan) { (void)scan_rows(grid, args, 0, algo_rows(args->count, args->capacity), 0); }

/* The scratch gets the sum of each tile. */
STOA_KERNEL_TILES(stoa_algo_scan_sums, stoa_scan)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE, sum = algo_sum(grid, args->in, first, algo_tile_end(first, rows));
        if (grid.index == 0) args->scratch[tile] = sum;
    }
}

STOA_KERNEL_TILES(stoa_algo_scan_tiles, stoa_scan)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    uint32_t sum = 0, known = 0; /* of the tiles before `known` */
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; known = tile, tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE;
        sum += algo_sum(grid, args->scratch, known, tile);
        (void)scan_rows(grid, args, first, algo_tile_end(first, rows), sum);
    }
}

#ifndef __CUDACC__
stoa_status stoa_algo_scan(stoa_queue *queue, const stoa_scan *args, stoa_error *err)
{
    ALGO_NEED(err, "scan", queue);
    ALGO_NEED(err, "scan", args);
    ALGO_FITS(err, "scan", args->capacity);
    if (args->exclusive > 1) return STOA_FAIL(err, STOA_EINVAL, "scan: exclusive is %u, not 0 or 1", args->exclusive);
    if (args->capacity > 0) {
        ALGO_NEED(err, "scan", args->in);
        ALGO_NEED(err, "scan", args->count);
        ALGO_NEED(err, "scan", args->out);
    }
    if (!algo_is_wide(queue, args->capacity, args->scratch)) return stoa_queue_launch(queue, &stoa_algo_scan_kernel, args, err);
    STOA_TRY(stoa_queue_launch(queue, &stoa_algo_scan_sums_kernel, args, err));
    return stoa_queue_launch(queue, &stoa_algo_scan_tiles_kernel, args, err);
}

uint32_t stoa_algo_scratch_words(uint32_t capacity) { return capacity / ALGO_TILE + 1; }
#endif
