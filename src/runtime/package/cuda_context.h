/* SPDX-License-Identifier: Apache-2.0 */
/* A device's primary context for runtimes whose libraries work in the one that is current on the calling thread. The driver is looked up
 * by name: without one there is a status. */
#ifndef STOAI_PACKAGE_CUDA_CONTEXT_H
#define STOAI_PACKAGE_CUDA_CONTEXT_H

#include "stoa/status.h"

STOA_BEGIN_DECLS

typedef struct stoai_cuda_context {
    int32_t ordinal;
    void *context; /* NULL: none is held */
} stoai_cuda_context;

/** Hold a device's primary context.  errors ENOTSUP no driver; EDEVICE what the driver says */
stoa_status stoai_cuda_context_open(int32_t ordinal, stoai_cuda_context *cuda, stoa_error *err);
void stoai_cuda_context_close(stoai_cuda_context *cuda);
/** Make it the thread's current one, and the one before again. Nothing when none is held. */
void stoai_cuda_context_enter(const stoai_cuda_context *cuda);
void stoai_cuda_context_leave(const stoai_cuda_context *cuda);

STOA_END_DECLS
#endif
