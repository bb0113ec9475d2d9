/* SPDX-License-Identifier: Apache-2.0 */
/* The operators that AOTInductor leaves to ATen: products of matrices and convolution, served by the native engine's kernels. */
#include <string.h>

#include "runtime/aoti/shim_internal.h"
#include "runtime/native/products.h"

/* PyTorch's numbers of types. */
enum { FLOAT16 = 5, FLOAT32 = 6, BFLOAT16 = 15 };

/* A matrix inside a tensor: its last two axes, from `offset` elements on; an axis of extent 1 that is to be longer is repeated. */
typedef struct operand {
    const shim_tensor *tensor;
    int64_t offset, rows, columns;
    native_matrix matrix; /* as float: the tensor itself, or a copy in the workspace */
} operand;

static int64_t stride(const shim_tensor *t, int64_t from_end, int64_t wanted)
{
    return t->dim < from_end || (t->sizes[t->dim - from_end] == 1 && wanted != 1) ? 0 : t->strides[t->dim - from_end];
}

static bool fits(const shim_tensor *t, int64_t from_end, int64_t wanted)
{
    return t->dim < from_end || t->sizes[t->dim - from_end] == 1 || t->sizes[t->dim - from_end] == wanted;
}

static float load(const shim_tensor *t, int64_t at)
{
    const stoa_half *half = (const stoa_half *)(const void *)t->data + at;
    return t->type == BFLOAT16 ? stoa_bfloat16_to_float((stoa_bfloat16){half->bits}) : stoa_half_to_float(*half);
}

static void store(shim_tensor *t, int64_t at, float value)
{
    stoa_half *half = (stoa_half *)(void *)t->data + at;
    half->bits = t->type == BFLOAT16 ? stoa_bfloat16_from_float(value).bits : stoa_half_from_float(value).bits;
}

/* Halves are multiplied in float: a copy in the workspace, planned like every other intermediate. */
static bool open_operand(operand *o, bool read)
{
    const shim_tensor *t = o->tensor;
    const int64_t row = stride(t, 2, o->rows), column = stride(t, 1, o->columns);
    if (t->type == FLOAT32) {
        o->matrix = (native_matrix){(float *)(void *)t->data + o->offset, row, column};
        return true;
    }
    float *copy = stoai_shim_block(stoai_shim_current(), (size_t)(o->rows * o->columns) * sizeof *copy);
    o->matrix = (native_matrix){copy, o->columns, 1};
    for (int64_t i = 0; copy && read && i < o->rows; i++)
        for (int64_t j = 0; j < o->columns; j++) copy[i * o->columns + j] = load(t, o->offset + i * row + j * column);
    return copy != NULL;
}

static void close_operand(operand *o, shim_tensor *write)
{
    if (!o->tensor || o->tensor->type == FLOAT32 || !o->matrix.data) return;
    for (int64_t i = 0; write && i < o->rows; i++)
        for (int64_t j = 0; j < o->columns; j++)
            store(write, o->offset + i * stride(write, 2, o->rows) + j * stride(write, 1, o->columns), o->matrix.data[i * o->columns + j]);
    stoai_shim_unblock(stoai_shim_current(), o->matrix.data);
}

/* out = alpha a b + beta bias for one matrix of a batch; `offsets` of out, a, b and bias. */
static int32_t multiply(shim_tensor *out, const shim_tensor *a, const shim_tensor *b, const shim_tensor *bias, double beta, double alpha,
                        const int64_t *offsets)
{
    const int64_t m = out->sizes[out->dim - 2], n = out->sizes[out->dim - 1], k = a->sizes[a->dim - 1];
    operand c = {out, offsets[0], m, n, {0}}, left = {a, offsets[1], m, k, {0}}, right = {b, offsets[2], k, n, {0}};
    operand sum = {bias, offsets[3], m, n, {0}};
    const bool ok = open_operand(&c, false) && open_operand(&left, true) && open_operand(&right, true) && (!bias || open_operand(&sum, true));
    if (ok)
        stoai_native_products()->multiply(m, n, k, (float)alpha, left.matrix, right.matrix, bias ? (float)beta : 0, sum.matrix, c.matrix);
    close_operand(&sum, NULL);
    close_operand(&right, NULL);
    close_operand(&left, NULL);
    close_operand(&c, ok ? out : NULL);
    return ok ? 0 : stoai_shim_fail("a product of halves does not fit the workspace");
}

