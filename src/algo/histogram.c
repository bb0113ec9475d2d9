/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* The comparisons come before the conversion, which is undefined for values that do not fit. */
STOA_KERNEL(stoa_algo_histogram, stoa_histogram)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint32_t last = args->bins - 1;
    const float low = args->low, high = args->high;
    const float scale = (float)args->bins / (high - low);
    STOA_FOR (i, grid, rows) {
        const float x = args->in[i];
        if (x >= low && x < high) {
            const float position = (x - low) * scale; /* may round up to bins */
            STOA_ATOMIC_ADD(&args->out[position < (float)last ? (uint32_t)position : last], 1u);
        } else if (args->clamp) {
            STOA_ATOMIC_ADD(&args->out[x < low ? 0 : last], 1u);
        }
    }
}

#ifndef __CUDACC__
stoa_status stoa_algo_histogram(stoa_queue *queue, const stoa_histogram *args, stoa_error *err)
{
    ALGO_NEED(err, "histogram", queue);
    ALGO_NEED(err, "histogram", args);
    ALGO_FITS(err, "histogram", args->capacity);
    if (args->bins == 0) return STOA_FAIL(err, STOA_EINVAL, "histogram: 0 bins");
    if (args->clamp > 1) return STOA_FAIL(err, STOA_EINVAL, "histogram: clamp is %u, not 0 or 1", args->clamp);
    const float width = args->high - args->low;
    if (!(width > 0.0f) || width > 3.0e38f)
        return STOA_FAIL(err, STOA_EINVAL, "histogram: range [%g, %g) is empty or not finite", (double)args->low, (double)args->high);
    ALGO_NEED(err, "histogram", args->out);
    if (args->capacity > 0) {
        ALGO_NEED(err, "histogram", args->in);
        ALGO_NEED(err, "histogram", args->count);
    }
    STOA_TRY(stoa_queue_fill(queue, args->out, 0, args->bins * sizeof *args->out, err));
    return stoa_queue_launch(queue, &stoa_algo_histogram_kernel, args, err);
}
#endif
