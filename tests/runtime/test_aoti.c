/* SPDX-License-Identifier: Apache-2.0 */
/* Packages of AOTInductor without libtorch and with it: in place, any pitch, tiles, threads, no allocation, no output, refusals.
 * The packages are made by tests/python/make_packages.py; without them every case is skipped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "stoa/stoa.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
enum { PITCH = 4096 };
static const stoa_place host = {STOA_PLACE_HOST, 0};
static stoa_device *device;
static stoa_queue *queue;

static const char *package_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s.pt2", getenv("STOA_TEST_PACKAGES"), name);
    return path;
}

static stoa_model *load(const char *name)
{
    stoa_error err = {0};
    stoa_model *model;
    const stoa_model_options options = {.struct_size = sizeof options, .self_check = 1};
    if (stoa_model_load(package_path(name), &options, &model, &err) != STOA_OK) fail_msg("%s: %s", name, err.message);
    return model;
}

static stoa_session *open_session(const stoa_model *model, uint32_t max_rows)
{
    stoa_error err = {0};
    stoa_session *session;
    if (stoa_session_create(model, queue, max_rows, NULL, &session, &err) != STOA_OK) fail_msg("%s", err.message);
    return session;
}

/* Columns of a block, `pitch` floats apart. */
static void bind_block(stoa_session *session, const char *name, float *block, uint32_t count, uint32_t rows, size_t pitch)
{
    stoa_error err = {0};
    stoa_column columns[32];
    for (uint32_t k = 0; k < count; k++) columns[k] = stoa_column_over(block + k * pitch, STOA_FLOAT32, rows, 1, host);
    if (stoa_session_bind(session, name, stoa_tensor_of(columns, count), &err) != STOA_OK) fail_msg("%s: %s", name, err.message);
}

static void run(stoa_session *session, uint32_t first, uint32_t rows)
{
    stoa_error err = {0};
    if (stoa_session_run_rows(session, first, rows, &err) != STOA_OK) fail_msg("%s", err.message);
}

static float number(uint32_t i) { return (float)((i * 2654435761u) >> 16) / 32768.0f - 1.0f; }

/* ---- numbers that somebody else stated ----------------------------------------------------------------------------------- */

/* CMSSW's testSoAToTorch: four rows through a linear layer, input read-only. */
static void linear_model(void **state)
{
    static float x[3][32] = {{1, 2, 3, 2}, {2, 4, 4, 3}, {1, 3, 1, 2}}, y[2][32];
    static const float expected[2][4] = {{2.3f, 6.6f, 2.5f, 4.4f}, {-0.5f, 3.0f, -4.9f, 1.3f}};
    (void)state;
    static const char *const names[] = {"linear", "linear_libtorch"};
    if (SANITIZED) print_message("libtorch is left out: it keeps what it allocates, and starts threads\n");
    for (int way = 0; way < 2 - SANITIZED; way++) {
        stoa_model *model = load(names[way]);
        stoa_session *session = open_session(model, 4);
        memset(y, 0, sizeof y);
        bind_block(session, "x", x[0], 3, 4, 32);
        bind_block(session, "y", y[0], 2, 4, 32);
        run(session, 0, 4);
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 4; i++) assert_true(fabsf(y[k][i] - expected[k][i]) < 1e-5f);
        assert_true(y[0][4] == 0 && y[1][4] == 0);
        stoa_session_destroy(session);
        stoa_model_destroy(model);
    }
}

/* The closed form of constant weights: s is the sum of the inputs. */
static void heads_in_closed_form(void **state)
{
    enum { ROWS = 700 };
    static float x[3][PITCH], r[PITCH], c[3][PITCH];
    (void)state;
    stoa_model *model = load("multihead");
    stoa_session *session = open_session(model, ROWS);
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t k = 0; k < 3; k++) x[k][i] = (number(3 * i + k) + 1) / 2;
    bind_block(session, "x", x[0], 3, ROWS, PITCH);
    bind_block(session, "regression", r, 1, ROWS, PITCH);
    bind_block(session, "classes", c[0], 3, ROWS, PITCH);
    run(session, 0, ROWS);
    for (int i = 0; i < ROWS; i++) {
        const double s = (double)x[0][i] + x[1][i] + x[2][i], h5 = ((((.025 * s + .1) * .8 + .1) * 1.6 + .1) * 6.4 + .1) * 1.6 + .1;
        const double logit[3] = {1.92 * h5 + .1, 2.24 * h5 + .2, 2.56 * h5 + .3}, top = logit[2];
        const double sum = exp(logit[0] - top) + exp(logit[1] - top) + 1;
        assert_true(fabs(r[i] - (.96 * h5 + .1)) < 5e-5);
        for (int k = 0; k < 3; k++) assert_true(fabs(c[k][i] - exp(logit[k] - top) / sum) < 1e-5);
    }
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* ---- in place ------------------------------------------------------------------------------------------------------------ */

