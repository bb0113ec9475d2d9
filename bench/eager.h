/* SPDX-License-Identifier: Apache-2.0 */
/* Eager PyTorch as a contender: a Python process that runs one call when it is asked to and says how long that took, so that its calls
 * lie between those of the others. */
#ifndef STOA_BENCH_EAGER_H
#define STOA_BENCH_EAGER_H

#include <stdint.h>
#include <stdio.h>

enum { EAGER_TIMES = 1024 };

typedef struct bench_eager {
    FILE *ask, *answers;
    double times_ns[EAGER_TIMES]; /* of the last calls, in a ring */
    uint32_t calls;
} bench_eager;

/** Start the process on a network of bench/aot_nets.py; NULL when it does not answer. */
bench_eager *bench_eager_start(const char *network, uint32_t rows);
void bench_eager_stop(bench_eager *eager);

/** One call; nanoseconds as PyTorch's process measured them, NaN when it is gone. */
double bench_eager_call(bench_eager *eager);

#endif
