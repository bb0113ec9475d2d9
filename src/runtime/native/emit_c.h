/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a file of plain C. */
#ifndef STOA_NATIVE_EMIT_C_H
#define STOA_NATIVE_EMIT_C_H

#include "runtime/native/program.h"
#include "stoa/model.h"

/* ENOTSUP for what is not of float32 and of one row axis; EIO when the sink takes no more. */
stoa_status stoai_native_emit_c(const native_plan *plan, const stoa_schema *schema, const char *name, stoa_text_sink sink, void *user,
                                stoa_error *err);

#endif
