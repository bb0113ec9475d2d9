/* SPDX-License-Identifier: Apache-2.0 */
#include "core/struct_size.h"

#define STRUCT_BYTES_MAX 4096u /* a size beyond it was never set: nothing behind it is read */

stoa_status stoai_struct_size_differs(const void *given, uint32_t given_bytes, size_t known_bytes, const char *what, stoa_error *err)
{
    if (given_bytes < known_bytes)
        return STOA_FAIL(err, STOA_EINVAL, "%s: struct_size %u given, %zu needed", what, (unsigned)given_bytes, known_bytes);
    if (given_bytes > STRUCT_BYTES_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "%s: struct_size %u given, %zu needed, at most %u taken", what, (unsigned)given_bytes,
                         known_bytes, STRUCT_BYTES_MAX);
    for (size_t i = known_bytes; i < given_bytes; i++)
        if (((const unsigned char *)given)[i])
            return STOA_FAIL(err, STOA_EINVAL, "%s: byte %zu of %u is set, this version knows %zu", what, i, (unsigned)given_bytes,
                             known_bytes);
    return STOA_OK;
}
