/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/unpack.h"

#include "reco/check.h"
#ifdef __CUDACC__
#include "reco/scouting/decode.h"
#else
#include "reco/scouting/decode_forms.h"
#endif
#include "stoa/algo.h"

#include <float.h>

enum { ROW_BYTES = 6 * 4 + 2 + 1 };
#define LARGE_BYTES ((size_t)16 << 20) /* beyond what a core has of the last cache */

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
    STOA_FOR (i, grid, args->crossings) {
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

/* ---- Rows. ---- */

#ifdef __CUDACC__
enum { BLOCK = 1 }; /* rows of a worker at a time */
STOA_DEVICE void decode_rows(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches)
{
    (void)past_caches;
    decode_words(from, out, first, end);
}
#else
enum { BLOCK = 1 << 16 };
static void decode_rows(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches)
{
    const decode_form *form = decode_forms;
    while (!form->runs()) form++;
    form->decode(from, out, first, end, past_caches);
}
#endif

/* To whole lines of the caches, which columns that go past them have to be. */
STOA_DEVICE bool is_aligned(const puppi_soa *p)
{
    const uintptr_t all = (uintptr_t)p->pt | (uintptr_t)p->eta | (uintptr_t)p->phi | (uintptr_t)p->z0 | (uintptr_t)p->dxy |
                          (uintptr_t)p->puppiw | (uintptr_t)p->pdgid | (uintptr_t)p->quality;
    return all % 64 == 0;
}

/* Columns far larger than the caches go past them: a plain store would read each line before it writes it. */
STOA_KERNEL(reco_scout_decode, reco_scout_unpack)
{
    const word_source from = {args->words, args->header, args->crossings_out.offset, args->crossings};
    const bool past_caches = (size_t)args->candidates * ROW_BYTES > LARGE_BYTES && is_aligned(&args->puppi);
    STOA_FOR (block, grid, (args->candidates + BLOCK - 1) / BLOCK) {
        const uint32_t first = block * BLOCK, left = args->candidates - first;
        decode_rows(&from, &args->puppi, first, first + (left < BLOCK ? left : BLOCK), past_caches);
    }
}

/* ---- Padded form: the same number of rows for each crossing. ---- */

STOA_DEVICE void fill_unused(const puppi_soa *out, uint32_t first, uint32_t end)
{
    float *const columns[] = {out->pt, out->eta, out->phi, out->z0, out->dxy, out->puppiw};
    for (uint32_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (uint32_t i = first; i < end; i++) columns[c][i] = FLT_MAX;
    for (uint32_t i = first; i < end; i++) {
        out->pdgid[i] = INT16_MAX;
        out->quality[i] = UINT8_MAX;
    }
}

STOA_KERNEL(reco_scout_decode_padded, reco_scout_unpack)
{
    STOA_FOR (i, grid, args->crossings) {
        const uint32_t first = i * args->slots, count = args->crossings_out.count[i];
        const uint32_t offset[2] = {first, first + count};
        const word_source from = {args->words, args->header + i, offset, 1};
        decode_rows(&from, &args->puppi, first, first + count, false);
        fill_unused(&args->puppi, first + count, first + args->slots);
    }
}

/* ---- Tracker muons. ---- */

#define MUON_ANGLE ((float)(3.141592653589793 / 4096)) /* rad for one unit of phi and eta */

/* Two muons in three words: the outer words are their 64 low bits, the one between has the 32 high bits of both. */
STOA_KERNEL(reco_muon_decode, reco_muon_unpack)
{
    const tracker_muons_soa *out = &args->muons;
    STOA_FOR (i, grid, (uint32_t)((uint64_t)args->word_count * 2 / 3)) {
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
        return STOA_FAIL(err, STOA_ESHAPE, "unpack: 'puppi' has %u rows, %llu needed", args->puppi.head.rows, (unsigned long long)rows);
    if (args->crossings_out.head.rows <= args->crossings)
        return STOA_FAIL(err, STOA_ESHAPE, "unpack: 'crossings_out' has %u rows, %u crossings need one more", args->crossings_out.head.rows,
                         args->crossings);
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
    /* Columns that are written later; crossings without candidates go without. */
    uint32_t *scratch = args->puppi.head.rows < stoa_algo_scratch_words(out->head.rows) ? NULL : (uint32_t *)args->puppi.pdgid;
    const stoa_scan scan = {out->offset, out->rows, out->head.rows, 1, out->offset, scratch};
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
        return STOA_FAIL(err, STOA_ESHAPE, "unpack muons: 'muons' has %u rows, %u words hold %u", args->muons.head.rows, args->word_count,
                         muons);
    return stoa_queue_launch(queue, &reco_muon_decode_kernel, args, err);
}
#endif
