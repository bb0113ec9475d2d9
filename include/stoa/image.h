/* SPDX-License-Identifier: Apache-2.0 */
/** Kernel images: the compiled form of a library's kernels for another back end, as data.
 *
 *  A library that brings kernels of its own (stoa/kernel.h) compiles them for the GPU, embeds the result and registers it before
 *  devices are opened: stoa_device_open loads all images of its back end, so that nothing is loaded at a first launch. The build's
 *  CMake function `stoa_kernel_image` makes the struct from a `.cu` file. Not for models, whose runtimes bring code of their own.
 *
 *      extern const stoa_kernel_image my_kernels_image;          // generated
 *      stoa_kernel_image_register(&my_kernels_image, &err);
 *      stoa_device_open("cuda:0", &device, &err);
 *      stoa_queue_launch(queue, &my_kernel, &args, &err);        // found by its name
 */
#ifndef STOA_IMAGE_H
#define STOA_IMAGE_H

#include "stoa/status.h"

STOA_BEGIN_DECLS

typedef struct stoa_kernel_image {
    uint32_t struct_size;
    uint32_t kernel_count;
    const char *backend;          /**< who loads it: "cuda", "hip" */
    const char *name;             /**< for messages */
    const void *data;             /**< what the back end's loader takes: a fat binary of CUDA, a bundle of code objects */
    size_t bytes;
    const char *const *kernels;   /**< [kernel_count] its symbols, each a kernel's name and its shape: "stoa_algo_scan_block" */
} stoa_kernel_image;

/** Make an image known to the devices that are opened from now on. Registering it again is a no-op.
 *
 *  owns     borrows `image` for ever
 *  threads  any      alloc none
 *  errors   EINVAL null or incomplete; ELIMIT 32 images      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_kernel_image_register(const stoa_kernel_image *image, stoa_error *err);

/** Images in the order of registration; NULL behind the last one. For back ends.
 *  owns borrowed   threads any   errors NULL   since 0.1 */
STOA_API const stoa_kernel_image *stoa_kernel_image_at(uint32_t index);

STOA_END_DECLS
#endif
