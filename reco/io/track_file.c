/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/io/track_file.h"

#include "reco/check.h"
#include "stoa/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = STOA_LAYOUT_ALIGN_BYTES };

struct reco_track_file {
    const void *data;
    void *map; /* the same where it is mapped here */
    size_t bytes;
    reco_track_blob *events;
    uint32_t count;
};

typedef struct header {
    char magic[8];
    int64_t event;
    uint32_t tracks, hits;
    uint64_t bytes;
    uint32_t rec_hits;
} header;

/* ---- Blobs. ---- */

/* Bind the next block of a blob and step over it. */
static stoa_status next_block(const stoa_layout *layout, uint32_t rows, const char **at, size_t *left, stoa_place place,
                              stoa_view_head *view, stoa_error *err)
{
    size_t bytes;
    STOA_TRY(stoa_layout_bytes(layout, rows, &bytes, err));
    STOA_TRY(stoa_layout_bind_const(layout, rows, *at, *left, place, view, err));
    *at += bytes;
    *left -= bytes;
    return STOA_OK;
}

/* Rows of the blocks of a TracksSoA blob and of what a file puts behind it. */
typedef struct blob_rows {
    uint32_t tracks, hits, rec_hits;
} blob_rows;

static stoa_status adopt_blocks(const char *at, size_t bytes, stoa_place place, blob_rows rows, reco_track_blob *blob, stoa_error *err)
{
    blob->rec_hits = (rec_hits_soa_const){0};
    STOA_TRY(next_block(&tracks_soa_layout, rows.tracks, &at, &bytes, place, &blob->tracks.head, err));
    STOA_TRY(next_block(&track_hits_soa_layout, rows.hits, &at, &bytes, place, &blob->hits.head, err));
    if (rows.rec_hits == 0) return STOA_OK;
    return next_block(&rec_hits_soa_layout, rows.rec_hits, &at, &bytes, place, &blob->rec_hits.head, err);
}

stoa_status reco_tracks_adopt(const void *data, size_t bytes, stoa_place place, uint32_t tracks, uint32_t hits, reco_track_blob *blob,
                              stoa_error *err)
{
    RECO_NEED(err, "tracks", data);
    RECO_NEED(err, "tracks", blob);
    return adopt_blocks(data, bytes, place, (blob_rows){tracks, hits, 0}, blob, err);
}

stoa_status reco_vertices_adopt(const void *data, size_t bytes, stoa_place place, uint32_t vertices, uint32_t tracks,
                                reco_vertex_blob *blob, stoa_error *err)
{
    const char *at = data;
    RECO_NEED(err, "vertices", data);
    RECO_NEED(err, "vertices", blob);
    STOA_TRY(next_block(&vertices_soa_layout, vertices, &at, &bytes, place, &blob->vertices.head, err));
    return next_block(&vertex_tracks_soa_layout, tracks, &at, &bytes, place, &blob->tracks.head, err);
}

/* ---- Files. ---- */

static stoa_status read_header(const reco_track_file *file, const char *path, size_t at, header *h, stoa_error *err)
{
    if (file->bytes - at < HEADER_BYTES)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: byte %zu: %zu bytes left, a header has %d", path, at, file->bytes - at, HEADER_BYTES);
    memcpy(h, (const char *)file->data + at, sizeof *h);
    if (memcmp(h->magic, "STOASOA1", sizeof h->magic) != 0) return STOA_FAIL(err, STOA_EFORMAT, "%s: byte %zu: no STOASOA1", path, at);
    if (h->bytes > file->bytes - at - HEADER_BYTES || h->bytes % STOA_LAYOUT_ALIGN_BYTES != 0)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: byte %zu: blob of %llu bytes, %zu left", path, at, (unsigned long long)h->bytes,
                         file->bytes - at - HEADER_BYTES);
    return STOA_OK;
}

static stoa_status view_event(const reco_track_file *file, size_t at, const header *h, reco_track_blob *blob, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const char *data = (const char *)file->data + at + HEADER_BYTES;
    blob->event = h->event;
    return adopt_blocks(data, h->bytes, host, (blob_rows){h->tracks, h->hits, h->rec_hits}, blob, err);
}

/* Twice over the headers: once to count, once to view. */
static stoa_status view_events(reco_track_file *file, const char *path, stoa_error *err)
{
    header h;
    for (size_t at = 0; at < file->bytes; at += HEADER_BYTES + h.bytes, file->count++) STOA_TRY(read_header(file, path, at, &h, err));
    file->events = stoa_calloc(file->count + 1u, sizeof *file->events);
    if (!file->events) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u events", path, file->count);
    size_t at = 0;
    for (uint32_t e = 0; e < file->count; e++, at += HEADER_BYTES + h.bytes) {
        STOA_TRY(read_header(file, path, at, &h, err));
        STOA_TRY(view_event(file, at, &h, &file->events[e], err));
    }
    return STOA_OK;
}

static stoa_status map_file(reco_track_file *file, const char *path, stoa_error *err)
{
    const int handle = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (handle < 0 || fstat(handle, &info) != 0) {
        const int failed = errno;
        if (handle >= 0) close(handle);
        return stoa_error_set(err, STOA_EIO, failed, STOA_HERE, "%s: %s", path, strerror(failed));
    }
    file->bytes = (size_t)info.st_size;
    if (file->bytes > 0) file->map = mmap(NULL, file->bytes, PROT_READ, MAP_PRIVATE, handle, 0);
    const int failed = file->map == MAP_FAILED ? errno : 0;
    close(handle);
    if (failed) file->map = NULL;
    file->data = file->map;
    if (!failed) return STOA_OK;
    return stoa_error_set(err, STOA_EIO, failed, STOA_HERE, "%s: %s", path, strerror(failed));
}

static stoa_status make_file(const char *name, reco_track_file **file, stoa_error *err)
{
    RECO_NEED(err, "track file", file);
    *file = NULL;
    RECO_NEED(err, "track file", name);
    *file = stoa_calloc(1, sizeof **file);
    return *file ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", name);
}

/* `status` is that of what the file lies in. */
static stoa_status finish_file(const char *name, stoa_status status, reco_track_file **file, stoa_error *err)
{
    if (status == STOA_OK) status = view_events(*file, name, err);
    if (status == STOA_OK) return STOA_OK;
    reco_track_file_close(*file);
    *file = NULL;
    return status;
}

stoa_status reco_track_file_open(const char *path, reco_track_file **file, stoa_error *err)
{
    STOA_TRY(make_file(path, file, err));
    return finish_file(path, map_file(*file, path, err), file, err);
}

stoa_status reco_track_file_open_memory(const void *data, size_t bytes, const char *name, reco_track_file **file, stoa_error *err)
{
    STOA_TRY(make_file(name, file, err));
    (*file)->data = data;
    (*file)->bytes = bytes;
    return finish_file(name, bytes > 0 && !data ? STOA_FAIL(err, STOA_EINVAL, "%s: data is NULL", name) : STOA_OK, file, err);
}

void reco_track_file_close(reco_track_file *file)
{
    if (!file) return;
    if (file->map) munmap(file->map, file->bytes);
    stoa_free(file->events, (file->count + 1u) * sizeof *file->events);
    stoa_free(file, sizeof *file);
}

uint32_t reco_track_file_count(const reco_track_file *file) { return file->count; }

const reco_track_blob *reco_track_file_event(const reco_track_file *file, uint32_t index)
{ return index < file->count ? &file->events[index] : NULL; }
