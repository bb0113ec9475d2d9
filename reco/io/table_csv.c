/* SPDX-License-Identifier: Apache-2.0 */
/* CSV: one pass over the mapped file. A column starts as int64 and becomes float64 at its first value that is
 * no integer. */
#include "reco/io/table_internal.h"
#include "stoa/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD_BYTES_MAX 128 /* of a number; longer is no number */

typedef struct scan {
    const char *path, *at, *end;
    size_t line; /* 1 is the header */
    uint32_t columns;
    stoa_error *err;
} scan;

typedef struct number {
    int integral;
    int64_t i;
    double f;
} number;

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* What strtod does, for the fields that the fast path below leaves: long mantissas, large exponents, nan,
 * inf. */
static int parse_slow(const char *begin, const char *end, number *out)
{
    char text[FIELD_BYTES_MAX + 1], *stop;
    size_t bytes = (size_t)(end - begin);
    if (bytes == 0 || bytes > FIELD_BYTES_MAX) return 0;
    memcpy(text, begin, bytes);
    text[bytes] = 0;
    if (memchr(text, 'x', bytes) || memchr(text, 'X', bytes) || memchr(text, 0, bytes)) return 0;
    out->f = strtod(text, &stop);
    out->integral = 0;
    return stop == text + bytes;
}

/* Exact for mantissas below 2^53 and |exponent| <= 22, for then both factors are doubles and one rounding is
 * left. */
static int parse_number(const char *begin, const char *end, number *out)
{
    const char *p = begin;
    int negative = p < end && *p == '-', digits = 0, exponent = 0, point = 0;
    uint64_t mantissa = 0;
    if (p < end && (*p == '-' || *p == '+')) ++p;
    for (; p < end; ++p) {
        if (*p >= '0' && *p <= '9') {
            if (++digits > 18) return parse_slow(begin, end, out);
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
            exponent -= point;
        } else if (*p == '.' && !point) {
            point = 1;
        } else {
            break;
        }
    }
    if (!digits) return parse_slow(begin, end, out);
    int marked = p < end && (*p == 'e' || *p == 'E');
    if (marked) {
        int sign = 1, value = 0, count = 0;
        ++p;
        if (p < end && (*p == '-' || *p == '+')) sign = *p++ == '-' ? -1 : 1;
        for (; p < end && *p >= '0' && *p <= '9' && count < 5; ++p, ++count) value = value * 10 + (*p - '0');
        if (!count) return 0;
        exponent += sign * value;
    }
    if (p != end) return parse_slow(begin, end, out);
    int whole = !point && !marked;
    out->integral = whole && (mantissa != 0 || !negative); /* "-0" keeps its sign as a float */
    out->i = negative ? -(int64_t)mantissa : (int64_t)mantissa;
    if (mantissa >> 53 || exponent < -22 || exponent > 22) {
        if (out->integral) return 1;
        return parse_slow(begin, end, out);
    }
    double value = exponent < 0 ? (double)mantissa / powers_of_ten[-exponent] : (double)mantissa * powers_of_ten[exponent];
    out->f = negative ? -value : value;
    return 1;
}

static const char *line_end(const scan *s)
{
    const char *newline = memchr(s->at, '\n', (size_t)(s->end - s->at));
    return newline ? newline : s->end;
}

static void trim(const char **begin, const char **end)
{
    while (*begin < *end && (**begin == ' ' || **begin == '\t')) ++*begin;
    while (*begin < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t' || (*end)[-1] == '\r')) --*end;
}

static stoa_status header_name(scan *s, reco_table *table, const char *begin, const char *end)
{
    char name[RECO_TABLE_NAME_BYTES];
    number ignored;
    unsigned column = reco_table_column_count(table) + 1;
    trim(&begin, &end);
    if (end - begin >= 2 && *begin == '"' && end[-1] == '"') ++begin, --end;
    if (begin == end) return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: column %u has no name", s->path, column);
    if ((size_t)(end - begin) >= sizeof name)
        return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: the name of column %u has %zu characters, at most %zu possible", s->path, column,
                         (size_t)(end - begin), sizeof name - 1);
    for (const char *p = begin; p < end; ++p)
        if ((unsigned char)*p < 0x20 || *p == '"')
            return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: the name of column %u holds character 0x%02x", s->path, column,
                             (unsigned)(unsigned char)*p);
    memcpy(name, begin, (size_t)(end - begin));
    name[end - begin] = 0;
    if (parse_number(begin, end, &ignored) && strcasecmp(name, "nan") != 0 && strncasecmp(name, "inf", 3) != 0)
        return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: '%s' stands where the name of column %u should: a header row is needed", s->path,
                         name, column);
    if (reco_table_find(table, name))
        return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: two columns are called '%s', the second is column %u", s->path, name, column);
    stoa_status status = reco_table_add(table, name, STOA_INT64, NULL, s->err);
    if (status == STOA_ELIMIT) return STOA_FAIL(s->err, STOA_ELIMIT, "%s:1: more than %u columns", s->path, RECO_TABLE_COLUMNS_MAX);
    return status;
}

