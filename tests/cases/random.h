/* Random numbers for the cases and the tests: SplitMix64, which needs one word of state, has no bad seed,
 * and gives the same numbers on every machine. */
#ifndef SOFTFOCUS_TESTS_RANDOM_H
#define SOFTFOCUS_TESTS_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef struct softfocus_random {
    uint64_t state;
} softfocus_random;

static inline uint64_t softfocus_random_bits(softfocus_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, 1), a multiple of 2^-53. */
static inline double softfocus_random_unit(softfocus_random *random)
{
    return (double)(softfocus_random_bits(random) >> 11) * 0x1p-53;
}

static inline double softfocus_random_between(softfocus_random *random, double low, double high)
{
    return low + (high - low) * softfocus_random_unit(random);
}

/* In [0, count), for a count well below 2^53. */
static inline size_t softfocus_random_below(softfocus_random *random, size_t count)
{
    return (size_t)(softfocus_random_unit(random) * (double)count);
}

#ifdef SOFTFOCUS_CHEAP_NORMALS
/* Nearly N(0, 1), for emulated CPUs: how many of 64 bits are set, and what makes it continuous, over their standard
   deviation. Up to 8 standard deviations. The logarithms and cosines below are a sixth of the time of all tests. */
static inline double softfocus_random_normal(softfocus_random *random)
{
    const double inverse_deviation = 0.24935149047701483; /* of a variance of 64 / 4 + 1 / 12 */
    double set = (double)__builtin_popcountll(softfocus_random_bits(random));
    return (set - 32.5 + softfocus_random_unit(random)) * inverse_deviation;
}
#else
/* N(0, 1), by Box and Muller: up to 8.5 standard deviations. */
static inline double softfocus_random_normal(softfocus_random *random)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2.0 * log(1.0 - softfocus_random_unit(random)));
    return radius * cos(two_pi * softfocus_random_unit(random));
}
#endif

#endif
