/* SPDX-License-Identifier: Apache-2.0 */
/* Results of a range of events in a file, for another process of the same build. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pipelines/hlt_pixel_tracks/hlt_job.h"

typedef struct save_header {
    char magic[8];
    int64_t first_number; /* of the first event, wherever it stands in a job */
    uint32_t result_bytes, count;
    hlt_totals totals;
} save_header;
static const char magic[8] = "HLTSAVE3";

typedef struct save_part {
    void *data;
    size_t bytes;
} save_part;

/* The k-th array of one event, as long as its counts say; false behind the last one. */
static bool part_of(const hlt_job *job, uint32_t index, const hlt_result *result, uint32_t k, save_part *part)
{
    const hlt_slot *slot = &job->slots[index];
    const size_t preselected = result->preselected, selected = result->selected, vertices = result->vertices;
    const save_part list[] = {{slot->index, preselected * sizeof *slot->index},
                              {slot->score, preselected * sizeof *slot->score},
                              {slot->kept, selected * sizeof *slot->kept},
                              {slot->vertex_of, selected * sizeof *slot->vertex_of},
                              {slot->z, vertices * sizeof *slot->z},
                              {slot->weight, vertices * sizeof *slot->weight},
                              {slot->chi2, vertices * sizeof *slot->chi2},
                              {slot->pt2_sum, vertices * sizeof *slot->pt2_sum},
                              {slot->ndof, vertices * sizeof *slot->ndof},
                              {slot->by_pt2, vertices * sizeof *slot->by_pt2},
                              {slot->legacy_of, (job->options.vertices_first ? result->tracks : selected) * sizeof *slot->legacy_of}};
    enum { LISTED = sizeof list / sizeof *list, WITHOUT_LEGACY = LISTED - 1 };
    hlt_piece piece;
    if (k < (slot->legacy ? LISTED : WITHOUT_LEGACY)) *part = list[k];
    else if (slot->legacy && hlt_piece_of(&slot->legacy->head, k - LISTED, slot->legacy_first, &piece))
        *part = (save_part){piece.data, piece.row_bytes * result->converted};
    else return false;
    return true;
}

static int64_t first_number(const hlt_job *job, uint32_t first, uint32_t count) { return count > 0 ? job->events[first].number : 0; }

static stoa_status fail_file(const char *path, stoa_error *err)
{ return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, errno ? strerror(errno) : "ends too early"); }

stoa_status hlt_job_save(const hlt_job *job, uint32_t first, uint32_t count, const char *path, stoa_error *err)
{
    save_header header = {.result_bytes = sizeof(hlt_result), .count = count, .totals = job->last};
    save_part part;
    memcpy(header.magic, magic, sizeof magic);
    STOA_TRY(hlt_job_check_range(job, first, count, err));
    header.first_number = first_number(job, first, count);
    FILE *file = fopen(path, "wb");
    if (!file) return fail_file(path, err);
    fwrite(&header, sizeof header, 1, file);
    for (uint32_t e = first; e < first + count; e++) {
        const hlt_result *result = &job->results[e];
        fwrite(result, sizeof *result, 1, file);
        for (uint32_t k = 0; part_of(job, e, result, k, &part); k++) fwrite(part.data, 1, part.bytes, file);
    }
    const int bad = ferror(file);
    return fclose(file) || bad ? fail_file(path, err) : STOA_OK;
}

static stoa_status load_event(hlt_job *job, uint32_t index, FILE *file, const char *path, stoa_error *err)
{
    const uint32_t rows = job->events[index].tracks.head.rows;
    save_part part;
    hlt_result result;
    if (fread(&result, sizeof result, 1, file) != 1) return fail_file(path, err);
    if (result.tracks > rows || result.preselected > rows || result.selected > rows || result.converted > rows ||
        result.vertices > rows + 1)
        return STOA_FAIL(err, STOA_EFORMAT,
                         "'%s': event %u: %u of %u preselected tracks selected, %u converted, %u vertices, the event has %u rows", path,
                         index, result.selected, result.preselected, result.converted, result.vertices, rows);
    result.reason[sizeof result.reason - 1] = '\0';
    for (uint32_t k = 0; part_of(job, index, &result, k, &part); k++)
        if (fread(part.data, 1, part.bytes, file) != part.bytes) return fail_file(path, err);
    job->results[index] = result;
    hlt_job_point(job, index);
    job->slots[index].is_done = true;
    return STOA_OK;
}

static stoa_status load_file(hlt_job *job, uint32_t first, uint32_t count, FILE *file, const char *path, stoa_error *err)
{
    save_header header;
    if (fread(&header, sizeof header, 1, file) != 1) return fail_file(path, err);
    if (memcmp(header.magic, magic, sizeof magic) != 0 || header.result_bytes != sizeof(hlt_result))
        return STOA_FAIL(err, STOA_EFORMAT, "'%s': no results of this build", path);
    if (header.first_number != first_number(job, first, count) || header.count != count)
        return STOA_FAIL(err, STOA_EFORMAT, "'%s': %u events from event %lld on, %u from %lld needed", path, header.count,
                         (long long)header.first_number, count, (long long)first_number(job, first, count));
    for (uint32_t e = first; e < first + count; e++) STOA_TRY(load_event(job, e, file, path, err));
    hlt_job_add(job, &header.totals);
    return STOA_OK;
}

stoa_status hlt_job_load(hlt_job *job, uint32_t first, uint32_t count, const char *path, stoa_error *err)
{
    STOA_TRY(hlt_job_check_range(job, first, count, err));
    if (count > 0 && job->slots[first].is_done) return STOA_OK; /* ran here */
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return fail_file(path, err);
    const stoa_status status = load_file(job, first, count, file, path, err);
    fclose(file);
    return status;
}
