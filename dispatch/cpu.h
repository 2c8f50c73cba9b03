/* What this CPU and its operating system can do. Called by dispatch.c once, and by `softfocus info`. */
#ifndef SOFTFOCUS_DISPATCH_CPU_H
#define SOFTFOCUS_DISPATCH_CPU_H

#include <stddef.h>
#include <stdint.h>

/* FEATURE(constant, name, bit) */
#define SOFTFOCUS_CPU_FEATURES(FEATURE)                                                                                \
    FEATURE(SSE2, "sse2", 0)                                                                                           \
    FEATURE(AVX2, "avx2", 1)                                                                                           \
    FEATURE(FMA, "fma", 2)                                                                                             \
    FEATURE(F16C, "f16c", 3)                                                                                           \
    FEATURE(AVX512F, "avx512f", 4)                                                                                     \
    FEATURE(AVX512BW, "avx512bw", 5)                                                                                   \
    FEATURE(AVX512DQ, "avx512dq", 6)                                                                                   \
    FEATURE(AVX512VL, "avx512vl", 7)                                                                                   \
    FEATURE(NEON, "neon", 8)                                                                                           \
    FEATURE(POPCNT, "popcnt", 9)

enum softfocus_cpu_feature {
#define FEATURE(constant, name, bit) SOFTFOCUS_CPU_##constant = 1 << (bit),
    SOFTFOCUS_CPU_FEATURES(FEATURE)
#undef FEATURE
};

/* A set of softfocus_cpu_feature: those that the CPU has and whose registers the operating system saves. Costs a few
   CPUID instructions, each of which a virtual machine may trap. Every other CPU family's detection answers 0. */
uint32_t softfocus_cpu_features_x86(void);
uint32_t softfocus_cpu_features_arm(void);

static inline uint32_t softfocus_cpu_features(void)
{
    return softfocus_cpu_features_x86() | softfocus_cpu_features_arm();
}

#endif
