/* SPDX-License-Identifier: Apache-2.0 */
/** What a runtime gives the library: one table of functions. For authors of runtimes; applications never see it.
 *
 *  Checks, row tiles, gathers and statistics are the session's, once for all runtimes. A runtime loads, tells its schema and
 *  capabilities, plans a workspace and runs rows. Each plan is for one device; each instance belongs to one session.
 *  A runtime is built in, registered by the application, or a plugin: a shared library "libstoa_<name>.so", found as those of
 *  back ends are (stoa/backend.h), that exports `stoa_runtime_entry`. One library may hold two: `tensorrt` is the one behind
 *  `stoa_runtime_entry_tensorrt` of libstoa_onnxruntime.so.
 *
 *      static const stoa_runtime_api api = {sizeof api, STOA_RUNTIME_ABI, "native", ".onnx", .probe = ...};
 */
#ifndef STOA_RUNTIME_H
#define STOA_RUNTIME_H

#include "stoa/host.h"
#include "stoa/model.h"
#include "stoa/queue.h"
#include "stoa/tensor.h"

STOA_BEGIN_DECLS

#define STOA_RUNTIME_ABI 1u

/** A bound tensor as the runtime sees it: checked, one entry a value of the row ([width] of them), base pointers at row 0. */
typedef struct stoa_bound {
    void *data;            /**< address of row 0; inputs are not written */
    int64_t row_stride;    /**< elements */
    uint32_t dtype;        /**< a stoa_dtype of the schema's dtype_mask */
    uint32_t alike;        /**< values of the tensor from this one on that have its dtype and row stride; 0: not known */
} stoa_bound;

typedef struct stoa_runtime_api {
    uint32_t struct_size, abi;   /* first, for ever */
    const char *name;
    const char *extensions;      /* ".onnx .ort", for choosing by file */

    /* Whether it can be used here; otherwise ENOTSUP with the reason. `where` receives what was found ("built in", a path). */
    stoa_status (*probe)(char *where, size_t capacity, stoa_error *err);
    stoa_status (*load)(const void *data, size_t bytes, const stoa_model_options *options, void **model, stoa_error *err);
    void (*unload)(void *model);
    const stoa_schema *(*schema)(const void *model);
    const stoa_capabilities *(*capabilities)(const void *model);
    const char *(*plan_step)(const void *model, uint32_t index); /* NULL past the end */

    /* Bytes of workspace (STOA_BUFFER_ALIGN_BYTES aligned) that one call of `run` needs on that device: at most max_rows[axis]
     * rows of each axis of the schema, a tile when the session tiles. */
    stoa_status (*workspace)(const void *model, stoa_place place, const uint32_t *max_rows, size_t *bytes, stoa_error *err);
    stoa_status (*open)(const void *model, stoa_queue *queue, void *workspace, size_t bytes, const uint32_t *max_rows, void **instance,
                        stoa_error *err);
    void (*close)(void *instance);
    /* Called when the queue gets there on the host (the session makes the task), or to enqueue on another device.
     * inputs: the inputs' values one after another, outputs likewise. Rows [first, first + rows[axis]) of tensors of an axis,
     * row 0 of those of STOA_AXIS_ONE; `first` is 0 when there are several axes. A failure is kept by the session. */
    stoa_status (*run)(void *instance, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                       stoa_error *err);
    /* Optional: allocations that `run` has made so far beside the workspace. */
    uint64_t (*run_allocations)(const void *instance);
    /* --- ABI 1 ends here; append only --- */

    /* Optional: `run` on another device than the host, of rows [0, min(*counts[axis], rows_max[axis])); the counts lie there. */
    stoa_status (*run_counted)(void *instance, const stoa_bound *inputs, const stoa_bound *outputs, const uint32_t *const *counts,
                               const uint32_t *rows_max, stoa_error *err);
    /* Optional: stoa_model_emit_c, its arguments checked. */
    stoa_status (*emit_c)(const void *model, const char *name, stoa_text_sink sink, void *user, stoa_error *err);
    /* Optional: a failure that what was enqueued on another device than the host has met there, each once, without waiting. */
    stoa_status (*check)(void *instance, stoa_error *err);
    /* Optional: stoa_runtime_share_memory. */
    stoa_status (*share_memory)(stoa_error *err);
} stoa_runtime_api;

/** Whether a table that may be older than this header has a slot. */
#define STOA_RUNTIME_HAS(api, slot) ((api)->struct_size >= offsetof(stoa_runtime_api, slot) + sizeof((api)->slot) && (api)->slot != NULL)

/** The one function that a runtime's plugin exports; NULL when it cannot serve `host_abi`. `host` gives it the library's
 *  functions, whichever way the application links them.
 *  owns static storage; borrows `host` for ever   threads any   errors NULL   since 0.1 */
typedef const stoa_runtime_api *(*stoa_runtime_entry_fn)(uint32_t host_abi, const stoa_host_api *host);

/** Register a runtime under its name. The native one is registered already.
 *  owns borrows `api` for ever   threads none may load models meanwhile   errors EABI; ENAME taken; ELIMIT table full   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_runtime_register(const stoa_runtime_api *api, stoa_error *err);
/** The index-th registered runtime, NULL past the end.   owns borrowed   threads any   errors NULL   since 0.1 */
STOA_API const stoa_runtime_api *stoa_runtime_at(uint32_t index);
/** A runtime by name; a plugin of that name is loaded when none is registered.
 *  owns borrowed   sync may load a plugin   threads any   errors ENAME no known name, listing those there are; ENOTSUP its plugin
 *  cannot be loaded, with the places tried; EABI   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_runtime_find(const char *name, const stoa_runtime_api **api, stoa_error *err);

STOA_END_DECLS
#endif
