/* SPDX-License-Identifier: Apache-2.0 */
#include "algo_rows.h"

#include <math.h>
#include <string.h>

enum { SORT_INSERTION_ROWS = 32, SORT_EVEN_ROWS = 1 << 16, SORT_WIDE_ROWS = 1000, SORT_BLOCK_DIGITS = 16 };

/* Bits whose unsigned order is that of the floats: -0 before +0, every NaN last and equal, so that they keep
 * their order. */
STOA_DEVICE uint32_t sort_bits(float key)
{
    uint32_t u;
    memcpy(&u, &key, sizeof u);
    const uint32_t ordered = u ^ (u >> 31 ? 0xFFFFFFFFu : 0x80000000u);
    return (u & 0x7FFFFFFFu) > 0x7F800000u ? 0xFFFFFFFFu : ordered;
}

/* The way back, but for the NaN. */
STOA_DEVICE float sort_key(uint32_t bits)
{
    const uint32_t u = bits ^ (bits >> 31 ? 0x80000000u : 0xFFFFFFFFu);
    float key;
    memcpy(&key, &u, sizeof key);
    return key;
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

/* Counts to first slots. */
STOA_DEVICE void sort_starts(uint32_t *count, uint32_t digits)
{
    uint32_t sum = 0;
    for (uint32_t d = 0; d < digits; d++) {
        const uint32_t n = count[d];
        count[d] = sum;
        sum += n;
    }
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
    for (uint32_t p = 0; p < passes; p++) {
        uint32_t *count = counts + p * digits;
        if (count[bits[0] >> (p * width) & (digits - 1)] == rows) continue; /* one digit has all: nothing would move */
        sort_starts(count, digits);
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

/* Put right what is nearly in order; false where that takes too many moves. */
STOA_DEVICE int sort_mend(const uint32_t *bits, uint32_t *index, uint32_t rows)
{
    uint32_t moves = 0, highest = bits[index[0]];
    for (uint32_t i = 1; i < rows; i++) {
        const uint32_t row = index[i], key = bits[row];
        if (key >= highest) {
            highest = key;
            continue;
        }
        uint32_t slot = i;
        do {
            index[slot] = index[slot - 1];
            slot--;
        } while (slot > 0 && bits[index[slot - 1]] > key);
        index[slot] = row;
        moves += i - slot;
        if (moves > 4 * rows) return 0;
    }
    return 1;
}

/* Keys that are spread evenly, as far as 16 bits see: their place between the smallest and the largest goes into two passes,
 * with the row in the other half of the word so that no pass has to look it up, and neighbours are mended. False, with any
 * order, where keys are not finite or too many share a place. */
STOA_DEVICE int sort_even(const float *key, const uint32_t *bits, uint32_t *index, uint32_t *other, uint32_t rows)
{
    enum { DIGITS = 256 };
    uint32_t count[2 * DIGITS], low = bits[0], high = bits[0];
    for (uint32_t i = 1; i < rows; i++) {
        low = bits[i] < low ? bits[i] : low;
        high = bits[i] > high ? bits[i] : high;
    }
    const float base = sort_key(low), width = sort_key(high) - base, scale = 65535.0f / width;
    if (!(width < HUGE_VALF && width > 0.0f && scale < HUGE_VALF)) return 0;
    memset(count, 0, sizeof count);
    for (uint32_t i = 0; i < rows; i++) {
        const int32_t place = (int32_t)((key[i] - base) * scale);
        index[i] = (uint32_t)(place < 65535 ? place : 65535) << 16 | i;
    }
    for (uint32_t i = 0; i < rows; i++) {
        count[index[i] >> 16 & (DIGITS - 1)]++;
        count[DIGITS + (index[i] >> 24)]++;
    }
    sort_starts(count, DIGITS);
    sort_starts(count + DIGITS, DIGITS);
    for (uint32_t i = 0; i < rows; i++) other[count[index[i] >> 16 & (DIGITS - 1)]++] = index[i];
    for (uint32_t i = 0; i < rows; i++) index[count[DIGITS + (other[i] >> 24)]++] = other[i] & 0xFFFFu;
    return sort_mend(bits, index, rows);
}

/* One worker: the counts of all passes from one reading, the wider the digits the more rows there are. */
STOA_DEVICE void sort_alone(const float *key, const uint32_t *bits, uint32_t *index, uint32_t *other, uint32_t rows)
{
    uint32_t counts[3 * 2048];
    if (rows <= SORT_INSERTION_ROWS) sort_insert(bits, index, rows);
    else if (rows <= SORT_EVEN_ROWS && sort_even(key, bits, index, other, rows)) return;
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
        sort_alone(args->key, bits, args->index, other, rows);
    } else {
        STOA_SHARED uint32_t counts[SORT_BLOCK_DIGITS * STOA_BLOCK_THREADS_MAX];
        STOA_BARRIER();
        sort_together(bits, args->index, other, rows, counts, grid);
    }
}

/* Many blocks: each sorts tiles, which then are merged two by two until one run is left. The keys stay where they are here too. */
typedef struct wide_sort {
    stoa_sort sort;
    uint32_t width; /* rows of the runs in `from`: a tile, doubled from launch to launch */
    const uint32_t *from;
    uint32_t *to;
} wide_sort;

STOA_KERNEL_TILES(stoa_algo_sort_tiles, wide_sort)
{
    STOA_SHARED uint32_t counts[SORT_BLOCK_DIGITS * STOA_SHAPE_THREADS_tile], bits[ALGO_TILE], index[ALGO_TILE], other[ALGO_TILE];
    const uint32_t rows = algo_rows(args->sort.count, args->sort.capacity);
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE, n = algo_tile_end(first, rows) - first;
        STOA_FOR (i, grid, n) args->sort.scratch[first + i] = bits[i] = sort_bits(args->sort.key[first + i]);
        STOA_BARRIER();
        sort_together(bits, index, other, n, counts, grid);
        STOA_FOR (i, grid, n) args->to[first + i] = first + index[i];
        STOA_BARRIER();
    }
}

/* Two runs that become one; where keys are equal, a's rows come first. */
typedef struct sort_pair {
    const uint32_t *a, *b;
    uint32_t a_rows, b_rows;
} sort_pair;

/* How many of the merged run's first n rows are a's. `bits` NULL: the runs hold the keys themselves. */
STOA_DEVICE uint32_t sort_split(sort_pair pair, const uint32_t *bits, uint32_t n)
{
    uint32_t low = n > pair.b_rows ? n - pair.b_rows : 0, high = n < pair.a_rows ? n : pair.a_rows;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2, a = pair.a[middle], b = pair.b[n - 1 - middle];
        if ((bits ? bits[a] : a) <= (bits ? bits[b] : b)) low = middle + 1;
        else high = middle;
    }
    return low;
}

