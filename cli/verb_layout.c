/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa layout`: where each column of a blob lies. Layouts are built in (reco/formats) or read from JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "reco/formats/formats.h"

enum { BLOCKS_MAX = 64, COLUMNS_MAX = 4096, EXTENT_MAX = 65536 };

static const struct builtin {
    const char *name;
    const stoa_layout *layout;
} builtins[] = {{"tracks", &tracks_soa_layout},
                {"track_hits", &track_hits_soa_layout},
                {"legacy_tracks", &legacy_tracks_soa_layout},
                {"track_truth", &track_truth_soa_layout},
                {"track_features", &track_features_soa_layout},
                {"track_derived", &track_derived_soa_layout},
                {"vertices", &vertices_soa_layout},
                {"vertex_tracks", &vertex_tracks_soa_layout},
                {"puppi", &puppi_soa_layout},
                {"crossings", &crossings_soa_layout},
                {"tracker_muons", &tracker_muons_soa_layout},
                {"taus", &taus_soa_layout},
                {"crossing_taus", &crossing_taus_soa_layout},
                {"clusters", &clusters_soa_layout},
                {"w3pi", &w3pi_soa_layout}};
enum { BUILTIN_COUNT = sizeof builtins / sizeof *builtins };

static const char *const kind_names[] = {"column", "scalar", "vector", "matrix"};

/* A layout that JSON described; its strings borrow from `file`. */
typedef struct described {
    stoa_layout layout;
    stoa_column_desc *columns;
} described;

typedef struct request {
    const char *names[BLOCKS_MAX];
    const stoa_layout *layouts[BLOCKS_MAX];
    uint32_t count;
    uint32_t rows[BLOCKS_MAX];
    uint32_t row_count;
    described owned[BLOCKS_MAX];
    uint32_t owned_count;
    json_t *file;
    char *list;
    char numbered[BLOCKS_MAX][96]; /* names of several blocks of one layout */
} request;

/* ---- From JSON. ---- */

static stoa_status read_shape(const json_t *item, const char *name, stoa_column_desc *column, stoa_error *err)
{
    static const uint32_t needed[] = {0, 0, 1, 2};
    const json_t *shape = json_object_get(item, "shape");
    const size_t given = json_array_size(shape), wanted = needed[column->kind];
    if (shape && !json_is_array(shape)) return STOA_FAIL(err, STOA_EFORMAT, "column '%s': shape is no array", name);
    if (given != wanted)
        return STOA_FAIL(err, STOA_ESHAPE, "column '%s': a %s has a shape of %zu numbers, %zu given", name, kind_names[column->kind],
                         wanted, given);
    for (size_t k = 0; k < given; k++) {
        const json_t *number = json_array_get(shape, k);
        const json_int_t extent = json_integer_value(number);
        if (!json_is_integer(number))
            return json_is_real(number)
                       ? STOA_FAIL(err, STOA_ESHAPE, "column '%s': extent %zu is %g, no integer", name, k, json_real_value(number))
                       : STOA_FAIL(err, STOA_ESHAPE, "column '%s': extent %zu is no integer", name, k);
        if (extent < 1 || extent > EXTENT_MAX)
            return STOA_FAIL(err, STOA_ESHAPE, "column '%s': extent %zu is %lld, 1 to %d possible", name, k, extent, EXTENT_MAX);
        column->extent[k] = (uint32_t)extent;
    }
    return STOA_OK;
}

static stoa_status read_column(const json_t *item, size_t index, stoa_column_desc *column, stoa_error *err)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *dtype = json_string_value(json_object_get(item, "dtype"));
    const char *kind = json_string_value(json_object_get(item, "kind"));
    if (!name || !dtype) return STOA_FAIL(err, STOA_EFORMAT, "column %zu: needs the keys \"name\" and \"dtype\"", index);
    *column = (stoa_column_desc){.name = name, .unit = "", .doc = "", .extent = {1, 1}};
    column->dtype = stoa_dtype_from_name(dtype);
    if (column->dtype == STOA_DTYPE_NONE) return STOA_FAIL(err, STOA_EDTYPE, "column '%s': no dtype '%s'", name, dtype);
    uint32_t k = STOA_KIND_COLUMN;
    while (kind && k < 4 && strcmp(kind, kind_names[k])) k++;
    if (k == 4) return STOA_FAIL(err, STOA_EFORMAT, "column '%s': kind '%s' given; column, scalar, vector or matrix possible", name, kind);
    column->kind = (stoa_column_kind)k;
    return read_shape(item, name, column, err);
}

static stoa_status add_described(request *req, const char *name, const json_t *list, stoa_error *err)
{
    const size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > COLUMNS_MAX)
        return STOA_FAIL(err, STOA_EFORMAT, "layout '%s': an array of 1 to %d columns is needed", name, COLUMNS_MAX);
    if (req->count == BLOCKS_MAX) return STOA_FAIL(err, STOA_ELIMIT, "more than %d layouts", BLOCKS_MAX);
    described *owned = &req->owned[req->owned_count++];
    owned->columns = calloc(count, sizeof *owned->columns);
    if (!owned->columns) return STOA_FAIL(err, STOA_ENOMEM, "layout '%s': no memory for %zu columns", name, count);
    for (size_t i = 0; i < count; i++) STOA_TRY(read_column(json_array_get(list, i), i, &owned->columns[i], err));
    owned->layout =
        (stoa_layout){.struct_size = sizeof owned->layout, .column_count = (uint32_t)count, .name = name, .columns = owned->columns};
    req->names[req->count] = name;
    req->layouts[req->count++] = &owned->layout;
    return STOA_OK;
}

/* An array is one layout; an object of arrays is one layout for each key, blocks of one blob. */
static stoa_status read_json(request *req, const char *path, stoa_error *err)
{
    json_error_t json_err;
    req->file = json_load_file(path, JSON_REJECT_DUPLICATES, &json_err);
    if (!req->file)
        return STOA_FAIL(err, json_error_code(&json_err) == json_error_cannot_open_file ? STOA_EIO : STOA_EFORMAT,
                         "layout file '%s': line %d: %s", path, json_err.line, json_err.text);
    if (json_is_array(req->file)) return add_described(req, "layout", req->file, err);
    if (!json_is_object(req->file) || json_object_size(req->file) == 0)
        return STOA_FAIL(err, STOA_EFORMAT, "layout file '%s': neither an array of columns nor an object of such arrays", path);
    const char *name;
    json_t *list;
    json_object_foreach(req->file, name, list) STOA_TRY(add_described(req, name, list, err));
    return STOA_OK;
}

/* ---- Built in. ---- */

static const stoa_layout *find_builtin(const char *name)
{
    for (int i = 0; i < BUILTIN_COUNT; i++)
        if (!strcmp(builtins[i].name, name) || !strcmp(builtins[i].layout->name, name)) return builtins[i].layout;
    return NULL;
}

/* Blocks are told apart by their names. */
static stoa_status read_names(request *req, const char *definition, stoa_error *err)
{
    STOA_TRY(cli_split(definition, &req->list, req->names, BLOCKS_MAX, &req->count, err));
    for (uint32_t i = 1; i < req->count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(req->names[i], req->names[j]))
                return STOA_FAIL(err, STOA_ENAME, "'%s': layout '%s' is named twice; several rows make as many blocks of one", definition,
                                 req->names[i]);
    return STOA_OK;
}

static stoa_status find_builtins(request *req, stoa_error *err)
{
    for (uint32_t i = 0; i < req->count; i++) {
        req->layouts[i] = find_builtin(req->names[i]);
        if (req->layouts[i]) continue;
        char known[256] = "";
        size_t used = 0;
        for (int b = 0; b < BUILTIN_COUNT && used < sizeof known; b++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", b ? ", " : "", builtins[b].name);
        return STOA_FAIL(err, STOA_ENAME, "layout '%s': neither a file ending in .json nor built in; there are: %s", req->names[i], known);
    }
    return STOA_OK;
}

static bool is_file(const char *definition)
{
    const size_t length = strlen(definition);
    return length > 5 && !strcmp(definition + length - 5, ".json");
}

static stoa_status read_definition(request *req, const char *definition, stoa_error *err)
{
    STOA_TRY(is_file(definition) ? read_json(req, definition, err) : find_builtins(req, err));
    for (uint32_t i = 0; i < req->count; i++) STOA_TRY(stoa_layout_check(req->layouts[i], err));
    return STOA_OK;
}

/* ---- Rows: one number for all layouts, or one each; several for one layout make as many blocks of it, NAME, NAME_1 ... ---- */

static stoa_status read_rows(request *req, const char *text, stoa_error *err)
{
    const char *items[BLOCKS_MAX];
    char *copy = NULL;
    stoa_status status = cli_split(text, &copy, items, BLOCKS_MAX, &req->row_count, err);
    for (uint32_t i = 0; status == STOA_OK && i < req->row_count; i++) {
        uint64_t rows;
        if (cli_parse_count(items[i], STOA_LAYOUT_ROWS_MAX, &rows)) req->rows[i] = (uint32_t)rows;
        else status = STOA_FAIL(err, STOA_ELIMIT, "--rows: '%s' given, a whole number up to %u needed", items[i], STOA_LAYOUT_ROWS_MAX);
    }
    free(copy);
    return status;
}

static stoa_status match_rows(request *req, stoa_error *err)
{
    if (req->row_count == 1)
        for (; req->row_count < req->count; req->row_count++) req->rows[req->row_count] = req->rows[0];
    if (req->count == 1)
        for (; req->count < req->row_count; req->count++) {
            char *name = req->numbered[req->count];
            snprintf(name, sizeof *req->numbered, "%.80s_%u", req->names[0], req->count);
            req->names[req->count] = name;
            req->layouts[req->count] = req->layouts[0];
        }
    if (req->count == req->row_count) return STOA_OK;
    return STOA_FAIL(err, STOA_ESHAPE, "--rows: %u numbers given for %u layouts", req->row_count, req->count);
}

/* ---- Out. ---- */

/* The column as a tensor of one column: [n,1], [n,R], [n,R,C]; a scalar is [n,1] with row stride 0. */
static json_t *describe_column(const stoa_column_desc *column, const stoa_column_geometry *place, uint32_t rows, const char *block,
                               size_t base)
{
    const json_int_t pad = place->component_stride, rows_r = (json_int_t)column->extent[0], rows_c = (json_int_t)column->extent[1];
    json_t *shape, *strides;
    if (column->kind == STOA_KIND_MATRIX) {
        shape = json_pack("[I, I, I]", (json_int_t)rows, rows_r, rows_c);
        strides = json_pack("[I, I, I]", (json_int_t)1, pad, pad * rows_r);
    } else {
        shape = json_pack("[I, I]", (json_int_t)rows, rows_r);
        strides = json_pack("[I, I]", (json_int_t)(column->kind != STOA_KIND_SCALAR), pad);
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:I, s:s, s:s, s:s}", "name", column->name, "dtype", stoa_dtype_name(column->dtype),
                     "kind", kind_names[column->kind], "offset", (json_int_t)(base + place->offset_bytes), "shape", shape, "strides",
                     strides, "bytes", (json_int_t)place->bytes, "unit", column->unit, "doc", column->doc, "block", block);
}

static stoa_status describe(const request *req, json_t **out, stoa_error *err)
{
    json_t *columns = json_array(), *blocks = json_array();
    size_t total = 0;
    stoa_status status = STOA_OK;
    for (uint32_t b = 0; status == STOA_OK && b < req->count; b++) {
        const stoa_layout *layout = req->layouts[b];
        size_t bytes = 0;
        status = stoa_layout_bytes(layout, req->rows[b], &bytes, err);
        for (uint32_t i = 0; status == STOA_OK && i < layout->column_count; i++) {
            stoa_column_geometry place;
            status = stoa_layout_place(layout, req->rows[b], i, &place, err);
            if (status == STOA_OK)
                json_array_append_new(columns, describe_column(&layout->columns[i], &place, req->rows[b], req->names[b], total));
        }
        json_array_append_new(blocks, json_pack("{s:s, s:I, s:I, s:I}", "name", req->names[b], "rows", (json_int_t)req->rows[b], "offset",
                                                (json_int_t)total, "bytes", (json_int_t)bytes));
        total += bytes;
    }
    const json_int_t align = req->layouts[0]->align_bytes ? req->layouts[0]->align_bytes : STOA_LAYOUT_ALIGN_BYTES;
    *out = json_pack("{s:I, s:I, s:o, s:o}", "bytes", (json_int_t)total, "alignment", align, "columns", columns, "blocks", blocks);
    return status;
}

static void print_numbers(const json_t *list, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (size_t i = 0; i < json_array_size(list) && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%lld", i ? "," : "", json_integer_value(json_array_get(list, i)));
    if (used < capacity) snprintf(text + used, capacity - used, "]");
}

static void print_table(const json_t *result)
{
    const json_t *columns = json_object_get(result, "columns");
    printf("%-14s %-20s %-8s %-8s %10s %9s  %-14s %-16s %s\n", "block", "column", "kind", "dtype", "offset", "bytes", "shape", "strides",
           "unit: meaning");
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *c = json_array_get(columns, i);
        char shape[80], strides[80];
        print_numbers(json_object_get(c, "shape"), shape, sizeof shape);
        print_numbers(json_object_get(c, "strides"), strides, sizeof strides);
        const char *unit = json_string_value(json_object_get(c, "unit"));
        printf("%-14s %-20s %-8s %-8s %10lld %9lld  %-14s %-16s %s%s%s\n", json_string_value(json_object_get(c, "block")),
               json_string_value(json_object_get(c, "name")), json_string_value(json_object_get(c, "kind")),
               json_string_value(json_object_get(c, "dtype")), json_integer_value(json_object_get(c, "offset")),
               json_integer_value(json_object_get(c, "bytes")), shape, strides, unit, *unit ? ": " : "",
               json_string_value(json_object_get(c, "doc")));
    }
    printf("%lld bytes, every column and component aligned to and padded to %lld bytes; strides count "
           "elements\n",
           json_integer_value(json_object_get(result, "bytes")), json_integer_value(json_object_get(result, "alignment")));
}

static void request_deinit(request *req)
{
    for (uint32_t i = 0; i < req->owned_count; i++) free(req->owned[i].columns);
    json_decref(req->file);
    free(req->list);
}

/* CLI_CONTINUE, or the exit code: what is wrong with the command itself is told before a file is read. */
static int prepare(request *req, const char *definition, const char *rows)
{
    stoa_error err;
    if (read_rows(req, rows, &err) != STOA_OK || (!is_file(definition) && read_names(req, definition, &err) != STOA_OK))
        return cli_usage("layout", "%s", err.message);
    if (read_definition(req, definition, &err) != STOA_OK) return cli_fail(&err);
    return match_rows(req, &err) == STOA_OK ? CLI_CONTINUE : cli_usage("layout", "%s", err.message);
}

int verb_layout(int argc, char **argv)
{
    const char *rows = "1000";
    bool json = false;
    const cli_option options[] = {
        {"rows", CLI_TEXT, &rows, "N[,M..]", "rows, of all layouts or of each block (1000)"},
        {"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax = CLI_SYNTAX("layout", "DEF ", 1, 1,
                                         "Geometry of a structure of arrays. DEF: tracks, track_truth, track_features, vertices, "
                                         "vertex_tracks, several\n"
                                         "joined by commas (blocks of one blob), or FILE.json: an array of {\"name\", \"dtype\", "
                                         "\"kind\": column, scalar,\n"
                                         "vector or matrix, \"shape\": [R,C]}, or an object of such arrays (blocks).",
                                         "stoa layout tracks,vertices --rows 1000,256", options);
    int first;
    int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    request *req = calloc(1, sizeof *req);
    json_t *result = NULL;
    stoa_error err;
    if (!req) {
        (void)STOA_FAIL(&err, STOA_ENOMEM, "layout: no memory");
        return cli_fail(&err);
    }
    code = prepare(req, argv[first], rows);
    if (code == CLI_CONTINUE) {
        if (describe(req, &result, &err) != STOA_OK) code = cli_fail(&err);
        else if (json) code = cli_json(json_incref(result));
        else print_table(result), code = CLI_DONE;
    }
    json_decref(result);
    request_deinit(req);
    free(req);
    return code;
}
