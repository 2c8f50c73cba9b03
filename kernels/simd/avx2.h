/* The vocabulary on AVX2 with FMA: 8 lanes, exp's table of 8 entries in one vpermps.
 * scalar.h has each word's contract. */
#ifndef SOFTFOCUS_SIMD_AVX2_H
#define SOFTFOCUS_SIMD_AVX2_H

#include <immintrin.h>
#include <sleef.h>

#define VF_LANES 8
#define VF_HAS_FMA 1
#define VF_STREAMS 1
#define VF_HAS_MASKS 0
#define VF_TABLE_BITS 3

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm; /* all bits of a lane, or none */
typedef __m256 vf_table;

/* ---- Loads and stores */
SOFTFOCUS_INLINE vf vf_set1(float x) { return _mm256_set1_ps(x); }
SOFTFOCUS_INLINE __m256i vi_first(size_t n)
{
    /* A window of eight words that begins 8 - n words into this: n times -1, then 0. */
    static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones_then_zeros + VF_LANES - n));
}
SOFTFOCUS_INLINE vm vm_first(size_t n) { return _mm256_castsi256_ps(vi_first(n)); }
SOFTFOCUS_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
SOFTFOCUS_INLINE vf vf_load_part(const float *p, size_t n, vf rest)
{
    __m256i first = vi_first(n);
    return _mm256_blendv_ps(rest, _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
}
SOFTFOCUS_INLINE void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
/* In up to three pieces, since a masked store takes as long as four to eight others on Zen 3: log-softmax 1.04 to 1.1 times
   as fast at 19, 21 and 91 classes, its backward pass 1.1 to 1.2, the loss with gradient 1.05 to 1.09. */
SOFTFOCUS_INLINE void store_low(float *p, __m128 a, size_t n)
{
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, a);
        p += 2;
        a = _mm_movehl_ps(a, a);
    }
    if (n & 1)
        _mm_store_ss(p, a);
}
SOFTFOCUS_INLINE void vf_store_part(float *p, vf a, size_t n)
{
    __m128 part = _mm256_castps256_ps128(a);
    if (n >= 8) {
        vf_store(p, a);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(p, part);
        p += 4;
        part = _mm256_extractf128_ps(a, 1);
    }
    store_low(p, part, n);
}
SOFTFOCUS_INLINE void vf_stream(float *p, vf a) { _mm256_stream_ps(p, a); }
SOFTFOCUS_INLINE void vf_stream_end(void) { _mm_sfence(); }
SOFTFOCUS_INLINE vi vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
SOFTFOCUS_INLINE void vi_store(int32_t *p, vi a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }

