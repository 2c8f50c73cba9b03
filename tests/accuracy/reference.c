/* References: see reference.h. */
#include "reference.h"

#include <math.h>
#include <mpfr.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

/* ---- MPFR -------------------------------------------------------------------------------------------------------- */

enum {
    PRECISION = 200,
    /* x - m is exact: its bits lie between 2^16 and 2^-149 for |m| < 2^15, and for larger m it is a float. */
    DIFFERENCE_PRECISION = 300
};

static void exact_value(softfocus_reference function, double x, float m, mpfr_t value)
{
    mpfr_t argument;
    mpfr_init2(argument, DIFFERENCE_PRECISION);
    mpfr_set_d(argument, x, MPFR_RNDN);
    if (function == SOFTFOCUS_REFERENCE_LOG1P) {
        mpfr_log1p(value, argument, MPFR_RNDN);
    } else {
        mpfr_sub_d(argument, argument, (double)m, MPFR_RNDN);
        mpfr_exp(value, argument, MPFR_RNDN);
        if (function == SOFTFOCUS_REFERENCE_EXP_SCALED)
            mpfr_mul_2ui(value, value, 60, MPFR_RNDN);
    }
    mpfr_clear(argument);
}

static double ulp_of(const mpfr_t value)
{
    return softfocus_ulp((double)mpfr_get_flt(value, MPFR_RNDN));
}

double softfocus_reference_error(softfocus_reference function, double x, float m, double got)
{
    if (!isfinite(got))
        return INFINITY;
    mpfr_t value;
    mpfr_init2(value, PRECISION);
    exact_value(function, x, m, value);
    double ulp = ulp_of(value);
    mpfr_sub_d(value, value, got, MPFR_RNDN);
    double error = fabs(mpfr_get_d(value, MPFR_RNDN)) / ulp;
    mpfr_clear(value);
    return error;
}

/* ---- Doubles ----------------------------------------------------------------------------------------------------- */

static void values_in_double(softfocus_reference function, const double *x, float m, size_t count, double *values)
{
    double scale = function == SOFTFOCUS_REFERENCE_EXP_SCALED ? 0x1p60 : 1.0;
    for (size_t i = 0; i < count; i++)
        values[i] = function == SOFTFOCUS_REFERENCE_LOG1P ? log1p(x[i]) : scale * exp(x[i] - (double)m);
}

/* A value from 2^k (1 - 2^-25) on rounds to 2^k in float, and its ulp is 2^k's: 2^28 units of the double's last place
   below 2^k, so that adding as many to its bits carries into the exponent. */
static const uint64_t to_next_exponent = UINT64_C(1) << 28;
/* Nearer than this to that boundary, in units of the last place, MPFR is asked; the doubt of reference.h is at most 2^6 of
   them. */
static const uint64_t near_boundary = UINT64_C(1) << 9;

enum { DOUBLE_BIAS = 1023, LOWEST_EXPONENT = DOUBLE_BIAS - 126 /* subnormals: the ulp stays at 2^-149 */ };

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* value >= 0 */
static double inverse_ulp(double value)
{
    uint64_t exponent = (bits_of(value) + to_next_exponent) >> 52;
    if (exponent < LOWEST_EXPONENT)
        exponent = LOWEST_EXPONENT;
    uint64_t bits = (2 * DOUBLE_BIAS + 23 - exponent) << 52; /* 2^23 / 2^exponent */
    double inverse;
    memcpy(&inverse, &bits, sizeof inverse);
    return inverse;
}

static int is_in_doubt(double value)
{
    uint64_t mantissa = (bits_of(value) + to_next_exponent + near_boundary) & ((UINT64_C(1) << 52) - 1);
    return mantissa < 2 * near_boundary;
}

static double exact_inverse_ulp(softfocus_reference function, double x, float m)
{
    mpfr_t value;
    mpfr_init2(value, PRECISION);
    exact_value(function, x, m, value);
    double inverse = 1.0 / ulp_of(value);
    mpfr_clear(value);
    return inverse;
}

void softfocus_reference_values(softfocus_reference function, const double *x, float m, size_t count, double *values,
                                double *inverse_ulps)
{
    int doubts = 0;
    values_in_double(function, x, m, count, values);
    for (size_t i = 0; i < count; i++) {
        inverse_ulps[i] = inverse_ulp(values[i]);
        doubts |= is_in_doubt(values[i]);
    }
    for (size_t i = 0; doubts && i < count; i++)
        if (is_in_doubt(values[i]))
            inverse_ulps[i] = exact_inverse_ulp(function, x[i], m);
}
