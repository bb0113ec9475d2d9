/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/kernels.h"

#ifdef RECO_HAVE_CUDA
#include "stoa/image.h"

extern const stoa_kernel_image reco_cuda_image; /* made by the build from reco.cu */

stoa_status reco_kernels_register(stoa_error *err) { return stoa_kernel_image_register(&reco_cuda_image, err); }
#else
stoa_status reco_kernels_register(stoa_error *err)
{
    (void)err;
    return STOA_OK;
}
#endif
