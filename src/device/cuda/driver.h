/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA's driver, found when it is first asked for: the plugin links no library of CUDA, so that it loads on every machine. */
#ifndef STOAI_CUDA_DRIVER_H
#define STOAI_CUDA_DRIVER_H

#include <cuda.h>

#include "stoa/status.h"

typedef struct stoai_cuda_driver {
#define DRIVER(symbol) __typeof__(symbol) *symbol;
#include "driver.def"
#undef DRIVER
} stoai_cuda_driver;

/** Filled by stoai_cuda_load. */
extern stoai_cuda_driver stoai_cuda;

/** Find and initialise the driver, once a process.
 *  errors ENOTSUP no driver, an old one, or no device: with the reason */
stoa_status stoai_cuda_load(stoa_error *err);

/** The status of a driver call: OK, ENOMEM, ESTATE for what a capture does not allow, else EDEVICE; `native` is the CUresult. */
stoa_status stoai_cuda_check(stoa_error *err, const char *where, const char *call, CUresult result);

#endif
