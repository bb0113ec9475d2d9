/* SPDX-License-Identifier: Apache-2.0 */
/* One call of one network over several collections: candidates, the members of clusters, clusters, crossings. */
#include "pipelines/scouting_tau/scout_stream.h"

#include <stdio.h>
#include <string.h>

/* A tensor that the job has for a network: columns where they lie, and how many rows a batch has of them. */
typedef struct job_tensor {
    const char *name;
    stoa_tensor columns;
    const uint32_t *rows;
} job_tensor;

/* Names the whole table where there is none of that name. */
static stoa_status find(const job_tensor *table, size_t count, const char *name, const job_tensor **found, stoa_error *err)
{
    char names[256];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        *found = &table[i];
        if (strcmp(table[i].name, name) == 0) return STOA_OK;
        if (used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", table[i].name);
    }
    return STOA_FAIL(err, STOA_ENAME, "network of the clusters: tensor '%s': the job has: %s", name, names);
}

/* Where the rows of the model's axes are counted; tensors of one axis have to agree. */
static stoa_status take_axis(scout_stream *s, const stoa_tensor_schema *tensor, const job_tensor *has, uint32_t *most, stoa_error *err)
{
    if (tensor->axis >= SCOUT_AXES_MAX)
        return STOA_FAIL(err, STOA_ESHAPE, "network of the clusters: tensor '%s' has rows of '%s': at most %d row axes can be bound",
                         tensor->name, tensor->rows_name, SCOUT_AXES_MAX);
    const uint32_t **rows = &s->cluster_rows[tensor->axis];
    if (*rows && *rows != has->rows)
        return STOA_FAIL(err, STOA_ESHAPE, "network of the clusters: tensor '%s' has other rows than the tensors of axis '%s' before it",
                         tensor->name, tensor->rows_name);
    most[tensor->axis] = *rows && most[tensor->axis] < has->columns.rows ? most[tensor->axis] : has->columns.rows;
    *rows = has->rows;
    return STOA_OK;
}

static stoa_status bind_all(scout_stream *s, const job_tensor *table, size_t count, stoa_error *err)
{
    const stoa_schema *schema = stoa_model_schema(s->options->cluster_model);
    const uint32_t tensors = schema->input_count + schema->output_count;
    uint32_t most[SCOUT_AXES_MAX];
    const job_tensor *has;
    for (uint32_t t = 0; t < tensors; t++) {
        const stoa_tensor_schema *tensor = t < schema->input_count ? &schema->inputs[t] : &schema->outputs[t - schema->input_count];
        STOA_TRY(find(table, count, tensor->name, &has, err));
        STOA_TRY(take_axis(s, tensor, has, most, err));
        s->takes_features |= strcmp(has->name, "features") == 0 || strcmp(has->name, "mask") == 0;
    }
    const stoa_session_options options = {sizeof options, 0, most, schema->axis_count};
    STOA_TRY(stoa_session_create(s->options->cluster_model, s->queue, 0, &options, &s->cluster_session, err));
    for (uint32_t t = 0; t < tensors; t++) {
        const stoa_tensor_schema *tensor = t < schema->input_count ? &schema->inputs[t] : &schema->outputs[t - schema->input_count];
        STOA_TRY(find(table, count, tensor->name, &has, err));
        STOA_TRY(stoa_session_bind(s->cluster_session, tensor->name, has->columns, err));
    }
    return STOA_OK;
}

stoa_status scout_bind_clusters(scout_stream *s, stoa_error *err)
{
    const puppi_soa p = s->views.puppi;
    const crossings_soa x = s->views.crossings;
    const clusters_soa c = s->views.clusters;
    const scout_work_soa w = s->views.work;
    const job_tensor table[] = {        /* Candidates, and the row of each one's cluster (-1: none). */
                                {"candidate", STOA_COLUMNS(p, pt, eta, phi, z0), x.candidates},
                                {"pdgid", STOA_COLUMNS(p, pdgid), x.candidates},
                                {"cluster_of", STOA_COLUMNS(w, cluster_of), x.candidates},
                                /* Members: the rows of the candidates that are in clusters, cluster by cluster. */
                                {"member", STOA_COLUMNS(w, members), c.clustered},
                                /* Clusters, the row of each one's crossing, and the matrix of the leading members. */
                                {"cluster", STOA_COLUMNS(c, pt, eta, phi, mass), c.clusters},
                                {"crossing_of", STOA_COLUMNS(c, crossing), c.clusters},
                                {"features", STOA_COLUMNS(c, features), c.clusters},
                                {"mask", STOA_COLUMNS(c, mask), c.clusters},
                                {"score", STOA_COLUMNS(c, score), c.clusters},
                                {"pt", STOA_COLUMNS(c, tau_pt), c.clusters},
                                {"z", STOA_COLUMNS(c, tau_z), c.clusters},
                                {"charge", STOA_COLUMNS(c, tau_charge), c.clusters},
                                /* Crossings: their numbers of candidates. */
                                {"crossing", STOA_COLUMNS(x, count), x.crossings}};
    return bind_all(s, table, sizeof table / sizeof *table, err);
}
