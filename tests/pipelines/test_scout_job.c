/* SPDX-License-Identifier: Apache-2.0 */
/* The scouting job (pipelines/scouting_tau): the same results in the same order for any number of threads and streams, on
 * STOA_TEST_DEVICE as well where that names another device, from a file and from a sender over TCP that has to wait, failures that end it, and the clusters' networks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pipelines/scouting_tau/scout.h"
#include "reco/generate/scout.h"
#include "reco/scouting/cluster_features.h"
#include "driver_trace.h"
#include "unit/device_under_test.h"
#include "unit/onnx_builder.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static stoa_error err;
static const char *device = "host";
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

/* Another device runs through fewer: the fake one is slow. */
enum { EVENTS = 8000, DEVICE_EVENTS = 600, CROSSINGS_OF_AN_ORBIT = 3564, LAUNCHES = 16 };
static uint32_t events = EVENTS, crossings_max = 100;
static char path[] = "/tmp/stoa_job_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    reco_table *truth;
    uint64_t candidates;
    reco_scout_sim_options o = RECO_SCOUT_SIM_OPTIONS_INIT;
    const int file = mkstemp(path);
    if (file < 0) return -1;
    close(file);
    o.events = events;
    o.format = RECO_SCOUT_DTH256;
    OK(reco_generate_scout(&o, path, &truth, &candidates, &err));
    reco_table_destroy(truth);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* What was handed over: a hash of it in order. */
typedef struct tally {
    uint64_t hash, events, fail_at, slow_us;
    uint32_t last_bx, orbit;
} tally;

static void add(tally *t, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) t->hash = (t->hash ^ at[i]) * 0x100000001b3u;
}

static stoa_status take(void *user, const scout_result *r, stoa_error *error)
{
    tally *t = user;
    if (t->slow_us) usleep((useconds_t)t->slow_us);
    assert_int_equal(r->status, STOA_OK);
    for (uint32_t c = 0; c < r->batch->crossings; c++) {
        assert_true(r->batch->orbit > t->orbit || r->crossings.bx[c] >= t->last_bx);
        t->orbit = r->batch->orbit;
        t->last_bx = r->crossings.bx[c];
    }
    add(t, r->puppi.pt, r->batch->candidates * sizeof(float));
    add(t, r->clusters.pt, *r->clusters.clusters * sizeof(float));
    add(t, r->taus.cone_pt, *r->taus.taus * sizeof(float));
    add(t, r->w3pi.mass, r->batch->crossings * sizeof(float));
    add(t, r->selection.mask, r->batch->crossings);
    t->events += r->batch->crossings;
    return t->fail_at && t->events >= t->fail_at ? STOA_FAIL(error, STOA_EIO, "disk full") : STOA_OK;
}

static stoa_status run(reco_scout_reader *reader, uint32_t threads, uint32_t streams, tally *t, scout_summary *summary)
{
    scout_job *job;
    scout_options o = SCOUT_OPTIONS_INIT;
    o.device = device;
    o.threads = threads;
    o.streams = streams;
    o.deliver = take;
    o.user = t;
    OK(scout_job_create(&o, reader, &job, &err));
    const stoa_status status = scout_job_run(job, summary, &err);
    scout_job_destroy(job);
    reco_scout_destroy(reader);
    return status;
}

static reco_scout_options small_batches(void)
{
    reco_scout_options input = RECO_SCOUT_OPTIONS_INIT;
    input.crossings_max = crossings_max;
    input.candidates_max = 4500;
    return input;
}

static reco_scout_reader *open_file(void)
{
    reco_scout_reader *reader;
    const reco_scout_options input = small_batches();
    OK(reco_scout_open(path, &input, &reader, &err));
    return reader;
}

static void test_threads_and_streams(void **state)
{
    (void)state;
    static const uint32_t settings[][2] = {{1, 1}, {1, 3}, {2, 2}, {3, 5}, {5, 3}};
    uint64_t first = 0;
    const size_t count = device_is_host() ? sizeof settings / sizeof *settings : 2; /* on the host, then there */
    for (size_t k = 0; k < count; k++, device = device_under_test()) {
        tally t = {.hash = 1};
        scout_summary summary;
        OK(run(open_file(), settings[k][0], settings[k][1], &t, &summary));
        if (k == 0) first = t.hash;
        assert_true(t.hash == first);
        assert_int_equal(t.events, events);
        assert_int_equal(summary.events, events);
        assert_int_equal(summary.orbits, events / CROSSINGS_OF_AN_ORBIT + 1);
        assert_int_equal(summary.failed, 0);
        assert_int_equal(summary.allocations, 0);
        assert_true(summary.clusters > events && summary.taus > events);
    }
    device = "host";
}

