/* SPDX-License-Identifier: Apache-2.0 */
/* Operators over groups of a row's values: reductions, Softmax, normalisations, ArgMax, CumSum. */
#include <string.h>

#include "runtime/native/graph.h"

/* ---- reductions ------------------------------------------------------------------------------------------------------- */

/* t with the axes of `mask` moved behind the others and joined into one. */
static graph_tensor *gather_axes(lowering *l, graph_tensor *t, const bool *mask)
{
    uint32_t order[GRAPH_RANK_MAX], dims[GRAPH_RANK_MAX + 1], rank = 0, length = 1;
    for (uint32_t axis = 0; axis < t->rank; axis++)
        if (!mask[axis]) dims[rank] = t->dims[axis], order[rank++] = axis;
    uint32_t at = rank;
    for (uint32_t axis = 0; axis < t->rank; axis++)
        if (mask[axis]) order[at++] = axis, length *= t->dims[axis];
    dims[rank] = length;
    graph_tensor *moved = t->rank ? stoai_graph_permute(l, t, order) : t;
    if (rank == GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a rank above %d", GRAPH_RANK_MAX);
    return stoai_graph_view(l, moved, t->rows, rank + 1, dims);
}

static graph_tensor *reduce(lowering *l, native_reduce kind, bool last, graph_tensor *t, const bool *mask, bool keep)
{
    uint32_t dims[GRAPH_RANK_MAX], rank = 0;
    if (t->rows && mask[0]) return stoai_graph_refuse(l, "it reduces over the row axis");
    for (uint32_t axis = 0; axis < t->rank; axis++)
        if (!mask[axis] || keep) dims[rank++] = mask[axis] ? 1 : t->dims[axis];
    graph_tensor *r = stoai_emit_reduce(l, kind, last, gather_axes(l, t, mask));
    return stoai_graph_view(l, r, t->rows, rank, dims);
}

static graph_tensor *lower_reduce(lowering *l)
{
    graph_tensor *t = l->in[0];
    const native_reduce kind = (native_reduce)stoai_lower_code(l);
    bool mask[GRAPH_RANK_MAX], given;
    if (!stoai_axes(l, 1, kind == NATIVE_REDUCE_SUM ? 13 : 18, t->rank, mask, &given)) return NULL;
    if (!given && stoai_attribute_int(l, "noop_with_empty_axes", 0)) return t;
    for (uint32_t axis = 0; !given && axis < t->rank; axis++) mask[axis] = true;
    if (t->dtype == STOA_BOOL) return stoai_graph_refuse(l, "it has no meaning for bool");
    return reduce(l, kind, false, t, mask, stoai_attribute_int(l, "keepdims", 1) != 0);
}

static graph_tensor *lower_arg(lowering *l)
{
    graph_tensor *t = l->in[0];
    bool mask[GRAPH_RANK_MAX] = {false};
    uint32_t axis;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 0), t->rank, 0, &axis)) return NULL;
    mask[axis] = true;
    return reduce(l, (native_reduce)stoai_lower_code(l), stoai_attribute_int(l, "select_last_index", 0) != 0, t, mask,
                  stoai_attribute_int(l, "keepdims", 1) != 0);
}

/* ---- Softmax ------------------------------------------------------------------------------------------------------------ */

static graph_tensor *hardmax(lowering *l, graph_tensor *t)
{
    const uint32_t length = t->dims[t->rank - 1];
    uint32_t dims[GRAPH_RANK_MAX];
    memcpy(dims, t->dims, sizeof dims);
    dims[t->rank - 1] = 1;
    int64_t *positions = stoai_graph_take(l, length, sizeof *positions);
    for (uint32_t i = 0; positions && i < length; i++) positions[i] = i;
    if (!positions) return NULL;
    graph_tensor *best = stoai_emit_reduce(l, NATIVE_REDUCE_ARG_MAX, false, t);
    best = stoai_graph_view(l, best, t->rows, t->rank, dims);
    graph_tensor *hit =
        best ? stoai_emit_map(l, NATIVE_EQUAL, STOA_BOOL, NULL, best, stoai_graph_integers(l, positions, length), NULL) : NULL;
    return stoai_emit_cast(l, hit, t->dtype);
}

