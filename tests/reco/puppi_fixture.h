/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates and crossings on a blocking queue of the device under test, from a file or from words, in memory that the test sees too.
 * Include cmocka first. */
#ifndef TESTS_PUPPI_FIXTURE_H
#define TESTS_PUPPI_FIXTURE_H

#include "reco/kernels.h"
#include "reco/scouting/reader.h"
#include "reco/scouting/unpack.h"
#include "stoa/collection.h"
#include "unit/device_under_test.h"

enum { PUPPI_ROWS = 120000, PUPPI_CROSSINGS = 3600 };

typedef struct puppi_fixture {
    stoa_device *device;
    stoa_queue *queue;
    stoa_collection *memory;
    stoa_buffer *words; /* of a batch, where the device needs a copy; NULL: it does not */
    puppi_soa puppi;
    crossings_soa crossings;
    stoa_error err;
} puppi_fixture;

#define PUPPI_OK(f, call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", (f)->err.message); \
    } while (0)

static inline void puppi_set_up(puppi_fixture *f)
{
    const stoa_block blocks[] = {{"puppi", &puppi_soa_layout, PUPPI_ROWS, 0, NULL},
                                 {"crossings", &crossings_soa_layout, PUPPI_CROSSINGS, 0, NULL}};
    PUPPI_OK(f, reco_kernels_register(&f->err));
    PUPPI_OK(f, stoa_device_open(device_under_test(), &f->device, &f->err));
    PUPPI_OK(f, stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, &f->err));
    PUPPI_OK(f, stoa_collection_create(f->queue, STOA_MEMORY_PINNED, blocks, 2, &f->memory, &f->err));
    PUPPI_OK(f, stoa_collection_view(f->memory, "puppi", &f->puppi.head, &f->err));
    PUPPI_OK(f, stoa_collection_view(f->memory, "crossings", &f->crossings.head, &f->err));
}

static inline void puppi_tear_down(puppi_fixture *f)
{
    stoa_collection_destroy(f->memory);
    stoa_buffer_release(f->words);
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
}

static inline void puppi_unpack(puppi_fixture *f, const reco_scout_batch *b, uint32_t slots)
{
    reco_scout_unpack args = {b->words, b->header, b->crossings, b->candidates, slots, f->puppi, f->crossings};
    const size_t words_bytes = b->word_count * sizeof *b->words, header_bytes = b->crossings * sizeof *b->header;
    if (!device_is_host()) {
        stoa_buffer_release(f->words);
        f->words = make_shared(f->queue, words_bytes + header_bytes);
        char *copy = stoa_buffer_data(f->words);
        memcpy(copy, b->words, words_bytes);
        memcpy(copy + words_bytes, b->header, header_bytes);
        args.words = (const uint64_t *)(const void *)copy;
        args.header = (const uint32_t *)(const void *)(copy + words_bytes);
    }
    PUPPI_OK(f, reco_scout_unpack_enqueue(f->queue, &args, &f->err));
}

/* For tests that need nothing else: *state is a puppi_fixture. */
static inline int puppi_set_up_state(void **state)
{
    static puppi_fixture f;
    puppi_set_up(&f);
    *state = &f;
    return 0;
}

static inline int puppi_tear_down_state(void **state)
{
    puppi_tear_down(*state);
    return 0;
}

/* Unpack the first batch of a reader. The reader must stay: the batch's words may be its. */
static inline void puppi_load(puppi_fixture *f, reco_scout_reader *reader, reco_scout_batch **batch)
{
    bool more;
    PUPPI_OK(f, reco_scout_batch_create(reader, batch, &f->err));
    PUPPI_OK(f, reco_scout_read(reader, *batch, &more, &f->err));
    assert_true(more);
    puppi_unpack(f, *batch, 0);
}

#endif
