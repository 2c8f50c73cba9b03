/* softfocus check: every ISA that this CPU has, on every case of the tests, against the oracle. Called by
 * main.c; the cases, their bounds and the oracle are those of tests/cases. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "cpu_model.h"
#include "run_options.h"
#include "table.h"
#include "tests/cases/cases.h"

/* How many failures are printed; a kernel that is wrong fails thousands of cases. --json has them all. */
enum { MAX_PRINTED = 20 };

typedef struct request {
    const softfocus_isa *isa;            /* NULL: every one that is supported */
    const softfocus_case_kernel *kernel; /* NULL: every one */
    uint64_t seed;
    bool json;
} request;

/* The worst of one output of one kernel on one ISA: the case that came nearest to its bound, which depends on
   gamma. */
typedef struct finding {
    const softfocus_case_kernel *kernel;
    const softfocus_isa *isa;
    const char *output, *unit;
    double worst, bound;
    size_t cases;
} finding;

typedef struct progress {
    const request *request;
    const softfocus_case_kernel *kernel;
    finding *findings; /* in the order in which they turned up */
    size_t finding_count;
    size_t checked, failed;
    json_t *failures; /* NULL: printed as they come */
    bool terminal;
} progress;

/* ---- One case ------------------------------------------------------------------------------------------ */

static finding *find(progress *p, const softfocus_isa *isa, const softfocus_case_output_report *output)
{
    for (size_t i = 0; i < p->finding_count; i++) {
        finding *f = &p->findings[i];
        if (f->kernel == p->kernel && f->isa == isa && strcmp(f->output, output->name) == 0)
            return f;
    }
    finding *larger = realloc(p->findings, (p->finding_count + 1) * sizeof *larger);
    if (larger == NULL)
        exit(softfocus_complain(NULL, "out of memory"));
    p->findings = larger;
    p->findings[p->finding_count] =
        (finding){p->kernel, isa, output->name, output->unit, 0.0, output->bound, 0};
    return &p->findings[p->finding_count++];
}

static void record(progress *p, const softfocus_isa *isa, const softfocus_case_report *report)
{
    for (size_t i = 0; i < report->output_count; i++) {
        const softfocus_case_output_report *output = &report->outputs[i];
        finding *f = find(p, isa, output);
        f->cases++;
        if (output->worst * f->bound > f->worst * output->bound) { /* the larger share of its bound */
            f->worst = output->worst;
            f->bound = output->bound;
        }
    }
}

static void record_failure(progress *p, const softfocus_isa *isa, const char *text)
{
    p->failed++;
    if (p->failures == NULL && p->failed > MAX_PRINTED)
        return;
    if (p->failures == NULL)
        fprintf(stderr, "%s%s/%s: %s\n", p->terminal ? "\r\33[K" : "", p->kernel->name,
                softfocus_isa_name(isa), text);
    else
        json_array_append_new(p->failures, json_pack("{s:s, s:s, s:s}", "kernel", p->kernel->name, "isa",
                                                     softfocus_isa_name(isa), "what", text));
}

static void check_on(progress *p, softfocus_case *instance, const softfocus_isa *isa)
{
    softfocus_context context = softfocus_context_defaults();
    context.isa = isa;
    p->checked++;
    softfocus_case_reset(instance);
    softfocus_status status = softfocus_case_run(instance, &context);
    if (status != SOFTFOCUS_OK) {
        record_failure(p, isa, softfocus_status_string(status));
        return;
    }
    softfocus_case_report report;
    if (!softfocus_case_check(instance, 1.0, &report))
        record_failure(p, isa, report.text);
    record(p, isa, &report);
}

static void check_case(void *argument, const softfocus_case_spec *spec)
{
    progress *p = argument;
    softfocus_case *instance = softfocus_case_make(spec);
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        if (p->request->isa != NULL ? isa == p->request->isa : softfocus_isa_supported(isa))
            check_on(p, instance, isa);
    }
    softfocus_case_free(instance);
}

static void check_kernel(progress *p, const softfocus_case_kernel *kernel)
{
    p->kernel = kernel;
    for (size_t i = 0; i < softfocus_case_group_count(); i++) {
        const softfocus_case_group *group = softfocus_case_group_at(i);
        if (p->terminal)
            fprintf(stderr, "\r\33[K%s: %s", kernel->name, group->name);
        group->each(kernel, p->request->seed, check_case, p);
    }
    if (p->terminal)
        fputs("\r\33[K", stderr);
}

/* ---- The report ---------------------------------------------------------------------------------------- */

static bool within_bound(const finding *f)
{
    return f->worst <= f->bound;
}

