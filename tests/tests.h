/* What the files of tests share: how a test is added to the program's list, and how one fails. main.c runs
   the list. */
#ifndef SOFTFOCUS_TESTS_H
#define SOFTFOCUS_TESTS_H

#include <stddef.h>
#include <stdint.h>

#include "softfocus/softfocus.h"

typedef struct softfocus_test softfocus_test;

/* A test: fails by softfocus_test_fail, passes by returning. */
typedef void softfocus_test_body(const softfocus_test *test);

struct softfocus_test {
    char name[112]; /* "softmax_focal_loss/avx2/sizes": what --filter looks at */
    softfocus_test_body *body;
    const softfocus_isa
        *isa;            /* NULL: about no ISA. Else the test is skipped, by name, on a CPU that lacks it */
    const void *subject; /* whatever the body needs */
    size_t number;
};

/* Adds a test; `name` is a printf format. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
softfocus_test *
softfocus_test_add(const char *name, ...);

/* Ends the test. printf's arguments. */
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 1, 2)))
#endif
void softfocus_test_fail(const char *format, ...);

/* A line about the test that runs: a figure, or what is wrong before softfocus_test_fail. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void softfocus_test_note(const char *format, ...);

/* The defaults, on that ISA. */
softfocus_context softfocus_test_context(const softfocus_isa *isa);

/* Ends the test with what the status says, if it is not OK. */
void softfocus_test_expect_ok(softfocus_status status);

/* The program's seed (--seed). */
uint64_t softfocus_test_seed(void);

/* How many images (or rows, where inner is 1) a test takes that wants `outer`. Results of 6 MiB go past the caches, and a
   CPU that is emulated takes minutes for them: where the library is built with less for that (SOFTFOCUS_STREAM_BYTES), as
   much less of what exceeds 6 MiB. */
size_t softfocus_test_outer(size_t outer, size_t classes, size_t inner);

/* Each adds the tests of one file. */
void softfocus_add_oracle_tests(void);
void softfocus_add_contract_tests(void);
void softfocus_add_golden_tests(void);
void softfocus_add_case_tests(void);
void softfocus_add_bits_tests(void);
void softfocus_add_property_tests(void);
void softfocus_add_extremes_tests(void);

#endif
