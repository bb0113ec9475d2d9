/* SPDX-License-Identifier: Apache-2.0 */
/* Runs ONNX's node tests on the native engine: model.onnx, test_data_set_0/input_k.pb, output_k.pb.
 *
 *     conformance_onnx_nodes [-v] [FILTER]         STOA_ONNX_TESTDATA names another folder than Debian's
 *
 * These tests know no row axis, so axis 0 of an input is taken as one. Each test is loaded in several forms: all inputs as
 * row tensors, then each input alone as a row tensor with all others as constants (which is how real models have them: a
 * weight, a shape, a list of axes). Every form that the engine accepts must give the expected outputs; a test that it
 * refuses in all forms is counted by reason. Too few tests run is a failure: an empty folder must not pass. STOA_TEST_DEVICE names
 * another device than the host. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/onnx_reader.h"
#include "stoa/memory.h"
#include "stoa/session.h"
#include "unit/device_under_test.h"

#define TESTS_FLOOR 490      /* 496 ran when this was written */
#define INPUTS_MAX 16
#define REASONS_MAX 400
#define SKIPPED 77

/* Compared as |got - expected| <= atol + rtol * |expected|. */
static const struct {
    stoa_dtype dtype;
    double rtol, atol;
} tolerances[] = {
    {STOA_FLOAT16, 2e-3, 1e-4},
    {STOA_BFLOAT16, 1e-2, 1e-3},
    {STOA_FLOAT32, 2e-5, 2e-6},
    {STOA_FLOAT64, 1e-12, 1e-12},
};

typedef struct reason {
    char text[160];
    unsigned count;
} reason;

typedef struct totals {
    unsigned tests, ran, passed, wrong, refused, forms;
    reason reasons[REASONS_MAX];
    unsigned reason_count;
    bool verbose;
} totals;

typedef struct test_case {
    char folder[1024];
    graph_arena arena;
    uint8_t *model;
    size_t model_bytes;
    onnx_model onnx;
    uint32_t input_count, output_count;
    const onnx_value *values[INPUTS_MAX];   /* inputs that are not initializers */
    onnx_tensor inputs[INPUTS_MAX], outputs[INPUTS_MAX];
    uint8_t *files[INPUTS_MAX];             /* the TensorProtos of the inputs */
    size_t file_bytes[INPUTS_MAX];
} test_case;

static uint8_t *read_file(test_case *t, const char *name, size_t *bytes)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", t->folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    uint8_t *data = size >= 0 ? stoai_arena_take(&t->arena, (size_t)size, 1) : NULL;
    *bytes = data ? fread(data, 1, (size_t)size, file) : 0;
    fclose(file);
    return data;
}

static bool read_tensor(test_case *t, const char *kind, uint32_t index, onnx_tensor *tensor, uint8_t **file, size_t *bytes)
{
    char name[64];
    snprintf(name, sizeof name, "test_data_set_0/%s_%u.pb", kind, index);
    *file = read_file(t, name, bytes);
    return *file && stoai_onnx_read_tensor(*file, *bytes, &t->arena, tensor, NULL) == STOA_OK;
}

static bool is_initializer(const onnx_graph *g, const char *name)
{
    for (size_t i = 0; i < g->initializer_count; i++)
        if (strcmp(g->initializers[i].name, name) == 0) return true;
    return false;
}

/* The test data holds bfloat16 as uint16 of the same bits; the model says what they are. */
static void take_type(onnx_tensor *tensor, const onnx_value *value)
{
    if (value->dtype == STOA_BFLOAT16 && tensor->dtype == STOA_UINT16) tensor->dtype = STOA_BFLOAT16;
}

/* Sequences and optionals are not TensorProtos: then the data is useless, and so is the test. */
static const char *read_case(test_case *t)
{
    uint8_t *unused;
    size_t bytes;
    t->model = read_file(t, "model.onnx", &t->model_bytes);
    if (!t->model || stoai_onnx_read(t->model, t->model_bytes, &t->arena, &t->onnx, NULL) != STOA_OK) return "model.onnx cannot be read";
    const onnx_graph *g = &t->onnx.graph;
    for (size_t i = 0; i < g->input_count; i++) {
        if (is_initializer(g, g->inputs[i].name)) continue;
        if (t->input_count == INPUTS_MAX) return "more inputs than this program takes";
        if (!g->inputs[i].is_tensor) return "an input is not a tensor";
        const uint32_t k = t->input_count++;
        t->values[k] = &g->inputs[i];
        if (!read_tensor(t, "input", k, &t->inputs[k], &t->files[k], &t->file_bytes[k])) return "input data cannot be read";
        take_type(&t->inputs[k], t->values[k]);
    }
    for (size_t i = 0; i < g->output_count; i++) {
        if (i == INPUTS_MAX) return "more outputs than this program takes";
        if (!g->outputs[i].is_tensor) return "an output is not a tensor";
        if (!read_tensor(t, "output", t->output_count, &t->outputs[t->output_count], &unused, &bytes)) return "output data cannot be read";
        take_type(&t->outputs[t->output_count++], &g->outputs[i]);
    }
    return NULL;
}