/* Room for so many crossings that a GPU scans and compacts with more than one block. */
static void test_large_batches(void **state)
{
    crossings_max = 10000;
    test_threads_and_streams(state);
    crossings_max = 100;
}

/* A batch on a GPU: the way there, launches with nothing of the host's or a copy between them, the way back. */
static void test_calls_of_a_batch(void **state)
{
    (void)state;
    tally t = {.hash = 1};
    scout_summary summary;
    device = device_under_test();
    OK(run(open_file(), 1, 1, &t, &summary));
    device = "host";
    const char *at = driver_trace_behind_wait();
    uint32_t batches = 0;
    for (; at && *at; batches++) {
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_true(skip_calls(&at, "cuMemcpyAsync ") == 2);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_int_equal(skip_calls(&at, "cuLaunchKernel "), LAUNCHES);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_int_equal(skip_calls(&at, "cuMemcpyAsync "), 1);
        assert_int_equal(skip_calls(&at, "cuLaunchHostFunc "), 1);
        assert_int_equal(skip_calls(&at, "cuStreamSynchronize "), 1);
        if (batches == 3) break; /* the trace of later ones may not be whole */
    }
    if (at) assert_int_equal(batches, 3);
    assert_true(summary.us_per_event[SCOUT_STAGE_DEVICE] > 0 && summary.us_per_event[SCOUT_STAGE_TAUS] == 0);
}

/* A failure to hand over ends the job, whoever waits. */
static void test_failure_ends(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        tally t = {.hash = 1, .fail_at = 1000};
        scout_summary summary;
        assert_int_equal(run(open_file(), threads, 4, &t, &summary), STOA_EIO);
        assert_non_null(strstr(err.message, "disk full"));
        assert_true(t.events >= 1000 && t.events < 1100);
    }
}

/* ---- Over TCP. ---- */

typedef struct sender {
    uint16_t port;
    size_t skip_orbit; /* this one is not sent, as a sender does that cannot wait: 0 none */
} sender;

/* Blocks one after the other; the send buffer is small, so that the sender soon has to wait for the reader. */
static void *send_blocks(void *user)
{
    const sender *s = user;
    uint8_t block[32 + 255 * 32];
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = s->port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), size = 16384;
    FILE *file = fopen(path, "rb");
    size_t orbit = 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (!file || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) return NULL;
    while (fread(block, 32, 1, file) == 1) {
        const size_t bytes = 32u + 32u * block[6];
        if (fread(block + 32, 1, bytes - 32, file) != bytes - 32) break;
        if (s->skip_orbit == 0 || orbit + 1 != s->skip_orbit)
            for (size_t at = 0; at < bytes;) {
                const ssize_t sent = send(fd, block + at, bytes - at, MSG_NOSIGNAL);
                if (sent <= 0) break;
                at += (size_t)sent;
            }
        orbit += (block[5] & 0x40) != 0; /* last block of an orbit */
    }
    fclose(file);
    close(fd);
    return NULL;
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = address.sin_port;
    return fd;
}

static void receive(size_t skip_orbit, tally *t, scout_summary *summary)
{
    sender s = {.skip_orbit = skip_orbit};
    pthread_t thread;
    reco_scout_reader *reader;
    const reco_scout_options input = small_batches();
    const int listener = listen_on_loopback(&s.port);
    assert_int_equal(pthread_create(&thread, NULL, send_blocks, &s), 0);
    const int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    OK(reco_scout_attach(fd, &input, &reader, &err));
    OK(run(reader, 2, 3, t, summary));
    pthread_join(thread, NULL);
    close(fd);
    close(listener);
}

static void test_tcp(void **state)
{
    (void)state;
    tally file = {.hash = 1}, live = {.hash = 1, .slow_us = 500}, lossy = {.hash = 1};
    scout_summary summary;
    OK(run(open_file(), 1, 1, &file, &summary));
    receive(0, &live, &summary);
    assert_true(live.hash == file.hash);
    assert_int_equal(summary.faults[RECO_SCOUT_FAULT_LOST_ORBIT], 0);
    receive(2, &lossy, &summary);
    assert_int_equal(summary.faults[RECO_SCOUT_FAULT_LOST_ORBIT], 1);
    assert_int_equal(lossy.events, EVENTS - CROSSINGS_OF_AN_ORBIT);
}

