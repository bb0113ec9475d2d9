/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/struct_size.h"

static void *default_alloc(void *user, size_t bytes, size_t align_bytes)
{
    (void)user;
    if (align_bytes < sizeof(void *)) align_bytes = sizeof(void *);
    if (bytes > SIZE_MAX - align_bytes) return NULL;
    /* aligned_alloc wants a multiple of the alignment. */
    return aligned_alloc(align_bytes, (bytes + align_bytes - 1) & ~(align_bytes - 1));
}

static void default_free(void *user, void *pointer, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(pointer);
}

static const stoa_allocator default_allocator = {sizeof(stoa_allocator), default_alloc, default_free, NULL};

/* The two process-wide hooks that the public header announces; set while nothing else runs, read ever after. */
static stoa_allocator hook = {sizeof(stoa_allocator), default_alloc, default_free, NULL};
static atomic_uint_fast64_t alloc_calls;
static struct {
    stoa_log_callback callback;
    void *user;
    stoa_log_level max_level;
} log_hook;

stoa_status stoa_allocator_set(const stoa_allocator *allocator, stoa_error *err)
{
    if (!allocator) allocator = &default_allocator;
    STOA_TRY(STOAI_CHECK_STRUCT(allocator, "allocator", err));
    if (!allocator->alloc || !allocator->free) return STOA_FAIL(err, STOA_EINVAL, "allocator: alloc or free is NULL");
    hook = *allocator;
    return STOA_OK;
}

void *stoa_alloc(size_t bytes, size_t align_bytes)
{
    if (bytes == 0) bytes = 1;
    atomic_fetch_add_explicit(&alloc_calls, 1, memory_order_relaxed);
    return hook.alloc(hook.user, bytes, align_bytes);
}

void *stoa_calloc(size_t count, size_t bytes)
{
    if (bytes && count > SIZE_MAX / bytes) return NULL;
    void *pointer = stoa_alloc(count * bytes, _Alignof(max_align_t));
    if (pointer) memset(pointer, 0, count * bytes);
    return pointer;
}

void stoa_free(void *pointer, size_t bytes)
{
    if (pointer) hook.free(hook.user, pointer, bytes ? bytes : 1);
}

uint64_t stoa_alloc_count(void) { return atomic_load_explicit(&alloc_calls, memory_order_relaxed); }

void stoa_log_set(stoa_log_callback callback, void *user, stoa_log_level max_level)
{
    log_hook.callback = callback;
    log_hook.user = user;
    log_hook.max_level = max_level;
}

void stoa_log(stoa_log_level level, const char *format, ...)
{
    if (!log_hook.callback || level > log_hook.max_level) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_hook.callback(log_hook.user, level, line);
}
