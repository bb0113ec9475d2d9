/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/version.h"

#include "stoa/status.h"

#ifndef STOA_ISA_LIST
#define STOA_ISA_LIST "baseline"
#endif

const char *stoa_version(void)
{ return STOA_STRING_(STOA_VERSION_MAJOR) "." STOA_STRING_(STOA_VERSION_MINOR) "." STOA_STRING_(STOA_VERSION_PATCH); }

const char *stoa_build_info(void)
{
#if defined(__clang__)
    return "clang " __clang_version__ "; isa: " STOA_ISA_LIST;
#elif defined(__GNUC__)
    return "gcc " __VERSION__ "; isa: " STOA_ISA_LIST;
#else
    return "isa: " STOA_ISA_LIST;
#endif
}
