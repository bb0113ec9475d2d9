/* SPDX-License-Identifier: Apache-2.0 */
/* A table's columns for a device that does not see the host's memory: columns of its own, copied there and back when told to. */
#ifndef STOA_CLI_MIRROR_H
#define STOA_CLI_MIRROR_H

#include "stoa/buffer.h"
#include "stoa/tensor.h"

/* The columns of one tensor there. */
typedef struct cli_mirror_tensor {
    stoa_buffer *buffer;
    struct {
        void *host, *there;
        size_t bytes;
    } *columns;           /* [count] */
    uint32_t count;
    bool is_output;
} cli_mirror_tensor;

typedef struct cli_mirror {
    stoa_queue *queue;
    cli_mirror_tensor *tensors;
    uint32_t count;
    uint64_t copy_calls, copy_bytes; /* so far */
} cli_mirror;

/* Give `columns` (of one dtype each, rows adjacent) places on the queue's device; on the host they stay as they are. */
STOA_MUST_CHECK stoa_status cli_mirror_add(cli_mirror *mirror, stoa_column *columns, uint32_t count, bool is_output, stoa_error *err);
/* Enqueue the copies of all inputs there, or of all outputs back. */
STOA_MUST_CHECK stoa_status cli_mirror_copy(cli_mirror *mirror, bool outputs, stoa_error *err);
void cli_mirror_deinit(cli_mirror *mirror);

#endif
