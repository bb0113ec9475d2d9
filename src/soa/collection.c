/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/collection_internal.h"

#include "soa/geometry.h"
#include "stoa/memory.h"

#include <string.h>

#define BLOCK_DEPTH_MAX 8u
#define BLOCK_PATH_MAX 256u

/* State of one walk over a tree of blocks. The first walk measures (`leaves` NULL), the second fills. */
typedef struct block_walk {
    stoai_leaf *leaves;
    char *paths;
    size_t path_bytes, bytes;
    uint32_t leaf_count, align_bytes;
    char path[BLOCK_PATH_MAX];
} block_walk;

static stoa_status add_leaf(block_walk *walk, const stoa_block *block, stoa_error *err)
{
    size_t bytes;
    if (!block->layout) return STOA_FAIL(err, STOA_EINVAL, "block '%s': neither layout nor blocks", walk->path);
    STOA_TRY(stoa_layout_check(block->layout, err));
    STOA_TRY(stoa_layout_bytes(block->layout, block->rows, &bytes, err));
    const uint32_t align = stoai_layout_align(block->layout);
    if (walk->align_bytes && walk->align_bytes != align)
        return STOA_FAIL(err, STOA_EALIGN, "block '%s': alignment %u, the blocks before it have %u", walk->path, (unsigned)align,
                         (unsigned)walk->align_bytes);
    if (bytes > STOAI_BYTES_MAX - walk->bytes)
        return STOA_FAIL(err, STOA_ELIMIT, "block '%s': %zu bytes after %zu exceed %llu", walk->path, bytes, walk->bytes,
                         (unsigned long long)STOAI_BYTES_MAX);
    const size_t length = strlen(walk->path) + 1;
    if (walk->leaves) {
        char *path = memcpy(walk->paths + walk->path_bytes, walk->path, length);
        walk->leaves[walk->leaf_count] = (stoai_leaf){path, block->layout, block->rows, walk->bytes, bytes};
    }
    walk->align_bytes = align;
    walk->bytes += bytes;
    walk->path_bytes += length;
    walk->leaf_count++;
    return STOA_OK;
}

/* Append the name of block `index` to the path behind `prefix` characters. */
static stoa_status enter_block(block_walk *walk, const stoa_block *blocks, uint32_t index, size_t prefix, size_t *end, stoa_error *err)
{
    const char *name = blocks[index].name;
    if (!name || !*name || strchr(name, '/'))
        return STOA_FAIL(err, STOA_EINVAL, "block %u: name '%s' is empty or holds a '/'", (unsigned)index, stoai_name(name));
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(blocks[i].name, name) == 0)
            return STOA_FAIL(err, STOA_ENAME, "blocks %u and %u are both named '%s'", (unsigned)i, (unsigned)index, name);
    const size_t length = strlen(name), start = prefix ? prefix + 1 : 0;
    if (start + length >= BLOCK_PATH_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "block '%.40s...': path of %zu characters, at most %u", name, start + length,
                         BLOCK_PATH_MAX - 1);
    if (prefix) walk->path[prefix] = '/';
    memcpy(walk->path + start, name, length + 1);
    *end = start + length;
    return STOA_OK;
}

static stoa_status walk_blocks(block_walk *walk, const stoa_block *blocks, uint32_t count, size_t prefix, uint32_t depth, stoa_error *err)
{
    if (!blocks || !count) return STOA_FAIL(err, STOA_EINVAL, "blocks: an empty list");
    if (depth > BLOCK_DEPTH_MAX) return STOA_FAIL(err, STOA_ELIMIT, "blocks: nested deeper than %u", BLOCK_DEPTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t end = 0;
        STOA_TRY(enter_block(walk, blocks, i, prefix, &end, err));
        if (!blocks[i].blocks) {
            STOA_TRY(add_leaf(walk, &blocks[i], err));
        } else if (blocks[i].layout) {
            return STOA_FAIL(err, STOA_EINVAL, "block '%s': both a layout and nested blocks", walk->path);
        } else {
            STOA_TRY(walk_blocks(walk, blocks[i].blocks, blocks[i].block_count, end, depth + 1, err));
        }
    }
    return STOA_OK;
}

stoa_status stoa_blocks_bytes(const stoa_block *blocks, uint32_t block_count, size_t *bytes, stoa_error *err)
{
    if (!bytes) return STOA_FAIL(err, STOA_EINVAL, "blocks bytes: NULL result");
    *bytes = 0;
    block_walk walk = {0};
    STOA_TRY(walk_blocks(&walk, blocks, block_count, 0, 1, err));
    *bytes = walk.bytes;
    return STOA_OK;
}

static stoa_status collection_new(const stoa_block *blocks, uint32_t block_count, stoa_collection **collection, stoa_error *err)
{
    if (!collection) return STOA_FAIL(err, STOA_EINVAL, "collection: NULL result");
    *collection = NULL;
    block_walk walk = {0};
    STOA_TRY(walk_blocks(&walk, blocks, block_count, 0, 1, err));
    const size_t fixed = sizeof(stoa_collection) + (size_t)walk.leaf_count * sizeof(stoai_leaf);
    const size_t self_bytes = fixed + walk.path_bytes;
    stoa_collection *made = stoa_calloc(1, self_bytes);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "collection: %zu bytes for its table", self_bytes);
    made->bytes = walk.bytes;
    made->self_bytes = self_bytes;
    made->align_bytes = walk.align_bytes;
    made->leaf_count = walk.leaf_count;
    block_walk fill = {.leaves = made->leaves, .paths = (char *)made + fixed};
    const stoa_status status = walk_blocks(&fill, blocks, block_count, 0, 1, err);
    if (status != STOA_OK) {
        stoa_free(made, self_bytes);
        return status;
    }
    *collection = made;
    return STOA_OK;
}