/* ---- The networks of the clusters. ---- */

enum { CLUSTERS_MAX = 40000, HEADS = 4 };

/* What a network said of each cluster, and how many members that has. */
typedef struct verdicts {
    float head[HEADS][CLUSTERS_MAX];
    uint32_t members[CLUSTERS_MAX], count;
} verdicts;

static stoa_status take_verdicts(void *user, const scout_result *r, stoa_error *error)
{
    (void)error;
    verdicts *v = user;
    const float *const heads[HEADS] = {r->clusters.score, r->clusters.tau_pt, r->clusters.tau_z, r->clusters.tau_charge};
    const uint32_t count = *r->clusters.clusters;
    assert_int_equal(r->status, STOA_OK);
    assert_true(v->count + count <= CLUSTERS_MAX);
    for (uint32_t h = 0; h < HEADS; h++) memcpy(v->head[h] + v->count, heads[h], count * sizeof(float));
    memcpy(v->members + v->count, r->clusters.members, count * sizeof(uint32_t));
    v->count += count;
    return STOA_OK;
}

static void run_network(const char *file, verdicts *v)
{
    stoa_model *model;
    scout_job *job;
    scout_summary summary;
    reco_scout_reader *reader = open_file();
    scout_options o = SCOUT_OPTIONS_INIT;
    OK(stoa_model_load(file, NULL, &model, &err));
    v->count = 0;
    o.cluster_model = model;
    o.deliver = take_verdicts;
    o.user = v;
    OK(scout_job_create(&o, reader, &job, &err));
    OK(scout_job_run(job, &summary, &err));
    assert_int_equal(summary.copy_calls, 0);
    assert_int_equal(summary.allocations, 0);
    scout_job_destroy(job);
    reco_scout_destroy(reader);
    stoa_model_destroy(model);
}

/* One network in two forms: over candidates, members, clusters and crossings as they lie, and over padded matrices of the
 * leading members. They agree wherever no member is left out. */
static void test_networks(void **state)
{
    (void)state;
    static verdicts rows, padded;
    uint32_t compared = 0, tau_like = 0;
    run_network(STOA_SOURCE_DIR "/models/scout_taus.onnx", &rows);
    run_network(STOA_SOURCE_DIR "/models/scout_taus_padded.onnx", &padded);
    assert_int_equal(rows.count, padded.count);
    for (uint32_t i = 0; i < rows.count; i++) {
        if (rows.members[i] > RECO_CLUSTER_MEMBERS) continue;
        compared++;
        tau_like += rows.head[0][i] > 0.5f;
        for (uint32_t h = 0; h < HEADS; h++)
            if (!(fabsf(rows.head[h][i] - padded.head[h][i]) <= 2e-5f * (1 + fabsf(padded.head[h][i]))))
                fail_msg("cluster %u of %u members, head %u: %.9g, padded %.9g", i, rows.members[i], h, (double)rows.head[h][i],
                         (double)padded.head[h][i]);
    }
    assert_true(compared > EVENTS && tau_like > EVENTS / 20);
}

static void expect_refused(const stoa_model *model, stoa_status status, const char *part)
{
    reco_scout_reader *reader = open_file();
    scout_job *job;
    scout_options o = SCOUT_OPTIONS_INIT;
    o.cluster_model = model;
    assert_int_equal(scout_job_create(&o, reader, &job, &err), status);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
    assert_null(job);
    reco_scout_destroy(reader);
}

/* Models that ask for what the job does not have. */
static void refuse_sum_of(const char *input, int64_t width, stoa_status status, const char *part)
{
    static onnx_builder o;
    stoa_model *model;
    const stoa_model_options options = {sizeof options, "native", NULL, NULL, 0};
    o.graph.size = 0;
    add_input(&o, input, ONNX_FLOAT, DIMS(width));
    add_ints(&o, "values", (const int64_t[]){1}, 1);
    char inputs[64];
    (void)snprintf(inputs, sizeof inputs, "%s values", input);
    add_node(&o, "ReduceSum", inputs, "score", (char *)NULL);
    add_output(&o, "score");
    const builder *file = finish_model(&o, 18);
    OK(stoa_model_load_memory(file->bytes, file->size, &options, &model, &err));
    expect_refused(model, status, part);
    stoa_model_destroy(model);
}

