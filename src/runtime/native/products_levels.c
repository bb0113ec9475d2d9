/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/products.h"

#define DECLARE(isa) extern const native_products stoai_native_products_##isa##_float, stoai_native_products_##isa##_double;
STOA_ISA_MAP(DECLARE)

static const native_products *const levels[][8] = {
#define ENTRY(isa) &stoai_native_products_##isa##_float,
    {STOA_ISA_MAP(ENTRY) NULL},
#undef ENTRY
#define ENTRY(isa) &stoai_native_products_##isa##_double,
    {STOA_ISA_MAP(ENTRY) NULL},
};

const native_products *const *stoai_native_products_levels(stoa_dtype dtype) { return levels[dtype == STOA_FLOAT64]; }

const native_products *stoai_native_products(stoa_dtype dtype)
{
    const native_products *const *all = stoai_native_products_levels(dtype), *best = all[0];
    for (size_t i = 0; all[i]; i++)
        if (all[i]->supported()) best = all[i];
    return best;
}

int64_t stoai_native_convolved(const native_convolution *c, int axis)
{
    const int64_t reach = c->dilation[axis] * (c->kernel[axis] - 1) + 1, room = c->size[axis] + 2 * c->padding[axis] - reach;
    return room < 0 ? 0 : room / c->stride[axis] + 1;
}
