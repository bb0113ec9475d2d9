/* SPDX-License-Identifier: Apache-2.0 */
/** Tables: named columns of equal length in memory, and the files they are read from and written to.
 *
 *  The extension of a path picks the format: .csv, .npy, .npz, .h5 or .hdf5. Every column is one aligned array, so a
 *  table is a structure of arrays from the start: a model or a kernel takes the columns where they lie. Not for event
 *  data on a device: copy columns into a collection (stoa/collection.h) for that.
 *
 *      reco_table *table;
 *      if (reco_table_read("tracks.csv", &table, &err) == STOA_OK) {
 *          const reco_column *pt = reco_table_find(table, "pt");
 *          for (uint32_t i = 0; i < reco_table_rows(table); ++i) sum += reco_column_value(pt, i);
 *          reco_table_destroy(table);
 *      }
 *
 *  What a file becomes:
 *      .csv   header row, then numbers. A column of integers only is int64, any other float64 (nan and inf are numbers;
 *             an empty field is an error). Written: floats with 9 digits, doubles with 17, both read back exactly.
 *      .npy   [N] -> column c0; [N,F..] -> group c with columns c0 c1 ..; structured dtype -> its fields. Written: one
 *             column -> [N] (its name is lost), one whole group -> [N,F], anything else -> structured dtype.
 *      .npz   array x [N] -> column x; [N,F..] -> group x with columns x_0 x_1 ... Written likewise, not compressed.
 *      .h5    the data sets of the root group, or of the only group in it, as for .npz. Half floats become float32.
 *  Byte order is swapped where the file has the other one. */
#ifndef RECO_TABLE_H
#define RECO_TABLE_H

#include "reco/export.h"
#include "stoa/dtype.h"
#include "stoa/status.h"

STOA_BEGIN_DECLS

#define RECO_TABLE_NAME_BYTES 64u                           /**< of a name, with the final zero */
#define RECO_TABLE_COLUMNS_MAX 4096u
#define RECO_TABLE_ROWS_MAX 2147483647u                     /**< as STOA_LAYOUT_ROWS_MAX */
#define RECO_TABLE_FILE_BYTES_MAX ((uint64_t)16 << 30)      /**< of the values of one table that is read */
#define RECO_TABLE_EXPANSION_MAX 1100u /**< bytes of values for one byte of compressed file; deflate ends at 1032 */

typedef struct reco_table reco_table;

/** One column. Components of a group lie beside each other, `reco_table_group` tells the stride. */
typedef struct reco_column {
    char name[RECO_TABLE_NAME_BYTES];
    char group[RECO_TABLE_NAME_BYTES]; /**< the array it is a component of, "" for none */
    stoa_dtype dtype;
    uint32_t component;                /**< index in its group */
    uint32_t component_count;          /**< columns of its group; 1 for a column of its own */
    uint32_t reserved;
    void *data;                        /**< `rows` values, aligned to 128 bytes */
} reco_column;

/** Make an empty table of `rows` rows.
 *  owns caller destroys   threads any   errors ELIMIT rows above RECO_TABLE_ROWS_MAX; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_create(size_t rows, reco_table **table, stoa_error *err);

/** Destroy a table and its columns; NULL is a no-op.   owns takes `table`   threads any   errors none   since 0.1 */
RECO_API void reco_table_destroy(reco_table *table);

/** Add a zeroed column; `data`, when not NULL, receives its address.
 *  owns the table keeps the memory   threads one at a time per table
 *  errors EINVAL empty or long name; ENAME taken; EDTYPE; ELIMIT too many columns; ENOMEM   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_add(reco_table *table, const char *name, stoa_dtype dtype, void **data, stoa_error *err);

/** Add a group of `components` zeroed columns `name_0` .. in one block; component k starts k * stride elements
 *  after `data`.
 *  owns the table keeps the memory   threads one at a time per table   errors as reco_table_add   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_add_group(reco_table *table, const char *name, stoa_dtype dtype, uint32_t components,
                                                          void **data, size_t *stride, stoa_error *err);

/** Number of rows; 0 for NULL.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_table_rows(const reco_table *table);
/** Number of columns, components counted singly.   owns nothing   threads any   errors none   since 0.1 */
RECO_API uint32_t reco_table_column_count(const reco_table *table);
/** Column by index.   owns borrowed until destroy or the next add   threads any   errors NULL: none   since 0.1 */
RECO_API const reco_column *reco_table_column(const reco_table *table, uint32_t index);
/** Column by name.   owns borrowed until destroy or the next add   threads any   errors NULL: none   since 0.1 */
RECO_API const reco_column *reco_table_find(const reco_table *table, const char *name);

/** Column by name, for callers that need it: the error lists the names there are.
 *  owns borrowed until destroy or the next add   threads any   errors ENAME   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_get(const reco_table *table, const char *name, const reco_column **column, stoa_error *err);

/** First column and stride in elements of a group.
 *  owns borrowed until destroy or the next add   threads any   errors ENAME   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_group(const reco_table *table, const char *group, const reco_column **first, size_t *stride,
                                                      stoa_error *err);

/** One value as double; complex gives its real part, int64 beyond 2^53 is rounded. `row` must be in range.
 *  owns borrows   threads any   errors none   since 0.1 */
RECO_API double reco_column_value(const reco_column *column, uint32_t row);

/** `count` values from row `first` on as float, for any type.
 *  shape the range must be in the column   owns fills caller's memory   threads any   errors none   since 0.1 */
RECO_API void reco_column_floats(const reco_column *column, uint32_t first, uint32_t count, float *out);

/** Read a file.
 *
 *  owns     caller destroys `*table`; NULL on failure
 *  threads  any for .csv, .npy, .npz; the HDF5 library takes one thread at a time in the process
 *  errors   EIO the system's errno in `native`; EFORMAT malformed, cut or contradictory, with file, line or byte and
 *           both values; ELIMIT larger than the limits above; EDTYPE; ENOTSUP unknown extension, or a library that
 *           this build lacks      since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_read(const char *path, reco_table **table, stoa_error *err);

/** Write a file; one that exists is replaced. What is left of a failed write is removed.
 *  owns borrows   threads as reco_table_read
 *  errors EIO; EINVAL no column; EDTYPE a type the format lacks; ENOTSUP   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_write(const char *path, const reco_table *table, stoa_error *err);

/** Write the rows of a table behind those of a .csv file, which has the same columns. A failed write leaves the file as far as it came.
 *  owns borrows   threads any   errors EIO; EINVAL no column; EDTYPE; ENOTSUP another format   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_table_append(const char *path, const reco_table *table, stoa_error *err);

STOA_END_DECLS
#endif
