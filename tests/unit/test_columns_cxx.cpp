/* SPDX-License-Identifier: Apache-2.0 */
/* STOA_COLUMNS and generated layouts in C++17: same columns, same strides. A plain program: cmocka is C. */
#include "stoa/stoa.h"

#include <cstdio>
#include <cstdlib>

#define STOA_LAYOUT datatypes
#define STOA_LAYOUT_DEF "data/datatypes.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static int failures;

static void check(bool good, const char *what)
{
    if (!good) failures++;
    std::printf("%s %s\n", good ? "ok" : "FAILED", what);
}

static stoa_strided strided(stoa_tensor tensor)
{
    stoa_strided out;
    stoa_error err;
    check(stoa_tensor_strided(tensor, &out, &err) == STOA_OK, "strided");
    return out;
}

static_assert(stoa::is_column_of<float, float *>, "mutable");
static_assert(stoa::is_column_of<float, const float *>, "const");
static_assert(!stoa::is_column_of<float, double *>, "another type");

int main()
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    void *blob = std::aligned_alloc(128, 6912);
    stoa_error err;
    datatypes t;
    datatypes_const c;
    check(stoa_layout_bind(&datatypes_layout, 64, blob, 6912, host, &t.head, &err) == STOA_OK, "bind");
    check(stoa_layout_bind_const(&datatypes_layout, 64, blob, 6912, host, &c.head, &err) == STOA_OK, "bind const");
    check(stoa_layout_check(&alltypes_layout, &err) == STOA_OK, "every type");

    const stoa_strided xyz = strided(STOA_COLUMNS(t, x, y, z));
    check(xyz.rank == 2 && xyz.shape[1] == 3 && xyz.strides[1] == 64 && xyz.data == t.x, "columns");
    const stoa_strided ab = strided(STOA_COLUMNS(t, a, b));
    check(ab.rank == 3 && ab.strides[1] == 192 && ab.strides[2] == 64, "vectors");
    const stoa_strided typed = strided(STOA_COLUMNS_OF(double, c, x, y));
    check(typed.flags == STOA_COLUMN_CONST && typed.data == t.x, "typed and const");
    const stoa_strided joined = strided(STOA_COLUMNS_JOIN(STOA_COLUMN(c, z), STOA_COLUMN(t, y)));
    check(joined.strides[1] == -64 && joined.flags == STOA_COLUMN_CONST, "join");
    const auto kept = STOA_COLUMNS(t, v, w); /* holds its columns by value */
    const stoa_strided vw = strided(stoa_tensor_slice(kept, 60, 10));
    check(vw.shape[0] == 4 && vw.data == t.v + 60, "kept and sliced");
    std::free(blob);
    return failures != 0;
}
