/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and opening the shared libraries of back ends and runtimes. */
#ifndef STOAI_CORE_PLUGIN_OPEN_H
#define STOAI_CORE_PLUGIN_OPEN_H

#include <stddef.h>

#include "stoa/status.h"

/** Longest name of a plugin, with its terminator. Only [a-z0-9_]: no name can leave the plugin folder. */
#define STOAI_PLUGIN_NAME_BYTES 32

bool stoai_plugin_name_is_valid(const char *name);

/** Open "libstoa_<name>.so" from STOA_PLUGIN_PATH or beside this library and find its entry function. It is never closed: `where`
 *  strings and vendor threads would dangle. `kind` ("back end") is for messages; `path` receives the file.
 *  errors ENOTSUP nothing found, naming what was tried; EABI a file without the entry: it is reported, not passed over */
stoa_status stoai_plugin_open(const char *kind, const char *name, const char *entry, char *path, size_t capacity, void **symbol,
                              stoa_error *err);

#endif
