/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/hlt_pixel_tracks/hlt_job.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pipelines/kernels.h"
#include "stoa/memory.h"

#define STOA_LAYOUT hlt_results_soa
#define STOA_LAYOUT_DEF "pipelines/hlt_pixel_tracks/hlt_results.def"
#include "stoa/layout_gen.h"

#define STOA_LAYOUT hlt_result_vertices_soa
#define STOA_LAYOUT_DEF "pipelines/hlt_pixel_tracks/hlt_result_vertices.def"
#include "stoa/layout_gen.h"

typedef struct worker {
    hlt_job *job;
    uint32_t first, step; /* its streams: first, first + step, ... */
    pthread_t thread;
} worker;

static const char *const stage_names[] = {
#define STAGE_NAME(name, text) text,
    HLT_STAGE_MAP(STAGE_NAME)
#undef STAGE_NAME
};

const char *hlt_stage_name(uint32_t stage) { return stage < HLT_STAGE_COUNT ? stage_names[stage] : NULL; }

/* ---- Checks. ---- */

static stoa_status check_options(const hlt_options *options, stoa_error *err)
{
    if (options->threads < 1 || options->streams < 1 || options->streams > HLT_STREAMS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "%u threads and %u streams given, at least 1 and at most %d needed", options->threads,
                         options->streams, HLT_STREAMS_MAX);
    if (!(options->dxy_knee_cm >= 0))
        return STOA_FAIL(err, STOA_EINVAL, "knee of the ramp at |dxy| %g cm given, 0 (no ramp) or more needed",
                         (double)options->dxy_knee_cm);
    if (options->keep_legacy && options->vertexing != HLT_VERTEXING_DIVISIVE)
        return STOA_FAIL(err, STOA_EINVAL, "legacy tracks are made for the divisive vertex finder only, another one is asked for");
    return STOA_OK;
}

/* ---- Set-up. ---- */

static void mark_failed(hlt_result *result, const stoa_error *err)
{
    result->status = err->status;
    snprintf(result->reason, sizeof result->reason, "%.*s", (int)sizeof result->reason - 1, err->message);
}

static stoa_status make_results(hlt_job *job, uint64_t rows, stoa_error *err)
{
    /* No event has more vertices than tracks, but for the beam spot in place of none. */
    const uint64_t vertex_rows = rows + job->event_count;
    if (vertex_rows > STOA_LAYOUT_ROWS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%llu tracks in %u events: results have more than %u rows", (unsigned long long)rows,
                         job->event_count, STOA_LAYOUT_ROWS_MAX);
    const stoa_block blocks[] = {{"tracks", &hlt_results_soa_layout, (uint32_t)rows, 0, NULL},
                                 {"vertices", &hlt_result_vertices_soa_layout, (uint32_t)vertex_rows, 0, NULL},
                                 {"legacy", &legacy_tracks_soa_layout, job->options.keep_legacy ? (uint32_t)rows : 0, 0, NULL}};
    hlt_results_soa t;
    hlt_result_vertices_soa v;
    STOA_TRY(stoa_collection_create(job->streams[0].queue, STOA_MEMORY_PINNED, blocks, sizeof blocks / sizeof *blocks, &job->memory, err));
    STOA_TRY(stoa_collection_view(job->memory, "tracks", &t.head, err));
    STOA_TRY(stoa_collection_view(job->memory, "vertices", &v.head, err));
    STOA_TRY(stoa_collection_view(job->memory, "legacy", &job->legacy.head, err));
    STOA_TRY(stoa_collection_view_const(job->memory, "legacy", &job->legacy_read.head, err));
    STOA_TRY(stoa_buffer_create(job->streams[0].queue, STOA_MEMORY_PINNED, job->event_count * sizeof(hlt_counts), &job->counts, err));
    hlt_counts *counts = stoa_buffer_data(job->counts);
    size_t at = 0;
    for (uint32_t e = 0; e < job->event_count; e++) {
        const size_t first = at + e;
        hlt_slot *slot = &job->slots[e];
        *slot = (hlt_slot){.counts = counts + e,
                           .index = t.index + at,
                           .kept = t.kept + at,
                           .score = t.score + at,
                           .vertex_of = t.vertex_of + at,
                           .z = v.z + first,
                           .weight = v.weight + first,
                           .chi2 = v.chi2 + first,
                           .pt2_sum = v.pt2_sum + first,
                           .ndof = v.ndof + first,
                           .by_pt2 = v.by_pt2 + first,
                           .legacy_of = t.legacy_of + at,
                           .legacy = job->legacy.head.rows > 0 ? &job->legacy : NULL,
                           .legacy_first = (uint32_t)at};
        at += job->events[e].tracks.head.rows;
    }
    return STOA_OK;
}

