/* SPDX-License-Identifier: Apache-2.0 */
/* The peer of products and layers, where its header was found. */
#ifndef STOA_BENCH_OPENBLAS_H
#define STOA_BENCH_OPENBLAS_H

#include <stdbool.h>
#include <stddef.h>

#include <cblas.h>

/* Loaded, not linked: libtorch's products would be looked up in a BLAS of the program first, and run on its threads. */
typedef struct bench_openblas_table {
    __typeof__(cblas_sgemm) *sgemm;
    __typeof__(cblas_sgemv) *sgemv;
    __typeof__(openblas_set_num_threads) *set_num_threads;
    __typeof__(openblas_get_corename) *get_corename;
} bench_openblas_table;
extern bench_openblas_table bench_openblas;

/* Load the library into the table; false with the reason when there is none. */
bool bench_openblas_load(char *why, size_t capacity);

#endif
