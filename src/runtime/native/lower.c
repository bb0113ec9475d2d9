/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/lower.h"

#include <string.h>

/* A graph may grow beyond its file (Expand, MatMul of two row tensors), but not without bound. */
#define ELEMENTS_FLOOR ((size_t)1 << 23)
#define ELEMENTS_PER_BYTE 16
#define ELEMENTS_CEILING ((size_t)1 << 28)

/* ---- names ------------------------------------------------------------------------------------------------------------- */

typedef struct name_entry {
    const char *name;
    graph_tensor *tensor;              /* NULL: an initializer that nothing has used so far */
    const onnx_tensor *initializer;
} name_entry;

typedef struct name_table {
    name_entry *entries;
    size_t mask;
} name_table;

static name_entry *find_name(const name_table *table, const char *name)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    size_t at = (size_t)(hash ^ hash >> 32) & table->mask;
    while (table->entries[at].name && strcmp(table->entries[at].name, name) != 0) at = (at + 1) & table->mask;
    return &table->entries[at];
}

static bool make_names(lowering *l, name_table *table)
{
    const onnx_graph *g = &l->model->graph;
    size_t names = g->initializer_count + g->input_count, size = 16;
    for (size_t i = 0; i < g->node_count; i++) names += g->nodes[i].output_count;
    while (size < names * 2) size *= 2;
    table->mask = size - 1;
    table->entries = stoai_graph_take(l, size, sizeof *table->entries);
    for (size_t i = 0; table->entries && i < g->initializer_count; i++) {
        name_entry *entry = find_name(table, g->initializers[i].name);
        *entry = (name_entry){g->initializers[i].name, NULL, &g->initializers[i]};
    }
    return table->entries != NULL;
}

static bool define(lowering *l, const name_table *table, const char *name, graph_tensor *tensor)
{
    name_entry *entry = find_name(table, name);
    if (entry->name) {
        if (l->status == STOA_OK) l->status = STOA_FAIL(l->err, STOA_EFORMAT, "ONNX file: '%s' is defined twice", name);
        return false;
    }
    *entry = (name_entry){name, tensor, NULL};
    return true;
}

/* The tensor of that name; an initializer becomes one when it is first used. */
static graph_tensor *use(lowering *l, const name_table *table, const char *name)
{
    name_entry *entry = find_name(table, name);
    if (!entry->name) {
        if (l->status == STOA_OK)
            l->status = STOA_FAIL(l->err, STOA_EFORMAT, "ONNX file: '%s' is used but nothing before it makes it", name);
        return NULL;
    }
    if (!entry->tensor) entry->tensor = stoai_graph_constant(l, entry->initializer);
    return entry->tensor;
}

/* ---- schema ------------------------------------------------------------------------------------------------------------- */

static bool is_signed(stoa_dtype dtype) { return dtype >= STOA_INT8 && dtype <= STOA_INT64; }
static bool is_integer(stoa_dtype dtype) { return dtype >= STOA_INT8 && dtype <= STOA_UINT64; }

/* Whether every value of `from` is one of `to`, for integers and bool. */
static bool fits(stoa_dtype from, stoa_dtype to)
{
    if (from == to) return true;
    if (!is_integer(to)) return false;
    if (from == STOA_BOOL) return true;
    if (!is_integer(from)) return false;
    const size_t from_bytes = stoa_dtype_bytes(from), to_bytes = stoa_dtype_bytes(to);
    return is_signed(from) ? is_signed(to) && to_bytes >= from_bytes : is_signed(to) ? to_bytes > from_bytes : to_bytes >= from_bytes;
}

/* A float input takes any real type; integers only what fits. Outputs go to floats of any width, integers to wider ones. */
static uint64_t dtype_mask(stoa_dtype dtype, bool input)
{
    uint64_t mask = 0;
    for (uint32_t i = STOA_INT8; i <= STOA_BOOL; i++) {
        const stoa_dtype other = (stoa_dtype)i;
        const bool taken = stoai_is_float(dtype) ? input || stoai_is_float(other) : input ? fits(other, dtype) : fits(dtype, other);
        mask |= (uint64_t)taken << i;
    }
    return mask;
}

static bool describe(lowering *l, const char *name, const graph_tensor *t, bool input, stoa_tensor_schema *schema)
{
    if (t->rank - 1 > STOA_SHAPE_RANK_MAX)
        return stoai_graph_refuse(l, "'%s' has rank %u, at most %d", name, t->rank, STOA_SHAPE_RANK_MAX + 1) != NULL;
    *schema = (stoa_tensor_schema){.dtype = t->dtype, .rank = t->rank - 1, .width = t->count};
    for (uint32_t i = 1; i < t->rank; i++) schema->shape[i - 1] = t->dims[i];
    schema->name = stoai_arena_print(l->kept, "%s", name);
    schema->axis = t->rows - 1;
    schema->rows_name = l->axes[schema->axis];
    schema->dtype_mask = dtype_mask(t->dtype, input);
    return schema->name ? true : stoai_graph_no_memory(l) != NULL;
}

