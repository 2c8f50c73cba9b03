/* Every kernel on every ISA and group of inputs: against the oracle, within the documented bounds, and
 * against the scalar path, within the sum of both bounds. One test each: "softmax_focal_loss/avx2/sizes". */
#include "tests.h"

#include <stdlib.h>

#include "buffers.h"
#include "cases.h"

/* Of one test. */
typedef struct tally {
    const softfocus_isa *isa, *scalar; /* scalar: NULL where it is isa itself */
    size_t specs, wrong;
    size_t output_count;
    softfocus_case_output_report worst[SOFTFOCUS_CASE_MAX_OUTPUTS]; /* by share of its bound */
} tally;

enum { SHOWN = 5 }; /* failures described per test */

static void wrong(tally *progress, const char *against, const char *text)
{
    if (progress->wrong++ < SHOWN)
        softfocus_test_note("WRONG against %s: %s", against, text);
}

static void keep_worst(tally *progress, const softfocus_case_report *report)
{
    for (size_t k = 0; k < report->output_count; k++) {
        softfocus_case_output_report *worst = &progress->worst[k];
        const softfocus_case_output_report *found = &report->outputs[k];
        if (worst->name == NULL || found->worst / found->bound > worst->worst / worst->bound)
            *worst = *found;
    }
    if (report->output_count > progress->output_count)
        progress->output_count = report->output_count;
}

static int run_on(softfocus_case *instance, const softfocus_isa *isa, tally *progress)
{
    softfocus_context context = softfocus_context_defaults();
    softfocus_error error = softfocus_error_defaults();
    context.isa = isa;
    context.error = &error;
    softfocus_status status = softfocus_case_run(instance, &context);
    if (status != SOFTFOCUS_OK) {
        char text[512];
        softfocus_case_describe(softfocus_case_spec_of(instance), text, sizeof text);
        softfocus_test_note("%s: %s (%s)", softfocus_isa_name(isa), softfocus_status_string(status), text);
        wrong(progress, "the contract", error.argument == NULL ? "?" : error.argument);
    }
    return status == SOFTFOCUS_OK;
}

static void visit(void *argument, const softfocus_case_spec *spec)
{
    tally *progress = argument;
    softfocus_case *instance = softfocus_case_make(spec);
    softfocus_case_report report;
    float *by_scalar = NULL;
    progress->specs++;
    if (progress->scalar != NULL && run_on(instance, progress->scalar, progress)) {
        by_scalar = softfocus_allocate(softfocus_case_output_size(instance), sizeof *by_scalar);
        softfocus_case_output(instance, by_scalar);
        softfocus_case_reset(instance);
    }
    if (run_on(instance, progress->isa, progress)) {
        if (!softfocus_case_check(instance, 1.0, &report))
            wrong(progress, "the oracle", report.text);
        keep_worst(progress, &report);
        if (by_scalar != NULL && !softfocus_case_check_against(instance, by_scalar, 2.0, &report))
            wrong(progress, "scalar", report.text);
    }
    free(by_scalar);
    softfocus_case_free(instance);
}

static const softfocus_case_group *group_of(const softfocus_test *test)
{
    return softfocus_case_group_at(test->number);
}

static void run_group(const softfocus_test *test)
{
    const softfocus_isa *scalar = softfocus_isa_find("scalar");
    tally progress = {.isa = test->isa, .scalar = test->isa == scalar ? NULL : scalar};
    group_of(test)->each(test->subject, softfocus_test_seed(), visit, &progress);
    for (size_t k = 0; k < progress.output_count; k++) {
        const softfocus_case_output_report *worst = &progress.worst[k];
        softfocus_test_note("%s: worst %.3g of %.3g %s", worst->name, worst->worst, worst->bound,
                            worst->unit);
    }
    if (progress.wrong != 0)
        softfocus_test_fail("%zu of %zu inputs wrong", progress.wrong, progress.specs);
}

/* How many specs a group has for a kernel: a group that means nothing to it has no test. */
static void count_spec(void *argument, const softfocus_case_spec *spec)
{
    (void)spec;
    ++*(size_t *)argument;
}

void softfocus_add_case_tests(void)
{
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++)
        for (size_t g = 0; g < softfocus_case_group_count(); g++) {
            const softfocus_case_kernel *kernel = softfocus_case_kernel_at(k);
            const softfocus_case_group *group = softfocus_case_group_at(g);
            size_t specs = 0;
            group->each(kernel, 0, count_spec, &specs);
            for (size_t i = 0; specs != 0 && i < softfocus_isa_count(); i++) {
                const softfocus_isa *isa = softfocus_isa_at(i);
                softfocus_test *test =
                    softfocus_test_add("%s/%s/%s", kernel->name, softfocus_isa_name(isa), group->name);
                test->body = run_group;
                test->isa = isa;
                test->subject = kernel;
                test->number = g;
            }
        }
}
