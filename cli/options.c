/* SPDX-License-Identifier: Apache-2.0 */
/* Options from a table: the same lines drive getopt_long and print the help, so the two cannot disagree. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "stoa/runtime.h"

enum { OPTIONS_MAX = 32, HELP_CODE = 1000 };

/* Built in or loaded as plugins on demand. */
const cli_runtime cli_runtimes[CLI_RUNTIME_COUNT] = {
    {"native", ".onnx"}, {"aoti", ".pt2"}, {"torchscript", ".pt"}, {"onnxruntime", ".onnx"}, {"tensorrt", ".onnx"}};

bool cli_parse_count(const char *text, uint64_t max, uint64_t *value)
{
    if (text[0] < '0' || text[0] > '9') return false; /* strtoull would take a sign and blanks */
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno || *end || number > max) return false;
    *value = number;
    return true;
}

static bool parse_value(const cli_option *option, const char *text)
{
    uint64_t count;
    char *end;
    float real;
    const cli_kind *kind = &option->kind;
    switch (kind->type) {
    case CLI_TYPE_FLAG: *(bool *)option->value = true; return true;
    case CLI_TYPE_TEXT: *(const char **)option->value = text; return !kind->needed || !kind->needed(text);
    case CLI_TYPE_COUNT:
        if (!cli_parse_count(text, (uint64_t)kind->most, &count) || (double)count < kind->least) return false;
        *(uint32_t *)option->value = (uint32_t)count;
        return true;
    case CLI_TYPE_SEED: return cli_parse_count(text, UINT64_MAX, option->value);
    case CLI_TYPE_REAL:
        real = strtof(text, &end);
        if (end == text || *end || !((double)real >= kind->least && (double)real <= kind->most)) return false;
        *(float *)option->value = real;
        return true;
    }
    return false;
}

static int value_refused(const char *verb, const cli_option *option, const char *text)
{
    const cli_kind *kind = &option->kind;
    char needed[64] = "a whole number below 2^64";
    if (kind->type == CLI_TYPE_COUNT) snprintf(needed, sizeof needed, "a whole number from %.0f to %.0f", kind->least, kind->most);
    if (kind->type == CLI_TYPE_REAL) snprintf(needed, sizeof needed, "a number from %g to %g", kind->least, kind->most);
    return cli_usage(verb, "--%s: '%s' given, %s needed", option->name, text, kind->needed ? kind->needed(text) : needed);
}

/* ---- Text that is a name, or several. ---- */

/* One that is known may be missing here, which is a failure of the command; plugins of the application are found by their name. */
const char *cli_device_needed(const char *text)
{
    char backend[32];
    const size_t length = strcspn(text, ":");
    uint64_t ordinal;
    uint32_t count;
    snprintf(backend, sizeof backend, "%.*s", (int)(length < sizeof backend ? length : 0), text);
    bool known = !text[length] || cli_parse_count(text + length + 1, 99999, &ordinal);
    if (known && strcmp(backend, "host") && strcmp(backend, "cuda") && strcmp(backend, "hip"))
        known = *backend && stoa_device_count(backend, &count, NULL) == STOA_OK;
    return known ? NULL : "host, cuda:N or hip:N";
}

bool cli_runtime_is_known(const char *name)
{
    for (size_t i = 0; i < CLI_RUNTIME_COUNT; i++)
        if (!strcmp(name, cli_runtimes[i].name)) return true;
    return false;
}

const char *cli_runtime_needed(const char *text)
{
    const stoa_runtime_api *api;
    if (!strcmp(text, "auto") || cli_runtime_is_known(text) || stoa_runtime_find(text, &api, NULL) == STOA_OK) return NULL;
    return "auto, native, aoti, torchscript, onnxruntime or tensorrt";
}

const char *cli_isa_needed(const char *text)
{ return strcmp(text, "baseline") && strcmp(text, "avx2") && strcmp(text, "avx512") ? "baseline, avx2 or avx512" : NULL; }

