/* softfocus-test-subnormal: no arithmetic on subnormal numbers where neither inputs nor results are subnormal. Many CPUs
 * take more than 100 cycles for an operation that has or makes one, so that kernels took 3 to 12 times as long on rows that
 * do not fill their last vector, and on classes masked with -inf.
 * Built with the dispatcher of the library and watched/dispatch/fp.h. Exit status 0: none. */
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

int softfocus_test_subnormals;

/* Masks are for classes that share a softmax; in the sigmoid loss each is by itself. */
static const softfocus_case_logits kinds[] = {SOFTFOCUS_LOGITS_NORMAL, SOFTFOCUS_LOGITS_MASKED};

/* In each regime rows, or positions, that fill their last vector and such as do not. */
static const size_t shapes[][3] = {
    {40, 1, 1},   {40, 2, 1},   {40, 3, 1},   {40, 8, 1},    {40, 19, 1},   {40, 39, 1},   {40, 47, 1},   {40, 80, 1},
    {40, 81, 1},  {40, 82, 1},  {40, 83, 1},  {40, 85, 1},   {40, 91, 1},   {40, 100, 1},  {40, 127, 1},  {40, 129, 1},
    {40, 150, 1}, {40, 520, 1}, {40, 593, 1}, {40, 1000, 1}, {3, 50257, 1}, {2, 2, 50},    {2, 19, 100},  {1, 150, 600},
    {2, 91, 100}, {1, 1000, 64},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t kinds_of(const softfocus_case_kernel *kernel)
{
    return strcmp(kernel->name, "sigmoid_focal_loss") == 0 ? 1 : COUNT(kinds);
}

static size_t calls, failures;

static void try_case(const softfocus_case_spec *spec, const softfocus_isa *isa)
{
    softfocus_context context = softfocus_context_defaults();
    softfocus_case *instance = softfocus_case_make(spec);
    char text[512];
    context.isa = isa;
    softfocus_test_subnormals = 0;
    feclearexcept(FE_ALL_EXCEPT); /* where a call begins with the caller's (AArch64) */
    softfocus_status status = softfocus_case_run(instance, &context);
    calls++;
    if (status != SOFTFOCUS_OK || softfocus_test_subnormals) {
        softfocus_case_describe(spec, text, sizeof text);
        fprintf(stderr, "%s: %s (%s)\n", softfocus_isa_name(isa),
                status != SOFTFOCUS_OK ? softfocus_status_string(status) : "arithmetic on subnormal numbers", text);
        failures++;
    }
    softfocus_case_free(instance);
}

static void try_kernel(const softfocus_case_kernel *kernel, const softfocus_isa *isa)
{
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (size_t kind = 0; kind < kinds_of(kernel); kind++) {
            softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
            spec.outer = shapes[s][0];
            spec.classes = shapes[s][1];
            spec.inner = shapes[s][2];
            spec.logits = kinds[kind];
            spec.targets = SOFTFOCUS_TARGETS_EASY; /* a class that is not masked */
            for (spec.gradient = 0; spec.gradient <= (kernel->has_options ? 1 : 0); spec.gradient++)
                try_case(&spec, isa);
        }
}

/* That flags are seen: with logits 80 to 110 below the first, probabilities are subnormal. */
static int sees_subnormal_results(const softfocus_isa *isa)
{
    float logits[] = {0.0f, -80.0f, -90.0f, -100.0f, -110.0f}, log_probs[5], ones[] = {1.0f, 0.0f, 0.0f, 0.0f, 0.0f},
          grad[5];
    softfocus_context context = softfocus_context_defaults();
    context.isa = isa;
    softfocus_tensor in = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 1, 5, 1);
    softfocus_tensor out = softfocus_tensor_contiguous(log_probs, SOFTFOCUS_F32, 1, 5, 1);
    softfocus_tensor above = softfocus_tensor_contiguous_const(ones, SOFTFOCUS_F32, 1, 5, 1);
    softfocus_tensor to = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 1, 5, 1);
    softfocus_test_subnormals = 0;
    feclearexcept(FE_ALL_EXCEPT);
    return softfocus_log_softmax(&context, &in, &out) == SOFTFOCUS_OK &&
           softfocus_log_softmax_backward(&context, &out, &above, &to) == SOFTFOCUS_OK && softfocus_test_subnormals;
}

int main(void)
{
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        if (!softfocus_isa_supported(isa))
            continue;
        if (!sees_subnormal_results(isa)) {
            fprintf(stderr, "%s: subnormal results go unseen\n", softfocus_isa_name(isa));
            failures++;
        }
        for (size_t k = 0; k < softfocus_case_kernel_count(); k++)
            try_kernel(softfocus_case_kernel_at(k), isa);
    }
    printf("%zu of %zu calls without arithmetic on subnormal numbers\n", calls - failures, calls);
    return calls > 0 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
