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
static const float exp16_q3[] = {SOFTFOCUS_EXP16_Q0, SOFTFOCUS_EXP16_Q1, SOFTFOCUS_EXP16_Q2,
                                 SOFTFOCUS_EXP16_Q3};
static const float exp16_q4[] = {SOFTFOCUS_EXP16_D4_Q0, SOFTFOCUS_EXP16_D4_Q1, SOFTFOCUS_EXP16_D4_Q2,
                                 SOFTFOCUS_EXP16_D4_Q3, SOFTFOCUS_EXP16_D4_Q4};
static const float exp8_q4[] = {SOFTFOCUS_EXP8_Q0, SOFTFOCUS_EXP8_Q1, SOFTFOCUS_EXP8_Q2, SOFTFOCUS_EXP8_Q3,
                                SOFTFOCUS_EXP8_Q4};
static const float exp1_q[] = {SOFTFOCUS_EXP1_Q2, SOFTFOCUS_EXP1_Q3, SOFTFOCUS_EXP1_Q4, SOFTFOCUS_EXP1_Q5,
                               SOFTFOCUS_EXP1_Q6};
static const float unit_p[] = {SOFTFOCUS_LOG1P_UNIT_1, SOFTFOCUS_LOG1P_UNIT_2, SOFTFOCUS_LOG1P_UNIT_3,
                               SOFTFOCUS_LOG1P_UNIT_4, SOFTFOCUS_LOG1P_UNIT_5, SOFTFOCUS_LOG1P_UNIT_6,
                               SOFTFOCUS_LOG1P_UNIT_7, SOFTFOCUS_LOG1P_UNIT_8, SOFTFOCUS_LOG1P_UNIT_9,
                               SOFTFOCUS_LOG1P_UNIT_10};
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

/* ---- exp
 * -----------------------------------------------------------------------------------------------------------
 */

/* m = n ln2 + r; r_high is m - n times ln2's high part, which is exact. */
typedef struct reference {
    float m, n, r, r_high;
} reference;

static inline float high_remainder(float z, float n, int fused)
{
    return fused ? fmaf(-n, SOFTFOCUS_LN2_FMA_HI, z) : (z - n * SOFTFOCUS_LN2_1) - n * SOFTFOCUS_LN2_2;
}

static inline float less_low_part(float r_high, float n, int fused)
{
    return fused ? fmaf(-n, SOFTFOCUS_LN2_FMA_LO, r_high) : r_high - n * SOFTFOCUS_LN2_3;
}

static inline float remainder_of(float z, float n, int fused)
{
    return less_low_part(high_remainder(z, n, fused), n, fused);
}

/* A float near `round` has 2^-bits as its last place, so adding it rounds to multiples of that: round is
 * 1.5 2^(23 - bits), bits 0 without a table. */
static inline reference make_reference(float m, float round, int fused)
{
    float n = (fused ? fmaf(m, SOFTFOCUS_LOG2E, round) : m * SOFTFOCUS_LOG2E + round) - round;
    return (reference){m, n, remainder_of(m, n, fused), high_remainder(m, n, fused)};
}

static inline float table_exp(float z, float m, const uint32_t *table, int bits, const float *q, int count)
{
    float round = 1.5f * (float)(1 << (23 - bits));
    reference ref = make_reference(m, round, 1);
    round -= ref.n;
    float t = fmaf(z, SOFTFOCUS_LOG2E, round);
    float r = remainder_of(z, t - round, 1) - ref.r;
    uint32_t index = bits_of(t) & ((1u << bits) - 1);
    float scale = float_of(table[index] + (bits_of(t) << (23 - bits)));
    return fmaf(scale, horner(mul_add_fused, q, count, r), scale);
}

/* `joint`: ln2's low part is subtracted once, for n_z - n_m, which saves two roundings and costs an addition.
 */
static inline float plain_exp(float z, float m, int fused, int joint)
{
    const float round = 0x1.8p23f;
    mul_add *madd = fused ? mul_add_fused : mul_add_plain;
    reference ref = make_reference(m, round, fused);
    float t = madd(z - ref.m, SOFTFOCUS_LOG2E, round);
    float change = t - round, n = change + ref.n;
    float r = joint ? less_low_part(high_remainder(z, n, fused) - ref.r_high, change, fused)
                    : remainder_of(z, n, fused) - ref.r;
    float scale = float_of((bits_of(t) << 23) + (187u << 23)); /* 2^(change + 60) */
    float q = madd(r * r, horner(madd, exp1_q, COUNT(exp1_q), r), r);
    return madd(scale, q, scale);
}

