/* SPDX-License-Identifier: Apache-2.0 */
/** Kernels written once: plain C loops that the C compiler turns into host code and nvcc into GPU code.
 *
 *  A kernel is a body over an argument struct and a grid. The body visits its items with STOA_FOR; on the host the grid
 *  is one worker and the loop is an ordinary, vectorisable one, on a GPU it is a grid-stride loop. Bodies must not
 *  allocate, lock, print or fail. A `.cu` file that includes the `.c` file makes the GPU form.
 *
 *      typedef struct scale_args { float *x; float factor; const uint32_t *count; } scale_args;
 *      STOA_KERNEL(scale, scale_args)
 *      {
 *          STOA_FOR(i, grid, *args->count) args->x[i] *= args->factor;
 *      }
 *      stoa_queue_launch(queue, &scale_kernel, &(scale_args){x, 2.0f, count}, &err);
 */
#ifndef STOA_KERNEL_H
#define STOA_KERNEL_H

#include "stoa/queue.h"

/** This worker and how many there are. */
typedef struct stoa_grid { uint32_t index, size; } stoa_grid;

#if defined(__CUDACC__)
#define STOA_DEVICE static __device__ __forceinline__
#elif defined(__GNUC__)
#define STOA_DEVICE static inline __attribute__((always_inline))
#else
#define STOA_DEVICE static inline
#endif

/** Visit items index, index + size, ... below `count`. */
#define STOA_FOR(i, grid, count) for (uint32_t i = (grid).index; i < (count); i += (grid).size)

#if defined(__CUDACC__)
#define STOA_KERNEL(name, args_type)                                                                    \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid);                                \
    extern "C" __global__ void name##_cuda(const args_type args)                                        \
    {                                                                                                   \
        const stoa_grid grid = {blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x};         \
        name##_body(&args, grid);                                                                       \
    }                                                                                                   \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid)
#else
/** Defines `const stoa_kernel name##_kernel` and opens the body, which sees `args` and `grid`. */
#define STOA_KERNEL(name, args_type)                                                                    \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid);                                \
    static void name##_host(const void *args)                                                           \
    {                                                                                                   \
        const args_type copy = *(const args_type *)args;                                                \
        const stoa_grid one = {0, 1};                                                                   \
        name##_body(&copy, one);                                                                        \
    }                                                                                                   \
    const stoa_kernel name##_kernel = {sizeof(stoa_kernel), sizeof(args_type), #name, name##_host};     \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid)
#endif

#endif
