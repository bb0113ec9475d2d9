/* SPDX-License-Identifier: Apache-2.0 */
/** Raw words of L1 scouting, read from files and sockets, a batch of bunch crossings at a time.
 *
 *  Memory is bounded whatever the input's size: a batch holds up to `crossings_max` crossings of one orbit; longer orbits
 *  come in parts. Files are mapped and their words handed out where they lie; only frames that cut events in pieces
 *  (DTHBasic256) are put together in the batch's own memory. Everything malformed is counted, by kind, for the orbit where
 *  it was seen; the good events around it are kept. The words are not decoded here: unpack.h does it, on a queue.
 *
 *      reco_scout_open("orbits.dth", NULL, &reader, &err);
 *      reco_scout_batch_create(reader, &batch, &err);
 *      while (reco_scout_read(reader, batch, &more, &err) == STOA_OK && more)
 *          use(batch->words, batch->header, batch->crossings);
 *
 *  native64  events, one after the other; a new orbit where the header's orbit number changes
 *  dth256    blocks of a 32-byte header and up to 255 x 32 bytes; first and last block of an orbit are flagged
 *  cmsraw    file header of 32 bytes ("RAW_0002"), then orbits: a header of 24 bytes and the events */
#ifndef RECO_SCOUTING_READER_H
#define RECO_SCOUTING_READER_H

#include "reco/export.h"
#include "stoa/status.h"

STOA_BEGIN_DECLS

#define RECO_SCOUT_CROSSINGS_MAX (1u << 24) /**< of a batch */

typedef enum reco_scout_format {
    RECO_SCOUT_ANY = 0, /**< by the first bytes */
    RECO_SCOUT_NATIVE64,
    RECO_SCOUT_DTH256,
    RECO_SCOUT_CMSRAW
} reco_scout_format;

/** What can be wrong with an orbit: enum, name in tables, text. */
#define RECO_SCOUT_FAULT_MAP(X) \
    X(BAD_MAGIC, "bad_magic", "frame or orbit header without its magic; searched for the next one") \
    X(SHORT_BLOCK, "short_block", "block shorter than its place in the orbit allows, or no whole words") \
    X(BLOCK_ERROR, "block_error", "block with the error flag; its events are kept") \
    X(BLOCK_ORDER, "block_order", "block number does not follow the one before") \
    X(MISSING_FIRST, "missing_first", "orbit does not begin with a first block") \
    X(MISSING_LAST, "missing_last", "orbit begins before the last block of the one before") \
    X(CUT, "cut", "input ends inside the orbit") \
    X(TRUNCATED, "truncated", "header of an orbit that the sender truncated") \
    X(EVENT_ERROR, "event_error", "event flagged as wrong; left out") \
    X(COUNT, "count", "event with a count beyond its payload or over the next header; left out") \
    X(BX_RANGE, "bx_range", "event of a bunch crossing above 3563; left out") \
    X(BX_ORDER, "bx_order", "event of an earlier bunch crossing than the one before; kept") \
    X(WRONG_ORBIT, "wrong_orbit", "event of another orbit than its frame; left out") \
    X(STRAY, "stray", "words that belong to no event; left out") \
    X(ZERO, "zero", "zero words between events: padding, no error") \
    X(LOST_ORBIT, "lost_orbit", "orbit numbers between the orbit before and this one that did not come")

typedef enum reco_scout_fault {
#define RECO_SCOUT_FAULT_ENUM_(name, text, doc) RECO_SCOUT_FAULT_##name,
    RECO_SCOUT_FAULT_MAP(RECO_SCOUT_FAULT_ENUM_)
#undef RECO_SCOUT_FAULT_ENUM_
        RECO_SCOUT_FAULT_COUNT_
} reco_scout_fault;

typedef struct reco_scout_options {
    uint32_t struct_size;
    reco_scout_format format;
    uint32_t crossings_max;  /**< of a batch */
    uint32_t candidates_max; /**< of a batch, at least 4095: one event always fits */
} reco_scout_options;
#define RECO_SCOUT_OPTIONS_INIT {(uint32_t)sizeof(reco_scout_options), RECO_SCOUT_ANY, 1024u, 32768u}

typedef struct reco_scout_reader reco_scout_reader;

