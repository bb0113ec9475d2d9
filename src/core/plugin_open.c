/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin_open.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was tried and why each place failed, for the one message at the end. */
typedef struct search {
    const char *kind, *name, *entry;
    char *path;
    size_t capacity;
    char tried[768];
    void *symbol;
} search;

bool stoai_plugin_name_is_valid(const char *name)
{
    const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length < STOAI_PLUGIN_NAME_BYTES && name[length] == '\0';
}

static void note(search *self, const char *format, ...) STOA_PRINTF(2, 3);
static void note(search *self, const char *format, ...)
{
    size_t used = strlen(self->tried);
    if (used && used + 2 < sizeof self->tried) used += (size_t)snprintf(self->tried + used, sizeof self->tried - used, "; ");
    va_list args;
    va_start(args, format);
    vsnprintf(self->tried + used, sizeof self->tried - used, format, args);
    va_end(args);
}

static stoa_status try_folder(search *self, const char *folder, size_t length, stoa_error *err)
{
    const int wanted = snprintf(self->path, self->capacity, "%.*s/libstoa_%s.so", (int)length, folder, self->name);
    if (wanted < 0 || (size_t)wanted >= self->capacity) {
        note(self, "%.*s (path too long)", (int)length, folder);
        return STOA_OK;
    }
    if (access(self->path, F_OK) != 0) {
        note(self, "%s (no such file)", self->path);
        return STOA_OK;
    }
    void *library = dlopen(self->path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        note(self, "%s", dlerror());
        return STOA_OK;
    }
    self->symbol = dlsym(library, self->entry);
    if (self->symbol) return STOA_OK;
    return STOA_FAIL(err, STOA_EABI, "%s '%s': %s exports no %s", self->kind, self->name, self->path, self->entry);
}

stoa_status stoai_plugin_open(const char *kind, const char *name, const char *entry, char *path, size_t capacity, void **symbol,
                              stoa_error *err)
{
    search self = {.kind = kind, .name = name, .entry = entry, .path = path, .capacity = capacity};
    *symbol = NULL;
    if (!stoai_plugin_name_is_valid(name))
        return STOA_FAIL(err, STOA_EINVAL, "%s name '%.60s' is not 1 to %d of [a-z0-9_]", kind, name, STOAI_PLUGIN_NAME_BYTES - 1);
    const char *list = secure_getenv("STOA_PLUGIN_PATH");
    while (list && *list && !self.symbol) {
        const size_t length = strcspn(list, ":");
        if (length) STOA_TRY(try_folder(&self, list, length, err));
        list += length + (list[length] == ':');
    }
    Dl_info info;
    static const char here; /* an object of the library itself */
    if (!self.symbol && dladdr(&here, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        if (slash) STOA_TRY(try_folder(&self, info.dli_fname, (size_t)(slash - info.dli_fname), err));
    }
    *symbol = self.symbol;
    if (self.symbol) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s '%s' is not built in and has no plugin; tried %s", kind, name,
                     self.tried[0] ? self.tried : "no folder: STOA_PLUGIN_PATH is not set");
}
