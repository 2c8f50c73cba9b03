/* softfocus-test-environment: the floating-point environment beyond the modes of tests/test_bits.c (which holds rounding
 * modes, FTZ and DAZ). A call leaves the whole environment as it was, raised exception flags included, on the calling
 * thread and on those of its tasks; and a caller that traps exceptions is not trapped by a call, whatever it is given.
 * Exit status 0: as documented. */
#include <fenv.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "parallel.h"

enum { ELEMENTS_MAX = 20000 }; /* larger shapes take no other path */

static size_t calls, refusals;
static const softfocus_case_spec *current_spec;
static const char *current_isa = "";
static volatile sig_atomic_t traps;

static _Noreturn void fail(const char *what)
{
    char text[512];
    fedisableexcept(FE_ALL_EXCEPT);
    softfocus_case_describe(current_spec, text, sizeof text);
    fprintf(stderr, "%s: %s%s (%s)\n", current_isa, what, traps ? ", exceptions trapped" : "", text);
    exit(EXIT_FAILURE);
}

/* Called inside a call, whose arithmetic is at fault: this is all there is to say, and the process cannot go on. */
static void trapped(int signal)
{
    (void)signal;
    fail("trapped");
}

static fenv_t environment(void)
{
    fenv_t now;
    memset(&now, 0, sizeof now);
    fegetenv(&now);
    return now;
}

static void expect_environment(const fenv_t *before, const char *where)
{
    fenv_t after = environment();
    if (memcmp(before, &after, sizeof after) != 0)
        fail(where);
}

/* ---- Tasks that look around themselves --------------------------------------------------------------------------- */

typedef struct watched {
    void (*task)(void *argument, size_t index);
    void *argument;
} watched;

static void watch_task(void *argument, size_t index)
{
    const watched *inner = argument;
    fenv_t before = environment();
    inner->task(inner->argument, index);
    expect_environment(&before, "a task changed its thread's environment");
}

static void watch_in_order(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    softfocus_parallel_reverse(pool, count, watch_task, &(watched){task, argument});
}

static void watch_in_threads(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    softfocus_parallel_threads(pool, count, watch_task, &(watched){task, argument});
}

/* ---- One call ---------------------------------------------------------------------------------------------------- */

/* In an environment with these flags raised, and with these exceptions trapped. */
static void call_in(softfocus_case *instance, const softfocus_context *context, softfocus_status expected, int raised,
                    int trap)
{
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(raised);
    traps = trap != 0;
    if (trap != 0 && feenableexcept(trap) == -1)
        fail("exceptions cannot be trapped, though they could be");
    fenv_t before = environment();
    softfocus_status status = softfocus_case_run(instance, context);
    expect_environment(&before, "the call changed the environment");
    fedisableexcept(FE_ALL_EXCEPT);
    traps = 0;
    feclearexcept(FE_ALL_EXCEPT);
    if (status != expected)
        fail(softfocus_status_string(status));
    calls++;
}

static int can_trap; /* not every CPU: optional on AArch64, and never under qemu-user */

static void try_spec(const softfocus_case_spec *spec, const softfocus_isa *isa, softfocus_status expected)
{
    softfocus_task_record record = {0};
    softfocus_context context = softfocus_context_defaults();
    softfocus_case *instance = softfocus_case_make(spec);
    current_spec = spec;
    current_isa = softfocus_isa_name(isa);
    context.isa = isa;
    context.pool = &record;
    call_in(instance, &context, expected, 0, 0);
    call_in(instance, &context, expected, FE_ALL_EXCEPT, 0);
    if (can_trap)
        call_in(instance, &context, expected, 0, FE_ALL_EXCEPT);
    context.threads = 4;
    context.parallel_for = watch_in_order;
    call_in(instance, &context, expected, FE_INVALID, 0);
    if (softfocus_case_elements(spec) > ELEMENTS_MAX / 2) { /* enough for several tasks */
        context.parallel_for = watch_in_threads;
        call_in(instance, &context, expected, FE_OVERFLOW, can_trap ? FE_ALL_EXCEPT & ~FE_OVERFLOW : 0);
    }
    softfocus_case_free(instance);
}

static void visit(void *argument, const softfocus_case_spec *spec)
{
    if (softfocus_case_elements(spec) <= ELEMENTS_MAX)
        try_spec(spec, argument, SOFTFOCUS_OK);
}

/* A refusal reads numbers, too: comparing a NaN raises an exception. */
static void refusals_of(const softfocus_case_kernel *kernel, const softfocus_isa *isa)
{
    for (size_t field = 0; field < 3; field++) {
        softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
        *(field == 0 ? &spec.gamma : field == 1 ? &spec.alpha : &spec.normalizer) = (double)NAN;
        try_spec(&spec, isa, SOFTFOCUS_ERROR_OPTION);
        refusals++;
    }
}

static void several_tasks(const softfocus_case_kernel *kernel, const softfocus_isa *isa)
{
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    spec.outer = 40;
    spec.classes = 1000;
    spec.logits = SOFTFOCUS_LOGITS_SPECIAL;
    try_spec(&spec, isa, SOFTFOCUS_OK);
}

/* The groups that differ in what is computed, not in where. */
static int is_wanted(const softfocus_case_group *group)
{
    return strcmp(group->name, "logits") == 0 || strcmp(group->name, "options") == 0;
}

static void try_kernel(const softfocus_case_kernel *kernel, const softfocus_isa *isa)
{
    for (size_t g = 0; g < softfocus_case_group_count(); g++)
        if (is_wanted(softfocus_case_group_at(g)))
            softfocus_case_group_at(g)->each(kernel, 1, visit, (void *)(uintptr_t)isa);
    several_tasks(kernel, isa);
    if (kernel->has_options)
        refusals_of(kernel, isa);
}

int main(void)
{
    struct sigaction action = {.sa_handler = trapped};
    sigaction(SIGFPE, &action, NULL);
    can_trap = feenableexcept(FE_ALL_EXCEPT) != -1;
    fedisableexcept(FE_ALL_EXCEPT);
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        for (size_t k = 0; softfocus_isa_supported(softfocus_isa_at(i)) && k < softfocus_case_kernel_count(); k++)
            try_kernel(softfocus_case_kernel_at(k), softfocus_isa_at(i));
    printf("%zu calls left the floating-point environment as it was%s\n", calls,
           can_trap ? ", trapping exceptions or not" : " (this CPU, or its emulator, cannot trap exceptions)");
    return calls > refusals && refusals > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
