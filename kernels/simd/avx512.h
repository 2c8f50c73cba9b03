/* The vocabulary on AVX-512 (F, BW, DQ, VL): 16 lanes, masks for tails, exp's table in one vpermps.
 * scalar.h has each word's contract. */
#ifndef SOFTFOCUS_SIMD_AVX512_H
#define SOFTFOCUS_SIMD_AVX512_H

#include <immintrin.h>
#include <sleef.h>

#define VF_LANES 16
#define VF_HAS_FMA 1
#define VF_STREAMS 1
#define VF_HAS_MASKS 1
#define VF_TABLE_BITS 4

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef __m512 vf_table;

/* ---- Loads and stores */
SOFTFOCUS_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
SOFTFOCUS_INLINE vm vm_first(size_t n) { return (vm)((1u << n) - 1u); }
SOFTFOCUS_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
SOFTFOCUS_INLINE vf vf_load_part(const float *p, size_t n, vf rest)
{
    return _mm512_mask_loadu_ps(rest, vm_first(n), p);
}
SOFTFOCUS_INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
SOFTFOCUS_INLINE void vf_store_part(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, vm_first(n), a); }
SOFTFOCUS_INLINE void vf_stream(float *p, vf a) { _mm512_stream_ps(p, a); }
SOFTFOCUS_INLINE void vf_stream_end(void) { _mm_sfence(); }
SOFTFOCUS_INLINE vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
SOFTFOCUS_INLINE void vi_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }

