/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy (format versions 1 to 3) and .npz, a zip of them. The header is a Python literal; only the
 * form that NumPy itself writes is read: {'descr': .., 'fortran_order': .., 'shape': ..}. */
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RECO_HAVE_ZIP
#include <zip.h>
#endif

#define HEADER_BYTES_MAX ((size_t)1 << 20)
#define FIELDS_MAX 1024
#define RANK_MAX 8

typedef struct field {
    char name[RECO_TABLE_NAME_BYTES];
    stoa_dtype dtype;
    int swap;
    size_t offset;
} field;

typedef struct npy {
    const char *path, *what; /* for messages: the file, and the array in it */
    const char *at, *end;    /* the header text that is left */
    const char *values;
    size_t value_bytes; /* that are there */
    field *fields;      /* one without a name for a plain array */
    uint32_t field_count;
    size_t record_bytes;
    uint64_t shape[RANK_MAX];
    uint32_t rank;
    int fortran, seen; /* seen: bit for each of the three keys */
    stoa_error *err;
} npy;

static const struct {
    char kind;
    uint32_t bytes;
    stoa_dtype dtype;
} kinds[] = {
    {'i', 1, STOA_INT8},    {'i', 2, STOA_INT16},  {'i', 4, STOA_INT32},     {'i', 8, STOA_INT64},       {'u', 1, STOA_UINT8},
    {'u', 2, STOA_UINT16},  {'u', 4, STOA_UINT32}, {'u', 8, STOA_UINT64},    {'f', 2, STOA_FLOAT16},     {'f', 4, STOA_FLOAT32},
    {'f', 8, STOA_FLOAT64}, {'b', 1, STOA_BOOL},   {'c', 8, STOA_COMPLEX64}, {'c', 16, STOA_COMPLEX128},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static stoa_status malformed(const npy *n, const char *needed)
{
    char text[33];
    size_t left = (size_t)(n->end - n->at), shown = left < 32 ? left : 32;
    for (size_t i = 0; i < shown; ++i) text[i] = n->at[i] >= 0x20 && n->at[i] < 0x7f ? n->at[i] : '?';
    text[shown] = 0;
    return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': header has '%s' where %s should be", n->path, n->what, text, needed);
}

static void skip_blank(npy *n)
{
    while (n->at < n->end && (*n->at == ' ' || *n->at == '\n' || *n->at == '\t')) ++n->at;
}

static int take(npy *n, char wanted)
{
    skip_blank(n);
    if (n->at == n->end || *n->at != wanted) return 0;
    ++n->at;
    return 1;
}

static stoa_status need(npy *n, char wanted)
{
    const char text[] = {'\'', wanted, '\'', 0};
    return take(n, wanted) ? STOA_OK : malformed(n, text);
}

/* A quoted string without escapes. */
static stoa_status take_string(npy *n, char *text, size_t capacity)
{
    skip_blank(n);
    if (n->at == n->end || (*n->at != '\'' && *n->at != '"')) return malformed(n, "a quoted name");
    const char *begin = n->at + 1, *stop = memchr(begin, *n->at, (size_t)(n->end - begin));
    if (!stop || (size_t)(stop - begin) >= capacity || memchr(begin, '\\', (size_t)(stop - begin)) ||
        memchr(begin, 0, (size_t)(stop - begin)))
        return malformed(n, "a quoted name of at most 63 characters");
    memcpy(text, begin, (size_t)(stop - begin));
    text[stop - begin] = 0;
    n->at = stop + 1;
    return STOA_OK;
}

static stoa_status take_unsigned(npy *n, uint64_t *value)
{
    skip_blank(n);
    const char *begin = n->at;
    *value = 0;
    for (; n->at < n->end && *n->at >= '0' && *n->at <= '9'; ++n->at) {
        if (n->at - begin >= 18) return malformed(n, "a number below 10^18");
        *value = *value * 10 + (uint64_t)(*n->at - '0');
    }
    if (n->at < n->end && *n->at == 'L') ++n->at; /* Python 2 wrote 10L */
    return n->at > begin ? STOA_OK : malformed(n, "a number");
}

static stoa_status set_dtype(npy *n, const char *text, field *out)
{
    char order = text[0], *stop;
    const char *kind = order && strchr("<>|=", order) ? text + 1 : text;
    unsigned long bytes = *kind ? strtoul(kind + 1, &stop, 10) : 0;
    for (size_t k = 0; *kind && *stop == 0 && k < KIND_COUNT; ++k) {
        if (kinds[k].kind != *kind || kinds[k].bytes != bytes) continue;
        out->dtype = kinds[k].dtype;
        out->swap = order == '>' && bytes > 1;
        return STOA_OK;
    }
    if (*kind == '?' && kind[1] == 0) {
        out->dtype = STOA_BOOL;
        return STOA_OK;
    }
    return STOA_FAIL(n->err, STOA_EDTYPE, "%s: array '%s': type '%.20s' is none of i1..i8, u1..u8, f2..f8, b1, c8, c16", n->path, n->what,
                     text);
}

/* [('pt', '<f4'), ..]; fields that are arrays or records themselves are refused by name. */
static stoa_status take_fields(npy *n)
{
    char type[RECO_TABLE_NAME_BYTES];
    STOA_TRY(need(n, '['));
    while (!take(n, ']')) {
        if (n->field_count == FIELDS_MAX)
            return STOA_FAIL(n->err, STOA_ELIMIT, "%s: array '%s': more than %d fields", n->path, n->what, FIELDS_MAX);
        field *f = &n->fields[n->field_count];
        STOA_TRY(need(n, '('));
        STOA_TRY(take_string(n, f->name, sizeof f->name));
        STOA_TRY(need(n, ','));
        STOA_TRY(take_string(n, type, sizeof type));
        if (!take(n, ')'))
            return STOA_FAIL(n->err, STOA_ENOTSUP, "%s: array '%s': field '%s' is an array itself", n->path, n->what, f->name);
        f->offset = n->record_bytes;
        if (type[0] && strchr("|<>=", type[0]) && type[1] == 'V') { /* padding of an aligned record */
            n->record_bytes += strtoul(type + 2, NULL, 10) & 0xfff;
        } else {
            STOA_TRY(set_dtype(n, type, f));
            n->record_bytes += stoa_dtype_bytes(f->dtype);
            ++n->field_count;
        }
        take(n, ',');
    }
    return n->field_count ? STOA_OK : malformed(n, "a field");
}

static stoa_status take_shape(npy *n)
{
    STOA_TRY(need(n, '('));
    while (!take(n, ')')) {
        if (n->rank == RANK_MAX)
            return STOA_FAIL(n->err, STOA_ELIMIT, "%s: array '%s': more than %d dimensions", n->path, n->what, RANK_MAX);
        STOA_TRY(take_unsigned(n, &n->shape[n->rank++]));
        if (!take(n, ',') && !take(n, ')')) return malformed(n, "',' or ')'");
        else if (n->at[-1] == ')') break;
    }
    return STOA_OK;
}

static stoa_status take_entry(npy *n)
{
    char key[RECO_TABLE_NAME_BYTES], type[RECO_TABLE_NAME_BYTES];
    STOA_TRY(take_string(n, key, sizeof key));
    STOA_TRY(need(n, ':'));
    skip_blank(n);
    int bit = strcmp(key, "descr") == 0 ? 1 : strcmp(key, "fortran_order") == 0 ? 2 : strcmp(key, "shape") == 0 ? 4 : 0;
    if (!bit || (n->seen & bit))
        return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': header key '%s' is unknown or there twice", n->path, n->what, key);
    n->seen |= bit;
    if (bit == 4) return take_shape(n);
    if (bit == 2) {
        n->fortran = n->end - n->at >= 4 && memcmp(n->at, "True", 4) == 0;
        if (!n->fortran && (n->end - n->at < 5 || memcmp(n->at, "False", 5) != 0)) return malformed(n, "True or False");
        n->at += n->fortran ? 4 : 5;
        return STOA_OK;
    }
    if (n->at < n->end && *n->at == '[') return take_fields(n);
    STOA_TRY(take_string(n, type, sizeof type));
    STOA_TRY(set_dtype(n, type, n->fields));
    n->field_count = 1;
    n->record_bytes = stoa_dtype_bytes(n->fields->dtype);
    return STOA_OK;
}

static stoa_status parse_header(npy *n, const char *image, size_t bytes)
{
    const unsigned char *raw = (const unsigned char *)image;
    if (bytes < 12 || memcmp(image, "\x93NUMPY", 6) != 0)
        return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': %zu bytes that do not start with \\x93NUMPY", n->path, n->what, bytes);
    if (raw[6] < 1 || raw[6] > 3)
        return STOA_FAIL(n->err, STOA_ENOTSUP, "%s: array '%s': npy format version %u, known are 1 to 3", n->path, n->what,
                         (unsigned)raw[6]);
    size_t start = raw[6] == 1 ? 10 : 12;
    size_t length = (size_t)raw[8] | (size_t)raw[9] << 8;
    if (raw[6] > 1) length |= (size_t)raw[10] << 16 | (size_t)raw[11] << 24;
    if (length > HEADER_BYTES_MAX || length > bytes - start)
        return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': header of %zu bytes announced, %zu bytes left", n->path, n->what, length,
                         bytes - start);
    n->at = image + start;
    n->end = n->at + length;
    n->values = n->end;
    n->value_bytes = bytes - start - length;
    STOA_TRY(need(n, '{'));
    while (!take(n, '}')) {
        STOA_TRY(take_entry(n));
        take(n, ',');
    }
    return n->seen == 7 ? STOA_OK
                        : STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': header lacks descr, fortran_order or shape", n->path, n->what);
}

