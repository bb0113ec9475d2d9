/* SPDX-License-Identifier: Apache-2.0 */
/* This library, through its public interface: columns in place, a blocking host queue. */
#include "mlp.h"

#include <stdio.h>
#include <stdlib.h>

#include "stoa/session.h"

#define COLUMNS_MAX 64u

typedef struct native {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
    uint32_t rows;
} native;

static bool fail(const stoa_error *err, char *why)
{
    snprintf(why, MLP_WHY, "%s: %.400s", stoa_status_name(err->status), err->message);
    return false;
}

static void native_close(void *self)
{
    native *n = self;
    if (!n) return;
    stoa_session_destroy(n->session);
    stoa_model_destroy(n->model);
    stoa_queue_destroy(n->queue);
    stoa_device_close(n->device);
    free(n);
}

static bool native_open(const mlp_case *mlp, void **self, char *why)
{
    stoa_error err;
    native *n = calloc(1, sizeof *n);
    *self = n;
    if (!n) {
        snprintf(why, MLP_WHY, "no memory");
        return false;
    }
    if (stoa_device_open("host", &n->device, &err) != STOA_OK ||
        stoa_queue_create(n->device, STOA_QUEUE_BLOCKING, &n->queue, &err) != STOA_OK ||
        stoa_model_load(mlp->path, NULL, &n->model, &err) != STOA_OK)
        return fail(&err, why);
    return true;
}

static bool native_prepare(void *self, const mlp_case *mlp, char *why)
{
    native *n = self;
    stoa_error err;
    stoa_column columns[COLUMNS_MAX], out;
    const stoa_place place = stoa_device_place(n->device);
    const uint32_t inputs = mlp->spec->widths[0], rows = mlp->rows ? mlp->rows : 1;
    for (uint32_t f = 0; f < inputs && f < COLUMNS_MAX; f++)
        columns[f] = stoa_column_over_const(mlp->columns + (size_t)f * mlp->pitch, STOA_FLOAT32, rows, 1, place);
    out = stoa_column_over(mlp->out, STOA_FLOAT32, rows, 1, place);
    stoa_session_destroy(n->session);
    n->session = NULL;
    n->rows = mlp->rows;
    if (stoa_session_create(n->model, n->queue, rows, NULL, &n->session, &err) != STOA_OK ||
        stoa_session_bind(n->session, ONNX_INPUT, stoa_tensor_of(columns, inputs), &err) != STOA_OK ||
        stoa_session_bind(n->session, ONNX_OUTPUT, stoa_tensor_of(&out, 1), &err) != STOA_OK)
        return fail(&err, why);
    return true;
}

static void native_run(void *self)
{
    const native *n = self;
    stoa_status ignored = stoa_session_run(n->session, n->rows, NULL);
    (void)ignored;
}

const mlp_contender mlp_native = {"native", native_open, native_prepare, native_run, native_close, false};
