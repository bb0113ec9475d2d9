/* SPDX-License-Identifier: Apache-2.0 */
/* The words of CUDA C++ that the kernels use, for a host compiler: a `.cu` file behind this header is compiled as it is. */
#ifndef FAKE_CUDA_DEVICE_H
#define FAKE_CUDA_DEVICE_H

#define __CUDACC__ 1
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __ldg(pointer) (*(pointer))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __constant__
#define __shared__ static /* one block runs at a time */

struct fake_index {
    unsigned x;
};
extern "C" {
extern thread_local fake_index threadIdx, blockIdx, blockDim, gridDim;
void fake_barrier(void);
uint32_t fake_shuffle_up(uint32_t value, uint32_t distance);
unsigned char *fake_block_memory(void);
void fake_warp_mma(bool tfloat32, float (*element)(uint32_t word, unsigned half), float *sum, const uint32_t *a, const uint32_t *b);
}

#define __syncthreads() fake_barrier()
#define STOA_WARP_THREADS FAKE_WARP_THREADS
#define STOA_BLOCK_MEMORY() fake_block_memory()
#define STOA_SHUFFLE_UP(value, distance) fake_shuffle_up((value), (distance))
#define __ffsll(value) __builtin_ffsll(value)

/* The tensor cores' part (device_mma.h). */
#define STOA_WARP_ROUND_TFLOAT32(word, x) ((word) = f32_to_tfloat(x))
#define STOA_WARP_PACK_BFLOAT16(word, low, high) ((word) = f32_to_bfloat(low) | (uint32_t)f32_to_bfloat(high) << 16)
#define STOA_WARP_PACK_FLOAT16(word, low, high) ((word) = f32_to_half(low) | (uint32_t)f32_to_half(high) << 16)
#define STOA_WARP_MMA(precision, sum, a, b) \
    fake_warp_mma((precision) == STOA_PRECISION_TFLOAT32, \
                  [](uint32_t word, unsigned half) { \
                      const uint16_t bits = (uint16_t)(word >> 16 * half); \
                      return (precision) == STOA_PRECISION_TFLOAT32   ? float_of(word) \
                             : (precision) == STOA_PRECISION_BFLOAT16 ? bfloat_to_f32(bits) \
                                                                      : half_to_f32(bits); \
                  }, \
                  (sum), (a), (b))

/* Threads of a block run in turn, but blocks of other streams run beside them. */
static inline uint32_t atomicAdd(uint32_t *pointer, uint32_t value) { return __atomic_fetch_add(pointer, value, __ATOMIC_RELAXED); }
static inline uint32_t atomicExch(uint32_t *pointer, uint32_t value) { return __atomic_exchange_n(pointer, value, __ATOMIC_RELEASE); }
static inline uint32_t atomicCAS(uint32_t *pointer, uint32_t old, uint32_t value)
{
    __atomic_compare_exchange_n(pointer, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return old;
}
#define __threadfence_system() __atomic_thread_fence(__ATOMIC_SEQ_CST)
static inline void atomicMin(uint32_t *pointer, uint32_t value)
{
    uint32_t old = __atomic_load_n(pointer, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(pointer, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
static inline void atomicMax(uint32_t *pointer, uint32_t value)
{
    uint32_t old = __atomic_load_n(pointer, __ATOMIC_RELAXED);
    while (value > old && !__atomic_compare_exchange_n(pointer, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

#endif
