/* SPDX-License-Identifier: Apache-2.0 */
/* The unpackers (reco/scouting/unpack.h) against CMS's own output and against values packed by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_file.h"
#include "reco/io/table.h"
#include "reco/puppi_fixture.h"
#include "reco/scouting/decode_forms.h"
#include "reco/scouting_words.h"

#include <float.h>

static stoa_error err;
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

enum { MUONS = 16 };

static uint32_t differences(const reco_table *truth, const char *name, const float *got, uint32_t rows)
{
    const reco_column *column;
    uint32_t count = 0;
    OK(reco_table_get(truth, name, &column, &err));
    assert_int_equal(reco_table_rows(truth), rows);
    for (uint32_t i = 0; i < rows; i++) { /* the file has 9 digits: a float exactly */
        const float want = (float)reco_column_value(column, i);
        count += memcmp(&want, &got[i], sizeof want) != 0 && !(want == 0.0f && got[i] == 0.0f);
    }
    return count;
}

/* All columns that the file has right; the weight by its rule, from the words. */
static void test_real_puppi(void **state)
{
    puppi_fixture *f = *state;
    reco_table *truth;
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    const reco_column *event, *pdgid, *quality;
    const char *path = data_file("puppi/puppi_w3pi_pu200_unpacked.csv");
    if (!path) skip();
    OK(reco_table_read(path, &truth, &err));
    OK(reco_scout_open(data_file("puppi/puppi_w3pi_pu200.dump"), NULL, &reader, &err));
    puppi_load(f, reader, &batch);
    const uint32_t rows = *f->crossings.candidates;
    assert_int_equal(rows, 2862);
    assert_int_equal(differences(truth, "pt", f->puppi.pt, rows), 0);
    assert_int_equal(differences(truth, "eta", f->puppi.eta, rows), 0);
    assert_int_equal(differences(truth, "phi", f->puppi.phi, rows), 0);
    assert_int_equal(differences(truth, "z0", f->puppi.z0, rows), 0);
    assert_int_equal(differences(truth, "dxy", f->puppi.dxy, rows), 0);
    OK(reco_table_get(truth, "event", &event, &err));
    OK(reco_table_get(truth, "pdgId", &pdgid, &err));
    OK(reco_table_get(truth, "quality", &quality, &err));
    for (uint32_t e = 0, i = 0; e < batch->crossings; e++)
        for (uint32_t k = 0; k < f->crossings.count[e]; k++, i++) {
            const uint64_t word = batch->words[batch->header[e] + 1 + k];
            const float weight = reco_bits(word, 37, 3) > 1 ? 1.0f : (float)reco_bits(word, 40, 10) / 256.0f;
            assert_int_equal((int)reco_column_value(event, i), e);
            assert_int_equal(f->crossings.offset[e] + k, i);
            assert_int_equal((int)reco_column_value(pdgid, i), f->puppi.pdgid[i]);
            assert_int_equal((int)reco_column_value(quality, i), f->puppi.quality[i]);
            assert_true(f->puppi.puppiw[i] >= weight && f->puppi.puppiw[i] <= weight);
        }
    reco_table_destroy(truth);
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
}

/* One candidate a line, as packed and as it should come out. */
static const struct {
    uint32_t pt;
    int32_t eta, phi;
    uint32_t pid;
    int32_t z0_or_weight, dxy;
    uint32_t quality;
    float z0, xy, weight;
    int16_t pdgid;
    uint8_t quality_out;
} kinds[] = {
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 130, 0},
    {16383, -2048, -1024, 1, 1023, 0x2a, 0, 0, 0, 1023 / 256.0f, 22, 0x2a},
    {1, 2047, 1023, 2, -512, -128, 7, 0.05f * -512, 0.05f * -128, 1, -211, 7},
    {2, -1, 1, 3, 511, 127, 1, 0.05f * 511, 0.05f * 127, 1, 211, 1},
    {3, 1, -1, 4, -1, 1, 2, 0.05f * -1, 0.05f, 1, 11, 2},
    {4, 720, -720, 5, 1, -1, 3, 0.05f, -0.05f, 1, -11, 3},
    {5, -720, 719, 6, 2, 0, 4, 0.1f, 0, 1, 13, 4},
    {6, 3, 4, 7, -2, 0, 5, -0.1f, 0, 1, -13, 5},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void check_kind(const puppi_fixture *f, uint32_t row, uint32_t k)
{
    const float want[] = {0.25f * (float)kinds[k].pt,
                          RECO_SCOUT_ANGLE * (float)kinds[k].eta,
                          RECO_SCOUT_ANGLE * (float)kinds[k].phi,
                          kinds[k].z0,
                          kinds[k].xy,
                          kinds[k].weight};
    const float got[] = {f->puppi.pt[row], f->puppi.eta[row], f->puppi.phi[row], f->puppi.z0[row], f->puppi.dxy[row], f->puppi.puppiw[row]};
    for (size_t c = 0; c < sizeof want / sizeof *want; c++)
        if (want[c] < got[c] || want[c] > got[c]) fail_msg("kind %u, column %zu: %g, %g expected", k, c, (double)got[c], (double)want[c]);
    assert_int_equal(f->puppi.pdgid[row], kinds[k].pdgid);
    assert_int_equal(f->puppi.quality[row], kinds[k].quality_out);
}

