/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of zeros that a runtime's first call reads and writes: the call tells what a run needs, and loads what a first call loads. */
#ifndef STOAI_PACKAGE_ZEROS_H
#define STOAI_PACKAGE_ZEROS_H

#include "stoa/buffer.h"

STOA_BEGIN_DECLS

typedef struct stoai_zeros {
    char *data; /* at a multiple of 64 bytes or more */
    size_t bytes;
    stoa_buffer *buffer; /* what holds it on another device */
} stoai_zeros;

/** On the host at once where `queue` is NULL, else on its device in its order.  errors ENOMEM; EDEVICE; there is nothing to end then */
stoa_status stoai_zeros_make(stoai_zeros *zeros, stoa_queue *queue, size_t bytes, stoa_error *err);
/** Give it back, on a device behind what the queue was given so far. */
void stoai_zeros_end(stoai_zeros *zeros);

STOA_END_DECLS
#endif
