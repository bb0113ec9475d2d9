/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/plugins.h"
#include "core/struct_size.h"
#include "pool.h"
#include "stoa/memory.h"

/* "cuda:0" or "cuda", which is "cuda:0". */
static stoa_status parse_name(const char *name, char backend[STOAI_PLUGIN_NAME_BYTES], uint32_t *ordinal, stoa_error *err)
{
    size_t length = strcspn(name, ":");
    if (length == 0 || length >= STOAI_PLUGIN_NAME_BYTES)
        return STOA_FAIL(err, STOA_EINVAL, "device '%.60s': a back end's name of %zu bytes, 1 to %d needed", name, length,
                         STOAI_PLUGIN_NAME_BYTES - 1);
    memcpy(backend, name, length);
    backend[length] = '\0';
    *ordinal = 0;
    if (!name[length]) return STOA_OK;
    const char *digits = name + length + 1;
    size_t digit_count = strspn(digits, "0123456789");
    if (digit_count == 0 || digit_count > 5 || digits[digit_count])
        return STOA_FAIL(err, STOA_EINVAL, "device '%.60s': ordinal '%.20s' is not 1 to 5 digits", name, digits);
    *ordinal = (uint32_t)strtoul(digits, NULL, 10);
    return STOA_OK;
}

stoa_status stoa_device_count(const char *backend, uint32_t *count, stoa_error *err)
{
    if (count) *count = 0;
    if (!backend || !count) return STOA_FAIL(err, STOA_EINVAL, "device count: NULL %s", backend ? "result pointer" : "back end");
    const stoa_backend_api *api;
    STOA_TRY(stoai_backend_find(backend, &api, err));
    stoa_status status = api->device_count(count, err);
    if (status != STOA_OK) *count = 0;
    return status;
}

stoa_status stoa_device_open(const char *name, stoa_device **device, stoa_error *err)
{ return stoa_device_open_with(name, NULL, device, err); }

static void set_places(stoa_device *self)
{
    int32_t type = self->api->place_type;
    stoa_place host = {STOA_PLACE_HOST, 0};
    self->place[STOA_MEMORY_DEVICE] = self->place[STOA_MEMORY_PINNED] = host;
    if (type == STOA_PLACE_HOST) return;
    self->place[STOA_MEMORY_DEVICE] = (stoa_place){type, (int32_t)self->ordinal};
    if (type == STOA_PLACE_CUDA) self->place[STOA_MEMORY_PINNED].type = STOA_PLACE_CUDA_HOST;
    if (type == STOA_PLACE_ROCM) self->place[STOA_MEMORY_PINNED].type = STOAI_PLACE_ROCM_HOST;
}

static stoa_status open_device(stoa_device *self, const stoa_device_options *options, stoa_error *err)
{
    uint32_t count = 0;
    STOA_TRY(self->api->device_count(&count, err));
    if (self->ordinal >= count)
        return STOA_FAIL(err, STOA_ENOTSUP, "device '%s:%u': this machine has %u of them", self->api->name, (unsigned)self->ordinal,
                         (unsigned)count);
    for (int kind = 0; kind < STOAI_MEMORY_KINDS; kind++)
        STOA_TRY(stoai_pool_create(self, (stoa_memory_kind)kind, options, &self->pool[kind], err));
    STOA_TRY(self->api->device_open(self->ordinal, &self->ctx, err));
    if (options->pool == STOA_POOL_OWN) return STOA_OK;
    const stoa_status status = stoai_pool_use_driver(self->pool[STOA_MEMORY_DEVICE], options, err);
    if (status != STOA_OK) self->api->device_close(self->ctx);
    return status;
}

static void free_device(stoa_device *self)
{
    for (int kind = 0; kind < STOAI_MEMORY_KINDS; kind++) {
        uint64_t live_bytes;
        uint32_t live = stoai_pool_destroy(self->pool[kind], &live_bytes);
        if (live)
            stoa_log(STOA_LOG_WARNING, "device '%s:%u' closed with %u buffers of %llu bytes still live", self->api->name,
                     (unsigned)self->ordinal, (unsigned)live, (unsigned long long)live_bytes);
    }
    if (self->ctx) self->api->device_close(self->ctx);
    stoa_free(self, sizeof *self);
}

