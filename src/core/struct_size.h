/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of callers that were compiled with another version of the headers. */
#ifndef STOA_CORE_STRUCT_SIZE_H
#define STOA_CORE_STRUCT_SIZE_H

#include "stoa/status.h"

/* The rule for a struct that differs in size: a shorter one is refused, a longer one as well unless what this version does not know of
 * it is zero. `what` begins the message. */
stoa_status stoai_struct_size_differs(const void *given, uint32_t given_bytes, size_t known_bytes, const char *what, stoa_error *err);

/* `pointer`, not NULL, is to a struct that begins with its `struct_size`. */
#define STOAI_CHECK_STRUCT(pointer, what, err) \
    ((pointer)->struct_size == sizeof *(pointer) \
         ? STOA_OK \
         : stoai_struct_size_differs((pointer), (pointer)->struct_size, sizeof *(pointer), (what), (err)))

#endif
