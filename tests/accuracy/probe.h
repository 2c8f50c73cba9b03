/* What the measurement of vector functions calls: the functions of kernels/math.h on one ISA, on arrays. probe.c is
 * compiled once per ISA, as the kernels are; sweep.c finds the tables here. */
#ifndef SOFTFOCUS_TESTS_PROBE_H
#define SOFTFOCUS_TESTS_PROBE_H

#include <stddef.h>

/* A function at `count` arguments, a multiple of SOFTFOCUS_PROBE_LANES. The arguments of float functions, and m, are
   floats, as doubles hold them; so are the results. */
typedef void softfocus_probe_function(const double *x, float m, size_t count, double *y);

enum { SOFTFOCUS_PROBE_LANES = 16 }; /* no ISA has more */

typedef struct softfocus_probe {
    const char *isa;
    int fma, table_bits; /* VF_HAS_FMA and VF_TABLE_BITS */
#define PROBE_FUNCTION(name, function) softfocus_probe_function *name;
#include "probes.def"
#undef PROBE_FUNCTION
} softfocus_probe;

/* SOFTFOCUS_PROBES is PROBE(avx512) PROBE(avx2) ...: the ISAs of this build, best first, from meson. */
#ifdef SOFTFOCUS_PROBES
#define PROBE(isa) extern const softfocus_probe softfocus_probe_##isa;
SOFTFOCUS_PROBES
#undef PROBE
#endif

#endif
