/* Values at the ends of what a caller may pass, where float arithmetic runs out: targets outside [0, 1], an alpha or a
 * probability below what a float has, a gamma past what it has. "sigmoid_focal_loss/avx2/targets_outside" and so on. */
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MOST = 320 }; /* elements: rows by themselves, whichever the ISA */

static void expect_near(const char *what, size_t index, float got, double expected, double bound)
{
    if (!(fabs((double)got - expected) <= bound))
        softfocus_test_fail("%s %zu: got %.9g, expected %.17g within %.3g", what, index, (double)got, expected, bound);
}

/* ---- Sigmoid focal loss */

struct sigmoid {
    float logits[MOST], targets[MOST], loss[MOST], grad[MOST];
    size_t count;
};

static void sigmoid_focal_loss(const softfocus_test *test, struct sigmoid *s, double gamma, double alpha)
{
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    options.reduction = SOFTFOCUS_NONE;
    options.gamma = gamma;
    options.alpha = alpha;
    softfocus_tensor logits = softfocus_tensor_contiguous_const(s->logits, SOFTFOCUS_F32, 1, s->count, 1);
    softfocus_tensor grad = softfocus_tensor_contiguous(s->grad, SOFTFOCUS_F32, 1, s->count, 1);
    softfocus_targets targets =
        softfocus_dense_targets(softfocus_tensor_contiguous_const(s->targets, SOFTFOCUS_F32, 1, s->count, 1));
    softfocus_test_expect_ok(softfocus_sigmoid_focal_loss(&context, &logits, &targets, &options, s->loss, &grad));
}

/* The formula's, gamma 2. A target that rounding has left just above 1 must not divide by 1 - p_t below 0 as if it were 0.
 */
static void targets_outside(const softfocus_test *test)
{
    static const float targets[] = {1.0f + 0x1p-23f, 1.5f, -1.0f, -0x1p-20f}, logits[] = {20.0f, 2.0f, -2.0f, 0.5f, -30.0f};
    static const double alphas[] = {0.25, -1.0};
    struct sigmoid s = {.count = COUNT(targets) * COUNT(logits)};
    for (size_t e = 0; e < s.count; e++) {
        s.targets[e] = targets[e % COUNT(targets)];
        s.logits[e] = logits[e / COUNT(targets)];
    }
    for (size_t a = 0; a < COUNT(alphas); a++) {
        sigmoid_focal_loss(test, &s, 2.0, alphas[a]);
        for (size_t e = 0; e < s.count; e++) {
            double z = (double)s.logits[e], y = (double)s.targets[e], p = 1.0 / (1.0 + exp(-z)), q = 1.0 / (1.0 + exp(z));
            double ce = (1.0 - y) * (fmax(z, 0.0) + log1p(exp(-fabs(z)))) + y * (fmax(-z, 0.0) + log1p(exp(-fabs(z))));
            double v = p * (1.0 - y) + q * y, alpha = alphas[a] < 0.0 ? 1.0 : alphas[a] * y + (1.0 - alphas[a]) * (1.0 - y);
            double size = fabs(alpha) * v * v, slope = 2.0 * p * q / v * (1.0 - 2.0 * y) * ce;
            expect_near("loss", e, s.loss[e], alpha * v * v * ce, 1e-5 * size * fabs(ce));
            expect_near("gradient", e, s.grad[e], alpha * v * v * (p - y + slope),
                        1e-5 * size * (fabs(p - y) + fabs(slope)));
        }
    }
}

/* A float of such an alpha has few digits, or none. */
static void small_alpha(const softfocus_test *test)
{
    static const double alphas[] = {1e-40, 1e-44, 1e-46};
    struct sigmoid s = {.count = 40};
    for (size_t a = 0; a < COUNT(alphas); a++) {
        for (size_t e = 0; e < s.count; e++) {
            s.targets[e] = 1.0f;
            s.logits[e] = -0x1p33f * (float)(e + 1);
        }
        sigmoid_focal_loss(test, &s, 2.0, alphas[a]);
        for (size_t e = 0; e < s.count; e++) {
            double loss = -(double)s.logits[e] * alphas[a];
            expect_near("loss", e, s.loss[e], loss, 5.0 * 0x1p-24 * loss + 0x1p-149);
        }
    }
}

/* Where all is done in double: p - 1 would cancel at y = 1, and is 0 from z = 37 on. */
static void easy_in_double(const softfocus_test *test)
{
    static const double gammas[] = {0.0, 3.1}, alphas[] = {1e-19, 0.25};
    struct sigmoid s = {.count = 40};
    for (size_t way = 0; way < COUNT(gammas); way++) {
        double gamma = gammas[way], alpha = alphas[way];
        for (size_t e = 0; e < s.count; e++) {
            s.targets[e] = 1.0f;
            s.logits[e] = (way == 0 ? 1.25f : 0.25f) * (float)e;
        }
        sigmoid_focal_loss(test, &s, gamma, alpha);
        for (size_t e = 0; e < s.count; e++) {
            double z = (double)s.logits[e], q = 1.0 / (1.0 + exp(z)), loss = log1p(exp(-z));
            double grad = -alpha * pow(q, gamma) * (q + gamma * (1.0 - q) * loss);
            expect_near("gradient", e, s.grad[e], grad, 6.5 * 0x1p-23 * fabs(grad) + 6.5 * 0x1p-149);
        }
    }
}

