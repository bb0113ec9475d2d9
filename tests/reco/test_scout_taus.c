/* SPDX-License-Identifier: Apache-2.0 */
/* Tau candidates with the published network, in float and in fixed point, and the W -> 3 pi selection: on real
 * candidates next to the figures that others found there, and on crossings made by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_file.h"
#include "reco/puppi_fixture.h"
#include "reco/scouting/puppi_taus.h"
#include "reco/scouting/w3pi.h"
#include "reco/scouting_words.h"

#include <math.h>

typedef struct fixture {
    puppi_fixture base;
    stoa_device *host; /* for the network in fixed point, which runs there only */
    stoa_queue *host_queue;
    stoa_collection *memory;
    crossing_taus_soa of;
    taus_soa taus;
    w3pi_soa w3pi;
    stoa_buffer *scratch;
    uint32_t *pions, *place;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    const stoa_block blocks[] = {{"of", &crossing_taus_soa_layout, PUPPI_CROSSINGS, 0, NULL},
                                 {"taus", &taus_soa_layout, 5 * PUPPI_CROSSINGS, 0, NULL},
                                 {"w3pi", &w3pi_soa_layout, PUPPI_CROSSINGS, 0, NULL}};
    puppi_set_up(&f.base);
    PUPPI_OK(&f.base, stoa_device_open("host", &f.host, &f.base.err));
    PUPPI_OK(&f.base, stoa_queue_create(f.host, STOA_QUEUE_BLOCKING, &f.host_queue, &f.base.err));
    f.scratch = make_shared(f.base.queue, 2 * PUPPI_ROWS * sizeof *f.pions);
    f.pions = stoa_buffer_data(f.scratch);
    f.place = f.pions + PUPPI_ROWS;
    PUPPI_OK(&f.base, stoa_collection_create(f.base.queue, STOA_MEMORY_PINNED, blocks, 3, &f.memory, &f.base.err));
    PUPPI_OK(&f.base, stoa_collection_view(f.memory, "of", &f.of.head, &f.base.err));
    PUPPI_OK(&f.base, stoa_collection_view(f.memory, "taus", &f.taus.head, &f.base.err));
    PUPPI_OK(&f.base, stoa_collection_view(f.memory, "w3pi", &f.w3pi.head, &f.base.err));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_collection_destroy(f->memory);
    stoa_buffer_release(f->scratch);
    stoa_queue_destroy(f->host_queue);
    stoa_device_close(f->host);
    puppi_tear_down(&f->base);
    return 0;
}

static void find_taus(fixture *f, reco_tau_options options)
{
    const reco_puppi_taus args = {f->base.puppi, f->base.crossings, options, f->pions, f->place, f->of, f->taus};
    PUPPI_OK(&f->base, reco_puppi_taus_enqueue(f->base.queue, &args, &f->base.err));
}

static void find_w(fixture *f)
{
    const reco_w3pi args = {f->base.puppi, f->base.crossings, RECO_W3PI_CUTS_INIT, f->pions, f->w3pi};
    PUPPI_OK(&f->base, reco_w3pi_enqueue(f->base.queue, &args, &f->base.err));
}

static float feature(const fixture *f, uint32_t tau, uint32_t candidate, uint32_t number)
{ return f->taus.features.data[(candidate * 8 + number) * f->taus.features.stride + tau]; }

/* The network in double precision, with the weights as they stand in the file. */
typedef struct double_network {
    double values[4096];
    size_t count;
} double_network;

static void read_doubles(const char *path, double_network *n)
{
    char line[256];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *at = line, *end;
        if (line[0] == '#' || line[0] == 't') continue;
        for (double v = strtod(at, &end); end != at && n->count < 4096; v = strtod(at, &end)) {
            n->values[n->count++] = v;
            at = end;
        }
    }
    fclose(file);
}

static void run_double(const fixture *f, const double_network *n, uint32_t tau, double *id, double *factor)
{
    static const int widths[] = {80, 25, 25, 15, 15, 10};
    double in[80], out[80];
    const double *w = n->values;
    for (uint32_t k = 0; k < 80; k++) in[k] = (double)feature(f, tau, k / 8, k % 8);
    for (int l = 0; l < 5; l++) {
        for (int o = 0; o < widths[l + 1]; o++) {
            out[o] = w[widths[l] * widths[l + 1] + o];
            for (int i = 0; i < widths[l]; i++) out[o] += in[i] * w[i * widths[l + 1] + o];
            out[o] = fmin(fmax(out[o], 0), 511.0 / 512);
        }
        w += widths[l] * widths[l + 1] + widths[l + 1];
        memcpy(in, out, sizeof in);
    }
    double head[2] = {w[10], w[21]};
    for (int i = 0; i < 10; i++) head[0] += in[i] * w[i], head[1] += in[i] * w[11 + i];
    *id = 1 / (1 + exp(-head[0]));
    *factor = head[1];
}

