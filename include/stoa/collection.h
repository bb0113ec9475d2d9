/* SPDX-License-Identifier: Apache-2.0 */
/** Collections: a blob that holds one or more layouts ("blocks"), each with its own number of rows.
 *
 *  The blob is one buffer, aligned and padded as stoa/layout.h says; block k+1 starts where block k ends. A collection
 *  owns its buffer, or adopts foreign memory (a CMSSW blob, a mapped file) without a copy.
 *
 *      const stoa_block blocks[] = {{"tracks", &tracks_layout, 1000}, {"hits", &hits_layout, 8000}};
 *      stoa_collection_create(queue, STOA_MEMORY_DEVICE, blocks, 2, &event, &err);
 *      tracks t;
 *      stoa_collection_view(event, "tracks", &t.head, &err);
 */
#ifndef STOA_COLLECTION_H
#define STOA_COLLECTION_H

#include "stoa/buffer.h"
#include "stoa/layout.h"

STOA_BEGIN_DECLS

typedef struct stoa_collection stoa_collection;

/** One block: a layout with its rows, or a nested list of blocks when `blocks` is not NULL. A nested block is found by
 *  the path of names, "hits/pixel". Names are borrowed and must be unique in their list. */
typedef struct stoa_block {
    const char *name;
    const stoa_layout *layout;
    uint32_t rows;
    uint32_t block_count;             /**< of `blocks` */
    const struct stoa_block *blocks;  /**< nested, or NULL */
} stoa_block;

/** Bytes of a blob of these blocks.
 *  owns borrows   threads any   errors EINVAL; ENAME duplicate; ELIMIT; EALIGN blocks of different alignment   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_blocks_bytes(const stoa_block *blocks, uint32_t block_count, size_t *bytes, stoa_error *err);

/** Make a collection in new memory, queue-ordered. The memory is not initialised: see stoa_collection_zero.
 *
 *  owns     caller destroys; layouts must outlive it, the list of blocks need not
 *  alloc    one buffer       sync none        threads one at a time per queue
 *  errors   as stoa_blocks_bytes; ENOMEM; ELIMIT; EDEVICE      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_create(stoa_queue *queue, stoa_memory_kind kind, const stoa_block *blocks,
                                                            uint32_t block_count, stoa_collection **collection, stoa_error *err);

/** Make a collection over foreign memory. `read_only` != 0: only const views may be had.
 *  shape `bytes` >= stoa_blocks_bytes   owns borrows `blob` until destroy   threads any   errors ESHAPE; EALIGN; as stoa_blocks_bytes   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_adopt(void *blob, size_t bytes, stoa_place place, uint32_t read_only,
                                                           const stoa_block *blocks, uint32_t block_count, stoa_collection **collection,
                                                           stoa_error *err);

/** Destroy; an owned buffer is released in queue order. NULL is a no-op.
 *  owns takes `collection`   sync none   threads one at a time   errors none   since 0.1 */
STOA_API void stoa_collection_destroy(stoa_collection *collection);

/** Fill a generated view struct for a block ("" or NULL: the only or first block). `view` must be that layout's struct.
 *  owns borrows until destroy   threads any   errors ENAME; ECONST the collection is read-only   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_view(const stoa_collection *collection, const char *block, stoa_view_head *view,
                                                          stoa_error *err);
/** As stoa_collection_view, for the `_const` struct.   owns borrows   threads any   errors ENAME   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_view_const(const stoa_collection *collection, const char *block, stoa_view_head *view,
                                                                stoa_error *err);

/** Layout-free access to a block, for layouts described at run time.
 *  owns fills caller's head; borrows until destroy   threads any   errors ENAME   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_block(const stoa_collection *collection, const char *block, stoa_view_head *head,
                                                           stoa_error *err);

/** Address of the blob.   owns borrowed   threads any   errors none   since 0.1 */
STOA_API void *stoa_collection_data(const stoa_collection *collection);
/** Size of the blob.   owns nothing   threads any   errors none   since 0.1 */
STOA_API size_t stoa_collection_bytes(const stoa_collection *collection);
/** Place of the blob.   owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_place stoa_collection_place(const stoa_collection *collection);
/** The buffer behind it, to keep the memory alive beyond the collection (stoa_buffer_retain, stoa_dlpack_export).
 *  owns borrowed until destroy   threads any   errors NULL for foreign memory   since 0.1 */
STOA_API stoa_buffer *stoa_collection_buffer(const stoa_collection *collection);

/** Zero the whole blob, or only the padding behind each column (`padding_only` != 0), on a queue.
 *  owns borrows until the queue passes   sync asynchronous   alloc none   threads one at a time per queue   errors ECONST; EPLACE; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_zero(stoa_collection *collection, stoa_queue *queue, uint32_t padding_only,
                                                          stoa_error *err);

/** Copy all blocks of `src` to `dst`, which has the same layouts; rows may differ: the common rows are copied.
 *  Same rows: one copy of the whole blob. Otherwise one two-dimensional copy for each column.
 *  owns borrows until the queue passes   sync asynchronous   alloc none   threads one at a time per queue   errors ESHAPE other blocks or layouts; ECONST; EOVERLAP; EPLACE; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_collection_copy(stoa_queue *queue, stoa_collection *dst, const stoa_collection *src,
                                                          stoa_error *err);

/** Array of structures to structure of arrays: `aos` holds `rows` records of `record_bytes`, with the columns' values
 *  packed in the layout's order, each naturally aligned as a C struct of these members (matrices column-major; scalars left out).
 *  owns borrows until the queue passes   sync asynchronous   alloc none   threads one at a time per queue   errors ESHAPE record size, both values; ECONST; EALIGN; EOVERLAP; EPLACE; ENOTSUP not on this device   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_soa_from_aos(stoa_queue *queue, const stoa_view_head *soa, const void *aos, size_t record_bytes,
                                                       stoa_error *err);
/** The way back; see stoa_soa_from_aos.   owns, sync, alloc, threads, errors as stoa_soa_from_aos   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_soa_to_aos(stoa_queue *queue, const stoa_view_head *soa, void *aos, size_t record_bytes,
                                                     stoa_error *err);
/** Size of a record as stoa_soa_from_aos wants it.   owns nothing   threads any   errors 0 for an invalid layout   since 0.1 */
STOA_API size_t stoa_layout_record_bytes(const stoa_layout *layout);

STOA_END_DECLS
#endif
