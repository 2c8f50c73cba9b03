/* The case of softfocus_softmax_focal_loss, class indices for targets. */
#include "instance.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { LOGITS, INDEX }; /* arrays */
enum { LOSS, GRAD };    /* outputs */

/* One of the values that people use; the last class itself is legal too, and then still counts in the
   denominators. */
static int64_t choose_ignore_index(const softfocus_case_spec *spec, softfocus_random *random)
{
    size_t way = softfocus_random_below(random, 3);
    if (way == 0 && spec->classes <= 255)
        return 255;
    return way == 1 ? (int64_t)spec->classes - 1 : -100;
}

static void make(softfocus_case *instance, softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    size_t positions = spec->outer * spec->inner;
    instance->options = softfocus_case_options(spec);
    size_t logits = softfocus_case_add_tensor(instance, spec->input_layout);
    softfocus_case_fill_logits(instance, logits, random);
    size_t index_size = spec->index_type == SOFTFOCUS_I32 ? sizeof(int32_t) : sizeof(int64_t);
    void *index = instance->arrays[softfocus_case_add_bytes(instance, positions * index_size)].buffer.data;
    if (spec->targets == SOFTFOCUS_TARGETS_IGNORED || spec->targets == SOFTFOCUS_TARGETS_ALL_IGNORED)
        instance->options.ignore_index = choose_ignore_index(spec, random);
    softfocus_case_fill_index(instance, logits, index, instance->options.ignore_index, random);
    instance->targets = softfocus_index_targets(index, spec->index_type);
    if (spec->class_weight)
        softfocus_case_add_class_weight(instance, random);
    int reduced = spec->reduction != SOFTFOCUS_NONE;
    size_t loss =
        softfocus_case_add_values(instance, reduced ? 1 : spec->outer, 1, reduced ? 1 : spec->inner);
    softfocus_case_add_output(instance, "loss", loss);
    if (spec->gradient)
        softfocus_case_add_tensor_output(instance, "grad", &logits);
}

static softfocus_status run(softfocus_case *instance, const softfocus_context *context, int along_inner,
                            size_t first, size_t count)
{
    size_t position = along_inner ? first : first * instance->spec.inner;
    softfocus_tensor logits = softfocus_case_part(instance->arrays[LOGITS].tensor, along_inner, first, count);
    softfocus_targets targets = instance->targets;
    if (targets.index_type == SOFTFOCUS_I32)
        targets.index = (const int32_t *)targets.index + position;
    else
        targets.index = (const int64_t *)targets.index + position;
    float *loss = instance->arrays[instance->outputs[LOSS].array].buffer.data;
    softfocus_tensor grad = {0};
    if (instance->spec.gradient)
        grad = softfocus_case_part(instance->arrays[instance->outputs[GRAD].array].tensor, along_inner, first,
                                   count);
    return softfocus_softmax_focal_loss(context, &logits, &targets, &instance->options, loss + position,
                                        instance->spec.gradient ? &grad : NULL);
}

static int64_t target_at(const softfocus_case *instance, size_t position)
{
    const unsigned char *initial = instance->arrays[INDEX].initial;
    const softfocus_buffer *buffer = &instance->arrays[INDEX].buffer;
    const void *index =
        initial + ((const unsigned char *)buffer->data - (const unsigned char *)buffer->usable);
    if (instance->spec.index_type == SOFTFOCUS_I32)
        return ((const int32_t *)index)[position];
    return ((const int64_t *)index)[position];
}

static double class_weight(const softfocus_case *instance, int64_t target)
{
    return instance->options.class_weight == NULL ? 1.0 : (double)instance->options.class_weight[target];
}

/* What MEAN divides by; 1 for the others. */
static double divisor(const softfocus_case *instance)
{
    if (instance->spec.reduction != SOFTFOCUS_MEAN)
        return 1.0;
    if (instance->spec.normalizer > 0.0)
        return instance->spec.normalizer;
    softfocus_sum sum = {0};
    for (size_t i = 0; i < instance->spec.outer * instance->spec.inner; i++)
        if (target_at(instance, i) != instance->options.ignore_index)
            softfocus_sum_add(&sum, class_weight(instance, target_at(instance, i)));
    return softfocus_sum_value(&sum);
}

/* Loss of one position; its gradient into grad (NULL: not wanted). */
static double expect_position(softfocus_case *instance, size_t o, size_t i, double divide_by, double *logits,
                              double *grad)
{
    const softfocus_case_spec *spec = &instance->spec;
    int64_t target = target_at(instance, o * spec->inner + i);
    int ignored = target == instance->options.ignore_index;
    if (ignored || divide_by == 0.0) /* nothing to average: no gradient, and the loss is not looked at */
        for (size_t c = 0; grad != NULL && c < spec->classes; c++)
            grad[c] = 0.0;
    if (ignored || divide_by == 0.0)
        return 0.0;
    double weight = (spec->alpha < 0.0 ? 1.0 : spec->alpha) * class_weight(instance, target);
    softfocus_case_position(&instance->arrays[LOGITS], o, i, logits);
    return softfocus_oracle_softmax_focal_loss(logits, spec->classes, (size_t)target, spec->gamma, weight,
                                               fmin(weight / divide_by, DBL_MAX), grad);
}

static void expect(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    double *logits = softfocus_allocate(spec->classes, sizeof *logits);
    double *grad = softfocus_allocate(spec->classes, sizeof *grad);
    double divide_by = divisor(instance);
    softfocus_sum sum = {0};
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            double loss = expect_position(instance, o, i, divide_by, logits, spec->gradient ? grad : NULL);
            softfocus_sum_add(&sum, loss);
            if (spec->reduction == SOFTFOCUS_NONE)
                instance->outputs[LOSS].expected[o * spec->inner + i] = loss;
            for (size_t c = 0; spec->gradient && c < spec->classes; c++)
                instance->outputs[GRAD].expected[(o * spec->classes + c) * spec->inner + i] = grad[c];
        }
    if (spec->reduction != SOFTFOCUS_NONE)
        instance->outputs[LOSS].expected[0] =
            softfocus_sum_value(&sum) / divide_by; /* 0 / 0 is the NaN that is due */
    free(logits);
    free(grad);
    for (size_t output = 0; output < instance->output_count; output++) {
        softfocus_case_units_in_ulp(instance, output);
        instance->outputs[output].bound = 4.0 + 2.0 * spec->gamma + (spec->reduction == SOFTFOCUS_MEAN);
    }
}

static size_t bytes(const softfocus_case_spec *spec)
{
    size_t index = spec->index_type == SOFTFOCUS_I32 ? sizeof(int32_t) : sizeof(int64_t);
    size_t per_position = index + (spec->reduction == SOFTFOCUS_NONE ? sizeof(float) : 0);
    return (spec->gradient ? 2 : 1) * sizeof(float) * softfocus_case_elements(spec) +
           per_position * spec->outer * spec->inner;
}

static const softfocus_case_methods methods = {make, run, expect, bytes};

const softfocus_case_kernel softfocus_case_softmax_focal_loss = {
    .name = "softmax_focal_loss",
    .has_gradient = 1,
    .has_options = 1,
    .index_targets = 1,
    .in_place_ways = 1,
    .shapes = softfocus_case_shapes,
    .shape_count = SOFTFOCUS_CASE_SHAPE_COUNT,
    .methods = &methods,
};
