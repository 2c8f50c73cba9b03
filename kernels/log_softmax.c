/* log_softmax_i = (z_i - m) - log1p(R), R the sum of exp(z_j - m) without the argmax: both terms are <= 0, so that
 * nothing cancels, and R keeps its digits where the argmax has all but a little of the probability.
 *
 * Written as (z_i - high) - low with high + low = m + log1p(R): high is the float nearest to the sum and low what is left,
 * so that it is right for logits of any size (with one float for both, logits around 1e8 lose the logarithm). */
#include "kernels/softmax.h"

struct normalizer {
    vf high, low;
};

/* From 2^60 R. A row with +inf, or of -inf alone, becomes NaN by m - m. */
SOFTFOCUS_INLINE struct normalizer normalizer(vf max, vd scaled_rest)
{
    vd m = vd_widen(max);
    vd rest = vd_mul_add(scaled_rest, vd_set1(EXP_SCALE_INVERSE), vd_sub(m, m));
    vd log = vd_log1p(rest);
    struct normalizer norm;
    norm.high = vd_narrow(vd_add(m, log));
    norm.low = vd_narrow(vd_add(vd_sub(m, vd_widen(norm.high)), log));
    return norm;
}

SOFTFOCUS_INLINE void write_row(const real *z, size_t classes, float high, float low, real *out)
{
    vf h = vf_set1(high), l = vf_set1(low);
    size_t i = 0;
    for (; i + GROUP <= classes; i += GROUP)
        for (size_t v = 0; v < GROUP; v += VF_LANES)
            vf_store(out + i + v, vf_sub(vf_sub(vf_load(z + i + v), h), l));
    for (; i + VF_LANES <= classes; i += VF_LANES)
        vf_store(out + i, vf_sub(vf_sub(vf_load(z + i), h), l));
    if (i < classes)
        vf_store_part(out + i, vf_sub(vf_sub(row_load(z, classes, i), h), l), classes - i);
}

static void rows(const struct softfocus_log_softmax_args *args, struct run run)
{
    size_t classes = args->shape.classes, batch = rows_per_batch(classes);
    for (size_t start = 0; start < run.count; start += batch) {
        size_t count = smaller(batch, run.count - start), inner = run.inner + start;
        float max[VF_LANES] = {0}, high[VF_LANES], low[VF_LANES];
        double rest[VF_LANES] = {0};
        size_t group[VF_LANES];
        for (size_t r = 0; r < count; r++)
            group[r] = row_max_group(element(args->logits, run.outer, 0, inner + r), classes, &max[r]);
        for (size_t r = 0; r < count; r++)
            rest[r] = row_sum_exp(element(args->logits, run.outer, 0, inner + r), classes,
                                  (struct hole){group[r], max[r], 1}, max[r],
                                  element(args->log_probs, run.outer, 0, inner + r), OUTPUT_FETCH);
        struct normalizer norm = normalizer(vf_load(max), vd_load(rest));
        vf_store(high, norm.high);
        vf_store(low, norm.low);
        for (size_t r = 0; r < count; r++)
            write_row(element(args->logits, run.outer, 0, inner + r), classes, high[r], low[r],
                      element(args->log_probs, run.outer, 0, inner + r));
    }
}

/* The first class of each lane's maximum. A NaN in the first class stays the maximum; elsewhere it is never chosen, and
   shows in the sum. */
SOFTFOCUS_INLINE vi columns_argmax(struct columns z, size_t classes, vf *max)
{
    vf best = columns_load(z, 0);
    vi argmax = vi_set1(0);
    for (size_t class = 1; class < classes; class++) {
        vf x = columns_load(z, class);
        vm better = vf_less(best, x);
        best = vf_select(better, x, best);
        argmax = vi_select(better, class_number(class), argmax);
    }
    *max = best;
    return argmax;
}

SOFTFOCUS_INLINE void columns(const void *state, struct columns in, struct columns out, size_t position, size_t lanes)
{
    const struct softfocus_log_softmax_args *args = state;
    size_t classes = args->shape.classes;
    (void)position, (void)lanes;
    vf max;
    vi argmax = columns_argmax(in, classes, &max);
    struct normalizer norm = normalizer(max, columns_sum_exp(in, classes, argmax, max, NULL));
    for (size_t class = 0; class < classes; class++)
        columns_store(out, class, vf_sub(vf_sub(columns_load(in, class), norm.high), norm.low));
}

double SOFTFOCUS_INSTANCE(log_softmax)(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    int contiguous = args->logits.class_stride == 1 && args->log_probs.class_stride == 1;
    while (begin < end) {
        struct run run = take_run(args->shape, &begin, end);
        if (contiguous && args->shape.classes > FEW_CLASSES)
            rows(args, run);
        else
            for_columns(&args->shape, &args->logits, &args->log_probs, run, columns, args);
    }
    return 0.0;
}
