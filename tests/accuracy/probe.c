/* The functions of kernels/math.h on one ISA: see probe.h. Compiled once per ISA, with the kernels' own flags. */
#include "kernels/math.h"

#include "probe.h"

#define SOFTFOCUS_PROBE_OF_(isa) softfocus_probe_##isa
#define SOFTFOCUS_PROBE_OF(isa) SOFTFOCUS_PROBE_OF_(isa)
#define SOFTFOCUS_NAME_OF_(isa) #isa
#define SOFTFOCUS_NAME_OF(isa) SOFTFOCUS_NAME_OF_(isa)

_Static_assert(SOFTFOCUS_PROBE_LANES % VF_LANES == 0, "counts are whole vectors");

/* As the kernels use them: exp_based, then the product with exp_unit; scaled, so that no digit is lost to what float can
 * hold. */
static void exp_form(const double *x, float m, size_t count, double *y, int far)
{
    struct exp_base base = exp_base(vf_set1(m), far, EXP_FACTORS);
    vd unit = vd_mul(exp_unit(vf_set1(m)), vd_set1((double)EXP_SCALE));
    for (size_t i = 0; i < count; i += VF_LANES)
        vd_store(y + i, vd_mul(vd_widen(exp_based(vd_narrow(vd_load(x + i)), base, far)), unit));
}

static void exp_near(const double *x, float m, size_t count, double *y) { exp_form(x, m, count, y, 0); }
static void exp_far(const double *x, float m, size_t count, double *y) { exp_form(x, m, count, y, 1); }

static void exp_stored(const double *x, float m, size_t count, double *y)
{
    (void)m; /* 0 */
    for (size_t i = 0; i < count; i += VF_LANES) {
        vf scaled = exp_of_negative(vd_narrow(vd_load(x + i)));
        vd_store(y + i, vd_widen(vf_mul(scaled, vf_set1((float)EXP_SCALE_INVERSE))));
    }
}

static void log1p_wide(const double *x, float m, size_t count, double *y)
{
    (void)m;
    for (size_t i = 0; i < count; i += VF_LANES)
        vd_store(y + i, vd_log1p(vd_load(x + i)));
}

static void log1p_narrow(const double *x, float m, size_t count, double *y)
{
    (void)m;
    for (size_t i = 0; i < count; i += VF_LANES)
        vd_store(y + i, vd_widen(vd_narrow(vd_log1p(vd_load(x + i)))));
}

static void log1p_float(const double *x, float m, size_t count, double *y)
{
    (void)m;
    for (size_t i = 0; i < count; i += VF_LANES) {
        vf e = vd_narrow(vd_load(x + i));
        vd_store(y + i, vd_widen(vf_mul_add(e, log1p_excess(vf_mul(e, vf_set1(EXP_SCALE))), e)));
    }
}

static void rest_of_product(const double *x, float m, size_t count, double *y)
{
    vf b = vf_set1(m);
    for (size_t i = 0; i < count; i += VF_LANES) {
        vf a = vd_narrow(vd_load(x + i));
        vd_store(y + i, vd_widen(product_rest(a, b, vf_mul(a, b))));
    }
}

const softfocus_probe SOFTFOCUS_PROBE_OF(SOFTFOCUS_ISA) = {
    .isa = SOFTFOCUS_NAME_OF(SOFTFOCUS_ISA),
    .fma = VF_HAS_FMA,
    .table_bits = VF_TABLE_BITS,
#define PROBE_FUNCTION(name, function) .name = function,
#include "probes.def"
#undef PROBE_FUNCTION
};
