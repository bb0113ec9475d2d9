/* SPDX-License-Identifier: Apache-2.0 */
/** Layouts: which columns a structure of arrays has, and where each lies in its blob.
 *
 *  A layout is a table of column descriptions. It is either generated from a `.def` list (stoa/layout_gen.h) or built
 *  at run time; every function here walks the table. Geometry is that of CMSSW's SoATemplate, byte for byte:
 *  each column, each component of a vector or matrix (components column-major) and each scalar starts aligned and is
 *  padded to the alignment, 128 bytes by default.
 *
 *      // tracks.def:  COLUMN(float, pt, "GeV", "transverse momentum")
 *      //              VECTOR(float, 5, state, "", "phi, tip, q/pt, cot theta, zip")
 *      #define STOA_LAYOUT tracks
 *      #define STOA_LAYOUT_DEF "tracks.def"
 *      #include "stoa/layout_gen.h"
 *
 *      stoa_layout_bytes(&tracks_layout, rows, &bytes, &err);
 *      tracks t;
 *      stoa_layout_bind(&tracks_layout, rows, blob, bytes, stoa_device_place(host), &t.head, &err);
 *      t.pt[0] = 1.5f;   t.state.data[2 * t.state.stride + 0] = 0.5f;    // component 2 of row 0
 */
#ifndef STOA_LAYOUT_H
#define STOA_LAYOUT_H

#include "stoa/device.h"
#include "stoa/dtype.h"

STOA_BEGIN_DECLS

#define STOA_LAYOUT_ALIGN_BYTES 128u
#define STOA_LAYOUT_ROWS_MAX 2147483647u /* CMSSW's size type is int32 */

typedef enum stoa_column_kind {
    STOA_KIND_COLUMN = 0, /**< one value a row */
    STOA_KIND_SCALAR = 1, /**< one value in all */
    STOA_KIND_VECTOR = 2, /**< R values a row, each component a padded column */
    STOA_KIND_MATRIX = 3  /**< R x C values a row, components column-major */
} stoa_column_kind;

/** One line of a layout. Strings are borrowed, usually static. */
typedef struct stoa_column_desc {
    const char *name, *unit, *doc;
    stoa_dtype dtype;
    stoa_column_kind kind;
    uint32_t extent[2];      /**< R and C; 1 where the kind has none */
    uint32_t member_offset;  /**< of the pointer in the generated view struct; 0 for layouts without one */
    uint32_t reserved;
} stoa_column_desc;

/** A layout: immutable, usually `static const`. */
typedef struct stoa_layout {
    uint32_t struct_size;
    uint32_t column_count;
    uint32_t align_bytes;   /**< power of two, 0: STOA_LAYOUT_ALIGN_BYTES */
    uint32_t view_bytes;    /**< sizeof the generated view struct; 0: none */
    const char *name;
    const stoa_column_desc *columns;
} stoa_layout;

/** Where a column lies, for a given number of rows. Strides count elements. */
typedef struct stoa_column_geometry {
    size_t offset_bytes;
    size_t bytes;                /**< with padding */
    int64_t component_stride;    /**< from one component to the next: padded(rows); scalars: padded(1) */
    uint32_t component_count;    /**< R * C */
    uint32_t reserved;
} stoa_column_geometry;

/** First member of every generated view: what is bound, how many rows, where, and whether read-only. */
typedef struct stoa_view_head {
    const stoa_layout *layout;
    void *blob;
    uint32_t rows;
    uint32_t flags;
    stoa_place place;
} stoa_view_head;
enum { STOA_VIEW_CONST = 1u };

/** Check a table: names unique and not empty, dtypes known, extents > 0, alignment a power of two.
 *  owns borrows   threads any   errors EINVAL; ENAME duplicate; EDTYPE; EALIGN, each naming the column   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_check(const stoa_layout *layout, stoa_error *err);

/** Size of a blob of `rows` rows: sum over columns of component_count * align(n * sizeof), n = rows, or 1 for scalars.
 *  shape rows 0 is valid   units bytes   owns borrows   threads any   errors ELIMIT rows above STOA_LAYOUT_ROWS_MAX or size overflow   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_bytes(const stoa_layout *layout, uint32_t rows, size_t *bytes, stoa_error *err);

/** Where column `index` lies in a blob of `rows` rows.
 *  owns fills caller's struct   threads any   errors EINVAL index out of range; ELIMIT   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_place(const stoa_layout *layout, uint32_t rows, uint32_t index,
                                                       stoa_column_geometry *geometry, stoa_error *err);

/** Index of a column by name.
 *  owns borrows   threads any   errors ENAME, listing the names there are   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_find(const stoa_layout *layout, const char *name, uint32_t *index, stoa_error *err);

/** Fill a generated view struct (its head is the first member) with pointers into a blob, the caller's or adopted from elsewhere.
 *
 *  shape    `blob_bytes` >= stoa_layout_bytes(rows); a longer blob is fine
 *  owns     borrows `blob` as long as the view is used; touches no memory of it, which may be a device's
 *  threads  any      errors EINVAL null or no view struct; ESHAPE blob too small, both sizes; EALIGN; ELIMIT      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_bind(const stoa_layout *layout, uint32_t rows, void *blob, size_t blob_bytes,
                                                      stoa_place place, stoa_view_head *view, stoa_error *err);

/** As stoa_layout_bind, for read-only memory: fills the `_const` twin of the view struct.
 *  owns borrows `blob`   threads any   errors as stoa_layout_bind   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_layout_bind_const(const stoa_layout *layout, uint32_t rows, const void *blob, size_t blob_bytes,
                                                            stoa_place place, stoa_view_head *view, stoa_error *err);

/** Write the geometry as a table of text, one column a line, like snprintf: returns the length without the final zero.
 *  owns caller's buffer, NULL with capacity 0 to measure   threads any   errors a negative number for an invalid layout   since 0.1 */
STOA_API int stoa_layout_print(const stoa_layout *layout, uint32_t rows, char *text, size_t capacity);

/** In debug builds a row index that is out of range stops the program with file and line; in release builds this is `row`. */
#ifdef NDEBUG
#define STOA_ROW(view, row) (row)
#else
#define STOA_ROW(view, row) stoa_row_check((uint32_t)(row), (view).head.rows, STOA_HERE)
#endif
/** What STOA_ROW calls. A failed check is logged and asserted: it is a programmer's error.
 *  owns nothing   threads any   errors does not return when row >= rows   since 0.1 */
STOA_API uint32_t stoa_row_check(uint32_t row, uint32_t rows, const char *where);

STOA_END_DECLS
#endif
