/* SPDX-License-Identifier: Apache-2.0 */
/* A table's columns as a model's inputs, where they lie, and new columns for its outputs. Shared by run and
 * inspect. */
#ifndef STOA_CLI_BINDING_H
#define STOA_CLI_BINDING_H

#include "cli.h"
#include "mirror.h"
#include "reco/io/table.h"

/* Columns of one input, in the order that the model takes them. */
typedef struct cli_input {
    stoa_column *columns; /* [count] */
    const char **names;   /* [count], borrowed from the table */
    float *converted;     /* columns that are not taken as the table has them, one behind the other; NULL: none */
    uint32_t count;
} cli_input;

typedef struct cli_binding {
    cli_input *inputs; /* [schema->input_count] */
    uint32_t input_count;
    uint32_t rows; /* of the table */
} cli_binding;

/* Choose the columns. With `columns` ("a,b,c"): the inputs take them one after another, each as many as it is
 * wide. Without: an input takes the array of its name, or its columns name_0.., or, when it is the only
 * input, all columns but `event` in the file's order. ENAME unknown column; ESHAPE wrong number, both values.
 * A file's column of a type that a float32 input does not take is converted once, here. */
stoa_status cli_binding_init(cli_binding *binding, const stoa_schema *schema, const reco_table *table, const char *columns,
                             stoa_error *err);
void cli_binding_deinit(cli_binding *binding);
/* Bind the inputs of a session, where they lie or to their mirror. */
stoa_status cli_bind_inputs(const cli_binding *binding, const stoa_schema *schema, stoa_session *session, cli_mirror *mirror,
                            stoa_error *err);
/* Add the outputs to a table, `name` or `name_0..` when wider, and bind them likewise. */
stoa_status cli_bind_outputs(reco_table *out, const stoa_schema *schema, stoa_session *session, cli_mirror *mirror, stoa_error *err);

#endif
