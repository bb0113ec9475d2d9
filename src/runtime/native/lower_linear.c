/* SPDX-License-Identifier: Apache-2.0 */
/* Gemm, MatMul, BatchNormalization. A matrix that is constant becomes weights; the product of two row tensors becomes
 * products and sums. */
#include <math.h>
#include <string.h>

#include "runtime/native/graph.h"

/* ---- one product of matrices inside a row ---------------------------------------------------------------------------------- */

/* Elements at data[i*row + j*column]. */
typedef struct matrix {
    const graph_element *data;
    size_t row, column;
    uint32_t rows, columns;
} matrix;

static const graph_element *at(const matrix *m, size_t i, size_t j) { return m->data + i * m->row + j * m->column; }

static bool is_constant_matrix(const matrix *m)
{
    for (uint32_t i = 0; i < m->rows; i++)
        for (uint32_t j = 0; j < m->columns; j++)
            if (at(m, i, j)->column != GRAPH_CONSTANT) return false;
    return true;
}

/* Weights of a GEMM: scale * m transposed, [m->columns][m->rows]. The last ones are kept: a batch of products with one
 * matrix shares them. */
typedef struct weight_cache {
    const graph_element *data;
    double *weights, *zeros;
} weight_cache;

static double *weights_of(lowering *l, weight_cache *cache, const matrix *m, double scale)
{
    if (cache->weights && cache->data == m->data) return cache->weights;
    cache->data = m->data;
    cache->weights = stoai_graph_take(l, (size_t)m->rows * m->columns, sizeof *cache->weights);
    cache->zeros = stoai_graph_take(l, m->columns, sizeof *cache->zeros);
    if (!cache->weights || !cache->zeros) return NULL;
    for (uint32_t o = 0; o < m->columns; o++)
        for (uint32_t k = 0; k < m->rows; k++) cache->weights[(size_t)o * m->rows + k] = scale * at(m, k, o)->real;
    return cache->weights;
}

static matrix transposed(const matrix *m) { return (matrix){m->data, m->column, m->row, m->columns, m->rows}; }

/* out = a w for constant w: one GEMM for each row of a. */
static bool product_by_weights(lowering *l, const matrix *a, const matrix *w, double scale, const double *bias, weight_cache *cache,
                               graph_element *out, size_t out_row, size_t out_column)
{
    double *weights = weights_of(l, cache, w, scale);
    graph_element *in = stoai_graph_take(l, a->columns, sizeof *in), *row = stoai_graph_take(l, w->columns, sizeof *row);
    if (!weights || !in || !row) return false;
    if (bias) memcpy(cache->zeros, bias, w->columns * sizeof *bias);
    for (uint32_t i = 0; i < a->rows; i++) {
        for (uint32_t k = 0; k < a->columns; k++) in[k] = *at(a, i, k);
        if (!stoai_emit_gemm(l, in, a->columns, weights, cache->zeros, w->columns, row)) return false;
        for (uint32_t o = 0; o < w->columns; o++) out[i * out_row + o * out_column] = row[o];
    }
    return true;
}

/* Products of all pairs, then their sums. */
static bool product_by_steps(lowering *l, stoa_dtype dtype, const matrix *a, const matrix *b, graph_element *out)
{
    const uint32_t dims[3] = {a->rows, b->columns, a->columns};
    graph_tensor *x = stoai_graph_tensor(l, dtype, 0, 3, dims), *y = stoai_graph_tensor(l, dtype, 0, 3, dims);
    if (!x || !y) return false;
    for (size_t i = 0, n = 0; i < a->rows; i++)
        for (size_t o = 0; o < b->columns; o++)
            for (size_t k = 0; k < a->columns; k++, n++) {
                x->elements[n] = *at(a, i, k);
                y->elements[n] = *at(b, k, o);
            }
    const graph_tensor *sum = stoai_emit_reduce(l, NATIVE_REDUCE_SUM, false, stoai_emit(l, NATIVE_MUL, x, y));
    if (sum && sum->count) memcpy(out, sum->elements, sum->count * sizeof *out);
    return sum != NULL;
}

static bool product(lowering *l, stoa_dtype dtype, const matrix *a, const matrix *b, weight_cache *cache, graph_element *out)
{
    if (!a->columns) return stoai_graph_refuse(l, "a product over no elements") != NULL;
    if (stoai_native_type(dtype) == NATIVE_F32 && is_constant_matrix(b))
        return product_by_weights(l, a, b, 1.0, NULL, cache, out, b->columns, 1);
    if (stoai_native_type(dtype) != NATIVE_F32 || !is_constant_matrix(a)) return product_by_steps(l, dtype, a, b, out);
    const matrix left = transposed(b), weights = transposed(a);
    return product_by_weights(l, &left, &weights, 1.0, NULL, cache, out, 1, b->columns);
}

