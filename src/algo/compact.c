/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* Serial. A GPU needs the cooperative form: block-wide counts, scan of the counts, then the same writes.
 * Every row is written and only the cursor depends on the mask: no branch to mispredict. index[n] stays
 * inside because n <= i. */
STOA_KERNEL(stoa_algo_compact, stoa_compact)
{
    if (grid.index != 0) return;
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint8_t *mask = args->mask;
    uint32_t *index = args->index;
    uint32_t n = 0;
    for (uint32_t i = 0; i < rows; i++) {
        index[n] = i;
        n += mask[i] != 0;
    }
    if (args->selected_count) *args->selected_count = n;
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
