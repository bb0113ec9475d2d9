/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime through its C interface, loaded at run time: nothing of it is needed to build. */
#include "mlp.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ort_api.h"

typedef struct ort {
    const ort_api *api;
    ort_env *env;
    ort_options *options;
    ort_session *session;
    ort_memory_info *memory;
    ort_value *input, *output;
    mlp_case mlp;
} ort;

/* True for success; otherwise takes the status and keeps its message. */
static bool check(const ort_api *api, ort_status *status, char *why)
{
    if (!status) return true;
    snprintf(why, MLP_WHY, "%.400s", api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return false;
}

static void *load_library(char *why)
{
    const char *named = getenv("STOA_ONNXRUNTIME");
    void *library = NULL;
    glob_t found;
    if (named && *named) {
        library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, MLP_WHY, "STOA_ONNXRUNTIME: %.400s", dlerror());
        return library;
    }
    const char *pattern = STOA_BENCH_SOURCE_DIR "/.venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*";
    snprintf(why, MLP_WHY, "no libonnxruntime.so: set STOA_ONNXRUNTIME to it, or install onnxruntime into .venv");
    if (glob(pattern, 0, NULL, &found) == 0) {
        library = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, MLP_WHY, "%.400s", dlerror());
    }
    globfree(&found);
    return library;
}

/* The library stays loaded: its threads and handlers would dangle. */
static const ort_api *load_api(char *why)
{
    static ort_api api;
    static bool is_loaded;
    const char *version;
    if (is_loaded) return &api;
    void *library = load_library(why);
    if (!library) return NULL;
    is_loaded = ort_api_of(library, &api, &version);
    if (!is_loaded) snprintf(why, MLP_WHY, "version %s has no interface %u", version, ORT_API_VERSION_NEEDED);
    return is_loaded ? &api : NULL;
}

static void ort_close(void *self)
{
    ort *o = self;
    if (!o) return;
    if (o->input) o->api->ReleaseValue(o->input);
    if (o->output) o->api->ReleaseValue(o->output);
    if (o->session) o->api->ReleaseSession(o->session);
    if (o->options) o->api->ReleaseSessionOptions(o->options);
    if (o->memory) o->api->ReleaseMemoryInfo(o->memory);
    if (o->env) o->api->ReleaseEnv(o->env);
    free(o);
}

static void drop_line(void *user, int severity, const char *category, const char *id, const char *location, const char *text)
{ (void)user, (void)severity, (void)category, (void)id, (void)location, (void)text; }

static bool ort_open(const mlp_case *mlp, void **self, char *why)
{
    ort *o = calloc(1, sizeof *o);
    *self = o;
    if (!o) {
        snprintf(why, MLP_WHY, "no memory");
        return false;
    }
    const ort_api *api = o->api = load_api(why);
    return api && check(api, api->CreateEnvWithCustomLogger(drop_line, NULL, ORT_LOG_WARNING, "stoa", &o->env), why) &&
           check(api, api->CreateSessionOptions(&o->options), why) && check(api, api->SetIntraOpNumThreads(o->options, 1), why) &&
           check(api, api->SetInterOpNumThreads(o->options, 1), why) &&
           check(api, api->SetSessionGraphOptimizationLevel(o->options, ORT_ALL_OPTIMIZATIONS), why) &&
           check(api, api->CreateSession(o->env, mlp->path, o->options, &o->session), why) &&
           check(api, api->CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &o->memory), why);
}

static bool make_tensor(const ort *o, const float *data, uint32_t rows, uint32_t width, ort_value **value, char *why)
{
    const int64_t shape[2] = {rows, width};
    void *mutable_data = NULL;
    memcpy(&mutable_data, &data, sizeof mutable_data); /* the interface has no const; inputs are only read */
    if (*value) o->api->ReleaseValue(*value);
    *value = NULL;
    return check(o->api,
                 o->api->CreateTensorWithDataAsOrtValue(o->memory, mutable_data, sizeof(float) * rows * width, shape, 2, ORT_FLOAT, value),
                 why);
}

static bool prepare(ort *o, const mlp_case *mlp, const float *input, char *why)
{
    o->mlp = *mlp;
    return make_tensor(o, input, mlp->rows, mlp->spec->widths[0], &o->input, why) &&
           make_tensor(o, mlp->out, mlp->rows, mlp->spec->widths[mlp->spec->layers], &o->output, why);
}

static bool ort_prepare(void *self, const mlp_case *mlp, char *why) { return prepare(self, mlp, mlp->row_major, why); }

static bool packed_prepare(void *self, const mlp_case *mlp, char *why) { return prepare(self, mlp, mlp->packed, why); }

static void ort_run(void *self)
{
    static const char *const inputs[] = {ONNX_INPUT}, *const outputs[] = {ONNX_OUTPUT};
    ort *o = self;
    char why[MLP_WHY];
    const ort_value *const values[] = {o->input};
    (void)check(o->api, o->api->Run(o->session, NULL, inputs, values, 1, outputs, 1, &o->output), why);
}

static void packed_run(void *self)
{
    const ort *o = self;
    mlp_pack(&o->mlp, o->mlp.packed);
    ort_run(self);
}

const mlp_contender mlp_ort = {"onnxruntime", ort_open, ort_prepare, ort_run, ort_close, true};
const mlp_contender mlp_ort_packed = {"onnxruntime_packed", ort_open, packed_prepare, packed_run, ort_close, true};