/* Targets of 0 and 1 have the same results, whatever those of their neighbours are. */
static void neighbours(const softfocus_test *test)
{
    static const struct {
        size_t first, every; /* targets between them: the first ones, and one of so many */
    } cases[] = {{1, MOST}, {16, MOST}, {17, MOST}, {200, MOST}, {303, MOST}, {0, 2}, {0, 17}, {0, 40}};
    struct sigmoid hard = {.count = MOST}, soft = {.count = MOST};
    for (size_t k = 0; k < COUNT(cases); k++) {
        for (size_t e = 0; e < MOST; e++) {
            hard.logits[e] = soft.logits[e] = 0.037f * (float)e - 5.0f;
            hard.targets[e] = soft.targets[e] = (float)(e % 3 == 0);
            if (e < cases[k].first || e % cases[k].every == 0)
                soft.targets[e] = 0.3f;
        }
        sigmoid_focal_loss(test, &hard, 2.0, 0.25);
        sigmoid_focal_loss(test, &soft, 2.0, 0.25);
        for (size_t e = 0; e < MOST; e++)
            if (soft.targets[e] == hard.targets[e] &&
                (memcmp(&soft.loss[e], &hard.loss[e], sizeof hard.loss[e]) != 0 ||
                 memcmp(&soft.grad[e], &hard.grad[e], sizeof hard.grad[e]) != 0))
                softfocus_test_fail("case %zu, element %zu: %.9g and %.9g, by itself %.9g and %.9g", k, e,
                                    (double)soft.loss[e], (double)soft.grad[e], (double)hard.loss[e], (double)hard.grad[e]);
    }
}

/* The limits: only a factor of 0 makes less of infinity, and its sign is the factor's. */
static void infinite_logits(const softfocus_test *test)
{
    static const struct {
        float z, y;
        double gamma, alpha, loss;
    } cases[] = {{-INFINITY, 2.0f, 2.0, 0.25, -INFINITY}, {INFINITY, -1.0f, 0.0, 0.75, -INFINITY},
                 {INFINITY, 0.5f, 2048.0, 0.25, INFINITY}, {-INFINITY, 0.5f, 1100.0, 0.25, INFINITY},
                 {INFINITY, 1.0f, 2.0, 0.25, 0.0},        {-INFINITY, 1.0f, 2.0, 0.25, INFINITY},
                 {-INFINITY, 1.0f, 2.0, 0.0, 0.0},        {INFINITY, 0.0f, 2.0, 1.0, 0.0}};
    for (size_t k = 0; k < COUNT(cases); k++) {
        struct sigmoid s = {.logits = {cases[k].z}, .targets = {cases[k].y}, .count = 1};
        sigmoid_focal_loss(test, &s, cases[k].gamma, cases[k].alpha);
        if ((double)s.loss[0] != cases[k].loss)
            softfocus_test_fail("case %zu: loss %g, expected %g", k, (double)s.loss[0], cases[k].loss);
    }
}

/* (1 - p_t)^2.5 of a number below 0: NaN by the formula, and the same one in each lane. */
static void powers_below_zero(const softfocus_test *test)
{
    struct sigmoid s = {.count = 37};
    uint32_t bits[MOST];
    for (size_t e = 0; e < s.count; e++) {
        s.targets[e] = 1.5f;
        s.logits[e] = 2.0f;
    }
    sigmoid_focal_loss(test, &s, 2.5, 0.25);
    memcpy(bits, s.loss, sizeof bits);
    for (size_t e = 0; e < s.count; e++)
        if (!isnan(s.loss[e]) || !isnan(s.grad[e]) || bits[e] != bits[0])
            softfocus_test_fail("element %zu: %#lx, and %#lx of the first", e, (unsigned long)bits[e],
                                (unsigned long)bits[0]);
}

