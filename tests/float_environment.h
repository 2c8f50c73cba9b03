/* The calling thread's floating-point control word: MXCSR or FPCR. For tests that call the library with
 * another rounding mode, or with subnormals flushed. */
#ifndef SOFTFOCUS_TESTS_FLOAT_ENVIRONMENT_H
#define SOFTFOCUS_TESTS_FLOAT_ENVIRONMENT_H

#include <stdint.h>

typedef struct softfocus_float_mode {
    const char *name;
    uint64_t bits; /* to be set in the control word */
} softfocus_float_mode;

#if defined(__x86_64__)
#include <xmmintrin.h>

static const softfocus_float_mode softfocus_float_modes[] = {
    {"flush to zero, denormals are zero", 0x8040},
    {"down", 0x2000},
    {"up", 0x4000},
    {"towards zero", 0x6000},
    {"up, flushing", 0xc040},
};

/* Without the sticky exception flags, which any operation may raise. */
static inline uint64_t softfocus_float_control(void)
{
    return _mm_getcsr() & ~(uint64_t)0x3f;
}

static inline void softfocus_float_set_control(uint64_t control)
{
    _mm_setcsr((unsigned)control);
}

#elif defined(__aarch64__)

static const softfocus_float_mode softfocus_float_modes[] = {
    {"flush to zero", UINT64_C(1) << 24}, {"up", UINT64_C(1) << 22},           {"down", UINT64_C(2) << 22},
    {"towards zero", UINT64_C(3) << 22},  {"up, flushing", UINT64_C(5) << 22},
};

static inline uint64_t softfocus_float_control(void)
{
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}

static inline void softfocus_float_set_control(uint64_t control)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
}

#else
#error "which register holds this CPU's rounding mode?"
#endif

#endif
