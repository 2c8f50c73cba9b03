/* exp and log1p on vectors, written once over the vocabulary. Constants, their ranges and errors: constants.h.
 *
 * Included by the kernels after instance.h. Bounds are of the whole function, over every argument of the domain stated. */
#ifndef SOFTFOCUS_MATH_H
#define SOFTFOCUS_MATH_H

#include "kernels/constants.h"
#include "kernels/instance.h"

/* ---- exp(z - m) for z <= m ------------------------------------------------------------------------------------------
 *
 * The difference z - m, rounded to float, would cost the result up to |z - m| ulp. So z and m are reduced each by itself,
 *     z = n_z ln2 + r_z,  m = n_m ln2 + r_m,  exp(z - m) = 2^(n_z - n_m) exp(r_z - r_m),
 * with n a multiple of 2^-VF_TABLE_BITS, which is exact but for the last rounding and costs no more: m's half is done
 * once, in exp_reference. Where |m| >= EXP_NEAR that arithmetic runs out of bits, but there z - m is exact for every z
 * that matters (|z - m| < 128 <= |m| / 2), so it is formed ('far') and reduced against 0.
 *
 * The result is scaled by 2^60: exp(-128) is then still a normal number, so that what is small loses no digits until
 * the final product with 2^-60. Below m - 128, results stay at that of m - 128 (2^-185, or 2^-125 scaled), -inf included:
 * their products with anything up to 2^35 round to 0 in float.
 * exp(0) is exactly 1. NaN in z or m gives NaN. Worst error found: see docs/accuracy.md. */
#define EXP_SCALE 0x1p60f
#define EXP_SCALE_INVERSE 0x1p-60
#define EXP_NEAR 0x1p15f
#define EXP_DEPTH 128.0f /* m - z, past which results are all the same */

#if VF_TABLE_BITS == 4
#define EXP_ROUND 0x1.8p19f /* 1.5 * 2^(23 - bits): a float of this size has the last place 2^-bits */
#elif VF_TABLE_BITS == 3
#define EXP_ROUND 0x1.8p20f
#else
#define EXP_ROUND 0x1.8p23f
#endif

/* m, reduced: what exp_scaled needs of it. One m per lane. */
struct exp_reference {
    vf origin; /* far: m, else 0: subtracted from z first */
    vf floor;  /* m - 128, less origin */
    vf top;    /* m, less origin */
    vf round;  /* with a table EXP_ROUND - n_m, without one n_m */
    vf rest;   /* with a table r_m, without one top - n_m times the high part of ln2 */
};

/* ln2 in parts: products of n (a multiple of 2^-VF_TABLE_BITS, |n| < 2^16) with the high part are exact: through FMA's one
   rounding, or because it is two parts of few bits each. */
#if VF_HAS_FMA
#define LN2_LOW SOFTFOCUS_LN2_FMA_LO
#else
#define LN2_LOW SOFTFOCUS_LN2_3
#endif

SOFTFOCUS_INLINE vf reduce_ln2_high(vf z, vf n)
{
#if VF_HAS_FMA
    return vf_neg_mul_add(n, vf_set1(SOFTFOCUS_LN2_FMA_HI), z);
#else
    z = vf_neg_mul_add(n, vf_set1(SOFTFOCUS_LN2_1), z);
    return vf_neg_mul_add(n, vf_set1(SOFTFOCUS_LN2_2), z);
#endif
}

SOFTFOCUS_INLINE struct exp_reference exp_reference(vf m)
{
    vm near = vf_less(vf_abs(m), vf_set1(EXP_NEAR));
    struct exp_reference ref;
    ref.top = vf_keep(near, m);
    ref.origin = vf_select(near, vf_set1(0.0f), m);
    ref.floor = vf_sub(ref.top, vf_set1(EXP_DEPTH));
    vf round = vf_set1(EXP_ROUND);
    vf n = vf_sub(vf_mul_add(ref.top, vf_set1(SOFTFOCUS_LOG2E), round), round);
    ref.rest = reduce_ln2_high(ref.top, n);
#if VF_TABLE_BITS
    ref.rest = vf_neg_mul_add(n, vf_set1(LN2_LOW), ref.rest);
    ref.round = vf_sub(round, n);
#else
    ref.round = n;
#endif
    return ref;
}

/* Whether one lane needs the far form; with it, the lanes that do not need it get the same bits. */
SOFTFOCUS_INLINE int exp_is_far(struct exp_reference ref) { return vm_any(vf_less(vf_set1(0.0f), vf_abs(ref.origin))); }

#if VF_TABLE_BITS
/* Aligned so that a load of it crosses no cache line. */
static const _Alignas(64) uint32_t exp_table[1 << VF_TABLE_BITS] =
#if VF_TABLE_BITS == 4
    SOFTFOCUS_EXP16_TABLE;
#else
    SOFTFOCUS_EXP8_TABLE;
#endif
#endif

