/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/aoti/archive.h"

#include <string.h>
#include <zip.h>

#include "stoa/memory.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), wanted_length = strlen(end);
    return length >= wanted_length && strcmp(text + length - wanted_length, end) == 0;
}

/* Whether a path is <anything>folder<name>end, with a name that has no folder of its own. */
static bool is_member(const char *path, const char *folder, const char *end)
{
    const char *slash = strrchr(path, '/');
    if (!slash || !ends_with(path, end)) return false;
    const size_t before = (size_t)(slash - path) + 1, length = strlen(folder);
    return before >= length && strncmp(path + before - length, folder, length) == 0;
}

/* Members are stored, so none can be larger than the file: a forged size asks for no memory. */
static stoa_status read_member(zip_t *zip, zip_uint64_t index, size_t file_bytes, const char *what, aoti_member *member, stoa_error *err)
{
    zip_stat_t info;
    if (zip_stat_index(zip, index, 0, &info) != 0 || info.comp_method != ZIP_CM_STORE || info.size > file_bytes)
        return STOA_FAIL(err, STOA_EFORMAT, "package: its %s is compressed or larger than the file (%zu bytes)", what, file_bytes);
    if (member->data) return STOA_FAIL(err, STOA_EFORMAT, "package: there is more than one %s", what);
    member->bytes = info.size;
    member->data = stoa_alloc(member->bytes, 64);
    if (!member->data) return STOA_FAIL(err, STOA_ENOMEM, "package: %zu bytes of %s", member->bytes, what);
    char more;
    zip_file_t *file = zip_fopen_index(zip, index, 0);
    const zip_int64_t got = file ? zip_fread(file, member->data, member->bytes) : -1;
    /* Only reading up to the end compares the sum of what was read. */
    const bool whole = got == (zip_int64_t)member->bytes && zip_fread(file, &more, 1) == 0;
    if (file) zip_fclose(file);
    if (!whole) return STOA_FAIL(err, STOA_EFORMAT, "package: %lld of %zu bytes of %s can be read", (long long)got, member->bytes, what);
    return STOA_OK;
}

stoa_status stoai_archive_read(const aoti_archive *archive, const char *folder, const char *end, const char *what, aoti_member *member,
                               stoa_error *err)
{
    const zip_int64_t count = zip_get_num_entries(archive->zip, 0);
    *member = (aoti_member){NULL, 0};
    for (zip_int64_t i = 0; i < count; i++) {
        const char *path = zip_get_name(archive->zip, (zip_uint64_t)i, 0);
        if (!path || !is_member(path, folder, end)) continue;
        const stoa_status status = read_member(archive->zip, (zip_uint64_t)i, archive->bytes, what, member, err);
        if (status == STOA_OK) continue;
        stoa_free(member->data, member->bytes);
        *member = (aoti_member){NULL, 0};
        return status;
    }
    return STOA_OK;
}

static stoa_status check_members(const aoti_archive *archive, stoa_error *err)
{
    const zip_int64_t count = zip_get_num_entries(archive->zip, 0);
    if (count <= 0) return STOA_FAIL(err, STOA_EFORMAT, "package: %zu bytes hold no members", archive->bytes);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *path = zip_get_name(archive->zip, (zip_uint64_t)i, 0);
        if (path && ends_with(path, ".wrapper.json"))
            return STOA_FAIL(err, STOA_ENOTSUP, "package: %s: it has operators that only libtorch's executor can run", path);
    }
    return STOA_OK;
}

stoa_status stoai_archive_open(const void *data, size_t bytes, aoti_archive *archive, stoa_error *err)
{
    zip_error_t reason;
    *archive = (aoti_archive){NULL, bytes};
    zip_error_init(&reason);
    zip_source_t *source = zip_source_buffer_create(data, bytes, 0, &reason);
    archive->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &reason) : NULL;
    stoa_status status;
    if (archive->zip) {
        status = check_members(archive, err);
    } else {
        status = STOA_FAIL(err, STOA_EFORMAT, "package: %zu bytes are no zip file: %s", bytes, zip_error_strerror(&reason));
        zip_source_free(source);
    }
    zip_error_fini(&reason);
    if (status != STOA_OK) stoai_archive_close(archive);
    return status;
}

void stoai_archive_close(aoti_archive *archive)
{
    if (archive->zip) zip_discard(archive->zip);
    archive->zip = NULL;
}
