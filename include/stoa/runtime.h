/* SPDX-License-Identifier: Apache-2.0 */
/** What a runtime gives the library: one table of functions. For authors of runtimes; applications never see it.
 *
 *  Checks, row tiles, gathers and statistics are the session's, once for all runtimes. A runtime loads, tells its schema and
 *  capabilities, plans a workspace and runs rows. Each plan is for one device; each instance belongs to one session.
 *
 *      static const stoa_runtime_api api = {sizeof api, STOA_RUNTIME_ABI, "native", ".onnx", .probe = ...};
 */
#ifndef STOA_RUNTIME_H
#define STOA_RUNTIME_H

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
    uint32_t reserved;
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

    /* Bytes of workspace (STOA_BUFFER_ALIGN_BYTES aligned) that runs of up to max_rows rows need on that device. */
    stoa_status (*workspace)(const void *model, stoa_place place, uint32_t max_rows, size_t *bytes, stoa_error *err);
    stoa_status (*open)(const void *model, stoa_queue *queue, void *workspace, size_t bytes, uint32_t max_rows, void **instance,
                        stoa_error *err);
    void (*close)(void *instance);
    /* Called when the queue gets there on the host (the session makes the task), or to enqueue on another device.
     * inputs: the inputs' values one after another, outputs likewise. Rows [first, first + rows). */
    void (*run)(void *instance, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, uint32_t rows);
    /* --- ABI 1 ends here; append only --- */
} stoa_runtime_api;

/** Register a runtime under its name. The native one is registered already.
 *  owns borrows `api` for ever   threads none may load models meanwhile   errors EABI; ENAME taken; ELIMIT table full   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_runtime_register(const stoa_runtime_api *api, stoa_error *err);
/** The index-th registered runtime, NULL past the end.   owns borrowed   threads any   errors NULL   since 0.1 */
STOA_API const stoa_runtime_api *stoa_runtime_at(uint32_t index);
/** A runtime by name.   owns borrowed   threads any   errors ENAME, listing the names there are   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_runtime_find(const char *name, const stoa_runtime_api **api, stoa_error *err);

STOA_END_DECLS
#endif
