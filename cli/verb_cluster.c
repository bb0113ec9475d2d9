/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa cluster`: CLUE. Not built yet: it says so, in the form that the contract asks for. */
#include "cli.h"

int verb_cluster(int argc, char **argv)
{
    const char *out = NULL, *metric = NULL, *period = NULL;
    float dc = 0, rhoc = 0, dm = 0;
    bool json = false;
    const cli_option options[] = {
        {"dc", CLI_REAL, &dc, "X", "density radius"},
        {"rhoc", CLI_REAL, &rhoc, "Y", "least density of a seed"},
        {"dm", CLI_REAL, &dm, "Z", "outlier distance"},
        {"metric", CLI_TEXT, &metric, "M", "euclid or box"},
        {"period", CLI_TEXT, &period, "DIM=P,..", "periodic coordinates"},
        {"out", CLI_TEXT, &out, "FILE.csv", "adds cluster_id and is_seed"},
        {"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("cluster", "FILE.csv ", 1, 1,
                   "CLUE clustering. This part is not built yet in this version.", NULL, options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    stoa_error err;
    (void)STOA_FAIL(&err, STOA_ENOTSUP, "cluster '%s': CLUE is not built in version %s", argv[first],
                    stoa_version());
    return cli_fail(&err);
}
