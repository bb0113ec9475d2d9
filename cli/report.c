/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, JSON and the progress bar. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

int cli_fail(const stoa_error *err)
{
    fflush(stdout);
    fprintf(stderr, "stoa: %s: %s\n", stoa_status_name(err->status), err->message);
    return CLI_FAILED;
}

int cli_usage(const char *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "stoa: %s: %s: ", stoa_status_name(STOA_EINVAL), verb);
    vfprintf(stderr, format, args);
    fprintf(stderr, "; see 'stoa %s --help'\n", verb);
    va_end(args);
    return CLI_USAGE;
}

void cli_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "stoa: %s: ", stoa_status_name(STOA_OK));
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void cli_progress(const char *what, uint64_t done, uint64_t total)
{
    enum { WIDTH = 40 };
    if (!isatty(STDERR_FILENO) || total == 0) return;
    if (done >= total) {
        fputs("\r\033[K", stderr);
        return;
    }
    const int filled = (int)(done * WIDTH / total);
    fprintf(stderr, "\r%s [%.*s%*s] %llu/%llu", what, filled, "########################################", WIDTH - filled, "",
            (unsigned long long)done, (unsigned long long)total);
    fflush(stderr);
}

int cli_json(json_t *object)
{
    const int failed =
        !object || json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) || putchar('\n') == EOF || fflush(stdout);
    json_decref(object);
    if (!failed) return CLI_DONE;
    fprintf(stderr, "stoa: %s: JSON cannot be written to standard output\n", stoa_status_name(STOA_EIO));
    return CLI_FAILED;
}

json_t *cli_json_copies(uint64_t calls, uint64_t bytes)
{ return json_pack("{s:I, s:I}", "calls", (json_int_t)calls, "bytes", (json_int_t)bytes); }

json_t *cli_json_tensors(const stoa_tensor_schema *tensors, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (uint32_t k = 0; k < tensors[i].rank; k++) json_array_append_new(shape, json_integer(tensors[i].shape[k]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:I, s:s?}", "name", tensors[i].name, "dtype", stoa_dtype_name(tensors[i].dtype),
                                        "shape", shape, "width", (json_int_t)tensors[i].width, "rows", tensors[i].rows_name));
    }
    return list;
}

void cli_tensor_text(const stoa_tensor_schema *tensor, char *text, size_t capacity)
{
    const char *rows = tensor->rows_name && *tensor->rows_name ? tensor->rows_name : "N";
    int used = snprintf(text, capacity, "[%s", rows);
    for (uint32_t k = 0; k < tensor->rank && used >= 0 && (size_t)used < capacity; k++)
        used += snprintf(text + used, capacity - (size_t)used, ", %u", tensor->shape[k]);
    if (used >= 0 && (size_t)used < capacity) snprintf(text + used, capacity - (size_t)used, "] %s", stoa_dtype_name(tensor->dtype));
}

double cli_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}
