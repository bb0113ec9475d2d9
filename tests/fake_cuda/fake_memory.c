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

typedef struct block {
    struct block *next;
    fake_place place;
    int ordinal;
    char *map, *data; /* guard page, pages, guard page; data ends where the last page does */
    size_t map_bytes, bytes;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *blocks;
static unsigned working;

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

static CUresult release(fake_place place, void *pointer)
{
    pthread_mutex_lock(&lock);
    block **link = &blocks;
    while (*link && (*link)->data != pointer) link = &(*link)->next;
    block *self = *link;
    if (self && self->place == place) *link = self->next;
    pthread_mutex_unlock(&lock);
    if (!self || self->place != place) {
        fake_violation("freeing %p, which is no such block", pointer);
        return CUDA_ERROR_INVALID_VALUE;
    }
    munmap(self->map, self->map_bytes);
    free(self);
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
        const bool host = !b && is_mapped(word) && !is_layout(word);
        pthread_mutex_unlock(&lock);
        if (foreign) fake_violation("%s on device %d: byte %zu of its arguments points to another device", kernel, ordinal, at);
        if (host) fake_violation("%s: byte %zu of its arguments points to plain host memory", kernel, at);
        fine = fine && !foreign && !host;
    }
    return fine;
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

/* Like the real one it waits for the whole device. */
CUresult cuMemFree_v2(CUdeviceptr address)
{
    FAKE_ENTER(cuMemFree_v2, FAKE_CURRENT | FAKE_UNSAFE);
    fake_streams_wait(fake_current());
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
