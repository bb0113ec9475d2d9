/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/unpack.h"

#include "reco/check.h"
#include "reco/scouting/words.h"
#include "reco/vector_levels.h"
#include "stoa/algo.h"

#include <float.h>
#include <string.h>
#if defined(__SSE2__) && !defined(__CUDACC__)
#include <emmintrin.h>
#endif

enum { ROW_BYTES = 6 * 4 + 2 + 1 };
#define LARGE_BYTES ((size_t)16 << 20) /* beyond what a core has of the last cache */

/* Words that a worker decodes together: on the host several at once, a vector of the compiler's each, on a GPU each thread has one
 * candidate. Comparisons of vectors and of numbers give different truths, so that masks are made of bits. */
#if defined(__GNUC__) && !defined(__CUDACC__)
enum { LANES = 16, BLOCK = 512 };
typedef uint64_t words64 __attribute__((vector_size(128)));
typedef uint32_t lanes32 __attribute__((vector_size(64)));
typedef int32_t signed32 __attribute__((vector_size(64)));
typedef float reals __attribute__((vector_size(64)));
typedef int16_t kinds __attribute__((vector_size(32)));
typedef uint8_t qualities __attribute__((vector_size(16)));
#define CONVERT(x, type) __builtin_convertvector((x), type)
#else
enum { LANES = 1, BLOCK = 1 };
typedef uint64_t words64;
typedef uint32_t lanes32;
typedef int32_t signed32;
typedef float reals;
typedef int16_t kinds;
typedef uint8_t qualities;
#define CONVERT(x, type) ((type)(x))
#endif

/* Fields as numbers; every one lies in one half of the word but phi, which lies across. */
#define FIELD(half, first, width) ((signed32)(((half) >> (first)) & ((1u << (width)) - 1u)))
#define SIGNED_FIELD(half, first, width) ((signed32)((half) << (32 - (first) - (width))) >> (32 - (width)))
#define PUT(column, row, value) memcpy((column) + (row), &(value), sizeof(value))

STOA_DEVICE void decode_kinematics(const words64 *words, const puppi_soa *out, uint32_t row)
{
    const lanes32 low = CONVERT(*words, lanes32), middle = CONVERT(*words >> 26, lanes32);
    const reals pt = 0.25f * CONVERT(FIELD(low, 0, 14), reals);
    const reals eta = RECO_SCOUT_ANGLE * CONVERT(SIGNED_FIELD(low, 14, 12), reals);
    const reals phi = RECO_SCOUT_ANGLE * CONVERT(SIGNED_FIELD(middle, 0, 11), reals);
    PUT(out->pt, row, pt);
    PUT(out->eta, row, eta);
    PUT(out->phi, row, phi);
}

/* Charged and neutral candidates use the same bits differently: both are decoded, a mask takes one. Charged are those whose
 * particle has one of the upper bits, leptons those with the highest. The particle number comes from four bytes for each
 * half of the particles, 130, 22, 211, 211 and 11, 11, 13, 13; it is negative for particles 2, 5 and 7. */
STOA_DEVICE void decode_particle(const words64 *words, const puppi_soa *out, uint32_t row)
{
    const lanes32 high = CONVERT(*words >> 32, lanes32);
    const signed32 pid = FIELD(high, 5, 3), lepton = -(pid >> 2), charged = -((pid >> 2 | pid >> 1) & 1);
    const reals z0 = 0.05f * CONVERT(SIGNED_FIELD(high, 8, 10) & charged, reals);
    const reals dxy = 0.05f * CONVERT(SIGNED_FIELD(high, 18, 8) & charged, reals);
    const reals puppiw = 0x1p-8f * CONVERT((FIELD(high, 8, 10) & ~charged) | (256 & charged), reals);
    const lanes32 sizes = 0xd3d31682u ^ ((lanes32)lepton & (0xd3d31682u ^ 0x0d0d0b0bu));
    const signed32 size = (signed32)(sizes >> (lanes32)((pid & 3) << 3) & 255u), negative = -(signed32)(0xa4u >> (lanes32)pid & 1u);
    const kinds pdgid = CONVERT((size ^ negative) - negative, kinds);
    const qualities quality = CONVERT((FIELD(high, 26, 3) & charged) | (FIELD(high, 18, 6) & ~charged), qualities);
    PUT(out->z0, row, z0);
    PUT(out->dxy, row, dxy);
    PUT(out->puppiw, row, puppiw);
    PUT(out->pdgid, row, pdgid);
    PUT(out->quality, row, quality);
}

/* Whole vectors: up to LANES - 1 words behind the last are read, and as many rows written. */
RECO_VECTOR_LEVELS void decode(const uint64_t *words, uint32_t n, const puppi_soa *out, uint32_t row)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        words64 together;
        memcpy(&together, words + i, sizeof together);
        decode_kinematics(&together, out, row + i);
        decode_particle(&together, out, row + i);
    }
}

/* A few words are copied in whole vectors, too, where so many may be read: a call for each crossing costs more. */
RECO_VECTOR_LEVELS void lay_behind(uint64_t *to, const uint64_t *from, uint32_t n, size_t readable)
{
    if (n + LANES > readable) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    for (uint32_t i = 0; i < n; i += LANES) memcpy(to + i, from + i, sizeof(words64));
}

