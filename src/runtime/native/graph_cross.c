/* SPDX-License-Identifier: Apache-2.0 */
/* Operators between row axes. What is computed of one axis is kept in memory until all its rows are done, then another program
 * gathers rows of it, or has scattered to it: STORE, GATHER or SCATTER, LOAD, each `after` the one before. */
#include <string.h>

#include "runtime/native/graph.h"

uint32_t stoai_graph_keep(lowering *l, uint32_t rows, native_type type, uint32_t count)
{
    const uint32_t first = (uint32_t)l->kept_count;
    for (uint32_t i = 0; i < count; i++) {
        native_kept *list = stoai_arena_grow(l->arena, l->kept_columns, l->kept_count, &l->kept_capacity, sizeof *list);
        if (!list) {
            stoai_graph_no_memory(l);
            return UINT32_MAX;
        }
        l->kept_columns = list;
        list[l->kept_count++] = (native_kept){.axis = rows - 1, .type = type};
    }
    return first;
}

/* ---- gather -------------------------------------------------------------------------------------------------------- */

/* Where the values of a tensor's elements lie in memory. */
typedef struct lying {
    native_space space;
    uint32_t value, after;
} lying;

static bool keep_elements(lowering *l, const graph_tensor *t, const graph_element *elements, uint32_t count, lying *at)
{
    graph_step store = {.step = {.kind = NATIVE_STEP_STORE, .type = stoai_native_type(t->dtype), .count = count}};
    store.step.out_type = store.step.type;
    store.step.space = NATIVE_KEPT;
    store.step.first_value = stoai_graph_keep(l, t->rows, store.step.type, count);
    if (l->status != STOA_OK || !stoai_graph_refs(l, &store, 0, elements, count) || !stoai_graph_step(l, &store, 0)) return false;
    for (uint32_t i = 0; i < count; i++) at[i] = (lying){NATIVE_KEPT, store.step.first_value + i, (uint32_t)l->step_count};
    return true;
}

/* Inputs, and what was scattered, lie in memory already; other columns are kept. */
static lying *find_lying(lowering *l, const graph_tensor *t, const graph_element *columns, uint32_t count)
{
    lying *at = stoai_graph_take(l, count, sizeof *at), *made = stoai_graph_take(l, count, sizeof *made);
    graph_element *computed = stoai_graph_take(l, count, sizeof *computed);
    uint32_t computed_count = 0, next = 0;
    if (!at || !made || !computed) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        const graph_step *maker = &l->steps[l->producer[columns[i].column]];
        at[i] = (lying){maker->step.space, maker->step.first_value + columns[i].column - maker->out, maker->after};
        if (maker->step.kind == NATIVE_STEP_LOAD) continue;
        at[i].space = NATIVE_SPACE_COUNT;
        computed[computed_count++] = columns[i];
    }
    if (computed_count && !keep_elements(l, t, computed, computed_count, made)) return NULL;
    for (uint32_t i = 0; i < count; i++)
        if (at[i].space == NATIVE_SPACE_COUNT) at[i] = made[next++];
    return at;
}

/* The columns' values in the row that `row` names: a step for each run of neighbours in memory. */
static bool gather_columns(lowering *l, const graph_tensor *t, const lying *at, const graph_element *row, native_type row_type,
                           graph_element *columns, uint32_t count)
{
    for (uint32_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && at[end].space == at[first].space && at[end].after == at[first].after &&
                              at[end].value == at[first].value + (end - first);
             end++) {}
        graph_step step = {.step = {.kind = NATIVE_STEP_GATHER, .type = stoai_native_type(t->dtype), .count = end - first}};
        step.step.out_type = step.step.type;
        step.step.space = at[first].space;
        step.step.first_value = at[first].value;
        step.step.other = t->rows - 1;
        step.after = at[first].after;
        if (!stoai_graph_refs(l, &step, 0, row, 1)) return false;
        step.step.in[0].type = row_type;
        const graph_step *made = stoai_graph_step(l, &step, end - first);
        if (!made) return false;
        for (uint32_t i = first; i < end; i++) columns[i] = (graph_element){.column = made->out + i - first};
    }
    return true;
}

graph_tensor *stoai_emit_gather(lowering *l, graph_tensor *t, graph_tensor *indices)
{
    uint32_t dims[GRAPH_RANK_MAX], rank = 0, count = 0;
    graph_tensor *at_rows = stoai_emit_columns(l, indices);
    if (!at_rows) return NULL;
    if (stoai_is_float(indices->dtype)) return stoai_graph_refuse(l, "indices of type %s", stoa_dtype_name(indices->dtype));
    if (indices->rank + t->rank - 1 > GRAPH_RANK_MAX) return stoai_graph_refuse(l, "a rank above %d", GRAPH_RANK_MAX);
    for (uint32_t i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (uint32_t i = 1; i < t->rank; i++) dims[rank++] = t->dims[i];
    graph_tensor *out = stoai_graph_tensor(l, t->dtype, indices->rows, rank, dims);
    graph_element *columns = stoai_graph_take(l, t->count, sizeof *columns), *moved = stoai_graph_take(l, t->count, sizeof *moved);
    if (!out || !columns || !moved) return NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->elements[i].column == GRAPH_ROWS) return stoai_graph_refuse(l, "arithmetic on the number of rows");
        if (t->elements[i].column != GRAPH_CONSTANT) columns[count++] = t->elements[i];
    }
    const lying *at = find_lying(l, t, columns, count);
    for (uint32_t k = 0; at && k < at_rows->count; k++) {
        if (!gather_columns(l, t, at, &at_rows->elements[k], stoai_native_type(indices->dtype), moved, count)) return NULL;
        for (uint32_t i = 0, next = 0; i < t->count; i++)
            out->elements[k * t->count + i] = t->elements[i].column == GRAPH_CONSTANT ? t->elements[i] : moved[next++];
    }
    return at ? out : NULL;
}

