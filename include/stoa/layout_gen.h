/* SPDX-License-Identifier: Apache-2.0 */
/* Turns one .def list into data. No include guard: include it once for each layout, after defining
 *
 *      #define STOA_LAYOUT tracks              // name of the struct
 *      #define STOA_LAYOUT_DEF "tracks.def"    // lines COLUMN, SCALAR, VECTOR, MATRIX
 *      #define STOA_LAYOUT_ALIGN 128           // optional
 *
 * It emits: `tracks`, a struct {head; T *column; {T *data; int64_t stride} vector; ...}; `tracks_const`, the same with
 * pointers to const; and `static const stoa_layout tracks_layout`, the table that all functions walk.
 * Both definitions are undefined again at the end. */
#include "stoa/layout.h"

#define STOA_GEN_CAT_(a, b) a##b
#define STOA_GEN_CAT(a, b) STOA_GEN_CAT_(a, b)
#define STOA_GEN_STR_(a) #a
#define STOA_GEN_STR(a) STOA_GEN_STR_(a)
#define STOA_GEN_CONST STOA_GEN_CAT(STOA_LAYOUT, _const)
#ifndef STOA_LAYOUT_ALIGN
#define STOA_LAYOUT_ALIGN STOA_LAYOUT_ALIGN_BYTES
#endif

typedef struct STOA_LAYOUT {
    stoa_view_head head;
#define COLUMN(type, name, unit, doc) type *name;
#define SCALAR(type, name, unit, doc) type *name;
#define VECTOR(type, extent, name, unit, doc) \
    struct { \
        type *data; \
        int64_t stride; \
    } name;
#define MATRIX(type, rows_, cols_, name, unit, doc) \
    struct { \
        type *data; \
        int64_t stride; \
    } name;
#include STOA_LAYOUT_DEF
#undef COLUMN
#undef SCALAR
#undef VECTOR
#undef MATRIX
} STOA_LAYOUT;

typedef struct STOA_GEN_CONST {
    stoa_view_head head;
#define COLUMN(type, name, unit, doc) const type *name;
#define SCALAR(type, name, unit, doc) const type *name;
#define VECTOR(type, extent, name, unit, doc) \
    struct { \
        const type *data; \
        int64_t stride; \
    } name;
#define MATRIX(type, rows_, cols_, name, unit, doc) \
    struct { \
        const type *data; \
        int64_t stride; \
    } name;
#include STOA_LAYOUT_DEF
#undef COLUMN
#undef SCALAR
#undef VECTOR
#undef MATRIX
} STOA_GEN_CONST;

static const stoa_column_desc STOA_GEN_CAT(STOA_LAYOUT, _columns)[] = {
#define STOA_GEN_ROW(type, kind, r, c, name, unit, doc) \
    {#name, unit, doc, STOA_DTYPE_OF(type), kind, {r, c}, (uint32_t)offsetof(STOA_LAYOUT, name), 0},
#define COLUMN(type, name, unit, doc) STOA_GEN_ROW(type, STOA_KIND_COLUMN, 1, 1, name, unit, doc)
#define SCALAR(type, name, unit, doc) STOA_GEN_ROW(type, STOA_KIND_SCALAR, 1, 1, name, unit, doc)
#define VECTOR(type, extent, name, unit, doc) STOA_GEN_ROW(type, STOA_KIND_VECTOR, extent, 1, name, unit, doc)
#define MATRIX(type, rows_, cols_, name, unit, doc) STOA_GEN_ROW(type, STOA_KIND_MATRIX, rows_, cols_, name, unit, doc)
#include STOA_LAYOUT_DEF
#undef COLUMN
#undef SCALAR
#undef VECTOR
#undef MATRIX
#undef STOA_GEN_ROW
};

static const stoa_layout STOA_GEN_CAT(STOA_LAYOUT,
                                      _layout) = {(uint32_t)sizeof(stoa_layout),
                                                  (uint32_t)(sizeof STOA_GEN_CAT(STOA_LAYOUT, _columns) / sizeof(stoa_column_desc)),
                                                  STOA_LAYOUT_ALIGN,
                                                  (uint32_t)sizeof(STOA_LAYOUT),
                                                  STOA_GEN_STR(STOA_LAYOUT),
                                                  STOA_GEN_CAT(STOA_LAYOUT, _columns)};

#undef STOA_GEN_CONST
#undef STOA_GEN_CAT_
#undef STOA_GEN_CAT
#undef STOA_GEN_STR_
#undef STOA_GEN_STR
#undef STOA_LAYOUT
#undef STOA_LAYOUT_DEF
#undef STOA_LAYOUT_ALIGN
