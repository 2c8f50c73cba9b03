/* Values that other projects' definitions give (golden/make_golden.py), held against every ISA and against
   the oracle. */
#include "tests.h"

#include <math.h>
#include <stdlib.h>

#include "oracle.h"

enum { LOG_SOFTMAX, SOFTMAX, SIGMOID };

enum { MOST = 64 }; /* elements */

typedef struct golden_values {
    const char *name;
    int kernel;
    size_t outer, classes;
    const float *logits;
    const int64_t *index; /* softmax */
    const float *dense;   /* sigmoid */
    const float *class_weight;
    double gamma, alpha, normalizer;
    softfocus_reduction reduction;
    size_t loss_count;
    const double *loss; /* log-softmax: log_probs */
    const double *grad; /* NULL: not known */
    double precision;   /* of these values, relative */
} golden_values;

#include "golden/golden.h"

/* |got - expected| at most `bound` ulp more than what the golden value itself is good for. */
static void expect_near(const golden_values *golden, const char *what, size_t at, double got, double expected,
                        double bound)
{
    double tolerance = bound * softfocus_ulp(expected) + golden->precision * fabs(expected);
    if (!(fabs(got - expected) <= tolerance))
        softfocus_test_fail("%s: %s %zu is %.17g, expected %.17g (tolerance %.3g)", golden->name, what, at,
                            got, expected, tolerance);
}

static softfocus_status call(const golden_values *golden, const softfocus_isa *isa, float *loss, float *grad)
{
    softfocus_context context = softfocus_context_defaults();
    context.isa = isa;
    softfocus_tensor z =
        softfocus_tensor_contiguous_const(golden->logits, SOFTFOCUS_F32, golden->outer, golden->classes, 1);
    softfocus_tensor y =
        softfocus_tensor_contiguous_const(golden->dense, SOFTFOCUS_F32, golden->outer, golden->classes, 1);
    softfocus_tensor loss_tensor = z, grad_tensor = z;
    loss_tensor.data = loss;
    grad_tensor.data = grad;
    softfocus_focal_options options = softfocus_focal_defaults();
    options.gamma = golden->gamma;
    options.alpha = golden->alpha;
    options.reduction = golden->reduction;
    options.class_weight = golden->class_weight;
    options.normalizer = golden->normalizer;
    softfocus_targets index = softfocus_index_targets(golden->index, SOFTFOCUS_I64);
    softfocus_targets dense = softfocus_dense_targets(y);
    if (golden->kernel == LOG_SOFTMAX)
        return softfocus_log_softmax(&context, &z, &loss_tensor);
    if (golden->kernel == SOFTMAX)
        return softfocus_softmax_focal_loss(&context, &z, &index, &options, loss, &grad_tensor);
    return softfocus_sigmoid_focal_loss(&context, &z, &dense, &options, loss, &grad_tensor);
}

static void expect_golden(const golden_values *golden, const softfocus_isa *isa)
{
    float loss[MOST], grad[MOST];
    softfocus_status status = call(golden, isa, loss, grad);
    if (status != SOFTFOCUS_OK)
        softfocus_test_fail("%s: %s", golden->name, softfocus_status_string(status));
    double mean = golden->reduction == SOFTFOCUS_MEAN ? 1.0 : 0.0;
    double softmax_bound = 4.0 + 2.0 * golden->gamma;
    double loss_bound = golden->kernel == LOG_SOFTMAX ? 3.0 : golden->kernel == SOFTMAX ? softmax_bound : 5.0;
    double grad_bound = golden->kernel == SOFTMAX ? softmax_bound : 6.5;
    for (size_t e = 0; e < golden->loss_count; e++)
        expect_near(golden, "loss", e, (double)loss[e], golden->loss[e], loss_bound + mean);
    for (size_t e = 0; golden->grad != NULL && e < golden->outer * golden->classes; e++)
        expect_near(golden, "gradient", e, (double)grad[e], golden->grad[e], grad_bound + mean);
}

