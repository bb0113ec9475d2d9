/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/kernels.h"

#include "reco/kernels.h"

#ifdef PIPELINES_HAVE_CUDA
#include "stoa/image.h"

extern const stoa_kernel_image pipelines_cuda_image; /* made by the build from pipelines.cu */
#endif

stoa_status pipelines_kernels_register(stoa_error *err)
{
    STOA_TRY(reco_kernels_register(err));
#ifdef PIPELINES_HAVE_CUDA
    STOA_TRY(stoa_kernel_image_register(&pipelines_cuda_image, err));
#endif
    return STOA_OK;
}
