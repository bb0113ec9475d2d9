/* SPDX-License-Identifier: Apache-2.0 */
/* What the algorithms share: how many rows there are, the tiles of those that many blocks do, and which those are. */
#ifndef STOA_ALGO_ROWS_H
#define STOA_ALGO_ROWS_H

#include "stoa/algo.h"
#include "stoa/layout.h"

/* A count comes from other kernels, so it is clipped, not trusted; it is not read at all when there is no
 * room. */
STOA_DEVICE uint32_t algo_rows(const uint32_t *count, uint32_t capacity)
{
    if (capacity == 0) return 0;
    return *count < capacity ? *count : capacity;
}

/* A tile is ALGO_TILE rows. A first launch leaves the sum of each tile, a second one does the tiles from the sums before. */
enum { ALGO_TILE = 2048 };

STOA_DEVICE uint32_t algo_tile_end(uint32_t first, uint32_t rows) { return rows - first < ALGO_TILE ? rows : first + ALGO_TILE; }

/* For all workers of a block: the sum of sums[first .. end). */
STOA_DEVICE uint32_t algo_sum(stoa_grid grid, const uint32_t *sums, uint32_t first, uint32_t end)
{
    uint32_t mine = 0, all;
    for (uint32_t i = first + grid.index; i < end; i += grid.size) mine += sums[i];
    (void)stoa_block_scan(grid, mine, &all);
    return all;
}

#ifndef __CUDACC__
/* The one place that chooses between one block and many. The count is the device's own secret, so the capacity decides: an algorithm of
 * more launches must save more than they cost. Where that begins is a guess: one block goes 16 times over ALGO_NARROW_ROWS. */
enum { ALGO_NARROW_ROWS = 4 * ALGO_TILE };

static inline int algo_is_wide(const stoa_queue *queue, uint32_t capacity, const uint32_t *scratch)
{ return scratch && capacity > ALGO_NARROW_ROWS && stoa_device_place(stoa_queue_device(queue)).type != STOA_PLACE_HOST; }

#define ALGO_NEED(err, what, pointer) \
    do { \
        if (!(pointer)) return STOA_FAIL((err), STOA_EINVAL, "%s: '%s' is NULL", (what), #pointer); \
    } while (0)

/* Row numbers of a grid's last steps go beyond the last row: with no more rows than a layout has they still fit into 32 bits. */
#define ALGO_FITS(err, what, capacity) \
    do { \
        if ((capacity) > STOA_LAYOUT_ROWS_MAX) \
            return STOA_FAIL((err), STOA_ELIMIT, "%s: a capacity of %u rows, at most %u", (what), (unsigned)(capacity), \
                             (unsigned)STOA_LAYOUT_ROWS_MAX); \
    } while (0)
#endif

#endif
