/* SPDX-License-Identifier: Apache-2.0 */
/* The table of benchmarks, the options of `stoa bench`, its JSON. */
#include "bench.h"
#include "bench_internal.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*function)(bench *run, const char *name);
    bool in_all; /* part of a run without names */
    const char *summary;
} benchmarks[] = {
    {"mlp", bench_mlp, true, "both models below, and the cost of a call and of a cold start"},
    {"mlp_30_64_64_1", bench_mlp, false, "30 inputs, ReLU 64, ReLU 64, sigmoid 1, n = 1 to a million rows"},
    {"mlp_17_32_32_32_1", bench_mlp, false, "17 inputs, ReLU 32, 32, 32, sigmoid 1"},
    {"vertices", bench_vertices, true, "density and divisive vertex finder, generated events of 30 to 200 vertices"},
    {"forest", bench_forest, true, "boosted forests, 31 features: 100 trees of depth 6, 300 of depth 8"},
    {"compaction", bench_compaction, true, "compaction and gather of a column against memcpy"},
    {"clue", bench_clue, true, "CLUE: points of growing number and density, bunch crossings one by one and batched"},
    {"aot", bench_aot, false, "ahead of time against just in time: load, first calls, steady state (bench/aot_nets.py makes the files)"},
    {"copy", bench_copy, true, "columns in place against gather, run and copy back, by every runtime"},
    {"unpack", bench_unpack, true, "scouting words to PUPPI columns against memcpy of as many bytes"},
    {"scout", bench_scout, true, "the L1-scouting job by stage, ns per crossing"},
    {"hlt", bench_hlt, true, "the HLT job by stage: pile-up 0 to 200, three chains, all selectors, us per event"},
    {"device", bench_device, false, "an empty kernel, a buffer, and the algorithms' bandwidth against a plain copy, on --device"},
    {"device_copy", bench_device_copy, false, "columns of --device in place against read out, format, move back and run"},
    {"device_models", bench_device_models, false,
     "models by every runtime of --device, its rates, and the host (bench/device_nets.py makes the files)"},
    {"device_models_simple", bench_device_models, false, "one of its networks alone: 3-32-64-256-64-32-1, ReLU"},
    {"device_models_selector", bench_device_models, false, "17-32-32-32-1, ReLU and sigmoid"},
    {"device_models_hlt_high_purity", bench_device_models, false, "the HLT job's network"},
    {"device_models_mlp_30_64_64_1", bench_device_models, false, "30-64-64-1, ReLU and sigmoid"},
    {"device_models_puppi_tau", bench_device_models, false, "80-25-25-15-15-10, clipped, two heads"},
    {"device_models_scout_taus", bench_device_models, false, "the scouting job's network, several row axes"},
    {"products", bench_products, true, "matrix products and convolution of the AOTInductor runtime"},
};
#define BENCHMARK_COUNT (sizeof benchmarks / sizeof *benchmarks)

static void help(void)
{
    puts("usage: stoa bench [NAME..] --out DIR [--device D] [--json] [--quick]\n"
         "Benchmarks beside their peers: CSV, plots and index.html in DIR; all of them without a "
         "NAME.\n\nbenchmarks:");
    for (size_t i = 0; i < BENCHMARK_COUNT; i++) printf("  %-30s %s\n", benchmarks[i].name, benchmarks[i].summary);
    puts("\noptions:\n"
         "  --out DIR   where the files go; made when missing\n"
         "  --device D  host or cuda:N, of 'device', 'device_copy' and 'device_models' (host)\n"
         "  --json      print {\"results\": [{name, contender, n, median_ns, min_ns, ratio}]}; ns per call\n"
         "  --quick     few rounds and rows: to try, not to compare\n"
         "  --help      this text\n\n"
         "ONNX Runtime is looked for in $STOA_ONNXRUNTIME (the library), then in the source tree's .venv.\n"
         "exit: 0 done, 1 a benchmark failed or a result is wrong, 2 wrong usage\n"
         "example: stoa bench mlp --out results");
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "stoa: STOA_EINVAL: bench: %s%s; 'stoa bench --help' tells more\n", what, value);
    return 2;
}

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < BENCHMARK_COUNT && strcmp(name, benchmarks[i].name) != 0) i++;
    return i;
}

static json_t *json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static int print_json(const bench *run)
{
    json_t *results = json_array(), *root = json_object();
    for (size_t i = 0; i < run->result_count; i++) {
        const bench_result *result = &run->results[i];
        json_t *line = json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "name", result->name, "contender", result->contender, "n",
                                 (json_int_t)result->n, "median_ns", json_number(result->median_ns), "min_ns", json_number(result->min_ns),
                                 "ratio", json_number(result->ratio));
        if (isfinite(result->gflops)) json_object_set_new(line, "gflops", json_real(result->gflops));
        json_array_append_new(results, line);
    }
    json_object_set_new(root, "results", results);
    const bool printed = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(7)) == 0 && puts("") >= 0;
    json_decref(root);
    return printed && fflush(stdout) == 0 ? 0 : 1;
}

/* One core for the whole run: the last that this thread may use, as the first serves more interrupts. taskset
 * still chooses. */
static bool pin(cpu_set_t *before)
{
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof *before, before) != 0) return false;
    size_t cpu = CPU_SETSIZE - 1;
    while (cpu > 0 && !CPU_ISSET(cpu, before)) cpu--;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

static void run_all(bench *run, int count, char **names)
{
    for (size_t i = 0; i < BENCHMARK_COUNT; i++) {
        bool wanted = count == 0 && benchmarks[i].in_all;
        for (int k = 0; k < count; k++) wanted = wanted || find(names[k]) == i;
        if (wanted) benchmarks[i].function(run, benchmarks[i].name);
    }
    bench_progress(run, "", 0);
    bench_page(run);
}

int stoa_bench_main(int argc, char **argv)
{
    enum { OUT = 1, DEVICE, JSON, QUICK, HELP };
    static const struct option options[] = {{"out", required_argument, NULL, OUT}, {"device", required_argument, NULL, DEVICE},
                                            {"json", no_argument, NULL, JSON},     {"quick", no_argument, NULL, QUICK},
                                            {"help", no_argument, NULL, HELP},     {NULL, 0, NULL, 0}};
    bench run = {.device = "host", .sample_ns = 3e6, .terminal = isatty(STDERR_FILENO) != 0};
    bool json = false;
    int option;
    cpu_set_t before;
    optind = 0; /* glibc: start anew, whatever the caller parsed */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == HELP) return help(), 0;
        if (option == OUT) run.dir = optarg;
        else if (option == DEVICE) run.device = optarg;
        else if (option == JSON) json = true;
        else if (option == QUICK) run.quick = true;
        else return usage("unknown option, or one without its value: ", argv[optind - 1]);
    }
    for (int i = optind; i < argc; i++)
        if (find(argv[i]) == BENCHMARK_COUNT) return usage("no benchmark of that name: ", argv[i]);
    if (!run.dir || !*run.dir) return usage("--out DIR is missing", "");
    if (mkdir(run.dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "stoa: STOA_EIO: bench: %s: %s\n", run.dir, strerror(errno));
        return 1;
    }
    if (run.quick) run.sample_ns = 3e5;
    const bool pinned = pin(&before);
    if (!pinned) bench_note("not pinned to one core: %s", strerror(errno));
    run_all(&run, argc - optind, argv + optind);
    if (pinned) (void)sched_setaffinity(0, sizeof before, &before);
    if (json && print_json(&run) != 0) run.failures++;
    free(run.results);
    return run.failures ? 1 : 0;
}
