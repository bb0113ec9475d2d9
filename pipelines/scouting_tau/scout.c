/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/scouting_tau/scout.h"

#include <pthread.h>
#include <stdio.h>

#include "pipelines/kernels.h"
#include "pipelines/scouting_tau/scout_stream.h"
#include "stoa/memory.h"

/* Two locks: one is held while a batch is read, the other while one is handed over. */
struct scout_job {
    scout_options options;
    reco_scout_reader *reader;
    stoa_device *device;
    scout_stream *streams;
    uint32_t stream_count;
    pthread_mutex_t read_lock, deliver_lock;
    pthread_cond_t delivered;
    uint64_t taken, handed_over; /* batches, under the first and the second lock */
    bool at_end;                 /* under the first */
    stoa_status status;          /* under the second: the first failure that ends the job */
    stoa_error err;
    scout_summary summary; /* under the second */
    double read_us;        /* under the first */
};

typedef struct worker {
    scout_job *job;
    uint32_t first, step; /* its streams: first, first + step, ... */
    pthread_t thread;
} worker;

const char *scout_stage_name(uint32_t stage)
{
    static const char *const names[] = {
#define STAGE_NAME(name, text) text,
        SCOUT_STAGE_MAP(STAGE_NAME)
#undef STAGE_NAME
    };
    return stage < SCOUT_STAGE_COUNT ? names[stage] : NULL;
}

/* ---- Set-up. ---- */

static stoa_status make_streams(scout_job *job, stoa_error *err)
{
    job->streams = stoa_calloc(job->options.streams, sizeof *job->streams);
    if (!job->streams)
        return STOA_FAIL(err, STOA_ENOMEM, "scouting job: %zu bytes for %u streams", job->options.streams * sizeof *job->streams,
                         job->options.streams);
    for (; job->stream_count < job->options.streams; job->stream_count++) {
        scout_stream *stream = &job->streams[job->stream_count];
        const stoa_status status = scout_stream_init(stream, &job->options, job->device, job->reader, err);
        if (status == STOA_OK) continue;
        scout_stream_deinit(stream);
        return status;
    }
    return STOA_OK;
}

/* An empty batch on each stream: what a back end makes on the way is made before the first batch counts. */
static stoa_status set_up(scout_job *job, stoa_error *err)
{
    const scout_options *o = &job->options;
    if (o->threads < 1 || o->streams < 1 || o->streams > SCOUT_STREAMS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "%u threads and %u streams given, at least 1 and at most %d needed", o->threads, o->streams,
                         SCOUT_STREAMS_MAX);
    STOA_TRY(pipelines_kernels_register(err));
    STOA_TRY(stoa_device_open(o->device, &job->device, err));
    STOA_TRY(make_streams(job, err));
    for (uint32_t s = 0; s < job->stream_count; s++) {
        STOA_TRY(scout_stream_enqueue(&job->streams[s], err));
        STOA_TRY(stoa_queue_wait(job->streams[s].queue, err));
    }
    return STOA_OK;
}

stoa_status scout_job_create(const scout_options *options, reco_scout_reader *reader, scout_job **job, stoa_error *err)
{
    *job = NULL;
    scout_job *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "scouting job: %zu bytes", sizeof *made);
    made->options = *options;
    made->reader = reader;
    pthread_mutex_init(&made->read_lock, NULL);
    pthread_mutex_init(&made->deliver_lock, NULL);
    pthread_cond_init(&made->delivered, NULL);
    const stoa_status status = set_up(made, err);
    if (status == STOA_OK) *job = made;
    else scout_job_destroy(made);
    return status;
}

void scout_job_destroy(scout_job *job)
{
    if (!job) return;
    for (uint32_t s = 0; s < job->stream_count; s++) scout_stream_deinit(&job->streams[s]);
    stoa_free(job->streams, job->options.streams * sizeof *job->streams);
    stoa_device_close(job->device);
    pthread_cond_destroy(&job->delivered);
    pthread_mutex_destroy(&job->deliver_lock);
    pthread_mutex_destroy(&job->read_lock);
    stoa_free(job, sizeof *job);
}

