/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa generate`: simulated events with truth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "reco/generate/hlt.h"
#include "reco/generate/scout.h"
#include "reco/io/hits_io.h"
#include "reco/io/tracks_io.h"

typedef struct generate_options {
    const char *out, *format_name;
    reco_scout_format format; /* of scout */
    uint32_t events;
    uint64_t seed;
    float pileup;
    bool hits; /* of hlt: their positions too */
    bool json;
} generate_options;

/* What was made: rows of the main file, and the file beside it. */
typedef struct generated {
    uint64_t rows;
    char *beside;
    const char *row_name, *main_key, *beside_key; /* of the report */
} generated;

/* "a/sim.raw" -> "a/sim.truth.csv". */
static char *truth_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    const int stem = (int)(dot ? (size_t)(dot - path) : strlen(path));
    char *text = NULL;
    return asprintf(&text, "%.*s.truth.csv", stem, path) < 0 ? NULL : text;
}

static stoa_status generate_scout(const generate_options *options, generated *made, stoa_error *err)
{
    reco_scout_sim_options scout = RECO_SCOUT_SIM_OPTIONS_INIT;
    reco_table *truth = NULL;
    scout.events = options->events;
    scout.seed = options->seed;
    scout.pileup = (double)options->pileup;
    scout.format = options->format;
    *made = (generated){0, truth_path(options->out), "candidates", "words_file", "truth_file"};
    if (!made->beside) return STOA_FAIL(err, STOA_ENOMEM, "generate: no memory");
    stoa_status status = reco_generate_scout(&scout, options->out, &truth, &made->rows, err);
    if (status == STOA_OK) status = reco_table_write(made->beside, truth, err);
    reco_table_destroy(truth);
    return status;
}

static stoa_status write_hits(const char *out, const reco_table *hits, stoa_error *err)
{
    const size_t capacity = reco_hits_path(out, NULL, 0) + 1;
    char *path = malloc(capacity);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "generate: no memory");
    reco_hits_path(out, path, capacity);
    const stoa_status status = reco_table_write(path, hits, err);
    free(path);
    return status;
}

/* Tracks into the file asked for, vertices into the one beside it, where the reader looks for them. */
static stoa_status generate_hlt(const generate_options *options, generated *made, stoa_error *err)
{
    reco_hlt_options hlt = RECO_HLT_OPTIONS_INIT;
    reco_table *tracks = NULL, *vertices = NULL, *hits = NULL;
    hlt.events = options->events;
    hlt.seed = options->seed;
    hlt.pileup = (double)options->pileup;
    const size_t capacity = reco_vertices_path(options->out, NULL, 0) + 1;
    *made = (generated){0, malloc(capacity), "tracks", "tracks_file", "vertices_file"};
    if (!made->beside) return STOA_FAIL(err, STOA_ENOMEM, "generate: no memory");
    reco_vertices_path(options->out, made->beside, capacity);
    stoa_status status = reco_generate_hlt(&hlt, &tracks, &vertices, options->hits ? &hits : NULL, err);
    if (status == STOA_OK) status = reco_table_write(options->out, tracks, err);
    if (status == STOA_OK) status = reco_table_write(made->beside, vertices, err);
    if (status == STOA_OK && hits) status = write_hits(options->out, hits, err);
    made->rows = reco_table_rows(tracks);
    reco_table_destroy(tracks);
    reco_table_destroy(vertices);
    reco_table_destroy(hits);
    return status;
}

static const struct sample {
    const char *name;
    stoa_status (*make)(const generate_options *options, generated *made, stoa_error *err);
    uint32_t events_max;
    double pileup_max;
} samples[] = {{"hlt", generate_hlt, RECO_HLT_EVENTS_MAX, RECO_HLT_PILEUP_MAX},
               {"scout", generate_scout, RECO_SCOUT_SIM_EVENTS_MAX, RECO_SCOUT_SIM_PILEUP_MAX}};
enum { SAMPLE_COUNT = sizeof samples / sizeof *samples };

static const struct sample *find_sample(const char *name)
{
    for (int i = 0; i < SAMPLE_COUNT; i++)
        if (!strcmp(name, samples[i].name)) return &samples[i];
    return NULL;
}

static int report(const generate_options *o, const generated *made)
{
    if (o->json)
        return cli_json(json_pack("{s:I, s:I, s:s, s:s}", "events", (json_int_t)o->events, "rows", (json_int_t)made->rows, made->main_key,
                                  o->out, made->beside_key, made->beside));
    printf("%u events, %llu %s: %s; beside them: %s\n", o->events, (unsigned long long)made->rows, made->row_name, o->out, made->beside);
    return CLI_DONE;
}

int verb_generate(int argc, char **argv)
{
    generate_options o = {.events = 10, .seed = 1, .pileup = 200.0f, .format_name = "native64"};
    const cli_option options[] = {
        {"events", CLI_COUNT_OF(1, UINT32_MAX), &o.events, "N", "events (10)"},
        {"seed", CLI_SEED, &o.seed, "S", "seed; each event depends on seed and number only (1)"},
        {"pileup", CLI_LENGTH, &o.pileup, "P", "mean number of pile-up vertices (200)"},
        {"out", CLI_TEXT, &o.out, "FILE",
         "hlt: tracks, .csv, .npz, .h5, and their vertices in FILE with .vertices; scout: words, and the truth in FILE "
         "with .truth.csv (needed)"},
        {"hits", CLI_FLAG, &o.hits, NULL, "hlt: positions of the tracks' hits too, in FILE with .hits; what --selector catrack needs"},
        {"format", CLI_TEXT, &o.format_name, "F", "scout: native64, dth256 or cmsraw (native64)"},
        {"json", CLI_FLAG, &o.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax = CLI_SYNTAX("generate", "hlt|scout --out FILE ", 1, 1,
                                         "Simulated events with truth: Phase-2 pixel tracks (hlt), or L1-scouting crossings of taus, jets "
                                         "and pile-up (scout).",
                                         "stoa generate hlt --events 50 --seed 2026 --pileup 200 --out events.h5", options);
    int first;
    int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    if (!o.out) return cli_usage("generate", "no --out FILE given");
    const struct sample *sample = find_sample(argv[first]);
    if (!sample) return cli_usage("generate", "'%s' given, hlt or scout needed", argv[first]);
    if (o.events > sample->events_max || (double)o.pileup > sample->pileup_max)
        return cli_usage("generate", "%u events at pile-up %g given, at most %u at up to %g possible", o.events, (double)o.pileup,
                         sample->events_max, sample->pileup_max);
    stoa_error err;
    generated made = {0};
    if (reco_scout_format_find(o.format_name, &o.format, &err) != STOA_OK) return cli_usage("generate", "--format: %s", err.message);
    code = sample->make(&o, &made, &err) == STOA_OK ? report(&o, &made) : cli_fail(&err);
    free(made.beside);
    return code;
}