stoa_status stoa_collection_create(stoa_queue *queue, stoa_memory_kind kind, const stoa_block *blocks, uint32_t block_count,
                                   stoa_collection **collection, stoa_error *err)
{
    if (!collection) return STOA_FAIL(err, STOA_EINVAL, "collection: NULL result");
    *collection = NULL;
    if (!queue) return STOA_FAIL(err, STOA_EINVAL, "collection: NULL queue");
    stoa_collection *made;
    STOA_TRY(collection_new(blocks, block_count, &made, err));
    /* Buffers promise STOA_BUFFER_ALIGN_BYTES; a stricter layout gets room to move up. */
    const size_t slack = made->align_bytes > STOA_BUFFER_ALIGN_BYTES ? made->align_bytes - STOA_BUFFER_ALIGN_BYTES : 0;
    const stoa_status status = stoa_buffer_create(queue, kind, made->bytes ? made->bytes + slack : 0, &made->buffer, err);
    if (status != STOA_OK) {
        stoa_collection_destroy(made);
        return status;
    }
    made->blob = (char *)(uintptr_t)stoai_align_up((uintptr_t)stoa_buffer_data(made->buffer), made->align_bytes);
    made->place = stoa_buffer_place(made->buffer);
    *collection = made;
    return STOA_OK;
}

stoa_status stoa_collection_adopt(void *blob, size_t bytes, stoa_place place, uint32_t read_only, const stoa_block *blocks,
                                  uint32_t block_count, stoa_collection **collection, stoa_error *err)
{
    stoa_collection *made;
    STOA_TRY(collection_new(blocks, block_count, collection, err));
    made = *collection;
    stoa_status status = STOA_OK;
    if (bytes < made->bytes) status = STOA_FAIL(err, STOA_ESHAPE, "collection: blob of %zu bytes given, %zu needed", bytes, made->bytes);
    else if (!blob && made->bytes) status = STOA_FAIL(err, STOA_EINVAL, "collection: blob is NULL, %zu bytes needed", made->bytes);
    else if ((uintptr_t)blob & (made->align_bytes - 1))
        status = STOA_FAIL(err, STOA_EALIGN, "collection: blob at %p, alignment %u needed", blob, (unsigned)made->align_bytes);
    if (status != STOA_OK) {
        stoa_collection_destroy(made);
        *collection = NULL;
        return status;
    }
    made->blob = blob;
    made->place = place;
    made->read_only = read_only != 0;
    return STOA_OK;
}

void stoa_collection_destroy(stoa_collection *collection)
{
    if (!collection) return;
    stoa_buffer_release(collection->buffer);
    stoa_free(collection, collection->self_bytes);
}

static stoa_status find_leaf(const stoa_collection *collection, const char *block, const stoai_leaf **leaf, stoa_error *err)
{
    if (!collection) return STOA_FAIL(err, STOA_EINVAL, "collection: NULL");
    *leaf = &collection->leaves[0];
    if (!block || !*block) return STOA_OK;
    char names[640] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < collection->leaf_count; i++) {
        *leaf = &collection->leaves[i];
        if (strcmp(collection->leaves[i].path, block) == 0) return STOA_OK;
        stoai_list_append(names, sizeof names, &used, collection->leaves[i].path);
    }
    return STOA_FAIL(err, STOA_ENAME, "collection: no block '%s'; it has %s", block, names);
}

/* A leaf's address; an empty collection has no memory and NULL for it. */
static void *leaf_blob(const stoa_collection *collection, const stoai_leaf *leaf)
{ return (void *)((uintptr_t)collection->blob + leaf->offset); }

stoa_status stoa_collection_view(const stoa_collection *collection, const char *block, stoa_view_head *view, stoa_error *err)
{
    const stoai_leaf *leaf;
    if (!view) return STOA_FAIL(err, STOA_EINVAL, "collection view: NULL view");
    *view = (stoa_view_head){0};
    STOA_TRY(find_leaf(collection, block, &leaf, err));
    if (collection->read_only) return STOA_FAIL(err, STOA_ECONST, "block '%s': the collection is read-only; take a const view", leaf->path);
    return stoa_layout_bind(leaf->layout, leaf->rows, leaf_blob(collection, leaf), leaf->bytes, collection->place, view, err);
}

stoa_status stoa_collection_view_const(const stoa_collection *collection, const char *block, stoa_view_head *view, stoa_error *err)
{
    const stoai_leaf *leaf;
    if (!view) return STOA_FAIL(err, STOA_EINVAL, "collection view: NULL view");
    *view = (stoa_view_head){0};
    STOA_TRY(find_leaf(collection, block, &leaf, err));
    return stoa_layout_bind_const(leaf->layout, leaf->rows, leaf_blob(collection, leaf), leaf->bytes, collection->place, view, err);
}

stoa_status stoa_collection_block(const stoa_collection *collection, const char *block, stoa_view_head *head, stoa_error *err)
{
    const stoai_leaf *leaf;
    if (!head) return STOA_FAIL(err, STOA_EINVAL, "collection block: NULL head");
    *head = (stoa_view_head){0};
    STOA_TRY(find_leaf(collection, block, &leaf, err));
    *head = (stoa_view_head){leaf->layout, leaf_blob(collection, leaf), leaf->rows, collection->read_only ? STOA_VIEW_CONST : 0u,
                             collection->place};
    return STOA_OK;
}

void *stoa_collection_data(const stoa_collection *collection) { return collection->blob; }

size_t stoa_collection_bytes(const stoa_collection *collection) { return collection->bytes; }

stoa_place stoa_collection_place(const stoa_collection *collection) { return collection->place; }

stoa_buffer *stoa_collection_buffer(const stoa_collection *collection) { return collection->buffer; }
