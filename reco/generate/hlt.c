/* SPDX-License-Identifier: Apache-2.0 */
/* The distributions are those of the table in docs/hlt.md; numbers here and there are changed together. One
 * random number a full expression: C leaves the order of calls within one open, and the sample must not hang
 * on a compiler. */
#include "reco/generate/hlt.h"

#include "reco/formats/formats.h"
#include "reco/generate/hlt_hits.h"
#include "stoa/memory.h"

#include <stdlib.h>
#include <string.h>

#define ETA_MAX 4.0
#define PT_MIN 0.9
#define BEAM_Z_SIGMA 4.5
#define BEAM_XY_SIGMA 0.001
#define TIP_MAX 0.3
#define ZIP_MAX 12.0
/* Of the seed: hits have random numbers of their own, so that the tracks are the same with and without. */
#define HITS_KEY 0x7b1d3a95c2e84f60u

typedef struct track {
    double order; /* rows are sorted by it: a random place, a duplicate behind its original */
    double truth[5];
    double state[5], covariance[15];
    double sigma[5];             /* square roots of the diagonal */
    double chi2, correlation[4]; /* correlation: how much of the four largest ones it has */
    int32_t layers, hits, vertex;
    uint8_t quality, is_true, is_duplicate;
} track;

typedef struct vertex {
    float x, y, z;
    int32_t type, tracks;
} vertex;

typedef struct event {
    reco_random random;
    track *tracks;
    vertex *vertices;
    uint32_t track_count, vertex_count;
    uint32_t track_capacity, vertex_capacity;
    size_t no_memory; /* bytes that were not to be had: once set, nothing more is added */
} event;

/* ---- particles ---- */

/* Above PT_MIN: survival (1 + x / (n T))^-(n - 1). */
static double draw_pt(reco_random *r, double temperature, double power)
{
    double x = power * temperature * (pow(reco_random_uniform(r), -1 / (power - 1)) - 1);
    return fmin(PT_MIN - 0.03 + x, 500);
}

/* Flat with a soft edge where the forward discs end; hard-scatter products are central. */
static double draw_eta(reco_random *r, int hard)
{
    for (;;) {
        double eta = hard ? 1.7 * reco_random_normal(r) : ETA_MAX * (2 * reco_random_uniform(r) - 1);
        if (fabs(eta) < ETA_MAX && reco_random_uniform(r) * (1 + exp((fabs(eta) - 3.6) / 0.2)) < 1) return eta;
    }
}

static double draw_phi(reco_random *r) { return 3.141592653589793 * (2 * reco_random_uniform(r) - 1); }

static void draw_particle(reco_random *r, const vertex *from, int hard, track *t)
{
    double pt = hard ? draw_pt(r, 1.5, 5.5) : draw_pt(r, 0.45, 6.5), eta = draw_eta(r, hard), phi = draw_phi(r);
    double charge = reco_random_uniform(r) < 0.5 ? -1 : 1, cot = sinh(eta);
    double tip = -(double)from->x * sin(phi) + (double)from->y * cos(phi);
    double zip = (double)from->z - ((double)from->x * cos(phi) + (double)from->y * sin(phi)) * cot;
    if (reco_random_uniform(r) < 0.04) { /* from a decay or an interaction: off the vertex, in tip and in z */
        double size = 0.01 + 0.05 * reco_random_exponential(r);
        double away = reco_random_uniform(r) < 0.5 ? -size : size;
        tip += away;
        double along = away * cot * 0.3 * reco_random_normal(r);
        zip += along + 0.02 * reco_random_normal(r);
    }
    const double truth[5] = {phi, tip, charge / pt, cot, zip};
    memcpy(t->truth, truth, sizeof truth);
}

/* ---- detector ---- */

/* Layers that a particle crosses: barrel pixels with three outer-tracker layers, then discs, then the edge of
 * them. */
static double expected_layers(double eta)
{
    double a = fabs(eta);
    if (a < 1.2) return 7;
    if (a < 2.0) return 6 + (a - 1.2);
    if (a < 3.4) return 7 + (a - 2.0) / 1.4;
    return 8 - (a - 3.4) * 5;
}

