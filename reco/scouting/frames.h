/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: payload words out of frames, chunk by chunk, from mapped memory or from a descriptor. */
#ifndef RECO_SCOUTING_FRAMES_H
#define RECO_SCOUTING_FRAMES_H

#include "reco/scouting/reader.h"

/* Words of one orbit that lie together. */
typedef struct scout_chunk {
    const uint64_t *words; /* aligned when `in_place`, otherwise to be copied from */
    size_t count;
    bool begins;   /* an orbit starts here */
    bool ends;     /* and ends with this chunk */
    bool gap;      /* blocks before this one are missing: an event begun there is lost */
    bool in_place; /* the words stay where they are, and no event goes on in the next chunk */
    bool has_orbit;
    uint32_t orbit; /* of the frame, if has_orbit */
} scout_chunk;

typedef struct scout_frames {
    reco_scout_format format;
    const uint8_t *data; /* mapped or the caller's; NULL for a descriptor */
    size_t bytes, at;
    int fd;
    uint8_t *block;    /* of a descriptor: one block */
    size_t block_held; /* bytes of it that are not consumed */
    bool open;         /* inside an orbit */
    uint32_t block_number;
    uint32_t run; /* cmsraw: of the file */
} scout_frames;

/* The largest block: header and 255 x 32 bytes. */
enum { SCOUT_BLOCK_BYTES = 32 + 255 * 32, SCOUT_BLOCK_WORDS = 255 * 4 };

/* Find the format by the first bytes, or check it against them. */
STOA_MUST_CHECK stoa_status scout_frames_begin(scout_frames *f, const char *what, stoa_error *err);
/* The next chunk; *more is false at the end of the input. Faults are added to `faults`. */
STOA_MUST_CHECK stoa_status scout_frames_next(scout_frames *f, scout_chunk *chunk, uint32_t *faults, bool *more, stoa_error *err);

#endif