/* Rows, and columns of the flattened rest; ELIMIT and EFORMAT before anything is allocated or multiplied past
 * 64 bits. */
static stoa_status check_shape(const npy *n, uint64_t *rows, uint64_t *columns)
{
    if (n->rank == 0) return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': rank 0, at least 1 needed", n->path, n->what);
    *rows = n->shape[0];
    *columns = 1;
    for (uint32_t d = 1; d < n->rank; ++d) {
        if (n->shape[d] == 0 || n->shape[d] > RECO_TABLE_COLUMNS_MAX)
            return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': dimension %u is %llu, 1 to %u possible", n->path, n->what, (unsigned)d,
                             (unsigned long long)n->shape[d], RECO_TABLE_COLUMNS_MAX);
        *columns *= n->shape[d]; /* at most 2^12 each, and together */
        STOA_TRY(recoi_check_size(n->path, n->what, *rows, *columns, 1, UINT64_MAX, 1, n->err));
    }
    STOA_TRY(recoi_check_size(n->path, n->what, *rows, *columns, 16, UINT64_MAX, 1, n->err));
    uint64_t needed = *rows * *columns * n->record_bytes;
    if (needed != n->value_bytes)
        return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s': the shape needs %llu bytes of values, %zu are there", n->path, n->what,
                         (unsigned long long)needed, n->value_bytes);
    if (n->fortran && n->rank > 2)
        return STOA_FAIL(n->err, STOA_ENOTSUP, "%s: array '%s': rank %u in Fortran order, at most 2", n->path, n->what, (unsigned)n->rank);
    if (*columns > 1 && n->fields->name[0])
        return STOA_FAIL(n->err, STOA_ENOTSUP, "%s: array '%s': records of rank %u, only 1", n->path, n->what, (unsigned)n->rank);
    return STOA_OK;
}

