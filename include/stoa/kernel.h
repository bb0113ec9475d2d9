/* SPDX-License-Identifier: Apache-2.0 */
/** Kernels written once: plain C loops that the C compiler turns into host code and nvcc into GPU code.
 *
 *  A kernel is a body over an argument struct and a grid of workers. On the host the grid is one worker. On a GPU it has one of
 *  three shapes: STOA_KERNEL fills the device, its workers share the items (STOA_FOR) and know nothing of each other;
 *  STOA_KERNEL_BLOCK is one block, whose workers may wait for each other (STOA_BARRIER), share memory (STOA_SHARED) and add up
 *  (stoa_block_scan); STOA_KERNEL_TILES fills the device with such blocks, which share the tiles of the work. Bodies must not
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

/** This worker and how many there are; of STOA_KERNEL_TILES in its block, and which block of how many that is. */
typedef struct stoa_grid {
    uint32_t index, size, block, blocks;
} stoa_grid;

/** The one table of work division: shape, blocks for each multiprocessor (0: one block in all), threads in a block, memory that a
 *  launch may give to a block: less where a device has not as much beside what the kernel itself declares. The compiled form of
 *  kernel `name` is the symbol `name_shape`. */
#define STOA_SHAPE_MAP(X) \
    X(grid, 8, 256, 0) \
    X(block, 0, STOA_BLOCK_THREADS_MAX, 0) \
    X(tile, 8, 128, STOA_KERNEL_SHARED_MAX_BYTES)
#define STOA_BLOCK_THREADS_MAX 512

#define STOA_SHAPE_THREADS_(shape, blocks, threads, shared_bytes) STOA_SHAPE_THREADS_##shape = threads,
enum { STOA_SHAPE_MAP(STOA_SHAPE_THREADS_) };
#undef STOA_SHAPE_THREADS_

#if defined(__CUDACC__)
#define STOA_DEVICE static __device__ __forceinline__
#define STOA_SHARED __shared__
#define STOA_BARRIER() __syncthreads()
#define STOA_ATOMIC_ADD(pointer, value) atomicAdd((pointer), (value))
#define STOA_ATOMIC_MIN(pointer, value) atomicMin((pointer), (value))
#define STOA_ATOMIC_MAX(pointer, value) atomicMax((pointer), (value))
#define STOA_ALONE 0
/* Threads that go in step, and a value of the one `distance` before in the same warp: every thread of the warp must ask. */
#ifndef STOA_WARP_THREADS
#define STOA_WARP_THREADS 32u
#define STOA_SHUFFLE_UP(value, distance) __shfl_up_sync(0xFFFFFFFFu, (value), (distance))
#endif
#ifndef STOA_BLOCK_MEMORY
extern "C" __shared__ __align__(16) unsigned char stoa_block_memory[];
#define STOA_BLOCK_MEMORY() stoa_block_memory
#endif
#else
#if defined(__GNUC__)
#define STOA_DEVICE static inline __attribute__((always_inline))
#else
#define STOA_DEVICE static inline
#endif
/** Before a variable: one for all workers of the block. */
#define STOA_SHARED
/** No worker of the block goes on before all are here and see what the others wrote. */
#define STOA_BARRIER() ((void)0)
/** Add to a number that other workers add to as well. */
#define STOA_ATOMIC_ADD(pointer, value) ((void)(*(pointer) += (value)))
/** Lower or raise a number that other workers lower or raise as well. `pointer` and `value` may be evaluated twice. */
#define STOA_ATOMIC_MIN(pointer, value) ((void)(*(pointer) > (value) ? *(pointer) = (value) : 0))
#define STOA_ATOMIC_MAX(pointer, value) ((void)(*(pointer) < (value) ? *(pointer) = (value) : 0))
/** Whether the grid is one worker, as a constant: what only one worker does well takes no registers on a GPU. */
#define STOA_ALONE 1
/** The block's own memory, of the launch's `shared_bytes`, aligned to 16; NULL on the host. */
#define STOA_BLOCK_MEMORY() NULL
#endif

/** C's `restrict` in both languages. */
#ifdef __cplusplus
#define STOA_RESTRICT __restrict__
#else
#define STOA_RESTRICT restrict
#endif

/** Visit items index, index + size, ... below `count`. */
#define STOA_FOR(i, grid, count) for (uint32_t i = (grid).index; i < (count); i += (grid).size)

/** For workers of a block, all of which must call it: the sum of `value` over the workers before this one, and over all in `total`.
 *  owns nothing   threads all of the block   errors none   since 0.1 */
STOA_DEVICE uint32_t stoa_block_scan(stoa_grid grid, uint32_t value, uint32_t *total)
{
#if defined(__CUDACC__)
    STOA_SHARED uint32_t warp_sum[STOA_BLOCK_THREADS_MAX / 32]; /* none is narrower */
    const uint32_t lane = grid.index % STOA_WARP_THREADS, warp = grid.index / STOA_WARP_THREADS;
    uint32_t sum = value, before = 0, all = 0;
    for (uint32_t distance = 1; distance < STOA_WARP_THREADS; distance *= 2) {
        const uint32_t below = STOA_SHUFFLE_UP(sum, distance);
        if (lane >= distance) sum += below;
    }
    STOA_BARRIER(); /* all have read the sums of the call before */
    if (lane == STOA_WARP_THREADS - 1) warp_sum[warp] = sum;
    STOA_BARRIER();
    for (uint32_t w = 0; w < grid.size / STOA_WARP_THREADS; w++) {
        before += w < warp ? warp_sum[w] : 0;
        all += warp_sum[w];
    }
    *total = all;
    return before + sum - value;
#else
    (void)grid;
    *total = value;
    return 0;
#endif
}

#if defined(__CUDACC__)
#define STOA_GRID_grid {blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x, 0, 1}
#define STOA_GRID_block {threadIdx.x, blockDim.x, 0, 1}
#define STOA_GRID_tile {threadIdx.x, blockDim.x, blockIdx.x, gridDim.x}
#define STOA_KERNEL_AS_(name, args_type, shape) \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid); \
    extern "C" __global__ void __launch_bounds__(STOA_SHAPE_THREADS_##shape) name##_##shape(const args_type args) \
    { \
        const stoa_grid grid = STOA_GRID_##shape; \
        name##_body(&args, grid); \
    } \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid)
#else
#define STOA_KERNEL_AS_(name, args_type, shape) \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid); \
    static void name##_host(const void *args) \
    { \
        const args_type copy = *(const args_type *)args; \
        const stoa_grid one = {0, 1, 0, 1}; \
        name##_body(&copy, one); \
    } \
    const stoa_kernel name##_kernel = {sizeof(stoa_kernel), sizeof(args_type), #name, name##_host, 0, 0}; \
    STOA_DEVICE void name##_body(const args_type *args, stoa_grid grid)
#endif

/** Defines `const stoa_kernel name##_kernel` and opens the body, which sees `args` and `grid`. */
#define STOA_KERNEL(name, args_type) STOA_KERNEL_AS_(name, args_type, grid)
/** The same for a body whose workers are one block. */
#define STOA_KERNEL_BLOCK(name, args_type) STOA_KERNEL_AS_(name, args_type, block)
/** The same for a body whose workers are a block among others: it does tiles grid.block, grid.block + grid.blocks, ... */
#define STOA_KERNEL_TILES(name, args_type) STOA_KERNEL_AS_(name, args_type, tile)

#endif
