/* The oracle: what each kernel should give, in double, written from the formulas of the header and sharing
 * nothing with the kernels. Every sum leaves out the term that would cancel, is compensated, and no two
 * terms of different sign are added, so that results are good to 2^-48 or better: 24 bits more than the
 * float32 results held against them. (No long double: under an emulator it costs 25 times a double.)
 *
 * Where the result itself is a difference that cancels by nature (log_softmax_backward, and the sigmoid
 * gradient for targets strictly between 0 and 1), a second output gives the sum of the magnitudes, to
 * which its error is relative. */
#ifndef SOFTFOCUS_TESTS_ORACLE_H
#define SOFTFOCUS_TESTS_ORACLE_H

#include <stddef.h>

/* A sum that keeps what each addition rounds off (Neumaier): as good as twice the precision. NaN and
   infinities pass. */
typedef struct softfocus_sum {
    double high, low;
} softfocus_sum;

void softfocus_sum_add(softfocus_sum *sum, double term);
double softfocus_sum_value(const softfocus_sum *sum);

/* One position of `classes` logits. */
void softfocus_oracle_log_softmax(const double *logits, size_t classes, double *log_probs);

void softfocus_oracle_log_softmax_backward(const double *log_probs, const double *grad_log_probs,
                                           size_t classes, double *grad_logits, double *magnitudes);

/* Returns the loss times loss_weight; grad (NULL: not wanted) gets its gradient times grad_weight. */
double softfocus_oracle_softmax_focal_loss(const double *logits, size_t classes, size_t target, double gamma,
                                           double loss_weight, double grad_weight, double *grad);

/* One element. alpha < 0: off. Loss, gradient and the sum of the magnitudes of the gradient's terms,
   without any other weight. */
typedef struct softfocus_oracle_element {
    double loss, grad, grad_magnitude;
} softfocus_oracle_element;

softfocus_oracle_element softfocus_oracle_sigmoid_focal_loss(double logit, double target, double gamma,
                                                             double alpha);

/* The unit in the last place of the float32 nearest to `value`: 2^-149 for subnormals and 0, 2^104 past
   the largest. */
double softfocus_ulp(double value);

/* |got - expected| in units of `unit`. An infinite `got` counts as 2^128 where `expected` is finite, since
   that is what rounding makes of it; infinite where one of the two is NaN or infinite and the other is
   not. */
double softfocus_error_in(double unit, float got, double expected);

#endif
