/* softfocus-tests: every test of the library in one program, so that one file runs under an emulator.
 *
 *     softfocus-tests [--list] [--filter TEXT]... [--isa NAME|none] [--part I/N] [--seed N]
 *
 * The exit status is 0 only if something ran and nothing failed; 77 if all that was chosen had to be
 * skipped, since this CPU lacks the ISA. The last line is "N passed, N failed, N skipped". */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"
#include "tests.h"

enum { MAX_TESTS = 2048, MAX_FILTERS = 16, EXIT_SKIPPED = 77 };

static softfocus_test tests[MAX_TESTS];
static size_t test_count;
static uint64_t seed = 1;
static size_t passed, skipped;

typedef struct choices {
    const char *filters[MAX_FILTERS]; /* any of these in the name; none: all */
    size_t filter_count;
    const char *isa; /* NULL: all; "none": the tests about no ISA */
    size_t part, parts; /* of what is so chosen, every parts-th from the part-th on */
    int list;
} choices;

/* ---- For the tests ------------------------------------------------------------------------------------- */

softfocus_test *softfocus_test_add(const char *name, ...)
{
    if (test_count == MAX_TESTS) {
        fprintf(stderr, "MAX_TESTS is too small\n");
        exit(EXIT_FAILURE);
    }
    softfocus_test *test = &tests[test_count++];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(test->name, sizeof test->name, name, arguments);
    va_end(arguments);
    return test;
}

void softfocus_test_fail(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fail_msg("%s", text);
    abort(); /* not reached: fail_msg leaves by longjmp */
}

softfocus_context softfocus_test_context(const softfocus_isa *isa)
{
    softfocus_context context = softfocus_context_defaults();
    context.isa = isa;
    return context;
}

void softfocus_test_expect_ok(softfocus_status status)
{
    if (status != SOFTFOCUS_OK)
        softfocus_test_fail("%s", softfocus_status_string(status));
}

void softfocus_test_note(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_message("             %s\n", text);
}

size_t softfocus_test_outer(size_t outer, size_t classes, size_t inner)
{
    const size_t usual = (size_t)6 << 20;
    if (outer * classes * inner * sizeof(float) < usual)
        return outer;
    return (outer * SOFTFOCUS_STREAM_BYTES + usual - 1) / usual;
}

