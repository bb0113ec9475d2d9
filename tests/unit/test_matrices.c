/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices of every shape of block, rows alone and in batches, on every level of this machine: each neuron has exactly the bits of its
 * definition in program.h, here by the C library's fma, one row and one neuron at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/native/program.h"
#include "stoa/memory.h"

enum { LENGTH_MAX = 67, COUNT_MAX = 131, ROWS = 70, REFS = 256, TILE = 96 };

static float weights[COUNT_MAX][LENGTH_MAX], in[LENGTH_MAX][ROWS], out[COUNT_MAX][ROWS];
static stoa_bound in_bound[LENGTH_MAX], out_bound[COUNT_MAX];
static uint32_t backwards[LENGTH_MAX];

static float number(uint32_t i) { return (float)((i * 2654435761u) >> 8) * 0x1p-23f - 1.0f; }

static void fill(void)
{
    for (uint32_t o = 0; o < COUNT_MAX; o++)
        for (uint32_t k = 0; k < LENGTH_MAX; k++) weights[o][k] = number(o * 7919 + k);
    for (uint32_t k = 0; k < LENGTH_MAX; k++) {
        for (uint32_t row = 0; row < ROWS; row++) in[k][row] = number(k * 104729 + row + 1);
        in_bound[k] = (stoa_bound){in[k], 1, STOA_FLOAT32, 0};
    }
    for (uint32_t o = 0; o < COUNT_MAX; o++) out_bound[o] = (stoa_bound){out[o], 1, STOA_FLOAT32, 0};
}

static float product_added(bool fused, float a, float b, float sum)
{
    if (fused) return fmaf(a, b, sum);
    volatile float product = a * b;
    return sum + product;
}

static float defined(bool fused, uint32_t sums, uint32_t length, const uint32_t *order, uint32_t o, uint32_t row)
{
    float sum[NATIVE_CHAINS] = {0.0f};
    for (uint32_t k = 0; k < length; k++) sum[k % sums] = product_added(fused, weights[o][k], in[order ? order[k] : k][row], sum[k % sums]);
    sum[0] += number(o);
    for (uint32_t half = sums / 2; half > 0; half /= 2)
        for (uint32_t c = 0; c < half; c++) sum[c] += sum[c + half];
    return sum[0];
}

/* With sanitizers the kernels are hardly optimised, and the compiler fuses some products with their sums and others not. */
static bool is_same(float got, float want)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return fabsf(got - want) <= 1e-4f;
#else
    return memcmp(&got, &want, sizeof got) == 0;
#endif
}

/* LOAD, GEMM with the activation `op`, STORE; the inputs in their order, or in that of `order`, or read where the caller has them. */
static void check_matrix(const native_kernels *level, uint32_t count, uint32_t length, const uint32_t *order, bool streamed, native_op op)
{
    static float packed[COUNT_MAX * 2 * LENGTH_MAX] __attribute__((aligned(64))), bias[COUNT_MAX + NATIVE_GROUP];
    static float workspace[REFS * TILE] __attribute__((aligned(64)));
    static const uint32_t parts[][2] = {{0, ROWS}, {0, 1}, {5, 2},  {3, 3},  {1, 4},  {0, 5},
                                        {2, 7},    {9, 8}, {0, 13}, {7, 16}, {4, 21}, {0, 48}};
    const uint32_t result = (length + 15) / 16 * 16, sums = stoai_native_sums(count, length, level->lanes);
    assert_true(stoai_native_packed_floats(count, length) <= sizeof packed / sizeof *packed && result + count + 16 <= REFS);
    stoai_native_gemm_pack(weights[0], LENGTH_MAX, 1, count, length, packed);
    memset(bias, 0, sizeof bias);
    for (uint32_t o = 0; o < count; o++) bias[o] = number(o);
    native_step steps[] = {{.kind = NATIVE_STEP_LOAD, .count = length, .streamed = streamed},
                           {.kind = NATIVE_STEP_GEMM,
                            .op = op,
                            .count = count,
                            .length = length,
                            .out = result,
                            .in = {{.refs = order}},
                            .weights = packed,
                            .sums = sums,
                            .bias = bias,
                            .streamed = streamed},
                           {.kind = NATIVE_STEP_STORE, .count = count, .in = {{.first = result}}, .space = NATIVE_OUTPUTS}};
    native_program program = {.steps = steps, .step_count = 3, .streamed_end = streamed, .ref_count = REFS, .tile_rows = TILE};
    level->prepare(&program);
    const bool fused = strcmp(level->name, "baseline") != 0;
    for (uint32_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        const uint32_t first = parts[p][0], rows = parts[p][1];
        native_call call = {.bounds = {in_bound, out_bound}, .workspace = workspace, .first = first, .rows = &rows};
        memset(out, 0xff, sizeof out);
        memset(workspace, 0xff, sizeof workspace);
        level->run(&program, &call);
        for (uint32_t o = 0; o < count; o++)
            for (uint32_t row = 0; row < ROWS; row++) {
                const bool inside = row >= first && row < first + rows;
                float want = inside ? defined(fused, sums, length, order, o, row) : 0.0f;
                if (inside && op != NATIVE_COPY) level->map_f32(op, &want, &want, 1, 0, 0);
                if (inside ? !is_same(out[o][row], want) : !isnan(out[o][row]))
                    fail_msg("%s, %u -> %u%s, rows %u to %u: neuron %u of row %u: %a, defined %a", level->name, length, count,
                             order      ? ", listed"
                             : streamed ? ", streamed"
                                        : "",
                             first, first + rows, o, row, (double)out[o][row], (double)want);
            }
    }
}

static void neurons_have_the_bits_of_their_definition(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 130},
                          lengths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 18, 30, 31, 32, 64, 67};
    fill();
    for (uint32_t k = 0; k < LENGTH_MAX; k++) backwards[k] = LENGTH_MAX - 1 - k;
    for (const native_kernels *const *level = stoai_native_levels(); *level; level++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts && (*level)->supported(); c++)
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                check_matrix(*level, counts[c], lengths[l], NULL, false, NATIVE_COPY);
                check_matrix(*level, counts[c], lengths[l], NULL, true, NATIVE_SIGMOID);
                if (lengths[l] == LENGTH_MAX) check_matrix(*level, counts[c], lengths[l], backwards, false, NATIVE_RELU);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(neurons_have_the_bits_of_their_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
