/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa hlt`: the HLT pixel-track job over a file of events. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hlt_files.h"
#include "output.h"
#include "scale_out/parts.h"

typedef struct hlt_command {
    const char *in, *out, *selector, *vertexing, *model, *runtime, *working_point;
    const char *legacy; /* name of the file of legacy tracks, or NULL */
    hlt_options job;
    float errmax, eps; /* NaN: by the kind of input */
    float score_min;   /* NaN: by the selector */
    bool no_pictures, json;
    int argc; /* the words of the command, */
    char **argv; /* as they were given */
} hlt_command;

typedef struct hlt_state {
    ranks ranks;
    hlt_input input;
    char model_path[2 * PATH_MAX]; /* "": none */
    stoa_model *model;
    reco_forest *forest;
    hlt_job *job; /* NULL before the first events */
    hlt_summary summary;
    hlt_quality quality;
    hlt_pictures pictures;
    bool without_pictures, drawn; /* not wanted, or they failed */
} hlt_state;

enum { SELECTORS = 5 };
static const char *const selectors[SELECTORS] = {"dnn", "cuts", "forest", "none", "catrack"};
/* The model of each selector, where it has one, and the least score that CMS asks of it. */
static const char *const model_files[SELECTORS] = {"hlt_high_purity.onnx", NULL, "hlt_high_purity.forest", NULL, "ca_track_dnn.onnx"};
static const float scores_min[SELECTORS] = {0.4f, 0.5f, 0.4f, 0.5f, 0.03414618f};
static const char *const vertexings[] = {"density", "divisive"};
static const char *const working_points[] = {"loose", "tight", "highpurity"};

/* Network and forest were trained on errors like CMS's; on another detector's tracks cuts are what is left. */
static void choose_selector(hlt_command *command, reco_events_source source)
{
    if (command->selector) return;
    command->job.selector = source == RECO_EVENTS_PHYSLITE && !command->model ? HLT_SELECTOR_CUTS : HLT_SELECTOR_DNN;
    command->selector = selectors[command->job.selector];
    if (command->job.selector == HLT_SELECTOR_CUTS)
        cli_note("PHYSLITE tracks: selected by cuts, for the network knows CMS's errors; --selector chooses");
}

/* CATrackDNN sees where the hits are; what some events lack is theirs to fail by. */
static stoa_status check_hits(const hlt_command *command, const hlt_input *input, stoa_error *err)
{
    char beside[PATH_MAX];
    if (command->job.selector != HLT_SELECTOR_CATRACK || input->total == 0 || hlt_input_has_hits(input)) return STOA_OK;
    (void)reco_hits_path(command->in, beside, sizeof beside);
    return STOA_FAIL(err, STOA_ENAME,
                     "'%s': selector catrack needs the hits' columns xGlobal, yGlobal, zGlobal, dPhiDr, dPhiDrError, flags: %s%s",
                     command->in, input->mapped ? "its blobs have none" : "no hits of its events in ", input->mapped ? "" : beside);
}

static stoa_status load_model(hlt_command *command, hlt_state *state, stoa_error *err)
{
    char *path = state->model_path;
    const char *name = model_files[command->job.selector];
    if (!name) return STOA_OK;
    if (command->model) snprintf(path, sizeof state->model_path, "%s", command->model);
    else if (!output_find_model(name, path, sizeof state->model_path))
        return STOA_FAIL(err, STOA_EIO, "selector model '%s': not beside the program, not at '%s'; name one by --model%s", name, path,
                         command->job.selector == HLT_SELECTOR_CATRACK ? " (tools/ca_track_dnn.py makes it)" : "");
    if (command->job.selector == HLT_SELECTOR_FOREST) {
        STOA_TRY(reco_forest_load(path, &state->forest, err));
        command->job.forest = state->forest;
        return STOA_OK;
    }
    stoa_model_options options = STOA_MODEL_OPTIONS_INIT;
    options.runtime = command->runtime;
    STOA_TRY(stoa_model_load(path, &options, &state->model, err));
    command->job.model = state->model;
    return STOA_OK;
}

/* ---- Run. ---- */

/* The finder's defaults are scales of the CMS pixel detector; ATLAS's tracks have errors some five times
 * larger. */
static void choose_scales(hlt_command *command, reco_events_source source)
{
    const bool physlite = source == RECO_EVENTS_PHYSLITE;
    reco_vertex_options *vertex = &command->job.vertex;
    vertex->error_max = !isnan(command->errmax) ? command->errmax : physlite ? 0.05f : vertex->error_max;
    vertex->eps = !isnan(command->eps) ? command->eps : physlite ? 0.1f : vertex->eps;
    if (physlite && (isnan(command->errmax) || isnan(command->eps)))
        cli_note("PHYSLITE tracks: vertex finder with errmax %g cm, eps %g cm instead of CMS's 0.01, 0.07; "
                 "--errmax and --eps choose",
                 (double)vertex->error_max, (double)vertex->eps);
}

static void progress(void *user, uint32_t done, uint32_t total)
{
    const hlt_state *state = user;
    (void)total; /* of the events at hand */
    cli_progress("events", state->input.first + done, state->input.total);
}

static stoa_status set_up(hlt_command *command, hlt_state *state, stoa_error *err)
{
    STOA_TRY(hlt_input_open(&state->input, command->in, command->job.device, err));
    choose_selector(command, state->input.source);
    STOA_TRY(check_hits(command, &state->input, err));
    command->job.score_min = isnan(command->score_min) ? scores_min[command->job.selector] : command->score_min;
    command->job.keep_legacy = command->legacy != NULL;
    command->job.progress_user = state;
    STOA_TRY(load_model(command, state, err));
    choose_scales(command, state->input.source);
    state->pictures = (hlt_pictures){.dir = command->out, .selector = command->job.selector, .threshold = command->job.score_min};
    state->without_pictures = command->no_pictures;
    return output_make_dir(command->out, err);
}

/* Have these events at hand, and the job's memory for them. */
static stoa_status take_events(const hlt_command *command, hlt_state *state, uint32_t first, uint32_t count, stoa_error *err)
{
    if (state->job) hlt_job_drop(state->job);
    STOA_TRY(hlt_input_take(&state->input, first, count, err));
    return state->job ? hlt_job_take(state->job, state->input.events, count, err)
                      : hlt_job_create(&command->job, state->input.events, count, &state->job, err);
}

/* What is to be seen of the results at hand, before others take their place. */
static void review(hlt_state *state)
{
    stoa_error picture_err;
    for (uint32_t e = 0; e < state->input.count; e++) {
        const hlt_result *result = hlt_job_result(state->job, e);
        if (result->status != STOA_OK) fprintf(stderr, "stoa: %s: skipped: %s\n", stoa_status_name(result->status), result->reason);
    }
    if (state->without_pictures || hlt_pictures_add(&state->pictures, &state->input, state->job, &picture_err) == STOA_OK) return;
    (void)cli_fail(&picture_err); /* said, but the physics goes on: no failure of the job */
    state->without_pictures = true;
}

/* ---- Alone: a window of events after the other, so that memory does not grow with the file. ---- */

enum { WINDOW_EVENTS = 64, WINDOW_EVENTS_A_STREAM = 4 }; /* enough that no stream waits long for the others at a window's end */

/* Legacy tracks are one table of all events, whatever its format. */
static uint32_t window_of(const hlt_command *command, const hlt_state *state)
{
    const uint32_t wanted = WINDOW_EVENTS_A_STREAM * command->job.streams;
    if (command->legacy) return state->input.total;
    return wanted > WINDOW_EVENTS ? wanted : WINDOW_EVENTS;
}

static stoa_status run_alone(const hlt_command *command, hlt_state *state, stoa_error *err)
{
    const uint32_t total = state->input.total, window = window_of(command, state);
    uint32_t first = 0;
    do {
        const uint32_t count = total - first < window ? total - first : window;
        STOA_TRY(take_events(command, state, first, count, err));
        STOA_TRY(hlt_job_run(state->job, 0, count, err));
        STOA_TRY(hlt_write_tables(command->out, &state->input, state->job, first > 0, err));
        review(state);
        first += count;
    } while (first < total);
    return STOA_OK;
}

/* ---- Under mpirun: parts of the events, as ranks are free. ---- */

enum { PARTS_A_RANK = 8 }; /* small enough that ranks end together, large enough that a part's files do not count */
#define PART_RESULTS "results.bin"

static uint32_t part_events(const parts *shared, const hlt_state *state, uint64_t number)
{
    const uint64_t left = state->input.total - number * shared->size;
    return (uint32_t)(left < shared->size ? left : shared->size);
}

/* Results of a part to those of the events at hand from `at` on. */
static stoa_status load_part(parts *shared, hlt_state *state, uint64_t number, uint32_t at, stoa_error *err)
{
    char *path = output_path(parts_path(shared, number), PART_RESULTS);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "part %llu: no memory", (unsigned long long)number);
    const stoa_status status = hlt_job_load(state->job, at, part_events(shared, state, number), path, err);
    free(path);
    return status;
}

static stoa_status make_part(const hlt_command *command, parts *shared, hlt_state *state, uint64_t number, stoa_error *err)
{
    const uint32_t count = part_events(shared, state, number);
    const char *folder;
    STOA_TRY(take_events(command, state, (uint32_t)(number * shared->size), count, err));
    STOA_TRY(hlt_job_run(state->job, 0, count, err));
    STOA_TRY(parts_begin(shared, number, &folder, err));
    STOA_TRY(hlt_write_tables(folder, &state->input, state->job, false, err));
    char *path = output_path(folder, PART_RESULTS);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "part %llu: no memory", (unsigned long long)number);
    const stoa_status status = hlt_job_save(state->job, 0, count, path, err);
    free(path);
    return status == STOA_OK ? parts_finish(shared, number, err) : status;
}

static stoa_status make_parts(const hlt_command *command, parts *shared, hlt_state *state, uint64_t count, stoa_error *err)
{
    uint64_t number;
    STOA_TRY(parts_take(shared, count, &number, err));
    while (number < count) {
        STOA_TRY(make_part(command, shared, state, number, err));
        STOA_TRY(parts_take(shared, count, &number, err));
    }
    return STOA_OK;
}

/* Part by part, or for legacy tracks all at once. */
static stoa_status load_parts(const hlt_command *command, parts *shared, hlt_state *state, uint64_t count, stoa_error *err)
{
    if (command->legacy) STOA_TRY(take_events(command, state, 0, state->input.total, err));
    for (uint64_t k = 0; k < count; k++) {
        const uint32_t first = (uint32_t)(k * shared->size);
        if (!command->legacy) STOA_TRY(take_events(command, state, first, part_events(shared, state, k), err));
        STOA_TRY(load_part(shared, state, k, command->legacy ? first : 0, err));
        if (!command->legacy) review(state);
    }
    if (command->legacy) review(state);
    return STOA_OK;
}

/* The first rank takes the results of all, by a job whose sums are not of its own parts. */
static stoa_status merge_parts(const hlt_command *command, parts *shared, hlt_state *state, uint64_t count, stoa_error *err)
{
    if (!ranks_is_first(&state->ranks)) return STOA_OK;
    hlt_job_destroy(state->job);
    state->job = NULL;
    STOA_TRY(load_parts(command, shared, state, count, err));
    STOA_TRY(parts_merge_table(shared, count, "tracks.csv", err));
    STOA_TRY(parts_merge_table(shared, count, "vertices.csv", err));
    parts_remove(shared);
    return STOA_OK;
}

static stoa_status run_shared(const hlt_command *command, hlt_state *state, stoa_error *err)
{
    parts shared;
    char hits[PATH_MAX] = "", vertices[PATH_MAX] = "";
    const char *const files[] = {state->model_path, hits, vertices};
    const parts_command job = {command->argc, command->argv, files, sizeof files / sizeof *files};
    (void)reco_hits_path(command->in, hits, sizeof hits);
    (void)reco_vertices_beside(command->in, vertices, sizeof vertices);
    const uint64_t wanted = (uint64_t)state->ranks.count * PARTS_A_RANK, events = state->input.total;
    stoa_status status = parts_open(&shared, &state->ranks, command->out, &job, (events + wanted - 1) / wanted, err);
    if (status == STOA_OK) {
        const uint64_t count = (events + shared.size - 1) / shared.size;
        if (shared.found)
            cli_note("%llu of %llu parts are there from an earlier run of this command", (unsigned long long)shared.found,
                     (unsigned long long)count);
        status = ranks_agree(&state->ranks, make_parts(command, &shared, state, count, err), err);
        if (status == STOA_OK) status = merge_parts(command, &shared, state, count, err);
    }
    parts_close(&shared);
    return status;
}

/* Ranks but the first are done when their parts are: the first has the results of all. */
static stoa_status run(hlt_command *command, hlt_state *state, stoa_error *err)
{
    hlt_summary *summary = &state->summary;
    STOA_TRY(ranks_agree(&state->ranks, set_up(command, state, err), err));
    const double begin_us = cli_now_us();
    const bool is_shared = state->ranks.api && state->input.total > 0;
    if (is_shared) STOA_TRY(run_shared(command, state, err));
    if (!ranks_is_first(&state->ranks)) return STOA_OK;
    if (!is_shared) STOA_TRY(run_alone(command, state, err));
    hlt_job_sum(state->job, summary);
    if (state->ranks.api && summary->events > summary->failed)
        summary->wall_us_per_event = (cli_now_us() - begin_us) / (summary->events - summary->failed);
    hlt_job_quality(state->job, &state->quality);
    if (state->input.total && summary->failed == state->input.total)
        return STOA_FAIL(err, STOA_EFORMAT, "'%s': none of %u events could be run", command->in, state->input.total);
    return STOA_OK;
}

/* ---- Report. ---- */

static json_t *number_or_null(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *describe_times(const hlt_summary *summary)
{
    json_t *times = json_object();
    double sum = 0;
    for (uint32_t k = 0; k < HLT_STAGE_COUNT; k++) {
        sum += summary->us_per_event[k];
        json_object_set_new(times, hlt_stage_name(k), json_real(summary->us_per_event[k]));
    }
    json_object_set_new(times, "total", json_real(sum));
    json_object_set_new(times, "wall", json_real(summary->wall_us_per_event));
    return times;
}

static json_t *describe(const hlt_command *command, const hlt_state *state)
{
    const hlt_summary *s = &state->summary;
    const hlt_quality *q = &state->quality;
    json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I}", "events", (json_int_t)s->events, "failed_events",
                               (json_int_t)s->failed, "tracks", (json_int_t)s->tracks, "preselected", (json_int_t)s->preselected,
                               "selected", (json_int_t)s->selected, "vertices", (json_int_t)s->vertices, "us_per_event", describe_times(s),
                               "copies", cli_json_copies(s->copy_calls, s->copy_bytes), "allocations_in_run", (json_int_t)s->allocations);
    json_object_set_new(object, "selected_hits", json_integer((json_int_t)s->hits));
    json_object_set_new(object, "selector", json_string(command->selector));
    json_object_set_new(object, "vertexing", json_string(command->vertexing));
    json_object_set_new(object, "device", json_string(command->job.device));
    json_object_set_new(object, "threads", json_integer(command->job.threads));
    json_object_set_new(object, "streams", json_integer(command->job.streams));
    json_object_set_new(object, "ranks", json_integer(state->ranks.count));
    json_object_set_new(object, "efficiency", number_or_null(q->efficiency));
    json_object_set_new(object, "fake_rate", number_or_null(q->fake_rate));
    json_object_set_new(object, "duplicate_rate", number_or_null(q->duplicate_rate));
    json_object_set_new(object, "vertex_events", json_integer((json_int_t)q->vertex_events));
    json_object_set_new(object, "vertex_within_1mm", json_integer((json_int_t)q->vertex_found));
    return object;
}

static void print_quality(const hlt_state *state)
{
    const hlt_quality *q = &state->quality;
    const bool atlas = state->input.source == RECO_EVENTS_PHYSLITE;
    if (isfinite(q->efficiency))
        printf("  efficiency      %9.2f %%    of %llu true tracks\n", 100 * q->efficiency, (unsigned long long)q->true_tracks);
    if (isfinite(q->fake_rate))
        printf("  fake rate       %9.2f %%    of the selected; duplicates %.2f %%\n", 100 * q->fake_rate, 100 * q->duplicate_rate);
    if (q->vertex_events)
        printf("  vertex found    %9.2f %%    %llu of %llu: %s within 1 mm (events with 3 usable tracks or "
               "more)\n",
               100.0 * (double)q->vertex_found / (double)q->vertex_events, (unsigned long long)q->vertex_found,
               (unsigned long long)q->vertex_events, atlas ? "ATLAS's primary vertex" : "generated hard scatter");
}

static void print_table(const hlt_command *command, const hlt_state *state)
{
    const hlt_summary *s = &state->summary;
    const double ran = s->events > s->failed ? s->events - s->failed : 1;
    double total = 0;
    for (uint32_t k = 0; k < HLT_STAGE_COUNT; k++) total += s->us_per_event[k];
    printf("HLT pixel tracks: %s by selector %s, vertices by %s, on %s (ranks %u, threads %u, streams %u)\n", command->in,
           command->selector, command->vertexing, command->job.device, state->ranks.count, command->job.threads, command->job.streams);
    printf("  events          %9u", s->events);
    if (s->failed) printf("      %u failed and skipped", s->failed);
    printf("\n  tracks          %9llu      %.1f per event\n", (unsigned long long)s->tracks,
           (double)s->tracks / (s->events ? s->events : 1));
    printf("  preselected     %9llu      %.1f per event\n", (unsigned long long)s->preselected, (double)s->preselected / ran);
    printf("  selected        %9llu      %.1f per event\n", (unsigned long long)s->selected, (double)s->selected / ran);
    if (s->hits) printf("  their hits      %9llu      %.1f per event\n", (unsigned long long)s->hits, (double)s->hits / ran);
    print_quality(state);
    printf("  vertices        %9llu      %.1f per event\n", (unsigned long long)s->vertices, (double)s->vertices / ran);
    printf("  time            %9.1f us   per event in its stream; %.1f us wall per event\n", total, s->wall_us_per_event);
    for (uint32_t k = 0; k < HLT_STAGE_COUNT; k++)
        if (s->us_per_event[k] >= 0.05)
            printf("    %-13s %9.1f us   %4.1f %%\n", hlt_stage_name(k), s->us_per_event[k],
                   total > 0 ? 100 * s->us_per_event[k] / total : 0.0);
    printf("  copies          %9llu      %llu bytes, by the session\n", (unsigned long long)s->copy_calls,
           (unsigned long long)s->copy_bytes);
    printf("  allocations     %9llu      while the events ran\n", (unsigned long long)s->allocations);
    printf("written to %s: tracks.csv, vertices.csv, summary.json%s\n", command->out, state->drawn ? ", pictures *.png" : "");
}

static stoa_status write_files(const hlt_command *command, hlt_state *state, stoa_error *err)
{
    json_t *summary = describe(command, state);
    const stoa_status status = output_summary(command->out, summary, err);
    json_decref(summary);
    STOA_TRY(status);
    if (command->legacy)
        STOA_TRY(hlt_write_legacy(command->out, command->legacy, &state->input, state->job, command->job.vertices_first, err));
    stoa_error picture_err;
    if (!state->without_pictures && hlt_pictures_draw(&state->pictures, &state->drawn, &picture_err) != STOA_OK)
        (void)cli_fail(&picture_err); /* said, but the physics is done: no failure of the job */
    return STOA_OK;
}

int verb_hlt(int argc, char **argv)
{
    hlt_command c = {.vertexing = "density",
                     .working_point = "highpurity",
                     .job = HLT_OPTIONS_INIT,
                     .score_min = NAN,
                     .errmax = NAN,
                     .eps = NAN,
                     .argc = argc,
                     .argv = argv};
    c.job.progress = progress;
    const cli_option options[] = {
        {"out", CLI_TEXT, &c.out, "DIR", "folder for tables, summary and pictures (needed)"},
        {"selector", CLI_TEXT, &c.selector, "NAME", "dnn, cuts, forest, none or catrack (dnn; PHYSLITE cuts)"},
        {"model", CLI_TEXT, &c.model, "FILE", "model of dnn, catrack (.onnx, .pt2, .pt) or forest (.forest) (the installed one)"},
        {"runtime", CLI_TEXT_OF(cli_runtime_needed), &c.runtime, "NAME",
         "of dnn, catrack: auto, native, aoti, torchscript, onnxruntime, tensorrt (by the file)"},
        {"allow-copies", CLI_FLAG, &c.job.allow_copies, NULL, "let the session gather what the runtime cannot take in place"},
        {"score-min", CLI_REAL, &c.score_min, "X", "least score of a selected track (dnn, forest 0.4, catrack 0.0341)"},
        {"score-min-prompt", CLI_REAL, &c.job.score_min_prompt, "X", "with a knee: the same at |dxy| 0 (0)"},
        {"dxy-knee", CLI_LENGTH, &c.job.dxy_knee_cm, "D", "|dxy| where a ramp reaches --score-min, cm (0: no ramp)"},
        {"working-point", CLI_TEXT, &c.working_point, "NAME", "cuts: loose, tight or highpurity (highpurity)"},
        {"vertexing", CLI_TEXT, &c.vertexing, "NAME", "density, or divisive behind the conversion to legacy tracks (density)"},
        {"vertices-first", CLI_FLAG, &c.job.vertices_first, NULL, "today's order: vertices of all preselected tracks, then the selector"},
        {"legacy", CLI_TEXT, &c.legacy, "NAME", "divisive: write the legacy tracks to DIR/NAME (.csv, .npz, .h5)"},
        {"errmax", CLI_LENGTH, &c.errmax, "E", "largest z error of a track that can found a vertex, cm (0.01; PHYSLITE 0.05)"},
        {"eps", CLI_LENGTH, &c.eps, "E", "largest distance of neighbours, cm (0.07; PHYSLITE 0.1)"},
        {"min-t", CLI_COUNT, &c.job.vertex.neighbours_min, "N", "least neighbours of a vertex (2)"},
        {"chi2max", CLI_LENGTH, &c.job.vertex.chi2_max, "X", "largest dz^2 over the sum of squared errors (9)"},
        {"pt-min", CLI_REAL, &c.job.vertex_pt_min, "P", "least pt of a track in the vertex finder, GeV (0.5)"},
        {"device", CLI_TEXT_OF(cli_device_needed), &c.job.device, "D", "host, cuda:N or hip:N (host)"},
        {"threads", CLI_COUNT_OF(1, UINT32_MAX), &c.job.threads, "T", "threads that drive the streams (1)"},
        {"streams", CLI_COUNT_OF(1, HLT_STREAMS_MAX), &c.job.streams, "S", "events in flight; results do not depend on T and S (1)"},
        {"no-pictures", CLI_FLAG, &c.no_pictures, NULL, "leave the pictures out"},
        {"json", CLI_FLAG, &c.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("hlt", "FILE --out DIR ", 1, 1,
                   "The HLT pixel-track job: preselection, features, selector, compaction, conversion, "
                   "vertices, in place on one queue a stream.\n"
                   "FILE: events of 'stoa generate hlt' or ATLAS PHYSLITE tracks, known by their columns; "
                   "or .soa, CMSSW's blobs in place.\n"
                   "Under 'mpirun -n R' the ranks share the events out; the same command again goes on where ranks died.",
                   "stoa hlt events.h5 --out results --threads 4 --streams 8", options);
    int first, value;
    int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    if (!c.out) return cli_usage("hlt", "no --out DIR given");
    if (c.selector) {
        if ((code = cli_choose("hlt", "selector", c.selector, selectors, SELECTORS, &value)) != CLI_CONTINUE) return code;
        c.job.selector = (hlt_selector)value;
    }
    if ((code = cli_choose("hlt", "vertexing", c.vertexing, vertexings, 2, &value)) != CLI_CONTINUE) return code;
    c.job.vertexing = (hlt_vertexing)value;
    if ((code = cli_choose("hlt", "working-point", c.working_point, working_points, 3, &value)) != CLI_CONTINUE) return code;
    c.job.working_point = (uint32_t)value;
    if (c.legacy && c.job.vertexing != HLT_VERTEXING_DIVISIVE)
        return cli_usage("hlt", "--legacy: only --vertexing divisive converts tracks");
    c.in = argv[first];
    hlt_state state = {.model = NULL};
    stoa_error err;
    stoa_status status = ranks_open(&state.ranks, &err);
    if (status == STOA_OK) status = run(&c, &state, &err);
    if (status == STOA_OK && ranks_is_first(&state.ranks)) status = write_files(&c, &state, &err);
    if (status != STOA_OK) code = cli_fail(&err);
    else if (!ranks_is_first(&state.ranks)) code = CLI_DONE;
    else if (c.json) code = cli_json(describe(&c, &state));
    else print_table(&c, &state), code = CLI_DONE;
    ranks_close(&state.ranks);
    hlt_job_destroy(state.job);
    hlt_pictures_deinit(&state.pictures);
    hlt_input_deinit(&state.input);
    stoa_model_destroy(state.model);
    reco_forest_destroy(state.forest);
    return code;
}
