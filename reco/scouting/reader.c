/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/reader.h"

#include "reco/check.h"
#include "reco/scouting/frames.h"
#include "reco/scouting/words.h"
#include "stoa/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Words of blocks that are read but not yet part of a batch: an event of any length, and a block. */
enum { TAIL_WORDS = 8192 };
/* Mapped pages behind the reader are given back in pieces of this size: memory does not grow with the file. */
#define DROP_BYTES ((size_t)32 << 20)
#define LOST_ORBITS_MAX 65536u /* a larger jump of the orbit number is a wrong number, not a loss */

struct reco_scout_reader {
    reco_scout_options options;
    scout_frames frames;
    scout_chunk chunk;
    bool has_chunk;
    size_t chunk_at; /* words of the chunk that are taken */
    uint32_t tail_count;
    uint64_t tail[TAIL_WORDS];
    /* The orbit that is being read. */
    bool is_open, knows_orbit, had_orbit;
    uint32_t orbit, part, last_bx;
    /* What was mapped. */
    size_t mapped_bytes, dropped_bytes;
    int file;
};

/* ---- Set-up. ---- */

static const char *const format_names[] = {NULL, "native64", "dth256", "cmsraw"};

const char *reco_scout_format_name(reco_scout_format format)
{ return (uint32_t)format < sizeof format_names / sizeof *format_names ? format_names[format] : NULL; }

stoa_status reco_scout_format_find(const char *name, reco_scout_format *format, stoa_error *err)
{
    RECO_NEED(err, "scouting format", name);
    for (int k = RECO_SCOUT_NATIVE64; k <= RECO_SCOUT_CMSRAW; k++) {
        *format = (reco_scout_format)k;
        if (!strcmp(format_names[k], name)) return STOA_OK;
    }
    *format = RECO_SCOUT_ANY;
    return STOA_FAIL(err, STOA_ENAME, "format '%s', one of native64, dth256, cmsraw needed", name);
}

const char *reco_scout_fault_name(uint32_t fault)
{
    static const char *const names[] = {
#define FAULT_NAME(name, text, doc) text,
        RECO_SCOUT_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
    };
    return fault < RECO_SCOUT_FAULT_COUNT_ ? names[fault] : NULL;
}

static stoa_status make_reader(const reco_scout_options *options, reco_scout_reader **reader, stoa_error *err)
{
    static const reco_scout_options defaults = RECO_SCOUT_OPTIONS_INIT;
    RECO_NEED(err, "scouting reader", reader);
    *reader = NULL;
    if (!options) options = &defaults;
    if (options->struct_size != sizeof *options)
        return STOA_FAIL(err, STOA_EINVAL, "scouting reader: options of %u bytes, %zu needed", options->struct_size, sizeof *options);
    if (options->crossings_max < 1 || options->candidates_max < RECO_SCOUT_COUNT_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "scouting reader: batches of %u crossings and %u candidates, at least 1 and %u needed",
                         options->crossings_max, options->candidates_max, RECO_SCOUT_COUNT_MAX);
    if (options->crossings_max > RECO_SCOUT_CROSSINGS_MAX || options->candidates_max > 1u << 28)
        return STOA_FAIL(err, STOA_ELIMIT, "scouting reader: batches of %u crossings and %u candidates, at most 2^24 and 2^28",
                         options->crossings_max, options->candidates_max);
    reco_scout_reader *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "scouting reader: %zu bytes", sizeof *made);
    made->options = *options;
    made->frames.format = options->format;
    made->frames.fd = made->file = -1;
    *reader = made;
    return STOA_OK;
}

static stoa_status map_file(reco_scout_reader *r, const char *path, stoa_error *err)
{
    struct stat info;
    r->file = open(path, O_RDONLY | O_CLOEXEC);
    if (r->file < 0 || fstat(r->file, &info) != 0)
        return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return STOA_FAIL(err, STOA_EIO, "'%s': not a regular file", path);
    static const uint8_t nothing[1];
    r->frames.bytes = (size_t)info.st_size;
    r->frames.data = nothing;
    if (info.st_size == 0) return STOA_OK;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, r->file, 0);
    if (data == MAP_FAILED) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno));
    (void)madvise(data, (size_t)info.st_size, MADV_SEQUENTIAL);
    r->frames.data = data;
    r->mapped_bytes = (size_t)info.st_size;
    return STOA_OK;
}

