/* SPDX-License-Identifier: Apache-2.0 */
/* Results against the truth. */
#include <math.h>

#include "pipelines/hlt_pixel_tracks/hlt_job.h"

static const float found_within_cm = 0.1f;
enum { USABLE_MIN = 3 }; /* below that no finder has a fair chance, and the event says nothing about this one */

static void count_tracks(const hlt_event *event, const hlt_result *result, hlt_quality *quality)
{
    const track_truth_soa_const truth = event->truth;
    if (truth.head.rows < result->tracks) return;
    for (uint32_t i = 0; i < result->tracks; i++) quality->true_tracks += truth.is_true[i] != 0;
    for (uint32_t i = 0; i < result->selected; i++) {
        const uint32_t row = result->kept[i];
        if (truth.is_true[row]) quality->selected_true++;
        else if (truth.is_duplicate[row]) quality->selected_duplicate++;
        else quality->selected_fake++;
    }
}

static void count_vertex(const hlt_event *event, const hlt_result *result, hlt_quality *quality)
{
    if (isnan(event->vertex_z) || result->usable < USABLE_MIN) return;
    bool found = false;
    for (uint32_t v = 0; v < result->vertices && !found; v++) found = fabsf(result->z[v] - event->vertex_z) <= found_within_cm;
    quality->vertex_events++;
    quality->vertex_found += found;
}

void hlt_job_compare(const hlt_job *job, hlt_quality *quality)
{
    const hlt_result *result;
    for (uint32_t e = 0; (result = hlt_job_result(job, e)) != NULL; e++) {
        if (result->status != STOA_OK) continue;
        count_tracks(hlt_job_event(job, e), result, quality);
        count_vertex(hlt_job_event(job, e), result, quality);
    }
}

void hlt_job_quality(const hlt_job *job, hlt_quality *quality)
{
    *quality = job->past_quality;
    hlt_job_compare(job, quality);
    const double selected = (double)(quality->selected_true + quality->selected_duplicate + quality->selected_fake);
    quality->efficiency = quality->true_tracks ? (double)quality->selected_true / (double)quality->true_tracks : NAN;
    quality->fake_rate = selected > 0 ? (double)quality->selected_fake / selected : NAN;
    quality->duplicate_rate = selected > 0 ? (double)quality->selected_duplicate / selected : NAN;
}