stoa_status stoa_device_open_with(const char *name, const stoa_device_options *options, stoa_device **device, stoa_error *err)
{
    if (device) *device = NULL;
    if (!name || !device) return STOA_FAIL(err, STOA_EINVAL, "device open: NULL %s", name ? "result pointer" : "name");
    static const stoa_device_options defaults = {.struct_size = sizeof defaults};
    if (!options) options = &defaults;
    STOA_TRY(STOAI_CHECK_STRUCT(options, "device options", err));
    char backend[STOAI_PLUGIN_NAME_BYTES];
    uint32_t ordinal;
    STOA_TRY(parse_name(name, backend, &ordinal, err));
    const stoa_backend_api *api;
    STOA_TRY(stoai_backend_find(backend, &api, err));

    stoa_device *self = stoa_calloc(1, sizeof *self);
    if (!self) return STOA_FAIL(err, STOA_ENOMEM, "device '%s': %zu bytes wanted, none left", name, sizeof *self);
    self->api = api;
    self->ordinal = ordinal;
    atomic_init(&self->queue_count, 0);
    set_places(self);
    stoa_status status = open_device(self, options, err);
    if (status != STOA_OK) {
        self->ctx = NULL;
        free_device(self);
        return status;
    }
    *device = self;
    return STOA_OK;
}

void stoa_device_close(stoa_device *device)
{
    if (!device) return;
    (void)device->api->device_wait(device->ctx, NULL);
    free_device(device);
}

stoa_place stoa_device_place(const stoa_device *device) { return device->place[STOA_MEMORY_DEVICE]; }

stoa_status stoa_device_describe(const stoa_device *device, stoa_device_info *info, stoa_error *err)
{
    if (!device || !info) return STOA_FAIL(err, STOA_EINVAL, "device describe: NULL %s", device ? "info" : "device");
    if (info->struct_size < sizeof *info)
        return STOA_FAIL(err, STOA_EINVAL, "device info: struct_size %u given, %zu needed", (unsigned)info->struct_size, sizeof *info);
    stoa_device_info known = {.struct_size = sizeof known};
    STOA_TRY(device->api->device_describe(device->ctx, &known, err));
    known.struct_size = info->struct_size;
    known.place = device->place[STOA_MEMORY_DEVICE];
    *info = known;
    return STOA_OK;
}

stoa_status stoa_device_wait(stoa_device *device, stoa_error *err)
{
    if (!device) return STOA_FAIL(err, STOA_EINVAL, "device wait: NULL device");
    return device->api->device_wait(device->ctx, err);
}

static stoa_status find_pool(const stoa_device *device, stoa_memory_kind kind, stoai_pool **pool, stoa_error *err)
{
    if (!device) return STOA_FAIL(err, STOA_EINVAL, "device memory: NULL device");
    if (kind != STOA_MEMORY_DEVICE && kind != STOA_MEMORY_PINNED)
        return STOA_FAIL(err, STOA_EINVAL, "device memory: kind %d given, 0 or 1 needed", (int)kind);
    *pool = device->pool[kind];
    return STOA_OK;
}

stoa_status stoa_device_memory_stats(const stoa_device *device, stoa_memory_kind kind, stoa_memory_stats *stats, stoa_error *err)
{
    stoai_pool *pool = NULL;
    STOA_TRY(find_pool(device, kind, &pool, err));
    if (!stats || stats->struct_size < sizeof *stats)
        return STOA_FAIL(err, STOA_EINVAL, "memory stats: struct_size %u given, %zu needed", stats ? (unsigned)stats->struct_size : 0u,
                         sizeof *stats);
    uint32_t struct_size = stats->struct_size;
    stoai_pool_stats(pool, stats);
    stats->struct_size = struct_size;
    return STOA_OK;
}

stoa_status stoa_device_memory_trim(stoa_device *device, stoa_memory_kind kind, uint64_t keep_bytes, stoa_error *err)
{
    stoai_pool *pool = NULL;
    STOA_TRY(find_pool(device, kind, &pool, err));
    return stoai_pool_trim(pool, keep_bytes, err);
}

static bool is_host_memory(stoa_place place)
{ return place.type == STOA_PLACE_HOST || place.type == STOA_PLACE_CUDA_HOST || place.type == STOAI_PLACE_ROCM_HOST; }

bool stoa_place_accessible(stoa_place memory, stoa_place from)
{
    if (is_host_memory(memory) && is_host_memory(from)) return true;
    if (memory.type == STOA_PLACE_CUDA_HOST && from.type == STOA_PLACE_CUDA) return true;
    if (memory.type == STOAI_PLACE_ROCM_HOST && from.type == STOA_PLACE_ROCM) return true;
    return memory.type == from.type && memory.index == from.index;
}
