/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/io/tracks_io.h"

#include "reco/io/events_internal.h"
#include "stoa/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MM_TO_CM 0.1
#define PER_MEV_TO_PER_GEV 1000.0

typedef struct event {
    int64_t number;
    uint32_t first, rows;
    uint32_t first_vertex, vertices;
} event;

/* The columns of all events behind each other; `truth_block` holds is_true and is_duplicate. */
struct reco_events {
    uint32_t rows, count, vertex_count, rows_max, capacity; /* capacity: of `events` */
    reco_events_source source;
    uint32_t has_truth;
    event *events;
    reco_true_vertex *vertices;
    uint8_t *quality, *is_true, *is_duplicate;
    int8_t *layers;
    int32_t *hits, *vertex;
    float *floats; /* FLOATS columns of `rows`: chi2, eta, pt, state, covariance */
};
enum { F_CHI2, F_ETA, F_PT, F_STATE, F_COVARIANCE = F_STATE + 5, FLOATS = F_COVARIANCE + 15 };

static float *floats(const reco_events *e, uint32_t column) { return e->floats + (size_t)column * e->rows; }

void reco_events_destroy(reco_events *e)
{
    if (!e) return;
    size_t rows = e->rows;
    stoa_free(e->events, e->capacity * sizeof *e->events);
    stoa_free(e->vertices, e->vertex_count * sizeof *e->vertices);
    stoa_free(e->quality, rows);
    stoa_free(e->is_true, rows);
    stoa_free(e->is_duplicate, rows);
    stoa_free(e->layers, rows);
    stoa_free(e->hits, rows * sizeof *e->hits);
    stoa_free(e->vertex, rows * sizeof *e->vertex);
    stoa_free(e->floats, rows * FLOATS * sizeof *e->floats);
    stoa_free(e, sizeof *e);
}

static stoa_status allocate(uint32_t rows, reco_events **out, stoa_error *err)
{
    reco_events *e = stoa_calloc(1, sizeof *e);
    if (!e) return STOA_FAIL(err, STOA_ENOMEM, "events: no memory for %zu bytes", sizeof *e);
    e->rows = e->capacity = rows;
    e->events = stoa_calloc(rows, sizeof *e->events); /* at most one event a row */
    e->quality = stoa_calloc(rows, 1);
    e->is_true = stoa_calloc(rows, 1);
    e->is_duplicate = stoa_calloc(rows, 1);
    e->layers = stoa_calloc(rows, 1);
    e->hits = stoa_calloc(rows, sizeof *e->hits);
    e->vertex = stoa_calloc(rows, sizeof *e->vertex);
    e->floats = stoa_calloc((size_t)rows * FLOATS, sizeof *e->floats);
    *out = e;
    if (e->events && e->quality && e->is_true && e->is_duplicate && e->layers && e->hits && e->vertex && e->floats) return STOA_OK;
    reco_events_destroy(e);
    *out = NULL;
    return STOA_FAIL(err, STOA_ENOMEM, "events: no memory for %u tracks", (unsigned)rows);
}

/* ---- columns ---- */

static void copy_u8(const reco_column *from, uint8_t *out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; ++i) out[i] = (uint8_t)recoi_to_int(reco_column_value(from, i), 0, 255);
}

static void copy_i32(const reco_column *from, int32_t *out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; ++i) out[i] = recoi_to_int(reco_column_value(from, i), INT32_MIN, INT32_MAX);
}

