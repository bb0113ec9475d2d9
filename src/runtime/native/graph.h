/* SPDX-License-Identifier: Apache-2.0 */
/* A graph while it is lowered: tensors as lists of elements, steps over virtual columns.
 *
 * An element is a constant, a virtual column (one scalar a row, made by exactly one step), or the number of rows itself (of the axis `integer`, counted as in graph_tensor).
 * So a weight, a row tensor, a concatenation of both and the result of Shape are the same thing, layout operators only
 * re-list elements, and arithmetic on constants is folded where it is met. The row axis of a row tensor counts 1. */
#ifndef STOA_NATIVE_GRAPH_H
#define STOA_NATIVE_GRAPH_H

#include "runtime/native/graph_arena.h"
#include "runtime/native/onnx_reader.h"
#include "runtime/native/program.h"

#define GRAPH_RANK_MAX ONNX_RANK_MAX
#define GRAPH_COLUMNS_MAX ((uint32_t)1 << 20)

/* What a column number can also be. */
#define GRAPH_CONSTANT UINT32_MAX
#define GRAPH_ROWS (UINT32_MAX - 1u)

typedef struct graph_element {
    union {
        double real;       /* float types; exact for all of them */
        int64_t integer;   /* integers and bool */
    };
    uint32_t column;
} graph_element;

typedef struct graph_tensor {
    stoa_dtype dtype;
    uint32_t rows;         /* not 0: axis 0 is the row axis, number rows - 1 of the schema; dims[0] is 1 then */
    uint32_t rank;
    uint32_t dims[GRAPH_RANK_MAX];
    uint32_t count;
    graph_element *elements;
} graph_tensor;

/* A step before columns have places. `step.in[].refs` are virtual columns, constants are final. */
typedef struct graph_step {
    native_step step;
    uint32_t out, out_count;          /* virtual columns made */
    const graph_element *exact[3];    /* constants of MAP's operands, unrounded */
    double *weights, *bias;           /* GEMM: [count][length], [count]; shared by steps, so never written */
    uint32_t rows;                    /* of which row axis, as in graph_tensor */
    uint32_t after;                   /* 1 + the step that must have passed all its rows before this one begins, 0: none */
    bool fusible;                     /* a GEMM, or elementwise on all of one alone: what follows may melt into it */
    bool dead;
} graph_step;

/* Everything known while nodes are lowered. Functions that make tensors return NULL once `status` is set, and take NULL
 * for a tensor that could not be made: a chain of calls needs one check, at its end. */
