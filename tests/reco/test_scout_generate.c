/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated crossings (reco/generate/scout.h): the same in every format, events that depend on their number only, truth
 * that the candidates bear out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reco/generate/scout.h"
#include "reco/puppi_fixture.h"
#include "reco/scouting/words.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static stoa_error err;
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

enum { EVENTS = 4000 };

static char path[] = "/tmp/stoa_scout_XXXXXX";

static reco_table *generate(uint32_t events, uint64_t seed, reco_scout_format format, uint64_t *candidates)
{
    reco_table *truth;
    reco_scout_sim_options o = RECO_SCOUT_SIM_OPTIONS_INIT;
    o.events = events;
    o.seed = seed;
    o.format = format;
    OK(reco_generate_scout(&o, path, &truth, candidates, &err));
    return truth;
}

/* Hash of the first events of the file. */
static uint64_t hash_file(uint32_t events, uint64_t *candidates)
{
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    bool more = true;
    uint64_t hash = 1;
    uint32_t seen = 0;
    *candidates = 0;
    OK(reco_scout_open(path, NULL, &reader, &err));
    OK(reco_scout_batch_create(reader, &batch, &err));
    while (more) {
        OK(reco_scout_read(reader, batch, &more, &err));
        for (uint32_t f = 0; f < RECO_SCOUT_FAULT_COUNT_; f++)
            if (f != RECO_SCOUT_FAULT_ZERO) assert_int_equal(batch->faults[f], 0);
        *candidates += batch->candidates;
        for (uint32_t e = 0; e < batch->crossings && seen < events; e++, seen++) {
            const uint64_t *event = batch->words + batch->header[e];
            for (uint32_t k = 0; k <= reco_scout_count(*event); k++) hash = (hash ^ event[k]) * 0x100000001b3u;
        }
    }
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
    assert_int_equal(seen, events);
    return hash;
}

static void test_same_events(void **state)
{
    (void)state;
    uint64_t hashes[5], candidates, read;
    for (int format = RECO_SCOUT_ANY; format <= RECO_SCOUT_CMSRAW; format++) {
        reco_table_destroy(generate(EVENTS, 7, (reco_scout_format)format, &candidates));
        hashes[format] = hash_file(EVENTS, &read);
        assert_true(candidates == read);
        assert_true(hashes[format] == hashes[0]);
    }
    reco_table_destroy(generate(100, 7, RECO_SCOUT_ANY, &candidates));
    const uint64_t few = hash_file(100, &read);
    reco_table_destroy(generate(EVENTS, 7, RECO_SCOUT_ANY, &candidates));
    assert_true(hash_file(100, &read) == few);
    reco_table_destroy(generate(100, 8, RECO_SCOUT_ANY, &candidates));
    assert_true(hash_file(100, &read) != few);
}

static float nearby_pt(const puppi_fixture *f, uint32_t crossing, double eta, double phi)
{
    float sum = 0;
    for (uint32_t i = f->crossings.offset[crossing]; i < f->crossings.offset[crossing + 1]; i++) {
        const double d_eta = (double)f->puppi.eta[i] - eta, d_phi = remainder((double)f->puppi.phi[i] - phi, 6.283185307179586);
        if (d_eta * d_eta + d_phi * d_phi < 0.09) sum += f->puppi.pt[i];
    }
    return sum;
}

/* Around each tau above 10 GeV there is most of its pt; a third of the events has taus, a third jets. */
static void test_truth(void **state)
{
    puppi_fixture *f = *state;
    reco_scout_reader *reader;
    reco_scout_batch *batch;
    reco_scout_options o = RECO_SCOUT_OPTIONS_INIT;
    uint64_t candidates;
    const reco_column *orbit, *bx, *is_tau, *pt, *eta, *phi;
    uint32_t taus = 0, found = 0, of_kind[2] = {0, 0}, last_bx = UINT32_MAX;
    reco_table *truth = generate(3000, 1, RECO_SCOUT_ANY, &candidates);
    OK(reco_table_get(truth, "orbit", &orbit, &err));
    OK(reco_table_get(truth, "bx", &bx, &err));
    OK(reco_table_get(truth, "is_tau", &is_tau, &err));
    OK(reco_table_get(truth, "pt", &pt, &err));
    OK(reco_table_get(truth, "eta", &eta, &err));
    OK(reco_table_get(truth, "phi", &phi, &err));
    o.crossings_max = 3564;
    o.candidates_max = PUPPI_ROWS;
    OK(reco_scout_open(path, &o, &reader, &err));
    puppi_load(f, reader, &batch);
    assert_int_equal(batch->crossings, 3000);
    for (uint32_t row = 0; row < reco_table_rows(truth); row++) {
        const uint32_t crossing = (uint32_t)reco_column_value(bx, row), kind = (uint32_t)reco_column_value(is_tau, row);
        assert_int_equal((int)reco_column_value(orbit, row), 0);
        of_kind[kind] += crossing != last_bx;
        last_bx = crossing;
        if (!kind || reco_column_value(pt, row) < 10) continue;
        taus++;
        found +=
            (double)nearby_pt(f, crossing, reco_column_value(eta, row), reco_column_value(phi, row)) > 0.6 * reco_column_value(pt, row);
    }
    assert_true(of_kind[0] > 900 && of_kind[0] < 1100 && of_kind[1] > 900 && of_kind[1] < 1100);
    assert_true(taus > 500 && found > 0.95 * taus);
    assert_true(fabs((double)candidates / 3000 - 28.6) < 2); /* as many as the real sample has at pile-up 200 */
    reco_scout_batch_destroy(batch);
    reco_scout_destroy(reader);
    reco_table_destroy(truth);
}

static void test_errors(void **state)
{
    (void)state;
    reco_table *truth;
    uint64_t candidates;
    reco_scout_sim_options o = RECO_SCOUT_SIM_OPTIONS_INIT;
    o.pileup = NAN;
    assert_int_equal(reco_generate_scout(&o, path, &truth, &candidates, &err), STOA_EINVAL);
    o = (reco_scout_sim_options)RECO_SCOUT_SIM_OPTIONS_INIT;
    o.events = 0;
    assert_int_equal(reco_generate_scout(&o, path, &truth, &candidates, &err), STOA_EINVAL);
    o.events = 1;
    assert_int_equal(reco_generate_scout(&o, "/nonexistent/x", &truth, &candidates, &err), STOA_EIO);
    assert_null(truth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_events),
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_errors),
    };
    const int file = mkstemp(path);
    if (file < 0) return 1;
    close(file);
    const int failed = cmocka_run_group_tests(tests, puppi_set_up_state, puppi_tear_down_state);
    unlink(path);
    return failed;
}
