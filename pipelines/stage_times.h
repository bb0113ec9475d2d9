/* SPDX-License-Identifier: Apache-2.0 */
/* How long the stages of a job take on a queue, by stamps of the host's between them. A GPU would wait for a stamp, so a job gives
 * stages that follow one another there one number, and they are stamped together. */
#ifndef STAGE_TIMES_H
#define STAGE_TIMES_H

#include "stoa/queue.h"

enum { STAGE_STEPS_MAX = 12 };

/* The stages as they come, one of them maybe twice. Written by the queue. */
typedef struct stage_times {
    uint32_t steps;
    uint32_t stage[STAGE_STEPS_MAX];
    double stamp_us[STAGE_STEPS_MAX + 1]; /* where each begins, and the end of the last */
} stage_times;

double stage_now_us(void);
/* What is enqueued from here on is of this stage. `times`, with 0 steps before the first, is borrowed until the queue passes. */
STOA_MUST_CHECK stoa_status stage_times_enter(stage_times *times, stoa_queue *queue, uint32_t stage, stoa_error *err);
/* The last one ends. */
STOA_MUST_CHECK stoa_status stage_times_end(stage_times *times, stoa_queue *queue, stoa_error *err);
/* us[stage] of `count` stages, once the queue has passed the end. */
void stage_times_sum(const stage_times *times, double *us, uint32_t count);

#endif
