/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

graph_tensor *stoai_graph_refuse(lowering *l, const char *format, ...)
{
    char why[512];
    if (l->status != STOA_OK) return NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (l->node) l->status = STOA_FAIL(l->err, STOA_ENOTSUP, "node %zu '%s' (%s): %s", l->node_index, l->node->name, l->node->op, why);
    else l->status = STOA_FAIL(l->err, STOA_ENOTSUP, "%s", why);
    return NULL;
}

void *stoai_graph_no_memory(lowering *l)
{
    if (l->status == STOA_OK) l->status = STOA_FAIL(l->err, STOA_ENOMEM, "model: no memory for its graph");
    return NULL;
}

void *stoai_graph_take(lowering *l, size_t count, size_t bytes)
{
    void *taken = stoai_arena_take(l->arena, count, bytes);
    return taken ? taken : stoai_graph_no_memory(l);
}

/* ---- types --------------------------------------------------------------------------------------------------------- */

native_type stoai_native_type(stoa_dtype dtype)
{
    switch ((int)dtype) {
    case STOA_FLOAT64: return NATIVE_F64;
    case STOA_INT64:
    case STOA_UINT64:
    case STOA_UINT32: return NATIVE_I64;
    case STOA_FLOAT32:
    case STOA_FLOAT16:
    case STOA_BFLOAT16: return NATIVE_F32;
    default: return NATIVE_I32;
    }
}

bool stoai_is_float(stoa_dtype dtype)
{ return dtype == STOA_FLOAT32 || dtype == STOA_FLOAT64 || dtype == STOA_FLOAT16 || dtype == STOA_BFLOAT16; }

/* Names what is made: the node's (first) output on the way to which it is, or the input. */
static graph_tensor *refuse_size(lowering *l, uint32_t rank, const uint32_t *dims)
{
    char shape[128] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < rank && used < sizeof shape; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%u", i ? " x " : "", dims[i]);
    const char *name = !l->node ? l->input : l->node->output_count ? l->node->outputs[0] : "";
    return stoai_graph_refuse(l, "%s '%s': a tensor of %s values, %zu are left for a file of this size", l->node ? "output" : "input", name,
                              shape, l->elements_left);
}

/* ---- making tensors -------------------------------------------------------------------------------------------------- */

graph_tensor *stoai_graph_tensor(lowering *l, stoa_dtype dtype, uint32_t rows, uint32_t rank, const uint32_t *dims)
{
    if (l->status != STOA_OK) return NULL;
    if (rank > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a tensor of rank %u, at most %d", rank, GRAPH_RANK_MAX);
    size_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] && count > l->elements_left / dims[i]) return refuse_size(l, rank, dims);
        count *= dims[i];
    }
    l->elements_left -= count < l->elements_left ? count : l->elements_left;
    graph_tensor *t = stoai_graph_take(l, 1, sizeof *t);
    graph_element *elements = stoai_graph_take(l, count, sizeof *elements);
    if (!t || !elements) return NULL;
    *t = (graph_tensor){.dtype = dtype, .rows = rows, .rank = rank, .count = (uint32_t)count, .elements = elements};
    if (rank) memcpy(t->dims, dims, rank * sizeof *dims);
    return t;
}

graph_tensor *stoai_graph_like(lowering *l, stoa_dtype dtype, const graph_tensor *like)
{ return like ? stoai_graph_tensor(l, dtype, like->rows, like->rank, like->dims) : NULL; }

static graph_element constant_at(const onnx_tensor *t, size_t i)
{
    graph_element e = {.column = GRAPH_CONSTANT};
    switch ((int)t->dtype) {
    case STOA_FLOAT32: e.real = (double)((const float *)t->data)[i]; break;
    case STOA_FLOAT64: e.real = ((const double *)t->data)[i]; break;
    case STOA_FLOAT16: e.real = (double)stoa_half_to_float(((const stoa_half *)t->data)[i]); break;
    case STOA_BFLOAT16: e.real = (double)stoa_bfloat16_to_float(((const stoa_bfloat16 *)t->data)[i]); break;
    case STOA_INT8: e.integer = ((const int8_t *)t->data)[i]; break;
    case STOA_INT16: e.integer = ((const int16_t *)t->data)[i]; break;
    case STOA_INT32: e.integer = ((const int32_t *)t->data)[i]; break;
    case STOA_INT64: e.integer = ((const int64_t *)t->data)[i]; break;
    case STOA_UINT8:
    case STOA_BOOL: e.integer = ((const uint8_t *)t->data)[i]; break;
    case STOA_UINT16: e.integer = ((const uint16_t *)t->data)[i]; break;
    case STOA_UINT32: e.integer = ((const uint32_t *)t->data)[i]; break;
    case STOA_UINT64: memcpy(&e.integer, (const uint64_t *)t->data + i, sizeof e.integer); break;
    default: break;
    }
    return e;
}