/* Hand a reader over, or take it down when the set-up failed. */
static stoa_status finish_reader(reco_scout_reader **reader, stoa_status status)
{
    if (status == STOA_OK) return STOA_OK;
    reco_scout_destroy(*reader);
    *reader = NULL;
    return status;
}

stoa_status reco_scout_open(const char *path, const reco_scout_options *options, reco_scout_reader **reader, stoa_error *err)
{
    RECO_NEED(err, "scouting reader", path);
    STOA_TRY(make_reader(options, reader, err));
    stoa_status status = map_file(*reader, path, err);
    if (status == STOA_OK) status = scout_frames_begin(&(*reader)->frames, path, err);
    return finish_reader(reader, status);
}

stoa_status reco_scout_open_memory(const void *data, size_t bytes, const reco_scout_options *options, reco_scout_reader **reader,
                                   stoa_error *err)
{
    RECO_NEED(err, "scouting reader", data);
    STOA_TRY(make_reader(options, reader, err));
    (*reader)->frames.data = data;
    (*reader)->frames.bytes = bytes;
    return finish_reader(reader, scout_frames_begin(&(*reader)->frames, "memory", err));
}

stoa_status reco_scout_attach(int fd, const reco_scout_options *options, reco_scout_reader **reader, stoa_error *err)
{
    if (fd < 0) return STOA_FAIL(err, STOA_EINVAL, "scouting stream: descriptor %d", fd);
    if (options && options->format != RECO_SCOUT_ANY && options->format != RECO_SCOUT_DTH256)
        return STOA_FAIL(err, STOA_ENOTSUP, "scouting stream: format %s, only dth256 has frames that can be read from a stream",
                         reco_scout_format_name(options->format));
    STOA_TRY(make_reader(options, reader, err));
    scout_frames *frames = &(*reader)->frames;
    frames->format = RECO_SCOUT_DTH256;
    frames->fd = fd;
    frames->block = stoa_alloc(SCOUT_BLOCK_BYTES, 64);
    return finish_reader(reader, frames->block
                                     ? STOA_OK
                                     : STOA_FAIL(err, STOA_ENOMEM, "scouting stream: %u bytes for a block", (unsigned)SCOUT_BLOCK_BYTES));
}

void reco_scout_destroy(reco_scout_reader *reader)
{
    if (!reader) return;
    if (reader->mapped_bytes > 0) {
        union {
            const uint8_t *data;
            void *map;
        } mapped = {reader->frames.data};
        (void)munmap(mapped.map, reader->mapped_bytes);
    }
    if (reader->file >= 0) (void)close(reader->file);
    stoa_free(reader->frames.block, SCOUT_BLOCK_BYTES);
    stoa_free(reader, sizeof *reader);
}

const reco_scout_options *reco_scout_options_of(const reco_scout_reader *reader) { return &reader->options; }

reco_scout_format reco_scout_format_of(const reco_scout_reader *reader) { return reader->frames.format; }

static uint32_t words_of(const reco_scout_options *o) { return o->crossings_max + o->candidates_max + TAIL_WORDS; }

size_t reco_scout_batch_bytes(const reco_scout_reader *reader)
{ return words_of(&reader->options) * sizeof(uint64_t) + reader->options.crossings_max * sizeof(uint32_t); }

