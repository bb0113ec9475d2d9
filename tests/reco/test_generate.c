/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated tracks: the same bits from the same seed, pulls, rates, and that no column tells true from
 * fake. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reco/formats/formats.h"
#include "reco/generate/hlt.h"
#include "reco/generate/random.h"
#include "stoa/memory.h"

typedef struct sample {
    reco_table *tracks, *vertices;
} sample;

static stoa_error err;

static sample make(uint32_t events, uint64_t seed, double pileup, uint64_t first)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    sample s;
    options.events = events;
    options.seed = seed;
    options.pileup = pileup;
    options.first_event = first;
    if (reco_generate_hlt(&options, &s.tracks, &s.vertices, NULL, &err) != STOA_OK) fail_msg("%s", err.message);
    return s;
}

static void release(sample s)
{
    reco_table_destroy(s.tracks);
    reco_table_destroy(s.vertices);
}

static double value(const reco_table *table, const char *name, uint32_t row)
{
    const reco_column *column = reco_table_find(table, name);
    if (!column) fail_msg("no column '%s'", name);
    return column ? reco_column_value(column, row) : 0;
}

/* Rows of `part`, starting at its row 0, are those of `whole` from row `from` on, bit for bit. */
static void assert_part(const reco_table *whole, const reco_table *part, uint32_t from)
{
    for (uint32_t c = 0; c < reco_table_column_count(whole); ++c) {
        const reco_column *a = reco_table_column(whole, c), *b = reco_table_column(part, c);
        size_t item = stoa_dtype_bytes(a->dtype);
        assert_string_equal(a->name, b->name);
        assert_memory_equal((const char *)a->data + from * item, b->data, reco_table_rows(part) * item);
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    sample all = make(6, 5, 30, 0), again = make(6, 5, 30, 0), begin = make(2, 5, 30, 0), rest = make(4, 5, 30, 2);
    sample other = make(6, 6, 30, 0);
    assert_int_equal(reco_table_rows(all.tracks), reco_table_rows(again.tracks));
    assert_part(all.tracks, again.tracks, 0);
    assert_part(all.vertices, again.vertices, 0);
    assert_part(all.tracks, begin.tracks, 0);
    assert_part(all.tracks, rest.tracks, reco_table_rows(begin.tracks));
    assert_part(all.vertices, rest.vertices, reco_table_rows(begin.vertices));
    assert_true(value(all.tracks, "state_0", 0) != value(other.tracks, "state_0", 0));
    release(all), release(again), release(begin), release(rest), release(other);
}

/* Moments of the random numbers, five standard deviations wide. */
static void test_random(void **state)
{
    enum { N = 400000 };
    reco_random r = reco_random_stream(7, 3);
    double normal[2] = {0, 0}, gamma[2] = {0, 0}, poisson[2] = {0, 0};
    (void)state;
    for (int i = 0; i < N; ++i) {
        double x = reco_random_normal(&r), g = reco_random_gamma(&r, 1.3), p = reco_random_poisson(&r, 4);
        normal[0] += x / N, normal[1] += x * x / N;
        gamma[0] += g / N, gamma[1] += g * g / N;
        poisson[0] += p / N, poisson[1] += p * p / N;
    }
    assert_true(fabs(normal[0]) < 5 / sqrt(N));
    assert_true(fabs(normal[1] - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(gamma[0] - 1.3) < 5 * sqrt(1.3 / N));
    assert_true(fabs(gamma[1] - gamma[0] * gamma[0] - 1.3) < 0.05);
    assert_true(fabs(poisson[0] - 4) < 5 * 2 / sqrt(N));
    assert_true(fabs(poisson[1] - poisson[0] * poisson[0] - 4) < 0.07);
}

/* zip minus the true z of the vertex, over its error. Displaced tracks and those with wrong errors are the
 * tail, so the width is taken from the middle: for a normal distribution the quartiles are at 0.6745 sigma.
 */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void assert_pulls(const char *what, double *pulls, uint32_t count)
{
    qsort(pulls, count, sizeof *pulls, by_value);
    double median = pulls[count / 2], width = (pulls[count * 3 / 4] - pulls[count / 4]) / (2 * 0.6745);
    print_message("%s: %u pulls, median %.4f, width %.4f\n", what, (unsigned)count, median, width);
    if (fabs(median) > 0.03 || width < 0.97 || width > 1.08) fail_msg("%s: median %.4f, width %.4f", what, median, width);
}

static void test_pulls(void **state)
{
    sample s = make(10, 11, 100, 0);
    uint32_t rows = reco_table_rows(s.tracks), first = 0, vertex_row = 0, count = 0;
    double *z = calloc(rows, sizeof *z), *tip = calloc(rows, sizeof *tip);
    (void)state;
    assert_true(z && tip);
    for (uint32_t row = 0; row < rows; ++row) {
        if (value(s.tracks, "event", row) > value(s.tracks, "event", first)) first = row;
        while (value(s.vertices, "event", vertex_row) < value(s.tracks, "event", first)) ++vertex_row;
        if (value(s.tracks, "is_true", row) == 0) continue;
        uint32_t v = vertex_row + (uint32_t)value(s.tracks, "vertex", row);
        double phi = value(s.tracks, "state_0", row), cot = value(s.tracks, "state_3", row);
        double x = value(s.vertices, "x", v), y = value(s.vertices, "y", v);
        double true_z = value(s.vertices, "z", v) - (x * cos(phi) + y * sin(phi)) * cot;
        z[count] = (value(s.tracks, "state_4", row) - true_z) / sqrt(value(s.tracks, "covariance_14", row));
        tip[count++] = (value(s.tracks, "state_1", row) + x * sin(phi) - y * cos(phi)) / sqrt(value(s.tracks, "covariance_5", row));
    }
    assert_pulls("zip", z, count);
    assert_pulls("tip", tip, count);
    free(z);
    free(tip);
    release(s);
}

/* Positive definite, with the signs of a helix fit, and zero where CMSSW's fit has zeros. */
static void test_covariance(void **state)
{
    sample s = make(2, 3, 100, 0);
    (void)state;
    for (uint32_t row = 0; row < reco_table_rows(s.tracks); ++row) {
        double v[15];
        char name[32];
        for (int k = 0; k < 15; ++k) {
            snprintf(name, sizeof name, "covariance_%d", k);
            v[k] = value(s.tracks, name, row);
        }
        /* The leading minors of both blocks. */
        double two = v[0] * v[5] - v[1] * v[1];
        double three = v[9] * two - v[0] * v[6] * v[6] - v[5] * v[2] * v[2] + 2 * v[1] * v[2] * v[6];
        if (!(v[0] > 0 && two > 0 && three > 0 && v[12] > 0 && v[12] * v[14] > v[13] * v[13])) fail_msg("row %u", (unsigned)row);
        assert_true(v[1] < 0 && v[2] > 0 && v[6] < 0 && v[13] < 0);
        assert_true(v[3] == 0 && v[4] == 0 && v[7] == 0 && v[8] == 0 && v[10] == 0 && v[11] == 0);
    }
    release(s);
}

typedef struct rates {
    double per_event, fakes, duplicates, below_tight;
} rates;

static rates measure(sample s, uint32_t events)
{
    uint32_t rows = reco_table_rows(s.tracks), tight = 0, fakes = 0, duplicates = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        if (value(s.tracks, "quality", row) < RECO_QUALITY_TIGHT) continue;
        tight += 1;
        duplicates += value(s.tracks, "is_duplicate", row) > 0;
        fakes += value(s.tracks, "vertex", row) < 0;
    }
    return (rates){(double)rows / events, (double)fakes / tight, (double)duplicates / tight, 1 - (double)tight / rows};
}

static void test_rates(void **state)
{
    static const struct {
        double pileup, low, high, fakes_low, fakes_high;
    } cases[] = {{0, 20, 80, 0, 0.05}, {50, 400, 900, 0.02, 0.15}, {140, 1200, 2600, 0.1, 0.28}, {200, 2000, 6000, 0.15, 0.35}};
    (void)state;
    for (size_t i = 0; i < 4; ++i) {
        uint32_t events = cases[i].pileup > 0 ? 12 : 60;
        sample s = make(events, 21, cases[i].pileup, 0);
        rates r = measure(s, events);
        print_message("pile-up %g: %.0f tracks an event, of tight ones %.1f %% fakes, %.1f %% duplicates; "
                      "%.1f %% below tight\n",
                      cases[i].pileup, r.per_event, 100 * r.fakes, 100 * r.duplicates, 100 * r.below_tight);
        assert_true(r.per_event > cases[i].low && r.per_event < cases[i].high);
        assert_true(r.fakes >= cases[i].fakes_low && r.fakes <= cases[i].fakes_high);
        assert_true(r.duplicates > 0.005 && r.duplicates < 0.06);
        assert_true(r.below_tight > 0.03 && r.below_tight < 0.5);
        release(s);
    }
}

/* Area under the ROC of one column alone, true against fake among tight tracks: a half is no separation. */
static double column_auc(const reco_table *t, const char *name, int absolute)
{
    uint32_t rows = reco_table_rows(t), n = 0;
    double (*pairs)[2] = calloc(rows, sizeof *pairs), ranks = 0, trues = 0;
    assert_non_null(pairs);
    for (uint32_t row = 0; row < rows; ++row) {
        if (value(t, "quality", row) < RECO_QUALITY_TIGHT || value(t, "is_duplicate", row) > 0) continue;
        double x = value(t, name, row);
        pairs[n][0] = absolute ? fabs(x) : x;
        pairs[n++][1] = value(t, "is_true", row);
    }
    qsort(pairs, n, sizeof *pairs, by_value);
    for (uint32_t i = 0, end; i < n; i = end) { /* equal values share their mean rank */
        for (end = i; end < n && !(pairs[end][0] > pairs[i][0]); ++end) continue;
        for (uint32_t k = i; k < end; ++k) ranks += pairs[k][1] * 0.5 * (i + 1 + end), trues += pairs[k][1];
    }
    double auc = (ranks - trues * (trues + 1) / 2) / (trues * (n - trues));
    free(pairs);
    return fmax(auc, 1 - auc);
}

static void test_no_telltale(void **state)
{
    static const char *const names[] = {"chi2",         "nLayers",       "nHits",         "eta",          "pt",           "state_0",
                                        "state_1",      "state_3",       "state_4",       "covariance_0", "covariance_1", "covariance_5",
                                        "covariance_9", "covariance_12", "covariance_13", "covariance_14"};
    sample s = make(8, 31, 200, 0);
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        double auc = column_auc(s.tracks, names[i], 0), size = column_auc(s.tracks, names[i], 1);
        print_message("%s alone: AUC %.3f, its size %.3f\n", names[i], auc, size);
        assert_true(auc < 0.88 && size < 0.88);
    }
    release(s);
}