static size_t count_rows(const char *at, const char *end)
{
    size_t rows = 0;
    while (end > at && (end[-1] == '\n' || end[-1] == '\r')) --end; /* blank lines at the end are none */
    if (at == end) return 0;
    for (;; ++rows) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline) return rows + 1;
        at = newline + 1;
    }
}

/* The header gives the columns, but their memory needs the number of rows, which stands behind it: count
 * first. */
static stoa_status read_header(scan *s, reco_table **table)
{
    if (s->end - s->at >= 3 && memcmp(s->at, "\xef\xbb\xbf", 3) == 0) s->at += 3; /* byte order mark */
    const char *stop = line_end(s), *begin = s->at;
    if (stop == begin) return STOA_FAIL(s->err, STOA_EFORMAT, "%s:1: no header row", s->path);
    const char *body = stop < s->end ? stop + 1 : s->end;
    size_t rows = count_rows(body, s->end), columns = 1;
    for (const char *p = begin; p < stop; ++p) columns += *p == ',';
    /* A value takes two bytes at least, so the file bounds the memory, at 8 bytes a value. */
    STOA_TRY(recoi_check_size(s->path, "table", rows, columns, sizeof(int64_t), (uint64_t)(s->end - begin) + 1, 8, s->err));
    STOA_TRY(reco_table_create(rows, table, s->err));
    while (begin <= stop) {
        const char *comma = memchr(begin, ',', (size_t)(stop - begin));
        const char *end = comma ? comma : stop;
        STOA_TRY(header_name(s, *table, begin, end));
        begin = end + 1;
    }
    s->columns = (uint32_t)columns;
    s->at = body;
    s->line = 2;
    return STOA_OK;
}

/* int64 to float64 in place: same size, row by row. */
static void make_float(reco_column *column, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; ++i) {
        int64_t whole;
        memcpy(&whole, (char *)column->data + i * sizeof whole, sizeof whole);
        double value = (double)whole;
        memcpy((char *)column->data + i * sizeof value, &value, sizeof value);
    }
    column->dtype = STOA_FLOAT64;
}

static stoa_status bad_field(const scan *s, const reco_column *column, uint32_t index, const char *begin, const char *end)
{
    int shown = end - begin > 40 ? 40 : (int)(end - begin);
    char text[41];
    for (int i = 0; i < shown; ++i) text[i] = begin[i] >= 0x20 && begin[i] < 0x7f ? begin[i] : '?';
    text[shown] = 0;
    return STOA_FAIL(s->err, STOA_EFORMAT, "%s:%zu: column %u '%s': '%s' is no number", s->path, s->line, (unsigned)index + 1, column->name,
                     text);
}

static stoa_status read_row(scan *s, reco_column **columns, uint32_t row)
{
    const char *stop = line_end(s), *begin = s->at;
    for (uint32_t c = 0; c < s->columns; ++c) {
        if (begin > stop)
            return STOA_FAIL(s->err, STOA_EFORMAT, "%s:%zu: %u fields given, %u needed", s->path, s->line, (unsigned)c,
                             (unsigned)s->columns);
        const char *p = begin;
        while (p < stop && *p != ',') ++p;
        const char *next = p + 1;
        number value = {0, 0, 0};
        trim(&begin, &p);
        if (!parse_number(begin, p, &value)) return bad_field(s, columns[c], c, begin, p);
        if (!value.integral && columns[c]->dtype == STOA_INT64) make_float(columns[c], row);
        if (columns[c]->dtype == STOA_INT64) ((int64_t *)columns[c]->data)[row] = value.i;
        else ((double *)columns[c]->data)[row] = value.integral ? (double)value.i : value.f;
        begin = next;
    }
    if (begin <= stop) {
        unsigned given = (unsigned)s->columns + 1;
        for (const char *p = begin; p < stop; ++p) given += *p == ',';
        return STOA_FAIL(s->err, STOA_EFORMAT, "%s:%zu: %u fields given, %u needed", s->path, s->line, given, (unsigned)s->columns);
    }
    s->at = stop < s->end ? stop + 1 : s->end;
    s->line += 1;
    return STOA_OK;
}

static stoa_status read_rows(scan *s, reco_table *table)
{
    size_t bytes = s->columns * sizeof(reco_column *);
    reco_column **columns = stoa_alloc(bytes, sizeof(void *));
    if (!columns) return STOA_FAIL(s->err, STOA_ENOMEM, "%s: no memory for %zu bytes", s->path, bytes);
    for (uint32_t c = 0; c < s->columns; ++c) columns[c] = recoi_column(table, c);
    stoa_status status = STOA_OK;
    for (uint32_t row = 0; row < reco_table_rows(table) && status == STOA_OK; ++row) status = read_row(s, columns, row);
    stoa_free(columns, bytes);
    return status;
}