/* ---- inputs -------------------------------------------------------------------------------------------------------------- */

static bool check_input(lowering *l, const onnx_value *v, const onnx_value *first)
{
    if (!v->is_tensor) return stoai_graph_refuse(l, "input '%s' is not a tensor", v->name) != NULL;
    if (v->dtype == STOA_DTYPE_NONE || v->dtype == STOA_UINT64 || v->dtype >= STOA_COMPLEX64)
        return stoai_graph_refuse(l, "input '%s' has ONNX type %d", v->name, v->onnx_type) != NULL;
    if (!v->has_shape || v->rank == 0)
        return stoai_graph_refuse(l, "input '%s' has no row axis (%s)", v->name, v->has_shape ? "rank 0" : "no shape") != NULL;
    for (uint32_t axis = 1; axis < v->rank; axis++)
        if (v->dims[axis] == -1)
            return stoai_graph_refuse(l, "input '%s': extent of axis %u is not known ('%s'); only axis 0 may vary", v->name, axis,
                                      v->params[axis]) != NULL;
        else if (v->dims[axis] <= 0)
            return stoai_graph_refuse(l, "input '%s': extent of axis %u is %lld, at least 1 needed", v->name, axis,
                                      (long long)v->dims[axis]) != NULL;
    if (v->dims[0] != first->dims[0])
        return stoai_graph_refuse(l, "inputs '%s' and '%s' have different numbers of rows (%lld, %lld; -1: symbolic)", first->name, v->name,
                                  (long long)first->dims[0], (long long)v->dims[0]) != NULL;
    return true;
}

/* The row axis of that name, a new one where there is none: inputs with rows of one name have as many. */
static uint32_t find_axis(lowering *l, const char **axes, const char *name)
{
    uint32_t axis = 0;
    if (!name[0]) name = l->axis_count ? axes[0] : "N";
    while (axis < l->axis_count && strcmp(axes[axis], name) != 0) axis++;
    if (axis == l->axis_count && (axes[axis] = stoai_arena_print(l->kept, "%s", name))) l->axis_count++;
    return axis;
}

static bool lower_inputs(lowering *l, const name_table *table, stoa_schema *schema)
{
    const onnx_graph *g = &l->model->graph;
    const onnx_value *first = NULL;
    uint32_t count = 0, value = 0;
    stoa_tensor_schema *inputs = stoai_arena_take(l->kept, g->input_count, sizeof *inputs);
    const char **axes = stoai_arena_take(l->kept, g->input_count + 1, sizeof *axes);
    if (!inputs || !axes) return stoai_graph_no_memory(l) != NULL;
    l->axes = axes;
    for (size_t i = 0; i < g->input_count; i++) {
        const onnx_value *v = &g->inputs[i];
        const name_entry *known = find_name(table, v->name);
        if (known->name && known->initializer) continue; /* a default value: constant, as in ONNX before IR version 4 */
        uint32_t dims[GRAPH_RANK_MAX] = {1};
        if (!first) first = v;
        l->input = v->name;
        if (!check_input(l, v, first)) return false;
        for (uint32_t axis = 1; axis < v->rank; axis++) dims[axis] = (uint32_t)v->dims[axis];
        const uint32_t axis = find_axis(l, axes, v->params[0]);
        if (axis == l->axis_count) return stoai_graph_no_memory(l) != NULL;
        graph_tensor *t = stoai_emit_load(l, v->dtype, axis + 1, v->rank, dims, value);
        if (!t || !define(l, table, v->name, t)) return false;
        if (!describe(l, v->name, t, true, &inputs[count++])) return false;
        value += t->count;
    }
    if (!first) return stoai_graph_refuse(l, "the model has no inputs") != NULL;
    l->fixed_rows = first->dims[0] > 0 ? first->dims[0] : 0;
    schema->inputs = inputs;
    schema->input_count = count;
    schema->axes = axes;
    schema->axis_count = l->axis_count;
    return true;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */

static const lower_operator *const families[] = {stoai_lower_layout, stoai_lower_math, stoai_lower_linear, stoai_lower_groups,
                                                 stoai_lower_cross};

static const lower_operator *find_operator(const char *name)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const lower_operator *o = families[f]; o->name; o++)
            if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

uint32_t stoai_lower_code(const lowering *l) { return find_operator(l->node->op)->code; }