static void on_isa(const softfocus_test *test)
{
    for (size_t g = 0; g < sizeof goldens / sizeof *goldens; g++)
        expect_golden(&goldens[g], test->isa);
}

/* ---- The oracle ---------------------------------------------------------------------------------------- */

/* Unreduced losses and gradients of one row by the oracle; sigmoid: one loss per element. */
static void ask_oracle(const golden_values *golden, size_t row, double *loss, double *grad)
{
    double z[MOST];
    for (size_t c = 0; c < golden->classes; c++)
        z[c] = (double)golden->logits[row * golden->classes + c];
    if (golden->kernel == LOG_SOFTMAX)
        softfocus_oracle_log_softmax(z, golden->classes, loss);
    if (golden->kernel == SOFTMAX) {
        int64_t target = golden->index[row];
        double weight = golden->alpha < 0.0 ? 1.0 : golden->alpha;
        if (target < 0) { /* ignored */
            *loss = 0.0;
            for (size_t c = 0; c < golden->classes; c++)
                grad[c] = 0.0;
            return;
        }
        if (golden->class_weight != NULL)
            weight *= (double)golden->class_weight[target];
        *loss = softfocus_oracle_softmax_focal_loss(z, golden->classes, (size_t)target, golden->gamma, weight,
                                                    weight, grad);
    }
    for (size_t c = 0; golden->kernel == SIGMOID && c < golden->classes; c++) {
        softfocus_oracle_element element = softfocus_oracle_sigmoid_focal_loss(
            z[c], (double)golden->dense[row * golden->classes + c], golden->gamma, golden->alpha);
        loss[c] = element.loss;
        grad[c] = element.grad;
    }
}

static double divisor(const golden_values *golden)
{
    if (golden->kernel == LOG_SOFTMAX || golden->reduction != SOFTFOCUS_MEAN)
        return 1.0;
    if (golden->normalizer > 0.0)
        return golden->normalizer;
    if (golden->kernel == SIGMOID)
        return (double)(golden->outer * golden->classes);
    double sum = 0.0;
    for (size_t row = 0; row < golden->outer; row++)
        if (golden->index[row] >= 0)
            sum += golden->class_weight == NULL ? 1.0 : (double)golden->class_weight[golden->index[row]];
    return sum;
}

static void expect_oracle(const golden_values *golden)
{
    double loss[MOST], grad[MOST], sum = 0.0, divide_by = divisor(golden);
    size_t per_row = golden->kernel == SOFTMAX ? 1 : golden->classes;
    for (size_t row = 0; row < golden->outer; row++)
        ask_oracle(golden, row, loss + row * per_row, grad + row * golden->classes);
    for (size_t e = 0; e < golden->outer * per_row; e++)
        sum += loss[e];
    if (golden->kernel != LOG_SOFTMAX && golden->reduction != SOFTFOCUS_NONE)
        loss[0] = sum / divide_by;
    for (size_t e = 0; e < golden->loss_count; e++)
        expect_near(golden, "the oracle's loss", e, loss[e], golden->loss[e], 0x1p-20);
    for (size_t e = 0; golden->grad != NULL && e < golden->outer * golden->classes; e++)
        expect_near(golden, "the oracle's gradient", e, grad[e] / divide_by, golden->grad[e], 0x1p-20);
}

static void on_oracle(const softfocus_test *test)
{
    (void)test;
    for (size_t g = 0; g < sizeof goldens / sizeof *goldens; g++)
        expect_oracle(&goldens[g]);
}

void softfocus_add_golden_tests(void)
{
    softfocus_test_add("golden/oracle")->body = on_oracle;
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        softfocus_test *test = softfocus_test_add("golden/%s", softfocus_isa_name(softfocus_isa_at(i)));
        test->isa = softfocus_isa_at(i);
        test->body = on_isa;
    }
}