enum { SOFTMAX, LOG_SOFTMAX, HARDMAX };

static graph_tensor *softmax_last(lowering *l, graph_tensor *t)
{
    if (!t) return NULL;
    const uint32_t code = stoai_lower_code(l);
    return code == HARDMAX ? hardmax(l, t) : stoai_emit_softmax(l, code == LOG_SOFTMAX, t);
}

/* Before opset 13 all axes from `axis` on are one group. */
static graph_tensor *softmax_coerced(lowering *l, graph_tensor *t, uint32_t axis)
{
    uint32_t dims[GRAPH_RANK_MAX], length = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (i < axis) dims[i] = t->dims[i];
        else length *= t->dims[i];
    dims[axis] = length;
    return stoai_graph_view(l, softmax_last(l, stoai_graph_view(l, t, t->rows, axis + 1, dims)), t->rows, t->rank, t->dims);
}

static graph_tensor *lower_softmax(lowering *l)
{
    graph_tensor *t = l->in[0];
    const bool coerced = l->model->opset < 13;
    uint32_t axis, order[GRAPH_RANK_MAX], rank = 0;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", coerced ? 1 : -1), t->rank, 0, &axis)) return NULL;
    if (t->rows && axis == 0) return stoai_graph_refuse(l, "it normalises over the row axis");
    if (coerced) return softmax_coerced(l, t, axis);
    for (uint32_t i = 0; i < t->rank; i++)
        if (i != axis) order[rank++] = i;
    order[rank] = axis;
    graph_tensor *out = softmax_last(l, stoai_graph_permute(l, t, order));
    for (uint32_t i = 0; i < t->rank; i++) order[i] = i < axis ? i : i == axis ? t->rank - 1 : i - 1;
    return stoai_graph_permute(l, out, order);
}

/* ---- normalisations ------------------------------------------------------------------------------------------------------ */

/* All axes from `axis` on joined into the last. */
static graph_tensor *join_from(lowering *l, graph_tensor *t, uint32_t axis)
{
    uint32_t dims[GRAPH_RANK_MAX], length = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (i < axis) dims[i] = t->dims[i];
        else length *= t->dims[i];
    dims[axis] = length;
    return stoai_graph_view(l, t, t->rows, axis + 1, dims);
}

/* A scale or bias over the joined axes: NULL when it is not a constant of that length, to be applied by steps instead. */
static graph_tensor *norm_constant(lowering *l, graph_tensor *s, const graph_tensor *t, uint32_t axis)
{
    if (!s || !stoai_graph_is_constant(s) || s->rank > t->rank - axis) return NULL;
    const graph_tensor tail = {.rank = t->rank - axis};
    graph_tensor shape = tail, *both[2] = {s, &shape};
    memcpy(shape.dims, t->dims + axis, (t->rank - axis) * sizeof *shape.dims);
    const graph_tensor *common = stoai_graph_common(l, both, 2);
    if (!common || memcmp(common->dims, shape.dims, common->rank * sizeof *shape.dims) != 0) return NULL;
    return stoai_graph_broadcast(l, s, 0, common->rank, common->dims);
}

/* The optional outputs: mean and 1 / sqrt(variance + epsilon), with the normalised axes of extent 1. */
static void norm_statistics(lowering *l, graph_tensor *joined, const graph_tensor *t, uint32_t axis, double epsilon)
{
    uint32_t dims[GRAPH_RANK_MAX];
    bool mask[GRAPH_RANK_MAX] = {false};
    mask[axis] = true;
    for (uint32_t i = 0; i < t->rank; i++) dims[i] = i < axis ? t->dims[i] : 1;
    graph_tensor *mean = reduce(l, NATIVE_REDUCE_MEAN, false, joined, mask, true);
    graph_tensor *away = stoai_emit(l, NATIVE_SUB, joined, mean), *squares = stoai_emit(l, NATIVE_MUL, away, away);
    graph_tensor *variance = squares ? reduce(l, NATIVE_REDUCE_MEAN, false, squares, mask, true) : NULL;
    graph_tensor *root = stoai_emit(l, NATIVE_SQRT, stoai_emit(l, NATIVE_ADD, variance, stoai_graph_scalar(l, t->dtype, epsilon)), NULL);
    l->out[1] = stoai_graph_view(l, mean, t->rows, t->rank, dims);
    if (l->out_count > 2) l->out[2] = stoai_graph_view(l, stoai_emit(l, NATIVE_RECIPROCAL, root, NULL), t->rows, t->rank, dims);
}

