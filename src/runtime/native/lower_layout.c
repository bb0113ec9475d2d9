/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that re-list elements: no step at run time. The row axis stays where it is, whole and first. */
#include <string.h>

#include "runtime/native/graph.h"

static graph_tensor *keep_rows(lowering *l, const char *what) { return stoai_graph_refuse(l, "%s the row axis", what); }

/* ---- shape ------------------------------------------------------------------------------------------------------------ */

/* Whether entry 0 of a target shape stands for the row axis. */
static bool names_rows(const lowering *l, int64_t extent, uint32_t rows) { return rows || (l->fixed_rows && extent == l->fixed_rows); }

/* Replaces 0 (copy) and -1 (what is left) in the target; `rows`: entry 0 is the row axis and counts 1. */
static bool resolve_shape(lowering *l, const graph_tensor *t, int64_t *target, uint32_t rank, bool rows, uint32_t *dims)
{
    const bool zero_is_zero = stoai_attribute_int(l, "allowzero", 0) != 0;
    uint32_t inferred = rank;
    uint64_t count = 1;
    for (uint32_t axis = 0; axis < rank; axis++) {
        if (rows && axis == 0) target[axis] = 1;
        if (target[axis] == 0 && !zero_is_zero && axis < t->rank) target[axis] = t->dims[axis];
        if (target[axis] == -1 && inferred == rank) {
            inferred = axis;
            continue;
        }
        if (target[axis] < 0 || target[axis] > INT32_MAX)
            return stoai_graph_refuse(l, "extent %lld in the target shape", (long long)target[axis]) != NULL;
        dims[axis] = (uint32_t)target[axis];
        count *= dims[axis];
        if (count > t->count) break;
    }
    if (inferred < rank && count) dims[inferred] = (uint32_t)(t->count / count), count *= dims[inferred];
    if (count == t->count) return true;
    return stoai_graph_refuse(l, "%u values%s do not fit the target shape; reshaping must not mix rows", t->count,
                              t->rows ? " a row" : "") != NULL;
}

static graph_tensor *lower_reshape(lowering *l)
{
    graph_tensor *t = l->in[0], *shape = l->in[1];
    uint32_t is_rows[GRAPH_RANK_MAX];
    uint32_t dims[GRAPH_RANK_MAX];
    if (shape->count > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a target shape of rank %u", shape->count);
    int64_t *target = stoai_graph_need_integers(l, shape, "the target shape", is_rows);
    if (!target) return NULL;
    const uint32_t rank = shape->count;
    for (uint32_t axis = t->rows != 0; axis < rank; axis++)
        if (is_rows[axis]) return keep_rows(l, "the target shape moves");
    if (t->rows) {
        /* [0, ...], [N, ...], and [-1, ...] where the rest is exactly a row. */
        const bool copied = rank && target[0] == 0 && !is_rows[0] && !stoai_attribute_int(l, "allowzero", 0);
        uint64_t rest = 1;
        for (uint32_t axis = 1; axis < rank; axis++)
            rest *= (uint64_t)(target[axis] > 0 ? target[axis] : target[axis] == 0 && axis < t->rank ? t->dims[axis] : 0) & INT32_MAX;
        const bool inferred = rank && target[0] == -1 && !is_rows[0] && rest == t->count;
        if (!rank || !(copied || inferred || names_rows(l, target[0], is_rows[0])) || (is_rows[0] && is_rows[0] != t->rows))
            return keep_rows(l, "the target shape does not keep");
    }
    return resolve_shape(l, t, target, rank, t->rows, dims) ? stoai_graph_view(l, t, t->rows, rank, dims) : NULL;
}

static graph_tensor *lower_flatten(lowering *l)
{
    graph_tensor *t = l->in[0];
    uint32_t axis, dims[2] = {1, 1};
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 1), t->rank, stoai_attribute_int(l, "axis", 1) >= 0, &axis)) return NULL;
    for (uint32_t i = 0; i < t->rank; i++) dims[i >= axis] *= t->dims[i];
    if (t->rows && (axis == 0 || dims[0] != 1)) return keep_rows(l, "flattening mixes other axes with");
    return stoai_graph_view(l, t, t->rows, 2, dims);
}

