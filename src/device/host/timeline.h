/* SPDX-License-Identifier: Apache-2.0 */
/* A timeline counts what a host queue was given and what it has finished. Both counts only grow, so that a
 * point of the queue is one number and an event is (timeline, number): recording one takes no entry of the
 * ring, moving it leaves those who wait for the earlier point alone, and destroying it leaves nothing behind.
 * A queue's timeline goes to the next queue when it is destroyed, with its counts: points of the past stay in
 * the past. Freed with the device.
 */
#ifndef STOAI_HOST_TIMELINE_H
#define STOAI_HOST_TIMELINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "stoa/status.h"

typedef struct stoai_timeline {
    uint32_t index;                          /* in its device's table */
    _Alignas(64) atomic_uint_fast64_t given; /* written by the queue's user */
    _Alignas(64) atomic_uint_fast64_t done;  /* written by the queue's worker */
    atomic_uint waiters;
    pthread_mutex_t lock; /* taken by those who wait, and by the worker only when somebody does */
    pthread_cond_t changed;
} stoai_timeline;

/** NULL when there is no memory. */
stoai_timeline *stoai_timeline_create(uint32_t index);
void stoai_timeline_destroy(stoai_timeline *timeline);

static inline bool stoai_timeline_passed(stoai_timeline *timeline, uint64_t point)
{ return atomic_load_explicit(&timeline->done, memory_order_acquire) >= point; }

/** The point behind all that was given so far. */
static inline uint64_t stoai_timeline_end(stoai_timeline *timeline) { return atomic_load_explicit(&timeline->given, memory_order_acquire); }

/** One entry more is given; by the queue's user only. */
static inline void stoai_timeline_give(stoai_timeline *timeline)
{
    uint64_t given = atomic_load_explicit(&timeline->given, memory_order_relaxed);
    atomic_store_explicit(&timeline->given, given + 1, memory_order_release);
}

/** One entry more of a queue that runs in the caller's thread: given when it is done, so that nobody ever waits for it and none of this
 *  takes a locked instruction. By the queue's user only. */
static inline void stoai_timeline_pass(stoai_timeline *timeline)
{
    const uint64_t done = atomic_load_explicit(&timeline->done, memory_order_relaxed);
    atomic_store_explicit(&timeline->done, done + 1, memory_order_release);
    atomic_store_explicit(&timeline->given, done + 1, memory_order_release);
}

/** One entry more is done; wakes those who wait. By the queue's worker only. */
void stoai_timeline_advance(stoai_timeline *timeline);

/** Block the caller until `point` has passed. */
void stoai_timeline_wait(stoai_timeline *timeline, uint64_t point);

#endif