graph_tensor *stoai_graph_constant(lowering *l, const onnx_tensor *tensor)
{
    if (tensor->external) return stoai_graph_refuse(l, "tensor '%s': its data is in another file", tensor->name);
    if (!tensor->data) return stoai_graph_refuse(l, "tensor '%s': ONNX type %d", tensor->name, tensor->onnx_type);
    graph_tensor *t = stoai_graph_tensor(l, tensor->dtype, 0, tensor->rank, tensor->dims);
    for (uint32_t i = 0; t && i < t->count; i++) t->elements[i] = constant_at(tensor, i);
    return t;
}

graph_tensor *stoai_graph_scalar(lowering *l, stoa_dtype dtype, double value)
{
    graph_tensor *t = stoai_graph_tensor(l, dtype, 0, 0, NULL);
    if (!t) return NULL;
    t->elements[0].column = GRAPH_CONSTANT;
    if (stoai_is_float(dtype)) t->elements[0].real = value;
    else t->elements[0].integer = (int64_t)value;
    return t;
}

graph_tensor *stoai_graph_integers(lowering *l, const int64_t *values, uint32_t count)
{
    graph_tensor *t = stoai_graph_tensor(l, STOA_INT64, 0, 1, &count);
    for (uint32_t i = 0; t && i < count; i++) t->elements[i] = (graph_element){.integer = values[i], .column = GRAPH_CONSTANT};
    return t;
}

/* ---- layout ---------------------------------------------------------------------------------------------------------- */

graph_tensor *stoai_graph_view(lowering *l, const graph_tensor *t, uint32_t rows, uint32_t rank, const uint32_t *dims)
{
    graph_tensor *view = t ? stoai_graph_take(l, 1, sizeof *view) : NULL;
    if (!view) return NULL;
    *view = *t;
    view->rows = rows;
    view->rank = rank;
    memset(view->dims, 0, sizeof view->dims);
    if (rank) memcpy(view->dims, dims, rank * sizeof *dims);
    return view;
}

/* Fill `to` so that its element at (i0, i1, ...) is from[i0*strides[0] + ...]. */
static void relist(graph_tensor *to, const graph_element *from, const size_t *strides)
{
    uint32_t index[GRAPH_RANK_MAX] = {0};
    size_t at = 0;
    for (uint32_t i = 0; i < to->count; i++) {
        to->elements[i] = from[at];
        for (uint32_t axis = to->rank; axis-- > 0;) {
            at += strides[axis];
            if (++index[axis] < to->dims[axis]) break;
            at -= strides[axis] * to->dims[axis];
            index[axis] = 0;
        }
    }
}

static void strides_of(const graph_tensor *t, size_t *strides)
{
    size_t stride = 1;
    for (uint32_t axis = t->rank; axis-- > 0; stride *= t->dims[axis]) strides[axis] = stride;
}

static bool same_shape(const graph_tensor *t, uint32_t rank, const uint32_t *dims)
{ return t->rank == rank && (!rank || memcmp(t->dims, dims, rank * sizeof *dims) == 0); }

graph_tensor *stoai_graph_broadcast(lowering *l, const graph_tensor *t, uint32_t rows, uint32_t rank, const uint32_t *dims)
{
    if (!t) return NULL;
    if (same_shape(t, rank, dims)) return stoai_graph_view(l, t, rows, rank, dims);
    graph_tensor *to = stoai_graph_tensor(l, t->dtype, rows, rank, dims);
    if (!to) return NULL;
    size_t own[GRAPH_RANK_MAX], strides[GRAPH_RANK_MAX] = {0};
    strides_of(t, own);
    for (uint32_t axis = 0; axis < t->rank; axis++)
        if (t->dims[axis] != 1) strides[rank - t->rank + axis] = own[axis];
    relist(to, t->elements, strides);
    return to;
}

bool stoai_graph_join_rows(lowering *l, const graph_tensor *t, uint32_t *rows)
{
    if (t->rows && *rows && t->rows != *rows)
        return stoai_graph_refuse(l, "rows of '%s' meet rows of '%s'", l->axes[t->rows - 1], l->axes[*rows - 1]) != NULL;
    if (t->rows) *rows = t->rows;
    return true;
}

graph_tensor *stoai_graph_common(lowering *l, graph_tensor *const *tensors, size_t count)
{
    uint32_t dims[GRAPH_RANK_MAX], rank = 0, rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (!tensors[i] || !stoai_graph_join_rows(l, tensors[i], &rows)) return NULL;
        rank = tensors[i]->rank > rank ? tensors[i]->rank : rank;
    }
    for (uint32_t axis = 0; axis < rank; axis++) dims[axis] = 1;
    for (size_t i = 0; i < count; i++) {
        const graph_tensor *t = tensors[i];
        if (t->rows && t->rank != rank)
            return stoai_graph_refuse(l, "the row axis of an operand of rank %u meets axis %u of another", t->rank, rank - t->rank);
        if (rows && !t->rows && t->rank == rank && t->dims[0] != 1)
            return stoai_graph_refuse(l, "a constant of %u rows meets the row axis", t->dims[0]);
        for (uint32_t axis = 0; axis < t->rank; axis++) {
            uint32_t *extent = &dims[rank - t->rank + axis];
            if (t->dims[axis] != 1 && *extent != 1 && *extent != t->dims[axis])
                return stoai_graph_refuse(l, "extents %u and %u do not broadcast", *extent, t->dims[axis]);
            if (t->dims[axis] != 1) *extent = t->dims[axis];
        }
    }
    graph_tensor *shape = stoai_graph_take(l, 1, sizeof *shape);
    if (!shape) return NULL;
    *shape = (graph_tensor){.rows = rows, .rank = rank};
    if (rank) memcpy(shape->dims, dims, rank * sizeof *dims);
    return shape;
}

