/* SPDX-License-Identifier: Apache-2.0 */
/** Tensors: lists of columns, where they lie. Any columns, any order, from any layouts and blobs, const or not.
 *
 *  A tensor owns nothing and copies nothing. Its shape follows from its columns: k columns of n rows are [n, k];
 *  k vectors of R are [n, k, R]; k matrices of R x C are [n, k, R, C]; a single vector or matrix drops the k.
 *  Trailing extents of 1 do not count: a vector of 1 is a column, a matrix of R x 1 a vector.
 *  Scalars broadcast with row stride 0. All columns of a tensor have the same extents; dtypes may be mixed.
 *
 *      stoa_tensor x = STOA_COLUMNS(t, pt, eta, phi);                    // compile error: no such column, bad type
 *      stoa_tensor y = STOA_COLUMNS_OF(float, t, pt, eta);               // compile error: a column that is not float
 *      stoa_tensor z = stoa_tensor_slice(x, 100, 32);                    // rows 100..131
 */
#ifndef STOA_TENSOR_H
#define STOA_TENSOR_H

#include "stoa/layout.h"

STOA_BEGIN_DECLS

/** A column as seen by a tensor: element (row i, component r, c) lies at data + (i*row_stride + r*stride[0] + c*stride[1]) elements. */
typedef struct stoa_column {
    void *data;            /**< never written through when STOA_COLUMN_CONST is set */
    int64_t row_stride;    /**< elements; 0 for a broadcast scalar */
    int64_t stride[2];     /**< elements, of the two extents */
    uint32_t extent[2];    /**< R and C, 1 where absent */
    uint32_t rows;         /**< that the column has; scalars: UINT32_MAX, any */
    uint16_t dtype;        /**< a stoa_dtype */
    uint16_t flags;        /**< STOA_COLUMN_ */
    stoa_place place;
} stoa_column;
enum { STOA_COLUMN_CONST = 1, STOA_COLUMN_SCALAR = 2 };

/** A list of columns. `columns` is borrowed: STOA_COLUMNS makes it live as long as the enclosing block. */
typedef struct stoa_tensor {
    const stoa_column *columns;
    uint32_t column_count;
    uint32_t rows;         /**< of the view: the smallest column's; UINT32_MAX when all are scalars */
    uint32_t first_row;    /**< of a slice; already part of no pointer: element i of the view is row first_row + i */
    uint32_t reserved;
} stoa_tensor;

/** The column at `member_offset` of a generated view; what STOA_COLUMNS calls.
 *  owns borrows the view's blob   threads any   errors a column with dtype STOA_DTYPE_NONE for an unknown offset, which binding refuses   since 0.1 */
STOA_API stoa_column stoa_view_column(const stoa_view_head *view, size_t member_offset);

/** The column of that name; for layouts described at run time.
 *  owns fills caller's struct   threads any   errors ENAME   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_view_find(const stoa_view_head *view, const char *name, stoa_column *column, stoa_error *err);

/** A column over plain memory: `rows` elements `row_stride` apart.
 *  owns borrows `data`   threads any   errors none: binding checks   since 0.1 */
STOA_API stoa_column stoa_column_over(void *data, stoa_dtype dtype, uint32_t rows, int64_t row_stride, stoa_place place);
/** As stoa_column_over, read-only.   owns borrows `data`   threads any   errors none   since 0.1 */
STOA_API stoa_column stoa_column_over_const(const void *data, stoa_dtype dtype, uint32_t rows, int64_t row_stride, stoa_place place);

/** A tensor over an array of columns.
 *  owns borrows `columns`   threads any   errors none: binding checks   since 0.1 */
STOA_API stoa_tensor stoa_tensor_of(const stoa_column *columns, uint32_t column_count);

/** Rows [first, first + count), clipped at the end; beyond the end: 0 rows. Scalars stay; scalars alone get `count` rows.
 *  owns borrows as `tensor`   threads any   errors none   since 0.1 */
