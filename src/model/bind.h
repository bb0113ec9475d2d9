/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a tensor against a schema and a runtime's capabilities, in one place for all runtimes. */
#ifndef STOA_MODEL_BIND_H
#define STOA_MODEL_BIND_H

#include "stoa/runtime.h"
#include "stoa/tensor.h"

/* What a tensor is bound to. */
typedef struct bind_target {
    const stoa_tensor_schema *schema;
    const stoa_capabilities *capabilities;
    stoa_place place;     /* of the queue */
    uint32_t max_rows;    /* of a run */
    uint32_t reach_rows;  /* of the tensor, that a run may touch, whichever it is */
    uint32_t call_rows;   /* of one call of the runtime: a tile */
    bool is_output;
} bind_target;

/* What the runtime takes of this tensor. */
stoa_column_rule stoai_bind_rule(const bind_target *target);

/* Every check that looks at this tensor alone. */
stoa_status stoai_bind_check(const bind_target *target, stoa_tensor tensor, stoa_error *err);

/* Fill values[schema->width]: addresses of row `tensor.first_row`, and how many are alike. The tensor was checked. */
void stoai_bind_values(const bind_target *target, stoa_tensor tensor, stoa_bound *values);

/* Why the runtime cannot take these values as they lie; NULL when it can. */
const char *stoai_bind_staging_reason(const bind_target *target, stoa_tensor tensor, const stoa_bound *values);

#endif
