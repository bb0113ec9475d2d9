/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of scouting words (reco/scouting/reader.h): formats beside each other, batches of any size, every fault. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_file.h"
#include "reco/scouting_words.h"
#include "reco/scouting/reader.h"
#include "stoa/memory.h"

#include <pthread.h>
#include <sys/socket.h>

static stoa_error err;
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

/* All that was read: a hash of the events in order, counts and faults. */
typedef struct tally {
    uint64_t hash;
    uint32_t events, candidates, orbits, parts;
    uint64_t faults[RECO_SCOUT_FAULT_COUNT_];
    uint64_t assembled_bytes;
} tally;

static void add_word(tally *t, uint64_t word) { t->hash = (t->hash ^ word) * 0x100000001b3u; }

static void add_batch(tally *t, const reco_scout_batch *b, const reco_scout_options *o)
{
    assert_true(b->crossings <= o->crossings_max && b->candidates <= o->candidates_max);
    uint32_t candidates = 0;
    for (uint32_t e = 0; e < b->crossings; e++) {
        const uint64_t header = b->words[b->header[e]];
        assert_int_equal(reco_scout_kind(header), RECO_SCOUT_EVENT);
        assert_int_equal(reco_scout_orbit(header), b->orbit);
        assert_true(b->header[e] + reco_scout_count(header) < b->word_count);
        for (uint32_t k = 0; k <= reco_scout_count(header); k++) add_word(t, b->words[b->header[e] + k]);
        candidates += reco_scout_count(header);
    }
    assert_int_equal(candidates, b->candidates);
    t->events += b->crossings;
    t->candidates += b->candidates;
    t->orbits += b->is_last_part;
    t->parts++;
    t->assembled_bytes += b->assembled_bytes;
    for (uint32_t k = 0; k < RECO_SCOUT_FAULT_COUNT_; k++) t->faults[k] += b->faults[k];
}

static bool as_guest; /* batches in memory of the test's */

static tally read_all(reco_scout_reader *reader, const reco_scout_options *o)
{
    reco_scout_batch *batch;
    tally t = {.hash = 1};
    bool more = true;
    const size_t bytes = reco_scout_batch_bytes(reader);
    void *memory = as_guest ? stoa_alloc(bytes, 64) : NULL;
    if (as_guest) OK(reco_scout_batch_create_in(reader, memory, bytes, &batch, &err));
    else OK(reco_scout_batch_create(reader, &batch, &err));
    for (;;) {
        OK(reco_scout_read(reader, batch, &more, &err));
        if (!more) break;
        add_batch(&t, batch, o);
        if (as_guest) assert_true((const void *)batch->words == memory && batch->assembled_bytes == batch->word_count * sizeof(uint64_t));
        assert_true(t.parts < 100000);
    }
    assert_int_equal(batch->crossings, 0);
    reco_scout_batch_destroy(batch);
    stoa_free(memory, bytes);
    reco_scout_destroy(reader);
    return t;
}

static tally read_sample(const sample *s, reco_scout_format format, uint32_t crossings_max)
{
    reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    reco_scout_reader *reader;
    o.format = format;
    o.crossings_max = crossings_max;
    o.candidates_max = crossings_max < 100 ? RECO_SCOUT_COUNT_MAX : 32768;
    OK(reco_scout_open_memory(s->bytes, s->count, &o, &reader, &err));
    return read_all(reader, &o);
}

static uint64_t fault_sum(const tally *t)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < RECO_SCOUT_FAULT_COUNT_; k++)
        if (k != RECO_SCOUT_FAULT_ZERO) sum += t->faults[k];
    return sum;
}

/* Three orbits in each of the formats. */
enum { NATIVE, DTH, CMS, FORMATS, ORBITS = 3 };
static sample made[FORMATS];

static int make_samples(void **state)
{
    (void)state;
    for (uint32_t o = 0; o < ORBITS; o++) {
        sample orbit = {0};
        sample_orbit(&orbit, SAMPLE_ORBIT + o, 1 + o);
        sample_frame(&made[NATIVE], RECO_SCOUT_NATIVE64, 7, SAMPLE_ORBIT + o, &orbit);
        sample_frame(&made[DTH], RECO_SCOUT_DTH256, 7, SAMPLE_ORBIT + o, &orbit);
        sample_frame(&made[CMS], RECO_SCOUT_CMSRAW, 7, SAMPLE_ORBIT + o, &orbit);
        free(orbit.bytes);
    }
    return 0;
}

