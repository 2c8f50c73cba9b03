/* The vector functions of kernels/math.h held against their references, over every float32 of their domains or over a
 * sample with all boundaries: for accuracy.c, which prints what report.c makes of it. */
#ifndef SOFTFOCUS_TESTS_SWEEP_H
#define SOFTFOCUS_TESTS_SWEEP_H

#include <stddef.h>
#include <stdint.h>

#include "probe.h"

typedef struct softfocus_sweep_options {
    const softfocus_probe *const *probes; /* the ISAs to measure, this CPU's */
    size_t probe_count;
    int every;          /* every float; else `sample` of them and the boundaries */
    uint64_t sample, seed;
    size_t workers;
} softfocus_sweep_options;

/* One function on one ISA. */
typedef struct softfocus_sweep_result {
    const char *function;  /* as a person writes it: "exp(x)" */
    const char *arguments; /* which: "every float of [-128, 0]" */
    const softfocus_probe *probe;
    uint64_t inputs;
    double worst, bound; /* ulp */
    double x, got;       /* of the worst; the smallest |x| that has it */
    float m;
    int has_m;           /* m means something */
    uint64_t differing;  /* results that must have had another's bits and had not; counted as failures */
    int ok;
} softfocus_sweep_result;

enum { SOFTFOCUS_SWEEP_MOST_RESULTS = 64 };

/* Fills results and returns how many; 0 where a worker failed, which it has said. A line on stderr per sweep. */
size_t softfocus_sweep_all(const softfocus_sweep_options *options,
                           softfocus_sweep_result results[SOFTFOCUS_SWEEP_MOST_RESULTS]);

/* exp at its origin, below its floor and for NaN, log1p at 0, the exact rests of products, on every ISA. Returns the
   number of results that are wrong, each said on stderr. */
size_t softfocus_sweep_special_values(const softfocus_sweep_options *options);

#endif
