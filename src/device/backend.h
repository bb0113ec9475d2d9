/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of back ends: the host, what the application registered, and plugins loaded by name. */
#ifndef STOAI_DEVICE_BACKEND_H
#define STOAI_DEVICE_BACKEND_H

#include "stoa/backend.h"

/** The host back end (host/host.c). */
extern const stoa_backend_api stoai_host_backend;

/** The table of a back end, loading its plugin when nobody registered the name.
 *  errors EINVAL malformed name; ENOTSUP nothing found, naming what was tried; EABI; ELIMIT registry full */
stoa_status stoai_backend_find(const char *name, const stoa_backend_api **api, stoa_error *err);

#endif
