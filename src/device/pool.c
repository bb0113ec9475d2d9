/* SPDX-License-Identifier: Apache-2.0 */
#include "driver_pool.h"

#include <pthread.h>
#include <string.h>

#include "stoa/memory.h"

#define LARGE_ROUND_BYTES ((size_t)2 << 20)
#define BIN_MIN_DEFAULT_BYTES ((size_t)256)
#define BIN_MAX_DEFAULT_BYTES ((size_t)1 << 30)
#define FILL_OUT 0xA5
#define FILL_BACK 0x5A

/* Bins 0..63 hold blocks of 2^bin bytes; all larger blocks share one list, as there are few of them. */
enum { BIN_LARGE = 64, BIN_COUNT = 65 };

struct stoai_pool {
    stoa_device *device;
    stoa_memory_kind kind;
    stoai_driver_pool *driver; /* NULL: blocks are kept here */
    uint64_t limit_bytes, cache_limit_bytes; /* UINT64_MAX: none */
    size_t bin_min_bytes, bin_max_bytes;
    bool debug_fill;

    pthread_mutex_t lock;       /* over all below; back end calls that may be slow are made outside it */
    stoai_link bins[BIN_COUNT]; /* cached blocks, last released first */
    stoai_link live;
    stoai_link cached;  /* all bins together, last released first: the far end is evicted */
    stoai_link retired; /* released, over the cache's limit, still used by a queue: counted as live */
    stoa_memory_stats stats;
};

static stoai_block *block_of_bin(stoai_link *link) { return (stoai_block *)(void *)((char *)link - offsetof(stoai_block, by_bin)); }

static bool is_power_of_two(uint64_t value) { return value && (value & (value - 1)) == 0; }

static stoa_status set_options(stoai_pool *pool, const stoa_device_options *options, stoa_error *err)
{
    uint64_t bin_min = options->bin_min_bytes ? options->bin_min_bytes : BIN_MIN_DEFAULT_BYTES;
    uint64_t bin_max = options->bin_max_bytes ? options->bin_max_bytes : BIN_MAX_DEFAULT_BYTES;
    if (!is_power_of_two(bin_min) || !is_power_of_two(bin_max) || bin_min > bin_max || bin_max > SIZE_MAX / 4)
        return STOA_FAIL(err, STOA_EINVAL, "device options: bins of %llu to %llu bytes, ascending powers of two needed",
                         (unsigned long long)bin_min, (unsigned long long)bin_max);
    if (options->debug_fill > 1)
        return STOA_FAIL(err, STOA_EINVAL, "device options: debug_fill %u given, 0 or 1 needed", (unsigned)options->debug_fill);
    if (options->pool != STOA_POOL_OWN && options->pool != STOA_POOL_DRIVER)
        return STOA_FAIL(err, STOA_EINVAL, "device options: pool %u given, 0 or 1 needed", (unsigned)options->pool);
    pool->limit_bytes = options->limit_bytes ? options->limit_bytes : UINT64_MAX;
    pool->cache_limit_bytes = options->cache_limit_bytes ? options->cache_limit_bytes : UINT64_MAX;
    pool->bin_min_bytes = (size_t)bin_min;
    pool->bin_max_bytes = (size_t)bin_max;
    pool->debug_fill = options->debug_fill && pool->device->api->place_type == STOA_PLACE_HOST;
    return STOA_OK;
}

stoa_status stoai_pool_create(stoa_device *device, stoa_memory_kind kind, const stoa_device_options *options, stoai_pool **pool,
                              stoa_error *err)
{
    *pool = NULL;
    stoai_pool *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device memory pool: %zu bytes wanted, none left", sizeof *self);
    self->device = device;
    self->kind = kind;
    stoa_status status = set_options(self, options, err);
    if (status != STOA_OK) {
        stoa_free(self, sizeof *self);
        return status;
    }
    pthread_mutex_init(&self->lock, NULL);
    for (int i = 0; i < BIN_COUNT; i++) stoai_list_init(&self->bins[i]);
    stoai_list_init(&self->live);
    stoai_list_init(&self->cached);
    stoai_list_init(&self->retired);
    *pool = self;
    return STOA_OK;
}

