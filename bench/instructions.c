/* What check_instructions.py runs under callgrind: every kernel on every ISA that valgrind's CPU has, once, at fixed shapes.
 * Prints a line for each, "KERNEL ISA SHAPE ELEMENTS", in the order in which callgrind dumps its counts of it. Outside
 * valgrind it does the same, and nobody counts. */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

#include "cases.h"
#include "softfocus/softfocus.h"

/* One of each regime; long enough that what a call costs by itself does not show. */
static const softfocus_case_shape shapes[] = {
    {"rows:4096/classes:4", 4096, 4, 1},
    {"rows:512/classes:80", 512, 80, 1},
    {"rows:32/classes:1000", 32, 1000, 1},
    {"rows:1/classes:50257", 1, 50257, 1},
    {"images:2/classes:19/pixels:1024", 2, 19, 1024},
};

static int count(const softfocus_case_kernel *kernel, int gradient, const softfocus_isa *isa,
                 const softfocus_case_shape *shape)
{
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    spec.outer = shape->outer, spec.classes = shape->classes, spec.inner = shape->inner;
    spec.gradient = gradient;
    spec.reduction = SOFTFOCUS_MEAN;
    spec.guard_front = 1;
    softfocus_case *instance = softfocus_case_make(&spec);
    softfocus_context context = softfocus_context_defaults();
    context.isa = isa;
    int failed = softfocus_case_run(instance, &context) != SOFTFOCUS_OK; /* what is done once is done now */
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    failed |= softfocus_case_run(instance, &context) != SOFTFOCUS_OK;
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS;
    printf("%s%s %s %s %zu\n", kernel->name, kernel->has_gradient && gradient ? "_with_grad" : "", softfocus_isa_name(isa),
           shape->name, softfocus_case_elements(&spec));
    softfocus_case_free(instance);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++) {
        const softfocus_case_kernel *kernel = softfocus_case_kernel_at(k);
        for (int gradient = 0; gradient <= kernel->has_gradient; gradient++)
            for (size_t i = 0; i < softfocus_isa_count(); i++)
                for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
                    if (softfocus_isa_supported(softfocus_isa_at(i)))
                        failed |= count(kernel, gradient, softfocus_isa_at(i), &shapes[s]);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