/* So many rows that the columns go past the caches; the words end where their memory ends, and rows behind the last stay as they are. */
static void test_large(void **state)
{
    puppi_fixture f = *(puppi_fixture *)*state;
    enum { EVENTS = 78001, ROWS = EVENTS * KINDS, BEHIND = 40 };
    const stoa_block blocks[] = {{"puppi", &puppi_soa_layout, ROWS + BEHIND, 0, NULL},
                                 {"crossings", &crossings_soa_layout, EVENTS + 1, 0, NULL}};
    uint64_t *words = malloc(sizeof *words * (ROWS + EVENTS)), *to = words;
    uint32_t *header = malloc(sizeof *header * EVENTS);
    stoa_collection *memory;
    assert_true(words && header);
    PUPPI_OK(&f, stoa_collection_create(f.queue, STOA_MEMORY_DEVICE, blocks, 2, &memory, &f.err));
    PUPPI_OK(&f, stoa_collection_view(memory, "puppi", &f.puppi.head, &f.err));
    PUPPI_OK(&f, stoa_collection_view(memory, "crossings", &f.crossings.head, &f.err));
    for (uint32_t e = 0; e < EVENTS; e++) {
        header[e] = (uint32_t)(to - words);
        *to++ = reco_scout_header(9, e % (RECO_SCOUT_BX_MAX + 1), KINDS);
        for (uint32_t k = 0; k < KINDS; k++)
            *to++ = reco_puppi_word(kinds[k].pt, kinds[k].eta, kinds[k].phi, kinds[k].pid, kinds[k].z0_or_weight, kinds[k].dxy,
                                    kinds[k].quality);
    }
    for (uint32_t i = ROWS; i < ROWS + BEHIND; i++) f.puppi.pt[i] = f.puppi.quality[i] = 77;
    const reco_scout_unpack args = {words, header, EVENTS, ROWS, 0, f.puppi, f.crossings};
    PUPPI_OK(&f, reco_scout_unpack_enqueue(f.queue, &args, &f.err));
    for (uint32_t i = 0; i < ROWS; i++) check_kind(&f, i, i % KINDS);
    for (uint32_t i = ROWS; i < ROWS + BEHIND; i++) assert_true(f.puppi.pt[i] > 76.0f && f.puppi.quality[i] == 77);
    stoa_collection_destroy(memory);
    free(header);
    free(words);
}