stoa_status stoai_pool_use_driver(stoai_pool *pool, const stoa_device_options *options, stoa_error *err)
{ return stoai_driver_pool_create(pool->device, options, &pool->driver, err); }

/* The size of the block that serves a request, and its bin; false on overflow. */
static bool round_up(const stoai_pool *pool, size_t bytes, size_t *rounded, uint32_t *bin)
{
    if (bytes > pool->bin_max_bytes) {
        if (bytes > SIZE_MAX - LARGE_ROUND_BYTES) return false;
        *rounded = (bytes + LARGE_ROUND_BYTES - 1) & ~(LARGE_ROUND_BYTES - 1);
        *bin = BIN_LARGE;
        return true;
    }
    size_t size = pool->bin_min_bytes;
    while (size < bytes) size *= 2;
    *rounded = size;
    *bin = 0;
    while (size >>= 1) ++*bin;
    return true;
}

static bool is_done(const stoai_pool *pool, stoai_block *block)
{
    if (!block->pending) return true;
    if (block->event_lost) return false;
    bool done = false;
    if (pool->device->api->event_is_done(block->event, &done, NULL) != STOA_OK) return false;
    if (done) block->pending = false; /* asked once, known for ever */
    return done;
}

/* Power-of-two bins hold one size. A large block may serve a slightly smaller request: needs vary. */
static bool fits(const stoai_block *block, size_t bytes) { return block->bytes >= bytes && block->bytes - bytes <= bytes / 8; }

/* A cached block that the queue may use now: its own last one, still warm, else the oldest that is done. Pinned memory the host writes
 * without a queue, so it must be done in any case. */
static stoai_block *find_cached(stoai_pool *pool, uint32_t bin, size_t bytes, uint64_t queue_id)
{
    stoai_link *head = &pool->bins[bin];
    for (stoai_link *link = head->next; link != head; link = link->next) {
        stoai_block *block = block_of_bin(link);
        if (block->queue_id == queue_id && fits(block, bytes) && (pool->kind == STOA_MEMORY_DEVICE || is_done(pool, block))) return block;
    }
    uint64_t busy_queue_id = 0; /* a queue's events pass in order: behind one that has not, none has */
    for (stoai_link *link = head->previous; link != head; link = link->previous) {
        stoai_block *block = block_of_bin(link);
        if (!fits(block, bytes) || (block->pending && block->queue_id == busy_queue_id)) continue;
        if (is_done(pool, block)) return block;
        busy_queue_id = block->queue_id;
    }
    return NULL;
}

static void take_from_cache(stoai_pool *pool, stoai_block *block)
{
    stoai_list_remove(&block->by_bin);
    stoai_list_remove(&block->by_state);
    pool->stats.cached_bytes -= block->bytes;
}

static void count_live(stoai_pool *pool, size_t bytes, size_t requested)
{
    pool->stats.live_bytes += bytes;
    pool->stats.requested_bytes += requested;
}

static void uncount_live(stoai_pool *pool, size_t bytes, size_t requested)
{
    pool->stats.live_bytes -= bytes;
    pool->stats.requested_bytes -= requested;
}

/* Move to `doomed` cached blocks that nobody uses, oldest first, until at most `keep_bytes` are cached. */
static void evict(stoai_pool *pool, uint64_t keep_bytes, stoai_link *doomed)
{
    stoai_link *link = pool->cached.previous;
    while (link != &pool->cached && pool->stats.cached_bytes > keep_bytes) {
        stoai_block *block = stoai_block_of_state(link);
        link = link->previous;
        if (!is_done(pool, block)) continue;
        take_from_cache(pool, block);
        stoai_list_push(doomed, &block->by_state);
    }
}

