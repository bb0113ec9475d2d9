/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and summary of `stoa hlt`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hlt_files.h"
#include "output.h"

typedef struct column_of {
    const char *name;
    stoa_dtype dtype;
} column_of;

static stoa_status make_table(reco_table **table, size_t rows, const column_of *columns, size_t count, void **data, stoa_error *err)
{
    STOA_TRY(reco_table_create(rows, table, err));
    for (size_t c = 0; c < count; c++) STOA_TRY(reco_table_add(*table, columns[c].name, columns[c].dtype, &data[c], err));
    return STOA_OK;
}

static stoa_status write_table(const char *dir, const char *name, const reco_table *table, bool append, stoa_error *err)
{
    char *path = output_path(dir, name);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "%s/%s: no memory", dir, name);
    const stoa_status status = append ? reco_table_append(path, table, err) : reco_table_write(path, table, err);
    free(path);
    return status;
}

static float sqrt_or_nan(float x) { return x >= 0 ? sqrtf(x) : NAN; }

/* Score of a kept track: kept and index are both ascending, so one walk finds all. */
static float score_of(const hlt_result *result, uint32_t row, uint32_t *at)
{
    while (*at < result->preselected && result->index[*at] < row) ++*at;
    return *at < result->preselected ? result->score[*at] : NAN;
}

enum { T_EVENT, T_TRACK, T_PT, T_ETA, T_PHI, T_DXY, T_Z, T_Z_ERR, T_SCORE, T_VERTEX, T_TRUE, T_DUPLICATE, T_COUNT };
static const column_of track_columns[T_COUNT] = {{"event", STOA_INT64},  {"track", STOA_INT64},   {"pt", STOA_FLOAT32},
                                                 {"eta", STOA_FLOAT32},  {"phi", STOA_FLOAT32},   {"dxy", STOA_FLOAT32},
                                                 {"z", STOA_FLOAT32},    {"z_err", STOA_FLOAT32}, {"score", STOA_FLOAT32},
                                                 {"vertex", STOA_INT64}, {"is_true", STOA_INT64}, {"is_duplicate", STOA_INT64}};

static void fill_tracks(void **data, size_t at, const hlt_event *event, const hlt_result *result, bool has_truth)
{
    const tracks_soa_const t = event->tracks;
    const int64_t state = t.state.stride, covariance = t.covariance.stride;
    uint32_t walk = 0;
    for (uint32_t i = 0; i < result->selected; i++, at++) {
        const uint32_t row = result->kept[i];
        ((int64_t *)data[T_EVENT])[at] = event->number;
        ((int64_t *)data[T_TRACK])[at] = row;
        ((float *)data[T_PT])[at] = t.pt[row];
        ((float *)data[T_ETA])[at] = t.eta[row];
        ((float *)data[T_PHI])[at] = t.state.data[RECO_STATE_PHI * state + row];
        ((float *)data[T_DXY])[at] = t.state.data[RECO_STATE_TIP * state + row];
        ((float *)data[T_Z])[at] = t.state.data[RECO_STATE_ZIP * state + row];
        ((float *)data[T_Z_ERR])[at] = sqrt_or_nan(t.covariance.data[14 * covariance + row]);
        ((float *)data[T_SCORE])[at] = score_of(result, row, &walk);
        ((int64_t *)data[T_VERTEX])[at] = result->vertex_of[i];
        if (!has_truth) continue;
        ((int64_t *)data[T_TRUE])[at] = event->truth.is_true[row];
        ((int64_t *)data[T_DUPLICATE])[at] = event->truth.is_duplicate[row];
    }
}

static stoa_status write_tracks(const char *dir, const hlt_input *input, const hlt_job *job, size_t rows, bool append, stoa_error *err)
{
    void *data[T_COUNT] = {NULL};
    reco_table *table = NULL;
    size_t at = 0;
    stoa_status status = make_table(&table, rows, track_columns, input->has_truth ? T_COUNT : (size_t)T_TRUE, data, err);
    for (uint32_t e = 0; status == STOA_OK && e < input->count; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        fill_tracks(data, at, &input->events[e], result, input->has_truth);
        at += result->selected;
    }
    if (status == STOA_OK) status = write_table(dir, "tracks.csv", table, append, err);
    reco_table_destroy(table);
    return status;
}

enum { V_EVENT, V_VERTEX, V_Z, V_Z_ERR, V_CHI2, V_NDOF, V_PT2, V_TRACKS, V_COUNT };
static const column_of vertex_columns[V_COUNT] = {{"event", STOA_INT64},     {"vertex", STOA_INT64}, {"z", STOA_FLOAT32},
                                                  {"z_err", STOA_FLOAT32},   {"chi2", STOA_FLOAT32}, {"ndof", STOA_INT64},
                                                  {"pt2_sum", STOA_FLOAT32}, {"tracks", STOA_INT64}};

/* `place` is scratch: of vertex v in the order written. */
static void fill_vertices(void **data, size_t at, const hlt_event *event, const hlt_result *result, uint32_t *place)
{
    int64_t *tracks = data[V_TRACKS];
    for (uint32_t k = 0; k < result->vertices; k++) {
        const uint32_t v = result->by_pt2[result->vertices - 1u - k];
        const float weight = result->weight[v];
        place[v] = k;
        ((int64_t *)data[V_EVENT])[at + k] = event->number;
        ((int64_t *)data[V_VERTEX])[at + k] = v;
        ((float *)data[V_Z])[at + k] = result->z[v];
        ((float *)data[V_Z_ERR])[at + k] = weight > 0 ? 1.0f / sqrtf(weight) : INFINITY;
        ((float *)data[V_CHI2])[at + k] = result->chi2[v];
        ((int64_t *)data[V_NDOF])[at + k] = result->ndof[v];
        ((float *)data[V_PT2])[at + k] = result->pt2_sum[v];
    }
    for (uint32_t i = 0; i < result->selected; i++) {
        const int16_t v = result->vertex_of[i];
        if (v >= 0 && (uint32_t)v < result->vertices) tracks[at + place[v]]++;
    }
}

static stoa_status write_vertices(const char *dir, const hlt_input *input, const hlt_job *job, size_t rows, bool append, stoa_error *err)
{
    void *data[V_COUNT] = {NULL};
    reco_table *table = NULL;
    size_t at = 0;
    uint32_t *place = calloc(rows + 1, sizeof *place);
    stoa_status status = place ? make_table(&table, rows, vertex_columns, V_COUNT, data, err)
                               : STOA_FAIL(err, STOA_ENOMEM, "vertices.csv: no memory for %zu rows", rows);
    for (uint32_t e = 0; status == STOA_OK && e < input->count; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        fill_vertices(data, at, &input->events[e], result, place);
        at += result->vertices;
    }
    free(place);
    if (status == STOA_OK) status = write_table(dir, "vertices.csv", table, append, err);
    reco_table_destroy(table);
    return status;
}

stoa_status hlt_write_tables(const char *dir, const hlt_input *input, const hlt_job *job, bool append, stoa_error *err)
{
    size_t tracks = 0, vertices = 0;
    for (uint32_t e = 0; e < input->count; e++) {
        tracks += hlt_job_result(job, e)->selected;
        vertices += hlt_job_result(job, e)->vertices;
    }
    STOA_TRY(write_tracks(dir, input, job, tracks, append, err));
    return write_vertices(dir, input, job, vertices, append, err);
}
