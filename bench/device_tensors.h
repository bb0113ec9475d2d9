/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for all tensors of a model on one place, as columns or as rows of values, and what two results differ by. */
#ifndef STOA_BENCH_DEVICE_TENSORS_H
#define STOA_BENCH_DEVICE_TENSORS_H

#include "stoa/session.h"

enum { DEVICE_TENSORS_MAX = 16, DEVICE_AXES_MAX = 8 };

/* One block of memory, inputs before outputs; each tensor has the same place in it in both forms. All row axes have `rows` rows. */
typedef struct device_tensors {
    const stoa_schema *schema; /* borrowed */
    uint32_t rows, pitch;
    uint32_t axis_rows[DEVICE_AXES_MAX];
    size_t offset[DEVICE_TENSORS_MAX];
    size_t outputs, bytes; /* where the outputs begin; the whole block */
} device_tensors;

/* errors: ELIMIT, EDTYPE what the benchmark does not do */
STOA_MUST_CHECK stoa_status device_tensors_plan(device_tensors *self, const stoa_schema *schema, uint32_t rows, stoa_error *err);
/* Inputs as columns: floats uniform in [0, 1), a row number's is its own. */
void device_tensors_fill(const device_tensors *self, void *columns);
/* The inputs in rows of values. */
void device_tensors_to_rows(const device_tensors *self, const void *columns, void *rows);
STOA_MUST_CHECK stoa_status device_tensors_bind(const device_tensors *self, stoa_session *session, void *memory, stoa_place place,
                                                bool in_rows, stoa_error *err);
STOA_MUST_CHECK stoa_status device_tensors_run(const device_tensors *self, stoa_session *session, stoa_error *err);
/* Bytes of all tensors, without padding: what a run must read and write. */
double device_tensors_traffic(const device_tensors *self);
/* The largest |b - a|, and in `relative` the largest |b - a| / (1 + |a|), of all outputs: `a` as columns, `b` in either form. Infinite
 * where only one is NaN. */
double device_tensors_difference(const device_tensors *self, const void *a, const void *b, bool in_rows, double *relative);

#endif
