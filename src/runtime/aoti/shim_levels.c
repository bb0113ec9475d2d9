/* SPDX-License-Identifier: Apache-2.0 */
/* Vector functions of every width: a package brings the width that it was compiled for, checked against the processor when loaded. */
#include "runtime/aoti/shim_internal.h"

#define DECLARE(isa) extern const shim_symbol stoai_shim_math_##isa[];
STOA_ISA_MAP(DECLARE)

static const shim_symbol *const levels[] = {
#define ENTRY(isa) stoai_shim_math_##isa,
    STOA_ISA_MAP(ENTRY) NULL};

void *stoai_shim_find_math(const char *name)
{
    void *found = NULL;
    for (const shim_symbol *const *level = levels; *level && !found; level++) found = stoai_shim_lookup(*level, name);
    return found;
}
