/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime through its C interface, loaded at run time: nothing of it is needed to build.
 *
 * OrtApi is a table of functions that only ever grows at its end, so the first 102 slots, frozen as version
 * 1, are addressed by their number. Numbers are from the order in onnxruntime_c_api.h; a wrong one would show
 * at once in the results. */
#include "mlp.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef STOA_BENCH_SOURCE_DIR
#define STOA_BENCH_SOURCE_DIR "."
#endif

typedef void (*slot)(void);
typedef struct ort_status ort_status; /* NULL: success */
typedef struct ort_api {
    slot table[102];
} ort_api;
typedef struct ort_api_base {
    const ort_api *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ort_api_base;

enum {
    ORT_ERROR_MESSAGE = 2,
    ORT_CREATE_ENV = 3,
    ORT_CREATE_SESSION = 7,
    ORT_RUN = 9,
    ORT_CREATE_OPTIONS = 10,
    ORT_SET_OPTIMIZATION = 23,
    ORT_SET_INTRA_THREADS = 24,
    ORT_SET_INTER_THREADS = 25,
    ORT_TENSOR_WITH_DATA = 49,
    ORT_CPU_MEMORY_INFO = 69,
    ORT_RELEASE_ENV = 92,
    ORT_RELEASE_STATUS = 93,
    ORT_RELEASE_MEMORY_INFO = 94,
    ORT_RELEASE_SESSION = 95,
    ORT_RELEASE_VALUE = 96,
    ORT_RELEASE_OPTIONS = 100
};
enum { ORT_LOG_ERROR = 3, ORT_ALL_OPTIMIZATIONS = 99, ORT_FLOAT = 1, ORT_ARENA = 1, ORT_MEMORY_DEFAULT = 0 };

typedef const char *(*message_function)(const ort_status *);
typedef ort_status *(*env_function)(int level, const char *id, void **env);
typedef ort_status *(*make_function)(void **object);
typedef ort_status *(*set_function)(void *options, int value);
typedef ort_status *(*session_function)(const void *env, const char *path, const void *options,
                                        void **session);
typedef ort_status *(*memory_function)(int allocator, int kind, void **info);
typedef ort_status *(*tensor_function)(const void *info, void *data, size_t bytes, const int64_t *shape,
                                       size_t rank, int type, void **value);
typedef ort_status *(*run_function)(void *session, const void *options, const char *const *input_names,
                                    const void *const *inputs, size_t input_count,
                                    const char *const *output_names, size_t output_count, void **outputs);
typedef void (*release_function)(void *object);

typedef struct ort {
    const ort_api *api;
    run_function run;
    void *env, *options, *session, *memory, *input, *output;
    mlp_case mlp;
} ort;

static void release(const ort *o, int function, void **object)
{
    if (*object) ((release_function)o->api->table[function])(*object);
    *object = NULL;
}

/* True for success; otherwise takes the status and keeps its message. */
static bool check(const ort *o, ort_status *status, char *why)
{
    if (!status) return true;
    snprintf(why, MLP_WHY, "%.400s", ((message_function)o->api->table[ORT_ERROR_MESSAGE])(status));
    ((release_function)o->api->table[ORT_RELEASE_STATUS])(status);
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
    const char *pattern =
        STOA_BENCH_SOURCE_DIR "/.venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*";
    snprintf(why, MLP_WHY,
             "no libonnxruntime.so: set STOA_ONNXRUNTIME to it, or install onnxruntime into .venv");
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
    static const ort_api *api;
    const ort_api_base *(*get_base)(void) = NULL;
    if (api) return api;
    void *library = load_library(why);
    if (!library) return NULL;
    void *symbol = dlsym(library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base); /* ISO C has no cast from object to function pointer */
    if (get_base) api = get_base()->get_api(1);
    if (!api) snprintf(why, MLP_WHY, "the library has no OrtGetApiBase or no interface version 1");
    return api;
}

static void ort_close(void *self)
{
    ort *o = self;
    if (!o) return;
    if (o->api) {
        release(o, ORT_RELEASE_VALUE, &o->input);
        release(o, ORT_RELEASE_VALUE, &o->output);
        release(o, ORT_RELEASE_SESSION, &o->session);
        release(o, ORT_RELEASE_OPTIONS, &o->options);
        release(o, ORT_RELEASE_MEMORY_INFO, &o->memory);
        release(o, ORT_RELEASE_ENV, &o->env);
    }
    free(o);
}

static bool ort_open(const mlp_case *mlp, void **self, char *why)
{
    ort *o = calloc(1, sizeof *o);
    *self = o;
    if (!o) {
        snprintf(why, MLP_WHY, "no memory");
        return false;
    }
    o->api = load_api(why);
    if (!o->api) return false;
    const slot *table = o->api->table;
    o->run = (run_function)table[ORT_RUN];
    return check(o, ((env_function)table[ORT_CREATE_ENV])(ORT_LOG_ERROR, "stoa", &o->env), why) &&
           check(o, ((make_function)table[ORT_CREATE_OPTIONS])(&o->options), why) &&
           check(o, ((set_function)table[ORT_SET_INTRA_THREADS])(o->options, 1), why) &&
           check(o, ((set_function)table[ORT_SET_INTER_THREADS])(o->options, 1), why) &&
           check(o, ((set_function)table[ORT_SET_OPTIMIZATION])(o->options, ORT_ALL_OPTIMIZATIONS), why) &&
           check(o, ((session_function)table[ORT_CREATE_SESSION])(o->env, mlp->path, o->options, &o->session),
                 why) &&
           check(o, ((memory_function)table[ORT_CPU_MEMORY_INFO])(ORT_ARENA, ORT_MEMORY_DEFAULT, &o->memory),
                 why);
}

static bool make_tensor(const ort *o, const float *data, uint32_t rows, uint32_t width, void **value,
                        char *why)
{
    const int64_t shape[2] = {rows, width};
    void *mutable_data = NULL;
    memcpy(&mutable_data, &data, sizeof mutable_data); /* the interface has no const; inputs are only read */
    release(o, ORT_RELEASE_VALUE, value);
    return check(o,
                 ((tensor_function)o->api->table[ORT_TENSOR_WITH_DATA])(
                     o->memory, mutable_data, sizeof(float) * rows * width, shape, 2, ORT_FLOAT, value),
                 why);
}

static bool prepare(ort *o, const mlp_case *mlp, const float *input, char *why)
{
    o->mlp = *mlp;
    return make_tensor(o, input, mlp->rows, mlp->spec->widths[0], &o->input, why) &&
           make_tensor(o, mlp->out, mlp->rows, mlp->spec->widths[mlp->spec->layers], &o->output, why);
}

static bool ort_prepare(void *self, const mlp_case *mlp, char *why)
{
    return prepare(self, mlp, mlp->row_major, why);
}

static bool packed_prepare(void *self, const mlp_case *mlp, char *why)
{
    return prepare(self, mlp, mlp->packed, why);
}

static void ort_run(void *self)
{
    static const char *const inputs[] = {ONNX_INPUT}, *const outputs[] = {ONNX_OUTPUT};
    ort *o = self;
    char why[MLP_WHY];
    (void)check(
        o, o->run(o->session, NULL, inputs, (const void *const[]){o->input}, 1, outputs, 1, &o->output), why);
}

static void packed_run(void *self)
{
    const ort *o = self;
    mlp_pack(&o->mlp, o->mlp.packed);
    ort_run(self);
}

const mlp_contender mlp_ort = {"onnxruntime", ort_open, ort_prepare, ort_run, ort_close, true};
const mlp_contender mlp_ort_packed = {"onnxruntime_packed", ort_open,  packed_prepare,
                                      packed_run,           ort_close, true};
