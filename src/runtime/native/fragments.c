/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/fragments.h"

#include <math.h>

#include "runtime/native/conversions.h"

#define FLOAT16_MOST 65504.0f

static uint32_t word_of(const native_step *s, stoa_precision precision, uint32_t neuron, uint32_t k)
{
    float w[2] = {0.0f, 0.0f};
    for (uint32_t i = 0; i < 2; i++)
        if (neuron < s->count && k + 4 * i < s->length) w[i] = s->weights[stoai_native_weight_at(s->count, s->length, neuron, k + 4 * i)];
    if (precision == STOA_PRECISION_TFLOAT32) return f32_to_tfloat(w[0]);
    if (precision == STOA_PRECISION_BFLOAT16) return f32_to_bfloat(w[0]) | (uint32_t)f32_to_bfloat(w[1]) << 16;
    return f32_to_half(w[0]) | (uint32_t)f32_to_half(w[1]) << 16;
}

static void pack(const native_step *s, stoa_precision precision, uint32_t *out)
{
    const uint32_t ks = precision == STOA_PRECISION_TFLOAT32 ? 4 : 8; /* from a word of a neuron to its next */
    for (uint32_t group = 0; group < s->count; group += NATIVE_GROUP)
        for (uint32_t step = 0; step < s->length; step += FRAGMENT_STEP(precision))
            for (uint32_t lane = 0; lane < FRAGMENT_LANES; lane++)
                for (uint32_t r = 0; r < FRAGMENT_WORDS; r++)
                    *out++ = word_of(s, precision, group + lane / 4 + 8 * (r % 2), step + ks * (r / 2) + lane % 4);
}

static stoa_status check_range(const native_step *s, stoa_error *err)
{
    for (uint32_t o = 0; o < s->count; o++)
        for (uint32_t k = 0; k < s->length; k++) {
            const float w = s->weights[stoai_native_weight_at(s->count, s->length, o, k)];
            if (fabsf(w) > FLOAT16_MOST && isfinite(w))
                return STOA_FAIL(err, STOA_ENOTSUP, "step '%s': weight %g of neuron %u, float16 holds at most %g", s->text, (double)w, o,
                                 (double)FLOAT16_MOST);
        }
    return STOA_OK;
}

/* Matrices with the same weights share them here too. */
static const uint32_t *find(const native_program *program, const native_step *wanted)
{
    for (const native_step *s = program->steps; s < wanted; s++)
        if (s->fragments && s->weights == wanted->weights && s->count == wanted->count && s->length == wanted->length) return s->fragments;
    return NULL;
}

static stoa_status add_fragments(native_program *program, native_step *s, stoa_precision precision, graph_arena *arena, stoa_error *err)
{
    const size_t groups = (s->count + NATIVE_GROUP - 1) / NATIVE_GROUP;
    const size_t steps = (s->length + FRAGMENT_STEP(precision) - 1) / FRAGMENT_STEP(precision);
    if (precision == STOA_PRECISION_FLOAT16) STOA_TRY(check_range(s, err));
    s->precision = precision;
    program->fragments = true;
    if ((s->fragments = find(program, s))) return STOA_OK;
    uint32_t *out = stoai_arena_take(arena, groups * steps, FRAGMENT_LANES * FRAGMENT_WORDS * sizeof *out);
    if (!out) return STOA_FAIL(err, STOA_ENOMEM, "step '%s': %zu fragments of its weights", s->text, groups * steps);
    pack(s, precision, out);
    s->fragments = out;
    return STOA_OK;
}

stoa_status stoai_native_fragments(native_plan *plan, stoa_precision precision, graph_arena *arena, stoa_error *err)
{
    for (uint32_t i = 0; i < plan->program_count && precision != STOA_PRECISION_FLOAT32; i++)
        for (uint32_t j = 0; j < plan->programs[i].step_count; j++) {
            native_step *s = &plan->programs[i].steps[j];
            if (s->kind == NATIVE_STEP_GEMM && s->count >= NATIVE_CHAIN_BELOW)
                STOA_TRY(add_fragments(&plan->programs[i], s, precision, arena, err));
        }
    return STOA_OK;
}
