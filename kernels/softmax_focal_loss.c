/* Softmax focal loss with class indices: L = w u^gamma l, with p = softmax(z)_t, u = 1 - p, l = -log p, and its gradient
 *     dL/dz_j = F e_j / S  (j != t),   dL/dz_t = -F u,   F = w u^gamma (1 + gamma p l / u).
 *
 * With e_j = exp(z_j - m), U the sum of e_j over j != t and S = U + e_t:
 *     u = U / S,   l = (m - z_t) + log1p(U + (e_t - 1)),   p l / u = e_t l / U.
 * U is summed without the target, so that u and l keep their digits however near 1 p is; p is never formed and nothing is
 * divided by u. All of this is done in double, one lane per position; only the sums and the gradient run over classes.
 *
 * Where a gradient is wanted, the sweep that forms U leaves 2^60 e_j in the gradient's place and a second one scales. */
#include "kernels/softmax.h"

/* The factor of 2^60 e_j in the gradient, as two floats: where it is so small that a float would lose digits (below
   2^-126), 2^124 of it comes with the first and is taken back by the second, after the product with e_j has its digits. */
struct factor {
    vf first, second;
};

#define FACTOR_TINY 0x1p-126
#define FACTOR_LIFT 0x1p124

/* What one vector of positions comes to. */
struct focal {
    vd loss;
    struct factor factor;
    vf at_target; /* the gradient there */
};

/* The classes of one vector of positions: their low 32 bits, as there are at most 2^32 - 1 classes; -1 where ignored, or where
   there is no position. */
struct targets {
    int32_t class[VF_LANES];
};

SOFTFOCUS_INLINE struct targets targets_at(const struct softfocus_softmax_focal_args *args, size_t position, size_t count)
{
    struct targets targets;
    for (size_t i = 0; i < VF_LANES; i++) {
        int64_t target = args->ignore_index;
        if (i < count)
            target = args->index_type == SOFTFOCUS_I64 ? ((const int64_t *)args->index)[position + i]
                                                       : ((const int32_t *)args->index)[position + i];
        targets.class[i] = target != args->ignore_index ? (int32_t)(uint32_t)target : -1;
    }
    return targets;
}

SOFTFOCUS_INLINE vm ignored(vi target) { return vi_equal(target, vi_set1(-1)); }
SOFTFOCUS_INLINE int is_live(struct targets targets, size_t i) { return targets.class[i] != -1; }
SOFTFOCUS_INLINE size_t class_of(struct targets targets, size_t i) { return (uint32_t)targets.class[i]; }

/* Of the ignored, any finite weight. */
SOFTFOCUS_INLINE vd weights_of(const struct softfocus_softmax_focal_args *args, struct targets targets)
{
    if (!args->class_weight)
        return vd_set1(args->alpha);
    double weight[VF_LANES];
    for (size_t i = 0; i < VF_LANES; i++)
        weight[i] = is_live(targets, i) ? args->alpha * (double)args->class_weight[class_of(targets, i)] : 0.0;
    return vd_load(weight);
}

/* u^gamma, 0 <= u <= 1 */
SOFTFOCUS_INLINE vd modulate(vd u, double gamma)
{
    if (gamma == 0.0)
        return vd_set1(1.0);
    if (gamma == 1.0)
        return u;
    if (gamma == 2.0)
        return vd_mul(u, u);
    return vd_pow(u, vd_set1(gamma));
}

/* From m, the target's logit and 2^60 U. NaN anywhere in a position makes its results NaN; +inf and a position of -inf
   alone do so by m - m. */
