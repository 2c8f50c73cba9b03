/* Sigmoid focal loss with dense targets y, element by element. For y of 0 or 1, with x = s z (s = 2y - 1), q = sigmoid(-x)
 * and p = sigmoid(x):
 *     L = a q^gamma softplus(-x),   dL/dz = -s a q^gamma (q + gamma p softplus(-x)).
 * Both sides of x = 0 come from E = exp(-|x|) and log1p(E), so that nothing cancels at either end; p is never 1 - q.
 * This runs in float. Targets between 0 and 1 take torchvision's formula, in double, where a vector has one. */
#include "kernels/math.h"
#include "kernels/positions.h"

/* Past this gamma the float form of q^gamma, whose error grows with gamma, would break the bound: double for all. */
#define GAMMA_FLOAT 3.0

/* And past this scale (a normalizer below 1e-12) a gradient would have had a factor below a float's range: q^gamma reaches
   2^-126 where q is 2^(-126 / gamma), and the gradient 2^-168 or less of the scale. */
#define SCALE_FLOAT 0x1p40

/* And below this alpha, by itself or times the scale, but for 0, they would lose digits, by themselves or with weights. */
#define SMALL_FLOAT 0x1p-60

/* And from this |logit| on, which infinity is, too; and what makes it infinite. */
#define LOGIT_FLOAT 0x1p60f
#define LOGIT_FLOAT_TO_INFINITY 0x1p68f

/* How q^gamma is formed; without FMA by the first and the last alone. */
enum modulator_form { MODULATOR_ONE, MODULATOR_Q, MODULATOR_Q_SQUARED, MODULATOR_POWER };

/* What all vectors of a call share. */
struct constants {
    double gamma, alpha_positive, alpha_negative, scale;
    vf loss_positive, loss_negative; /* 2^-60 a, by target */
    vf grad_positive, grad_negative; /* -s a, times the scale */
    vf gamma_float, gamma_scaled;    /* the latter times 2^-60 */
    vf minus_gamma, minus_gamma_rest; /* together -gamma */
    enum modulator_form form;
    int wide;     /* all in double */
    int weighted; /* there are class weights */
};

static enum modulator_form form_of(double gamma)
{
    if (gamma == 0.0)
        return MODULATOR_ONE;
    if (VF_HAS_FMA && gamma == 1.0)
        return MODULATOR_Q;
    return VF_HAS_FMA && gamma == 2.0 ? MODULATOR_Q_SQUARED : MODULATOR_POWER;
}

static int loses_digits(double factor) { return factor > 0.0 && factor < SMALL_FLOAT; }

static struct constants constants_of(const struct softfocus_sigmoid_focal_args *args)
{
    struct constants c = {.gamma = args->focal.gamma,
                          .alpha_positive = args->alpha_positive,
                          .alpha_negative = args->alpha_negative,
                          .scale = args->focal.scale};
    double positive = c.alpha_positive * c.scale, negative = c.alpha_negative * c.scale;
    c.loss_positive = vf_set1((float)(c.alpha_positive * EXP_SCALE_INVERSE));
    c.loss_negative = vf_set1((float)(c.alpha_negative * EXP_SCALE_INVERSE));
    c.grad_positive = vf_set1((float)-positive);
    c.grad_negative = vf_set1((float)negative);
    float gamma = (float)c.gamma;
    c.gamma_float = vf_set1(gamma);
    c.gamma_scaled = vf_set1((float)(c.gamma * EXP_SCALE_INVERSE));
    c.minus_gamma = vf_set1(-gamma);
    c.minus_gamma_rest = vf_set1((float)((double)gamma - c.gamma));
    c.form = form_of(c.gamma);
    c.wide = c.gamma > GAMMA_FLOAT || c.scale > SCALE_FLOAT || loses_digits(c.alpha_positive) ||
             loses_digits(c.alpha_negative) || loses_digits(positive) || loses_digits(negative);
    c.weighted = args->weight.data != NULL;
    return c;
}

struct result {
    vf loss, grad;
};