STOA_DEVICE sort_pair sort_pair_at(const wide_sort *args, uint32_t row, uint32_t rows)
{
    const uint32_t first = (row / args->width & ~1u) * args->width, left = rows - first;
    const uint32_t a_rows = left < args->width ? left : args->width, b_rows = left - a_rows < args->width ? left - a_rows : args->width;
    const sort_pair pair = {args->from + first, args->from + first + a_rows, a_rows, b_rows};
    return pair;
}

/* A tile of the merged run comes from a stretch of either run. Both are fetched, and each worker merges a part of the tile. */
STOA_KERNEL_TILES(stoa_algo_sort_merge, wide_sort)
{
    STOA_SHARED uint32_t key[ALGO_TILE], row[ALGO_TILE], split[2];
    const uint32_t rows = algo_rows(args->sort.count, args->sort.capacity), *bits = args->sort.scratch;
    for (uint32_t tile = grid.block; tile * ALGO_TILE < rows; tile += grid.blocks) {
        const uint32_t first = tile * ALGO_TILE, n = algo_tile_end(first, rows) - first;
        const sort_pair pair = sort_pair_at(args, first, rows);
        const uint32_t before = (uint32_t)(args->from + first - pair.a); /* of the merged run */
        STOA_FOR (k, grid, 2) split[k] = sort_split(pair, bits, before + k * n);
        STOA_BARRIER();
        const uint32_t a_rows = split[1] - split[0], *a = pair.a + split[0], *b = pair.b + (before - split[0]);
        STOA_FOR (i, grid, n) {
            row[i] = i < a_rows ? a[i] : b[i - a_rows];
            key[i] = bits[row[i]];
        }
        STOA_BARRIER();
        const sort_pair here = {key, key + a_rows, a_rows, n - a_rows};
        const uint32_t run = (n + grid.size - 1) / grid.size, begin = grid.index * run < n ? grid.index * run : n;
        const uint32_t end = n - begin < run ? n : begin + run;
        uint32_t i = sort_split(here, 0, begin), j = a_rows + (begin - i);
        for (uint32_t at = begin; at < end; at++) args->to[first + at] = row[i < a_rows && (j == n || key[i] <= key[j]) ? i++ : j++];
        STOA_BARRIER();
    }
}

#ifndef __CUDACC__
/* The last launch writes `index`, so the one before the other array, and so on. */
static stoa_status sort_wide(stoa_queue *queue, const stoa_sort *args, stoa_error *err)
{
    uint32_t *const arrays[] = {args->index, args->scratch + args->capacity};
    uint32_t left = 0;
    for (uint64_t width = ALGO_TILE; width < args->capacity; width *= 2) left++;
    wide_sort wide = {*args, ALGO_TILE, NULL, arrays[left % 2]};
    STOA_TRY(stoa_queue_launch(queue, &stoa_algo_sort_tiles_kernel, &wide, err));
    for (; left > 0; left--, wide.width *= 2) {
        wide.from = arrays[left % 2];
        wide.to = arrays[(left - 1) % 2];
        STOA_TRY(stoa_queue_launch(queue, &stoa_algo_sort_merge_kernel, &wide, err));
    }
    return STOA_OK;
}

stoa_status stoa_algo_sort(stoa_queue *queue, const stoa_sort *args, stoa_error *err)
{
    ALGO_NEED(err, "sort", queue);
    ALGO_NEED(err, "sort", args);
    ALGO_FITS(err, "sort", args->capacity);
    if (args->capacity > 0) {
        ALGO_NEED(err, "sort", args->key);
        ALGO_NEED(err, "sort", args->count);
        ALGO_NEED(err, "sort", args->index);
        ALGO_NEED(err, "sort", args->scratch);
    }
    if (algo_is_wide(queue, args->capacity, args->scratch)) return sort_wide(queue, args, err);
    return stoa_queue_launch(queue, &stoa_algo_sort_kernel, args, err);
}
#endif
