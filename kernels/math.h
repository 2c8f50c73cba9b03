/* exp and log1p on vectors, written once over the vocabulary. Constants, their ranges and errors: constants.h.
 *
 * Included by the kernels after instance.h. Bounds are of the whole function, over every argument of the domain stated. */
#ifndef SOFTFOCUS_MATH_H
#define SOFTFOCUS_MATH_H

#include "kernels/constants.h"
#include "kernels/instance.h"

#define MINUS_INFINITY (-__builtin_inff())

/* ---- exp(z - m) for z <= m ------------------------------------------------------------------------------------------
 *
 * The difference z - m, rounded to float, would cost the result up to |z - m| ulp. So z is reduced by itself,
 *     z = n ln2 + r,  exp(z - m) = 2^(n - N) exp(r) * (2^N / exp(m)),
 * with n and N the multiples of 2^-VF_TABLE_BITS next to z / ln2 and m / ln2, which is exact but for r's last rounding:
 * exp_based gives the first two factors, and exp_unit the third, in double, for sums or results to be multiplied by in their
 * end. Where |m| >= EXP_REACH that arithmetic runs out of bits, but there z - m is exact for every z that matters
 * (|z - m| < 128 <= |m| / 2), so it is formed ('far') and reduced against 0. A lane that does not need the far form gets the
 * same bits by it.
 *
 * exp_based is scaled by 2^60: exp(-128) is then still a normal number, so that what is small loses no digits until the
 * final product, where 2^-60 is in exp_unit. From some way below m - 128 on, -inf included, it is 0 (but for addends, see
 * EXP_ADDENDS_DEPTH): what it should be,
 * 2^-185 at most, is 0 in float after a product with anything up to 2^35. And it is no small number for another reason: of
 * that, the products and results would be subnormal, for which Intel's CPUs take some 150 cycles each time. With elements at
 * -inf, of a vocabulary most of which is masked or past the end of a row, kernels took 3 to 12 times as long there (Emerald
 * Rapids). NaN in z or m gives NaN. Worst error found: see docs/accuracy.md. */
#define EXP_SCALE 0x1p60f
#define EXP_SCALE_INVERSE 0x1p-60
#define EXP_REACH 0x1p15f
#if VF_HAS_MASKS
#define EXP_DEPTH 128.0f /* m - z, past which results are 0 */
#else
#define EXP_DEPTH 160.0f /* m - z, past which results are that of EXP_DEPTH, which is 0: see exp_terms */
#endif

/* What exponentials are for. */
enum exp_use {
    EXP_FACTORS, /* products, too */
    EXP_SHORT,   /* the same; with a table of 8 to 0.9 ulp and not 0.7, by one operation less */
    EXP_ADDENDS  /* sums alone; likewise */
};

/* Without masks addends past this depth are those of it, and no operation makes them 0: 2^32 of them come to 2^-151, which
   is 0 in a float, and each is a normal number with its scale, 2^-124. Not where products are rounded before they are added,
   and would be subnormal. Rows of log-softmax are 1.02 to 1.03 times as fast (AVX2, gcc, Zen 3). */
#define EXP_CUTS_ADDENDS (VF_HAS_MASKS || !VF_HAS_FMA)
#define EXP_ADDENDS_DEPTH (EXP_CUTS_ADDENDS ? EXP_DEPTH : 127.0f)

#define EXP_ROUND (1.5f * (1 << (23 - VF_TABLE_BITS))) /* a float of this size has the last place 2^-VF_TABLE_BITS */

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

/* z - n ln2, to the last rounding */
SOFTFOCUS_INLINE vf reduce_ln2(vf z, vf n) { return vf_neg_mul_add(n, vf_set1(LN2_LOW), reduce_ln2_high(z, n)); }

#if VF_TABLE_BITS == 4
#define EXP_TABLE SOFTFOCUS_EXP16_TABLE
#define EXP_Q(i) SOFTFOCUS_EXP16_Q##i
#elif VF_TABLE_BITS == 3
#define EXP_TABLE SOFTFOCUS_EXP8_TABLE
#define EXP_Q(i) SOFTFOCUS_EXP8_Q##i
#endif

#if VF_TABLE_BITS
/* Aligned so that a load of it crosses no cache line. */
static const _Alignas(64) uint32_t exp_table[1 << VF_TABLE_BITS] = EXP_TABLE;
#endif

/* The scale and the quotient of exp_terms, but for their last steps: scale has the bits low + high, quotient is a b + c. */
struct exp_parts {
    vi low, high;
    vf a, b, c;
};

/* scale: 2^(60 + k) for t = EXP_ROUND + k, but for a table's factor. quotient: exp(r) - 1, |r| <= ln2/2^(VF_TABLE_BITS + 1);
   with a table exp(r) / c - 1, whose entries have the factor c. `use` is a constant where speed depends on it. */
