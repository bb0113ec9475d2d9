/* SPDX-License-Identifier: Apache-2.0 */
/* Scouting input made in memory: events of random candidates, in each of the formats. */
#ifndef TESTS_SCOUTING_WORDS_H
#define TESTS_SCOUTING_WORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reco/scouting/words.h"

enum { SAMPLE_ORBIT = 100 };

typedef struct sample {
    uint8_t *bytes;
    size_t count, capacity;
} sample;

static inline void sample_put(sample *s, const void *data, size_t bytes)
{
    if (s->count + bytes > s->capacity) {
        s->capacity = 2 * (s->count + bytes);
        s->bytes = realloc(s->bytes, s->capacity);
        if (!s->bytes) abort();
    }
    memcpy(s->bytes + s->count, data, bytes);
    s->count += bytes;
}

static inline void sample_word(sample *s, uint64_t word)
{
    sample_put(s, &word, sizeof word);
}

/* Candidate k of a crossing: every field depends on both, and bits 61-63 are clear. */
static inline uint64_t sample_candidate(uint32_t orbit, uint32_t bx, uint32_t k)
{
    uint64_t x = (uint64_t)orbit << 40 ^ (uint64_t)bx << 20 ^ k;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) >> 3 | 1;
}

/* An event of bx % 40 candidates. */
static inline void sample_event(sample *s, uint32_t orbit, uint32_t bx)
{
    sample_word(s, reco_scout_header(orbit, bx, bx % 40));
    for (uint32_t k = 0; k < bx % 40; k++) sample_word(s, sample_candidate(orbit, bx, k));
}

/* Every `step`-th crossing of an orbit. */
static inline void sample_orbit(sample *s, uint32_t orbit, uint32_t step)
{
    for (uint32_t bx = step / 2; bx <= RECO_SCOUT_BX_MAX; bx += step) sample_event(s, orbit, bx);
}

/* One orbit's payload as DTH blocks, the last one filled with zero words. */
static inline void sample_dth(sample *s, const sample *payload)
{
    enum { BLOCK = 255 * 32 };
    uint32_t number = 0;
    for (size_t at = 0; at < payload->count || at == 0; at += BLOCK) {
        const size_t left = payload->count - at, used = left < BLOCK ? left : BLOCK, units = (used + 31) / 32;
        uint64_t header[4] = {0x5a47u | (uint64_t)number++ << 16 | (uint64_t)(at == 0) << 47 |
                              (uint64_t)(left <= BLOCK) << 46 | (uint64_t)units << 48};
        memcpy(&header[2], payload->bytes, sizeof header[2]);
        sample_put(s, header, sizeof header);
        sample_put(s, payload->bytes + at, used);
        for (size_t fill = used; fill < units * 32; fill += 8) sample_word(s, 0);
    }
}

static inline void sample_cms_file(sample *s, uint32_t run)
{
    uint8_t header[32] = "RAW_0002";
    header[8] = 32;
    header[10] = 20;
    memcpy(header + 16, &run, sizeof run);
    sample_put(s, header, sizeof header);
}

static inline void sample_cms_orbit(sample *s, uint32_t run, uint32_t orbit, const sample *payload)
{
    const uint32_t words[6] = {6, run, 1, orbit, (uint32_t)payload->count, 0};
    sample_put(s, words, sizeof words);
    sample_put(s, payload->bytes, payload->count);
}

#endif
