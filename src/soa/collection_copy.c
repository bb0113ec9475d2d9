/* SPDX-License-Identifier: Apache-2.0 */
#include "soa/collection_internal.h"

#include "soa/geometry.h"

#include <string.h>

/* A host queue works in the processor's memory only; a device's copies also reach host memory. */
static stoa_status check_reach(stoa_queue *queue, const stoa_collection *collection, const char *what, stoa_error *err)
{
    const stoa_place from = stoa_device_place(stoa_queue_device(queue)), memory = collection->place;
    const stoa_place host = {STOA_PLACE_HOST, 0};
    if (stoa_place_accessible(memory, from)) return STOA_OK;
    if (!stoa_place_accessible(from, host) && stoa_place_accessible(memory, host)) return STOA_OK;
    return STOA_FAIL(err, STOA_EPLACE, "%s: memory of place %d:%d, queue of place %d:%d", what, (int)memory.type, (int)memory.index,
                     (int)from.type, (int)from.index);
}

static stoa_status zero_padding(stoa_queue *queue, const stoa_collection *collection, const stoai_leaf *leaf, stoa_error *err)
{
    size_t cursor = leaf->offset;
    for (uint32_t i = 0; i < leaf->layout->column_count; i++) {
        const stoa_column_desc *column = &leaf->layout->columns[i];
        stoa_column_geometry geometry;
        STOA_TRY(stoai_column_place(leaf->layout, leaf->rows, i, &cursor, &geometry, err));
        const size_t element = stoa_dtype_bytes(column->dtype);
        const size_t used = stoai_column_rows(column, leaf->rows) * element;
        const size_t padded = (size_t)geometry.component_stride * element;
        if (used == padded) continue;
        for (uint32_t k = 0; k < geometry.component_count; k++)
            STOA_TRY(stoa_queue_fill(queue, collection->blob + geometry.offset_bytes + k * padded + used, 0, padded - used, err));
    }
    return STOA_OK;
}

/* A collection is known by its first block and its address. */
static stoa_status check_writable(const stoa_collection *collection, const char *what, stoa_error *err)
{
    if (!collection->read_only) return STOA_OK;
    return STOA_FAIL(err, STOA_ECONST, "%s: the collection with block '%s' at %p is read-only", what,
                     collection->leaf_count ? collection->leaves[0].path : "", (void *)collection->blob);
}

stoa_status stoa_collection_zero(stoa_collection *collection, stoa_queue *queue, uint32_t padding_only, stoa_error *err)
{
    if (!collection || !queue) return STOA_FAIL(err, STOA_EINVAL, "collection zero: NULL %s", queue ? "collection" : "queue");
    STOA_TRY(check_writable(collection, "collection zero", err));
    STOA_TRY(check_reach(queue, collection, "collection zero", err));
    if (!collection->bytes) return STOA_OK;
    if (!padding_only) return stoa_queue_fill(queue, collection->blob, 0, collection->bytes, err);
    for (uint32_t i = 0; i < collection->leaf_count; i++) STOA_TRY(zero_padding(queue, collection, &collection->leaves[i], err));
    return STOA_OK;
}

/* Layouts are the same when their blobs are: two plugins may carry a table each for one .def file. */
static stoa_status check_same_layout(const stoai_leaf *dst, const stoai_leaf *src, stoa_error *err)
{
    const stoa_layout *a = dst->layout, *b = src->layout;
    if (a == b) return STOA_OK;
    if (a->column_count != b->column_count || stoai_layout_align(a) != stoai_layout_align(b))
        return STOA_FAIL(err, STOA_ESHAPE, "collection copy, block '%s': %u columns aligned to %u, source has %u aligned to %u", dst->path,
                         (unsigned)a->column_count, (unsigned)stoai_layout_align(a), (unsigned)b->column_count,
                         (unsigned)stoai_layout_align(b));
    for (uint32_t i = 0; i < a->column_count; i++) {
        const stoa_column_desc *p = &a->columns[i], *q = &b->columns[i];
        if (p->dtype != q->dtype || p->kind != q->kind || p->extent[0] != q->extent[0] || p->extent[1] != q->extent[1] ||
            strcmp(p->name, q->name) != 0)
            return STOA_FAIL(err, STOA_ESHAPE, "collection copy, block '%s': column %u is '%s' %s, source has '%s' %s", dst->path,
                             (unsigned)i, p->name, stoa_dtype_name(p->dtype), q->name, stoa_dtype_name(q->dtype));
    }
    return STOA_OK;
}

