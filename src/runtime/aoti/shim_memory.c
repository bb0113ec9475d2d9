/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a run: the arena of intermediates, the pool of tensor objects, and the few C++ blocks that the model's own code takes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/aoti/shim_internal.h"
#include "stoa/memory.h"

#define BLOCK_ALIGN 64u

static _Thread_local shim_context *current;

shim_context *stoai_shim_enter(shim_context *context)
{
    shim_context *before = current;
    current = context;
    return before;
}

shim_context *stoai_shim_current(void) { return current; }

stoa_status stoai_shim_init(shim_context *context, stoa_queue *queue, void *base, size_t bytes, uint32_t tensors, stoa_error *err)
{
    memset(context, 0, sizeof *context);
    context->queue = queue;
    context->device_type = queue ? SHIM_CUDA : SHIM_CPU;
    context->device_index = queue ? stoa_device_place(stoa_queue_device(queue)).index : -1;
    context->arena.base = base;
    context->arena.bytes = base ? bytes : SIZE_MAX;
    context->tensor_capacity = tensors;
    context->tensors = stoa_calloc(tensors, sizeof *context->tensors);
    context->storages = stoa_calloc(tensors, sizeof *context->storages);
    if (!context->tensors || !context->storages) {
        stoai_shim_deinit(context);
        return STOA_FAIL(err, STOA_ENOMEM, "session: no memory for %u tensor objects", tensors);
    }
    for (uint32_t i = 0; i < tensors; i++) {
        context->tensors[i].next = context->free_tensors;
        context->free_tensors = &context->tensors[i];
        context->free_storages[context->free_storage_count++] = &context->storages[i];
    }
    return STOA_OK;
}

void stoai_shim_deinit(shim_context *context)
{
    stoa_free(context->tensors, context->tensor_capacity * sizeof *context->tensors);
    stoa_free(context->storages, context->tensor_capacity * sizeof *context->storages);
    for (uint32_t i = 0; i < SHIM_RECYCLED; i++) stoai_shim_cxx()->release(context->recycled[i].block);
    context->tensors = NULL;
    context->storages = NULL;
}

/* ---- arena ------------------------------------------------------------------------------------------------------------- */

/* Where a block of `bytes` fits first; the index that it gets, or -1. */
static int find_gap(const shim_arena *arena, size_t bytes, size_t *offset)
{
    size_t end = 0;
    for (uint32_t i = 0; i <= arena->count; i++) {
        const size_t next = i < arena->count ? arena->blocks[i].offset : arena->bytes;
        *offset = end;
        if (next >= end && next - end >= bytes) return (int)i;
        end = arena->blocks[i].offset + arena->blocks[i].bytes;
    }
    return -1;
}

static bool take_of_arena(shim_arena *arena, shim_block *block, uint32_t *at)
{
    const int found = find_gap(arena, block->bytes, &block->offset);
    if (found < 0) return false;
    *at = (uint32_t)found;
    block->data = arena->base ? arena->base + block->offset : stoa_alloc(block->bytes, BLOCK_ALIGN);
    if (block->data && !arena->base) memset(block->data, 0, block->bytes); /* a plan runs on zeros: indices that it computes stay inside */
    if (block->offset + block->bytes > arena->peak) arena->peak = block->offset + block->bytes;
    return block->data != NULL;
}

static bool take_of_queue(shim_context *context, shim_block *block)
{
    if (stoa_buffer_create(context->queue, STOA_MEMORY_DEVICE, block->bytes, &block->buffer, NULL) != STOA_OK) return false;
    block->data = stoa_buffer_data(block->buffer);
    return true;
}

