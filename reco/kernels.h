/* SPDX-License-Identifier: Apache-2.0 */
/** The GPU form of this library's kernels. Needed once, before a GPU is opened; the host's form needs nothing.
 *
 *      reco_kernels_register(&err);
 *      stoa_device_open("cuda:0", &device, &err); */
#ifndef RECO_KERNELS_H
#define RECO_KERNELS_H

#include "reco/export.h"
#include "stoa/status.h"

STOA_BEGIN_DECLS

/** Make the compiled kernels known to the devices that are opened from now on (stoa/image.h). In a build without a GPU compiler
 *  there are none, and nothing happens: a launch on a GPU then says which kernel is missing.
 *
 *  owns     nothing
 *  threads  any          alloc none
 *  errors   as stoa_kernel_image_register      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_kernels_register(stoa_error *err);

STOA_END_DECLS
#endif