/* Whatever the pitch, the slice and the tile: a row gives the same as alone, and nothing beyond the rows is written. */
static void any_pitch_and_slice(void **state)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 31, 32, 33, 511, 512, 513, 1500};
    static const size_t pitches[] = {1504, 2048, 4096};
    static float x[17 * PITCH], y[PITCH], alone[PITCH];
    (void)state;
    stoa_model *model = load("selector");
    for (size_t p = 0; p < sizeof pitches / sizeof *pitches; p++) {
        stoa_session *session = open_session(model, 1500);
        for (uint32_t i = 0; i < 17 * PITCH; i++) x[i] = number(i);
        bind_block(session, "x", x, 17, 1500, pitches[p]);
        bind_block(session, "score", alone, 1, 1500, PITCH);
        for (uint32_t i = 0; i < 1500; i++) run(session, i, 1);
        bind_block(session, "score", y, 1, 1500, PITCH);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            const uint32_t first = 1500 - counts[c] < 7 ? 1500 - counts[c] : 7;
            for (int i = 0; i < PITCH; i++) y[i] = -1;
            run(session, first, counts[c]);
            for (uint32_t i = 0; i < PITCH; i++) {
                const bool inside = i >= first && i < first + counts[c];
                if (inside ? fabsf(y[i] - alone[i]) > 1e-6f : y[i] != -1)
                    fail_msg("pitch %zu, %u rows: row %u is %g", pitches[p], counts[c], i, (double)y[i]);
            }
        }
        stoa_session_stats stats = {.struct_size = sizeof stats};
        assert_int_equal(stoa_session_get_stats(session, &stats, NULL), STOA_OK);
        assert_int_equal(stats.copy_calls, 0);
        assert_int_equal(stats.run_allocations, 0);
        stoa_session_destroy(session);
    }
    stoa_model_destroy(model);
}

static int entries(const char *folder)
{
    int count = 0;
    DIR *list = opendir(folder);
    while (list && readdir(list)) count++;
    closedir(list);
    return count;
}

/* No allocation, thread, open file or line of output in steady state; and neither libtorch nor a BLAS in the process. */
static void nothing_behind_the_back(void **state)
{
    static float x[3][PITCH], y[2][PITCH];
    (void)state;
    stoa_model *model = load("simple");
    stoa_session *session = open_session(model, 2000);
    bind_block(session, "x", x[0], 3, 2000, PITCH);
    bind_block(session, "y", y[0], 1, 2000, PITCH);
    run(session, 0, 2000);
    const int threads = entries("/proc/self/task"), files = entries("/proc/self/fd");
    const uint64_t allocations = stoa_alloc_count();
    for (int i = 0; i < 50; i++) run(session, (uint32_t)i, 2000 - 2 * (uint32_t)i);
    assert_int_equal(stoa_alloc_count(), allocations);
    assert_int_equal(entries("/proc/self/task"), threads);
    assert_int_equal(entries("/proc/self/fd"), files);
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "libtorch") || strstr(line, "blas")) fail_msg("%s", line);
    fclose(maps);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static size_t resident_bytes(void)
{
    size_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%zu %zu", &pages, &resident) != 2) resident = 0;
    fclose(file);
    return resident * 4096;
}

/* Weights are the model's: a further session costs its workspace and a little more. 37 441 parameters are 150 kB. */
static void sessions_share_weights(void **state)
{
    enum { SESSIONS = 64 };
    stoa_session *sessions[SESSIONS];
    (void)state;
    stoa_model *model = load("simple");
    sessions[0] = open_session(model, 16);
    const size_t before = resident_bytes();
    for (int i = 1; i < SESSIONS; i++) sessions[i] = open_session(model, 16);
    const size_t each = (resident_bytes() - before) / (SESSIONS - 1);
    print_message("a further session for 16 rows: %zu bytes resident\n", each);
    if (!SANITIZED) assert_true(each < 120000); /* shadow memory counts as well */
    for (int i = 0; i < SESSIONS; i++) stoa_session_destroy(sessions[i]);
    stoa_model_destroy(model);
}

/* ---- threads ------------------------------------------------------------------------------------------------------------- */

typedef struct worker {
    const stoa_model *model;
    float x[17][256], y[256];
    pthread_t thread;
} worker;

