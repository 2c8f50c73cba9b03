/* The vocabulary in plain C, one lane: the path of CPUs with nothing else, and the contract of each word.
 *
 * The kernels are written over these words alone. A word means the same on every ISA, except that vf_mul_add rounds once
 * where VF_HAS_FMA is 1 and twice elsewhere, and that NaN handling of max and min is as loose as stated. Words are
 * functions, or macros where an immediate is needed; all functions are static, most of them inline (SOFTFOCUS_INLINE; those
 * of strided.h are SOFTFOCUS_SHARED), so that no code compiled for one ISA can be linked into another's path. */
#ifndef SOFTFOCUS_SIMD_SCALAR_H
#define SOFTFOCUS_SIMD_SCALAR_H

#include <sleef.h>
#include <string.h>

#define VF_LANES 1
#define VF_HAS_FMA 0    /* whether vf_mul_add rounds once */
#define VF_STREAMS 0    /* whether there are stores past the caches */
/* Whether a mask on an operation costs nothing; 0: there is no vf_not_less, nor a word with "where". */
#define VF_HAS_MASKS 0
#define VF_TABLE_BITS 0 /* exp by a table of 2^this entries; 0: there is no vi_lookup */

typedef float vf;   /* VF_LANES floats */
typedef int32_t vi; /* as many 32-bit integers */
typedef int vm;     /* as many truth values */
typedef double vd;  /* as many doubles */

/* ---- Loads and stores: any alignment that suits a float. n <= VF_LANES: only the first n lanes touch memory. */
SOFTFOCUS_INLINE vf vf_set1(float x) { return x; }
SOFTFOCUS_INLINE vf vf_load(const float *p) { return *p; }
SOFTFOCUS_INLINE vf vf_load_part(const float *p, size_t n, vf rest) { return n ? *p : rest; } /* others from rest */
SOFTFOCUS_INLINE void vf_store(float *p, vf a) { *p = a; }
SOFTFOCUS_INLINE void vf_store_part(float *p, vf a, size_t n)
{
    if (n)
        *p = a;
}
/* To p, which is a whole vector's multiple: past the caches where the ISA can, and then seen by other threads only after
   vf_stream_end. */
SOFTFOCUS_INLINE void vf_stream(float *p, vf a) { *p = a; }
SOFTFOCUS_INLINE void vf_stream_end(void) {}
SOFTFOCUS_INLINE vi vi_load(const int32_t *p) { return *p; }
SOFTFOCUS_INLINE void vi_store(int32_t *p, vi a) { *p = a; }
/* Lane i at p[i * stride]; lanes from n on are 0. */
SOFTFOCUS_INLINE vf vf_load_strided(const float *p, ptrdiff_t stride, size_t n) { (void)stride; return n ? *p : 0; }
SOFTFOCUS_INLINE void vf_store_strided(float *p, ptrdiff_t stride, vf a, size_t n)
{
    (void)stride;
    vf_store_part(p, a, n);
}

/* ---- Blocks of rows: element (lane l, column j) at p[l * stride + j], VF_LANES rows of n <= 4 neighbouring elements, as n
   vectors with a row in each lane; `columns` has room for 4. */
SOFTFOCUS_INLINE void vf_load_columns(const float *p, ptrdiff_t stride, size_t n, vf columns[4])
{
    (void)stride;
    for (size_t j = 0; j < n; j++)
        columns[j] = p[j];
}
SOFTFOCUS_INLINE void vf_store_columns(float *p, ptrdiff_t stride, const vf columns[4], size_t n)
{
    (void)stride;
    for (size_t j = 0; j < n; j++)
        p[j] = columns[j];
}

/* Of the 2 VF_LANES elements of a, then b, those with an even number and those with an odd one; and back. */
SOFTFOCUS_INLINE void vf_unzip(vf a, vf b, vf *even, vf *odd) { *even = a, *odd = b; }
SOFTFOCUS_INLINE void vf_zip(vf even, vf odd, vf *a, vf *b) { *a = even, *b = odd; }

/* ---- Arithmetic */
SOFTFOCUS_INLINE vf vf_add(vf a, vf b) { return a + b; }
SOFTFOCUS_INLINE vf vf_sub(vf a, vf b) { return a - b; }
SOFTFOCUS_INLINE vf vf_mul(vf a, vf b) { return a * b; }
SOFTFOCUS_INLINE vf vf_div(vf a, vf b) { return a / b; }
SOFTFOCUS_INLINE vf vf_mul_add(vf a, vf b, vf c) { return a * b + c; }
SOFTFOCUS_INLINE vf vf_neg_mul_add(vf a, vf b, vf c) { return c - a * b; }
SOFTFOCUS_INLINE vf vf_max(vf a, vf b) { return a > b ? a : b; } /* b, or NaN, if either is NaN */
SOFTFOCUS_INLINE vf vf_min(vf a, vf b) { return a < b ? a : b; } /* likewise */
SOFTFOCUS_INLINE vf vf_abs(vf a) { return __builtin_fabsf(a); }
SOFTFOCUS_INLINE vf vf_minus_abs(vf a) { return -__builtin_fabsf(a); }
SOFTFOCUS_INLINE float vf_reduce_max(vf a) { return a; } /* over the lanes; any lane, or NaN, if one is NaN */
/* Lane i is the maximum of rows[i]. */
SOFTFOCUS_INLINE vf vf_reduce_max_rows(const vf rows[VF_LANES]) { return rows[0]; }