SOFTFOCUS_INLINE struct focal focal(const struct softfocus_softmax_focal_args *args, struct targets targets, vf max,
                                    vf target_logit, vd scaled_rest)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0), inverse = vd_set1(EXP_SCALE_INVERSE);
    vd weight = weights_of(args, targets), m = vd_widen(max);
    vd live = vd_widen(vf_select(ignored(vi_load(targets.class)), vf_set1(0.0f), vf_set1(1.0f)));
    struct exp_reference ref = exp_reference(max);
    vd target_exp = vd_mul(vd_widen(exp_scaled(target_logit, ref, 1)), inverse);
    vd rest = vd_mul_add(scaled_rest, inverse, vd_sub(m, m));
    vd sum = vd_add(rest, target_exp);
    vd nll = vd_add(vd_sub(m, vd_widen(target_logit)), vd_log1p(vd_add(rest, vd_sub(target_exp, one))));

    /* One division for both quotients. The bound keeps the product normal; below 2^-40 the quotient p l / u is 1 to within
       2^-40 and is not formed. */
    vd safe_rest = vd_max(vd_set1(0x1p-60), rest);
    vd product = vd_div(one, vd_mul(sum, safe_rest));
    vd inverse_sum = vd_mul(safe_rest, product);
    vd u = vd_min(one, vd_mul(rest, inverse_sum)); /* past 1 by a rounding, an extreme gamma would make it inf */
    vd finite_nll = vd_min(vd_set1((double)__FLT_MAX__), nll);
    vd quotient = vd_mul(vd_mul(target_exp, finite_nll), vd_mul(sum, product));
    quotient = vd_select_less(rest, vd_set1(0x1p-40), one, quotient);

    vd weighted = vd_mul(weight, modulate(u, args->focal.gamma));
    struct focal result;
    result.loss = vd_mul(weighted, vd_select_less(zero, weight, nll, finite_nll)); /* a weight of 0 times inf is 0 */
    result.loss = vd_select_less(zero, live, result.loss, zero);

    vd factor = vd_mul(vd_mul(weighted, vd_set1(args->focal.scale)),
                       vd_mul_add(vd_set1(args->focal.gamma), quotient, one));
    result.at_target = vd_narrow(vd_mul(factor, vd_sub(zero, u)));
    vd scaled = vd_mul(vd_mul(factor, inverse_sum), inverse);
    vd tiny = vd_set1(FACTOR_TINY);
    result.factor.first = vd_narrow(vd_select_less(scaled, tiny, vd_mul(scaled, vd_set1(FACTOR_LIFT)), scaled));
    result.factor.second = vd_narrow(vd_select_less(scaled, tiny, vd_set1(1.0 / FACTOR_LIFT), one));
    return result;
}

/* Hands out the losses of `count` positions from `position` on, and adds them to *sum. */
SOFTFOCUS_INLINE void keep_losses(const struct softfocus_softmax_focal_args *args, size_t position, size_t count, vd loss,
                                  vd *sum)
{
    *sum = vd_add(*sum, loss);
    if (args->focal.loss)
        vf_store_part(args->focal.loss + position, vd_narrow(loss), count);
}

/* ---- Rows */

SOFTFOCUS_INLINE void scale_row(real *e, size_t classes, float first, float second)
{
    vf a = vf_set1(first), b = vf_set1(second);
    size_t i = 0;
    for (; i + VF_LANES <= classes; i += VF_LANES)
        vf_store(e + i, vf_mul(vf_mul(vf_load(e + i), a), b));
    if (i < classes)
        vf_store_part(e + i, vf_mul(vf_mul(row_load(e, classes, i), a), b), classes - i);
}

static void zero_row(real *p, size_t classes)
{
    for (size_t i = 0; i < classes; i++)
        p[i] = 0.0f;
}

SOFTFOCUS_INLINE vd rows_of_run(const struct softfocus_softmax_focal_args *args, struct run run, vd sum)
{
    size_t classes = args->shape.classes, batch = rows_per_batch(classes);
    for (size_t start = 0; start < run.count; start += batch) {
        size_t count = smaller(batch, run.count - start), inner = run.inner + start, position = run.position + start;
        struct targets targets = targets_at(args, position, count);
        float max[VF_LANES] = {0}, target_logit[VF_LANES] = {0};
        double rest[VF_LANES] = {0};
        for (size_t r = 0; r < count; r++) {
            if (!is_live(targets, r))
                continue;
            const real *z = element(args->logits, run.outer, 0, inner + r);
            max[r] = row_max(z, classes);
            target_logit[r] = z[class_of(targets, r)];
        }
        for (size_t r = 0; r < count; r++) {
            if (!is_live(targets, r))
                continue;
            const real *z = element(args->logits, run.outer, 0, inner + r);
            real *grad = args->grad.data ? element(args->grad, run.outer, 0, inner + r) : NULL;
            struct hole hole = {class_of(targets, r), 0.0f, 0};
            rest[r] = grad ? row_sum_exp(z, classes, hole, max[r], grad, OUTPUT_STORE)
                           : row_sum_exp(z, classes, hole, max[r], NULL, OUTPUT_NONE);
        }
        struct focal result = focal(args, targets, vf_load(max), vf_load(target_logit), vd_load(rest));
        keep_losses(args, position, count, result.loss, &sum);
        if (!args->grad.data)
            continue;
        float first[VF_LANES], second[VF_LANES], at_target[VF_LANES];
        vf_store(first, result.factor.first);
        vf_store(second, result.factor.second);
        vf_store(at_target, result.at_target);
        for (size_t r = 0; r < count; r++) {
            real *grad = element(args->grad, run.outer, 0, inner + r);
            if (!is_live(targets, r)) {
                zero_row(grad, classes);
                continue;
            }
            scale_row(grad, classes, first[r], second[r]);
            grad[class_of(targets, r)] = at_target[r];
        }
    }
    return sum;
}

