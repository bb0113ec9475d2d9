/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: words to rows of candidates, one word at a time; decode_x86.h has the forms for vectors, which give the same bits. */
#ifndef RECO_SCOUTING_DECODE_H
#define RECO_SCOUTING_DECODE_H

#include "reco/formats/formats.h"
#include "reco/scouting/words.h"

#include <stdbool.h>

/* The words of crossing i, behind its header, are rows offset[i] to offset[i + 1]. Headers are in ascending order. */
typedef struct word_source {
    const uint64_t *words;
    const uint32_t *header, *offset;
    uint32_t crossings;
} word_source;

/* Charged and neutral candidates use the same bits differently: both are decoded, a mask takes one, since a branch is guessed badly. */
STOA_DEVICE void decode_word(uint64_t word, const puppi_soa *out, uint32_t row)
{
    const uint32_t pid = reco_bits(word, 37, 3);
    const int32_t charged = -(int32_t)(pid > RECO_PID_PHOTON);
    out->pt[row] = 0.25f * (float)(int32_t)reco_bits(word, 0, 14);
    out->eta[row] = RECO_SCOUT_ANGLE * (float)reco_signed_bits(word, 14, 12);
    out->phi[row] = RECO_SCOUT_ANGLE * (float)reco_signed_bits(word, 26, 11);
    out->z0[row] = 0.05f * (float)(reco_signed_bits(word, 40, 10) & charged);
    out->dxy[row] = 0.05f * (float)(reco_signed_bits(word, 50, 8) & charged);
    out->puppiw[row] = 0x1p-8f * (float)(((int32_t)reco_bits(word, 40, 10) & ~charged) | (256 & charged));
    out->pdgid[row] = (int16_t)reco_puppi_pdgid(pid);
    out->quality[row] = (uint8_t)(((int32_t)reco_bits(word, 58, 3) & charged) | ((int32_t)reco_bits(word, 50, 6) & ~charged));
}

/* The crossing of a row: the last one that begins at or before it and is not empty. */
STOA_DEVICE uint32_t find_crossing(const word_source *from, uint32_t row)
{
    uint32_t low = 0, high = from->crossings;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (from->offset[middle] <= row) low = middle;
        else high = middle;
    }
    return low;
}

/* Rows [first, end). */
STOA_DEVICE void decode_words(const word_source *from, const puppi_soa *to, uint32_t first, uint32_t end)
{
    if (first >= end) return;
    const puppi_soa out = *to; /* stores might change what it points to */
    for (uint32_t row = first, crossing = find_crossing(from, first); row < end; crossing++) {
        const uint32_t behind = from->offset[crossing + 1], stop = behind < end ? behind : end;
        const uint64_t *word = from->words + from->header[crossing] + 1 + (row - from->offset[crossing]);
        for (; row < stop; row++) decode_word(*word++, &out, row);
    }
}

#endif
