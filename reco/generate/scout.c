/* SPDX-License-Identifier: Apache-2.0 */
/* The distributions are those of the table in docs/scouting.md; numbers here and there are changed together. One random
 * number a full expression: C leaves the order of calls within one open. */
#include "reco/generate/scout.h"

#include "reco/check.h"
#include "reco/generate/random.h"
#include "reco/scouting/words.h"
#include "reco/scouting/writer.h"
#include "stoa/memory.h"

#include <errno.h>
#include <string.h>

#define PI 3.141592653589793
#define RUN 1u

enum {
    EVENT_WORDS = 1024, /* of an event at most, header included: pile-up 400 leaves some 120 candidates */
    ORBIT_CROSSINGS = RECO_SCOUT_BX_MAX + 1,
    OBJECTS_MAX = 8 /* taus and jets of an event */
};

/* A tau or a jet as it was generated. */
typedef struct object {
    uint32_t orbit, bx;
    int32_t is_tau, prongs, charge;
    double pt, eta, phi, z;
} object;

typedef struct event {
    reco_random random;
    uint64_t words[EVENT_WORDS];
    uint32_t count; /* candidates */
    object objects[OBJECTS_MAX];
    uint32_t object_count;
    double z; /* of the hard vertex */
} event;

/* ---- One candidate: detector, then bits. ---- */

static double wrapped(double phi) { return phi - 2 * PI * floor((phi + PI) / (2 * PI)); }

static int32_t rounded(double value, double unit, int32_t limit)
{
    const double steps = rint(value / unit);
    return (int32_t)fmin(fmax(steps, -limit), limit - 1);
}

/* Candidates that are too soft for PUPPI are left out. */
static void put(event *e, uint32_t pid, double pt, double eta, double phi, double z, double weight)
{
    const double unit = PI / 720;
    const bool charged = pid > RECO_PID_PHOTON;
    const int32_t pt_steps = rounded(pt, 0.25, 16384);
    if (pt < (charged ? 2 : 1.25) || fabs(eta) > 4.4 || e->count + 1 >= EVENT_WORDS) return;
    const int32_t track_or_weight = charged ? rounded(z, 0.05, 512) : (int32_t)fmin(rint(weight * 256), 1023);
    const int32_t dxy = 0;
    const uint32_t quality = charged ? 1 : 0;
    e->count++;
    e->words[e->count] = reco_puppi_word((uint32_t)pt_steps, rounded(eta, unit, 2048), rounded(wrapped(phi), unit, 1024), pid,
                                         track_or_weight, dxy, quality);
}

/* Tracks are precise but sometimes lost (their calorimeter deposit stays as a neutral hadron), photons and neutral
 * hadrons are smeared and may be too soft to be a cluster. */
static void measure(event *e, uint32_t pid, double pt, double eta, double phi, double z)
{
    reco_random *r = &e->random;
    const bool charged = pid > RECO_PID_PHOTON;
    if (charged && (fabs(eta) > 2.4 || reco_random_uniform(r) < 0.06)) pid = RECO_PID_H0;
    const double stochastic = pid == RECO_PID_PHOTON ? 0.06 : pid == RECO_PID_H0 ? 0.5 : 0;
    const double constant = pid == RECO_PID_PHOTON ? 0.03 : pid == RECO_PID_H0 ? 0.12 : 0.012;
    const double angle = pid > RECO_PID_PHOTON ? 0.001 : pid == RECO_PID_PHOTON ? 0.008 : 0.03;
    const double scale = 1 + hypot(stochastic / sqrt(pt), constant) * reco_random_normal(r);
    eta += angle * reco_random_normal(r);
    phi += angle * reco_random_normal(r);
    z += 0.1 * (1 + 0.5 * fabs(eta)) * reco_random_normal(r);
    put(e, pid, pt * fmax(scale, 0.1), eta, phi, z, 1);
}

/* ---- Taus, jets, soft candidates. ---- */

