/* SPDX-License-Identifier: Apache-2.0 */
/** Writes orbits of scouting words in the formats that reader.h reads: for simulation, tests and senders.
 *
 *      reco_scout_write_begin(file, RECO_SCOUT_CMSRAW, run, orbit_count, &err);
 *      reco_scout_write_orbit(file, RECO_SCOUT_CMSRAW, run, orbit, words, word_count, &err);      // for each orbit */
#ifndef RECO_SCOUTING_WRITER_H
#define RECO_SCOUTING_WRITER_H

#include <stdio.h>

#include "reco/scouting/reader.h"

STOA_BEGIN_DECLS

/** Write what stands before the first orbit: the file header of cmsraw, nothing for the others.
 *  owns borrows `file`   threads one at a time per file   errors EIO; EINVAL format   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_write_begin(FILE *file, reco_scout_format format, uint32_t run, uint32_t orbit_count,
                                                            stoa_error *err);
/** Write one orbit, events one after the other. An orbit without words is a frame without events.
 *  owns borrows all   threads one at a time per file   errors EIO; EINVAL format; ELIMIT more words than the format can say   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_write_orbit(FILE *file, reco_scout_format format, uint32_t run, uint32_t orbit,
                                                            const uint64_t *words, size_t word_count, stoa_error *err);

STOA_END_DECLS
#endif