static bool is_served(const shim_tensor *t) { return !t || t->type == FLOAT32 || t->type == FLOAT16 || t->type == BFLOAT16; }

/* A product of matrices, or of a batch of them when there are three axes. */
static int32_t product(const char *name, shim_tensor *out, const shim_tensor *a, const shim_tensor *b, const shim_tensor *bias, double beta,
                       double alpha)
{
    const int64_t dim = out->dim;
    if (!is_served(out) || !is_served(a) || !is_served(b) || !is_served(bias))
        return stoai_shim_fail("%s of types %d and %d to %d: only float32 (6), float16 (5) and bfloat16 (15) are served", name, a->type, b->type,
                               out->type);
    if (dim < 2 || dim > 3 || a->dim != dim || b->dim != dim || a->sizes[dim - 1] != b->sizes[dim - 2] ||
        out->sizes[dim - 2] != a->sizes[dim - 2] || out->sizes[dim - 1] != b->sizes[dim - 1] ||
        (bias && (!fits(bias, 1, out->sizes[dim - 1]) || !fits(bias, 2, out->sizes[dim - 2]))))
        return stoai_shim_fail("%s of unequal shapes", name);
    int32_t failed = 0;
    for (int64_t i = 0; i < (dim == 3 ? out->sizes[0] : 1); i++) {
        const int64_t offsets[] = {dim == 3 ? i * out->strides[0] : 0, dim == 3 ? i * a->strides[0] : 0, dim == 3 ? i * b->strides[0] : 0,
                                   bias && dim == 3 ? i * stride(bias, 3, out->sizes[0]) : 0};
        failed |= multiply(out, a, b, bias, beta, alpha, offsets);
    }
    return failed;
}

static int32_t addmm(shim_tensor *out, shim_tensor *self, shim_tensor *a, shim_tensor *b, double beta, double alpha)
{
    return product("addmm", out, a, b, self, beta, alpha);
}
static int32_t mm(shim_tensor *out, shim_tensor *a, shim_tensor *b) { return product("mm", out, a, b, NULL, 0, 1); }
static int32_t bmm(shim_tensor *out, shim_tensor *a, shim_tensor *b) { return product("bmm", out, a, b, NULL, 0, 1); }
static int32_t baddbmm(shim_tensor *out, shim_tensor *self, shim_tensor *a, shim_tensor *b, double beta, double alpha)
{
    return product("baddbmm", out, a, b, self, beta, alpha);
}

/* ---- convolution ----------------------------------------------------------------------------------------------------- */

typedef struct convolution {
    const shim_tensor *in, *weight, *bias;
    shim_tensor *out;
    int64_t stride[2], padding[2], dilation[2], groups;
} convolution;

/* Lines of the matrix that a kernel of weights multiplies: [channels x kernel, positions of the output], zeros outside the image. */
static void unroll(const convolution *c, int64_t image, int64_t first_channel, int64_t channels, float *lines)
{
    const shim_tensor *in = c->in;
    const int64_t height = c->out->sizes[2], width = c->out->sizes[3];
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t ky = 0; ky < c->weight->sizes[2]; ky++)
            for (int64_t kx = 0; kx < c->weight->sizes[3]; kx++, lines += height * width) {
                const float *plane = (const float *)(const void *)in->data + image * in->strides[0] + (first_channel + channel) * in->strides[1];
                for (int64_t y = 0; y < height; y++)
                    for (int64_t x = 0; x < width; x++) {
                        const int64_t at_y = y * c->stride[0] - c->padding[0] + ky * c->dilation[0];
                        const int64_t at_x = x * c->stride[1] - c->padding[1] + kx * c->dilation[1];
                        const bool inside = at_y >= 0 && at_y < in->sizes[2] && at_x >= 0 && at_x < in->sizes[3];
                        lines[y * width + x] = inside ? plane[at_y * in->strides[2] + at_x * in->strides[3]] : 0;
                    }
            }
}

