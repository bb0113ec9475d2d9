/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugins.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was tried and why each place failed, for the one message at the end. */
typedef struct search {
    const char *kind, *name, *library;
    char entry[64];
    char *path;
    size_t capacity;
    char tried[768];
    void *symbol;
} search;

static bool is_name(const char *name)
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
    const int wanted = snprintf(self->path, self->capacity, "%.*s/libstoa_%s.so", (int)length, folder, self->library);
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

static stoa_status open_plugin(const stoai_registry *registry, const char *name, const char *library, char *path, size_t capacity,
                               void **symbol, stoa_error *err)
{
    search self = {.kind = registry->kind, .name = name, .library = library, .path = path, .capacity = capacity};
    const bool is_namesake = strcmp(name, library) == 0;
    snprintf(self.entry, sizeof self.entry, "%s%s%s", registry->entry, is_namesake ? "" : "_", is_namesake ? "" : name);
    *symbol = NULL;
    if (!is_name(name))
        return STOA_FAIL(err, STOA_EINVAL, "%s name '%.60s' is not 1 to %d of [a-z0-9_]", self.kind, name, STOAI_PLUGIN_NAME_BYTES - 1);
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
    return STOA_FAIL(err, STOA_ENOTSUP, "%s '%s' is not built in and has no plugin; tried %s", self.kind, name,
                     self.tried[0] ? self.tried : "no folder: STOA_PLUGIN_PATH is not set");
}

/* ---- tables ------------------------------------------------------------------------------------------------------------ */

const void *stoai_registry_at(stoai_registry *registry, uint32_t index)
{ return index < STOAI_TABLES_MAX ? atomic_load_explicit(&registry->tables[index], memory_order_acquire) : NULL; }

const void *stoai_registry_find(stoai_registry *registry, const char *name)
{
    const stoai_table *table;
    for (uint32_t i = 0; (table = stoai_registry_at(registry, i)) != NULL; i++)
        if (strcmp(table->name, name) == 0) return table;
    return NULL;
}

/* Everything the library relies on later, so that no call site needs to look at a slot again. */
static stoa_status check_table(const stoai_registry *registry, const stoai_table *table, const char *origin, stoa_error *err)
{
    if (table->struct_size < registry->bytes)
        return STOA_FAIL(err, STOA_EABI, "%s from %s: struct_size %u given, %zu needed", registry->kind, origin,
                         (unsigned)table->struct_size, registry->bytes);
    if (table->abi != registry->abi)
        return STOA_FAIL(err, STOA_EABI, "%s from %s: ABI %u given, %u needed", registry->kind, origin, (unsigned)table->abi,
                         (unsigned)registry->abi);
    if (!table->name || !is_name(table->name))
        return STOA_FAIL(err, STOA_EABI, "%s from %s: name '%.40s' is not 1 to %d of [a-z0-9_]", registry->kind, origin,
                         table->name ? table->name : "(null)", STOAI_PLUGIN_NAME_BYTES - 1);
    for (uint32_t i = 0; i < registry->slot_count; i++) {
        void (*slot)(void);
        memcpy(&slot, (const char *)table + registry->slots[i].offset, sizeof slot);
        if (!slot)
            return STOA_FAIL(err, STOA_EABI, "%s '%s' from %s: slot %s is missing", registry->kind, table->name, origin,
                             registry->slots[i].name);
    }
    return STOA_OK;
}

static stoa_status add_table(stoai_registry *registry, const stoai_table *table, stoa_error *err)
{
    if (stoai_registry_find(registry, table->name))
        return STOA_FAIL(err, STOA_ENAME, "%s '%s' is registered already", registry->kind, table->name);
    for (uint32_t i = 0; i < STOAI_TABLES_MAX; i++) {
        if (stoai_registry_at(registry, i)) continue;
        atomic_store_explicit(&registry->tables[i], table, memory_order_release);
        return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ELIMIT, "%s '%s': %u registered, at most that many", registry->kind, table->name, STOAI_TABLES_MAX);
}

stoa_status stoai_registry_add(stoai_registry *registry, const void *table, stoa_error *err)
{
    if (!table) return STOA_FAIL(err, STOA_EINVAL, "%s: NULL table given", registry->kind);
    STOA_TRY(check_table(registry, table, "the application", err));
    pthread_mutex_lock(&registry->lock);
    const stoa_status status = add_table(registry, table, err);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

static stoa_status load_table(stoai_registry *registry, const char *name, const char *library, const void **result, stoa_error *err)
{
    char path[1024];
    void *entry;
    STOA_TRY(open_plugin(registry, name, library, path, sizeof path, &entry, err));
    const stoai_table *table = registry->enter(entry);
    if (!table) return STOA_FAIL(err, STOA_EABI, "%s '%s': %s cannot serve ABI %u", registry->kind, name, path, (unsigned)registry->abi);
    STOA_TRY(check_table(registry, table, path, err));
    if (strcmp(table->name, name) != 0)
        return STOA_FAIL(err, STOA_EABI, "%s '%s': %s calls itself '%s'", registry->kind, name, path, table->name);
    STOA_TRY(add_table(registry, table, err));
    *result = table;
    return STOA_OK;
}

stoa_status stoai_registry_load(stoai_registry *registry, const char *name, const char *library, const void **table, stoa_error *err)
{
    pthread_mutex_lock(&registry->lock);
    *table = stoai_registry_find(registry, name);
    const stoa_status status = *table ? STOA_OK : load_table(registry, name, library, table, err);
    pthread_mutex_unlock(&registry->lock);
    return status;
}
