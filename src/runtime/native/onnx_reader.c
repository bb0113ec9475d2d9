/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/onnx_reader.h"

#include <string.h>

#define NODES_MAX ((size_t)1 << 20)

/* One message being read: [at, end) of the file. */
typedef struct span {
    const uint8_t *file;
    size_t at, end;
} span;

typedef struct field {
    uint32_t number, wire;
    uint64_t value;   /* wire 0, 1, 5 */
    span bytes;       /* wire 2 */
    size_t offset;    /* of the tag */
} field;

typedef struct reader {
    graph_arena *arena;
    stoa_error *err;
} reader;

#define NO_MEMORY(r) STOA_FAIL((r)->err, STOA_ENOMEM, "ONNX file: no memory for its graph")

static const stoa_dtype dtype_of_onnx[] = {STOA_DTYPE_NONE, STOA_FLOAT32, STOA_UINT8,
                                           STOA_INT8,       STOA_UINT16,  STOA_INT16,
                                           STOA_INT32,      STOA_INT64,   STOA_DTYPE_NONE /* string */,
                                           STOA_BOOL,       STOA_FLOAT16, STOA_FLOAT64,
                                           STOA_UINT32,     STOA_UINT64,  STOA_COMPLEX64,
                                           STOA_COMPLEX128, STOA_BFLOAT16};

stoa_dtype stoai_onnx_dtype(int32_t onnx_type)
{
    const size_t count = sizeof dtype_of_onnx / sizeof *dtype_of_onnx;
    return onnx_type >= 0 && (size_t)onnx_type < count ? dtype_of_onnx[onnx_type] : STOA_DTYPE_NONE;
}

/* ---- the wire format ---------------------------------------------------------------------------------------------- */

static stoa_status read_varint(reader *r, span *s, uint64_t *value)
{
    const size_t start = s->at;
    *value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        if (s->at >= s->end) return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: number cut off at byte %zu", start);
        const uint8_t byte = s->file[s->at++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return STOA_OK;
    }
    return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: number longer than 10 bytes at byte %zu", start);
}

static stoa_status read_fixed(reader *r, span *s, size_t bytes, uint64_t *value)
{
    if (s->end - s->at < bytes)
        return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: %zu bytes needed at byte %zu, %zu left", bytes, s->at, s->end - s->at);
    *value = 0;
    for (size_t i = 0; i < bytes; i++) *value |= (uint64_t)s->file[s->at + i] << (8 * i);
    s->at += bytes;
    return STOA_OK;
}

static stoa_status read_field(reader *r, span *s, field *f)
{
    uint64_t tag, length;
    *f = (field){.offset = s->at};
    STOA_TRY(read_varint(r, s, &tag));
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: field number %llu at byte %zu", (unsigned long long)(tag >> 3), f->offset);
    f->number = (uint32_t)(tag >> 3);
    f->wire = (uint32_t)(tag & 7);
    switch (f->wire) {
    case 0: return read_varint(r, s, &f->value);
    case 1: return read_fixed(r, s, 8, &f->value);
    case 5: return read_fixed(r, s, 4, &f->value);
    case 2:
        STOA_TRY(read_varint(r, s, &length));
        if (length > s->end - s->at)
            return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: field %u at byte %zu: %llu bytes long, %zu left", f->number, f->offset,
                             (unsigned long long)length, s->end - s->at);
        f->bytes = (span){s->file, s->at, s->at + (size_t)length};
        s->at += (size_t)length;
        return STOA_OK;
    default: return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: wire type %u of field %u at byte %zu", f->wire, f->number, f->offset);
    }
}

static stoa_status expect_wire(reader *r, const field *f, uint32_t wire, const char *what)
{
    if (f->wire == wire) return STOA_OK;
    return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: %s at byte %zu: wire type %u given, %u needed", what, f->offset, f->wire, wire);
}

static stoa_status read_string(reader *r, const field *f, const char *what, const char **text)
{
    STOA_TRY(expect_wire(r, f, 2, what));
    const size_t bytes = f->bytes.end - f->bytes.at;
    if (bytes && memchr(f->bytes.file + f->bytes.at, 0, bytes))
        return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: %s at byte %zu: zero byte in a name", what, f->offset);
    char *copy = stoai_arena_take(r->arena, bytes + 1, 1);
    if (!copy) return NO_MEMORY(r);
    if (bytes) memcpy(copy, f->bytes.file + f->bytes.at, bytes);
    *text = copy;
    return STOA_OK;
}