/* The most that one event has of each, and not less than `most`. */
static hlt_capacity capacity_of(const hlt_event *events, uint32_t count, hlt_capacity most)
{
    for (uint32_t e = 0; e < count; e++) {
        const uint32_t tracks = events[e].tracks.head.rows, hits = events[e].hits.head.rows;
        if (tracks > most.tracks) most.tracks = tracks;
        const uint32_t rec_hits = events[e].rec_hits.head.rows;
        if (hits > most.hits) most.hits = hits;
        if (rec_hits > most.rec_hits) most.rec_hits = rec_hits;
    }
    return most;
}

static stoa_status make_streams(hlt_job *job, stoa_error *err)
{
    if (!job->streams) job->streams = stoa_calloc(job->options.streams, sizeof *job->streams);
    if (!job->streams)
        return STOA_FAIL(err, STOA_ENOMEM, "tracks job: %zu bytes for %u streams", job->options.streams * sizeof *job->streams,
                         job->options.streams);
    for (; job->stream_count < job->options.streams; job->stream_count++) {
        hlt_stream *stream = &job->streams[job->stream_count];
        const stoa_status status = hlt_stream_init(stream, &job->options, job->device, job->capacity, err);
        if (status == STOA_OK) continue;
        hlt_stream_deinit(stream);
        return status;
    }
    return STOA_OK;
}

/* Caches, page tables and lazily made parts of a back end are warm when the first event counts. */
static stoa_status warm_up(hlt_job *job, stoa_error *err)
{
    for (uint32_t e = 0; e < job->event_count; e++) {
        if (hlt_check_event(&job->options, &job->events[e], NULL) != STOA_OK) continue;
        for (uint32_t s = 0; s < job->stream_count; s++) {
            STOA_TRY(hlt_stream_enqueue(&job->streams[s], &job->events[e], &job->slots[e], err));
            STOA_TRY(stoa_queue_wait(job->streams[s].queue, err));
        }
        break;
    }
    return STOA_OK;
}

/* Released in the order of the first stream's queue, so before the streams. */
static void drop_results(hlt_job *job)
{
    stoa_collection_destroy(job->memory);
    stoa_buffer_release(job->counts);
    stoa_free(job->slots, (job->event_count + 1u) * sizeof *job->slots);
    stoa_free(job->results, (job->event_count + 1u) * sizeof *job->results);
    job->memory = NULL;
    job->counts = NULL;
    job->slots = NULL;
    job->results = NULL;
    job->event_count = 0;
}

static void drop_streams(hlt_job *job)
{
    for (uint32_t s = 0; s < job->stream_count; s++) hlt_stream_deinit(&job->streams[s]);
    job->stream_count = 0;
}

/* Streams stay as long as each event fits. */
static stoa_status set_up(hlt_job *job, const hlt_event *events, uint32_t count, stoa_error *err)
{
    const hlt_capacity needed = capacity_of(events, count, job->capacity);
    const bool fits = job->stream_count > 0 && !memcmp(&needed, &job->capacity, sizeof needed);
    uint64_t rows = 0;
    job->events = events;
    job->slots = stoa_calloc(count + 1u, sizeof *job->slots);
    job->results = stoa_calloc(count + 1u, sizeof *job->results);
    job->event_count = count;
    if (!job->slots || !job->results)
        return STOA_FAIL(err, STOA_ENOMEM, "tracks job: %zu bytes for the results of %u events",
                         (count + 1u) * (sizeof *job->slots + sizeof *job->results), count);
    for (uint32_t e = 0; e < count; e++) rows += events[e].tracks.head.rows;
    if (!fits) {
        drop_streams(job);
        job->capacity = needed;
        STOA_TRY(make_streams(job, err));
    }
    STOA_TRY(make_results(job, rows, err));
    return fits ? STOA_OK : warm_up(job, err);
}

static stoa_status open_device(hlt_job *job, stoa_error *err)
{
    STOA_TRY(check_options(&job->options, err));
    STOA_TRY(pipelines_kernels_register(err));
    return stoa_device_open(job->options.device, &job->device, err);
}

