/* What must hold whatever the numbers are, and needs no oracle: results under a shift of all logits, sums over a row,
 * permuted classes, a growing target. "softmax_focal_loss/avx2/unchanged_by_shift" and so on. (That splits, tasks,
 * alignment and the gradient change no bit: test_bits.c.)
 *
 * Where two results of one exact value are compared, each may be off by the documented bound of B ulp: they are at most
 * 2 B apart. Each property says what its tolerance follows from. */
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buffers.h"
#include "oracle.h"
#include "random.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- Bounds, as the header states them ----------------------------------------------------------------------------- */

static const double log_softmax_bound = 3.0;
static const double backward_bound = 4.0 * 0x1p-24; /* times |g_c| + p_c sum |g_k| */
static const double sigmoid_loss_bound = 5.0;

static double softmax_bound(double gamma)
{
    return 4.0 + 2.0 * gamma;
}

/* An ulp of the exact value of which `a` and `b` are within 14 ulp: never less, though the exact value lie just across
   a power of two. */
static double ulp_about(float a, float b)
{
    return softfocus_ulp((double)fmaxf(fabsf(a), fabsf(b)) * (1.0 + 0x1p-18));
}

static const double gammas[] = {0.0, 0.5, 1.0, 2.0, 3.5};

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* Contiguous, and its results. Position n is (n / inner, n % inner). */
typedef struct batch {
    const softfocus_isa *isa;
    size_t outer, classes, inner;
    float *logits, *result;        /* of the logits' shape */
    float *other;                  /* likewise: gradients from above, or dense targets */
    float *loss;                   /* per element, of which softmax uses one per position */
    int64_t *targets;
} batch;

static batch make_batch(const softfocus_test *test, size_t outer, size_t classes, size_t inner)
{
    size_t elements = outer * classes * inner;
    batch made = {test->isa, outer, classes, inner, NULL, NULL, NULL, NULL, NULL};
    made.logits = softfocus_allocate(elements, sizeof(float));
    made.result = softfocus_allocate(elements, sizeof(float));
    made.other = softfocus_allocate(elements, sizeof(float));
    made.loss = softfocus_allocate(elements, sizeof(float));
    made.targets = softfocus_allocate(outer * inner, sizeof(int64_t));
    return made;
}

static void free_batch(batch *made)
{
    free(made->logits);
    free(made->result);
    free(made->other);
    free(made->loss);
    free(made->targets);
}

static size_t positions(const batch *made)
{
    return made->outer * made->inner;
}

static size_t elements(const batch *made)
{
    return positions(made) * made->classes;
}

static size_t element(const batch *made, size_t position, size_t class_index)
{
    return (position / made->inner * made->classes + class_index) * made->inner + position % made->inner;
}

static softfocus_tensor tensor(const batch *made, float *data)
{
    return softfocus_tensor_contiguous(data, SOFTFOCUS_F32, made->outer, made->classes, made->inner);
}

static void log_softmax(batch *made)
{
    softfocus_context context = softfocus_test_context(made->isa);
    softfocus_tensor logits = tensor(made, made->logits), log_probs = tensor(made, made->result);
    softfocus_test_expect_ok(softfocus_log_softmax(&context, &logits, &log_probs));
}

/* logits: log_probs; other: the gradient from above. */
static void log_softmax_backward(batch *made)
{
    softfocus_context context = softfocus_test_context(made->isa);
    softfocus_tensor log_probs = tensor(made, made->logits), above = tensor(made, made->other),
                     grad = tensor(made, made->result);
    softfocus_test_expect_ok(softfocus_log_softmax_backward(&context, &log_probs, &above, &grad));
}

static softfocus_focal_options options_of(double gamma)
{
    softfocus_focal_options options = softfocus_focal_defaults();
    options.reduction = SOFTFOCUS_NONE;
    options.gamma = gamma;
    options.alpha = -1.0;
    return options;
}