/* ---- Blocks of rows. ---- */

/* A block's words end to end, and its rows before they go out: room for what whole vectors write behind them. */
typedef struct staging {
    uint64_t words[BLOCK + LANES];
    float real[6][BLOCK + LANES];
    int16_t pdgid[BLOCK + LANES];
    uint8_t quality[BLOCK + LANES];
} staging;

STOA_DEVICE puppi_soa staged(staging *s)
{
    puppi_soa out;
    memset(&out, 0, sizeof out);
    out.pt = s->real[0];
    out.eta = s->real[1];
    out.phi = s->real[2];
    out.z0 = s->real[3];
    out.dxy = s->real[4];
    out.puppiw = s->real[5];
    out.pdgid = s->pdgid;
    out.quality = s->quality;
    return out;
}

/* Columns far larger than the caches go past them: a plain store would read each line before it writes it. */
STOA_DEVICE void put_column(void *to, const void *from, size_t bytes, bool past_caches)
{
    size_t at = 0;
#if defined(__SSE2__) && !defined(__CUDACC__)
    if (past_caches && (uintptr_t)to % sizeof(__m128i) == 0)
        for (; at + sizeof(__m128i) <= bytes; at += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(void *)((char *)to + at),
                             _mm_loadu_si128((const __m128i *)(const void *)((const char *)from + at)));
#else
    (void)past_caches;
#endif
    memcpy((char *)to + at, (const char *)from + at, bytes - at);
}

/* Such stores are not in order with others: before another thread is told, they have to be done. */
STOA_DEVICE void end_past_caches(void)
{
#if defined(__SSE2__) && !defined(__CUDACC__)
    _mm_sfence();
#endif
}

STOA_DEVICE void put_rows(const staging *s, uint32_t n, const puppi_soa *out, uint32_t row, bool past_caches)
{
    float *const columns[] = {out->pt, out->eta, out->phi, out->z0, out->dxy, out->puppiw};
    for (uint32_t c = 0; c < sizeof columns / sizeof *columns; c++)
        put_column(columns[c] + row, s->real[c], n * sizeof(float), past_caches);
    put_column(out->pdgid + row, s->pdgid, n * sizeof *s->pdgid, past_caches);
    put_column(out->quality + row, s->quality, n * sizeof *s->quality, past_caches);
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

/* The crossing of a candidate: the last one that begins at or before it and is not empty. */
STOA_DEVICE uint32_t find_crossing(const uint32_t *offset, uint32_t crossings, uint32_t candidate)
{
    uint32_t low = 0, high = crossings;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (offset[middle] <= candidate) low = middle;
        else high = middle;
    }
    return low;
}

/* The words of rows [first, first + n), crossing by crossing. */
STOA_DEVICE void gather_words(const reco_scout_unpack *args, uint32_t first, uint32_t n, uint64_t *to)
{
    const uint32_t *offset = args->crossings_out.offset, last = args->crossings - 1;
    const size_t end = args->header[last] + (size_t)args->crossings_out.count[last] + 1; /* of all words, at least */
    uint32_t crossing = find_crossing(offset, args->crossings, first);
    for (uint32_t done = 0; done < n; crossing++) {
        const uint32_t skip = first + done - offset[crossing], have = offset[crossing + 1] - offset[crossing] - skip;
        const uint32_t take = have < n - done ? have : n - done;
        const size_t word = (size_t)args->header[crossing] + 1 + skip;
        lay_behind(to + done, args->words + word, take, word < end ? end - word : 0);
        done += take;
    }
}

/* What whole vectors write behind a block is the next block's, and written by it later. The last block has none behind it, and large
 * columns go out in whole lines: those are staged. A GPU's blocks are single rows. */
STOA_KERNEL(reco_scout_decode, reco_scout_unpack)
{
    const bool is_large = LANES > 1 && (size_t)args->candidates * ROW_BYTES > LARGE_BYTES;
    STOA_FOR (block, grid, (args->candidates + BLOCK - 1) / BLOCK) {
        staging s;
        const uint32_t first = block * BLOCK, left = args->candidates - first, n = left < BLOCK ? left : BLOCK;
        const bool is_staged = LANES > 1 && (is_large || n + LANES > left);
        const puppi_soa rows = is_staged ? staged(&s) : args->puppi;
        gather_words(args, first, n, s.words);
        decode(s.words, n, &rows, is_staged ? 0 : first);
        if (is_staged) put_rows(&s, n, &args->puppi, first, is_large);
    }
    if (is_large) end_past_caches();
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
        for (uint32_t done = 0; done < count; done += BLOCK) {
            staging s;
            const puppi_soa rows = staged(&s);
            const uint32_t left = count - done, n = left < BLOCK ? left : BLOCK;
            memcpy(s.words, args->words + args->header[i] + 1 + done, n * sizeof *s.words);
            decode(s.words, n, &rows, 0);
            put_rows(&s, n, &args->puppi, first + done, false);
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
        return STOA_FAIL(err, STOA_ESHAPE, "unpack muons: 'muons' has %u rows, %u words hold %u", args->muons.head.rows, args->word_count,
                         muons);
    return stoa_queue_launch(queue, &reco_muon_decode_kernel, args, err);
}
#endif
