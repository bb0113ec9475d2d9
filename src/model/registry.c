/* SPDX-License-Identifier: Apache-2.0 */
/* The registered runtimes. The native one is always first; applications append, plugins come when they are asked for. */
#include "model/registry.h"

#include <stdio.h>
#include <string.h>

#include "core/plugins.h"
#include "device/host_table.h"
#include "runtime/native/native.h"

_Static_assert(offsetof(stoa_runtime_api, name) == offsetof(stoai_table, name), "all tables begin alike");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_runtime_api, run) == 96, "runtime ABI 1 is frozen");

/* Runtimes that come as plugins, with the files that are theirs and the plugin. Those of `onnxruntime` are the native engine's: by name
 * only. */
static const struct {
    const char *name, *extensions, *library;
} plugins[] = {
    {"aoti", ".pt2", "aoti"}, {"torchscript", ".pt", "torchscript"}, {"onnxruntime", "", "onnxruntime"}, {"tensorrt", "", "onnxruntime"}};
enum { PLUGIN_COUNT = sizeof plugins / sizeof *plugins };

static const stoai_slot slots[] = {
#define SLOT(slot) {#slot, offsetof(stoa_runtime_api, slot)}
    SLOT(extensions), SLOT(probe),     SLOT(load), SLOT(unload), SLOT(schema), SLOT(capabilities),
    SLOT(plan_step),  SLOT(workspace), SLOT(open), SLOT(close),  SLOT(run),
#undef SLOT
};

static const void *enter(void *entry)
{
    stoa_runtime_entry_fn function;
    memcpy(&function, &entry, sizeof function); /* ISO C has no cast from dlsym's object pointer to a function */
    return function(STOA_RUNTIME_ABI, &stoai_host_table);
}

static stoai_registry runtimes = {
    .kind = "runtime",
    .entry = "stoa_runtime_entry",
    .enter = enter,
    .abi = STOA_RUNTIME_ABI,
    .bytes = offsetof(stoa_runtime_api, run_counted), /* ABI 1, without what was appended */
    .slots = slots,
    .slot_count = sizeof slots / sizeof *slots,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .tables = {&stoai_native_api},
};

const stoa_runtime_api *stoa_runtime_at(uint32_t index) { return stoai_registry_at(&runtimes, index); }

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

stoa_status stoa_runtime_register(const stoa_runtime_api *api, stoa_error *err) { return stoai_registry_add(&runtimes, api, err); }

static void list_names(char *text, size_t capacity)
{
    size_t used = 0;
    const stoa_runtime_api *api;
    text[0] = 0;
    for (uint32_t i = 0; (api = stoa_runtime_at(i)) != NULL && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", api->name);
    for (int i = 0; i < PLUGIN_COUNT && used < capacity; i++)
        if (!stoai_registry_find(&runtimes, plugins[i].name))
            used += (size_t)snprintf(text + used, capacity - used, ", %s", plugins[i].name);
}

/* The plugin that has the runtime; NULL: none is known to. */
static const char *library_of(const char *name)
{
    for (int i = 0; i < PLUGIN_COUNT; i++)
        if (strcmp(plugins[i].name, name) == 0) return plugins[i].library;
    return NULL;
}

stoa_status stoa_runtime_find(const char *name, const stoa_runtime_api **api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EINVAL, "runtime: result pointer is NULL");
    *api = NULL;
    if (!name) return STOA_FAIL(err, STOA_EINVAL, "runtime: name is NULL");
    const char *library = library_of(name);
    if (!library && !stoai_registry_find(&runtimes, name)) {
        char names[256];
        list_names(names, sizeof names);
        return STOA_FAIL(err, STOA_ENAME, "runtime '%s': not known; there are: %s", name, names);
    }
    const void *table;
    const stoa_status status = stoai_registry_load(&runtimes, name, library, &table, err);
    *api = table;
    return status;
}

stoa_status stoa_runtime_share_memory(const char *runtime, stoa_error *err)
{
    const stoa_runtime_api *api;
    STOA_TRY(stoa_runtime_find(runtime, &api, err));
    if (!STOA_RUNTIME_HAS(api, share_memory))
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime '%s': it has no device memory of its own to share", api->name);
    return api->share_memory(err);
}