static int free_samples(void **state)
{
    (void)state;
    for (int f = 0; f < FORMATS; f++) free(made[f].bytes);
    return 0;
}

/* The same events whatever the format and the size of the batches; only DTH's are put together. */
static void test_formats_agree(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 7, 100, 5000};
    const tally first = read_sample(&made[NATIVE], RECO_SCOUT_ANY, 5000);
    assert_int_equal(first.orbits, ORBITS);
    assert_int_equal(first.events, 3564 + 3564 / 2 + 3564 / 3);
    for (int f = 0; f < FORMATS; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const tally t = read_sample(&made[f], RECO_SCOUT_ANY, sizes[s]);
            assert_int_equal(t.events, first.events);
            assert_int_equal(t.candidates, first.candidates);
            assert_true(t.hash == first.hash);
            assert_int_equal(t.orbits, ORBITS);
            assert_int_equal(fault_sum(&t), 0);
            assert_int_equal(t.assembled_bytes > 0, f == DTH);
        }
}

/* Words that are not aligned in memory are put together as well. */
static void test_unaligned(void **state)
{
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        sample moved = {0};
        sample_put(&moved, "x", 1);
        sample_put(&moved, made[f].bytes, made[f].count);
        const sample view = {moved.bytes + 1, moved.count - 1, 0};
        const tally t = read_sample(&view, RECO_SCOUT_ANY, 50), first = read_sample(&made[f], RECO_SCOUT_ANY, 50);
        assert_true(t.hash == first.hash);
        assert_int_equal(t.orbits, ORBITS);
        free(moved.bytes);
    }
}

/* ---- Every fault, and what is kept around it. ---- */

enum { EVENTS = 6, BASE = 20 }; /* crossings 20 .. 25, with as many candidates */

static void small_orbit(sample *s, uint32_t orbit)
{
    for (uint32_t bx = BASE; bx < BASE + EVENTS; bx++) sample_event(s, orbit, bx);
}

static uint64_t *header_of(sample *s, uint32_t event)
{
    size_t at = 0;
    for (uint32_t e = 0; e < event; e++) at += 1 + BASE + e;
    return (uint64_t *)(void *)s->bytes + at;
}

static void expect(const sample *s, reco_scout_format format, reco_scout_fault fault, uint64_t times, uint32_t events, uint32_t orbits)
{
    static const uint32_t sizes[] = {1000, 1};
    for (int k = 0; k < 2; k++) {
        const tally t = read_sample(s, format, sizes[k]);
        for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++)
            if (t.faults[f] != (f == fault ? times : 0) && f != RECO_SCOUT_FAULT_ZERO)
                fail_msg("%s: %llu times, %llu expected (looking for %s)", reco_scout_fault_name(f), (unsigned long long)t.faults[f],
                         (unsigned long long)(f == fault ? times : 0), reco_scout_fault_name(fault));
        assert_int_equal(t.events, events);
        assert_int_equal(t.orbits, orbits);
    }
}

/* One event of the orbit is changed; the others stay. */
static void test_event_faults(void **state)
{
    (void)state;
    static const struct {
        uint32_t event;
        uint64_t and, xor;
        reco_scout_fault fault;
        uint32_t times, events;
    } cases[] = {
        {2, ~0ull, 1ull << 61, RECO_SCOUT_FAULT_EVENT_ERROR, 1, EVENTS - 1},
        {2, ~0xfffull, 3000, RECO_SCOUT_FAULT_COUNT, 1, EVENTS - 1},        /* beyond the payload */
        {2, ~0xfffull, 30, RECO_SCOUT_FAULT_COUNT, 1, EVENTS - 1},          /* over the next header */
        {EVENTS - 1, ~0xfffull, 30, RECO_SCOUT_FAULT_COUNT, 1, EVENTS - 1}, /* at the end */
        {2, ~0xfffull, 20, RECO_SCOUT_FAULT_STRAY, 2, EVENTS},              /* two candidates too few */
        {2, ~(0xfffull << 12), 3564ull << 12, RECO_SCOUT_FAULT_BX_RANGE, 1, EVENTS - 1},
        {2, ~(0xfffull << 12), 1ull << 12, RECO_SCOUT_FAULT_BX_ORDER, 1, EVENTS},
        {2, ~(3ull << 62), 0, RECO_SCOUT_FAULT_STRAY, 23, EVENTS - 1}, /* no header any more */
        {2, ~(3ull << 62), 3ull << 62, RECO_SCOUT_FAULT_COUNT_, 0, 0}, /* the header of a truncated orbit: below */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sample s = {0};
        small_orbit(&s, SAMPLE_ORBIT);
        uint64_t *header = header_of(&s, cases[c].event);
        *header = (*header & cases[c].and) ^ cases[c].xor;
        if (cases[c].fault != RECO_SCOUT_FAULT_COUNT_) expect(&s, RECO_SCOUT_NATIVE64, cases[c].fault, cases[c].times, cases[c].events, 1);
        else {
            const tally t = read_sample(&s, RECO_SCOUT_NATIVE64, 100);
            assert_int_equal(t.faults[RECO_SCOUT_FAULT_TRUNCATED], 1);
            assert_int_equal(t.faults[RECO_SCOUT_FAULT_STRAY], BASE + 2);
            assert_int_equal(t.events, EVENTS - 1);
        }
        free(s.bytes);
    }
}

