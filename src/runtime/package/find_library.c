/* SPDX-License-Identifier: Apache-2.0 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/package/package.h"

/* The last file that the pattern matches: of several versions, the highest name. */
static bool match(const char *pattern, char *path, size_t capacity)
{
    glob_t found;
    bool ok = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0 && strlen(found.gl_pathv[found.gl_pathc - 1]) < capacity;
    if (ok) strcpy(path, found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return ok;
}

/* A folder may be site-packages, the package itself or the folder of its library: what is behind each slash of `inside` is tried. */
static bool match_below(const char *folder, const char *inside, char *path, size_t capacity)
{
    char pattern[1200];
    for (const char *rest = inside; rest; rest = strchr(rest, '/') ? strchr(rest, '/') + 1 : NULL)
        if ((size_t)snprintf(pattern, sizeof pattern, "%s/%s", folder, rest) < sizeof pattern && match(pattern, path, capacity))
            return true;
    return false;
}

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

stoa_status stoai_package_find_library(const char *variable, const char *inside, char *path, size_t capacity, stoa_error *err)
{
    char folder[1024];
    const char *named = secure_getenv(variable), *environment = secure_getenv("VIRTUAL_ENV");
    if (named && *named) {
        if (is_file(named) && (size_t)snprintf(path, capacity, "%s", named) < capacity) return STOA_OK;
        if (match_below(named, inside, path, capacity)) return STOA_OK;
        return STOA_FAIL(err, STOA_ENOTSUP, "%s is '%s': no %s there", variable, named, inside);
    }
    snprintf(folder, sizeof folder, "%s/lib/python3*/site-packages", environment ? environment : "");
    if (environment && match_below(folder, inside, path, capacity)) return STOA_OK;
    if (match_below(STOA_SITE_PACKAGES, inside, path, capacity)) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: not in %s, VIRTUAL_ENV (%s) or " STOA_SITE_PACKAGES, inside, variable,
                     environment ? environment : "not set");
}
