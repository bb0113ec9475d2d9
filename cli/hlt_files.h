/* SPDX-License-Identifier: Apache-2.0 */
/* What `stoa hlt` reads and writes: events from a file, tables, summary, pictures. */
#ifndef STOA_CLI_HLT_FILES_H
#define STOA_CLI_HLT_FILES_H

#include "cli.h"
#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/track_file.h"
#include "reco/io/tracks_io.h"

/* Events as the job takes them: a file's blobs where they are mapped, or each event's tracks, truth, hits and their positions as
 * SoA blobs in one piece of memory. For a device that is pinned memory, from which it copies without waiting, also of a file's blobs. */
typedef struct hlt_input {
    reco_track_file *mapped; /* one of the two */
    reco_events *file;
    reco_event_hits *hits; /* beside `file`, where they are */
    reco_events_source source;
    hlt_event *events;
    uint32_t count;
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *memory;
    bool has_truth;
} hlt_input;

stoa_status hlt_input_read(hlt_input *input, const char *path, const char *device, stoa_error *err);
void hlt_input_deinit(hlt_input *input);

/* Of `count` events from `first` on: `dir`/tracks.csv: the selected tracks; `dir`/vertices.csv: hardest first. Both depend on
 * the events alone, so tables of ranges one behind the other are the table of all. */
stoa_status hlt_write_tables(const char *dir, const hlt_input *input, const hlt_job *job, uint32_t first, uint32_t count, stoa_error *err);
/* All legacy tracks of all events to `dir`/`name`, whose extension says how. */
stoa_status hlt_write_legacy(const char *dir, const char *name, const hlt_input *input, const hlt_job *job, bool vertices_first,
                             stoa_error *err);
/* With truth: roc.png, and score.png of the DNN; event.png; .dat and .gp files beside them. Without gnuplot
 * the .gp files are written all the same and *drawn is false. */
stoa_status hlt_write_pictures(const char *dir, const hlt_input *input, const hlt_job *job, hlt_selector selector, float threshold,
                               bool *drawn, stoa_error *err);

#endif