typedef struct pt_bin {
    double low, high, mean_id;
    uint32_t count, found;
    double sum;
} pt_bin;

/* 500 taus of 100 events: counts and mean id by the seed's pt as they were found before, by another program. */
static void test_real_taus(void **state)
{
    fixture *f = *state;
    static reco_tau_network network;
    static double_network doubles;
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    pt_bin bins[] = {{0, 5, 0.37, 286, 0, 0}, {5, 10, 0.33, 104, 0, 0}, {10, 20, 0.57, 42, 0, 0}, {20, 1e9, 0.92, 68, 0, 0}};
    const char *path = data_file("models/nn_puppi_tau_v1.weights.txt");
    double largest = 0, factors = 0;
    if (!path) skip();
    PUPPI_OK(&f->base, reco_tau_network_read(path, &network, &f->base.err));
    read_doubles(path, &doubles);
    PUPPI_OK(&f->base, reco_scout_open(data_file("puppi/puppi_w3pi_pu200.dump"), NULL, &reader, &f->base.err));
    puppi_load(&f->base, reader, &batch);
    find_taus(f, (reco_tau_options)RECO_TAU_OPTIONS_INIT);
    assert_int_equal(*f->taus.taus, 500);
    PUPPI_OK(&f->base, reco_tau_fixed_enqueue(f->host_queue, &(reco_tau_fixed){&network, f->taus}, &f->base.err));
    for (uint32_t t = 0; t < 500; t++) {
        double id, factor;
        run_double(f, &doubles, t, &id, &factor);
        largest = fmax(largest, fabs(id - (double)f->taus.id[t]));
        factors += factor / 500;
        for (int b = 0; b < 4; b++)
            if ((double)f->taus.pt[t] >= bins[b].low && (double)f->taus.pt[t] < bins[b].high) bins[b].found++, bins[b].sum += id;
    }
    for (int b = 0; b < 4; b++) {
        assert_int_equal(bins[b].found, bins[b].count);
        if (fabs(bins[b].sum / bins[b].found - bins[b].mean_id) > 0.006)
            fail_msg("bin %d: mean id %g, %g expected", b, bins[b].sum / bins[b].found, bins[b].mean_id);
    }
    print_message("id in fixed point is off by at most %.4f; mean pt factor %.3f\n", largest, factors);
    assert_true(largest > 0 && largest < 0.02);
    assert_true(fabs(factors - 1.18) < 0.005);
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
}

/* 14 crossings with a triplet: found by brute force over all triplets in double precision, by another program. */
static void test_real_w(void **state)
{
    fixture *f = *state;
    static const struct {
        uint32_t crossing;
        double mass, pt_sum;
    } truth[] = {{1, 82.84, 75.25},  {6, 78.70, 75.5},   {24, 80.76, 46.5},  {37, 78.90, 64.75}, {40, 61.44, 60.75},
                 {48, 78.28, 71},    {52, 90.06, 55.75}, {56, 87.70, 69},    {66, 81.55, 50},    {68, 82.14, 73.5},
                 {79, 81.21, 67.25}, {80, 80.70, 49.25}, {88, 83.10, 67.75}, {90, 76.59, 60.75}};
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    uint32_t found = 0;
    const char *path = data_file("puppi/puppi_w3pi_pu200.dump");
    if (!path) skip();
    PUPPI_OK(&f->base, reco_scout_open(path, NULL, &reader, &f->base.err));
    puppi_load(&f->base, reader, &batch);
    find_w(f);
    for (uint32_t c = 0; c < 100; c++) {
        if (!f->w3pi.found[c]) continue;
        assert_int_equal(truth[found].crossing, c);
        assert_true(fabs((double)f->w3pi.mass[c] - truth[found].mass) < 0.006);
        assert_true(fabs((double)f->w3pi.pt_sum[c] - truth[found].pt_sum) < 1e-4);
        found++;
    }
    assert_int_equal(found, sizeof truth / sizeof *truth);
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
}