static stoa_status make_batch(const reco_scout_reader *reader, void *memory, bool is_guest, reco_scout_batch **batch, stoa_error *err)
{
    const reco_scout_options *o = &reader->options;
    reco_scout_batch *made = memory ? stoa_calloc(1, sizeof *made) : NULL;
    if (!made)
        return STOA_FAIL(err, STOA_ENOMEM, "scouting batch of %u crossings and %u candidates: %zu bytes", o->crossings_max,
                         o->candidates_max, memory ? sizeof *made : reco_scout_batch_bytes(reader));
    made->memory = memory;
    made->memory_words = words_of(o);
    made->header_memory = (uint32_t *)(void *)(made->memory + made->memory_words);
    made->header_capacity = o->crossings_max;
    made->is_guest = is_guest;
    *batch = made;
    return STOA_OK;
}

stoa_status reco_scout_batch_create(const reco_scout_reader *reader, reco_scout_batch **batch, stoa_error *err)
{
    const size_t bytes = reco_scout_batch_bytes(reader);
    void *memory = stoa_alloc(bytes, 64);
    *batch = NULL;
    const stoa_status status = make_batch(reader, memory, false, batch, err);
    if (status != STOA_OK) stoa_free(memory, bytes);
    return status;
}

stoa_status reco_scout_batch_create_in(const reco_scout_reader *reader, void *memory, size_t bytes, reco_scout_batch **batch,
                                       stoa_error *err)
{
    *batch = NULL;
    if (!memory) return STOA_FAIL(err, STOA_EINVAL, "scouting batch: memory is NULL");
    if (bytes < reco_scout_batch_bytes(reader))
        return STOA_FAIL(err, STOA_ESHAPE, "scouting batch: %zu bytes given, %zu needed", bytes, reco_scout_batch_bytes(reader));
    if ((uintptr_t)memory % 64 != 0) return STOA_FAIL(err, STOA_EALIGN, "scouting batch: memory at %p, alignment 64 needed", memory);
    return make_batch(reader, memory, true, batch, err);
}

void reco_scout_batch_destroy(reco_scout_batch *batch)
{
    if (!batch) return;
    if (!batch->is_guest) stoa_free(batch->memory, batch->memory_words * sizeof(uint64_t) + batch->header_capacity * sizeof(uint32_t));
    stoa_free(batch, sizeof *batch);
}

/* ---- Words to events. ---- */

typedef enum stop {
    STOP_END,  /* all words are used, or the last event's are not all there */
    STOP_FULL, /* the next event has no room */
    STOP_ORBIT /* the next event is of another orbit */
} stop;

/* The first word with bit 63 set, as headers and no candidates have; `end` without one. */
static uint32_t next_header(const uint64_t *words, uint32_t at, uint32_t end)
{
    while (at < end && words[at] >> 63 == 0) at++;
    return at;
}

/* No branch a word: the compiler makes it a vector loop. */
static bool has_header(const uint64_t *words, uint32_t count)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < count; i++) any |= words[i];
    return any >> 63 != 0;
}

static void know_orbit(reco_scout_reader *r, reco_scout_batch *batch, uint32_t orbit)
{
    const uint32_t step = orbit - r->orbit;
    if (r->had_orbit && step > 1 && step < LOST_ORBITS_MAX) batch->faults[RECO_SCOUT_FAULT_LOST_ORBIT] += step - 1;
    r->knows_orbit = r->had_orbit = true;
    r->orbit = batch->orbit = orbit;
}

/* What is wrong with an event that is all there; COUNT_ for nothing. */
static reco_scout_fault judge(const reco_scout_reader *r, uint64_t header)
{
    if (reco_scout_is_bad(header)) return RECO_SCOUT_FAULT_EVENT_ERROR;
    if (reco_scout_bx(header) > RECO_SCOUT_BX_MAX) return RECO_SCOUT_FAULT_BX_RANGE;
    if (r->knows_orbit && reco_scout_orbit(header) != r->orbit) return RECO_SCOUT_FAULT_WRONG_ORBIT;
    return RECO_SCOUT_FAULT_COUNT_;
}