static graph_tensor *lower_transpose(lowering *l)
{
    graph_tensor *t = l->in[0];
    const onnx_attribute *perm = stoai_attribute(l, "perm", ONNX_ATTRIBUTE_INTS);
    uint32_t order[GRAPH_RANK_MAX], seen = 0;
    if (perm && perm->count != t->rank) return stoai_graph_refuse(l, "perm has %zu entries, the tensor rank %u", perm->count, t->rank);
    for (uint32_t i = 0; i < t->rank; i++) {
        const int64_t from = perm ? perm->integers[i] : (int64_t)t->rank - 1 - i;
        if (!stoai_axis(l, from, t->rank, 0, &order[i])) return NULL;
        seen |= 1u << order[i];
    }
    if (seen != (1u << t->rank) - 1) return stoai_graph_refuse(l, "perm is not a permutation");
    return t->rank ? stoai_graph_permute(l, t, order) : t;
}

static graph_tensor *lower_squeeze(lowering *l)
{
    graph_tensor *t = l->in[0];
    bool mask[GRAPH_RANK_MAX], given;
    uint32_t dims[GRAPH_RANK_MAX], rank = 0;
    if (!stoai_axes(l, 1, 13, t->rank, mask, &given)) return NULL;
    if (t->rows && (given ? mask[0] : l->fixed_rows == 1)) return keep_rows(l, "it drops");
    for (uint32_t axis = 0; axis < t->rank; axis++) {
        if (given && mask[axis] && t->dims[axis] != 1) return stoai_graph_refuse(l, "axis %u has extent %u", axis, t->dims[axis]);
        const bool drop = given ? mask[axis] : t->dims[axis] == 1 && !(t->rows && axis == 0);
        if (!drop) dims[rank++] = t->dims[axis];
    }
    return stoai_graph_view(l, t, t->rows, rank, dims);
}

static graph_tensor *lower_unsqueeze(lowering *l)
{
    graph_tensor *t = l->in[0];
    const onnx_attribute *a = stoai_attribute(l, "axes", ONNX_ATTRIBUTE_INTS);
    const size_t added = a ? a->count : stoai_input(l, 1) ? stoai_input(l, 1)->count : 0;
    bool mask[GRAPH_RANK_MAX], given;
    uint32_t dims[GRAPH_RANK_MAX];
    if (added > GRAPH_RANK_MAX - t->rank) return stoai_graph_refuse(l, "a rank above %d", GRAPH_RANK_MAX);
    const uint32_t rank = t->rank + (uint32_t)added;
    if (!stoai_axes(l, 1, 13, rank, mask, &given)) return NULL;
    if (t->rows && mask[0]) return keep_rows(l, "it moves");
    uint32_t from = 0;
    for (uint32_t axis = 0; axis < rank; axis++) dims[axis] = mask[axis] ? 1 : from < t->rank ? t->dims[from++] : 0;
    if (from != t->rank || rank - from != added) return stoai_graph_refuse(l, "axes repeat");
    return stoai_graph_view(l, t, t->rows, rank, dims);
}

static graph_tensor *lower_shape(lowering *l)
{
    const graph_tensor *t = l->in[0];
    int64_t start = stoai_attribute_int(l, "start", 0), end = stoai_attribute_int(l, "end", t->rank), values[GRAPH_RANK_MAX];
    uint32_t count = 0;
    start = start < 0 ? start + t->rank : start;
    end = end < 0 ? end + t->rank : end > t->rank ? t->rank : end;
    start = start < 0 ? 0 : start;
    for (int64_t axis = start; axis < end; axis++) values[count++] = t->dims[axis];
    graph_tensor *out = stoai_graph_integers(l, values, count);
    if (out && t->rows && start == 0 && count) out->elements[0] = (graph_element){.integer = t->rows, .column = GRAPH_ROWS};
    return out;
}