static graph_tensor *lower_layer_norm(lowering *l)
{
    graph_tensor *t = l->in[0], *scale = l->in[1], *bias = stoai_input(l, 2);
    const double epsilon = stoai_attribute_float(l, "epsilon", (double)1e-5f);
    uint32_t axis;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", -1), t->rank, 0, &axis)) return NULL;
    if (t->rows && axis == 0) return stoai_graph_refuse(l, "it normalises over the row axis");
    graph_tensor *joined = join_from(l, t, axis);
    const graph_tensor *fixed_scale = norm_constant(l, scale, t, axis), *fixed_bias = norm_constant(l, bias, t, axis);
    const bool fixed = fixed_scale && (!bias || fixed_bias);
    graph_tensor *y = stoai_emit_norm(l, epsilon, fixed ? fixed_scale : NULL, fixed ? fixed_bias : NULL, joined);
    y = stoai_graph_view(l, y, t->rows, t->rank, t->dims);
    if (!fixed) y = stoai_emit(l, NATIVE_MUL, y, scale);
    if (!fixed && bias) y = stoai_emit(l, NATIVE_ADD, y, bias);
    if (l->out_count > 1 && joined) norm_statistics(l, joined, t, axis, epsilon);
    return y;
}

static graph_tensor *lower_rms_norm(lowering *l)
{
    graph_tensor *t = l->in[0];
    bool mask[GRAPH_RANK_MAX] = {false};
    uint32_t axis;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", -1), t->rank, 0, &axis)) return NULL;
    if (t->rows && axis == 0) return stoai_graph_refuse(l, "it normalises over the row axis");
    for (uint32_t i = axis; i < t->rank; i++) mask[i] = true;
    graph_tensor *squares = stoai_emit(l, NATIVE_MUL, t, t);
    graph_tensor *mean = squares ? reduce(l, NATIVE_REDUCE_MEAN, false, squares, mask, true) : NULL;
    graph_tensor *epsilon = stoai_graph_scalar(l, t->dtype, stoai_attribute_float(l, "epsilon", (double)1e-5f));
    graph_tensor *root = stoai_emit(l, NATIVE_SQRT, stoai_emit(l, NATIVE_ADD, mean, epsilon), NULL);
    return stoai_emit(l, NATIVE_MUL, stoai_emit(l, NATIVE_DIV, t, root), l->in[1]);
}

/* Groups of channels, each normalised over itself; InstanceNormalization has as many groups as channels. */
static graph_tensor *lower_group_norm(lowering *l)
{
    graph_tensor *t = l->in[0], *scale = l->in[1], *bias = l->in[2];
    const bool instance = strcmp(l->node->op, "InstanceNormalization") == 0;
    if (t->rank < 2 || !t->rows) return stoai_graph_refuse(l, "it needs rows and channels");
    const uint32_t channels = t->dims[1], values = t->count;
    const int64_t asked = instance ? channels : stoai_attribute_int(l, "num_groups", 1);
    if (asked < 1 || asked > channels || channels % asked || scale->count != bias->count ||
        (scale->count != channels && scale->count != asked))
        return stoai_graph_refuse(l, "%lld groups of %u channels, %u scales", (long long)asked, channels, scale->count);
    const uint32_t groups = (uint32_t)asked, scales = scale->count;
    const uint32_t by_group[3] = {1, groups, values / groups}, by_scale[3] = {1, scales, values / scales}, column[2] = {scales, 1};
    graph_tensor *y =
        stoai_emit_norm(l, stoai_attribute_float(l, "epsilon", (double)1e-5f), NULL, NULL, stoai_graph_view(l, t, t->rows, 3, by_group));
    y = stoai_graph_view(l, y, t->rows, 3, by_scale);
    y = stoai_emit(l, NATIVE_MUL, y, stoai_graph_view(l, scale, 0, 2, column));
    y = stoai_emit(l, NATIVE_ADD, y, stoai_graph_view(l, bias, 0, 2, column));
    return stoai_graph_view(l, y, t->rows, t->rank, t->dims);
}

