/* SPDX-License-Identifier: Apache-2.0 */
/* HDF5: a group of data sets of equal length. Names of groups and components as for .npz. */
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#ifdef RECO_HAVE_HDF5

#include <errno.h>
#include <hdf5.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct h5 {
    const char *path;
    uint64_t file_bytes;
    const char *only;      /* the one data set wanted, or NULL */
    uint64_t first, count; /* the rows wanted, */
    uint64_t rows;         /* of the whole file, once a data set told */
    reco_table *table;
    hid_t only_group; /* set when the root holds one group and no data set */
    uint32_t groups, sets;
    stoa_status status;
    stoa_error *err;
} h5;

/* HDF5 prints its error stack unless told not to; ours is the caller's record. */
typedef struct quiet {
    H5E_auto2_t print;
    void *user;
} quiet;

static void be_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

static quiet quiet_begin(void)
{
    quiet saved = {NULL, NULL};
    H5Eget_auto2(H5E_DEFAULT, &saved.print, &saved.user);
    be_quiet();
    return saved;
}

static void quiet_end(quiet saved) { H5Eset_auto2(H5E_DEFAULT, saved.print, saved.user); }

/* Of some damaged files the library keeps memory that it cannot take down when the process ends, and prints so ("infinite loop closing
 * library") unless it is quiet. Its own last function was registered by its first call, so this one runs before it. */
static void end_quietly(void)
{
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&registered)) atexit(be_quiet);
}

/* The type in memory for a type of ours; 0 for those that HDF5 has no simple type for. */
static hid_t memory_type(stoa_dtype dtype)
{
    switch (dtype) {
    case STOA_INT8: return H5T_NATIVE_INT8;
    case STOA_INT16: return H5T_NATIVE_INT16;
    case STOA_INT32: return H5T_NATIVE_INT32;
    case STOA_INT64: return H5T_NATIVE_INT64;
    case STOA_UINT8:
    case STOA_BOOL: return H5T_NATIVE_UINT8;
    case STOA_UINT16: return H5T_NATIVE_UINT16;
    case STOA_UINT32: return H5T_NATIVE_UINT32;
    case STOA_UINT64: return H5T_NATIVE_UINT64;
    case STOA_FLOAT32: return H5T_NATIVE_FLOAT;
    case STOA_FLOAT64: return H5T_NATIVE_DOUBLE;
    case STOA_FLOAT16:
    case STOA_BFLOAT16:
    case STOA_COMPLEX64:
    case STOA_COMPLEX128:
    case STOA_DTYPE_NONE: break;
    }
    return 0;
}

/* An enumeration over bytes is h5py's bool. Half floats widen to float32. */
static stoa_dtype dtype_of(hid_t type)
{
    static const stoa_dtype ints[2][4] = {{STOA_UINT8, STOA_UINT16, STOA_UINT32, STOA_UINT64},
                                          {STOA_INT8, STOA_INT16, STOA_INT32, STOA_INT64}};
    size_t bytes = H5Tget_size(type);
    H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_FLOAT) return bytes == 2 || bytes == 4 ? STOA_FLOAT32 : bytes == 8 ? STOA_FLOAT64 : STOA_DTYPE_NONE;
    if (kind == H5T_ENUM && bytes == 1) return STOA_BOOL;
    if (kind != H5T_INTEGER) return STOA_DTYPE_NONE;
    int sign = H5Tget_sign(type) == H5T_SGN_2, power = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : -1;
    return power < 0 ? STOA_DTYPE_NONE : ints[sign][power];
}

static stoa_status set_shape(const h5 *h, const char *name, hid_t set, uint64_t *rows, uint64_t *columns, int *rank)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(set);
    *rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    if (space >= 0) H5Sclose(space);
    if (*rank < 1) return STOA_FAIL(h->err, STOA_EFORMAT, "%s: data set '%s' has rank %d, at least 1 needed", h->path, name, *rank);
    *rows = dims[0];
    *columns = 1;
    for (int d = 1; d < *rank; ++d) {
        if (dims[d] == 0 || dims[d] > RECO_TABLE_COLUMNS_MAX)
            return STOA_FAIL(h->err, STOA_EFORMAT, "%s: data set '%s': dimension %d is %llu, 1 to %u possible", h->path, name, d,
                             (unsigned long long)dims[d], RECO_TABLE_COLUMNS_MAX);
        *columns *= dims[d];
        STOA_TRY(recoi_check_size(h->path, name, *rows, *columns, 1, UINT64_MAX, 1, h->err));
    }
    return STOA_OK;
}