static graph_tensor *lower_size(lowering *l)
{
    const graph_tensor *t = l->in[0];
    if (t->rows && t->count != 1) return stoai_graph_refuse(l, "arithmetic on the number of rows");
    graph_tensor *out = stoai_graph_scalar(l, STOA_INT64, (double)t->count);
    if (out && t->rows) out->elements[0] = (graph_element){.integer = t->rows, .column = GRAPH_ROWS};
    return out;
}

/* ---- constants ----------------------------------------------------------------------------------------------------------- */

static graph_tensor *lower_constant(lowering *l)
{
    if (l->node->attribute_count != 1) return stoai_graph_refuse(l, "%zu attributes, not one", l->node->attribute_count);
    const onnx_attribute *a = &l->node->attributes[0];
    uint32_t count = (uint32_t)a->count;
    graph_tensor *t = NULL;
    switch (a->type) {
    case ONNX_ATTRIBUTE_TENSOR: t = stoai_graph_constant(l, a->tensor); break;
    case ONNX_ATTRIBUTE_FLOAT: t = stoai_graph_scalar(l, STOA_FLOAT32, (double)a->real); break;
    case ONNX_ATTRIBUTE_INT:
        t = stoai_graph_scalar(l, STOA_INT64, 0.0);
        if (t) t->elements[0].integer = a->integer;
        break;
    case ONNX_ATTRIBUTE_INTS: t = stoai_graph_integers(l, a->integers, count); break;
    case ONNX_ATTRIBUTE_FLOATS:
        t = stoai_graph_tensor(l, STOA_FLOAT32, 0, 1, &count);
        for (uint32_t i = 0; t && i < count; i++) t->elements[i] = (graph_element){.real = (double)a->reals[i], .column = GRAPH_CONSTANT};
        break;
    default: stoai_graph_refuse(l, "attribute '%s'", a->name); break;
    }
    return t;
}

