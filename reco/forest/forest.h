/* SPDX-License-Identifier: Apache-2.0 */
/** Boosted forests: trees of comparisons whose leaves are added up, over float columns where they lie.
 *
 *  A file is checked once, when it is loaded: features, children and roots in range, each node below one parent, so that no
 *  traversal can leave its tree or go round. Python writes such files from XGBoost, LightGBM and ONNX (stoa.forest). On a
 *  host queue rows go through a tree in lanes, a block of rows through all trees while their features are in cache.
 *
 *      reco_forest_load("high_purity.forest", &forest, &err);                    // once; shared by all threads
 *      reco_forest_upload(forest, queue, &nodes, &err);                          // once a device; not needed on the host
 *      reco_forest_run run = {reco_forest_view_of(forest, nodes), {f.chi2, f.eta}, f.score, count, f.head.rows};
 *      reco_forest_enqueue(queue, &run, &err);
 *
 *  A row goes left where x < threshold, right otherwise; a NaN goes where the node says. out = transform(base + the sum of
 *  the leaves, tree after tree in float): the same bits in any block, lane or thread.
 *
 *  File, little endian: "STOAFRS1"; uint32 features, trees, nodes, transform (0 none, 1 sigmoid); float base; uint32 0;
 *  uint32 root[trees]; float value[nodes] (threshold, or the leaf's); uint32 left[nodes], right[nodes] (0 in a leaf);
 *  uint16 feature[nodes]; uint8 kind[nodes]: 0 leaf, 1 NaN goes right, 2 NaN goes left. A child's number is above its
 *  parent's. */
#ifndef RECO_FOREST_H
#define RECO_FOREST_H

#include "reco/export.h"
#include "stoa/buffer.h"

STOA_BEGIN_DECLS

#define RECO_FOREST_FEATURES_MAX 64u /**< a run carries a pointer for each */

typedef struct reco_forest reco_forest;

typedef enum reco_forest_transform { RECO_FOREST_RAW = 0, RECO_FOREST_SIGMOID = 1 } reco_forest_transform;

/** One node as it is walked. Children lie beside each other; a leaf is its own child and takes every finite value left. */
typedef struct reco_forest_node {
    float threshold;
    uint32_t next;   /**< feature in the low 8 bits; above them the left child, counted from the tree's root */
} reco_forest_node;

/** One tree: where it starts, and the steps to its deepest leaf. */
typedef struct reco_forest_tree {
    uint32_t root, depth;
} reco_forest_tree;

/** A forest in memory of one device, for kernels. */
typedef struct reco_forest_view {
    const reco_forest_tree *trees;
    const reco_forest_node *nodes;
    const float *leaf;          /**< of each node; 0 where it is none */
    const uint8_t *nan_right;   /**< of each node: 1 where a NaN goes right */
    uint32_t tree_count, feature_count, transform;
    float base;
} reco_forest_view;

/** One evaluation. */
typedef struct reco_forest_run {
    reco_forest_view forest;
    const float *columns[RECO_FOREST_FEATURES_MAX];   /**< [feature_count], each of `capacity` rows */
    float *out;              /**< out [capacity]; rows from *count on are left alone */
    const uint32_t *count;   /**< clipped to capacity */
    uint32_t capacity;
} reco_forest_run;

/** Read a file and check it.
 *
 *  owns     caller destroys; NULL on failure      alloc  all of it
 *  threads  any      errors  EIO; EFORMAT what is wrong where, both values; ELIMIT features, or a tree of 2^24 nodes; ENOMEM
 *  since    0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_forest_load(const char *path, reco_forest **forest, stoa_error *err);

/** The same from the bytes of a file; `what` names them in messages.
 *  owns borrows `bytes` during the call; caller destroys   threads any   errors as reco_forest_load   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_forest_parse(const void *bytes, size_t size, const char *what, reco_forest **forest,
                                                       stoa_error *err);

/** Destroy; NULL is a no-op.   owns takes `forest`   threads one at a time   errors none   since 0.1 */
RECO_API void reco_forest_destroy(reco_forest *forest);

/** Columns that a run needs.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_forest_features(const reco_forest *forest);
/** Trees.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_forest_trees(const reco_forest *forest);

/** Copy the forest to memory of a queue's device.
 *  owns caller releases the buffer   sync none: in the order of the queue   alloc one buffer, and a pinned one that is given back
 *  threads one at a time per queue
 *  errors as stoa_buffer_create   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_forest_upload(const reco_forest *forest, stoa_queue *queue, stoa_buffer **nodes, stoa_error *err);

/** The forest for kernels: `nodes` from reco_forest_upload, or NULL on the host.
 *  owns borrows both   threads any   errors none   since 0.1 */
RECO_API reco_forest_view reco_forest_view_of(const reco_forest *forest, const stoa_buffer *nodes);

/** Enqueue an evaluation.
 *
 *  shape    see the struct     owns  borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc none        threads  one at a time per queue
 *  errors   EINVAL null pointer, with the feature's number; as stoa_queue_launch
 *  source   the trees as XGBoost defines them        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_forest_enqueue(stoa_queue *queue, const reco_forest_run *args, stoa_error *err);

STOA_END_DECLS
#endif