graph_tensor *stoai_graph_permute(lowering *l, const graph_tensor *t, const uint32_t *order)
{
    uint32_t dims[GRAPH_RANK_MAX];
    size_t own[GRAPH_RANK_MAX], strides[GRAPH_RANK_MAX];
    if (!t) return NULL;
    if (t->rows && order[0] != 0) return stoai_graph_refuse(l, "it moves the row axis");
    strides_of(t, own);
    for (uint32_t axis = 0; axis < t->rank; axis++) {
        dims[axis] = t->dims[order[axis]];
        strides[axis] = own[order[axis]];
    }
    graph_tensor *to = stoai_graph_tensor(l, t->dtype, t->rows, t->rank, dims);
    if (to) relist(to, t->elements, strides);
    return to;
}

/* ---- what lowering asks of tensors and nodes -------------------------------------------------------------------------- */

bool stoai_graph_is_constant(const graph_tensor *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->elements[i].column != GRAPH_CONSTANT) return false;
    return true;
}

int64_t *stoai_graph_need_integers(lowering *l, const graph_tensor *t, const char *what, uint32_t *rows)
{
    if (!t) return NULL;
    if (stoai_is_float(t->dtype)) {
        stoai_graph_refuse(l, "%s is of type %s", what, stoa_dtype_name(t->dtype));
        return NULL;
    }
    int64_t *values = stoai_graph_take(l, t->count, sizeof *values);
    for (uint32_t i = 0; values && i < t->count; i++) {
        const graph_element *e = &t->elements[i];
        if (rows) rows[i] = e->column == GRAPH_ROWS ? (uint32_t)e->integer : 0;
        values[i] = e->integer;
        if (e->column == GRAPH_CONSTANT || (rows && rows[i])) continue;
        stoai_graph_refuse(l, "%s depends on %s", what, e->column == GRAPH_ROWS ? "the number of rows" : "the values of rows");
        return NULL;
    }
    return values;
}

const onnx_attribute *stoai_attribute(const lowering *l, const char *name, onnx_attribute_type type)
{
    for (size_t i = 0; i < l->node->attribute_count; i++) {
        const onnx_attribute *a = &l->node->attributes[i];
        if (a->type == type && strcmp(a->name, name) == 0) return a;
    }
    return NULL;
}

int64_t stoai_attribute_int(const lowering *l, const char *name, int64_t otherwise)
{
    const onnx_attribute *a = stoai_attribute(l, name, ONNX_ATTRIBUTE_INT);
    return a ? a->integer : otherwise;
}

double stoai_attribute_float(const lowering *l, const char *name, double otherwise)
{
    const onnx_attribute *a = stoai_attribute(l, name, ONNX_ATTRIBUTE_FLOAT);
    return a ? (double)a->real : otherwise;
}

graph_tensor *stoai_input(const lowering *l, size_t index) { return index < l->in_count ? l->in[index] : NULL; }

bool stoai_axis(lowering *l, int64_t axis, uint32_t rank, uint32_t end, uint32_t *result)
{
    const int64_t limit = (int64_t)rank + (int64_t)end;
    const int64_t at = axis < 0 ? axis + limit : axis;
    *result = (uint32_t)at;
    if (at >= 0 && at < limit) return true;
    stoai_graph_refuse(l, "axis %lld of a tensor of rank %u", (long long)axis, rank);
    return false;
}

bool stoai_axes(lowering *l, size_t input, int64_t since, uint32_t rank, bool *mask, bool *given)
{
    const onnx_attribute *a = stoai_attribute(l, "axes", ONNX_ATTRIBUTE_INTS);
    const graph_tensor *t = l->model->opset >= since ? stoai_input(l, input) : NULL;
    const int64_t *axes = a ? a->integers : NULL;
    size_t count = a ? a->count : 0;
    if (t) {
        axes = stoai_graph_need_integers(l, t, "the list of axes", NULL);
        if (!axes) return false;
        count = t->count;
    }
    memset(mask, 0, GRAPH_RANK_MAX * sizeof *mask);
    for (size_t i = 0; i < count; i++) {
        uint32_t axis;
        if (!stoai_axis(l, axes[i], rank, 0, &axis)) return false;
        mask[axis] = true;
    }
    *given = count > 0;
    return true;
}
