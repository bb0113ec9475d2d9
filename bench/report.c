/* SPDX-License-Identifier: Apache-2.0 */
/* Results, files, messages, plots and the page. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "stoa/version.h"

extern char **environ;

void bench_fail(bench *run, const char *format, ...)
{
    va_list args;
    run->failures++;
    fputs("stoa: STOA_ERUNTIME: bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void bench_note(const char *format, ...)
{
    va_list args;
    fputs("stoa: STOA_OK: bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void bench_progress(const bench *run, const char *name, uint64_t n)
{
    if (run->terminal) fprintf(stderr, "\r\033[K%s  n = %llu", name, (unsigned long long)n);
    if (run->terminal && !*name) fputs("\r\033[K", stderr);
}

void bench_add(bench *run, const bench_result *result)
{
    if (run->result_count == run->result_capacity) {
        const size_t capacity = 2 * run->result_capacity + 64;
        bench_result *grown = realloc(run->results, capacity * sizeof *grown);
        if (!grown) {
            bench_fail(run, "no memory for %zu results", capacity);
            return;
        }
        run->results = grown;
        run->result_capacity = capacity;
    }
    run->results[run->result_count++] = *result;
}

void bench_add_tasks(bench *run, const char *name, uint64_t n, const bench_task *tasks, uint32_t count, double flop)
{
    double native_ns = NAN;
    for (uint32_t t = 0; t < count; t++)
        if (!strcmp(tasks[t].contender, "native")) native_ns = tasks[t].median_ns;
    for (uint32_t t = 0; t < count; t++) {
        bench_result result = {.n = n, .median_ns = tasks[t].median_ns, .min_ns = tasks[t].min_ns};
        snprintf(result.name, sizeof result.name, "%s", name);
        snprintf(result.contender, sizeof result.contender, "%s", tasks[t].contender);
        result.ratio = tasks[t].median_ns / native_ns;
        result.gflops = flop > 0 ? flop / tasks[t].median_ns : NAN;
        result.peak_fraction = NAN;
        bench_add(run, &result);
    }
}

const char *bench_packages(void)
{
    const char *named = getenv("STOA_PACKAGES");
    return named ? named : STOA_BENCH_SOURCE_DIR "/build/packages";
}

void bench_list(bench *run, const char *file)
{
    for (uint32_t i = 0; i < run->file_count; i++)
        if (!strcmp(run->files[i], file)) return;
    if (run->file_count < BENCH_FILES_MAX) snprintf(run->files[run->file_count++], sizeof run->files[0], "%s", file);
}

static FILE *open_in_dir(bench *run, const char *file, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", run->dir, file);
    FILE *stream = fopen(path, mode);
    if (!stream) bench_fail(run, "%s: %s", path, strerror(errno));
    return stream;
}

FILE *bench_create(bench *run, const char *file)
{
    FILE *stream = open_in_dir(run, file, "we");
    const char *dot = strrchr(file, '.');
    if (stream && dot && !strcmp(dot, ".csv")) bench_list(run, file);
    return stream;
}

void bench_number(FILE *file, double value, const char *end)
{
    if (isfinite(value)) fprintf(file, "%.6g", value);
    fputs(end, file);
}

void bench_set_peak(bench *run, uint32_t count)
{
    bench_result *results = run->results + run->result_count - count, *peak = &results[count - 1];
    peak->gflops = fma_peak_flop() / peak->median_ns;
    peak->ratio = NAN;
    for (uint32_t i = 0; i < count; i++) results[i].peak_fraction = results[i].gflops / peak->gflops;
}

void bench_write_csv(bench *run, const char *prefix, const char *file)
{
    FILE *out = bench_create(run, file);
    if (!out) return;
    fputs("name,contender,n,median_ns,min_ns,ns_per_row,ratio,gflops,peak_fraction\n", out);
    for (size_t i = 0; i < run->result_count; i++) {
        const bench_result *r = &run->results[i];
        if (strncmp(r->name, prefix, strlen(prefix)) != 0) continue;
        fprintf(out, "%s,%s,%llu,", r->name, r->contender, (unsigned long long)r->n);
        bench_number(out, r->median_ns, ",");
        bench_number(out, r->min_ns, ",");
        bench_number(out, strcmp(r->contender, "fma_peak") ? r->median_ns / (double)r->n : NAN, ",");
        bench_number(out, r->ratio, ",");
        bench_number(out, r->gflops, ",");
        bench_number(out, r->peak_fraction, "\n");
    }
    if (fclose(out) != 0) bench_fail(run, "%s: %s", file, strerror(errno));
}

/* gnuplot runs in DIR, so the scripts name plain files and nothing has to be quoted for it. */
bool bench_gnuplot(bench *run, const char *script)
{
    char *const argv[] = {(char[]){"gnuplot"}, (char[]){"--default-settings"}, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0, failed = posix_spawn_file_actions_init(&actions);
    if (!failed) failed = posix_spawn_file_actions_addchdir_np(&actions, run->dir);
    if (!failed) failed = posix_spawn_file_actions_addopen(&actions, 0, script, 0 /* O_RDONLY */, 0);
    if (!failed) failed = posix_spawnp(&child, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        bench_note("no plots: gnuplot: %s", strerror(failed));
        return false;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (status != 0) bench_note("no plots: gnuplot ended with status %d on %s", status, script);
    return status == 0;
}

/* ---- The page: the CSV files as tables, the plots as images. ---- */

static void html_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<') fputs("&lt;", out);
        else if (*text == '&') fputs("&amp;", out);
        else fputc(*text, out);
    }
}

