/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLUMN_ALIGN 128u

/* Components of a group share one allocation, which the first of them owns. */
typedef struct slot {
    reco_column column;
    size_t owned_bytes;
} slot;

struct reco_table {
    uint32_t rows;
    uint32_t count, capacity;
    slot *slots;
};

stoa_status reco_table_create(size_t rows, reco_table **table, stoa_error *err)
{
    if (!table) return STOA_FAIL(err, STOA_EINVAL, "table: out pointer is NULL");
    *table = NULL;
    if (rows > RECO_TABLE_ROWS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "table: %zu rows asked, at most %u possible", rows, RECO_TABLE_ROWS_MAX);
    reco_table *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "table: no memory for %zu bytes", sizeof *made);
    made->rows = (uint32_t)rows;
    *table = made;
    return STOA_OK;
}

void reco_table_destroy(reco_table *table)
{
    if (!table) return;
    for (uint32_t i = 0; i < table->count; ++i)
        if (table->slots[i].owned_bytes) stoa_free(table->slots[i].column.data, table->slots[i].owned_bytes);
    stoa_free(table->slots, table->capacity * sizeof *table->slots);
    stoa_free(table, sizeof *table);
}

static stoa_status reserve(reco_table *table, uint32_t more, stoa_error *err)
{
    if (more > RECO_TABLE_COLUMNS_MAX - table->count)
        return STOA_FAIL(err, STOA_ELIMIT, "table: %u columns and %u more, at most %u possible", (unsigned)table->count, (unsigned)more,
                         RECO_TABLE_COLUMNS_MAX);
    uint32_t needed = table->count + more, capacity = table->capacity ? table->capacity : 16;
    if (needed <= table->capacity) return STOA_OK;
    while (capacity < needed) capacity *= 2;
    slot *slots = stoa_calloc(capacity, sizeof *slots);
    if (!slots) return STOA_FAIL(err, STOA_ENOMEM, "table: no memory for %u columns", (unsigned)capacity);
    if (table->count) memcpy(slots, table->slots, table->count * sizeof *slots);
    stoa_free(table->slots, table->capacity * sizeof *slots);
    table->slots = slots;
    table->capacity = capacity;
    return STOA_OK;
}

static stoa_status check_name(const reco_table *table, const char *name, stoa_error *err)
{
    if (!name || !name[0]) return STOA_FAIL(err, STOA_EINVAL, "table: column %u has no name", (unsigned)table->count);
    if (strlen(name) >= RECO_TABLE_NAME_BYTES)
        return STOA_FAIL(err, STOA_EINVAL, "table: name '%.40s..' has %zu characters, at most %u possible", name, strlen(name),
                         RECO_TABLE_NAME_BYTES - 1);
    for (uint32_t i = 0; i < table->count; ++i)
        if (strcmp(table->slots[i].column.name, name) == 0)
            return STOA_FAIL(err, STOA_ENAME, "table: column '%s' is there already, as number %u", name, (unsigned)i);
    return STOA_OK;
}

/* A block of zeroed columns; names are set by the callers, which have checked them. */
static stoa_status add_block(reco_table *table, stoa_dtype dtype, uint32_t components, slot **first, size_t *stride, stoa_error *err)
{
    size_t item = stoa_dtype_bytes(dtype);
    if (!item) return STOA_FAIL(err, STOA_EDTYPE, "table: no such data type, number %d", (int)dtype);
    if (!components) return STOA_FAIL(err, STOA_EINVAL, "table: a group of 0 columns");
    STOA_TRY(reserve(table, components, err));
    size_t column_bytes = ((size_t)table->rows * item + COLUMN_ALIGN - 1) & ~(size_t)(COLUMN_ALIGN - 1);
    if (!column_bytes) column_bytes = COLUMN_ALIGN; /* a table without rows still has columns with an address */
    size_t bytes = column_bytes * components;
    char *data = stoa_alloc(bytes, COLUMN_ALIGN);
    if (!data) return STOA_FAIL(err, STOA_ENOMEM, "table: no memory for %u columns of %zu bytes", (unsigned)components, column_bytes);
    memset(data, 0, bytes);
    *first = table->slots + table->count;
    *stride = column_bytes / item;
    for (uint32_t k = 0; k < components; ++k) {
        (*first)[k] = (slot){.column = {.dtype = dtype, .component = k, .component_count = components, .data = data + k * column_bytes}};
    }
    (*first)->owned_bytes = bytes;
    return STOA_OK;
}

