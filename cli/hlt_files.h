/* SPDX-License-Identifier: Apache-2.0 */
/* What `stoa hlt` reads and writes: events from a file, tables, summary, pictures. */
#ifndef STOA_CLI_HLT_FILES_H
#define STOA_CLI_HLT_FILES_H

#include "cli.h"
#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "reco/io/hits_io.h"
#include "reco/io/track_file.h"
#include "reco/io/tracks_io.h"

/* Events as the job takes them, some at a time: a file's blobs where they are mapped, or each event's tracks, truth, hits and their
 * positions as SoA blobs in one piece of memory. For a device that is pinned memory, from which it copies without waiting, also of a
 * file's blobs, which are read whole then. */
typedef struct hlt_input {
    reco_track_file *mapped; /* one of the two */
    reco_events_file *file;
    const reco_events *index; /* of `file` */
    reco_event_hits *hits;    /* beside `file`, where they are */
    reco_events_source source;
    uint32_t total;           /* events of the file; here are `count` from `first` on */
    hlt_event *events;
    uint32_t first, count;
    hlt_event *made; /* of all mapped events, or of those here */
    uint32_t made_count;
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *memory;
    bool has_truth;
} hlt_input;

stoa_status hlt_input_open(hlt_input *input, const char *path, const char *device, stoa_error *err);
/* Have these events here; those before are gone. */
stoa_status hlt_input_take(hlt_input *input, uint32_t first, uint32_t count, stoa_error *err);
/* Whether any event of the file has positions of hits. */
bool hlt_input_has_hits(const hlt_input *input);
void hlt_input_deinit(hlt_input *input);

/* `dir`/tracks.csv: the selected tracks of the events at hand; `dir`/vertices.csv: hardest first. Both depend on the events alone, so
 * tables of some events one behind the other are the table of all; `append`: behind what is there. */
stoa_status hlt_write_tables(const char *dir, const hlt_input *input, const hlt_job *job, bool append, stoa_error *err);
/* All legacy tracks of the events at hand to `dir`/`name`, whose extension says how. */
stoa_status hlt_write_legacy(const char *dir, const char *name, const hlt_input *input, const hlt_job *job, bool vertices_first,
                             stoa_error *err);

/* What pictures are made of, gathered as events go by: 8 bytes a preselected track with truth. */
typedef struct hlt_pictures {
    const char *dir;
    hlt_selector selector;
    float threshold;
    struct hlt_scored *scores;
    size_t count, capacity, of_class[3];
    bool has_event; /* event.gp and its data are written */
} hlt_pictures;
/* Of the events at hand. */
stoa_status hlt_pictures_add(hlt_pictures *pictures, const hlt_input *input, const hlt_job *job, stoa_error *err);
/* With truth: roc.png, and score.png of the DNN; event.png; .dat and .gp files beside them. Without gnuplot
 * the .gp files are written all the same and *drawn is false. */
stoa_status hlt_pictures_draw(hlt_pictures *pictures, bool *drawn, stoa_error *err);
void hlt_pictures_deinit(hlt_pictures *pictures);

#endif