/** Crossings of one orbit. The arrays are valid until the batch is read into again or the reader is destroyed. */
typedef struct reco_scout_batch {
    const uint64_t *words;  /**< [word_count] */
    const uint32_t *header; /**< [crossings] place of each event's header among the words */
    uint32_t word_count, crossings, candidates;
    uint32_t orbit;
    uint32_t part;         /**< 0 for the first batch of an orbit */
    uint32_t is_last_part; /**< 1: the next batch is of another orbit */
    uint32_t faults[RECO_SCOUT_FAULT_COUNT_]; /**< seen while this part was read */
    uint64_t assembled_bytes; /**< of `words`, put together in the batch's memory; 0: they lie in the input */
    uint64_t *memory;         /**< internal: room for assembled words */
    uint32_t *header_memory;  /**< internal */
    uint32_t memory_words, header_capacity; /**< internal */
    uint32_t is_guest; /**< internal: the memory is the caller's, and all words go there */
} reco_scout_batch;

/** Open and map a file. `options` NULL: RECO_SCOUT_OPTIONS_INIT.
 *
 *  owns     caller destroys; NULL on failure      threads  any
 *  errors   EIO the system's errno in `native`; EFORMAT no such format, or not known by its first bytes; EINVAL options; ENOMEM
 *  since    0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_open(const char *path, const reco_scout_options *options, reco_scout_reader **reader,
                                                     stoa_error *err);
/** As reco_scout_open, over memory.
 *  owns borrows `data` until destroy; caller destroys   threads any   errors as reco_scout_open   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_open_memory(const void *data, size_t bytes, const reco_scout_options *options,
                                                            reco_scout_reader **reader, stoa_error *err);
/** Read frames from a socket or pipe. A reader that is not asked does not read: the sender then waits, and what it has to
 *  drop is counted here by the orbit numbers that do not come.
 *  owns borrows `fd` until destroy; caller destroys   threads any
 *  errors ENOTSUP a format other than dth256; EINVAL; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_attach(int fd, const reco_scout_options *options, reco_scout_reader **reader,
                                                       stoa_error *err);
/** Destroy; NULL is a no-op.   owns takes `reader`   threads one at a time   errors none   since 0.1 */
RECO_API void reco_scout_destroy(reco_scout_reader *reader);

/** The options it was made with: the limits of its batches.   owns borrowed   threads any   errors none   since 0.1 */
RECO_API const reco_scout_options *reco_scout_options_of(const reco_scout_reader *reader);
/** The format, known after opening.   owns nothing   threads any   errors none   since 0.1 */
RECO_API reco_scout_format reco_scout_format_of(const reco_scout_reader *reader);
/** "native64", "dth256", "cmsraw"; NULL for others.   owns static   threads any   errors NULL   since 0.1 */
RECO_API const char *reco_scout_format_name(reco_scout_format format);
/** The format of that name.
 *  owns borrows   threads any   errors ENAME, listing the names there are   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_format_find(const char *name, reco_scout_format *format, stoa_error *err);
/** Name of a fault in tables; NULL out of range.   owns static   threads any   errors NULL   since 0.1 */
RECO_API const char *reco_scout_fault_name(uint32_t fault);

/** Make a batch that fits a reader's options.
 *  owns caller destroys   threads any   errors ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_batch_create(const reco_scout_reader *reader, reco_scout_batch **batch, stoa_error *err);
/** Bytes of a batch's words and headers.   owns nothing   threads any   errors none   since 0.1 */
RECO_API size_t reco_scout_batch_bytes(const reco_scout_reader *reader);
/** As reco_scout_batch_create, in memory of the caller's. All words are put there, those of a mapped file too, and counted: for memory
 *  from which a device copies without its driver having to wait.
 *  shape bytes >= reco_scout_batch_bytes   owns caller destroys; borrows `memory` until then   threads any
 *  errors EINVAL null; ESHAPE bytes, both values; EALIGN memory not aligned to 64; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_batch_create_in(const reco_scout_reader *reader, void *memory, size_t bytes,
                                                                reco_scout_batch **batch, stoa_error *err);
/** Destroy; NULL is a no-op.   owns takes `batch`   threads one at a time   errors none   since 0.1 */
RECO_API void reco_scout_batch_destroy(reco_scout_batch *batch);

/** Read the next batch. `*more` is false at the end; the batch is then empty. A last part may have no crossings.
 *  owns fills caller's batch   sync blocks on a socket   alloc none   threads one at a time per reader   errors EIO   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_read(reco_scout_reader *reader, reco_scout_batch *batch, bool *more, stoa_error *err);

STOA_END_DECLS
#endif