/* Together they make a usual gradient of a scale that a float has no digits for. */
static void large_normalizer(const softfocus_test *test)
{
    float logits[MOST] = {0.0f}, targets[MOST], grad[MOST], weights[MOST], loss;
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    for (size_t e = 0; e < MOST; e++) {
        targets[e] = 1.0f;
        weights[e] = 0x1p30f;
    }
    options.gamma = 0.0;
    options.alpha = 0.3;
    options.class_weight = weights;
    options.normalizer = 0x1p140;
    softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 1, MOST, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 1, MOST, 1);
    softfocus_targets t = softfocus_dense_targets(softfocus_tensor_contiguous_const(targets, SOFTFOCUS_F32, 1, MOST, 1));
    softfocus_test_expect_ok(softfocus_sigmoid_focal_loss(&context, &z, &t, &options, &loss, &g));
    for (size_t e = 0; e < MOST; e++)
        expect_near("gradient", e, grad[e], -0.15 * 0x1p-110, 7.5 * 0x1p-24 * 0.15 * 0x1p-110);
}

/* A gradient of an easy element by such a normalizer is a usual number, while q^gamma is below what a float has. In the last
   case alpha alone is. */
static void small_normalizer(const softfocus_test *test)
{
    static const struct {
        double normalizer, gamma, alpha, logit;
    } cases[] = {{1e-13, 2.0, 0.25, 20.0}, {1e-22, 2.0, 0.25, 40.0}, {1e-30, 1.0, 0.25, 85.0},
                 {1e-30, 2.0, 0.25, 42.0}, {1e-30, 3.0, 0.25, 28.0}, {1e-8, 2.0, 1e-25, -2.0}};
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    for (size_t k = 0; k < COUNT(cases); k++) {
        float logits[MOST], targets[MOST], grad[MOST], loss;
        double gamma = cases[k].gamma, alpha = cases[k].alpha, sum = 0.0;
        for (size_t e = 0; e < MOST; e++) {
            targets[e] = 1.0f;
            logits[e] = (float)(cases[k].logit + 0.01 * (double)e);
        }
        options.gamma = gamma;
        options.alpha = alpha;
        options.normalizer = cases[k].normalizer;
        softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 1, MOST, 1);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 1, MOST, 1);
        softfocus_targets t = softfocus_dense_targets(softfocus_tensor_contiguous_const(targets, SOFTFOCUS_F32, 1, MOST, 1));
        softfocus_test_expect_ok(softfocus_sigmoid_focal_loss(&context, &z, &t, &options, &loss, &g));
        for (size_t e = 0; e < MOST; e++) {
            double x = (double)logits[e], q = 1.0 / (1.0 + exp(x)), softplus = fmax(-x, 0.0) + log1p(exp(-fabs(x)));
            double factor = alpha * pow(q, gamma) / cases[k].normalizer,
                   expected = factor * (q + gamma * (1.0 - q) * softplus);
            expect_near("gradient", e, grad[e], -expected, 6.5 * 0x1p-23 * expected + 6.5 * 0x1p-149);
            sum += factor * softplus;
        }
        if (sum * cases[k].normalizer > FLT_MIN) /* or it is of losses that a float has not */
            expect_near("mean of case", k, loss, sum, 5.0 * 0x1p-23 * sum + 0x1p-149);
    }
}

/* ---- Softmax focal loss */

/* Its gradient has gamma times what u^gamma makes 0. */
static void extreme_gamma(const softfocus_test *test)
{
    float logits[2 * MOST], grad[2 * MOST], loss[2];
    int32_t index[2] = {0, 1};
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I32);
    options.reduction = SOFTFOCUS_NONE;
    options.gamma = DBL_MAX;
    for (size_t classes = 2; classes <= MOST; classes += MOST - 2) {
        softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 2, classes, 1);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 2, classes, 1);
        memset(logits, 0, sizeof logits);
        logits[0] = logits[classes + 1] = 25.0f;
        softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &z, &targets, &options, loss, &g));
        for (size_t e = 0; e < 2 * classes; e++)
            expect_near("gradient", e, grad[e], 0.0, 0.0);
    }
}

/* A target at -inf has an infinite loss and a gradient of -1, whatever the others' sum is rounded to, and whatever gamma. */
static void impossible_targets(const softfocus_test *test)
{
    enum { POSITIONS = 33 };
    static const double gammas[] = {0.5, 2.0, 1e9, 1e18, DBL_MAX};
    float logits[POSITIONS * 40], grad[POSITIONS * 40], loss[POSITIONS];
    int32_t index[POSITIONS];
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I32);
    options.reduction = SOFTFOCUS_NONE;
    options.alpha = -1.0;
    for (size_t k = 0; k < 2 * 39 * COUNT(gammas); k++) {
        size_t classes = 2 + k / 2 % 39, inner = k % 2 ? POSITIONS : 1;
        softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, POSITIONS / inner, classes, inner);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, POSITIONS / inner, classes, inner);
        options.gamma = gammas[k / (2 * 39)];
        for (size_t i = 0; i < POSITIONS; i++)
            index[i] = (int32_t)(i % classes);
        for (size_t i = 0; i < POSITIONS; i++)
            for (size_t c = 0; c < classes; c++)
                logits[inner == 1 ? i * classes + c : c * POSITIONS + i] =
                    c == (size_t)index[i] ? -INFINITY : 0.37f * (float)((c + i) % 11);
        softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &z, &targets, &options, loss, &g));
        for (size_t i = 0; i < POSITIONS; i++) {
            size_t c = (size_t)index[i], e = inner == 1 ? i * classes + c : c * POSITIONS + i;
            if (loss[i] != INFINITY)
                softfocus_test_fail("gamma %g, %zu classes: loss %zu is %g", options.gamma, classes, i, (double)loss[i]);
            expect_near("gradient", e, grad[e], -1.0, 0.0);
        }
    }
}