static void convolve(const convolution *c, float *lines)
{
    const int64_t outs = c->weight->sizes[0] / c->groups, channels = c->weight->sizes[1];
    const int64_t depth = channels * c->weight->sizes[2] * c->weight->sizes[3], positions = c->out->sizes[2] * c->out->sizes[3];
    for (int64_t image = 0; image < c->in->sizes[0]; image++)
        for (int64_t group = 0; group < c->groups; group++) {
            unroll(c, image, group * channels, channels, lines);
            const native_matrix weight = {(float *)(void *)c->weight->data + group * outs * depth, depth, 1};
            const native_matrix bias = {c->bias ? (float *)(void *)c->bias->data + group * outs : NULL, 1, 0};
            const native_matrix out = {(float *)(void *)c->out->data + (image * c->weight->sizes[0] + group * outs) * positions, positions, 1};
            stoai_native_products()->multiply(outs, positions, depth, 1, weight, (native_matrix){lines, positions, 1}, c->bias ? 1 : 0, bias, out);
        }
}

static int64_t extent(const convolution *c, int axis)
{
    const int64_t reach = c->dilation[axis] * (c->weight->sizes[2 + axis] - 1) + 1;
    return (c->in->sizes[2 + axis] + 2 * c->padding[axis] - reach) / c->stride[axis] + 1;
}

static int32_t convolution_2d(shim_tensor *in, shim_tensor *weight, shim_tensor **bias, const int64_t *stride, int64_t stride_count,
                              const int64_t *padding, int64_t padding_count, const int64_t *dilation, int64_t dilation_count,
                              int32_t transposed, const int64_t *output_padding, int64_t output_padding_count, int64_t groups,
                              shim_tensor **result)
{
    (void)output_padding, (void)output_padding_count;
    *result = NULL;
    if (transposed || in->dim != 4 || weight->dim != 4 || stride_count != 2 || padding_count != 2 || dilation_count != 2 ||
        in->type != FLOAT32 || weight->type != FLOAT32)
        return stoai_shim_fail("convolution: only float32 images in two dimensions are served, not transposed");
    convolution c = {.in = in, .weight = weight, .bias = bias ? *bias : NULL, .groups = groups};
    memcpy(c.stride, stride, sizeof c.stride);
    memcpy(c.padding, padding, sizeof c.padding);
    memcpy(c.dilation, dilation, sizeof c.dilation);
    const int64_t sizes[4] = {in->sizes[0], weight->sizes[0], extent(&c, 0), extent(&c, 1)};
    const int64_t strides[4] = {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1};
    const int64_t kernel[4] = {weight->sizes[1] * weight->sizes[2] * weight->sizes[3], weight->sizes[2] * weight->sizes[3], weight->sizes[3], 1};
    if (memcmp(weight->strides, kernel, sizeof kernel)) return stoai_shim_fail("convolution: the weights are not contiguous");
    if (stoai_shim_empty(4, sizes, strides, FLOAT32, 0, -1, &c.out)) return 1;
    *result = c.out;
    const size_t bytes = (size_t)(kernel[0] * sizes[2] * sizes[3]) * sizeof(float);
    float *lines = stoai_shim_block(stoai_shim_current(), bytes);
    if (!lines) return stoai_shim_fail("convolution: %zu bytes do not fit the workspace", bytes);
    convolve(&c, lines);
    stoai_shim_unblock(stoai_shim_current(), lines);
    return 0;
}

#define SERVE(name, function) {"aoti_torch_cpu_" name, (void (*)(void))(function)}
const shim_symbol stoai_shim_products[] = {SERVE("addmm_out", addmm), SERVE("mm_out", mm), SERVE("bmm_out", bmm),
                                           SERVE("baddbmm_out", baddbmm), SERVE("convolution", convolution_2d), {NULL, NULL}};
