/* SPDX-License-Identifier: Apache-2.0 */
#include "hlt_features.h"

#include "reco/generate/hlt.h"
#include "reco/io/tracks_io.h"
#include "reco/tracks/selection.h"
#include "stoa/stoa.h"

enum { FEATURES = 17, INDEX_LAYOUT_COLUMNS = 2 };

/* What the preselection leaves beside the tracks. */
static const stoa_column_desc index_columns[INDEX_LAYOUT_COLUMNS] = {
    {"mask", "", "", STOA_UINT8, STOA_KIND_COLUMN, {1, 1}, 0, 0},
    {"index", "", "", STOA_UINT32, STOA_KIND_COLUMN, {1, 1}, 0, 0},
};
static const stoa_layout index_layout = {sizeof index_layout, INDEX_LAYOUT_COLUMNS, 0, 0, "index", index_columns};

typedef struct event {
    reco_table *table;
    reco_events *events;
    stoa_collection *memory;
    uint32_t count; /* rows of `features` */
    track_features_soa features;
} event;

static stoa_status make(event *e, stoa_queue *queue, stoa_error *err)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    options.events = 1;
    STOA_TRY(reco_generate_hlt(&options, &e->table, NULL, NULL, err));
    STOA_TRY(reco_events_from_tables(e->table, NULL, "simulation", &e->events, err));
    const uint32_t rows = reco_events_rows_max(e->events);
    const stoa_block blocks[] = {{"tracks", &tracks_soa_layout, rows, 0, NULL},
                                 {"index", &index_layout, rows, 0, NULL},
                                 {"features", &track_features_soa_layout, rows, 0, NULL}};
    STOA_TRY(stoa_collection_create(queue, STOA_MEMORY_DEVICE, blocks, 3, &e->memory, err));
    return stoa_collection_view(e->memory, "features", &e->features.head, err);
}

/* As the HLT job does it. */
static stoa_status compute(event *e, stoa_queue *queue, stoa_error *err)
{
    tracks_soa tracks;
    tracks_soa_const read;
    stoa_view_head work;
    stoa_column mask, index;
    STOA_TRY(stoa_collection_view(e->memory, "tracks", &tracks.head, err));
    STOA_TRY(stoa_collection_view_const(e->memory, "tracks", &read.head, err));
    STOA_TRY(stoa_collection_block(e->memory, "index", &work, err));
    STOA_TRY(stoa_view_find(&work, "mask", &mask, err));
    STOA_TRY(stoa_view_find(&work, "index", &index, err));
    STOA_TRY(reco_events_fill(e->events, 0, &tracks, NULL, err));
    const reco_preselection first = {read, RECO_QUALITY_TIGHT, 0, mask.data, index.data, &e->count, NULL};
    STOA_TRY(reco_tracks_preselect(queue, &first, err));
    return reco_tracks_features(queue, &(reco_features){read, index.data, &e->count, e->features, 0}, err);
}

static stoa_status repeat(const event *e, float *columns, uint32_t rows, uint32_t pitch, stoa_error *err)
{
    for (uint32_t k = 0; k < FEATURES; k++) {
        stoa_column column;
        STOA_TRY(stoa_view_find(&e->features.head, track_features_soa_layout.columns[k].name, &column, err));
        for (uint32_t row = 0; row < rows; row++) columns[(size_t)k * pitch + row] = ((const float *)column.data)[row % e->count];
    }
    return STOA_OK;
}

stoa_status bench_hlt_features(stoa_queue *queue, float *columns, uint32_t rows, uint32_t pitch, stoa_error *err)
{
    event e = {0};
    stoa_status status = make(&e, queue, err);
    if (status == STOA_OK) status = compute(&e, queue, err);
    if (status == STOA_OK && e.count == 0) status = STOA_FAIL(err, STOA_ERUNTIME, "the simulated event has no tracks");
    if (status == STOA_OK) status = repeat(&e, columns, rows, pitch, err);
    stoa_collection_destroy(e.memory);
    reco_events_destroy(e.events);
    reco_table_destroy(e.table);
    return status;
}
