/* SPDX-License-Identifier: Apache-2.0 */
/* The table of instruction-set levels of this build, and what does not depend on the level: sizes and packing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/program.h"
#include "stoa/status.h"

#define LEVEL_DECLARE(isa) extern const native_kernels stoai_native_kernels_##isa;
STOA_ISA_MAP(LEVEL_DECLARE)
#undef LEVEL_DECLARE

static const native_kernels *const levels[] = {
#define LEVEL_ENTRY(isa) &stoai_native_kernels_##isa,
    STOA_ISA_MAP(LEVEL_ENTRY)
#undef LEVEL_ENTRY
        NULL};

const native_kernels *const *stoai_native_levels(void) { return levels; }

stoa_status stoai_native_choose(const char *isa, const native_kernels **kernels, stoa_error *err)
{
    if (isa == NULL) isa = getenv("STOA_ISA");
    if (isa == NULL || *isa == '\0') {
        for (size_t i = 0; levels[i] != NULL; i++)
            if (levels[i]->supported()) *kernels = levels[i];
        return STOA_OK;
    }
    for (size_t i = 0; levels[i] != NULL; i++)
        if (strcmp(levels[i]->name, isa) == 0) {
            if (!levels[i]->supported()) return STOA_FAIL(err, STOA_ENOTSUP, "instruction-set level '%s': this processor lacks it", isa);
            *kernels = levels[i];
            return STOA_OK;
        }
    char names[128] = "";
    size_t used = 0;
    for (size_t i = 0; levels[i] != NULL && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", levels[i]->name);
    return STOA_FAIL(err, STOA_ENAME, "instruction-set level '%s': this build has no such level; it has: %s", isa, names);
}

/* Columns of whole vectors of the widest level, and a KiB for what loops touch behind the last of them; a few rows alone, each
 * rounded up to a vector of columns, need less. */
size_t stoai_native_workspace_bytes(const native_plan *plan)
{
    size_t most = 0;
    for (uint32_t i = 0; i < plan->program_count; i++) {
        const native_program *program = &plan->programs[i];
        const size_t lanes = ((size_t)program->tile_rows + 15) / 16 * 16;
        const size_t bytes = (size_t)program->ref_count * lanes * sizeof(float) + 1024;
        most = bytes > most ? bytes : most;
    }
    return most;
}

size_t stoai_native_packed_floats(uint32_t count, uint32_t length)
{
    const size_t neurons = count < NATIVE_CHAIN_BELOW ? count : ((size_t)count + NATIVE_GROUP - 1) / NATIVE_GROUP * NATIVE_GROUP;
    return neurons * length;
}

void stoai_native_gemm_pack(const float *w, int64_t stride_o, int64_t stride_k, uint32_t count, uint32_t length, float *out)
{
    memset(out, 0, stoai_native_packed_floats(count, length) * sizeof *out);
    for (uint32_t o = 0; o < count; o++)
        for (uint32_t k = 0; k < length; k++) out[stoai_native_weight_at(count, length, o, k)] = w[(int64_t)o * stride_o + k * stride_k];
}
