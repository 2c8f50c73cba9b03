/* The floating-point environment of the kernels: rounding to nearest, no flush to zero, no traps. A caller's settings change
 * no result and are as before afterwards, exception flags included. Entered by api.c for a call, left while run.c calls a
 * parallel_for, and entered by each task of that. */
#ifndef SOFTFOCUS_DISPATCH_FP_H
#define SOFTFOCUS_DISPATCH_FP_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)

#include <xmmintrin.h>

typedef unsigned softfocus_fp_state;

static inline softfocus_fp_state softfocus_fp_enter(void)
{
    softfocus_fp_state caller = _mm_getcsr();
    _mm_setcsr(0x1f80); /* the value after reset: all exceptions masked, to nearest, no FTZ, no DAZ */
    return caller;
}

static inline void softfocus_fp_leave(softfocus_fp_state caller) { _mm_setcsr(caller); }

#elif defined(__aarch64__)

typedef struct {
    uint64_t control, status;
} softfocus_fp_state;

static inline softfocus_fp_state softfocus_fp_enter(void)
{
    softfocus_fp_state caller;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(caller.control), "=r"(caller.status)::"memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(UINT64_C(0)) : "memory");
    return caller;
}

static inline void softfocus_fp_leave(softfocus_fp_state caller)
{
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(caller.control), "r"(caller.status) : "memory");
}

#else
#error "softfocus needs to know how this CPU family controls rounding"
#endif

#endif
