/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one model: taken piece by piece, zeroed, given back all at once. */
#ifndef STOA_NATIVE_GRAPH_ARENA_H
#define STOA_NATIVE_GRAPH_ARENA_H

#include <stddef.h>

typedef struct graph_arena {
    struct graph_chunk *chunks;
    size_t total_bytes;
} graph_arena;

/* `count` * `bytes` zeroed bytes, aligned for vectors; NULL when memory is exhausted or the product overflows. */
void *stoai_arena_take(graph_arena *arena, size_t count, size_t bytes);

/* `text` printed into the arena; NULL when memory is exhausted. */
char *stoai_arena_print(graph_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All that was taken, one piece behind the other, to `to` unless that is NULL; returns the bytes. */
size_t stoai_arena_pack(const graph_arena *arena, void *to);
/* Where in the packed copy that is which `pointer` points to; SIZE_MAX: not in the arena. */
size_t stoai_arena_packed_at(const graph_arena *arena, const void *pointer);

void stoai_arena_release(graph_arena *arena);

/* A growing array: returns one with room for element number `count`, NULL when memory is exhausted. The old one stays in the
 * arena as it was. */
void *stoai_arena_grow(graph_arena *arena, void *array, size_t count, size_t *capacity, size_t bytes);

#endif
