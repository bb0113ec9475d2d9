/* SPDX-License-Identifier: Apache-2.0 */
/* The registered runtimes. The native one is always first; applications append, plugins come when they are asked for. */
#include "model/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin_open.h"
#include "device/host_table.h"
#include "runtime/native/native.h"

#define RUNTIMES_MAX 16u

_Static_assert(sizeof(void *) != 8 || offsetof(stoa_runtime_api, run) == 96, "runtime ABI 1 is frozen");

/* Runtimes that come as plugins, with the files that are theirs. Those of `onnxruntime` are the native engine's: by name only. */
static const struct {
    const char *name, *extensions;
} plugins[] = {{"aoti", ".pt2"}, {"torchscript", ".pt"}, {"onnxruntime", ""}};
enum { PLUGIN_COUNT = sizeof plugins / sizeof *plugins };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of additions; entries never change or go */
static const stoa_runtime_api *_Atomic runtimes[RUNTIMES_MAX] = {&stoai_native_api};

const stoa_runtime_api *stoa_runtime_at(uint32_t index)
{
    return index < RUNTIMES_MAX ? atomic_load_explicit(&runtimes[index], memory_order_acquire) : NULL;
}

static const stoa_runtime_api *find_registered(const char *name)
{
    const stoa_runtime_api *api;
    for (uint32_t i = 0; (api = stoa_runtime_at(i)) != NULL; i++)
        if (strcmp(api->name, name) == 0) return api;
    return NULL;
}

/* Whether `word` (".onnx") is one of the words of `list`. */
static bool has_word(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(list, word); length && at; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (at[length] == 0 || at[length] == ' ')) return true;
    return false;
}

const char *stoai_runtime_of_extension(const char *extension)
{
    const stoa_runtime_api *api;
    for (uint32_t i = 0; (api = stoa_runtime_at(i)) != NULL; i++)
        if (has_word(api->extensions, extension)) return api->name;
    for (int i = 0; i < PLUGIN_COUNT; i++)
        if (has_word(plugins[i].extensions, extension)) return plugins[i].name;
    return NULL;
}

/* The first empty slot of a table that must be complete, "" when there is none. */
static const char *missing_slot(const stoa_runtime_api *api)
{
    return !api->name         ? "name"
           : !api->extensions ? "extensions"
           : !api->probe      ? "probe"
           : !api->load       ? "load"
           : !api->unload     ? "unload"
           : !api->schema     ? "schema"
           : !api->capabilities ? "capabilities"
           : !api->plan_step  ? "plan_step"
           : !api->workspace  ? "workspace"
           : !api->open       ? "open"
           : !api->close      ? "close"
           : !api->run        ? "run"
                              : "";
}

static stoa_status check_table(const stoa_runtime_api *api, stoa_error *err)
{
    if (api->abi != STOA_RUNTIME_ABI || api->struct_size < sizeof *api)
        return STOA_FAIL(err, STOA_EABI, "runtime table: abi %u and %u bytes given, abi %u and %zu bytes needed",
                         (unsigned)api->abi, (unsigned)api->struct_size, STOA_RUNTIME_ABI, sizeof *api);
    const char *missing = missing_slot(api);
    return *missing ? STOA_FAIL(err, STOA_EABI, "runtime table: slot '%s' is empty", missing) : STOA_OK;
}

static stoa_status add_table(const stoa_runtime_api *api, stoa_error *err)
{
    if (find_registered(api->name)) return STOA_FAIL(err, STOA_ENAME, "runtime '%s': registered already", api->name);
    for (uint32_t i = 0; i < RUNTIMES_MAX; i++) {
        if (runtimes[i]) continue;
        atomic_store_explicit(&runtimes[i], api, memory_order_release);
        return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ELIMIT, "runtime '%s': all %u places are taken", api->name, RUNTIMES_MAX);
}

stoa_status stoa_runtime_register(const stoa_runtime_api *api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EINVAL, "runtime table is NULL");
    STOA_TRY(check_table(api, err));
    pthread_mutex_lock(&lock);
    const stoa_status status = add_table(api, err);
    pthread_mutex_unlock(&lock);
    return status;
}

static stoa_status load_plugin(const char *name, const stoa_runtime_api **api, stoa_error *err)
{
    char path[1024];
    union {
        void *object;
        stoa_runtime_entry_fn function;
    } entry; /* ISO C has no cast from dlsym's object pointer to a function */
    STOA_TRY(stoai_plugin_open("runtime", name, "stoa_runtime_entry", path, sizeof path, &entry.object, err));
    const stoa_runtime_api *found = entry.function(STOA_RUNTIME_ABI, &stoai_host_table);
    if (!found) return STOA_FAIL(err, STOA_EABI, "runtime '%s': %s cannot serve ABI %u", name, path, STOA_RUNTIME_ABI);
    STOA_TRY(check_table(found, err));
    if (strcmp(found->name, name) != 0)
        return STOA_FAIL(err, STOA_EABI, "runtime '%s': %s calls itself '%s'", name, path, found->name);
    STOA_TRY(add_table(found, err));
    *api = found;
    return STOA_OK;
}

static void list_names(char *text, size_t capacity)
{
    size_t used = 0;
    const stoa_runtime_api *api;
    text[0] = 0;
    for (uint32_t i = 0; (api = stoa_runtime_at(i)) != NULL && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", api->name);
    for (int i = 0; i < PLUGIN_COUNT && used < capacity; i++)
        if (!find_registered(plugins[i].name))
            used += (size_t)snprintf(text + used, capacity - used, ", %s", plugins[i].name);
}

static bool is_plugin(const char *name)
{
    for (int i = 0; i < PLUGIN_COUNT; i++)
        if (strcmp(plugins[i].name, name) == 0) return true;
    return false;
}

stoa_status stoa_runtime_find(const char *name, const stoa_runtime_api **api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EINVAL, "runtime: result pointer is NULL");
    *api = NULL;
    if (!name) return STOA_FAIL(err, STOA_EINVAL, "runtime: name is NULL");
    pthread_mutex_lock(&lock);
    stoa_status status = STOA_OK;
    *api = find_registered(name);
    if (!*api && is_plugin(name)) status = load_plugin(name, api, err);
    pthread_mutex_unlock(&lock);
    if (*api || status != STOA_OK) return status;
    char names[256];
    list_names(names, sizeof names);
    return STOA_FAIL(err, STOA_ENAME, "runtime '%s': not known; there are: %s", name, names);
}