static size_t swap_unit(stoa_dtype dtype)
{
    size_t bytes = stoa_dtype_bytes(dtype);
    return dtype == STOA_COMPLEX64 || dtype == STOA_COMPLEX128 ? bytes / 2 : bytes;
}

static stoa_status copy_fields(const npy *n, reco_table *table)
{
    for (uint32_t f = 0; f < n->field_count; ++f) {
        const field *in = &n->fields[f];
        size_t item = stoa_dtype_bytes(in->dtype);
        void *data;
        STOA_TRY(reco_table_add(table, in->name, in->dtype, &data, n->err));
        recoi_copy_strided(data, item, n->values + in->offset, n->record_bytes, item, swap_unit(in->dtype), reco_table_rows(table),
                           in->swap);
    }
    return STOA_OK;
}

/* One array into the table, which is made at the first one. `name` is NULL for a lone .npy: columns c0, c1 ..
 */
static stoa_status add_array(const npy *n, const char *name, reco_table **table)
{
    uint64_t rows = 0, columns = 0;
    STOA_TRY(check_shape(n, &rows, &columns));
    if (!*table) STOA_TRY(reco_table_create((size_t)rows, table, n->err));
    if (rows != reco_table_rows(*table))
        return STOA_FAIL(n->err, STOA_EFORMAT, "%s: array '%s' has %llu rows, those before it have %u", n->path, n->what,
                         (unsigned long long)rows, (unsigned)reco_table_rows(*table));
    if (n->fields->name[0]) return copy_fields(n, *table);
    size_t item = n->record_bytes, stride = 0;
    char prefix[RECO_TABLE_NAME_BYTES + 2], *data;
    void *start;
    snprintf(prefix, sizeof prefix, "%s%s", name ? name : "c", name ? "_" : "");
    if (n->rank == 1) STOA_TRY(reco_table_add(*table, name ? name : "c0", n->fields->dtype, &start, n->err));
    else STOA_TRY(recoi_add_components(*table, name ? name : "c", prefix, n->fields->dtype, (uint32_t)columns, &start, &stride, n->err));
    data = start;
    for (uint64_t c = 0; c < columns; ++c) {
        const char *from = n->values + (n->fortran ? c * rows * item : c * item);
        recoi_copy_strided(data + c * stride * item, item, from, n->fortran ? item : columns * item, item, swap_unit(n->fields->dtype),
                           (size_t)rows, n->fields->swap);
    }
    return STOA_OK;
}