uint64_t softfocus_test_seed(void)
{
    return seed;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

/* What cmocka calls for every test. */
static void call_body(void **state)
{
    const softfocus_test *test = *state;
    if (test->isa != NULL && !softfocus_isa_supported(test->isa)) {
        skipped++;
        softfocus_test_note("%s: this CPU, or its operating system, lacks %s", test->name,
                            softfocus_isa_name(test->isa));
        skip();
    }
    test->body(test);
    passed++; /* a failure has left by longjmp */
}

static int is_chosen(const choices *choice, const softfocus_test *test)
{
    if (choice->isa != NULL) {
        const char *isa = test->isa == NULL ? "none" : softfocus_isa_name(test->isa);
        if (strcmp(isa, choice->isa) != 0)
            return 0;
    }
    int chosen = choice->filter_count == 0;
    for (size_t f = 0; f < choice->filter_count; f++)
        chosen |= strstr(test->name, choice->filters[f]) != NULL;
    return chosen;
}

/* The number of the first test from `i` on that is chosen, and in the part that is; test_count after the last. */
static size_t next_chosen(const choices *choice, size_t i)
{
    size_t before = 0;
    for (size_t j = 0; j < i; j++)
        before += (size_t)is_chosen(choice, &tests[j]);
    for (; i < test_count; i++)
        if (is_chosen(choice, &tests[i]) && before++ % choice->parts == choice->part - 1)
            break;
    return i;
}

static int run_chosen(const choices *choice)
{
    struct CMUnitTest *units = calloc(test_count, sizeof *units);
    size_t count = 0;
    if (units == NULL) {
        perror("softfocus-tests");
        return EXIT_FAILURE;
    }
    for (size_t i = next_chosen(choice, 0); i < test_count; i = next_chosen(choice, i + 1))
        units[count++] =
            (struct CMUnitTest){.name = tests[i].name, .test_func = call_body, .initial_state = &tests[i]};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int failed = count == 0 ? 0 : _cmocka_run_group_tests("softfocus", units, count, NULL, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    free(units);
    /* cmocka's own answer is 0 where nothing ran, and an exit status wraps at 256. */
    fflush(stderr);
    printf("seed %" PRIu64 ", %.1f s\n", seed,
           (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    printf("%zu passed, %d failed, %zu skipped\n", passed, failed, skipped);
    if (failed != 0 || passed + skipped != count)
        return EXIT_FAILURE;
    if (passed != 0)
        return EXIT_SUCCESS;
    return skipped != 0 ? EXIT_SKIPPED : EXIT_FAILURE;
}

/* ---- Arguments ----------------------------------------------------------------------------------------- */

static void usage(FILE *file)
{
    fprintf(file, "usage: softfocus-tests [--list] [--filter TEXT]... [--isa NAME|none] [--part I/N] [--seed N]\n"
                  "  --list         names of the tests, and nothing runs\n"
                  "  --filter TEXT  tests with TEXT in their name (or another --filter's)\n"
                  "  --isa NAME     tests of that ISA; none: the tests of none\n"
                  "  --part I/N     of these, every N-th from the I-th on\n"
                  "  --seed N       another seed; also SOFTFOCUS_TEST_SEED in the environment\n");
}

static int parse_seed(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "softfocus-tests: not a seed: '%s'\n", text);
        return 0;
    }
    seed = value;
    return 1;
}

static int parse_part(const char *text, choices *choice)
{
    char rest;
    if (sscanf(text, "%zu/%zu%c", &choice->part, &choice->parts, &rest) == 2 && choice->part >= 1 &&
        choice->part <= choice->parts)
        return 1;
    fprintf(stderr, "softfocus-tests: not a part, such as 1/2: '%s'\n", text);
    return 0;
}

/* 0: wrong, and said so. */
static int parse(int argc, char **argv, choices *choice)
{
    const char *from_environment = getenv("SOFTFOCUS_TEST_SEED");
    if (from_environment != NULL && !parse_seed(from_environment))
        return 0;
    for (int i = 1; i < argc; i++) {
        int has_value = i + 1 < argc;
        if (strcmp(argv[i], "--list") == 0)
            choice->list = 1;
        else if (strcmp(argv[i], "--filter") == 0 && has_value && choice->filter_count < MAX_FILTERS)
            choice->filters[choice->filter_count++] = argv[++i];
        else if (strcmp(argv[i], "--isa") == 0 && has_value)
            choice->isa = argv[++i];
        else if (strcmp(argv[i], "--part") == 0 && has_value) {
            if (!parse_part(argv[++i], choice))
                return 0;
        } else if (strcmp(argv[i], "--seed") == 0 && has_value) {
            if (!parse_seed(argv[++i]))
                return 0;
        } else {
            usage(stderr);
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    choices choice = {.part = 1, .parts = 1};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (!parse(argc, argv, &choice))
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what ran before a crash is to be seen */
    softfocus_add_oracle_tests();
    softfocus_add_contract_tests();
    softfocus_add_golden_tests();
    softfocus_add_case_tests();
    softfocus_add_bits_tests();
    softfocus_add_property_tests();
    softfocus_add_extremes_tests();
    if (choice.list) {
        for (size_t i = next_chosen(&choice, 0); i < test_count; i = next_chosen(&choice, i + 1))
            puts(tests[i].name);
        return EXIT_SUCCESS;
    }
    printf("seed %" PRIu64 "\n", seed);
    return run_chosen(&choice);
}