/* ---- Arithmetic */
SOFTFOCUS_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
SOFTFOCUS_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
SOFTFOCUS_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
SOFTFOCUS_INLINE vf vf_mul_add(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
SOFTFOCUS_INLINE vf vf_neg_mul_add(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
SOFTFOCUS_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
SOFTFOCUS_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
SOFTFOCUS_INLINE vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
SOFTFOCUS_INLINE vf vf_minus_abs(vf a) { return _mm256_or_ps(_mm256_set1_ps(-0.0f), a); }
SOFTFOCUS_INLINE vf vf_xor(vf a, vf b) { return _mm256_xor_ps(a, b); }
SOFTFOCUS_INLINE vf vf_or(vf a, vf b) { return _mm256_or_ps(a, b); }
SOFTFOCUS_INLINE float vf_reduce_max(vf a)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* ---- Integers and bits */
SOFTFOCUS_INLINE vi vi_set1(int32_t x) { return _mm256_set1_epi32(x); }
SOFTFOCUS_INLINE vi vi_lane_numbers(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
SOFTFOCUS_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
#define vi_shift_left(a, n) _mm256_slli_epi32(a, n)
SOFTFOCUS_INLINE vi vf_bits(vf a) { return _mm256_castps_si256(a); }
SOFTFOCUS_INLINE vf vf_from_bits(vi a) { return _mm256_castsi256_ps(a); }
/* The maximum of numbers; where the bits are those of a NaN, its second operand. */
SOFTFOCUS_INLINE vf vf_from_positive_bits(vi a) { return _mm256_max_ps(_mm256_castsi256_ps(a), _mm256_setzero_ps()); }

/* ---- Masks. Comparisons as operators: gcc 12 gives a blend that follows an intrinsic's comparison another one, with 0. */
SOFTFOCUS_INLINE vm vf_less(vf a, vf b) { return (vm)(a < b); }
SOFTFOCUS_INLINE vm vf_equal(vf a, vf b) { return (vm)(a == b); }
SOFTFOCUS_INLINE vm vi_equal(vi a, vi b) { return (vm)((__v8si)a == (__v8si)b); }
SOFTFOCUS_INLINE vm vm_and(vm a, vm b) { return _mm256_and_ps(a, b); }
SOFTFOCUS_INLINE vm vm_or(vm a, vm b) { return _mm256_or_ps(a, b); }
SOFTFOCUS_INLINE int vm_any(vm a) { return _mm256_movemask_ps(a) != 0; }
SOFTFOCUS_INLINE int vm_all(vm a) { return _mm256_movemask_ps(a) == 0xff; }
SOFTFOCUS_INLINE size_t vm_count(vm a) { return (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(a)); }
SOFTFOCUS_INLINE size_t vm_first_lane(vm a) { return (size_t)__builtin_ctz((unsigned)_mm256_movemask_ps(a)); }
SOFTFOCUS_INLINE vf vf_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
SOFTFOCUS_INLINE vi vi_select(vm m, vi a, vi b)
{
    return _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
}
SOFTFOCUS_INLINE vf vf_keep(vm m, vf a) { return _mm256_and_ps(m, a); }

/* ---- exp's table: lane i of the result is entry (index i) mod 8 */
SOFTFOCUS_INLINE vf_table vf_load_table(const uint32_t *p)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
SOFTFOCUS_INLINE vi vi_lookup(vf_table table, vi index)
{
    return _mm256_castps_si256(_mm256_permutevar8x32_ps(table, index));
}

/* ---- Half vectors of doubles, for wide.h */
typedef __m256d vh;

SOFTFOCUS_INLINE vh h_set1(double x) { return _mm256_set1_pd(x); }
SOFTFOCUS_INLINE vh h_load(const double *p) { return _mm256_loadu_pd(p); }
SOFTFOCUS_INLINE void h_store(double *p, vh a) { _mm256_storeu_pd(p, a); }
SOFTFOCUS_INLINE vh h_add(vh a, vh b) { return _mm256_add_pd(a, b); }
SOFTFOCUS_INLINE vh h_sub(vh a, vh b) { return _mm256_sub_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul(vh a, vh b) { return _mm256_mul_pd(a, b); }
SOFTFOCUS_INLINE vh h_div(vh a, vh b) { return _mm256_div_pd(a, b); }
SOFTFOCUS_INLINE vh h_max(vh a, vh b) { return _mm256_max_pd(a, b); }
SOFTFOCUS_INLINE vh h_min(vh a, vh b) { return _mm256_min_pd(a, b); }
SOFTFOCUS_INLINE vh h_mul_add(vh a, vh b, vh c) { return _mm256_fmadd_pd(a, b, c); }
SOFTFOCUS_INLINE vh h_select_less(vh a, vh b, vh x, vh y)
{
    return _mm256_blendv_pd(y, x, (__m256d)(a < b));
}
/* Two vectors become one, half of either added to the other half. The sum of one vector and those of several are formed by
   these steps in the same order, and so have the same bits. */
SOFTFOCUS_INLINE vh h_fold_add1(vh a, vh b) { return h_add(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b)); }
SOFTFOCUS_INLINE double h_reduce_add(vh a)
{
    vh two = h_fold_add1(a, a);
    return _mm_cvtsd_f64(_mm_add_sd(_mm256_castpd256_pd128(two), _mm256_extractf128_pd(two, 1)));
}
SOFTFOCUS_INLINE vh h_pow(vh a, vh b) { return Sleef_powd4_u10avx2(a, b); }
SOFTFOCUS_INLINE vh h_exp(vh a) { return Sleef_expd4_u10avx2(a); }

typedef __m256i vhi;
SOFTFOCUS_INLINE vhi hi_set1(int64_t x) { return _mm256_set1_epi64x(x); }
SOFTFOCUS_INLINE vhi hi_add(vhi a, vhi b) { return _mm256_add_epi64(a, b); }
SOFTFOCUS_INLINE vhi hi_sub(vhi a, vhi b) { return _mm256_sub_epi64(a, b); }
#define hi_shift_left(a, n) _mm256_slli_epi64(a, n)
#define hi_shift_right(a, n) _mm256_srli_epi64(a, n)
SOFTFOCUS_INLINE vhi h_bits(vh a) { return _mm256_castpd_si256(a); }
SOFTFOCUS_INLINE vh h_from_bits(vhi a) { return _mm256_castsi256_pd(a); }

#include "kernels/simd/exponent.h"
#include "kernels/simd/wide.h"

SOFTFOCUS_INLINE vd vd_widen(vf a)
{
    return (vd){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}
SOFTFOCUS_INLINE vf vd_narrow(vd a)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a.lo)), _mm256_cvtpd_ps(a.hi), 1);
}