STOA_API stoa_tensor stoa_tensor_slice(stoa_tensor tensor, uint32_t first, uint32_t count);

/** Number of batches of `batch_rows` rows, the last one may be short; 0 rows are 0 batches, batch_rows 0 gives 0.
 *  Scalars alone, which have no rows of their own, are 1 batch.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API uint32_t stoa_tensor_batch_count(stoa_tensor tensor, uint32_t batch_rows);

#define STOA_TENSOR_RANK_MAX 4

/** A tensor as a strided array, when it is one: all columns of one dtype, equally spaced.
 *  Shapes and strides are those of the top of this file; strides count elements. */
typedef struct stoa_strided {
    void *data;
    int64_t shape[STOA_TENSOR_RANK_MAX], strides[STOA_TENSOR_RANK_MAX];
    int32_t rank;
    stoa_dtype dtype;
    stoa_place place;
    uint32_t flags; /**< STOA_COLUMN_CONST when any column is */
} stoa_strided;

/** View a tensor as one strided array; no copy is made, ever.
 *
 *  owns     fills caller's struct; borrows the columns' memory       threads any
 *  errors   ESHAPE columns not equally spaced or of different extents, naming the first; EDTYPE mixed; EPLACE     since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_tensor_strided(stoa_tensor tensor, stoa_strided *strided, stoa_error *err);

/** Check what every use needs: at least one column, known dtypes, equal extents, as many rows as
 *  the tensor has, non-null data (of columns with rows), element-aligned pointers, strides that stay in the address space, one place.
 *  owns borrows   threads any   errors EINVAL; ESHAPE; EDTYPE; EALIGN; EPLACE, naming column and both values   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_tensor_check(stoa_tensor tensor, stoa_error *err);

/** Whether any byte of the first `rows` rows of the two tensors is shared; exact for equal row strides and for scalars, conservative
 *  (by range) otherwise, and for columns with more than 65536 pairs of components.
 *  owns borrows   threads any   errors none   since 0.1 */
STOA_API bool stoa_tensor_overlaps(stoa_tensor a, stoa_tensor b, uint32_t rows);

/* ---- STOA_COLUMNS: the table finds kind and stride, the compiler checks name and type. ------------------------------- */

#ifdef __cplusplus
STOA_END_DECLS
#include "stoa/tensor.hpp"
STOA_BEGIN_DECLS
#else
/* A member that is no column (`head`) gives a column without dtype, which every use refuses. */
#define STOA_OFFSET_(view, member) ((size_t)((const char *)&(view).member - (const char *)&(view)))
#define STOA_COLUMN_(view, member) stoa_view_column(&(view).head, STOA_OFFSET_(view, member))
/* Refuses a column of another type; for columns and scalars, not vectors. */
#define STOA_COLUMN_OF_(type, view, member) \
    (stoa_view_column(_Generic((view).member, type *: &(view).head, const type *: &(view).head), STOA_OFFSET_(view, member)))

#define STOA_COLUMNS(view, ...) stoa_tensor_of((const stoa_column[]){STOA_EACH_(STOA_COLUMN_, view, __VA_ARGS__)}, STOA_COUNT_(__VA_ARGS__))
#define STOA_COLUMNS_OF(type, view, ...) \
    stoa_tensor_of((const stoa_column[]){STOA_EACH_TYPED_(type, view, __VA_ARGS__)}, STOA_COUNT_(__VA_ARGS__))
/** Columns of several views: STOA_COLUMNS_JOIN(STOA_COLUMN(a, pt), STOA_COLUMN(b, eta)). */
#define STOA_COLUMN(view, member) STOA_COLUMN_(view, member)
#define STOA_COLUMNS_JOIN(...) \
    stoa_tensor_of((const stoa_column[]){__VA_ARGS__}, (uint32_t)(sizeof((const stoa_column[]){__VA_ARGS__}) / sizeof(stoa_column)))
#endif

#include "stoa/tensor_each.h"

STOA_END_DECLS
#endif
