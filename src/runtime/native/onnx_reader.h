/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an ONNX file into structs: a protobuf-wire reader of the messages that inference needs, and nothing more.
 *
 * The file is untrusted. Every length is checked against what encloses it, no recursion follows the file, all memory comes
 * from one arena whose size is bounded by the file's. Subgraphs (of If, Loop, Scan) are only noted: nothing here runs them.
 * What the file says is not judged here, except that it can be read at all. */
#ifndef STOA_NATIVE_ONNX_READER_H
#define STOA_NATIVE_ONNX_READER_H

#include "runtime/native/graph_arena.h"
#include "stoa/dtype.h"
#include "stoa/status.h"

#define ONNX_RANK_MAX 8

typedef struct onnx_tensor {
    const char *name;           /* "" where the file has none */
    int32_t onnx_type;          /* TensorProto.DataType as the file has it */
    stoa_dtype dtype;           /* NONE: a type that Stoa does not know (strings, 4 and 8 bit floats) */
    uint32_t rank;
    uint32_t dims[ONNX_RANK_MAX];
    size_t count;
    const void *data;           /* [count] of dtype, aligned; NULL when dtype is NONE */
    bool external;              /* data in another file */
    size_t offset;              /* in the file, for messages */
} onnx_tensor;

typedef enum onnx_attribute_type {
    ONNX_ATTRIBUTE_NONE = 0,
    ONNX_ATTRIBUTE_FLOAT = 1,
    ONNX_ATTRIBUTE_INT = 2,
    ONNX_ATTRIBUTE_STRING = 3,
    ONNX_ATTRIBUTE_TENSOR = 4,
    ONNX_ATTRIBUTE_GRAPH = 5,
    ONNX_ATTRIBUTE_FLOATS = 6,
    ONNX_ATTRIBUTE_INTS = 7,
    ONNX_ATTRIBUTE_OTHER = 8
} onnx_attribute_type;

typedef struct onnx_attribute {
    const char *name;
    onnx_attribute_type type;
    float real;
    int64_t integer;
    const char *string;
    onnx_tensor *tensor;
    float *reals;
    int64_t *integers;
    size_t count;               /* of reals or integers */
} onnx_attribute;

typedef struct onnx_node {
    const char *name, *op, *domain;
    const char **inputs, **outputs; /* "" where an optional one is left out */
    size_t input_count, output_count, attribute_count;
    onnx_attribute *attributes;
    size_t offset;
} onnx_node;

/* A graph's input or output. Dims: -1 where symbolic or absent, then `params` has the symbol ("" without). */
typedef struct onnx_value {
    const char *name;
    int32_t onnx_type;
    stoa_dtype dtype;
    bool has_shape, is_tensor;
    uint32_t rank;
    int64_t dims[ONNX_RANK_MAX];
    const char *params[ONNX_RANK_MAX];
} onnx_value;

typedef struct onnx_graph {
    const char *name;
    onnx_node *nodes;
    onnx_tensor *initializers;
    onnx_value *inputs, *outputs;
    size_t node_count, initializer_count, input_count, output_count;
    size_t node_capacity, initializer_capacity, input_capacity, output_capacity;
    size_t sparse_count;
} onnx_graph;

typedef struct onnx_model {
    int64_t ir_version;
    int64_t opset;              /* of the default domain */
    size_t function_count;
    onnx_graph graph;
} onnx_model;

/* The stoa_dtype of a TensorProto.DataType. */
stoa_dtype stoai_onnx_dtype(int32_t onnx_type);

/* Read `bytes` bytes at `data`; nothing in `model` points there afterwards. Errors: EFORMAT with what and the offset; ENOMEM; ELIMIT. */
stoa_status stoai_onnx_read(const void *data, size_t bytes, graph_arena *arena, onnx_model *model, stoa_error *err);
/* The same for a file that is one TensorProto (the test data of ONNX). */
stoa_status stoai_onnx_read_tensor(const void *data, size_t bytes, graph_arena *arena, onnx_tensor *tensor, stoa_error *err);

#endif
