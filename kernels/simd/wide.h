/* Doubles for the lanes of one float vector: vd, a pair of the ISA's double vectors, low lanes first.
 *
 * Included by the ISA headers with two or more lanes, after they have defined the half-vector words h_* over the types
 * vh (doubles) and vhi (64-bit integers). Sums over elements and all work per position are done in vd. */
#ifndef SOFTFOCUS_SIMD_WIDE_H
#define SOFTFOCUS_SIMD_WIDE_H

typedef struct {
    vh lo, hi;
} vd;

#define WIDE_1(name)                                                                                                   \
    SOFTFOCUS_INLINE vd vd_##name(vd a) { return (vd){h_##name(a.lo), h_##name(a.hi)}; }
#define WIDE_2(name)                                                                                                   \
    SOFTFOCUS_INLINE vd vd_##name(vd a, vd b) { return (vd){h_##name(a.lo, b.lo), h_##name(a.hi, b.hi)}; }

WIDE_2(add)
WIDE_2(sub)
WIDE_2(mul)
WIDE_2(div)
WIDE_2(max) /* of NaN as vf_max */
WIDE_2(min)
WIDE_2(pow)
WIDE_1(exp)
WIDE_1(exponent)
WIDE_2(scale_down)

#undef WIDE_1
#undef WIDE_2

SOFTFOCUS_INLINE vd vd_set1(double x) { return (vd){h_set1(x), h_set1(x)}; }
SOFTFOCUS_INLINE vd vd_load(const double *p) { return (vd){h_load(p), h_load(p + VF_LANES / 2)}; }

SOFTFOCUS_INLINE void vd_store(double *p, vd a)
{
    h_store(p, a.lo);
    h_store(p + VF_LANES / 2, a.hi);
}

/* a * b + c */
SOFTFOCUS_INLINE vd vd_mul_add(vd a, vd b, vd c)
{
    return (vd){h_mul_add(a.lo, b.lo, c.lo), h_mul_add(a.hi, b.hi, c.hi)};
}

/* a < b ? x : y, lane by lane; y where a or b is NaN. */
SOFTFOCUS_INLINE vd vd_select_less(vd a, vd b, vd x, vd y)
{
    return (vd){h_select_less(a.lo, b.lo, x.lo, y.lo), h_select_less(a.hi, b.hi, x.hi, y.hi)};
}

SOFTFOCUS_INLINE double vd_reduce_add(vd a) { return h_reduce_add(h_add(a.lo, a.hi)); }

#endif