/* ---- By hand. ---- */

typedef struct candidate {
    double pt, eta, phi;
    uint32_t pid;
} candidate;

/* One crossing without candidates, then one with these. */
static void load(fixture *f, const candidate *list, uint32_t count)
{
    uint64_t words[64] = {reco_scout_header(1, 5, 0), reco_scout_header(1, 6, count)};
    const uint32_t header[2] = {0, 1};
    for (uint32_t i = 0; i < count; i++)
        words[2 + i] = reco_puppi_word((uint32_t)lrint(list[i].pt * 4), (int32_t)lrint(list[i].eta / (double)RECO_SCOUT_ANGLE),
                                       (int32_t)lrint(list[i].phi / (double)RECO_SCOUT_ANGLE), list[i].pid, 0, 0, 0);
    const reco_scout_batch batch = {.words = words, .header = header, .word_count = 2 + count, .crossings = 2, .candidates = count};
    puppi_unpack(&f->base, &batch, 0);
}

/* Seeds in order of pt, one at the edge of phi, a photon, one too near, one too forward. */
static void test_seeds(void **state)
{
    fixture *f = *state;
    const candidate list[] = {{2, 0, 3.10, RECO_PID_H0},     {30, 0, 3.10, RECO_PID_PIPLUS}, {20, 0.1, -3.10, RECO_PID_PIMINUS},
                              {40, 1.5, 0, RECO_PID_PHOTON}, {10, 1.4, 0, RECO_PID_EMINUS},  {50, 2.6, 1, RECO_PID_PIPLUS},
                              {3, -1, -1, RECO_PID_MUPLUS},  {3, -1, -1.1, RECO_PID_PIPLUS}};
    reco_tau_options o = RECO_TAU_OPTIONS_INIT;
    load(f, list, 8);
    find_taus(f, o);
    assert_int_equal(*f->taus.taus, 3);
    assert_int_equal(f->of.count[0], 0);
    assert_int_equal(f->of.count[1], 3);
    assert_int_equal(f->of.offset[2], 3);
    static const uint32_t seeds[] = {1, 4, 7};
    for (uint32_t t = 0; t < 3; t++) {
        assert_int_equal(f->taus.seed[t], seeds[t]);
        assert_int_equal(f->taus.crossing[t], 1);
    }
    /* The first cone goes over phi = pi: seed, pi-, h0; nothing more. */
    static const float pt[] = {30, 20, 2, 0};
    static const uint32_t kind[] = {7, 7, 6};
    for (uint32_t r = 0; r < 4; r++) {
        assert_true(fabsf(feature(f, 0, r, 0) - pt[r]) < 1e-6f);
        for (uint32_t k = 3; k < 8; k++) assert_true((feature(f, 0, r, k) > 0.5f) == (r < 3 && k == kind[r]));
    }
    assert_true(fabsf(feature(f, 0, 1, 2) + 0.083f) < 0.01f);
    assert_true(fabsf(feature(f, 0, 1, 1) + 0.1f) < 0.01f);
    assert_true(fabsf(f->taus.cone_pt[0] - 52) < 1e-4f);
    o.with_photons = 1;
    find_taus(f, o);
    assert_int_equal(f->taus.seed[0], 3);
    o.cone_pt_min = 20;
    find_taus(f, o);
    assert_int_equal(*f->taus.taus, 2); /* the photon's cone and the first pion's; muon and pion make 6 GeV */
    assert_int_equal(f->taus.seed[1], 1);
}

/* Twelve candidates in a cone, two of them of equal pt: the leading ten in order. */
static void test_leading_ten(void **state)
{
    fixture *f = *state;
    candidate list[12];
    for (uint32_t i = 0; i < 12; i++) list[i] = (candidate){i == 7 ? 5.0 : 1.0 + i, 0.02 * i, 0, RECO_PID_PIPLUS};
    load(f, list, 12);
    find_taus(f, (reco_tau_options)RECO_TAU_OPTIONS_INIT);
    static const float pt[] = {12, 11, 10, 9, 7, 6, 5, 5, 4, 3};
    assert_int_equal(*f->taus.taus, 1);
    for (uint32_t r = 0; r < 10; r++) assert_true(fabsf(feature(f, 0, r, 0) - pt[r]) < 1e-6f);
    /* Units of eta: the seed 50, the equal ones 18 and 32, so that their low bits are 0 and 2: the later one goes first. */
    assert_true(feature(f, 0, 6, 1) < feature(f, 0, 7, 1));
}