static void *work(void *user)
{
    worker *w = user;
    stoa_queue *own;
    stoa_session *session;
    if (stoa_queue_create(device, STOA_QUEUE_BLOCKING, &own, NULL) != STOA_OK) return NULL;
    if (stoa_session_create(w->model, own, 256, NULL, &session, NULL) != STOA_OK) return NULL;
    stoa_column columns[17], score = stoa_column_over(w->y, STOA_FLOAT32, 256, 1, host);
    for (int k = 0; k < 17; k++) columns[k] = stoa_column_over(w->x[k], STOA_FLOAT32, 256, 1, host);
    stoa_status status = stoa_session_bind(session, "x", stoa_tensor_of(columns, 17), NULL);
    if (status == STOA_OK) status = stoa_session_bind(session, "score", stoa_tensor_of(&score, 1), NULL);
    for (int i = 0; i < 200 && status == STOA_OK; i++) status = stoa_session_run(session, 256, NULL);
    stoa_session_destroy(session);
    stoa_queue_destroy(own);
    return status == STOA_OK ? w : NULL;
}

static void threads_agree(void **state)
{
    enum { THREADS = 4 };
    (void)state;
    stoa_model *model = load("selector");
    worker *workers = calloc(THREADS, sizeof *workers);
    for (int t = 0; t < THREADS; t++) {
        workers[t].model = model;
        for (uint32_t i = 0; i < 17 * 256; i++) workers[t].x[i / 256][i % 256] = number(i);
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(workers[t].thread, &result);
        assert_non_null(result);
        assert_memory_equal(workers[t].y, workers[0].y, sizeof workers[0].y);
    }
    free(workers);
    stoa_model_destroy(model);
}

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

/* An index outside of the table is an error of the run, said once and to the caller alone; the session goes on. */
static void bad_index(void **state)
{
    static float vector[3][32];
    static int64_t pid[32];
    (void)state;
    stoa_error err = {0};
    stoa_model *model = load("lookup");
    stoa_session *session = open_session(model, 16);
    const stoa_column index = stoa_column_over(pid, STOA_INT64, 16, 1, host);
    assert_int_equal(stoa_session_bind(session, "pid", stoa_tensor_of(&index, 1), &err), STOA_OK);
    bind_block(session, "vector", vector[0], 3, 16, 32);
    char printed[16];
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    pid[3] = 1000000;
    dup2(ends[1], STDERR_FILENO);
    const stoa_status status = stoa_session_run(session, 16, &err);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(status, STOA_ERUNTIME);
    print_message("%s\n", err.message);
    assert_true(read(ends[0], printed, sizeof printed) <= 0);
    close(ends[0]);
    close(ends[1]);
    pid[3] = 9;
    assert_int_equal(stoa_session_run(session, 16, &err), STOA_OK);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static char *read_file(const char *path, size_t *bytes)
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

static stoa_status load_bytes(const void *data, size_t bytes, stoa_error *err)
{
    stoa_model *model;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = "aoti"};
    const stoa_status status = stoa_model_load_memory(data, bytes, &options, &model, err);
    stoa_model_destroy(model);
    return status;
}

static void damaged_packages(void **state)
{
    (void)state;
    stoa_error err = {0};
    size_t bytes;
    char *data = read_file(package_path("linear"), &bytes);
    for (int part = 0; part < 16; part++) {
        assert_int_equal(load_bytes(data, bytes * (size_t)part / 16, &err), STOA_EFORMAT);
        char *changed = malloc(bytes);
        memcpy(changed, data, bytes);
        for (size_t i = 0; i < 64; i++) changed[bytes * (size_t)part / 16 + 1000 + i] ^= 0x55;
        const stoa_status status = load_bytes(changed, bytes, &err);
        if (status != STOA_EFORMAT && status != STOA_ENOTSUP) fail_msg("part %d: %s", part, stoa_status_name(status));
        free(changed);
    }
    assert_int_equal(load_bytes(data, bytes, &err), STOA_OK);
    free(data);
}

/* A zip file with the given members, in memory. */
static char *make_zip(const char *const members[][2], size_t count, size_t *bytes)
{
    zip_error_t reason;
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, &reason);
    zip_source_keep(target);
    zip_t *zip = zip_open_from_source(target, ZIP_TRUNCATE, &reason);
    for (size_t i = 0; i < count; i++) {
        const zip_int64_t at = zip_file_add(zip, members[i][0], zip_source_buffer(zip, members[i][1], strlen(members[i][1]), 0), 0);
        zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    }
    assert_int_equal(zip_close(zip), 0);
    zip_stat_t info;
    zip_source_stat(target, &info);
    *bytes = info.size;
    char *data = malloc(*bytes);
    zip_source_open(target);
    assert_int_equal(zip_source_read(target, data, *bytes), *bytes);
    zip_source_close(target);
    zip_source_free(target);
    return data;
}