const char *cli_list_needed(const char *text)
{
    const size_t length = strlen(text);
    const bool gap = !length || text[0] == ',' || text[length - 1] == ',' || strstr(text, ",,");
    return gap ? "names joined by commas, none empty," : NULL;
}

static void print_help(const cli_syntax *syntax)
{
    printf("usage: stoa %s %s[OPTIONS]\n%s\n\noptions:\n", syntax->verb, syntax->arguments, syntax->summary);
    for (uint32_t i = 0; i < syntax->option_count; i++) {
        const cli_option *option = &syntax->options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->metavar ? " " : "", option->metavar ? option->metavar : "");
        printf("  %-26s %s\n", left, option->help);
    }
    printf("  %-26s this text\n", "--help");
    if (syntax->example) printf("\nexample:\n  %s\n", syntax->example);
}

static int check_arguments(const cli_syntax *syntax, int argc, char **argv)
{
    const int given = argc - optind;
    if (given < syntax->argument_min)
        return cli_usage(syntax->verb, "%d argument%s given, %d needed: %.*s", given, given == 1 ? "" : "s", syntax->argument_min,
                         (int)strcspn(syntax->arguments, " "), syntax->arguments);
    if (given > syntax->argument_max)
        return cli_usage(syntax->verb, "'%s' is one argument too many: %d given, %d taken", argv[optind + syntax->argument_max], given,
                         syntax->argument_max);
    return CLI_CONTINUE;
}

int cli_parse(const cli_syntax *syntax, int argc, char **argv, int *first)
{
    struct option table[OPTIONS_MAX + 2] = {{NULL, 0, NULL, 0}};
    for (uint32_t i = 0; i < syntax->option_count && i < OPTIONS_MAX; i++) {
        table[i].name = syntax->options[i].name;
        table[i].has_arg = syntax->options[i].kind.type == CLI_TYPE_FLAG ? no_argument : required_argument;
        table[i].val = (int)i;
    }
    table[syntax->option_count] = (struct option){"help", no_argument, NULL, HELP_CODE};
    opterr = 0; /* our own messages */
    optind = 1;
    for (;;) {
        const int at = optind;
        const int code = getopt_long(argc, argv, ":h", table, NULL);
        if (code == -1) break;
        if (code == HELP_CODE || code == 'h') {
            print_help(syntax);
            return CLI_DONE;
        }
        if (code == ':') return cli_usage(syntax->verb, "option '%s' needs a value", argv[optind - 1]);
        if (code == '?') return cli_usage(syntax->verb, "no option '%s'", argv[optind > at ? optind - 1 : at]);
        const cli_option *option = &syntax->options[code];
        if (!parse_value(option, optarg)) return value_refused(syntax->verb, option, optarg);
    }
    *first = optind;
    return check_arguments(syntax, argc, argv);
}

stoa_status cli_split(const char *list, char **copy, const char **names, uint32_t capacity, uint32_t *count, stoa_error *err)
{
    *count = 0;
    *copy = strdup(list);
    if (!*copy) return STOA_FAIL(err, STOA_ENOMEM, "list of names: no memory for %zu bytes", strlen(list) + 1);
    for (char *rest = *copy, *name; (name = strsep(&rest, ",")) != NULL;) {
        if (!*name) return STOA_FAIL(err, STOA_EINVAL, "list '%s': empty name at position %u", list, *count);
        if (*count == capacity)
            return STOA_FAIL(err, STOA_ELIMIT, "list '%.40s...': more than %u names given, at most %u taken", list, capacity, capacity);
        names[(*count)++] = name;
    }
    return STOA_OK;
}

int cli_choose(const char *verb, const char *option, const char *text, const char *const *names, int count, int *value)
{
    for (*value = 0; *value < count; ++*value)
        if (!strcmp(names[*value], text)) return CLI_CONTINUE;
    return cli_usage(verb, "--%s: '%s' given, one of %s, %s%s%s%s%s needed", option, text, names[0], names[1], count > 2 ? ", " : "",
                     count > 2 ? names[2] : "", count > 3 ? ", " : "", count > 3 ? names[3] : "");
}