/* ---- forms ------------------------------------------------------------------------------------------------------------ */

static size_t put_varint(uint8_t *to, uint64_t value)
{
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7) to[bytes++] = (uint8_t)(value | 0x80);
    to[bytes++] = (uint8_t)value;
    return bytes;
}

/* Appends `graph { initializer: <the input's data> }`: a message field that comes twice is merged. Type and name come last, so
 * they replace whatever the data file says. */
static size_t append_constant(const test_case *t, uint32_t k, uint8_t *to)
{
    uint8_t name[16], tensor[16], graph[16];
    const size_t length = strlen(t->values[k]->name);
    name[0] = 2 << 3, name[1] = (uint8_t)t->values[k]->onnx_type, name[2] = 8 << 3 | 2;
    const size_t name_head = 3 + put_varint(name + 3, length);
    const size_t tensor_bytes = t->file_bytes[k] + name_head + length;
    const size_t tensor_head = 1 + put_varint(tensor + 1, tensor_bytes), graph_head = 1 + put_varint(graph + 1, tensor_head + tensor_bytes);
    tensor[0] = 5 << 3 | 2, graph[0] = 7 << 3 | 2;
    size_t at = 0;
    memcpy(to, graph, graph_head), at += graph_head;
    memcpy(to + at, tensor, tensor_head), at += tensor_head;
    memcpy(to + at, t->files[k], t->file_bytes[k]), at += t->file_bytes[k];
    memcpy(to + at, name, name_head), at += name_head;
    memcpy(to + at, t->values[k]->name, length);
    return at + length;
}

/* The model with all inputs constant but number `rows` (-1: none constant). */
static stoa_status load_form(test_case *t, int rows, stoa_model **model, stoa_error *err)
{
    size_t capacity = t->model_bytes;
    for (uint32_t k = 0; k < t->input_count; k++) capacity += t->file_bytes[k] + strlen(t->values[k]->name) + 64;
    uint8_t *bytes = stoai_arena_take(&t->arena, capacity, 1);
    memcpy(bytes, t->model, t->model_bytes);
    size_t used = t->model_bytes;
    for (uint32_t k = 0; rows >= 0 && k < t->input_count; k++)
        if (k != (uint32_t)rows) used += append_constant(t, k, bytes + used);
    stoa_model_options options = STOA_MODEL_OPTIONS_INIT;
    options.runtime = "native";
    return stoa_model_load_memory(bytes, used, &options, model, err);
}

/* ---- comparison -------------------------------------------------------------------------------------------------------- */