/* How often each field below `limit` occurs in a message; packed numbers count by `element_bytes` elsewhere. */
static stoa_status count_fields(reader *r, span s, size_t *counts, uint32_t limit)
{
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number < limit) counts[f.number]++;
    }
    return STOA_OK;
}

/* ---- repeated numbers, packed or one by one ------------------------------------------------------------------------ */

/* Where numbers go: `wire` 0 varints, 1 and 5 fixed; each is cut to `bytes` bytes, little end first. */
typedef struct numbers {
    uint32_t number, wire;
    size_t bytes, capacity, count;
    uint8_t *out;
} numbers;

static stoa_status put_number(reader *r, numbers *n, uint64_t value, size_t offset)
{
    if (n->count == n->capacity)
        return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: more than %zu numbers in the list at byte %zu", n->capacity, offset);
    memcpy(n->out + n->count++ * n->bytes, &value, n->bytes); /* little endian, as all that Stoa builds for */
    return STOA_OK;
}

static stoa_status read_numbers(reader *r, const field *f, numbers *n)
{
    if (f->wire == n->wire) return put_number(r, n, f->value, f->offset);
    STOA_TRY(expect_wire(r, f, 2, "list of numbers"));
    for (span s = f->bytes; s.at < s.end;) {
        uint64_t value;
        STOA_TRY(n->wire == 0 ? read_varint(r, &s, &value) : read_fixed(r, &s, n->wire == 1 ? 8 : 4, &value));
        STOA_TRY(put_number(r, n, value, f->offset));
    }
    return STOA_OK;
}

/* All numbers of field `number` in the message; at most one a byte, so the room for them follows from the file's size. */
static stoa_status gather_numbers(reader *r, span s, numbers *n)
{
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == n->number) STOA_TRY(read_numbers(r, &f, n));
    }
    return STOA_OK;
}

/* Upper bound of the numbers of a field: its bytes. */
static stoa_status bound_numbers(reader *r, span s, uint32_t number, size_t *bound)
{
    field f;
    *bound = 0;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == number) *bound += f.wire == 2 ? f.bytes.end - f.bytes.at : 1;
    }
    return STOA_OK;
}

/* ---- TensorProto ---------------------------------------------------------------------------------------------------- */

enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_SEGMENT = 3, TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14 };

/* Which typed field holds which type: float_data, int32_data, int64_data, double_data, uint64_data. */
static void typed_field(stoa_dtype dtype, uint32_t *number, uint32_t *wire)
{
    *wire = 0;
    switch (dtype) {
    case STOA_FLOAT32: *number = 4, *wire = 5; break;
    case STOA_FLOAT64: *number = 10, *wire = 1; break;
    case STOA_INT64: *number = 7; break;
    case STOA_UINT32:
    case STOA_UINT64: *number = 11; break;
    case STOA_COMPLEX64:
    case STOA_COMPLEX128:
    case STOA_DTYPE_NONE: *number = 0; break;
    default: *number = 5; break;
    }
}

static stoa_status tensor_header(reader *r, span s, onnx_tensor *t, span *raw)
{
    numbers dims = {TENSOR_DIMS, 0, sizeof(int64_t), ONNX_RANK_MAX, 0, NULL};
    int64_t extents[ONNX_RANK_MAX] = {0};
    dims.out = (uint8_t *)extents;
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        switch (f.number) {
        case TENSOR_DIMS: STOA_TRY(read_numbers(r, &f, &dims)); break;
        case TENSOR_TYPE:
            STOA_TRY(expect_wire(r, &f, 0, "tensor type"));
            t->onnx_type = (int32_t)f.value;
            break;
        case TENSOR_NAME: STOA_TRY(read_string(r, &f, "tensor name", &t->name)); break;
        case TENSOR_RAW:
            STOA_TRY(expect_wire(r, &f, 2, "raw data"));
            *raw = f.bytes;
            break;
        case TENSOR_EXTERNAL: t->external = true; break;
        case TENSOR_LOCATION: t->external |= f.value == 1; break;
        case TENSOR_SEGMENT: return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: tensor in segments at byte %zu", f.offset);
        default: break;
        }
    }
    t->rank = (uint32_t)dims.count;
    t->count = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (extents[i] < 0 || extents[i] > INT32_MAX || (extents[i] && t->count > SIZE_MAX / 64 / (size_t)extents[i]))
            return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: tensor '%s' at byte %zu: dimension %u is %lld", t->name, t->offset, i,
                             (long long)extents[i]);
        t->dims[i] = (uint32_t)extents[i];
        t->count *= (size_t)extents[i];
    }
    t->dtype = stoai_onnx_dtype(t->onnx_type);
    return STOA_OK;
}

