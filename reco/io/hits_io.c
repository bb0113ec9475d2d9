/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/io/hits_io.h"

#include "reco/check.h"
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#include <string.h>
#include <unistd.h>

enum { H_EVENT, H_X, H_Y, H_Z, H_BEND, H_BEND_ERROR, H_FLAGS, H_COUNT };
static const char *const names[H_COUNT] = {"event", "xGlobal", "yGlobal", "zGlobal", "dPhiDr", "dPhiDrError", "flags"};

struct reco_event_hits {
    reco_table *table; /* all rows, or those of the events that were loaded last, from row `first` of the file on */
    const reco_column *columns[H_COUNT];
    recoi_runs runs; /* by event number */
    uint32_t first;
    char *path; /* where rows are loaded from, or NULL: all are here */
    size_t path_bytes;
};

size_t reco_hits_path(const char *tracks_path, char *text, size_t capacity)
{ return recoi_beside_path(tracks_path, "hits", text, capacity); }

/* Runs of one number are events; each number may run once. */
static stoa_status split(reco_event_hits *h, const char *what, stoa_error *err)
{
    STOA_TRY(recoi_runs_add(&h->runs, h->columns[H_EVENT], 0, reco_table_rows(h->table), what, err));
    return recoi_runs_sort(&h->runs, what, err);
}

stoa_status reco_event_hits_from_table(reco_table *table, const char *what, reco_event_hits **hits, stoa_error *err)
{
    reco_event_hits *made = hits ? stoa_calloc(1, sizeof *made) : NULL;
    if (hits) *hits = NULL;
    if (!made) reco_table_destroy(table);
    RECO_NEED(err, "hits", hits);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", what);
    made->table = table;
    stoa_status status = recoi_get_columns(table, what, names, H_COUNT, made->columns, err);
    if (status == STOA_OK) status = split(made, what, err);
    if (status == STOA_OK) *hits = made;
    else reco_event_hits_destroy(made);
    return status;
}

/* "": there is no such file. */
static void find_file(const char *tracks_path, char *path, size_t capacity)
{
    if (reco_hits_path(tracks_path, path, capacity) >= capacity || access(path, F_OK) != 0) path[0] = '\0';
}

stoa_status reco_event_hits_read(const char *tracks_path, reco_event_hits **hits, stoa_error *err)
{
    char path[4096];
    reco_table *table;
    RECO_NEED(err, "hits", hits);
    *hits = NULL;
    RECO_NEED(err, "hits", tracks_path);
    find_file(tracks_path, path, sizeof path);
    if (!path[0]) return STOA_OK;
    STOA_TRY(reco_table_read(path, &table, err));
    return reco_event_hits_from_table(table, path, hits, err);
}

/* ---- some events at a time ---- */

static stoa_status load_rows(reco_event_hits *h, uint32_t first, uint32_t rows, stoa_error *err)
{
    reco_table_destroy(h->table);
    h->table = NULL;
    h->first = first;
    STOA_TRY(recoi_read_rows(h->path, NULL, first, rows, &h->table, err));
    STOA_TRY(recoi_get_columns(h->table, h->path, names, H_COUNT, h->columns, err));
    if (reco_table_rows(h->table) == rows) return STOA_OK;
    return STOA_FAIL(err, STOA_EFORMAT, "%s: %u rows from %u on, %u needed: the file has changed", h->path, reco_table_rows(h->table),
                     first, rows);
}

/* No rows yet, but the columns are looked for. */
static stoa_status open_rows(reco_event_hits *h, const char *path, stoa_error *err)
{
    h->path_bytes = strlen(path) + 1;
    h->path = stoa_calloc(h->path_bytes, 1);
    if (!h->path) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", path);
    memcpy(h->path, path, h->path_bytes);
    STOA_TRY(load_rows(h, 0, 0, err));
    STOA_TRY(recoi_runs_read(&h->runs, path, err));
    return recoi_runs_sort(&h->runs, path, err);
}

