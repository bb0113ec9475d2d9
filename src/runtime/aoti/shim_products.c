/* SPDX-License-Identifier: Apache-2.0 */
/* The operators that AOTInductor leaves to ATen: products of matrices and convolution, served by the native engine's kernels. */
#include <string.h>

#include "runtime/aoti/shim_internal.h"
#include "runtime/native/products.h"

/* PyTorch's numbers of types. */
enum { FLOAT16 = 5, FLOAT32 = 6, FLOAT64 = 7, BFLOAT16 = 15 };

/* A matrix inside a tensor: its last two axes, from `offset` elements on; an axis of extent 1 that is to be longer is repeated. */
typedef struct operand {
    const shim_tensor *tensor;
    int64_t offset, rows, columns;
    native_matrix matrix; /* the tensor itself, or halves as float in the workspace */
} operand;

static int64_t stride(const shim_tensor *t, int64_t from_end, int64_t wanted)
{ return t->dim < from_end || (t->sizes[t->dim - from_end] == 1 && wanted != 1) ? 0 : t->strides[t->dim - from_end]; }

static bool fits(const shim_tensor *t, int64_t from_end, int64_t wanted)
{ return t->dim < from_end || t->sizes[t->dim - from_end] == 1 || t->sizes[t->dim - from_end] == wanted; }

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

static bool is_in_place(const shim_tensor *t) { return t->type == FLOAT32 || t->type == FLOAT64; }