/* The wanted rows of a data set into `values`, which are as many rows as the table has. */
static int read_wanted(const h5 *h, hid_t set, hid_t type, void *values)
{
    hsize_t from[H5S_MAX_RANK] = {h->first}, count[H5S_MAX_RANK];
    if (reco_table_rows(h->table) == h->rows) return H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0;
    hid_t file = H5Dget_space(set);
    const int rank = H5Sget_simple_extent_dims(file, count, NULL);
    count[0] = reco_table_rows(h->table);
    hid_t memory = H5Screate_simple(rank, count, NULL);
    const int failed = memory < 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, from, NULL, count, NULL) < 0 ||
                       H5Dread(set, type, memory, file, H5P_DEFAULT, values) < 0;
    if (memory >= 0) H5Sclose(memory);
    if (file >= 0) H5Sclose(file);
    return failed;
}

static stoa_status read_values(const h5 *h, const char *name, hid_t set, hid_t file_type, int rank, uint64_t columns)
{
    stoa_dtype dtype = dtype_of(file_type);
    size_t item = stoa_dtype_bytes(dtype), rows = reco_table_rows(h->table), stride = 0, bytes = rows * columns * item;
    char prefix[RECO_TABLE_NAME_BYTES + 2];
    void *data;
    snprintf(prefix, sizeof prefix, "%.63s_", name);
    if (rank == 1) STOA_TRY(reco_table_add(h->table, name, dtype, &data, h->err));
    else STOA_TRY(recoi_add_components(h->table, name, prefix, dtype, (uint32_t)columns, &data, &stride, h->err));
    if (!rows) return STOA_OK;
    /* An enumeration converts to no integer; its own type, as it lies, is one byte. */
    hid_t type = dtype == STOA_BOOL ? file_type : memory_type(dtype);
    char *values = rank == 1 ? data : stoa_alloc(bytes, 64);
    if (!values) return STOA_FAIL(h->err, STOA_ENOMEM, "%s: no memory for %zu bytes of '%s'", h->path, bytes, name);
    int failed = read_wanted(h, set, type, values);
    for (uint64_t c = 0; rank > 1 && !failed && c < columns; ++c)
        recoi_copy_strided((char *)data + c * stride * item, item, values + c * item, columns * item, item, item, rows, 0);
    if (rank > 1) stoa_free(values, bytes);
    if (failed) return STOA_FAIL(h->err, STOA_EFORMAT, "%s: data set '%s': its %zu bytes cannot be read", h->path, name, bytes);
    return STOA_OK;
}

static stoa_status read_set(h5 *h, const char *name, hid_t set, hid_t type)
{
    uint64_t rows = 0, columns = 0;
    int rank;
    stoa_dtype dtype = dtype_of(type);
    if (dtype == STOA_DTYPE_NONE)
        return STOA_FAIL(h->err, STOA_EDTYPE, "%s: data set '%s' has HDF5 class %d of %zu bytes; integers, floats and bool are read",
                         h->path, name, (int)H5Tget_class(type), H5Tget_size(type));
    if (strlen(name) >= RECO_TABLE_NAME_BYTES)
        return STOA_FAIL(h->err, STOA_EFORMAT, "%s: name '%.40s..' has %zu characters, at most %u possible", h->path, name, strlen(name),
                         RECO_TABLE_NAME_BYTES - 1);
    STOA_TRY(set_shape(h, name, set, &rows, &columns, &rank));
    STOA_TRY(recoi_check_size(h->path, name, rows, columns, stoa_dtype_bytes(dtype), h->file_bytes, RECO_TABLE_EXPANSION_MAX, h->err));
    if (!h->table) {
        const uint64_t left = h->first < rows ? rows - h->first : 0;
        h->rows = rows;
        STOA_TRY(reco_table_create((size_t)(h->count < left ? h->count : left), &h->table, h->err));
    }
    if (rows != h->rows)
        return STOA_FAIL(h->err, STOA_EFORMAT, "%s: data set '%s' has %llu rows, those before it have %llu", h->path, name,
                         (unsigned long long)rows, (unsigned long long)h->rows);
    return read_values(h, name, set, type, rank, columns);
}

static stoa_status visit(h5 *h, hid_t group, const char *name)
{
    H5L_info_t info;
    if (H5Lget_info(group, name, &info, H5P_DEFAULT) >= 0 && info.type != H5L_TYPE_HARD)
        return STOA_OK; /* a link may point out of the file: not followed */
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    H5I_type_t kind = object < 0 ? H5I_BADID : H5Iget_type(object);
    stoa_status status = STOA_OK;
    if (kind == H5I_GROUP) {
        if (h->groups++ == 0) h->only_group = object;
        else H5Oclose(object);
        return STOA_OK;
    }
    if (kind == H5I_DATASET) {
        hid_t type = H5Dget_type(object);
        ++h->sets;
        if (!h->only || !strcmp(h->only, name)) status = read_set(h, name, object, type);
        if (type >= 0) H5Tclose(type);
    } else if (object < 0) {
        status = STOA_FAIL(h->err, STOA_EFORMAT, "%s: object '%.80s' cannot be opened", h->path, name);
    }
    if (object >= 0) H5Oclose(object);
    return status;
}

