/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: number n of a stream is a hash of (key, n), so streams need no common state and events
 * can be made in any order. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014) over a Weyl sequence. */
#ifndef RECO_GENERATE_RANDOM_H
#define RECO_GENERATE_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct reco_random {
    uint64_t key, counter;
    double spare; /* second number of a Box-Muller pair */
    int has_spare;
} reco_random;

static inline uint64_t reco_random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline reco_random reco_random_stream(uint64_t seed, uint64_t stream)
{
    uint64_t key = reco_random_mix(seed + 0x9e3779b97f4a7c15u);
    return (reco_random){reco_random_mix(key ^ (stream * 0xd1342543de82ef95u + 0x2545f4914f6cdd1du)), 0, 0, 0};
}

static inline uint64_t reco_random_bits(reco_random *r) { return reco_random_mix(r->key + ++r->counter * 0x9e3779b97f4a7c15u); }

/* In the open interval (0, 1): its logarithm is finite. */
static inline double reco_random_uniform(reco_random *r) { return ((double)(reco_random_bits(r) >> 11) + 0.5) * 0x1p-53; }

static inline double reco_random_normal(reco_random *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double radius = sqrt(-2 * log(reco_random_uniform(r))), angle = 6.283185307179586 * reco_random_uniform(r);
    r->spare = radius * sin(angle);
    r->has_spare = 1;
    return radius * cos(angle);
}

static inline double reco_random_exponential(reco_random *r) { return -log(reco_random_uniform(r)); }

/* Marsaglia and Tsang 2000; below shape 1 boosted by a power of a uniform number. */
static inline double reco_random_gamma(reco_random *r, double shape)
{
    double boost = 1;
    if (shape < 1) {
        boost = pow(reco_random_uniform(r), 1 / shape);
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = reco_random_normal(r), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(reco_random_uniform(r)) < 0.5 * x * x + d - d * v + d * log(v)) return boost * d * v;
    }
}

/* By the gaps of a Poisson process: exact, its cost grows with the mean, which is below a few thousand here. */
static inline uint32_t reco_random_poisson(reco_random *r, double mean)
{
    uint32_t count = 0;
    for (double sum = reco_random_exponential(r); sum < mean; sum += reco_random_exponential(r)) ++count;
    return count;
}

/* Successes of `n` trials of probability `p`. */
static inline uint32_t reco_random_binomial(reco_random *r, uint32_t n, double p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; ++i) count += reco_random_uniform(r) < p;
    return count;
}

#endif
