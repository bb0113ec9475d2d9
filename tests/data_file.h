/* SPDX-License-Identifier: Apache-2.0 */
/* Real inputs, which are not part of the tree: tests that need one skip without it. */
#ifndef TESTS_DATA_FILE_H
#define TESTS_DATA_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* NULL, with the reason printed, when the real data is not at hand. */
static const char *data_file(const char *name)
{
    static char path[4096];
    const char *folder_given = getenv("STOA_DATA");
    snprintf(path, sizeof path, "%s/%s", folder_given ? folder_given : STOA_SOURCE_DIR "/../shared/data", name);
    if (access(path, R_OK) == 0) return path;
    print_message("[  SKIPPED ] %s is not there\n", path);
    return NULL;
}

#endif
