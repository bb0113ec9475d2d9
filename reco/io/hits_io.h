/* SPDX-License-Identifier: Apache-2.0 */
/** Positions of the hits of an event's tracks, from the file beside that of the tracks: "sim.h5" has "sim.hits.h5", with the
 *  columns event and those of rec_hits.def. The hits of an event's tracks stand end to end, as their hitOffsets tell.
 *
 *      reco_event_hits_read("sim.h5", &hits, &err);                      // NULL where there is no such file
 *      uint32_t rows = reco_event_hits_rows(hits, event);
 *      reco_event_hits_fill(hits, event, &track_hits, &rec_hits, &err);
 */
#ifndef RECO_HITS_IO_H
#define RECO_HITS_IO_H

#include "reco/formats/formats.h"
#include "reco/io/table.h"

STOA_BEGIN_DECLS

typedef struct reco_event_hits reco_event_hits;

/** Path of the hits of a file of tracks: "a/sim.h5" -> "a/sim.hits.h5". Length as snprintf returns it.
 *  owns caller's buffer   threads any   errors a length of `capacity` or more: cut   since 0.1 */
RECO_API size_t reco_hits_path(const char *tracks_path, char *text, size_t capacity);

/** Read the file of hits beside `tracks_path`.
 *
 *  shape    rows of an event follow each other
 *  owns     caller destroys; NULL on failure, and where the file is not there       threads as reco_table_read
 *  errors   as reco_table_read; ENAME columns that are missing, all of them; EFORMAT an event that comes twice
 *  since    0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_event_hits_read(const char *tracks_path, reco_event_hits **hits, stoa_error *err);

/** As reco_event_hits_read, but where the format allows it (.h5) rows are left in the file until reco_event_hits_load asks for them.
 *  owns caller destroys; NULL as for reco_event_hits_read   threads, errors as reco_event_hits_read   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_event_hits_open(const char *tracks_path, reco_event_hits **hits, stoa_error *err);

/** Have the hits of `count` events at hand, by their numbers, in place of those before; of the file that is one piece, from the first
 *  of them to the last. Does nothing for hits that were read whole, and for NULL.
 *  owns borrows `events` during the call   threads as reco_table_read   errors as reco_table_read; EFORMAT the file has changed
 *  since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_event_hits_load(reco_event_hits *hits, const int64_t *events, uint32_t count, stoa_error *err);

/** As reco_event_hits_read, from a table in memory; `what` names it in messages.
 *  owns takes `table`, also on failure   threads any   errors as reco_event_hits_read   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_event_hits_from_table(reco_table *table, const char *what, reco_event_hits **hits,
                                                                stoa_error *err);

/** Destroy; NULL is a no-op.   owns takes `hits`   threads any   errors none   since 0.1 */
RECO_API void reco_event_hits_destroy(reco_event_hits *hits);

/** Hits of event number `event`; 0 where it has none, and for NULL.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_event_hits_rows(const reco_event_hits *hits, int64_t event);

/** Copy the hits of event number `event` into views of host memory; `track_hits` numbers them as they come, without modules.
 *  shape views of at least reco_event_hits_rows rows   owns fills caller's memory   threads any
 *  errors EINVAL null; ESTATE not loaded; ESHAPE rows, both values; EPLACE not host memory   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_event_hits_fill(const reco_event_hits *hits, int64_t event, const track_hits_soa *track_hits,
                                                          const rec_hits_soa *rec_hits, stoa_error *err);

STOA_END_DECLS
#endif
