/* The case of softfocus_log_softmax. */
#include "instance.h"

#include <stdlib.h>

enum { LOGITS, LOG_PROBS };

static void make(softfocus_case *instance, softfocus_random *random)
{
    size_t logits = softfocus_case_add_tensor(instance, instance->spec.input_layout);
    softfocus_case_fill_logits(instance, logits, random);
    softfocus_case_add_tensor_output(instance, "log_probs", &logits);
}

static softfocus_status run(softfocus_case *instance, const softfocus_context *context, int along_inner,
                            size_t first, size_t count)
{
    const softfocus_case_array *output = &instance->arrays[instance->outputs[0].array];
    softfocus_tensor logits = softfocus_case_part(instance->arrays[LOGITS].tensor, along_inner, first, count);
    softfocus_tensor log_probs = softfocus_case_part(output->tensor, along_inner, first, count);
    return softfocus_log_softmax(context, &logits, &log_probs);
}

static void expect(softfocus_case *instance)
{
    const softfocus_case_spec *spec = &instance->spec;
    double *logits = softfocus_allocate(spec->classes, sizeof *logits);
    double *log_probs = softfocus_allocate(spec->classes, sizeof *log_probs);
    double *expected = instance->outputs[0].expected;
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            softfocus_case_position(&instance->arrays[LOGITS], o, i, logits);
            softfocus_oracle_log_softmax(logits, spec->classes, log_probs);
            for (size_t c = 0; c < spec->classes; c++)
                expected[(o * spec->classes + c) * spec->inner + i] = log_probs[c];
        }
    free(logits);
    free(log_probs);
    softfocus_case_units_in_ulp(instance, 0);
    instance->outputs[0].bound = 3.0;
}

static size_t bytes(const softfocus_case_spec *spec)
{
    return 2 * sizeof(float) * softfocus_case_elements(spec);
}

static const softfocus_case_methods methods = {make, run, expect, bytes};

const softfocus_case_kernel softfocus_case_log_softmax = {
    .name = "log_softmax",
    .in_place_ways = 1,
    .shapes = softfocus_case_shapes,
    .shape_count = SOFTFOCUS_CASE_SHAPE_COUNT,
    .methods = &methods,
};
