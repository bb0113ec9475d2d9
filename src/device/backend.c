/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <string.h>

#include "core/plugins.h"
#include "device/host_table.h"

/* Tables are passed between separately built files: what shipped once stays where it is. Numbers are for
 * 64-bit machines, the only ones that plugins exist for. */
_Static_assert(offsetof(stoa_backend_api, name) == offsetof(stoai_table, name), "all tables begin alike");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, device_count) == 24, "ABI 1 is frozen");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, queue_create) == 80, "ABI 1 is frozen");
_Static_assert(sizeof(void *) != 8 || offsetof(stoa_backend_api, queue_wait_event) == 200, "ABI 1 is frozen");
#define ABI_1_BYTES (offsetof(stoa_backend_api, queue_wait_event) + sizeof(((stoa_backend_api *)NULL)->queue_wait_event))

static const stoai_slot abi_1_slots[] = {
#define SLOT(slot) {#slot, offsetof(stoa_backend_api, slot)}
    SLOT(device_count),  SLOT(device_open),   SLOT(device_close),  SLOT(device_describe), SLOT(device_wait),      SLOT(memory_alloc),
    SLOT(memory_free),   SLOT(queue_create),  SLOT(queue_wrap),    SLOT(queue_destroy),   SLOT(queue_native),     SLOT(queue_wait),
    SLOT(queue_is_idle), SLOT(queue_enqueue), SLOT(queue_launch),  SLOT(queue_copy_2d),   SLOT(queue_fill),       SLOT(event_create),
    SLOT(event_destroy), SLOT(event_record),  SLOT(event_is_done), SLOT(event_wait),      SLOT(queue_wait_event),
#undef SLOT
};

static const void *enter(void *entry)
{
    stoa_backend_entry_fn function;
    memcpy(&function, &entry, sizeof function); /* ISO C has no cast from dlsym's object pointer to a function */
    return function(STOA_BACKEND_ABI, &stoai_host_table);
}

static stoai_registry backends = {
    .kind = "back end",
    .entry = "stoa_backend_entry",
    .enter = enter,
    .abi = STOA_BACKEND_ABI,
    .bytes = ABI_1_BYTES,
    .slots = abi_1_slots,
    .slot_count = sizeof abi_1_slots / sizeof *abi_1_slots,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .tables = {&stoai_host_backend},
};

stoa_status stoa_backend_register(const stoa_backend_api *api, stoa_error *err) { return stoai_registry_add(&backends, api, err); }

stoa_status stoai_backend_find(const char *name, const stoa_backend_api **api, stoa_error *err)
{
    const void *table;
    const stoa_status status = stoai_registry_load(&backends, name, name, &table, err);
    *api = table;
    return status;
}
