/* SPDX-License-Identifier: Apache-2.0 */
/* A track's helix through a list of cylinders and discs; the numbers are those of docs/hlt.md. */
#include "reco/generate/hlt_hits.h"

#include "reco/formats/formats.h"

#include <stdlib.h>

#define FIELD_TESLA 3.8
#define CM_PER_GEV (100 / (0.299792458 * FIELD_TESLA)) /* radius of a track of 1 GeV */

enum { CROSSINGS_MAX = 64 };

/* How a module measures, cm: across, along, and the distance of its two sensors (0: one sensor). */
typedef struct module_kind {
    double across, along, gap;
    uint8_t flags;
} module_kind;
static const module_kind pixel = {0.0010, 0.0030, 0, 0}, macro_pixel = {0.0029, 0.043, 0.26, RECO_STUB_VALID | RECO_STUB_PS},
                         strips = {0.0026, 1.44, 0.18, RECO_STUB_VALID};

/* Barrel layers at a radius, up to |z| = `to`; discs at |z|, from radius `from` to `to`. */
typedef struct layer {
    const module_kind *kind;
    double at, from, to;
} layer;
static const layer barrel[] = {{&pixel, 3.0, 0, 20},         {&pixel, 6.1, 0, 20},         {&pixel, 10.4, 0, 20},
                               {&pixel, 14.6, 0, 20},        {&macro_pixel, 23.3, 0, 118}, {&macro_pixel, 35.7, 0, 118},
                               {&macro_pixel, 50.8, 0, 118}, {&strips, 68.7, 0, 118},      {&strips, 86.1, 0, 118},
                               {&strips, 110.8, 0, 118}};
static const layer discs[] = {
    {&pixel, 25, 3, 16},         {&pixel, 32, 3, 16},         {&pixel, 41, 3, 16},         {&pixel, 53, 3, 16},
    {&pixel, 68, 3, 16},         {&pixel, 87, 3, 16},         {&pixel, 111, 3, 16},        {&pixel, 140, 3, 16},
    {&pixel, 175, 6.3, 25.5},    {&pixel, 198, 6.3, 25.5},    {&pixel, 224, 6.3, 25.5},    {&pixel, 255, 6.3, 25.5},
    {&macro_pixel, 131, 22, 60}, {&macro_pixel, 155, 22, 60}, {&macro_pixel, 185, 22, 60}, {&macro_pixel, 220, 22, 60},
    {&macro_pixel, 266, 22, 60}, {&strips, 131, 60, 112},     {&strips, 155, 60, 112},     {&strips, 185, 60, 112},
    {&strips, 220, 60, 112},     {&strips, 266, 60, 112}};
enum { BARRELS = sizeof barrel / sizeof *barrel, DISCS = sizeof discs / sizeof *discs, PIXEL_BARRELS = 4, PIXEL_DISCS = 12, RINGS = 5 };

typedef struct crossing {
    double path; /* transverse length from the point of closest approach */
    const module_kind *kind;
    uint8_t flags;
    int is_barrel;
} crossing;

typedef struct point {
    double x, y, z, r;
} point;

/* kappa: change of azimuth with the transverse path. */
static point point_at(const sim_helix *h, double path)
{
    const double phi = h->state[RECO_STATE_PHI], tip = h->state[RECO_STATE_TIP], kappa = -h->state[RECO_STATE_QPT] / CM_PER_GEV;
    const double turn = 0.5 * kappa * path, chord = fabs(turn) > 1e-9 ? path * sin(turn) / turn : path;
    point p = {.x = -tip * sin(phi) + chord * cos(phi + turn), .y = tip * cos(phi) + chord * sin(phi + turn)};
    p.z = h->state[RECO_STATE_ZIP] + path * h->state[RECO_STATE_COT_THETA];
    p.r = hypot(p.x, p.y);
    return p;
}

/* Outwards in steps by what is missing; false when the track turns back before. */
static int reach_radius(const sim_helix *h, double radius, double *path)
{
    *path = radius;
    for (int k = 0; k < 20; ++k) {
        const double missing = radius - point_at(h, *path).r;
        if (fabs(missing) < 1e-6) return 1;
        *path += missing;
    }
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const crossing *x = a, *y = b;
    return x->path < y->path ? -1 : x->path > y->path;
}