SOFTFOCUS_REGIME double rows(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    vd sum = vd_set1(0.0);
    while (begin < end)
        sum = rows_of_run(args, take_run(args->shape, &begin, end), sum);
    return vd_reduce_add(sum);
}

/* ---- Columns */

struct columns_state {
    const struct softfocus_softmax_focal_args *args;
    vd sum;
    struct targets targets[BATCH_VECTORS];
    struct factor factor[BATCH_VECTORS];
    vf at_target[BATCH_VECTORS];
};

SOFTFOCUS_INLINE vf columns_max(struct columns z, size_t classes, vi target, vf *target_logit)
{
    vf max = vf_set1(MINUS_INFINITY), at_target = vf_set1(0.0f);
    for (size_t class = 0; class < classes; class++) {
        vf x = columns_load(z, class);
        max = vf_max(max, x);
        at_target = vf_select(vi_equal(target, class_number(class)), x, at_target);
    }
    *target_logit = at_target;
    return max;
}

SOFTFOCUS_INLINE void reduce(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    const struct softfocus_softmax_focal_args *args = state->args;
    size_t classes = args->shape.classes;
    vf max[BATCH_VECTORS], target_logit[BATCH_VECTORS];
    vd rest[BATCH_VECTORS];
    for (size_t v = 0; v < batch->vectors; v++)
        state->targets[v] = targets_at(args, batch->position + v * VF_LANES, batch_lanes(batch, v));
    for (size_t v = 0; v < batch->vectors; v++)
        max[v] = columns_max(columns_of(batch->in, batch, v), classes, vi_load(state->targets[v].class), &target_logit[v]);
    for (size_t v = 0; v < batch->vectors; v++) {
        struct columns out = columns_of(batch->out, batch, v);
        struct column_hole hole = {vi_load(state->targets[v].class), vf_set1(0.0f), 0};
        rest[v] = columns_sum_exp(batch, v, classes, hole, max[v], args->grad.data ? &out : NULL);
    }
    for (size_t v = 0; v < batch->vectors; v++) {
        struct focal result = focal(args, state->targets[v], max[v], target_logit[v], rest[v]);
        keep_losses(args, batch->position + v * VF_LANES, batch_lanes(batch, v), result.loss, &state->sum);
        state->factor[v] = result.factor;
        state->at_target[v] = result.at_target;
    }
}

SOFTFOCUS_INLINE vf finish(const void *opaque, const struct batch *batch, size_t v, size_t class)
{
    const struct columns_state *state = opaque;
    vi target = vi_load(state->targets[v].class);
    vf e = columns_load(columns_of(batch->out, batch, v), class);
    vf grad = vf_mul(vf_mul(e, state->factor[v].first), state->factor[v].second);
    grad = vf_select(vi_equal(target, class_number(class)), state->at_target[v], grad);
    return vf_select(ignored(target), vf_set1(0.0f), grad);
}

SOFTFOCUS_REGIME double columns(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    struct columns_state state;
    state.args = args;
    state.sum = vd_set1(0.0);
    for_columns(&args->shape, &args->logits, NULL, &args->grad, begin, end, reduce, finish, &state);
    return vd_reduce_add(state.sum);
}

double SOFTFOCUS_INSTANCE(softmax_focal_loss)(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    int contiguous = args->logits.class_stride == 1 && (!args->grad.data || args->grad.class_stride == 1);
    return contiguous && args->shape.classes > FEW_CLASSES ? rows(args, begin, end) : columns(args, begin, end);
}
