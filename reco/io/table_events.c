/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of events share: columns by name, numbers made safe, the files beside a file. */
#include <stdio.h>
#include <string.h>

#include "reco/io/table_internal.h"

stoa_status recoi_get_columns(const reco_table *table, const char *what, const char *const *names, uint32_t count,
                              const reco_column **columns, stoa_error *err)
{
    char missing[700] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < count; ++i) {
        columns[i] = reco_table_find(table, names[i]);
        if (!columns[i] && used + strlen(names[i]) + 3 < sizeof missing)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "", names[i]);
    }
    if (!used) return STOA_OK;
    return STOA_FAIL(err, STOA_ENAME, "%s: of %u columns needed these are missing: %s", what, (unsigned)count, missing);
}

int32_t recoi_to_int(double value, double low, double high)
{
    if (!(value > low)) return (int32_t)low;
    return (int32_t)(value < high ? value : high);
}

int64_t recoi_event_number(const reco_column *column, uint32_t row)
{
    if (column->dtype == STOA_INT64) return ((const int64_t *)column->data)[row];
    double value = reco_column_value(column, row);
    return value > -9e18 && value < 9e18 ? (int64_t)value : 0;
}

size_t recoi_beside_path(const char *path, const char *kind, char *text, size_t capacity)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    const int stem = (int)(dot ? (size_t)(dot - path) : strlen(path));
    return (size_t)snprintf(text, capacity, "%.*s.%s%s", stem, path, kind, dot ? dot : "");
}
