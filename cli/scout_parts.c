/* SPDX-License-Identifier: Apache-2.0 */
/* What the summary and the pictures of `stoa scout` are made of, in a file, so that one process can put those of several together. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scout_files.h"

typedef struct sink_header {
    char magic[8];
    uint8_t has_ids, has_scores, has_truth, padding[5];
    scout_id_bin id[SCOUT_PT_BINS];
    uint64_t id_bins[SCOUT_SCORE_BINS], score_bins[SCOUT_SCORE_BINS];
    uint64_t id_scores, id_taus, cluster_scores, cluster_taus, matches;
    uint32_t orbit, bx, candidates, clusters, is_selected, padding_too; /* of the display; candidates 0: none */
} sink_header;
static const char magic[8] = "SCTSINK1";

static stoa_status fail_file(const char *path, stoa_error *err)
{ return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, errno ? strerror(errno) : "ends too early"); }

stoa_status scout_sink_save(const scout_sink *s, const char *path, stoa_error *err)
{
    const scout_display *d = &s->display;
    sink_header h = {.has_ids = s->has_ids,
                     .has_scores = s->has_scores,
                     .has_truth = s->has_truth,
                     .id_scores = s->id_scores.count,
                     .id_taus = s->id_scores.taus,
                     .cluster_scores = s->cluster_scores.count,
                     .cluster_taus = s->cluster_scores.taus,
                     .matches = s->match_count,
                     .orbit = d->orbit,
                     .bx = d->bx,
                     .candidates = d->eta ? d->candidates : 0,
                     .clusters = d->clusters,
                     .is_selected = d->is_selected};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.id, s->id, sizeof h.id);
    memcpy(h.id_bins, s->id_bins, sizeof h.id_bins);
    memcpy(h.score_bins, s->score_bins, sizeof h.score_bins);
    errno = 0;
    FILE *file = fopen(path, "wb");
    if (!file) return fail_file(path, err);
    fwrite(&h, sizeof h, 1, file);
    fwrite(s->id_scores.items, sizeof *s->id_scores.items, s->id_scores.count, file);
    fwrite(s->cluster_scores.items, sizeof *s->cluster_scores.items, s->cluster_scores.count, file);
    fwrite(s->matches, sizeof *s->matches, s->match_count, file);
    if (h.candidates) {
        fwrite(d->eta, sizeof *d->eta, 3 * (size_t)d->candidates, file);
        fwrite(d->cluster, sizeof *d->cluster, d->candidates, file);
        fwrite(d->cluster_place, sizeof *d->cluster_place, d->clusters, file);
    }
    const int bad = ferror(file);
    return fclose(file) || bad ? fail_file(path, err) : STOA_OK;
}

/* `count` more items of `bytes` behind the `have` ones of `*items`. */
static bool append(void **items, size_t have, uint64_t count, size_t bytes, FILE *file)
{
    if (count == 0) return true;
    if (count > SIZE_MAX / bytes - have) return false;
    char *more = realloc(*items, (have + count) * bytes);
    if (!more) return false;
    *items = more;
    return fread(more + have * bytes, bytes, count, file) == count;
}

static bool append_scores(scout_scores *scores, uint64_t count, uint64_t taus, FILE *file)
{
    void *items = scores->items;
    const bool good = append(&items, scores->count, count, sizeof *scores->items, file);
    scores->items = items;
    if (!good) return false;
    scores->capacity = scores->count += count;
    scores->taus += taus;
    return true;
}

static bool append_matches(scout_sink *s, uint64_t count, FILE *file)
{
    void *items = s->matches;
    const bool good = append(&items, s->match_count, count, sizeof *s->matches, file);
    s->matches = items;
    if (!good) return false;
    s->match_capacity = s->match_count += count;
    return true;
}

/* As in one process: the first crossing that is selected, or the first with clusters. */
static bool take_display(scout_sink *s, const sink_header *h, FILE *file)
{
    scout_display *d = &s->display;
    const size_t n = h->candidates;
    if (n == 0 || d->is_selected || (d->eta && !h->is_selected)) return true;
    free(d->eta);
    free(d->cluster);
    free(d->cluster_place);
    *d = (scout_display){.orbit = h->orbit, .bx = h->bx, .candidates = h->candidates, .is_selected = h->is_selected != 0};
    d->eta = malloc(3 * n * sizeof *d->eta);
    d->cluster = malloc(n * sizeof *d->cluster);
    d->cluster_place = malloc(n * sizeof *d->cluster_place);
    if (!d->eta || !d->cluster || !d->cluster_place || h->clusters > h->candidates) return false;
    d->phi = d->eta + n;
    d->pt = d->phi + n;
    d->clusters = h->clusters;
    return fread(d->eta, sizeof *d->eta, 3 * n, file) == 3 * n && fread(d->cluster, sizeof *d->cluster, n, file) == n &&
           fread(d->cluster_place, sizeof *d->cluster_place, d->clusters, file) == d->clusters;
}

static bool add_file(scout_sink *s, FILE *file)
{
    sink_header h;
    if (fread(&h, sizeof h, 1, file) != 1 || memcmp(h.magic, magic, sizeof magic) != 0) return false;
    s->has_ids |= h.has_ids;
    s->has_scores |= h.has_scores;
    s->has_truth |= h.has_truth;
    for (int b = 0; b < SCOUT_PT_BINS; b++) {
        s->id[b].count += h.id[b].count;
        s->id[b].id_sum += h.id[b].id_sum;
    }
    for (int b = 0; b < SCOUT_SCORE_BINS; b++) {
        s->id_bins[b] += h.id_bins[b];
        s->score_bins[b] += h.score_bins[b];
    }
    return append_scores(&s->id_scores, h.id_scores, h.id_taus, file) &&
           append_scores(&s->cluster_scores, h.cluster_scores, h.cluster_taus, file) && append_matches(s, h.matches, file) &&
           take_display(s, &h, file);
}

stoa_status scout_sink_add(scout_sink *s, const char *path, stoa_error *err)
{
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return fail_file(path, err);
    const bool good = add_file(s, file);
    fclose(file);
    return good ? STOA_OK : fail_file(path, err);
}
