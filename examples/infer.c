/* SPDX-License-Identifier: Apache-2.0 */
/* The program of the README: tracks in a structure of arrays, a model, and the scores in a column of the same collection. */
#include <stdio.h>

#include "stoa/stoa.h"
#define STOA_LAYOUT tracks
#define STOA_LAYOUT_DEF "tracks.def" /* COLUMN(float, pt, "GeV", "transverse momentum") ... */
#include "stoa/layout_gen.h"

static stoa_status infer(stoa_queue *queue, const char *path, const tracks *t, stoa_error *err)
{
    stoa_model *model;
    stoa_session *session;
    STOA_TRY(stoa_model_load(path, NULL, &model, err));                               /* once; const, shared by all threads */
    STOA_TRY(stoa_session_create(model, queue, t->head.rows, NULL, &session, err));   /* once a queue; allocates here, never again */
    STOA_TRY(stoa_session_bind(session, "x", STOA_COLUMNS(*t, pt, eta, phi), err));   /* any columns, where they lie */
    STOA_TRY(stoa_session_bind(session, "y", STOA_COLUMNS(*t, score), err));
    STOA_TRY(stoa_session_run(session, t->head.rows, err));                           /* enqueues; the next kernel reads t->score */
    STOA_TRY(stoa_queue_wait(queue, err));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
    return STOA_OK;
}

/* Tracks in the device's memory: filled, scored, printed. */
static stoa_status run(stoa_queue *queue, const char *path, stoa_error *err)
{
    const stoa_block block = {"tracks", &tracks_layout, 1000, 0, NULL};
    stoa_collection *event;
    tracks t;
    STOA_TRY(stoa_collection_create(queue, STOA_MEMORY_DEVICE, &block, 1, &event, err));
    STOA_TRY(stoa_collection_view(event, "tracks", &t.head, err));
    for (uint32_t i = 0; i < t.head.rows; i++) t.pt[i] = 1.0f + 0.01f * (float)i, t.eta[i] = 0.5f, t.phi[i] = 0.001f * (float)i;
    STOA_TRY(infer(queue, path, &t, err));
    printf("score of track 0: %g, of track %u: %g\n", (double)t.score[0], t.head.rows - 1, (double)t.score[t.head.rows - 1]);
    stoa_collection_destroy(event);
    return STOA_OK;
}

int main(int argc, char **argv)
{
    stoa_error err;
    stoa_device *host = NULL;
    stoa_queue *queue = NULL;
    if (argc != 2) return fprintf(stderr, "usage: infer MODEL.onnx (inputs x [N,3], outputs y [N,1])\n"), 2;
    stoa_status status = stoa_device_open("host", &host, &err);
    if (status == STOA_OK) status = stoa_queue_create(host, STOA_QUEUE_ASYNC, &queue, &err);
    if (status == STOA_OK) status = run(queue, argv[1], &err);
    if (status != STOA_OK) return fprintf(stderr, "stoa: %s: %s\n", stoa_status_name(err.status), err.message), 1;
    stoa_queue_destroy(queue);
    stoa_device_close(host);
    return 0;
}
