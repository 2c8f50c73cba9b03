/* h_exponent and h_scale_down by integer arithmetic on the bits, for ISAs without an instruction for them.
 * Included by ISA headers after the words on vhi, before wide.h. */
#ifndef SOFTFOCUS_SIMD_EXPONENT_H
#define SOFTFOCUS_SIMD_EXPONENT_H

#define DOUBLE_BITS_0_75 INT64_C(0x3fe8000000000000)
#define DOUBLE_BITS_1 INT64_C(0x3ff0000000000000)
#define DOUBLE_BITS_2_52 INT64_C(0x4330000000000000) /* 2^52: an integer below 2^52 added to these bits is 2^52 + it */

/* k with a * 2^-k in [0.75, 1.5), for finite a >= 0.75 */
SOFTFOCUS_INLINE vh h_exponent(vh a)
{
    vhi k = hi_shift_right(hi_sub(h_bits(a), hi_set1(DOUBLE_BITS_0_75)), 52);
    return h_sub(h_from_bits(hi_add(k, hi_set1(DOUBLE_BITS_2_52))), h_set1(0x1p52));
}

/* a * 2^-k, for integers 0 <= k < 1023 */
SOFTFOCUS_INLINE vh h_scale_down(vh a, vh k)
{
    vhi bits = hi_shift_left(h_bits(h_add(k, h_set1(0x1p52))), 52); /* k << 52: what lies above is shifted out */
    return h_mul(a, h_from_bits(hi_sub(hi_set1(DOUBLE_BITS_1), bits)));
}

#endif
