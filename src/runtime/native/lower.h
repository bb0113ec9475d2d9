/* SPDX-License-Identifier: Apache-2.0 */
/* From an ONNX graph to a plan: walks the nodes in order, hands each to the function of its operator (tables in
 * lower_*.c), and describes inputs and outputs. */
#ifndef STOA_NATIVE_LOWER_H
#define STOA_NATIVE_LOWER_H

#include "runtime/native/graph.h"
#include "stoa/model.h"

/* All that a model keeps lies in `kept`; `scratch` may be released afterwards, in any case.
 * Errors: ENOTSUP naming node, operator and why; EFORMAT an inconsistent graph; ENOMEM. */
stoa_status stoai_lower(const onnx_model *model, size_t file_bytes, const native_kernels *kernels, graph_arena *scratch, graph_arena *kept,
                        native_plan *plan, stoa_schema *schema, stoa_error *err);

#endif
