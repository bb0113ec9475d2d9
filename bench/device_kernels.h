/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmarks' own kernels: what a device can do at most, and what a launch costs. */
#ifndef STOA_BENCH_DEVICE_KERNELS_H
#define STOA_BENCH_DEVICE_KERNELS_H

#include "stoa/kernel.h"

#define BENCH_FMA_CHAINS 8

/* `items` times BENCH_FMA_CHAINS chains of `steps` multiply-adds, each on a register: a = a * x + y. */
typedef struct bench_fma_args {
    float *sink; /* one float, which nothing is ever stored to */
    uint32_t items, steps;
    float x, y;
} bench_fma_args;

/* Make the kernels known; before a device is opened. */
STOA_MUST_CHECK stoa_status bench_kernels_register(stoa_error *err);
STOA_MUST_CHECK stoa_status bench_enqueue_fma(stoa_queue *queue, float *sink, uint32_t items, uint32_t steps);
/* The kernel that finds nothing to do. */
STOA_MUST_CHECK stoa_status bench_enqueue_nothing(stoa_queue *queue);

#endif