static void draw_hits(reco_random *r, track *t)
{
    double expected = expected_layers(asinh(t->truth[RECO_STATE_COT_THETA]));
    uint32_t crossed = (uint32_t)(expected + reco_random_uniform(r));
    uint32_t layers = reco_random_binomial(r, crossed, 0.94);
    /* The automaton stops early on some tracks. */
    if (layers > 4 && reco_random_uniform(r) < 0.22) layers = 4 + (uint32_t)(reco_random_uniform(r) * (layers - 4));
    if (layers < 3) layers = 3;
    t->layers = (int32_t)layers;
    t->hits = (int32_t)(layers + reco_random_binomial(r, layers, 0.10));
    if (t->hits < 4) t->hits = 4; /* minHitsPerNtuplet */
}

/* Resolutions: measurement (+) multiple scattering, worse with fewer layers; `scale` is how far this track's
 * differ. */
static void set_sigmas(track *t, double scale)
{
    double pt = fabs(1 / t->truth[RECO_STATE_QPT]), cot = t->truth[RECO_STATE_COT_THETA];
    double inverse_sin = sqrt(1 + cot * cot), short_lever = scale * (1 + 0.12 * fmax(0, 7 - t->layers));
    double scatter = sqrt(inverse_sin) / pt;
    t->sigma[RECO_STATE_PHI] = short_lever * hypot(0.00025, 0.0016 * scatter);
    t->sigma[RECO_STATE_TIP] = short_lever * hypot(0.0011, 0.0050 * scatter);
    t->sigma[RECO_STATE_QPT] = short_lever * hypot(0.0035, 0.0110 * scatter);
    t->sigma[RECO_STATE_COT_THETA] = short_lever * hypot(0.0006, 0.0016 / pt) * inverse_sin;
    t->sigma[RECO_STATE_ZIP] = short_lever * hypot(0.0022, 0.0050 * scatter) * inverse_sin;
}

/* No two fits have the same hits and material: each error is off the parametrisation by a factor of its own,
 * and each correlation is a part of the largest one. The matrix is positive definite for all parts from 0.8
 * to 1. */
static void spread_errors(reco_random *r, track *t, double sigma_spread, double least_part)
{
    for (int k = 0; k < 5; ++k) t->sigma[k] *= exp(sigma_spread * reco_random_normal(r));
    for (int k = 0; k < 4; ++k) t->correlation[k] = least_part + (0.99 - least_part) * reco_random_uniform(r);
}

/* Upper triangle by rows; CMSSW's broken line leaves 3, 4, 7, 8, 10, 11 at 0. */
static void set_covariance(track *t)
{
    const double *s = t->sigma, *c = t->correlation;
    memset(t->covariance, 0, sizeof t->covariance);
    t->covariance[0] = s[0] * s[0];
    t->covariance[1] = -0.88 * c[0] * s[0] * s[1];
    t->covariance[2] = 0.72 * c[1] * s[0] * s[2];
    t->covariance[5] = s[1] * s[1];
    t->covariance[6] = -0.60 * c[2] * s[1] * s[2];
    t->covariance[9] = s[2] * s[2];
    t->covariance[12] = s[3] * s[3];
    t->covariance[13] = -0.92 * c[3] * s[3] * s[4];
    t->covariance[14] = s[4] * s[4];
}

/* state = truth + L g, L the Cholesky factor of the covariance: two blocks, 3 x 3 and 2 x 2. */
static void smear(reco_random *r, track *t, double inflate)
{
    const double *v = t->covariance;
    double g[5];
    for (int k = 0; k < 5; ++k) g[k] = inflate * reco_random_normal(r);
    double l00 = sqrt(v[0]), l10 = v[1] / l00, l20 = v[2] / l00, l11 = sqrt(v[5] - l10 * l10);
    double l21 = (v[6] - l20 * l10) / l11, l22 = sqrt(v[9] - l20 * l20 - l21 * l21);
    double l33 = sqrt(v[12]), l43 = v[13] / l33, l44 = sqrt(v[14] - l43 * l43);
    t->state[0] = t->truth[0] + l00 * g[0];
    t->state[1] = t->truth[1] + l10 * g[0] + l11 * g[1];
    t->state[2] = t->truth[2] + l20 * g[0] + l21 * g[1] + l22 * g[2];
    t->state[3] = t->truth[3] + l33 * g[3];
    t->state[4] = t->truth[4] + l43 * g[3] + l44 * g[4];
    if (t->state[0] > 3.141592653589793) t->state[0] -= 6.283185307179586;
    if (t->state[0] < -3.141592653589793) t->state[0] += 6.283185307179586;
}