static stoa_status tensor_mismatch(reader *r, const onnx_tensor *t, size_t given, size_t needed, const char *unit)
{
    return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: tensor '%s' at byte %zu: %zu %s given, %zu needed", t->name, t->offset, given, unit,
                     needed);
}

static stoa_status tensor_typed(reader *r, span s, onnx_tensor *t)
{
    numbers n = {.bytes = stoa_dtype_bytes(t->dtype), .capacity = t->count};
    size_t bound;
    typed_field(t->dtype, &n.number, &n.wire);
    STOA_TRY(bound_numbers(r, s, n.number, &bound));
    if (bound < t->count) return tensor_mismatch(r, t, bound, t->count, "bytes, values");
    if (!(n.out = stoai_arena_take(r->arena, t->count, n.bytes))) return NO_MEMORY(r);
    STOA_TRY(gather_numbers(r, s, &n));
    if (n.count != t->count) return tensor_mismatch(r, t, n.count, t->count, "values");
    t->data = n.out;
    return STOA_OK;
}

static stoa_status read_tensor(reader *r, span s, onnx_tensor *t)
{
    span raw = {0};
    *t = (onnx_tensor){.name = "", .offset = s.at};
    STOA_TRY(tensor_header(r, s, t, &raw));
    if (t->external || t->dtype == STOA_DTYPE_NONE || t->dtype == STOA_COMPLEX64 || t->dtype == STOA_COMPLEX128) return STOA_OK;
    if (!raw.file) return tensor_typed(r, s, t);
    const size_t needed = t->count * stoa_dtype_bytes(t->dtype), given = raw.end - raw.at;
    if (needed != given) return tensor_mismatch(r, t, given, needed, "bytes");
    void *data = stoai_arena_take(r->arena, given, 1);
    if (!data) return NO_MEMORY(r);
    if (given) memcpy(data, raw.file + raw.at, given);
    for (size_t i = 0; t->dtype == STOA_BOOL && i < t->count; i++) /* a C bool of 2 would be undefined */
        ((uint8_t *)data)[i] = ((uint8_t *)data)[i] != 0;
    t->data = data;
    return STOA_OK;
}

/* ---- AttributeProto, NodeProto ---------------------------------------------------------------------------------------- */

static stoa_status read_list(reader *r, span s, uint32_t number, onnx_attribute *a)
{
    numbers n = {.number = number, .wire = number == 7 ? 5 : 0, .bytes = number == 7 ? sizeof(float) : sizeof(int64_t)};
    STOA_TRY(bound_numbers(r, s, number, &n.capacity));
    if (!(n.out = stoai_arena_take(r->arena, n.capacity, n.bytes))) return NO_MEMORY(r);
    STOA_TRY(gather_numbers(r, s, &n));
    a->count = n.count;
    if (number == 7) a->reals = (float *)(void *)n.out;
    else a->integers = (int64_t *)(void *)n.out;
    return STOA_OK;
}

static stoa_status read_attribute(reader *r, span s, onnx_attribute *a)
{
    const span whole = s;
    uint32_t bits, list = 0;
    onnx_attribute_type seen = ONNX_ATTRIBUTE_NONE;
    field f;
    *a = (onnx_attribute){.name = "", .string = ""};
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        switch (f.number) {
        case 1: STOA_TRY(read_string(r, &f, "attribute name", &a->name)); break;
        case 2:
            STOA_TRY(expect_wire(r, &f, 5, "float attribute"));
            bits = (uint32_t)f.value;
            memcpy(&a->real, &bits, sizeof bits);
            seen = ONNX_ATTRIBUTE_FLOAT;
            break;
        case 3:
            STOA_TRY(expect_wire(r, &f, 0, "int attribute"));
            a->integer = (int64_t)f.value;
            seen = ONNX_ATTRIBUTE_INT;
            break;
        case 4:
            STOA_TRY(read_string(r, &f, "string attribute", &a->string));
            seen = ONNX_ATTRIBUTE_STRING;
            break;
        case 5:
            STOA_TRY(expect_wire(r, &f, 2, "tensor attribute"));
            if (!(a->tensor = stoai_arena_take(r->arena, 1, sizeof *a->tensor))) return NO_MEMORY(r);
            STOA_TRY(read_tensor(r, f.bytes, a->tensor));
            seen = ONNX_ATTRIBUTE_TENSOR;
            break;
        case 6:
        case 11: seen = ONNX_ATTRIBUTE_GRAPH; break;
        case 7:
        case 8:
            list = f.number;
            seen = f.number == 7 ? ONNX_ATTRIBUTE_FLOATS : ONNX_ATTRIBUTE_INTS;
            break;
        case 20:
            STOA_TRY(expect_wire(r, &f, 0, "attribute type"));
            a->type = f.value < ONNX_ATTRIBUTE_OTHER ? (onnx_attribute_type)f.value : ONNX_ATTRIBUTE_OTHER;
            break;
        default: break;
        }
    }
    if (list) STOA_TRY(read_list(r, whole, list, a));
    /* An empty list, a zero and an empty string need not be in the file: then the type alone tells. */
    if (a->type == ONNX_ATTRIBUTE_NONE) a->type = seen;
    if (a->type == ONNX_ATTRIBUTE_TENSOR && !a->tensor)
        return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: attribute '%s' at byte %zu has no tensor", a->name, whole.at);
    if ((a->type == ONNX_ATTRIBUTE_FLOATS && !a->reals) || (a->type == ONNX_ATTRIBUTE_INTS && !a->integers)) a->count = 0;
    return STOA_OK;
}

