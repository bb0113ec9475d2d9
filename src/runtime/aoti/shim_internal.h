/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the shim. */
#ifndef STOAI_AOTI_SHIM_INTERNAL_H
#define STOAI_AOTI_SHIM_INTERNAL_H

#include "runtime/aoti/shim.h"

/** Bytes from the first element to behind the last; 0 when an extent is 0. */
size_t stoai_shim_extent_bytes(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type);
shim_context *stoai_shim_current(void);
shim_tensor *stoai_shim_tensor_take(void);
void stoai_shim_tensor_give(shim_tensor *tensor);
shim_storage *stoai_shim_storage_take(void);
void stoai_shim_storage_give(shim_storage *storage, shim_context *owner);
void *stoai_shim_lookup(const shim_symbol *table, const char *name);

/* The C++ library's functions that guards stand before, by their mangled names; references are pointers in this ABI. */
#define SHIM_OSTREAM_INSERT "_ZSt16__ostream_insertIcSt11char_traitsIcEERSt13basic_ostreamIT_T0_ES6_PKS3_l"
#define SHIM_OSTREAM_TEXT "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc"
#define SHIM_OSTREAM_CHARACTER "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_c"
typedef struct shim_cxx {
    void *(*allocate)(size_t bytes);   /* operator new */
    void (*release)(void *block);      /* operator delete; NULL is nothing */
    void *(*insert)(void *stream, const char *text, long length);
    void *(*text)(void *stream, const char *text);
    void *(*character)(void *stream, char character);
    void *error_stream;                /* std::cerr */
} shim_cxx;
/** Those of the C++ library that models run with; NULL when there is none.  threads any */
const shim_cxx *stoai_shim_cxx(void);

#endif
