/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOAI_PLUGIN_PLUGIN_HOST_H
#define STOAI_PLUGIN_PLUGIN_HOST_H

#include "stoa/host.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Set by the plugin's entry before anything else, to a table of at least the size that it was compiled with. */
extern const stoa_host_api *stoai_plugin_host;

#ifdef __cplusplus
}
#endif
#endif
