/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/frames.h"

#include "reco/scouting/words.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DTH_HEADER = 32, CMS_FILE_HEADER = 32, CMS_ORBIT_HEADER = 24, CMS_ORBIT_VERSION = 6 };
#define DTH_MAGIC 0x5a47u
#define CMS_MAGIC "RAW_0002"

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t load32(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }

static uint32_t load16(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }

/* ---- Bytes. ---- */

/* Let up to `want` bytes (at most a block) lie together at *data; fewer only at the end of the input. They stay unread
 * until `consume`. */
static stoa_status peek(scout_frames *f, size_t want, const uint8_t **data, size_t *got, stoa_error *err)
{
    if (f->data) {
        *data = f->data + f->at;
        *got = f->bytes - f->at < want ? f->bytes - f->at : want;
        return STOA_OK;
    }
    while (f->block_held < want) {
        const ssize_t count = read(f->fd, f->block + f->block_held, want - f->block_held);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "scouting stream: %s", strerror(errno));
        if (count == 0) break;
        f->block_held += (size_t)count;
    }
    *data = f->block;
    *got = f->block_held < want ? f->block_held : want;
    return STOA_OK;
}

/* The bytes stay in memory until the next peek: of a block that is consumed whole nothing is moved. */
static void consume(scout_frames *f, size_t bytes)
{
    f->at += bytes;
    if (f->data) return;
    f->block_held -= bytes;
    if (f->block_held > 0) memmove(f->block, f->block + bytes, f->block_held);
}

/* ---- DTHBasic256. ---- */

typedef struct dth_header {
    bool first, last, error;
    uint32_t payload_bytes, number;
    uint64_t event; /* the first event's header, repeated */
} dth_header;

static bool dth_parse(const uint8_t *at, dth_header *header)
{
    const uint64_t word = load64(at);
    if ((word & 0xffffu) != DTH_MAGIC) return false;
    *header = (dth_header){.first = reco_bits(word, 47, 1) != 0,
                           .last = reco_bits(word, 46, 1) != 0,
                           .error = reco_bits(word, 45, 1) != 0,
                           .payload_bytes = 32u * reco_bits(word, 48, 8),
                           .number = reco_bits(word, 16, 16),
                           .event = load64(at + 16)};
    return true;
}

/* After a header without magic: on by units of 32 bytes to one that has it and repeats an event header, as a
 * candidate's bits may look like the magic. False at the end. */
static stoa_status dth_search(scout_frames *f, bool *found, stoa_error *err)
{
    const uint8_t *data;
    size_t got;
    dth_header header;
    for (*found = false; !*found;) {
        consume(f, DTH_HEADER);
        STOA_TRY(peek(f, DTH_HEADER, &data, &got, err));
        if (got < DTH_HEADER) return STOA_OK;
        *found = dth_parse(data, &header) && reco_scout_kind(header.event) == RECO_SCOUT_EVENT;
    }
    return STOA_OK;
}

/* The order of blocks in an orbit: first and last flags, numbers. */
static void dth_order(scout_frames *f, const dth_header *header, scout_chunk *chunk, uint32_t *faults)
{
    chunk->begins = header->first || !f->open;
    if (header->first && f->open) faults[RECO_SCOUT_FAULT_MISSING_LAST]++;
    if (!header->first && !f->open) faults[RECO_SCOUT_FAULT_MISSING_FIRST]++;
    if (!chunk->begins && header->number != ((f->block_number + 1u) & 0xffffu)) {
        faults[RECO_SCOUT_FAULT_BLOCK_ORDER]++;
        chunk->gap = true;
    }
    if (header->error) faults[RECO_SCOUT_FAULT_BLOCK_ERROR]++;
    if (!header->last && header->payload_bytes < 255 * 32) faults[RECO_SCOUT_FAULT_SHORT_BLOCK]++;
    chunk->ends = header->last;
    chunk->has_orbit = reco_scout_kind(header->event) == RECO_SCOUT_EVENT;
    chunk->orbit = reco_scout_orbit(header->event);
    f->open = !header->last;
    f->block_number = header->number;
}

static stoa_status dth_next(scout_frames *f, scout_chunk *chunk, uint32_t *faults, bool *more, stoa_error *err)
{
    const uint8_t *data;
    size_t got;
    dth_header header = {0};
    STOA_TRY(peek(f, DTH_HEADER, &data, &got, err));
    if (got == DTH_HEADER && !dth_parse(data, &header)) {
        bool found;
        faults[RECO_SCOUT_FAULT_BAD_MAGIC]++;
        chunk->gap = true;
        STOA_TRY(dth_search(f, &found, err));
        STOA_TRY(peek(f, DTH_HEADER, &data, &got, err));
        if (found) (void)dth_parse(data, &header);
    }
    *more = got == DTH_HEADER;
    if (!*more) {
        if (got > 0 || f->open) faults[RECO_SCOUT_FAULT_CUT]++;
        f->open = false;
        consume(f, got);
        return STOA_OK;
    }
    dth_order(f, &header, chunk, faults);
    STOA_TRY(peek(f, DTH_HEADER + header.payload_bytes, &data, &got, err));
    if (got < DTH_HEADER + header.payload_bytes) {
        faults[RECO_SCOUT_FAULT_CUT]++;
        chunk->ends = true;
        f->open = false;
    }
    chunk->words = (const uint64_t *)(const void *)(data + DTH_HEADER);
    chunk->count = (got - DTH_HEADER) / sizeof(uint64_t);
    consume(f, got);
    return STOA_OK;
}

/* ---- CMSSW's raw file. ---- */

