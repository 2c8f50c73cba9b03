/* Strided loads and stores lane by lane, for every ISA but scalar: only tensors without a contiguous axis, and the last rows
 * of a block, come here. No gathers: Bochs 2.7, under which AVX-512 is tested, faults on those with offsets in zmm16 to
 * zmm31. Included by ISA headers after vf_load and vf_store. */
#ifndef SOFTFOCUS_SIMD_STRIDED_H
#define SOFTFOCUS_SIMD_STRIDED_H

SOFTFOCUS_SHARED vf vf_load_strided(const float *p, ptrdiff_t stride, size_t n)
{
    if (n == VF_LANES) /* in registers: scalar stores and a vector load of them would wait for each other */
#if VF_LANES == 4
        return (vf){p[0], p[stride], p[2 * stride], p[3 * stride]};
#elif VF_LANES == 8
        return (vf){p[0],          p[stride],     p[2 * stride], p[3 * stride],
                    p[4 * stride], p[5 * stride], p[6 * stride], p[7 * stride]};
#else
        return (vf){p[0],           p[stride],      p[2 * stride],  p[3 * stride],  p[4 * stride],  p[5 * stride],
                    p[6 * stride],  p[7 * stride],  p[8 * stride],  p[9 * stride],  p[10 * stride], p[11 * stride],
                    p[12 * stride], p[13 * stride], p[14 * stride], p[15 * stride]};
#endif
    float lanes[VF_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i] = p[(ptrdiff_t)i * stride];
    return vf_load(lanes);
}

SOFTFOCUS_SHARED void vf_store_strided(float *p, ptrdiff_t stride, vf a, size_t n)
{
    float lanes[VF_LANES];
    vf_store(lanes, a);
    for (size_t i = 0; i < n; i++)
        p[(ptrdiff_t)i * stride] = lanes[i];
}

#endif