static void test_padding_and_cuts(void **state)
{
    (void)state;
    sample s = {0};
    sample_word(&s, 0);
    small_orbit(&s, SAMPLE_ORBIT);
    sample_word(&s, 0);
    sample_word(&s, 0);
    small_orbit(&s, SAMPLE_ORBIT + 3);
    expect(&s, RECO_SCOUT_ANY, RECO_SCOUT_FAULT_LOST_ORBIT, 2, 2 * EVENTS, 2);
    assert_int_equal(read_sample(&s, RECO_SCOUT_ANY, 100).faults[RECO_SCOUT_FAULT_ZERO], 3);
    s.count -= 8; /* the last event lacks a candidate */
    const tally cut = read_sample(&s, RECO_SCOUT_ANY, 100);
    assert_int_equal(cut.faults[RECO_SCOUT_FAULT_COUNT], 1);
    assert_int_equal(cut.events, 2 * EVENTS - 1);
    s.count -= 3; /* and the file ends inside a word */
    assert_int_equal(read_sample(&s, RECO_SCOUT_ANY, 100).faults[RECO_SCOUT_FAULT_CUT], 1);
    s.count = 0;
    expect(&s, RECO_SCOUT_NATIVE64, RECO_SCOUT_FAULT_CUT, 0, 0, 0);
    free(s.bytes);
}

/* Two orbits of four DTH blocks each (bx 0 to 150: some 2,900 words). */
static void dth_orbits(sample *s)
{
    for (uint32_t o = 0; o < 2; o++) {
        sample orbit = {0};
        for (uint32_t bx = 0; bx <= 150; bx++) sample_event(&orbit, SAMPLE_ORBIT + o, bx);
        sample_frame(s, RECO_SCOUT_DTH256, 7, SAMPLE_ORBIT + o, &orbit);
        free(orbit.bytes);
    }
}

static uint8_t *block_of(const sample *s, uint32_t block)
{
    size_t at = 0;
    for (; block > 0; block--) at += 32u + 32u * s->bytes[at + 6];
    return s->bytes + at;
}

/* Byte `byte` of a block's header is changed, or the block left out (byte -1). Events lost are those that reach into
 * the block, at most. */
