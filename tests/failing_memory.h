/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation hook of tests: counts what is alive, and lets allocation number `fail_at` fail, or that one and all later ones. */
#ifndef TESTS_FAILING_MEMORY_H
#define TESTS_FAILING_MEMORY_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/memory.h"

static struct {
    atomic_llong live_blocks, live_bytes;
    atomic_ullong calls;
    unsigned long long fail_at; /* 0: none */
    bool persistent;
} failing_memory;

static void *failing_memory_alloc(void *user, size_t bytes, size_t align_bytes)
{
    (void)user;
    const unsigned long long call = atomic_fetch_add(&failing_memory.calls, 1) + 1, fail_at = failing_memory.fail_at;
    if (fail_at && (call == fail_at || (failing_memory.persistent && call > fail_at))) return NULL;
    if (align_bytes < sizeof(void *)) align_bytes = sizeof(void *);
    void *pointer = aligned_alloc(align_bytes, (bytes + align_bytes - 1) & ~(align_bytes - 1));
    if (!pointer) return NULL;
    atomic_fetch_add(&failing_memory.live_blocks, 1);
    atomic_fetch_add(&failing_memory.live_bytes, (long long)bytes);
    return pointer;
}

static void failing_memory_free(void *user, void *pointer, size_t bytes)
{
    (void)user;
    atomic_fetch_sub(&failing_memory.live_blocks, 1);
    atomic_fetch_sub(&failing_memory.live_bytes, (long long)bytes);
    free(pointer);
}

/* cmocka's set-up and tear-down of a group. */
static inline int install_failing_memory(void **state)
{
    (void)state;
    static const stoa_allocator hook = {sizeof hook, failing_memory_alloc, failing_memory_free, NULL};
    return stoa_allocator_set(&hook, NULL) == STOA_OK ? 0 : -1;
}

static inline int remove_failing_memory(void **state)
{
    (void)state;
    return stoa_allocator_set(NULL, NULL) == STOA_OK ? 0 : -1;
}

static inline void assert_nothing_left(void)
{
    assert_int_equal(atomic_load(&failing_memory.live_blocks), 0);
    assert_int_equal(atomic_load(&failing_memory.live_bytes), 0);
}

/* The scenario with allocation 1, 2, 3, ... failing, once and for good, until none is left to fail: each time it ends with ENOMEM and a
 * message, and nothing stays. Says how many allocations it makes; an allocation that fails once may be tried again with success. */
static inline unsigned long long assert_memory_may_run_out(stoa_status (*scenario)(stoa_error *err))
{
    unsigned long long calls = 0;
    for (int persistent = 0; persistent < 2; persistent++) {
        stoa_status status = STOA_ENOMEM;
        for (unsigned long long k = 1;; k++) {
            stoa_error err = {0};
            atomic_store(&failing_memory.calls, 0);
            failing_memory.fail_at = k;
            failing_memory.persistent = persistent;
            status = scenario(&err);
            failing_memory.fail_at = 0;
            calls = atomic_load(&failing_memory.calls);
            assert_nothing_left();
            if (k > calls) break;
            if (status == STOA_OK && !persistent) continue;
            if (status != STOA_ENOMEM || err.status != STOA_ENOMEM || !*err.message)
                fail_msg("allocation %llu of %llu fails: %s (%s)", k, calls, stoa_status_name(status), err.message);
        }
        assert_int_equal(status, STOA_OK);
    }
    return calls;
}

#endif
