/* The vocabulary on NEON (AArch64): 4 lanes, FMA, no table lookup of floats that pays.
 * scalar.h has each word's contract. */
#ifndef SOFTFOCUS_SIMD_NEON_H
#define SOFTFOCUS_SIMD_NEON_H

#include <arm_neon.h>
#include <sleef.h>

#define VF_LANES 4
#define VF_HAS_FMA 1
#define VF_STREAMS 0 /* stnp is a hint that no compiler gives for an intrinsic */
#define VF_HAS_MASKS 0
#define VF_TABLE_BITS 0

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm; /* all bits of a lane, or none */

/* ---- Loads and stores */
SOFTFOCUS_INLINE vf vf_set1(float x) { return vdupq_n_f32(x); }
SOFTFOCUS_INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
SOFTFOCUS_INLINE void vf_store(float *p, vf a) { vst1q_f32(p, a); }
SOFTFOCUS_INLINE void vf_stream(float *p, vf a) { vf_store(p, a); }
SOFTFOCUS_INLINE void vf_stream_end(void) {}
SOFTFOCUS_INLINE vi vi_load(const int32_t *p) { return vld1q_s32(p); }
SOFTFOCUS_INLINE void vi_store(int32_t *p, vi a) { vst1q_s32(p, a); }

/* ---- Arithmetic */
SOFTFOCUS_INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
SOFTFOCUS_INLINE vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
SOFTFOCUS_INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
SOFTFOCUS_INLINE vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
SOFTFOCUS_INLINE vf vf_mul_add(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
SOFTFOCUS_INLINE vf vf_neg_mul_add(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
SOFTFOCUS_INLINE vf vf_max(vf a, vf b) { return vmaxq_f32(a, b); } /* NaN if either is */
SOFTFOCUS_INLINE vf vf_min(vf a, vf b) { return vminq_f32(a, b); }
SOFTFOCUS_INLINE vf vf_abs(vf a) { return vabsq_f32(a); }
SOFTFOCUS_INLINE vf vf_minus_abs(vf a) { return vnegq_f32(vabsq_f32(a)); }
SOFTFOCUS_INLINE vf vf_xor(vf a, vf b)
{
    return vreinterpretq_f32_s32(veorq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
SOFTFOCUS_INLINE vf vf_or(vf a, vf b)
{
    return vreinterpretq_f32_s32(vorrq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
SOFTFOCUS_INLINE float vf_reduce_max(vf a) { return vmaxvq_f32(a); }

/* ---- Integers and bits */
SOFTFOCUS_INLINE vi vi_set1(int32_t x) { return vdupq_n_s32(x); }
SOFTFOCUS_INLINE vi vi_lane_numbers(void)
{
    static const int32_t numbers[4] = {0, 1, 2, 3};
    return vld1q_s32(numbers);
}
SOFTFOCUS_INLINE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
#define vi_shift_left(a, n) vshlq_n_s32(a, n)
SOFTFOCUS_INLINE vi vf_bits(vf a) { return vreinterpretq_s32_f32(a); }
SOFTFOCUS_INLINE vf vf_from_bits(vi a) { return vreinterpretq_f32_s32(a); }
SOFTFOCUS_INLINE vf vf_from_positive_bits(vi a) { return vreinterpretq_f32_s32(vmaxq_s32(a, vdupq_n_s32(0))); }

/* ---- Masks */
SOFTFOCUS_INLINE vm vm_first(size_t n)
{
    static const uint32_t lane[4] = {0, 1, 2, 3};
    return vcgtq_u32(vdupq_n_u32((uint32_t)n), vld1q_u32(lane));
}
SOFTFOCUS_INLINE vm vf_less(vf a, vf b) { return vcltq_f32(a, b); }
SOFTFOCUS_INLINE vm vf_equal(vf a, vf b) { return vceqq_f32(a, b); }
SOFTFOCUS_INLINE vm vi_equal(vi a, vi b) { return vceqq_s32(a, b); }
SOFTFOCUS_INLINE vm vm_and(vm a, vm b) { return vandq_u32(a, b); }
SOFTFOCUS_INLINE vm vm_or(vm a, vm b) { return vorrq_u32(a, b); }
SOFTFOCUS_INLINE int vm_any(vm a) { return vmaxvq_u32(a) != 0; }
SOFTFOCUS_INLINE int vm_all(vm a) { return vminvq_u32(a) != 0; }
SOFTFOCUS_INLINE size_t vm_count(vm a) { return vaddvq_u32(vshrq_n_u32(a, 31)); }
/* From 16 bits of each lane, side by side. The highest bit is set in any case, since ctz of 0 is undefined: in a row whose
   maximum is NaN, which vmaxq gives where either operand is, no lane is equal to it. Any lane will do then. */
SOFTFOCUS_INLINE size_t vm_first_lane(vm a)
{
    uint64_t bits = vget_lane_u64(vreinterpret_u64_u16(vmovn_u32(a)), 0);
    return (size_t)__builtin_ctzll(bits | UINT64_C(1) << 63) / 16;
}
SOFTFOCUS_INLINE vf vf_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
SOFTFOCUS_INLINE vi vi_select(vm m, vi a, vi b) { return vbslq_s32(m, a, b); }
SOFTFOCUS_INLINE vf vf_keep(vm m, vf a)
{
    return vreinterpretq_f32_u32(vandq_u32(m, vreinterpretq_u32_f32(a)));
}

/* ---- Half vectors of doubles, for wide.h */
typedef float64x2_t vh;

SOFTFOCUS_INLINE vh h_set1(double x) { return vdupq_n_f64(x); }
SOFTFOCUS_INLINE vh h_load(const double *p) { return vld1q_f64(p); }
SOFTFOCUS_INLINE void h_store(double *p, vh a) { vst1q_f64(p, a); }
SOFTFOCUS_INLINE vh h_add(vh a, vh b) { return vaddq_f64(a, b); }
SOFTFOCUS_INLINE vh h_sub(vh a, vh b) { return vsubq_f64(a, b); }
SOFTFOCUS_INLINE vh h_mul(vh a, vh b) { return vmulq_f64(a, b); }
SOFTFOCUS_INLINE vh h_div(vh a, vh b) { return vdivq_f64(a, b); }
SOFTFOCUS_INLINE vh h_max(vh a, vh b) { return vmaxq_f64(a, b); }
SOFTFOCUS_INLINE vh h_min(vh a, vh b) { return vminq_f64(a, b); }
SOFTFOCUS_INLINE vh h_mul_add(vh a, vh b, vh c) { return vfmaq_f64(c, a, b); }
SOFTFOCUS_INLINE vh h_select_less(vh a, vh b, vh x, vh y) { return vbslq_f64(vcltq_f64(a, b), x, y); }
SOFTFOCUS_INLINE double h_reduce_add(vh a) { return vaddvq_f64(a); }
SOFTFOCUS_INLINE vh h_pow(vh a, vh b) { return Sleef_powd2_u10advsimd(a, b); }
SOFTFOCUS_INLINE vh h_exp(vh a) { return Sleef_expd2_u10advsimd(a); }

typedef uint64x2_t vhi;
SOFTFOCUS_INLINE vhi hi_set1(int64_t x) { return vdupq_n_u64((uint64_t)x); }
SOFTFOCUS_INLINE vhi hi_add(vhi a, vhi b) { return vaddq_u64(a, b); }
SOFTFOCUS_INLINE vhi hi_sub(vhi a, vhi b) { return vsubq_u64(a, b); }
#define hi_shift_left(a, n) vshlq_n_u64(a, n)
#define hi_shift_right(a, n) vshrq_n_u64(a, n)
SOFTFOCUS_INLINE vhi h_bits(vh a) { return vreinterpretq_u64_f64(a); }
SOFTFOCUS_INLINE vh h_from_bits(vhi a) { return vreinterpretq_f64_u64(a); }

#include "kernels/simd/exponent.h"
#include "kernels/simd/wide.h"

SOFTFOCUS_INLINE vd vd_widen(vf a) { return (vd){vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a)}; }
SOFTFOCUS_INLINE vf vd_narrow(vd a) { return vcvt_high_f32_f64(vcvt_f32_f64(a.lo), a.hi); }

#include "kernels/simd/strided.h"

/* No masked load or store: by the number of lanes, in registers. */
SOFTFOCUS_INLINE vf vf_load_part(const float *p, size_t n, vf rest)
{
    if (n >= 4)
        return vf_load(p);
    if (n == 1)
        return vld1q_lane_f32(p, rest, 0);
    if (n >= 2)
        rest = vcombine_f32(vld1_f32(p), vget_high_f32(rest));
    return n == 3 ? vld1q_lane_f32(p + 2, rest, 2) : rest;
}
SOFTFOCUS_INLINE void vf_store_part(float *p, vf a, size_t n)
{
    if (n >= 4)
        vf_store(p, a);
    else if (n == 1)
        vst1q_lane_f32(p, a, 0);
    else if (n >= 2)
        vst1_f32(p, vget_low_f32(a));
    if (n == 3)
        vst1q_lane_f32(p + 2, a, 2);
}

SOFTFOCUS_INLINE void vf_transpose4(vf v[4])
{
    float32x4x2_t ab = vtrnq_f32(v[0], v[1]), cd = vtrnq_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    v[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    v[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    v[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

SOFTFOCUS_INLINE void vf_unzip(vf a, vf b, vf *even, vf *odd)
{
    *even = vuzp1q_f32(a, b);
    *odd = vuzp2q_f32(a, b);
}
SOFTFOCUS_INLINE void vf_zip(vf even, vf odd, vf *a, vf *b)
{
    *a = vzip1q_f32(even, odd);
    *b = vzip2q_f32(even, odd);
}

/* ---- Blocks of rows */
#include "kernels/simd/columns4.h"

#endif
