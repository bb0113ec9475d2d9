/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa bench`: hands over to bench/, which parses the rest itself. */
#include "cli.h"

#ifdef STOA_HAVE_BENCH
#include "bench.h"

int verb_bench(int argc, char **argv) { return stoa_bench_main(argc, argv); }
#else
int verb_bench(int argc, char **argv)
{
    const char *out = NULL;
    bool json = false;
    const cli_option options[] = {{"out", CLI_TEXT, &out, "DIR", "folder for the results"},
                                  {"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"}};
    const cli_syntax syntax =
        CLI_SYNTAX("bench", "[NAME..] ", 0, 64, "Benchmarks beside their peers. This part is not in this build.", NULL, options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    stoa_error err;
    (void)STOA_FAIL(&err, STOA_ENOTSUP, "bench: the benchmarks are not in this build of version %s", stoa_version());
    return cli_fail(&err);
}
#endif
