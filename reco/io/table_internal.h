/* SPDX-License-Identifier: Apache-2.0 */
/* What the table formats share: mapped files, bounds, and one reader and one writer for each format. */
#ifndef RECO_TABLE_INTERNAL_H
#define RECO_TABLE_INTERNAL_H

#include "reco/io/table.h"

/* A whole file, mapped read-only; `data` is NULL for an empty one. */
typedef struct recoi_bytes {
    const char *data;
    size_t bytes;
} recoi_bytes;

stoa_status recoi_map(const char *path, recoi_bytes *file, stoa_error *err);
void recoi_unmap(recoi_bytes *file);

/* ELIMIT when `rows * columns` values of `value_bytes` are more than a reader may make of `file_bytes` bytes of file;
 * `expansion` is how many bytes one byte of file can rightly become. */
stoa_status recoi_check_size(const char *path, const char *what, uint64_t rows, uint64_t columns, size_t value_bytes, uint64_t file_bytes,
                             uint64_t expansion, stoa_error *err);

/* As reco_table_add_group, with names `prefix` + component and the group name apart: npy's c0, npz's x_0. */
stoa_status recoi_add_components(reco_table *table, const char *group, const char *prefix, stoa_dtype dtype, uint32_t components,
                                 void **data, size_t *stride, stoa_error *err);

/* A column that a reader fills or retypes; the public accessor is read-only. */
reco_column *recoi_column(reco_table *table, uint32_t index);

/* Number of columns that start at column `index` and form one whole group; 1 for a column of its own. */
uint32_t recoi_group_span(const reco_table *table, uint32_t index);

/* Copy of `count` values between strided places; `swap` turns the byte order of numbers of `unit` bytes. */
void recoi_copy_strided(char *dst, size_t dst_stride, const char *src, size_t src_stride, size_t value_bytes, size_t unit, size_t count,
                        int swap);

/* Remove what a failed write left, if it is an ordinary file. */
void recoi_remove(const char *path);

/* Error of the system, with errno. */
stoa_status recoi_io_error(const char *path, const char *what, stoa_error *err);

/* Formats of which some rows can be read without the others. */
int recoi_reads_rows(const char *path);
/* As reco_table_read, of at most `count` rows from `first` on, fewer where the file ends; `only`, when not NULL, is the one column
 * wanted (ENAME: there is none). */
stoa_status recoi_read_rows(const char *path, const char *only, uint64_t first, uint64_t count, reco_table **table, stoa_error *err);

/* Rows of one event number, one behind the other. */
typedef struct recoi_run {
    int64_t event;
    uint32_t first, rows;
} recoi_run;
typedef struct recoi_runs {
    recoi_run *list;
    uint32_t count, capacity;
} recoi_runs;
/* Add `rows` rows that stand from row `first` on in the file that `what` names: in the order of the rows. */
stoa_status recoi_runs_add(recoi_runs *runs, const reco_column *event, uint32_t first, uint32_t rows, const char *what, stoa_error *err);
/* Those of a file of which rows can be read, by its column `event` alone; none where it lacks that. */
stoa_status recoi_runs_read(recoi_runs *runs, const char *path, stoa_error *err);
/* By event number; EFORMAT where one has two runs. */
stoa_status recoi_runs_sort(recoi_runs *runs, const char *what, stoa_error *err);
void recoi_runs_deinit(recoi_runs *runs);

/* Find all of `names`, or report at once all that are missing (ENAME). */
stoa_status recoi_get_columns(const reco_table *table, const char *what, const char *const *names, uint32_t count,
                              const reco_column **columns, stoa_error *err);
/* To an integer between two bounds; NaN is the lower one. Absurd values stay absurd, but defined. */
int32_t recoi_to_int(double value, double low, double high);
int64_t recoi_event_number(const reco_column *column, uint32_t row);
/* "a/sim.h5", "vertices" -> "a/sim.vertices.h5"; length as snprintf returns it. */
size_t recoi_beside_path(const char *path, const char *kind, char *text, size_t capacity);

stoa_status recoi_csv_read(const char *path, reco_table **table, stoa_error *err);
stoa_status recoi_csv_write(const char *path, const reco_table *table, stoa_error *err);
stoa_status recoi_csv_append(const char *path, const reco_table *table, stoa_error *err);
stoa_status recoi_npy_read(const char *path, reco_table **table, stoa_error *err);
stoa_status recoi_npy_write(const char *path, const reco_table *table, stoa_error *err);
stoa_status recoi_npz_read(const char *path, reco_table **table, stoa_error *err);
stoa_status recoi_npz_write(const char *path, const reco_table *table, stoa_error *err);
stoa_status recoi_h5_read(const char *path, reco_table **table, stoa_error *err);
stoa_status recoi_h5_read_rows(const char *path, const char *only, uint64_t first, uint64_t count, reco_table **table, stoa_error *err);
stoa_status recoi_h5_write(const char *path, const reco_table *table, stoa_error *err);

#endif
