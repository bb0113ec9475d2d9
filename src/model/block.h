/* SPDX-License-Identifier: Apache-2.0 */
/* The order of values in an SoA block, for the session that stages them and the runtimes that take them. */
#ifndef STOA_MODEL_BLOCK_H
#define STOA_MODEL_BLOCK_H

#include "stoa/model.h"

/** Place of value k of a row in its block in memory order: column-major exchanges the last two extents. */
static inline uint32_t stoai_block_position(const stoa_tensor_schema *schema, uint32_t k)
{
    if (!schema->column_major || schema->rank < 2) return k;
    const uint32_t lines = schema->shape[schema->rank - 2], columns = schema->shape[schema->rank - 1];
    const uint32_t inner = k % (lines * columns);
    return k - inner + inner % columns * lines + inner / columns;
}

#endif
