/* SPDX-License-Identifier: Apache-2.0 */
/* An input in parts that ranks share out, and the folder where finished parts lie until they are merged.
 *
 * DIR/parts/manifest says whose parts these are: the words of the command, with size and time of all files that it reads and of
 * the program, and how many items a part has. A part is worked on in DIR/parts/N.rank and renamed to DIR/parts/N when it is whole. So when
 * ranks die, and mpirun ends all of them, the same command goes on with the parts that are missing; another command begins
 * anew.
 *
 *     parts_open(&parts, &ranks, dir, &command, size, &err);                 // collective
 *     while (parts_take(&parts, count, &number, &err) == STOA_OK && number < count) {
 *         parts_begin(&parts, number, &folder, &err);                        // write into it
 *         parts_finish(&parts, number, &err);
 *     }
 *     ranks_agree(..);
 *     parts_merge_table(&parts, count, "tracks.csv", &err);                  // the first rank alone
 *     parts_close(&parts); */
#ifndef STOA_CLI_PARTS_H
#define STOA_CLI_PARTS_H

#include <jansson.h>
#include <stddef.h>

#include "scale_out/ranks.h"

typedef struct parts {
    ranks *ranks;
    const char *dir;    /* borrowed: the folder of the results */
    char *folder;       /* dir/parts */
    uint64_t size;      /* items of a part, of the last one at most */
    uint64_t found;     /* parts of an earlier run; known to the first rank */
    char path[4096];    /* of the part in progress */
} parts;

/* What parts belong to. */
typedef struct parts_command {
    int argc;
    char **argv;              /* a word that is a file stands for what is in it, */
    const char *const *files; /* and so does each of these: files that the words do not name */
    uint32_t file_count;
} parts_command;

/* Make the folder, or find the one of an earlier run of the same command, whose size of a part then stays. Collective.
 * errors  EIO; as ranks_agree */
STOA_MUST_CHECK stoa_status parts_open(parts *self, ranks *ranks, const char *dir, const parts_command *command, uint64_t size,
                                       stoa_error *err);
/* The next part below `count` that is neither there nor another rank's; `count` or more: none is left. */
STOA_MUST_CHECK stoa_status parts_take(parts *self, uint64_t count, uint64_t *number, stoa_error *err);
bool parts_is_there(const parts *self, uint64_t number);
/* An empty folder for the part; the path is valid until the next call. */
STOA_MUST_CHECK stoa_status parts_begin(parts *self, uint64_t number, const char **folder, stoa_error *err);
/* The part is whole. */
STOA_MUST_CHECK stoa_status parts_finish(parts *self, uint64_t number, stoa_error *err);
/* The folder of a finished part; the path is valid until the next call. */
const char *parts_path(parts *self, uint64_t number);
/* dir/name: the tables of that name of all parts, one header. */
STOA_MUST_CHECK stoa_status parts_merge_table(parts *self, uint64_t count, const char *name, stoa_error *err);
/* The sums of the parts' summary.json: whole numbers are added, others are means weighted by `weight`, a whole number of theirs;
 * texts are the last part's. The caller's to release; NULL on failure. */
STOA_MUST_CHECK stoa_status parts_sum_summaries(parts *self, uint64_t count, const char *weight, json_t **sum, stoa_error *err);
/* Remove the folder with all parts, when they are merged. */
void parts_remove(parts *self);
void parts_close(parts *self);

#endif
