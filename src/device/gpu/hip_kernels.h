/* SPDX-License-Identifier: Apache-2.0 */
/* Before each `.cu` file that clang compiles for a GPU of AMD (cmake/kernel_image.cmake): HIP's words, and what is its own way. */
#ifndef STOAI_HIP_KERNELS_H
#define STOAI_HIP_KERNELS_H

#include <hip/hip_runtime.h>

/* By the name of CUDA's compiler the sources ask whether they are compiled for a GPU. */
#define __CUDACC__ 1

/* A wavefront's, which is the target's: 64 on gfx90a, 32 on gfx1030. */
#define STOA_WARP_THREADS ((uint32_t)warpSize)
#define STOA_SHUFFLE_UP(value, distance) __shfl_up((value), (distance))

#endif
