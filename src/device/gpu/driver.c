/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

stoai_gpu_driver stoai_gpu;

const char *const stoai_gpu_symbols[GPU_SLOTS] = {
#define DRIVER(slot, symbol) #symbol,
#include GPU_DRIVER_DEF
#undef DRIVER
};

static const size_t offsets[GPU_SLOTS] = {
#define DRIVER(slot, symbol) offsetof(stoai_gpu_driver, slot),
#include GPU_DRIVER_DEF
#undef DRIVER
};

static const bool needed[GPU_SLOTS] = {
#define DRIVER(slot, symbol) true,
#define OPTIONAL(slot, symbol) false,
#include GPU_DRIVER_DEF
#undef DRIVER
};

/* What happened at the one attempt: the driver is process-wide, and so is its absence. */
static struct {
    pthread_once_t once;
    bool found;
    int32_t native;
    char reason[512];
} loaded = {.once = PTHREAD_ONCE_INIT};

static const char *name_of(gpu_result result)
{
    const char *name = stoai_gpu_error_name(result);
    return name ? name : "unknown error";
}

static const char *text_of(gpu_result result)
{
    const char *text = stoai_gpu_error_text(result);
    return text ? text : "unknown error";
}

static const char *const libraries[] = {GPU_LIBRARIES};
#define LIBRARIES (sizeof libraries / sizeof *libraries)

/* One that the process has already comes first: a second runtime beside the application's would know none of its streams. */
static void *open_library(const char **name)
{
    void *library = NULL;
    for (size_t i = 0; i < 2 * LIBRARIES && !library; i++) {
        *name = libraries[i % LIBRARIES];
        library = dlopen(*name, RTLD_NOW | RTLD_LOCAL | (i < LIBRARIES ? RTLD_NOLOAD : 0)); /* never closed: the driver has threads */
    }
    return library;
}

/* Where it was found may tell that it is not the vendor's at all. */
static void say_missing(void *library, const char *name, const char *symbol)
{
    const struct link_map *map = NULL;
    const bool known = dlinfo(library, RTLD_DI_LINKMAP, &map) == 0;
    snprintf(loaded.reason, sizeof loaded.reason, "%s has no %s: an older driver than is needed, or another library of that name",
             known ? map->l_name : name, symbol);
}

static bool find_symbols(void *library, const char *name)
{
    for (size_t i = 0; i < GPU_SLOTS; i++) {
        void *symbol = dlsym(library, stoai_gpu_symbols[i]);
        if (!symbol && needed[i]) {
            say_missing(library, name, stoai_gpu_symbols[i]);
            return false;
        }
        memcpy((char *)&stoai_gpu + offsets[i], &symbol, sizeof symbol);
    }
    return true;
}

bool stoai_gpu_has(enum stoai_gpu_slot slot)
{
    void *function;
    memcpy(&function, (char *)&stoai_gpu + offsets[slot], sizeof function);
    return function != NULL;
}

static void load(void)
{
    const char *name;
    void *library = open_library(&name);
    if (!library) {
        snprintf(loaded.reason, sizeof loaded.reason, "no driver: %s", dlerror());
        return;
    }
    if (!find_symbols(library, name)) return;
    const gpu_result result = stoai_gpu_settle(stoai_gpu.init(0));
    loaded.found = result == GPU_SUCCESS;
    loaded.native = (int32_t)result;
    if (!loaded.found)
        snprintf(loaded.reason, sizeof loaded.reason, "%s: %s (%d): %s", stoai_gpu_symbols[GPU_SLOT_init], name_of(result), (int)result,
                 text_of(result));
}

stoa_status stoai_gpu_load(stoa_error *err)
{
    pthread_once(&loaded.once, load);
    if (loaded.found) return STOA_OK;
    return stoa_error_set(err, STOA_ENOTSUP, loaded.native, STOA_HERE, "back end '" GPU_NAME "': %s", loaded.reason);
}

static stoa_status status_of(gpu_result result)
{
    if (result == GPU_OUT_OF_MEMORY) return STOA_ENOMEM;
    if (result >= GPU_CAPTURE_FIRST && result <= GPU_CAPTURE_LAST) return STOA_ESTATE;
    return STOA_EDEVICE;
}

stoa_status stoai_gpu_check(stoa_error *err, const char *where, enum stoai_gpu_slot slot, gpu_result result)
{
    if (result == GPU_SUCCESS) return STOA_OK;
    (void)stoai_gpu_settle(result);
    return stoa_error_set(err, status_of(result), (int32_t)result, where, "%s: %s (%d): %s", stoai_gpu_symbols[slot], name_of(result),
                          (int)result, text_of(result));
}
