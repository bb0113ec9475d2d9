/* SPDX-License-Identifier: Apache-2.0 */
/** CMSSW's blobs of tracks and vertices, adopted where they lie, and files of them, mapped into memory.
 *
 *  A TracksSoA blob is the block of tracks (tracks.def) and behind it the block of their hits (track_hits.def); a vertex blob
 *  is ZVertexSoA and ZVertexTracksSoA. Neither says how many rows it has: whoever made it knows. Files carry that in a
 *  header of 128 bytes before each event's blob, little endian: "STOASOA1"; int64 event; uint32 tracks, hits; uint64 bytes
 *  of the blob, a multiple of 128; uint32 rec_hits; zeros. Where rec_hits is not 0 a block of as many positions of hits
 *  (rec_hits.def) stands behind the two. `python -m stoa convert` writes them. No truth: see tracks_io.h for that.
 *
 *      reco_track_file_open("events.soa", &file, &err);
 *      for (uint32_t i = 0; i < reco_track_file_count(file); i++) use(reco_track_file_event(file, i)->tracks);
 *      reco_track_file_close(file);
 */
#ifndef RECO_TRACK_FILE_H
#define RECO_TRACK_FILE_H

#include "reco/export.h"
#include "reco/formats/formats.h"

STOA_BEGIN_DECLS

/** The blocks of a TracksSoA blob. */
typedef struct reco_track_blob {
    int64_t event;
    tracks_soa_const tracks;
    track_hits_soa_const hits;
    rec_hits_soa_const rec_hits; /**< of files only; rows 0: none */
} reco_track_blob;

/** The blocks of a vertex blob. */
typedef struct reco_vertex_blob {
    vertices_soa_const vertices;
    vertex_tracks_soa_const tracks;
} reco_vertex_blob;

typedef struct reco_track_file reco_track_file;

/** View a TracksSoA blob of so many rows; `event` is left alone.
 *  shape bytes >= both blocks   owns borrows `data` as long as the views are used; touches none of it
 *  threads any   errors EINVAL null; ESHAPE too small, both sizes; EALIGN; ELIMIT   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_tracks_adopt(const void *data, size_t bytes, stoa_place place, uint32_t tracks, uint32_t hits,
                                                       reco_track_blob *blob, stoa_error *err);

/** View a vertex blob of so many rows.
 *  shape, owns, threads, errors as reco_tracks_adopt   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_vertices_adopt(const void *data, size_t bytes, stoa_place place, uint32_t vertices,
                                                         uint32_t tracks, reco_vertex_blob *blob, stoa_error *err);

/** Map a file and view all its events. Contents are not looked at: a broken nTracks is for the job that reads it to find.
 *  owns caller closes; NULL on failure   threads any
 *  errors EIO; EFORMAT no header where one is due, or an event that is cut, with byte and both values; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_track_file_open(const char *path, reco_track_file **file, stoa_error *err);

/** As reco_track_file_open over memory that holds a file; `name` is for messages.
 *  shape data aligned to 128   owns borrows `data` until close; caller closes   threads any
 *  errors EINVAL null; EALIGN; EFORMAT; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_track_file_open_memory(const void *data, size_t bytes, const char *name, reco_track_file **file,
                                                                 stoa_error *err);

/** Unmap; NULL is a no-op.   owns takes `file`   threads none may use its views   errors none   since 0.1 */
RECO_API void reco_track_file_close(reco_track_file *file);

/** Number of events.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_track_file_count(const reco_track_file *file);

/** One event.   owns borrowed until close   threads any   errors NULL out of range   since 0.1 */
RECO_API const reco_track_blob *reco_track_file_event(const reco_track_file *file, uint32_t index);

STOA_END_DECLS
#endif