static graph_tensor *lower_constant_of_shape(lowering *l)
{
    const onnx_attribute *a = stoai_attribute(l, "value", ONNX_ATTRIBUTE_TENSOR);
    const graph_tensor *shape = l->in[0];
    uint32_t is_rows[GRAPH_RANK_MAX];
    uint32_t dims[GRAPH_RANK_MAX];
    if (shape->count > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a shape of rank %u", shape->count);
    const int64_t *extents = stoai_graph_need_integers(l, shape, "the shape", is_rows);
    const graph_tensor *value = a ? stoai_graph_constant(l, a->tensor) : stoai_graph_scalar(l, STOA_FLOAT32, 0.0);
    if (!extents || !value) return NULL;
    if (value->count != 1) return stoai_graph_refuse(l, "a value of %u elements", value->count);
    for (uint32_t i = 0; i < shape->count; i++) {
        if (is_rows[i] && i) return keep_rows(l, "it moves");
        if (!is_rows[i] && (extents[i] < 0 || extents[i] > INT32_MAX)) return stoai_graph_refuse(l, "extent %lld", (long long)extents[i]);
        dims[i] = is_rows[i] ? 1 : (uint32_t)extents[i];
    }
    graph_tensor *t = stoai_graph_tensor(l, value->dtype, shape->count ? is_rows[0] : 0, shape->count, dims);
    for (uint32_t i = 0; t && i < t->count; i++) t->elements[i] = value->elements[0];
    return t;
}

static graph_tensor *lower_range(lowering *l)
{
    for (size_t i = 0; i < 3; i++)
        if (l->in[i]->count != 1 || !stoai_graph_is_constant(l->in[i])) return stoai_graph_refuse(l, "its bounds are not constant");
    const bool real = stoai_is_float(l->in[0]->dtype);
    const graph_element *start = l->in[0]->elements, *limit = l->in[1]->elements, *delta = l->in[2]->elements;
    const double from = real ? start->real : (double)start->integer, to = real ? limit->real : (double)limit->integer;
    const double by = real ? delta->real : (double)delta->integer;
    const double steps = by != 0.0 ? (to - from) / by : -1.0;
    if (!(steps < INT32_MAX)) return stoai_graph_refuse(l, "a range of %g values", steps);
    uint32_t count = steps > 0.0 ? (uint32_t)steps : 0;
    count += steps > (double)count;
    graph_tensor *t = stoai_graph_tensor(l, l->in[0]->dtype, 0, 1, &count);
    for (uint32_t i = 0; t && i < count; i++) {
        t->elements[i].column = GRAPH_CONSTANT;
        if (real) t->elements[i].real = from + (double)i * by;
        else t->elements[i].integer = start->integer + (int64_t)i * delta->integer;
    }
    return t;
}

/* ---- selecting elements along axes ----------------------------------------------------------------------------------------- */

/* `axis` of t replaced by `count` of its positions; position -1 takes `fill`. */
static graph_tensor *select_positions(lowering *l, const graph_tensor *t, uint32_t axis, const int64_t *positions, uint32_t count,
                                      const graph_element *fill)
{
    uint32_t dims[GRAPH_RANK_MAX];
    size_t inner = 1, outer = 1, to = 0;
    memcpy(dims, t->dims, sizeof dims);
    dims[axis] = count;
    graph_tensor *out = stoai_graph_tensor(l, t->dtype, t->rows, t->rank, dims);
    if (!out) return NULL;
    for (uint32_t i = 0; i < t->rank; i++) {
        inner *= i > axis ? t->dims[i] : 1;
        outer *= i < axis ? t->dims[i] : 1;
    }
    for (size_t o = 0; out->count && o < outer; o++)
        for (uint32_t p = 0; p < count; p++)
            for (size_t i = 0; i < inner; i++)
                out->elements[to++] = positions[p] < 0 ? *fill : t->elements[(o * t->dims[axis] + (size_t)positions[p]) * inner + i];
    return out;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static graph_tensor *slice_axis(lowering *l, graph_tensor *t, uint32_t axis, int64_t start, int64_t end, int64_t step)
{
    const int64_t extent = t->dims[axis];
    if (step == 0) return stoai_graph_refuse(l, "a slice with step 0");
    if (t->rows && axis == 0) {
        const bool whole = start == 0 && step == 1 && (end >= INT32_MAX || (l->fixed_rows && end >= l->fixed_rows));
        return whole ? t : stoai_graph_refuse(l, "it takes some rows of the row axis");
    }
    start = start < 0 ? start + extent : start;
    end = end < 0 ? end + extent : end;
    start = step > 0 ? clamp(start, 0, extent) : clamp(start, 0, extent - 1);
    end = step > 0 ? clamp(end, 0, extent) : clamp(end, -1, extent - 1);
    step = clamp(step, -extent - 1, extent + 1);
    int64_t *positions = stoai_graph_take(l, (size_t)extent + 1, sizeof *positions);
    uint32_t count = 0;
    for (int64_t at = start; positions && extent && (step > 0 ? at < end : at > end); at += step) positions[count++] = at;
    return positions ? select_positions(l, t, axis, positions, count, NULL) : NULL;
}

/* starts, ends, axes, steps: attributes before opset 10, then inputs. */
static const int64_t *slice_list(lowering *l, const char *name, size_t input, size_t *count)
{
    const onnx_attribute *a = l->model->opset < 10 ? stoai_attribute(l, name, ONNX_ATTRIBUTE_INTS) : NULL;
    const graph_tensor *t = l->model->opset < 10 ? NULL : stoai_input(l, input);
    *count = a ? a->count : t ? t->count : 0;
    return a ? a->integers : stoai_graph_need_integers(l, t, name, NULL);
}

static graph_tensor *lower_slice(lowering *l)
{
    graph_tensor *t = l->in[0];
    size_t counts[4];
    const int64_t *starts = slice_list(l, "starts", 1, &counts[0]), *ends = slice_list(l, "ends", 2, &counts[1]);
    const int64_t *axes = slice_list(l, "axes", 3, &counts[2]), *steps = slice_list(l, "steps", 4, &counts[3]);
    if (l->status != STOA_OK) return NULL;
    if (counts[0] != counts[1] || (axes && counts[2] != counts[0]) || (steps && counts[3] != counts[0]))
        return stoai_graph_refuse(l, "starts, ends, axes and steps of different lengths");
    for (size_t i = 0; t && i < counts[0]; i++) {
        uint32_t axis;
        if (!stoai_axis(l, axes ? axes[i] : (int64_t)i, t->rank, 0, &axis)) return NULL;
        t = slice_axis(l, t, axis, starts[i], ends[i], steps ? steps[i] : 1);
    }
    return t;
}

/* Extents of the pieces: given, or equal with a smaller last one. */
static bool split_sizes(lowering *l, uint32_t extent, int64_t *sizes)
{
    const onnx_attribute *a = stoai_attribute(l, "split", ONNX_ATTRIBUTE_INTS);
    const graph_tensor *t = l->model->opset >= 13 ? stoai_input(l, 1) : NULL;
    const int64_t *given = t ? stoai_graph_need_integers(l, t, "split", NULL) : a ? a->integers : NULL;
    const int64_t pieces = (int64_t)l->out_count, chunk = pieces ? (extent + pieces - 1) / pieces : 0;
    int64_t sum = 0;
    if (t && !given) return false;
    if (given && (t ? t->count : a->count) != l->out_count)
        return stoai_graph_refuse(l, "%zu outputs and another number of pieces", l->out_count) != NULL;
    for (size_t i = 0; i < l->out_count; i++) {
        sizes[i] = given ? given[i] : clamp(extent - (int64_t)i * chunk, 0, chunk);
        if (sizes[i] < 0 || sizes[i] > extent - sum) return stoai_graph_refuse(l, "the pieces do not fit extent %u", extent) != NULL;
        sum += sizes[i];
    }
    return sum == extent ? true : stoai_graph_refuse(l, "the pieces do not fit extent %u", extent) != NULL;
}

static graph_tensor *lower_split(lowering *l)
{
    graph_tensor *t = l->in[0];
    uint32_t axis;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 0), t->rank, 0, &axis)) return NULL;
    if (t->rows && axis == 0) return keep_rows(l, "it splits");
    int64_t *sizes = stoai_graph_take(l, l->out_count, sizeof *sizes), at = 0;
    if (!sizes || !split_sizes(l, t->dims[axis], sizes)) return NULL;
    for (size_t i = 0; i < l->out_count; at += sizes[i++]) l->out[i] = slice_axis(l, t, axis, at, at + sizes[i], 1);
    return l->out[0];
}