/* Take events from words[*at .. end) into the batch, until one of the stops. `whole`: no more words follow. */
static stop take_events(reco_scout_reader *r, reco_scout_batch *batch, const uint64_t *words, uint32_t *at, uint32_t end, bool whole)
{
    uint32_t *faults = batch->faults;
    while (*at < end) {
        const uint64_t header = words[*at];
        const uint32_t count = reco_scout_count(header), left = end - *at - 1u;
        if (reco_scout_kind(header) != RECO_SCOUT_EVENT) {
            const bool truncated = reco_scout_kind(header) == RECO_SCOUT_TRUNCATED_ORBIT;
            faults[header == 0 ? RECO_SCOUT_FAULT_ZERO : truncated ? RECO_SCOUT_FAULT_TRUNCATED : RECO_SCOUT_FAULT_STRAY]++;
            ++*at;
            continue;
        }
        if (count > left && !whole) return STOP_END;
        if (count > left || has_header(words + *at + 1, count)) {
            faults[RECO_SCOUT_FAULT_COUNT]++;
            *at = next_header(words, *at + 1, end);
            continue;
        }
        if (r->frames.format == RECO_SCOUT_NATIVE64 && r->knows_orbit && reco_scout_orbit(header) != r->orbit) return STOP_ORBIT;
        const reco_scout_fault fault = judge(r, header);
        if (fault != RECO_SCOUT_FAULT_COUNT_) {
            faults[fault]++;
            *at += 1u + count;
            continue;
        }
        if (batch->crossings == r->options.crossings_max || batch->candidates + count > r->options.candidates_max) return STOP_FULL;
        if (!r->knows_orbit) know_orbit(r, batch, reco_scout_orbit(header));
        if (reco_scout_bx(header) < r->last_bx) faults[RECO_SCOUT_FAULT_BX_ORDER]++;
        r->last_bx = reco_scout_bx(header);
        batch->header_memory[batch->crossings++] = *at;
        batch->candidates += count;
        *at += 1u + count;
    }
    return STOP_END;
}

/* ---- Chunks to batches. ---- */

static void begin_orbit(reco_scout_reader *r, reco_scout_batch *batch)
{
    r->is_open = true;
    r->knows_orbit = false;
    r->part = r->last_bx = 0;
    batch->part = 0;
    if (r->chunk.has_orbit) know_orbit(r, batch, r->chunk.orbit);
}

/* The batch is done; the part that ends an orbit closes it. */
static void end_part(reco_scout_reader *r, reco_scout_batch *batch, bool is_last)
{
    batch->is_last_part = is_last;
    r->part++;
    if (is_last) r->is_open = false;
}

/* Events where they lie: one chunk fills at least one batch. As many words as one put together may have, for a guest's batch is. */
static void read_in_place(reco_scout_reader *r, reco_scout_batch *batch)
{
    const size_t left = r->chunk.count - r->chunk_at;
    const uint32_t end = left < batch->memory_words ? (uint32_t)left : batch->memory_words;
    uint32_t at = 0;
    batch->words = r->chunk.words + r->chunk_at;
    const stop why = take_events(r, batch, batch->words, &at, end, end == left);
    r->chunk_at += batch->word_count = at;
    if (batch->is_guest) {
        memcpy(batch->memory, batch->words, at * sizeof *batch->memory);
        batch->words = batch->memory;
    }
    if (why == STOP_END && end == left) r->has_chunk = false;
    end_part(r, batch, why == STOP_ORBIT || !r->has_chunk);
}

/* Append what fits of the chunk, and take the events that are complete. False: the batch goes on in the next chunk. */
static bool read_assembled(reco_scout_reader *r, reco_scout_batch *batch, uint32_t *at)
{
    uint32_t *used = &batch->word_count;
    if (r->chunk.gap && r->chunk_at == 0) {
        batch->faults[RECO_SCOUT_FAULT_COUNT] += *at < *used;
        *at = *used;
        r->chunk.gap = false;
    }
    size_t take = r->chunk.count - r->chunk_at;
    const size_t held = *used - *at, room = batch->memory_words - *used;
    if (take > TAIL_WORDS - held) take = TAIL_WORDS - held;
    if (take > room) take = room;
    if (take > 0) memcpy(batch->memory + *used, (const uint8_t *)r->chunk.words + r->chunk_at * sizeof(uint64_t), take * sizeof(uint64_t));
    *used += (uint32_t)take;
    r->chunk_at += take;
    const bool all = r->chunk_at == r->chunk.count;
    const stop why = take_events(r, batch, batch->memory, at, *used, all && r->chunk.ends);
    if (why == STOP_END && !all && room > take) return false;
    if (why == STOP_END && all) {
        r->has_chunk = false;
        if (!r->chunk.ends) return false;
    }
    r->tail_count = *used - *at;
    memcpy(r->tail, batch->memory + *at, r->tail_count * sizeof(uint64_t));
    *used = *at;
    end_part(r, batch, why == STOP_ORBIT || (why == STOP_END && all));
    return true;
}