/* ---- the names of a group ---- */

enum { LINKS_MAX = 2 * RECO_TABLE_COLUMNS_MAX };
typedef char link_name[256];

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* One by one from the index that the file has: H5Literate gathers all links first, and when a damaged one ends that early, HDF5 1.10
 * frees what it never filled. */
static stoa_status list_names(const h5 *h, hid_t group, H5_index_t index, link_name *names, uint64_t count)
{
    const H5_iter_order_t order = index == H5_INDEX_NAME ? H5_ITER_NATIVE : H5_ITER_INC;
    for (uint64_t k = 0; k < count; k++) {
        const ssize_t length = H5Lget_name_by_idx(group, ".", index, order, k, names[k], sizeof *names, H5P_DEFAULT);
        if (length < 0) return STOA_FAIL(h->err, STOA_EFORMAT, "%s: a group of the file cannot be listed", h->path);
        if ((size_t)length >= sizeof *names)
            return STOA_FAIL(h->err, STOA_EFORMAT, "%s: name '%.40s..' has %zd characters, at most %u possible", h->path, names[k], length,
                             RECO_TABLE_NAME_BYTES - 1);
    }
    if (index == H5_INDEX_NAME) qsort(names, count, sizeof *names, by_name);
    return STOA_OK;
}

/* Whether the file keeps the order of writing, with an index over it. */
static bool has_order(hid_t group)
{
    unsigned flags = 0;
    hid_t plist = H5Gget_create_plist(group);
    const bool known = plist >= 0 && H5Pget_link_creation_order(plist, &flags) >= 0;
    if (plist >= 0) H5Pclose(plist);
    return known && (flags & H5P_CRT_ORDER_INDEXED);
}

/* In the order of writing where the file keeps it, else by name. */
static stoa_status iterate(h5 *h, hid_t group)
{
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0) return STOA_FAIL(h->err, STOA_EFORMAT, "%s: a group of the file cannot be listed", h->path);
    if (info.nlinks > LINKS_MAX)
        return STOA_FAIL(h->err, STOA_ELIMIT, "%s: a group with %llu entries, at most %d possible", h->path,
                         (unsigned long long)info.nlinks, LINKS_MAX);
    const size_t bytes = (size_t)info.nlinks * sizeof(link_name);
    link_name *names = stoa_alloc(bytes, 64);
    if (!names)
        return STOA_FAIL(h->err, STOA_ENOMEM, "%s: no memory for the names of %llu entries", h->path, (unsigned long long)info.nlinks);
    stoa_status status = list_names(h, group, has_order(group) ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME, names, info.nlinks);
    for (uint64_t k = 0; k < info.nlinks && status == STOA_OK; k++) status = visit(h, group, names[k]);
    stoa_free(names, bytes);
    return status;
}

static void read_file(h5 *h, hid_t file)
{
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) {
        h->status = STOA_FAIL(h->err, STOA_EFORMAT, "%s: the root group cannot be opened", h->path);
        return;
    }
    h->status = iterate(h, root);
    if (h->status == STOA_OK && !h->sets && h->groups == 1) h->status = iterate(h, h->only_group);
    if (h->status == STOA_OK && !h->sets)
        h->status = STOA_FAIL(h->err, STOA_EFORMAT, "%s: no data set in the root group, and %u groups where 1 would be searched", h->path,
                              (unsigned)h->groups);
    if (h->only_group > 0) H5Oclose(h->only_group);
    H5Gclose(root);
}

stoa_status recoi_h5_read_rows(const char *path, const char *only, uint64_t first, uint64_t count, reco_table **table, stoa_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0) return recoi_io_error(path, "open", err);
    h5 h = {.path = path, .file_bytes = (uint64_t)info.st_size, .only = only, .first = first, .count = count, .err = err};
    quiet saved = quiet_begin();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        h.status =
            STOA_FAIL(err, STOA_EFORMAT, "%s: no HDF5 file, or a damaged one, of %llu bytes", path, (unsigned long long)h.file_bytes);
    } else {
        read_file(&h, file);
        H5Fclose(file);
    }
    quiet_end(saved);
    if (h.status != STOA_OK) end_quietly();
    if (h.status == STOA_ENAME || h.status == STOA_EINVAL) {
        h.status = STOA_EFORMAT; /* a name the table refuses is the file's fault */
        if (err) err->status = STOA_EFORMAT;
    }
    if (h.status == STOA_OK && !h.table) return STOA_FAIL(err, STOA_ENAME, "%s: no data set '%s'", path, only);
    if (h.status != STOA_OK) reco_table_destroy(h.table);
    else *table = h.table;
    return h.status;
}

