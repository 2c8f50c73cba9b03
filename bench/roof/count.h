/* How often each word of the vocabulary is used by one call, counted by running the kernels themselves. A shared library of
 * its own, libsoftfocus-words: the whole library once more, its kernels compiled with counting.h. */
#ifndef SOFTFOCUS_BENCH_COUNT_H
#define SOFTFOCUS_BENCH_COUNT_H

#include "cases.h"
#include "words.h"

/* Words per element of the problem, of this kernel on this ISA. Large problems are counted on a part of their positions.
   0, or -1 where the call failed. */
__attribute__((visibility("default"))) int softfocus_words_count(const softfocus_case_spec *spec, const char *isa,
                                                                 double per_element[SOFTFOCUS_WORD_COUNT]);

#endif