/* Pages that are read are given back; a batch in flight that needs one faults it in again. */
static void drop_pages(reco_scout_reader *r)
{
    if (r->mapped_bytes == 0) return;
    const uint8_t *reached = r->has_chunk ? (const uint8_t *)(r->chunk.words + r->chunk_at) : r->frames.data + r->frames.at;
    const size_t behind = (size_t)(reached - r->frames.data) / DROP_BYTES * DROP_BYTES;
    if (behind <= r->dropped_bytes) return;
    union {
        const uint8_t *data;
        void *map;
    } from = {r->frames.data + r->dropped_bytes};
    (void)madvise(from.map, behind - r->dropped_bytes, MADV_DONTNEED);
    r->dropped_bytes = behind;
}

static void reset_batch(const reco_scout_reader *r, reco_scout_batch *batch)
{
    const reco_scout_batch room = *batch;
    *batch = (reco_scout_batch){.words = room.memory,
                                .header = room.header_memory,
                                .orbit = r->orbit,
                                .part = r->part,
                                .memory = room.memory,
                                .header_memory = room.header_memory,
                                .memory_words = room.memory_words,
                                .header_capacity = room.header_capacity,
                                .is_guest = room.is_guest};
}

/* The end of the input: words that are left belong to an event that was cut. */
static bool end_input(reco_scout_reader *r, reco_scout_batch *batch, uint32_t at)
{
    uint32_t faults = 0;
    batch->faults[RECO_SCOUT_FAULT_COUNT] += at < batch->word_count;
    for (uint32_t k = 0; k < RECO_SCOUT_FAULT_COUNT_; k++) faults += batch->faults[k];
    const bool is_empty = !r->is_open && faults == 0;
    batch->word_count = at;
    end_part(r, batch, true);
    return !is_empty;
}

stoa_status reco_scout_read(reco_scout_reader *reader, reco_scout_batch *batch, bool *more, stoa_error *err)
{
    uint32_t at = 0;
    *more = true;
    reset_batch(reader, batch);
    batch->word_count = reader->tail_count;
    memcpy(batch->memory, reader->tail, reader->tail_count * sizeof(uint64_t));
    reader->tail_count = 0;
    if (reader->has_chunk && !reader->is_open) begin_orbit(reader, batch);
    for (;;) {
        if (!reader->has_chunk) {
            STOA_TRY(scout_frames_next(&reader->frames, &reader->chunk, batch->faults, more, err));
            if (!*more) {
                *more = end_input(reader, batch, at);
                return STOA_OK;
            }
            reader->has_chunk = true;
            reader->chunk_at = 0;
            if (reader->chunk.begins && reader->is_open) { /* the orbit before was not ended: this chunk waits */
                batch->faults[RECO_SCOUT_FAULT_COUNT] += at < batch->word_count;
                batch->word_count = at;
                end_part(reader, batch, true);
                break;
            }
            if (reader->chunk.begins) begin_orbit(reader, batch);
        }
        if (reader->chunk.in_place) {
            read_in_place(reader, batch);
            break;
        }
        if (read_assembled(reader, batch, &at)) break;
    }
    if (batch->words == batch->memory) batch->assembled_bytes = (uint64_t)batch->word_count * sizeof(uint64_t);
    drop_pages(reader);
    return STOA_OK;
}
