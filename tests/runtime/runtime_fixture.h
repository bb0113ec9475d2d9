/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of runtimes that are plugins share: a queue, loading, blocks of float columns, and a watch over what a library does behind the
 * caller's back. */
#ifndef TESTS_RUNTIME_FIXTURE_H
#define TESTS_RUNTIME_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stoa/stoa.h"

static const stoa_place fixture_place = {STOA_PLACE_HOST, 0};
static stoa_device *fixture_device;
static stoa_queue *fixture_queue;

static inline int fixture_setup(void **state)
{
    (void)state;
    if (stoa_device_open("host", &fixture_device, NULL) != STOA_OK) return -1;
    return stoa_queue_create(fixture_device, STOA_QUEUE_BLOCKING, &fixture_queue, NULL) == STOA_OK ? 0 : -1;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    stoa_queue_destroy(fixture_queue);
    stoa_device_close(fixture_device);
    return 0;
}

static inline const char *fixture_path(const char *file)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("STOA_TEST_PACKAGES"), file);
    return path;
}

/* Files that stoa.export wrote carry test vectors; the native engine reads none. */
static inline bool fixture_has_vectors(const char *file, const char *runtime, const char *signature)
{ return *file != '/' && !signature && strcmp(runtime, "native") != 0 && strncmp(file, "foreign_", 8) != 0; }

static inline stoa_status fixture_try_load(const char *file, const char *runtime, const char *signature, stoa_model **model,
                                           stoa_error *err)
{
    const stoa_model_options options = {.struct_size = sizeof options,
                                        .runtime = runtime,
                                        .signature = signature,
                                        .self_check = fixture_has_vectors(file, runtime, signature)};
    return stoa_model_load(*file == '/' ? file : fixture_path(file), &options, model, err);
}

static inline stoa_model *fixture_load(const char *file, const char *runtime, const char *signature)
{
    stoa_error err = {0};
    stoa_model *model;
    if (fixture_try_load(file, runtime, signature, &model, &err) != STOA_OK) fail_msg("%s: %s", file, err.message);
    return model;
}

/* Whether a file in memory loads. */
static inline stoa_status fixture_load_bytes(const void *data, size_t bytes, const char *runtime, const char *signature, stoa_error *err)
{
    stoa_model *model;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtime, .signature = signature};
    const stoa_status status = stoa_model_load_memory(data, bytes, &options, &model, err);
    stoa_model_destroy(model);
    return status;
}

static inline char *fixture_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s", path);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    char *data = malloc(*bytes);
    rewind(file);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