SOFTFOCUS_INLINE struct exp_parts exp_parts(vf t, vf r, enum exp_use use)
{
    vi high = vi_shift_left(vf_bits(t), 23 - VF_TABLE_BITS);
    (void)use;
#if VF_TABLE_BITS
    vi low = vi_lookup(vf_load_table(exp_table), vf_bits(t));
#if VF_TABLE_BITS == 3
    if (use == EXP_FACTORS) {
        vf q = vf_mul_add(r, vf_set1(SOFTFOCUS_EXP8_FINE_Q4), vf_set1(SOFTFOCUS_EXP8_FINE_Q3));
        q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP8_FINE_Q2));
        q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP8_FINE_Q1));
        return (struct exp_parts){low, high, r, q, vf_set1(SOFTFOCUS_EXP8_FINE_Q0)};
    }
#endif
    vf q = vf_mul_add(r, vf_set1(EXP_Q(3)), vf_set1(EXP_Q(2)));
    return (struct exp_parts){low, high, r, vf_mul_add(r, q, vf_set1(EXP_Q(1))), vf_set1(EXP_Q(0))};
#else
    vf q = vf_mul_add(r, vf_set1(SOFTFOCUS_EXP1_Q6), vf_set1(SOFTFOCUS_EXP1_Q5));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q4));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q3));
    q = vf_mul_add(r, q, vf_set1(SOFTFOCUS_EXP1_Q2));
    return (struct exp_parts){vi_set1((127 + 60) << 23), high, vf_mul(r, r), q, r};
#endif
}

/* What exp_based needs of m. One m per lane. */
struct exp_base {
    vf origin; /* far: m, else 0: subtracted from z first */
    vf floor;  /* m - EXP_DEPTH, less origin */
    vf round;  /* EXP_ROUND - N, N the multiple next to (m - origin) / ln2 */
};

/* n of top = n ln2 + r; `whole`: the next whole number. */
SOFTFOCUS_INLINE vf exp_multiple(vf top, int whole)
{
    vf round = vf_set1(whole ? 0x1.8p23f : EXP_ROUND);
    return vf_sub(vf_mul_add(top, vf_set1(SOFTFOCUS_LOG2E), round), round);
}

/* m where it is near, and 0 elsewhere */
SOFTFOCUS_INLINE vf near_part(vf m) { return vf_keep(vf_less(vf_abs(m), vf_set1(EXP_REACH)), m); }

/* Whether one of the lanes needs the far form. */
SOFTFOCUS_INLINE int base_is_far(vf m)
{
    return !vm_all(vf_less(vf_abs(m), vf_set1(EXP_REACH)));
}

/* `far` is a constant: 0 where !base_is_far(m). `whole`: N is a whole number, for exp_unit_from. */
SOFTFOCUS_INLINE struct exp_base exp_base_of(vf m, int far, int whole, enum exp_use use)
{
    vf top = far ? near_part(m) : m;
    return (struct exp_base){vf_sub(m, top), vf_sub(top, vf_set1(use == EXP_ADDENDS ? EXP_ADDENDS_DEPTH : EXP_DEPTH)),
                             vf_sub(vf_set1(EXP_ROUND), exp_multiple(top, whole))};
}

SOFTFOCUS_INLINE struct exp_base exp_base(vf m, int far, enum exp_use use) { return exp_base_of(m, far, 0, use); }

/* exp(z - m) / exp_unit(m) is scale + scale * quotient. */
struct exp_terms {
    vf scale, quotient;
};

/* With the same `far` and `use`. If not far, z - origin is not formed. Where z is too far down both are 0. A mask makes them
   so in the steps that form them. Without one z stops at a depth at which the bits of scale, whose exponent is past a
   float's least, have become negative, or (addends) where scale is still a normal number; where its exponent is that of
   subnormals, scale is some number below 2^-126. NaN stays: by a comparison that is true for it, or by the order of the
   maximum's operands. */
SOFTFOCUS_INLINE struct exp_terms exp_terms(vf z, struct exp_base base, int far, enum exp_use use)
{
    if (far)
        z = vf_sub(z, base.origin);
#if VF_HAS_MASKS
    vm above = vf_not_less(z, base.floor);
#else
    z = vf_max(base.floor, z);
#endif
    vf t = vf_mul_add(z, vf_set1(SOFTFOCUS_LOG2E), base.round);
    struct exp_parts parts = exp_parts(t, reduce_ln2(z, vf_sub(t, base.round)), use);
#if VF_HAS_MASKS
    return (struct exp_terms){vf_from_bits(vi_add_where(above, parts.low, parts.high)),
                              vf_mul_add_where(above, parts.a, parts.b, parts.c)};
#else
    vi bits = vi_add(parts.low, parts.high);
    int cuts = use != EXP_ADDENDS || EXP_CUTS_ADDENDS;
    return (struct exp_terms){cuts ? vf_from_positive_bits(bits) : vf_from_bits(bits),
                              vf_mul_add(parts.a, parts.b, parts.c)};
#endif
}