/* The form for y of 0 or 1, in steps, each of which has what it waits for from the one before. What may be small is scaled
 * by 2^60, and the last factor of a result has 2^-60, so that it rounds once even where it is subnormal. */
struct parts {
    vf opposite;         /* -x */
    vf e_scaled, e_rest; /* 2^60 E, and with FMA what its rounding left out */
    vf log_scaled;       /* 2^60 log1p(E) */
    vf inverse;          /* 2^-60 / (1 + E) */
    vf modulator;        /* q^gamma */
};

/* Where x > 0. At 0 both sides meet. */
SOFTFOCUS_INLINE vm is_easy(const struct parts *parts) { return vf_less(parts->opposite, vf_set1(0.0f)); }

SOFTFOCUS_INLINE void hard_exp(vf z, vf y, struct parts *parts)
{
    parts->opposite = vf_xor(z, vf_from_bits(vi_shift_left(vf_bits(y), 8))); /* the lowest bit of 1 becomes a sign */
    parts->e_scaled = exp_of_negative_low(vf_minus_abs(z), VF_HAS_FMA ? &parts->e_rest : NULL);
}

SOFTFOCUS_INLINE void hard_log(struct parts *parts)
{
    vf e = parts->e_scaled, excess = log1p_excess(e);
    parts->log_scaled = VF_HAS_FMA ? vf_add(e, vf_mul_add(e, excess, parts->e_rest)) : vf_mul_add(e, excess, e);
}

/* q^gamma = exp(-gamma (max(x, 0) + log1p(E))), with the exponent as high + low: 1.2 ulp or so, where powers of a float q
   have gamma times its error. Past 128 the result is 0 whatever x is. */
SOFTFOCUS_INLINE vf modulator_power(const struct constants *c, const struct parts *parts)
{
    vf zero = vf_set1(0.0f), inverse_scale = vf_set1((float)EXP_SCALE_INVERSE);
    vf above = vf_max(zero, vf_sub(zero, parts->opposite)), log = vf_mul(parts->log_scaled, inverse_scale);
    vf softplus = vf_add(above, log);
    vf rest = vf_sub(vf_min(above, log), vf_sub(softplus, vf_max(above, log)));
    vf high = vf_mul(c->minus_gamma, softplus);
    vf low = vf_mul_add(c->minus_gamma, rest, product_rest(c->minus_gamma, softplus, high));
    low = vf_mul_add(c->minus_gamma_rest, softplus, low);
    vf power = vf_mul(exp_of_negative(high), inverse_scale);
    return vf_mul_add(power, low, power);
}

/* 1 / (1 + E), corrected by what the rounding of d = 1 + E left out; and q^gamma. With FMA q or q^2 comes from q = n / d,
   which is corrected by what n - q d is, in which n and d have what their roundings left out: an error of 1 ulp for q^2, by
   fewer operations than a power takes. */
SOFTFOCUS_INLINE void hard_modulator(const struct constants *c, enum modulator_form form, struct parts *parts)
{
    vf one = vf_set1(1.0f), scale = vf_set1(EXP_SCALE), e = parts->e_scaled;
    vf d = vf_add(scale, e), d_rest = vf_add(vf_sub(scale, d), e), inverse = vf_div(one, d);
    if (VF_HAS_FMA)
        d_rest = vf_add(d_rest, parts->e_rest);
    parts->inverse = vf_neg_mul_add(vf_mul(inverse, d_rest), inverse, inverse);
    if (form == MODULATOR_ONE || form == MODULATOR_POWER || !VF_HAS_FMA) {
        parts->modulator = form == MODULATOR_ONE ? one : modulator_power(c, parts);
        return;
    }
    vm easy = is_easy(parts);
    vf n = vf_select(easy, e, scale), q = vf_mul(n, inverse);
    vf lack = vf_neg_mul_add(q, d_rest, vf_neg_mul_add(q, d, n));
    lack = vf_select(easy, vf_add(lack, parts->e_rest), lack);
    parts->modulator = form == MODULATOR_Q ? vf_mul_add(lack, inverse, q)
                                           : vf_mul(q, vf_mul_add(lack, vf_add(inverse, inverse), q));
}