static void test_other_networks(void **state)
{
    (void)state;
    refuse_sum_of("energy", 3, STOA_ENAME, "tensor 'energy': the job has: candidate, pdgid");
    refuse_sum_of("candidate", 4, STOA_ESHAPE, "tensor 'score' has other rows");
    refuse_sum_of("cluster", 9, STOA_ESHAPE, "4 values a row");
}

enum { BATCHES_MAX = 200 };
typedef struct fates {
    uint32_t count, failed;
    bool has_failed[BATCHES_MAX];
} fates;

static stoa_status take_fate(void *user, const scout_result *r, stoa_error *error)
{
    (void)error;
    fates *f = user;
    assert_true(f->count < BATCHES_MAX);
    f->has_failed[f->count++] = r->status != STOA_OK;
    f->failed += r->status != STOA_OK;
    if (r->status != STOA_OK) assert_non_null(strstr(r->reason, "is asked for, which has"));
    return STOA_OK;
}

/* A network that looks at the crossing behind each cluster's: the batch whose last crossing has a cluster fails, and no other, whether
 * that is known at once or only behind the batch. */
static void test_rows_that_are_not_there(void **state)
{
    (void)state;
    static onnx_builder b;
    fates found[2] = {{0}};
    stoa_model *model;
    const stoa_model_options options = {sizeof options, "native", NULL, NULL, 0};
    add_input_of(&b, "crossings", "crossing", ONNX_INT64, DIMS(1));
    add_input_of(&b, "clusters", "crossing_of", ONNX_INT64, DIMS(-1));
    add_ints(&b, "one", (const int64_t[]){1}, 1);
    add_node(&b, "Add", "crossing_of one", "next", (char *)NULL);
    add_node(&b, "Gather", "crossing next", "there", (char *)NULL);
    add_node(&b, "Cast", "there", "score", "to", 'i', (int64_t)ONNX_FLOAT, (char *)NULL);
    add_output(&b, "score");
    const builder *file = finish_model(&b, 18);
    OK(stoa_model_load_memory(file->bytes, file->size, &options, &model, &err));
    for (int k = 0; k < 2; k++) {
        scout_job *job;
        scout_summary summary;
        reco_scout_reader *reader = open_file();
        scout_options o = SCOUT_OPTIONS_INIT;
        o.cluster_model = model;
        o.deliver = take_fate;
        o.user = &found[k];
        o.streams = 2;
        o.device = k == 0 ? "host" : device_under_test();
        OK(scout_job_create(&o, reader, &job, &err));
        OK(scout_job_run(job, &summary, &err));
        assert_int_equal(summary.failed, found[k].failed);
        scout_job_destroy(job);
        reco_scout_destroy(reader);
    }
    assert_true(found[0].failed > 0 && (found[0].failed < found[0].count || events == DEVICE_EVENTS)); /* of so few batches all fail */
    assert_memory_equal(&found[0], &found[1], sizeof *found);
    stoa_model_destroy(model);
}

static void test_errors(void **state)
{
    (void)state;
    scout_job *job;
    reco_scout_reader *reader = open_file();
    scout_options o = SCOUT_OPTIONS_INIT;
    o.streams = 0;
    assert_int_equal(scout_job_create(&o, reader, &job, &err), STOA_EINVAL);
    o.streams = 1;
    o.device = "nowhere";
    assert_int_not_equal(scout_job_create(&o, reader, &job, &err), STOA_OK);
    assert_null(job);
    reco_scout_destroy(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_streams),
        cmocka_unit_test(test_large_batches),
        cmocka_unit_test(test_failure_ends),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_other_networks),
        cmocka_unit_test(test_rows_that_are_not_there),
        cmocka_unit_test(test_errors),
    };
    const struct CMUnitTest of_devices[] = {cmocka_unit_test(test_calls_of_a_batch), cmocka_unit_test(test_threads_and_streams),
                                            cmocka_unit_test(test_large_batches), cmocka_unit_test(test_rows_that_are_not_there)};
    require_device();
    if (device_is_host()) return cmocka_run_group_tests(tests, make_file, remove_file);
    events = DEVICE_EVENTS;
    return cmocka_run_group_tests(of_devices, make_file, remove_file);
}
