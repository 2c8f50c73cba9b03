/* The roof of a kernel: what this CPU would need at least, measured beside the kernel itself. Used by bench.c.
 *
 * Arithmetic: the words of the vocabulary (kernels/simd/) that one call uses are counted by running it (count.h). The same
 * words in the same proportions, but none waiting for another's result and all memory in the L1 cache, are then timed
 * (mix.c). What shares an execution port, and what is done in one cycle, is so the CPU's own affair: no table of ports or
 * of latencies comes into it. Not counted is what the words do not say: addresses, loop counts, constants.
 *
 * Streaming: as many bytes as a call must at least read and write, as many tensors of the same size as it has, in the same
 * kind of memory, with one addition at most; the better one of plain and non-temporal stores.
 *
 * The roof is the slower one. Neither needs root or counters. */
#ifndef SOFTFOCUS_BENCH_ROOF_H
#define SOFTFOCUS_BENCH_ROOF_H

#include "cases.h"
#include "mix.h"
#include "words.h"

/* CPU time of this process, in seconds. */
double softfocus_roof_now(void);

/* ---- What an ISA can do */

size_t softfocus_mix_count(void);
const softfocus_mix *softfocus_mix_at(size_t i);
const softfocus_mix *softfocus_mix_find(const char *isa); /* NULL: this build has none */

const char *softfocus_word_name(size_t word);
/* One pass: how many words it ran. */
size_t softfocus_word_run(const softfocus_mix *mix, size_t word, size_t rounds);

/* In bytes: of the first to the third level, from sysfs or the C library, else what is usual. */
enum { SOFTFOCUS_CACHE_LEVELS = 3 };
size_t softfocus_cache_size(size_t level); /* from 1 */

/* A stream over tensors of `count` floats each, in memory kept from call to call. One pass; how many bytes it moved. */
size_t softfocus_stream_run(const softfocus_mix *mix, enum softfocus_stream what, size_t sources, size_t count);

/* ---- What a kernel can do at most */

typedef struct softfocus_roof softfocus_roof;

/* NULL: the call fails on this ISA. */
softfocus_roof *softfocus_roof_make(const softfocus_case_spec *spec, const softfocus_mix *mix);
void softfocus_roof_free(softfocus_roof *roof);
/* Takes one sample of each; results are medians of the samples so far. */
void softfocus_roof_sample(softfocus_roof *roof);
/* Of one call, in seconds. */
double softfocus_roof_arithmetic(const softfocus_roof *roof);
double softfocus_roof_streaming(const softfocus_roof *roof);
/* Words of arithmetic per element, times the lanes of each. */
double softfocus_roof_operations(const softfocus_roof *roof);
/* What the arithmetic of one call would take if all words ran one kind after the other, and if all kinds but the slowest
   cost nothing: between these two lies the arithmetic roof, or the machine was disturbed. */
double softfocus_roof_sum(const softfocus_roof *roof);
double softfocus_roof_most(const softfocus_roof *roof);

/* Gives back the memory of streams and what was measured once. */
void softfocus_roof_end(void);

#endif
