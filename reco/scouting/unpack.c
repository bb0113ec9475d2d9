/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/unpack.h"

#include "reco/check.h"
#include "reco/scouting/words.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

#include <float.h>
#include <string.h>

/* Words that a worker decodes together. On the host the words of many crossings are laid end to end first, in cache, so
 * that the loops over columns are long; on a GPU each thread has one candidate. */
#ifdef __CUDACC__
enum { BLOCK = 1 };
#else
enum { BLOCK = 512 };
#endif

/* Every field lies in one half of the word but phi, which lies across: with the words cut into these, all loops have lanes of
 * 32 bits. */
typedef struct halves {
    uint32_t low[BLOCK], middle[BLOCK], high[BLOCK];
} halves;

#define FIELD(half, first, width) ((int32_t)(((half) >> (first)) & ((1u << (width)) - 1u)))
#define SIGNED_FIELD(half, first, width) ((int32_t)((half) << (32 - (first) - (width))) >> (32 - (width)))

RECO_VECTOR_LEVELS void split(const uint64_t *STOA_RESTRICT words, uint32_t n, halves *STOA_RESTRICT out)
{
    for (uint32_t i = 0; i < n; i++) {
        out->low[i] = (uint32_t)words[i];
        out->middle[i] = (uint32_t)(words[i] >> 26);
        out->high[i] = (uint32_t)(words[i] >> 32);
    }
}

RECO_VECTOR_LEVELS void decode_kinematics(const halves *STOA_RESTRICT in, uint32_t n, float *STOA_RESTRICT pt, float *STOA_RESTRICT eta,
                                     float *STOA_RESTRICT phi)
{
    for (uint32_t i = 0; i < n; i++) {
        pt[i] = 0.25f * (float)FIELD(in->low[i], 0, 14);
        eta[i] = RECO_SCOUT_ANGLE * (float)SIGNED_FIELD(in->low[i], 14, 12);
        phi[i] = RECO_SCOUT_ANGLE * (float)SIGNED_FIELD(in->middle[i], 0, 11);
    }
}

/* Charged and neutral candidates use the same bits differently: both are decoded, a mask takes one. */
RECO_VECTOR_LEVELS void decode_track(const halves *STOA_RESTRICT in, uint32_t n, float *STOA_RESTRICT z0, float *STOA_RESTRICT dxy,
                                float *STOA_RESTRICT puppiw)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t high = in->high[i];
        const int32_t charged = -(FIELD(high, 5, 3) > RECO_PID_PHOTON);
        z0[i] = 0.05f * (float)(SIGNED_FIELD(high, 8, 10) & charged);
        dxy[i] = 0.05f * (float)(SIGNED_FIELD(high, 18, 8) & charged);
        puppiw[i] = 0x1p-8f * (float)((FIELD(high, 8, 10) & ~charged) | (256 & charged));
    }
}

/* The particle number by masks, as a vector has no tables: 130, 22, 211, 11 or 13, negative for pid 2, 5 and 7. */
RECO_VECTOR_LEVELS void decode_kind(const halves *STOA_RESTRICT in, uint32_t n, int16_t *STOA_RESTRICT pdgid, uint8_t *STOA_RESTRICT quality)
{
    for (uint32_t i = 0; i < n; i++) {
        const int32_t pid = FIELD(in->high[i], 5, 3), charged = -(pid > RECO_PID_PHOTON), lepton = -(pid > RECO_PID_PIPLUS);
        const int32_t neutral_size = 130 ^ (-(pid & 1) & (130 ^ 22)), lepton_size = 11 + ((pid >> 1 & 1) << 1);
        const int32_t size = (neutral_size & ~charged) | (211 & charged & ~lepton) | (lepton_size & lepton);
        const int32_t negative = -((pid & 1) ^ (~lepton & 1)) & charged;
        pdgid[i] = (int16_t)((size ^ negative) - negative);
        quality[i] = (uint8_t)((FIELD(in->high[i], 26, 3) & charged) | (FIELD(in->high[i], 18, 6) & ~charged));
    }
}

