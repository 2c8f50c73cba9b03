/* Sigmoid focal loss with dense targets y, element by element. For y of 0 or 1, with x = s z (s = 2y - 1), q = sigmoid(-x)
 * and p = sigmoid(x):
 *     L = a q^gamma softplus(-x),   dL/dz = -s a q^gamma (q + gamma p softplus(-x)).
 * Both sides of x = 0 come from E = exp(-|x|) and log1p(E), so that nothing cancels at either end; p is never 1 - q.
 * This runs in float. Targets between 0 and 1 take torchvision's formula, in double, where a vector has one. */
#include "kernels/math.h"
#include "kernels/positions.h"

/* Past this gamma the float form of q^gamma, whose error grows with gamma, would break the bound: double for all. */
#define GAMMA_FLOAT 3.0

/* And past this scale (a normalizer below 1e-30) a float's range would be left on the way. */
#define SCALE_FLOAT 0x1p100

/* And below this alpha, or this scale, but for 0, they would lose digits, together or with weights. */
#define SMALL_FLOAT 0x1p-60

/* And from this |logit| on, which infinity is, too. */
#define LOGIT_FLOAT 0x1p60f

/* What all vectors of a call share.
 * A result is ((a * b) * q^gamma) * post, b the bracket: it may be small and comes scaled by 2^60, which post takes back
 * last, so that a result rounds once even where it is subnormal. With a scale above 1 (a normalizer below 1) a power of two
 * of it goes into post as well. */
struct constants {
    double gamma, alpha_positive, alpha_negative, scale;
    vf loss_positive, loss_negative, loss_post; /* a by target */
    vf grad_positive, grad_negative, grad_post;
    vf minus_gamma, minus_gamma_rest; /* together -gamma */
    int direct;        /* q^gamma is formed of q: gamma is 1 or 2, and there is FMA */
    int wide;          /* all in double */
    int weighted;      /* there are class weights */
};

static int loses_digits(double factor) { return factor > 0.0 && factor < SMALL_FLOAT; }

static struct constants constants_of(const struct softfocus_sigmoid_focal_args *args)
{
    struct constants c = {.gamma = args->focal.gamma,
                          .alpha_positive = args->alpha_positive,
                          .alpha_negative = args->alpha_negative,
                          .scale = args->focal.scale};
    double power = 1.0;
    while (power < c.scale && power < SCALE_FLOAT)
        power *= 2.0;
    c.loss_positive = vf_set1((float)c.alpha_positive);
    c.loss_negative = vf_set1((float)c.alpha_negative);
    c.loss_post = vf_set1((float)EXP_SCALE_INVERSE);
    c.grad_positive = vf_set1((float)(-c.alpha_positive * c.scale / power));
    c.grad_negative = vf_set1((float)(c.alpha_negative * c.scale / power));
    c.grad_post = vf_set1((float)(power * EXP_SCALE_INVERSE));
    float gamma = (float)c.gamma;
    c.minus_gamma = vf_set1(-gamma);
    c.minus_gamma_rest = vf_set1((float)((double)gamma - c.gamma));
    c.direct = VF_HAS_FMA && (c.gamma == 1.0 || c.gamma == 2.0);
    c.wide = c.gamma > GAMMA_FLOAT || c.scale > SCALE_FLOAT || loses_digits(c.scale) || loses_digits(c.alpha_positive) ||
             loses_digits(c.alpha_negative);
    c.weighted = args->weight.data != NULL;
    return c;
}

struct result {
    vf loss, grad;
};

/* q^gamma = exp(-gamma (max(x, 0) + log1p(E))), with the exponent as high + low: 1.2 ulp or so, where powers of a float q
   have gamma times its error; for gammas that direct_modulator has not, or without FMA. Past 128 the result is 0 whatever x
   is. */
SOFTFOCUS_INLINE vf modulate(const struct constants *c, vf x, vf log)
{
    vf above = vf_max(vf_set1(0.0f), x);
    vf softplus = vf_add(above, log);
    vf rest = vf_sub(vf_min(above, log), vf_sub(softplus, vf_max(above, log)));
    vf high = vf_mul(c->minus_gamma, softplus);
    vf low = vf_mul_add(c->minus_gamma, rest, product_rest(c->minus_gamma, softplus, high));
    low = vf_mul_add(c->minus_gamma_rest, softplus, low);
    vf power = vf_mul(exp_of_negative(high), vf_set1((float)EXP_SCALE_INVERSE));
    return vf_mul_add(power, low, power);
}

