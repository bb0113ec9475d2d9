/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/status.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct status_row {
    stoa_status status;
    const char *name, *text;
} status_row;

static const status_row status_table[] = {
#define ROW(name, number, text) {STOA_##name, "STOA_" #name, text},
    STOA_STATUS_MAP(ROW)
#undef ROW
};

static const status_row *find_row(stoa_status status)
{
    for (size_t i = 0; i < sizeof status_table / sizeof *status_table; i++)
        if (status_table[i].status == status) return &status_table[i];
    return NULL;
}

const char *stoa_status_name(stoa_status status)
{
    const status_row *row = find_row(status);
    return row ? row->name : "STOA_UNKNOWN";
}

const char *stoa_status_text(stoa_status status)
{
    const status_row *row = find_row(status);
    return row ? row->text : "status number outside the table";
}

stoa_status stoa_error_set(stoa_error *err, stoa_status status, int32_t native, const char *where, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    err->native = native;
    err->where = where;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

_Static_assert(sizeof(stoa_error) == 1024, "stoa_error is frozen at 1 KiB");
