/* SPDX-License-Identifier: Apache-2.0 */
/* The registered runtimes. The native one is always first; applications and plugins append. */
#include "stoa/runtime.h"

#include <stdio.h>
#include <string.h>

#include "runtime/native/native.h"

#define RUNTIMES_MAX 16u

_Static_assert(offsetof(stoa_runtime_api, run) == 96 || sizeof(void *) != 8, "runtime ABI 1 is frozen");

static const stoa_runtime_api *runtimes[RUNTIMES_MAX] = {&stoai_native_api};

const stoa_runtime_api *stoa_runtime_at(uint32_t index)
{
    return index < RUNTIMES_MAX ? runtimes[index] : NULL;
}

static void list_names(char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; stoa_runtime_at(i) && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", runtimes[i]->name);
}

stoa_status stoa_runtime_find(const char *name, const stoa_runtime_api **api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EINVAL, "runtime: result pointer is NULL");
    *api = NULL;
    for (uint32_t i = 0; name && stoa_runtime_at(i); i++)
        if (strcmp(runtimes[i]->name, name) == 0) *api = runtimes[i];
    if (*api) return STOA_OK;
    char names[256];
    list_names(names, sizeof names);
    return STOA_FAIL(err, STOA_ENAME, "runtime '%s': not registered; there are: %s", name ? name : "(null)", names);
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

stoa_status stoa_runtime_register(const stoa_runtime_api *api, stoa_error *err)
{
    if (!api) return STOA_FAIL(err, STOA_EINVAL, "runtime table is NULL");
    if (api->abi != STOA_RUNTIME_ABI || api->struct_size < sizeof *api)
        return STOA_FAIL(err, STOA_EABI, "runtime table: abi %u and %u bytes given, abi %u and %zu bytes needed",
                         (unsigned)api->abi, (unsigned)api->struct_size, STOA_RUNTIME_ABI, sizeof *api);
    const char *missing = missing_slot(api);
    if (*missing) return STOA_FAIL(err, STOA_EABI, "runtime table: slot '%s' is empty", missing);
    for (uint32_t i = 0; i < RUNTIMES_MAX; i++) {
        if (!runtimes[i]) {
            runtimes[i] = api;
            return STOA_OK;
        }
        if (strcmp(runtimes[i]->name, api->name) == 0)
            return STOA_FAIL(err, STOA_ENAME, "runtime '%s': registered already", api->name);
    }
    return STOA_FAIL(err, STOA_ELIMIT, "runtime '%s': all %u places are taken", api->name, RUNTIMES_MAX);
}