/* A seed and fifteen candidates of one pt: the firmware's key decides which nine follow, and how. */
static void test_equal_pt(void **state)
{
    fixture *f = *state;
    enum { COUNT = 16, UNIT_SEED = 3 };
    candidate list[COUNT] = {{9, UNIT_SEED * (double)RECO_SCOUT_ANGLE, 0, RECO_PID_PIPLUS}};
    int key[COUNT], order[COUNT];
    for (int i = 1; i < COUNT; i++) {
        const int eta = UNIT_SEED + i % 5 * 3 - 6, phi = i * i % 11 - 5;
        list[i] = (candidate){4, eta * (double)RECO_SCOUT_ANGLE, phi * (double)RECO_SCOUT_ANGLE, RECO_PID_PIPLUS};
        key[i] = ((UNIT_SEED - eta) & 7) * 8 + (-phi & 7);
        int at = i; /* a stable sort, largest first */
        for (; at > 1 && key[order[at - 1]] < key[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    load(f, list, COUNT);
    find_taus(f, (reco_tau_options)RECO_TAU_OPTIONS_INIT);
    assert_int_equal(*f->taus.taus, 1);
    assert_true(f->taus.cone_pt[0] > 68.9f && f->taus.cone_pt[0] < 69.1f);
    for (uint32_t r = 1; r < 10; r++) {
        const double eta = list[0].eta - list[order[r]].eta, phi = -list[order[r]].phi;
        if (fabs((double)feature(f, 0, r, 1) - eta) > 1e-5 || fabs((double)feature(f, 0, r, 2) - phi) > 1e-5)
            fail_msg("candidate %u: (%g, %g), (%g, %g) expected", r, (double)feature(f, 0, r, 1), (double)feature(f, 0, r, 2), eta, phi);
    }
}

/* Three pions of 20 GeV at 120 degrees at eta 0: mass 60 GeV and a little. */
static void test_w_by_hand(void **state)
{
    fixture *f = *state;
    const double third = 2.0943951;
    candidate list[] = {
        {25, 0, 0, RECO_PID_PIPLUS}, {25, 0, third, RECO_PID_PIPLUS}, {25, 0, -third, RECO_PID_PIMINUS}, {8, 2, 2, RECO_PID_PIPLUS}};
    load(f, list, 4);
    find_w(f);
    assert_int_equal(f->w3pi.found[0], 0);
    assert_int_equal(f->w3pi.found[1], 1);
    assert_true(fabsf(f->w3pi.mass[1] - 75) < 0.1f);
    list[2].pid = RECO_PID_PIPLUS; /* charge 3, but two of them and a soft electron: mass too low */
    load(f, list, 4);
    find_w(f);
    assert_int_equal(f->w3pi.found[1], 0);
    list[2].pid = RECO_PID_PIMINUS;
    list[3] = (candidate){60, 0.1, 0, RECO_PID_H0}; /* the first is not isolated any more */
    load(f, list, 4);
    find_w(f);
    assert_int_equal(f->w3pi.found[1], 0);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    reco_puppi_taus args = {f->base.puppi, f->base.crossings, RECO_TAU_OPTIONS_INIT, f->pions, f->place, f->of, f->taus};
    args.taus.head.rows = 5;
    assert_int_equal(reco_puppi_taus_enqueue(f->base.queue, &args, &f->base.err), STOA_ESHAPE);
    args.taus = f->taus;
    args.options.cone = NAN;
    assert_int_equal(reco_puppi_taus_enqueue(f->base.queue, &args, &f->base.err), STOA_EINVAL);
    reco_w3pi w = {f->base.puppi, f->base.crossings, RECO_W3PI_CUTS_INIT, NULL, f->w3pi};
    assert_int_equal(reco_w3pi_enqueue(f->base.queue, &w, &f->base.err), STOA_EINVAL);
    static reco_tau_network network;
    assert_int_equal(reco_tau_network_read("/nonexistent", &network, &f->base.err), STOA_EIO);
    assert_int_equal(reco_tau_network_read(STOA_SOURCE_DIR "/README.md", &network, &f->base.err), STOA_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_taus),   cmocka_unit_test(test_real_w),   cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_leading_ten), cmocka_unit_test(test_equal_pt), cmocka_unit_test(test_w_by_hand),
        cmocka_unit_test(test_errors),
    };
    require_device();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