/* A NaN at the target, which no sum has, makes a search for the maximum forget what came before it in its lane; and exp
   of a logit so far above the maximum that was found makes anything of it, negative numbers included. */
static void nan_at_target(const softfocus_test *test)
{
    static const size_t places[] = {19, 35, 67, 83}; /* in the lane of the third, whatever the number of lanes */
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    float logits[MOST], grad[MOST], loss;
    options.reduction = SOFTFOCUS_NONE;
    for (size_t classes = 50; classes <= MOST; classes += 50)
        for (size_t place = 0; place < COUNT(places) && places[place] < classes; place++)
            for (double top = 30.0; top < 30000.0; top *= 1.07) {
                softfocus_tensor in = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 1, classes, 1);
                softfocus_tensor out = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 1, classes, 1);
                int64_t target = (int64_t)places[place];
                softfocus_targets targets = softfocus_index_targets(&target, SOFTFOCUS_I64);
                for (size_t c = 0; c < classes; c++)
                    logits[c] = 0.125f * (float)(c % 16);
                logits[3] = (float)top;
                logits[places[place]] = NAN;
                softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &in, &targets, &options, &loss, &out));
                for (size_t c = 0; c < classes; c++)
                    if (!isnan(grad[c]) || !isnan(loss))
                        softfocus_test_fail("%zu classes, NaN at %zu, %g: gradient %zu is %g, the loss %g", classes,
                                            places[place], top, c, (double)grad[c], (double)loss);
            }
}

/* The factor of exponentials is past 1, although those are scaled by 2^60; and below what has a float's digits. */
static void extreme_weights(const softfocus_test *test)
{
    enum { POSITIONS = 20 };
    static const float weights[] = {0.0f, 0x1p-140f, 0x1p-60f, 0x1p59f, 0x1p63f, 0x1p66f, 0x1p90f, 0x1p125f};
    static const size_t counts[] = {2, 16, 60};
    float logits[POSITIONS * 60] = {0}, grad[POSITIONS * 60], loss[POSITIONS], weight[60];
    int32_t index[POSITIONS];
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I32);
    options.reduction = SOFTFOCUS_NONE;
    options.gamma = 0.0;
    options.alpha = -1.0;
    options.class_weight = weight;
    for (size_t k = 0; k < 2 * COUNT(counts) * (COUNT(weights) + 1); k++) {
        size_t classes = counts[k / 2 % COUNT(counts)], which = k / 2 / COUNT(counts), inner = k % 2 ? POSITIONS : 1;
        softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, POSITIONS / inner, classes, inner);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, POSITIONS / inner, classes, inner);
        for (size_t c = 0; c < classes; c++)
            weight[c] = weights[(which < COUNT(weights) ? which : c) % COUNT(weights)]; /* all the same, or any beside any */
        for (size_t i = 0; i < POSITIONS; i++)
            index[i] = (int32_t)(7 * i % classes);
        softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &z, &targets, &options, loss, &g));
        for (size_t i = 0; i < POSITIONS; i++)
            for (size_t c = 0; c < classes; c++) {
                double p = 1.0 / (double)classes, part = (size_t)index[i] == c ? p - 1.0 : p;
                double expected = (double)weight[index[i]] * part;
                size_t e = inner == 1 ? i * classes + c : c * POSITIONS + i;
                expect_near("gradient", e, grad[e], expected, 4.0 * 0x1p-24 * fabs(expected) + 0x1p-149);
            }
    }
}

/* All classes but one at -inf, or but that one and one that is `gap` below it: its log-probability is -log1p(exp(-gap)), and
   0 where that is below any float, however many are masked. */
