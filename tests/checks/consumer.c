/* SPDX-License-Identifier: Apache-2.0 */
/* What an application outside the tree does; valid C11 and C++17. */
#include <stdio.h>

#include "stoa/stoa.h"

int main(void)
{
    stoa_error err;
    stoa_device *device = NULL;
    if (stoa_device_open("host", &device, &err) != STOA_OK) {
        fprintf(stderr, "%s: %s\n", stoa_status_name(err.status), err.message);
        return 1;
    }
    printf("stoa %s on place %d\n", stoa_version(), (int)stoa_device_place(device).type);
    stoa_device_close(device);
    return 0;
}
