/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/aoti/archive.h"

#include <string.h>
#include <zip.h>

#include "stoa/memory.h"

/* How a member is recognised: what its path ends with, and what it holds besides. */
static const struct {
    const char *end, *inside, *what;
    size_t offset;
} wanted[] = {
    {"/extra/stoa.json", "", "manifest", offsetof(aoti_archive, manifest)},
    {".so", "/data/aotinductor/", "library", offsetof(aoti_archive, library)},
    {"/extra/stoa.weights", "", "weights", offsetof(aoti_archive, weights)},
};
enum { WANTED = sizeof wanted / sizeof *wanted };

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), wanted_length = strlen(end);
    return length >= wanted_length && strcmp(text + length - wanted_length, end) == 0;
}

static aoti_member *member_of(aoti_archive *archive, int index)
{
    return (aoti_member *)(void *)((char *)archive + wanted[index].offset);
}

/* Members are stored, so none can be larger than the file: a forged size asks for no memory. */
static stoa_status read_member(zip_t *zip, zip_uint64_t index, size_t file_bytes, aoti_member *member, const char *what, stoa_error *err)
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

static stoa_status read_members(zip_t *zip, size_t file_bytes, aoti_archive *archive, stoa_error *err)
{
    const zip_int64_t count = zip_get_num_entries(zip, 0);
    if (count <= 0) return STOA_FAIL(err, STOA_EFORMAT, "package: %zu bytes hold no members", file_bytes);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(zip, (zip_uint64_t)i, 0);
        if (name && ends_with(name, ".wrapper.json"))
            return STOA_FAIL(err, STOA_ENOTSUP, "package: %s: it has operators that only libtorch's executor can run", name);
        for (int w = 0; name && w < WANTED; w++)
            if (ends_with(name, wanted[w].end) && strstr(name, wanted[w].inside))
                STOA_TRY(read_member(zip, (zip_uint64_t)i, file_bytes, member_of(archive, w), wanted[w].what, err));
    }
    if (!archive->manifest.data)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: no stoa.json among its %lld members: it was not written by stoa.export, the strides of "
                                            "its example are baked in, and others would give wrong numbers without a word", (long long)count);
    if (!archive->library.data) return STOA_FAIL(err, STOA_EFORMAT, "package: no library among its %lld members", (long long)count);
    return STOA_OK;
}

stoa_status stoai_archive_read(const void *data, size_t bytes, aoti_archive *archive, stoa_error *err)
{
    zip_error_t reason;
    *archive = (aoti_archive){{NULL, 0}, {NULL, 0}, {NULL, 0}};
    zip_error_init(&reason);
    zip_source_t *source = zip_source_buffer_create(data, bytes, 0, &reason);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY, &reason) : NULL;
    if (!zip) {
        const stoa_status status = STOA_FAIL(err, STOA_EFORMAT, "package: %zu bytes are no zip file: %s", bytes, zip_error_strerror(&reason));
        zip_source_free(source);
        zip_error_fini(&reason);
        return status;
    }
    const stoa_status status = read_members(zip, bytes, archive, err);
    zip_discard(zip);
    zip_error_fini(&reason);
    if (status != STOA_OK) stoai_archive_deinit(archive);
    return status;
}

void stoai_archive_deinit(aoti_archive *archive)
{
    for (int w = 0; w < WANTED; w++) {
        aoti_member *member = member_of(archive, w);
        stoa_free(member->data, member->bytes);
        *member = (aoti_member){NULL, 0};
    }
}
