/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of the `stoa` command share: tables of options, messages, JSON.
 *
 * A verb is a function (argc, argv) -> exit code: 0 done, 1 failed, 2 wrong usage, which is what no file could make
 * right: it is told by cli_usage, and before any file is read where that can be. With --json it prints
 * exactly one object on stdout; everything for the reader's eye goes to stdout otherwise, every message to
 * stderr. */
#ifndef STOA_CLI_H
#define STOA_CLI_H

#include <float.h>
#include <jansson.h>

#include "stoa/stoa.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CONTINUE = -1 };

int verb_run(int argc, char **argv);
int verb_inspect(int argc, char **argv);
int verb_layout(int argc, char **argv);
int verb_devices(int argc, char **argv);
int verb_hlt(int argc, char **argv);
int verb_scout(int argc, char **argv);
int verb_cluster(int argc, char **argv);
int verb_vertices(int argc, char **argv);
int verb_generate(int argc, char **argv);
int verb_bench(int argc, char **argv);

/* ---- Options: one table a verb, for getopt_long and for --help alike. ---- */

typedef enum cli_type { CLI_TYPE_FLAG, CLI_TYPE_TEXT, CLI_TYPE_COUNT, CLI_TYPE_REAL, CLI_TYPE_SEED } cli_type;

/* What an option takes. A value outside is wrong usage, whatever the files hold. */
typedef struct cli_kind {
    cli_type type;
    double least, most;                     /* of numbers */
    const char *(*needed)(const char *text); /* of text: NULL when it will do, else what would */
} cli_kind;

#define CLI_FLAG ((cli_kind){CLI_TYPE_FLAG, 0, 0, NULL})                               /* bool */
#define CLI_TEXT CLI_TEXT_OF(NULL)                                                     /* const char *, borrowed from argv */
#define CLI_TEXT_OF(needed) ((cli_kind){CLI_TYPE_TEXT, 0, 0, (needed)})                /* the same, checked */
#define CLI_COUNT CLI_COUNT_OF(0, UINT32_MAX)                                          /* uint32_t */
#define CLI_COUNT_OF(least, most) ((cli_kind){CLI_TYPE_COUNT, (least), (most), NULL})  /* both possible */
#define CLI_REAL CLI_REAL_OF(-FLT_MAX, FLT_MAX)                                        /* float, finite */
#define CLI_REAL_OF(least, most) ((cli_kind){CLI_TYPE_REAL, (double)(least), (double)(most), NULL})
#define CLI_LENGTH CLI_REAL_OF(0, FLT_MAX)                                             /* float, not negative */
#define CLI_SEED ((cli_kind){CLI_TYPE_SEED, 0, 0, NULL})                               /* uint64_t */

/* For CLI_TEXT_OF: names of a device, of a runtime, of an instruction-set level; a list without an empty name. */
const char *cli_device_needed(const char *text);
const char *cli_runtime_needed(const char *text);
const char *cli_isa_needed(const char *text);
const char *cli_list_needed(const char *text);

enum { CLI_RUNTIME_COUNT = 5 };
typedef struct cli_runtime {
    const char *name, *extensions;
} cli_runtime;
extern const cli_runtime cli_runtimes[CLI_RUNTIME_COUNT];
bool cli_runtime_is_known(const char *name);

typedef struct cli_option {
    const char *name;
    cli_kind kind;
    void *value;         /* left alone when the option is not given: initialise it with the default */
    const char *metavar; /* NULL for flags */
    const char *help;
} cli_option;

typedef struct cli_syntax {
    const char *verb, *arguments, *summary, *example;
    const cli_option *options;
    uint32_t option_count;
    int argument_min, argument_max; /* of positional arguments */
} cli_syntax;

#define CLI_SYNTAX(verb, arguments, min, max, summary, example, options) \
    {(verb), (arguments), (summary), (example), (options), (uint32_t)(sizeof(options) / sizeof *(options)), (min), (max)}

/* Parse argv in place; CLI_CONTINUE, or the exit code. Positional arguments end up in argv[*first .. argc).
 */
int cli_parse(const cli_syntax *syntax, int argc, char **argv, int *first);

/* Find `text` among names; CLI_CONTINUE, or the exit code of wrong usage. */
int cli_choose(const char *verb, const char *option, const char *text, const char *const *names, int count, int *value);

#define CLI_SIGNATURE_HELP "tensors of a .pt file that does not tell: 'x:float32:17:N -> y:float32:1'"

/* ---- Messages. ---- */

/* Print `stoa: STOA_Exxx: message` and return CLI_FAILED. */
int cli_fail(const stoa_error *err);
/* Print `stoa: STOA_EINVAL: ...` and where to find help; returns CLI_USAGE. */
int cli_usage(const char *verb, const char *format, ...) STOA_PRINTF(2, 3);
/* A message that is no failure: "stoa: STOA_OK: ..." on stderr. */
void cli_note(const char *format, ...) STOA_PRINTF(1, 2);
/* A progress bar on stderr, when that is a terminal; done == total ends it. */
void cli_progress(const char *what, uint64_t done, uint64_t total);

/* ---- JSON. ---- */

/* Print one object on stdout and drop it. Returns CLI_DONE, or CLI_FAILED when there is no memory or stdout
 * is closed. */
int cli_json(json_t *object);
/* {"calls": c, "bytes": b}. */
json_t *cli_json_copies(uint64_t calls, uint64_t bytes);
/* [{"name", "dtype", "shape", "rows"}] of a model's tensors. */
json_t *cli_json_tensors(const stoa_tensor_schema *tensors, uint32_t count);
/* "[N, 17] float32" into text. */
void cli_tensor_text(const stoa_tensor_schema *tensor, char *text, size_t capacity);

/* ---- Lists in options. ---- */

/* Split "a,b,c" in place of a copy; names[i] point into *copy, which free() releases. */
stoa_status cli_split(const char *list, char **copy, const char **names, uint32_t capacity, uint32_t *count, stoa_error *err);
/* Parse a whole, non-negative decimal number up to `max`. */
bool cli_parse_count(const char *text, uint64_t max, uint64_t *value);
double cli_now_us(void);

#endif
