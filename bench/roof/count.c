/* Counting words: see count.h. */
#include "count.h"

#include <stdint.h>
#include <string.h>

#include "softfocus/softfocus.h"

extern uint64_t softfocus_words[SOFTFOCUS_WORD_COUNT]; /* counting.h */
uint64_t softfocus_words[SOFTFOCUS_WORD_COUNT];

enum {
    MOST_ELEMENTS = 1 << 18, /* that are counted; counting takes some 20 ns each */
    LEAST_INNER = 4096       /* positions in a row that are always kept, for tiles */
};

/* The same problem with fewer positions. */
static void cut(softfocus_case_spec *spec)
{
    size_t keep = MOST_ELEMENTS / spec->classes;
    if (spec->outer * spec->inner <= keep)
        return;
    if (spec->inner > LEAST_INNER)
        spec->inner = LEAST_INNER;
    size_t outer = keep / spec->inner;
    spec->outer = outer < 1 ? 1 : outer < spec->outer ? outer : spec->outer;
}

int softfocus_words_count(const softfocus_case_spec *spec, const char *isa, double per_element[SOFTFOCUS_WORD_COUNT])
{
    softfocus_case_spec part = *spec;
    part.kernel = softfocus_case_kernel_find(spec->kernel->name); /* this library's own */
    cut(&part);
    softfocus_context context = softfocus_context_defaults();
    context.isa = softfocus_isa_find(isa);
    if (part.kernel == NULL || context.isa == NULL)
        return -1;
    softfocus_case *instance = softfocus_case_make(&part);
    memset(softfocus_words, 0, sizeof softfocus_words);
    int failed = softfocus_case_run(instance, &context) != SOFTFOCUS_OK;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        per_element[w] = (double)softfocus_words[w] / (double)softfocus_case_elements(&part);
    softfocus_case_free(instance);
    return failed ? -1 : 0;
}