/* A constant of one row is the same in every row. */
static bool check_concat(lowering *l, uint32_t axis, bool rows, uint32_t *extent)
{
    const graph_tensor *first = l->in[0];
    uint64_t sum = 0;
    for (size_t i = 0; i < l->in_count; i++) {
        const graph_tensor *t = l->in[i];
        if (!t) return stoai_graph_refuse(l, "input %zu is left out", i) != NULL;
        if (t->rank != first->rank || t->dtype != first->dtype)
            return stoai_graph_refuse(l, "input %zu has another rank or type", i) != NULL;
        for (uint32_t d = 0; d < t->rank; d++)
            if (d != axis && t->dims[d] != first->dims[d])
                return stoai_graph_refuse(l, "input %zu: extent %u of axis %u, not %u", i, t->dims[d], d, first->dims[d]) != NULL;
        sum += t->dims[axis];
    }
    *extent = (uint32_t)sum;
    if (sum > INT32_MAX) return stoai_graph_refuse(l, "a tensor too large") != NULL;
    return rows && axis == 0 ? stoai_graph_refuse(l, "it joins along the row axis") != NULL : true;
}

static graph_tensor *lower_concat(lowering *l)
{
    graph_tensor *first = l->in[0];
    uint32_t axis, dims[GRAPH_RANK_MAX], extent = 0;
    uint32_t rows = 0;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 1), first->rank, 0, &axis)) return NULL;
    for (size_t i = 0; i < l->in_count; i++)
        if (l->in[i] && !stoai_graph_join_rows(l, l->in[i], &rows)) return NULL;
    if (!check_concat(l, axis, rows, &extent)) return NULL;
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = extent;
    graph_tensor *out = stoai_graph_tensor(l, first->dtype, rows, first->rank, dims);
    size_t outer = 1, inner = 1, to = 0;
    for (uint32_t i = 0; i < first->rank; i++) {
        outer *= i < axis ? dims[i] : 1;
        inner *= i > axis ? dims[i] : 1;
    }
    for (size_t o = 0; out && out->count && o < outer; o++)
        for (size_t i = 0; i < l->in_count; i++) {
            const size_t piece = l->in[i]->dims[axis] * inner;
            if (piece) memcpy(out->elements + to, l->in[i]->elements + o * piece, piece * sizeof *out->elements);
            to += piece;
        }
    return out;
}

