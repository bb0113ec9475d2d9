/* SPDX-License-Identifier: Apache-2.0 */
/* The queue-ordered caching allocator: above the back ends' raw memory, one per device and kind of memory.
 *
 * A block that is given back carries the queue that used it last and an event behind its last use. It is
 * handed out again at once to the same queue, and to another one when the event has passed: no request ever
 * waits.
 */
#ifndef STOAI_DEVICE_POOL_H
#define STOAI_DEVICE_POOL_H

#include "object.h"

typedef struct stoai_link {
    struct stoai_link *previous, *next;
} stoai_link;

struct stoai_block {
    stoa_buffer buffer;  /* the handle of whoever holds the block */
    stoai_link by_state; /* in live, cached or retired */
    stoai_link by_bin;   /* in its bin, while cached */
    void *data;
    size_t bytes, requested;
    uint32_t bin;
    bool pending;      /* not known yet that the last use is over */
    bool event_lost;   /* recording failed: only the same queue may have it again */
    uint64_t queue_id; /* last user */
    void *event;       /* made with the block, so that giving back cannot fail */
};

stoa_status stoai_pool_create(stoa_device *device, stoa_memory_kind kind, const stoa_device_options *options, stoai_pool **pool,
                              stoa_error *err);

/** Frees every block, waiting for what is still used; returns the number of blocks that were live. */
uint32_t stoai_pool_destroy(stoai_pool *pool, uint64_t *live_bytes);

/** A block of at least `bytes` > 0 for use on `queue`. */
stoa_status stoai_pool_alloc(stoai_pool *pool, stoa_queue *queue, size_t bytes, stoai_block **block, stoa_error *err);

/** Give a block back behind what is enqueued on `queue`. Cannot fail, does not wait. */
void stoai_pool_free(stoai_pool *pool, stoa_queue *queue, stoai_block *block);

void stoai_pool_stats(stoai_pool *pool, stoa_memory_stats *stats);
void stoai_pool_trim(stoai_pool *pool, uint64_t keep_bytes);

#endif
