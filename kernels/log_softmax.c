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

SOFTFOCUS_INLINE void rows_of_run(const struct softfocus_log_softmax_args *args, struct run run)
{
    size_t classes = args->shape.classes, batch = rows_per_batch(classes);
    for (size_t start = 0; start < run.count; start += batch) {
        size_t count = smaller(batch, run.count - start), inner = run.inner + start;
        float max[VF_LANES] = {0}, high[VF_LANES], low[VF_LANES];
        double rest[VF_LANES] = {0};
        size_t group[VF_LANES];
        for (size_t r = 0; r < count; r++)
            group[r] = row_max_group(element(args->logits, run.outer, 0, inner + r), classes, &max[r]);
        for (size_t r = 0; r < count; r++) {
            const real *z = element(args->logits, run.outer, 0, inner + r);
            struct hole hole = {group[r], max[r], 1};
            rest[r] = row_sum_exp(z, classes, hole, max[r], element(args->log_probs, run.outer, 0, inner + r), OUTPUT_FETCH);
        }
        struct normalizer norm = normalizer(vf_load(max), vd_load(rest));
        vf_store(high, norm.high);
        vf_store(low, norm.low);
        for (size_t r = 0; r < count; r++)
            write_row(element(args->logits, run.outer, 0, inner + r), classes, high[r], low[r],
                      element(args->log_probs, run.outer, 0, inner + r));
    }
}

SOFTFOCUS_REGIME void rows(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    while (begin < end)
        rows_of_run(args, take_run(args->shape, &begin, end));
}

/* ---- Columns */

struct columns_state {
    size_t classes;
    struct normalizer norm[BATCH_VECTORS];
};

SOFTFOCUS_INLINE vf columns_max(struct columns z, size_t classes)
{
    vf max = vf_set1(MINUS_INFINITY);
    for (size_t class = 0; class < classes; class++)
        max = vf_max(max, columns_load(z, class));
    return max;
}

SOFTFOCUS_INLINE void reduce(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    vf max[BATCH_VECTORS];
    vd rest[BATCH_VECTORS];
    for (size_t v = 0; v < batch->vectors; v++)
        max[v] = columns_max(columns_of(batch->in, batch, v), state->classes);
    for (size_t v = 0; v < batch->vectors; v++) {
        rest[v] = columns_sum_exp(batch, v, state->classes, (struct column_hole){vi_set1(0), max[v], 1}, max[v], NULL);
    }
    for (size_t v = 0; v < batch->vectors; v++)
        state->norm[v] = normalizer(max[v], rest[v]);
}

SOFTFOCUS_INLINE vf finish(const void *opaque, const struct batch *batch, size_t v, size_t class)
{
    const struct columns_state *state = opaque;
    return vf_sub(vf_sub(columns_load(columns_of(batch->in, batch, v), class), state->norm[v].high), state->norm[v].low);
}

SOFTFOCUS_REGIME void columns(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    struct columns_state state;
    state.classes = args->shape.classes;
    for_columns(&args->shape, &args->logits, NULL, &args->log_probs, begin, end, reduce, finish, &state);
}

double SOFTFOCUS_INSTANCE(log_softmax)(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    if (args->logits.class_stride == 1 && args->log_probs.class_stride == 1 && args->shape.classes > FEW_CLASSES)
        rows(args, begin, end);
    else
        columns(args, begin, end);
    return 0.0;
}