static void print_table(const progress *p, const char *cpu)
{
    printf("softfocus %s on %s, seed %" PRIu64 "\n\n", SOFTFOCUS_VERSION_STRING, cpu, p->request->seed);
    table *t = softfocus_table_new("lllrrrll");
    static const char *const heads[] = {"kernel", "output", "ISA", "cases", "worst", "bound", "unit", ""};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        softfocus_table_cell(t, "%s", heads[i]);
    for (size_t i = 0; i < p->finding_count; i++) {
        const finding *f = &p->findings[i];
        softfocus_table_cell(t, "%s", f->kernel->name);
        softfocus_table_cell(t, "%s", f->output);
        softfocus_table_cell(t, "%s", softfocus_isa_name(f->isa));
        softfocus_table_cell(t, "%zu", f->cases);
        softfocus_table_cell(t, "%.3f", f->worst);
        softfocus_table_cell(t, "%.1f", f->bound);
        softfocus_table_cell(t, "%s", f->unit);
        softfocus_table_cell(t, "%s", within_bound(f) ? "ok" : "BROKEN");
    }
    softfocus_table_print(t, stdout);
    putchar('\n');
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        if (p->request->isa == NULL && !softfocus_isa_supported(softfocus_isa_at(i)))
            printf("not checked, because this CPU lacks it: %s\n", softfocus_isa_name(softfocus_isa_at(i)));
    printf("%zu of %zu runs failed%s\n", p->failed, p->checked,
           p->failed > MAX_PRINTED ? "; the first are above, --json has all of them" : "");
}

/* JSON has no infinity: a worst that is infinite (NaN where a number is due, or the reverse) is null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int print_json(const progress *p, const char *cpu)
{
    json_t *results = json_array();
    for (size_t i = 0; i < p->finding_count; i++) {
        const finding *f = &p->findings[i];
        json_array_append_new(results,
                              json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:s, s:b}", "kernel", f->kernel->name,
                                        "output", f->output, "isa", softfocus_isa_name(f->isa), "cases",
                                        (json_int_t)f->cases, "worst", number(f->worst), "bound",
                                        number(f->bound), "unit", f->unit, "ok", within_bound(f)));
    }
    json_t *not_checked = json_array();
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        if (!softfocus_isa_supported(softfocus_isa_at(i)))
            json_array_append_new(not_checked, json_string(softfocus_isa_name(softfocus_isa_at(i))));
    return softfocus_print_json(json_pack(
        "{s:s, s:s, s:I, s:b, s:I, s:I, s:o, s:o, s:O}", "version", SOFTFOCUS_VERSION_STRING, "cpu_model",
        cpu, "seed", (json_int_t)p->request->seed, "ok", p->failed == 0 && p->checked > 0, "runs",
        (json_int_t)p->checked, "failed", (json_int_t)p->failed, "results", results, "unsupported_isas",
        not_checked, "failures", p->failures));
}

/* ---- The command --------------------------------------------------------------------------------------- */

enum { OPTION_JSON = 256 };

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case 'i':
        r->isa = softfocus_parse_isa(state, argument);
        return 0;
    case 'k':
        r->kernel = softfocus_case_kernel_find(argument);
        if (r->kernel == NULL)
            softfocus_usage_error(state, "--kernel: there is no kernel '%s'", argument);
        return 0;
    case 's':
        r->seed = (uint64_t)softfocus_parse_integer(state, "--seed", argument, 0, INT64_MAX);
        return 0;
    case OPTION_JSON:
        r->json = true;
        return 0;
    case ARGP_KEY_ARG:
        softfocus_usage_error(state, "'%s' is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"isa", 'i', "NAME", 0, "Check this ISA alone (default: every one that this CPU has)", 0},
    {"kernel", 'k', "NAME", 0, "Check this kernel alone, such as log_softmax", 0},
    {"seed", 's', "N", 0, "What the random inputs are made from (default: 1)", 0},
    {"json", OPTION_JSON, NULL, 0, "Print JSON", 0},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .doc = "Hold every ISA that this CPU has against the reference: each kernel runs on the cases of the "
           "tests, and each result is compared with one computed in higher precision.\v"
           "The table has the worst error of each output, next to its bound: in ulp, units in the last place "
           "of the correctly rounded result, or in eps where the result is a difference that cancels. The "
           "exit status is 1 when a bound is broken.",
};

int softfocus_command_check(int argc, char **argv)
{
    request r = {.seed = 1};
    softfocus_parse_command_line(&argp, argc, argv, &r);

    progress p = {.request = &r, .failures = r.json ? json_array() : NULL, .terminal = isatty(STDERR_FILENO)};
    for (size_t i = 0; i < softfocus_case_kernel_count(); i++)
        if (r.kernel == NULL || r.kernel == softfocus_case_kernel_at(i))
            check_kernel(&p, softfocus_case_kernel_at(i));

    char cpu[CPU_MODEL_SIZE];
    softfocus_cpu_model(cpu);
    int status = 0;
    if (r.json)
        status = print_json(&p, cpu);
    else
        print_table(&p, cpu);
    json_decref(p.failures);
    free(p.findings);
    return p.failed == 0 && p.checked > 0 ? status : STATUS_FAILED; /* nothing checked is nothing shown */
}
