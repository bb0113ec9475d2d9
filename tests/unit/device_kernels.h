/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that the device tests launch, on the host and, through test_kernels.cu, on others. */
#ifndef TESTS_DEVICE_KERNELS_H
#define TESTS_DEVICE_KERNELS_H

#include "stoa/kernel.h"

typedef struct iota_args {
    int32_t *out, first;
    uint32_t count;
} iota_args;

STOA_KERNEL(test_iota, iota_args)
{
    STOA_FOR (i, grid, args->count) args->out[i] = args->first + (int32_t)i;
}

/* Arguments of the largest size. */
typedef struct big_args {
    unsigned char bytes[STOA_KERNEL_ARGS_MAX_BYTES - 8];
    uint64_t *sum;
} big_args;

STOA_KERNEL_BLOCK(test_add_bytes, big_args)
{
    if (grid.index == 0)
        for (uint32_t i = 0; i < sizeof args->bytes; i++) *args->sum += args->bytes[i];
}

/* A counter that must be met in order. */
typedef struct step_args {
    uint32_t *counter, *wrong;
    uint32_t expected;
} step_args;

STOA_KERNEL_BLOCK(test_step, step_args)
{
    if (grid.index != 0) return;
    if (*args->counter != args->expected) *args->wrong += 1;
    *args->counter += 1;
}

/* Whether all bytes have a value. */
typedef struct check_args {
    const uint8_t *data;
    uint32_t *wrong;
    uint32_t bytes, value;
} check_args;

STOA_KERNEL(test_check_bytes, check_args)
{
    STOA_FOR (i, grid, args->bytes) {
        if (args->data[i] != args->value) STOA_ATOMIC_ADD(args->wrong, 1u);
    }
}

#endif
