/* Feature detection on Arm: the kernel's HWCAP where there is one. AArch64 has NEON (ASIMD) unless a system says
 * otherwise. */
#include "dispatch/cpu.h"

#if defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>
#include <asm/hwcap.h>

uint32_t softfocus_cpu_features_arm(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMD ? SOFTFOCUS_CPU_NEON : 0; }

#elif defined(__aarch64__)

uint32_t softfocus_cpu_features_arm(void) { return SOFTFOCUS_CPU_NEON; }

#else

uint32_t softfocus_cpu_features_arm(void) { return 0; }

#endif
