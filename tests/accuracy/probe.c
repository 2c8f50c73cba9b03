/* The functions of kernels/math.h on one ISA: see probe.h. Compiled once per ISA, with the kernels' own flags. */
#include "kernels/math.h"

#include "probe.h"

#define SOFTFOCUS_PROBE_OF_(isa) softfocus_probe_##isa
#define SOFTFOCUS_PROBE_OF(isa) SOFTFOCUS_PROBE_OF_(isa)
#define SOFTFOCUS_NAME_OF_(isa) #isa
#define SOFTFOCUS_NAME_OF(isa) SOFTFOCUS_NAME_OF_(isa)

_Static_assert(SOFTFOCUS_PROBE_LANES % VF_LANES == 0, "counts are whole vectors");

static void exp_near(const double *x, float m, size_t count, double *y)
{
    struct exp_reference reference = exp_reference(vf_set1(m));
    for (size_t i = 0; i < count; i += VF_LANES)
        vd_store(y + i, vd_widen(exp_scaled(vd_narrow(vd_load(x + i)), reference, 0)));
}

static void exp_far(const double *x, float m, size_t count, double *y)
{
    struct exp_reference reference = exp_reference(vf_set1(m));
    for (size_t i = 0; i < count; i += VF_LANES)
        vd_store(y + i, vd_widen(exp_scaled(vd_narrow(vd_load(x + i)), reference, 1)));
}

static void exp_stored(const double *x, float m, size_t count, double *y)
{
    struct exp_reference reference = exp_reference(vf_set1(m));
    for (size_t i = 0; i < count; i += VF_LANES) {
        vf scaled = exp_scaled(vd_narrow(vd_load(x + i)), reference, 0);
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
        vd_store(y + i, vd_widen(vf_mul_add(e, log1p_excess(e), e)));
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