/* Numbers have a point whatever the program's locale is; the locale of this thread only is changed and put
 * back. */
typedef struct c_locale {
    locale_t mine, before;
} c_locale;

static c_locale c_locale_begin(void)
{
    c_locale saved = {newlocale(LC_ALL_MASK, "C", (locale_t)0), (locale_t)0};
    if (saved.mine) saved.before = uselocale(saved.mine);
    return saved;
}

static void c_locale_end(c_locale saved)
{
    if (!saved.mine) return;
    uselocale(saved.before);
    freelocale(saved.mine);
}

stoa_status recoi_csv_read(const char *path, reco_table **table, stoa_error *err)
{
    recoi_bytes file;
    STOA_TRY(recoi_map(path, &file, err));
    if (!file.data) return STOA_FAIL(err, STOA_EFORMAT, "%s: the file has 0 bytes, a header row is needed", path);
    scan s = {.path = path, .at = file.data, .end = file.data + file.bytes, .line = 1, .err = err};
    reco_table *made = NULL;
    c_locale saved = c_locale_begin();
    stoa_status status = read_header(&s, &made);
    if (status == STOA_OK) status = read_rows(&s, made);
    c_locale_end(saved);
    recoi_unmap(&file);
    if (status != STOA_OK) {
        reco_table_destroy(made);
        return status;
    }
    *table = made;
    return STOA_OK;
}

/* ---- writing ---- */

static int put_value(FILE *out, const reco_column *column, uint32_t row)
{
    switch (column->dtype) {
    case STOA_FLOAT64: return fprintf(out, "%.17g", ((const double *)column->data)[row]);
    case STOA_FLOAT32:
    case STOA_FLOAT16:
    case STOA_BFLOAT16: return fprintf(out, "%.9g", reco_column_value(column, row));
    case STOA_INT64: return fprintf(out, "%" PRId64, ((const int64_t *)column->data)[row]);
    case STOA_UINT64: return fprintf(out, "%" PRIu64, ((const uint64_t *)column->data)[row]);
    case STOA_INT8:
    case STOA_INT16:
    case STOA_INT32:
    case STOA_UINT8:
    case STOA_UINT16:
    case STOA_UINT32:
    case STOA_BOOL: return fprintf(out, "%" PRId64, (int64_t)reco_column_value(column, row));
    case STOA_COMPLEX64:
    case STOA_COMPLEX128:
    case STOA_DTYPE_NONE: break;
    }
    return -1;
}

static void write_header(FILE *out, const reco_table *table)
{
    for (uint32_t c = 0; c < reco_table_column_count(table); ++c) {
        if (c) putc_unlocked(',', out);
        fputs(reco_table_column(table, c)->name, out);
    }
    putc_unlocked('\n', out);
}

static int write_rows(FILE *out, const reco_table *table)
{
    uint32_t columns = reco_table_column_count(table), rows = reco_table_rows(table);
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t c = 0; c < columns; ++c) {
            if (c) putc_unlocked(',', out);
            if (put_value(out, reco_table_column(table, c), row) < 0) return -1;
        }
        putc_unlocked('\n', out);
    }
    return ferror(out) ? -1 : 0;
}

static stoa_status check_writable(const char *path, const reco_table *table, stoa_error *err)
{
    for (uint32_t c = 0; c < reco_table_column_count(table); ++c) {
        const reco_column *column = reco_table_column(table, c);
        if (column->dtype == STOA_COMPLEX64 || column->dtype == STOA_COMPLEX128)
            return STOA_FAIL(err, STOA_EDTYPE, "%s: column '%s' is %s, which CSV lacks", path, column->name,
                             stoa_dtype_name(column->dtype));
        if (strpbrk(column->name, ",\"\r\n"))
            return STOA_FAIL(err, STOA_EINVAL, "%s: the name of column %u holds a comma, a quote or a line end", path, (unsigned)c);
    }
    return STOA_OK;
}

/* What is left of a failed write is removed, unless rows of others are in it. */
static stoa_status write_file(const char *path, const reco_table *table, bool append, stoa_error *err)
{
    STOA_TRY(check_writable(path, table, err));
    FILE *out = fopen(path, append ? "ae" : "we");
    if (!out) return recoi_io_error(path, append ? "open" : "create", err);
    (void)setvbuf(out, NULL, _IOFBF, 1 << 18);
    c_locale saved = c_locale_begin();
    if (!append) write_header(out, table);
    int failed = write_rows(out, table) != 0, code = errno;
    c_locale_end(saved);
    if (fclose(out) != 0 && !failed) failed = 1, code = errno;
    if (!failed) return STOA_OK;
    errno = code;
    stoa_status status = recoi_io_error(path, "write", err);
    if (!append) recoi_remove(path);
    return status;
}

stoa_status recoi_csv_write(const char *path, const reco_table *table, stoa_error *err) { return write_file(path, table, false, err); }

stoa_status recoi_csv_append(const char *path, const reco_table *table, stoa_error *err) { return write_file(path, table, true, err); }
