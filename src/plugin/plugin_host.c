/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled into plugins: the library's functions by their own names, forwarded to the table that the library handed over. */
#include "plugin/plugin_host.h"

const stoa_host_api *stoai_plugin_host;

#define FORWARD(result, ret, name, parameters, arguments) \
    result name parameters { ret stoai_plugin_host->name arguments; }
STOA_HOST_MAP(FORWARD)
