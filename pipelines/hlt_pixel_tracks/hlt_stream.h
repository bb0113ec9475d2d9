/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the job: one stream and what it enqueues for an event. */
#ifndef HLT_STREAM_H
#define HLT_STREAM_H

#include "pipelines/hlt_pixel_tracks/hlt.h"
#include "pipelines/stage_times.h"
#include "stoa/collection.h"

#define STOA_LAYOUT hlt_work_soa
#define STOA_LAYOUT_DEF "pipelines/hlt_pixel_tracks/hlt_work.def"
#include "stoa/layout_gen.h"

typedef struct hlt_counts {
    uint32_t preselected, selected, hits, converted, usable, vertices, tops;
} hlt_counts;

/* Where an event's results go: arrays of the job, in host memory that the queue writes. */
typedef struct hlt_slot {
    hlt_counts *counts;
    uint32_t *index, *kept;
    float *score;
    int16_t *vertex_of;
    float *z, *weight, *chi2, *pt2_sum;
    int32_t *ndof;
    uint16_t *by_pt2;
    int32_t *legacy_of;
    const legacy_tracks_soa *legacy; /* of all events, or NULL; this one's from row `legacy_first` on */
    uint32_t legacy_first;
    stage_times times;
    bool is_done; /* ran or loaded */
} hlt_slot;

/* A queue, its session and its memory. One thread at a time uses it. */
typedef struct hlt_stream {
    const hlt_options *options;
    stoa_queue *queue;
    stoa_session *session;   /* NULL without a DNN */
    stoa_collection *memory; /* all blocks below in one blob */
    stoa_buffer *finder;     /* workspace of either vertex finder */
    stoa_buffer *forest;     /* the forest on the device; NULL on the host or without one */
    stoa_buffer *upload;     /* an event's tracks, hits and their positions; NULL on the host, where they are read where they lie */
    hlt_work_soa work;
    track_features_soa features;
    track_derived_soa derived; /* unbound without a forest */
    hit_features_soa hit_features; /* rows 0 without CATrackDNN */
    reco_forest_run forest_run;
    tracks_soa selected;
    track_hits_soa selected_hits;
    legacy_tracks_soa legacy;
    vertices_soa vertices;
    vertex_tracks_soa vertex_tracks;
} hlt_stream;

/* What one event can have at most. */
typedef struct hlt_capacity {
    uint32_t tracks, hits, rec_hits;
} hlt_capacity;

STOA_MUST_CHECK stoa_status hlt_stream_init(hlt_stream *stream, const hlt_options *options, stoa_device *device, hlt_capacity capacity,
                                            stoa_error *err);
void hlt_stream_deinit(hlt_stream *stream);
/* Enqueue one event; returns before it is done where the queue is asynchronous. */
STOA_MUST_CHECK stoa_status hlt_stream_enqueue(hlt_stream *stream, const hlt_event *event, hlt_slot *slot, stoa_error *err);

/* Component k of the columns of a view, counted through all of them, from row `first` on. */
typedef struct hlt_piece {
    char *data;
    size_t row_bytes;
} hlt_piece;
/* False behind the last one. Scalars are left out. */
bool hlt_piece_of(const stoa_view_head *view, uint32_t k, uint32_t first, hlt_piece *piece);

/* An array of an event's results: as many elements of 1, 2 or 4 bytes as *count says and `rows` allow; NULL: `rows`. */
typedef struct hlt_part {
    void *to;
    const void *from;
    const uint32_t *count;
    uint32_t rows, element_bytes;
} hlt_part;
enum { HLT_DELIVER_PARTS = 20 }; /* of one launch */
STOA_MUST_CHECK stoa_status hlt_deliver(stoa_queue *queue, const hlt_part *parts, uint32_t count, stoa_error *err);

/* score = 1 for the first *count rows, for the selector that takes all. */
STOA_MUST_CHECK stoa_status hlt_select_all(stoa_queue *queue, track_features_soa features, const uint32_t *count, stoa_error *err);

#endif