/* ---- Results, in the order of the input. ---- */

static void mark_failed(scout_result *result, const stoa_error *err)
{
    result->status = err->status;
    snprintf(result->reason, sizeof result->reason, "%.*s", (int)sizeof result->reason - 1, err->message);
}

static void count_physics(scout_summary *sum, const scout_result *r)
{
    const uint32_t candidates = r->batch->candidates;
    sum->taus += *r->taus.taus;
    sum->clusters += *r->clusters.clusters;
    sum->selected += *r->selection.selected;
    for (uint32_t i = 0; i < candidates; i++) sum->outliers += r->cluster_of[i] < 0;
    for (uint32_t c = 0; c < r->batch->crossings; c++) sum->w3pi += r->w3pi.found[c];
    for (uint32_t k = 0; k < SCOUT_STAGE_COUNT; k++) sum->us_per_event[k] += r->us[k];
}

static void count(scout_summary *sum, const scout_result *r)
{
    const reco_scout_batch *b = r->batch;
    const bool is_cut = b->faults[RECO_SCOUT_FAULT_CUT] > 0;
    sum->batches++;
    sum->orbits += b->is_last_part && !is_cut;
    sum->cut_orbits += is_cut;
    sum->events += b->crossings;
    sum->candidates += b->candidates;
    sum->assembled_bytes += b->assembled_bytes;
    for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++) sum->faults[f] += b->faults[f];
    if (r->status == STOA_OK) count_physics(sum, r);
    else sum->failed++;
}

static void fail_job(scout_job *job, const stoa_error *err)
{
    if (job->status != STOA_OK) return;
    job->status = err->status;
    job->err = *err;
}

/* What a network has met on a device is known behind the batch, whose failure it is. */
static stoa_status settle(const scout_stream *s, stoa_error *err)
{
    STOA_TRY(stoa_queue_wait(s->queue, err));
    if (s->tau_session) STOA_TRY(stoa_session_check(s->tau_session, err));
    return s->cluster_session ? stoa_session_check(s->cluster_session, err) : STOA_OK;
}

/* Wait for the stream's batch, then for its turn, and hand it over. After a failure nothing more is handed over, but
 * turns are still taken, so nobody waits for ever. */
static void finish(scout_job *job, scout_stream *s)
{
    stoa_error err;
    if (!s->in_flight) return;
    s->in_flight = false;
    if (s->result.status == STOA_OK && settle(s, &err) != STOA_OK) mark_failed(&s->result, &err);
    stage_times_sum(&s->times, s->result.us, SCOUT_STAGE_COUNT);
    pthread_mutex_lock(&job->deliver_lock);
    while (job->handed_over != s->sequence) pthread_cond_wait(&job->delivered, &job->deliver_lock);
    if (job->status == STOA_OK) {
        count(&job->summary, &s->result);
        if (job->options.deliver && job->options.deliver(job->options.user, &s->result, &err) != STOA_OK) fail_job(job, &err);
    }
    job->handed_over++;
    pthread_cond_broadcast(&job->delivered);
    pthread_mutex_unlock(&job->deliver_lock);
}

/* ---- Run. ---- */

static bool has_failed(scout_job *job)
{
    pthread_mutex_lock(&job->deliver_lock);
    const bool failed = job->status != STOA_OK;
    pthread_mutex_unlock(&job->deliver_lock);
    return failed;
}

/* Read the next batch into the stream. False at the end of the input, or of the job. */
static bool take(scout_job *job, scout_stream *s)
{
    stoa_error err;
    bool more = false;
    stoa_status status = STOA_OK;
    const bool stop = has_failed(job);
    pthread_mutex_lock(&job->read_lock);
    if (!stop && !job->at_end) {
        const double begin_us = stage_now_us();
        status = reco_scout_read(job->reader, s->batch, &more, &err);
        job->read_us += stage_now_us() - begin_us;
        more = more && status == STOA_OK;
        job->at_end = !more;
        if (more) s->sequence = job->taken++;
    }
    pthread_mutex_unlock(&job->read_lock);
    if (status != STOA_OK) {
        pthread_mutex_lock(&job->deliver_lock);
        fail_job(job, &err);
        pthread_mutex_unlock(&job->deliver_lock);
    }
    return more;
}