static stoa_status check_same_blocks(const stoa_collection *dst, const stoa_collection *src, bool *same_rows, stoa_error *err)
{
    *same_rows = true;
    if (dst->leaf_count != src->leaf_count)
        return STOA_FAIL(err, STOA_ESHAPE, "collection copy: %u blocks, source has %u", (unsigned)dst->leaf_count,
                         (unsigned)src->leaf_count);
    for (uint32_t i = 0; i < dst->leaf_count; i++) {
        const stoai_leaf *to = &dst->leaves[i], *from = &src->leaves[i];
        if (strcmp(to->path, from->path) != 0)
            return STOA_FAIL(err, STOA_ESHAPE, "collection copy: block %u is '%s', source has '%s'", (unsigned)i, to->path, from->path);
        STOA_TRY(check_same_layout(to, from, err));
        if (to->rows != from->rows) *same_rows = false;
    }
    return STOA_OK;
}

static stoa_status check_disjoint(const stoa_collection *dst, const stoa_collection *src, stoa_error *err)
{
    const uintptr_t a = (uintptr_t)dst->blob, b = (uintptr_t)src->blob;
    if (!dst->bytes || !src->bytes || a + dst->bytes <= b || b + src->bytes <= a) return STOA_OK;
    if (!stoa_place_accessible(dst->place, src->place)) return STOA_OK;
    return STOA_FAIL(err, STOA_EOVERLAP, "collection copy: %zu bytes at %p overlap %zu bytes at %p", dst->bytes, (void *)dst->blob,
                     src->bytes, (void *)src->blob);
}

/* Components are equally spaced in both blobs, at different pitches: one two-dimensional copy a column. */
static stoa_status copy_leaf(stoa_queue *queue, char *dst, const stoai_leaf *to, const char *src, const stoai_leaf *from, stoa_error *err)
{
    const uint32_t rows = to->rows < from->rows ? to->rows : from->rows;
    size_t to_cursor = to->offset, from_cursor = from->offset;
    for (uint32_t i = 0; i < to->layout->column_count; i++) {
        const stoa_column_desc *column = &to->layout->columns[i];
        stoa_column_geometry into, outof;
        STOA_TRY(stoai_column_place(to->layout, to->rows, i, &to_cursor, &into, err));
        STOA_TRY(stoai_column_place(from->layout, from->rows, i, &from_cursor, &outof, err));
        const size_t element = stoa_dtype_bytes(column->dtype), width = stoai_column_rows(column, rows) * element;
        if (!width) continue;
        STOA_TRY(stoa_queue_copy_2d(queue, dst + into.offset_bytes, (size_t)into.component_stride * element, src + outof.offset_bytes,
                                    (size_t)outof.component_stride * element, width, into.component_count, err));
    }
    return STOA_OK;
}

stoa_status stoa_collection_copy(stoa_queue *queue, stoa_collection *dst, const stoa_collection *src, stoa_error *err)
{
    if (!queue || !dst || !src) return STOA_FAIL(err, STOA_EINVAL, "collection copy: NULL %s", queue ? "collection" : "queue");
    STOA_TRY(check_writable(dst, "collection copy, destination", err));
    bool same_rows;
    STOA_TRY(check_same_blocks(dst, src, &same_rows, err));
    STOA_TRY(check_reach(queue, dst, "collection copy, destination", err));
    STOA_TRY(check_reach(queue, src, "collection copy, source", err));
    STOA_TRY(check_disjoint(dst, src, err));
    if (same_rows) return dst->bytes ? stoa_queue_copy(queue, dst->blob, src->blob, dst->bytes, err) : STOA_OK;
    for (uint32_t i = 0; i < dst->leaf_count; i++) STOA_TRY(copy_leaf(queue, dst->blob, &dst->leaves[i], src->blob, &src->leaves[i], err));
    return STOA_OK;
}
