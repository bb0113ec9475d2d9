/* SPDX-License-Identifier: Apache-2.0 */
/* Work of a CUDA queue captured into a graph, as an application would do it: by the driver, on the queue's stream. */
#ifndef STOA_BENCH_GRAPH_H
#define STOA_BENCH_GRAPH_H

#include "stoa/queue.h"

typedef struct bench_graph bench_graph;

/* Capture what `enqueue` puts on the queue, which is empty. Memory may be taken meanwhile, as PyTorch does.
 * errors: ENOTSUP no graphs on this device; EDEVICE the driver's; what `enqueue` gives. */
STOA_MUST_CHECK stoa_status bench_graph_capture(stoa_queue *queue, stoa_status (*enqueue)(void *self, stoa_error *err), void *self,
                                                bench_graph **graph, stoa_error *err);
STOA_MUST_CHECK stoa_status bench_graph_launch(const bench_graph *graph, stoa_error *err);
void bench_graph_destroy(bench_graph *graph); /* NULL is a no-op */

#endif