static graph_tensor *lower_gather(lowering *l)
{
    graph_tensor *t = l->in[0], *indices = l->in[1];
    uint32_t axis, dims[GRAPH_RANK_MAX], rank = 0;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 0), t->rank, 0, &axis)) return NULL;
    if (t->rows && axis == 0) return indices->rows ? stoai_emit_gather(l, t, indices) : keep_rows(l, "it gathers along");
    int64_t *positions = stoai_graph_need_integers(l, indices, "the list of indices", NULL);
    if (!positions) return NULL;
    for (uint32_t i = 0; i < indices->count; i++) {
        positions[i] += positions[i] < 0 ? t->dims[axis] : 0;
        if (positions[i] < 0 || positions[i] >= t->dims[axis])
            return stoai_graph_refuse(l, "index %lld of extent %u", (long long)positions[i], t->dims[axis]);
    }
    if (t->rank + indices->rank > GRAPH_RANK_MAX + 1) return stoai_graph_refuse(l, "a rank above %d", GRAPH_RANK_MAX);
    for (uint32_t i = 0; i < t->rank; i++)
        for (uint32_t k = 0; k < (i == axis ? indices->rank : 1); k++) dims[rank++] = i == axis ? indices->dims[k] : t->dims[i];
    return stoai_graph_view(l, select_positions(l, t, axis, positions, indices->count, NULL), t->rows, rank, dims);
}