/* At most BLOCK words. */
STOA_DEVICE void decode(const uint64_t *words, uint32_t n, const puppi_soa *out, uint32_t row)
{
    halves cut;
    split(words, n, &cut);
    decode_kinematics(&cut, n, out->pt + row, out->eta + row, out->phi + row);
    decode_track(&cut, n, out->z0 + row, out->dxy + row, out->puppiw + row);
    decode_kind(&cut, n, out->pdgid + row, out->quality + row);
}

/* ---- Look-up. ---- */

STOA_DEVICE uint32_t crossing_count(const reco_scout_unpack *args, uint32_t crossing)
{
    const uint32_t count = reco_scout_count(args->words[args->header[crossing]]);
    return args->slots > 0 && count > args->slots ? args->slots : count;
}

/* Offsets begin as what a crossing adds to the next one's: the scan behind makes offsets of them. */
STOA_KERNEL(reco_scout_lookup, reco_scout_unpack)
{
    const crossings_soa *out = &args->crossings_out;
    STOA_FOR(i, grid, args->crossings)
    {
        out->bx[i] = (uint16_t)reco_scout_bx(args->words[args->header[i]]);
        out->count[i] = crossing_count(args, i);
        out->offset[i] = args->slots > 0 ? args->slots : out->count[i];
    }
    if (grid.index > 0) return;
    out->bx[args->crossings] = 0;
    out->count[args->crossings] = 0;
    out->offset[args->crossings] = 0;
    *out->crossings = args->crossings;
    *out->rows = args->crossings + 1;
    *out->candidates = args->slots > 0 ? args->crossings * args->slots : args->candidates;
}

/* The crossing of a candidate: the last one that begins at or before it and is not empty. */
STOA_DEVICE uint32_t find_crossing(const uint32_t *offset, uint32_t crossings, uint32_t candidate)
{
    uint32_t low = 0, high = crossings;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (offset[middle] <= candidate)
            low = middle;
        else
            high = middle;
    }
    return low;
}

STOA_KERNEL(reco_scout_decode, reco_scout_unpack)
{
    const uint32_t *offset = args->crossings_out.offset;
    uint64_t together[BLOCK];
    STOA_FOR(block, grid, (args->candidates + BLOCK - 1) / BLOCK)
    {
        const uint32_t first = block * BLOCK, left = args->candidates - first, n = left < BLOCK ? left : BLOCK;
        uint32_t crossing = find_crossing(offset, args->crossings, first);
        for (uint32_t done = 0; done < n; crossing++) {
            const uint32_t skip = first + done - offset[crossing], have = offset[crossing + 1] - offset[crossing] - skip;
            const uint32_t take = have < n - done ? have : n - done;
            memcpy(together + done, args->words + args->header[crossing] + 1 + skip, take * sizeof *together);
            done += take;
        }
        decode(together, n, &args->puppi, first);
    }
}

/* ---- Padded form: the same number of rows for each crossing. ---- */

STOA_DEVICE void fill_unused(const puppi_soa *out, uint32_t first, uint32_t end)
{
    float *const reals[] = {out->pt, out->eta, out->phi, out->z0, out->dxy, out->puppiw};
    for (uint32_t c = 0; c < sizeof reals / sizeof *reals; c++)
        for (uint32_t i = first; i < end; i++) reals[c][i] = FLT_MAX;
    for (uint32_t i = first; i < end; i++) {
        out->pdgid[i] = INT16_MAX;
        out->quality[i] = UINT8_MAX;
    }
}

STOA_KERNEL(reco_scout_decode_padded, reco_scout_unpack)
{
    STOA_FOR(i, grid, args->crossings)
    {
        const uint32_t first = i * args->slots, count = args->crossings_out.count[i];
        for (uint32_t done = 0; done < count; done += BLOCK) {
            const uint32_t left = count - done;
            decode(args->words + args->header[i] + 1 + done, left < BLOCK ? left : BLOCK, &args->puppi, first + done);
        }
        fill_unused(&args->puppi, first + count, first + args->slots);
    }
}

/* ---- Tracker muons. ---- */