static stoa_status read_image(const char *path, const char *what, const char *name, const char *image, size_t bytes, reco_table **table,
                              stoa_error *err)
{
    npy n = {.path = path, .what = what, .err = err};
    n.fields = stoa_calloc(FIELDS_MAX + 1, sizeof *n.fields);
    if (!n.fields) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %d fields", path, FIELDS_MAX);
    stoa_status status = parse_header(&n, image, bytes);
    if (status == STOA_OK) status = add_array(&n, name, table);
    stoa_free(n.fields, (FIELDS_MAX + 1) * sizeof *n.fields);
    /* A name that is taken or too long is the file's fault, not an argument's. */
    if ((status == STOA_ENAME || status == STOA_EINVAL) && err) err->status = STOA_EFORMAT;
    return status == STOA_ENAME || status == STOA_EINVAL ? STOA_EFORMAT : status;
}

stoa_status recoi_npy_read(const char *path, reco_table **table, stoa_error *err)
{
    recoi_bytes file;
    STOA_TRY(recoi_map(path, &file, err));
    stoa_status status = read_image(path, "", NULL, file.data, file.bytes, table, err);
    recoi_unmap(&file);
    if (status != STOA_OK) {
        reco_table_destroy(*table);
        *table = NULL;
    }
    return status;
}

/* ---- writing ---- */

