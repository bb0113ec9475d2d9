/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa bench`: hands over to bench/, which parses the rest itself. */
#include "cli.h"

#include "bench.h"

int verb_bench(int argc, char **argv)
{
    return stoa_bench_main(argc, argv);
}
