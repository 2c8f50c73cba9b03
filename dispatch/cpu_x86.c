/* Feature detection on x86: CPUID says what the CPU has, XCR0 whose registers the operating system saves. */
#include "dispatch/cpu.h"

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

#define XCR0_AVX UINT64_C(0x06)    /* xmm and upper halves of ymm */
#define XCR0_AVX512 UINT64_C(0xe6) /* and opmasks, upper halves of zmm0-15, zmm16-31 */

struct cpuid {
    unsigned eax, ebx, ecx, edx;
};

/* All zero for a leaf that the CPU does not know. */
static struct cpuid cpuid(unsigned leaf)
{
    struct cpuid r = {0, 0, 0, 0};
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

/* By hand: the intrinsic asks for -mxsave, and this file is compiled for the baseline. */
static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t softfocus_cpu_features_x86(void)
{
    struct cpuid basic = cpuid(1), extended = cpuid(7);
    uint64_t saved = basic.ecx & bit_OSXSAVE ? xcr0() : 0;
    uint32_t features = 0;
    if (basic.edx & bit_SSE2)
        features |= SOFTFOCUS_CPU_SSE2;
    if (basic.ecx & bit_POPCNT)
        features |= SOFTFOCUS_CPU_POPCNT;
    if ((saved & XCR0_AVX) == XCR0_AVX && (basic.ecx & bit_AVX)) {
        if (basic.ecx & bit_FMA)
            features |= SOFTFOCUS_CPU_FMA;
        if (basic.ecx & bit_F16C)
            features |= SOFTFOCUS_CPU_F16C;
        if (extended.ebx & bit_AVX2)
            features |= SOFTFOCUS_CPU_AVX2;
    }
    if ((saved & XCR0_AVX512) == XCR0_AVX512) {
        if (extended.ebx & bit_AVX512F)
            features |= SOFTFOCUS_CPU_AVX512F;
        if (extended.ebx & bit_AVX512BW)
            features |= SOFTFOCUS_CPU_AVX512BW;
        if (extended.ebx & bit_AVX512DQ)
            features |= SOFTFOCUS_CPU_AVX512DQ;
        if (extended.ebx & bit_AVX512VL)
            features |= SOFTFOCUS_CPU_AVX512VL;
    }
    return features;
}

#else

uint32_t softfocus_cpu_features_x86(void) { return 0; }

#endif
