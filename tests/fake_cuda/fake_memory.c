/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_internal.h"
#include "stoa/layout.h"

#define PAGE ((size_t)4096)
#define ALIGN ((size_t)256)

typedef struct fake_block {
    struct fake_block *next;
    fake_place place;
    int ordinal;
    char *map, *data; /* guard page, pages, guard page; data ends where the last page does */
    size_t map_bytes, bytes;
    CUmemoryPool pool;   /* NULL: of none */
    bool taken;          /* of a pool: between taking and giving back, in the order of a stream */
    bool kept;           /* of a pool: given back by its user, for the next one */
    CUstream last;       /* kept: the stream that it was given back on, */
    fake_point *passed;  /* and where; NULL: passed */
} block;

/* Blocks are reused in one size. The real one splits and merges them. */
struct CUmemPoolHandle_st {
    struct CUmemPoolHandle_st *next;
    int ordinal;
    uint64_t keep_bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *blocks;
static unsigned working;
static CUmemoryPool pools;

static void protect(const block *self, int rights)
{
    if (self->place == FAKE_DEVICE) mprotect(self->map + PAGE, self->map_bytes - 2 * PAGE, rights);
}

void fake_memory_open(void)
{
    pthread_mutex_lock(&lock);
    if (working++ == 0)
        for (const block *b = blocks; b; b = b->next) protect(b, PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&lock);
}

void fake_memory_close(void)
{
    pthread_mutex_lock(&lock);
    if (--working == 0)
        for (const block *b = blocks; b; b = b->next) protect(b, PROT_NONE);
    pthread_mutex_unlock(&lock);
}

static CUresult make(fake_place place, size_t bytes, void **out)
{
    const size_t rounded = (bytes + ALIGN - 1) & ~(ALIGN - 1), pages = (rounded + PAGE - 1) & ~(PAGE - 1);
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    block *self = calloc(1, sizeof *self);
    if (!self) return CUDA_ERROR_OUT_OF_MEMORY;
    *self = (block){.place = place, .ordinal = fake_current()->ordinal, .map_bytes = pages + 2 * PAGE, .bytes = bytes};
    self->map = mmap(NULL, self->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (self->map == MAP_FAILED) {
        free(self);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    self->data = self->map + PAGE + pages - rounded;
    pthread_mutex_lock(&lock);
    if (place == FAKE_PINNED || working) mprotect(self->map + PAGE, pages, PROT_READ | PROT_WRITE);
    self->next = blocks;
    blocks = self;
    pthread_mutex_unlock(&lock);
    fake_count_live(1);
    *out = self->data;
    return CUDA_SUCCESS;
}

/* Outside the lock, out of the list. */
static void destroy(block *self)
{
    fake_point_drop(self->passed);
    munmap(self->map, self->map_bytes);
    free(self);
}

static CUresult release(fake_place place, void *pointer)
{
    pthread_mutex_lock(&lock);
    block **link = &blocks;
    while (*link && (*link)->data != pointer) link = &(*link)->next;
    block *self = *link;
    const bool fits = self && self->place == place && !self->pool;
    if (fits) *link = self->next;
    pthread_mutex_unlock(&lock);
    if (!fits) {
        fake_violation("freeing %p, which is no such block", pointer);
        return CUDA_ERROR_INVALID_VALUE;
    }
    destroy(self);
    fake_count_live(-1);
    return CUDA_SUCCESS;
}

/* Under the lock. */
static const block *find(const void *pointer)
{
    for (const block *b = blocks; b; b = b->next)
        if ((const char *)pointer >= b->map && (const char *)pointer < b->map + b->map_bytes) return b;
    return NULL;
}

bool fake_memory_check(const void *pointer, size_t bytes, fake_place *place, int *ordinal, const char *what)
{
    pthread_mutex_lock(&lock);
    const block *b = find(pointer);
    *place = b ? b->place : FAKE_PAGEABLE;
    *ordinal = b ? b->ordinal : -1;
    const char *from = pointer;
    const bool inside = !b || (from >= b->data && bytes <= b->bytes + (size_t)(b->data - from));
    const size_t block_bytes = b ? b->bytes : 0;
    pthread_mutex_unlock(&lock);
    if (!inside) fake_violation("%s of %zu bytes leaves its block of %zu", what, bytes, block_bytes);
    return inside;
}

/* Addresses of a program begin here; below lie small numbers and the shadow memory of sanitizers. */
#define PROGRAM_START UINT64_C(0x550000000000)

/* A number with what was left in the padding behind it may look like an address. A count is small and a float is of everyday size;
 * the low half of an address is neither, but for one in eight, so a wrong one is found in most runs. */
static bool is_number(uint32_t low)
{
    float real;
    memcpy(&real, &low, sizeof real);
    const float size = real < 0 ? -real : real;
    return low < 1u << 20 || (size > 0x1p-20f && size < 0x1p20f);
}

static bool is_mapped(uint64_t word)
{
    return !is_number((uint32_t)word) && word >= PROGRAM_START && word < UINT64_C(1) << 47 &&
           msync((void *)(uintptr_t)(word & ~(PAGE - 1)), 1, MS_ASYNC) == 0;
}

/* A view names its layout, a table of the host that no kernel reads. */
static bool is_layout(uint64_t word)
{ return word % _Alignof(stoa_layout) == 0 && ((const stoa_layout *)(uintptr_t)word)->struct_size == sizeof(stoa_layout); }

bool fake_memory_check_args(const void *args, size_t bytes, int ordinal, const char *kernel)
{
    bool fine = true;
    for (size_t at = 0; at + sizeof(uint64_t) <= bytes; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const char *)args + at, sizeof word);
        pthread_mutex_lock(&lock);
        const block *b = find((const void *)(uintptr_t)word);
        const bool foreign = b && b->place == FAKE_DEVICE && b->ordinal != ordinal;
        const bool host = !b && is_mapped(word) && !is_layout(word), given = b && b->pool && !b->taken;
        pthread_mutex_unlock(&lock);
        if (foreign) fake_violation("%s on device %d: byte %zu of its arguments points to another device", kernel, ordinal, at);
        if (host) fake_violation("%s: byte %zu of its arguments points to plain host memory", kernel, at);
        if (given) fake_violation("%s: byte %zu of its arguments points to memory that its pool has", kernel, at);
        fine = fine && !foreign && !host && !given;
    }
    return fine;
}

/* ---- Pools. ---- */

void fake_block_take(block *self)
{
    pthread_mutex_lock(&lock);
    self->taken = true;
    pthread_mutex_unlock(&lock);
}

void fake_block_give(block *self)
{
    pthread_mutex_lock(&lock);
    self->taken = false;
    pthread_mutex_unlock(&lock);
}

bool fake_memory_is_taken(const void *pointer, const char *what)
{
    pthread_mutex_lock(&lock);
    const block *b = find(pointer);
    const bool taken = !b || !b->pool || b->taken;
    pthread_mutex_unlock(&lock);
    if (!taken) fake_violation("%s memory that its pool has", what);
    return taken;
}

/* The block of a pool that begins there and is somebody's; NULL: none. */
static block *user_of(const void *pointer)
{
    pthread_mutex_lock(&lock);
    block *self = blocks;
    while (self && self->data != pointer) self = self->next;
    pthread_mutex_unlock(&lock);
    return self && self->pool && !self->kept ? self : NULL;
}

static void keep(block *self, CUstream last, fake_point *passed)
{
    pthread_mutex_lock(&lock);
    self->last = last;
    self->passed = passed;
    self->kept = true;
    pthread_mutex_unlock(&lock);
    fake_count_live(-1);
}

/* A kept block of the size: of the same stream, else one that has passed, else any. */
static block *take_kept(CUmemoryPool pool, size_t bytes, CUstream stream)
{
    block *best = NULL;
    int rank = 0;
    pthread_mutex_lock(&lock);
    for (block *b = blocks; b; b = b->next) {
        if (b->pool != pool || !b->kept || b->bytes != bytes) continue;
        const int this = b->last == stream ? 3 : fake_point_passed(b->passed) ? 2 : 1;
        if (this > rank) best = b, rank = this;
    }
    if (best) best->kept = false;
    pthread_mutex_unlock(&lock);
    return best;
}

static uint64_t pool_bytes(const struct CUmemPoolHandle_st *pool)
{
    uint64_t sum = 0;
    for (const block *b = blocks; b; b = b->next)
        if (b->pool == pool) sum += b->bytes;
    return sum;
}

/* Kept blocks that have passed go until the pool has no more than `bytes`. */
static void shrink(const struct CUmemPoolHandle_st *pool, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    uint64_t has = pool_bytes(pool);
    for (block **link = &blocks; *link && has > bytes;) {
        block *b = *link;
        if (b->pool != pool || !b->kept || b->taken || !fake_point_passed(b->passed)) {
            link = &b->next;
            continue;
        }
        *link = b->next;
        has -= b->bytes;
        destroy(b);
    }
    pthread_mutex_unlock(&lock);
}

void fake_pools_shrink(int ordinal)
{
    for (const struct CUmemPoolHandle_st *p = pools; p; p = p->next)
        if (p->ordinal == ordinal) shrink(p, p->keep_bytes);
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
    FAKE_ENTER(cuMemPoolCreate, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    if (props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED || props->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        props->location.id != fake_current()->ordinal)
        return CUDA_ERROR_INVALID_VALUE;
    *pool = calloc(1, sizeof **pool);
    if (!*pool) return CUDA_ERROR_OUT_OF_MEMORY;
    (*pool)->ordinal = props->location.id;
    pthread_mutex_lock(&lock);
    (*pool)->next = pools;
    pools = *pool;
    pthread_mutex_unlock(&lock);
    fake_count_live(1);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    FAKE_ENTER(cuMemPoolDestroy, FAKE_CURRENT | FAKE_UNSAFE);
    fake_streams_wait(fake_current());
    shrink(pool, 0);
    pthread_mutex_lock(&lock);
    const bool used = pool_bytes(pool) > 0;
    CUmemoryPool *link = &pools;
    while (*link != pool) link = &(*link)->next;
    *link = pool->next;
    pthread_mutex_unlock(&lock);
    if (used) fake_violation("a pool is destroyed whose memory is used");
    free(pool);
    fake_count_live(-1);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    FAKE_ENTER(cuMemPoolSetAttribute, FAKE_CURRENT | FAKE_LOSSLESS);
    if (attribute != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) return CUDA_ERROR_INVALID_VALUE;
    memcpy(&pool->keep_bytes, value, sizeof pool->keep_bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    FAKE_ENTER(cuMemPoolGetAttribute, FAKE_CURRENT | FAKE_LOSSLESS);
    if (attribute != CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    const uint64_t bytes = pool_bytes(pool);
    pthread_mutex_unlock(&lock);
    memcpy(value, &bytes, sizeof bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes)
{
    FAKE_ENTER(cuMemPoolTrimTo, FAKE_CURRENT | FAKE_LOSSLESS);
    shrink(pool, keep_bytes);
    return CUDA_SUCCESS;
}

/* The stream waits for a block that another one gave back, where that has not passed it yet. */
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *address, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    FAKE_ENTER(cuMemAllocFromPoolAsync, FAKE_CURRENT | FAKE_TRACED | FAKE_LOSSLESS);
    const size_t rounded = (bytes + ALIGN - 1) & ~(ALIGN - 1);
    if (fake_stream_is_captured(stream)) {
        fake_violation("memory of a pool for a stream that is captured");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    block *self = take_kept(pool, rounded, stream);
    if (!self) {
        void *pointer;
        const CUresult result = make(FAKE_DEVICE, rounded, &pointer);
        if (result != CUDA_SUCCESS) return result;
        pthread_mutex_lock(&lock);
        for (self = blocks; self->data != pointer;) self = self->next;
        self->pool = pool;
        pthread_mutex_unlock(&lock);
    } else {
        fake_count_live(1);
        if (self->last != stream) fake_stream_wait_for(stream, self->passed);
        fake_point_drop(self->passed);
        self->passed = NULL;
    }
    *address = (CUdeviceptr)(uintptr_t)self->data;
    return fake_stream_take(stream, self);
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream)
{
    FAKE_ENTER(cuMemFreeAsync, FAKE_CURRENT | FAKE_TRACED);
    block *self = user_of((void *)(uintptr_t)address);
    if (!self || fake_stream_is_captured(stream)) {
        fake_violation("%p given to a pool%s", (void *)(uintptr_t)address, self ? " on a stream that is captured" : ", which is of none");
        return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = fake_stream_give(stream, self);
    keep(self, stream, fake_stream_mark(stream));
    return result;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes)
{
    FAKE_ENTER(cuMemAlloc_v2, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    void *pointer = NULL;
    const CUresult result = make(FAKE_DEVICE, bytes, &pointer);
    *address = (CUdeviceptr)(uintptr_t)pointer;
    return result;
}

CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    FAKE_ENTER(cuMemHostAlloc, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    (void)flags;
    return make(FAKE_PINNED, bytes, pointer);
}

/* Like the real one it waits for the whole device. It takes memory of a pool too. */
CUresult cuMemFree_v2(CUdeviceptr address)
{
    FAKE_ENTER(cuMemFree_v2, FAKE_CURRENT | FAKE_UNSAFE);
    fake_streams_wait(fake_current());
    block *pooled = user_of((void *)(uintptr_t)address);
    if (pooled) {
        fake_block_give(pooled);
        keep(pooled, NULL, NULL);
        return CUDA_SUCCESS;
    }
    return release(FAKE_DEVICE, (void *)(uintptr_t)address);
}

CUresult cuMemFreeHost(void *pointer)
{
    FAKE_ENTER(cuMemFreeHost, FAKE_CURRENT | FAKE_UNSAFE);
    fake_streams_wait(fake_current());
    return release(FAKE_PINNED, pointer);
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    FAKE_ENTER(cuMemGetInfo_v2, FAKE_CURRENT | FAKE_LOSSLESS);
    *total_bytes = (size_t)16 << 30;
    *free_bytes = (size_t)15 << 30;
    pthread_mutex_lock(&lock);
    for (const block *b = blocks; b; b = b->next)
        if (b->place == FAKE_DEVICE && b->ordinal == fake_current()->ordinal) *free_bytes -= b->bytes;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
