/* SPDX-License-Identifier: Apache-2.0 */
#include "driver_pool.h"

#include <pthread.h>

#include "stoa/memory.h"

struct stoai_driver_pool {
    stoa_device *device;
    void *native;
    uint64_t limit_bytes; /* UINT64_MAX: none */

    pthread_mutex_t lock; /* over all below; the driver is called outside it */
    stoai_link live;
    stoai_link left; /* given back where their order could not be told: they go with the pool, and count as live */
    stoai_link idle; /* handles without memory, so that a buffer takes no heap memory once there were as many */
    stoa_memory_stats stats;
};

stoa_status stoai_driver_pool_create(stoa_device *device, const stoa_device_options *options, stoai_driver_pool **pool, stoa_error *err)
{
    *pool = NULL;
    if (!STOA_HAS(device->api, pool_create) || !STOA_HAS(device->api, pool_bytes))
        return STOA_FAIL(err, STOA_ENOTSUP, "device options: pool %u given, back end '%s' has none of a driver's", (unsigned)options->pool,
                         device->api->name);
    stoai_driver_pool *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device memory pool: %zu bytes wanted, none left", sizeof *self);
    self->device = device;
    self->limit_bytes = options->limit_bytes ? options->limit_bytes : UINT64_MAX;
    const uint64_t keep_bytes = options->cache_limit_bytes ? options->cache_limit_bytes : UINT64_MAX;
    const stoa_status status = device->api->pool_create(device->ctx, keep_bytes, &self->native, err);
    if (status != STOA_OK) {
        stoa_free(self, sizeof *self);
        return status;
    }
    pthread_mutex_init(&self->lock, NULL);
    stoai_list_init(&self->live);
    stoai_list_init(&self->left);
    stoai_list_init(&self->idle);
    *pool = self;
    return STOA_OK;
}

/* Under the lock: count `bytes` as live, and a handle for them if there is one. */
static stoa_status reserve(stoai_driver_pool *pool, size_t bytes, stoai_block **block, stoa_error *err)
{
    stoa_memory_stats *stats = &pool->stats;
    if (bytes > pool->limit_bytes || stats->live_bytes > pool->limit_bytes - bytes)
        return STOA_FAIL(err, STOA_ELIMIT, "device '%s:%u': a block of %zu bytes wanted, %llu live, limit_bytes %llu",
                         pool->device->api->name, (unsigned)pool->device->ordinal, bytes, (unsigned long long)stats->live_bytes,
                         (unsigned long long)pool->limit_bytes);
    stats->live_bytes += bytes;
    stats->requested_bytes += bytes;
    if (pool->idle.next != &pool->idle) {
        *block = stoai_block_of_state(pool->idle.next);
        stoai_list_remove(&(*block)->by_state);
    }
    return STOA_OK;
}

/* Under the lock. */
static void unreserve(stoai_driver_pool *pool, size_t bytes, stoai_block *block)
{
    pool->stats.live_bytes -= bytes;
    pool->stats.requested_bytes -= bytes;
    if (block) stoai_list_push(&pool->idle, &block->by_state);
}

static stoa_status take(stoai_driver_pool *pool, const stoa_queue *queue, size_t bytes, stoai_block **block, stoa_error *err)
{
    const stoa_device *device = pool->device;
    stoa_error inner = {0};
    if (!*block) *block = stoa_calloc(1, sizeof **block);
    if (!*block) return STOA_FAIL(err, STOA_ENOMEM, "memory block: %zu bytes wanted, none left", sizeof **block);
    const stoa_status status = device->api->pool_alloc(pool->native, queue->native, bytes, &(*block)->data, &inner);
    if (status == STOA_OK) return STOA_OK;
    stoa_memory_stats stats;
    stoai_driver_pool_stats(pool, &stats);
    return stoa_error_set(err, status, inner.native, STOA_HERE, "device '%s:%u': a block of %zu bytes wanted, %llu live, %llu cached: %s",
                          device->api->name, (unsigned)device->ordinal, bytes, (unsigned long long)(stats.live_bytes - bytes),
                          (unsigned long long)stats.cached_bytes, inner.message);
}

