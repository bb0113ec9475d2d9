/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime's tensors live in the host's memory: in the session's workspace during runs, from the allocation hook otherwise. */
#include "runtime/onnxruntime/ort.h"
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