static void test_frame_faults(void **state)
{
    (void)state;
    static const struct {
        uint32_t block;
        int byte;
        uint8_t xor;
        reco_scout_fault fault;
        uint32_t orbits;
    } cases[] = {
        {1, 0, 0xff, RECO_SCOUT_FAULT_BAD_MAGIC, 2},     {1, 5, 0x20, RECO_SCOUT_FAULT_BLOCK_ERROR, 2},
        {1, 2, 0x40, RECO_SCOUT_FAULT_BLOCK_ORDER, 2},   {1, -1, 0, RECO_SCOUT_FAULT_BLOCK_ORDER, 2},
        {0, 5, 0x80, RECO_SCOUT_FAULT_MISSING_FIRST, 2}, {0, -1, 0, RECO_SCOUT_FAULT_MISSING_FIRST, 2},
        {2, 5, 0x40, RECO_SCOUT_FAULT_MISSING_LAST, 2},  {2, -1, 0, RECO_SCOUT_FAULT_MISSING_LAST, 2},
    };
    sample whole = {0};
    dth_orbits(&whole);
    const tally all = read_sample(&whole, RECO_SCOUT_DTH256, 1000);
    assert_int_equal(all.events, 302);
    assert_int_equal(fault_sum(&all), 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sample s = {0};
        sample_put(&s, whole.bytes, whole.count);
        uint8_t *block = block_of(&s, cases[c].block);
        if (cases[c].byte >= 0) block[cases[c].byte] ^= cases[c].xor;
        else {
            uint8_t *next = block_of(&s, cases[c].block + 1);
            s.count -= (size_t)(next - block);
            memmove(block, next, s.count - (size_t)(block - s.bytes));
        }
        const tally t = read_sample(&s, RECO_SCOUT_DTH256, 1000);
        if (t.faults[cases[c].fault] == 0 || t.orbits != cases[c].orbits || t.events < 302 - 80)
            fail_msg("case %zu: %s %llu times, %u orbits, %u events", c, reco_scout_fault_name(cases[c].fault),
                     (unsigned long long)t.faults[cases[c].fault], t.orbits, t.events);
        free(s.bytes);
    }
    for (size_t cut = 1; cut < whole.count; cut += 61) { /* an input that ends anywhere */
        const sample s = {whole.bytes, whole.count - cut, 0};
        const tally t = read_sample(&s, RECO_SCOUT_DTH256, 40);
        assert_true(t.faults[RECO_SCOUT_FAULT_CUT] == 1 || t.faults[RECO_SCOUT_FAULT_MISSING_LAST] == 0);
        assert_true(t.events <= 302);
    }
    free(whole.bytes);
}

static void test_cms_faults(void **state)
{
    (void)state;
    sample s = {0}, orbit = {0};
    small_orbit(&orbit, SAMPLE_ORBIT);
    const size_t record = 32; /* behind the file's header */
    sample_frame(&s, RECO_SCOUT_CMSRAW, 7, SAMPLE_ORBIT, &orbit);
    sample_frame(&s, RECO_SCOUT_CMSRAW, 7, SAMPLE_ORBIT + 1, &orbit); /* says 101, holds events of 100 */
    expect(&s, RECO_SCOUT_ANY, RECO_SCOUT_FAULT_WRONG_ORBIT, EVENTS, EVENTS, 2);
    s.bytes[record] ^= 0xff; /* no orbit header: the next one is found */
    const tally t = read_sample(&s, RECO_SCOUT_ANY, 1000);
    assert_int_equal(t.faults[RECO_SCOUT_FAULT_BAD_MAGIC], 1);
    assert_int_equal(t.faults[RECO_SCOUT_FAULT_WRONG_ORBIT], EVENTS);
    s.bytes[record] ^= 0xff;
    s.count -= 20;
    assert_int_equal(read_sample(&s, RECO_SCOUT_ANY, 1000).faults[RECO_SCOUT_FAULT_CUT], 1);
    free(s.bytes);
    free(orbit.bytes);
}

