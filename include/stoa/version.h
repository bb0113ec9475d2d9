/* SPDX-License-Identifier: Apache-2.0 */
/** Version and build of the library that is loaded, as opposed to the headers that were compiled against. */
#ifndef STOA_VERSION_H
#define STOA_VERSION_H

#include "stoa/export.h"

STOA_BEGIN_DECLS

#define STOA_VERSION_MAJOR 0
#define STOA_VERSION_MINOR 1
#define STOA_VERSION_PATCH 0

/** "0.1.0".
 *  owns static storage   threads any   errors none   since 0.1 */
STOA_API const char *stoa_version(void);

/** One line that lists compiler and compiled-in options: "gcc 12.2.0; isa: baseline avx2 avx512; cuda: no".
 *  owns static storage   threads any   errors none   since 0.1 */
STOA_API const char *stoa_build_info(void);

STOA_END_DECLS
#endif