stoa_status reco_event_hits_open(const char *tracks_path, reco_event_hits **hits, stoa_error *err)
{
    char path[4096];
    RECO_NEED(err, "hits", hits);
    *hits = NULL;
    RECO_NEED(err, "hits", tracks_path);
    find_file(tracks_path, path, sizeof path);
    if (!path[0] || !recoi_reads_rows(path)) return reco_event_hits_read(tracks_path, hits, err);
    reco_event_hits *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", path);
    const stoa_status status = open_rows(made, path, err);
    if (status == STOA_OK) *hits = made;
    else reco_event_hits_destroy(made);
    return status;
}

static const recoi_run *find_run(const reco_event_hits *hits, int64_t event)
{
    uint32_t low = 0, high = hits ? hits->runs.count : 0;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (hits->runs.list[middle].event < event) low = middle + 1;
        else high = middle;
    }
    return hits && low < hits->runs.count && hits->runs.list[low].event == event ? &hits->runs.list[low] : NULL;
}

stoa_status reco_event_hits_load(reco_event_hits *hits, const int64_t *events, uint32_t count, stoa_error *err)
{
    uint32_t low = UINT32_MAX, high = 0;
    if (!hits || !hits->path) return STOA_OK;
    for (uint32_t e = 0; e < count; e++) {
        const recoi_run *run = find_run(hits, events[e]);
        if (!run) continue;
        if (run->first < low) low = run->first;
        if (run->first + run->rows > high) high = run->first + run->rows;
    }
    return high > 0 ? load_rows(hits, low, high - low, err) : load_rows(hits, 0, 0, err);
}

void reco_event_hits_destroy(reco_event_hits *hits)
{
    if (!hits) return;
    reco_table_destroy(hits->table);
    recoi_runs_deinit(&hits->runs);
    stoa_free(hits->path, hits->path_bytes);
    stoa_free(hits, sizeof *hits);
}

uint32_t reco_event_hits_rows(const reco_event_hits *hits, int64_t event)
{
    const recoi_run *run = find_run(hits, event);
    return run ? run->rows : 0;
}

static stoa_status check_view(const char *what, const stoa_view_head *head, uint32_t rows, stoa_error *err)
{
    if (head->rows < rows) return STOA_FAIL(err, STOA_ESHAPE, "%s: the event has %u hits, the view %u rows", what, rows, head->rows);
    if (head->place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_EPLACE, "%s: view of place type %d, host memory needed", what, (int)head->place.type);
    return STOA_OK;
}

stoa_status reco_event_hits_fill(const reco_event_hits *hits, int64_t event, const track_hits_soa *track_hits, const rec_hits_soa *rec_hits,
                                 stoa_error *err)
{
    RECO_NEED(err, "hits", hits);
    RECO_NEED(err, "hits", track_hits);
    RECO_NEED(err, "hits", rec_hits);
    const recoi_run *run = find_run(hits, event);
    const uint32_t rows = run ? run->rows : 0, first = rows ? run->first - hits->first : 0, there = reco_table_rows(hits->table);
    if (rows > 0 && (run->first < hits->first || first > there || rows > there - first))
        return STOA_FAIL(err, STOA_ESTATE, "hits of event %lld are not loaded", (long long)event);
    STOA_TRY(check_view("track hits", &track_hits->head, rows, err));
    STOA_TRY(check_view("hits", &rec_hits->head, rows, err));
    float *const floats[] = {rec_hits->xGlobal, rec_hits->yGlobal, rec_hits->zGlobal, rec_hits->dPhiDr, rec_hits->dPhiDrError};
    for (int k = H_X; k <= H_BEND_ERROR; k++) reco_column_floats(hits->columns[k], first, rows, floats[k - H_X]);
    for (uint32_t i = 0; i < rows; i++) {
        rec_hits->flags[i] = (uint8_t)recoi_to_int(reco_column_value(hits->columns[H_FLAGS], first + i), 0, UINT8_MAX);
        track_hits->id[i] = i;
        track_hits->detId[i] = 0;
    }
    return STOA_OK;
}
