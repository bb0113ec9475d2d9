/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction in a processor's core. The device's form has a worker a row and a scan over them; here a vector of rows is
 * packed by one instruction, which is worth a factor of ten over moving a cursor row by row. All forms give the same
 * indices, and none writes at or behind index[rows]: what is stored of a vector ends where its rows do, or before. */
#ifndef STOA_ALGO_COMPACT_HOST_H
#define STOA_ALGO_COMPACT_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define COMPACT_X86 1
#endif

/* Rows [first, rows), of which the selected ones go to index[found], ...; returns how many are found then. The row is
 * always written and only the cursor moves by the mask: no branch to mispredict, and found <= i. */
static uint32_t compact_scalar(const uint8_t *mask, uint32_t first, uint32_t rows, uint32_t *index, uint32_t found)
{
    for (uint32_t i = first; i < rows; i++) {
        index[found] = i;
        found += mask[i] != 0;
    }
    return found;
}

static uint32_t compact_plain(const uint8_t *mask, uint32_t rows, uint32_t *index) { return compact_scalar(mask, 0, rows, index, 0); }
static bool compact_plain_runs(void) { return true; }

#ifdef COMPACT_X86
/* The positions of the bits set in eight, as bytes, are what pext leaves of 0 to 7. */
__attribute__((target("avx2,bmi2,popcnt"))) static uint32_t compact_avx2(const uint8_t *mask, uint32_t rows, uint32_t *index)
{
    const uint32_t whole = rows & ~7u;
    uint32_t found = 0;
    for (uint32_t i = 0; i < whole; i += 8) {
        uint64_t bytes;
        memcpy(&bytes, mask + i, sizeof bytes);
        const __m128i is_zero = _mm_cmpeq_epi8(_mm_cvtsi64_si128((long long)bytes), _mm_setzero_si128());
        const uint64_t dropped = (uint64_t)_mm_cvtsi128_si64(is_zero); /* bytes of ones */
        const __m128i kept = _mm_cvtsi64_si128((long long)_pext_u64(0x0706050403020100u, ~dropped));
        const __m256i row = _mm256_add_epi32(_mm256_cvtepu8_epi32(kept), _mm256_set1_epi32((int)i));
        _mm256_storeu_si256((__m256i *)(void *)(index + found), row);
        found += 8 - (uint32_t)_mm_popcnt_u64(dropped) / 8;
    }
    return compact_scalar(mask, whole, rows, index, found);
}
static bool compact_avx2_runs(void)
{ return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"); }

/* Packed in a register and stored whole: packing into memory is microcode on some processors. */
__attribute__((target("avx512f,avx512bw,avx512vl,popcnt"))) static uint32_t compact_avx512(const uint8_t *mask, uint32_t rows,
                                                                                           uint32_t *index)
{
    const uint32_t whole = rows & ~63u;
    uint32_t found = 0;
    __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (uint32_t i = 0; i < whole; i += 64) {
        const __m512i bytes = _mm512_loadu_si512(mask + i);
        uint64_t bits = _mm512_test_epi8_mask(bytes, bytes);
        for (uint32_t part = 0; part < 4; part++, bits >>= 16) {
            _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32((__mmask16)bits, row));
            found += (uint32_t)_mm_popcnt_u32((uint32_t)bits & 0xffffu);
            row = _mm512_add_epi32(row, _mm512_set1_epi32(16));
        }
    }
    return compact_scalar(mask, whole, rows, index, found);
}
static bool compact_avx512_runs(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("popcnt");
}
#endif

typedef struct compact_form {
    const char *name;
    bool (*runs)(void); /* on this processor */
    uint32_t (*compact)(const uint8_t *mask, uint32_t rows, uint32_t *index);
} compact_form;

/* Best first. */
static const compact_form compact_forms[] = {
#ifdef COMPACT_X86
    {"avx512", compact_avx512_runs, compact_avx512},
    {"avx2", compact_avx2_runs, compact_avx2},
#endif
    {"plain", compact_plain_runs, compact_plain},
};
#define COMPACT_FORMS (sizeof compact_forms / sizeof *compact_forms)

#endif
