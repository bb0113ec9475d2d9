/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the onnxruntime runtime. */
#ifndef STOAI_ONNXRUNTIME_ORT_H
#define STOAI_ONNXRUNTIME_ORT_H

#include "runtime/onnxruntime/ort_api.h"
#include "runtime/package/package.h"
#include "stoa/runtime.h"

#define ORT_BLOCKS_MAX 128u

/* Memory that ONNX Runtime asks for during a run, served from the session's workspace. */
typedef struct ort_scratch {
    char *base; /* NULL: blocks come from the heap, only the peak is wanted */
    size_t bytes, peak;
    uint64_t allocations; /* that did not fit */
    uint32_t count;
    struct {
        size_t offset, bytes;
    } blocks[ORT_BLOCKS_MAX]; /* ascending */
} ort_scratch;

/** From now on what ONNX Runtime allocates on this thread comes from `scratch` (NULL: the heap); returns what was set before. */
ort_scratch *stoai_ort_scratch_enter(ort_scratch *scratch);
void *stoai_ort_block(size_t bytes);
void stoai_ort_unblock(void *block);
/** Whether this thread was refused memory since the last call: ONNX Runtime's own codes do not tell. */
bool stoai_ort_memory_refused(void);

/* What there is once in a process: set at the first use, never undone. */
typedef struct ort_library {
    ort_api api;
    ort_env *env;
    ort_allocator allocator;
    ort_memory_info *memory;
    char path[1024], version[32], providers[512];
} ort_library;

/* Who computes on a device: a part of the library that it may have been built without. */
typedef struct ort_provider {
    const char *runtime; /* by whose name it is asked for */
    const char *name;
} ort_provider;

/** The library, loaded and with its environment.   errors ENOTSUP not found, or too old, with both versions */
stoa_status stoai_ort_library(const ort_library **library, stoa_error *err);

/** errors ENOTSUP the library has no such provider, naming its version and those that it has */
stoa_status stoai_ort_need_provider(const ort_library *library, const ort_provider *provider, stoa_error *err);

/** STOA_OK for NULL; otherwise takes the status: its first line behind `what`, its code in `native`, ENOTSUP for what it does not implement, ENOMEM
 *  where memory was refused. */
stoa_status stoai_ort_check(const ort_library *library, ort_status *status, stoa_status otherwise, const char *what, stoa_error *err);

typedef struct ort_tensor {
    char *name;              /* a block of the allocator's */
    ort_type_info *info;     /* holds the name of the row axis */
    int type, rank;          /* of the whole tensor, rows included: 0 for a scalar */
} ort_tensor;

typedef struct ort_model {
    const ort_library *library;
    ort_session *session;
    stoai_package package;   /* the manifest where the file has one */
    stoa_schema schema;
    stoa_capabilities capabilities;
    uint32_t count;          /* inputs, then outputs, in the arrays below */
    stoa_tensor_schema *tensors;
    ort_tensor *infos;
    const char **names;
    const char **axes;
    char summary[160];
} ort_model;

/** Make the session and read what it takes and gives.   errors EFORMAT; ENOTSUP, naming tensor and both values; ENOMEM */
stoa_status stoai_ort_model_load(const void *data, size_t bytes, ort_model **model, stoa_error *err);
void stoai_ort_model_unload(ort_model *model);

#endif
