/* SPDX-License-Identifier: Apache-2.0 */
/* Scouting input made in memory: events of random candidates, in each of the formats. */
#ifndef TESTS_SCOUTING_WORDS_H
#define TESTS_SCOUTING_WORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reco/scouting/words.h"
#include "reco/scouting/writer.h"

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

static inline void sample_word(sample *s, uint64_t word) { sample_put(s, &word, sizeof word); }

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

/* An orbit of this payload in a format. */
static inline void sample_frame(sample *s, reco_scout_format format, uint32_t run, uint32_t orbit, const sample *payload)
{
    char *bytes = NULL;
    size_t count = 0;
    FILE *file = open_memstream(&bytes, &count);
    if (!file) abort();
    if (s->count == 0 && reco_scout_write_begin(file, format, run, 0, NULL) != STOA_OK) abort();
    const uint64_t *words = (const uint64_t *)(const void *)payload->bytes;
    if (reco_scout_write_orbit(file, format, run, orbit, words, payload->count / sizeof *words, NULL) != STOA_OK) abort();
    fclose(file);
    sample_put(s, bytes, count);
    free(bytes);
}

#endif
