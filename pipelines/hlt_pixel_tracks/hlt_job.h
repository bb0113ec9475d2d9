/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the job: what its files share. */
#ifndef HLT_JOB_H
#define HLT_JOB_H

#include <stdatomic.h>

#include "pipelines/hlt_pixel_tracks/hlt_stream.h"

/* What a run costs besides the times of its events. */
typedef struct hlt_totals {
    uint64_t copy_calls, copy_bytes, allocations;
    double wall_us;
} hlt_totals;

struct hlt_job {
    hlt_options options;
    const hlt_event *events;
    uint32_t event_count;
    hlt_capacity capacity;   /* of the streams */
    hlt_summary past;        /* of events that others took the place of: counts, and sums of their times */
    hlt_quality past_quality; /* counts */
    stoa_device *device;
    hlt_stream *streams;
    uint32_t stream_count;
    hlt_slot *slots;         /* [event_count], written by the queues */
    hlt_result *results;     /* [event_count], what the caller sees */
    stoa_collection *memory; /* the arrays of the slots, */
    stoa_buffer *counts;     /* and their counts: both where a device writes without waiting */
    legacy_tracks_soa legacy; /* of all events; rows 0: not kept */
    legacy_tracks_soa_const legacy_read; /* the same, for the caller */
    _Atomic uint32_t next;   /* event of the range in progress that no stream has taken yet */
    uint32_t end;            /* of the range */
    hlt_totals last, totals; /* of the last run, and of all with what was loaded */
};

/* Tracks that an event has: a count outside its rows is a broken one's. */
uint32_t hlt_track_count(const hlt_event *event);
/* What makes an event fail as a whole: absurd counts, numbers that are not finite, missing hits where the selector needs them. */
STOA_MUST_CHECK stoa_status hlt_check_event(const hlt_options *options, const hlt_event *event, stoa_error *err);
STOA_MUST_CHECK stoa_status hlt_job_check_range(const hlt_job *job, uint32_t first, uint32_t count, stoa_error *err);
/* Add the events of now: counts, and sums of their times. */
void hlt_job_count(const hlt_job *job, hlt_summary *summary);
void hlt_job_compare(const hlt_job *job, hlt_quality *quality);
void hlt_job_add(hlt_job *job, const hlt_totals *more);
/* The result's arrays are those of its slot. */
void hlt_job_point(hlt_job *job, uint32_t index);

#endif
