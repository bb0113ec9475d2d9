/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

/* Serial. A GPU needs the cooperative form: the output zeroed first, then atomic adds, in shared memory where
 * bins fit. The comparisons come before the conversion, which is undefined for values that do not fit. */
STOA_KERNEL(stoa_algo_histogram, stoa_histogram)
{
    if (grid.index != 0) return;
    const uint32_t rows = algo_rows(args->count, args->capacity);
    const uint32_t last = args->bins - 1;
    const float low = args->low, high = args->high;
    const float scale = (float)args->bins / (high - low);
    for (uint32_t b = 0; b <= last; b++) args->out[b] = 0;
    for (uint32_t i = 0; i < rows; i++) {
        const float x = args->in[i];
        if (x >= low && x < high) {
            const float position = (x - low) * scale; /* may round up to bins */
            args->out[position < (float)last ? (uint32_t)position : last]++;
        } else if (args->clamp) {
            args->out[x < low ? 0 : last]++;
        }
    }
}

#ifndef __CUDACC__
stoa_status stoa_algo_histogram(stoa_queue *queue, const stoa_histogram *args, stoa_error *err)
{
    ALGO_NEED(err, "histogram", queue);
    ALGO_NEED(err, "histogram", args);
    if (args->bins == 0) return STOA_FAIL(err, STOA_EINVAL, "histogram: 0 bins");
    if (args->clamp > 1)
        return STOA_FAIL(err, STOA_EINVAL, "histogram: clamp is %u, not 0 or 1", args->clamp);
    const float width = args->high - args->low;
    if (!(width > 0.0f) || width > 3.0e38f)
        return STOA_FAIL(err, STOA_EINVAL, "histogram: range [%g, %g) is empty or not finite",
                         (double)args->low, (double)args->high);
    ALGO_NEED(err, "histogram", args->out);
    if (args->capacity > 0) {
        ALGO_NEED(err, "histogram", args->in);
        ALGO_NEED(err, "histogram", args->count);
    }
    return stoa_queue_launch(queue, &stoa_algo_histogram_kernel, args, err);
}
#endif
