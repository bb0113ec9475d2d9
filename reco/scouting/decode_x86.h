/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: words to rows by vectors of 16 (AVX-512) or 8 (AVX2). A word is 8 bytes to load and 27 to store; decoded one by one it takes ten
 * times as long as that, in vectors about as long. So instructions are counted: columns are found through `out` each time, as there are
 * too few registers for all. With 30 words between headers the branch at each is a third of the time in cache; lanes filled without
 * a branch, and words laid end to end before they are decoded, took longer.
 *
 * Signed fields are moved to the top of their half of the word, where their sign is the half's, and stay there: 2^(32 - width) times
 * the number, which the unit takes away again, exactly. */
#ifndef RECO_SCOUTING_DECODE_X86_H
#define RECO_SCOUTING_DECODE_X86_H

#include "reco/scouting/decode.h"

#include <immintrin.h>
#include <string.h>

#define DECODE_AVX2 __attribute__((target("avx2")))
#define DECODE_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define INLINE_AVX2 static inline DECODE_AVX2 __attribute__((always_inline))
#define INLINE_AVX512 static inline DECODE_AVX512 __attribute__((always_inline))
#define DECODE_TOP(width) ((int)~((1u << (32 - (width))) - 1u))
#define DECODE_TOP_UNIT(unit, width) ((unit) / (float)(1u << (32 - (width))))

/* ---- Words across headers. ---- */

/* The next word that is a row's. What only a new crossing needs stays behind `from`: there are no registers to spare. */
typedef struct word_cursor {
    const word_source *from;
    const uint64_t *next;
    uint32_t crossing, left; /* the crossing of `next`, and its words from there */
} word_cursor;

static inline word_cursor word_cursor_at(const word_source *from, uint32_t crossing, uint32_t row)
{
    const uint32_t skip = row - from->offset[crossing];
    return (word_cursor){from, from->words + from->header[crossing] + 1 + skip, crossing, from->offset[crossing + 1] - row};
}

static inline void word_cursor_advance(word_cursor *at, uint32_t words)
{
    at->next += words;
    at->left -= words;
}

static inline void word_cursor_enter_next(word_cursor *at)
{
    const uint32_t next = at->crossing + 1;
    *at = word_cursor_at(at->from, next, at->from->offset[next]);
}

/* By the kind of particle; twice, as the index of the wider vectors has a bit more. */
static const int32_t decode_ids[16] = {130, 22, -211, 211, 11, -11, 13, -13, 130, 22, -211, 211, 11, -11, 13, -13};

/* ---- AVX-512. ---- */

/* The next 16 words. Where they go on behind a header, the next crossing fills the lanes that are left; no other memory is touched. */
INLINE_AVX512 void take_avx512(word_cursor *at, __m512i words[2])
{
    if (at->left >= 16) {
        words[0] = _mm512_loadu_si512(at->next);
        words[1] = _mm512_loadu_si512(at->next + 8);
        word_cursor_advance(at, 16);
        return;
    }
    words[0] = words[1] = _mm512_setzero_si512();
    for (uint32_t have = 0, more;; have += more) {
        more = at->left < 16 - have ? at->left : 16 - have;
        const uint32_t lanes = ((1u << more) - 1u) << have;
        words[0] = _mm512_mask_loadu_epi64(words[0], (__mmask8)lanes, at->next - have);
        words[1] = _mm512_mask_loadu_epi64(words[1], (__mmask8)(lanes >> 8), at->next - have + 8);
        word_cursor_advance(at, more);
        if (have + more == 16) return;
        word_cursor_enter_next(at);
    }
}

INLINE_AVX512 __m512 reals_avx512(__m512i x, float unit) { return _mm512_mul_ps(_mm512_cvtepi32_ps(x), _mm512_set1_ps(unit)); }

INLINE_AVX512 void put_avx512(void *to, __m512i x, bool past_caches)
{
    if (past_caches) _mm512_stream_si512(to, x);
    else _mm512_storeu_si512(to, x);
}
#define PUT(column, x) put_avx512(out->column + row, _mm512_castps_si512(x), past_caches)

INLINE_AVX512 void decode_kinematics_avx512(__m512i low, __m512i high, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m512i middle = _mm512_or_si512(_mm512_slli_epi32(high, 27), _mm512_srli_epi32(low, 5)); /* phi lies across */
    const __m512i eta = _mm512_and_si512(_mm512_slli_epi32(low, 6), _mm512_set1_epi32(DECODE_TOP(12)));
    const __m512i phi = _mm512_and_si512(middle, _mm512_set1_epi32(DECODE_TOP(11)));
    PUT(pt, reals_avx512(_mm512_and_si512(low, _mm512_set1_epi32(0x3fff)), 0.25f));
    PUT(eta, reals_avx512(eta, DECODE_TOP_UNIT(RECO_SCOUT_ANGLE, 12)));
    PUT(phi, reals_avx512(phi, DECODE_TOP_UNIT(RECO_SCOUT_ANGLE, 11)));
}

