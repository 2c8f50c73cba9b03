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

/* Targets of one vector of positions; lanes without a position, or ignored, have class -1 and live = 0. */
struct targets {
    double weight[VF_LANES];
    double live[VF_LANES];
    float live_float[VF_LANES];
    int32_t class[VF_LANES]; /* its low 32 bits: at most 2^32 - 1 classes */
    size_t index[VF_LANES];  /* whole; 0 where ignored */
};

SOFTFOCUS_INLINE int64_t target_at(const struct softfocus_softmax_focal_args *args, size_t position)
{
    return args->index_type == SOFTFOCUS_I64 ? ((const int64_t *)args->index)[position]
                                             : ((const int32_t *)args->index)[position];
}

SOFTFOCUS_INLINE struct targets targets_at(const struct softfocus_softmax_focal_args *args, size_t position, size_t count)
{
    struct targets targets;
    for (size_t i = 0; i < VF_LANES; i++) {
        int64_t target = i < count ? target_at(args, position + i) : args->ignore_index;
        int live = target != args->ignore_index;
        targets.live[i] = live;
        targets.live_float[i] = (float)live;
        targets.class[i] = live ? (int32_t)(uint32_t)target : -1;
        targets.index[i] = live ? (size_t)target : 0;
        targets.weight[i] = 0.0;
        if (live)
            targets.weight[i] = args->class_weight ? args->alpha * (double)args->class_weight[target] : args->alpha;
    }
    return targets;
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
SOFTFOCUS_INLINE struct focal focal(const struct softfocus_softmax_focal_args *args, const struct targets *targets, vf max,
                                    vf target_logit, vd scaled_rest)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0), inverse = vd_set1(EXP_SCALE_INVERSE);
    vd weight = vd_load(targets->weight), m = vd_widen(max);
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
    vd u = vd_mul(rest, inverse_sum);
    vd finite_nll = vd_min(vd_set1((double)__FLT_MAX__), nll);
    vd quotient = vd_mul(vd_mul(target_exp, finite_nll), vd_mul(sum, product));
    quotient = vd_select_less(rest, vd_set1(0x1p-40), one, quotient);

    vd weighted = vd_mul(weight, modulate(u, args->focal.gamma));
    struct focal result;
    result.loss = vd_mul(weighted, vd_select_less(zero, weight, nll, finite_nll)); /* a weight of 0 times inf is 0 */
    result.loss = vd_select_less(zero, vd_load(targets->live), result.loss, zero);

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

static vd rows(const struct softfocus_softmax_focal_args *args, struct run run, vd sum)
{
    size_t classes = args->shape.classes, batch = rows_per_batch(classes);
    for (size_t start = 0; start < run.count; start += batch) {
        size_t count = smaller(batch, run.count - start), inner = run.inner + start, position = run.position + start;
        struct targets targets = targets_at(args, position, count);
        float max[VF_LANES] = {0}, target_logit[VF_LANES] = {0};
        double rest[VF_LANES] = {0};
        for (size_t r = 0; r < count; r++) {
            if (targets.live[r] == 0.0)
                continue;
            const real *z = element(args->logits, run.outer, 0, inner + r);
            max[r] = row_max(z, classes);
            target_logit[r] = z[targets.index[r]];
        }
        for (size_t r = 0; r < count; r++) {
            if (targets.live[r] == 0.0)
                continue;
            const real *z = element(args->logits, run.outer, 0, inner + r);
            real *grad = args->grad.data ? element(args->grad, run.outer, 0, inner + r) : NULL;
            struct hole hole = {targets.index[r], 0.0f, 0};
            rest[r] = grad ? row_sum_exp(z, classes, hole, max[r], grad, OUTPUT_STORE)
                           : row_sum_exp(z, classes, hole, max[r], NULL, OUTPUT_NONE);
        }
        struct focal result = focal(args, &targets, vf_load(max), vf_load(target_logit), vd_load(rest));
        keep_losses(args, position, count, result.loss, &sum);
        if (!args->grad.data)
            continue;
        float first[VF_LANES], second[VF_LANES], at_target[VF_LANES];
        vf_store(first, result.factor.first);
        vf_store(second, result.factor.second);
        vf_store(at_target, result.at_target);
        for (size_t r = 0; r < count; r++) {
            real *grad = element(args->grad, run.outer, 0, inner + r);
            if (targets.live[r] == 0.0) {
                zero_row(grad, classes);
                continue;
            }
            scale_row(grad, classes, first[r], second[r]);
            grad[targets.index[r]] = at_target[r];
        }
    }
    return sum;
}

/* ---- Columns */

struct columns_state {
    const struct softfocus_softmax_focal_args *args;
    vd *sum;
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

SOFTFOCUS_INLINE void columns(const void *opaque, struct columns in, struct columns out, size_t position, size_t lanes)
{
    const struct columns_state *state = opaque;
    const struct softfocus_softmax_focal_args *args = state->args;
    size_t classes = args->shape.classes;
    struct targets targets = targets_at(args, position, lanes);
    vi target = vi_load(targets.class);
    vf target_logit, max = columns_max(in, classes, target, &target_logit);
    vd rest = columns_sum_exp(in, classes, target, max, args->grad.data ? &out : NULL);
    struct focal result = focal(args, &targets, max, target_logit, rest);
    keep_losses(args, position, lanes, result.loss, state->sum);
    if (!args->grad.data)
        return;
    vm live = vf_less(vf_set1(0.0f), vf_load(targets.live_float));
    for (size_t class = 0; class < classes; class++) {
        vf grad = vf_mul(vf_mul(columns_load(out, class), result.factor.first), result.factor.second);
        grad = vf_select(vi_equal(target, class_number(class)), result.at_target, grad);
        columns_store(out, class, vf_keep(live, grad));
    }
}

double SOFTFOCUS_INSTANCE(softmax_focal_loss)(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    int contiguous = args->logits.class_stride == 1 && (!args->grad.data || args->grad.class_stride == 1);
    vd sum = vd_set1(0.0);
    while (begin < end) {
        struct run run = take_run(args->shape, &begin, end);
        if (contiguous && args->shape.classes > FEW_CLASSES) {
            sum = rows(args, run, sum);
        } else {
            struct columns_state state = {args, &sum};
            for_columns(&args->shape, &args->logits, &args->grad, run, columns, &state);
        }
    }
    return vd_reduce_add(sum);
}
