/* The case of softfocus_sigmoid_focal_loss, dense targets. */
#include "instance.h"

#include <math.h>
#include <stdlib.h>

enum { LOGITS, TARGETS }; /* arrays */
enum { LOSS, GRAD };      /* outputs */

/* In ulp, for targets of 0 or 1, and for those between, which are done in double: little but a result's own
   rounding, half of this. There the gradient is a difference, and its ulp is that of the sum of its terms'
   magnitudes. Where a call may have both kinds, errors count by their share of these. */
static const double loss_bound = 5.0, grad_bound = 6.5, soft_bound = 1.0;

static void make(softfocus_case *instance, softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    instance->options = softfocus_case_options(spec);
    size_t logits = softfocus_case_add_tensor(instance, spec->input_layout);
    softfocus_case_fill_logits(instance, logits, random);
    size_t targets = softfocus_case_add_tensor(instance, spec->input_layout);
    softfocus_case_fill_dense(instance, logits, targets, random);
    instance->targets = softfocus_dense_targets(instance->arrays[targets].tensor);
    if (spec->class_weight)
        softfocus_case_add_class_weight(instance, random);
    int reduced = spec->reduction != SOFTFOCUS_NONE;
    size_t loss = reduced ? softfocus_case_add_values(instance, 1, 1, 1)
                          : softfocus_case_add_values(instance, spec->outer, spec->classes, spec->inner);
    softfocus_case_add_output(instance, "loss", loss);
    if (spec->gradient)
        softfocus_case_add_tensor_output(instance, "grad", &logits);
}

static softfocus_status run(softfocus_case *instance, const softfocus_context *context, int along_inner,
                            size_t first, size_t count)
{
    softfocus_tensor logits = softfocus_case_part(instance->arrays[LOGITS].tensor, along_inner, first, count);
    softfocus_targets targets =
        softfocus_dense_targets(softfocus_case_part(instance->targets.dense, along_inner, first, count));
    softfocus_tensor loss = instance->arrays[instance->outputs[LOSS].array].tensor;
    softfocus_tensor grad = {0};
    if (instance->spec.reduction == SOFTFOCUS_NONE)
        loss = softfocus_case_part(loss, along_inner, first, count);
    if (instance->spec.gradient)
        grad = softfocus_case_part(instance->arrays[instance->outputs[GRAD].array].tensor, along_inner, first,
                                   count);
    return softfocus_sigmoid_focal_loss(context, &logits, &targets, &instance->options, loss.data,
                                        instance->spec.gradient ? &grad : NULL);
}

static double divisor(const softfocus_case_spec *spec)
{
    if (spec->reduction != SOFTFOCUS_MEAN)
        return 1.0;
    return spec->normalizer > 0.0 ? spec->normalizer : (double)softfocus_case_elements(spec);
}

/* Of the outputs: a single value (BETWEEN) where all elements have it. */
static void set_bounds(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    int mean = spec->reduction == SOFTFOCUS_MEAN, between = spec->targets == SOFTFOCUS_TARGETS_BETWEEN;
    instance->outputs[LOSS].bound =
        between && spec->reduction == SOFTFOCUS_NONE ? soft_bound : loss_bound + mean;
    if (spec->gradient)
        instance->outputs[GRAD].bound = between ? soft_bound : grad_bound + mean;
}

/* Fills one element's expected gradient; returns its loss, unreduced, and the unit of that. */
static double expect_element(softfocus_case *instance, size_t o, size_t c, size_t i, double divide_by,
                             double *unit)
{
    const softfocus_case_spec *spec = &instance->spec;
    double logit = (double)softfocus_case_initial(&instance->arrays[LOGITS], o, c, i);
    double target = (double)softfocus_case_initial(&instance->arrays[TARGETS], o, c, i);
    double weight = instance->options.class_weight == NULL ? 1.0 : (double)instance->options.class_weight[c];
    softfocus_oracle_element element =
        softfocus_oracle_sigmoid_focal_loss(logit, target, spec->gamma, spec->alpha);
    int soft = target > 0.0 && target < 1.0;
    if (spec->gradient) {
        softfocus_case_output_data *output = &instance->outputs[GRAD];
        size_t at = (o * spec->classes + c) * spec->inner + i;
        output->expected[at] = element.grad * weight / divide_by;
        double magnitude = element.grad_magnitude * weight / divide_by;
        output->unit[at] = soft ? soft_bound / instance->outputs[GRAD].bound * softfocus_ulp(magnitude)
                                : softfocus_ulp(output->expected[at]);
    }
    double loss = weight == 0.0 && !isnan(element.loss) ? 0.0 : weight * element.loss;
    *unit = (soft ? soft_bound / instance->outputs[LOSS].bound : 1.0) * softfocus_ulp(loss);
    return loss;
}

static void expect(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    softfocus_case_output_data *loss = &instance->outputs[LOSS];
    double divide_by = divisor(spec);
    softfocus_sum sum = {0};
    set_bounds(instance);
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t c = 0; c < spec->classes; c++)
            for (size_t i = 0; i < spec->inner; i++) {
                double unit;
                double value = expect_element(instance, o, c, i, divide_by, &unit);
                softfocus_sum_add(&sum, value);
                if (spec->reduction != SOFTFOCUS_NONE)
                    continue;
                size_t at = (o * spec->classes + c) * spec->inner + i;
                loss->expected[at] = value;
                loss->unit[at] = unit;
            }
    if (spec->reduction != SOFTFOCUS_NONE) {
        loss->expected[0] = softfocus_sum_value(&sum) / divide_by; /* 0 / 0 is the NaN that is due */
        loss->unit[0] = softfocus_ulp(loss->expected[0]);
    }
}

static size_t bytes(const softfocus_case_spec *spec)
{
    size_t tensors = 2 + (spec->reduction == SOFTFOCUS_NONE ? 1u : 0u) + (spec->gradient ? 1u : 0u);
    return tensors * sizeof(float) * softfocus_case_elements(spec);
}

static const softfocus_case_methods methods = {make, run, expect, bytes};

const softfocus_case_kernel softfocus_case_sigmoid_focal_loss = {
    .name = "sigmoid_focal_loss",
    .has_gradient = 1,
    .has_options = 1,
    .in_place_ways = 1,
    .shapes = softfocus_case_sigmoid_shapes,
    .shape_count = SOFTFOCUS_CASE_SIGMOID_SHAPE_COUNT,
    .methods = &methods,
};
