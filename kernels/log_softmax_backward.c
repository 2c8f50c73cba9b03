/* grad_logits_i = g_i - p_i * sum g, p = exp(log_probs), g = grad_log_probs. The sum is formed in double; the difference
 * cancels by nature, so that the error is bounded by what it was formed from: 4 * 2^-24 * (|g_i| + p_i sum |g|). */
#include "kernels/softmax.h"

/* exp needs its argument <= 0; what rounding (or another library) left above counts as 0. */
SOFTFOCUS_INLINE vf gradient(vf log_prob, vf g, vf minus_sum, struct exp_reference zero)
{
    vf p = vf_mul(exp_scaled(vf_min(vf_set1(0.0f), log_prob), zero, 0), vf_set1((float)EXP_SCALE_INVERSE));
    return vf_mul_add(p, minus_sum, g);
}

SOFTFOCUS_INLINE vf row_load_or_zero(const real *p, size_t classes, size_t i)
{
    if (i + VF_LANES <= classes)
        return vf_load(p + i);
    return vf_load_part(p + i, i < classes ? classes - i : 0, vf_set1(0.0f));
}

SOFTFOCUS_INLINE double row_sum(const real *g, size_t classes)
{
    vd sum = vd_set1(0.0);
    size_t i = 0;
    for (; i + GROUP <= classes; i += GROUP)
        sum = vd_add(sum, vd_widen(add4(vf_load(g + i), vf_load(g + i + VF_LANES), vf_load(g + i + 2 * VF_LANES),
                                        vf_load(g + i + 3 * VF_LANES))));
    if (i < classes)
        sum = vd_add(sum, vd_widen(add4(row_load_or_zero(g, classes, i), row_load_or_zero(g, classes, i + VF_LANES),
                                        row_load_or_zero(g, classes, i + 2 * VF_LANES),
                                        row_load_or_zero(g, classes, i + 3 * VF_LANES))));
    return vd_reduce_add(sum);
}

static void row(const real *log_probs, const real *g, size_t classes, real *out)
{
    struct exp_reference zero = exp_reference(vf_set1(0.0f));
    vf minus_sum = vf_set1((float)-row_sum(g, classes));
    size_t i = 0;
    for (; i + VF_LANES <= classes; i += VF_LANES)
        vf_store(out + i, gradient(vf_load(log_probs + i), vf_load(g + i), minus_sum, zero));
    if (i < classes)
        vf_store_part(out + i,
                      gradient(row_load_or_zero(log_probs, classes, i), row_load_or_zero(g, classes, i), minus_sum, zero),
                      classes - i);
}

/* `in` holds grad_log_probs; log_probs are read once, from where they lie. */
SOFTFOCUS_INLINE void columns(const void *state, struct columns in, struct columns out, size_t position, size_t lanes)
{
    const struct softfocus_log_softmax_backward_args *args = state;
    size_t classes = args->shape.classes, inner = args->shape.inner;
    vd sum = vd_set1(0.0);
    for (size_t class = 0; class < classes;) {
        vf part[4];
        for (size_t v = 0; v < 4; v++, class++)
            part[v] = class < classes ? columns_load(in, class) : vf_set1(0.0f);
        sum = vd_add(sum, vd_widen(add4(part[0], part[1], part[2], part[3])));
    }
    vf minus_sum = vd_narrow(vd_sub(vd_set1(0.0), sum));
    struct exp_reference zero = exp_reference(vf_set1(0.0f));
    struct columns log_probs = columns_at(args->log_probs, position / inner, position % inner, lanes);
    for (size_t class = 0; class < classes; class++)
        columns_store(out, class, gradient(columns_load(log_probs, class), columns_load(in, class), minus_sum, zero));
}

double SOFTFOCUS_INSTANCE(log_softmax_backward)(const struct softfocus_log_softmax_backward_args *args, size_t begin,
                                                size_t end)
{
    int contiguous = args->log_probs.class_stride == 1 && args->grad_log_probs.class_stride == 1 &&
                     args->grad_logits.class_stride == 1;
    while (begin < end) {
        struct run run = take_run(args->shape, &begin, end);
        if (!contiguous || args->shape.classes <= FEW_CLASSES) {
            for_columns(&args->shape, &args->grad_log_probs, &args->grad_logits, run, columns, args);
            continue;
        }
        for (size_t i = 0; i < run.count; i++)
            row(element(args->log_probs, run.outer, 0, run.inner + i),
                element(args->grad_log_probs, run.outer, 0, run.inner + i), args->shape.classes,
                element(args->grad_logits, run.outer, 0, run.inner + i));
    }
    return 0.0;
}
