/* SPDX-License-Identifier: Apache-2.0 */
/* Makes steps from element lists: folds what is constant, splits what is mixed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/graph.h"

static const uint8_t operand_counts[NATIVE_OP_COUNT] = {
#define OPERANDS(name, operands) [NATIVE_##name] = (operands),
    NATIVE_OP_MAP(OPERANDS)
#undef OPERANDS
};

/* ---- steps and columns ----------------------------------------------------------------------------------------------- */

graph_step *stoai_graph_step(lowering *l, const graph_step *like, uint32_t out_count)
{
    if (l->status != STOA_OK) return NULL;
    if (out_count > GRAPH_COLUMNS_MAX - l->column_count) {
        stoai_graph_refuse(l, "the model has more than %u values a row", GRAPH_COLUMNS_MAX);
        return NULL;
    }
    while (l->column_count + (size_t)out_count > l->producer_capacity) {
        uint32_t *moved = stoai_arena_grow(l->arena, l->producer, l->producer_capacity, &l->producer_capacity, sizeof *moved);
        if (!moved) return stoai_graph_no_memory(l);
        l->producer = moved;
    }
    const uint32_t rows = like->rows ? like->rows : l->axis_count == 1;
    if (!rows) {
        stoai_graph_refuse(l, "it does not say of which row axis its result is");
        return NULL;
    }
    graph_step *steps = stoai_arena_grow(l->arena, l->steps, l->step_count, &l->step_capacity, sizeof *steps);
    if (!steps) return stoai_graph_no_memory(l);
    l->steps = steps;
    graph_step *step = &steps[l->step_count];
    *step = *like;
    step->rows = rows;
    step->out = l->column_count;
    step->out_count = out_count;
    for (uint32_t i = 0; i < out_count; i++) l->producer[l->column_count++] = (uint32_t)l->step_count;
    l->step_count++;
    return step;
}

bool stoai_graph_refs(lowering *l, graph_step *step, uint32_t index, const graph_element *elements, uint32_t count)
{
    uint32_t *refs = stoai_graph_take(l, count, sizeof *refs);
    if (!refs) return false;
    for (uint32_t i = 0; i < count; i++) refs[i] = elements[i].column;
    step->step.in[index].refs = refs;
    step->step.in[index].type = step->step.type;
    if (count) step->rows = l->steps[l->producer[refs[0]]].rows;
    return true;
}

static void name_columns(graph_element *elements, uint32_t count, uint32_t first)
{
    for (uint32_t i = 0; i < count; i++) elements[i] = (graph_element){.column = first + i};
}

/* ---- elementwise ------------------------------------------------------------------------------------------------------ */

/* One element of the result: `key` says which operands are constants and which fusible step made the first that is not, so
 * that all neurons of one GEMM, whatever order the graph lists them in, are one step that can be fused into it. */
typedef struct map_item {
    uint64_t key;
    uint32_t column, index;
} map_item;