/* Halves are multiplied in float: a copy in the workspace, planned like every other intermediate. */
static bool open_operand(operand *o, bool read)
{
    const shim_tensor *t = o->tensor;
    const int64_t row = stride(t, 2, o->rows), column = stride(t, 1, o->columns);
    if (is_in_place(t)) {
        o->matrix = (native_matrix){(char *)t->data + o->offset * (t->type == FLOAT64 ? 8 : 4), row, column};
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
    if (!o->tensor || is_in_place(o->tensor) || !o->matrix.data) return;
    const float *from = o->matrix.data;
    for (int64_t i = 0; write && i < o->rows; i++)
        for (int64_t j = 0; j < o->columns; j++)
            store(write, o->offset + i * stride(write, 2, o->rows) + j * stride(write, 1, o->columns), from[i * o->columns + j]);
    stoai_shim_unblock(stoai_shim_current(), o->matrix.data);
}

static const native_products *kernels_of(const shim_tensor *t)
{ return stoai_native_products(t->type == FLOAT64 ? STOA_FLOAT64 : STOA_FLOAT32); }

/* out = alpha a b + beta bias for one matrix of a batch; `offsets` of out, a, b and bias. */
static int32_t multiply(shim_tensor *out, const shim_tensor *a, const shim_tensor *b, const shim_tensor *bias, double beta, double alpha,
                        const int64_t *offsets)
{
    const int64_t m = out->sizes[out->dim - 2], n = out->sizes[out->dim - 1], k = a->sizes[a->dim - 1];
    operand c = {out, offsets[0], m, n, {0}}, left = {a, offsets[1], m, k, {0}}, right = {b, offsets[2], k, n, {0}};
    operand sum = {bias, offsets[3], m, n, {0}};
    const bool ok =
        open_operand(&c, false) && open_operand(&left, true) && open_operand(&right, true) && (!bias || open_operand(&sum, true));
    if (ok) kernels_of(out)->multiply(m, n, k, alpha, left.matrix, right.matrix, bias ? beta : 0, sum.matrix, c.matrix);
    close_operand(&sum, NULL);
    close_operand(&right, NULL);
    close_operand(&left, NULL);
    close_operand(&c, ok ? out : NULL);
    return ok ? 0 : stoai_shim_fail("a product of halves does not fit the workspace");
}

/* float64 goes with float64 only; the others mix. */
static bool is_served(const shim_tensor *t, const shim_tensor *out)
{
    return !t || (t->type == FLOAT64 && out->type == FLOAT64) ||
           ((t->type == FLOAT32 || t->type == FLOAT16 || t->type == BFLOAT16) && out->type != FLOAT64);
}

/* A product of matrices, or of a batch of them when there are three axes. */
static int32_t product(const char *name, shim_tensor *out, const shim_tensor *a, const shim_tensor *b, const shim_tensor *bias, double beta,
                       double alpha)
{
    const int64_t dim = out->dim;
    if (!is_served(out, out) || !is_served(a, out) || !is_served(b, out) || !is_served(bias, out))
        return stoai_shim_fail("%s of types %d and %d to %d: only float64 (7) alone, float32 (6), float16 (5) and bfloat16 (15) are served",
                               name, a->type, b->type, out->type);
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
{ return product("addmm", out, a, b, self, beta, alpha); }
static int32_t mm(shim_tensor *out, shim_tensor *a, shim_tensor *b) { return product("mm", out, a, b, NULL, 0, 1); }
static int32_t bmm(shim_tensor *out, shim_tensor *a, shim_tensor *b) { return product("bmm", out, a, b, NULL, 0, 1); }
static int32_t baddbmm(shim_tensor *out, shim_tensor *self, shim_tensor *a, shim_tensor *b, double beta, double alpha)
{ return product("baddbmm", out, a, b, self, beta, alpha); }

/* ---- convolution ----------------------------------------------------------------------------------------------------- */

/* Images of one dimension are images of two with a single line. */
static native_images images_of(const shim_tensor *t)
{
    const int64_t line = t->dim == 4 ? t->strides[2] : 0;
    return (native_images){t->data, t->strides[0], t->strides[1], line, t->strides[t->dim - 1]};
}

/* The tensor of the result, without gaps, and the call. */
static int32_t convolve(native_convolution *c, const shim_tensor *in, shim_tensor **result)
{
    int64_t sizes[4] = {c->images, c->groups * c->outs}, strides[4], next = 1;
    for (int64_t i = 2; i < in->dim; i++) sizes[i] = stoai_native_convolved(c, (int)(i + 4 - in->dim) - 2);
    for (int64_t i = in->dim; i-- > 0; next *= sizes[i]) strides[i] = next;
    if (stoai_shim_empty(in->dim, sizes, strides, in->type, 0, -1, result)) return 1;
    c->out = images_of(*result);
    const native_products *kernels = kernels_of(*result);
    const size_t bytes = kernels->convolve_bytes(c);
    void *workspace = stoai_shim_block(stoai_shim_current(), bytes);
    if (!workspace) return stoai_shim_fail("convolution: %zu bytes do not fit the workspace", bytes);
    kernels->convolve(c, workspace);
    stoai_shim_unblock(stoai_shim_current(), workspace);
    return 0;
}

static bool is_contiguous(const shim_tensor *t)
{
    int64_t next = 1;
    for (int64_t i = t->dim; i-- > 0; next *= t->sizes[i])
        if (t->strides[i] != next) return false;
    return true;
}

static int32_t convolution(shim_tensor *in, shim_tensor *weight, shim_tensor **bias, const int64_t *stride, int64_t stride_count,
                           const int64_t *padding, int64_t padding_count, const int64_t *dilation, int64_t dilation_count,
                           int32_t transposed, const int64_t *output_padding, int64_t output_padding_count, int64_t groups,
                           shim_tensor **result)
{
    const int64_t extents = in->dim - 2;
    (void)output_padding, (void)output_padding_count;
    *result = NULL;
    if (transposed || extents < 1 || extents > 2 || weight->dim != in->dim || stride_count != extents || padding_count != extents ||
        dilation_count != extents || !is_in_place(in) || weight->type != in->type || (bias && (*bias)->type != in->type))
        return stoai_shim_fail("convolution: only float32 or float64 images in one or two dimensions are served, not transposed");
    if (!is_contiguous(weight)) return stoai_shim_fail("convolution: the weights are not contiguous");
    native_convolution c = {.in = images_of(in),
                            .weight = weight->data,
                            .bias = bias ? (*bias)->data : NULL,
                            .images = in->sizes[0],
                            .groups = groups,
                            .outs = weight->sizes[0] / groups,
                            .channels = weight->sizes[1],
                            .size = {1, 1},
                            .kernel = {1, 1},
                            .stride = {1, 1},
                            .dilation = {1, 1}};
    for (int64_t i = 0; i < extents; i++) {
        const int64_t to = i + 2 - extents;
        c.size[to] = in->sizes[i + 2];
        c.kernel[to] = weight->sizes[i + 2];
        c.stride[to] = stride[i];
        c.padding[to] = padding[i];
        c.dilation[to] = dilation[i];
    }
    return convolve(&c, in, result);
}

#define SERVE(name, function) {"aoti_torch_cpu_" name, (void (*)(void))(function)}
const shim_symbol stoai_shim_products[] = {
    SERVE("addmm_out", addmm),         SERVE("mm_out", mm), SERVE("bmm_out", bmm), SERVE("baddbmm_out", baddbmm),
    SERVE("convolution", convolution), {NULL, NULL}};
