/* What one ISA can do at most: mixes of words, and streams through memory. mix.c is compiled once per ISA, as the kernels
 * are; roof.c times it. */
#ifndef SOFTFOCUS_BENCH_MIX_H
#define SOFTFOCUS_BENCH_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "words.h"

enum { SOFTFOCUS_MIX_STEPS = 256 }; /* of a mix: each is a word, several times */

/* How often: as words.def says, or a quarter of that. Coarse steps cost less between them, fine ones fill fewer of the CPU's
   queues with what waits for the same port: which one comes nearer to its limits depends on both. */
enum softfocus_grain { SOFTFOCUS_COARSE, SOFTFOCUS_FINE, SOFTFOCUS_GRAINS };

enum { SOFTFOCUS_STREAM_BLOCK = 128 }; /* streams take multiples of this many floats */

enum softfocus_stream {
    SOFTFOCUS_STREAM_READ,       /* sources alone */
    SOFTFOCUS_STREAM_COPY,       /* sources, summed, to the target */
    SOFTFOCUS_STREAM_COPY_AROUND /* the same with non-temporal stores; where there are none, as COPY */
};

typedef struct softfocus_mix {
    const char *isa;
    size_t lanes;
    int has_non_temporal;
    /* Goes through all steps `rounds` times. No operation needs the result of another. */
    void (*run)(const uint8_t steps[SOFTFOCUS_MIX_STEPS], enum softfocus_grain grain, size_t rounds);
    /* Walks over `count` floats of one or two sources (second NULL). */
    void (*stream)(enum softfocus_stream what, const float *first, const float *second, float *target, size_t count);
} softfocus_mix;

/* SOFTFOCUS_MIXES is MIX(avx512) MIX(avx2) ...: the ISAs of this build, best first, from meson. */
#ifdef SOFTFOCUS_MIXES
#define MIX(isa) extern const softfocus_mix softfocus_mix_##isa;
SOFTFOCUS_MIXES
#undef MIX
#endif

#endif