static int compare_items(const void *left, const void *right)
{
    const map_item *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    if (a->column != b->column) return a->column < b->column ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static map_item map_item_of(const lowering *l, graph_tensor *const in[3], uint32_t operands, uint32_t index)
{
    map_item item = {0, 0, index};
    bool first = true;
    for (uint32_t p = 0; p < operands; p++) {
        const uint32_t column = in[p]->elements[index].column;
        if (column == GRAPH_CONSTANT) {
            item.key |= (uint64_t)1 << p;
        } else if (first) {
            first = false;
            const uint32_t maker = l->producer[column];
            if (!l->steps[maker].fusible) continue;
            item.key |= (uint64_t)(maker + 1) << 3;
            item.column = column;
        }
    }
    return item;
}

/* The number of rows passes through where a shape computation compares it, selects it or multiplies by one. */
static bool fold_rows(lowering *l, native_op op, const graph_element in[3], graph_element *out)
{
    const graph_element *other = in[0].column == GRAPH_ROWS ? &in[1] : &in[0];
    *out = in[0].column == GRAPH_ROWS ? in[0] : in[1].column == GRAPH_ROWS ? in[1] : in[2];
    if (op == NATIVE_COPY || (op == NATIVE_MUL && other->column == GRAPH_CONSTANT && other->integer == 1)) return true;
    if (op == NATIVE_DIV && in[0].column == GRAPH_ROWS && in[1].column == GRAPH_CONSTANT && in[1].integer == 1) return true;
    if (op == NATIVE_EQUAL && other->column == GRAPH_CONSTANT && other->integer <= 0) {
        *out = (graph_element){.integer = 0, .column = GRAPH_CONSTANT};
        return true;
    }
    stoai_graph_refuse(l, "arithmetic on the number of rows");
    return false;
}

/* Elements that need no step. */
static bool fold_map(lowering *l, native_op op, native_type type, const native_step *parameters, const graph_element in[3],
                     uint32_t operands, stoa_dtype dtype, graph_element *out, bool *folded)
{
    bool constant = true, rows = false;
    for (uint32_t p = 0; p < operands; p++) {
        constant &= in[p].column == GRAPH_CONSTANT;
        rows |= in[p].column == GRAPH_ROWS;
    }
    *folded = true;
    if (op == NATIVE_WHERE && in[0].column == GRAPH_CONSTANT) {
        *out = in[0].integer ? in[1] : in[2];
    } else if (rows) {
        return fold_rows(l, op, in, out);
    } else if (constant) {
        stoai_fold(op, type, parameters, in, out);
        stoai_fold_narrow(dtype, out);
    } else {
        *folded = false;
    }
    return true;
}

static bool emit_map_group(lowering *l, const graph_step *like, graph_tensor *const in[3], uint32_t operands, const map_item *items,
                           uint32_t count, graph_tensor *out)
{
    graph_step step = *like;
    step.step.count = count;
    for (uint32_t p = 0; p < operands; p++) {
        graph_element *list = stoai_graph_take(l, count, sizeof *list);
        if (!list) return false;
        for (uint32_t i = 0; i < count; i++) list[i] = in[p]->elements[items[i].index];
        if (items[0].key >> p & 1) step.exact[p] = list;
        else if (!stoai_graph_refs(l, &step, p, list, count)) return false;
        step.step.in[p].type = step.step.op == NATIVE_WHERE && p == 0 ? NATIVE_I32 : step.step.type;
    }
    const uint64_t maker = items[0].key >> 3, constants = items[0].key & 7, all = ((uint64_t)1 << operands) - 1;
    const bool one_column = constants != all && ((all & ~constants) & ((all & ~constants) - 1)) == 0;
    step.fusible = maker && one_column && l->steps[maker - 1].out_count == count;
    const graph_step *made = stoai_graph_step(l, &step, count);
    if (!made) return false;
    for (uint32_t i = 0; i < count; i++) out->elements[items[i].index] = (graph_element){.column = made->out + i};
    return true;
}

static bool emit_map_groups(lowering *l, const graph_step *like, graph_tensor *const in[3], uint32_t operands,
                            const native_step *parameters, graph_tensor *out)
{
    map_item *items = stoai_graph_take(l, out->count, sizeof *items);
    uint32_t count = 0;
    if (!items) return false;
    for (uint32_t i = 0; i < out->count; i++) {
        graph_element operand[3] = {{.column = GRAPH_CONSTANT}, {.column = GRAPH_CONSTANT}, {.column = GRAPH_CONSTANT}};
        bool folded;
        for (uint32_t p = 0; p < operands; p++) operand[p] = in[p]->elements[i];
        if (!fold_map(l, like->step.op, like->step.type, parameters, operand, operands, out->dtype, &out->elements[i], &folded))
            return false;
        if (!folded) items[count++] = map_item_of(l, in, operands, i);
    }
    if (count) qsort(items, count, sizeof *items, compare_items);
    for (uint32_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && items[end].key == items[start].key; end++) {}
        if (!emit_map_group(l, like, in, operands, items + start, end - start, out)) return false;
    }
    return true;
}

static bool is_arithmetic(native_op op)
{
    return op == NATIVE_ADD || op == NATIVE_SUB || op == NATIVE_MUL || op == NATIVE_DIV || op == NATIVE_POW || op == NATIVE_NEG ||
           op == NATIVE_ABS || op == NATIVE_BIT_NOT || op == NATIVE_PRELU;
}