stoa_status reco_table_add(reco_table *table, const char *name, stoa_dtype dtype, void **data, stoa_error *err)
{
    slot *made = NULL;
    size_t stride = 0;
    if (!table) return STOA_FAIL(err, STOA_EINVAL, "table is NULL");
    STOA_TRY(check_name(table, name, err));
    STOA_TRY(add_block(table, dtype, 1, &made, &stride, err));
    snprintf(made->column.name, sizeof made->column.name, "%s", name);
    table->count += 1;
    if (data) *data = made->column.data;
    return STOA_OK;
}

stoa_status recoi_add_components(reco_table *table, const char *group, const char *prefix, stoa_dtype dtype, uint32_t components,
                                 void **data, size_t *stride, stoa_error *err)
{
    char name[2 * RECO_TABLE_NAME_BYTES];
    if (strlen(prefix) >= RECO_TABLE_NAME_BYTES || strlen(group) >= RECO_TABLE_NAME_BYTES)
        return STOA_FAIL(err, STOA_EINVAL, "table: name '%.40s..' has %zu characters, at most %u possible", prefix, strlen(prefix),
                         RECO_TABLE_NAME_BYTES - 1);
    if (components > RECO_TABLE_COLUMNS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "table: group '%s' of %u columns, at most %u possible", group, (unsigned)components,
                         RECO_TABLE_COLUMNS_MAX);
    for (uint32_t k = 0; k < components; ++k) {
        snprintf(name, sizeof name, "%s%u", prefix, (unsigned)k);
        STOA_TRY(check_name(table, name, err));
    }
    slot *first = NULL;
    size_t made_stride = 0;
    STOA_TRY(add_block(table, dtype, components, &first, &made_stride, err));
    for (uint32_t k = 0; k < components; ++k) {
        snprintf(name, sizeof name, "%s%u", prefix, (unsigned)k);
        memcpy(first[k].column.name, name, RECO_TABLE_NAME_BYTES); /* check_name saw that it fits */
        snprintf(first[k].column.group, RECO_TABLE_NAME_BYTES, "%s", group);
    }
    table->count += components;
    if (data) *data = first->column.data;
    if (stride) *stride = made_stride;
    return STOA_OK;
}

stoa_status reco_table_add_group(reco_table *table, const char *name, stoa_dtype dtype, uint32_t components, void **data, size_t *stride,
                                 stoa_error *err)
{
    char prefix[2 * RECO_TABLE_NAME_BYTES];
    if (!table || !name || !name[0]) return STOA_FAIL(err, STOA_EINVAL, "table or group name missing");
    snprintf(prefix, sizeof prefix, "%.100s_", name);
    return recoi_add_components(table, name, prefix, dtype, components, data, stride, err);
}

uint32_t reco_table_rows(const reco_table *table) { return table ? table->rows : 0; }

uint32_t reco_table_column_count(const reco_table *table) { return table ? table->count : 0; }

const reco_column *reco_table_column(const reco_table *table, uint32_t index)
{ return table && index < table->count ? &table->slots[index].column : NULL; }

const reco_column *reco_table_find(const reco_table *table, const char *name)
{
    for (uint32_t i = 0; name && i < reco_table_column_count(table); ++i)
        if (strcmp(table->slots[i].column.name, name) == 0) return &table->slots[i].column;
    return NULL;
}

/* "event, pt, eta, .." as far as it fits. */
static void list_names(const reco_table *table, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < reco_table_column_count(table); ++i) {
        const char *name = table->slots[i].column.name;
        if (used + strlen(name) + 8 > capacity) {
            snprintf(text + used, capacity - used, " ..");
            return;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", name);
    }
}

stoa_status reco_table_get(const reco_table *table, const char *name, const reco_column **column, stoa_error *err)
{
    char names[600];
    *column = reco_table_find(table, name);
    if (*column) return STOA_OK;
    list_names(table, names, sizeof names);
    return STOA_FAIL(err, STOA_ENAME, "no column '%s'; there are: %s", name ? name : "", names);
}