static const char *dtype_code(stoa_dtype dtype, char text[8])
{
    for (size_t k = 0; k < KIND_COUNT; ++k)
        if (kinds[k].dtype == dtype) {
            snprintf(text, 8, "%c%c%u", kinds[k].bytes == 1 ? '|' : '<', kinds[k].kind, (unsigned)kinds[k].bytes);
            return text;
        }
    return NULL;
}

typedef struct image {
    char *data;
    size_t bytes;
} image;

/* Room for the 10 bytes in front, the text padded with blanks to 64, and the values. */
static stoa_status make_image(const char *path, const char *text, size_t value_bytes, image *out, char **values, stoa_error *err)
{
    size_t used = strlen(text), header = (10 + used + 1 + 63) & ~(size_t)63;
    if (header - 10 > UINT16_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%s: header of %zu bytes, npy version 1 takes %u", path, header, UINT16_MAX);
    out->bytes = header + value_bytes;
    out->data = stoa_alloc(out->bytes, 64);
    if (!out->data) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %zu bytes", path, out->bytes);
    memset(out->data, ' ', header);
    memcpy(out->data, "\x93NUMPY\x01\x00", 8);
    out->data[8] = (char)((header - 10) & 0xff);
    out->data[9] = (char)((header - 10) >> 8);
    memcpy(out->data + 10, text, used);
    out->data[header - 1] = '\n';
    *values = out->data + header;
    return STOA_OK;
}

/* Columns first .. first+count as one plain array: [N] for one of its own, [N,count] for a group. */
static stoa_status plain_image(const char *path, const reco_table *table, uint32_t first, uint32_t count, image *out, stoa_error *err)
{
    const reco_column *column = reco_table_column(table, first);
    char code[8], text[128], second[16] = "", *values;
    size_t item = stoa_dtype_bytes(column->dtype), rows = reco_table_rows(table);
    if (!dtype_code(column->dtype, code))
        return STOA_FAIL(err, STOA_EDTYPE, "%s: column '%s' is %s, which NumPy lacks", path, column->name, stoa_dtype_name(column->dtype));
    if (column->group[0]) snprintf(second, sizeof second, " %u", (unsigned)count);
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,%s), }", code, rows, second);
    STOA_TRY(make_image(path, text, rows * count * item, out, &values, err));
    for (uint32_t c = 0; c < count; ++c)
        recoi_copy_strided(values + c * item, count * item, reco_table_column(table, first + c)->data, item, item, item, rows, 0);
    return STOA_OK;
}

static stoa_status record_image(const char *path, const reco_table *table, image *out, stoa_error *err)
{
    uint32_t columns = reco_table_column_count(table);
    size_t rows = reco_table_rows(table), capacity = 128 + columns * (RECO_TABLE_NAME_BYTES + 24), used, record = 0;
    char *text = stoa_alloc(capacity, 1), code[8], *values;
    stoa_status status = STOA_OK;
    if (!text) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %zu bytes", path, capacity);
    used = (size_t)snprintf(text, capacity, "{'descr': [");
    for (uint32_t c = 0; c < columns && status == STOA_OK; ++c) {
        const reco_column *column = reco_table_column(table, c);
        if (!dtype_code(column->dtype, code) || strpbrk(column->name, "'\\"))
            status = STOA_FAIL(err, STOA_EDTYPE, "%s: column '%s' of type %s cannot be a field of an npy record", path, column->name,
                               stoa_dtype_name(column->dtype));
        else used += (size_t)snprintf(text + used, capacity - used, "('%s', '%s'), ", column->name, code);
        record += stoa_dtype_bytes(column->dtype);
    }
    snprintf(text + used, capacity - used, "], 'fortran_order': False, 'shape': (%zu,), }", rows);
    if (status == STOA_OK) status = make_image(path, text, rows * record, out, &values, err);
    stoa_free(text, capacity);
    if (status != STOA_OK) return status;
    for (uint32_t c = 0; c < columns; ++c) {
        const reco_column *column = reco_table_column(table, c);
        size_t item = stoa_dtype_bytes(column->dtype);
        recoi_copy_strided(values, record, column->data, item, item, item, rows, 0);
        values += item;
    }
    return STOA_OK;
}

