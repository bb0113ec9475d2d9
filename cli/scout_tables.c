/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of `stoa scout`, written in the order of the input as the batches come. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scout_files.h"

#define MATCH_RADIUS 0.3

const float scout_pt_edges[SCOUT_PT_BINS] = {0, 5, 10, 20};

/* ---- Opening and closing. ---- */

typedef struct table_file {
    FILE **file;
    const char *name, *header;
} table_file;
enum { TABLES = SCOUT_TABLES };
const char *const scout_table_names[SCOUT_TABLES] = {"orbits.csv", "taus.csv", "clusters.csv", "w3pi.csv", "selected.csv"};

static void list_tables(scout_sink *s, table_file tables[TABLES])
{
    const table_file list[TABLES] = {{&s->orbits, scout_table_names[0], NULL},
                                     {&s->taus, scout_table_names[1], "orbit,bx,pt,eta,phi,cone_pt,id,pt_factor"},
                                     {&s->clusters, scout_table_names[2], "orbit,bx,members,pt,eta,phi,mass,score,tau_pt,tau_z,tau_charge"},
                                     {&s->w3pi, scout_table_names[3], "orbit,bx,mass,pt_sum"},
                                     {&s->selected, scout_table_names[4], "orbit,bx,by_tau,by_cluster,by_w3pi"}};
    memcpy(tables, list, sizeof list);
}

static void write_orbit_header(FILE *file)
{
    fputs("orbit,parts,events,candidates,taus,clusters,w3pi,selected", file);
    for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++) fprintf(file, ",%s", reco_scout_fault_name(f));
    fputc('\n', file);
}

static stoa_status find_columns(scout_truth *t, stoa_error *err)
{
    const struct {
        const char *name;
        const reco_column **column;
    } columns[] = {{"orbit", &t->orbit}, {"bx", &t->bx},   {"is_tau", &t->is_tau}, {"charge", &t->charge},
                   {"pt", &t->pt},       {"eta", &t->eta}, {"phi", &t->phi},       {"z", &t->z}};
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++)
        STOA_TRY(reco_table_get(t->table, columns[k].name, columns[k].column, err));
    return STOA_OK;
}

/* The truth of "sim.raw" is sim.truth.csv. */
static stoa_status read_truth(scout_truth *t, const char *input, stoa_error *err)
{
    const char *slash = strrchr(input, '/'), *dot = strrchr(slash ? slash : input, '.');
    char *path = NULL;
    if (asprintf(&path, "%.*s.truth.csv", (int)(dot ? (size_t)(dot - input) : strlen(input)), input) < 0)
        return STOA_FAIL(err, STOA_ENOMEM, "truth of '%s': no memory", input);
    const bool is_there = access(path, R_OK) == 0;
    stoa_status status = is_there ? reco_table_read(path, &t->table, err) : STOA_OK;
    free(path);
    if (status == STOA_OK && is_there) status = find_columns(t, err);
    return status;
}

stoa_status scout_sink_open(scout_sink *s, const char *dir, const char *input, const char *features, stoa_error *err)
{
    table_file tables[TABLES];
    s->dir = dir;
    STOA_TRY(output_make_dir(dir, err));
    STOA_TRY(read_truth(&s->truth, input, err));
    s->has_truth = s->truth.table != NULL;
    list_tables(s, tables);
    for (int t = 0; s->with_tables && t < TABLES; t++) {
        *tables[t].file = output_open(dir, tables[t].name, err);
        if (!*tables[t].file) return STOA_EIO;
        if (tables[t].header) fprintf(*tables[t].file, "%s\n", tables[t].header);
        else write_orbit_header(*tables[t].file);
    }
    if (features && !(s->features = fopen(features, "wb")))
        return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", features, strerror(errno));
    return STOA_OK;
}

stoa_status scout_sink_close(scout_sink *s, stoa_error *err)
{
    table_file tables[TABLES];
    stoa_status status = STOA_OK;
    list_tables(s, tables);
    for (int t = 0; t < TABLES; t++) {
        FILE *file = *tables[t].file;
        *tables[t].file = NULL;
        if (file && output_close(file, s->dir, tables[t].name, status == STOA_OK ? err : NULL) != STOA_OK) status = STOA_EIO;
    }
    FILE *features = s->features;
    s->features = NULL;
    if (features && output_close(features, s->dir, "features", status == STOA_OK ? err : NULL) != STOA_OK) status = STOA_EIO;
    return status;
}

