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

/* Intrusive circular lists: the link of a pool is the head, moving a block takes no search and no memory. */

static inline void stoai_list_init(stoai_link *head) { head->previous = head->next = head; }

static inline void stoai_list_push(stoai_link *head, stoai_link *link)
{
    link->previous = head;
    link->next = head->next;
    head->next->previous = link;
    head->next = link;
}

static inline void stoai_list_remove(stoai_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
}

static inline stoai_block *stoai_block_of_state(stoai_link *link)
{ return (stoai_block *)(void *)((char *)link - offsetof(stoai_block, by_state)); }

stoa_status stoai_pool_create(stoa_device *device, stoa_memory_kind kind, const stoa_device_options *options, stoai_pool **pool,
                              stoa_error *err);

/** Let a pool of the driver's serve from here on, as the options ask; the device is open. Errors as stoai_driver_pool_create. */
stoa_status stoai_pool_use_driver(stoai_pool *pool, const stoa_device_options *options, stoa_error *err);

/** Frees every block, waiting for what is still used; returns the number of blocks that were live. */
uint32_t stoai_pool_destroy(stoai_pool *pool, uint64_t *live_bytes);

/** A block of at least `bytes` > 0 for use on `queue`. */
stoa_status stoai_pool_alloc(stoai_pool *pool, stoa_queue *queue, size_t bytes, stoai_block **block, stoa_error *err);

/** Give a block back behind what is enqueued on `queue`. Cannot fail, does not wait. */
void stoai_pool_free(stoai_pool *pool, stoa_queue *queue, stoai_block *block);

void stoai_pool_stats(stoai_pool *pool, stoa_memory_stats *stats);
stoa_status stoai_pool_trim(stoai_pool *pool, uint64_t keep_bytes, stoa_error *err);

#endif
