/* What before_after.py runs twice, with one build of the library and with another:
 *     softfocus-turns KERNEL ISA OUTER CLASSES INNER
 * KERNEL as the benchmark names it ("softmax_focal_loss_with_grad"); ISA may be "default": the one that the library chooses.
 * For each line of standard input it takes a turn: calls the kernel for some milliseconds and prints the CPU time per
 * element, in ns. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"
#include "softfocus/softfocus.h"

static const double TURN_SECONDS = 4e-3;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static const softfocus_case_kernel *find_kernel(const char *text, int *gradient)
{
    static const char suffix[] = "_with_grad";
    char name[64];
    size_t length = strlen(text), end = sizeof suffix - 1;
    *gradient = length > end && strcmp(text + length - end, suffix) == 0;
    snprintf(name, sizeof name, "%.*s", (int)(*gradient ? length - end : length), text);
    return softfocus_case_kernel_find(name);
}

static const softfocus_isa *find_isa(const char *name)
{
    return strcmp(name, "default") == 0 ? softfocus_isa_default() : softfocus_isa_find(name);
}

int main(int count, char **arguments)
{
    int gradient;
    const softfocus_case_kernel *kernel = count == 6 ? find_kernel(arguments[1], &gradient) : NULL;
    softfocus_context context = softfocus_context_defaults();
    context.isa = count == 6 ? find_isa(arguments[2]) : NULL;
    if (kernel == NULL || context.isa == NULL) {
        fputs("softfocus-turns: KERNEL ISA OUTER CLASSES INNER; see bench/before_after.py\n", stderr);
        return EXIT_FAILURE;
    }
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    spec.outer = strtoul(arguments[3], NULL, 10);
    spec.classes = strtoul(arguments[4], NULL, 10);
    spec.inner = strtoul(arguments[5], NULL, 10);
    spec.gradient = gradient;
    spec.reduction = SOFTFOCUS_MEAN;
    spec.guard_front = 1;
    softfocus_case *instance = softfocus_case_make(&spec);
    char line[8];
    while (fgets(line, sizeof line, stdin) != NULL) {
        softfocus_status status = softfocus_case_run(instance, &context); /* into the caches */
        if (status != SOFTFOCUS_OK) {
            fprintf(stderr, "softfocus-turns: %s\n", softfocus_status_string(status));
            return EXIT_FAILURE;
        }
        double calls = 0.0, begin = now(), end;
        do {
            (void)softfocus_case_run(instance, &context);
            calls += 1.0;
            end = now();
        } while (end - begin < TURN_SECONDS);
        printf("%.6g\n", 1e9 * (end - begin) / (calls * (double)softfocus_case_elements(&spec)));
        fflush(stdout);
    }
    softfocus_case_free(instance);
    return EXIT_SUCCESS;
}
