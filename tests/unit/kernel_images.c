/* SPDX-License-Identifier: Apache-2.0 */
#include "device_under_test.h"

/* Made by the build from test_kernels.cu, one for each vendor. */
#define DECLARE(image) extern const stoa_kernel_image image;
#define REGISTER(image) STOA_TRY(stoa_kernel_image_register(&(image), err));
KERNEL_IMAGES(DECLARE)

stoa_status test_kernels_register(stoa_error *err)
{
    (void)err; /* there may be none */
    KERNEL_IMAGES(REGISTER)
    return STOA_OK;
}