/* The steps of the form for y of 0 or 1, each with what it waits for from the one before. */
SOFTFOCUS_INLINE vf margin(vf z, vm positive) { return vf_select(positive, z, vf_sub(vf_set1(0.0f), z)); } /* x */
SOFTFOCUS_INLINE vm is_positive(vf y) { return vf_equal(y, vf_set1(1.0f)); }
SOFTFOCUS_INLINE vm is_easy(vf z, vm positive) { return vm_xor(vf_less(z, vf_set1(0.0f)), positive); } /* x > 0; at 0 both sides meet */
SOFTFOCUS_INLINE vf unscale(vf e_scaled) { return vf_mul(e_scaled, vf_set1((float)EXP_SCALE_INVERSE)); }

/* What the results are formed of. */
struct parts {
    vf e_scaled, e_low; /* 2^60 E, and with `direct` what its rounding left out */
    vf log_scaled;      /* 2^60 log1p(E); before that log1p(E) / E - 1 */
    vf inverse;         /* 1 / (1 + E) */
    vf modulator;       /* q^gamma */
};

SOFTFOCUS_INLINE void hard_exp(const struct constants *c, vf z, struct parts *parts)
{
    parts->e_scaled = exp_of_negative_low(vf_sub(vf_set1(0.0f), vf_abs(z)), c->direct ? &parts->e_low : NULL);
}

SOFTFOCUS_INLINE void hard_excess(struct parts *parts) { parts->log_scaled = log1p_excess(unscale(parts->e_scaled)); }

/* q or q^2, from q as high + low, which takes fewer operations: to half an ulp, or one, and what E's error, its last
   rounding left out, adds. `error` is what 1 / (1 + E) lacks, relative to it. */
SOFTFOCUS_INLINE void direct_modulator(const struct constants *c, vm easy, struct parts *parts)
{
    vf zero = vf_set1(0.0f), one = vf_set1(1.0f), e = unscale(parts->e_scaled), e_low = unscale(parts->e_low);
    vf d = vf_add(one, e), d_low = vf_add(vf_add(vf_sub(one, d), e), e_low);
    vf inverse = vf_div(one, d);
    vf error = vf_neg_mul_add(d_low, inverse, vf_neg_mul_add(d, inverse, one));
    vf n = vf_select(easy, e, one), n_low = vf_select(easy, e_low, zero);
    vf q = vf_mul(n, inverse), minus_low = vf_neg_mul_add(n, inverse, q);
    minus_low = vf_neg_mul_add(q, error, vf_neg_mul_add(n_low, inverse, minus_low));
    parts->inverse = inverse;
    parts->modulator = c->gamma == 1.0 ? vf_sub(q, minus_low) : vf_mul(q, vf_neg_mul_add(minus_low, vf_set1(2.0f), q));
}

SOFTFOCUS_INLINE void hard_modulator(const struct constants *c, vf z, vf y, struct parts *parts)
{
    vm positive = is_positive(y);
    vf excess = parts->log_scaled;
    if (c->direct) {
        parts->log_scaled = vf_add(parts->e_scaled, vf_mul_add(parts->e_scaled, excess, parts->e_low));
        direct_modulator(c, is_easy(z, positive), parts);
        return;
    }
    vf one = vf_set1(1.0f);
    parts->log_scaled = vf_mul_add(parts->e_scaled, excess, parts->e_scaled);
    parts->inverse = vf_div(one, vf_add(one, unscale(parts->e_scaled)));
    parts->modulator = c->gamma == 0.0 ? one : modulate(c, margin(z, positive), unscale(parts->log_scaled));
}

/* The results. A class weight goes into a up to 1, into post from there on. `plain`, a constant: there are no class weights.
 */
SOFTFOCUS_INLINE struct result hard_result(const struct constants *c, vf z, vf y, vf weight, const struct parts *parts,
                                           int plain)
{
    vf one = vf_set1(1.0f), scale = vf_set1(EXP_SCALE), inverse = parts->inverse, modulator = parts->modulator;
    vm positive = is_positive(y), easy = is_easy(z, positive);

    vf loss_alpha = vf_select(positive, c->loss_positive, c->loss_negative), loss_post = c->loss_post;
    vf grad_alpha = vf_select(positive, c->grad_positive, c->grad_negative), grad_post = c->grad_post;
    if (!plain && c->weighted) {
        vf weight_low = vf_min(one, weight), weight_high = vf_max(one, weight);
        loss_alpha = vf_mul(loss_alpha, weight_low);
        loss_post = vf_mul(loss_post, weight_high);
        grad_alpha = vf_mul(grad_alpha, weight_low);
        grad_post = vf_mul(grad_post, weight_high);
    }

    struct result result;
    vf softplus = vf_select(easy, parts->log_scaled, vf_mul_add(vf_abs(z), scale, parts->log_scaled));
    result.loss = vf_mul(vf_mul(vf_mul(loss_alpha, softplus), modulator), loss_post);

    vf of_one = vf_mul(scale, inverse), of_e = vf_mul(parts->e_scaled, inverse);
    vf p = vf_select(easy, of_one, of_e), q = vf_select(easy, of_e, of_one);
    vf bracket = vf_mul_add(vf_mul(vf_set1((float)(c->gamma * EXP_SCALE_INVERSE)), p), softplus, q);
    result.grad = vf_mul(vf_mul(vf_mul(grad_alpha, bracket), modulator), grad_post);
    return result;
}