static stoa_status to_hdf5(const char *dir, const char *name, stoa_error *err)
{
    reco_table *table = NULL;
    char *from = output_path(dir, name), *to = output_path(dir, name);
    stoa_status status = from && to ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "%s/%s: no memory", dir, name);
    if (status == STOA_OK) status = reco_table_read(from, &table, err);
    if (status == STOA_OK) {
        strcpy(strrchr(to, '.'), ".h5"); /* shorter than .csv */
        status = reco_table_write(to, table, err);
    }
    reco_table_destroy(table);
    free(from);
    free(to);
    return status;
}

stoa_status scout_tables_to_hdf5(const char *dir, stoa_error *err)
{
    scout_sink none = {.dir = dir};
    table_file tables[TABLES];
    list_tables(&none, tables);
    for (int t = 0; t < TABLES; t++) STOA_TRY(to_hdf5(dir, tables[t].name, err));
    return STOA_OK;
}

void scout_sink_deinit(scout_sink *s)
{
    (void)scout_sink_close(s, NULL);
    reco_table_destroy(s->truth.table);
    free(s->id_scores.items);
    free(s->cluster_scores.items);
    free(s->matches);
    free(s->display.eta);
    free(s->display.cluster);
    free(s->display.cluster_place);
}

/* ---- Rows. ---- */

static void add_to_bins(uint64_t bins[SCOUT_SCORE_BINS], float score)
{
    const int bin = (int)(fminf(fmaxf(score, 0.0f), 1.0f) * SCOUT_SCORE_BINS);
    bins[bin < SCOUT_SCORE_BINS ? bin : SCOUT_SCORE_BINS - 1]++;
}

static void write_taus(scout_sink *s, const scout_result *r)
{
    const taus_soa_const *t = &r->taus;
    for (uint32_t i = 0; i < *t->taus; i++) {
        int bin = SCOUT_PT_BINS - 1;
        while (bin > 0 && t->pt[i] < scout_pt_edges[bin]) bin--;
        s->id[bin].count++;
        s->id[bin].id_sum += (double)t->id[i];
        add_to_bins(s->id_bins, t->id[i]);
        if (s->taus)
            fprintf(s->taus, "%u,%u,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g\n", r->batch->orbit, r->crossings.bx[t->crossing[i]], (double)t->pt[i],
                    (double)t->eta[i], (double)t->phi[i], (double)t->cone_pt[i], (double)t->id[i], (double)t->pt_factor[i]);
    }
}

static void write_clusters(scout_sink *s, const scout_result *r)
{
    const clusters_soa_const *c = &r->clusters;
    for (uint32_t i = 0; i < *c->clusters; i++) {
        add_to_bins(s->score_bins, c->score[i]);
        if (!s->clusters) continue;
        fprintf(s->clusters, "%u,%u,%u,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g\n", r->batch->orbit, r->crossings.bx[c->crossing[i]],
                c->members[i], (double)c->pt[i], (double)c->eta[i], (double)c->phi[i], (double)c->mass[i], (double)c->score[i],
                (double)c->tau_pt[i], (double)c->tau_z[i], (double)c->tau_charge[i]);
    }
}

static void write_crossings(scout_sink *s, const scout_result *r)
{
    const uint32_t orbit = r->batch->orbit;
    for (uint32_t c = 0; s->w3pi && c < r->batch->crossings; c++)
        if (r->w3pi.found[c])
            fprintf(s->w3pi, "%u,%u,%.9g,%.9g\n", orbit, r->crossings.bx[c], (double)r->w3pi.mass[c], (double)r->w3pi.pt_sum[c]);
    for (uint32_t k = 0; s->selected && k < *r->selection.selected; k++) {
        const uint32_t c = r->selection.index[k], mask = r->selection.mask[c];
        fprintf(s->selected, "%u,%u,%d,%d,%d\n", orbit, r->crossings.bx[c], (mask & SCOUT_BY_TAU) != 0, (mask & SCOUT_BY_CLUSTER) != 0,
                (mask & SCOUT_BY_W3PI) != 0);
    }
}

