/* The oracle: see oracle.h. */
#include "oracle.h"

#include <float.h>
#include <math.h>

void softfocus_sum_add(softfocus_sum *sum, double term)
{
    double total = sum->high + term;
    if (isfinite(total)) /* else the correction would be inf - inf */
        sum->low += fabs(sum->high) >= fabs(term) ? (sum->high - total) + term : (term - total) + sum->high;
    sum->high = total;
}

double softfocus_sum_value(const softfocus_sum *sum)
{
    return sum->high + sum->low;
}

/* The first index of the maximum; a NaN is the maximum. */
static size_t argmax(const double *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count && !isnan(values[best]); i++)
        if (values[i] > values[best] || isnan(values[i]))
            best = i;
    return best;
}

/* sum over j other than `left_out` of exp(logits_j - shift). */
static double sum_of_exp(const double *logits, size_t classes, size_t left_out, double shift)
{
    softfocus_sum sum = {0};
    for (size_t j = 0; j < classes; j++)
        if (j != left_out)
            softfocus_sum_add(&sum, exp(logits[j] - shift));
    return softfocus_sum_value(&sum);
}

static void fill(double *values, size_t count, double value)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

void softfocus_oracle_log_softmax(const double *logits, size_t classes, double *log_probs)
{
    size_t top = argmax(logits, classes);
    double max = logits[top];
    if (!isfinite(max)) { /* NaN, +inf, or -inf alone */
        fill(log_probs, classes, NAN);
        return;
    }
    double log_rest = log1p(sum_of_exp(logits, classes, top, max));
    for (size_t j = 0; j < classes; j++)
        log_probs[j] = (logits[j] - max) - log_rest;
}

void softfocus_oracle_log_softmax_backward(const double *log_probs, const double *grad_log_probs,
                                           size_t classes, double *grad_logits, double *magnitudes)
{
    softfocus_sum sum = {0}, sum_of_magnitudes = {0};
    for (size_t j = 0; j < classes; j++) {
        softfocus_sum_add(&sum, grad_log_probs[j]);
        softfocus_sum_add(&sum_of_magnitudes, fabs(grad_log_probs[j]));
    }
    for (size_t j = 0; j < classes; j++) {
        double p = exp(log_probs[j]);
        grad_logits[j] = grad_log_probs[j] - p * softfocus_sum_value(&sum);
        magnitudes[j] = fabs(grad_log_probs[j]) + p * softfocus_sum_value(&sum_of_magnitudes);
    }
}

/* With e_j = exp(z_j - max): U = sum of e_j over j other than t, S = U + e_t; p = e_t / S, u = 1 - p = U /
   S. */
double softfocus_oracle_softmax_focal_loss(const double *logits, size_t classes, size_t target, double gamma,
                                           double loss_weight, double grad_weight, double *grad)
{
    size_t top = argmax(logits, classes);
    double max = logits[top];
    if (!isfinite(max)) {
        if (grad != NULL)
            fill(grad, classes, NAN);
        return NAN;
    }
    double e_t = exp(logits[target] - max);
    double others = sum_of_exp(logits, classes, target, max);
    double total = others + e_t;
    double u = others / total;
    double nll = logits[target] == max
                     ? log1p(others) /* then e_t is 1 */
                     : (max - logits[target]) + log1p(sum_of_exp(logits, classes, top, max));
    double power = pow(u, gamma);
    if (grad != NULL) {
        /* p / u = e_t / others. The slope's second term vanishes where p does, infinite nll or not, and
           tends to gamma where u vanishes. */
        double ratio = e_t == 0.0 ? 0.0 : others == 0.0 ? 1.0 : e_t * nll / others;
        double factor = grad_weight * power * (1.0 + gamma * ratio);
        for (size_t j = 0; j < classes; j++)
            grad[j] = factor * (j == target ? -u : exp(logits[j] - max) / total);
    }
    return loss_weight == 0.0 ? 0.0 : loss_weight * power * nll;
}

static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

static double softplus(double x)
{
    return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
}

/* a * b where a -> 0 wins over b -> inf, and 0 of one of them is 0. */
static double product_with_limit(double a, double b)
{
    return a == 0.0 || b == 0.0 ? 0.0 : a * b;
}

/* With y the target, p = sigmoid(z), and q = 1 - p_t = p (1 - y) + (1 - p) y:
 *     loss = a q^gamma ce,  ce = (1 - y) softplus(z) + y softplus(-z),  a = alpha y + (1 - alpha)(1 - y)
 *     grad = a q^gamma ((p - y) + gamma p (1 - p) (1 - 2y) ce / q)
 * For y of 1: q = 1 - p, and the bracket is -((1 - p) + gamma p ce); for 0 the mirror image: no
 * differences. */
softfocus_oracle_element softfocus_oracle_sigmoid_focal_loss(double logit, double target, double gamma,
                                                             double alpha)
{
    if (isnan(logit) || isnan(target))
        return (softfocus_oracle_element){NAN, NAN, NAN};
    double p = sigmoid(logit), not_p = sigmoid(-logit), not_y = 1.0 - target;
    double a = alpha < 0.0 ? 1.0 : alpha * target + (1.0 - alpha) * not_y;
    double ce = product_with_limit(not_y, softplus(logit)) + product_with_limit(target, softplus(-logit));
    double q = p * not_y + not_p * target;
    double weight = a * pow(q, gamma);
    double modulation; /* gamma p (1 - p) ce / q, without its sign */
    if (target == 0.0 || target == 1.0)
        modulation = gamma * product_with_limit(target == 1.0 ? p : not_p, ce);
    else
        modulation = gamma * fabs(1.0 - 2.0 * target) * product_with_limit(p * not_p, ce) / q;
    softfocus_oracle_element element;
    element.loss = product_with_limit(weight, ce);
    double rising = weight * p * not_y, falling = weight * not_p * target; /* p - y is their difference */
    if (target < 0.5)
        rising += weight * modulation;
    else
        falling += weight * modulation;
    element.grad = rising - falling;
    element.grad_magnitude = rising + falling;
    return element;
}

double softfocus_ulp(double value)
{
    float rounded = fabsf((float)value);
    if (!(rounded >= FLT_MIN))
        return 0x1p-149;
    if (isinf(rounded))
        return 0x1p104;
    int exponent;
    (void)frexpf(rounded, &exponent);
    return ldexp(1.0, exponent - 24);
}

/* Past the largest float32 all is one value to rounding. */
static double clamp_to_float_range(double value)
{
    return value > 0x1p128 ? 0x1p128 : value < -0x1p128 ? -0x1p128 : value;
}

double softfocus_error_in(double unit, float got, double expected)
{
    if (isnan(got) || isnan(expected))
        return isnan(got) && isnan(expected) ? 0.0 : INFINITY;
    if (isinf(expected))
        return (double)got == expected ? 0.0 : INFINITY;
    return fabs(clamp_to_float_range((double)got) - clamp_to_float_range(expected)) / unit;
}
