/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/struct_size.h"
#include "model/registry.h"
#include "stoa/memory.h"

static stoa_status choose_runtime(const char *path, const stoa_model_options *options, const stoa_runtime_api **api, stoa_error *err)
{
    if (options && options->runtime && strcmp(options->runtime, "auto") != 0) return stoa_runtime_find(options->runtime, api, err);
    if (!path) return STOA_FAIL(err, STOA_EINVAL, "model in memory: options.runtime must name a runtime");
    const char *extension = strrchr(path, '.');
    const char *name = extension ? stoai_runtime_of_extension(extension) : NULL;
    if (name) return stoa_runtime_find(name, api, err);
    *api = NULL;
    return STOA_FAIL(err, STOA_ENOTSUP, "model '%s': no runtime of this build reads '%s' files", path, extension ? extension : "");
}

static stoa_status check_options(const stoa_model_options *options, stoa_error *err)
{
    if (!options) return STOA_OK;
    STOA_TRY(STOAI_CHECK_STRUCT(options, "model options", err));
    if (options->precision > STOA_PRECISION_FLOAT16)
        return STOA_FAIL(err, STOA_EINVAL, "model options: precision %u, at most %u", (unsigned)options->precision,
                         (unsigned)STOA_PRECISION_FLOAT16);
    return STOA_OK;
}

/* Runtimes that were built before there was a choice do not tell. */
static bool has_precision(const stoa_capabilities *c, uint32_t precision)
{
    const bool told = c->struct_size >= offsetof(stoa_capabilities, precisions) + sizeof c->precisions;
    return precision == STOA_PRECISION_FLOAT32 || (told && c->precisions >> precision & 1u);
}

static const char *tensor_name(const stoa_schema *schema, uint32_t tensor)
{ return tensor < schema->input_count ? schema->inputs[tensor].name : schema->outputs[tensor - schema->input_count].name; }

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static stoa_status refuse_name(const stoa_schema *schema, const char *name, stoa_error *err)
{
    uint32_t at[2], found = 0;
    for (uint32_t i = 0; found < 2; i++)
        if (strcmp(tensor_name(schema, i), name) == 0) at[found++] = i;
    const bool first_in = at[0] < schema->input_count, second_in = at[1] < schema->input_count;
    return STOA_FAIL(err, STOA_ENAME, "model: %s %u and %s %u are both named '%s', by which they could not be bound",
                     first_in ? "input" : "output", first_in ? at[0] : at[0] - schema->input_count, second_in ? "input" : "output",
                     second_in ? at[1] : at[1] - schema->input_count, name);
}

/* No two tensors have one name. They are sorted: a hostile file may have as many as it is long. */
static stoa_status check_names(const stoa_schema *schema, stoa_error *err)
{
    const uint32_t count = schema->input_count + schema->output_count;
    const size_t bytes = count * sizeof(const char *);
    const char **names = stoa_alloc(bytes, _Alignof(const char *)), *twice = NULL;
    if (!names) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes for the names of %u tensors", bytes, count);
    for (uint32_t i = 0; i < count; i++) names[i] = tensor_name(schema, i);
    qsort(names, count, sizeof *names, compare_names);
    for (uint32_t i = 1; i < count && !twice; i++)
        if (strcmp(names[i - 1], names[i]) == 0) twice = names[i];
    stoa_free(names, bytes);
    return twice ? refuse_name(schema, twice, err) : STOA_OK;
}

/* What a runtime must be able to do for the options, and have told for sessions to bind by. */
static stoa_status check_model(const stoa_model *model, const stoa_model_options *options, stoa_error *err)
{
    if (options && !has_precision(model->capabilities, options->precision))
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime '%s': precision %u asked for, it computes in %u (float32)", model->api->name,
                         (unsigned)options->precision, (unsigned)STOA_PRECISION_FLOAT32);
    return check_names(model->schema, err);
}

static stoa_status load(const stoa_runtime_api *api, const void *data, size_t bytes, const stoa_model_options *options, stoa_model **out,
                        stoa_error *err)
{
    char where[256];
    STOA_TRY(api->probe(where, sizeof where, err));
    stoa_model *model = stoa_calloc(1, sizeof *model);
    if (!model) return STOA_FAIL(err, STOA_ENOMEM, "model: %zu bytes", sizeof *model);
    stoa_status status = api->load(data, bytes, options, &model->handle, err);
    if (status != STOA_OK) {
        stoa_free(model, sizeof *model);
        return status;
    }
    atomic_init(&model->references, 1);
    model->api = api;
    model->schema = api->schema(model->handle);
    model->capabilities = api->capabilities(model->handle);
    status = check_model(model, options, err);
    if (status == STOA_OK) *out = model;
    else stoa_model_destroy(model);
    return status;
}

