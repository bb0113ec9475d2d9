/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/graph_arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stoa/memory.h"

#define ALIGN_BYTES 64u
#define CHUNK_BYTES ((size_t)256 * 1024) /* large enough for the C library to give its pages back; what is not taken is not touched */

typedef struct graph_chunk {
    struct graph_chunk *next;
    size_t bytes, used; /* of the whole block, this header included */
} graph_chunk;

static size_t align_up(size_t bytes, size_t align) { return (bytes + align - 1) & ~(align - 1); }

static graph_chunk *chunk_add(graph_arena *arena, size_t bytes)
{
    const size_t header = align_up(sizeof(graph_chunk), ALIGN_BYTES);
    const size_t whole = bytes > CHUNK_BYTES - header ? header + bytes : CHUNK_BYTES;
    graph_chunk *chunk = stoa_alloc(whole, ALIGN_BYTES);
    if (!chunk) return NULL;
    memset(chunk, 0, header);
    *chunk = (graph_chunk){arena->chunks, whole, header};
    arena->total_bytes += whole;
    /* A block of its own is full: keep filling the one before it. */
    if (arena->chunks && whole > CHUNK_BYTES) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        arena->chunks = chunk;
    }
    return chunk;
}

void *stoai_arena_take(graph_arena *arena, size_t count, size_t bytes)
{
    if (bytes && count > (SIZE_MAX / 4) / bytes) return NULL;
    /* Vectors read whole registers: what is as long as one is aligned like one. */
    const size_t size = count * bytes, align = size >= ALIGN_BYTES ? ALIGN_BYTES : 16;
    const size_t wanted = align_up(size ? size : 1, align);
    graph_chunk *chunk = arena->chunks;
    if (!chunk || chunk->bytes - chunk->used < wanted + ALIGN_BYTES) chunk = chunk_add(arena, wanted + ALIGN_BYTES);
    if (!chunk) return NULL;
    const size_t at = align_up(chunk->used, align);
    memset((char *)chunk + chunk->used, 0, at + wanted - chunk->used);
    chunk->used = at + wanted;
    return (char *)chunk + at;
}

char *stoai_arena_print(graph_arena *arena, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t bytes = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    char *copy = stoai_arena_take(arena, bytes + 1, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

size_t stoai_arena_pack(const graph_arena *arena, void *to)
{
    size_t bytes = 0;
    for (const graph_chunk *chunk = arena->chunks; chunk; chunk = chunk->next) {
        if (to) memcpy((char *)to + bytes, chunk, chunk->used);
        bytes += align_up(chunk->used, ALIGN_BYTES);
    }
    return bytes;
}

size_t stoai_arena_packed_at(const graph_arena *arena, const void *pointer)
{
    size_t bytes = 0;
    for (const graph_chunk *chunk = arena->chunks; chunk; chunk = chunk->next) {
        const uintptr_t at = (uintptr_t)pointer - (uintptr_t)chunk;
        if (at < chunk->used) return bytes + at;
        bytes += align_up(chunk->used, ALIGN_BYTES);
    }
    return SIZE_MAX;
}

void stoai_arena_release(graph_arena *arena)
{
    graph_chunk *next;
    for (graph_chunk *chunk = arena->chunks; chunk; chunk = next) {
        next = chunk->next;
        stoa_free(chunk, chunk->bytes);
    }
    *arena = (graph_arena){NULL, 0};
}

void *stoai_arena_grow(graph_arena *arena, void *array, size_t count, size_t *capacity, size_t bytes)
{
    if (count < *capacity) return array;
    const size_t larger = *capacity ? *capacity * 2 : 8;
    void *moved = stoai_arena_take(arena, larger, bytes);
    if (!moved) return NULL;
    if (count) memcpy(moved, array, count * bytes);
    *capacity = larger;
    return moved;
}