static stoa_status read_node(reader *r, span s, onnx_node *node)
{
    size_t counts[8] = {0};
    STOA_TRY(count_fields(r, s, counts, 8));
    *node = (onnx_node){.name = "", .op = "", .domain = "", .offset = s.at};
    node->inputs = stoai_arena_take(r->arena, counts[1], sizeof *node->inputs);
    node->outputs = stoai_arena_take(r->arena, counts[2], sizeof *node->outputs);
    node->attributes = stoai_arena_take(r->arena, counts[5], sizeof *node->attributes);
    if (!node->inputs || !node->outputs || !node->attributes) return NO_MEMORY(r);
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        switch (f.number) {
        case 1: STOA_TRY(read_string(r, &f, "node input", &node->inputs[node->input_count++])); break;
        case 2: STOA_TRY(read_string(r, &f, "node output", &node->outputs[node->output_count++])); break;
        case 3: STOA_TRY(read_string(r, &f, "node name", &node->name)); break;
        case 4: STOA_TRY(read_string(r, &f, "operator", &node->op)); break;
        case 5:
            STOA_TRY(expect_wire(r, &f, 2, "attribute"));
            STOA_TRY(read_attribute(r, f.bytes, &node->attributes[node->attribute_count++]));
            break;
        case 7: STOA_TRY(read_string(r, &f, "operator domain", &node->domain)); break;
        default: break;
        }
    }
    if (!node->op[0]) return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: node at byte %zu has no operator", node->offset);
    return STOA_OK;
}

/* ---- ValueInfoProto ------------------------------------------------------------------------------------------------------ */

static stoa_status read_dimension(reader *r, span s, onnx_value *v)
{
    if (v->rank == ONNX_RANK_MAX)
        return STOA_FAIL(r->err, STOA_ELIMIT, "ONNX file: '%s' at byte %zu has more than %d dimensions", v->name, s.at, ONNX_RANK_MAX);
    const uint32_t axis = v->rank++;
    v->dims[axis] = -1;
    v->params[axis] = "";
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == 1) {
            STOA_TRY(expect_wire(r, &f, 0, "dimension"));
            v->dims[axis] = (int64_t)f.value;
            if (v->dims[axis] < 0 || v->dims[axis] > INT32_MAX)
                return STOA_FAIL(r->err, STOA_EFORMAT, "ONNX file: '%s' at byte %zu: dimension %u is %lld", v->name, f.offset, axis,
                                 (long long)v->dims[axis]);
        } else if (f.number == 2) {
            STOA_TRY(read_string(r, &f, "dimension symbol", &v->params[axis]));
        }
    }
    return STOA_OK;
}

static stoa_status read_tensor_type(reader *r, span s, onnx_value *v)
{
    field f, d;
    v->is_tensor = true;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == 1) {
            STOA_TRY(expect_wire(r, &f, 0, "element type"));
            v->onnx_type = (int32_t)f.value;
            v->dtype = stoai_onnx_dtype(v->onnx_type);
        } else if (f.number == 2) {
            STOA_TRY(expect_wire(r, &f, 2, "shape"));
            v->has_shape = true;
            for (span shape = f.bytes; shape.at < shape.end;) {
                STOA_TRY(read_field(r, &shape, &d));
                if (d.number != 1) continue;
                STOA_TRY(expect_wire(r, &d, 2, "dimension"));
                STOA_TRY(read_dimension(r, d.bytes, v));
            }
        }
    }
    return STOA_OK;
}

