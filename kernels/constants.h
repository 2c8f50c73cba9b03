/* The constants of exp and log1p. Used by kernels/math.h, and by scripts/measure_constants.c.
 *
 * Made by scripts/generate_constants.py, which has the methods; change it there. Its --check compares.
 *
 * Errors measured for exp are of e^(z - m), what is left of m after its multiple of ln2 in a factor of its own, in ulp of
 * the correctly rounded result, rounded up: 'm = 0' is every float z of [-128, -2^-32]; 'any m' is 4e7 random draws with
 * |m| < 32768, z of [m - 128, m] (others are dropped), half of them with remainders of z and m near the ends of their
 * range, with opposite signs. */
#ifndef SOFTFOCUS_CONSTANTS_H
#define SOFTFOCUS_CONSTANTS_H

/* exp with a table of 16 entries, T_k = RN(c 2^(k/16)) with c = 0x1.fa29621e46e43p-1: of all c that give different
 * tables, the one whose entries are nearest to floats (worst: 0.260 eta; eta = 2^-24). q absorbs 1/c: e^r T / c = T +
 * T q(r). The words are bits(T_k) - (k << 19) + (60 << 23): with t << 19 added, k being t's last four bits, they are
 * T_k 2^(n + 60). */
#define SOFTFOCUS_EXP16_TABLE \
    { \
        0x5d7d14b1u, 0x5d7c2491u, 0x5d79fe49u, 0x5d781a50u, \
        0x5d767b96u, 0x5d75252cu, 0x5d741a45u, 0x5d735e39u, \
        0x5d72f486u, 0x5d72e0d1u, 0x5d7326e9u, 0x5d73cac8u, \
        0x5d74d094u, 0x5d763ca4u, 0x5d78137eu, 0x5d7a59ddu \
    }

/* q of degree 3 for it, |r| <= 1.03 ln2/32: fpminimax (single); Q0 is the smallest with T_0 (1 + Q0) rounded to exactly
 * 1. Largest error of 1 + q relative to e^r / c: 2^-29.2 (dirtyinfnorm). Measured, Horner: 0.77 ulp for m = 0, 1.14
 * for any m. */
#define SOFTFOCUS_EXP16_Q0 0x1.79f6cep-7f
#define SOFTFOCUS_EXP16_Q1 0x1.02f3eep+0f
#define SOFTFOCUS_EXP16_Q2 0x1.02f694p-1f
#define SOFTFOCUS_EXP16_Q3 0x1.592a74p-3f

/* exp with a table of 8 entries, c = 0x1.feb0520f802c1p-1 (worst entry: 0.046 eta). The words are bits(T_k) - (k << 20)
 * + (60 << 23), for t << 20. */
#define SOFTFOCUS_EXP8_TABLE \
    { \
        0x5d7f5829u, 0x5d7b3a3eu, 0x5d77d424u, 0x5d759202u, \
        0x5d748e45u, 0x5d74e5beu, 0x5d76b7dau, 0x5d7a26deu \
    }

/* q of degree 3 for it, |r| <= 1.02 ln2/16, by the same method: 2^-25.5. Measured, Horner: 0.87 ulp for m = 0, 1.37 for
 * any m. */
#define SOFTFOCUS_EXP8_Q0 0x1.5089eap-9f
#define SOFTFOCUS_EXP8_Q1 0x1.00a846p+0f
#define SOFTFOCUS_EXP8_Q2 0x1.00b2f8p-1f
#define SOFTFOCUS_EXP8_Q3 0x1.562daep-3f

/* q of degree 4: 2^-30.1. Measured, Horner: 0.62 ulp for m = 0, 1.11 for any m. */
#define SOFTFOCUS_EXP8_FINE_Q0 0x1.508a96p-9f
#define SOFTFOCUS_EXP8_FINE_Q1 0x1.00a846p+0f
#define SOFTFOCUS_EXP8_FINE_Q2 0x1.00a846p-1f
#define SOFTFOCUS_EXP8_FINE_Q3 0x1.562f94p-3f
#define SOFTFOCUS_EXP8_FINE_Q4 0x1.55ee2cp-5f

/* exp without a table, |r| <= 1.01 ln2/2: e^r = 1 + q(r), q(r) = r + Q2 r^2 + ... + Q6 r^6, so that e^0 is exactly 1:
 * fpminimax (single). Largest relative error: 2^-28.1 (dirtyinfnorm). Measured with q = r + r^2 (Q2 + ...): with FMA
 * 1.02 ulp for m = 0, 1.63 for any m; without, 0.99 ulp for m = 0, 1.69 for any m. */
#define SOFTFOCUS_EXP1_Q2 0x1.fffffap-2f
#define SOFTFOCUS_EXP1_Q3 0x1.55548ap-3f
#define SOFTFOCUS_EXP1_Q4 0x1.555a12p-5f
#define SOFTFOCUS_EXP1_Q5 0x1.123f7cp-7f
#define SOFTFOCUS_EXP1_Q6 0x1.696e4ep-10f

