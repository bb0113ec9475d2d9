/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/kernels.h"

#include "reco/kernels.h"
#include "stoa/image.h"

/* Made by the build from pipelines.cu, one for each vendor. */
#define DECLARE(image) extern const stoa_kernel_image image;
#define REGISTER(image) STOA_TRY(stoa_kernel_image_register(&(image), err));
KERNEL_IMAGES(DECLARE)

stoa_status pipelines_kernels_register(stoa_error *err)
{
    STOA_TRY(reco_kernels_register(err));
    KERNEL_IMAGES(REGISTER)
    return STOA_OK;
}