stoa_status hlt_job_create(const hlt_options *options, const hlt_event *events, uint32_t event_count, hlt_job **job, stoa_error *err)
{
    *job = NULL;
    hlt_job *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "tracks job: %zu bytes", sizeof *made);
    made->options = *options;
    made->capacity.tracks = 1;
    stoa_status status = open_device(made, err);
    if (status == STOA_OK) status = set_up(made, events, event_count, err);
    if (status == STOA_OK) *job = made;
    else hlt_job_destroy(made);
    return status;
}

void hlt_job_drop(hlt_job *job)
{
    hlt_job_count(job, &job->past);
    hlt_job_compare(job, &job->past_quality);
    drop_results(job);
}

stoa_status hlt_job_take(hlt_job *job, const hlt_event *events, uint32_t event_count, stoa_error *err)
{
    hlt_job_drop(job);
    return set_up(job, events, event_count, err);
}

void hlt_job_destroy(hlt_job *job)
{
    if (!job) return;
    drop_results(job);
    drop_streams(job);
    stoa_free(job->streams, job->options.streams * sizeof *job->streams);
    stoa_device_close(job->device);
    stoa_free(job, sizeof *job);
}

/* ---- Run. ---- */

/* Each of the thread's streams takes the next event in turn. On the host that runs it; elsewhere it only
 * enqueues, so that all streams are busy at once. An event's memory on the stream is safe: the queue is in
 * order. */
static void *drive(void *user)
{
    const worker *self = user;
    hlt_job *job = self->job;
    for (uint32_t s = self->first;; s = s + self->step < job->stream_count ? s + self->step : self->first) {
        const uint32_t e = atomic_fetch_add(&job->next, 1);
        if (e >= job->end) return NULL;
        stoa_error err;
        hlt_result *result = &job->results[e];
        if (result->status == STOA_OK && hlt_stream_enqueue(&job->streams[s], &job->events[e], &job->slots[e], &err) != STOA_OK)
            mark_failed(result, &err);
        if (self->first == 0 && job->options.progress) job->options.progress(job->options.progress_user, e, job->event_count);
    }
}

static stoa_status drive_all(hlt_job *job, stoa_error *err)
{
    worker workers[HLT_STREAMS_MAX];
    const uint32_t count = job->options.threads < job->stream_count ? job->options.threads : job->stream_count;
    uint32_t started = 1;
    int failed = 0;
    for (uint32_t t = 0; t < count; t++) workers[t] = (worker){.job = job, .first = t, .step = count};
    for (; started < count; started++)
        if ((failed = pthread_create(&workers[started].thread, NULL, drive, &workers[started])) != 0) break;
    drive(&workers[0]); /* takes all events if no thread started */
    for (uint32_t t = 1; t < started; t++) pthread_join(workers[t].thread, NULL);
    for (uint32_t s = 0; s < job->stream_count; s++) STOA_TRY(stoa_queue_wait(job->streams[s].queue, err));
    if (failed) return stoa_error_set(err, STOA_EDEVICE, failed, STOA_HERE, "thread %u of %u cannot be started", started, count);
    return STOA_OK;
}

void hlt_job_point(hlt_job *job, uint32_t index)
{
    const hlt_slot *slot = &job->slots[index];
    hlt_result *result = &job->results[index];
    result->index = slot->index;
    result->score = slot->score;
    result->kept = slot->kept;
    result->vertex_of = slot->vertex_of;
    result->z = slot->z;
    result->weight = slot->weight;
    result->chi2 = slot->chi2;
    result->pt2_sum = slot->pt2_sum;
    result->ndof = slot->ndof;
    result->by_pt2 = slot->by_pt2;
    result->legacy_of = slot->legacy ? slot->legacy_of : NULL;
    result->legacy_first = slot->legacy_first;
    result->legacy = slot->legacy ? &job->legacy_read : NULL;
}

static void take_result(hlt_job *job, uint32_t index)
{
    const hlt_slot *slot = &job->slots[index];
    const hlt_counts *n = slot->counts;
    const hlt_event *event = &job->events[index];
    hlt_result *result = &job->results[index];
    result->tracks = hlt_track_count(event);
    if (result->status != STOA_OK) return;
    result->preselected = n->preselected;
    result->selected = n->selected;
    result->hits = event->hits.head.rows ? n->hits : 0;
    result->converted = n->converted;
    result->usable = n->usable;
    result->vertices = n->vertices;
    result->tops = n->tops;
    hlt_job_point(job, index);
    stage_times_sum(&slot->times, result->us, HLT_STAGE_COUNT);
}