stoa_status recoi_npy_write(const char *path, const reco_table *table, stoa_error *err)
{
    image out = {NULL, 0};
    uint32_t columns = reco_table_column_count(table);
    stoa_status status =
        recoi_group_span(table, 0) == columns ? plain_image(path, table, 0, columns, &out, err) : record_image(path, table, &out, err);
    if (status != STOA_OK) return status;
    FILE *file = fopen(path, "we");
    if (!file) {
        status = recoi_io_error(path, "create", err);
    } else {
        int failed = fwrite(out.data, 1, out.bytes, file) != out.bytes;
        failed |= fclose(file) != 0;
        if (failed) {
            status = recoi_io_error(path, "write", err);
            recoi_remove(path);
        }
    }
    stoa_free(out.data, out.bytes);
    return status;
}

#ifdef RECO_HAVE_ZIP

/* The whole entry, and one read past its end: that one makes libzip compare the checksum. */
static stoa_status read_entry(const char *path, zip_t *zip, zip_uint64_t index, const zip_stat_t *info, char *data, stoa_error *err)
{
    char past;
    zip_file_t *file = zip_fopen_index(zip, index, 0);
    if (!file) return STOA_FAIL(err, STOA_EFORMAT, "%s: entry '%.80s': %s", path, info->name, zip_strerror(zip));
    zip_uint64_t got = 0;
    zip_int64_t step = 1;
    while (got < info->size && (step = zip_fread(file, data + got, info->size - got)) > 0) got += (zip_uint64_t)step;
    if (step >= 0) step = zip_fread(file, &past, 1);
    stoa_status status = STOA_OK;
    if (step < 0) status = STOA_FAIL(err, STOA_EFORMAT, "%s: entry '%.80s': %s", path, info->name, zip_file_strerror(file));
    else if (got != info->size || step != 0)
        status = STOA_FAIL(err, STOA_EFORMAT, "%s: entry '%.80s': %llu bytes announced, %s%llu there", path, info->name,
                           (unsigned long long)info->size, step ? "more than " : "", (unsigned long long)got);
    zip_fclose(file);
    return status;
}

static stoa_status add_entry(const char *path, zip_t *zip, zip_uint64_t index, reco_table **table, stoa_error *err)
{
    zip_stat_t info;
    char name[RECO_TABLE_NAME_BYTES];
    if (zip_stat_index(zip, index, 0, &info) != 0 || !(info.valid & ZIP_STAT_NAME) || !(info.valid & ZIP_STAT_SIZE) ||
        !(info.valid & ZIP_STAT_COMP_SIZE))
        return STOA_FAIL(err, STOA_EFORMAT, "%s: entry %llu: %s", path, (unsigned long long)index, zip_strerror(zip));
    size_t length = strlen(info.name);
    if (length < 5 || strcmp(info.name + length - 4, ".npy") != 0 || length - 4 >= sizeof name)
        return STOA_FAIL(err, STOA_EFORMAT, "%s: entry '%.80s' is no 'NAME.npy' with a name of 1 to %zu characters", path, info.name,
                         sizeof name - 1);
    memcpy(name, info.name, length - 4);
    name[length - 4] = 0;
    uint64_t header = 4096 + HEADER_BYTES_MAX;
    STOA_TRY(recoi_check_size(path, name, 1, 1, info.size > header ? (size_t)(info.size - header) : 1, info.comp_size,
                              RECO_TABLE_EXPANSION_MAX, err));
    char *data = stoa_alloc((size_t)info.size, 64);
    if (!data) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %llu bytes of '%s'", path, (unsigned long long)info.size, name);
    stoa_status status = read_entry(path, zip, index, &info, data, err);
    if (status == STOA_OK) status = read_image(path, name, name, data, (size_t)info.size, table, err);
    stoa_free(data, (size_t)info.size);
    return status;
}

