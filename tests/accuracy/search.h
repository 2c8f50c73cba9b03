/* A random search for the worst results of whole kernels, over the specs of the cases, against their oracle: for
 * accuracy.c. */
#ifndef SOFTFOCUS_TESTS_SEARCH_H
#define SOFTFOCUS_TESTS_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "cases.h"

enum {
    SOFTFOCUS_SEARCH_MOST_ISAS = 8,
    SOFTFOCUS_SEARCH_MOST_ROWS = 32, /* kernels x outputs x bounds */
    SOFTFOCUS_SEARCH_SPEC_SIZE = 400
};

typedef struct softfocus_search_options {
    const softfocus_isa *isas[SOFTFOCUS_SEARCH_MOST_ISAS];
    size_t isa_count;
    uint64_t specs, seed; /* specs: per kernel */
    size_t workers;
} softfocus_search_options;

typedef struct softfocus_search_worst {
    uint64_t results;          /* values compared */
    double error;              /* in the output's units */
    char spec[SOFTFOCUS_SEARCH_SPEC_SIZE], where[160];
} softfocus_search_worst;

/* One output of one kernel; where the bound depends on options (on gamma), one row for each bound. */
typedef struct softfocus_search_row {
    const softfocus_case_kernel *kernel;
    char output[32], unit[8];
    double bound;
    softfocus_search_worst worst[SOFTFOCUS_SEARCH_MOST_ISAS];
} softfocus_search_row;

/* Fills rows, in the order of kernels, outputs, bounds, and returns how many. *wrong: specs with a result beyond its bound
   or a stray write, each said on stderr. 0 where a worker failed. */
size_t softfocus_search_run(const softfocus_search_options *options,
                            softfocus_search_row rows[SOFTFOCUS_SEARCH_MOST_ROWS], uint64_t *wrong);

#endif