SOFTFOCUS_INLINE struct result hard_targets(const struct constants *c, vf z, vf y, vf weight)
{
    struct parts parts;
    hard_exp(c, z, &parts);
    hard_excess(&parts);
    hard_modulator(c, z, y, &parts);
    return hard_result(c, z, y, weight, &parts, 0);
}

/* Any y, with v = 1 - p_t = p (1 - y) + q y and ce = (1 - y) softplus(z) + y softplus(-z):
 *     L = a v^gamma ce,   dL/dz = a v^gamma ((p - y) + gamma (p q / v)(1 - 2y) ce),   a = alpha y + (1 - alpha)(1 - y).
 * p - y is p (1 - y) - q y, which does not cancel at either end. */
SOFTFOCUS_SHARED struct result any_targets(const struct constants *c, vf logit, vf target, vf weight)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0);
    vd z = vd_widen(logit), y = vd_widen(target), not_y = vd_sub(one, y);
    vd above = vd_max(zero, z), below = vd_max(zero, vd_sub(zero, z));
    vd e = vd_exp(vd_sub(zero, vd_add(above, below))), log = vd_log1p(e);
    vd inverse = vd_div(one, vd_add(one, e)), other = vd_mul(e, inverse);
    vd p = vd_select_less(z, zero, other, inverse), q = vd_select_less(z, zero, inverse, other);

    vd v = vd_add(vd_mul(p, not_y), vd_mul(q, y));
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
    result.loss = vd_narrow(vd_select_less(vd_set1(0x1p800), magnitude, infinite, vd_mul(weighted, ce)));
    vd tiny = vd_set1(0x1p-1000), minus_tiny = vd_set1(-0x1p-1000); /* v < 0 where y is not of [0, 1] */
    vd quotient = vd_div(vd_mul(p, q), vd_select_less(v, zero, vd_min(minus_tiny, v), vd_max(tiny, v)));
    vd slope = vd_mul(vd_mul(vd_set1(c->gamma), quotient), vd_mul(vd_sub(not_y, y), ce));
    result.grad = vd_narrow(vd_mul(vd_mul(weighted, vd_set1(c->scale)), vd_add(vd_sub(vd_mul(p, not_y), vd_mul(q, y)), slope)));
    return result;
}

/* Whether the form for y of 0 or 1 is right: for logits that are not too large, nor NaN. */
SOFTFOCUS_INLINE vm is_hard(vf z, vf y)
{
    vm hard = vm_or(vf_equal(y, vf_set1(1.0f)), vf_equal(y, vf_set1(0.0f)));
    return vm_and(hard, vf_less(vf_abs(z), vf_set1(LOGIT_FLOAT)));
}

SOFTFOCUS_INLINE int all_hard(vf z, vf y) { return !vm_any(vm_and_not(vm_first(VF_LANES), is_hard(z, y))); }

SOFTFOCUS_INLINE struct result step(const struct constants *c, vf z, vf y, vf weight)
{
    if (c->wide)
        return any_targets(c, z, y, weight);
    struct result result = hard_targets(c, z, y, weight);
    if (!all_hard(z, y)) {
        struct result any = any_targets(c, z, y, weight);
        result.loss = vf_select(is_hard(z, y), result.loss, any.loss);
        result.grad = vf_select(is_hard(z, y), result.grad, any.grad);
    }
    return result;
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
    struct line logits, targets, weights, grad;
    real *loss; /* or NULL: the sum is wanted */
    size_t count;
    int streams; /* gradients go past the caches, where a vector of them is aligned */
};

