/* SPDX-License-Identifier: Apache-2.0 */
/* What the contenders of the mlp benchmark get, and what they must do. */
#ifndef STOA_BENCH_MLP_H
#define STOA_BENCH_MLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnx_writer.h"

#define MLP_WHY 512u /* bytes of a reason */

/* The case at hand. The input is one blob: a float column of `pitch` values for each input, `rows` of them
 * used. */
typedef struct mlp_case {
    const mlp_spec *spec;
    const mlp_weights *weights;
    const char *path; /* the .onnx file */
    uint32_t rows, pitch;
    const float *columns;   /* [inputs][pitch] */
    const float *row_major; /* [rows][inputs], for the contender that gets it as a gift */
    float *packed;          /* [rows][inputs], for the one that packs it */
    float *out;             /* [pitch] */
} mlp_case;

/* A contender is opened for a model, prepared for each number of rows, run, closed. Reasons go to
 * why[MLP_WHY]; close takes NULL and what a failed open or prepare left. prepare may be called again; run
 * neither allocates nor fails visibly: a failed run leaves its output as it was, which the comparison finds.
 */
typedef struct mlp_contender {
    const char *name;
    bool (*open)(const mlp_case *mlp, void **self, char *why);
    bool (*prepare)(void *self, const mlp_case *mlp, char *why);
    void (*run)(void *self);
    void (*close)(void *self);
    bool optional; /* a peer: left out with one line when it cannot be opened */
} mlp_contender;

extern const mlp_contender mlp_native, mlp_ort, mlp_ort_packed, mlp_openblas;

/* The processor whose kernels OpenBLAS chose. One that it does not know gets its oldest, which is no yardstick. */
const char *mlp_openblas_kernels(void);

/* Pack SoA to row-major in blocks of 16 rows, which keeps the lines written to in cache. */
void mlp_pack(const mlp_case *mlp, float *row_major);

#endif
