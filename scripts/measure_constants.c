/* Worst errors of exp and log1p with the constants of kernels/constants.h, evaluated in scalar C operation by
 * operation as the kernels evaluate them in vectors. Built and run by generate_constants.py, which puts the
 * figures into the header's comments; one line each, `name error where`. No part of the library.
 *
 * Errors are in ulp of the correctly rounded float32 result (log1p in double: relative). The references are
 * the C library's double functions (long double for log1p in double): their own error, below 1e-8 ulp here,
 * does not show. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "constants.h"

static const uint32_t exp16_table[16] = SOFTFOCUS_EXP16_TABLE;
static const uint32_t exp8_table[8] = SOFTFOCUS_EXP8_TABLE;
static const float exp16_q[] = {SOFTFOCUS_EXP16_Q0, SOFTFOCUS_EXP16_Q1, SOFTFOCUS_EXP16_Q2, SOFTFOCUS_EXP16_Q3};
static const float exp8_q[] = {SOFTFOCUS_EXP8_Q0, SOFTFOCUS_EXP8_Q1, SOFTFOCUS_EXP8_Q2, SOFTFOCUS_EXP8_Q3};
static const float exp8_fine_q[] = {SOFTFOCUS_EXP8_FINE_Q0, SOFTFOCUS_EXP8_FINE_Q1, SOFTFOCUS_EXP8_FINE_Q2,
                                    SOFTFOCUS_EXP8_FINE_Q3, SOFTFOCUS_EXP8_FINE_Q4};
static const float exp1_q[] = {SOFTFOCUS_EXP1_Q2, SOFTFOCUS_EXP1_Q3, SOFTFOCUS_EXP1_Q4, SOFTFOCUS_EXP1_Q5,
                               SOFTFOCUS_EXP1_Q6};
static const float excess_p[] = {SOFTFOCUS_LOG1P_EXCESS_0, SOFTFOCUS_LOG1P_EXCESS_1, SOFTFOCUS_LOG1P_EXCESS_2,
                                 SOFTFOCUS_LOG1P_EXCESS_3, SOFTFOCUS_LOG1P_EXCESS_4, SOFTFOCUS_LOG1P_EXCESS_5,
                                 SOFTFOCUS_LOG1P_EXCESS_6, SOFTFOCUS_LOG1P_EXCESS_7, SOFTFOCUS_LOG1P_EXCESS_8,
                                 SOFTFOCUS_LOG1P_EXCESS_9};
static const double log1p_p[] = {SOFTFOCUS_LOG1P_0, SOFTFOCUS_LOG1P_1, SOFTFOCUS_LOG1P_2,  SOFTFOCUS_LOG1P_3,
                                 SOFTFOCUS_LOG1P_4, SOFTFOCUS_LOG1P_5, SOFTFOCUS_LOG1P_6,  SOFTFOCUS_LOG1P_7,
                                 SOFTFOCUS_LOG1P_8, SOFTFOCUS_LOG1P_9, SOFTFOCUS_LOG1P_10, SOFTFOCUS_LOG1P_11,
                                 SOFTFOCUS_LOG1P_12};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float mul_add_fused(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static float mul_add_plain(float a, float b, float c)
{
    return a * b + c;
} /* built with -ffp-contract=off */

typedef float mul_add(float a, float b, float c);

static inline float horner(mul_add *madd, const float *p, int count, float x)
{
    float sum = p[count - 1];
    for (int i = count - 2; i >= 0; i--)
        sum = madd(sum, x, p[i]);
    return sum;
}

/* ---- exp */

/* z - n ln2 */
static inline float remainder_of(float z, float n, int fused)
{
    if (fused)
        return fmaf(-n, SOFTFOCUS_LN2_FMA_LO, fmaf(-n, SOFTFOCUS_LN2_FMA_HI, z));
    return ((z - n * SOFTFOCUS_LN2_1) - n * SOFTFOCUS_LN2_2) - n * SOFTFOCUS_LN2_3;
}

/* A version of exp; bits 0: without a table. */
typedef struct exp_version {
    const char *at_zero, *reduced; /* the figures' names */
    int fused, bits;
    const uint32_t *table;
    const float *q;
    int count;
} exp_version;

/* A float of this size has 2^-bits as its last place, so adding it rounds to multiples of that. */
static inline float round_of(exp_version version)
{
    return 1.5f * (float)(1 << (23 - version.bits));
}

static inline float multiple_of(exp_version version, float m)
{
    mul_add *madd = version.fused ? mul_add_fused : mul_add_plain;
    return madd(m, SOFTFOCUS_LOG2E, round_of(version)) - round_of(version);
}

/* exp_based: 2^60 e^(z - m), but for what is left of m */
static inline float exp_based(exp_version version, float z, float m)
{
    mul_add *madd = version.fused ? mul_add_fused : mul_add_plain;
    float round = round_of(version) - multiple_of(version, m), t = madd(z, SOFTFOCUS_LOG2E, round);
    float r = remainder_of(z, t - round, version.fused);
    float q = horner(madd, version.q, version.count, r);
    if (version.bits == 0) {
        float scale = float_of((bits_of(t) << 23) + (187u << 23)); /* 2^60 times that of t */
        return madd(scale, madd(r * r, q, r), scale);
    }
    uint32_t entry = version.table[bits_of(t) & ((1u << version.bits) - 1)];
    float scale = float_of(entry + (bits_of(t) << (23 - version.bits)));
    return madd(scale, q, scale);
}