static void masked_classes(const softfocus_test *test)
{
    static const size_t shapes[][2] = {{2, 1},  {19, 1},   {91, 1},  {129, 1},  {1000, 1}, {150000, 1},
                                       {2, 50}, {19, 100}, {80, 33}, {150, 40}, {600, 17}};
    static const float maxima[] = {0.0f, 3.25f, -20.0f, 40000.0f};
    static const float gaps[] = {INFINITY, 30.0f, 87.0f, 95.0f, 100.0f, 103.0f, 105.0f, 126.5f, 130.0f};
    softfocus_context context = softfocus_test_context(test->isa);
    for (size_t s = 0; s < COUNT(shapes); s++) {
        size_t classes = shapes[s][0], inner = shapes[s][1], outer = inner == 1 && classes < 1000 ? 20 : 2;
        size_t size = outer * classes * inner;
        float *logits = malloc(2 * size * sizeof *logits), *log_probs = logits + size;
        softfocus_tensor in = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, outer, classes, inner);
        softfocus_tensor out = softfocus_tensor_contiguous(log_probs, SOFTFOCUS_F32, outer, classes, inner);
        size_t step = classes < 10000 ? 1 : 5;
        for (size_t round = 0; round < COUNT(maxima) * COUNT(gaps); round += step) {
            for (size_t e = 0; e < size; e++)
                logits[e] = -INFINITY;
            for (size_t i = 0; i < outer * inner; i++) {
                float *position = logits + i / inner * classes * inner + i % inner;
                float max = maxima[(round + i) % COUNT(maxima)];
                position[(7 * i + round + 1) % classes * inner] = max - gaps[round / COUNT(maxima)];
                position[(7 * i + round) % classes * inner] = max;
            }
            softfocus_test_expect_ok(softfocus_log_softmax(&context, &in, &out));
            for (size_t i = 0; i < outer * inner; i++) {
                size_t first = i / inner * classes * inner + i % inner, top = first + (7 * i + round) % classes * inner;
                size_t next = first + (7 * i + round + 1) % classes * inner;
                double expected = -log1p(exp((double)logits[next] - (double)logits[top]));
                expect_near("log-probability", top, log_probs[top], expected,
                            fabs(expected) < 0x1p-150 ? fabs(expected) : 3.0 * 0x1p-23 * fabs(expected) + 0x1p-149);
                if (logits[next] == -INFINITY ? log_probs[next] != -INFINITY : !isfinite(log_probs[next]))
                    softfocus_test_fail("log-probability %zu is %g", next, (double)log_probs[next]);
            }
        }
        free(logits);
    }
}

/* ---- Many classes, whose exponentials are relative to a guess: the largest of the first logits */

enum { FIRST = 12, GUESS_CLASSES = 340, GUESS_POSITIONS = 37, GUESS_MOST = 2 * GUESS_CLASSES * GUESS_POSITIONS };

/* A position's logits: usual ones, every third of which is halfway between multiples of ln2, so that the next one may
   depend on the base; the first of which are lower by `low`; and two above all. */
static void set_logits(float *z, size_t classes, size_t inner, size_t i, float low, float top)
{
    float *position = z + i / inner * classes * inner + i % inner;
    for (size_t c = 0; c < classes; c++) {
        size_t number = (5 * c + 3 * i) % 23;
        position[c * inner] = c % 3 ? 0.25f * (float)number : (float)(((double)(number % 8) + 0.5) * 0.6931471805599453);
        position[c * inner] -= c < FIRST ? low : 0.0f;
    }
    position[(FIRST + 7 * i) % classes * inner] += top;
    position[(38 + 7 * i) % classes * inner] += top - 1.0f;
}

/* All positions by what makes a guess bad, or those of odd numbers by nothing. */
static void set_all_logits(float *z, size_t outer, size_t classes, size_t inner, int every)
{
    static const float lows[] = {0.0f, 30.0f, 33.0f, 60.0f, 150.0f, 1e6f, INFINITY, -32740.0f};
    static const float tops[] = {0.0f,   34.0f,  36.0f,  40.0f,    48.0f,    54.0f,    84.0f, 87.0f,
                                 125.0f, 170.0f, 300.0f, 32700.0f, 32768.0f, 32764.0f, 1e6f,  -1e6f};
    for (size_t i = 0; i < outer * inner; i++) {
        size_t which = 5 * i + i / COUNT(lows); /* each with any other */
        int plain = !every && i % 2;
        set_logits(z, classes, inner, i, plain ? 0.0f : lows[i % COUNT(lows)], plain ? 0.0f : tops[which % COUNT(tops)]);
    }
}

/* Of the position whose logits begin at z: the number of its maximum, and the sum of the other exponentials but class
   `without`. */
static double sum_of_others(const float *z, size_t classes, size_t inner, size_t without, size_t *top)
{
    double sum = 0.0;
    *top = 0;
    for (size_t c = 1; c < classes; c++)
        *top = z[c * inner] > z[*top * inner] ? c : *top;
    if (without == classes)
        without = *top;
    for (size_t c = 0; c < classes; c++)
        sum += c == without ? 0.0 : exp((double)z[c * inner] - (double)z[*top * inner]);
    return sum;
}

/* Of positions of even numbers. */
static void expect_same_bits(const char *what, const float *was, const float *is, size_t outer, size_t classes, size_t inner)
{
    for (size_t e = 0; e < outer * classes * inner; e++)
        if ((e / (classes * inner) * inner + e % inner) % 2 == 0 && memcmp(&was[e], &is[e], sizeof was[e]) != 0)
            softfocus_test_fail("%s %zu is %a, and %a beside other positions", what, e, (double)is[e], (double)was[e]);
}

