/* SPDX-License-Identifier: Apache-2.0 */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const stoa_place host_place = {STOA_PLACE_HOST, 0};

/* Columns still to be handed out: those that the caller named, or those of the file. */
typedef struct choice {
    const reco_column **columns;
    uint32_t count, next;
} choice;

static stoa_status choose_named(choice *from, const reco_table *table, const char *list, stoa_error *err)
{
    const char **names = calloc(RECO_TABLE_COLUMNS_MAX, sizeof *names);
    char *copy = NULL;
    stoa_status status = names ? cli_split(list, &copy, names, RECO_TABLE_COLUMNS_MAX, &from->count, err)
                               : STOA_FAIL(err, STOA_ENOMEM, "--columns: no memory");
    for (uint32_t i = 0; status == STOA_OK && i < from->count; i++) status = reco_table_get(table, names[i], &from->columns[i], err);
    free(copy);
    free(names);
    return status;
}

static void choose_all(choice *from, const reco_table *table)
{
    const reco_column *column;
    for (uint32_t i = 0; (column = reco_table_column(table, i)) != NULL; i++)
        if (strcmp(column->name, "event")) from->columns[from->count++] = column;
}

/* The array named as the input, whole; or single columns `name`, or `name_0` and so on. */
static bool choose_by_name(choice *from, const reco_table *table, const stoa_tensor_schema *tensor)
{
    const reco_column *first = NULL;
    size_t stride;
    const reco_column *single = reco_table_find(table, tensor->name);
    if (single) {
        from->columns[from->count++] = single;
        return true;
    }
    if (reco_table_group(table, tensor->name, &first, &stride, NULL) == STOA_OK) {
        const reco_column *column;
        for (uint32_t i = 0; (column = reco_table_column(table, i)) != NULL; i++)
            if (!strcmp(column->group, tensor->name)) from->columns[from->count++] = column;
        return true;
    }
    for (uint32_t k = 0; k < tensor->width && k < RECO_TABLE_COLUMNS_MAX; k++) {
        char name[RECO_TABLE_NAME_BYTES + 16];
        snprintf(name, sizeof name, "%s_%u", tensor->name, k);
        const reco_column *column = reco_table_find(table, name);
        if (!column) return k > 0;
        from->columns[from->count++] = column;
    }
    return tensor->width > 0;
}

/* A text file knows no float32: columns that a float32 input does not take are converted as if the file had held that, side by side. */
static stoa_status convert(cli_input *input, const reco_column *const *columns, uint32_t rows, stoa_error *err)
{
    const size_t pitch = (rows + 31u) / 32u * 32u;
    input->converted = aligned_alloc(128, (input->count * pitch + 32u) * sizeof *input->converted);
    if (!input->converted) return STOA_FAIL(err, STOA_ENOMEM, "no memory to convert %u columns", input->count);
    for (uint32_t k = 0; k < input->count; k++) {
        reco_column_floats(columns[k], 0, rows, input->converted + k * pitch);
        input->columns[k] = stoa_column_over_const(input->converted + k * pitch, STOA_FLOAT32, rows, 1, host_place);
    }
    return STOA_OK;
}

static stoa_status take(cli_input *input, const stoa_tensor_schema *tensor, choice *from, uint32_t rows, stoa_error *err)
{
    const reco_column *const *columns = from->columns + from->next;
    bool fit = tensor->dtype != STOA_FLOAT32; /* else the session tells what does not */
    input->count = tensor->width;
    input->columns = calloc(input->count + 1u, sizeof *input->columns);
    input->names = calloc(input->count + 1u, sizeof *input->names);
    if (!input->columns || !input->names) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u columns", input->count);
    from->next += input->count;
    uint64_t used = 0;
    for (uint32_t k = 0; k < input->count; k++) {
        input->names[k] = columns[k]->name;
        input->columns[k] = stoa_column_over_const(columns[k]->data, columns[k]->dtype, rows, 1, host_place);
        used |= 1ull << columns[k]->dtype;
    }
    fit |= (used & ~tensor->dtype_mask) == 0;
    return fit ? STOA_OK : convert(input, columns, rows, err);
}

static stoa_status take_listed(cli_binding *binding, const stoa_schema *schema, choice *from, stoa_error *err)
{
    uint32_t needed = 0;
    for (uint32_t i = 0; i < schema->input_count; i++) needed += schema->inputs[i].width;
    if (from->count != needed)
        return STOA_FAIL(err, STOA_ESHAPE, "input '%s'%s: %u columns given, %u needed", schema->inputs[0].name,
                         schema->input_count > 1 ? " and the others" : "", from->count, needed);
    for (uint32_t i = 0; i < schema->input_count; i++) STOA_TRY(take(&binding->inputs[i], &schema->inputs[i], from, binding->rows, err));
    return STOA_OK;
}

