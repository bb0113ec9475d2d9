/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a .pt2 that a runtime needs: the manifest, the shared library and the weights. */
#ifndef STOAI_AOTI_ARCHIVE_H
#define STOAI_AOTI_ARCHIVE_H

#include "stoa/status.h"

typedef struct aoti_member {
    void *data;
    size_t bytes;
} aoti_member;

typedef struct aoti_archive {
    aoti_member manifest, library, weights;
} aoti_archive;

/** Read them out of the zip file in memory.
 *  errors EFORMAT no zip, truncated, a member missing or two of it; ENOTSUP a package without our manifest, or with operators that
 *  need libtorch's executor; ENOMEM */
stoa_status stoai_archive_read(const void *data, size_t bytes, aoti_archive *archive, stoa_error *err);
void stoai_archive_deinit(aoti_archive *archive);

#endif