stoa_status stoa_model_load_memory(const void *data, size_t bytes, const stoa_model_options *options, stoa_model **model, stoa_error *err)
{
    if (!model) return STOA_FAIL(err, STOA_EINVAL, "model: result pointer is NULL");
    *model = NULL;
    if (!data && bytes) return STOA_FAIL(err, STOA_EINVAL, "model: data is NULL, %zu bytes given", bytes);
    STOA_TRY(check_options(options, err));
    const stoa_runtime_api *api;
    STOA_TRY(choose_runtime(NULL, options, &api, err));
    return load(api, data, bytes, options, model, err);
}

static stoa_status io_error(const char *path, const char *what, stoa_error *err)
{
    const int code = errno;
    return stoa_error_set(err, STOA_EIO, code, STOA_HERE, "model '%s': %s: %s", path, what, strerror(code));
}

/* Reads the whole file: a runtime wants it in one piece. The file may change size meanwhile; what was there at fstat
 * counts. */
static stoa_status read_file(const char *path, void **data, size_t *bytes, stoa_error *err)
{
    *data = NULL;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return io_error(path, "open", err);
    struct stat info;
    stoa_status status = STOA_OK;
    if (fstat(file, &info) != 0) {
        status = io_error(path, "fstat", err);
    } else if (!S_ISREG(info.st_mode)) {
        status = STOA_FAIL(err, STOA_EIO, "model '%s': not a regular file", path);
    } else {
        *bytes = (size_t)info.st_size;
        if (!(*data = stoa_alloc(*bytes, 64))) status = STOA_FAIL(err, STOA_ENOMEM, "model '%s': %zu bytes", path, *bytes);
    }
    for (size_t done = 0; status == STOA_OK && done < *bytes;) {
        const ssize_t got = read(file, (char *)*data + done, *bytes - done);
        if (got > 0) done += (size_t)got;
        else if (got == 0) status = STOA_FAIL(err, STOA_EIO, "model '%s': %zu bytes read, %zu expected", path, done, *bytes);
        else if (errno != EINTR) status = io_error(path, "read", err);
    }
    close(file);
    if (status != STOA_OK) {
        stoa_free(*data, *bytes);
        *data = NULL;
    }
    return status;
}

stoa_status stoa_model_load(const char *path, const stoa_model_options *options, stoa_model **model, stoa_error *err)
{
    if (!model) return STOA_FAIL(err, STOA_EINVAL, "model: result pointer is NULL");
    *model = NULL;
    if (!path) return STOA_FAIL(err, STOA_EINVAL, "model: path is NULL");
    STOA_TRY(check_options(options, err));
    const stoa_runtime_api *api;
    STOA_TRY(choose_runtime(path, options, &api, err));
    void *data;
    size_t bytes = 0;
    STOA_TRY(read_file(path, &data, &bytes, err));
    const stoa_status status = load(api, data, bytes, options, model, err);
    stoa_free(data, bytes);
    return status;
}

void stoai_model_retain(stoa_model *model) { atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed); }

void stoai_model_release(stoa_model *model)
{
    if (atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1) return;
    model->api->unload(model->handle);
    stoa_free(model, sizeof *model);
}

void stoa_model_destroy(stoa_model *model)
{
    if (model) stoai_model_release(model);
}

const stoa_schema *stoa_model_schema(const stoa_model *model) { return model->schema; }

const stoa_capabilities *stoa_model_capabilities(const stoa_model *model) { return model->capabilities; }

const char *stoa_model_runtime(const stoa_model *model) { return model->api->name; }

static bool is_identifier(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", rest[] = "0123456789";
    if (!*text || !strchr(letters, *text)) return false;
    for (; *text; text++)
        if (!strchr(letters, *text) && !strchr(rest, *text)) return false;
    return true;
}

stoa_status stoa_model_emit_c(const stoa_model *model, const char *name, stoa_text_sink sink, void *user, stoa_error *err)
{
    if (!model || !name || !sink) return STOA_FAIL(err, STOA_EINVAL, "emit C: %s is NULL", !model ? "model" : !name ? "name" : "sink");
    if (!is_identifier(name)) return STOA_FAIL(err, STOA_EINVAL, "emit C: '%s' given, an identifier needed", name);
    if (!STOA_RUNTIME_HAS(model->api, emit_c))
        return STOA_FAIL(err, STOA_ENOTSUP, "emit C: runtime '%s' does not write its models as C", model->api->name);
    return model->api->emit_c(model->handle, name, sink, user, err);
}

const char *stoa_model_plan_step(const stoa_model *model, uint32_t index) { return model->api->plan_step(model->handle, index); }

uint32_t stoa_model_plan_count(const stoa_model *model)
{
    uint32_t count = 0;
    while (stoa_model_plan_step(model, count)) count++;
    return count;
}
