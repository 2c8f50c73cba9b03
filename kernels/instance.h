/* What one instantiation of the kernels is: its ISA's vocabulary and the names of its functions. Every file that is compiled
 * per ISA includes this, most of them by way of math.h and positions.h; meson.build passes -DSOFTFOCUS_ISA=NAME and
 * -DSOFTFOCUS_ISA_HEADER="simd/NAME.h". */
#ifndef SOFTFOCUS_INSTANCE_H
#define SOFTFOCUS_INSTANCE_H

#include "kernels/kernels.h"

#define SOFTFOCUS_INLINE static inline __attribute__((always_inline))

/* For the regimes of a kernel: each is optimised by itself, with all registers to its own constants. Not every
   ISA has all of them. Each begins at a cache line, or where a linker puts it changes a loop's time by up to 10 % (short
   rows, AVX2). */
#define SOFTFOCUS_REGIME static __attribute__((noinline, unused, aligned(64)))

/* For what several places of a kernel call, and too long to be in each. */
#define SOFTFOCUS_SHARED static __attribute__((noinline, unused))

/* For what several regimes do once per batch. A call costs gcc's code up to 4 %; clang's is larger, and must be called to
   keep the library's size. */
#ifdef __clang__
#define SOFTFOCUS_PER_BATCH SOFTFOCUS_SHARED
#else
#define SOFTFOCUS_PER_BATCH SOFTFOCUS_INLINE
#endif

/* For what is seldom called: made small, not fast. */
#ifdef __clang__
#define SOFTFOCUS_RARE __attribute__((noinline, cold, minsize))
#else
#define SOFTFOCUS_RARE __attribute__((noinline, cold))
#endif
#define SOFTFOCUS_SELDOM static SOFTFOCUS_RARE __attribute__((unused))

/* Before a loop of a constant few turns, whose arrays would otherwise stay in memory: unrolled whatever its body comes to.
   SHORT: where clang does so by itself if it is worth it, and gcc (-O2) never does. */
#ifdef __clang__
#define SOFTFOCUS_UNROLL _Pragma("clang loop unroll(full)")
#define SOFTFOCUS_UNROLL_SHORT
#else
#define SOFTFOCUS_UNROLL _Pragma("GCC unroll 16")
#define SOFTFOCUS_UNROLL_SHORT _Pragma("GCC unroll 16")
#endif

#include SOFTFOCUS_ISA_HEADER

/* softfocus_KERNEL_ISA_f32. The element type is f32 until there is a second one. */
#define SOFTFOCUS_PASTE_(a, b, c) softfocus_##a##_##b##_##c
#define SOFTFOCUS_PASTE(a, b, c) SOFTFOCUS_PASTE_(a, b, c)
#define SOFTFOCUS_INSTANCE(name) SOFTFOCUS_PASTE(name, SOFTFOCUS_ISA, f32)

#define KERNEL(name, arguments)                                                                                        \
    void SOFTFOCUS_INSTANCE(name)(const arguments *args, const struct softfocus_chunks *chunks, size_t begin, size_t end, \
                                  double *sums);
#include "kernels/kernels.def"
#undef KERNEL

#endif