static double draw_chi2(reco_random *r, int32_t hits, double mean)
{
    double half = 0.5 * (2 * hits - 5);
    return mean * reco_random_gamma(r, half) / half;
}

/* CMSSW's cuts on chi2, tip, zip and pt make a track tight; what fails is a random lower grade. */
static void set_quality(reco_random *r, track *t)
{
    double chi2_max = t->hits <= 4 ? 1.0 : t->hits == 5 ? 3.0 : 5.0;
    double pt = fabs(1 / t->state[RECO_STATE_QPT]), u = reco_random_uniform(r);
    int good =
        t->chi2 <= chi2_max && pt >= PT_MIN && fabs(t->state[RECO_STATE_TIP]) <= TIP_MAX && fabs(t->state[RECO_STATE_ZIP]) <= ZIP_MAX;
    if (good) t->quality = t->layers >= 5 && t->chi2 < 0.3 * chi2_max && u < 0.5 ? RECO_QUALITY_HIGH_PURITY : RECO_QUALITY_TIGHT;
    else t->quality = u < 0.10 ? RECO_QUALITY_BAD : u < 0.55 ? RECO_QUALITY_LOOSE : RECO_QUALITY_STRICT;
}

/* What was measured of a particle: hits, errors, smeared state, chi2. One in thirty has errors that are too
 * small. */
static void measure(reco_random *r, track *t)
{
    int tail = reco_random_uniform(r) < 0.03;
    draw_hits(r, t);
    set_sigmas(t, exp(0.18 * reco_random_normal(r)));
    spread_errors(r, t, 0.18, 0.82);
    set_covariance(t);
    smear(r, t, tail ? 2.0 : 1.0);
    /* A track of four hits that reaches us has passed the automaton's own cut on chi2. */
    do t->chi2 = draw_chi2(r, t->hits, tail ? 1.3 : 0.75);
    while (t->hits <= 4 && t->chi2 > 1.05 && reco_random_uniform(r) < 0.8);
    set_quality(r, t);
}

/* ---- tracks of an event ---- */

/* Room for `count` tracks, those there are kept. */
static void reserve_tracks(event *e, uint32_t count)
{
    track *more = stoa_calloc(count, sizeof *more);
    if (!more) {
        e->no_memory = count * sizeof *more;
        return;
    }
    if (e->track_count) memcpy(more, e->tracks, e->track_count * sizeof *more);
    stoa_free(e->tracks, e->track_capacity * sizeof *e->tracks);
    e->tracks = more;
    e->track_capacity = count;
}

static void reserve_vertices(event *e, uint32_t count)
{
    stoa_free(e->vertices, e->vertex_capacity * sizeof *e->vertices);
    e->vertices = stoa_calloc(count, sizeof *e->vertices);
    e->vertex_capacity = e->vertices ? count : 0;
    if (!e->vertices) e->no_memory = count * sizeof *e->vertices;
}

/* NULL without memory. Tracks may move: no pointer to one lives on beyond the next call. */
static track *new_track(event *e)
{
    if (e->track_count == e->track_capacity) reserve_tracks(e, 2 * e->track_count + 1024);
    if (e->no_memory) return NULL;
    track *t = &e->tracks[e->track_count++];
    *t = (track){.vertex = -1, .order = reco_random_uniform(&e->random)};
    return t;
}

