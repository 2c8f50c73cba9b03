/* The oracle held against itself and against values known otherwise: before anything else is held against
   it. */
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "buffers.h"
#include "oracle.h"
#include "random.h"

static void expect_close(const char *what, double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        softfocus_test_fail("%s: %.17g, expected %.17g within %.3g", what, got, expected, tolerance);
}

/* ---- Units --------------------------------------------------------------------------------------------- */

/* The distance to the next float32 up, wherever there is one. */
static void units(const softfocus_test *test)
{
    static const float values[] = {0.0f,        0x1p-149f,        0x1.8p-140f, 0x1.fffffcp-127f,
                                   0x1p-126f,   0x1.000002p-126f, 0x1p-125f,   0.99999994f,
                                   1.0f,        1.9999999f,       2.0f,        3e38f,
                                   16777215.0f, 16777216.0f};
    (void)test;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double next = (double)nextafterf(values[i], INFINITY) - (double)values[i];
        expect_close("ulp", softfocus_ulp((double)values[i]), next, 0.0);
        expect_close("ulp of the negative", softfocus_ulp(-(double)values[i]), next, 0.0);
    }
    /* That of the rounded value, on whichever side of a power of two the exact one lies. */
    expect_close("ulp just below 1", softfocus_ulp(1.0 - 0x1p-30), 0x1p-23, 0.0);
    expect_close("ulp past the largest", softfocus_ulp(1e39), 0x1p104, 0.0);
}

static void errors(const softfocus_test *test)
{
    (void)test;
    expect_close("none", softfocus_error_in(0x1p-23, 1.0f, 1.0), 0.0, 0.0);
    expect_close("one", softfocus_error_in(0x1p-23, 1.0f, 1.0 + 0x1p-23), 1.0, 0.0);
    expect_close("both NaN", softfocus_error_in(1.0, NAN, (double)NAN), 0.0, 0.0);
    expect_close("rounded to infinity", softfocus_error_in(0x1p104, INFINITY, 1e39), 0.0, 0.0);
    expect_close("near infinity", softfocus_error_in(0x1p104, FLT_MAX, 1e39), 1.0, 0.0);
    if (isfinite(softfocus_error_in(1.0, NAN, 1.0)) || isfinite(softfocus_error_in(1.0, 1.0f, (double)NAN)) ||
        isfinite(softfocus_error_in(1.0, FLT_MAX, (double)INFINITY)) ||
        isfinite(softfocus_error_in(0x1p104, -INFINITY, (double)INFINITY)))
        softfocus_test_fail("NaN or infinity for a number, or the wrong infinity, passes");
    if (softfocus_error_in(1.0, INFINITY, 1.0) < 1e30)
        softfocus_test_fail("infinity for a small number passes");
}

/* The compensation is what plain addition would lose. */
static void sums(const softfocus_test *test)
{
    softfocus_sum sum = {0};
    (void)test;
    softfocus_sum_add(&sum, 1.0);
    softfocus_sum_add(&sum, 0x1p-70);
    softfocus_sum_add(&sum, -1.0);
    expect_close("sum", softfocus_sum_value(&sum), 0x1p-70, 0.0);
    softfocus_sum_add(&sum, (double)INFINITY);
    if (softfocus_sum_value(&sum) < (double)INFINITY)
        softfocus_test_fail("an infinite sum is %g", softfocus_sum_value(&sum));
}

/* ---- Gradients against central differences of the losses ----------------------------------------------- */

static const double gammas[] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0};

/* A step of h costs h^2 times the third derivative over six, which for these losses is at most (1 +
   gamma)^3 times the first or second; and the loss's own rounding, 2^-50 of it with room, over h. */
static const double step = 0x1p-13;

static void expect_slope(const char *what, double got, double below, double above, double curvature,
                         double gamma)
{
    double slope = (above - below) / (2.0 * step);
    double tolerance = step * step * pow(1.0 + gamma, 3.0) * (fabs(got) + curvature) +
                       0x1p-49 * (fabs(above) + fabs(below)) / step;
    if (!(fabs(got - slope) <= tolerance))
        softfocus_test_fail("%s, gamma %g: gradient %.17g, but a slope of %.17g (tolerance %.3g)", what,
                            gamma, got, slope, tolerance);
}

