/* SPDX-License-Identifier: Apache-2.0 */
/** The functions of the library that a plugin may call, as a table that the library hands it. For plugin authors.
 *
 *  An application may link libstoa as a shared or a static library; a plugin must use *that* one, with its allocation hook, and
 *  not a second copy. So a plugin links no libstoa: it is given this table at its entry. Code of a plugin that is linked with
 *  the object library `stoa_plugin` calls the functions by their ordinary names, once it has said where the table is:
 *
 *      const stoa_runtime_api *stoa_runtime_entry(uint32_t host_abi, const stoa_host_api *host) { stoai_plugin_host = host; ... }
 */
#ifndef STOA_HOST_H
#define STOA_HOST_H

#include "stoa/buffer.h"
#include "stoa/image.h"
#include "stoa/memory.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** The one list of functions: result, `return` where there is one, name, parameters, arguments. Append only. */
#define STOA_HOST_MAP(X) \
    X(void *, return, stoa_alloc, (size_t bytes, size_t align_bytes), (bytes, align_bytes)) \
    X(void *, return, stoa_calloc, (size_t count, size_t bytes), (count, bytes)) \
    X(void, , stoa_free, (void *pointer, size_t bytes), (pointer, bytes)) \
    X(uint64_t, return, stoa_alloc_count, (void), ()) \
    X(stoa_device *, return, stoa_queue_device, (const stoa_queue *queue), (queue)) \
    X(void *, return, stoa_queue_native, (const stoa_queue *queue), (queue)) \
    X(stoa_place, return, stoa_device_place, (const stoa_device *device), (device)) \
    X(stoa_status, return, stoa_buffer_create, \
      (stoa_queue * queue, stoa_memory_kind kind, size_t bytes, stoa_buffer **buffer, stoa_error *err), (queue, kind, bytes, buffer, err)) \
    X(void *, return, stoa_buffer_data, (const stoa_buffer *buffer), (buffer)) \
    X(void, , stoa_buffer_release, (stoa_buffer * buffer), (buffer)) \
    X(const stoa_kernel_image *, return, stoa_kernel_image_at, (uint32_t index), (index)) \
    X(stoa_status, return, stoa_device_describe, (const stoa_device *device, stoa_device_info *info, stoa_error *err), \
      (device, info, err)) \
    X(stoa_status, return, stoa_buffer_set_queue, (stoa_buffer * buffer, stoa_queue * queue, stoa_error * err), (buffer, queue, err)) \
    X(stoa_status, return, stoa_queue_copy, (stoa_queue * queue, void *dst, const void *src, size_t bytes, stoa_error *err), \
      (queue, dst, src, bytes, err)) \
    X(stoa_status, return, stoa_queue_fill, (stoa_queue * queue, void *dst, uint8_t value, size_t bytes, stoa_error *err), \
      (queue, dst, value, bytes, err)) \
    X(stoa_status, return, stoa_queue_wait, (stoa_queue * queue, stoa_error * err), (queue, err))

typedef struct stoa_host_api {
    uint32_t struct_size; /* first, for ever; sizeof as the library compiled it */
    uint32_t reserved;
#define STOA_HOST_SLOT_(result, ret, name, parameters, arguments) result(*name) parameters;
    STOA_HOST_MAP(STOA_HOST_SLOT_)
#undef STOA_HOST_SLOT_
} stoa_host_api;

STOA_END_DECLS
#endif