/* Crossings of 0, 1, 8, 8, .. candidates, more words than a block: every place of a kind in the vectors. */
static void test_kinds_and_padding(void **state)
{
    puppi_fixture *f = *state;
    enum { EVENTS = 300, SLOTS = 5 };
    static uint64_t words[EVENTS * (KINDS + 1)];
    static uint32_t header[EVENTS];
    reco_scout_batch b = {.words = words, .header = header, .crossings = EVENTS};
    for (uint32_t e = 0; e < EVENTS; e++) {
        const uint32_t count = e % 7 == 0 ? 0 : e % 7 == 1 ? 1 : KINDS;
        header[e] = b.word_count;
        words[b.word_count++] = reco_scout_header(9, e, count);
        for (uint32_t k = 0; k < count; k++)
            words[b.word_count++] = reco_puppi_word(kinds[k].pt, kinds[k].eta, kinds[k].phi, kinds[k].pid, kinds[k].z0_or_weight,
                                                    kinds[k].dxy, kinds[k].quality);
        b.candidates += count;
    }
    puppi_unpack(f, &b, 0);
    assert_int_equal(*f->crossings.crossings, EVENTS);
    assert_int_equal(*f->crossings.rows, EVENTS + 1);
    assert_int_equal(f->crossings.offset[EVENTS], b.candidates);
    for (uint32_t e = 0; e < EVENTS; e++) {
        assert_int_equal(f->crossings.bx[e], e);
        assert_int_equal(f->crossings.offset[e + 1] - f->crossings.offset[e], f->crossings.count[e]);
        for (uint32_t k = 0; k < f->crossings.count[e]; k++) check_kind(f, f->crossings.offset[e] + k, k);
    }
    puppi_unpack(f, &b, SLOTS);
    assert_int_equal(*f->crossings.candidates, EVENTS * SLOTS);
    for (uint32_t e = 0; e < EVENTS; e++) {
        const uint32_t whole = reco_scout_count(words[header[e]]);
        assert_int_equal(f->crossings.count[e], whole < SLOTS ? whole : SLOTS);
        assert_int_equal(f->crossings.offset[e], e * SLOTS);
        for (uint32_t k = 0; k < SLOTS; k++)
            if (k < f->crossings.count[e]) check_kind(f, e * SLOTS + k, k);
            else assert_true(f->puppi.pt[e * SLOTS + k] >= FLT_MAX && f->puppi.pdgid[e * SLOTS + k] == INT16_MAX);
    }
}

/* Every form that this processor has against decoding one by one, from random words: all bits of all rows, and none behind them. */
enum { FORM_ROWS = 3000, FORM_ROOM = 3072, FORM_ROW_BYTES = 27 };

static puppi_soa form_columns(char *memory)
{
    puppi_soa p = {.head = {.rows = FORM_ROOM}};
    float **const columns[] = {&p.pt, &p.eta, &p.phi, &p.z0, &p.dxy, &p.puppiw};
    for (size_t c = 0; c < 6; c++) *columns[c] = (float *)(void *)(memory + c * FORM_ROOM * sizeof(float));
    p.pdgid = (int16_t *)(void *)(memory + 6 * FORM_ROOM * sizeof(float));
    p.quality = (uint8_t *)(memory + 6 * FORM_ROOM * sizeof(float) + FORM_ROOM * sizeof(int16_t));
    return p;
}

static void compare_form(const decode_form *form, const word_source *from, uint32_t first, uint32_t end, bool past_caches)
{
    static _Alignas(64) char want[FORM_ROOM * FORM_ROW_BYTES], got[FORM_ROOM * FORM_ROW_BYTES];
    memset(want, 0x5a, sizeof want);
    memset(got, 0x5a, sizeof got);
    const puppi_soa wanted = form_columns(want), gotten = form_columns(got);
    decode_words(from, &wanted, first, end);
    form->decode(from, &gotten, first, end, past_caches);
    if (memcmp(want, got, sizeof want) != 0) fail_msg("%s: rows [%u, %u), past caches %d", form->name, first, end, past_caches);
}

static void test_forms(void **state)
{
    (void)state;
    enum { CROSSINGS = 400 };
    static uint64_t words[FORM_ROWS + CROSSINGS];
    static uint32_t header[CROSSINGS], offset[CROSSINGS + 1];
    uint64_t random = 88172645463325252u;
    uint32_t at = 0;
    for (uint32_t e = 0; e < CROSSINGS; e++) {
        const uint32_t left = FORM_ROWS - offset[e], kind = e % 5;
        const uint32_t wish = e + 1 == CROSSINGS ? left : kind == 0 ? 0 : kind == 1 ? e % 4 : kind == 2 ? e % 16 : kind == 3 ? 8 : e % 40;
        header[e] = at++;
        offset[e + 1] = offset[e] + (wish < left ? wish : left);
        for (uint32_t i = offset[e]; i < offset[e + 1]; i++, random ^= random << 13, random ^= random >> 7, random ^= random << 17)
            words[at++] = random;
        words[header[e]] = UINT64_MAX; /* of a header nothing may be seen */
    }
    const word_source from = {words, header, offset, CROSSINGS};
    for (size_t f = 0; f < DECODE_FORMS; f++) {
        if (!decode_forms[f].runs()) {
            print_message("%s: not on this processor\n", decode_forms[f].name);
            continue;
        }
        for (uint32_t first = 0; first < FORM_ROWS; first += 37)
            for (uint32_t n = 0; n < 70 && first + n <= FORM_ROWS; n += 3) compare_form(&decode_forms[f], &from, first, first + n, false);
        for (uint32_t first = 0; first < FORM_ROWS; first += 64) compare_form(&decode_forms[f], &from, first, FORM_ROWS, true);
    }
}

