/* SPDX-License-Identifier: Apache-2.0 */
/* Writes small ONNX files for tests: just enough protobuf, in a fixed buffer. */
#ifndef TESTS_ONNX_BUILDER_H
#define TESTS_ONNX_BUILDER_H

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "stoa/dtype.h"

typedef struct builder {
    uint8_t bytes[32768];
    size_t size;
} builder;

static inline void put_bytes(builder *b, const void *data, size_t bytes)
{
    memcpy(b->bytes + b->size, data, bytes);
    b->size += bytes;
}

static inline void put_varint(builder *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) b->bytes[b->size++] = (uint8_t)(value | 0x80);
    b->bytes[b->size++] = (uint8_t)value;
}

static inline void put_int(builder *b, uint32_t field, int64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, (uint64_t)value);
}

static inline void put_data(builder *b, uint32_t field, const void *data, size_t bytes)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, bytes);
    put_bytes(b, data, bytes);
}

static inline void put_text(builder *b, uint32_t field, const char *text) { put_data(b, field, text, strlen(text)); }
static inline void put_message(builder *b, uint32_t field, const builder *m) { put_data(b, field, m->bytes, m->size); }

/* TensorProto with raw data; dims ends with -1. */
static inline void put_tensor(builder *b, uint32_t field, const char *name, int type, const int64_t *dims, const void *data, size_t bytes)
{
    static builder t;
    t.size = 0;
    for (; *dims >= 0; dims++) put_int(&t, 1, *dims);
    put_int(&t, 2, type);
    put_text(&t, 8, name);
    put_data(&t, 9, data, bytes);
    put_message(b, field, &t);
}

/* The parts of a model: a graph that grows, wrapped at the end. */
typedef struct onnx_builder {
    builder graph;
    builder file;
} onnx_builder;

static inline void add_value(onnx_builder *o, uint32_t field, const char *name, int type, const char *rows, const int64_t *dims)
{
    static builder v, tt, shape, d, type_proto;
    v.size = tt.size = shape.size = type_proto.size = 0;
    d.size = 0;
    put_text(&d, 2, rows);
    put_message(&shape, 1, &d);
    for (; *dims >= 0; dims++) {
        d.size = 0;
        put_int(&d, 1, *dims);
        put_message(&shape, 1, &d);
    }
    put_int(&tt, 1, type);
    put_message(&tt, 2, &shape);
    put_message(&type_proto, 1, &tt);
    put_text(&v, 1, name);
    put_message(&v, 2, &type_proto);
    put_message(&o->graph, field, &v);
}

/* Dims after the row axis, or of a constant. */
#define DIMS(...) (const int64_t[]){__VA_ARGS__, -1}
enum { ONNX_FLOAT = 1, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_BOOL = 9, ONNX_DOUBLE = 11 };

static inline void add_input(onnx_builder *o, const char *name, int type, const int64_t *dims) { add_value(o, 11, name, type, "N", dims); }
static inline void add_output(onnx_builder *o, const char *name) { add_value(o, 12, name, ONNX_FLOAT, "N", (const int64_t[]){-1}); }
/* Of rows of that name: a model may have several. */
static inline void add_input_of(onnx_builder *o, const char *rows, const char *name, int type, const int64_t *dims)
{ add_value(o, 11, name, type, rows, dims); }

static inline void add_floats(onnx_builder *o, const char *name, const int64_t *dims, const float *data, size_t count)
{ put_tensor(&o->graph, 5, name, ONNX_FLOAT, dims, data, count * sizeof *data); }
static inline void add_ints(onnx_builder *o, const char *name, const int64_t *data, size_t count)
{ put_tensor(&o->graph, 5, name, ONNX_INT64, (const int64_t[]){(int64_t)count, -1}, data, count * sizeof *data); }

/* NodeProto: names are separated by spaces; "-" is one left out. Attributes: name, 'i' int64_t, 'f' double or 's' text, value; NULL ends. */
static inline void put_names(builder *b, uint32_t field, const char *names)
{
    while (*names) {
        const size_t length = strcspn(names, " ");
        put_data(b, field, names, length == 1 && *names == '-' ? 0 : length);
        names += length + (names[length] == ' ');
    }
}

static inline void add_node(onnx_builder *o, const char *op, const char *inputs, const char *outputs, ...)
{
    static builder n, a;
    va_list args;
    n.size = 0;
    put_names(&n, 1, inputs);
    put_names(&n, 2, outputs);
    put_text(&n, 3, outputs);
    put_text(&n, 4, op);
    va_start(args, outputs);
    for (const char *name; (name = va_arg(args, const char *));) {
        const int kind = va_arg(args, int);
        a.size = 0;
        put_text(&a, 1, name);
        if (kind == 'i') {
            put_int(&a, 3, va_arg(args, int64_t));
            put_int(&a, 20, 2);
        } else if (kind == 's') {
            put_text(&a, 4, va_arg(args, const char *));
            put_int(&a, 20, 3);
        } else {
            const float value = (float)va_arg(args, double);
            put_varint(&a, 2 << 3 | 5);
            put_bytes(&a, &value, 4);
            put_int(&a, 20, 1);
        }
        put_message(&n, 5, &a);
    }
    va_end(args);
    put_message(&o->graph, 1, &n);
}

static inline const builder *finish_model(onnx_builder *o, int64_t opset)
{
    static builder version;
    o->file.size = version.size = 0;
    put_int(&version, 2, opset);
    put_int(&o->file, 1, 8);
    put_message(&o->file, 7, &o->graph);
    put_message(&o->file, 8, &version);
    return &o->file;
}

#endif
