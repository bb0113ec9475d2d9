/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/stage_times.h"

#include <time.h>

double stage_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static void stamp(void *at) { *(double *)at = stage_now_us(); }

stoa_status stage_times_enter(stage_times *times, stoa_queue *queue, uint32_t stage, stoa_error *err)
{
    if (times->steps > 0 && times->stage[times->steps - 1] == stage) return STOA_OK;
    if (times->steps == STAGE_STEPS_MAX) return STOA_FAIL(err, STOA_ELIMIT, "more than %d stages of a job", STAGE_STEPS_MAX);
    times->stage[times->steps] = stage;
    return stoa_queue_enqueue(queue, stamp, &times->stamp_us[times->steps++], err);
}

stoa_status stage_times_end(stage_times *times, stoa_queue *queue, stoa_error *err)
{ return stoa_queue_enqueue(queue, stamp, &times->stamp_us[times->steps], err); }

void stage_times_sum(const stage_times *times, double *us, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) us[k] = 0;
    for (uint32_t k = 0; k < times->steps; k++) us[times->stage[k]] += times->stamp_us[k + 1] - times->stamp_us[k];
}