/* ---- MatMul ------------------------------------------------------------------------------------------------------------------ */

/* The row axis must be a batch axis, or the rows of the left matrix. */
static bool check_matmul(lowering *l, const graph_tensor *a, const graph_tensor *b)
{
    if (a->rank == 0 || b->rank == 0) return stoai_graph_refuse(l, "an operand of rank 0") != NULL;
    if (a->rows && a->rank == 1) return stoai_graph_refuse(l, "it sums over the row axis") != NULL;
    if (b->rows && b->rank <= 2) return stoai_graph_refuse(l, "the row axis is an axis of the right matrix") != NULL;
    if (a->rows && a->rank == 2 && b->rank > 2)
        return stoai_graph_refuse(l, "the rows of the left operand meet a batch of matrices: it mixes rows") != NULL;
    const uint32_t inner = b->dims[b->rank == 1 ? 0 : b->rank - 2];
    if (a->dims[a->rank - 1] != inner) return stoai_graph_refuse(l, "inner extents %u and %u", a->dims[a->rank - 1], inner) != NULL;
    return true;
}

/* The shape of all axes but the last two, as a tensor without elements. */
static graph_tensor batch_shape(const graph_tensor *t)
{
    graph_tensor batch = *t;
    batch.rank = t->rank > 2 ? t->rank - 2 : 0;
    batch.rows = batch.rank > 0 ? t->rows : 0;
    return batch;
}

/* Index of the matrix of t that batch number `index` of `batch` uses. */
static size_t batch_index(const graph_tensor *t, const graph_tensor *batch, size_t index)
{
    size_t result = 0, stride = 1;
    const graph_tensor own = batch_shape(t);
    for (uint32_t axis = batch->rank; axis-- > 0;) {
        const size_t i = index % batch->dims[axis];
        index /= batch->dims[axis];
        if (axis + own.rank < batch->rank) continue;
        const uint32_t extent = own.dims[axis + own.rank - batch->rank];
        result += (extent == 1 ? 0 : i) * stride;
        stride *= extent;
    }
    return result;
}

static graph_tensor *matmul(lowering *l, graph_tensor *a, graph_tensor *b)
{
    if (!check_matmul(l, a, b)) return NULL;
    const uint32_t M = a->rank > 1 ? a->dims[a->rank - 2] : 1, K = a->dims[a->rank - 1], O = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    graph_tensor shapes[2] = {batch_shape(a), batch_shape(b)}, *both[2] = {&shapes[0], &shapes[1]};
    const graph_tensor *batch = stoai_graph_common(l, both, 2);
    if (!batch) return NULL;
    uint32_t dims[GRAPH_RANK_MAX], rank = batch->rank;
    memcpy(dims, batch->dims, sizeof dims);
    if (a->rank > 1) dims[rank++] = M;
    if (b->rank > 1) dims[rank++] = O;
    graph_tensor *out = stoai_graph_tensor(l, a->dtype, batch->rows ? batch->rows : a->rows, rank, dims);
    const size_t size = (size_t)M * O;
    weight_cache cache = {NULL, NULL, NULL};
    for (size_t i = 0; out && size && i < out->count / size; i++) {
        const matrix left = {a->elements + batch_index(a, batch, i) * M * K, K, 1, M, K};
        const matrix right = {b->elements + batch_index(b, batch, i) * K * O, O, 1, K, O};
        if (!product(l, a->dtype, &left, &right, &cache, out->elements + i * size)) return NULL;
    }
    return out;
}

static graph_tensor *lower_matmul(lowering *l)
{
    if (l->in[0]->dtype != l->in[1]->dtype) return stoai_graph_refuse(l, "operands of different types");
    return matmul(l, l->in[0], l->in[1]);
}

/* ---- Gemm -------------------------------------------------------------------------------------------------------------------- */

/* beta * C as a bias of `count`, when C is a constant of one row. */
static double *gemm_bias(lowering *l, const graph_tensor *c, double beta, uint32_t count)
{
    double *bias = stoai_graph_take(l, count, sizeof *bias);
    for (uint32_t o = 0; bias && c && o < count; o++) bias[o] = beta * c->elements[c->count == 1 ? 0 : o].real;
    return bias;
}

static graph_tensor *gemm_general(lowering *l, graph_tensor *a, graph_tensor *b, graph_tensor *c, double alpha, double beta)
{
    const uint32_t order[2] = {1, 0};
    if (stoai_attribute_int(l, "transB", 0)) b = stoai_graph_permute(l, b, order);
    graph_tensor *y = b ? matmul(l, a, b) : NULL;
    if (y && alpha != 1.0) y = stoai_emit(l, NATIVE_MUL, y, stoai_graph_scalar(l, y->dtype, alpha));
    if (c && beta != 1.0) c = stoai_emit(l, NATIVE_MUL, c, stoai_graph_scalar(l, c->dtype, beta));
    return c ? stoai_emit(l, NATIVE_ADD, y, c) : y;
}