static void softmax_focal_loss(batch *made, double gamma)
{
    softfocus_context context = softfocus_test_context(made->isa);
    softfocus_focal_options options = options_of(gamma);
    softfocus_targets targets = softfocus_index_targets(made->targets, SOFTFOCUS_I64);
    softfocus_tensor logits = tensor(made, made->logits), grad = tensor(made, made->result);
    softfocus_test_expect_ok(softfocus_softmax_focal_loss(&context, &logits, &targets, &options, made->loss, &grad));
}

/* other: the targets. */
static void sigmoid_focal_loss(batch *made, double gamma)
{
    softfocus_context context = softfocus_test_context(made->isa);
    softfocus_focal_options options = options_of(gamma);
    softfocus_targets targets = softfocus_dense_targets(tensor(made, made->other));
    softfocus_tensor logits = tensor(made, made->logits), grad = tensor(made, made->result);
    softfocus_test_expect_ok(softfocus_sigmoid_focal_loss(&context, &logits, &targets, &options, made->loss, &grad));
}

/* Logits from a grid of 2^-10, so that a shift of up to 2^13 - 2^7 on the same grid is exact; scales to 12, where p
   tends to 1. Random targets; half of them the argmax. */
static void fill(batch *made, softfocus_random *random)
{
    for (size_t n = 0; n < positions(made); n++) {
        double scale = softfocus_random_between(random, 0.0, 12.0);
        size_t best = 0;
        for (size_t c = 0; c < made->classes; c++) {
            float *logit = &made->logits[element(made, n, c)];
            *logit = (float)(nearbyint(0x1p10 * scale * softfocus_random_normal(random)) * 0x1p-10);
            if (*logit > made->logits[element(made, n, best)])
                best = c;
        }
        size_t any = softfocus_random_below(random, made->classes);
        made->targets[n] = (int64_t)(softfocus_random_below(random, 2) ? best : any);
    }
    for (size_t e = 0; e < elements(made); e++)
        made->other[e] = (float)softfocus_random_normal(random);
}

/* Calls `each` with a filled batch of every shape: classes for every regime, positions along outer and along inner. */
static void for_batches(const softfocus_test *test, void (*each)(batch *made, softfocus_random *random))
{
    static const size_t shapes[][3] = {{21, 2, 1}, {17, 3, 1}, {9, 10, 1},  {5, 33, 1},  {3, 100, 1},
                                       {2, 1000, 1}, {1, 5003, 1}, {2, 3, 19}, {1, 10, 35}, {1, 100, 17}};
    softfocus_random random = {softfocus_test_seed()};
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (size_t round = 0; round < 3; round++) {
            batch made = make_batch(test, shapes[s][0], shapes[s][1], shapes[s][2]);
            fill(&made, &random);
            each(&made, &random);
            free_batch(&made);
        }
}