static bool check_node(lowering *l, const onnx_node *node, const lower_operator *o)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (node->attributes[i].type == ONNX_ATTRIBUTE_GRAPH)
            return stoai_graph_refuse(l, "it has a subgraph ('%s')", node->attributes[i].name) != NULL;
    if (node->domain[0] && strcmp(node->domain, "ai.onnx") != 0)
        return stoai_graph_refuse(l, "operator of domain '%s'", node->domain) != NULL;
    if (!o)
        return stoai_graph_refuse(l, l->model->function_count ? "the native engine has no such operator and runs no functions"
                                                              : "the native engine has no such operator") != NULL;
    if (node->input_count < o->inputs_min || (node->input_count > o->inputs_max && o->inputs_max != 255))
        return stoai_graph_refuse(l, "%zu inputs given in opset %lld", node->input_count, (long long)l->model->opset) != NULL;
    for (size_t i = 0; i < o->inputs_min; i++)
        if (!l->in[i]) return stoai_graph_refuse(l, "input %zu is left out", i) != NULL;
    return true;
}

static bool lower_node(lowering *l, const name_table *table, size_t index)
{
    const onnx_node *node = &l->model->graph.nodes[index];
    const lower_operator *o = find_operator(node->op);
    l->node = node;
    l->node_index = index;
    l->in_count = node->input_count;
    l->out_count = node->output_count;
    l->in = stoai_graph_take(l, node->input_count + 1, sizeof *l->in);
    l->out = stoai_graph_take(l, node->output_count + 1, sizeof *l->out);
    if (!l->in || !l->out) return false;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i][0] && !(l->in[i] = use(l, table, node->inputs[i]))) return false;
    if (!check_node(l, node, o)) return false;
    graph_tensor *made = o->function(l);
    if (l->status != STOA_OK) return false;
    if (node->output_count) l->out[0] = made;
    for (size_t i = 0; i < node->output_count; i++) {
        if (!node->outputs[i][0]) continue;
        if (!l->out[i]) return stoai_graph_refuse(l, "output %zu ('%s') is not supported", i, node->outputs[i]) != NULL;
        if (!define(l, table, node->outputs[i], l->out[i])) return false;
    }
    return true;
}

/* ---- outputs ---------------------------------------------------------------------------------------------------------------- */

static bool lower_outputs(lowering *l, const name_table *table, stoa_schema *schema)
{
    const onnx_graph *g = &l->model->graph;
    uint32_t value = 0;
    stoa_tensor_schema *outputs = stoai_arena_take(l->kept, g->output_count, sizeof *outputs);
    if (!outputs) return stoai_graph_no_memory(l) != NULL;
    l->node = NULL;
    if (!g->output_count) return stoai_graph_refuse(l, "the model has no outputs") != NULL;
    for (size_t i = 0; i < g->output_count; i++) {
        graph_tensor *t = use(l, table, g->outputs[i].name);
        if (!t) return false;
        if (!t->rows) return stoai_graph_refuse(l, "output '%s' has no row axis", g->outputs[i].name) != NULL;
        if (!t->count) return stoai_graph_refuse(l, "output '%s' has no values", g->outputs[i].name) != NULL;
        if (!describe(l, g->outputs[i].name, t, false, &outputs[i]) || !stoai_emit_store(l, t, value)) return false;
        value += t->count;
    }
    schema->outputs = outputs;
    schema->output_count = (uint32_t)g->output_count;
    return true;
}

/* Weights are floats; integers among the initializers are shapes and indices. */
static uint64_t count_parameters(const onnx_graph *g)
{
    uint64_t count = 0;
    for (size_t i = 0; i < g->initializer_count; i++)
        if (stoai_is_float(g->initializers[i].dtype)) count += g->initializers[i].count;
    return count;
}

stoa_status stoai_lower(const onnx_model *model, size_t file_bytes, const native_kernels *kernels, graph_arena *scratch, graph_arena *kept,
                        native_plan *plan, stoa_schema *schema, stoa_error *err)
{
    lowering l = {.model = model, .kernels = kernels, .arena = scratch, .kept = kept, .err = err};
    name_table table;
    l.elements_left = file_bytes < (ELEMENTS_CEILING - ELEMENTS_FLOOR) / ELEMENTS_PER_BYTE ? ELEMENTS_FLOOR + file_bytes * ELEMENTS_PER_BYTE
                                                                                           : ELEMENTS_CEILING;
    if (model->graph.sparse_count) stoai_graph_refuse(&l, "the model has sparse initializers");
    if (!make_names(&l, &table) || !lower_inputs(&l, &table, schema)) return l.status;
    for (size_t i = 0; i < model->graph.node_count; i++)
        if (!lower_node(&l, &table, i)) return l.status;
    if (!lower_outputs(&l, &table, schema)) return l.status;
    schema->parameters = count_parameters(&model->graph);
    return stoai_graph_plan(&l, plan, &schema->flop_per_row);
}