static double value_at(const void *data, stoa_dtype dtype, size_t i)
{
    switch ((int)dtype) {
    case STOA_FLOAT32: return (double)((const float *)data)[i];
    case STOA_FLOAT64: return ((const double *)data)[i];
    case STOA_FLOAT16: return (double)stoa_half_to_float(((const stoa_half *)data)[i]);
    case STOA_BFLOAT16: return (double)stoa_bfloat16_to_float(((const stoa_bfloat16 *)data)[i]);
    case STOA_INT8: return ((const int8_t *)data)[i];
    case STOA_INT16: return ((const int16_t *)data)[i];
    case STOA_INT32: return ((const int32_t *)data)[i];
    case STOA_INT64: return (double)((const int64_t *)data)[i];
    case STOA_UINT16: return ((const uint16_t *)data)[i];
    case STOA_UINT32: return ((const uint32_t *)data)[i];
    case STOA_UINT64: return (double)((const uint64_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

static bool agrees(double got, double expected, stoa_dtype dtype)
{
    if (isnan(expected) || isinf(expected)) return isnan(expected) ? isnan(got) : got == expected;
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++)
        if (tolerances[i].dtype == dtype) return fabs(got - expected) <= tolerances[i].atol + tolerances[i].rtol * fabs(expected);
    return got == expected;
}

static bool compare(const test_case *t, uint32_t index, const stoa_tensor_schema *schema, const void *got, uint32_t rows)
{
    const onnx_tensor *expected = &t->outputs[index];
    if (schema->dtype != expected->dtype || (size_t)schema->width * rows != expected->count) {
        printf("  output %u: %s of %u x %u given, %s of %zu expected\n", index, stoa_dtype_name(schema->dtype), rows, schema->width,
               stoa_dtype_name(expected->dtype), expected->count);
        return false;
    }
    size_t wrong = 0, first = 0;
    for (size_t i = 0; i < expected->count; i++)
        if (!agrees(value_at(got, schema->dtype, i), value_at(expected->data, schema->dtype, i), schema->dtype) && wrong++ == 0) first = i;
    if (wrong)
        printf("  output %u: %zu of %zu wrong, first at %zu: %.9g given, %.9g expected\n", index, wrong, expected->count, first,
               value_at(got, schema->dtype, first), value_at(expected->data, schema->dtype, first));
    return wrong == 0;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

/* Memory of a run's tensors, which the device's work and this program both can use. */
typedef struct memory {
    stoa_buffer *buffers[2 * INPUTS_MAX];
    uint32_t count;
} memory;

/* One column for each value of a row of [rows, width], in memory of its own; `data` NULL: an output. */
static stoa_tensor make_columns(test_case *t, memory *m, const void *data, stoa_dtype dtype, uint32_t rows, uint32_t width,
                                stoa_queue *queue)
{
    const size_t element = stoa_dtype_bytes(dtype), bytes = (size_t)rows * width * element;
    stoa_column *columns = stoai_arena_take(&t->arena, width, sizeof *columns);
    stoa_buffer *buffer = m->buffers[m->count++] = make_shared(queue, bytes + 64);
    char *at = stoa_buffer_data(buffer);
    if (data) memcpy(at, data, bytes);
    for (uint32_t i = 0; i < width; i++, at += element) {
        columns[i] = stoa_column_over_const(at, dtype, rows, width, stoa_buffer_place(buffer));
        if (!data) columns[i].flags = 0;
    }
    return stoa_tensor_of(columns, width);
}

static bool run_form(test_case *t, const stoa_model *model, stoa_queue *queue)
{
    const stoa_schema *schema = stoa_model_schema(model);
    stoa_session *session = NULL;
    stoa_error err;
    const void *results[INPUTS_MAX];
    memory m = {.count = 0};
    uint32_t rows = 0;
    bool good = schema->output_count == t->output_count;
    for (uint32_t k = 0; k < t->input_count; k++)
        if (strcmp(t->values[k]->name, schema->inputs[0].name) == 0) rows = t->inputs[k].dims[0];
    if (stoa_session_create(model, queue, rows, NULL, &session, &err) != STOA_OK) {
        printf("  session: %s\n", err.message);
        return false;
    }
    for (uint32_t i = 0; i < schema->input_count && good; i++)
        for (uint32_t k = 0; k < t->input_count; k++) {
            if (strcmp(t->values[k]->name, schema->inputs[i].name) != 0) continue;
            const stoa_tensor x = make_columns(t, &m, t->inputs[k].data, t->inputs[k].dtype, rows, schema->inputs[i].width, queue);
            good = stoa_session_bind(session, schema->inputs[i].name, x, &err) == STOA_OK;
        }
    for (uint32_t i = 0; i < schema->output_count && good; i++) {
        const stoa_tensor_schema *o = &schema->outputs[i];
        const stoa_tensor y = make_columns(t, &m, NULL, o->dtype, rows, o->width, queue);
        results[i] = y.columns[0].data;
        good = stoa_session_bind(session, o->name, y, &err) == STOA_OK;
    }
    good = good && stoa_session_run(session, rows, &err) == STOA_OK;
    if (!good) printf("  session: %s\n", err.message);
    for (uint32_t i = 0; i < schema->output_count && good; i++) good = compare(t, i, &schema->outputs[i], results[i], rows);
    stoa_session_destroy(session);
    while (m.count > 0) stoa_buffer_release(m.buffers[--m.count]);
    return good;
}

/* Reasons without the node's name and without numbers are few. */
static void count_reason(totals *all, const char *message)
{
    char text[160];
    size_t to = 0;
    const char *from = strstr(message, " (");
    for (from = from ? from + 1 : message; *from && to + 1 < sizeof text; from++)
        if (!(*from >= '0' && *from <= '9')) text[to++] = *from;
    text[to] = 0;
    for (unsigned i = 0; i < all->reason_count; i++)
        if (strcmp(all->reasons[i].text, text) == 0) {
            all->reasons[i].count++;
            return;
        }
    if (all->reason_count == REASONS_MAX) return;
    snprintf(all->reasons[all->reason_count].text, sizeof text, "%s", text);
    all->reasons[all->reason_count++].count = 1;
}

static void run_case(totals *all, const char *folder, const char *name, stoa_queue *queue)
{
    test_case t = {.onnx = {0}};
    stoa_error err = {.message = ""};
    char why[sizeof err.message] = "";
    bool ran = false, good = true;
    snprintf(t.folder, sizeof t.folder, "%s/%s", folder, name);
    const char *unreadable = read_case(&t);
    all->tests++;
    for (int rows = -1; !unreadable && rows < (int)t.input_count; rows++) {
        stoa_model *model = NULL;
        if (rows >= 0 && t.input_count == 1) break;
        if (load_form(&t, rows, &model, &err) != STOA_OK) {
            if (err.status != STOA_ENOTSUP && err.status != STOA_EFORMAT) printf("  %s: %s\n", name, err.message), good = false;
            if (rows <= 0) memcpy(why, err.message, sizeof why);
            continue;
        }
        ran = true;
        all->forms++;
        const bool right = run_form(&t, model, queue);
        if (!right) printf("WRONG %s, rows in %s\n", name, rows < 0 ? "all inputs" : t.values[rows]->name);
        good = good && right;
        stoa_model_destroy(model);
    }
    all->ran += ran;
    all->passed += ran && good;
    all->wrong += !good;
    all->refused += !ran;
    if (!ran) count_reason(all, unreadable ? unreadable : why);
    if (all->verbose) printf("%s %s: %s\n", ran ? good ? "ok     " : "WRONG  " : "refused", name, ran ? "" : unreadable ? unreadable : why);
    stoai_arena_release(&t.arena);
}

static int compare_reasons(const void *a, const void *b)
{
    const unsigned left = ((const reason *)a)->count, right = ((const reason *)b)->count;
    return left < right ? 1 : left > right ? -1 : strcmp(((const reason *)a)->text, ((const reason *)b)->text);
}

static bool run_folder(totals *all, const char *folder, const char *filter, stoa_queue *queue)
{
    struct dirent **entries;
    const int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && (!filter || strstr(entries[i]->d_name, filter)))
            run_case(all, folder, entries[i]->d_name, queue);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return count >= 0;
}

int main(int argc, char **argv)
{
    static totals all;
    const char *root = getenv("STOA_ONNX_TESTDATA"), *filter = NULL;
    static const char *const folders[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};
    char folder[500];
    bool found = false;
    stoa_device *device;
    stoa_queue *queue;
    stoa_error err;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-v") == 0) all.verbose = true;
        else filter = argv[i];
    if (!root) root = "/usr/share/libonnx-testdata/data";
    require_device();
    if (stoa_device_open(device_under_test(), &device, &err) != STOA_OK ||
        stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err) != STOA_OK)
        return printf("%s\n", err.message), 1;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(folder, sizeof folder, "%s/%s", root, folders[i]);
        found |= run_folder(&all, folder, filter, queue);
    }
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    if (!found) return printf("SKIP: no ONNX tests in '%s' (Debian: libonnx-testdata; or set STOA_ONNX_TESTDATA)\n", root), SKIPPED;
    qsort(all.reasons, all.reason_count, sizeof *all.reasons, compare_reasons);
    for (unsigned i = 0; i < all.reason_count; i++) printf("refused %4u  %s\n", all.reasons[i].count, all.reasons[i].text);
    printf("%u tests: %u run in %u forms, %u passed, %u wrong, %u refused\n", all.tests, all.ran, all.forms, all.passed, all.wrong,
           all.refused);
    if (!filter && all.ran < TESTS_FLOOR) printf("FAILED: %u tests ran, at least %d expected\n", all.ran, TESTS_FLOOR);
    return all.wrong || (!filter && all.ran < TESTS_FLOOR) ? 1 : 0;
}