void *stoai_shim_block(shim_context *context, size_t bytes)
{
    shim_arena *arena = &context->arena;
    shim_block block = {.bytes = (bytes + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN + (bytes == 0) * BLOCK_ALIGN};
    uint32_t at = arena->count;
    if (block.bytes < bytes || arena->count == SHIM_BLOCKS_MAX) return NULL;
    if (!(context->queue ? take_of_queue(context, &block) : take_of_arena(arena, &block, &at))) {
        context->out_of_memory = !arena->base;
        return NULL;
    }
    memmove(&arena->blocks[at + 1], &arena->blocks[at], (arena->count - at) * sizeof *arena->blocks);
    arena->blocks[at] = block;
    arena->count++;
    return block.data;
}

void stoai_shim_unblock(shim_context *context, void *data)
{
    shim_arena *arena = &context->arena;
    for (uint32_t i = 0; i < arena->count; i++) {
        shim_block *block = &arena->blocks[i];
        if (block->data != data) continue;
        if (block->buffer) stoa_buffer_release(block->buffer); /* behind what was enqueued on it */
        else if (!arena->base) stoa_free(data, block->bytes);
        memmove(block, block + 1, (arena->count - i - 1) * sizeof *block);
        arena->count--;
        return;
    }
}

/* ---- tensor objects ---------------------------------------------------------------------------------------------------- */

/* Objects of a run come from its pool; what is made outside of runs (weights) from the heap. */
shim_tensor *stoai_shim_tensor_take(void)
{
    if (!current) return stoa_calloc(1, sizeof(shim_tensor));
    shim_tensor *tensor = current->free_tensors;
    if (!tensor) return NULL;
    current->free_tensors = tensor->next;
    if (++current->tensors_live > current->tensors_peak) current->tensors_peak = current->tensors_live;
    memset(tensor, 0, sizeof *tensor);
    tensor->owner = current;
    return tensor;
}

void stoai_shim_tensor_give(shim_tensor *tensor)
{
    shim_context *owner = tensor->owner;
    if (!owner) {
        stoa_free(tensor, sizeof *tensor);
        return;
    }
    tensor->next = owner->free_tensors;
    owner->free_tensors = tensor;
    owner->tensors_live--;
}

shim_storage *stoai_shim_storage_take(void)
{
    if (!current) return stoa_calloc(1, sizeof(shim_storage));
    return current->free_storage_count ? current->free_storages[--current->free_storage_count] : NULL;
}

void stoai_shim_storage_give(shim_storage *storage, shim_context *owner)
{
    if (!owner) {
        stoa_free(storage, sizeof *storage);
        return;
    }
    if (storage->is_block) stoai_shim_unblock(owner, storage->data);
    owner->free_storages[owner->free_storage_count++] = storage;
}

/* ---- C++ blocks ---------------------------------------------------------------------------------------------------------- */

/* The model's code keeps its lists of handles in std::vector: a block or two a run. Blocks are those of C++, so that it does not matter
 * who frees one; those that the model gives back wait for its next run. */
static void *cxx_new(size_t bytes)
{
    for (uint32_t i = 0; current && i < SHIM_RECYCLED; i++)
        if (current->recycled[i].block && current->recycled[i].bytes == bytes) {
            void *block = current->recycled[i].block;
            current->recycled[i].block = NULL;
            return block;
        }
    if (current) current->allocations++;
    return stoai_shim_cxx()->allocate(bytes); /* throws when there is none */
}

static void cxx_delete_sized(void *block, size_t bytes)
{
    for (uint32_t i = 0; block && current && i < SHIM_RECYCLED; i++)
        if (!current->recycled[i].block) {
            current->recycled[i].block = block;
            current->recycled[i].bytes = bytes;
            return;
        }
    stoai_shim_cxx()->release(block);
}

static void *counted_malloc(size_t bytes)
{
    if (current) current->allocations++;
    return malloc(bytes);
}

/* ---- the standard error stream ------------------------------------------------------------------------------------------- */

/* A model prints every exception that it catches. What goes to std::cerr is dropped here, what goes to other streams is passed on.
 * The functions are libstdc++'s, reached by their mangled names; references are pointers in this ABI. */
static void *ostream_insert(void *stream, const char *text, long length)
{
    const shim_cxx *cxx = stoai_shim_cxx();
    return stream == cxx->error_stream ? stream : cxx->insert(stream, text, length);
}

static void *ostream_text(void *stream, const char *text)
{
    const shim_cxx *cxx = stoai_shim_cxx();
    return stream == cxx->error_stream ? stream : cxx->text(stream, text);
}

static void *ostream_character(void *stream, char character)
{
    const shim_cxx *cxx = stoai_shim_cxx();
    return stream == cxx->error_stream ? stream : cxx->character(stream, character);
}

#define SYMBOL(name, function) {name, (void (*)(void))(function)}
static const shim_symbol guards[] = {
    SYMBOL("_Znwm", cxx_new),
    SYMBOL("_ZdlPvm", cxx_delete_sized),
    SYMBOL("malloc", counted_malloc),
    SYMBOL(SHIM_OSTREAM_INSERT, ostream_insert),
    SYMBOL(SHIM_OSTREAM_TEXT, ostream_text),
    SYMBOL(SHIM_OSTREAM_CHARACTER, ostream_character),
    {NULL, NULL},
};

void *stoai_shim_find_guard(const char *name) { return stoai_shim_lookup(guards, name); }

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

int32_t stoai_shim_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (current && !current->message[0]) vsnprintf(current->message, sizeof current->message, format, args);
    va_end(args);
    return 1; /* AOTI_TORCH_FAILURE */
}
