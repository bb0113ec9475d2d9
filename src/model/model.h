/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOA_MODEL_MODEL_H
#define STOA_MODEL_MODEL_H

#include "stoa/runtime.h"

struct stoa_model {
    const stoa_runtime_api *api;
    void *handle; /* the runtime's */
    const stoa_schema *schema;
    const stoa_capabilities *capabilities;
};

#endif