static double draw_phi(reco_random *r) { return PI * (2 * reco_random_uniform(r) - 1); }

static object *new_object(event *e, double pt, double eta)
{
    object *o = &e->objects[e->object_count++];
    *o = (object){.pt = pt, .eta = eta, .z = e->z};
    o->phi = draw_phi(&e->random);
    return o;
}

/* Shares of n decay products, each of a gamma-distributed weight. */
static void draw_shares(reco_random *r, uint32_t n, double shape, double *shares)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += shares[k] = reco_random_gamma(r, shape);
    for (uint32_t k = 0; k < n; k++) shares[k] /= sum;
}

/* A product at a distance from the axis that shrinks with its share: softer ones lie further out. */
static void add_product(event *e, const object *axis, uint32_t pid, double pt, double width, double z)
{
    reco_random *r = &e->random;
    const double distance = fmin(width * reco_random_exponential(r), 0.8), angle = draw_phi(r);
    measure(e, pid, pt, axis->eta + distance * cos(angle), axis->phi + distance * sin(angle), z);
}

/* One or three prongs and up to two neutral pions, in a cone that shrinks with pt. */
static void add_tau(event *e)
{
    reco_random *r = &e->random;
    const double pt = 4 + 14 * reco_random_exponential(r), eta = 2.2 * (2 * reco_random_uniform(r) - 1);
    object *tau = new_object(e, pt, eta);
    double shares[5];
    tau->is_tau = 1;
    tau->charge = reco_random_uniform(r) < 0.5 ? -1 : 1;
    tau->prongs = reco_random_uniform(r) < 0.27 ? 3 : 1;
    const double kind = reco_random_uniform(r);
    const uint32_t neutrals = tau->prongs == 3 ? kind < 0.3 : kind < 0.22 ? 0 : kind < 0.78 ? 1 : 2;
    const uint32_t products = (uint32_t)tau->prongs + neutrals;
    draw_shares(r, products, 2, shares);
    const double width = fmin(0.35 / pt, 0.05);
    for (uint32_t k = 0; k < products; k++) {
        const bool charged = k < (uint32_t)tau->prongs, opposite = k == 2;
        const bool positive = (tau->charge > 0) != opposite;
        const uint32_t pid = !charged ? RECO_PID_PHOTON : positive ? RECO_PID_PIPLUS : RECO_PID_PIMINUS;
        add_product(e, tau, pid, pt * shares[k], width, tau->z);
    }
}

/* Neutral ones: a part `neutral` of all, photons and neutral hadrons by half; a few leptons, otherwise charged hadrons. */
static uint32_t draw_kind(reco_random *r, double neutral)
{
    const double kind = reco_random_uniform(r);
    const bool positive = reco_random_uniform(r) < 0.5;
    if (kind < neutral / 2) return RECO_PID_PHOTON;
    if (kind < neutral) return RECO_PID_H0;
    if (kind > 0.985) return positive ? RECO_PID_EPLUS : RECO_PID_EMINUS;
    if (kind > 0.975) return positive ? RECO_PID_MUPLUS : RECO_PID_MUMINUS;
    return positive ? RECO_PID_PIPLUS : RECO_PID_PIMINUS;
}

/* More products than a tau, wider, with shares that fall steeply. */
static void add_jet(event *e)
{
    reco_random *r = &e->random;
    const double pt = 5 + 18 * reco_random_exponential(r), eta = 2.2 * (2 * reco_random_uniform(r) - 1);
    object *jet = new_object(e, pt, eta);
    double shares[64];
    uint32_t products = 3 + reco_random_poisson(r, 2.5 + pt / 8);
    if (products > 64) products = 64;
    draw_shares(r, products, 0.9, shares);
    for (uint32_t k = 0; k < products; k++) {
        const uint32_t pid = draw_kind(r, 0.4);
        add_product(e, jet, pid, pt * shares[k], fmin(0.05 + 0.35 / pt, 0.2), jet->z);
    }
}

