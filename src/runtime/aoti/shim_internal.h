/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the shim. */
#ifndef STOAI_AOTI_SHIM_INTERNAL_H
#define STOAI_AOTI_SHIM_INTERNAL_H

#include "runtime/aoti/shim.h"

shim_context *stoai_shim_current(void);
shim_tensor *stoai_shim_tensor_take(void);
void stoai_shim_tensor_give(shim_tensor *tensor);
shim_storage *stoai_shim_storage_take(void);
void stoai_shim_storage_give(shim_storage *storage, shim_context *owner);
void *stoai_shim_lookup(const shim_symbol *table, const char *name);
/** A symbol of the C++ library that the model runs with; NULL: none. */
void *stoai_shim_libstdcxx(const char *name);

#endif
