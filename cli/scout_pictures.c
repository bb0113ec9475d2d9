/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of `stoa scout`: data and a gnuplot script for each, drawn when gnuplot is there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scout_files.h"

enum { BINS = 50, ROC_POINTS = 400 };

/* ---- ROC curves. ---- */

static int compare_scores(const void *a, const void *b) /* descending */
{
    const float x = ((const scout_scored *)a)->score, y = ((const scout_scored *)b)->score;
    return (x < y) - (x > y);
}

/* Walk down the scores, equal ones together; `file` NULL: only the area. */
static double walk_roc(const scout_scores *scores, FILE *file)
{
    const double taus = (double)scores->taus, others = (double)scores->count - taus;
    const size_t step = scores->count / ROC_POINTS + 1;
    double t = 0, f = 0, area = 0, last_t = 0, last_f = 0;
    size_t next_point = 0;
    for (size_t i = 0; i < scores->count; i++) {
        t += scores->items[i].is_tau;
        f += !scores->items[i].is_tau;
        const bool last = i + 1 == scores->count;
        if (!last && scores->items[i + 1].score >= scores->items[i].score) continue;
        area += (f - last_f) * (t + last_t) / 2;
        last_t = t;
        last_f = f;
        if (file && (last || i >= next_point)) {
            fprintf(file, "%g %g %g\n", f / others, t / taus, (double)scores->items[i].score);
            next_point = i + step;
        }
    }
    return area / (taus * others);
}

double scout_auc(scout_scores *scores)
{
    if (scores->taus == 0 || scores->taus == scores->count) return NAN;
    qsort(scores->items, scores->count, sizeof *scores->items, compare_scores);
    return walk_roc(scores, NULL);
}

static stoa_status write_roc(const char *dir, const char *name, const scout_scores *scores, stoa_error *err)
{
    FILE *file = output_open(dir, name, err);
    if (!file) return STOA_EIO;
    fprintf(file, "# others_kept taus_kept threshold\n0 0 inf\n");
    walk_roc(scores, file);
    return output_close(file, dir, name, err);
}

static stoa_status picture_roc(scout_sink *s, stoa_error *err)
{
    const double ids = s->has_ids ? scout_auc(&s->id_scores) : NAN, clusters = s->has_scores ? scout_auc(&s->cluster_scores) : NAN;
    char curves[512] = "x w lines dt 3 lc rgb GREY t 'no information'";
    if (isfinite(ids)) {
        STOA_TRY(write_roc(s->dir, "roc_ids.dat", &s->id_scores, err));
        snprintf(curves + strlen(curves), sizeof curves - strlen(curves),
                 ", 'roc_ids.dat' u 1:2 w lines lw 3 lc rgb DUP t 'NNPuppiTau on seeds: area %.3f'", ids);
    }
    if (isfinite(clusters)) {
        STOA_TRY(write_roc(s->dir, "roc_clusters.dat", &s->cluster_scores, err));
        snprintf(curves + strlen(curves), sizeof curves - strlen(curves),
                 ", 'roc_clusters.dat' u 1:2 w lines lw 3 lc rgb TRUE t 'cluster network: area %.3f'", clusters);
    }
    return output_script(s->dir, "roc", err,
                         "set title 'Candidates at a true tau kept against others kept'\n"
                         "set xlabel 'others kept / others'\nset ylabel 'taus kept / taus'\nset xrange [0:1]\nset yrange [0:1.02]\n"
                         "set key bottom right\nplot %s\n",
                         curves);
}

/* ---- Scores. ---- */

static stoa_status picture_scores(const scout_sink *s, stoa_error *err)
{
    FILE *file = output_open(s->dir, "score.dat", err);
    if (!file) return STOA_EIO;
    fprintf(file, "# score seeds clusters\n");
    for (int b = 0; b < SCOUT_SCORE_BINS; b++)
        fprintf(file, "%g %llu %llu\n", (b + 0.5) / SCOUT_SCORE_BINS, (unsigned long long)s->id_bins[b],
                (unsigned long long)s->score_bins[b]);
    STOA_TRY(output_close(file, s->dir, "score.dat", err));
    return output_script(s->dir, "score", err,
                         "set title 'Scores of all candidates'\nset xlabel 'score'\nset ylabel 'in a bin of %g'\nset xrange [0:1]\n"
                         "set logscale y\nset yrange [0.5:*]\nset key top center horizontal outside\nplot %s%s%s\n",
                         1.0 / SCOUT_SCORE_BINS, s->has_ids ? "'score.dat' u 1:2 w histeps lw 2.5 lc rgb DUP t 'NNPuppiTau on seeds'" : "",
                         s->has_ids && s->has_scores ? ", " : "",
                         s->has_scores ? "'score.dat' u 1:3 w histeps lw 2.5 lc rgb TRUE t 'network on clusters'" : "");
}

/* ---- Response of the pt. ---- */

