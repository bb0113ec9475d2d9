/* SPDX-License-Identifier: Apache-2.0 */
/* Writes small .onnx files, so that all contenders read the same model and none has to be committed. */
#ifndef STOA_BENCH_ONNX_WRITER_H
#define STOA_BENCH_ONNX_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#define MLP_LAYERS_MAX 5u

/* ReLU inside, sigmoid at the end. */
typedef struct mlp_spec {
    const char *name;
    uint32_t layers;
    uint32_t widths[MLP_LAYERS_MAX + 1]; /* inputs, then each layer's outputs */
} mlp_spec;

typedef struct mlp_weights {
    float *weight[MLP_LAYERS_MAX]; /* [out][in], as torch has them */
    float *bias[MLP_LAYERS_MAX];   /* [out] */
} mlp_weights;

#define ONNX_INPUT "features"
#define ONNX_OUTPUT "score"

/* Gemm (transB = 1), Relu, ..., Sigmoid from [N, inputs] to [N, outputs]. False with errno set when it cannot
 * be written. */
bool onnx_write_mlp(const char *path, const mlp_spec *spec, const mlp_weights *weights);
/* One Relu on [N, 1]: the least there is to run, for the cost of a call. */
bool onnx_write_trivial(const char *path);

#endif
