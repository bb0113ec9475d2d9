/* SPDX-License-Identifier: Apache-2.0 */
/** The one hook through which the library takes host memory for its own objects, and the log callback.
 *
 *  Everything the library allocates on the host heap goes through this hook: objects, plans, workspaces, the
 *  raw blocks of the host device's caching allocator. A framework can count, limit or fail it. Not for event data:
 *  that lives in buffers (stoa/buffer.h).
 *
 *      stoa_allocator counting = {sizeof counting, my_alloc, my_free, &my_counters};
 *      stoa_allocator_set(&counting, NULL);     // before the first object is made
 */
#ifndef STOA_MEMORY_H
#define STOA_MEMORY_H

#include "stoa/status.h"

STOA_BEGIN_DECLS

/** An allocation hook. Both functions may be called from any thread at once. */
typedef struct stoa_allocator {
    uint32_t struct_size;
    /** `bytes` > 0, `align_bytes` a power of two; NULL when there is none. */
    void *(*alloc)(void *user, size_t bytes, size_t align_bytes);
    /** `pointer` is never NULL; `bytes` is what was asked for. */
    void (*free)(void *user, void *pointer, size_t bytes);
    void *user;
} stoa_allocator;

/** Install the process-wide hook; NULL restores the default (aligned_alloc and free).
 *
 *  owns     copies the struct; `user` must outlive all objects
 *  threads  call while no Stoa object is alive and no other Stoa call runs
 *  errors   EINVAL missing function, or a struct_size that is not taken (stoa/status.h)     since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_allocator_set(const stoa_allocator *allocator, stoa_error *err);

/** Allocate through the hook. For runtimes and code built on the library.
 *  owns caller releases with stoa_free and the same `bytes`   threads any   errors NULL when memory is exhausted   since 0.1 */
STOA_API void *stoa_alloc(size_t bytes, size_t align_bytes);

/** As stoa_alloc, `count * bytes` zeroed, NULL on overflow too.
 *  owns caller releases with stoa_free(p, count * bytes)   threads any   errors NULL   since 0.1 */
STOA_API void *stoa_calloc(size_t count, size_t bytes);

/** Give memory back to the hook; NULL is a no-op.
 *  owns takes `pointer`   threads any   errors none   since 0.1 */
STOA_API void stoa_free(void *pointer, size_t bytes);

/** Number of stoa_alloc calls of this process so far; what "no allocation in run" is checked with.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API uint64_t stoa_alloc_count(void);

typedef enum stoa_log_level { STOA_LOG_ERROR = 0, STOA_LOG_WARNING = 1, STOA_LOG_INFO = 2, STOA_LOG_DEBUG = 3 } stoa_log_level;

/** Receives one line without a newline. May be called from any thread. */
typedef void (*stoa_log_callback)(void *user, stoa_log_level level, const char *line);

/** Install the log callback; NULL (the default) is silence.
 *  owns borrows `user`   threads as stoa_allocator_set   errors none   since 0.1 */
STOA_API void stoa_log_set(stoa_log_callback callback, void *user, stoa_log_level max_level);

/** Send a line to the callback, if one is installed and `level` is not above its maximum.
 *  owns borrows   threads any   errors none   since 0.1 */
STOA_API void stoa_log(stoa_log_level level, const char *format, ...) STOA_PRINTF(2, 3);

STOA_END_DECLS
#endif
