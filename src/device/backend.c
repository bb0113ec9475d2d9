/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <pthread.h>
#include <string.h>

#include "core/plugin_open.h"
#include "device/host_table.h"

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

/* Everything the library relies on later, so that no call site needs to look at a slot again. */
static stoa_status check_table(const stoa_backend_api *api, const char *origin, stoa_error *err)
{
    if (api->struct_size < ABI_1_BYTES)
        return STOA_FAIL(err, STOA_EABI, "back end from %s: struct_size %u given, %zu needed", origin,
                         (unsigned)api->struct_size, ABI_1_BYTES);
    if (api->abi != STOA_BACKEND_ABI)
        return STOA_FAIL(err, STOA_EABI, "back end from %s: ABI %u given, %u needed", origin,
                         (unsigned)api->abi, STOA_BACKEND_ABI);
    if (!api->name || !stoai_plugin_name_is_valid(api->name))
        return STOA_FAIL(err, STOA_EABI, "back end from %s: name '%.40s' is not 1 to %d of [a-z0-9_]", origin,
                         api->name ? api->name : "(null)", STOAI_PLUGIN_NAME_BYTES - 1);
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

static stoa_status load_plugin(const char *name, const stoa_backend_api **api, stoa_error *err)
{
    char path[1024];
    union {
        void *object;
        stoa_backend_entry_fn function;
    } entry; /* ISO C has no cast from dlsym's object pointer to a function */
    STOA_TRY(stoai_plugin_open("back end", name, "stoa_backend_entry", path, sizeof path, &entry.object, err));
    const stoa_backend_api *found = entry.function(STOA_BACKEND_ABI, &stoai_host_table);
    if (!found) return STOA_FAIL(err, STOA_EABI, "back end '%s': %s cannot serve ABI %u", name, path, STOA_BACKEND_ABI);
    STOA_TRY(check_table(found, path, err));
    if (strcmp(found->name, name) != 0)
        return STOA_FAIL(err, STOA_EABI, "back end '%s': %s calls itself '%s'", name, path, found->name);
    STOA_TRY(add_table(found, err));
    *api = found;
    return STOA_OK;
}

stoa_status stoai_backend_find(const char *name, const stoa_backend_api **api, stoa_error *err)
{
    *api = NULL;
    pthread_mutex_lock(&registry.lock);
    stoa_status status = STOA_OK;
    *api = find_registered(name);
    if (!*api) status = load_plugin(name, api, err);
    pthread_mutex_unlock(&registry.lock);
    return status;
}