static void add_duplicate(event *e, const track *from)
{
    reco_random *r = &e->random;
    const track copy = *from, *original = &copy;
    track *t = new_track(e);
    if (!t) return;
    double order = original->order + (1 - original->order) * reco_random_uniform(r);
    *t = *original;
    t->order = order;
    t->is_true = 0;
    t->is_duplicate = 1;
    /* Mostly the same hits: what differs is a part of the error. */
    memcpy(t->truth, original->state, sizeof t->truth);
    smear(r, t, 0.5);
    memcpy(t->truth, original->truth, sizeof t->truth);
    t->layers = original->layers > 4 ? 4 + (int32_t)(reco_random_uniform(r) * (original->layers - 4)) : original->layers;
    t->hits = t->layers + (int32_t)reco_random_binomial(r, (uint32_t)t->layers, 0.1);
    if (t->hits < 4) t->hits = 4;
    double worse = 1 + 0.12 * (original->layers - t->layers);
    for (int k = 0; k < 5; ++k) t->sigma[k] *= worse;
    set_covariance(t);
    t->chi2 = draw_chi2(r, t->hits, 0.8);
    set_quality(r, t);
    if (reco_random_uniform(r) < 0.5) t->quality = RECO_QUALITY_DUP; /* half of them the cleaner knows */
}

static void add_vertex_tracks(event *e, int32_t number, int hard)
{
    reco_random *r = &e->random;
    vertex *v = &e->vertices[number];
    double shape = hard ? 8 : 1.3, mean = hard ? 40 : 9.5;
    uint32_t particles = reco_random_poisson(r, mean * reco_random_gamma(r, shape) / shape);
    for (uint32_t i = 0; i < particles; ++i) {
        if (reco_random_uniform(r) > 0.93) continue; /* not reconstructed */
        track *t = new_track(e);
        if (!t) return;
        draw_particle(r, v, hard, t);
        measure(r, t);
        t->vertex = number;
        t->is_true = 1;
        v->tracks += 1;
        if (reco_random_uniform(r) < 0.06) add_duplicate(e, t);
    }
}

/* Hits of several particles: a short track that points nearly at the beam line, with errors and correlations
 * of its own. */
static void fake_state(event *e, track *t)
{
    reco_random *r = &e->random;
    double u = reco_random_uniform(r), eta, z = 0;
    do eta = draw_eta(r, 0);
    while (reco_random_uniform(r) > 0.45 + 0.55 * fabs(eta) / ETA_MAX);
    if (reco_random_uniform(r) < 0.5) z = (double)e->vertices[(uint32_t)(reco_random_uniform(r) * e->vertex_count)].z;
    else z = 1.4 * BEAM_Z_SIGMA * reco_random_normal(r);
    double pt = u < 0.05 ? PT_MIN / reco_random_uniform(r) : draw_pt(r, 0.32, 8);
    double tip = reco_random_uniform(r) < 0.35 ? 0.006 * reco_random_normal(r) / fmin(pt, 3)
                                               : 0.055 * reco_random_exponential(r) * (u < 0.5 ? -1 : 1);
    double phi = draw_phi(r), charge = reco_random_uniform(r) < 0.5 ? -1 : 1;
    const double state[5] = {phi, tip, charge / fmin(pt, 500), sinh(eta), z};
    memcpy(t->truth, state, sizeof state);
}

static void add_fake(event *e)
{
    reco_random *r = &e->random;
    track *t = new_track(e);
    if (!t) return;
    fake_state(e, t);
    t->layers = 3 + (int32_t)reco_random_binomial(r, 5, 0.30);
    t->hits = t->layers + (int32_t)reco_random_binomial(r, (uint32_t)t->layers, 0.06);
    if (t->hits < 4) t->hits = 4;
    set_sigmas(t, exp(0.18 + 0.24 * reco_random_normal(r)));
    /* The fit has no common particle behind it: its errors scatter more. */
    spread_errors(r, t, 0.25, 0.80);
    set_covariance(t);
    smear(r, t, 1.5);
    double chi2_max = t->hits <= 4 ? 1.0 : t->hits == 5 ? 3.0 : 5.0;
    /* The automaton's cut again: most of what would fail it is not made. */
    do t->chi2 = 1.9 * reco_random_gamma(r, 1.6) / 1.6;
    while (t->chi2 > 1.1 * chi2_max && reco_random_uniform(r) < 0.85);
    set_quality(r, t);
}