static void html_row(FILE *out, char *line, const char *cell)
{
    char *rest = line, *field;
    fputs("<tr>", out);
    while ((field = strsep(&rest, ",\n")) != NULL) {
        if (!rest && !*field) break; /* what follows the newline */
        fprintf(out, "<%s>", cell);
        html_text(out, field);
        fprintf(out, "</%s>", cell);
    }
    fputs("</tr>\n", out);
}

static void html_table(bench *run, FILE *out, const char *file)
{
    char line[1024];
    FILE *in = open_in_dir(run, file, "re");
    if (!in) return;
    fprintf(out, "<h2><a href=\"%s\">%s</a></h2>\n<table>\n", file, file);
    for (const char *cell = "th"; fgets(line, sizeof line, in); cell = "td") html_row(out, line, cell);
    fputs("</table>\n", out);
    fclose(in);
}

/* The value of the first "key : value" line of /proc/cpuinfo. */
static void cpu_field(const char *key, char *text, size_t capacity)
{
    char line[8192];
    FILE *in = fopen("/proc/cpuinfo", "re");
    snprintf(text, capacity, "unknown");
    if (!in) return;
    while (fgets(line, sizeof line, in)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !colon) continue;
        colon[1 + strcspn(colon + 1, "\n")] = 0;
        snprintf(text, capacity, "%.*s", (int)capacity - 1, colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    fclose(in);
}

/* What a figure is worth without: processor, compiler, library, date. */
static void machine_line(char *text, size_t capacity)
{
    static const char *const shown[] = {"sse4_2",  "avx",      "avx2",        "fma",      "f16c",  "bmi2",
                                        "avx512f", "avx512bw", "avx512_bf16", "amx_tile", "asimd", "sve"};
    char model[256], flags[8192], date[32] = "", found[128] = "", *rest = flags, *flag;
    const time_t now = time(NULL);
    struct tm utc;
    cpu_field("model name", model, sizeof model);
    cpu_field("flags", flags, sizeof flags);
    if (gmtime_r(&now, &utc)) strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    while ((flag = strsep(&rest, " ")) != NULL)
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            if (!strcmp(flag, shown[i])) strcat(strcat(found, " "), flag); /* each flag is listed once */
    snprintf(text, capacity, "%s; flags%s; compiler " __VERSION__ "; stoa %s (%s); %s", model, found, stoa_version(), stoa_build_info(),
             date);
}

static void write_machine(bench *run, const char *line)
{
    FILE *out = bench_create(run, "machine.txt");
    if (!out) return;
    fprintf(out, "%s%s\n", line, run->quick ? "; --quick, not for comparison" : "");
    if (fclose(out) != 0) bench_fail(run, "machine.txt: %s", strerror(errno));
}

void bench_page(bench *run)
{
    char machine[2048];
    machine_line(machine, sizeof machine);
    write_machine(run, machine);
    FILE *out = bench_create(run, "index.html");
    if (!out) return;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Stoa "
          "benchmarks</title>\n<style>body{font:15px "
          "sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.15em "
          ".8em;text-align:right;border-bottom:1px solid "
          "#ddd}td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}img{max-width:100%}</style>\n<h1>Stoa "
          "benchmarks</h1>\n",
          out);
    fputs("<p>", out);
    html_text(out, machine);
    fputs("</p>\n<p>One core, all contenders of a table in one run, one sample of each in turn. median and min "
          "over rounds, per call; "
          "ratio = contender / native; peak_fraction = gflops / that of a register-only FMA loop in the same "
          "rounds.</p>\n",
          out);
    if (run->quick) fputs("<p><strong>--quick: few rounds and rows. Not for comparison.</strong></p>\n", out);
    for (uint32_t i = 0; i < run->file_count; i++)
        if (strstr(run->files[i], ".png")) fprintf(out, "<p><img src=\"%s\" alt=\"%s\"></p>\n", run->files[i], run->files[i]);
    for (uint32_t i = 0; i < run->file_count; i++)
        if (strstr(run->files[i], ".csv")) html_table(run, out, run->files[i]);
    fputs("</html>\n", out);
    if (fclose(out) != 0) bench_fail(run, "index.html: %s", strerror(errno));
}
