/* A user of the installed library: compiled as C and (by consumer.cc) as C++, through pkg-config, CMake and meson, by
 * check_install.sh. It calls through every public struct and holds the results to the formula. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include <softfocus/softfocus.h>

static int near(double value, double expected)
{
    return fabs(value - expected) <= 1e-6 * fabs(expected);
}

int main(void)
{
    /* Two positions of two classes, the target's probability 1/2 and 1/4. */
    const float logits[4] = {0.0F, 0.0F, logf(3.0F), 0.0F};
    const int64_t labels[2] = {0, 1};
    float log_probs[4];
    float loss[2];
    float grad[4];
    softfocus_error error = softfocus_error_defaults();
    softfocus_context context = softfocus_context_defaults();
    context.isa = softfocus_isa_default();
    context.error = &error;
    softfocus_focal_options options = softfocus_focal_defaults();
    options.reduction = SOFTFOCUS_NONE;
    options.alpha = -1.0;

    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 2, 2, 1);
    softfocus_tensor y = softfocus_tensor_contiguous(log_probs, SOFTFOCUS_F32, 2, 2, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 2, 2, 1);
    softfocus_targets targets = softfocus_index_targets(labels, SOFTFOCUS_I64);

    softfocus_status status = softfocus_log_softmax(&context, &x, &y);
    if (status == SOFTFOCUS_OK)
        status = softfocus_softmax_focal_loss(&context, &x, &targets, &options, loss, &g);
    if (status != SOFTFOCUS_OK) {
        fprintf(stderr, "consumer: %s\n", softfocus_status_string(status));
        return 1;
    }
    /* (1 - p)^2 (-log p), and its derivative by the target's logit, -w u^2 (1 + 2 p (-log p) / u) u. */
    int right = near(log_probs[0], -log(2.0)) && near(log_probs[3], -log(4.0)) &&
                near(loss[0], 0.25 * log(2.0)) && near(loss[1], 0.5625 * log(4.0)) &&
                near(grad[0], -0.125 * (1.0 + 2.0 * log(2.0))) && fabs(grad[0] + grad[1]) <= 1e-6;
    const int64_t bad_labels[2] = {0, 2};
    targets = softfocus_index_targets(bad_labels, SOFTFOCUS_I64);
    status = softfocus_softmax_focal_loss(&context, &x, &targets, &options, loss, &g);
    right = right && status == SOFTFOCUS_ERROR_TARGET && error.position == 1 && error.value == 2;
    printf("softfocus %s, %s: %s\n", SOFTFOCUS_VERSION_STRING, softfocus_isa_name(context.isa),
           right ? "right" : "WRONG");
    return right ? 0 : 1;
}
