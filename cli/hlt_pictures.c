/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of `stoa hlt`: data and a gnuplot script for each, drawn when gnuplot is there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hlt_files.h"
#include "output.h"

enum { BINS = 50, ROC_POINTS = 400 };
enum { TRUE_TRACK, DUPLICATE_TRACK, FAKE_TRACK, CLASSES };

/* ---- Scores. ---- */

typedef struct hlt_scored {
    float score;
    int class;
} scored;

static stoa_status make_room(hlt_pictures *list, size_t more, stoa_error *err)
{
    if (list->count + more <= list->capacity) return STOA_OK;
    const size_t capacity = 2 * list->capacity > list->count + more ? 2 * list->capacity : list->count + more;
    scored *scores = realloc(list->scores, capacity * sizeof *scores);
    if (!scores) return STOA_FAIL(err, STOA_ENOMEM, "pictures: no memory for %zu scores", capacity);
    list->scores = scores;
    list->capacity = capacity;
    return STOA_OK;
}

static stoa_status collect_scores(hlt_pictures *list, const hlt_event *event, const hlt_result *result, stoa_error *err)
{
    const track_truth_soa_const truth = event->truth;
    STOA_TRY(make_room(list, result->preselected, err));
    for (uint32_t i = 0; i < result->preselected; i++) {
        const uint32_t row = result->index[i];
        const int class = truth.is_true[row] ? TRUE_TRACK : truth.is_duplicate[row] ? DUPLICATE_TRACK : FAKE_TRACK;
        if (isnan(result->score[i])) continue;
        list->scores[list->count++] = (scored){result->score[i], class};
        list->of_class[class]++;
    }
    return STOA_OK;
}

