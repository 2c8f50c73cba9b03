/* The vocabulary on SSE2, which every x86-64 CPU has: 4 lanes, no FMA, no blend, no table lookup.
 * scalar.h has each word's contract. */
#ifndef SOFTFOCUS_SIMD_SSE_H
#define SOFTFOCUS_SIMD_SSE_H

#include <emmintrin.h>
#include <sleef.h>

#define VF_LANES 4
#define VF_HAS_FMA 0
#define VF_STREAMS 1
#define VF_HAS_MASKS 0
#define VF_TABLE_BITS 0

typedef __m128 vf;
typedef __m128i vi;
typedef __m128 vm; /* all bits of a lane, or none */

/* ---- Loads and stores */
SOFTFOCUS_INLINE vf vf_set1(float x) { return _mm_set1_ps(x); }
SOFTFOCUS_INLINE vf vf_load(const float *p) { return _mm_loadu_ps(p); }
SOFTFOCUS_INLINE void vf_store(float *p, vf a) { _mm_storeu_ps(p, a); }
SOFTFOCUS_INLINE void vf_stream(float *p, vf a) { _mm_stream_ps(p, a); }
SOFTFOCUS_INLINE void vf_stream_end(void) { _mm_sfence(); }
SOFTFOCUS_INLINE vi vi_load(const int32_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
SOFTFOCUS_INLINE void vi_store(int32_t *p, vi a) { _mm_storeu_si128((__m128i *)(void *)p, a); }

/* ---- Arithmetic */
SOFTFOCUS_INLINE vf vf_add(vf a, vf b) { return _mm_add_ps(a, b); }
SOFTFOCUS_INLINE vf vf_sub(vf a, vf b) { return _mm_sub_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul(vf a, vf b) { return _mm_mul_ps(a, b); }
SOFTFOCUS_INLINE vf vf_div(vf a, vf b) { return _mm_div_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul_add(vf a, vf b, vf c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
SOFTFOCUS_INLINE vf vf_neg_mul_add(vf a, vf b, vf c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }
SOFTFOCUS_INLINE vf vf_max(vf a, vf b) { return _mm_max_ps(a, b); }
SOFTFOCUS_INLINE vf vf_min(vf a, vf b) { return _mm_min_ps(a, b); }
SOFTFOCUS_INLINE vf vf_abs(vf a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
SOFTFOCUS_INLINE vf vf_minus_abs(vf a) { return _mm_or_ps(_mm_set1_ps(-0.0f), a); }
SOFTFOCUS_INLINE vf vf_xor(vf a, vf b) { return _mm_xor_ps(a, b); }
SOFTFOCUS_INLINE vf vf_or(vf a, vf b) { return _mm_or_ps(a, b); }
SOFTFOCUS_INLINE float vf_reduce_max(vf a)
{
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

/* ---- Integers and bits */
SOFTFOCUS_INLINE vi vi_set1(int32_t x) { return _mm_set1_epi32(x); }
SOFTFOCUS_INLINE vi vi_lane_numbers(void) { return _mm_setr_epi32(0, 1, 2, 3); }
SOFTFOCUS_INLINE vi vi_add(vi a, vi b) { return _mm_add_epi32(a, b); }
#define vi_shift_left(a, n) _mm_slli_epi32(a, n)
SOFTFOCUS_INLINE vi vf_bits(vf a) { return _mm_castps_si128(a); }
SOFTFOCUS_INLINE vf vf_from_bits(vi a) { return _mm_castsi128_ps(a); }
/* The maximum of numbers; where the bits are those of a NaN, its second operand. */
SOFTFOCUS_INLINE vf vf_from_positive_bits(vi a) { return _mm_max_ps(_mm_castsi128_ps(a), _mm_setzero_ps()); }

/* ---- Masks */
SOFTFOCUS_INLINE vm vm_first(size_t n)
{
    return _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32((int32_t)n), vi_lane_numbers()));
}
SOFTFOCUS_INLINE vm vf_less(vf a, vf b) { return _mm_cmplt_ps(a, b); }
SOFTFOCUS_INLINE vm vf_equal(vf a, vf b) { return _mm_cmpeq_ps(a, b); }
SOFTFOCUS_INLINE vm vi_equal(vi a, vi b) { return _mm_castsi128_ps(_mm_cmpeq_epi32(a, b)); }
SOFTFOCUS_INLINE vm vm_and(vm a, vm b) { return _mm_and_ps(a, b); }
SOFTFOCUS_INLINE vm vm_or(vm a, vm b) { return _mm_or_ps(a, b); }
SOFTFOCUS_INLINE int vm_any(vm a) { return _mm_movemask_ps(a) != 0; }
SOFTFOCUS_INLINE int vm_all(vm a) { return _mm_movemask_ps(a) == 0xf; }
SOFTFOCUS_INLINE size_t vm_count(vm a)
{
    /* Nibble n: the bits set in n. SSE2 has no instruction for it. */
    return (size_t)(UINT64_C(0x4332322132212110) >> (4 * _mm_movemask_ps(a)) & 15);
}
SOFTFOCUS_INLINE size_t vm_first_lane(vm a) { return (size_t)__builtin_ctz((unsigned)_mm_movemask_ps(a)); }
SOFTFOCUS_INLINE vf vf_select(vm m, vf a, vf b) { return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)); }
SOFTFOCUS_INLINE vi vi_select(vm m, vi a, vi b)
{
    return _mm_castps_si128(vf_select(m, _mm_castsi128_ps(a), _mm_castsi128_ps(b)));
}
SOFTFOCUS_INLINE vf vf_keep(vm m, vf a) { return _mm_and_ps(m, a); }

/* ---- Half vectors of doubles, for wide.h */
typedef __m128d vh;

SOFTFOCUS_INLINE vh h_set1(double x) { return _mm_set1_pd(x); }
SOFTFOCUS_INLINE vh h_load(const double *p) { return _mm_loadu_pd(p); }
SOFTFOCUS_INLINE void h_store(double *p, vh a) { _mm_storeu_pd(p, a); }
SOFTFOCUS_INLINE vh h_add(vh a, vh b) { return _mm_add_pd(a, b); }
SOFTFOCUS_INLINE vh h_sub(vh a, vh b) { return _mm_sub_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul(vh a, vh b) { return _mm_mul_pd(a, b); }
SOFTFOCUS_INLINE vh h_div(vh a, vh b) { return _mm_div_pd(a, b); }
SOFTFOCUS_INLINE vh h_max(vh a, vh b) { return _mm_max_pd(a, b); }
SOFTFOCUS_INLINE vh h_min(vh a, vh b) { return _mm_min_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul_add(vh a, vh b, vh c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
SOFTFOCUS_INLINE vh h_select_less(vh a, vh b, vh x, vh y)
{
    vh m = _mm_cmplt_pd(a, b);
    return _mm_or_pd(_mm_and_pd(m, x), _mm_andnot_pd(m, y));
}
SOFTFOCUS_INLINE double h_reduce_add(vh a) { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
SOFTFOCUS_INLINE vh h_pow(vh a, vh b) { return Sleef_powd2_u10sse2(a, b); }
SOFTFOCUS_INLINE vh h_exp(vh a) { return Sleef_expd2_u10sse2(a); }

typedef __m128i vhi;
SOFTFOCUS_INLINE vhi hi_set1(int64_t x) { return _mm_set1_epi64x(x); }
SOFTFOCUS_INLINE vhi hi_add(vhi a, vhi b) { return _mm_add_epi64(a, b); }
SOFTFOCUS_INLINE vhi hi_sub(vhi a, vhi b) { return _mm_sub_epi64(a, b); }
#define hi_shift_left(a, n) _mm_slli_epi64(a, n)
#define hi_shift_right(a, n) _mm_srli_epi64(a, n)
SOFTFOCUS_INLINE vhi h_bits(vh a) { return _mm_castpd_si128(a); }
SOFTFOCUS_INLINE vh h_from_bits(vhi a) { return _mm_castsi128_pd(a); }

#include "kernels/simd/exponent.h"
#include "kernels/simd/wide.h"

SOFTFOCUS_INLINE vd vd_widen(vf a) { return (vd){_mm_cvtps_pd(a), _mm_cvtps_pd(_mm_movehl_ps(a, a))}; }
SOFTFOCUS_INLINE vf vd_narrow(vd a) { return _mm_movelh_ps(_mm_cvtpd_ps(a.lo), _mm_cvtpd_ps(a.hi)); }

#include "kernels/simd/strided.h"

/* No masked load or store: by the number of lanes, in registers. */
SOFTFOCUS_INLINE vf vf_load_part(const float *p, size_t n, vf rest)
{
    vf a = _mm_setzero_ps();
    if (n >= 4)
        return vf_load(p);
    if (n == 1)
        a = _mm_load_ss(p);
    else if (n >= 2)
        a = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)p));
    if (n == 3)
        a = _mm_movelh_ps(a, _mm_load_ss(p + 2));
    return vf_select(vm_first(n), a, rest);
}
SOFTFOCUS_INLINE void vf_store_part(float *p, vf a, size_t n)
{
    if (n >= 4)
        vf_store(p, a);
    else if (n == 1)
        _mm_store_ss(p, a);
    else if (n >= 2)
        _mm_storel_epi64((__m128i *)(void *)p, _mm_castps_si128(a));
    if (n == 3)
        _mm_store_ss(p + 2, _mm_movehl_ps(a, a));
}

SOFTFOCUS_INLINE void vf_transpose4(vf v[4]) { _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]); }

SOFTFOCUS_INLINE void vf_unzip(vf a, vf b, vf *even, vf *odd)
{
    *even = _mm_shuffle_ps(a, b, 0x88);
    *odd = _mm_shuffle_ps(a, b, 0xdd);
}
SOFTFOCUS_INLINE void vf_zip(vf even, vf odd, vf *a, vf *b)
{
    *a = _mm_unpacklo_ps(even, odd);
    *b = _mm_unpackhi_ps(even, odd);
}

/* ---- Blocks of rows */
#include "kernels/simd/columns4.h"

#endif