/* What PUPPI leaves: charged ones near the hard vertex, neutral ones with a weight below 1, soft. */
static void add_soft(event *e, double pileup)
{
    reco_random *r = &e->random;
    const uint32_t count = reco_random_poisson(r, 3 + 0.125 * pileup);
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t pid = draw_kind(r, 0.08);
        const double pt = 1.9 + 0.9 * reco_random_exponential(r), eta = 2.5 * (2 * reco_random_uniform(r) - 1), phi = draw_phi(r);
        const double z = e->z + 0.3 * reco_random_normal(r), weight = 0.3 + 0.7 * reco_random_uniform(r);
        put(e, pid > RECO_PID_PHOTON && fabs(eta) > 2.4 ? RECO_PID_H0 : pid, pt, eta, phi, z, weight);
    }
}

static void shuffle(event *e)
{
    for (uint32_t k = e->count; k > 1; k--) {
        const uint32_t other = 1 + (uint32_t)(reco_random_uniform(&e->random) * k);
        const uint64_t word = e->words[k];
        e->words[k] = e->words[other];
        e->words[other] = word;
    }
}

static void make_event(event *e, const reco_scout_sim_options *options, uint32_t number)
{
    const uint32_t orbit = number / ORBIT_CROSSINGS, bx = number % ORBIT_CROSSINGS;
    reco_random *r = &e->random;
    *r = reco_random_stream(options->seed, number);
    e->count = e->object_count = 0;
    e->z = fmin(fmax(4.5 * reco_random_normal(r), -20), 20);
    const double kind = reco_random_uniform(r), second = reco_random_uniform(r);
    const uint32_t objects = second < 0.6 ? 1 : 2;
    for (uint32_t k = 0; kind < 2.0 / 3 && k < objects; k++)
        if (kind < 1.0 / 3) add_tau(e);
        else add_jet(e);
    add_soft(e, options->pileup);
    shuffle(e); /* the place in the event says nothing */
    e->words[0] = reco_scout_header(orbit, bx, e->count);
    for (uint32_t k = 0; k < e->object_count; k++) {
        e->objects[k].orbit = orbit;
        e->objects[k].bx = bx;
    }
}

/* ---- Files and tables. ---- */

typedef struct truth_columns {
    int32_t *orbit, *bx, *is_tau, *prongs, *charge;
    float *pt, *eta, *phi, *z;
} truth_columns;

static stoa_status make_truth(size_t rows, reco_table **table, truth_columns *c, stoa_error *err)
{
    static const char *const whole[] = {"orbit", "bx", "is_tau", "prongs", "charge"};
    static const char *const real[] = {"pt", "eta", "phi", "z"};
    void *data[9];
    STOA_TRY(reco_table_create(rows, table, err));
    for (int k = 0; k < 5; k++) STOA_TRY(reco_table_add(*table, whole[k], STOA_INT32, &data[k], err));
    for (int k = 0; k < 4; k++) STOA_TRY(reco_table_add(*table, real[k], STOA_FLOAT32, &data[5 + k], err));
    *c = (truth_columns){data[0], data[1], data[2], data[3], data[4], data[5], data[6], data[7], data[8]};
    return STOA_OK;
}

static void put_truth(const truth_columns *c, const object *o, size_t row)
{
    c->orbit[row] = (int32_t)o->orbit;
    c->bx[row] = (int32_t)o->bx;
    c->is_tau[row] = o->is_tau;
    c->prongs[row] = o->prongs;
    c->charge[row] = o->charge;
    c->pt[row] = (float)o->pt;
    c->eta[row] = (float)o->eta;
    c->phi[row] = (float)wrapped(o->phi);
    c->z[row] = (float)o->z;
}

