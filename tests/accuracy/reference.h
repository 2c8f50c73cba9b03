/* What exp and log1p should give, and how far a result is from it. For sweep.c.
 *
 * libm's double serves for nearly all. MPFR decides the rest: the size of an ulp where the value lies so near the boundary
 * of two sizes that the double could be on the wrong side, and the error of a result that is a candidate for the worst. */
#ifndef SOFTFOCUS_TESTS_REFERENCE_H
#define SOFTFOCUS_TESTS_REFERENCE_H

#include <stddef.h>

typedef enum softfocus_reference {
    SOFTFOCUS_REFERENCE_EXP_SCALED, /* 2^60 exp(x - m) */
    SOFTFOCUS_REFERENCE_EXP,        /* exp(x - m) */
    SOFTFOCUS_REFERENCE_LOG1P       /* log1p(x) */
} softfocus_reference;

/* How far, in ulp, an error computed from the doubles below may be from the exact one. libm is off by 2^-52 of the value
   or less, 2^-28 ulp; where m is not 0, x - m of [-128, 0] may be rounded to double, by 2^-47, and exp of it is off by as
   much of itself, 2^-23 ulp. */
static inline double softfocus_reference_doubt(float m)
{
    return m == 0.0f ? 0x1p-26 : 0x1p-20;
}

/* Values at count arguments, and 1 / ulp of the float32 nearest to each. */
void softfocus_reference_values(softfocus_reference function, const double *x, float m, size_t count, double *values,
                                double *inverse_ulps);

/* |got - exact| in ulp of the float32 nearest to the exact value, by MPFR at 200 bits; infinite where got is no number. */
double softfocus_reference_error(softfocus_reference function, double x, float m, double got);

#endif