SOFTFOCUS_INLINE vf exp_of_terms(struct exp_terms terms) { return vf_mul_add(terms.scale, terms.quotient, terms.scale); }

/* exp(z - m) / exp_unit(m) */
SOFTFOCUS_INLINE vf exp_based(vf z, struct exp_base base, int far)
{
    return exp_of_terms(exp_terms(z, base, far, EXP_FACTORS));
}

/* What sums of exp_based are multiplied by to be those of exp(z - m): 2^-60 exp(-r), r what is left of m. By Taylor's
   series: with a table to 2^-28 (|r| <= 0.044: degree 4 leaves 2^-29, and float's rounding of exp(-r) - 1 as much), without
   one to 2^-25.9 (|r| <= 0.35, degree 8; r itself is a rounded float). */
SOFTFOCUS_INLINE vd exp_unit(vf m)
{
    vf top = near_part(m), r = reduce_ln2(top, exp_multiple(top, 0)), q = vf_set1(1.0f / 24);
#if !VF_TABLE_BITS
    q = vf_neg_mul_add(r, vf_set1(1.0f / 5040), vf_mul(vf_mul(r, r), vf_set1(1.0f / 40320)));
    q = vf_mul_add(r, vf_mul_add(r, vf_add(q, vf_set1(1.0f / 720)), vf_set1(-1.0f / 120)), vf_set1(1.0f / 24));
#endif
    q = vf_mul_add(r, vf_mul_add(r, q, vf_set1(-1.0f / 6)), vf_set1(0.5f));
#if VF_TABLE_BITS
    vd rest = vd_widen(vf_mul_add(vf_mul(r, r), q, vf_sub(vf_set1(0.0f), r)));
#else
    vd rest = vd_sub(vd_widen(vf_mul(vf_mul(r, r), q)), vd_widen(r));
#endif
    vd inverse = vd_set1(EXP_SCALE_INVERSE);
    return vd_mul_add(rest, inverse, inverse);
}

/* The same for sums that are relative to a guess of m, by its whole base: 2^-60 2^(N - n) exp(-r), m being n ln2 + r with a
   whole n, in double, to 2^-28.8. A good guess is at most GUESS_DEPTH below m (never above it), so that the exponential of m
   is below 2^118 and what m needs of the others is far from the floor; and both are near. A guess that is m itself is as
   good, whatever m is: mend_guess, softmax.h. */
#define GUESS_DEPTH 40.0f

SOFTFOCUS_INLINE vm is_good_guess(vf guess, vf m)
{
    return vm_and(vf_less(vf_abs(m), vf_set1(EXP_REACH - GUESS_DEPTH)), vf_less(vf_sub(m, guess), vf_set1(GUESS_DEPTH)));
}

SOFTFOCUS_INLINE vd exp_unit_from(vf m, vf guess)
{
    static const double c[] = {SOFTFOCUS_EXP_INVERSE_0, SOFTFOCUS_EXP_INVERSE_1, SOFTFOCUS_EXP_INVERSE_2,
                               SOFTFOCUS_EXP_INVERSE_3, SOFTFOCUS_EXP_INVERSE_4, SOFTFOCUS_EXP_INVERSE_5,
                               SOFTFOCUS_EXP_INVERSE_6};
    vf top = near_part(m), n = exp_multiple(top, 1);
    vd r = vd_mul_add(vd_widen(n), vd_set1(-SOFTFOCUS_LN2_DOUBLE), vd_widen(top));
    size_t degree = sizeof c / sizeof c[0] - 1;
    vd q = vd_set1(c[degree]);
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = degree; i-- > 0;)
        q = vd_mul_add(q, r, vd_set1(c[i]));
    vf down = vf_sub(n, exp_multiple(near_part(guess), 1));
    return vd_scale_down(vd_mul(q, vd_set1(EXP_SCALE_INVERSE)), vd_widen(down));
}

/* 2^60 exp(z) for z <= 0, and with `low` what its last rounding left out. */
SOFTFOCUS_INLINE vf exp_of_negative_low(vf z, vf *low)
{
    /* exp_base of 0: no compiler folds that. */
    struct exp_base zero = {vf_set1(0.0f), vf_set1(-EXP_DEPTH), vf_set1(EXP_ROUND)};
    struct exp_terms terms = exp_terms(z, zero, 0, EXP_FACTORS);
    vf e = exp_of_terms(terms);
    if (low)
        *low = vf_mul_add(terms.scale, terms.quotient, vf_sub(terms.scale, e));
    return e;
}

