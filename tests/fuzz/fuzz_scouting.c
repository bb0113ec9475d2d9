/* SPDX-License-Identifier: Apache-2.0 */
/* Reads anything as each of the three formats of L1 scouting, in small batches, and unpacks what is read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reco/scouting/reader.h"
#include "reco/scouting/unpack.h"
#include "reco/scouting/words.h"
#include "stoa/collection.h"

enum { CROSSINGS = 3, MUONS = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct workbench {
    stoa_device *device;
    stoa_queue *queue;
    stoa_collection *memory;
    puppi_soa puppi;
    crossings_soa crossings;
    tracker_muons_soa muons;
} workbench;

static void need(stoa_status status)
{
    if (status != STOA_OK) abort();
}

/* Made once: the process ends with it. */
static workbench *get_bench(void)
{
    static workbench w;
    const stoa_block blocks[] = {{"puppi", &puppi_soa_layout, RECO_SCOUT_COUNT_MAX, 0, NULL},
                                 {"crossings", &crossings_soa_layout, CROSSINGS + 1, 0, NULL},
                                 {"muons", &tracker_muons_soa_layout, MUONS, 0, NULL}};
    if (w.queue) return &w;
    need(stoa_device_open("host", &w.device, NULL));
    need(stoa_queue_create(w.device, STOA_QUEUE_BLOCKING, &w.queue, NULL));
    need(stoa_collection_create(w.queue, STOA_MEMORY_DEVICE, blocks, 3, &w.memory, NULL));
    need(stoa_collection_view(w.memory, "puppi", &w.puppi.head, NULL));
    need(stoa_collection_view(w.memory, "crossings", &w.crossings.head, NULL));
    need(stoa_collection_view(w.memory, "muons", &w.muons.head, NULL));
    return &w;
}

/* What a batch promises holds for any input. */
static void check(const workbench *w, const reco_scout_batch *b)
{
    uint64_t candidates = 0;
    for (uint32_t e = 0; e < b->crossings; e++) {
        if (b->header[e] >= b->word_count) abort();
        candidates += reco_scout_count(b->words[b->header[e]]);
        if (b->header[e] + reco_scout_count(b->words[b->header[e]]) >= b->word_count) abort();
    }
    if (candidates != b->candidates) abort();
    const reco_scout_unpack args = {b->words, b->header, b->crossings, b->candidates, 0, w->puppi, w->crossings};
    need(reco_scout_unpack_enqueue(w->queue, &args, NULL));
    if (w->crossings.offset[b->crossings] != b->candidates) abort();
    const uint32_t muon_words = b->word_count < MUONS ? b->word_count : MUONS;
    if (muon_words > 0) need(reco_muon_unpack_enqueue(w->queue, &(reco_muon_unpack){b->words, muon_words, w->muons}, NULL));
}

static void read_as(reco_scout_format format, const uint8_t *data, size_t bytes)
{
    reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    o.format = format;
    o.crossings_max = CROSSINGS;
    o.candidates_max = RECO_SCOUT_COUNT_MAX;
    if (reco_scout_open_memory(data, bytes, &o, &reader, NULL) != STOA_OK) return;
    need(reco_scout_batch_create(reader, &batch, NULL));
    for (bool more = true; more;) {
        need(reco_scout_read(reader, batch, &more, NULL));
        check(get_bench(), batch);
    }
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (int format = RECO_SCOUT_ANY; format <= RECO_SCOUT_CMSRAW; format++) read_as((reco_scout_format)format, data, bytes);
    return 0;
}
