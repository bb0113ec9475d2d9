/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOAI_PLUGIN_PLUGIN_HOST_H
#define STOAI_PLUGIN_PLUGIN_HOST_H

#include "stoa/host.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Set by the plugin's entry before anything else, to a table of at least the size that it was compiled with. */
extern const stoa_host_api *stoai_plugin_host;

/** The function that a plugin exports: takes the host's table, gives its own, which serves `served_abi`. */
#define STOAI_PLUGIN_ENTRY(type, function, served_abi, table) \
    STOA_PLUGIN_EXPORT const type *function(uint32_t host_abi, const stoa_host_api *host); \
    const type *function(uint32_t host_abi, const stoa_host_api *host) \
    { \
        if (host_abi != (served_abi) || host->struct_size < sizeof *host) return NULL; \
        stoai_plugin_host = host; \
        return &(table); \
    }
#define STOAI_RUNTIME_ENTRY(table) STOAI_PLUGIN_ENTRY(stoa_runtime_api, stoa_runtime_entry, STOA_RUNTIME_ABI, table)
#define STOAI_BACKEND_ENTRY(table) STOAI_PLUGIN_ENTRY(stoa_backend_api, stoa_backend_entry, STOA_BACKEND_ABI, table)

#ifdef __cplusplus
}
#endif
#endif
