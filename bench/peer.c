/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bench_peer_find(const char *variable, const char *symbol, void *function, char *why, size_t capacity)
{
    const char *path = getenv(variable);
    if (!path) {
        snprintf(why, capacity, "%s does not name its library", variable);
        return false;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *found = library ? dlsym(library, symbol) : NULL;
    if (!found) {
        snprintf(why, capacity, "%s: %.400s", variable, dlerror());
        return false;
    }
    memcpy(function, &found, sizeof found); /* ISO C has no cast from object to function pointer */
    return true;
}