SOFTFOCUS_INLINE vf exp_of_negative(vf z) { return exp_of_negative_low(z, NULL); }

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

/* log1p(x) in double for 0 <= x < 2^1000, to a relative 2^-35, and for x of (-2^-20, 0), which rounding may leave of a 0:
   for work per position, whose results are rounded to float. 1 + x = 2^k (1 + f) with 1 + f in [0.75, 1.5); f is formed so
   that a small x keeps all its digits. */
SOFTFOCUS_INLINE vd vd_log1p(vd x)
{
    static const double c[] = {SOFTFOCUS_LOG1P_0,  SOFTFOCUS_LOG1P_1, SOFTFOCUS_LOG1P_2, SOFTFOCUS_LOG1P_3,
                               SOFTFOCUS_LOG1P_4,  SOFTFOCUS_LOG1P_5, SOFTFOCUS_LOG1P_6, SOFTFOCUS_LOG1P_7,
                               SOFTFOCUS_LOG1P_8,  SOFTFOCUS_LOG1P_9, SOFTFOCUS_LOG1P_10, SOFTFOCUS_LOG1P_11,
                               SOFTFOCUS_LOG1P_12};
    vd one = vd_set1(1.0);
    vd k = vd_exponent(vd_add(one, x)), scale = vd_scale_down(one, k);
    vd f = vd_mul_add(x, scale, vd_sub(scale, one)); /* the product is exact */
    /* Even and odd powers by themselves: half as long a chain, for 1.0 to 1.05 times the speed. */
    size_t degree = sizeof c / sizeof c[0] - 1;
    vd square = vd_mul(f, f), even = vd_set1(c[degree]), odd = vd_set1(c[degree - 1]);
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = degree; i > 0; i -= 2) {
        even = vd_mul_add(even, square, vd_set1(c[i - 2]));
        if (i > 2)
            odd = vd_mul_add(odd, square, vd_set1(c[i - 3]));
    }
    vd q = vd_mul_add(odd, f, even);
    return vd_mul_add(k, vd_set1(SOFTFOCUS_LN2_DOUBLE), vd_mul(f, q));
}

/* log1p(e) / e - 1 for 0 <= e <= 1, in float, from 2^60 e: log1p(e) is e + e * this, to 1.2 ulp (0.9 with FMA), at any scale
   of that e. */
SOFTFOCUS_INLINE vf log1p_excess(vf e_scaled)
{
    static const float c[] = {SOFTFOCUS_LOG1P_EXCESS_0, SOFTFOCUS_LOG1P_EXCESS_1, SOFTFOCUS_LOG1P_EXCESS_2,
                              SOFTFOCUS_LOG1P_EXCESS_3, SOFTFOCUS_LOG1P_EXCESS_4, SOFTFOCUS_LOG1P_EXCESS_5,
                              SOFTFOCUS_LOG1P_EXCESS_6, SOFTFOCUS_LOG1P_EXCESS_7, SOFTFOCUS_LOG1P_EXCESS_8,
                              SOFTFOCUS_LOG1P_EXCESS_9};
    vf x = vf_mul_add(e_scaled, vf_set1((float)EXP_SCALE_INVERSE), vf_set1(-SOFTFOCUS_LOG1P_EXCESS_CENTRE));
    size_t degree = sizeof c / sizeof c[0] - 1;
    vf q = vf_set1(c[degree]);
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = degree; i-- > 0;)
        q = vf_mul_add(q, x, vf_set1(c[i]));
    return q;
}

/* Any NaN as one and the same: which of two an operation keeps depends on the order of its operands, and that is a
   compiler's choice for either half of a vd, and for each of several loops that do the same. */
#define ANY_NAN __builtin_nanf("")

SOFTFOCUS_INLINE vf one_nan(vf a) { return vf_select(vf_equal(a, a), a, vf_set1(ANY_NAN)); }

/* ---- The modulating factor: u^gamma, for u of [0, 1] (and for gammas of 0, 1 and 2 any u) */

SOFTFOCUS_INLINE vd vd_power(vd u, double gamma)
{
    if (gamma == 0.0)
        return vd_set1(1.0);
    if (gamma == 1.0)
        return u;
    if (gamma == 2.0)
        return vd_mul(u, u);
    /* Of a number: which NaN pow gives depends on the lane. */
    vd power = vd_pow(vd_min(u, vd_set1(0x1p1000)), vd_set1(gamma));
    return vd_add(power, vd_sub(u, u));
}

#endif