static void guessed_log_probs(const softfocus_test *test, float *logits, float *results, float *again, size_t classes,
                              size_t inner)
{
    size_t outer = 2, top;
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_tensor in = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, outer, classes, inner);
    softfocus_tensor out = softfocus_tensor_contiguous(results, SOFTFOCUS_F32, outer, classes, inner);
    softfocus_tensor others = softfocus_tensor_contiguous(again, SOFTFOCUS_F32, outer, classes, inner);
    set_all_logits(logits, outer, classes, inner, 1);
    softfocus_test_expect_ok(softfocus_log_softmax(&context, &in, &out));
    for (size_t i = 0; i < outer * inner; i++) {
        size_t first = i / inner * classes * inner + i % inner, end = first + classes * inner;
        double rest = sum_of_others(logits + first, classes, inner, classes, &top);
        for (size_t e = first; e < end; e += inner) {
            double expected = (double)logits[e] - (double)logits[first + top * inner] - log1p(rest);
            if (logits[e] == -INFINITY ? results[e] != -INFINITY : isnan(results[e]))
                softfocus_test_fail("log-probability %zu is %g", e, (double)results[e]);
            if (logits[e] != -INFINITY)
                expect_near("log-probability", e, results[e], expected, 3.0 * 0x1p-23 * fabs(expected) + 0x1p-149);
        }
    }
    set_all_logits(logits, outer, classes, inner, 0);
    softfocus_test_expect_ok(softfocus_log_softmax(&context, &in, &others));
    expect_same_bits("log-probability", results, again, outer, classes, inner);
}

/* Cross-entropy, with its gradient and without. */
static void guessed_losses(const softfocus_test *test, float *logits, float *results, float *again, size_t classes,
                           size_t inner)
{
    size_t outer = 2, top;
    float loss[2 * GUESS_POSITIONS], loss_again[2 * GUESS_POSITIONS];
    int32_t index[2 * GUESS_POSITIONS];
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_focal_options options = softfocus_focal_defaults();
    softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I32);
    softfocus_tensor in = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, outer, classes, inner);
    softfocus_tensor out = softfocus_tensor_contiguous(results, SOFTFOCUS_F32, outer, classes, inner);
    softfocus_tensor others = softfocus_tensor_contiguous(again, SOFTFOCUS_F32, outer, classes, inner);
    options.reduction = SOFTFOCUS_NONE;
    options.gamma = 0.0;
    options.alpha = -1.0;
    for (size_t i = 0; i < outer * inner; i++) /* the largest, one of the first, or any other */
        index[i] = (int32_t)((i % 3 == 0 ? FIRST + 7 * i : i % 3 == 1 ? i % FIRST : 31 * i) % classes);
    set_all_logits(logits, outer, classes, inner, 1);
    softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &in, &targets, &options, loss, &out));
    for (size_t i = 0; i < outer * inner; i++) {
        size_t first = i / inner * classes * inner + i % inner, target = (size_t)index[i];
        const float *z = logits + first;
        double rest = sum_of_others(z, classes, inner, target, &top), m = (double)z[top * inner];
        double e_t = exp((double)z[target * inner] - m), nll = m - (double)z[target * inner] + log1p(rest + (e_t - 1.0));
        for (size_t c = 0; c < classes; c++) {
            double grad = (c == target ? -rest : exp((double)z[c * inner] - m)) / (rest + e_t);
            size_t e = first + c * inner;
            expect_near("gradient", e, results[e], grad, 4.0 * 0x1p-23 * fabs(grad) + 0x1p-148);
        }
        if (nll <= (double)FLT_MAX)
            expect_near("loss", i, loss[i], nll, 4.0 * 0x1p-23 * nll + 0x1p-148);
    }
    softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &in, &targets, &options, loss_again, NULL));
    if (memcmp(loss, loss_again, outer * inner * sizeof *loss) != 0)
        softfocus_test_fail("losses have other bits without a gradient");
    set_all_logits(logits, outer, classes, inner, 0);
    softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &in, &targets, &options, loss_again, &others));
    expect_same_bits("gradient", results, again, outer, classes, inner);
    expect_same_bits("loss", loss, loss_again, outer, 1, inner);
}

