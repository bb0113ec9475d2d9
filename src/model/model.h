/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOA_MODEL_MODEL_H
#define STOA_MODEL_MODEL_H

#include <stdatomic.h>

#include "stoa/runtime.h"

/* A session's end is ordered on its queue, so it may come after the caller's destroy: each session holds a reference. */
struct stoa_model {
    atomic_uint references;
    const stoa_runtime_api *api;
    void *handle; /* the runtime's */
    const stoa_schema *schema;
    const stoa_capabilities *capabilities;
};

void stoai_model_retain(stoa_model *model);
void stoai_model_release(stoa_model *model);

#endif