static stoa_status picture_response(const scout_sink *s, stoa_error *err)
{
    uint64_t bins[BINS][2] = {{0}};
    double sums[2] = {0, 0}, squares[2] = {0, 0};
    for (size_t i = 0; i < s->match_count; i++) {
        const double ratios[2] = {(double)(s->matches[i].cluster_pt / s->matches[i].true_pt),
                                  (double)(s->matches[i].tau_pt / s->matches[i].true_pt)};
        for (int k = 0; k < 2; k++) {
            const int bin = (int)(fmin(fmax(ratios[k], 0), 2.999) / 3 * BINS);
            bins[bin][k]++;
            sums[k] += ratios[k];
            squares[k] += ratios[k] * ratios[k];
        }
    }
    FILE *file = output_open(s->dir, "response.dat", err);
    if (!file) return STOA_EIO;
    for (int b = 0; b < BINS; b++)
        fprintf(file, "%g %llu %llu\n", 3 * (b + 0.5) / BINS, (unsigned long long)bins[b][0], (unsigned long long)bins[b][1]);
    STOA_TRY(output_close(file, s->dir, "response.dat", err));
    const double n = (double)s->match_count, mean[2] = {sums[0] / n, sums[1] / n};
    return output_script(s->dir, "response", err,
                         "set title 'pT over true visible pT of %zu clusters at a true tau'\nset xlabel 'pT / true pT'\n"
                         "set ylabel 'clusters in a bin of %g'\nset xrange [0:3]\nset key top right\n"
                         "plot 'response.dat' u 1:2 w histeps lw 2.5 lc rgb GREY t 'cluster: mean %.3f, spread %.3f', \\\n"
                         "     '' u 1:3 w histeps lw 2.5 lc rgb TRUE t 'network: mean %.3f, spread %.3f'\n",
                         s->match_count, 3.0 / BINS, mean[0], sqrt(fmax(squares[0] / n - mean[0] * mean[0], 0)), mean[1],
                         sqrt(fmax(squares[1] / n - mean[1] * mean[1], 0)));
}

/* ---- One crossing. ---- */

static stoa_status picture_event(const scout_sink *s, stoa_error *err)
{
    const scout_display *d = &s->display;
    FILE *file = output_open(s->dir, "event.dat", err);
    if (!file) return STOA_EIO;
    fprintf(file, "# eta phi pt cluster (-1: none)\n");
    for (uint32_t i = 0; i < d->candidates; i++)
        fprintf(file, "%g %g %g %d\n", (double)d->eta[i], (double)d->phi[i], (double)d->pt[i], d->cluster[i]);
    fprintf(file, "\n\n# eta phi pt score\n");
    for (uint32_t k = 0; k < d->clusters; k++)
        fprintf(file, "%g %g %g %g\n", (double)d->cluster_place[k][0], (double)d->cluster_place[k][1], (double)d->cluster_place[k][2],
                (double)d->cluster_place[k][3]);
    STOA_TRY(output_close(file, s->dir, "event.dat", err));
    char labels[200] = "";
    if (s->has_scores)
        snprintf(labels, sizeof labels,
                 ", '' index 1 u 1:($2+0.28):(sprintf('%%.1f GeV, %%.2f', $3, $4)) w labels font ',10' tc rgb GREY not");
    return output_script(s->dir, "event", err,
                         "set title 'Orbit %u, crossing %u: %u candidates (area: pT), %u clusters'\nset xlabel 'eta'\nset ylabel 'phi'\n"
                         "set xrange [-3:3]\nset yrange [-3.3:3.6]\nset key outside top horizontal center\nset style fill transparent "
                         "solid 0.5 noborder\n"
                         "plot 'event.dat' index 0 u ($4 < 0 ? $1 : 1/0):2:(0.02*sqrt($3)) w circles lc rgb GREY t 'in no cluster', \\\n"
                         "     '' index 0 u ($4 >= 0 ? $1 : 1/0):2:(0.02*sqrt($3)) w circles lc rgb TRUE t 'in a cluster', \\\n"
                         "     '' index 1 u 1:2:(0.2) w circles fs empty border lw 1.5 lc rgb FAKE t 'cluster'%s\n",
                         d->orbit, d->bx, d->candidates, d->clusters, labels);
}

stoa_status scout_write_pictures(scout_sink *s, bool *drawn, stoa_error *err)
{
    const char *pictures[4];
    uint32_t count = 0;
    *drawn = false;
    if (s->display.eta) {
        STOA_TRY(picture_event(s, err));
        pictures[count++] = "event";
    }
    if (s->has_ids || s->has_scores) {
        STOA_TRY(picture_scores(s, err));
        pictures[count++] = "score";
    }
    if (s->has_truth && (s->has_ids || s->has_scores) && s->match_count > 0) {
        STOA_TRY(picture_roc(s, err));
        pictures[count++] = "roc";
    }
    if (s->has_scores && s->match_count > 0) {
        STOA_TRY(picture_response(s, err));
        pictures[count++] = "response";
    }
    for (uint32_t i = 0; i < count; i++) STOA_TRY(output_draw(s->dir, pictures[i], err));
    *drawn = count > 0;
    return STOA_OK;
}
