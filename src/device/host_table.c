/* SPDX-License-Identifier: Apache-2.0 */
#include "device/host_table.h"

const stoa_host_api stoai_host_table = {.struct_size = sizeof(stoa_host_api),
#define SLOT(result, ret, name, parameters, arguments) .name = name,
                                        STOA_HOST_MAP(SLOT)
#undef SLOT
};
