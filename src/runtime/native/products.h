/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices of any strides and convolution of images, for programs that arrive with operators of their own (runtime
 * aoti). Compiled once per instruction-set level and type. Nothing here allocates, locks or starts a thread. */
#ifndef STOA_NATIVE_PRODUCTS_H
#define STOA_NATIVE_PRODUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stoa/dtype.h"

/* A matrix: element (i, j) at data[i * row + j * column]; strides count elements, 0 repeats. */
typedef struct native_matrix {
    void *data;
    int64_t row, column;
} native_matrix;

/* A batch of images: element (image, channel, y, x); strides count elements. */
typedef struct native_images {
    void *data;
    int64_t image, channel, row, column;
} native_images;

/* Extents come as y, x. Output channel o belongs to group o / outs and sees that group's `channels` input channels. */
typedef struct native_convolution {
    native_images in, out;
    const void *weight;           /* [groups * outs][channels][kernel y][kernel x], without gaps */
    const void *bias;             /* [groups * outs], or NULL */
    int64_t images, groups, outs, channels;
    int64_t size[2], kernel[2];   /* of an input image, of the weights */
    int64_t stride[2], padding[2], dilation[2];
} native_convolution;

typedef struct native_products {
    const char *name;
    bool (*supported)(void);
    /* c[m, n] = alpha a[m, k] b[k, n] + beta d[m, n]; d may be c itself; with beta 0 it is not read. Below 64 KiB of the stack. */
    void (*multiply)(int64_t m, int64_t n, int64_t k, double alpha, native_matrix a, native_matrix b, double beta, native_matrix d,
                     native_matrix c);
    /* out = in * weight + bias; the workspace has `convolve_bytes`, aligned to 8. */
    size_t (*convolve_bytes)(const native_convolution *c);
    void (*convolve)(const native_convolution *c, void *workspace);
} native_products;

/* All levels of this build from the lowest to the highest, ended by NULL; the best of them that the processor has. The type is
 * STOA_FLOAT32 or STOA_FLOAT64. */
const native_products *const *stoai_native_products_levels(stoa_dtype dtype);
const native_products *stoai_native_products(stoa_dtype dtype);

/* Rows (axis 0) or columns (axis 1) of an output image; below 1 when the kernel is larger than the padded image. */
int64_t stoai_native_convolved(const native_convolution *c, int axis);

#endif