/* By blocks, of whole vectors and of parts, and in tiles, which hold so few positions. */
static void guessed_maxima(const softfocus_test *test)
{
    static const size_t counts[] = {110, 130, 165, GUESS_CLASSES}, positions[] = {3, 8, GUESS_POSITIONS};
    float *memory = malloc(3 * GUESS_MOST * sizeof *memory);
    for (size_t k = 0; k < COUNT(counts) * COUNT(positions); k++) {
        size_t classes = counts[k / COUNT(positions)], inner = positions[k % COUNT(positions)];
        if (strstr(test->name, "log_softmax/"))
            guessed_log_probs(test, memory, memory + GUESS_MOST, memory + 2 * GUESS_MOST, classes, inner);
        else
            guessed_losses(test, memory, memory + GUESS_MOST, memory + 2 * GUESS_MOST, classes, inner);
    }
    free(memory);
}

/* ---- Backward */

/* p, or the sum of g, is near or below the smallest float that has all its digits. */
static void small_probabilities(const softfocus_test *test)
{
    static const double sums[] = {1e-36, 1e-30, 1e-19, 0.5, 3.0, 1e6, -1e10, 1e20, -1e37};
    static const float logs[] = {-1.0f, -20.0f, -80.0f, -97.0f, -105.0f, -110.0f, -120.0f, -127.5f, -INFINITY};
    float log_probs[MOST], above[MOST], grad[MOST];
    softfocus_context context = softfocus_test_context(test->isa);
    for (size_t s = 0; s < COUNT(sums); s++)
        for (size_t classes = 8; classes <= MOST; classes += MOST - 8) {
            softfocus_tensor p = softfocus_tensor_contiguous_const(log_probs, SOFTFOCUS_F32, 1, classes, 1);
            softfocus_tensor a = softfocus_tensor_contiguous_const(above, SOFTFOCUS_F32, 1, classes, 1);
            softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 1, classes, 1);
            for (size_t c = 0; c < classes; c++) {
                log_probs[c] = c == 0 ? 0.0f : logs[c % COUNT(logs)];
                above[c] = c == 0 ? (float)sums[s] : 0.0f;
            }
            softfocus_test_expect_ok(softfocus_log_softmax_backward(&context, &p, &a, &g));
            for (size_t c = 1; c < classes; c++) {
                double term = exp((double)log_probs[c]) * (double)above[0];
                expect_near("gradient", c, grad[c], -term, 4.0 * 0x1p-24 * fabs(term) + 0x1p-149);
            }
        }
}

/* Rows that share cache lines, past the caches, where one of two has a sum near the smallest float. */
static void small_sums_beside_others(const softfocus_test *test)
{
    enum { CLASSES = 1001 };
    const size_t rows = softfocus_test_outer(1600, CLASSES, 1);
    static const float sums[] = {1e-36f, 3.0f, -1e20f};
    softfocus_context context = softfocus_test_context(test->isa);
    float *log_probs = calloc(3 * rows * CLASSES, sizeof *log_probs), *above = log_probs + rows * CLASSES;
    float *grad = above + rows * CLASSES;
    softfocus_tensor p = softfocus_tensor_contiguous_const(log_probs, SOFTFOCUS_F32, rows, CLASSES, 1);
    softfocus_tensor a = softfocus_tensor_contiguous_const(above, SOFTFOCUS_F32, rows, CLASSES, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, rows, CLASSES, 1);
    for (size_t e = 0; e < rows * CLASSES; e++)
        log_probs[e] = -1.0f - (float)(e % 8);
    for (size_t r = 0; r < rows; r++)
        above[r * CLASSES + CLASSES / 2] = sums[r % COUNT(sums)];
    softfocus_test_expect_ok(softfocus_log_softmax_backward(&context, &p, &a, &g));
    for (size_t e = 0; e < rows * CLASSES; e++) {
        double term = exp((double)log_probs[e]) * (double)sums[e / CLASSES % COUNT(sums)];
        double bound = 4.0 * 0x1p-24 * (fabs((double)above[e]) + fabs(term)) + 0x1p-149;
        expect_near("gradient", e, grad[e], (double)above[e] - term, bound);
    }
    free(log_probs);
}

/* Every third position holds NaN of several bits. Their gradients are one and the same NaN, and the others' none. */
static const uint32_t nans[] = {0x7fc00001u, 0xffd00000u};

static int holds_nan(size_t element, size_t classes, size_t inner)
{
    return (element / inner / classes * inner + element % inner) % 3 == 1;
}

static void fill_with_nans(float *values, size_t outer, size_t classes, size_t inner, float other)
{
    for (size_t e = 0; e < outer * classes * inner; e++) {
        size_t class = e / inner % classes;
        values[e] = other;
        if (holds_nan(e, classes, inner) && (class % 4 < 2 || class + 1 == classes))
            memcpy(&values[e], &nans[class % 2], sizeof values[e]);
    }
}

static void expect_one_nan(const float *grad, size_t outer, size_t classes, size_t inner)
{
    for (size_t e = 0; e < outer * classes * inner; e++) {
        uint32_t bits;
        memcpy(&bits, &grad[e], sizeof bits);
        int is_right = holds_nan(e, classes, inner) ? bits == 0x7fc00000u : !isnan(grad[e]);
        if (!is_right)
            softfocus_test_fail("%zu x %zu x %zu, element %zu: 0x%08x", outer, classes, inner, e, (unsigned)bits);
    }
}