stoa_status reco_table_group(const reco_table *table, const char *group, const reco_column **first, size_t *stride, stoa_error *err)
{
    *first = NULL;
    for (uint32_t i = 0; group && i < reco_table_column_count(table); ++i) {
        const slot *found = &table->slots[i];
        if (strcmp(found->column.group, group) != 0) continue;
        *first = &found->column;
        *stride = found->owned_bytes / found->column.component_count / stoa_dtype_bytes(found->column.dtype);
        return STOA_OK;
    }
    char names[600];
    list_names(table, names, sizeof names);
    return STOA_FAIL(err, STOA_ENAME, "no group '%s' of columns; there are: %s", group ? group : "", names);
}

reco_column *recoi_column(reco_table *table, uint32_t index) { return &table->slots[index].column; }

uint32_t recoi_group_span(const reco_table *table, uint32_t index) { return table->slots[index].column.component_count; }

double reco_column_value(const reco_column *column, uint32_t row)
{
    const void *data = column->data;
    switch (column->dtype) {
    case STOA_INT8: return ((const int8_t *)data)[row];
    case STOA_INT16: return ((const int16_t *)data)[row];
    case STOA_INT32: return ((const int32_t *)data)[row];
    case STOA_INT64: return (double)((const int64_t *)data)[row];
    case STOA_UINT8: return ((const uint8_t *)data)[row];
    case STOA_UINT16: return ((const uint16_t *)data)[row];
    case STOA_UINT32: return ((const uint32_t *)data)[row];
    case STOA_UINT64: return (double)((const uint64_t *)data)[row];
    case STOA_FLOAT16: return (double)stoa_half_to_float(((const stoa_half *)data)[row]);
    case STOA_FLOAT32: return (double)((const float *)data)[row];
    case STOA_FLOAT64: return ((const double *)data)[row];
    case STOA_BFLOAT16: return (double)stoa_bfloat16_to_float(((const stoa_bfloat16 *)data)[row]);
    case STOA_BOOL: return ((const uint8_t *)data)[row] != 0; /* read as bytes: a file may hold other than 0 and 1 */
    case STOA_COMPLEX64: return (double)((const stoa_complex64 *)data)[row].re;
    case STOA_COMPLEX128: return ((const stoa_complex128 *)data)[row].re;
    case STOA_DTYPE_NONE: break;
    }
    return NAN;
}

void reco_column_floats(const reco_column *column, uint32_t first, uint32_t count, float *out)
{
    if (column->dtype == STOA_FLOAT32) {
        memcpy(out, (const float *)column->data + first, count * sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < count; ++i) out[i] = (float)reco_column_value(column, first + i);
}

/* ---- files ---- */

stoa_status recoi_io_error(const char *path, const char *what, stoa_error *err)
{
    int code = errno;
    return stoa_error_set(err, STOA_EIO, code, STOA_HERE, "%s: cannot %s: %s", path, what, strerror(code));
}

stoa_status recoi_map(const char *path, recoi_bytes *file, stoa_error *err)
{
    struct stat info;
    *file = (recoi_bytes){NULL, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return recoi_io_error(path, "open", err);
    stoa_status status = STOA_OK;
    if (fstat(fd, &info) != 0) {
        status = recoi_io_error(path, "stat", err);
    } else if (!S_ISREG(info.st_mode)) {
        status = STOA_FAIL(err, STOA_EIO, "%s: not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = recoi_io_error(path, "map", err);
        } else {
            (void)madvise(data, (size_t)info.st_size, MADV_SEQUENTIAL); /* a hint; nothing depends on it */
            *file = (recoi_bytes){data, (size_t)info.st_size};
        }
    }
    close(fd);
    return status;
}

void recoi_remove(const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISREG(info.st_mode)) (void)unlink(path); /* the write has failed already */
}

void recoi_unmap(recoi_bytes *file)
{
    union {
        const char *read_only;
        void *any;
    } data = {file->data}; /* munmap takes no pointer to const */
    if (file->data) munmap(data.any, file->bytes);
    *file = (recoi_bytes){NULL, 0};
}

stoa_status recoi_check_size(const char *path, const char *what, uint64_t rows, uint64_t columns, size_t value_bytes, uint64_t file_bytes,
                             uint64_t expansion, stoa_error *err)
{
    if (rows > RECO_TABLE_ROWS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: '%s' has %llu rows, at most %u possible", path, what, (unsigned long long)rows,
                         RECO_TABLE_ROWS_MAX);
    if (columns > RECO_TABLE_COLUMNS_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: '%s' has %llu columns, at most %u possible", path, what, (unsigned long long)columns,
                         RECO_TABLE_COLUMNS_MAX);
    uint64_t bytes = rows * columns * value_bytes; /* at most 2^31 * 2^12 * 2^4 */
    uint64_t most = RECO_TABLE_FILE_BYTES_MAX;
    if (bytes > most)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: '%s' has %llu bytes of values, at most %llu possible", path, what,
                         (unsigned long long)bytes, (unsigned long long)most);
    if (file_bytes < most / expansion && bytes > file_bytes * expansion)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: '%s' announces %llu bytes of values, the file has %llu bytes", path, what,
                         (unsigned long long)bytes, (unsigned long long)file_bytes);
    return STOA_OK;
}

