/* SPDX-License-Identifier: Apache-2.0 */
/* What files of events are made of: see events_file.c. */
#ifndef RECO_EVENTS_INTERNAL_H
#define RECO_EVENTS_INTERNAL_H

#include "reco/io/table_internal.h"
#include "reco/io/tracks_io.h"

/* The events of sorted runs and their vertices, where there is a table of them, without tracks; source and truth are those of
 * `like`. The caller destroys *index, also on failure. */
stoa_status recoi_events_index(const recoi_runs *runs, const reco_table *vertices, const reco_events *like, const char *what,
                               reco_events **index, stoa_error *err);
/* Row of the file where an event of an index begins. */
uint32_t recoi_events_first_row(const reco_events *events, uint32_t index);

#endif
