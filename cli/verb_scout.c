/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa scout`: the L1-scouting tau job over a file of raw words, or over what comes in by TCP. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scale_out/parts.h"
#include "scout_files.h"

#define CLUSTER_MODEL "scout_taus.onnx"

typedef struct scout_command {
    const char *in, *out, *format_name, *tau_model, *tau_weights, *cluster_model, *features;
    scout_options job;
    reco_scout_options input;
    uint64_t port; /* of a live input */
    bool plain_euclid, hdf5, no_tables, no_pictures, json;
} scout_command;

typedef struct scout_state {
    reco_scout_reader *reader;
    int socket; /* -1: a file is read */
    stoa_model *tau_model, *cluster_model;
    reco_tau_network *tau_fixed;
    scout_job *job;
    scout_sink sink;
    scout_summary summary;
    bool drawn;
} scout_state;

/* ---- Run. ---- */

/* The cluster network is the project's own; NNPuppiTau's weights are not, so it comes by name only. */
static stoa_status load_models(scout_command *c, scout_state *state, stoa_error *err)
{
    char path[8192];
    const char *cluster = c->cluster_model ? c->cluster_model : output_find_model(CLUSTER_MODEL, path, sizeof path) ? path : NULL;
    if (cluster && strcmp(cluster, "none") != 0) STOA_TRY(stoa_model_load(cluster, NULL, &state->cluster_model, err));
    if (c->tau_model) STOA_TRY(stoa_model_load(c->tau_model, NULL, &state->tau_model, err));
    if (c->tau_weights) {
        state->tau_fixed = calloc(1, sizeof *state->tau_fixed);
        if (!state->tau_fixed) return STOA_FAIL(err, STOA_ENOMEM, "no memory for the network in fixed point");
        STOA_TRY(reco_tau_network_read(c->tau_weights, state->tau_fixed, err));
    }
    c->job.cluster_model = state->cluster_model;
    c->job.tau_model = state->tau_model;
    c->job.tau_fixed = state->tau_fixed;
    state->sink.has_ids = state->tau_model || state->tau_fixed;
    state->sink.has_scores = state->cluster_model != NULL;
    return STOA_OK;
}

/* Wait on a port of the loopback for one sender of DTH blocks. */
static stoa_status accept_sender(uint64_t port, int *connection, stoa_error *err)
{
    const int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = listener >= 0 && !setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) &&
              !bind(listener, (const struct sockaddr *)&address, bytes) && !listen(listener, 1) &&
              !getsockname(listener, (struct sockaddr *)&address, &bytes);
    if (ok) {
        cli_note("waiting on port %u for a sender of dth256 blocks", ntohs(address.sin_port));
        ok = (*connection = accept(listener, NULL, NULL)) >= 0;
    }
    const int failed = errno;
    if (listener >= 0) (void)close(listener);
    return ok ? STOA_OK : stoa_error_set(err, STOA_EIO, failed, STOA_HERE, "tcp port %u: %s", (unsigned)port, strerror(failed));
}

static bool is_live(const char *in) { return !strncmp(in, "tcp:", 4); }

static stoa_status open_input(scout_command *c, scout_state *state, stoa_error *err)
{
    if (!is_live(c->in)) return reco_scout_open(c->in, &c->input, &state->reader, err);
    STOA_TRY(accept_sender(c->port, &state->socket, err));
    return reco_scout_attach(state->socket, &c->input, &state->reader, err);
}

static stoa_status run(scout_command *c, scout_state *state, stoa_error *err)
{
    STOA_TRY(load_models(c, state, err));
    STOA_TRY(open_input(c, state, err));
    state->sink.with_tables = !c->no_tables;
    STOA_TRY(scout_sink_open(&state->sink, c->out, c->in, c->features, err));
    c->job.deliver = scout_sink_take;
    c->job.user = &state->sink;
    c->job.keep_features = c->features != NULL;
    if (c->plain_euclid) c->job.clue.period[1] = 0.0f;
    STOA_TRY(scout_job_create(&c->job, state->reader, &state->job, err));
    STOA_TRY(scout_job_run(state->job, &state->summary, err));
    STOA_TRY(scout_sink_close(&state->sink, err));
    if (c->hdf5 && !c->no_tables) STOA_TRY(scout_tables_to_hdf5(c->out, err));
    if (state->summary.batches > 0 && state->summary.failed == state->summary.batches)
        return STOA_FAIL(err, STOA_EFORMAT, "'%s': none of %llu batches could be run", c->in, (unsigned long long)state->summary.batches);
    return STOA_OK;
}

/* ---- Report. ---- */

static json_t *describe_times(const scout_summary *s)
{
    json_t *times = json_object();
    double sum = s->read_us_per_event;
    json_object_set_new(times, "read", json_real(s->read_us_per_event));
    for (uint32_t k = 0; k < SCOUT_STAGE_COUNT; k++) {
        sum += s->us_per_event[k];
        json_object_set_new(times, scout_stage_name(k), json_real(s->us_per_event[k]));
    }
    json_object_set_new(times, "total", json_real(sum));
    json_object_set_new(times, "wall", json_real(s->wall_us_per_event));
    return times;
}

static json_t *describe_faults(const scout_summary *s)
{
    json_t *faults = json_object();
    for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++)
        if (s->faults[f]) json_object_set_new(faults, reco_scout_fault_name(f), json_integer((json_int_t)s->faults[f]));
    return faults;
}

static json_t *describe_ids(const scout_sink *sink)
{
    json_t *bins = json_array();
    for (int b = 0; b < SCOUT_PT_BINS; b++)
        json_array_append_new(bins, json_pack("{s:f, s:I, s:o}", "pt_min_GeV", (double)scout_pt_edges[b], "taus",
                                              (json_int_t)sink->id[b].count, "mean_id",
                                              sink->id[b].count ? json_real(sink->id[b].id_sum / (double)sink->id[b].count) : json_null()));
    return bins;
}

/* Against the truth beside the file: areas under the curves, and the response of the pt. */
static json_t *describe_truth(scout_sink *sink)
{
    double sum = 0, squares = 0;
    uint64_t right = 0;
    for (size_t i = 0; i < sink->match_count; i++) {
        const double ratio = (double)(sink->matches[i].tau_pt / sink->matches[i].true_pt);
        sum += ratio;
        squares += ratio * ratio;
        right += sink->matches[i].right_charge;
    }
    const double n = (double)sink->match_count, mean = sum / n;
    const double cluster_auc = sink->has_scores ? scout_auc(&sink->cluster_scores) : NAN;
    const double id_auc = sink->has_ids ? scout_auc(&sink->id_scores) : NAN;
    json_t *truth = json_pack("{s:I}", "clusters_at_taus", (json_int_t)sink->match_count);
    if (isfinite(id_auc)) json_object_set_new(truth, "id_auc", json_real(id_auc));
    if (!isfinite(cluster_auc)) return truth;
    json_object_set_new(truth, "score_auc", json_real(cluster_auc));
    json_object_set_new(truth, "pt_response_mean", json_real(mean));
    json_object_set_new(truth, "pt_response_spread", json_real(sqrt(fmax(squares / n - mean * mean, 0))));
    json_object_set_new(truth, "right_charge", json_real((double)right / n));
    return truth;
}

static json_t *describe(const scout_command *c, scout_state *state)
{
    const scout_summary *s = &state->summary;
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "events", (json_int_t)s->events, "candidates",
                          (json_int_t)s->candidates, "clusters", (json_int_t)s->clusters, "outliers", (json_int_t)s->outliers, "taus",
                          (json_int_t)s->taus, "w3pi", (json_int_t)s->w3pi, "selected", (json_int_t)s->selected, "orbits",
                          (json_int_t)s->orbits, "cut_orbits", (json_int_t)s->cut_orbits, "failed_batches", (json_int_t)s->failed);
    json_object_set_new(o, "us_per_event", describe_times(s));
    json_object_set_new(o, "copies", cli_json_copies(s->copy_calls, s->copy_bytes));
    json_object_set_new(o, "allocations_in_run", json_integer((json_int_t)s->allocations));
    json_object_set_new(o, "assembled_bytes", json_integer((json_int_t)s->assembled_bytes));
    json_object_set_new(o, "faults", describe_faults(s));
    json_object_set_new(o, "format", json_string(reco_scout_format_name(reco_scout_format_of(state->reader))));
    json_object_set_new(o, "device", json_string(c->job.device));
    json_object_set_new(o, "threads", json_integer(c->job.threads));
    json_object_set_new(o, "streams", json_integer(c->job.streams));
    if (state->sink.has_ids) json_object_set_new(o, "tau_id_by_pt", describe_ids(&state->sink));
    if (state->sink.has_truth) json_object_set_new(o, "truth", describe_truth(&state->sink));
    return o;
}

static void print_count(const char *name, uint64_t count, uint64_t events)
{ printf("  %-15s %10llu      %.2f per event\n", name, (unsigned long long)count, (double)count / (double)(events ? events : 1)); }

static void print_faults(const scout_summary *s)
{
    for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++)
        if (s->faults[f]) printf("    %-13s %10llu\n", reco_scout_fault_name(f), (unsigned long long)s->faults[f]);
}

static void print_ids(const scout_sink *sink)
{
    for (int b = 0; sink->has_ids && b < SCOUT_PT_BINS; b++)
        if (sink->id[b].count)
            printf("    seed pt >= %-2g  %10llu      mean id %.3f\n", (double)scout_pt_edges[b], (unsigned long long)sink->id[b].count,
                   sink->id[b].id_sum / (double)sink->id[b].count);
}

static void print_table(const scout_command *c, scout_state *state)
{
    const scout_summary *s = &state->summary;
    printf("L1 scouting: %s (%s), on %s (threads %u, streams %u)\n", c->in, reco_scout_format_name(reco_scout_format_of(state->reader)),
           c->job.device, c->job.threads, c->job.streams);
    printf("  orbits          %10llu      %llu cut\n", (unsigned long long)s->orbits, (unsigned long long)s->cut_orbits);
    print_count("events", s->events, s->events);
    print_faults(s);
    print_count("candidates", s->candidates, s->events);
    print_count("taus", s->taus, s->events);
    print_ids(&state->sink);
    print_count("clusters", s->clusters, s->events);
    print_count("outliers", s->outliers, s->events);
    print_count("w -> 3 pi", s->w3pi, s->events);
    print_count("selected", s->selected, s->events);
    if (state->sink.has_truth) {
        json_t *truth = describe_truth(&state->sink);
        char *text = json_dumps(truth, JSON_COMPACT | JSON_REAL_PRECISION(4));
        printf("  truth           %s\n", text ? text : "");
        free(text);
        json_decref(truth);
    }
    printf("  time            %10.3f us   per event to read\n", s->read_us_per_event);
    for (uint32_t k = 0; k < SCOUT_STAGE_COUNT; k++)
        if (s->us_per_event[k] >= 0.0005) printf("    %-13s %10.3f us\n", scout_stage_name(k), s->us_per_event[k]);
    printf("    %-13s %10.3f us   all threads at work\n", "wall", s->wall_us_per_event);
    printf("  copies          %10llu      %llu bytes, by the sessions\n", (unsigned long long)s->copy_calls,
           (unsigned long long)s->copy_bytes);
    printf("  allocations     %10llu      while the batches ran\n", (unsigned long long)s->allocations);
    printf("written to %s: %ssummary.json%s\n", c->out, c->no_tables ? "" : "orbits, taus, clusters, w3pi, selected .csv; ",
           state->drawn ? ", pictures *.png" : "");
}

static stoa_status write_files(const scout_command *c, scout_state *state, stoa_error *err)
{
    json_t *summary = describe(c, state);
    const stoa_status status = output_summary(c->out, summary, err);
    json_decref(summary);
    STOA_TRY(status);
    if (c->no_pictures) return STOA_OK;
    stoa_error picture_err;
    if (scout_write_pictures(&state->sink, &state->drawn, &picture_err) != STOA_OK)
        (void)cli_fail(&picture_err); /* said, but the physics is done: no failure of the job */
    return STOA_OK;
}

static void destroy(scout_state *state)
{
    scout_job_destroy(state->job);
    reco_scout_destroy(state->reader);
    if (state->socket >= 0) (void)close(state->socket);
    stoa_model_destroy(state->tau_model);
    stoa_model_destroy(state->cluster_model);
    free(state->tau_fixed);
    scout_sink_deinit(&state->sink);
}

/* ---- Several files: each is a part, of which ranks take the next. ---- */

#define PART_SINK "sink.bin"

static stoa_status save_sink(const scout_sink *sink, const char *folder, stoa_error *err)
{
    char *path = output_path(folder, PART_SINK);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", folder);
    const stoa_status status = scout_sink_save(sink, path, err);
    free(path);
    return status;
}

static stoa_status make_part(const scout_command *c, parts *shared, uint64_t number, const char *file, stoa_error *err)
{
    scout_command one = *c;
    scout_state state = {.socket = -1};
    one.in = file;
    one.no_pictures = true;
    one.hdf5 = false;
    STOA_TRY(parts_begin(shared, number, &one.out, err));
    stoa_status status = run(&one, &state, err);
    if (status == STOA_OK) status = write_files(&one, &state, err);
    if (status == STOA_OK) status = save_sink(&state.sink, one.out, err);
    destroy(&state);
    return status == STOA_OK ? parts_finish(shared, number, err) : status;
}

static stoa_status make_parts(const scout_command *c, parts *shared, char **files, uint64_t count, stoa_error *err)
{
    uint64_t number;
    STOA_TRY(parts_take(shared, count, &number, err));
    while (number < count) {
        STOA_TRY(make_part(c, shared, number, files[number], err));
        STOA_TRY(parts_take(shared, count, &number, err));
    }
    return STOA_OK;
}

/* What is no sum of the summaries: means, areas under curves, pictures. */
static stoa_status merge_sinks(const scout_command *c, parts *shared, uint64_t count, json_t *sum, stoa_error *err)
{
    scout_sink all = {.dir = c->out};
    bool drawn;
    stoa_status status = STOA_OK;
    for (uint64_t k = 0; k < count && status == STOA_OK; k++) {
        char *path = output_path(parts_path(shared, k), PART_SINK);
        status = path ? scout_sink_add(&all, path, err) : STOA_FAIL(err, STOA_ENOMEM, "%s: no memory", c->out);
        free(path);
    }
    json_object_del(sum, "tau_id_by_pt");
    json_object_del(sum, "truth");
    if (status == STOA_OK && all.has_ids) json_object_set_new(sum, "tau_id_by_pt", describe_ids(&all));
    if (status == STOA_OK && all.has_truth) json_object_set_new(sum, "truth", describe_truth(&all));
    stoa_error picture_err;
    if (status == STOA_OK && !c->no_pictures && scout_write_pictures(&all, &drawn, &picture_err) != STOA_OK) (void)cli_fail(&picture_err);
    scout_sink_deinit(&all);
    return status;
}

/* Tables one behind the other, in the order of the files, and the sums of the summaries. */
static stoa_status merge_parts(const scout_command *c, parts *shared, uint64_t count, json_t **sum, stoa_error *err)
{
    for (int t = 0; !c->no_tables && t < SCOUT_TABLES; t++) STOA_TRY(parts_merge_table(shared, count, scout_table_names[t], err));
    if (c->hdf5 && !c->no_tables) STOA_TRY(scout_tables_to_hdf5(c->out, err));
    STOA_TRY(parts_sum_summaries(shared, count, "events", sum, err));
    json_object_set_new(*sum, "threads", json_integer(c->job.threads));
    json_object_set_new(*sum, "streams", json_integer(c->job.streams));
    json_object_set_new(*sum, "ranks", json_integer(shared->ranks->count));
    json_object_set_new(*sum, "files", json_integer((json_int_t)count));
    STOA_TRY(merge_sinks(c, shared, count, *sum, err));
    STOA_TRY(output_summary(c->out, *sum, err));
    parts_remove(shared);
    return STOA_OK;
}

static int run_files(const scout_command *c, ranks *group, int argc, char **argv, int first)
{
    parts shared;
    json_t *sum = NULL;
    stoa_error err;
    const uint64_t count = (uint64_t)(argc - first);
    char model[8192] = "";
    const char *const files[] = {model};
    const parts_command job = {argc, argv, files, sizeof files / sizeof *files};
    if (!c->cluster_model) (void)output_find_model(CLUSTER_MODEL, model, sizeof model);
    stoa_status status = parts_open(&shared, group, c->out, &job, 1, &err);
    if (status == STOA_OK) {
        if (shared.found)
            cli_note("%llu of %llu parts are there from an earlier run of this command", (unsigned long long)shared.found,
                     (unsigned long long)count);
        status = ranks_agree(group, make_parts(c, &shared, argv + first, count, &err), &err);
        if (status == STOA_OK && ranks_is_first(group)) status = merge_parts(c, &shared, count, &sum, &err);
    }
    parts_close(&shared);
    if (status == STOA_OK && sum && c->json) return cli_json(sum);
    if (status == STOA_OK && sum)
        printf("L1 scouting: %llu files on %u ranks: %lld events, %lld taus, %lld clusters, %lld selected\nwritten to %s\n",
               (unsigned long long)count, group->count, json_integer_value(json_object_get(sum, "events")),
               json_integer_value(json_object_get(sum, "taus")), json_integer_value(json_object_get(sum, "clusters")),
               json_integer_value(json_object_get(sum, "selected")), c->out);
    json_decref(sum);
    return status == STOA_OK ? CLI_DONE : cli_fail(&err);
}

static int run_file(const scout_command *c, char *file)
{
    scout_command one = *c;
    scout_state state = {.socket = -1};
    stoa_error err;
    int code;
    one.in = file;
    stoa_status status = run(&one, &state, &err);
    if (status == STOA_OK) status = write_files(&one, &state, &err);
    if (status != STOA_OK) code = cli_fail(&err);
    else if (one.json) code = cli_json(describe(&one, &state));
    else print_table(&one, &state), code = CLI_DONE;
    destroy(&state);
    return code;
}

int verb_scout(int argc, char **argv)
{
    scout_command c = {.job = SCOUT_OPTIONS_INIT, .input = RECO_SCOUT_OPTIONS_INIT};
    const cli_option options[] = {
        {"out", CLI_TEXT, &c.out, "DIR", "folder for tables, summary and pictures (needed)"},
        {"format", CLI_TEXT, &c.format_name, "F", "native64, dth256 or cmsraw (by the first bytes)"},
        {"tau-model", CLI_TEXT, &c.tau_model, "FILE", "NNPuppiTau as .onnx (tools/build_puppi_tau.py); without it taus have no id"},
        {"tau-weights", CLI_TEXT, &c.tau_weights, "FILE", "the same network in the firmware's fixed point, from its weights"},
        {"cluster-model", CLI_TEXT, &c.cluster_model, "FILE", "network of the clusters, or none (the installed " CLUSTER_MODEL ")"},
        {"tau-pt-min", CLI_REAL, &c.job.tau.cone_pt_min, "P", "least pt in a seed's cone, GeV (0)"},
        {"tau-id-min", CLI_REAL, &c.job.tau_id_min, "X", "least id of a tau that selects its crossing (0.5)"},
        {"score-min", CLI_REAL, &c.job.cluster_score_min, "X", "least score of a cluster that selects its crossing (0.5)"},
        {"dc", CLI_REAL_OF(0, RECO_CLUE_DISTANCE_MAX), &c.job.clue.density_radius, "R", "clusters: radius of the density (0.2)"},
        {"rhoc", CLI_LENGTH, &c.job.clue.density_min, "P", "clusters: least density of a seed, GeV (5)"},
        {"dm", CLI_REAL_OF(0, RECO_CLUE_DISTANCE_MAX), &c.job.clue.outlier_distance, "R", "clusters: how far outliers look (0.4)"},
        {"plain-euclid", CLI_FLAG, &c.plain_euclid, NULL, "clusters do not go across phi = pi, as upstream"},
        {"crossings", CLI_COUNT_OF(1, RECO_SCOUT_CROSSINGS_MAX), &c.input.crossings_max, "N", "crossings of a batch at most (1024)"},
        {"device", CLI_TEXT_OF(cli_device_needed), &c.job.device, "D", "host, cuda:N or hip:N (host)"},
        {"threads", CLI_COUNT_OF(1, UINT32_MAX), &c.job.threads, "T", "threads that drive the streams (1)"},
        {"streams", CLI_COUNT_OF(1, SCOUT_STREAMS_MAX), &c.job.streams, "S", "batches in flight; results do not depend on T and S (1)"},
        {"features", CLI_TEXT, &c.features, "FILE", "also write the clusters' features, 183 float32 each (tools/train_scout.py)"},
        {"hdf5", CLI_FLAG, &c.hdf5, NULL, "write the tables as .h5 too"},
        {"no-tables", CLI_FLAG, &c.no_tables, NULL, "leave the tables out"},
        {"no-pictures", CLI_FLAG, &c.no_pictures, NULL, "leave the pictures out"},
        {"json", CLI_FLAG, &c.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("scout", "FILE..|tcp:PORT --out DIR ", 1, INT_MAX,
                   "The L1-scouting tau job: raw words to PUPPI candidates, taus, W -> 3 pi and clusters, their networks, and the "
                   "crossings selected, in place on one queue a stream. tcp:PORT waits on the loopback for a sender of dth256 "
                   "blocks.\n"
                   "Several files are one input; under 'mpirun -n R' the ranks share them out, and the same command again goes on where "
                   "ranks died.",
                   "stoa scout words.raw --out results --threads 2 --streams 4", options);
    int first;
    stoa_error err;
    int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    if (!c.out) return cli_usage("scout", "no --out DIR given");
    if (c.format_name && reco_scout_format_find(c.format_name, &c.input.format, &err) != STOA_OK)
        return cli_usage("scout", "--format: %s", err.message);
    if (c.tau_model && c.tau_weights) return cli_usage("scout", "--tau-model and --tau-weights given, one of them possible");
    if (is_live(argv[first]) && !cli_parse_count(argv[first] + 4, 65535, &c.port))
        return cli_usage("scout", "'%s' given, tcp: with a port from 0 to 65535 needed", argv[first]);
    ranks group;
    if (ranks_open(&group, &err) != STOA_OK) return cli_fail(&err);
    const bool is_shared = argc - first > 1 || group.api;
    if (is_shared && (c.features || is_live(argv[first])))
        code = cli_usage("scout", "--features and tcp: take one input and one process: %d and %u given", argc - first, group.count);
    else code = is_shared ? run_files(&c, &group, argc, argv, first) : run_file(&c, argv[first]);
    ranks_close(&group);
    return code;
}