graph_tensor *stoai_emit_map(lowering *l, native_op op, stoa_dtype result, const native_step *parameters, graph_tensor *a, graph_tensor *b,
                             graph_tensor *c)
{
    const uint32_t operands = operand_counts[op];
    graph_tensor *in[3] = {a, b, c};
    const graph_tensor *shape = l->status == STOA_OK ? stoai_graph_common(l, in, operands) : NULL;
    if (!shape) return NULL;
    for (uint32_t p = 0; p < operands; p++) in[p] = stoai_graph_broadcast(l, in[p], shape->rows, shape->rank, shape->dims);
    graph_tensor *out = stoai_graph_like(l, result, shape);
    if (!out || l->status != STOA_OK) return NULL;
    const stoa_dtype dtype = op == NATIVE_WHERE ? b->dtype : a->dtype;
    graph_step like = {.step = {.kind = NATIVE_STEP_MAP, .op = op}};
    if (parameters) like.step = *parameters;
    like.step.kind = NATIVE_STEP_MAP;
    like.step.op = op;
    like.step.type = stoai_native_type(dtype);
    like.step.out_type = stoai_native_type(result);
    if (!l->kernels->has(op, like.step.type)) return stoai_graph_refuse(l, "it has no meaning for %s", stoa_dtype_name(dtype));
    if (!emit_map_groups(l, &like, in, operands, parameters, out)) return NULL;
    return is_arithmetic(op) ? stoai_emit_wrap(l, out) : out;
}

graph_tensor *stoai_emit(lowering *l, native_op op, graph_tensor *a, graph_tensor *b)
{ return a ? stoai_emit_map(l, op, a->dtype, NULL, a, b, NULL) : NULL; }

/* ---- casts ------------------------------------------------------------------------------------------------------------ */

static bool emit_cast_columns(lowering *l, const graph_tensor *t, stoa_dtype to, graph_tensor *out)
{
    graph_step step = {.step = {.kind = NATIVE_STEP_CAST, .type = stoai_native_type(t->dtype)}};
    step.step.out_type = stoai_native_type(to);
    step.step.narrow = to;
    uint32_t count = 0;
    graph_element *list = stoai_graph_take(l, t->count, sizeof *list);
    if (!list) return false;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->elements[i].column < GRAPH_ROWS) list[count++] = t->elements[i];
    if (!count) return true;
    step.step.count = count;
    if (!stoai_graph_refs(l, &step, 0, list, count)) return false;
    const graph_step *made = stoai_graph_step(l, &step, count);
    if (!made) return false;
    for (uint32_t i = 0, column = made->out; i < out->count; i++)
        if (t->elements[i].column < GRAPH_ROWS) out->elements[i] = (graph_element){.column = column++};
    return true;
}

/* Whether columns of `from` are columns of `to` as they are: the same representation, and no value that `to` lacks. */
static bool same_columns(stoa_dtype from, stoa_dtype to)
{
    if (from == to) return true;
    if (stoai_native_type(from) != stoai_native_type(to)) return false;
    if (to == STOA_FLOAT32 || to == STOA_INT64 || to == STOA_INT32) return true;
    if (from == STOA_BOOL) return true;
    return (to == STOA_INT16 && (from == STOA_INT8 || from == STOA_UINT8)) || (to == STOA_UINT16 && from == STOA_UINT8);
}

static bool is_number(stoa_dtype dtype) { return dtype != STOA_DTYPE_NONE && dtype != STOA_COMPLEX64 && dtype != STOA_COMPLEX128; }

graph_tensor *stoai_emit_cast(lowering *l, graph_tensor *t, stoa_dtype to)
{
    if (!t || l->status != STOA_OK) return NULL;
    if (!is_number(to) || (to == STOA_UINT64 && !stoai_graph_is_constant(t)))
        return stoai_graph_refuse(l, "a cast to %s", stoa_dtype_name(to));
    graph_tensor *out = stoai_graph_like(l, to, t);
    if (!out) return NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        out->elements[i] = t->elements[i];
        if (t->elements[i].column == GRAPH_ROWS && stoai_is_float(to)) return stoai_graph_refuse(l, "arithmetic on the number of rows");
        if (t->elements[i].column == GRAPH_CONSTANT) stoai_fold_cast(t->dtype, to, &out->elements[i]);
    }
    if (!same_columns(t->dtype, to) && !emit_cast_columns(l, t, to, out)) return NULL;
    return out;
}

graph_tensor *stoai_emit_wrap(lowering *l, graph_tensor *t)
{
    if (!t || l->status != STOA_OK) return NULL;
    const bool narrow =
        t->dtype == STOA_INT8 || t->dtype == STOA_INT16 || t->dtype == STOA_UINT8 || t->dtype == STOA_UINT16 || t->dtype == STOA_UINT32;
    return !narrow || emit_cast_columns(l, t, t->dtype, t) ? t : NULL;
}