static inline stoa_session *fixture_session(const stoa_model *model, stoa_queue *queue, uint32_t max_rows, uint32_t allow_copies)
{
    stoa_error err = {0};
    stoa_session *session;
    const stoa_session_options options = {.struct_size = sizeof options, .allow_copies = allow_copies};
    if (stoa_session_create(model, queue, max_rows, &options, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    return session;
}

/* `count` float columns: column k begins k * pitch floats behind `data`, rows are `stride` floats apart. */
static inline stoa_status fixture_try_bind(stoa_session *session, const char *name, float *data, uint32_t count, uint32_t rows,
                                           size_t pitch, int64_t stride, stoa_error *err)
{
    stoa_column columns[32];
    for (uint32_t k = 0; k < count; k++) columns[k] = stoa_column_over(data + k * pitch, STOA_FLOAT32, rows, stride, fixture_place);
    return stoa_session_bind(session, name, stoa_tensor_of(columns, count), err);
}

static inline void fixture_bind(stoa_session *session, const char *name, float *data, uint32_t count, uint32_t rows, size_t pitch,
                                int64_t stride)
{
    stoa_error err = {0};
    if (fixture_try_bind(session, name, data, count, rows, pitch, stride, &err) != STOA_OK) fail_msg("%s: %s", name, err.message);
}

static inline void fixture_run(stoa_session *session, uint32_t first, uint32_t rows)
{
    stoa_error err = {0};
    if (stoa_session_run_rows(session, first, rows, &err) != STOA_OK) fail_msg("%s", err.message);
}

static inline stoa_session_stats fixture_stats(const stoa_session *session)
{
    stoa_session_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(stoa_session_get_stats(session, &stats, NULL), STOA_OK);
    return stats;
}

static inline float fixture_number(uint32_t i) { return (float)((i * 2654435761u) >> 16) / 32768.0f - 1.0f; }

/* ---- behind the back ------------------------------------------------------------------------------------------------------- */

typedef struct fixture_watch {
    int threads, files, saved[2], ends[2];
} fixture_watch;

static inline int fixture_entries(const char *folder)
{
    int count = 0;
    DIR *list = opendir(folder);
    while (list && readdir(list)) count++;
    closedir(list);
    return count;
}

/* From here on both output streams are read; threads and open files are counted. */
static inline void fixture_watch_begin(fixture_watch *w)
{
    fflush(NULL);
    assert_int_equal(pipe2(w->ends, O_NONBLOCK), 0);
    for (int i = 0; i < 2; i++) {
        w->saved[i] = dup(STDOUT_FILENO + i);
        dup2(w->ends[1], STDOUT_FILENO + i);
    }
    w->threads = fixture_entries("/proc/self/task");
    w->files = fixture_entries("/proc/self/fd");
}

static inline void fixture_watch_end(fixture_watch *w)
{
    char text[256];
    fflush(NULL);
    const int threads = fixture_entries("/proc/self/task"), files = fixture_entries("/proc/self/fd");
    for (int i = 0; i < 2; i++) {
        dup2(w->saved[i], STDOUT_FILENO + i);
        close(w->saved[i]);
    }
    const ssize_t printed = read(w->ends[0], text, sizeof text);
    close(w->ends[0]);
    close(w->ends[1]);
    if (printed > 0) fail_msg("printed: %.*s", (int)printed, text);
    assert_int_equal(threads, w->threads);
    assert_int_equal(files, w->files);
}

/* ---- threads --------------------------------------------------------------------------------------------------------------- */

enum { FIXTURE_ROWS = 256, FIXTURE_INPUTS = 17 };

typedef struct fixture_worker {
    const stoa_model *model;
    float x[FIXTURE_INPUTS * FIXTURE_ROWS], y[FIXTURE_ROWS];
    pthread_t thread;
} fixture_worker;

static inline void *fixture_work(void *user)
{
    fixture_worker *w = user;
    stoa_queue *queue;
    if (stoa_queue_create(fixture_device, STOA_QUEUE_BLOCKING, &queue, NULL) != STOA_OK) return NULL;
    stoa_session *session = fixture_session(w->model, queue, FIXTURE_ROWS, 1);
    fixture_bind(session, "x", w->x, FIXTURE_INPUTS, FIXTURE_ROWS, FIXTURE_ROWS, 1);
    fixture_bind(session, "score", w->y, 1, FIXTURE_ROWS, FIXTURE_ROWS, 1);
    for (int i = 0; i < 100; i++) fixture_run(session, 0, FIXTURE_ROWS);
    stoa_session_destroy(session);
    stoa_queue_destroy(queue);
    return w;
}

/* Sessions of one model on four threads at once give the same bits. The model is the selector: x [N,17], score [N,1]. */
static inline void fixture_threads_agree(const stoa_model *model)
{
    enum { THREADS = 4 };
    fixture_worker *workers = calloc(THREADS, sizeof *workers);
    for (int t = 0; t < THREADS; t++) {
        workers[t].model = model;
        for (uint32_t i = 0; i < FIXTURE_INPUTS * FIXTURE_ROWS; i++) workers[t].x[i] = fixture_number(i);
        assert_int_equal(pthread_create(&workers[t].thread, NULL, fixture_work, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(workers[t].thread, &result);
        assert_non_null(result);
        assert_memory_equal(workers[t].y, workers[0].y, sizeof workers[0].y);
    }
    free(workers);
}

/* 0: the packages are there; 77, with the reason, where they are not. */
static inline int fixture_skip(void)
{
    const char *folder = getenv("STOA_TEST_PACKAGES");
    if (folder && access(folder, R_OK) == 0) return 0;
    printf("no packages (%s): tests/python/make_packages.py makes them\n", folder ? folder : "STOA_TEST_PACKAGES is not set");
    return 77;
}

#endif
