/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/kernels.h"

#include "stoa/image.h"

/* Made by the build from reco.cu, one for each vendor. */
#define DECLARE(image) extern const stoa_kernel_image image;
#define REGISTER(image) STOA_TRY(stoa_kernel_image_register(&(image), err));
KERNEL_IMAGES(DECLARE)

stoa_status reco_kernels_register(stoa_error *err)
{
    (void)err; /* there may be none */
    KERNEL_IMAGES(REGISTER)
    return STOA_OK;
}