graph_tensor *stoai_emit_columns(lowering *l, graph_tensor *t)
{
    if (!t || l->status != STOA_OK) return NULL;
    graph_tensor *out = stoai_graph_like(l, t->dtype, t);
    graph_element *list = stoai_graph_take(l, t->count, sizeof *list);
    if (!out || !list) return NULL;
    graph_step step = {.step = {.kind = NATIVE_STEP_MAP, .op = NATIVE_COPY, .type = stoai_native_type(t->dtype)}, .rows = t->rows};
    step.step.out_type = step.step.in[0].type = step.step.type;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->elements[i].column == GRAPH_ROWS) return stoai_graph_refuse(l, "arithmetic on the number of rows");
        if (t->elements[i].column == GRAPH_CONSTANT) list[step.step.count++] = t->elements[i];
        out->elements[i] = t->elements[i];
    }
    if (!step.step.count) return out;
    step.exact[0] = list;
    const graph_step *made = stoai_graph_step(l, &step, step.step.count);
    if (!made) return NULL;
    for (uint32_t i = 0, column = made->out; i < t->count; i++)
        if (t->elements[i].column == GRAPH_CONSTANT) out->elements[i] = (graph_element){.column = column++};
    return out;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------- */

static double fold_reduce_real(native_reduce reduce, const graph_element *e, uint32_t length)
{
    double sum = 0.0, squares = 0.0, absolute = 0.0, product = 1.0, least = HUGE_VAL, most = -HUGE_VAL, exponentials = 0.0;
    for (uint32_t i = 0; i < length; i++) {
        const double x = e[i].real;
        sum += x, squares += x * x, absolute += fabs(x), product *= x, exponentials += exp(x);
        least = x < least ? x : least, most = x > most ? x : most;
    }
    switch (reduce) {
    case NATIVE_REDUCE_MEAN: return sum / (double)length;
    case NATIVE_REDUCE_PROD: return product;
    case NATIVE_REDUCE_MIN: return least;
    case NATIVE_REDUCE_MAX: return most;
    case NATIVE_REDUCE_L1: return absolute;
    case NATIVE_REDUCE_L2: return sqrt(squares);
    case NATIVE_REDUCE_SUM_SQUARE: return squares;
    case NATIVE_REDUCE_LOG_SUM: return log(sum);
    case NATIVE_REDUCE_LOG_SUM_EXP: return log(exponentials);
    default: return sum;
    }
}

/* Shapes are reduced by these four; other integer reductions of constants become steps. */
static bool fold_reduce_integer(native_reduce reduce, const graph_element *e, uint32_t length, int64_t *result)
{
    uint64_t sum = 0, product = 1;
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (uint32_t i = 0; i < length; i++) {
        sum += (uint64_t)e[i].integer, product *= (uint64_t)e[i].integer;
        least = e[i].integer < least ? e[i].integer : least, most = e[i].integer > most ? e[i].integer : most;
    }
    *result = reduce == NATIVE_REDUCE_SUM    ? (int64_t)sum
              : reduce == NATIVE_REDUCE_PROD ? (int64_t)product
              : reduce == NATIVE_REDUCE_MIN  ? least
                                             : most;
    return reduce == NATIVE_REDUCE_SUM || reduce == NATIVE_REDUCE_PROD || reduce == NATIVE_REDUCE_MIN || reduce == NATIVE_REDUCE_MAX;
}

static bool fold_reduce(native_reduce reduce, const graph_tensor *t, uint32_t length, graph_tensor *out)
{
    if (reduce == NATIVE_REDUCE_ARG_MIN || reduce == NATIVE_REDUCE_ARG_MAX || !stoai_graph_is_constant(t)) return false;
    for (uint32_t g = 0; g < out->count; g++) {
        const graph_element *group = t->elements + (size_t)g * length;
        out->elements[g].column = GRAPH_CONSTANT;
        if (stoai_is_float(t->dtype)) out->elements[g].real = fold_reduce_real(reduce, group, length);
        else if (!fold_reduce_integer(reduce, group, length, &out->elements[g].integer)) return false;
        stoai_fold_narrow(t->dtype, &out->elements[g]);
    }
    return true;
}

