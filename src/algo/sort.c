/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

#include <string.h>

enum { SORT_INSERTION_ROWS = 48, SORT_WIDE_ROWS = 1000, SORT_BLOCK_DIGITS = 16 };

/* Bits whose unsigned order is that of the floats: -0 before +0, every NaN last and equal, so that they keep
 * their order. */
STOA_DEVICE uint32_t sort_bits(float key)
{
    uint32_t u;
    memcpy(&u, &key, sizeof u);
    const uint32_t ordered = u ^ (u >> 31 ? 0xFFFFFFFFu : 0x80000000u);
    return (u & 0x7FFFFFFFu) > 0x7F800000u ? 0xFFFFFFFFu : ordered;
}

/* A few rows: clearing and scanning the digit counts would cost more than all the comparisons. */
STOA_DEVICE void sort_insert(const uint32_t *bits, uint32_t *index, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t key = bits[i];
        uint32_t slot = i;
        for (; slot > 0 && bits[index[slot - 1]] > key; slot--) index[slot] = index[slot - 1];
        index[slot] = i;
    }
}

/* One pass: `from` NULL is the identity. `start` holds the first slot of each digit and is used up. */
STOA_DEVICE void sort_pass(const uint32_t *bits, const uint32_t *from, uint32_t *to, uint32_t rows, uint32_t *start, uint32_t shift,
                           uint32_t digits)
{
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t row = from ? from[i] : i;
        to[start[(bits[row] >> shift) & (digits - 1)]++] = row;
    }
}

/* Counts to first slots; false when one digit has all rows, so that the pass would change nothing. */
STOA_DEVICE int sort_starts(uint32_t *count, uint32_t digits, uint32_t rows)
{
    uint32_t sum = 0, most = 0;
    for (uint32_t d = 0; d < digits; d++) {
        const uint32_t n = count[d];
        most = n > most ? n : most;
        count[d] = sum;
        sum += n;
    }
    return most != rows;
}

/* Least significant digit first. `counts` has room for passes * digits. The keys stay where they are and only
 * indices move: three arrays then do, and the keys of an event fit in cache. */
STOA_DEVICE void sort_radix(const uint32_t *bits, uint32_t *index, uint32_t *other, uint32_t rows, uint32_t *counts, uint32_t passes,
                            uint32_t width)
{
    const uint32_t digits = 1u << width;
    memset(counts, 0, sizeof *counts * passes * digits);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t p = 0; p < passes; p++) counts[p * digits + ((bits[i] >> (p * width)) & (digits - 1))]++;
    uint32_t todo = 0, left = 0;
    for (uint32_t p = 0; p < passes; p++)
        if (sort_starts(counts + p * digits, digits, rows)) {
            todo |= 1u << p;
            left++;
        }
    const uint32_t *from = 0;
    if (left == 0) sort_insert(bits, index, rows); /* all keys alike: linear, and gives the identity */
    for (uint32_t p = 0; p < passes; p++) {
        if (!(todo >> p & 1)) continue;
        uint32_t *to = left-- & 1 ? index : other; /* so that the last pass ends in `index` */
        sort_pass(bits, from, to, rows, counts + p * digits, p * width, digits);
        from = to;
    }
}

/* One worker: the counts of all passes from one reading, the wider the digits the more rows there are. */
STOA_DEVICE void sort_alone(const uint32_t *bits, uint32_t *index, uint32_t *other, uint32_t rows)
{
    uint32_t counts[3 * 2048];
    if (rows <= SORT_INSERTION_ROWS) sort_insert(bits, index, rows);
    else if (rows <= SORT_WIDE_ROWS) sort_radix(bits, index, other, rows, counts, 4, 8);
    else sort_radix(bits, index, other, rows, counts, 3, 11);
}

/* A block: each worker keeps a run of rows, counts its digits and moves them in order, so that equal keys stay in order. Digits
 * are narrow because every worker has counts of its own: `counts` holds them digit by digit, and in that order they are added up. */
STOA_DEVICE void sort_together(const uint32_t *bits, uint32_t *index, uint32_t *other, uint32_t rows, uint32_t *counts, stoa_grid grid)
{
    const uint32_t run = (rows + grid.size - 1) / grid.size;
    const uint32_t begin = grid.index * run < rows ? grid.index * run : rows;
    const uint32_t end = begin + run < rows ? begin + run : rows;
    uint32_t *mine = counts + grid.index, *share = counts + grid.index * SORT_BLOCK_DIGITS;
    const uint32_t *from = 0;
    for (uint32_t shift = 0; shift < 32; shift += 4) { /* eight passes: the last one ends in `index` */
        uint32_t *to = shift % 8 ? index : other;
        for (uint32_t d = 0; d < SORT_BLOCK_DIGITS; d++) mine[d * grid.size] = 0;
        for (uint32_t i = begin; i < end; i++) mine[(bits[from ? from[i] : i] >> shift) % SORT_BLOCK_DIGITS * grid.size]++;
        STOA_BARRIER();
        uint32_t sum = 0, all;
        for (uint32_t d = 0; d < SORT_BLOCK_DIGITS; d++) sum += share[d];
        uint32_t slot = stoa_block_scan(grid, sum, &all);
        for (uint32_t d = 0; d < SORT_BLOCK_DIGITS; d++) {
            const uint32_t n = share[d];
            share[d] = slot;
            slot += n;
        }
        STOA_BARRIER();
        for (uint32_t i = begin; i < end; i++) {
            const uint32_t row = from ? from[i] : i;
            to[mine[(bits[row] >> shift) % SORT_BLOCK_DIGITS * grid.size]++] = row;
        }
        STOA_BARRIER();
        from = to;
    }
}

STOA_KERNEL_BLOCK(stoa_algo_sort, stoa_sort)
{
    const uint32_t rows = algo_rows(args->count, args->capacity);
    uint32_t *bits = args->scratch, *other = args->scratch + args->capacity;
    STOA_FOR (i, grid, rows) bits[i] = sort_bits(args->key[i]);
    if (STOA_ALONE) {
        sort_alone(bits, args->index, other, rows);
    } else {
        STOA_SHARED uint32_t counts[SORT_BLOCK_DIGITS * STOA_BLOCK_THREADS_MAX];
        STOA_BARRIER();
        sort_together(bits, args->index, other, rows, counts, grid);
    }
}

#ifndef __CUDACC__
stoa_status stoa_algo_sort(stoa_queue *queue, const stoa_sort *args, stoa_error *err)
{
    ALGO_NEED(err, "sort", queue);
    ALGO_NEED(err, "sort", args);
    if (args->capacity > 0) {
        ALGO_NEED(err, "sort", args->key);
        ALGO_NEED(err, "sort", args->count);
        ALGO_NEED(err, "sort", args->index);
        ALGO_NEED(err, "sort", args->scratch);
    }
    return stoa_queue_launch(queue, &stoa_algo_sort_kernel, args, err);
}
#endif
