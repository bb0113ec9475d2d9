/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs that the high-purity selector knows: on numbers drawn at will it says nothing. */
#ifndef STOA_BENCH_HLT_FEATURES_H
#define STOA_BENCH_HLT_FEATURES_H

#include "stoa/queue.h"

/* The features of one simulated event at pile-up 200, again and again: `rows` rows of 17 columns, `pitch` floats apart. `queue` is one of
 * the host's that blocks. */
STOA_MUST_CHECK stoa_status bench_hlt_features(stoa_queue *queue, float *columns, uint32_t rows, uint32_t pitch, stoa_error *err);

#endif