graph_tensor *stoai_emit_reduce(lowering *l, native_reduce reduce, bool last, graph_tensor *t)
{
    if (!t || l->status != STOA_OK) return NULL;
    const uint32_t length = t->dims[t->rank - 1];
    const bool arg = reduce == NATIVE_REDUCE_ARG_MIN || reduce == NATIVE_REDUCE_ARG_MAX;
    if (!length) return stoai_graph_refuse(l, "a reduction of no elements");
    graph_tensor *out = stoai_graph_tensor(l, arg ? STOA_INT64 : t->dtype, t->rows, t->rank - 1, t->dims);
    if (!out || fold_reduce(reduce, t, length, out)) return out;
    t = stoai_emit_columns(l, t);
    graph_step step = {.step = {.kind = NATIVE_STEP_REDUCE, .reduce = reduce, .last = last, .length = length}};
    step.step.count = out->count;
    step.step.type = stoai_native_type(out->dtype);
    if (t) step.step.type = stoai_native_type(t->dtype);
    step.step.out_type = stoai_native_type(out->dtype);
    if (!t || !stoai_graph_refs(l, &step, 0, t->elements, t->count)) return NULL;
    const graph_step *made = stoai_graph_step(l, &step, out->count);
    if (!made) return NULL;
    name_columns(out->elements, out->count, made->out);
    return arg ? out : stoai_emit_wrap(l, out);
}

/* The last axis as a group of a step that makes as many columns as it takes. */
static graph_tensor *emit_group(lowering *l, graph_step *step, graph_tensor *t)
{
    graph_tensor *out = stoai_graph_like(l, t->dtype, t);
    t = stoai_emit_columns(l, t);
    if (!out || !t) return NULL;
    step->step.type = step->step.out_type = stoai_native_type(t->dtype);
    step->step.length = t->dims[t->rank - 1];
    step->step.count = t->count / step->step.length;
    if (!stoai_graph_refs(l, step, 0, t->elements, t->count)) return NULL;
    const graph_step *made = stoai_graph_step(l, step, t->count);
    if (!made) return NULL;
    name_columns(out->elements, out->count, made->out);
    return out;
}

/* `reduce` of the last axis, which stays with extent 1. */
static graph_tensor *keep_reduce(lowering *l, native_reduce reduce, graph_tensor *t)
{
    graph_tensor *r = stoai_emit_reduce(l, reduce, false, t);
    if (!r) return NULL;
    uint32_t dims[GRAPH_RANK_MAX];
    memcpy(dims, t->dims, sizeof dims);
    dims[t->rank - 1] = 1;
    return stoai_graph_view(l, r, t->rows, t->rank, dims);
}

graph_tensor *stoai_emit_softmax(lowering *l, bool log, graph_tensor *t)
{
    if (!t || l->status != STOA_OK) return NULL;
    if (!t->dims[t->rank - 1]) return stoai_graph_refuse(l, "no elements along the axis");
    graph_step step = {.step = {.kind = NATIVE_STEP_SOFTMAX, .log = log}};
    if (stoai_native_type(t->dtype) == NATIVE_F32) return emit_group(l, &step, t);
    if (t->dtype != STOA_FLOAT64) return stoai_graph_refuse(l, "it has no meaning for %s", stoa_dtype_name(t->dtype));
    graph_tensor *x = stoai_emit(l, NATIVE_SUB, t, keep_reduce(l, NATIVE_REDUCE_MAX, t));
    graph_tensor *e = stoai_emit(l, NATIVE_EXP, x, NULL);
    graph_tensor *sum = e ? keep_reduce(l, NATIVE_REDUCE_SUM, e) : NULL;
    return log ? stoai_emit(l, NATIVE_SUB, x, stoai_emit(l, NATIVE_LOG, sum, NULL)) : stoai_emit(l, NATIVE_DIV, e, sum);
}

graph_tensor *stoai_emit_norm(lowering *l, double epsilon, const graph_tensor *scale, const graph_tensor *bias, graph_tensor *t)
{
    if (!t || l->status != STOA_OK) return NULL;
    if (!t->dims[t->rank - 1]) return stoai_graph_refuse(l, "no elements along the axis");
    graph_step step = {.step = {.kind = NATIVE_STEP_NORM, .alpha = (float)epsilon}};
    step.exact[1] = scale ? scale->elements : NULL;
    step.exact[2] = bias ? bias->elements : NULL;
    if (stoai_native_type(t->dtype) == NATIVE_F32) return emit_group(l, &step, t);
    if (t->dtype != STOA_FLOAT64) return stoai_graph_refuse(l, "it has no meaning for %s", stoa_dtype_name(t->dtype));
    graph_tensor *x = stoai_emit(l, NATIVE_SUB, t, keep_reduce(l, NATIVE_REDUCE_MEAN, t));
    graph_tensor *square = stoai_emit(l, NATIVE_MUL, x, x);
    graph_tensor *variance = square ? keep_reduce(l, NATIVE_REDUCE_MEAN, square) : NULL;
    graph_tensor *moved = stoai_emit(l, NATIVE_ADD, variance, stoai_graph_scalar(l, t->dtype, epsilon));
    x = stoai_emit(l, NATIVE_DIV, x, stoai_emit(l, NATIVE_SQRT, moved, NULL));
    const uint32_t *length = &t->dims[t->rank - 1];
    if (scale) x = stoai_emit(l, NATIVE_MUL, x, stoai_graph_view(l, scale, 0, 1, length));
    if (bias) x = stoai_emit(l, NATIVE_ADD, x, stoai_graph_view(l, bias, 0, 1, length));
    return x;
}

