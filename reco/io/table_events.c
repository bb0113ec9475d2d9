/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of events share: columns by name, numbers made safe, runs of rows, the files beside a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reco/io/table_internal.h"
#include "stoa/memory.h"

stoa_status recoi_get_columns(const reco_table *table, const char *what, const char *const *names, uint32_t count,
                              const reco_column **columns, stoa_error *err)
{
    char missing[700] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < count; ++i) {
        columns[i] = reco_table_find(table, names[i]);
        if (!columns[i] && used + strlen(names[i]) + 3 < sizeof missing)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "", names[i]);
    }
    if (!used) return STOA_OK;
    return STOA_FAIL(err, STOA_ENAME, "%s: of %u columns needed these are missing: %s", what, (unsigned)count, missing);
}

int32_t recoi_to_int(double value, double low, double high)
{
    if (!(value > low)) return (int32_t)low;
    return (int32_t)(value < high ? value : high);
}

int64_t recoi_event_number(const reco_column *column, uint32_t row)
{
    if (column->dtype == STOA_INT64) return ((const int64_t *)column->data)[row];
    double value = reco_column_value(column, row);
    return value > -9e18 && value < 9e18 ? (int64_t)value : 0;
}

size_t recoi_beside_path(const char *path, const char *kind, char *text, size_t capacity)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    const int stem = (int)(dot ? (size_t)(dot - path) : strlen(path));
    return (size_t)snprintf(text, capacity, "%.*s.%s%s", stem, path, kind, dot ? dot : "");
}

/* ---- runs of one event's rows ---- */

static stoa_status make_room(recoi_runs *runs, const char *what, stoa_error *err)
{
    if (runs->count < runs->capacity) return STOA_OK;
    const uint32_t capacity = runs->capacity ? 2 * runs->capacity : 64;
    recoi_run *list = stoa_alloc(capacity * sizeof *list, 64);
    if (!list) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u events", what, (unsigned)capacity);
    if (runs->count) memcpy(list, runs->list, runs->count * sizeof *list);
    stoa_free(runs->list, runs->capacity * sizeof *list);
    runs->list = list;
    runs->capacity = capacity;
    return STOA_OK;
}

stoa_status recoi_runs_add(recoi_runs *runs, const reco_column *event, uint32_t first, uint32_t rows, const char *what, stoa_error *err)
{
    for (uint32_t row = 0; row < rows; row++) {
        const int64_t number = recoi_event_number(event, row);
        if (runs->count == 0 || runs->list[runs->count - 1].event != number) {
            STOA_TRY(make_room(runs, what, err));
            runs->list[runs->count++] = (recoi_run){number, first + row, 0};
        }
        runs->list[runs->count - 1].rows++;
    }
    return STOA_OK;
}

stoa_status recoi_runs_read(recoi_runs *runs, const char *path, stoa_error *err)
{
    enum { ROWS = 1 << 18 }; /* some MB at a time */
    uint32_t rows = ROWS;
    for (uint64_t first = 0; rows == ROWS; first += rows) {
        reco_table *table;
        const stoa_status found = recoi_read_rows(path, "event", first, ROWS, &table, err);
        if (found == STOA_ENAME) return STOA_OK;
        STOA_TRY(found);
        rows = reco_table_rows(table);
        const stoa_status status = recoi_runs_add(runs, reco_table_column(table, 0), (uint32_t)first, rows, path, err);
        reco_table_destroy(table);
        STOA_TRY(status);
    }
    return STOA_OK;
}

static int by_event(const void *a, const void *b)
{
    const recoi_run *x = a, *y = b;
    if (x->event != y->event) return x->event < y->event ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

stoa_status recoi_runs_sort(recoi_runs *runs, const char *what, stoa_error *err)
{
    if (runs->count) qsort(runs->list, runs->count, sizeof *runs->list, by_event);
    for (uint32_t i = 1; i < runs->count; i++)
        if (runs->list[i].event == runs->list[i - 1].event)
            return STOA_FAIL(err, STOA_EFORMAT, "%s: event %lld is in rows %u.. and again in rows %u..; its rows must follow each other",
                             what, (long long)runs->list[i].event, (unsigned)runs->list[i - 1].first, (unsigned)runs->list[i].first);
    return STOA_OK;
}

void recoi_runs_deinit(recoi_runs *runs)
{
    stoa_free(runs->list, runs->capacity * sizeof *runs->list);
    *runs = (recoi_runs){0};
}
