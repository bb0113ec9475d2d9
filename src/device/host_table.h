/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOAI_DEVICE_HOST_TABLE_H
#define STOAI_DEVICE_HOST_TABLE_H

#include "stoa/host.h"

/** What plugins of back ends and runtimes are handed. */
extern const stoa_host_api stoai_host_table;

#endif