/* Each of the thread's streams takes the next batch in turn, when its last one is handed over. */
static void *drive(void *user)
{
    const worker *self = user;
    scout_job *job = self->job;
    stoa_error err;
    uint32_t s = self->first, left = 0;
    for (;; s = s + self->step < job->stream_count ? s + self->step : self->first) {
        scout_stream *stream = &job->streams[s];
        finish(job, stream);
        if (!take(job, stream)) break;
        stream->in_flight = true;
        stream->result.status = STOA_OK;
        if (scout_stream_enqueue(stream, &err) != STOA_OK) mark_failed(&stream->result, &err);
    }
    for (left = self->first; left < job->stream_count; left += self->step) {
        s = s + self->step < job->stream_count ? s + self->step : self->first; /* the oldest first */
        finish(job, &job->streams[s]);
    }
    return NULL;
}

static stoa_status drive_all(scout_job *job, stoa_error *err)
{
    worker workers[SCOUT_STREAMS_MAX];
    const uint32_t wanted = job->options.threads < job->stream_count ? job->options.threads : job->stream_count;
    uint32_t started = 1;
    int failed = 0;
    for (uint32_t t = 0; t < wanted; t++) workers[t] = (worker){.job = job, .first = t, .step = wanted};
    for (; started < wanted; started++)
        if ((failed = pthread_create(&workers[started].thread, NULL, drive, &workers[started])) != 0) break;
    drive(&workers[0]); /* takes all batches if no thread started */
    for (uint32_t t = 1; t < started; t++) pthread_join(workers[t].thread, NULL);
    if (!failed) return STOA_OK;
    return stoa_error_set(err, STOA_EDEVICE, failed, STOA_HERE, "thread %u of %u cannot be started", started, wanted);
}

static stoa_status session_copies(const scout_job *job, uint64_t *calls, uint64_t *bytes, stoa_error *err)
{
    *calls = *bytes = 0;
    for (uint32_t s = 0; s < job->stream_count; s++) {
        const stoa_session *const sessions[] = {job->streams[s].tau_session, job->streams[s].cluster_session};
        for (size_t k = 0; k < sizeof sessions / sizeof *sessions; k++) {
            stoa_session_stats stats = {.struct_size = sizeof stats};
            if (!sessions[k]) continue;
            STOA_TRY(stoa_session_get_stats(sessions[k], &stats, err));
            *calls += stats.copy_calls;
            *bytes += stats.copy_bytes;
        }
    }
    return STOA_OK;
}

static void finish_summary(scout_job *job, double wall_us, scout_summary *summary)
{
    const double events = job->summary.events > 0 ? (double)job->summary.events : 1;
    *summary = job->summary;
    for (uint32_t k = 0; k < SCOUT_STAGE_COUNT; k++) summary->us_per_event[k] /= events;
    summary->read_us_per_event = job->read_us / events;
    summary->wall_us_per_event = wall_us / events;
}

stoa_status scout_job_run(scout_job *job, scout_summary *summary, stoa_error *err)
{
    uint64_t calls, bytes;
    job->summary = (scout_summary){0};
    job->status = STOA_OK;
    job->read_us = 0;
    STOA_TRY(session_copies(job, &calls, &bytes, err));
    const uint64_t allocations = stoa_alloc_count();
    const double begin_us = stage_now_us();
    STOA_TRY(drive_all(job, err));
    finish_summary(job, stage_now_us() - begin_us, summary);
    summary->allocations = stoa_alloc_count() - allocations;
    STOA_TRY(session_copies(job, &summary->copy_calls, &summary->copy_bytes, err));
    summary->copy_calls -= calls;
    summary->copy_bytes -= bytes;
    if (job->status == STOA_OK) return STOA_OK;
    return stoa_error_set(err, job->status, job->err.native, job->err.where, "%s", job->err.message);
}