static int by_number(const void *a, const void *b)
{
    const event *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_first(const void *a, const void *b)
{
    const event *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Runs of one number are events; each number may run once. Leaves them sorted by number. */
static stoa_status split_events(reco_events *e, const char *what, const reco_column *number, stoa_error *err)
{
    for (uint32_t row = 0; row < e->rows; ++row) {
        int64_t value = recoi_event_number(number, row);
        if (!e->count || e->events[e->count - 1].number != value) e->events[e->count++] = (event){.number = value, .first = row};
        event *last = &e->events[e->count - 1];
        if (++last->rows > e->rows_max) e->rows_max = last->rows;
    }
    qsort(e->events, e->count, sizeof *e->events, by_number);
    for (uint32_t i = 1; i < e->count; ++i)
        if (e->events[i].number == e->events[i - 1].number)
            return STOA_FAIL(err, STOA_EFORMAT, "%s: event %lld is in rows %u.. and again in rows %u..; its rows must follow each other",
                             what, (long long)e->events[i].number, (unsigned)e->events[i - 1].first, (unsigned)e->events[i].first);
    return STOA_OK;
}

/* ---- generated files ---- */

static const char *const generated_names[] = {
    "event",         "quality",       "chi2",          "nLayers",       "eta",           "pt",           "state_0",
    "state_1",       "state_2",       "state_3",       "state_4",       "covariance_0",  "covariance_1", "covariance_2",
    "covariance_3",  "covariance_4",  "covariance_5",  "covariance_6",  "covariance_7",  "covariance_8", "covariance_9",
    "covariance_10", "covariance_11", "covariance_12", "covariance_13", "covariance_14",
};
enum { G_EVENT, G_QUALITY, G_CHI2, G_LAYERS, G_ETA, G_PT, G_STATE, G_COUNT = G_STATE + 20 };
_Static_assert(sizeof generated_names / sizeof *generated_names == G_COUNT, "names and indices disagree");

/* nHits, or the differences of hitOffsets; a negative difference wraps on filling as it does in CMSSW. */
static stoa_status read_hits(reco_events *e, const reco_table *table, const char *what, stoa_error *err)
{
    const reco_column *hits = reco_table_find(table, "nHits"), *offsets = reco_table_find(table, "hitOffsets");
    if (hits) {
        copy_i32(hits, e->hits, e->rows);
        return STOA_OK;
    }
    if (!offsets) return STOA_FAIL(err, STOA_ENAME, "%s: neither column nHits nor column hitOffsets is there", what);
    for (uint32_t i = 0; i < e->count; ++i) {
        double before = 0;
        for (uint32_t row = e->events[i].first, end = row + e->events[i].rows; row < end; ++row) {
            double now = reco_column_value(offsets, row);
            e->hits[row] = recoi_to_int(now - before, INT32_MIN, INT32_MAX);
            before = now;
        }
    }
    return STOA_OK;
}

static void read_truth(reco_events *e, const reco_table *table, const char *is_true, const char *vertex_name)
{
    const reco_column *yes = reco_table_find(table, is_true), *again = reco_table_find(table, "is_duplicate");
    const reco_column *vertex = reco_table_find(table, vertex_name);
    e->has_truth = yes != NULL;
    if (yes) copy_u8(yes, e->is_true, e->rows);
    if (again) copy_u8(again, e->is_duplicate, e->rows);
    if (vertex) copy_i32(vertex, e->vertex, e->rows);
    else
        for (uint32_t i = 0; i < e->rows; ++i) e->vertex[i] = -1;
}

static stoa_status read_generated(const reco_table *table, const char *what, reco_events *e, stoa_error *err)
{
    const reco_column *c[G_COUNT];
    STOA_TRY(recoi_get_columns(table, what, generated_names, G_COUNT, c, err));
    STOA_TRY(split_events(e, what, c[G_EVENT], err));
    STOA_TRY(read_hits(e, table, what, err));
    copy_u8(c[G_QUALITY], e->quality, e->rows);
    for (uint32_t i = 0; i < e->rows; ++i) e->layers[i] = (int8_t)recoi_to_int(reco_column_value(c[G_LAYERS], i), -128, 127);
    reco_column_floats(c[G_CHI2], 0, e->rows, floats(e, F_CHI2));
    reco_column_floats(c[G_ETA], 0, e->rows, floats(e, F_ETA));
    reco_column_floats(c[G_PT], 0, e->rows, floats(e, F_PT));
    for (uint32_t k = 0; k < 20; ++k) reco_column_floats(c[G_STATE + k], 0, e->rows, floats(e, F_STATE + k));
    read_truth(e, table, "is_true", "vertex");
    return STOA_OK;
}

/* ---- PHYSLITE ---- */

static const char *const physlite_names[] = {
    "event",           "d0",        "z0",         "vz",        "phi",
    "theta",           "qOverP",    "varD0",      "varZ0",     "varPhi",
    "varTheta",        "varQoverP", "corr0",      "corr1",     "corr2",
    "corr3",           "corr4",     "corr5",      "corr6",     "corr7",
    "corr8",           "corr9",     "chiSquared", "numberDoF", "numberOfPixelHits",
    "numberOfSCTHits",
};
enum { P_EVENT, P_D0, P_VARIANCE = 7, P_CORRELATION = 12, P_CHI2 = 22, P_NDOF, P_PIXEL, P_SCT, P_COUNT };
_Static_assert(sizeof physlite_names / sizeof *physlite_names == P_COUNT, "names and indices disagree");

/* Row r of the Jacobian d(phi, tip, q/pt, cot theta, zip) / d(d0, z0, phi, theta, q/p), units changed with
 * it. */
static void jacobian(const reco_atlas_track *t, double j[5][5])
{
    double s = sin(t->theta), c = cos(t->theta);
    memset(j, 0, 25 * sizeof(double));
    j[RECO_STATE_PHI][2] = 1;
    j[RECO_STATE_TIP][0] = MM_TO_CM;
    j[RECO_STATE_QPT][3] = -PER_MEV_TO_PER_GEV * t->q_over_p * c / (s * s);
    j[RECO_STATE_QPT][4] = PER_MEV_TO_PER_GEV / s;
    j[RECO_STATE_COT_THETA][3] = -1 / (s * s);
    j[RECO_STATE_ZIP][1] = MM_TO_CM;
}

void reco_atlas_to_cms(const reco_atlas_track *t, double state[5], double covariance[15])
{
    double j[5][5], v[5][5], half[5][5];
    state[RECO_STATE_PHI] = t->phi;
    state[RECO_STATE_TIP] = MM_TO_CM * t->d0;
    state[RECO_STATE_QPT] = PER_MEV_TO_PER_GEV * t->q_over_p / sin(t->theta);
    state[RECO_STATE_COT_THETA] = 1 / tan(t->theta);
    state[RECO_STATE_ZIP] = MM_TO_CM * (t->z0 + t->vz);
    for (int a = 0, k = 0; a < 5; ++a) {
        for (int b = 0; b < a; ++b, ++k) v[a][b] = v[b][a] = t->correlation[k] * sqrt(t->variance[a] * t->variance[b]);
        v[a][a] = t->variance[a];
    }
    jacobian(t, j);
    for (int a = 0; a < 5; ++a)
        for (int b = 0; b < 5; ++b) {
            half[a][b] = 0;
            for (int m = 0; m < 5; ++m) half[a][b] += j[a][m] * v[m][b];
        }
    for (int a = 0, k = 0; a < 5; ++a)
        for (int b = a; b < 5; ++b, ++k) {
            covariance[k] = 0;
            for (int m = 0; m < 5; ++m) covariance[k] += half[a][m] * j[b][m];
        }
}

static void physlite_row(const reco_column *const *c, uint32_t row, reco_events *e)
{
    double v[P_COUNT], state[5], covariance[15];
    reco_atlas_track t;
    for (uint32_t k = 0; k < P_COUNT; ++k) v[k] = reco_column_value(c[k], row);
    t = (reco_atlas_track){v[P_D0], v[P_D0 + 1], v[P_D0 + 2], v[P_D0 + 3], v[P_D0 + 4], v[P_D0 + 5], {0}, {0}};
    memcpy(t.variance, v + P_VARIANCE, sizeof t.variance);
    memcpy(t.correlation, v + P_CORRELATION, sizeof t.correlation);
    reco_atlas_to_cms(&t, state, covariance);
    for (uint32_t k = 0; k < 5; ++k) floats(e, F_STATE + k)[row] = (float)state[k];
    for (uint32_t k = 0; k < 15; ++k) floats(e, F_COVARIANCE + k)[row] = (float)covariance[k];
    floats(e, F_CHI2)[row] = (float)(v[P_CHI2] / v[P_NDOF]);
    floats(e, F_ETA)[row] = (float)-log(tan(0.5 * t.theta));
    floats(e, F_PT)[row] = (float)fabs(1 / state[RECO_STATE_QPT]);
    e->layers[row] = (int8_t)recoi_to_int(v[P_PIXEL], -128, 127);
    e->hits[row] = recoi_to_int(v[P_PIXEL] + v[P_SCT], INT32_MIN, INT32_MAX);
    e->quality[row] = RECO_QUALITY_TIGHT;
}

static stoa_status read_physlite(const reco_table *table, const char *what, reco_events *e, stoa_error *err)
{
    const reco_column *c[P_COUNT];
    STOA_TRY(recoi_get_columns(table, what, physlite_names, P_COUNT, c, err));
    STOA_TRY(split_events(e, what, c[P_EVENT], err));
    for (uint32_t row = 0; row < e->rows; ++row) physlite_row(c, row, e);
    read_truth(e, table, "truth_linked", "ttva_vertex");
    return STOA_OK;
}

/* ---- vertices ---- */

static const char *const vertex_names[] = {"event", "vertex", "x", "y", "z"};
enum { V_EVENT, V_NUMBER, V_X, V_Y, V_Z, V_COUNT };

/* The events are sorted by number here; vertices of events without tracks are passed over. */
static event *event_of(const reco_events *e, int64_t number)
{
    event key = {.number = number};
    uint32_t low = 0, high = e->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (e->events[middle].number < key.number) low = middle + 1;
        else high = middle;
    }
    return low < e->count && e->events[low].number == number ? &e->events[low] : NULL;
}

static reco_true_vertex vertex_at(const reco_column *const *c, const reco_column *type, const reco_column *tracks, double scale,
                                  uint32_t row)
{
    return (reco_true_vertex){
        .x = (float)(scale * reco_column_value(c[V_X], row)),
        .y = (float)(scale * reco_column_value(c[V_Y], row)),
        .z = (float)(scale * reco_column_value(c[V_Z], row)),
        .type = type ? recoi_to_int(reco_column_value(type, row), INT32_MIN, INT32_MAX) : 0,
        .number = recoi_to_int(reco_column_value(c[V_NUMBER], row), INT32_MIN, INT32_MAX),
        .tracks = tracks ? recoi_to_int(reco_column_value(tracks, row), INT32_MIN, INT32_MAX) : -1,
    };
}

/* Counting sort by event: the rows of the file may come in any order. */
static stoa_status read_vertices(const reco_table *table, const char *what, reco_events *e, stoa_error *err)
{
    const reco_column *c[V_COUNT], *type = reco_table_find(table, "type"), *tracks = reco_table_find(table, "tracks");
    uint32_t rows = reco_table_rows(table), kept = 0;
    double scale = e->source == RECO_EVENTS_PHYSLITE ? MM_TO_CM : 1;
    if (!type) type = reco_table_find(table, "vertexType");
    STOA_TRY(recoi_get_columns(table, what, vertex_names, V_COUNT, c, err));
    for (uint32_t row = 0; row < rows; ++row) {
        event *of = event_of(e, recoi_event_number(c[V_EVENT], row));
        if (of) ++of->vertices, ++kept;
    }
    for (uint32_t i = 1; i < e->count; ++i) e->events[i].first_vertex = e->events[i - 1].first_vertex + e->events[i - 1].vertices;
    if (!kept) return STOA_OK;
    e->vertices = stoa_calloc(kept, sizeof *e->vertices);
    if (!e->vertices) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u vertices", what, (unsigned)kept);
    e->vertex_count = kept;
    for (uint32_t i = 0; i < e->count; ++i) e->events[i].vertices = 0; /* counts again, as the place to fill */
    for (uint32_t row = 0; row < rows; ++row) {
        event *of = event_of(e, recoi_event_number(c[V_EVENT], row));
        if (of) e->vertices[of->first_vertex + of->vertices++] = vertex_at(c, type, tracks, scale, row);
    }
    return STOA_OK;
}

/* ---- reading ---- */

stoa_status reco_events_from_tables(const reco_table *tracks, const reco_table *vertices, const char *what, reco_events **events,
                                    stoa_error *err)
{
    reco_events *e;
    if (!events) return STOA_FAIL(err, STOA_EINVAL, "events: out pointer is NULL");
    *events = NULL;
    if (!tracks || !what) return STOA_FAIL(err, STOA_EINVAL, "events: table or its name is NULL");
    STOA_TRY(allocate(reco_table_rows(tracks), &e, err));
    int physlite = reco_table_find(tracks, "qOverP") && reco_table_find(tracks, "theta");
    e->source = physlite ? RECO_EVENTS_PHYSLITE : RECO_EVENTS_GENERATED;
    stoa_status status = physlite ? read_physlite(tracks, what, e, err) : read_generated(tracks, what, e, err);
    if (status == STOA_OK && vertices) status = read_vertices(vertices, what, e, err);
    if (status != STOA_OK) {
        reco_events_destroy(e);
        return status;
    }
    qsort(e->events, e->count, sizeof *e->events, by_first);
    *events = e;
    return STOA_OK;
}

size_t reco_vertices_path(const char *path, char *text, size_t capacity) { return recoi_beside_path(path, "vertices", text, capacity); }

uint32_t reco_vertices_beside(const char *path, char *text, size_t capacity)
{
    if (reco_vertices_path(path, text, capacity) < capacity && access(text, F_OK) == 0) return 1;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *at = NULL;
    for (const char *next = strstr(name, "_tracks"); next; next = strstr(next + 1, "_tracks")) at = next;
    if (!at) return 0;
    size_t length = (size_t)snprintf(text, capacity, "%.*s_vertices%s", (int)(at - path), path, at + strlen("_tracks"));
    return length < capacity && access(text, F_OK) == 0;
}

stoa_status reco_events_read(const char *path, reco_events **events, stoa_error *err)
{
    reco_table *tracks, *vertices = NULL;
    char beside[4096];
    if (!events) return STOA_FAIL(err, STOA_EINVAL, "events: out pointer is NULL");
    *events = NULL;
    STOA_TRY(reco_table_read(path, &tracks, err));
    stoa_status status = STOA_OK;
    if (reco_vertices_beside(path, beside, sizeof beside)) status = reco_table_read(beside, &vertices, err);
    if (status == STOA_OK) status = reco_events_from_tables(tracks, vertices, path, events, err);
    reco_table_destroy(tracks);
    reco_table_destroy(vertices);
    return status;
}

/* ---- an index: the events, but none of their tracks ---- */

stoa_status recoi_events_index(const recoi_runs *runs, const reco_table *vertices, const reco_events *like, const char *what,
                               reco_events **index, stoa_error *err)
{
    reco_events *e = *index = stoa_calloc(1, sizeof *e);
    if (e) e->events = stoa_calloc(runs->count + 1u, sizeof *e->events);
    if (!e || !e->events) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory for %u events", what, (unsigned)runs->count);
    e->capacity = runs->count + 1u;
    e->count = runs->count;
    e->source = like->source;
    e->has_truth = like->has_truth;
    for (uint32_t i = 0; i < runs->count; ++i)
        e->events[i] = (event){.number = runs->list[i].event, .first = runs->list[i].first, .rows = runs->list[i].rows};
    if (vertices) STOA_TRY(read_vertices(vertices, what, e, err));
    qsort(e->events, e->count, sizeof *e->events, by_first);
    return STOA_OK;
}

uint32_t recoi_events_first_row(const reco_events *events, uint32_t index)
{ return index < events->count ? events->events[index].first : 0; }

/* ---- asking ---- */

uint32_t reco_events_count(const reco_events *events) { return events->count; }

uint32_t reco_events_rows(const reco_events *events, uint32_t index) { return index < events->count ? events->events[index].rows : 0; }

uint32_t reco_events_rows_max(const reco_events *events) { return events->rows_max; }

uint32_t reco_events_rows_total(const reco_events *events) { return events->rows; }

uint32_t reco_events_hits(const reco_events *events, uint32_t index)
{
    uint32_t sum = 0;
    if (index >= events->count || !events->hits) return 0;
    const event *of = &events->events[index];
    for (uint32_t i = 0; i < of->rows; ++i) sum += (uint32_t)events->hits[of->first + i];
    return sum;
}

int64_t reco_events_number(const reco_events *events, uint32_t index) { return index < events->count ? events->events[index].number : -1; }

reco_events_source reco_events_origin(const reco_events *events) { return events->source; }

uint32_t reco_events_has_truth(const reco_events *events) { return events->has_truth; }

const reco_true_vertex *reco_events_vertices(const reco_events *events, uint32_t index, uint32_t *count)
{
    const event *of = index < events->count ? &events->events[index] : NULL;
    *count = of ? of->vertices : 0;
    return *count ? events->vertices + of->first_vertex : NULL;
}

/* ---- filling ---- */

static stoa_status check_view(const char *what, const stoa_view_head *head, uint32_t rows, stoa_error *err)
{
    if (head->rows < rows)
        return STOA_FAIL(err, STOA_ESHAPE, "%s: the event has %u tracks, the view %u rows", what, (unsigned)rows, (unsigned)head->rows);
    if (head->place.type != STOA_PLACE_HOST)
        return STOA_FAIL(err, STOA_EPLACE, "%s: view of place type %d, host memory needed", what, (int)head->place.type);
    return STOA_OK;
}

static int all_bound(const tracks_soa *t)
{ return t->quality && t->chi2 && t->nLayers && t->eta && t->pt && t->state.data && t->covariance.data && t->hitOffsets && t->nTracks; }

static void fill_truth(const reco_events *e, const event *of, const track_truth_soa *truth)
{
    memcpy(truth->is_true, e->is_true + of->first, of->rows);
    memcpy(truth->is_duplicate, e->is_duplicate + of->first, of->rows);
    memcpy(truth->vertex, e->vertex + of->first, of->rows * sizeof *e->vertex);
}

stoa_status reco_events_fill(const reco_events *e, uint32_t index, const tracks_soa *t, const track_truth_soa *truth, stoa_error *err)
{
    if (!e || !t || index >= e->count)
        return STOA_FAIL(err, STOA_EINVAL, "events: number %u asked, %u there", (unsigned)index, e ? (unsigned)e->count : 0u);
    if (!e->floats) return STOA_FAIL(err, STOA_ESTATE, "events: an index has no tracks");
    const event *of = &e->events[index];
    size_t bytes = of->rows * sizeof(float);
    STOA_TRY(check_view("tracks", &t->head, of->rows, err));
    if (truth) STOA_TRY(check_view("truth", &truth->head, of->rows, err));
    if (!all_bound(t) || (truth && !(truth->is_true && truth->is_duplicate && truth->vertex)))
        return STOA_FAIL(err, STOA_EINVAL, "events: a column of the view is not bound");
    memcpy(t->quality, e->quality + of->first, of->rows);
    memcpy(t->nLayers, e->layers + of->first, of->rows);
    memcpy(t->chi2, floats(e, F_CHI2) + of->first, bytes);
    memcpy(t->eta, floats(e, F_ETA) + of->first, bytes);
    memcpy(t->pt, floats(e, F_PT) + of->first, bytes);
    for (uint32_t k = 0; k < 5; ++k) memcpy(t->state.data + k * t->state.stride, floats(e, F_STATE + k) + of->first, bytes);
    for (uint32_t k = 0; k < 15; ++k) memcpy(t->covariance.data + k * t->covariance.stride, floats(e, F_COVARIANCE + k) + of->first, bytes);
    for (uint32_t i = 0, offset = 0; i < of->rows; ++i) {
        offset += (uint32_t)e->hits[of->first + i];
        t->hitOffsets[i] = offset;
    }
    *t->nTracks = (int32_t)of->rows;
    if (truth) fill_truth(e, of, truth);
    return STOA_OK;
}