static void one_nan_of_several(const softfocus_test *test)
{
    /* The first is past the caches, with rows that share cache lines: the others are planes, few classes, and short rows. */
    static const size_t shapes[][3] = {{1600, 1001, 1}, {2, 21, 75}, {1, 600, 40}, {70, 5, 1}, {9, 70, 1}};
    softfocus_context context = softfocus_test_context(test->isa);
    for (size_t s = 0; s < COUNT(shapes); s++) {
        const size_t classes = shapes[s][1], inner = shapes[s][2];
        const size_t outer = softfocus_test_outer(shapes[s][0], classes, inner), elements = outer * classes * inner;
        float *log_probs = calloc(3 * elements, sizeof *log_probs), *above = log_probs + elements, *grad = above + elements;
        softfocus_tensor p = softfocus_tensor_contiguous_const(log_probs, SOFTFOCUS_F32, outer, classes, inner);
        softfocus_tensor a = softfocus_tensor_contiguous_const(above, SOFTFOCUS_F32, outer, classes, inner);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, outer, classes, inner);
        for (size_t e = 0; e < elements; e++)
            log_probs[e] = -1.0f - (float)(e % 8);
        fill_with_nans(above, outer, classes, inner, 0.0f);
        softfocus_test_expect_ok(softfocus_log_softmax_backward(&context, &p, &a, &g));
        expect_one_nan(grad, outer, classes, inner);
        free(log_probs);
    }
}

/* The same of planes, in tiles and by blocks: where a call of the kernel begins depends on the threads. */
static void one_nan_of_several_logits(const softfocus_test *test)
{
    static const size_t shapes[][3] = {{2, 5, 75}, {2, 21, 75}, {1, 600, 43}};
    softfocus_context context = softfocus_test_context(test->isa);
    for (size_t s = 0; s < COUNT(shapes); s++) {
        const size_t outer = shapes[s][0], classes = shapes[s][1], inner = shapes[s][2], elements = outer * classes * inner;
        float *logits = calloc(2 * elements, sizeof *logits), *grad = logits + elements, loss;
        int32_t *index = calloc(outer * inner, sizeof *index);
        softfocus_tensor z = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, outer, classes, inner);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, outer, classes, inner);
        softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I32);
        for (size_t p = 0; p < outer * inner; p++)
            index[p] = (int32_t)(p % classes);
        fill_with_nans(logits, outer, classes, inner, 1.0f);
        softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &z, &targets, NULL, &loss, &g));
        expect_one_nan(grad, outer, classes, inner);
        free(index);
        free(logits);
    }
}

/* ---- The list */

void softfocus_add_extremes_tests(void)
{
    static const struct {
        const char *kernel, *name;
        softfocus_test_body *body;
    } tests[] = {
        {"sigmoid_focal_loss", "targets_outside", targets_outside},
        {"sigmoid_focal_loss", "small_alpha", small_alpha},
        {"sigmoid_focal_loss", "easy_in_double", easy_in_double},
        {"sigmoid_focal_loss", "neighbours", neighbours},
        {"sigmoid_focal_loss", "infinite_logits", infinite_logits},
        {"sigmoid_focal_loss", "powers_below_zero", powers_below_zero},
        {"sigmoid_focal_loss", "large_normalizer", large_normalizer},
        {"sigmoid_focal_loss", "small_normalizer", small_normalizer},
        {"softmax_focal_loss", "extreme_gamma", extreme_gamma},
        {"softmax_focal_loss", "impossible_targets", impossible_targets},
        {"softmax_focal_loss", "nan_at_target", nan_at_target},
        {"softmax_focal_loss", "extreme_weights", extreme_weights},
        {"softmax_focal_loss", "one_nan_of_several", one_nan_of_several_logits},
        {"log_softmax", "masked_classes", masked_classes},
        {"log_softmax", "guessed_maxima", guessed_maxima},
        {"softmax_focal_loss", "guessed_maxima", guessed_maxima},
        {"log_softmax_backward", "small_probabilities", small_probabilities},
        {"log_softmax_backward", "small_sums_beside_others", small_sums_beside_others},
        {"log_softmax_backward", "one_nan_of_several", one_nan_of_several},
    };
    for (size_t t = 0; t < COUNT(tests); t++)
        for (size_t i = 0; i < softfocus_isa_count(); i++) {
            const softfocus_isa *isa = softfocus_isa_at(i);
            softfocus_test *test = softfocus_test_add("%s/%s/%s", tests[t].kernel, softfocus_isa_name(isa), tests[t].name);
            test->body = tests[t].body;
            test->isa = isa;
        }
}
