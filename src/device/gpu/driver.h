/* SPDX-License-Identifier: Apache-2.0 */
/* The vendor's driver, found when it is first asked for: the plugin links no library of it, so that it loads on every machine.
 *
 * The files of this folder are compiled once for each vendor. What they call is in one table of names a vendor: cuda.def, hip.def.
 * Where only names, types and numbers differ, those of cuda_api.h and hip_api.h are used; where arguments differ, the functions at
 * the end of this file and of gpu_device.h, which cuda_api.c and hip_api.c define. */
#ifndef STOAI_GPU_DRIVER_H
#define STOAI_GPU_DRIVER_H

#include <stdint.h>

#if defined(STOA_GPU_HIP)
#include "hip_api.h"
#else
#include "cuda_api.h"
#endif
#include "stoa/image.h"
#include "stoa/status.h"

typedef struct stoai_gpu_driver {
#define DRIVER(slot, symbol) __typeof__(symbol) *slot;
#include GPU_DRIVER_DEF
#undef DRIVER
} stoai_gpu_driver;

enum stoai_gpu_slot {
#define DRIVER(slot, symbol) GPU_SLOT_##slot,
#include GPU_DRIVER_DEF
#undef DRIVER
    GPU_SLOTS
};

/** Filled by stoai_gpu_load; the vendor's names of its functions, by slot. */
extern stoai_gpu_driver stoai_gpu;
extern const char *const stoai_gpu_symbols[GPU_SLOTS];

/** Whether the driver has an optional function. */
bool stoai_gpu_has(enum stoai_gpu_slot slot);

/** Find and initialise the driver, once a process.
 *  errors ENOTSUP no driver, an old one, or no device: with the reason */
stoa_status stoai_gpu_load(stoa_error *err);

/** The status of a driver call: OK, ENOMEM, ESTATE for what a capture does not allow, else EDEVICE; `native` is the vendor's code. */
stoa_status stoai_gpu_check(stoa_error *err, const char *where, enum stoai_gpu_slot slot, gpu_result result);
#define GPU_CHECKED(err, slot, result) stoai_gpu_check((err), STOA_HERE, GPU_SLOT_##slot, (result))

/* ---- defined for each vendor ---- */

/** NULL where the driver knows none. */
const char *stoai_gpu_error_name(gpu_result result);
const char *stoai_gpu_error_text(gpu_result result);
/** Passes `result` on; where the interface remembers a thread's last failure, that is forgotten: it is not the application's. */
gpu_result stoai_gpu_settle(gpu_result result);
/** Hold a device, and let it go; a claim of zeros holds nothing. */
stoa_status stoai_gpu_claim(gpu_claim *claim, uint32_t ordinal, stoa_error *err);
void stoai_gpu_unclaim(gpu_claim *claim);
/** Make the device the thread's current one, and give the caller's back: passes `result` on. Pairs do not nest. */
gpu_result stoai_gpu_make_current(const gpu_claim *claim);
gpu_result stoai_gpu_give_back(gpu_result result);
/** For people: "sm_90". */
void stoai_gpu_architecture(int major, int minor, char *text, size_t bytes);
/** Copies whose direction the driver sees from the addresses. */
gpu_result stoai_gpu_copy(void *dst, const void *src, size_t bytes, gpu_stream stream);
gpu_result stoai_gpu_copy_2d(void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes, size_t width_bytes, size_t height,
                             gpu_stream stream);
/** Kernels that the plugin itself brings. */
extern const stoa_kernel_image *const stoai_gpu_own_images[];
extern const uint32_t stoai_gpu_own_image_count;

#endif