/* The factors of the results: a q^gamma softplus(-x), and -s a q^gamma (n + gamma m softplus(-x)) / (1 + E), where n is E on
   the easy side and 1 on the other, m the other of these. */
struct factors {
    vf loss, loss_alpha, grad, grad_alpha;
};

SOFTFOCUS_INLINE struct factors hard_factors(const struct constants *c, vf y, const struct parts *parts)
{
    vf scale = vf_set1(EXP_SCALE), e = parts->e_scaled;
    vm positive = vf_equal(y, vf_set1(1.0f)), easy = is_easy(parts);
    vf softplus = vf_mul_add(vf_max(vf_set1(0.0f), parts->opposite), scale, parts->log_scaled);
    vf n = vf_select(easy, e, scale), gamma_m = vf_select(easy, c->gamma_float, vf_mul(c->gamma_scaled, e));
    return (struct factors){vf_mul(parts->modulator, softplus), vf_select(positive, c->loss_positive, c->loss_negative),
                            vf_mul(parts->modulator, vf_mul_add(gamma_m, softplus, n)),
                            vf_mul(vf_select(positive, c->grad_positive, c->grad_negative), parts->inverse)};
}

SOFTFOCUS_INLINE struct result hard_result(const struct constants *c, vf y, const struct parts *parts)
{
    struct factors f = hard_factors(c, y, parts);
    return (struct result){vf_mul(f.loss, f.loss_alpha), vf_mul(f.grad, f.grad_alpha)};
}

/* A class weight goes into one factor up to 1, and into the other from there on; a weight of 1 changes no bit. */
SOFTFOCUS_INLINE struct result weighted_result(const struct constants *c, vf y, vf weight, const struct parts *parts)
{
    struct factors f = hard_factors(c, y, parts);
    vf low = vf_min(vf_set1(1.0f), weight), high = vf_max(vf_set1(1.0f), weight);
    return (struct result){vf_mul(vf_mul(f.loss, low), vf_mul(f.loss_alpha, high)),
                           vf_mul(vf_mul(f.grad, low), vf_mul(f.grad_alpha, high))};
}

SOFTFOCUS_INLINE struct result hard_targets(const struct constants *c, vf z, vf y, vf weight)
{
    struct parts parts;
    hard_exp(z, y, &parts);
    hard_log(&parts);
    hard_modulator(c, c->form, &parts);
    return weighted_result(c, y, weight, &parts);
}

/* Any y, with v = 1 - p_t = p (1 - y) + q y and ce = (1 - y) softplus(z) + y softplus(-z):
 *     L = a v^gamma ce,   dL/dz = a v^gamma ((p - y) + gamma (p q / v)(1 - 2y) ce),   a = alpha y + (1 - alpha)(1 - y).
 * p - y is p (1 - y) - q y, which does not cancel at either end. */