static void softmax_gradient(const softfocus_test *test)
{
    enum { MOST = 12 };
    double logits[MOST], grad[MOST], ignored[MOST];
    softfocus_random random = {softfocus_test_seed()};
    (void)test;
    for (size_t round = 0; round < 400; round++) {
        size_t classes = 2 + softfocus_random_below(&random, MOST - 1);
        size_t target = softfocus_random_below(&random, classes);
        double gamma = gammas[round % (sizeof gammas / sizeof *gammas)], scale = round % 3 == 0 ? 6.0 : 1.5;
        for (size_t c = 0; c < classes; c++)
            logits[c] = scale * softfocus_random_normal(&random);
        (void)softfocus_oracle_softmax_focal_loss(logits, classes, target, gamma, 0.75, 0.75, grad);
        for (size_t c = 0; c < classes; c++) {
            double at = logits[c];
            logits[c] = at - step;
            double below =
                softfocus_oracle_softmax_focal_loss(logits, classes, target, gamma, 0.75, 0.75, ignored);
            logits[c] = at + step;
            double above =
                softfocus_oracle_softmax_focal_loss(logits, classes, target, gamma, 0.75, 0.75, NULL);
            logits[c] = at;
            expect_slope("softmax", grad[c], below, above, fabs(grad[target]) + fabs(above), gamma);
        }
    }
}

static void sigmoid_gradient(const softfocus_test *test)
{
    softfocus_random random = {softfocus_test_seed()};
    (void)test;
    for (size_t round = 0; round < 4000; round++) {
        double gamma = gammas[round % (sizeof gammas / sizeof *gammas)];
        double any = softfocus_random_between(&random, -0.5, 1.5);
        double target = fmin(1.0, fmax(0.0, any)), z = 5.0 * softfocus_random_normal(&random);
        double alpha = round % 4 == 0 ? -1.0 : 0.25;
        softfocus_oracle_element here = softfocus_oracle_sigmoid_focal_loss(z, target, gamma, alpha);
        double below = softfocus_oracle_sigmoid_focal_loss(z - step, target, gamma, alpha).loss;
        double above = softfocus_oracle_sigmoid_focal_loss(z + step, target, gamma, alpha).loss;
        expect_slope("sigmoid", here.grad, below, above, here.grad_magnitude + fabs(above), gamma);
        if (here.grad_magnitude < fabs(here.grad))
            softfocus_test_fail("magnitude %g below the gradient's %g", here.grad_magnitude, here.grad);
    }
}

/* sum over c of g_c * log_softmax_c has the gradient that log_softmax_backward gives. */
static void log_softmax_gradient(const softfocus_test *test)
{
    enum { CLASSES = 7 };
    double logits[CLASSES], above[CLASSES], log_probs[CLASSES], grad[CLASSES], magnitudes[CLASSES];
    softfocus_random random = {softfocus_test_seed()};
    (void)test;
    for (size_t round = 0; round < 400; round++) {
        for (size_t c = 0; c < CLASSES; c++) {
            logits[c] = 2.0 * softfocus_random_normal(&random);
            above[c] = softfocus_random_normal(&random);
        }
        softfocus_oracle_log_softmax(logits, CLASSES, log_probs);
        softfocus_oracle_log_softmax_backward(log_probs, above, CLASSES, grad, magnitudes);
        for (size_t c = 0; c < CLASSES; c++) {
            double value[2], at = logits[c];
            for (int side = 0; side < 2; side++) {
                logits[c] = at + (side == 0 ? -step : step);
                softfocus_oracle_log_softmax(logits, CLASSES, log_probs);
                value[side] = 0.0;
                for (size_t j = 0; j < CLASSES; j++)
                    value[side] += above[j] * log_probs[j];
            }
            logits[c] = at;
            expect_slope("log-softmax", grad[c], value[0], value[1], 10.0, 0.0);
            if (magnitudes[c] < fabs(grad[c]))
                softfocus_test_fail("magnitude %g below the gradient's %g", magnitudes[c], grad[c]);
        }
    }
}

/* ---- Known values -------------------------------------------------------------------------------------- */

static void expect_relative(const char *what, double got, double expected)
{
    /* 1e-300: below that doubles are subnormal, and float32 results long 0. */
    expect_close(what, got, expected, 0x1p-46 * fabs(expected) + 1e-300);
}

/* Two classes have a closed form, good where p -> 1 and where the results are subnormal float32: with the
   target ahead by d, u = 1 / (1 + e^d) and the loss is u^gamma log1p(e^-d). */
