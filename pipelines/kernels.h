/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU form of all kernels that the jobs launch: libstoa_reco's and their own. */
#ifndef PIPELINES_KERNELS_H
#define PIPELINES_KERNELS_H

#include "stoa/status.h"

/** To be called before a job opens its device. In a build without a GPU compiler nothing happens: a launch on a GPU then says
 *  which kernel is missing.   errors as stoa_kernel_image_register */
STOA_MUST_CHECK stoa_status pipelines_kernels_register(stoa_error *err);

#endif
