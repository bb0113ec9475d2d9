/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa scout`: the L1-scouting tau job. Not built yet: it says so, in the form that the contract asks for.
 */
#include "cli.h"

int verb_scout(int argc, char **argv)
{
    const char *out = NULL, *format = NULL, *device = NULL;
    bool json = false;
    const cli_option options[] = {
        {"out", CLI_TEXT, &out, "DIR", "folder for the results"},
        {"format", CLI_TEXT, &format, "F", "native64, dth256 or cmsraw"},
        {"device", CLI_TEXT, &device, "D", "host or cuda:N"},
        {"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax =
        CLI_SYNTAX("scout", "FILE ", 1, 1,
                   "The L1-scouting tau job. This part is not built yet in this version.", NULL, options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    stoa_error err;
    (void)STOA_FAIL(&err, STOA_ENOTSUP,
                    "scout '%s': the unpackers and the tau job are not built in version %s", argv[first],
                    stoa_version());
    return cli_fail(&err);
}