static void write_features(scout_sink *s, const scout_result *r)
{
    const clusters_soa_const *c = &r->clusters;
    for (uint32_t i = 0; s->features && i < *c->clusters; i++) {
        float row[SCOUT_FEATURE_NUMBERS] = {(float)r->batch->orbit,
                                            (float)r->crossings.bx[c->crossing[i]],
                                            c->pt[i],
                                            c->eta[i],
                                            c->phi[i],
                                            c->mass[i],
                                            (float)r->crossings.count[c->crossing[i]]};
        float *at = row + SCOUT_CLUSTER_NUMBERS;
        for (uint32_t m = 0; m < RECO_CLUSTER_MEMBERS; m++)
            for (uint32_t k = 0; k < RECO_CLUSTER_NUMBERS; k++)
                *at++ = c->features.data[(k * RECO_CLUSTER_MEMBERS + m) * c->features.stride + i];
        for (uint32_t m = 0; m < RECO_CLUSTER_MEMBERS; m++) *at++ = c->mask.data[m * c->mask.stride + i];
        fwrite(row, sizeof row, 1, s->features);
    }
}

/* Sums of the orbit; its line is written with its last part. */
static void write_orbit(scout_sink *s, const scout_result *r)
{
    const reco_scout_batch *b = r->batch;
    const bool ran = r->status == STOA_OK;
    scout_summary *o = &s->orbit;
    o->batches++;
    o->events += b->crossings;
    o->candidates += b->candidates;
    o->taus += ran ? *r->taus.taus : 0;
    o->clusters += ran ? *r->clusters.clusters : 0;
    o->selected += ran ? *r->selection.selected : 0;
    for (uint32_t c = 0; ran && c < b->crossings; c++) o->w3pi += r->w3pi.found[c];
    for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++) o->faults[f] += b->faults[f];
    if (!b->is_last_part) return;
    if (s->orbits) {
        fprintf(s->orbits, "%u,%llu,%llu,%llu,%llu,%llu,%llu,%llu", b->orbit, (unsigned long long)o->batches, (unsigned long long)o->events,
                (unsigned long long)o->candidates, (unsigned long long)o->taus, (unsigned long long)o->clusters,
                (unsigned long long)o->w3pi, (unsigned long long)o->selected);
        for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++) fprintf(s->orbits, ",%llu", (unsigned long long)o->faults[f]);
        fputc('\n', s->orbits);
    }
    *o = (scout_summary){0};
}

/* ---- Truth. ---- */

/* The list, moved where there is room for one more; NULL without memory, the list then stays where it was. */
static void *with_room(void *items, size_t *capacity, size_t count, size_t bytes)
{
    if (count < *capacity) return items;
    const size_t wanted = *capacity > 0 ? 2 * *capacity : 1024;
    void *grown = realloc(items, wanted * bytes);
    if (grown) *capacity = wanted;
    return grown;
}

static stoa_status add_score(scout_scores *scores, float score, bool is_tau, stoa_error *err)
{
    scout_scored *items = with_room(scores->items, &scores->capacity, scores->count, sizeof *items);
    if (!items) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %zu scores", scores->count);
    scores->items = items;
    scores->items[scores->count++] = (scout_scored){score, is_tau};
    scores->taus += is_tau;
    return STOA_OK;
}

/* The nearest true tau of the crossing within the radius; UINT32_MAX for none. */
static uint32_t nearest_tau(const scout_truth *t, uint32_t end, double eta, double phi)
{
    uint32_t best = UINT32_MAX;
    double best_r2 = MATCH_RADIUS * MATCH_RADIUS;
    for (uint32_t row = t->row; row < end; row++) {
        const double d_eta = reco_column_value(t->eta, row) - eta;
        const double d_phi = remainder(reco_column_value(t->phi, row) - phi, 6.283185307179586);
        const double r2 = d_eta * d_eta + d_phi * d_phi;
        if (reco_column_value(t->is_tau, row) > 0 && r2 < best_r2) best = row, best_r2 = r2;
    }
    return best;
}

static stoa_status match_cluster(scout_sink *s, const scout_result *r, uint32_t i, uint32_t end, stoa_error *err)
{
    const clusters_soa_const *c = &r->clusters;
    const scout_truth *t = &s->truth;
    const uint32_t tau = nearest_tau(t, end, (double)c->eta[i], (double)c->phi[i]);
    STOA_TRY(add_score(&s->cluster_scores, c->score[i], tau != UINT32_MAX, err));
    if (tau == UINT32_MAX) return STOA_OK;
    scout_match *matches = with_room(s->matches, &s->match_capacity, s->match_count, sizeof *matches);
    if (!matches) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %zu matches", s->match_count);
    s->matches = matches;
    s->matches[s->match_count++] =
        (scout_match){(float)reco_column_value(t->pt, tau), c->pt[i], c->tau_pt[i], c->tau_z[i] - (float)reco_column_value(t->z, tau),
                      reco_column_value(t->charge, tau) * (double)c->tau_charge[i] > 0};
    return STOA_OK;
}

