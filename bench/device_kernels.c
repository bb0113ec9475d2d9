/* SPDX-License-Identifier: Apache-2.0 */
#include "device_kernels.h"

#include <math.h>

/* Eight chains hide a latency of four cycles with a warp or two; a device has more of these. */
STOA_KERNEL(bench_fma, bench_fma_args)
{
    STOA_FOR (i, grid, args->items) {
        float a[BENCH_FMA_CHAINS], sum = 0;
        for (int k = 0; k < BENCH_FMA_CHAINS; k++) a[k] = args->y * (float)k;
        for (uint32_t step = 0; step < args->steps; step++)
            for (int k = 0; k < BENCH_FMA_CHAINS; k++) a[k] = fmaf(a[k], args->x, args->y);
        for (int k = 0; k < BENCH_FMA_CHAINS; k++) sum += a[k];
        if (sum < 0) *args->sink = sum; /* never: but the compiler does not know it */
    }
}

#if !defined(__CUDACC__)
#include "stoa/image.h"

/* Made by the build from bench.cu, one for each vendor. */
#define DECLARE(image) extern const stoa_kernel_image image;
#define REGISTER(image) STOA_TRY(stoa_kernel_image_register(&(image), err));
KERNEL_IMAGES(DECLARE)

stoa_status bench_kernels_register(stoa_error *err)
{
    (void)err; /* there may be none */
    KERNEL_IMAGES(REGISTER)
    return STOA_OK;
}

stoa_status bench_enqueue_fma(stoa_queue *queue, float *sink, uint32_t items, uint32_t steps)
{
    const bench_fma_args args = {sink, items, steps, 0.999f, 0.001f};
    return stoa_queue_launch(queue, &bench_fma_kernel, &args, NULL);
}

stoa_status bench_enqueue_nothing(stoa_queue *queue) { return bench_enqueue_fma(queue, NULL, 0, 0); }
#endif
