/* SPDX-License-Identifier: Apache-2.0 */
/* The guards that libtorch would serve to a package compiled for CUDA. Kernels get their stream as an argument, so guards of streams have
 * nothing to do. */
#include "runtime/aoti/model.h"
#include "runtime/aoti/shim_internal.h"

static int32_t create_guard(int32_t device_index, void **guard)
{
    shim_context *context = stoai_shim_current();
    *guard = NULL;
    if (!context || device_index != context->device_index)
        return stoai_shim_fail("a guard of CUDA device %d, the session's is %d", device_index, context ? context->device_index : -1);
    *guard = context;
    return 0;
}

static int32_t create_stream_guard(void *stream, int32_t device_index, void **guard)
{
    (void)stream;
    return create_guard(device_index, guard);
}

static int32_t delete_guard(void *guard) { return (void)guard, 0; }

static int32_t current_stream(int32_t device_index, void **stream)
{
    void *guard;
    *stream = NULL;
    if (create_guard(device_index, &guard)) return 1;
    *stream = stoa_queue_native(stoai_shim_current()->queue);
    return 0;
}

#define SERVE(name, function) {"aoti_torch_" name, (void (*)(void))(function)}
const shim_symbol stoai_shim_guards_of_cuda[] = {
    SERVE("create_cuda_guard", create_guard),
    SERVE("delete_cuda_guard", delete_guard),
    SERVE("create_cuda_stream_guard", create_stream_guard),
    SERVE("delete_cuda_stream_guard", delete_guard),
    SERVE("get_current_cuda_stream", current_stream),
    {NULL, NULL},
};