static void test_errors(void **state)
{
    puppi_fixture *f = *state;
    uint64_t words[2] = {reco_scout_header(0, 0, 1), 0};
    const uint32_t header[1] = {0};
    reco_scout_unpack args = {words, header, 1, 1, 0, f->puppi, f->crossings};
    args.puppi.head.rows = 0;
    assert_int_equal(reco_scout_unpack_enqueue(f->queue, &args, &err), STOA_ESHAPE);
    args.puppi = f->puppi;
    args.crossings_out.head.rows = 1;
    assert_int_equal(reco_scout_unpack_enqueue(f->queue, &args, &err), STOA_ESHAPE);
    args.crossings_out = f->crossings;
    args.words = NULL;
    assert_int_equal(reco_scout_unpack_enqueue(f->queue, &args, &err), STOA_EINVAL);
    args.crossings = args.candidates = 0;
    OK(reco_scout_unpack_enqueue(f->queue, &args, &err));
    assert_int_equal(f->crossings.offset[0], 0);
}

/* Two muons in three words, with every field at an end of its range; the third muon has no high bits. */
static void test_muons(void **state)
{
    puppi_fixture *f = *state;
    const uint64_t even = 0xffffull << 1 | 0x1000ull << 17 | 0x1fffull << 30 | 0x1ffull << 44 | 0x200ull << 54;
    const uint64_t odd = 4ull << 1 | 1ull << 17 | 0x3fffull << 30 | 0x3ffull << 44 | 1ull << 54;
    const uint64_t high_even = 1 | 0xffull << 1 | 0xfull << 9 | 0xfull << 13, high_odd = 0 | 3ull << 1 | 2ull << 9 | 1ull << 13;
    const uint64_t words[5] = {even, high_even | high_odd << 32, odd, even, high_even};
    stoa_collection *memory;
    tracker_muons_soa m;
    const stoa_block block = {"muons", &tracker_muons_soa_layout, MUONS, 0, NULL};
    OK(stoa_collection_create(f->queue, STOA_MEMORY_DEVICE, &block, 1, &memory, &err));
    OK(stoa_collection_view(memory, "muons", &m.head, &err));
    const reco_muon_unpack args = {words, 4, m};
    OK(reco_muon_unpack_enqueue(f->queue, &args, &err));
    const float angle = (float)(3.141592653589793 / 4096);
    const float want[2][6] = {{0.03125f * 65535, angle * -4096, angle * 8191, 0.05f * 511, 0.03f * -512, 0.06f * 15},
                              {0.125f, angle, -angle, -0.05f, 0.03f, 0.06f}};
    for (int i = 0; i < 2; i++) {
        const float got[6] = {m.pt[i], m.phi[i], m.eta[i], m.z0[i], m.d0[i], m.beta[i]};
        assert_memory_equal(got, want[i], sizeof got);
    }
    assert_int_equal(m.charge[0], -1);
    assert_int_equal(m.charge[1], 1);
    assert_int_equal(m.quality[0], 255);
    assert_int_equal(m.quality[1], 3);
    assert_int_equal(m.isolation[0], 15);
    assert_int_equal(m.isolation[1], 2);
    const reco_muon_unpack more = {words, 5, m};
    OK(reco_muon_unpack_enqueue(f->queue, &more, &err));
    assert_true(m.pt[2] >= m.pt[0] && m.pt[2] <= m.pt[0]);
    const reco_muon_unpack many = {words, 3000, m};
    assert_int_equal(reco_muon_unpack_enqueue(f->queue, &many, &err), STOA_ESHAPE);
    stoa_collection_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_puppi), cmocka_unit_test(test_kinds_and_padding),
        cmocka_unit_test(test_large),      cmocka_unit_test(test_forms),
        cmocka_unit_test(test_errors),     cmocka_unit_test(test_muons),
    };
    return cmocka_run_group_tests(tests, puppi_set_up_state, puppi_tear_down_state);
}
