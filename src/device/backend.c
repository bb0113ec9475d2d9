/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tables are passed between separately built files: what shipped once stays where it is. Numbers are for
 * 64-bit machines, the only ones that plugins exist for. */
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, device_count) == 24, "ABI 1 is frozen");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, queue_create) == 80, "ABI 1 is frozen");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, queue_wait_event) == 200, "ABI 1 is frozen");
#define ABI_1_BYTES                                                                                          \
    (offsetof(stoa_backend_api, queue_wait_event) + sizeof(((stoa_backend_api *)NULL)->queue_wait_event))

#define BACKENDS_MAX 16

/* Process-wide like the loader's own list of libraries: plugins are never closed, their tables live on. */
static struct {
    pthread_mutex_t lock;
    uint32_t count;
    const stoa_backend_api *table[BACKENDS_MAX];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER, .count = 1, .table = {&stoai_host_backend}};

typedef struct slot_row {
    const char *name;
    size_t offset;
} slot_row;

static const slot_row abi_1_slots[] = {
#define SLOT(slot) {#slot, offsetof(stoa_backend_api, slot)}
    SLOT(device_count),    SLOT(device_open),   SLOT(device_close),  SLOT(device_describe), SLOT(device_wait),
    SLOT(memory_alloc),    SLOT(memory_free),   SLOT(queue_create),  SLOT(queue_wrap),      SLOT(queue_destroy),
    SLOT(queue_native),    SLOT(queue_wait),    SLOT(queue_is_idle), SLOT(queue_enqueue),   SLOT(queue_launch),
    SLOT(queue_copy_2d),   SLOT(queue_fill),    SLOT(event_create),  SLOT(event_destroy),   SLOT(event_record),
    SLOT(event_is_done),   SLOT(event_wait),    SLOT(queue_wait_event),
#undef SLOT
};

static bool name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length < STOAI_BACKEND_NAME_BYTES && name[length] == '\0';
}

/* Everything the library relies on later, so that no call site needs to look at a slot again. */
static stoa_status check_table(const stoa_backend_api *api, const char *origin, stoa_error *err)
{
    if (api->struct_size < ABI_1_BYTES)
        return STOA_FAIL(err, STOA_EABI, "back end from %s: struct_size %u given, %zu needed", origin,
                         (unsigned)api->struct_size, ABI_1_BYTES);
    if (api->abi != STOA_BACKEND_ABI)
        return STOA_FAIL(err, STOA_EABI, "back end from %s: ABI %u given, %u needed", origin,
                         (unsigned)api->abi, STOA_BACKEND_ABI);
    if (!api->name || !name_is_valid(api->name))
        return STOA_FAIL(err, STOA_EABI, "back end from %s: name '%.40s' is not 1 to %d of [a-z0-9_]", origin,
                         api->name ? api->name : "(null)", STOAI_BACKEND_NAME_BYTES - 1);
    for (size_t i = 0; i < sizeof abi_1_slots / sizeof *abi_1_slots; i++) {
        void (*slot)(void);
        memcpy(&slot, (const char *)api + abi_1_slots[i].offset, sizeof slot);
        if (!slot)
            return STOA_FAIL(err, STOA_EABI, "back end '%s' from %s: slot %s is missing", api->name, origin,
                             abi_1_slots[i].name);
    }
    return STOA_OK;
}

static const stoa_backend_api *find_registered(const char *name)
{
    for (uint32_t i = 0; i < registry.count; i++)
        if (strcmp(registry.table[i]->name, name) == 0) return registry.table[i];
    return NULL;
}

static stoa_status add_table(const stoa_backend_api *api, stoa_error *err)
{
    if (find_registered(api->name))
        return STOA_FAIL(err, STOA_ENAME, "back end '%s' is registered already", api->name);
    if (registry.count == BACKENDS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "back end '%s': %u registered, at most %d", api->name,
                         (unsigned)registry.count, BACKENDS_MAX);
    registry.table[registry.count++] = api;
    return STOA_OK;
}

stoa_status stoa_backend_register(const stoa_backend_api *api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EABI, "back end: NULL table given");
    STOA_TRY(check_table(api, "the application", err));
    pthread_mutex_lock(&registry.lock);
    stoa_status status = add_table(api, err);
    pthread_mutex_unlock(&registry.lock);
    return status;
}