/* Events one after the other, an orbit at a time into the file. Made twice, as the table's size must be known first. */
static stoa_status write_events(FILE *file, const reco_scout_sim_options *o, event *e, uint64_t *orbit_words, reco_table **truth,
                                uint64_t *candidates, stoa_error *err)
{
    truth_columns columns;
    size_t rows = 0, row = 0, words = 0;
    for (uint32_t n = 0; n < o->events; n++) {
        make_event(e, o, n);
        rows += e->object_count;
    }
    STOA_TRY(make_truth(rows, truth, &columns, err));
    STOA_TRY(reco_scout_write_begin(file, o->format, RUN, (o->events + ORBIT_CROSSINGS - 1) / ORBIT_CROSSINGS, err));
    for (uint32_t n = 0; n < o->events; n++) {
        make_event(e, o, n);
        for (uint32_t k = 0; k < e->object_count; k++) put_truth(&columns, &e->objects[k], row++);
        memcpy(orbit_words + words, e->words, (e->count + 1) * sizeof *e->words);
        words += e->count + 1;
        *candidates += e->count;
        if ((n + 1) % ORBIT_CROSSINGS != 0 && n + 1 < o->events) continue;
        STOA_TRY(reco_scout_write_orbit(file, o->format, RUN, n / ORBIT_CROSSINGS, orbit_words, words, err));
        words = 0;
    }
    return STOA_OK;
}

static stoa_status check_options(const reco_scout_sim_options *o, stoa_error *err)
{
    if (o->struct_size != sizeof *o)
        return STOA_FAIL(err, STOA_EINVAL, "generate scout: struct_size %u given, %zu needed", o->struct_size, sizeof *o);
    if (o->events < 1 || o->events > RECO_SCOUT_SIM_EVENTS_MAX)
        return STOA_FAIL(err, STOA_EINVAL, "generate scout: %u events asked, 1 to %u possible", o->events, RECO_SCOUT_SIM_EVENTS_MAX);
    if (!(o->pileup >= 0 && o->pileup <= RECO_SCOUT_SIM_PILEUP_MAX))
        return STOA_FAIL(err, STOA_EINVAL, "generate scout: pile-up %g asked, 0 to %g possible", o->pileup, RECO_SCOUT_SIM_PILEUP_MAX);
    return STOA_OK;
}

static stoa_status write_file(const reco_scout_sim_options *o, const char *path, reco_table **truth, uint64_t *candidates, stoa_error *err)
{
    const size_t orbit_bytes = (size_t)ORBIT_CROSSINGS * EVENT_WORDS * sizeof(uint64_t);
    uint64_t *orbit_words = stoa_alloc(orbit_bytes, 64);
    event *e = stoa_calloc(1, sizeof *e);
    FILE *file = fopen(path, "wb");
    stoa_status status = !file ? stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno))
                         : !orbit_words || !e
                             ? STOA_FAIL(err, STOA_ENOMEM, "generate scout: %zu bytes for an orbit", orbit_bytes + sizeof *e)
                             : write_events(file, o, e, orbit_words, truth, candidates, err);
    if (file && fclose(file) != 0 && status == STOA_OK)
        status = stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno));
    stoa_free(e, sizeof *e);
    stoa_free(orbit_words, orbit_bytes);
    return status;
}

stoa_status reco_generate_scout(const reco_scout_sim_options *options, const char *path, reco_table **truth, uint64_t *candidates,
                                stoa_error *err)
{
    RECO_NEED(err, "generate scout", options);
    RECO_NEED(err, "generate scout", path);
    RECO_NEED(err, "generate scout", truth);
    RECO_NEED(err, "generate scout", candidates);
    *truth = NULL;
    *candidates = 0;
    STOA_TRY(check_options(options, err));
    reco_scout_sim_options o = *options;
    if (o.format == RECO_SCOUT_ANY) o.format = RECO_SCOUT_NATIVE64;
    const stoa_status status = write_file(&o, path, truth, candidates, err);
    if (status == STOA_OK) return STOA_OK;
    reco_table_destroy(*truth);
    *truth = NULL;
    return status;
}
