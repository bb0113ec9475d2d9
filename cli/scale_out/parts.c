/* SPDX-License-Identifier: Apache-2.0 */
#include "scale_out/parts.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"
#include "stoa/version.h"

#define MANIFEST "manifest"

static stoa_status fail_io(const char *path, stoa_error *err)
{ return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno)); }

/* ---- The folder. ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void remove_tree(const char *path) { (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* Another file, or another state of one, is another job. */
static void describe_file(FILE *out, const char *path)
{
    struct stat info;
    if (stat(path, &info)) fprintf(out, "%s (not there)\n", path);
    else fprintf(out, "%s (%jd bytes, %jd.%09ld)\n", path, (intmax_t)info.st_size, (intmax_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

static bool is_file(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

/* A word, and the file that it or its value is. */
static void describe_word(FILE *out, const char *word)
{
    const char *equals = !strncmp(word, "--", 2) ? strchr(word, '=') : NULL;
    const char *path = equals ? equals + 1 : word;
    fprintf(out, "%s\n", word);
    if (is_file(path)) describe_file(out, path);
}

/* The program is who it says it is, and the files that hold it and the library. */
static void describe_program(FILE *out)
{
    Dl_info library;
    union {
        const char *(*function)(void);
        const void *address;
    } place = {stoa_version};
    fprintf(out, "stoa %s; %s\n", stoa_version(), stoa_build_info());
    describe_file(out, "/proc/self/exe");
    if (dladdr(place.address, &library) && is_file(library.dli_fname)) describe_file(out, library.dli_fname);
}

static char *describe_command(const parts_command *command)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    describe_program(out);
    for (int i = 0; i < command->argc; i++) describe_word(out, command->argv[i]);
    for (uint32_t i = 0; i < command->file_count; i++) describe_file(out, command->files[i]);
    return fclose(out) ? (free(text), NULL) : text;
}

/* The size of a part of an earlier run of the same command; 0: there is none. */
static uint64_t read_manifest(const char *path, const char *command)
{
    uint64_t size = 0;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    const bool is_same =
        fscanf(file, "part size %" SCNu64 "\n", &size) == 1 && getdelim(&text, &bytes, '\0', file) > 0 && !strcmp(text, command);
    fclose(file);
    free(text);
    return is_same ? size : 0;
}

static stoa_status write_manifest(const parts *self, const char *command, stoa_error *err)
{
    FILE *file = output_open(self->folder, MANIFEST, err);
    if (!file) return STOA_EIO;
    fprintf(file, "part size %" PRIu64 "\n%s", self->size, command);
    return output_close(file, self->folder, MANIFEST, err);
}

/* Finished parts: their names are numbers, the others' have a dot. */
static uint64_t count_parts(const parts *self)
{
    uint64_t count = 0;
    DIR *dir = opendir(self->folder);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;)
        count += strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
    if (dir) closedir(dir);
    return count;
}

/* The first rank finds the folder of the same command, or makes a new one. */
static stoa_status prepare(parts *self, const char *path, const char *command, stoa_error *err)
{
    if (read_manifest(path, command) > 0) return self->found = count_parts(self), STOA_OK;
    remove_tree(self->folder);
    STOA_TRY(output_make_dir(self->folder, err));
    return write_manifest(self, command, err);
}

stoa_status parts_open(parts *self, ranks *group, const char *dir, const parts_command *given, uint64_t size, stoa_error *err)
{
    *self = (parts){.ranks = group, .dir = dir, .size = size > 0 ? size : 1, .folder = output_path(dir, "parts")};
    char *command = describe_command(given), *path = self->folder ? output_path(self->folder, MANIFEST) : NULL;
    stoa_status status = command && path ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "parts in '%s': no memory", dir);
    if (status == STOA_OK && ranks_is_first(group)) status = prepare(self, path, command, err);
    status = ranks_agree(group, status, err);
    if (status == STOA_OK && (self->size = read_manifest(path, command)) == 0)
        status = STOA_FAIL(err, STOA_EIO, "'%s' is not what the first rank wrote", path);
    free(command);
    free(path);
    return ranks_agree(group, status, err);
}

void parts_remove(parts *self) { remove_tree(self->folder); }

void parts_close(parts *self)
{
    free(self->folder);
    *self = (parts){0};
}

/* ---- One part. ---- */

const char *parts_path(parts *self, uint64_t number)
{
    snprintf(self->path, sizeof self->path, "%s/%" PRIu64, self->folder, number);
    return self->path;
}

bool parts_is_there(const parts *self, uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%" PRIu64, number);
    char *path = output_path(self->folder, name);
    const bool is_there = path && access(path, F_OK) == 0;
    free(path);
    return is_there;
}

stoa_status parts_take(parts *self, uint64_t count, uint64_t *number, stoa_error *err)
{
    for (;;) {
        STOA_TRY(ranks_next(self->ranks, number, err));
        if (*number >= count || !parts_is_there(self, *number)) return STOA_OK;
    }
}

static void name_unfinished(const parts *self, uint64_t number, char *path, size_t capacity)
{ snprintf(path, capacity, "%s/%" PRIu64 ".%u", self->folder, number, self->ranks->rank); }

stoa_status parts_begin(parts *self, uint64_t number, const char **folder, stoa_error *err)
{
    name_unfinished(self, number, self->path, sizeof self->path);
    remove_tree(self->path);
    *folder = self->path;
    return output_make_dir(self->path, err);
}

stoa_status parts_finish(parts *self, uint64_t number, stoa_error *err)
{
    char from[sizeof self->path];
    name_unfinished(self, number, from, sizeof from);
    return rename(from, parts_path(self, number)) ? fail_io(from, err) : STOA_OK;
}

/* ---- Merging. ---- */

static stoa_status append(FILE *out, const char *path, bool with_header, stoa_error *err)
{
    char buffer[1 << 16];
    FILE *in = fopen(path, "r");
    if (!in) return fail_io(path, err);
    for (int c = 0; !with_header && c != '\n' && c != EOF;) c = getc(in);
    for (size_t bytes; (bytes = fread(buffer, 1, sizeof buffer, in)) > 0;) fwrite(buffer, 1, bytes, out);
    const stoa_status status = ferror(in) ? fail_io(path, err) : STOA_OK;
    fclose(in);
    return status;
}

stoa_status parts_merge_table(parts *self, uint64_t count, const char *name, stoa_error *err)
{
    FILE *out = output_open(self->dir, name, err);
    if (!out) return STOA_EIO;
    stoa_status status = STOA_OK;
    for (uint64_t k = 0; status == STOA_OK && k < count; k++) {
        char *path = output_path(parts_path(self, k), name);
        status = path ? append(out, path, k == 0, err) : STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", name);
        free(path);
    }
    const stoa_status closed = output_close(out, self->dir, name, status == STOA_OK ? err : NULL);
    return status == STOA_OK ? closed : status;
}

/* `share` of `one`: its weight over that of all parts so far. A mean of means so weighted is the mean. */
static void add_summary(json_t *sum, json_t *one, double share)
{
    const char *key;
    json_t *value;
    json_object_foreach(one, key, value)
    {
        json_t *old = json_object_get(sum, key);
        if (json_is_object(old) && json_is_object(value)) add_summary(old, value, share);
        else if (json_is_integer(old) && json_is_integer(value))
            json_object_set_new(sum, key, json_integer(json_integer_value(old) + json_integer_value(value)));
        else if (json_is_real(old) && json_is_real(value))
            json_object_set_new(sum, key, json_real((1 - share) * json_real_value(old) + share * json_real_value(value)));
        else json_object_set(sum, key, value);
    }
}

stoa_status parts_sum_summaries(parts *self, uint64_t count, const char *weight, json_t **sum, stoa_error *err)
{
    double total = 0;
    *sum = json_object();
    for (uint64_t k = 0; k < count; k++) {
        json_error_t why;
        char *path = output_path(parts_path(self, k), "summary.json");
        json_t *one = path ? json_load_file(path, 0, &why) : NULL;
        free(path);
        if (!one || !*sum) {
            json_decref(one);
            json_decref(*sum);
            *sum = NULL;
            return STOA_FAIL(err, STOA_EIO, "'%s': its summary.json cannot be read", self->path);
        }
        const double mine = (double)json_integer_value(json_object_get(one, weight));
        total += mine;
        add_summary(*sum, one, total > 0 ? mine / total : 0);
        json_decref(one);
    }
    return STOA_OK;
}
