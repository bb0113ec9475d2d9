/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/io/hits_io.h"

#include "reco/check.h"
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#include <stdlib.h>
#include <unistd.h>

enum { H_EVENT, H_X, H_Y, H_Z, H_BEND, H_BEND_ERROR, H_FLAGS, H_COUNT };
static const char *const names[H_COUNT] = {"event", "xGlobal", "yGlobal", "zGlobal", "dPhiDr", "dPhiDrError", "flags"};

/* A run of rows. */
typedef struct hit_run {
    int64_t event;
    uint32_t first, rows;
} hit_run;

struct reco_event_hits {
    reco_table *table;
    const reco_column *columns[H_COUNT];
    hit_run *runs; /* by event number */
    uint32_t count, capacity;
};

size_t reco_hits_path(const char *tracks_path, char *text, size_t capacity)
{ return recoi_beside_path(tracks_path, "hits", text, capacity); }

static int by_event(const void *a, const void *b)
{
    const hit_run *x = a, *y = b;
    return x->event < y->event ? -1 : x->event > y->event;
}

/* Runs of one number are events; each number may run once. */
static stoa_status split(reco_event_hits *h, const char *what, stoa_error *err)
{
    const uint32_t rows = reco_table_rows(h->table);
    h->capacity = 1;
    for (uint32_t row = 1; row < rows; row++)
        h->capacity += recoi_event_number(h->columns[H_EVENT], row) != recoi_event_number(h->columns[H_EVENT], row - 1);
    h->runs = stoa_calloc(h->capacity, sizeof *h->runs);
    if (!h->runs) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u events", what, h->capacity);
    for (uint32_t row = 0; row < rows; row++) {
        const int64_t event = recoi_event_number(h->columns[H_EVENT], row);
        if (h->count == 0 || h->runs[h->count - 1].event != event) h->runs[h->count++] = (hit_run){event, row, 0};
        h->runs[h->count - 1].rows++;
    }
    qsort(h->runs, h->count, sizeof *h->runs, by_event);
    for (uint32_t i = 1; i < h->count; i++)
        if (h->runs[i].event == h->runs[i - 1].event)
            return STOA_FAIL(err, STOA_EFORMAT, "%s: event %lld is in rows %u.. and again in rows %u..; its rows must follow each other",
                             what, (long long)h->runs[i].event, h->runs[i - 1].first, h->runs[i].first);
    return STOA_OK;
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

stoa_status reco_event_hits_read(const char *tracks_path, reco_event_hits **hits, stoa_error *err)
{
    char path[4096];
    reco_table *table;
    RECO_NEED(err, "hits", hits);
    *hits = NULL;
    RECO_NEED(err, "hits", tracks_path);
    if (reco_hits_path(tracks_path, path, sizeof path) >= sizeof path || access(path, F_OK) != 0) return STOA_OK;
    STOA_TRY(reco_table_read(path, &table, err));
    return reco_event_hits_from_table(table, path, hits, err);
}

void reco_event_hits_destroy(reco_event_hits *hits)
{
    if (!hits) return;
    reco_table_destroy(hits->table);
    stoa_free(hits->runs, hits->capacity * sizeof *hits->runs);
    stoa_free(hits, sizeof *hits);
}

static const hit_run *find_run(const reco_event_hits *hits, int64_t event)
{
    const hit_run key = {event, 0, 0};
    return hits && hits->count ? bsearch(&key, hits->runs, hits->count, sizeof key, by_event) : NULL;
}

uint32_t reco_event_hits_rows(const reco_event_hits *hits, int64_t event)
{
    const hit_run *run = find_run(hits, event);
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
    const hit_run *run = find_run(hits, event);
    const uint32_t first = run ? run->first : 0, rows = run ? run->rows : 0;
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