static bool cms_is_orbit(const scout_frames *f, size_t at)
{ return f->bytes - at >= CMS_ORBIT_HEADER && load16(f->data + at) == CMS_ORBIT_VERSION && load32(f->data + at + 4) == f->run; }

/* The next orbit's header behind `at`, or the end. Headers and words alike lie 8 bytes apart, or a multiple. */
static size_t cms_search(const scout_frames *f, size_t at)
{
    do at = f->bytes - at > 8 ? at + 8 : f->bytes;
    while (at < f->bytes && !cms_is_orbit(f, at));
    return at;
}

static stoa_status cms_next(scout_frames *f, scout_chunk *chunk, uint32_t *faults, bool *more, stoa_error *err)
{
    (void)err;
    if (f->at < f->bytes && !cms_is_orbit(f, f->at)) {
        const bool cut = f->bytes - f->at < CMS_ORBIT_HEADER;
        faults[cut ? RECO_SCOUT_FAULT_CUT : RECO_SCOUT_FAULT_BAD_MAGIC]++;
        f->at = cms_search(f, f->at);
    }
    *more = f->at < f->bytes;
    if (!*more) return STOA_OK;
    const uint8_t *header = f->data + f->at;
    const size_t left = f->bytes - f->at - CMS_ORBIT_HEADER;
    size_t payload = load32(header + 16);
    if (payload > left) { /* the file is cut, or the size is wrong and others follow */
        faults[RECO_SCOUT_FAULT_CUT]++;
        payload = cms_search(f, f->at + CMS_ORBIT_HEADER - 8) - f->at - CMS_ORBIT_HEADER;
    } else if (payload % sizeof(uint64_t) != 0) {
        faults[RECO_SCOUT_FAULT_SHORT_BLOCK]++;
        payload -= payload % sizeof(uint64_t); /* what follows is looked for where it can be */
    }
    *chunk = (scout_chunk){.words = (const uint64_t *)(const void *)(header + CMS_ORBIT_HEADER),
                           .count = payload / sizeof(uint64_t),
                           .begins = true,
                           .ends = true,
                           .has_orbit = true,
                           .orbit = load32(header + 12)};
    f->at += CMS_ORBIT_HEADER + payload;
    return STOA_OK;
}

static stoa_status cms_begin(scout_frames *f, const char *what, stoa_error *err)
{
    const size_t header_bytes = f->bytes >= CMS_FILE_HEADER ? load16(f->data + 8) : 0;
    if (header_bytes < CMS_FILE_HEADER || header_bytes > f->bytes)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: file header of %zu bytes in a file of %zu, at least %d needed", what, header_bytes,
                         f->bytes, CMS_FILE_HEADER);
    f->run = load32(f->data + 16);
    f->at = header_bytes;
    return STOA_OK;
}

/* ---- Native64: all words are payload. ---- */

static void native_next(scout_frames *f, scout_chunk *chunk, uint32_t *faults, bool *more)
{
    *more = f->at < f->bytes;
    if (!*more) return;
    *chunk = (scout_chunk){.words = (const uint64_t *)(const void *)(f->data + f->at),
                           .count = (f->bytes - f->at) / sizeof(uint64_t),
                           .begins = true,
                           .ends = true};
    if ((f->bytes - f->at) % sizeof(uint64_t) != 0) faults[RECO_SCOUT_FAULT_CUT]++;
    f->at = f->bytes;
}

/* ---- All. ---- */

static bool looks_like(const scout_frames *f, reco_scout_format format)
{
    size_t at = 0;
    switch (format) {
    case RECO_SCOUT_CMSRAW: return f->bytes >= 8 && !memcmp(f->data, CMS_MAGIC, 8);
    case RECO_SCOUT_DTH256: return f->bytes >= DTH_HEADER && load16(f->data) == DTH_MAGIC;
    case RECO_SCOUT_NATIVE64:
        while (f->bytes - at >= 8 && load64(f->data + at) == 0) at += 8;
        return f->bytes - at < 8 || (reco_scout_kind(load64(f->data + at)) & 2u) != 0;
    case RECO_SCOUT_ANY: break;
    }
    return false;
}

stoa_status scout_frames_begin(scout_frames *f, const char *what, stoa_error *err)
{
    static const reco_scout_format known[] = {RECO_SCOUT_CMSRAW, RECO_SCOUT_DTH256, RECO_SCOUT_NATIVE64};
    for (size_t i = 0; f->format == RECO_SCOUT_ANY && i < sizeof known / sizeof *known; i++)
        if (looks_like(f, known[i])) f->format = known[i];
    if (f->format == RECO_SCOUT_ANY)
        return STOA_FAIL(err, STOA_EFORMAT,
                         "%s: begins with 0x%016llx: not a CMSSW raw file, a DTH block or an event header; name the format", what,
                         f->bytes >= 8 ? (unsigned long long)load64(f->data) : 0ull);
    return f->format == RECO_SCOUT_CMSRAW ? cms_begin(f, what, err) : STOA_OK;
}

stoa_status scout_frames_next(scout_frames *f, scout_chunk *chunk, uint32_t *faults, bool *more, stoa_error *err)
{
    *chunk = (scout_chunk){0};
    *more = false;
    switch (f->format) {
    case RECO_SCOUT_DTH256: return dth_next(f, chunk, faults, more, err);
    case RECO_SCOUT_CMSRAW: STOA_TRY(cms_next(f, chunk, faults, more, err)); break;
    case RECO_SCOUT_NATIVE64: native_next(f, chunk, faults, more); break;
    case RECO_SCOUT_ANY: return STOA_OK;
    }
    chunk->in_place = (uintptr_t)chunk->words % sizeof(uint64_t) == 0;
    return STOA_OK;
}