/* ---- Integers (wrapping) and bits */
SOFTFOCUS_INLINE vi vi_set1(int32_t x) { return x; }
SOFTFOCUS_INLINE vi vi_lane_numbers(void) { return 0; } /* 0, 1, 2, ... */
SOFTFOCUS_INLINE vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
#define vi_shift_left(a, n) ((vi)((uint32_t)(a) << (n))) /* n a constant */
SOFTFOCUS_INLINE vi vf_bits(vf a)
{
    vi bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
SOFTFOCUS_INLINE vf vf_from_bits(vi a)
{
    vf real;
    memcpy(&real, &a, sizeof real);
    return real;
}
SOFTFOCUS_INLINE vf vf_from_positive_bits(vi a) { return vf_from_bits(a > 0 ? a : 0); } /* 0 where a is negative */
SOFTFOCUS_INLINE vf vf_xor(vf a, vf b) { return vf_from_bits(vf_bits(a) ^ vf_bits(b)); }
SOFTFOCUS_INLINE vf vf_or(vf a, vf b) { return vf_from_bits(vf_bits(a) | vf_bits(b)); }

/* ---- Masks: comparisons with NaN are false */
SOFTFOCUS_INLINE vm vm_first(size_t n) { return n > 0; } /* the first n lanes, n <= VF_LANES */
SOFTFOCUS_INLINE vm vf_less(vf a, vf b) { return a < b; }
SOFTFOCUS_INLINE vm vf_equal(vf a, vf b) { return a == b; }
SOFTFOCUS_INLINE vm vi_equal(vi a, vi b) { return a == b; }
SOFTFOCUS_INLINE vm vm_and(vm a, vm b) { return a && b; }
SOFTFOCUS_INLINE vm vm_or(vm a, vm b) { return a || b; }
SOFTFOCUS_INLINE int vm_any(vm a) { return a; }
SOFTFOCUS_INLINE int vm_all(vm a) { return a; }
SOFTFOCUS_INLINE size_t vm_count(vm a) { return (size_t)a; } /* of the lanes set */
/* The lowest set lane; of a mask without one, which comes where vf_max may give NaN, any lane. */
SOFTFOCUS_INLINE size_t vm_first_lane(vm a) { (void)a; return 0; }
SOFTFOCUS_INLINE vf vf_select(vm m, vf a, vf b) { return m ? a : b; }
SOFTFOCUS_INLINE vi vi_select(vm m, vi a, vi b) { return m ? a : b; }
SOFTFOCUS_INLINE vf vf_keep(vm m, vf a) { return m ? a : 0.0f; } /* 0 elsewhere */

/* ---- Doubles */
SOFTFOCUS_INLINE vd vd_set1(double x) { return x; }
SOFTFOCUS_INLINE vd vd_load(const double *p) { return *p; }
SOFTFOCUS_INLINE void vd_store(double *p, vd a) { *p = a; }
SOFTFOCUS_INLINE vd vd_widen(vf a) { return (double)a; }
SOFTFOCUS_INLINE vf vd_narrow(vd a) { return (float)a; }
SOFTFOCUS_INLINE vd vd_add(vd a, vd b) { return a + b; }
SOFTFOCUS_INLINE vd vd_sub(vd a, vd b) { return a - b; }
SOFTFOCUS_INLINE vd vd_mul(vd a, vd b) { return a * b; }
SOFTFOCUS_INLINE vd vd_div(vd a, vd b) { return a / b; }
SOFTFOCUS_INLINE vd vd_max(vd a, vd b) { return a > b ? a : b; } /* NaN: as vf_max */
SOFTFOCUS_INLINE vd vd_min(vd a, vd b) { return a < b ? a : b; }
SOFTFOCUS_INLINE vd vd_mul_add(vd a, vd b, vd c) { return a * b + c; }
SOFTFOCUS_INLINE vd vd_select_less(vd a, vd b, vd x, vd y) { return a < b ? x : y; }
SOFTFOCUS_INLINE double vd_reduce_add(vd a) { return a; } /* in an order of the ISA's own, always the same */
/* Lane i is vd_reduce_add(rows[i]), to the bit. */
SOFTFOCUS_INLINE vd vd_reduce_add_rows(const vd rows[VF_LANES]) { return rows[0]; }
SOFTFOCUS_INLINE vd vd_pow(vd a, vd b) { return Sleef_powd1_u10purec(a, b); }
SOFTFOCUS_INLINE vd vd_exp(vd a) { return Sleef_expd1_u10purec(a); }

/* vd_exponent(a): k with a * 2^-k in [0.75, 1.5), for finite a >= 0.75; vd_scale_down(a, k): a * 2^-k. */
typedef double vh;
typedef uint64_t vhi;
SOFTFOCUS_INLINE vh h_set1(double x) { return x; }
SOFTFOCUS_INLINE vh h_add(vh a, vh b) { return a + b; }
SOFTFOCUS_INLINE vh h_sub(vh a, vh b) { return a - b; }
SOFTFOCUS_INLINE vh h_mul(vh a, vh b) { return a * b; }
SOFTFOCUS_INLINE vhi hi_set1(int64_t x) { return (vhi)x; }
SOFTFOCUS_INLINE vhi hi_add(vhi a, vhi b) { return a + b; }
SOFTFOCUS_INLINE vhi hi_sub(vhi a, vhi b) { return a - b; }
#define hi_shift_left(a, n) ((a) << (n))
#define hi_shift_right(a, n) ((a) >> (n))
SOFTFOCUS_INLINE vhi h_bits(vh a)
{
    vhi bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
SOFTFOCUS_INLINE vh h_from_bits(vhi a)
{
    vh real;
    memcpy(&real, &a, sizeof real);
    return real;
}

#include "kernels/simd/exponent.h"

SOFTFOCUS_INLINE vd vd_exponent(vd a) { return h_exponent(a); }
SOFTFOCUS_INLINE vd vd_scale_down(vd a, vd k) { return h_scale_down(a, k); }

#endif