static int by_order(const void *a, const void *b)
{
    const track *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return x->is_duplicate - y->is_duplicate;
}

/* Combinations grow faster than tracks: as their 1.7th power, 36 % of the true ones at 2,000 of them. */
static double fake_mean(uint32_t real) { return 0.36 * real * pow(real / 2000.0, 0.7); }

static void make_event(event *e, const reco_hlt_options *options, uint64_t number)
{
    reco_random *r = &e->random;
    *r = reco_random_stream(options->seed, number);
    e->track_count = 0;
    e->vertex_count = 1 + reco_random_poisson(r, options->pileup);
    if (e->vertex_count > e->vertex_capacity) reserve_vertices(e, e->vertex_count);
    if (e->no_memory) return;
    for (uint32_t i = 0; i < e->vertex_count; ++i) {
        double x = BEAM_XY_SIGMA * reco_random_normal(r), y = BEAM_XY_SIGMA * reco_random_normal(r);
        double z = BEAM_Z_SIGMA * reco_random_normal(r);
        e->vertices[i] = (vertex){(float)x, (float)y, (float)z, i ? 3 : 1, 0};
    }
    for (uint32_t i = 0; i < e->vertex_count; ++i) add_vertex_tracks(e, (int32_t)i, i == 0);
    uint32_t fakes = reco_random_poisson(r, fake_mean(e->track_count));
    for (uint32_t i = 0; i < fakes; ++i) add_fake(e);
    if (e->track_count) qsort(e->tracks, e->track_count, sizeof *e->tracks, by_order);
}

/* ---- tables ---- */

typedef struct columns {
    int32_t *event, *hits, *vertex;
    uint8_t *quality, *is_true, *is_duplicate;
    int8_t *layers;
    float *chi2, *eta, *pt, *state, *covariance;
    size_t state_stride, covariance_stride;
    int32_t *v_event, *v_number, *v_type, *v_tracks;
    float *v_x, *v_y, *v_z;
    int32_t *h_event, *h_track;
    float *h_x, *h_y, *h_z, *h_bend, *h_bend_error;
    uint8_t *h_flags;
} columns;

static stoa_status add(reco_table *table, const char *name, stoa_dtype dtype, void *pointer, stoa_error *err)
{
    void *data;
    STOA_TRY(reco_table_add(table, name, dtype, &data, err));
    memcpy(pointer, &data, sizeof data);
    return STOA_OK;
}

static stoa_status add_columns(reco_table *t, columns *c, stoa_error *err)
{
    void *data;
    STOA_TRY(add(t, "event", STOA_INT32, &c->event, err));
    STOA_TRY(add(t, "quality", STOA_UINT8, &c->quality, err));
    STOA_TRY(add(t, "chi2", STOA_FLOAT32, &c->chi2, err));
    STOA_TRY(add(t, "nLayers", STOA_INT8, &c->layers, err));
    STOA_TRY(add(t, "eta", STOA_FLOAT32, &c->eta, err));
    STOA_TRY(add(t, "pt", STOA_FLOAT32, &c->pt, err));
    STOA_TRY(reco_table_add_group(t, "state", STOA_FLOAT32, 5, &data, &c->state_stride, err));
    c->state = data;
    STOA_TRY(reco_table_add_group(t, "covariance", STOA_FLOAT32, 15, &data, &c->covariance_stride, err));
    c->covariance = data;
    STOA_TRY(add(t, "nHits", STOA_INT32, &c->hits, err));
    STOA_TRY(add(t, "is_true", STOA_UINT8, &c->is_true, err));
    STOA_TRY(add(t, "is_duplicate", STOA_UINT8, &c->is_duplicate, err));
    return add(t, "vertex", STOA_INT32, &c->vertex, err);
}

