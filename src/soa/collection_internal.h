/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOA_SRC_SOA_COLLECTION_INTERNAL_H
#define STOA_SRC_SOA_COLLECTION_INTERNAL_H

#include "stoa/collection.h"

/* A block that has a layout; nested lists are flattened in order, "hits/pixel" keeps the way. */
typedef struct stoai_leaf {
    const char *path;
    const stoa_layout *layout;
    uint32_t rows;
    size_t offset, bytes;
} stoai_leaf;

/* One host block holds the struct, its leaves and their paths. */
struct stoa_collection {
    stoa_buffer *buffer; /* NULL: foreign memory */
    char *blob;
    size_t bytes;
    size_t self_bytes; /* of this block */
    stoa_place place;
    uint32_t align_bytes;
    uint32_t read_only;
    uint32_t leaf_count;
    stoai_leaf leaves[];
};

#endif
