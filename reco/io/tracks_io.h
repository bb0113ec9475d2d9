/* SPDX-License-Identifier: Apache-2.0 */
/** Events of pixel tracks with truth, read from files and copied into collections.
 *
 *  Two kinds of file are known by their columns: what `stoa generate hlt` writes (docs/hlt.md, units GeV, cm, rad) and
 *  ATLAS PHYSLITE tracks (mm, 1/MeV, rad), which are converted to CMSSW's track state and covariance on reading.
 *  Not a filter: rows with NaN or absurd numbers are kept, the job that reads them judges.
 *
 *      reco_events *events;
 *      reco_events_read("sim.npz", &events, &err);
 *      for (uint32_t i = 0; i < reco_events_count(events); ++i) {
 *          if (reco_events_rows(events, i) > tracks.head.rows) continue;     // the view's rows are its capacity
 *          reco_events_fill(events, i, &tracks, &truth, &err);
 *      }
 */
#ifndef RECO_TRACKS_IO_H
#define RECO_TRACKS_IO_H

#include "reco/formats/formats.h"
#include "reco/io/table.h"

STOA_BEGIN_DECLS

typedef struct reco_events reco_events;

/** A vertex as simulation, or ATLAS's reconstruction, knows it. */
typedef struct reco_true_vertex {
    float x, y, z;   /**< cm */
    int32_t type;    /**< 1 hard scatter, 3 pile-up, 0 none (ATLAS's numbers) */
    int32_t number;  /**< what the tracks' truth column `vertex` refers to */
    int32_t tracks;  /**< reconstructed tracks of it, -1: not known */
} reco_true_vertex;

typedef enum reco_events_source {
    RECO_EVENTS_GENERATED = 0, /**< CMSSW-like columns: a true vertex for each track that has one */
    RECO_EVENTS_PHYSLITE = 1   /**< vertices and `vertex` are ATLAS's reconstruction, not truth */
} reco_events_source;

/** Read all events of a file, and the vertices of the file beside it, if there is one (reco_vertices_path).
 *
 *  shape    rows of an event follow each other; an event without tracks does not appear
 *  owns     caller destroys; NULL on failure       threads as reco_table_read
 *  errors   as reco_table_read; ENAME columns that are missing, all of them; EFORMAT an event that comes twice
 *  since    0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_events_read(const char *path, reco_events **events, stoa_error *err);

/** As reco_events_read, from tables in memory; `vertices` may be NULL, `what` names the source in messages.
 *  owns borrows the tables during the call   threads any   errors as reco_events_read   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_events_from_tables(const reco_table *tracks, const reco_table *vertices, const char *what,
                                                             reco_events **events, stoa_error *err);

/** Destroy; NULL is a no-op.   owns takes `events`   threads any   errors none   since 0.1 */
RECO_API void reco_events_destroy(reco_events *events);

/** Number of events.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_count(const reco_events *events);
/** Tracks of event `index`, 0 out of range.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_rows(const reco_events *events, uint32_t index);
/** Tracks of the largest event: the capacity that fits all.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_rows_max(const reco_events *events);
/** Tracks of all events.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_rows_total(const reco_events *events);
/** Hits of event `index`: the last of its hitOffsets.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_hits(const reco_events *events, uint32_t index);
/** The event's number in the file, -1 out of range.   owns nothing   threads any   errors none   since 0.1 */
RECO_API int64_t reco_events_number(const reco_events *events, uint32_t index);
/** Which kind of file it was.   owns nothing   threads any   errors none   since 0.1 */
RECO_API reco_events_source reco_events_origin(const reco_events *events);
/** 1 when the file says which tracks are true.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_events_has_truth(const reco_events *events);

/** Copy event `index` into views of host memory and set nTracks. `truth` may be NULL; without truth in the file it
 *  gets is_true 0, vertex -1. Rows behind the event are left as they are.
 *  shape views of at least reco_events_rows rows   owns fills caller's memory   threads any
 *  errors EINVAL index, or a column that is not bound; ESHAPE rows, both values; EPLACE not host memory   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_events_fill(const reco_events *events, uint32_t index, const tracks_soa *tracks,
                                                      const track_truth_soa *truth, stoa_error *err);

/** Vertices of event `index`; NULL and 0 when there are none.
 *  owns borrowed until destroy   threads any   errors NULL   since 0.1 */
RECO_API const reco_true_vertex *reco_events_vertices(const reco_events *events, uint32_t index, uint32_t *count);

/** A file of events, some of which are in memory at a time. */
typedef struct reco_events_file reco_events_file;

/** Open a file and the vertices beside it. Where the format allows it (.h5) tracks are left in the file until they are asked for; else
 *  all are read here. Columns and events are checked here in any case.
 *  owns caller closes; NULL on failure   threads as reco_table_read   errors as reco_events_read   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_events_file_open(const char *path, reco_events_file **file, stoa_error *err);

/** Close; NULL is a no-op.   owns takes `file`   threads one at a time   errors none   since 0.1 */
RECO_API void reco_events_file_close(reco_events_file *file);

/** All events of the file: how many, their numbers, rows and vertices; but not the tracks (ESTATE, 0 hits).
 *  owns borrowed until close   threads any   errors none   since 0.1 */
RECO_API const reco_events *reco_events_file_index(const reco_events_file *file);

/** Read `count` events from `first` on: they are those of *events from index *at on, without vertices, which the index has.
 *  owns borrowed until the next call or close; NULL never   threads as reco_table_read
 *  errors EINVAL range; as reco_events_read; EFORMAT the file has changed since it was opened   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_events_file_read(reco_events_file *file, uint32_t first, uint32_t count,
                                                           const reco_events **events, uint32_t *at, stoa_error *err);

/** Path of the vertices of a generated file: "a/sim.h5" -> "a/sim.vertices.h5". Length as snprintf returns it.
 *  owns caller's buffer   threads any   errors a length of `capacity` or more: cut   since 0.1 */
RECO_API size_t reco_vertices_path(const char *path, char *text, size_t capacity);

/** Path of the file of vertices that reco_events_read reads beside `path`: that of reco_vertices_path, or for PHYSLITE
 *  "a/x_vertices.csv" of "a/x_tracks.csv". 1 when it is there.
 *  owns caller's buffer   threads any   errors 0: neither is there, or its path is longer than `capacity`   since 0.1 */
RECO_API uint32_t reco_vertices_beside(const char *path, char *text, size_t capacity);

/** One ATLAS track: the five parameters with the variances and correlations of the file (mm, 1/MeV, rad). */
typedef struct reco_atlas_track {
    double d0, z0, vz, phi, theta, q_over_p;
    double variance[5];     /**< of d0, z0, phi, theta, q/p */
    double correlation[10]; /**< lower triangle by rows, without the diagonal */
} reco_atlas_track;

/** Convert to CMSSW's state (phi, tip, q/pt, cot theta, zip) and covariance, upper triangle by rows.
 *  units GeV, cm, rad out   owns fills caller's arrays   threads any   errors none: NaN in, NaN out   since 0.1 */
RECO_API void reco_atlas_to_cms(const reco_atlas_track *track, double state[5], double covariance[15]);

STOA_END_DECLS
#endif