/* ---- CumSum ------------------------------------------------------------------------------------------------------------------ */

/* Sums along the axis, which is the last after a permutation: position by position, one MAP step each. */
static graph_tensor *cumulate(lowering *l, graph_tensor *t, bool exclusive, bool reverse)
{
    const uint32_t length = t->dims[t->rank - 1], groups = length ? t->count / length : 0;
    graph_tensor *out = stoai_graph_like(l, t->dtype, t), *sum = NULL;
    for (uint32_t step = 0; out && step < length; step++) {
        const uint32_t position = reverse ? length - 1 - step : step;
        graph_tensor *slice = stoai_graph_tensor(l, t->dtype, t->rows, t->rows ? 2 : 1, t->rows ? (const uint32_t[]){1, groups} : &groups);
        for (uint32_t g = 0; slice && g < groups; g++) slice->elements[g] = t->elements[(size_t)g * length + position];
        graph_tensor *before = sum;
        sum = before ? stoai_emit(l, NATIVE_ADD, before, slice) : slice;
        if (!sum) return NULL;
        for (uint32_t g = 0; g < groups; g++)
            out->elements[(size_t)g * length + position] = !exclusive ? sum->elements[g]
                                                           : before   ? before->elements[g]
                                                                      : (graph_element){.column = GRAPH_CONSTANT};
    }
    return out;
}

static graph_tensor *lower_cum_sum(lowering *l)
{
    graph_tensor *t = l->in[0];
    const int64_t *given = stoai_graph_need_integers(l, l->in[1], "the axis", NULL);
    uint32_t axis, order[GRAPH_RANK_MAX], rank = 0;
    if (!given || l->in[1]->count != 1 || !stoai_axis(l, given[0], t->rank, 0, &axis))
        return stoai_graph_refuse(l, "the axis is not one number");
    if (t->rows && axis == 0) return stoai_graph_refuse(l, "it sums over the row axis");
    for (uint32_t i = 0; i < t->rank; i++)
        if (i != axis) order[rank++] = i;
    order[rank] = axis;
    graph_tensor *moved = stoai_graph_permute(l, t, order);
    moved = moved ? cumulate(l, moved, stoai_attribute_int(l, "exclusive", 0) != 0, stoai_attribute_int(l, "reverse", 0) != 0) : NULL;
    for (uint32_t i = 0; i < t->rank; i++) order[i] = i < axis ? i : i == axis ? t->rank - 1 : i - 1;
    return stoai_graph_permute(l, moved, order);
}

#define REDUCE(name, kind) {name, 1, 2, lower_reduce, NATIVE_REDUCE_##kind}

const lower_operator stoai_lower_groups[] = {
    REDUCE("ReduceSum", SUM),
    REDUCE("ReduceMean", MEAN),
    REDUCE("ReduceProd", PROD),
    REDUCE("ReduceMin", MIN),
    REDUCE("ReduceMax", MAX),
    REDUCE("ReduceL1", L1),
    REDUCE("ReduceL2", L2),
    REDUCE("ReduceSumSquare", SUM_SQUARE),
    REDUCE("ReduceLogSum", LOG_SUM),
    REDUCE("ReduceLogSumExp", LOG_SUM_EXP),
    {"ArgMax", 1, 1, lower_arg, NATIVE_REDUCE_ARG_MAX},
    {"ArgMin", 1, 1, lower_arg, NATIVE_REDUCE_ARG_MIN},
    {"Softmax", 1, 1, lower_softmax, SOFTMAX},
    {"LogSoftmax", 1, 1, lower_softmax, LOG_SOFTMAX},
    {"Hardmax", 1, 1, lower_softmax, HARDMAX},
    {"LayerNormalization", 2, 3, lower_layer_norm, 0},
    {"RMSNormalization", 2, 2, lower_rms_norm, 0},
    {"InstanceNormalization", 3, 3, lower_group_norm, 0},
    {"GroupNormalization", 3, 3, lower_group_norm, 0},
    {"CumSum", 2, 2, lower_cum_sum, 0},
    {NULL, 0, 0, NULL, 0},
};