enum exp_version { EXP16_D3, EXP16_D4, EXP8_D4, EXP1_FMA, EXP1_FMA_JOINT, EXP1_PLAIN, EXP1_PLAIN_JOINT };

/* e^(z - m) 2^60 */
static inline float evaluate(enum exp_version version, float z, float m)
{
    switch (version) {
    case EXP16_D3:
        return table_exp(z, m, exp16_table, 4, exp16_q3, COUNT(exp16_q3));
    case EXP16_D4:
        return table_exp(z, m, exp16_table, 4, exp16_q4, COUNT(exp16_q4));
    case EXP8_D4:
        return table_exp(z, m, exp8_table, 3, exp8_q4, COUNT(exp8_q4));
    case EXP1_FMA:
        return plain_exp(z, m, 1, 0);
    case EXP1_FMA_JOINT:
        return plain_exp(z, m, 1, 1);
    case EXP1_PLAIN:
        return plain_exp(z, m, 0, 0);
    default:
        return plain_exp(z, m, 0, 1);
    }
}

/* ---- Errors
 * -------------------------------------------------------------------------------------------------------- */

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

static inline void exp_sample(enum exp_version version, float m, float z, worst *w)
{
    double d = (double)z - (double)m;
    if (d < -128 || d > 0)
        return;
    float e = evaluate(version, z, m);
    note(w, ulp_error((double)e * 0x1p-60, exp(d)), z, m);
}

/* m = 0 and every float z of [-104, -2^-32]. */
static inline worst exp_at_zero(enum exp_version version)
{
    worst w = {0, 0, 0};
    for (uint32_t bits = bits_of(-0x1p-32f); bits <= bits_of(-104.0f); bits++)
        exp_sample(version, 0, float_of(bits), &w);
    return w;
}

/* Random m of |m| < 32768 and z of [m - 128, m], sizes both even and even in the logarithm; and pairs whose
 * remainders are nearly as large as they get, with opposite signs, so that r reaches the ends of its range.
 */
static inline worst exp_reduced(enum exp_version version, uint32_t samples)
{
    const double step = log(2) / (version <= EXP16_D4 ? 16 : version == EXP8_D4 ? 8 : 1);
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
        if (evaluate(version, (float)m, (float)m) != 0x1p60f)
            note(&w, INFINITY, m, m); /* e^0 must be exactly 1 */
    }
    return w;
}

/* log1p over every float of [2^-30, 1], in both forms. */
static inline worst log1p_unit(mul_add *madd, int centred)
{
    worst w = {0, 0, 0};
    for (uint32_t bits = bits_of(0x1p-30f); bits <= bits_of(1.0f); bits++) {
        float x = float_of(bits);
        float y = centred
                      ? madd(x, horner(madd, excess_p, COUNT(excess_p), x - SOFTFOCUS_LOG1P_EXCESS_CENTRE), x)
                      : madd(x * x, horner(madd, unit_p, COUNT(unit_p), x), x);
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
static inline void measure_exp(enum exp_version version, const char *at_zero, const char *reduced)
{
    print(at_zero, exp_at_zero(version));
    print(reduced, exp_reduced(version, 40000000));
}

int main(void)
{
    measure_exp(EXP16_D3, "exp16_d3_at_zero", "exp16_d3_reduced");
    measure_exp(EXP16_D4, "exp16_d4_at_zero", "exp16_d4_reduced");
    measure_exp(EXP8_D4, "exp8_d4_at_zero", "exp8_d4_reduced");
    measure_exp(EXP1_FMA, "exp1_fma_at_zero", "exp1_fma_reduced");
    measure_exp(EXP1_FMA_JOINT, "exp1_fma_joint_at_zero", "exp1_fma_joint_reduced");
    measure_exp(EXP1_PLAIN, "exp1_plain_at_zero", "exp1_plain_reduced");
    measure_exp(EXP1_PLAIN_JOINT, "exp1_plain_joint_at_zero", "exp1_plain_joint_reduced");
    print("log1p_excess_fma", log1p_unit(mul_add_fused, 1));
    print("log1p_excess_plain", log1p_unit(mul_add_plain, 1));
    print("log1p_unit_fma", log1p_unit(mul_add_fused, 0));
    print("log1p_unit_plain", log1p_unit(mul_add_plain, 0));
    print("log1p_double", log1p_double(4000000));
    return 0;
}