SOFTFOCUS_INLINE void put(const struct lines *lines, size_t i, size_t lanes, struct result result, int gradient, vd *sum)
{
    if (gradient && lines->streams && (uintptr_t)(lines->grad.data + i) % sizeof(vf) == 0)
        vf_stream(lines->grad.data + i, result.grad);
    else if (gradient)
        line_store(lines->grad, i, result.grad, lanes);
    if (lines->loss)
        line_store((struct line){lines->loss, 1}, i, result.loss, lanes);
    else
        *sum = vd_add(*sum, vd_widen(vf_keep(vm_first(lanes), result.loss)));
}

/* Whole vectors of hard targets in contiguous lines, from element i on; returns where they end. Step by step over a block,
   whose values stay in the L1 cache: from z to the results is a chain of some 200 cycles, of which a CPU can overlap two or
   three when it takes one vector after the other. Without the call of the other form in it, constants stay in registers. */
enum { HARD_BLOCK = 16 };

SOFTFOCUS_INLINE size_t hard_stretch(const struct constants *c, const struct lines *lines, size_t i, int gradient, vd *sum)
{
    struct parts parts[HARD_BLOCK];
    for (;;) {
        const real *z = lines->logits.data + i, *y = lines->targets.data + i;
        size_t n = 0, whole = smaller((lines->count - i) / VF_LANES, HARD_BLOCK);
        while (n < whole && all_hard(vf_load(z + n * VF_LANES), vf_load(y + n * VF_LANES)))
            n++;
        for (size_t v = 0; v < n; v++)
            hard_exp(c, vf_load(z + v * VF_LANES), &parts[v]);
        for (size_t v = 0; v < n; v++)
            hard_excess(&parts[v]);
        for (size_t v = 0; v < n; v++)
            hard_modulator(c, vf_load(z + v * VF_LANES), vf_load(y + v * VF_LANES), &parts[v]);
        for (size_t v = 0; v < n; v++)
            put(lines, i + v * VF_LANES, VF_LANES,
                hard_result(c, vf_load(z + v * VF_LANES), vf_load(y + v * VF_LANES), vf_set1(1.0f), &parts[v], 1), gradient, sum);
        i += n * VF_LANES;
        if (n < HARD_BLOCK)
            return i;
    }
}

/* `gradient` is a constant. */
SOFTFOCUS_INLINE vd work_run(const struct softfocus_sigmoid_focal_args *args, const struct constants *c, struct run run,
                             int gradient, int streams, vd sum)
{
    struct lines lines = {.logits = line_at(args->logits, args->shape, run),
                          .targets = line_at(args->targets, args->shape, run),
                          .grad = {NULL, 1},
                          .loss = args->focal.loss ? args->focal.loss + run.position : NULL,
                          .count = run.count,
                          .streams = 0};
    if (gradient)
        lines.grad = line_at(args->grad, args->shape, run);
    if (c->weighted)
        lines.weights = line_at(args->weight, args->shape, run);
    int plain = !c->wide && !c->weighted && lines.logits.stride == 1 &&
                lines.targets.stride == 1 && lines.grad.stride == 1;
    size_t i = 0, head = plain && streams ? before_line(lines.grad.data, lines.count) : 0;
    while (i < lines.count) {
        if (plain && i >= head) {
            lines.streams = streams;
            i = hard_stretch(c, &lines, i, gradient, &sum);
            lines.streams = 0;
        }
        if (i >= lines.count)
            break;
        size_t lanes = smaller(VF_LANES, (i < head ? head : lines.count) - i);
        vf weight = c->weighted ? line_load(lines.weights, i, lanes) : vf_set1(1.0f);
        put(&lines, i, lanes, step(c, line_load(lines.logits, i, lanes), line_load(lines.targets, i, lanes), weight),
            gradient, &sum);
        i += lanes;
        if (i == head)
            sum = sums_from(sum, head);
    }
    return head > 0 ? sums_from(sum, VF_LANES - head % VF_LANES) : sum;
}

double SOFTFOCUS_INSTANCE(sigmoid_focal_loss)(const struct softfocus_sigmoid_focal_args *args, size_t begin, size_t end)
{
    struct constants c = constants_of(args);
    struct softfocus_shape lines = {args->shape.outer * args->shape.classes, 1, args->shape.inner};
    int streams = streams_to(&args->shape, args->logits, args->grad) && args->grad.data != args->targets.data;
    vd sum = vd_set1(0.0);
    while (begin < end) {
        struct run run = take_run(lines, &begin, end);
        sum = args->grad.data ? work_run(args, &c, run, 1, streams, sum) : work_run(args, &c, run, 0, 0, sum);
    }
    if (streams)
        vf_stream_end();
    return vd_reduce_add(sum);
}
