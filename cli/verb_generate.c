/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa generate`: simulated events with truth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "reco/generate/hlt.h"
#include "reco/io/tracks_io.h"

typedef struct generate_options {
    const char *out;
    uint32_t events;
    uint64_t seed;
    float pileup;
    bool json;
} generate_options;

/* Tracks into the file asked for, vertices into the one beside it, where the reader looks for them. */
static stoa_status generate_hlt(const generate_options *options, char **vertices_path, uint32_t *rows,
                                stoa_error *err)
{
    reco_hlt_options hlt = RECO_HLT_OPTIONS_INIT;
    reco_table *tracks = NULL, *vertices = NULL;
    hlt.events = options->events;
    hlt.seed = options->seed;
    hlt.pileup = (double)options->pileup;
    const size_t capacity = reco_vertices_path(options->out, NULL, 0) + 1;
    *vertices_path = malloc(capacity);
    if (!*vertices_path) return STOA_FAIL(err, STOA_ENOMEM, "generate: no memory");
    reco_vertices_path(options->out, *vertices_path, capacity);
    stoa_status status = reco_generate_hlt(&hlt, &tracks, &vertices, err);
    if (status == STOA_OK) status = reco_table_write(options->out, tracks, err);
    if (status == STOA_OK) status = reco_table_write(*vertices_path, vertices, err);
    *rows = reco_table_rows(tracks);
    reco_table_destroy(tracks);
    reco_table_destroy(vertices);
    return status;
}

int verb_generate(int argc, char **argv)
{
    generate_options o = {.events = 10, .seed = 1, .pileup = 200.0f};
    const cli_option options[] = {
        {"events", CLI_COUNT, &o.events, "N", "events (10)"},
        {"seed", CLI_SEED, &o.seed, "S", "seed; each event depends on seed and number only (1)"},
        {"pileup", CLI_REAL, &o.pileup, "P", "mean number of pile-up vertices (200)"},
        {"out", CLI_TEXT, &o.out, "FILE",
         "tracks: .csv, .npz, .h5; the vertices go to FILE with .vertices (needed)"},
        {"json", CLI_FLAG, &o.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("generate", "hlt --out FILE ", 1, 1,
                   "Simulated Phase-2 pixel tracks with truth ('scout' is not built yet).",
                   "stoa generate hlt --events 50 --seed 2026 --pileup 200 --out events.h5", options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    if (!o.out) return cli_usage("generate", "no --out FILE given");
    stoa_error err;
    if (!strcmp(argv[first], "scout")) {
        (void)STOA_FAIL(&err, STOA_ENOTSUP,
                        "generate 'scout': the scouting generator is not built in version %s",
                        stoa_version());
        return cli_fail(&err);
    }
    if (strcmp(argv[first], "hlt"))
        return cli_usage("generate", "'%s' given, hlt or scout needed", argv[first]);
    char *vertices_path = NULL;
    uint32_t rows = 0;
    int exit_code = CLI_DONE;
    if (generate_hlt(&o, &vertices_path, &rows, &err) != STOA_OK)
        exit_code = cli_fail(&err);
    else if (o.json)
        exit_code =
            cli_json(json_pack("{s:I, s:I, s:s, s:s}", "events", (json_int_t)o.events, "rows",
                               (json_int_t)rows, "tracks_file", o.out, "vertices_file", vertices_path));
    else
        printf("%u events, %u tracks: %s; their vertices: %s\n", o.events, rows, o.out, vertices_path);
    free(vertices_path);
    return exit_code;
}