SOFTFOCUS_INLINE struct result any_result(const struct constants *c, vf logit, vf target, vf weight, vd e, vd log)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0);
    vd z = vd_widen(logit), y = vd_widen(target), not_y = vd_sub(one, y);
    vd above = vd_max(zero, z), below = vd_max(zero, vd_sub(zero, z));
    /* p, q and v times 1 + E, which one division takes away from them, and makes p q / v of E. */
    vd p_part = vd_mul(not_y, vd_select_less(z, zero, e, one)), q_part = vd_mul(y, vd_select_less(z, zero, one, e));
    vd v_above = vd_add(p_part, q_part), tiny = vd_set1(0x1p-1000), minus_tiny = vd_set1(-0x1p-1000);
    /* v is below 0 where y is not of [0, 1] */
    vd bounded = vd_select_less(v_above, zero, vd_min(minus_tiny, v_above), vd_max(tiny, v_above));
    vd ratio = vd_div(one, vd_mul(bounded, vd_add(one, e))), inverse = vd_mul(bounded, ratio), quotient = vd_mul(e, ratio);
    vd v = vd_mul(v_above, inverse);

    /* 0 * inf would be NaN where z is infinite and y is 0 or 1 */
    vd huge = vd_set1(0x1p1000);
    vd ce = vd_add(vd_mul(not_y, vd_min(huge, vd_add(above, log))), vd_mul(y, vd_min(huge, vd_add(below, log))));
    vd alpha = vd_add(vd_mul(vd_set1(c->alpha_positive), y), vd_mul(vd_set1(c->alpha_negative), not_y));
    vd factor = vd_mul(alpha, vd_widen(weight)), weighted = vd_mul(factor, vd_power(v, c->gamma));

    struct result result;
    /* Where ce is infinite, and so capped, only a factor of 0 makes less of it, however small v^gamma is. */
    vd size = vd_max(weighted, vd_sub(zero, weighted));
    vd sign = vd_select_less(size, vd_set1(0x1p-1074), factor, weighted);
    vd infinite = vd_select_less(zero, sign, huge, vd_select_less(sign, zero, vd_sub(zero, huge), sign));
    infinite = vd_select_less(ce, zero, vd_sub(zero, infinite), infinite);
    vd magnitude = vd_max(ce, vd_sub(zero, ce));
    result.loss = one_nan(vd_narrow(vd_select_less(vd_set1(0x1p800), magnitude, infinite, vd_mul(weighted, ce))));
    vd slope = vd_mul(vd_mul(vd_set1(c->gamma), quotient), vd_mul(vd_sub(not_y, y), ce));
    vd bracket = vd_add(vd_mul(vd_sub(p_part, q_part), inverse), slope);
    result.grad = one_nan(vd_narrow(vd_mul(vd_mul(weighted, vd_set1(c->scale)), bracket)));
    return result;
}

/* Vectors that are formed together, step by step, with what lies between two steps in the L1 cache: from z to the results is
   a chain of some 150 cycles (of 300 in double), of which a CPU can overlap two or three when it takes one vector after the
   other. */
enum { BLOCK = 16 };

/* n vectors, at most BLOCK. */
SOFTFOCUS_SHARED void any_targets(const struct constants *c, size_t n, const vf z[], const vf y[], const vf weights[],
                                  struct result results[])
{
    vd e[BLOCK], log[BLOCK];
    for (size_t v = 0; v < n; v++)
        e[v] = vd_exp(vd_widen(vf_minus_abs(z[v])));
    for (size_t v = 0; v < n; v++)
        log[v] = vd_log1p(e[v]);
    for (size_t v = 0; v < n; v++)
        results[v] = any_result(c, z[v], y[v], weights[v], e[v], log[v]);
}

/* Whether the form for y of 0 or 1 is right: for logits that are not too large, nor NaN. */
SOFTFOCUS_INLINE vm is_hard(vf z, vf y)
{
    vm hard = vm_or(vf_equal(y, vf_set1(1.0f)), vf_equal(y, vf_set1(0.0f)));
    return vm_and(hard, vf_less(vf_set1(-LOGIT_FLOAT), vf_minus_abs(z)));
}

SOFTFOCUS_INLINE struct result select_result(vm m, struct result a, struct result b)
{
    return (struct result){vf_select(m, a.loss, b.loss), vf_select(m, a.grad, b.grad)};
}

/* A vector by itself. */
SOFTFOCUS_SHARED struct result step(const struct constants *c, vf z, vf y, vf weight)
{
    vm hard = is_hard(z, y);
    struct result any;
    if (!c->wide && vm_all(hard))
        return hard_targets(c, z, y, weight);
    any_targets(c, 1, &z, &y, &weight, &any);
    return c->wide ? any : select_result(hard, hard_targets(c, z, y, weight), any);
}

/* ---- Lines along the inner axis */

/* One tensor's elements along a line. */
struct line {
    real *data;
    ptrdiff_t stride;
};