/* exp_unit: e^-r, r what is left of m */
static inline double exp_unit(exp_version version, float m)
{
    mul_add *madd = version.fused ? mul_add_fused : mul_add_plain;
    float r = remainder_of(m, multiple_of(version, m), version.fused), q = 1.0f / 24;
    if (version.bits == 0) {
        q = madd(-r, 1.0f / 5040, (r * r) * (1.0f / 40320));
        q = madd(r, madd(r, q + 1.0f / 720, -1.0f / 120), 1.0f / 24);
    }
    q = madd(r, madd(r, q, -1.0f / 6), 0.5f);
    return 1 + (version.bits ? (double)madd(r * r, q, -r) : (double)((r * r) * q) - (double)r);
}

/* e^(z - m) 2^60 */
static inline double evaluate(exp_version version, float z, float m)
{
    return (double)exp_based(version, z, m) * exp_unit(version, m);
}

/* ---- Errors */

typedef struct worst {
    double error, x, m;
} worst;

static inline void note(worst *w, double error, double x, double m)
{
    if (!(error <= w->error)) /* a NaN is noted too */
        *w = (worst){error, x, m};
}

static inline double ulp_error(double value, double exact)
{
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    bits = (bits & 0x7ff0000000000000u) - (23ull << 52);
    double ulp;
    memcpy(&ulp, &bits, sizeof ulp);
    return fabs(value - exact) / ulp;
}

static uint64_t random_state;

static double uniform(void) /* in [0, 1): splitmix64 */
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

static double either_sign(double x)
{
    return uniform() < 0.5 ? -x : x;
}

static inline void exp_sample(exp_version version, float m, float z, worst *w)
{
    double d = (double)z - (double)m;
    if (d < -128 || d > 0)
        return;
    note(w, ulp_error(evaluate(version, z, m) * 0x1p-60, exp(d)), z, m);
}

/* m = 0 and every float z of [-128, -2^-32]. */
static inline worst exp_at_zero(exp_version version)
{
    worst w = {0, 0, 0};
    for (uint32_t bits = bits_of(-0x1p-32f); bits <= bits_of(-128.0f); bits++)
        exp_sample(version, 0, float_of(bits), &w);
    return w;
}

/* Random m of |m| < 32768 and z of [m - 128, m], sizes both even and even in the logarithm; and pairs whose
 * remainders are nearly as large as they get, with opposite signs. */
static inline worst exp_reduced(exp_version version, uint32_t samples)
{
    const double step = log(2) / (1 << version.bits);
    worst w = {0, 0, 0};
    random_state = 1;
    for (uint32_t i = 0; i < samples; i++) {
        double size = i & 1 ? exp2(15 - 30 * uniform()) : 32768 * uniform();
        double gap = i & 2 ? exp2(7 - 30 * uniform()) : 128 * uniform();
        double m = either_sign(size), z = (float)m - gap;
        if (i & 4) {
            double edge = either_sign(0.5 - 0x1p-8 * uniform());
            m = (floor(m / step) + edge) * step;
            z = (floor(z / step) - edge) * step;
        }
        exp_sample(version, (float)m, (float)z, &w);
    }
    return w;
}

/* log1p over every float of [2^-30, 1]. */
static inline worst log1p_excess(mul_add *madd)
{
    worst w = {0, 0, 0};
    for (uint32_t bits = bits_of(0x1p-30f); bits <= bits_of(1.0f); bits++) {
        float x = float_of(bits);
        float y = madd(x, horner(madd, excess_p, COUNT(excess_p), x - SOFTFOCUS_LOG1P_EXCESS_CENTRE), x);
        note(&w, ulp_error(y, log1p(x)), x, 0);
    }
    return w;
}

/* log1p in double, relative, over random arguments of [2^-60, 2^31], sizes even in the logarithm. */
static worst log1p_double(uint32_t samples)
{
    worst w = {0, 0, 0};
    random_state = 1;
    for (uint32_t i = 0; i < samples; i++) {
        double x = exp2(31 - 91 * uniform());
        if (i & 1)
            x = uniform();
        int k = (int)floor(log2((1 + x) / 0.75));
        double f = fma(x, ldexp(1, -k), ldexp(1, -k) - 1), p = log1p_p[COUNT(log1p_p) - 1];
        for (int j = COUNT(log1p_p) - 2; j >= 0; j--)
            p = fma(p, f, log1p_p[j]);
        long double exact = log1pl(x);
        note(&w, (double)fabsl((fma(f, p, k * SOFTFOCUS_LN2_DOUBLE) - exact) / exact), x, 0);
    }
    return w;
}

static void print(const char *name, worst w)
{
    printf("%s %.17g at %a %a\n", name, w.error, w.x, w.m);
}

/* Called with constants and inlined, so that each version gets loops of its own. */
static inline void measure_exp(exp_version version)
{
    print(version.at_zero, exp_at_zero(version));
    print(version.reduced, exp_reduced(version, 40000000));
}

int main(void)
{
    measure_exp((exp_version){"exp16_at_zero", "exp16_reduced", 1, 4, exp16_table, exp16_q, COUNT(exp16_q)});
    measure_exp((exp_version){"exp8_at_zero", "exp8_reduced", 1, 3, exp8_table, exp8_q, COUNT(exp8_q)});
    measure_exp((exp_version){"exp8_fine_at_zero", "exp8_fine_reduced", 1, 3, exp8_table, exp8_fine_q, COUNT(exp8_fine_q)});
    measure_exp((exp_version){"exp1_fma_at_zero", "exp1_fma_reduced", 1, 0, NULL, exp1_q, COUNT(exp1_q)});
    measure_exp((exp_version){"exp1_plain_at_zero", "exp1_plain_reduced", 0, 0, NULL, exp1_q, COUNT(exp1_q)});
    print("log1p_excess_fma", log1p_excess(mul_add_fused));
    print("log1p_excess_plain", log1p_excess(mul_add_plain));
    print("log1p_double", log1p_double(4000000));
    return 0;
}
