/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_internal.h"
#include "eager.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define COMMAND \
    "PYTHONPATH='%s/python:%s/tests/python' PYTHONDONTWRITEBYTECODE=1 '%s/.venv/bin/python' -W ignore '%s/bench/aot_nets.py' --eager %u " \
    "%s <&%d"

bench_eager *bench_eager_start(const char *network, uint32_t rows)
{
    char command[8192];
    int ends[2];
    const char *root = STOA_BENCH_SOURCE_DIR;
    bench_eager *eager = calloc(1, sizeof *eager);
    if (!eager || pipe(ends)) {
        free(eager);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN); /* a process that is gone is an answer that does not come */
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    snprintf(command, sizeof command, COMMAND, root, root, root, root, rows, network, ends[0]);
    eager->answers = popen(command, "re");
    close(ends[0]);
    eager->ask = fdopen(ends[1], "we");
    if (eager->answers && eager->ask && !isnan(bench_eager_call(eager))) return eager;
    bench_eager_stop(eager);
    return NULL;
}

void bench_eager_stop(bench_eager *eager)
{
    if (!eager) return;
    if (eager->ask) fclose(eager->ask);
    if (eager->answers) pclose(eager->answers);
    free(eager);
}

double bench_eager_call(bench_eager *eager)
{
    double *time = &eager->times_ns[eager->calls++ % EAGER_TIMES];
    if (fputs("call\n", eager->ask) < 0 || fflush(eager->ask) || fscanf(eager->answers, "%lf", time) != 1) *time = NAN;
    return *time;
}