SOFTFOCUS_INLINE struct line line_at(struct softfocus_view view, struct softfocus_shape shape, struct run run)
{
    return (struct line){element(view, run.outer / shape.classes, run.outer % shape.classes, run.inner),
                         view.inner_stride};
}

SOFTFOCUS_INLINE vf line_load(struct line line, size_t i, size_t lanes)
{
    return lanes_load(line.data + (ptrdiff_t)i * line.stride, line.stride, lanes);
}

SOFTFOCUS_INLINE void line_store(struct line line, size_t i, vf a, size_t lanes)
{
    lanes_store(line.data + (ptrdiff_t)i * line.stride, line.stride, a, lanes);
}

/* What a run of elements reads and writes. */
struct lines {
    struct line logits, targets, weights;
    struct line grad; /* or NULL, stride 1 */
    real *loss;       /* or NULL: the sum is wanted */
    size_t count;
};

SOFTFOCUS_INLINE void put(const struct lines *lines, size_t i, size_t lanes, struct result result, vd *sum)
{
    if (lines->grad.data)
        line_store(lines->grad, i, result.grad, lanes);
    if (lines->loss)
        line_store((struct line){lines->loss, 1}, i, result.loss, lanes);
    else
        *sum = vd_add(*sum, vd_widen(vf_keep(vm_first(lanes), result.loss)));
}

/* Of contiguous weights, or of one for all elements, or of none. */
SOFTFOCUS_INLINE vf weights_load(const struct constants *c, const struct lines *lines, size_t i)
{
    if (!c->weighted)
        return vf_set1(1.0f);
    return lines->weights.stride ? vf_load(lines->weights.data + i) : vf_set1(*lines->weights.data);
}

/* What hard_modulator starts from, of n vectors. Returns whether is_hard holds for all of them, by fewer operations than it
   takes: y^2 - y is 0 for y of 0 and 1 alone, and a sum of sizes is infinite or NaN as soon as one of them is too large. It
   may be without that, of sizes near LOGIT_FLOAT; then each vector is asked. */
SOFTFOCUS_INLINE int hard_parts(const real *z, const real *y, size_t n, struct parts *parts)
{
    vf zero = vf_set1(0.0f), soft = zero, size = zero;
    for (size_t v = 0; v < n; v++) {
        vf logit = vf_load(z + v * VF_LANES), target = vf_load(y + v * VF_LANES);
        soft = vf_or(soft, vf_sub(vf_mul(target, target), target));
        size = vf_mul_add(vf_minus_abs(logit), vf_set1(LOGIT_FLOAT_TO_INFINITY), size);
        hard_exp(logit, target, &parts[v]);
    }
    for (size_t v = 0; v < n; v++)
        hard_log(&parts[v]);
    return vm_all(vm_and(vf_equal(soft, zero), vf_less(vf_set1(MINUS_INFINITY), size)));
}

SOFTFOCUS_INLINE void hard_modulators_of(const struct constants *c, enum modulator_form form, struct parts *parts, size_t n)
{
    for (size_t v = 0; v < n; v++)
        hard_modulator(c, form, &parts[v]);
}

/* By themselves. Which form there is, is asked for outside the loops. */
SOFTFOCUS_SHARED void hard_modulators(const struct constants *c, struct parts *parts, size_t n)
{
    if (c->form == MODULATOR_ONE)
        hard_modulators_of(c, MODULATOR_ONE, parts, n);
    else if (VF_HAS_FMA && c->form == MODULATOR_Q)
        hard_modulators_of(c, MODULATOR_Q, parts, n);
    else if (VF_HAS_FMA && c->form == MODULATOR_Q_SQUARED)
        hard_modulators_of(c, MODULATOR_Q_SQUARED, parts, n);
    else
        hard_modulators_of(c, MODULATOR_POWER, parts, n);
}

SOFTFOCUS_INLINE vm hard_at(const struct lines *lines, size_t i)
{
    return is_hard(vf_load(lines->logits.data + i), vf_load(lines->targets.data + i));
}