static stoa_status add_vertex_columns(reco_table *t, columns *c, stoa_error *err)
{
    STOA_TRY(add(t, "event", STOA_INT32, &c->v_event, err));
    STOA_TRY(add(t, "vertex", STOA_INT32, &c->v_number, err));
    STOA_TRY(add(t, "x", STOA_FLOAT32, &c->v_x, err));
    STOA_TRY(add(t, "y", STOA_FLOAT32, &c->v_y, err));
    STOA_TRY(add(t, "z", STOA_FLOAT32, &c->v_z, err));
    STOA_TRY(add(t, "type", STOA_INT32, &c->v_type, err));
    return add(t, "tracks", STOA_INT32, &c->v_tracks, err);
}

static stoa_status add_hit_columns(reco_table *t, columns *c, stoa_error *err)
{
    STOA_TRY(add(t, "event", STOA_INT32, &c->h_event, err));
    STOA_TRY(add(t, "track", STOA_INT32, &c->h_track, err));
    STOA_TRY(add(t, "xGlobal", STOA_FLOAT32, &c->h_x, err));
    STOA_TRY(add(t, "yGlobal", STOA_FLOAT32, &c->h_y, err));
    STOA_TRY(add(t, "zGlobal", STOA_FLOAT32, &c->h_z, err));
    STOA_TRY(add(t, "dPhiDr", STOA_FLOAT32, &c->h_bend, err));
    STOA_TRY(add(t, "dPhiDrError", STOA_FLOAT32, &c->h_bend_error, err));
    return add(t, "flags", STOA_UINT8, &c->h_flags, err);
}

static void put_tracks(const event *e, int32_t number, const columns *c, size_t row)
{
    for (uint32_t i = 0; i < e->track_count; ++i, ++row) {
        const track *t = &e->tracks[i];
        c->event[row] = number;
        c->quality[row] = t->quality;
        c->chi2[row] = (float)t->chi2;
        c->layers[row] = (int8_t)t->layers;
        c->eta[row] = (float)asinh(t->state[RECO_STATE_COT_THETA]);
        c->pt[row] = (float)fabs(1 / t->state[RECO_STATE_QPT]);
        for (size_t k = 0; k < 5; ++k) c->state[k * c->state_stride + row] = (float)t->state[k];
        for (size_t k = 0; k < 15; ++k) c->covariance[k * c->covariance_stride + row] = (float)t->covariance[k];
        c->hits[row] = t->hits;
        c->is_true[row] = t->is_true;
        c->is_duplicate[row] = t->is_duplicate;
        c->vertex[row] = t->vertex;
    }
}

static void put_vertices(const event *e, int32_t number, const columns *c, size_t row)
{
    for (uint32_t i = 0; i < e->vertex_count; ++i, ++row) {
        const vertex *v = &e->vertices[i];
        c->v_event[row] = number;
        c->v_number[row] = (int32_t)i;
        c->v_x[row] = v->x;
        c->v_y[row] = v->y;
        c->v_z[row] = v->z;
        c->v_type[row] = v->type;
        c->v_tracks[row] = v->tracks;
    }
}

static void put_hits(const event *e, const reco_hlt_options *o, uint64_t number, const columns *c, size_t row)
{
    enum { HITS_MAX = 64 };
    reco_random r = reco_random_stream(o->seed ^ HITS_KEY, number);
    sim_hit hits[HITS_MAX];
    for (uint32_t i = 0; i < e->track_count; ++i) {
        const track *t = &e->tracks[i];
        sim_helix helix = {.chi2 = t->chi2, .layers = t->layers, .hits = t->hits, .is_fake = !t->is_true && !t->is_duplicate};
        memcpy(helix.state, t->state, sizeof helix.state);
        sim_hits(&r, &helix, hits);
        for (int32_t k = 0; k < t->hits; ++k, ++row) {
            c->h_event[row] = (int32_t)number;
            c->h_track[row] = (int32_t)i;
            c->h_x[row] = hits[k].x;
            c->h_y[row] = hits[k].y;
            c->h_z[row] = hits[k].z;
            c->h_bend[row] = hits[k].bend;
            c->h_bend_error[row] = hits[k].bend_error;
            c->h_flags[row] = hits[k].flags;
        }
    }
}

