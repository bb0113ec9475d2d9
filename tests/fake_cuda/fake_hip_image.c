/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel of the tree as one image for the fake runtime of HIP, which has the kernels itself and wants their names. */
#include "fake_internal.h"
#include "stoa/image.h"

static const uint32_t magic = FAKE_IMAGE_MAGIC;
static const char *const kernels[] = {
#define KERNEL(symbol) #symbol,
#include "stoa_cuda_algo_kernels.def"
#include "stoa_cuda_native_kernels.def"
#include "reco_cuda_kernels.def"
#include "pipelines_cuda_kernels.def"
#include "bench_cuda_kernels.def"
#include "test_cuda_kernels.def"
#undef KERNEL
};

extern const stoa_kernel_image fake_hip_image;
const stoa_kernel_image fake_hip_image = {
    sizeof fake_hip_image, sizeof kernels / sizeof *kernels, "hip", "fake", &magic, sizeof magic, kernels};