typedef struct lowering {
    const onnx_model *model;
    const native_kernels *kernels;
    graph_arena *arena;               /* scratch of the load */
    graph_arena *kept;                /* lives as long as the model */
    stoa_error *err;
    stoa_status status;
    const char *const *axes;          /* names of the row axes */
    uint32_t axis_count;
    int64_t fixed_rows;               /* extent that the file gives to the row axis, 0: symbolic */
    size_t elements_left;             /* budget: a small file must not ask for all memory */
    const char *input;                /* the last one lowered */
    const onnx_node *node;            /* being lowered */
    size_t node_index;
    graph_tensor **in, **out;         /* of the node */
    size_t in_count, out_count;
    graph_step *steps;
    size_t step_count, step_capacity;
    uint32_t column_count;
    uint32_t *producer;               /* step of each column */
    size_t producer_capacity;
    native_kept *kept_columns;        /* between programs */
    size_t kept_count, kept_capacity;
} lowering;

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* ENOTSUP naming node, operator and why; keeps the first failure. Returns NULL so that callers can return it. */
graph_tensor *stoai_graph_refuse(lowering *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* ENOMEM, likewise. */
void *stoai_graph_no_memory(lowering *l);
/* Scratch memory; sets the status when there is none. */
void *stoai_graph_take(lowering *l, size_t count, size_t bytes);

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

native_type stoai_native_type(stoa_dtype dtype);
bool stoai_is_float(stoa_dtype dtype);

graph_tensor *stoai_graph_tensor(lowering *l, stoa_dtype dtype, uint32_t rows, uint32_t rank, const uint32_t *dims);
/* A tensor of the shape of `like`. */
graph_tensor *stoai_graph_like(lowering *l, stoa_dtype dtype, const graph_tensor *like);
graph_tensor *stoai_graph_constant(lowering *l, const onnx_tensor *tensor);
graph_tensor *stoai_graph_scalar(lowering *l, stoa_dtype dtype, double value);
graph_tensor *stoai_graph_integers(lowering *l, const int64_t *values, uint32_t count);
/* The same elements in another shape of as many. */
graph_tensor *stoai_graph_view(lowering *l, const graph_tensor *t, uint32_t rows, uint32_t rank, const uint32_t *dims);
/* Repeat along axes of extent 1 so that t has that shape; `rows` is the row axis of the result. */
graph_tensor *stoai_graph_broadcast(lowering *l, const graph_tensor *t, uint32_t rows, uint32_t rank, const uint32_t *dims);
/* Take the row axis of t into `rows`, 0 so far or the same; another one is refused. */
bool stoai_graph_join_rows(lowering *l, const graph_tensor *t, uint32_t *rows);
/* The shape that `count` tensors broadcast to, written to a tensor without elements; NULL when they do not. */
graph_tensor *stoai_graph_common(lowering *l, graph_tensor *const *tensors, size_t count);
/* Axis order[i] of t becomes axis i. */
graph_tensor *stoai_graph_permute(lowering *l, const graph_tensor *t, const uint32_t *order);

bool stoai_graph_is_constant(const graph_tensor *t);
/* Integers of a constant tensor that the lowering needs; NULL with the reason when they depend on rows. GRAPH_ROWS elements
 * are refused unless `rows` is given, which then receives their axis as in graph_tensor, 0 for numbers. */
int64_t *stoai_graph_need_integers(lowering *l, const graph_tensor *t, const char *what, uint32_t *rows);

/* ---- attributes and inputs of the node ------------------------------------------------------------------------------- */

const onnx_attribute *stoai_attribute(const lowering *l, const char *name, onnx_attribute_type type);
int64_t stoai_attribute_int(const lowering *l, const char *name, int64_t otherwise);
double stoai_attribute_float(const lowering *l, const char *name, double otherwise);
/* The index-th input, NULL where it is left out. */
graph_tensor *stoai_input(const lowering *l, size_t index);
/* `axis` counted from the front, checked against `rank` (rank itself is allowed where `end` is 1). */
bool stoai_axis(lowering *l, int64_t axis, uint32_t rank, uint32_t end, uint32_t *result);
/* Axes from the attribute, or from input `input` since opset `since`: sets mask[axis]; `given`: whether there are any. */
bool stoai_axes(lowering *l, size_t input, int64_t since, uint32_t rank, bool *mask, bool *given);

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

/* Appends the step and gives it out_count new columns, the first of which is its `out`; its rows are those of its operands
 * where it does not say. */
graph_step *stoai_graph_step(lowering *l, const graph_step *like, uint32_t out_count);
/* Elements' columns as operand `index` of a step about to be appended. */
bool stoai_graph_refs(lowering *l, graph_step *step, uint32_t index, const graph_element *elements, uint32_t count);
/* Columns, or constants, of operand `index`. */
uint32_t stoai_operand_length(const native_step *step, uint32_t index);
/* Columns of memory for `count` values of those rows, kept between programs: the first one's number. */
uint32_t stoai_graph_keep(lowering *l, uint32_t rows, native_type type, uint32_t count);

/* An elementwise operation on tensors of one shape (broadcast first where they differ); constants are folded. */
graph_tensor *stoai_emit_map(lowering *l, native_op op, stoa_dtype result, const native_step *parameters, graph_tensor *a, graph_tensor *b,
                             graph_tensor *c);
/* The same with one or two operands of which the result has the type, without parameters. */
graph_tensor *stoai_emit(lowering *l, native_op op, graph_tensor *a, graph_tensor *b);
graph_tensor *stoai_emit_cast(lowering *l, graph_tensor *t, stoa_dtype to);
/* All elements as columns: constants are copied into some. */
graph_tensor *stoai_emit_columns(lowering *l, graph_tensor *t);
/* Reduce the last axis away (its extent is the group's length). */
graph_tensor *stoai_emit_reduce(lowering *l, native_reduce reduce, bool last, graph_tensor *t);
/* Softmax, LogSoftmax and LayerNormalization over the last axis. scale and bias: NULL or `length` constants. */
graph_tensor *stoai_emit_softmax(lowering *l, bool log, graph_tensor *t);
graph_tensor *stoai_emit_norm(lowering *l, double epsilon, const graph_tensor *scale, const graph_tensor *bias, graph_tensor *t);
/* out[count] = w in + bias for `in` of `length` elements; w [count][length] and bias [count] are kept, not copied. */
bool stoai_emit_gemm(lowering *l, const graph_element *in, uint32_t length, double *w, double *bias, uint32_t count, graph_element *out);
/* Columns [first_value, first_value + width) of the inputs, as a tensor of those rows. */
graph_tensor *stoai_emit_load(lowering *l, stoa_dtype dtype, uint32_t rows, uint32_t rank, const uint32_t *dims, uint32_t first_value);
bool stoai_emit_store(lowering *l, graph_tensor *t, uint32_t first_value);

/* Across row axes: rows of t chosen by the values of `indices`, which may be of another axis. */
graph_tensor *stoai_emit_gather(lowering *l, graph_tensor *t, graph_tensor *indices);
/* t with op(t[row], updates) in each row that the column `row` of the updates' rows names, one after the other. */
graph_tensor *stoai_emit_scatter(lowering *l, native_op op, graph_tensor *t, const graph_element *row, graph_tensor *updates);

/* Wraps a result that a narrow integer type cannot hold; what arithmetic of int8, uint32 and the like needs. */
graph_tensor *stoai_emit_wrap(lowering *l, graph_tensor *t);

/* One operation on constants: real for F32 (result to be rounded) and F64, integer otherwise. */
void stoai_fold(native_op op, native_type type, const native_step *parameters, const graph_element in[3], graph_element *out);
/* Wrap or round a constant to what `dtype` can hold. */
void stoai_fold_narrow(stoa_dtype dtype, graph_element *value);
void stoai_fold_cast(stoa_dtype from, stoa_dtype to, graph_element *value);

/* ---- the passes ------------------------------------------------------------------------------------------------------ */

/* Operators, a table for each family, a NULL name at its end. A function makes the node's outputs: it returns the first one and
 * puts others into l->out; NULL with the status set when it cannot. */
typedef graph_tensor *(*lower_function)(lowering *l);
typedef struct lower_operator {
    const char *name;
    uint8_t inputs_min, inputs_max;  /* 255: any number */
    lower_function function;
    uint32_t code;                   /* for functions that serve several: native_op, native_reduce */
} lower_operator;
extern const lower_operator stoai_lower_layout[], stoai_lower_math[], stoai_lower_linear[], stoai_lower_groups[], stoai_lower_cross[];
/* The table's code of the node being lowered. */
uint32_t stoai_lower_code(const lowering *l);

/* Cuts the steps into programs, each of which runs over the rows of one axis, and finishes them. */
stoa_status stoai_graph_plan(lowering *l, native_plan *plan, uint64_t *flop_per_row);
/* Fuses, drops what no output needs, gives columns their places and writes the program into `l->kept`. */
stoa_status stoai_graph_finish(lowering *l, native_program *program, uint64_t *flop_per_row);

#endif
