/* SPDX-License-Identifier: Apache-2.0 */
/* Where ONNX Runtime's tensors live: in the session's workspace during runs; otherwise the host's come from the allocation hook, and
 * those of a device are buffers of the queue. */
#include <pthread.h>

#include "runtime/onnxruntime/ort.h"
#include "stoa/buffer.h"
#include "stoa/memory.h"

#define BLOCK_ALIGN 64u

/* In front of every block: who gets it back. */
typedef struct block_header {
    ort_scratch *owner; /* whose list it is in; NULL: none */
    size_t offset, heap_bytes; /* in the owner; 0 heap bytes: lies in the owner's memory */
} block_header;
_Static_assert(sizeof(block_header) <= BLOCK_ALIGN, "the header keeps the alignment");

static _Thread_local ort_scratch *current;
static _Thread_local bool refused;

ort_scratch *stoai_ort_scratch_enter(ort_scratch *scratch)
{
    ort_scratch *before = current;
    current = scratch;
    return before;
}

void stoai_ort_scratch_use(ort_scratch *scratch, void *memory, size_t bytes)
{
    static char none[64];
    scratch->base = memory ? memory : none;
    scratch->bytes = memory ? bytes : 0;
    scratch->allocations = 0;
}

/* Where `bytes` fit first: the index that the block gets, or -1. */
static int find_gap(const ort_scratch *scratch, size_t bytes, size_t *offset)
{
    const size_t limit = scratch->base ? scratch->bytes : SIZE_MAX;
    *offset = 0;
    if (scratch->count == ORT_BLOCKS_MAX) return -1;
    for (uint32_t i = 0; i < scratch->count; i++) {
        if (scratch->blocks[i].offset - *offset >= bytes) return (int)i;
        *offset = scratch->blocks[i].offset + scratch->blocks[i].bytes;
    }
    return limit - *offset >= bytes ? (int)scratch->count : -1;
}

static bool reserve(ort_scratch *scratch, size_t bytes, size_t *offset)
{
    const int at = find_gap(scratch, bytes, offset);
    if (at < 0) return false;
    memmove(&scratch->blocks[at + 1], &scratch->blocks[at], (scratch->count - (uint32_t)at) * sizeof *scratch->blocks);
    scratch->blocks[at].offset = *offset;
    scratch->blocks[at].bytes = bytes;
    scratch->count++;
    if (*offset + bytes > scratch->peak) scratch->peak = *offset + bytes;
    return true;
}

void *stoai_ort_block(size_t bytes)
{
    if (bytes > SIZE_MAX - 2 * BLOCK_ALIGN) return NULL;
    const size_t whole = (bytes + 2 * BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    block_header header = {.heap_bytes = whole};
    if (current && reserve(current, whole, &header.offset)) header.owner = current;
    if (header.owner && current->base) header.heap_bytes = 0;
    char *block = header.heap_bytes ? stoa_alloc(whole, BLOCK_ALIGN) : current->base + header.offset;
    refused = refused || !block;
    if (!block) return NULL;
    if (current && current->base && header.heap_bytes) current->allocations++;
    memcpy(block, &header, sizeof header);
    return block + BLOCK_ALIGN;
}

bool stoai_ort_memory_refused(void)
{
    const bool was = refused;
    refused = false;
    return was;
}

static void release(ort_scratch *scratch, size_t offset)
{
    uint32_t at = 0;
    while (at < scratch->count && scratch->blocks[at].offset != offset) at++;
    if (at == scratch->count) return;
    scratch->count--;
    memmove(&scratch->blocks[at], &scratch->blocks[at + 1], (scratch->count - at) * sizeof *scratch->blocks);
}

void stoai_ort_unblock(void *block)
{
    if (!block) return;
    char *start = (char *)block - BLOCK_ALIGN;
    block_header header;
    memcpy(&header, start, sizeof header);
    if (header.owner) release(header.owner, header.offset);
    if (header.heap_bytes) stoa_free(start, header.heap_bytes);
}

/* ---- devices ----------------------------------------------------------------------------------------------------------- */

/* A block that lies in no workspace: weights, what a planning run takes, what did not fit. They are few, and any thread gives them back. */
typedef struct device_block {
    struct device_block *next;
    stoa_buffer *buffer;
    ort_scratch *owner; /* whose list it is in; NULL: none */
    size_t offset;
} device_block;

static device_block *device_blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *make_device_block(ort_scratch *scratch, size_t bytes, ort_scratch *owner, size_t offset)
{
    device_block *block = stoa_alloc(sizeof *block, 16);
    if (!block) return NULL;
    *block = (device_block){NULL, NULL, owner, offset};
    if (stoa_buffer_create(scratch->queue, STOA_MEMORY_DEVICE, bytes, &block->buffer, NULL) != STOA_OK) {
        stoa_free(block, sizeof *block);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    block->next = device_blocks;
    device_blocks = block;
    pthread_mutex_unlock(&lock);
    if (scratch->base) scratch->allocations++;
    return stoa_buffer_data(block->buffer);
}

void *stoai_ort_device_block(size_t bytes)
{
    ort_scratch *scratch = current ? current->device : NULL;
    void *block = NULL;
    if (scratch && bytes <= SIZE_MAX - STOA_BUFFER_ALIGN_BYTES) {
        size_t offset;
        const size_t whole = (bytes + STOA_BUFFER_ALIGN_BYTES - 1) / STOA_BUFFER_ALIGN_BYTES * STOA_BUFFER_ALIGN_BYTES;
        const bool reserved = reserve(scratch, whole, &offset);
        block = reserved && scratch->base ? scratch->base + offset : make_device_block(scratch, whole, reserved ? scratch : NULL, offset);
        if (!block && reserved) release(scratch, offset);
    }
    refused = refused || !block;
    return block;
}

static device_block *take_device_block(const void *address)
{
    pthread_mutex_lock(&lock);
    device_block **link = &device_blocks;
    while (*link && stoa_buffer_data((*link)->buffer) != address) link = &(*link)->next;
    device_block *block = *link;
    if (block) *link = block->next;
    pthread_mutex_unlock(&lock);
    return block;
}

/* Work that still uses it is in front of what the queue does with its memory next. */
void stoai_ort_device_unblock(void *address)
{
    ort_scratch *scratch = current ? current->device : NULL;
    const uintptr_t at = (uintptr_t)address, base = scratch ? (uintptr_t)scratch->base : 0;
    if (base && at >= base && at < base + scratch->bytes) {
        release(scratch, at - base);
        return;
    }
    device_block *block = take_device_block(address);
    if (!block) return;
    if (block->owner) release(block->owner, block->offset);
    stoa_buffer_release(block->buffer);
    stoa_free(block, sizeof *block);
}