static double place_of(const scout_truth *t, uint32_t row)
{ return reco_column_value(t->orbit, row) * 4096 + reco_column_value(t->bx, row); }

/* Rows of the truth come in the order of the input, so one walk finds all; a crossing without rows has none. */
static stoa_status match_crossing(scout_sink *s, const scout_result *r, uint32_t crossing, uint32_t *cluster, uint32_t *tau,
                                  stoa_error *err)
{
    scout_truth *t = &s->truth;
    const uint32_t rows = reco_table_rows(t->table);
    const double here = r->batch->orbit * 4096.0 + r->crossings.bx[crossing];
    while (t->row < rows && place_of(t, t->row) < here) t->row++;
    uint32_t end = t->row;
    while (end < rows && place_of(t, end) <= here) end++;
    for (; *cluster < *r->clusters.clusters && r->clusters.crossing[*cluster] == crossing; ++*cluster)
        STOA_TRY(match_cluster(s, r, *cluster, end, err));
    for (; *tau < *r->taus.taus && r->taus.crossing[*tau] == crossing; ++*tau) {
        const bool is_tau = nearest_tau(t, end, (double)r->taus.eta[*tau], (double)r->taus.phi[*tau]) != UINT32_MAX;
        STOA_TRY(add_score(&s->id_scores, r->taus.id[*tau], is_tau, err));
    }
    return STOA_OK;
}

/* ---- The crossing of the picture: the first that is selected, or the first with clusters. ---- */

static stoa_status keep_display(scout_sink *s, const scout_result *r, uint32_t crossing, stoa_error *err)
{
    scout_display *d = &s->display;
    const uint32_t first = r->crossings.offset[crossing], n = r->crossings.count[crossing];
    free(d->eta);
    free(d->cluster);
    free(d->cluster_place);
    *d = (scout_display){.orbit = r->batch->orbit, .bx = r->crossings.bx[crossing], .candidates = n};
    d->is_selected = r->selection.mask[crossing] != 0;
    d->eta = malloc(3 * n * sizeof *d->eta);
    d->cluster = malloc(n * sizeof *d->cluster);
    d->cluster_place = malloc(n * sizeof *d->cluster_place);
    if (!d->eta || !d->cluster || !d->cluster_place) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u candidates", n);
    d->phi = d->eta + n;
    d->pt = d->phi + n;
    memcpy(d->eta, r->puppi.eta + first, n * sizeof *d->eta);
    memcpy(d->phi, r->puppi.phi + first, n * sizeof *d->phi);
    memcpy(d->pt, r->puppi.pt + first, n * sizeof *d->pt);
    memcpy(d->cluster, r->cluster_of + first, n * sizeof *d->cluster);
    for (uint32_t k = 0; k < *r->clusters.clusters; k++) {
        if (r->clusters.crossing[k] != crossing) continue;
        const float place[4] = {r->clusters.eta[k], r->clusters.phi[k], r->clusters.pt[k], r->clusters.score[k]};
        memcpy(d->cluster_place[d->clusters++], place, sizeof place);
    }
    return STOA_OK;
}

static stoa_status choose_display(scout_sink *s, const scout_result *r, stoa_error *err)
{
    if (s->display.is_selected) return STOA_OK;
    if (*r->selection.selected > 0) return keep_display(s, r, r->selection.index[0], err);
    if (!s->display.eta && *r->clusters.clusters > 0) return keep_display(s, r, r->clusters.crossing[0], err);
    return STOA_OK;
}

stoa_status scout_sink_take(void *user, const scout_result *r, stoa_error *err)
{
    scout_sink *s = user;
    uint32_t cluster = 0, tau = 0;
    write_orbit(s, r);
    if (r->status != STOA_OK) {
        fprintf(stderr, "stoa: %s: orbit %u, part %u: skipped: %s\n", stoa_status_name(r->status), r->batch->orbit, r->batch->part,
                r->reason);
        return STOA_OK;
    }
    write_taus(s, r);
    write_clusters(s, r);
    write_crossings(s, r);
    write_features(s, r);
    for (uint32_t c = 0; s->truth.table && c < r->batch->crossings; c++) STOA_TRY(match_crossing(s, r, c, &cluster, &tau, err));
    return choose_display(s, r, err);
}