/* Move to `doomed` the retired blocks that their queues have passed. */
static void collect_retired(stoai_pool *pool, stoai_link *doomed)
{
    stoai_link *link = pool->retired.next;
    while (link != &pool->retired) {
        stoai_block *block = stoai_block_of_state(link);
        link = link->next;
        if (!is_done(pool, block)) continue;
        stoai_list_remove(&block->by_state);
        uncount_live(pool, block->bytes, block->requested);
        stoai_list_push(doomed, &block->by_state);
    }
}

static void destroy_block(stoai_pool *pool, stoai_block *block)
{
    const stoa_backend_api *api = pool->device->api;
    if (block->data) api->memory_free(pool->device->ctx, pool->kind, block->data, block->bytes);
    if (block->event) api->event_destroy(block->event);
    stoa_free(block, sizeof *block);
}

/* Outside the lock: a driver may take its time to free. True when there was something to free. */
static bool destroy_all(stoai_pool *pool, stoai_link *doomed)
{
    bool any = doomed->next != doomed;
    while (doomed->next != doomed) {
        stoai_block *block = stoai_block_of_state(doomed->next);
        stoai_list_remove(&block->by_state);
        destroy_block(pool, block);
    }
    return any;
}

static stoa_status make_block(stoai_pool *pool, size_t bytes, uint32_t bin, stoai_block **out, stoa_error *err)
{
    const stoa_backend_api *api = pool->device->api;
    stoai_block *block = stoa_calloc(1, sizeof *block);
    if (!block) return STOA_FAIL(err, STOA_ENOMEM, "memory block: %zu bytes wanted, none left", sizeof *block);
    block->bytes = bytes;
    block->bin = bin;
    stoa_status status = api->event_create(pool->device->ctx, &block->event, err);
    if (status == STOA_OK) status = api->memory_alloc(pool->device->ctx, pool->kind, bytes, &block->data, err);
    if (status != STOA_OK) {
        block->data = NULL;
        destroy_block(pool, block);
        return status;
    }
    *out = block;
    return STOA_OK;
}

/* `bytes` are reserved: get them from the back end, giving it all idle blocks back if it has none left. */
static stoa_status make_block_or_drop_cache(stoai_pool *pool, size_t bytes, uint32_t bin, stoai_block **block, stoa_error *err)
{
    stoa_error inner = {0};
    stoa_status status = make_block(pool, bytes, bin, block, &inner);
    if (status != STOA_OK) {
        stoai_link doomed;
        stoai_list_init(&doomed);
        pthread_mutex_lock(&pool->lock);
        evict(pool, 0, &doomed);
        collect_retired(pool, &doomed);
        pthread_mutex_unlock(&pool->lock);
        if (destroy_all(pool, &doomed)) status = make_block(pool, bytes, bin, block, &inner);
    }
    if (status == STOA_OK) return STOA_OK;
    stoa_memory_stats stats;
    stoai_pool_stats(pool, &stats);
    return stoa_error_set(err, status, inner.native, STOA_HERE, "device '%s:%u': a block of %zu bytes wanted, %llu live, %llu cached: %s",
                          pool->device->api->name, (unsigned)pool->device->ordinal, bytes, (unsigned long long)(stats.live_bytes - bytes),
                          (unsigned long long)stats.cached_bytes, inner.message);
}

/* Make room below the limit for `bytes` more by evicting what is idle; under the lock. */
static stoa_status reserve(stoai_pool *pool, size_t bytes, stoai_link *doomed, stoa_error *err)
{
    uint64_t live = pool->stats.live_bytes;
    if (bytes <= pool->limit_bytes && live <= pool->limit_bytes - bytes) {
        evict(pool, pool->limit_bytes - bytes - live, doomed);
        if (pool->stats.cached_bytes <= pool->limit_bytes - bytes - live) return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ELIMIT, "device '%s:%u': a block of %zu bytes wanted, %llu live, %llu cached and in use, limit_bytes %llu",
                     pool->device->api->name, (unsigned)pool->device->ordinal, bytes, (unsigned long long)live,
                     (unsigned long long)pool->stats.cached_bytes, (unsigned long long)pool->limit_bytes);
}

