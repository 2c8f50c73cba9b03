/* The report: see report.h. It names no date, so that a run which finds the same writes the same. */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tools/cpu_model.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const char *with_separators(uint64_t number, char text[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[at++] = ' ';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

static void write_head(const softfocus_accuracy *accuracy, FILE *file)
{
    char cpu[CPU_MODEL_SIZE];
    softfocus_cpu_model(cpu);
    fprintf(file, "## On");
    for (size_t p = 0; p < accuracy->sweep_options->probe_count; p++)
        fprintf(file, "%s %s", p == 0 ? "" : ",", accuracy->sweep_options->probes[p]->isa);
    fprintf(file, "\n\nCPU: %s. Compiler: %s. Seed %" PRIu64 ".\n\n", accuracy->machine != NULL ? accuracy->machine : cpu,
            COMPILER, accuracy->sweep_options->seed);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

/* Few digits where they say all, hexadecimal for the argument, which is to be run again. */
static void write_result(const softfocus_sweep_result *result, int every, FILE *file)
{
    char inputs[32], m[48] = "";
    int of_floats = strncmp(result->arguments, "float", 5) == 0;
    if (result->has_m)
        snprintf(m, sizeof m, ", m = %a", (double)result->m);
    fprintf(file, "| %s | %s%s | %s | %s | %.*f | %.*f | x = %a%s |\n", result->function,
            of_floats && every ? "every " : "", result->arguments, with_separators(result->inputs, inputs),
            result->probe->isa, result->bound < 0.1 ? 7 : 4, result->worst, result->bound < 0.1 ? 7 : 4,
            result->bound, result->x, m);
}

static void write_functions(const softfocus_accuracy *accuracy, FILE *file)
{
    int every = accuracy->sweep_options->every;
    fprintf(
        file,
        "### Vector functions\n\n"
        "Against libm in double, and MPFR at 200 bits for every candidate for the worst and wherever the double "
        "could\nmistake the size of an ulp. %s Pairs and doubles are drawn,\nhalf of them where arguments "
        "are reduced the worst. On pairs with abs(m) < 2^15 the far form has the bits of the near\none. "
        "`exp(x - m)` is exactly 1 at x = m if m is 0 or abs(m) >= 2^15, and from x = m - 128 down what it is there.\n\n",
        every ? "Every float of a domain is run, however small." : "A sample: of floats, all boundaries and a random part.");
    fprintf(file, "| function | arguments | inputs | ISA | worst ulp | bound | at |\n|---|---|--:|---|--:|--:|---|\n");
    for (size_t i = 0; i < accuracy->result_count; i++)
        write_result(&accuracy->results[i], every, file);
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

static void write_row(const softfocus_search_row *row, size_t isa_count, FILE *file)
{
    char results[32];
    fprintf(file, "| %s | %s | %s | %s | %g |", row->kernel->name, row->output, row->unit,
            with_separators(row->worst[0].results, results), row->bound);
    for (size_t i = 0; i < isa_count; i++)
        fprintf(file, row->worst[i].error <= row->bound ? " %.2f |" : " **%.2f** |", row->worst[i].error);
    fprintf(file, "\n");
}

/* The row of a kernel that has its worst on an ISA, by share of the bound. */
static const softfocus_search_row *worst_row(const softfocus_accuracy *accuracy, const softfocus_case_kernel *kernel,
                                             size_t isa)
{
    const softfocus_search_row *worst = NULL;
    for (size_t r = 0; r < accuracy->row_count; r++) {
        const softfocus_search_row *row = &accuracy->rows[r];
        if (row->kernel == kernel && (worst == NULL || row->worst[isa].error / row->bound >
                                                           worst->worst[isa].error / worst->bound))
            worst = row;
    }
    return worst;
}

static void write_worst_specs(const softfocus_accuracy *accuracy, FILE *file)
{
    fprintf(file, "\nThe worst of each kernel and ISA, by share of its bound:\n\n");
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++)
        for (size_t i = 0; i < accuracy->search_options->isa_count; i++) {
            const softfocus_case_kernel *kernel = softfocus_case_kernel_at(k);
            const softfocus_search_row *row = worst_row(accuracy, kernel, i);
            if (row == NULL)
                continue;
            fprintf(file, "- %s, %s: %s %.3f %s of %g, %s.\n  `%s`\n", kernel->name,
                    softfocus_isa_name(accuracy->search_options->isas[i]), row->output, row->worst[i].error, row->unit,
                    row->bound, row->worst[i].where, row->worst[i].spec);
        }
}

static void write_kernels(const softfocus_accuracy *accuracy, FILE *file)
{
    char specs[32];
    fprintf(file,
            "\n### Kernels\n\n"
            "The worst of a random search: %s specs per kernel (shapes up to 100 000 classes, logits of every kind\n"
            "but NaN and infinity, gamma of 0, 0.5, 1, 1.5, 2, 3 and 5), each against the oracle, not reduced. Where the\n"
            "bound depends on gamma there is a row for each: 4 + 2 gamma. Targets of the sigmoid loss between 0 and 1 have\n"
            "rows of their own, with a bound of 1; the gradient's ulp is there that of the sum of its terms' magnitudes.\n"
            "One eps is 2^-24 (|g_c| + p_c sum |g_k|). What lies beyond its bound is bold.\n\n",
            with_separators(accuracy->search_options->specs, specs));
    fprintf(file, "| kernel | output | unit | results | bound |");
    for (size_t i = 0; i < accuracy->search_options->isa_count; i++)
        fprintf(file, " %s |", softfocus_isa_name(accuracy->search_options->isas[i]));
    fprintf(file, "\n|---|---|---|--:|--:|");
    for (size_t i = 0; i < accuracy->search_options->isa_count; i++)
        fprintf(file, "--:|");
    fprintf(file, "\n");
    for (size_t r = 0; r < accuracy->row_count; r++)
        write_row(&accuracy->rows[r], accuracy->search_options->isa_count, file);
    write_worst_specs(accuracy, file);
}

void softfocus_accuracy_report(const softfocus_accuracy *accuracy, FILE *file)
{
    write_head(accuracy, file);
    if (accuracy->result_count != 0)
        write_functions(accuracy, file);
    if (accuracy->row_count != 0)
        write_kernels(accuracy, file);
}