static graph_tensor *lower_gemm(lowering *l)
{
    graph_tensor *a = l->in[0], *b = l->in[1], *c = stoai_input(l, 2);
    const double alpha = stoai_attribute_float(l, "alpha", 1.0), beta = stoai_attribute_float(l, "beta", 1.0);
    const bool transposed_b = stoai_attribute_int(l, "transB", 0) != 0;
    if (a->rank != 2 || b->rank != 2 || a->dtype != b->dtype) return stoai_graph_refuse(l, "operands that are not matrices of one type");
    if (b->rows) return stoai_graph_refuse(l, "the row axis is an axis of the right matrix");
    if (stoai_attribute_int(l, "transA", 0)) {
        const uint32_t order[2] = {1, 0};
        if (!(a = stoai_graph_permute(l, a, order))) return NULL;
    }
    const uint32_t K = b->dims[transposed_b], O = b->dims[!transposed_b];
    if (a->dims[1] != K || !K) return stoai_graph_refuse(l, "inner extents %u and %u", a->dims[1], K);
    const matrix right = {b->elements, transposed_b ? 1 : O, transposed_b ? K : 1, K, O};
    const bool plain_bias =
        !c || (stoai_graph_is_constant(c) && !c->rows && (c->count == 1 || (c->count == O && c->dims[c->rank - 1] == O)));
    if (stoai_native_type(a->dtype) != NATIVE_F32 || !a->rows || !is_constant_matrix(&right) || !plain_bias)
        return gemm_general(l, a, b, c, alpha, beta);
    const uint32_t dims[2] = {a->dims[0], O};
    const matrix left = {a->elements, K, 1, a->dims[0], K};
    graph_tensor *y = stoai_graph_tensor(l, a->dtype, a->rows, 2, dims);
    const double *bias = gemm_bias(l, c, beta, O);
    weight_cache cache = {NULL, NULL, NULL};
    return y && bias && product_by_weights(l, &left, &right, alpha, bias, &cache, y->elements, O, 1) ? y : NULL;
}

/* ---- BatchNormalization ------------------------------------------------------------------------------------------------------- */

/* x * s + t with s = scale / sqrt(variance + epsilon), t = bias - mean * s, in double; after a GEMM both melt into it. */
static graph_tensor *lower_batch_norm(lowering *l)
{
    graph_tensor *x = l->in[0];
    const double epsilon = (double)(float)stoai_attribute_float(l, "epsilon", (double)1e-5f);
    const uint32_t channels = x->rank > 1 ? x->dims[1] : 1;
    uint32_t dims[GRAPH_RANK_MAX] = {channels, 1, 1, 1, 1, 1, 1, 1};
    if (stoai_attribute_int(l, "training_mode", 0)) return stoai_graph_refuse(l, "it is in training mode");
    if (l->model->opset < 9 && !stoai_attribute_int(l, "spatial", 1)) return stoai_graph_refuse(l, "spatial is 0");
    if (!x->rows || !stoai_is_float(x->dtype)) return stoai_graph_refuse(l, "it is not on a row tensor of floats");
    for (size_t i = 1; i < 5; i++)
        if (l->in[i]->count != channels || !stoai_graph_is_constant(l->in[i]) || !stoai_is_float(l->in[i]->dtype))
            return stoai_graph_refuse(l, "input %zu is not a constant of %u channels", i, channels);
    graph_tensor *s = stoai_graph_tensor(l, x->dtype, 0, x->rank > 1 ? x->rank - 1 : 0, dims), *t = stoai_graph_like(l, x->dtype, s);
    if (!s || !t) return NULL;
    for (uint32_t i = 0; i < channels; i++) {
        const double factor = l->in[1]->elements[i].real / sqrt(l->in[4]->elements[i].real + epsilon);
        s->elements[i] = (graph_element){.real = factor, .column = GRAPH_CONSTANT};
        t->elements[i] =
            (graph_element){.real = l->in[2]->elements[i].real - l->in[3]->elements[i].real * factor, .column = GRAPH_CONSTANT};
    }
    return stoai_emit(l, NATIVE_ADD, stoai_emit(l, NATIVE_MUL, x, s), t);
}

const lower_operator stoai_lower_linear[] = {
    {"Gemm", 2, 3, lower_gemm, 0},
    {"MatMul", 2, 2, lower_matmul, 0},
    {"BatchNormalization", 5, 5, lower_batch_norm, 0},
    {NULL, 0, 0, NULL, 0},
};
