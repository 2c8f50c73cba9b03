/* How a training loop calls softfocus: every call of the example `imbalanced` to the library is here. train.c
 * and scores.c call it. */
#include <softfocus/softfocus.h>

#include "imbalanced.h"

static void check(softfocus_status status, const softfocus_error *error)
{
    if (status != SOFTFOCUS_OK)
        softfocus_example_fail("softfocus: %s (%s)", softfocus_status_string(status),
                               error->argument ? error->argument : "no argument named");
}

static void focal_loss(const struct loss *loss, const float *logits, const int32_t *labels, size_t count,
                       size_t classes, softfocus_reduction reduction, float *value, float *grad_logits)
{
    softfocus_error error = softfocus_error_defaults();
    softfocus_context context = softfocus_context_defaults();
    context.error = &error;

    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, count, classes, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(grad_logits, SOFTFOCUS_F32, count, classes, 1);
    softfocus_targets targets = softfocus_index_targets(labels, SOFTFOCUS_I32);
    softfocus_focal_options options = softfocus_focal_defaults();
    options.reduction = reduction;
    options.gamma = loss->gamma;
    options.alpha = -1.0; /* off: what weighting there is comes from class_weight */
    options.class_weight = loss->class_weight;
    /* Without it MEAN would divide by the sum of the rows' weights. In a batch that a single row of a rare
       class dominates, the batch would then count no more than any other: the mean of the batches' gradients
       would not be the objective's. */
    options.normalizer = (double)count;
    check(softfocus_softmax_focal_loss(&context, &x, &targets, &options, value, &g), &error);
}

float softfocus_example_mean_loss(const struct loss *loss, const float *logits, const int32_t *labels,
                                  size_t count, size_t classes, float *grad_logits)
{
    float value;
    focal_loss(loss, logits, labels, count, classes, SOFTFOCUS_MEAN, &value, grad_logits);
    return value;
}

void softfocus_example_row_losses(const struct loss *loss, const float *logits, const int32_t *labels,
                                  size_t count, size_t classes, float *losses, float *grad_logits)
{
    focal_loss(loss, logits, labels, count, classes, SOFTFOCUS_NONE, losses, grad_logits);
}

void softfocus_example_log_probs(const float *logits, size_t count, size_t classes, float *log_probs)
{
    softfocus_error error = softfocus_error_defaults();
    softfocus_context context = softfocus_context_defaults();
    context.error = &error;
    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, count, classes, 1);
    softfocus_tensor y = softfocus_tensor_contiguous(log_probs, SOFTFOCUS_F32, count, classes, 1);
    check(softfocus_log_softmax(&context, &x, &y), &error);
}

const char *softfocus_example_isa(void)
{
    return softfocus_isa_name(softfocus_isa_default());
}
