/* SPDX-License-Identifier: Apache-2.0 */
/* The `stoa` command: a table of verbs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

typedef struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verb;

static const verb verbs[] = {
    {"run", verb_run, "inference over a file's columns"},
    {"inspect", verb_inspect, "schema, size and plan of a model; what binds in place and what not"},
    {"layout", verb_layout, "geometry of a structure of arrays"},
    {"devices", verb_devices, "devices, back ends and runtimes, found and missing"},
    {"hlt", verb_hlt, "the HLT pixel-track job: selection and vertices"},
    {"scout", verb_scout, "the L1-scouting tau job (not built yet)"},
    {"cluster", verb_cluster, "CLUE over a file's points"},
    {"vertices", verb_vertices, "density vertex finder over a file's tracks"},
    {"generate", verb_generate, "simulated events with truth"},
    {"bench", verb_bench, "benchmarks beside their peers"},
};
enum { VERB_COUNT = sizeof verbs / sizeof *verbs };

static void print_help(FILE *out)
{
    fprintf(out, "usage: stoa VERB [ARGUMENTS] [OPTIONS]\n"
                 "Machine-learning models on structure-of-arrays data, where it lies.\n\nverbs:\n");
    for (int i = 0; i < VERB_COUNT; i++) fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(out, "\n'stoa VERB --help' tells more; 'stoa --version' tells the version and how it was built.\n"
                 "Units in every file: GeV, cm, rad. Exit: 0 done, 1 failed, 2 wrong usage.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return CLI_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("stoa %s (%s)\n", stoa_version(), stoa_build_info());
        return CLI_DONE;
    }
    for (int i = 0; i < VERB_COUNT; i++)
        if (!strcmp(argv[1], verbs[i].name)) return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "stoa: %s: no verb '%s'; 'stoa --help' lists the %d there are\n", stoa_status_name(STOA_EINVAL), argv[1], VERB_COUNT);
    return CLI_USAGE;
}