static stoa_status session_copies(const hlt_job *job, uint64_t *calls, uint64_t *bytes, stoa_error *err)
{
    *calls = *bytes = 0;
    for (uint32_t s = 0; s < job->stream_count; s++) {
        stoa_session_stats stats = {.struct_size = sizeof stats};
        if (!job->streams[s].session) continue;
        STOA_TRY(stoa_session_get_stats(job->streams[s].session, &stats, err));
        *calls += stats.copy_calls;
        *bytes += stats.copy_bytes;
    }
    return STOA_OK;
}

/* The events of a range that can be run; the others are marked. */
static void check_events(hlt_job *job, uint32_t first, uint32_t count)
{
    stoa_error err;
    for (uint32_t e = first; e < first + count; e++)
        if (hlt_check_event(&job->options, &job->events[e], &err) != STOA_OK) mark_failed(&job->results[e], &err);
}

stoa_status hlt_job_run(hlt_job *job, uint32_t first, uint32_t count, stoa_error *err)
{
    hlt_totals before, after;
    STOA_TRY(hlt_job_check_range(job, first, count, err));
    check_events(job, first, count);
    STOA_TRY(session_copies(job, &before.copy_calls, &before.copy_bytes, err));
    before.allocations = stoa_alloc_count();
    before.wall_us = stage_now_us();
    job->end = first + count;
    atomic_store(&job->next, first);
    STOA_TRY(drive_all(job, err));
    after.wall_us = stage_now_us();
    after.allocations = stoa_alloc_count();
    STOA_TRY(session_copies(job, &after.copy_calls, &after.copy_bytes, err));
    job->last = (hlt_totals){after.copy_calls - before.copy_calls, after.copy_bytes - before.copy_bytes,
                             after.allocations - before.allocations, after.wall_us - before.wall_us};
    hlt_job_add(job, &job->last);
    for (uint32_t e = first; e < first + count; e++) {
        take_result(job, e);
        job->slots[e].is_done = true;
    }
    if (job->options.progress && job->end == job->event_count)
        job->options.progress(job->options.progress_user, job->event_count, job->event_count);
    return STOA_OK;
}

/* ---- What came of it. ---- */

stoa_status hlt_job_check_range(const hlt_job *job, uint32_t first, uint32_t count, stoa_error *err)
{
    if (first <= job->event_count && count <= job->event_count - first) return STOA_OK;
    return STOA_FAIL(err, STOA_EINVAL, "%u events from %u on asked for, there are %u", count, first, job->event_count);
}

void hlt_job_add(hlt_job *job, const hlt_totals *more)
{
    job->totals.copy_calls += more->copy_calls;
    job->totals.copy_bytes += more->copy_bytes;
    job->totals.allocations += more->allocations;
    job->totals.wall_us += more->wall_us;
}

void hlt_job_count(const hlt_job *job, hlt_summary *summary)
{
    summary->events += job->event_count;
    for (uint32_t e = 0; e < job->event_count; e++) {
        const hlt_result *result = &job->results[e];
        summary->tracks += result->tracks;
        summary->failed += result->status != STOA_OK;
        summary->preselected += result->preselected;
        summary->selected += result->selected;
        summary->hits += result->hits;
        summary->vertices += result->vertices;
        for (int k = 0; k < HLT_STAGE_COUNT; k++) summary->us_per_event[k] += result->us[k];
    }
}

void hlt_job_sum(const hlt_job *job, hlt_summary *summary)
{
    *summary = job->past;
    hlt_job_count(job, summary);
    summary->copy_calls = job->totals.copy_calls;
    summary->copy_bytes = job->totals.copy_bytes;
    summary->allocations = job->totals.allocations;
    summary->wall_us_per_event = job->totals.wall_us;
    const uint32_t ran = summary->events - summary->failed;
    for (int k = 0; k < HLT_STAGE_COUNT && ran; k++) summary->us_per_event[k] /= ran;
    if (ran) summary->wall_us_per_event /= ran;
}

const hlt_result *hlt_job_result(const hlt_job *job, uint32_t index) { return index < job->event_count ? &job->results[index] : NULL; }

const hlt_event *hlt_job_event(const hlt_job *job, uint32_t index) { return index < job->event_count ? &job->events[index] : NULL; }