stoa_status recoi_h5_read(const char *path, reco_table **table, stoa_error *err)
{ return recoi_h5_read_rows(path, NULL, 0, UINT64_MAX, table, err); }

/* ---- writing ---- */

static hid_t file_type(stoa_dtype dtype)
{
    static const int8_t no = 0, yes = 1;
    if (dtype != STOA_BOOL) {
        hid_t type = memory_type(dtype == STOA_FLOAT16 || dtype == STOA_BFLOAT16 ? STOA_FLOAT32 : dtype);
        return type > 0 ? H5Tcopy(type) : -1;
    }
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    if (type >= 0 && (H5Tenum_insert(type, "FALSE", &no) < 0 || H5Tenum_insert(type, "TRUE", &yes) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

/* Row-major values of `count` columns; half floats as float. */
static char *gather(const reco_table *table, uint32_t first, uint32_t count, size_t item)
{
    size_t rows = reco_table_rows(table), bytes = rows * count * item;
    char *values = stoa_alloc(bytes, 64);
    for (uint32_t c = 0; values && c < count; ++c) {
        const reco_column *column = reco_table_column(table, first + c);
        if (stoa_dtype_bytes(column->dtype) == item) {
            recoi_copy_strided(values + c * item, count * item, column->data, item, item, item, rows, 0);
            continue;
        }
        for (uint32_t i = 0; i < rows; ++i) {
            float value = (float)reco_column_value(column, i);
            memcpy(values + ((size_t)i * count + c) * item, &value, sizeof value);
        }
    }
    return values;
}

static stoa_status write_set(const char *path, hid_t file, const reco_table *table, uint32_t first, uint32_t count, stoa_error *err)
{
    const reco_column *column = reco_table_column(table, first);
    const char *name = column->group[0] ? column->group : column->name;
    hsize_t dims[2] = {reco_table_rows(table), count};
    hid_t type = file_type(column->dtype);
    if (type < 0 || strchr(name, '/')) {
        if (type >= 0) H5Tclose(type);
        return STOA_FAIL(err, STOA_EDTYPE, "%s: column '%s' of type %s cannot be an HDF5 data set", path, name,
                         stoa_dtype_name(column->dtype));
    }
    size_t item = H5Tget_size(type), bytes = (size_t)dims[0] * count * item;
    char *values = gather(table, first, count, item);
    if (!values) {
        H5Tclose(type);
        return STOA_FAIL(err, STOA_ENOMEM, "%s: data set '%s' of %zu bytes", path, name, bytes);
    }
    hid_t space = H5Screate_simple(column->group[0] ? 2 : 1, dims, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int failed = space < 0 || set < 0 || (dims[0] && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0);
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    H5Tclose(type);
    stoa_free(values, bytes);
    if (failed) return STOA_FAIL(err, STOA_EIO, "%s: data set '%s' of %zu bytes cannot be written", path, name, bytes);
    return STOA_OK;
}

stoa_status recoi_h5_write(const char *path, const reco_table *table, stoa_error *err)
{
    stoa_status status = STOA_OK;
    quiet saved = quiet_begin();
    hid_t plist = H5Pcreate(H5P_FILE_CREATE);
    if (plist >= 0) H5Pset_link_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    errno = 0;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, plist < 0 ? H5P_DEFAULT : plist, H5P_DEFAULT);
    if (file < 0) status = STOA_FAIL(err, STOA_EIO, "%s: cannot create: %s", path, errno ? strerror(errno) : "HDF5 failed");
    for (uint32_t c = 0, span; file >= 0 && c < reco_table_column_count(table) && status == STOA_OK; c += span) {
        span = recoi_group_span(table, c);
        status = write_set(path, file, table, c, span, err);
    }
    if (file >= 0 && H5Fclose(file) < 0 && status == STOA_OK) status = STOA_FAIL(err, STOA_EIO, "%s: cannot close", path);
    if (plist >= 0) H5Pclose(plist);
    quiet_end(saved);
    if (status != STOA_OK && file >= 0) recoi_remove(path);
    return status;
}

#else

stoa_status recoi_h5_read(const char *path, reco_table **table, stoa_error *err)
{
    (void)table;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: this build has no HDF5 library, which .h5 needs", path);
}

stoa_status recoi_h5_read_rows(const char *path, const char *only, uint64_t first, uint64_t count, reco_table **table, stoa_error *err)
{
    (void)only, (void)first, (void)count;
    return recoi_h5_read(path, table, err);
}

stoa_status recoi_h5_write(const char *path, const reco_table *table, stoa_error *err)
{
    (void)table;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: this build has no HDF5 library, which .h5 needs", path);
}

#endif
