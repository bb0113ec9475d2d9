/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy tracks of `stoa hlt`: a table with the columns of legacy_tracks.def. */
#include <stdlib.h>
#include <string.h>

#include "hlt_files.h"
#include "output.h"
#include "reco/formats/formats.h"

/* Where a component of legacy_tracks.def comes from and goes to. */
typedef struct copied {
    const char *from;
    char *to;
    size_t row_bytes;
} copied;
enum { COPIED_MAX = 64 };

/* The table's columns are those of the layout; vectors become groups. `source` goes into `track` apart. */
static stoa_status add_columns(reco_table *table, const stoa_view_head *legacy, copied *columns, uint32_t *count, stoa_error *err)
{
    const stoa_layout *layout = legacy->layout;
    *count = 0;
    for (uint32_t c = 0; c < layout->column_count; c++) {
        const stoa_column_desc *column = &layout->columns[c];
        const size_t bytes = stoa_dtype_bytes(column->dtype);
        stoa_column_geometry place;
        void *data;
        size_t stride = 0;
        if (column->kind == STOA_KIND_SCALAR || !strcmp(column->name, "source")) continue;
        STOA_TRY(stoa_layout_place(layout, legacy->rows, c, &place, err));
        if (column->kind == STOA_KIND_COLUMN) STOA_TRY(reco_table_add(table, column->name, column->dtype, &data, err));
        else STOA_TRY(reco_table_add_group(table, column->name, column->dtype, place.component_count, &data, &stride, err));
        if (*count + place.component_count > COPIED_MAX)
            return STOA_FAIL(err, STOA_ELIMIT, "legacy tracks: more than %d components", COPIED_MAX);
        for (uint32_t k = 0; k < place.component_count; k++)
            columns[(*count)++] = (copied){(const char *)legacy->blob + place.offset_bytes + (size_t)place.component_stride * k * bytes,
                                           (char *)data + k * stride * bytes, bytes};
    }
    return STOA_OK;
}

static stoa_status fill(reco_table *table, const hlt_input *input, const hlt_job *job, const stoa_view_head *legacy, bool vertices_first,
                        stoa_error *err)
{
    copied columns[COPIED_MAX];
    uint32_t count;
    void *event, *track;
    size_t at = 0;
    STOA_TRY(reco_table_add(table, "event", STOA_INT64, &event, err));
    STOA_TRY(reco_table_add(table, "track", STOA_INT64, &track, err));
    STOA_TRY(add_columns(table, legacy, columns, &count, err));
    for (uint32_t e = 0; e < input->count; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        const uint32_t first = result->legacy_first, rows = result->converted;
        for (uint32_t c = 0; c < count && rows > 0; c++)
            memcpy(columns[c].to + at * columns[c].row_bytes, columns[c].from + first * columns[c].row_bytes, rows * columns[c].row_bytes);
        for (uint32_t i = 0; i < rows; i++, at++) {
            const uint32_t source = result->legacy->source[first + i];
            ((int64_t *)event)[at] = input->events[e].number;
            ((int64_t *)track)[at] = vertices_first ? source : result->kept[source];
        }
    }
    return STOA_OK;
}

stoa_status hlt_write_legacy(const char *dir, const char *name, const hlt_input *input, const hlt_job *job, bool vertices_first,
                             stoa_error *err)
{
    const stoa_view_head *legacy = NULL;
    reco_table *table = NULL;
    size_t rows = 0;
    for (uint32_t e = 0; e < input->count; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        if (result->legacy) legacy = &result->legacy->head;
        rows += result->converted;
    }
    if (!legacy) return STOA_FAIL(err, STOA_ESTATE, "%s/%s: no legacy tracks were made", dir, name);
    char *path = output_path(dir, name);
    stoa_status status = path ? reco_table_create(rows, &table, err) : STOA_FAIL(err, STOA_ENOMEM, "%s/%s: no memory", dir, name);
    if (status == STOA_OK) status = fill(table, input, job, legacy, vertices_first, err);
    if (status == STOA_OK) status = reco_table_write(path, table, err);
    reco_table_destroy(table);
    free(path);
    return status;
}