/* Of n >= 1 vectors from element i on, whether any has a hard target. */
SOFTFOCUS_INLINE int some_hard(const struct lines *lines, size_t i, size_t n)
{
    size_t v = 0;
    while (v < n && !vm_any(hard_at(lines, i + v * VF_LANES)))
        v++;
    return v < n;
}

/* With class weights, as if all targets were hard. */
SOFTFOCUS_SHARED void weighted_results(const struct constants *c, const struct lines *lines, size_t i, size_t n,
                                       const struct parts *parts, struct result results[])
{
    struct constants own = *c; /* which no store can change: they stay in registers */
    for (size_t v = 0; v < n; v++) {
        size_t first = i + v * VF_LANES;
        results[v] =
            weighted_result(&own, vf_load(lines->targets.data + first), weights_load(&own, lines, first), &parts[v]);
    }
}

/* In double: all results, or those that have no hard target, among others that are there already. */
SOFTFOCUS_SHARED void any_results(const struct constants *c, const struct lines *lines, size_t i, size_t n, int all,
                                  struct result results[])
{
    vf z[BLOCK], y[BLOCK], weights[BLOCK];
    struct result any[BLOCK];
    size_t v = 0, count = 0;
    do {
        size_t first = i + v * VF_LANES;
        z[count] = vf_load(lines->logits.data + first);
        y[count] = vf_load(lines->targets.data + first);
        weights[count] = weights_load(c, lines, first);
        count += all || !vm_all(is_hard(z[count], y[count]));
    } while (++v < n);
    any_targets(c, count, z, y, weights, all ? results : any);
    for (v = 0, count = 0; v < n && !all; v++) {
        vm hard = hard_at(lines, i + v * VF_LANES);
        if (!vm_all(hard))
            results[v] = select_result(hard, results[v], any[count++]);
    }
}

/* Beside the results, sums had no registers left with AVX2. */
SOFTFOCUS_INLINE vd add_losses(vd sum, const real *losses, size_t n)
{
    for (size_t v = 0; v < n; v++)
        sum = vd_add(sum, vd_widen(vf_load(losses + v * VF_LANES)));
    return sum;
}

/* `form` and whether `grad` is NULL are constants. */
SOFTFOCUS_INLINE void hard_results_of(const struct constants *c, enum modulator_form form, const real *y, size_t n,
                                      const struct parts *parts, real *loss, real *grad, int streams)
{
    struct constants own = *c; /* which no store can change: they stay in registers */
    for (size_t v = 0; v < n; v++) {
        struct parts of = parts[v];
        if (form != MODULATOR_POWER)
            hard_modulator(&own, form, &of);
        struct result result = hard_result(&own, vf_load(y + v * VF_LANES), &of);
        vf_store(loss + v * VF_LANES, result.loss);
        if (grad && streams)
            vf_stream(grad + v * VF_LANES, result.grad);
        else if (grad)
            vf_store(grad + v * VF_LANES, result.grad);
    }
}

/* With the modulators in the same loop: 1.02 to 1.06 times as fast (AVX2, Zen 3). A power, with an exponential of its own,
   has one of its own (in the same 0.95 times, SSE). */
SOFTFOCUS_INLINE void hard_results(const struct constants *c, const real *y, size_t n, struct parts *parts, real *loss,
                                   real *grad, int streams)
{
    if (c->form == MODULATOR_ONE)
        hard_results_of(c, MODULATOR_ONE, y, n, parts, loss, grad, streams);
    else if (VF_HAS_FMA && c->form == MODULATOR_Q)
        hard_results_of(c, MODULATOR_Q, y, n, parts, loss, grad, streams);
    else if (VF_HAS_FMA && c->form == MODULATOR_Q_SQUARED)
        hard_results_of(c, MODULATOR_Q_SQUARED, y, n, parts, loss, grad, streams);
    else {
        hard_modulators(c, parts, n);
        hard_results_of(c, MODULATOR_POWER, y, n, parts, loss, grad, streams);
    }
}

