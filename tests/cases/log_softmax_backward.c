/* The case of softfocus_log_softmax_backward: log_probs are the oracle's log-softmax of the spec's logits,
   rounded. */
#include "instance.h"

#include <math.h>
#include <stdlib.h>

enum { LOG_PROBS, GRAD_LOG_PROBS };

static void to_log_probs(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    const softfocus_case_array *array = &instance->arrays[LOG_PROBS];
    double *logits = softfocus_allocate(spec->classes, sizeof *logits);
    double *log_probs = softfocus_allocate(spec->classes, sizeof *log_probs);
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            for (size_t c = 0; c < spec->classes; c++)
                logits[c] = (double)*softfocus_case_element(array, o, c, i);
            softfocus_oracle_log_softmax(logits, spec->classes, log_probs);
            for (size_t c = 0; c < spec->classes; c++)
                *softfocus_case_element(array, o, c, i) = (float)log_probs[c];
        }
    free(logits);
    free(log_probs);
}

/* Gradients from above: N(0, 1) at most positions, or uniform as logits are; else all equal, or one class alone (as a plain
   NLL loss gives). */
static void fill_grad_log_probs(softfocus_case *instance, softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            size_t way = softfocus_random_below(random, 6),
                   one = softfocus_random_below(random, spec->classes);
            int poisoned = spec->logits == SOFTFOCUS_LOGITS_SPECIAL && softfocus_random_below(random, 8) == 0;
            double scale = spec->logits == SOFTFOCUS_LOGITS_HUGE ? 1e30 : 1.0;
            for (size_t c = 0; c < spec->classes; c++) {
                double any = spec->logits == SOFTFOCUS_LOGITS_UNIFORM ? softfocus_random_between(random, -2.0, 2.0)
                                                                      : softfocus_random_normal(random);
                double g = way == 0 ? 0.5 : way == 1 ? (c == one ? -1.0 : 0.0) : any;
                float *to = softfocus_case_element(&instance->arrays[GRAD_LOG_PROBS], o, c, i);
                *to = poisoned && c == one ? NAN : (float)(scale * g);
                if (spec->logits == SOFTFOCUS_LOGITS_MANY_NAN && way % 2 && softfocus_random_below(random, 4) == 0)
                    *to = softfocus_case_any_nan(random);
            }
        }
}

static void make(softfocus_case *instance, softfocus_random *random)
{
    size_t inputs[2];
    inputs[0] = softfocus_case_add_tensor(instance, instance->spec.input_layout);
    softfocus_case_fill_logits(instance, inputs[0], random);
    to_log_probs(instance);
    inputs[1] = softfocus_case_add_tensor(instance, instance->spec.input_layout);
    fill_grad_log_probs(instance, random);
    softfocus_case_add_tensor_output(instance, "grad_logits", inputs);
}

static softfocus_status run(softfocus_case *instance, const softfocus_context *context, int along_inner,
                            size_t first, size_t count)
{
    const softfocus_case_array *output = &instance->arrays[instance->outputs[0].array];
    softfocus_tensor log_probs =
        softfocus_case_part(instance->arrays[LOG_PROBS].tensor, along_inner, first, count);
    softfocus_tensor above =
        softfocus_case_part(instance->arrays[GRAD_LOG_PROBS].tensor, along_inner, first, count);
    softfocus_tensor grad_logits = softfocus_case_part(output->tensor, along_inner, first, count);
    return softfocus_log_softmax_backward(context, &log_probs, &above, &grad_logits);
}

static void expect(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    double *values = softfocus_allocate(4 * spec->classes, sizeof *values);
    double *log_probs = values, *above = values + spec->classes, *grad = above + spec->classes;
    double *magnitudes = grad + spec->classes;
    softfocus_case_output_data *output = &instance->outputs[0];
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            softfocus_case_position(&instance->arrays[LOG_PROBS], o, i, log_probs);
            softfocus_case_position(&instance->arrays[GRAD_LOG_PROBS], o, i, above);
            softfocus_oracle_log_softmax_backward(log_probs, above, spec->classes, grad, magnitudes);
            for (size_t c = 0; c < spec->classes; c++) {
                size_t element = (o * spec->classes + c) * spec->inner + i;
                output->expected[element] = grad[c];
                /* Never below what the rounding to a subnormal costs; a NaN is no unit. */
                output->unit[element] = fmax(0x1p-24 * magnitudes[c], 0x1p-149);
            }
        }
    free(values);
    output->unit_name = "eps";
    output->bound = 4.0;
}

static size_t bytes(const softfocus_case_spec *spec)
{
    return 3 * sizeof(float) * softfocus_case_elements(spec);
}

static const softfocus_case_methods methods = {make, run, expect, bytes};

const softfocus_case_kernel softfocus_case_log_softmax_backward = {
    .name = "log_softmax_backward",
    .in_place_ways = 2,
    .shapes = softfocus_case_shapes,
    .shape_count = SOFTFOCUS_CASE_SHAPE_COUNT,
    .methods = &methods,
};
