/* The random search over kernels: see search.h. */
#include "search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "workers.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- Specs ------------------------------------------------------------------------------------------------------- */

enum {
    MOST_ELEMENTS = 4096, /* of a spec, but for the longest rows */
    LONGEST_ROW = 100000
};

static size_t log_uniform(softfocus_random *random, double most)
{
    return (size_t)exp2(softfocus_random_between(random, 0.0, log2(most + 0.99)));
}

static void choose_shape(softfocus_case_spec *spec, softfocus_random *random)
{
    size_t way = softfocus_random_below(random, 256);
    spec->classes = way == 0   ? log_uniform(random, LONGEST_ROW)
                    : way < 64 ? log_uniform(random, MOST_ELEMENTS)
                               : 1 + softfocus_random_below(random, 70);
    size_t positions = 1 + MOST_ELEMENTS / spec->classes;
    spec->inner = softfocus_random_below(random, 3) == 0 ? log_uniform(random, (double)positions) : 1;
    spec->outer = 1 + softfocus_random_below(random, positions / spec->inner + 1);
}

/* Reductions are left out: the tests hold their rounding. */
static softfocus_case_spec choose(const softfocus_case_kernel *kernel, softfocus_random *random)
{
    static const double gammas[] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0}, alphas[] = {-1.0, 0.25, 1.0};
    static const softfocus_case_targets targets[] = {SOFTFOCUS_TARGETS_RANDOM, SOFTFOCUS_TARGETS_EASY,
                                                     SOFTFOCUS_TARGETS_HARD, SOFTFOCUS_TARGETS_BETWEEN};
    static const softfocus_case_logits hard[] = {SOFTFOCUS_LOGITS_EQUAL, SOFTFOCUS_LOGITS_GAPS,
                                                 SOFTFOCUS_LOGITS_DISJOINT, SOFTFOCUS_LOGITS_LARGE,
                                                 SOFTFOCUS_LOGITS_HUGE};
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    choose_shape(&spec, random);
    spec.logits = softfocus_random_below(random, 3) == 0 ? hard[softfocus_random_below(random, COUNT(hard))]
                                                         : SOFTFOCUS_LOGITS_NORMAL;
    spec.scale = exp2(softfocus_random_between(random, -4.0, 6.0));
    int between = kernel->has_options && !kernel->index_targets;
    spec.targets = targets[softfocus_random_below(random, between ? COUNT(targets) : COUNT(targets) - 1)];
    spec.gamma = gammas[softfocus_random_below(random, COUNT(gammas))];
    spec.alpha = alphas[softfocus_random_below(random, COUNT(alphas))];
    spec.class_weight = kernel->has_options && softfocus_random_below(random, 4) == 0;
    spec.seed = softfocus_random_bits(random);
    return spec;
}

/* ---- One spec ---------------------------------------------------------------------------------------------------- */

typedef struct tally {
    size_t row_count;
    uint64_t wrong;
    char current[SOFTFOCUS_SEARCH_SPEC_SIZE]; /* the spec at work: what to look at after a crash */
    softfocus_search_row rows[SOFTFOCUS_SEARCH_MOST_ROWS];
} tally;

typedef struct job {
    const softfocus_search_options *options;
    tally *tallies; /* shared, one per worker */
} job;

static softfocus_search_row *row_of(tally *found, const softfocus_case_kernel *kernel, const char *output,
                                    const char *unit, double bound)
{
    for (size_t r = 0; r < found->row_count; r++) {
        softfocus_search_row *row = &found->rows[r];
        if (row->kernel == kernel && strcmp(row->output, output) == 0 && row->bound == bound)
            return row;
    }
    if (found->row_count == SOFTFOCUS_SEARCH_MOST_ROWS) {
        fprintf(stderr, "SOFTFOCUS_SEARCH_MOST_ROWS is too small\n");
        exit(EXIT_FAILURE);
    }
    softfocus_search_row *row = &found->rows[found->row_count++];
    row->kernel = kernel;
    row->bound = bound;
    snprintf(row->output, sizeof row->output, "%s", output);
    snprintf(row->unit, sizeof row->unit, "%s", unit);
    for (size_t i = 0; i < SOFTFOCUS_SEARCH_MOST_ISAS; i++)
        row->worst[i].error = -1.0;
    return row;
}