static stoa_status take_by_name(cli_binding *binding, const stoa_schema *schema, const reco_table *table, choice *from, stoa_error *err)
{
    for (uint32_t i = 0; i < schema->input_count; i++) {
        const stoa_tensor_schema *tensor = &schema->inputs[i];
        from->count = from->next = 0;
        if (!choose_by_name(from, table, tensor)) {
            if (schema->input_count > 1)
                return STOA_FAIL(err, STOA_ENAME, "input '%s': the file has no array of that name; choose with --columns", tensor->name);
            choose_all(from, table);
        }
        if (from->count != tensor->width)
            return STOA_FAIL(err, STOA_ESHAPE, "input '%s': %u columns in the file, %u needed; choose with --columns", tensor->name,
                             from->count, tensor->width);
        STOA_TRY(take(&binding->inputs[i], tensor, from, binding->rows, err));
    }
    return STOA_OK;
}

stoa_status cli_binding_init(cli_binding *binding, const stoa_schema *schema, const reco_table *table, const char *columns, stoa_error *err)
{
    *binding = (cli_binding){.input_count = schema->input_count, .rows = reco_table_rows(table)};
    choice from = {.columns = calloc(2u * RECO_TABLE_COLUMNS_MAX, sizeof(const reco_column *))};
    binding->inputs = calloc(schema->input_count + 1u, sizeof *binding->inputs);
    stoa_status status = from.columns && binding->inputs ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "no memory for the list of columns");
    if (status == STOA_OK && columns) status = choose_named(&from, table, columns, err);
    if (status == STOA_OK) status = columns ? take_listed(binding, schema, &from, err) : take_by_name(binding, schema, table, &from, err);
    free(from.columns);
    return status;
}

void cli_binding_deinit(cli_binding *binding)
{
    for (uint32_t i = 0; binding->inputs && i < binding->input_count; i++) {
        free(binding->inputs[i].columns);
        free(binding->inputs[i].names);
        free(binding->inputs[i].converted);
    }
    free(binding->inputs);
    *binding = (cli_binding){0};
}

stoa_status cli_bind_inputs(const cli_binding *binding, const stoa_schema *schema, stoa_session *session, cli_mirror *mirror,
                            stoa_error *err)
{
    for (uint32_t i = 0; i < binding->input_count; i++) {
        const cli_input *input = &binding->inputs[i];
        STOA_TRY(cli_mirror_add(mirror, input->columns, input->count, false, err));
        STOA_TRY(stoa_session_bind(session, schema->inputs[i].name, stoa_tensor_of(input->columns, input->count), err));
    }
    return STOA_OK;
}

stoa_status cli_bind_outputs(reco_table *out, const stoa_schema *schema, stoa_session *session, cli_mirror *mirror, stoa_error *err)
{
    for (uint32_t i = 0; i < schema->output_count; i++) {
        const stoa_tensor_schema *tensor = &schema->outputs[i];
        if (tensor->width == 0 || tensor->width > RECO_TABLE_COLUMNS_MAX)
            return STOA_FAIL(err, STOA_ELIMIT, "output '%s': %u values a row, 1 to %u possible", tensor->name, tensor->width,
                             RECO_TABLE_COLUMNS_MAX);
        stoa_column *columns = calloc(tensor->width, sizeof *columns);
        if (!columns) return STOA_FAIL(err, STOA_ENOMEM, "output '%s': no memory", tensor->name);
        void *data = NULL;
        size_t stride = 0;
        stoa_status status = tensor->width == 1
                                 ? reco_table_add(out, tensor->name, tensor->dtype, &data, err)
                                 : reco_table_add_group(out, tensor->name, tensor->dtype, tensor->width, &data, &stride, err);
        for (uint32_t k = 0; status == STOA_OK && k < tensor->width; k++)
            columns[k] = stoa_column_over((char *)data + k * stride * stoa_dtype_bytes(tensor->dtype), tensor->dtype, reco_table_rows(out),
                                          1, host_place);
        if (status == STOA_OK) status = cli_mirror_add(mirror, columns, tensor->width, true, err);
        if (status == STOA_OK) status = stoa_session_bind(session, tensor->name, stoa_tensor_of(columns, tensor->width), err);
        free(columns);
        STOA_TRY(status);
    }
    return STOA_OK;
}
