/* softfocus-accuracy: how far the vector functions and the kernels are from the exact results, on each ISA of this CPU.
 *
 *   softfocus-accuracy                     every float32 of every domain, and a long search over kernels
 *   softfocus-accuracy --search 0          the functions alone
 *   softfocus-accuracy --sample 1          hardly more than the search
 *   softfocus-accuracy --sample 200000     a sample, as the tests take, with all boundaries: for emulators too
 *
 * Standard output is a section of docs/accuracy.md, which scripts/accuracy.sh puts together; standard error has the rest.
 * Fails where something lies beyond its bound. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "search.h"
#include "sweep.h"

static const softfocus_probe *const probes[] = {
#define PROBE(isa) &softfocus_probe_##isa,
    SOFTFOCUS_PROBES
#undef PROBE
};

enum { PROBE_COUNT = sizeof probes / sizeof *probes, EXIT_SKIPPED = 77 /* to meson */ };

typedef struct choices {
    const char *isa;   /* NULL: all that this CPU supports */
    const char *machine; /* NULL: what the CPU says of itself */
    uint64_t sample;   /* 0: every float */
    uint64_t specs, seed, jobs;
    int has_specs;
} choices;

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

static void usage(FILE *file)
{
    fprintf(file, "usage: softfocus-accuracy [--sample N] [--search N] [--seed N] [--isa NAME] [--jobs N] [--machine TEXT]\n"
                  "  --sample N    N floats of each domain, and all boundaries; without it every float\n"
                  "  --search N    N random specs per kernel (100000; with --sample 200; 0: none)\n"
                  "  --seed N      another seed (1)\n"
                  "  --isa NAME    that ISA alone\n"
                  "  --jobs N      processes (as many as there are CPUs)\n"
                  "  --machine TEXT  what the report calls this machine (what its CPU says of itself)\n");
}

/* The number of argv[*i + 1]; 0: none, and said so. */
static int parse_number(int argc, char **argv, int *i, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = *i + 1 < argc ? strtoull(argv[*i + 1], &end, 0) : 0;
    if (end == NULL || end == argv[*i + 1] || *end != '\0' || errno != 0 || argv[*i + 1][0] == '-') {
        fprintf(stderr, "softfocus-accuracy: %s needs a number\n", argv[*i]);
        return 0;
    }
    *number = value;
    ++*i;
    return 1;
}

/* 0: wrong, and said so. */
static int parse(int argc, char **argv, choices *choice)
{
    for (int i = 1; i < argc; i++) {
        int has_value = i + 1 < argc, good = 1;
        if (strcmp(argv[i], "--sample") == 0) {
            good = parse_number(argc, argv, &i, &choice->sample) && choice->sample != 0;
        } else if (strcmp(argv[i], "--search") == 0) {
            good = parse_number(argc, argv, &i, &choice->specs);
            choice->has_specs = 1;
        } else if (strcmp(argv[i], "--seed") == 0) {
            good = parse_number(argc, argv, &i, &choice->seed);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            good = parse_number(argc, argv, &i, &choice->jobs) && choice->jobs != 0 && choice->jobs <= 64;
        } else if (strcmp(argv[i], "--isa") == 0 && has_value) {
            choice->isa = argv[++i];
        } else if (strcmp(argv[i], "--machine") == 0 && has_value) {
            choice->machine = argv[++i];
        } else {
            good = 0;
        }
        if (!good) {
            usage(stderr);
            return 0;
        }
    }
    if (!choice->has_specs)
        choice->specs = choice->sample != 0 ? 200 : 100000;
    return 1;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* Fills both lists with the ISAs to measure, and returns how many. */
static size_t choose_isas(const choices *choice, const softfocus_probe **chosen, softfocus_search_options *search)
{
    size_t count = 0;
    for (size_t p = 0; p < PROBE_COUNT; p++) {
        const softfocus_isa *isa = softfocus_isa_find(probes[p]->isa);
        if (choice->isa != NULL && strcmp(choice->isa, probes[p]->isa) != 0)
            continue;
        if (!softfocus_isa_supported(isa)) {
            fprintf(stderr, "%s: this CPU, or its operating system, lacks it\n", probes[p]->isa);
            continue;
        }
        chosen[count] = probes[p];
        search->isas[count++] = isa;
    }
    search->isa_count = count;
    return count;
}

static size_t beyond_bounds(const softfocus_sweep_result *results, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const softfocus_sweep_result *result = &results[i];
        if (result->ok)
            continue;
        wrong++;
        fprintf(stderr, "WRONG: %s: %s: %.6f ulp of %.6f at x = %a, m = %a (got %a); %" PRIu64 " results differ\n",
                result->probe->isa, result->function, result->worst, result->bound, result->x, (double)result->m,
                result->got, result->differing);
    }
    return wrong;
}

static int measure(const choices *choice)
{
    const softfocus_probe *chosen[PROBE_COUNT];
    static softfocus_sweep_result results[SOFTFOCUS_SWEEP_MOST_RESULTS];
    static softfocus_search_row rows[SOFTFOCUS_SEARCH_MOST_ROWS];
    softfocus_search_options search = {.specs = choice->specs, .seed = choice->seed, .workers = choice->jobs};
    softfocus_sweep_options sweep = {.probes = chosen, .every = choice->sample == 0, .sample = choice->sample,
                                     .seed = choice->seed, .workers = choice->jobs};
    sweep.probe_count = choose_isas(choice, chosen, &search);
    if (sweep.probe_count == 0)
        return EXIT_SKIPPED;
    uint64_t wrong_specs = 0;
    size_t wrong = softfocus_sweep_special_values(&sweep);
    size_t result_count = softfocus_sweep_all(&sweep, results);
    size_t row_count = choice->specs == 0 ? 0 : softfocus_search_run(&search, rows, &wrong_specs);
    wrong += beyond_bounds(results, result_count);
    softfocus_accuracy accuracy = {choice->machine, &sweep, results, result_count, &search, rows, row_count};
    softfocus_accuracy_report(&accuracy, stdout);
    int written = fflush(stdout) == 0 && !ferror(stdout);
    int complete = result_count != 0 && (row_count != 0 || choice->specs == 0);
    fprintf(stderr, "%zu functions and %" PRIu64 " specs wrong%s\n", wrong, wrong_specs,
            complete ? "" : "; not all was run");
    return complete && written && wrong == 0 && wrong_specs == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    choices choice = {.seed = 1, .jobs = cpus < 1 ? 1 : cpus > 64 ? 64 : (uint64_t)cpus};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (!parse(argc, argv, &choice))
        return EXIT_FAILURE;
    fprintf(stderr, "seed %" PRIu64 "\n", choice.seed);
    return measure(&choice);
}