static void keep(tally *found, size_t isa, const softfocus_case_spec *spec, const softfocus_case_report *report,
                 size_t values)
{
    for (size_t k = 0; k < report->output_count; k++) {
        const softfocus_case_output_report *output = &report->outputs[k];
        softfocus_search_worst *worst =
            &row_of(found, spec->kernel, output->name, output->unit, output->bound)->worst[isa];
        worst->results += k == 0 && report->output_count > 1 ? values - softfocus_case_elements(spec)
                                                             : softfocus_case_elements(spec);
        if (output->worst <= worst->error)
            continue;
        worst->error = output->worst;
        softfocus_case_describe(spec, worst->spec, sizeof worst->spec);
        snprintf(worst->where, sizeof worst->where, "position %zu, class %zu: got %.9g, expected %.17g",
                 output->position, output->class_index, (double)output->got, output->expected);
    }
}

static void try_spec(const softfocus_search_options *options, const softfocus_case_spec *spec, tally *found)
{
    softfocus_case *instance = softfocus_case_make(spec);
    size_t values = softfocus_case_output_size(instance);
    softfocus_case_report report;
    softfocus_case_describe(spec, found->current, sizeof found->current);
    for (size_t i = 0; i < options->isa_count; i++) {
        softfocus_context context = softfocus_context_defaults();
        context.isa = options->isas[i];
        softfocus_case_reset(instance);
        softfocus_status status = softfocus_case_run(instance, &context);
        if (status == SOFTFOCUS_OK && softfocus_case_check(instance, 1.0, &report)) {
            keep(found, i, spec, &report, values);
            continue;
        }
        found->wrong++;
        char text[SOFTFOCUS_SEARCH_SPEC_SIZE];
        if (status != SOFTFOCUS_OK)
            snprintf(report.text, sizeof report.text, "%s (%s)", softfocus_status_string(status),
                     softfocus_case_describe(spec, text, sizeof text));
        else
            keep(found, i, spec, &report, values);
        fprintf(stderr, "WRONG: %s: %s\n", softfocus_isa_name(options->isas[i]), report.text);
    }
    softfocus_case_free(instance);
    found->current[0] = '\0';
}

static void search_item(void *argument, size_t worker, size_t i)
{
    const job *work = argument;
    size_t kernels = softfocus_case_kernel_count();
    softfocus_random random = {work->options->seed + i * UINT64_C(0xd1342543de82ef95)};
    random.state = softfocus_random_bits(&random);
    softfocus_case_spec spec = choose(softfocus_case_kernel_at(i % kernels), &random);
    try_spec(work->options, &spec, &work->tallies[worker]);
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

static void merge(tally *all, const tally *one)
{
    all->wrong += one->wrong;
    for (size_t r = 0; r < one->row_count; r++) {
        const softfocus_search_row *from = &one->rows[r];
        softfocus_search_row *to = row_of(all, from->kernel, from->output, from->unit, from->bound);
        for (size_t i = 0; i < SOFTFOCUS_SEARCH_MOST_ISAS; i++) {
            uint64_t results = to->worst[i].results + from->worst[i].results;
            double error = from->worst[i].error;
            /* Of equal ones always the same, whichever worker found it. */
            if (error > to->worst[i].error ||
                (error == to->worst[i].error && strcmp(from->worst[i].spec, to->worst[i].spec) < 0))
                to->worst[i] = from->worst[i];
            to->worst[i].results = results;
        }
    }
}

static int by_kernel_output_bound(const void *left, const void *right)
{
    const softfocus_search_row *a = left, *b = right;
    if (a->kernel != b->kernel) {
        size_t i = 0;
        while (softfocus_case_kernel_at(i) != a->kernel && softfocus_case_kernel_at(i) != b->kernel)
            i++;
        return softfocus_case_kernel_at(i) == a->kernel ? -1 : 1;
    }
    int order = strcmp(b->output, a->output); /* "loss" before "grad" */
    return order != 0 ? order : (a->bound > b->bound) - (a->bound < b->bound);
}

size_t softfocus_search_run(const softfocus_search_options *options,
                            softfocus_search_row rows[SOFTFOCUS_SEARCH_MOST_ROWS], uint64_t *wrong)
{
    size_t shared = options->workers * sizeof(tally);
    job work = {.options = options, .tallies = softfocus_workers_share(shared)};
    static tally all;
    all = (tally){0};
    int well = softfocus_workers_run(options->workers, options->specs * softfocus_case_kernel_count(), search_item,
                                     &work);
    for (size_t w = 0; w < options->workers; w++) {
        merge(&all, &work.tallies[w]);
        if (work.tallies[w].current[0] != '\0')
            fprintf(stderr, "ended in the midst of: %s\n", work.tallies[w].current);
    }
    softfocus_workers_unshare(work.tallies, shared);
    qsort(all.rows, all.row_count, sizeof *all.rows, by_kernel_output_bound);
    memcpy(rows, all.rows, all.row_count * sizeof *rows);
    *wrong = all.wrong;
    return well ? all.row_count : 0;
}
