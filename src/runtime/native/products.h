/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of any strides, for programs that arrive with products of their own (runtime aoti). Compiled once per level. */
#ifndef STOA_NATIVE_PRODUCTS_H
#define STOA_NATIVE_PRODUCTS_H

#include <stdbool.h>
#include <stdint.h>

/* A matrix: element (i, j) at data[i * row + j * column]; strides count elements, 0 repeats. */
typedef struct native_matrix {
    float *data;
    int64_t row, column;
} native_matrix;

typedef struct native_products {
    const char *name;
    bool (*supported)(void);
    /* c[m, n] = alpha a[m, k] b[k, n] + beta d[m, n]; d may be c itself; with beta 0 it is not read. No memory but the stack's. */
    void (*multiply)(int64_t m, int64_t n, int64_t k, float alpha, native_matrix a, native_matrix b, float beta, native_matrix d,
                     native_matrix c);
} native_products;

/* The best level of this build that the processor has. */
const native_products *stoai_native_products(void);

#endif