static void closed_forms(const softfocus_test *test)
{
    (void)test;
    for (double d = -700.0; d <= 700.0; d += 3.5)
        for (size_t g = 0; g < sizeof gammas / sizeof *gammas; g++) {
            const double logits[2] = {3.0 + d, 3.0};
            double grad[2], log_probs[2];
            double u = d > 0.0 ? exp(-d) / (1.0 + exp(-d)) : 1.0 / (1.0 + exp(d)),
                   p = d > 0.0 ? 1.0 / (1.0 + exp(-d)) : exp(d) / (1.0 + exp(d));
            double nll = d > 0.0 ? log1p(exp(-d)) : -d + log1p(exp(d));
            double loss = softfocus_oracle_softmax_focal_loss(logits, 2, 0, gammas[g], 1.0, 1.0, grad);
            double slope = -pow(u, gammas[g]) * (u + gammas[g] * p * nll);
            expect_relative("loss of two classes", loss, pow(u, gammas[g]) * nll);
            expect_relative("gradient at the target", grad[0], slope);
            expect_relative("gradient at the other", grad[1], -slope);
            softfocus_oracle_log_softmax(logits, 2, log_probs);
            expect_relative("log-softmax of two classes", log_probs[0], -nll);
            softfocus_oracle_element element = softfocus_oracle_sigmoid_focal_loss(d, 1.0, gammas[g], -1.0);
            expect_relative("sigmoid of the difference", element.loss, loss);
            expect_relative("its gradient", element.grad, slope);
            element = softfocus_oracle_sigmoid_focal_loss(-d, 0.0, gammas[g], -1.0);
            expect_relative("sigmoid, mirrored", element.loss, loss);
            expect_relative("its gradient", element.grad, -slope);
        }
}

/* n equal logits: log-softmax is -log n, to the last bits although n terms are added. */
static void ties(const softfocus_test *test)
{
    size_t most = 100000;
    double *values = softfocus_allocate(2 * most, sizeof *values), *log_probs = values + most;
    (void)test;
    for (size_t n = 1; n <= most; n *= 10) {
        for (size_t c = 0; c < n; c++)
            values[c] = 1e8;
        softfocus_oracle_log_softmax(values, n, log_probs);
        expect_close("ties", log_probs[n - 1], -log((double)n), 0x1p-48 * log((double)n));
        expect_close("ties", log_probs[0], log_probs[n - 1], 0.0);
        double loss = softfocus_oracle_softmax_focal_loss(values, n, n / 2, 0.0, 1.0, 1.0, NULL);
        expect_close("ties, cross-entropy", loss, log((double)n), 0x1p-48 * log((double)n));
    }
    free(values);
}

/* The special values of the documentation. */
static void limits(const softfocus_test *test)
{
    const double inf = (double)INFINITY;
    const double rows[][3] = {{inf, 0, 1}, {(double)NAN, 0, 1}, {-inf, -inf, -inf}, {-inf, 0, 0}};
    double grad[3], log_probs[3];
    (void)test;
    for (size_t r = 0; r < 3; r++) {
        softfocus_oracle_log_softmax(rows[r], 3, log_probs);
        double loss = softfocus_oracle_softmax_focal_loss(rows[r], 3, 1, 2.0, 1.0, 1.0, grad);
        for (size_t c = 0; c < 3; c++)
            if (!isnan(log_probs[c]) || !isnan(grad[c]) || !isnan(loss))
                softfocus_test_fail("row %zu is not NaN whole", r);
    }
    for (size_t g = 0; g < sizeof gammas / sizeof *gammas; g++) {
        double loss = softfocus_oracle_softmax_focal_loss(rows[3], 3, 0, gammas[g], 0.5, 0.5, grad);
        if (loss < inf)
            softfocus_test_fail("a target of -inf has a loss of %g", loss);
        expect_close("gradient at a target of -inf", grad[0], -0.5, 0.0);
        expect_close("gradient beside it", grad[1], 0.25, 0.0);
        loss = softfocus_oracle_softmax_focal_loss(rows[3], 3, 1, gammas[g], 0.5, 0.5, grad);
        expect_close("gradient at -inf", grad[0], 0.0, 0.0);
        loss = softfocus_oracle_softmax_focal_loss(&rows[3][1], 1, 0, gammas[g], 0.5, 0.5, grad);
        expect_close("one class", loss, 0.0, 0.0);
        expect_close("one class's gradient", grad[0], 0.0, 0.0);
        softfocus_oracle_element element = softfocus_oracle_sigmoid_focal_loss(inf, 1.0, gammas[g], 0.25);
        expect_close("right without doubt", element.loss, 0.0, 0.0);
        expect_close("its gradient", element.grad, 0.0, 0.0);
        element = softfocus_oracle_sigmoid_focal_loss(-inf, 1.0, gammas[g], 0.25);
        expect_close("wrong without doubt: the gradient", element.grad, -0.25, 0.0);
        if (element.loss < inf)
            softfocus_test_fail("wrong without doubt has a loss of %g", element.loss);
    }
}

static void add(const char *name, softfocus_test_body *body)
{
    softfocus_test_add("oracle/%s", name)->body = body;
}

void softfocus_add_oracle_tests(void)
{
    add("units", units);
    add("errors", errors);
    add("sums", sums);
    add("softmax_gradient", softmax_gradient);
    add("sigmoid_gradient", sigmoid_gradient);
    add("log_softmax_gradient", log_softmax_gradient);
    add("closed_forms", closed_forms);
    add("ties", ties);
    add("limits", limits);
}