/* Rows of the three tables. */
typedef struct row_counts {
    size_t tracks, vertices, hits;
} row_counts;

static void count_rows(const event *e, row_counts *rows)
{
    rows->tracks += e->track_count;
    rows->vertices += e->vertex_count;
    for (uint32_t i = 0; i < e->track_count; ++i) rows->hits += (size_t)e->tracks[i].hits;
}

/* Tables are made at their final size, so the events are made twice: once to be counted. Cheaper than to keep
 * them. */
static stoa_status generate(event *e, const reco_hlt_options *o, reco_table **tracks, reco_table **vertices, reco_table **hits,
                            stoa_error *err)
{
    row_counts rows = {0};
    columns c;
    for (uint32_t i = 0; i < o->events; ++i) {
        make_event(e, o, o->first_event + i);
        if (e->no_memory)
            return STOA_FAIL(err, STOA_ENOMEM, "generate hlt: %zu bytes for event %llu", e->no_memory,
                             (unsigned long long)(o->first_event + i));
        count_rows(e, &rows);
    }
    STOA_TRY(reco_table_create(rows.tracks, tracks, err));
    STOA_TRY(add_columns(*tracks, &c, err));
    if (vertices) {
        STOA_TRY(reco_table_create(rows.vertices, vertices, err));
        STOA_TRY(add_vertex_columns(*vertices, &c, err));
    }
    if (hits) {
        STOA_TRY(reco_table_create(rows.hits, hits, err));
        STOA_TRY(add_hit_columns(*hits, &c, err));
    }
    rows = (row_counts){0};
    for (uint32_t i = 0; i < o->events; ++i) {
        const uint64_t number = o->first_event + i;
        make_event(e, o, number);
        put_tracks(e, (int32_t)number, &c, rows.tracks);
        if (vertices) put_vertices(e, (int32_t)number, &c, rows.vertices);
        if (hits) put_hits(e, o, number, &c, rows.hits);
        count_rows(e, &rows);
    }
    return STOA_OK;
}

static stoa_status check_options(const reco_hlt_options *o, stoa_error *err)
{
    if (o->struct_size != sizeof *o)
        return STOA_FAIL(err, STOA_EINVAL, "generate hlt: struct_size %u given, %zu needed", (unsigned)o->struct_size, sizeof *o);
    if (o->events < 1 || o->events > RECO_HLT_EVENTS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "generate hlt: %u events asked, 1 to %u possible", (unsigned)o->events, RECO_HLT_EVENTS_MAX);
    if (!(o->pileup >= 0 && o->pileup <= RECO_HLT_PILEUP_MAX))
        return STOA_FAIL(err, STOA_EINVAL, "generate hlt: pile-up %g asked, 0 to %g possible", o->pileup, RECO_HLT_PILEUP_MAX);
    if (o->first_event > (uint64_t)INT32_MAX - o->events)
        return STOA_FAIL(err, STOA_EINVAL, "generate hlt: first event %llu and %u events, numbers end at %d",
                         (unsigned long long)o->first_event, (unsigned)o->events, INT32_MAX);
    return STOA_OK;
}

stoa_status reco_generate_hlt(const reco_hlt_options *options, reco_table **tracks, reco_table **vertices, reco_table **hits,
                              stoa_error *err)
{
    reco_table **const out[] = {tracks, vertices, hits};
    if (!options || !tracks) return STOA_FAIL(err, STOA_EINVAL, "generate hlt: options or out pointer is NULL");
    for (size_t k = 0; k < sizeof out / sizeof *out; ++k)
        if (out[k]) *out[k] = NULL;
    STOA_TRY(check_options(options, err));
    event e = {.no_memory = 0};
    const stoa_status status = generate(&e, options, tracks, vertices, hits, err);
    stoa_free(e.tracks, e.track_capacity * sizeof *e.tracks);
    stoa_free(e.vertices, e.vertex_capacity * sizeof *e.vertices);
    for (size_t k = 0; status != STOA_OK && k < sizeof out / sizeof *out; ++k)
        if (out[k]) {
            reco_table_destroy(*out[k]);
            *out[k] = NULL;
        }
    return status;
}
