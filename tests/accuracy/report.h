/* What was measured, as Markdown: a section of docs/accuracy.md. For accuracy.c. */
#ifndef SOFTFOCUS_TESTS_REPORT_H
#define SOFTFOCUS_TESTS_REPORT_H

#include <stdio.h>

#include "search.h"
#include "sweep.h"

typedef struct softfocus_accuracy {
    const char *machine; /* NULL: what the CPU says of itself */
    const softfocus_sweep_options *sweep_options;
    const softfocus_sweep_result *results;
    size_t result_count;
    const softfocus_search_options *search_options;
    const softfocus_search_row *rows;
    size_t row_count;
} softfocus_accuracy;

void softfocus_accuracy_report(const softfocus_accuracy *accuracy, FILE *file);

#endif
