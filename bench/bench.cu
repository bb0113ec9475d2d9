/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU form of the benchmarks' kernels: the same file, compiled by nvcc. */
#include "device_kernels.c"