stoa_status stoai_driver_pool_alloc(stoai_driver_pool *pool, stoa_queue *queue, size_t bytes, stoai_block **out, stoa_error *err)
{
    stoai_block *block = NULL;
    *out = NULL;
    if (stoai_queue_is_captured(queue))
        return STOA_FAIL(err, STOA_ESTATE, "device '%s:%u': a block of %zu bytes of the driver's pool wanted on a queue that is captured",
                         pool->device->api->name, (unsigned)pool->device->ordinal, bytes);
    pthread_mutex_lock(&pool->lock);
    stoa_status status = reserve(pool, bytes, &block, err);
    pthread_mutex_unlock(&pool->lock);
    STOA_TRY(status);
    status = take(pool, queue, bytes, &block, err);
    pthread_mutex_lock(&pool->lock);
    if (status == STOA_OK) {
        block->bytes = block->requested = bytes;
        stoai_list_push(&pool->live, &block->by_state);
        pool->stats.alloc_calls++;
        pool->stats.raw_alloc_calls++;
        if (pool->stats.live_bytes > pool->stats.peak_live_bytes) pool->stats.peak_live_bytes = pool->stats.live_bytes;
        *out = block;
    } else {
        unreserve(pool, bytes, block);
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

/* A queue that is gone has passed everything. One that is captured would give the memory back in the graph only, and what a device in a
 * fatal state refuses is not known to be passed. */
static bool give_back(const stoai_driver_pool *pool, stoa_queue *queue, void *data)
{
    const stoa_backend_api *api = pool->device->api;
    if (atomic_load_explicit(&queue->destroyed, memory_order_acquire)) {
        api->memory_free(pool->device->ctx, STOA_MEMORY_DEVICE, data, 0);
        return true;
    }
    return !stoai_queue_is_captured(queue) && api->pool_free(queue->native, data, NULL) == STOA_OK;
}

void stoai_driver_pool_free(stoai_driver_pool *pool, stoa_queue *queue, stoai_block *block)
{
    const bool given = give_back(pool, queue, block->data);
    pthread_mutex_lock(&pool->lock);
    stoai_list_remove(&block->by_state);
    if (given) unreserve(pool, block->bytes, block);
    else stoai_list_push(&pool->left, &block->by_state);
    pthread_mutex_unlock(&pool->lock);
}

void stoai_driver_pool_stats(stoai_driver_pool *pool, stoa_memory_stats *stats)
{
    const stoa_device *device = pool->device;
    uint64_t bytes = 0;
    (void)device->api->pool_bytes(device->ctx, pool->native, &bytes, NULL);
    pthread_mutex_lock(&pool->lock);
    *stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    stats->cached_bytes = bytes > stats->live_bytes ? bytes - stats->live_bytes : 0;
}

/* The driver counts what it keeps together with what is used. */
stoa_status stoai_driver_pool_trim(stoai_driver_pool *pool, uint64_t keep_bytes, stoa_error *err)
{
    pthread_mutex_lock(&pool->lock);
    const uint64_t live = pool->stats.live_bytes;
    pthread_mutex_unlock(&pool->lock);
    const stoa_device *device = pool->device;
    return device->api->pool_trim(device->ctx, pool->native, keep_bytes > UINT64_MAX - live ? UINT64_MAX : live + keep_bytes, err);
}

static uint32_t destroy_list(const stoai_driver_pool *pool, stoai_link *head, bool memory)
{
    uint32_t count = 0;
    for (; head->next != head; count++) {
        stoai_block *block = stoai_block_of_state(head->next);
        stoai_list_remove(&block->by_state);
        if (memory) pool->device->api->memory_free(pool->device->ctx, STOA_MEMORY_DEVICE, block->data, block->bytes);
        stoa_free(block, sizeof *block);
    }
    return count;
}

uint32_t stoai_driver_pool_destroy(stoai_driver_pool *pool, uint64_t *live_bytes)
{
    for (stoai_link *link = pool->live.next; link != &pool->live; link = link->next) {
        *live_bytes += stoai_block_of_state(link)->bytes;
        stoai_queue_release(stoai_block_of_state(link)->buffer.queue); /* the reference its owner never gave back */
    }
    const uint32_t live = destroy_list(pool, &pool->live, true);
    destroy_list(pool, &pool->left, true);
    destroy_list(pool, &pool->idle, false);
    pool->device->api->pool_destroy(pool->device->ctx, pool->native);
    pthread_mutex_destroy(&pool->lock);
    stoa_free(pool, sizeof *pool);
    return live;
}
