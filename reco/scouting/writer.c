/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/scouting/writer.h"

#include "reco/check.h"
#include "reco/scouting/frames.h"
#include "reco/scouting/words.h"

#include <errno.h>
#include <string.h>

enum { CMS_FILE_TYPE = 20, CMS_ORBIT_VERSION = 6, DTH_UNIT_WORDS = 4 };

static stoa_status put(FILE *file, const void *data, size_t bytes, stoa_error *err)
{
    if (bytes == 0 || fwrite(data, 1, bytes, file) == bytes) return STOA_OK;
    return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "scouting writer: %zu bytes: %s", bytes, strerror(errno));
}

stoa_status reco_scout_write_begin(FILE *file, reco_scout_format format, uint32_t run, uint32_t orbit_count, stoa_error *err)
{
    RECO_NEED(err, "scouting writer", file);
    if (!reco_scout_format_name(format)) return STOA_FAIL(err, STOA_EINVAL, "scouting writer: format %d", (int)format);
    if (format != RECO_SCOUT_CMSRAW) return STOA_OK;
    const uint32_t header[8] = {0x5f574152u, 0x32303030u, 32u | CMS_FILE_TYPE << 16, orbit_count, run, 1u, 0u, 0u}; /* "RAW_0002" */
    return put(file, header, sizeof header, err);
}

static stoa_status put_cms(FILE *file, uint32_t run, uint32_t orbit, const uint64_t *words, size_t count, stoa_error *err)
{
    const uint32_t header[6] = {CMS_ORBIT_VERSION, run, 1u, orbit, (uint32_t)(count * sizeof *words), 0u};
    if (count > UINT32_MAX / sizeof *words)
        return STOA_FAIL(err, STOA_ELIMIT, "scouting writer: orbit of %zu words, at most %zu", count, UINT32_MAX / sizeof *words);
    STOA_TRY(put(file, header, sizeof header, err));
    return put(file, words, count * sizeof *words, err);
}

/* Blocks of 255 units of 32 bytes; the last one is filled up with zero words. */
static stoa_status put_dth(FILE *file, const uint64_t *words, size_t count, stoa_error *err)
{
    static const uint64_t zeros[DTH_UNIT_WORDS];
    const size_t blocks = count > 0 ? (count + SCOUT_BLOCK_WORDS - 1) / SCOUT_BLOCK_WORDS : 1;
    if (blocks > 65536) return STOA_FAIL(err, STOA_ELIMIT, "scouting writer: orbit of %zu blocks, at most 65536", blocks);
    for (size_t b = 0; b < blocks; b++) {
        const size_t first = b * SCOUT_BLOCK_WORDS, left = count - first;
        const size_t used = left < SCOUT_BLOCK_WORDS ? left : SCOUT_BLOCK_WORDS;
        const size_t units = (used + DTH_UNIT_WORDS - 1) / DTH_UNIT_WORDS;
        const uint64_t header[4] = {0x5a47u | (uint64_t)b << 16 | (uint64_t)(b + 1 == blocks) << 46 | (uint64_t)(b == 0) << 47 |
                                        (uint64_t)units << 48,
                                    0, count > 0 ? words[0] : 0, 0};
        STOA_TRY(put(file, header, sizeof header, err));
        STOA_TRY(put(file, words + first, used * sizeof *words, err));
        STOA_TRY(put(file, zeros, (units * DTH_UNIT_WORDS - used) * sizeof *zeros, err));
    }
    return STOA_OK;
}

stoa_status reco_scout_write_orbit(FILE *file, reco_scout_format format, uint32_t run, uint32_t orbit, const uint64_t *words,
                                   size_t word_count, stoa_error *err)
{
    RECO_NEED(err, "scouting writer", file);
    if (word_count > 0) RECO_NEED(err, "scouting writer", words);
    switch (format) {
    case RECO_SCOUT_NATIVE64: return put(file, words, word_count * sizeof *words, err);
    case RECO_SCOUT_DTH256: return put_dth(file, words, word_count, err);
    case RECO_SCOUT_CMSRAW: return put_cms(file, run, orbit, words, word_count, err);
    case RECO_SCOUT_ANY: break;
    }
    return STOA_FAIL(err, STOA_EINVAL, "scouting writer: format %d", (int)format);
}
