/* SPDX-License-Identifier: Apache-2.0 */
/* Where a block keeps its tile, for the parts of native.cu: column `ref` of the program is `pitch` floats that begin at
 * base + ref * pitch, a lane for each row, and neighbouring threads have neighbouring rows. */
#ifndef STOA_NATIVE_DEVICE_PLACE_H
#define STOA_NATIVE_DEVICE_PLACE_H

#include "runtime/native/native_device.h"
#include "runtime/native/vmath.h"

/* The rows of a tile, and the columns that hold them. */
struct place {
    float *base;
    uint32_t pitch;
    uint32_t shift;       /* 1 << shift rows */
    uint32_t first, rows; /* of the caller's columns */
    bool shared;          /* in the block's own memory; a constant in each kernel */

    __device__ float *column(uint32_t ref) const { return base + (size_t)ref * pitch; }
    template <class T> __device__ T *cell(uint32_t ref, uint32_t row) const { return reinterpret_cast<T *>(column(ref)) + row; }
};

/* Values i and rows of this thread's share of `count` values. */
#define FOR_CELLS(i, row, p, grid, count) \
    for (uint32_t cell_ = (grid).index, i, row; \
         i = cell_ >> (p).shift, row = cell_ & ((1u << (p).shift) - 1), cell_ < (uint32_t)(count) << (p).shift; cell_ += (grid).size)

enum { ROWS_AT_ONCE = 4 };

/* What one instruction moves. */
struct alignas(16) four {
    float v[ROWS_AT_ONCE];
};

/* Of memory that no kernel writes. */
STOA_DEVICE four read_four(const float *from)
{
#if defined(__CUDA_ARCH__)
    const float4 x = __ldg((const float4 *)from);
    return {{x.x, x.y, x.z, x.w}};
#else
    return *(const four *)from;
#endif
}

/* *to = *from, or 0 unless `wanted`; to be waited for by copies_wait. Takes no register meanwhile, so a thread has as many under way as
 * it has columns. */
STOA_DEVICE void copy_begin(const place &p, float *to, const float *from, bool wanted)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if (p.shared) {
        const uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(wanted ? 4u : 0u) : "memory");
        return;
    }
#endif
    (void)p;
    *to = wanted ? __ldg(from) : 0.0f;
}

/* For the copies of this thread; a barrier shows them to the others. */
STOA_DEVICE void copies_wait()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/* Asks for a cache line that will be read later. */
STOA_DEVICE void prefetch_line(const void *line)
{
#if defined(__CUDA_ARCH__)
    asm volatile("prefetch.global.L1 [%0];" ::"l"(line));
#else
    (void)line;
#endif
}

#endif