static void test_order_and_ranges(void **state)
{
    sample s = make(5, 41, 60, 7);
    (void)state;
    for (uint32_t row = 0; row < reco_table_rows(s.tracks); ++row) {
        double pt = value(s.tracks, "pt", row), phi = value(s.tracks, "state_0", row), quality = value(s.tracks, "quality", row);
        assert_true(value(s.tracks, "event", row) >= 7 && value(s.tracks, "event", row) < 12);
        assert_true(pt > 0 && isfinite(pt) && fabs(phi) < 3.1415928 && quality >= 0 && quality <= RECO_QUALITY_HIGH_PURITY);
        assert_true(fabs(pt * fabs(value(s.tracks, "state_2", row)) - 1) < 1e-6);
        assert_true(fabs(sinh(value(s.tracks, "eta", row)) / value(s.tracks, "state_3", row) - 1) < 1e-4);
        assert_true(value(s.tracks, "nHits", row) >= fmax(4, value(s.tracks, "nLayers", row)) && value(s.tracks, "nLayers", row) >= 3);
        assert_true(value(s.tracks, "is_true", row) + value(s.tracks, "is_duplicate", row) == (value(s.tracks, "vertex", row) >= 0));
        if (quality < RECO_QUALITY_TIGHT) continue;
        assert_true(pt >= 0.9 - 1e-6 && fabs(value(s.tracks, "state_1", row)) <= 0.3001 && fabs(value(s.tracks, "state_4", row)) <= 12.001);
    }
    release(s);
}