static int compare_scores(const void *a, const void *b) /* descending */
{
    const float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

static stoa_status picture_scores(const hlt_pictures *list, stoa_error *err)
{
    const char *dir = list->dir;
    const float threshold = list->threshold;
    uint64_t bins[BINS][CLASSES] = {{0}};
    for (size_t i = 0; i < list->count; i++) {
        const int bin = (int)(fminf(fmaxf(list->scores[i].score, 0.0f), 1.0f) * BINS);
        bins[bin < BINS ? bin : BINS - 1][list->scores[i].class]++;
    }
    FILE *file = output_open(dir, "score.dat", err);
    if (!file) return STOA_EIO;
    fprintf(file, "# score true duplicate fake\n");
    for (int b = 0; b < BINS; b++)
        fprintf(file, "%g %llu %llu %llu\n", (b + 0.5) / BINS, (unsigned long long)bins[b][TRUE_TRACK],
                (unsigned long long)bins[b][DUPLICATE_TRACK], (unsigned long long)bins[b][FAKE_TRACK]);
    STOA_TRY(output_close(file, dir, "score.dat", err));
    return output_script(dir, "score", err,
                         "set title 'Selector score of %zu preselected tracks'\n"
                         "set xlabel 'score'\nset ylabel 'tracks in a bin of %g'\nset xrange [0:1]\nset logscale y\n"
                         "set yrange [0.5:*]\nset format y '10^{%%T}'\nset key top center horizontal outside\n"
                         "set arrow 1 from first %g, graph 0 to first %g, graph 1 nohead dt 2 lc rgb GREY lw 1.5\n"
                         "set label 1 'cut at %g' at first %g, graph 0.97 offset 0.6,0 tc rgb GREY\n"
                         "plot 'score.dat' u 1:2 w histeps lw 2.5 lc rgb TRUE t 'true (%zu)', \\\n"
                         "     '' u 1:3 w histeps lw 2.5 lc rgb DUP t 'duplicate (%zu)', \\\n"
                         "     '' u 1:4 w histeps lw 2.5 lc rgb FAKE t 'fake (%zu)'\n",
                         list->count, 1.0 / BINS, (double)threshold, (double)threshold, (double)threshold, (double)threshold,
                         list->of_class[TRUE_TRACK], list->of_class[DUPLICATE_TRACK], list->of_class[FAKE_TRACK]);
}

/* The curve over all thresholds, thinned; area by the trapezoid rule, with equal scores taken together. */
static stoa_status picture_roc(const hlt_pictures *list, stoa_error *err)
{
    const char *dir = list->dir;
    const float threshold = list->threshold;
    const double trues = (double)list->of_class[TRUE_TRACK], fakes = (double)list->of_class[FAKE_TRACK];
    double t = 0, f = 0, area = 0, last_t = 0, last_f = 0, cut_t = 0, cut_f = 0;
    const size_t step = list->count / ROC_POINTS + 1;
    size_t next_point = 0;
    FILE *file = output_open(dir, "roc.dat", err);
    if (!file) return STOA_EIO;
    fprintf(file, "# fakes_kept true_kept threshold\n0 0 inf\n");
    for (size_t i = 0; i < list->count; i++) {
        t += list->scores[i].class == TRUE_TRACK;
        f += list->scores[i].class == FAKE_TRACK;
        const bool last = i + 1 == list->count;
        if (list->scores[i].score >= threshold) cut_t = t, cut_f = f;
        if (!last && list->scores[i + 1].score == list->scores[i].score) continue;
        area += (f - last_f) * (t + last_t) / 2;
        last_t = t;
        last_f = f;
        if (last || i >= next_point) {
            fprintf(file, "%g %g %g\n", f / fakes, t / trues, (double)list->scores[i].score);
            next_point = i + step;
        }
    }
    STOA_TRY(output_close(file, dir, "roc.dat", err));
    return output_script(dir, "roc", err,
                         "set title 'True tracks kept against fakes kept: area %.4f'\n"
                         "set xlabel 'fakes kept / fakes'\nset ylabel 'true tracks kept / true tracks'\nset xrange [0:1]\n"
                         "set yrange [0:1.02]\nset key bottom right\n"
                         "set label 1 sprintf('score >= %g: %%.1f %%%% of the true tracks, %%.1f %%%% of the fakes', %.8g, "
                         "%.8g) "
                         "at graph 0.35, graph 0.45 tc rgb FAKE\n"
                         "set label 2 '' at %.8g, %.8g point pt 7 ps 1.8 lc rgb FAKE front\n"
                         "plot 'roc.dat' u 1:2 w lines lw 3 lc rgb TRUE t 'all thresholds', x w lines dt 3 lc rgb GREY t 'no "
                         "information'\n",
                         trues > 0 && fakes > 0 ? area / (trues * fakes) : 0.0, (double)threshold, 100 * cut_t / trues, 100 * cut_f / fakes,
                         cut_f / fakes, cut_t / trues);
}

/* ---- One event along the beam. ---- */

static const char *const event_names[] = {"event_tracks.dat", "event_vertices.dat"};

static stoa_status write_event_tracks(const char *dir, const hlt_event *event, const hlt_result *result, stoa_error *err)
{
    FILE *file = output_open(dir, event_names[0], err);
    if (!file) return STOA_EIO;
    const tracks_soa_const t = event->tracks;
    fprintf(file, "# z pt vertex\n");
    for (uint32_t i = 0; i < result->selected; i++)
        fprintf(file, "%g %g %d\n", (double)t.state.data[RECO_STATE_ZIP * t.state.stride + result->kept[i]], (double)t.pt[result->kept[i]],
                result->vertex_of[i]);
    return output_close(file, dir, event_names[0], err);
}

static stoa_status write_event_vertices(const char *dir, const hlt_result *result, stoa_error *err)
{
    FILE *file = output_open(dir, event_names[1], err);
    if (!file) return STOA_EIO;
    fprintf(file, "# z sqrt_pt2_sum hardest\n");
    for (uint32_t v = 0; v < result->vertices; v++)
        fprintf(file, "%g %g %d\n", (double)result->z[v], sqrt((double)result->pt2_sum[v]), v == result->by_pt2[result->vertices - 1u]);
    return output_close(file, dir, event_names[1], err);
}

static const char event_plot[] = "plot 'event_vertices.dat' u 1:2 w impulses lw 1.5 lc rgb '#b8ddd0' not, \\\n"
                                 "     'event_tracks.dat' u ($3 < 0 ? $1 : 1/0):2 w points pt 1 ps 0.7 lc rgb GREY t 'track, no vertex', "
                                 "\\\n"
                                 "     '' u ($3 >= 0 ? $1 : 1/0):2 w points pt 6 ps 0.7 lc rgb DUP t 'track in a vertex', \\\n"
                                 "     'event_vertices.dat' u 1:2 w points pt 11 ps 1.3 lc rgb GREEN t 'vertex', \\\n"
                                 "     '' u ($3 == 1 ? $1 : 1/0):2 w points pt 9 ps 2.4 lc rgb FAKE t 'hardest vertex'\n";

static stoa_status picture_event(const char *dir, const hlt_event *event, const hlt_result *result, stoa_error *err)
{
    STOA_TRY(write_event_tracks(dir, event, result, err));
    STOA_TRY(write_event_vertices(dir, result, err));
    const bool is_known = !isnan(event->vertex_z);
    const double zoom = (double)(is_known ? event->vertex_z : result->z[result->by_pt2[result->vertices - 1u]]);
    char known[256] = "";
    if (is_known)
        snprintf(known, sizeof known, "set arrow 1 from first %g, graph 0 to first %g, graph 1 nohead dt 2 lc rgb TRUE lw 2\n", zoom, zoom);
    return output_script(dir, "event", err,
                         "set terminal pngcairo size 1100,1000 font 'Sans,13' background '#ffffff'\nset output 'event.png'\n"
                         "%s"
                         "set ylabel 'pT of tracks, sqrt({/Symbol S} pT^2) of vertices [GeV]'\nset logscale y\nset yrange "
                         "[0.5:*]\n"
                         "set multiplot layout 2,1\nset key above\n"
                         "set title 'Event %lld along the beam: %u selected tracks, %u vertices'\n"
                         "%s"
                         "set title '1 cm on either side of the %s'\nset xlabel 'z [cm]'\nset xrange [%g:%g]\nunset key\n"
                         "replot\nunset multiplot\n",
                         known, (long long)event->number, result->selected, result->vertices, event_plot,
                         is_known ? "known vertex (dashed)" : "hardest vertex", zoom - 1, zoom + 1);
}

/* The first event that shows something. */
stoa_status hlt_pictures_add(hlt_pictures *pictures, const hlt_input *input, const hlt_job *job, stoa_error *err)
{
    for (uint32_t e = 0; e < input->count; e++) {
        const hlt_result *result = hlt_job_result(job, e);
        if (input->has_truth && pictures->selector != HLT_SELECTOR_NONE) STOA_TRY(collect_scores(pictures, &input->events[e], result, err));
        if (pictures->has_event || result->status != STOA_OK || result->vertices == 0) continue;
        STOA_TRY(picture_event(pictures->dir, &input->events[e], result, err));
        pictures->has_event = true;
    }
    return STOA_OK;
}

stoa_status hlt_pictures_draw(hlt_pictures *pictures, bool *drawn, stoa_error *err)
{
    const char *names[3];
    uint32_t count = 0;
    *drawn = false;
    if (pictures->of_class[TRUE_TRACK] && pictures->of_class[FAKE_TRACK]) {
        qsort(pictures->scores, pictures->count, sizeof *pictures->scores, compare_scores);
        STOA_TRY(picture_scores(pictures, err));
        STOA_TRY(picture_roc(pictures, err));
        if (pictures->selector != HLT_SELECTOR_CUTS) names[count++] = "score"; /* cuts know four values only */
        names[count++] = "roc";
    }
    if (pictures->has_event) names[count++] = "event";
    for (uint32_t i = 0; i < count; i++) STOA_TRY(output_draw(pictures->dir, names[i], err));
    *drawn = count > 0;
    return STOA_OK;
}

void hlt_pictures_deinit(hlt_pictures *pictures) { free(pictures->scores); }