/* ---- scatter ------------------------------------------------------------------------------------------------------- */

graph_tensor *stoai_emit_scatter(lowering *l, native_op op, graph_tensor *t, const graph_element *row, graph_tensor *updates)
{
    const native_type type = stoai_native_type(t->dtype);
    const uint32_t count = t->count;
    graph_tensor *before = stoai_emit_columns(l, t), *added = stoai_emit_columns(l, updates), *out = stoai_graph_like(l, t->dtype, t);
    lying *at = stoai_graph_take(l, count, sizeof *at);
    if (!before || !added || !out || !at || !keep_elements(l, t, before->elements, count, at)) return NULL;
    graph_step step = {.step = {.kind = NATIVE_STEP_SCATTER, .op = op, .type = type, .count = count, .space = NATIVE_KEPT}};
    step.step.first_value = at[0].value;
    step.step.other = t->rows - 1;
    step.after = (uint32_t)l->step_count;
    if (!stoai_graph_refs(l, &step, 1, added->elements, count) || !stoai_graph_refs(l, &step, 0, row, 1)) return NULL;
    step.step.in[0].type = l->steps[l->producer[row->column]].step.out_type;
    if (!stoai_graph_step(l, &step, 0)) return NULL;
    graph_step load = {.step = {.kind = NATIVE_STEP_LOAD, .type = type, .out_type = type, .count = count, .space = NATIVE_KEPT}};
    load.step.first_value = step.step.first_value;
    load.rows = t->rows;
    load.after = (uint32_t)l->step_count;
    const graph_step *made = stoai_graph_step(l, &load, count);
    for (uint32_t i = 0; made && i < count; i++) out->elements[i] = (graph_element){.column = made->out + i};
    return made ? stoai_emit_wrap(l, out) : NULL;
}

static bool find_reduction(lowering *l, native_op *op)
{
    static const struct {
        const char *name;
        native_op op;
    } reductions[] = {{"add", NATIVE_ADD}, {"mul", NATIVE_MUL}, {"min", NATIVE_MIN}, {"max", NATIVE_MAX}};
    const onnx_attribute *given = stoai_attribute(l, "reduction", ONNX_ATTRIBUTE_STRING);
    const char *name = given ? given->string : "none";
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++) {
        *op = reductions[i].op;
        if (strcmp(name, reductions[i].name) == 0) return true;
    }
    return stoai_graph_refuse(l, "reduction '%s': of rows that name the same one the last would win", name) != NULL;
}

/* What both forms ask for: rows of both, in one column of row numbers. */
static graph_tensor *scatter_rows(lowering *l, const graph_tensor *indices)
{
    native_op op;
    graph_tensor *t = l->in[0], *updates = l->in[2];
    if (!find_reduction(l, &op)) return NULL;
    if (!t->rows || !indices->rows || indices->rows != updates->rows)
        return stoai_graph_refuse(l, "it needs data with rows, and indices and updates with the same rows");
    if (t->count != updates->count || !t->count || t->dtype != updates->dtype)
        return stoai_graph_refuse(l, "%u values a row are updated by %u", t->count, updates->count);
    if (indices->elements[0].column >= GRAPH_ROWS || stoai_is_float(indices->dtype))
        return stoai_graph_refuse(l, "its indices are no column of row numbers");
    return stoai_emit_scatter(l, op, t, &indices->elements[0], updates);
}

/* Rows as a whole are updated where all indices of a row are one number. */
static graph_tensor *lower_scatter_elements(lowering *l)
{
    const graph_tensor *t = l->in[0], *indices = l->in[1];
    uint32_t axis;
    if (!stoai_axis(l, stoai_attribute_int(l, "axis", 0), t->rank, 0, &axis)) return NULL;
    if (axis || !t->rows) return stoai_graph_refuse(l, "it scatters along axis %u, not the row axis", axis);
    for (uint32_t i = 1; i < indices->count; i++)
        if (indices->elements[i].column != indices->elements[0].column)
            return stoai_graph_refuse(l, "the values of a row go to different rows");
    if (indices->count != l->in[2]->count) return stoai_graph_refuse(l, "%u indices of %u updates", indices->count, l->in[2]->count);
    return scatter_rows(l, indices);
}

static graph_tensor *lower_scatter_nd(lowering *l)
{
    const graph_tensor *indices = l->in[1];
    if (indices->count != 1) return stoai_graph_refuse(l, "%u indices a row, not one row number", indices->count);
    return scatter_rows(l, indices);
}

const lower_operator stoai_lower_cross[] = {
    {"ScatterElements", 3, 3, lower_scatter_elements, 0},
    {"ScatterND", 3, 3, lower_scatter_nd, 0},
    {NULL, 0, 0, NULL, 0},
};