static float *copy_of(const float *values, size_t count)
{
    float *copy = softfocus_allocate(count, sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

/* Two results of one exact value, each within `bound` ulp of it. */
static void expect_near(const batch *made, const char *what, size_t index, float got, float expected, double bound)
{
    double tolerance = 2.0 * bound * ulp_about(got, expected);
    if (!(fabs((double)got - (double)expected) <= tolerance))
        softfocus_test_fail("%s %zu of %zux%zux%zu is %a, was %a; they may be %g apart", what, index, made->outer,
                            made->classes, made->inner, (double)got, (double)expected, tolerance);
}

/* ---- A constant added to all logits changes nothing beyond rounding: 2 B ulp ----------------------------------------- */

static const double shifts[] = {0.0009765625, -37.25, 1000.5, 8000.0, -8063.75};

static void shift(batch *made, double by)
{
    for (size_t e = 0; e < elements(made); e++)
        made->logits[e] = (float)((double)made->logits[e] + by); /* exact: see fill */
}

static void shift_log_softmax(batch *made, softfocus_random *random)
{
    (void)random;
    log_softmax(made);
    float *unshifted = copy_of(made->result, elements(made));
    for (size_t s = 0; s < COUNT(shifts); s++) {
        shift(made, shifts[s]);
        log_softmax(made);
        for (size_t e = 0; e < elements(made); e++)
            expect_near(made, "shifted: log_prob", e, made->result[e], unshifted[e], log_softmax_bound);
        shift(made, -shifts[s]);
    }
    free(unshifted);
}

static void shift_softmax_focal_loss(batch *made, softfocus_random *random)
{
    for (size_t g = 0; g < COUNT(gammas); g++) {
        softmax_focal_loss(made, gammas[g]);
        float *loss = copy_of(made->loss, positions(made)), *grad = copy_of(made->result, elements(made));
        double by = shifts[softfocus_random_below(random, COUNT(shifts))];
        shift(made, by);
        softmax_focal_loss(made, gammas[g]);
        for (size_t n = 0; n < positions(made); n++)
            expect_near(made, "shifted: loss", n, made->loss[n], loss[n], softmax_bound(gammas[g]));
        for (size_t e = 0; e < elements(made); e++)
            expect_near(made, "shifted: gradient", e, made->result[e], grad[e], softmax_bound(gammas[g]));
        shift(made, -by);
        free(loss);
        free(grad);
    }
}

/* ---- Sums over a row --------------------------------------------------------------------------------------------- */

/* A difference of sums in double, against what the rounding of its terms comes to. The sum itself is compensated. */
static void expect_sum(const batch *made, const char *what, size_t position, double got, double expected,
                       double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        softfocus_test_fail("%s of position %zu of %zux%zux%zu: %.17g, expected %.17g within %.3g", what, position,
                            made->outer, made->classes, made->inner, got, expected, tolerance);
}

/* A log_prob is off by d <= 3 ulp, and exp of it by p (e^d - 1) <= 1.01 p d: d is below 2^-7 wherever p is not 0. Double
   rounding, 2^-52 of each p, is within the 1.01. */
static void sum_of_probs(batch *made, softfocus_random *random)
{
    (void)random;
    log_softmax(made);
    for (size_t n = 0; n < positions(made); n++) {
        softfocus_sum sum = {0}, tolerance = {0};
        for (size_t c = 0; c < made->classes; c++) {
            float log_prob = made->result[element(made, n, c)];
            double p = exp((double)log_prob);
            softfocus_sum_add(&sum, p);
            softfocus_sum_add(&tolerance, 1.01 * p * log_softmax_bound * ulp_about(log_prob, log_prob));
        }
        /* A p of 1 whose log_prob is next to 0 leaves nothing but the rounding of the sum. */
        expect_sum(made, "sum of exp(log_prob)", n, softfocus_sum_value(&sum), 1.0,
                   softfocus_sum_value(&tolerance) + 0x1p-52);
    }
}

/* sum of w (p_j - [j = t]) is 0, whatever factor w the position has: so for every gamma. Each gradient is off by B ulp. */
static void sum_of_softmax_gradients(batch *made, softfocus_random *random)
{
    (void)random;
    for (size_t g = 0; g < COUNT(gammas); g++) {
        softmax_focal_loss(made, gammas[g]);
        for (size_t n = 0; n < positions(made); n++) {
            softfocus_sum sum = {0}, tolerance = {0};
            for (size_t c = 0; c < made->classes; c++) {
                float grad = made->result[element(made, n, c)];
                softfocus_sum_add(&sum, (double)grad);
                softfocus_sum_add(&tolerance, softmax_bound(gammas[g]) * ulp_about(grad, grad));
            }
            expect_sum(made, "sum of gradients", n, softfocus_sum_value(&sum), 0.0, softfocus_sum_value(&tolerance));
        }
    }
}

/* log_probs of the logits in place of them: what the backward function takes. */
static void to_log_probs(batch *made)
{
    log_softmax(made);
    memcpy(made->logits, made->result, elements(made) * sizeof(float));
}

/* sum over j of (g_j - p_j G), G = sum of g, is G (1 - sum of p): 0 but for the rounding of the log_probs, which are the
   input. Each gradient is off by its bound. */
static void sum_of_backward_gradients(batch *made, softfocus_random *random)
{
    (void)random;
    to_log_probs(made);
    log_softmax_backward(made);
    for (size_t n = 0; n < positions(made); n++) {
        softfocus_sum above = {0}, magnitudes = {0}, probs = {0}, sum = {0};
        for (size_t c = 0; c < made->classes; c++) {
            size_t e = element(made, n, c);
            softfocus_sum_add(&above, (double)made->other[e]);
            softfocus_sum_add(&magnitudes, fabs((double)made->other[e]));
            softfocus_sum_add(&probs, exp((double)made->logits[e]));
            softfocus_sum_add(&sum, (double)made->result[e]);
        }
        double total = softfocus_sum_value(&probs), magnitude = softfocus_sum_value(&magnitudes);
        expect_sum(made, "sum of gradients", n, softfocus_sum_value(&sum), softfocus_sum_value(&above) * (1.0 - total),
                   backward_bound * magnitude * (1.0 + total) + 0x1p-50 * magnitude);
    }
}

/* ---- Permuted classes permute the result -------------------------------------------------------------------------- */

/* Sums are added in another order, and another lane has the maximum: 2 B ulp. */
static size_t *random_order(size_t count, softfocus_random *random)
{
    size_t *order = softfocus_allocate(count, sizeof *order);
    for (size_t i = 0; i < count; i++) {
        size_t j = softfocus_random_below(random, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

/* Class c goes to order[c]. */
static void permute(const batch *made, const size_t *order, float *values)
{
    float *old = copy_of(values, elements(made));
    for (size_t n = 0; n < positions(made); n++)
        for (size_t c = 0; c < made->classes; c++)
            values[element(made, n, order[c])] = old[element(made, n, c)];
    free(old);
}

static void permute_log_softmax(batch *made, softfocus_random *random)
{
    size_t *order = random_order(made->classes, random);
    log_softmax(made);
    float *expected = copy_of(made->result, elements(made));
    permute(made, order, expected);
    permute(made, order, made->logits);
    log_softmax(made);
    for (size_t e = 0; e < elements(made); e++)
        expect_near(made, "permuted: log_prob", e, made->result[e], expected[e], log_softmax_bound);
    free(expected);
    free(order);
}

static void permute_softmax_focal_loss(batch *made, softfocus_random *random)
{
    size_t *order = random_order(made->classes, random);
    for (size_t g = 0; g < COUNT(gammas); g++) {
        softmax_focal_loss(made, gammas[g]);
        float *loss = copy_of(made->loss, positions(made)), *grad = copy_of(made->result, elements(made));
        permute(made, order, grad);
        permute(made, order, made->logits);
        for (size_t n = 0; n < positions(made); n++)
            made->targets[n] = (int64_t)order[made->targets[n]];
        softmax_focal_loss(made, gammas[g]);
        for (size_t n = 0; n < positions(made); n++)
            expect_near(made, "permuted: loss", n, made->loss[n], loss[n], softmax_bound(gammas[g]));
        for (size_t e = 0; e < elements(made); e++)
            expect_near(made, "permuted: gradient", e, made->result[e], grad[e], softmax_bound(gammas[g]));
        free(loss);
        free(grad);
    }
    free(order);
}

/* Twice the bound, which here is no number of ulp. */
static void permute_backward(batch *made, softfocus_random *random)
{
    size_t *order = random_order(made->classes, random);
    to_log_probs(made);
    log_softmax_backward(made);
    float *expected = copy_of(made->result, elements(made));
    permute(made, order, expected);
    permute(made, order, made->logits);
    permute(made, order, made->other);
    log_softmax_backward(made);
    for (size_t n = 0; n < positions(made); n++) {
        softfocus_sum magnitudes = {0};
        for (size_t c = 0; c < made->classes; c++)
            softfocus_sum_add(&magnitudes, fabs((double)made->other[element(made, n, c)]));
        for (size_t c = 0; c < made->classes; c++) {
            size_t e = element(made, n, c);
            double magnitude = fabs((double)made->other[e]) +
                               exp((double)made->logits[e]) * softfocus_sum_value(&magnitudes);
            double apart = fabs((double)made->result[e] - (double)expected[e]);
            if (!(apart <= 2.0 * backward_bound * magnitude + 0x1p-148))
                softfocus_test_fail("permuted: gradient %zu is %a, was %a", e, (double)made->result[e],
                                    (double)expected[e]);
        }
    }
    free(expected);
    free(order);
}

/* Elements know nothing of each other: the same bits. */
static void permute_sigmoid_focal_loss(batch *made, softfocus_random *random)
{
    size_t *order = random_order(made->classes, random);
    for (size_t e = 0; e < elements(made); e++) {
        double any = softfocus_random_between(random, -1.0, 2.0);
        made->other[e] = (float)fmin(1.0, fmax(0.0, any));
    }
    for (size_t g = 0; g < COUNT(gammas); g++) {
        sigmoid_focal_loss(made, gammas[g]);
        float *loss = copy_of(made->loss, elements(made)), *grad = copy_of(made->result, elements(made));
        permute(made, order, loss);
        permute(made, order, grad);
        permute(made, order, made->logits);
        permute(made, order, made->other);
        sigmoid_focal_loss(made, gammas[g]);
        if (memcmp(loss, made->loss, elements(made) * sizeof *loss) != 0 ||
            memcmp(grad, made->result, elements(made) * sizeof *grad) != 0)
            softfocus_test_fail("permuted classes have other bits: %zux%zux%zu, gamma %g", made->outer, made->classes,
                                made->inner, gammas[g]);
        free(loss);
        free(grad);
    }
    free(order);
}

/* ---- A growing target logit --------------------------------------------------------------------------------------- */

enum { STEPS = 240 };

/* Every position of a batch [STEPS, classes, 1] is the first one, but for the logit of its target (of class 0 in
   all), which grows: by 1/4 from 30 below 0, or from one float to the next. */
static void grow(batch *made, int finely, softfocus_random *random)
{
    float logit = finely ? (float)softfocus_random_between(random, -30.0, 30.0) : -30.0f;
    for (size_t n = 0; n < STEPS; n++) {
        memmove(&made->logits[n * made->classes], made->logits, made->classes * sizeof(float));
        made->logits[n * made->classes] = logit;
        made->targets[n] = 0;
        logit = finely ? nextafterf(logit, INFINITY) : logit + 0.25f;
    }
}

/* The exact value falls with each step. A coarse one changes it by at least 1/400 of itself (1/4 of the relative slope,
   which is least where the loss is its largest, 70 or so), thousands of ulp: the result falls, too, as long as it is a
   normal number. After a fine step it may be higher by what both are off: 2 B ulp. */
static void expect_fall(const char *what, int finely, size_t step, float before, float after, double bound)
{
    double rise = (double)after - (double)before;
    int good = finely ? rise <= 2.0 * bound * ulp_about(before, after)
                      : after < before || (after == before && fabsf(before) < FLT_MIN);
    if (!good)
        softfocus_test_fail("%s does not fall at step %zu (%s): %a, then %a", what, step, finely ? "fine" : "coarse",
                            (double)before, (double)after);
}

static void for_growing(const softfocus_test *test, void (*each)(batch *made, int finely))
{
    static const size_t classes[] = {2, 3, 5, 10, 40, 300};
    softfocus_random random = {softfocus_test_seed()};
    for (size_t c = 0; c < COUNT(classes); c++)
        for (int finely = 0; finely < 2; finely++) {
            batch made = make_batch(test, STEPS, classes[c], 1);
            for (size_t k = 1; k < classes[c]; k++)
                made.logits[k] = (float)(2.0 * softfocus_random_normal(&random));
            grow(&made, finely, &random);
            each(&made, finely);
            free_batch(&made);
        }
}

/* The other log_probs fall by p_t of a step, which may be less than an ulp: 2 B, then, in any case. */
static void grow_log_softmax(batch *made, int finely)
{
    log_softmax(made);
    for (size_t n = 1; n < STEPS; n++)
        for (size_t c = 0; c < made->classes; c++) {
            float before = made->result[element(made, n - 1, c)], after = made->result[element(made, n, c)];
            if (c == 0)
                expect_fall("-log_prob of the target", finely, n, -before, -after, log_softmax_bound);
            else
                expect_fall("log_prob beside the target", 1, n, before, after, log_softmax_bound);
        }
}

static void grow_softmax_focal_loss(batch *made, int finely)
{
    for (size_t g = 0; g < COUNT(gammas); g++) {
        softmax_focal_loss(made, gammas[g]);
        for (size_t n = 1; n < STEPS; n++)
            expect_fall("loss", finely, n, made->loss[n - 1], made->loss[n], softmax_bound(gammas[g]));
    }
}

/* Of class 0 a target of 1, of the rest, whose logits do not grow, anything. */
static void grow_sigmoid_focal_loss(batch *made, int finely)
{
    for (size_t e = 0; e < elements(made); e++)
        made->other[e] = e % made->classes == 0 ? 1.0f : 0.0f;
    for (size_t g = 0; g < COUNT(gammas); g++) {
        sigmoid_focal_loss(made, gammas[g]);
        for (size_t n = 1; n < STEPS; n++)
            expect_fall("loss", finely, n, made->loss[element(made, n - 1, 0)], made->loss[element(made, n, 0)],
                        sigmoid_loss_bound);
    }
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

typedef struct property {
    const char *kernel, *name;
    void (*of_batch)(batch *made, softfocus_random *random); /* one of the two */
    void (*of_growth)(batch *made, int finely);
} property;

static const property properties[] = {
    {"log_softmax", "unchanged_by_shift", shift_log_softmax, NULL},
    {"softmax_focal_loss", "unchanged_by_shift", shift_softmax_focal_loss, NULL},
    {"log_softmax", "sums_to_one", sum_of_probs, NULL},
    {"softmax_focal_loss", "gradient_sums_to_zero", sum_of_softmax_gradients, NULL},
    {"log_softmax_backward", "gradient_sums_to_zero", sum_of_backward_gradients, NULL},
    {"log_softmax", "permuted_with_classes", permute_log_softmax, NULL},
    {"softmax_focal_loss", "permuted_with_classes", permute_softmax_focal_loss, NULL},
    {"log_softmax_backward", "permuted_with_classes", permute_backward, NULL},
    {"sigmoid_focal_loss", "permuted_with_classes", permute_sigmoid_focal_loss, NULL},
    {"log_softmax", "monotone_in_target", NULL, grow_log_softmax},
    {"softmax_focal_loss", "monotone_in_target", NULL, grow_softmax_focal_loss},
    {"sigmoid_focal_loss", "monotone_in_target", NULL, grow_sigmoid_focal_loss},
};

static void run_property(const softfocus_test *test)
{
    const property *held = test->subject;
    if (held->of_batch != NULL)
        for_batches(test, held->of_batch);
    else
        for_growing(test, held->of_growth);
}

void softfocus_add_property_tests(void)
{
    for (size_t p = 0; p < COUNT(properties); p++)
        for (size_t i = 0; i < softfocus_isa_count(); i++) {
            const softfocus_isa *isa = softfocus_isa_at(i);
            softfocus_test *test = softfocus_test_add("%s/%s/%s", properties[p].kernel, softfocus_isa_name(isa),
                                                      properties[p].name);
            test->body = run_property;
            test->isa = isa;
            test->subject = &properties[p];
        }
}
