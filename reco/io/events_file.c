/* SPDX-License-Identifier: Apache-2.0 */
/* Files of events that are read some at a time: the index is read first, by the column of event numbers alone. */
#include "reco/check.h"
#include "reco/io/events_internal.h"
#include "stoa/memory.h"

#include <string.h>

struct reco_events_file {
    reco_events *index;  /* all events; with their tracks where the format is read whole */
    reco_events *window; /* those read last, or NULL */
    char *path;          /* where they are read from; NULL: the index has all */
    size_t path_bytes;
};

/* One row tells which columns there are, and so what kind of file this is. */
static stoa_status probe(const char *path, reco_events **like, stoa_error *err)
{
    reco_table *table;
    STOA_TRY(recoi_read_rows(path, NULL, 0, 1, &table, err));
    const stoa_status status = reco_events_from_tables(table, NULL, path, like, err);
    reco_table_destroy(table);
    return status;
}

static stoa_status make_index(reco_events_file *file, const char *path, const reco_events *like, stoa_error *err)
{
    char beside[4096];
    recoi_runs runs = {0};
    reco_table *vertices = NULL;
    stoa_status status = recoi_runs_read(&runs, path, err);
    if (status == STOA_OK) status = recoi_runs_sort(&runs, path, err);
    if (status == STOA_OK && reco_vertices_beside(path, beside, sizeof beside)) status = reco_table_read(beside, &vertices, err);
    if (status == STOA_OK) status = recoi_events_index(&runs, vertices, like, path, &file->index, err);
    reco_table_destroy(vertices);
    recoi_runs_deinit(&runs);
    return status;
}

static stoa_status open_rows(reco_events_file *file, const char *path, stoa_error *err)
{
    reco_events *like;
    file->path_bytes = strlen(path) + 1;
    file->path = stoa_calloc(file->path_bytes, 1);
    if (!file->path) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", path);
    memcpy(file->path, path, file->path_bytes);
    STOA_TRY(probe(path, &like, err));
    const stoa_status status = make_index(file, path, like, err);
    reco_events_destroy(like);
    return status;
}

stoa_status reco_events_file_open(const char *path, reco_events_file **file, stoa_error *err)
{
    RECO_NEED(err, "events", file);
    *file = NULL;
    RECO_NEED(err, "events", path);
    reco_events_file *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", path);
    const stoa_status status = recoi_reads_rows(path) ? open_rows(made, path, err) : reco_events_read(path, &made->index, err);
    if (status == STOA_OK) *file = made;
    else reco_events_file_close(made);
    return status;
}

void reco_events_file_close(reco_events_file *file)
{
    if (!file) return;
    reco_events_destroy(file->index);
    reco_events_destroy(file->window);
    stoa_free(file->path, file->path_bytes);
    stoa_free(file, sizeof *file);
}

const reco_events *reco_events_file_index(const reco_events_file *file) { return file->index; }

/* What was indexed must be what is read. */
static stoa_status check_window(const reco_events_file *file, uint32_t first, uint32_t count, stoa_error *err)
{
    for (uint32_t i = 0; i < count; ++i)
        if (reco_events_number(file->window, i) != reco_events_number(file->index, first + i) ||
            reco_events_rows(file->window, i) != reco_events_rows(file->index, first + i))
            return STOA_FAIL(err, STOA_EFORMAT, "%s: event %lld is not where it was: the file has changed", file->path,
                             (long long)reco_events_number(file->index, first + i));
    return STOA_OK;
}

static stoa_status read_window(reco_events_file *file, uint32_t first, uint32_t count, stoa_error *err)
{
    reco_table *table;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; ++i) rows += reco_events_rows(file->index, first + i);
    reco_events_destroy(file->window);
    file->window = NULL;
    STOA_TRY(recoi_read_rows(file->path, NULL, recoi_events_first_row(file->index, first), rows, &table, err));
    const stoa_status status = reco_events_from_tables(table, NULL, file->path, &file->window, err);
    reco_table_destroy(table);
    STOA_TRY(status);
    return check_window(file, first, count, err);
}

stoa_status reco_events_file_read(reco_events_file *file, uint32_t first, uint32_t count, const reco_events **events, uint32_t *at,
                                  stoa_error *err)
{
    RECO_NEED(err, "events", file);
    const uint32_t all = reco_events_count(file->index);
    if (first > all || count > all - first)
        return STOA_FAIL(err, STOA_EINVAL, "events: %u from %u on asked for, there are %u", (unsigned)count, (unsigned)first,
                         (unsigned)all);
    *events = file->index;
    *at = first;
    if (!file->path || count == 0) return STOA_OK;
    STOA_TRY(read_window(file, first, count, err));
    *events = file->window;
    *at = 0;
    return STOA_OK;
}
