/* SPDX-License-Identifier: Apache-2.0 */
/* Files of forests: read, checked, and laid out for the walk. */
#include "reco/forest/forest.h"

#include "reco/check.h"
#include "stoa/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 32, TREE_NODES_MAX = 1 << 24 };
enum { KIND_LEAF, KIND_NAN_RIGHT, KIND_NAN_LEFT, KINDS };

/* All arrays of the view lie in `image`, so that one copy takes them to a device. */
struct reco_forest {
    uint32_t tree_count, node_count, feature_count, transform;
    float base;
    void *image;
    size_t image_bytes;
};

/* The arrays of a file, where they lie in it. */
typedef struct forest_file {
    const char *what;
    uint32_t features, trees, nodes, transform;
    float base;
    const unsigned char *root, *value, *left, *right, *feature, *kind;
} forest_file;

static uint32_t get_u32(const unsigned char *at) { return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }

static float get_f32(const unsigned char *at)
{
    const uint32_t bits = get_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t get_feature(const forest_file *f, uint32_t node)
{ return f->feature[2 * (size_t)node] | (uint32_t)f->feature[2 * (size_t)node + 1] << 8; }

static reco_forest_view view_at(const reco_forest *f, const void *image)
{
    const size_t nodes = f->node_count;
    reco_forest_view view = {.tree_count = f->tree_count, .feature_count = f->feature_count, .transform = f->transform, .base = f->base};
    view.trees = image;
    view.nodes = (const reco_forest_node *)(view.trees + f->tree_count);
    view.leaf = (const float *)(view.nodes + nodes);
    view.nan_right = (const uint8_t *)(view.leaf + nodes);
    return view;
}

static size_t image_size(uint32_t trees, uint32_t nodes)
{ return trees * sizeof(reco_forest_tree) + nodes * (sizeof(reco_forest_node) + sizeof(float) + 1); }

/* ---- Checks. ---- */

static stoa_status check_header(forest_file *f, const unsigned char *bytes, size_t size, stoa_error *err)
{
    if (size < HEADER_BYTES || memcmp(bytes, "STOAFRS1", 8) != 0)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: no forest: %zu bytes, or not STOAFRS1 at the start", f->what, size);
    f->features = get_u32(bytes + 8);
    f->trees = get_u32(bytes + 12);
    f->nodes = get_u32(bytes + 16);
    f->transform = get_u32(bytes + 20);
    f->base = get_f32(bytes + 24);
    if (f->features < 1 || f->features > RECO_FOREST_FEATURES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: %u features, 1 to %u possible", f->what, f->features, RECO_FOREST_FEATURES_MAX);
    if (f->trees > f->nodes || f->transform > RECO_FOREST_SIGMOID || !isfinite(f->base))
        return STOA_FAIL(err, STOA_EFORMAT, "%s: %u trees of %u nodes, transform %u, base %g", f->what, f->trees, f->nodes, f->transform,
                         (double)f->base);
    const uint64_t wanted = HEADER_BYTES + 4 * (uint64_t)f->trees + 15 * (uint64_t)f->nodes;
    if (size != wanted)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: %zu bytes, %llu needed for %u trees of %u nodes", f->what, size,
                         (unsigned long long)wanted, f->trees, f->nodes);
    const size_t n = f->nodes;
    f->root = bytes + HEADER_BYTES;
    f->value = f->root + 4 * (size_t)f->trees;
    f->left = f->value + 4 * n;
    f->right = f->left + 4 * n;
    f->feature = f->right + 4 * n;
    f->kind = f->feature + 2 * n;
    return STOA_OK;
}

static stoa_status check_node(const forest_file *f, uint32_t node, stoa_error *err)
{
    const float value = get_f32(f->value + 4 * (size_t)node);
    const uint32_t kind = f->kind[node], feature = get_feature(f, node);
    if (kind >= KINDS) return STOA_FAIL(err, STOA_EFORMAT, "%s: node %u: kind %u, below %d needed", f->what, node, kind, KINDS);
    if (!isfinite(value)) return STOA_FAIL(err, STOA_EFORMAT, "%s: node %u: value %g, a finite one needed", f->what, node, (double)value);
    if (kind == KIND_LEAF) return STOA_OK;
    if (feature >= f->features) return STOA_FAIL(err, STOA_EFORMAT, "%s: node %u: feature %u of %u", f->what, node, feature, f->features);
    const uint32_t children[2] = {get_u32(f->left + 4 * (size_t)node), get_u32(f->right + 4 * (size_t)node)};
    for (int c = 0; c < 2; c++)
        if (children[c] <= node || children[c] >= f->nodes)
            return STOA_FAIL(err, STOA_EFORMAT, "%s: node %u: child %u, above the node and below %u needed", f->what, node, children[c],
                             f->nodes);
    return STOA_OK;
}

/* ---- Layout. ---- */

typedef struct forest_maker {
    const forest_file *file;
    reco_forest_tree *trees;
    reco_forest_node *nodes;
    float *leaf;
    uint8_t *nan_right;
    uint32_t *source; /* of each node laid out: its number in the file */
    uint8_t *placed;  /* of each node of the file */
    uint32_t used;
} forest_maker;

/* A node of the file gets the next place. It may have one place only, so no walk can come back to it. */
static stoa_status place_node(forest_maker *m, uint32_t node, stoa_error *err)
{
    if (m->placed[node]) return STOA_FAIL(err, STOA_EFORMAT, "%s: node %u is below two parents, or a root twice", m->file->what, node);
    m->placed[node] = 1;
    m->source[m->used++] = node;
    return STOA_OK;
}

/* Node `at` of the tree that starts at `root`; its children get the next places. */
static stoa_status lay_node(forest_maker *m, uint32_t root, uint32_t at, stoa_error *err)
{
    const forest_file *f = m->file;
    const uint32_t node = m->source[at];
    const float value = get_f32(f->value + 4 * (size_t)node);
    if (f->kind[node] == KIND_LEAF) {
        m->nodes[at] = (reco_forest_node){HUGE_VALF, (at - root) << 8};
        m->leaf[at] = value;
        return STOA_OK;
    }
    if (m->used - root > TREE_NODES_MAX - 2)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: a tree of more than %d nodes", f->what, TREE_NODES_MAX);
    m->nodes[at] = (reco_forest_node){value, (m->used - root) << 8 | get_feature(f, node)};
    m->nan_right[at] = f->kind[node] == KIND_NAN_RIGHT;
    STOA_TRY(place_node(m, get_u32(f->left + 4 * (size_t)node), err));
    return place_node(m, get_u32(f->right + 4 * (size_t)node), err);
}

/* Level by level, which makes children neighbours and keeps the upper levels together. */
static stoa_status lay_tree(forest_maker *m, uint32_t tree, stoa_error *err)
{
    const forest_file *f = m->file;
    const uint32_t root = m->used, first = get_u32(f->root + 4 * (size_t)tree);
    if (first >= f->nodes) return STOA_FAIL(err, STOA_EFORMAT, "%s: tree %u: root %u of %u nodes", f->what, tree, first, f->nodes);
    STOA_TRY(place_node(m, first, err));
    m->trees[tree] = (reco_forest_tree){root, 0};
    uint32_t level_end = m->used;
    for (uint32_t at = root; at < m->used; at++) {
        if (at == level_end) m->trees[tree].depth++, level_end = m->used;
        STOA_TRY(lay_node(m, root, at, err));
    }
    return STOA_OK;
}

static stoa_status lay_out(const forest_file *file, reco_forest *forest, uint32_t *source, uint8_t *placed, stoa_error *err)
{
    const reco_forest_view view = view_at(forest, forest->image);
    char *image = forest->image;
    forest_maker m = {.file = file, .source = source, .placed = placed};
    m.trees = (reco_forest_tree *)image;
    m.nodes = (reco_forest_node *)(image + ((const char *)view.nodes - image));
    m.leaf = (float *)(image + ((const char *)view.leaf - image));
    m.nan_right = (uint8_t *)(image + ((const char *)view.nan_right - image));
    for (uint32_t node = 0; node < file->nodes; node++) STOA_TRY(check_node(file, node, err));
    for (uint32_t tree = 0; tree < file->trees; tree++) STOA_TRY(lay_tree(&m, tree, err));
    if (m.used != file->nodes)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: %u of %u nodes are in no tree", file->what, file->nodes - m.used, file->nodes);
    return STOA_OK;
}

stoa_status reco_forest_parse(const void *bytes, size_t size, const char *what, reco_forest **forest, stoa_error *err)
{
    forest_file file = {.what = what};
    RECO_NEED(err, "forest", forest);
    *forest = NULL;
    RECO_NEED(err, "forest", bytes);
    RECO_NEED(err, "forest", what);
    STOA_TRY(check_header(&file, bytes, size, err));
    reco_forest *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", what);
    *made = (reco_forest){file.trees, file.nodes, file.features, file.transform, file.base, NULL, 0};
    made->image_bytes = image_size(file.trees, file.nodes);
    made->image = stoa_calloc(made->image_bytes + 1, 1);
    uint32_t *source = stoa_calloc((size_t)file.nodes + 1, sizeof *source);
    uint8_t *placed = stoa_calloc((size_t)file.nodes + 1, 1);
    const stoa_status status = made->image && source && placed
                                   ? lay_out(&file, made, source, placed, err)
                                   : STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u nodes", what, file.nodes);
    stoa_free(source, ((size_t)file.nodes + 1) * sizeof *source);
    stoa_free(placed, (size_t)file.nodes + 1);
    if (status == STOA_OK) *forest = made;
    else reco_forest_destroy(made);
    return status;
}

static stoa_status read_whole(FILE *in, const char *path, void **bytes, size_t *size, stoa_error *err)
{
    long end = -1;
    if (fseek(in, 0, SEEK_END) == 0) end = ftell(in);
    if (end < 0 || fseek(in, 0, SEEK_SET) != 0) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: %s", path, strerror(errno));
    *size = (size_t)end;
    *bytes = stoa_alloc(*size + 1, 16);
    if (!*bytes) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %zu bytes", path, *size);
    if (fread(*bytes, 1, *size, in) != *size) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: cannot be read whole", path);
    return STOA_OK;
}

stoa_status reco_forest_load(const char *path, reco_forest **forest, stoa_error *err)
{
    RECO_NEED(err, "forest", forest);
    *forest = NULL;
    RECO_NEED(err, "forest", path);
    FILE *in = fopen(path, "rbe");
    if (!in) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s: %s", path, strerror(errno));
    void *bytes = NULL;
    size_t size = 0;
    stoa_status status = read_whole(in, path, &bytes, &size, err);
    fclose(in);
    if (status == STOA_OK) status = reco_forest_parse(bytes, size, path, forest, err);
    stoa_free(bytes, size + 1);
    return status;
}

void reco_forest_destroy(reco_forest *forest)
{
    if (!forest) return;
    stoa_free(forest->image, forest->image_bytes + 1);
    stoa_free(forest, sizeof *forest);
}

uint32_t reco_forest_features(const reco_forest *forest) { return forest->feature_count; }

uint32_t reco_forest_trees(const reco_forest *forest) { return forest->tree_count; }

stoa_status reco_forest_upload(const reco_forest *forest, stoa_queue *queue, stoa_buffer **nodes, stoa_error *err)
{
    RECO_NEED(err, "forest", nodes);
    *nodes = NULL;
    RECO_NEED(err, "forest", forest);
    stoa_buffer *made, *pinned;
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, forest->image_bytes, &made, err));
    stoa_status status = stoa_buffer_create(queue, STOA_MEMORY_PINNED, forest->image_bytes, &pinned, err);
    if (status == STOA_OK) {
        memcpy(stoa_buffer_data(pinned), forest->image, forest->image_bytes);
        status = stoa_queue_copy(queue, stoa_buffer_data(made), stoa_buffer_data(pinned), forest->image_bytes, err);
        stoa_buffer_release(pinned); /* in the order of the queue */
    }
    if (status == STOA_OK) *nodes = made;
    else stoa_buffer_release(made);
    return status;
}

reco_forest_view reco_forest_view_of(const reco_forest *forest, const stoa_buffer *nodes)
{ return view_at(forest, nodes ? stoa_buffer_data(nodes) : forest->image); }