void recoi_copy_strided(char *dst, size_t dst_stride, const char *src, size_t src_stride, size_t value_bytes, size_t unit, size_t count,
                        int swap)
{
    if (!swap && dst_stride == value_bytes && src_stride == value_bytes) {
        if (count) memcpy(dst, src, count * value_bytes);
        return;
    }
    for (size_t i = 0; i < count; ++i, dst += dst_stride, src += src_stride) {
        if (!swap) {
            memcpy(dst, src, value_bytes);
            continue;
        }
        for (size_t base = 0; base < value_bytes; base += unit)
            for (size_t b = 0; b < unit; ++b) dst[base + b] = src[base + unit - 1 - b];
    }
}

/* ---- formats by extension ---- */

typedef struct format {
    const char *extension;
    stoa_status (*read)(const char *, reco_table **, stoa_error *);
    stoa_status (*write)(const char *, const reco_table *, stoa_error *);
    stoa_status (*read_rows)(const char *, const char *, uint64_t, uint64_t, reco_table **, stoa_error *); /* or NULL */
} format;

static const format formats[] = {
    {".csv", recoi_csv_read, recoi_csv_write, NULL},
    {".npy", recoi_npy_read, recoi_npy_write, NULL},
    {".npz", recoi_npz_read, recoi_npz_write, NULL},
    {".h5", recoi_h5_read, recoi_h5_write, recoi_h5_read_rows},
    {".hdf5", recoi_h5_read, recoi_h5_write, recoi_h5_read_rows},
};

static stoa_status find_format(const char *path, const format **found, stoa_error *err)
{
    if (!path) return STOA_FAIL(err, STOA_EINVAL, "table: path is NULL");
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; ++i) {
        if (strcasecmp(dot, formats[i].extension) != 0) continue;
        *found = &formats[i];
        return STOA_OK;
    }
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: extension '%s' is none of .csv, .npy, .npz, .h5", path, dot ? dot : "");
}

stoa_status reco_table_read(const char *path, reco_table **table, stoa_error *err)
{
    const format *found = NULL;
    if (!table) return STOA_FAIL(err, STOA_EINVAL, "table: out pointer is NULL");
    *table = NULL;
    STOA_TRY(find_format(path, &found, err));
    return found->read(path, table, err);
}

int recoi_reads_rows(const char *path)
{
    const format *found = NULL;
    return find_format(path, &found, NULL) == STOA_OK && found->read_rows;
}

stoa_status recoi_read_rows(const char *path, const char *only, uint64_t first, uint64_t count, reco_table **table, stoa_error *err)
{
    const format *found = NULL;
    *table = NULL;
    STOA_TRY(find_format(path, &found, err));
    if (!found->read_rows) return STOA_FAIL(err, STOA_ENOTSUP, "%s: files of this kind are read whole", path);
    return found->read_rows(path, only, first, count, table, err);
}

stoa_status reco_table_write(const char *path, const reco_table *table, stoa_error *err)
{
    const format *found = NULL;
    STOA_TRY(find_format(path, &found, err));
    if (!table || table->count == 0) return STOA_FAIL(err, STOA_EINVAL, "%s: a table without columns cannot be written", path);
    return found->write(path, table, err);
}

stoa_status reco_table_append(const char *path, const reco_table *table, stoa_error *err)
{
    const format *found = NULL;
    STOA_TRY(find_format(path, &found, err));
    if (!table || table->count == 0) return STOA_FAIL(err, STOA_EINVAL, "%s: a table without columns cannot be written", path);
    if (found->write != recoi_csv_write) return STOA_FAIL(err, STOA_ENOTSUP, "%s: only .csv files take rows behind those they have", path);
    return recoi_csv_append(path, table, err);
}
