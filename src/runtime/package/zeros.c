/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/package/zeros.h"

#include <string.h>

#include "stoa/memory.h"
#include "stoa/queue.h"

stoa_status stoai_zeros_make(stoai_zeros *zeros, stoa_queue *queue, size_t bytes, stoa_error *err)
{
    *zeros = (stoai_zeros){NULL, bytes, NULL};
    if (!queue) {
        zeros->data = stoa_alloc(bytes, 64);
        if (!zeros->data) return STOA_FAIL(err, STOA_ENOMEM, "session: %zu bytes to plan with", bytes);
        memset(zeros->data, 0, bytes);
        return STOA_OK;
    }
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &zeros->buffer, err));
    zeros->data = stoa_buffer_data(zeros->buffer);
    const stoa_status status = stoa_queue_fill(queue, zeros->data, 0, bytes, err);
    if (status != STOA_OK) stoai_zeros_end(zeros);
    return status;
}

void stoai_zeros_end(stoai_zeros *zeros)
{
    if (zeros->buffer) stoa_buffer_release(zeros->buffer);
    else stoa_free(zeros->data, zeros->bytes);
    *zeros = (stoai_zeros){NULL, 0, NULL};
}
