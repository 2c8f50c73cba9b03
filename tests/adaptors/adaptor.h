/* What every adaptor must do, whichever threads it is for: each program here hands its own to this one list of tests. */
#ifndef SOFTFOCUS_TESTS_ADAPTOR_H
#define SOFTFOCUS_TESTS_ADAPTOR_H

#include "softfocus/softfocus.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct softfocus_test_adaptor {
    const char *name;
    /* Fills a context with the adaptor's, for that many threads, and returns what `end` takes. */
    void *(*begin)(size_t threads, softfocus_context *context);
    void (*end)(void *state);
} softfocus_test_adaptor;

/* Runs all tests; 0 if they pass, else 1. */
int softfocus_run_adaptor_tests(const softfocus_test_adaptor *adaptor);

/* Says how a check went that only one adaptor has; 0 if it passed, else 1. */
int softfocus_check_adaptor(const char *what, int passed);

#ifdef __cplusplus
}
#endif

#endif