/* 2^60 exp(z - m). `far` is a constant: 0 where !exp_is_far(ref), and then z - origin is not formed. */
SOFTFOCUS_INLINE vf exp_scaled(vf z, struct exp_reference ref, int far)
{
    if (far)
        z = vf_sub(z, ref.origin);
    z = vf_max(ref.floor, z); /* in this order NaN stays */
#if VF_TABLE_BITS
    vf t = vf_mul_add(z, vf_set1(SOFTFOCUS_LOG2E), ref.round); /* its low bits: 2^bits (n_z - n_m) */
    vf n = vf_sub(t, ref.round);
    vf r = vf_sub(vf_neg_mul_add(n, vf_set1(LN2_LOW), reduce_ln2_high(z, n)), ref.rest);
    vi power = vi_add(vi_lookup(vf_load_table(exp_table), vf_bits(t)),
                      vi_shift_left(vf_bits(t), 23 - VF_TABLE_BITS));
    vf scale = vf_from_bits(power);
#if VF_TABLE_BITS == 4
    vf q = vf_mul_add(r, vf_set1(SOFTFOCUS_EXP16_Q3), vf_set1(SOFTFOCUS_EXP16_Q2));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP16_Q1));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP16_Q0));
#else
    vf q = vf_mul_add(r, vf_set1(SOFTFOCUS_EXP8_Q4), vf_set1(SOFTFOCUS_EXP8_Q3));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP8_Q2));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP8_Q1));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP8_Q0));
#endif
#else
    /* Without a table r must lie in +-ln2/2, so n is chosen by the difference (its rounding does no harm here), and only
       the difference of the n's meets the low part of ln2. */
    vf t = vf_mul_add(vf_sub(z, ref.top), vf_set1(SOFTFOCUS_LOG2E), vf_set1(EXP_ROUND));
    vf change = vf_sub(t, vf_set1(EXP_ROUND)), n = vf_add(change, ref.round);
    vf r = vf_sub(reduce_ln2_high(z, n), ref.rest);
    r = vf_neg_mul_add(change, vf_set1(LN2_LOW), r);
    vf scale = vf_from_bits(vi_add(vi_shift_left(vf_bits(t), 23), vi_set1((127 + 60) << 23)));
    vf q = vf_mul_add(r, vf_set1(SOFTFOCUS_EXP1_Q6), vf_set1(SOFTFOCUS_EXP1_Q5));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q4));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q3));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q2));
    q = vf_mul_add(vf_mul(r, r), q, r); /* Q1 is 1 */
#endif
    return vf_mul_add(scale, q, scale);
}

/* a * b - high, exactly, for high the product rounded to float. */
SOFTFOCUS_INLINE vf product_rest(vf a, vf b, vf high)
{
#if VF_HAS_FMA
    return vf_mul_add(a, b, vf_sub(vf_set1(0.0f), high));
#else
    return vd_narrow(vd_sub(vd_mul(vd_widen(a), vd_widen(b)), vd_widen(high)));
#endif
}

/* ---- log1p ------------------------------------------------------------------------------------------------------- */

/* log1p(x) in double for 0 <= x < 2^1000, to a relative 2^-35: for work per position, whose results are rounded to
   float. 1 + x = 2^k (1 + f) with 1 + f in [0.75, 1.5); f is formed so that a small x keeps all its digits. */
SOFTFOCUS_INLINE vd vd_log1p(vd x)
{
    static const double c[] = {SOFTFOCUS_LOG1P_0,  SOFTFOCUS_LOG1P_1, SOFTFOCUS_LOG1P_2, SOFTFOCUS_LOG1P_3,
                               SOFTFOCUS_LOG1P_4,  SOFTFOCUS_LOG1P_5, SOFTFOCUS_LOG1P_6, SOFTFOCUS_LOG1P_7,
                               SOFTFOCUS_LOG1P_8,  SOFTFOCUS_LOG1P_9, SOFTFOCUS_LOG1P_10, SOFTFOCUS_LOG1P_11,
                               SOFTFOCUS_LOG1P_12};
    vd one = vd_set1(1.0);
    vd k = vd_exponent(vd_add(one, x));
    vd f = vd_add(vd_scale_down(x, k), vd_sub(vd_scale_down(one, k), one));
    size_t degree = sizeof c / sizeof c[0] - 1;
    vd q = vd_set1(c[degree]);
    for (size_t i = degree; i-- > 0;)
        q = vd_mul_add(q, f, vd_set1(c[i]));
    return vd_mul_add(k, vd_set1(SOFTFOCUS_LN2_DOUBLE), vd_mul(f, q));
}

/* log1p(e) / e - 1 for 0 <= e <= 1, in float: log1p(e) is e + e * this, to 1.2 ulp (0.9 with FMA), at any scale of the
   outer e. */
SOFTFOCUS_INLINE vf log1p_excess(vf e)
{
    static const float c[] = {SOFTFOCUS_LOG1P_EXCESS_0, SOFTFOCUS_LOG1P_EXCESS_1, SOFTFOCUS_LOG1P_EXCESS_2,
                              SOFTFOCUS_LOG1P_EXCESS_3, SOFTFOCUS_LOG1P_EXCESS_4, SOFTFOCUS_LOG1P_EXCESS_5,
                              SOFTFOCUS_LOG1P_EXCESS_6, SOFTFOCUS_LOG1P_EXCESS_7, SOFTFOCUS_LOG1P_EXCESS_8,
                              SOFTFOCUS_LOG1P_EXCESS_9};
    vf x = vf_sub(e, vf_set1(SOFTFOCUS_LOG1P_EXCESS_CENTRE));
    size_t degree = sizeof c / sizeof c[0] - 1;
    vf q = vf_set1(c[degree]);
    for (size_t i = degree; i-- > 0;)
        q = vf_mul_add(q, x, vf_set1(c[i]));
    return q;
}

#endif