/* Under the lock: a cached block, or NULL and the bytes for a new one reserved as live. */
static stoa_status take_or_reserve(stoai_pool *pool, size_t bytes, size_t requested, uint32_t bin, uint64_t queue_id, stoai_block **block,
                                   stoai_link *doomed, stoa_error *err)
{
    collect_retired(pool, doomed);
    *block = find_cached(pool, bin, bytes, queue_id);
    if (*block) {
        take_from_cache(pool, *block);
        count_live(pool, (*block)->bytes, requested);
        return STOA_OK;
    }
    STOA_TRY(reserve(pool, bytes, doomed, err));
    count_live(pool, bytes, requested);
    return STOA_OK;
}

/* The block is its holder's: put it on the list of live ones and count the request as served. */
static void hand_out(stoai_pool *pool, stoai_block *block, size_t requested, bool raw)
{
    stoa_memory_stats *stats = &pool->stats;
    block->requested = requested;
    block->pending = block->event_lost = false;
    stoai_list_push(&pool->live, &block->by_state);
    stats->alloc_calls++;
    if (raw) stats->raw_alloc_calls++;
    if (stats->live_bytes > stats->peak_live_bytes) stats->peak_live_bytes = stats->live_bytes;
}

stoa_status stoai_pool_alloc(stoai_pool *pool, stoa_queue *queue, size_t requested, stoai_block **out, stoa_error *err)
{
    *out = NULL;
    if (pool->driver) return stoai_driver_pool_alloc(pool->driver, queue, requested, out, err);
    size_t bytes;
    uint32_t bin;
    if (!round_up(pool, requested, &bytes, &bin))
        return STOA_FAIL(err, STOA_ENOMEM, "device '%s:%u': %zu bytes wanted, more than an address holds", pool->device->api->name,
                         (unsigned)pool->device->ordinal, requested);
    stoai_block *block = NULL;
    stoai_link doomed;
    stoai_list_init(&doomed);
    pthread_mutex_lock(&pool->lock);
    stoa_status status = take_or_reserve(pool, bytes, requested, bin, queue->id, &block, &doomed, err);
    if (block) hand_out(pool, block, requested, false);
    pthread_mutex_unlock(&pool->lock);
    destroy_all(pool, &doomed); /* before the raw allocation: together they must stay below the limit */
    STOA_TRY(status);

    if (!block) {
        status = make_block_or_drop_cache(pool, bytes, bin, &block, err);
        pthread_mutex_lock(&pool->lock);
        if (status == STOA_OK) hand_out(pool, block, requested, true);
        else uncount_live(pool, bytes, requested);
        pthread_mutex_unlock(&pool->lock);
        STOA_TRY(status);
    }
    if (pool->debug_fill && pool->kind == STOA_MEMORY_PINNED) {
        memset(block->data, FILL_OUT, block->bytes);
    } else if (pool->debug_fill) {
        status = pool->device->api->queue_fill(queue->native, block->data, FILL_OUT, block->bytes, err);
        if (status != STOA_OK) {
            stoai_pool_free(pool, queue, block);
            return status;
        }
    }
    *out = block;
    return STOA_OK;
}

/* Put the block's event behind its last use. Where even that fails (a device in a fatal state), wait; where
 * that fails as well, or the queue is captured, the block stays with its queue until the device is closed. */
