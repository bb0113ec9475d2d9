/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include <string.h>

#include "stoa/memory.h"

stoai_timeline *stoai_timeline_create(uint32_t index)
{
    stoai_timeline *self = stoa_alloc(sizeof *self, _Alignof(stoai_timeline));
    if (!self) return NULL;
    memset(self, 0, sizeof *self);
    self->index = index;
    atomic_init(&self->given, 0);
    atomic_init(&self->done, 0);
    atomic_init(&self->waiters, 0);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    return self;
}

void stoai_timeline_destroy(stoai_timeline *timeline)
{
    if (!timeline) return;
    pthread_cond_destroy(&timeline->changed);
    pthread_mutex_destroy(&timeline->lock);
    stoa_free(timeline, sizeof *timeline);
}

/* The worker writes `done` and then reads `waiters`; who waits writes `waiters` and then reads `done`.
 * Sequentially consistent, so at least one of the two sees the other and no wake-up is lost. */
void stoai_timeline_advance(stoai_timeline *timeline)
{
    uint64_t done = atomic_load_explicit(&timeline->done, memory_order_relaxed);
    atomic_store(&timeline->done, done + 1);
    if (atomic_load(&timeline->waiters) == 0) return;
    pthread_mutex_lock(&timeline->lock);
    pthread_cond_broadcast(&timeline->changed);
    pthread_mutex_unlock(&timeline->lock);
}

void stoai_timeline_wait(stoai_timeline *timeline, uint64_t point)
{
    if (stoai_timeline_passed(timeline, point)) return;
    atomic_fetch_add(&timeline->waiters, 1);
    pthread_mutex_lock(&timeline->lock);
    while (atomic_load(&timeline->done) < point) pthread_cond_wait(&timeline->changed, &timeline->lock);
    pthread_mutex_unlock(&timeline->lock);
    atomic_fetch_sub(&timeline->waiters, 1);
}