INLINE_AVX512 void decode_track_avx512(__m512i high, __mmask16 charged, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m512i z0 = _mm512_maskz_and_epi32(charged, _mm512_slli_epi32(high, 14), _mm512_set1_epi32(DECODE_TOP(10)));
    const __m512i dxy = _mm512_maskz_and_epi32(charged, _mm512_slli_epi32(high, 6), _mm512_set1_epi32(DECODE_TOP(8)));
    const __m512i weight = _mm512_and_si512(_mm512_srli_epi32(high, 8), _mm512_set1_epi32(0x3ff));
    PUT(z0, reals_avx512(z0, DECODE_TOP_UNIT(0.05f, 10)));
    PUT(dxy, reals_avx512(dxy, DECODE_TOP_UNIT(0.05f, 8)));
    PUT(puppiw, reals_avx512(_mm512_mask_mov_epi32(weight, charged, _mm512_set1_epi32(256)), 0x1p-8f));
}
#undef PUT

INLINE_AVX512 void decode_kind_avx512(__m512i high, __mmask16 charged, __m512i ids, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m512i neutral = _mm512_and_si512(_mm512_srli_epi32(high, 18), _mm512_set1_epi32(0x3f));
    const __m512i quality = _mm512_mask_and_epi32(neutral, charged, _mm512_srli_epi32(high, 26), _mm512_set1_epi32(7));
    const __m256i pdgid = _mm512_cvtepi32_epi16(_mm512_permutexvar_epi32(_mm512_srli_epi32(high, 5), ids));
    if (past_caches) {
        _mm256_stream_si256((__m256i *)(void *)(out->pdgid + row), pdgid);
        _mm_stream_si128((__m128i *)(void *)(out->quality + row), _mm512_cvtepi32_epi8(quality));
    } else {
        _mm256_storeu_si256((__m256i *)(void *)(out->pdgid + row), pdgid);
        _mm_storeu_si128((__m128i *)(void *)(out->quality + row), _mm512_cvtepi32_epi8(quality));
    }
}

/* Whole vectors of rows [first, end); returns the first row that is left. */
INLINE_AVX512 uint32_t decode_avx512(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1)), ids = _mm512_loadu_si512(decode_ids);
    word_cursor at = word_cursor_at(from, find_crossing(from, first), first);
    for (; end - first >= 16; first += 16) {
        __m512i words[2];
        take_avx512(&at, words);
        const __m512i low = _mm512_permutex2var_epi32(words[0], even, words[1]), high = _mm512_permutex2var_epi32(words[0], odd, words[1]);
        const __mmask16 charged = _mm512_test_epi32_mask(high, _mm512_set1_epi32(0xc0)); /* particles 2 to 7 */
        decode_kinematics_avx512(low, high, out, first, past_caches);
        decode_track_avx512(high, charged, out, first, past_caches);
        decode_kind_avx512(high, charged, ids, out, first, past_caches);
    }
    return first;
}

/* ---- AVX2. ---- */

INLINE_AVX2 void take_avx2(word_cursor *at, __m256i words[2])
{
    if (at->left >= 8) {
        words[0] = _mm256_loadu_si256((const __m256i *)(const void *)at->next);
        words[1] = _mm256_loadu_si256((const __m256i *)(const void *)(at->next + 4));
        word_cursor_advance(at, 8);
        return;
    }
    static const long long leading[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    words[0] = words[1] = _mm256_setzero_si256();
    for (uint32_t have = 0, more;; have += more) {
        more = at->left < 8 - have ? at->left : 8 - have;
        for (int k = 0; k < 2; k++) {
            const __m256i before = _mm256_loadu_si256((const __m256i *)(const void *)(leading + 8 - have + 4 * k));
            const __m256i until = _mm256_loadu_si256((const __m256i *)(const void *)(leading + 8 - have - more + 4 * k));
            const long long *here = (const long long *)(const void *)(at->next - have + 4 * k);
            words[k] = _mm256_or_si256(words[k], _mm256_maskload_epi64(here, _mm256_andnot_si256(before, until)));
        }
        word_cursor_advance(at, more);
        if (have + more == 8) return;
        word_cursor_enter_next(at);
    }
}

INLINE_AVX2 __m256 reals_avx2(__m256i x, float unit) { return _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_set1_ps(unit)); }

INLINE_AVX2 void put_avx2(void *to, __m256i x, bool past_caches)
{
    if (past_caches) _mm256_stream_si256(to, x);
    else _mm256_storeu_si256(to, x);
}
#define PUT(column, x) put_avx2(out->column + row, _mm256_castps_si256(x), past_caches)