#define TENSORS \
    "\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"rows\":\"N\",\"shape\":[3]}],\"outputs\":[{\"name\":\"y\",\"dtype\":\"float32\"," \
    "\"rows\":\"N\",\"shape\":[1]}]"
#define TARGET(feature) "\"targets\":[{\"name\":\"model\",\"cpu_features\":[\"" feature "\"]}]"
#define CARRIER "\"row_carriers\":[{\"output\":0}]"

static const struct {
    const char *what, *manifest, *extra;
    stoa_status status;
    const char *says;
} hostile[] = {
    {"foreign package", NULL, NULL, STOA_ENOTSUP, "strides"},
    {"extern nodes", "{}", "m/data/aotinductor/model/m.wrapper.json", STOA_ENOTSUP, "executor"},
    {"no JSON", "{", NULL, STOA_EFORMAT, "JSON"},
    {"newer format", "{\"format\":99}", NULL, STOA_ENOTSUP, "99"},
    {"no tensors", "{\"format\":1}", NULL, STOA_EFORMAT, "0 inputs"},
    {"extent 0", "{\"format\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"rows\":\"N\",\"shape\":[0]}]}", NULL, STOA_EFORMAT,
     "'x'"},
    {"unknown dtype", "{\"format\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float7\",\"rows\":\"N\",\"shape\":[1]}]}", NULL, STOA_EFORMAT,
     "float7"},
    {"carrier outside", "{\"format\":1," TENSORS ",\"row_carriers\":[{\"output\":7}]}", NULL, STOA_EFORMAT, "7"},
    {"other machine", "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"pdp11\"}", NULL, STOA_ENOTSUP, "pdp11"},
    {"other device", "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"" MACHINE "\",\"device\":\"xpu\"}", NULL, STOA_ENOTSUP, "xpu"},
    {"missing feature", "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"" MACHINE "\",\"device\":\"cpu\"," TARGET("mmx9") "}", NULL,
     STOA_ENOTSUP, "mmx9"},
    {"no target", "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"" MACHINE "\",\"device\":\"cpu\"}", NULL, STOA_EFORMAT, "0 targets"},
    {"no library",
     "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"" MACHINE "\",\"device\":\"cpu\",\"targets\":[{\"name\":\"other\"}]}", NULL,
     STOA_EFORMAT, "'other'"},
    {"no ELF", "{\"format\":1," TENSORS "," CARRIER ",\"machine\":\"" MACHINE "\",\"device\":\"cpu\",\"targets\":[{\"name\":\"model\"}]}",
     NULL, STOA_EFORMAT, "ELF"},
};

static void hostile_packages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const char *const members[3][2] = {{"m/data/aotinductor/model/m.wrapper.so", "not a library"},
                                           {"m/extra/stoa.json", hostile[i].manifest ? hostile[i].manifest : ""},
                                           {hostile[i].extra ? hostile[i].extra : "", "{}"}};
        stoa_error err = {0};
        size_t bytes;
        char *data = make_zip(members, hostile[i].extra ? 3 : hostile[i].manifest ? 2 : 1, &bytes);
        const stoa_status status = load_bytes(data, bytes, &err);
        if (status != hostile[i].status || !strstr(err.message, hostile[i].says))
            fail_msg("%s: %s (%s)", hostile[i].what, stoa_status_name(status), err.message);
        free(data);
    }
}

static int setup(void **state)
{
    (void)state;
    if (stoa_device_open("host", &device, NULL) != STOA_OK) return -1;
    return stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) == STOA_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return 0;
}

int main(void)
{
    const char *folder = getenv("STOA_TEST_PACKAGES");
    if (!folder || access(package_path("selector"), R_OK) != 0) {
        printf("skipped: no packages in %s (tests/python/make_packages.py makes them)\n", folder ? folder : "STOA_TEST_PACKAGES");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_behind_the_back), /* before libtorch is loaded */
        cmocka_unit_test(any_pitch_and_slice),
        cmocka_unit_test(sessions_share_weights),
        cmocka_unit_test(threads_agree),
        cmocka_unit_test(heads_in_closed_form),
        cmocka_unit_test(bad_index),
        cmocka_unit_test(damaged_packages),
        cmocka_unit_test(hostile_packages),
        cmocka_unit_test(linear_model),
    };
    return cmocka_run_group_tests_name("aoti", tests, setup, teardown);
}