#define MUON_ANGLE ((float)(3.141592653589793 / 4096)) /* rad for one unit of phi and eta */

/* Two muons in three words: the outer words are their 64 low bits, the one between has the 32 high bits of both. */
STOA_KERNEL(reco_muon_decode, reco_muon_unpack)
{
    const tracker_muons_soa *out = &args->muons;
    STOA_FOR(i, grid, (uint32_t)((uint64_t)args->word_count * 2 / 3))
    {
        const uint64_t *words = args->words + (size_t)(i / 2) * 3;
        const uint64_t low = words[i % 2 * 2], high = words[1] >> (i % 2 * 32);
        out->pt[i] = 0.03125f * (float)(int32_t)reco_bits(low, 1, 16);
        out->phi[i] = MUON_ANGLE * (float)reco_signed_bits(low, 17, 13);
        out->eta[i] = MUON_ANGLE * (float)reco_signed_bits(low, 30, 14);
        out->z0[i] = 0.05f * (float)reco_signed_bits(low, 44, 10);
        out->d0[i] = 0.03f * (float)reco_signed_bits(low, 54, 10);
        out->charge[i] = reco_bits(high, 0, 1) ? -1 : 1;
        out->quality[i] = (uint8_t)reco_bits(high, 1, 8);
        out->isolation[i] = (uint8_t)reco_bits(high, 9, 4);
        out->beta[i] = 0.06f * (float)(int32_t)reco_bits(high, 13, 4);
    }
}

#ifndef __CUDACC__
static stoa_status check_unpack(const reco_scout_unpack *args, stoa_error *err)
{
    const uint64_t rows = args->slots > 0 ? (uint64_t)args->crossings * args->slots : args->candidates;
    RECO_NEED(err, "unpack", args->crossings_out.crossings);
    if (args->puppi.head.rows < rows)
        return STOA_FAIL(err, STOA_ESHAPE, "unpack: 'puppi' has %u rows, %llu needed", args->puppi.head.rows,
                         (unsigned long long)rows);
    if (args->crossings_out.head.rows <= args->crossings)
        return STOA_FAIL(err, STOA_ESHAPE, "unpack: 'crossings_out' has %u rows, %u crossings need one more",
                         args->crossings_out.head.rows, args->crossings);
    if (args->crossings == 0) return STOA_OK;
    RECO_NEED(err, "unpack", args->words);
    RECO_NEED(err, "unpack", args->header);
    if (rows > 0) RECO_NEED(err, "unpack", args->puppi.pt);
    return STOA_OK;
}

stoa_status reco_scout_unpack_enqueue(stoa_queue *queue, const reco_scout_unpack *args, stoa_error *err)
{
    RECO_NEED(err, "unpack", queue);
    RECO_NEED(err, "unpack", args);
    STOA_TRY(check_unpack(args, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_scout_lookup_kernel, args, err));
    const crossings_soa *out = &args->crossings_out;
    const stoa_scan scan = {out->offset, out->rows, out->head.rows, 1, out->offset};
    STOA_TRY(stoa_algo_scan(queue, &scan, err));
    return stoa_queue_launch(queue, args->slots > 0 ? &reco_scout_decode_padded_kernel : &reco_scout_decode_kernel, args, err);
}

stoa_status reco_muon_unpack_enqueue(stoa_queue *queue, const reco_muon_unpack *args, stoa_error *err)
{
    RECO_NEED(err, "unpack muons", queue);
    RECO_NEED(err, "unpack muons", args);
    const uint32_t muons = (uint32_t)((uint64_t)args->word_count * 2 / 3);
    if (muons == 0) return STOA_OK;
    RECO_NEED(err, "unpack muons", args->words);
    RECO_NEED(err, "unpack muons", args->muons.pt);
    if (args->muons.head.rows < muons)
        return STOA_FAIL(err, STOA_ESHAPE, "unpack muons: 'muons' has %u rows, %u words hold %u", args->muons.head.rows,
                         args->word_count, muons);
    return stoa_queue_launch(queue, &reco_muon_decode_kernel, args, err);
}
#endif