static stoa_status read_value(reader *r, span s, onnx_value *v)
{
    field f, t;
    *v = (onnx_value){.name = ""};
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == 1) STOA_TRY(read_string(r, &f, "value name", &v->name));
        if (f.number != 2) continue;
        STOA_TRY(expect_wire(r, &f, 2, "value type"));
        for (span type = f.bytes; type.at < type.end;) {
            STOA_TRY(read_field(r, &type, &t));
            if (t.number != 1) continue; /* sequences, maps, optionals: is_tensor stays false */
            STOA_TRY(expect_wire(r, &t, 2, "tensor type"));
            STOA_TRY(read_tensor_type(r, t.bytes, v));
        }
    }
    return STOA_OK;
}

/* ---- GraphProto, ModelProto ------------------------------------------------------------------------------------------------ */

/* Makes room for one more element of a list of the graph. */
#define GROW(r, list, count, capacity) \
    do { \
        void *moved_ = stoai_arena_grow((r)->arena, (list), (count), &(capacity), sizeof *(list)); \
        if (!moved_) return NO_MEMORY(r); \
        (list) = moved_; \
    } while (0)

static stoa_status read_graph_field(reader *r, const field *f, onnx_graph *g)
{
    switch (f->number) {
    case 1:
        if (g->node_count == NODES_MAX) return STOA_FAIL(r->err, STOA_ELIMIT, "ONNX file: more than %zu nodes", NODES_MAX);
        GROW(r, g->nodes, g->node_count, g->node_capacity);
        return read_node(r, f->bytes, &g->nodes[g->node_count++]);
    case 5:
        GROW(r, g->initializers, g->initializer_count, g->initializer_capacity);
        return read_tensor(r, f->bytes, &g->initializers[g->initializer_count++]);
    case 11: GROW(r, g->inputs, g->input_count, g->input_capacity); return read_value(r, f->bytes, &g->inputs[g->input_count++]);
    case 12: GROW(r, g->outputs, g->output_count, g->output_capacity); return read_value(r, f->bytes, &g->outputs[g->output_count++]);
    default: g->sparse_count += f->number == 15; return STOA_OK;
    }
}

static stoa_status read_graph(reader *r, span s, onnx_graph *g)
{
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == 2) {
            STOA_TRY(read_string(r, &f, "graph name", &g->name));
        } else if (f.number == 1 || f.number == 5 || f.number == 11 || f.number == 12 || f.number == 15) {
            STOA_TRY(expect_wire(r, &f, 2, "part of the graph"));
            STOA_TRY(read_graph_field(r, &f, g));
        }
    }
    return STOA_OK;
}

static stoa_status read_opset(reader *r, span s, onnx_model *model)
{
    const char *domain = "";
    int64_t version = 0;
    field f;
    while (s.at < s.end) {
        STOA_TRY(read_field(r, &s, &f));
        if (f.number == 1) STOA_TRY(read_string(r, &f, "domain", &domain));
        if (f.number == 2) {
            STOA_TRY(expect_wire(r, &f, 0, "opset version"));
            version = (int64_t)f.value;
        }
    }
    if (!domain[0] || strcmp(domain, "ai.onnx") == 0) model->opset = version;
    return STOA_OK;
}

stoa_status stoai_onnx_read(const void *data, size_t bytes, graph_arena *arena, onnx_model *model, stoa_error *err)
{
    reader r = {arena, err};
    span s = {data, 0, bytes};
    bool found = false;
    field f;
    *model = (onnx_model){.graph.name = ""};
    while (s.at < s.end) {
        STOA_TRY(read_field(&r, &s, &f));
        switch (f.number) {
        case 1:
            STOA_TRY(expect_wire(&r, &f, 0, "IR version"));
            model->ir_version = (int64_t)f.value;
            break;
        case 7: /* a message field that comes twice is merged, as protobuf has it */
            STOA_TRY(expect_wire(&r, &f, 2, "graph"));
            STOA_TRY(read_graph(&r, f.bytes, &model->graph));
            found = true;
            break;
        case 8:
            STOA_TRY(expect_wire(&r, &f, 2, "opset"));
            STOA_TRY(read_opset(&r, f.bytes, model));
            break;
        case 25: model->function_count++; break;
        default: break;
        }
    }
    if (!found) return STOA_FAIL(err, STOA_EFORMAT, "ONNX file: no graph in %zu bytes", bytes);
    if (!model->opset) model->opset = 1;
    return STOA_OK;
}

stoa_status stoai_onnx_read_tensor(const void *data, size_t bytes, graph_arena *arena, onnx_tensor *tensor, stoa_error *err)
{
    reader r = {arena, err};
    return read_tensor(&r, (span){data, 0, bytes}, tensor);
}