/* ---- matrices ------------------------------------------------------------------------------------------------------------- */

/* Moves constant inputs into the bias; leaves what is not finite to the caller (NaN and infinity must come out). */
static bool fold_gemm_inputs(lowering *l, const graph_element *in, uint32_t length, double **w, double **bias, uint32_t count,
                             graph_element *kept, uint32_t *kept_length)
{
    *kept_length = 0;
    for (uint32_t k = 0; k < length; k++)
        if (in[k].column != GRAPH_CONSTANT) kept[(*kept_length)++] = in[k];
    if (*kept_length == length) return true;
    double *less = stoai_graph_take(l, (size_t)count * *kept_length, sizeof *less);
    double *sum = stoai_graph_take(l, count, sizeof *sum);
    if (!less || !sum) return false;
    for (uint32_t o = 0; o < count; o++) {
        sum[o] = (*bias)[o];
        for (uint32_t k = 0, to = 0; k < length; k++) {
            const double weight = (*w)[(size_t)o * length + k];
            if (in[k].column == GRAPH_CONSTANT) sum[o] += weight * in[k].real;
            else less[(size_t)o * *kept_length + to++] = weight;
        }
    }
    *w = less;
    *bias = sum;
    return true;
}

bool stoai_emit_gemm(lowering *l, const graph_element *in, uint32_t length, double *w, double *bias, uint32_t count, graph_element *out)
{
    graph_step step = {.step = {.kind = NATIVE_STEP_GEMM, .op = NATIVE_COPY, .type = NATIVE_F32, .out_type = NATIVE_F32}};
    step.fusible = true;
    graph_element *kept = stoai_graph_take(l, length, sizeof *kept);
    if (!kept || !fold_gemm_inputs(l, in, length, &w, &bias, count, kept, &length)) return false;
    for (uint32_t o = 0; o < count && !length; o++) out[o] = (graph_element){.real = (double)(float)bias[o], .column = GRAPH_CONSTANT};
    if (!length) return true;
    step.step.count = count;
    step.step.length = length;
    step.weights = w;
    step.bias = bias;
    if (!stoai_graph_refs(l, &step, 0, kept, length)) return false;
    const graph_step *made = stoai_graph_step(l, &step, count);
    if (made) name_columns(out, count, made->out);
    return made != NULL;
}

/* ---- in and out ------------------------------------------------------------------------------------------------------------- */

graph_tensor *stoai_emit_load(lowering *l, stoa_dtype dtype, uint32_t rows, uint32_t rank, const uint32_t *dims, uint32_t first_value)
{
    graph_tensor *t = stoai_graph_tensor(l, dtype, rows, rank, dims);
    if (!t) return NULL;
    graph_step step = {.step = {.kind = NATIVE_STEP_LOAD, .type = stoai_native_type(dtype), .count = t->count}, .rows = rows};
    step.step.out_type = step.step.type;
    step.step.first_value = first_value;
    const graph_step *made = stoai_graph_step(l, &step, t->count);
    if (!made) return NULL;
    name_columns(t->elements, t->count, made->out);
    return t;
}

bool stoai_emit_store(lowering *l, graph_tensor *t, uint32_t first_value)
{
    t = stoai_emit_columns(l, t);
    if (!t) return false;
    graph_step step = {.step = {.kind = NATIVE_STEP_STORE, .type = stoai_native_type(t->dtype), .count = t->count}};
    step.step.out_type = step.step.type;
    step.step.space = NATIVE_OUTPUTS;
    step.step.first_value = first_value;
    return stoai_graph_refs(l, &step, 0, t->elements, t->count) && stoai_graph_step(l, &step, 0) != NULL;
}