INLINE_AVX2 void decode_kinematics_avx2(__m256i low, __m256i high, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m256i middle = _mm256_or_si256(_mm256_slli_epi32(high, 27), _mm256_srli_epi32(low, 5));
    const __m256i eta = _mm256_and_si256(_mm256_slli_epi32(low, 6), _mm256_set1_epi32(DECODE_TOP(12)));
    const __m256i phi = _mm256_and_si256(middle, _mm256_set1_epi32(DECODE_TOP(11)));
    PUT(pt, reals_avx2(_mm256_and_si256(low, _mm256_set1_epi32(0x3fff)), 0.25f));
    PUT(eta, reals_avx2(eta, DECODE_TOP_UNIT(RECO_SCOUT_ANGLE, 12)));
    PUT(phi, reals_avx2(phi, DECODE_TOP_UNIT(RECO_SCOUT_ANGLE, 11)));
}

INLINE_AVX2 void decode_track_avx2(__m256i high, __m256i neutral, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m256i z0 = _mm256_andnot_si256(neutral, _mm256_slli_epi32(high, 14)),
                  dxy = _mm256_andnot_si256(neutral, _mm256_slli_epi32(high, 6));
    const __m256i weight = _mm256_and_si256(_mm256_srli_epi32(high, 8), _mm256_set1_epi32(0x3ff));
    PUT(z0, reals_avx2(_mm256_and_si256(z0, _mm256_set1_epi32(DECODE_TOP(10))), DECODE_TOP_UNIT(0.05f, 10)));
    PUT(dxy, reals_avx2(_mm256_and_si256(dxy, _mm256_set1_epi32(DECODE_TOP(8))), DECODE_TOP_UNIT(0.05f, 8)));
    PUT(puppiw, reals_avx2(_mm256_blendv_epi8(_mm256_set1_epi32(256), weight, neutral), 0x1p-8f));
}
#undef PUT

INLINE_AVX2 void decode_kind_avx2(__m256i high, __m256i neutral, __m256i ids, const puppi_soa *out, uint32_t row, bool past_caches)
{
    const __m256i of_neutral = _mm256_and_si256(_mm256_srli_epi32(high, 18), _mm256_set1_epi32(0x3f));
    const __m256i of_charged = _mm256_and_si256(_mm256_srli_epi32(high, 26), _mm256_set1_epi32(7));
    const __m256i pdgid = _mm256_permutevar8x32_epi32(ids, _mm256_srli_epi32(high, 5)); /* by 3 bits */
    const __m256i both = _mm256_packs_epi32(pdgid, _mm256_blendv_epi8(of_charged, of_neutral, neutral)); /* within halves */
    const __m256i ordered = _mm256_permute4x64_epi64(both, 0xd8);
    const __m128i quality = _mm256_extracti128_si256(ordered, 1);
    const long long bytes = _mm_cvtsi128_si64(_mm_packus_epi16(quality, quality));
    if (past_caches) {
        _mm_stream_si128((__m128i *)(void *)(out->pdgid + row), _mm256_castsi256_si128(ordered));
        _mm_stream_si64((long long *)(void *)(out->quality + row), bytes);
    } else {
        _mm_storeu_si128((__m128i *)(void *)(out->pdgid + row), _mm256_castsi256_si128(ordered));
        memcpy(out->quality + row, &bytes, sizeof bytes);
    }
}

INLINE_AVX2 uint32_t decode_avx2(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches)
{
    const __m256i ids = _mm256_loadu_si256((const __m256i *)(const void *)decode_ids);
    word_cursor at = word_cursor_at(from, find_crossing(from, first), first);
    for (; end - first >= 8; first += 8) {
        __m256i words[2];
        take_avx2(&at, words);
        const __m256 one = _mm256_castsi256_ps(words[0]), two = _mm256_castsi256_ps(words[1]); /* shuffled within halves */
        const __m256i low = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(one, two, 0x88)), 0xd8);
        const __m256i high = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(one, two, 0xdd)), 0xd8);
        const __m256i neutral = _mm256_cmpeq_epi32(_mm256_and_si256(high, _mm256_set1_epi32(0xc0)), _mm256_setzero_si256());
        decode_kinematics_avx2(low, high, out, first, past_caches);
        decode_track_avx2(high, neutral, out, first, past_caches);
        decode_kind_avx2(high, neutral, ids, out, first, past_caches);
    }
    return first;
}

/* ---- As forms. ---- */

/* What is left of whole vectors is decoded one by one, so that nothing is written behind the rows. Stores past the caches are not in order
 * with others: before another thread is told, they have to be done. */
#define DECODE_BY(name, form, target_) \
    target_ static void name(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches) \
    { \
        if (first >= end) return; \
        if (past_caches) { \
            first = form(from, out, first, end, true); \
            _mm_sfence(); \
        } else first = form(from, out, first, end, false); \
        decode_words(from, out, first, end); \
    }
DECODE_BY(decode_by_avx2, decode_avx2, DECODE_AVX2)
DECODE_BY(decode_by_avx512, decode_avx512, DECODE_AVX512)
#undef DECODE_BY

static bool decode_avx2_runs(void) { return __builtin_cpu_supports("avx2"); }
static bool decode_avx512_runs(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

#undef DECODE_AVX2
#undef DECODE_AVX512
#undef INLINE_AVX2
#undef INLINE_AVX512
#undef DECODE_TOP
#undef DECODE_TOP_UNIT
#endif