/* Hits leave the tracks as they are, and lie on the track: outwards, and where the circle of its pt takes it. In discs they move
 * along the radius, by centimetres where strips measure. */
static void test_hits(void **state)
{
    reco_hlt_options options = RECO_HLT_OPTIONS_INIT;
    reco_table *tracks, *hits;
    sample without = make(3, 51, 60, 0);
    (void)state;
    options.events = 3;
    options.seed = 51;
    options.pileup = 60;
    if (reco_generate_hlt(&options, &tracks, NULL, &hits, &err) != STOA_OK) fail_msg("%s", err.message);
    uint32_t at = 0, stubs = 0;
    for (uint32_t row = 0; row < reco_table_rows(tracks); ++row) {
        const uint32_t count = (uint32_t)value(tracks, "nHits", row);
        assert_true(value(tracks, "state_1", row) == value(without.tracks, "state_1", row));
        double before = 0;
        for (uint32_t k = 0; k < count; ++k, ++at) {
            const double x = value(hits, "xGlobal", at), y = value(hits, "yGlobal", at), r = hypot(x, y), bend = value(hits, "dPhiDr", at);
            const double phi = value(tracks, "state_0", row), radius = 100 / (0.299792458 * 3.8) / value(tracks, "state_2", row);
            const double away = value(tracks, "state_1", row) - radius; /* of the centre, to the left of the track */
            const double off = hypot(x + away * sin(phi), y - away * cos(phi)) - fabs(radius), residual = sqrt(value(tracks, "chi2", row));
            const double half = -0.5 * r / radius;
            assert_true(value(hits, "event", at) == value(tracks, "event", row) && r > before - 0.3 && r < 120);
            const int flags = (int)value(hits, "flags", at), is_strip = (flags & RECO_STUB_VALID) && !(flags & RECO_STUB_PS);
            if (!(fabs(off) < (is_strip ? 5 : 0.15) * residual)) fail_msg("track %u hit %u: %g cm off the track at %g", row, k, off, r);
            before = r;
            if (value(hits, "dPhiDrError", at) < 0) continue;
            stubs++;
            if (value(tracks, "is_true", row) > 0)
                assert_true(fabs(bend - half / r / sqrt(1 - half * half)) < 6 * residual * value(hits, "dPhiDrError", at));
        }
    }
    assert_int_equal(at, reco_table_rows(hits));
    assert_true(stubs > at / 10);
    reco_table_destroy(tracks);
    reco_table_destroy(hits);
    release(without);
}