static uint32_t find_crossings(const sim_helix *h, crossing *out)
{
    const double cot = h->state[RECO_STATE_COT_THETA], zip = h->state[RECO_STATE_ZIP];
    const double half_turn = 3.141592653589793 * CM_PER_GEV / fabs(h->state[RECO_STATE_QPT]);
    uint32_t count = 0;
    for (int k = 0; k < BARRELS; ++k) {
        double path;
        if (!reach_radius(h, barrel[k].at, &path) || fabs(point_at(h, path).z) > barrel[k].to) continue;
        const int number = k - PIXEL_BARRELS, is_stub = number >= 0;
        const int flags = is_stub ? barrel[k].kind->flags | RECO_STUB_BARREL | RECO_STUB_FLAT | number << RECO_STUB_LAYER_SHIFT : 0;
        out[count++] = (crossing){path, barrel[k].kind, (uint8_t)flags, 1};
    }
    for (int k = 0; k < DISCS; ++k) {
        const double path = (copysign(discs[k].at, cot) - zip) / cot;
        if (!(path > 0 && path < half_turn)) continue;
        const double r = point_at(h, path).r;
        if (r < discs[k].from || r > discs[k].to) continue;
        const int number = (k - PIXEL_DISCS) % RINGS, is_stub = k >= PIXEL_DISCS;
        out[count++] = (crossing){path, discs[k].kind, (uint8_t)(is_stub ? discs[k].kind->flags | number << RECO_STUB_LAYER_SHIFT : 0), 0};
    }
    qsort(out, count, sizeof *out, by_path);
    return count;
}

/* Bend of a stub of a particle of this q/pt that comes from the beam line. */
static double bend_at(double radius, double q_over_pt)
{
    const double half = -0.5 * q_over_pt / CM_PER_GEV, across = fmin(fabs(half * radius), 0.95);
    return half / sqrt(1 - across * across);
}

static void measure_bend(reco_random *r, const sim_helix *h, const crossing *at, point p, double residual, sim_hit *hit)
{
    const double gap = at->is_barrel ? at->kind->gap : at->kind->gap / fabs(h->state[RECO_STATE_COT_THETA]); /* in radius */
    double bend = bend_at(p.r, h->state[RECO_STATE_QPT]);
    if (h->is_fake) {
        const double pt = 0.9 / sqrt(reco_random_uniform(r));
        bend = bend_at(p.r, reco_random_uniform(r) < 0.5 ? -1 / pt : 1 / pt);
    }
    const double error = sqrt(2.0) * at->kind->across / (p.r * gap);
    hit->bend = (float)(bend + residual * error * reco_random_normal(r));
    hit->bend_error = (float)error;
}

static void measure_hit(reco_random *r, const sim_helix *h, const crossing *at, double path, sim_hit *hit)
{
    const point p = point_at(h, path);
    const double residual = sqrt(h->chi2);
    const double across = residual * at->kind->across * reco_random_normal(r), along = residual * at->kind->along * reco_random_normal(r);
    const double radial = at->is_barrel ? 0 : along;
    *hit = (sim_hit){.x = (float)(p.x + (p.x * radial - p.y * across) / p.r),
                     .y = (float)(p.y + (p.y * radial + p.x * across) / p.r),
                     .z = (float)(at->is_barrel ? p.z + along : p.z),
                     .bend_error = -1,
                     .flags = at->flags};
    if (at->kind->gap > 0) measure_bend(r, h, at, p, residual, hit);
}

/* The innermost layers have a hit each; what is left over goes to modules that overlap, from the beam on. */
void sim_hits(reco_random *r, const sim_helix *h, sim_hit *hits)
{
    static const crossing lost = {3.0, &pixel, 0, 1}; /* of a track that no layer is in the way of */
    crossing crossings[CROSSINGS_MAX];
    uint32_t crossed = find_crossings(h, crossings), count = (uint32_t)h->hits;
    if (crossed > (uint32_t)h->layers) crossed = (uint32_t)h->layers;
    if (crossed == 0) crossings[crossed++] = lost;
    for (uint32_t k = 0, done = 0; k < crossed; ++k) {
        const uint32_t share = count / crossed + (k < count % crossed);
        for (uint32_t i = 0; i < share; ++i) measure_hit(r, h, &crossings[k], crossings[k].path + 0.2 * i, &hits[done++]);
    }
}
