/* SPDX-License-Identifier: Apache-2.0 */
/** What a back end gives the library: one table of functions. For plugin authors; applications never see it.
 *
 *  The host back end is such a table too. A plugin is a shared library "libstoa_<name>.so" beside libstoa or in
 *  STOA_PLUGIN_PATH that exports `stoa_backend_entry`; it is opened with RTLD_NOW | RTLD_LOCAL and never closed.
 *  The caching allocator, buffers, range checks and statistics live above this table, once for all back ends.
 *
 *      static const stoa_backend_api api = {sizeof api, STOA_BACKEND_ABI, "cuda", .device_count = ...};
 *      const stoa_backend_api *stoa_backend_entry(uint32_t host_abi, const stoa_host_api *host) { return &api; }
 */
#ifndef STOA_BACKEND_H
#define STOA_BACKEND_H

#include "stoa/host.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

#define STOA_BACKEND_ABI 1u

/** Every slot returns a status, fills `err`, and obeys the contract of the public function of the same name. */
typedef struct stoa_backend_api {
    uint32_t struct_size, abi; /* first, for ever; struct_size as the back end compiled it */
    const char *name;
    int32_t place_type;        /* DLPack code of its memory */
    uint32_t reserved;

    stoa_status (*device_count)(uint32_t *count, stoa_error *err);
    stoa_status (*device_open)(uint32_t ordinal, void **ctx, stoa_error *err);
    void (*device_close)(void *ctx);
    stoa_status (*device_describe)(void *ctx, stoa_device_info *info, stoa_error *err);
    stoa_status (*device_wait)(void *ctx, stoa_error *err);

    /* Raw memory, STOA_BUFFER_ALIGN_BYTES aligned: called by the caching allocator only. */
    stoa_status (*memory_alloc)(void *ctx, stoa_memory_kind kind, size_t bytes, void **out, stoa_error *err);
    void (*memory_free)(void *ctx, stoa_memory_kind kind, void *pointer, size_t bytes);

    stoa_status (*queue_create)(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err);
    stoa_status (*queue_wrap)(void *ctx, void *native, void **queue, stoa_error *err);
    void (*queue_destroy)(void *queue);
    void *(*queue_native)(void *queue);
    stoa_status (*queue_wait)(void *queue, stoa_error *err);
    stoa_status (*queue_is_idle)(void *queue, bool *idle, stoa_error *err);
    stoa_status (*queue_enqueue)(void *queue, stoa_host_task task, void *user, stoa_error *err);
    stoa_status (*queue_launch)(void *queue, const stoa_kernel *kernel, const void *args, stoa_error *err);
    stoa_status (*queue_copy_2d)(void *queue, void *dst, size_t dst_pitch_bytes, const void *src, size_t src_pitch_bytes,
                                 size_t width_bytes, size_t height, stoa_error *err); /* a flat copy has height 1 */
    stoa_status (*queue_fill)(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err);

    stoa_status (*event_create)(void *ctx, void **event, stoa_error *err);
    void (*event_destroy)(void *event);
    stoa_status (*event_record)(void *event, void *queue, stoa_error *err);
    stoa_status (*event_is_done)(void *event, bool *done, stoa_error *err);
    stoa_status (*event_wait)(void *event, stoa_error *err);
    stoa_status (*queue_wait_event)(void *queue, void *event, stoa_error *err);
    /* --- ABI 1 ends here; append only --- */

    /* Optional: a table without it has queues of which no graph is ever captured. */
    stoa_status (*queue_is_captured)(void *queue, bool *captured, stoa_error *err);
    /* Optional, all or none: a pool of the driver's own (STOA_POOL_DRIVER), which keeps at most `keep_bytes` that nobody uses,
     * and whose memory is taken and given back in the order of a queue. memory_free takes it too, when all its users are done. */
    stoa_status (*pool_create)(void *ctx, uint64_t keep_bytes, void **pool, stoa_error *err);
    void (*pool_destroy)(void *ctx, void *pool);
    stoa_status (*pool_alloc)(void *pool, void *queue, size_t bytes, void **out, stoa_error *err);
    stoa_status (*pool_free)(void *queue, void *pointer, stoa_error *err);
    stoa_status (*pool_trim)(void *ctx, void *pool, uint64_t keep_bytes, stoa_error *err);
    stoa_status (*pool_bytes)(void *ctx, void *pool, uint64_t *bytes, stoa_error *err); /* used or kept */
} stoa_backend_api;

/** Whether a table that may be older than this header has a slot. */
#define STOA_HAS(api, slot) ((api)->struct_size >= offsetof(stoa_backend_api, slot) + sizeof((api)->slot) && (api)->slot != NULL)

/** The one function that a plugin exports; NULL when it cannot serve `host_abi`. `host` gives it the library's functions.
 *  owns static storage; borrows `host` for ever   threads any   errors NULL   since 0.1 */
typedef const stoa_backend_api *(*stoa_backend_entry_fn)(uint32_t host_abi, const stoa_host_api *host);

/** Register a table under its name; for back ends inside the application (tests' fault-injecting wrappers, fakes).
 *  owns borrows `api` for ever   threads none may open devices meanwhile   errors EINVAL NULL; EABI size, abi, name or a missing slot; ENAME taken; ELIMIT table full   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_backend_register(const stoa_backend_api *api, stoa_error *err);

STOA_END_DECLS
#endif