static graph_tensor *lower_expand(lowering *l)
{
    graph_tensor *t = l->in[0], *shape = l->in[1];
    uint32_t is_rows[GRAPH_RANK_MAX] = {0};
    uint32_t dims[GRAPH_RANK_MAX];
    if (shape->count > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a shape of rank %u", shape->count);
    const int64_t *extents = stoai_graph_need_integers(l, shape, "the shape", is_rows);
    if (!extents) return NULL;
    for (uint32_t i = 0; i < shape->count; i++) {
        if (is_rows[i] && i) return keep_rows(l, "it moves");
        if (!is_rows[i] && (extents[i] < 0 || extents[i] > INT32_MAX)) return stoai_graph_refuse(l, "extent %lld", (long long)extents[i]);
        /* Where t has the row axis, the shape may name it or leave it alone (1). */
        const bool fixed = t->rows && i == 0 && shape->count == t->rank && names_rows(l, extents[i], is_rows[i]);
        dims[i] = is_rows[i] || fixed ? 1 : (uint32_t)extents[i];
    }
    graph_tensor target = {.rows = shape->count ? is_rows[0] : 0, .rank = shape->count}, *both[2] = {t, &target};
    memcpy(target.dims, dims, sizeof dims);
    const graph_tensor *common = stoai_graph_common(l, both, 2);
    return common ? stoai_graph_broadcast(l, t, common->rows, common->rank, common->dims) : NULL;
}

static graph_tensor *lower_tile(lowering *l)
{
    graph_tensor *t = l->in[0];
    const int64_t *repeats = stoai_graph_need_integers(l, l->in[1], "the list of repeats", NULL);
    if (!repeats) return NULL;
    if (l->in[1]->count != t->rank) return stoai_graph_refuse(l, "%u repeats for rank %u", l->in[1]->count, t->rank);
    for (uint32_t axis = 0; t && axis < t->rank; axis++) {
        if (repeats[axis] == 1) continue;
        if (t->rows && axis == 0) return keep_rows(l, "it repeats");
        if (repeats[axis] < 0 || repeats[axis] > INT32_MAX || (uint64_t)repeats[axis] * t->dims[axis] > l->elements_left)
            return stoai_graph_refuse(l, "%lld repeats", (long long)repeats[axis]);
        const uint32_t count = (uint32_t)repeats[axis] * t->dims[axis];
        int64_t *positions = stoai_graph_take(l, count, sizeof *positions);
        for (uint32_t i = 0; positions && i < count; i++) positions[i] = i % t->dims[axis];
        t = positions ? select_positions(l, t, axis, positions, count, NULL) : NULL;
    }
    return t;
}

/* ---- padding ------------------------------------------------------------------------------------------------------------------ */

/* Where position `at` of a padded axis comes from, -1: the fill value. */
static int64_t pad_source(int64_t at, int64_t extent, const char *mode)
{
    if (at >= 0 && at < extent) return at;
    if (mode[0] == 'c') return -1;
    if (mode[0] == 'e') return at < 0 ? 0 : extent - 1;
    if (mode[0] == 'w') return (at % extent + extent) % extent;
    const int64_t period = extent > 1 ? 2 * (extent - 1) : 1;
    at = (at % period + period) % period;
    return at < extent ? at : period - at;
}

static graph_tensor *pad_axis(lowering *l, graph_tensor *t, uint32_t axis, int64_t before, int64_t after, const char *mode,
                              const graph_element *fill)
{
    if (before == 0 && after == 0) return t;
    const int64_t extent = t->dims[axis], limit = INT32_MAX / 4;
    if (t->rows && axis == 0) return stoai_graph_refuse(l, "it pads the row axis");
    if (before < -extent || before > limit || after < -extent || after > limit || before + after + extent < 0 ||
        (mode[0] != 'c' && !extent) || (uint64_t)(before + after + extent) > l->elements_left)
        return stoai_graph_refuse(l, "padding by %lld and %lld", (long long)before, (long long)after);
    const uint32_t count = (uint32_t)(before + after + extent);
    int64_t *positions = stoai_graph_take(l, count, sizeof *positions);
    for (uint32_t i = 0; positions && i < count; i++) positions[i] = pad_source((int64_t)i - before, extent, mode);
    return positions ? select_positions(l, t, axis, positions, count, fill) : NULL;
}

static graph_tensor *lower_pad(lowering *l)
{
    graph_tensor *t = l->in[0], *given = l->model->opset >= 11 ? stoai_input(l, 1) : NULL;
    const graph_tensor *value = l->model->opset >= 11 ? stoai_input(l, 2) : NULL;
    const graph_tensor *axes = l->model->opset >= 18 ? stoai_input(l, 3) : NULL;
    const onnx_attribute *a = stoai_attribute(l, "pads", ONNX_ATTRIBUTE_INTS);
    const onnx_attribute *m = stoai_attribute(l, "mode", ONNX_ATTRIBUTE_STRING);
    const int64_t *pads = given ? stoai_graph_need_integers(l, given, "the list of pads", NULL) : a ? a->integers : NULL;
    const int64_t *at = axes ? stoai_graph_need_integers(l, axes, "the list of axes", NULL) : NULL;
    const graph_tensor *fill = value ? value : stoai_graph_scalar(l, t->dtype, stoai_attribute_float(l, "value", 0.0));
    const size_t count = axes ? axes->count : t->rank;
    if (!pads || !fill || (axes && !at)) return stoai_graph_refuse(l, "no pads");
    if ((given ? given->count : a->count) != 2 * count || fill->count != 1)
        return stoai_graph_refuse(l, "pads that do not match rank %u", t->rank);
    for (size_t i = 0; t && i < count; i++) {
        uint32_t axis;
        if (!stoai_axis(l, at ? at[i] : (int64_t)i, t->rank, 0, &axis)) return NULL;
        t = pad_axis(l, t, axis, pads[i], pads[count + i], m ? m->string : "constant", fill->elements);
    }
    return t;
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------------- */

static graph_tensor *lower_identity(lowering *l) { return l->in[0]; }

static graph_tensor *lower_dropout(lowering *l)
{
    const graph_tensor *training = stoai_input(l, 2);
    if (training && !(stoai_graph_is_constant(training) && training->count == 1 && !training->elements[0].integer))
        return stoai_graph_refuse(l, "it is in training mode");
    if (l->out_count < 2) return l->in[0];
    graph_tensor *mask = l->out[1] = stoai_graph_like(l, l->model->opset >= 10 ? STOA_BOOL : l->in[0]->dtype, l->in[0]);
    for (uint32_t i = 0; mask && i < mask->count; i++) {
        mask->elements[i].column = GRAPH_CONSTANT;
        if (mask->dtype == STOA_BOOL) mask->elements[i].integer = 1;
        else mask->elements[i].real = 1.0;
    }
    return l->in[0];
}

static graph_tensor *lower_trilu(lowering *l)
{
    const graph_tensor *t = l->in[0], *offset = stoai_input(l, 1);
    const bool upper = stoai_attribute_int(l, "upper", 1) != 0;
    const int64_t *given = offset ? stoai_graph_need_integers(l, offset, "k", NULL) : NULL;
    if (offset && (!given || offset->count != 1)) return stoai_graph_refuse(l, "k is not one number");
    const int64_t k = given ? *given : 0;
    if (t->rank < 2 + (uint32_t)(t->rows != 0)) return keep_rows(l, "it masks along");
    const int64_t columns = t->dims[t->rank - 1], rows = t->dims[t->rank - 2];
    graph_tensor *out = stoai_graph_like(l, t->dtype, t);
    for (uint32_t i = 0; out && i < t->count; i++) {
        const int64_t distance = i % columns - i / columns % rows;
        const bool keep = upper ? distance >= k : distance <= k;
        out->elements[i] = keep ? t->elements[i] : (graph_element){.column = GRAPH_CONSTANT};
    }
    return out;
}

const lower_operator stoai_lower_layout[] = {
    {"Reshape", 2, 2, lower_reshape, 0},
    {"Flatten", 1, 1, lower_flatten, 0},
    {"Transpose", 1, 1, lower_transpose, 0},
    {"Squeeze", 1, 2, lower_squeeze, 0},
    {"Unsqueeze", 1, 2, lower_unsqueeze, 0},
    {"Shape", 1, 1, lower_shape, 0},
    {"Size", 1, 1, lower_size, 0},
    {"Constant", 0, 0, lower_constant, 0},
    {"ConstantOfShape", 1, 1, lower_constant_of_shape, 0},
    {"Range", 3, 3, lower_range, 0},
    {"Slice", 1, 5, lower_slice, 0},
    {"Split", 1, 2, lower_split, 0},
    {"Concat", 1, 255, lower_concat, 0},
    {"Gather", 2, 2, lower_gather, 0},
    {"Expand", 2, 2, lower_expand, 0},
    {"Tile", 2, 2, lower_tile, 0},
    {"Pad", 1, 4, lower_pad, 0},
    {"Identity", 1, 1, lower_identity, 0},
    {"Dropout", 1, 3, lower_dropout, 0},
    {"Trilu", 1, 2, lower_trilu, 0},
    {NULL, 0, 0, NULL, 0},
};