/* Whole vectors in contiguous lines, from element i on; returns where they end. */
SOFTFOCUS_REGIME size_t stretch(const struct constants *c, const struct lines *lines, size_t i, int streams, vd *sum)
{
    struct parts parts[BLOCK];
    struct result results[BLOCK];
    real losses[BLOCK * VF_LANES];
    vd total = *sum;
    for (size_t n; (n = smaller((lines->count - i) / VF_LANES, BLOCK)) > 0; i += n * VF_LANES) {
        const real *z = lines->logits.data + i, *y = lines->targets.data + i;
        real *loss = lines->loss ? lines->loss + i : losses, *grad = lines->grad.data ? lines->grad.data + i : NULL;
        int in_double = c->wide || !some_hard(lines, i, n), hard = !in_double && hard_parts(z, y, n, parts);
        if (hard && !c->weighted) {
            if (grad)
                hard_results(c, y, n, parts, loss, grad, streams);
            else
                hard_results(c, y, n, parts, loss, NULL, 0);
        } else {
            if (!in_double) {
                hard_modulators(c, parts, n);
                weighted_results(c, lines, i, n, parts, results);
            }
            if (!hard)
                any_results(c, lines, i, n, in_double, results);
            for (size_t v = 0; v < n; v++) {
                vf_store(loss + v * VF_LANES, results[v].loss);
                if (grad)
                    vf_store(grad + v * VF_LANES, results[v].grad);
            }
        }
        if (!lines->loss)
            total = add_losses(total, losses, n);
    }
    *sum = total;
    return i;
}

SOFTFOCUS_INLINE vd work_run(const struct softfocus_sigmoid_focal_args *args, const struct constants *c, struct run run,
                             int streams, vd sum)
{
    struct lines lines = {.logits = line_at(args->logits, args->shape, run),
                          .targets = line_at(args->targets, args->shape, run),
                          .grad = {NULL, 1},
                          .loss = args->focal.loss ? args->focal.loss + run.position : NULL,
                          .count = run.count};
    if (args->grad.data)
        lines.grad = line_at(args->grad, args->shape, run);
    if (c->weighted)
        lines.weights = line_at(args->weight, args->shape, run);
    int plain = lines.logits.stride == 1 && lines.targets.stride == 1 && lines.grad.stride == 1 &&
                (!c->weighted || lines.weights.stride == 0 || lines.weights.stride == 1);
    size_t i = 0, head = plain && streams ? before_line(lines.grad.data, lines.count) : 0;
    while (i < lines.count) {
        if (plain && i >= head)
            i = stretch(c, &lines, i, streams, &sum);
        if (i >= lines.count)
            break;
        size_t lanes = smaller(VF_LANES, (i < head ? head : lines.count) - i);
        vf weight = c->weighted ? line_load(lines.weights, i, lanes) : vf_set1(1.0f);
        put(&lines, i, lanes, step(c, line_load(lines.logits, i, lanes), line_load(lines.targets, i, lanes), weight), &sum);
        i += lanes;
        if (i == head)
            sum = sums_from(sum, head);
    }
    return head > 0 ? sums_from(sum, VF_LANES - head % VF_LANES) : sum;
}

void SOFTFOCUS_INSTANCE(sigmoid_focal_loss)(const struct softfocus_sigmoid_focal_args *args,
                                            const struct softfocus_chunks *chunks, size_t first, size_t past, double *sums)
{
    struct constants c = constants_of(args);
    struct softfocus_shape lines = {args->shape.outer * args->shape.classes, 1, args->shape.inner};
    int streams = streams_to(&args->shape, args->logits, args->grad) && args->grad.data != args->targets.data;
    for (size_t chunk = first; chunk < past; chunk++) {
        size_t begin = chunk_begin(chunks, chunk), end = chunk_begin(chunks, chunk + 1);
        vd sum = vd_set1(0.0);
        while (begin < end) {
            struct run run = take_run(lines, &begin, end);
            sum = work_run(args, &c, run, streams, sum);
        }
        *sums++ = vd_reduce_add(sum);
    }
    if (streams)
        vf_stream_end();
}
