/* SPDX-License-Identifier: Apache-2.0 */
/* Stoa inside a framework that owns threads and memory: two workers run four streams, each event is one chain of work on its
 * stream's queue. Stoa starts no thread, and behind the first events allocates nothing; the program counts both. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "stoa/stoa.h"

#define STOA_LAYOUT tracks
#define STOA_LAYOUT_DEF "tracks.def"
#include "stoa/layout_gen.h"

enum { WORKERS = 2, STREAMS = 4, EVENTS_OF_A_STREAM = 100, ROWS = 1000, PENDING = 256 };

/* ---- The framework: tasks of a stream run in order, on whichever worker is free. ---- */

typedef struct task {
    stoa_host_task run;
    void *user;
} task;

typedef struct stream {
    task pending[PENDING];
    uint32_t first, count;
    bool busy;
} stream;

static struct framework {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    stream streams[STREAMS];
    bool closing;
} framework = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* What Stoa calls instead of starting a thread: stoa_host_executor. */
static stoa_status take(void *user, stoa_host_task run, void *task_user, stoa_error *err)
{
    stream *self = user;
    (void)err;
    pthread_mutex_lock(&framework.lock);
    while (self->count == PENDING) pthread_cond_wait(&framework.changed, &framework.lock);
    self->pending[(self->first + self->count++) % PENDING] = (task){run, task_user};
    pthread_cond_broadcast(&framework.changed);
    pthread_mutex_unlock(&framework.lock);
    return STOA_OK;
}

static stream *ready(void)
{
    for (int i = 0; i < STREAMS; i++)
        if (!framework.streams[i].busy && framework.streams[i].count > 0) return &framework.streams[i];
    return NULL;
}

static void *work(void *unused)
{
    pthread_mutex_lock(&framework.lock);
    for (stream *s; (s = ready()) || !framework.closing;) {
        if (!s) {
            pthread_cond_wait(&framework.changed, &framework.lock);
            continue;
        }
        const task next = s->pending[s->first];
        s->first = (s->first + 1) % PENDING;
        s->count--;
        s->busy = true;
        pthread_mutex_unlock(&framework.lock);
        next.run(next.user);
        pthread_mutex_lock(&framework.lock);
        s->busy = false;
        pthread_cond_broadcast(&framework.changed);
    }
    pthread_mutex_unlock(&framework.lock);
    return unused;
}

/* ---- What one stream needs, made once. ---- */

typedef struct module {
    stoa_host_executor executor; /* the queue's for as long as that lives */
    stoa_queue *queue;
    stoa_collection *event;
    stoa_session *session;
    tracks t;
    int number;         /* of the event that is filled next */
    double score_sum;
} module;

/* Stands for the producer of the tracks. */
static void fill(void *user)
{
    module *m = user;
    const float shift = 0.001f * (float)m->number++;
    for (int i = 0; i < ROWS; i++) m->t.pt[i] = 1.0f + 0.01f * (float)i, m->t.eta[i] = shift, m->t.phi[i] = 0.001f * (float)i;
}

/* Stands for the consumer of the scores. */
static void use(void *user)
{
    module *m = user;
    for (int i = 0; i < ROWS; i++) m->score_sum += (double)m->t.score[i];
}

static stoa_status open_module(module *m, stoa_device *host, const stoa_model *model, stream *s, stoa_error *err)
{
    m->executor = (stoa_host_executor){sizeof m->executor, take, s};
    const stoa_block block = {"tracks", &tracks_layout, ROWS, 0, NULL};
    STOA_TRY(stoa_queue_wrap(host, &m->executor, &m->queue, err));
    STOA_TRY(stoa_collection_create(m->queue, STOA_MEMORY_DEVICE, &block, 1, &m->event, err));
    STOA_TRY(stoa_collection_view(m->event, "tracks", &m->t.head, err));
    STOA_TRY(stoa_session_create(model, m->queue, ROWS, NULL, &m->session, err));
    STOA_TRY(stoa_session_bind(m->session, "x", STOA_COLUMNS(m->t, pt, eta, phi), err));
    return stoa_session_bind(m->session, "y", STOA_COLUMNS(m->t, score), err);
}

static stoa_status enqueue_event(module *m, stoa_error *err)
{
    STOA_TRY(stoa_queue_enqueue(m->queue, fill, m, err));
    STOA_TRY(stoa_session_run(m->session, ROWS, err));
    return stoa_queue_enqueue(m->queue, use, m, err);
}

static stoa_status run(const char *path, stoa_error *err)
{
    stoa_device *host;
    stoa_model *model;
    module modules[STREAMS] = {0};
    STOA_TRY(stoa_device_open("host", &host, err));
    STOA_TRY(stoa_model_load(path, NULL, &model, err));
    for (int s = 0; s < STREAMS; s++) STOA_TRY(open_module(&modules[s], host, model, &framework.streams[s], err));
    const uint64_t before = stoa_alloc_count();
    for (int e = 0; e < EVENTS_OF_A_STREAM; e++)
        for (int s = 0; s < STREAMS; s++) STOA_TRY(enqueue_event(&modules[s], err));
    for (int s = 0; s < STREAMS; s++) STOA_TRY(stoa_queue_wait(modules[s].queue, err));
    printf("%d events, allocations in the loop: %llu, mean score %.6f\n", STREAMS * EVENTS_OF_A_STREAM,
           (unsigned long long)(stoa_alloc_count() - before), modules[0].score_sum / (EVENTS_OF_A_STREAM * ROWS));
    for (int s = 0; s < STREAMS; s++) {
        stoa_session_destroy(modules[s].session);
        stoa_collection_destroy(modules[s].event);
        stoa_queue_destroy(modules[s].queue);
    }
    stoa_model_destroy(model);
    stoa_device_close(host);
    return STOA_OK;
}

int main(int argc, char **argv)
{
    stoa_error err;
    pthread_t workers[WORKERS];
    if (argc != 2) return fprintf(stderr, "usage: framework MODEL.onnx (inputs x [N,3], outputs y [N,1])\n"), 2;
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&workers[i], NULL, work, NULL) != 0) return fprintf(stderr, "no thread\n"), 1;
    const stoa_status status = run(argv[1], &err);
    pthread_mutex_lock(&framework.lock);
    framework.closing = true;
    pthread_cond_broadcast(&framework.changed);
    pthread_mutex_unlock(&framework.lock);
    for (int i = 0; i < WORKERS; i++) pthread_join(workers[i], NULL);
    if (status == STOA_OK) return 0;
    fprintf(stderr, "stoa: %s: %s\n", stoa_status_name(err.status), err.message);
    return 1;
}
