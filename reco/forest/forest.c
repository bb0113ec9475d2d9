/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/forest/forest.h"

#include "reco/check.h"
#include "stoa/kernel.h"

#include <math.h>

enum { FOREST_FEATURE_BITS = 8 };

STOA_DEVICE float forest_transform(const reco_forest_view *f, float sum)
{ return f->transform == RECO_FOREST_SIGMOID ? 1.0f / (1.0f + expf(-sum)) : sum; }

/* One row, any values: what a GPU thread does, and the host where a value is not finite. */
STOA_DEVICE float forest_row(const reco_forest_run *args, uint32_t row)
{
    const reco_forest_view *f = &args->forest;
    float sum = f->base;
    for (uint32_t t = 0; t < f->tree_count; t++) {
        const uint32_t root = f->trees[t].root;
        uint32_t at = 0;
        for (;;) {
            const reco_forest_node node = f->nodes[root + at];
            const uint32_t next = node.next >> FOREST_FEATURE_BITS;
            if (next == at) break;
            const float x = args->columns[node.next & ((1u << FOREST_FEATURE_BITS) - 1)][row];
            const int right = x != x ? f->nan_right[root + at] : !(x < node.threshold);
            at = next + (uint32_t)right;
        }
        sum += f->leaf[root + at];
    }
    return sum;
}

#ifndef __CUDACC__
/* The host's form: a block of rows is turned into rows of features, which fit into the first cache, and each tree is then
 * walked by FOREST_LANES rows at a time. No walk waits for another's loads, there is no branch on data, and a tree stays in
 * cache for the whole block. */
enum { FOREST_BLOCK = 128, FOREST_LANES = 8 };

typedef struct forest_tile {
    float x[FOREST_BLOCK][RECO_FOREST_FEATURES_MAX];
    float sum[FOREST_BLOCK];
    uint8_t finite[FOREST_BLOCK];
} forest_tile;

static void forest_load(const reco_forest_run *args, forest_tile *tile, uint32_t first, uint32_t rows)
{
    for (uint32_t r = 0; r < FOREST_BLOCK; r++) {
        tile->sum[r] = args->forest.base;
        tile->finite[r] = 1;
    }
    for (uint32_t c = 0; c < args->forest.feature_count; c++) {
        const float *column = args->columns[c] + first;
        for (uint32_t r = 0; r < rows; r++) {
            tile->x[r][c] = column[r];
            tile->finite[r] = (uint8_t)(tile->finite[r] & (column[r] - column[r] == 0.0f));
        }
    }
}

static inline void forest_walk(const reco_forest_node *nodes, const float *leaf, uint32_t depth, float (*x)[RECO_FOREST_FEATURES_MAX],
                               float *sum)
{
    uint32_t at[FOREST_LANES] = {0};
    for (uint32_t d = 0; d < depth; d++)
        for (int l = 0; l < FOREST_LANES; l++) {
            const uint32_t next = nodes[at[l]].next;
            const float value = x[l][next & ((1u << FOREST_FEATURE_BITS) - 1)];
            at[l] = (next >> FOREST_FEATURE_BITS) + (uint32_t)!(value < nodes[at[l]].threshold);
        }
    for (int l = 0; l < FOREST_LANES; l++) sum[l] += leaf[at[l]];
}

static void forest_block(const reco_forest_run *args, forest_tile *tile, uint32_t first, uint32_t rows)
{
    const reco_forest_view *f = &args->forest;
    forest_load(args, tile, first, rows);
    for (uint32_t t = 0; t < f->tree_count; t++) {
        const reco_forest_tree tree = f->trees[t];
        for (uint32_t r = 0; r < rows; r += FOREST_LANES)
            forest_walk(f->nodes + tree.root, f->leaf + tree.root, tree.depth, tile->x + r, tile->sum + r);
    }
    for (uint32_t r = 0; r < rows; r++)
        args->out[first + r] = forest_transform(f, tile->finite[r] ? tile->sum[r] : forest_row(args, first + r));
}
#endif

STOA_KERNEL(reco_forest, reco_forest_run)
{
    const uint32_t rows = *args->count < args->capacity ? *args->count : args->capacity;
#ifdef __CUDACC__
    STOA_FOR (i, grid, rows) args->out[i] = forest_transform(&args->forest, forest_row(args, i));
#else
    forest_tile tile;
    (void)grid;
    for (uint32_t r = 0; r < FOREST_BLOCK; r++) /* lanes behind the last row walk too */
        for (uint32_t c = 0; c < args->forest.feature_count; c++) tile.x[r][c] = 0.0f;
    for (uint32_t first = 0; first < rows; first += FOREST_BLOCK)
        forest_block(args, &tile, first, rows - first < FOREST_BLOCK ? rows - first : FOREST_BLOCK);
#endif
}

#ifndef __CUDACC__
stoa_status reco_forest_enqueue(stoa_queue *queue, const reco_forest_run *args, stoa_error *err)
{
    RECO_NEED(err, "forest", queue);
    RECO_NEED(err, "forest", args);
    RECO_NEED(err, "forest", args->count);
    RECO_NEED(err, "forest", args->forest.nodes);
    if (args->capacity > 0) RECO_NEED(err, "forest", args->out);
    for (uint32_t c = 0; c < args->forest.feature_count && args->capacity > 0; c++)
        if (!args->columns[c]) return STOA_FAIL(err, STOA_EINVAL, "forest: column %u of %u is NULL", c, args->forest.feature_count);
    return stoa_queue_launch(queue, &reco_forest_kernel, args, err);
}
#endif
