/* SPDX-License-Identifier: Apache-2.0 */
/** General algorithms as kernels on a queue: scan, compaction, gather, histogram, sort by key.
 *
 *  All take their row count from memory (`count`, a pointer that may be a device's), so a count never has to come back
 *  to the host; `capacity` bounds it. All are deterministic and give the same bits on every back end. Not for physics: see reco/.
 *  On a GPU scan, compaction and sort are one launch of one block up to 8192 rows of capacity, and launches that fill the device
 *  beyond; the first two where they are given scratch.
 *
 *      stoa_algo_compact(queue, &(stoa_compact){mask, count, capacity, index, selected_count, scratch}, &err);
 *      stoa_algo_gather(queue, &(stoa_gather){tracks.pt, selected.pt, 4, index, selected_count, capacity}, &err);
 */
#ifndef STOA_ALGO_H
#define STOA_ALGO_H

#include "stoa/kernel.h"

STOA_BEGIN_DECLS

/** Indices of the rows whose mask is not 0, in ascending order. */
typedef struct stoa_compact {
    const uint8_t *mask;       /**< [capacity] */
    const uint32_t *count;     /**< rows to look at, at most capacity */
    uint32_t capacity;
    uint32_t *index;           /**< out [capacity]: row of each selected one */
    uint32_t *selected_count;  /**< out [1] */
    uint32_t *scratch;         /**< [stoa_algo_scratch_words(capacity)], or NULL: one block of a GPU has all rows */
} stoa_compact;

/** Inclusive or exclusive prefix sum of uint32 (wraps modulo 2^32). */
typedef struct stoa_scan {
    const uint32_t *in;        /**< [capacity]; may be `out` */
    const uint32_t *count;
    uint32_t capacity;
    uint32_t exclusive;        /**< 0 or 1 */
    uint32_t *out;             /**< out [capacity] */
    uint32_t *scratch;         /**< as in stoa_compact */
} stoa_scan;

/** out[i] = in[index[i]] for elements of 1, 2, 4 or 8 bytes. */
typedef struct stoa_gather {
    const void *in;
    void *out;                 /**< must not overlap `in` */
    uint32_t element_bytes;
    const uint32_t *index;
    const uint32_t *count;
    uint32_t capacity;
} stoa_gather;

/** Counts of values in equal bins over [low, high); underflow to the first, overflow and NaN to the last when `clamp` is 1, else dropped. */
typedef struct stoa_histogram {
    const float *in;
    const uint32_t *count;
    uint32_t capacity, bins, clamp;
    float low, high;
    uint32_t *out;             /**< out [bins], overwritten */
} stoa_histogram;

/** Stable ascending order of float keys (-0 before +0, NaN last), as indices. */
typedef struct stoa_sort {
    const float *key;
    const uint32_t *count;
    uint32_t capacity;
    uint32_t *index;           /**< out [capacity] */
    uint32_t *scratch;         /**< [2 * capacity] */
} stoa_sort;

/** Enqueue a compaction.
 *  shape see the struct   owns borrows all until the queue passes   sync asynchronous   alloc none   threads one at a time per queue   errors EINVAL null pointer with capacity > 0; ELIMIT capacity above STOA_LAYOUT_ROWS_MAX   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_algo_compact(stoa_queue *queue, const stoa_compact *args, stoa_error *err);
/** Enqueue a prefix sum.   owns, sync, alloc, threads, errors as stoa_algo_compact   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_algo_scan(stoa_queue *queue, const stoa_scan *args, stoa_error *err);
/** Words of scratch for a compaction or a scan: never more than `capacity`, but for a capacity of 0.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API uint32_t stoa_algo_scratch_words(uint32_t capacity);
/** Enqueue a gather.   owns, sync, alloc, threads as stoa_algo_compact   errors EINVAL element_bytes too, else as there   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_algo_gather(stoa_queue *queue, const stoa_gather *args, stoa_error *err);
/** Enqueue a histogram.   owns, sync, alloc, threads as stoa_algo_compact   errors EINVAL bins 0, or high <= low, else as there   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_algo_histogram(stoa_queue *queue, const stoa_histogram *args, stoa_error *err);
/** Enqueue a sort.   owns, sync, alloc, threads, errors as stoa_algo_compact   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_algo_sort(stoa_queue *queue, const stoa_sort *args, stoa_error *err);

STOA_END_DECLS
#endif