static stoa_status zip_failure(const char *path, int code, stoa_error *err)
{
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    int io = code == ZIP_ER_OPEN || code == ZIP_ER_READ || code == ZIP_ER_NOENT;
    stoa_status status = io ? STOA_FAIL(err, STOA_EIO, "%s: %s", path, zip_error_strerror(&error))
                            : STOA_FAIL(err, STOA_EFORMAT, "%s: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
}

stoa_status recoi_npz_read(const char *path, reco_table **table, stoa_error *err)
{
    int code = 0;
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (!zip) return zip_failure(path, code, err);
    zip_int64_t entries = zip_get_num_entries(zip, 0);
    stoa_status status = STOA_OK;
    if (entries < 1 || entries > (zip_int64_t)RECO_TABLE_COLUMNS_MAX)
        status = STOA_FAIL(err, STOA_EFORMAT, "%s: %lld arrays, 1 to %u possible", path, (long long)entries, RECO_TABLE_COLUMNS_MAX);
    for (zip_int64_t i = 0; i < entries && status == STOA_OK; ++i) status = add_entry(path, zip, (zip_uint64_t)i, table, err);
    zip_discard(zip);
    if (status != STOA_OK) {
        reco_table_destroy(*table);
        *table = NULL;
    }
    return status;
}

static stoa_status put_entry(const char *path, zip_t *zip, const char *name, const image *from, stoa_error *err)
{
    char entry[RECO_TABLE_NAME_BYTES + 8];
    snprintf(entry, sizeof entry, "%s.npy", name);
    zip_source_t *source = zip_source_buffer(zip, from->data, from->bytes, 0);
    zip_int64_t index = source ? zip_file_add(zip, entry, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        if (source) zip_source_free(source);
        return STOA_FAIL(err, STOA_EIO, "%s: entry '%s': %s", path, entry, zip_strerror(zip));
    }
    /* Stored, and dated 1980-01-01: the same table gives the same bytes. */
    if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 0x21, 0) != 0)
        return STOA_FAIL(err, STOA_EIO, "%s: entry '%s': %s", path, entry, zip_strerror(zip));
    return STOA_OK;
}

/* libzip reads the images when it closes the file, so they live until then. */
stoa_status recoi_npz_write(const char *path, const reco_table *table, stoa_error *err)
{
    uint32_t columns = reco_table_column_count(table);
    int code = 0;
    image *images = stoa_calloc(columns, sizeof *images);
    if (!images) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u arrays", path, (unsigned)columns);
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    stoa_status status = zip ? STOA_OK : zip_failure(path, code, err);
    for (uint32_t c = 0, span; c < columns && status == STOA_OK; c += span) {
        const reco_column *column = reco_table_column(table, c);
        span = recoi_group_span(table, c);
        status = plain_image(path, table, c, span, &images[c], err);
        if (status == STOA_OK) status = put_entry(path, zip, column->group[0] ? column->group : column->name, &images[c], err);
    }
    if (status == STOA_OK && zip_close(zip) != 0) status = STOA_FAIL(err, STOA_EIO, "%s: %s", path, zip_strerror(zip));
    if (status != STOA_OK && zip) zip_discard(zip);
    for (uint32_t c = 0; c < columns; ++c) stoa_free(images[c].data, images[c].bytes);
    stoa_free(images, columns * sizeof *images);
    return status;
}

#else

stoa_status recoi_npz_read(const char *path, reco_table **table, stoa_error *err)
{
    (void)table;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: this build has no libzip, which .npz needs", path);
}

stoa_status recoi_npz_write(const char *path, const reco_table *table, stoa_error *err)
{
    (void)table;
    return STOA_FAIL(err, STOA_ENOTSUP, "%s: this build has no libzip, which .npz needs", path);
}

#endif