/* A search for a plugin: what was tried and why each place failed, for the one message at the end. */
typedef struct search {
    const char *name;
    char path[1024];
    char tried[768];
    const stoa_backend_api *api;
} search;

static void note(search *self, const char *format, ...) STOA_PRINTF(2, 3);
static void note(search *self, const char *format, ...)
{
    size_t used = strlen(self->tried);
    va_list args;
    va_start(args, format);
    vsnprintf(self->tried + used, sizeof self->tried - used, format, args);
    va_end(args);
}

/* A file that exists and opens decides the search: a stale plugin is reported, not silently passed over. */
static stoa_status open_entry(search *self, void *library, stoa_error *err)
{
    union {
        void *object;
        stoa_backend_entry_fn function;
    } entry; /* ISO C has no cast from dlsym's object pointer to a function */
    entry.object = dlsym(library, "stoa_backend_entry");
    if (!entry.object)
        return STOA_FAIL(err, STOA_EABI, "back end '%s': %s exports no stoa_backend_entry", self->name,
                         self->path);
    const stoa_backend_api *api = entry.function(STOA_BACKEND_ABI);
    if (!api)
        return STOA_FAIL(err, STOA_EABI, "back end '%s': %s cannot serve ABI %u", self->name, self->path,
                         STOA_BACKEND_ABI);
    STOA_TRY(check_table(api, self->path, err));
    if (strcmp(api->name, self->name) != 0)
        return STOA_FAIL(err, STOA_EABI, "back end '%s': %s calls itself '%s'", self->name, self->path,
                         api->name);
    self->api = api;
    return STOA_OK;
}

static stoa_status try_folder(search *self, const char *folder, size_t length, stoa_error *err)
{
    const char *comma = self->tried[0] ? "; " : "";
    int wanted =
        snprintf(self->path, sizeof self->path, "%.*s/libstoa_%s.so", (int)length, folder, self->name);
    if (wanted < 0 || (size_t)wanted >= sizeof self->path) {
        note(self, "%s%.*s (path too long)", comma, (int)length, folder);
        return STOA_OK;
    }
    if (access(self->path, F_OK) != 0) {
        note(self, "%s%s (no such file)", comma, self->path);
        return STOA_OK;
    }
    void *library = dlopen(self->path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        note(self, "%s%s", comma, dlerror());
        return STOA_OK;
    }
    return open_entry(self, library, err); /* never closed: `where` strings and vendor threads would dangle */
}

static stoa_status search_plugin(search *self, stoa_error *err)
{
    const char *list = secure_getenv("STOA_PLUGIN_PATH");
    while (list && *list && !self->api) {
        size_t length = strcspn(list, ":");
        if (length) STOA_TRY(try_folder(self, list, length, err));
        list += length + (list[length] == ':');
    }
    Dl_info info;
    if (!self->api && dladdr(&registry, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        if (slash) STOA_TRY(try_folder(self, info.dli_fname, (size_t)(slash - info.dli_fname), err));
    }
    if (self->api) return STOA_OK;
    return STOA_FAIL(err, STOA_ENOTSUP, "back end '%s' is not built in and has no plugin; tried %s",
                     self->name, self->tried[0] ? self->tried : "no folder: STOA_PLUGIN_PATH is not set");
}

static stoa_status load_plugin(const char *name, const stoa_backend_api **api, stoa_error *err)
{
    search self = {.name = name};
    STOA_TRY(search_plugin(&self, err));
    STOA_TRY(add_table(self.api, err));
    *api = self.api;
    return STOA_OK;
}

stoa_status stoai_backend_find(const char *name, const stoa_backend_api **api, stoa_error *err)
{
    *api = NULL;
    if (!name_is_valid(name))
        return STOA_FAIL(err, STOA_EINVAL, "back end name '%.60s' is not 1 to %d of [a-z0-9_]", name,
                         STOAI_BACKEND_NAME_BYTES - 1);
    pthread_mutex_lock(&registry.lock);
    stoa_status status = STOA_OK;
    *api = find_registered(name);
    if (!*api) status = load_plugin(name, api, err);
    pthread_mutex_unlock(&registry.lock);
    return status;
}
