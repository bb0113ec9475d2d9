/* SPDX-License-Identifier: Apache-2.0 */
/* Features of clusters (reco/scouting/cluster_features.h) of crossings and associations made by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reco/puppi_fixture.h"
#include "reco/scouting/cluster_features.h"

#include <math.h>

enum { CLUSTERS = 3, MANY = 20 };

typedef struct fixture {
    puppi_fixture base;
    stoa_collection *memory;
    clusters_soa clusters;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    const stoa_block block = {"clusters", &clusters_soa_layout, CLUSTERS, 0, NULL};
    puppi_set_up(&f.base);
    PUPPI_OK(&f.base, stoa_collection_create(f.base.queue, STOA_MEMORY_DEVICE, &block, 1, &f.memory, &f.base.err));
    PUPPI_OK(&f.base, stoa_collection_view(f.memory, "", &f.clusters.head, &f.base.err));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_collection_destroy(f->memory);
    puppi_tear_down(&f->base);
    return 0;
}

static void put(const puppi_soa *p, uint32_t row, double pt, double eta, double phi, int pdgid, double z0)
{
    p->pt[row] = (float)pt;
    p->eta[row] = (float)eta;
    p->phi[row] = (float)phi;
    p->pdgid[row] = (int16_t)pdgid;
    p->z0[row] = (float)z0;
}

static float number(const fixture *f, uint32_t cluster, uint32_t member, uint32_t k)
{ return f->clusters.features.data[(k * 16 + member) * f->clusters.features.stride + cluster]; }

#define NEAR(a, b) assert_true(fabs((double)(a) - (b)) < 1e-4)

/* Crossings 0 and 2 have clusters, 1 has none. The first goes over phi = pi, the second has more members than rows. */
static void test_features(void **state)
{
    fixture *f = *state;
    const puppi_soa p = f->base.puppi;
    static const uint32_t crossing_clusters[] = {0, 2, 2, 3}, cluster_members[] = {0, 3, 3 + MANY, 4 + MANY};
    uint32_t members[4 + MANY] = {2, 0, 1};
    put(&p, 0, 10, 0.5, 3.10, -211, 1.5);
    put(&p, 1, 20, 0.6, -3.12, 22, 0);
    put(&p, 2, 5, 0.4, 3.12, 11, -2);
    for (uint32_t m = 0; m < MANY; m++) {
        put(&p, 3 + m, 1 + m, 0.01 * m, 0, m % 2 ? 130 : -13, m);
        members[3 + m] = 3 + m;
    }
    put(&p, 3 + MANY, 7, -1, -2, 211, 3);
    members[3 + MANY] = 3 + MANY;
    *f->base.crossings.crossings = 3;
    const reco_cluster_features args = {p, f->base.crossings, crossing_clusters, cluster_members, members, f->clusters};
    PUPPI_OK(&f->base, reco_cluster_sums_enqueue(f->base.queue, &args, &f->base.err));
    PUPPI_OK(&f->base, reco_cluster_features_enqueue(f->base.queue, &args, &f->base.err));
    const clusters_soa c = f->clusters;
    assert_int_equal(*c.clusters, 3);
    assert_int_equal(*c.clustered, 4 + MANY);
    assert_int_equal(c.crossing[0], 0);
    assert_int_equal(c.crossing[1], 0);
    assert_int_equal(c.crossing[2], 2);
    assert_int_equal(c.members[1], MANY);
    /* The sum of the first, in double precision. */
    const double x = 10 * cos(3.10) + 20 * cos(-3.12) + 5 * cos(3.12), y = 10 * sin(3.10) + 20 * sin(-3.12) + 5 * sin(3.12);
    const double z = 10 * sinh(0.5) + 20 * sinh(0.6) + 5 * sinh(0.4), pt = hypot(x, y), phi = atan2(y, x);
    NEAR(c.pt[0], pt);
    NEAR(c.phi[0], phi);
    NEAR(c.eta[0], asinh(z / pt));
    static const float order[] = {20, 10, 5};
    for (uint32_t m = 0; m < 16; m++) {
        NEAR(c.mask.data[m * c.mask.stride], m < 3);
        NEAR(number(f, 0, m, 0), m < 3 ? order[m] : 0);
        for (uint32_t k = 5; k < 10; k++) NEAR(number(f, 0, m, k), (m == 0 && k == 9) || (m == 1 && k == 5) || (m == 2 && k == 7));
    }
    NEAR(number(f, 0, 0, 2), remainder(-3.12 - phi, 6.283185307179586));
    NEAR(number(f, 0, 1, 2), remainder(3.10 - phi, 6.283185307179586));
    NEAR(number(f, 0, 1, 1), 0.5 - asinh(z / pt));
    NEAR(number(f, 0, 0, 3), 0);
    NEAR(number(f, 0, 1, 3), -1);
    NEAR(number(f, 0, 2, 3), -1); /* pdgid 11 is the electron */
    NEAR(number(f, 0, 2, 4), -2);
    /* The hardest 16 of 20, all with mask. */
    for (uint32_t m = 0; m < 16; m++) {
        NEAR(number(f, 1, m, 0), MANY - m);
        NEAR(c.mask.data[m * c.mask.stride + 1], 1);
        NEAR(number(f, 1, m, 8), (MANY - 1 - m) % 2 == 0);
        NEAR(number(f, 1, m, 3), (MANY - 1 - m) % 2 == 0);
    }
    NEAR(c.pt[2], 7);
    NEAR(c.eta[2], -1);
    assert_true(fabs((double)c.mass[2] - 0.1396) < 2e-3); /* a difference of large numbers in float */
}

static void test_errors(void **state)
{
    fixture *f = *state;
    static const uint32_t none[] = {0, 0};
    reco_cluster_features args = {f->base.puppi, f->base.crossings, none, none, none, f->clusters};
    *f->base.crossings.crossings = 0;
    *f->clusters.clusters = *f->clusters.clustered = 1;
    PUPPI_OK(&f->base, reco_cluster_sums_enqueue(f->base.queue, &args, &f->base.err));
    PUPPI_OK(&f->base, reco_cluster_features_enqueue(f->base.queue, &args, &f->base.err));
    assert_int_equal(*f->clusters.clusters, 0);
    assert_int_equal(*f->clusters.clustered, 0);
    args.members = NULL;
    assert_int_equal(reco_cluster_sums_enqueue(f->base.queue, &args, &f->base.err), STOA_EINVAL);
    assert_int_equal(reco_cluster_features_enqueue(f->base.queue, &args, &f->base.err), STOA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_features), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