static void test_arguments(void **state)
{
    reco_hlt_options o = RECO_HLT_OPTIONS_INIT;
    reco_table *t, *v;
    (void)state;
    assert_int_equal(reco_generate_hlt(NULL, &t, &v, NULL, &err), STOA_EINVAL);
    o.events = 0;
    assert_int_equal(reco_generate_hlt(&o, &t, &v, NULL, &err), STOA_EINVAL);
    o = (reco_hlt_options)RECO_HLT_OPTIONS_INIT;
    o.pileup = NAN;
    assert_int_equal(reco_generate_hlt(&o, &t, &v, NULL, &err), STOA_EINVAL);
    o.pileup = 1e9;
    assert_int_equal(reco_generate_hlt(&o, &t, &v, NULL, &err), STOA_EINVAL);
    o = (reco_hlt_options)RECO_HLT_OPTIONS_INIT;
    o.struct_size = 8;
    assert_int_equal(reco_generate_hlt(&o, &t, &v, NULL, &err), STOA_EINVAL);
    o = (reco_hlt_options)RECO_HLT_OPTIONS_INIT;
    o.first_event = (uint64_t)INT32_MAX;
    assert_int_equal(reco_generate_hlt(&o, &t, &v, NULL, &err), STOA_EINVAL);
    assert_null(t);
    o = (reco_hlt_options)RECO_HLT_OPTIONS_INIT;
    o.events = 1;
    assert_int_equal(reco_generate_hlt(&o, &t, NULL, NULL, &err), STOA_OK); /* vertices are optional */
    reco_table_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),        cmocka_unit_test(test_random), cmocka_unit_test(test_pulls),
        cmocka_unit_test(test_covariance),       cmocka_unit_test(test_rates),  cmocka_unit_test(test_no_telltale),
        cmocka_unit_test(test_order_and_ranges), cmocka_unit_test(test_hits),   cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
