/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of functions by name (back ends, runtimes): built in, registered by the application, or of a shared library that is found and
 * opened when its name is asked for. */
#ifndef STOAI_CORE_PLUGINS_H
#define STOAI_CORE_PLUGINS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "stoa/status.h"

/** Longest name of a table, with its terminator. Only [a-z0-9_]: no name can leave the plugin folder. */
#define STOAI_PLUGIN_NAME_BYTES 32
#define STOAI_TABLES_MAX 16u

/* How every table begins, for ever. */
typedef struct stoai_table {
    uint32_t struct_size, abi;
    const char *name;
} stoai_table;

typedef struct stoai_slot {
    const char *name;
    size_t offset;
} stoai_slot;

/* All tables of a kind. Entries never change or go: plugins are not closed, since what they handed out and threads of vendors would
 * dangle. */
typedef struct stoai_registry {
    const char *kind;         /* for messages: "back end" */
    const char *entry;        /* what a plugin exports */
    const void *(*enter)(void *entry); /* calls it; NULL: it cannot serve this ABI */
    uint32_t abi, slot_count;
    size_t bytes;             /* at least */
    const stoai_slot *slots;  /* those that no table may lack */
    pthread_mutex_t lock;     /* of additions */
    const void *_Atomic tables[STOAI_TABLES_MAX];
} stoai_registry;

/** The index-th table, NULL past the end; and the one of a name, NULL: none is registered. */
const void *stoai_registry_at(stoai_registry *registry, uint32_t index);
const void *stoai_registry_find(stoai_registry *registry, const char *name);

/** Add a table of the application.   errors EABI size, abi, name or a missing slot, each by name; ENAME taken; ELIMIT full */
stoa_status stoai_registry_add(stoai_registry *registry, const void *table, stoa_error *err);

/** The table of a name; "libstoa_<library>.so" from STOA_PLUGIN_PATH or beside this library is opened when none is registered. What has
 *  its library's name is behind the entry of the registry, another table of that library behind "<entry>_<name>".
 *  errors EINVAL malformed name; ENOTSUP nothing found, naming what was tried; EABI a file that is not what it should be: it is
 *  reported, not passed over; ELIMIT */
stoa_status stoai_registry_load(stoai_registry *registry, const char *name, const char *library, const void **table, stoa_error *err);

#endif
