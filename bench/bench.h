/* SPDX-License-Identifier: Apache-2.0 */
/** Benchmarks beside their peers, in one run; the body of `stoa bench`.
 *
 *      char *argv[] = {"bench", "mlp", "--out", "results", NULL};
 *      int exit_code = stoa_bench_main(4, argv);
 */
#ifndef STOA_BENCH_H
#define STOA_BENCH_H

/** Run the benchmarks named in argv[1..], all when none is; CSV, plots and one HTML page go to --out DIR.
 *
 *  owns     borrows argv, may reorder it
 *  threads  one at a time: pins the calling thread to one core and restores it
 *  errors   1 a benchmark failed or its results are wrong, 2 wrong usage; messages on stderr
 *  since    0.1 */
int stoa_bench_main(int argc, char **argv);

#endif