/* ---- Reductions of a row in each vector: in each step two vectors become one, half of either folded onto the other half */
SOFTFOCUS_INLINE vf vf_fold_max1(vf a, vf b) { return vf_max(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)); }
SOFTFOCUS_INLINE vf vf_fold_max2(vf a, vf b)
{
    vh x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
    return vf_max(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}
SOFTFOCUS_INLINE vf vf_reduce_max_rows(const vf rows[VF_LANES])
{
    vf low = vf_fold_max2(vf_fold_max1(rows[0], rows[1]), vf_fold_max1(rows[2], rows[3]));
    vf high = vf_fold_max2(vf_fold_max1(rows[4], rows[5]), vf_fold_max1(rows[6], rows[7]));
    return vf_max(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}
SOFTFOCUS_INLINE vh h_reduce_add_rows(const vd rows[VF_LANES / 2])
{
    vh low = h_fold_add1(h_add(rows[0].lo, rows[0].hi), h_add(rows[1].lo, rows[1].hi));
    vh high = h_fold_add1(h_add(rows[2].lo, rows[2].hi), h_add(rows[3].lo, rows[3].hi));
    return h_add(_mm256_permute2f128_pd(low, high, 0x20), _mm256_permute2f128_pd(low, high, 0x31));
}
SOFTFOCUS_INLINE vd vd_reduce_add_rows(const vd rows[VF_LANES])
{
    return (vd){h_reduce_add_rows(rows), h_reduce_add_rows(rows + VF_LANES / 2)};
}

#include "kernels/simd/strided.h"

SOFTFOCUS_INLINE void vf_unzip(vf a, vf b, vf *even, vf *odd)
{
    vf low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    *even = _mm256_shuffle_ps(low, high, 0x88);
    *odd = _mm256_shuffle_ps(low, high, 0xdd);
}
SOFTFOCUS_INLINE void vf_zip(vf even, vf odd, vf *a, vf *b)
{
    vf low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}

/* ---- Blocks of rows: 128-bit lane g of vector i holds row 4 g + i, so that a transposition within the lanes is all */
SOFTFOCUS_INLINE void vf_transpose_lanes(vf v[4])
{
    vf a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    vf c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(c)));
    v[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(c)));
    v[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(b), _mm256_castps_pd(d)));
    v[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(b), _mm256_castps_pd(d)));
}
SOFTFOCUS_INLINE void vf_load_columns(const float *p, ptrdiff_t stride, size_t n, vf columns[4])
{
    __m128i first = _mm256_castsi256_si128(vi_first(n));
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++) {
        __m128 low = n == 4 ? _mm_loadu_ps(p + i * stride) : _mm_maskload_ps(p + i * stride, first);
        __m128 high = n == 4 ? _mm_loadu_ps(p + (i + 4) * stride) : _mm_maskload_ps(p + (i + 4) * stride, first);
        columns[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
    }
    vf_transpose_lanes(columns);
}
SOFTFOCUS_INLINE void vf_store_columns(float *p, ptrdiff_t stride, const vf columns[4], size_t n)
{
    vf rows[4] = {columns[0], columns[1], columns[2], columns[3]};
    vf_transpose_lanes(rows);
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++) {
        __m128 low = _mm256_castps256_ps128(rows[i]), high = _mm256_extractf128_ps(rows[i], 1);
        if (n == 4) {
            _mm_storeu_ps(p + i * stride, low);
            _mm_storeu_ps(p + (i + 4) * stride, high);
        } else {
            store_low(p + i * stride, low, n);
            store_low(p + (i + 4) * stride, high, n);
        }
    }
}

#endif