static void mark_last_use(stoai_pool *pool, stoa_queue *queue, stoai_block *block)
{
    const stoa_backend_api *api = pool->device->api;
    block->queue_id = queue->id;
    block->pending = block->event_lost = false;
    if (atomic_load_explicit(&queue->destroyed, memory_order_acquire)) {
        if (pool->debug_fill) memset(block->data, FILL_BACK, block->bytes);
        return;
    }
    if (stoai_queue_is_captured(queue)) { /* an event would be the graph's: nothing could ask it, and to try would break the capture */
        block->pending = block->event_lost = true;
        return;
    }
    if (pool->debug_fill) (void)api->queue_fill(queue->native, block->data, FILL_BACK, block->bytes, NULL);
    if (api->event_record(block->event, queue->native, NULL) == STOA_OK) block->pending = true;
    else if (api->queue_wait(queue->native, NULL) != STOA_OK) block->pending = block->event_lost = true;
}

void stoai_pool_free(stoai_pool *pool, stoa_queue *queue, stoai_block *block)
{
    if (pool->driver) {
        stoai_driver_pool_free(pool->driver, queue, block);
        return;
    }
    mark_last_use(pool, queue, block);
    stoai_link doomed;
    stoai_list_init(&doomed);
    pthread_mutex_lock(&pool->lock);
    stoai_list_remove(&block->by_state);
    if (block->bytes <= pool->cache_limit_bytes) evict(pool, pool->cache_limit_bytes - block->bytes, &doomed);
    if (block->bytes <= pool->cache_limit_bytes && pool->stats.cached_bytes <= pool->cache_limit_bytes - block->bytes) {
        uncount_live(pool, block->bytes, block->requested);
        stoai_list_push(&pool->cached, &block->by_state);
        stoai_list_push(&pool->bins[block->bin], &block->by_bin);
        pool->stats.cached_bytes += block->bytes;
    } else {
        stoai_list_push(&pool->retired, &block->by_state);
    }
    collect_retired(pool, &doomed);
    pthread_mutex_unlock(&pool->lock);
    destroy_all(pool, &doomed);
}

void stoai_pool_stats(stoai_pool *pool, stoa_memory_stats *stats)
{
    if (pool->driver) {
        stoai_driver_pool_stats(pool->driver, stats);
        return;
    }
    stoai_link doomed;
    stoai_list_init(&doomed);
    pthread_mutex_lock(&pool->lock);
    collect_retired(pool, &doomed);
    *stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    destroy_all(pool, &doomed);
}

stoa_status stoai_pool_trim(stoai_pool *pool, uint64_t keep_bytes, stoa_error *err)
{
    if (pool->driver) return stoai_driver_pool_trim(pool->driver, keep_bytes, err);
    stoai_link doomed;
    stoai_list_init(&doomed);
    pthread_mutex_lock(&pool->lock);
    collect_retired(pool, &doomed);
    evict(pool, keep_bytes, &doomed);
    pthread_mutex_unlock(&pool->lock);
    destroy_all(pool, &doomed);
    return STOA_OK;
}

static uint32_t destroy_list(stoai_pool *pool, stoai_link *head)
{
    uint32_t count = 0;
    for (; head->next != head; count++) {
        stoai_block *block = stoai_block_of_state(head->next);
        stoai_list_remove(&block->by_state);
        if (block->pending && !block->event_lost) (void)pool->device->api->event_wait(block->event, NULL);
        destroy_block(pool, block);
    }
    return count;
}

uint32_t stoai_pool_destroy(stoai_pool *pool, uint64_t *live_bytes)
{
    *live_bytes = 0;
    if (!pool) return 0;
    destroy_list(pool, &pool->cached);
    destroy_list(pool, &pool->retired);
    for (stoai_link *link = pool->live.next; link != &pool->live; link = link->next) {
        *live_bytes += stoai_block_of_state(link)->bytes;
        stoai_queue_release(stoai_block_of_state(link)->buffer.queue); /* the reference its owner never gave back */
    }
    uint32_t live = destroy_list(pool, &pool->live);
    if (pool->driver) live += stoai_driver_pool_destroy(pool->driver, live_bytes);
    pthread_mutex_destroy(&pool->lock);
    stoa_free(pool, sizeof *pool);
    return live;
}