/* exp(-r) in double, |r| <= 1.01 ln2/2: fpminimax (double), degree 6, the first coefficient exactly 1. Largest relative
 * error: 2^-28.8 (dirtyinfnorm). */
#define SOFTFOCUS_EXP_INVERSE_0 0x1p+0
#define SOFTFOCUS_EXP_INVERSE_1 -0x1.000000925e8f2p+0
#define SOFTFOCUS_EXP_INVERSE_2 0x1.fffffbdfe6c24p-2
#define SOFTFOCUS_EXP_INVERSE_3 -0x1.55540ccc9bbf9p-3
#define SOFTFOCUS_EXP_INVERSE_4 0x1.55583f9017f72p-5
#define SOFTFOCUS_EXP_INVERSE_5 -0x1.126e4ca01dfcap-7
#define SOFTFOCUS_EXP_INVERSE_6 0x1.6ae0ddbed1b2dp-10

/* log2(e); ln2 in two parts for FMA, where the first product is exact within its fused subtraction; and in three without
 * FMA: n times one of the first two (8 significant bits each) is exact for every integer |n| <= 2^16. */
#define SOFTFOCUS_LOG2E 0x1.715476p+0f
#define SOFTFOCUS_LN2_FMA_HI 0x1.62e43p-1f
#define SOFTFOCUS_LN2_FMA_LO -0x1.05c61p-29f
#define SOFTFOCUS_LN2_1 0x1.62p-1f
#define SOFTFOCUS_LN2_2 0x1.c8p-10f
#define SOFTFOCUS_LN2_3 0x1.7f7d1cp-20f

/* log1p(E) / E - 1 for float E of [0, 1], as a polynomial p in x = E - 0.5: log1p(E) is E + E p(x). Its error counts
 * against 1, not against p, and half as large an x halves what each rounding adds. fpminimax (single), degree 9.
 * Largest error of 1 + p relative to log1p(E) / E: 2^-26.9 (dirtyinfnorm). Measured over every float of [2^-30, 1],
 * Horner: 0.85 ulp with FMA, 1.17 without. */
#define SOFTFOCUS_LOG1P_EXCESS_CENTRE 0.5f
#define SOFTFOCUS_LOG1P_EXCESS_0 -0x1.833704p-3f
#define SOFTFOCUS_LOG1P_EXCESS_1 -0x1.2773a6p-2f
#define SOFTFOCUS_LOG1P_EXCESS_2 0x1.0f953ep-3f
#define SOFTFOCUS_LOG1P_EXCESS_3 -0x1.15400ap-4f
#define SOFTFOCUS_LOG1P_EXCESS_4 0x1.2c2222p-5f
#define SOFTFOCUS_LOG1P_EXCESS_5 -0x1.50f69cp-6f
#define SOFTFOCUS_LOG1P_EXCESS_6 0x1.7afdap-7f
#define SOFTFOCUS_LOG1P_EXCESS_7 -0x1.bb73d6p-8f
#define SOFTFOCUS_LOG1P_EXCESS_8 0x1.597e1p-8f
#define SOFTFOCUS_LOG1P_EXCESS_9 -0x1.a5c628p-9f

/* log1p(f) / f in double for 1 + f of [0.75, 1.5]: fpminimax (double), degree 12. Largest relative error: 2^-35.8
 * (dirtyinfnorm); measured for log1p(x) = k ln2 + log1p(f) over random x of [2^-60, 2^31]: 2^-35.8. */
#define SOFTFOCUS_LOG1P_0 0x1.0000000010931p+0
#define SOFTFOCUS_LOG1P_1 -0x1.0000000251954p-1
#define SOFTFOCUS_LOG1P_2 0x1.555554aa62e8dp-2
#define SOFTFOCUS_LOG1P_3 -0x1.fffff60542041p-3
#define SOFTFOCUS_LOG1P_4 0x1.999a1de25ec45p-3
#define SOFTFOCUS_LOG1P_5 -0x1.5558b43af485bp-3
#define SOFTFOCUS_LOG1P_6 0x1.2482dd0607513p-3
#define SOFTFOCUS_LOG1P_7 -0x1.ff0d4f63b0e44p-4
#define SOFTFOCUS_LOG1P_8 0x1.c7af79a2f01a2p-4
#define SOFTFOCUS_LOG1P_9 -0x1.a7a1c67f9d5e8p-4
#define SOFTFOCUS_LOG1P_10 0x1.8a18ff664724fp-4
#define SOFTFOCUS_LOG1P_11 -0x1.21c35cb62a33ap-4
#define SOFTFOCUS_LOG1P_12 0x1.af84cbbe20ff8p-6
#define SOFTFOCUS_LN2_DOUBLE 0x1.62e42fefa39efp-1

#endif
