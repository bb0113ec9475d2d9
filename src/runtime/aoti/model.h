/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded package: its code, its weights and who serves its imports. */
#ifndef STOAI_AOTI_MODEL_H
#define STOAI_AOTI_MODEL_H

#include <pthread.h>

#include "runtime/aoti/archive.h"
#include "runtime/aoti/shim.h"
#include "runtime/package/package.h"

typedef void *aoti_container;
typedef shim_tensor *aoti_tensor; /* of libtorch: a pointer that we do not look behind */

typedef struct aoti_constant {
    const char *name;
    aoti_tensor tensor;
} aoti_constant;

/* What a compiled model exports (torch/csrc/inductor/aoti_runtime/interface.h): result, name, parameters; whether it may be missing. */
#define AOTI_MODEL_MAP(X) \
    X(ContainerCreateWithDevice, (aoti_container * container, size_t models, const char *device, const char *cubins), 1) \
    X(ContainerDelete, (aoti_container container), 1) \
    X(ContainerRun, \
      (aoti_container container, aoti_tensor * inputs, size_t input_count, aoti_tensor *outputs, size_t output_count, void *stream, \
       void *executor), \
      1) \
    X(ContainerRunSingleThreaded, \
      (aoti_container container, aoti_tensor * inputs, size_t input_count, aoti_tensor *outputs, size_t output_count, void *stream, \
       void *executor), \
      0) \
    X(ContainerGetNumInputs, (aoti_container container, size_t *count), 1) \
    X(ContainerGetNumOutputs, (aoti_container container, size_t *count), 1) \
    X(ContainerGetNumConstants, (aoti_container container, size_t *count), 1) \
    X(ContainerGetConstantName, (aoti_container container, size_t index, const char **name), 1) \
    X(ContainerGetConstantOriginalFQN, (aoti_container container, size_t index, const char **name), 1) \
    X(ContainerUpdateUserManagedConstantBufferPairs, \
      (aoti_container container, const aoti_constant *pairs, size_t count, bool inactive, bool whole), 1)

typedef struct aoti_functions {
#define AOTI_SLOT_(name, parameters, needed) int32_t(*name) parameters;
    AOTI_MODEL_MAP(AOTI_SLOT_)
#undef AOTI_SLOT_
} aoti_functions;

/* Who makes tensor objects: our shim, or libtorch. */
typedef struct aoti_host {
    int32_t (*from_blob)(void *data, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type,
                         int32_t device_type, int32_t device_index, aoti_tensor *result);
    int32_t (*delete_tensor)(aoti_tensor tensor);
    int (*threads_get)(void);       /* OpenMP's count of the calling thread, NULL: there is no OpenMP */
    void (*threads_set)(int count);
} aoti_host;

/* Weights on one device. */
typedef struct aoti_weights {
    struct aoti_weights *next;
    stoa_device *device;             /* NULL: the host */
    stoa_buffer *buffer;             /* NULL: they are the model's blob */
    aoti_constant *constants;        /* [count + 1] */
    size_t count;
    uint32_t users;
} aoti_weights;

typedef struct aoti_model {
    stoai_package package;
    aoti_host host;
    aoti_functions functions;
    void *library;
    const char *target;              /* what the library was compiled for; of the manifest */
    int32_t device_type;             /* SHIM_CPU or SHIM_CUDA */
    aoti_member blob;                /* all weights, as the file has them */
    pthread_mutex_t lock;            /* of the list */
    aoti_weights *weights;
    uint32_t input_values, output_values, argument_count, tensor_count;
    stoa_capabilities capabilities;
    char summary[256];
} aoti_model;

/** Who serves a package that links libtorch; libtorch is loaded once, on demand.  errors ENOTSUP not found, without CUDA for a package
 *  that needs it, or older than `torch` */
stoa_status stoai_aoti_libtorch(const char *torch, int32_t device_type, aoti_host *host, stoa_error *err);
/** The function that takes the place of libtorch's aoti_torch_empty_strided: memory from the running session's workspace or queue. */
void *stoai_aoti_libtorch_empty(void);

/** Load a package.  errors see runtime.h */
stoa_status stoai_aoti_model_load(const void *data, size_t bytes, aoti_model **model, stoa_error *err);
void stoai_aoti_model_unload(aoti_model *model);

/** A container of its own on the context's device, without weights; NULL is the host.  errors ERUNTIME; EFORMAT other counts than the
 *  manifest's: a wrong one inside a run would end the process */
stoa_status stoai_aoti_container(const aoti_model *model, const shim_context *context, aoti_container *container, stoa_error *err);

/** Give a container the weights of the queue's device (NULL: the host), which are copied there for the first; and be one less that uses
 *  them.  errors EFORMAT; ERUNTIME; ENOMEM; EDEVICE; the weights may be set nevertheless, and are given back   sync the copy is waited for */
stoa_status stoai_aoti_weights_take(aoti_model *model, aoti_container container, stoa_queue *queue, aoti_weights **weights,
                                    stoa_error *err);
void stoai_aoti_weights_give(aoti_model *model, aoti_weights *weights, stoa_queue *queue);
/** The end of the host's, with the model: no session is left, so no other device has any. */
void stoai_aoti_weights_unload(aoti_model *model);

#define SHIM_CUDA_ALIGN 16 /* bytes; compiled code copies what does not begin at a multiple */
/** Run the model on bound columns; `arguments` has room for argument_count handles. The context was entered.
 *  errors ERUNTIME with the model's message; EALIGN on a GPU */
stoa_status stoai_aoti_call(const aoti_model *model, aoti_container container, shim_context *context, aoti_tensor *arguments,
                            const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows, stoa_error *err);

#endif
