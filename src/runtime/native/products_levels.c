/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "runtime/native/products.h"

#define DECLARE(isa) extern const native_products stoai_native_products_##isa;
STOA_ISA_MAP(DECLARE)

static const native_products *const levels[] = {
#define ENTRY(isa) &stoai_native_products_##isa,
    STOA_ISA_MAP(ENTRY)
    NULL};

const native_products *stoai_native_products(void)
{
    const native_products *best = levels[0];
    for (size_t i = 0; levels[i]; i++)
        if (levels[i]->supported()) best = levels[i];
    return best;
}