/* ---- Arithmetic */
SOFTFOCUS_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
SOFTFOCUS_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
SOFTFOCUS_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul_add(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
SOFTFOCUS_INLINE vf vf_neg_mul_add(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
SOFTFOCUS_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
SOFTFOCUS_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
SOFTFOCUS_INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
SOFTFOCUS_INLINE vf vf_minus_abs(vf a) { return _mm512_or_ps(_mm512_set1_ps(-0.0f), a); }
SOFTFOCUS_INLINE vf vf_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
SOFTFOCUS_INLINE vf vf_or(vf a, vf b) { return _mm512_or_ps(a, b); }
SOFTFOCUS_INLINE float vf_reduce_max(vf a) { return _mm512_reduce_max_ps(a); }

/* ---- Integers and bits */
SOFTFOCUS_INLINE vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
SOFTFOCUS_INLINE vi vi_lane_numbers(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
SOFTFOCUS_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
#define vi_shift_left(a, n) _mm512_slli_epi32(a, n)
SOFTFOCUS_INLINE vi vf_bits(vf a) { return _mm512_castps_si512(a); }
SOFTFOCUS_INLINE vf vf_from_bits(vi a) { return _mm512_castsi512_ps(a); }
SOFTFOCUS_INLINE vf vf_from_positive_bits(vi a) { return _mm512_castsi512_ps(_mm512_max_epi32(a, _mm512_setzero_si512())); }

/* ---- Masks */
SOFTFOCUS_INLINE vm vf_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
SOFTFOCUS_INLINE vm vf_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
SOFTFOCUS_INLINE vm vi_equal(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
SOFTFOCUS_INLINE vm vm_and(vm a, vm b) { return a & b; }
SOFTFOCUS_INLINE vm vm_or(vm a, vm b) { return a | b; }
SOFTFOCUS_INLINE int vm_any(vm a) { return a != 0; }
SOFTFOCUS_INLINE int vm_all(vm a) { return a == 0xffff; }
SOFTFOCUS_INLINE size_t vm_count(vm a) { return (size_t)__builtin_popcount(a); }
SOFTFOCUS_INLINE size_t vm_first_lane(vm a) { return (size_t)__builtin_ctz(a); }
SOFTFOCUS_INLINE vf vf_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
SOFTFOCUS_INLINE vi vi_select(vm m, vi a, vi b) { return _mm512_mask_blend_epi32(m, b, a); }
SOFTFOCUS_INLINE vf vf_keep(vm m, vf a) { return _mm512_maskz_mov_ps(m, a); }
/* Words of VF_HAS_MASKS: true for NaN, too; and 0 where the mask is not set. */
SOFTFOCUS_INLINE vm vf_not_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
/* The barrier keeps clang from selecting floats after the cast that follows, by an instruction more. */
SOFTFOCUS_INLINE vi vi_add_where(vm m, vi a, vi b)
{
    vi sum = _mm512_maskz_add_epi32(m, a, b);
#ifdef __clang__
    __asm__("" : "+v"(sum));
#endif
    return sum;
}
SOFTFOCUS_INLINE vf vf_mul_add_where(vm m, vf a, vf b, vf c) { return _mm512_maskz_fmadd_ps(m, a, b, c); }

/* ---- exp's table: lane i of the result is entry (index i) mod 16 */
SOFTFOCUS_INLINE vf_table vf_load_table(const uint32_t *p) { return _mm512_loadu_ps(p); }
SOFTFOCUS_INLINE vi vi_lookup(vf_table table, vi index)
{
    return _mm512_castps_si512(_mm512_permutexvar_ps(index, table));
}

/* ---- Half vectors of doubles, for wide.h */
typedef __m512d vh;

SOFTFOCUS_INLINE vh h_set1(double x) { return _mm512_set1_pd(x); }
SOFTFOCUS_INLINE vh h_load(const double *p) { return _mm512_loadu_pd(p); }
SOFTFOCUS_INLINE void h_store(double *p, vh a) { _mm512_storeu_pd(p, a); }
SOFTFOCUS_INLINE vh h_add(vh a, vh b) { return _mm512_add_pd(a, b); }
SOFTFOCUS_INLINE vh h_sub(vh a, vh b) { return _mm512_sub_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul(vh a, vh b) { return _mm512_mul_pd(a, b); }
SOFTFOCUS_INLINE vh h_div(vh a, vh b) { return _mm512_div_pd(a, b); }
SOFTFOCUS_INLINE vh h_max(vh a, vh b) { return _mm512_max_pd(a, b); }
SOFTFOCUS_INLINE vh h_min(vh a, vh b) { return _mm512_min_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul_add(vh a, vh b, vh c) { return _mm512_fmadd_pd(a, b, c); }
SOFTFOCUS_INLINE vh h_select_less(vh a, vh b, vh x, vh y)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
}
/* In each step two vectors become one, half of either added to the other half. The sum of one vector and those of several
   are formed by these steps in the same order, and so have the same bits. */
SOFTFOCUS_INLINE vh h_fold_add1(vh a, vh b) { return h_add(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)); }
SOFTFOCUS_INLINE vh h_fold_add2(vh a, vh b)
{
    return h_add(_mm512_shuffle_f64x2(a, b, 0x88), _mm512_shuffle_f64x2(a, b, 0xdd));
}
SOFTFOCUS_INLINE double h_reduce_add(vh a)
{
    vh two = h_fold_add1(a, a), four = h_fold_add2(two, two);
    return _mm512_cvtsd_f64(h_fold_add2(four, four));
}
SOFTFOCUS_INLINE vh h_pow(vh a, vh b) { return Sleef_powd8_u10avx512f(a, b); }
SOFTFOCUS_INLINE vh h_exp(vh a) { return Sleef_expd8_u10avx512f(a); }
/* floor(log2(a / 0.75)), as vgetexp gives it: log2's integer part of a * 4/3. At -O0 gcc's vgetexp is a macro, whose own
   mask makes a warning here. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
SOFTFOCUS_INLINE vh h_exponent(vh a) { return _mm512_getexp_pd(_mm512_mul_pd(a, _mm512_set1_pd(0x1.5555555555555p0))); }
#pragma GCC diagnostic pop
SOFTFOCUS_INLINE vh h_scale_down(vh a, vh k) { return _mm512_scalef_pd(a, _mm512_sub_pd(_mm512_setzero_pd(), k)); }

#include "kernels/simd/wide.h"

SOFTFOCUS_INLINE vd vd_widen(vf a)
{
    return (vd){_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}
SOFTFOCUS_INLINE vf vd_narrow(vd a)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.lo)), _mm512_cvtpd_ps(a.hi), 1);
}

/* ---- Reductions of a row in each vector: in each step two vectors become one, half of either folded onto the other half */
SOFTFOCUS_INLINE vf vf_fold_max1(vf a, vf b) { return vf_max(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
SOFTFOCUS_INLINE vf vf_fold_max2(vf a, vf b)
{
    vh x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return vf_max(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
SOFTFOCUS_INLINE vf vf_fold_max4(vf a, vf b)
{
    return vf_max(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
SOFTFOCUS_INLINE vf vf_reduce_max_rows(const vf rows[VF_LANES])
{
    vf four[4];
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < 4; i++)
        four[i] = vf_fold_max2(vf_fold_max1(rows[4 * i], rows[4 * i + 1]), vf_fold_max1(rows[4 * i + 2], rows[4 * i + 3]));
    return vf_fold_max4(vf_fold_max4(four[0], four[1]), vf_fold_max4(four[2], four[3]));
}
SOFTFOCUS_INLINE vh h_reduce_add_rows(const vd rows[VF_LANES / 2])
{
    vh two[4];
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < 4; i++)
        two[i] = h_fold_add1(h_add(rows[2 * i].lo, rows[2 * i].hi), h_add(rows[2 * i + 1].lo, rows[2 * i + 1].hi));
    return h_fold_add2(h_fold_add2(two[0], two[1]), h_fold_add2(two[2], two[3]));
}
SOFTFOCUS_INLINE vd vd_reduce_add_rows(const vd rows[VF_LANES])
{
    return (vd){h_reduce_add_rows(rows), h_reduce_add_rows(rows + VF_LANES / 2)};
}

#include "kernels/simd/strided.h"

SOFTFOCUS_INLINE void vf_unzip(vf a, vf b, vf *even, vf *odd)
{
    vi first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, first, b);
    *odd = _mm512_permutex2var_ps(a, vi_add(first, vi_set1(1)), b);
}
SOFTFOCUS_INLINE void vf_zip(vf even, vf odd, vf *a, vf *b)
{
    vi first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(even, first, odd);
    *b = _mm512_permutex2var_ps(even, vi_add(first, vi_set1(8)), odd);
}

/* ---- Blocks of rows: 128-bit lane g of vector i holds row 4 g + i, so that a transposition within the lanes is all */
SOFTFOCUS_INLINE void vf_transpose_lanes(vf v[4])
{
    vf a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    vf c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(c)));
    v[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(c)));
    v[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(b), _mm512_castps_pd(d)));
    v[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(b), _mm512_castps_pd(d)));
}
SOFTFOCUS_INLINE void vf_load_columns(const float *p, ptrdiff_t stride, size_t n, vf columns[4])
{
    __mmask8 first = (__mmask8)((1u << n) - 1u);
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++) {
        vf row = _mm512_castps128_ps512(_mm_maskz_loadu_ps(first, p + i * stride));
        row = _mm512_insertf32x4(row, _mm_maskz_loadu_ps(first, p + (i + 4) * stride), 1);
        row = _mm512_insertf32x4(row, _mm_maskz_loadu_ps(first, p + (i + 8) * stride), 2);
        columns[i] = _mm512_insertf32x4(row, _mm_maskz_loadu_ps(first, p + (i + 12) * stride), 3);
    }
    vf_transpose_lanes(columns);
}
/* Stores the first lanes of a row. The barrier keeps gcc from fusing extraction and masked store into one vextractf32x4,
   which unlike vmovups faults on what its mask leaves out. */
SOFTFOCUS_INLINE void vf_store_row_part(float *p, __m128 row, __mmask8 first)
{
    __asm__("" : "+v"(row));
    _mm_mask_storeu_ps(p, first, row);
}
SOFTFOCUS_INLINE void vf_store_columns(float *p, ptrdiff_t stride, const vf columns[4], size_t n)
{
    __mmask8 first = (__mmask8)((1u << n) - 1u);
    vf rows[4] = {columns[0], columns[1], columns[2], columns[3]};
    vf_transpose_lanes(rows);
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++) {
        __m128 lane[4] = {_mm512_castps512_ps128(rows[i]), _mm512_extractf32x4_ps(rows[i], 1),
                          _mm512_extractf32x4_ps(rows[i], 2), _mm512_extractf32x4_ps(rows[i], 3)};
        SOFTFOCUS_UNROLL_SHORT
        for (ptrdiff_t g = 0; g < 4; g++) {
            if (n == 4)
                _mm_storeu_ps(p + (i + 4 * g) * stride, lane[g]);
            else
                vf_store_row_part(p + (i + 4 * g) * stride, lane[g], first);
        }
    }
}

#endif
