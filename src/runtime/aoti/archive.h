/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a .pt2, a zip file: the manifest, the weights and a shared library for each target. */
#ifndef STOAI_AOTI_ARCHIVE_H
#define STOAI_AOTI_ARCHIVE_H

#include "stoa/status.h"

typedef struct aoti_member {
    void *data;
    size_t bytes;
} aoti_member;

typedef struct aoti_archive {
    void *zip;
    size_t bytes;
} aoti_archive;

/** Open the zip file that lies in memory, which must outlive the archive.
 *  errors EFORMAT no zip; ENOTSUP with operators that need libtorch's executor; ENOMEM */
stoa_status stoai_archive_open(const void *data, size_t bytes, aoti_archive *archive, stoa_error *err);
void stoai_archive_close(aoti_archive *archive);

/** Read the one member whose path ends with `folder` and a name that ends with `end`; data NULL when there is none. `what` names it in
 *  messages. The caller gives data back by stoa_free.
 *  errors EFORMAT compressed, truncated, damaged or two of it; ENOMEM */
stoa_status stoai_archive_read(const aoti_archive *archive, const char *folder, const char *end, const char *what, aoti_member *member,
                               stoa_error *err);

#endif
