/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol buffers by hand: a message is fields in order, a submessage is its length and its bytes. Field
 * numbers are those of onnx.proto, named beside each use. */
#include "onnx_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
} bytes;

static void put(bytes *out, const void *data, size_t size)
{
    if (out->failed) return;
    if (out->size + size > out->capacity) {
        const size_t capacity = 2 * (out->size + size) + 256;
        uint8_t *grown = realloc(out->data, capacity);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static size_t varint(uint8_t text[10], uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) text[size++] = (uint8_t)(value | 0x80);
    text[size++] = (uint8_t)value;
    return size;
}

static void put_varint(bytes *out, uint64_t value)
{
    uint8_t text[10];
    put(out, text, varint(text, value));
}

static void put_int(bytes *out, uint32_t field, uint64_t value)
{
    put_varint(out, field << 3); /* wire type 0 */
    put_varint(out, value);
}

static void put_block(bytes *out, uint32_t field, const void *data, size_t size)
{
    put_varint(out, field << 3 | 2); /* wire type 2 */
    put_varint(out, size);
    put(out, data, size);
}

static void put_text(bytes *out, uint32_t field, const char *text) { put_block(out, field, text, strlen(text)); }

/* The length of a submessage is known at its end; then its bytes are moved up by the size of the length. */
static size_t begin(bytes *out, uint32_t field)
{
    put_varint(out, field << 3 | 2);
    return out->size;
}

static void end(bytes *out, size_t start)
{
    uint8_t text[10];
    if (out->failed) return;
    const size_t size = out->size - start, prefix = varint(text, size);
    put(out, text, prefix); /* makes room */
    if (out->failed) return;
    memmove(out->data + start + prefix, out->data + start, size);
    memcpy(out->data + start, text, prefix);
}

/* TensorProto: dims 1, data_type 2 (FLOAT 1), name 8, raw_data 9; GraphProto.initializer 5. */
static void put_tensor(bytes *out, const char *name, const float *data, uint32_t rows, uint32_t columns)
{
    const size_t tensor = begin(out, 5);
    put_int(out, 1, rows);
    if (columns) put_int(out, 1, columns);
    put_int(out, 2, 1);
    put_text(out, 8, name);
    put_block(out, 9, data, sizeof(float) * rows * (columns ? columns : 1));
    end(out, tensor);
}

/* NodeProto: input 1, output 2, name 3, op_type 4, attribute 5; AttributeProto: name 1, i 3, type 20 (INT 2).
 */
static void put_node(bytes *out, const char *op, const char *const inputs[3], const char *output, const char *flag)
{
    const size_t node = begin(out, 1);
    for (uint32_t i = 0; i < 3 && inputs[i]; i++) put_text(out, 1, inputs[i]);
    put_text(out, 2, output);
    put_text(out, 3, output);
    put_text(out, 4, op);
    if (flag) {
        const size_t attribute = begin(out, 5);
        put_text(out, 1, flag);
        put_int(out, 3, 1);
        put_int(out, 20, 2);
        end(out, attribute);
    }
    end(out, node);
}

/* ValueInfoProto: name 1, type 2 / tensor_type 1 / {elem_type 1, shape 2 / dim 1 / {dim_value 1, dim_param
 * 2}}. */
static void put_value(bytes *out, uint32_t field, const char *name, uint32_t width)
{
    const size_t value = begin(out, field);
    put_text(out, 1, name);
    const size_t type = begin(out, 2), tensor = begin(out, 1);
    put_int(out, 1, 1);
    const size_t shape = begin(out, 2);
    size_t dim = begin(out, 1);
    put_text(out, 2, "N");
    end(out, dim);
    dim = begin(out, 1);
    put_int(out, 1, width);
    end(out, dim);
    end(out, shape);
    end(out, tensor);
    end(out, type);
    end(out, value);
}

static void put_layers(bytes *out, const mlp_spec *spec, const mlp_weights *weights)
{
    char input[32] = ONNX_INPUT, weight[32], bias[32], gemm[32], output[32];
    for (uint32_t l = 0; l < spec->layers; l++) {
        const bool last = l + 1 == spec->layers;
        snprintf(weight, sizeof weight, "layer%u.weight", l);
        snprintf(bias, sizeof bias, "layer%u.bias", l);
        snprintf(gemm, sizeof gemm, "gemm%u", l);
        snprintf(output, sizeof output, "active%u", l);
        if (last) strcpy(output, ONNX_OUTPUT);
        put_node(out, "Gemm", (const char *const[3]){input, weight, bias}, gemm, "transB");
        put_node(out, last ? "Sigmoid" : "Relu", (const char *const[3]){gemm, NULL, NULL}, output, NULL);
        strcpy(input, output);
    }
    for (uint32_t l = 0; l < spec->layers; l++) {
        snprintf(weight, sizeof weight, "layer%u.weight", l);
        snprintf(bias, sizeof bias, "layer%u.bias", l);
        put_tensor(out, weight, weights->weight[l], spec->widths[l + 1], spec->widths[l]);
        put_tensor(out, bias, weights->bias[l], spec->widths[l + 1], 0);
    }
}

static bool save(const char *path, bytes *out)
{
    bool done = false;
    FILE *file = out->failed ? NULL : fopen(path, "wbe");
    if (out->failed) errno = ENOMEM;
    if (file) {
        done = fwrite(out->data, 1, out->size, file) == out->size;
        if (fclose(file) != 0) done = false;
    }
    free(out->data);
    return done;
}

/* ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8 / version 2; GraphProto: name 2, input
 * 11, output 12. weights NULL: the trivial model. */
static bool write_model(const char *path, const mlp_spec *spec, const mlp_weights *weights)
{
    bytes out = {0};
    put_int(&out, 1, 8);
    put_text(&out, 2, "stoa bench");
    const size_t graph = begin(&out, 7);
    if (weights) put_layers(&out, spec, weights);
    else put_node(&out, "Relu", (const char *const[3]){ONNX_INPUT, NULL, NULL}, ONNX_OUTPUT, NULL);
    put_text(&out, 2, spec->name);
    put_value(&out, 11, ONNX_INPUT, spec->widths[0]);
    put_value(&out, 12, ONNX_OUTPUT, spec->widths[spec->layers]);
    end(&out, graph);
    const size_t opset = begin(&out, 8);
    put_int(&out, 2, 17);
    end(&out, opset);
    return save(path, &out);
}

bool onnx_write_mlp(const char *path, const mlp_spec *spec, const mlp_weights *weights) { return write_model(path, spec, weights); }

bool onnx_write_trivial(const char *path) { return write_model(path, &(mlp_spec){"trivial", 1, {1, 1}}, NULL); }