/* Sizes of a CMSSW orbit that are wrong: the next orbit is found, and of this one what is whole is kept. */
static void test_cms_sizes(void **state)
{
    (void)state;
    static const struct {
        int32_t more_bytes;
        uint32_t events; /* kept of the first orbit */
        uint32_t faults[RECO_SCOUT_FAULT_COUNT_];
    } cases[] = {
        {-4, EVENTS - 1, {[RECO_SCOUT_FAULT_SHORT_BLOCK] = 1, [RECO_SCOUT_FAULT_COUNT] = 1, [RECO_SCOUT_FAULT_BAD_MAGIC] = 1}},
        {-8, EVENTS - 1, {[RECO_SCOUT_FAULT_COUNT] = 1, [RECO_SCOUT_FAULT_BAD_MAGIC] = 1}},
        {4, EVENTS, {[RECO_SCOUT_FAULT_SHORT_BLOCK] = 1}},
        {1 << 24, EVENTS, {[RECO_SCOUT_FAULT_CUT] = 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sample s = {0};
        for (uint32_t o = 0; o < 2; o++) {
            sample orbit = {0};
            small_orbit(&orbit, SAMPLE_ORBIT + o);
            sample_frame(&s, RECO_SCOUT_CMSRAW, 7, SAMPLE_ORBIT + o, &orbit);
            free(orbit.bytes);
        }
        int32_t size;
        memcpy(&size, s.bytes + 32 + 16, sizeof size);
        size += cases[c].more_bytes;
        memcpy(s.bytes + 32 + 16, &size, sizeof size);
        const tally t = read_sample(&s, RECO_SCOUT_CMSRAW, 1000);
        assert_int_equal(t.orbits, 2);
        assert_int_equal(t.events, EVENTS + cases[c].events);
        for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++)
            if (t.faults[f] != cases[c].faults[f] && f != RECO_SCOUT_FAULT_ZERO)
                fail_msg("size %+d: %s %llu times", cases[c].more_bytes, reco_scout_fault_name(f), (unsigned long long)t.faults[f]);
        free(s.bytes);
    }
}

/* A block within an orbit that has less than the 255 x 32 bytes of one: an event or two lose words, those behind are found again. */
static void test_short_block(void **state)
{
    (void)state;
    sample s = {0};
    dth_orbits(&s);
    uint8_t *block = block_of(&s, 1), *next = block_of(&s, 2);
    block[6] -= 3;
    s.count -= 3 * 32;
    memmove(next - 3 * 32, next, s.count - (size_t)(next - 3 * 32 - s.bytes));
    const tally t = read_sample(&s, RECO_SCOUT_DTH256, 1000);
    assert_int_equal(t.faults[RECO_SCOUT_FAULT_SHORT_BLOCK], 1);
    assert_int_equal(t.orbits, 2);
    assert_in_range(t.events, 302 - 2, 302 - 1);
    assert_int_equal(t.faults[RECO_SCOUT_FAULT_COUNT], 302 - t.events);
    free(s.bytes);
}

static void test_errors(void **state)
{
    (void)state;
    reco_scout_reader *reader;
    reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    const uint64_t candidate[4] = {1, 2, 3, 4};
    assert_int_equal(reco_scout_open("/nonexistent", NULL, &reader, &err), STOA_EIO);
    assert_int_equal(reco_scout_open_memory(candidate, sizeof candidate, NULL, &reader, &err), STOA_EFORMAT);
    assert_null(reader);
    o.candidates_max = 100;
    assert_int_equal(reco_scout_open_memory(candidate, 0, &o, &reader, &err), STOA_EINVAL);
    o = (reco_scout_options)RECO_SCOUT_OPTIONS_INIT;
    o.format = RECO_SCOUT_CMSRAW;
    assert_int_equal(reco_scout_open_memory("RAW_0002", 8, &o, &reader, &err), STOA_EFORMAT);
    assert_int_equal(reco_scout_attach(0, &o, &reader, &err), STOA_ENOTSUP);
    assert_int_equal(reco_scout_attach(-1, NULL, &reader, &err), STOA_EINVAL);
}

/* ---- A socket: what a slow reader does not take the sender keeps. ---- */

typedef struct sender {
    int fd;
    const sample *data;
} sender;

static void *send_all(void *user)
{
    const sender *s = user;
    size_t at = 0;
    while (at < s->data->count) {
        const size_t left = s->data->count - at;
        const ssize_t sent = write(s->fd, s->data->bytes + at, left < 1000 ? left : 1000);
        if (sent <= 0) break;
        at += (size_t)sent;
    }
    close(s->fd);
    return NULL;
}

static void test_socket(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    reco_scout_reader *reader;
    const reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    sender s = {ends[1], &made[DTH]};
    assert_int_equal(pthread_create(&thread, NULL, send_all, &s), 0);
    OK(reco_scout_attach(ends[0], &o, &reader, &err));
    const tally t = read_all(reader, &o), first = read_sample(&made[DTH], RECO_SCOUT_ANY, o.crossings_max);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_true(t.hash == first.hash);
    assert_int_equal(t.events, first.events);
    assert_int_equal(fault_sum(&t), 0);
}

/* A sender that dies inside a block: what came whole is kept, the orbit counts as cut. */
static void test_socket_dies(void **state)
{
    (void)state;
    sample part = {0};
    dth_orbits(&part);
    part.count -= 5000; /* in the last block but one, and in no whole word */
    part.count -= 3;
    int ends[2];
    pthread_t thread;
    reco_scout_reader *reader;
    const reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    sender s = {ends[1], &part};
    assert_int_equal(pthread_create(&thread, NULL, send_all, &s), 0);
    OK(reco_scout_attach(ends[0], &o, &reader, &err));
    const tally t = read_all(reader, &o), same = read_sample(&part, RECO_SCOUT_DTH256, o.crossings_max);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_int_equal(t.faults[RECO_SCOUT_FAULT_CUT], 1);
    assert_int_equal(t.orbits, 2);
    assert_in_range(t.events, 151, 301);
    assert_true(t.hash == same.hash && t.events == same.events);
    free(part.bytes);
}

/* ---- Real files. ---- */

static void test_real_puppi(void **state)
{
    (void)state;
    reco_scout_reader *reader;
    const reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    const char *path = data_file("puppi/puppi_w3pi_pu200.dump");
    if (!path) skip();
    OK(reco_scout_open(path, &o, &reader, &err));
    assert_int_equal(reco_scout_format_of(reader), RECO_SCOUT_NATIVE64);
    const tally t = read_all(reader, &o);
    assert_int_equal(t.events, 100);
    assert_int_equal(t.candidates, 2862);
    assert_int_equal(t.orbits, 1);
    assert_int_equal(fault_sum(&t), 0);
}

/* The same with the words of every format in memory of the caller's; what that memory must be like. */
static void test_guest(void **state)
{
    static uint64_t few[8];
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    for (int f = 0; f < FORMATS; f++) {
        const tally own = read_sample(&made[f], RECO_SCOUT_ANY, 100);
        as_guest = true;
        const tally t = read_sample(&made[f], RECO_SCOUT_ANY, 100);
        as_guest = false;
        assert_true(t.hash == own.hash);
        assert_int_equal(t.parts, own.parts);
    }
    as_guest = true;
    test_unaligned(state);
    as_guest = false;
    OK(reco_scout_open_memory(made[DTH].bytes, made[DTH].count, NULL, &reader, &err));
    assert_int_equal(reco_scout_batch_create_in(reader, NULL, 0, &batch, &err), STOA_EINVAL);
    assert_int_equal(reco_scout_batch_create_in(reader, few, sizeof few, &batch, &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "64 bytes given"));
    assert_int_equal(reco_scout_batch_create_in(reader, (char *)few + 1, SIZE_MAX, &batch, &err), STOA_EALIGN);
    assert_non_null(strstr(err.message, "at 0x"));
    assert_null(batch);
    reco_scout_destroy(reader);
}

/* 14 whole orbits and one that is cut. Every candidate carries its number and crossing. */
static void test_real_frames(void **state)
{
    (void)state;
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    bool more;
    uint32_t whole = 0, cut = 0, events = 0, candidates = 0;
    const char *path = data_file("scouting_frames/dth256_pattern.data");
    if (!path) skip();
    OK(reco_scout_open(path, NULL, &reader, &err));
    OK(reco_scout_batch_create(reader, &batch, &err));
    for (;;) {
        OK(reco_scout_read(reader, batch, &more, &err));
        if (!more) break;
        for (uint32_t e = 0; e < batch->crossings; e++) {
            const uint64_t *event = batch->words + batch->header[e];
            for (uint32_t k = 1; k <= reco_scout_count(*event); k++) {
                assert_int_equal(reco_bits(event[k], 0, 12), k);
                assert_int_equal(reco_bits(event[k], 12, 12), reco_scout_bx(*event));
            }
        }
        if (whole == 0) events += batch->crossings, candidates += batch->candidates;
        cut += batch->faults[RECO_SCOUT_FAULT_CUT];
        whole += batch->is_last_part && batch->faults[RECO_SCOUT_FAULT_CUT] == 0;
    }
    assert_int_equal(whole, 14);
    assert_int_equal(cut, 1);
    assert_int_equal(events, 575);
    assert_int_equal(candidates, 8499);
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_agree), cmocka_unit_test(test_unaligned),        cmocka_unit_test(test_guest),
        cmocka_unit_test(test_event_faults),  cmocka_unit_test(test_padding_and_cuts), cmocka_unit_test(test_frame_faults),
        cmocka_unit_test(test_cms_faults),    cmocka_unit_test(test_errors),           cmocka_unit_test(test_socket),
        cmocka_unit_test(test_real_puppi),    cmocka_unit_test(test_real_frames),      cmocka_unit_test(test_cms_sizes),
        cmocka_unit_test(test_short_block),   cmocka_unit_test(test_socket_dies),
    };
    return cmocka_run_group_tests(tests, make_samples, free_samples);
}
