/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the onnxruntime runtime. */
#ifndef STOAI_ONNXRUNTIME_ORT_H
#define STOAI_ONNXRUNTIME_ORT_H

#include "runtime/onnxruntime/ort_api.h"
#include "runtime/package/cuda_context.h"
#include "runtime/package/package.h"
#include "stoa/runtime.h"

#define ORT_BLOCKS_MAX 128u
#define ORT_DEVICES_MAX 16

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

/* Memory that ONNX Runtime asks for during a run, served from the session's workspace: the host's, or with a queue its device's. */
typedef struct ort_scratch {
    char *base; /* NULL: blocks are memory of their own, only the peak is wanted */
    size_t bytes, peak;
    uint64_t allocations; /* that did not fit */
    stoa_queue *queue;
    struct ort_scratch *device; /* of the host's: where blocks on a device come from; NULL: there are none */
    uint32_t count;
    struct {
        size_t offset, bytes;
    } blocks[ORT_BLOCKS_MAX]; /* ascending */
} ort_scratch;

/** Serve from `memory` from now on; nothing fits where there are 0 bytes, for which it may be NULL. */
void stoai_ort_scratch_use(ort_scratch *scratch, void *memory, size_t bytes);
/** From now on what ONNX Runtime allocates on this thread comes from `scratch` (NULL: the heap); returns what was set before. */
ort_scratch *stoai_ort_scratch_enter(ort_scratch *scratch);
void *stoai_ort_block(size_t bytes);
void stoai_ort_unblock(void *block);
/** The same in the memory of a device: of the scratch that this thread entered, and for no one else. */
void *stoai_ort_device_block(size_t bytes);
void stoai_ort_device_unblock(void *block);
/** Whether this thread was refused memory since the last call: ONNX Runtime's own codes do not tell. */
bool stoai_ort_memory_refused(void);

/* ---- the library ------------------------------------------------------------------------------------------------------- */

/* Memory of a kind as ONNX Runtime knows it. */
typedef struct ort_place {
    ort_allocator allocator;
    ort_memory_info *memory; /* NULL: not known to it yet */
} ort_place;

/* What there is once in a process: set at the first use, never undone. */
typedef struct ort_library {
    ort_api api;
    ort_env *env;
    ort_place host, devices[ORT_DEVICES_MAX];
    char path[1024], version[32], providers[512];
} ort_library;

/** The library, loaded and with its environment.   errors ENOTSUP not found, or too old, with both versions */
stoa_status stoai_ort_library(const ort_library **library, stoa_error *err);

/** Where a CUDA device's tensors lie, for CreateTensorWithDataAsOrtValue; sessions made from then on allocate there by our allocator.
 *  errors ELIMIT ordinal; ENOTSUP */
stoa_status stoai_ort_device_memory(int32_t ordinal, const ort_memory_info **memory, stoa_error *err);

/** STOA_OK for NULL; otherwise takes the status: its first line behind `what`, its code in `native`, ENOTSUP for what it does not implement,
 *  ENOMEM where memory was refused, EDEVICE where CUDA failed. */
stoa_status stoai_ort_check(const ort_library *library, ort_status *status, stoa_status otherwise, const char *what, stoa_error *err);

/* ---- models ------------------------------------------------------------------------------------------------------------ */

/* An execution provider: who computes sessions on a device. The library may have been built without it. */
typedef struct ort_provider {
    const char *runtime;  /* by whose name it is asked for */
    const char *name;     /* the library's */
    uint32_t precisions;  /* bit 1 << stoa_precision: what it can be asked for beside FLOAT32 */
    uint32_t align_bytes; /* of a tensor's first row */
} ort_provider;
extern const ort_provider stoai_ort_cuda, stoai_ort_tensorrt;

/** errors ENOTSUP the library has no such provider, naming its version and those that it has */
stoa_status stoai_ort_need_provider(const ort_library *library, const ort_provider *provider, stoa_error *err);

typedef struct ort_tensor {
    char *name;              /* a block of the allocator's */
    ort_type_info *info;     /* holds the name of the row axis */
    int type, rank;          /* of the whole tensor, rows included: 0 for a scalar */
} ort_tensor;

typedef struct ort_model {
    const ort_library *library;
    const ort_provider *provider;
    stoa_precision precision; /* on a device */
    ort_session *session;     /* on the host, for all sessions there */
    void *file;               /* for sessions on devices, which each have one of their own; NULL where the provider is missing */
    size_t file_bytes;
    stoai_package package;    /* the manifest where the file has one */
    stoa_schema schema;
    stoa_capabilities capabilities;
    uint32_t count;           /* inputs, then outputs, in the arrays below */
    stoa_tensor_schema *tensors;
    ort_tensor *infos;
    const char **names;
    const char **axes;
    char summary[160];
} ort_model;

/** Make the session and read what it takes and gives.   errors EFORMAT; ENOTSUP, naming tensor and both values; ENOMEM */
stoa_status stoai_ort_model_load(const void *data, size_t bytes, const ort_provider *provider, ort_model **model, stoa_error *err);
void stoai_ort_model_unload(ort_model *model);

/** What all sessions are made with. */
ort_status *stoai_ort_session_options(const ort_api *api, ort_options *options);

/* ---- sessions on a device ---------------------------------------------------------------------------------------------- */

/* ONNX Runtime ties a session to a stream, so each of ours has one, with its own weights. */
typedef struct ort_device {
    const ort_model *model;
    stoa_queue *queue;
    stoai_cuda_context cuda;
    ort_session *session;
    const ort_memory_info *memory;
    ort_run_options *run_options;
    ort_scratch scratch;    /* for a planning run first: its workspace is made by `settle` */
    stoa_buffer *workspace;
} ort_device;

/** Make a session on the queue's stream, for rows up to max_rows of each axis. Current are the device's context and `host`, whose blocks
 *  on the device come from it from then on.
 *  errors ENOTSUP the library, the model's nodes or its libraries do not allow it, in its words; EDEVICE; ENOMEM */
stoa_status stoai_ort_device_open(const ort_model *model, stoa_queue *queue, const uint32_t *max_rows, ort_device **device,
                                  stoa_error *err);
/** Behind the planning run, which is waited for: the workspace of its size.   errors EDEVICE; ENOMEM */
stoa_status stoai_ort_device_settle(ort_device *device, stoa_error *err);
/** Waits for the queue.   owns takes `device`; NULL is a no-op */
void stoai_ort_device_close(ort_device *device);

#endif
